/* Transfers that pause after each piece, as large ones do when they have had their share of a pass. */
#include "net_test.h"

#include "net/http_client_internal.h"

/* `body` in chunks of 1000 bytes, after `head`. */
static char *chunked_answer(const char *head, const char *body, size_t size, size_t *len) {
    char *answer = malloc(strlen(head) + 64 + size * 2);
    char *to = answer + sprintf(answer, "%sTransfer-Encoding: chunked\r\n\r\n", head);
    for (size_t at = 0; at < size;) {
        size_t piece = size - at < 1000 ? size - at : 1000;
        to += sprintf(to, "%zx\r\n", piece);
        memcpy(to, body + at, piece);
        memcpy(to + piece, "\r\n", 2);
        to += piece + 2;
        at += piece;
    }
    memcpy(to, "0\r\n\r\n", 5);
    *len = (size_t)(to + 5 - answer);
    return answer;
}

typedef struct pass_watch {
    const outcome *out;
    size_t before;
    size_t most; /* bytes that one pass handed over */
} pass_watch;

static void watch_pass(uv_prepare_t *prepare) {
    pass_watch *watch = prepare->data;
    size_t handed_over = watch->out->data.len - watch->before;
    watch->before = watch->out->data.len;
    watch->most = handed_over > watch->most ? handed_over : watch->most;
}

/* Returns the bytes that the busiest pass handed over. */
static size_t fetch_in_small_shares(bench *b, const sw_http_request *request) {
    pass_watch watch = {.out = &b->out};
    uv_prepare_t prepare;
    uv_prepare_init(&b->loop, &prepare);
    prepare.data = &watch;
    uv_prepare_start(&prepare, watch_pass);
    http_client_set_share(b->client, 0);
    fetch(b, request);
    watch_pass(&prepare); /* the last pass has no next one */
    uv_close((uv_handle_t *)&prepare, NULL);
    uv_run(&b->loop, UV_RUN_NOWAIT);
    return watch.most;
}

/* What noise.gz holds: hexadecimal digits of a linear congruential generator. */
static char *make_noise(size_t size) {
    char *noise = malloc(size);
    uint32_t x = 1;
    for (size_t i = 0; i < size; i++) {
        x = (x * 1103515245u + 12345u) & 0x7fffffff;
        noise[i] = "0123456789abcdef"[(x >> 16) & 15];
    }
    return noise;
}

static void assert_noise(const outcome *out, const char *noise, size_t size) {
    if (out->response.error != SW_HTTP_OK) {
        fail_msg("%s", out->response.message);
    }
    assert_int_equal(out->data.len, size);
    assert_memory_equal(out->data.data, noise, size);
}

static void assert_spread(bench *b, const char *answer, size_t len, const char *noise, size_t size) {
    sw_http_request request = request_to(b);
    request.on_data = outcome_data;
    request.accept_compressed = true;
    b->server.answer = answer;
    b->server.answer_len = len;
    size_t most = fetch_in_small_shares(b, &request);
    /* Going on, the timer and the socket may each enter curl once in a pass, for one piece each. */
    assert_in_range(most, 1, 3 * CURL_MAX_WRITE_SIZE);
    assert_noise(&b->out, noise, size);
}

static void a_large_body_is_spread_over_passes_of_the_loop(void **state) {
    bench *b = *state;
    size_t packed_len = 0;
    size_t len = 0;
    char *noise = make_noise(1000000);
    char *packed = read_file("noise.gz", &packed_len);
    serve(b, "", STAY_OPEN);

    char *answer = compressed_answer("noise.gz", &len);
    assert_spread(b, answer, len, noise, 60000);
    free(answer);
    answer = chunked_answer(OK_HEAD "Content-Encoding: gzip\r\n", packed, packed_len, &len);
    assert_spread(b, answer, len, noise, 60000);
    free(answer);
    answer = chunked_answer(OK_HEAD, noise, 1000000, &len);
    assert_spread(b, answer, len, noise, 1000000);
    free(answer);
    assert_int_equal(b->server.connections, 1);

    len = strlen(OK_HEAD "\r\n") + 1000000;
    answer = malloc(len);
    memcpy(answer, OK_HEAD "\r\n", strlen(OK_HEAD "\r\n"));
    memcpy(answer + strlen(OK_HEAD "\r\n"), noise, 1000000);
    b->server.ending = CLOSE;
    assert_spread(b, answer, len, noise, 1000000);
    free(answer);
    free(packed);
    free(noise);
}

static void a_paused_transfer_can_fail_and_be_stopped(void **state) {
    bench *b = *state;
    size_t len = 0;
    char *answer = compressed_answer("zeros-16mib.gz", &len);
    serve_bytes(b, answer, len, STAY_OPEN);
    sw_http_request request = request_to(b);
    request.on_data = outcome_data;
    request.accept_compressed = true;
    request.max_body = 100000;
    fetch_in_small_shares(b, &request);
    assert_error(&b->out.response, SW_HTTP_TOO_LARGE, "answer over 100000 bytes");
    assert_in_range(b->out.data.len, 50000, 100000);

    request.max_body = 64u << 20;
    outcome_release(&b->out);
    b->out.stop_after = 100000;
    sw_http_start(b->client, &request);
    run_until_done(b);
    assert_error(&b->out.response, SW_HTTP_ABORTED, "stopped by the receiver");

    outcome_release(&b->out);
    sw_http_call *call = sw_http_start(b->client, &request);
    while (b->out.data.len < 100000) {
        uv_run(&b->loop, UV_RUN_ONCE);
    }
    sw_http_cancel(call);
    uv_run(&b->loop, UV_RUN_NOWAIT);
    assert_int_equal(b->out.calls, 0);

    outcome_release(&b->out);
    sw_http_start(b->client, &request);
    while (b->out.data.len < 100000) {
        uv_run(&b->loop, UV_RUN_ONCE);
    }
    sw_http_client_free(b->client);
    b->client = NULL;
    uv_run(&b->loop, UV_RUN_NOWAIT);
    assert_int_equal(b->out.calls, 0);
    free(answer);
}

static void paused_transfers_do_not_wait_for_each_other(void **state) {
    bench *b = *state;
    size_t len = 0;
    char *noise = make_noise(1000000);
    char *answer = chunked_answer(OK_HEAD, noise, 1000000, &len);
    serve_bytes(b, answer, len, STAY_OPEN);
    http_client_set_share(b->client, 0);
    outcome outs[3] = {0};
    for (int i = 0; i < 3; i++) {
        sw_http_request request = request_to(b);
        request.on_data = outcome_data;
        request.arg = &outs[i];
        sw_http_start(b->client, &request);
    }
    while (outs[0].calls == 0) {
        uv_run(&b->loop, UV_RUN_ONCE);
    }
    for (int i = 0; i < 3; i++) {
        assert_true(outs[i].data.len > 300000);
        while (outs[i].calls == 0) {
            uv_run(&b->loop, UV_RUN_ONCE);
        }
        assert_noise(&outs[i], noise, 1000000);
    }
    for (int i = 0; i < 3; i++) {
        outcome_release(&outs[i]);
    }
    free(answer);
    free(noise);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_large_body_is_spread_over_passes_of_the_loop),
        TEST(a_paused_transfer_can_fail_and_be_stopped),
        TEST(paused_transfers_do_not_wait_for_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
