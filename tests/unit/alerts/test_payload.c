#include "alerts/alert_fixture.h"

#include <jansson.h>

#include "alerts/payload.h"

#define NOW_NS ((T0 + 60) * SW_NS_PER_S + 5)

static json_t *payload_with(const sw_alert *alert, sw_notice notice, const sw_payload_options *options) {
    sw_buf out;
    sw_buf_init(&out, 1 << 20);
    assert_int_equal(sw_payload_json(alert, notice, NOW_NS, options, &out), 0);
    assert_null(strchr(out.data, '\n'));
    json_error_t error;
    json_t *root = json_loads(out.data, 0, &error);
    assert_non_null(root);
    sw_buf_release(&out);
    return root;
}

static json_t *payload(const sw_alert *alert, sw_notice notice, const char *trace_url) {
    sw_payload_options options = {.trace_url = trace_url};
    return payload_with(alert, notice, &options);
}

/* The alert that a finding makes. */
static sw_alert alert_of(struct fixture *f, const sw_finding *one) {
    apply(f, "detect", one, 1, true);
    said(f);
    sw_alert alert = only_alert(f);
    for (size_t i = 0; i < alert.n_evidence; i++) {
        alert.evidence[i].notified = false; /* as it is while notify() is called */
    }
    return alert;
}

static void fields_come_in_their_order_and_all_of_them_always(void **state) {
    struct fixture *f = *state;
    static const char *const names[] = {
        "anomaly_type", "trace_id",  "span_name", "duration_ms", "error_message", "affected_traces",
        "total_traces", "timestamp", "status",    "fingerprint", "service",       "operation",
        "labels",       "severity",  "value",     "threshold",   "window",        "complete",
        "estimated",    "traces",    "summary",   "starts_at",   "ends_at",       "detector",
        "source",       "repeat",    "flapping",  "why",         "culprit",       "critical_path",
        "likely_cause",
    };
    sw_finding one = finding("rule", NULL);
    sw_alert alert = alert_of(f, &one);
    json_t *root = payload(&alert, SW_NOTICE_FIRING, NULL);
    assert_int_equal(json_object_size(root), SW_ARRAY_LEN(names));
    const char *name;
    json_t *value;
    size_t at = 0;
    json_object_foreach(root, name, value) {
        assert_string_equal(name, names[at++]);
    }
    static const char *const absent[] = {"trace_id",        "span_name",    "duration_ms",   "error_message",
                                         "affected_traces", "total_traces", "value",         "threshold",
                                         "ends_at",         "culprit",      "critical_path", "likely_cause"};
    for (size_t i = 0; i < SW_ARRAY_LEN(absent); i++) {
        assert_true(json_is_null(json_object_get(root, absent[i])));
    }
    json_decref(root);
    sw_alert_release(&alert);
    sw_finding_release(&one);
}

