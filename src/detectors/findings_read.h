/*
 * What a worker's reply says it found, checked: the worker runs hostile code. Texts over their cap are cut;
 * counts over theirs, values of a wrong type, and names that are none refuse the whole reply, because half of
 * what a detector found would be taken for all of it.
 */
#ifndef SW_DETECTORS_FINDINGS_READ_H
#define SW_DETECTORS_FINDINGS_READ_H

#include "detectors/finding.h"
#include "protocol/frame.h"

#define SW_FINDING_MAX_TYPE 128
#define SW_FINDING_MAX_LABEL_NAME 128
#define SW_FINDINGS_MAX_TRACES 50000           /* per reply, in all findings together */
#define SW_FINDINGS_MAX_SPANS 100000           /* likewise; traces beyond it are taken without their spans */
#define SW_FINDING_MAX_SECONDS (400.0 * 86400) /* for_s, keep_firing_s: longer is cut */

/* The window that was judged. */
typedef struct sw_judged_window {
    const char *source; /* static text */
    int64_t from_s, to_s;
    bool complete, estimated;
    sw_trace *traces; /* those that the detector saw, sorted by id: references are completed from them */
    size_t n_traces;
} sw_judged_window;

void sw_judged_window_release(sw_judged_window *judged);
/* Copies what is needed of the window and of its traces at these places. */
void sw_judged_window_copy(sw_judged_window *to, const sw_window *window, const size_t *chosen,
                           size_t n_chosen);

/* `findings` of a reply (an array, an empty map, or NULL). 0 with *out (sw_findings_free), or -1 with *why
 * (caller frees). */
int sw_findings_read(const msgpack_object *findings, const char *detector, const sw_judged_window *judged,
                     sw_finding **out, size_t *n, char **why);

#endif
