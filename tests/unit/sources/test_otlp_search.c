/* Questions of scripts about the spans in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sources/otlp/otlp_source.h"

#define NOW_S INT64_C(1800000000)

struct fixture {
    uv_loop_t loop;
    int64_t now_ns;      /* both clocks */
    int64_t per_look_ns; /* they go on by this whenever somebody looks */
    sw_clock clock;
    sw_metrics *metrics;
    sw_source *source;
    unsigned answers;
    json_t *answer;
    char code[32], message[200];
};

static int64_t fixture_now(void *arg) {
    struct fixture *f = arg;
    f->now_ns += f->per_look_ns;
    return f->now_ns;
}

static int set_up(void **state) {
    struct fixture *f = xcalloc(1, sizeof *f);
    f->now_ns = NOW_S * SW_NS_PER_S;
    f->clock = (sw_clock){fixture_now, fixture_now, f};
    uv_loop_init(&f->loop);
    f->metrics = sw_metrics_new();
    sw_otlp_source_options options = {
        .step_s = 10, .lookback_s = 60, .max_bytes = 8 << 20, .max_series = 100, .max_spans = 10000};
    f->source = sw_otlp_source_new(&f->loop, &f->clock, f->metrics, &options);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    if (f->source != NULL) {
        f->source->ops->free(f->source);
    }
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    sw_metrics_free(f->metrics);
    json_decref(f->answer);
    free(f);
    return 0;
}

/* One request, in OTLP's JSON. */
static void send_request(struct fixture *f, const char *resource_spans) {
    char *json = xasprintf("{\"resourceSpans\": [%s]}", resource_spans);
    sw_buf request;
    char why[SW_OTLP_WHY] = "";
    uint64_t rejected = 0;
    sw_buf_init(&request, 1 << 20);
    assert_int_equal(sw_otlp_json_to_protobuf(json, strlen(json), &request, why), 0);
    assert_int_equal(
        sw_otlp_source_take(f->source, (sw_otlp_text){request.data, request.len}, &rejected, why),
        SW_OTLP_TAKEN);
    assert_int_equal(rejected, 0);
    sw_buf_release(&request);
    free(json);
    f->now_ns += SW_NS_PER_S;
}

/* Spans of one resource; `attributes` are those that it has beside its service's name, each with a comma
 * before it. */
static char *resource_text(const char *service, const char *attributes, const char *spans) {
    return xasprintf(
        "{\"resource\": {\"attributes\": [{\"key\": \"service.name\", \"value\": {\"stringValue\":"
        " \"%s\"}}%s]}, \"scopeSpans\": [{\"spans\": [%s]}]}",
        service, attributes, spans);
}

/* One request of one service. */
static void send_spans(struct fixture *f, const char *service, const char *spans) {
    char *text = resource_text(service, "", spans);
    send_request(f, text);
    free(text);
}

/* A span of trace `trace`; started then, in ms after NOW_S. `more` are further members. */
static char *span_text(unsigned trace, unsigned id, const char *name, int64_t start_ms, int64_t duration_ms,
                       const char *more) {
    int64_t start_ns = NOW_S * SW_NS_PER_S + start_ms * SW_NS_PER_MS;
    return xasprintf("{\"traceId\": \"%032x\", \"spanId\": \"%016x\", \"name\": \"%s\", \"kind\": 2,"
                     " \"startTimeUnixNano\": \"%lld\", \"endTimeUnixNano\": \"%lld\"%s}",
                     trace, id, name, (long long)start_ns, (long long)(start_ns + duration_ms * SW_NS_PER_MS),
                     more);
}

static void send_span(struct fixture *f, const char *service, unsigned trace, unsigned id, const char *name,
                      int64_t start_ms, int64_t duration_ms, const char *more) {
    char *text = span_text(trace, id, name, start_ms, duration_ms, more);
    send_spans(f, service, text);
    free(text);
}

#define ERROR ", \"status\": {\"code\": 2, \"message\": \"no\"}"
#define ATTRIBUTES                                                                                           \
    ", \"attributes\": [{\"key\": \"http.status\", \"value\": {\"intValue\": \"500\"}},"                     \
    " {\"key\": \"share\", \"value\": {\"doubleValue\": 0.5}}, {\"key\": \"cached\", \"value\":"             \
    " {\"boolValue\": false}}, {\"key\": \"shop's \\\"name\\\"\", \"value\": {\"stringValue\": "             \
    "\"a\\\\b\"}}]"

