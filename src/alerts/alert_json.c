/* An alert as JSON for the store, and back. What is read may be damaged: it is checked like data from
 * outside. */
#include "alerts/alerts_internal.h"

#include <stdlib.h>
#include <string.h>

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
    json_object_set_new(root, "starts_at_ns", json_integer(alert->starts_at_ns));
    json_object_set_new(root, "fired_at_ns", json_integer(alert->fired_at_ns));
    json_object_set_new(root, "last_seen_ns", json_integer(alert->last_seen_ns));
    json_object_set_new(root, "ends_at_ns", json_integer(alert->ends_at_ns));
    json_object_set_new(root, "last_notified_ns", json_integer(alert->last_notified_ns));
    json_object_set_new(root, "flap_states", json_integer(alert->flap_states));
    json_object_set_new(root, "flap_evaluation", json_integer(alert->flap_evaluation));
    json_object_set_new(root, "flapping", json_boolean(alert->flapping));
    json_object_set_new(root, "told_flapping", json_boolean(alert->told_flapping));
    set_number(root, "for_s", true, alert->for_s);
    set_number(root, "keep_firing_s", true, alert->keep_firing_s);
    json_object_set_new(root, "window_from_s", json_integer(alert->window_from_s));
    json_object_set_new(root, "window_to_s", json_integer(alert->window_to_s));
    json_object_set_new(root, "window_complete", json_boolean(alert->window_complete));
    json_object_set_new(root, "window_estimated", json_boolean(alert->window_estimated));
    json_object_set_new(root, "n_untold", json_integer((json_int_t)alert->n_untold));
    json_object_set_new(root, "evidence", evidence_to_json(alert));
    if (alert->culprit != NULL) {
        json_object_set_new(root, "culprit", sw_culprit_to_stored(alert->culprit));
    }
    return sw_write_json(root, 0, out);
}

/* ---- reading: absent is zero, another type is an error ---- */

struct reader {
    const json_t *object;
    bool bad;
};

static char *read_text(struct reader *r, const char *name, bool required) {
    const json_t *value = json_object_get(r->object, name);
    if (value == NULL || json_is_null(value)) {
        r->bad |= required;
        return required ? xstrdup("") : NULL;
    }
    r->bad |= !json_is_string(value);
    return xstrdup(json_is_string(value) ? json_string_value(value) : "");
}

/* Times and counts: not negative. */
static int64_t read_integer(struct reader *r, const char *name) {
    const json_t *value = json_object_get(r->object, name);
    r->bad |= value != NULL && (!json_is_integer(value) || json_integer_value(value) < 0);
    return json_integer_value(value);
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
    const json_t *value = json_object_get(r->object, name);
    r->bad |= value != NULL && !json_is_boolean(value);
    return json_is_true(value);
}

/* A null is a number that was not finite: as if it were absent. */
static double read_number(struct reader *r, const char *name, bool *has) {
    const json_t *value = json_object_get(r->object, name);
    bool absent = value == NULL || json_is_null(value);
    r->bad |= !absent && !json_is_number(value);
    *has = json_is_number(value);
    return json_number_value(value);
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

static void read_labels(struct reader *r, sw_alert *out) {
    const json_t *labels = json_object_get(r->object, "labels");
    size_t n = json_array_size(labels);
    if (!json_is_array(labels) || n > SW_ALERT_MAX_LABELS) {
        r->bad = true;
        return;
    }
    out->labels = n > 0 ? xcalloc(n, sizeof *out->labels) : NULL;
    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(labels, i);
        const char *name = json_string_value(json_array_get(pair, 0));
        const char *value = json_string_value(json_array_get(pair, 1));
        r->bad |= name == NULL || value == NULL;
        out->labels[i] = (sw_label){xstrdup(name != NULL ? name : ""), xstrdup(value != NULL ? value : "")};
        out->n_labels++;
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
    const json_t *list = json_object_get(r->object, "evidence");
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > MAX_EVIDENCE) {
        r->bad = true;
        return;
    }
    out->evidence = n > 0 ? xcalloc(n, sizeof *out->evidence) : NULL;
    for (size_t i = 0; i < n; i++) {
        struct reader one = {json_array_get(list, i), false};
        read_one_evidence(&one, &out->evidence[i]);
        out->n_evidence++;
        r->bad |= one.bad;
    }
}

int sw_alert_from_json(const char *json, size_t len, sw_alert *out) {
    *out = (sw_alert){0};
    json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        return -1;
    }
    struct reader r = {root, false};
    read_identity(&r, out);
    read_state(&r, out);
    read_findings(&r, out);
    read_labels(&r, out);
    read_evidence(&r, out);
    const json_t *culprit = json_object_get(root, "culprit");
    out->culprit = sw_culprit_from_stored(culprit);
    r.bad |= culprit != NULL && out->culprit == NULL;
    json_decref(root);
    if (r.bad) {
        sw_alert_release(out);
        return -1;
    }
    return 0;
}
