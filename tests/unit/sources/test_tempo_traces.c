#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sources/fake_tempo.h"

#define ID_A "00000000000000000000000000000abc"
#define ID_B "0123456789abcdef0123456789abcdef"
#define SPAN_1 "00000000000000a1"
#define SPAN_2 "00000000000000a2"
#define SPAN_3 "00000000000000a3"

static const sw_wants traces_only = {.min_duration_ms = 1000, .errors = true, .series = false};

/* A failing request with a failing call below it. */
static void add_failure(fake_tempo *fake, const char *id, double at_s, double visible_s) {
    fake_add(fake, (fake_span){.trace = id,
                               .id = SPAN_1,
                               .service = "front",
                               .name = "POST /pay",
                               .status = "error",
                               .message = "payment failed",
                               .at_s = at_s,
                               .duration_ms = 80,
                               .visible_s = visible_s});
    fake_add(fake, (fake_span){.trace = id,
                               .id = SPAN_2,
                               .parent = SPAN_1,
                               .service = "bank",
                               .name = "charge",
                               .kind = "client",
                               .status = "error",
                               .message = "card expired",
                               .at_s = at_s + 0.01,
                               .duration_ms = 40.5,
                               .visible_s = visible_s});
}

static void a_failing_trace_is_told_with_its_message_and_spans(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 400, 700, 5);
    add_failure(fake, ID_A, 520, 525);
    fake_source(fake);
    fake_poll(fake);
    fake_assert_whole(fake);
    assert_int_equal(fake_n_traces(fake), 1);
    const sw_trace *trace = fake_find(fake, ID_A);
    assert_non_null(trace);
    assert_string_equal(trace->source, "tempo");
    assert_string_equal(trace->service, "front");
    assert_string_equal(trace->operation, "POST /pay");
    assert_true(trace->root_known);
    assert_int_equal(trace->status, SW_STATUS_ERROR);
    assert_string_equal(trace->error_message, "payment failed");
    assert_true(trace->duration_ms == 80);
    assert_true(trace->start_ns == fake_s(fake, 520) * SW_NS_PER_S);
    assert_int_equal(trace->n_spans, 2);
    assert_int_equal(trace->n_matched, 2);
    assert_int_equal(fake->by_id, 0);
    fake_free(fake);
}

static void a_trace_is_found_as_soon_as_tempo_shows_it(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    add_failure(fake, ID_A, 555, 585); /* younger than the horizon, older than what is settled */
    fake_source(fake);
    fake->now_ns += 15 * SW_NS_PER_S;
    fake_poll_for(fake, &traces_only); /* at 615: horizon 570, searched until 580 */
    assert_non_null(fake_find(fake, ID_A));
    fake_free(fake);
}

static void every_planted_trace_is_offered_and_keeps_its_digest(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 500, 1200, 3);
    static char ids[40][33], spans[40][17];
    uint64_t digests[40] = {0};
    for (int i = 0; i < 40; i++) {
        snprintf(ids[i], sizeof ids[i], "%032x", 0x100 + i);
        snprintf(spans[i], sizeof spans[i], "%016x", 0x100 + i);
        double at = 570 + i * 10, late = i % 5 == 0 ? 200 : 25;
        fake_add(fake, (fake_span){.trace = ids[i],
                                   .id = spans[i],
                                   .status = i % 2 ? "error" : "ok",
                                   .message = "m",
                                   .at_s = at,
                                   .duration_ms = i % 2 ? 10 : 1000.4,
                                   .visible_s = at + late});
    }
    fake_source(fake);
    for (int poll = 0; poll < 22; poll++) {
        fake_poll(fake);
        fake_assert_whole(fake);
        for (int i = 0; i < 40; i++) {
            const sw_trace *trace = fake_find(fake, ids[i]);
            if (trace != NULL) {
                assert_true(digests[i] == 0 || digests[i] == trace->digest);
                digests[i] = trace->digest;
                assert_true(i % 2 || trace->duration_ms > 1000);
            }
        }
        fake->source->ops->forget(fake->source, fake->result.horizon_s - 150);
        fake->now_ns += 30 * SW_NS_PER_S;
    }
    for (int i = 0; i < 40; i++) {
        assert_int_not_equal(digests[i], 0);
    }
    fake_free(fake);
}

