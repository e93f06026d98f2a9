#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"

static int64_t wall_of_test(void *arg) {
    return ((int64_t *)arg)[0];
}

static int64_t mono_of_test(void *arg) {
    return ((int64_t *)arg)[1];
}

static void a_clock_asks_its_own_functions(void **state) {
    (void)state;
    int64_t times[] = {INT64_C(1772359200) * SW_NS_PER_S, 42};
    sw_clock clock = {wall_of_test, mono_of_test, times};
    assert_int_equal(sw_wall_ns(&clock), INT64_C(1772359200) * SW_NS_PER_S);
    assert_int_equal(sw_mono_ns(&clock), 42);
    times[1] = 43;
    assert_int_equal(sw_mono_ns(&clock), 43);
}

static void the_system_clock_reads_the_kernel(void **state) {
    (void)state;
    const sw_clock *clock = sw_clock_system();
    int64_t seconds = sw_wall_ns(clock) / SW_NS_PER_S;
    int64_t now = (int64_t)time(NULL);
    assert_in_range(seconds, now - 2, now + 2);
    int64_t first = sw_mono_ns(clock);
    assert_true(sw_mono_ns(clock) >= first);
}

static void assert_rfc3339(int64_t wall_ns, const char *expected) {
    char out[32];
    sw_format_rfc3339(wall_ns, out);
    assert_string_equal(out, expected);
}

static void times_are_printed_with_milliseconds_in_utc(void **state) {
    (void)state;
    setenv("TZ", "America/New_York", 1);
    tzset();
    assert_rfc3339(0, "1970-01-01T00:00:00.000Z");
    assert_rfc3339(INT64_C(1772359200123456789), "2026-03-01T10:00:00.123Z");
    assert_rfc3339(INT64_C(1709164799999999999), "2024-02-28T23:59:59.999Z");
    assert_rfc3339(INT64_C(1709164800) * SW_NS_PER_S, "2024-02-29T00:00:00.000Z");
}

static void times_before_1970_are_printed(void **state) {
    (void)state;
    assert_rfc3339(-SW_NS_PER_MS, "1969-12-31T23:59:59.999Z");
    assert_rfc3339(-SW_NS_PER_S, "1969-12-31T23:59:59.000Z");
}

static void rfc3339_is_read_with_fractions_and_offsets(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-03-01T10:00:00.123456789Z", INT64_C(1772359200123456789)},
        {"2026-03-01T12:30:00+02:30", INT64_C(1772359200) * SW_NS_PER_S},
        {"2026-03-01t05:00:00.5-05:00", INT64_C(1772359200500000000)},
        {"2024-02-29T00:00:00.0000000009Z", INT64_C(1709164800) * SW_NS_PER_S},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        int64_t ns = -1;
        assert_int_equal(sw_parse_rfc3339(cases[i].text, &ns), 0);
        assert_int_equal(ns, cases[i].ns);
    }
}

static void what_is_no_rfc3339_is_refused(void **state) {
    (void)state;
    static const char *const cases[] = {
        "",
        "now",
        "2026-03-01",
        "2026-03-01T10:00Z",
        "2026-03-01T10:00:00",
        "2026-03-01T10:00:00.Z",
        "2026-02-29T10:00:00Z",
        "2026-13-01T10:00:00Z",
        "2026-03-01T24:00:00Z",
        "0001-01-01T00:00:00Z",
        "2262-01-01T00:00:00Z",
        "2026-03-01T10:00:00+2:00",
        "2026-03-01T10:00:00Zjunk",
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        int64_t ns = 0;
        assert_int_equal(sw_parse_rfc3339(cases[i], &ns), -1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_asks_its_own_functions),
        cmocka_unit_test(the_system_clock_reads_the_kernel),
        cmocka_unit_test(times_are_printed_with_milliseconds_in_utc),
        cmocka_unit_test(times_before_1970_are_printed),
        cmocka_unit_test(rfc3339_is_read_with_fractions_and_offsets),
        cmocka_unit_test(what_is_no_rfc3339_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
