/*
 * Entry spans seen by search, for servers that cannot count: one entry for each (trace id, span id), so that
 * a span that is read again is counted once, and one that a later answer has lost is still counted.
 */
#ifndef SW_SOURCES_TEMPO_SPAN_TABLE_H
#define SW_SOURCES_TEMPO_SPAN_TABLE_H

#include "sources/buckets.h"
#include "sources/tempo/decode.h"

typedef struct tempo_spans tempo_spans;

tempo_spans *tempo_spans_new(size_t max_spans);
void tempo_spans_free(tempo_spans *spans);
/* Adds or replaces the row's entry spans (server, consumer, root) that start in [from_s, to_s). -1 when there
 * is no room for all of them. */
int tempo_spans_put(tempo_spans *spans, const tempo_row *row, int64_t from_s, int64_t to_s);
/* Forgets spans that started before before_s. */
void tempo_spans_forget(tempo_spans *spans, int64_t before_s);
/* Adds the spans that start in [from_s, to_s) to the draft of `buckets`; how many there are. */
size_t tempo_spans_count(const tempo_spans *spans, int64_t from_s, int64_t to_s, sw_buckets *buckets);
size_t tempo_spans_size(const tempo_spans *spans);

#endif
