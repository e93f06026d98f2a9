/* A webhook receiver that answers as it is told, however wrong, and remembers what it got. */
#ifndef SW_TEST_RECEIVER_H
#define SW_TEST_RECEIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include <cmocka.h>

#include "base/buf.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define STATUS(line) "HTTP/1.1 " line "\r\nContent-Length: 0\r\n\r\n"
#define RESET "RESET" /* no answer: the connection is reset */
#define HANG "HANG"   /* no answer at all */
#define ENDLESS "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" /* and as much of it as is taken */

#define RECEIVED_MAX 512

struct received {
    char *head;
    char *body;
};

struct receiver {
    uv_tcp_t listener;
    int port;
    /* The answer to the n-th request; after the last one, `otherwise`. */
    const char *answers[RECEIVED_MAX];
    const char *otherwise;
    struct received got[RECEIVED_MAX];
    size_t n;
    size_t endless; /* bytes of endless answers that were written */
    struct peer *peers;
};

struct peer {
    uv_tcp_t tcp;
    uv_write_t write;
    struct receiver *receiver;
    sw_buf in;
    struct peer *next;
    char piece[8192];
};

static inline void peer_closed(uv_handle_t *handle) {
    struct peer *peer = handle->data, **at = &peer->receiver->peers;
    while (*at != peer) {
        at = &(*at)->next;
    }
    *at = peer->next;
    sw_buf_release(&peer->in);
    free(peer);
}

static inline void close_peer(struct peer *peer) {
    if (!uv_is_closing((uv_handle_t *)&peer->tcp)) {
        uv_close((uv_handle_t *)&peer->tcp, peer_closed);
    }
}

static inline void write_more(uv_write_t *write, int status) {
    static char zeros[1 << 16];
    struct peer *peer = write->handle->data;
    uv_buf_t bytes = uv_buf_init(zeros, sizeof zeros);
    if (status != 0 || uv_is_closing((uv_handle_t *)&peer->tcp)) {
        close_peer(peer);
    } else {
        peer->receiver->endless += sizeof zeros;
        uv_write(&peer->write, (uv_stream_t *)&peer->tcp, &bytes, 1, write_more);
    }
}

static inline void answer(struct peer *peer, const char *text) {
    if (strcmp(text, RESET) == 0) {
        uv_tcp_close_reset(&peer->tcp, peer_closed);
    } else if (strcmp(text, HANG) != 0) {
        uv_buf_t bytes = uv_buf_init((char *)(uintptr_t)text, (unsigned)strlen(text));
        uv_write(&peer->write, (uv_stream_t *)&peer->tcp, &bytes, 1,
                 strcmp(text, ENDLESS) == 0 ? write_more : NULL);
        if (strstr(text, "Connection: close") != NULL) {
            close_peer(peer); /* what was written is sent before */
        }
    }
}

/* When a whole request has come. */
static inline bool take_request(struct peer *peer) {
    struct receiver *receiver = peer->receiver;
    char *end = peer->in.len > 0 ? strstr(peer->in.data, "\r\n\r\n") : NULL;
    if (end == NULL) {
        return false;
    }
    char *length = strcasestr(peer->in.data, "\r\nContent-Length:");
    size_t head = (size_t)(end + 4 - peer->in.data);
    size_t body = length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0;
    if (peer->in.len < head + body) {
        return false;
    }
    assert_true(receiver->n < RECEIVED_MAX);
    size_t i = receiver->n++;
    receiver->got[i].head = xstrndup(peer->in.data, head);
    receiver->got[i].body = xstrndup(peer->in.data + head, body);
    sw_buf_reset(&peer->in);
    answer(peer, receiver->answers[i] != NULL ? receiver->answers[i] : receiver->otherwise);
    return true;
}

static inline void give_room(uv_handle_t *handle, size_t size, uv_buf_t *out) {
    (void)size;
    struct peer *peer = handle->data;
    *out = uv_buf_init(peer->piece, sizeof peer->piece);
}

static inline void on_bytes(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes) {
    struct peer *peer = stream->data;
    if (n < 0) {
        close_peer(peer);
    } else if (n > 0) {
        sw_buf_append(&peer->in, bytes->base, (size_t)n);
        take_request(peer);
    }
}

static inline void on_connection(uv_stream_t *listener, int status) {
    assert_int_equal(status, 0);
    struct receiver *receiver = listener->data;
    struct peer *peer = xcalloc(1, sizeof *peer);
    sw_buf_init(&peer->in, 1 << 24);
    peer->receiver = receiver;
    peer->tcp.data = peer;
    peer->next = receiver->peers;
    receiver->peers = peer;
    uv_tcp_init(listener->loop, &peer->tcp);
    uv_accept(listener, (uv_stream_t *)&peer->tcp);
    uv_read_start((uv_stream_t *)&peer->tcp, give_room, on_bytes);
}

/* Port 0: any free one. */
static inline void start_receiver(struct receiver *receiver, uv_loop_t *loop, int port) {
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", port, &address);
    uv_tcp_init(loop, &receiver->listener);
    receiver->listener.data = receiver;
    receiver->otherwise = OK;
    assert_int_equal(uv_tcp_bind(&receiver->listener, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&receiver->listener, 64, on_connection), 0);
    int size = sizeof address;
    uv_tcp_getsockname(&receiver->listener, (struct sockaddr *)&address, &size);
    receiver->port = ntohs(address.sin_port);
}

static inline void stop_receiver(struct receiver *receiver) {
    if (!uv_is_closing((uv_handle_t *)&receiver->listener)) {
        uv_close((uv_handle_t *)&receiver->listener, NULL);
    }
    for (struct peer *peer = receiver->peers; peer != NULL; peer = peer->next) {
        close_peer(peer);
    }
}

static inline void forget_received(struct receiver *receiver) {
    for (size_t i = 0; i < receiver->n; i++) {
        free(receiver->got[i].head);
        free(receiver->got[i].body);
    }
    receiver->n = 0;
    memset(receiver->answers, 0, sizeof receiver->answers);
}

/* Value of a header of the n-th request; "" when it has none. Valid until the next call. */
static inline const char *header(const struct receiver *receiver, size_t n, const char *name) {
    static char value[1024];
    assert_true(n < receiver->n);
    char *line = xasprintf("\r\n%s: ", name);
    const char *at = strcasestr(receiver->got[n].head, line);
    value[0] = '\0';
    if (at != NULL) {
        snprintf(value, sizeof value, "%.*s", (int)strcspn(at + strlen(line), "\r"), at + strlen(line));
    }
    free(line);
    return value;
}

#endif
