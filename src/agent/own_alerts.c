/*
 * What concerns the agent itself: a detector that fails again and again is an alert (detector_failing), and
 * the alerts of a detector whose file is gone end as if it no longer found anything.
 */
#include "agent/agent_internal.h"

#include <stdlib.h>

static sw_finding failing(const sw_detector *detector) {
    sw_finding finding = {
        .type = xstrdup("detector_failing"),
        .detector = xstrdup(SW_AGENT_SELF),
        .source = xstrdup(SW_AGENT_SELF),
        .severity = SW_SEVERITY_CRITICAL,
        .summary = xasprintf("detector %s fails again and again and is paused: %s",
                             sw_detector_name(detector), sw_detector_last_error(detector)),
        .error_message = xstrdup(sw_detector_last_error(detector)),
        .labels = xcalloc(1, sizeof(sw_label)),
        .n_labels = 1,
    };
    finding.labels[0] = (sw_label){xstrdup("detector"), xstrdup(sw_detector_name(detector))};
    return finding;
}

struct gone {
    const sw_agent *agent;
    char **names;
    size_t n;
};

static void note_if_gone(const sw_alert *alert, void *arg) {
    struct gone *gone = arg;
    if (sw_streq(alert->detector, SW_AGENT_SELF) ||
        sw_detectors_has(gone->agent->detectors, alert->detector)) {
        return;
    }
    for (size_t i = 0; i < gone->n; i++) {
        if (sw_streq(gone->names[i], alert->detector)) {
            return;
        }
    }
    gone->names = xrealloc_array(gone->names, gone->n + 1, sizeof *gone->names);
    gone->names[gone->n++] = xstrdup(alert->detector);
}

void sw_own_alerts(sw_agent *agent) {
    sw_finding *findings = NULL;
    size_t n = 0;
    for (size_t i = 0; i < sw_detectors_count(agent->detectors); i++) {
        const sw_detector *detector = sw_detectors_at(agent->detectors, i);
        if (!sw_detector_ready(detector)) {
            findings = xrealloc_array(findings, n + 1, sizeof *findings);
            findings[n++] = failing(detector);
        }
    }
    sw_alerting_apply(agent, SW_AGENT_SELF, findings, n, true);
    sw_findings_free(findings, n);

    struct gone gone = {.agent = agent};
    sw_alerts_each(agent->alerts, note_if_gone, &gone);
    for (size_t i = 0; i < gone.n; i++) {
        sw_alerting_apply(agent, gone.names[i], NULL, 0, true);
        free(gone.names[i]);
    }
    free(gone.names);
}
