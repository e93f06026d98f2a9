/* What scripts may ask the host: a source's extra questions (ctx.search, ctx.trace, ctx.tempo.*) and HTTP to
 * hosts that the configuration allows (ctx.http.*). */
#include "agent/agent_internal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/url.h"

#define HTTP_BODY_MAX ((size_t)1 << 20)
#define HTTP_TIMEOUT_MS 5000
#define HTTP_HEADERS_MAX 32

struct ask {
    sw_agent *agent;
    sw_http_call *call; /* of ctx.http */
    sw_source *source;  /* that is asked, and */
    void *query;        /* what it was asked */
    sw_ask_done done;
    void *done_arg;
    bool starting; /* an answer may come before the start is over */
    bool answered;
};

static void answer(struct ask *ask, const char *json, size_t len, const char *message, const char *code) {
    ask->done(json, len, message, code, ask->done_arg);
    ask->answered = true;
}

static void source_answered(const char *json, size_t len, const char *message, const char *code, void *arg) {
    struct ask *ask = arg;
    bool starting = ask->starting; /* then the start frees it */
    answer(ask, json, len, message, code);
    if (!starting) {
        free(ask);
    }
}

static void answer_http(struct ask *ask, const sw_http_response *response) {
    if (response->error != SW_HTTP_OK) {
        answer(ask, NULL, 0, response->message, sw_http_error_name(response->error));
        return;
    }
    json_t *body = json_stringn(response->body, response->body_len);
    if (body == NULL) {
        answer(ask, NULL, 0, "the answer is not UTF-8 text", "not_text");
        return;
    }
    json_t *value = json_pack("{s:i, s:{s:s}, s:o}", "status", response->status, "headers", "content_type",
                              response->content_type, "body", body);
    char *text = json_dumps(value, JSON_COMPACT);
    json_decref(value);
    answer(ask, text, strlen(text), NULL, NULL);
    free(text);
}

static void http_answered(const sw_http_response *response, void *arg) {
    struct ask *ask = arg;
    answer_http(ask, response);
    free(ask);
}

static bool host_allowed(const sw_agent *agent, const char *url) {
    char *host = sw_url_host(url);
    bool allowed = false;
    for (size_t i = 0; host != NULL && i < agent->config->http_allowed_hosts.n; i++) {
        const char *entry = agent->config->http_allowed_hosts.items[i];
        size_t len = strlen(entry);
        /* "host" allows every port of it, "host:port" only that one. */
        allowed =
            allowed || strcasecmp(host, entry) == 0 ||
            (strncasecmp(host, entry, len) == 0 && host[len] == ':' && strchr(host + len + 1, ':') == NULL);
    }
    free(host);
    return allowed;
}

/* Header lines for the client, NULL-terminated; -1 when the table is not one of text. Caller frees. */
static int header_lines(const json_t *headers, char *lines[HTTP_HEADERS_MAX + 1]) {
    size_t n = 0;
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)headers, name, value) {
        if (!json_is_string(value) || n == HTTP_HEADERS_MAX) {
            return -1;
        }
        lines[n++] = xasprintf("%s: %s", name, json_string_value(value));
    }
    return 0;
}

