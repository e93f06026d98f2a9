/*
 * The life of alerts: inactive → pending (for) → firing → resolved (keep_firing_for), one machine per
 * fingerprint. Vocabulary: Prometheus and Alertmanager. No I/O, no clock of its own: time comes in,
 * transitions go out, and what must be stored is handed to the caller as changes, so that a tick is one
 * commit.
 *
 * Identity: type and grouping labels. The labels of a finding are service, operation and its own labels;
 * group_by keeps those that it names. A finding with a `key` has the label key alone, whatever group_by says.
 * With "trace_id" in group_by each trace of a finding makes an alert of its own, with the label trace_id (and
 * the other labels, if group_by names no others); findings without traces are then grouped as if it were not
 * named. The fingerprint is the first 16 hex digits of the SHA-256 of type and then name and value of each
 * label, sorted by name, all written as a decimal length, a colon and the text
 * ("5:error7:service8:checkout").
 *
 * Once per rule: a (type, trace id) that was reported is never reported again; sw_alerts_apply() drops it
 * from findings. A finding that had traces and has none left is no finding any more: it neither begins nor
 * keeps an alert. Findings without traces always count.
 *
 * An alert of one trace has one notification in all: it fires at once (a trace that is over cannot go on for
 * for_s), is never repeated, and ends without a notice.
 *
 * Withheld: the caller may say of each notification that it must not be told yet (silences, mute times). The
 * alert lives on as ever, and asks again at each evaluation and sw_alerts_tell_withheld(): a firing one is
 * told then, once, with all evidence that came meanwhile. One that ends before it was ever told is never
 * told; one that was told as firing stays known as resolved until its end may be told, and goes on as the
 * same alert if it comes back before.
 *
 * Flapping (flapping.h): found when an alert begins to fire, which is then told with `flapping` set. From
 * then on nothing is told of it until it has calmed down; then what is so is told, once: that it fires, or
 * that it has ended. Meanwhile it stays known, also as resolved, and goes on as the same alert. An alert of
 * one trace does not flap.
 *
 * Who resolves: absence counts only in a known evaluation of the detector that reported the alert last, on
 * the source that it reported it on. Both together are the alert's reporter, named "detector source".
 *
 * Time is the caller's wall clock, and differences below zero count as zero. A clock that steps back makes
 * things late by at most their own interval (stamps that are in the future are pulled back to now), never
 * early or twice. A clock that steps forward is believed: for_s, keep_firing_s, the repeat interval and the
 * memory of reported traces run out earlier by the step, at the next evaluation.
 */
#ifndef SW_ALERTS_ALERTS_H
#define SW_ALERTS_ALERTS_H

#include "alerts/culprit.h"
#include "alerts/flapping.h"
#include "base/buf.h"
#include "detectors/finding.h"

#define SW_FINGERPRINT_LEN 16

typedef enum sw_alert_state { SW_ALERT_PENDING, SW_ALERT_FIRING, SW_ALERT_RESOLVED } sw_alert_state;
const char *sw_alert_state_name(sw_alert_state state);

/* One offending trace as evidence. */
typedef struct sw_evidence {
    char trace_id[SW_TRACE_ID_LEN + 1];
    char *service, *operation, *error_message; /* never NULL */
    char *span_name;                           /* never NULL */
    int64_t start_ns;
    double duration_ms;
    bool notified; /* already in a notification */
} sw_evidence;

typedef struct sw_alert {
    char fingerprint[SW_FINGERPRINT_LEN + 1];
    char *type;
    char *detector;
    char *source;
    sw_label *labels; /* the identity, sorted; includes service and operation where they apply */
    size_t n_labels;
    sw_alert_state state;
    sw_severity severity;
    sw_severity told_severity; /* in the last notification: rising above it is told at once, falling is not */
    char *service, *operation; /* what all findings agree on, where it is no label; else NULL */
    char *summary;
    char *span_name, *error_message; /* may be NULL */
    char *detector_sha256;           /* of the detector's source, as it ran last; NULL when not a script */
    char *told;                      /* to whom, and when (told.h); NULL: to nobody yet */
    bool has_value, has_threshold, has_baseline, has_baseline_samples, has_duration, has_total, has_affected;
    double value, threshold, baseline, baseline_samples, duration_ms, total_traces;
    double affected_traces;   /* distinct traces since it began */
    int64_t starts_at_ns;     /* when the condition was first seen */
    int64_t fired_at_ns;      /* 0 while pending */
    int64_t last_seen_ns;     /* the last evaluation that had it */
    int64_t ends_at_ns;       /* 0 unless resolved */
    int64_t last_notified_ns; /* 0 when never */
    double for_s, keep_firing_s;
    uint32_t flap_states, flap_evaluation; /* sw_flap_history */
    bool flapping, told_flapping;          /* it does; the last notification said so */
    int64_t window_from_s, window_to_s;
    bool window_complete, window_estimated;
    sw_evidence *evidence; /* newest last, at most options.evidence_max (evidence.h says what is dropped) */
    size_t n_evidence;
    uint64_t n_untold;   /* offending traces since the last notification, with or without evidence kept */
    sw_culprit *culprit; /* of one offending trace, from when it began to fire on; NULL when not known */
} sw_alert;

