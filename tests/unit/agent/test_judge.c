/*
 * Judging alone: sources, detector, store and alerts are stand-ins that are defined here and therefore linked
 * instead of the real ones. The clock stands at a fixed time; a poll that ends is one call of sw_judge_all().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/agent_internal.h"

#define STEP 30
#define LOOKBACK 60
#define T0 INT64_C(1700000100) /* a multiple of STEP */

/* ---- the detector ---- */

struct call {
    const char *source;
    int64_t from_s, to_s;
    unsigned revision;
    bool complete;
    char reason[96];
    size_t n_series;
    char traces[600][SW_TRACE_ID_LEN + 1];
    size_t n_traces;
};

struct sw_detector {
    bool ready, revisions, wants_series;
    double every_s;
    struct call calls[160];
    size_t n_calls;
    sw_check_status answer;
    size_t fail_from_call; /* calls from this one on fail; SIZE_MAX: none */
    bool hold;             /* the answer waits for release() */
    unsigned sources;      /* that it watches */
    bool gone;
    void (*done)(sw_detector *, sw_check_result *, void *);
    void *done_arg;
};

static struct sw_detector detector;

static void reply(sw_check_status status) {
    sw_check_result result = {
        .status = status, .message = "because", .state = "\x80", .state_len = 1, .state_version = 1};
    detector.done(&detector, &result, detector.done_arg);
}

size_t sw_detectors_count(const sw_detectors *detectors) {
    (void)detectors;
    return detector.gone ? 0 : 1;
}
sw_detector *sw_detectors_at(const sw_detectors *detectors, size_t i) {
    (void)detectors;
    assert_int_equal(i, 0);
    return &detector;
}
sw_detector *sw_detectors_running(const sw_detectors *detectors, const char *name) {
    (void)detectors;
    assert_string_equal(name, "detect");
    return detector.gone ? NULL : &detector;
}
void sw_detectors_restore(sw_detectors *detectors, const char *name, int64_t version, const void *state,
                          size_t len) {
    (void)detectors;
    (void)version;
    (void)state;
    assert_string_equal(name, "detect");
    assert_int_equal(len, 3);
}
bool sw_detector_watches(const sw_detector *d, int source) {
    return (d->sources >> source & 1U) != 0;
}
const char *sw_detector_name(const sw_detector *d) {
    (void)d;
    return "detect";
}
sw_wants sw_detector_wants(const sw_detector *d) {
    return (sw_wants){.min_duration_ms = 1000, .errors = true, .series = d->wants_series};
}
double sw_detector_every_s(const sw_detector *d) {
    return d->every_s;
}
bool sw_detector_wants_revisions(const sw_detector *d) {
    return d->revisions;
}
bool sw_detector_ready(const sw_detector *d) {
    return d->ready;
}
void sw_detector_check(sw_detector *d, const sw_window *window, int64_t now_ns,
                       bool (*offer)(const sw_trace *, void *), void *offer_arg,
                       void (*done)(sw_detector *, sw_check_result *, void *), void *arg) {
    (void)now_ns;
    assert_true(d->n_calls < SW_ARRAY_LEN(d->calls));
    struct call *call = &d->calls[d->n_calls++];
    *call = (struct call){window->source,
                          window->from_s,
                          window->to_s,
                          window->revision,
                          window->complete,
                          "",
                          window->n_series,
                          {{0}},
                          0};
    snprintf(call->reason, sizeof call->reason, "%s", window->reason);
    for (size_t i = 0; i < window->n_traces; i++) {
        if (offer(&window->traces[i], offer_arg)) {
            snprintf(call->traces[call->n_traces++], SW_TRACE_ID_LEN + 1, "%s", window->traces[i].id);
        }
    }
    d->done = done;
    d->done_arg = arg;
    if (!d->hold) {
        reply(d->n_calls > d->fail_from_call ? SW_CHECK_FAILED : d->answer);
    }
}

/* ---- the sources: two that have the same ---- */

static struct {
    struct sw_source source, otlp;
    int64_t origin_s, known_until_s;
    unsigned revision[400]; /* per bucket since T0 - 200 buckets */
    sw_trace traces[1300];
    const sw_trace *list[1300];
    size_t n_traces;
} tempo;

