/* What the files of src/agent share. Nothing here is for anybody else. */
#ifndef SW_AGENT_INTERNAL_H
#define SW_AGENT_INTERNAL_H

#include <uv.h>

#include "agent/agent.h"
#include "agent/evaluations.h"
#include "agent/receivers.h"
#include "agent/routing.h"
#include "alerts/alerts.h"
#include "alerts/inhibition.h"
#include "alerts/silences.h"
#include "base/clock.h"
#include "config/mute_times.h"
#include "delivery/outbox.h"
#include "detectors/detectors.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/secret.h"
#include "sources/otlp/grpc_receiver.h"
#include "sources/otlp/receiver.h"
#include "sources/source.h"
#include "store/store.h"
#include "telemetry/metrics.h"

/* How long a trace that was reported or judged is remembered: far longer than any source looks back. */
#define SW_AGENT_REMEMBER_NS (INT64_C(24) * 3600 * SW_NS_PER_S)
/* Windows are judged again for this long when late spans repair their counts. */
#define SW_AGENT_REVISE_S 300

typedef struct sw_agent sw_agent;
typedef struct sw_progress sw_progress;
typedef struct sw_pending sw_pending;
typedef struct sw_receivers sw_receivers;
typedef struct sw_culprits sw_culprits;
typedef struct sw_applying sw_applying;
typedef struct sw_rule_question sw_rule_question;

typedef struct sw_agent_metrics {
    sw_metric *anomalies; /* trace_anomalies_total{type} */
    sw_metric *checks;    /* trace_alert_checks_total{status,source} */
    sw_metric *ticks, *ticks_late, *ticks_missed, *tick_duration;
    sw_metric *watermark_age;   /* {detector,source} */
    sw_metric *windows_skipped; /* {detector,source} */
    sw_metric *commits, *commit_duration, *decision;
    sw_metric *longest_pass;
    sw_metric *alerts; /* {state} */
    sw_metric *alerts_refused;
    sw_metric *suppressed; /* {reason} */
    sw_metric *cpu, *resident, *storage_size;
    sw_metric *heartbeats;      /* {result} */
    sw_metric *culprit_fetches; /* {result} */
} sw_agent_metrics;

/* Of the spans that came in a tick: more of them that are late, of the future or dropped are trouble. */
#define SW_SPANS_MANY 0.01

/* One source, and what the agent knows of it. */
typedef struct sw_feed {
    sw_agent *agent;
    int number;        /* protocol/sources.h */
    sw_source *source; /* NULL: not enabled */
    int64_t settle_s;  /* how old spans are when they are judged */
    /* Nobody has asked for it by name: until it has answered once, its absence is no trouble. */
    bool optional;
    bool absence_told;
    bool answered; /* ever, also before a restart */
    bool polling;
    bool polled_once;                                 /* it has answered since the start */
    unsigned polls_failed, polls_incomplete;          /* in a row */
    unsigned polls_late, polls_future, polls_dropped; /* in a row with many such spans (sw_spans_sent) */
    unsigned polls_refused;                           /* in a row with such requests */
    sw_poll_result last_poll;                         /* its texts are not kept */
    char *last_poll_reason;                           /* why the last poll was not whole; NULL when it was */
    int64_t last_byte_mono_ns;
    int64_t stored_watermark_s; /* as it was stored last */
} sw_feed;

struct sw_agent {
    const sw_config *config;
    sw_agent_paths paths;
    const sw_clock *clock;
    uv_loop_t loop;
    sw_metrics *metrics;
    sw_agent_metrics m;
    sw_http_call *heartbeat; /* under way (heartbeat.c) */
    bool heartbeat_failing;
    sw_http_client *http;
    sw_http_server *server;
    sw_secrets *api_secrets;
    bool token_unreadable, password_unreadable; /* of the API, and said */
    sw_store *store;
    int64_t started_at_ns; /* unix */
    sw_receivers *receivers;
    sw_routing *routing;
    sw_alerts *alerts;
    sw_silences *silences;
    sw_mute_times *mute_times;
    /* inhibiting.c */
    sw_inhibit_rules inhibit_rules;
    sw_inhibition *inhibition, *inhibition_before; /* as it was decided last; before that, while it decides */
    sw_applying *telling;                          /* what was withheld is being asked about (alerting.c) */
    sw_evaluation *telling_record;
    sw_detectors *detectors;
    sw_feed feeds[SW_SOURCES];
    char *unfed;                     /* detectors that no enabled source feeds, as they were told last */
    sw_otlp_receiver *otlp_receiver; /* what sends to the source OTLP; each may be NULL */
    sw_otlp_grpc *otlp_grpc;

