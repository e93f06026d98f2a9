#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "sources/buckets.h"

static sw_buckets *make(void) {
    return sw_buckets_new(30, 1000);
}

/* One bucket with one operation. */
static void put(sw_buckets *buckets, int64_t at_s, double count, double errors) {
    sw_buckets_begin(buckets, at_s, at_s + 30);
    sw_buckets_add(buckets, at_s + 3, "shop", "GET /", count, errors, 50, 100);
    assert_int_equal(sw_buckets_commit(buckets, false), 0);
}

static void nothing_is_known_before_it_was_read(void **state) {
    (void)state;
    sw_buckets *buckets = make();
    assert_int_equal(sw_buckets_known_until(buckets, 300), 300);
    sw_window window;
    sw_window_init(&window);
    sw_buckets_build_window(buckets, 300, 360, &window);
    assert_false(window.complete);
    assert_string_equal(window.reason, "the counts of 60 of 60 s are not known");
    assert_int_equal(window.n_series, 0);
    sw_window_release(&window);
    sw_buckets_free(buckets);
}

static void an_empty_answer_makes_buckets_known(void **state) {
    (void)state;
    sw_buckets *buckets = make();
    sw_buckets_begin(buckets, 300, 390);
    assert_int_equal(sw_buckets_commit(buckets, false), 0);
    assert_int_equal(sw_buckets_known_until(buckets, 300), 390);
    assert_int_equal(sw_buckets_known_until(buckets, 330), 390);
    assert_int_equal(sw_buckets_known_until(buckets, 270), 270);
    sw_buckets_free(buckets);
}

static void a_dropped_draft_leaves_everything_as_it_was(void **state) {
    (void)state;
    sw_buckets *buckets = make();
    put(buckets, 300, 4, 1);
    sw_buckets_begin(buckets, 300, 360);
    sw_buckets_add(buckets, 300, "shop", "GET /", 9, 0, 0, 0);
    sw_buckets_drop(buckets);
    assert_true(sw_buckets_total(buckets, 300, 360) == 4);
    assert_int_equal(sw_buckets_known_until(buckets, 300), 330);
    sw_buckets_free(buckets);
}

static void a_late_span_raises_the_revision_of_its_bucket_once(void **state) {
    (void)state;
    sw_buckets *buckets = make();
    put(buckets, 300, 4, 1);
    put(buckets, 330, 5, 0);
    assert_int_equal(sw_buckets_revision(buckets, 300, 360), 0);
    put(buckets, 300, 4, 1);
    assert_int_equal(sw_buckets_revision(buckets, 300, 360), 0);
    put(buckets, 300, 5, 1);
    assert_int_equal(sw_buckets_revision(buckets, 300, 330), 1);
    assert_int_equal(sw_buckets_revision(buckets, 330, 360), 0);
    assert_int_equal(sw_buckets_revision(buckets, 300, 360), 1);
    assert_true(sw_buckets_total(buckets, 300, 330) == 5);
    sw_buckets_free(buckets);
}

static void a_changed_histogram_is_a_change(void **state) {
    (void)state;
    sw_buckets *buckets = make();
    put(buckets, 300, 4, 1);
    sw_buckets_begin(buckets, 300, 330);
    sw_buckets_add(buckets, 300, "shop", "GET /", 4, 1, 100, 200);
    assert_int_equal(sw_buckets_commit(buckets, false), 0);
    assert_int_equal(sw_buckets_revision(buckets, 300, 330), 1);
    sw_buckets_free(buckets);
}

static void a_final_bucket_does_not_change(void **state) {
    (void)state;
    sw_buckets *buckets = make();
    put(buckets, 300, 4, 1);
    put(buckets, 330, 4, 1);
    sw_buckets_finish(buckets, 330);
    put(buckets, 300, 9, 9);
    put(buckets, 330, 9, 9);
    assert_true(sw_buckets_total(buckets, 300, 330) == 4);
    assert_true(sw_buckets_total(buckets, 330, 360) == 9);
    assert_int_equal(sw_buckets_revision(buckets, 300, 330), 0);
    sw_buckets_free(buckets);
}

