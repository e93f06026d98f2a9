#include "sources/otlp/text.h"

#include <string.h>

#include "telemetry/text.h"

size_t otlp_text_cut(sw_otlp_text text, size_t max) {
    size_t len = text.len > 0 ? strnlen(text.data, text.len) : 0;
    if (len <= max) {
        return len;
    }
    len = max;
    while (len > 0 && ((unsigned char)text.data[len] & 0xc0) == 0x80) {
        len--;
    }
    return len;
}

char *otlp_text_copy(sw_otlp_text text) {
    size_t len = otlp_text_cut(text, OTLP_TEXT_MAX);
    sw_buf out;
    sw_buf_init(&out, 3 * OTLP_TEXT_MAX + 1);
    for (size_t at = 0; at < len;) {
        uint32_t code = 0;
        size_t n = sw_utf8_next(text.data + at, len - at, &code);
        if (code == 0xFFFD) {
            sw_buf_append_str(&out, SW_UTF8_REPLACEMENT);
        } else {
            sw_buf_append(&out, text.data + at, n);
        }
        at += n;
    }
    sw_buf_append_char(&out, '\0');
    return sw_buf_steal(&out, NULL);
}
