/* The limit of notifications per hour, the circuit of a receiver, and receivers that do not wait for others.
 */
#include "delivery/notices.h"

#define HOUR_MS INT64_C(3600000)

/* ---- the limit per hour ---- */

static void limit(struct fixture *f, unsigned max_per_hour) {
    f->options.max_per_hour = max_per_hour;
    restart(f);
}

static const char *field(struct fixture *f, size_t n, const char *name) {
    static char text[1024];
    json_t *root = json_loads(f->receiver.got[n].body, 0, NULL);
    snprintf(text, sizeof text, "%s", json_string_value(json_object_get(root, name)));
    json_decref(root);
    return text;
}

static void what_is_too_much_comes_as_one_summary_when_it_may(void **state) {
    struct fixture *f = *state;
    limit(f, 2);
    static const char *const names[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < SW_ARRAY_LEN(names); i++) {
        tell(f, NULL, names[i], "firing");
    }
    assert_string_equal(told(f), "(a firing); (b firing)");
    assert_int_equal(sw_outbox_depth(f->outbox), 2);
    assert_true(sw_metric_get(f->outbox->m.held, "webhook") == 1);
    assert_int_equal(f->log_lines, 1);
    assert_non_null(strstr(f->last_log, "max_per_hour=2"));
    advance_ms(f, HOUR_MS / 2);
    tell(f, "G", "e", "firing");
    tell(f, NULL, "c", "resolved");
    advance_ms(f, HOUR_MS / 2 - 1);
    assert_int_equal(f->receiver.n, 2);
    assert_int_equal(sw_outbox_oldest_age_ms(f->outbox), 0); /* waits on purpose */
    advance_ms(f, 1);
    assert_string_equal(told(f), "(a firing); (b firing); d firing, e firing, c resolved");
    assert_string_equal(
        field(f, 2, "summary"),
        "3 alerts: 2 firing, 1 resolved, held back by the limit of notifications per hour since "
        "2023-11-14T22:13:20.000Z; the worst: d is firing");
    assert_settled(f);
    assert_true(sw_metric_get(f->outbox->m.held, "webhook") == 0);
    tell(f, NULL, "d", "resolved"); /* one more may go */
    assert_string_equal(told(f), "(a firing); (b firing); d firing, e firing, c resolved; (d resolved)");
    assert_int_equal(f->log_lines, 1);
}

static void groups_count_as_one_each_and_wait_like_others(void **state) {
    struct fixture *f = *state;
    limit(f, 1);
    tell(f, "G", "a", "firing");
    tell(f, "G", "b", "firing");
    tell(f, "H", "x", "firing");
    advance_ms(f, WAIT_MS);
    assert_string_equal(told(f), "a firing, b firing");
    advance_ms(f, HOUR_MS);
    assert_string_equal(told(f), "a firing, b firing; x firing");
    assert_settled(f);
}

static void the_limit_goes_on_over_a_restart(void **state) {
    struct fixture *f = *state;
    limit(f, 1);
    tell(f, NULL, "a", "firing");
    advance_ms(f, HOUR_MS / 2);
    f->mono_ns = 5 * SW_NS_PER_S;
    restart(f);
    tell(f, NULL, "b", "firing");
    advance_ms(f, HOUR_MS / 2 - 1);
    assert_string_equal(told(f), "(a firing)");
    advance_ms(f, 1);
    assert_string_equal(told(f), "(a firing); b firing");
    assert_settled(f);
}

/* The hour is over when the agent starts again: what waited comes together, and not one by one until the
 * limit is reached anew. */
static void what_waited_when_the_agent_ended_comes_as_one(void **state) {
    struct fixture *f = *state;
    limit(f, 2);
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < SW_ARRAY_LEN(names); i++) {
        tell(f, NULL, names[i], "firing");
    }
    f->wall_ns += HOUR_MS * SW_NS_PER_MS;
    f->mono_ns += HOUR_MS * SW_NS_PER_MS;
    restart(f);
    run_until_idle(f);
    assert_string_equal(told(f), "(a firing); (b firing); c firing, d firing, e firing");
    assert_settled(f);
    tell(f, NULL, "c", "resolved"); /* one more may go */
    assert_int_equal(f->receiver.n, 4);
}

