/* Reads the table that a detector's file returned. */
#include "worker/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_EVERY_S 86400.0

static const char *const known_keys[] = {"name",   "every_s",       "config",  "wants",
                                         "check",  "state_version", "migrate", "revisions",
                                         "source", "sources",       NULL};

static bool is_known(const char *name, const char *const *known) {
    for (; *known != NULL; known++) {
        if (strcmp(name, *known) == 0) {
            return true;
        }
    }
    return false;
}

static void check_keys(lua_State *L, int table, const char *path, const char *what,
                       const char *const *known) {
    lua_pushnil(L);
    while (lua_next(L, table) != 0) {
        lua_pop(L, 1);
        const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
        if (name != NULL && is_known(name, known)) {
            continue;
        }
        char list[256] = "";
        for (; *known != NULL; known++) {
            size_t len = strlen(list);
            snprintf(list + len, sizeof(list) - len, "%s%s", len > 0 ? ", " : "", *known);
        }
        if (name == NULL) {
            sw_shape_error(L, "%s: a key of %s is a %s; known are %s", path, what, luaL_typename(L, -1),
                           list);
        }
        sw_shape_error(L, "%s: unknown key '%.64s' of %s; known are %s", path, name, what, list);
    }
}

/* Pushes the field and gives its type; metatables are not asked. */
static int field(lua_State *L, int table, const char *name) {
    lua_pushstring(L, name);
    return lua_rawget(L, table);
}

static void need_type(lua_State *L, const char *path, const char *what, const char *wanted) {
    sw_shape_error(L, "%s: %s must be %s (it is a %s)", path, what, wanted, luaL_typename(L, -1));
}

static bool read_bool(lua_State *L, int table, const char *path, const char *name, bool fallback) {
    int type = field(L, table, name);
    if (type != LUA_TNIL && type != LUA_TBOOLEAN) {
        need_type(L, path, name, "a boolean");
    }
    bool value = type == LUA_TNIL ? fallback : lua_toboolean(L, -1) != 0;
    lua_pop(L, 1);
    return value;
}

static void read_name(lua_State *L, int table, const char *path, sw_description *out) {
    if (field(L, table, "name") == LUA_TNIL) {
        const char *slash = strrchr(path, '/');
        snprintf(out->name, sizeof(out->name), "%s", slash != NULL ? slash + 1 : path);
        size_t len = strlen(out->name);
        if (len > 4 && strcmp(out->name + len - 4, ".lua") == 0) {
            out->name[len - 4] = '\0';
        }
    } else {
        size_t len = 0;
        const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
        if (name == NULL || len == 0 || len >= sizeof(out->name) || strlen(name) != len ||
            !sw_utf8_valid(name, len)) {
            need_type(L, path, "name", "text of 1 to 127 bytes");
        }
        snprintf(out->name, sizeof(out->name), "%s", name);
    }
    lua_pop(L, 1);
}

static void read_every(lua_State *L, int table, const char *path, sw_description *out) {
    if (field(L, table, "every_s") != LUA_TNIL) {
        double seconds = lua_type(L, -1) == LUA_TNUMBER ? (double)lua_tonumber(L, -1) : NAN;
        if (!(seconds >= 1 && seconds <= MAX_EVERY_S)) {
            need_type(L, path, "every_s", "a number of seconds from 1 to 86400");
        }
        out->every_s = seconds;
    }
    lua_pop(L, 1);
}

static void read_version(lua_State *L, int table, const char *path, sw_description *out) {
    out->state_version = 1;
    if (field(L, table, "state_version") != LUA_TNIL) {
        if (!lua_isinteger(L, -1)) {
            need_type(L, path, "state_version", "a whole number");
        }
        out->state_version = (int64_t)lua_tointeger(L, -1);
    }
    lua_pop(L, 1);
}

/* The bit of the source whose name is at the top of the stack; pops it. */
static unsigned read_source_name(lua_State *L, const char *path, const char *what) {
    const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    int number = name != NULL ? sw_source_named(name) : -1;
    if (number < 0) {
        char known[128] = "";
        for (size_t i = 0; i < SW_SOURCES; i++) {
            size_t len = strlen(known);
            snprintf(known + len, sizeof known - len, "%s\"%s\"", i > 0 ? ", " : "", sw_source_names[i]);
        }
        if (name != NULL) {
            return (unsigned)sw_shape_error(L, "%s: %s: there is no source '%.64s'; known are %s", path, what,
                                            name, known);
        }
        return (unsigned)sw_shape_error(L, "%s: %s must name a source (it is a %s); known are %s", path, what,
                                        luaL_typename(L, -1), known);
    }
    lua_pop(L, 1);
    return 1U << number;
}

/* `sources`, a list, or `source`, one name. */
static void read_sources(lua_State *L, int table, const char *path, sw_description *out) {
    out->sources = SW_SOURCES_ALL;
    int list_type = field(L, table, "sources");
    int list = lua_gettop(L);
    if (field(L, table, "source") != LUA_TNIL) {
        if (list_type != LUA_TNIL) {
            sw_shape_error(L, "%s: either source or sources, not both", path);
        }
        out->sources = read_source_name(L, path, "source");
    } else if (list_type != LUA_TNIL) {
        size_t n = 0;
        lua_settop(L, list);
        if (list_type != LUA_TTABLE || !sw_values_is_list(L, list, &n)) {
            need_type(L, path, "sources", "a list of names such as { \"otlp\" }");
        }
        out->sources = 0;
        for (size_t i = 1; i <= n; i++) {
            lua_rawgeti(L, list, (lua_Integer)i);
            out->sources |= read_source_name(L, path, "sources");
        }
    }
    lua_settop(L, list - 1);
}

