/* Values as JSON: whatever they hold, the document is valid. */
#include "alerts/alerts_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry/text.h"

static json_t *repaired(const char *s, size_t len) {
    sw_buf text;
    sw_buf_init(&text, len * 3 + 1);
    while (len > 0) {
        uint32_t code = 0;
        size_t n = sw_utf8_next(s, len, &code);
        bool good = code != 0xFFFD || n > 1; /* the replacement character itself is fine */
        sw_buf_append(&text, good ? s : SW_UTF8_REPLACEMENT, good ? n : strlen(SW_UTF8_REPLACEMENT));
        s += n;
        len -= n;
    }
    json_t *value = json_stringn(text.data, text.len);
    sw_buf_release(&text);
    return value;
}

json_t *sw_text_to_json(const char *s) {
    if (s == NULL) {
        return json_null();
    }
    size_t len = strlen(s);
    json_t *value = json_stringn(s, len);
    return value != NULL ? value : repaired(s, len);
}

json_t *sw_number_to_json(double value) {
    if (!isfinite(value)) {
        return json_null();
    }
    bool whole = value == trunc(value) && fabs(value) < 9007199254740992.0;
    return whole ? json_integer((json_int_t)value) : json_real(value);
}

/* ---- writing: as jansson does, which looks for circles that are not there, and writes byte by byte ---- */

static void write_text(const char *s, size_t len, sw_buf *out) {
    static const char plain[] = "\b\f\n\r\t\"\\", names[] = "bfnrt\"\\";
    sw_buf_append_char(out, '"');
    size_t from = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= ' ' && c != '"' && c != '\\') {
            continue;
        }
        sw_buf_append(out, s + from, i - from);
        from = i + 1;
        const char *known = c != 0 ? strchr(plain, c) : NULL;
        if (known != NULL) {
            sw_buf_append_char(out, '\\');
            sw_buf_append_char(out, names[known - plain]);
        } else {
            sw_buf_printf(out, "\\u%04X", c);
        }
    }
    sw_buf_append(out, s + from, len - from);
    sw_buf_append_char(out, '"');
}

static void write_whole(json_int_t value, sw_buf *out) {
    char text[24], *at = text + sizeof text;
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0) {
        *--at = '-';
    }
    sw_buf_append(out, at, (size_t)(text + sizeof text - at));
}

/* A point or an exponent says that it is no integer. */
static void write_real(double value, int digits, sw_buf *out) {
    char text[40];
    int len = snprintf(text, sizeof text, "%.*g", digits, value);
    sw_buf_append(out, text, (size_t)len);
    if (strpbrk(text, ".e") == NULL) {
        sw_buf_append_str(out, ".0");
    }
}

static void write_value(const json_t *value, int digits, sw_buf *out);

static void write_object(const json_t *object, int digits, sw_buf *out) {
    char before = '{';
    void *at = json_object_iter((json_t *)object);
    for (; at != NULL; at = json_object_iter_next((json_t *)object, at), before = ',') {
        const char *name = json_object_iter_key(at);
        sw_buf_append_char(out, before);
        write_text(name, strlen(name), out);
        sw_buf_append_char(out, ':');
        write_value(json_object_iter_value(at), digits, out);
    }
    sw_buf_append_str(out, before == '{' ? "{}" : "}");
}

static void write_array(const json_t *array, int digits, sw_buf *out) {
    sw_buf_append_char(out, '[');
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (i > 0) {
            sw_buf_append_char(out, ',');
        }
        write_value(json_array_get(array, i), digits, out);
    }
    sw_buf_append_char(out, ']');
}

static void write_value(const json_t *value, int digits, sw_buf *out) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        write_object(value, digits, out);
        break;
    case JSON_ARRAY:
        write_array(value, digits, out);
        break;
    case JSON_STRING:
        write_text(json_string_value(value), json_string_length(value), out);
        break;
    case JSON_INTEGER:
        write_whole(json_integer_value(value), out);
        break;
    case JSON_REAL:
        write_real(json_real_value(value), digits, out);
        break;
    default:
        sw_buf_append_str(out, json_is_true(value) ? "true" : json_is_false(value) ? "false" : "null");
    }
}

int sw_write_json(json_t *document, int digits, sw_buf *out) {
    if (document == NULL) {
        return -1;
    }
    write_value(document, digits, out);
    json_decref(document);
    return out->overflow ? -1 : 0;
}
