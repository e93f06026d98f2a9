/* What is posted beside the rows, and the pause in which it is. */
#include "delivery/outbox_fixture.h"

static void count_call(void *arg) {
    ++*(int *)arg;
}

static void an_idle_outbox_pauses_at_once_and_sends_nothing_until_it_goes_on(void **state) {
    struct fixture *f = *state;
    int paused = 0;
    sw_outbox_pause(f->outbox, count_call, &paused);
    assert_int_equal(paused, 1);
    send_one(f, "a", "1");
    advance_ms(f, 60000);
    assert_int_equal(f->receiver.n, 0);
    sw_outbox_go_on(f->outbox);
    run_until_received(f, 1);
    run_until_idle(f);
    assert_string_equal(bodies(f), "1");
    assert_int_equal(paused, 1);
}

static void it_pauses_when_what_is_in_flight_has_ended(void **state) {
    struct fixture *f = *state;
    int paused = 0;
    f->receiver.answers[0] = HANG;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    add(f, batch, "a", "1");
    add(f, batch, "a", "2");
    commit(f, batch);
    run_until_received(f, 1);
    sw_outbox_pause(f->outbox, count_call, &paused);
    assert_int_equal(paused, 0);
    close_peer(f->receiver.peers);
    run_until_idle(f);
    assert_int_equal(paused, 1);
    advance_ms(f, 600000);
    assert_int_equal(f->receiver.n, 1);
    sw_outbox_go_on(f->outbox);
    run_until_received(f, 3);
    run_until_idle(f);
    assert_string_equal(bodies(f), "1 1 2");
}

static void going_on_before_it_paused_takes_the_call_back(void **state) {
    struct fixture *f = *state;
    int paused = 0;
    send_one(f, "a", "1");
    sw_outbox_committed(f->outbox);
    sw_outbox_pause(f->outbox, count_call, &paused);
    sw_outbox_go_on(f->outbox);
    run_until_received(f, 1);
    run_until_idle(f);
    assert_int_equal(paused, 0);
}

struct answer_seen {
    int calls;
    bool delivered;
    char message[256];
};

static void take_answer(bool delivered, const char *message, void *arg) {
    struct answer_seen *seen = arg;
    seen->calls++;
    seen->delivered = delivered;
    snprintf(seen->message, sizeof seen->message, "%s", message);
}

static sw_post *post(struct fixture *f, const char *body, struct answer_seen *seen) {
    sw_formatted what = {.content_type = "text/x", .body = body, .len = strlen(body)};
    return sw_outbox_post(f->outbox, &what, take_answer, seen);
}

static void a_post_goes_out_while_rows_wait_and_leaves_none(void **state) {
    struct fixture *f = *state;
    struct answer_seen seen = {0};
    int paused = 0;
    sw_outbox_pause(f->outbox, count_call, &paused);
    send_one(f, "a", "row");
    post(f, "now", &seen);
    assert_int_equal(seen.calls, 0);
    while (seen.calls == 0) {
        uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_true(seen.delivered);
    assert_string_equal(bodies(f), "now");
    assert_non_null(strstr(f->receiver.got[0].head, "POST /hook"));
    assert_non_null(strstr(f->receiver.got[0].head, "Content-Type: text/x"));
    assert_int_equal(stored_rows(f), 1);
    f->receiver.answers[1] = STATUS("500 No");
    post(f, "again", &seen);
    while (seen.calls == 1) {
        uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_false(seen.delivered);
    assert_string_equal(seen.message, "HTTP 500");
    assert_int_equal(f->receiver.n, 2); /* it is not tried again */
    sw_outbox_go_on(f->outbox);
    run_until_received(f, 3);
    run_until_idle(f);
    assert_string_equal(bodies(f), "now again row");
    assert_int_equal(stored_rows(f), 0);
}

static void a_post_that_is_cancelled_says_nothing(void **state) {
    struct fixture *f = *state;
    struct answer_seen seen = {0};
    f->receiver.answers[0] = HANG;
    sw_post *started = post(f, "now", &seen);
    run_until_received(f, 1);
    sw_post_cancel(started);
    run_until_idle(f);
    assert_int_equal(seen.calls, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_idle_outbox_pauses_at_once_and_sends_nothing_until_it_goes_on,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_pauses_when_what_is_in_flight_has_ended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(going_on_before_it_paused_takes_the_call_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_post_goes_out_while_rows_wait_and_leaves_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_post_that_is_cancelled_says_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
