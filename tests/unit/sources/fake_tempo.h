/*
 * A Tempo for tests: an HTTP server that knows some spans and answers Tempo's questions about them truly, at
 * a virtual time, and misbehaves on demand. With it, a source under test and its virtual clock.
 */
#ifndef TESTS_UNIT_SOURCES_FAKE_TEMPO_H
#define TESTS_UNIT_SOURCES_FAKE_TEMPO_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "net/http_server.h"
#include "sources/json_value.h"
#include "sources/tempo/tempo.h"
#include "telemetry/log.h"

/* Not every test needs all of it. */
#pragma GCC diagnostic ignored "-Wunused-function"

#define FAKE_MAX_SPANS 2000
#define FAKE_MAX_RULES 16
#define FAKE_START_S INT64_C(1800000000) /* a multiple of 30 */

typedef struct fake_span {
    const char *trace, *id, *parent; /* hex; parent "" is the root */
    const char *service, *name, *kind, *status, *message;
    double at_s; /* start, from FAKE_START_S */
    double duration_ms;
    double visible_s; /* from FAKE_START_S: when Tempo shows it */
    bool lost;        /* search lost it when it merged fragments */
} fake_span;

/* What happens to the next `times` requests whose path begins with `path`. */
typedef struct fake_rule {
    const char *path;
    int times, status;
    const char *type, *body;
    bool hang; /* no answer at all */
} fake_rule;

typedef struct fake_tempo {
    uv_loop_t loop;
    sw_http_server *server;
    sw_http_client *http;
    sw_metrics *metrics;
    sw_source *source;
    sw_clock clock;
    int64_t now_ns;        /* from FAKE_START_S; wall and monotonic time go on together */
    int64_t wall_skew_ns;  /* our own wall clock */
    int64_t server_skew_s; /* the server's */
    sw_tempo_options options;

    fake_span spans[FAKE_MAX_SPANS];
    size_t n_spans;
    fake_rule rules[FAKE_MAX_RULES];
    size_t n_rules;
    sw_http_exchange *hung[FAKE_MAX_RULES];
    size_t n_hung;
    bool no_metrics;    /* 500 "empty ring", as a 2.x without local-blocks */
    bool empty_metrics; /* 200 without series, as a 2.9 without local-blocks */
    bool left_edges;    /* as before 2.9 */
    bool old;           /* refuses hints and by(span:id) */
    bool partial;       /* counts are cut short unless they have no histogram and at most two buckets */
    int64_t cutoff_s;   /* hides what is younger, as 3.x */
    unsigned asked, searches, count_searches, ranges, instants, sweeps, probes, by_id;
    char tenant[64];
    char last_range[4096], last_search[4096];

    sw_poll_result result;
    char counts_reason[400], traces_reason[400];
    bool polled;
    char log[8192];
} fake_tempo;

/* ---- what the fake knows ---- */

static int64_t fake_server_s(const fake_tempo *fake) {
    return FAKE_START_S + fake->now_ns / SW_NS_PER_S + fake->server_skew_s;
}

/* Spans carry the server's time. */
static int64_t fake_start_ns(const fake_tempo *fake, const fake_span *span) {
    return (FAKE_START_S + fake->server_skew_s) * SW_NS_PER_S + (int64_t)(span->at_s * 1e9);
}

static int64_t fake_end_ns(const fake_tempo *fake, const fake_span *span) {
    return fake_start_ns(fake, span) + (int64_t)(span->duration_ms * 1e6);
}

static bool fake_visible(const fake_tempo *fake, const fake_span *span) {
    return span->visible_s * 1e9 <= (double)fake->now_ns &&
           fake_start_ns(fake, span) <= (fake_server_s(fake) - fake->cutoff_s) * SW_NS_PER_S;
}

static bool fake_entry(const fake_span *span) {
    return span->parent[0] == '\0' || strcmp(span->kind, "server") == 0 ||
           strcmp(span->kind, "consumer") == 0;
}

