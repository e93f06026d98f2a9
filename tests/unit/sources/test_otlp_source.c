#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sources/otlp/otlp_source.h"

#define NOW_S INT64_C(1800000000)

/* A source with a clock that stands where the test puts it. */
struct fixture {
    uv_loop_t loop;
    int64_t now_ns; /* both clocks */
    sw_clock clock;
    sw_metrics *metrics;
    sw_source *source;
    bool polled;
    sw_poll_result result;
    char reason[SW_OTLP_WHY];
};

static int64_t fixture_now(void *arg) {
    return ((struct fixture *)arg)->now_ns;
}

static void open_source(struct fixture *f, sw_otlp_source_options options) {
    *f = (struct fixture){.now_ns = NOW_S * SW_NS_PER_S};
    f->clock = (sw_clock){fixture_now, fixture_now, f};
    uv_loop_init(&f->loop);
    f->metrics = sw_metrics_new();
    f->source = sw_otlp_source_new(&f->loop, &f->clock, f->metrics, &options);
}

static void open_with(struct fixture *f, size_t max_bytes) {
    open_source(f, (sw_otlp_source_options){.step_s = 10,
                                            .lookback_s = 60,
                                            .settle_s = 10,
                                            .max_bytes = max_bytes,
                                            .max_series = 100,
                                            .max_spans = 1000});
}

static void close_all(struct fixture *f) {
    f->source->ops->free(f->source);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    sw_metrics_free(f->metrics);
}

static void on_polled(const sw_poll_result *result, void *arg) {
    struct fixture *f = arg;
    f->polled = true;
    f->result = *result;
    snprintf(f->reason, sizeof f->reason, "%s", result->traces_reason);
}

static size_t poll_now(struct fixture *f) {
    sw_wants wants = {.min_duration_ms = 1000, .errors = true, .series = true};
    size_t n = 0;
    f->polled = false;
    f->source->ops->poll(f->source, &wants, on_polled, f);
    assert_false(f->polled);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_true(f->polled);
    f->source->ops->traces(f->source, &n);
    return n;
}

struct span {
    uint64_t trace, id, parent;
    int64_t start_s;
    int64_t duration_ms;
    const char *error; /* NULL: none */
    const char *trace_state;
    const char *exceptions[2]; /* types of events, in their order */
    const char *own_exception; /* attribute exception.type of the span itself */
};

static void put_id(sw_buf *out, uint32_t field, uint64_t high, uint64_t low, size_t len) {
    unsigned char bytes[16];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(high >> (56 - 8 * i));
        bytes[8 + i] = (unsigned char)(low >> (56 - 8 * i));
    }
    otlp_put_bytes(out, field, bytes + 16 - len, len);
}

static void put_attribute(sw_buf *out, uint32_t field, const char *key, const char *text) {
    sw_buf value, attribute;
    sw_buf_init(&value, 1000);
    sw_buf_init(&attribute, 1000);
    otlp_put_bytes(&value, 1, text, strlen(text));
    otlp_put_bytes(&attribute, 1, key, strlen(key));
    otlp_put_bytes(&attribute, 2, value.data, value.len);
    otlp_put_bytes(out, field, attribute.data, attribute.len);
    sw_buf_release(&value);
    sw_buf_release(&attribute);
}

static void put_exception(sw_buf *out, const char *type) {
    sw_buf event;
    sw_buf_init(&event, 10000);
    otlp_put_fixed64(&event, 1, 1);
    otlp_put_bytes(&event, 2, "exception", 9);
    put_attribute(&event, 3, "exception.type", type);
    put_attribute(&event, 3, "exception.message", "no more");
    put_attribute(&event, 3, "thread.id", "7");
    otlp_put_bytes(out, 11, event.data, event.len);
    sw_buf_release(&event);
}

