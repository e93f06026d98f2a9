/* What the client makes of answers, good and bad. */
#include "net_test.h"

static void a_whole_answer_is_collected(void **state) {
    bench *b = *state;
    serve(b,
          OK_HEAD "content-type:  application/json \r\nDate: Sun, 01 Mar 2026 10:00:00 GMT\r\n"
                  "Content-Length: 11\r\n\r\n{\"a\":\0true}",
          STAY_OPEN);
    b->server.answer_len = strlen(b->server.answer) + 6;
    const sw_http_response *response = get(b);
    assert_error(response, SW_HTTP_OK, "");
    assert_string_equal(response->message, "");
    assert_int_equal(response->status, 200);
    assert_string_equal(response->content_type, "application/json");
    assert_int_equal(response->date_s, 1772359200);
    assert_int_equal(response->retry_after_s, -1);
    assert_int_equal(response->body_len, 11);
    assert_memory_equal(b->out.body, "{\"a\":\0true}", 11);
    assert_true(response->duration_ns > 0);
    assert_int_equal(b->out.header_calls, 1);
    assert_int_equal(b->out.header_status, 200);
    assert_non_null(strstr(b->server.request, "GET /api?secret=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(b->server.request, "\r\nUser-Agent: spanwatch/"));
    assert_null(strstr(b->server.request, "Accept-Encoding"));
}

static void chunks_are_joined_and_trailers_ignored(void **state) {
    bench *b = *state;
    serve(b,
          OK_HEAD "Transfer-Encoding: chunked\r\nContent-Type: text/a\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n"
                  "Content-Type: text/trailer\r\nRetry-After: 9\r\n\r\n",
          STAY_OPEN);
    const sw_http_response *response = get(b);
    assert_error(response, SW_HTTP_OK, "");
    assert_string_equal(b->out.body, "abcde");
    assert_string_equal(response->content_type, "text/a");
    assert_int_equal(response->retry_after_s, -1);
}

static void a_body_without_length_ends_with_the_connection(void **state) {
    bench *b = *state;
    serve(b, "HTTP/1.0 200 OK\r\n\r\nuntil the end", CLOSE);
    assert_error(get(b), SW_HTTP_OK, "");
    assert_string_equal(b->out.body, "until the end");
}

static void an_answer_without_body_is_announced_as_well(void **state) {
    bench *b = *state;
    serve(b, "HTTP/1.1 204 No Content\r\n\r\n", STAY_OPEN);
    sw_http_request request = request_to(b);
    request.on_data = outcome_data;
    const sw_http_response *response = fetch(b, &request);
    assert_error(response, SW_HTTP_OK, "");
    assert_int_equal(response->status, 204);
    assert_int_equal(b->out.header_calls, 1);
    assert_int_equal(response->body_len, 0);
    assert_string_equal(b->out.body, "");
}

static void interim_answers_are_skipped(void **state) {
    bench *b = *state;
    serve(b,
          "HTTP/1.1 100 Continue\r\nRetry-After: 5\r\nContent-Type: text/wrong\r\n\r\n"
          "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK_HEAD "Content-Length: 2\r\n\r\nok",
          STAY_OPEN);
    const sw_http_response *response = get(b);
    assert_error(response, SW_HTTP_OK, "");
    assert_int_equal(response->status, 200);
    assert_string_equal(b->out.body, "ok");
    assert_string_equal(response->content_type, "");
    assert_int_equal(response->retry_after_s, -1);
}

static void gzip_is_asked_for_and_undone(void **state) {
    bench *b = *state;
    size_t len = 0;
    char *answer = compressed_answer("greeting.gz", &len);
    serve_bytes(b, answer, len, STAY_OPEN);
    sw_http_request request = request_to(b);
    request.accept_compressed = true;
    assert_error(fetch(b, &request), SW_HTTP_OK, "");
    assert_string_equal(b->out.body, "hello, hello, hello, hello\n");
    assert_non_null(strstr(b->server.request, "\r\nAccept-Encoding: gzip\r\n"));
    free(answer);
}

static void a_gzip_bomb_ends_at_max_body(void **state) {
    bench *b = *state;
    size_t len = 0;
    char *answer = compressed_answer("zeros-16mib.gz", &len);
    serve_bytes(b, answer, len, STAY_OPEN);
    sw_http_request request = request_to(b);
    request.accept_compressed = true;
    request.on_data = outcome_data;
    request.max_body = 100000;
    const sw_http_response *response = fetch(b, &request);
    assert_error(response, SW_HTTP_TOO_LARGE, "answer over 100000 bytes");
    assert_true(b->out.data.len <= 100000);
    request.max_body = 16u << 20;
    response = fetch(b, &request);
    assert_error(response, SW_HTTP_OK, "");
    assert_int_equal(response->body_len, 16u << 20);
    assert_int_equal(b->out.data.len, 16u << 20);
    free(answer);
}

static void damaged_compression_is_broken(void **state) {
    bench *b = *state;
    serve(b, OK_HEAD "Content-Encoding: gzip\r\nContent-Length: 12\r\n\r\nnot gzip at all", STAY_OPEN);
    sw_http_request request = request_to(b);
    request.accept_compressed = true;
    assert_error(fetch(b, &request), SW_HTTP_BROKEN, "bad compression");
}

static void a_body_may_have_exactly_max_body_bytes(void **state) {
    bench *b = *state;
    serve(b, OK_HEAD "Content-Length: 5\r\n\r\n12345", STAY_OPEN);
    sw_http_request request = request_to(b);
    request.max_body = 5;
    assert_error(fetch(b, &request), SW_HTTP_OK, "");
    assert_string_equal(b->out.body, "12345");
    request.max_body = 4;
    const sw_http_response *response = fetch(b, &request);
    assert_error(response, SW_HTTP_TOO_LARGE, "answer over 4 bytes");
    assert_int_equal(response->status, 200);
}

static void an_endless_body_ends_at_max_body(void **state) {
    bench *b = *state;
    serve(b, OK_HEAD "\r\n", STAY_OPEN);
    b->server.answer = OK_HEAD "\r\n0123456789012345678901234567890123456789";
    b->server.drip_bytes = strlen(b->server.answer);
    sw_http_request request = request_to(b);
    request.max_body = 1000;
    assert_error(fetch(b, &request), SW_HTTP_TOO_LARGE, "answer over 1000 bytes");
}

static void pieces_are_handed_over_for_success_only(void **state) {
    bench *b = *state;
    serve(b, OK_HEAD "Content-Length: 5\r\n\r\nhello", STAY_OPEN);
    sw_http_request request = request_to(b);
    request.on_data = outcome_data;
    const sw_http_response *response = fetch(b, &request);
    assert_error(response, SW_HTTP_OK, "");
    assert_string_equal(b->out.data.data, "hello");
    assert_string_equal(b->out.body, "");
    assert_int_equal(response->body_len, 5);

    b->server.answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nmissing";
    b->server.answer_len = strlen(b->server.answer);
    response = fetch(b, &request);
    assert_error(response, SW_HTTP_OK, "");
    assert_int_equal(response->status, 404);
    assert_int_equal(b->out.header_status, 404);
    assert_int_equal(b->out.data.len, 0);
    assert_string_equal(b->out.body, "missing");
    assert_int_equal(response->body_len, 7);
}

static char *answer_with_body(const char *head, size_t size) {
    char *answer = malloc(strlen(head) + 64 + size);
    int used = sprintf(answer, "%sContent-Length: %zu\r\n\r\n", head, size);
    memset(answer + used, 'e', size);
    answer[(size_t)used + size] = '\0';
    return answer;
}

static void of_an_errors_body_64_kib_are_kept(void **state) {
    bench *b = *state;
    char *answer = answer_with_body("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n", 300000);
    serve(b, answer, STAY_OPEN);
    const sw_http_response *response = get(b);
    assert_error(response, SW_HTTP_OK, "");
    assert_int_equal(response->status, 503);
    assert_int_equal(response->body_len, 65536);
    assert_int_equal(response->retry_after_s, 7);
    assert_int_equal(b->server.connections, 1);
    sw_http_request request = request_to(b);
    request.max_body = 100;
    response = fetch(b, &request);
    assert_error(response, SW_HTTP_OK, "");
    assert_int_equal(response->status, 503);
    assert_int_equal(response->body_len, 100);
    free(answer);
}

static void redirects_are_not_followed(void **state) {
    bench *b = *state;
    serve(b, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/elsewhere\r\nContent-Length: 0\r\n\r\n",
          STAY_OPEN);
    const sw_http_response *response = get(b);
    assert_error(response, SW_HTTP_OK, "");
    assert_int_equal(response->status, 302);
    assert_int_equal(b->server.requests, 1);
}

static void retry_after_may_be_a_date(void **state) {
    bench *b = *state;
    serve(b,
          "HTTP/1.1 429 Slow Down\r\nDate: Sun, 01 Mar 2026 10:00:00 GMT\r\n"
          "Retry-After: Sun, 01 Mar 2026 10:02:00 GMT\r\nContent-Length: 0\r\n\r\n",
          STAY_OPEN);
    assert_int_equal(get(b)->retry_after_s, 120);
}

static void a_body_that_ends_early_is_broken(void **state) {
    bench *b = *state;
    serve(b, OK_HEAD "Content-Length: 100\r\n\r\nhalf", CLOSE);
    const sw_http_response *response = get(b);
    assert_error(response, SW_HTTP_BROKEN, "the answer ended early");
    assert_int_equal(response->status, 200);
}

static void chunks_that_end_early_are_broken(void **state) {
    bench *b = *state;
    serve(b, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n5\r\nab", CLOSE);
    assert_error(get(b), SW_HTTP_BROKEN, "the answer ended early");
}

static void malformed_chunks_are_broken(void **state) {
    bench *b = *state;
    serve(b, OK_HEAD "Transfer-Encoding: chunked\r\n\r\nzz\r\nabcde\r\n", STAY_OPEN);
    assert_error(get(b), SW_HTTP_BROKEN, "");
}

static void bytes_after_the_body_are_not_part_of_it(void **state) {
    bench *b = *state;
    serve(b, OK_HEAD "Content-Length: 3\r\n\r\nabcdefgh", STAY_OPEN);
    assert_error(get(b), SW_HTTP_OK, "");
    assert_string_equal(b->out.body, "abc");
    /* and they must not become the next answer */
    assert_error(get(b), SW_HTTP_OK, "");
    assert_string_equal(b->out.body, "abc");
    assert_int_equal(b->server.connections, 2);
}

static void a_length_that_is_no_number_is_broken(void **state) {
    bench *b = *state;
    serve(b, OK_HEAD "Content-Length: many\r\n\r\nabc", CLOSE);
    assert_error(get(b), SW_HTTP_BROKEN, "");
}

static void a_reset_is_broken(void **state) {
    bench *b = *state;
    serve(b, OK_HEAD "Content-Length: 100\r\n\r\nhalf", RESET);
    assert_error(get(b), SW_HTTP_BROKEN, "");
}

static void a_connection_closed_without_answer_is_broken(void **state) {
    bench *b = *state;
    serve(b, "", CLOSE);
    const sw_http_response *response = get(b);
    assert_error(response, SW_HTTP_BROKEN, "closed the connection without an answer");
    assert_int_equal(response->status, 0);
}

static void an_answer_without_status_line_is_broken(void **state) {
    bench *b = *state;
    serve(b, "SSH-2.0-OpenSSH_9.2\r\n\r\n", CLOSE);
    assert_error(get(b), SW_HTTP_BROKEN, "does not answer in HTTP");
}

static void headers_without_end_are_broken(void **state) {
    bench *b = *state;
    char *answer = malloc(300000);
    int used = sprintf(answer, "%s", OK_HEAD);
    for (int i = 0; i < 2000; i++) {
        used += sprintf(answer + used, "X-Header-%d: %080d\r\n", i, i);
    }
    serve(b, answer, STAY_OPEN);
    assert_error(get(b), SW_HTTP_BROKEN, "headers over 64 KiB");
    memset(answer, 'x', 299999);
    memcpy(answer, OK_HEAD "X: ", strlen(OK_HEAD) + 3);
    answer[299999] = '\0';
    b->server.answer_len = 299999;
    assert_error(get(b), SW_HTTP_BROKEN, "");
    free(answer);
}

static void a_server_that_never_answers_is_a_timeout(void **state) {
    bench *b = *state;
    serve(b, "", STAY_OPEN);
    sw_http_request request = request_to(b);
    request.timeout_ms = 60;
    const sw_http_response *response = fetch(b, &request);
    assert_error(response, SW_HTTP_TIMEOUT, "timeout after 60 ms (no answer yet)");
    assert_in_range(response->duration_ns, 50 * SW_NS_PER_MS, 5000 * SW_NS_PER_MS);
}

static void an_answer_that_drips_ends_at_the_deadline(void **state) {
    bench *b = *state;
    serve(b, "x", STAY_OPEN);
    b->server.answer = OK_HEAD "\r\n";
    b->server.drip_bytes = strlen(OK_HEAD "\r\n");
    sw_http_request request = request_to(b);
    request.timeout_ms = 80;
    const sw_http_response *response = fetch(b, &request);
    assert_error(response, SW_HTTP_TIMEOUT, "timeout after 80 ms (the answer is incomplete)");
    assert_int_equal(response->status, 200);
    assert_in_range(response->duration_ns, 70 * SW_NS_PER_MS, 5000 * SW_NS_PER_MS);
}

static void a_port_where_nobody_listens_is_named(void **state) {
    bench *b = *state;
    serve(b, "", STAY_OPEN);
    uv_close((uv_handle_t *)&b->server.listener, NULL);
    uv_close((uv_handle_t *)&b->server.drip, NULL);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    b->has_server = false;
    snprintf(b->url, sizeof b->url, "http://user:secret@127.0.0.1:%d/x?secret", b->server.port);
    const sw_http_response *response = get(b);
    char expected[64];
    snprintf(expected, sizeof expected, "cannot connect to 127.0.0.1:%d: Connection refused", b->server.port);
    assert_error(response, SW_HTTP_CONNECT, "");
    assert_string_equal(response->message, expected);
    assert_int_equal(response->status, 0);
}

static void the_receiver_may_stop_at_the_headers_or_in_the_body(void **state) {
    bench *b = *state;
    serve(b, OK_HEAD "Content-Length: 5\r\n\r\nhello", STAY_OPEN);
    sw_http_request request = request_to(b);
    request.on_data = outcome_data;
    outcome_release(&b->out);
    b->out.stop_after = 2;
    sw_http_start(b->client, &request);
    run_until_done(b);
    assert_error(&b->out.response, SW_HTTP_ABORTED, "stopped by the receiver");
    outcome_release(&b->out);
    b->out.refuse_headers = true;
    sw_http_start(b->client, &request);
    run_until_done(b);
    assert_error(&b->out.response, SW_HTTP_ABORTED, "stopped by the receiver");
    assert_int_equal(b->out.data.len, 0);
}

static void names_of_errors_are_stable(void **state) {
    (void)state;
    assert_string_equal(sw_http_error_name(SW_HTTP_OK), "ok");
    assert_string_equal(sw_http_error_name(SW_HTTP_TIMEOUT), "timeout");
    assert_string_equal(sw_http_error_name(SW_HTTP_CONNECT), "connect");
    assert_string_equal(sw_http_error_name(SW_HTTP_TLS), "tls");
    assert_string_equal(sw_http_error_name(SW_HTTP_TOO_LARGE), "too_large");
    assert_string_equal(sw_http_error_name(SW_HTTP_BROKEN), "broken");
    assert_string_equal(sw_http_error_name(SW_HTTP_ABORTED), "aborted");
    assert_string_equal(sw_http_error_name(SW_HTTP_BAD_REQUEST), "bad_request");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_whole_answer_is_collected),
        TEST(chunks_are_joined_and_trailers_ignored),
        TEST(a_body_without_length_ends_with_the_connection),
        TEST(an_answer_without_body_is_announced_as_well),
        TEST(interim_answers_are_skipped),
        TEST(gzip_is_asked_for_and_undone),
        TEST(a_gzip_bomb_ends_at_max_body),
        TEST(damaged_compression_is_broken),
        TEST(a_body_may_have_exactly_max_body_bytes),
        TEST(an_endless_body_ends_at_max_body),
        TEST(pieces_are_handed_over_for_success_only),
        TEST(of_an_errors_body_64_kib_are_kept),
        TEST(redirects_are_not_followed),
        TEST(retry_after_may_be_a_date),
        TEST(a_body_that_ends_early_is_broken),
        TEST(chunks_that_end_early_are_broken),
        TEST(malformed_chunks_are_broken),
        TEST(bytes_after_the_body_are_not_part_of_it),
        TEST(a_length_that_is_no_number_is_broken),
        TEST(a_reset_is_broken),
        TEST(a_connection_closed_without_answer_is_broken),
        TEST(an_answer_without_status_line_is_broken),
        TEST(headers_without_end_are_broken),
        TEST(a_server_that_never_answers_is_a_timeout),
        TEST(an_answer_that_drips_ends_at_the_deadline),
        TEST(a_port_where_nobody_listens_is_named),
        TEST(the_receiver_may_stop_at_the_headers_or_in_the_body),
        TEST(names_of_errors_are_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
