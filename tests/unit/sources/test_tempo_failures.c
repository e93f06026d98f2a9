#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sources/fake_tempo.h"

#define ID_A "00000000000000000000000000000abc"
#define SPAN_1 "00000000000000a1"

static fake_tempo *busy(void) {
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 400, 1200, 5);
    fake_add(fake, (fake_span){.trace = ID_A,
                               .id = SPAN_1,
                               .status = "error",
                               .message = "no",
                               .at_s = 520,
                               .duration_ms = 30,
                               .visible_s = 520});
    return fake;
}

static double failures(const fake_tempo *fake, const char *query, const char *reason) {
    static const char *const labels[] = {"source", "query", "reason", NULL};
    return sw_metric_get(
        sw_metrics_counter(fake->metrics, "spanwatch_source_query_failures_total", "", labels), "tempo",
        query, reason);
}

static void one_failure_is_asked_again(void **state) {
    (void)state;
    static const int statuses[] = {500, 503, 504, 429};
    for (size_t i = 0; i < SW_ARRAY_LEN(statuses); i++) {
        fake_tempo *fake = busy();
        fake_source(fake);
        fake_rule_add(fake,
                      (fake_rule){.path = "/api/metrics", .times = 1, .status = statuses[i], .body = "busy"});
        fake_rule_add(fake,
                      (fake_rule){.path = "/api/search", .times = 1, .status = statuses[i], .body = "busy"});
        fake_poll(fake);
        fake_assert_whole(fake);
        assert_int_equal(fake->asked, 4);
        fake_assert_counts(fake, 480, 540, 13, 1);
        assert_non_null(fake_find(fake, ID_A));
        fake_free(fake);
    }
}

static void a_failure_that_stays_is_unknown_and_asked_twice_only(void **state) {
    (void)state;
    fake_tempo *fake = busy();
    fake_source(fake);
    fake_rule_add(fake, (fake_rule){.path = "/", .times = -1, .status = 503, .body = "no ingesters\nmore"});
    fake_poll(fake);
    assert_false(fake->result.counts_ok);
    assert_false(fake->result.traces_ok);
    assert_true(fake->result.reachable);
    assert_int_equal(fake->asked, 4);
    assert_string_equal(fake->counts_reason, "HTTP 503: no ingesters");
    assert_string_equal(fake->traces_reason, "HTTP 503: no ingesters");
    assert_true(failures(fake, "traces", "http_503") == 2);
    assert_true(failures(fake, "counts", "http_503") == 2);
    assert_int_equal(fake->source->ops->counts_known_until(fake->source, fake_s(fake, 480)),
                     fake_s(fake, 480));
    fake->rules[0].times = 0;
    fake_poll_after(fake, 30);
    fake_assert_whole(fake);
    fake_assert_counts(fake, 480, 570, 19, 1);
    fake_free(fake);
}

static void a_server_that_is_away_is_noticed_once_and_once_when_it_is_back(void **state) {
    (void)state;
    fake_tempo *fake = busy();
    fake_source(fake);
    fake_poll(fake);
    assert_null(strstr(fake->log, "does not answer"));
    fake_rule_add(fake, (fake_rule){.path = "/", .times = -1, .status = 503, .body = "away"});
    for (int i = 0; i < 5; i++) {
        fake_poll_after(fake, 30);
        assert_true((strstr(fake->log, "does not answer") != NULL) == (i == 0));
        assert_false(fake->result.traces_ok);
    }
    fake->rules[0].times = 0;
    fake_poll_after(fake, 30);
    assert_non_null(strstr(fake->log, "answers again"));
    fake_assert_whole(fake);
    fake_assert_counts(fake, 540, 720, 36, 0);
    fake_poll_after(fake, 30);
    assert_null(strstr(fake->log, "answers again"));
    static const char *const labels[] = {"source", NULL};
    assert_true(sw_metric_get(sw_metrics_gauge(fake->metrics, "spanwatch_source_up", "", labels), "tempo") ==
                1);
    fake_free(fake);
}

static void a_server_that_cannot_be_connected_to_is_not_reachable(void **state) {
    (void)state;
    fake_tempo *fake = busy();
    fake->options.url = "http://127.0.0.1:1";
    fake->source = sw_tempo_new(&fake->loop, &fake->clock, fake->http, fake->metrics, &fake->options);
    fake_poll(fake);
    assert_false(fake->result.reachable || fake->result.counts_ok || fake->result.traces_ok);
    assert_int_equal(fake->result.horizon_s, fake_s(fake, 540)); /* by our own clock */
    assert_non_null(strstr(fake->log, "reason=connect"));
    assert_true(failures(fake, "traces", "connect") == 2);
    fake_free(fake);
}