static void what_ended_before_the_origin_is_not_offered(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    add_failure(fake, ID_A, 470, 475); /* origin 480 */
    fake_add(fake,
             (fake_span){.trace = ID_B, .id = SPAN_3, .at_s = 470, .duration_ms = 20000, .visible_s = 495});
    fake_source(fake);
    for (int i = 0; i < 8; i++) {
        fake_poll(fake);
        assert_null(fake_find(fake, ID_A));
        assert_non_null(fake_find(fake, ID_B)); /* lasted into the time that is ours */
        fake->now_ns += 30 * SW_NS_PER_S;
    }
    fake_free(fake);
}

static void long_traces_have_their_exact_duration(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_add(fake,
             (fake_span){.trace = ID_A, .id = SPAN_1, .at_s = 520, .duration_ms = 1000.4, .visible_s = 525});
    fake_add(fake,
             (fake_span){.trace = ID_B, .id = SPAN_2, .at_s = 521, .duration_ms = 1000, .visible_s = 525});
    fake_source(fake);
    fake_poll(fake);
    assert_int_equal(fake_n_traces(fake), 1);
    assert_true(fake_find(fake, ID_A)->duration_ms == 1000.4);
    fake_free(fake);
}

static void a_trace_that_takes_long_only_as_a_whole_is_found_exactly(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_add(fake, (fake_span){.trace = ID_A,
                               .id = SPAN_1,
                               .name = "GET /async",
                               .at_s = 520,
                               .duration_ms = 500,
                               .visible_s = 525});
    fake_add(fake, (fake_span){.trace = ID_A,
                               .id = SPAN_2,
                               .parent = SPAN_1,
                               .kind = "internal",
                               .at_s = 520.6004,
                               .duration_ms = 400,
                               .visible_s = 525});
    fake_source(fake);
    fake_poll(fake);
    const sw_trace *trace = fake_find(fake, ID_A);
    assert_non_null(trace);
    assert_true(trace->duration_ms > 1000 && trace->duration_ms < 1000.5);
    assert_int_equal(fake->by_id, 1); /* whole milliseconds could not tell */
    fake_free(fake);
}

static void only_what_is_wanted_is_asked_for(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    add_failure(fake, ID_A, 520, 525);
    fake_add(fake,
             (fake_span){.trace = ID_B, .id = SPAN_3, .at_s = 521, .duration_ms = 700, .visible_s = 525});
    fake_source(fake);
    fake_poll_for(fake, &(sw_wants){.min_duration_ms = -1, .errors = true});
    assert_int_equal(fake_n_traces(fake), 1);
    assert_null(strstr(fake->last_search, "duration *"));
    assert_int_equal(fake->ranges, 0);
    fake->now_ns += 30 * SW_NS_PER_S;
    fake_poll_for(fake, &(sw_wants){.min_duration_ms = 600.5});
    assert_non_null(fake_find(fake, ID_B));
    assert_null(strstr(fake->last_search, "status = error"));
    assert_non_null(strstr(fake->last_search, "duration * 1 > 600500000ns"));
    fake->now_ns += 30 * SW_NS_PER_S;
    fake_poll_for(fake, &(sw_wants){.min_duration_ms = -1});
    assert_int_equal(fake->searches + fake->ranges, 0);
    assert_true(fake->result.counts_ok && fake->result.traces_ok);
    assert_int_equal(fake->result.horizon_s, fake_s(fake, 600));
    fake_free(fake);
}

static void an_answer_as_long_as_the_limit_is_continued(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake->options.search_limit = 10;
    static char ids[60][33], spans[60][17];
    for (int i = 0; i < 60; i++) {
        snprintf(ids[i], sizeof ids[i], "%032x", 0x100 + i);
        snprintf(spans[i], sizeof spans[i], "%016x", 0x100 + i);
        fake_add(fake, (fake_span){.trace = ids[i],
                                   .id = spans[i],
                                   .status = "error",
                                   .message = "m",
                                   .at_s = 490 + i,
                                   .duration_ms = 10,
                                   .visible_s = 490 + i});
    }
    fake_source(fake);
    fake->options.max_extra_queries = 12;
    fake_poll_for(fake, &traces_only);
    fake_assert_whole(fake);
    assert_int_equal(fake_n_traces(fake), 60);
    assert_true(fake->searches > 1 && fake->searches <= 13);
    fake_free(fake);
}

