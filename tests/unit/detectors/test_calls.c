/* Calls, failures, restarts, pauses, and workers that misbehave, with fake workers. */
#include "detectors/fake_worker.h"
#include "detectors/harness.h"

#include <signal.h>

#define SELF "/proc/self/exe"

static harness *with_script(const char *script) {
    harness *h = harness_new(SELF);
    write_file(h, "one.lua", script);
    return h;
}

static void findings_and_state_come_back(void **state) {
    (void)state;
    harness *h = with_script("min_ms=50 errors=1 every=7 version=4");
    harness_start(h);
    assert_int_equal(scan(h), 0);
    sw_detector *d = detector(h, "one");
    assert_true(sw_detector_every_s(d) == 7);
    assert_true(sw_detector_wants(d).min_duration_ms == 50);
    assert_true(sw_detector_wants_revisions(d));
    assert_true(sw_detectors_wants(h->detectors, SW_SOURCE_TEMPO).errors);
    assert_int_equal(strlen(sw_detector_hash(d)), 64);
    verdict v = check(h, "one");
    assert_int_equal(v.status, SW_CHECK_OK);
    assert_int_equal(v.n_findings, 1);
    assert_int_equal(v.n_traces, 3);
    assert_string_equal(v.trace_service, "service0"); /* completed from the window */
    assert_int_equal(v.state_version, 4);
    assert_true(v.value == 1);
    v = check(h, "one");
    assert_true(v.value == 2);
    harness_free(h);
}

static bool refuse_slow(const sw_trace *trace, void *arg) {
    ++*(unsigned *)arg;
    return trace->duration_ms < 1000;
}

static void a_detector_sees_what_it_wants_and_is_offered(void **state) {
    (void)state;
    harness *h = with_script("min_ms=100");
    harness_start(h);
    scan(h);
    verdict v = check(h, "one");
    assert_int_equal(v.n_traces, 1); /* strictly longer than 100 ms; errors are not wanted */
    sw_window window;
    make_window(&window);
    unsigned offered = 0;
    v = (verdict){.done = false};
    sw_detector_check(detector(h, "one"), &window, 0, refuse_slow, &offered, on_checked, &v);
    sw_window_release(&window);
    RUN_UNTIL(h, v.done);
    assert_int_equal(offered, 1); /* what is not wanted is not offered */
    assert_int_equal(v.n_traces, 0);
    harness_free(h);
}

static void unknown_is_not_failed(void **state) {
    (void)state;
    harness *h = with_script("check=unknown");
    harness_start(h);
    scan(h);
    verdict v = check(h, "one");
    assert_int_equal(v.status, SW_CHECK_UNKNOWN);
    assert_string_equal(v.message, "too little to go by");
    assert_true(v.has_state);
    harness_free(h);
}

static void calls_queue_up_in_order(void **state) {
    (void)state;
    harness *h = with_script("check=slow");
    harness_start(h);
    scan(h);
    verdict v[10];
    for (size_t i = 0; i < 10; i++) {
        start_check(detector(h, "one"), &v[i]);
    }
    RUN_UNTIL(h, v[9].done);
    for (size_t i = 0; i < 10; i++) {
        assert_true(v[i].done && v[i].value == (double)i + 1);
        assert_true(i == 0 || v[i].order == v[i - 1].order + 1);
    }
    harness_free(h);
}

static void too_many_waiting_calls_are_refused(void **state) {
    (void)state;
    harness *h = with_script("check=ok");
    harness_start(h);
    scan(h);
    static verdict v[SW_QUEUE_MAX + 2];
    for (size_t i = 0; i < SW_ARRAY_LEN(v); i++) {
        start_check(detector(h, "one"), &v[i]);
    }
    RUN_UNTIL(h, v[SW_QUEUE_MAX].done && v[SW_QUEUE_MAX + 1].done);
    assert_string_equal(v[SW_QUEUE_MAX + 1].kind, "overloaded");
    assert_int_equal(v[SW_QUEUE_MAX].status, SW_CHECK_OK);
    harness_free(h);
}

/* One way to fail: what is said of it, and whether the worker goes on. */
typedef struct mishap {
    const char *how;
    const char *kind;
    const char *message;
    bool kept;
} mishap;

