#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sources/fake_tempo.h"

#define FAILED "00000000000000000000000000000abc"

static void an_exact_count_is_what_was_sent(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 300, 700, 3);
    fake_add(fake, (fake_span){.trace = FAILED,
                               .id = "00000000000000aa",
                               .status = "error",
                               .message = "no",
                               .at_s = 520,
                               .duration_ms = 30,
                               .visible_s = 520});
    fake_source(fake);
    fake_poll(fake); /* at 600: horizon 540, origin 480 */
    fake_assert_whole(fake);
    assert_int_equal(fake->result.horizon_s, fake_s(fake, 540));
    assert_int_equal(fake->source->ops->counts_known_until(fake->source, fake_s(fake, 480)),
                     fake_s(fake, 540));
    fake_assert_counts(fake, 480, 510, 10, 0);
    fake_assert_counts(fake, 510, 540, 11, 1);
    assert_int_equal(fake->ranges, 1);
    assert_int_equal(fake->searches, 1);
    assert_int_equal(fake->asked, 2);
    fake_poll_after(fake, 30);
    fake_assert_whole(fake);
    fake_assert_counts(fake, 540, 570, 10, 0);
    fake_assert_counts(fake, 480, 570, 31, 1);
    assert_int_equal(fake->asked, 2);
    fake_free(fake);
}

static void a_window_has_the_histogram_and_is_not_estimated(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 500, 540, 10);
    fake_source(fake);
    fake_poll(fake);
    sw_window window;
    sw_window_init(&window);
    fake->source->ops->build_window(fake->source, fake_s(fake, 480), fake_s(fake, 540), &window);
    assert_true(window.complete);
    assert_false(window.estimated);
    assert_string_equal(window.source, "tempo");
    assert_int_equal(window.n_series, 1);
    assert_string_equal(window.series[0].service, "shop");
    assert_string_equal(window.series[0].operation, "GET /");
    assert_int_equal(window.series[0].n_buckets, 1);
    assert_true(window.series[0].buckets[0].lower_ms == 16.777216);
    assert_true(window.series[0].buckets[0].upper_ms == 33.554432);
    assert_true(window.series[0].buckets[0].count == 4);
    sw_window_release(&window);
    fake_free(fake);
}

static void build_window_asks_nothing(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 400, 700, 5);
    fake_source(fake);
    fake_poll(fake);
    unsigned asked = fake->asked;
    for (int i = 0; i < 10; i++) {
        fake_assert_counts(fake, 480, 540, 12, 0);
    }
    assert_int_equal(fake->asked, asked);
    assert_int_equal(sw_http_client_active(fake->http), 0);
    fake_free(fake);
}

static void late_spans_repair_the_count_and_raise_the_revision(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 400, 800, 3);
    fake_add(fake, (fake_span){.trace = FAILED,
                               .id = "00000000000000aa",
                               .status = "error",
                               .at_s = 520,
                               .duration_ms = 30,
                               .visible_s = 625});
    fake_source(fake);
    fake_poll(fake);
    fake_assert_counts(fake, 510, 540, 10, 0);
    assert_int_equal(fake->source->ops->revision(fake->source, fake_s(fake, 480), fake_s(fake, 540)), 0);
    fake_poll_after(fake, 30);
    fake_assert_counts(fake, 510, 540, 11, 1);
    assert_int_equal(fake->source->ops->revision(fake->source, fake_s(fake, 480), fake_s(fake, 540)), 1);
    assert_int_equal(fake->source->ops->revision(fake->source, fake_s(fake, 480), fake_s(fake, 510)), 0);
    fake_free(fake);
}

static void counts_older_than_150_s_are_final(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 400, 900, 3);
    fake_add(
        fake,
        (fake_span){
            .trace = FAILED, .id = "00000000000000aa", .at_s = 520, .duration_ms = 30, .visible_s = 745});
    fake_source(fake);
    for (int i = 0; i < 9; i++) {
        fake_poll(fake);
        fake_assert_whole(fake);
        fake->now_ns += 30 * SW_NS_PER_S;
    }
    fake_assert_counts(fake, 510, 540, 10, 0);
    assert_int_equal(fake->source->ops->revision(fake->source, fake_s(fake, 480), fake_s(fake, 780)), 0);
    fake_free(fake);
}

