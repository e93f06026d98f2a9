/*
 * The HTTP server: libmicrohttpd with its epoll descriptor inside the libuv loop (no threads).
 *
 * Routes are matched by method and exact path, or by prefix when the path ends in '/'; the first match in
 * order of adding wins. HEAD is answered as GET without a body. Unknown paths get 404, known paths with
 * another method 405 with Allow, bodies over the limit 413, and when the bodies that are coming in are over
 * theirs together, 503 with Retry-After; all as JSON {"error": "…"} or as plain text. A handler answers at
 * once with sw_http_reply(); or keeps the request (sw_http_defer()) and answers later; if the client goes
 * away first, the reply is dropped. What was deferred must be answered once in any case, even after the
 * server was freed: that is what frees the exchange. A handler must not free the server.
 *
 * A connection is closed after idle_timeout_s without a byte, or when one request takes more than twice that.
 */
#ifndef SW_NET_HTTP_SERVER_H
#define SW_NET_HTTP_SERVER_H

#include <uv.h>

#include "net/tls_server.h"

typedef struct sw_http_server sw_http_server;
typedef struct sw_http_exchange sw_http_exchange;

typedef struct sw_http_server_options {
    const char *address;      /* "127.0.0.1:9464", "[::1]:9464", ":9464" (all), port 0 = any free one */
    size_t max_body;          /* bytes; 0 = 1 MiB */
    size_t max_bodies;        /* bytes of all bodies that are coming in; 0 = 16 times max_body */
    unsigned max_connections; /* 0 = 128 */
    unsigned idle_timeout_s;  /* 0 = 30 */
    const sw_tls_files *tls;  /* NULL: no TLS */
    bool plain_errors;        /* the server's own answers are plain text */
    /* Asked before the body of a request is taken; NULL: every one is admitted. False when it has replied
     * itself, at once. */
    bool (*admit)(sw_http_exchange *exchange, void *arg);
    void *admit_arg;
    /* Told of each answer of the server's own (400, 404, 405, 413, 503); NULL: nobody is. */
    void (*refused)(int status, void *arg);
    void *refused_arg;
} sw_http_server_options;

/* NULL on failure, with *error (caller frees) saying what and why. */
sw_http_server *sw_http_server_new(uv_loop_t *loop, const sw_http_server_options *options, char **error);
void sw_http_server_free(sw_http_server *server);
int sw_http_server_port(const sw_http_server *server);
/* Whether only this machine can reach it: it listens on a loopback address. */
bool sw_http_server_is_local(const sw_http_server *server);

typedef void (*sw_http_handler)(sw_http_exchange *exchange, void *arg);
void sw_http_server_route(sw_http_server *server, const char *method, const char *path,
                          sw_http_handler handler, void *arg);

const char *sw_http_path(const sw_http_exchange *exchange);
const char *sw_http_method(const sw_http_exchange *exchange);
const char *sw_http_query(const sw_http_exchange *exchange, const char *name); /* NULL when absent */
/* Every value of a name that may be there several times, in their order. */
void sw_http_query_each(const sw_http_exchange *exchange, const char *name,
                        void (*each)(const char *value, void *arg), void *arg);
const char *sw_http_header(const sw_http_exchange *exchange, const char *name); /* NULL when absent */
const char *sw_http_body(const sw_http_exchange *exchange, size_t *len);

/* Copies `body`. Each exchange is answered exactly once. */
void sw_http_reply(sw_http_exchange *exchange, int status, const char *content_type, const void *body,
                   size_t len);
void sw_http_reply_header(sw_http_exchange *exchange, const char *name,
                          const char *value); /* before sw_http_reply */
void sw_http_defer(sw_http_exchange *exchange);

#endif
