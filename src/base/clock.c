#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_clock(clockid_t id) {
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * SW_NS_PER_S + ts.tv_nsec;
}

static int64_t system_wall(void *arg) {
    (void)arg;
    return read_clock(CLOCK_REALTIME);
}

static int64_t system_mono(void *arg) {
    (void)arg;
    return read_clock(CLOCK_MONOTONIC);
}

const sw_clock *sw_clock_system(void) {
    static const sw_clock clock = {system_wall, system_mono, NULL};
    return &clock;
}

int64_t sw_wall_ns(const sw_clock *clock) {
    return clock->wall_ns(clock->arg);
}

int64_t sw_mono_ns(const sw_clock *clock) {
    return clock->mono_ns(clock->arg);
}

/* `n` digits. */
static bool take_number(const char **at, size_t n, int *out) {
    *out = 0;
    for (size_t i = 0; i < n; i++, (*at)++) {
        if (**at < '0' || **at > '9') {
            return false;
        }
        *out = *out * 10 + (**at - '0');
    }
    return true;
}

static bool take(const char **at, const char *any_of) {
    bool found = **at != '\0' && strchr(any_of, **at) != NULL;
    *at += found ? 1 : 0;
    return found;
}

/* "2026-03-01T10:00:00"; the month's length is checked by going there and back. */
static bool take_date_time(const char **at, time_t *seconds) {
    struct tm tm = {0};
    bool good = take_number(at, 4, &tm.tm_year) && take(at, "-") && take_number(at, 2, &tm.tm_mon) &&
                take(at, "-") && take_number(at, 2, &tm.tm_mday) && take(at, "Tt ") &&
                take_number(at, 2, &tm.tm_hour) && take(at, ":") && take_number(at, 2, &tm.tm_min) &&
                take(at, ":") && take_number(at, 2, &tm.tm_sec);
    if (!good || tm.tm_year < 1970 || tm.tm_year > 2261 || tm.tm_hour > 23 || tm.tm_min > 59 ||
        tm.tm_sec > 60) {
        return false;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    struct tm back = tm;
    *seconds = timegm(&back);
    return back.tm_mday == tm.tm_mday && back.tm_mon == tm.tm_mon;
}

/* Nanoseconds; false when there is a point and no digit. */
static bool take_fraction(const char **at, int64_t *ns) {
    *ns = 0;
    if (!take(at, ".,")) {
        return true;
    }
    const char *from = *at;
    for (int64_t unit = SW_NS_PER_S / 10; **at >= '0' && **at <= '9'; (*at)++, unit /= 10) {
        *ns += unit * (**at - '0');
    }
    return *at > from;
}

static bool take_offset(const char **at, int *seconds) {
    *seconds = 0;
    if (take(at, "Zz")) {
        return true;
    }
    int sign = **at == '-' ? -1 : 1, hours = 0, minutes = 0;
    bool good = take(at, "+-") && take_number(at, 2, &hours) && take(at, ":") && take_number(at, 2, &minutes);
    *seconds = sign * (hours * 3600 + minutes * 60);
    return good && hours <= 23 && minutes <= 59;
}

int sw_parse_rfc3339(const char *text, int64_t *wall_ns) {
    time_t seconds = 0;
    int64_t fraction_ns = 0;
    int offset_s = 0;
    const char *at = text;
    if (!take_date_time(&at, &seconds) || !take_fraction(&at, &fraction_ns) || !take_offset(&at, &offset_s) ||
        *at != '\0') {
        return -1;
    }
    *wall_ns = ((int64_t)seconds - offset_s) * SW_NS_PER_S + fraction_ns;
    return 0;
}

void sw_format_rfc3339(int64_t wall_ns, char out[32]) {
    int64_t ms = wall_ns / SW_NS_PER_MS;
    int64_t rest = ms % 1000;
    if (rest < 0) {
        rest += 1000;
    }
    time_t seconds = (time_t)((ms - rest) / 1000);
    struct tm tm = {0};
    gmtime_r(&seconds, &tm);
    size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03dZ", (int)rest);
}
