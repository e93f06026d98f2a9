/*
 * OTLP over HTTP: POST /v1/traces in protobuf or JSON, plain, gzip or deflate.
 * Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp
 *
 * Answers: 200 with ExportTraceServiceResponse (partial success when spans were rejected); 400 with
 * google.rpc.Status for what cannot be read; 413 over the limit, before or after decompression; 415 for other
 * content types; 429 with Retry-After when there is no room. Always in the request's encoding.
 *
 * Metric: spanwatch_otlp_requests_total{code}.
 */
#ifndef SW_SOURCES_OTLP_RECEIVER_H
#define SW_SOURCES_OTLP_RECEIVER_H

#include "net/http_server.h"
#include "sources/source.h"
#include "telemetry/metrics.h"

typedef struct sw_otlp_receiver sw_otlp_receiver;

/* Listens; NULL with *error (caller frees) when it cannot. `source` is one of sw_otlp_source_new, and must
 * outlive the receiver. max_body in bytes. */
sw_otlp_receiver *sw_otlp_receiver_new(uv_loop_t *loop, const char *address, size_t max_body,
                                       sw_source *source, sw_metrics *metrics, char **error);
void sw_otlp_receiver_free(sw_otlp_receiver *receiver); /* NULL is fine */
int sw_otlp_receiver_port(const sw_otlp_receiver *receiver);

#endif
