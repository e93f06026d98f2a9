/* Plain values, between MessagePack and Lua. */
#include "worker/internal.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void push_container(lua_State *L, sw_cursor *cursor, const sw_token *header, unsigned depth);

static void push_value(lua_State *L, sw_cursor *cursor, unsigned depth) {
    sw_token token;
    if (sw_cursor_next(cursor, &token) != 0) {
        luaL_error(L, "the host sent something that is not MessagePack");
    }
    switch (token.type) {
    case SW_TOKEN_NIL:
        lua_pushnil(L);
        return;
    case SW_TOKEN_BOOL:
        lua_pushboolean(L, token.truth);
        return;
    case SW_TOKEN_INT:
        lua_pushinteger(L, (lua_Integer)token.integer);
        return;
    case SW_TOKEN_UINT:
        lua_pushnumber(L, (lua_Number)token.natural);
        return;
    case SW_TOKEN_NUM:
        lua_pushnumber(L, (lua_Number)token.number);
        return;
    case SW_TOKEN_STR:
    case SW_TOKEN_BIN:
        lua_pushlstring(L, token.text, token.size);
        return;
    case SW_TOKEN_ARRAY:
    case SW_TOKEN_MAP:
        push_container(L, cursor, &token, depth);
        return;
    }
}

static void push_container(lua_State *L, sw_cursor *cursor, const sw_token *header, unsigned depth) {
    if (depth == SW_FRAME_MAX_DEPTH) {
        luaL_error(L, "the host sent something that is nested too deeply");
    }
    luaL_checkstack(L, 4, "deep value");
    if (header->type == SW_TOKEN_ARRAY) {
        lua_createtable(L, (int)header->size, 0);
        for (uint32_t i = 1; i <= header->size; i++) {
            push_value(L, cursor, depth + 1);
            lua_rawseti(L, -2, (lua_Integer)i);
        }
        return;
    }
    lua_createtable(L, 0, (int)header->size);
    for (uint32_t i = 0; i < header->size; i++) {
        push_value(L, cursor, depth + 1);
        if (lua_type(L, -1) != LUA_TSTRING && !lua_isinteger(L, -1)) {
            luaL_error(L, "the host sent a key that is neither text nor an integer");
        }
        push_value(L, cursor, depth + 1);
        lua_rawset(L, -3);
    }
}

void sw_values_push(lua_State *L, sw_cursor *cursor) {
    luaL_checkstack(L, 4, "value");
    push_value(L, cursor, 0);
}

bool sw_values_is_list(lua_State *L, int index, size_t *n) {
    index = lua_absindex(L, index);
    lua_Integer largest = 0;
    size_t count = 0;
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        lua_pop(L, 1);
        lua_Integer key = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
        if (key < 1) {
            lua_pop(L, 1);
            return false;
        }
        largest = key > largest ? key : largest;
        count++;
    }
    *n = count;
    return count > 0 && (lua_Unsigned)largest == count;
}

/* The way from the root to the value being packed, for messages and to see cycles. */
typedef struct step {
    const struct step *up;
    const void *table; /* that holds the value */
    const char *name;  /* NULL: `number` */
    lua_Integer number;
} step;

static bool is_name(const char *text) {
    if (!isalpha((unsigned char)text[0]) && text[0] != '_') {
        return false;
    }
    while (isalnum((unsigned char)*text) || *text == '_') {
        text++;
    }
    return *text == '\0';
}

static void path_append(const step *at, char *out, size_t size) {
    if (at == NULL) {
        return;
    }
    path_append(at->up, out, size);
    size_t len = strlen(out);
    if (at->name == NULL) {
        snprintf(out + len, size - len, "[%lld]", (long long)at->number);
    } else if (is_name(at->name)) {
        snprintf(out + len, size - len, ".%.60s", at->name);
    } else {
        snprintf(out + len, size - len, "[\"%.60s\"]", at->name);
    }
}

static void refuse(lua_State *L, const sw_values_writer *writer, const step *at, const char *why) {
    char path[600];
    snprintf(path, sizeof(path), "%s", writer->what);
    path_append(at, path, sizeof(path));
    sw_shape_error(L, "%s %s", path, why);
}

static void check_room(lua_State *L, sw_values_writer *writer, const step *at) {
    if (writer->bytes->size - writer->start > writer->max_bytes) {
        char why[80];
        snprintf(why, sizeof(why), "makes it larger than %zu KiB", writer->max_bytes >> 10);
        refuse(L, writer, at, why);
    }
    if (writer->values_left-- == 0) {
        refuse(L, writer, at, "is one value too many");
    }
}

static void pack_text(lua_State *L, int index, msgpack_packer *pk) {
    size_t len;
    const char *text = lua_tolstring(L, index, &len);
    if (sw_utf8_valid(text, len)) {
        msgpack_pack_str_with_body(pk, text, len);
    } else {
        msgpack_pack_bin_with_body(pk, text, len);
    }
}

static void pack_value(lua_State *L, int index, sw_values_writer *writer, const step *at, unsigned depth);

static void pack_list(lua_State *L, int index, size_t n, sw_values_writer *writer, const step *up,
                      unsigned depth) {
    step here = {.up = up, .table = lua_topointer(L, index)};
    msgpack_pack_array(writer->packer, n);
    for (size_t i = 1; i <= n; i++) {
        here.number = (lua_Integer)i;
        lua_rawgeti(L, index, here.number);
        pack_value(L, lua_gettop(L), writer, &here, depth);
        lua_pop(L, 1);
    }
}

