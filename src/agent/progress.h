/* How far a detector has judged what a source has, and the evaluation that is under way: what judge.c works
 * on.
 */
#ifndef SW_AGENT_PROGRESS_H
#define SW_AGENT_PROGRESS_H

#include "agent/agent_internal.h"

#include <uthash.h>

#define MAX_REVISED 64 /* windows remembered for repairs */
#define MAX_STEPS 256  /* windows judged in one evaluation; the rest follows in the next tick */

struct judged_trace {
    char id[SW_TRACE_ID_LEN + 1];
    uint64_t digest;
    int64_t at_ns;
    UT_hash_handle hh;
};

struct judged_window {
    int64_t from_s, to_s;
    unsigned revision; /* the source's, when it was judged last */
    unsigned times;    /* how often it was judged again */
};

struct step {
    int64_t from_s, to_s;
    unsigned times; /* 0: judged for the first time */
    bool advances;  /* the next window in order: judging it moves the detector's progress */
    bool counts;    /* the window's counts are known */
    bool traces;    /* carries the traces that are new */
};

struct offered {
    char id[SW_TRACE_ID_LEN + 1];
    uint64_t digest;
};

struct sw_progress {
    char *key; /* detector and source */
    char *name;
    sw_agent *agent;
    sw_feed *feed;
    int64_t judged_until_s; /* 0: nothing yet */
    int64_t seen_until_s; /* end of the newest window that held anything for it; of the first one otherwise */
    struct judged_trace *judged;
    int64_t expired_at_ns;
    struct judged_window windows[MAX_REVISED];
    size_t n_windows;
    unsigned failures; /* in a row, on the window that comes next */

    /* The evaluation under way. */
    bool busy;
    bool waits; /* for the detector's evaluation on another source to end */
    struct step steps[MAX_STEPS];
    size_t n_steps, next_step;
    struct offered *offered;
    size_t n_offered, offered_allocated;
    bool more_traces;      /* than one call carries */
    struct offered *taken; /* judged, and to be stored with what was found */
    size_t n_taken;
    sw_finding *findings;
    size_t n_findings;
    sw_culprits *culprits; /* of what was found */
    sw_applying *applying; /* what was found becomes alerts */
    bool known;            /* absence of a finding means that it is gone */
    bool traces_ok;
    char *reason;
    bool has_state;
    void *state;
    size_t state_len;
    int64_t state_version;
    sw_evaluation *record; /* for those who ask later; may be NULL */

    UT_hash_handle hh;
};

/* NULL when the detector has judged nothing of the source. */
sw_progress *sw_progress_find(const sw_feed *feed, const char *detector);
/* The same, made when it is not there. */
sw_progress *sw_progress_of(sw_feed *feed, const char *detector);
void sw_progress_remember(sw_progress *progress, const char *trace_id, uint64_t digest, int64_t at_ns);
void sw_progress_forget(sw_progress *progress, int64_t before_ns);
/* Drops the evaluation under way. */
void sw_progress_clear(sw_progress *progress);

#endif
