/* Notifications that were refused or given up (dead letters): looked at, sent again, dropped; and one to try
 * the receiver with. */
#include "agent/agent_internal.h"
#include "agent/api_reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PATH "/api/v1/notifications/" /* ID, or ID/retry */
#define LIST_DEFAULT 100
#define LIST_MAX 1000

static void refuse(sw_http_exchange *exchange, int status, const char *why) {
    sw_api_reply_json(exchange, status, json_pack("{s:s}", "error", why));
}

/* A decimal number without sign; where it ends. False when there is none, or too large a one. */
static bool read_number(const char *text, int64_t *out, const char **end) {
    size_t digits = strspn(text, "0123456789");
    errno = 0;
    *out = strtoll(text, NULL, 10);
    *end = text + digits;
    return digits > 0 && errno == 0;
}

/* ---- list ---- */

static json_t *text_json(const char *text) {
    json_t *json = json_string(text);
    return json != NULL ? json : json_string("not UTF-8");
}

/* As it is stored: what a format makes of it is made anew at each attempt. */
static json_t *body_json(const sw_outbox_row *row) {
    json_t *body = json_loadb(row->body, row->body_len, JSON_DECODE_ANY, NULL);
    return body != NULL ? body : text_json(row->body);
}

static json_t *row_json(const sw_outbox_row *row) {
    json_t *root = json_object();
    json_object_set_new(root, "id", json_integer(row->id));
    json_object_set_new(root, "receiver", text_json(row->receiver));
    json_object_set_new(root, "fingerprint", text_json(row->fingerprint));
    json_object_set_new(root, "idempotency_key", text_json(row->idempotency_key));
    json_object_set_new(root, "created_at", sw_api_time_json(row->created_ns));
    json_object_set_new(root, "attempts", json_integer(row->attempts));
    json_object_set_new(root, "last_error", text_json(row->last_error));
    json_object_set_new(root, "body", body_json(row));
    return root;
}

static void listed(const sw_outbox_row *rows, int n, void *arg) {
    sw_http_exchange *exchange = arg;
    if (n < 0) {
        refuse(exchange, 503, "the storage cannot be read");
        return;
    }
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        json_array_append_new(list, row_json(&rows[i]));
    }
    sw_api_reply_json(exchange, 200, json_pack("{s:s, s:o}", "status", "success", "data", list));
}

static bool query_number(sw_http_exchange *exchange, const char *name, int64_t *out) {
    const char *text = sw_http_query(exchange, name), *end = NULL;
    return text == NULL || (read_number(text, out, &end) && *end == '\0');
}

static void get_dead(sw_http_exchange *exchange, void *arg) {
    const sw_agent *agent = arg;
    int64_t after = 0, limit = LIST_DEFAULT;
    if (!query_number(exchange, "after", &after) || !query_number(exchange, "limit", &limit) || limit < 1 ||
        limit > LIST_MAX) {
        refuse(exchange, 400, "after must be an id, and limit a number from 1 to 1000");
        return;
    }
    sw_http_defer(exchange);
    sw_outbox_dead_letters(agent->outbox, after, (int)limit, listed, exchange);
}

/* ---- changes ---- */

struct change {
    sw_agent *agent;
    sw_http_exchange *exchange;
    int64_t id;
    bool again;
};

/* Until it is stored, the store still shows the letter as dead: nothing else may be done to it. */
static void change_stored(sw_store_batch *batch, int result, void *arg) {
    sw_agent *agent = arg;
    if (result == -1) {
        sw_batch_on_end(batch, change_stored, agent);
    } else {
        agent->dead_letter_changing = false;
    }
}

static void change(const sw_outbox_row *rows, int n, void *arg) {
    struct change *wanted = arg;
    sw_agent *agent = wanted->agent;
    if (n < 1 || rows[0].id != wanted->id) {
        agent->dead_letter_changing = false;
        refuse(wanted->exchange, n < 0 ? 503 : 404,
               n < 0 ? "the storage cannot be read" : "no dead letter has this id");
    } else {
        sw_store_batch *batch = sw_commit_batch(agent);
        (wanted->again ? sw_outbox_send_again : sw_outbox_drop)(agent->outbox, batch, &rows[0]);
        sw_batch_on_end(batch, change_stored, agent);
        sw_api_reply_when_stored(agent, wanted->exchange, json_pack("{s:s}", "status", "success"));
    }
    free(wanted);
}

static void start_change(sw_agent *agent, sw_http_exchange *exchange, int64_t id, bool again) {
    if (agent->dead_letter_changing) {
        refuse(exchange, 409, "another dead letter is just being changed; try again");
        return;
    }
    struct change *wanted = xmalloc(sizeof *wanted);
    *wanted = (struct change){agent, exchange, id, again};
    agent->dead_letter_changing = true;
    sw_http_defer(exchange);
    sw_outbox_dead_letters(agent->outbox, id - 1, 1, change, wanted);
}

static void post_retry(sw_http_exchange *exchange, void *arg) {
    int64_t id = 0;
    const char *end = NULL;
    if (read_number(sw_http_path(exchange) + strlen(PATH), &id, &end) && strcmp(end, "/retry") == 0) {
        start_change(arg, exchange, id, true);
    } else {
        refuse(exchange, 404, "POST /api/v1/notifications/ID/retry is known, and /api/v1/notifications/test");
    }
}

static void delete_dead(sw_http_exchange *exchange, void *arg) {
    int64_t id = 0;
    const char *end = NULL;
    if (read_number(sw_http_path(exchange) + strlen(PATH), &id, &end) && *end == '\0') {
        start_change(arg, exchange, id, false);
    } else {
        refuse(exchange, 404, "DELETE /api/v1/notifications/ID is known");
    }
}

/* ---- test ---- */

/* One that fires and one that resolves it, so that nothing stays open at the receiver. */
static void post_test(sw_http_exchange *exchange, void *arg) {
    sw_agent *agent = arg;
    int64_t now = sw_wall_ns(agent->clock);
    sw_alert alert = {
        .fingerprint = "0000000000000000",
        .type = "test_notification",
        .detector = SW_AGENT_SELF,
        .source = "",
        .state = SW_ALERT_FIRING,
        .severity = SW_SEVERITY_INFO,
        .summary = "a test of the notifications: nothing is wrong",
        .starts_at_ns = now,
        .fired_at_ns = now,
        .last_seen_ns = now,
        .window_from_s = now / SW_NS_PER_S,
        .window_to_s = now / SW_NS_PER_S,
        .window_complete = true,
    };
    sw_alerting_notify(&alert, SW_NOTICE_FIRING, agent);
    alert.state = SW_ALERT_RESOLVED;
    alert.ends_at_ns = now;
    sw_alerting_notify(&alert, SW_NOTICE_RESOLVED, agent);
    sw_api_reply_when_stored(agent, exchange,
                             json_pack("{s:s, s:s}", "status", "success", "fingerprint", alert.fingerprint));
}

void sw_api_notifications_routes(sw_agent *agent) {
    sw_http_server_route(agent->server, "GET", "/api/v1/notifications/dead", get_dead, agent);
    sw_http_server_route(agent->server, "POST", "/api/v1/notifications/test", post_test, agent);
    sw_http_server_route(agent->server, "POST", PATH, post_retry, agent);
    sw_http_server_route(agent->server, "DELETE", PATH, delete_dead, agent);
}
