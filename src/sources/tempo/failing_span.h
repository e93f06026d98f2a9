/* Which failing span speaks for its trace. */
#ifndef SW_SOURCES_TEMPO_FAILING_SPAN_H
#define SW_SOURCES_TEMPO_FAILING_SPAN_H

#include "sources/tempo/decode.h"

/* The failing span with a message that is nearest the root: the root itself; else, where parents are known,
 * the one with the fewest spans above it; else the earliest. NULL when no failing span has a message. `depth`
 * (may be NULL) is how many spans are above it, as far as known. */
const sw_span *tempo_failing_span(const tempo_row *row, double *depth);

#endif
