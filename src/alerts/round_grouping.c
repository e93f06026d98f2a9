/* The findings of an evaluation, into groups by identity. */
#include "alerts/round.h"

/* A group that would be a new alert over the cap is refused, and counted once in an evaluation. */
static bool admit(sw_alerts_round *round, sw_group *group) {
    if (group->winner != NULL || group->refused) {
        return !group->refused;
    }
    sw_alerts *alerts = round->alerts;
    if (sw_alert_table_find(&alerts->table, group->number) != SW_ALERT_NONE) {
        return true;
    }
    if (alerts->table.n + round->n_new >= alerts->options.max_alerts) {
        group->refused = true;
        alerts->refused++;
        return false;
    }
    round->n_new++;
    return true;
}

/* True when the trace is new; it is not any more then. */
static bool report(sw_alerts_round *round, sw_group *group, const sw_finding *finding,
                   const sw_trace *trace) {
    if (!sw_reported_add(round->alerts->reported, finding->type, trace->id, round->now_ns)) {
        return false;
    }
    sw_group_add_trace(&round->groups, group, finding, trace);
    return true;
}

static bool is_fresh(const sw_alerts_round *round, const sw_finding *finding, const sw_trace *trace) {
    return !sw_reported_has(round->alerts->reported, finding->type, trace->id);
}

static void group_by_trace(sw_alerts_round *round, const sw_finding *finding) {
    for (size_t i = 0; i < finding->n_traces; i++) {
        const sw_trace *trace = &finding->traces[i];
        if (is_fresh(round, finding, trace)) {
            sw_group *group =
                sw_groups_of(&round->groups, finding, trace->id, round->alerts->options.group_by);
            if (admit(round, group)) {
                sw_group_join(group, finding);
                report(round, group, finding, trace);
            }
        }
    }
}

static void group_finding(sw_alerts_round *round, const sw_finding *finding) {
    size_t fresh = 0;
    for (size_t i = 0; i < finding->n_traces; i++) {
        fresh += is_fresh(round, finding, &finding->traces[i]) ? 1 : 0;
    }
    if (finding->n_traces > 0 && fresh == 0) {
        return;
    }
    sw_group *group = sw_groups_of(&round->groups, finding, NULL, round->alerts->options.group_by);
    if (!admit(round, group)) {
        return;
    }
    sw_group_join(group, finding);
    for (size_t i = 0; i < finding->n_traces; i++) {
        report(round, group, finding, &finding->traces[i]);
    }
}

void sw_round_group_next(sw_alerts_round *round) {
    const sw_finding *finding = &round->findings[round->grouped++];
    if (round->alerts->per_trace && finding->n_traces > 0) {
        group_by_trace(round, finding);
    } else {
        group_finding(round, finding);
    }
    if (round->grouped == round->n_findings) {
        round->next_group = round->groups.by_identity;
    }
}