static void the_original_fields_are_about_the_worst_trace(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("high_latency", "t1,t2,t3");
    free(one.traces[2].error_message);
    one.traces[2].error_message = xstrdup("card declined");
    one.has_value = one.has_threshold = true;
    one.value = 1003;
    one.threshold = 1000;
    sw_alert alert = alert_of(f, &one);
    json_t *root =
        payload(&alert, SW_NOTICE_FIRING, "http://grafana/{trace_id}?from={start_ms}&to={end_ms}&{x}");
    const char *id, *span, *error, *status, *summary, *service, *starts, *severity;
    double duration;
    json_int_t affected, timestamp, from, to;
    int complete, repeat;
    assert_int_equal(json_unpack(root, "{s:s s:s s:F s:s s:I s:I s:s s:s s:s s:s s:s s:b s:b s:{s:I s:I}}",
                                 "trace_id", &id, "span_name", &span, "duration_ms", &duration,
                                 "error_message", &error, "affected_traces", &affected, "timestamp",
                                 &timestamp, "status", &status, "summary", &summary, "service", &service,
                                 "starts_at", &starts, "severity", &severity, "complete", &complete, "repeat",
                                 &repeat, "window", "from", &from, "to", &to),
                     0);
    assert_string_equal(id, "t3");
    assert_string_equal(span, "POST /pay");
    assert_true(duration == 1003);
    assert_string_equal(error, "card declined");
    assert_int_equal(affected, 3);
    assert_int_equal(timestamp, T0 + 60);
    assert_string_equal(status, "firing");
    assert_string_equal(summary, "3 traces of checkout POST /pay took longer than 1000 ms");
    assert_string_equal(service, "checkout");
    assert_string_equal(starts, "2023-11-14T22:13:20.000Z");
    assert_string_equal(severity, "warning");
    assert_true(complete);
    assert_false(repeat);
    assert_int_equal(from, T0 - 60);
    assert_int_equal(to, T0);

    const json_t *traces = json_object_get(root, "traces");
    assert_int_equal(json_array_size(traces), 3);
    const json_t *first = json_array_get(traces, 0);
    assert_string_equal(json_string_value(json_object_get(first, "trace_id")), "t1");
    assert_string_equal(json_string_value(json_object_get(first, "start")), "2023-11-14T22:13:20.000Z");
    assert_true(json_is_null(json_object_get(first, "error_message")));
    assert_string_equal(json_string_value(json_object_get(first, "url")),
                        "http://grafana/t1?from=1700000000000&to=1700000001002&{x}");
    static const char *const marks[] = {"[]", "[\"representative\"]", "[\"worst\", \"newest\"]"};
    for (size_t i = 0; i < 3; i++) {
        char *text = json_dumps(json_object_get(json_array_get(traces, i), "marks"), 0);
        assert_string_equal(text, marks[i]);
        free(text);
    }
    json_decref(root);
    sw_alert_release(&alert);
    sw_finding_release(&one);
}

