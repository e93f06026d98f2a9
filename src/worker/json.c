/*
 * The scripts' `json`: decode is lua-cjson's, without the functions that widen its limits, and with whole
 * numbers as integers and null as nil. encode is our own, because lua-cjson 2.1.0 writes at most 14 digits
 * (1700000000123456789 becomes 1.7000000001235e+18), encodes into memory that the state's cap does not see,
 * and calls exit(-1) when there is none.
 */
#include "worker/internal.h"

#include <lua-cjson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DECODE ((size_t)8 << 20)
#define MAX_ENCODE ((size_t)4 << 20)
#define MAX_DEPTH 64

typedef struct text {
    lua_State *L;
    msgpack_sbuffer *bytes; /* on the Lua stack: a raise loses nothing */
} text;

static void put(text *out, const char *bytes, size_t len) {
    if (len > MAX_ENCODE - out->bytes->size) {
        luaL_error(out->L, "json.encode: the text is larger than %d MiB", (int)(MAX_ENCODE >> 20));
    }
    sw_pack_write(out->bytes, bytes, len);
}

static void put_escaped(text *out, unsigned char byte) {
    static const char *const short_forms[] = {
        ['\b'] = "\\b", ['\f'] = "\\f", ['\n'] = "\\n",  ['\r'] = "\\r",
        ['\t'] = "\\t", ['"'] = "\\\"", ['\\'] = "\\\\",
    };
    if (byte < SW_ARRAY_LEN(short_forms) && short_forms[byte] != NULL) {
        put(out, short_forms[byte], 2);
        return;
    }
    char escaped[8];
    snprintf(escaped, sizeof(escaped), "\\u%04x", byte);
    put(out, escaped, 6);
}

static void encode_text(text *out, int index) {
    size_t len;
    const char *bytes = lua_tolstring(out->L, index, &len);
    if (!sw_utf8_valid(bytes, len)) {
        luaL_error(out->L, "json.encode: a text is not UTF-8");
    }
    put(out, "\"", 1);
    size_t plain = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if (byte < 0x20 || byte == '"' || byte == '\\' || byte == 0x7f) {
            put(out, bytes + plain, i - plain);
            put_escaped(out, byte);
            plain = i + 1;
        }
    }
    put(out, bytes + plain, len - plain);
    put(out, "\"", 1);
}

static void encode_number(text *out, int index) {
    char digits[40];
    if (lua_isinteger(out->L, index)) {
        snprintf(digits, sizeof(digits), "%lld", (long long)lua_tointeger(out->L, index));
    } else {
        double number = (double)lua_tonumber(out->L, index);
        if (!isfinite(number)) {
            luaL_error(out->L, "json.encode: a number is not finite");
        }
        snprintf(digits, sizeof(digits), "%.15g", number);
        if (strtod(digits, NULL) != number) {
            snprintf(digits, sizeof(digits), "%.17g", number);
        }
    }
    put(out, digits, strlen(digits));
}

static void encode_value(text *out, int index, int depth);

static void encode_list(text *out, int index, size_t n, int depth) {
    put(out, "[", 1);
    for (size_t i = 1; i <= n; i++) {
        if (i > 1) {
            put(out, ",", 1);
        }
        lua_rawgeti(out->L, index, (lua_Integer)i);
        encode_value(out, lua_gettop(out->L), depth);
        lua_pop(out->L, 1);
    }
    put(out, "]", 1);
}

static void encode_key(text *out, int index) {
    if (lua_type(out->L, index) == LUA_TSTRING) {
        encode_text(out, index);
    } else if (lua_isinteger(out->L, index)) {
        put(out, "\"", 1);
        encode_number(out, index);
        put(out, "\"", 1);
    } else {
        luaL_error(out->L, "json.encode: a key is a %s; keys are text or whole numbers",
                   luaL_typename(out->L, index));
    }
}

static void encode_map(text *out, int index, int depth) {
    bool first = true;
    put(out, "{", 1);
    lua_pushnil(out->L);
    while (lua_next(out->L, index) != 0) {
        int value = lua_gettop(out->L);
        if (!first) {
            put(out, ",", 1);
        }
        first = false;
        encode_key(out, value - 1);
        put(out, ":", 1);
        encode_value(out, value, depth);
        lua_pop(out->L, 1);
    }
    put(out, "}", 1);
}