static void without_budget_the_rest_is_unknown_and_asked_for_next_time(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake->options.search_limit = 10;
    fake->options.max_extra_queries = 0;
    static char ids[60][33], spans[60][17];
    for (int i = 0; i < 60; i++) {
        snprintf(ids[i], sizeof ids[i], "%032x", 0x100 + i);
        snprintf(spans[i], sizeof spans[i], "%016x", 0x100 + i);
        fake_add(fake, (fake_span){.trace = ids[i],
                                   .id = spans[i],
                                   .status = "error",
                                   .message = "m",
                                   .at_s = 490 + i,
                                   .duration_ms = 10,
                                   .visible_s = 490 + i});
    }
    fake_source(fake);
    fake_poll_for(fake, &traces_only);
    assert_false(fake->result.traces_ok);
    assert_non_null(strstr(fake->traces_reason, "TEMPO_MAX_EXTRA_QUERIES"));
    assert_int_equal(fake_n_traces(fake), 10);
    int64_t origin = 0, watermark = 0;
    fake->source->ops->save(fake->source, &origin, &watermark);
    assert_int_equal(watermark, origin);
    fake_free(fake);
}

static void all_in_one_second_needs_a_higher_limit(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake->options.search_limit = 10;
    static char ids[60][33], spans[60][17];
    for (int i = 0; i < 60; i++) {
        snprintf(ids[i], sizeof ids[i], "%032x", 0x100 + i);
        snprintf(spans[i], sizeof spans[i], "%016x", 0x100 + i);
        fake_add(fake, (fake_span){.trace = ids[i],
                                   .id = spans[i],
                                   .status = "error",
                                   .message = "m",
                                   .at_s = 520.3,
                                   .duration_ms = 10,
                                   .visible_s = 521});
    }
    fake->options.max_extra_queries = 40;
    fake_source(fake);
    fake_poll_for(fake, &traces_only);
    fake_assert_whole(fake);
    assert_int_equal(fake_n_traces(fake), 60);
    fake_free(fake);
}

static void fragments_are_merged(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    add_failure(fake, ID_A, 520, 525);
    fake_source(fake);
    fake->spans[1].lost = true;
    fake_poll_for(fake, &traces_only);
    assert_int_equal(fake_find(fake, ID_A)->n_spans, 1);
    /* The next answer has the other fragment: without root, and shorter. */
    fake->spans[0].lost = true;
    fake->spans[1].lost = false;
    fake->now_ns += 30 * SW_NS_PER_S;
    fake_poll_for(fake, &traces_only);
    const sw_trace *trace = fake_find(fake, ID_A);
    assert_int_equal(trace->n_spans, 2);
    assert_string_equal(trace->service, "front");
    assert_true(trace->root_known);
    assert_true(trace->duration_ms == 80);
    assert_string_equal(trace->error_message, "payment failed");
    fake_free(fake);
}

static void the_sweep_finds_what_search_lost(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 400, 900, 5);
    add_failure(fake, ID_A, 575, 580);
    fake->spans[fake->n_spans - 2].lost = fake->spans[fake->n_spans - 1].lost = true;
    fake_source(fake);
    unsigned sweeps = 0;
    for (int i = 0; i < 4; i++) {
        assert_null(i == 0 ? NULL : fake_find(fake, ID_A));
        fake_poll(fake);
        fake_assert_whole(fake);
        assert_true(fake->sweeps == 0 || fake->ranges == 0);
        assert_int_equal(fake->asked, 2 + fake->by_id);
        sweeps += fake->sweeps;
        fake->now_ns += 30 * SW_NS_PER_S;
    }
    assert_int_equal(sweeps, 1);
    const sw_trace *trace = fake_find(fake, ID_A);
    assert_non_null(trace);
    assert_string_equal(trace->service, "front");
    assert_string_equal(trace->error_message, "payment failed");
    assert_true(trace->duration_ms == 80);
    /* The counts that were put off are read one poll later. */
    fake_poll(fake);
    assert_int_equal(fake->source->ops->counts_known_until(fake->source, fake_s(fake, 480)),
                     fake->result.horizon_s);
    fake_free(fake);
}

static void the_sweep_reports_nothing_from_before_the_origin(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 400, 900, 5);
    add_failure(fake, ID_A, 450, 455);
    fake_source(fake);
    for (int i = 0; i < 5; i++) {
        fake_poll(fake);
        assert_null(fake_find(fake, ID_A));
        fake->now_ns += 30 * SW_NS_PER_S;
    }
    fake_free(fake);
}

