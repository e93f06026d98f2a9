#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "sources/otlp/series.h"

static sw_otlp_text text(const char *s) {
    return (sw_otlp_text){s, strlen(s)};
}

#define ROOM ((size_t)1 << 24)

static sw_window window_of(const otlp_series *series, int64_t from_s, int64_t to_s) {
    sw_window window;
    sw_window_init(&window);
    otlp_series_build_window(series, from_s, to_s, &window);
    return window;
}

static void a_window_sums_its_steps_by_service_and_operation(void **state) {
    (void)state;
    otlp_series *series = otlp_series_new(10, 100, ROOM);
    assert_true(otlp_series_add(series, 100, text("shop"), text("GET /"), 1, false, SW_NS_PER_MS));
    assert_true(otlp_series_add(series, 119, text("shop"), text("GET /"), 1, true, SW_NS_PER_MS));
    assert_true(otlp_series_add(series, 119, text("cart"), text("GET /"), 4, true, 0));
    assert_true(otlp_series_add(series, 120, text("shop"), text("GET /"), 1, true, 0));
    sw_window window = window_of(series, 100, 120);
    assert_true(window.complete);
    assert_int_equal(window.n_series, 2);
    assert_string_equal(window.series[0].service, "cart");
    assert_true(window.series[0].count == 4 && window.series[0].errors == 4);
    assert_string_equal(window.series[1].service, "shop");
    assert_string_equal(window.series[1].operation, "GET /");
    assert_true(window.series[1].count == 2 && window.series[1].errors == 1);
    sw_window_release(&window);
    otlp_series_free(series);
}

static void names_that_join_to_the_same_text_stay_apart(void **state) {
    (void)state;
    otlp_series *series = otlp_series_new(10, 100, ROOM);
    otlp_series_add(series, 100, text("ab"), text("c"), 1, false, 0);
    otlp_series_add(series, 100, text("a"), text("bc"), 1, false, 0);
    otlp_series_add(series, 100, (sw_otlp_text){0}, (sw_otlp_text){0}, 1, false, 0);
    sw_window window = window_of(series, 100, 110);
    assert_int_equal(window.n_series, 3);
    sw_window_release(&window);
    otlp_series_free(series);
}

/* The quantile that its definition gives: the smallest duration with a share of at least p at or below it. */
static void every_quantile_is_within_the_stated_error(void **state) {
    (void)state;
    otlp_series *series = otlp_series_new(10, 100, ROOM);
    enum { N = 5000 };
    double ms[N];
    for (int i = 0; i < N; i++) {
        ms[i] = 0.001 * (i + 1) * (i + 1); /* ascending, over seven decades */
        otlp_series_add(series, 100, text("s"), text("o"), 1, false, (int64_t)(ms[i] * SW_NS_PER_MS));
    }
    sw_window window = window_of(series, 100, 110);
    const sw_series *s = &window.series[0];
    double below = 0;
    size_t rank = 0;
    for (size_t i = 0; i < s->n_buckets; i++) {
        double middle = 2 * s->buckets[i].lower_ms * s->buckets[i].upper_ms /
                        (s->buckets[i].lower_ms + s->buckets[i].upper_ms);
        assert_true(i == 0 || s->buckets[i].upper_ms > s->buckets[i - 1].upper_ms);
        below += s->buckets[i].count;
        for (; rank < (size_t)below; rank++) {
            double error = (middle - ms[rank]) / ms[rank];
            assert_true(error <= SW_OTLP_SKETCH_ERROR * 1.001 && error >= -SW_OTLP_SKETCH_ERROR * 1.001);
        }
    }
    assert_int_equal(rank, N);
    sw_window_release(&window);
    otlp_series_free(series);
}

static void what_is_over_the_cap_is_counted_as_other_and_said(void **state) {
    (void)state;
    otlp_series *series = otlp_series_new(10, 2, ROOM);
    static const char *const names[] = {"a", "b", "c", "d", "a"};
    for (size_t i = 0; i < SW_ARRAY_LEN(names); i++) {
        otlp_series_add(series, 100, text(names[i]), text("o"), 1, i == 3, 0);
    }
    sw_window window = window_of(series, 100, 110);
    assert_int_equal(window.n_series, 3);
    assert_string_equal(window.series[2].service, "other");
    assert_true(window.series[2].count == 2 && window.series[2].errors == 1);
    assert_true(window.series[0].count == 2);
    assert_string_equal(window.reason, "over 2 series: the rest is counted as other");
    assert_int_equal(otlp_series_overflowed(series), 2);
    sw_window_release(&window);
    otlp_series_free(series);
}

