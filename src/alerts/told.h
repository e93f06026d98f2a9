/*
 * To whom an alert was told, and when last: the text "webhook@1764200000 pager@1764203600" (unix seconds), as
 * it is kept with the alert (sw_alert.told). Whom it was told to is told its end, whatever routes say by
 * then. The text may come from a damaged store: what cannot be read in it is passed over.
 */
#ifndef SW_ALERTS_TOLD_H
#define SW_ALERTS_TOLD_H

#include "base/buf.h"

#define SW_TOLD_NAME_MAX 64           /* bytes of a receiver's name */
#define SW_TOLD_MAX ((size_t)1 << 16) /* bytes of the text */

typedef struct sw_told {
    char receiver[SW_TOLD_NAME_MAX + 1];
    int64_t at_s;
} sw_told;

/* The first entry behind `at` (the text, or what the call before returned), or NULL. `at` may be NULL. */
const char *sw_told_next(const char *at, sw_told *out);
/* When it was told; -1 when it was not. */
int64_t sw_told_at(const char *told, const char *receiver);
/* Appends `told` with the receiver told at that time. */
void sw_told_append(const char *told, const char *receiver, int64_t at_s, sw_buf *out);

#endif
