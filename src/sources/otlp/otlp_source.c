#include "sources/otlp/otlp_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sources/otlp/assembly.h"
#include "sources/otlp/search.h"
#include "sources/otlp/series.h"
#include "sources/json_value.h"
#include "sources/trace_json.h"

/* Traces are kept for this long after their last span, so that late ones and duplicates find them. */
#define KEEP_TRACES_S 300
#define LEAST_FOR_COUNTS ((size_t)16 << 20) /* bytes; else as much as for spans */
#define KIND_SERVER 2
#define KIND_CONSUMER 5
#define STATUS_ERROR 2

typedef struct otlp_source {
    sw_source source;
    const sw_clock *clock;
    sw_otlp_source_options options;
    otlp_series *series;
    otlp_assembly *assembly;
    otlp_searches *searches;
    sw_otlp_spans spans; /* of the request at hand */
    int64_t opened_s;
    int64_t origin_s; /* 0 before the first span, when nothing is judged before */
    int64_t horizon_s;
    int64_t lost_before_s; /* what started before was received by a process that is gone; 0: nothing was */
    uint64_t overflowed_seen, dropped_seen, refused;
    size_t not_shown;   /* traces that offend, in the last poll */
    sw_spans_sent sent; /* since the last poll */

    uv_timer_t *timer;
    void (*done)(const sw_poll_result *result, void *arg);
    void *done_arg;

    sw_metric *m_spans, *m_memory, *m_traces, *m_series, *m_series_bytes, *m_overflow, *m_dropped;
} otlp_source;

static otlp_source *self_of(const sw_source *source) {
    return (otlp_source *)(uintptr_t)source;
}

static int64_t now_s(const otlp_source *self) {
    return sw_wall_ns(self->clock) / SW_NS_PER_S;
}

static int64_t align(const otlp_source *self, int64_t at_s) {
    return at_s / self->options.step_s * self->options.step_s;
}

/* ---- taking spans ---- */

static bool is_entry(const sw_otlp_span *span) {
    return span->kind == KIND_SERVER || span->kind == KIND_CONSUMER || span->parent_id == 0;
}

/* What became of the spans of one request. */
enum result { ACCEPTED, DUPLICATE, INVALID, LATE, FUTURE, N_RESULTS };
static const char *const result_names[N_RESULTS] = {"accepted", "duplicate", "invalid", "late", "future"};

static enum result count_span(otlp_source *self, const sw_otlp_span *span, int64_t now) {
    int64_t start_s = (int64_t)(span->start_ns / (uint64_t)SW_NS_PER_S);
    if (start_s > now + OTLP_FUTURE_S) {
        return FUTURE;
    }
    if (!is_entry(span)) {
        return ACCEPTED;
    }
    int64_t duration_ns = span->end_ns > span->start_ns ? (int64_t)(span->end_ns - span->start_ns) : 0;
    bool counted =
        otlp_series_add(self->series, start_s, span->service, span->name, sw_otlp_weight(span->trace_state),
                        span->status == STATUS_ERROR, duration_ns);
    return counted ? ACCEPTED : LATE;
}

static bool has_ids(const sw_otlp_span *span) {
    return span->id != 0 && (span->trace_id.high | span->trace_id.low) != 0;
}

/* Older steps than those of the windows stay, so that what is still revised keeps all of its own. */
static void forget_counts(otlp_source *self, int64_t before_s) {
    otlp_series_forget(self->series, before_s - self->options.lookback_s - self->options.step_s);
}

/* They came until now, had there been any: what started within the lookback is judged. What is far older is
 * late from the first request on, or each second that senders make up would be a step in memory. */
static void begin_judging(otlp_source *self, int64_t now) {
    int64_t from_s = align(self, now - self->options.lookback_s);
    self->origin_s = from_s > self->opened_s ? from_s : self->opened_s;
    forget_counts(self, self->origin_s);
}

