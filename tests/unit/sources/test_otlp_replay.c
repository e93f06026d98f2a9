/*
 * Made-up traffic of some hours (a day with `make replay`), sent to the source with a clock that is moved on:
 * what detectors are given in the end is the truth, however the spans come: at once or in a hurry, twice, in
 * any order, late, and from machines whose clocks differ. SPANWATCH_REPLAY_SPANS is how many spans, about.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sources/otlp/otlp_source.h"

#define T0 INT64_C(1800000000)
#define SPANS_PER_S 12 /* a million in a day */
#define STEP 10
#define TICK_S 30
#define SERVICES 8
#define OPERATIONS 5
#define SLOW_MS 1000
#define BATCH 200
#define FINAL_S 300    /* after a step its counts must be right */
#define REMEMBER_S 400 /* and before this they are not forgotten */
#define SHORT_FORM 40000

struct span {
    uint32_t trace;
    uint64_t id, parent;
    int64_t start_ns, end_ns;
    int64_t sent_s;
    uint8_t service, operation, kind;
    bool error;
};

struct counts {
    uint32_t n, errors;
};

struct trace {
    int64_t longest_ns;
    uint32_t n_spans;
    uint8_t service, operation; /* of the root */
    bool error;
    /* As it was listed last. */
    double seen_ms;
    uint64_t seen_spans;
    bool seen, seen_error, seen_root;
};

/* How the spans come. */
struct way {
    const char *name;
    int64_t delay_s;  /* after its end a span is sent within this time */
    int64_t hold_s;   /* and together with all others of so many seconds */
    int64_t skew_s;   /* clocks differ by this much at most, to either side */
    unsigned twice;   /* one request in so many comes again; 0: none does */
    bool in_disorder; /* of spans in requests, and of requests */
};

struct replay {
    uint64_t random;
    int64_t seconds;
    struct span *spans;
    size_t n_spans, n_twice;
    struct trace *traces;
    uint32_t n_traces;
    struct counts *truth; /* by step, service, operation */
    size_t n_steps;

    uv_loop_t loop;
    int64_t now_s;
    sw_clock clock;
    sw_metrics *metrics;
    sw_source *source;
};

