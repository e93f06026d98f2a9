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

static json_t *row_json(const sw_receiver *receiver, const sw_outbox_row *row) {
    json_t *root = json_object();
    json_object_set_new(root, "id", json_integer(row->id));
    json_object_set_new(root, "receiver", text_json(row->receiver));
    json_object_set_new(root, "configured", json_boolean(receiver->config != NULL));
    json_object_set_new(root, "state", json_string(row->dead ? "dead" : "waiting"));
    json_object_set_new(root, "fingerprint", text_json(row->fingerprint));
    json_object_set_new(root, "idempotency_key", text_json(row->idempotency_key));
    json_object_set_new(root, "created_at", sw_api_time_json(row->created_ns));
    json_object_set_new(root, "attempts", json_integer(row->attempts));
    json_object_set_new(root, "last_error", text_json(row->last_error));
    json_object_set_new(root, "body", body_json(row));
    return root;
}

/* ---- rows of all receivers, one after another ---- */

/* Dead letters with a greater id than `after`, and of receivers that are not configured also what waits: of
 * each at most `limit`. */
struct walk {
    sw_agent *agent;
    sw_http_exchange *exchange;
    int64_t after;
    int limit;
    size_t at; /* receiver */
    bool dead; /* of one that is not configured: what waits has been looked at */
    /* True: that was enough. */
    bool (*found)(struct walk *walk, sw_receiver *receiver, const sw_outbox_row *rows, size_t n);
    /* After the last, or once they cannot be read (perhaps because the agent ends); frees the walk. */
    void (*ended)(struct walk *walk, bool failed);
};

static void walk_on(struct walk *walk);

static void take_rows(struct walk *walk, const sw_outbox_row *rows, int n) {
    sw_receiver *receiver = n >= 0 ? sw_receivers_at(walk->agent, walk->at) : NULL;
    if (n < 0) {
        walk->ended(walk, true);
    } else if (n > 0 && walk->found(walk, receiver, rows, (size_t)n)) {
        walk->ended(walk, false);
    } else {
        bool again = receiver->outbox == NULL && !walk->dead;
        walk->dead = again;
        walk->at += again ? 0 : 1;
        walk_on(walk);
    }
}

static void outbox_read(const sw_outbox_row *rows, int n, void *arg) {
    take_rows(arg, rows, n);
}

static void store_read(sw_outbox_row *rows, int n, void *arg) {
    struct walk *walk = arg;
    bool gone = walk->agent->receivers == NULL;
    take_rows(walk, rows, gone ? -1 : n);
    for (int i = 0; i < n; i++) {
        sw_outbox_row_release(&rows[i]);
    }
    free(rows);
}

static void walk_on(struct walk *walk) {
    const sw_agent *agent = walk->agent;
    if (walk->at == sw_receivers_count(agent)) {
        walk->ended(walk, false);
        return;
    }
    const sw_receiver *receiver = sw_receivers_at(agent, walk->at);
    if (receiver->outbox != NULL) {
        sw_outbox_dead_letters(receiver->outbox, walk->after, walk->limit, outbox_read, walk);
    } else {
        sw_store_load_outbox(agent->store, receiver->name, walk->dead, walk->after, walk->limit, store_read,
                             walk);
    }
}

/* ---- list ---- */

struct listing {
    struct walk walk;
    json_t *rows;
};

static bool list_rows(struct walk *walk, sw_receiver *receiver, const sw_outbox_row *rows, size_t n) {
    struct listing *listing = (struct listing *)walk;
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(listing->rows, row_json(receiver, &rows[i]));
    }
    return false;
}

static json_int_t id_of(const json_t *row) {
    return json_integer_value(json_object_get(row, "id"));
}

static int by_id(const void *a, const void *b) {
    json_int_t x = id_of(*(json_t *const *)a), y = id_of(*(json_t *const *)b);
    return x < y ? -1 : x > y;
}

/* The first of all, as of each of them the first were read. */
static json_t *first_by_id(const json_t *rows, size_t limit) {
    size_t n = json_array_size(rows);
    json_t **sorted = xcalloc(n + 1, sizeof(json_t *));
    for (size_t i = 0; i < n; i++) {
        sorted[i] = json_array_get(rows, i);
    }
    qsort(sorted, n, sizeof(json_t *), by_id);
    json_t *first = json_array();
    for (size_t i = 0; i < n && i < limit; i++) {
        json_array_append(first, sorted[i]);
    }
    free(sorted);
    return first;
}

static void list_ended(struct walk *walk, bool failed) {
    struct listing *listing = (struct listing *)walk;
    if (failed) {
        refuse(walk->exchange, 503, "the storage cannot be read");
    } else {
        sw_api_reply_json(walk->exchange, 200,
                          json_pack("{s:s, s:o}", "status", "success", "data",
                                    first_by_id(listing->rows, (size_t)walk->limit)));
    }
    json_decref(listing->rows);
    free(listing);
}

