#include "sources/tempo/server_clock.h"

#define TOLERANCE_NS (20 * SW_NS_PER_MS) /* the header is written a little before it is read; drift */

/* The distance within [low, high] that is nearest to the one of our own wall clock. */
static int64_t nearest(const tempo_clock *clock, int64_t own_ns) {
    return own_ns < clock->low_ns ? clock->low_ns : own_ns > clock->high_ns ? clock->high_ns : own_ns;
}

bool tempo_clock_learn(tempo_clock *clock, int64_t date_s, int64_t mono_ns, int64_t wall_ns) {
    if (date_s <= 0 || date_s > INT64_MAX / SW_NS_PER_S / 2) {
        return false;
    }
    int64_t before = tempo_clock_now_ns(clock, mono_ns, wall_ns);
    int64_t low = date_s * SW_NS_PER_S - mono_ns - TOLERANCE_NS;
    int64_t high = low + SW_NS_PER_S + 2 * TOLERANCE_NS;
    /* Each answer lets the bounds move apart a little, so that slow drift is followed. */
    int64_t known_low = clock->low_ns - TOLERANCE_NS / 4, known_high = clock->high_ns + TOLERANCE_NS / 4;
    bool fits = clock->known && known_low <= high && known_high >= low;
    clock->low_ns = fits && known_low > low ? known_low : low;
    clock->high_ns = fits && known_high < high ? known_high : high;
    clock->known = true;
    int64_t moved = tempo_clock_now_ns(clock, mono_ns, wall_ns) - before;
    return moved > SW_NS_PER_S || moved < -SW_NS_PER_S;
}

int64_t tempo_clock_now_ns(const tempo_clock *clock, int64_t mono_ns, int64_t wall_ns) {
    return clock->known ? mono_ns + nearest(clock, wall_ns - mono_ns) : wall_ns;
}
