#define HASH_FUNCTION(key, len, hash) ((hash) = (unsigned)sw_keyed_hash(key, len))
#define uthash_fatal(message) abort()
#include "sources/otlp/rescued.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/keyed_hash.h"

typedef struct otlp_shared_resource {
    otlp_kept_resource kept; /* first: it stands for the whole */
    size_t n_spans;
    UT_hash_handle hh; /* by the message */
    char message[];
} otlp_shared_resource;

/* ---- resources ---- */

static size_t resource_bytes(const otlp_shared_resource *resource) {
    return sizeof *resource + resource->kept.message_len;
}

static otlp_shared_resource *copy_resource(const otlp_kept_resource *kept) {
    otlp_shared_resource *copy = xcalloc(1, sizeof *copy + kept->message_len);
    memcpy(copy->message, kept->message, kept->message_len);
    copy->kept = *kept;
    copy->kept.message = copy->message;
    copy->kept.service =
        kept->service_len > 0 ? copy->message + (kept->service - kept->message) : copy->message;
    return copy;
}

static otlp_shared_resource *share(otlp_rescued *rescued, otlp_kept_resource *kept) {
    otlp_shared_resource *shared = (otlp_shared_resource *)(void *)kept->copy;
    if (shared == NULL) {
        HASH_FIND(hh, rescued->resources, kept->message, kept->message_len, shared);
    }
    if (shared == NULL) {
        shared = copy_resource(kept);
        HASH_ADD_KEYPTR(hh, rescued->resources, shared->message, shared->kept.message_len, shared);
        rescued->bytes += resource_bytes(shared);
    }
    kept->copy = &shared->kept;
    shared->n_spans++;
    return shared;
}

static void unshare(otlp_rescued *rescued, otlp_shared_resource *shared) {
    if (--shared->n_spans == 0) {
        rescued->bytes -= resource_bytes(shared);
        HASH_DEL(rescued->resources, shared);
        free(shared);
    }
}

/* ---- spans ---- */

static size_t span_bytes(const otlp_kept_span *span) {
    return sizeof *span + span->message_len;
}

otlp_kept_span *otlp_rescued_add(otlp_rescued *rescued, const otlp_kept_span *span) {
    otlp_kept_span *copy = xmalloc(span_bytes(span));
    char *message = (char *)(copy + 1);
    *copy = *span;
    memcpy(message, span->message, span->message_len);
    copy->message = message;
    copy->resource = &share(rescued, span->resource)->kept;
    rescued->bytes += span_bytes(copy);
    return copy;
}

void otlp_rescued_remove(otlp_rescued *rescued, otlp_kept_span *copy) {
    rescued->bytes -= span_bytes(copy);
    unshare(rescued, (otlp_shared_resource *)(void *)copy->resource);
    free(copy);
}
