#include "sources/json_value.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

/* Length of the UTF-8 sequence that starts at s, 0 when it is none. */
static size_t utf8_sequence(const unsigned char *s, size_t len) {
    if (s[0] < 0x80) {
        return 1;
    }
    size_t n = s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
    if (s[0] > 0xf4 || n == 0 || n > len) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool outside = (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf4 && s[1] >= 0x90);
    return overlong || outside ? 0 : n;
}

/* The 16 bits of "\uXXXX" at s; -1 when it is none. */
static int escaped_unit(const char *s, size_t len) {
    if (len < 6 || s[0] != '\\' || s[1] != 'u') {
        return -1;
    }
    int unit = 0;
    for (size_t i = 2; i < 6; i++) {
        int digit = s[i] >= '0' && s[i] <= '9'   ? s[i] - '0'
                    : s[i] >= 'a' && s[i] <= 'f' ? s[i] - 'a' + 10
                    : s[i] >= 'A' && s[i] <= 'F' ? s[i] - 'A' + 10
                                                 : -1;
        if (digit < 0) {
            return -1;
        }
        unit = unit * 16 + digit;
    }
    return unit;
}

/* Copies an escape (s[0] is the backslash); returns the bytes taken. */
static size_t repair_escape(sw_buf *out, const char *s, size_t len) {
    int unit = escaped_unit(s, len);
    if (unit < 0xd800 || unit > 0xdfff) {
        size_t n = len < 2 ? len : 2;
        sw_buf_append(out, s, (unsigned char)s[n - 1] < 0x80 ? n : 1);
        return (unsigned char)s[n - 1] < 0x80 ? n : 1;
    }
    int low = escaped_unit(s + 6, len - 6);
    if (unit < 0xdc00 && low >= 0xdc00 && low <= 0xdfff) {
        sw_buf_append(out, s, 12);
        return 12;
    }
    sw_buf_append_str(out, REPLACEMENT);
    return 6;
}

static void repair(sw_buf *out, const char *text, size_t len) {
    for (size_t i = 0; i < len;) {
        if (text[i] == '\\') {
            i += repair_escape(out, text + i, len - i);
            continue;
        }
        size_t n = utf8_sequence((const unsigned char *)text + i, len - i);
        if (n == 0) {
            sw_buf_append_str(out, REPLACEMENT);
            i++;
        } else {
            sw_buf_append(out, text + i, n);
            i += n;
        }
    }
}

json_t *sw_json_parse(const char *text, size_t len, char why[SW_JSON_WHY]) {
    const size_t flags = JSON_ALLOW_NUL | JSON_DECODE_ANY;
    json_error_t error;
    json_t *value = json_loadb(text, len, flags, &error);
    if (value == NULL && (json_error_code(&error) == json_error_invalid_utf8 ||
                          json_error_code(&error) == json_error_invalid_syntax)) {
        sw_buf fixed;
        sw_buf_init(&fixed, len * 3 + 16);
        repair(&fixed, text, len);
        value = json_loadb(fixed.data != NULL ? fixed.data : "", fixed.len, flags, &error);
        sw_buf_release(&fixed);
    }
    if (value == NULL) {
        snprintf(why, SW_JSON_WHY, "not JSON: %.120s", error.text);
    }
    return value;
}

char *sw_json_text(const json_t *value) {
    if (!json_is_string(value)) {
        return xstrdup("");
    }
    const char *s = json_string_value(value);
    size_t len = json_string_length(value);
    if (memchr(s, '\0', len) == NULL) {
        return xstrndup(s, len);
    }
    sw_buf out;
    sw_buf_init(&out, len * 3);
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '\0') {
            sw_buf_append_str(&out, REPLACEMENT);
        } else {
            sw_buf_append_char(&out, s[i]);
        }
    }
    return sw_buf_steal(&out, NULL);
}

char *sw_json_member_text(const json_t *object, const char *key) {
    return sw_json_text(json_object_get(object, key));
}

const char *sw_json_peek(const json_t *object, const char *key) {
    const char *s = json_string_value(json_object_get(object, key));
    return s != NULL ? s : "";
}

bool sw_json_int(const json_t *value, int64_t *out) {
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    if (json_is_real(value)) {
        double number = json_real_value(value);
        if (!(fabs(number) < 9e18)) {
            return false;
        }
        *out = (int64_t)number;
        return true;
    }
    const char *s = json_string_value(value);
    if (s == NULL || (s[0] != '-' && (s[0] < '0' || s[0] > '9'))) {
        return false;
    }
    char *end = NULL;
    errno = 0;
    long long number = strtoll(s, &end, 10);
    if (errno != 0 || end == s || *end != '\0') {
        return false;
    }
    *out = number;
    return true;
}

bool sw_json_number(const json_t *value, double *out) {
    double number = NAN;
    if (json_is_number(value)) {
        number = json_number_value(value);
    } else if (json_is_string(value)) {
        const char *s = json_string_value(value);
        char *end = NULL;
        number = strtod(s, &end);
        if (end == s || *end != '\0') {
            return false;
        }
    }
    if (!isfinite(number)) {
        return false;
    }
    *out = number;
    return true;
}

int sw_json_append_string(sw_buf *out, const char *s) {
    sw_buf_append_char(out, '"');
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') {
            sw_buf_append_char(out, '\\');
            sw_buf_append_char(out, *s);
        } else if (c < 0x20 || c == 0x7f) {
            sw_buf_printf(out, "\\u%04x", c);
        } else {
            sw_buf_append_char(out, *s);
        }
    }
    return sw_buf_append_char(out, '"');
}