    /* The tick (tick.c). */
    uv_timer_t tick_timer;
    int64_t next_tick_mono_ns;
    int64_t tick_started_mono_ns;
    uint64_t ticks;
    unsigned fetched;                   /* traces asked for in this tick (culprits.c) */
    unsigned evaluating;                /* evaluations under way */
    void (*tick_done)(sw_agent *agent); /* once.c; NULL when running */
    /* Takes the findings instead of the alerts (once.c); NULL when running. */
    void (*found)(sw_agent *agent, const char *detector, const char *source, const sw_finding *findings,
                  size_t n, bool known);

    sw_evaluations *evaluations; /* the last ones; NULL: none are kept */
    sw_evaluation *evaluation;   /* whose findings are being applied; NULL otherwise */
    sw_buf told;                 /* to whom the alert at hand was told (alerting.c) */
    sw_rule_question *asked;     /* how a rule judges a trace, for somebody who waits (explain_rule.c) */
    const sw_culprits *culprits; /* of the findings that are being applied; NULL otherwise */
    sw_progress *progress;       /* uthash by detector name and source (progress.c) */

    /* What is not committed yet (commit.c). */
    uv_prepare_t flush_handle;
    uv_timer_t retry_timer;
    sw_pending *pending, *in_flight;
    char *storage_error;  /* why it could not be written last; NULL when it never could not */
    char *storage_damage; /* what was found when it was opened, or NULL */
    bool commit_failing;
    bool dead_letter_changing; /* one at a time (api_notifications.c) */

    /* Life (run.c). */
    uv_signal_t signals[3];
    uv_timer_t watchdog;
    bool stopping;
    bool trimming; /* memory.c */
    bool loaded;   /* first scan of the scripts is over */

    /* inhibiting.c, alerting.c */
    bool inhibition_waits; /* an alert that could be inhibited waits for the decision */
    bool inhibition_decides;
    bool tell_again;

    /* The longest pass of the loop (loop_watch.c). */
    uv_prepare_t pass_prepare;
    int64_t pass_started_ns, longest_pass_ns, waited_ns;

    /* What the heap does not need is given back (memory.c). */
    uv_work_t trim_work;
    int64_t resident_after_trim;

    /* Evaluations whose findings are being applied (applying.c). */
    sw_applying *applying;
    uv_idle_t apply_idle;
};

/* wiring.c: everything but signals and listeners. `receives`: sources that are sent to are among them, not
 * only those that can be asked. 0, or an exit code after saying why. */
int sw_agent_open(sw_agent *agent, const sw_config *config, const sw_agent_paths *paths,
                  const sw_clock *clock, bool receives);
/* Frees what open made, in the opposite order, and closes the loop. */
void sw_agent_close(sw_agent *agent);

/* tick.c */
void sw_tick_start(sw_agent *agent); /* first tick now, then every interval */
void sw_tick_stop(sw_agent *agent);
void sw_tick_once(sw_agent *agent);               /* one tick; agent->tick_done is called at its end */
void sw_tick_evaluated(sw_agent *agent);          /* judge.c: an evaluation has ended */
bool sw_tick_is_under_way(const sw_agent *agent); /* not everything has been polled and judged */

/* feeds.c: the sources, and how they are. */
void sw_feeds_open(sw_agent *agent, bool receives);
void sw_feeds_restore(sw_agent *agent); /* what was stored */
/* Begins to receive, where OTLP is a source. 0, or an exit code after saying why. */
int sw_feeds_receive(sw_agent *agent);
void sw_feeds_free(sw_agent *agent);
/* Says which of the running detectors ask for sources that are not enabled; `arg` is the agent. */
void sw_feeds_tell_unfed(void *arg);
/* The source that a script may ask (a number); NULL when there is none. */
sw_source *sw_feeds_askable(sw_agent *agent, int number);
/* How a poll ended. */
void sw_feed_polled(sw_feed *feed, const sw_poll_result *result);
void sw_feed_remember(sw_feed *feed); /* its origin and watermark, in the batch being filled */
/* It is there for whoever has asked for it: neither disabled, nor optional and never heard of. */
bool sw_feed_counts(const sw_feed *feed);
bool sw_feed_failed(const sw_feed *feed);      /* the last poll learnt nothing */
bool sw_feed_is_away(const sw_feed *feed);     /* for so long that it is an alert */
char *sw_feeds_trouble(const sw_agent *agent); /* why not everything could be asked; NULL. Caller frees */
int64_t sw_tick_next(int64_t planned_ns, int64_t now_ns, int64_t interval_ns, unsigned *missed);

