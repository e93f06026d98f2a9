#include "sources/tempo/tempo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/url.h"
#include "sources/json_value.h"
#include "sources/tempo/jobs.h"

static sw_tempo *tempo_of(const sw_source *source) {
    return (sw_tempo *)(uintptr_t)source;
}

int64_t tempo_mono_ns(const sw_tempo *tempo) {
    return sw_mono_ns(tempo->clock);
}

int64_t tempo_server_now_ns(const sw_tempo *tempo) {
    return tempo_clock_now_ns(&tempo->server_clock, tempo_mono_ns(tempo), sw_wall_ns(tempo->clock));
}

static void op_poll(sw_source *source, const sw_wants *wants,
                    void (*done)(const sw_poll_result *result, void *arg), void *arg) {
    sw_tempo *tempo = tempo_of(source);
    tempo_scripts_next_tick(tempo->scripts);
    tempo_poll_start(tempo, wants, done, arg);
}

static void op_cancel(sw_source *source) {
    tempo_poll_cancel(tempo_of(source));
}

static int64_t op_step_s(const sw_source *source) {
    return tempo_of(source)->options.step_s;
}

static int64_t op_counts_known_until(const sw_source *source, int64_t from_s) {
    const sw_tempo *tempo = tempo_of(source);
    int64_t until =
        sw_buckets_known_until(tempo->buckets, from_s / tempo->options.step_s * tempo->options.step_s);
    return until > from_s ? until : from_s;
}

static unsigned op_revision(const sw_source *source, int64_t from_s, int64_t to_s) {
    return sw_buckets_revision(tempo_of(source)->buckets, from_s, to_s);
}

static void op_build_window(const sw_source *source, int64_t from_s, int64_t to_s, sw_window *window) {
    sw_buckets_build_window(tempo_of(source)->buckets, from_s, to_s, window);
    window->source = "tempo";
}

static const sw_trace *const *op_traces(const sw_source *source, size_t *n) {
    return tempo_cache_list(tempo_of(source)->cache, n);
}

/* What the next search will find again stays, so that it is not taken for new. */
static void op_forget(sw_source *source, int64_t before_s) {
    sw_tempo *tempo = tempo_of(source);
    int64_t step = tempo->options.step_s;
    int64_t before = before_s < tempo->horizon_s ? before_s / step * step : tempo->horizon_s;
    sw_buckets_forget(tempo->buckets, before);
    tempo->counts_base_s = before > tempo->counts_base_s ? before : tempo->counts_base_s;
    int64_t searched_s = tempo->search_from_s;
    tempo_cache_forget(tempo->cache, (before < searched_s ? before : searched_s) * SW_NS_PER_S);
}

static int64_t counts_known_until(const sw_tempo *tempo) {
    int64_t step = tempo->options.step_s;
    int64_t base = tempo->counts_base_s > tempo->origin_s ? tempo->counts_base_s : tempo->origin_s;
    return sw_buckets_known_until(tempo->buckets, base / step * step);
}

static void op_save(const sw_source *source, int64_t *origin_s, int64_t *watermark_s) {
    const sw_tempo *tempo = tempo_of(source);
    const sw_wants *wants = &tempo->poll->wants;
    bool traces = wants->errors || wants->min_duration_ms >= 0;
    int64_t counts = wants->series ? counts_known_until(tempo) : INT64_MAX;
    int64_t searched = traces ? tempo->search_until_s : INT64_MAX;
    int64_t until = counts < searched ? counts : searched;
    until = until == INT64_MAX ? tempo->horizon_s : until;
    *origin_s = tempo->origin_s;
    *watermark_s = until > tempo->origin_s ? until : tempo->origin_s;
}

static void op_restore(sw_source *source, int64_t origin_s, int64_t watermark_s) {
    sw_tempo *tempo = tempo_of(source);
    if (origin_s <= 0) {
        return;
    }
    int64_t until = watermark_s > origin_s ? watermark_s : origin_s;
    tempo->origin_s = origin_s;
    tempo->origin_by_wall = false;
    tempo->options.optional = false;
    tempo->counts_base_s = until / tempo->options.step_s * tempo->options.step_s;
    tempo->search_until_s = until;
    tempo->search_from_s = until - TEMPO_LATE_S > origin_s ? until - TEMPO_LATE_S : origin_s;
}

static void *op_query(sw_source *source, const char *kind, const char *options_json, int64_t timeout_ms,
                      sw_query_done done, void *arg) {
    return tempo_scripts_query(tempo_of(source), kind, options_json, timeout_ms, done, arg);
}

static void *op_fetch_trace(sw_source *source, const char *id, int64_t timeout_ms, sw_trace_done done,
                            void *arg) {
    return tempo_scripts_fetch_trace(tempo_of(source), id, timeout_ms, done, arg);
}

static void op_cancel_query(sw_source *source, void *handle) {
    tempo_scripts_cancel(tempo_of(source), handle);
}

