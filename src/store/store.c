/* Opening and closing the store, and the queue of what the pool does for it. */
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "telemetry/log.h"

#define CHECKPOINT_PAGES 256      /* the journal is copied when it has this many and nobody waits, */
#define CHECKPOINT_PAGES_MAX 4096 /* or this many, whoever waits */

enum job_kind { JOB_COMMIT, JOB_LOAD, JOB_CHECKPOINT, JOB_RETURN };

struct sw_store_job {
    uv_work_t request;
    sw_store *store; /* NULL: the store was closed and has finished this job itself */
    sw_store_job *next;
    enum job_kind kind;
    bool executed;
    sw_store_batch *batch;
    int result;
    char message[SW_STORE_MESSAGE];
    void (*committed)(int result, const char *message, sw_store_batch *batch, void *arg);
    void (*loaded)(sw_outbox_row *rows, int n, void *arg);
    void *arg;
    char *receiver;
    bool dead;
    int64_t after_id;
    int limit;
    sw_outbox_row *rows;
};

/* ---- the queue ---- */

static void execute(sw_store_job *job) {
    sw_store *store = job->store;
    if (job->kind == JOB_COMMIT) {
        job->result = sw_batch_execute(store, job->batch, job->message);
    } else if (job->kind == JOB_LOAD) {
        job->result =
            sw_store_read_outbox(store, job->receiver, job->dead, job->after_id, job->limit, &job->rows);
    } else if (job->kind == JOB_RETURN) {
        job->result = sw_memory_return(store, job->message);
    }
    if (job->kind == JOB_CHECKPOINT || store->wal_pages >= CHECKPOINT_PAGES_MAX) {
        /* One that fails is tried again after the next commit. */
        sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        store->wal_pages = 0;
    }
}

static void on_pool(uv_work_t *request) {
    sw_store_job *job = request->data;
    sw_store *store = job->store;
    execute(job);
    uv_mutex_lock(&store->mutex);
    job->executed = true;
    uv_cond_signal(&store->executed);
    uv_mutex_unlock(&store->mutex);
}

/* Tells who asked for it. Frees everything but the job itself. */
static void finish(sw_store *store, sw_store_job *job) {
    if (job->kind == JOB_COMMIT) {
        store->commits_waiting--;
        sw_batch_call_hooks(job->batch, job->result);
        if (job->result == 0) {
            sw_store_batch_free(job->batch);
            job->batch = NULL;
        }
        job->committed(job->result, job->message, job->batch, job->arg);
    } else if (job->kind == JOB_LOAD) {
        job->loaded(job->rows, job->result, job->arg);
    } else if (job->kind == JOB_RETURN && job->result == 0) {
        store->in_memory = false;
        sw_log(SW_LOG_INFO, "the storage can be written, and has everything that was kept in memory",
               "folder", store->folder, NULL);
    }
    free(job->receiver);
}

static void submit_own(sw_store *store, enum job_kind kind);

static void start_next(sw_store *store);

static void in_loop(uv_work_t *request, int status) {
    (void)status; /* never cancelled */
    sw_store_job *job = request->data;
    sw_store *store = job->store;
    if (store != NULL) {
        store->running = NULL;
        if (sw_memory_wants_to_return(store)) {
            submit_own(store, JOB_RETURN);
        } else if (store->first == NULL && store->wal_pages >= CHECKPOINT_PAGES) {
            submit_own(store, JOB_CHECKPOINT);
        }
        start_next(store);
        finish(store, job);
    }
    free(job);
}

static sw_store_job *take_first(sw_store *store) {
    sw_store_job *job = store->first;
    if (job != NULL) {
        store->first = job->next;
        store->last = store->first != NULL ? store->last : NULL;
    }
    return job;
}

static void start_next(sw_store *store) {
    if (store->running == NULL && store->first != NULL) {
        store->running = take_first(store);
        store->running->request.data = store->running;
        uv_queue_work(store->loop, &store->running->request, on_pool, in_loop);
    }
}

static void submit(sw_store *store, sw_store_job *job) {
    job->store = store;
    if (store->last != NULL) {
        store->last->next = job;
    } else {
        store->first = job;
    }
    store->last = job;
}

static void submit_own(sw_store *store, enum job_kind kind) {
    sw_store_job *job = xcalloc(1, sizeof *job);
    job->kind = kind;
    submit(store, job);
}

