/*
 * Alerts over HTTP: in Alertmanager's shapes (API v2: firing ones), so that amtool and Grafana work, and in
 * Prometheus' (/api/v1/alerts: pending ones too).
 * Sources: https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml and
 * https://prometheus.io/docs/prometheus/latest/querying/api/#alerts
 */
#include "agent/agent_internal.h"
#include "agent/api_reply.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/payload.h"

#define MAX_IDS 100
#define GROUP_MAX ((size_t)1 << 24) /* bytes of the key of a group */
/* A firing alert's endsAt is when a reader may take it for over if it hears no more: this many ticks. */
#define ENDS_AFTER_TICKS 4

static json_t *text_json(const char *text) {
    json_t *json = json_string(text != NULL ? text : "");
    return json != NULL ? json : json_string("not UTF-8");
}

static json_t *labels_json(const sw_alert *alert) {
    json_t *labels = json_object();
    json_object_set_new(labels, "severity", json_string(sw_severity_name(alert->severity)));
    for (size_t i = 0; i < alert->n_labels; i++) {
        json_object_set_new(labels, alert->labels[i].name, text_json(alert->labels[i].value));
    }
    json_object_set_new(labels, "alertname", text_json(alert->type));
    return labels;
}

static json_t *annotations_json(const sw_alert *alert) {
    json_t *annotations = json_object();
    json_object_set_new(annotations, "summary", sw_payload_summary(alert));
    if (alert->n_evidence > 0) {
        json_object_set_new(annotations, "trace_id",
                            json_string(alert->evidence[alert->n_evidence - 1].trace_id));
    }
    if (alert->culprit != NULL) {
        char *text = xasprintf("%s: %s", alert->culprit->service, alert->culprit->name);
        json_object_set_new(annotations, "culprit", text_json(text));
        free(text);
    }
    return annotations;
}

json_t *sw_api_silenced_by(const sw_agent *agent, const sw_alert *alert) {
    const char *ids[MAX_IDS];
    size_t n = sw_silences_matching(agent->silences, alert, sw_wall_ns(agent->clock), ids, MAX_IDS);
    json_t *list = json_array();
    for (size_t i = 0; i < n && i < MAX_IDS; i++) {
        json_array_append_new(list, json_string(ids[i]));
    }
    return list;
}

json_t *sw_api_inhibited_by(const sw_inhibition *inhibition, const sw_alert *alert) {
    const char *by = sw_inhibition_by(inhibition, alert->fingerprint);
    return by != NULL ? json_pack("[s]", by) : json_array();
}

/* ---- Alertmanager's ---- */

/* [{"name": "webhook"}]: those that it is told to, as routes are now. */
static json_t *receivers_json(const sw_agent *agent, const sw_alert *alert) {
    const sw_route_config *routes[SW_RECEIVERS_MAX];
    size_t n = sw_routing_of(agent->routing, alert, routes);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_pack("{s:s}", "name", routes[i]->receiver));
    }
    return list;
}

struct listing {
    const sw_agent *agent;
    sw_inhibition *inhibition;
    sw_matchers filter;
    sw_matchers receiver; /* an expression for the name of a receiver; empty: any */
    bool active, silenced, inhibited;
    json_t *list;
};

static bool flag(const sw_http_exchange *exchange, const char *name) {
    const char *value = sw_http_query(exchange, name);
    return value == NULL || strcmp(value, "false") != 0;
}

static json_t *alert_json(const sw_agent *agent, const sw_inhibition *inhibition, const sw_alert *alert) {
    const sw_config *config = agent->config;
    int64_t now = sw_wall_ns(agent->clock);
    int64_t ends = now + ENDS_AFTER_TICKS * config->tempo_alert_interval_secs * SW_NS_PER_S;
    json_t *silences = sw_api_silenced_by(agent, alert), *mutes = json_array();
    json_t *inhibited = sw_api_inhibited_by(inhibition, alert);
    if (sw_mute_times_active(agent->mute_times, now)) {
        json_array_append_new(mutes, text_json(config->mute_time_intervals));
    }
    bool suppressed = json_array_size(silences) + json_array_size(mutes) + json_array_size(inhibited) > 0;
    json_t *root = json_object();
    json_object_set_new(root, "annotations", annotations_json(alert));
    json_object_set_new(root, "endsAt", sw_api_time_json(ends));
    json_object_set_new(root, "fingerprint", json_string(alert->fingerprint));
    json_object_set_new(root, "receivers", receivers_json(agent, alert));
    json_object_set_new(root, "startsAt", sw_api_time_json(alert->starts_at_ns));
    json_object_set_new(root, "status",
                        json_pack("{s:o, s:o, s:o, s:s}", "inhibitedBy", inhibited, "silencedBy", silences,
                                  "mutedBy", mutes, "state", suppressed ? "suppressed" : "active"));
    json_object_set_new(root, "updatedAt", sw_api_time_json(alert->last_seen_ns));
    json_object_set_new(root, "generatorURL", json_string(""));
    json_object_set_new(root, "labels", labels_json(alert));
    return root;
}

