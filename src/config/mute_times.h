/*
 * Times in which nothing is told: SPANWATCH_MUTE_TIME_INTERVALS, intervals separated by semicolons. Each is
 * one of
 *
 *     [DAYS] [DATES] [MONTHS] [TIMES] [ZONE]          again and again
 *     YYYY-MM-DDThh:mm/YYYY-MM-DDThh:mm [ZONE]        once
 *
 * DAYS are Mon … Sun, DATES 1 … 31 or -1 … -31 (from the month's end), MONTHS Jan … Dec; each a list with
 * commas of words and ranges ("Mon,Wed-Fri"; ranges of days and months may go round: "Fri-Mon"). TIMES is
 * hh:mm-hh:mm, the second up to 24:00; when it is not later than the first, it belongs to the next day, and
 * days, dates and months say when it begins. What is left out is any. ZONE is an IANA name; UTC when left
 * out.
 *
 * Clocks decide: an interval is as long as the clocks there show its times, also when they are changed. Of an
 * interval that is once, a beginning that comes twice is the first, and an end the last.
 */
#ifndef SW_CONFIG_MUTE_TIMES_H
#define SW_CONFIG_MUTE_TIMES_H

#include "base/buf.h"

#define SW_MUTE_TIMES_MAX 100 /* intervals */

typedef struct sw_mute_times sw_mute_times;

/* Never NULL. What is wrong is appended to `mistakes`, all of it, joined by "; ": then only the good ones are
 * in it. `zones` is the folder of compiled zones. */
sw_mute_times *sw_mute_times_parse(const char *text, const char *zones, sw_buf *mistakes);
void sw_mute_times_free(sw_mute_times *times);
bool sw_mute_times_active(const sw_mute_times *times, int64_t wall_ns);

#endif