static void a_trace_without_root_is_held_back_and_asked_for(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    add_failure(fake, ID_A, 520, 525);
    fake->spans[0].lost = true; /* its fragment with the root; the trace by id has it */
    fake_add(fake, (fake_span){.trace = ID_B,
                               .id = SPAN_3,
                               .parent = SPAN_1,
                               .service = "orphan",
                               .name = "work",
                               .status = "error",
                               .message = "alone",
                               .at_s = 521,
                               .duration_ms = 5,
                               .visible_s = 525});
    fake_source(fake);
    fake_poll_for(fake, &traces_only);
    assert_int_equal(fake->by_id, 2);
    assert_string_equal(fake_find(fake, ID_A)->operation, "POST /pay");
    assert_true(fake_find(fake, ID_A)->root_known);
    assert_null(fake_find(fake, ID_B));
    fake->now_ns += 30 * SW_NS_PER_S;
    fake_poll_for(fake, &traces_only);
    const sw_trace *orphan = fake_find(fake, ID_B);
    assert_non_null(orphan);
    assert_false(orphan->root_known);
    assert_string_equal(orphan->service, "orphan");
    assert_string_equal(orphan->operation, "work");
    assert_int_equal(fake->by_id, 0);
    fake_free(fake);
}

static void a_root_that_comes_later_gives_the_trace_its_name(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    add_failure(fake, ID_A, 520, 525);
    fake->spans[0].visible_s = 620;
    fake->options.max_extra_queries = 0;
    fake_source(fake);
    fake_poll_for(fake, &traces_only);
    assert_null(fake_find(fake, ID_A));
    fake->now_ns += 30 * SW_NS_PER_S;
    fake_poll_for(fake, &traces_only);
    assert_string_equal(fake_find(fake, ID_A)->operation, "POST /pay");
    fake_free(fake);
}

static void a_trace_is_not_held_back_longer_than_a_minute(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_add(fake, (fake_span){.trace = ID_B,
                               .id = SPAN_3,
                               .parent = SPAN_1,
                               .status = "error",
                               .message = "alone",
                               .at_s = 521,
                               .duration_ms = 5,
                               .visible_s = 525});
    fake->options.max_extra_queries = 0; /* so that nobody can ask for it */
    fake_source(fake);
    for (int i = 0; i < 3; i++) {
        fake_poll_for(fake, &traces_only);
        assert_true((fake_find(fake, ID_B) != NULL) == (i == 2));
        fake->now_ns += 30 * SW_NS_PER_S;
    }
    fake_free(fake);
}

static void a_root_without_a_service_name_is_a_root(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_add(fake, (fake_span){.trace = ID_A,
                               .id = SPAN_1,
                               .service = "",
                               .name = "op",
                               .status = "error",
                               .message = "x",
                               .at_s = 521,
                               .duration_ms = 5,
                               .visible_s = 525});
    fake_source(fake);
    fake_poll_for(fake, &traces_only);
    const sw_trace *trace = fake_find(fake, ID_A);
    assert_non_null(trace);
    assert_true(trace->root_known);
    assert_string_equal(trace->service, "unknown_service");
    assert_string_equal(trace->operation, "op");
    fake_free(fake);
}

static void an_old_server_is_asked_by_the_first_version_of_the_api(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake->old = true;
    add_failure(fake, ID_A, 520, 525);
    fake->spans[0].lost = true;
    fake_source(fake);
    fake_poll_for(fake, &traces_only);
    fake_assert_whole(fake);
    assert_int_equal(fake->by_id, 2);
    assert_string_equal(fake_find(fake, ID_A)->operation, "POST /pay");
    fake_free(fake);
}

static void traces_during_downtime_are_found_afterwards(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    add_failure(fake, ID_A, 700, 705);
    fake_source(fake);
    fake_poll_for(fake, &traces_only);
    int64_t origin = 0, watermark = 0;
    fake->source->ops->save(fake->source, &origin, &watermark);
    assert_int_equal(watermark, fake_s(fake, 540));
    fake_drop_source(fake);
    fake->now_ns += 1500 * SW_NS_PER_S;
    fake_source(fake);
    fake->source->ops->restore(fake->source, origin, watermark);
    fake_poll_for(fake, &traces_only);
    fake_assert_whole(fake);
    assert_non_null(fake_find(fake, ID_A));
    fake_free(fake);
}

