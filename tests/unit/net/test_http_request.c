/* What the client sends, what it refuses to send, and how requests live and die. */
#include "net_test.h"

#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>

/* A name server that does not answer until it is told to. */
static sem_t resolver_may_go;
static int hanging_lookups;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    if (name != NULL && strcmp(name, "hangs.test") == 0) {
        __atomic_add_fetch(&hanging_lookups, 1, __ATOMIC_SEQ_CST);
        sem_wait(&resolver_may_go);
        __atomic_sub_fetch(&hanging_lookups, 1, __ATOMIC_SEQ_CST);
        return EAI_FAIL;
    }
    if (name != NULL && strcmp(name, "unknown.test") == 0) {
        return EAI_NONAME;
    }
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(name, service, hints, found);
}

static void assert_not_sent(bench *b, const char *part) {
    if (strstr(b->server.request, part) != NULL) {
        fail_msg("%s in:\n%s", part, b->server.request);
    }
}

static void a_post_carries_its_body_and_headers(void **state) {
    bench *b = *state;
    serve(b, EMPTY_OK, STAY_OPEN);
    const char *general[] = {"X-Scope-OrgID: a|b", "Content-Type: text/overridden", "X-Empty:", NULL};
    const char *own[] = {"content-type: application/json", "Idempotency-Key: 1-2", NULL};
    sw_http_profile profile = {.headers = general};
    char body[] = "{\"a\":1}";
    sw_http_request request = request_to(b);
    request.method = "POST";
    request.profile = &profile;
    request.headers = own;
    request.body = body;
    request.body_len = strlen(body);
    outcome_release(&b->out);
    sw_http_start(b->client, &request);
    memset(body, '!', strlen(body)); /* it was copied */
    own[1] = NULL;
    run_until_done(b);
    assert_int_equal(b->out.response.status, 200);
    assert_sent(b, "POST /api?secret=1 HTTP/1.1\r\n");
    assert_sent(b, "\r\nContent-Length: 7\r\n");
    assert_sent(b, "\r\nX-Scope-OrgID: a|b\r\n");
    assert_sent(b, "\r\nX-Empty:\r\n");
    assert_sent(b, "\r\ncontent-type: application/json\r\n");
    assert_sent(b, "\r\nIdempotency-Key: 1-2\r\n");
    assert_sent(b, "\r\n\r\n{\"a\":1}");
    assert_not_sent(b, "overridden");
    assert_not_sent(b, "Expect");
}

static void an_empty_post_has_a_length_and_no_type(void **state) {
    bench *b = *state;
    serve(b, EMPTY_OK, STAY_OPEN);
    sw_http_request request = request_to(b);
    request.method = "POST";
    assert_int_equal(fetch(b, &request)->status, 200);
    assert_sent(b, "\r\nContent-Length: 0\r\n");
    assert_not_sent(b, "Content-Type");
}

static void a_large_body_is_sent_without_asking(void **state) {
    bench *b = *state;
    serve(b, EMPTY_OK, STAY_OPEN);
    char *body = malloc(60000);
    memset(body, 'b', 60000);
    sw_http_request request = request_to(b);
    request.method = "PUT";
    request.body = body;
    request.body_len = 60000;
    assert_int_equal(fetch(b, &request)->status, 200);
    assert_sent(b, "PUT /api");
    assert_not_sent(b, "Expect");
    assert_int_equal(strlen(strstr(b->server.request, "\r\n\r\n") + 4), 60000);
    free(body);
}

static void other_methods_are_sent_as_named(void **state) {
    bench *b = *state;
    serve(b, EMPTY_OK, STAY_OPEN);
    sw_http_request request = request_to(b);
    request.method = "DELETE";
    assert_int_equal(fetch(b, &request)->status, 200);
    assert_sent(b, "DELETE /api");
    b->server.answer = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n";
    b->server.answer_len = strlen(b->server.answer);
    request.method = "HEAD";
    const sw_http_response *response = fetch(b, &request);
    assert_int_equal(response->error, SW_HTTP_OK);
    assert_int_equal(response->body_len, 0);
    assert_sent(b, "HEAD /api");
}

