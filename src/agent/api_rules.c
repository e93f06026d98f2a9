/*
 * Detectors as Prometheus shows rules: a group for each detector, in it a rule for each type of alert that it
 * has now, or one of its own name while it has none. Source:
 * https://prometheus.io/docs/prometheus/latest/querying/api/#rules
 */
#include "agent/agent_internal.h"
#include "agent/api_reply.h"

#include <string.h>

struct listing {
    const sw_agent *agent;
    json_t *groups;  /* the answer */
    json_t *by_name; /* the same ones */
    sw_inhibition *inhibition;
};

static json_t *add_group(struct listing *listing, const char *name, double interval_s, bool ok,
                         const char *error) {
    json_t *group =
        json_pack("{s:s, s:s, s:f, s:i, s:f, s:o, s:[]}", "name", name, "file", name, "interval", interval_s,
                  "limit", 0, "evaluationTime", 0.0, "lastEvaluation", sw_api_time_json(0), "rules");
    json_object_set_new(group, "health", json_string(ok ? "ok" : "err"));
    json_object_set_new(group, "lastError", json_string(ok ? "" : error));
    json_array_append_new(listing->groups, group);
    json_object_set(listing->by_name, name, group);
    return group;
}

static json_t *add_rule(json_t *group, const char *type, double for_s, double keep_firing_s) {
    json_t *rule = json_pack("{s:s, s:s, s:s, s:f, s:f, s:{}, s:{}, s:[], s:s, s:f}", "type", "alerting",
                             "name", type, "query", "", "duration", for_s, "keepFiringFor", keep_firing_s,
                             "labels", "annotations", "alerts", "state", "inactive", "evaluationTime", 0.0);
    json_array_append_new(json_object_get(group, "rules"), rule);
    return rule;
}

static json_t *rule_of(json_t *group, const sw_alert *alert) {
    json_t *rule = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(group, "rules"), i, rule) {
        if (sw_streq(json_string_value(json_object_get(rule, "name")), alert->type)) {
            return rule;
        }
    }
    return add_rule(group, alert->type, alert->for_s, alert->keep_firing_s);
}

/* Those of the agent itself, and of detectors that are just going, have a group too. */
static void add_alert(const sw_alert *alert, void *arg) {
    struct listing *listing = arg;
    if (alert->state == SW_ALERT_RESOLVED) {
        return;
    }
    json_t *group = json_object_get(listing->by_name, alert->detector);
    if (group == NULL) {
        group = add_group(listing, alert->detector, (double)listing->agent->config->tempo_alert_interval_secs,
                          true, "");
    }
    json_t *rule = rule_of(group, alert);
    json_array_append_new(json_object_get(rule, "alerts"),
                          sw_api_prometheus_alert(listing->agent, listing->inhibition, alert));
    bool fires = sw_streq(json_string_value(json_object_get(rule, "state")), "firing");
    if (!fires) {
        json_object_set_new(rule, "state", json_string(sw_alert_state_name(alert->state)));
    }
}

/* The newest, over all sources: times in this form sort as text. */
static void add_evaluation(const char *detector, const sw_feed *feed, int64_t judged_until_s,
                           int64_t seen_until_s, void *arg) {
    struct listing *listing = arg;
    json_t *group = json_object_get(listing->by_name, detector);
    json_t *time = sw_api_time_json(judged_until_s * SW_NS_PER_S);
    (void)feed;
    (void)seen_until_s;
    if (group != NULL &&
        strcmp(json_string_value(time), json_string_value(json_object_get(group, "lastEvaluation"))) > 0) {
        json_object_set(group, "lastEvaluation", time);
    }
    json_decref(time);
}

/* Health and time are the detector's: Prometheus has them in each rule. */
static void finish_group(json_t *group) {
    if (json_array_size(json_object_get(group, "rules")) == 0) {
        add_rule(group, json_string_value(json_object_get(group, "name")), 0, 0);
    }
    json_t *rule = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(group, "rules"), i, rule) {
        json_object_set(rule, "health", json_object_get(group, "health"));
        json_object_set(rule, "lastError", json_object_get(group, "lastError"));
        json_object_set(rule, "lastEvaluation", json_object_get(group, "lastEvaluation"));
    }
    json_object_del(group, "health");
    json_object_del(group, "lastError");
}

static json_t *list_groups(const sw_agent *agent) {
    struct listing listing = {agent, json_array(), json_object(), sw_inhibiting_now(agent)};
    for (size_t i = 0; i < sw_detectors_count(agent->detectors); i++) {
        const sw_detector *detector = sw_detectors_at(agent->detectors, i);
        add_group(&listing, sw_detector_name(detector), sw_detector_every_s(detector),
                  sw_detector_ready(detector), sw_detector_last_error(detector));
    }
    sw_judge_each(agent, add_evaluation, &listing);
    sw_alerts_each(agent->alerts, add_alert, &listing);
    sw_inhibition_free(listing.inhibition);
    json_t *group = NULL;
    size_t i = 0;
    json_array_foreach(listing.groups, i, group) {
        finish_group(group);
    }
    json_decref(listing.by_name);
    return listing.groups;
}

static void get_rules(sw_http_exchange *exchange, void *arg) {
    const char *type = sw_http_query(exchange, "type");
    if (type != NULL && !sw_streq(type, "alert") && !sw_streq(type, "record")) {
        sw_api_reply_json(exchange, 400,
                          json_pack("{s:s, s:s, s:s}", "status", "error", "errorType", "bad_data", "error",
                                    "type must be alert or record"));
        return;
    }
    json_t *groups = sw_streq(type, "record") ? json_array() : list_groups(arg);
    sw_api_reply_json(exchange, 200,
                      json_pack("{s:s, s:{s:o}}", "status", "success", "data", "groups", groups));
}

void sw_api_rules_route(sw_agent *agent) {
    sw_http_server_route(agent->server, "GET", "/api/v1/rules", get_rules, agent);
}
