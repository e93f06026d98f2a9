#include "agent/agent_internal.h"

#include <stdlib.h>
#include <string.h>

#include "telemetry/log.h"

#define MAX_ROWS 20000 /* in memory, of one receiver */

struct sw_receivers {
    sw_receiver **items;
    size_t n;
    size_t draining;
    void (*drained)(void *arg);
    void *drained_arg;
};

static const char *or_null(const char *text) {
    return text[0] != '\0' ? text : NULL;
}

/* The list of headers belongs to the configuration, which outlives the agent. */
static sw_http_profile profile_of(const sw_receiver_config *config) {
    return (sw_http_profile){
        .basic_auth_file = or_null(config->basic_auth_file),
        .bearer_token_file = or_null(config->bearer_token_file),
        .authorization_type = or_null(config->authorization_type),
        .ca_file = or_null(config->ca_file),
        .client_cert_file = or_null(config->client_cert_file),
        .client_key_file = or_null(config->client_key_file),
        .headers = (const char *const *)config->headers.items,
        .proxy = or_null(config->proxy),
        .insecure_tls = config->insecure_tls,
    };
}

static sw_receiver *append(sw_agent *agent, const char *name) {
    sw_receivers *all = agent->receivers;
    sw_receiver *receiver = xcalloc(1, sizeof *receiver);
    receiver->name = xstrdup(name);
    all->items = xrealloc_array(all->items, all->n + 1, sizeof(sw_receiver *));
    all->items[all->n++] = receiver;
    return receiver;
}

static void open_one(sw_agent *agent, const sw_receiver_config *config) {
    sw_receiver *receiver = append(agent, config->name);
    receiver->config = config;
    if (config->format[0] != '\0') {
        receiver->formatting = sw_formatting_open(agent, config);
    }
    sw_receiver_options options = {
        .name = config->name,
        .url = config->url,
        .profile = profile_of(config),
        .hmac_secret_file = or_null(config->hmac_secret_file),
        .format = sw_formatting_rows(receiver->formatting),
        .timeout_ms = config->timeout_ms,
        .max_age_ms = config->max_age_secs * 1000,
        .backoff_min_ms = config->backoff_min_ms,
        .backoff_max_ms = config->backoff_max_ms,
        .max_in_flight = (unsigned)config->max_in_flight,
        .max_rows = MAX_ROWS,
        .max_alerts = (size_t)config->max_alerts,
        .max_per_hour = (unsigned)config->max_notifications_per_hour,
    };
    receiver->outbox =
        sw_outbox_new(&agent->loop, agent->clock, agent->http, agent->store, agent->metrics, &options);
}

/* ---- those that are not configured any more ---- */

void sw_receiver_show(sw_agent *agent, const sw_receiver *receiver) {
    static const char *const by_receiver[] = {"receiver", NULL};
    sw_metric *depth = sw_metrics_gauge(agent->metrics, "spanwatch_outbox_depth", NULL, by_receiver);
    sw_metric *dead = sw_metrics_gauge(agent->metrics, "spanwatch_outbox_dead", NULL, by_receiver);
    sw_metric_set(depth, (double)receiver->waiting, receiver->name);
    sw_metric_set(dead, (double)receiver->dead, receiver->name);
}

static void note_stored(const char *name, size_t waiting, size_t dead, void *arg) {
    sw_agent *agent = arg;
    if (sw_receivers_find(agent, name) != NULL) {
        return;
    }
    sw_receiver *receiver = append(agent, name);
    receiver->waiting = waiting;
    receiver->dead = dead;
    sw_receiver_show(agent, receiver);
    sw_log(SW_LOG_ERROR,
           "notifications wait for a receiver that is not configured any more: configure it again, or drop "
           "them with spanwatch notify drop",
           "receiver", name, "waiting", sw_log_int((int64_t)waiting), "dead", sw_log_int((int64_t)dead),
           NULL);
}

