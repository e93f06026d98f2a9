#include "alerts/payload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/alerts_internal.h"
#include "alerts/evidence.h"
#include "base/clock.h"
#include "telemetry/text.h"

/* What one notification says, found once. */
struct notification {
    const sw_alert *alert;
    const sw_payload_options *options;
    sw_evidence_marks marks;  /* of those listed */
    const sw_evidence *worst; /* of those listed; NULL when none is */
    const char *service, *operation;
    size_t n_listed;
};

/* The traces of an alert that has no such label may still agree on it. */
static const char *common_text(const sw_alert *alert, bool service) {
    const char *common = NULL;
    for (size_t i = 0; i < alert->n_evidence; i++) {
        const char *text = service ? alert->evidence[i].service : alert->evidence[i].operation;
        if (common != NULL && !sw_streq(common, text)) {
            return NULL;
        }
        common = text;
    }
    return common != NULL && common[0] != '\0' ? common : NULL;
}

static const char *place(const sw_alert *alert, const char *label, const char *said) {
    const char *value = sw_alert_label(alert, label);
    value = value != NULL ? value : said;
    return value != NULL ? value : common_text(alert, strcmp(label, "service") == 0);
}

static struct notification look_at(const sw_alert *alert, const sw_payload_options *options) {
    struct notification n = {.alert = alert, .options = options};
    for (size_t i = 0; i < alert->n_evidence; i++) {
        n.n_listed += alert->evidence[i].notified ? 0 : 1;
    }
    n.marks = sw_evidence_mark(alert->evidence, alert->n_evidence);
    n.worst = n.marks.worst != SW_NO_EVIDENCE ? &alert->evidence[n.marks.worst] : NULL;
    n.service = place(alert, "service", alert->service);
    n.operation = place(alert, "operation", alert->operation);
    return n;
}

/* ---- summary ---- */

static const char *number_text(double value, char out[SW_DOUBLE_TEXT]) {
    sw_format_double(value, out);
    return out;
}

/* "checkout POST /pay", or what there is of it. */
static void append_place(const struct notification *n, sw_buf *out) {
    if (n->service == NULL && n->operation == NULL) {
        sw_buf_append_str(out, "all services");
        return;
    }
    sw_buf_printf(out, "%s%s%s", n->service != NULL ? n->service : "",
                  n->service != NULL && n->operation != NULL ? " " : "",
                  n->operation != NULL ? n->operation : "");
}

static void append_traces(const struct notification *n, sw_buf *out) {
    double count = n->alert->has_affected ? n->alert->affected_traces : (double)n->n_listed;
    sw_buf_printf(out, "%.0f %s of ", count, count == 1 ? "trace" : "traces");
    append_place(n, out);
}

static void summarize_rate(const struct notification *n, sw_buf *out) {
    const sw_alert *alert = n->alert;
    sw_buf_append_str(out, "error rate of ");
    append_place(n, out);
    sw_buf_printf(out, " is %.4g %%", alert->value * 100);
    if (alert->has_affected && alert->has_total) {
        sw_buf_printf(out, " (%.0f of %.0f)", alert->affected_traces, alert->total_traces);
    }
    if (alert->has_threshold) {
        sw_buf_printf(out, ", over %.4g %%", alert->threshold * 100);
    }
}

static void summarize_other(const struct notification *n, sw_buf *out) {
    const sw_alert *alert = n->alert;
    char text[SW_DOUBLE_TEXT];
    sw_buf_printf(out, "%s: ", alert->type);
    if (n->n_listed > 0) {
        append_traces(n, out);
    } else {
        append_place(n, out);
    }
    if (alert->has_value) {
        sw_buf_printf(out, ", value %s", number_text(alert->value, text));
    }
    if (alert->has_threshold) {
        sw_buf_printf(out, ", threshold %s", number_text(alert->threshold, text));
    }
}

