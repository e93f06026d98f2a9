/*
 * Local time of an IANA time zone, from the compiled files of the system's tzdata (TZif, RFC 8536). libc can
 * only do this for one zone at a time, by changing TZ of the whole process.
 *
 * A file is read once, with its limits checked; what lies behind its last transition follows from the rule in
 * its footer. Leap seconds are not counted, as everywhere in POSIX.
 */
#ifndef SW_BASE_ZONE_H
#define SW_BASE_ZONE_H

#include "base/base.h"

#define SW_ZONE_FOLDER "/usr/share/zoneinfo"

typedef struct sw_zone sw_zone;

/* "Europe/Berlin" in `folder`. NULL with *why (caller frees): no such zone, or a damaged file. */
sw_zone *sw_zone_load(const char *folder, const char *name, char **why);
/* The same from the bytes of a file. */
sw_zone *sw_zone_read(const void *data, size_t len, char **why);
void sw_zone_free(sw_zone *zone);

/* Seconds east of UTC. */
int32_t sw_zone_offset_s(const sw_zone *zone, int64_t unix_s);

/* When clocks there show `local_s`, counted as if there was no offset. Of a time that comes twice: the first,
 * or the `last`. One that is jumped over counts as if the clock had not been changed yet. */
int64_t sw_zone_to_unix_s(const sw_zone *zone, int64_t local_s, bool last);

/* A date of the proleptic Gregorian calendar; month and day from 1, weekday from Sunday = 0. */
typedef struct sw_date {
    int64_t year;
    int month, day, weekday;
} sw_date;

int64_t sw_days_of_date(int64_t year, int month, int day); /* since 1970-01-01 */
sw_date sw_date_of_days(int64_t days);
int sw_days_in_month(int64_t year, int month);

#endif
