#include "sources/tempo/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool refuse(char why[SW_JSON_WHY], const char *what) {
    snprintf(why, SW_JSON_WHY, "%s", what);
    return false;
}

/* Enumerations come as names, older servers sent numbers. */
static sw_span_kind kind_of(const json_t *value) {
    static const char *const names[] = {"SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER",
                                        "SPAN_KIND_CLIENT",      "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER"};
    int64_t number = 0;
    if (sw_json_int(value, &number)) {
        return number >= 0 && number <= SW_KIND_CONSUMER ? (sw_span_kind)number : SW_KIND_UNSPECIFIED;
    }
    const char *text = json_string_value(value);
    for (size_t i = 0; text != NULL && i < SW_ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            return (sw_span_kind)i;
        }
    }
    return SW_KIND_UNSPECIFIED;
}

static sw_status status_of(const json_t *value) {
    int64_t number = 0;
    if (sw_json_int(value, &number)) {
        return number == 2 ? SW_STATUS_ERROR : number == 1 ? SW_STATUS_OK : SW_STATUS_UNSET;
    }
    const char *text = json_string_value(value);
    return text == NULL                             ? SW_STATUS_UNSET
           : strcmp(text, "STATUS_CODE_ERROR") == 0 ? SW_STATUS_ERROR
           : strcmp(text, "STATUS_CODE_OK") == 0    ? SW_STATUS_OK
                                                    : SW_STATUS_UNSET;
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const sw_attribute *)a)->key, ((const sw_attribute *)b)->key);
}

static void read_attributes(const json_t *list, sw_span *span) {
    size_t n = json_array_size(list);
    span->attributes = n > 0 ? xcalloc(n, sizeof *span->attributes) : NULL;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        span->attributes[span->n_attributes++] = (sw_attribute){
            sw_json_member_text(item, "key"), tempo_any_value_text(json_object_get(item, "value"))};
    }
    if (n > 1) {
        qsort(span->attributes, n, sizeof *span->attributes, by_key);
    }
}

/* The last exception event is what became of the span (OpenTelemetry's semantic conventions): its attributes
 * exception.* are shown as the span's own, where that has none. */
static const json_t *exception_of(const json_t *span) {
    const json_t *events = json_object_get(span, "events");
    for (size_t i = json_array_size(events); i-- > 0;) {
        const json_t *event = json_array_get(events, i);
        if (strcmp(sw_json_peek(event, "name"), "exception") == 0) {
            return json_object_get(event, "attributes");
        }
    }
    return NULL;
}

static bool has_attribute(const json_t *list, const char *key) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (strcmp(sw_json_peek(json_array_get(list, i), "key"), key) == 0) {
            return true;
        }
    }
    return false;
}

/* The list to read: the span's attributes, with those of its exception. Caller releases. */
static json_t *attributes_of(const json_t *span) {
    const json_t *own = json_object_get(span, "attributes"), *exception = exception_of(span);
    json_t *all = json_is_array(own) ? json_copy((json_t *)own) : json_array();
    for (size_t i = 0; i < json_array_size(exception); i++) {
        json_t *item = json_array_get(exception, i);
        const char *key = sw_json_peek(item, "key");
        if (strncmp(key, "exception.", strlen("exception.")) == 0 && !has_attribute(all, key)) {
            json_array_append(all, item);
        }
    }
    return all;
}

static char *service_of(const json_t *batch) {
    const json_t *list = json_object_get(json_object_get(batch, "resource"), "attributes");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (strcmp(sw_json_peek(item, "key"), "service.name") == 0) {
            char *name = tempo_any_value_text(json_object_get(item, "value"));
            if (name[0] != '\0') {
                return name;
            }
            free(name);
        }
    }
    return xstrdup(TEMPO_UNKNOWN_SERVICE);
}

