#include "delivery/outbox_fixture.h"

#include <signal.h>
#include <sys/resource.h>

static void a_notification_is_posted_and_its_row_deleted(void **state) {
    struct fixture *f = *state;
    send_one(f, "f", "{\"a\":1}");
    run_until_idle(f);
    assert_int_equal(f->receiver.n, 1);
    assert_memory_equal(f->receiver.got[0].head, "POST /hook HTTP/1.1\r\n", 21);
    assert_string_equal(f->receiver.got[0].body, "{\"a\":1}");
    assert_string_equal(header(&f->receiver, 0, "Content-Type"), "application/json");
    assert_string_equal(header(&f->receiver, 0, "User-Agent"), "spanwatch/" SW_VERSION);
    assert_int_equal(strlen(header(&f->receiver, 0, "Idempotency-Key")), 36);
    assert_string_equal(header(&f->receiver, 0, "X-Spanwatch-Signature"), "");
    assert_int_equal(sw_outbox_depth(f->outbox), 0);
    assert_int_equal(stored_rows(f), 0);
    assert_true(deliveries(f, "delivered") == 1);
    assert_true(sw_metric_get(f->outbox->m.depth, "webhook") == 0);
    assert_int_equal(f->log_lines, 0);
}

static void nothing_is_sent_before_its_own_commit(void **state) {
    struct fixture *f = *state;
    sw_store_batch *later = sw_store_batch_new(f->store);
    add(f, later, "f", "later");
    send_one(f, "g", "now"); /* another commit ends */
    run_until_idle(f);
    assert_string_equal(bodies(f), "now");
    assert_int_equal(sw_outbox_depth(f->outbox), 1);
    commit(f, later);
    run_until_idle(f);
    assert_string_equal(bodies(f), "now later");
}

static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void when_the_store_is_full_it_is_sent_from_memory_and_settled_later(void **state) {
    struct fixture *f = *state;
    signal(SIGXFSZ, SIG_IGN);
    f->receiver.answers[1] = STATUS("400 Bad Request");
    limit_files(1);
    sw_store_batch *batch = sw_store_batch_new(f->store);
    add(f, batch, "f", "one");
    add(f, batch, "f", "two");
    commit(f, batch);
    assert_int_equal(f->commit_result, -1);
    run_until_idle(f);
    assert_string_equal(bodies(f), "one two");
    assert_int_equal(sw_outbox_depth(f->outbox), 0);
    assert_int_equal(sw_outbox_dead(f->outbox), 1);
    limit_files(RLIM_INFINITY);
    assert_int_equal(stored_rows(f), 0);
    commit(f,
           f->returned); /* the caller tries again: both rows are written now, and then what became of them */
    assert_int_equal(f->commit_result, 0);
    run_until_idle(f);
    assert_string_equal(bodies(f), "one two");
    assert_int_equal(stored_rows(f), 1);
    restart(f);
    run_until_idle(f);
    assert_int_equal(sw_outbox_dead(f->outbox), 1);
    assert_string_equal(bodies(f), "one two");
}

static void a_batch_that_is_given_up_leaves_its_rows_to_the_outbox(void **state) {
    struct fixture *f = *state;
    f->receiver.answers[0] = STATUS("500 Internal Server Error");
    sw_store_batch *batch = sw_store_batch_new(f->store);
    add(f, batch, "f", "one");
    sw_store_batch_free(batch);
    run_until_idle(f);
    assert_int_equal(f->receiver.n, 1);
    assert_int_equal(stored_rows(f), 1);
    advance_ms(f, 1001);
    assert_string_equal(bodies(f), "one one");
    assert_int_equal(stored_rows(f), 0);
}

