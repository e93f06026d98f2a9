#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sources/tempo/count_table.h"
#include "sources/tempo/queries.h"
#include "sources/tempo/server_clock.h"
#include "sources/tempo/span_table.h"
#include "sources/tempo/trace_cache.h"

#define S SW_NS_PER_S

/* ---- the server's clock ---- */

static void the_wall_clock_is_believed_where_it_fits(void **state) {
    (void)state;
    tempo_clock clock = {0};
    assert_true(tempo_clock_now_ns(&clock, 5 * S, 1000 * S) == 1000 * S);
    assert_false(tempo_clock_learn(&clock, 1000, 5 * S, 1000 * S + S / 2));
    assert_true(tempo_clock_now_ns(&clock, 6 * S, 1001 * S + S / 2) == 1001 * S + S / 2);
    assert_false(tempo_clock_learn(&clock, 0, 6 * S, 1001 * S));
}

static void a_server_ahead_is_followed_and_narrowed(void **state) {
    (void)state;
    tempo_clock clock = {0};
    /* Truly 3600.4 s ahead; headers have whole seconds. */
    for (int64_t t = 0; t < 10; t++) {
        int64_t mono = 5 * S + t * (S + S / 7), wall = 1000 * S + t * (S + S / 7);
        int64_t server = wall + 3600 * S + 4 * S / 10;
        assert_true(tempo_clock_learn(&clock, server / S, mono, wall) == (t == 0));
        int64_t error = tempo_clock_now_ns(&clock, mono, wall) - server;
        assert_true(error < S + S / 10 && error > -S - S / 10);
    }
    assert_true(clock.high_ns - clock.low_ns < S / 2);
}

static void a_step_of_the_wall_clock_moves_nothing(void **state) {
    (void)state;
    tempo_clock clock = {0};
    tempo_clock_learn(&clock, 1000, 5 * S, 1000 * S);
    int64_t now = tempo_clock_now_ns(&clock, 35 * S, 8000 * S);
    assert_true(now >= 1030 * S - S / 10 && now <= 1031 * S + S / 10);
    assert_false(tempo_clock_learn(&clock, 1030, 35 * S, 8000 * S));
}

static void a_step_of_the_server_is_told(void **state) {
    (void)state;
    tempo_clock clock = {0};
    tempo_clock_learn(&clock, 1000, 5 * S, 1000 * S);
    assert_true(tempo_clock_learn(&clock, 4600, 6 * S, 1001 * S));
    assert_true(tempo_clock_now_ns(&clock, 6 * S, 1001 * S) / S >= 4599);
    assert_true(tempo_clock_learn(&clock, 1002, 7 * S, 1002 * S));
    assert_true(tempo_clock_now_ns(&clock, 7 * S, 1002 * S) == 1002 * S);
}

/* ---- where the buckets of an answer begin ---- */

static void add(tempo_counts *counts, int64_t from, int64_t step, const int *values, size_t n) {
    char json[2000] = "{\"labels\":[{\"key\":\"name\",\"value\":{\"stringValue\":\"x\"}}],\"samples\":[";
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(json);
        snprintf(json + len, sizeof json - len, "%s{\"timestampMs\":\"%lld\"", i > 0 ? "," : "",
                 (long long)(from + (int64_t)i * step) * 1000);
        len = strlen(json);
        if (values[i] > 0) {
            snprintf(json + len, sizeof json - len, ",\"value\":%d}", values[i]);
        } else {
            snprintf(json + len, sizeof json - len, "}");
        }
    }
    strcat(json, "]}");
    tempo_series series;
    char why[SW_JSON_WHY];
    assert_true(tempo_series_open(json, strlen(json), &series, why));
    assert_true(tempo_counts_add(counts, &series, why));
    tempo_series_close(&series);
}

static tempo_edge learn(tempo_layout *layout, const int *values, size_t n, int64_t seen_until) {
    tempo_counts *counts = tempo_counts_new(300, 450, 30);
    add(counts, 300, 30, values, n);
    tempo_counts_learn(counts, seen_until, layout);
    tempo_counts_free(counts);
    return layout->edge;
}

