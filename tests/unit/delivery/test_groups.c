/* Alerts that are told together: when, in which notification, and that none is lost or told twice by it. */
#include "delivery/notices.h"

#include <signal.h>
#include <sys/resource.h>

/* ---- when ---- */

static void the_first_of_a_group_waits_and_others_join_it(void **state) {
    struct fixture *f = *state;
    tell(f, "G", "a", "firing");
    advance_ms(f, WAIT_MS - 1);
    tell(f, "G", "b", "firing");
    tell(f, "H", "x", "firing");
    assert_int_equal(f->receiver.n, 0);
    assert_int_equal(sw_outbox_oldest_age_ms(f->outbox), 0); /* waits on purpose */
    advance_ms(f, 1);
    assert_string_equal(told(f), "a firing, b firing");
    advance_ms(f, WAIT_MS - 1);
    assert_string_equal(told(f), "a firing, b firing; x firing");
    assert_settled(f);
    assert_true(deliveries(f, "delivered") == 2);
    assert_true(sw_metric_get(f->outbox->m.combined, "webhook", "told") == 3);
}

static void the_next_of_a_group_comes_an_interval_after_the_last(void **state) {
    struct fixture *f = *state;
    tell(f, "G", "a", "firing");
    advance_ms(f, WAIT_MS);
    tell(f, "G", "b", "firing");
    advance_ms(f, INTERVAL_MS - 1);
    tell(f, "G", "c", "firing");
    assert_string_equal(told(f), "a firing");
    advance_ms(f, 1);
    assert_string_equal(told(f), "a firing; b firing, c firing");
    advance_ms(f, INTERVAL_MS); /* quiet: then the next is a first one again */
    tell(f, "G", "a", "resolved");
    advance_ms(f, WAIT_MS - 1);
    assert_int_equal(f->receiver.n, 2);
    advance_ms(f, 1);
    assert_string_equal(told(f), "a firing; b firing, c firing; a resolved");
    assert_settled(f);
}

static void what_is_on_its_own_waits_for_no_group(void **state) {
    struct fixture *f = *state;
    tell(f, "G", "a", "firing");
    tell(f, NULL, "b", "firing");
    assert_string_equal(told(f), "(b firing)");
    advance_ms(f, WAIT_MS);
    assert_string_equal(told(f), "(b firing); a firing");
}

static void waiting_goes_on_over_a_restart(void **state) {
    struct fixture *f = *state;
    tell(f, "G", "a", "firing");
    advance_ms(f, WAIT_MS - 10);
    f->mono_ns = 5 * SW_NS_PER_S; /* another boot */
    restart(f);
    advance_ms(f, 9);
    assert_int_equal(f->receiver.n, 0);
    advance_ms(f, 1);
    assert_string_equal(told(f), "a firing");
    tell(f, "G", "b", "firing");
    f->mono_ns = 5 * SW_NS_PER_S;
    restart(f);
    advance_ms(f, INTERVAL_MS - 1);
    assert_int_equal(f->receiver.n, 1);
    advance_ms(f, 1);
    assert_string_equal(told(f), "a firing; b firing");
}

static void a_step_of_the_wall_clock_delays_a_group_for_one_interval_at_most(void **state) {
    struct fixture *f = *state;
    tell(f, "G", "a", "firing");
    advance_ms(f, WAIT_MS);
    f->wall_ns -= 86400 * SW_NS_PER_S;
    restart(f);
    tell(f, "G", "b", "firing");
    advance_ms(f, INTERVAL_MS);
    assert_string_equal(told(f), "a firing; b firing");
    tell(f, "H", "c", "firing");
    f->wall_ns -= 86400 * SW_NS_PER_S;
    restart(f);
    advance_ms(f, WAIT_MS);
    assert_string_equal(told(f), "a firing; b firing; c firing");
}

static void a_group_may_wait_for_longer_than_retries_do(void **state) {
    struct fixture *f = *state;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    static const char body[] = "{\"fingerprint\": \"a\", \"status\": \"firing\"}";
    sw_notification notification = {.fingerprint = "a",
                                    .group_key = "G",
                                    .group_wait_ms = INT64_C(86400000),
                                    .content_type = "application/json",
                                    .body = body,
                                    .len = strlen(body)};
    sw_outbox_add(f->outbox, batch, &notification);
    commit(f, batch);
    restart(f);
    advance_ms(f, 86400000 - 1);
    assert_int_equal(f->receiver.n, 0);
    advance_ms(f, 1);
    assert_string_equal(told(f), "a firing");
}