static void check_functions(lua_State *L, int table, const char *path) {
    if (field(L, table, "check") != LUA_TFUNCTION) {
        need_type(L, path, "check", "a function");
    }
    int type = field(L, table, "migrate");
    if (type != LUA_TNIL && type != LUA_TFUNCTION) {
        need_type(L, path, "migrate", "a function");
    }
    lua_pop(L, 2);
}

/* Puts the fields of the table at `from` over those of the table at `to`, and of tables inside tables. A list
 * is replaced as a whole. Both are plain, so the depth is bounded. */
static void merge(lua_State *L, int to, int from) {
    luaL_checkstack(L, 8, "config");
    lua_pushnil(L);
    while (lua_next(L, from) != 0) {
        int value = lua_gettop(L);
        lua_pushvalue(L, value - 1);
        int old_type = lua_rawget(L, to);
        size_t n;
        if (old_type == LUA_TTABLE && lua_type(L, value) == LUA_TTABLE && !sw_values_is_list(L, value, &n) &&
            !sw_values_is_list(L, value + 1, &n)) {
            merge(L, value + 1, value);
        } else {
            lua_pushvalue(L, value - 1);
            lua_pushvalue(L, value);
            lua_rawset(L, to);
        }
        lua_settop(L, value - 1);
    }
}

/* Pushes the effective configuration. */
static void push_config(lua_State *L, int table, int config, const char *path) {
    int type = field(L, table, "config");
    if (type != LUA_TNIL && type != LUA_TTABLE) {
        need_type(L, path, "config", "a table");
    }
    if (type == LUA_TNIL) {
        lua_newtable(L);
    } else {
        sw_values_copy(L, -1, "config");
    }
    lua_remove(L, -2);
    if (config != 0 && lua_istable(L, config)) {
        merge(L, lua_gettop(L), config);
    }
}

/* The configuration is at the top of the stack and stays there. */
static void read_wants(lua_State *L, int table, const char *path, sw_description *out) {
    static const char *const known[] = {"min_duration_ms", "errors", "series", NULL};
    int config = lua_gettop(L);
    out->wants_min_duration_ms = -1;
    out->wants_series = true;
    int type = field(L, table, "wants");
    if (type == LUA_TFUNCTION) {
        sw_values_copy(L, config, "config");
        lua_call(L, 1, 1);
        type = lua_type(L, -1);
        if (type != LUA_TTABLE) {
            need_type(L, path, "the result of wants()", "a table");
        }
    }
    if (type == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    if (type != LUA_TTABLE) {
        need_type(L, path, "wants", "a table or a function");
    }
    int wants = lua_gettop(L);
    check_keys(L, wants, path, "wants", known);
    out->wants_errors = read_bool(L, wants, path, "errors", false);
    out->wants_series = read_bool(L, wants, path, "series", true);
    if (field(L, wants, "min_duration_ms") != LUA_TNIL) {
        double ms = lua_type(L, -1) == LUA_TNUMBER ? (double)lua_tonumber(L, -1) : NAN;
        if (!(ms >= 0) || !isfinite(ms)) {
            need_type(L, path, "wants.min_duration_ms", "a number of at least 0");
        }
        out->wants_min_duration_ms = ms;
    }
    lua_settop(L, config);
}

void sw_detector_describe(lua_State *L, int table, int config, const char *path, sw_description *out) {
    *out = (sw_description){.every_s = 0};
    if (!lua_istable(L, table)) {
        sw_shape_error(L, "%s: must return a table (it returns %s)", path,
                       lua_isnil(L, table) ? "nothing" : luaL_typename(L, table));
    }
    check_keys(L, table, path, "the detector", known_keys);
    read_name(L, table, path, out);
    read_every(L, table, path, out);
    read_version(L, table, path, out);
    check_functions(L, table, path);
    read_sources(L, table, path, out);
    out->revisions = read_bool(L, table, path, "revisions", false);
    push_config(L, table, config, path);
    read_wants(L, table, path, out);
}

bool sw_detector_take_state(lua_State *L, int table, int state, int64_t version,
                            const sw_description *description) {
    if (!lua_istable(L, state)) {
        lua_newtable(L);
        return false;
    }
    if (version == description->state_version) {
        lua_pushvalue(L, state);
        return false;
    }
    if (field(L, table, "migrate") == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushfstring(L,
                        "the state of version %I is dropped: this version's is %I and there is no migrate()",
                        (LUAI_UACINT)version, (LUAI_UACINT)description->state_version);
        sw_channel_log_plain(sw_worker_of(L), "warn", lua_tostring(L, -1));
        lua_pop(L, 1);
        return false;
    }
    lua_pushvalue(L, state);
    lua_pushinteger(L, (lua_Integer)version);
    lua_call(L, 2, 1);
    if (!lua_istable(L, -1)) {
        sw_shape_error(L, "migrate() must return a table (it returns %s)",
                       lua_isnil(L, -1) ? "nothing" : luaL_typename(L, -1));
    }
    return true;
}

bool sw_detector_judged(lua_State *L, int first, const char **reason) {
    if (lua_istable(L, first)) {
        return true;
    }
    if (lua_isnil(L, first) && lua_type(L, first + 1) == LUA_TSTRING) {
        *reason = lua_tostring(L, first + 1);
        return false;
    }
    if (lua_isnil(L, first)) {
        sw_shape_error(L,
                       "check() returned nothing: return a list of findings ({} for none), or nil and why it "
                       "cannot tell");
    }
    return sw_shape_error(L, "check() returned a %s instead of a list of findings",
                          luaL_typename(L, first)) == 0;
}