static int64_t fake_step(const sw_source *source) {
    (void)source;
    return STEP;
}
static int64_t fake_known_until(const sw_source *source, int64_t from_s) {
    (void)source;
    return tempo.known_until_s > from_s ? tempo.known_until_s : from_s;
}
static unsigned fake_revision(const sw_source *source, int64_t from_s, int64_t to_s) {
    (void)source;
    unsigned sum = 0;
    for (int64_t t = from_s; t < to_s; t += STEP) {
        int64_t i = (t - T0) / STEP + 200;
        sum += i >= 0 && i < 400 ? tempo.revision[i] : 0;
    }
    return sum;
}
static void fake_build(const sw_source *source, int64_t from_s, int64_t to_s, sw_window *window) {
    (void)source;
    assert_true(to_s <= tempo.known_until_s);
    assert_true(from_s >= tempo.origin_s);
    window->complete = true;
    window->n_series = 1;
    window->series = xcalloc(1, sizeof *window->series);
    window->series[0] = (sw_series){xstrdup("checkout"), xstrdup("POST /pay"), 10, 1, NULL, 0};
}
static const sw_trace *const *fake_traces(const sw_source *source, size_t *n) {
    (void)source;
    for (size_t i = 0; i < tempo.n_traces; i++) {
        tempo.list[i] = &tempo.traces[i];
    }
    *n = tempo.n_traces;
    return tempo.list;
}
static void fake_save(const sw_source *source, int64_t *origin_s, int64_t *watermark_s) {
    (void)source;
    *origin_s = tempo.origin_s;
    *watermark_s = tempo.known_until_s;
}
static const sw_source_ops fake_ops = {
    .name = "tempo",
    .step_s = fake_step,
    .counts_known_until = fake_known_until,
    .revision = fake_revision,
    .build_window = fake_build,
    .traces = fake_traces,
    .save = fake_save,
};

static sw_source_ops otlp_ops;

static void add_trace(char digit, uint64_t digest) {
    sw_trace *trace = &tempo.traces[tempo.n_traces++];
    *trace = (sw_trace){.source = "tempo",
                        .service = "checkout",
                        .operation = "POST /pay",
                        .error_message = "",
                        .digest = digest};
    memset(trace->id, digit, SW_TRACE_ID_LEN);
}

/* ---- store, commit, alerts ---- */

static struct {
    unsigned applied, known, judged_rows, evaluated;
    const char *source;     /* of the last evaluation */
    int64_t judged_until_s; /* of the last committed state */
} seen;

static char batch_stand_in;
sw_store_batch *sw_commit_batch(sw_agent *agent) {
    (void)agent;
    return (sw_store_batch *)&batch_stand_in;
}
void sw_commit_detector(const sw_feed *feed, const char *name, int64_t judged_until_s, const void *state,
                        size_t len, int64_t version) {
    assert_ptr_equal(seen.source, sw_source_names[feed->number]);
    (void)name;
    (void)state;
    assert_int_equal(version, 1);
    assert_int_equal(len, 1);
    seen.judged_until_s = judged_until_s;
}
void sw_batch_put_judged(sw_store_batch *batch, const char *name, const char *source, const char *id,
                         uint64_t digest, int64_t at_ns) {
    (void)source;
    (void)batch;
    (void)name;
    (void)digest;
    (void)at_ns;
    assert_int_equal(strlen(id), SW_TRACE_ID_LEN);
    seen.judged_rows++;
}
sw_alerts_round *sw_alerting_round(sw_agent *agent, const char *name, const char *source,
                                   const sw_finding *findings, size_t n, bool known) {
    seen.source = source;
    (void)agent;
    (void)name;
    (void)findings;
    (void)n;
    seen.applied++;
    seen.known += known;
    return NULL;
}
sw_applying *sw_applying_start(sw_agent *agent, sw_alerts_round *round, const sw_culprits *culprits,
                               sw_evaluation *record, void (*done)(void *arg), void *arg) {
    (void)agent;
    (void)round;
    (void)culprits;
    (void)record;
    done(arg);
    return NULL;
}
void sw_applying_cancel(sw_applying *applying) {
    (void)applying;
}
void sw_tick_evaluated(sw_agent *agent) {
    agent->evaluating--;
    seen.evaluated++;
}
static int64_t stored_until_s;
int sw_store_each_detector(sw_store *store, void (*each)(const char *, int64_t, const void *, size_t, void *),
                           void *arg) {
    (void)store;
    each("detect", 1, "abc", 3, arg);
    return 0;
}
int sw_store_each_progress(sw_store *store, void (*each)(const char *, const char *, int64_t, void *),
                           void *arg) {
    (void)store;
    each("detect", "tempo", stored_until_s, arg);
    each("detect", "otlp", stored_until_s, arg);
    return 0;
}
int sw_store_each_judged(sw_store *store,
                         void (*each)(const char *, const char *, const char *, uint64_t, int64_t, void *),
                         void *arg) {
    (void)store;
    each("detect", "tempo", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1, T0 * SW_NS_PER_S, arg);
    return 0;
}

