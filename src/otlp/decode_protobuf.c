/*
 * ExportTraceServiceRequest in place. A Span is read by hand, since there are many; everything else that only
 * has to be well-formed is checked against small tables.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otlp/otlp.h"

/* ---- checking ---- */

struct message;

struct member {
    uint32_t number;
    otlp_wire_type type;
    const struct message *inner; /* NULL: a scalar, text or bytes */
};

struct message {
    const struct member *members;
    size_t n;
};

static const struct message any_value, key_value;

static const struct member array_members[] = {{1, OTLP_BYTES, &any_value}};
static const struct member list_members[] = {{1, OTLP_BYTES, &key_value}};
static const struct message array_value = {array_members, SW_ARRAY_LEN(array_members)};
static const struct message key_value_list = {list_members, SW_ARRAY_LEN(list_members)};
static const struct member any_members[] = {
    {1, OTLP_BYTES, NULL},   {2, OTLP_VARINT, NULL},        {3, OTLP_VARINT, NULL},
    {4, OTLP_FIXED64, NULL}, {5, OTLP_BYTES, &array_value}, {6, OTLP_BYTES, &key_value_list},
    {7, OTLP_BYTES, NULL},
};
static const struct message any_value = {any_members, SW_ARRAY_LEN(any_members)};
static const struct member pair_members[] = {{1, OTLP_BYTES, NULL}, {2, OTLP_BYTES, &any_value}};
static const struct message key_value = {pair_members, SW_ARRAY_LEN(pair_members)};
static const struct member event_members[] = {
    {1, OTLP_FIXED64, NULL}, {2, OTLP_BYTES, NULL}, {3, OTLP_BYTES, &key_value}, {4, OTLP_VARINT, NULL}};
static const struct message event = {event_members, SW_ARRAY_LEN(event_members)};
static const struct member link_members[] = {{1, OTLP_BYTES, NULL},  {2, OTLP_BYTES, NULL},
                                             {3, OTLP_BYTES, NULL},  {4, OTLP_BYTES, &key_value},
                                             {5, OTLP_VARINT, NULL}, {6, OTLP_FIXED32, NULL}};
static const struct message span_link = {link_members, SW_ARRAY_LEN(link_members)};
static const struct member scope_members[] = {
    {1, OTLP_BYTES, NULL}, {2, OTLP_BYTES, NULL}, {3, OTLP_BYTES, &key_value}, {4, OTLP_VARINT, NULL}};
static const struct message scope = {scope_members, SW_ARRAY_LEN(scope_members)};
static const struct member resource_members[] = {{1, OTLP_BYTES, &key_value}, {2, OTLP_VARINT, NULL}};
static const struct message resource = {resource_members, SW_ARRAY_LEN(resource_members)};

static bool check(sw_otlp_text bytes, const struct message *type, unsigned depth) {
    otlp_reader reader = otlp_reader_of(bytes);
    otlp_field field;
    int more = 0;
    if (depth == 0) {
        return false;
    }
    while ((more = otlp_next_field(&reader, &field)) > 0) {
        for (size_t i = 0; i < type->n; i++) {
            const struct member *member = &type->members[i];
            if (member->number != field.number) {
                continue;
            }
            if (member->type != field.type ||
                (member->inner != NULL && !check(field.bytes, member->inner, depth - 1))) {
                return false;
            }
            break;
        }
    }
    return more == 0;
}

/* Two levels for each value in a value. */
#define CHECK_DEPTH (2 * SW_OTLP_DEPTH_MAX)

/* ---- spans ---- */

static inline uint64_t little_endian(const unsigned char *bytes) {
    uint64_t value = 0;
    memcpy(&value, bytes, sizeof value);
    return le64toh(value);
}

static inline uint64_t big_endian(const unsigned char *bytes) {
    uint64_t value = 0;
    memcpy(&value, bytes, sizeof value);
    return be64toh(value);
}

static uint64_t id_of(const char *bytes) {
    return big_endian((const unsigned char *)bytes);
}

static bool read_span_id(sw_otlp_text bytes, uint64_t *id) {
    *id = bytes.len == 8 ? id_of(bytes.data) : 0;
    return bytes.len == 8 || bytes.len == 0;
}

static bool read_trace_id(sw_otlp_text bytes, sw_otlp_trace_id *id) {
    *id = (sw_otlp_trace_id){0};
    if (bytes.len == 16) {
        *id = (sw_otlp_trace_id){id_of(bytes.data), id_of(bytes.data + 8)};
    }
    return bytes.len == 16 || bytes.len == 0;
}

