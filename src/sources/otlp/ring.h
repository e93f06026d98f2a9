/*
 * The memory of received spans: requests one after the other, as they came, in chunks; each with a record per
 * span that is kept of it, and per resource that these come from. What is oldest is dropped first, a whole
 * chunk at a time, so that a span costs no allocation and the same memory is used again and again.
 */
#ifndef SW_SOURCES_OTLP_RING_H
#define SW_SOURCES_OTLP_RING_H

#include "otlp/otlp.h"

/* Where spans come from. Texts point into the request's bytes behind the records, or behind a copy of it; the
 * service is a part of the message. */
typedef struct otlp_kept_resource {
    const char *message, *service;
    uint32_t message_len, service_len;
    struct otlp_kept_resource *copy; /* for those that are about to leave the ring; or NULL */
} otlp_kept_resource;

/* A span that is kept; the same with its message. */
typedef struct otlp_kept_span {
    uint64_t id;
    struct otlp_kept_span *older; /* of its trace; in the ring it is gone when older_chunk is */
    const char *message;
    otlp_kept_resource *resource;
    uint32_t message_len;
    uint32_t older_chunk;
    uint32_t trace; /* its number */
} otlp_kept_span;

/* All of it, with its service and resource. */
void otlp_kept_read(const otlp_kept_span *kept, sw_otlp_span *span);

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

/* How much memory the next request would take beyond what there is: `spans` is what was read of it. */
size_t otlp_ring_need(const otlp_ring *ring, const sw_otlp_spans *spans, size_t len);

/* Where a request is: a batch that has no spans yet, with room for all; room for their resources; the copy of
 * the request. */
typedef struct otlp_place {
    otlp_batch *batch;
    otlp_kept_resource *resources;
    char *bytes;
} otlp_place;
otlp_place otlp_ring_add(otlp_ring *ring, const sw_otlp_spans *spans, sw_otlp_text request, int64_t mono_ns);
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