static void encode_table(text *out, int index, int depth) {
    if (depth == MAX_DEPTH) {
        luaL_error(out->L, "json.encode: nested deeper than %d, or contains itself", MAX_DEPTH);
    }
    luaL_checkstack(out->L, 8, "json.encode");
    size_t n;
    if (sw_values_is_list(out->L, index, &n)) {
        encode_list(out, index, n, depth + 1);
    } else {
        encode_map(out, index, depth + 1);
    }
}

static void encode_value(text *out, int index, int depth) {
    switch (lua_type(out->L, index)) {
    case LUA_TNIL:
        put(out, "null", 4);
        break;
    case LUA_TBOOLEAN:
        put(out, lua_toboolean(out->L, index) ? "true" : "false", lua_toboolean(out->L, index) ? 4 : 5);
        break;
    case LUA_TNUMBER:
        encode_number(out, index);
        break;
    case LUA_TSTRING:
        encode_text(out, index);
        break;
    case LUA_TTABLE:
        encode_table(out, index, depth);
        break;
    default:
        luaL_error(out->L, "json.encode: a value is a %s", luaL_typename(out->L, index));
    }
}

static int json_encode(lua_State *L) {
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    text out = {.L = L, .bytes = sw_scratch_push(L)};
    encode_value(&out, 1, 0);
    lua_pushlstring(L, out.bytes->data, out.bytes->size);
    sw_scratch_free(out.bytes);
    return 1;
}

/* Largest magnitude up to which every whole number is a float. */
#define MAX_EXACT 9007199254740992.0

/* Puts what Lua programs expect for what lua-cjson gave: at the top of the stack, in place. */
static void mend(lua_State *L) {
    if (lua_type(L, -1) == LUA_TLIGHTUSERDATA) {
        lua_pop(L, 1);
        lua_pushnil(L);
    } else if (lua_type(L, -1) == LUA_TNUMBER) {
        double number = (double)lua_tonumber(L, -1);
        if (number >= -MAX_EXACT && number <= MAX_EXACT && number == floor(number)) {
            lua_pop(L, 1);
            lua_pushinteger(L, (lua_Integer)number);
        }
    } else if (lua_type(L, -1) == LUA_TTABLE) {
        luaL_checkstack(L, 6, "json.decode");
        lua_pushnil(L);
        while (lua_next(L, -2) != 0) {
            mend(L);
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, -4); /* of a field that is there: allowed while traversing */
        }
    }
}

/* Upvalue: lua-cjson's decode. */
static int json_decode(lua_State *L) {
    size_t len;
    luaL_checklstring(L, 1, &len);
    lua_settop(L, 1);
    if (len > MAX_DECODE) {
        lua_pushnil(L);
        lua_pushfstring(L, "the text is larger than %d MiB", (int)(MAX_DECODE >> 20));
        return 2;
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    int status = lua_pcall(L, 1, 1, 0);
    sw_limits_check(&sw_worker_of(L)->limits, L);
    if (status == LUA_ERRMEM) {
        return sw_memory_error(L);
    }
    if (status != LUA_OK) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    mend(L);
    return 1;
}

static void configure(lua_State *L, const char *setter, int value) {
    lua_getfield(L, -1, setter);
    lua_pushinteger(L, value);
    lua_call(L, 1, 0);
}

static void forbid(lua_State *L, const char *setter) {
    lua_getfield(L, -1, setter);
    lua_pushboolean(L, 0);
    lua_call(L, 1, 0);
}

void sw_json_push(lua_State *L) {
    lua_pushcfunction(L, luaopen_cjson);
    lua_call(L, 0, 1);
    configure(L, "decode_max_depth", MAX_DEPTH);
    forbid(L, "decode_invalid_numbers");
    forbid(L, "encode_keep_buffer");
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, json_encode);
    lua_setfield(L, -2, "encode");
    lua_getfield(L, -2, "decode");
    lua_pushcclosure(L, json_decode, 1);
    lua_setfield(L, -2, "decode");
    lua_remove(L, -2);
}
