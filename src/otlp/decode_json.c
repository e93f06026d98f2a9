/*
 * OTLP/JSON, rewritten as protobuf, so that there is one reader. JSON is the rare and slow case. What fields
 * there are is a table; unknown members are ignored.
 */
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otlp/otlp.h"

#define VALUES_MAX 1000000 /* values in one request: each costs about 100 bytes while it is read */

enum type { TEXT, ID, FIXED64, FIXED32, UINT32, INT64, BOOL, DOUBLE, BASE64, ENUM, MESSAGE };

struct message;

struct member {
    const char *name; /* camelCase; snake_case is taken too */
    uint32_t number;
    enum type type;
    bool repeated;
    const struct message *inner; /* of MESSAGE */
    const char *prefix;          /* of ENUM: what its names begin with */
    const char *const *names;    /* of ENUM: the rest of them, by number, NULL-terminated */
    size_t id_len;               /* of ID: bytes */
};

struct message {
    const struct member *members; /* ends with one without a name */
};

static const char *const kinds[] = {"UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT",
                                    "PRODUCER",    "CONSUMER", NULL};
static const char *const codes[] = {"UNSET", "OK", "ERROR", NULL};

static const struct message any_value, key_value;

static const struct member array_members[] = {
    {.name = "values", .number = 1, .type = MESSAGE, .repeated = true, .inner = &any_value}, {0}};
static const struct message array_value = {.members = array_members};
static const struct member list_members[] = {
    {.name = "values", .number = 1, .type = MESSAGE, .repeated = true, .inner = &key_value}, {0}};
static const struct message key_value_list = {.members = list_members};
static const struct member any_members[] = {
    {.name = "stringValue", .number = 1, .type = TEXT},
    {.name = "boolValue", .number = 2, .type = BOOL},
    {.name = "intValue", .number = 3, .type = INT64},
    {.name = "doubleValue", .number = 4, .type = DOUBLE},
    {.name = "arrayValue", .number = 5, .type = MESSAGE, .inner = &array_value},
    {.name = "kvlistValue", .number = 6, .type = MESSAGE, .inner = &key_value_list},
    {.name = "bytesValue", .number = 7, .type = BASE64},
    {0}};
static const struct message any_value = {.members = any_members};
static const struct member pair_members[] = {
    {.name = "key", .number = 1, .type = TEXT},
    {.name = "value", .number = 2, .type = MESSAGE, .inner = &any_value},
    {0}};
static const struct message key_value = {.members = pair_members};
#define ATTRIBUTES(field)                                                                                    \
    { .name = "attributes", .number = (field), .type = MESSAGE, .repeated = true, .inner = &key_value }

static const struct member event_members[] = {{.name = "timeUnixNano", .number = 1, .type = FIXED64},
                                              {.name = "name", .number = 2, .type = TEXT},
                                              ATTRIBUTES(3),
                                              {.name = "droppedAttributesCount", .number = 4, .type = UINT32},
                                              {0}};
static const struct message event = {.members = event_members};
static const struct member link_members[] = {{.name = "traceId", .number = 1, .type = ID, .id_len = 16},
                                             {.name = "spanId", .number = 2, .type = ID, .id_len = 8},
                                             {.name = "traceState", .number = 3, .type = TEXT},
                                             ATTRIBUTES(4),
                                             {.name = "droppedAttributesCount", .number = 5, .type = UINT32},
                                             {.name = "flags", .number = 6, .type = FIXED32},
                                             {0}};
static const struct message span_link = {.members = link_members};
static const struct member status_members[] = {
    {.name = "message", .number = 2, .type = TEXT},
    {.name = "code", .number = 3, .type = ENUM, .prefix = "STATUS_CODE_", .names = codes},
    {0}};