static void the_status_decides(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *answer;
        char verdict; /* delivered, retried, dead */
    } cases[] = {
        {OK, 'd'},
        {STATUS("201 Created"), 'd'},
        {STATUS("202 Accepted"), 'd'},
        {"HTTP/1.1 204 No Content\r\n\r\n", 'd'},
        {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nhalf a body", 'd'},
        {"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\nConnection: close\r\n\r\nhuge", 'd'},
        {STATUS("408 Request Timeout"), 'r'},
        {STATUS("425 Too Early"), 'r'},
        {STATUS("429 Too Many Requests"), 'r'},
        {STATUS("500 Internal Server Error"), 'r'},
        {STATUS("503 Service Unavailable"), 'r'},
        {RESET, 'r'},
        {"this is not HTTP\r\n\r\nConnection: close", 'r'},
        {STATUS("301 Moved Permanently"), 'x'},
        {STATUS("400 Bad Request"), 'x'},
        {STATUS("401 Unauthorized"), 'x'},
        {STATUS("404 Not Found"), 'x'},
        {STATUS("413 Content Too Large"), 'x'},
    };
    size_t dead = 0;
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        char verdict = cases[i].verdict;
        double delivered = deliveries(f, "delivered"), retried = deliveries(f, "retried");
        forget_received(&f->receiver);
        f->receiver.answers[0] = cases[i].answer;
        send_one(f, "f", "body");
        run_until_idle(f);
        dead += verdict == 'x' ? 1 : 0;
        assert_int_equal(f->receiver.n, 1);
        assert_int_equal(deliveries(f, "delivered") - delivered, verdict == 'd');
        assert_int_equal(deliveries(f, "retried") - retried, verdict == 'r');
        assert_int_equal(deliveries(f, "dead"), dead);
        assert_int_equal(sw_outbox_dead(f->outbox), dead);
        assert_int_equal(sw_outbox_depth(f->outbox), verdict == 'r');
        assert_int_equal(stored_rows(f), dead + (verdict == 'r' ? 1 : 0));
        advance_ms(f, 8001);
        assert_int_equal(f->receiver.n, verdict == 'r' ? 2 : 1);
        assert_int_equal(sw_outbox_depth(f->outbox), 0);
    }
}

static void a_retry_waits_and_has_the_same_key(void **state) {
    struct fixture *f = *state;
    f->receiver.otherwise = STATUS("500 Internal Server Error");
    send_one(f, "f", "body");
    run_until_idle(f);
    char key[1024];
    snprintf(key, sizeof key, "%s", header(&f->receiver, 0, "Idempotency-Key"));
    static const int64_t pauses_ms[] = {500, 1000, 2000, 4000, 4000};
    for (size_t i = 0; i < SW_ARRAY_LEN(pauses_ms); i++) {
        if (i == 3) {
            restart(f);
        }
        advance_ms(f, pauses_ms[i] - 1);
        assert_int_equal(f->receiver.n, i + 1);
        advance_ms(f, 1);
        assert_int_equal(f->receiver.n, i + 2);
        assert_string_equal(header(&f->receiver, i + 1, "Idempotency-Key"), key);
    }
    f->receiver.otherwise = OK;
    advance_ms(f, 8001);
    assert_int_equal(sw_outbox_depth(f->outbox), 0);
    assert_string_equal(header(&f->receiver, f->receiver.n - 1, "Idempotency-Key"), key);
}

static void retry_after_is_honoured_in_both_forms_for_an_hour_at_most(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *answer;
        int64_t wait_s;
    } cases[] = {
        {"HTTP/1.1 429 Too Many\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n", 120},
        {"HTTP/1.1 503 Away\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\nRetry-After: Tue, 14 Nov 2023 22:18:20 "
         "GMT\r\nContent-Length: 0\r\n\r\n",
         300},
        {"HTTP/1.1 503 Away\r\nRetry-After: 99999999\r\nContent-Length: 0\r\n\r\n", 3600},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        forget_received(&f->receiver);
        f->receiver.answers[0] = cases[i].answer;
        send_one(f, "f", "body");
        run_until_idle(f);
        advance_ms(f, cases[i].wait_s * 1000 - 1);
        assert_int_equal(f->receiver.n, 1);
        advance_ms(f, 1);
        assert_int_equal(f->receiver.n, 2);
    }
}

