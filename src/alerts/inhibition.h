/*
 * Which alerts are inhibited now, and by which: by rules (inhibit_rules.h), and by what the traces say.
 *
 * By a rule: an alert that matches its target side, while another firing alert matches its source side and
 * has the same values of the labels in `equal` (absent is the same as empty). As in Alertmanager, an alert
 * that matches both sides is not inhibited by one that matches both sides, and an inhibited alert inhibits
 * too.
 *
 * By the traces: the alert (the caller's) is inhibited by another firing one (the cause) when all of this
 * is so:
 *  - both are about time, or both about errors. The type says it: it contains "latency", "slow" or
 *    "duration", or "error" or "fail". With words of both kinds, or none, an alert takes no part;
 *  - the caller's alert knows its culprit (culprit.h), which is a span that failed when it is about errors,
 *    and the slowest one when it is about time; the culprit's service is not the alert's own, and both are
 *    known;
 *  - the other traces of the caller's alert that were looked at when it began to fire blame that service too
 *    (sw_culprit.agreed);
 *  - the cause's service is the culprit's. When it has an operation, the culprit or a step of the critical
 *    path is of that service and has this name;
 *  - the cause is at least as severe;
 *  - the cause was there at the latest SW_CAUSE_LATE_NS after the caller's alert began to fire;
 *  - somebody knows of the cause: it was told, or nothing but inhibition keeps it back (options.speaks).
 * With all of it but that the traces agree, and the last three, it is still named as likely cause.
 *
 * No alert is silent because of one that is silent because of it: an alert is inhibited only by one of which
 * that was settled before. Where alerts inhibit each other in a circle, one of them is told.
 */
#ifndef SW_ALERTS_INHIBITION_H
#define SW_ALERTS_INHIBITION_H

#include "alerts/inhibit_rules.h"

#define SW_CAUSE_LATE_NS (INT64_C(600) * SW_NS_PER_S)

/* What an alert is about, as its type says. */
typedef enum sw_topic { SW_TOPIC_OTHER, SW_TOPIC_TIME, SW_TOPIC_ERRORS } sw_topic;
sw_topic sw_topic_of(const char *type);

typedef struct sw_inhibition_options {
    const sw_inhibit_rules *rules; /* not NULL; must stay */
    bool by_traces;
    /* Whether nothing but inhibition keeps the alert's notifications back. */
    bool (*speaks)(const sw_alert *alert, void *arg);
    void *arg;
} sw_inhibition_options;

/* The alert that the traces name as the cause of another one. */
typedef struct sw_likely_cause {
    char fingerprint[SW_FINGERPRINT_LEN + 1];
    char *type, *service, *summary;
} sw_likely_cause;

typedef struct sw_inhibition sw_inhibition;

/* As it is now; what changes in the alerts later does not change it. */
sw_inhibition *sw_inhibition_new(const sw_alerts *alerts, const sw_inhibition_options *options);
/* The same in pieces: of use only when sw_inhibition_step() has said false. */
sw_inhibition *sw_inhibition_begin(const sw_alerts *alerts, const sw_inhibition_options *options);
bool sw_inhibition_step(sw_inhibition *inhibition);
void sw_inhibition_free(sw_inhibition *inhibition); /* NULL is fine */

/* False: the alert could not be inhibited when that was decided, or was not there. */
bool sw_inhibition_knows(const sw_inhibition *inhibition, const char *fingerprint);
/* The fingerprint of the one that inhibits it; NULL when none does. */
const char *sw_inhibition_by(const sw_inhibition *inhibition, const char *fingerprint);
/* What the traces name as its cause, whether that inhibits it or not; NULL when nothing. */
const sw_likely_cause *sw_inhibition_cause(const sw_inhibition *inhibition, const char *fingerprint);

/* False when nothing could inhibit the alert, whatever else fires. */
bool sw_inhibition_concerns(const sw_inhibition_options *options, const sw_alert *alert);

#endif
