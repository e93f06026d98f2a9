/*
 * pcall, xpcall and the coroutine library, as Lua has them, but for two things: the limits are told which
 * coroutine runs, and once a limit was hit nothing here catches, handles, closes or resumes any more.
 */
#include "worker/internal.h"

#include <lualib.h>

/* coroutine.close inside __close of a coroutine that is being closed, and so on: 5.4.4 does not count these
 * levels on the C stack (each may use the whole 415 KiB that Lua allows itself). */
#define MAX_CLOSING 10

static sw_limits *limits_of(lua_State *L) {
    return &sw_worker_of(L)->limits;
}

static lua_State *to_coroutine(lua_State *L) {
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co != NULL, 1, "coroutine");
    return co;
}

/* Ends co and runs its pending __close. Leaves an error on co's stack when it gives anything but LUA_OK. */
static int close_coroutine(lua_State *L, lua_State *co) {
    sw_limits *limits = limits_of(L);
    if (limits->closing == MAX_CLOSING) {
        luaL_error(L, "C stack overflow");
    }
    limits->closing++;
    lua_State *before = sw_limits_enter(limits, co);
#if LUA_VERSION_RELEASE_NUM >= 50406
    int status = lua_closethread(co, L);
#else
    int status = lua_resetthread(co);
#endif
    sw_limits_enter(limits, before);
    limits->closing--;
    sw_limits_check(limits, L);
    return status;
}

/* Runs co with the n topmost values of L. The number of results that are now on top of L, or -1 and the
 * error. */
static int resume(lua_State *L, lua_State *co, int n) {
    sw_limits *limits = limits_of(L);
    sw_limits_check(limits, L);
    if (!lua_checkstack(co, n)) {
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    lua_xmove(L, co, n);
    int n_results = 0;
    lua_State *before = sw_limits_enter(limits, co);
    int status = lua_resume(co, L, n, &n_results);
    sw_limits_enter(limits, before);
    sw_limits_check(limits, L);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return -1;
    }
    if (!lua_checkstack(L, n_results + 1)) {
        lua_pop(co, n_results);
        lua_pushliteral(L, "too many results to resume");
        return -1;
    }
    lua_xmove(co, L, n_results);
    return n_results;
}

static int co_resume(lua_State *L) {
    lua_State *co = to_coroutine(L);
    int n = resume(L, co, lua_gettop(L) - 1);
    lua_pushboolean(L, n >= 0);
    n = n < 0 ? 1 : n;
    lua_insert(L, -(n + 1));
    return n + 1;
}

static int wrapped(lua_State *L) {
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int n = resume(L, co, lua_gettop(L));
    if (n >= 0) {
        return n;
    }
    int status = lua_status(co);
    if (status != LUA_OK &&
        status != LUA_YIELD) { /* it died of this error: close it, which may give another */
        lua_xmove(L, co, 1);
        status = close_coroutine(L, co);
        lua_xmove(co, L, 1);
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int co_wrap(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, wrapped, 1);
    return 1;
}

/* What keeps co from being closed; NULL when it is suspended or dead. */
static const char *why_not_closed(lua_State *L, lua_State *co) {
    lua_Debug ar;
    if (L == co) {
        return "running";
    }
    if (lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar) == 1) {
        return "normal";
    }
    return NULL;
}

static int co_close(lua_State *L) {
    lua_State *co = to_coroutine(L);
    const char *status = why_not_closed(L, co);
    if (status != NULL) {
        return luaL_error(L, "cannot close a %s coroutine", status);
    }
    sw_limits_check(limits_of(L), L);
    if (close_coroutine(L, co) == LUA_OK) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushboolean(L, 0);
    lua_xmove(co, L, 1);
    return 2;
}

/* After a protected call: `extra` values at the bottom are ours. */
static int caught(lua_State *L, int status, lua_KContext extra) {
    sw_limits_check(limits_of(L), L);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_pushboolean(L, 0);
        lua_pushvalue(L, -2);
        return 2;
    }
    return lua_gettop(L) - (int)extra;
}

static int protected_call(lua_State *L) {
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, caught);
    return caught(L, status, 0);
}

/* The handler of xpcall: the script's (upvalue), unless a limit was hit. Hooks are off while a handler runs
 * for an error that the hook raised: the script's would never be stopped. */
static int handle_error(lua_State *L) {
    if (sw_limits_expired(limits_of(L))) {
        return 1;
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

static int protected_call_with_handler(lua_State *L) {
    int n = lua_gettop(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, handle_error, 1);
    lua_replace(L, 2);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2); /* function, handler, true, function, arguments */
    int status = lua_pcallk(L, n - 2, LUA_MULTRET, 2, 2, caught);
    return caught(L, status, 2);
}

void sw_coroutines_open(lua_State *L) {
    static const luaL_Reg coroutine_functions[] = {
        {"resume", co_resume},
        {"wrap", co_wrap},
        {"close", co_close},
        {NULL, NULL},
    };
    static const luaL_Reg base_functions[] = {
        {"pcall", protected_call},
        {"xpcall", protected_call_with_handler},
        {NULL, NULL},
    };
    luaL_requiref(L, LUA_COLIBNAME, luaopen_coroutine, 1);
    luaL_setfuncs(L, coroutine_functions, 0);
    lua_pop(L, 1);
    lua_pushglobaltable(L);
    luaL_setfuncs(L, base_functions, 0);
    lua_pop(L, 1);
}