static void each_mishap_is_named_and_survived(void **state) {
    (void)state;
    static const mishap mishaps[] = {
        {"runtime", "runtime", "fake.lua:7:", true},
        {"strange_kind", "runtime", "(no message)", true},
        {"memory", "memory", "too much", false},
        {"cpu", "cpu", "too much", false},
        {"exit", "crash", "ended with status 7", false},
        {"kill", "crash", "SIGKILL", false},
        {"segv", "crash", "SIGSEGV", false},
        {"sigsys", "crash", "bad system call: seccomp", false},
        {"close", "crash", "SIGKILL", false},
        {"huge_length", "protocol", "too long", false},
        {"garbage", "protocol", "broke the protocol", false},
        {"huge_count", "protocol", "broke the protocol", false},
        {"bad_utf8", "protocol", "UTF-8", false},
        {"deep", "protocol", "too deeply", false},
        {"host_frame", "protocol", "only the host sends", false},
        {"no_ok", "protocol", "without ok", false},
        {"wrong_sequence", "protocol", "another call", false},
        {"wrong_types", "shape", "findings must be an array", false},
        {"big_state", "shape", "state is larger", false},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(mishaps); i++) {
        char script[64];
        snprintf(script, sizeof script, "check=%s", mishaps[i].how);
        harness *h = with_script(script);
        harness_start(h);
        assert_int_equal(scan(h), 0);
        int pid = pid_of(detector(h, "one"));
        verdict v = check(h, "one");
        if (v.status != SW_CHECK_FAILED || strcmp(v.kind, mishaps[i].kind) != 0 ||
            strstr(v.message, mishaps[i].message) == NULL) {
            fail_msg("%s: status %d, kind %s, message %s", mishaps[i].how, (int)v.status, v.kind, v.message);
        }
        RUN_UNTIL(h, detector(h, "one")->running->loaded);
        assert_int_equal(pid_of(detector(h, "one")) == pid, mishaps[i].kept);
        assert_true(logged(h, "detector failed"));
        harness_free(h);
    }
}

static void numbers_that_are_none_do_no_harm(void **state) {
    (void)state;
    harness *h = with_script("check=nan");
    harness_start(h);
    scan(h);
    assert_int_equal(check(h, "one").status, SW_CHECK_OK);
    harness_free(h);
}

static void a_worker_that_does_not_answer_is_killed(void **state) {
    (void)state;
    harness *h = with_script("check=hang");
    write_file(h, "two.lua", "check=ok");
    h->options.worker_timeout_ms = 300;
    harness_start(h);
    scan(h);
    verdict hanging, other;
    start_check(detector(h, "one"), &hanging);
    unsigned others = 0;
    while (!hanging.done) { /* the other detector goes on */
        start_check(detector(h, "two"), &other);
        RUN_UNTIL(h, other.done);
        assert_int_equal(other.status, SW_CHECK_OK);
        others++;
    }
    assert_true(others >= 3);
    assert_string_equal(hanging.kind, "timeout");
    assert_non_null(strstr(hanging.message, "300 ms"));
    sw_metric *kills = h->detectors->m.kills;
    assert_true(sw_metric_get(kills, "one", "timeout") == 1);
    harness_free(h);
}

static void a_killed_worker_goes_on_from_its_newest_state(void **state) {
    (void)state;
    harness *h = with_script("check=ok");
    harness_start(h);
    scan(h);
    check(h, "one");
    assert_true(check(h, "one").value == 2);
    sw_detector *d = detector(h, "one");
    for (int i = 0; i < 2; i++) {
        kill(pid_of(d), SIGKILL);
        verdict v = check(h, "one");
        if (v.status == SW_CHECK_FAILED) { /* the call was on its way when it died */
            assert_string_equal(v.kind, "crash");
            v = check(h, "one");
        }
        assert_true(v.value == 3 + i);
    }
    assert_int_equal(d->failures, 0);
    assert_true(sw_metric_get(h->detectors->m.restarts, "one") == 2);
    harness_free(h);
}

static void what_was_stored_comes_back(void **state) {
    (void)state;
    harness *h = with_script("version=3");
    harness_start(h);
    sw_detectors_restore(h->detectors, "one", 3, "\x81\xa1n\x29", 4);      /* {n = 41} */
    sw_detectors_restore(h->detectors, "damaged", 3, "\x81\xa1n\x29x", 5); /* more than one value */
    assert_true(logged(h, "stored state is damaged"));
    scan(h);
    verdict v = check(h, "one");
    assert_true(v.value == 42);
    sw_detector *d = detector(h, "one");
    assert_false(d->state_committed);
    sw_detector_commit(d, "\x81\xa1n\xd3\0\0\0\0\0\0\0\x2a", 12, 3);
    sw_detector_commit(d, d->state, d->state_len, 3);
    assert_true(d->state_committed);
    harness_free(h);
}