/* ---- one agent ---- */

static int64_t wall(void *arg) {
    (void)arg;
    return T0 * SW_NS_PER_S;
}

struct fixture {
    sw_agent agent;
    sw_config config;
    sw_clock clock;
};

static int setup(void **state) {
    struct fixture *f = xcalloc(1, sizeof *f);
    f->config.tempo_lookback_window_secs = LOOKBACK;
    f->config.tempo_max_catch_up_secs = 3600;
    f->clock = (sw_clock){wall, wall, NULL};
    f->agent.config = &f->config;
    f->agent.clock = &f->clock;
    for (int i = 0; i < SW_SOURCES; i++) {
        f->agent.feeds[i] = (sw_feed){.agent = &f->agent, .number = i};
    }
    f->agent.feeds[SW_SOURCE_TEMPO].source = &tempo.source;
    f->agent.metrics = sw_metrics_new();
    static const char *const by_detector[] = {"detector", "source", NULL};
    f->agent.m.watermark_age = sw_metrics_gauge(f->agent.metrics, "age", "", by_detector);
    f->agent.m.windows_skipped = sw_metrics_counter(f->agent.metrics, "skipped", "", by_detector);
    memset(&tempo, 0, sizeof tempo);
    tempo.source.ops = &fake_ops;
    otlp_ops = fake_ops;
    otlp_ops.name = "otlp";
    tempo.otlp.ops = &otlp_ops;
    tempo.origin_s = T0 - LOOKBACK;
    memset(&seen, 0, sizeof seen);
    detector = (struct sw_detector){.ready = true,
                                    .revisions = true,
                                    .wants_series = true,
                                    .every_s = STEP,
                                    .fail_from_call = SIZE_MAX,
                                    .sources = SW_SOURCES_ALL};
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    sw_judge_free(&f->agent);
    sw_metrics_free(f->agent.metrics);
    free(f);
    return 0;
}

static void poll_of(struct fixture *f, int number, int64_t horizon_s, bool counts_ok, bool traces_ok) {
    if (counts_ok) {
        tempo.known_until_s = horizon_s;
    }
    sw_poll_result result = {.reachable = true,
                             .counts_ok = counts_ok,
                             .traces_ok = traces_ok,
                             .counts_reason = counts_ok ? "" : "timeout",
                             .traces_reason = traces_ok ? "" : "cut short",
                             .horizon_s = horizon_s};
    sw_judge_all(&f->agent.feeds[number], &result);
}

static void poll(struct fixture *f, int64_t horizon_s, bool counts_ok, bool traces_ok) {
    poll_of(f, SW_SOURCE_TEMPO, horizon_s, counts_ok, traces_ok);
}

static void assert_window(size_t i, int64_t from_s, int64_t to_s) {
    assert_true(i < detector.n_calls);
    assert_int_equal(detector.calls[i].from_s, from_s);
    assert_int_equal(detector.calls[i].to_s, to_s);
}

/* ---- what must be true ---- */

static void the_first_tick_judges_the_lookback_before_now(void **state) {
    poll(*state, T0, true, true);
    assert_int_equal(detector.n_calls, 1);
    assert_window(0, T0 - LOOKBACK, T0);
    assert_true(detector.calls[0].complete);
    assert_int_equal(detector.calls[0].n_series, 1);
    assert_int_equal(seen.known, 1);
    assert_int_equal(seen.judged_until_s, T0);
}

static void windows_never_reach_before_the_origin(void **state) {
    tempo.origin_s = T0 - STEP;
    poll(*state, T0, true, true);
    assert_window(0, T0 - STEP, T0);
}

static void a_tick_without_a_new_window_or_trace_calls_nobody(void **state) {
    poll(*state, T0, true, true);
    poll(*state, T0, true, true);
    assert_int_equal(detector.n_calls, 1);
    assert_int_equal(seen.applied, 1);
}

