/*
 * Silences over HTTP, in Alertmanager's shapes (API v2), so that amtool and Grafana work. What was
 * changed is answered when it is on disk.
 *
 * More than Alertmanager's: "untilResolved": true, with which endsAt may be left out.
 */
#include "agent/agent_internal.h"
#include "agent/api_reply.h"
#include "agent/api_silences.h"

#include <stdlib.h>
#include <string.h>

#include "telemetry/log.h"

#define JSON "application/json"
#define SILENCE_PATH "/api/v2/silence/"

/* ---- answers ---- */

/* Alertmanager's errors are plain JSON strings; those of its validator have a code. */
static void reply_error(sw_http_exchange *exchange, int status, const char *message) {
    json_t *text = json_string(message);
    sw_api_reply_json(exchange, status, text != NULL ? text : json_string("not UTF-8"));
}

static void reply_invalid(sw_http_exchange *exchange, int code, const char *message) {
    sw_api_reply_json(exchange, 422, json_pack("{s:i, s:s}", "code", code, "message", message));
}

/* ---- a silence as JSON ---- */

static json_t *matchers_json(const sw_matchers *matchers) {
    json_t *list = json_array();
    for (size_t i = 0; i < matchers->n; i++) {
        const sw_matcher *matcher = &matchers->items[i];
        bool regex = matcher->op == SW_MATCH_REGEX || matcher->op == SW_MATCH_NOT_REGEX;
        bool equal = matcher->op == SW_MATCH_EQUAL || matcher->op == SW_MATCH_REGEX;
        json_array_append_new(list, json_pack("{s:b, s:b, s:s, s:s}", "isEqual", (int)equal, "isRegex",
                                              (int)regex, "name", matcher->name, "value", matcher->value));
    }
    return list;
}

static json_t *silence_json(const sw_silence *silence, int64_t now_ns) {
    json_t *root = json_object();
    const char *state = sw_silence_state_name(sw_silence_state_at(silence, now_ns));
    json_object_set_new(root, "id", json_string(silence->id));
    json_object_set_new(root, "status", json_pack("{s:s}", "state", state));
    json_object_set_new(root, "updatedAt", sw_api_time_json(silence->updated_at_ns));
    json_object_set_new(root, "comment", json_string(silence->comment));
    json_object_set_new(root, "createdBy", json_string(silence->created_by));
    json_object_set_new(root, "endsAt", sw_api_time_json(silence->ends_at_ns));
    json_object_set_new(root, "matchers", matchers_json(&silence->matchers));
    json_object_set_new(root, "startsAt", sw_api_time_json(silence->starts_at_ns));
    if (silence->until_resolved) {
        json_object_set_new(root, "untilResolved", json_true());
    }
    return root;
}

/* ---- GET ---- */

struct listing {
    sw_matchers filter;
    int64_t now_ns;
    json_t *list;
};

static const char *pattern_of(const sw_silence *silence, const char *name) {
    const char *found = NULL; /* the last of several, as in Alertmanager */
    for (size_t i = 0; i < silence->matchers.n; i++) {
        const sw_matcher *matcher = &silence->matchers.items[i];
        found = strcmp(matcher->name, name) == 0 ? matcher->value : found;
    }
    return found;
}

/* A filter is matched with the texts of the silence's own matchers. */
static bool passes(const sw_silence *silence, const sw_matchers *filter) {
    for (size_t i = 0; i < filter->n; i++) {
        const sw_matcher *matcher = &filter->items[i];
        const char *pattern = pattern_of(silence, matcher->name);
        bool negative = matcher->op == SW_MATCH_NOT_EQUAL || matcher->op == SW_MATCH_NOT_REGEX;
        bool about_presence = matcher->value[0] == '\0';
        if (about_presence && negative == (pattern != NULL)) {
            continue;
        }
        if (!sw_matcher_matches(matcher, pattern != NULL ? pattern : "")) {
            return false;
        }
    }
    return true;
}

static void list_one(const sw_silence *silence, void *arg) {
    struct listing *listing = arg;
    if (passes(silence, &listing->filter)) {
        json_array_append_new(listing->list, silence_json(silence, listing->now_ns));
    }
}

