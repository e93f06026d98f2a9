/*
 * What concerns the agent itself, once per tick: whatever keeps it from seeing or telling (blindness.c) is an
 * alert, and the alerts of a detector whose file is gone end as if it no longer found anything.
 */
#include "agent/agent_internal.h"

#include <stdlib.h>

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
    size_t n = 0;
    sw_finding *findings = sw_blindness(agent, &n);
    sw_alerting_apply(agent, SW_AGENT_SELF, findings, n, sw_blindness_known(agent));
    sw_findings_free(findings, n);

    struct gone gone = {.agent = agent};
    sw_alerts_each(agent->alerts, note_if_gone, &gone);
    for (size_t i = 0; i < gone.n; i++) {
        sw_alerting_apply(agent, gone.names[i], NULL, 0, true);
        free(gone.names[i]);
    }
    free(gone.names);
}
