#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sources/json_stream.h"
#include "sources/tempo/count_table.h"
#include "sources/tempo/decode.h"

/* What recorded answers of real servers say; the numbers were added up by another program. */
struct totals {
    const char *file;
    int traces, spans, matched, errors, messages, roots, short_ids;
    int64_t duration_ms, span_ns, start_rest_ns;
};

static const struct totals searches[] = {
    {"tempo-3.0.3/search_all_5000.json", 598, 598, 598, 30, 30, 598, 40, 75455, INT64_C(75739174288),
     INT64_C(290762759409)},
    {"tempo-3.0.3/search_slow_or_error_select.json", 59, 118, 118, 60, 60, 0, 3, 53583, INT64_C(96498041618),
     INT64_C(30244445646)},
    {"tempo-3.0.3/search_slow.json", 31, 62, 62, 0, 0, 0, 2, 52323, INT64_C(94208625452),
     INT64_C(15822222227)},
    {"tempo-3.0.3/search_error_limit100.json", 30, 60, 60, 60, 0, 0, 1, 4794, INT64_C(8652265644),
     INT64_C(15251626883)},
    {"tempo-3.0.3/search_plain_limit100.json", 100, 0, 0, 0, 0, 0, 8, 13967, INT64_C(0),
     INT64_C(46146727543)},
    {"tempo-3.0.3/search_spss_1.json", 5, 5, 10, 5, 0, 0, 0, 1922, INT64_C(1924254726), INT64_C(1887404457)},
    {"tempo-3.0.3/search_min_duration.json", 20, 0, 0, 0, 0, 0, 2, 33715, INT64_C(0), INT64_C(9806890249)},
    {"tempo-3.0.3/search_tags.json", 20, 0, 0, 0, 0, 0, 2, 4134, INT64_C(0), INT64_C(8934785190)},
    {"tempo-3.0.3/search_default_limit.json", 20, 0, 0, 0, 0, 0, 8, 4086, INT64_C(0), INT64_C(7185022074)},
    {"tempo-3.0.3/search_slow_or_error_select_recent.json", 59, 118, 118, 60, 60, 0, 3, 53583,
     INT64_C(96498041618), INT64_C(30244445646)},
    {"tempo-3.0.3/search_error_encoded_spaces.json", 30, 60, 60, 60, 0, 0, 1, 4794, INT64_C(8652265644),
     INT64_C(15251626883)},
    {"tempo-3.0.3/search_empty.json", 0, 0, 0, 0, 0, 0, 0, 0, INT64_C(0), INT64_C(0)},
    {"tempo-3.0.3/search_empty_q.json", 0, 0, 0, 0, 0, 0, 0, 0, INT64_C(0), INT64_C(0)},
    {"tempo-2.9.0-no-metrics/search_all_5000.json", 598, 598, 598, 31, 31, 598, 41, 68138,
     INT64_C(68443469593), INT64_C(302023501692)},
    {"tempo-2.9.0-no-metrics/search_slow_or_error_select.json", 57, 114, 114, 62, 62, 0, 3, 45771,
     INT64_C(82430449188), INT64_C(28275690321)},
    {"tempo-2.9.0-no-metrics/search_slow.json", 27, 54, 54, 0, 0, 0, 1, 44672, INT64_C(80430040104),
     INT64_C(11521939632)},
    {"tempo-2.9.0-no-metrics/search_error_limit100.json", 31, 62, 62, 62, 0, 0, 2, 2810, INT64_C(5081321172),
     INT64_C(17346964992)},
    {"tempo-2.9.0-no-metrics/search_plain_limit100.json", 100, 0, 0, 0, 0, 0, 13, 12706, INT64_C(0),
     INT64_C(52600213187)},
    {"tempo-2.9.0-no-metrics/search_spss_1.json", 5, 5, 10, 5, 0, 0, 1, 190, INT64_C(191355799),
     INT64_C(2707525366)},
    {"tempo-2.9.0-no-metrics/search_min_duration.json", 20, 0, 0, 0, 0, 0, 1, 33581, INT64_C(0),
     INT64_C(8182664285)},
    {"tempo-2.9.0-no-metrics/search_tags.json", 20, 0, 0, 0, 0, 0, 6, 802, INT64_C(0), INT64_C(11576875008)},
    {"tempo-2.9.0-no-metrics/search_default_limit.json", 20, 0, 0, 0, 0, 0, 6, 802, INT64_C(0),
     INT64_C(11576875008)},
    {"tempo-2.9.0-no-metrics/search_slow_or_error_select_recent.json", 57, 114, 114, 62, 62, 0, 3, 45771,
     INT64_C(82430449188), INT64_C(28275690321)},
    {"tempo-2.9.0-no-metrics/search_error_encoded_spaces.json", 31, 62, 62, 62, 0, 0, 2, 2810,
     INT64_C(5081321172), INT64_C(17346964992)},
    {"tempo-2.9.0-no-metrics/search_empty.json", 0, 0, 0, 0, 0, 0, 0, 0, INT64_C(0), INT64_C(0)},
    {"tempo-2.9.0-no-metrics/search_empty_q.json", 0, 0, 0, 0, 0, 0, 0, 0, INT64_C(0), INT64_C(0)},
};