/* ---- what ---- */

static void an_alert_that_ends_before_it_is_told_is_told_once_with_its_evidence(void **state) {
    struct fixture *f = *state;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    notice(f, batch, "G", "a", "firing", "t1");
    notice(f, batch, "G", "b", "firing", "t2");
    notice(f, batch, "G", "a", "resolved", NULL);
    commit(f, batch);
    advance_ms(f, WAIT_MS);
    assert_string_equal(told(f), "b firing, a resolved");
    json_t *root = json_loads(f->receiver.got[0].body, 0, NULL);
    const json_t *ended = json_array_get(json_object_get(root, "alerts"), 1);
    assert_string_equal(json_string_value(json_object_get(ended, "trace_id")), "t1");
    assert_int_equal(json_array_size(json_object_get(ended, "traces")), 1);
    assert_string_equal(json_string_value(json_object_get(root, "fingerprint")), "b"); /* the worst */
    json_decref(root);
    assert_settled(f);
}

static void more_than_max_alerts_are_counted_and_settled(void **state) {
    struct fixture *f = *state;
    f->options.max_alerts = 2;
    restart(f);
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    sw_store_batch *batch = sw_store_batch_new(f->store);
    for (size_t i = 0; i < SW_ARRAY_LEN(names); i++) {
        notice(f, batch, "G", names[i], i == 0 ? "resolved" : "firing", NULL);
    }
    commit(f, batch);
    advance_ms(f, WAIT_MS);
    assert_string_equal(told(f), "b firing, c firing +3");
    assert_settled(f);
    assert_true(sw_metric_get(f->outbox->m.combined, "webhook", "truncated") == 3);
}

static void a_retry_is_the_same_notification_and_what_came_since_is_another(void **state) {
    struct fixture *f = *state;
    f->receiver.answers[0] = f->receiver.answers[1] = STATUS("500 Internal Server Error");
    tell(f, "G", "a", "firing");
    advance_ms(f, WAIT_MS);
    tell(f, "G", "b", "firing");
    tell(f, "G", "a", "resolved");
    advance_ms(f, 500);
    restart(f);
    advance_ms(f, 1000);
    assert_string_equal(told(f), "a firing; a firing; a firing");
    char key[1024];
    snprintf(key, sizeof key, "%s", header(&f->receiver, 0, "Idempotency-Key"));
    for (size_t i = 1; i < 3; i++) {
        assert_string_equal(header(&f->receiver, i, "Idempotency-Key"), key);
        assert_string_equal(f->receiver.got[i].body, f->receiver.got[0].body);
    }
    advance_ms(f, INTERVAL_MS);
    assert_string_equal(told(f), "a firing; a firing; a firing; b firing, a resolved");
    assert_string_not_equal(header(&f->receiver, 3, "Idempotency-Key"), key);
    assert_settled(f);
}

static void a_notification_in_flight_at_the_end_comes_again_as_it_was(void **state) {
    struct fixture *f = *state;
    f->receiver.answers[0] = HANG;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    notice(f, batch, "G", "a", "firing", "t1");
    notice(f, batch, "G", "b", "firing", NULL);
    commit(f, batch);
    f->mono_ns += WAIT_MS * SW_NS_PER_MS;
    f->wall_ns += WAIT_MS * SW_NS_PER_MS;
    sw_outbox_committed(f->outbox);
    assert_int_equal(f->outbox->in_flight, 0); /* what it tells is committed first */
    run_until_received(f, 1);
    batch = sw_store_batch_new(f->store);
    notice(f, batch, "G", "c", "firing", NULL);
    commit(f, batch);
    restart(f);
    advance_ms(f, 0);
    assert_string_equal(told(f), "a firing, b firing; a firing, b firing");
    assert_string_equal(f->receiver.got[1].body, f->receiver.got[0].body);
    char key[1024];
    snprintf(key, sizeof key, "%s", header(&f->receiver, 0, "Idempotency-Key"));
    assert_string_equal(header(&f->receiver, 1, "Idempotency-Key"), key);
    advance_ms(f, INTERVAL_MS);
    assert_settled(f);
}