static void what_cannot_be_sent_is_refused(void **state) {
    bench *b = *state;
    serve(b, EMPTY_OK, STAY_OPEN);
    sw_http_request request = request_to(b);
    request.url = "ftp://127.0.0.1/";
    assert_refused(b, &request, "URL: it must start with http:// or https://");
    request.url = NULL;
    assert_refused(b, &request, "URL: it is empty");
    request = request_to(b);
    request.timeout_ms = 0;
    assert_refused(b, &request, "timeout: it is not positive");
    request = request_to(b);
    request.method = "GET / HTTP/1.1\r\nX:";
    assert_refused(b, &request, "method: it is not a word in upper-case letters");
    request.method = "HEAD";
    request.body = "x";
    request.body_len = 1;
    assert_refused(b, &request, "method: HEAD has no body");
    assert_int_equal(b->server.requests, 0);
}

static void headers_that_forge_a_request_are_refused(void **state) {
    bench *b = *state;
    serve(b, EMPTY_OK, STAY_OPEN);
    static const char *const bad[][2] = {
        {"X-A: secret\r\nX-B: 2", "header X-A: its value has a line break or another control character"},
        {"X-A: secret\n", "header X-A: its value has a line break or another control character"},
        {"X-A secret", "header X-A: it is not of the form \"Name: value\""},
        {": secret", "header : it is not of the form \"Name: value\""},
        {"Content-Length: 5", "header Content-Length: it is set by the client itself"},
        {"transfer-encoding: chunked", "header transfer-encoding: it is set by the client itself"},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(bad); i++) {
        const char *headers[] = {bad[i][0], NULL};
        sw_http_profile profile = {.headers = headers};
        sw_http_request request = request_to(b);
        request.headers = headers;
        assert_refused(b, &request, bad[i][1]);
        request.headers = NULL;
        request.profile = &profile;
        assert_refused(b, &request, bad[i][1]);
    }
    assert_int_equal(b->server.requests, 0);
}

/* Proxies. */

static void set_proxy_variable(bench *b, const char *name) {
    char value[64];
    snprintf(value, sizeof value, "http://127.0.0.1:%d", b->server.port);
    setenv(name, value, 1);
    strcpy(b->url, "http://tempo.test:3200/api");
}

static void a_proxy_comes_from_the_environment_in_either_case(void **state) {
    bench *b = *state;
    serve(b, EMPTY_OK, STAY_OPEN);
    set_proxy_variable(b, "http_proxy");
    assert_int_equal(get(b)->status, 200);
    assert_sent(b, "GET http://tempo.test:3200/api HTTP/1.1\r\n");
    unsetenv("http_proxy");
    b->server.request_len = 0;
    b->server.request[0] = '\0';
    set_proxy_variable(b, "HTTP_PROXY");
    assert_int_equal(get(b)->status, 200);
    assert_sent(b, "GET http://tempo.test:3200/api HTTP/1.1\r\n");
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    assert_int_equal(get(b)->error, SW_HTTP_CONNECT);
}

static void no_proxy_is_respected(void **state) {
    bench *b = *state;
    serve(b, EMPTY_OK, STAY_OPEN);
    setenv("HTTP_PROXY", "http://127.0.0.1:1", 1);
    setenv("NO_PROXY", "tempo.test,127.0.0.1", 1);
    assert_int_equal(get(b)->status, 200);
    assert_sent(b, "GET /api?secret=1 HTTP/1.1\r\n");
}

static void a_profile_overrides_the_environment(void **state) {
    bench *b = *state;
    serve(b, EMPTY_OK, STAY_OPEN);
    setenv("HTTP_PROXY", "http://127.0.0.1:1", 1);
    sw_http_profile direct = {.proxy = ""};
    sw_http_request request = request_to(b);
    request.profile = &direct;
    assert_int_equal(fetch(b, &request)->status, 200);
    assert_sent(b, "GET /api?secret=1 HTTP/1.1\r\n");
    char proxy[64];
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", b->server.port);
    sw_http_profile through = {.proxy = proxy};
    request.profile = &through;
    request.url = "http://tempo.test/";
    setenv("NO_PROXY", "tempo.test", 1);
    assert_int_equal(fetch(b, &request)->status, 200);
    assert_sent(b, "GET http://tempo.test/ HTTP/1.1\r\n");
}

