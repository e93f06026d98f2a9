/*
 * The last evaluations of each detector, for `spanwatch explain`: what it was given to judge, what it said,
 * and what became of that. Bounded: of each detector on each source the last SW_EVALUATIONS_KEPT, and besides
 * them as many in which an alert began, was told, was kept back for the first time, or ended; all together
 * SW_EVALUATIONS_BYTES, over which the oldest go first. The latter, which are few, are given to a sink that
 * stores them, and so outlive a restart, but for the traces that were judged in them.
 *
 * An evaluation is recorded while it goes on (sw_evaluation_*: NULL is fine everywhere and does nothing) and
 * kept when it is over.
 */
#ifndef SW_AGENT_EVALUATIONS_H
#define SW_AGENT_EVALUATIONS_H

#include <jansson.h>

#include "alerts/alerts.h"
#include "detectors/detectors.h"

#define SW_EVALUATIONS_KEPT 50
#define SW_EVALUATIONS_BYTES ((size_t)4 << 20)
/* What one evaluation keeps; of everything else only the number. */
#define SW_EVALUATION_CALLS 8     /* windows: the last */
#define SW_EVALUATION_TRACES 2000 /* judged: the first */
#define SW_EVALUATION_SERIES                                                                                 \
    50 /* of the last window: those with most failed requests, then with most requests */
#define SW_EVALUATION_FINDINGS 200
#define SW_EVALUATION_VERDICTS 200
/* A reason for keeping back: whether another alert inhibits this one is decided at the end of the tick. */
#define SW_EVALUATION_UNDECIDED "until all of the tick is judged"
#define SW_EVALUATION_FINGERPRINTS 10 /* of one finding */

typedef struct sw_evaluations sw_evaluations;
typedef struct sw_evaluation sw_evaluation;

sw_evaluations *sw_evaluations_new(size_t max_bytes);
void sw_evaluations_free(sw_evaluations *evaluations);
size_t sw_evaluations_bytes(const sw_evaluations *evaluations);

/* Stores what is worth it. Ids ascend. */
typedef struct sw_evaluations_sink {
    void (*kept)(int64_t id, const char *json, size_t len, void *arg);
    void (*dropped)(int64_t id, void *arg);
    void *arg;
} sw_evaluations_sink;
/* One that was stored; in their order, before any other and before there is a sink. -1 when it cannot be
 * read. */
int sw_evaluations_restore(sw_evaluations *evaluations, int64_t id, const char *json, size_t len);
void sw_evaluations_set_sink(sw_evaluations *evaluations, const sw_evaluations_sink *sink); /* copies */

/* ---- one that goes on ---- */

sw_evaluation *sw_evaluation_begin(const char *detector, const char *source, int64_t at_ns);
void sw_evaluation_free(sw_evaluation *evaluation); /* one that is given up */
/* Before each call: the window, and which of its traces are judged. After it: what the detector said. */
void sw_evaluation_window(sw_evaluation *evaluation, const sw_window *window);
void sw_evaluation_trace(sw_evaluation *evaluation, const sw_trace *trace);
void sw_evaluation_result(sw_evaluation *evaluation, const sw_check_result *result);
/* Before the findings are applied. `known`: absence of a finding meant that it is gone. */
void sw_evaluation_findings(sw_evaluation *evaluation, const sw_alerts *alerts, const sw_finding *findings,
                            size_t n, bool known);
/* A finding as it is recorded, but for new_traces. */
json_t *sw_finding_to_record(const sw_alerts *alerts, const sw_finding *finding);
/* While they are applied: what became of alerts, in the words of sw_alerts_sink. */
void sw_evaluation_told(sw_evaluation *evaluation, const sw_alert *alert, sw_notice notice);
/* `first`: for the first time because of this. */
void sw_evaluation_withheld(sw_evaluation *evaluation, const sw_alert *alert, sw_notice notice,
                            const char *reason, bool first);
void sw_evaluation_changed(sw_evaluation *evaluation, const sw_alert *alert);
void sw_evaluation_removed(sw_evaluation *evaluation, const char *fingerprint);
/* Nothing was found and nothing became of any alert. */
bool sw_evaluation_is_empty(const sw_evaluation *evaluation);
/* An alert began, was told, was kept back for the first time, or ended. */
bool sw_evaluation_is_eventful(const sw_evaluation *evaluation);

/* ---- those that are over ---- */

/* Takes the evaluation. Without `evaluations` (NULL) it is thrown away. */
void sw_evaluations_keep(sw_evaluations *evaluations, sw_evaluation *evaluation);

/* A trace as it was judged. */
typedef struct sw_judged {
    double duration_ms;
    sw_status status;
    size_t call; /* of the record's `calls`; SIZE_MAX when that one is not kept */
} sw_judged;

/* One that is kept, before its record is read, which takes 50 µs and more. */
typedef struct sw_kept_evaluation {
    const char *detector, *source;
    const char *json; /* the record's text: what it does not hold, such as a fingerprint, is not in it */
    bool judged;      /* the trace that is asked for was judged in it */
} sw_kept_evaluation;

/* Those that are `wanted` (NULL: all), of one detector (NULL: of each), oldest first. `record` is
 *   {detector, source, detector_sha256, at_ns, known, calls: [{from, to, revision, complete, estimated,
 * reason, series, requests, errors, traces, result, message}], more_calls, traces, series: [[service,
 * operation, count, errors]], more_series, findings: [{type, service, operation, fingerprints: [], value,
 * threshold, baseline, total_traces, severity, summary, traces: [], n_traces, new_traces, window_to}],
 * more_findings, verdicts:
 * [{fingerprint, type, labels, state, told, notice, withheld, starts_at_ns, last_seen_ns, last_notified_ns,
 * for_s}], more_verdicts} in which what does not apply is left out. `judged` is the trace with that id (may
 * be NULL: none is looked for) when it was judged there, else NULL. Both are valid in the call only. */
void sw_evaluations_each(const sw_evaluations *evaluations, const char *detector, const char *trace_id,
                         bool (*wanted)(const sw_kept_evaluation *kept, const void *arg),
                         void (*each)(const json_t *record, const sw_judged *judged, void *arg), void *arg);

#endif
