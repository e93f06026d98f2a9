/* What assembly.c and trace.c share. */
#ifndef SW_SOURCES_OTLP_ASSEMBLY_INTERNAL_H
#define SW_SOURCES_OTLP_ASSEMBLY_INTERNAL_H

#include <stdlib.h>

#define HASH_FUNCTION(key, len, hash) ((hash) = (unsigned)sw_keyed_hash(key, len))
#define uthash_fatal(message) abort()
#include <uthash.h>

#include "base/keyed_hash.h"
#include "sources/otlp/assembly.h"

struct otlp_trace;

struct otlp_span_key {
    uint64_t trace_high, trace_low, span;
};

typedef struct otlp_kept_span {
    struct otlp_span_key key;
    uint64_t parent_id, start_ns, end_ns;
    bool error;
    struct otlp_kept_span *next; /* in its trace, newest first */
    UT_hash_handle hh;
    size_t service_len, message_len;
    char bytes[]; /* service, then the Span message */
} otlp_kept_span;

typedef struct otlp_trace {
    sw_otlp_trace_id id;
    otlp_kept_span *spans;
    size_t n_spans;
    int64_t first_mono_ns, last_mono_ns;
    int64_t longest_ns; /* of its spans */
    bool error;
    bool offends; /* as was wanted last */
    bool offered; /* in this form */
    bool listed;  /* lent to whoever judges, until the next offer */
    bool built;
    bool stale;                     /* spans came since it was built */
    sw_trace trace;                 /* what is offered, when `built` */
    struct otlp_trace *prev, *next; /* quiet for the longest first */
    UT_hash_handle hh;
} otlp_trace;

/* 0 for a span that ends before it starts. */
int64_t otlp_duration_ns(uint64_t start_ns, uint64_t end_ns);
/* trace.c: fills trace->trace. `spans` is the hash of all spans by key. */
void otlp_trace_build(otlp_trace *trace, otlp_kept_span *spans);

#endif