static void left_edges_are_told_from_the_counts(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake->left_edges = true;
    fake->options.lookback_s = 300;
    fake_traffic(fake, 200, 800, 3);
    fake_add(fake, (fake_span){.trace = FAILED,
                               .id = "00000000000000aa",
                               .status = "error",
                               .at_s = 520,
                               .duration_ms = 30,
                               .visible_s = 520});
    fake_source(fake);
    for (int i = 0; i < 3; i++) {
        fake_poll(fake);
        fake_assert_counts(fake, 510, 540, 11, 1);
        fake_assert_counts(fake, 480, 510, 10, 0);
        fake->now_ns += 30 * SW_NS_PER_S;
    }
    fake_free(fake);
}

static void right_edges_stay_believed_when_traffic_ends(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 200, 600, 3);
    fake_source(fake);
    for (int i = 0; i < 5; i++) {
        fake_poll(fake);
        fake->now_ns += 30 * SW_NS_PER_S;
    }
    fake_assert_counts(fake, 570, 600, 10, 0);
    fake_assert_counts(fake, 600, 660, 0, 0);
    fake_free(fake);
}

static void zero_is_known_when_nothing_was_sent(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_source(fake);
    fake_poll(fake);
    fake_assert_whole(fake);
    assert_int_equal(fake->source->ops->counts_known_until(fake->source, fake_s(fake, 480)),
                     fake_s(fake, 540));
    fake_assert_counts(fake, 480, 540, 0, 0);
    fake_poll_after(fake, 30);
    fake_assert_whole(fake);
    assert_int_equal(fake->asked, 2);
    fake_free(fake);
}

static void traffic_after_silence_is_counted_exactly(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 605, 900, 5);
    fake_source(fake);
    fake_poll(fake);
    for (int i = 0; i < 4; i++) {
        fake_poll_after(fake, 30);
        fake_assert_whole(fake);
    }
    fake_assert_counts(fake, 600, 630, 5, 0);
    fake_assert_counts(fake, 630, 660, 6, 0);
    sw_window window;
    sw_window_init(&window);
    fake->source->ops->build_window(fake->source, fake_s(fake, 600), fake_s(fake, 660), &window);
    assert_false(window.estimated);
    sw_window_release(&window);
    fake_free(fake);
}

static void without_metrics_counts_come_from_search(void **state) {
    (void)state;
    for (int empty = 0; empty < 2; empty++) {
        fake_tempo *fake = fake_new();
        fake->no_metrics = !empty;
        fake->empty_metrics = empty;
        fake_traffic(fake, 400, 900, 3);
        fake_add(fake, (fake_span){.trace = FAILED,
                                   .id = "00000000000000aa",
                                   .status = "error",
                                   .at_s = 520,
                                   .duration_ms = 30,
                                   .visible_s = 625});
        fake_source(fake);
        fake_poll(fake);
        fake_assert_whole(fake);
        fake_assert_counts(fake, 510, 540, 10, 0);
        fake_poll_after(fake, 30);
        fake_assert_whole(fake);
        assert_int_equal(fake->ranges, 0);
        assert_int_equal(fake->asked, 2);
        fake_assert_counts(fake, 510, 540, 11, 1);
        fake_assert_counts(fake, 540, 570, 10, 0);
        assert_int_equal(fake->source->ops->revision(fake->source, fake_s(fake, 510), fake_s(fake, 540)), 1);
        sw_window window;
        sw_window_init(&window);
        fake->source->ops->build_window(fake->source, fake_s(fake, 510), fake_s(fake, 540), &window);
        assert_true(window.estimated && window.complete);
        assert_true(window.series[0].buckets[0].upper_ms == 33.554432);
        sw_window_release(&window);
        fake_free(fake);
    }
}

static void a_span_that_search_loses_later_stays_counted(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake->no_metrics = true;
    fake_traffic(fake, 400, 900, 3);
    fake_source(fake);
    fake_poll(fake);
    fake_assert_counts(fake, 510, 540, 10, 0);
    for (size_t i = 0; i < fake->n_spans; i++) {
        fake->spans[i].lost = fake->spans[i].at_s == 520;
    }
    fake_poll_after(fake, 30);
    fake_assert_counts(fake, 510, 540, 10, 0);
    fake_free(fake);
}

