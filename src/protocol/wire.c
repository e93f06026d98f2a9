#include "protocol/wire.h"

#include <string.h>

#include "protocol/frame.h"

void sw_cursor_init(sw_cursor *cursor, const void *data, size_t len) {
    cursor->at = data;
    cursor->end = cursor->at + len;
}

bool sw_cursor_at_end(const sw_cursor *cursor) {
    return cursor->at == cursor->end;
}

bool sw_token_is(const sw_token *token, const char *text) {
    return token->type == SW_TOKEN_STR && token->size == strlen(text) &&
           memcmp(token->text, text, token->size) == 0;
}

static size_t bytes_left(const sw_cursor *cursor) {
    return (size_t)(cursor->end - cursor->at);
}

/* Reads `n` bytes as a big-endian number. */
static int take_natural(sw_cursor *cursor, unsigned n, uint64_t *out) {
    if (bytes_left(cursor) < n) {
        return -1;
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < n; i++) {
        value = value << 8 | cursor->at[i];
    }
    cursor->at += n;
    *out = value;
    return 0;
}

static int take_text(sw_cursor *cursor, sw_token_type type, uint64_t size, sw_token *out) {
    if (size > bytes_left(cursor)) {
        return -1;
    }
    *out = (sw_token){.type = type, .text = (const char *)cursor->at, .size = (uint32_t)size};
    cursor->at += size;
    return 0;
}

static int take_container(sw_cursor *cursor, sw_token_type type, uint64_t size, sw_token *out) {
    uint64_t least_bytes = type == SW_TOKEN_MAP ? size * 2 : size;
    if (least_bytes > bytes_left(cursor)) {
        return -1;
    }
    *out = (sw_token){.type = type, .size = (uint32_t)size};
    return 0;
}

static int take_unsigned(sw_cursor *cursor, unsigned n, sw_token *out) {
    uint64_t value;
    if (take_natural(cursor, n, &value) != 0) {
        return -1;
    }
    if (value > INT64_MAX) {
        *out = (sw_token){.type = SW_TOKEN_UINT, .natural = value};
    } else {
        *out = (sw_token){.type = SW_TOKEN_INT, .integer = (int64_t)value};
    }
    return 0;
}

static int take_signed(sw_cursor *cursor, unsigned n, sw_token *out) {
    uint64_t value;
    if (take_natural(cursor, n, &value) != 0) {
        return -1;
    }
    uint64_t sign = UINT64_C(1) << (8 * n - 1);
    if (n < 8 && (value & sign) != 0) {
        value |= ~UINT64_C(0) << (8 * n);
    }
    int64_t integer;
    memcpy(&integer, &value, sizeof(integer));
    *out = (sw_token){.type = SW_TOKEN_INT, .integer = integer};
    return 0;
}

static int take_float(sw_cursor *cursor, unsigned n, sw_token *out) {
    uint64_t bits;
    if (take_natural(cursor, n, &bits) != 0) {
        return -1;
    }
    *out = (sw_token){.type = SW_TOKEN_NUM};
    if (n == 4) {
        uint32_t bits32 = (uint32_t)bits;
        float single;
        memcpy(&single, &bits32, sizeof(single));
        out->number = (double)single;
    } else {
        memcpy(&out->number, &bits, sizeof(out->number));
    }
    return 0;
}

static int take_sized(sw_cursor *cursor, sw_token_type type, unsigned n, sw_token *out) {
    uint64_t size;
    if (take_natural(cursor, n, &size) != 0) {
        return -1;
    }
    return type == SW_TOKEN_STR || type == SW_TOKEN_BIN ? take_text(cursor, type, size, out)
                                                        : take_container(cursor, type, size, out);
}

