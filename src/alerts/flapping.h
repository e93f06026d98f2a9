/*
 * Flapping: an alert that keeps beginning and ending, found as Nagios does
 * (https://assets.nagios.com/downloads/nagioscore/docs/nagioscore/4/en/flapping.html). The last 21 states
 * have 20 places where the state may have changed. Each change counts, the oldest 0.8 and the newest 1.2,
 * evenly in between, and the sum is given in percent of 20. Flapping begins at the high threshold and ends
 * below the low one.
 *
 * A state is what an evaluation of the detector said that counts: one that knows, or one that found the
 * alert. Firing is one state, everything else (pending, resolved, never heard of) the other.
 *
 * History is by number of evaluation, so that nothing needs to be written while nothing changes: between the
 * last state and now, all were the last one. It outlives the alert: of an alert that is gone it is kept, for
 * as long as one of its states is firing.
 */
#ifndef SW_ALERTS_FLAPPING_H
#define SW_ALERTS_FLAPPING_H

#include "base/base.h"

#define SW_FLAP_STATES 21
#define SW_FLAP_HISTORIES_MAX 10000 /* of alerts that are gone; the oldest go first */

typedef struct sw_flap_history {
    uint32_t states;     /* bit 0 is the newest; 1 is firing */
    uint32_t evaluation; /* number of the evaluation that said the newest, counted for its reporter */
} sw_flap_history;

/* Another evaluation has said it. The same evaluation may say it again, or change it. */
void sw_flap_record(sw_flap_history *history, uint32_t evaluation, bool firing);
double sw_flap_percent(uint32_t states); /* 0 to 100 */

/* The histories of alerts that are gone. `reporter` is the number of who evaluates them. */
typedef struct sw_flaps sw_flaps;

/* Called for what is dropped: it need not be stored any more. */
typedef void (*sw_flap_dropped)(uint64_t fingerprint, void *arg);

sw_flaps *sw_flaps_new(void);
void sw_flaps_free(sw_flaps *flaps);
/* The oldest is dropped when there is no room. One that is there already is replaced. */
void sw_flaps_put(sw_flaps *flaps, uint64_t fingerprint, uint32_t reporter, const sw_flap_history *history,
                  sw_flap_dropped dropped, void *arg);
/* The history of an alert that is back; false when there is none, or it is of another reporter. It is not
 * kept here any more, either way. *was_there: something was. */
bool sw_flaps_take(sw_flaps *flaps, uint64_t fingerprint, uint32_t reporter, sw_flap_history *out,
                   bool *was_there);
/* Drops the histories of the reporter in which nothing has been firing for the last 21 states. */
void sw_flaps_expire(sw_flaps *flaps, uint32_t reporter, uint32_t evaluation, sw_flap_dropped dropped,
                     void *arg);
size_t sw_flaps_count(const sw_flaps *flaps);

#endif
