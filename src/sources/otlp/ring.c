#include "sources/otlp/ring.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGN 16

void otlp_ring_init(otlp_ring *ring, size_t chunk_size) {
    *ring = (otlp_ring){.chunk_size = chunk_size, .next_number = 1};
}

void otlp_ring_release(otlp_ring *ring) {
    while (ring->oldest != NULL) {
        otlp_ring_drop_oldest(ring);
    }
    free(ring->spare);
    ring->spare = NULL;
    ring->bytes = 0;
}

static size_t size_of(const sw_otlp_spans *spans, size_t len) {
    size_t size = sizeof(otlp_batch) + spans->n * sizeof(otlp_kept_span) +
                  spans->n_resources * sizeof(otlp_kept_resource) + len;
    return (size + ALIGN - 1) / ALIGN * ALIGN;
}

static bool fits(const otlp_ring *ring, size_t size) {
    return ring->newest != NULL && size <= ring->newest->size - ring->newest->used;
}

size_t otlp_ring_need(const otlp_ring *ring, const sw_otlp_spans *spans, size_t len) {
    size_t size = size_of(spans, len);
    if (fits(ring, size) || (ring->spare != NULL && size <= ring->chunk_size)) {
        return 0;
    }
    return sizeof(otlp_chunk) + (size < ring->chunk_size ? ring->chunk_size : size);
}

/* The usual chunk of a large ring is one huge page, where the kernel has them: a twentieth of what a span
 * costs is looking pages up. */
static otlp_chunk *allocate(size_t size) {
    size_t whole = sizeof(otlp_chunk) + size;
    if (whole != OTLP_HUGE_PAGE) {
        return xmalloc(whole);
    }
    otlp_chunk *chunk = aligned_alloc(OTLP_HUGE_PAGE, whole);
    if (chunk == NULL) {
        abort(); /* no memory: the policy of base.h */
    }
    madvise(chunk, whole, MADV_HUGEPAGE);
    return chunk;
}

/* A request that is larger than a chunk has one of its own. */
static void add_chunk(otlp_ring *ring, size_t size) {
    otlp_chunk *chunk = NULL;
    if (ring->spare != NULL && size <= ring->chunk_size) {
        chunk = ring->spare;
        ring->spare = NULL;
    } else {
        size = size < ring->chunk_size ? ring->chunk_size : size;
        chunk = allocate(size);
        chunk->size = size;
        ring->bytes += sizeof *chunk + size;
    }
    chunk->next = NULL;
    chunk->used = 0;
    chunk->number = ring->next_number++;
    if (ring->newest != NULL) {
        ring->newest->next = chunk;
    } else {
        ring->oldest = chunk;
    }
    ring->newest = chunk;
}

otlp_place otlp_ring_add(otlp_ring *ring, const sw_otlp_spans *spans, sw_otlp_text request, int64_t mono_ns) {
    size_t size = size_of(spans, request.len);
    if (!fits(ring, size)) {
        add_chunk(ring, size);
    }
    otlp_chunk *chunk = ring->newest;
    otlp_batch *batch = (otlp_batch *)(void *)(chunk->bytes + chunk->used);
    chunk->used += size;
    chunk->newest_mono_ns = mono_ns;
    *batch = (otlp_batch){.size = size};
    otlp_kept_resource *resources = (otlp_kept_resource *)(batch->spans + spans->n);
    char *bytes = (char *)(resources + spans->n_resources);
    if (request.len > 0) {
        memcpy(bytes, request.data, request.len);
    }
    return (otlp_place){batch, resources, bytes};
}

void otlp_ring_undo(otlp_ring *ring, const otlp_batch *batch) {
    ring->newest->used -= batch->size;
}

otlp_batch *otlp_ring_next(otlp_chunk *chunk, otlp_batch *batch) {
    char *at = batch == NULL ? chunk->bytes : (char *)batch + batch->size;
    return at < chunk->bytes + chunk->used ? (otlp_batch *)(void *)at : NULL;
}

void otlp_ring_drop_oldest(otlp_ring *ring) {
    otlp_chunk *chunk = ring->oldest;
    ring->oldest = chunk->next;
    ring->newest = ring->oldest == NULL ? NULL : ring->newest;
    if (ring->spare == NULL && chunk->size == ring->chunk_size) {
        ring->spare = chunk;
    } else {
        ring->bytes -= sizeof *chunk + chunk->size;
        free(chunk);
    }
}

void otlp_kept_read(const otlp_kept_span *kept, sw_otlp_span *span) {
    const otlp_kept_resource *resource = kept->resource;
    sw_otlp_read_span((sw_otlp_text){kept->message, kept->message_len}, span); /* it was read before */
    span->service = (sw_otlp_text){resource->service, resource->service_len};
    span->resource = (sw_otlp_text){resource->message, resource->message_len};
}
