/* An agent that is killed between commit and send loses no notification, and sends none with two keys. */
#include "delivery/outbox_fixture.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#define ROWS_PER_BATCH 3
#define MOST_BATCHES 30 /* in one life: then it sends what it has until it is killed */

struct child {
    uv_loop_t loop;
    sw_store *store;
    sw_outbox *outbox;
    int64_t number;
    int batches;
    int pipe;
    bool grouped;
};

static void next_batch(struct child *child);

static void child_committed(int result, const char *message, sw_store_batch *batch, void *arg) {
    struct child *child = arg;
    (void)message;
    (void)batch;
    if (result != 0 || write(child->pipe, &child->number, sizeof child->number) != sizeof child->number) {
        _exit(3);
    }
    next_batch(child);
}

static void next_batch(struct child *child) {
    if (++child->batches > MOST_BATCHES) {
        return;
    }
    sw_store_batch *batch = sw_store_batch_new(child->store);
    char body[64], fingerprint[32];
    for (int i = 0; i < ROWS_PER_BATCH; i++) {
        long long number = ++child->number;
        snprintf(fingerprint, sizeof fingerprint, "%lld", number);
        snprintf(body, sizeof body, child->grouped ? "{\"fingerprint\": \"%lld\"}" : "%lld", number);
        sw_notification notification = {.fingerprint = child->grouped ? fingerprint : "f",
                                        .group_key = !child->grouped   ? NULL
                                                     : number % 2 == 0 ? "G"
                                                                       : "H",
                                        .group_wait_ms = 1,
                                        .group_interval_ms = 1,
                                        .content_type = "application/json",
                                        .body = body,
                                        .len = strlen(body)};
        sw_outbox_add(child->outbox, batch, &notification);
    }
    sw_store_commit(child->store, batch, child_committed, child);
}

static void run_child(const char *folder, const char *url, int64_t number, long die_us, int pipe,
                      bool grouped) {
    struct child child = {.number = number, .pipe = pipe, .grouped = grouped};
    char *warning = NULL, *error = NULL;
    uv_loop_init(&child.loop);
    child.store = sw_store_open(&child.loop, folder, &warning, &error);
    if (child.store == NULL) {
        _exit(2);
    }
    sw_receiver_options options = {.name = "webhook",
                                   .url = url,
                                   .timeout_ms = 10000,
                                   .max_age_ms = 1000000,
                                   .backoff_min_ms = 1,
                                   .backoff_max_ms = 1,
                                   .max_in_flight = 2,
                                   .max_rows = 1000};
    child.outbox = sw_outbox_new(&child.loop, sw_clock_system(), sw_http_client_new(&child.loop), child.store,
                                 sw_metrics_new(), &options);
    struct itimerval timer = {.it_value = {.tv_sec = 0, .tv_usec = die_us}};
    setitimer(ITIMER_REAL, &timer,
              NULL); /* SIGALRM is not caught: the process ends at a random instruction */
    next_batch(&child);
    for (;;) {
        uv_run(&child.loop, UV_RUN_ONCE);
    }
}

static void on_child_told(uv_poll_t *poll, int status, int events) {
    (void)status;
    (void)events;
    int64_t value = 0;
    int fd = 0;
    uv_fileno((uv_handle_t *)poll, &fd);
    ssize_t n = read(fd, &value, sizeof value);
    if (n == sizeof value) {
        *(int64_t *)poll->data = value;
    } else if (n == 0) {
        uv_close((uv_handle_t *)poll, NULL);
        uv_stop(poll->loop);
    }
}

/* Runs an agent until it is killed; returns the last number that was committed as far as it knew. */
static int64_t live_and_die(struct fixture *f, int64_t last, long die_us, bool grouped) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        run_child(f->folder, f->url, last, die_us, ends[1], grouped);
    }
    close(ends[1]);
    int64_t told = last;
    uv_poll_t poll;
    uv_poll_init(&f->loop, &poll, ends[0]);
    poll.data = &told;
    uv_poll_start(&poll, UV_READABLE, on_child_told);
    uv_run(&f->loop, UV_RUN_DEFAULT); /* the receiver answers, until the child has gone */
    uv_run(&f->loop, UV_RUN_NOWAIT);
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    return told;
}

