/*
 * Time as an argument. Everything that needs the time takes a clock, so that tests and replays decide what
 * time it is.
 *
 * Wall time (unix nanoseconds) is for windows, payloads and what is stored; monotonic time is for deadlines
 * and intervals. `sw_clock_system()` reads the kernel's clocks; a test fills in its own functions.
 */
#ifndef SW_BASE_CLOCK_H
#define SW_BASE_CLOCK_H

#include "base/base.h"

typedef struct sw_clock {
    int64_t (*wall_ns)(void *arg);
    int64_t (*mono_ns)(void *arg);
    void *arg;
} sw_clock;

const sw_clock *sw_clock_system(void);
int64_t sw_wall_ns(const sw_clock *clock);
int64_t sw_mono_ns(const sw_clock *clock);

/* "2026-03-01T10:00:00.123Z" (24 characters and a NUL). */
void sw_format_rfc3339(int64_t wall_ns, char out[32]);
/* The other way: date, time, optional fraction, and Z or an offset. 0, or -1 when it is none or its year is
 * not from 1970 to 2261; digits of the fraction after the ninth are dropped. */
int sw_parse_rfc3339(const char *text, int64_t *wall_ns);

#endif
