#include "alerts/json_pieces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry/text.h"

#define DEPTH_MAX 64

static const char *skip_blanks(const char *at, const char *end) {
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r')) {
        at++;
    }
    return at;
}

/* Behind the closing quote; NULL when there is none. `at` is behind the opening one. */
static const char *skip_string(const char *at, const char *end) {
    while (at < end && *at != '"') {
        if ((unsigned char)*at < ' ') {
            return NULL;
        }
        at += *at == '\\' ? 2 : 1;
    }
    return at < end ? at + 1 : NULL;
}

static bool is_of_a_word(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '+' || c == '.';
}

/* Behind the value at `at`; NULL when it has no end. Brackets are only counted. */
static const char *skip_value(const char *at, const char *end) {
    int depth = 0;
    do {
        at = skip_blanks(at, end);
        if (at == end) {
            return NULL;
        }
        char c = *at;
        if (c == '"') {
            at = skip_string(at + 1, end);
        } else if (c == '{' || c == '[') {
            at = ++depth <= DEPTH_MAX ? at + 1 : NULL;
        } else if (c == '}' || c == ']') {
            at = --depth >= 0 ? at + 1 : NULL;
        } else if (depth > 0 && (c == ',' || c == ':')) {
            at++;
        } else if (is_of_a_word(c)) {
            while (at < end && is_of_a_word(*at)) {
                at++;
            }
        } else {
            at = NULL;
        }
    } while (at != NULL && depth > 0);
    return at;
}

/* The value at *at, which moves behind it and the blanks that follow. */
static bool take_value(const char **at, const char *end, sw_json_piece *out) {
    const char *from = skip_blanks(*at, end);
    const char *behind = skip_value(from, end);
    if (behind == NULL) {
        return false;
    }
    *out = (sw_json_piece){from, (size_t)(behind - from)};
    *at = skip_blanks(behind, end);
    return true;
}

static bool take_name(const char **at, const char *end, sw_json_piece *out) {
    sw_json_piece name;
    if (!take_value(at, end, &name) || name.at[0] != '"' || *at == end || **at != ':') {
        return false;
    }
    ++*at;
    *out = (sw_json_piece){name.at + 1, name.len - 2};
    return true;
}

bool sw_piece_members(sw_json_piece object, sw_json_members *out) {
    out->n = out->next = 0;
    if (object.at == NULL) {
        return false;
    }
    const char *end = object.at + object.len, *at = skip_blanks(object.at, end);
    if (at == end || *at != '{') {
        return false;
    }
    at = skip_blanks(at + 1, end);
    bool first = true;
    while (at < end && *at != '}') {
        if (!first && *at++ != ',') {
            return false;
        }
        first = false;
        if (out->n == SW_JSON_MEMBERS_MAX || !take_name(&at, end, &out->names[out->n]) ||
            !take_value(&at, end, &out->values[out->n])) {
            return false;
        }
        out->n++;
    }
    return at < end && skip_blanks(at + 1, end) == end;
}

sw_json_piece sw_piece_member(sw_json_members *members, const char *name) {
    size_t len = strlen(name);
    for (size_t i = 0; i < members->n; i++) {
        size_t place = (members->next + i) % members->n;
        const sw_json_piece *known = &members->names[place];
        if (known->len == len && memcmp(known->at, name, len) == 0) {
            members->next = place + 1;
            return members->values[place];
        }
    }
    return (sw_json_piece){NULL, 0};
}

bool sw_piece_element(sw_json_piece array, const char **cursor, sw_json_piece *out, bool *bad) {
    const char *end = array.at + array.len, *at = *cursor;
    bool first = at == NULL;
    if (first) {
        if (array.at == NULL || array.at[0] != '[') {
            *bad = true;
            return false;
        }
        at = skip_blanks(array.at + 1, end);
    }
    if (at < end && *at == ']') {
        *bad |= at + 1 != end;
        return false;
    }
    if ((!first && (at == end || *at++ != ',')) || !take_value(&at, end, out)) {
        *bad = true;
        return false;
    }
    *cursor = at;
    return true;
}