static void a_slow_answer_is_waited_for_longer_and_the_wait_is_remembered(void **state) {
    (void)state;
    fake_tempo *fake = busy();
    fake->options.query_timeout_ms = 60;
    fake_source(fake);
    fake_rule_add(fake, (fake_rule){.path = "/api/search", .times = 1, .hang = true});
    fake_poll(fake);
    fake_assert_whole(fake);
    assert_int_equal(fake->searches, 2);
    assert_true(failures(fake, "traces", "timeout") == 1);
    fake_free(fake);
}

static void an_answer_that_never_comes_is_unknown(void **state) {
    (void)state;
    fake_tempo *fake = busy();
    fake->options.query_timeout_ms = 10;
    fake->options.query_timeout_max_ms = 50;
    fake_source(fake);
    fake_rule_add(fake, (fake_rule){.path = "/api/search", .times = -1, .hang = true});
    fake_poll(fake);
    assert_true(fake->result.counts_ok);
    assert_false(fake->result.traces_ok);
    assert_string_equal(fake->traces_reason, "no answer within 50 ms");
    assert_int_equal(fake->searches, 3); /* 10, 40, 50 ms */
    fake_free(fake);
}

static void what_is_not_json_is_of_the_wrong_type(void **state) {
    (void)state;
    fake_tempo *fake = busy();
    fake_source(fake);
    fake_rule_add(
        fake, (fake_rule){.path = "/", .times = -1, .status = 200, .type = "text/html", .body = "<html>"});
    fake_poll(fake);
    assert_false(fake->result.counts_ok || fake->result.traces_ok);
    assert_non_null(strstr(fake->traces_reason, "is this a Tempo?"));
    assert_true(failures(fake, "traces", "wrong_type") == 1);
    fake_free(fake);
}

static void broken_answers_are_never_empty_ones(void **state) {
    (void)state;
    static const char *const bodies[] = {"",
                                         "[]",
                                         "{\"traces\":[{\"traceID\":\"",
                                         "{\"traces\":[]} trailing",
                                         "{\"traces\":[{\"traceID\":\"xyz\"}],\"series\":[{\"samples\":3}]}",
                                         "{\"traces\":[{\"spanSets\":[]}],\"series\":[7]}",
                                         "{\"traces\":[[]],\"series\":[{\"labels\":{}}]}"};
    for (size_t i = 0; i < SW_ARRAY_LEN(bodies); i++) {
        fake_tempo *fake = busy();
        fake_source(fake);
        fake_rule_add(
            fake,
            (fake_rule){
                .path = "/", .times = -1, .status = 200, .type = "application/json", .body = bodies[i]});
        fake_poll(fake);
        assert_false(fake->result.counts_ok || fake->result.traces_ok);
        assert_true(failures(fake, "traces", "broken") == 2);
        assert_int_equal(fake->source->ops->counts_known_until(fake->source, fake_s(fake, 480)),
                         fake_s(fake, 480));
        fake_free(fake);
    }
}

static void a_body_over_the_cap_is_too_large(void **state) {
    (void)state;
    fake_tempo *fake = busy();
    fake->options.max_body = 200;
    fake_source(fake);
    fake_poll(fake);
    assert_false(fake->result.counts_ok || fake->result.traces_ok);
    assert_non_null(strstr(fake->traces_reason, "TEMPO_MAX_BODY_BYTES"));
    assert_true(failures(fake, "traces", "too_large") == 1);
    fake_free(fake);
}

static void refusals_say_what_to_do(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *body, *says;
    } cases[] = {
        {401, "no org id", "set TEMPO_TENANT"},  {401, "who are you", "check the credentials"},
        {403, "", "check the credentials"},      {404, "404 page not found", "is the URL's prefix right?"},
        {302, "", "redirects are not followed"}, {422, "range too long", "HTTP 422: range too long"},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        fake_tempo *fake = busy();
        fake_source(fake);
        fake_rule_add(
            fake, (fake_rule){.path = "/", .times = -1, .status = cases[i].status, .body = cases[i].body});
        fake_poll(fake);
        assert_false(fake->result.counts_ok || fake->result.traces_ok);
        assert_true(fake->result.reachable);
        assert_non_null(strstr(fake->traces_reason, cases[i].says));
        assert_non_null(strstr(fake->counts_reason, cases[i].says));
        assert_null(strstr(fake->log, "TraceQL metrics"));
        fake_free(fake);
    }
}

static void the_tenant_goes_along(void **state) {
    (void)state;
    fake_tempo *fake = busy();
    fake->options.tenant = "team-a|team-b";
    fake_source(fake);
    fake_poll(fake);
    fake_assert_whole(fake);
    assert_string_equal(fake->tenant, "team-a|team-b");
    fake_free(fake);
}