static bool is_wanted(const struct listing *listing, const char *receiver) {
    return listing->receiver.n == 0 || sw_matcher_matches(&listing->receiver.items[0], receiver);
}

static bool goes_to_wanted(const struct listing *listing, const json_t *alert) {
    const json_t *receiver = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(alert, "receivers"), i, receiver) {
        if (is_wanted(listing, json_string_value(json_object_get(receiver, "name")))) {
            return true;
        }
    }
    return false;
}

/* NULL when it is not asked for. */
static json_t *listed_json(const struct listing *listing, const sw_alert *alert) {
    if (alert->state != SW_ALERT_FIRING || !sw_matchers_match_alert(&listing->filter, alert)) {
        return NULL;
    }
    json_t *one = alert_json(listing->agent, listing->inhibition, alert);
    const json_t *status = json_object_get(one, "status");
    bool active = strcmp(json_string_value(json_object_get(status, "state")), "active") == 0;
    bool inhibited = json_array_size(json_object_get(status, "inhibitedBy")) > 0;
    bool other = json_array_size(json_object_get(status, "silencedBy")) > 0 || (!active && !inhibited);
    bool wanted =
        (listing->active || !active) && (listing->inhibited || !inhibited) && (listing->silenced || !other);
    if (!wanted || !goes_to_wanted(listing, one)) {
        json_decref(one);
        return NULL;
    }
    return one;
}

static void list_one(const sw_alert *alert, void *arg) {
    struct listing *listing = arg;
    json_t *one = listed_json(listing, alert);
    if (one != NULL) {
        json_array_append_new(listing->list, one);
    }
}

/* False after answering that a parameter cannot be used. Release the listing either way. */
static bool begin_listing(sw_http_exchange *exchange, const sw_agent *agent, struct listing *listing) {
    *listing = (struct listing){.agent = agent,
                                .list = json_array(),
                                .active = flag(exchange, "active"),
                                .silenced = flag(exchange, "silenced"),
                                .inhibited = flag(exchange, "inhibited")};
    const char *receiver = sw_http_query(exchange, "receiver");
    bool given = receiver != NULL && receiver[0] != '\0';
    char *why = NULL;
    if (!sw_api_read_filter(exchange, &listing->filter)) {
        return false;
    }
    if (given && sw_matchers_add(&listing->receiver, "receiver", SW_MATCH_REGEX, receiver, &why) != 0) {
        sw_api_reply_json(exchange, 400, text_json(why));
        free(why);
        return false;
    }
    listing->inhibition = sw_inhibiting_now(agent);
    return true;
}

static void release_listing(struct listing *listing) {
    sw_matchers_release(&listing->receiver);
    sw_matchers_release(&listing->filter);
    sw_inhibition_free(listing->inhibition);
    json_decref(listing->list);
}

static void get_alerts_v2(sw_http_exchange *exchange, void *arg) {
    struct listing listing;
    if (begin_listing(exchange, arg, &listing)) {
        sw_alerts_each(listing.agent->alerts, list_one, &listing);
        sw_api_reply_json(exchange, 200, json_incref(listing.list));
    }
    release_listing(&listing);
}

/* The group of this receiver and key in `groups`, an object by both; made when it is not there. */
static json_t *group_of(json_t *groups, const char *receiver, const char *key, const char *labels_json) {
    char *name = xasprintf("%s %s", receiver, key);
    json_t *group = json_object_get(groups, name);
    if (group == NULL) {
        group = json_pack("{s:o, s:{s:s}, s:[]}", "labels", json_loads(labels_json, 0, NULL), "receiver",
                          "name", receiver, "alerts");
        json_object_set_new(groups, name, group);
    }
    free(name);
    return group;
}

struct grouping {
    struct listing *listing;
    json_t *groups;
};

/* What is told alone is a group of its labels. */
static void group_one(const sw_alert *alert, void *arg) {
    struct grouping *grouping = arg;
    struct listing *listing = grouping->listing;
    const sw_route_config *routes[SW_RECEIVERS_MAX];
    json_t *shown = listed_json(listing, alert);
    size_t n = shown != NULL ? sw_routing_of(listing->agent->routing, alert, routes) : 0;
    for (size_t i = 0; i < n; i++) {
        sw_buf key, labels;
        sw_buf_init(&key, GROUP_MAX);
        sw_buf_init(&labels, GROUP_MAX);
        if (!sw_routing_group(routes[i], alert, &key, &labels)) {
            json_t *own = json_deep_copy(json_object_get(shown, "labels"));
            json_object_del(own, "severity");
            char *text = json_dumps(own, JSON_COMPACT);
            sw_buf_append_str(&labels, text);
            sw_buf_append_str(&key, alert->fingerprint);
            free(text);
            json_decref(own);
        }
        if (is_wanted(listing, routes[i]->receiver)) {
            json_t *group = group_of(grouping->groups, routes[i]->receiver, key.data, labels.data);
            json_array_append(json_object_get(group, "alerts"), shown);
        }
        sw_buf_release(&key);
        sw_buf_release(&labels);
    }
    json_decref(shown);
}

