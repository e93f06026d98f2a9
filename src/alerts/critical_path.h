/*
 * Where the time of a trace went: self time of each span and the critical path. Pure functions over the spans
 * of one trace, which come from outside: cycles, orphans, duplicates, spans that end before they start and
 * clocks that disagree change what is computed, never whether it ends. No recursion; O(n log n).
 *
 * The critical path is found as in CRISP (Zhang et al., "CRISP: Critical Path Analysis of Large-Scale
 * Microservice Architectures", USENIX ATC 2022) and Jaeger's critical path, which follows it: from the end of
 * the root backwards, the child that finished last holds the path while it runs; from its start on backwards
 * again the child of the same parent that finished last before that; what no child holds is the parent's own.
 * A child that is still running when the path comes to it was not waited for, and is passed over.
 *
 * What is done about bad input:
 *   - a child counts only where it lies inside its parent, as in Jaeger; one that lies outside (asynchronous,
 *     or of a clock that is off by more than its parent's duration) is not on the path;
 *   - of spans with the same id the longest counts, the first of equals; the others have no time;
 *   - spans without a known parent, and one span of each cycle, are children of the root: the longest of
 * those that name no parent. Without such a root they stand beside one another, and time in which none of
 * them runs belongs to nobody.
 */
#ifndef SW_ALERTS_CRITICAL_PATH_H
#define SW_ALERTS_CRITICAL_PATH_H

#include "sources/window.h"

#define SW_NO_SPAN SIZE_MAX

/* A stretch of the critical path, and the span that it belongs to. Never empty. */
typedef struct sw_path_piece {
    size_t span;
    int64_t from_ns, to_ns;
} sw_path_piece;

typedef struct sw_critical_path {
    int64_t *self_ns;      /* of each span: its duration less the union of its children's intervals */
    int64_t *on_path_ns;   /* of each span: the sum of its pieces */
    sw_path_piece *pieces; /* latest first; they do not overlap */
    size_t n_pieces;
    /* The deepest span with error status on the failing path: of those whose ancestors up to the root failed
     * as well, else of all; of equals the one that ended last. SW_NO_SPAN when none failed. */
    size_t failing;
    size_t slowest; /* the span with most time on the path; of equals the deepest. SW_NO_SPAN when none */
} sw_critical_path;

/* Release it. */
void sw_critical_path_of(const sw_trace *trace, sw_critical_path *out);
void sw_critical_path_release(sw_critical_path *path);

#endif