static void a_count_at_the_end_proves_right_edges(void **state) {
    (void)state;
    tempo_layout layout = {0};
    assert_int_equal(learn(&layout, (int[]){1, 1, 1, 1, 1, 0}, 6, 500), TEMPO_EDGE_LEFT);
    assert_int_equal(learn(&layout, (int[]){0, 0, 0, 0, 0, 1}, 6, 500), TEMPO_EDGE_RIGHT);
    assert_int_equal(learn(&layout, (int[]){1, 1, 1, 1, 1, 0}, 6, 500), TEMPO_EDGE_RIGHT);
}

static void sparse_counts_prove_nothing(void **state) {
    (void)state;
    tempo_layout layout = {0};
    assert_int_equal(learn(&layout, (int[]){1, 0, 1, 1, 1, 0}, 6, 500), TEMPO_EDGE_UNKNOWN);
    assert_int_equal(learn(&layout, (int[]){0, 0, 0, 0, 0, 0}, 6, 500), TEMPO_EDGE_UNKNOWN);
}

static void an_answer_without_the_last_stamp_has_left_edges_or_was_cut(void **state) {
    (void)state;
    tempo_layout layout = {0};
    assert_int_equal(learn(&layout, (int[]){0, 0, 1, 0, 0}, 5, 449), TEMPO_EDGE_UNKNOWN);
    assert_int_equal(learn(&layout, (int[]){0, 0, 1, 0, 0}, 5, 450), TEMPO_EDGE_LEFT);
}

static void another_server_is_believed_after_ten_answers(void **state) {
    (void)state;
    tempo_layout layout = {.edge = TEMPO_EDGE_RIGHT};
    for (int i = 0; i < 9; i++) {
        assert_int_equal(learn(&layout, (int[]){1, 2, 3, 4, 5, 0}, 6, 500), TEMPO_EDGE_RIGHT);
    }
    assert_int_equal(learn(&layout, (int[]){1, 2, 3, 4, 5, 0}, 6, 500), TEMPO_EDGE_LEFT);
}

static void samples_go_into_their_buckets(void **state) {
    (void)state;
    static const int values[] = {100, 1, 2, 3, 4, 5};
    for (int left = 0; left < 2; left++) {
        tempo_counts *counts = tempo_counts_new(300, 450, 30);
        add(counts, 300, 30, values, 6);
        tempo_layout layout = {.edge = left ? TEMPO_EDGE_LEFT : TEMPO_EDGE_RIGHT};
        sw_buckets *buckets = sw_buckets_new(30, 100);
        sw_buckets_begin(buckets, 300, 450);
        tempo_counts_draft(counts, &layout, buckets);
        assert_int_equal(sw_buckets_commit(buckets, false), 0);
        assert_true(sw_buckets_total(buckets, 300, 330) == (left ? 100 : 1));
        assert_true(sw_buckets_total(buckets, 420, 450) == (left ? 4 : 5));
        assert_true(sw_buckets_total(buckets, 300, 450) == (left ? 110 : 15));
        sw_buckets_free(buckets);
        tempo_counts_free(counts);
    }
}

static void samples_between_steps_are_refused(void **state) {
    (void)state;
    tempo_counts *counts = tempo_counts_new(300, 450, 30);
    static const char *const bad[] = {"{\"samples\":[{\"timestampMs\":\"301000\"}]}", "{\"samples\":[{}]}",
                                      "{\"samples\":[{\"timestampMs\":\"-300000\"}]}", "{\"value\":3}"};
    for (size_t i = 0; i < SW_ARRAY_LEN(bad); i++) {
        tempo_series series;
        char why[SW_JSON_WHY] = "";
        assert_true(tempo_series_open(bad[i], strlen(bad[i]), &series, why));
        assert_false(tempo_counts_add(counts, &series, why));
        assert_string_not_equal(why, "");
        tempo_series_close(&series);
    }
    tempo_counts_free(counts);
}

/* ---- what is asked ---- */

static void assert_text(char *got, const char *want) {
    assert_string_equal(got, want);
    free(got);
}

