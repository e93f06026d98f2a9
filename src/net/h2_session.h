/*
 * HTTP/2 of one connection, without its I/O: bytes in, bytes out. Only src/net includes this.
 *
 * Source: RFC 9113. nghttp2 does the framing, header compression and flow control, and ends connections that
 * flood it with resets, settings or continuations.
 */
#ifndef SW_NET_H2_SESSION_H
#define SW_NET_H2_SESSION_H

#include <sys/types.h>

#include "net/h2_server.h"

typedef struct h2_config {
    size_t max_body, max_bodies, max_header_bytes;
    unsigned max_streams;
    sw_h2_callbacks callbacks;
    size_t body_bytes; /* of all sessions, now */
} h2_config;

typedef struct h2_session h2_session;

/* `config` must outlive it. */
h2_session *h2_session_new(h2_config *config, uint64_t now_ms);
void h2_session_free(h2_session *session);

/* False: the connection is to be closed, without another word. */
bool h2_session_receive(h2_session *session, const void *data, size_t len, uint64_t now_ms);
/* The next bytes to send, valid until the next call; 0: none now; -1: as above. */
ssize_t h2_session_next(h2_session *session, const uint8_t **data);
/* No more requests; those that are whole are answered. */
void h2_session_stop(h2_session *session);
/* Nothing will be read or sent any more. */
bool h2_session_is_over(const h2_session *session);

/* Whether the client has begun as HTTP/2 begins. */
bool h2_session_greeted(const h2_session *session);
/* When the oldest request came that is not done; false when there is none. */
bool h2_session_oldest_ms(const h2_session *session, uint64_t *since_ms);

/* Closes the connections of a server that take too long; also called by its timer. */
void h2_server_sweep(sw_h2_server *server, uint64_t now_ms);

#endif
