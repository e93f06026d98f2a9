/* The state and the globals that scripts see: all of Lua but what reaches outside. */
#include "worker/internal.h"

#include <lualib.h>
#include <string.h>

#define MAX_MODULE_NAME 128

/* print goes to the log. */
static int env_print(lua_State *L) {
    luaL_Buffer line;
    int n = lua_gettop(L);
    luaL_buffinit(L, &line);
    for (int i = 1; i <= n; i++) {
        if (i > 1) {
            luaL_addchar(&line, '\t');
        }
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&line);
    }
    luaL_pushresult(&line);
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    sw_channel_log(sw_worker_of(L), L, "info", text, len, 0);
    return 0;
}

static int env_warn(lua_State *L) {
    int n = lua_gettop(L);
    luaL_checkstring(L, 1);
    for (int i = 2; i <= n; i++) {
        luaL_checkstring(L, i);
    }
    lua_concat(L, n);
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    sw_channel_log(sw_worker_of(L), L, "warn", text, len, 0);
    return 0;
}

/* Lua's own warnings: errors in finalizers. */
static void on_warning(void *worker, const char *message, int to_be_continued) {
    (void)to_be_continued;
    sw_channel_log_plain(worker, "warn", message);
}

static int env_collectgarbage(lua_State *L) {
    static const char *const options[] = {"collect", "count", NULL};
    if (luaL_checkoption(L, 1, "collect", options) == 0) {
        lua_pushinteger(L, lua_gc(L, LUA_GCCOLLECT));
    } else {
        lua_pushnumber(L, (lua_Number)sw_worker_of(L)->limits.memory_used / 1024);
    }
    return 1;
}

