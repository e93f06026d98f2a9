/* One evaluation, as the files of the state machine see it. */
#ifndef SW_ALERTS_ROUND_H
#define SW_ALERTS_ROUND_H

#include "alerts/alerts_state.h"
#include "alerts/groups.h"

struct sw_alerts_round {
    sw_alerts *alerts;
    const char *detector;
    uint32_t reporter;
    uint32_t number; /* of the evaluation, counted for the detector: of the last one that knew */
    uint32_t evaluation;
    bool known;
    int64_t now_ns;
    sw_alerts_sink sink;
    void (*counted)(const char *type, uint64_t traces, void *arg);
    void *counted_arg;
    const sw_finding *findings;
    size_t n_findings;
    sw_groups groups;
    size_t n_new;  /* groups that will be new alerts */
    bool withheld; /* what the alert at hand has to say is */

    /* Where it is: first all findings are grouped, then each group becomes its alert, then the others. */
    size_t grouped;
    const sw_group *next_group;
    size_t next_absent;
    uint64_t n_removed; /* alerts->n_removed, when next_absent was right */

    /* It is about what was withheld, and nothing else. */
    bool tells_withheld;
    size_t next_withheld;
};

/* ---- round_grouping.c ---- */

/* The next finding, of those that are not in groups yet: there is one. What is reported is so from here on.
 */
void sw_round_group_next(sw_alerts_round *round);

/* ---- round_flapping.c ---- */

/* First of all: an evaluation that knows has a number of its own. */
void sw_round_count_evaluation(sw_alerts_round *round);
/* Of an alert that comes: its history is stored with it from then on. */
void sw_round_recall_history(const sw_alerts_round *round, uint64_t fingerprint, sw_alert *alert);
/* Of an alert that goes: kept, unless there is nothing in it. */
void sw_round_keep_history(const sw_alerts_round *round, size_t index, const sw_alert *alert);
void sw_round_record(const sw_alerts_round *round, sw_alert *alert, bool firing);
/* Records the state that this evaluation has led to, and with it flapping may begin or end. It begins with a
 * beginning, so that it is told with one. */
void sw_round_note_state(const sw_alerts_round *round, sw_alert *alert);

#endif
