#include "detectors/findings_read.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detectors/convert.h"

/* ---- the window ---- */

static int by_id(const void *a, const void *b) {
    return strcmp(((const sw_trace *)a)->id, ((const sw_trace *)b)->id);
}

void sw_judged_window_release(sw_judged_window *judged) {
    for (size_t i = 0; i < judged->n_traces; i++) {
        sw_trace_release(&judged->traces[i]);
    }
    free(judged->traces);
    *judged = (sw_judged_window){0};
}

void sw_judged_window_copy(sw_judged_window *to, const sw_window *window, const size_t *chosen,
                           size_t n_chosen) {
    *to = (sw_judged_window){
        .source = window->source,
        .from_s = window->from_s,
        .to_s = window->to_s,
        .complete = window->complete,
        .estimated = window->estimated,
        .n_traces = n_chosen,
    };
    if (n_chosen == 0) {
        return;
    }
    to->traces = xcalloc(n_chosen, sizeof *to->traces);
    for (size_t i = 0; i < n_chosen; i++) {
        sw_trace_copy(&to->traces[i], &window->traces[chosen[i]]);
    }
    qsort(to->traces, n_chosen, sizeof *to->traces, by_id);
}

/* ---- values ---- */

typedef struct reader {
    const char *detector;
    const sw_judged_window *judged;
    size_t n_traces, n_spans; /* taken so far, all findings together */
    char *why;
} reader;

static int refuse(reader *r, const char *what) {
    if (r->why == NULL) {
        r->why = xstrdup(what);
    }
    return -1;
}

static bool is_text(const msgpack_object *object) {
    return object->type == MSGPACK_OBJECT_STR || object->type == MSGPACK_OBJECT_BIN;
}

/* *out stays NULL when the field is absent, or empty. */
static int read_text(reader *r, const msgpack_object *map, const char *key, char **out) {
    const msgpack_object *value = sw_map_get(map, key);
    if (value == NULL || value->type == MSGPACK_OBJECT_NIL) {
        return 0;
    }
    if (!is_text(value)) {
        char *what = xasprintf("%s is not text", key);
        refuse(r, what);
        free(what);
        return -1;
    }
    *out = sw_object_text(value, SW_FINDING_MAX_TEXT);
    if ((*out)[0] == '\0') {
        free(*out);
        *out = NULL;
    }
    return 0;
}

/* A number that is none (0/0) says nothing: it counts as absent. */
static int read_number(reader *r, const msgpack_object *map, const char *key, bool *has, double *out) {
    const msgpack_object *value = sw_map_get(map, key);
    *has = false;
    *out = 0;
    if (value == NULL || value->type == MSGPACK_OBJECT_NIL) {
        return 0;
    }
    double number = 0;
    if (!sw_map_num(map, key, &number)) {
        char *what = xasprintf("%s is not a number", key);
        refuse(r, what);
        free(what);
        return -1;
    }
    *has = isfinite(number);
    *out = *has ? number : 0;
    return 0;
}

static int read_count(reader *r, const msgpack_object *map, const char *key, bool *has, double *out) {
    int result = read_number(r, map, key, has, out);
    if (*has && *out < 0) {
        *has = false;
        *out = 0;
    }
    return result;
}

static int read_seconds(reader *r, const msgpack_object *map, const char *key, double *out) {
    bool has = false;
    int result = read_count(r, map, key, &has, out);
    *out = *out > SW_FINDING_MAX_SECONDS ? SW_FINDING_MAX_SECONDS : *out;
    return result;
}

