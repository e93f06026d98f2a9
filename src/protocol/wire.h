/*
 * MessagePack, one token at a time. Both ends read each other through this: sw_frame_parse() builds the tree
 * that the host walks, the worker turns tokens straight into Lua values.
 *
 * msgpack-c writes our frames but does not read them: its unpacker stops at a depth of 32 (ours is 64) and
 * allocates by the count that a header claims, so that five hostile bytes ask for 96 GiB.
 */
#ifndef SW_PROTOCOL_WIRE_H
#define SW_PROTOCOL_WIRE_H

#include "base/base.h"

typedef enum sw_token_type {
    SW_TOKEN_NIL,
    SW_TOKEN_BOOL,
    SW_TOKEN_INT,  /* fits int64_t */
    SW_TOKEN_UINT, /* over INT64_MAX */
    SW_TOKEN_NUM,
    SW_TOKEN_STR,
    SW_TOKEN_BIN,
    SW_TOKEN_ARRAY, /* `size` values follow */
    SW_TOKEN_MAP,   /* `size` pairs of key and value follow */
} sw_token_type;

typedef struct sw_token {
    sw_token_type type;
    bool truth;
    int64_t integer;
    uint64_t natural; /* SW_TOKEN_UINT */
    double number;
    const char *text; /* SW_TOKEN_STR, SW_TOKEN_BIN: points into the bytes read, not terminated */
    uint32_t size;    /* bytes of text, elements of an array, pairs of a map */
} sw_token;

typedef struct sw_cursor {
    const unsigned char *at;
    const unsigned char *end;
} sw_cursor;

void sw_cursor_init(sw_cursor *cursor, const void *data, size_t len);
/* The next token; for an array or map only its header. -1 (nothing consumed) when the bytes end early, are an
 * extension type, or a count claims more elements than bytes are left: what is returned can be trusted for
 * allocation. */
int sw_cursor_next(sw_cursor *cursor, sw_token *out);
/* Skips one whole value of at most this depth; 0 or -1. Iterative: deep input costs no stack. */
int sw_cursor_skip(sw_cursor *cursor, unsigned max_depth);
bool sw_cursor_at_end(const sw_cursor *cursor);
/* True when `token` is text and equals this. */
bool sw_token_is(const sw_token *token, const char *text);

/* The three parts of a frame body; `payload` is left at the map's header. 0 or -1 with *why (static text). */
int sw_wire_open(const char *body, size_t len, int *kind, uint64_t *sequence, sw_cursor *payload,
                 const char **why);

/* Looks a key up in the map that the cursor stands at: leaves *value at what follows it. The first of equal
 * keys counts, as in sw_map_get(). */
bool sw_wire_find(const sw_cursor *map, const char *key, sw_cursor *value);
/* An integer or float of that map; false (and *out untouched) when there is none. */
bool sw_wire_number(const sw_cursor *map, const char *key, double *out);

/* True when the bytes are UTF-8 without surrogates and overlong forms. */
bool sw_utf8_valid(const char *text, size_t len);

#endif
