/* Findings become alerts, and what alerts have to say becomes rows of the outbox, all in the batch that is
 * being filled. */
#include "agent/agent_internal.h"

#include <stdlib.h>
#include <string.h>

#include "alerts/payload.h"
#include "alerts/told.h"
#include "telemetry/log.h"

#define PAYLOAD_MAX ((size_t)64 << 20)
#define EVALUATIONS "evaluations" /* a stored counter, by reporter */

/* The counter goes on over restarts: it is stored with what it counts. */
static void count(sw_agent *agent, const char *type, double n) {
    sw_metric_add(agent->m.anomalies, n, type);
    sw_batch_put_counter(sw_commit_batch(agent), "trace_anomalies_total", type,
                         sw_metric_get(agent->m.anomalies, type));
}

/* ---- to whom ---- */

/* When the receiver of the route was told last, in ns; what is kept are seconds, and never later than the
 * alert's own stamp. One that was never told counts as told with the others: a receiver that is new in the
 * routes is not told everything at once. */
static int64_t told_at_ns(const sw_alert *alert, const sw_route_config *route) {
    int64_t at_s = sw_told_at(alert->told, route->receiver), last_ns = alert->last_notified_ns;
    bool as_late = at_s < 0 || at_s >= last_ns / SW_NS_PER_S;
    return as_late ? last_ns : at_s * SW_NS_PER_S;
}

static int64_t repeat_of(const sw_alert *alert, const sw_route_config *route) {
    int64_t at_ns = 0;
    bool never =
        __builtin_add_overflow(told_at_ns(alert, route), route->repeat_interval_ms * SW_NS_PER_MS, &at_ns);
    return never ? INT64_MAX : at_ns;
}

int64_t sw_alerting_repeat_at(const sw_agent *agent, const sw_alert *alert) {
    const sw_route_config *routes[SW_RECEIVERS_MAX];
    size_t n = sw_routing_of(agent->routing, alert, routes);
    int64_t first_ns = INT64_MAX;
    for (size_t i = 0; i < n; i++) {
        int64_t at_ns = repeat_of(alert, routes[i]);
        first_ns = at_ns < first_ns ? at_ns : first_ns;
    }
    return first_ns;
}

/* No repetition can be due before that, whatever the routes say: most alerts need not be routed to know that
 * it is not yet time. */
static int64_t earliest_repeat(const sw_agent *agent, const sw_alert *alert) {
    int64_t first_s = alert->last_notified_ns / SW_NS_PER_S, at_ns = 0;
    sw_told entry;
    for (const char *at = alert->told; (at = sw_told_next(at, &entry)) != NULL;) {
        first_s = entry.at_s < first_s ? entry.at_s : first_s;
    }
    int64_t shortest_ns = sw_routing_shortest_repeat_ms(agent->routing) * SW_NS_PER_MS;
    return __builtin_add_overflow(first_s * SW_NS_PER_S, shortest_ns, &at_ns) ? INT64_MAX : at_ns;
}

static int64_t repeat_at(const sw_alert *alert, void *arg) {
    const sw_agent *agent = arg;
    int64_t earliest_ns = earliest_repeat(agent, alert);
    return earliest_ns > sw_wall_ns(agent->clock) ? earliest_ns : sw_alerting_repeat_at(agent, alert);
}

/* The notification, written once and given to several. */
struct telling {
    sw_agent *agent;
    const sw_alert *alert;
    sw_notification notification;
    int64_t now_ns;
    bool repeats; /* what was told, and nothing else */
};

/* `route` NULL: alone. So is what one tick tells that is not followed by another. */
static void add_to(struct telling *telling, const char *receiver, const sw_route_config *route) {
    sw_notification notification = telling->notification;
    notification.told_before = sw_told_at(telling->alert->told, receiver) >= 0;
    sw_buf key, labels;
    sw_buf_init(&key, PAYLOAD_MAX);
    sw_buf_init(&labels, PAYLOAD_MAX);
    bool one_tick = telling->agent->tick_done != NULL;
    if (route != NULL && !one_tick && sw_routing_group(route, telling->alert, &key, &labels)) {
        notification.group_key = key.data;
        notification.group_labels_json = labels.data;
        notification.group_wait_ms = route->group_wait_ms;
        notification.group_interval_ms = route->group_interval_ms;
    }
    sw_receivers_add(telling->agent, receiver, &notification);
    sw_buf_release(&key);
    sw_buf_release(&labels);
}