static void a_window_merges_series_and_histograms(void **state) {
    (void)state;
    sw_buckets *buckets = make();
    sw_buckets_begin(buckets, 300, 360);
    sw_buckets_add(buckets, 305, "shop", "POST /", 2, 2, 100, 200);
    sw_buckets_add(buckets, 301, "shop", "GET /", 3, 0, 50, 100);
    sw_buckets_add(buckets, 329, "shop", "GET /", 1, 1, 25, 50);
    sw_buckets_add(buckets, 330, "shop", "GET /", 4, 0, 50, 100);
    sw_buckets_add(buckets, 359, "cart", "GET /", 1, 0, 0, 0);
    assert_int_equal(sw_buckets_commit(buckets, false), 0);
    sw_window window;
    sw_window_init(&window);
    sw_buckets_build_window(buckets, 300, 360, &window);
    assert_true(window.complete);
    assert_false(window.estimated);
    assert_string_equal(window.reason, "");
    assert_int_equal(window.n_series, 3);
    assert_string_equal(window.series[0].service, "cart");
    assert_int_equal(window.series[0].n_buckets, 0);
    const sw_series *get = &window.series[1];
    assert_string_equal(get->operation, "GET /");
    assert_true(get->count == 8 && get->errors == 1);
    assert_int_equal(get->n_buckets, 2);
    assert_true(get->buckets[0].upper_ms == 50 && get->buckets[0].count == 1);
    assert_true(get->buckets[1].lower_ms == 50 && get->buckets[1].count == 7);
    assert_string_equal(window.series[2].operation, "POST /");
    assert_true(window.series[2].errors == 2);
    sw_window_release(&window);
    sw_buckets_free(buckets);
}

static void spans_outside_of_the_draft_are_not_counted(void **state) {
    (void)state;
    sw_buckets *buckets = make();
    sw_buckets_begin(buckets, 300, 330);
    sw_buckets_add(buckets, 299, "shop", "GET /", 1, 0, 0, 0);
    sw_buckets_add(buckets, 330, "shop", "GET /", 1, 0, 0, 0);
    sw_buckets_add(buckets, 300, "shop", "GET /", 0, 0, 0, 0);
    sw_buckets_add(buckets, 300, "shop", "GET /", -1, 0, 0, 0);
    assert_int_equal(sw_buckets_commit(buckets, true), 0);
    assert_int_equal(sw_buckets_entries(buckets), 0);
    sw_buckets_free(buckets);
}

static void one_estimated_bucket_makes_the_window_estimated(void **state) {
    (void)state;
    sw_buckets *buckets = make();
    put(buckets, 300, 1, 0);
    sw_buckets_begin(buckets, 330, 360);
    assert_int_equal(sw_buckets_commit(buckets, true), 0);
    sw_window window;
    sw_window_init(&window);
    sw_buckets_build_window(buckets, 300, 360, &window);
    assert_true(window.estimated && window.complete);
    sw_window_release(&window);
    sw_buckets_free(buckets);
}

static void skipped_buckets_hold_nothing_up_and_are_told(void **state) {
    (void)state;
    sw_buckets *buckets = make();
    put(buckets, 330, 1, 0);
    sw_buckets_skip(buckets, 300, 360);
    assert_int_equal(sw_buckets_known_until(buckets, 300), 360);
    sw_window window;
    sw_window_init(&window);
    sw_buckets_build_window(buckets, 300, 360, &window);
    assert_false(window.complete);
    assert_string_equal(window.reason, "the counts of 30 of 60 s are not known");
    assert_int_equal(window.n_series, 1);
    sw_window_release(&window);
    put(buckets, 300, 2, 0);
    sw_window_init(&window);
    sw_buckets_build_window(buckets, 300, 360, &window);
    assert_true(window.complete);
    sw_window_release(&window);
    sw_buckets_free(buckets);
}

