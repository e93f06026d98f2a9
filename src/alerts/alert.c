/* The alert as plain data. */
#include "alerts/alerts_internal.h"

#include <stdlib.h>
#include <string.h>

const char *sw_alert_state_name(sw_alert_state state) {
    static const char *const names[] = {"pending", "firing", "resolved"};
    return (unsigned)state < SW_ARRAY_LEN(names) ? names[state] : names[SW_ALERT_PENDING];
}

static void release_evidence(sw_evidence *evidence) {
    free(evidence->service);
    free(evidence->operation);
    free(evidence->error_message);
    free(evidence->span_name);
}

void sw_alert_release(sw_alert *alert) {
    for (size_t i = 0; i < alert->n_labels; i++) {
        free(alert->labels[i].name);
        free(alert->labels[i].value);
    }
    for (size_t i = 0; i < alert->n_evidence; i++) {
        release_evidence(&alert->evidence[i]);
    }
    free(alert->labels);
    free(alert->evidence);
    free(alert->type);
    free(alert->detector);
    free(alert->source);
    free(alert->service);
    free(alert->operation);
    free(alert->summary);
    free(alert->span_name);
    free(alert->error_message);
    free(alert->detector_sha256);
    free(alert->told);
    sw_culprit_free(alert->culprit);
    *alert = (sw_alert){0};
}

static void copy_evidence(sw_evidence *to, const sw_evidence *from) {
    *to = *from;
    to->service = xstrdup(from->service);
    to->operation = xstrdup(from->operation);
    to->error_message = xstrdup(from->error_message);
    to->span_name = xstrdup(from->span_name);
}

void sw_alert_copy(sw_alert *to, const sw_alert *from) {
    *to = *from;
    to->type = xstrdup(from->type);
    to->detector = xstrdup(from->detector);
    to->source = xstrdup(from->source);
    to->service = xstrdup(from->service);
    to->operation = xstrdup(from->operation);
    to->summary = xstrdup(from->summary);
    to->span_name = xstrdup(from->span_name);
    to->error_message = xstrdup(from->error_message);
    to->detector_sha256 = xstrdup(from->detector_sha256);
    to->told = xstrdup(from->told);
    to->culprit = sw_culprit_copy(from->culprit);
    to->labels = from->n_labels > 0 ? xcalloc(from->n_labels, sizeof *to->labels) : NULL;
    for (size_t i = 0; i < from->n_labels; i++) {
        to->labels[i] = (sw_label){xstrdup(from->labels[i].name), xstrdup(from->labels[i].value)};
    }
    to->evidence = from->n_evidence > 0 ? xcalloc(from->n_evidence, sizeof *to->evidence) : NULL;
    for (size_t i = 0; i < from->n_evidence; i++) {
        copy_evidence(&to->evidence[i], &from->evidence[i]);
    }
}

const char *sw_alert_label(const sw_alert *alert, const char *name) {
    for (size_t i = 0; i < alert->n_labels; i++) {
        if (strcmp(alert->labels[i].name, name) == 0) {
            return alert->labels[i].value;
        }
    }
    return NULL;
}

bool sw_alert_is_per_trace(const sw_alert *alert) {
    return sw_alert_label(alert, "trace_id") != NULL;
}

bool sw_alert_is_held_as_flapping(const sw_alert *alert) {
    return alert->flapping && alert->told_flapping;
}