static int take_after_tag(sw_cursor *cursor, unsigned tag, sw_token *out) {
    switch (tag) {
    case 0xc0:
        *out = (sw_token){.type = SW_TOKEN_NIL};
        return 0;
    case 0xc2:
    case 0xc3:
        *out = (sw_token){.type = SW_TOKEN_BOOL, .truth = tag == 0xc3};
        return 0;
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return take_sized(cursor, SW_TOKEN_BIN, 1U << (tag - 0xc4), out);
    case 0xca:
    case 0xcb:
        return take_float(cursor, tag == 0xca ? 4 : 8, out);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return take_unsigned(cursor, 1U << (tag - 0xcc), out);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return take_signed(cursor, 1U << (tag - 0xd0), out);
    case 0xd9:
    case 0xda:
    case 0xdb:
        return take_sized(cursor, SW_TOKEN_STR, 1U << (tag - 0xd9), out);
    case 0xdc:
    case 0xdd:
        return take_sized(cursor, SW_TOKEN_ARRAY, 2U << (tag - 0xdc), out);
    case 0xde:
    case 0xdf:
        return take_sized(cursor, SW_TOKEN_MAP, 2U << (tag - 0xde), out);
    default: /* extension types and 0xc1: nobody sends them */
        return -1;
    }
}

int sw_cursor_next(sw_cursor *cursor, sw_token *out) {
    sw_cursor start = *cursor;
    uint64_t tag;
    int result = -1;
    if (take_natural(cursor, 1, &tag) == 0) {
        if (tag <= 0x7f) {
            *out = (sw_token){.type = SW_TOKEN_INT, .integer = (int64_t)tag};
            result = 0;
        } else if (tag >= 0xe0) {
            *out = (sw_token){.type = SW_TOKEN_INT, .integer = (int64_t)tag - 256};
            result = 0;
        } else if (tag <= 0x8f) {
            result = take_container(cursor, SW_TOKEN_MAP, tag & 0x0f, out);
        } else if (tag <= 0x9f) {
            result = take_container(cursor, SW_TOKEN_ARRAY, tag & 0x0f, out);
        } else if (tag <= 0xbf) {
            result = take_text(cursor, SW_TOKEN_STR, tag & 0x1f, out);
        } else {
            result = take_after_tag(cursor, (unsigned)tag, out);
        }
    }
    if (result != 0) {
        *cursor = start;
    }
    return result;
}

int sw_cursor_skip(sw_cursor *cursor, unsigned max_depth) {
    uint64_t pending[SW_FRAME_MAX_DEPTH]; /* values still to come in each open container */
    unsigned depth = 0;
    if (max_depth > SW_FRAME_MAX_DEPTH) {
        max_depth = SW_FRAME_MAX_DEPTH;
    }
    for (;;) {
        sw_token token;
        if (sw_cursor_next(cursor, &token) != 0) {
            return -1;
        }
        if ((token.type == SW_TOKEN_ARRAY || token.type == SW_TOKEN_MAP) && token.size > 0) {
            if (depth == max_depth) {
                return -1;
            }
            pending[depth++] = token.type == SW_TOKEN_MAP ? (uint64_t)token.size * 2 : token.size;
            continue;
        }
        while (depth > 0 && --pending[depth - 1] == 0) {
            depth--;
        }
        if (depth == 0) {
            return 0;
        }
    }
}

static bool known_kind(int64_t kind) {
    switch (kind) {
    case SW_FRAME_LOAD:
    case SW_FRAME_CHECK:
    case SW_FRAME_CONFIG:
    case SW_FRAME_TEST:
    case SW_FRAME_FORMAT:
    case SW_FRAME_ANSWER:
    case SW_FRAME_REPLY:
    case SW_FRAME_ASK:
    case SW_FRAME_LOG:
    case SW_FRAME_READY:
        return true;
    default:
        return false;
    }
}