static void answered(const char *json, size_t len, const char *message, const char *code, void *arg) {
    struct fixture *f = arg;
    f->answers++;
    json_decref(f->answer);
    f->answer = json != NULL ? json_loadb(json, len, 0, NULL) : NULL;
    assert_int_equal(json != NULL, f->answer != NULL);
    snprintf(f->message, sizeof f->message, "%s", message != NULL ? message : "");
    snprintf(f->code, sizeof f->code, "%s", code != NULL ? code : "");
}

static void *ask(struct fixture *f, const char *kind, const char *options) {
    f->answers = 0;
    return f->source->ops->query(f->source, kind, options, 1000, answered, f);
}

/* The traces that a search gives, by their ids, as they come: "2 1+", with a plus when there may be more. */
static const char *search(struct fixture *f, const char *options) {
    static char text[4096];
    assert_non_null(ask(f, "search", options));
    assert_int_equal(f->answers, 0); /* nothing calls back from inside */
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->answers, 1);
    if (f->answer == NULL) {
        snprintf(text, sizeof text, "%s", f->code);
        return text;
    }
    size_t i = 0, len = 0;
    json_t *trace = NULL;
    text[0] = '\0';
    json_array_foreach(json_object_get(f->answer, "traces"), i, trace) {
        unsigned long id = strtoul(json_string_value(json_object_get(trace, "id")), NULL, 16);
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%lx", i > 0 ? " " : "", id);
    }
    if (!json_is_true(json_object_get(f->answer, "complete"))) {
        snprintf(text + len, sizeof text - len, "+");
    }
    return text;
}

static void a_trace_fits_when_one_of_its_spans_fits_all_terms(void **state) {
    struct fixture *f = *state;
    send_span(f, "shop", 1, 1, "GET /", 0, 100, "");
    send_span(f, "shop", 2, 1, "POST /pay", 1000, 2000, ERROR ATTRIBUTES);
    send_span(f, "stock", 2, 2, "reserve", 1000, 500, "");
    send_span(f, "stock", 3, 1, "reserve", 2000, 1500, "");
    static const struct {
        const char *options, *found;
    } cases[] = {
        {"{}", "3 2 1"}, /* heard of last first */
        {"{\"service\": \"shop\"}", "2 1"},
        {"{\"service\": \"sho\"}", ""},
        {"{\"service\": \"stock\", \"operation\": \"reserve\"}", "3 2"},
        {"{\"service\": \"shop\", \"operation\": \"reserve\"}", ""}, /* of two spans */
        {"{\"status\": \"error\"}", "2"},
        {"{\"status\": \"unset\"}", "3 2 1"},
        {"{\"status\": \"ok\"}", ""},
        {"{\"service\": \"stock\", \"status\": \"error\"}", ""},
        {"{\"min_duration_ms\": 1500}", "3 2"},
        {"{\"min_duration_ms\": 1500.5}", "2"},
        {"{\"max_duration_ms\": 500}", "2 1"},
        {"{\"min_duration_ms\": 500, \"max_duration_ms\": 500}", "2"},
        {"{\"from\": 1800000003}", "3 2"}, /* they end after it */
        {"{\"to\": 1800000001}", "1"},
        {"{\"from\": 1800000001, \"to\": 1800000002}", "2"},
        {"{\"attributes\": {\"http.status\": 500}}", "2"},
        {"{\"attributes\": {\"http.status\": \"500\"}}", "2"},
        {"{\"attributes\": {\"http.status\": 501}}", ""},
        {"{\"attributes\": {\"http.status\": 500, \"share\": 0.5, \"cached\": false}}", "2"},
        {"{\"attributes\": {\"http.status\": 500, \"cached\": true}}", ""},
        {"{\"attributes\": {\"shop's \\\"name\\\"\": \"a\\\\b\"}}", "2"},
        {"{\"attributes\": {\"absent\": \"\"}}", ""},
        {"{\"service\": \"stock\", \"attributes\": {\"http.status\": 500}}", ""},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        assert_string_equal(search(f, cases[i].options), cases[i].found);
    }
}

