/* The HTTP/2 server, asked by nghttp2's client on the same loop. */
#include "net_test.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "net/h2_session.h"
#include "telemetry/log.h"

#define MAX_STREAM 4096

/* What came back on one stream. */
typedef struct answer {
    int status;
    char text[2048]; /* "status|header=value…|body|trailer=value…" */
    bool closed;
    uint32_t code; /* of its end */
} answer;

typedef struct client {
    int fd;
    nghttp2_session *ng;
    answer answers[MAX_STREAM];
    size_t n_closed, n_pongs;
    bool over; /* the server has closed the connection */
    bool goaway;
    uint32_t goaway_code;
} client;

typedef struct world {
    uv_loop_t loop;
    sw_h2_server *server;
    int admitted, handled, refused;
    bool too_large, forget;
    char seen[512];
    client *client;
} world;

static void quiet(const char *line, void *arg) {
    (void)line;
    (void)arg;
}

/* ---- the server's side ---- */

static bool admit(sw_h2_exchange *exchange, void *arg) {
    world *w = arg;
    w->admitted++;
    if (strcmp(sw_h2_path(exchange), "/no") == 0) {
        const sw_h2_field headers[] = {{"grpc-status", "12"}, {NULL, NULL}};
        sw_h2_reply(exchange, &(sw_h2_reply_parts){.status = 200, .headers = headers});
        return false;
    }
    return true;
}

static void handle(sw_h2_exchange *exchange, void *arg) {
    world *w = arg;
    size_t len = 0;
    const char *body = sw_h2_body(exchange, &len), *own = sw_h2_header(exchange, "x-own");
    w->handled++;
    snprintf(w->seen, sizeof w->seen, "%s %s x-own=%s body=%zu:%.20s", sw_h2_method(exchange),
             sw_h2_path(exchange), own != NULL ? own : "-", len, body);
    if (w->forget) {
        return;
    }
    const sw_h2_field headers[] = {{"content-type", "text/plain"}, {NULL, NULL}};
    const sw_h2_field trailers[] = {{"grpc-status", "0"}, {NULL, NULL}};
    sw_h2_reply(exchange, &(sw_h2_reply_parts){.status = 200,
                                               .headers = headers,
                                               .body = w->seen,
                                               .body_len = strlen(w->seen),
                                               .trailers = trailers});
}

static void refuse(sw_h2_exchange *exchange, bool too_large, void *arg) {
    world *w = arg;
    w->refused++;
    w->too_large = too_large;
    const sw_h2_field headers[] = {{"grpc-status", "8"}, {NULL, NULL}};
    sw_h2_reply(exchange, &(sw_h2_reply_parts){.status = 200, .headers = headers});
}

static sw_h2_server *start(world *w, sw_h2_server_options options) {
    char *error = NULL;
    options.address = "127.0.0.1:0";
    options.callbacks = (sw_h2_callbacks){admit, handle, refuse, w};
    w->server = sw_h2_server_new(&w->loop, &options, &error);
    if (w->server == NULL) {
        fail_msg("%s", error);
    }
    assert_true(sw_h2_server_is_local(w->server));
    return w->server;
}

/* ---- the client's side ---- */

static void note(answer *to, const char *fmt, const char *a, size_t a_len, const char *b, size_t b_len) {
    size_t len = strlen(to->text);
    snprintf(to->text + len, sizeof to->text - len, fmt, (int)a_len, a, (int)b_len, b);
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *arg) {
    (void)ng;
    (void)flags;
    client *c = arg;
    answer *to = &c->answers[frame->hd.stream_id];
    if (name_len == 7 && memcmp(name, ":status", 7) == 0) {
        to->status = atoi((const char *)value);
    }
    note(to, "%.*s=%.*s|", (const char *)name, name_len, (const char *)value, value_len);
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t len,
                   void *arg) {
    (void)ng;
    (void)flags;
    client *c = arg;
    note(&c->answers[stream_id], "%.*s|%.*s", (const char *)data, len, "", 0);
    return 0;
}

static int on_close(nghttp2_session *ng, int32_t stream_id, uint32_t code, void *arg) {
    (void)ng;
    client *c = arg;
    c->answers[stream_id].closed = true;
    c->answers[stream_id].code = code;
    c->n_closed++;
    return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg) {
    (void)ng;
    client *c = arg;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        c->goaway = true;
        c->goaway_code = frame->goaway.error_code;
    }
    c->n_pongs += frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
    return 0;
}

static int dial(const world *w) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)sw_h2_server_port(w->server)),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static client *new_client(world *w) {
    client *c = calloc(1, sizeof *c);
    c->fd = dial(w);
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_client_new(&c->ng, callbacks, c);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(c->ng, NGHTTP2_FLAG_NONE, NULL, 0);
    w->client = c;
    return c;
}