static void windows_missed_are_judged_in_order(void **state) {
    poll(*state, T0, true, true);
    poll(*state, T0 + 10 * STEP, true, true);
    assert_int_equal(detector.n_calls, 11);
    for (size_t i = 1; i <= 10; i++) {
        int64_t to = T0 + (int64_t)i * STEP;
        assert_window(i, to - LOOKBACK, to);
    }
    assert_int_equal(seen.applied, 2); /* one evaluation, one commit */
}

static void counts_that_are_not_known_are_judged_when_they_are(void **state) {
    poll(*state, T0, true, true);
    poll(*state, T0 + STEP, false, true);
    assert_int_equal(detector.n_calls, 1);
    poll(*state, T0 + 2 * STEP, true, true);
    assert_int_equal(detector.n_calls, 3);
    assert_window(1, T0 + STEP - LOOKBACK, T0 + STEP);
    assert_window(2, T0 + 2 * STEP - LOOKBACK, T0 + 2 * STEP);
}

static void a_trace_is_offered_once_until_more_is_known_of_it(void **state) {
    add_trace('b', 1);
    poll(*state, T0, true, true);
    assert_int_equal(detector.calls[0].n_traces, 1);
    poll(*state, T0 + STEP, true, true);
    assert_int_equal(detector.calls[1].n_traces, 0);
    tempo.traces[0].digest = 2;
    poll(*state, T0 + 2 * STEP, true, true);
    assert_int_equal(detector.calls[2].n_traces, 1);
    assert_int_equal(seen.judged_rows, 2);
}

static void many_traces_come_in_several_calls_of_one_evaluation(void **state) {
    for (unsigned i = 0; i < 1201; i++) {
        add_trace('0', i + 1);
        snprintf(tempo.traces[i].id, sizeof tempo.traces[i].id, "%032x", i);
    }
    poll(*state, T0, true, true);
    assert_int_equal(detector.n_calls, 3);
    assert_int_equal(detector.calls[0].n_series, 1);
    assert_int_equal(detector.calls[0].n_traces, 500);
    assert_int_equal(detector.calls[1].n_traces, 500);
    assert_int_equal(detector.calls[2].n_traces, 201);
    assert_false(detector.calls[1].complete); /* it carries no counts */
    assert_int_equal(seen.judged_rows, 1201);
    assert_int_equal(seen.applied, 1);
    assert_int_equal(seen.known, 1);
    poll(*state, T0 + STEP, true, true);
    assert_int_equal(detector.calls[3].n_traces, 0);
}

static void traces_are_judged_although_counts_are_unknown(void **state) {
    poll(*state, T0, true, true);
    add_trace('b', 1);
    poll(*state, T0 + STEP, false, true);
    assert_int_equal(detector.n_calls, 2);
    assert_int_equal(detector.calls[1].n_traces, 1);
    assert_int_equal(detector.calls[1].n_series, 0);
    assert_false(detector.calls[1].complete);
    assert_string_equal(detector.calls[1].reason, "counts: timeout");
    assert_int_equal(seen.known, 1); /* the first tick only: nothing resolves on what is not known */
    /* The window that was not known is not lost. */
    poll(*state, T0 + STEP, true, true);
    assert_window(2, T0 + STEP - LOOKBACK, T0 + STEP);
}

static void traces_that_may_be_missing_make_the_window_incomplete(void **state) {
    poll(*state, T0, true, false);
    assert_false(detector.calls[0].complete);
    assert_string_equal(detector.calls[0].reason, "traces: cut short");
    assert_int_equal(seen.known, 0);
}

static void a_failed_call_loses_nothing(void **state) {
    poll(*state, T0, true, true);
    add_trace('b', 1);
    detector.fail_from_call = detector.n_calls;
    poll(*state, T0 + STEP, true, true);
    assert_int_equal(seen.known, 1);
    assert_int_equal(seen.judged_rows, 0);
    detector.fail_from_call = SIZE_MAX;
    poll(*state, T0 + 2 * STEP, true, true);
    assert_int_equal(detector.n_calls, 4);
    assert_window(2, T0 + STEP - LOOKBACK, T0 + STEP);
    assert_window(3, T0 + 2 * STEP - LOOKBACK, T0 + 2 * STEP);
    assert_int_equal(detector.calls[3].n_traces, 1);
}