static void a_trace_is_told_as_it_is_and_with_the_spans_that_fit(void **state) {
    struct fixture *f = *state;
    send_span(f, "shop", 2, 1, "POST /pay", 1000, 2000, ERROR);
    send_span(f, "stock", 2, 2, "reserve", 1500, 500, ATTRIBUTES);
    assert_string_equal(search(f, "{\"service\": \"stock\"}"), "2");
    const char *id, *source, *service, *operation, *status, *name, *share;
    double duration_ms;
    json_int_t matched, start_ns;
    json_t *spans;
    assert_int_equal(json_unpack(f->answer, "{s:[{s:s, s:s, s:s, s:s, s:s, s:F, s:I, s:I, s:o}]}", "traces",
                                 "id", &id, "source", &source, "service", &service, "operation", &operation,
                                 "status", &status, "duration_ms", &duration_ms, "matched", &matched,
                                 "start_ns", &start_ns, "spans", &spans),
                     0);
    assert_string_equal(id, "00000000000000000000000000000002");
    assert_string_equal(source, "otlp");
    assert_string_equal(service, "shop"); /* of its root */
    assert_string_equal(operation, "POST /pay");
    assert_string_equal(status, "error");
    assert_true(duration_ms == 2000);
    assert_int_equal(matched, 1);
    assert_int_equal(json_array_size(spans), 1);
    assert_int_equal(json_unpack(spans, "[{s:s, s:{s:s}}]", "name", &name, "attributes", "share", &share), 0);
    assert_string_equal(name, "reserve");
    assert_string_equal(share, "0.5");
}

#define TEXT_ATTRIBUTE(key, text) "{\"key\": \"" key "\", \"value\": {\"stringValue\": \"" text "\"}}"
#define PRODUCTION                                                                                           \
    ", " TEXT_ATTRIBUTE("deployment.environment", "production") ", " TEXT_ATTRIBUTE(                         \
        "host.name", "a") ", {\"key\": \"process.pid\", \"value\": {\"intValue\": \"8\"}}"
#define STAGING ", " TEXT_ATTRIBUTE("deployment.environment", "staging")
#define OWN(key, text) ", \"attributes\": [" TEXT_ATTRIBUTE(key, text) "]"

/* Three resources in one request; the spans of traces 1 to 3, and one that has of its own what its resource
 * has too. */
static void send_of_resources(struct fixture *f) {
    char *spans[] = {
        span_text(1, 1, "GET /", 0, 100, ""),
        span_text(2, 1, "GET /", 0, 100, OWN("host.name", "b")),
        span_text(1, 2, "reserve", 0, 100, OWN("deployment.environment", "canary")),
        span_text(3, 1, "GET /", 0, 100, OWN("deployment.environment", "production")),
    };
    char *production = xasprintf("%s, %s", spans[0], spans[1]);
    char *texts[] = {resource_text("shop", PRODUCTION, production), resource_text("stock", STAGING, spans[2]),
                     resource_text("shop", "", spans[3])};
    char *all = xasprintf("%s, %s, %s", texts[0], texts[1], texts[2]);
    send_request(f, all);
    free(all);
    free(production);
    for (size_t i = 0; i < SW_ARRAY_LEN(spans); i++) {
        free(spans[i]);
    }
    for (size_t i = 0; i < SW_ARRAY_LEN(texts); i++) {
        free(texts[i]);
    }
}

static void an_attribute_is_the_spans_or_its_resources(void **state) {
    struct fixture *f = *state;
    send_of_resources(f);
    static const struct {
        const char *options, *found;
    } cases[] = {
        {"{\"attributes\": {\"deployment.environment\": \"production\"}}", "1 2 3"},
        {"{\"attributes\": {\"deployment.environment\": \"staging\"}}", "1"}, /* beside the span's own */
        {"{\"attributes\": {\"deployment.environment\": \"canary\"}}", "1"},
        {"{\"attributes\": {\"deployment.environment\": \"none\"}}", ""},
        {"{\"attributes\": {\"host.name\": \"a\"}}", "1 2"},
        {"{\"attributes\": {\"host.name\": \"b\", \"process.pid\": 8}}", "2"}, /* of both */
        {"{\"attributes\": {\"process.pid\": 9}}", ""},
        {"{\"attributes\": {\"service.name\": \"stock\"}}", "1"},
        {"{\"service\": \"stock\", \"attributes\": {\"process.pid\": 8}}", ""}, /* of two spans */
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        assert_string_equal(search(f, cases[i].options), cases[i].found);
    }
}

/* Of the first span of the first trace that was found; NULL when it has none. */
static const char *told(const struct fixture *f, const char *attribute) {
    const json_t *trace = json_array_get(json_object_get(f->answer, "traces"), 0);
    const json_t *span = json_array_get(json_object_get(trace, "spans"), 0);
    assert_non_null(span);
    return json_string_value(json_object_get(json_object_get(span, "attributes"), attribute));
}