static void fake_add(fake_tempo *fake, fake_span span) {
    assert_true(fake->n_spans < FAKE_MAX_SPANS);
    span.parent = span.parent != NULL ? span.parent : "";
    span.service = span.service != NULL ? span.service : "shop";
    span.name = span.name != NULL ? span.name : "GET /";
    span.kind = span.kind != NULL ? span.kind : "server";
    span.status = span.status != NULL ? span.status : "unset";
    span.message = span.message != NULL ? span.message : "";
    fake->spans[fake->n_spans++] = span;
}

/* ---- answers ---- */

static void fake_reply(const fake_tempo *fake, sw_http_exchange *exchange, int status, const char *type,
                       const char *body) {
    char date[64];
    time_t at = (time_t)fake_server_s(fake);
    struct tm tm;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&at, &tm));
    sw_http_reply_header(exchange, "Date", date);
    sw_http_reply(exchange, status, type, body, strlen(body));
}

static void fake_reply_json(const fake_tempo *fake, sw_http_exchange *exchange, json_t *json) {
    char *text = json_dumps(json, JSON_COMPACT);
    fake_reply(fake, exchange, 200, "application/json", text);
    free(text);
    json_decref(json);
}

/* True when a rule has dealt with the request. */
static bool fake_misbehaves(fake_tempo *fake, sw_http_exchange *exchange) {
    fake->asked++;
    const char *tenant = sw_http_header(exchange, "X-Scope-OrgID");
    snprintf(fake->tenant, sizeof fake->tenant, "%s", tenant != NULL ? tenant : "");
    for (size_t i = 0; i < fake->n_rules; i++) {
        fake_rule *rule = &fake->rules[i];
        if (rule->times == 0 || strncmp(sw_http_path(exchange), rule->path, strlen(rule->path)) != 0) {
            continue;
        }
        rule->times -= rule->times > 0;
        if (rule->hang) {
            assert_true(fake->n_hung < FAKE_MAX_RULES);
            sw_http_defer(exchange);
            fake->hung[fake->n_hung++] = exchange;
        } else {
            fake_reply(fake, exchange, rule->status, rule->type != NULL ? rule->type : "text/plain",
                       rule->body != NULL ? rule->body : "");
        }
        return true;
    }
    return false;
}

static int64_t fake_number(sw_http_exchange *exchange, const char *name) {
    const char *text = sw_http_query(exchange, name);
    assert_non_null(text);
    return strtoll(text, NULL, 10);
}

/* The threshold of "duration * 1 > 1000ms" in nanoseconds; -1 when there is none. */
static double fake_threshold(const char *q) {
    const char *at = strstr(q, "duration * 1 > ");
    if (at == NULL) {
        return -1;
    }
    char *unit = NULL;
    double value = strtod(at + strlen("duration * 1 > "), &unit);
    return strncmp(unit, "ms", 2) == 0 ? value * 1e6 : value;
}

static json_t *fake_value(const char *text) {
    return json_pack("{s:s}", "stringValue", text);
}

static json_t *fake_pair(const char *key, const char *text) {
    return json_pack("{s:s, s:o}", "key", key, "value", fake_value(text));
}

static json_t *fake_integer(int64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return json_string(text);
}

static json_t *fake_search_span(const fake_tempo *fake, const fake_span *span, bool messages) {
    json_t *attributes = json_array();
    json_array_append_new(attributes, fake_pair("status", span->status));
    json_array_append_new(attributes, fake_pair("kind", span->kind));
    json_array_append_new(attributes, fake_pair("service.name", span->service));
    if (messages) {
        json_array_append_new(attributes, fake_pair("statusMessage", span->message));
    }
    json_array_append_new(attributes, json_pack("{s:s, s:{s:s}}", "key", "nestedSetParent", "value",
                                                "intValue", span->parent[0] == '\0' ? "-1" : "4"));
    json_t *json =
        json_pack("{s:s, s:s, s:o, s:o}", "spanID", span->id, "name", span->name, "startTimeUnixNano",
                  fake_integer(fake_start_ns(fake, span)), "attributes", attributes);
    if (span->duration_ms > 0) {
        json_object_set_new(json, "durationNanos", fake_integer((int64_t)(span->duration_ms * 1e6)));
    }
    return json;
}

