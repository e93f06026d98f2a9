#include "config/nearest.h"

#include <stdio.h>
#include <string.h>

static size_t smallest(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Optimal string alignment, with the three rows that it looks back to. */
size_t sw_edit_distance(const char *a, const char *b) {
    size_t la = strlen(a), lb = strlen(b);
    if (la >= SW_NEAREST_MAX || lb >= SW_NEAREST_MAX) {
        return SIZE_MAX;
    }
    size_t rows[3][SW_NEAREST_MAX];
    for (size_t j = 0; j <= lb; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= la; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t replace = above[j - 1] + (a[i - 1] != b[j - 1] ? 1 : 0);
            row[j] = smallest(above[j] + 1, row[j - 1] + 1, replace);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                size_t swap = rows[(i + 1) % 3][j - 2] + 1;
                row[j] = swap < row[j] ? swap : row[j];
            }
        }
    }
    return rows[la % 3][lb];
}

void sw_nearest_init(sw_nearest *nearest, const char *word) {
    *nearest = (sw_nearest){.word = word, .distance = strlen(word) / 4 + 2};
}

void sw_nearest_offer(sw_nearest *nearest, const char *candidate) {
    size_t distance = sw_edit_distance(nearest->word, candidate);
    /* As many mistakes as letters would make every short word near to every other. */
    if (distance < nearest->distance && distance < strlen(candidate)) {
        nearest->distance = distance;
        snprintf(nearest->best, sizeof nearest->best, "%s", candidate);
    }
}