static void free_client(client *c) {
    nghttp2_session_del(c->ng);
    close(c->fd);
    free(c);
}

static void send_all(world *w, client *c, const uint8_t *data, size_t len) {
    while (len > 0 && !c->over) {
        ssize_t sent = send(c->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            data += sent;
            len -= (size_t)sent;
        } else if (errno == EPIPE || errno == ECONNRESET) {
            return;
        }
        uv_run(&w->loop, UV_RUN_NOWAIT);
    }
}

static void pump(world *w, client *c) {
    const uint8_t *data = NULL;
    for (ssize_t len = 0; (len = nghttp2_session_mem_send(c->ng, &data)) > 0;) {
        send_all(w, c, data, (size_t)len);
    }
    uv_run(&w->loop, UV_RUN_NOWAIT);
    struct pollfd waiting = {.fd = c->fd, .events = POLLIN};
    if (poll(&waiting, 1, 1) == 1) {
        uint8_t bytes[65536];
        ssize_t got = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        c->over |= got == 0 || (got < 0 && errno != EAGAIN);
        if (got > 0) {
            assert_true(nghttp2_session_mem_recv(c->ng, bytes, (size_t)got) >= 0);
        }
    }
}

#define UNTIL(w, c, condition)                                                                               \
    do {                                                                                                     \
        time_t begun = time(NULL);                                                                           \
        while (!(condition)) {                                                                               \
            pump(w, c);                                                                                      \
            if (time(NULL) - begun > 20) {                                                                   \
                fail_msg("not in time: %s", #condition);                                                     \
            }                                                                                                \
        }                                                                                                    \
    } while (false)

typedef struct body {
    size_t left;
    bool stay_open; /* the end never comes */
} body;

static ssize_t read_body(nghttp2_session *ng, int32_t stream_id, uint8_t *out, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *arg) {
    (void)ng;
    (void)stream_id;
    (void)arg;
    body *from = source->ptr;
    size_t len = from->left < room ? from->left : room;
    memset(out, 'b', len);
    from->left -= len;
    if (len == 0 && from->stay_open) {
        return NGHTTP2_ERR_DEFERRED;
    }
    if (from->left == 0 && !from->stay_open) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)len;
}

static int32_t ask(client *c, const char *path, const char *own, body *content) {
#define FIELD(n, v)                                                                                          \
    { (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), NGHTTP2_NV_FLAG_NONE }
    const nghttp2_nv fields[] = {FIELD(":method", "POST"), FIELD(":scheme", "http"),
                                 FIELD(":authority", "test"), FIELD(":path", path), FIELD("x-own", own)};
    nghttp2_data_provider provider = {.source.ptr = content, .read_callback = read_body};
    int32_t id = nghttp2_submit_request(c->ng, NULL, fields, SW_ARRAY_LEN(fields),
                                        content != NULL ? &provider : NULL, NULL);
    assert_true(id > 0 && id < MAX_STREAM);
    return id;
}

static int setup(void **state) {
    world *w = calloc(1, sizeof *w);
    uv_loop_init(&w->loop);
    sw_log_set_sink(quiet, NULL);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    world *w = *state;
    sw_h2_server_free(w->server);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    if (w->client != NULL) {
        free_client(w->client);
    }
    free(w);
    sw_log_set_sink(NULL, NULL);
    return 0;
}

/* ---- tests ---- */

static void test_a_request_is_answered_with_headers_body_and_trailers(void **state) {
    world *w = *state;
    start(w, (sw_h2_server_options){0});
    client *c = new_client(w);
    body content = {.left = 100000};
    int32_t id = ask(c, "/a", "own value", &content);
    UNTIL(w, c, c->answers[id].closed);
    assert_string_equal(c->answers[id].text, ":status=200|content-type=text/plain|"
                                             "POST /a x-own=own value body=100000:bbbbbbbbbbbbbbbbbbbb|"
                                             "grpc-status=0|");
    assert_int_equal(c->answers[id].code, NGHTTP2_NO_ERROR);
    id = ask(c, "/empty", "", NULL);
    UNTIL(w, c, c->answers[id].closed);
    assert_string_equal(w->seen, "POST /empty x-own= body=0:");
    assert_int_equal(w->admitted, 2);
}

