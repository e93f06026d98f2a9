/*
 * Copies of spans that the ring is about to drop, because their trace offends. What they come from is the
 * same for most of them and is kept once, however many requests it came with.
 */
#ifndef SW_SOURCES_OTLP_RESCUED_H
#define SW_SOURCES_OTLP_RESCUED_H

#include "sources/otlp/ring.h"

/* Begins as zeroes, and has nothing to release when every span was removed. */
typedef struct otlp_rescued {
    struct otlp_shared_resource *resources;
    size_t bytes; /* of all of it */
} otlp_rescued;

/* The span's resource in the ring remembers its copy: nothing may be removed before the whole request is gone
 * from the ring. */
otlp_kept_span *otlp_rescued_add(otlp_rescued *rescued, const otlp_kept_span *span);
void otlp_rescued_remove(otlp_rescued *rescued, otlp_kept_span *copy);

#endif