static void why_says_what_decided(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("high_error_rate", NULL);
    one.has_value = one.has_threshold = one.has_total = true;
    one.has_baseline = one.has_baseline_samples = true;
    one.value = 0.25;
    one.threshold = 0.05;
    one.baseline = 0.01;
    one.baseline_samples = 20;
    one.total_traces = 80;
    memset(one.detector_sha256, 'a', 64);
    sw_alert alert = alert_of(f, &one);
    json_t *root = payload(&alert, SW_NOTICE_FIRING, NULL);
    const char *detector, *hash;
    double value, threshold, baseline;
    json_int_t baseline_samples, samples, window_secs;
    int complete;
    assert_int_equal(json_unpack(root, "{s:{s:s s:s s:F s:F s:F s:I s:I s:I s:b !}}", "why", "detector",
                                 &detector, "detector_sha256", &hash, "value", &value, "threshold",
                                 &threshold, "baseline", &baseline, "baseline_samples", &baseline_samples,
                                 "samples", &samples, "window_secs", &window_secs, "complete", &complete),
                     0);
    assert_string_equal(detector, "detect");
    assert_string_equal(hash, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_true(value == 0.25 && threshold == 0.05 && baseline == 0.01);
    assert_int_equal(baseline_samples, 20);
    assert_int_equal(samples, 80);
    assert_int_equal(window_secs, 60);
    assert_true(complete);
    json_decref(root);
    sw_alert_release(&alert);
    sw_finding_release(&one);
}

/* As the documentation has it: encoded JSON, whose braces are none of ours. */
static void a_link_into_grafana_holds_the_trace_and_its_time(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rule", "t1");
    sw_alert alert = alert_of(f, &one);
    json_t *root = payload(
        &alert, SW_NOTICE_FIRING,
        "https://g/explore?schemaVersion=1&orgId=1&panes=%7B%22a%22:%7B%22datasource%22:%22tempo%22,"
        "%22queries%22:%5B%7B%22refId%22:%22A%22,%22datasource%22:%7B%22type%22:%22tempo%22,%22uid%22:"
        "%22tempo%22%7D,%22queryType%22:%22traceql%22,%22query%22:%22{trace_id}%22%7D%5D,%22range%22:%7B"
        "%22from%22:%22{start_ms}%22,%22to%22:%22{end_ms}%22%7D%7D%7D");
    const char *url =
        json_string_value(json_object_get(json_array_get(json_object_get(root, "traces"), 0), "url"));
    assert_non_null(strstr(url, "%22query%22:%22t1%22%7D%5D,%22range%22:%7B%22from%22:%221700000000000%22,"
                                "%22to%22:%221700000001002%22%7D%7D%7D"));
    json_decref(root);
    sw_alert_release(&alert);
    sw_finding_release(&one);
}

static void only_what_was_not_told_is_listed(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rule", "t1,t2");
    sw_alert alert = alert_of(f, &one);
    alert.evidence[1].notified = true;
    json_t *root = payload(&alert, SW_NOTICE_REPEAT, "");
    const json_t *traces = json_object_get(root, "traces");
    assert_int_equal(json_array_size(traces), 1);
    assert_string_equal(json_string_value(json_object_get(root, "trace_id")), "t1");
    assert_true(json_is_null(json_object_get(json_array_get(traces, 0), "url")));
    assert_true(json_is_true(json_object_get(root, "repeat")));
    assert_string_equal(json_string_value(json_object_get(root, "status")), "firing");
    json_decref(root);
    sw_alert_release(&alert);
    sw_finding_release(&one);
}

static void a_resolved_notice_has_its_end(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rule", NULL);
    sw_alert alert = alert_of(f, &one);
    alert.state = SW_ALERT_RESOLVED;
    alert.ends_at_ns = (T0 + 1) * SW_NS_PER_S;
    json_t *root = payload(&alert, SW_NOTICE_RESOLVED, NULL);
    assert_string_equal(json_string_value(json_object_get(root, "status")), "resolved");
    assert_string_equal(json_string_value(json_object_get(root, "ends_at")), "2023-11-14T22:13:21.000Z");
    json_decref(root);
    sw_alert_release(&alert);
    sw_finding_release(&one);
}

static void assert_summary(struct fixture *f, const sw_finding *one, const char *expected) {
    regroup(f, NULL);
    sw_alert alert = alert_of(f, one);
    json_t *root = payload(&alert, SW_NOTICE_FIRING, NULL);
    assert_string_equal(json_string_value(json_object_get(root, "summary")), expected);
    json_decref(root);
    sw_alert_release(&alert);
}

static void the_summary_is_the_findings_or_a_sentence(void **state) {
    struct fixture *f = *state;
    sw_finding rate = finding("high_error_rate", NULL);
    free(rate.operation);
    rate.operation = NULL;
    rate.has_value = rate.has_threshold = rate.has_affected = rate.has_total = true;
    rate.value = 0.125;
    rate.threshold = 0.05;
    rate.affected_traces = 25;
    rate.total_traces = 200;
    assert_summary(f, &rate, "error rate of checkout is 12.5 % (25 of 200), over 5 %");
    free(rate.service);
    rate.service = NULL;
    assert_summary(f, &rate, "error rate of all services is 12.5 % (25 of 200), over 5 %");
    free(rate.summary);
    rate.summary = xstrdup("said by the detector");
    assert_summary(f, &rate, "said by the detector");
    sw_finding failed = finding("error_status", "t1");
    assert_summary(f, &failed, "1 trace of checkout POST /pay failed");
    sw_finding other = finding("queue_depth", NULL);
    other.has_value = other.has_threshold = true;
    other.value = 7.5;
    other.threshold = 5;
    assert_summary(f, &other, "queue_depth: checkout POST /pay, value 7.5, threshold 5");
    sw_finding_release(&rate);
    sw_finding_release(&failed);
    sw_finding_release(&other);
}

static void bytes_that_are_no_text_are_replaced(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rule", "t1");
    free(one.summary);
    one.summary = xstrdup("bad \xff\xc0\x80 \xed\xa0\x80 good \xe2\x82\xac \"quoted\"\n");
    free(one.service);
    one.service = xstrdup("\xfe");
    sw_alert alert = alert_of(f, &one);
    alert.has_value = true;
    alert.value = 1.0 / 0.0;
    json_t *root = payload(&alert, SW_NOTICE_FIRING, "http://x/\xff");
    const char *summary = json_string_value(json_object_get(root, "summary"));
    assert_non_null(strstr(summary, "bad \xEF\xBF\xBD"));
    assert_non_null(strstr(summary, "good \xe2\x82\xac \"quoted\"\n"));
    assert_string_equal(json_string_value(json_object_get(root, "service")), "\xEF\xBF\xBD");
    assert_true(json_is_null(json_object_get(root, "value")));
    json_decref(root);
    sw_alert_release(&alert);
    sw_finding_release(&one);
}

static void numbers_are_short(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rule", NULL);
    one.has_value = one.has_threshold = true;
    one.value = 3;
    one.threshold = 0.05;
    sw_alert alert = alert_of(f, &one);
    sw_buf out;
    sw_buf_init(&out, 1 << 20);
    assert_int_equal(sw_payload_json(&alert, SW_NOTICE_FIRING, NOW_NS, NULL, &out), 0);
    assert_non_null(strstr(out.data, "\"value\":3,\"threshold\":0.05,"));
    sw_buf_release(&out);
    sw_buf_init(&out, 100);
    assert_int_equal(sw_payload_json(&alert, SW_NOTICE_FIRING, NOW_NS, NULL, &out), -1);
    sw_buf_release(&out);
    sw_alert_release(&alert);
    sw_finding_release(&one);
}

/* ---- the stored form ---- */

static void an_alert_survives_the_store(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rule", "t1,t2,t3,t4,t5");
    one.key = xstrdup("k");
    one.has_value = one.has_duration = one.has_total = true;
    one.has_baseline = one.has_baseline_samples = true;
    one.value = 0.1;
    one.baseline = 0.025;
    one.baseline_samples = 12;
    one.duration_ms = 1e300;
    one.total_traces = 12;
    one.for_s = 0;
    one.keep_firing_s = 12.5;
    one.span_name = xstrdup("span");
    one.error_message = xstrdup("oh\nno");
    one.window_estimated = true;
    sw_alert alert = alert_of(f, &one);
    alert.n_untold = 77;
    alert.ends_at_ns = 5;
    sw_buf first, second;
    sw_buf_init(&first, 1 << 20);
    sw_buf_init(&second, 1 << 20);
    assert_int_equal(sw_alert_to_json(&alert, &first), 0);
    sw_alert back;
    assert_int_equal(sw_alert_from_json(first.data, first.len, &back), 0);
    assert_int_equal(sw_alert_to_json(&back, &second), 0);
    assert_string_equal(first.data, second.data);
    assert_true(back.value == 0.1);
    assert_true(back.duration_ms == 1e300);
    assert_true(back.has_baseline && back.baseline == 0.025);
    assert_true(back.has_baseline_samples && back.baseline_samples == 12);
    assert_int_equal(back.n_untold, 77);
    assert_int_equal(back.n_evidence, 4);
    assert_string_equal(back.operation, "POST /pay");
    assert_false(back.has_threshold);
    sw_alert_release(&back);
    sw_alert_release(&alert);
    sw_buf_release(&first);
    sw_buf_release(&second);
    sw_finding_release(&one);
}

static void a_damaged_stored_alert_is_refused(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rule", "t1");
    sw_alert alert = alert_of(f, &one);
    sw_buf json;
    sw_buf_init(&json, 1 << 20);
    assert_int_equal(sw_alert_to_json(&alert, &json), 0);
    sw_alert back;
    for (size_t len = 0; len < json.len; len++) {
        assert_int_equal(sw_alert_from_json(json.data, len, &back), -1);
    }
    static const struct {
        const char *name, *value;
    } wrong[] = {
        {"fingerprint", "\"0123\""},
        {"fingerprint", "\"0123456789abcdeg\""},
        {"type", "7"},
        {"labels", "{}"},
        {"labels", "[[\"a\"]]"},
        {"labels", "[7]"},
        {"state", "\"asleep\""},
        {"severity", "null"},
        {"value", "\"1\""},
        {"starts_at_ns", "1.5"},
        {"starts_at_ns", "-1"},
        {"for_s", "-1"},
        {"window_to_s", "9223372036854775807"},
        {"n_untold", "-1"},
        {"evidence", "{}"},
        {"evidence", "[{}]"},
        {"window_complete", "1"},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(wrong); i++) {
        json_t *root = json_loads(json.data, 0, NULL);
        json_object_set_new(root, wrong[i].name, json_loads(wrong[i].value, JSON_DECODE_ANY, NULL));
        char *text = json_dumps(root, 0);
        assert_int_equal(sw_alert_from_json(text, strlen(text), &back), -1);
        free(text);
        json_decref(root);
    }
    sw_alert_release(&alert);
    sw_buf_release(&json);
    sw_finding_release(&one);
}

#define PAYLOAD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void a_likely_cause_comes_with_the_span_that_proves_it(void **state) {
    struct fixture *f = *state;
    sw_finding one = finding("rule", NULL);
    sw_alert alert = alert_of(f, &one);
    sw_likely_cause cause = {.fingerprint = "5d0c8e0a9b7f4a21",
                             .type = (char *)"high_error_rate",
                             .service = (char *)"payment",
                             .summary = (char *)"payment fails"};
    sw_payload_options options = {.likely_cause = &cause};
    json_t *root = payload_with(&alert, SW_NOTICE_FIRING, &options);
    assert_true(json_is_null(json_object_get(root, "likely_cause"))); /* without a span it is not proved */
    json_decref(root);
    sw_culprit culprit = {.trace_id = "06f1c3d2a4b5e697880a1b2c3d4e5f60",
                          .span_id = "8f3a1c2b4d5e6f70",
                          .service = (char *)"payment",
                          .name = (char *)"charge card",
                          .error_message = (char *)"",
                          .exception_type = (char *)""};
    alert.culprit = &culprit;
    root = payload_with(&alert, SW_NOTICE_FIRING, &options);
    json_t *want = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "fingerprint", cause.fingerprint, "type",
                             "high_error_rate", "service", "payment", "summary", "payment fails", "trace_id",
                             culprit.trace_id, "span_id", culprit.span_id, "span_name", "charge card");
    assert_true(json_equal(json_object_get(root, "likely_cause"), want));
    json_decref(want);
    json_decref(root);
    alert.culprit = NULL;
    sw_alert_release(&alert);
    sw_finding_release(&one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        PAYLOAD_TEST(fields_come_in_their_order_and_all_of_them_always),
        PAYLOAD_TEST(the_original_fields_are_about_the_worst_trace),
        PAYLOAD_TEST(why_says_what_decided),
        PAYLOAD_TEST(a_likely_cause_comes_with_the_span_that_proves_it),
        PAYLOAD_TEST(a_link_into_grafana_holds_the_trace_and_its_time),
        PAYLOAD_TEST(only_what_was_not_told_is_listed),
        PAYLOAD_TEST(a_resolved_notice_has_its_end),
        PAYLOAD_TEST(the_summary_is_the_findings_or_a_sentence),
        PAYLOAD_TEST(bytes_that_are_no_text_are_replaced),
        PAYLOAD_TEST(numbers_are_short),
        PAYLOAD_TEST(an_alert_survives_the_store),
        PAYLOAD_TEST(a_damaged_stored_alert_is_refused),
    };
    return cmocka_run_group_tests_name("payload", tests, NULL, NULL);
}
