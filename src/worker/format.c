/* The call FORMAT: a notification becomes the body that its receiver takes. */
#include "worker/format.h"

#include <string.h>

#include "base/url_suffix.h"

#define MAX_BODY ((size_t)2 << 20)

/* Where the script's function and the functions of `json` lie in the registry. */
static char format_key;
static char json_key;

static void check_keys(lua_State *L, int table, const char *path) {
    lua_pushnil(L);
    while (lua_next(L, table) != 0) {
        lua_pop(L, 1);
        const char *key = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, -1);
        if (strcmp(key, "name") != 0 && strcmp(key, "content_type") != 0 && strcmp(key, "format") != 0) {
            sw_shape_error(L, "%s: unknown key '%.64s'; known are name, content_type, format", path, key);
        }
    }
}

/* Pushes the field; metatables are not asked. */
static int field(lua_State *L, int table, const char *name) {
    lua_pushstring(L, name);
    return lua_rawget(L, table);
}

/* What may stand in a header: printable ASCII. */
static void read_content_type(lua_State *L, int table, const char *path, char *out) {
    size_t len = strlen("application/json");
    const char *text = "application/json";
    if (field(L, table, "content_type") != LUA_TNIL) {
        text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
    }
    bool good = text != NULL && len > 0 && len < SW_CONTENT_TYPE_SIZE;
    for (size_t i = 0; good && i < len; i++) {
        good = text[i] >= ' ' && text[i] <= '~';
    }
    if (!good) {
        sw_shape_error(L, "%s: content_type must be text of 1 to %d printable characters", path,
                       SW_CONTENT_TYPE_SIZE - 1);
        return; /* never: it raises */
    }
    memcpy(out, text, len);
    out[len] = '\0';
    lua_pop(L, 1);
}

void sw_formatter_describe(lua_State *L, int table, const char *path, char *content_type) {
    luaL_checkstack(L, 8, "format");
    if (!lua_istable(L, table)) {
        sw_shape_error(L, "%s: must return a table (it returns %s)", path,
                       lua_isnil(L, table) ? "nothing" : luaL_typename(L, table));
    }
    check_keys(L, table, path);
    int type = field(L, table, "name");
    if (type != LUA_TNIL && type != LUA_TSTRING) {
        sw_shape_error(L, "%s: name must be text (it is a %s)", path, luaL_typename(L, -1));
    }
    lua_pop(L, 1);
    read_content_type(L, table, path, content_type);
    if (field(L, table, "format") != LUA_TFUNCTION) {
        sw_shape_error(L, "%s: format must be a function (it is a %s)", path, luaL_typename(L, -1));
    }
}

/* Pushes a function of `json` that no script can have replaced. */
static void push_json(lua_State *L, const char *name) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &json_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        sw_json_push(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &json_key);
    }
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}

void sw_formatter_body(lua_State *L) {
    if (lua_type(L, -1) == LUA_TTABLE) {
        push_json(L, "encode");
        lua_insert(L, -2);
        lua_call(L, 1, 1);
    }
    if (lua_type(L, -1) != LUA_TSTRING) {
        sw_shape_error(L, "format returned a %s; it must return a table or text", luaL_typename(L, -1));
    }
    if (lua_rawlen(L, -1) > MAX_BODY) {
        sw_shape_error(L, "format returned more than %d MiB", (int)(MAX_BODY >> 20));
    }
}

void sw_formatter_url_suffix(lua_State *L) {
    if (lua_isnil(L, -1)) {
        return;
    }
    if (lua_type(L, -1) != LUA_TSTRING) {
        sw_shape_error(L, "format returned a %s behind the body; it must be a path, such as \"/ID/close\"",
                       luaL_typename(L, -1));
    }
    size_t len;
    const char *suffix = lua_tolstring(L, -1, &len);
    const char *wrong = sw_url_suffix_check(suffix, len);
    if (wrong != NULL) {
        sw_shape_error(L, "format returned a path that cannot be added to the receiver's URL: %s", wrong);
    }
}

static void load(lua_State *L, sw_worker *worker) {
    const char *path = sw_run_source(L);
    sw_formatter_describe(L, lua_gettop(L), path, worker->content_type);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &format_key);
    lua_settop(L, 1);
    worker->formats = true;
}

/* Pushes the notification of the payload at 1. */
static void push_alert(lua_State *L) {
    push_json(L, "decode");
    if (lua_getfield(L, 1, "body") != LUA_TSTRING) {
        luaL_error(L, "the host sent no body");
    }
    lua_call(L, 1, 2);
    if (!lua_istable(L, -2)) {
        luaL_error(L, "the notification is not a JSON object: %s",
                   lua_isstring(L, -1) ? lua_tostring(L, -1) : "other type");
    }
    lua_pop(L, 1);
}

int sw_call_format(lua_State *L) {
    sw_worker *worker = sw_worker_of(L);
    sw_push_payload(L);
    if (!worker->formats) {
        load(L, worker);
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &format_key);
    push_alert(L);
    if (lua_getfield(L, 1, "config") != LUA_TTABLE) {
        lua_newtable(L);
        lua_replace(L, -2);
    }
    lua_call(L, 2, 2);
    sw_formatter_url_suffix(L);
    const char *suffix = lua_tostring(L, -1); /* stays below the body */
    lua_insert(L, -2);
    sw_formatter_body(L);
    size_t len;
    const char *body = lua_tolstring(L, -1, &len);
    msgpack_packer *pk = &worker->reply.packer;
    msgpack_pack_map(pk, suffix != NULL ? 4 : 3);
    if (suffix != NULL) {
        sw_pack_key_str(pk, "url_suffix", suffix);
    }
    sw_pack_key_bool(pk, "ok", true);
    sw_pack_key_str(pk, "content_type", worker->content_type);
    sw_pack_str(pk, "body");
    msgpack_pack_bin(pk, len);
    msgpack_pack_bin_body(pk, body, len);
    return 0;
}
