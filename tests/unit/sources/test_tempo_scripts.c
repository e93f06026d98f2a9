#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sources/fake_tempo.h"

#define ID_A "00000000000000000000000000000abc"

struct reply {
    int times;
    json_t *json;
    char message[300], code[40];
    bool in_call; /* still within query() */
    bool came_in_call;
};

static void take(const char *json, size_t len, const char *message, const char *code, void *arg) {
    struct reply *reply = arg;
    reply->times++;
    reply->came_in_call = reply->in_call;
    json_decref(reply->json);
    reply->json = NULL;
    if (json != NULL) {
        char why[SW_JSON_WHY];
        assert_int_equal(strlen(json), len);
        reply->json = sw_json_parse(json, len, why);
        assert_non_null(reply->json);
        assert_null(message);
        assert_null(code);
    } else {
        snprintf(reply->message, sizeof reply->message, "%s", message);
        snprintf(reply->code, sizeof reply->code, "%s", code);
    }
}

static void *ask(fake_tempo *fake, const char *kind, const char *options, struct reply *reply) {
    reply->in_call = true;
    void *handle = fake->source->ops->query(fake->source, kind, options, 5000, take, reply);
    reply->in_call = false;
    return handle;
}

static void wait_for(fake_tempo *fake, const struct reply *reply) {
    while (reply->times == 0) {
        uv_run(&fake->loop, UV_RUN_ONCE);
    }
}

static void forget(struct reply *reply) {
    json_decref(reply->json);
    *reply = (struct reply){0};
}

static fake_tempo *with_failure(void) {
    fake_tempo *fake = fake_new();
    fake_traffic(fake, 500, 560, 10);
    fake_add(fake, (fake_span){.trace = ID_A,
                               .id = "00000000000000a1",
                               .service = "front \"x\"",
                               .name = "POST /pay",
                               .status = "error",
                               .message = "payment\nfailed",
                               .at_s = 520.5,
                               .duration_ms = 80.25,
                               .visible_s = 520});
    fake_add(fake, (fake_span){.trace = ID_A,
                               .id = "00000000000000a2",
                               .parent = "00000000000000a1",
                               .service = "bank",
                               .name = "charge",
                               .kind = "client",
                               .at_s = 520.51,
                               .duration_ms = 40,
                               .visible_s = 520});
    fake_source(fake);
    fake->source->ops->poll(fake->source, &fake_all, fake_polled, fake);
    while (!fake->polled) {
        uv_run(&fake->loop, UV_RUN_ONCE);
    }
    fake->searches = fake->by_id = fake->instants = fake->ranges = 0;
    return fake;
}

static void a_search_gives_traces_in_their_common_shape(void **state) {
    (void)state;
    fake_tempo *fake = with_failure();
    struct reply reply = {0};
    assert_non_null(ask(fake, "search", "{\"status\": \"error\", \"limit\": 10}", &reply));
    wait_for(fake, &reply);
    assert_string_equal(reply.code, "");
    assert_true(json_is_true(json_object_get(reply.json, "complete")));
    const json_t *traces = json_object_get(reply.json, "traces");
    assert_int_equal(json_array_size(traces), 1);
    const json_t *trace = json_array_get(traces, 0);
    assert_string_equal(sw_json_peek(trace, "id"), ID_A);
    assert_string_equal(sw_json_peek(trace, "source"), "tempo");
    assert_string_equal(sw_json_peek(trace, "service"), "front \"x\"");
    assert_string_equal(sw_json_peek(trace, "operation"), "POST /pay");
    assert_string_equal(sw_json_peek(trace, "status"), "error");
    assert_string_equal(sw_json_peek(trace, "error_message"), "payment\nfailed");
    assert_true(json_real_value(json_object_get(trace, "duration_ms")) == 80.25);
    assert_true(json_integer_value(json_object_get(trace, "start_ns")) ==
                fake_s(fake, 520) * SW_NS_PER_S + 500000000);
    const json_t *span = json_array_get(json_object_get(trace, "spans"), 0);
    assert_string_equal(sw_json_peek(span, "kind"), "server");
    assert_string_equal(sw_json_peek(span, "id"), "00000000000000a1");
    assert_true(json_is_object(json_object_get(span, "attributes")));
    forget(&reply);
    fake_free(fake);
}