typedef struct fake_extent {
    int64_t start_ns, end_ns;
    const fake_span *root;
} fake_extent;

static fake_extent fake_extent_of(const fake_tempo *fake, const char *trace) {
    fake_extent extent = {INT64_MAX, 0, NULL};
    for (size_t i = 0; i < fake->n_spans; i++) {
        const fake_span *span = &fake->spans[i];
        if (strcmp(span->trace, trace) == 0 && fake_visible(fake, span) && !span->lost) {
            int64_t start = fake_start_ns(fake, span), end = fake_end_ns(fake, span);
            extent.start_ns = start < extent.start_ns ? start : extent.start_ns;
            extent.end_ns = end > extent.end_ns ? end : extent.end_ns;
            extent.root = span->parent[0] == '\0' ? span : extent.root;
        }
    }
    return extent;
}

static bool fake_matches(const fake_span *span, const fake_extent *extent, const char *q, bool counting) {
    double threshold = fake_threshold(q);
    bool slow = threshold >= 0 && (span->duration_ms * 1e6 > threshold ||
                                   (strstr(q, "traceDuration") != NULL && fake_entry(span) &&
                                    (double)(extent->end_ns - extent->start_ns) > threshold));
    return counting ? fake_entry(span)
                    : slow || (strstr(q, "status = error") != NULL && strcmp(span->status, "error") == 0);
}

/* One trace of a search answer; NULL when none of its spans matches. */
static json_t *fake_row(const fake_tempo *fake, const char *trace, const char *q, bool counting,
                        size_t spss) {
    fake_extent extent = fake_extent_of(fake, trace);
    bool by_span = strstr(q, "by(span:id)") != NULL;
    json_t *sets = json_array(), *spans = json_array();
    size_t matched = 0;
    for (size_t i = 0; i < fake->n_spans; i++) {
        const fake_span *span = &fake->spans[i];
        if (strcmp(span->trace, trace) != 0 || span->lost || !fake_visible(fake, span) ||
            !fake_matches(span, &extent, q, counting)) {
            continue;
        }
        json_t *json = fake_search_span(fake, span, !counting);
        matched++;
        if (by_span) {
            json_array_append_new(sets, json_pack("{s:[o], s:i}", "spans", json, "matched", 1));
        } else if (json_array_size(spans) < spss) {
            json_array_append_new(spans, json);
        } else {
            json_decref(json);
        }
    }
    if (matched > 0 && !by_span) {
        json_array_append_new(sets, json_pack("{s:O, s:i}", "spans", spans, "matched", (int)matched));
    }
    json_decref(spans);
    if (matched == 0) {
        json_decref(sets);
        return NULL;
    }
    while (*trace == '0') {
        trace++; /* as Tempo does */
    }
    json_t *row = json_pack("{s:s, s:s, s:o, s:o}", "traceID", trace, "rootServiceName",
                            extent.root != NULL ? extent.root->service : "<root span not yet received>",
                            "startTimeUnixNano", fake_integer(extent.start_ns), "spanSets", sets);
    if (extent.root != NULL) {
        json_object_set_new(row, "rootTraceName", json_string(extent.root->name));
    }
    int64_t ms = (extent.end_ns - extent.start_ns) / SW_NS_PER_MS;
    if (ms > 0) {
        json_object_set_new(row, "durationMs", json_integer(ms));
    }
    return row;
}