static void get_silences(sw_http_exchange *exchange, void *arg) {
    sw_agent *agent = arg;
    struct listing listing = {.now_ns = sw_wall_ns(agent->clock)};
    if (sw_api_read_filter(exchange, &listing.filter)) {
        listing.list = json_array();
        sw_silences_each(agent->silences, listing.now_ns, list_one, &listing);
        sw_api_reply_json(exchange, 200, listing.list);
    }
    sw_matchers_release(&listing.filter);
}

/* The id behind the path's prefix; NULL after answering that it is none. */
static const char *id_of(sw_http_exchange *exchange) {
    const char *id = sw_http_path(exchange) + strlen(SILENCE_PATH);
    static const char shape[] = "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh";
    bool good = strlen(id) == SW_SILENCE_ID_LEN;
    for (size_t i = 0; good && i < SW_SILENCE_ID_LEN; i++) {
        good = shape[i] == '-' ? id[i] == '-' : strchr("0123456789abcdefABCDEF", id[i]) != NULL;
    }
    if (!good) {
        reply_invalid(exchange, 601, "silenceID in path must be of type uuid");
    }
    return good ? id : NULL;
}

static void get_silence(sw_http_exchange *exchange, void *arg) {
    sw_agent *agent = arg;
    const char *id = id_of(exchange);
    const sw_silence *silence = id != NULL ? sw_silences_find(agent->silences, id) : NULL;
    if (silence != NULL) {
        sw_api_reply_json(exchange, 200, silence_json(silence, sw_wall_ns(agent->clock)));
    } else if (id != NULL) {
        reply_error(exchange, 404, "silence not found");
    }
}

static void delete_silence(sw_http_exchange *exchange, void *arg) {
    sw_agent *agent = arg;
    const char *id = id_of(exchange);
    if (id == NULL) {
        return;
    }
    char *why = NULL;
    sw_silences_sink sink = sw_silencing_sink(agent);
    sw_silence_result result = sw_silences_expire(agent->silences, id, sw_wall_ns(agent->clock), &sink, &why);
    if (result != SW_SILENCE_OK) {
        reply_error(exchange, result == SW_SILENCE_UNKNOWN ? 404 : 500, why);
    } else {
        sw_log(SW_LOG_INFO, "silence expired", "id", id, NULL);
        sw_silencing_sweep(agent); /* what it kept back is told now */
        sw_api_reply_when_stored(agent, exchange, json_object());
    }
    free(why);
}

/* ---- POST ---- */

struct reading {
    const json_t *root;
    char *why;
    bool missing; /* why is about a field that is not there or of another type */
};

static const char *text_field(struct reading *r, const char *name, bool required) {
    const json_t *value = json_object_get(r->root, name);
    bool absent = value == NULL || json_is_null(value);
    if (r->why == NULL && (absent ? required : !json_is_string(value))) {
        r->missing = true;
        r->why = xasprintf("%s in body %s", name, absent ? "is required" : "must be of type string");
    }
    return json_is_string(value) ? json_string_value(value) : "";
}

static int64_t time_field(struct reading *r, const char *name, bool required) {
    const char *text = text_field(r, name, required);
    int64_t ns = 0;
    if (r->why == NULL && text[0] != '\0' && sw_parse_rfc3339(text, &ns) != 0) {
        /* Years after 2261 stand for "no end". */
        bool far = strlen(text) > 4 && strspn(text, "0123456789") == 4 && atoi(text) > 2261;
        r->why = far ? NULL : xasprintf("%s: \"%.40s\" is no time as in RFC 3339", name, text);
        ns = SW_SILENCE_NO_END_NS;
    }
    return ns;
}

static void read_matcher(struct reading *r, const json_t *one, sw_matchers *out) {
    const char *name = json_string_value(json_object_get(one, "name"));
    const char *value = json_string_value(json_object_get(one, "value"));
    const json_t *regex = json_object_get(one, "isRegex"), *equal = json_object_get(one, "isEqual");
    if (name == NULL || value == NULL || !json_is_boolean(regex) ||
        (equal != NULL && !json_is_boolean(equal))) {
        r->missing = true;
        r->why = xstrdup("matchers in body need name, value, isRegex, and may have isEqual");
        return;
    }
    bool is_equal = equal == NULL || json_is_true(equal);
    sw_match_op op = json_is_true(regex) ? (is_equal ? SW_MATCH_REGEX : SW_MATCH_NOT_REGEX)
                                         : (is_equal ? SW_MATCH_EQUAL : SW_MATCH_NOT_EQUAL);
    sw_matchers_add(out, name, op, value, &r->why);
}

