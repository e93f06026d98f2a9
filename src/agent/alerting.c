/* Findings become alerts, and what alerts have to say becomes rows of the outbox, all in the batch that is
 * being filled. */
#include "agent/agent_internal.h"

#include <stdlib.h>

#include "alerts/payload.h"
#include "telemetry/log.h"

#define PAYLOAD_MAX ((size_t)64 << 20)
#define EVALUATIONS "evaluations" /* a stored counter, by reporter */

/* The counter goes on over restarts: it is stored with what it counts. */
static void count(sw_agent *agent, const char *type, double n) {
    sw_metric_add(agent->m.anomalies, n, type);
    sw_batch_put_counter(sw_commit_batch(agent), "trace_anomalies_total", type,
                         sw_metric_get(agent->m.anomalies, type));
}

void sw_alerting_notify(const sw_alert *alert, sw_notice notice, void *arg) {
    sw_agent *agent = arg;
    sw_evaluation_told(agent->evaluation, alert, notice);
    sw_payload_options options = {.trace_url = agent->config->trace_url_template};
    sw_buf body;
    sw_buf_init(&body, PAYLOAD_MAX);
    if (sw_payload_json(alert, notice, sw_wall_ns(agent->clock), &options, &body) == 0) {
        sw_notification notification = {
            .fingerprint = alert->fingerprint,
            .resolved = notice == SW_NOTICE_RESOLVED,
            .severity = (int)alert->severity,
            .content_type = "application/json",
            .body = body.data,
            .len = body.len,
        };
        sw_outbox_add(agent->outbox, sw_commit_batch(agent), &notification);
    } else {
        sw_log(SW_LOG_ERROR, "notification is too large to be written", "type", alert->type, "fingerprint",
               alert->fingerprint, NULL);
    }
    sw_buf_release(&body);
}

/* Asked of every notification first: an alert without traces is counted when it begins, told or not. */
static bool withheld(const sw_alert *alert, sw_notice notice, bool again, void *arg) {
    sw_agent *agent = arg;
    bool begins = notice == SW_NOTICE_FIRING && alert->last_notified_ns == 0 && !again;
    if (begins && alert->n_evidence == 0 && !sw_streq(alert->detector, SW_AGENT_SELF)) {
        count(agent, alert->type, 1);
    }
    const char *reason = sw_silencing_reason(agent, alert);
    if (reason != NULL) {
        sw_evaluation_withheld(agent->evaluation, alert, notice, reason);
    }
    if (reason != NULL && !again) {
        sw_metric_add(agent->m.suppressed, 1, reason);
    }
    return reason != NULL;
}

static void changed(const sw_alert *alert, void *arg) {
    sw_agent *agent = arg;
    sw_evaluation_changed(agent->evaluation, alert);
    sw_buf json;
    sw_buf_init(&json, PAYLOAD_MAX);
    if (sw_alert_to_json(alert, &json) == 0) {
        sw_batch_put_alert(sw_commit_batch(agent), alert->fingerprint, json.data, json.len);
    }
    sw_buf_release(&json);
}

static void removed(const char *fingerprint, void *arg) {
    sw_evaluation_removed(((sw_agent *)arg)->evaluation, fingerprint);
    sw_batch_delete_alert(sw_commit_batch(arg), fingerprint);
}

static void reported(const char *type, const char *trace_id, int64_t at_ns, void *arg) {
    sw_batch_put_reported(sw_commit_batch(arg), type, trace_id, at_ns);
}

static void counted(const char *type, uint64_t traces, void *arg) {
    count(arg, type, (double)traces);
}

static void history(const char *fingerprint, const char *reporter, const sw_flap_history *flaps, void *arg) {
    if (flaps != NULL) {
        sw_batch_put_flaps(sw_commit_batch(arg), fingerprint, reporter, flaps->states, flaps->evaluation);
    } else {
        sw_batch_delete_flaps(sw_commit_batch(arg), fingerprint);
    }
}

static void evaluated(const char *reporter, uint32_t number, void *arg) {
    sw_batch_put_counter(sw_commit_batch(arg), EVALUATIONS, reporter, number);
}

static const sw_culprit *culprit(const sw_alert *alert, void *arg) {
    return sw_culprits_of(((sw_agent *)arg)->culprits, alert->fingerprint);
}

static sw_alerts_sink sink_of(sw_agent *agent) {
    return (sw_alerts_sink){
        .notify = sw_alerting_notify,
        .changed = changed,
        .removed = removed,
        .reported = reported,
        .arg = agent,
        .withheld = withheld,
        .culprit = culprit,
        .history = history,
        .evaluated = evaluated,
    };
}

void sw_alerting_apply(sw_agent *agent, const char *detector, const sw_finding *findings, size_t n,
                       bool known) {
    sw_alerts_sink sink = sink_of(agent);
    sw_alerts_apply(agent->alerts, detector, findings, n, known, sw_wall_ns(agent->clock), &sink, counted,
                    agent);
}

sw_alerts_round *sw_alerting_round(sw_agent *agent, const char *detector, const sw_finding *findings,
                                   size_t n, bool known) {
    sw_alerts_sink sink = sink_of(agent);
    return sw_alerts_round_new(agent->alerts, detector, findings, n, known, sw_wall_ns(agent->clock), &sink,
                               counted, agent);
}

void sw_alerting_tell_withheld(sw_agent *agent) {
    sw_alerts_sink sink = sink_of(agent);
    int64_t now = sw_wall_ns(agent->clock);
    agent->evaluation = sw_evaluation_begin(SW_AGENT_SELF, now);
    sw_alerts_tell_withheld(agent->alerts, now, &sink);
    if (sw_evaluation_is_eventful(agent->evaluation)) {
        sw_evaluations_keep(agent->evaluations, agent->evaluation);
    } else {
        sw_evaluation_free(agent->evaluation);
    }
    agent->evaluation = NULL;
}

static void restore_alert(const char *fingerprint, const char *json, size_t len, void *arg) {
    sw_agent *agent = arg;
    sw_alert alert = {0};
    if (sw_alert_from_json(json, len, &alert) == 0) {
        sw_alerts_restore(agent->alerts, &alert);
        sw_alert_release(&alert);
    } else {
        sw_log(SW_LOG_ERROR, "a stored alert cannot be read and is left out", "fingerprint", fingerprint,
               NULL);
    }
}

static void restore_reported(const char *type, const char *trace_id, int64_t at_ns, void *arg) {
    sw_agent *agent = arg;
    sw_alerts_restore_reported(agent->alerts, type, trace_id, at_ns);
}

static void restore_counter(const char *name, const char *label, double value, void *arg) {
    sw_agent *agent = arg;
    if (sw_streq(name, "trace_anomalies_total")) {
        sw_metric_add(agent->m.anomalies, value, label);
    } else if (sw_streq(name, EVALUATIONS) && value >= 0 && value < UINT32_MAX) {
        sw_alerts_restore_evaluated(agent->alerts, label, (uint32_t)value);
    }
}

static void restore_flaps(const char *fingerprint, const char *reporter, uint32_t states, uint32_t evaluation,
                          void *arg) {
    sw_agent *agent = arg;
    sw_flap_history flaps = {states, evaluation};
    sw_alerts_restore_history(agent->alerts, fingerprint, reporter, &flaps);
}

void sw_alerting_restore(sw_agent *agent) {
    sw_store_each_alert(agent->store, restore_alert, agent);
    sw_store_each_reported(agent->store, restore_reported, agent);
    sw_store_each_counter(agent->store, restore_counter, agent);
    sw_store_each_flaps(agent->store, restore_flaps, agent);
}
