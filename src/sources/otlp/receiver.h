/*
 * OTLP over HTTP: POST /v1/traces in protobuf or JSON, plain, gzip or deflate.
 * Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp
 *
 * Answers, always in the request's encoding: 200 with ExportTraceServiceResponse (partial success when spans
 * were rejected); 400 with google.rpc.Status for what cannot be read; 413 over the limit, before or after
 * decompression; 415 for other content types; 401 without the token; 429 with Retry-After when there is no
 * room; 503 with Retry-After while the agent stops.
 *
 * Metric: spanwatch_otlp_requests_total{code}.
 */
#ifndef SW_SOURCES_OTLP_RECEIVER_H
#define SW_SOURCES_OTLP_RECEIVER_H

#include <uv.h>

#include "sources/otlp/access.h"
#include "sources/source.h"
#include "telemetry/metrics.h"

typedef struct sw_otlp_receiver sw_otlp_receiver;

/* Listens; NULL with *error (caller frees) when it cannot. `source` is one of sw_otlp_source_new, and must
 * outlive the receiver. */
sw_otlp_receiver *sw_otlp_receiver_new(uv_loop_t *loop, const sw_otlp_receiver_options *options,
                                       sw_source *source, sw_metrics *metrics, char **error);
void sw_otlp_receiver_free(sw_otlp_receiver *receiver); /* NULL is fine */
void sw_otlp_receiver_stop(
    sw_otlp_receiver *receiver); /* from now on senders are asked to come again; NULL is fine */
bool sw_otlp_receiver_is_local(const sw_otlp_receiver *receiver); /* only this machine can send to it */

#endif