/* Texts are borrowed from the body. */
static void read_silence(struct reading *r, sw_silence *out) {
    const json_t *matchers = json_object_get(r->root, "matchers"), *one = NULL;
    size_t i = 0;
    if (!json_is_array(matchers)) {
        r->missing = true;
        r->why = xstrdup("matchers in body is required");
    }
    json_array_foreach(matchers, i, one) {
        if (r->why == NULL) {
            read_matcher(r, one, &out->matchers);
        }
    }
    out->until_resolved = json_is_true(json_object_get(r->root, "untilResolved"));
    out->starts_at_ns = time_field(r, "startsAt", true);
    out->ends_at_ns = time_field(r, "endsAt", !out->until_resolved);
    if (out->ends_at_ns == 0 && out->until_resolved) {
        out->ends_at_ns = SW_SILENCE_NO_END_NS;
    }
    out->created_by = (char *)text_field(r, "createdBy", true);
    out->comment = (char *)text_field(r, "comment", true);
    const char *id = text_field(r, "id", false);
    if (strlen(id) > SW_SILENCE_ID_LEN) {
        free(r->why);
        r->why = xstrdup("silence not found");
    } else {
        memcpy(out->id, id, strlen(id) + 1);
    }
}

void sw_api_set_silence(sw_agent *agent, sw_http_exchange *exchange, const sw_silence *wanted) {
    char id[SW_SILENCE_ID_LEN + 1], *why = NULL;
    sw_silences_sink sink = sw_silencing_sink(agent);
    sw_silence_result result =
        sw_silences_set(agent->silences, wanted, sw_wall_ns(agent->clock), &sink, id, &why);
    if (result == SW_SILENCE_OK) {
        sw_buf text;
        sw_buf_init(&text, (size_t)1 << 20);
        sw_matchers_print(&wanted->matchers, &text);
        sw_log(SW_LOG_INFO, "silence set", "id", id, "matchers", text.data, "by", wanted->created_by, NULL);
        sw_buf_release(&text);
        sw_silencing_sweep(agent); /* an old one with other matchers may have ended */
        sw_api_reply_when_stored(agent, exchange, json_pack("{s:s}", "silenceID", id));
    } else if (result == SW_SILENCE_UNKNOWN) {
        reply_error(exchange, 404, why);
    } else {
        char *message = xasprintf("Failed to create silence: %s", why);
        reply_error(exchange, 400, message);
        free(message);
    }
    free(why);
}

static void post_silences(sw_http_exchange *exchange, void *arg) {
    json_t *root = sw_api_read_object(exchange);
    if (root == NULL) {
        return;
    }
    struct reading r = {.root = root};
    sw_silence wanted = {0};
    read_silence(&r, &wanted);
    if (r.why == NULL) {
        sw_api_set_silence(arg, exchange, &wanted);
    } else if (r.missing) {
        reply_invalid(exchange, 602, r.why);
    } else {
        reply_error(exchange, strcmp(r.why, "silence not found") == 0 ? 404 : 400, r.why);
    }
    sw_matchers_release(&wanted.matchers);
    free(r.why);
    json_decref(root);
}

void sw_api_silences_routes(sw_agent *agent) {
    sw_http_server_route(agent->server, "GET", "/api/v2/silences", get_silences, agent);
    sw_http_server_route(agent->server, "POST", "/api/v2/silences", post_silences, agent);
    sw_http_server_route(agent->server, "GET", SILENCE_PATH, get_silence, agent);
    sw_http_server_route(agent->server, "DELETE", SILENCE_PATH, delete_silence, agent);
    sw_http_server_route(agent->server, "POST", SW_ACK_PATH, sw_api_post_ack, agent);
}