static char *read_file(const char *name, size_t *len) {
    char path[1000];
    snprintf(path, sizeof path, "%s/%s", SW_TEST_DATA, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *len = (size_t)ftell(file);
    rewind(file);
    char *text = xmalloc(*len + 1);
    assert_int_equal(fread(text, 1, *len, file), *len);
    text[*len] = '\0';
    fclose(file);
    return text;
}

/* Reads a recorded answer as it arrives, in pieces. */
static void stream_file(const char *name, const char *const *paths,
                        bool (*element)(const char *json, size_t len, void *arg), void *arg) {
    size_t len = 0;
    char *text = read_file(name, &len);
    sw_json_stream *stream =
        sw_json_stream_new(&(sw_json_stream_options){.paths = paths, .on_element = element, .arg = arg});
    for (size_t at = 0; at < len; at += 1000) {
        assert_true(sw_json_stream_feed(stream, text + at, len - at < 1000 ? len - at : 1000));
    }
    json_t *rest = sw_json_stream_finish(stream);
    assert_non_null(rest);
    json_decref(rest);
    sw_json_stream_free(stream);
    free(text);
}

static bool add_row(const char *json, size_t len, void *arg) {
    struct totals *totals = arg;
    tempo_row row;
    char why[SW_JSON_WHY];
    assert_true(tempo_decode_search(json, len, &row, why));
    totals->traces++;
    totals->matched += (int)row.trace.n_matched;
    totals->spans += (int)row.trace.n_spans;
    totals->short_ids += row.trace.id[0] == '0';
    totals->duration_ms += (int64_t)row.trace.duration_ms;
    totals->start_rest_ns += row.trace.start_ns % SW_NS_PER_S;
    assert_int_equal(strlen(row.trace.id), 32);
    assert_true(row.trace.root_known);
    assert_string_equal(row.trace.service, "frontend");
    for (size_t i = 0; i < row.trace.n_spans; i++) {
        const sw_span *span = &row.trace.spans[i];
        totals->errors += span->status == SW_STATUS_ERROR;
        totals->messages += span->status_message[0] != '\0';
        totals->roots += row.roots[i];
        totals->span_ns += span->duration_ns;
        assert_int_equal(span->n_attributes, 0);
        assert_true(span->start_ns > INT64_C(1795385000) * SW_NS_PER_S);
    }
    tempo_row_release(&row);
    return true;
}

static void recorded_searches_are_read_to_the_last_span(void **state) {
    (void)state;
    static const char *const paths[] = {"traces", NULL};
    for (size_t i = 0; i < SW_ARRAY_LEN(searches); i++) {
        const struct totals *want = &searches[i];
        struct totals got = {0};
        stream_file(want->file, paths, add_row, &got);
        assert_int_equal(got.traces, want->traces);
        assert_int_equal(got.spans, want->spans);
        assert_int_equal(got.matched, want->matched);
        assert_int_equal(got.errors, want->errors);
        assert_int_equal(got.messages, want->messages);
        assert_int_equal(got.roots, want->roots);
        assert_int_equal(got.short_ids, want->short_ids);
        assert_true(got.duration_ms == want->duration_ms);
        assert_true(got.span_ns == want->span_ns);
        assert_true(got.start_rest_ns == want->start_rest_ns);
    }
}

static bool first_row(const char *json, size_t len, void *arg) {
    tempo_row *row = arg;
    char why[SW_JSON_WHY];
    return row->trace.id[0] != '\0' || tempo_decode_search(json, len, row, why);
}

static void a_recorded_trace_has_these_fields(void **state) {
    (void)state;
    static const char *const paths[] = {"traces", NULL};
    tempo_row row = {0};
    stream_file("tempo-3.0.3/search_slow_or_error_select.json", paths, first_row, &row);
    assert_string_equal(row.trace.id, "561a8954e2ed4b956a1e1360aa3ca346");
    assert_string_equal(row.trace.operation, "POST /checkout");
    assert_true(row.trace.start_ns == INT64_C(1795385849085752910));
    assert_true(row.trace.duration_ms == 61);
    assert_int_equal(row.trace.n_spans, 2);
    const sw_span *span = &row.trace.spans[1];
    assert_string_equal(span->id, "8bf357fb3eaa88c9");
    assert_string_equal(span->service, "checkout");
    assert_string_equal(span->name, "PlaceOrder");
    assert_string_equal(span->status_message, "deadline exceeded");
    assert_int_equal(span->status, SW_STATUS_ERROR);
    assert_true(span->start_ns == INT64_C(1795385849091877837));
    assert_true(span->duration_ns == 48999424);
    tempo_row_release(&row);
}

struct series_totals {
    const char *file;
    int series, samples;
    double sum, errors, edges;
};

static const struct series_totals metrics[] = {
    {"tempo-3.0.3/metrics_instant_count_by_service_status.json", 8, 0, 1196, 60, 0},
    {"tempo-3.0.3/metrics_instant_histogram.json", 42, 0, 1196, 60, 17.205035008},
    {"tempo-3.0.3/metrics_range_count_status.json", 2, 16, 598, 30, 0},
    {"tempo-3.0.3/metrics_range_histogram.json", 7, 21, 598, 0, 2.6759659520000003},
    {"tempo-3.0.3/metrics_instant_count_by_root_status.json", 6, 0, 598, 30, 0},
    {"tempo-3.0.3/metrics_instant_quantiles.json", 12, 0, 6.533687134952284, 0, 0},
    {"tempo-3.0.3/metrics_range_rate.json", 4, 12, 39.86666666666666, 0, 0},
    {"tempo-3.0.3/metrics_range_quantiles.json", 12, 36, 15.714117291530647, 0, 0},
    {"tempo-3.0.3/metrics_range_exemplars.json", 4, 12, 2.0, 0, 0},
};

static bool add_series(const char *json, size_t len, void *arg) {
    struct series_totals *totals = arg;
    tempo_series series;
    char why[SW_JSON_WHY];
    assert_true(tempo_series_open(json, len, &series, why));
    double sum = series.has_value ? series.value : 0;
    for (size_t i = 0; i < json_array_size(series.samples); i++) {
        int64_t at_ms = 0;
        double value = 0;
        assert_true(tempo_series_sample(&series, i, &at_ms, &value));
        assert_true(at_ms >= INT64_C(1795385790000) && at_ms <= INT64_C(1795385860000));
        sum += value;
        totals->samples++;
    }
    totals->series++;
    totals->sum += sum;
    totals->errors += series.error ? sum : 0;
    totals->edges += series.bucket_s;
    tempo_series_close(&series);
    return true;
}

static void recorded_metrics_are_read_to_the_last_sample(void **state) {
    (void)state;
    static const char *const paths[] = {"series", NULL};
    for (size_t i = 0; i < SW_ARRAY_LEN(metrics); i++) {
        struct series_totals got = {0};
        stream_file(metrics[i].file, paths, add_series, &got);
        assert_int_equal(got.series, metrics[i].series);
        assert_int_equal(got.samples, metrics[i].samples);
        assert_true(fabs(got.sum - metrics[i].sum) < 1e-9);
        assert_true(got.errors == metrics[i].errors);
        assert_true(fabs(got.edges - metrics[i].edges) < 1e-9);
    }
}

static bool add_counts(const char *json, size_t len, void *arg) {
    tempo_series series;
    char why[SW_JSON_WHY];
    assert_true(tempo_series_open(json, len, &series, why));
    bool ok = tempo_counts_add(arg, &series, why);
    tempo_series_close(&series);
    return ok;
}

static void a_recorded_histogram_becomes_buckets(void **state) {
    (void)state;
    static const char *const paths[] = {"series", NULL};
    const int64_t from = 1795385790;
    tempo_counts *counts = tempo_counts_new(from, from + 60, 30);
    stream_file("tempo-3.0.3/metrics_range_histogram.json", paths, add_counts, counts);
    tempo_layout layout = {0};
    tempo_counts_learn(counts, from + 60, &layout);
    assert_int_equal(layout.edge, TEMPO_EDGE_RIGHT);
    assert_int_equal(tempo_counts_until(counts, &layout), from + 60);
    sw_buckets *buckets = sw_buckets_new(30, 100);
    sw_buckets_begin(buckets, from, from + 60);
    tempo_counts_draft(counts, &layout, buckets);
    assert_int_equal(sw_buckets_commit(buckets, false), 0);
    assert_true(sw_buckets_total(buckets, from, from + 30) == 2 + 6 + 92 + 104 + 28 + 1 + 15);
    assert_true(sw_buckets_total(buckets, from + 30, from + 60) == 20 + 129 + 148 + 34 + 3 + 16);
    sw_window window;
    sw_window_init(&window);
    sw_buckets_build_window(buckets, from, from + 60, &window);
    assert_int_equal(window.series[0].n_buckets, 7);
    assert_true(window.series[0].buckets[6].upper_ms == 2147.483648);
    assert_true(window.series[0].buckets[6].lower_ms == 1073.741824);
    assert_true(window.series[0].buckets[6].count == 31);
    sw_window_release(&window);
    sw_buckets_free(buckets);
    tempo_counts_free(counts);
}

static bool add_batch(const char *json, size_t len, void *arg) {
    char why[SW_JSON_WHY];
    return tempo_decode_batch(json, len, 1000, arg, why);
}

static void recorded_traces_by_id_are_read_in_both_versions(void **state) {
    (void)state;
    static const char *const paths[] = {"trace.resourceSpans", "batches", NULL};
    static const struct {
        const char *file, *span, *parent, *name, *child;
        double ms;
    } cases[] = {
        {"tempo-3.0.3/trace_v1.json", "28c0d4aec196c5c2", "ff2edc179d4c712e", "POST /checkout",
         "ListProducts", 52.086632},
        {"tempo-3.0.3/trace_v2.json", "28c0d4aec196c5c2", "ff2edc179d4c712e", "POST /checkout",
         "ListProducts", 52.086632},
        {"tempo-2.9.0-no-metrics/trace_v1.json", "53d3b920e2609b84", "3d04270374fb05dc", "GET /",
         "PlaceOrder", 14.337479},
        {"tempo-2.9.0-no-metrics/trace_v2.json", "53d3b920e2609b84", "3d04270374fb05dc", "GET /",
         "PlaceOrder", 14.337479},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        tempo_row row = {0};
        stream_file(cases[i].file, paths, add_batch, &row);
        tempo_finish_batches(&row);
        assert_int_equal(row.trace.n_spans, 2);
        assert_true(row.trace.root_known && row.roots[0] && !row.roots[1]);
        assert_string_equal(row.trace.service, "frontend");
        assert_string_equal(row.trace.operation, cases[i].name);
        assert_true(row.trace.duration_ms == cases[i].ms);
        const sw_span *child = &row.trace.spans[1];
        assert_string_equal(child->id, cases[i].span);
        assert_string_equal(child->parent_id, cases[i].parent);
        assert_string_equal(child->name, cases[i].child);
        assert_int_equal(child->kind, SW_KIND_SERVER);
        assert_int_equal(child->status, SW_STATUS_ERROR);
        assert_string_equal(child->status_message, "connection refused");
        assert_int_equal(child->n_attributes, 1);
        assert_string_equal(child->attributes[0].key, "http.request.method");
        assert_string_equal(child->attributes[0].value, "GET");
        tempo_row_release(&row);
    }
}

static void ids_are_padded_and_of_one_case(void **state) {
    (void)state;
    char out[33];
    assert_true(tempo_hex_id("3984f1220b9d2439cb63f6559b354f4", 32, out));
    assert_string_equal(out, "03984f1220b9d2439cb63f6559b354f4");
    assert_true(tempo_hex_id("AbC", 16, out));
    assert_string_equal(out, "0000000000000abc");
    assert_false(tempo_hex_id("", 16, out));
    assert_false(tempo_hex_id("12345678901234567", 16, out));
    assert_false(tempo_hex_id("xyz", 16, out));
    assert_true(tempo_base64_id("WIJi1cdRRZ9FuQ2MOfkPgQ==", 16, out));
    assert_string_equal(out, "588262d5c751459f45b90d8c39f90f81");
    assert_true(tempo_base64_id("_y7cF51McS4", 8, out));
    assert_string_equal(out, "ff2edc179d4c712e");
    assert_true(tempo_base64_id("FF2EDC179D4C712E", 8, out));
    assert_string_equal(out, "ff2edc179d4c712e");
    assert_false(tempo_base64_id("WIJi1cdRRZ9FuQ2MOfkPgQ==", 8, out));
    assert_false(tempo_base64_id("AAAA", 8, out));
    assert_false(tempo_base64_id("????????????", 8, out));
    assert_false(tempo_base64_id("", 8, out));
}

static bool decode(const char *json, tempo_row *row) {
    char why[SW_JSON_WHY] = "";
    bool ok = tempo_decode_search(json, strlen(json), row, why);
    assert_true(ok || why[0] != '\0');
    return ok;
}

static void what_is_left_out_is_zero(void **state) {
    (void)state;
    tempo_row row;
    assert_true(decode("{\"traceID\":\"1\",\"spanSets\":[{\"spans\":[{\"spanID\":\"2\"}]}]}", &row));
    assert_false(row.trace.root_known);
    assert_int_equal(row.trace.n_matched, 1);
    assert_true(row.trace.duration_ms == 0 && row.trace.start_ns == 0);
    assert_int_equal(row.trace.spans[0].duration_ns, 0);
    assert_string_equal(row.trace.spans[0].service, "unknown_service");
    assert_string_equal(row.trace.spans[0].name, "");
    tempo_row_release(&row);
}

static void a_root_not_yet_received_is_none(void **state) {
    (void)state;
    tempo_row row;
    assert_true(
        decode("{\"traceID\":\"1\",\"rootServiceName\":\"\\u003croot span not yet received\\u003e\"}", &row));
    assert_false(row.trace.root_known);
    assert_string_equal(row.trace.service, "");
    tempo_row_release(&row);
    assert_true(decode(
        "{\"traceID\":\"1\",\"rootServiceName\":\"<root span not yet received>\",\"rootTraceName\":\"op\"}",
        &row));
    assert_true(row.trace.root_known);
    assert_string_equal(row.trace.service, "unknown_service");
    assert_string_equal(row.trace.operation, "op");
    tempo_row_release(&row);
}

static void all_span_sets_are_read_and_no_span_twice(void **state) {
    (void)state;
    tempo_row row;
    assert_true(decode(
        "{\"traceID\":\"1\",\"spanSet\":{\"spans\":[{\"spanID\":\"9\"}]},\"spanSets\":["
        "{\"spans\":[{\"spanID\":\"a\"}],\"matched\":1},{\"spans\":[{\"spanID\":\"b\"},{\"spanID\":\"a\"}],"
        "\"matched\":5}]}",
        &row));
    assert_int_equal(row.trace.n_spans, 2);
    assert_int_equal(row.trace.n_matched, 6);
    tempo_row_release(&row);
    assert_true(
        decode("{\"traceID\":\"1\",\"spanSet\":{\"spans\":[{\"spanID\":\"9\"}],\"matched\":1}}", &row));
    assert_int_equal(row.trace.n_spans, 1);
    tempo_row_release(&row);
}

static void attributes_are_in_one_order(void **state) {
    (void)state;
    tempo_row row;
    assert_true(decode(
        "{\"traceID\":\"1\",\"spanSets\":[{\"spans\":[{\"spanID\":\"a\",\"attributes\":["
        "{\"key\":\"z\",\"value\":{\"intValue\":\"5\"}},{\"key\":\"a\",\"value\":{\"boolValue\":true}},"
        "{\"key\":\"m\",\"value\":{\"arrayValue\":{\"values\":[{\"stringValue\":\"x\"},{\"doubleValue\":0.5}]"
        "}}}"
        "]}]}]}",
        &row));
    const sw_span *span = &row.trace.spans[0];
    assert_int_equal(span->n_attributes, 3);
    assert_string_equal(span->attributes[0].key, "a");
    assert_string_equal(span->attributes[0].value, "true");
    assert_string_equal(span->attributes[1].value, "[x, 0.5]");
    assert_string_equal(span->attributes[2].value, "5");
    tempo_row_release(&row);
}

static void what_is_no_trace_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"[]",
                                      "5",
                                      "{}",
                                      "{\"traceID\":5}",
                                      "{\"traceID\":\"\"}",
                                      "{\"traceID\":\"123456789012345678901234567890123\"}",
                                      "{\"traceID\":\"1\",\"spanSets\":[5]}",
                                      "{\"traceID\":\"1\",\"spanSets\":[{\"spans\":{}}]}",
                                      "{\"traceID\":\"1\",\"spanSets\":[{\"spans\":[{}]}]}",
                                      "{\"traceID\":\"1\",\"spanSets\":[{\"spans\":[{\"spanID\":\"zz\"}]}]}",
                                      "{\"traceID\":\"1\""};
    for (size_t i = 0; i < SW_ARRAY_LEN(bad); i++) {
        tempo_row row;
        assert_false(decode(bad[i], &row));
    }
}

