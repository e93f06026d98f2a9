/* The one entry into Lua: traceback, limits, balanced stack. */
#include "worker/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *sw_error_kind_name(sw_error_kind kind) {
    static const char *const names[] = {
        [SW_ERROR_RUNTIME] = "runtime", [SW_ERROR_SYNTAX] = "syntax", [SW_ERROR_SHAPE] = "shape",
        [SW_ERROR_MEMORY] = "memory",   [SW_ERROR_CPU] = "cpu",       [SW_ERROR_BYTECODE] = "bytecode",
    };
    return names[kind];
}

static void copy_text(char *out, size_t size, const char *text, size_t len) {
    size_t n = len < size - 1 ? len : size - 1;
    memcpy(out, text, n);
    out[n] = '\0';
}

/* Runs where the error was raised. The hook is off in here when the hook raised it: no script may run then,
 * and none does, because that error is text. */
static int on_error(lua_State *L) {
    sw_worker *worker = sw_worker_of(L);
    worker->traceback[0] = '\0';
    if (sw_limits_expired(&worker->limits)) {
        return 1;
    }
    if (lua_type(L, 1) != LUA_TSTRING) {
        if (luaL_callmeta(L, 1, "__tostring") == 0 || lua_type(L, -1) != LUA_TSTRING) {
            lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
        }
        lua_replace(L, 1);
        lua_settop(L, 1);
    }
    luaL_traceback(L, L, NULL, 1);
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    copy_text(worker->traceback, sizeof(worker->traceback), text, len);
    lua_settop(L, 1);
    return 1;
}

static void describe_failure(sw_worker *worker, int status) {
    sw_limits *limits = &worker->limits;
    if (sw_limits_expired(limits)) {
        worker->kind = SW_ERROR_CPU;
        worker->spent = true;
        snprintf(worker->message, sizeof(worker->message), "%s", sw_limits_message(limits));
        snprintf(worker->traceback, sizeof(worker->traceback), "%s", limits->traceback);
        return;
    }
    size_t len;
    const char *text = lua_tolstring(worker->L, -1, &len);
    bool marked = text != NULL && worker->kind_message[0] != '\0' &&
                  strncmp(text, worker->kind_message, strlen(worker->kind_message)) == 0;
    /* An error of a kind that a script caught may have been followed by another one. */
    if (!marked) {
        worker->kind = SW_ERROR_RUNTIME;
    }
    if (status == LUA_ERRMEM || worker->kind == SW_ERROR_MEMORY) {
        worker->kind = SW_ERROR_MEMORY;
        worker->spent = true;
        snprintf(worker->message, sizeof(worker->message), "%sout of memory: the limit is %zu KiB",
                 limits->memory_where, limits->memory_cap >> 10);
        worker->traceback[0] = '\0';
        return;
    }
    if (text == NULL) {
        text = "error in error handling";
        len = strlen(text);
    }
    copy_text(worker->message, sizeof(worker->message), text, len);
}

/* Says of what kind the error is that is raised with this message. */
static void mark_kind(sw_worker *worker, sw_error_kind kind, const char *message) {
    worker->kind = kind;
    copy_text(worker->kind_message, sizeof(worker->kind_message), message, strlen(message));
}

int sw_protected(sw_worker *worker, lua_CFunction body, void *arg) {
    lua_State *L = worker->L;
    mark_kind(worker, SW_ERROR_RUNTIME, "");
    worker->message[0] = worker->traceback[0] = '\0';
    lua_settop(L, 0); /* a fresh stack has room for LUA_MINSTACK values */
    lua_pushcfunction(L, on_error);
    lua_pushcfunction(L, body);
    lua_pushlightuserdata(L, arg);
    sw_limits_begin(&worker->limits, L);
    int status = lua_pcall(L, 1, 0, 1);
    sw_limits_end(&worker->limits, L);
    /* A script that swallowed the last error of the limit and then ended is over the limit all the same. */
    bool failed = status != LUA_OK || sw_limits_expired(&worker->limits);
    if (failed) {
        describe_failure(worker, status);
    }
    lua_settop(L, 0);
    return failed ? -1 : 0;
}

int sw_memory_error(lua_State *L) {
    static const char message[] = "not enough memory";
    mark_kind(sw_worker_of(L), SW_ERROR_MEMORY, message);
    lua_pushstring(L, message);
    return lua_error(L);
}

int sw_shape_error(lua_State *L, const char *format, ...) {
    /* Cut here, so that no name or value makes a message of megabytes. */
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    mark_kind(sw_worker_of(L), SW_ERROR_SHAPE, text);
    lua_pushstring(L, text);
    return lua_error(L);
}

void sw_load_text(lua_State *L, const char *source, size_t len, const char *path) {
    sw_worker *worker = sw_worker_of(L);
    if (len > 0 && source[0] == LUA_SIGNATURE[0]) {
        lua_pushfstring(L, "%s: is bytecode; only text is run", path);
        mark_kind(worker, SW_ERROR_BYTECODE, lua_tostring(L, -1));
        lua_error(L);
    }
    lua_pushfstring(L, "@%s", path);
    int status = luaL_loadbufferx(L, source, len, lua_tostring(L, -1), "t");
    lua_remove(L, -2);
    if (status == LUA_ERRMEM) {
        sw_memory_error(L);
    } else if (status != LUA_OK) {
        mark_kind(worker, SW_ERROR_SYNTAX, lua_tostring(L, -1));
        lua_error(L);
    }
}