typedef enum sw_notice { SW_NOTICE_FIRING, SW_NOTICE_REPEAT, SW_NOTICE_RESOLVED } sw_notice;

typedef struct sw_alerts_options {
    const char *const *group_by; /* NULL-terminated label names; NULL: every label, but not trace_id */
    int64_t repeat_interval_ns;
    size_t evidence_max;
    int64_t reported_ttl_ns;  /* how long (type, trace id) is remembered */
    size_t max_alerts;        /* cap; further new alerts are refused and counted, their traces not reported */
    double flap_high_percent; /* flapping begins at this; 0: never */
    double flap_low_percent;  /* and ends below this */
} sw_alerts_options;

/* What the caller must do; called from inside apply, in an order that can be replayed. The alert is valid
 * during the call. None is NULL.
 *
 * `reported` comes first, once for each trace of the alert. `notify` comes before what it changes: the alert
 * is in its new state, evidence is not marked as notified yet, and last_notified_ns is still that of the
 * notification before. Then `changed` gives what must be stored, after the notification; or `removed`, for
 * what resolved (after its notice) or never fired. */
typedef struct sw_alerts_sink {
    void (*notify)(const sw_alert *alert, sw_notice notice, void *arg); /* write an outbox row */
    void (*changed)(const sw_alert *alert, void *arg);                  /* store its state */
    void (*removed)(const char *fingerprint, void *arg);                /* delete its state */
    void (*reported)(const char *type, const char *trace_id, int64_t at_ns, void *arg); /* store that */
    void *arg;
    /* Whether the notification must not be told yet; before `notify`. `again`: that was said before. NULL:
     * never. */
    bool (*withheld)(const sw_alert *alert, sw_notice notice, bool again, void *arg);
    /* The culprit of an alert that begins to fire, or NULL; valid until apply returns. NULL: never known. */
    const sw_culprit *(*culprit)(const sw_alert *alert, void *arg);
    /* Store the history of an alert that is gone; NULL: delete it. NULL: not stored. */
    void (*history)(const char *fingerprint, const char *reporter, const sw_flap_history *history, void *arg);
    /* Store the number of the reporter's evaluations that knew. NULL: not stored. */
    void (*evaluated)(const char *reporter, uint32_t number, void *arg);
    /* After `notify`: what alert->told is to be, valid until the next notification. NULL: stays. */
    const char *(*told)(const sw_alert *alert, void *arg);
    /* When a firing alert that was told is to be told again. NULL: repeat_interval_ns after it was told last.
     */
    int64_t (*repeat_at)(const sw_alert *alert, void *arg);
} sw_alerts_sink;

#define SW_BEGINNING_OTHERS 2

/* An alert that would begin to fire. */
typedef struct sw_beginning {
    char fingerprint[SW_FINGERPRINT_LEN + 1];
    const char *type;                                      /* of a finding */
    const char *service;                                   /* of the findings, when they agree; else NULL */
    char trace_id[SW_TRACE_ID_LEN + 1];                    /* its longest offending trace */
    double duration_ms;                                    /* of that trace */
    char others[SW_BEGINNING_OTHERS][SW_TRACE_ID_LEN + 1]; /* the first and the last of the others */
    size_t n_others;
    sw_severity severity;
} sw_beginning;

typedef struct sw_alerts sw_alerts;

sw_alerts *sw_alerts_new(const sw_alerts_options *options);
void sw_alerts_free(sw_alerts *alerts);

/* Taking over what was stored; before the first apply. Takes ownership of nothing. */
void sw_alerts_restore(sw_alerts *alerts, const sw_alert *alert);
void sw_alerts_restore_reported(sw_alerts *alerts, const char *type, const char *trace_id, int64_t at_ns);
void sw_alerts_restore_history(sw_alerts *alerts, const char *fingerprint, const char *reporter,
                               const sw_flap_history *history);
void sw_alerts_restore_evaluated(sw_alerts *alerts, const char *reporter, uint32_t number);

/* One evaluation of one detector on one source: its findings in this tick (several windows concatenated,
 * oldest first). `known`: whether absence means gone (complete window, detector succeeded); if false nothing
 * resolves.
 * `counted` (may be NULL) is told how many offending traces of a type were reported for the first time, once
 * for each alert. */