/* A Status that comes twice is merged, as protobuf does it. */
static bool read_status(sw_otlp_text bytes, sw_otlp_span *span) {
    otlp_reader reader = otlp_reader_of(bytes);
    otlp_field field;
    int more = 0;
    while ((more = otlp_next_field(&reader, &field)) > 0) {
        if (field.number == 2) {
            span->status_message = field.bytes;
        } else if (field.number == 3) {
            span->status = (uint32_t)field.value;
        }
        if ((field.number == 2 && field.type != OTLP_BYTES) ||
            (field.number == 3 && field.type != OTLP_VARINT)) {
            return false;
        }
    }
    return more == 0;
}

/* The wire type of each field of Span, by number; -1: no such field. */
static const signed char span_types[] = {
    -1,          OTLP_BYTES,   OTLP_BYTES,   OTLP_BYTES, OTLP_BYTES,   OTLP_BYTES,
    OTLP_VARINT, OTLP_FIXED64, OTLP_FIXED64, OTLP_BYTES, OTLP_VARINT,  OTLP_BYTES,
    OTLP_VARINT, OTLP_BYTES,   OTLP_VARINT,  OTLP_BYTES, OTLP_FIXED32,
};

static bool take_field(const otlp_field *field, sw_otlp_span *span) {
    switch (field->number) {
    case 1:
        return read_trace_id(field->bytes, &span->trace_id);
    case 2:
        return read_span_id(field->bytes, &span->id);
    case 3:
        span->trace_state = field->bytes;
        return true;
    case 4:
        return read_span_id(field->bytes, &span->parent_id);
    case 5:
        span->name = field->bytes;
        return true;
    case 6:
        span->kind = (uint32_t)field->value;
        return true;
    case 7:
        span->start_ns = field->value;
        return true;
    case 8:
        span->end_ns = field->value;
        return true;
    case 9:
        return check(field->bytes, &key_value, CHECK_DEPTH);
    case 11:
        return check(field->bytes, &event, CHECK_DEPTH);
    case 13:
        return check(field->bytes, &span_link, CHECK_DEPTH);
    case 15:
        return read_status(field->bytes, span);
    default:
        return true;
    }
}

/* A key and a value that is a text, a number or a truth, as short as most are. What is not of this form is
 * checked by the tables. */
static inline bool is_plain_pair(const unsigned char *pair, size_t len) {
    size_t value = len >= 2 && pair[0] == 0x0a ? 2u + pair[1] : len;
    if (value + 2 > len || pair[value] != 0x12 || value + 2u + pair[value + 1] != len) {
        return false;
    }
    if (pair[1] >= 0x80 || pair[value + 1] >= 0x80) { /* lengths of more than one byte */
        return false;
    }
    const unsigned char *any = pair + value + 2;
    size_t any_len = pair[value + 1];
    switch (any_len >= 2 ? any[0] : 0) {
    case 0x0a: /* string_value = 1 */
        return any[1] < 0x80 && 2u + any[1] == any_len;
    case 0x10: /* bool_value = 2 */
    case 0x18: /* int_value = 3 */
        return (any_len == 2 && any[1] < 0x80) || (any_len == 3 && any[1] >= 0x80 && any[2] < 0x80);
    case 0x21: /* double_value = 4 */
        return any_len == 9;
    default:
        return any_len == 0;
    }
}

/* A Status with a code at most. */
static inline bool take_plain_status(const unsigned char *status, size_t len, sw_otlp_span *span) {
    if (len == 2 && status[0] == 0x18 && status[1] < 0x80) {
        span->status = status[1];
        return true;
    }
    return len == 0;
}

/* Reads fields that are in the form in which senders write them: all of most spans. Where the first one
 * begins that is not, or is wrong. */
static const unsigned char *take_usual_fields(const unsigned char *at, const unsigned char *end,
                                              sw_otlp_span *span) {
    for (;;) {
        size_t left = (size_t)(end - at);
        if (left < 2) {
            return at;
        }
        size_t len = at[1];
        bool whole = len < 0x80 && len + 2 <= left;
        switch (at[0]) {
        case 0x0a: /* trace_id = 1 */
            if (len != 16 || !whole) {
                return at;
            }
            span->trace_id = (sw_otlp_trace_id){big_endian(at + 2), big_endian(at + 10)};
            break;
        case 0x12: /* span_id = 2 */
            if (len != 8 || !whole) {
                return at;
            }
            span->id = big_endian(at + 2);
            break;
        case 0x22: /* parent_span_id = 4 */
            if (len != 8 || !whole) {
                return at;
            }
            span->parent_id = big_endian(at + 2);
            break;
        case 0x2a: /* name = 5 */
            if (!whole) {
                return at;
            }
            span->name = (sw_otlp_text){(const char *)at + 2, len};
            break;
        case 0x30: /* kind = 6 */
            if (len >= 0x80) {
                return at;
            }
            span->kind = (uint32_t)len;
            at += 2;
            continue;
        case 0x39: /* start_time_unix_nano = 7 */
        case 0x41: /* end_time_unix_nano = 8 */
            if (left < 9) {
                return at;
            }
            *(at[0] == 0x39 ? &span->start_ns : &span->end_ns) = little_endian(at + 1);
            at += 9;
            continue;
        case 0x4a: /* attributes = 9 */
            if (!whole || !is_plain_pair(at + 2, len)) {
                return at;
            }
            break;
        case 0x7a: /* status = 15 */
            if (!whole || !take_plain_status(at + 2, len, span)) {
                return at;
            }
            break;
        case 0x85: /* flags = 16 */
            if (len != 1 || left < 6) {
                return at;
            }
            at += 6;
            continue;
        default:
            return at;
        }
        at += len + 2;
    }
}

