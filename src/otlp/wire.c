#include "otlp/wire.h"

#include <endian.h>
#include <string.h>

#define VARINT_MAX 10
#define GROUP_BEGIN 3
#define GROUP_END 4
#define GROUPS_MAX 50 /* in each other */

static int read_varint_slowly(otlp_reader *reader, uint64_t *value) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < VARINT_MAX && reader->at < reader->end; i++) {
        unsigned char byte = *reader->at++;
        if (i == VARINT_MAX - 1 && byte > 1) {
            return -1; /* more than 64 bits */
        }
        sum |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            *value = sum;
            return 0;
        }
    }
    return -1;
}

static inline int read_varint(otlp_reader *reader, uint64_t *value) {
    if (reader->at < reader->end && *reader->at < 0x80) {
        *value = *reader->at++;
        return 0;
    }
    return read_varint_slowly(reader, value);
}

static inline int read_fixed(otlp_reader *reader, unsigned size, uint64_t *value) {
    if ((size_t)(reader->end - reader->at) < size) {
        return -1;
    }
    uint64_t bytes = 0;
    memcpy(&bytes, reader->at, size);
    reader->at += size;
    *value = le64toh(bytes);
    return 0;
}

static int read_tag(otlp_reader *reader, uint32_t *number, unsigned *type) {
    uint64_t tag = 0;
    if (read_varint(reader, &tag) != 0 || tag > UINT32_MAX || tag >> 3 == 0) {
        return -1;
    }
    *number = (uint32_t)(tag >> 3);
    *type = (unsigned)(tag & 7);
    return 0;
}

static inline int read_value(otlp_reader *reader, unsigned type, otlp_field *field) {
    switch (type) {
    case OTLP_VARINT:
        return read_varint(reader, &field->value);
    case OTLP_FIXED64:
        return read_fixed(reader, 8, &field->value);
    case OTLP_FIXED32:
        return read_fixed(reader, 4, &field->value);
    case OTLP_BYTES:
        if (read_varint(reader, &field->value) != 0 || field->value > (uint64_t)(reader->end - reader->at)) {
            return -1;
        }
        field->bytes = (sw_otlp_text){(const char *)reader->at, (size_t)field->value};
        reader->at += field->value;
        return 0;
    default:
        return -1; /* the end of a group that did not begin, and what never was */
    }
}

/* Up to the end of a group that began with this number: none of OTLP's fields is one. */
static int skip_group(otlp_reader *reader, uint32_t number, unsigned depth) {
    for (;;) {
        otlp_field field;
        unsigned type = 0;
        if (read_tag(reader, &field.number, &type) != 0) {
            return -1;
        }
        if (type == GROUP_END) {
            return field.number == number ? 0 : -1;
        }
        int result = type != GROUP_BEGIN ? read_value(reader, type, &field)
                     : depth > 0         ? skip_group(reader, field.number, depth - 1)
                                         : -1;
        if (result != 0) {
            return -1;
        }
    }
}

int otlp_next_field(otlp_reader *reader, otlp_field *field) {
    while (reader->at < reader->end) {
        unsigned type = 0;
        if (read_tag(reader, &field->number, &type) != 0) {
            return -1;
        }
        if (type != GROUP_BEGIN) {
            field->type = (otlp_wire_type)type;
            return read_value(reader, type, field) == 0 ? 1 : -1;
        }
        if (skip_group(reader, field->number, GROUPS_MAX) != 0) {
            return -1;
        }
    }
    return 0;
}

static void put_raw_varint(sw_buf *out, uint64_t value) {
    unsigned char bytes[VARINT_MAX];
    size_t n = 0;
    while (value >= 0x80) {
        bytes[n++] = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    bytes[n++] = (unsigned char)value;
    sw_buf_append(out, bytes, n);
}

static void put_tag(sw_buf *out, uint32_t field, otlp_wire_type type) {
    put_raw_varint(out, (uint64_t)field << 3 | (uint64_t)type);
}

static void put_fixed(sw_buf *out, uint64_t value, size_t size) {
    unsigned char bytes[8];
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)(value >> (8 * i));
    }
    sw_buf_append(out, bytes, size);
}

void otlp_put_varint(sw_buf *out, uint32_t field, uint64_t value) {
    put_tag(out, field, OTLP_VARINT);
    put_raw_varint(out, value);
}

void otlp_put_fixed64(sw_buf *out, uint32_t field, uint64_t value) {
    put_tag(out, field, OTLP_FIXED64);
    put_fixed(out, value, 8);
}

void otlp_put_fixed32(sw_buf *out, uint32_t field, uint32_t value) {
    put_tag(out, field, OTLP_FIXED32);
    put_fixed(out, value, 4);
}

void otlp_put_bytes(sw_buf *out, uint32_t field, const void *data, size_t len) {
    put_tag(out, field, OTLP_BYTES);
    put_raw_varint(out, len);
    sw_buf_append(out, data, len);
}