static void a_prefix_of_the_url_is_kept(void **state) {
    (void)state;
    fake_tempo *fake = busy();
    fake_source_at(fake, "/prefix/");
    fake_poll(fake);
    fake_assert_whole(fake);
    fake_assert_counts(fake, 480, 540, 13, 1);
    fake_free(fake);
}

static void a_cancelled_poll_does_not_call_back(void **state) {
    (void)state;
    fake_tempo *fake = busy();
    fake_source(fake);
    fake_rule_add(fake, (fake_rule){.path = "/api/search", .times = 1, .hang = true});
    fake->source->ops->poll(fake->source, &fake_all, fake_polled, fake);
    while (fake->ranges == 0 || fake->n_hung == 0) {
        uv_run(&fake->loop, UV_RUN_ONCE);
    }
    fake->source->ops->cancel(fake->source);
    assert_int_equal(sw_http_client_active(fake->http), 0);
    assert_false(fake->polled);
    fake_poll_after(fake, 30);
    fake_assert_whole(fake);
    fake_assert_counts(fake, 480, 570, 19, 1);
    fake_free(fake);
}

static void a_source_may_be_freed_while_it_asks(void **state) {
    (void)state;
    fake_tempo *fake = busy();
    fake_source(fake);
    fake_rule_add(fake, (fake_rule){.path = "/", .times = -1, .hang = true});
    fake->source->ops->poll(fake->source, &fake_all, fake_polled, fake);
    while (fake->n_hung == 0) {
        uv_run(&fake->loop, UV_RUN_ONCE);
    }
    fake_drop_source(fake);
    assert_int_equal(sw_http_client_active(fake->http), 0);
    fake_free(fake);
}

static void the_status_says_how_things_are(void **state) {
    (void)state;
    fake_tempo *fake = busy();
    fake_source(fake);
    fake_poll(fake);
    sw_buf out;
    sw_buf_init(&out, 10000);
    fake->source->ops->status_json(fake->source, &out);
    char why[SW_JSON_WHY];
    json_t *status = sw_json_parse(out.data, out.len, why);
    assert_non_null(status);
    assert_string_equal(sw_json_peek(status, "name"), "tempo");
    assert_string_equal(sw_json_peek(status, "capability"), "metrics");
    assert_string_equal(sw_json_peek(status, "last_error"), "");
    assert_true(json_is_true(json_object_get(status, "up")));
    assert_int_equal(json_integer_value(json_object_get(status, "horizon")), fake_s(fake, 540));
    assert_int_equal(json_integer_value(json_object_get(status, "cached_traces")), 1);
    assert_true(json_real_value(json_object_get(status, "clock_offset_s")) == 0);
    json_decref(status);
    sw_buf_release(&out);
    fake_free(fake);
}

static void each_query_is_measured(void **state) {
    (void)state;
    fake_tempo *fake = busy();
    fake_source(fake);
    fake_poll(fake);
    sw_buf out;
    sw_buf_init(&out, 1 << 20);
    sw_metrics_render(fake->metrics, &out);
    assert_non_null(strstr(out.data, "trace_alert_query_duration_ms_count 2\n"));
    assert_non_null(strstr(out.data, "trace_alert_query_duration_ms_bucket{le=\"20000\"} 2\n"));
    assert_non_null(
        strstr(out.data, "spanwatch_source_queries_total{source=\"tempo\",query=\"counts\"} 1\n"));
    assert_non_null(
        strstr(out.data, "spanwatch_source_queries_total{source=\"tempo\",query=\"traces\"} 1\n"));
    sw_buf_release(&out);
    fake_free(fake);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_failure_is_asked_again),
        cmocka_unit_test(a_failure_that_stays_is_unknown_and_asked_twice_only),
        cmocka_unit_test(a_server_that_is_away_is_noticed_once_and_once_when_it_is_back),
        cmocka_unit_test(a_server_that_cannot_be_connected_to_is_not_reachable),
        cmocka_unit_test(a_slow_answer_is_waited_for_longer_and_the_wait_is_remembered),
        cmocka_unit_test(an_answer_that_never_comes_is_unknown),
        cmocka_unit_test(what_is_not_json_is_of_the_wrong_type),
        cmocka_unit_test(broken_answers_are_never_empty_ones),
        cmocka_unit_test(a_body_over_the_cap_is_too_large),
        cmocka_unit_test(refusals_say_what_to_do),
        cmocka_unit_test(the_tenant_goes_along),
        cmocka_unit_test(a_prefix_of_the_url_is_kept),
        cmocka_unit_test(a_cancelled_poll_does_not_call_back),
        cmocka_unit_test(a_source_may_be_freed_while_it_asks),
        cmocka_unit_test(the_status_says_how_things_are),
        cmocka_unit_test(each_query_is_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
