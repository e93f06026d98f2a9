/*
 * Which (type, trace id) were reported, for a million of them: 32 bytes each in a ring in the order of time,
 * and a table of 4-byte positions to find them. Forgetting takes them from the ring's old end.
 */
#ifndef SW_ALERTS_REPORTED_H
#define SW_ALERTS_REPORTED_H

#include "base/base.h"

typedef struct sw_reported sw_reported;
typedef struct sw_reported_type sw_reported_type;

sw_reported *sw_reported_new(void);
void sw_reported_free(sw_reported *reported);
bool sw_reported_has(const sw_reported *reported, const char *type, const char *trace_id);
/* False when it was there already (nothing changes then). */
bool sw_reported_add(sw_reported *reported, const char *type, const char *trace_id, int64_t at_ns);
/* Forgets what is older than ttl_ns, in proportion to what is forgotten: some milliseconds at most, and the
 * rest in the next call. */
void sw_reported_expire(sw_reported *reported, int64_t now_ns, int64_t ttl_ns);
/* Of each type under which the trace was reported: when. */
void sw_reported_each_type(const sw_reported *reported, const char *trace_id,
                           void (*each)(const char *type, int64_t at_ns, void *arg), void *arg);
size_t sw_reported_count(const sw_reported *reported);

#endif