static void a_summary_is_tried_again_as_it_was_and_later_notices_wait_behind_it(void **state) {
    struct fixture *f = *state;
    limit(f, 1);
    tell(f, NULL, "a", "firing");
    tell(f, NULL, "b", "firing");
    tell(f, NULL, "c", "firing");
    f->receiver.answers[1] = STATUS("500 Internal Server Error");
    advance_ms(f, HOUR_MS);
    tell(f, NULL, "b", "resolved");
    restart(f);
    advance_ms(f, 500);
    assert_string_equal(told(f), "(a firing); b firing, c firing; b firing, c firing");
    assert_string_equal(f->receiver.got[2].body, f->receiver.got[1].body);
    advance_ms(f, HOUR_MS);
    assert_string_equal(told(f), "(a firing); b firing, c firing; b firing, c firing; b resolved");
    assert_settled(f);
}

static void a_summary_has_no_interval_of_a_group(void **state) {
    struct fixture *f = *state;
    limit(f, 2);
    tell(f, NULL, "a", "firing");
    tell(f, NULL, "x", "firing");
    tell(f, "G", "b", "firing");
    f->receiver.answers[2] = STATUS("500 Internal Server Error");
    advance_ms(f, WAIT_MS);
    advance_ms(f, HOUR_MS);
    tell(f, NULL, "b", "resolved"); /* behind the summary, and no later */
    advance_ms(f, 500);
    assert_string_equal(told(f), "(a firing); (x firing); b firing; b firing; b resolved");
    assert_settled(f);
}

static void a_retry_within_the_limit_is_no_summary(void **state) {
    struct fixture *f = *state;
    limit(f, 1);
    f->receiver.answers[0] = STATUS("500 Internal Server Error");
    tell(f, NULL, "a", "firing");
    advance_ms(f, 500);
    assert_string_equal(told(f), "(a firing); (a firing)");
    assert_settled(f);
}

/* ---- the circuit ---- */

static void assert_circuit(struct fixture *f, const char *state) {
    static const char *const states[] = {"closed", "open", "half_open"};
    assert_string_equal(sw_outbox_circuit(f->outbox), state);
    for (size_t i = 0; i < SW_ARRAY_LEN(states); i++) {
        assert_true(sw_metric_get(f->outbox->m.circuit, "webhook", states[i]) ==
                    (strcmp(states[i], state) == 0 ? 1 : 0));
    }
}

static void send_many(struct fixture *f, int n) {
    sw_store_batch *batch = sw_store_batch_new(f->store);
    char fingerprint[16];
    for (int i = 0; i < n; i++) {
        snprintf(fingerprint, sizeof fingerprint, "f%d", i);
        add(f, batch, fingerprint, "x");
    }
    commit(f, batch);
    run_until_idle(f);
}

static void a_receiver_that_only_fails_is_asked_by_one_at_a_time(void **state) {
    struct fixture *f = *state;
    assert_circuit(f, "closed");
    f->receiver.otherwise = STATUS("503 Service Unavailable");
    send_many(f, 100);
    size_t first = f->receiver.n;
    assert_true(first <= 6); /* 4 together, and those that were started before the third had failed */
    assert_circuit(f, "open");
    for (size_t i = 0; i < 4; i++) {
        advance_ms(f, 3999);
        assert_int_equal(f->receiver.n, first + i);
        advance_ms(f, 1);
        assert_int_equal(f->receiver.n, first + i + 1);
    }
    f->receiver.answers[f->receiver.n] = HANG;
    f->wall_ns += 4 * SW_NS_PER_S;
    f->mono_ns += 4 * SW_NS_PER_S;
    sw_outbox_committed(f->outbox);
    assert_circuit(f, "half_open");
    run_until_received(f, first + 5);
    assert_int_equal(f->outbox->in_flight, 1);
    f->receiver.otherwise = OK;
    restart(f);
    advance_ms(f, 8000);
    assert_circuit(f, "closed");
    assert_int_equal(sw_outbox_depth(f->outbox), 0);
}

static void a_refusal_and_too_many_requests_are_answers(void **state) {
    struct fixture *f = *state;
    f->receiver.otherwise = STATUS("429 Too Many Requests");
    send_many(f, 20);
    assert_int_equal(f->receiver.n, 20);
    assert_circuit(f, "closed");
    f->receiver.otherwise = STATUS("400 Bad Request");
    advance_ms(f, 1000);
    assert_int_equal(sw_outbox_dead(f->outbox), 20);
    assert_circuit(f, "closed");
}