static void metrics_that_come_are_used_at_the_next_probe(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake->no_metrics = true;
    fake_traffic(fake, 400, 1600, 5);
    fake_source(fake);
    fake_poll(fake);
    fake->no_metrics = false;
    unsigned probes = 0, ranges = 0;
    for (int i = 0; i < 25; i++) {
        fake_poll_after(fake, 30);
        fake_assert_whole(fake);
        assert_true(fake->asked <= 2);
        probes += fake->probes;
        ranges += fake->ranges;
        assert_true(probes == 1 || ranges == 0);
    }
    assert_int_equal(probes, 1);
    assert_true(ranges >= 2);
    fake_assert_counts(fake, 1200, 1230, 6, 0);
    fake_free(fake);
}

static void metrics_that_go_are_replaced_in_the_same_poll(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 400, 900, 5);
    fake_source(fake);
    fake_poll(fake);
    assert_int_equal(fake->ranges, 1);
    fake->no_metrics = true;
    fake_poll_after(fake, 30);
    fake_assert_whole(fake);
    assert_int_equal(fake->ranges, 1);
    assert_int_equal(fake->count_searches, 1);
    fake_assert_counts(fake, 540, 570, 6, 0);
    assert_non_null(strstr(fake->log, "tempo has no TraceQL metrics"));
    fake_poll_after(fake, 30);
    assert_int_equal(fake->ranges, 0);
    assert_null(strstr(fake->log, "tempo has no TraceQL metrics"));
    fake_free(fake);
}

static void metrics_that_turn_empty_are_checked_by_search(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 400, 900, 5);
    fake_source(fake);
    fake_poll(fake);
    fake->empty_metrics = true;
    fake_poll_after(fake, 30);
    fake_assert_whole(fake);
    assert_int_equal(fake->count_searches, 1);
    fake_assert_counts(fake, 540, 570, 6, 0);
    fake_free(fake);
}

static void a_partial_answer_is_asked_for_without_histogram_and_narrower(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake->partial = true;
    fake->options.lookback_s = 120;
    fake_traffic(fake, 400, 900, 5);
    fake_source(fake);
    fake_poll(fake);
    fake_assert_whole(fake);
    assert_int_equal(fake->ranges, 4); /* whole, without histogram, two halves */
    fake_assert_counts(fake, 420, 480, 12, 0);
    fake_assert_counts(fake, 480, 510, 6, 0);
    fake_assert_counts(fake, 510, 540, 6, 0);
    assert_null(strstr(fake->last_range, "histogram"));
    fake_free(fake);
}

static void a_partial_answer_without_budget_is_unknown(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake->partial = true;
    fake->options.max_extra_queries = 0;
    fake_traffic(fake, 400, 900, 5);
    fake_source(fake);
    fake_poll(fake);
    assert_false(fake->result.counts_ok);
    assert_true(fake->result.traces_ok);
    assert_non_null(strstr(fake->counts_reason, "cut its counts short"));
    assert_int_equal(fake->source->ops->counts_known_until(fake->source, fake_s(fake, 480)),
                     fake_s(fake, 480));
    fake->partial = false;
    fake_poll_after(fake, 30);
    fake_assert_whole(fake);
    fake_assert_counts(fake, 480, 570, 18, 0);
    fake_free(fake);
}

static void too_many_requests_to_search_are_counted_in_narrower_windows(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake->no_metrics = true;
    fake->options.search_limit = 5;
    fake_traffic(fake, 470, 700, 1);
    fake_source(fake);
    fake_poll(fake);
    fake_assert_whole(fake);
    assert_true(fake->count_searches > 1);
    fake_assert_counts(fake, 480, 510, 30, 0);
    fake_assert_counts(fake, 510, 540, 30, 0);
    unsigned first = fake->count_searches;
    fake_poll_after(fake, 30);
    fake_assert_whole(fake);
    assert_true(fake->count_searches < first); /* the limit that was needed is remembered */
    fake_free(fake);
}

static void after_downtime_the_counts_catch_up(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 400, 1900, 5);
    fake_source(fake);
    fake_poll(fake);
    int64_t origin = 0, watermark = 0;
    fake->source->ops->save(fake->source, &origin, &watermark);
    assert_int_equal(origin, fake_s(fake, 480));
    assert_int_equal(watermark, fake_s(fake, 540));
    fake_drop_source(fake);
    fake->now_ns += 900 * SW_NS_PER_S;
    fake_source(fake);
    fake->source->ops->restore(fake->source, origin, watermark);
    fake_poll(fake);
    fake_assert_whole(fake);
    assert_int_equal(fake->source->ops->counts_known_until(fake->source, watermark), fake_s(fake, 1440));
    fake_assert_counts(fake, 540, 1440, 180, 0);
    int64_t again = 0;
    fake->source->ops->save(fake->source, &again, &watermark);
    assert_int_equal(again, origin);
    assert_int_equal(watermark, fake_s(fake, 1440));
    fake_free(fake);
}

