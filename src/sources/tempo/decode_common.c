#include "sources/tempo/decode.h"

#include <stdlib.h>
#include <string.h>

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool tempo_hex_id(const char *text, size_t width, char *out) {
    size_t len = strlen(text);
    if (len == 0 || len > width) {
        return false;
    }
    memset(out, '0', width - len);
    for (size_t i = 0; i < len; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0) {
            return false;
        }
        out[width - len + i] = "0123456789abcdef"[digit];
    }
    out[width] = '\0';
    return true;
}

static int base64_digit(char c) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+' || c == '-' ? 62
           : c == '/' || c == '_' ? 63
                                  : -1;
}

bool tempo_base64_id(const char *text, size_t n, char *out) {
    size_t len = strlen(text);
    if (len == 2 * n) {
        return tempo_hex_id(text, 2 * n, out);
    }
    while (len > 0 && text[len - 1] == '=') {
        len--;
    }
    unsigned char bytes[16];
    size_t got = 0;
    unsigned bits = 0, held = 0;
    for (size_t i = 0; i < len; i++) {
        int digit = base64_digit(text[i]);
        if (digit < 0) {
            return false;
        }
        held = (held << 6 | (unsigned)digit) & 0xffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            if (got == n || got == sizeof bytes) {
                return false;
            }
            bytes[got++] = (unsigned char)(held >> bits);
        }
    }
    if (got != n) {
        return false;
    }
    sw_hex(bytes, n, out);
    return true;
}

static void append_any_value(sw_buf *out, const json_t *value, int depth);

static void append_list(sw_buf *out, const json_t *values, int depth) {
    sw_buf_append_char(out, '[');
    for (size_t i = 0; i < json_array_size(values); i++) {
        sw_buf_append_str(out, i > 0 ? ", " : "");
        append_any_value(out, json_array_get(values, i), depth + 1);
    }
    sw_buf_append_char(out, ']');
}

static void append_any_value(sw_buf *out, const json_t *value, int depth) {
    static const char *const texts[] = {"stringValue", "intValue", "doubleValue", "boolValue", "bytesValue"};
    for (size_t i = 0; i < SW_ARRAY_LEN(texts); i++) {
        const json_t *member = json_object_get(value, texts[i]);
        if (json_is_string(member)) {
            char *text = sw_json_text(member);
            sw_buf_append_str(out, text);
            free(text);
            return;
        }
        if (json_is_integer(member)) {
            sw_buf_printf(out, "%lld", (long long)json_integer_value(member));
            return;
        }
        if (json_is_real(member)) {
            sw_buf_printf(out, "%.17g", json_real_value(member));
            return;
        }
        if (json_is_boolean(member)) {
            sw_buf_append_str(out, json_is_true(member) ? "true" : "false");
            return;
        }
    }
    const json_t *list = json_object_get(json_object_get(value, "arrayValue"), "values");
    if (json_is_array(list) && depth < 4) {
        append_list(out, list, depth);
    }
}

char *tempo_any_value_text(const json_t *value) {
    sw_buf out;
    sw_buf_init(&out, 65536);
    append_any_value(&out, value, 0);
    return sw_buf_steal(&out, NULL);
}

void tempo_row_release(tempo_row *row) {
    sw_trace_release(&row->trace);
    free(row->roots);
    *row = (tempo_row){0};
}

sw_span *tempo_row_add_span(tempo_row *row) {
    size_t n = row->trace.n_spans;
    if (n == 0 || (n >= 8 && (n & (n - 1)) == 0)) {
        size_t room = n == 0 ? 8 : n * 2;
        row->trace.spans = xrealloc_array(row->trace.spans, room, sizeof *row->trace.spans);
        row->roots = xrealloc_array(row->roots, room, sizeof *row->roots);
    }
    row->trace.n_spans++;
    row->roots[n] = false;
    row->trace.spans[n] = (sw_span){.duration_ns = -1};
    return &row->trace.spans[n];
}
