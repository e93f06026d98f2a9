#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "alerts/reported.h"

static const char *id(unsigned i) {
    static char text[33];
    snprintf(text, sizeof text, "%08x%08x%016x", i * 2654435761u, i * 40503u, i);
    return text;
}

static void what_was_added_is_found_until_it_is_old(void **state) {
    (void)state;
    sw_reported *reported = sw_reported_new();
    const unsigned n = 50000;
    for (unsigned i = 0; i < n; i++) {
        assert_true(sw_reported_add(reported, i % 2 == 0 ? "even" : "odd", id(i), i));
        assert_false(sw_reported_add(reported, i % 2 == 0 ? "even" : "odd", id(i), i + 5));
    }
    assert_int_equal(sw_reported_count(reported), n);
    for (unsigned now = 0; now <= n; now += 9973) {
        sw_reported_expire(reported, now + 1000, 1000);
        assert_int_equal(sw_reported_count(reported), n - now);
        for (unsigned i = 0; i < n; i += 7) {
            assert_int_equal(sw_reported_has(reported, i % 2 == 0 ? "even" : "odd", id(i)), i >= now);
            assert_false(sw_reported_has(reported, i % 2 == 0 ? "odd" : "even", id(i)));
        }
    }
    sw_reported_free(reported);
}

static void a_ring_that_goes_round_keeps_what_it_should(void **state) {
    (void)state;
    sw_reported *reported = sw_reported_new();
    for (unsigned i = 0; i < 3000; i++) {
        assert_true(sw_reported_add(reported, "t", id(i), i));
        sw_reported_expire(reported, i, 40);
        assert_int_equal(sw_reported_count(reported), i < 40 ? i + 1 : 41);
        assert_true(sw_reported_has(reported, "t", id(i < 40 ? 0 : i - 40)));
        assert_false(i > 40 && sw_reported_has(reported, "t", id(i - 41)));
    }
    sw_reported_free(reported);
}

static void types_go_with_their_last_trace(void **state) {
    (void)state;
    sw_reported *reported = sw_reported_new();
    for (unsigned i = 0; i < 500; i++) {
        char type[32];
        snprintf(type, sizeof type, "type%u", i);
        assert_true(sw_reported_add(reported, type, "same", i));
    }
    sw_reported_expire(reported, 10000, 1);
    assert_int_equal(sw_reported_count(reported), 0);
    assert_false(sw_reported_has(reported, "type1", "same"));
    assert_true(sw_reported_add(reported, "type1", "same", 10001));
    sw_reported_free(reported);
}

static void stamps_of_a_future_that_the_clock_left_do_not_hold_up_the_rest(void **state) {
    (void)state;
    sw_reported *reported = sw_reported_new();
    sw_reported_add(reported, "t", "a", 1000000);
    sw_reported_add(reported, "t", "b", 1000001);
    sw_reported_add(reported, "t", "c", 100);
    sw_reported_expire(reported, 100, 50); /* the clock has stepped back: nothing is old */
    assert_int_equal(sw_reported_count(reported), 3);
    sw_reported_expire(reported, 150, 50);
    assert_int_equal(sw_reported_count(reported), 3);
    sw_reported_expire(reported, 151, 50);
    assert_int_equal(sw_reported_count(reported), 0);
    sw_reported_free(reported);
}

static void any_text_is_an_id(void **state) {
    (void)state;
    static const char *const ids[] = {"", "x", "0123456789abcdef0123456789abcdef",
                                      "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcde"};
    sw_reported *reported = sw_reported_new();
    for (size_t i = 0; i < SW_ARRAY_LEN(ids); i++) {
        assert_true(sw_reported_add(reported, "t", ids[i], 1));
        assert_false(sw_reported_add(reported, "t", ids[i], 1));
    }
    sw_reported_free(reported);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_found_until_it_is_old),
        cmocka_unit_test(a_ring_that_goes_round_keeps_what_it_should),
        cmocka_unit_test(types_go_with_their_last_trace),
        cmocka_unit_test(stamps_of_a_future_that_the_clock_left_do_not_hold_up_the_rest),
        cmocka_unit_test(any_text_is_an_id),
    };
    return cmocka_run_group_tests_name("reported", tests, NULL, NULL);
}
