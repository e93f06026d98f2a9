#include "net_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

#include "net/http_server.h"
#include "net/http_server_internal.h"
#include "telemetry/log.h"

typedef struct world {
    bench *b;
    sw_http_server *server;
    int handled, asked;
    sw_http_exchange *deferred;
    char seen[2048];
    bool forget_to_answer;
} world;

static void quiet(const char *line, void *arg) {
    (void)line;
    (void)arg;
}

static sw_http_server *start(world *w, sw_http_server_options options) {
    char *error = NULL;
    w->server = sw_http_server_new(&w->b->loop, &options, &error);
    if (w->server == NULL) {
        fail_msg("%s", error);
    }
    return w->server;
}

static void describe(sw_http_exchange *exchange, void *arg) {
    world *w = arg;
    size_t len = 0;
    const char *body = sw_http_body(exchange, &len);
    const char *query = sw_http_query(exchange, "q");
    const char *flag = sw_http_query(exchange, "flag");
    const char *header = sw_http_header(exchange, "x-own");
    w->handled++;
    snprintf(w->seen, sizeof w->seen, "%s %s q=%s flag=%s header=%s body=%zu:%.20s loopback=%d",
             sw_http_method(exchange), sw_http_path(exchange), query != NULL ? query : "-",
             flag != NULL ? flag : "-", header != NULL ? header : "-", len, body,
             sw_http_server_is_local(w->server));
    if (w->forget_to_answer) {
        return;
    }
    sw_http_reply_header(exchange, "X-Reply", "yes");
    sw_http_reply(exchange, 200, "text/plain", w->seen, strlen(w->seen));
}

static void keep(sw_http_exchange *exchange, void *arg) {
    world *w = arg;
    w->handled++;
    sw_http_defer(exchange);
    w->deferred = exchange;
}

static int world_setup(void **state) {
    world *w = calloc(1, sizeof *w);
    void *b = NULL;
    bench_setup(&b);
    w->b = b;
    *state = w;
    sw_log_set_sink(quiet, NULL);
    return 0;
}

static int world_teardown(void **state) {
    world *w = *state;
    void *b = w->b;
    sw_http_server_free(w->server);
    bench_teardown(&b);
    free(w);
    sw_log_set_sink(NULL, NULL);
    return 0;
}

static world *with_routes(void **state) {
    world *w = *state;
    start(w, (sw_http_server_options){.address = "127.0.0.1:0", .max_body = 1000});
    sw_http_server_route(w->server, "GET", "/metrics", describe, w);
    sw_http_server_route(w->server, "POST", "/v1/traces", describe, w);
    sw_http_server_route(w->server, "GET", "/api/", describe, w);
    sw_http_server_route(w->server, "DELETE", "/api/", describe, w);
    sw_http_server_route(w->server, "GET", "/later", keep, w);
    return w;
}

static sw_http_request ask(world *w, const char *method, const char *target) {
    snprintf(w->b->url, sizeof w->b->url, "http://127.0.0.1:%d%s", sw_http_server_port(w->server), target);
    sw_http_request request = request_to(w->b);
    request.method = method;
    return request;
}

static void assert_answer(world *w, const char *method, const char *target, int status, const char *body) {
    sw_http_request request = ask(w, method, target);
    const sw_http_response *response = fetch(w->b, &request);
    assert_int_equal(response->error, SW_HTTP_OK);
    assert_int_equal(response->status, status);
    assert_string_equal(w->b->out.body, body);
}

/* Sends bytes on a connection of its own and reads until the server closes it or `until` was seen. */
static int dial(world *w) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)sw_http_server_port(w->server)),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void say(world *w, int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            bytes += sent;
            len -= (size_t)sent;
        } else if (errno != EAGAIN) {
            return; /* the server has closed it */
        }
        uv_run(&w->b->loop, UV_RUN_NOWAIT);
    }
}

static char heard[8192];

/* True when the server has closed the connection. */
static bool hear(world *w, int fd, const char *until) {
    size_t used = 0;
    heard[0] = '\0';
    for (;;) {
        uv_run(&w->b->loop, UV_RUN_NOWAIT);
        ssize_t got = recv(fd, heard + used, sizeof heard - 1 - used, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            return true;
        }
        used += got > 0 ? (size_t)got : 0;
        heard[used] = '\0';
        if (until != NULL && strstr(heard, until) != NULL) {
            return false;
        }
    }
}