void sw_store_commit(sw_store *store, sw_store_batch *batch,
                     void (*done)(int result, const char *message, sw_store_batch *batch, void *arg),
                     void *arg) {
    sw_store_job *job = xcalloc(1, sizeof *job);
    job->kind = JOB_COMMIT;
    job->batch = batch;
    job->committed = done;
    job->arg = arg;
    store->commits_waiting++;
    submit(store, job);
    start_next(store);
}

void sw_store_load_outbox(sw_store *store, const char *receiver, bool dead, int64_t after_id, int limit,
                          void (*done)(sw_outbox_row *rows, int n, void *arg), void *arg) {
    sw_store_job *job = xcalloc(1, sizeof *job);
    job->kind = JOB_LOAD;
    job->receiver = xstrdup(receiver);
    job->dead = dead;
    job->after_id = after_id;
    job->limit = limit;
    job->loaded = done;
    job->arg = arg;
    submit(store, job);
    start_next(store);
}

bool sw_store_in_memory(const sw_store *store) {
    return store->in_memory;
}

size_t sw_store_commits_waiting(const sw_store *store) {
    return store->commits_waiting;
}

/* ---- opening ---- */

/* Creates the folder and those above it, for the owner only. */
static int make_folder(const char *folder) {
    char *path = xstrdup(folder);
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700); /* the last one tells */
        *slash = '/';
    }
    int result = mkdir(path, 0700);
    int error = errno;
    struct stat st;
    if (result != 0 && stat(path, &st) == 0) {
        result = S_ISDIR(st.st_mode) ? 0 : -1;
        error = ENOTDIR;
    }
    free(path);
    errno = error;
    return result;
}

static char *held_by_other(int fd, const char *folder) {
    char pid[32] = "";
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
    pid[n > 0 ? n : 0] = '\0';
    pid[strspn(pid, "0123456789")] = '\0';
    return xasprintf("another spanwatch (pid %s) uses %s: give each its own storage folder",
                     pid[0] != '\0' ? pid : "unknown", folder);
}

/* The lock goes with the process, however it ends. */
static int lock_folder(sw_store *store, char **error) {
    char *path = xasprintf("%s/spanwatch.lock", store->folder);
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool unwritable = store->lock_fd < 0 && sw_memory_helps(SQLITE_CANTOPEN, errno);
    if (unwritable) { /* a file that is there can be locked all the same */
        store->lock_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    }
    if (unwritable && store->lock_fd < 0) {
        free(path);
        return 0;
    }
    if (store->lock_fd < 0) {
        *error = xasprintf("cannot create %s: %s", path, strerror(errno));
    } else if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        *error = errno == EWOULDBLOCK ? held_by_other(store->lock_fd, store->folder)
                                      : xasprintf("cannot lock %s: %s", path, strerror(errno));
    } else {
        char pid[32];
        int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
        ssize_t written = ftruncate(store->lock_fd, 0) == 0 ? pwrite(store->lock_fd, pid, (size_t)n, 0) : -1;
        errno = written >= 0 ? ENOSPC : errno; /* of a write that is cut short */
        if (written != n && !unwritable && !sw_memory_helps(SQLITE_CANTOPEN, errno)) {
            *error = xasprintf("cannot write %s: %s", path, strerror(errno));
        }
    }
    free(path);
    return *error == NULL ? 0 : -1;
}

static int count_pages(void *arg, sqlite3 *db, const char *name, int pages) {
    (void)db;
    (void)name;
    ((sw_store *)arg)->wal_pages = pages;
    return SQLITE_OK;
}

void sw_store_disconnect(sw_store *store) {
    sw_store_finalize_statements(store);
    sqlite3_close(store->db);
    store->db = NULL;
}

int sw_store_connect(sw_store *store, char message[SW_STORE_MESSAGE]) {
    /* SQLite gives its journal the permissions of the database. */
    int fd = open(store->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        int code = sw_memory_helps(SQLITE_CANTOPEN, errno) ? SQLITE_READONLY : SQLITE_CANTOPEN;
        snprintf(message, SW_STORE_MESSAGE, "cannot open %s: %s", store->path, strerror(errno));
        return code;
    }
    close(fd);
    int code = sqlite3_open_v2(store->path, &store->db, SQLITE_OPEN_READWRITE, NULL);
    if (code != SQLITE_OK) {
        sw_store_describe(store, "open", message);
    } else {
        code = sw_store_set_up(store, message);
    }
    if (code != SQLITE_OK) {
        bool unwritable = sw_memory_helps(code, sqlite3_system_errno(store->db));
        sw_store_disconnect(store);
        return unwritable ? SQLITE_READONLY : code;
    }
    sqlite3_wal_hook(store->db, count_pages, store);
    return SQLITE_OK;
}

