/* What is kept of evaluations, and for how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/evaluations.h"
#include "base/clock.h"

#define T0 INT64_C(1700000000)
#define TRACE "0123456789abcdef0123456789abcdef"

struct fixture {
    sw_evaluations *kept;
    sw_alerts *alerts;
};

static int set_up(void **state) {
    struct fixture *f = xcalloc(1, sizeof *f);
    sw_alerts_options options = {.evidence_max = 4, .reported_ttl_ns = INT64_MAX, .max_alerts = 100};
    f->kept = sw_evaluations_new(SW_EVALUATIONS_BYTES);
    f->alerts = sw_alerts_new(&options);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    sw_evaluations_free(f->kept);
    sw_alerts_free(f->alerts);
    free(f);
    return 0;
}

static void show_window(sw_evaluation *evaluation, int64_t to_s, sw_series *series, size_t n) {
    sw_window window = {
        .from_s = to_s - 60, .to_s = to_s, .complete = true, .reason = "", .series = series, .n_series = n};
    sw_evaluation_window(evaluation, &window);
}

static void show_trace(sw_evaluation *evaluation, const char *id, double duration_ms) {
    sw_trace trace = {.duration_ms = duration_ms, .status = SW_STATUS_ERROR};
    snprintf(trace.id, sizeof trace.id, "%s", id);
    sw_evaluation_trace(evaluation, &trace);
}

struct seen {
    size_t n, n_judged;
    json_t *last;
    sw_judged judged;
    int64_t first_at_s;
};

static void see(const json_t *record, const sw_judged *judged, void *arg) {
    struct seen *seen = arg;
    if (seen->n++ == 0) {
        seen->first_at_s = json_integer_value(json_object_get(record, "at_ns")) / SW_NS_PER_S;
    }
    json_decref(seen->last);
    seen->last = json_deep_copy(record);
    if (judged != NULL) {
        seen->judged = *judged;
        seen->n_judged++;
    }
}

static struct seen look(const struct fixture *f, const char *detector, const char *trace_id) {
    struct seen seen = {0};
    sw_evaluations_each(f->kept, detector, trace_id, NULL, see, &seen);
    return seen;
}

static void an_evaluation_is_kept_as_it_went(void **state) {
    struct fixture *f = *state;
    sw_evaluation *evaluation = sw_evaluation_begin("detect", "tempo", T0 * SW_NS_PER_S);
    sw_series series[] = {{"shop", "GET /", 100, 2, NULL, 0}, {"shop", "POST /", 10, 5, NULL, 0}};
    show_window(evaluation, T0 - 30, NULL, 0);
    sw_evaluation_result(evaluation, &(sw_check_result){.status = SW_CHECK_UNKNOWN, .message = "too early"});
    show_window(evaluation, T0, series, 2);
    show_trace(evaluation, TRACE, 1234.5);
    sw_evaluation_result(evaluation, &(sw_check_result){.status = SW_CHECK_OK});
    sw_trace offending = {.id = TRACE, .service = "shop", .operation = "POST /", .error_message = ""};
    sw_finding finding = {.type = "slow",
                          .detector = "detect",
                          .source = "tempo",
                          .service = "shop",
                          .summary = "",
                          .severity = SW_SEVERITY_WARNING,
                          .has_value = true,
                          .value = 1234.5,
                          .has_baseline = true,
                          .baseline = 100,
                          .traces = &offending,
                          .n_traces = 1};
    sw_evaluation_findings(evaluation, f->alerts, &finding, 1, true);
    char fingerprint[SW_FINGERPRINT_LEN + 1];
    assert_true(sw_alerts_fingerprint(f->alerts, &finding, 0, fingerprint));
    assert_false(sw_alerts_fingerprint(f->alerts, &finding, 1, fingerprint));
    sw_evaluations_keep(f->kept, evaluation);

    struct seen seen = look(f, "detect", TRACE);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.n_judged, 1);
    assert_true(seen.judged.duration_ms == 1234.5 && seen.judged.status == SW_STATUS_ERROR);
    assert_int_equal(seen.judged.call, 1);
    const char *first, *message, *second, *type, *print, *id;
    json_int_t to, new_traces;
    double value, baseline;
    int known;
    assert_int_equal(json_unpack(seen.last,
                                 "{s:[{s:s, s:s}, {s:s, s:I}], s:b, s:[{s:s, s:F, s:F, s:[s], s:[s], s:I}]}",
                                 "calls", "result", &first, "message", &message, "result", &second, "to", &to,
                                 "known", &known, "findings", "type", &type, "value", &value, "baseline",
                                 &baseline, "traces", &id, "fingerprints", &print, "new_traces", &new_traces),
                     0);
    assert_string_equal(first, "unknown");
    assert_string_equal(message, "too early");
    assert_string_equal(second, "ok");
    assert_int_equal(to, T0);
    assert_true(known && value == 1234.5 && baseline == 100 && new_traces == 1);
    assert_string_equal(print, fingerprint);
    assert_string_equal(id, TRACE);
    /* The series with most failures is the first. */
    assert_string_equal(
        json_string_value(json_array_get(json_array_get(json_object_get(seen.last, "series"), 0), 1)),
        "POST /");
    json_decref(seen.last);
    seen = look(f, "other", NULL);
    assert_int_equal(seen.n, 0);
    seen = look(f, NULL, "ffffffffffffffffffffffffffffffff");
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.n_judged, 0);
    json_decref(seen.last);
}

