#include "alerts/evidence.h"

#include <math.h>
#include <stdlib.h>

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of an even number the mean of the middle two. */
static double median(const sw_evidence *evidence, size_t n, size_t n_untold) {
    double *durations = xcalloc(n_untold, sizeof *durations);
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (!evidence[i].notified) {
            durations[count++] = evidence[i].duration_ms;
        }
    }
    qsort(durations, count, sizeof *durations, by_size);
    double middle = (durations[(count - 1) / 2] + durations[count / 2]) / 2;
    free(durations);
    return middle;
}

sw_evidence_marks sw_evidence_mark(const sw_evidence *evidence, size_t n) {
    sw_evidence_marks marks = {SW_NO_EVIDENCE, SW_NO_EVIDENCE, SW_NO_EVIDENCE};
    size_t n_untold = 0;
    for (size_t i = 0; i < n; i++) {
        if (evidence[i].notified) {
            continue;
        }
        n_untold++;
        if (marks.worst == SW_NO_EVIDENCE || evidence[i].duration_ms > evidence[marks.worst].duration_ms) {
            marks.worst = i;
        }
        if (marks.newest == SW_NO_EVIDENCE || evidence[i].start_ns >= evidence[marks.newest].start_ns) {
            marks.newest = i;
        }
    }
    if (n_untold == 0) {
        return marks;
    }
    double middle = median(evidence, n, n_untold);
    for (size_t i = 0; i < n; i++) {
        bool nearer = marks.representative == SW_NO_EVIDENCE ||
                      fabs(evidence[i].duration_ms - middle) <
                          fabs(evidence[marks.representative].duration_ms - middle);
        if (!evidence[i].notified && nearer) {
            marks.representative = i;
        }
    }
    return marks;
}

static size_t longest_told(const sw_evidence *evidence, size_t n) {
    size_t found = SW_NO_EVIDENCE;
    for (size_t i = 0; i < n; i++) {
        bool longer = found == SW_NO_EVIDENCE || evidence[i].duration_ms > evidence[found].duration_ms;
        found = evidence[i].notified && longer ? i : found;
    }
    return found;
}

/* How soon a trace is dropped: those of the lowest rank first, and of one rank the oldest. */
enum { RANK_TOLD, RANK_LONGEST_TOLD, RANK_UNTOLD, RANK_REPRESENTATIVE, RANK_NEWEST, RANK_WORST, RANKS };

static unsigned char rank_of(const sw_evidence *evidence, size_t i, const sw_evidence_marks *marks,
                             size_t longest) {
    return i == marks->worst            ? RANK_WORST
           : i == marks->newest         ? RANK_NEWEST
           : i == marks->representative ? RANK_REPRESENTATIVE
           : !evidence[i].notified      ? RANK_UNTOLD
           : i == longest               ? RANK_LONGEST_TOLD
                                        : RANK_TOLD;
}

void sw_evidence_trim(sw_alert *alert, size_t max) {
    size_t n = alert->n_evidence;
    if (n <= max) {
        return;
    }
    sw_evidence_marks marks = sw_evidence_mark(alert->evidence, n);
    size_t longest = longest_told(alert->evidence, n);
    unsigned char *ranks = xmalloc(n);
    size_t of_rank[RANKS] = {0};
    for (size_t i = 0; i < n; i++) {
        ranks[i] = rank_of(alert->evidence, i, &marks, longest);
        of_rank[ranks[i]]++;
    }
    size_t drop[RANKS] = {0}, over = n - max, kept = 0;
    for (size_t rank = 0; rank < RANKS; rank++) {
        drop[rank] = of_rank[rank] < over ? of_rank[rank] : over;
        over -= drop[rank];
    }
    for (size_t i = 0; i < n; i++) {
        if (drop[ranks[i]] > 0) {
            drop[ranks[i]]--;
        } else {
            alert->evidence[kept++] = alert->evidence[i];
        }
    }
    alert->n_evidence = kept;
    free(ranks);
}
