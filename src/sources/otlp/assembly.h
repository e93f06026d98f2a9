/*
 * Spans become traces. Each span is kept whole for as long as its trace is, found by (trace id, span id): one
 * that comes again, as after a sender's retry, is known as a duplicate for that long.
 *
 * A trace is offered when it offends and no span of it came for OTLP_QUIET_S, or when its first span is
 * OTLP_HELD_S old. Late spans repair it: it is offered again in its new form.
 *
 * Bounded by max_bytes. When there is no room the traces that were quiet the longest are dropped, first those
 * that do not offend, then those that were offered; what may still have to be offered stays, and more is
 * refused.
 */
#ifndef SW_SOURCES_OTLP_ASSEMBLY_H
#define SW_SOURCES_OTLP_ASSEMBLY_H

#include "otlp/otlp.h"
#include "sources/source.h"

#define OTLP_QUIET_S 5
#define OTLP_HELD_S 60
#define OTLP_MAX_SPANS_OFFERED 200 /* of one trace */

typedef struct otlp_assembly otlp_assembly;

otlp_assembly *otlp_assembly_new(size_t max_bytes);
void otlp_assembly_free(otlp_assembly *assembly);

/* Makes room for n spans with messages of `bytes` in all; false when there is none. */
bool otlp_assembly_make_room(otlp_assembly *assembly, size_t n, size_t bytes, int64_t mono_ns);
/* Copies the span. False when it is known already. */
bool otlp_assembly_add(otlp_assembly *assembly, const sw_otlp_span *span, int64_t mono_ns);
/* Makes the list of traces that offend and may be judged. */
void otlp_assembly_offer(otlp_assembly *assembly, const sw_wants *wants, int64_t mono_ns);
/* The list; valid until the next offer, whatever comes meanwhile. */
const sw_trace *const *otlp_assembly_list(const otlp_assembly *assembly, size_t *n);
/* Forgets traces of which nothing came since before_mono_ns. */
void otlp_assembly_forget(otlp_assembly *assembly, int64_t before_mono_ns);
size_t otlp_assembly_bytes(const otlp_assembly *assembly);
size_t otlp_assembly_traces(const otlp_assembly *assembly);

#endif
