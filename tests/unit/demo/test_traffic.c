#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "demo/traffic.h"

#define END_NS (INT64_C(1800000000) * SW_NS_PER_S)

static sw_otlp_spans make(sw_buf *request, uint64_t seed, size_t n, unsigned anomalies) {
    sw_traffic traffic;
    sw_traffic_init(&traffic, seed);
    sw_buf_init(request, (size_t)64 << 20);
    size_t made = sw_traffic_request(&traffic, n, END_NS, anomalies, request);
    sw_otlp_spans spans;
    char why[SW_OTLP_WHY];
    sw_otlp_spans_init(&spans, 100000);
    assert_int_equal(sw_otlp_read((sw_otlp_text){request->data, request->len}, &spans, why), 0);
    assert_int_equal(spans.n, made);
    return spans;
}

static const sw_otlp_span *parent_of(const sw_otlp_spans *spans, const sw_otlp_span *span) {
    for (size_t i = 0; i < spans->n; i++) {
        const sw_otlp_span *other = &spans->items[i];
        if (other->id == span->parent_id && other->trace_id.low == span->trace_id.low) {
            return other;
        }
    }
    return NULL;
}

static size_t failed(const sw_otlp_spans *spans, bool roots) {
    size_t n = 0;
    for (size_t i = 0; i < spans->n; i++) {
        n += spans->items[i].status == 2 && (!roots || spans->items[i].parent_id == 0) ? 1 : 0;
    }
    return n;
}

static void spans_are_nested_in_their_parents_and_end_in_time(void **state) {
    (void)state;
    sw_buf request;
    sw_otlp_spans spans = make(&request, 1, 100, SW_ANOMALY_SLOW);
    size_t roots = 0;
    for (size_t i = 0; i < spans.n; i++) {
        const sw_otlp_span *span = &spans.items[i];
        assert_true(span->id != 0 && span->service.len > 0 && span->end_ns > span->start_ns);
        if (span->parent_id == 0) {
            roots++;
            assert_true(span->end_ns <= (uint64_t)END_NS + 1000 && span->kind == 2);
            continue;
        }
        const sw_otlp_span *parent = parent_of(&spans, span);
        assert_non_null(parent);
        assert_true(span->start_ns >= parent->start_ns && span->end_ns <= parent->end_ns);
    }
    assert_int_equal(roots, 100);
    sw_otlp_spans_release(&spans);
    sw_buf_release(&request);
}

static void without_anomalies_nothing_fails_and_nothing_is_slow(void **state) {
    (void)state;
    sw_buf request;
    sw_otlp_spans spans = make(&request, 2, 500, 0);
    assert_int_equal(failed(&spans, false), 0);
    for (size_t i = 0; i < spans.n; i++) {
        assert_true(spans.items[i].end_ns - spans.items[i].start_ns < 300 * (uint64_t)SW_NS_PER_MS);
    }
    sw_otlp_spans_release(&spans);
    sw_buf_release(&request);
}

static void anomalies_are_what_they_say(void **state) {
    (void)state;
    sw_buf request;
    sw_otlp_spans spans = make(&request, 3, 500, SW_ANOMALY_ERRORS | SW_ANOMALY_SLOW);
    size_t roots = failed(&spans, true), slow = 0;
    assert_true(roots > 20 && roots < 250);
    assert_int_equal(failed(&spans, false), 6 * roots);
    for (size_t i = 0; i < spans.n; i++) {
        const sw_otlp_span *span = &spans.items[i];
        bool products = span->parent_id == 0 && span->name.len == strlen("GET /products") &&
                        memcmp(span->name.data, "GET /products", span->name.len) == 0;
        bool is_slow = span->end_ns - span->start_ns > 1200 * (uint64_t)SW_NS_PER_MS;
        slow += products && is_slow ? 1 : 0;
        assert_true(!products || is_slow);
    }
    assert_true(slow > 100);
    sw_otlp_spans_release(&spans);
    sw_buf_release(&request);
}

static void the_same_seed_makes_the_same_traffic(void **state) {
    (void)state;
    sw_buf a, b, c;
    sw_otlp_spans first = make(&a, 4, 50, 0), second = make(&b, 4, 50, 0), third = make(&c, 5, 50, 0);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    assert_true(a.len != c.len || memcmp(a.data, c.data, a.len) != 0);
    sw_otlp_spans_release(&first);
    sw_otlp_spans_release(&second);
    sw_otlp_spans_release(&third);
    sw_buf_release(&a);
    sw_buf_release(&b);
    sw_buf_release(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_are_nested_in_their_parents_and_end_in_time),
        cmocka_unit_test(without_anomalies_nothing_fails_and_nothing_is_slow),
        cmocka_unit_test(anomalies_are_what_they_say),
        cmocka_unit_test(the_same_seed_makes_the_same_traffic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