sw_otlp_taken sw_otlp_source_take(sw_source *source, sw_otlp_text request, uint64_t *rejected,
                                  char why[SW_OTLP_WHY]) {
    otlp_source *self = self_of(source);
    *rejected = 0;
    why[0] = '\0';
    if (sw_otlp_read(request, &self->spans, why) != 0) {
        return SW_OTLP_MALFORMED;
    }
    int64_t now = now_s(self);
    size_t n = self->spans.n;
    if (n == 0) {
        return SW_OTLP_TAKEN;
    }
    if (!otlp_assembly_could_hold(self->assembly, request, &self->spans)) {
        snprintf(why, SW_OTLP_WHY, "the request is larger than the memory for spans");
        return SW_OTLP_TOO_LARGE;
    }
    if (!otlp_assembly_begin(self->assembly, request, &self->spans, sw_mono_ns(self->clock))) {
        self->refused++;
        snprintf(why, SW_OTLP_WHY, "no room for more spans now: try again later");
        return SW_OTLP_BUSY;
    }
    uint64_t results[N_RESULTS] = {0};
    if (self->origin_s == 0) {
        begin_judging(self, now);
    }
    for (size_t i = 0; i < n; i++) {
        const sw_otlp_span *span = &self->spans.items[i];
        enum result result = !has_ids(span)                            ? INVALID
                             : otlp_assembly_add(self->assembly, span) ? count_span(self, span, now)
                                                                       : DUPLICATE;
        results[result]++;
    }
    otlp_assembly_end(self->assembly);
    for (size_t i = 0; i < N_RESULTS; i++) {
        if (results[i] > 0) {
            sw_metric_add(self->m_spans, (double)results[i], result_names[i]);
        }
    }
    self->sent.received += n;
    self->sent.late += results[LATE];
    self->sent.future += results[FUTURE];
    *rejected = results[INVALID];
    if (*rejected > 0) {
        snprintf(why, SW_OTLP_WHY, "spans without trace id or span id were not taken");
    }
    return SW_OTLP_TAKEN;
}

void sw_otlp_source_refused(sw_source *source) {
    self_of(source)->sent.refused++;
}

/* ---- polling ---- */

static void show(otlp_source *self) {
    uint64_t overflowed = otlp_series_overflowed(self->series);
    sw_metric_set(self->m_memory, (double)otlp_assembly_bytes(self->assembly));
    sw_metric_set(self->m_traces, (double)otlp_assembly_traces(self->assembly));
    sw_metric_set(self->m_series, (double)otlp_series_entries(self->series));
    sw_metric_set(self->m_series_bytes, (double)otlp_series_bytes(self->series));
    sw_metric_add(self->m_overflow, (double)(overflowed - self->overflowed_seen));
    self->overflowed_seen = overflowed;
    uint64_t dropped = otlp_assembly_dropped(self->assembly);
    sw_metric_add(self->m_dropped, (double)(dropped - self->dropped_seen));
    self->sent.dropped = dropped - self->dropped_seen;
    self->dropped_seen = dropped;
}

static void polled(uv_timer_t *timer) {
    otlp_source *self = timer->data;
    if (otlp_assembly_offer_more(self->assembly, sw_mono_ns(self->clock), &self->not_shown)) {
        uv_timer_start(self->timer, polled, 1, 0); /* after others had their turn */
        return;
    }
    show(self);
    char refused[SW_OTLP_WHY] = "", hidden[SW_OTLP_WHY] = "";
    if (self->refused > 0) {
        snprintf(refused, sizeof refused, "%llu requests were refused for want of room",
                 (unsigned long long)self->refused);
        self->refused = 0;
    } else if (self->not_shown > 0) {
        snprintf(hidden, sizeof hidden, "%zu traces wait until there is room to show them", self->not_shown);
    }
    const sw_poll_result result = {
        .reachable = true,
        .counts_ok = refused[0] == '\0',
        .traces_ok = refused[0] == '\0' && hidden[0] == '\0',
        .in_part = true,
        .counts_reason = refused,
        .traces_reason = refused[0] != '\0' ? refused : hidden,
        .horizon_s = self->origin_s > 0 ? self->horizon_s : 0,
        .last_byte_mono_ns = sw_mono_ns(self->clock),
        .spans = self->sent,
    };
    self->sent = (sw_spans_sent){0};
    self->done(&result, self->done_arg);
}

static void op_poll(sw_source *source, const sw_wants *wants,
                    void (*done)(const sw_poll_result *result, void *arg), void *arg) {
    otlp_source *self = self_of(source);
    self->done = done;
    self->done_arg = arg;
    int64_t horizon = align(self, now_s(self) - self->options.settle_s);
    /* A clock that was set back: nothing is judged twice, and it goes on when the time has come again. */
    self->horizon_s = horizon > self->horizon_s ? horizon : self->horizon_s;
    otlp_assembly_offer(self->assembly, wants);
    uv_timer_start(self->timer, polled, 0, 0); /* nothing calls back from inside */
}

static void op_cancel(sw_source *source) {
    uv_timer_stop(self_of(source)->timer);
}

static int64_t op_step_s(const sw_source *source) {
    return self_of(source)->options.step_s;
}