void sw_alerts_apply(sw_alerts *alerts, const char *detector, const char *source, const sw_finding *findings,
                     size_t n, bool known, int64_t now_ns, const sw_alerts_sink *sink,
                     void (*counted)(const char *type, uint64_t traces, void *arg), void *counted_arg);

/* The same in pieces, so that 10 000 findings hold up nobody: a step looks at one finding or one alert, and
 * says false when nothing is left. In between everything else may be called, and what was given to the sink
 * may be stored: each alert goes with its reported traces, so that whoever stops in the middle loses nothing
 * and tells nothing twice when the same findings come again. Findings, name and sink's arg must stay until
 * the end. */
typedef struct sw_alerts_round sw_alerts_round;
sw_alerts_round *sw_alerts_round_new(sw_alerts *alerts, const char *detector, const char *source,
                                     const sw_finding *findings, size_t n, bool known, int64_t now_ns,
                                     const sw_alerts_sink *sink,
                                     void (*counted)(const char *type, uint64_t traces, void *arg),
                                     void *counted_arg);
bool sw_alerts_round_step(sw_alerts_round *round);
void sw_alerts_round_free(sw_alerts_round *round);
/* The alerts with offending traces that sw_alerts_apply() would let begin to fire now, the most severe first
 * and then the longest, at most `max` (> 0). Of very many findings only the first are looked at: this serves
 * to fetch a few traces. */
size_t sw_alerts_beginning(const sw_alerts *alerts, const sw_finding *findings, size_t n, int64_t now_ns,
                           sw_beginning *out, size_t max);
/* Asks again about everything that was withheld, and tells what may be told now. */
void sw_alerts_tell_withheld(sw_alerts *alerts, int64_t now_ns, const sw_alerts_sink *sink);
/* The same in pieces; NULL when nothing is withheld. */
sw_alerts_round *sw_alerts_withheld_round(sw_alerts *alerts, int64_t now_ns, const sw_alerts_sink *sink);
/* Forgets reported ids older than the ttl. */
void sw_alerts_expire(sw_alerts *alerts, int64_t now_ns);

/* Those that are known: also resolved ones whose notice is withheld. */
size_t sw_alerts_count(const sw_alerts *alerts);
/* Up to `n` of them, from a place on: the next place, or SIZE_MAX at the end. When sw_alerts_moves() has
 * changed in between, some may have moved before that place: begin again. */
size_t sw_alerts_some(const sw_alerts *alerts, size_t from, size_t n,
                      void (*each)(const sw_alert *alert, void *arg), void *arg);
uint64_t sw_alerts_moves(const sw_alerts *alerts);
void sw_alerts_each(const sw_alerts *alerts, void (*each)(const sw_alert *alert, void *arg), void *arg);
/* Those that have a culprit; the others are passed over quickly. */
void sw_alerts_each_with_culprit(const sw_alerts *alerts, void (*each)(const sw_alert *alert, void *arg),
                                 void *arg);
/* How many there are of each sw_alert_state, and who reported any of them last: both without looking into the
 * alerts, so that 100 000 of them are no matter. */
void sw_alerts_count_states(const sw_alerts *alerts, size_t counts[3]);
void sw_alerts_each_reporter(const sw_alerts *alerts,
                             void (*each)(const char *detector, const char *source, void *arg), void *arg);
/* NULL when absent. Valid until the next call that takes the alerts. */
const sw_alert *sw_alerts_find(const sw_alerts *alerts, const char *fingerprint);
/* The fingerprint of the `i`th alert that the finding is about: one, or with trace_id in group_by one for
 * each of its traces. False when there is no such. */
bool sw_alerts_fingerprint(const sw_alerts *alerts, const sw_finding *finding, size_t i,
                           char out[SW_FINGERPRINT_LEN + 1]);
/* How many of its traces have not been reported under its type yet. */
size_t sw_alerts_new_traces(const sw_alerts *alerts, const sw_finding *finding);
/* Under which types the trace was reported, and when. */
void sw_alerts_reported(const sw_alerts *alerts, const char *trace_id,
                        void (*each)(const char *type, int64_t at_ns, void *arg), void *arg);
uint64_t sw_alerts_refused(const sw_alerts *alerts); /* over max_alerts */

void sw_alert_release(sw_alert *alert);
void sw_alert_copy(sw_alert *to, const sw_alert *from);
/* NULL when absent. */
const char *sw_alert_label(const sw_alert *alert, const char *name);
/* Its flapping was told, and has not ended: nothing else is told of it. */
bool sw_alert_is_held_as_flapping(const sw_alert *alert);
/* State as JSON for the store, and back (0 or -1). */
int sw_alert_to_json(const sw_alert *alert, sw_buf *out);
int sw_alert_from_json(const char *json, size_t len, sw_alert *out);

#endif