static void op_status_json(const sw_source *source, void *sw_buf_out) {
    static const char *const capabilities[] = {"unknown", "metrics", "search"};
    const sw_tempo *tempo = tempo_of(source);
    sw_buf *out = sw_buf_out;
    sw_buf_append_str(out, "{\"name\": \"tempo\", \"url\": ");
    sw_json_append_string(out, tempo->shown_url);
    sw_buf_printf(out, ", \"up\": %s, \"capability\": \"%s\"", tempo->up ? "true" : "false",
                  capabilities[tempo->capability]);
    if (tempo->server_clock.known) {
        double offset_s = (double)(tempo_server_now_ns(tempo) - sw_wall_ns(tempo->clock)) / 1e9;
        sw_buf_printf(out, ", \"clock_offset_s\": %.3f", offset_s);
    } else {
        sw_buf_append_str(out, ", \"clock_offset_s\": null");
    }
    sw_buf_printf(out,
                  ", \"origin\": %lld, \"horizon\": %lld, \"counts_known_until\": %lld, "
                  "\"traces_known_until\": %lld, \"cached_traces\": %zu, \"last_error\": ",
                  (long long)tempo->origin_s, (long long)tempo->horizon_s,
                  (long long)counts_known_until(tempo), (long long)tempo->search_until_s,
                  tempo_cache_size(tempo->cache));
    sw_json_append_string(out, tempo->last_error);
    sw_buf_append_char(out, '}');
}

static void op_free(sw_source *source) {
    sw_tempo *tempo = tempo_of(source);
    tempo_poll_cancel(tempo);
    tempo_poll_free(tempo->poll);
    tempo_scripts_free(tempo->scripts);
    tempo_cache_free(tempo->cache);
    tempo_spans_free(tempo->spans);
    sw_buckets_free(tempo->buckets);
    free(tempo->base_url);
    free(tempo->shown_url);
    free(tempo->tenant_header);
    free(tempo);
}

static const sw_source_ops ops = {
    .name = "tempo",
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

static void register_metrics(tempo_metrics *m, sw_metrics *metrics) {
    static const double bounds[] = {5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 20000};
    static const char *const source[] = {"source", NULL}, *const query[] = {"source", "query", NULL},
                             *const reason[] = {"source", "query", "reason", NULL},
                             *const what[] = {"source", "what", NULL};
    m->duration =
        sw_metrics_histogram(metrics, "trace_alert_query_duration_ms",
                             "Time that queries to the backend took.", NULL, bounds, SW_ARRAY_LEN(bounds));
    m->queries = sw_metrics_counter(metrics, "spanwatch_source_queries_total",
                                    "Queries to the backend, each attempt.", query);
    m->failures = sw_metrics_counter(metrics, "spanwatch_source_query_failures_total",
                                     "Attempts that failed, by reason.", reason);
    m->up = sw_metrics_gauge(metrics, "spanwatch_source_up", "Whether the backend answered the last poll.",
                             source);
    m->offset = sw_metrics_gauge(metrics, "spanwatch_source_clock_offset_seconds",
                                 "The backend's clock less our own.", source);
    m->dropped = sw_metrics_counter(metrics, "spanwatch_source_dropped_total",
                                    "Traces and spans that found no room.", source);
    m->skipped = sw_metrics_counter(metrics, "spanwatch_source_skipped_seconds_total",
                                    "Time that was given up because it lay too far behind.", what);
    m->incomplete = sw_metrics_counter(metrics, "spanwatch_source_incomplete_total",
                                       "Polls in which not everything became known.", what);
}

sw_source *sw_tempo_new(uv_loop_t *loop, const sw_clock *clock, sw_http_client *http, sw_metrics *metrics,
                        const sw_tempo_options *options) {
    sw_tempo *tempo = xcalloc(1, sizeof *tempo);
    tempo->source.ops = &ops;
    tempo->loop = loop;
    tempo->clock = clock;
    tempo->http = http;
    tempo->options = *options;
    size_t len = strlen(options->url);
    while (len > 0 && options->url[len - 1] == '/') {
        len--;
    }
    tempo->base_url = xstrndup(options->url, len);
    tempo->options.url = tempo->base_url;
    tempo->shown_url = sw_url_redact(tempo->base_url);
    if (options->tenant != NULL) {
        tempo->tenant_header = xasprintf("X-Scope-OrgID: %s", options->tenant);
        tempo->headers[0] = tempo->tenant_header;
    }
    tempo->options.tenant = NULL;
    for (size_t i = 0; i < TEMPO_N_KINDS; i++) {
        tempo->timeouts_ms[i] = options->query_timeout_ms;
    }
    tempo->trace_api = 2;
    tempo->count_limit = options->search_limit;
    tempo->buckets = sw_buckets_new(options->step_s, TEMPO_MAX_ENTRIES);
    tempo->spans = tempo_spans_new(TEMPO_MAX_SPANS);
    tempo->cache = tempo_cache_new(TEMPO_MAX_TRACES, TEMPO_MAX_SPANS);
    tempo->poll = tempo_poll_new(tempo);
    tempo->scripts = tempo_scripts_new(tempo);
    register_metrics(&tempo->m, metrics);
    return &tempo->source;
}
