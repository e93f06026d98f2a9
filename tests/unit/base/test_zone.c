#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/zone.h"
#include "base/zone_rule.h"

static sw_zone *load(const char *name) {
    char *why = NULL;
    if (access(SW_ZONE_FOLDER "/Europe/Berlin", R_OK) != 0) {
        print_message("tzdata is not installed\n");
        skip();
    }
    sw_zone *zone = sw_zone_load(SW_ZONE_FOLDER, name, &why);
    if (zone == NULL) {
        fail_msg("%s", why);
    }
    return zone;
}

static void dates_and_days_are_each_others_inverse(void **state) {
    (void)state;
    for (int64_t days = -800000; days < 800000; days += 17) {
        sw_date date = sw_date_of_days(days);
        assert_int_equal(sw_days_of_date(date.year, date.month, date.day), days);
        assert_in_range(date.weekday, 0, 6);
    }
    assert_int_equal(sw_date_of_days(0).weekday, 4); /* a Thursday */
    assert_int_equal(sw_days_in_month(2024, 2), 29);
    assert_int_equal(sw_days_in_month(2100, 2), 28);
    assert_int_equal(sw_days_in_month(2026, 12), 31);
}

/* libc knows the same zones: TZ may be changed here. */
static void offsets_are_those_of_the_system(void **state) {
    (void)state;
    static const char *const names[] = {
        "Europe/Berlin",     "America/New_York", "Europe/Dublin",     "Australia/Lord_Howe",
        "Asia/Kathmandu",    "Asia/Gaza",        "America/Sao_Paulo", "UTC",
        "Africa/Casablanca", "Pacific/Apia",     "Asia/Gaza",         "America/Nuuk",
        "Etc/GMT+5",         "Antarctica/Troll", "America/Havana",    "Africa/Windhoek"};
    for (size_t i = 0; i < SW_ARRAY_LEN(names); i++) {
        sw_zone *zone = load(names[i]);
        setenv("TZ", names[i], 1);
        tzset();
        for (int64_t t = 0; t < INT64_C(4102444800); t += 9973 * 7) { /* to 2100 */
            time_t seconds = (time_t)t;
            struct tm tm;
            localtime_r(&seconds, &tm);
            if (sw_zone_offset_s(zone, t) != tm.tm_gmtoff) {
                fail_msg("%s at %lld: %d instead of %ld", names[i], (long long)t, sw_zone_offset_s(zone, t),
                         tm.tm_gmtoff);
            }
        }
        sw_zone_free(zone);
    }
    unsetenv("TZ");
    tzset();
}

static int64_t local(int64_t year, int month, int day, int hour, int minute) {
    return sw_days_of_date(year, month, day) * 86400 + hour * 3600 + minute * 60;
}

static void times_that_come_twice_or_never_have_an_instant(void **state) {
    (void)state;
    sw_zone *zone = load("Europe/Berlin");
    assert_int_equal(sw_zone_to_unix_s(zone, local(2026, 7, 1, 12, 0), false), local(2026, 7, 1, 10, 0));
    assert_int_equal(sw_zone_to_unix_s(zone, local(2026, 1, 1, 12, 0), true), local(2026, 1, 1, 11, 0));
    /* 2026-10-25: 03:00 summer time is 02:00 winter time. */
    assert_int_equal(sw_zone_to_unix_s(zone, local(2026, 10, 25, 2, 30), false), local(2026, 10, 25, 0, 30));
    assert_int_equal(sw_zone_to_unix_s(zone, local(2026, 10, 25, 2, 30), true), local(2026, 10, 25, 1, 30));
    /* 2026-03-29: after 01:59 comes 03:00. */
    assert_int_equal(sw_zone_to_unix_s(zone, local(2026, 3, 29, 2, 30), false), local(2026, 3, 29, 1, 30));
    sw_zone_free(zone);
}

static void rules_of_posix_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int rc, january_s, july_s; /* offsets in 2026 */
    } cases[] = {
        {"UTC0", 0, 0, 0},
        {"CET-1CEST,M3.5.0,M10.5.0/3", 0, 3600, 7200},
        {"<+0330>-3:30", 0, 12600, 12600},
        {"IST-1GMT0,M10.5.0,M3.5.0/1", 0, 0, 3600},
        {"AEST-10AEDT,M10.1.0,M4.1.0/3", 0, 39600, 36000},
        {"X5", -1, 0, 0},
        {"EST5EDT", -1, 0, 0},
        {"EST5EDT,J60,J300", 0, -18000, -14400},
        {"EST5EDT,59/2,299", 0, -18000, -14400},
        {"EST5EDT,M13.1.0,M11.1.0", -1, 0, 0},
        {"EST5EDT,M3.2.0,M11.1.0x", -1, 0, 0},
        {"<EST5", -1, 0, 0},
        {"", -1, 0, 0},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        sw_zone_rule rule;
        if (sw_zone_rule_parse(cases[i].text, &rule) != cases[i].rc) {
            fail_msg("%s", cases[i].text);
        }
        if (cases[i].rc == 0) {
            assert_int_equal(sw_zone_rule_offset_s(&rule, local(2026, 1, 15, 0, 0)), cases[i].january_s);
            assert_int_equal(sw_zone_rule_offset_s(&rule, local(2026, 7, 15, 0, 0)), cases[i].july_s);
        }
    }
}

static void what_is_no_zone_says_why(void **state) {
    (void)state;
    static const char *const names[] = {"",       "../../etc/passwd", "/etc/passwd", "Europe/Nowhere",
                                        "Europe", "zone.tab",         "a b"};
    for (size_t i = 0; i < SW_ARRAY_LEN(names); i++) {
        char *why = NULL;
        assert_null(sw_zone_load(SW_ZONE_FOLDER, names[i], &why));
        assert_non_null(why);
        free(why);
    }
}

static void a_cut_file_is_refused_wherever_it_is_cut(void **state) {
    (void)state;
    sw_zone_free(load("Europe/Berlin"));
    FILE *file = fopen(SW_ZONE_FOLDER "/Europe/Berlin", "re");
    char data[8192];
    size_t len = fread(data, 1, sizeof data, file);
    fclose(file);
    for (size_t i = 0; i < len; i++) {
        char *cut = xmalloc(i + 1), *why = NULL; /* a piece of its own: reading past its end is noticed */
        memcpy(cut, data, i);
        assert_null(sw_zone_read(cut, i, &why));
        free(why);
        free(cut);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_and_days_are_each_others_inverse),
        cmocka_unit_test(offsets_are_those_of_the_system),
        cmocka_unit_test(times_that_come_twice_or_never_have_an_instant),
        cmocka_unit_test(rules_of_posix_are_read),
        cmocka_unit_test(what_is_no_zone_says_why),
        cmocka_unit_test(a_cut_file_is_refused_wherever_it_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