static void the_questions_read_like_this(void **state) {
    (void)state;
    assert_text(
        tempo_counts_query(true, true),
        "{ kind = server || kind = consumer || nestedSetParent < 0 } | histogram_over_time(duration) by "
        "(resource.service.name, name, status) with (exemplars=false)");
    assert_text(
        tempo_offenders_query(true, 1000, true),
        "{ status = error || duration * 1 > 1000ms || ((kind = server || kind = consumer || nestedSetParent "
        "< 0) && traceDuration * 1 > 1000ms) } | by(span:id) | select(resource.service.name, name, kind, "
        "status, statusMessage, nestedSetParent, traceDuration, span.http.response.status_code) with "
        "(most_recent=true)");
    assert_text(tempo_offenders_query(true, -1, false),
                "{ status = error } | select(resource.service.name, name, kind, status, statusMessage, "
                "nestedSetParent, traceDuration, span.http.response.status_code)");
    assert_text(tempo_sweep_query(0.5),
                "{ status = error || duration * 1 > 500000ns } | max_over_time(duration) by "
                "(trace:id, span:id, resource.service.name, name, status)");
    assert_text(
        tempo_search_url("http://t/p", "{ a = \"b c\" }", 10, 20, 500, 100),
        "http://t/p/api/search?q=%7B%20a%20%3D%20%22b%20c%22%20%7D&start=10&end=20&limit=500&spss=100");
    assert_text(tempo_trace_url("http://t", "00ab", 2), "http://t/api/v2/traces/00ab");
}

static void literals_cannot_break_out(void **state) {
    (void)state;
    sw_buf out;
    sw_buf_init(&out, 1000);
    tempo_append_literal(&out, "a\"} | x \\ \n\r\t\x01\x7f \xc3\xa4");
    assert_string_equal(out.data, "\"a\\\"} | x \\\\ \\n\\r\\t\\x01\\x7f \xc3\xa4\"");
    sw_buf_release(&out);
}

/* ---- entry spans by search ---- */

static tempo_row row_of(const char *json) {
    tempo_row row;
    char why[SW_JSON_WHY] = "";
    assert_true(tempo_decode_search(json, strlen(json), &row, why));
    return row;
}

static tempo_row simple_row(unsigned trace, unsigned span, int64_t start_s, const char *status) {
    char json[600];
    snprintf(json, sizeof json,
             "{\"traceID\":\"%x\",\"spanSets\":[{\"spans\":[{\"spanID\":\"%x\",\"name\":\"op\","
             "\"startTimeUnixNano\":"
             "\"%lld000000000\",\"durationNanos\":\"2000\",\"attributes\":[{\"key\":\"status\",\"value\":"
             "{\"stringValue\":\"%s\"}},{\"key\":\"kind\",\"value\":{\"stringValue\":\"server\"}}]}]}]}",
             trace, span, (long long)start_s, status);
    return row_of(json);
}

static size_t count_spans(const tempo_spans *spans, int64_t from_s, int64_t to_s, double *errors) {
    sw_buckets *buckets = sw_buckets_new(30, 1000);
    sw_buckets_begin(buckets, from_s, to_s);
    size_t n = tempo_spans_count(spans, from_s, to_s, buckets);
    assert_int_equal(sw_buckets_commit(buckets, true), 0);
    sw_window window;
    sw_window_init(&window);
    sw_buckets_build_window(buckets, from_s, to_s, &window);
    *errors = window.n_series > 0 ? window.series[0].errors : 0;
    if (window.n_series > 0) {
        assert_true(window.series[0].buckets[0].upper_ms == 2048e-6);
    }
    sw_window_release(&window);
    sw_buckets_free(buckets);
    return n;
}

static void a_span_read_again_replaces_itself(void **state) {
    (void)state;
    tempo_spans *spans = tempo_spans_new(10000);
    double errors = 0;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 1; i <= 1000; i++) {
            tempo_row row = simple_row(i, i % 7 + 1, 300 + i % 60, round == 2 ? "error" : "ok");
            assert_int_equal(tempo_spans_put(spans, &row, 300, 360), 0);
            tempo_row_release(&row);
        }
    }
    assert_int_equal(tempo_spans_size(spans), 1000);
    assert_int_equal(count_spans(spans, 300, 360, &errors), 1000);
    assert_true(errors == 1000);
    tempo_spans_forget(spans, 330);
    assert_int_equal(count_spans(spans, 300, 330, &errors), 0);
    assert_int_equal(count_spans(spans, 330, 360, &errors), tempo_spans_size(spans));
    assert_true(tempo_spans_size(spans) > 450);
    tempo_spans_free(spans);
}

