#include "telemetry/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Length of the sequence that `lead` starts and the smallest code that may be written with it; 0: none. */
static size_t sequence_length(unsigned char lead, uint32_t *smallest, uint32_t *bits) {
    if (lead >= 0xC2 && lead <= 0xDF) {
        *smallest = 0x80;
        *bits = lead & 0x1Fu;
        return 2;
    }
    if ((lead & 0xF0) == 0xE0) {
        *smallest = 0x800;
        *bits = lead & 0x0Fu;
        return 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        *smallest = 0x10000;
        *bits = lead & 0x07u;
        return 4;
    }
    return 0;
}

size_t sw_utf8_next(const char *s, size_t len, uint32_t *code) {
    const unsigned char *b = (const unsigned char *)s;
    if (b[0] < 0x80) {
        *code = b[0];
        return 1;
    }
    *code = 0xFFFD;
    uint32_t smallest = 0;
    uint32_t bits = 0;
    size_t n = sequence_length(b[0], &smallest, &bits);
    if (n == 0 || n > len) {
        return 1;
    }
    for (size_t i = 1; i < n; i++) {
        if ((b[i] & 0xC0) != 0x80) {
            return 1;
        }
        bits = (bits << 6) | (b[i] & 0x3Fu);
    }
    if (bits < smallest || bits > 0x10FFFF || (bits >= 0xD800 && bits <= 0xDFFF)) {
        return 1;
    }
    *code = bits;
    return n;
}

bool sw_text_valid(const char *s, size_t len) {
    for (size_t i = 0; i < len;) {
        uint32_t code = 0;
        size_t n = sw_utf8_next(s + i, len - i, &code);
        if (n == 1 && code == 0xFFFD) {
            return false;
        }
        i += n;
    }
    return true;
}

void sw_format_double(double value, char out[SW_DOUBLE_TEXT]) {
    if (isnan(value)) {
        snprintf(out, SW_DOUBLE_TEXT, "NaN");
    } else if (isinf(value)) {
        snprintf(out, SW_DOUBLE_TEXT, value > 0 ? "+Inf" : "-Inf");
    } else if (fabs(value) < 1e15 && value == floor(value)) {
        snprintf(out, SW_DOUBLE_TEXT, "%lld", (long long)value);
    } else {
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(out, SW_DOUBLE_TEXT, "%.*g", digits, value);
            if (strtod(out, NULL) == value) {
                break;
            }
        }
    }
}
