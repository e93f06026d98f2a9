/*
 * The findings of one evaluation, grouped by identity: what sw_alerts_apply() judges. Borrows everything from
 * the findings, which must stay until the groups are released.
 */
#ifndef SW_ALERTS_GROUPS_H
#define SW_ALERTS_GROUPS_H

#include <uthash.h>

#include "alerts/alerts_internal.h"

/* A trace that is reported for the first time. */
typedef struct sw_fresh {
    const sw_finding *finding;
    const sw_trace *trace;
    size_t next; /* index + 1; 0 at the end */
} sw_fresh;

typedef struct sw_group {
    char fingerprint[SW_FINGERPRINT_LEN + 1];
    uint64_t number; /* the same */
    size_t n_labels;
    sw_label *labels;                        /* behind the group, and behind them the identity */
    const sw_finding *winner;                /* whose value, threshold and texts the alert takes */
    sw_severity severity;                    /* the highest */
    const char *service, *operation;         /* what all findings agree on; NULL when they do not */
    size_t n_fresh, first_fresh, last_fresh; /* indices + 1 */
    bool refused;                            /* there is no room for this alert */
    UT_hash_handle hh;
} sw_group;

typedef struct sw_groups {
    sw_group *by_identity; /* in the order of adding */
    sw_fresh *fresh;
    size_t n_fresh, fresh_allocated;
} sw_groups;

/* Of the alert that the finding is about; as for sw_groups_of(). */
void sw_group_fingerprint(const sw_finding *finding, const char *trace_id, const char *const *group_by,
                          char out[SW_FINGERPRINT_LEN + 1]);
/* The group of the finding, made when it is new. `trace_id` is NULL unless it is part of the identity. */
sw_group *sw_groups_of(sw_groups *groups, const sw_finding *finding, const char *trace_id,
                       const char *const *group_by);
/* The finding is one of this group: it may win, and raise the severity. */
void sw_group_join(sw_group *group, const sw_finding *finding);
void sw_group_add_trace(sw_groups *groups, sw_group *group, const sw_finding *finding, const sw_trace *trace);
void sw_groups_release(sw_groups *groups);

#endif
