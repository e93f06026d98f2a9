#include "protocol/frame.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/wire.h"

#define LENGTH_BYTES 4
/* What one feed may bring beyond the frame that is being read. */
#define FEED_SLACK ((size_t)1 << 20)
/* A reader that has handed out everything keeps no more than this. */
#define KEEP_BYTES ((size_t)64 << 10)

void sw_frame_reader_init(sw_frame_reader *reader, size_t max_frame) {
    *reader = (sw_frame_reader){.max_frame = max_frame};
    sw_buf_init(&reader->in, max_frame + LENGTH_BYTES + FEED_SLACK);
}

void sw_frame_reader_release(sw_frame_reader *reader) {
    sw_buf_release(&reader->in);
    reader->consumed = 0;
}

void sw_frame_reader_drop(sw_frame_reader *reader) {
    if (reader->consumed == 0) {
        return;
    }
    size_t rest = reader->in.len - reader->consumed;
    if (rest == 0 && reader->in.allocated > KEEP_BYTES) {
        sw_buf_release(&reader->in);
    } else {
        memmove(reader->in.data, reader->in.data + reader->consumed, rest);
        reader->in.len = rest;
    }
    reader->consumed = 0;
}

int sw_frame_reader_feed(sw_frame_reader *reader, const void *data, size_t len) {
    sw_frame_reader_drop(reader);
    return sw_buf_append(&reader->in, data, len);
}

int sw_frame_reader_next(sw_frame_reader *reader, const char **body, size_t *len) {
    size_t have = reader->in.len - reader->consumed;
    if (have < LENGTH_BYTES) {
        if (have == 0) {
            sw_frame_reader_drop(reader);
        }
        return 0;
    }
    const unsigned char *at = (const unsigned char *)reader->in.data + reader->consumed;
    size_t size = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
    if (size > reader->max_frame) {
        return -1;
    }
    if (have - LENGTH_BYTES < size) {
        return 0;
    }
    *body = reader->in.data + reader->consumed + LENGTH_BYTES;
    *len = size;
    reader->consumed += LENGTH_BYTES + size;
    return 1;
}

/* The tree that is being built. */
typedef struct tree {
    sw_cursor cursor;
    msgpack_zone *zone;
    size_t objects_left;
    const char *why;
} tree;

static int tree_fail(tree *t, const char *why) {
    t->why = why;
    return -1;
}

static int build(tree *t, msgpack_object *out, unsigned depth);

static int build_array(tree *t, uint32_t size, msgpack_object *out, unsigned depth) {
    out->type = MSGPACK_OBJECT_ARRAY;
    out->via.array.size = size;
    out->via.array.ptr = NULL;
    if (size == 0) {
        return 0;
    }
    if (depth == SW_FRAME_MAX_DEPTH) {
        return tree_fail(t, "nested too deeply");
    }
    out->via.array.ptr = msgpack_zone_malloc(t->zone, size * sizeof(msgpack_object));
    if (out->via.array.ptr == NULL) {
        return tree_fail(t, "out of memory");
    }
    for (uint32_t i = 0; i < size; i++) {
        if (build(t, &out->via.array.ptr[i], depth + 1) != 0) {
            return -1;
        }
    }
    return 0;
}

static bool is_key(const msgpack_object *object) {
    return object->type == MSGPACK_OBJECT_STR || object->type == MSGPACK_OBJECT_BIN ||
           object->type == MSGPACK_OBJECT_POSITIVE_INTEGER || object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER;
}

static int build_map(tree *t, uint32_t size, msgpack_object *out, unsigned depth) {
    out->type = MSGPACK_OBJECT_MAP;
    out->via.map.size = size;
    out->via.map.ptr = NULL;
    if (size == 0) {
        return 0;
    }
    if (depth == SW_FRAME_MAX_DEPTH) {
        return tree_fail(t, "nested too deeply");
    }
    out->via.map.ptr = msgpack_zone_malloc(t->zone, size * sizeof(msgpack_object_kv));
    if (out->via.map.ptr == NULL) {
        return tree_fail(t, "out of memory");
    }
    for (uint32_t i = 0; i < size; i++) {
        msgpack_object_kv *pair = &out->via.map.ptr[i];
        if (build(t, &pair->key, depth + 1) != 0) {
            return -1;
        }
        if (!is_key(&pair->key)) {
            return tree_fail(t, "a key is neither text nor an integer");
        }
        if (build(t, &pair->val, depth + 1) != 0) {
            return -1;
        }
    }
    return 0;
}