static void a_failed_search_is_made_up_for(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 400, 2000, 20);
    add_failure(fake, ID_A, 560, 565);
    fake_source(fake);
    fake_poll(fake);
    fake_rule_add(fake, (fake_rule){.path = "/api/search", .times = -1, .status = 500, .body = "no"});
    for (int i = 0; i < 25; i++) {
        fake_poll_after(fake, 30);
        assert_false(fake->result.traces_ok);
    }
    fake->rules[0].times = 0;
    fake_poll_after(fake, 30); /* 13 minutes later */
    fake_assert_whole(fake);
    assert_non_null(fake_find(fake, ID_A));
    fake_free(fake);
}

static void forgotten_traces_leave_the_list(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    add_failure(fake, ID_A, 520, 525);
    fake_source(fake);
    fake_poll_for(fake, &traces_only);
    assert_int_equal(fake_n_traces(fake), 1);
    fake->now_ns += 600 * SW_NS_PER_S;
    fake_poll_for(fake, &traces_only);
    fake->now_ns += 30 * SW_NS_PER_S;
    fake_poll_for(fake, &traces_only);
    fake->source->ops->forget(fake->source, fake->result.horizon_s - 100);
    assert_int_equal(fake_n_traces(fake), 0);
    fake_free(fake);
}

static void without_metrics_a_trace_that_search_cut_apart_is_found_by_its_entries(void **state) {
    (void)state;
    fake_tempo *fake = fake_new();
    fake->no_metrics = true;
    fake_traffic(fake, 400, 700, 10);
    fake_add(fake,
             (fake_span){.trace = ID_A, .id = SPAN_1, .at_s = 520, .duration_ms = 500, .visible_s = 525});
    fake_add(fake, (fake_span){.trace = ID_A,
                               .id = SPAN_2,
                               .parent = SPAN_1,
                               .kind = "consumer",
                               .at_s = 520.9,
                               .duration_ms = 400,
                               .visible_s = 525});
    fake_source(fake);
    /* The search for offenders says nothing: to it no fragment takes long. */
    fake_rule_add(fake, (fake_rule){.path = "/api/metrics", .times = 1, .status = 500, .body = "empty ring"});
    fake_poll(fake);
    const sw_trace *trace = fake_find(fake, ID_A);
    assert_non_null(trace);
    assert_true(trace->duration_ms == 1300);
    fake_free(fake);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failing_trace_is_told_with_its_message_and_spans),
        cmocka_unit_test(a_trace_is_found_as_soon_as_tempo_shows_it),
        cmocka_unit_test(every_planted_trace_is_offered_and_keeps_its_digest),
        cmocka_unit_test(what_ended_before_the_origin_is_not_offered),
        cmocka_unit_test(long_traces_have_their_exact_duration),
        cmocka_unit_test(a_trace_that_takes_long_only_as_a_whole_is_found_exactly),
        cmocka_unit_test(only_what_is_wanted_is_asked_for),
        cmocka_unit_test(an_answer_as_long_as_the_limit_is_continued),
        cmocka_unit_test(without_budget_the_rest_is_unknown_and_asked_for_next_time),
        cmocka_unit_test(all_in_one_second_needs_a_higher_limit),
        cmocka_unit_test(fragments_are_merged),
        cmocka_unit_test(the_sweep_finds_what_search_lost),
        cmocka_unit_test(the_sweep_reports_nothing_from_before_the_origin),
        cmocka_unit_test(a_trace_without_root_is_held_back_and_asked_for),
        cmocka_unit_test(a_root_that_comes_later_gives_the_trace_its_name),
        cmocka_unit_test(a_trace_is_not_held_back_longer_than_a_minute),
        cmocka_unit_test(a_root_without_a_service_name_is_a_root),
        cmocka_unit_test(an_old_server_is_asked_by_the_first_version_of_the_api),
        cmocka_unit_test(traces_during_downtime_are_found_afterwards),
        cmocka_unit_test(a_failed_search_is_made_up_for),
        cmocka_unit_test(forgotten_traces_leave_the_list),
        cmocka_unit_test(without_metrics_a_trace_that_search_cut_apart_is_found_by_its_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
