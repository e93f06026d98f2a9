/* What the demo's webhook was told: printed as it comes, and compared with what was planted. */
#ifndef SW_DEMO_ALERTS_SEEN_H
#define SW_DEMO_ALERTS_SEEN_H

#include <stdbool.h>
#include <stddef.h>

typedef struct sw_alerts_seen {
    unsigned planted;    /* bits of those that were told */
    unsigned unexpected; /* notifications about anything else */
} sw_alerts_seen;

/* A notification's default body, which came `seconds` after the start. False when it is none. */
bool sw_alerts_seen_take(sw_alerts_seen *seen, const char *body, size_t len, double seconds);
/* True when all that was planted was told and nothing else; says it either way. */
bool sw_alerts_seen_conclude(const sw_alerts_seen *seen);

#endif