static void an_alert_that_changes_its_group_is_told_in_order(void **state) {
    struct fixture *f = *state;
    f->receiver.answers[0] = STATUS("500 Internal Server Error");
    tell(f, "warning", "a", "firing");
    advance_ms(f, WAIT_MS);
    tell(f, "critical", "a", "resolved"); /* must not come before what is still tried */
    tell(f, "critical", "b", "firing");
    restart(f);
    advance_ms(f, 499);
    assert_string_equal(told(f), "a firing");
    advance_ms(f, WAIT_MS);
    assert_string_equal(told(f), "a firing; a firing; b firing");
    advance_ms(f, INTERVAL_MS);
    assert_string_equal(told(f), "a firing; a firing; b firing; a resolved");
    assert_settled(f);
}

static void send_again(const sw_outbox_row *rows, int n, void *arg) {
    struct fixture *f = arg;
    assert_int_equal(n, 1);
    sw_store_batch *batch = sw_store_batch_new(f->store);
    sw_outbox_send_again(f->outbox, batch, &rows[0]);
    sw_store_commit(f->store, batch, committed, f);
}

static void a_refused_notification_is_one_dead_letter_that_can_be_sent_again(void **state) {
    struct fixture *f = *state;
    f->receiver.answers[0] = STATUS("400 Bad Request");
    tell(f, "G", "a", "firing");
    tell(f, "G", "b", "firing");
    advance_ms(f, WAIT_MS);
    assert_int_equal(sw_outbox_dead(f->outbox), 1);
    assert_int_equal(sw_outbox_depth(f->outbox), 0);
    restart(f);
    sw_outbox_dead_letters(f->outbox, 0, 10, send_again, f);
    run_until_received(f, 2);
    run_until_idle(f);
    assert_string_equal(told(f), "a firing, b firing; a firing, b firing");
    assert_string_equal(f->receiver.got[1].body, f->receiver.got[0].body);
    assert_int_equal(sw_outbox_dead(f->outbox), 0);
    assert_settled(f);
}

/* "2 1 0": how many of the group fired after each notification. Valid until the next call. */
static const char *firing(struct fixture *f) {
    static char text[256];
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < f->receiver.n; i++) {
        json_t *root = json_loads(f->receiver.got[i].body, 0, NULL);
        json_int_t value = json_integer_value(json_object_get(root, "group_firing"));
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%d", i > 0 ? " " : "", (int)value);
        json_decref(root);
    }
    return text;
}

static void count_member(const char *receiver, const char *fingerprint, const char *group_key, void *arg) {
    (void)receiver;
    (void)fingerprint;
    (void)group_key;
    ++*(int *)arg;
}

static void assert_members(struct fixture *f, int expected) {
    int n = 0;
    assert_int_equal(sw_store_each_group_member(f->store, count_member, &n), 0);
    assert_int_equal(n, expected);
    size_t firing = 0;
    for (sw_lane *lane = f->outbox->queue.groups; lane != NULL; lane = lane->hh.next) {
        firing += lane->n_firing;
    }
    assert_int_equal(firing, expected);
}

static void a_notification_says_how_many_of_the_group_still_fire(void **state) {
    struct fixture *f = *state;
    tell(f, "G", "a", "firing");
    tell(f, "G", "b", "firing");
    tell(f, "H", "x", "firing");
    tell(f, "G", "short", "firing");
    tell(f, "G", "short", "resolved"); /* never told to fire */
    advance_ms(f, WAIT_MS);
    assert_string_equal(firing(f), "2 1");
    assert_members(f, 3);
    tell(f, "G", "a", "resolved");
    restart(f);
    advance_ms(f, INTERVAL_MS);
    tell(f, "G", "b", "firing"); /* a repetition */
    advance_ms(f, INTERVAL_MS);
    tell(f, "H", "b", "firing"); /* stays in its group, in which H would be told */
    tell(f, "H", "x", "resolved");
    advance_ms(f, INTERVAL_MS);
    assert_string_equal(firing(f), "2 1 1 1 0 1");
    assert_members(f, 1);
    tell(f, NULL, "b", "resolved"); /* groups were switched off */
    advance_ms(f, INTERVAL_MS);
    assert_string_equal(firing(f), "2 1 1 1 0 1 0");
    assert_members(f, 0);
}