static const struct message status = {.members = status_members};
static const struct member span_members[] = {
    {.name = "traceId", .number = 1, .type = ID, .id_len = 16},
    {.name = "spanId", .number = 2, .type = ID, .id_len = 8},
    {.name = "traceState", .number = 3, .type = TEXT},
    {.name = "parentSpanId", .number = 4, .type = ID, .id_len = 8},
    {.name = "name", .number = 5, .type = TEXT},
    {.name = "kind", .number = 6, .type = ENUM, .prefix = "SPAN_KIND_", .names = kinds},
    {.name = "startTimeUnixNano", .number = 7, .type = FIXED64},
    {.name = "endTimeUnixNano", .number = 8, .type = FIXED64},
    ATTRIBUTES(9),
    {.name = "droppedAttributesCount", .number = 10, .type = UINT32},
    {.name = "events", .number = 11, .type = MESSAGE, .repeated = true, .inner = &event},
    {.name = "droppedEventsCount", .number = 12, .type = UINT32},
    {.name = "links", .number = 13, .type = MESSAGE, .repeated = true, .inner = &span_link},
    {.name = "droppedLinksCount", .number = 14, .type = UINT32},
    {.name = "status", .number = 15, .type = MESSAGE, .inner = &status},
    {.name = "flags", .number = 16, .type = FIXED32},
    {0}};
static const struct message span = {.members = span_members};
static const struct member scope_members[] = {{.name = "name", .number = 1, .type = TEXT},
                                              {.name = "version", .number = 2, .type = TEXT},
                                              ATTRIBUTES(3),
                                              {.name = "droppedAttributesCount", .number = 4, .type = UINT32},
                                              {0}};
static const struct message scope = {.members = scope_members};
static const struct member scope_spans_members[] = {
    {.name = "scope", .number = 1, .type = MESSAGE, .inner = &scope},
    {.name = "spans", .number = 2, .type = MESSAGE, .repeated = true, .inner = &span},
    {.name = "schemaUrl", .number = 3, .type = TEXT},
    {0}};
static const struct message scope_spans = {.members = scope_spans_members};
static const struct member resource_members[] = {
    ATTRIBUTES(1), {.name = "droppedAttributesCount", .number = 2, .type = UINT32}, {0}};
static const struct message resource = {.members = resource_members};
static const struct member resource_spans_members[] = {
    {.name = "resource", .number = 1, .type = MESSAGE, .inner = &resource},
    {.name = "scopeSpans", .number = 2, .type = MESSAGE, .repeated = true, .inner = &scope_spans},
    {.name = "schemaUrl", .number = 3, .type = TEXT},
    {0}};
static const struct message resource_spans = {.members = resource_spans_members};
static const struct member request_members[] = {
    {.name = "resourceSpans", .number = 1, .type = MESSAGE, .repeated = true, .inner = &resource_spans}, {0}};
static const struct message request = {.members = request_members};

struct writer {
    sw_buf *out;
    char *why; /* [SW_OTLP_WHY] */
};

static bool fail(const struct writer *writer, const char *name, const char *expected) {
    snprintf(writer->why, SW_OTLP_WHY, "%s: must be %s", name, expected);
    return false;
}

/* "trace_id" is "traceId" too. */
static bool same_name(const char *camel, const char *key) {
    for (; *camel != '\0'; camel++, key++) {
        if (isupper((unsigned char)*camel) && *key == '_' &&
            tolower((unsigned char)*camel) == (unsigned char)key[1]) {
            key++;
        } else if (*camel != *key) {
            return false;
        }
    }
    return *key == '\0';
}

static const struct member *find_member(const struct message *message, const char *key) {
    const struct member *member = message->members;
    while (member->name != NULL && !same_name(member->name, key)) {
        member++;
    }
    return member->name != NULL ? member : NULL;
}

static bool read_unsigned(const json_t *value, uint64_t max, uint64_t *out) {
    if (json_is_integer(value)) {
        *out = (uint64_t)json_integer_value(value);
        return json_integer_value(value) >= 0 && *out <= max;
    }
    const char *text = json_string_value(value);
    if (text == NULL || !isdigit((unsigned char)text[0])) {
        return false;
    }
    char *end = NULL;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && end == text + json_string_length(value) && *out <= max;
}

