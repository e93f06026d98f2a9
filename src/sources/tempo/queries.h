/* The TraceQL and the URLs of Tempo's questions. */
#ifndef SW_SOURCES_TEMPO_QUERIES_H
#define SW_SOURCES_TEMPO_QUERIES_H

#include <jansson.h>

#include "base/buf.h"

#define TEMPO_QUERY_MAX 65536
#define TEMPO_LIMIT_MAX 5000 /* an absurd limit kills the server */
#define TEMPO_SPSS 100       /* spans per span set: the server's maximum */

/* Appends `s` as a TraceQL string literal. */
void tempo_append_literal(sw_buf *out, const char *s);
/* Appends a duration literal, exact to the nanosecond. */
void tempo_append_duration(sw_buf *out, double ms);

/* The questions. `modern`: with what servers before about 2.8 refuse: hints, and a span set for each span, so
 * that fragments of a trace are merged without loss. Caller frees.
 *
 * Durations are compared as `duration * 1`: a plain comparison is answered from the statistics of a block,
 * and one span that ends before it starts makes these hide every slow span of the block. */
char *tempo_counts_query(bool histogram, bool modern);
char *tempo_entry_search_query(bool modern);
/* errors and min_duration_ms (< 0: none) as in sw_wants; at least one is wanted. */
char *tempo_offenders_query(bool errors, double min_duration_ms, bool modern);
/* Every failing span, and those longer than min_duration_ms (< 0: none), with trace and span id. */
char *tempo_sweep_query(double min_duration_ms);
/* A script's portable terms (an object as in messages.md, types already checked). */
char *tempo_portable_query(const json_t *terms);

/* URLs: `base` has no slash at its end. Caller frees. */
char *tempo_search_url(const char *base, const char *q, int64_t from_s, int64_t to_s, unsigned limit,
                       unsigned spss);
char *tempo_range_url(const char *base, const char *q, int64_t from_s, int64_t to_s, int64_t step_s);
char *tempo_instant_url(const char *base, const char *q, int64_t from_s, int64_t to_s);
/* By id, in the second version of the API, or the first. */
char *tempo_trace_url(const char *base, const char *id, int version);

#endif