static void test_many_requests_at_once_are_kept_apart(void **state) {
    world *w = *state;
    start(w, (sw_h2_server_options){.max_streams = 8});
    client *c = new_client(w);
    /* What comes before the client knows the limit would be refused, to be sent again. */
    UNTIL(w, c, nghttp2_session_get_remote_settings(c->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) == 8);
    static body contents[50];
    for (int i = 0; i < 50; i++) {
        contents[i] = (body){.left = 40000u + (unsigned)i};
        ask(c, "/many", "x", &contents[i]);
    }
    UNTIL(w, c, c->n_closed == 50);
    assert_int_equal(w->handled, 50);
    for (int i = 0; i < 50; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "body=%d:", 40000 + i);
        assert_non_null(strstr(c->answers[2 * i + 1].text, expected));
    }
}

static void test_what_is_not_wanted_is_answered_before_its_body(void **state) {
    world *w = *state;
    start(w, (sw_h2_server_options){0});
    client *c = new_client(w);
    body endless = {.left = 1000, .stay_open = true};
    int32_t id = ask(c, "/no", "x", &endless);
    UNTIL(w, c, c->answers[id].closed);
    assert_string_equal(c->answers[id].text, ":status=200|grpc-status=12|");
    assert_int_equal(c->answers[id].code, NGHTTP2_NO_ERROR);
    assert_int_equal(w->handled, 0);
}

static void test_a_body_over_the_limit_is_refused_and_the_connection_goes_on(void **state) {
    world *w = *state;
    start(w, (sw_h2_server_options){.max_body = 50000});
    client *c = new_client(w);
    body large = {.left = 10u << 20}, exact = {.left = 50000};
    int32_t first = ask(c, "/large", "x", &large), second = ask(c, "/exact", "x", &exact);
    UNTIL(w, c, c->answers[first].closed && c->answers[second].closed);
    assert_string_equal(c->answers[first].text, ":status=200|grpc-status=8|");
    assert_true(w->too_large);
    assert_int_equal(w->refused, 1);
    assert_non_null(strstr(c->answers[second].text, "body=50000:"));
}

static void test_all_bodies_together_have_a_limit(void **state) {
    world *w = *state;
    start(w, (sw_h2_server_options){.max_body = 50000, .max_bodies = 120000});
    client *c = new_client(w);
    body open[3] = {{40000, true}, {40000, true}, {40001, true}};
    int32_t ids[3];
    for (int i = 0; i < 3; i++) {
        ids[i] = ask(c, "/open", "x", &open[i]);
    }
    UNTIL(w, c, w->refused > 0);
    assert_int_equal(w->refused, 1);
    assert_false(w->too_large);
    UNTIL(w, c, c->n_closed == 1);
    /* What is given up is free again. */
    for (int i = 0; i < 3; i++) {
        nghttp2_submit_rst_stream(c->ng, NGHTTP2_FLAG_NONE, ids[i], NGHTTP2_CANCEL);
    }
    body late[2] = {{50000, false}, {50000, false}};
    int32_t a = ask(c, "/late", "x", &late[0]), b = ask(c, "/late", "x", &late[1]);
    UNTIL(w, c, c->answers[a].closed && c->answers[b].closed);
    assert_int_equal(w->handled, 2);
    assert_int_equal(w->refused, 1);
}

static void test_headers_over_the_limit_are_431_and_a_missing_answer_is_500(void **state) {
    world *w = *state;
    start(w, (sw_h2_server_options){0});
    client *c = new_client(w);
    static char large[20000];
    memset(large, 'h', sizeof large - 1);
    int32_t id = ask(c, "/headers", large, NULL);
    UNTIL(w, c, c->answers[id].closed);
    assert_int_equal(c->answers[id].status, 431);
    assert_int_equal(w->admitted + w->handled, 0);
    w->forget = true;
    id = ask(c, "/forgotten", "x", NULL);
    UNTIL(w, c, c->answers[id].closed);
    assert_int_equal(c->answers[id].status, 500);
}

