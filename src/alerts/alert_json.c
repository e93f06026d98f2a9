/* An alert as JSON for the store, and back. What is read may be damaged: it is checked like data from
 * outside. */
#include "alerts/alerts_internal.h"

#include <stdlib.h>
#include <string.h>

#include "alerts/json_pieces.h"

#define MAX_EVIDENCE 10000

/* ---- writing ---- */

static json_t *labels_to_json(const sw_alert *alert) {
    json_t *labels = json_array();
    for (size_t i = 0; i < alert->n_labels; i++) {
        json_t *pair = json_array();
        json_array_append_new(pair, sw_text_to_json(alert->labels[i].name));
        json_array_append_new(pair, sw_text_to_json(alert->labels[i].value));
        json_array_append_new(labels, pair);
    }
    return labels;
}

static json_t *evidence_to_json(const sw_alert *alert) {
    json_t *list = json_array();
    for (size_t i = 0; i < alert->n_evidence; i++) {
        const sw_evidence *evidence = &alert->evidence[i];
        json_t *one = json_object();
        json_object_set_new(one, "trace_id", sw_text_to_json(evidence->trace_id));
        json_object_set_new(one, "service", sw_text_to_json(evidence->service));
        json_object_set_new(one, "operation", sw_text_to_json(evidence->operation));
        json_object_set_new(one, "span_name", sw_text_to_json(evidence->span_name));
        json_object_set_new(one, "error_message", sw_text_to_json(evidence->error_message));
        json_object_set_new(one, "start_ns", json_integer(evidence->start_ns));
        json_object_set_new(one, "duration_ms", sw_number_to_json(evidence->duration_ms));
        json_object_set_new(one, "notified", json_boolean(evidence->notified));
        json_array_append_new(list, one);
    }
    return list;
}

static void set_number(json_t *object, const char *name, bool has, double value) {
    if (has) {
        json_object_set_new(object, name, sw_number_to_json(value));
    }
}

static void set_text(json_t *object, const char *name, const char *value) {
    if (value != NULL) {
        json_object_set_new(object, name, sw_text_to_json(value));
    }
}

/* What is absent is zero: left out. */
static void set_integer(json_t *object, const char *name, int64_t value) {
    if (value != 0) {
        json_object_set_new(object, name, json_integer(value));
    }
}

static void set_true(json_t *object, const char *name, bool value) {
    if (value) {
        json_object_set_new(object, name, json_true());
    }
}

int sw_alert_to_json(const sw_alert *alert, sw_buf *out) {
    json_t *root = json_object();
    set_text(root, "fingerprint", alert->fingerprint);
    set_text(root, "type", alert->type);
    set_text(root, "detector", alert->detector);
    set_text(root, "source", alert->source);
    json_object_set_new(root, "labels", labels_to_json(alert));
    set_text(root, "state", sw_alert_state_name(alert->state));
    set_text(root, "severity", sw_severity_name(alert->severity));
    set_text(root, "told_severity", sw_severity_name(alert->told_severity));
    set_text(root, "service", alert->service);
    set_text(root, "operation", alert->operation);
    set_text(root, "summary", alert->summary);
    set_text(root, "span_name", alert->span_name);
    set_text(root, "error_message", alert->error_message);
    set_text(root, "detector_sha256", alert->detector_sha256);
    set_text(root, "told", alert->told);
    set_number(root, "value", alert->has_value, alert->value);
    set_number(root, "threshold", alert->has_threshold, alert->threshold);
    set_number(root, "baseline", alert->has_baseline, alert->baseline);
    set_number(root, "baseline_samples", alert->has_baseline_samples, alert->baseline_samples);
    set_number(root, "duration_ms", alert->has_duration, alert->duration_ms);
    set_number(root, "total_traces", alert->has_total, alert->total_traces);
    set_number(root, "affected_traces", alert->has_affected, alert->affected_traces);
    set_integer(root, "starts_at_ns", alert->starts_at_ns);
    set_integer(root, "fired_at_ns", alert->fired_at_ns);
    set_integer(root, "last_seen_ns", alert->last_seen_ns);
    set_integer(root, "ends_at_ns", alert->ends_at_ns);
    set_integer(root, "last_notified_ns", alert->last_notified_ns);
    set_integer(root, "flap_states", alert->flap_states);
    set_integer(root, "flap_evaluation", alert->flap_evaluation);
    set_true(root, "flapping", alert->flapping);
    set_true(root, "told_flapping", alert->told_flapping);
    set_number(root, "for_s", alert->for_s != 0, alert->for_s);
    set_number(root, "keep_firing_s", alert->keep_firing_s != 0, alert->keep_firing_s);
    set_integer(root, "window_from_s", alert->window_from_s);
    set_integer(root, "window_to_s", alert->window_to_s);
    set_true(root, "window_complete", alert->window_complete);
    set_true(root, "window_estimated", alert->window_estimated);
    set_integer(root, "n_untold", (int64_t)alert->n_untold);
    json_object_set_new(root, "evidence", evidence_to_json(alert));
    if (alert->culprit != NULL) {
        json_object_set_new(root, "culprit", sw_culprit_to_stored(alert->culprit));
    }
    return sw_write_json(root, 17, out);
}

