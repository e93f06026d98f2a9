/*
 * Questions of scripts about what is in memory (ctx.search): traces that have a span which fits all terms. As
 * memory may be large, it is looked through a piece in each pass of the loop; what comes or goes meanwhile
 * may be seen or not.
 *
 * Terms, of one span each: service, operation (its name), status, min_duration_ms, max_duration_ms,
 * attributes (all of them, on the span itself), from and to (unix seconds; it overlaps them). At most `limit`
 * traces are told, those first of which a span came last; of each trace what is known of all its spans, and
 * the spans that fit, at most OTLP_SPANS_TOLD. What comes behind the first OTLP_ANSWER bytes is left out: an
 * answer has to be turned into values in one pass of the loop.
 */
#ifndef SW_SOURCES_OTLP_SEARCH_H
#define SW_SOURCES_OTLP_SEARCH_H

#include <uv.h>

#include "base/clock.h"
#include "sources/otlp/assembly.h"

#define OTLP_SEARCH_LIMIT 100
#define OTLP_SEARCH_LIMIT_MAX 5000
#define OTLP_SPANS_TOLD 100
#define OTLP_ANSWER ((size_t)1 << 20)

typedef struct otlp_searches otlp_searches;

/* Loop, clock and assembly must outlive it; run the loop once more after freeing it. */
otlp_searches *otlp_searches_new(uv_loop_t *loop, const sw_clock *clock, const otlp_assembly *assembly);
/* Searches under way end without their callback. */
void otlp_searches_free(otlp_searches *searches);
/* `done` gets {traces, complete} from the loop, or a message and a code. A handle for cancel, or NULL when
 * `done` was called before returning, because of a mistake in the options. */
void *otlp_searches_start(otlp_searches *searches, const char *options_json, int64_t timeout_ms,
                          sw_query_done done, void *arg);
void otlp_searches_cancel(otlp_searches *searches, void *handle);

#endif