static void http_start(struct ask *ask, const char *method, const json_t *args, int64_t timeout_ms) {
    const char *url = json_string_value(json_object_get(args, "url"));
    const json_t *body = json_object_get(args, "body");
    const json_t *timeout = json_object_get(args, "timeout_ms");
    char *lines[HTTP_HEADERS_MAX + 1] = {NULL};
    if (url == NULL || sw_url_check(url) != NULL) {
        answer(ask, NULL, 0, "url is not an absolute http or https URL", "usage");
        return;
    }
    if (!host_allowed(ask->agent, url)) {
        char *message = xasprintf("the host of this URL is not in SPANWATCH_HTTP_ALLOWED_HOSTS");
        answer(ask, NULL, 0, message, "not_allowed");
        free(message);
        return;
    }
    if (header_lines(json_object_get(args, "headers"), lines) != 0) {
        answer(ask, NULL, 0, "headers must be a table of at most 32 texts", "usage");
    } else {
        int64_t wanted = json_is_number(timeout) ? (int64_t)json_number_value(timeout) : HTTP_TIMEOUT_MS;
        sw_http_request request = {
            .method = method,
            .url = url,
            .headers = (const char *const *)lines,
            .body = json_is_string(body) ? json_string_value(body) : NULL,
            .body_len = json_is_string(body) ? json_string_length(body) : 0,
            .timeout_ms = wanted < 1            ? 1
                          : wanted < timeout_ms ? wanted
                                                : timeout_ms,
            .max_body = HTTP_BODY_MAX,
            .accept_compressed = true,
            .done = http_answered,
            .arg = ask,
        };
        ask->call = sw_http_start(ask->agent->http, &request);
    }
    for (size_t i = 0; i < HTTP_HEADERS_MAX; i++) {
        free(lines[i]);
    }
}

static void source_start(struct ask *ask, const char *kind, const char *args_json, int64_t timeout_ms) {
    sw_source *source = ask->source = sw_feeds_askable(ask->agent, SW_SOURCE_TEMPO);
    if (source == NULL) {
        answer(ask, NULL, 0,
               "there is no Tempo: TEMPO_ENABLED is false, or it was not configured and never answered",
               "no_source");
        return;
    }
    ask->query = source->ops->query(source, kind, args_json, timeout_ms, source_answered, ask);
}

/* ctx.search and ctx.trace: of the source that is named, or of the first that can be asked. */
static void portable_start(struct ask *ask, const char *kind, const char *args_json, int64_t timeout_ms) {
    json_t *args = json_loads(args_json, 0, NULL);
    const char *name = json_string_value(json_object_get(args, "source"));
    int number = name != NULL && name[0] != '\0' ? sw_source_named(name) : -1;
    for (int i = 0; i < SW_SOURCES && ask->source == NULL; i++) {
        if (number < 0 || number == i) {
            ask->source = sw_feeds_askable(ask->agent, i);
        }
    }
    if (ask->source == NULL) {
        answer(ask, NULL, 0, "this source is not there", "no_source");
    } else {
        json_object_del(args, "source");
        char *options = json_dumps(args, JSON_COMPACT);
        ask->query = ask->source->ops->query(ask->source, kind, options, timeout_ms, source_answered, ask);
        free(options);
    }
    json_decref(args);
}

static void *start(const char *op, const char *args_json, int64_t timeout_ms, sw_ask_done done,
                   void *done_arg, void *arg) {
    struct ask *ask = xcalloc(1, sizeof *ask);
    *ask = (struct ask){.agent = arg, .done = done, .done_arg = done_arg, .starting = true};
    if (sw_starts_with(op, "tempo.")) {
        source_start(ask, op + strlen("tempo."), args_json, timeout_ms);
    } else if (sw_streq(op, "search") || sw_streq(op, "trace")) {
        portable_start(ask, op, args_json, timeout_ms);
    } else if (sw_streq(op, "http.get") || sw_streq(op, "http.post")) {
        json_t *args = json_loads(args_json, 0, NULL);
        http_start(ask, sw_streq(op, "http.get") ? "GET" : "POST", args, timeout_ms);
        json_decref(args);
    } else {
        answer(ask, NULL, 0, "unknown host function", "usage");
    }
    ask->starting = false;
    if (ask->answered) {
        free(ask);
        return NULL;
    }
    return ask;
}

static void cancel(void *handle, void *arg) {
    struct ask *ask = handle;
    (void)arg;
    if (ask->call != NULL) {
        sw_http_cancel(ask->call);
    } else if (ask->query != NULL) {
        ask->source->ops->cancel_query(ask->source, ask->query);
    }
    free(ask);
}

sw_host_functions sw_agent_host_functions(sw_agent *agent) {
    return (sw_host_functions){start, cancel, agent};
}

char *sw_agent_config_for(const char *detector, void *arg) {
    return sw_config_for_detector(((sw_agent *)arg)->config, detector);
}
