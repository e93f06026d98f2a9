/* "Did you mean …?": of the words offered, the one with the fewest typing mistakes to what was written. */
#ifndef SW_CONFIG_NEAREST_H
#define SW_CONFIG_NEAREST_H

#include "base/base.h"

#define SW_NEAREST_MAX 64 /* longer words are never near */

typedef struct sw_nearest {
    const char *word;
    char best[SW_NEAREST_MAX]; /* "" while nothing near was offered */
    size_t distance;
} sw_nearest;

void sw_nearest_init(sw_nearest *nearest, const char *word); /* keeps the pointer */
void sw_nearest_offer(sw_nearest *nearest, const char *candidate);
/* Letters to insert, delete, replace or swap with their neighbour; SIZE_MAX when one is too long. */
size_t sw_edit_distance(const char *a, const char *b);

#endif