/* The finding's own, or a sentence about what is known. */
static json_t *summary(const struct notification *n) {
    const sw_alert *alert = n->alert;
    sw_buf out;
    sw_buf_init(&out, 4 * SW_FINDING_MAX_TEXT);
    char text[SW_DOUBLE_TEXT];
    if (alert->summary != NULL && alert->summary[0] != '\0') {
        sw_buf_append_str(&out, alert->summary);
    } else if (strcmp(alert->type, "high_latency") == 0 && alert->has_threshold) {
        append_traces(n, &out);
        sw_buf_printf(&out, " took longer than %s ms", number_text(alert->threshold, text));
    } else if (strcmp(alert->type, "error_status") == 0) {
        append_traces(n, &out);
        sw_buf_append_str(&out, " failed");
    } else if (strcmp(alert->type, "high_error_rate") == 0 && alert->has_value) {
        summarize_rate(n, &out);
    } else {
        summarize_other(n, &out);
    }
    if (alert->flapping) {
        sw_buf_append_str(&out, " (flapping: not sent again until it is calm)");
    }
    json_t *value = sw_text_to_json(out.data != NULL ? out.data : "");
    sw_buf_release(&out);
    return value;
}

/* ---- links ---- */

static void append_url(sw_buf *url, const char *at, const char *trace_id, int64_t start_ms, int64_t end_ms) {
    while (*at != '\0') {
        if (sw_starts_with(at, "{trace_id}")) {
            sw_buf_append_str(url, trace_id);
            at += strlen("{trace_id}");
        } else if (sw_starts_with(at, "{start_ms}")) {
            sw_buf_printf(url, "%lld", (long long)start_ms);
            at += strlen("{start_ms}");
        } else if (sw_starts_with(at, "{end_ms}")) {
            sw_buf_printf(url, "%lld", (long long)end_ms);
            at += strlen("{end_ms}");
        } else {
            sw_buf_append_char(url, *at++);
        }
    }
}

json_t *sw_trace_url(const char *url_template, const char *trace_id, int64_t start_ms, int64_t end_ms) {
    if (url_template == NULL || url_template[0] == '\0') {
        return json_null();
    }
    sw_buf url;
    sw_buf_init(&url, 65536);
    append_url(&url, url_template, trace_id, start_ms, end_ms);
    json_t *value = url.overflow ? json_null() : sw_text_to_json(url.data);
    sw_buf_release(&url);
    return value;
}

/* Without a known time of the trace, that of the window. */
static json_t *trace_url(const struct notification *n, const sw_evidence *evidence) {
    int64_t start_ms =
        evidence->start_ns > 0 ? evidence->start_ns / SW_NS_PER_MS : n->alert->window_from_s * 1000;
    int64_t end_ms = evidence->start_ns > 0 && evidence->duration_ms < 1e15
                         ? start_ms + (int64_t)evidence->duration_ms + 1
                         : n->alert->window_to_s * 1000;
    return sw_trace_url(n->options != NULL ? n->options->trace_url : NULL, evidence->trace_id, start_ms,
                        end_ms);
}

/* ---- the document ---- */

static json_t *text_or_null(const char *s) {
    return sw_text_to_json(s != NULL && s[0] != '\0' ? s : NULL);
}

static json_t *number_or_null(bool has, double value) {
    return has ? sw_number_to_json(value) : json_null();
}

static json_t *time_or_null(int64_t at_ns) {
    char text[32];
    if (at_ns <= 0) {
        return json_null();
    }
    sw_format_rfc3339(at_ns, text);
    return json_string(text);
}

/* The fields of the original system: all of them are about the worst trace that is listed, where there is
 * one. */
