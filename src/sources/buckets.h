/*
 * Counts per step of time: for each bucket of step_s seconds, and in it for each service and operation, how
 * many entry spans started, how many failed, and a histogram of how long they took. Any source can use it.
 *
 * Buckets are read in drafts: begin a draft for a stretch of whole buckets, add what the backend counted, and
 * commit it, which replaces these buckets as a whole, or drop it, which leaves everything as it was. A bucket
 * is *known* once a draft with it was committed; a commit that changes a known bucket raises its revision. A
 * bucket may be *skipped* instead: it was given up and will never be known; windows pass over it, and are not
 * complete. Unknown is never zero.
 *
 * Everything is bounded by max_entries (service and operation pairs, summed over all buckets and the draft);
 * a draft that goes over it cannot be committed.
 */
#ifndef SW_SOURCES_BUCKETS_H
#define SW_SOURCES_BUCKETS_H

#include "sources/window.h"

typedef struct sw_buckets sw_buckets;

sw_buckets *sw_buckets_new(int64_t step_s, size_t max_entries);
void sw_buckets_free(sw_buckets *buckets);

/* Begins a draft of [from_s, to_s), both multiples of step_s; a draft that was begun before is dropped. */
void sw_buckets_begin(sw_buckets *buckets, int64_t from_s, int64_t to_s);
/* Adds to the draft's bucket in which at_s lies: `count` spans, `errors` of them failed. Those whose duration
 * is known lie in (lower_ms, upper_ms]; upper_ms 0 when it is not. Outside of the draft: ignored. */
void sw_buckets_add(sw_buckets *buckets, int64_t at_s, const char *service, const char *operation,
                    double count, double errors, double lower_ms, double upper_ms);
/* 0, or -1 when the draft has more entries than allowed: then it is dropped. */
int sw_buckets_commit(sw_buckets *buckets, bool estimated);
void sw_buckets_drop(sw_buckets *buckets);

/* Gives up the buckets of [from_s, to_s) that are not known. */
void sw_buckets_skip(sw_buckets *buckets, int64_t from_s, int64_t to_s);
/* Buckets that end before or at before_s are final: later commits do not change them. */
void sw_buckets_finish(sw_buckets *buckets, int64_t before_s);
/* Forgets all buckets that end before or at before_s. */
void sw_buckets_forget(sw_buckets *buckets, int64_t before_s);
/* Forgets all buckets that start at or after from_s, final ones too: the clock was set back. */
void sw_buckets_forget_from(sw_buckets *buckets, int64_t from_s);

/* The first second at or after from_s (a multiple of step_s) whose bucket is neither known nor skipped. */
int64_t sw_buckets_known_until(const sw_buckets *buckets, int64_t from_s);
/* Sum of the revisions of the buckets in [from_s, to_s). */
unsigned sw_buckets_revision(const sw_buckets *buckets, int64_t from_s, int64_t to_s);
/* Number of entries in all buckets. */
size_t sw_buckets_entries(const sw_buckets *buckets);
/* Sum of all counts in [from_s, to_s). */
double sw_buckets_total(const sw_buckets *buckets, int64_t from_s, int64_t to_s);
/* Fills an init'ed window with the series of [from_s, to_s), by service and operation, and says whether they
 * are complete and estimated. */
void sw_buckets_build_window(const sw_buckets *buckets, int64_t from_s, int64_t to_s, sw_window *window);

#endif