static void talk(world *w, const char *bytes) {
    int fd = dial(w);
    say(w, fd, bytes, strlen(bytes));
    hear(w, fd, NULL);
    close(fd);
}

static void assert_heard(const char *part) {
    if (strstr(heard, part) == NULL) {
        fail_msg("no %s in:\n%s", part, heard);
    }
}

static void a_handler_sees_the_request_and_answers(void **state) {
    world *w = with_routes(state);
    assert_answer(w, "GET", "/metrics?q=a%20b%26+c&flag", 200,
                  "GET /metrics q=a b& c flag= header=- body=0: loopback=1");
    assert_string_equal(w->b->out.response.content_type, "text/plain");
    sw_http_request request = ask(w, "POST", "/v1/traces");
    const char *headers[] = {"X-Own: mine", NULL};
    request.headers = headers;
    request.body = "some\0body";
    request.body_len = 9;
    assert_int_equal(fetch(w->b, &request)->status, 200);
    assert_string_equal(w->seen, "POST /v1/traces q=- flag=- header=mine body=9:some loopback=1");
}

static void a_path_with_a_slash_at_its_end_is_a_prefix(void **state) {
    world *w = with_routes(state);
    assert_answer(w, "GET", "/api/alerts/7", 200, "GET /api/alerts/7 q=- flag=- header=- body=0: loopback=1");
    assert_answer(w, "DELETE", "/api/", 200, "DELETE /api/ q=- flag=- header=- body=0: loopback=1");
    assert_answer(w, "GET", "/api", 404, "{\"error\": \"nothing is at this path\"}\n");
    assert_answer(w, "GET", "/metrics/x", 404, "{\"error\": \"nothing is at this path\"}\n");
}

static void the_first_route_that_matches_wins(void **state) {
    world *w = with_routes(state);
    sw_http_server_route(w->server, "GET", "/metrics", keep, w);
    assert_answer(w, "GET", "/metrics", 200, "GET /metrics q=- flag=- header=- body=0: loopback=1");
}