static void spans_outside_or_inside_are_told_apart(void **state) {
    (void)state;
    tempo_spans *spans = tempo_spans_new(2);
    tempo_row rows[] = {simple_row(1, 1, 299, "ok"), simple_row(1, 2, 360, "ok"), simple_row(1, 3, 300, "ok"),
                        simple_row(1, 4, 359, "ok"), simple_row(1, 5, 310, "ok")};
    for (size_t i = 0; i < SW_ARRAY_LEN(rows); i++) {
        assert_int_equal(tempo_spans_put(spans, &rows[i], 300, 360), i == 4 ? -1 : 0);
        tempo_row_release(&rows[i]);
    }
    assert_int_equal(tempo_spans_size(spans), 2);
    tempo_spans_free(spans);
}

/* ---- the traces ---- */

static const sw_wants both = {.min_duration_ms = 1000, .errors = true};

static void caps_are_told(void **state) {
    (void)state;
    tempo_cache *cache = tempo_cache_new(3, 4);
    tempo_cache_begin(cache, &both, S);
    for (unsigned i = 1; i <= 5; i++) {
        tempo_row row = simple_row(i, 1, 300, "error");
        assert_int_equal(tempo_cache_merge(cache, &row), i <= 3 ? 0 : -1);
    }
    tempo_row row = simple_row(1, 2, 300, "error");
    assert_int_equal(tempo_cache_merge(cache, &row), 0);
    row = simple_row(1, 3, 300, "error");
    assert_int_equal(tempo_cache_merge(cache, &row), -1);
    assert_int_equal(tempo_cache_size(cache), 3);
    assert_int_equal(tempo_cache_dropped(cache), 3);
    tempo_cache_free(cache);
}

static void a_trace_of_very_many_spans_keeps_some_and_is_judged_by_all(void **state) {
    (void)state;
    tempo_cache *cache = tempo_cache_new(10, 100000);
    tempo_cache_begin(cache, &both, S);
    for (unsigned i = 1; i <= 1000; i++) {
        char json[700];
        snprintf(
            json, sizeof json,
            "{\"traceID\":\"1\",\"rootServiceName\":\"s\",\"rootTraceName\":\"r\",\"spanSets\":[{\"spans\":[{"
            "\"spanID\":\"%x\",\"name\":\"op\",\"startTimeUnixNano\":\"300000000000\",\"durationNanos\":\"%"
            "u\"}]}]}",
            i, i * 1000000);
        tempo_row row = row_of(json);
        assert_int_equal(tempo_cache_merge(cache, &row), 0);
    }
    tempo_cache_end(cache, 0, S);
    size_t n = 0;
    const sw_trace *trace = tempo_cache_list(cache, &n)[0];
    assert_int_equal(n, 1);
    assert_int_equal(trace->n_spans, TEMPO_MAX_SPANS_PER_TRACE);
    assert_true(trace->duration_ms == 1000);
    assert_int_equal(tempo_cache_dropped(cache), 0);
    tempo_cache_free(cache);
}