static void get_groups(sw_http_exchange *exchange, void *arg) {
    const sw_agent *agent = arg;
    struct listing listing;
    if (begin_listing(exchange, agent, &listing)) {
        struct grouping grouping = {&listing, json_object()};
        sw_alerts_each(agent->alerts, group_one, &grouping);
        json_t *list = json_array(), *group = NULL;
        const char *name = NULL;
        json_object_foreach(grouping.groups, name, group) {
            json_array_append(list, group);
        }
        sw_api_reply_json(exchange, 200, list);
        json_decref(grouping.groups);
    }
    release_listing(&listing);
}

static void get_status_v2(sw_http_exchange *exchange, void *arg) {
    const sw_agent *agent = arg;
    char *config = sw_api_config_text(agent->config);
    json_t *version = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "version", SW_VERSION, "revision", "",
                                "branch", "", "buildUser", "", "buildDate", "", "goVersion", "");
    sw_api_reply_json(exchange, 200,
                      json_pack("{s:{s:s, s:s, s:[]}, s:{s:s}, s:o, s:o}", "cluster", "status", "disabled",
                                "name", "", "peers", "config", "original", config, "uptime",
                                sw_api_time_json(agent->started_at_ns), "versionInfo", version));
    free(config);
}

static void get_receivers(sw_http_exchange *exchange, void *arg) {
    const sw_config *config = ((const sw_agent *)arg)->config;
    json_t *list = json_array();
    for (size_t i = 0; i < config->n_receivers; i++) {
        json_array_append_new(list, json_pack("{s:s}", "name", config->receivers[i].name));
    }
    sw_api_reply_json(exchange, 200, list);
}

/* ---- Prometheus' ---- */

json_t *sw_api_prometheus_alert(const sw_agent *agent, const sw_inhibition *inhibition,
                                const sw_alert *alert) {
    char value[32] = "";
    if (alert->has_value && isfinite(alert->value)) {
        snprintf(value, sizeof value, "%.17g", alert->value);
    }
    json_t *root = json_object();
    json_object_set_new(root, "labels", labels_json(alert));
    json_object_set_new(root, "annotations", annotations_json(alert));
    json_object_set_new(root, "state", json_string(sw_alert_state_name(alert->state)));
    json_object_set_new(root, "activeAt", sw_api_time_json(alert->starts_at_ns));
    json_object_set_new(root, "value", json_string(value));
    json_object_set_new(root, "fingerprint", json_string(alert->fingerprint));
    json_object_set_new(root, "detector", text_json(alert->detector));
    json_object_set_new(root, "silencedBy", sw_api_silenced_by(agent, alert));
    json_object_set_new(root, "inhibitedBy", sw_api_inhibited_by(inhibition, alert));
    json_object_set_new(root, "flapping", json_boolean(alert->flapping));
    return root;
}

static void list_prometheus(const sw_alert *alert, void *arg) {
    struct listing *listing = arg;
    if (alert->state != SW_ALERT_RESOLVED || alert->flapping) {
        json_array_append_new(listing->list,
                              sw_api_prometheus_alert(listing->agent, listing->inhibition, alert));
    }
}

static void get_alerts_v1(sw_http_exchange *exchange, void *arg) {
    const sw_agent *agent = arg;
    struct listing listing = {.agent = agent, .list = json_array(), .inhibition = sw_inhibiting_now(agent)};
    sw_alerts_each(agent->alerts, list_prometheus, &listing);
    sw_inhibition_free(listing.inhibition);
    sw_api_reply_json(exchange, 200,
                      json_pack("{s:s, s:{s:o}}", "status", "success", "data", "alerts", listing.list));
}

void sw_api_alerts_routes(sw_agent *agent) {
    sw_http_server_route(agent->server, "GET", "/api/v1/alerts", get_alerts_v1, agent);
    sw_http_server_route(agent->server, "GET", "/api/v2/alerts", get_alerts_v2, agent);
    sw_http_server_route(agent->server, "GET", "/api/v2/alerts/groups", get_groups, agent);
    sw_http_server_route(agent->server, "GET", "/api/v2/status", get_status_v2, agent);
    sw_http_server_route(agent->server, "GET", "/api/v2/receivers", get_receivers, agent);
}
