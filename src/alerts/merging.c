/* What an evaluation found, into the alert that it is about. */
#include "alerts/merging.h"

#include <string.h>

#include "alerts/evidence.h"

static char *borrowed(const char *s) {
    return (char *)s;
}

static char *or_empty(const char *s) {
    return borrowed(s != NULL ? s : "");
}

static sw_evidence evidence_of(const sw_fresh *fresh) {
    const sw_finding *finding = fresh->finding;
    const sw_trace *trace = fresh->trace;
    bool alone = finding->n_traces == 1; /* then what the finding says is about this trace */
    const char *error = trace->error_message;
    if ((error == NULL || error[0] == '\0') && alone) {
        error = finding->error_message;
    }
    sw_evidence evidence = {
        .service = or_empty(trace->service),
        .operation = or_empty(trace->operation),
        .error_message = or_empty(error),
        .span_name = or_empty(finding->span_name != NULL && alone ? finding->span_name : trace->operation),
        .start_ns = trace->start_ns,
        .duration_ms = alone && finding->has_duration ? finding->duration_ms : trace->duration_ms,
    };
    memcpy(evidence.trace_id, trace->id, sizeof evidence.trace_id);
    return evidence;
}

static void add_evidence(sw_alerts *alerts, sw_alert *alert, const sw_groups *groups, const sw_group *group) {
    sw_alert_table_reserve_evidence(&alerts->table, group->n_fresh);
    for (size_t at = group->first_fresh; at != 0; at = groups->fresh[at - 1].next) {
        alert->evidence[alert->n_evidence++] = evidence_of(&groups->fresh[at - 1]);
    }
    alert->n_untold += group->n_fresh;
    sw_evidence_trim(alert, alerts->options.evidence_max);
}

static void take_counts(sw_alert *alert, const sw_group *group) {
    const sw_finding *winner = group->winner;
    if (group->n_fresh > 0) {
        alert->affected_traces += (double)group->n_fresh;
        alert->has_affected = true;
    } else if (winner->has_affected) {
        alert->affected_traces = winner->affected_traces;
        alert->has_affected = true;
    }
    alert->has_total = winner->has_total;
    alert->total_traces = winner->total_traces;
}

/* What the newest finding says replaces what was said before. */
static void take_finding(sw_alert *alert, const char *detector, const sw_group *group) {
    const sw_finding *winner = group->winner;
    alert->detector = borrowed(detector);
    alert->detector_sha256 = winner->detector_sha256[0] != '\0' ? borrowed(winner->detector_sha256) : NULL;
    alert->source = or_empty(winner->source);
    alert->severity = group->severity;
    alert->summary = or_empty(winner->summary);
    alert->span_name = winner->span_name;
    alert->error_message = winner->error_message;
    alert->has_value = winner->has_value;
    alert->value = winner->value;
    alert->has_threshold = winner->has_threshold;
    alert->threshold = winner->threshold;
    alert->has_baseline = winner->has_baseline;
    alert->baseline = winner->baseline;
    alert->has_baseline_samples = winner->has_baseline_samples;
    alert->baseline_samples = winner->baseline_samples;
    alert->has_duration = winner->has_duration;
    alert->duration_ms = winner->duration_ms;
    alert->for_s = winner->for_s;
    alert->keep_firing_s = winner->keep_firing_s;
    alert->window_from_s = winner->window_from_s;
    alert->window_to_s = winner->window_to_s;
    alert->window_complete = winner->window_complete;
    alert->window_estimated = winner->window_estimated;
    take_counts(alert, group);
}

/* Service and operation that are no labels are told while every finding agrees on them. */
static void take_place(sw_alert *alert, const sw_group *group, bool is_new) {
    bool same_service = is_new || sw_streq(alert->service, group->service);
    bool same_operation = is_new || sw_streq(alert->operation, group->operation);
    bool label = sw_alert_label(alert, "service") != NULL;
    alert->service = label || !same_service ? NULL : borrowed(group->service);
    label = sw_alert_label(alert, "operation") != NULL;
    alert->operation = label || !same_operation ? NULL : borrowed(group->operation);
}

void sw_alerts_merge(sw_alerts *alerts, sw_alert *alert, const char *detector, const sw_groups *groups,
                     const sw_group *group, bool is_new) {
    take_finding(alert, detector, group);
    take_place(alert, group, is_new);
    add_evidence(alerts, alert, groups, group);
}