static void the_message_is_of_the_failing_span_nearest_the_root(void **state) {
    (void)state;
    tempo_cache *cache = tempo_cache_new(10, 1000);
    tempo_cache_begin(cache, &both, S);
    tempo_row row = {0};
    static const char batch[] =
        "{\"scopeSpans\":[{\"spans\":["
        "{\"spanId\":\"AAAAAAAAAAE=\",\"name\":\"root\",\"startTimeUnixNano\":\"100\",\"endTimeUnixNano\":"
        "\"900\"},"
        "{\"spanId\":\"AAAAAAAAAAI=\",\"parentSpanId\":\"AAAAAAAAAAE=\",\"name\":\"near\","
        "\"startTimeUnixNano\":\"500\","
        "\"endTimeUnixNano\":\"600\",\"status\":{\"code\":\"STATUS_CODE_ERROR\",\"message\":\"near\"}},"
        "{\"spanId\":\"AAAAAAAAAAM=\",\"parentSpanId\":\"AAAAAAAAAAE=\",\"name\":\"ok\","
        "\"startTimeUnixNano\":\"110\","
        "\"endTimeUnixNano\":\"600\"},"
        "{\"spanId\":\"AAAAAAAAAAQ=\",\"parentSpanId\":\"AAAAAAAAAAM=\",\"name\":\"deep\","
        "\"startTimeUnixNano\":\"120\","
        "\"endTimeUnixNano\":\"600\",\"status\":{\"code\":\"STATUS_CODE_ERROR\",\"message\":\"deep\"}}]}]}";
    char why[SW_JSON_WHY];
    assert_true(tempo_decode_batch(batch, strlen(batch), 10, &row, why));
    snprintf(row.trace.id, sizeof row.trace.id, "%032x", 1);
    tempo_finish_batches(&row);
    assert_int_equal(tempo_cache_merge(cache, &row), 0);
    tempo_cache_end(cache, 0, S);
    size_t n = 0;
    const sw_trace *trace = tempo_cache_list(cache, &n)[0];
    assert_string_equal(trace->error_message, "near");
    assert_string_equal(trace->operation, "root");
    assert_int_equal(trace->n_spans, 3); /* what neither offends nor is the root is not kept */
    assert_int_equal(trace->n_matched, 2);
    tempo_cache_free(cache);
}

static void the_sweep_knows_a_span_only_once(void **state) {
    (void)state;
    tempo_cache *cache = tempo_cache_new(10, 1000);
    tempo_cache_begin(cache, &both, S);
    tempo_series series = {.service = "s",
                           .name = "op",
                           .trace_id = "abc",
                           .span_id = "1",
                           .has_value = true,
                           .value = 1.000000001};
    assert_int_equal(tempo_cache_sweep(cache, &series, 400 * S), 0);
    assert_int_equal(tempo_cache_sweep(cache, &series, 400 * S), 0);
    series.span_id = "x";
    assert_int_equal(tempo_cache_sweep(cache, &series, 400 * S), -1);
    char id[SW_TRACE_ID_LEN + 1];
    assert_true(tempo_cache_next_detail(cache, id));
    assert_string_equal(id, "00000000000000000000000000000abc");
    assert_false(tempo_cache_next_detail(cache, id)); /* once in a poll */
    tempo_cache_detail_failed(cache, id, true);
    tempo_cache_end(cache, 0, S);
    size_t n = 0;
    tempo_cache_list(cache, &n);
    assert_int_equal(n, 0);
    tempo_cache_begin(cache, &both, 31 * S);
    assert_false(tempo_cache_next_detail(cache, id));
    tempo_cache_end(cache, 0, 31 * S);
    const sw_trace *trace = tempo_cache_list(cache, &n)[0];
    assert_int_equal(n, 1);
    assert_int_equal(trace->n_spans, 1);
    assert_true(trace->duration_ms == 1000.000001);
    assert_int_equal(trace->start_ns, 400 * S);
    tempo_cache_free(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wall_clock_is_believed_where_it_fits),
        cmocka_unit_test(a_server_ahead_is_followed_and_narrowed),
        cmocka_unit_test(a_step_of_the_wall_clock_moves_nothing),
        cmocka_unit_test(a_step_of_the_server_is_told),
        cmocka_unit_test(a_count_at_the_end_proves_right_edges),
        cmocka_unit_test(sparse_counts_prove_nothing),
        cmocka_unit_test(an_answer_without_the_last_stamp_has_left_edges_or_was_cut),
        cmocka_unit_test(another_server_is_believed_after_ten_answers),
        cmocka_unit_test(samples_go_into_their_buckets),
        cmocka_unit_test(samples_between_steps_are_refused),
        cmocka_unit_test(the_questions_read_like_this),
        cmocka_unit_test(literals_cannot_break_out),
        cmocka_unit_test(a_span_read_again_replaces_itself),
        cmocka_unit_test(spans_outside_or_inside_are_told_apart),
        cmocka_unit_test(caps_are_told),
        cmocka_unit_test(a_trace_of_very_many_spans_keeps_some_and_is_judged_by_all),
        cmocka_unit_test(the_message_is_of_the_failing_span_nearest_the_root),
        cmocka_unit_test(the_sweep_knows_a_span_only_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