static void a_retry_after_holds_for_all_up_to_30_s(void **state) {
    struct fixture *f = *state;
    f->options.max_in_flight = 1;
    restart(f);
    f->receiver.answers[0] = "HTTP/1.1 429 Too Many\r\nRetry-After: 10\r\nContent-Length: 0\r\n\r\n";
    f->receiver.answers[1] = "HTTP/1.1 429 Too Many\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n";
    send_many(f, 3);
    advance_ms(f, 9999);
    assert_int_equal(f->receiver.n, 1);
    advance_ms(f, 1); /* the first is due as well, but the others are older */
    assert_int_equal(f->receiver.n, 2);
    advance_ms(f, 29999);
    assert_int_equal(f->receiver.n, 2);
    advance_ms(f, 1);
    assert_int_equal(f->receiver.n, 4);
    assert_int_equal(sw_outbox_depth(f->outbox), 1);
}

/* ---- answers without end ---- */

static void an_answer_without_end_costs_one_deadline_at_most(void **state) {
    struct fixture *f = *state;
    f->options.timeout_ms = 50;
    restart(f);
    static const struct {
        const char *answer;
        char verdict;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", 'd'}, /* the status has come */
        {"HTTP/1.1 200 OK\r\nX-Slow: ", 'r'},
        {"HTTP/1.1 503 Away\r\nContent-Length: 100\r\n\r\nhalf", 'r'},
        {ENDLESS, 'd'},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        forget_received(&f->receiver);
        f->receiver.answers[0] = cases[i].answer;
        double delivered = deliveries(f, "delivered"), retried = deliveries(f, "retried");
        send_many(f, 1);
        assert_int_equal(deliveries(f, "delivered") - delivered, cases[i].verdict == 'd');
        assert_int_equal(deliveries(f, "retried") - retried, cases[i].verdict == 'r');
        advance_ms(f, 8000);
        assert_int_equal(sw_outbox_depth(f->outbox), 0);
    }
    assert_true(f->receiver.endless < (size_t)64 << 20); /* no more than sockets hold */
}

/* ---- several receivers ---- */

static void a_receiver_that_hangs_holds_up_no_other(void **state) {
    struct fixture *f = *state;
    struct receiver other = {0};
    start_receiver(&other, &f->loop, 0);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/other", other.port);
    sw_receiver_options options = f->options;
    options.name = "other";
    options.url = url;
    sw_outbox *second = sw_outbox_new(&f->loop, &f->clock, f->http, f->store, f->metrics, &options);
    f->receiver.otherwise = HANG;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    char fingerprint[16];
    for (int i = 0; i < 50; i++) {
        snprintf(fingerprint, sizeof fingerprint, "f%d", i);
        sw_notification notification = {
            .fingerprint = fingerprint, .content_type = "text/plain", .body = "x", .len = 1};
        sw_outbox_add(f->outbox, batch, &notification);
        sw_outbox_add(second, batch, &notification);
    }
    commit(f, batch);
    sw_outbox_committed(second);
    run_until_received(f, 4);
    while (sw_outbox_depth(second) > 0) {
        uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(other.n, 50);
    assert_int_equal(f->receiver.n, 4);
    assert_int_equal(sw_outbox_depth(f->outbox), 50);
    assert_true(sw_metric_get(f->outbox->m.deliveries, "other", "delivered") == 50);
    sw_outbox_free(second);
    stop_receiver(&other);
    for (int i = 0; i < 10; i++) {
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    forget_received(&other);
}

#define LIMIT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        LIMIT_TEST(what_is_too_much_comes_as_one_summary_when_it_may),
        LIMIT_TEST(groups_count_as_one_each_and_wait_like_others),
        LIMIT_TEST(the_limit_goes_on_over_a_restart),
        LIMIT_TEST(what_waited_when_the_agent_ended_comes_as_one),
        LIMIT_TEST(a_summary_is_tried_again_as_it_was_and_later_notices_wait_behind_it),
        LIMIT_TEST(a_summary_has_no_interval_of_a_group),
        LIMIT_TEST(a_retry_within_the_limit_is_no_summary),
        LIMIT_TEST(a_receiver_that_only_fails_is_asked_by_one_at_a_time),
        LIMIT_TEST(a_refusal_and_too_many_requests_are_answers),
        LIMIT_TEST(a_retry_after_holds_for_all_up_to_30_s),
        LIMIT_TEST(an_answer_without_end_costs_one_deadline_at_most),
        LIMIT_TEST(a_receiver_that_hangs_holds_up_no_other),
    };
    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