static uint64_t next(struct replay *r) {
    uint64_t z = r->random += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static uint64_t below(struct replay *r, uint64_t n) {
    return next(r) % n;
}

static int64_t replay_now(void *arg) {
    return ((struct replay *)arg)->now_s * SW_NS_PER_S;
}

/* ---- the traffic ---- */

static int64_t skew_of(const struct way *way, uint8_t service) {
    return way->skew_s == 0 ? 0 : ((int64_t)service * 2 - SERVICES) * way->skew_s / SERVICES * SW_NS_PER_S;
}

static void count_span(struct replay *r, const struct span *span) {
    struct trace *trace = &r->traces[span->trace];
    int64_t duration = span->end_ns - span->start_ns;
    trace->longest_ns = duration > trace->longest_ns ? duration : trace->longest_ns;
    trace->error |= span->error;
    trace->n_spans++;
    if (span->parent == 0) {
        trace->service = span->service;
        trace->operation = span->operation;
    }
    if (span->kind == 2) {
        size_t step = (size_t)((span->start_ns / SW_NS_PER_S - T0) / STEP);
        assert_true(step < r->n_steps);
        struct counts *counts = &r->truth[(step * SERVICES + span->service) * OPERATIONS + span->operation];
        counts->n++;
        counts->errors += span->error;
    }
}

static void add_span(struct replay *r, const struct way *way, struct span span, int64_t took_ns) {
    int64_t skew = skew_of(way, span.service);
    int64_t end_s = (span.start_ns + took_ns) / SW_NS_PER_S + 1;
    span.sent_s = end_s + (int64_t)below(r, (uint64_t)way->delay_s + 1);
    span.sent_s = (span.sent_s + way->hold_s - 1) / way->hold_s * way->hold_s;
    span.start_ns += skew;
    span.end_ns = span.start_ns + took_ns;
    r->spans[r->n_spans++] = span;
    count_span(r, &span);
}

/* A request through some services: an entry in each, and the call that leads to the next. */
static void add_trace(struct replay *r, const struct way *way, int64_t at_ns) {
    uint32_t trace = r->n_traces++;
    uint64_t depth = 1 + below(r, 5), parent = 0, id = 1;
    bool slow = below(r, 200) == 0, fails = below(r, 100) == 0;
    int64_t took = (int64_t)(1 + below(r, 100)) * SW_NS_PER_MS + (slow ? 2 * SLOW_MS * SW_NS_PER_MS : 0);
    uint8_t service = (uint8_t)below(r, SERVICES);
    for (uint64_t i = 0; i < depth; i++) {
        struct span entry = {.trace = trace,
                             .id = id,
                             .parent = parent,
                             .start_ns = at_ns,
                             .service = service,
                             .operation = (uint8_t)below(r, OPERATIONS),
                             .kind = 2,
                             .error = fails};
        add_span(r, way, entry, took);
        struct span call = entry;
        call.id = id + 1;
        call.parent = id;
        call.kind = 3;
        call.start_ns = at_ns += took / 20;
        add_span(r, way, call, took -= took / 10);
        parent = id + 1;
        id += 2;
        service = (uint8_t)below(r, SERVICES);
        fails = fails && below(r, 2) == 0;
    }
}

static int by_sending(const void *a, const void *b) {
    const struct span *x = a, *y = b;
    int order = (x->sent_s > y->sent_s) - (x->sent_s < y->sent_s);
    order = order != 0 ? order : (x->service > y->service) - (x->service < y->service);
    order = order != 0 ? order : (x->trace > y->trace) - (x->trace < y->trace);
    return order != 0 ? order : (x->id > y->id) - (x->id < y->id);
}

static void make_traffic(struct replay *r, const struct way *way, size_t n) {
    r->seconds = (int64_t)n / SPANS_PER_S;
    r->n_steps = (size_t)r->seconds / STEP + 20;
    r->spans = xcalloc(n + 100, sizeof *r->spans);
    r->traces = xcalloc(n, sizeof *r->traces);
    r->truth = xcalloc(r->n_steps * SERVICES * OPERATIONS, sizeof *r->truth);
    int64_t every_ns = r->seconds * SW_NS_PER_S / (int64_t)(n / 6);
    for (int64_t at = (T0 + 60) * SW_NS_PER_S; r->n_spans < n && at < (T0 + r->seconds) * SW_NS_PER_S;) {
        add_trace(r, way, at);
        at += (int64_t)below(r, (uint64_t)(2 * every_ns));
    }
    qsort(r->spans, r->n_spans, sizeof *r->spans, by_sending);
}

/* ---- sending ---- */

static void put_id(sw_buf *out, uint32_t field, uint64_t id, size_t len) {
    unsigned char bytes[16] = {0};
    for (size_t i = 0; i < 8; i++) {
        bytes[len - 1 - i] = (unsigned char)(id >> (8 * i));
    }
    otlp_put_bytes(out, field, bytes, len);
}

static void put_span(sw_buf *out, sw_buf *scratch, const struct span *span) {
    char name[30];
    sw_buf_reset(scratch);
    put_id(scratch, 1, span->trace + 1, 16);
    put_id(scratch, 2, span->id, 8);
    if (span->parent != 0) {
        put_id(scratch, 4, span->parent, 8);
    }
    int len = snprintf(name, sizeof name, "operation-%d", span->operation);
    otlp_put_bytes(scratch, 5, name, (size_t)len);
    otlp_put_varint(scratch, 6, span->kind);
    otlp_put_fixed64(scratch, 7, (uint64_t)span->start_ns);
    otlp_put_fixed64(scratch, 8, (uint64_t)span->end_ns);
    if (span->error) {
        otlp_put_bytes(scratch, 15, "\x18\x02", 2);
    }
    otlp_put_bytes(out, 2, scratch->data, scratch->len);
}

static void put_service(sw_buf *out, sw_buf *scratch, uint8_t service) {
    char name[30];
    int len = snprintf(name, sizeof name, "service-%d", service);
    sw_buf value;
    sw_buf_init(&value, 1000);
    otlp_put_bytes(&value, 1, name, (size_t)len);
    sw_buf_reset(scratch);
    otlp_put_bytes(scratch, 1, "service.name", 12);
    otlp_put_bytes(scratch, 2, value.data, value.len);
    sw_buf_reset(&value);
    otlp_put_bytes(&value, 1, scratch->data, scratch->len);
    otlp_put_bytes(out, 1, value.data, value.len);
    sw_buf_release(&value);
}

static void send_request(struct replay *r, const struct span *spans, size_t n) {
    sw_buf scratch, scope, resource, request;
    sw_buf *all[] = {&scratch, &scope, &resource, &request};
    for (size_t i = 0; i < SW_ARRAY_LEN(all); i++) {
        sw_buf_init(all[i], 1 << 20);
    }
    for (size_t i = 0; i < n; i++) {
        put_span(&scope, &scratch, &spans[i]);
    }
    put_service(&resource, &scratch, spans[0].service);
    otlp_put_bytes(&resource, 2, scope.data, scope.len);
    otlp_put_bytes(&request, 1, resource.data, resource.len);
    uint64_t rejected = 0;
    char why[SW_OTLP_WHY];
    sw_otlp_text body = {request.data, request.len};
    assert_int_equal(sw_otlp_source_take(r->source, body, &rejected, why), SW_OTLP_TAKEN);
    assert_int_equal(rejected, 0);
    for (size_t i = 0; i < SW_ARRAY_LEN(all); i++) {
        sw_buf_release(all[i]);
    }
}

static void shuffle(struct replay *r, struct span *spans, size_t n) {
    for (size_t i = n; i > 1; i--) {
        size_t other = below(r, i);
        struct span kept = spans[i - 1];
        spans[i - 1] = spans[other];
        spans[other] = kept;
    }
}

/* All that is sent in this second: a request has spans of one service. */
static size_t send_second(struct replay *r, const struct way *way, size_t from) {
    size_t to = from;
    while (to < r->n_spans && r->spans[to].sent_s <= r->now_s) {
        to++;
    }
    for (size_t at = from; at < to;) {
        size_t end = at + 1;
        while (end < to && end - at < BATCH && r->spans[end].service == r->spans[at].service) {
            end++;
        }
        if (way->in_disorder) {
            shuffle(r, r->spans + at, end - at);
        }
        send_request(r, r->spans + at, end - at);
        if (way->twice > 0 && below(r, way->twice) == 0) {
            send_request(r, r->spans + at, end - at);
            r->n_twice += end - at;
        }
        at = end;
    }
    return to;
}

/* ---- what is given ---- */

static void on_polled(const sw_poll_result *result, void *arg) {
    (void)arg;
    assert_true(result->counts_ok && result->traces_ok);
    assert_true(result->spans.late == 0 && result->spans.future == 0 && result->spans.dropped == 0);
}

static void poll_now(struct replay *r) {
    const sw_wants wants = {.min_duration_ms = SLOW_MS, .errors = true, .series = true};
    r->source->ops->poll(r->source, &wants, on_polled, NULL);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    size_t n = 0;
    const sw_trace *const *list = r->source->ops->traces(r->source, &n);
    for (size_t i = 0; i < n; i++) {
        char expected[60];
        uint64_t number = strtoull(list[i]->id, NULL, 16);
        assert_in_range(number, 1, r->n_traces);
        struct trace *trace = &r->traces[number - 1];
        trace->seen = true;
        trace->seen_ms = list[i]->duration_ms;
        trace->seen_spans = list[i]->n_matched;
        trace->seen_error = list[i]->status == SW_STATUS_ERROR;
        snprintf(expected, sizeof expected, "service-%d operation-%d", trace->service, trace->operation);
        trace->seen_root = list[i]->root_known &&
                           strncmp(expected, list[i]->service, strlen(list[i]->service)) == 0 &&
                           strstr(expected, list[i]->operation) != NULL;
    }
}

static void check_step(struct replay *r, size_t step) {
    sw_window window;
    sw_window_init(&window);
    int64_t from_s = T0 + (int64_t)step * STEP;
    r->source->ops->build_window(r->source, from_s, from_s + STEP, &window);
    assert_true(window.complete);
    const struct counts *truth = &r->truth[step * SERVICES * OPERATIONS];
    size_t expected = 0;
    for (size_t i = 0; i < (size_t)SERVICES * OPERATIONS; i++) {
        expected += truth[i].n > 0;
    }
    assert_int_equal(window.n_series, expected);
    for (size_t i = 0; i < window.n_series; i++) {
        const sw_series *series = &window.series[i];
        size_t service = strtoul(series->service + strlen("service-"), NULL, 10);
        size_t operation = strtoul(series->operation + strlen("operation-"), NULL, 10);
        const struct counts *counts = &truth[service * OPERATIONS + operation];
        assert_true(series->count == counts->n && series->errors == counts->errors);
    }
    sw_window_release(&window);
}

static void check_traces(const struct replay *r) {
    size_t n_offending = 0;
    for (size_t i = 0; i < r->n_traces; i++) {
        const struct trace *trace = &r->traces[i];
        bool offends = trace->error || trace->longest_ns > SLOW_MS * SW_NS_PER_MS;
        n_offending += offends;
        if (trace->seen != offends) {
            fail_msg("trace %zu: %s", i, offends ? "was not listed" : "was listed");
        }
        if (offends && (trace->seen_spans != trace->n_spans || trace->seen_error != trace->error ||
                        !trace->seen_root || trace->seen_ms != (double)trace->longest_ns / SW_NS_PER_MS)) {
            fail_msg("trace %zu: %" PRIu64 " spans of %" PRIu32 ", %f ms of %f", i, trace->seen_spans,
                     trace->n_spans, trace->seen_ms, (double)trace->longest_ns / SW_NS_PER_MS);
        }
    }
    assert_true(n_offending > r->n_spans / 1000);
}

static double spans_metric(const struct replay *r, const char *result) {
    char line[100];
    snprintf(line, sizeof line, "spanwatch_otlp_spans_total{result=\"%s\"} ", result);
    sw_buf out;
    sw_buf_init(&out, 1 << 20);
    sw_metrics_render(r->metrics, &out);
    sw_buf_append_char(&out, 0);
    const char *at = strstr(out.data, line);
    double value = at != NULL ? strtod(at + strlen(line), NULL) : 0;
    sw_buf_release(&out);
    return value;
}

static size_t how_many(void) {
    const char *text = getenv("SPANWATCH_REPLAY_SPANS");
    return text != NULL ? strtoul(text, NULL, 10) : SHORT_FORM;
}

static void open_source(struct replay *r) {
    r->now_s = T0;
    r->clock = (sw_clock){replay_now, replay_now, r};
    uv_loop_init(&r->loop);
    r->metrics = sw_metrics_new();
    const sw_otlp_source_options options = {.step_s = STEP,
                                            .lookback_s = 60,
                                            .settle_s = 10,
                                            .max_bytes = (size_t)64 << 20,
                                            .max_series = 1000,
                                            .max_spans = 1000};
    r->source = sw_otlp_source_new(&r->loop, &r->clock, r->metrics, &options);
}

static void release(struct replay *r) {
    r->source->ops->free(r->source);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&r->loop), 0);
    sw_metrics_free(r->metrics);
    free(r->spans);
    free(r->traces);
    free(r->truth);
}