static void failures_in_a_row_lead_to_growing_pauses(void **state) {
    (void)state;
    harness *h = with_script("check=runtime");
    harness_start(h);
    scan(h);
    sw_detector *d = detector(h, "one");
    for (int i = 0; i < 3; i++) {
        assert_true(sw_detector_ready(d));
        assert_string_equal(check(h, "one").kind, "runtime");
    }
    assert_int_equal(times_logged(h, "detector failed"), 1); /* repeats are not printed */
    static const int64_t pauses_s[] = {30, 60, 120, 240, 480, 900, 900};
    for (size_t i = 0; i < SW_ARRAY_LEN(pauses_s); i++) {
        assert_false(sw_detector_ready(d));
        assert_string_equal(check(h, "one").kind, "paused");
        forward(h, (pauses_s[i] - 1) * SW_NS_PER_S);
        assert_false(sw_detector_ready(d));
        forward(h, SW_NS_PER_S);
        assert_true(sw_detector_ready(d));
        assert_string_equal(check(h, "one").kind, "runtime");
    }
    /* A repaired file ends the pause. */
    write_file(h, "one.lua", "check=ok");
    assert_int_equal(scan(h), 0);
    assert_true(sw_detector_ready(d));
    assert_int_equal(check(h, "one").status, SW_CHECK_OK);
    assert_int_equal(d->failures, 0);
    harness_free(h);
}

static void waiting_calls_are_told_of_a_pause(void **state) {
    (void)state;
    harness *h = with_script("check=exit");
    harness_start(h);
    scan(h);
    verdict v[5];
    for (size_t i = 0; i < 5; i++) {
        start_check(detector(h, "one"), &v[i]);
    }
    RUN_UNTIL(h, v[4].done);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(v[i].kind, i < 3 ? "crash" : "paused");
    }
    sw_detector *d = detector(h, "one");
    assert_null(d->running->worker); /* none is started while it pauses */
    forward(h, 31 * SW_NS_PER_S);
    RUN_UNTIL(h, d->running->loaded);
    harness_free(h);
}

static void a_worker_that_dies_between_calls_is_replaced(void **state) {
    (void)state;
    harness *h = with_script("check=once_then_die");
    harness_start(h);
    scan(h);
    sw_detector *d = detector(h, "one");
    assert_int_equal(check(h, "one").status, SW_CHECK_OK);
    RUN_UNTIL(h, d->n_kills == 1 && d->running->loaded);
    assert_true(check(h, "one").value == 2);
    harness_free(h);
}

static void a_worker_that_talks_on_is_replaced(void **state) {
    (void)state;
    harness *h = with_script("check=talks_on");
    harness_start(h);
    scan(h);
    sw_detector *d = detector(h, "one");
    assert_int_equal(check(h, "one").status, SW_CHECK_OK);
    RUN_UNTIL(h, d->n_kills == 1 && d->running->loaded);
    assert_true(sw_metric_get(h->detectors->m.kills, "one", "protocol") == 1);
    harness_free(h);
}

static void metrics_of_scripts_are_set_and_refused(void **state) {
    (void)state;
    harness *h = with_script("check=ok");
    harness_start(h);
    scan(h);
    check(h, "one");
    check(h, "one");
    assert_int_equal(times_logged(h, "metric of a script refused"), 1);
    sw_buf out;
    sw_buf_init(&out, 1 << 20);
    sw_metrics_render(h->metrics, &out);
    assert_non_null(strstr(out.data, "fake_checks{detector=\"one\"} 2"));
    assert_non_null(strstr(out.data, "spanwatch_detector_checks_total{detector=\"one\",result=\"ok\"} 2"));
    assert_non_null(
        strstr(out.data, "spanwatch_detector_checks_total{detector=\"one\",result=\"failed\"} 0"));
    assert_non_null(strstr(out.data, "spanwatch_detector_restarts_total{detector=\"one\"} 0"));
    assert_non_null(strstr(out.data, "spanwatch_detector_cpu_seconds_total{detector=\"one\"} 0.5"));
    assert_non_null(strstr(out.data, "spanwatch_detector_memory_bytes{detector=\"one\"} 2000"));
    assert_null(strstr(out.data, "spanwatch_not_yours"));
    sw_buf_release(&out);
    harness_free(h);
}