static void what_succeeded_before_a_failure_is_kept(void **state) {
    poll(*state, T0, true, true);
    detector.fail_from_call = 3;
    poll(*state, T0 + 5 * STEP, true, true);
    assert_int_equal(seen.judged_until_s, T0 + 2 * STEP);
    detector.fail_from_call = SIZE_MAX;
    poll(*state, T0 + 5 * STEP, true, true);
    assert_window(4, T0 + 3 * STEP - LOOKBACK, T0 + 3 * STEP);
}

static void a_window_that_fails_again_and_again_is_skipped(void **state) {
    struct fixture *f = *state;
    poll(f, T0, true, true);
    detector.fail_from_call = 1;
    for (int i = 0; i < 3; i++) {
        poll(f, T0 + STEP, true, true);
    }
    assert_true(sw_metric_get(f->agent.m.windows_skipped, "detect", "tempo") == 1);
    detector.fail_from_call = SIZE_MAX;
    poll(f, T0 + 2 * STEP, true, true);
    assert_window(detector.n_calls - 1, T0 + 2 * STEP - LOOKBACK, T0 + 2 * STEP);
}

static void unknown_offers_the_traces_again_and_resolves_nothing(void **state) {
    add_trace('b', 1);
    detector.answer = SW_CHECK_UNKNOWN;
    poll(*state, T0, true, true);
    assert_int_equal(seen.known, 0);
    detector.answer = SW_CHECK_OK;
    poll(*state, T0 + STEP, true, true);
    assert_int_equal(detector.calls[1].n_traces, 1);
    assert_window(1, T0 + STEP - LOOKBACK, T0 + STEP); /* the window itself was judged */
}

static void a_repaired_window_is_judged_again_before_the_new_one(void **state) {
    poll(*state, T0, true, true);
    tempo.revision[199]++; /* the bucket before T0 */
    poll(*state, T0 + STEP, true, true);
    assert_int_equal(detector.n_calls, 3);
    assert_window(1, T0 - LOOKBACK, T0);
    assert_int_equal(detector.calls[1].revision, 1);
    assert_window(2, T0 + STEP - LOOKBACK, T0 + STEP);
    assert_int_equal(detector.calls[2].revision, 0);
    poll(*state, T0 + STEP, true, true);
    assert_int_equal(detector.n_calls, 3); /* nothing changed since */
    assert_int_equal(seen.judged_until_s, T0 + STEP);
}

static void a_detector_that_did_not_ask_for_repairs_sees_none(void **state) {
    detector.revisions = false;
    poll(*state, T0, true, true);
    tempo.revision[199]++;
    poll(*state, T0 + STEP, true, true);
    assert_int_equal(detector.n_calls, 2);
}

static void a_slower_detector_gets_longer_steps_without_gaps(void **state) {
    detector.every_s = 90;
    poll(*state, T0, true, true);
    int64_t first = detector.calls[0].to_s;
    poll(*state, T0 + STEP, true, true);
    poll(*state, T0 + 2 * STEP, true, true);
    poll(*state, T0 + 6 * STEP, true, true);
    for (size_t i = 1; i < detector.n_calls; i++) {
        assert_window(i, first + ((int64_t)i - 1) * 90, first + (int64_t)i * 90);
    }
    assert_true(detector.n_calls >= 2);
}

static void a_detector_without_interest_in_counts_does_not_wait_for_them(void **state) {
    detector.wants_series = false;
    add_trace('b', 1);
    poll(*state, T0, false, true);
    assert_int_equal(detector.n_calls, 1);
    assert_true(detector.calls[0].complete);
    assert_int_equal(seen.known, 1);
}

static void a_busy_or_paused_detector_is_left_alone_and_catches_up(void **state) {
    detector.hold = true;
    poll(*state, T0, true, true);
    poll(*state, T0 + STEP, true, true);
    assert_int_equal(detector.n_calls, 1);
    detector.hold = false;
    reply(SW_CHECK_OK);
    detector.ready = false;
    poll(*state, T0 + 2 * STEP, true, true);
    assert_int_equal(detector.n_calls, 1);
    detector.ready = true;
    poll(*state, T0 + 2 * STEP, true, true);
    assert_int_equal(detector.n_calls, 3);
    assert_window(1, T0 + STEP - LOOKBACK, T0 + STEP);
}