/* The fields of opentelemetry/proto/trace/v1/trace.proto. */
static sw_otlp_taken deliver(struct fixture *f, const struct span *spans, size_t n, uint64_t *rejected) {
    sw_buf bufs[7];
    for (size_t i = 0; i < SW_ARRAY_LEN(bufs); i++) {
        sw_buf_init(&bufs[i], 1 << 20);
    }
    sw_buf *request = &bufs[0], *resource_spans = &bufs[1], *scope_spans = &bufs[2], *span = &bufs[3],
           *attribute = &bufs[4], *value = &bufs[5], *status = &bufs[6];
    otlp_put_bytes(value, 1, "shop", 4);
    otlp_put_bytes(attribute, 1, "service.name", 12);
    otlp_put_bytes(attribute, 2, value->data, value->len);
    sw_buf_reset(value);
    otlp_put_bytes(value, 1, attribute->data, attribute->len);
    otlp_put_bytes(resource_spans, 1, value->data, value->len);
    for (size_t i = 0; i < n; i++) {
        const struct span *s = &spans[i];
        sw_buf_reset(span);
        sw_buf_reset(status);
        put_id(span, 1, 0, s->trace, 16);
        put_id(span, 2, 0, s->id, 8);
        if (s->trace_state != NULL) {
            otlp_put_bytes(span, 3, s->trace_state, strlen(s->trace_state));
        }
        if (s->parent != 0) {
            put_id(span, 4, 0, s->parent, 8);
        }
        otlp_put_bytes(span, 5, "GET /", 5);
        otlp_put_varint(span, 6, s->parent == 0 ? 2 : 1);
        otlp_put_fixed64(span, 7, (uint64_t)s->start_s * SW_NS_PER_S);
        otlp_put_fixed64(span, 8, (uint64_t)(s->start_s * SW_NS_PER_S + s->duration_ms * SW_NS_PER_MS));
        if (s->own_exception != NULL) {
            put_attribute(span, 9, "exception.type", s->own_exception);
        }
        for (size_t k = 0; k < SW_ARRAY_LEN(s->exceptions) && s->exceptions[k] != NULL; k++) {
            put_exception(span, s->exceptions[k]);
        }
        if (s->error != NULL) {
            otlp_put_bytes(status, 2, s->error, strlen(s->error));
            otlp_put_varint(status, 3, 2);
            otlp_put_bytes(span, 15, status->data, status->len);
        }
        otlp_put_bytes(scope_spans, 2, span->data, span->len);
    }
    otlp_put_bytes(resource_spans, 2, scope_spans->data, scope_spans->len);
    otlp_put_bytes(request, 1, resource_spans->data, resource_spans->len);
    char why[SW_OTLP_WHY];
    sw_otlp_taken taken =
        sw_otlp_source_take(f->source, (sw_otlp_text){request->data, request->len}, rejected, why);
    for (size_t i = 0; i < SW_ARRAY_LEN(bufs); i++) {
        sw_buf_release(&bufs[i]);
    }
    return taken;
}

static void deliver_one(struct fixture *f, struct span span) {
    uint64_t rejected = 0;
    assert_int_equal(deliver(f, &span, 1, &rejected), SW_OTLP_TAKEN);
    assert_int_equal(rejected, 0);
}

static double counted(const struct fixture *f, int64_t from_s, int64_t to_s, bool *complete) {
    sw_window window;
    sw_window_init(&window);
    f->source->ops->build_window(f->source, from_s, to_s, &window);
    double sum = 0;
    for (size_t i = 0; i < window.n_series; i++) {
        sum += window.series[i].count;
    }
    if (complete != NULL) {
        *complete = window.complete;
    }
    sw_window_release(&window);
    return sum;
}

static double spans_metric(const struct fixture *f, const char *result) {
    char line[100];
    snprintf(line, sizeof line, "spanwatch_otlp_spans_total{result=\"%s\"} ", result);
    sw_buf out;
    sw_buf_init(&out, 1 << 20);
    sw_metrics_render(f->metrics, &out);
    sw_buf_append_char(&out, 0);
    const char *at = strstr(out.data, line);
    double value = at != NULL ? strtod(at + strlen(line), NULL) : -1;
    sw_buf_release(&out);
    return value;
}