static void portable_terms_become_traceql(void **state) {
    (void)state;
    fake_tempo *fake = with_failure();
    struct reply reply = {0};
    ask(fake, "search",
        "{\"service\": \"a \\\"b\\\" \\\\ \\n\", \"operation\": \"GET /\", \"status\": \"ok\", "
        "\"min_duration_ms\": 1.5,"
        " \"max_duration_ms\": 2000, \"attributes\": {\"http.method\": \"GET\"}}",
        &reply);
    wait_for(fake, &reply);
    assert_string_equal(reply.code, "");
    assert_string_equal(
        fake->last_search,
        "{ resource.service.name = \"a \\\"b\\\" \\\\ \\n\" && name = \"GET /\" && status = ok && "
        "duration * 1 >= 1500000ns && duration * 1 <= 2000ms && .http.method = \"GET\" } | "
        "select(resource.service.name, name, kind, status, statusMessage, nestedSetParent, traceDuration)");
    forget(&reply);
    ask(fake, "search", "{\"attributes\": {\"odd name}\": true, \"n\": 5, \"x\": 0.5}}", &reply);
    wait_for(fake, &reply);
    assert_non_null(strstr(fake->last_search, ".\"odd name}\" = true"));
    assert_non_null(strstr(fake->last_search, ".n = 5"));
    assert_non_null(strstr(fake->last_search, ".x = 0.5"));
    forget(&reply);
    fake_free(fake);
}

static void own_traceql_is_shown_with_names_unless_it_selects(void **state) {
    (void)state;
    fake_tempo *fake = with_failure();
    struct reply reply = {0};
    ask(fake, "search", "{\"q\": \"{ status = error }\"}", &reply);
    wait_for(fake, &reply);
    assert_non_null(strstr(fake->last_search, "{ status = error } | select(resource.service.name"));
    forget(&reply);
    ask(fake, "search", "{\"q\": \"{ status = error } | select(name)\"}", &reply);
    wait_for(fake, &reply);
    assert_string_equal(fake->last_search, "{ status = error } | select(name)");
    forget(&reply);
    fake_rule_add(fake,
                  (fake_rule){.path = "/api/search", .times = 1, .status = 400, .body = "cannot select"});
    ask(fake, "search", "{\"q\": \"{ status = error } | rate()\"}", &reply);
    wait_for(fake, &reply);
    assert_string_equal(fake->last_search, "{ status = error } | rate()");
    forget(&reply);
    fake_free(fake);
}

static void an_answer_at_its_limit_is_not_complete(void **state) {
    (void)state;
    fake_tempo *fake = with_failure();
    struct reply reply = {0};
    ask(fake, "search", "{\"status\": \"error\", \"limit\": 1}", &reply);
    wait_for(fake, &reply);
    assert_true(json_is_false(json_object_get(reply.json, "complete")));
    forget(&reply);
    fake_free(fake);
}

static void metrics_give_series_with_samples(void **state) {
    (void)state;
    fake_tempo *fake = with_failure();
    struct reply reply = {0};
    char options[300];
    snprintf(options, sizeof options,
             "{\"q\": \"{ x } | count_over_time() by (name)\", \"from\": %lld, \"to\": %lld, \"step_s\": 30}",
             (long long)fake_s(fake, 480), (long long)fake_s(fake, 540));
    ask(fake, "metrics", options, &reply);
    wait_for(fake, &reply);
    assert_string_equal(reply.code, "");
    const json_t *series = json_object_get(reply.json, "series");
    assert_int_equal(json_array_size(series), 2);
    const json_t *first = json_array_get(series, 0);
    assert_string_equal(sw_json_peek(json_object_get(first, "labels"), "name"), "GET /");
    const json_t *samples = json_object_get(first, "samples");
    assert_int_equal(json_array_size(samples), 3);
    assert_int_equal(json_number_value(json_array_get(json_array_get(samples, 0), 0)), fake_s(fake, 480));
    assert_true(json_number_value(json_array_get(json_array_get(samples, 0), 1)) == 0);
    assert_true(json_number_value(json_array_get(json_array_get(samples, 2), 1)) == 3);
    forget(&reply);
    snprintf(options, sizeof options, "{\"q\": \"{} | count_over_time()\", \"from\": %lld, \"to\": %lld}",
             (long long)fake_s(fake, 480), (long long)fake_s(fake, 540));
    ask(fake, "metrics", options, &reply);
    wait_for(fake, &reply);
    samples = json_object_get(json_array_get(json_object_get(reply.json, "series"), 0), "samples");
    assert_int_equal(json_array_size(samples), 1);
    assert_true(json_number_value(json_array_get(json_array_get(samples, 0), 1)) == 6);
    forget(&reply);
    fake_free(fake);
}

