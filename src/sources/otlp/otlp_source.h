/*
 * Spans that are sent to the agent as a source: it receives OTLP, counts entry spans and puts traces together
 * in memory.
 *
 * Spans belong to the second in which they start. What started less than settle_s ago is not judged: a span
 * is sent when it has ended, in batches. What comes later repairs its window for as long as that is
 * remembered. Spans that start over OTLP_FUTURE_S ahead of this machine's clock, or before what is
 * remembered, are part of their trace but are not counted.
 *
 * Nothing of it outlives the process: windows that reach back to before the start of one that goes on after
 * another are not complete, so that nothing resolves because spans were lost.
 *
 * Metrics: spanwatch_otlp_spans_total{result} (accepted, duplicate, invalid, late, future),
 * spanwatch_otlp_memory_bytes, spanwatch_otlp_traces, spanwatch_otlp_series, spanwatch_otlp_series_bytes,
 * spanwatch_otlp_series_overflow_total, spanwatch_otlp_dropped_total.
 */
#ifndef SW_SOURCES_OTLP_OTLP_SOURCE_H
#define SW_SOURCES_OTLP_OTLP_SOURCE_H

#include <uv.h>

#include "base/clock.h"
#include "otlp/otlp.h"
#include "sources/source.h"
#include "telemetry/metrics.h"

#define OTLP_FUTURE_S 300

typedef struct sw_otlp_source_options {
    int64_t step_s;     /* width of a bucket of counts */
    int64_t lookback_s; /* the longest window */
    int64_t settle_s;
    size_t max_bytes;  /* of spans in memory; and about as much of counts, at least 16 MiB */
    size_t max_series; /* in one step */
    size_t max_spans;  /* in one request */
    /* Nothing is judged before the first span that ever came: nobody may be sending any. */
    bool from_first_span;
} sw_otlp_source_options;

/* Never NULL. Loop, clock and metrics must outlive the source; free with ops->free, and run the loop once
 * more before closing it. */
sw_source *sw_otlp_source_new(uv_loop_t *loop, const sw_clock *clock, sw_metrics *metrics,
                              const sw_otlp_source_options *options);

typedef enum sw_otlp_taken {
    SW_OTLP_TAKEN,     /* but for *rejected spans without ids; `why` says so then */
    SW_OTLP_MALFORMED, /* nothing was taken; `why` */
    SW_OTLP_TOO_LARGE, /* nothing was taken, and there can never be room for so much in one request; `why` */
    SW_OTLP_BUSY,      /* nothing was taken: there is no room now */
} sw_otlp_taken;

/* Takes an ExportTraceServiceRequest in protobuf. */
sw_otlp_taken sw_otlp_source_take(sw_source *source, sw_otlp_text request, uint64_t *rejected,
                                  char why[SW_OTLP_WHY]);

/* A request was refused for good (it cannot be read, or is too large): its sender gives its spans up. */
void sw_otlp_source_refused(sw_source *source);

#endif