static double counter(const struct fixture *f, const char *name) {
    sw_buf out;
    sw_buf_init(&out, 1 << 20);
    sw_metrics_render(f->metrics, &out);
    sw_buf_append_char(&out, 0);
    char line[100];
    snprintf(line, sizeof line, "\n%s", name);
    const char *at = strstr(out.data, line);
    double value = at != NULL ? strtod(at + strlen(line), NULL) : -1;
    sw_buf_release(&out);
    return value;
}

static void advance(struct fixture *f, int64_t seconds) {
    f->now_ns += seconds * SW_NS_PER_S;
}

static void a_span_that_comes_twice_is_counted_once(void **state) {
    (void)state;
    struct fixture f;
    open_with(&f, 1 << 20);
    struct span span = {.trace = 1, .id = 1, .start_s = NOW_S, .duration_ms = 5};
    deliver_one(&f, span);
    deliver_one(&f, span);
    span.id = 2;
    span.parent = 1; /* no entry */
    deliver_one(&f, span);
    assert_true(counted(&f, NOW_S, NOW_S + 10, NULL) == 1);
    close_all(&f);
}

static void a_trace_is_offered_when_it_is_quiet_and_again_when_a_late_span_changes_it(void **state) {
    (void)state;
    struct fixture f;
    open_with(&f, 1 << 20);
    deliver_one(
        &f, (struct span){
                .trace = 7, .id = 2, .parent = 1, .start_s = NOW_S, .duration_ms = 1500, .error = "deep"});
    assert_int_equal(poll_now(&f), 0);
    advance(&f, 5);
    assert_int_equal(poll_now(&f), 1);
    size_t n = 0;
    const sw_trace *trace = f.source->ops->traces(f.source, &n)[0];
    assert_string_equal(trace->id, "00000000000000000000000000000007");
    assert_false(trace->root_known);
    assert_string_equal(trace->error_message, "deep");
    assert_true(trace->duration_ms == 1500);
    uint64_t digest = trace->digest;

    deliver_one(
        &f, (struct span){.trace = 7, .id = 1, .start_s = NOW_S - 1, .duration_ms = 3000, .error = "root"});
    assert_true(f.source->ops->traces(f.source, &n)[0]->digest == digest); /* lent until the next poll */
    assert_int_equal(poll_now(&f), 0);
    advance(&f, 5);
    assert_int_equal(poll_now(&f), 1);
    trace = f.source->ops->traces(f.source, &n)[0];
    assert_true(trace->digest != digest && trace->root_known);
    assert_string_equal(trace->error_message, "root");
    assert_int_equal(trace->n_spans, 2);
    assert_true(trace->duration_ms == 3000);
    close_all(&f);
}

static void a_trace_that_never_is_quiet_is_offered_after_a_minute(void **state) {
    (void)state;
    struct fixture f;
    open_with(&f, 1 << 20);
    for (uint64_t i = 0; i < 30; i++) {
        assert_int_equal(poll_now(&f), 0);
        deliver_one(&f, (struct span){.trace = 7, .id = i + 1, .start_s = NOW_S, .duration_ms = 2000});
        advance(&f, 2);
    }
    assert_int_equal(poll_now(&f), 1);
    close_all(&f);
}

static void spans_of_a_large_trace_are_told_apart_too(void **state) {
    (void)state;
    struct fixture f;
    open_with(&f, 8 << 20);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 1; i <= 1000; i++) {
            deliver_one(
                &f, (struct span){.trace = 7, .id = i, .parent = i - 1, .start_s = NOW_S, .error = "deep"});
            deliver_one(&f, (struct span){.trace = 8, .id = i, .start_s = NOW_S});
        }
    }
    assert_true(spans_metric(&f, "accepted") == 2000 && spans_metric(&f, "duplicate") == 2000);
    assert_true(counted(&f, NOW_S, NOW_S + 10, NULL) == 1001);
    advance(&f, 5);
    assert_int_equal(poll_now(&f), 1);
    size_t n = 0;
    const sw_trace *trace = f.source->ops->traces(f.source, &n)[0];
    assert_int_equal(trace->n_matched, 1000);
    assert_int_equal(trace->n_spans, 200);
    close_all(&f);
}

