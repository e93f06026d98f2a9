/* The trace that detectors see, from its spans. */
#ifndef SW_SOURCES_OTLP_BUILD_H
#define SW_SOURCES_OTLP_BUILD_H

#include "otlp/otlp.h"
#include "sources/window.h"

/* Of one trace that are looked at one by one: a trace may be as large as memory. */
#define OTLP_MAX_SPANS_READ 20000

/* `spans` with their services are n of the n_known spans of a trace. At most max_spans are shown: the root
 * and what failed first. Caller releases. */
void otlp_build_trace(sw_otlp_trace_id id, const sw_otlp_span *spans, size_t n, size_t n_known,
                      size_t max_spans, sw_trace *out);
/* About how much memory it takes. */
size_t otlp_built_bytes(const sw_trace *trace);
/* 0 for a span that ends before it starts. */
int64_t otlp_duration_ns(uint64_t start_ns, uint64_t end_ns);

#endif
