/* One alert, with everything that is known of it: what a notification would say now, and where it stands. */
#include "agent/agent_internal.h"
#include "agent/api_reply.h"

#include <stdlib.h>
#include <string.h>

#include "alerts/payload.h"
#include "alerts/told.h"

#define PATH "/api/v1/alerts/" /* FINGERPRINT, or what it begins with */
#define DETAIL_MAX ((size_t)64 << 20)

struct search {
    const char *prefix;
    size_t len;
    char found[SW_FINGERPRINT_LEN + 1];
    size_t n;
};

static void look_at(const sw_alert *alert, void *arg) {
    struct search *search = arg;
    if (strncmp(alert->fingerprint, search->prefix, search->len) == 0) {
        memcpy(search->found, alert->fingerprint, sizeof search->found);
        search->n++;
    }
}

json_t *sw_api_time_or_null(int64_t ns) {
    return ns > 0 ? sw_api_time_json(ns) : json_null();
}

/* The notification's fields, but with all evidence, told or not. NULL when that is too much. */
static json_t *notification_of(const sw_agent *agent, const sw_inhibition *inhibition,
                               const sw_alert *alert) {
    sw_alert all = {0};
    sw_alert_copy(&all, alert);
    for (size_t i = 0; i < all.n_evidence; i++) {
        all.evidence[i].notified = false;
    }
    sw_payload_options options = {.trace_url = agent->config->trace_url_template,
                                  .likely_cause = sw_inhibition_cause(inhibition, alert->fingerprint)};
    sw_buf text;
    sw_buf_init(&text, DETAIL_MAX);
    int rc = sw_payload_json(&all, SW_NOTICE_FIRING, sw_wall_ns(agent->clock), &options, &text);
    json_t *root = rc == 0 ? json_loadb(text.data, text.len, 0, NULL) : NULL;
    sw_buf_release(&text);
    sw_alert_release(&all);
    return root;
}

/* {"webhook": when last} */
static json_t *told_json(const sw_alert *alert) {
    json_t *object = json_object();
    sw_told entry;
    for (const char *at = alert->told; (at = sw_told_next(at, &entry)) != NULL;) {
        bool sane = entry.at_s < INT64_MAX / SW_NS_PER_S;
        json_object_set_new(object, entry.receiver,
                            sane ? sw_api_time_json(entry.at_s * SW_NS_PER_S) : json_null());
    }
    return object;
}

static json_t *detail_of(const sw_agent *agent, const sw_inhibition *inhibition, const sw_alert *alert) {
    json_t *root = notification_of(agent, inhibition, alert);
    if (root == NULL) {
        return NULL;
    }
    json_object_del(root, "status"); /* of a notification, as is the next */
    json_object_del(root, "repeat");
    json_object_set_new(root, "state", json_string(sw_alert_state_name(alert->state)));
    json_object_set_new(root, "flapping", json_boolean(alert->flapping));
    json_object_set_new(root, "fired_at", sw_api_time_or_null(alert->fired_at_ns));
    json_object_set_new(root, "last_seen_at", sw_api_time_or_null(alert->last_seen_ns));
    json_object_set_new(root, "last_notified_at", sw_api_time_or_null(alert->last_notified_ns));
    json_object_set_new(root, "told", told_json(alert));
    json_object_set_new(root, "silenced_by", sw_api_silenced_by(agent, alert));
    json_object_set_new(root, "inhibited_by", sw_api_inhibited_by(inhibition, alert));
    return root;
}

size_t sw_api_find_alert(const sw_agent *agent, const char *prefix, char found[SW_FINGERPRINT_LEN + 1]) {
    struct search search = {.prefix = prefix, .len = strlen(prefix)};
    if (search.len == SW_FINGERPRINT_LEN) { /* a whole one needs no search */
        const sw_alert *alert = sw_alerts_find(agent->alerts, prefix);
        if (alert != NULL) {
            look_at(alert, &search);
        }
    } else if (search.len > 0) {
        sw_alerts_each(agent->alerts, look_at, &search);
    }
    memcpy(found, search.found, sizeof search.found);
    return search.n;
}

json_t *sw_api_not_found_json(size_t n) {
    return json_pack("{s:s}", "error",
                     n == 0 ? "no alert has a fingerprint that begins so"
                            : "more than one alert has a fingerprint that begins so");
}

/* Inhibition looks at all alerts: only then the one that is asked for. */
json_t *sw_api_alert_detail(const sw_agent *agent, const char *fingerprint) {
    sw_inhibition *inhibition = sw_inhibiting_now(agent);
    json_t *detail = detail_of(agent, inhibition, sw_alerts_find(agent->alerts, fingerprint));
    sw_inhibition_free(inhibition);
    return detail;
}

static void get_alert(sw_http_exchange *exchange, void *arg) {
    const sw_agent *agent = arg;
    char found[SW_FINGERPRINT_LEN + 1];
    size_t n = sw_api_find_alert(agent, sw_http_path(exchange) + strlen(PATH), found);
    if (n != 1) {
        sw_api_reply_json(exchange, n == 0 ? 404 : 409, sw_api_not_found_json(n));
        return;
    }
    json_t *detail = sw_api_alert_detail(agent, found);
    if (detail == NULL) {
        sw_api_reply_json(exchange, 500, json_pack("{s:s}", "error", "the alert is too large to be shown"));
    } else {
        sw_api_reply_json(exchange, 200, json_pack("{s:s, s:o}", "status", "success", "data", detail));
    }
}

void sw_api_alert_route(sw_agent *agent) {
    sw_http_server_route(agent->server, "GET", PATH, get_alert, agent);
}