static void a_proxy_that_refuses_a_tunnel_is_a_connect_error(void **state) {
    bench *b = *state;
    serve(b, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", STAY_OPEN);
    char proxy[64];
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", b->server.port);
    sw_http_profile through = {.proxy = proxy};
    sw_http_request request = request_to(b);
    request.profile = &through;
    request.url = "https://tempo.test/";
    const sw_http_response *response = fetch(b, &request);
    assert_int_equal(response->error, SW_HTTP_CONNECT);
    assert_non_null(strstr(response->message, "the proxy did not connect to tempo.test"));
    assert_non_null(strstr(response->message, "403"));
    assert_sent(b, "CONNECT tempo.test:443 HTTP/1.1\r\n");
}

/* Names. */

static void a_host_that_is_unknown_is_named(void **state) {
    bench *b = *state;
    sw_http_request request = request_to(b);
    request.url = "http://unknown.test:3200/x";
    const sw_http_response *response = fetch(b, &request);
    assert_int_equal(response->error, SW_HTTP_CONNECT);
    assert_string_equal(response->message, "cannot resolve the host name of unknown.test:3200");
}

static void count_turns(uv_idle_t *idle) {
    ++*(int *)idle->data;
}

static void a_name_server_that_hangs_blocks_nobody(void **state) {
    bench *b = *state;
    sem_init(&resolver_may_go, 0, 0);
    sw_http_request request = request_to(b);
    request.url = "http://hangs.test/";
    request.timeout_ms = 50;
    int turns = 0;
    uv_idle_t idle;
    uv_idle_init(&b->loop, &idle);
    idle.data = &turns;
    uv_idle_start(&idle, count_turns);
    const sw_http_response *response = fetch(b, &request);
    uv_close((uv_handle_t *)&idle, NULL);
    assert_int_equal(response->error, SW_HTTP_TIMEOUT);
    assert_string_equal(response->message, "timeout after 50 ms (host name not resolved yet)");
    assert_true(turns > 10);
    assert_int_equal(__atomic_load_n(&hanging_lookups, __ATOMIC_SEQ_CST), 1); /* it still hangs */

    sw_http_call *call = sw_http_start(b->client, &request);
    uv_run(&b->loop, UV_RUN_NOWAIT);
    sw_http_cancel(call); /* returns although the look-up hangs */
    assert_int_equal(sw_http_client_active(b->client), 0);
    sem_post(&resolver_may_go);
    sem_post(&resolver_may_go);
    while (__atomic_load_n(&hanging_lookups, __ATOMIC_SEQ_CST) > 0) {
        uv_run(&b->loop, UV_RUN_NOWAIT);
    }
}

/* Life and death. */

static void connections_are_used_again(void **state) {
    bench *b = *state;
    serve(b, EMPTY_OK, STAY_OPEN);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(get(b)->status, 200);
    }
    assert_int_equal(b->server.requests, 5);
    assert_int_equal(b->server.connections, 1);
}