static void rows_of_one_fingerprint_keep_their_order_and_others_pass(void **state) {
    struct fixture *f = *state;
    f->options.max_in_flight = 1; /* so that the first answer is the first row's */
    restart(f);
    f->receiver.answers[0] = STATUS("503 Away");
    sw_store_batch *batch = sw_store_batch_new(f->store);
    add(f, batch, "f", "f1");
    add(f, batch, "f", "f2");
    add(f, batch, "g", "g1");
    add(f, batch, "g", "g2");
    commit(f, batch);
    run_until_idle(f);
    send_one(f, "f", "f3");
    run_until_idle(f);
    assert_string_equal(bodies(f), "f1 g1 g2");
    advance_ms(f, 500);
    assert_string_equal(bodies(f), "f1 g1 g2 f1 f2 f3");
    assert_int_equal(stored_rows(f), 0);
}

static void a_dead_letter_lets_the_next_pass(void **state) {
    struct fixture *f = *state;
    f->receiver.answers[0] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 12\r\n\r\nno\r\n\"text\"  ";
    sw_store_batch *batch = sw_store_batch_new(f->store);
    add(f, batch, "f", "bad");
    add(f, batch, "f", "good");
    commit(f, batch);
    run_until_idle(f);
    assert_string_equal(bodies(f), "bad good");
    assert_int_equal(sw_outbox_dead(f->outbox), 1);
    assert_int_equal(stored_rows(f), 1);
    assert_true(sw_metric_get(f->outbox->m.dead, "webhook") == 1);
}