/* An end that has to be told to somebody who is not there: as a row that waits for the receiver. */
static void keep_for(sw_agent *agent, const char *name, const sw_notification *notification) {
    sw_receiver *receiver = sw_receivers_find(agent, name);
    receiver = receiver != NULL ? receiver : append(agent, name);
    char key[37];
    sw_uuid4(key);
    sw_outbox_row row = {
        .id = sw_store_next_outbox_id(agent->store),
        .receiver = receiver->name,
        .fingerprint = (char *)notification->fingerprint,
        .idempotency_key = key,
        .content_type = (char *)notification->content_type,
        .body = (char *)notification->body,
        .body_len = notification->len,
        .created_ns = sw_wall_ns(agent->clock),
        .last_error = "",
        .resolved = notification->resolved,
        .severity = notification->severity,
        .group_key = (char *)notification->group_key,
        .group_labels = (char *)notification->group_labels_json,
        .group_interval_ms = notification->group_interval_ms,
    };
    row.next_attempt_ns = row.created_ns + notification->group_wait_ms * SW_NS_PER_MS;
    sw_batch_put_outbox(sw_commit_batch(agent), &row);
    if (receiver->waiting++ == 0) {
        sw_log(SW_LOG_ERROR,
               "an alert was told to a receiver that is not configured any more: its end is kept", "receiver",
               name, "fingerprint", notification->fingerprint, NULL);
    }
    sw_receiver_show(agent, receiver);
}

void sw_receivers_add(sw_agent *agent, const char *name, const sw_notification *notification) {
    const sw_receiver *receiver = sw_receivers_find(agent, name);
    if (receiver != NULL && receiver->outbox != NULL) {
        sw_outbox_add(receiver->outbox, sw_commit_batch(agent), notification);
    } else {
        keep_for(agent, name, notification);
    }
}

void sw_receivers_forget(sw_agent *agent, const char *name, const char *fingerprint) {
    const sw_receiver *receiver = sw_receivers_find(agent, name);
    if (receiver != NULL && receiver->outbox != NULL) {
        sw_outbox_forget(receiver->outbox, sw_commit_batch(agent), fingerprint);
    }
}

bool sw_receivers_wait(const sw_agent *agent, const char *name, const char *fingerprint) {
    const sw_receiver *receiver = sw_receivers_find(agent, name);
    return receiver != NULL && receiver->outbox != NULL && sw_outbox_waits(receiver->outbox, fingerprint);
}

static bool is_known(const char *fingerprint, void *arg) {
    return sw_alerts_find(((sw_agent *)arg)->alerts, fingerprint) != NULL;
}

void sw_receivers_sweep(sw_agent *agent) {
    for (size_t i = 0; i < sw_receivers_count(agent); i++) {
        const sw_receiver *receiver = sw_receivers_at(agent, i);
        if (receiver->outbox != NULL) {
            sw_outbox_sweep(receiver->outbox, is_known, agent);
        }
    }
}

/* ---- all of them ---- */

void sw_receivers_open(sw_agent *agent) {
    const sw_config *config = agent->config;
    agent->receivers = xcalloc(1, sizeof *agent->receivers);
    for (size_t i = 0; i < config->n_receivers; i++) {
        open_one(agent, &config->receivers[i]);
    }
    sw_store_each_receiver(agent->store, note_stored, agent);
}

void sw_receivers_close(sw_agent *agent) {
    sw_receivers_stop_resending(agent);
    for (size_t i = 0; i < sw_receivers_count(agent); i++) {
        sw_receiver *receiver = sw_receivers_at(agent, i);
        sw_outbox_free(receiver->outbox);
        sw_formatting_close(receiver->formatting);
        free(receiver->name);
        free(receiver);
    }
    free(agent->receivers->items);
    free(agent->receivers);
    agent->receivers = NULL;
}

size_t sw_receivers_count(const sw_agent *agent) {
    return agent->receivers->n;
}

sw_receiver *sw_receivers_at(const sw_agent *agent, size_t i) {
    return agent->receivers->items[i];
}

