#include "sources/window.h"

#include <stdlib.h>
#include <string.h>

const char *sw_status_name(sw_status status) {
    static const char *const names[] = {"unset", "ok", "error"};
    return (unsigned)status < SW_ARRAY_LEN(names) ? names[status] : names[SW_STATUS_UNSET];
}

const char *sw_span_kind_name(sw_span_kind kind) {
    static const char *const names[] = {"unspecified", "internal", "server",
                                        "client",      "producer", "consumer"};
    return (unsigned)kind < SW_ARRAY_LEN(names) ? names[kind] : names[SW_KIND_UNSPECIFIED];
}

bool sw_trace_id_read(const char *text, char id[SW_TRACE_ID_LEN + 1]) {
    size_t len = strlen(text);
    if (len == 0 || len > SW_TRACE_ID_LEN || strspn(text, "0123456789abcdefABCDEF") != len) {
        return false;
    }
    memset(id, '0', SW_TRACE_ID_LEN - len);
    for (size_t i = 0; i <= len; i++) {
        char c = text[i];
        id[SW_TRACE_ID_LEN - len + i] = (char)(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
    }
    return true;
}

void sw_span_release(sw_span *span) {
    for (size_t i = 0; i < span->n_attributes; i++) {
        free(span->attributes[i].key);
        free(span->attributes[i].value);
    }
    free(span->attributes);
    free(span->service);
    free(span->name);
    free(span->status_message);
    *span = (sw_span){0};
}

void sw_trace_release(sw_trace *trace) {
    for (size_t i = 0; i < trace->n_spans; i++) {
        sw_span_release(&trace->spans[i]);
    }
    free(trace->spans);
    free(trace->service);
    free(trace->operation);
    free(trace->error_message);
    *trace = (sw_trace){0};
}

static void copy_span(sw_span *to, const sw_span *from) {
    *to = *from;
    to->service = xstrdup(from->service);
    to->name = xstrdup(from->name);
    to->status_message = xstrdup(from->status_message);
    to->attributes = from->n_attributes > 0 ? xcalloc(from->n_attributes, sizeof *to->attributes) : NULL;
    for (size_t i = 0; i < from->n_attributes; i++) {
        to->attributes[i].key = xstrdup(from->attributes[i].key);
        to->attributes[i].value = xstrdup(from->attributes[i].value);
    }
}

void sw_trace_copy(sw_trace *to, const sw_trace *from) {
    *to = *from;
    to->service = xstrdup(from->service);
    to->operation = xstrdup(from->operation);
    to->error_message = xstrdup(from->error_message);
    to->spans = from->n_spans > 0 ? xcalloc(from->n_spans, sizeof *to->spans) : NULL;
    for (size_t i = 0; i < from->n_spans; i++) {
        copy_span(&to->spans[i], &from->spans[i]);
    }
}

void sw_series_release(sw_series *series) {
    free(series->service);
    free(series->operation);
    free(series->buckets);
    *series = (sw_series){0};
}

void sw_window_init(sw_window *window) {
    *window = (sw_window){.source = "", .reason = xstrdup("")};
}

void sw_window_release(sw_window *window) {
    for (size_t i = 0; i < window->n_traces; i++) {
        sw_trace_release(&window->traces[i]);
    }
    for (size_t i = 0; i < window->n_series; i++) {
        sw_series_release(&window->series[i]);
    }
    free(window->traces);
    free(window->series);
    free(window->reason);
    *window = (sw_window){.source = ""};
}

/* Each text goes in with its length, so that "ab","c" and "a","bc" differ. */
static uint64_t hash_text(uint64_t seed, const char *text) {
    size_t len = text != NULL ? strlen(text) : 0;
    seed = sw_hash(seed, &len, sizeof len);
    return len > 0 ? sw_hash(seed, text, len) : seed;
}

static uint64_t hash_int(uint64_t seed, int64_t value) {
    return sw_hash(seed, &value, sizeof value);
}

static uint64_t hash_num(uint64_t seed, double value) {
    value = value == 0 ? 0 : value; /* -0.0 equals 0.0 */
    return sw_hash(seed, &value, sizeof value);
}

static uint64_t hash_span(uint64_t h, const sw_span *span) {
    h = hash_text(h, span->id);
    h = hash_text(h, span->parent_id);
    h = hash_text(h, span->service);
    h = hash_text(h, span->name);
    h = hash_int(h, span->kind);
    h = hash_int(h, span->status);
    h = hash_text(h, span->status_message);
    h = hash_int(h, span->start_ns);
    h = hash_int(h, span->duration_ns);
    h = hash_int(h, (int64_t)span->n_attributes);
    for (size_t i = 0; i < span->n_attributes; i++) {
        h = hash_text(h, span->attributes[i].key);
        h = hash_text(h, span->attributes[i].value);
    }
    return h;
}

/* A backend may answer spans in another order each time: their hashes are added, not chained. */
void sw_trace_update_digest(sw_trace *trace) {
    uint64_t h = hash_text(SW_HASH_SEED, trace->id);
    h = hash_text(h, trace->source);
    h = hash_int(h, trace->root_known);
    h = hash_text(h, trace->service);
    h = hash_text(h, trace->operation);
    h = hash_int(h, trace->start_ns);
    h = hash_num(h, trace->duration_ms);
    h = hash_int(h, trace->status);
    h = hash_text(h, trace->error_message);
    h = hash_int(h, (int64_t)trace->n_spans);
    h = hash_int(h, (int64_t)trace->n_matched);
    uint64_t spans = 0;
    for (size_t i = 0; i < trace->n_spans; i++) {
        spans += hash_span(SW_HASH_SEED, &trace->spans[i]);
    }
    trace->digest = sw_hash(h, &spans, sizeof spans);
}
