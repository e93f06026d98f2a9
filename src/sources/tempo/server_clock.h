/*
 * The server's clock, learnt from Date headers: what time it is there, as a distance from our monotonic
 * clock, so that a step of our wall clock changes nothing.
 *
 * A Date header has whole seconds, so each one leaves a second of doubt; the doubts of many headers overlap
 * in less. A header outside of what was known means that the server's clock was set (or that we slept): then
 * it starts anew. Where our own wall clock fits, it is believed.
 */
#ifndef SW_SOURCES_TEMPO_SERVER_CLOCK_H
#define SW_SOURCES_TEMPO_SERVER_CLOCK_H

#include "base/base.h"

typedef struct tempo_clock {
    bool known;
    int64_t low_ns, high_ns; /* bounds of server time - monotonic time */
} tempo_clock;

/* An answer with this Date header came at these times; date_s 0 is ignored. True when what was known before
 * was wrong by more than a second, or nothing was known and the wall clock is wrong by more than a second. */
bool tempo_clock_learn(tempo_clock *clock, int64_t date_s, int64_t mono_ns, int64_t wall_ns);
/* The server's time; our wall clock while nothing is known. */
int64_t tempo_clock_now_ns(const tempo_clock *clock, int64_t mono_ns, int64_t wall_ns);

#endif
