/*
 * The counts of one metrics answer, before they become buckets: where a sample belongs is known only when all
 * of them are there.
 *
 * A sample's timestamp is the right edge of its bucket since 2.9, and the left edge before. Both kinds of
 * server answer a range [from, to] with stamps from, from + step, … to (some older ones without the last), so
 * only the counts tell:
 *   - something counted at `to`: right edges, for certain (what starts after `to` was not asked for);
 *   - no stamp `to` in any series, though the server could see that far: left edges;
 *   - all stamps have counts, but none at `to`, for at least four buckets: left edges, unless right edges
 * were seen before; then only when it goes on for ten answers (another server has taken over). Until one of
 * these is seen, right edges are assumed.
 */
#ifndef SW_SOURCES_TEMPO_COUNT_TABLE_H
#define SW_SOURCES_TEMPO_COUNT_TABLE_H

#include "sources/buckets.h"
#include "sources/tempo/decode.h"

#define TEMPO_MAX_SERIES 20000
#define TEMPO_MAX_SAMPLES 1000000

typedef enum tempo_edge { TEMPO_EDGE_UNKNOWN, TEMPO_EDGE_RIGHT, TEMPO_EDGE_LEFT } tempo_edge;
typedef struct tempo_layout {
    tempo_edge edge;
    unsigned against; /* answers in a row that look like the other edge */
} tempo_layout;

typedef struct tempo_counts tempo_counts;

tempo_counts *tempo_counts_new(int64_t from_s, int64_t to_s, int64_t step_s);
void tempo_counts_free(tempo_counts *counts);
void tempo_counts_reset(tempo_counts *counts);
/* False (why filled) when the series is not as asked for. */
bool tempo_counts_add(tempo_counts *counts, const tempo_series *series, char why[SW_JSON_WHY]);
/* True when the answer had more series or samples than are held: it counts as cut short. */
bool tempo_counts_overflowed(const tempo_counts *counts);
/* Learns the layout from the answer. seen_until_s: the server's time up to which it shows spans at all. */
void tempo_counts_learn(const tempo_counts *counts, int64_t seen_until_s, tempo_layout *layout);
/* The second until which the answer has buckets: to_s, or less when the server cut its end off. */
int64_t tempo_counts_until(const tempo_counts *counts, const tempo_layout *layout);
/* Adds all counts to the draft of `buckets`. */
void tempo_counts_draft(const tempo_counts *counts, const tempo_layout *layout, sw_buckets *buckets);

#endif