/* judge.c: what each detector has judged, and what it must judge now. */
void sw_judge_restore(sw_agent *agent);
void sw_judge_all(sw_feed *feed, const sw_poll_result *poll);
void sw_judge_stop(
    sw_agent *agent); /* what waits for the source is given up, and judged again after a restart */
void sw_judge_free(sw_agent *agent);
/* Of each detector on each source: the end of the newest window that it has judged and of the newest in which
 * it was given anything to see (0: none yet), in unix seconds. */
void sw_judge_each(const sw_agent *agent,
                   void (*each)(const char *detector, const sw_feed *feed, int64_t judged_until_s,
                                int64_t seen_until_s, void *arg),
                   void *arg);
/* When the detector judged the trace of this source last, in its newest form; 0 when it is not known to have.
 */
int64_t sw_judge_trace_at_ns(const sw_feed *feed, const char *detector, const char *trace_id);
/* The earliest second that a detector still has to see. */
int64_t sw_judge_oldest_needed_s(const sw_feed *feed, int64_t horizon_s);
int64_t sw_judge_lookback_s(const sw_feed *feed);

/* culprits.c: the culprit spans of alerts that are about to fire. Asks the source for their traces, at most
 * SPANWATCH_CULPRIT_FETCHES in a tick and for SW_CULPRITS_WAIT_MS. When
 * it is waiting then, `done` comes once, from the loop, unless it is freed before. */
#define SW_CULPRITS_WAIT_MS 2000
sw_culprits *sw_culprits_find(sw_feed *feed, const sw_finding *findings, size_t n, void (*done)(void *arg),
                              void *arg);
bool sw_culprits_waiting(const sw_culprits *culprits);
const sw_culprit *sw_culprits_of(const sw_culprits *culprits, const char *fingerprint); /* or NULL */
void sw_culprits_free(sw_culprits *culprits);

/* commit.c: one batch at a time; what comes meanwhile waits for the next. */
sw_store_batch *sw_commit_batch(sw_agent *agent); /* the batch being filled */
/* When the batch being filled is committed, the detector's state is, and how far it has judged. Copies. */
void sw_commit_detector(const sw_feed *feed, const char *detector, int64_t judged_until_s, const void *state,
                        size_t len, int64_t state_version);
void sw_commit_start(sw_agent *agent);
void sw_commit_stop(sw_agent *agent);
bool sw_commit_idle(const sw_agent *agent);
void sw_commit_flush(sw_agent *agent); /* now, unless one is in flight */

/* alerting.c: findings → alerts → outbox. */
void sw_alerting_restore(sw_agent *agent);
void sw_alerting_apply(sw_agent *agent, const char *detector, const char *source, const sw_finding *findings,
                       size_t n, bool known);
/* The same as a round to be stepped through. */
sw_alerts_round *sw_alerting_round(sw_agent *agent, const char *detector, const char *source,
                                   const sw_finding *findings, size_t n, bool known);

/* applying.c: steps through a round, some of it in each pass of the loop, and frees it. `record` (may be
 * NULL) hears what becomes of alerts. `done` from the loop, unless cancelled. */
sw_applying *sw_applying_start(sw_agent *agent, sw_alerts_round *round, const sw_culprits *culprits,
                               sw_evaluation *record, void (*done)(void *arg), void *arg);
/* Before the round: it is decided by what comes of this, which must stay. */
void sw_applying_decide(sw_applying *applying, sw_inhibition *inhibition);
void sw_applying_cancel(sw_applying *applying); /* NULL is fine */
void sw_applying_open(sw_agent *agent);
void sw_applying_close(sw_agent *agent);

/* When a repetition of it is due for the first of the receivers that routes lead to. */
int64_t sw_alerting_repeat_at(const sw_agent *agent, const sw_alert *alert);
/* Writes a notification: a row for the receiver in the batch being filled, whatever the routes say. */
void sw_alerting_notify_one(sw_agent *agent, const sw_alert *alert, sw_notice notice, const char *receiver);
/* What was withheld and may be told now: begins to tell it. */
void sw_alerting_tell_withheld(sw_agent *agent);
void sw_alerting_close(sw_agent *agent); /* ends that */

/* silencing.c: what keeps notifications back. */
void sw_silencing_open(sw_agent *agent);
void sw_silencing_close(sw_agent *agent);
void sw_silencing_restore(sw_agent *agent);
sw_silences_sink sw_silencing_sink(sw_agent *agent); /* stores what changes, in the batch being filled */
/* Why a notification of the alert must not be sent now ("silenced", "muted"), or NULL. */
const char *sw_silencing_reason(const sw_agent *agent, const sw_alert *alert);
/* Ends what is over, and sends what is not kept back any more: once per tick, and after a change. */
void sw_silencing_sweep(sw_agent *agent);

