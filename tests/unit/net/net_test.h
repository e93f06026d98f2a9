/* For tests of src/net: a loop, and a server that answers with given bytes, however wrong they are. */
#ifndef NET_TEST_H
#define NET_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "base/buf.h"
#include "net/http_client.h"

#define UNUSED __attribute__((unused))
#define HEAD_MAX 65536

typedef enum raw_ending { STAY_OPEN, CLOSE, RESET } raw_ending;

typedef struct raw_server {
    uv_tcp_t listener;
    uv_timer_t drip;
    int port;
    const char *answer;
    size_t answer_len;
    size_t drip_bytes; /* > 0: sends that much each millisecond, over and over */
    raw_ending ending; /* after the answer */
    int connections;
    int requests;
    char request[HEAD_MAX]; /* the last one */
    size_t request_len;
    struct raw_peer *peers;
} raw_server;

typedef struct raw_peer {
    uv_tcp_t tcp;
    raw_server *server;
    struct raw_peer *next;
    uv_write_t write;
    char buffer[4096];
    bool closing;
} raw_peer;

static UNUSED void raw_peer_closed(uv_handle_t *handle) {
    raw_peer *peer = handle->data;
    raw_peer **at = &peer->server->peers;
    while (*at != peer) {
        at = &(*at)->next;
    }
    *at = peer->next;
    free(peer);
}

static UNUSED void raw_peer_end(raw_peer *peer, bool reset) {
    if (peer->closing) {
        return;
    }
    peer->closing = true;
    if (!reset || uv_tcp_close_reset(&peer->tcp, raw_peer_closed) != 0) {
        uv_close((uv_handle_t *)&peer->tcp, raw_peer_closed);
    }
}

static UNUSED void raw_written(uv_write_t *write, int status) {
    raw_peer *peer = write->data;
    raw_ending ending = peer->server->ending;
    if (status < 0 || ending != STAY_OPEN) {
        raw_peer_end(peer, ending == RESET);
    }
}

static UNUSED void raw_drip(uv_timer_t *timer) {
    raw_server *server = timer->data;
    for (raw_peer *peer = server->peers; peer != NULL; peer = peer->next) {
        uv_buf_t bytes = uv_buf_init((char *)(uintptr_t)server->answer, (unsigned)server->drip_bytes);
        if (!peer->closing) {
            uv_try_write((uv_stream_t *)&peer->tcp, &bytes, 1);
        }
    }
}

static UNUSED void raw_answer(raw_peer *peer) {
    raw_server *server = peer->server;
    server->requests++;
    if (server->drip_bytes > 0) {
        uv_timer_start(&server->drip, raw_drip, 0, 1);
        return;
    }
    uv_buf_t bytes = uv_buf_init((char *)(uintptr_t)server->answer, (unsigned)server->answer_len);
    peer->write.data = peer;
    uv_write(&peer->write, (uv_stream_t *)&peer->tcp, &bytes, 1, raw_written);
}

static UNUSED void raw_alloc(uv_handle_t *handle, size_t size, uv_buf_t *out) {
    (void)size;
    raw_peer *peer = handle->data;
    *out = uv_buf_init(peer->buffer, sizeof peer->buffer);
}

static UNUSED bool request_is_whole(const raw_server *server) {
    const char *end = strstr(server->request, "\r\n\r\n");
    const char *length = strstr(server->request, "Content-Length: ");
    size_t body = length != NULL ? strtoul(length + 16, NULL, 10) : 0;
    return end != NULL && server->request_len >= (size_t)(end + 4 - server->request) + body;
}

static UNUSED void raw_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *bytes) {
    raw_peer *peer = stream->data;
    raw_server *server = peer->server;
    if (got < 0) {
        raw_peer_end(peer, false);
        return;
    }
    if (server->request_len > 0 && request_is_whole(server)) {
        server->request_len = 0;
    }
    assert_true(server->request_len + (size_t)got < HEAD_MAX);
    memcpy(server->request + server->request_len, bytes->base, (size_t)got);
    server->request_len += (size_t)got;
    server->request[server->request_len] = '\0';
    if (request_is_whole(server)) {
        raw_answer(peer);
    }
}

static UNUSED void raw_accept(uv_stream_t *listener, int status) {
    raw_server *server = listener->data;
    raw_peer *peer = calloc(1, sizeof *peer);
    assert_int_equal(status, 0);
    peer->server = server;
    peer->next = server->peers;
    server->peers = peer;
    server->connections++;
    server->request_len = 0;
    server->request[0] = '\0';
    uv_tcp_init(listener->loop, &peer->tcp);
    peer->tcp.data = peer;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&peer->tcp), 0);
    uv_read_start((uv_stream_t *)&peer->tcp, raw_alloc, raw_read);
}

static UNUSED void raw_start_bytes(raw_server *server, uv_loop_t *loop, const char *answer, size_t len,
                                   raw_ending ending) {
    memset(server, 0, sizeof *server);
    server->answer = answer;
    server->answer_len = len;
    server->ending = ending;
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(loop, &server->listener);
    uv_timer_init(loop, &server->drip);
    server->listener.data = server->drip.data = server;
    assert_int_equal(uv_tcp_bind(&server->listener, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&server->listener, 16, raw_accept), 0);
    int size = sizeof address;
    uv_tcp_getsockname(&server->listener, (struct sockaddr *)&address, &size);
    server->port = ntohs(address.sin_port);
}

static UNUSED void raw_start(raw_server *server, uv_loop_t *loop, const char *answer, raw_ending ending) {
    raw_start_bytes(server, loop, answer, strlen(answer), ending);
}

