/*
 * Which of an alert's offending traces say most: the worst, the newest, and a representative one.
 */
#ifndef SW_ALERTS_EVIDENCE_H
#define SW_ALERTS_EVIDENCE_H

#include "alerts/alerts.h"

#define SW_NO_EVIDENCE SIZE_MAX

/* Places in the alert's evidence; all may be the same one. */
typedef struct sw_evidence_marks {
    size_t worst;          /* longest */
    size_t newest;         /* began last */
    size_t representative; /* nearest to the median of the durations */
} sw_evidence_marks;

/* Of those that no notification has told yet; SW_NO_EVIDENCE when there is none. */
sw_evidence_marks sw_evidence_mark(const sw_evidence *evidence, size_t n);
/* Drops what is over the cap, keeping the order: first what was told, oldest first, the longest of them last;
 * then what was not, oldest first, the marked ones last. The worst stays until the end. */
void sw_evidence_trim(sw_alert *alert, size_t max);

#endif