static int build_text(tree *t, const sw_token *token, msgpack_object *out) {
    if (token->type == SW_TOKEN_BIN) {
        out->type = MSGPACK_OBJECT_BIN;
        out->via.bin.ptr = token->text;
        out->via.bin.size = token->size;
        return 0;
    }
    if (!sw_utf8_valid(token->text, token->size)) {
        return tree_fail(t, "text is not UTF-8");
    }
    out->type = MSGPACK_OBJECT_STR;
    out->via.str.ptr = token->text;
    out->via.str.size = token->size;
    return 0;
}

static void build_integer(int64_t value, msgpack_object *out) {
    if (value < 0) {
        out->type = MSGPACK_OBJECT_NEGATIVE_INTEGER;
        out->via.i64 = value;
    } else {
        out->type = MSGPACK_OBJECT_POSITIVE_INTEGER;
        out->via.u64 = (uint64_t)value;
    }
}

/* Recursion is bounded by SW_FRAME_MAX_DEPTH, memory by SW_FRAME_MAX_OBJECTS and by the bytes that are there.
 */
static int build(tree *t, msgpack_object *out, unsigned depth) {
    sw_token token;
    if (sw_cursor_next(&t->cursor, &token) != 0) {
        return tree_fail(t, "not MessagePack, or cut short");
    }
    if (t->objects_left-- == 0) {
        return tree_fail(t, "too many values");
    }
    switch (token.type) {
    case SW_TOKEN_NIL:
        out->type = MSGPACK_OBJECT_NIL;
        return 0;
    case SW_TOKEN_BOOL:
        out->type = MSGPACK_OBJECT_BOOLEAN;
        out->via.boolean = token.truth;
        return 0;
    case SW_TOKEN_INT:
        build_integer(token.integer, out);
        return 0;
    case SW_TOKEN_UINT:
        out->type = MSGPACK_OBJECT_POSITIVE_INTEGER;
        out->via.u64 = token.natural;
        return 0;
    case SW_TOKEN_NUM:
        out->type = MSGPACK_OBJECT_FLOAT64;
        out->via.f64 = token.number;
        return 0;
    case SW_TOKEN_STR:
    case SW_TOKEN_BIN:
        return build_text(t, &token, out);
    case SW_TOKEN_ARRAY:
        return build_array(t, token.size, out, depth);
    case SW_TOKEN_MAP:
        return build_map(t, token.size, out, depth);
    }
    return tree_fail(t, "not MessagePack, or cut short");
}

int sw_frame_parse(const char *body, size_t len, sw_frame *out, const char **why) {
    *out = (sw_frame){.kind = 0};
    tree t = {.objects_left = SW_FRAME_MAX_OBJECTS, .why = ""};
    int kind;
    if (sw_wire_open(body, len, &kind, &out->sequence, &t.cursor, why) != 0) {
        return -1;
    }
    out->kind = (sw_frame_kind)kind;
    t.zone = out->zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    int result = t.zone == NULL ? tree_fail(&t, "out of memory") : build(&t, &out->payload, 0);
    if (result == 0 && !sw_cursor_at_end(&t.cursor)) {
        result = tree_fail(&t, "bytes after the frame");
    }
    if (result != 0) {
        *why = t.why;
        sw_frame_release(out);
    }
    return result;
}

void sw_frame_release(sw_frame *frame) {
    if (frame->zone != NULL) {
        msgpack_zone_free(frame->zone);
    }
    *frame = (sw_frame){.kind = 0};
}

/* Packing cannot fail half-way: without memory the program ends, as base.h says. */
int sw_pack_write(void *data, const char *bytes, size_t len) {
    if (msgpack_sbuffer_write(data, bytes, len) != 0) {
        abort();
    }
    return 0;
}