static void after_a_restart_judging_goes_on_where_it_was(void **state) {
    struct fixture *f = *state;
    tempo.origin_s = T0 - 7200;
    stored_until_s = T0 - 4 * STEP;
    sw_judge_restore(&f->agent);
    add_trace('a', 1); /* judged before the restart */
    add_trace('b', 1);
    poll(f, T0, true, true);
    assert_int_equal(detector.n_calls, 4);
    assert_window(0, T0 - 3 * STEP - LOOKBACK, T0 - 3 * STEP);
    assert_int_equal(detector.calls[3].n_traces, 1);
    assert_int_equal(detector.calls[3].traces[0][0], 'b');
}

static void catching_up_has_a_limit_and_what_is_skipped_is_counted(void **state) {
    struct fixture *f = *state;
    tempo.origin_s = T0 - 72000;
    stored_until_s = T0 - 7200;
    sw_judge_restore(&f->agent);
    poll(f, T0, true, true);
    assert_true(detector.calls[0].to_s > T0 - 3600);
    assert_true(sw_metric_get(f->agent.m.windows_skipped, "detect", "tempo") == 120);
    assert_int_equal(detector.calls[detector.n_calls - 1].to_s, T0);
}

struct records {
    size_t n, n_judged;
    json_t *last;
};

static void take_record(const json_t *record, const sw_judged *judged, void *arg) {
    struct records *records = arg;
    records->n++;
    records->n_judged += judged != NULL;
    json_decref(records->last);
    records->last = json_deep_copy(record);
}

static void each_evaluation_is_recorded_as_it_went(void **state) {
    struct fixture *f = *state;
    f->agent.evaluations = sw_evaluations_new(SW_EVALUATIONS_BYTES);
    add_trace('b', 1);
    poll(f, T0, true, true);
    poll(f, T0 + STEP, false, false);
    detector.fail_from_call = detector.n_calls;
    poll(f, T0 + 3 * STEP, true, true);
    struct records records = {0};
    sw_evaluations_each(f->agent.evaluations, "detect", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", NULL, take_record,
                        &records);
    assert_int_equal(records.n, 2); /* in the second tick there was nothing to judge */
    assert_int_equal(records.n_judged, 1);
    const char *result, *message;
    json_int_t to, traces, calls = (json_int_t)json_array_size(json_object_get(records.last, "calls"));
    int known;
    assert_int_equal(calls, 1); /* the other window waits for the next tick */
    assert_int_equal(json_unpack(records.last, "{s:b, s:[{s:s, s:s, s:I, s:I}]}", "known", &known, "calls",
                                 "result", &result, "message", &message, "to", &to, "traces", &traces),
                     0);
    assert_false(known);
    assert_string_equal(result, "failed");
    assert_string_equal(message, "because");
    assert_int_equal(to, T0 + STEP);
    assert_int_equal(traces, 0);
    json_decref(records.last);
    sw_evaluations_free(f->agent.evaluations);
    f->agent.evaluations = NULL;
}

/* ---- two sources ---- */

static void watch_both(struct fixture *f) {
    f->agent.feeds[SW_SOURCE_OTLP].source = &tempo.otlp;
}

static void each_source_has_windows_and_progress_of_its_own(void **state) {
    struct fixture *f = *state;
    watch_both(f);
    add_trace('b', 1);
    poll_of(f, SW_SOURCE_TEMPO, T0, true, true);
    poll_of(f, SW_SOURCE_OTLP, T0 + STEP, true, true);
    assert_int_equal(detector.n_calls, 2);
    assert_string_equal(detector.calls[0].source, "tempo");
    assert_string_equal(detector.calls[1].source, "otlp");
    assert_window(1, T0 + STEP - LOOKBACK, T0 + STEP);
    assert_int_equal(detector.calls[1].n_traces, 1); /* judged as Tempo has it, not as OTLP has it */
    assert_string_equal(seen.source, "otlp");
    poll_of(f, SW_SOURCE_TEMPO, T0 + 2 * STEP, true, true);
    assert_int_equal(detector.n_calls, 4);
    assert_window(2, T0 + STEP - LOOKBACK, T0 + STEP);
    assert_int_equal(detector.calls[3].n_traces, 0);
    assert_int_equal(seen.applied, 3);
}

/* Its state is one: what the first evaluation makes of it is committed before the second goes on with it.
 */
