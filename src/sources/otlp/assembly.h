/*
 * Spans become traces. A span is found by (trace id, span id) for as long as it is kept: one that comes
 * again, as after a sender's retry, is known as a duplicate for that long.
 *
 * A trace is offered when it offends and no span of it came for OTLP_QUIET_S, or when its first span is
 * OTLP_HELD_S old. Late spans repair it: it is offered again in its new form.
 *
 * Bounded by max_bytes, and a quarter more for what is shown. Requests are kept whole, and when there is no
 * room the oldest goes first; what it has of traces that offend is taken out before, so that these are kept
 * whole and for the longest. They go when they were in an earlier list, and there is no room for others or
 * they take more than half of it. What offends and was not judged stays, and more is refused.
 *
 * What offends nobody has to make room even before it was quiet: it is counted, since a trace that turns out
 * to offend later lacks those spans.
 */
#ifndef SW_SOURCES_OTLP_ASSEMBLY_H
#define SW_SOURCES_OTLP_ASSEMBLY_H

#include "otlp/otlp.h"
#include "sources/source.h"

#define OTLP_QUIET_S 5
#define OTLP_HELD_S 60
#define OTLP_MAX_SPANS_OFFERED 200  /* of one trace */
#define OTLP_MAX_SPANS_FETCHED 5000 /* of one trace that is asked for by its id */

typedef struct otlp_assembly otlp_assembly;

otlp_assembly *otlp_assembly_new(size_t max_bytes);
void otlp_assembly_free(otlp_assembly *assembly);

/* Makes room for a request of these spans and keeps a copy of it; false when there is none. */
bool otlp_assembly_begin(otlp_assembly *assembly, sw_otlp_text request, const sw_otlp_spans *spans,
                         int64_t mono_ns);
/* The next of the spans of the request that was begun. False when it is known already. */
bool otlp_assembly_add(otlp_assembly *assembly, const sw_otlp_span *span);
/* After its last span. */
void otlp_assembly_end(otlp_assembly *assembly);
/* Whether there would be room if nothing else were kept. */
bool otlp_assembly_could_hold(const otlp_assembly *assembly, sw_otlp_text request,
                              const sw_otlp_spans *spans);

/* Begins a list of traces that offend and may be judged. */
void otlp_assembly_offer(otlp_assembly *assembly, const sw_wants *wants);
/* Goes on with it for a piece that takes some milliseconds; false when the list is done. *not_shown: for how
 * many there was no room. */
bool otlp_assembly_offer_more(otlp_assembly *assembly, int64_t mono_ns, size_t *not_shown);
/* The list; valid until the next offer, whatever comes meanwhile. */
const sw_trace *const *otlp_assembly_list(const otlp_assembly *assembly, size_t *n);
/* Forgets what came before before_mono_ns, and traces of which nothing came since; not all at once when these
 * are many. */
void otlp_assembly_forget(otlp_assembly *assembly, int64_t before_mono_ns);

size_t otlp_assembly_bytes(const otlp_assembly *assembly);
size_t otlp_assembly_traces(const otlp_assembly *assembly);
/* Spans that had to make room before their trace was quiet. */
uint64_t otlp_assembly_dropped(const otlp_assembly *assembly);

/* ---- looking things up ---- */

/* What is known of a trace without reading its spans. */
typedef struct otlp_trace_summary {
    sw_otlp_trace_id id;
    int64_t last_mono_ns; /* when its last span came */
    int64_t longest_ns;   /* of its spans */
    size_t n_spans;
    bool error;   /* of one of its spans */
    bool offends; /* as was wanted last */
} otlp_trace_summary;

/* Every trace in memory, in no order, until `each` returns false. `each` may read spans but add none. Begins
 * behind `after` (0: with the first) and returns what to go on behind; 0 when all have been seen. */
uint32_t otlp_assembly_each_trace(const otlp_assembly *assembly, uint32_t after,
                                  bool (*each)(const otlp_trace_summary *trace, void *arg), void *arg);
/* Every span of a trace with its service and resource, in no order, until `each` returns false. False when
 * there is no such trace. */
bool otlp_assembly_each_span(const otlp_assembly *assembly, sw_otlp_trace_id id,
                             bool (*each)(const sw_otlp_span *span, void *arg), void *arg);
/* The trace with at most max_spans, in `out` (caller releases). False when there is no such trace. */
bool otlp_assembly_build(const otlp_assembly *assembly, sw_otlp_trace_id id, size_t max_spans, sw_trace *out);

#endif