sw_receiver *sw_receivers_find(const sw_agent *agent, const char *name) {
    for (size_t i = 0; i < sw_receivers_count(agent); i++) {
        sw_receiver *receiver = sw_receivers_at(agent, i);
        if (strcmp(receiver->name, name) == 0) {
            return receiver;
        }
    }
    return NULL;
}

size_t sw_receiver_depth(const sw_receiver *receiver) {
    return receiver->outbox != NULL ? sw_outbox_depth(receiver->outbox) : receiver->waiting;
}

size_t sw_receiver_dead(const sw_receiver *receiver) {
    return receiver->outbox != NULL ? sw_outbox_dead(receiver->outbox) : receiver->dead;
}

int64_t sw_receiver_oldest_age_ms(const sw_receiver *receiver) {
    return receiver->outbox != NULL ? sw_outbox_oldest_age_ms(receiver->outbox) : 0;
}

bool sw_receiver_lags(const sw_agent *agent, const sw_receiver *receiver) {
    int64_t limit_s = agent->config->outbox_old_secs;
    return limit_s > 0 && sw_receiver_depth(receiver) > 0 &&
           sw_receiver_oldest_age_ms(receiver) >= limit_s * 1000;
}

const char *sw_receiver_refused(const sw_receiver *receiver) {
    return receiver->outbox != NULL ? sw_outbox_refused(receiver->outbox) : NULL;
}

/* Over those that are configured. */
static size_t sum(const sw_agent *agent, size_t (*of)(const sw_outbox *outbox)) {
    size_t all = 0;
    for (size_t i = 0; i < sw_receivers_count(agent); i++) {
        const sw_outbox *outbox = sw_receivers_at(agent, i)->outbox;
        all += outbox != NULL ? of(outbox) : 0;
    }
    return all;
}

size_t sw_receivers_depth(const sw_agent *agent) {
    return sum(agent, sw_outbox_depth);
}

size_t sw_receivers_dead(const sw_agent *agent) {
    return sum(agent, sw_outbox_dead);
}

void sw_receivers_committed(sw_agent *agent) {
    for (size_t i = 0; i < sw_receivers_count(agent); i++) {
        if (sw_receivers_at(agent, i)->outbox != NULL) {
            sw_outbox_committed(sw_receivers_at(agent, i)->outbox);
        }
    }
}

void sw_receivers_resend(sw_agent *agent) {
    for (size_t i = 0; i < sw_receivers_count(agent); i++) {
        sw_receiver *receiver = sw_receivers_at(agent, i);
        const sw_receiver_config *config = receiver->config;
        if (config != NULL && config->resend_secs > 0 && config->url[0] != '\0') {
            receiver->resending = sw_resending_start(agent, receiver);
        }
    }
}

void sw_receivers_stop_resending(sw_agent *agent) {
    for (size_t i = 0; i < sw_receivers_count(agent); i++) {
        sw_resending_stop(sw_receivers_at(agent, i)->resending);
        sw_receivers_at(agent, i)->resending = NULL;
    }
}

void sw_receivers_probe(sw_agent *agent) {
    for (size_t i = 0; i < sw_receivers_count(agent); i++) {
        if (sw_receivers_at(agent, i)->formatting != NULL) {
            sw_formatting_probe(sw_receivers_at(agent, i)->formatting);
        }
    }
}

static void one_drained(void *arg) {
    sw_receivers *all = arg;
    if (--all->draining == 0) {
        all->drained(all->drained_arg);
    }
}

void sw_receivers_drain(sw_agent *agent, void (*done)(void *arg), void *arg) {
    sw_receivers *all = agent->receivers;
    all->drained = done;
    all->drained_arg = arg;
    all->draining = 1; /* this call: some are drained at once */
    for (size_t i = 0; i < all->n; i++) {
        if (all->items[i]->outbox != NULL) {
            all->draining++;
            sw_outbox_drain(all->items[i]->outbox, one_drained, all);
        }
    }
    one_drained(all);
}