static bool open_series(const char *json, tempo_series *series) {
    char why[SW_JSON_WHY] = "";
    bool ok = tempo_series_open(json, strlen(json), series, why);
    assert_true(ok || why[0] != '\0');
    return ok;
}

static void spans_that_end_before_they_start_have_no_duration(void **state) {
    (void)state;
    tempo_series series;
    assert_true(
        open_series("{\"labels\":[{\"key\":\"__bucket\",\"value\":{\"doubleValue\":18446744073.709553}}],"
                    "\"value\":18446744073.7}",
                    &series));
    assert_true(series.bucket_s == 0);
    assert_false(series.has_value);
    tempo_series_close(&series);
    tempo_row row;
    assert_true(decode("{\"traceID\":\"1\",\"spanSets\":[{\"spans\":[{\"spanID\":\"a\",\"durationNanos\":"
                       "\"18446744073708551616\"}]}]}",
                       &row));
    assert_int_equal(row.trace.spans[0].duration_ns, 0);
    tempo_row_release(&row);
}

static void labels_without_a_value_are_named(void **state) {
    (void)state;
    tempo_series series;
    assert_true(
        open_series("{\"labels\":[{\"key\":\"resource.service.name\",\"value\":{\"stringValue\":\"nil\"}},"
                    "{\"key\":\"name\",\"value\":{\"stringValue\":\"\"}},"
                    "{\"key\":\"status\",\"value\":{\"stringValue\":\"error\"}}]}",
                    &series));
    assert_string_equal(series.service, "unknown_service");
    assert_string_equal(series.name, "");
    assert_true(series.error);
    assert_false(series.has_value);
    tempo_series_close(&series);
    assert_false(open_series("[]", &series));
    assert_false(open_series("{\"labels\":{}}", &series));
    assert_false(open_series("{\"samples\":{}}", &series));
    assert_false(open_series("{", &series));
}