static void unknown_paths_and_methods_are_told_in_json(void **state) {
    world *w = with_routes(state);
    assert_answer(w, "GET", "/nowhere", 404, "{\"error\": \"nothing is at this path\"}\n");
    assert_string_equal(w->b->out.response.content_type, "application/json");
    assert_answer(w, "POST", "/metrics", 405, "{\"error\": \"this path does not take this method\"}\n");
    talk(w, "PUT /api/x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
    assert_heard("HTTP/1.1 405");
    assert_heard("\r\nAllow: GET, HEAD, DELETE\r\n");
    assert_int_equal(w->handled, 0);
}

static void head_is_get_without_a_body(void **state) {
    world *w = with_routes(state);
    talk(w, "HEAD /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_heard("HTTP/1.1 200");
    assert_heard("\r\nContent-Length: 52\r\n");
    assert_heard("\r\nX-Reply: yes\r\n");
    assert_string_equal(strstr(heard, "\r\n\r\n"), "\r\n\r\n");
    assert_int_equal(strlen(w->seen), 52);
    assert_int_equal(w->handled, 1);
}

static void a_body_over_the_limit_is_refused(void **state) {
    world *w = with_routes(state);
    static char body[100001];
    memset(body, 'b', sizeof body - 1);
    static const size_t sizes[] = {1000, 1001, 3000};
    for (size_t i = 0; i < SW_ARRAY_LEN(sizes); i++) {
        sw_http_request request = ask(w, "POST", "/v1/traces");
        request.body = body;
        request.body_len = sizes[i];
        assert_int_equal(fetch(w->b, &request)->status, sizes[i] > 1000 ? 413 : 200);
    }
    assert_string_equal(w->b->out.body, "{\"error\": \"the body is too large\"}\n");
    assert_int_equal(w->handled, 1);
    /* far too large: refused from its header, before it is sent */
    talk(w, "POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n");
    assert_heard("HTTP/1.1 413");
}

static void a_chunked_body_over_the_limit_is_refused(void **state) {
    world *w = with_routes(state);
    char request[4096];
    int used = sprintf(request, "POST /v1/traces HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                                "Transfer-Encoding: chunked\r\n\r\n7d0\r\n");
    memset(request + used, 'c', 2000);
    strcpy(request + used + 2000, "\r\n0\r\n\r\n");
    talk(w, request);
    assert_heard("HTTP/1.1 413");
    /* and without end: the connection is closed */
    strcpy(request + used + 2000, "\r\n");
    int fd = dial(w);
    say(w, fd, request, strlen(request));
    for (int i = 0; i < 1000; i++) {
        say(w, fd, request + used - 5, 2000 + 7);
    }
    assert_true(hear(w, fd, NULL));
    close(fd);
    assert_int_equal(w->handled, 0);
}

static void all_bodies_together_have_a_limit(void **state) {
    world *w = *state;
    start(w, (sw_http_server_options){.address = "127.0.0.1:0", .max_body = 1000, .max_bodies = 2500});
    sw_http_server_route(w->server, "POST", "/v1/traces", describe, w);
    static const char head[] = "POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n";
    char body[1000];
    memset(body, 'b', sizeof body);
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = dial(w);
        say(w, fds[i], head, strlen(head));
        say(w, fds[i], body, 900);
    }
    say(w, fds[2], body, 100);
    assert_false(hear(w, fds[2], "}\n"));
    assert_heard("HTTP/1.1 503");
    assert_heard("Retry-After: 1\r\n");
    for (int i = 0; i < 3; i++) { /* the third on the same connection, with room now */
        if (i == 2) {
            say(w, fds[i], head, strlen(head));
            say(w, fds[i], body, 900);
        }
        say(w, fds[i], body, 100);
        assert_false(hear(w, fds[i], "body=1000"));
    }
    assert_int_equal(w->handled, 3);
    /* What a client that goes away had sent is given back. */
    say(w, fds[0], head, strlen(head));
    say(w, fds[0], body, 900);
    for (int i = 0; i < 3; i++) {
        close(fds[i]);
    }
    while (w->server->peers != NULL) {
        uv_run(&w->b->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(w->server->body_bytes, 0);
}

static bool deny(sw_http_exchange *exchange, void *arg) {
    world *w = arg;
    w->asked++;
    if (sw_http_header(exchange, "X-Own") != NULL) {
        return true;
    }
    sw_http_reply(exchange, 401, "text/plain", "no\n", 3);
    return false;
}

static void a_body_of_somebody_who_is_not_admitted_is_not_kept(void **state) {
    world *w = *state;
    start(w, (sw_http_server_options){
                 .address = "127.0.0.1:0", .max_body = 1000, .admit = deny, .admit_arg = w});
    sw_http_server_route(w->server, "POST", "/v1/traces", describe, w);
    static const char head[] = "POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n";
    char body[1000];
    memset(body, 'b', sizeof body);
    int fd = dial(w);
    say(w, fd, head, strlen(head));
    say(w, fd, "\r\n", 2);
    say(w, fd, body, 999);
    assert_int_equal(w->asked, 1);
    assert_int_equal(w->server->body_bytes, 0);
    say(w, fd, body, 1); /* all is read before the answer, so that the client sees that */
    assert_false(hear(w, fd, "no\n"));
    assert_heard("HTTP/1.1 401");
    /* On the same connection, as somebody else. */
    say(w, fd, head, strlen(head));
    say(w, fd, "X-Own: me\r\n\r\n", 13);
    say(w, fd, body, 1000);
    assert_false(hear(w, fd, "body=1000"));
    close(fd);
    /* Whoever waits for leave gets the answer instead; without end, the connection ends. */
    talk(w, "POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nExpect: 100-continue\r\n"
            "Connection: close\r\n\r\n");
    assert_heard("HTTP/1.1 401");
    assert_null(strstr(heard, "100 Continue"));
    talk(w, "POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n");
    assert_heard("HTTP/1.1 413");
    /* What nobody could use needs no leave. */
    talk(w, "GET /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_heard("HTTP/1.1 404");
    assert_int_equal(w->handled, 1);
    assert_int_equal(w->asked, 3);
}

static void a_request_with_two_lengths_is_refused(void **state) {
    world *w = with_routes(state);
    int fd = dial(w);
    const char *request =
        "POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\ncontent-length: 5\r\n\r\nbody";
    say(w, fd, request, strlen(request));
    assert_true(hear(w, fd, NULL));
    close(fd);
    assert_heard("HTTP/1.1 400");
    assert_heard("the request has two lengths");
    assert_int_equal(w->handled, 0);
    talk(w, "POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 4\r\nConnection: "
            "close\r\n\r\nbody");
    assert_heard("body=4:body");
}

static void a_client_that_waits_for_leave_gets_it_or_its_refusal(void **state) {
    world *w = with_routes(state);
    int fd = dial(w);
    const char *head =
        "POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    say(w, fd, head, strlen(head));
    assert_false(hear(w, fd, "HTTP/1.1 100 Continue\r\n\r\n"));
    say(w, fd, "body", 4);
    assert_false(hear(w, fd, "body=4:body"));
    close(fd);
    talk(w, "POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n");
    assert_heard("HTTP/1.1 413");
    assert_null(strstr(heard, "100 Continue"));
    talk(w, "POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_heard("HTTP/1.1 404");
}

static void nonsense_and_oversized_headers_close_the_connection(void **state) {
    world *w = with_routes(state);
    talk(w, "\x16\x03\x01\x02 hello\r\n\r\n");
    assert_null(strstr(heard, "HTTP/1.1 200"));
    static char request[100000];
    int used = sprintf(request, "GET /metrics HTTP/1.1\r\nHost: h\r\nX-Large: ");
    memset(request + used, 'x', 90000);
    strcpy(request + used + 90000, "\r\n\r\n");
    talk(w, request);
    assert_null(strstr(heard, "HTTP/1.1 200"));
    used = sprintf(request, "GET /");
    memset(request + used, 'x', 90000);
    strcpy(request + used + 90000, " HTTP/1.1\r\nHost: h\r\n\r\n");
    talk(w, request);
    assert_null(strstr(heard, "HTTP/1.1 200"));
    talk(w, "POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Length: minus\r\n\r\n");
    assert_null(strstr(heard, "HTTP/1.1 200"));
    assert_int_equal(w->handled, 0);
    assert_answer(w, "GET", "/metrics", 200, "GET /metrics q=- flag=- header=- body=0: loopback=1");
}

static void an_escaped_nul_does_not_shorten_a_path(void **state) {
    world *w = with_routes(state);
    assert_answer(w, "GET", "/metrics%00x", 404, "{\"error\": \"nothing is at this path\"}\n");
    assert_answer(w, "GET", "/%6detrics?q=a%00b%zz%4", 200,
                  "GET /metrics q=a%00b%zz%4 flag=- header=- body=0: loopback=1");
}

static void a_handler_that_forgets_to_answer_is_an_error(void **state) {
    world *w = with_routes(state);
    w->forget_to_answer = true;
    assert_answer(w, "GET", "/metrics", 500, "{\"error\": \"no answer\"}\n");
}

static void answer_twice(sw_http_exchange *exchange, void *arg) {
    (void)arg;
    sw_http_reply_header(exchange, "X-Bad", "forged\r\nX-More: 1");
    sw_http_reply(exchange, 201, NULL, "first", 5);
    sw_http_reply(exchange, 202, NULL, "second", 6);
    sw_http_defer(exchange);
}

static void the_first_answer_stands(void **state) {
    world *w = with_routes(state);
    sw_http_server_route(w->server, "GET", "/twice", answer_twice, w);
    assert_answer(w, "GET", "/twice", 201, "first");
    talk(w, "GET /twice HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_null(strstr(heard, "X-More"));
}

/* Deferred answers. */

static void a_deferred_request_is_answered_later(void **state) {
    world *w = with_routes(state);
    sw_http_request request = ask(w, "GET", "/later?q=5");
    sw_http_start(w->b->client, &request);
    while (w->deferred == NULL) {
        uv_run(&w->b->loop, UV_RUN_ONCE);
    }
    for (int i = 0; i < 10; i++) {
        uv_run(&w->b->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(w->b->out.calls, 0);
    assert_string_equal(sw_http_query(w->deferred, "q"), "5");
    sw_http_reply_header(w->deferred, "X-Late", "1");
    sw_http_reply(w->deferred, 202, "text/plain", "late", 4);
    run_until_done(w->b);
    assert_int_equal(w->b->out.response.status, 202);
    assert_string_equal(w->b->out.body, "late");
    assert_int_equal(w->handled, 1);
    assert_answer(w, "GET", "/metrics", 200, "GET /metrics q=- flag=- header=- body=0: loopback=1");
}

static void defer_and_answer(sw_http_exchange *exchange, void *arg) {
    (void)arg;
    sw_http_defer(exchange);
    sw_http_reply(exchange, 200, NULL, "at once", 7);
}

static void a_deferred_request_may_be_answered_at_once(void **state) {
    world *w = with_routes(state);
    sw_http_server_route(w->server, "GET", "/both", defer_and_answer, w);
    for (int i = 0; i < 3; i++) {
        assert_answer(w, "GET", "/both", 200, "at once");
    }
}

static void a_reply_to_a_client_that_went_away_is_dropped(void **state) {
    world *w = with_routes(state);
    int fd = dial(w);
    const char *request = "GET /later HTTP/1.1\r\nHost: h\r\n\r\n";
    say(w, fd, request, strlen(request));
    while (w->deferred == NULL) {
        uv_run(&w->b->loop, UV_RUN_NOWAIT);
    }
    struct linger reset = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    for (int i = 0; i < 10; i++) {
        uv_run(&w->b->loop, UV_RUN_NOWAIT);
    }
    sw_http_reply(w->deferred, 200, NULL, "too late", 8);
    assert_answer(w, "GET", "/metrics", 200, "GET /metrics q=- flag=- header=- body=0: loopback=1");
}

static void a_deferred_request_may_outlive_the_server(void **state) {
    world *w = with_routes(state);
    sw_http_request request = ask(w, "GET", "/later");
    sw_http_start(w->b->client, &request);
    while (w->deferred == NULL) {
        uv_run(&w->b->loop, UV_RUN_ONCE);
    }
    sw_http_server_free(w->server);
    w->server = NULL;
    run_until_done(w->b);
    assert_int_equal(w->b->out.response.error, SW_HTTP_BROKEN);
    assert_null(sw_http_query(w->deferred, "q"));
    assert_string_equal(sw_http_path(w->deferred), "/later");
    sw_http_reply(w->deferred, 200, NULL, "", 0);
}

/* Clients that take up room. */

static void a_connection_that_takes_too_long_is_closed(void **state) {
    world *w = with_routes(state);
    int slow = dial(w);
    say(w, slow, "GET /metr", 9);
    int kept = dial(w);
    const char *later = "GET /later HTTP/1.1\r\nHost: h\r\n\r\n";
    say(w, kept, later, strlen(later));
    while (w->deferred == NULL) {
        uv_run(&w->b->loop, UV_RUN_NOWAIT);
    }
    http_server_sweep(w->server, uv_now(&w->b->loop) + 59000);
    uv_run(&w->b->loop, UV_RUN_NOWAIT);
    char byte;
    assert_int_equal(recv(slow, &byte, 1, MSG_DONTWAIT), -1);
    http_server_sweep(w->server, uv_now(&w->b->loop) + 61000);
    assert_true(hear(w, slow, NULL));
    sw_http_reply(w->deferred, 200, NULL, "patience", 8);
    assert_false(hear(w, kept, "patience"));
    close(slow);
    close(kept);
}

static void connections_over_the_limit_wait(void **state) {
    world *w = *state;
    start(w, (sw_http_server_options){.address = "127.0.0.1:0", .max_connections = 3});
    sw_http_server_route(w->server, "GET", "/metrics", describe, w);
    int idle[6];
    for (size_t i = 0; i < SW_ARRAY_LEN(idle); i++) {
        idle[i] = dial(w);
        uv_run(&w->b->loop, UV_RUN_NOWAIT);
    }
    sw_http_request request = ask(w, "GET", "/metrics");
    sw_http_start(w->b->client, &request);
    for (int i = 0; i < 20; i++) {
        uv_run(&w->b->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(w->handled, 0);
    for (size_t i = 0; i < SW_ARRAY_LEN(idle); i++) {
        close(idle[i]);
    }
    run_until_done(w->b);
    assert_int_equal(w->b->out.response.status, 200);
}

static void many_requests_share_a_connection(void **state) {
    world *w = with_routes(state);
    int fd = dial(w);
    const char *three = "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n"
                        "GET /metrics?q=last HTTP/1.1\r\nHost: h\r\n\r\n";
    say(w, fd, three, strlen(three));
    assert_false(hear(w, fd, "q=last"));
    assert_int_equal(w->handled, 2);
    close(fd);
}

/* Addresses. */

static void assert_split(const char *address, const char *host, int port) {
    char *found = NULL;
    int found_port = -1;
    assert_true(http_split_address(address, &found, &found_port));
    assert_int_equal(found_port, port);
    if (host == NULL) {
        assert_null(found);
    } else {
        assert_string_equal(found, host);
    }
    free(found);
}

static void addresses_are_split_at_the_right_colon(void **state) {
    (void)state;
    assert_split("127.0.0.1:9464", "127.0.0.1", 9464);
    assert_split("localhost:0", "localhost", 0);
    assert_split(":65535", NULL, 65535);
    assert_split("[::1]:1", "::1", 1);
    static const char *const bad[] = {
        "",        "9464",  "host",    "host:", "host:x", "host:65536",    "::1:80", "[::1]",
        "[::1]80", "[]:80", "[::1:80", "h:-1",  "h: 80",  "h:99999999999", "a[b:1",  "[[::1]]:1"};
    for (size_t i = 0; i < SW_ARRAY_LEN(bad); i++) {
        char *host = NULL;
        int port = 0;
        if (http_split_address(bad[i], &host, &port)) {
            fail_msg("%s", bad[i]);
        }
    }
}

static void assert_no_server(world *w, const char *address, const char *expected) {
    sw_http_server_options options = {.address = address};
    char *error = NULL;
    assert_null(sw_http_server_new(&w->b->loop, &options, &error));
    if (strstr(error, expected) == NULL) {
        fail_msg("%s", error);
    }
    free(error);
}

static void a_server_that_cannot_listen_says_why(void **state) {
    world *w = *state;
    start(w, (sw_http_server_options){.address = "127.0.0.1:0"});
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%d", sw_http_server_port(w->server));
    char expected[128];
    snprintf(expected, sizeof expected, "cannot listen on %s: Address already in use", address);
    assert_no_server(w, address, expected);
    assert_no_server(w, "nonsense", "cannot listen on \"nonsense\": it is not of the form host:port");
    assert_no_server(w, NULL, "it is not of the form host:port");
    assert_no_server(w, "192.0.2.1:1", "cannot listen on 192.0.2.1:1: ");
}

static void every_kind_of_address_is_served(void **state) {
    world *w = *state;
    start(w, (sw_http_server_options){.address = ":0"});
    sw_http_server_route(w->server, "GET", "/metrics", describe, w);
    assert_answer(w, "GET", "/metrics", 200, "GET /metrics q=- flag=- header=- body=0: loopback=0");
    sw_http_server_free(w->server);
    start(w, (sw_http_server_options){.address = "localhost:0"});
    assert_true(sw_http_server_is_local(w->server));
    sw_http_server_free(w->server);
    sw_http_server_options six = {.address = "[::1]:0"};
    char *error = NULL;
    w->server = sw_http_server_new(&w->b->loop, &six, &error);
    if (w->server == NULL) { /* a machine without IPv6 */
        assert_non_null(strstr(error, "cannot listen on [::1]:0"));
        free(error);
        return;
    }
    sw_http_server_route(w->server, "GET", "/metrics", describe, w);
    sw_http_request request = ask(w, "GET", "/metrics");
    snprintf(w->b->url, sizeof w->b->url, "http://[::1]:%d/metrics", sw_http_server_port(w->server));
    assert_int_equal(fetch(w->b, &request)->status, 200);
    assert_non_null(strstr(w->seen, "loopback=1"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_handler_sees_the_request_and_answers),
        TEST(a_path_with_a_slash_at_its_end_is_a_prefix),
        TEST(the_first_route_that_matches_wins),
        TEST(unknown_paths_and_methods_are_told_in_json),
        TEST(head_is_get_without_a_body),
        TEST(a_body_over_the_limit_is_refused),
        TEST(a_chunked_body_over_the_limit_is_refused),
        TEST(all_bodies_together_have_a_limit),
        TEST(a_body_of_somebody_who_is_not_admitted_is_not_kept),
        TEST(a_request_with_two_lengths_is_refused),
        TEST(a_client_that_waits_for_leave_gets_it_or_its_refusal),
        TEST(nonsense_and_oversized_headers_close_the_connection),
        TEST(an_escaped_nul_does_not_shorten_a_path),
        TEST(a_handler_that_forgets_to_answer_is_an_error),
        TEST(the_first_answer_stands),
        TEST(a_deferred_request_is_answered_later),
        TEST(a_deferred_request_may_be_answered_at_once),
        TEST(a_reply_to_a_client_that_went_away_is_dropped),
        TEST(a_deferred_request_may_outlive_the_server),
        TEST(a_connection_that_takes_too_long_is_closed),
        TEST(connections_over_the_limit_wait),
        TEST(many_requests_share_a_connection),
        TEST(addresses_are_split_at_the_right_colon),
        TEST(a_server_that_cannot_listen_says_why),
        TEST(every_kind_of_address_is_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