/* ---- reading: absent is zero, another type is an error ---- */

struct reader {
    sw_json_members members;
    bool bad;
};

/* Absent when it is null. */
static sw_json_piece value_of(struct reader *r, const char *name) {
    sw_json_piece value = sw_piece_member(&r->members, name);
    return sw_piece_is(value, "null") ? (sw_json_piece){NULL, 0} : value;
}

static char *read_text(struct reader *r, const char *name, bool required) {
    sw_json_piece value = value_of(r, name);
    char *text = sw_piece_text(value);
    r->bad |= text == NULL && (required || value.at != NULL);
    return text == NULL && (required || value.at != NULL) ? xstrdup("") : text;
}

/* Times and counts: not negative. */
static int64_t read_integer(struct reader *r, const char *name) {
    sw_json_piece value = sw_piece_member(&r->members, name);
    int64_t number = 0;
    r->bad |= value.at != NULL && (!sw_piece_whole(value, &number) || number < 0);
    return number;
}

static uint32_t read_small(struct reader *r, const char *name, uint32_t max) {
    int64_t value = read_integer(r, name);
    r->bad |= value > max;
    return (uint32_t)value;
}

static int64_t read_unix_seconds(struct reader *r, const char *name) {
    int64_t value = read_integer(r, name);
    r->bad |= value > INT64_MAX / SW_NS_PER_S;
    return value;
}

static bool read_bool(struct reader *r, const char *name) {
    sw_json_piece value = sw_piece_member(&r->members, name);
    bool is_true = sw_piece_is(value, "true");
    r->bad |= value.at != NULL && !is_true && !sw_piece_is(value, "false");
    return is_true;
}

/* A null is a number that was not finite: as if it were absent. */
static double read_number(struct reader *r, const char *name, bool *has) {
    sw_json_piece value = value_of(r, name);
    double number = 0;
    *has = sw_piece_real(value, &number);
    r->bad |= value.at != NULL && !*has;
    return *has ? number : 0;
}

static double read_seconds(struct reader *r, const char *name) {
    bool has = false;
    double value = read_number(r, name, &has);
    r->bad |= value < 0;
    return value;
}

static bool is_fingerprint(const char *s) {
    return strlen(s) == SW_FINGERPRINT_LEN && strspn(s, "0123456789abcdef") == SW_FINGERPRINT_LEN;
}

static void read_identity(struct reader *r, sw_alert *out) {
    char *fingerprint = read_text(r, "fingerprint", true);
    if (is_fingerprint(fingerprint)) {
        memcpy(out->fingerprint, fingerprint, sizeof out->fingerprint);
    } else {
        r->bad = true;
    }
    free(fingerprint);
    out->type = read_text(r, "type", true);
    out->detector = read_text(r, "detector", true);
    out->source = read_text(r, "source", true);
}

static sw_severity read_severity(struct reader *r, const char *name) {
    sw_severity severity = SW_SEVERITY_WARNING;
    char *text = read_text(r, name, true);
    r->bad |= sw_severity_parse(text, &severity) != 0;
    free(text);
    return severity;
}

static void read_state(struct reader *r, sw_alert *out) {
    char *state = read_text(r, "state", true);
    bool known = false;
    for (int i = SW_ALERT_PENDING; i <= SW_ALERT_RESOLVED; i++) {
        if (strcmp(state, sw_alert_state_name((sw_alert_state)i)) == 0) {
            out->state = (sw_alert_state)i;
            known = true;
        }
    }
    r->bad |= !known;
    free(state);
    out->severity = read_severity(r, "severity");
    out->told_severity = read_severity(r, "told_severity");
    out->starts_at_ns = read_integer(r, "starts_at_ns");
    out->fired_at_ns = read_integer(r, "fired_at_ns");
    out->last_seen_ns = read_integer(r, "last_seen_ns");
    out->ends_at_ns = read_integer(r, "ends_at_ns");
    out->last_notified_ns = read_integer(r, "last_notified_ns");
    out->flap_states = read_small(r, "flap_states", (UINT32_C(1) << SW_FLAP_STATES) - 1);
    out->flap_evaluation = read_small(r, "flap_evaluation", UINT32_MAX);
    out->flapping = read_bool(r, "flapping");
    out->told_flapping = read_bool(r, "told_flapping");
    out->for_s = read_seconds(r, "for_s");
    out->keep_firing_s = read_seconds(r, "keep_firing_s");
}

