/*
 * The HTTP/2 server, for requests that are answered with trailers (gRPC): nghttp2 on the libuv loop, without
 * TLS with prior knowledge (no upgrade from HTTP/1.1), or with TLS and ALPN "h2".
 *
 * A request is first shown without its body (admit), then whole (handle); a body that is too large, or for
 * which there is no memory now, is not kept (refuse). Each of them answers with sw_h2_reply, at once.
 * Callbacks must not free the server.
 *
 * Bounded: connections (more wait in the kernel's queue), streams of one connection, header bytes and body of
 * one request, and the bodies of all requests that are coming in (max_bodies). Nothing is read from a
 * connection while what it is to be told waits for it. A connection without requests is closed after ten
 * times idle_timeout_s without a byte (GOAWAY first), one on which a request takes more than twice that time,
 * and one that sends nothing but frames that cost it nothing (pings, settings, resets of streams).
 */
#ifndef SW_NET_H2_SERVER_H
#define SW_NET_H2_SERVER_H

#include <uv.h>

#include "net/tls_server.h"

typedef struct sw_h2_server sw_h2_server;
typedef struct sw_h2_exchange sw_h2_exchange;

typedef struct sw_h2_callbacks {
    bool (*admit)(sw_h2_exchange *exchange, void *arg); /* false when it has replied itself */
    void (*handle)(sw_h2_exchange *exchange, void *arg);
    /* too_large: the body is over max_body. Else all bodies together would be over max_bodies. */
    void (*refuse)(sw_h2_exchange *exchange, bool too_large, void *arg);
    void *arg;
} sw_h2_callbacks;

typedef struct sw_h2_server_options {
    const char *address;      /* as for the HTTP server */
    size_t max_body;          /* bytes; 0 = 4 MiB */
    size_t max_bodies;        /* bytes; 0 = 16 times max_body */
    unsigned max_connections; /* 0 = 128 */
    unsigned max_streams;     /* of one connection; 0 = 100 */
    unsigned idle_timeout_s;  /* 0 = 30 */
    const sw_tls_files *tls;  /* NULL: no TLS */
    sw_h2_callbacks callbacks;
} sw_h2_server_options;

/* NULL on failure, with *error (caller frees) saying what and why. */
sw_h2_server *sw_h2_server_new(uv_loop_t *loop, const sw_h2_server_options *options, char **error);
/* Tells every client that its connection ends (GOAWAY), as far as it can be told at once. Run the loop once
 * more before closing it. */
void sw_h2_server_free(sw_h2_server *server);
int sw_h2_server_port(const sw_h2_server *server);
/* Whether only this machine can reach it: it listens on a loopback address. */
bool sw_h2_server_is_local(const sw_h2_server *server);

const char *sw_h2_method(const sw_h2_exchange *exchange);
const char *sw_h2_path(const sw_h2_exchange *exchange);
const char *sw_h2_header(const sw_h2_exchange *exchange, const char *name); /* lower case; NULL when absent */
const char *sw_h2_body(const sw_h2_exchange *exchange, size_t *len);
/* Since its headers came. */
uint64_t sw_h2_age_ms(const sw_h2_exchange *exchange);

typedef struct sw_h2_field {
    const char *name, *value; /* lower case; no control characters */
} sw_h2_field;

typedef struct sw_h2_reply_parts {
    int status;
    const sw_h2_field *headers; /* ended by one without a name; NULL: none */
    const void *body;
    size_t body_len;
    const sw_h2_field *trailers; /* likewise */
} sw_h2_reply_parts;

/* Copies. Each exchange is answered exactly once. */
void sw_h2_reply(sw_h2_exchange *exchange, const sw_h2_reply_parts *parts);

#endif
