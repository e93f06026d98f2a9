#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/zone.h"
#include "config/mute_times.h"

static sw_mute_times *parse(const char *text) {
    sw_buf mistakes;
    sw_buf_init(&mistakes, 1 << 16);
    sw_mute_times *times = sw_mute_times_parse(text, SW_ZONE_FOLDER, &mistakes);
    if (mistakes.len > 0) {
        fail_msg("%s: %s", text, mistakes.data);
    }
    sw_buf_release(&mistakes);
    return times;
}

static int need_zones(void **state) {
    (void)state;
    if (access(SW_ZONE_FOLDER "/Europe/Berlin", R_OK) != 0) {
        print_message("tzdata is not installed\n");
        return -1;
    }
    return 0;
}

struct moment {
    const char *at; /* UTC */
    bool muted;
};

static const struct {
    const char *name, *text;
    struct moment moments[8];
} cases[] = {
    {"a weekend in Berlin",
     "Sat-Sun 00:00-24:00 Europe/Berlin",
     {{"2026-06-05T21:59:59Z", false}, /* Friday, 23:59:59 there */
      {"2026-06-05T22:00:00Z", true},
      {"2026-06-07T21:59:59Z", true},
      {"2026-06-07T22:00:00Z", false},
      {"2026-01-02T22:30:00Z", false}, /* in winter an hour later */
      {"2026-01-02T23:00:00Z", true}}},
    {"every night, over midnight",
     "22:00-06:00",
     {{"2026-06-05T21:59:59Z", false},
      {"2026-06-05T22:00:00Z", true},
      {"2026-06-06T05:59:59Z", true},
      {"2026-06-06T06:00:00Z", false}}},
    {"a night belongs to the day on which it begins",
     "Fri 22:00-06:00",
     {{"2026-06-05T03:00:00Z", false},
      {"2026-06-05T23:00:00Z", true},
      {"2026-06-06T05:00:00Z", true},
      {"2026-06-06T23:00:00Z", false}}},
    {"an hour that is jumped over does not come, the day after it does",
     "02:00-03:00 Europe/Berlin",
     {{"2026-03-29T00:59:59Z", false},
      {"2026-03-29T01:00:00Z", false}, /* 03:00 there */
      {"2026-03-28T01:30:00Z", true},
      {"2026-03-30T00:30:00Z", true}}},
    {"an hour that comes twice is muted twice",
     "02:00-03:00 Europe/Berlin",
     {{"2026-10-24T23:59:59Z", false},
      {"2026-10-25T00:00:00Z", true},
      {"2026-10-25T01:00:00Z", true},
      {"2026-10-25T01:59:59Z", true},
      {"2026-10-25T02:00:00Z", false}}},
    {"once, over Christmas",
     "2026-12-24T18:00/2026-12-27T08:00 Europe/Berlin",
     {{"2026-12-24T16:59:59Z", false},
      {"2026-12-24T17:00:00Z", true},
      {"2026-12-27T06:59:59Z", true},
      {"2026-12-27T07:00:00Z", false},
      {"2027-12-25T12:00:00Z", false}}},
    {"once, and its ends come twice: all of it",
     "2026-10-25T02:30/2026-10-25T02:45 Europe/Berlin",
     {{"2026-10-25T00:29:59Z", false},
      {"2026-10-25T00:30:00Z", true},
      {"2026-10-25T01:44:59Z", true},
      {"2026-10-25T01:45:00Z", false}}},
    {"once, from an hour that never comes",
     "2026-03-29T02:30/2026-03-29T04:00 Europe/Berlin",
     {{"2026-03-29T01:29:59Z", false}, {"2026-03-29T01:30:00Z", true}, {"2026-03-29T02:00:00Z", false}}},
    {"days of the month and months",
     "1-2,-1 Dec-Jan 08:00-09:00 America/New_York",
     {{"2026-12-01T13:30:00Z", true},
      {"2026-12-03T13:30:00Z", false},
      {"2026-12-31T13:30:00Z", true},
      {"2027-01-02T13:30:00Z", true},
      {"2027-02-01T13:30:00Z", false}}},
    {"the last day of a February",
     "-1 Feb",
     {{"2028-02-28T12:00:00Z", false}, {"2028-02-29T12:00:00Z", true}, {"2027-02-28T12:00:00Z", true}}},
    {"days that go round the week, and a list",
     "Fri-Mon",
     {{"2026-06-04T12:00:00Z", false},
      {"2026-06-05T12:00:00Z", true},
      {"2026-06-08T12:00:00Z", true},
      {"2026-06-09T12:00:00Z", false}}},
    {"several intervals, any of them",
     " mon,wed 10:00-11:00 ; ;Tue 10:00-11:00 Asia/Kathmandu; ",
     {{"2026-06-08T10:30:00Z", true},
      {"2026-06-09T10:30:00Z", false},
      {"2026-06-09T04:15:00Z", true},
      {"2026-06-10T10:30:00Z", true}}},
};

static void clocks_decide(void **state) {
    (void)state;
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        sw_mute_times *times = parse(cases[i].text);
        for (size_t j = 0; j < SW_ARRAY_LEN(cases[i].moments) && cases[i].moments[j].at != NULL; j++) {
            int64_t now = 0;
            assert_int_equal(sw_parse_rfc3339(cases[i].moments[j].at, &now), 0);
            if (sw_mute_times_active(times, now) != cases[i].moments[j].muted) {
                fail_msg("%s, at %s", cases[i].name, cases[i].moments[j].at);
            }
        }
        sw_mute_times_free(times);
    }
}

static void nothing_is_never_muted(void **state) {
    (void)state;
    sw_mute_times *times = parse("");
    assert_false(sw_mute_times_active(times, 0));
    sw_mute_times_free(times);
}

static void every_mistake_is_told(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *said[3];
    } wrong[] = {
        {"Europe/Berlin", {"no days, dates, months or times"}},
        {"Sat 25:00-26:00", {"25:00-26:00 is neither"}},
        {"10:00-10:00", {"is neither"}},
        {"24:00-10:00", {"is neither"}},
        {"Sat Europe/Nowhere", {"Europe/Nowhere cannot be used"}},
        {"Satday", {"interval 1 (Satday): there are no days"}},
        {"Sat Sun", {"Sun comes behind something of the same kind"}},
        {"32", {"32 is neither"}},
        {"7-1", {"7-1 is neither"}},
        {"Mon 2026-12-24T18:00/2026-12-27T08:00", {"takes nothing but a zone"}},
        {"2026-12-27T08:00/2026-12-24T18:00", {"ends before it begins"}},
        {"2026-02-29T08:00/2026-03-24T18:00", {"is neither"}},
        {"Sat x:y; Sun; Mon ../etc/passwd", {"interval 1 (Sat x:y)", "interval 3 (Mon ../etc/passwd)"}},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(wrong); i++) {
        sw_buf mistakes;
        sw_buf_init(&mistakes, 1 << 16);
        sw_mute_times_free(sw_mute_times_parse(wrong[i].text, SW_ZONE_FOLDER, &mistakes));
        for (size_t j = 0; j < 3 && wrong[i].said[j] != NULL; j++) {
            if (mistakes.data == NULL || strstr(mistakes.data, wrong[i].said[j]) == NULL) {
                fail_msg("%s: %s", wrong[i].text, mistakes.data);
            }
        }
        sw_buf_release(&mistakes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_decide),
        cmocka_unit_test(nothing_is_never_muted),
        cmocka_unit_test(every_mistake_is_told),
    };
    if (need_zones(NULL) != 0) {
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