bool sw_piece_is(sw_json_piece value, const char *literal) {
    return value.at != NULL && value.len == strlen(literal) && memcmp(value.at, literal, value.len) == 0;
}

/* ---- texts ---- */

static int hex4(const char *at, const char *end) {
    int code = 0;
    for (int i = 0; i < 4; i++, at++) {
        if (at >= end) {
            return -1;
        }
        char c = *at;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            return -1;
        }
        code = code * 16 + digit;
    }
    return code;
}

static char *put_utf8(char *to, uint32_t code) {
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xC0 | code >> 6);
        *to++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *to++ = (char)(0xE0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    } else {
        *to++ = (char)(0xF0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 63));
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    }
    return to;
}

/* What comes after "\u", perhaps with the second half of a pair; NULL when it is none, or a NUL. */
static const char *take_code(const char *at, const char *end, char **to) {
    int code = hex4(at, end);
    at += 4;
    if (code <= 0 || (code >= 0xDC00 && code < 0xE000)) {
        return NULL;
    }
    uint32_t whole = (uint32_t)code;
    if (code >= 0xD800 && code < 0xDC00) {
        int low = end - at >= 6 && at[0] == '\\' && at[1] == 'u' ? hex4(at + 2, end) : -1;
        if (low < 0xDC00 || low >= 0xE000) {
            return NULL;
        }
        whole = 0x10000 + ((uint32_t)(code - 0xD800) << 10) + (uint32_t)(low - 0xDC00);
        at += 6;
    }
    *to = put_utf8(*to, whole);
    return at;
}

static const char *take_escape(const char *at, const char *end, char **to) {
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (*at == 'u') {
        return take_code(at + 1, end, to);
    }
    const char *name = *at != '\0' ? strchr(names, *at) : NULL;
    if (name == NULL) {
        return NULL;
    }
    *(*to)++ = meanings[name - names];
    return at + 1;
}

/* NULL when it is not UTF-8. */
static const char *take_letter(const char *at, const char *end, char **to) {
    uint32_t code = 0;
    size_t n = sw_utf8_next(at, (size_t)(end - at), &code);
    if (code == 0xFFFD && n == 1) {
        return NULL;
    }
    memcpy(*to, at, n);
    *to += n;
    return at + n;
}

char *sw_piece_text(sw_json_piece value) {
    if (value.at == NULL || value.at[0] != '"') {
        return NULL;
    }
    const char *at = value.at + 1, *end = value.at + value.len - 1;
    char *text = xmalloc(value.len), *to = text;
    while (at != NULL && at < end) {
        if (*at == '\\') {
            at = take_escape(at + 1, end, &to);
        } else if ((unsigned char)*at < 0x80) {
            *to++ = *at++;
        } else {
            at = take_letter(at, end, &to);
        }
    }
    if (at == NULL) {
        free(text);
        return NULL;
    }
    *to = '\0';
    return text;
}

/* ---- numbers ---- */

static bool begins_a_number(sw_json_piece value) {
    return value.at != NULL && (value.at[0] == '-' || (value.at[0] >= '0' && value.at[0] <= '9'));
}

bool sw_piece_real(sw_json_piece value, double *out) {
    if (!begins_a_number(value) || memchr(value.at, 'x', value.len) != NULL ||
        memchr(value.at, 'X', value.len) != NULL) {
        return false;
    }
    char *end = NULL;
    *out = strtod(value.at, &end);
    return end == value.at + value.len && *out - *out == 0; /* neither infinite nor none */
}

bool sw_piece_whole(sw_json_piece value, int64_t *out) {
    if (!begins_a_number(value)) {
        return false;
    }
    char *end = NULL;
    errno = 0;
    *out = strtoll(value.at, &end, 10);
    return end == value.at + value.len && errno == 0;
}