static void fake_search(sw_http_exchange *exchange, void *arg) {
    fake_tempo *fake = arg;
    const char *q = sw_http_query(exchange, "q");
    int64_t from = fake_number(exchange, "start"), to = fake_number(exchange, "end");
    size_t limit = (size_t)fake_number(exchange, "limit"), spss = (size_t)fake_number(exchange, "spss");
    bool counting = strstr(q, "select(resource.service.name, name, kind, status)") != NULL;
    fake->searches += !counting;
    fake->count_searches += counting;
    snprintf(fake->last_search, sizeof fake->last_search, "%s", q);
    if (fake_misbehaves(fake, exchange)) {
        return;
    }
    if (fake->old && (strstr(q, " with (") != NULL || strstr(q, "by(span:id)") != NULL)) {
        fake_reply(fake, exchange, 400, "text/plain", "invalid TraceQL query: parse error");
        return;
    }
    assert_true(from < to && limit <= 5000 && spss <= 100);
    json_t *traces = json_array();
    /* Newest first: spans are added in order of time. */
    for (size_t i = fake->n_spans; i-- > 0 && json_array_size(traces) < limit;) {
        const char *trace = fake->spans[i].trace;
        bool first = true;
        for (size_t k = i + 1; k < fake->n_spans; k++) {
            first = first && strcmp(fake->spans[k].trace, trace) != 0;
        }
        fake_extent extent = fake_extent_of(fake, trace);
        if (!first || extent.end_ns < from * SW_NS_PER_S || extent.start_ns > to * SW_NS_PER_S) {
            continue;
        }
        json_t *row = fake_row(fake, trace, q, counting, spss);
        if (row != NULL) {
            json_array_append_new(traces, row);
        }
    }
    fake_reply_json(fake, exchange, json_pack("{s:o, s:{}}", "traces", traces, "metrics"));
}

/* ---- metrics ---- */

static bool fake_cannot_count(const fake_tempo *fake, sw_http_exchange *exchange) {
    if (fake->no_metrics) {
        fake_reply(fake, exchange, 500, "text/plain", "error finding generators: empty ring");
    } else if (fake->empty_metrics) {
        bool range = strstr(sw_http_path(exchange), "range") != NULL;
        fake_reply(fake, exchange, 200, "application/json",
                   range ? "{\"series\":[],\"metrics\":{}}" : "{\"metrics\":{\"completedJobs\":1}}");
    }
    return fake->no_metrics || fake->empty_metrics;
}

/* The upper edge of a duration's bucket in seconds; 0 for spans that a histogram leaves out. */
static double fake_edge(double duration_ms, bool histogram) {
    double edge = 1;
    while (edge < duration_ms * 1e6) {
        edge *= 2;
    }
    return histogram ? edge / 1e9 : 0;
}

typedef struct fake_group {
    const fake_span *like;
    double edge;
    double counts[64];
} fake_group;

static json_t *fake_series(const fake_tempo *fake, const fake_group *group, int64_t from, int64_t n,
                           int64_t step) {
    json_t *labels = json_array(), *samples = json_array();
    const char *service = group->like->service[0] != '\0' ? group->like->service : "nil";
    json_array_append_new(labels, fake_pair("resource.service.name", service));
    json_array_append_new(labels, fake_pair("name", group->like->name));
    json_array_append_new(labels, fake_pair("status", group->like->status));
    if (group->edge > 0) {
        json_array_append_new(
            labels, json_pack("{s:s, s:{s:f}}", "key", "__bucket", "value", "doubleValue", group->edge));
    }
    for (int64_t i = 0; i < n; i++) {
        json_t *sample = json_pack("{s:o}", "timestampMs", fake_integer((from + i * step) * 1000));
        if (group->counts[i] > 0) {
            json_object_set_new(sample, "value", json_real(group->counts[i]));
        }
        json_array_append_new(samples, sample);
    }
    (void)fake;
    return json_pack("{s:o, s:o}", "labels", labels, "samples", samples);
}

