#include "agent/api_reply.h"

#include <stdlib.h>
#include <string.h>

#define NOT_STORED "it is in force, but cannot be written to the storage now"

void sw_api_reply_json(sw_http_exchange *exchange, int status, json_t *body) {
    char *text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
    sw_http_reply(exchange, status, "application/json", text, strlen(text));
    free(text);
    json_decref(body);
}

struct waiting {
    sw_http_exchange *exchange;
    json_t *body;
};

static void stored(sw_store_batch *batch, int result, void *arg) {
    struct waiting *waiting = arg;
    (void)batch;
    if (result == 0) {
        sw_api_reply_json(waiting->exchange, 200, waiting->body);
    } else {
        json_decref(waiting->body);
        sw_api_reply_json(waiting->exchange, 503, json_string(NOT_STORED));
    }
    free(waiting);
}

void sw_api_reply_when_stored(sw_agent *agent, sw_http_exchange *exchange, json_t *body) {
    if (agent->commit_failing) {
        json_decref(body);
        sw_api_reply_json(exchange, 503, json_string(NOT_STORED));
        return;
    }
    struct waiting *waiting = xmalloc(sizeof *waiting);
    *waiting = (struct waiting){exchange, body};
    sw_http_defer(exchange);
    sw_batch_on_end(sw_commit_batch(agent), stored, waiting);
}

json_t *sw_api_read_object(sw_http_exchange *exchange) {
    size_t len = 0;
    const char *body = sw_http_body(exchange, &len);
    json_error_t error;
    json_t *root = json_loadb(body, len, 0, &error);
    if (!json_is_object(root)) {
        char *why = xasprintf("the body must be a JSON object%s%s", root == NULL ? ": " : "",
                              root == NULL ? error.text : "");
        sw_api_reply_json(exchange, 400, json_pack("{s:i, s:s}", "code", 400, "message", why));
        free(why);
        json_decref(root);
        return NULL;
    }
    return root;
}

json_t *sw_api_time_json(int64_t ns) {
    char text[32];
    sw_format_rfc3339(ns, text);
    return json_string(text);
}

struct filter_reading {
    sw_matchers *filter;
    char *why;
};

static void add_filter(const char *value, void *arg) {
    struct filter_reading *reading = arg;
    if (reading->why == NULL) {
        sw_matchers_parse(reading->filter, value, &reading->why);
    }
}

/* Alertmanager's errors are plain JSON strings. */
bool sw_api_read_filter(sw_http_exchange *exchange, sw_matchers *filter) {
    struct filter_reading reading = {.filter = filter};
    sw_http_query_each(exchange, "filter", add_filter, &reading);
    if (reading.why == NULL) {
        return true;
    }
    json_t *text = json_string(reading.why);
    sw_api_reply_json(exchange, 400, text != NULL ? text : json_string("not UTF-8"));
    free(reading.why);
    return false;
}