static void test_pings_are_answered_until_there_are_too_many(void **state) {
    world *w = *state;
    start(w, (sw_h2_server_options){0});
    client *c = new_client(w);
    for (int i = 0; i < 100; i++) {
        nghttp2_submit_ping(c->ng, NGHTTP2_FLAG_NONE, NULL);
    }
    UNTIL(w, c, c->n_pongs == 100);
    assert_false(c->goaway);
    for (int i = 0; i < 5000; i++) {
        nghttp2_submit_ping(c->ng, NGHTTP2_FLAG_NONE, NULL);
    }
    UNTIL(w, c, c->over || c->goaway);
    if (c->goaway) { /* a reset may take it away */
        assert_int_equal(c->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    UNTIL(w, c, c->over);
}

static void test_requests_that_are_taken_back_without_end_close_the_connection(void **state) {
    world *w = *state;
    start(w, (sw_h2_server_options){0});
    client *c = new_client(w);
    UNTIL(w, c, nghttp2_session_get_remote_settings(c->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) == 100);
    static body open = {.stay_open = true};
    int sent = 0;
    for (; sent < 1900 && !c->over && !c->goaway; sent++) {
        int32_t id = ask(c, "/reset", "x", &open);
        pump(w, c);
        nghttp2_submit_rst_stream(c->ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    }
    assert_true(c->over || c->goaway);
    assert_int_equal(w->handled, 0);
}

static void test_what_is_not_http2_is_told_so_and_closed(void **state) {
    world *w = *state;
    start(w, (sw_h2_server_options){0});
    client *c = new_client(w);
    send_all(w, c, (const uint8_t *)"POST /v1/traces HTTP/1.1\r\n\r\n", 28);
    char bytes[1024];
    size_t len = 0;
    ssize_t got = 1;
    for (int i = 0; i < 1000 && got != 0; i++) {
        uv_run(&w->loop, UV_RUN_NOWAIT);
        struct pollfd waiting = {.fd = c->fd, .events = POLLIN};
        poll(&waiting, 1, 10);
        got = recv(c->fd, bytes + len, sizeof bytes - 1 - len, MSG_DONTWAIT);
        len += got > 0 ? (size_t)got : 0;
    }
    assert_int_equal(got, 0);
    bytes[len] = '\0';
    const char *text = memmem(bytes, len, "\r\n\r\n", 4);
    assert_non_null(memmem(bytes, len, "HTTP/1.1 400 ", 13));
    assert_non_null(text);
    assert_string_equal(text + 4, "HTTP/2 is spoken here, for gRPC: is this the port for HTTP?\n");
    assert_int_equal(strlen(text + 4), 60);
}

static void test_the_end_of_the_server_is_told(void **state) {
    world *w = *state;
    start(w, (sw_h2_server_options){0});
    client *c = new_client(w);
    int32_t id = ask(c, "/a", "x", NULL);
    UNTIL(w, c, c->answers[id].closed);
    sw_h2_server_free(w->server);
    w->server = NULL;
    UNTIL(w, c, c->over);
    assert_true(c->goaway);
    assert_int_equal(c->goaway_code, NGHTTP2_NO_ERROR);
}

static void test_connections_over_the_limit_wait(void **state) {
    world *w = *state;
    start(w, (sw_h2_server_options){.max_connections = 1});
    client *first = new_client(w);
    int32_t id = ask(first, "/first", "x", NULL);
    UNTIL(w, first, first->answers[id].closed);
    client *second = new_client(w);
    id = ask(second, "/second", "x", NULL);
    for (int i = 0; i < 20; i++) {
        pump(w, second);
    }
    assert_int_equal(w->handled, 1);
    free_client(first);
    UNTIL(w, second, second->answers[id].closed);
    assert_int_equal(w->handled, 2);
}

static void test_what_takes_too_long_is_closed(void **state) {
    world *w = *state;
    start(w, (sw_h2_server_options){.idle_timeout_s = 1000});
    uint64_t now = uv_now(&w->loop), second = 1000;
    /* One that never says anything. */
    client *c = new_client(w);
    uv_run(&w->loop, UV_RUN_NOWAIT);
    h2_server_sweep(w->server, now + 1002 * second);
    UNTIL(w, c, c->over);
    free_client(c);
    /* One with a request that does not end. */
    c = new_client(w);
    body open = {.left = 10, .stay_open = true};
    ask(c, "/slow", "x", &open);
    UNTIL(w, c, w->admitted == 1);
    now = uv_now(&w->loop);
    h2_server_sweep(w->server, now + 1990 * second);
    pump(w, c);
    assert_false(c->over);
    h2_server_sweep(w->server, now + 2002 * second);
    UNTIL(w, c, c->over);
    free_client(c);
    /* One without requests. */
    c = new_client(w);
    int32_t id = ask(c, "/a", "x", NULL);
    UNTIL(w, c, c->answers[id].closed);
    now = uv_now(&w->loop);
    h2_server_sweep(w->server, now + 9990 * second);
    pump(w, c);
    assert_false(c->over || c->goaway);
    h2_server_sweep(w->server, now + 10010 * second);
    UNTIL(w, c, c->over);
    assert_true(c->goaway);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_request_is_answered_with_headers_body_and_trailers, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_many_requests_at_once_are_kept_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_wanted_is_answered_before_its_body, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_body_over_the_limit_is_refused_and_the_connection_goes_on,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_bodies_together_have_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_headers_over_the_limit_are_431_and_a_missing_answer_is_500,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_pings_are_answered_until_there_are_too_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_requests_that_are_taken_back_without_end_close_the_connection,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_http2_is_told_so_and_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_end_of_the_server_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connections_over_the_limit_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_takes_too_long_is_closed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