static void fake_range(sw_http_exchange *exchange, void *arg) {
    fake_tempo *fake = arg;
    const char *q = sw_http_query(exchange, "q");
    int64_t from = fake_number(exchange, "start"), to = fake_number(exchange, "end");
    int64_t step = fake_number(exchange, "step");
    bool histogram = strstr(q, "histogram_over_time") != NULL;
    fake->ranges++;
    snprintf(fake->last_range, sizeof fake->last_range, "%s", q);
    if (fake_misbehaves(fake, exchange) || fake_cannot_count(fake, exchange)) {
        return;
    }
    if (fake->old && strstr(q, " with (") != NULL) {
        fake_reply(fake, exchange, 400, "text/plain", "parse error at line 1: syntax error");
        return;
    }
    if (fake->cutoff_s > 0 && to > fake_server_s(fake) - fake->cutoff_s) {
        to = (fake_server_s(fake) - fake->cutoff_s) / step * step;
    }
    assert_true(from % step == 0 && to % step == 0);
    int64_t n = (to - from) / step + 1;
    assert_true(n <= 64);
    static fake_group groups[200];
    size_t n_groups = 0;
    for (size_t i = 0; i < fake->n_spans; i++) {
        const fake_span *span = &fake->spans[i];
        int64_t second = fake_start_ns(fake, span) / SW_NS_PER_S;
        int64_t slot = (second - from + step) / step - (fake->left_edges ? 1 : 0);
        bool asked = fake->left_edges ? second >= from && second < to : second >= from - step && second < to;
        if (!fake_visible(fake, span) || !fake_entry(span) || !asked) {
            continue;
        }
        double edge = fake_edge(span->duration_ms, histogram);
        fake_group *group = NULL;
        for (size_t g = 0; g < n_groups; g++) {
            const fake_span *like = groups[g].like;
            if (strcmp(like->service, span->service) == 0 && strcmp(like->name, span->name) == 0 &&
                strcmp(like->status, span->status) == 0 && groups[g].edge == edge) {
                group = &groups[g];
            }
        }
        if (group == NULL) {
            assert_true(n_groups < SW_ARRAY_LEN(groups));
            group = &groups[n_groups++];
            *group = (fake_group){.like = span, .edge = edge};
        }
        group->counts[slot]++;
    }
    json_t *series = json_array();
    for (size_t g = 0; g < n_groups; g++) {
        json_array_append_new(series, fake_series(fake, &groups[g], from, n, step));
    }
    json_t *answer = json_pack("{s:o, s:{}}", "series", series, "metrics");
    if (fake->partial && (histogram || n > 3)) {
        json_object_set_new(answer, "status", json_string("PARTIAL"));
        json_object_set_new(answer, "message", json_string("Response exceeds maximum series limit"));
    }
    fake_reply_json(fake, exchange, answer);
}

static json_t *fake_sweep_series(const fake_span *span) {
    const char *trace = span->trace;
    while (*trace == '0') {
        trace++;
    }
    json_t *labels = json_array();
    json_array_append_new(labels, fake_pair("trace:id", trace));
    json_array_append_new(labels, fake_pair("span:id", span->id));
    json_array_append_new(labels, fake_pair("resource.service.name", span->service));
    json_array_append_new(labels, fake_pair("name", span->name));
    json_array_append_new(labels, fake_pair("status", span->status));
    return json_pack("{s:o, s:f}", "labels", labels, "value", span->duration_ms / 1e3);
}

static void fake_instant(sw_http_exchange *exchange, void *arg) {
    fake_tempo *fake = arg;
    const char *q = sw_http_query(exchange, "q");
    int64_t from = fake_number(exchange, "start"), to = fake_number(exchange, "end");
    bool sweep = strstr(q, "trace:id") != NULL;
    fake->sweeps += sweep;
    fake->probes += !sweep && strcmp(q, "{} | count_over_time()") == 0;
    fake->instants++;
    if (fake_misbehaves(fake, exchange) || fake_cannot_count(fake, exchange)) {
        return;
    }
    double threshold = fake_threshold(q);
    json_t *series = json_array();
    int n = 0;
    for (size_t i = 0; i < fake->n_spans; i++) {
        const fake_span *span = &fake->spans[i];
        int64_t start = fake_start_ns(fake, span);
        if (!fake_visible(fake, span) || start < from * SW_NS_PER_S || start >= to * SW_NS_PER_S) {
            continue;
        }
        n++;
        bool slow = threshold >= 0 && span->duration_ms * 1e6 > threshold;
        if (sweep && (slow || strcmp(span->status, "error") == 0)) {
            json_array_append_new(series, fake_sweep_series(span));
        }
    }
    if (!sweep) {
        json_array_append_new(series, json_pack("{s:[o], s:i}", "labels",
                                                fake_pair("__name__", "count_over_time"), "value", n));
    }
    fake_reply_json(fake, exchange, json_pack("{s:o}", "series", series));
}