static void traces_that_do_not_offend_are_not_offered(void **state) {
    (void)state;
    struct fixture f;
    open_with(&f, 1 << 20);
    deliver_one(&f, (struct span){.trace = 1, .id = 1, .start_s = NOW_S, .duration_ms = 1000});
    deliver_one(&f, (struct span){.trace = 2, .id = 1, .start_s = NOW_S, .duration_ms = -500});
    advance(&f, 10);
    assert_int_equal(poll_now(&f), 0);
    close_all(&f);
}

static void windows_end_where_senders_had_time_to_send(void **state) {
    (void)state;
    struct fixture f;
    open_with(&f, 1 << 20);
    advance(&f, 35);
    poll_now(&f);
    assert_int_equal(f.result.horizon_s, NOW_S + 20);
    assert_int_equal(f.source->ops->counts_known_until(f.source, NOW_S), NOW_S + 20);
    unsigned revision = f.source->ops->revision(f.source, NOW_S, NOW_S + 20);
    deliver_one(&f, (struct span){.trace = 1, .id = 1, .start_s = NOW_S + 3, .duration_ms = 1});
    assert_true(f.source->ops->revision(f.source, NOW_S, NOW_S + 20) != revision);
    advance(&f, -3600); /* a clock that is set back judges nothing twice */
    poll_now(&f);
    assert_int_equal(f.result.horizon_s, NOW_S + 20);
    close_all(&f);
}

/* As beside another source: nothing is judged of the time before the first span. */
static const sw_otlp_source_options from_first_span = {.step_s = 10,
                                                       .lookback_s = 60,
                                                       .settle_s = 10,
                                                       .max_bytes = 1 << 20,
                                                       .max_series = 100,
                                                       .max_spans = 1000,
                                                       .from_first_span = true};

static void beside_another_source_nothing_is_judged_before_the_first_span(void **state) {
    (void)state;
    struct fixture f;
    open_source(&f, from_first_span);
    int64_t origin_s = 7, watermark_s = 7;
    advance(&f, 100);
    poll_now(&f);
    assert_int_equal(f.result.horizon_s, 0);
    f.source->ops->save(f.source, &origin_s, &watermark_s);
    assert_int_equal(origin_s, 0); /* nothing to remember */
    /* It has listened all the time: what comes now and is of before is judged, as far as windows reach. */
    deliver_one(&f, (struct span){.trace = 1, .id = 1, .start_s = NOW_S + 85, .duration_ms = 1});
    poll_now(&f);
    assert_int_equal(f.result.horizon_s, NOW_S + 90);
    f.source->ops->save(f.source, &origin_s, &watermark_s);
    assert_int_equal(origin_s, NOW_S + 40);
    assert_true(counted(&f, NOW_S + 40, NOW_S + 90, NULL) == 1);
    close_all(&f);
}

/* Between the first span and the next tick too: each step takes memory. */
static void what_is_far_older_than_the_first_span_is_late_at_once(void **state) {
    (void)state;
    struct fixture f;
    open_source(&f, from_first_span);
    advance(&f, 100);
    poll_now(&f);
    for (uint64_t i = 0; i < 50; i++) {
        deliver_one(
            &f, (struct span){.trace = 1, .id = i + 1, .start_s = (int64_t)i * 1000000, .duration_ms = 1});
    }
    assert_true(counted(&f, 0, NOW_S, NULL) == 0);
    assert_true(spans_metric(&f, "late") == 50);
    close_all(&f);
}