static bool valid_type(const char *type) {
    if (!isalpha((unsigned char)type[0]) && type[0] != '_') {
        return false;
    }
    size_t len = strspn(type, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-");
    return type[len] == '\0' && len <= SW_FINDING_MAX_TYPE;
}

static int read_type(reader *r, const msgpack_object *map, sw_finding *out) {
    out->type = sw_map_str(map, "type", SW_FINDING_MAX_TYPE);
    if (out->type == NULL || !valid_type(out->type)) {
        return refuse(r,
                      "type must be text of letters, digits and _ . : - that begins with a letter or _, at "
                      "most 128 bytes");
    }
    return 0;
}

static int read_severity(reader *r, const msgpack_object *map, sw_finding *out) {
    out->severity = SW_SEVERITY_WARNING;
    const msgpack_object *value = sw_map_get(map, "severity");
    if (value == NULL || value->type == MSGPACK_OBJECT_NIL) {
        return 0;
    }
    char *name = sw_map_str(map, "severity", 32);
    int result = name == NULL ? -1 : sw_severity_parse(name, &out->severity);
    free(name);
    return result == 0 ? 0 : refuse(r, "severity must be info, warning or critical");
}

/* ---- labels ---- */

static int by_name(const void *a, const void *b) {
    return strcmp(((const sw_label *)a)->name, ((const sw_label *)b)->name);
}

static int read_labels(reader *r, const msgpack_object *map, sw_finding *out) {
    const msgpack_object *labels = sw_map_get(map, "labels");
    if (labels == NULL || labels->type == MSGPACK_OBJECT_NIL) {
        return 0;
    }
    if (labels->type != MSGPACK_OBJECT_MAP || labels->via.map.size > SW_FINDING_MAX_LABELS) {
        return refuse(r, "labels must be a table of at most 32 texts by name");
    }
    out->labels = xcalloc(labels->via.map.size, sizeof *out->labels);
    for (uint32_t i = 0; i < labels->via.map.size; i++) {
        const msgpack_object_kv *pair = &labels->via.map.ptr[i];
        if (pair->key.type != MSGPACK_OBJECT_STR || !is_text(&pair->val) || pair->key.via.str.size == 0) {
            return refuse(r, "labels must be a table of at most 32 texts by name");
        }
        sw_label *label = &out->labels[out->n_labels++];
        label->name = sw_object_text(&pair->key, SW_FINDING_MAX_LABEL_NAME);
        label->value = sw_object_text(&pair->val, SW_FINDING_MAX_TEXT);
    }
    qsort(out->labels, out->n_labels, sizeof *out->labels, by_name);
    for (size_t i = 1; i < out->n_labels; i++) {
        if (strcmp(out->labels[i - 1].name, out->labels[i].name) == 0) {
            return refuse(r, "a label is given twice");
        }
    }
    return 0;
}

/* ---- traces ---- */

/* Upper case and missing leading zeros are forgiven. */
static int read_trace_id(const msgpack_object *map, char out[SW_TRACE_ID_LEN + 1]) {
    char *id = sw_map_str(map, "id", SW_TRACE_ID_LEN);
    size_t len = id != NULL ? strlen(id) : 0;
    int result = len > 0 && strspn(id, "0123456789abcdefABCDEF") == len && strspn(id, "0") < len ? 0 : -1;
    if (result == 0) {
        memset(out, '0', SW_TRACE_ID_LEN - len);
        for (size_t i = 0; i < len; i++) {
            out[SW_TRACE_ID_LEN - len + i] = (char)tolower((unsigned char)id[i]);
        }
        out[SW_TRACE_ID_LEN] = '\0';
    }
    free(id);
    return result;
}

static char *text_or_empty(char *text) {
    return text != NULL ? text : xstrdup("");
}

/* A trace that was not in the window: from a question of the script's own. */
static int read_foreign_trace(reader *r, const msgpack_object *map, const char *id, sw_trace *out) {
    *out = (sw_trace){.source = r->judged->source};
    memcpy(out->id, id, sizeof out->id);
    char *span_name = NULL;
    bool has = false;
    int result = 0;
    result |= read_text(r, map, "service", &out->service);
    result |= read_text(r, map, "operation", &out->operation);
    result |= read_text(r, map, "error_message", &out->error_message);
    result |= read_text(r, map, "span_name", &span_name);
    result |= read_count(r, map, "duration_ms", &has, &out->duration_ms);
    out->service = text_or_empty(out->service);
    out->operation = text_or_empty(out->operation);
    out->error_message = text_or_empty(out->error_message);
    const msgpack_object *start = sw_map_get(map, "start_ns");
    if (start != NULL && start->type == MSGPACK_OBJECT_POSITIVE_INTEGER && start->via.u64 <= INT64_MAX) {
        out->start_ns = (int64_t)start->via.u64;
    }
    if (out->error_message[0] != '\0') {
        out->status = SW_STATUS_ERROR;
    }
    if (span_name != NULL && result == 0) {
        out->spans = xcalloc(1, sizeof *out->spans);
        out->n_spans = 1;
        out->spans[0] = (sw_span){.service = xstrdup(out->service),
                                  .name = xstrdup(span_name),
                                  .status = out->status,
                                  .status_message = xstrdup(out->error_message),
                                  .start_ns = out->start_ns,
                                  .duration_ns = -1};
    }
    free(span_name);
    sw_trace_update_digest(out);
    return result;
}

static void copy_judged_trace(reader *r, const sw_trace *judged, sw_trace *out) {
    r->n_spans += judged->n_spans;
    if (r->n_spans <= SW_FINDINGS_MAX_SPANS) {
        sw_trace_copy(out, judged);
    } else {
        sw_trace bare = *judged;
        bare.spans = NULL;
        bare.n_spans = 0;
        sw_trace_copy(out, &bare);
    }
}

static int read_trace(reader *r, const msgpack_object *map, sw_trace *out) {
    sw_trace wanted = {0};
    if (map->type != MSGPACK_OBJECT_MAP || read_trace_id(map, wanted.id) != 0) {
        return refuse(r, "a trace's id must be 32 hex digits");
    }
    const sw_trace *judged =
        r->judged->n_traces == 0
            ? NULL
            : bsearch(&wanted, r->judged->traces, r->judged->n_traces, sizeof *r->judged->traces, by_id);
    if (judged != NULL) {
        copy_judged_trace(r, judged, out);
        return 0;
    }
    return read_foreign_trace(r, map, wanted.id, out);
}

/* The same trace named twice is one; the first stays where it was. */
static void drop_doubles(sw_finding *finding) {
    size_t n = finding->n_traces;
    if (n < 2) {
        return;
    }
    bool *drop = xcalloc(n, sizeof *drop);
    sw_trace *order = xcalloc(n, sizeof *order); /* id, and the place in n_spans */
    for (size_t i = 0; i < n; i++) {
        memcpy(order[i].id, finding->traces[i].id, sizeof order[i].id); // NOLINT: n > 0, so there are traces
        order[i].n_spans = i;
    }
    qsort(order, n, sizeof *order, by_id);
    for (size_t first = 0, i = 1; i < n; i++) {
        if (strcmp(order[first].id, order[i].id) != 0) {
            first = i;
            continue;
        }
        size_t later = order[i].n_spans;
        if (later < order[first].n_spans) {
            later = order[first].n_spans;
            order[first].n_spans = order[i].n_spans;
        }
        drop[later] = true;
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (drop[i]) {
            sw_trace_release(&finding->traces[i]);
        } else {
            finding->traces[kept++] = finding->traces[i];
        }
    }
    finding->n_traces = kept;
    free(order);
    free(drop);
}

static int read_traces(reader *r, const msgpack_object *map, sw_finding *out) {
    const msgpack_object *elements = NULL;
    uint32_t n = 0;
    if (sw_object_array(sw_map_get(map, "traces"), &elements, &n) != 0) {
        return refuse(r, "traces must be an array");
    }
    if (n > SW_FINDINGS_MAX_TRACES || r->n_traces + n > SW_FINDINGS_MAX_TRACES) {
        return refuse(r, "the findings name more than 50000 traces");
    }
    r->n_traces += n;
    out->traces = n > 0 ? xcalloc(n, sizeof *out->traces) : NULL;
    for (uint32_t i = 0; i < n; i++) {
        out->n_traces++;
        if (read_trace(r, &elements[i], &out->traces[i]) != 0) {
            return -1;
        }
    }
    drop_doubles(out);
    return 0;
}

/* ---- findings ---- */

static int read_finding(reader *r, const msgpack_object *map, sw_finding *out) {
    if (map->type != MSGPACK_OBJECT_MAP) {
        return refuse(r, "it is not a table");
    }
    out->detector = xstrdup(r->detector);
    out->source = xstrdup(r->judged->source);
    out->window_from_s = r->judged->from_s;
    out->window_to_s = r->judged->to_s;
    out->window_complete = r->judged->complete;
    out->window_estimated = r->judged->estimated;
    int result = 0;
    result |= read_type(r, map, out);
    result |= read_text(r, map, "service", &out->service);
    result |= read_text(r, map, "operation", &out->operation);
    result |= read_text(r, map, "key", &out->key);
    result |= read_text(r, map, "summary", &out->summary);
    result |= read_text(r, map, "span_name", &out->span_name);
    result |= read_text(r, map, "error_message", &out->error_message);
    result |= read_severity(r, map, out);
    result |= read_number(r, map, "value", &out->has_value, &out->value);
    result |= read_number(r, map, "threshold", &out->has_threshold, &out->threshold);
    result |= read_number(r, map, "baseline", &out->has_baseline, &out->baseline);
    result |= read_count(r, map, "baseline_samples", &out->has_baseline_samples, &out->baseline_samples);
    result |= read_count(r, map, "duration_ms", &out->has_duration, &out->duration_ms);
    result |= read_count(r, map, "affected_traces", &out->has_affected, &out->affected_traces);
    result |= read_count(r, map, "total_traces", &out->has_total, &out->total_traces);
    result |= read_seconds(r, map, "for_s", &out->for_s);
    result |= read_seconds(r, map, "keep_firing_s", &out->keep_firing_s);
    out->summary = text_or_empty(out->summary);
    if (result == 0) {
        result = read_labels(r, map, out);
    }
    return result == 0 ? read_traces(r, map, out) : result;
}

int sw_findings_read(const msgpack_object *findings, const char *detector, const sw_judged_window *judged,
                     sw_finding **out, size_t *n, char **why) {
    const msgpack_object *elements = NULL;
    uint32_t count = 0;
    *out = NULL;
    *n = 0;
    *why = NULL;
    if (sw_object_array(findings, &elements, &count) != 0) {
        *why = xstrdup("findings must be an array");
        return -1;
    }
    if (count > SW_FINDINGS_MAX) {
        *why = xasprintf("%u findings in one reply; at most %d are taken", (unsigned)count, SW_FINDINGS_MAX);
        return -1;
    }
    reader r = {.detector = detector, .judged = judged};
    sw_finding *read = count > 0 ? xcalloc(count, sizeof *read) : NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (read_finding(&r, &elements[i], &read[i]) != 0) {
            *why = xasprintf("finding %u: %s", (unsigned)i + 1, r.why);
            free(r.why);
            sw_findings_free(read, i + 1);
            return -1;
        }
    }
    *out = read;
    *n = count;
    return 0;
}