static void what_was_asked_of_a_resource_is_told_with_its_spans(void **state) {
    struct fixture *f = *state;
    send_of_resources(f);
    assert_string_equal(
        search(f, "{\"operation\": \"GET /\", \"attributes\": {\"process.pid\": 8, \"host.name\": \"b\","
                  " \"service.name\": \"shop\"}}"),
        "2");
    assert_string_equal(told(f, "process.pid"), "8");
    assert_string_equal(told(f, "host.name"), "b"); /* its own */
    assert_null(told(f, "deployment.environment")); /* was not asked */
    assert_null(told(f, "service.name"));           /* is the span's service */
    /* What is asked by its id is told as Tempo does it. */
    assert_null(ask(f, "trace", "{\"id\": \"2\"}"));
    const json_t *span = json_array_get(json_object_get(f->answer, "spans"), 0);
    assert_int_equal(json_object_size(json_object_get(span, "attributes")), 1);
}

/* Traces that offend are more than their requests leave room for: what they come from is kept once. */
static void what_offends_keeps_its_resource_when_its_request_is_gone(void **state) {
    struct fixture *f = *state;
    enum { TRACES = 1000 };
    char *attributes = xasprintf(STAGING ", " TEXT_ATTRIBUTE("process.command_line", "%012000d"), 1);
    for (unsigned i = 1; i <= TRACES; i++) {
        char *span = span_text(i, 1, "GET /", 0, 100, "");
        char *text = resource_text(i % 2 == 0 ? "shop" : "stock", attributes, span);
        send_request(f, text);
        f->now_ns -= SW_NS_PER_S;
        free(text);
        free(span);
    }
    free(attributes);
    char *filler = xasprintf(OWN("filler", "%0500000d"), 1);
    for (unsigned i = 1; i <= 20; i++) {
        send_span(f, "other", TRACES + i, 1, "GET /", 0, 0, filler);
    }
    free(filler);
    search(f, "{\"limit\": 1000, \"service\": \"shop\", \"attributes\":"
              " {\"deployment.environment\": \"staging\"}}");
    assert_int_equal(json_array_size(json_object_get(f->answer, "traces")), TRACES / 2);
    assert_string_equal(told(f, "deployment.environment"), "staging");
}

static void what_is_over_the_limit_is_left_out_and_said(void **state) {
    struct fixture *f = *state;
    for (unsigned i = 1; i <= 5; i++) {
        send_span(f, "shop", i, 1, "GET /", 0, 100, "");
    }
    send_span(f, "shop", 2, 2, "GET /", 0, 100, ""); /* heard of again */
    assert_string_equal(search(f, "{\"limit\": 3}"), "2 5 4+");
    assert_string_equal(search(f, "{\"limit\": 5}"), "2 5 4 3 1");
    assert_string_equal(search(f, "{\"limit\": 1, \"service\": \"none\"}"), "");
}

static void of_many_spans_that_fit_some_are_told(void **state) {
    struct fixture *f = *state;
    sw_buf spans;
    sw_buf_init(&spans, 1 << 20);
    for (unsigned i = 1; i <= 250; i++) {
        char *text = span_text(1, i, "SELECT", 0, 1, "");
        sw_buf_printf(&spans, "%s%s", i > 1 ? "," : "", text);
        free(text);
    }
    send_spans(f, "shop", spans.data);
    sw_buf_release(&spans);
    assert_string_equal(search(f, "{\"operation\": \"SELECT\"}"), "1+");
    json_t *trace = json_array_get(json_object_get(f->answer, "traces"), 0);
    assert_int_equal(json_integer_value(json_object_get(trace, "matched")), 250);
    assert_int_equal(json_array_size(json_object_get(trace, "spans")), 100);
}

static void a_large_memory_is_looked_through_in_pieces(void **state) {
    struct fixture *f = *state;
    for (unsigned i = 1; i <= 400; i++) {
        send_span(f, "shop", i, 1, i % 100 == 0 ? "slow" : "GET /", 0, 100, "");
    }
    f->per_look_ns = SW_NS_PER_MS; /* five traces in a pass, then */
    f->answers = 0;
    assert_non_null(
        f->source->ops->query(f->source, "search", "{\"operation\": \"slow\"}", 10000, answered, f));
    unsigned passes = 0;
    while (f->answers == 0) {
        assert_true(passes++ < 1000);
        uv_run(&f->loop, UV_RUN_NOWAIT);
        if (passes == 10) { /* meanwhile others come, and what was there goes */
            send_span(f, "shop", 401, 1, "slow", 0, 100, "");
        }
    }
    assert_true(passes > 50);
    assert_int_equal(json_array_size(json_object_get(f->answer, "traces")), 5);
    assert_int_equal(uv_run(&f->loop, UV_RUN_NOWAIT), 0); /* at rest */
}

