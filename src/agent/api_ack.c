/* The acknowledgement of one alert: a silence of its fingerprint, by somebody, until it is resolved. */
#include "agent/agent_internal.h"
#include "agent/api_reply.h"
#include "agent/api_silences.h"

#include <stdlib.h>
#include <string.h>

struct search {
    const char *fingerprint;
    const sw_silence *found;
    int64_t now_ns;
};

static void find_acknowledgement(const sw_silence *silence, void *arg) {
    struct search *search = arg;
    const sw_matcher *matcher = &silence->matchers.items[0];
    if (silence->until_resolved && silence->matchers.n == 1 && strcmp(matcher->name, "fingerprint") == 0 &&
        matcher->op == SW_MATCH_EQUAL && strcmp(matcher->value, search->fingerprint) == 0 &&
        sw_silence_state_at(silence, search->now_ns) == SW_SILENCE_ACTIVE) {
        search->found = silence;
    }
}

/* One that is there already gets the new author and comment. */
static void acknowledge(sw_agent *agent, sw_http_exchange *exchange, const char *fingerprint,
                        const char *author, const char *comment) {
    struct search search = {.fingerprint = fingerprint, .now_ns = sw_wall_ns(agent->clock)};
    sw_silence wanted = {
        .starts_at_ns = search.now_ns,
        .ends_at_ns = SW_SILENCE_NO_END_NS,
        .created_by = (char *)author,
        .comment = (char *)comment,
        .until_resolved = true,
    };
    sw_silences_each(agent->silences, search.now_ns, find_acknowledgement, &search);
    if (search.found != NULL) {
        memcpy(wanted.id, search.found->id, sizeof wanted.id);
        wanted.starts_at_ns = search.found->starts_at_ns;
    }
    char *why = NULL;
    sw_matchers_add(&wanted.matchers, "fingerprint", SW_MATCH_EQUAL, fingerprint, &why);
    sw_api_set_silence(agent, exchange, &wanted);
    sw_matchers_release(&wanted.matchers);
    free(why);
}

/* "/api/v1/alerts/0123456789abcdef/ack": the fingerprint, or how it begins. */
static bool read_fingerprint(const char *path, char out[SW_FINGERPRINT_LEN + 1]) {
    const char *from = path + strlen(SW_ACK_PATH);
    size_t len = strspn(from, "0123456789abcdef");
    if (len == 0 || len > SW_FINGERPRINT_LEN || strcmp(from + len, "/ack") != 0) {
        return false;
    }
    memcpy(out, from, len);
    out[len] = '\0';
    return true;
}

void sw_api_post_ack(sw_http_exchange *exchange, void *arg) {
    sw_agent *agent = arg;
    char prefix[SW_FINGERPRINT_LEN + 1], fingerprint[SW_FINGERPRINT_LEN + 1];
    if (!read_fingerprint(sw_http_path(exchange), prefix)) {
        sw_api_reply_json(exchange, 404,
                          json_pack("{s:s}", "error", "POST /api/v1/alerts/FINGERPRINT/ack is known"));
        return;
    }
    json_t *root = sw_api_read_object(exchange);
    if (root == NULL) {
        return;
    }
    const char *author = json_string_value(json_object_get(root, "author"));
    const json_t *comment = json_object_get(root, "comment");
    size_t n = sw_api_find_alert(agent, prefix, fingerprint);
    const sw_alert *alert = n == 1 ? sw_alerts_find(agent->alerts, fingerprint) : NULL;
    if (author == NULL || author[0] == '\0' || (comment != NULL && !json_is_string(comment))) {
        sw_api_reply_json(exchange, 422,
                          json_pack("{s:s}", "error", "author must be a text, and comment may be one"));
    } else if (alert == NULL) {
        sw_api_reply_json(exchange, n == 0 ? 404 : 409, sw_api_not_found_json(n));
    } else if (alert->state != SW_ALERT_FIRING) {
        sw_api_reply_json(exchange, 409, json_pack("{s:s}", "error", "the alert is not firing"));
    } else {
        acknowledge(agent, exchange, fingerprint, author, comment != NULL ? json_string_value(comment) : "");
    }
    json_decref(root);
}
