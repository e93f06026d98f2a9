/*
 * The memory of received spans: requests one after the other, as they came, in chunks; each with a record per
 * span that is kept of it. What is oldest is dropped first, a whole chunk at a time, so that a span costs no
 * allocation and the same memory is used again and again.
 */
#ifndef SW_SOURCES_OTLP_RING_H
#define SW_SOURCES_OTLP_RING_H

#include "otlp/otlp.h"

/* A span that is kept: texts point into the request's bytes behind the records, or behind a copy of it. */
typedef struct otlp_kept_span {
    uint64_t id;
    struct otlp_kept_span *older; /* of its trace; in the ring it is gone when older_chunk is */
    const char *message, *service;
    uint32_t message_len, service_len;
    uint32_t older_chunk;
    uint32_t trace; /* its number */
} otlp_kept_span;

/* One request. */
typedef struct otlp_batch {
    size_t size; /* with its records and bytes */
    size_t n_spans;
    otlp_kept_span spans[];
} otlp_batch;

typedef struct otlp_chunk {
    struct otlp_chunk *next; /* newer */
    size_t size, used;       /* of `bytes` */
    int64_t newest_mono_ns;
    uint32_t number;
    _Alignas(16) char bytes[];
} otlp_chunk;

#define OTLP_HUGE_PAGE ((size_t)2 << 20)

typedef struct otlp_ring {
    otlp_chunk *oldest, *newest;
    otlp_chunk *spare; /* for the next one, or NULL */
    size_t chunk_size;
    size_t bytes; /* of all chunks */
    uint32_t next_number;
} otlp_ring;

void otlp_ring_init(otlp_ring *ring, size_t chunk_size);
void otlp_ring_release(otlp_ring *ring);

/* How much memory the next request would take beyond what there is. */
size_t otlp_ring_need(const otlp_ring *ring, size_t n_spans, size_t len);
/* Copies a request; *bytes is where. The batch has no spans yet, and room for n_spans. */
otlp_batch *otlp_ring_add(otlp_ring *ring, size_t n_spans, sw_otlp_text request, int64_t mono_ns,
                          char **bytes);
/* Takes the batch back that was added last. */
void otlp_ring_undo(otlp_ring *ring, const otlp_batch *batch);
/* The first batch of a chunk, or the one after `batch`; NULL at the end. */
otlp_batch *otlp_ring_next(otlp_chunk *chunk, otlp_batch *batch);
void otlp_ring_drop_oldest(otlp_ring *ring);

/* Whether the chunk with this number is still there. */
static inline bool otlp_ring_has(const otlp_ring *ring, uint32_t number) {
    return ring->oldest != NULL && (int32_t)(number - ring->oldest->number) >= 0;
}

#endif