static void what_is_too_old_to_catch_up_is_given_up_and_said_once(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake->options.max_catch_up_s = 300;
    fake_traffic(fake, 400, 1900, 5);
    fake->now_ns = 1500 * SW_NS_PER_S;
    fake_source(fake);
    fake->source->ops->restore(fake->source, fake_s(fake, 480), fake_s(fake, 540));
    fake_poll(fake); /* horizon 1440: 1080 and later is kept */
    assert_false(fake->result.counts_ok);
    assert_non_null(strstr(fake->counts_reason, "540 s of counts were given up"));
    assert_non_null(strstr(fake->log, "counts are given up"));
    assert_true(sw_metric_get(sw_metrics_counter(fake->metrics, "spanwatch_source_skipped_seconds_total", "",
                                                 (const char *const[]){"source", "what", NULL}),
                              "tempo", "counts") == 540);
    assert_int_equal(fake->source->ops->counts_known_until(fake->source, fake_s(fake, 540)),
                     fake_s(fake, 1440));
    fake_assert_counts(fake, 1080, 1440, 72, 0);
    fake_poll_after(fake, 30);
    fake_assert_whole(fake);
    assert_null(strstr(fake->log, "given up"));
    fake_free(fake);
}

static void a_server_an_hour_off_is_asked_in_its_own_time(void **state) {
    (void)state;
    static const int64_t skews[] = {3600, -3600, 7, 0};
    for (size_t i = 0; i < SW_ARRAY_LEN(skews); i++) {
        fake_tempo *fake = fake_new();
        fake->server_skew_s = skews[i] / 30 * 30; /* so that buckets are where the helpers look */
        fake->server_skew_s += skews[i] == 7 ? 30 : 0;
        fake->cutoff_s = 30;
        fake_traffic(fake, 400, 900, 5);
        fake_source(fake);
        fake_poll(fake);
        fake_assert_whole(fake);
        assert_int_equal(fake->result.horizon_s, fake_s(fake, 540));
        int64_t origin = 0, watermark = 0;
        fake->source->ops->save(fake->source, &origin, &watermark);
        assert_int_equal(origin, fake_s(fake, 480));
        fake_assert_counts(fake, 480, 540, 12, 0);
        fake_poll_after(fake, 30);
        fake_assert_counts(fake, 540, 570, 6, 0);
        assert_int_equal(fake->asked, 2);
        fake_free(fake);
    }
}

static void a_step_of_our_own_clock_changes_nothing(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 400, 900, 5);
    fake_source(fake);
    fake_poll(fake);
    fake->wall_skew_ns = -7200 * SW_NS_PER_S;
    fake_poll_after(fake, 30);
    fake_assert_whole(fake);
    assert_int_equal(fake->result.horizon_s, fake_s(fake, 570));
    fake_assert_counts(fake, 480, 570, 18, 0);
    assert_int_equal(fake->asked, 2);
    fake->wall_skew_ns = 7200 * SW_NS_PER_S;
    fake_poll_after(fake, 30);
    assert_int_equal(fake->result.horizon_s, fake_s(fake, 600));
    fake_free(fake);
}

static void a_server_clock_that_is_set_back_starts_anew(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake->server_skew_s = 3600;
    fake_traffic(fake, 400, 900, 5);
    fake_source(fake);
    fake_poll(fake);
    fake->server_skew_s = 0; /* and the spans with it */
    fake_poll_after(fake, 30);
    fake_assert_whole(fake);
    assert_int_equal(fake->result.horizon_s, fake_s(fake, 570));
    fake_poll_after(fake, 30);
    fake_poll_after(fake, 30);
    fake_poll_after(fake, 30);
    fake_assert_counts(fake, 570, 600, 6, 0);
    fake_assert_counts(fake, 600, 630, 6, 0);
    fake_free(fake);
}

static void an_old_server_is_asked_without_hints(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake->old = true;
    fake_traffic(fake, 400, 900, 5);
    fake_source(fake);
    fake_poll(fake);
    fake_assert_whole(fake);
    fake_assert_counts(fake, 480, 540, 12, 0);
    assert_null(strstr(fake->last_range, "with ("));
    fake_poll_after(fake, 30);
    fake_assert_whole(fake);
    assert_int_equal(fake->asked, 2);
    fake_free(fake);
}

