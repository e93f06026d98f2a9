/*
 * The traces that Tempo was found to have and that offend, pieced together from answers that each know a
 * part: rows of a search (a fragment of the trace may be all that is left after a merge), spans of the sweep
 * (ids and durations only), the trace by its id (everything).
 *
 * What is known only grows: spans are merged by id, the trace begins with the earliest and ends with the
 * latest, its root is learnt once. A trace whose root is not known is held back for a poll, and asked for by
 * its id, so that it is offered under its root's name if it has one; after 60 s it is offered as it is.
 */
#ifndef SW_SOURCES_TEMPO_TRACE_CACHE_H
#define SW_SOURCES_TEMPO_TRACE_CACHE_H

#include "sources/source.h"
#include "sources/tempo/decode.h"

#define TEMPO_MAX_TRACES 50000
#define TEMPO_MAX_SPANS 200000
#define TEMPO_MAX_SPANS_PER_TRACE 200

typedef struct tempo_cache tempo_cache;

tempo_cache *tempo_cache_new(size_t max_traces, size_t max_spans);
void tempo_cache_free(tempo_cache *cache);

/* A poll begins: what offends now, and the monotonic time. The list of the poll before ends. */
void tempo_cache_begin(tempo_cache *cache, const sw_wants *wants, int64_t mono_ns);
/* Adds what a row knows; the row is released. -1 when there is no room for it. */
int tempo_cache_merge(tempo_cache *cache, tempo_row *row);
/* Adds what the sweep knows of one span. `at_ns` stands in for the time of a trace that nothing else knows.
 * -1 when there is no room or the ids are none. */
int tempo_cache_sweep(tempo_cache *cache, const tempo_series *series, int64_t at_ns);

/* A row that was read to count entry spans shows how long the trace lasted, whatever its fragments were: a
 * trace that takes too long only as a whole, and in no fragment, is found by this alone. It is asked for by
 * its id. */
void tempo_cache_suspect(tempo_cache *cache, const tempo_row *row);

/* The next trace that must be asked for by its id and was not yet in this poll; false when there is none. */
bool tempo_cache_next_detail(tempo_cache *cache, char id[SW_TRACE_ID_LEN + 1]);
/* That question failed; `gone`: the server does not have the trace. */
void tempo_cache_detail_failed(tempo_cache *cache, const char *id, bool gone);

/* The poll ends: makes the list of traces that may be judged and did not end before origin_ns. */
void tempo_cache_end(tempo_cache *cache, int64_t origin_ns, int64_t mono_ns);
/* The list; valid until the next begin or forget. */
const sw_trace *const *tempo_cache_list(const tempo_cache *cache, size_t *n);
/* Forgets traces that ended before before_ns, from the list too. */
void tempo_cache_forget(tempo_cache *cache, int64_t before_ns);
size_t tempo_cache_size(const tempo_cache *cache);
/* How many traces and spans found no room so far. */
uint64_t tempo_cache_dropped(const tempo_cache *cache);

#endif
