#include "sources/tempo/failing_span.h"

#include <stdlib.h>
#include <string.h>

#define CLIMB_MAX 128 /* deeper than this, or a circle, is as deep as it gets */

static int by_id(const void *a, const void *b) {
    return strcmp((*(const sw_span *const *)a)->id, (*(const sw_span *const *)b)->id);
}

static const sw_span *parent_of(const sw_span *span, const sw_span **index, size_t n) {
    sw_span wanted = {0};
    memcpy(wanted.id, span->parent_id, sizeof wanted.id);
    const sw_span *key = &wanted;
    const sw_span **found = bsearch(&key, index, n, sizeof *index, by_id);
    return found != NULL ? *found : NULL;
}

static unsigned depth_of(const sw_span *span, bool root, const sw_span **index, size_t n) {
    unsigned depth = root ? 0 : 1;
    for (const sw_span *at = span; depth < CLIMB_MAX && at != NULL && at->parent_id[0] != '\0'; depth++) {
        at = parent_of(at, index, n);
    }
    return depth;
}

const sw_span *tempo_failing_span(const tempo_row *row, double *depth) {
    const sw_trace *trace = &row->trace;
    const sw_span **index = xcalloc(trace->n_spans, sizeof *index);
    for (size_t i = 0; i < trace->n_spans; i++) {
        index[i] = &trace->spans[i];
    }
    if (trace->n_spans > 0) {
        qsort(index, trace->n_spans, sizeof *index, by_id);
    }
    const sw_span *best = NULL;
    unsigned best_depth = 0;
    for (size_t i = 0; i < trace->n_spans; i++) {
        const sw_span *span = &trace->spans[i];
        if (span->status != SW_STATUS_ERROR || span->status_message[0] == '\0') {
            continue;
        }
        unsigned own = depth_of(span, row->roots[i], index, trace->n_spans);
        if (best == NULL || own < best_depth || (own == best_depth && span->start_ns < best->start_ns)) {
            best = span;
            best_depth = own;
        }
    }
    free(index);
    if (depth != NULL) {
        *depth = best_depth;
    }
    return best;
}