static void keep_one(struct fixture *f, const char *detector, int64_t at_s, bool eventful) {
    sw_evaluation *evaluation = sw_evaluation_begin(detector, "tempo", at_s * SW_NS_PER_S);
    show_window(evaluation, at_s, NULL, 0);
    if (eventful) {
        sw_evaluation_removed(evaluation, "0123456789abcdef");
    }
    sw_evaluations_keep(f->kept, evaluation);
}

static void the_last_are_kept_and_beside_them_those_in_which_something_happened(void **state) {
    struct fixture *f = *state;
    keep_one(f, "detect", T0, true);
    keep_one(f, "other", T0 + 1, false);
    for (int i = 0; i < 3 * SW_EVALUATIONS_KEPT; i++) {
        keep_one(f, "detect", T0 + 2 + i, false);
    }
    struct seen seen = look(f, "detect", NULL);
    assert_int_equal(seen.n, SW_EVALUATIONS_KEPT + 1);
    assert_int_equal(seen.first_at_s, T0);
    json_decref(seen.last);
    for (int i = 0; i < 2 * SW_EVALUATIONS_KEPT; i++) {
        keep_one(f, "detect", T0 + 1000 + i, true);
    }
    seen = look(f, "detect", NULL);
    assert_int_equal(seen.n, 2 * SW_EVALUATIONS_KEPT);
    json_decref(seen.last);
    seen = look(f, "other", NULL);
    assert_int_equal(seen.n, 1); /* nobody else's */
    json_decref(seen.last);
}

/* However much there is in each: nothing grows over its cap, and what is left out is counted. */
static bool judged_elsewhere(const sw_kept_evaluation *kept, const void *arg) {
    (void)arg;
    assert_string_equal(kept->source, "tempo");
    assert_non_null(strstr(kept->json, kept->detector));
    return strcmp(kept->detector, "detect") != 0 && kept->judged;
}

static void only_what_is_wanted_is_read(void **state) {
    struct fixture *f = *state;
    static const char *const detectors[] = {"detect", "other", "third"};
    for (size_t i = 0; i < SW_ARRAY_LEN(detectors); i++) {
        sw_evaluation *evaluation =
            sw_evaluation_begin(detectors[i], "tempo", (T0 + (int64_t)i) * SW_NS_PER_S);
        show_window(evaluation, T0, NULL, 0);
        if (i < 2) {
            show_trace(evaluation, TRACE, 1);
        }
        sw_evaluations_keep(f->kept, evaluation);
    }
    struct seen seen = {0};
    sw_evaluations_each(f->kept, NULL, TRACE, judged_elsewhere, see, &seen);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.n_judged, 1);
    assert_int_equal(seen.first_at_s, T0 + 1);
    json_decref(seen.last);
}