/* ---- by id ---- */

static json_t *fake_base64(const char *hex) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char bytes[16] = {0};
    size_t n = strlen(hex) / 2, len = 0;
    char out[32];
    for (size_t i = 0; i < n; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        bytes[i] = (unsigned char)byte;
    }
    for (size_t i = 0; i < n; i += 3) {
        unsigned long group = (unsigned long)bytes[i] << 16 |
                              (i + 1 < n ? (unsigned long)bytes[i + 1] << 8 : 0) |
                              (i + 2 < n ? bytes[i + 2] : 0);
        out[len++] = digits[group >> 18 & 63];
        out[len++] = digits[group >> 12 & 63];
        out[len++] = i + 1 < n ? digits[group >> 6 & 63] : '=';
        out[len++] = i + 2 < n ? digits[group & 63] : '=';
    }
    return json_stringn(out, len);
}

static json_t *fake_otlp_span(const fake_tempo *fake, const fake_span *span) {
    char kind[32] = "SPAN_KIND_";
    for (size_t i = 0; span->kind[i] != '\0'; i++) {
        size_t len = strlen(kind);
        kind[len] = (char)(span->kind[i] - 'a' + 'A');
        kind[len + 1] = '\0';
    }
    json_t *json = json_pack("{s:o, s:o, s:s, s:s, s:o, s:o}", "traceId", fake_base64(span->trace), "spanId",
                             fake_base64(span->id), "name", span->name, "kind", kind, "startTimeUnixNano",
                             fake_integer(fake_start_ns(fake, span)), "endTimeUnixNano",
                             fake_integer(fake_end_ns(fake, span)));
    if (span->parent[0] != '\0') {
        json_object_set_new(json, "parentSpanId", fake_base64(span->parent));
    }
    bool error = strcmp(span->status, "error") == 0;
    json_object_set_new(json, "status",
                        error ? json_pack("{s:s, s:s}", "code", "STATUS_CODE_ERROR", "message", span->message)
                              : json_object());
    return json;
}

static json_t *fake_batches(const fake_tempo *fake, const char *path) {
    const char *id = strrchr(path, '/') + 1;
    json_t *batches = json_array();
    for (size_t i = 0; i < fake->n_spans; i++) {
        const fake_span *span = &fake->spans[i];
        if (strcmp(span->trace, id) == 0 && fake_visible(fake, span)) {
            json_array_append_new(batches, json_pack("{s:{s:[o]}, s:[{s:[o]}]}", "resource", "attributes",
                                                     fake_pair("service.name", span->service), "scopeSpans",
                                                     "spans", fake_otlp_span(fake, span)));
        }
    }
    return batches;
}

static void fake_trace_v2(sw_http_exchange *exchange, void *arg) {
    fake_tempo *fake = arg;
    fake->by_id++;
    if (fake_misbehaves(fake, exchange)) {
        return;
    }
    if (fake->old) {
        fake_reply(fake, exchange, 404, "text/plain", "404 page not found");
        return;
    }
    json_t *batches = fake_batches(fake, sw_http_path(exchange));
    json_t *trace =
        json_array_size(batches) > 0 ? json_pack("{s:O}", "resourceSpans", batches) : json_object();
    json_decref(batches);
    fake_reply_json(fake, exchange, json_pack("{s:o, s:{}}", "trace", trace, "metrics"));
}

static void fake_trace_v1(sw_http_exchange *exchange, void *arg) {
    fake_tempo *fake = arg;
    fake->by_id++;
    if (fake_misbehaves(fake, exchange)) {
        return;
    }
    json_t *batches = fake_batches(fake, sw_http_path(exchange));
    if (json_array_size(batches) == 0) {
        json_decref(batches);
        fake_reply(fake, exchange, 404, "text/plain", "");
    } else {
        fake_reply_json(fake, exchange, json_pack("{s:o}", "batches", batches));
    }
}