static void pack_key(lua_State *L, int index, sw_values_writer *writer, const step *up, step *here) {
    if (lua_type(L, index) == LUA_TSTRING) {
        here->name = lua_tostring(L, index);
        pack_text(L, index, writer->packer);
    } else if (lua_isinteger(L, index)) {
        here->name = NULL;
        here->number = lua_tointeger(L, index);
        msgpack_pack_int64(writer->packer, (int64_t)here->number);
    } else {
        char why[120];
        const char *type = luaL_typename(L, index);
        snprintf(why, sizeof(why), "has a key that is a %s; keys are text or whole numbers",
                 lua_type(L, index) == LUA_TNUMBER ? "fraction" : type);
        refuse(L, writer, up, why);
    }
    check_room(L, writer, up);
}

static void pack_map(lua_State *L, int index, sw_values_writer *writer, const step *up, unsigned depth) {
    step here = {.up = up, .table = lua_topointer(L, index)};
    size_t n = 0;
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        lua_pop(L, 1);
        n++;
    }
    msgpack_pack_map(writer->packer, n);
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        int value = lua_gettop(L);
        pack_key(L, value - 1, writer, up, &here);
        pack_value(L, value, writer, &here, depth);
        lua_pop(L, 1);
    }
}

static void pack_table(lua_State *L, int index, sw_values_writer *writer, const step *at, unsigned depth) {
    const void *self = lua_topointer(L, index);
    for (const step *up = at; up != NULL; up = up->up) {
        if (up->table == self) {
            refuse(L, writer, at, "contains itself");
        }
    }
    if (depth >= SW_WORKER_MAX_DEPTH) {
        refuse(L, writer, at, "is nested too deeply");
    }
    luaL_checkstack(L, 6, "deep value");
    size_t n;
    if (sw_values_is_list(L, index, &n)) {
        pack_list(L, index, n, writer, at, depth + 1);
    } else {
        pack_map(L, index, writer, at, depth + 1);
    }
}

static void pack_number(lua_State *L, int index, sw_values_writer *writer, const step *at) {
    if (lua_isinteger(L, index)) {
        msgpack_pack_int64(writer->packer, (int64_t)lua_tointeger(L, index));
        return;
    }
    double number = (double)lua_tonumber(L, index);
    if (isnan(number)) {
        refuse(L, writer, at, "is not a number (NaN)");
    }
    msgpack_pack_double(writer->packer, number);
}

static void pack_value(lua_State *L, int index, sw_values_writer *writer, const step *at, unsigned depth) {
    check_room(L, writer, at);
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        msgpack_pack_nil(writer->packer);
        return;
    case LUA_TBOOLEAN:
        if (lua_toboolean(L, index)) {
            msgpack_pack_true(writer->packer);
        } else {
            msgpack_pack_false(writer->packer);
        }
        return;
    case LUA_TNUMBER:
        pack_number(L, index, writer, at);
        return;
    case LUA_TSTRING:
        pack_text(L, index, writer->packer);
        return;
    case LUA_TTABLE:
        pack_table(L, index, writer, at, depth);
        return;
    default: {
        char why[64];
        snprintf(why, sizeof(why), "is a %s", luaL_typename(L, index));
        refuse(L, writer, at, why);
    }
    }
}

void sw_values_begin(sw_values_writer *writer, msgpack_packer *packer, const msgpack_sbuffer *bytes,
                     const char *what) {
    *writer = (sw_values_writer){.packer = packer,
                                 .bytes = bytes,
                                 .what = what,
                                 .max_bytes = SW_WORKER_MAX_STATE,
                                 .values_left = SW_WORKER_MAX_VALUES,
                                 .start = bytes->size};
}

void sw_values_pack(lua_State *L, int index, sw_values_writer *writer) {
    luaL_checkstack(L, 6, "value");
    pack_value(L, lua_absindex(L, index), writer, NULL, 0);
    if (writer->bytes->size - writer->start > writer->max_bytes) {
        char why[80];
        snprintf(why, sizeof(why), "is larger than %zu KiB", writer->max_bytes >> 10);
        refuse(L, writer, NULL, why);
    }
}

void sw_scratch_free(msgpack_sbuffer *scratch) {
    msgpack_sbuffer_destroy(scratch);
    msgpack_sbuffer_init(scratch);
}

static int scratch_gc(lua_State *L) {
    sw_scratch_free(lua_touserdata(L, 1));
    return 0;
}

msgpack_sbuffer *sw_scratch_push(lua_State *L) {
    msgpack_sbuffer *scratch = lua_newuserdatauv(L, sizeof(*scratch), 0);
    msgpack_sbuffer_init(scratch);
    if (luaL_newmetatable(L, "sw.scratch")) {
        lua_pushcfunction(L, scratch_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return scratch;
}

static msgpack_sbuffer *pack_to_scratch(lua_State *L, int index, const char *what) {
    index = lua_absindex(L, index);
    msgpack_sbuffer *scratch = sw_scratch_push(L);
    msgpack_packer packer;
    msgpack_packer_init(&packer, scratch, sw_pack_write);
    sw_values_writer writer;
    sw_values_begin(&writer, &packer, scratch, what);
    sw_values_pack(L, index, &writer);
    return scratch;
}

void sw_values_copy(lua_State *L, int index, const char *what) {
    msgpack_sbuffer *scratch = pack_to_scratch(L, index, what);
    sw_cursor cursor;
    sw_cursor_init(&cursor, scratch->data, scratch->size);
    sw_values_push(L, &cursor);
    sw_scratch_free(scratch);
    lua_remove(L, -2);
}

void sw_values_store(lua_State *L, int index, const char *what, msgpack_sbuffer *out) {
    msgpack_sbuffer *scratch = pack_to_scratch(L, index, what);
    msgpack_sbuffer old = *out;
    *out = *scratch;
    msgpack_sbuffer_destroy(&old);
    msgpack_sbuffer_init(scratch);
    lua_pop(L, 1);
}