static void at_most_so_many_are_in_flight(void **state) {
    struct fixture *f = *state;
    f->receiver.otherwise = HANG;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    char fingerprint[16];
    for (int i = 0; i < 10; i++) {
        snprintf(fingerprint, sizeof fingerprint, "f%d", i);
        add(f, batch, fingerprint, "x");
    }
    commit(f, batch);
    run_until_received(f, 4);
    for (int i = 0; i < 20; i++) {
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(f->receiver.n, 4);
    assert_int_equal(f->outbox->in_flight, 4);
    assert_int_equal(sw_outbox_depth(f->outbox), 10);
}

static void a_receiver_that_hangs_is_a_failure_at_the_deadline(void **state) {
    struct fixture *f = *state;
    f->options.timeout_ms = 20;
    restart(f);
    f->receiver.answers[0] = HANG;
    send_one(f, "f", "x");
    run_until_idle(f);
    assert_true(deliveries(f, "retried") == 1);
    advance_ms(f, 1001);
    assert_true(deliveries(f, "delivered") == 1);
}

static void a_receiver_that_is_away_is_asked_by_one_at_a_time(void **state) {
    struct fixture *f = *state;
    f->receiver.otherwise = RESET;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    char fingerprint[16];
    for (int i = 0; i < 30; i++) {
        snprintf(fingerprint, sizeof fingerprint, "f%d", i);
        add(f, batch, fingerprint, "x");
    }
    commit(f, batch);
    run_until_idle(f);
    const size_t first = 6; /* 4 together; 2 more when the first and the second had failed */
    assert_int_equal(f->receiver.n, first);
    for (size_t i = 0; i < 5; i++) {
        advance_ms(f, 3999);
        assert_int_equal(f->receiver.n, first + i);
        advance_ms(f, 1);
        assert_int_equal(f->receiver.n, first + i + 1);
    }
    f->receiver.otherwise = OK;
    advance_ms(f, 4000); /* one is answered, and all are sent */
    assert_int_equal(sw_outbox_depth(f->outbox), 0);
    assert_true(deliveries(f, "delivered") == 30);
    assert_int_equal(f->outbox->in_trouble, 0);
}

static void what_is_too_old_becomes_a_dead_letter(void **state) {
    struct fixture *f = *state;
    f->receiver.otherwise = STATUS("500 Internal Server Error");
    send_one(f, "f", "x");
    run_until_idle(f);
    advance_ms(f, 3600 * 1000 - 10000);
    assert_int_equal(sw_outbox_dead(f->outbox), 0);
    assert_true(sw_outbox_oldest_age_ms(f->outbox) >= 3590 * 1000);
    advance_ms(f, 20000);
    assert_int_equal(sw_outbox_dead(f->outbox), 1);
    assert_int_equal(sw_outbox_depth(f->outbox), 0);
    assert_int_equal(sw_outbox_oldest_age_ms(f->outbox), 0);
    size_t before = f->receiver.n;
    restart(f);
    advance_ms(f, 3600 * 1000);
    assert_int_equal(sw_outbox_dead(f->outbox), 1);
    assert_int_equal(f->receiver.n, before);
    assert_int_equal(stored_rows(f), 1);
}

static void a_restart_goes_on_where_it_was(void **state) {
    struct fixture *f = *state;
    f->receiver.answers[0] = "HTTP/1.1 503 Away\r\nRetry-After: 100\r\nContent-Length: 0\r\n\r\n";
    send_one(f, "f", "x");
    run_until_idle(f);
    f->mono_ns = 5 * SW_NS_PER_S; /* another boot */
    restart(f);
    assert_int_equal(sw_outbox_depth(f->outbox), 1);
    advance_ms(f, 99 * 1000);
    assert_int_equal(f->receiver.n, 1);
    advance_ms(f, 1000);
    assert_string_equal(bodies(f), "x x");
}

static void a_step_of_the_wall_clock_delays_for_an_hour_at_most(void **state) {
    struct fixture *f = *state;
    f->receiver.answers[0] = STATUS("500 Internal Server Error");
    send_one(f, "f", "x");
    run_until_idle(f);
    f->wall_ns -= 86400 * SW_NS_PER_S;
    advance_ms(f, 1001); /* while running the wall clock does not matter */
    assert_string_equal(bodies(f), "x x");
    f->receiver.answers[2] = STATUS("500 Internal Server Error");
    send_one(f, "f", "y");
    run_until_idle(f);
    f->wall_ns -= 86400 * SW_NS_PER_S;
    restart(f);
    advance_ms(f, 3600 * 1000);
    assert_string_equal(bodies(f), "x x y y");
}

static void what_is_in_flight_at_the_end_is_sent_again_with_its_key(void **state) {
    struct fixture *f = *state;
    f->receiver.answers[0] = HANG;
    send_one(f, "f", "x");
    run_until_received(f, 1);
    char key[1024];
    snprintf(key, sizeof key, "%s", header(&f->receiver, 0, "Idempotency-Key"));
    restart(f);
    run_until_idle(f);
    assert_string_equal(bodies(f), "x x");
    assert_string_equal(header(&f->receiver, 1, "Idempotency-Key"), key);
}

static void rows_that_do_not_fit_in_memory_are_sent_later_and_in_order(void **state) {
    struct fixture *f = *state;
    f->options.max_rows = 4;
    f->options.max_in_flight = 1;
    restart(f);
    char expected[256] = "", body[32];
    for (int i = 0; i < 3; i++) {
        sw_store_batch *batch = sw_store_batch_new(f->store);
        for (int j = 0; j < 7; j++) {
            snprintf(body, sizeof body, "%d%d", i, j);
            add(f, batch, "f", body);
            strcat(strcat(expected, expected[0] != '\0' ? " " : ""), body);
        }
        assert_int_equal(sw_outbox_depth(f->outbox), f->outbox->queue.n_live + f->outbox->n_unloaded);
        assert_true(f->outbox->queue.n_live <= 4);
        commit(f, batch);
    }
    run_until_idle(f);
    assert_string_equal(bodies(f), expected);
    assert_int_equal(sw_outbox_depth(f->outbox), 0);
    assert_int_equal(stored_rows(f), 0);
}

static void rows_that_do_not_fit_at_the_start_are_loaded_later(void **state) {
    struct fixture *f = *state;
    f->receiver.otherwise = HANG;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    char body[16];
    for (int i = 0; i < 20; i++) {
        snprintf(body, sizeof body, "%d", i);
        add(f, batch, "f", body);
    }
    commit(f, batch);
    run_until_received(f, 1);
    forget_received(&f->receiver);
    f->receiver.otherwise = OK;
    f->options.max_rows = 3;
    restart(f);
    assert_int_equal(sw_outbox_depth(f->outbox), 20);
    assert_int_equal(f->outbox->queue.n_live, 3);
    run_until_idle(f);
    assert_string_equal(bodies(f), "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19");
    assert_int_equal(stored_rows(f), 0);
}

static void note_drained(void *arg) {
    ++*(int *)arg;
}

static void draining_waits_for_what_is_in_flight_and_starts_nothing(void **state) {
    struct fixture *f = *state;
    f->options.max_in_flight = 1;
    restart(f);
    sw_store_batch *batch = sw_store_batch_new(f->store);
    add(f, batch, "f", "one");
    add(f, batch, "g", "two");
    commit(f, batch);
    int drained = 0;
    sw_outbox_drain(f->outbox, note_drained, &drained);
    assert_int_equal(drained, 0);
    while (drained == 0) {
        uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_string_equal(bodies(f), "one");
    assert_int_equal(drained, 1);
    assert_int_equal(stored_rows(f), 1); /* what was delivered is written */
    restart(f);
    run_until_idle(f);
    assert_string_equal(bodies(f), "one two");
    sw_outbox_drain(f->outbox, note_drained, &drained);
    assert_int_equal(drained, 2); /* at once */
}

static void failures_are_logged_when_they_change(void **state) {
    struct fixture *f = *state;
    f->receiver.otherwise = STATUS("500 Internal Server Error");
    for (int i = 0; i < 5; i++) {
        send_one(f, i % 2 == 0 ? "f" : "g", "x");
        run_until_idle(f);
    }
    assert_int_equal(f->log_lines, 1);
    assert_non_null(strstr(f->last_log, "HTTP 500"));
    f->receiver.otherwise = OK;
    advance_ms(f, 8001);
    assert_int_equal(sw_outbox_depth(f->outbox), 0);
    assert_int_equal(f->log_lines, 2);
    assert_non_null(strstr(f->last_log, "delivered again"));
    f->receiver.otherwise = STATUS("400 Bad Request");
    send_one(f, "f", "x");
    run_until_idle(f);
    assert_int_equal(f->log_lines, 3);
    assert_non_null(strstr(f->last_log, "dead letter"));
}

#define OUTBOX_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        OUTBOX_TEST(a_notification_is_posted_and_its_row_deleted),
        OUTBOX_TEST(nothing_is_sent_before_its_own_commit),
        OUTBOX_TEST(when_the_store_is_full_it_is_sent_from_memory_and_settled_later),
        OUTBOX_TEST(a_batch_that_is_given_up_leaves_its_rows_to_the_outbox),
        OUTBOX_TEST(the_status_decides),
        OUTBOX_TEST(a_retry_waits_and_has_the_same_key),
        OUTBOX_TEST(retry_after_is_honoured_in_both_forms_for_an_hour_at_most),
        OUTBOX_TEST(rows_of_one_fingerprint_keep_their_order_and_others_pass),
        OUTBOX_TEST(a_dead_letter_lets_the_next_pass),
        OUTBOX_TEST(at_most_so_many_are_in_flight),
        OUTBOX_TEST(a_receiver_that_hangs_is_a_failure_at_the_deadline),
        OUTBOX_TEST(a_receiver_that_is_away_is_asked_by_one_at_a_time),
        OUTBOX_TEST(what_is_too_old_becomes_a_dead_letter),
        OUTBOX_TEST(a_restart_goes_on_where_it_was),
        OUTBOX_TEST(a_step_of_the_wall_clock_delays_for_an_hour_at_most),
        OUTBOX_TEST(what_is_in_flight_at_the_end_is_sent_again_with_its_key),
        OUTBOX_TEST(rows_that_do_not_fit_in_memory_are_sent_later_and_in_order),
        OUTBOX_TEST(rows_that_do_not_fit_at_the_start_are_loaded_later),
        OUTBOX_TEST(draining_waits_for_what_is_in_flight_and_starts_nothing),
        OUTBOX_TEST(failures_are_logged_when_they_change),
    };
    return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