static void after_a_restart_it_is_judged_from_the_start_when_spans_had_come_before(void **state) {
    (void)state;
    struct fixture f;
    open_source(&f, from_first_span);
    f.source->ops->restore(f.source, NOW_S - 1000, NOW_S - 100);
    advance(&f, 30);
    poll_now(&f);
    assert_int_equal(f.result.horizon_s, NOW_S + 20);
    close_all(&f);
}

static void spans_of_the_far_future_and_of_what_is_forgotten_are_kept_but_not_counted(void **state) {
    (void)state;
    struct fixture f;
    open_with(&f, 1 << 20);
    f.source->ops->forget(f.source, NOW_S);
    deliver_one(&f, (struct span){.trace = 1, .id = 1, .start_s = NOW_S + 86400, .duration_ms = 1});
    deliver_one(&f, (struct span){.trace = 1, .id = 2, .start_s = 0, .duration_ms = 2000});
    assert_true(counted(&f, 0, NOW_S + 100000, NULL) == 0);
    assert_true(spans_metric(&f, "future") == 1 && spans_metric(&f, "late") == 1);
    advance(&f, 10);
    assert_int_equal(poll_now(&f), 1);
    assert_true(f.result.spans.received == 2 && f.result.spans.future == 1 && f.result.spans.late == 1);
    poll_now(&f);
    assert_true(f.result.spans.received == 0 && f.result.spans.future == 0 && f.result.spans.late == 0);
    close_all(&f);
}

static void a_span_stands_for_those_that_were_not_sampled(void **state) {
    (void)state;
    struct fixture f;
    open_with(&f, 1 << 20);
    deliver_one(
        &f, (struct span){.trace = 1, .id = 1, .start_s = NOW_S, .duration_ms = 1, .trace_state = "ot=th:c"});
    assert_true(counted(&f, NOW_S, NOW_S + 10, NULL) == 4); /* a probability of 1/4 */
    close_all(&f);
}

static void spans_without_ids_are_rejected_and_the_others_taken(void **state) {
    (void)state;
    struct fixture f;
    open_with(&f, 1 << 20);
    const struct span spans[] = {
        {.id = 1, .start_s = NOW_S}, {.trace = 1, .start_s = NOW_S}, {.trace = 1, .id = 1, .start_s = NOW_S}};
    uint64_t rejected = 0;
    assert_int_equal(deliver(&f, spans, 3, &rejected), SW_OTLP_TAKEN);
    assert_int_equal(rejected, 2);
    assert_true(counted(&f, NOW_S, NOW_S + 10, NULL) == 1);
    close_all(&f);
}

static void after_a_restart_windows_that_began_before_are_not_complete(void **state) {
    (void)state;
    struct fixture f;
    open_with(&f, 1 << 20);
    f.source->ops->restore(f.source, NOW_S - 1000, NOW_S - 30);
    bool complete = true;
    counted(&f, NOW_S - 50, NOW_S + 10, &complete);
    assert_false(complete);
    counted(&f, NOW_S + 10, NOW_S + 70, &complete);
    assert_true(complete);
    close_all(&f);
}

static size_t listed_once_each(const struct fixture *f, uint64_t n_traces) {
    size_t n = 0;
    const sw_trace *const *list = f->source->ops->traces(f->source, &n);
    bool *seen = calloc(n_traces + 1, sizeof *seen);
    for (size_t i = 0; i < n; i++) {
        uint64_t number = strtoull(list[i]->id, NULL, 16);
        assert_in_range(number, 1, n_traces);
        assert_false(seen[number]);
        seen[number] = true;
    }
    free(seen);
    return n;
}

