/* Host functions that a script calls, with fake workers and a fake host. */
#include "detectors/fake_worker.h"
#include "detectors/harness.h"

#define SELF "/proc/self/exe"

/* Answers by name: now, later (by a timer), an error, or never. */
typedef struct fake_host {
    harness *h;
    unsigned asked, cancelled;
    int64_t timeout_ms;
    char op[64], args[256];
    uv_timer_t timer;
    bool timer_open;
    sw_ask_done done;
    void *done_arg;
    const char *answer;
} fake_host;

static void answer_later(uv_timer_t *timer) {
    fake_host *host = timer->data;
    sw_ask_done done = host->done;
    host->done = NULL;
    done(host->answer, strlen(host->answer), NULL, NULL, host->done_arg);
}

static void *ask(const char *op, const char *args_json, int64_t timeout_ms, sw_ask_done done, void *done_arg,
                 void *arg) {
    fake_host *host = arg;
    host->asked++;
    host->timeout_ms = timeout_ms;
    snprintf(host->op, sizeof host->op, "%s", op);
    snprintf(host->args, sizeof host->args, "%s", args_json);
    if (strcmp(op, "now") == 0) {
        done("\"at once\"", 9, NULL, NULL, done_arg);
        return NULL;
    }
    if (strcmp(op, "error") == 0) {
        done(NULL, 0, "the backend is away", "connect", done_arg);
        return NULL;
    }
    if (strcmp(op, "no_json") == 0) {
        done("{", 1, NULL, NULL, done_arg);
        return NULL;
    }
    if (strcmp(op, "nested") == 0) {
        char deep[400] = {0};
        memset(deep, '[', 100);
        memset(deep + 100, ']', 100);
        done(deep, 200, NULL, NULL, done_arg);
        return NULL;
    }
    host->done = done;
    host->done_arg = done_arg;
    if (strcmp(op, "later") == 0) {
        uv_timer_start(&host->timer, answer_later, 400, 0);
    }
    return host; /* "never" */
}

static void cancel(void *handle, void *arg) {
    assert_ptr_equal(handle, arg);
    fake_host *host = arg;
    host->cancelled++;
    host->done = NULL;
    uv_timer_stop(&host->timer);
}

static harness *with_host(fake_host *host, const char *script, int64_t timeout_ms) {
    harness *h = harness_new(SELF);
    *host = (fake_host){.h = h, .answer = "\"much later\""};
    uv_timer_init(&h->loop, &host->timer);
    host->timer.data = host;
    h->host = (sw_host_functions){ask, cancel, host};
    h->options.worker_timeout_ms = timeout_ms;
    write_file(h, "one.lua", script);
    harness_start(h);
    assert_int_equal(scan(h), 0);
    return h;
}

static void done_with(harness *h, fake_host *host) {
    uv_close((uv_handle_t *)&host->timer, NULL);
    harness_free(h);
}

static void an_answer_comes_back(void **state) {
    (void)state;
    fake_host host;
    harness *h = with_host(&host, "ask=now", 20000);
    assert_int_equal(host.asked, 0); /* not in the trial call */
    assert_string_equal(check(h, "one").summary, "at once");
    assert_string_equal(host.op, "now");
    assert_string_equal(host.args, "{\"name\":\"x\"}");
    assert_int_equal(host.timeout_ms, SW_WORKER_ASK_MS);
    done_with(h, &host);
}

static void failures_come_back_with_their_code(void **state) {
    (void)state;
    static const char *const expected[][2] = {{"ask=error", "connect: the backend is away"},
                                              {"ask=no_json", "broken: "},
                                              {"ask=nested", "broken: "}};
    for (size_t i = 0; i < SW_ARRAY_LEN(expected); i++) {
        fake_host host;
        harness *h = with_host(&host, expected[i][0], 20000);
        verdict v = check(h, "one");
        assert_memory_equal(v.summary, expected[i][1], strlen(expected[i][1]));
        done_with(h, &host);
    }
}

static void the_deadline_stands_still_meanwhile(void **state) {
    (void)state;
    fake_host host;
    harness *h = with_host(&host, "ask=later", 20000);
    h->detectors->options.worker_timeout_ms = 300; /* the answer comes after 400 ms */
    verdict v = check(h, "one");
    assert_int_equal(v.status, SW_CHECK_OK);
    assert_string_equal(v.summary, "much later");
    done_with(h, &host);
}