static bool query_number(sw_http_exchange *exchange, const char *name, int64_t *out) {
    const char *text = sw_http_query(exchange, name), *end = NULL;
    return text == NULL || (read_number(text, out, &end) && *end == '\0');
}

static void get_dead(sw_http_exchange *exchange, void *arg) {
    int64_t after = 0, limit = LIST_DEFAULT;
    if (!query_number(exchange, "after", &after) || !query_number(exchange, "limit", &limit) || limit < 1 ||
        limit > LIST_MAX) {
        refuse(exchange, 400, "after must be an id, and limit a number from 1 to 1000");
        return;
    }
    struct listing *listing = xcalloc(1, sizeof *listing);
    *listing = (struct listing){
        .walk = {arg, exchange, after, (int)limit, 0, false, list_rows, list_ended},
        .rows = json_array(),
    };
    sw_http_defer(exchange);
    walk_on(&listing->walk);
}

/* ---- changes ---- */

struct change {
    struct walk walk;
    int64_t id;
    bool again, replied;
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

static void drop_unconfigured(sw_agent *agent, sw_receiver *receiver, const sw_outbox_row *row) {
    size_t *count = row->dead ? &receiver->dead : &receiver->waiting;
    *count -= *count > 0 ? 1 : 0;
    sw_batch_delete_outbox(sw_commit_batch(agent), row->id);
    sw_receiver_show(agent, receiver);
}

static bool change(struct walk *walk, sw_receiver *receiver, const sw_outbox_row *rows, size_t n) {
    struct change *wanted = (struct change *)walk;
    sw_agent *agent = walk->agent;
    if (n < 1 || rows[0].id != wanted->id) {
        return false;
    }
    wanted->replied = true;
    if (receiver->outbox == NULL && wanted->again) {
        agent->dead_letter_changing = false;
        refuse(walk->exchange, 409,
               "its receiver is not configured: it is sent when that is configured again");
        return true;
    }
    sw_store_batch *batch = sw_commit_batch(agent);
    if (receiver->outbox == NULL) {
        drop_unconfigured(agent, receiver, &rows[0]);
    } else {
        (wanted->again ? sw_outbox_send_again : sw_outbox_drop)(receiver->outbox, batch, &rows[0]);
    }
    sw_batch_on_end(batch, change_stored, agent);
    sw_api_reply_when_stored(agent, walk->exchange, json_pack("{s:s}", "status", "success"));
    return true;
}

static void change_ended(struct walk *walk, bool failed) {
    struct change *wanted = (struct change *)walk;
    if (!wanted->replied) {
        walk->agent->dead_letter_changing = false;
        refuse(walk->exchange, failed ? 503 : 404,
               failed ? "the storage cannot be read" : "no dead letter has this id");
    }
    free(wanted);
}

static void start_change(sw_agent *agent, sw_http_exchange *exchange, int64_t id, bool again) {
    if (agent->dead_letter_changing) {
        refuse(exchange, 409, "another dead letter is just being changed; try again");
        return;
    }
    struct change *wanted = xcalloc(1, sizeof *wanted);
    *wanted = (struct change){
        .walk = {agent, exchange, id - 1, 1, 0, false, change, change_ended}, .id = id, .again = again};
    agent->dead_letter_changing = true;
    sw_http_defer(exchange);
    walk_on(&wanted->walk);
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
static void test_receiver(sw_agent *agent, sw_alert *alert, const char *receiver) {
    alert->state = SW_ALERT_FIRING;
    alert->ends_at_ns = 0;
    sw_alerting_notify_one(agent, alert, SW_NOTICE_FIRING, receiver);
    alert->state = SW_ALERT_RESOLVED;
    alert->ends_at_ns = alert->starts_at_ns;
    sw_alerting_notify_one(agent, alert, SW_NOTICE_RESOLVED, receiver);
}

/* The receiver that is named, or each that a route leads to. */
static void post_test(sw_http_exchange *exchange, void *arg) {
    sw_agent *agent = arg;
    const sw_config *config = agent->config;
    const char *wanted = sw_http_query(exchange, "receiver");
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
    if (wanted != NULL && sw_config_receiver(config, wanted) == NULL) {
        refuse(exchange, 404, "no receiver has this name");
        return;
    }
    for (size_t i = 0; i < config->n_receivers; i++) {
        const char *name = config->receivers[i].name;
        if (wanted != NULL ? strcmp(wanted, name) == 0 : sw_route_leads_to(&config->route, name)) {
            test_receiver(agent, &alert, name);
        }
    }
    sw_api_reply_when_stored(agent, exchange,
                             json_pack("{s:s, s:s}", "status", "success", "fingerprint", alert.fingerprint));
}

void sw_api_notifications_routes(sw_agent *agent) {
    sw_http_server_route(agent->server, "GET", "/api/v1/notifications/dead", get_dead, agent);
    sw_http_server_route(agent->server, "POST", "/api/v1/notifications/test", post_test, agent);
    sw_http_server_route(agent->server, "POST", PATH, post_retry, agent);
    sw_http_server_route(agent->server, "DELETE", PATH, delete_dead, agent);
}