/* A pass of the loop must not take long: spans come in between. */
static void many_traces_are_listed_in_pieces(void **state) {
    (void)state;
    struct fixture f;
    const uint64_t n_traces = 6000;
    const sw_wants wants = {.min_duration_ms = 1000, .errors = true, .series = true};
    open_with(&f, 64 << 20);
    for (uint64_t i = 1; i <= n_traces; i++) {
        deliver_one(&f, (struct span){.trace = i, .id = 1, .start_s = NOW_S, .duration_ms = 2000});
    }
    advance(&f, 5);
    f.polled = false;
    f.source->ops->poll(f.source, &wants, on_polled, &f);
    for (unsigned passes = 0; passes < 3; passes++) {
        uv_run(&f.loop, UV_RUN_ONCE);
        assert_false(f.polled);
        for (uint64_t i = 1; i <= 100; i++) { /* of those that were looked at, and of those that were not */
            deliver_one(&f, (struct span){.trace = i * 30, .id = 2 + passes, .parent = 1, .start_s = NOW_S});
        }
        deliver_one(&f, (struct span){.trace = n_traces, .id = 100 + passes, .parent = 1, .start_s = NOW_S});
    }
    uv_run(&f.loop, UV_RUN_DEFAULT);
    assert_true(f.polled && f.result.traces_ok);
    size_t first = listed_once_each(&f, n_traces);
    assert_true(first >= n_traces - 100 && first < n_traces);
    advance(&f, 5);
    assert_int_equal(poll_now(&f), n_traces);
    assert_int_equal(listed_once_each(&f, n_traces), n_traces);
    close_all(&f);
}

static const char *attribute(const sw_span *span, const char *key) {
    const char *value = NULL;
    for (size_t i = 0; i < span->n_attributes; i++) {
        if (strcmp(span->attributes[i].key, key) == 0) {
            assert_null(value); /* once */
            value = span->attributes[i].value;
        }
    }
    return value;
}

static void the_last_exception_of_a_span_gives_it_attributes(void **state) {
    (void)state;
    struct fixture f;
    open_with(&f, 1 << 20);
    deliver_one(&f, (struct span){
                        .trace = 1, .id = 1, .start_s = NOW_S, .error = "", .exceptions = {"First", "Last"}});
    deliver_one(&f, (struct span){.trace = 1,
                                  .id = 2,
                                  .parent = 1,
                                  .start_s = NOW_S,
                                  .exceptions = {"Event"},
                                  .own_exception = "Own"});
    advance(&f, 5);
    assert_int_equal(poll_now(&f), 1);
    size_t n = 0;
    const sw_trace *trace = f.source->ops->traces(f.source, &n)[0];
    assert_string_equal(attribute(&trace->spans[0], "exception.type"), "Last");
    assert_string_equal(attribute(&trace->spans[0], "exception.message"), "no more");
    assert_null(attribute(&trace->spans[0], "thread.id"));
    assert_string_equal(attribute(&trace->spans[1], "exception.type"), "Own");
    assert_string_equal(attribute(&trace->spans[1], "exception.message"), "no more");
    close_all(&f);
}

struct fetched {
    size_t n_spans;
    char message[100];
};

static void on_fetched(const sw_trace *trace, const char *message, void *arg) {
    struct fetched *fetched = arg;
    fetched->n_spans = trace != NULL ? trace->n_spans : 0;
    snprintf(fetched->message, sizeof fetched->message, "%s", message);
}

static void a_trace_is_fetched_with_more_spans_than_are_listed(void **state) {
    (void)state;
    struct fixture f;
    struct fetched fetched;
    const struct {
        const char *id;
        size_t n_spans;
    } cases[] = {{"00000000000000000000000000000007", 1000},
                 {"00000000000000000000000000000008", 0},
                 {"7", 0},
                 {"0000000000000000000000000000000x", 0}};
    open_with(&f, 8 << 20);
    for (uint64_t i = 1; i <= 1000; i++) {
        deliver_one(
            &f, (struct span){.trace = 7, .id = i, .parent = i - 1, .start_s = NOW_S, .duration_ms = 2000});
    }
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        assert_null(f.source->ops->fetch_trace(f.source, cases[i].id, 100, on_fetched, &fetched));
        assert_int_equal(fetched.n_spans, cases[i].n_spans);
        assert_int_equal(fetched.message[0] == '\0', cases[i].n_spans > 0);
    }
    close_all(&f);
}