/* inhibiting.c: what is kept back because of another alert. */
void sw_inhibiting_open(sw_agent *agent);
void sw_inhibiting_close(sw_agent *agent);
/* Around telling what was withheld. What is to be decided for that; NULL while an evaluation is under way, or
 * when nothing waits for it. */
sw_inhibition *sw_inhibiting_begin(sw_agent *agent);
void sw_inhibiting_end(sw_agent *agent);
/* Whether the notification must not be told now: it is inhibited, or that is not decided yet. Ends are never
 * kept back. *counts: it is inhibited, and was not when that was decided before. */
bool sw_inhibiting_holds(sw_agent *agent, const sw_alert *alert, sw_notice notice, bool *counts);
/* For a notification that is told now; NULL when there is none, or it is not decided. */
const sw_likely_cause *sw_inhibiting_cause(const sw_agent *agent, const sw_alert *alert);
/* As it is now, for those who ask. Caller frees. */
sw_inhibition *sw_inhibiting_now(const sw_agent *agent);

/* formatting.c: a receiver's format, for its outbox; it is closed after the outbox. */
sw_formatting *sw_formatting_open(sw_agent *agent, const sw_receiver_config *receiver);
sw_row_format sw_formatting_rows(sw_formatting *formatting); /* NULL: bodies go out as they are */
void sw_formatting_close(sw_formatting *formatting);
/* Why the last notification could not be formatted; NULL when it could. */
const char *sw_formatting_error(const sw_formatting *formatting);
void sw_formatting_probe(sw_formatting *formatting); /* after each tick: tries what failed again */

/* resending.c: what fires is sent to the receiver again, every resend_secs. Stop it before the receiver goes;
 * the loop must run once more then. */
sw_resending *sw_resending_start(sw_agent *agent, const sw_receiver *receiver);
void sw_resending_stop(sw_resending *resending);

/* blindness.c: what keeps the agent from seeing or telling, now. Caller frees. */
sw_finding *sw_blindness(const sw_agent *agent, size_t *n);
/* False while a source has begun to fail but not for long enough to be an alert, as after a restart:
 * nothing ends then. */
bool sw_blindness_known(const sw_agent *agent);

/* heartbeat.c: a call of SPANWATCH_HEARTBEAT_URL at the end of each tick in which all is well. */
void sw_heartbeat(sw_agent *agent);

/* own_alerts.c: findings about the agent itself, and alerts of detectors that are gone. */
#define SW_AGENT_SELF "spanwatch" /* who reports what concerns the agent itself */
void sw_own_alerts(sw_agent *agent);

/* host_functions.c: what scripts may ask. */
sw_host_functions sw_agent_host_functions(sw_agent *agent);
char *sw_agent_config_for(const char *detector, void *agent); /* caller frees */

/* api_access.c: who may ask what of the HTTP server. False when it has replied. */
bool sw_api_admit(sw_http_exchange *exchange, void *agent);

/* http_api.c */
int sw_api_start(sw_agent *agent);
/* api_alerts.c */
void sw_api_alerts_routes(sw_agent *agent);
/* api_config.c: the routes as Alertmanager's configuration. Caller frees. */
char *sw_api_config_text(const sw_config *config);
/* api_alert.c */
void sw_api_alert_route(sw_agent *agent);
/* evaluation_store.c: evaluations, with those that were stored. Further ones go into the batch being filled.
 */
void sw_evaluations_open(sw_agent *agent);
/* api_explain.c */
void sw_api_explain_route(sw_agent *agent);
/* explain_rule.c: what is under way is given up. */
void sw_explain_stop(sw_agent *agent);
/* api_rules.c */
void sw_api_rules_route(sw_agent *agent);
/* api_notifications.c */
void sw_api_notifications_routes(sw_agent *agent);
/* api_silences.c */
void sw_api_silences_routes(sw_agent *agent);
/* NULL when ready; else why not (caller frees). */
char *sw_agent_not_ready(const sw_agent *agent);

/* systemd.c: sd_notify(3) by its documented datagram; nothing happens without NOTIFY_SOCKET. */
void sw_systemd_notify(const char *state);
int64_t sw_systemd_watchdog_ms(void); /* half of WATCHDOG_USEC; 0 when there is no watchdog */

/* memory.c: at the end of a tick. */
void sw_memory_give_back(sw_agent *agent);
int64_t sw_memory_resident(void); /* bytes */

/* loop_watch.c */
void sw_loop_watch_start(sw_agent *agent);
void sw_loop_watch_stop(sw_agent *agent);

#endif