/* SQLITE_READONLY for whatever keeps it from being written. */
static int open_db(sw_store *store, char message[SW_STORE_MESSAGE]) {
    int code = sw_store_connect(store, message);
    if (code != SQLITE_OK) {
        return code;
    }
    code = sw_store_prepare(store, message);
    if (code != SQLITE_OK) {
        bool unwritable = sw_memory_helps(code, sqlite3_system_errno(store->db));
        sw_store_disconnect(store);
        return unwritable ? SQLITE_READONLY : code;
    }
    return SQLITE_OK;
}

/* Renames the database and what belongs to it. */
static int set_aside(const sw_store *store, const char *reason, char **warning, char **error) {
    char *aside = xasprintf("%s.corrupt-%lld", store->path, (long long)time(NULL));
    if (rename(store->path, aside) != 0) {
        *error = xasprintf("%s, and cannot rename it to %s: %s", reason, aside, strerror(errno));
        free(aside);
        return -1;
    }
    static const char *const suffixes[] = {"-wal", "-shm"};
    for (size_t i = 0; i < SW_ARRAY_LEN(suffixes); i++) {
        char *from = xasprintf("%s%s", store->path, suffixes[i]);
        char *to = xasprintf("%s%s", aside, suffixes[i]);
        if (rename(from, to) != 0 && errno != ENOENT) {
            unlink(from); /* a journal of another database must not meet the new one */
        }
        free(from);
        free(to);
    }
    *warning = xasprintf("%s; it was set aside as %s, and an empty one is used: alerts may be sent again",
                         reason, aside);
    free(aside);
    return 0;
}

static void free_store(sw_store *store) {
    if (store->lock_fd >= 0) {
        close(store->lock_fd);
    }
    uv_mutex_destroy(&store->mutex);
    uv_cond_destroy(&store->executed);
    free(store->path);
    free(store->folder);
    free(store);
}

sw_store *sw_store_open(uv_loop_t *loop, const char *folder, char **warning, char **error) {
    *warning = NULL;
    *error = NULL;
    sw_store *store = xcalloc(1, sizeof *store);
    store->loop = loop;
    store->folder = xstrdup(folder);
    store->path = xasprintf("%s/spanwatch.db", folder);
    store->lock_fd = -1;
    uv_mutex_init(&store->mutex);
    uv_cond_init(&store->executed);
    if (make_folder(folder) != 0) {
        *error = xasprintf("cannot create the storage folder %s: %s", folder, strerror(errno));
        goto fail;
    }
    if (lock_folder(store, error) != 0) {
        goto fail;
    }
    char message[SW_STORE_MESSAGE] = "";
    int code = open_db(store, message);
    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT) {
        if (set_aside(store, message, warning, error) != 0) {
            goto fail;
        }
        code = open_db(store, message);
    }
    if (code == SQLITE_READONLY) {
        free(*warning); /* what was damaged is less now than that nothing can be written */
        *warning = xasprintf("%s; what could be read is kept in memory until it can be written", message);
        code = sw_memory_open(store, message);
    }
    if (code != SQLITE_OK) {
        *error = xstrdup(message);
        goto fail;
    }
    return store;
fail:
    free(*warning);
    *warning = NULL;
    free_store(store);
    return NULL;
}

void sw_store_close(sw_store *store) {
    if (store == NULL) {
        return;
    }
    sw_store_job *running = store->running;
    if (running != NULL) {
        uv_mutex_lock(&store->mutex);
        while (!running->executed) {
            uv_cond_wait(&store->executed, &store->mutex);
        }
        uv_mutex_unlock(&store->mutex);
        finish(store, running);
        running->store = NULL; /* the loop frees it */
    }
    sw_store_job *job = NULL;
    while ((job = take_first(store)) != NULL) {
        execute(job);
        finish(store, job);
        free(job);
    }
    char message[SW_STORE_MESSAGE];
    if (store->in_memory && sw_memory_return(store, message) != 0) {
        sw_log(SW_LOG_ERROR, "what was kept in memory is lost", "reason", message, NULL);
    }
    sw_store_disconnect(store);
    free_store(store);
}

int64_t sw_store_size_bytes(const sw_store *store) {
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    int64_t total = 0;
    for (size_t i = 0; i < SW_ARRAY_LEN(suffixes); i++) {
        char *path = xasprintf("%s%s", store->path, suffixes[i]);
        struct stat st;
        total += stat(path, &st) == 0 ? st.st_size : 0;
        free(path);
    }
    return total;
}