static void spans_by_id_have_their_parents_and_times_checked(void **state) {
    (void)state;
    tempo_row row = {0};
    char why[SW_JSON_WHY];
    static const char batch[] =
        "{\"scopeSpans\":[{\"spans\":[{\"spanId\":\"AAAAAAAAAAE=\",\"startTimeUnixNano\":\"100\","
        "\"endTimeUnixNano\":"
        "\"50\",\"kind\":3,\"status\":{\"code\":2}},{\"spanId\":\"AAAAAAAAAAI=\",\"parentSpanId\":"
        "\"AAAAAAAAAAA=\","
        "\"startTimeUnixNano\":\"90\",\"endTimeUnixNano\":\"9223372036854775807\"}]}]}";
    assert_true(tempo_decode_batch(batch, strlen(batch), 10, &row, why));
    tempo_finish_batches(&row);
    assert_int_equal(row.trace.spans[0].duration_ns, 0);
    assert_int_equal(row.trace.spans[0].kind, SW_KIND_CLIENT);
    assert_int_equal(row.trace.spans[0].status, SW_STATUS_ERROR);
    assert_string_equal(row.trace.spans[0].service, "unknown_service");
    assert_true(row.roots[1]); /* a parent of zeros is none */
    assert_int_equal(row.trace.start_ns, 90);
    assert_false(tempo_decode_batch(batch, strlen(batch), 3, &row, why));
    assert_string_equal(why, "the trace has too many spans");
    tempo_row_release(&row);
    static const char *const bad[] = {"[]", "{\"scopeSpans\":{}}", "{\"scopeSpans\":[{\"spans\":[{}]}]}",
                                      "{"};
    for (size_t i = 0; i < SW_ARRAY_LEN(bad); i++) {
        tempo_row none = {0};
        assert_false(tempo_decode_batch(bad[i], strlen(bad[i]), 10, &none, why));
        tempo_row_release(&none);
    }
}