static void forgotten_buckets_are_not_asked_for_again(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 400, 1900, 5);
    fake_source(fake);
    for (int i = 0; i < 20; i++) {
        fake_poll(fake);
        fake_assert_whole(fake);
        int64_t horizon = fake->result.horizon_s;
        fake->source->ops->forget(fake->source, horizon - 200);
        assert_int_equal(fake->source->ops->counts_known_until(fake->source, (horizon - 180) / 30 * 30) >=
                             horizon - 30,
                         i >= 4 || horizon - 180 >= fake_s(fake, 480));
        fake->now_ns += 30 * SW_NS_PER_S;
    }
    int64_t origin = 0, watermark = 0;
    fake->source->ops->save(fake->source, &origin, &watermark);
    assert_int_equal(origin, fake_s(fake, 480));
    assert_true(watermark >= fake->result.horizon_s - 30);
    fake_free(fake);
}

static void buckets_that_the_server_hides_are_unknown(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake->cutoff_s = 30;
    fake->options.settle_s = 0;
    fake_traffic(fake, 400, 900, 5);
    fake_source(fake);
    fake->now_ns += 5 * SW_NS_PER_S;
    fake_poll(fake); /* at 605: horizon 600, shown until 570 */
    assert_false(fake->result.counts_ok);
    assert_non_null(strstr(fake->counts_reason, "TEMPO_SETTLE_SECS"));
    assert_int_equal(fake->source->ops->counts_known_until(fake->source, fake_s(fake, 540)),
                     fake_s(fake, 570));
    fake_assert_counts(fake, 540, 570, 6, 0);
    fake_free(fake);
}

static void a_service_without_a_name_has_one(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_add(fake, (fake_span){.trace = FAILED,
                               .id = "00000000000000aa",
                               .service = "",
                               .at_s = 520,
                               .duration_ms = 30,
                               .visible_s = 520});
    fake_source(fake);
    fake_poll(fake);
    sw_window window;
    sw_window_init(&window);
    fake->source->ops->build_window(fake->source, fake_s(fake, 510), fake_s(fake, 540), &window);
    assert_int_equal(window.n_series, 1);
    assert_string_equal(window.series[0].service, "unknown_service");
    sw_window_release(&window);
    fake_free(fake);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exact_count_is_what_was_sent),
        cmocka_unit_test(a_window_has_the_histogram_and_is_not_estimated),
        cmocka_unit_test(build_window_asks_nothing),
        cmocka_unit_test(late_spans_repair_the_count_and_raise_the_revision),
        cmocka_unit_test(counts_older_than_150_s_are_final),
        cmocka_unit_test(left_edges_are_told_from_the_counts),
        cmocka_unit_test(right_edges_stay_believed_when_traffic_ends),
        cmocka_unit_test(zero_is_known_when_nothing_was_sent),
        cmocka_unit_test(traffic_after_silence_is_counted_exactly),
        cmocka_unit_test(without_metrics_counts_come_from_search),
        cmocka_unit_test(a_span_that_search_loses_later_stays_counted),
        cmocka_unit_test(metrics_that_come_are_used_at_the_next_probe),
        cmocka_unit_test(metrics_that_go_are_replaced_in_the_same_poll),
        cmocka_unit_test(metrics_that_turn_empty_are_checked_by_search),
        cmocka_unit_test(a_partial_answer_is_asked_for_without_histogram_and_narrower),
        cmocka_unit_test(a_partial_answer_without_budget_is_unknown),
        cmocka_unit_test(too_many_requests_to_search_are_counted_in_narrower_windows),
        cmocka_unit_test(after_downtime_the_counts_catch_up),
        cmocka_unit_test(what_is_too_old_to_catch_up_is_given_up_and_said_once),
        cmocka_unit_test(a_server_an_hour_off_is_asked_in_its_own_time),
        cmocka_unit_test(a_step_of_our_own_clock_changes_nothing),
        cmocka_unit_test(a_server_clock_that_is_set_back_starts_anew),
        cmocka_unit_test(an_old_server_is_asked_without_hints),
        cmocka_unit_test(forgotten_buckets_are_not_asked_for_again),
        cmocka_unit_test(buckets_that_the_server_hides_are_unknown),
        cmocka_unit_test(a_service_without_a_name_has_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
