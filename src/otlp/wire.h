/*
 * The wire format of protobuf, read in place and written into a buffer. Strict: a tag or varint that is too
 * long, a length that goes over the end and field number 0 are errors. Groups are skipped; other unknown
 * fields are the caller's to skip.
 */
#ifndef SW_OTLP_WIRE_H
#define SW_OTLP_WIRE_H

#include "base/buf.h"

/* Bytes of a message that belong to somebody else; not terminated. */
typedef struct sw_otlp_text {
    const char *data;
    size_t len;
} sw_otlp_text;

typedef enum otlp_wire_type {
    OTLP_VARINT = 0,
    OTLP_FIXED64 = 1,
    OTLP_BYTES = 2,
    OTLP_FIXED32 = 5,
} otlp_wire_type;

typedef struct otlp_reader {
    const unsigned char *at, *end;
} otlp_reader;

typedef struct otlp_field {
    uint32_t number;
    otlp_wire_type type;
    uint64_t value;     /* of varint, fixed64 and fixed32 */
    sw_otlp_text bytes; /* of OTLP_BYTES */
} otlp_field;

static inline otlp_reader otlp_reader_of(sw_otlp_text message) {
    const unsigned char *data = (const unsigned char *)(message.data != NULL ? message.data : "");
    return (otlp_reader){data, data + message.len};
}

/* 1 and the next field, 0 at the end of the message, -1 when it is broken. */
int otlp_next_field(otlp_reader *reader, otlp_field *field);

void otlp_put_varint(sw_buf *out, uint32_t field, uint64_t value);
void otlp_put_fixed64(sw_buf *out, uint32_t field, uint64_t value);
void otlp_put_fixed32(sw_buf *out, uint32_t field, uint32_t value);
void otlp_put_bytes(sw_buf *out, uint32_t field, const void *data, size_t len);

#endif