int sw_wire_open(const char *body, size_t len, int *kind, uint64_t *sequence, sw_cursor *payload,
                 const char **why) {
    sw_cursor cursor;
    sw_cursor_init(&cursor, body, len);
    sw_token token;
    if (sw_cursor_next(&cursor, &token) != 0 || token.type != SW_TOKEN_ARRAY || token.size != 3) {
        *why = "a frame is an array of three";
        return -1;
    }
    if (sw_cursor_next(&cursor, &token) != 0 || token.type != SW_TOKEN_INT || !known_kind(token.integer)) {
        *why = "unknown kind of frame";
        return -1;
    }
    *kind = (int)token.integer;
    if (sw_cursor_next(&cursor, &token) != 0 ||
        (token.type != SW_TOKEN_UINT && (token.type != SW_TOKEN_INT || token.integer < 0))) {
        *why = "the sequence is not a natural number";
        return -1;
    }
    *sequence = token.type == SW_TOKEN_UINT ? token.natural : (uint64_t)token.integer;
    *payload = cursor;
    if (sw_cursor_next(&cursor, &token) != 0 || token.type != SW_TOKEN_MAP) {
        *why = "the payload is not a map";
        return -1;
    }
    return 0;
}

/* Length of the sequence that starts with this byte and the range of its second byte; 0 when none does. */
static unsigned utf8_lead(unsigned char lead, unsigned char *low, unsigned char *high) {
    *low = 0x80;
    *high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
        return 2;
    }
    if (lead >= 0xe0 && lead <= 0xef) {
        *low = lead == 0xe0 ? 0xa0 : 0x80;
        *high = lead == 0xed ? 0x9f : 0xbf;
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        *low = lead == 0xf0 ? 0x90 : 0x80;
        *high = lead == 0xf4 ? 0x8f : 0xbf;
        return 4;
    }
    return 0;
}

bool sw_utf8_valid(const char *text, size_t len) {
    const unsigned char *at = (const unsigned char *)text;
    const unsigned char *end = at + len;
    while (at < end) {
        uint64_t word; /* most text is ASCII: eight bytes at once */
        if ((size_t)(end - at) >= sizeof(word)) {
            memcpy(&word, at, sizeof(word));
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                at += sizeof(word);
                continue;
            }
        }
        if (*at < 0x80) {
            at++;
            continue;
        }
        unsigned char low, high;
        unsigned size = utf8_lead(*at, &low, &high);
        if (size == 0 || (size_t)(end - at) < size || at[1] < low || at[1] > high) {
            return false;
        }
        for (unsigned i = 2; i < size; i++) {
            if (at[i] < 0x80 || at[i] > 0xbf) {
                return false;
            }
        }
        at += size;
    }
    return true;
}

bool sw_wire_find(const sw_cursor *map, const char *key, sw_cursor *value) {
    sw_cursor cursor = *map;
    sw_token token;
    if (sw_cursor_next(&cursor, &token) != 0 || token.type != SW_TOKEN_MAP) {
        return false;
    }
    for (uint32_t left = token.size; left > 0; left--) {
        sw_token name;
        if (sw_cursor_next(&cursor, &name) != 0 || name.type == SW_TOKEN_ARRAY || name.type == SW_TOKEN_MAP) {
            return false;
        }
        if (sw_token_is(&name, key)) {
            *value = cursor;
            return true;
        }
        if (sw_cursor_skip(&cursor, SW_FRAME_MAX_DEPTH) != 0) {
            return false;
        }
    }
    return false;
}

bool sw_wire_number(const sw_cursor *map, const char *key, double *out) {
    sw_cursor value;
    sw_token token;
    if (!sw_wire_find(map, key, &value) || sw_cursor_next(&value, &token) != 0) {
        return false;
    }
    switch (token.type) {
    case SW_TOKEN_INT:
        *out = (double)token.integer;
        return true;
    case SW_TOKEN_UINT:
        *out = (double)token.natural;
        return true;
    case SW_TOKEN_NUM:
        *out = token.number;
        return true;
    default:
        return false;
    }
}