static bool read_span(const json_t *json, const char *service, tempo_row *row, char why[SW_JSON_WHY]) {
    char id[SW_SPAN_ID_LEN + 1];
    if (!tempo_base64_id(sw_json_peek(json, "spanId"), SW_SPAN_ID_LEN / 2, id)) {
        return refuse(why, "a span without spanId");
    }
    sw_span *span = tempo_row_add_span(row);
    memcpy(span->id, id, sizeof id);
    const char *parent = sw_json_peek(json, "parentSpanId");
    bool root = !tempo_base64_id(parent, SW_SPAN_ID_LEN / 2, span->parent_id) ||
                strcmp(span->parent_id, "0000000000000000") == 0;
    if (root) {
        span->parent_id[0] = '\0';
    }
    row->roots[row->trace.n_spans - 1] = root;
    span->service = xstrdup(service);
    span->name = sw_json_member_text(json, "name");
    span->kind = kind_of(json_object_get(json, "kind"));
    const json_t *status = json_object_get(json, "status");
    span->status = status_of(json_object_get(status, "code"));
    span->status_message = sw_json_member_text(status, "message");
    int64_t end_ns = 0;
    sw_json_int(json_object_get(json, "startTimeUnixNano"), &span->start_ns);
    sw_json_int(json_object_get(json, "endTimeUnixNano"), &end_ns);
    span->start_ns = span->start_ns < 0 ? 0 : span->start_ns;
    span->duration_ns = end_ns > span->start_ns ? end_ns - span->start_ns : 0;
    json_t *attributes = attributes_of(json);
    read_attributes(attributes, span);
    json_decref(attributes);
    return true;
}

static bool read_batch(const json_t *batch, size_t max_spans, tempo_row *row, char why[SW_JSON_WHY]) {
    const json_t *scopes = json_object_get(batch, "scopeSpans");
    if (scopes == NULL) {
        scopes = json_object_get(batch, "instrumentationLibrarySpans");
    }
    if (!json_is_object(batch) || (scopes != NULL && !json_is_array(scopes))) {
        return refuse(why, "a batch of spans that is none");
    }
    char *service = service_of(batch);
    bool ok = true;
    for (size_t i = 0; ok && i < json_array_size(scopes); i++) {
        const json_t *spans = json_object_get(json_array_get(scopes, i), "spans");
        for (size_t k = 0; ok && k < json_array_size(spans); k++) {
            ok = row->trace.n_spans < max_spans ? read_span(json_array_get(spans, k), service, row, why)
                                                : refuse(why, "the trace has too many spans");
        }
    }
    free(service);
    return ok;
}

bool tempo_decode_batch(const char *text, size_t len, size_t max_spans, tempo_row *row,
                        char why[SW_JSON_WHY]) {
    json_t *batch = sw_json_parse(text, len, why);
    bool ok = batch != NULL && read_batch(batch, max_spans, row, why);
    json_decref(batch);
    return ok;
}

void tempo_finish_batches(tempo_row *row) {
    sw_trace *trace = &row->trace;
    int64_t end_ns = 0;
    const sw_span *root = NULL;
    for (size_t i = 0; i < trace->n_spans; i++) {
        const sw_span *span = &trace->spans[i];
        trace->start_ns = i == 0 || span->start_ns < trace->start_ns ? span->start_ns : trace->start_ns;
        int64_t span_end =
            span->start_ns > INT64_MAX - span->duration_ns ? INT64_MAX : span->start_ns + span->duration_ns;
        end_ns = span_end > end_ns ? span_end : end_ns;
        if (row->roots[i] && (root == NULL || span->start_ns < root->start_ns)) {
            root = span;
        }
    }
    trace->duration_ms = trace->n_spans > 0 ? (double)(end_ns - trace->start_ns) / 1e6 : 0;
    trace->n_matched = trace->n_spans;
    trace->root_known = root != NULL;
    free(trace->service);
    free(trace->operation);
    trace->service = xstrdup(root != NULL ? root->service : "");
    trace->operation = xstrdup(root != NULL ? root->name : "");
    row->by_id = true;
}
