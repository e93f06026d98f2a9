/* All the alerts that are known: what alerts.c and beginnings.c share. */
#ifndef SW_ALERTS_ALERTS_STATE_H
#define SW_ALERTS_ALERTS_STATE_H

#include "alerts/alert_table.h"
#include "alerts/reported.h"

struct sw_alerts {
    sw_alerts_options options; /* group_by is copied */
    char **group_by;
    bool per_trace; /* group_by names trace_id */
    sw_alert_table table;
    sw_reported *reported;
    sw_flaps *flaps;
    /* "detector source"; their numbers are their places. As many as script files, for each source. */
    char **reporters;
    uint32_t *evaluated; /* of each: how many of its evaluations knew */
    size_t n_reporters;
    uint32_t evaluation;
    int64_t last_now_ns;
    uint64_t refused;
    uint64_t n_removed;
};

/* Time since then; 0 when that is in the future. */
int64_t sw_alerts_elapsed(int64_t since_ns, int64_t now_ns);
int64_t sw_alerts_seconds_to_ns(double seconds); /* 0 for what is not positive, at most 31 years */

#endif