static void add_original(const struct notification *n, int64_t now_ns, json_t *root) {
    const sw_alert *alert = n->alert;
    const sw_evidence *worst = n->worst;
    json_object_set_new(root, "anomaly_type", sw_text_to_json(alert->type));
    json_object_set_new(root, "trace_id", text_or_null(worst != NULL ? worst->trace_id : NULL));
    json_object_set_new(root, "span_name", text_or_null(worst != NULL ? worst->span_name : alert->span_name));
    bool has_duration = worst != NULL ? worst->duration_ms > 0 : alert->has_duration;
    json_object_set_new(
        root, "duration_ms",
        number_or_null(has_duration, worst != NULL ? worst->duration_ms : alert->duration_ms));
    json_object_set_new(root, "error_message",
                        text_or_null(worst != NULL ? worst->error_message : alert->error_message));
    json_object_set_new(root, "affected_traces", number_or_null(alert->has_affected, alert->affected_traces));
    json_object_set_new(root, "total_traces", number_or_null(alert->has_total, alert->total_traces));
    json_object_set_new(root, "timestamp", json_integer(now_ns / SW_NS_PER_S));
}

static json_t *labels(const sw_alert *alert) {
    json_t *object = json_object();
    for (size_t i = 0; i < alert->n_labels; i++) {
        json_t *name = sw_text_to_json(alert->labels[i].name); /* repairs the name as well */
        json_object_set_new(object, json_string_value(name), sw_text_to_json(alert->labels[i].value));
        json_decref(name);
    }
    return object;
}

/* Why a trace was chosen, of those listed; most are there only because there was room. */
static json_t *marks_of(const sw_evidence_marks *marks, size_t i) {
    json_t *list = json_array();
    if (i == marks->worst) {
        json_array_append_new(list, json_string("worst"));
    }
    if (i == marks->newest) {
        json_array_append_new(list, json_string("newest"));
    }
    if (i == marks->representative) {
        json_array_append_new(list, json_string("representative"));
    }
    return list;
}

static json_t *traces(const struct notification *n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n->alert->n_evidence; i++) {
        const sw_evidence *evidence = &n->alert->evidence[i];
        if (evidence->notified) {
            continue;
        }
        json_t *one = json_object();
        json_object_set_new(one, "trace_id", sw_text_to_json(evidence->trace_id));
        json_object_set_new(one, "service", text_or_null(evidence->service));
        json_object_set_new(one, "operation", text_or_null(evidence->operation));
        json_object_set_new(one, "span_name", text_or_null(evidence->span_name));
        json_object_set_new(one, "start", time_or_null(evidence->start_ns));
        json_object_set_new(one, "duration_ms",
                            number_or_null(evidence->duration_ms > 0, evidence->duration_ms));
        json_object_set_new(one, "error_message", text_or_null(evidence->error_message));
        json_object_set_new(one, "url", trace_url(n, evidence));
        json_object_set_new(one, "marks", marks_of(&n->marks, i));
        json_array_append_new(list, one);
    }
    return list;
}

static void add_identity(const struct notification *n, sw_notice notice, json_t *root) {
    const sw_alert *alert = n->alert;
    json_object_set_new(root, "status", json_string(notice == SW_NOTICE_RESOLVED ? "resolved" : "firing"));
    json_object_set_new(root, "fingerprint", sw_text_to_json(alert->fingerprint));
    json_object_set_new(root, "service", sw_text_to_json(n->service));
    json_object_set_new(root, "operation", sw_text_to_json(n->operation));
    json_object_set_new(root, "labels", labels(alert));
    json_object_set_new(root, "severity", json_string(sw_severity_name(alert->severity)));
}

static void add_evidence(const struct notification *n, json_t *root) {
    const sw_alert *alert = n->alert;
    json_object_set_new(root, "value", number_or_null(alert->has_value, alert->value));
    json_object_set_new(root, "threshold", number_or_null(alert->has_threshold, alert->threshold));
    json_t *window = json_object();
    json_object_set_new(window, "from", json_integer(alert->window_from_s));
    json_object_set_new(window, "to", json_integer(alert->window_to_s));
    json_object_set_new(root, "window", window);
    json_object_set_new(root, "complete", json_boolean(alert->window_complete));
    json_object_set_new(root, "estimated", json_boolean(alert->window_estimated));
    json_object_set_new(root, "traces", traces(n));
    json_object_set_new(root, "summary", summary(n));
}

