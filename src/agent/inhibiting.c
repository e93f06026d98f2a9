/*
 * Inhibition, by rules and by what the traces say. What could be inhibited is not told at once but at the end
 * of the tick, when all detectors have judged: cause and effect that begin in one tick are one notification,
 * in whatever order they were found. Everything else is told as ever.
 */
#include "agent/agent_internal.h"

#include "telemetry/log.h"

static bool speaks(const sw_alert *alert, void *arg) {
    return sw_silencing_reason(arg, alert) == NULL;
}

static sw_inhibition_options options_of(const sw_agent *agent) {
    return (sw_inhibition_options){
        .rules = &agent->inhibit_rules,
        .by_traces = agent->config->inhibit_by_traces,
        .speaks = speaks,
        .arg = (void *)agent,
    };
}

void sw_inhibiting_open(sw_agent *agent) {
    sw_buf mistakes; /* the configuration was checked */
    sw_buf_init(&mistakes, (size_t)1 << 20);
    sw_inhibit_rules_parse(agent->config->inhibit_rules_json, &agent->inhibit_rules, &mistakes);
    if (mistakes.len > 0) {
        sw_log(SW_LOG_ERROR, "an inhibition rule is left out", "reason", mistakes.data, NULL);
    }
    sw_buf_release(&mistakes);
    agent->inhibition_waits = true; /* what was inhibited when the agent ended */
}

void sw_inhibiting_close(sw_agent *agent) {
    sw_inhibition_free(agent->inhibition_before);
    sw_inhibition_free(agent->inhibition);
    sw_inhibit_rules_release(&agent->inhibit_rules);
}

sw_inhibition *sw_inhibiting_now(const sw_agent *agent) {
    sw_inhibition_options options = options_of(agent);
    return sw_inhibition_new(agent->alerts, &options);
}

sw_inhibition *sw_inhibiting_begin(sw_agent *agent) {
    if (sw_tick_is_under_way(agent) || !agent->inhibition_waits) {
        return NULL;
    }
    sw_inhibition_options options = options_of(agent);
    agent->inhibition_before = agent->inhibition;
    agent->inhibition = sw_inhibition_begin(agent->alerts, &options);
    agent->inhibition_waits = false;
    return agent->inhibition;
}

void sw_inhibiting_end(sw_agent *agent) {
    sw_inhibition_free(agent->inhibition_before);
    agent->inhibition_before = NULL;
}

bool sw_inhibiting_holds(sw_agent *agent, const sw_alert *alert, sw_notice notice, bool *counts) {
    sw_inhibition_options options = options_of(agent);
    *counts = false;
    if (notice == SW_NOTICE_RESOLVED || !sw_inhibition_concerns(&options, alert)) {
        return false;
    }
    bool decided = agent->inhibition_decides && sw_inhibition_knows(agent->inhibition, alert->fingerprint);
    if (!decided) { /* or it has come since */
        agent->inhibition_waits = true;
        return true;
    }
    if (sw_inhibition_by(agent->inhibition, alert->fingerprint) == NULL) {
        return false;
    }
    const sw_inhibition *before = agent->inhibition_before;
    *counts = before == NULL || sw_inhibition_by(before, alert->fingerprint) == NULL;
    agent->inhibition_waits = true;
    return true;
}

const sw_likely_cause *sw_inhibiting_cause(const sw_agent *agent, const sw_alert *alert) {
    return agent->inhibition_decides ? sw_inhibition_cause(agent->inhibition, alert->fingerprint) : NULL;
}