static void memory_is_bounded(void **state) {
    struct fixture *f = *state;
    enum { MANY = 5000 };
    sw_series *series = xcalloc(MANY, sizeof *series);
    for (size_t i = 0; i < MANY; i++) {
        series[i] = (sw_series){"service", xasprintf("operation %zu", i), (double)i, i == 7, NULL, 0};
    }
    sw_finding *findings = xcalloc(MANY, sizeof *findings);
    for (size_t i = 0; i < MANY; i++) {
        findings[i] =
            (sw_finding){.type = "slow", .summary = series[i].operation, .service = series[i].operation};
    }
    for (int n = 0; n < 100; n++) {
        char name[32], id[SW_TRACE_ID_LEN + 1];
        snprintf(name, sizeof name, "detector %d", n % 30);
        sw_evaluation *evaluation = sw_evaluation_begin(name, "tempo", (T0 + n) * SW_NS_PER_S);
        for (int i = 0; i < 20; i++) {
            show_window(evaluation, T0 + i, series, MANY);
        }
        for (size_t i = 0; i < MANY; i++) {
            snprintf(id, sizeof id, "%032zx", i);
            show_trace(evaluation, id, 1);
        }
        sw_evaluation_findings(evaluation, f->alerts, findings, MANY, true);
        for (size_t i = 0; i < MANY; i++) {
            snprintf(id, sizeof id, "%016zx", i);
            sw_evaluation_removed(evaluation, id);
        }
        sw_evaluations_keep(f->kept, evaluation);
        assert_true(sw_evaluations_bytes(f->kept) <= SW_EVALUATIONS_BYTES);
    }
    struct seen seen = look(f, NULL, "00000000000000000000000000000007");
    assert_true(seen.n >= 10 && seen.n < 100);
    assert_int_equal(seen.n_judged, seen.n);
    json_int_t traces, more_calls, more_series, more_findings, more_verdicts;
    assert_int_equal(json_unpack(seen.last, "{s:I, s:I, s:I, s:I, s:I}", "traces", &traces, "more_calls",
                                 &more_calls, "more_series", &more_series, "more_findings", &more_findings,
                                 "more_verdicts", &more_verdicts),
                     0);
    assert_int_equal(traces, MANY);
    assert_int_equal(more_calls, 20 - SW_EVALUATION_CALLS);
    assert_int_equal(more_series, MANY - SW_EVALUATION_SERIES);
    assert_int_equal(more_findings, MANY - SW_EVALUATION_FINDINGS);
    assert_int_equal(more_verdicts, MANY - SW_EVALUATION_VERDICTS);
    const json_t *chosen = json_object_get(seen.last, "series");
    assert_string_equal(json_string_value(json_array_get(json_array_get(chosen, 0), 1)), "operation 7");
    assert_string_equal(json_string_value(json_array_get(json_array_get(chosen, 1), 1)), "operation 4999");
    json_decref(seen.last);
    for (size_t i = 0; i < MANY; i++) {
        free(series[i].operation);
    }
    free(series);
    free(findings);
}

/* What the state machine says, in its order. */
static void verdicts_say_what_became_of_alerts(void **state) {
    struct fixture *f = *state;
    sw_evaluation *evaluation = sw_evaluation_begin("detect", "tempo", T0 * SW_NS_PER_S);
    sw_label label = {"service", "shop"};
    sw_alert alert = {.fingerprint = "00000000000000aa",
                      .type = "slow",
                      .labels = &label,
                      .n_labels = 1,
                      .state = SW_ALERT_FIRING,
                      .starts_at_ns = (T0 - 90) * SW_NS_PER_S};
    sw_evaluation_told(evaluation, &alert, SW_NOTICE_FIRING);
    sw_evaluation_changed(evaluation, &alert);
    memcpy(alert.fingerprint, "00000000000000bb", sizeof alert.fingerprint);
    alert.last_notified_ns = (T0 - 60) * SW_NS_PER_S;
    sw_evaluation_withheld(evaluation, &alert, SW_NOTICE_REPEAT, "silenced", true);
    sw_evaluation_changed(evaluation, &alert);
    sw_evaluation_removed(evaluation, "00000000000000cc");
    assert_false(sw_evaluation_is_empty(evaluation));
    sw_evaluations_keep(f->kept, evaluation);
    struct seen seen = look(f, "detect", NULL);
    const json_t *verdicts = json_object_get(seen.last, "verdicts");
    assert_int_equal(json_array_size(verdicts), 3);
    const char *told, *type, *service, *withheld, *notice, *gone;
    assert_int_equal(json_unpack((json_t *)verdicts, "[{s:s, s:s, s:{s:s}}, {s:s, s:s}, {s:s}]", "told",
                                 &told, "type", &type, "labels", "service", &service, "withheld", &withheld,
                                 "notice", &notice, "state", &gone),
                     0);
    assert_string_equal(told, "firing");
    assert_string_equal(type, "slow");
    assert_string_equal(service, "shop");
    assert_string_equal(withheld, "silenced");
    assert_string_equal(notice, "repeat");
    assert_string_equal(gone, "gone");
    json_decref(seen.last);
}