void sw_frame_begin(sw_frame_writer *writer, sw_frame_kind kind, uint64_t sequence) {
    msgpack_sbuffer_init(&writer->bytes);
    msgpack_packer_init(&writer->packer, &writer->bytes, sw_pack_write);
    static const char room[LENGTH_BYTES];
    sw_pack_write(&writer->bytes, room, sizeof(room));
    msgpack_pack_array(&writer->packer, 3);
    msgpack_pack_int(&writer->packer, (int)kind);
    msgpack_pack_uint64(&writer->packer, sequence);
}

int sw_frame_end(sw_frame_writer *writer, size_t max) {
    size_t size = writer->bytes.size - LENGTH_BYTES;
    if (size > max || size > UINT32_MAX) {
        return -1;
    }
    for (int i = 0; i < LENGTH_BYTES; i++) {
        writer->bytes.data[i] = (char)(size >> (8 * (LENGTH_BYTES - 1 - i)) & 0xff);
    }
    return 0;
}

void sw_frame_writer_release(sw_frame_writer *writer) {
    msgpack_sbuffer_destroy(&writer->bytes);
    msgpack_sbuffer_init(&writer->bytes);
}

void sw_pack_str(msgpack_packer *pk, const char *s) {
    if (s == NULL) {
        msgpack_pack_nil(pk);
        return;
    }
    size_t len = strlen(s);
    if (sw_utf8_valid(s, len)) {
        msgpack_pack_str(pk, len);
        msgpack_pack_str_body(pk, s, len);
    } else {
        msgpack_pack_bin(pk, len);
        msgpack_pack_bin_body(pk, s, len);
    }
}

void sw_pack_key_str(msgpack_packer *pk, const char *key, const char *value) {
    sw_pack_str(pk, key);
    sw_pack_str(pk, value);
}

void sw_pack_key_int(msgpack_packer *pk, const char *key, int64_t value) {
    sw_pack_str(pk, key);
    msgpack_pack_int64(pk, value);
}

void sw_pack_key_num(msgpack_packer *pk, const char *key, double value) {
    sw_pack_str(pk, key);
    msgpack_pack_double(pk, value);
}

void sw_pack_key_bool(msgpack_packer *pk, const char *key, bool value) {
    sw_pack_str(pk, key);
    if (value) {
        msgpack_pack_true(pk);
    } else {
        msgpack_pack_false(pk);
    }
}

const msgpack_object *sw_map_get(const msgpack_object *map, const char *key) {
    if (map == NULL || map->type != MSGPACK_OBJECT_MAP) {
        return NULL;
    }
    size_t len = strlen(key);
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object_kv *pair = &map->via.map.ptr[i];
        if (pair->key.type == MSGPACK_OBJECT_STR && pair->key.via.str.size == len &&
            memcmp(pair->key.via.str.ptr, key, len) == 0) {
            return &pair->val;
        }
    }
    return NULL;
}

char *sw_map_str(const msgpack_object *map, const char *key, size_t max) {
    const msgpack_object *value = sw_map_get(map, key);
    if (value == NULL || value->type != MSGPACK_OBJECT_STR || value->via.str.size > max ||
        memchr(value->via.str.ptr, '\0', value->via.str.size) != NULL) {
        return NULL;
    }
    return xstrndup(value->via.str.ptr, value->via.str.size);
}

bool sw_map_num(const msgpack_object *map, const char *key, double *out) {
    const msgpack_object *value = sw_map_get(map, key);
    if (value == NULL) {
        return false;
    }
    switch (value->type) {
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        *out = (double)value->via.u64;
        return true;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        *out = (double)value->via.i64;
        return true;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        *out = value->via.f64;
        return true;
    default:
        return false;
    }
}

bool sw_map_bool(const msgpack_object *map, const char *key, bool fallback) {
    const msgpack_object *value = sw_map_get(map, key);
    return value != NULL && value->type == MSGPACK_OBJECT_BOOLEAN ? value->via.boolean : fallback;
}