/* One by one: of a whole struct compilers make a string instruction, which takes as long as reading the span.
 */
static inline void clear(sw_otlp_span *span) {
    const sw_otlp_text none = {NULL, 0};
    span->service = span->resource = none;
    span->name = span->status_message = span->trace_state = none;
    span->trace_id.high = span->trace_id.low = 0;
    span->id = span->parent_id = span->start_ns = span->end_ns = 0;
    span->kind = span->status = 0;
}

bool sw_otlp_read_span(sw_otlp_text message, sw_otlp_span *span) {
    clear(span);
    span->message = message;
    otlp_reader reader = otlp_reader_of(message);
    otlp_field field;
    while ((reader.at = take_usual_fields(reader.at, reader.end, span)) != reader.end) {
        int more = otlp_next_field(&reader, &field);
        if (more <= 0) { /* 0: there were only groups left */
            return more == 0;
        }
        if (field.number >= SW_ARRAY_LEN(span_types)) {
            continue;
        }
        if (span_types[field.number] != (signed char)field.type || !take_field(&field, span)) {
            return false;
        }
    }
    return true;
}

/* ---- requests ---- */

static int fail(char why[SW_OTLP_WHY], const char *message) {
    snprintf(why, SW_OTLP_WHY, "%s", message);
    return -1;
}

static sw_otlp_span *add_span(sw_otlp_spans *spans) {
    if (spans->n == spans->max) {
        return NULL;
    }
    if (spans->n == spans->allocated) {
        spans->allocated = spans->allocated == 0 ? 64 : spans->allocated * 2;
        spans->items = xrealloc_array(spans->items, spans->allocated, sizeof *spans->items);
    }
    return &spans->items[spans->n++];
}

struct origin {
    sw_otlp_text service, resource;
};

static int read_scope_spans(sw_otlp_text bytes, const struct origin *origin, sw_otlp_spans *spans,
                            char *why) {
    otlp_reader reader = otlp_reader_of(bytes);
    otlp_field field;
    int more = 0;
    while ((more = otlp_next_field(&reader, &field)) > 0) {
        if (field.number >= 1 && field.number <= 3 && field.type != OTLP_BYTES) {
            return fail(why, "ScopeSpans: wrong wire type");
        }
        if (field.number == 1 && !check(field.bytes, &scope, CHECK_DEPTH)) {
            return fail(why, "InstrumentationScope: malformed");
        }
        if (field.number == 2) {
            sw_otlp_span *span = add_span(spans);
            if (span == NULL) {
                return fail(why, "too many spans in one request");
            }
            if (!sw_otlp_read_span(field.bytes, span)) {
                return fail(why, "Span: malformed");
            }
            span->service = origin->service;
            span->resource = origin->resource;
        }
    }
    return more == 0 ? 0 : fail(why, "ScopeSpans: malformed");
}

static sw_otlp_text text_of_value(sw_otlp_text value) {
    otlp_reader reader = otlp_reader_of(value);
    otlp_field field;
    sw_otlp_text text = {NULL, 0};
    while (otlp_next_field(&reader, &field) > 0) {
        if (field.number <= 7) { /* the last one of the oneof */
            text = field.number == 1 ? field.bytes : (sw_otlp_text){NULL, 0};
        }
    }
    return text;
}

static bool find_service(sw_otlp_text bytes, sw_otlp_text *service) {
    static const char name[] = "service.name";
    sw_otlp_attributes attributes = sw_otlp_resource_attributes_of(bytes);
    sw_otlp_attribute attribute;
    bool found = false;
    while (sw_otlp_next_attribute(&attributes, &attribute)) {
        if (attribute.key.len == sizeof name - 1 && memcmp(attribute.key.data, name, sizeof name - 1) == 0) {
            *service = text_of_value(attribute.value);
            found = true;
        }
    }
    return found;
}