struct stored {
    int64_t last_id, dropped_id;
    unsigned n_kept, n_dropped;
    char *json;
};

static void store_kept(int64_t id, const char *json, size_t len, void *arg) {
    struct stored *stored = arg;
    assert_true(id > stored->last_id);
    stored->last_id = id;
    stored->n_kept++;
    free(stored->json);
    stored->json = xstrndup(json, len);
}

static void store_dropped(int64_t id, void *arg) {
    struct stored *stored = arg;
    assert_int_equal(id, stored->dropped_id + 1); /* the oldest first */
    stored->dropped_id = id;
    stored->n_dropped++;
}

static void those_in_which_something_happened_are_stored_and_come_back(void **state) {
    struct fixture *f = *state;
    struct stored stored = {0};
    sw_evaluations_set_sink(f->kept, &(sw_evaluations_sink){store_kept, store_dropped, &stored});
    for (int i = 0; i < SW_EVALUATIONS_KEPT + 3; i++) {
        keep_one(f, "detect", T0 + 2 * i, true);
        keep_one(f, "detect", T0 + 2 * i + 1, false);
    }
    assert_int_equal(stored.n_kept, SW_EVALUATIONS_KEPT + 3);
    assert_int_equal(stored.n_dropped, 3);
    sw_evaluations *again = sw_evaluations_new(SW_EVALUATIONS_BYTES);
    assert_int_equal(sw_evaluations_restore(again, 41, stored.json, strlen(stored.json)), 0);
    static const char *const damaged[] = {"", "{", "{}", "[1]", "{\"detector\": 7, \"source\": \"s\"}"};
    for (size_t i = 0; i < SW_ARRAY_LEN(damaged); i++) {
        assert_int_equal(sw_evaluations_restore(again, 42, damaged[i], strlen(damaged[i])), -1);
    }
    assert_int_equal(sw_evaluations_restore(again, 0, stored.json, strlen(stored.json)), -1);
    sw_evaluations_free(f->kept);
    assert_int_equal(stored.n_dropped, 3); /* the end of the agent drops nothing from the store */
    f->kept = again;
    struct seen seen = look(f, "detect", NULL);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.first_at_s, T0 + 2 * (SW_EVALUATIONS_KEPT + 2));
    json_decref(seen.last);
    sw_evaluations_set_sink(again, &(sw_evaluations_sink){store_kept, store_dropped, &stored});
    stored.last_id = 41;
    keep_one(f, "detect", T0 + 1000, true);
    assert_int_equal(stored.last_id, 42);
    free(stored.json);
}

static void without_a_record_nothing_happens(void **state) {
    struct fixture *f = *state;
    sw_alert alert = {0};
    sw_evaluation_window(NULL, &(sw_window){0});
    sw_evaluation_trace(NULL, &(sw_trace){0});
    sw_evaluation_result(NULL, &(sw_check_result){0});
    sw_evaluation_findings(NULL, f->alerts, NULL, 0, true);
    sw_evaluation_told(NULL, &alert, SW_NOTICE_FIRING);
    sw_evaluation_withheld(NULL, &alert, SW_NOTICE_FIRING, "muted", true);
    sw_evaluation_changed(NULL, &alert);
    sw_evaluation_removed(NULL, "");
    assert_true(sw_evaluation_is_empty(NULL) && !sw_evaluation_is_eventful(NULL));
    sw_evaluations_keep(f->kept, NULL);
    sw_evaluations_keep(NULL, sw_evaluation_begin("detect", "tempo", 0));
    sw_evaluation_free(NULL);
    assert_int_equal(sw_evaluations_bytes(f->kept), 0);
}

#define EVALUATIONS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        EVALUATIONS_TEST(an_evaluation_is_kept_as_it_went),
        EVALUATIONS_TEST(the_last_are_kept_and_beside_them_those_in_which_something_happened),
        EVALUATIONS_TEST(only_what_is_wanted_is_read),
        EVALUATIONS_TEST(memory_is_bounded),
        EVALUATIONS_TEST(verdicts_say_what_became_of_alerts),
        EVALUATIONS_TEST(those_in_which_something_happened_are_stored_and_come_back),
        EVALUATIONS_TEST(without_a_record_nothing_happens),
    };
    return cmocka_run_group_tests_name("evaluations", tests, NULL, NULL);
}