/* ---- the source under test ---- */

static int64_t fake_wall(void *arg) {
    const fake_tempo *fake = arg;
    return FAKE_START_S * SW_NS_PER_S + fake->now_ns + fake->wall_skew_ns;
}

static int64_t fake_mono(void *arg) {
    const fake_tempo *fake = arg;
    return 1000 * SW_NS_PER_S + fake->now_ns;
}

static void fake_logged(const char *line, void *arg) {
    fake_tempo *fake = arg;
    size_t len = strlen(fake->log);
    snprintf(fake->log + len, sizeof fake->log - len, "%s", line);
}

/* Begins at FAKE_START_S + 600 s. Options may be changed before fake_source(). */
static fake_tempo *fake_new(void) {
    fake_tempo *fake = xcalloc(1, sizeof *fake);
    assert_int_equal(uv_loop_init(&fake->loop), 0);
    fake->now_ns = 600 * SW_NS_PER_S;
    fake->clock = (sw_clock){fake_wall, fake_mono, fake};
    sw_log_set_sink(fake_logged, fake);
    char *error = NULL;
    fake->server =
        sw_http_server_new(&fake->loop, &(sw_http_server_options){.address = "127.0.0.1:0"}, &error);
    assert_non_null(fake->server);
    static const char *const prefixes[] = {"", "/prefix"};
    for (size_t i = 0; i < SW_ARRAY_LEN(prefixes); i++) {
        char path[100];
        snprintf(path, sizeof path, "%s/api/search", prefixes[i]);
        sw_http_server_route(fake->server, "GET", path, fake_search, fake);
        snprintf(path, sizeof path, "%s/api/metrics/query_range", prefixes[i]);
        sw_http_server_route(fake->server, "GET", path, fake_range, fake);
    }
    sw_http_server_route(fake->server, "GET", "/api/metrics/query", fake_instant, fake);
    sw_http_server_route(fake->server, "GET", "/api/v2/traces/", fake_trace_v2, fake);
    sw_http_server_route(fake->server, "GET", "/api/traces/", fake_trace_v1, fake);
    fake->http = sw_http_client_new(&fake->loop);
    fake->metrics = sw_metrics_new();
    fake->options = (sw_tempo_options){
        .step_s = 30,
        .lookback_s = 60,
        .settle_s = 35,
        .max_catch_up_s = 3600,
        .interval_s = 30,
        .query_timeout_ms = 5000,
        .query_timeout_max_ms = 20000,
        .search_limit = 500,
        .max_extra_queries = 12,
        .max_body = 1 << 20,
        .retry_pause_ms = 1,
    };
    return fake;
}

static void fake_source_at(fake_tempo *fake, const char *prefix) {
    char url[200];
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", sw_http_server_port(fake->server), prefix);
    fake->options.url = url;
    fake->source = sw_tempo_new(&fake->loop, &fake->clock, fake->http, fake->metrics, &fake->options);
}

static void fake_source(fake_tempo *fake) {
    fake_source_at(fake, "/");
}

static void fake_drop_source(fake_tempo *fake) {
    fake->source->ops->free(fake->source);
    fake->source = NULL;
}

static void fake_free(fake_tempo *fake) {
    if (fake->source != NULL) {
        fake_drop_source(fake);
    }
    sw_http_client_free(fake->http);
    for (size_t i = 0; i < fake->n_hung; i++) {
        sw_http_reply(fake->hung[i], 503, "text/plain", "", 0);
    }
    sw_http_server_free(fake->server);
    uv_run(&fake->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fake->loop), 0);
    sw_metrics_free(fake->metrics);
    sw_log_set_sink(NULL, NULL);
    free(fake);
}

