#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/agent_internal.h"

#define INTERVAL (30 * SW_NS_PER_S)

static void the_next_tick_is_one_interval_after_the_planned_time_of_the_last(void **state) {
    (void)state;
    unsigned missed = 7;
    int64_t planned = 1000 * SW_NS_PER_S;
    assert_int_equal(sw_tick_next(planned, planned + 12 * SW_NS_PER_MS, INTERVAL, &missed),
                     planned + INTERVAL);
    assert_int_equal(missed, 0);
}

static void ticks_do_not_drift_over_a_day_of_late_wakeups(void **state) {
    (void)state;
    unsigned missed = 0;
    int64_t planned = 0;
    for (int i = 1; i <= 2880; i++) {
        planned = sw_tick_next(planned, planned + (i % 97) * SW_NS_PER_MS, INTERVAL, &missed);
        assert_int_equal(missed, 0);
        assert_int_equal(planned, i * INTERVAL);
    }
}

static void a_long_stop_is_one_tick_and_the_missed_ones_are_counted(void **state) {
    (void)state;
    unsigned missed = 0;
    int64_t next = sw_tick_next(0, 10 * INTERVAL + 5, INTERVAL, &missed);
    assert_int_equal(next, 11 * INTERVAL);
    assert_int_equal(missed, 10);
}

static void a_tick_that_is_due_exactly_now_is_missed_not_repeated(void **state) {
    (void)state;
    unsigned missed = 0;
    assert_int_equal(sw_tick_next(0, INTERVAL, INTERVAL, &missed), 2 * INTERVAL);
    assert_int_equal(missed, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_tick_is_one_interval_after_the_planned_time_of_the_last),
        cmocka_unit_test(ticks_do_not_drift_over_a_day_of_late_wakeups),
        cmocka_unit_test(a_long_stop_is_one_tick_and_the_missed_ones_are_counted),
        cmocka_unit_test(a_tick_that_is_due_exactly_now_is_missed_not_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
