#include "base/clock.h"

#include <stdio.h>
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