static const char *attribute(const sw_span *span, const char *key) {
    for (size_t i = 0; i < span->n_attributes; i++) {
        if (strcmp(span->attributes[i].key, key) == 0) {
            return span->attributes[i].value;
        }
    }
    return NULL;
}

static void the_last_exception_is_an_attribute_of_its_span(void **state) {
    (void)state;
    static const char batch[] =
        "{\"scopeSpans\":[{\"spans\":["
        "{\"spanId\":\"AAAAAAAAAAE=\",\"attributes\":[{\"key\":\"exception.message\",\"value\":{"
        "\"stringValue\":\"own\"}}],"
        "\"events\":[{\"name\":\"exception\",\"attributes\":[{\"key\":\"exception.type\",\"value\":{"
        "\"stringValue\":\"First\"}}]},"
        "{\"name\":\"exception\",\"attributes\":[{\"key\":\"exception.type\",\"value\":{\"stringValue\":"
        "\"Last\"}},"
        "{\"key\":\"exception.message\",\"value\":{\"stringValue\":\"of the event\"}},"
        "{\"key\":\"other\",\"value\":{\"stringValue\":\"x\"}}]},"
        "{\"name\":\"log\",\"attributes\":[{\"key\":\"exception.type\",\"value\":{\"stringValue\":\"None\"}}]"
        "}]},"
        "{\"spanId\":\"AAAAAAAAAAI=\",\"attributes\":7,\"events\":[7,{\"name\":\"exception\",\"attributes\":["
        "7,{}]}]},"
        "{\"spanId\":\"AAAAAAAAAAM=\",\"events\":{}}]}]}";
    tempo_row row = {0};
    char why[SW_JSON_WHY];
    assert_true(tempo_decode_batch(batch, strlen(batch), 10, &row, why));
    assert_int_equal(row.trace.n_spans, 3);
    assert_int_equal(row.trace.spans[0].n_attributes, 2);
    assert_string_equal(attribute(&row.trace.spans[0], "exception.type"), "Last");
    assert_string_equal(attribute(&row.trace.spans[0], "exception.message"), "own");
    assert_int_equal(row.trace.spans[1].n_attributes, 0);
    assert_int_equal(row.trace.spans[2].n_attributes, 0);
    tempo_row_release(&row);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_searches_are_read_to_the_last_span),
        cmocka_unit_test(the_last_exception_is_an_attribute_of_its_span),
        cmocka_unit_test(a_recorded_trace_has_these_fields),
        cmocka_unit_test(recorded_metrics_are_read_to_the_last_sample),
        cmocka_unit_test(a_recorded_histogram_becomes_buckets),
        cmocka_unit_test(recorded_traces_by_id_are_read_in_both_versions),
        cmocka_unit_test(ids_are_padded_and_of_one_case),
        cmocka_unit_test(what_is_left_out_is_zero),
        cmocka_unit_test(a_root_not_yet_received_is_none),
        cmocka_unit_test(all_span_sets_are_read_and_no_span_twice),
        cmocka_unit_test(attributes_are_in_one_order),
        cmocka_unit_test(what_is_no_trace_is_refused),
        cmocka_unit_test(spans_that_end_before_they_start_have_no_duration),
        cmocka_unit_test(labels_without_a_value_are_named),
        cmocka_unit_test(spans_by_id_have_their_parents_and_times_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
