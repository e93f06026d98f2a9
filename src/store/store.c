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

#define CHECKPOINT_PAGES 256      /* the journal is copied when it has this many and nobody waits, */
#define CHECKPOINT_PAGES_MAX 4096 /* or this many, whoever waits */

struct sw_store_job {
    uv_work_t request;
    sw_store *store; /* NULL: the store was closed and has finished this job itself */
    sw_store_job *next;
    enum { JOB_COMMIT, JOB_LOAD, JOB_CHECKPOINT } kind;
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
    }
    free(job->receiver);
}

static void submit(sw_store *store, sw_store_job *job);

static void start_next(sw_store *store);

static void in_loop(uv_work_t *request, int status) {
    (void)status; /* never cancelled */
    sw_store_job *job = request->data;
    sw_store *store = job->store;
    if (store != NULL) {
        store->running = NULL;
        if (store->first == NULL && store->wal_pages >= CHECKPOINT_PAGES) {
            sw_store_job *checkpoint = xcalloc(1, sizeof *checkpoint);
            checkpoint->kind = JOB_CHECKPOINT;
            submit(store, checkpoint);
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
    if (store->lock_fd < 0) {
        *error = xasprintf("cannot create %s: %s", path, strerror(errno));
    } else if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        *error = errno == EWOULDBLOCK ? held_by_other(store->lock_fd, store->folder)
                                      : xasprintf("cannot lock %s: %s", path, strerror(errno));
    } else {
        char pid[32];
        int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
        if (ftruncate(store->lock_fd, 0) != 0 || pwrite(store->lock_fd, pid, (size_t)n, 0) != n) {
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

static void close_db(sw_store *store) {
    sw_store_finalize_statements(store);
    sqlite3_close(store->db);
    store->db = NULL;
}

static int open_db(sw_store *store, char message[SW_STORE_MESSAGE]) {
    /* SQLite gives its journal the permissions of the database. */
    int fd = open(store->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        snprintf(message, SW_STORE_MESSAGE, "cannot open %s: %s", store->path, strerror(errno));
        return SQLITE_CANTOPEN;
    }
    close(fd);
    int code = sqlite3_open_v2(store->path, &store->db, SQLITE_OPEN_READWRITE, NULL);
    if (code != SQLITE_OK) {
        sw_store_describe(store, "open", message);
    } else {
        code = sw_store_prepare(store, message);
    }
    if (code != SQLITE_OK) {
        close_db(store);
        return code;
    }
    sqlite3_wal_hook(store->db, count_pages, store);
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
    if (code != SQLITE_OK) {
        *error = xstrdup(message);
        goto fail;
    }
    return store;
fail:
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
    close_db(store);
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