static void replay(const struct way *way, size_t n) {
    struct replay r = {.random = 1};
    make_traffic(&r, way, n);
    open_source(&r);
    size_t sent = 0, checked = 0;
    for (; r.now_s < T0 + r.seconds + 2 * FINAL_S; r.now_s++) {
        sent = send_second(&r, way, sent);
        if (r.now_s % TICK_S == 0) {
            poll_now(&r);
            for (; (int64_t)(checked + 1) * STEP + FINAL_S <= r.now_s - T0 && checked < r.n_steps;
                 checked++) {
                check_step(&r, checked);
            }
            r.source->ops->forget(r.source, r.now_s - REMEMBER_S);
        }
    }
    assert_int_equal(sent, r.n_spans);
    assert_true(checked >= (size_t)r.seconds / STEP);
    check_traces(&r);
    assert_true(spans_metric(&r, "accepted") == (double)r.n_spans);
    assert_true(spans_metric(&r, "duplicate") == (double)r.n_twice);
    assert_true((r.n_twice > 0) == (way->twice > 0));
    release(&r);
}

static void what_is_given_is_the_truth_however_spans_come(void **state) {
    (void)state;
    static const struct way ways[] = {
        {.name = "as they end", .hold_s = 1},
        {.name = "in a hurry: a minute at once", .hold_s = 60},
        {.name = "some twice", .delay_s = 5, .hold_s = 1, .twice = 10},
        {.name = "all twice", .delay_s = 5, .hold_s = 5, .twice = 1},
        {.name = "in disorder", .delay_s = 30, .hold_s = 10, .in_disorder = true},
        {.name = "two minutes late", .delay_s = 120, .hold_s = 1},
        {.name = "by clocks that differ by 40 s", .delay_s = 5, .hold_s = 1, .skew_s = 20},
        {.name = "all of it", .delay_s = 90, .hold_s = 20, .skew_s = 20, .twice = 4, .in_disorder = true},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(ways); i++) {
        print_message("%s\n", ways[i].name);
        replay(&ways[i], how_many());
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_given_is_the_truth_however_spans_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
