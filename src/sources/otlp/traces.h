/*
 * The traces in memory by their id, each with a number that stays the same while it is there. An open table
 * of numbers (linear probing, keyed hash) and blocks of traces: a span that comes touches two or three lines
 * of cache.
 */
#ifndef SW_SOURCES_OTLP_TRACES_H
#define SW_SOURCES_OTLP_TRACES_H

#include "sources/otlp/ring.h"
#include "sources/window.h"

/* Which span ids a trace has, when it has many. */
typedef struct otlp_ids otlp_ids;
bool otlp_ids_has(const otlp_ids *ids, uint64_t id); /* NULL is empty */
/* The same set, or the larger one that takes its place; NULL makes one. */
otlp_ids *otlp_ids_add(otlp_ids *ids, uint64_t id);
void otlp_ids_remove(otlp_ids *ids, uint64_t id);
size_t otlp_ids_bytes(const otlp_ids *ids);

/* What is shown of a trace: lent in a list until the next one is made, even when the trace is gone. */
typedef struct otlp_shown {
    sw_trace trace;
    size_t bytes;
    bool listed;
    struct otlp_shown *next; /* among those without their trace */
} otlp_shown;

/* What is kept of a trace that offends. */
typedef struct otlp_offence {
    struct otlp_trace *trace;
    otlp_kept_span *rescued;          /* copies of those that the ring has dropped, newest first */
    otlp_shown *shown;                /* or NULL */
    bool judged;                      /* was listed before the last list */
    bool listed_once;                 /* in the last list, in this form */
    struct otlp_offence *prev, *next; /* utlist, by `judged` */
} otlp_offence;

#define OTLP_PRINTS 24 /* as many as make a trace two lines of cache; most have fewer spans */

typedef struct otlp_trace {
    sw_otlp_trace_id id;
    int64_t first_mono_ns, last_mono_ns;
    int64_t longest_ns;     /* of its spans */
    otlp_kept_span *newest; /* in the ring; gone when newest_chunk is */
    otlp_ids *ids;          /* in a trace of many spans; else NULL */
    otlp_offence *offence;  /* when it offends, as was wanted last; else NULL */
    uint32_t number, newest_chunk;
    uint32_t n_spans;             /* that are known; 0: there is no such trace */
    uint16_t prints[OTLP_PRINTS]; /* parts of the ids of its first spans, while there are no `ids` */
    uint8_t n_prints;
    bool error; /* of one of its spans */
} otlp_trace;

typedef struct otlp_traces {
    struct otlp_slot *slots;
    otlp_trace **blocks;
    size_t n_slots, n_blocks, n;
    uint32_t unused;     /* number of the first of a list, linked by newest_chunk; 0: none */
    uint32_t n_numbered; /* numbers that were ever given */
} otlp_traces;

void otlp_traces_init(otlp_traces *traces);
void otlp_traces_release(otlp_traces *traces); /* not what the traces own */
otlp_trace *otlp_traces_find(const otlp_traces *traces, sw_otlp_trace_id id);
/* Makes one that is not there. */
otlp_trace *otlp_traces_add(otlp_traces *traces, sw_otlp_trace_id id);
void otlp_traces_remove(otlp_traces *traces, otlp_trace *trace);
size_t otlp_traces_bytes(const otlp_traces *traces);
/* How much memory n more would take at most. */
size_t otlp_traces_need(const otlp_traces *traces, size_t n);
/* By number, which must have been given; n_spans is 0 when there is none now. */
#define OTLP_BLOCK 256u
static inline otlp_trace *otlp_traces_at(const otlp_traces *traces, uint32_t number) {
    return &traces->blocks[(number - 1) / OTLP_BLOCK][(number - 1) % OTLP_BLOCK];
}

#endif
