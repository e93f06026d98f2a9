/* AnyValue as text, and the sampling threshold of a tracestate. */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "otlp/otlp.h"

#define VALUE_MAX 4096 /* bytes of a value that is shown */

static void append_value(sw_otlp_text value, sw_buf *out, bool quoted, unsigned depth);

static void append_quoted(sw_otlp_text text, sw_buf *out) {
    sw_buf_append_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '"' || c == '\\') {
            sw_buf_append_char(out, '\\');
        }
        if (c < ' ') {
            sw_buf_printf(out, "\\u%04x", c);
        } else {
            sw_buf_append_char(out, (char)c);
        }
    }
    sw_buf_append_char(out, '"');
}

static void append_hex(sw_otlp_text bytes, sw_buf *out) {
    for (size_t i = 0; i < bytes.len; i++) {
        sw_buf_printf(out, "%02x", (unsigned char)bytes.data[i]);
    }
}

static void append_double(uint64_t bits, sw_buf *out) {
    double number = 0;
    memcpy(&number, &bits, sizeof number);
    sw_buf_printf(out, "%.17g", number);
}

static void append_array(sw_otlp_text array, sw_buf *out, unsigned depth) {
    otlp_reader reader = otlp_reader_of(array);
    otlp_field field;
    const char *separator = "";
    sw_buf_append_char(out, '[');
    while (otlp_next_field(&reader, &field) > 0 && out->len < VALUE_MAX) {
        if (field.number == 1 && field.type == OTLP_BYTES) {
            sw_buf_append_str(out, separator);
            append_value(field.bytes, out, true, depth - 1);
            separator = ",";
        }
    }
    sw_buf_append_char(out, ']');
}

static void append_list(sw_otlp_text list, sw_buf *out, unsigned depth) {
    sw_otlp_attributes attributes = {otlp_reader_of(list), 1};
    sw_otlp_attribute attribute;
    const char *separator = "";
    sw_buf_append_char(out, '{');
    while (out->len < VALUE_MAX && sw_otlp_next_attribute(&attributes, &attribute)) {
        sw_buf_append_str(out, separator);
        append_quoted(attribute.key, out);
        sw_buf_append_char(out, ':');
        append_value(attribute.value, out, true, depth - 1);
        separator = ",";
    }
    sw_buf_append_char(out, '}');
}

static void append_field(const otlp_field *field, sw_buf *out, bool quoted, unsigned depth) {
    sw_otlp_text shown = field->bytes;
    shown.len = field->type == OTLP_BYTES && shown.len > VALUE_MAX ? VALUE_MAX : shown.len;
    switch (field->number) {
    case 1:
        if (quoted) {
            append_quoted(shown, out);
        } else {
            sw_buf_append(out, shown.data, shown.len);
        }
        return;
    case 2:
        sw_buf_append_str(out, field->value != 0 ? "true" : "false");
        return;
    case 3:
        sw_buf_printf(out, "%" PRId64, (int64_t)field->value);
        return;
    case 4:
        append_double(field->value, out);
        return;
    case 5:
        append_array(field->bytes, out, depth);
        return;
    case 6:
        append_list(field->bytes, out, depth);
        return;
    default:
        append_hex(shown, out);
        return;
    }
}

/* The last field of the oneof counts. */
static void append_value(sw_otlp_text value, sw_buf *out, bool quoted, unsigned depth) {
    otlp_reader reader = otlp_reader_of(value);
    otlp_field field, last = {0};
    while (otlp_next_field(&reader, &field) > 0) {
        if (field.number >= 1 && field.number <= 7) {
            last = field;
        }
    }
    if (last.number != 0 && depth > 0) {
        append_field(&last, out, quoted, depth);
    } else if (quoted) {
        sw_buf_append_str(out, "null");
    }
}

void sw_otlp_value_text(sw_otlp_text value, sw_buf *out) {
    append_value(value, out, false, SW_OTLP_DEPTH_MAX);
}

/* The list member "ot=…": up to the next comma. */
static sw_otlp_text ot_member(sw_otlp_text state) {
    size_t at = 0;
    while (at < state.len) {
        const char *comma = memchr(state.data + at, ',', state.len - at);
        size_t end = comma != NULL ? (size_t)(comma - state.data) : state.len;
        while (at < end && (state.data[at] == ' ' || state.data[at] == '\t')) {
            at++;
        }
        if (end - at > 3 && memcmp(state.data + at, "ot=", 3) == 0) {
            return (sw_otlp_text){state.data + at + 3, end - at - 3};
        }
        at = end + 1;
    }
    return (sw_otlp_text){NULL, 0};
}

/* Up to 14 hex digits, those that are left out are zeros: the share of 2^56 that is not sampled. */
static double weight_of_threshold(const char *digits, size_t len) {
    uint64_t threshold = 0;
    if (len == 0 || len > 14) {
        return 1;
    }
    for (size_t i = 0; i < 14; i++) {
        int c = i < len ? (unsigned char)digits[i] : '0';
        if (!isxdigit(c)) {
            return 1;
        }
        threshold = threshold << 4 | (uint64_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    const uint64_t all = UINT64_C(1) << 56;
    return (double)all / (double)(all - threshold);
}

/* The older form: one of 2^p was sampled; 63 is for those that stand for none, which happened all the same.
 */
static double weight_of_power(const char *digits, size_t len) {
    unsigned power = 0;
    if (len == 0 || len > 2) {
        return 1;
    }
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)digits[i])) {
            return 1;
        }
        power = power * 10 + (unsigned)(digits[i] - '0');
    }
    return power < 63 ? ldexp(1, (int)power) : 1;
}

double sw_otlp_weight(sw_otlp_text trace_state) {
    if (trace_state.len == 0) {
        return 1;
    }
    sw_otlp_text member = ot_member(trace_state);
    double weight = 1;
    for (size_t at = 0; at + 2 < member.len;) {
        const char *semicolon = memchr(member.data + at, ';', member.len - at);
        size_t end = semicolon != NULL ? (size_t)(semicolon - member.data) : member.len;
        if (end - at > 3 && memcmp(member.data + at, "th:", 3) == 0) {
            return weight_of_threshold(member.data + at + 3, end - at - 3);
        }
        if (end - at > 2 && memcmp(member.data + at, "p:", 2) == 0) {
            weight = weight_of_power(member.data + at + 2, end - at - 2);
        }
        at = end + 1;
    }
    return weight;
}