static void tell(struct telling *telling, const char *receiver, const sw_route_config *route) {
    sw_agent *agent = telling->agent;
    const sw_receiver_config *config = sw_config_receiver(agent->config, receiver);
    if (telling->notification.resolved && config != NULL && !config->send_resolved) {
        sw_receivers_forget(agent, receiver, telling->alert->fingerprint);
        return;
    }
    /* A receiver that was away for a day need not be told the same six times when it is back. */
    bool in_vain = telling->repeats && sw_receivers_wait(agent, receiver, telling->alert->fingerprint);
    if (!in_vain) {
        add_to(telling, receiver, route);
    }
    char *before = sw_buf_steal(&agent->told, NULL);
    sw_told_append(before, receiver, telling->now_ns / SW_NS_PER_S, &agent->told);
    free(before);
}

/* Its end goes to everyone who was told of it, also when routes have changed since. */
static void tell_end(struct telling *telling) {
    const sw_route_config *routes[SW_RECEIVERS_MAX];
    size_t n = sw_routing_of(telling->agent->routing, telling->alert, routes);
    sw_told entry;
    for (const char *at = telling->alert->told; (at = sw_told_next(at, &entry)) != NULL;) {
        size_t i = 0;
        while (i < n && strcmp(routes[i]->receiver, entry.receiver) != 0) {
            i++;
        }
        tell(telling, entry.receiver, i < n ? routes[i] : NULL);
    }
}

static void tell_routes(struct telling *telling, sw_notice notice) {
    const sw_route_config *routes[SW_RECEIVERS_MAX];
    size_t n = sw_routing_of(telling->agent->routing, telling->alert, routes);
    for (size_t i = 0; i < n; i++) {
        if (notice != SW_NOTICE_REPEAT || repeat_of(telling->alert, routes[i]) <= telling->now_ns) {
            tell(telling, routes[i]->receiver, routes[i]);
        }
    }
}

/* `receiver` NULL: as routes say. */
static void notify(sw_agent *agent, const sw_alert *alert, sw_notice notice, const char *receiver) {
    sw_payload_options options = {.trace_url = agent->config->trace_url_template,
                                  .likely_cause = sw_inhibiting_cause(agent, alert)};
    sw_alert said = *alert; /* with its texts */
    /* What ends is what was told: who has the severity in an alert's identity would not know another one. */
    said.severity = notice == SW_NOTICE_RESOLVED && receiver == NULL ? alert->told_severity : alert->severity;
    struct telling telling = {.agent = agent,
                              .alert = &said,
                              .now_ns = sw_wall_ns(agent->clock),
                              .repeats = notice == SW_NOTICE_REPEAT && alert->n_untold == 0};
    sw_buf body;
    sw_buf_init(&body, PAYLOAD_MAX);
    sw_buf_reset(&agent->told);
    sw_buf_append_str(&agent->told, alert->told != NULL ? alert->told : "");
    if (sw_payload_json(&said, notice, telling.now_ns, &options, &body) == 0) {
        telling.notification = (sw_notification){
            .fingerprint = alert->fingerprint,
            .resolved = notice == SW_NOTICE_RESOLVED,
            .severity = (int)said.severity,
            .content_type = "application/json",
            .body = body.data,
            .len = body.len,
        };
        if (receiver != NULL) {
            tell(&telling, receiver, NULL);
        } else if (notice == SW_NOTICE_RESOLVED) {
            tell_end(&telling);
        } else {
            tell_routes(&telling, notice);
        }
    } else {
        sw_log(SW_LOG_ERROR, "notification is too large to be written", "type", alert->type, "fingerprint",
               alert->fingerprint, NULL);
    }
    sw_buf_release(&body);
}

static void notify_routes(const sw_alert *alert, sw_notice notice, void *arg) {
    sw_agent *agent = arg;
    sw_evaluation_told(agent->evaluation, alert, notice);
    notify(agent, alert, notice, NULL);
}