/* load, for text only, whatever mode the script names. */
static int env_load(lua_State *L) {
    if (lua_gettop(L) < 3) {
        lua_settop(L, 3);
    }
    luaL_optstring(L, 3, "t");
    lua_pushliteral(L, "t");
    lua_replace(L, 3);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* os.time and os.date without a time mean that of the call, so that a replay and a test see theirs. */
static int env_os_time(lua_State *L) {
    double now = sw_worker_of(L)->now;
    if (lua_isnoneornil(L, 1) && now > 0) {
        lua_pushinteger(L, (lua_Integer)now);
        return 1;
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

static int env_os_date(lua_State *L) {
    double now = sw_worker_of(L)->now;
    lua_settop(L, 2);
    if (lua_isnil(L, 1)) {
        lua_pushliteral(L, "%c");
        lua_replace(L, 1);
    }
    if (lua_isnil(L, 2) && now > 0) {
        lua_pushinteger(L, (lua_Integer)now);
        lua_replace(L, 2);
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_isnil(L, 3) ? 1 : 2, 1);
    return 1;
}

static void open_os(lua_State *L) {
    lua_pushcfunction(L, luaopen_os);
    lua_call(L, 0, 1);
    lua_createtable(L, 0, 3);
    lua_getfield(L, -2, "time");
    lua_pushcclosure(L, env_os_time, 1);
    lua_setfield(L, -2, "time");
    lua_getfield(L, -2, "date");
    lua_pushcclosure(L, env_os_date, 1);
    lua_setfield(L, -2, "date");
    lua_getfield(L, -2, "clock");
    lua_setfield(L, -2, "clock");
    lua_setglobal(L, "os");
    lua_pop(L, 1);
}

/* Segments of letters, digits, '_' and '-', joined by '.' or '/': nothing that leaves a folder. */
static bool is_module_name(const char *name, size_t len) {
    bool in_segment = false;
    if (len > MAX_MODULE_NAME) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (name[i] == '.' || name[i] == '/') {
            if (!in_segment) {
                return false;
            }
            in_segment = false;
        } else if (name[i] != '\0' &&
                   strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", name[i]) !=
                       NULL) {
            in_segment = true;
        } else {
            return false;
        }
    }
    return in_segment;
}

/* Pushes the function that the module's file is, and its path. */
static void load_module(lua_State *L, const char *name) {
    sw_worker *worker = sw_worker_of(L);
    sw_channel_ask_begin(worker, "require");
    msgpack_pack_map(&worker->side.packer, 1);
    sw_pack_key_str(&worker->side.packer, "name", name);
    if (sw_channel_ask_end(worker, L) != 1) {
        const char *why = lua_tostring(L, -2);
        luaL_error(L, "module '%s' not found: %s", name, why != NULL ? why : "the host does not say why");
    }
    size_t len = 0;
    const char *source = NULL, *path = NULL;
    if (lua_istable(L, -1)) {
        lua_getfield(L, -1, "path");
        lua_getfield(L, -2, "source");
        path = lua_tostring(L, -2);
        source = lua_tolstring(L, -1, &len);
    }
    if (path == NULL || source == NULL) {
        luaL_error(L, "module '%s': the host sent no source", name);
    }
    sw_load_text(L, source, len, path);
    lua_pushvalue(L, -3);
}

/* Upvalues: the table of what was loaded (name -> value; `false` while it is loading), the environment. */
static int env_require(lua_State *L) {
    size_t len;
    const char *name = luaL_checklstring(L, 1, &len);
    lua_settop(L, 1);
    if (!is_module_name(name, len)) {
        return luaL_error(
            L, "'%s' is not a module name: letters, digits, '_' and '-', with '.' between folders", name);
    }
    if (lua_getfield(L, lua_upvalueindex(1), name) != LUA_TNIL) {
        if (lua_toboolean(L, -1) == 0) {
            return luaL_error(L, "module '%s' requires itself, directly or through others", name);
        }
        return 1;
    }
    load_module(L, name);
    lua_insert(L, 2); /* name, path, …, function */
    if (lua_type(L, lua_upvalueindex(2)) == LUA_TTABLE) {
        lua_pushvalue(L, lua_upvalueindex(2));
        lua_setupvalue(L, -2, 1);
    }
    lua_pushboolean(L, 0);
    lua_setfield(L, lua_upvalueindex(1), name);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    int status = lua_pcall(L, 2, 1, 0);
    if (status != LUA_OK) {
        lua_pushnil(L); /* a later require tries again */
        lua_setfield(L, lua_upvalueindex(1), name);
        return status == LUA_ERRMEM ? sw_memory_error(L) : lua_error(L);
    }
    if (lua_toboolean(L, -1) == 0) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, lua_upvalueindex(1), name);
    return 1;
}

void sw_environment_push_require(lua_State *L) {
    lua_newtable(L);
    lua_insert(L, -2);
    lua_pushcclosure(L, env_require, 2);
}

static void open_libraries(lua_State *L) {
    static const luaL_Reg libraries[] = {
        {LUA_GNAME, luaopen_base},       {LUA_TABLIBNAME, luaopen_table}, {LUA_STRLIBNAME, luaopen_string},
        {LUA_MATHLIBNAME, luaopen_math}, {LUA_UTF8LIBNAME, luaopen_utf8}, {NULL, NULL},
    };
    for (const luaL_Reg *library = libraries; library->func != NULL; library++) {
        luaL_requiref(L, library->name, library->func, 1);
        lua_pop(L, 1);
    }
}

static void remove_fields(lua_State *L, const char *const *names) {
    for (; *names != NULL; names++) {
        lua_pushnil(L);
        lua_setfield(L, -2, *names);
    }
}

int sw_environment_open(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"print", env_print},
        {"warn", env_warn},
        {"collectgarbage", env_collectgarbage},
        {NULL, NULL},
    };
    static const char *const outside[] = {"dofile", "loadfile", NULL};
    static const char *const bytecode[] = {"dump", NULL};
    open_libraries(L);
    sw_coroutines_open(L);
    open_os(L);
    lua_pushglobaltable(L);
    luaL_setfuncs(L, functions, 0);
    remove_fields(L, outside);
    lua_getfield(L, -1, "load");
    lua_pushcclosure(L, env_load, 1);
    lua_setfield(L, -2, "load");
    lua_getfield(L, -1, "string");
    remove_fields(L, bytecode);
    lua_pop(L, 1);
    sw_json_push(L);
    lua_setfield(L, -2, "json");
    lua_pushnil(L);
    sw_environment_push_require(L);
    lua_setfield(L, -2, "require");
    sw_context_open(L);
    return 0;
}

lua_State *sw_environment_new(sw_worker *worker) {
    lua_State *L = lua_newstate(sw_limits_alloc, &worker->limits);
    if (L != NULL) {
        *(sw_worker **)lua_getextraspace(L) = worker;
        lua_setwarnf(L, on_warning, worker);
    }
    return L;
}