static UNUSED void raw_stop(raw_server *server) {
    uv_close((uv_handle_t *)&server->listener, NULL);
    uv_close((uv_handle_t *)&server->drip, NULL);
    for (raw_peer *peer = server->peers; peer != NULL; peer = peer->next) {
        raw_peer_end(peer, false);
    }
}

/* What came of a request. */
typedef struct outcome {
    int calls; /* of done */
    sw_http_response response;
    char *body;
    int header_calls;
    int header_status;
    sw_buf data; /* what on_data got */
    size_t stop_after;
    bool refuse_headers;
} outcome;

static UNUSED void outcome_done(const sw_http_response *response, void *arg) {
    outcome *out = arg;
    out->calls++;
    out->response = *response;
    free(out->body);
    size_t len = out->data.len > 0 ? 0 : response->body_len; /* on_data took it */
    assert_int_equal(response->body[len], '\0');
    out->body = malloc(len + 1);
    memcpy(out->body, response->body, len + 1);
}

static UNUSED bool outcome_headers(const sw_http_response *so_far, void *arg) {
    outcome *out = arg;
    out->header_calls++;
    out->header_status = so_far->status;
    return !out->refuse_headers;
}

static UNUSED bool outcome_data(const char *data, size_t len, void *arg) {
    outcome *out = arg;
    assert_int_equal(out->header_calls, 1);
    if (out->data.cap == 0) {
        sw_buf_init(&out->data, 256u << 20);
    }
    sw_buf_append(&out->data, data, len);
    return out->stop_after == 0 || out->data.len < out->stop_after;
}

static UNUSED void outcome_release(outcome *out) {
    free(out->body);
    sw_buf_release(&out->data);
    memset(out, 0, sizeof *out);
}

/* Everything that a test of the client needs. */
typedef struct bench {
    uv_loop_t loop;
    sw_http_client *client;
    raw_server server;
    bool has_server;
    char url[128];
    outcome out;
} bench;

static UNUSED int bench_setup(void **state) {
    static const char *const proxies[] = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",
                                          "all_proxy",  "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
    for (size_t i = 0; i < SW_ARRAY_LEN(proxies); i++) {
        unsetenv(proxies[i]);
    }
    bench *b = calloc(1, sizeof *b);
    uv_loop_init(&b->loop);
    b->client = sw_http_client_new(&b->loop);
    *state = b;
    return 0;
}

static UNUSED int bench_teardown(void **state) {
    bench *b = *state;
    sw_http_client_free(b->client);
    if (b->has_server) {
        raw_stop(&b->server);
    }
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    outcome_release(&b->out);
    free(b);
    return 0;
}

static UNUSED void serve_bytes(bench *b, const char *answer, size_t len, raw_ending ending) {
    raw_start_bytes(&b->server, &b->loop, answer, len, ending);
    b->has_server = true;
    snprintf(b->url, sizeof b->url, "http://127.0.0.1:%d/api?secret=1", b->server.port);
}

static UNUSED void serve(bench *b, const char *answer, raw_ending ending) {
    serve_bytes(b, answer, strlen(answer), ending);
}

static UNUSED sw_http_request request_to(bench *b) {
    return (sw_http_request){.url = b->url,
                             .timeout_ms = 10000,
                             .on_headers = outcome_headers,
                             .done = outcome_done,
                             .arg = &b->out};
}

static UNUSED void run_until_done(bench *b) {
    while (b->out.calls == 0 && uv_run(&b->loop, UV_RUN_ONCE) != 0) {
    }
    assert_int_equal(b->out.calls, 1);
    assert_int_equal(sw_http_client_active(b->client), 0);
}

static UNUSED const sw_http_response *fetch(bench *b, const sw_http_request *request) {
    outcome_release(&b->out);
    assert_non_null(sw_http_start(b->client, request));
    assert_int_equal(b->out.calls, 0);
    run_until_done(b);
    return &b->out.response;
}

static UNUSED const sw_http_response *get(bench *b) {
    sw_http_request request = request_to(b);
    return fetch(b, &request);
}

#define OK_HEAD "HTTP/1.1 200 OK\r\n"

static UNUSED char *read_file(const char *name, size_t *len) {
    char *path = xasprintf("%s/net/%s", SW_TEST_DATA, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *data = malloc(1 << 20);
    *len = fread(data, 1, 1 << 20, file);
    fclose(file);
    free(path);
    return data;
}

/* An answer with a gzip body; caller frees. */
static UNUSED char *compressed_answer(const char *name, size_t *len) {
    size_t body = 0;
    char *data = read_file(name, &body);
    char *head = xasprintf(OK_HEAD "Content-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", body);
    *len = strlen(head) + body;
    char *answer = malloc(*len);
    memcpy(answer, head, strlen(head));
    memcpy(answer + strlen(head), data, body);
    free(head);
    free(data);
    return answer;
}

static UNUSED void assert_error(const sw_http_response *response, sw_http_error error, const char *part) {
    if (response->error != error || strstr(response->message, part) == NULL) {
        fail_msg("%s: %s", sw_http_error_name(response->error), response->message);
    }
    assert_null(strstr(response->message, "secret"));
}

#define EMPTY_OK "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static UNUSED void assert_sent(bench *b, const char *part) {
    if (strstr(b->server.request, part) == NULL) {
        fail_msg("no %s in:\n%s", part, b->server.request);
    }
}

static UNUSED void assert_refused(bench *b, const sw_http_request *request, const char *message) {
    const sw_http_response *response = fetch(b, request);
    assert_int_equal(response->error, SW_HTTP_BAD_REQUEST);
    assert_string_equal(response->message, message);
    assert_int_equal(response->status, 0);
    assert_string_equal(b->out.body, "");
}

#endif