static void evaluations_of_one_detector_follow_one_another(void **state) {
    struct fixture *f = *state;
    watch_both(f);
    detector.hold = true;
    poll_of(f, SW_SOURCE_OTLP, T0, true, true);
    poll_of(f, SW_SOURCE_TEMPO, T0, true, true);
    assert_int_equal(detector.n_calls, 1);
    assert_int_equal(f->agent.evaluating, 2);
    reply(SW_CHECK_OK);
    assert_int_equal(seen.applied, 1);
    assert_string_equal(seen.source, "otlp");
    assert_int_equal(detector.n_calls, 2);
    assert_string_equal(detector.calls[1].source, "tempo");
    reply(SW_CHECK_OK);
    assert_string_equal(seen.source, "tempo");
    assert_int_equal(f->agent.evaluating, 0);
}

static void an_evaluation_that_waits_is_dropped_with_its_detector(void **state) {
    struct fixture *f = *state;
    watch_both(f);
    detector.hold = true;
    poll_of(f, SW_SOURCE_OTLP, T0, true, true);
    poll_of(f, SW_SOURCE_TEMPO, T0, true, true);
    detector.gone = true;
    reply(SW_CHECK_FAILED); /* as removing it does */
    assert_int_equal(detector.n_calls, 1);
    assert_int_equal(f->agent.evaluating, 0);
}

static void a_detector_that_asked_for_one_source_sees_no_other(void **state) {
    struct fixture *f = *state;
    watch_both(f);
    detector.sources = 1U << SW_SOURCE_OTLP;
    poll_of(f, SW_SOURCE_TEMPO, T0, true, true);
    assert_int_equal(detector.n_calls, 0);
    poll_of(f, SW_SOURCE_OTLP, T0, true, true);
    assert_int_equal(detector.n_calls, 1);
    assert_string_equal(detector.calls[0].source, "otlp");
    /* What Tempo had is not kept for it. */
    assert_int_equal(sw_judge_oldest_needed_s(&f->agent.feeds[SW_SOURCE_TEMPO], T0 + 100 * STEP),
                     T0 + 100 * STEP - SW_AGENT_REVISE_S);
}

static void count_progress(const char *name, const sw_feed *feed, int64_t judged_until_s,
                           int64_t seen_until_s, void *arg) {
    assert_string_equal(name, "detect");
    assert_int_equal(feed->number, SW_SOURCE_TEMPO);
    assert_int_equal(judged_until_s, stored_until_s);
    assert_int_equal(seen_until_s, 0);
    ++*(unsigned *)arg;
}

static void progress_of_a_source_that_is_not_enabled_is_left_alone(void **state) {
    struct fixture *f = *state;
    stored_until_s = T0 - 4 * STEP;
    sw_judge_restore(&f->agent);
    unsigned n = 0;
    sw_judge_each(&f->agent, count_progress, &n);
    assert_int_equal(n, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_first_tick_judges_the_lookback_before_now),
        TEST(windows_never_reach_before_the_origin),
        TEST(a_tick_without_a_new_window_or_trace_calls_nobody),
        TEST(windows_missed_are_judged_in_order),
        TEST(counts_that_are_not_known_are_judged_when_they_are),
        TEST(a_trace_is_offered_once_until_more_is_known_of_it),
        TEST(many_traces_come_in_several_calls_of_one_evaluation),
        TEST(traces_are_judged_although_counts_are_unknown),
        TEST(traces_that_may_be_missing_make_the_window_incomplete),
        TEST(a_failed_call_loses_nothing),
        TEST(what_succeeded_before_a_failure_is_kept),
        TEST(a_window_that_fails_again_and_again_is_skipped),
        TEST(unknown_offers_the_traces_again_and_resolves_nothing),
        TEST(a_repaired_window_is_judged_again_before_the_new_one),
        TEST(a_detector_that_did_not_ask_for_repairs_sees_none),
        TEST(a_slower_detector_gets_longer_steps_without_gaps),
        TEST(a_detector_without_interest_in_counts_does_not_wait_for_them),
        TEST(a_busy_or_paused_detector_is_left_alone_and_catches_up),
        TEST(after_a_restart_judging_goes_on_where_it_was),
        TEST(catching_up_has_a_limit_and_what_is_skipped_is_counted),
        TEST(each_evaluation_is_recorded_as_it_went),
        TEST(each_source_has_windows_and_progress_of_its_own),
        TEST(evaluations_of_one_detector_follow_one_another),
        TEST(an_evaluation_that_waits_is_dropped_with_its_detector),
        TEST(a_detector_that_asked_for_one_source_sees_no_other),
        TEST(progress_of_a_source_that_is_not_enabled_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