static void a_cancelled_request_is_silent(void **state) {
    bench *b = *state;
    serve(b, "", STAY_OPEN);
    sw_http_request request = request_to(b);
    sw_http_call *early = sw_http_start(b->client, &request);
    sw_http_call *late = sw_http_start(b->client, &request);
    request.url = "nonsense";
    sw_http_call *unusable = sw_http_start(b->client, &request);
    assert_int_equal(sw_http_client_active(b->client), 3);
    sw_http_cancel(early);
    sw_http_cancel(unusable);
    while (b->server.requests == 0) {
        uv_run(&b->loop, UV_RUN_ONCE);
    }
    sw_http_cancel(late);
    sw_http_cancel(NULL);
    assert_int_equal(sw_http_client_active(b->client), 0);
    for (int i = 0; i < 20; i++) {
        uv_run(&b->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(b->out.calls, 0);
}

static void a_client_may_be_freed_with_requests_under_way(void **state) {
    bench *b = *state;
    serve(b, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", STAY_OPEN);
    sw_http_request request = request_to(b);
    sw_http_start(b->client, &request);
    while (b->server.requests == 0) {
        uv_run(&b->loop, UV_RUN_ONCE);
    }
    sw_http_start(b->client, &request);
    request.url = "nonsense";
    sw_http_start(b->client, &request);
    sw_http_client_free(b->client);
    b->client = NULL;
    for (int i = 0; i < 20; i++) {
        uv_run(&b->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(b->out.calls, 0);
}

/* Callbacks that do everything that they may. */
typedef struct actor {
    bench *b;
    sw_http_call *own;
    sw_http_call *other;
    int calls;
    enum { CANCEL_OWN, CANCEL_OTHER, FREE_CLIENT, START_MORE } deed;
    int left;
} actor;

static void actor_done(const sw_http_response *response, void *arg);

static void actor_start(actor *a, bool in_data);

static bool actor_acts(actor *a) {
    switch (a->deed) {
    case CANCEL_OWN:
        sw_http_cancel(a->own);
        break;
    case CANCEL_OTHER:
        sw_http_cancel(a->other);
        a->other = NULL;
        break;
    case FREE_CLIENT:
        sw_http_client_free(a->b->client);
        a->b->client = NULL;
        break;
    case START_MORE:
        if (a->left > 0) {
            a->left--;
            actor_start(a, true);
        }
        break;
    }
    return true;
}

static bool actor_headers(const sw_http_response *so_far, void *arg) {
    (void)so_far;
    return actor_acts(arg);
}

static bool actor_data(const char *data, size_t len, void *arg) {
    (void)data;
    (void)len;
    return actor_acts(arg);
}

static void actor_done(const sw_http_response *response, void *arg) {
    actor *a = arg;
    assert_int_equal(response->error, SW_HTTP_OK);
    a->calls++;
}

static void actor_start(actor *a, bool in_data) {
    sw_http_request request = {.url = a->b->url, .timeout_ms = 10000, .done = actor_done, .arg = a};
    if (in_data) {
        request.on_data = actor_data;
    } else {
        request.on_headers = actor_headers;
    }
    a->own = sw_http_start(a->b->client, &request);
}

static void run_until(bench *b, const int *calls, int wanted) {
    while (*calls < wanted) {
        uv_run(&b->loop, UV_RUN_ONCE);
    }
}

static void check_deed(bench *b, actor *a, const char *answer, bool in_data) {
    if (b->has_server) {
        b->server.answer = answer;
        b->server.answer_len = strlen(answer);
    } else {
        serve(b, answer, STAY_OPEN);
    }
    b->server.requests = 0;
    actor_start(a, in_data);
}

static void a_callback_may_cancel_its_own_request(void **state) {
    bench *b = *state;
    static const char *const answers[] = {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", EMPTY_OK};
    for (int i = 0; i < 3; i++) { /* in on_data, in on_headers, in on_headers of an answer without body */
        actor a = {.b = b, .deed = CANCEL_OWN};
        check_deed(b, &a, answers[i == 2], i == 0);
        while (sw_http_client_active(b->client) > 0) {
            uv_run(&b->loop, UV_RUN_ONCE);
        }
        uv_run(&b->loop, UV_RUN_NOWAIT);
        assert_int_equal(a.calls, 0);
    }
}

static void a_callback_may_cancel_another_request(void **state) {
    bench *b = *state;
    actor a = {.b = b, .deed = CANCEL_OTHER};
    check_deed(b, &a, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true);
    sw_http_request request = request_to(b);
    a.other = sw_http_start(b->client, &request);
    run_until(b, &a.calls, 1);
    assert_int_equal(a.calls, 1);
    assert_int_equal(b->out.calls, 0);
    assert_int_equal(sw_http_client_active(b->client), 0);
}

static void a_callback_may_free_the_client(void **state) {
    bench *b = *state;
    for (int i = 0; i < 3; i++) {
        actor a = {.b = b, .deed = FREE_CLIENT};
        check_deed(b, &a, i == 2 ? EMPTY_OK : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", i == 0);
        while (b->client != NULL) {
            uv_run(&b->loop, UV_RUN_ONCE);
        }
        uv_run(&b->loop, UV_RUN_NOWAIT);
        assert_int_equal(a.calls, 0);
        b->client = sw_http_client_new(&b->loop);
    }
}

static void a_callback_may_start_requests(void **state) {
    bench *b = *state;
    actor a = {.b = b, .deed = START_MORE, .left = 3};
    check_deed(b, &a, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true);
    run_until(b, &a.calls, 4);
    assert_int_equal(a.calls, 4);
    assert_int_equal(sw_http_client_active(b->client), 0);
}

static void free_in_done(const sw_http_response *response, void *arg) {
    outcome_done(response, &((bench *)arg)->out);
    sw_http_client_free(((bench *)arg)->client);
    ((bench *)arg)->client = NULL;
}

static void the_last_callback_may_free_the_client(void **state) {
    bench *b = *state;
    serve(b, EMPTY_OK, STAY_OPEN);
    static const char *const urls[] = {"nonsense", NULL};
    for (size_t i = 0; i < SW_ARRAY_LEN(urls); i++) {
        sw_http_request request = {
            .url = urls[i] != NULL ? urls[i] : b->url, .timeout_ms = 10000, .done = free_in_done, .arg = b};
        outcome_release(&b->out);
        sw_http_start(b->client, &request);
        sw_http_start(b->client, &request);
        while (b->client != NULL) {
            uv_run(&b->loop, UV_RUN_ONCE);
        }
        uv_run(&b->loop, UV_RUN_NOWAIT);
        assert_int_equal(b->out.calls, 1);
        b->client = sw_http_client_new(&b->loop);
    }
}

static void restart_in_done(const sw_http_response *response, void *arg) {
    bench *b = arg;
    assert_int_equal(response->error, SW_HTTP_BAD_REQUEST);
    sw_http_request request = {.url = "nonsense", .timeout_ms = 1, .done = restart_in_done, .arg = b};
    sw_http_start(b->client, &request);
    b->out.header_calls++;
}

static void requests_that_fail_again_and_again_leave_the_loop_its_turns(void **state) {
    bench *b = *state;
    sw_http_request request = {.url = "nonsense", .timeout_ms = 1, .done = restart_in_done, .arg = b};
    sw_http_start(b->client, &request);
    for (int i = 0; i < 10; i++) {
        uv_run(&b->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(b->out.header_calls, 10);
}

static void many_requests_run_at_once(void **state) {
    bench *b = *state;
    serve(b, EMPTY_OK, STAY_OPEN);
    sw_http_request request = request_to(b);
    for (int i = 0; i < 40; i++) {
        sw_http_start(b->client, &request);
    }
    assert_int_equal(sw_http_client_active(b->client), 40);
    while (b->out.calls < 40) {
        uv_run(&b->loop, UV_RUN_ONCE);
    }
    assert_int_equal(sw_http_client_active(b->client), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_post_carries_its_body_and_headers),
        TEST(an_empty_post_has_a_length_and_no_type),
        TEST(a_large_body_is_sent_without_asking),
        TEST(other_methods_are_sent_as_named),
        TEST(what_cannot_be_sent_is_refused),
        TEST(headers_that_forge_a_request_are_refused),
        TEST(a_proxy_comes_from_the_environment_in_either_case),
        TEST(no_proxy_is_respected),
        TEST(a_profile_overrides_the_environment),
        TEST(a_proxy_that_refuses_a_tunnel_is_a_connect_error),
        TEST(a_host_that_is_unknown_is_named),
        TEST(a_name_server_that_hangs_blocks_nobody),
        TEST(connections_are_used_again),
        TEST(a_cancelled_request_is_silent),
        TEST(a_client_may_be_freed_with_requests_under_way),
        TEST(a_callback_may_cancel_its_own_request),
        TEST(a_callback_may_cancel_another_request),
        TEST(a_callback_may_free_the_client),
        TEST(a_callback_may_start_requests),
        TEST(the_last_callback_may_free_the_client),
        TEST(requests_that_fail_again_and_again_leave_the_loop_its_turns),
        TEST(many_requests_run_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
