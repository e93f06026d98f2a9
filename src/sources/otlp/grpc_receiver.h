/*
 * OTLP over gRPC: opentelemetry.proto.collector.trace.v1.TraceService/Export, unary, plain, gzip or deflate.
 * Source: https://opentelemetry.io/docs/specs/otlp/#otlpgrpc
 *
 * Statuses: 0 (with partial success when spans were rejected); INVALID_ARGUMENT for what cannot be read;
 * RESOURCE_EXHAUSTED for what is too large, which is not to be sent again, and, with RetryInfo, when there is
 * no room now; UNAVAILABLE with RetryInfo while the agent stops; DEADLINE_EXCEEDED when the request came
 * after its grpc-timeout; UNAUTHENTICATED; UNIMPLEMENTED for other methods and encodings; INTERNAL for what
 * is not framed as gRPC does it. A request that is not gRPC gets an HTTP status (405, 415).
 *
 * Metric: spanwatch_otlp_grpc_requests_total{code}, code being the name of the status, or NOT_GRPC.
 */
#ifndef SW_SOURCES_OTLP_GRPC_RECEIVER_H
#define SW_SOURCES_OTLP_GRPC_RECEIVER_H

#include <uv.h>

#include "sources/otlp/access.h"
#include "sources/source.h"
#include "telemetry/metrics.h"

typedef struct sw_otlp_grpc sw_otlp_grpc;

/* As sw_otlp_receiver_new. */
sw_otlp_grpc *sw_otlp_grpc_new(uv_loop_t *loop, const sw_otlp_receiver_options *options, sw_source *source,
                               sw_metrics *metrics, char **error);
void sw_otlp_grpc_free(sw_otlp_grpc *receiver); /* NULL is fine */
void sw_otlp_grpc_stop(
    sw_otlp_grpc *receiver); /* from now on senders are asked to come again; NULL is fine */
bool sw_otlp_grpc_is_local(const sw_otlp_grpc *receiver); /* only this machine can send to it */

#endif