void sw_alerting_notify_one(sw_agent *agent, const sw_alert *alert, sw_notice notice, const char *receiver) {
    notify(agent, alert, notice, receiver);
}

static const char *told(const sw_alert *alert, void *arg) {
    (void)alert;
    return ((sw_agent *)arg)->told.data;
}

/* Asked of every notification first: an alert without traces is counted when it begins, told or not. */
static bool withheld(const sw_alert *alert, sw_notice notice, bool again, void *arg) {
    sw_agent *agent = arg;
    bool begins = notice == SW_NOTICE_FIRING && alert->last_notified_ns == 0 && !again;
    if (begins && alert->n_evidence == 0 && !sw_streq(alert->detector, SW_AGENT_SELF)) {
        count(agent, alert->type, 1);
    }
    const char *reason = sw_silencing_reason(agent, alert), *said = reason;
    bool counts = !again;
    if (reason == NULL && sw_inhibiting_holds(agent, alert, notice, &counts)) {
        reason = "inhibited";
        said = agent->inhibition_decides ? reason : SW_EVALUATION_UNDECIDED;
    }
    if (reason != NULL) {
        sw_evaluation_withheld(agent->evaluation, alert, notice, said, counts);
    }
    if (reason != NULL && counts) {
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
        .notify = notify_routes,
        .changed = changed,
        .removed = removed,
        .reported = reported,
        .arg = agent,
        .withheld = withheld,
        .culprit = culprit,
        .history = history,
        .evaluated = evaluated,
        .told = told,
        .repeat_at = repeat_at,
    };
}

void sw_alerting_apply(sw_agent *agent, const char *detector, const char *source, const sw_finding *findings,
                       size_t n, bool known) {
    sw_alerts_sink sink = sink_of(agent);
    sw_alerts_apply(agent->alerts, detector, source, findings, n, known, sw_wall_ns(agent->clock), &sink,
                    counted, agent);
}

sw_alerts_round *sw_alerting_round(sw_agent *agent, const char *detector, const char *source,
                                   const sw_finding *findings, size_t n, bool known) {
    sw_alerts_sink sink = sink_of(agent);
    return sw_alerts_round_new(agent->alerts, detector, source, findings, n, known, sw_wall_ns(agent->clock),
                               &sink, counted, agent);
}

static void told_withheld(void *arg) {
    sw_agent *agent = arg;
    sw_evaluation *record = agent->telling_record;
    agent->telling = NULL;
    agent->telling_record = NULL;
    sw_inhibiting_end(agent);
    if (sw_evaluation_is_eventful(record)) {
        sw_evaluations_keep(agent->evaluations, record);
    } else {
        sw_evaluation_free(record);
    }
    if (agent->tell_again) {
        sw_alerting_tell_withheld(agent);
    }
}

void sw_alerting_tell_withheld(sw_agent *agent) {
    agent->tell_again = agent->telling != NULL;
    if (agent->tell_again) {
        return;
    }
    sw_alerts_sink sink = sink_of(agent);
    int64_t now = sw_wall_ns(agent->clock);
    sw_alerts_round *round = sw_alerts_withheld_round(agent->alerts, now, &sink);
    if (round != NULL) {
        agent->telling_record = sw_evaluation_begin(SW_AGENT_SELF, SW_AGENT_SELF, now);
        agent->telling = sw_applying_start(agent, round, NULL, agent->telling_record, told_withheld, agent);
        sw_applying_decide(agent->telling, sw_inhibiting_begin(agent));
    }
}

void sw_alerting_close(sw_agent *agent) {
    sw_applying_cancel(agent->telling);
    sw_evaluation_free(agent->telling_record);
    agent->telling = NULL;
    agent->telling_record = NULL;
}

static void restore_alert(const char *fingerprint, const char *json, size_t len, void *arg) {
    sw_agent *agent = arg;
    sw_alert alert = {0};
    if (sw_alert_from_json(json, len, &alert) == 0) {
        if (alert.told == NULL && alert.last_notified_ns > 0) { /* by a version that knew one receiver */
            alert.told =
                xasprintf("%s@%lld", SW_RECEIVER_WEBHOOK, (long long)(alert.last_notified_ns / SW_NS_PER_S));
        }
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