static void a_worker_that_dies_cancels_its_question(void **state) {
    (void)state;
    fake_host host;
    harness *h = with_host(&host, "ask=never", 20000);
    verdict v;
    start_check(detector(h, "one"), &v);
    RUN_UNTIL(h, host.asked == 1);
    kill(pid_of(detector(h, "one")), SIGKILL);
    RUN_UNTIL(h, v.done);
    assert_string_equal(v.kind, "crash");
    assert_int_equal(host.cancelled, 1);
    done_with(h, &host);
}

static void a_removed_detector_cancels_its_question(void **state) {
    (void)state;
    fake_host host;
    harness *h = with_host(&host, "ask=never", 20000);
    verdict v;
    start_check(detector(h, "one"), &v);
    RUN_UNTIL(h, host.asked == 1);
    remove_file(h, "one.lua");
    scan(h);
    forward(h, 2 * SW_NS_PER_S);
    RUN_UNTIL(h, v.done);
    assert_string_equal(v.kind, "removed");
    assert_int_equal(host.cancelled, 1);
    done_with(h, &host);
}

static void freeing_cancels_questions(void **state) {
    (void)state;
    fake_host host;
    harness *h = with_host(&host, "ask=never", 20000);
    verdict v;
    start_check(detector(h, "one"), &v);
    RUN_UNTIL(h, host.asked == 1);
    sw_detectors_free(h->detectors);
    h->detectors = NULL;
    assert_int_equal(host.cancelled, 1);
    done_with(h, &host);
}

static void broken_manners_while_a_question_is_open(void **state) {
    (void)state;
    static const char *const scripts[][2] = {{"ask=never check=reply_in_ask", "while a host function"},
                                             {"check=two_asks", "two questions"}};
    for (size_t i = 0; i < SW_ARRAY_LEN(scripts); i++) {
        fake_host host;
        harness *h = with_host(&host, scripts[i][0], 20000);
        verdict v = check(h, "one");
        assert_string_equal(v.kind, "protocol");
        assert_non_null(strstr(v.message, scripts[i][1]));
        assert_int_equal(host.cancelled, 1);
        done_with(h, &host);
    }
}

static void a_call_asks_a_limited_number_of_questions(void **state) {
    (void)state;
    fake_host host;
    harness *h = with_host(&host, "ask=now times=120", 20000);
    verdict v = check(h, "one");
    assert_int_equal(host.asked, SW_WORKER_ASKS_MAX);
    assert_memory_equal(v.summary, "limit: ", 7);
    check(h, "one");
    assert_int_equal(host.asked, 2 * SW_WORKER_ASKS_MAX); /* of each call */
    done_with(h, &host);
}

static void a_host_that_forgets_to_answer_is_not_waited_for(void **state) {
    (void)state;
    fake_host host;
    harness *h = with_host(&host, "ask=never", 20000);
    h->detectors->env.ask_ms = 100;
    verdict v = check(h, "one");
    assert_int_equal(v.status, SW_CHECK_OK);
    assert_memory_equal(v.summary, "timeout: ", 9);
    assert_int_equal(host.cancelled, 1);
    assert_int_equal(host.timeout_ms, 100);
    done_with(h, &host);
}

static void nobody_to_ask_is_an_answer(void **state) {
    (void)state;
    harness *h = harness_new(SELF);
    write_file(h, "one.lua", "ask=now");
    harness_start(h);
    scan(h);
    assert_memory_equal(check(h, "one").summary, "dry: ", 5);
    harness_free(h);
}

int main(int argc, char **argv) {
    if (argc > 0 && strcmp(argv[0], "spanwatch-worker") == 0) {
        fake_worker_main();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_comes_back),
        cmocka_unit_test(failures_come_back_with_their_code),
        cmocka_unit_test(the_deadline_stands_still_meanwhile),
        cmocka_unit_test(a_worker_that_dies_cancels_its_question),
        cmocka_unit_test(a_removed_detector_cancels_its_question),
        cmocka_unit_test(freeing_cancels_questions),
        cmocka_unit_test(broken_manners_while_a_question_is_open),
        cmocka_unit_test(a_call_asks_a_limited_number_of_questions),
        cmocka_unit_test(a_host_that_forgets_to_answer_is_not_waited_for),
        cmocka_unit_test(nobody_to_ask_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
