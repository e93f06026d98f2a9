#include "sources/tempo/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_ROOT_YET "<root span not yet received>"

static bool refuse(char why[SW_JSON_WHY], const char *what) {
    snprintf(why, SW_JSON_WHY, "%s", what);
    return false;
}

static sw_status status_of(const char *text) {
    return strcmp(text, "error") == 0 ? SW_STATUS_ERROR
           : strcmp(text, "ok") == 0  ? SW_STATUS_OK
                                      : SW_STATUS_UNSET;
}

static sw_span_kind kind_of(const char *text) {
    for (unsigned kind = SW_KIND_INTERNAL; kind <= SW_KIND_CONSUMER; kind++) {
        if (strcmp(text, sw_span_kind_name((sw_span_kind)kind)) == 0) {
            return (sw_span_kind)kind;
        }
    }
    return SW_KIND_UNSPECIFIED;
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const sw_attribute *)a)->key, ((const sw_attribute *)b)->key);
}

/* An attribute that has no field of its own. */
static void add_attribute(sw_span *span, const char *key, const json_t *value) {
    span->attributes = xrealloc_array(span->attributes, span->n_attributes + 1, sizeof *span->attributes);
    span->attributes[span->n_attributes++] = (sw_attribute){xstrdup(key), tempo_any_value_text(value)};
}

/* Keys come without their scope, and in another order each time. */
static void read_attributes(const json_t *list, sw_span *span, bool *root) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const char *key = sw_json_peek(item, "key");
        const json_t *value = json_object_get(item, "value");
        const char *text = sw_json_peek(value, "stringValue");
        int64_t number = 0;
        if (strcmp(key, "service.name") == 0) {
            free(span->service);
            span->service = sw_json_member_text(value, "stringValue");
        } else if (strcmp(key, "status") == 0) {
            span->status = status_of(text);
        } else if (strcmp(key, "statusMessage") == 0) {
            free(span->status_message);
            span->status_message = sw_json_member_text(value, "stringValue");
        } else if (strcmp(key, "kind") == 0) {
            span->kind = kind_of(text);
        } else if (strcmp(key, "nestedSetParent") == 0) {
            *root = sw_json_int(json_object_get(value, "intValue"), &number) && number < 0;
        } else if (key[0] != '\0' && strcmp(key, "name") != 0) {
            add_attribute(span, key, value);
        }
    }
    if (span->n_attributes > 1) {
        qsort(span->attributes, span->n_attributes, sizeof *span->attributes, by_key);
    }
}

static bool has_span(const tempo_row *row, const char *id) {
    for (size_t i = 0; i < row->trace.n_spans; i++) {
        if (strcmp(row->trace.spans[i].id, id) == 0) {
            return true;
        }
    }
    return false;
}

static bool read_span(const json_t *json, tempo_row *row, char why[SW_JSON_WHY]) {
    char id[SW_SPAN_ID_LEN + 1];
    if (!tempo_hex_id(sw_json_peek(json, "spanID"), SW_SPAN_ID_LEN, id)) {
        return refuse(why, "a span without a hexadecimal spanID");
    }
    if (has_span(row, id)) {
        return true;
    }
    sw_span *span = tempo_row_add_span(row);
    memcpy(span->id, id, sizeof id);
    span->name = sw_json_member_text(json, "name");
    span->duration_ns = 0;
    sw_json_int(json_object_get(json, "startTimeUnixNano"), &span->start_ns);
    sw_json_int(json_object_get(json, "durationNanos"), &span->duration_ns);
    span->duration_ns = span->duration_ns < 0 ? 0 : span->duration_ns;
    read_attributes(json_object_get(json, "attributes"), span, &row->roots[row->trace.n_spans - 1]);
    if (span->service == NULL || span->service[0] == '\0') {
        free(span->service);
        span->service = xstrdup(TEMPO_UNKNOWN_SERVICE);
    }
    if (span->status_message == NULL) {
        span->status_message = xstrdup("");
    }
    return true;
}

static bool read_span_set(const json_t *set, tempo_row *row, char why[SW_JSON_WHY]) {
    const json_t *spans = json_object_get(set, "spans");
    if (!json_is_object(set) || (spans != NULL && !json_is_array(spans))) {
        return refuse(why, "a span set that is none");
    }
    for (size_t i = 0; i < json_array_size(spans); i++) {
        if (!read_span(json_array_get(spans, i), row, why)) {
            return false;
        }
    }
    int64_t matched = 0;
    sw_json_int(json_object_get(set, "matched"), &matched);
    row->trace.n_matched += matched > 0 ? (uint64_t)matched : json_array_size(spans);
    return true;
}

static bool read_span_sets(const json_t *json, tempo_row *row, char why[SW_JSON_WHY]) {
    const json_t *sets = json_object_get(json, "spanSets");
    if (json_array_size(sets) == 0) {
        const json_t *set = json_object_get(json, "spanSet");
        return set == NULL || read_span_set(set, row, why);
    }
    for (size_t i = 0; i < json_array_size(sets); i++) {
        if (!read_span_set(json_array_get(sets, i), row, why)) {
            return false;
        }
    }
    return true;
}

/* A root whose service has no name is called like one that has not come; but then it has a name itself, or
 * one of the spans is known to be the root. */
static void read_root(const json_t *json, tempo_row *row) {
    sw_trace *trace = &row->trace;
    const char *service = sw_json_peek(json, "rootServiceName");
    bool named = service[0] != '\0' && strcmp(service, NO_ROOT_YET) != 0;
    const char *operation = sw_json_peek(json, "rootTraceName");
    trace->root_known = named || (operation[0] != '\0' && strcmp(operation, NO_ROOT_YET) != 0);
    trace->service = named ? sw_json_member_text(json, "rootServiceName") : xstrdup("");
    trace->operation = trace->root_known ? sw_json_member_text(json, "rootTraceName") : xstrdup("");
    for (size_t i = 0; i < trace->n_spans && !trace->root_known; i++) {
        if (row->roots[i]) {
            trace->root_known = true;
            free(trace->service);
            free(trace->operation);
            trace->service = xstrdup(trace->spans[i].service);
            trace->operation = xstrdup(trace->spans[i].name);
        }
    }
    if (trace->root_known && trace->service[0] == '\0') {
        free(trace->service);
        trace->service = xstrdup(TEMPO_UNKNOWN_SERVICE);
    }
}

static bool read_trace(const json_t *json, tempo_row *row, char why[SW_JSON_WHY]) {
    sw_trace *trace = &row->trace;
    if (!json_is_object(json) || !tempo_hex_id(sw_json_peek(json, "traceID"), SW_TRACE_ID_LEN, trace->id)) {
        return refuse(why, "a trace without a hexadecimal traceID");
    }
    if (!read_span_sets(json, row, why)) {
        return false;
    }
    int64_t duration_ms = 0;
    sw_json_int(json_object_get(json, "startTimeUnixNano"), &trace->start_ns);
    sw_json_int(json_object_get(json, "durationMs"), &duration_ms);
    trace->duration_ms = duration_ms > 0 ? (double)duration_ms : 0;
    read_root(json, row);
    return true;
}

bool tempo_decode_search(const char *text, size_t len, tempo_row *row, char why[SW_JSON_WHY]) {
    *row = (tempo_row){0};
    json_t *json = sw_json_parse(text, len, why);
    bool ok = json != NULL && read_trace(json, row, why);
    json_decref(json);
    if (!ok) {
        tempo_row_release(row);
    }
    return ok;
}