/* "G H -": the group of each notification. Valid until the next call. */
static const char *groups(struct fixture *f) {
    static char text[256];
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < f->receiver.n; i++) {
        json_t *root = json_loads(f->receiver.got[i].body, 0, NULL);
        const char *key = json_string_value(json_object_get(root, "group_key"));
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i > 0 ? " " : "", key != NULL ? key : "-");
        json_decref(root);
    }
    return text;
}

/* As who has opened an incident of the group needs it: routes and groups were changed in between. */
static void the_end_comes_in_the_group_in_which_the_beginning_was_told(void **state) {
    struct fixture *f = *state;
    tell(f, "G:{\"type\":\"slow\"}", "a", "firing");
    tell(f, "G:{\"type\":\"slow\"}", "b", "firing");
    tell(f, NULL, "c", "firing");
    advance_ms(f, WAIT_MS);
    restart(f);
    tell(f, "H", "a", "over");
    tell(f, NULL, "b", "over");
    tell(f, "H", "c", "over");
    restart(f);
    advance_ms(f, INTERVAL_MS);
    assert_string_equal(told(f), "(c firing); a firing, b firing; (c over); a over, b over");
    assert_string_equal(groups(f), "- G:{\"type\":\"slow\"} - G:{\"type\":\"slow\"}");
    json_t *root = json_loads(f->receiver.got[3].body, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(json_object_get(root, "group_labels"), "type")),
                        "slow");
    assert_int_equal(json_integer_value(json_object_get(root, "group_firing")), 0);
    json_decref(root);
    assert_members(f, 0);
    assert_settled(f);
}

static void what_nothing_is_said_of_any_more_does_not_count(void **state) {
    struct fixture *f = *state;
    tell(f, "G", "a", "firing");
    tell(f, "G", "b", "firing");
    advance_ms(f, WAIT_MS);
    sw_store_batch *batch = sw_store_batch_new(f->store);
    sw_outbox_forget(f->outbox, batch, "a");
    sw_outbox_forget(f->outbox, batch, "unknown");
    commit(f, batch);
    tell(f, "G", "b", "resolved");
    advance_ms(f, INTERVAL_MS);
    assert_string_equal(firing(f), "2 0");
    assert_members(f, 0);
}

static void count_notified(const char *receiver, const char *group_key, int64_t at_ns, int64_t interval_ms,
                           void *arg) {
    (void)receiver;
    (void)group_key;
    (void)at_ns;
    (void)interval_ms;
    ++*(int *)arg;
}

static void what_went_out_long_ago_is_forgotten(void **state) {
    struct fixture *f = *state;
    tell(f, "G", "a", "firing");
    advance_ms(f, WAIT_MS);
    tell(f, "G", "a", "resolved");
    advance_ms(f, INTERVAL_MS);
    for (int expected = 2; expected >= 0; expected -= 2) {
        int n = 0;
        restart(f);
        run_until_idle(f);
        assert_int_equal(sw_store_each_notified(f->store, count_notified, &n), 0);
        assert_int_equal(n, expected);
        assert_int_equal(HASH_COUNT(f->outbox->queue.groups), expected > 0 ? 1 : 0);
        advance_ms(f, 3600000);
    }
}

static void what_does_not_fit_in_memory_comes_with_the_next(void **state) {
    struct fixture *f = *state;
    f->options.max_rows = 4;
    restart(f);
    sw_store_batch *batch = sw_store_batch_new(f->store);
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    for (size_t i = 0; i < SW_ARRAY_LEN(names); i++) {
        notice(f, batch, "G", names[i], "firing", NULL);
    }
    commit(f, batch);
    run_until_idle(f);
    advance_ms(f, WAIT_MS);
    restart(f);
    advance_ms(f, INTERVAL_MS);
    advance_ms(f, INTERVAL_MS);
    assert_string_equal(
        told(f), "a firing, b firing, c firing, d firing; e firing, f firing, g firing, h firing; i firing");
    assert_settled(f);
}