static void read_findings(struct reader *r, sw_alert *out) {
    out->service = read_text(r, "service", false);
    out->operation = read_text(r, "operation", false);
    out->summary = read_text(r, "summary", true);
    out->span_name = read_text(r, "span_name", false);
    out->error_message = read_text(r, "error_message", false);
    out->detector_sha256 = read_text(r, "detector_sha256", false);
    out->told = read_text(r, "told", false);
    out->value = read_number(r, "value", &out->has_value);
    out->threshold = read_number(r, "threshold", &out->has_threshold);
    out->baseline = read_number(r, "baseline", &out->has_baseline);
    out->baseline_samples = read_number(r, "baseline_samples", &out->has_baseline_samples);
    out->duration_ms = read_number(r, "duration_ms", &out->has_duration);
    out->total_traces = read_number(r, "total_traces", &out->has_total);
    out->affected_traces = read_number(r, "affected_traces", &out->has_affected);
    out->window_from_s = read_unix_seconds(r, "window_from_s");
    out->window_to_s = read_unix_seconds(r, "window_to_s");
    out->window_complete = read_bool(r, "window_complete");
    out->window_estimated = read_bool(r, "window_estimated");
    out->n_untold = (uint64_t)read_integer(r, "n_untold");
}

/* Two texts in an array. */
static bool read_pair(sw_json_piece pair, sw_label *out) {
    const char *cursor = NULL;
    bool bad = false;
    sw_json_piece name, value, more;
    if (!sw_piece_element(pair, &cursor, &name, &bad) || !sw_piece_element(pair, &cursor, &value, &bad) ||
        sw_piece_element(pair, &cursor, &more, &bad) || bad) {
        return false;
    }
    *out = (sw_label){sw_piece_text(name), sw_piece_text(value)};
    return out->name != NULL && out->value != NULL;
}

static void read_labels(struct reader *r, sw_alert *out) {
    sw_json_piece labels = sw_piece_member(&r->members, "labels"), pair;
    const char *cursor = NULL;
    sw_label read[SW_ALERT_MAX_LABELS];
    while (sw_piece_element(labels, &cursor, &pair, &r->bad)) {
        sw_label label = {NULL, NULL};
        if (out->n_labels == SW_ALERT_MAX_LABELS || !read_pair(pair, &label)) {
            r->bad = true;
            free(label.name);
            free(label.value);
            break;
        }
        read[out->n_labels++] = label;
    }
    out->labels = out->n_labels > 0 ? xcalloc(out->n_labels, sizeof *out->labels) : NULL;
    for (size_t i = 0; i < out->n_labels; i++) {
        out->labels[i] = read[i];
    }
}

static void read_one_evidence(struct reader *r, sw_evidence *out) {
    char *id = read_text(r, "trace_id", true);
    size_t len = strlen(id);
    if (len > SW_TRACE_ID_LEN) {
        r->bad = true;
        len = SW_TRACE_ID_LEN;
    }
    memcpy(out->trace_id, id, len);
    free(id);
    bool has = false;
    out->service = read_text(r, "service", true);
    out->operation = read_text(r, "operation", true);
    out->span_name = read_text(r, "span_name", true);
    out->error_message = read_text(r, "error_message", true);
    out->start_ns = read_integer(r, "start_ns");
    out->duration_ms = read_number(r, "duration_ms", &has);
    out->notified = read_bool(r, "notified");
}

static void read_evidence(struct reader *r, sw_alert *out) {
    sw_json_piece list = sw_piece_member(&r->members, "evidence"), piece;
    if (sw_piece_is(list, "[]")) {
        return;
    }
    const char *cursor = NULL;
    while (sw_piece_element(list, &cursor, &piece, &r->bad)) {
        struct reader one = {.bad = false};
        if (out->n_evidence == MAX_EVIDENCE || !sw_piece_members(piece, &one.members)) {
            r->bad = true;
            return;
        }
        out->evidence = xrealloc_array(out->evidence, out->n_evidence + 1, sizeof *out->evidence);
        out->evidence[out->n_evidence] = (sw_evidence){0};
        read_one_evidence(&one, &out->evidence[out->n_evidence++]);
        r->bad |= one.bad;
    }
}

/* Few alerts have one. */
static void read_culprit(struct reader *r, sw_alert *out) {
    sw_json_piece stored = sw_piece_member(&r->members, "culprit");
    if (stored.at != NULL) {
        json_t *culprit = json_loadb(stored.at, stored.len, JSON_REJECT_DUPLICATES, NULL);
        out->culprit = sw_culprit_from_stored(culprit);
        r->bad |= out->culprit == NULL;
        json_decref(culprit);
    }
}

int sw_alert_from_json(const char *json, size_t len, sw_alert *out) {
    *out = (sw_alert){0};
    struct reader r = {.bad = false};
    if (!sw_piece_members((sw_json_piece){json, len}, &r.members)) {
        return -1;
    }
    read_identity(&r, out);
    read_state(&r, out);
    read_findings(&r, out);
    read_labels(&r, out);
    read_evidence(&r, out);
    read_culprit(&r, out);
    if (r.bad) {
        sw_alert_release(out);
        return -1;
    }
    return 0;
}
