/*
 * What gRPC adds to HTTP/2 for a unary call: the frame around its one message, deadlines, and how a failure
 * is told in trailers. Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
#ifndef SW_OTLP_GRPC_H
#define SW_OTLP_GRPC_H

#include "otlp/otlp.h"

#define SW_GRPC_ENCODINGS "identity,gzip,deflate"

/* Finds the one message in the body of a request; `encoding` is its grpc-encoding (NULL: none). A compressed
 * one is decompressed into `inflated`, up to its cap. SW_OTLP_OK, or the code of the failure with `why`. */
sw_otlp_code sw_grpc_read(sw_otlp_text body, const char *encoding, sw_buf *inflated, sw_otlp_text *message,
                          char why[SW_OTLP_WHY]);
/* Appends a message with its frame. */
void sw_grpc_write(sw_buf *out, const void *message, size_t len);

/* The value of grpc-timeout ("20S"), rounded up; -1 when it is none. */
int64_t sw_grpc_timeout_ms(const char *text);

/* Appends a text as grpc-message wants it: percent-encoded. */
void sw_grpc_message(sw_buf *out, const char *text);
/* Appends a google.rpc.Status in base64, for grpc-status-details-bin; it tells the client to wait for
 * retry_after_s (google.rpc.RetryInfo). */
void sw_grpc_status_details(sw_buf *out, sw_otlp_code code, const char *message, unsigned retry_after_s);

#endif