static bool is_known(const char *fingerprint, void *arg) {
    return strchr(arg, fingerprint[0]) != NULL;
}

/* Alerts of one trace have no end that is told. */
static void what_ended_without_a_word_does_not_count(void **state) {
    struct fixture *f = *state;
    tell(f, "G", "a", "firing");
    tell(f, "G", "b", "firing");
    advance_ms(f, WAIT_MS);
    tell(f, "G", "c", "firing"); /* waits */
    sw_outbox_sweep(f->outbox, is_known, "b");
    run_until_idle(f);
    assert_members(f, 1);
    advance_ms(f, INTERVAL_MS);
    sw_outbox_sweep(f->outbox, is_known, "b");
    restart(f);
    tell(f, "G", "b", "over");
    advance_ms(f, INTERVAL_MS);
    assert_string_equal(told(f), "a firing, b firing; c firing; b over");
    assert_string_equal(firing(f), "2 2 0");
    assert_members(f, 0);
    assert_settled(f);
}

/* ---- when the store fails ---- */

static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void when_the_store_is_full_a_group_is_sent_from_memory_and_settled_later(void **state) {
    struct fixture *f = *state;
    signal(SIGXFSZ, SIG_IGN);
    tell(f, "G", "a", "firing"); /* stored */
    limit_files(1);
    sw_store_batch *batch = sw_store_batch_new(f->store);
    notice(f, batch, "G", "b", "firing", NULL);
    notice(f, batch, "H", "c", "firing", NULL);
    notice(f, batch, "H", "d", "firing", NULL);
    commit(f, batch);
    assert_int_equal(f->commit_result, -1);
    f->wall_ns += WAIT_MS * SW_NS_PER_MS;
    f->mono_ns += WAIT_MS * SW_NS_PER_MS;
    sw_outbox_committed(f->outbox);
    run_until_received(f, 2);
    while (f->outbox->in_flight > 0) {
        uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(sw_outbox_depth(f->outbox), 0);
    limit_files(RLIM_INFINITY);
    assert_int_equal(stored_rows(f), 1);
    commit(f, f->returned);
    assert_int_equal(f->commit_result, 0);
    run_until_idle(f);
    assert_int_equal(f->receiver.n, 2);
    assert_settled(f);
    restart(f);
    advance_ms(f, INTERVAL_MS);
    assert_int_equal(f->receiver.n, 2);
}

#define GROUP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        GROUP_TEST(the_first_of_a_group_waits_and_others_join_it),
        GROUP_TEST(the_next_of_a_group_comes_an_interval_after_the_last),
        GROUP_TEST(what_is_on_its_own_waits_for_no_group),
        GROUP_TEST(waiting_goes_on_over_a_restart),
        GROUP_TEST(a_step_of_the_wall_clock_delays_a_group_for_one_interval_at_most),
        GROUP_TEST(a_group_may_wait_for_longer_than_retries_do),
        GROUP_TEST(an_alert_that_ends_before_it_is_told_is_told_once_with_its_evidence),
        GROUP_TEST(more_than_max_alerts_are_counted_and_settled),
        GROUP_TEST(a_retry_is_the_same_notification_and_what_came_since_is_another),
        GROUP_TEST(a_notification_in_flight_at_the_end_comes_again_as_it_was),
        GROUP_TEST(an_alert_that_changes_its_group_is_told_in_order),
        GROUP_TEST(a_refused_notification_is_one_dead_letter_that_can_be_sent_again),
        GROUP_TEST(a_notification_says_how_many_of_the_group_still_fire),
        GROUP_TEST(the_end_comes_in_the_group_in_which_the_beginning_was_told),
        GROUP_TEST(what_nothing_is_said_of_any_more_does_not_count),
        GROUP_TEST(what_ended_without_a_word_does_not_count),
        GROUP_TEST(what_went_out_long_ago_is_forgotten),
        GROUP_TEST(what_does_not_fit_in_memory_comes_with_the_next),
        GROUP_TEST(when_the_store_is_full_a_group_is_sent_from_memory_and_settled_later),
    };
    return cmocka_run_group_tests_name("groups", tests, NULL, NULL);
}