/* The resource may come behind its spans. */
static int read_resource_spans(sw_otlp_text bytes, sw_otlp_spans *spans, char *why) {
    struct origin origin = {{NULL, 0}, {NULL, 0}};
    size_t n_before = spans->n;
    bool named = false;
    otlp_reader reader = otlp_reader_of(bytes);
    otlp_field field;
    int more = 0;
    while ((more = otlp_next_field(&reader, &field)) > 0) {
        if (field.number >= 1 && field.number <= 3 && field.type != OTLP_BYTES) {
            return fail(why, "ResourceSpans: wrong wire type");
        }
        if (field.number == 1) {
            if (!check(field.bytes, &resource, CHECK_DEPTH)) {
                return fail(why, "Resource: malformed");
            }
            bool names = find_service(field.bytes, &origin.service);
            origin.resource = names || !named ? field.bytes : origin.resource;
            named |= names;
        }
    }
    if (more != 0) {
        return fail(why, "ResourceSpans: malformed");
    }
    reader = otlp_reader_of(bytes);
    while (otlp_next_field(&reader, &field) > 0) {
        if (field.number == 2 && read_scope_spans(field.bytes, &origin, spans, why) != 0) {
            return -1;
        }
    }
    spans->n_resources += spans->n > n_before;
    return 0;
}

static int read_request(sw_otlp_text request, sw_otlp_spans *spans, char *why) {
    otlp_reader reader = otlp_reader_of(request);
    otlp_field field;
    int more = 0;
    while ((more = otlp_next_field(&reader, &field)) > 0) {
        if (field.number != 1) {
            continue;
        }
        if (field.type != OTLP_BYTES) {
            return fail(why, "ExportTraceServiceRequest: wrong wire type");
        }
        if (read_resource_spans(field.bytes, spans, why) != 0) {
            return -1;
        }
    }
    return more == 0 ? 0 : fail(why, "ExportTraceServiceRequest: malformed");
}

int sw_otlp_read(sw_otlp_text request, sw_otlp_spans *spans, char why[SW_OTLP_WHY]) {
    spans->n = spans->n_resources = 0;
    int result = read_request(request, spans, why);
    if (result != 0) {
        spans->n = spans->n_resources = 0;
    }
    return result;
}

void sw_otlp_spans_init(sw_otlp_spans *spans, size_t max) {
    *spans = (sw_otlp_spans){.max = max};
}

void sw_otlp_spans_release(sw_otlp_spans *spans) {
    free(spans->items);
    *spans = (sw_otlp_spans){.max = spans->max};
}

/* ---- attributes ---- */

sw_otlp_attributes sw_otlp_attributes_of(sw_otlp_text span) {
    return (sw_otlp_attributes){otlp_reader_of(span), 9};
}

sw_otlp_attributes sw_otlp_resource_attributes_of(sw_otlp_text message) {
    return (sw_otlp_attributes){otlp_reader_of(message), 1};
}

static bool is_exception(sw_otlp_text bytes) {
    static const char exception[] = "exception";
    otlp_reader reader = otlp_reader_of(bytes);
    otlp_field field;
    sw_otlp_text name = {NULL, 0};
    while (otlp_next_field(&reader, &field) > 0) {
        name = field.number == 2 ? field.bytes : name;
    }
    return name.len == sizeof exception - 1 && memcmp(name.data, exception, name.len) == 0;
}

sw_otlp_attributes sw_otlp_exception_of(sw_otlp_text span) {
    otlp_reader reader = otlp_reader_of(span);
    otlp_field field;
    sw_otlp_text last = {NULL, 0};
    while (otlp_next_field(&reader, &field) > 0) {
        if (field.number == 11 && is_exception(field.bytes)) {
            last = field.bytes;
        }
    }
    return (sw_otlp_attributes){otlp_reader_of(last), 3};
}

bool sw_otlp_next_attribute(sw_otlp_attributes *attributes, sw_otlp_attribute *out) {
    otlp_field field;
    while (otlp_next_field(&attributes->reader, &field) > 0) {
        if (field.number != attributes->field || field.type != OTLP_BYTES) {
            continue;
        }
        *out = (sw_otlp_attribute){.key = {"", 0}, .value = {"", 0}};
        otlp_reader pair = otlp_reader_of(field.bytes);
        while (otlp_next_field(&pair, &field) > 0) {
            if (field.number == 1) {
                out->key = field.bytes;
            } else if (field.number == 2) {
                out->value = field.bytes;
            }
        }
        return true;
    }
    return false;
}
