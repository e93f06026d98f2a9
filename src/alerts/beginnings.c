/* Which alerts are about to begin to fire: judged like sw_alerts_apply(), but nothing changes. */
#define HASH_FUNCTION(key, len, hash) ((hash) = (unsigned)sw_keyed_hash(key, len))
#define uthash_fatal(message) abort()
#include "alerts/alerts_internal.h"

#include <stdlib.h>
#include <string.h>

#include "alerts/alerts_state.h"
#include "alerts/groups.h"

#define FINDINGS_MAX 2000 /* looked at */
#define TRACES_MAX 5000   /* of them together */

static void group_findings(const sw_alerts *alerts, const sw_finding *findings, size_t n, sw_groups *groups) {
    const char *const *group_by = alerts->options.group_by;
    size_t looked_at = 0;
    for (size_t i = 0; i < n && i < FINDINGS_MAX; i++) {
        const sw_finding *finding = &findings[i];
        for (size_t k = 0; k < finding->n_traces && looked_at < TRACES_MAX; k++, looked_at++) {
            const sw_trace *trace = &finding->traces[k];
            if (!sw_reported_has(alerts->reported, finding->type, trace->id)) {
                sw_group *group =
                    sw_groups_of(groups, finding, alerts->per_trace ? trace->id : NULL, group_by);
                sw_group_join(group, finding);
                sw_group_add_trace(groups, group, finding, trace);
            }
        }
        if (finding->n_traces == 0) {
            sw_group_join(sw_groups_of(groups, finding, NULL, group_by), finding);
        }
    }
}

static void take_other(sw_beginning *alert, const char *trace_id) {
    size_t at = alert->n_others < SW_BEGINNING_OTHERS ? alert->n_others++ : SW_BEGINNING_OTHERS - 1;
    snprintf(alert->others[at], sizeof alert->others[at], "%s", trace_id);
}

static void offer(sw_beginning *worst, const char *trace_id, double duration_ms) {
    if (worst->trace_id[0] == '\0' || duration_ms > worst->duration_ms) {
        if (worst->trace_id[0] != '\0') {
            take_other(worst, worst->trace_id);
        }
        snprintf(worst->trace_id, sizeof worst->trace_id, "%s", trace_id);
        worst->duration_ms = duration_ms;
    } else {
        take_other(worst, trace_id);
    }
}

/* False when the alert stays pending, or fires already. Offers what it has collected while pending. */
static bool begins(const sw_alerts *alerts, const sw_group *group, int64_t now_ns, sw_beginning *worst) {
    sw_alert_table *table = (sw_alert_table *)&alerts->table; /* only its view changes */
    int64_t for_ns =
        alerts->per_trace && group->n_fresh > 0 ? 0 : sw_alerts_seconds_to_ns(group->winner->for_s);
    size_t index = sw_alert_table_find(table, group->number);
    if (index == SW_ALERT_NONE) {
        return for_ns == 0;
    }
    const sw_alert *alert = sw_alert_table_view(table, index);
    for (size_t i = 0; i < alert->n_evidence; i++) {
        offer(worst, alert->evidence[i].trace_id, alert->evidence[i].duration_ms);
    }
    return alert->state == SW_ALERT_PENDING && sw_alerts_elapsed(alert->starts_at_ns, now_ns) >= for_ns;
}

static bool before(const sw_beginning *one, const sw_beginning *other) {
    return one->severity != other->severity ? one->severity > other->severity
                                            : one->duration_ms > other->duration_ms;
}

/* Keeps the first `max` in order. */
static size_t insert(sw_beginning *out, size_t n, size_t max, const sw_beginning *one) {
    size_t at = n;
    while (at > 0 && before(one, &out[at - 1])) {
        at--;
    }
    if (at == max) {
        return n;
    }
    size_t kept = n < max ? n : max - 1;
    memmove(&out[at + 1], &out[at], (kept - at) * sizeof *out);
    out[at] = *one;
    return kept + 1;
}

size_t sw_alerts_beginning(const sw_alerts *alerts, const sw_finding *findings, size_t n, int64_t now_ns,
                           sw_beginning *out, size_t max) {
    sw_groups groups = {0};
    group_findings(alerts, findings, n, &groups);
    size_t found = 0;
    const sw_group *group, *next;
    HASH_ITER(hh, groups.by_identity, group, next) {
        sw_beginning one = {
            .severity = group->severity, .type = group->winner->type, .service = group->service};
        memcpy(one.fingerprint, group->fingerprint, sizeof one.fingerprint);
        for (size_t at = group->first_fresh; at != 0; at = groups.fresh[at - 1].next) {
            offer(&one, groups.fresh[at - 1].trace->id, groups.fresh[at - 1].trace->duration_ms);
        }
        if (begins(alerts, group, now_ns, &one) && one.trace_id[0] != '\0') {
            found = insert(out, found, max, &one);
        }
    }
    sw_groups_release(&groups);
    return found;
}