static void forgetting_makes_room_and_unknown(void **state) {
    (void)state;
    sw_buckets *buckets = make();
    for (int64_t at = 300; at < 600; at += 30) {
        put(buckets, at, 1, 0);
    }
    assert_int_equal(sw_buckets_entries(buckets), 10);
    sw_buckets_forget(buckets, 389);
    assert_int_equal(sw_buckets_known_until(buckets, 300), 300);
    assert_int_equal(sw_buckets_known_until(buckets, 360), 600);
    assert_int_equal(sw_buckets_entries(buckets), 8);
    sw_buckets_forget_from(buckets, 570);
    assert_int_equal(sw_buckets_known_until(buckets, 360), 570);
    assert_int_equal(sw_buckets_entries(buckets), 7);
    sw_buckets_free(buckets);
}

static void too_many_operations_are_refused_as_a_whole(void **state) {
    (void)state;
    sw_buckets *buckets = sw_buckets_new(30, 10);
    put(buckets, 300, 4, 1);
    sw_buckets_begin(buckets, 300, 360);
    for (int i = 0; i < 11; i++) {
        char name[20];
        snprintf(name, sizeof name, "op %d", i);
        sw_buckets_add(buckets, 300, "shop", name, 1, 0, 0, 0);
    }
    assert_int_equal(sw_buckets_commit(buckets, false), -1);
    assert_int_equal(sw_buckets_known_until(buckets, 300), 330);
    assert_true(sw_buckets_total(buckets, 300, 330) == 4);
    /* What a draft replaces does not count against it. */
    sw_buckets_begin(buckets, 300, 330);
    for (int i = 0; i < 10; i++) {
        char name[20];
        snprintf(name, sizeof name, "op %d", i);
        sw_buckets_add(buckets, 300, "shop", name, 1, 0, 0, 0);
    }
    assert_int_equal(sw_buckets_commit(buckets, false), 0);
    put(buckets, 300, 1, 0);
    sw_buckets_free(buckets);
}

static void names_may_contain_each_other(void **state) {
    (void)state;
    sw_buckets *buckets = make();
    sw_buckets_begin(buckets, 300, 330);
    sw_buckets_add(buckets, 300, "a", "bc", 1, 0, 0, 0);
    sw_buckets_add(buckets, 300, "ab", "c", 2, 0, 0, 0);
    sw_buckets_add(buckets, 300, "", "abc", 3, 0, 0, 0);
    assert_int_equal(sw_buckets_commit(buckets, false), 0);
    sw_window window;
    sw_window_init(&window);
    sw_buckets_build_window(buckets, 300, 330, &window);
    assert_int_equal(window.n_series, 3);
    assert_true(window.series[0].count == 3 && window.series[1].count == 1 && window.series[2].count == 2);
    sw_window_release(&window);
    sw_buckets_free(buckets);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_before_it_was_read),
        cmocka_unit_test(an_empty_answer_makes_buckets_known),
        cmocka_unit_test(a_dropped_draft_leaves_everything_as_it_was),
        cmocka_unit_test(a_late_span_raises_the_revision_of_its_bucket_once),
        cmocka_unit_test(a_changed_histogram_is_a_change),
        cmocka_unit_test(a_final_bucket_does_not_change),
        cmocka_unit_test(a_window_merges_series_and_histograms),
        cmocka_unit_test(spans_outside_of_the_draft_are_not_counted),
        cmocka_unit_test(one_estimated_bucket_makes_the_window_estimated),
        cmocka_unit_test(skipped_buckets_hold_nothing_up_and_are_told),
        cmocka_unit_test(forgetting_makes_room_and_unknown),
        cmocka_unit_test(too_many_operations_are_refused_as_a_whole),
        cmocka_unit_test(names_may_contain_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