static void log_lines_are_limited_and_say_who_speaks(void **state) {
    (void)state;
    harness *h = with_script("check=log_flood");
    harness_start(h);
    scan(h);
    assert_int_equal(check(h, "one").status, SW_CHECK_OK);
    assert_int_equal(times_logged(h, "of a script\" detector=one "), SW_WORKER_LOG_LINES);
    assert_int_equal(times_logged(h, "lines=30"), 1);
    assert_false(logged(h, "detector=\"somebody else\""));
    assert_false(logged(h, "\x1b"));
    harness_free(h);
}

static void a_program_that_is_no_worker_is_said_so(void **state) {
    (void)state;
    harness *h = harness_new("/nonexistent/spanwatch-worker");
    write_file(h, "one.lua", "check=ok");
    harness_start(h);
    assert_int_equal(scan(h), 1);
    assert_int_equal(scan(h), 1);
    assert_int_equal(times_logged(h, "detector cannot be started"), 1);
    assert_int_equal(sw_detectors_count(h->detectors), 0);
    harness_free(h);

    h = harness_new("/bin/true");
    write_file(h, "one.lua", "check=ok");
    harness_start(h);
    assert_int_equal(scan(h), 1);
    assert_true(logged(h, "ended with status 0"));
    harness_free(h);
}

static void freeing_in_the_middle_of_everything_is_fine(void **state) {
    (void)state;
    harness *h = with_script("check=hang");
    write_file(h, "two.lua", "check=runtime");
    write_file(h, "three.lua", "load=hang");
    harness_start(h);
    sw_detectors_scan(h->detectors, NULL, NULL);
    RUN_UNTIL(h, detector(h, "one") != NULL && detector(h, "two") != NULL);
    verdict v[3];
    start_check(detector(h, "one"), &v[0]);
    start_check(detector(h, "one"), &v[1]);
    start_check(detector(h, "two"), &v[2]);
    uv_run(&h->loop, UV_RUN_ONCE);
    harness_free(h);
    assert_false(v[0].done || v[1].done);
}

static void the_status_tells_all(void **state) {
    (void)state;
    harness *h = with_script("check=ok");
    write_file(h, "bad.lua", "load=syntax");
    harness_start(h);
    assert_int_equal(scan(h), 1);
    check(h, "one");
    sw_buf out;
    sw_buf_init(&out, 1 << 20);
    sw_detectors_status_json(h->detectors, &out);
    json_t *all = json_loads(out.data, 0, NULL);
    assert_int_equal(json_array_size(all), 2);
    const json_t *bad = json_array_get(all, 0), *one = json_array_get(all, 1);
    assert_string_equal(json_string_value(json_object_get(bad, "state")), "error");
    assert_string_equal(json_string_value(json_object_get(bad, "load_error")), "fake.lua:1: too much");
    assert_string_equal(json_string_value(json_object_get(bad, "load_error_kind")), "syntax");
    assert_string_equal(json_string_value(json_object_get(one, "name")), "one");
    assert_string_equal(json_string_value(json_object_get(one, "shown_name")), "Fake");
    assert_string_equal(json_string_value(json_object_get(one, "state")), "running");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(one, "checks"), "ok")), 1);
    json_decref(all);
    sw_buf_release(&out);
    harness_free(h);
}

int main(int argc, char **argv) {
    if (argc > 0 && strcmp(argv[0], "spanwatch-worker") == 0) {
        fake_worker_main();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(findings_and_state_come_back),
        cmocka_unit_test(a_detector_sees_what_it_wants_and_is_offered),
        cmocka_unit_test(unknown_is_not_failed),
        cmocka_unit_test(calls_queue_up_in_order),
        cmocka_unit_test(too_many_waiting_calls_are_refused),
        cmocka_unit_test(each_mishap_is_named_and_survived),
        cmocka_unit_test(numbers_that_are_none_do_no_harm),
        cmocka_unit_test(a_worker_that_does_not_answer_is_killed),
        cmocka_unit_test(a_killed_worker_goes_on_from_its_newest_state),
        cmocka_unit_test(what_was_stored_comes_back),
        cmocka_unit_test(failures_in_a_row_lead_to_growing_pauses),
        cmocka_unit_test(waiting_calls_are_told_of_a_pause),
        cmocka_unit_test(a_worker_that_dies_between_calls_is_replaced),
        cmocka_unit_test(a_worker_that_talks_on_is_replaced),
        cmocka_unit_test(metrics_of_scripts_are_set_and_refused),
        cmocka_unit_test(log_lines_are_limited_and_say_who_speaks),
        cmocka_unit_test(a_program_that_is_no_worker_is_said_so),
        cmocka_unit_test(freeing_in_the_middle_of_everything_is_fine),
        cmocka_unit_test(the_status_tells_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