/* Of what was received: the first of each number comes in order, none is missing, and copies have the same
 * key. */
static int64_t check_received(struct fixture *f, int64_t before) {
    int64_t highest = before;
    char *keys[RECEIVED_MAX + 1] = {0};
    for (size_t i = 0; i < f->receiver.n; i++) {
        int64_t number = strtoll(f->receiver.got[i].body, NULL, 10);
        assert_true(number > before && number <= highest + 1);
        highest = number > highest ? number : highest;
        char **key = &keys[number - before];
        assert_true(*key == NULL || strcmp(*key, header(&f->receiver, i, "Idempotency-Key")) == 0);
        free(*key);
        *key = xstrdup(header(&f->receiver, i, "Idempotency-Key"));
    }
    for (size_t i = 0; i < SW_ARRAY_LEN(keys); i++) {
        free(keys[i]);
    }
    return highest;
}

/* Of the numbers in groups: each comes, in one notification and no other. */
static int64_t check_groups(struct fixture *f, int64_t before) {
    int64_t highest = before;
    size_t n_told = 0;
    static char keys[RECEIVED_MAX][40]; /* of the notification that told it */
    memset(keys, 0, sizeof keys);
    for (size_t i = 0; i < f->receiver.n; i++) {
        const char *key = header(&f->receiver, i, "Idempotency-Key");
        json_t *root = json_loads(f->receiver.got[i].body, 0, NULL);
        const json_t *alerts = json_object_get(root, "alerts");
        assert_true(json_array_size(alerts) > 0);
        for (size_t j = 0; j < json_array_size(alerts); j++) {
            const json_t *alert = json_array_get(alerts, j);
            int64_t number = strtoll(json_string_value(json_object_get(alert, "fingerprint")), NULL, 10);
            assert_true(number > before && number - before < RECEIVED_MAX);
            char *told = keys[number - before];
            assert_true(told[0] == '\0' || strcmp(told, key) == 0);
            n_told += told[0] == '\0' ? 1 : 0;
            assert_int_equal(strlen(key), 36);
            memcpy(told, key, 37);
            highest = number > highest ? number : highest;
        }
        for (size_t j = 0; j < i; j++) {
            bool same = strstr(f->receiver.got[j].head, key) != NULL;
            assert_true(!same || strcmp(f->receiver.got[i].body, f->receiver.got[j].body) == 0);
        }
        json_decref(root);
    }
    assert_int_equal(n_told, highest - before);
    return highest;
}

static void die_again_and_again(struct fixture *f, bool grouped) {
    int64_t last = 0;
    f->clock = *sw_clock_system(); /* as the children's */
    close_outbox(f);               /* the children have the store in turn */
    for (int i = 0; i < 10; i++) {
        uint32_t random = 0;
        sw_random_bytes(&random, sizeof random);
        int64_t told = live_and_die(f, last, 5000 + (long)(random % 40000), grouped);
        open_outbox(f); /* sends what is left */
        while (sw_outbox_depth(f->outbox) > 0) {
            uv_run(&f->loop, UV_RUN_ONCE);
        }
        run_until_idle(f);
        assert_int_equal(sw_outbox_depth(f->outbox), 0);
        assert_int_equal(stored_rows(f), 0);
        close_outbox(f);
        int64_t received = (grouped ? check_groups : check_received)(f, last);
        assert_true(received >= told);
        last = received;
        forget_received(&f->receiver);
    }
    open_outbox(f);
}

static void killed_at_a_random_instruction_every_notification_comes(void **state) {
    die_again_and_again(*state, false);
}

static void killed_at_a_random_instruction_each_alert_of_a_group_comes_in_one_notification(void **state) {
    die_again_and_again(*state, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            killed_at_a_random_instruction_each_alert_of_a_group_comes_in_one_notification, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(killed_at_a_random_instruction_every_notification_comes, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