static void a_trace_comes_with_all_its_spans(void **state) {
    (void)state;
    fake_tempo *fake = with_failure();
    struct reply reply = {0};
    ask(fake, "trace", "{\"id\": \"ABC\"}", &reply);
    wait_for(fake, &reply);
    assert_string_equal(reply.code, "");
    assert_string_equal(sw_json_peek(reply.json, "id"), ID_A);
    assert_int_equal(json_array_size(json_object_get(reply.json, "spans")), 2);
    assert_string_equal(sw_json_peek(json_array_get(json_object_get(reply.json, "spans"), 1), "parent_id"),
                        "00000000000000a1");
    assert_true(json_real_value(json_object_get(reply.json, "duration_ms")) == 80.25);
    forget(&reply);
    ask(fake, "trace", "{\"id\": \"def\"}", &reply);
    wait_for(fake, &reply);
    assert_string_equal(reply.code, "not_found");
    forget(&reply);
    fake_free(fake);
}

static void equal_questions_in_one_tick_are_asked_once(void **state) {
    (void)state;
    fake_tempo *fake = with_failure();
    struct reply a = {0}, b = {0}, c = {0};
    assert_non_null(ask(fake, "search", "{\"status\": \"error\", \"limit\": 7}", &a));
    assert_non_null(ask(fake, "search", "{\"limit\": 7, \"status\": \"error\"}", &b));
    wait_for(fake, &a);
    wait_for(fake, &b);
    assert_null(ask(fake, "search", "{\"status\": \"error\", \"limit\": 7}", &c));
    assert_true(c.came_in_call);
    assert_int_equal(fake->searches, 1);
    assert_true(json_equal(a.json, b.json) && json_equal(a.json, c.json));
    forget(&a);
    forget(&b);
    forget(&c);
    fake_poll_after(fake, 30);
    unsigned before = fake->searches;
    assert_non_null(ask(fake, "search", "{\"status\": \"error\", \"limit\": 7}", &a));
    wait_for(fake, &a);
    assert_int_equal(fake->searches, before + 1);
    forget(&a);
    fake_free(fake);
}

static void a_cancelled_question_is_not_answered_and_others_are(void **state) {
    (void)state;
    fake_tempo *fake = with_failure();
    struct reply a = {0}, b = {0}, c = {0};
    void *first = ask(fake, "search", "{\"status\": \"error\"}", &a);
    ask(fake, "search", "{\"status\": \"error\"}", &b);
    void *third = ask(fake, "search", "{\"status\": \"ok\"}", &c);
    fake->source->ops->cancel_query(fake->source, first);
    fake->source->ops->cancel_query(fake->source, third);
    wait_for(fake, &b);
    assert_int_equal(a.times, 0);
    assert_int_equal(c.times, 0);
    assert_int_equal(sw_http_client_active(fake->http), 0);
    forget(&b);
    fake_free(fake);
}

static void many_questions_wait_their_turn(void **state) {
    (void)state;
    fake_tempo *fake = with_failure();
    static struct reply replies[20];
    for (int i = 0; i < 20; i++) {
        char options[60];
        snprintf(options, sizeof options, "{\"status\": \"error\", \"limit\": %d}", i + 1);
        assert_non_null(ask(fake, "search", options, &replies[i]));
        assert_true(sw_http_client_active(fake->http) <= 4);
    }
    for (int i = 0; i < 20; i++) {
        wait_for(fake, &replies[i]);
        assert_string_equal(replies[i].code, "");
        forget(&replies[i]);
    }
    assert_int_equal(fake->searches, 20);
    fake_free(fake);
}