/* Twenty steps of many operations that take from a microsecond to hours. */
static void counts_take_no_more_memory_than_they_may_and_stay_exact(void **state) {
    (void)state;
    enum { STEPS = 20, OPERATIONS = 200, SPANS = 400000, LIMIT = 400000 };
    otlp_series *series = otlp_series_new(10, 100000, LIMIT);
    unsigned random = 1;
    for (int i = 0; i < SPANS; i++) {
        char name[32];
        random = random * 1664525u + 1013904223u;
        snprintf(name, sizeof name, "GET /%u", (random >> 8) % OPERATIONS);
        assert_true(otlp_series_add(series, 100 + i % (STEPS * 10), text("s"), text(name), 1, i % 4 == 0,
                                    (int64_t)1 << (10 + (random >> 20) % 34)));
        assert_true(otlp_series_bytes(series) <= LIMIT + STEPS * 1024);
    }
    assert_true(otlp_series_overflowed(series) > 0);
    sw_window window = window_of(series, 100, 100 + STEPS * 10);
    double count = 0, errors = 0;
    for (size_t i = 0; i < window.n_series; i++) {
        double of_buckets = 0;
        for (size_t bucket = 0; bucket < window.series[i].n_buckets; bucket++) {
            of_buckets += window.series[i].buckets[bucket].count;
            assert_true(bucket == 0 || window.series[i].buckets[bucket].lower_ms >=
                                           window.series[i].buckets[bucket - 1].upper_ms * 0.999999);
        }
        assert_true(of_buckets == window.series[i].count);
        count += window.series[i].count;
        errors += window.series[i].errors;
    }
    assert_true(count == SPANS && errors == SPANS / 4);
    assert_string_equal(window.reason, "the memory for counts is full: new series are counted as other, and "
                                       "quantiles are not as exact as they should be");
    sw_window_release(&window);
    otlp_series_forget(series, 100 + STEPS * 10);
    assert_int_equal(otlp_series_bytes(series), 0);
    otlp_series_free(series);
}

/* Bins that became fewer hold what they held. */
static void a_sketch_without_room_is_coarser_but_right(void **state) {
    (void)state;
    otlp_series *series = otlp_series_new(10, 100, 4096);
    for (int i = 1; i <= 1000; i++) {
        otlp_series_add(series, 100, text("s"), text("o"), 1, false, i * SW_NS_PER_MS);
    }
    sw_window window = window_of(series, 100, 110);
    const sw_series *s = &window.series[0];
    double below = 0;
    assert_true(s->n_buckets > 4 && s->n_buckets <= 256);
    for (size_t i = 0; i < s->n_buckets; i++) {
        below += s->buckets[i].count;
        double limit = s->buckets[i].upper_ms < 1000 ? s->buckets[i].upper_ms : 1000;
        assert_true(below >= limit - 1.001 && below <= limit + 0.001);
    }
    assert_true(below == 1000);
    assert_non_null(window.reason);
    sw_window_release(&window);
    otlp_series_free(series);
}

static void late_spans_raise_the_revision_until_their_step_is_forgotten(void **state) {
    (void)state;
    otlp_series *series = otlp_series_new(10, 100, ROOM);
    otlp_series_add(series, 100, text("s"), text("o"), 1, false, 0);
    unsigned before = otlp_series_revision(series, 100, 110);
    assert_true(otlp_series_add(series, 109, text("s"), text("o"), 1, false, 0));
    assert_true(otlp_series_revision(series, 100, 110) > before);
    assert_int_equal(otlp_series_revision(series, 110, 200), 0);
    otlp_series_forget(series, 110);
    assert_int_equal(otlp_series_entries(series), 0);
    assert_false(otlp_series_add(series, 109, text("s"), text("o"), 1, false, 0));
    assert_true(otlp_series_add(series, 110, text("s"), text("o"), 1, false, 0));
    otlp_series_free(series);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_sums_its_steps_by_service_and_operation),
        cmocka_unit_test(names_that_join_to_the_same_text_stay_apart),
        cmocka_unit_test(every_quantile_is_within_the_stated_error),
        cmocka_unit_test(what_is_over_the_cap_is_counted_as_other_and_said),
        cmocka_unit_test(counts_take_no_more_memory_than_they_may_and_stay_exact),
        cmocka_unit_test(a_sketch_without_room_is_coarser_but_right),
        cmocka_unit_test(late_spans_raise_the_revision_until_their_step_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
