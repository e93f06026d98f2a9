/*
 * OpenTelemetry's protocol for traces: requests (ExportTraceServiceRequest) read in place, and answers.
 *
 * What is read points into the request's bytes, which must outlive it. The whole request is checked before
 * anything is handed out: a request is taken whole or not at all. Texts are not checked to be UTF-8; who
 * shows them replaces what is not.
 */
#ifndef SW_OTLP_OTLP_H
#define SW_OTLP_OTLP_H

#include "otlp/wire.h"

#define SW_OTLP_DEPTH_MAX 32 /* of values in values */
#define SW_OTLP_WHY 160

typedef struct sw_otlp_trace_id {
    uint64_t high, low; /* big-endian; both 0: none */
} sw_otlp_trace_id;

typedef struct sw_otlp_span {
    sw_otlp_text service; /* service.name of the resource; empty when there is none */
    sw_otlp_text
        resource; /* the whole Resource, for its attributes; of several the one that names the service */
    sw_otlp_text name, status_message, trace_state;
    sw_otlp_trace_id trace_id;
    uint64_t id, parent_id; /* big-endian; 0: none */
    uint64_t start_ns, end_ns;
    uint32_t kind;        /* SPAN_KIND_*; any number */
    uint32_t status;      /* STATUS_CODE_*; any number */
    sw_otlp_text message; /* the whole Span, for its attributes */
} sw_otlp_span;

typedef struct sw_otlp_spans {
    sw_otlp_span *items;
    size_t n, allocated;
    size_t n_resources; /* that they come from, one after the other; at most */
    size_t max;         /* spans in one request, at most */
} sw_otlp_spans;

void sw_otlp_spans_init(sw_otlp_spans *spans, size_t max);
void sw_otlp_spans_release(sw_otlp_spans *spans);

/* Reads a request in protobuf; what was in `spans` before is forgotten. 0, or -1 with `why` filled (and no
 * spans). */
int sw_otlp_read(sw_otlp_text request, sw_otlp_spans *spans, char why[SW_OTLP_WHY]);
/* One Span message that was read before: all but the service and the resource. False when it is none. */
bool sw_otlp_read_span(sw_otlp_text message, sw_otlp_span *span);

/* A request in JSON, rewritten as protobuf. Lenient as senders need it: numbers as texts, names of enums,
 * snake_case, unknown members, ids of either case. 0, or -1 with `why` filled. */
int sw_otlp_json_to_protobuf(const char *text, size_t len, sw_buf *out, char why[SW_OTLP_WHY]);

typedef struct sw_otlp_attribute {
    sw_otlp_text key;
    sw_otlp_text value; /* AnyValue, for sw_otlp_value_text */
} sw_otlp_attribute;

/* The next attribute of a message that was read before; begin with one of these. False at the end. */
typedef struct sw_otlp_attributes {
    otlp_reader reader;
    uint32_t field;
} sw_otlp_attributes;
sw_otlp_attributes sw_otlp_attributes_of(sw_otlp_text span);
sw_otlp_attributes sw_otlp_resource_attributes_of(sw_otlp_text resource);
/* Those of its last event that is an exception (OpenTelemetry's semantic conventions); none when there is
 * none. */
sw_otlp_attributes sw_otlp_exception_of(sw_otlp_text span);
bool sw_otlp_next_attribute(sw_otlp_attributes *attributes, sw_otlp_attribute *out);
/* Appends a value as text; arrays and maps as JSON. */
void sw_otlp_value_text(sw_otlp_text value, sw_buf *out);

/* 1 / probability of the W3C sampling threshold in a tracestate ("ot=th:c"), or of the power that was there
 * before it ("ot=p:2;r:5"): how many spans this one stands for. 1 when there is neither. */
double sw_otlp_weight(sw_otlp_text trace_state);

/* Undoes gzip or zlib. 0; -1 when it is broken or not whole; -2 when `out` would go over its cap. */
int sw_otlp_inflate(const char *data, size_t len, sw_buf *out);

/* ExportTraceServiceResponse; `message` NULL: everything was taken. */
void sw_otlp_response(sw_buf *out, bool json, uint64_t rejected, const char *message);
/* google.rpc.Status. */
typedef enum sw_otlp_code {
    SW_OTLP_OK = 0,
    SW_OTLP_INVALID_ARGUMENT = 3,
    SW_OTLP_DEADLINE_EXCEEDED = 4,
    SW_OTLP_RESOURCE_EXHAUSTED = 8,
    SW_OTLP_UNIMPLEMENTED = 12,
    SW_OTLP_INTERNAL = 13,
    SW_OTLP_UNAVAILABLE = 14,
    SW_OTLP_UNAUTHENTICATED = 16,
} sw_otlp_code;
void sw_otlp_status(sw_buf *out, bool json, sw_otlp_code code, const char *message);

#endif