static void failures_have_their_code(void **state) {
    (void)state;
    fake_tempo *fake = with_failure();
    struct reply reply = {0};
    fake_rule_add(fake, (fake_rule){.path = "/api/search", .times = 2, .status = 400, .body = "parse error"});
    ask(fake, "search", "{\"q\": \"{ nope\"}", &reply);
    wait_for(fake, &reply);
    assert_string_equal(reply.code, "http_400");
    assert_string_equal(reply.message, "HTTP 400: parse error");
    forget(&reply);
    fake_rule_add(fake, (fake_rule){.path = "/api/search", .times = 1, .hang = true});
    reply.in_call = true;
    fake->source->ops->query(fake->source, "search", "{\"status\": \"ok\"}", 40, take, &reply);
    wait_for(fake, &reply);
    assert_string_equal(reply.code, "timeout");
    forget(&reply);
    fake_free(fake);
}

static void misuse_is_told_before_anything_is_asked(void **state) {
    (void)state;
    static const struct {
        const char *kind, *options, *says;
    } cases[] = {
        {"search", "{\"nope\": 1}", "unknown option nope"},
        {"search", "{\"limit\": \"many\"}", "limit must be a whole number"},
        {"search", "{\"limit\": 0}", "limit must be a whole number"},
        {"search", "{\"service\": 5}", "service must be a text"},
        {"search", "{\"status\": \"bad\"}", "status must be"},
        {"search", "{\"q\": \"{}\", \"service\": \"x\"}", "q stands alone"},
        {"search", "{\"from\": 20, \"to\": 10}", "from must be before to"},
        {"search", "{\"attributes\": {\"a\": []}}", "attributes must be a table"},
        {"search", "{\"min_duration_ms\": -1}", "min_duration_ms must be a number"},
        {"search", "[]", "the options must be a table"},
        {"search", "{", "not JSON"},
        {"metrics", "{}", "q must be a text"},
        {"metrics", "{\"q\": \"{}\", \"step_s\": -3}", "step_s must be"},
        {"trace", "{}", "id must be a trace id"},
        {"trace", "{\"id\": \"xyz\"}", "id must be a trace id"},
        {"trace", "{\"id\": \"../../api/search\"}", "id must be a trace id"},
        {"profile", "{}", "no such question"},
    };
    fake_tempo *fake = with_failure();
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        struct reply reply = {0};
        assert_null(ask(fake, cases[i].kind, cases[i].options, &reply));
        assert_true(reply.came_in_call && reply.times == 1);
        assert_string_equal(reply.code, "usage");
        assert_non_null(strstr(reply.message, cases[i].says));
    }
    assert_int_equal(fake->searches + fake->by_id + fake->ranges + fake->instants, 0);
    fake_free(fake);
}

static void a_source_may_be_freed_while_scripts_wait(void **state) {
    (void)state;
    fake_tempo *fake = with_failure();
    struct reply a = {0}, b = {0};
    ask(fake, "search", "{\"status\": \"error\"}", &a);
    ask(fake, "trace", "{\"id\": \"abc\"}", &b);
    fake_drop_source(fake);
    assert_int_equal(a.times + b.times, 0);
    fake_free(fake);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_search_gives_traces_in_their_common_shape),
        cmocka_unit_test(portable_terms_become_traceql),
        cmocka_unit_test(own_traceql_is_shown_with_names_unless_it_selects),
        cmocka_unit_test(an_answer_at_its_limit_is_not_complete),
        cmocka_unit_test(metrics_give_series_with_samples),
        cmocka_unit_test(a_trace_comes_with_all_its_spans),
        cmocka_unit_test(equal_questions_in_one_tick_are_asked_once),
        cmocka_unit_test(a_cancelled_question_is_not_answered_and_others_are),
        cmocka_unit_test(many_questions_wait_their_turn),
        cmocka_unit_test(failures_have_their_code),
        cmocka_unit_test(misuse_is_told_before_anything_is_asked),
        cmocka_unit_test(a_source_may_be_freed_while_scripts_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