static void fake_polled(const sw_poll_result *result, void *arg) {
    fake_tempo *fake = arg;
    assert_false(fake->polled);
    fake->polled = true;
    fake->result = *result;
    snprintf(fake->counts_reason, sizeof fake->counts_reason, "%s", result->counts_reason);
    snprintf(fake->traces_reason, sizeof fake->traces_reason, "%s", result->traces_reason);
}

static const sw_wants fake_all = {.min_duration_ms = 1000, .errors = true, .series = true};

static void fake_poll_for(fake_tempo *fake, const sw_wants *wants) {
    fake->polled = false;
    fake->asked = fake->searches = fake->count_searches = fake->ranges = fake->instants = 0;
    fake->sweeps = fake->probes = fake->by_id = 0;
    fake->log[0] = '\0';
    fake->source->ops->poll(fake->source, wants, fake_polled, fake);
    assert_false(fake->polled);
    while (!fake->polled) {
        uv_run(&fake->loop, UV_RUN_ONCE);
    }
}

static void fake_poll(fake_tempo *fake) {
    fake_poll_for(fake, &fake_all);
}

/* Lets `seconds` pass, and polls. */
static void fake_poll_after(fake_tempo *fake, double seconds) {
    fake->now_ns += (int64_t)(seconds * 1e9);
    fake_poll(fake);
}

/* Seconds from FAKE_START_S, by the server's clock. */
static int64_t fake_s(const fake_tempo *fake, int64_t at_s) {
    return FAKE_START_S + fake->server_skew_s + at_s;
}

/* Count and errors of all series of [from_s, to_s), from FAKE_START_S. */
static void fake_counts(const fake_tempo *fake, int64_t from_s, int64_t to_s, double *count, double *errors) {
    sw_window window;
    sw_window_init(&window);
    fake->source->ops->build_window(fake->source, fake_s(fake, from_s), fake_s(fake, to_s), &window);
    *count = *errors = 0;
    for (size_t i = 0; i < window.n_series; i++) {
        *count += window.series[i].count;
        *errors += window.series[i].errors;
    }
    sw_window_release(&window);
}

static void fake_assert_counts(const fake_tempo *fake, int64_t from_s, int64_t to_s, int count, int errors) {
    double got = 0, failed = 0;
    fake_counts(fake, from_s, to_s, &got, &failed);
    assert_int_equal(got, count);
    assert_int_equal(failed, errors);
}

static const sw_trace *fake_find(const fake_tempo *fake, const char *id) {
    size_t n = 0;
    const sw_trace *const *traces = fake->source->ops->traces(fake->source, &n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(traces[i]->id, id) == 0) {
            return traces[i];
        }
    }
    return NULL;
}

static size_t fake_n_traces(const fake_tempo *fake) {
    size_t n = 0;
    fake->source->ops->traces(fake->source, &n);
    return n;
}

static void fake_assert_whole(const fake_tempo *fake) {
    assert_string_equal(fake->counts_reason, "");
    assert_string_equal(fake->traces_reason, "");
    assert_true(fake->result.counts_ok && fake->result.traces_ok && fake->result.reachable);
}

static void fake_rule_add(fake_tempo *fake, fake_rule rule) {
    assert_true(fake->n_rules < FAKE_MAX_RULES);
    fake->rules[fake->n_rules++] = rule;
}

/* Steady traffic: one ordinary request every `every_s` seconds of [from_s, to_s), seen at once. */
static void fake_traffic(fake_tempo *fake, double from_s, double to_s, double every_s) {
    static char ids[FAKE_MAX_SPANS][SW_TRACE_ID_LEN + 1], spans[FAKE_MAX_SPANS][SW_SPAN_ID_LEN + 1];
    for (double at = from_s; at < to_s; at += every_s) {
        size_t n = fake->n_spans;
        snprintf(ids[n], sizeof ids[n], "%032zx", n + 0x1000);
        snprintf(spans[n], sizeof spans[n], "%016zx", n + 0x1000);
        fake_add(fake, (fake_span){
                           .trace = ids[n], .id = spans[n], .at_s = at, .duration_ms = 20, .visible_s = at});
    }
}

#endif