static bool read_signed(const json_t *value, int64_t *out) {
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    const char *text = json_string_value(value);
    if (text == NULL || !(isdigit((unsigned char)text[0]) || text[0] == '-')) {
        return false;
    }
    char *end = NULL;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && end != text && end == text + json_string_length(value);
}

static bool read_double(const json_t *value, double *out) {
    const char *text = json_string_value(value);
    if (text == NULL) {
        *out = json_number_value(value);
        return json_is_number(value);
    }
    char *end = NULL;
    *out = strtod(text, &end);
    return end != text && end == text + json_string_length(value);
}

static bool read_enum(const struct member *member, const json_t *value, uint64_t *out) {
    if (json_is_integer(value)) {
        int64_t number = json_integer_value(value);
        *out = (uint64_t)number;
        return number >= INT32_MIN && number <= INT32_MAX;
    }
    const char *text = json_string_value(value);
    if (text == NULL || !sw_starts_with(text, member->prefix)) {
        return false;
    }
    for (size_t i = 0; member->names[i] != NULL; i++) {
        if (strcmp(member->names[i], text + strlen(member->prefix)) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static int hex_digit(char c) {
    return isxdigit((unsigned char)c) ? (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10) : -1;
}

static bool put_id(const struct writer *writer, const struct member *member, const json_t *value) {
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    unsigned char bytes[16];
    if (text == NULL || (len != 0 && len != 2 * member->id_len)) {
        return fail(writer, member->name, member->id_len == 16 ? "32 hex digits" : "16 hex digits");
    }
    for (size_t i = 0; i < len / 2; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return fail(writer, member->name, "hex digits");
        }
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    otlp_put_bytes(writer->out, member->number, bytes, len / 2);
    return true;
}

static int base64_digit(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (c == '-' || c == '_') { /* the URL-safe alphabet */
        return c == '-' ? 62 : 63;
    }
    const char *found = c != '\0' ? strchr(digits, c) : NULL;
    return found != NULL ? (int)(found - digits) : -1;
}

static bool put_base64(const struct writer *writer, const struct member *member, const json_t *value) {
    const char *text = json_string_value(value);
    size_t len = json_string_length(value), n = 0;
    while (len > 0 && text[len - 1] == '=') {
        len--;
    }
    unsigned char *bytes = xmalloc(len + 1);
    unsigned held = 0, bits = 0;
    bool good = text != NULL && len % 4 != 1;
    for (size_t i = 0; good && i < len; i++) {
        int digit = base64_digit(text[i]);
        good = digit >= 0;
        held = (held << 6 | (unsigned)digit) & 0xFFF;
        bits += 6;
        if (good && bits >= 8) {
            bits -= 8;
            bytes[n++] = (unsigned char)(held >> bits);
        }
    }
    if (good) {
        otlp_put_bytes(writer->out, member->number, bytes, n);
    }
    free(bytes);
    return good || fail(writer, member->name, "base64");
}

static bool put_message(const struct writer *writer, const struct member *member, const json_t *value,
                        unsigned depth);

static bool put_number(const struct writer *writer, const struct member *member, const json_t *value) {
    uint64_t number = 0;
    int64_t with_sign = 0;
    double real = 0;
    switch (member->type) {
    case FIXED64:
        if (!read_unsigned(value, UINT64_MAX, &number)) {
            return fail(writer, member->name, "nanoseconds, 0 or more");
        }
        otlp_put_fixed64(writer->out, member->number, number);
        return true;
    case FIXED32:
    case UINT32:
        if (!read_unsigned(value, UINT32_MAX, &number)) {
            return fail(writer, member->name, "a whole number of 32 bits");
        }
        if (member->type == FIXED32) {
            otlp_put_fixed32(writer->out, member->number, (uint32_t)number);
        } else {
            otlp_put_varint(writer->out, member->number, number);
        }
        return true;
    case INT64:
        if (!read_signed(value, &with_sign)) {
            return fail(writer, member->name, "a whole number of 64 bits");
        }
        otlp_put_varint(writer->out, member->number, (uint64_t)with_sign);
        return true;
    case DOUBLE:
        if (!read_double(value, &real)) {
            return fail(writer, member->name, "a number");
        }
        memcpy(&number, &real, sizeof number);
        otlp_put_fixed64(writer->out, member->number, number);
        return true;
    default:
        if (!read_enum(member, value, &number)) {
            return fail(writer, member->name, "a number or a name of the enum");
        }
        otlp_put_varint(writer->out, member->number, number);
        return true;
    }
}

static bool put_value(const struct writer *writer, const struct member *member, const json_t *value,
                      unsigned depth) {
    switch (member->type) {
    case TEXT:
        if (!json_is_string(value)) {
            return fail(writer, member->name, "a text");
        }
        otlp_put_bytes(writer->out, member->number, json_string_value(value), json_string_length(value));
        return true;
    case BOOL:
        if (!json_is_boolean(value)) {
            return fail(writer, member->name, "true or false");
        }
        otlp_put_varint(writer->out, member->number, json_is_true(value));
        return true;
    case ID:
        return put_id(writer, member, value);
    case BASE64:
        return put_base64(writer, member, value);
    case MESSAGE:
        return put_message(writer, member, value, depth);
    default:
        return put_number(writer, member, value);
    }
}

static bool put_members(const struct writer *writer, const struct message *message, const json_t *object,
                        unsigned depth) {
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        const struct member *member = find_member(message, key);
        if (member == NULL || json_is_null(value)) {
            continue;
        }
        if (!member->repeated) {
            if (!put_value(writer, member, value, depth)) {
                return false;
            }
            continue;
        }
        if (!json_is_array(value)) {
            return fail(writer, member->name, "an array");
        }
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (!put_value(writer, member, json_array_get(value, i), depth)) {
                return false;
            }
        }
    }
    return true;
}

/* The length of what is inside is known only afterwards: four bytes are kept free for it. Protobuf allows a
 * varint that is longer than it has to be. */
#define LENGTH_BYTES 4

static bool put_message(const struct writer *writer, const struct member *member, const json_t *value,
                        unsigned depth) {
    if (!json_is_object(value)) {
        return fail(writer, member->name, "an object");
    }
    if (depth == 0) {
        return fail(writer, member->name, "less deep");
    }
    otlp_put_bytes(writer->out, member->number, NULL, 0); /* one byte of length */
    sw_buf_append(writer->out, "\0\0\0", LENGTH_BYTES - 1);
    size_t start = writer->out->len;
    if (!put_members(writer, member->inner, value, depth - 1)) {
        return false;
    }
    size_t len = writer->out->len - start;
    if (writer->out->overflow || len >= 1u << (7 * LENGTH_BYTES)) {
        return fail(writer, member->name, "smaller");
    }
    for (size_t i = 0; i < LENGTH_BYTES; i++) {
        unsigned more = i + 1 < LENGTH_BYTES ? 0x80 : 0;
        writer->out->data[start - LENGTH_BYTES + i] = (char)(((len >> (7 * i)) & 0x7F) | more);
    }
    return true;
}

/* Values cost memory before they can be judged; commas and brackets count them beforehand. */
static bool too_many_values(const char *text, size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        n += text[i] == ',' || text[i] == '[' || text[i] == '{';
    }
    return n > VALUES_MAX;
}

int sw_otlp_json_to_protobuf(const char *text, size_t len, sw_buf *out, char why[SW_OTLP_WHY]) {
    const struct writer writer = {out, why};
    json_error_t error;
    if (too_many_values(text, len)) {
        snprintf(why, SW_OTLP_WHY, "more than %d values in one request", VALUES_MAX);
        return -1;
    }
    json_t *value = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (value == NULL) {
        snprintf(why, SW_OTLP_WHY, "not JSON: %.100s at byte %d", error.text, error.position);
        return -1;
    }
    bool good = json_is_null(value) || json_is_object(value) || fail(&writer, "the request", "an object");
    if (good && json_is_object(value)) {
        good = put_members(&writer, &request, value, 2 * SW_OTLP_DEPTH_MAX);
    }
    if (good && out->overflow) {
        good = fail(&writer, "the request", "smaller");
    }
    json_decref(value);
    return good ? 0 : -1;
}
