#include "base/zone_rule.h"

#include <ctype.h>
#include <string.h>

#include "base/zone.h"

#define DAY_S 86400

/* ---- reading ---- */

static bool take(const char **at, char c) {
    bool found = **at == c;
    *at += found ? 1 : 0;
    return found;
}

static bool take_name(const char **at) {
    const char *from = *at;
    if (take(at, '<')) {
        *at += strcspn(*at, ">");
        return take(at, '>');
    }
    while (isalpha((unsigned char)**at)) {
        (*at)++;
    }
    return *at - from >= 3;
}

static bool take_number(const char **at, int least, int most, int *out) {
    int digits = 0;
    *out = 0;
    for (; isdigit((unsigned char)**at) && digits < 4; digits++, (*at)++) {
        *out = *out * 10 + (**at - '0');
    }
    return digits > 0 && *out >= least && *out <= most;
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(const char **at, int most_hours, int *seconds) {
    int sign = **at == '-' ? -1 : 1, hours = 0, minutes = 0, rest = 0;
    if (**at == '-' || **at == '+') {
        (*at)++;
    }
    bool good = take_number(at, 0, most_hours, &hours);
    if (good && take(at, ':')) {
        good = take_number(at, 0, 59, &minutes);
        if (good && take(at, ':')) {
            good = take_number(at, 0, 59, &rest);
        }
    }
    *seconds = sign * (hours * 3600 + minutes * 60 + rest);
    return good;
}

static bool take_change(const char **at, sw_zone_change *out) {
    bool good = take(at, ',');
    *out = (sw_zone_change){.time_s = 2 * 3600};
    if (good && take(at, 'M')) {
        out->kind = 'M';
        good = take_number(at, 1, 12, &out->month) && take(at, '.') && take_number(at, 1, 5, &out->week) &&
               take(at, '.') && take_number(at, 0, 6, &out->day);
    } else if (good && take(at, 'J')) {
        out->kind = 'J';
        good = take_number(at, 1, 365, &out->day);
    } else if (good) {
        out->kind = 'D';
        good = take_number(at, 0, 365, &out->day);
    }
    if (good && take(at, '/')) {
        good = take_time(at, 167, &out->time_s);
    }
    return good;
}

int sw_zone_rule_parse(const char *text, sw_zone_rule *out) {
    int west = 0;
    *out = (sw_zone_rule){0};
    if (!take_name(&text) || !take_time(&text, 24, &west)) {
        return -1;
    }
    out->standard_s = -west;
    if (*text == '\0') {
        return 0;
    }
    out->has_summer = true;
    out->summer_s = out->standard_s + 3600;
    if (!take_name(&text)) {
        return -1;
    }
    if (*text != ',') {
        if (!take_time(&text, 24, &west)) {
            return -1;
        }
        out->summer_s = -west;
    }
    bool good = take_change(&text, &out->start) && take_change(&text, &out->end) && *text == '\0';
    return good ? 0 : -1;
}

/* ---- using ---- */

/* Days since 1970 of a change in that year. */
static int64_t day_of(const sw_zone_change *change, int64_t year) {
    if (change->kind == 'M') {
        int64_t first = sw_days_of_date(year, change->month, 1);
        int day = 1 + (change->day - sw_date_of_days(first).weekday + 7) % 7 + (change->week - 1) * 7;
        while (day > sw_days_in_month(year, change->month)) {
            day -= 7;
        }
        return first + day - 1;
    }
    int64_t january = sw_days_of_date(year, 1, 1);
    if (change->kind == 'D') {
        return january + change->day;
    }
    bool behind_leap_day = change->day >= 60 && sw_days_in_month(year, 2) == 29;
    return january + change->day - 1 + (behind_leap_day ? 1 : 0);
}

static int64_t floor_days(int64_t seconds) {
    return seconds / DAY_S - (seconds % DAY_S < 0 ? 1 : 0);
}

int32_t sw_zone_rule_offset_s(const sw_zone_rule *rule, int64_t unix_s) {
    if (!rule->has_summer) {
        return rule->standard_s;
    }
    int64_t year = sw_date_of_days(floor_days(unix_s + rule->standard_s)).year;
    int64_t start = day_of(&rule->start, year) * DAY_S + rule->start.time_s - rule->standard_s;
    int64_t end = day_of(&rule->end, year) * DAY_S + rule->end.time_s - rule->summer_s;
    bool summer = start < end ? unix_s >= start && unix_s < end : unix_s >= start || unix_s < end;
    return summer ? rule->summer_s : rule->standard_s;
}
