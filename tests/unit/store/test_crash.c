/* A process that dies in the middle of its commits leaves all of a batch or nothing, and all that it was told
 * was committed. */
#include "store/store_fixture.h"

#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#define ROWS_PER_BATCH 40

struct child {
    uv_loop_t loop;
    sw_store *store;
    int64_t batch, die_after; /* die_after: -1 for a timer instead */
    int pipe;
};

static void add_batch(struct child *child);

static void child_committed(int result, const char *message, sw_store_batch *batch, void *arg) {
    struct child *child = arg;
    (void)message;
    (void)batch;
    if (result != 0 || write(child->pipe, &child->batch, sizeof child->batch) != sizeof child->batch) {
        _exit(3);
    }
    if (child->batch == child->die_after) {
        raise(SIGKILL);
    }
    child->batch++;
    add_batch(child);
}

/* Every batch replaces the counter by its own number and adds as many rows as all others. */
static void add_batch(struct child *child) {
    sw_store_batch *batch = sw_store_batch_new(child->store);
    char id[33];
    for (int i = 0; i < ROWS_PER_BATCH; i++) {
        snprintf(id, sizeof id, "%016llx%016x", (unsigned long long)child->batch, i);
        sw_batch_put_reported(batch, "t", id, child->batch);
    }
    sw_batch_put_counter(batch, "batches", "", (double)child->batch);
    sw_store_commit(child->store, batch, child_committed, child);
    if (child->batch == child->die_after && child->die_after % 2 == 0) {
        raise(SIGKILL); /* while the pool may be writing */
    }
}

static void run_child(const char *folder, int64_t first, int64_t die_after, long die_us, int pipe) {
    struct child child = {.batch = first, .die_after = die_after, .pipe = pipe};
    char *warning = NULL, *error = NULL;
    uv_loop_init(&child.loop);
    child.store = sw_store_open(&child.loop, folder, &warning, &error);
    if (child.store == NULL || warning != NULL) {
        _exit(2);
    }
    if (die_us > 0) {
        /* SIGALRM is not caught: the process ends at a random instruction. */
        struct itimerval timer = {.it_value = {.tv_sec = 0, .tv_usec = die_us}};
        setitimer(ITIMER_REAL, &timer, NULL);
    }
    add_batch(&child);
    uv_run(&child.loop, UV_RUN_DEFAULT);
    _exit(4);
}

/* The last batch that the child knew to be committed; `last` when it was none. */
static int64_t spawn(const char *folder, int64_t last, int64_t die_after, long die_us) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        run_child(folder, last + 1, die_after, die_us, ends[1]);
    }
    close(ends[1]);
    int64_t told = last, value = 0;
    while (read(ends[0], &value, sizeof value) == sizeof value) {
        told = value;
    }
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    return told;
}

static void count_reported(const char *type, const char *trace_id, int64_t at_ns, void *arg) {
    (void)type;
    (void)trace_id;
    (void)at_ns;
    ++*(int64_t *)arg;
}

static void take_counter(const char *name, const char *label, double value, void *arg) {
    (void)name;
    (void)label;
    *(int64_t *)arg = (int64_t)value;
}

/* Returns the number of the last batch in the store. */
static int64_t check_whole(const char *folder, int64_t told) {
    struct fixture f = {.folder = (char *)folder};
    uv_loop_init(&f.loop);
    open_store(&f);
    int64_t rows = 0, batches = 0;
    assert_int_equal(sw_store_each_reported(f.store, count_reported, &rows), 0);
    assert_int_equal(sw_store_each_counter(f.store, take_counter, &batches), 0);
    assert_int_equal(rows, batches * ROWS_PER_BATCH);
    assert_true(batches >= told);
    close_store(&f);
    assert_int_equal(uv_loop_close(&f.loop), 0);
    return batches;
}

static void killed_at_a_commit_all_or_nothing_is_stored(void **state) {
    (void)state;
    char *folder = make_temp_folder();
    int64_t last = 0;
    for (int i = 1; i <= 10; i++) {
        int64_t told = spawn(folder, last, last + i, 0);
        last = check_whole(folder, told);
    }
    assert_true(last >= 10);
    remove_folder(folder);
}

static void killed_at_a_random_instruction_all_or_nothing_is_stored(void **state) {
    (void)state;
    char *folder = make_temp_folder();
    int64_t last = 0;
    for (int i = 0; i < 25; i++) {
        uint32_t random = 0;
        sw_random_bytes(&random, sizeof random);
        int64_t told = spawn(folder, last, -1, 1000 + (long)(random % 40000));
        last = check_whole(folder, told);
    }
    remove_folder(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_a_commit_all_or_nothing_is_stored),
        cmocka_unit_test(killed_at_a_random_instruction_all_or_nothing_is_stored),
    };
    return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