/* Memory: what offends nobody goes first, before it is quiet when it must; what offends and was not judged
 * stays, and more is refused. */
static void without_room_nothing_is_lost_that_was_not_judged(void **state) {
    (void)state;
    struct fixture f;
    open_with(&f, 1 << 20);
    uint64_t rejected = 0, sent = 0;
    struct span span = {.start_s = NOW_S, .duration_ms = 1, .id = 1};
    poll_now(&f);
    for (uint64_t i = 1; i < 20000; i++) {
        span.trace = i;
        assert_int_equal(deliver(&f, &span, 1, &rejected), SW_OTLP_TAKEN);
    }
    poll_now(&f);
    assert_true(f.result.spans.received == 19999 && f.result.spans.dropped > 1000);
    assert_true(counter(&f, "spanwatch_otlp_dropped_total ") == (double)f.result.spans.dropped);
    span.duration_ms = 2000;
    for (sent = 0; sent < 10000; sent++) {
        span.trace = 100000 + sent;
        if (deliver(&f, &span, 1, &rejected) == SW_OTLP_BUSY) {
            break;
        }
    }
    assert_true(sent > 1000 && sent < 10000);
    advance(&f, 5);
    assert_int_equal(deliver(&f, &span, 1, &rejected), SW_OTLP_BUSY); /* not judged yet */
    size_t shown = poll_now(&f);
    assert_false(f.result.traces_ok);
    assert_string_equal(f.reason, "2 requests were refused for want of room");
    /* They are judged, some in each tick, before they would be forgotten; and then there is room again. */
    bool *seen = calloc(sent, sizeof *seen);
    size_t n_seen = 0;
    for (int ticks = 0; ticks < 9 && shown > 0; ticks++) {
        const sw_trace *const *list = f.source->ops->traces(f.source, &shown);
        for (size_t i = 0; i < shown; i++) {
            uint64_t number = strtoull(list[i]->id, NULL, 16) - 100000;
            n_seen += !seen[number];
            seen[number] = true;
        }
        advance(&f, 30);
        f.source->ops->forget(f.source, f.now_ns / SW_NS_PER_S - 60);
        shown = poll_now(&f);
    }
    free(seen);
    assert_int_equal(n_seen, sent);
    assert_true(f.result.traces_ok);
    assert_int_equal(deliver(&f, &span, 1, &rejected), SW_OTLP_TAKEN);
    assert_true(counter(&f, "spanwatch_otlp_memory_bytes ") <= (1 << 20) * 1.25);
    close_all(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_that_comes_twice_is_counted_once),
        cmocka_unit_test(a_trace_is_offered_when_it_is_quiet_and_again_when_a_late_span_changes_it),
        cmocka_unit_test(a_trace_that_never_is_quiet_is_offered_after_a_minute),
        cmocka_unit_test(spans_of_a_large_trace_are_told_apart_too),
        cmocka_unit_test(traces_that_do_not_offend_are_not_offered),
        cmocka_unit_test(windows_end_where_senders_had_time_to_send),
        cmocka_unit_test(beside_another_source_nothing_is_judged_before_the_first_span),
        cmocka_unit_test(what_is_far_older_than_the_first_span_is_late_at_once),
        cmocka_unit_test(after_a_restart_it_is_judged_from_the_start_when_spans_had_come_before),
        cmocka_unit_test(spans_of_the_far_future_and_of_what_is_forgotten_are_kept_but_not_counted),
        cmocka_unit_test(a_span_stands_for_those_that_were_not_sampled),
        cmocka_unit_test(spans_without_ids_are_rejected_and_the_others_taken),
        cmocka_unit_test(after_a_restart_windows_that_began_before_are_not_complete),
        cmocka_unit_test(without_room_nothing_is_lost_that_was_not_judged),
        cmocka_unit_test(many_traces_are_listed_in_pieces),
        cmocka_unit_test(the_last_exception_of_a_span_gives_it_attributes),
        cmocka_unit_test(a_trace_is_fetched_with_more_spans_than_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