/* What did not come by then counts as late, not as unknown. */
static int64_t op_counts_known_until(const sw_source *source, int64_t from_s) {
    int64_t horizon = self_of(source)->horizon_s;
    return horizon > from_s ? horizon : from_s;
}

static unsigned op_revision(const sw_source *source, int64_t from_s, int64_t to_s) {
    return otlp_series_revision(self_of(source)->series, from_s, to_s);
}

static void op_build_window(const sw_source *source, int64_t from_s, int64_t to_s, sw_window *window) {
    const otlp_source *self = self_of(source);
    otlp_series_build_window(self->series, from_s, to_s, window);
    window->source = "otlp";
    if (from_s < self->lost_before_s) {
        window->complete = false;
        free(window->reason);
        window->reason = xstrdup("spans that came before the agent was started again are not known");
    }
}

static const sw_trace *const *op_traces(const sw_source *source, size_t *n) {
    return otlp_assembly_list(self_of(source)->assembly, n);
}

static bool read_id(const char *hex, sw_otlp_trace_id *id) {
    char end = '\0';
    unsigned long long high = 0, low = 0;
    if (strlen(hex) != SW_TRACE_ID_LEN || sscanf(hex, "%16llx%16llx%c", &high, &low, &end) != 2) {
        return false;
    }
    *id = (sw_otlp_trace_id){high, low};
    return true;
}

/* What is in memory now, of at most max_spans; or what was listed, when memory has lost it since. */
static void tell_trace(const otlp_source *self, const char *id, size_t max_spans, sw_trace_done done,
                       void *arg) {
    sw_otlp_trace_id known;
    sw_trace trace;
    if (read_id(id, &known) && otlp_assembly_build(self->assembly, known, max_spans, &trace)) {
        done(&trace, "", arg);
        sw_trace_release(&trace);
        return;
    }
    const sw_trace *listed = sw_source_listed(&self->source, id);
    done(listed, listed != NULL ? "" : "the trace is not in memory any more", arg);
}

/* More of it than what was listed. */
static void *op_fetch_trace(sw_source *source, const char *id, int64_t timeout_ms, sw_trace_done done,
                            void *arg) {
    (void)timeout_ms;
    tell_trace(self_of(source), id, OTLP_MAX_SPANS_FETCHED, done, arg);
    return NULL;
}

/* ---- questions of scripts ---- */

#define TRACE_JSON_MAX ((size_t)16 << 20)
#define SPANS_TOLD 1000 /* of one trace: turning the answer into values takes its time */

struct asked {
    sw_query_done done;
    void *arg;
};

static void tell_as_json(const sw_trace *trace, const char *message, void *arg) {
    const struct asked *asked = arg;
    sw_buf out;
    sw_buf_init(&out, TRACE_JSON_MAX);
    if (trace == NULL) {
        asked->done(NULL, 0, message, "not_found", asked->arg);
    } else if (sw_trace_append_json(&out, trace) != 0) {
        asked->done(NULL, 0, "the answer is too large", "too_large", asked->arg);
    } else {
        asked->done(out.data, out.len, NULL, NULL, asked->arg);
    }
    sw_buf_release(&out);
}

static void *query_trace(sw_source *source, const char *options_json, sw_query_done done, void *arg) {
    char why[SW_JSON_WHY], id[SW_TRACE_ID_LEN + 1];
    json_t *options = sw_json_parse(options_json, strlen(options_json), why);
    if (sw_trace_id_read(sw_json_peek(options, "id"), id)) {
        struct asked asked = {done, arg};
        tell_trace(self_of(source), id, SPANS_TOLD, tell_as_json, &asked);
    } else {
        done(NULL, 0, "id must be a trace id: up to 32 hex digits", "usage", arg);
    }
    json_decref(options);
    return NULL;
}

static void *op_query(sw_source *source, const char *kind, const char *options_json, int64_t timeout_ms,
                      sw_query_done done, void *arg) {
    if (strcmp(kind, "search") == 0) {
        return otlp_searches_start(self_of(source)->searches, options_json, timeout_ms, done, arg);
    }
    if (strcmp(kind, "trace") == 0) {
        return query_trace(source, options_json, done, arg);
    }
    done(NULL, 0, "spans in memory cannot be asked this", "usage", arg);
    return NULL;
}

static void op_cancel_query(sw_source *source, void *handle) {
    otlp_searches_cancel(self_of(source)->searches, handle);
}

static void op_forget(sw_source *source, int64_t before_s) {
    otlp_source *self = self_of(source);
    forget_counts(self, before_s);
    otlp_assembly_forget(self->assembly, sw_mono_ns(self->clock) - KEEP_TRACES_S * SW_NS_PER_S);
}

