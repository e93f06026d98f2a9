/* What assembly.c and trace.c share: one trace and its spans. */
#ifndef SW_SOURCES_OTLP_ASSEMBLY_INTERNAL_H
#define SW_SOURCES_OTLP_ASSEMBLY_INTERNAL_H

#include <stdlib.h>

#define HASH_FUNCTION(key, len, hash) ((hash) = (unsigned)sw_keyed_hash(key, len))
#define uthash_fatal(message) abort()
#include <uthash.h>

#include "base/keyed_hash.h"
#include "sources/otlp/assembly.h"

typedef struct otlp_kept_span {
    uint64_t id, parent_id, start_ns, end_ns;
    bool error;
    struct otlp_kept_span *next; /* in its trace, newest first */
    UT_hash_handle hh;           /* in its trace's index */
    size_t service_len, message_len;
    char bytes[]; /* service, then the Span message */
} otlp_kept_span;

typedef struct otlp_trace {
    sw_otlp_trace_id id;
    otlp_kept_span *spans;
    otlp_kept_span *index; /* the same by id, in a trace of many spans; else NULL */
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
/* NULL when the trace has none of this id. */
otlp_kept_span *otlp_trace_find(const otlp_trace *trace, uint64_t id);
/* Takes the span, which the trace must not have. */
void otlp_trace_add(otlp_trace *trace, otlp_kept_span *span);
/* Forgets all spans; what they cost in all. */
size_t otlp_trace_clear(otlp_trace *trace);
/* Bytes of memory. */
size_t otlp_span_cost(const otlp_kept_span *span);
/* Fills trace->trace. */
void otlp_trace_build(otlp_trace *trace);

#endif
