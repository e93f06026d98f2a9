/* Which alert a finding is about, and what is known of a trace: questions that change nothing. */
#include "alerts/alerts_state.h"
#include "alerts/groups.h"

bool sw_alerts_fingerprint(const sw_alerts *alerts, const sw_finding *finding, size_t i,
                           char out[SW_FINGERPRINT_LEN + 1]) {
    bool by_trace = alerts->per_trace && finding->n_traces > 0;
    if (i >= (by_trace ? finding->n_traces : 1)) {
        return false;
    }
    sw_group_fingerprint(finding, by_trace ? finding->traces[i].id : NULL, alerts->options.group_by, out);
    return true;
}

size_t sw_alerts_new_traces(const sw_alerts *alerts, const sw_finding *finding) {
    size_t n = 0;
    for (size_t i = 0; i < finding->n_traces; i++) {
        n += sw_reported_has(alerts->reported, finding->type, finding->traces[i].id) ? 0 : 1;
    }
    return n;
}

void sw_alerts_reported(const sw_alerts *alerts, const char *trace_id,
                        void (*each)(const char *type, int64_t at_ns, void *arg), void *arg) {
    sw_reported_each_type(alerts->reported, trace_id, each, arg);
}