static void an_answer_has_an_end(void **state) {
    struct fixture *f = *state;
    char *name = xasprintf("%0*d", 5000, 0);
    for (unsigned i = 1; i <= 400; i++) {
        send_span(f, name, i, 1, name, 0, 100, "");
    }
    free(name);
    const char *found = search(f, "{\"limit\": 400}");
    size_t n = json_array_size(json_object_get(f->answer, "traces"));
    assert_true(n > 10 && n < 400 && found[strlen(found) - 1] == '+');
    char *text = json_dumps(f->answer, JSON_COMPACT);
    assert_in_range(strlen(text), (1 << 20) - 100000, (1 << 20) + 100000);
    free(text);
}

static void a_search_that_takes_too_long_ends(void **state) {
    struct fixture *f = *state;
    for (unsigned i = 1; i <= 400; i++) {
        send_span(f, "shop", i, 1, "GET /", 0, 100, "");
    }
    f->per_look_ns = SW_NS_PER_MS;
    assert_string_equal(search(f, "{\"limit\": 400}"), "timeout");
    assert_string_equal(f->message, "no answer in time");
}

static void what_is_cancelled_or_freed_never_answers(void **state) {
    struct fixture *f = *state;
    send_span(f, "shop", 1, 1, "GET /", 0, 100, "");
    void *handles[3];
    for (size_t i = 0; i < 3; i++) {
        handles[i] = ask(f, "search", "{}");
    }
    f->source->ops->cancel_query(f->source, handles[1]);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->answers, 2);
    assert_non_null(ask(f, "search", "{}"));
    f->source->ops->free(f->source);
    f->source = NULL;
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->answers, 0);
}

static void a_trace_is_told_by_its_id(void **state) {
    struct fixture *f = *state;
    send_span(f, "shop", 0xab, 1, "GET /", 0, 100, "");
    static const struct {
        const char *options, *code;
    } cases[] = {
        {"{\"id\": \"000000000000000000000000000000ab\"}", ""},
        {"{\"id\": \"AB\"}", ""},
        {"{\"id\": \"abc\"}", "not_found"},
        {"{\"id\": \"\"}", "usage"},
        {"{\"id\": \"x\"}", "usage"},
        {"{\"id\": \"0000000000000000000000000000000ab\"}", "usage"},
        {"{\"id\": 5}", "usage"},
        {"[", "usage"},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        assert_null(ask(f, "trace", cases[i].options));
        assert_int_equal(f->answers, 1);
        assert_string_equal(f->code, cases[i].code);
        assert_int_equal(f->answer != NULL, cases[i].code[0] == '\0');
    }
    assert_null(ask(f, "trace", "{\"id\": \"ab\"}"));
    assert_string_equal(json_string_value(json_object_get(f->answer, "operation")), "GET /");
    assert_int_equal(json_array_size(json_object_get(f->answer, "spans")), 1);
}

static void mistakes_are_answered_at_once(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *kind, *options, *message;
    } cases[] = {
        {"search", "{", "the options must be a table"},
        {"search", "[]", "the options must be a table"},
        {"search", "{\"status\": \"bad\"}", "status must be \"error\", \"ok\" or \"unset\""},
        {"search", "{\"from\": 10, \"to\": 10}", "from must be before to"},
        {"metrics", "{\"q\": \"{}\"}", "spans in memory cannot be asked this"},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        assert_null(ask(f, cases[i].kind, cases[i].options));
        assert_int_equal(f->answers, 1);
        assert_string_equal(f->code, "usage");
        assert_string_equal(f->message, cases[i].message);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_trace_fits_when_one_of_its_spans_fits_all_terms),
        TEST(a_trace_is_told_as_it_is_and_with_the_spans_that_fit),
        TEST(an_attribute_is_the_spans_or_its_resources),
        TEST(what_was_asked_of_a_resource_is_told_with_its_spans),
        TEST(what_offends_keeps_its_resource_when_its_request_is_gone),
        TEST(what_is_over_the_limit_is_left_out_and_said),
        TEST(of_many_spans_that_fit_some_are_told),
        TEST(a_large_memory_is_looked_through_in_pieces),
        TEST(an_answer_has_an_end),
        TEST(a_search_that_takes_too_long_ends),
        TEST(what_is_cancelled_or_freed_never_answers),
        TEST(a_trace_is_told_by_its_id),
        TEST(mistakes_are_answered_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