static void op_save(const sw_source *source, int64_t *origin_s, int64_t *watermark_s) {
    const otlp_source *self = self_of(source);
    *origin_s = self->origin_s;
    *watermark_s = self->horizon_s > self->origin_s ? self->horizon_s : self->origin_s;
}

static void op_restore(sw_source *source, int64_t origin_s, int64_t watermark_s) {
    otlp_source *self = self_of(source);
    (void)watermark_s;
    if (origin_s > 0) {
        self->origin_s = origin_s;
        self->lost_before_s = now_s(self) + 1;
    }
}

static void op_status_json(const sw_source *source, void *out) {
    const otlp_source *self = self_of(source);
    sw_buf_printf(out,
                  "{\"name\": \"otlp\", \"horizon\": %lld, \"traces\": %zu, \"series\": %zu, "
                  "\"memory_bytes\": %zu, \"accepted\": %.0f}",
                  (long long)self->horizon_s, otlp_assembly_traces(self->assembly),
                  otlp_series_entries(self->series), otlp_assembly_bytes(self->assembly),
                  sw_metric_get(self->m_spans, "accepted"));
}

static void timer_closed(uv_handle_t *handle) {
    free(handle);
}

static void op_free(sw_source *source) {
    otlp_source *self = self_of(source);
    uv_close((uv_handle_t *)self->timer, timer_closed);
    otlp_series_free(self->series);
    otlp_searches_free(self->searches);
    otlp_assembly_free(self->assembly);
    sw_otlp_spans_release(&self->spans);
    free(self);
}

static const sw_source_ops ops = {
    .name = "otlp",
    .poll = op_poll,
    .cancel = op_cancel,
    .step_s = op_step_s,
    .counts_known_until = op_counts_known_until,
    .revision = op_revision,
    .build_window = op_build_window,
    .traces = op_traces,
    .forget = op_forget,
    .query = op_query,
    .cancel_query = op_cancel_query,
    .fetch_trace = op_fetch_trace,
    .save = op_save,
    .restore = op_restore,
    .status_json = op_status_json,
    .free = op_free,
};

static void register_metrics(otlp_source *self, sw_metrics *metrics) {
    static const char *const by_result[] = {"result", NULL};
    self->m_spans =
        sw_metrics_counter(metrics, "spanwatch_otlp_spans_total",
                           "Spans received: accepted, duplicate, invalid (no ids), late and future "
                           "(kept, but not counted).",
                           by_result);
    self->m_memory = sw_metrics_gauge(metrics, "spanwatch_otlp_memory_bytes", "Spans in memory.", NULL);
    self->m_traces = sw_metrics_gauge(metrics, "spanwatch_otlp_traces", "Traces in memory.", NULL);
    self->m_series = sw_metrics_gauge(metrics, "spanwatch_otlp_series",
                                      "Services and operations in memory, in each step of time.", NULL);
    self->m_series_bytes = sw_metrics_gauge(metrics, "spanwatch_otlp_series_bytes", "Memory of these.", NULL);
    self->m_overflow = sw_metrics_counter(metrics, "spanwatch_otlp_series_overflow_total",
                                          "Spans counted as service and operation other.", NULL);
    self->m_dropped = sw_metrics_counter(metrics, "spanwatch_otlp_dropped_total",
                                         "Spans that had to make room for others before their trace was "
                                         "quiet, so that it may be shown without "
                                         "them.",
                                         NULL);
}

sw_source *sw_otlp_source_new(uv_loop_t *loop, const sw_clock *clock, sw_metrics *metrics,
                              const sw_otlp_source_options *options) {
    otlp_source *self = xcalloc(1, sizeof *self);
    self->source.ops = &ops;
    self->clock = clock;
    self->options = *options;
    size_t for_counts = options->max_bytes > LEAST_FOR_COUNTS ? options->max_bytes : LEAST_FOR_COUNTS;
    self->series = otlp_series_new(options->step_s, options->max_series, for_counts);
    self->assembly = otlp_assembly_new(options->max_bytes);
    self->searches = otlp_searches_new(loop, clock, self->assembly);
    sw_otlp_spans_init(&self->spans, options->max_spans);
    self->opened_s = align(self, now_s(self));
    self->origin_s = options->from_first_span ? 0 : self->opened_s;
    self->timer = xcalloc(1, sizeof *self->timer);
    uv_timer_init(loop, self->timer);
    self->timer->data = self;
    register_metrics(self, metrics);
    return &self->source;
}