/* What decided, in numbers: enough to judge the alert without the detector's source. */
static json_t *why(const sw_alert *alert) {
    json_t *object = json_object();
    json_object_set_new(object, "detector", sw_text_to_json(alert->detector));
    json_object_set_new(object, "detector_sha256", text_or_null(alert->detector_sha256));
    json_object_set_new(object, "value", number_or_null(alert->has_value, alert->value));
    json_object_set_new(object, "threshold", number_or_null(alert->has_threshold, alert->threshold));
    json_object_set_new(object, "baseline", number_or_null(alert->has_baseline, alert->baseline));
    json_object_set_new(object, "baseline_samples",
                        number_or_null(alert->has_baseline_samples, alert->baseline_samples));
    json_object_set_new(object, "samples", number_or_null(alert->has_total, alert->total_traces));
    json_object_set_new(object, "window_secs", json_integer(alert->window_to_s - alert->window_from_s));
    json_object_set_new(object, "complete", json_boolean(alert->window_complete));
    return object;
}

/* With the span that proves it. */
static json_t *likely_cause(const sw_likely_cause *cause, const sw_culprit *culprit) {
    if (cause == NULL || culprit == NULL) {
        return json_null();
    }
    json_t *object = json_object();
    json_object_set_new(object, "fingerprint", sw_text_to_json(cause->fingerprint));
    json_object_set_new(object, "type", sw_text_to_json(cause->type));
    json_object_set_new(object, "service", sw_text_to_json(cause->service));
    json_object_set_new(object, "summary", sw_text_to_json(cause->summary));
    json_object_set_new(object, "trace_id", sw_text_to_json(culprit->trace_id));
    json_object_set_new(object, "span_id", sw_text_to_json(culprit->span_id));
    json_object_set_new(object, "span_name", sw_text_to_json(culprit->name));
    return object;
}

static void add_cause(const sw_alert *alert, const sw_payload_options *options, json_t *root) {
    const sw_culprit *culprit = alert->culprit;
    json_object_set_new(root, "why", why(alert));
    json_object_set_new(root, "culprit", culprit != NULL ? sw_culprit_to_json(culprit) : json_null());
    json_object_set_new(root, "critical_path",
                        culprit != NULL ? sw_culprit_path_to_json(culprit) : json_null());
    json_object_set_new(root, "likely_cause",
                        likely_cause(options != NULL ? options->likely_cause : NULL, culprit));
}

json_t *sw_payload_summary(const sw_alert *alert) {
    struct notification n = look_at(alert, NULL);
    return summary(&n);
}

int sw_payload_json(const sw_alert *alert, sw_notice notice, int64_t now_ns,
                    const sw_payload_options *options, sw_buf *out) {
    struct notification n = look_at(alert, options);
    json_t *root = json_object();
    add_original(&n, now_ns, root);
    add_identity(&n, notice, root);
    add_evidence(&n, root);
    json_object_set_new(root, "starts_at", time_or_null(alert->starts_at_ns));
    json_object_set_new(root, "ends_at", time_or_null(notice == SW_NOTICE_RESOLVED ? alert->ends_at_ns : 0));
    json_object_set_new(root, "detector", sw_text_to_json(alert->detector));
    json_object_set_new(root, "source", sw_text_to_json(alert->source));
    json_object_set_new(root, "repeat", json_boolean(notice == SW_NOTICE_REPEAT));
    json_object_set_new(root, "flapping", json_boolean(alert->flapping && notice != SW_NOTICE_RESOLVED));
    add_cause(alert, options, root);
    /* 15 digits: 0.05 stays 0.05. */
    return sw_write_json(root, 15, out);
}
