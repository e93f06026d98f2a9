/*
 * What concerns the agent itself, once per tick: whatever keeps it from seeing or telling (blindness.c) is an
 * alert, and the alerts of a detector whose file is gone, or that is not called for their source any more,
 * end as if it no longer found anything.
 */
#include "agent/agent_internal.h"

#include <stdlib.h>

struct reporter {
    char *detector, *source;
};

struct gone {
    const sw_agent *agent;
    struct reporter *reporters;
    size_t n;
};

static bool reports(const sw_agent *agent, const char *detector, const char *source) {
    int number = sw_source_named(source);
    return number >= 0 && agent->feeds[number].source != NULL &&
           sw_detectors_has(agent->detectors, detector, number);
}

static void note_if_gone(const char *detector, const char *source, void *arg) {
    struct gone *gone = arg;
    if (!sw_streq(detector, SW_AGENT_SELF) && !reports(gone->agent, detector, source)) {
        gone->reporters = xrealloc_array(gone->reporters, gone->n + 1, sizeof *gone->reporters);
        gone->reporters[gone->n++] = (struct reporter){xstrdup(detector), xstrdup(source)};
    }
}

static void begin_record(sw_agent *agent, const char *detector, const char *source,
                         const sw_finding *findings, size_t n, bool known) {
    agent->evaluation = sw_evaluation_begin(detector, source, sw_wall_ns(agent->clock));
    sw_evaluation_findings(agent->evaluation, agent->alerts, findings, n, known);
}

/* Most often there is nothing to remember. */
static void end_record(sw_agent *agent) {
    if (sw_evaluation_is_empty(agent->evaluation)) {
        sw_evaluation_free(agent->evaluation);
    } else {
        sw_evaluations_keep(agent->evaluations, agent->evaluation);
    }
    agent->evaluation = NULL;
}

void sw_own_alerts(sw_agent *agent) {
    size_t n = 0;
    sw_finding *findings = sw_blindness(agent, &n);
    bool known = sw_blindness_known(agent);
    begin_record(agent, SW_AGENT_SELF, SW_AGENT_SELF, findings, n, known);
    sw_alerting_apply(agent, SW_AGENT_SELF, SW_AGENT_SELF, findings, n, known);
    end_record(agent);
    sw_findings_free(findings, n);

    struct gone gone = {.agent = agent};
    sw_alerts_each_reporter(agent->alerts, note_if_gone, &gone);
    for (size_t i = 0; i < gone.n; i++) {
        struct reporter *reporter = &gone.reporters[i];
        begin_record(agent, reporter->detector, reporter->source, NULL, 0, true);
        sw_alerting_apply(agent, reporter->detector, reporter->source, NULL, 0, true);
        end_record(agent);
        free(reporter->detector);
        free(reporter->source);
    }
    free(gone.reporters);
}
