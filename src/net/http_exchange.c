/* One request and its answer: reading the body, finding the route, replying now or later. */
#include "net/http_server_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utlist.h>

#include "telemetry/log.h"

/* How much of a body that is not wanted is read nevertheless: a client that is still sending when the
 * connection is closed may never see the answer. */
#define DISCARD_FACTOR 4

static bool path_matches(const http_route *route, const char *path) {
    size_t len = strlen(route->path);
    return route->path[len - 1] == '/' ? strncmp(path, route->path, len) == 0
                                       : strcmp(path, route->path) == 0;
}

static bool method_matches(const http_route *route, const char *method) {
    return strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

static const http_route *find_route(const sw_http_server *server, const char *method, const char *path) {
    for (size_t i = 0; i < server->n_routes; i++) {
        if (path_matches(server->routes[i], path) && method_matches(server->routes[i], method)) {
            return server->routes[i];
        }
    }
    return NULL;
}

/* The methods of a path for Allow; empty when nothing is there. Caller releases. */
static sw_buf allowed_methods(const sw_http_server *server, const char *path) {
    sw_buf allow;
    sw_buf_init(&allow, 1024);
    for (size_t i = 0; i < server->n_routes; i++) {
        const http_route *route = server->routes[i];
        if (path_matches(route, path) && (allow.len == 0 || strstr(allow.data, route->method) == NULL)) {
            sw_buf_printf(&allow, "%s%s%s", allow.len > 0 ? ", " : "", route->method,
                          strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
        }
    }
    return allow;
}

static sw_http_exchange *new_exchange(sw_http_server *server, struct MHD_Connection *connection,
                                      const char *method, const char *path) {
    sw_http_exchange *exchange = xcalloc(1, sizeof *exchange);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    exchange->server = server;
    exchange->connection = connection;
    exchange->peer = info != NULL ? info->socket_context : NULL;
    exchange->method = xstrdup(method);
    exchange->path = xstrdup(path);
    exchange->route = find_route(server, method, path);
    exchange->body = server->spare;
    sw_buf_init(&server->spare, server->max_body);
    return exchange;
}

/* An orphan has no server, and gave back what it held of its bytes when it became one. What is sent over and
 * over has one size: its memory is used again. */
static void release_body(sw_http_exchange *exchange) {
    sw_http_server *server = exchange->server;
    if (server != NULL) {
        server->body_bytes -= exchange->counted;
    }
    exchange->counted = 0;
    if (server != NULL && server->spare.data == NULL && exchange->body.allocated <= HTTP_SERVER_SPARE_BODY) {
        server->spare = exchange->body;
        sw_buf_reset(&server->spare);
        sw_buf_init(&exchange->body, 0);
    }
    sw_buf_release(&exchange->body);
}

static void free_exchange(sw_http_exchange *exchange) {
    for (size_t i = 0; i < exchange->n_headers; i++) {
        free(exchange->header_names[i]);
        free(exchange->header_values[i]);
    }
    release_body(exchange);
    if (exchange->response != NULL) {
        MHD_destroy_response(exchange->response);
    }
    free(exchange->method);
    free(exchange->path);
    free(exchange);
}

/* Replying. */

static void add_header(sw_http_exchange *exchange, const char *name, const char *value) {
    if (MHD_add_response_header(exchange->response, name, value) != MHD_YES) {
        sw_log(SW_LOG_ERROR, "a reply's header is invalid and was left out", "path", exchange->path, "header",
               name, NULL);
    }
}

static void build_response(sw_http_exchange *exchange, int status, const char *content_type, const void *body,
                           size_t len) {
    /* The const is cast away for the interface: MUST_COPY only reads. */
    exchange->response = MHD_create_response_from_buffer(len, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
    if (exchange->response == NULL) {
        abort(); /* no memory: the policy of base.h */
    }
    exchange->status = status;
    if (content_type != NULL) {
        add_header(exchange, "Content-Type", content_type);
    }
    for (size_t i = 0; i < exchange->n_headers; i++) {
        add_header(exchange, exchange->header_names[i], exchange->header_values[i]);
    }
}

void sw_http_reply(sw_http_exchange *exchange, int status, const char *content_type, const void *body,
                   size_t len) {
    switch (exchange->state) {
    case EXCHANGE_ORPHANED:
        free_exchange(exchange);
        return;
    case EXCHANGE_DEFERRED:
        DL_DELETE(exchange->server->deferred, exchange);
        build_response(exchange, status, content_type, body, len);
        exchange->state = EXCHANGE_ANSWERED;
        /* microhttpd will call http_on_request again, which then has a response. */
        MHD_resume_connection(exchange->connection);
        http_server_run_soon(exchange->server);
        return;
    case EXCHANGE_READING:
    case EXCHANGE_HANDLING:
        build_response(exchange, status, content_type, body, len);
        exchange->state = EXCHANGE_ANSWERED;
        return;
    case EXCHANGE_ANSWERED:
        sw_log(SW_LOG_ERROR, "a request was answered twice; the first answer stands", "path", exchange->path,
               NULL);
    }
}

void sw_http_reply_header(sw_http_exchange *exchange, const char *name, const char *value) {
    if (exchange->n_headers == HTTP_SERVER_MAX_REPLY_HEADERS) {
        sw_log(SW_LOG_ERROR, "a reply has too many headers; one was left out", "path", exchange->path,
               "header", name, NULL);
        return;
    }
    exchange->header_names[exchange->n_headers] = xstrdup(name);
    exchange->header_values[exchange->n_headers] = xstrdup(value);
    exchange->n_headers++;
}

void sw_http_defer(sw_http_exchange *exchange) {
    if (exchange->state != EXCHANGE_HANDLING) {
        return; /* answered, or deferred already */
    }
    exchange->state = EXCHANGE_DEFERRED;
    exchange->kept = true;
    if (exchange->peer != NULL) {
        exchange->peer->deferred = true;
    }
    DL_APPEND(exchange->server->deferred, exchange);
    MHD_suspend_connection(exchange->connection);
}

static void reply_error(sw_http_exchange *exchange, int status, const char *message) {
    const sw_http_server *server = exchange->server;
    if (server->refused != NULL) {
        server->refused(status, server->refused_arg);
    }
    bool plain = server->plain_errors;
    char *body = plain ? xasprintf("%s\n", message) : xasprintf("{\"error\": \"%s\"}\n", message);
    sw_http_reply(exchange, status, plain ? "text/plain; charset=utf-8" : "application/json", body,
                  strlen(body));
    free(body);
}

static void refuse(sw_http_exchange *exchange) {
    if (exchange->too_many) {
        sw_http_reply_header(exchange, "Retry-After", "1");
        reply_error(exchange, MHD_HTTP_SERVICE_UNAVAILABLE, "too many requests are coming in at once");
        return;
    }
    if (exchange->route != NULL) {
        reply_error(exchange, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large");
        return;
    }
    sw_buf allow = allowed_methods(exchange->server, exchange->path);
    if (allow.len > 0) {
        sw_http_reply_header(exchange, "Allow", allow.data);
        reply_error(exchange, MHD_HTTP_METHOD_NOT_ALLOWED, "this path does not take this method");
    } else {
        reply_error(exchange, MHD_HTTP_NOT_FOUND, "nothing is at this path");
    }
    sw_buf_release(&allow);
}

/* Receiving. */

static bool is_unwanted(const sw_http_exchange *exchange) {
    return exchange->route == NULL || exchange->too_large || exchange->too_many || exchange->denied;
}

struct lengths {
    const char *first;
    bool differ;
};

/* Two lengths, and nobody knows where the next request begins (RFC 9112, 6.3). */
static enum MHD_Result find_second_length(void *arg, enum MHD_ValueKind kind, const char *key,
                                          const char *value) {
    struct lengths *lengths = arg;
    (void)kind;
    if (strcasecmp(key, "Content-Length") == 0) {
        lengths->differ |= lengths->first != NULL && !sw_streq(lengths->first, value);
        lengths->first = value;
    }
    return MHD_YES;
}

static bool has_two_lengths(const sw_http_exchange *exchange) {
    struct lengths lengths = {0};
    MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, find_second_length, &lengths);
    return lengths.differ;
}

static bool is_admitted(sw_http_exchange *exchange) {
    const sw_http_server *server = exchange->server;
    return server->admit == NULL || server->admit(exchange, server->admit_arg);
}

/* True when the answer is to be given now, without the body. */
static bool take_headers(sw_http_exchange *exchange) {
    if (has_two_lengths(exchange)) {
        sw_http_reply_header(exchange, "Connection", "close");
        reply_error(exchange, MHD_HTTP_BAD_REQUEST, "the request has two lengths");
        return true;
    }
    const char *length = sw_http_header(exchange, "Content-Length");
    uint64_t announced = length != NULL ? strtoull(length, NULL, 10) : 0;
    size_t limit = exchange->server->max_body;
    exchange->too_large = announced > limit;
    bool waits = sw_http_header(exchange, "Expect") != NULL;
    exchange->denied = !is_unwanted(exchange) && !is_admitted(exchange);
    if (!is_unwanted(exchange) && announced > 0 && announced <= HTTP_SERVER_SPARE_BODY) {
        sw_buf_reserve(&exchange->body, (size_t)announced);
    }
    bool now = is_unwanted(exchange) && (waits || announced / DISCARD_FACTOR > limit);
    if (now && !exchange->denied) {
        refuse(exchange);
    }
    return now;
}

static bool take_body(sw_http_exchange *exchange, const char *data, size_t len) {
    sw_http_server *server = exchange->server;
    if (!is_unwanted(exchange)) {
        exchange->too_large = len > server->max_body - exchange->body.len;
        exchange->too_many = !exchange->too_large && server->body_bytes + len > server->max_bodies;
    }
    if (!is_unwanted(exchange) && sw_buf_append(&exchange->body, data, len) == 0) {
        exchange->counted += len;
        server->body_bytes += len;
    } else if (exchange->counted > 0) {
        release_body(exchange);
    }
    if (is_unwanted(exchange)) {
        exchange->discarded += len;
    }
    return exchange->discarded / DISCARD_FACTOR <= exchange->server->max_body;
}

static void handle(sw_http_exchange *exchange) {
    if (is_unwanted(exchange)) {
        refuse(exchange);
        return;
    }
    exchange->state = EXCHANGE_HANDLING;
    exchange->route->handler(exchange, exchange->route->arg);
    if (exchange->state == EXCHANGE_HANDLING) {
        sw_log(SW_LOG_ERROR, "a handler gave no answer", "path", exchange->path, NULL);
        reply_error(exchange, MHD_HTTP_INTERNAL_SERVER_ERROR, "no answer");
    }
}

static enum MHD_Result queue(sw_http_exchange *exchange) {
    enum MHD_Result result =
        MHD_queue_response(exchange->connection, (unsigned)exchange->status, exchange->response);
    MHD_destroy_response(exchange->response);
    exchange->response = NULL;
    if (exchange->peer != NULL) {
        exchange->peer->deferred = false;
        exchange->peer->since_ms = uv_now(exchange->server->loop);
    }
    return result;
}

enum MHD_Result http_on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **slot) {
    (void)version;
    sw_http_exchange *exchange = *slot;
    if (exchange == NULL) {
        exchange = new_exchange(arg, connection, method, url);
        *slot = exchange;
        return take_headers(exchange) ? queue(exchange) : MHD_YES;
    }
    if (exchange->state == EXCHANGE_ORPHANED) {
        return MHD_NO;
    }
    if (*upload_size > 0) {
        bool more = take_body(exchange, upload, *upload_size);
        *upload_size = 0;
        return more ? MHD_YES : MHD_NO;
    }
    if (exchange->state == EXCHANGE_READING) {
        handle(exchange);
        if (exchange->kept) { /* suspended, even if it was answered at once: there will be another call */
            return MHD_YES;
        }
    }
    return exchange->state == EXCHANGE_ANSWERED && exchange->response != NULL ? queue(exchange) : MHD_YES;
}

void http_on_request_end(void *arg, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode code) {
    (void)connection;
    (void)code;
    sw_http_server *server = arg;
    sw_http_exchange *exchange = *slot;
    *slot = NULL;
    if (exchange == NULL) {
        return;
    }
    if (exchange->peer != NULL) {
        exchange->peer->since_ms = uv_now(server->loop);
        exchange->peer->deferred = false;
    }
    if (exchange->state == EXCHANGE_DEFERRED) {
        DL_DELETE(server->deferred, exchange);
        exchange->state = EXCHANGE_ORPHANED;
    }
    if (exchange->state == EXCHANGE_ORPHANED) { /* the handler still holds it, and frees it by replying */
        server->body_bytes -= exchange->counted;
        exchange->counted = 0;
        exchange->connection = NULL;
        exchange->peer = NULL;
        exchange->server = NULL;
        return;
    }
    free_exchange(exchange);
}

/* Asking. */

const char *sw_http_path(const sw_http_exchange *exchange) {
    return exchange->path;
}

const char *sw_http_method(const sw_http_exchange *exchange) {
    return exchange->method;
}

static const char *look_up(const sw_http_exchange *exchange, enum MHD_ValueKind kind, const char *name) {
    const char *value = NULL;
    size_t len = 0;
    if (exchange->connection == NULL ||
        MHD_lookup_connection_value_n(exchange->connection, kind, name, strlen(name), &value, &len) !=
            MHD_YES) {
        return NULL;
    }
    return value != NULL ? value : "";
}

const char *sw_http_query(const sw_http_exchange *exchange, const char *name) {
    return look_up(exchange, MHD_GET_ARGUMENT_KIND, name);
}

struct each_query {
    const char *name;
    void (*each)(const char *value, void *arg);
    void *arg;
};

static enum MHD_Result offer_query(void *arg, enum MHD_ValueKind kind, const char *key, const char *value) {
    const struct each_query *query = arg;
    (void)kind;
    if (strcmp(key, query->name) == 0) {
        query->each(value != NULL ? value : "", query->arg);
    }
    return MHD_YES;
}

void sw_http_query_each(const sw_http_exchange *exchange, const char *name,
                        void (*each)(const char *value, void *arg), void *arg) {
    struct each_query query = {name, each, arg};
    if (exchange->connection != NULL) {
        MHD_get_connection_values(exchange->connection, MHD_GET_ARGUMENT_KIND, offer_query, &query);
    }
}

const char *sw_http_header(const sw_http_exchange *exchange, const char *name) {
    return look_up(exchange, MHD_HEADER_KIND, name);
}

const char *sw_http_body(const sw_http_exchange *exchange, size_t *len) {
    if (len != NULL) {
        *len = exchange->body.len;
    }
    return exchange->body.data != NULL ? exchange->body.data : "";
}
