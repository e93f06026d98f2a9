/* The options of host functions: checked before anything is asked. Misuse raises, with the name of the key.
 */
#include "worker/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef enum option_type {
    OPTION_TEXT,
    OPTION_STATUS,
    OPTION_DURATION, /* a finite number >= 0 */
    OPTION_SECONDS,  /* a time; its fraction is dropped */
    OPTION_COUNT,    /* a whole number >= 1 */
    OPTION_TEXTS,    /* a table of text */
    OPTION_VALUES,   /* a table of text, numbers and booleans, each as it is */
    OPTION_SOURCE,   /* the name of a source; the window's when it is left out */
} option_type;

typedef struct option {
    const char *name;
    option_type type;
} option;

typedef struct host_function {
    const char *op;
    const char *required; /* an option that must be there, or NULL */
    option options[12];   /* ends with a NULL name */
} host_function;

/* What both searches take. */
#define SEARCH_TERMS                                                                                         \
    {"service", OPTION_TEXT}, {"operation", OPTION_TEXT}, {"status", OPTION_STATUS},                         \
        {"min_duration_ms", OPTION_DURATION}, {"max_duration_ms", OPTION_DURATION},                          \
        {"attributes", OPTION_VALUES}, {"from", OPTION_SECONDS}, {"to", OPTION_SECONDS}, {                   \
        "limit", OPTION_COUNT                                                                                \
    }

#define HTTP_OPTIONS                                                                                         \
    {                                                                                                        \
        {"url", OPTION_TEXT}, {"headers", OPTION_TEXTS}, {"body", OPTION_TEXT}, {                            \
            "timeout_ms", OPTION_COUNT                                                                       \
        }                                                                                                    \
    }

static const host_function host_functions[] = {
    {"search", NULL, {SEARCH_TERMS, {"source", OPTION_SOURCE}}},
    {"tempo.search", NULL, {{"q", OPTION_TEXT}, SEARCH_TERMS, {"spss", OPTION_COUNT}}},
    {"tempo.metrics",
     "q",
     {{"q", OPTION_TEXT}, {"from", OPTION_SECONDS}, {"to", OPTION_SECONDS}, {"step_s", OPTION_COUNT}}},
    {"http.get", "url", HTTP_OPTIONS},
    {"http.post", "url", HTTP_OPTIONS},
};

/* Portable terms, which a question in TraceQL has no place for. */
static const char *const portable_terms[] = {"service",         "operation",       "status",
                                             "min_duration_ms", "max_duration_ms", "attributes"};

static const option *find_option(const host_function *function, const char *name) {
    for (const option *o = function->options; o->name != NULL; o++) {
        if (strcmp(o->name, name) == 0) {
            return o;
        }
    }
    return NULL;
}

static void refuse_key(lua_State *L, const host_function *function, int key) {
    char known[256] = "";
    for (const option *o = function->options; o->name != NULL; o++) {
        size_t len = strlen(known);
        snprintf(known + len, sizeof(known) - len, "%s%s", len > 0 ? ", " : "", o->name);
    }
    const char *name = lua_type(L, key) == LUA_TSTRING ? lua_tostring(L, key) : luaL_typename(L, key);
    luaL_error(L, "ctx.%s: unknown option '%s'; known are %s", function->op, name, known);
}

static int refuse_type(lua_State *L, const host_function *function, const option *o, const char *wanted) {
    return luaL_error(L, "ctx.%s: option '%s' must be %s (it is a %s)", function->op, o->name, wanted,
                      luaL_typename(L, -1));
}

static void pack_option_text(lua_State *L, const host_function *function, const option *o, int index,
                             msgpack_packer *pk) {
    if (lua_type(L, index) != LUA_TSTRING) {
        refuse_type(L, function, o, "text");
    }
    size_t len;
    const char *text = lua_tolstring(L, index, &len);
    if (!sw_utf8_valid(text, len)) {
        luaL_error(L, "ctx.%s: option '%s' is not UTF-8", function->op, o->name);
    }
    msgpack_pack_str_with_body(pk, text, len);
}

/* A number or boolean at the top, as it is. */
static void pack_option_value(lua_State *L, const host_function *function, const option *o,
                              msgpack_packer *pk) {
    if (lua_type(L, -1) == LUA_TBOOLEAN) {
        if (lua_toboolean(L, -1)) {
            msgpack_pack_true(pk);
        } else {
            msgpack_pack_false(pk);
        }
    } else if (lua_isinteger(L, -1)) {
        msgpack_pack_int64(pk, (int64_t)lua_tointeger(L, -1));
    } else {
        double number = (double)lua_tonumber(L, -1);
        if (!isfinite(number)) {
            luaL_error(L, "ctx.%s: a number in option '%s' is not finite", function->op, o->name);
        }
        msgpack_pack_double(pk, number);
    }
}

static void pack_option_texts(lua_State *L, const host_function *function, const option *o,
                              msgpack_packer *pk) {
    bool values = o->type == OPTION_VALUES;
    if (!lua_istable(L, -1)) {
        refuse_type(L, function, o, values ? "a table of text, numbers and booleans" : "a table of text");
    }
    int table = lua_gettop(L);
    uint32_t n = 0;
    lua_pushnil(L);
    while (lua_next(L, table) != 0) {
        n++;
        lua_pop(L, 1);
    }
    msgpack_pack_map(pk, n);
    lua_pushnil(L);
    while (lua_next(L, table) != 0) {
        pack_option_text(L, function, o, -2, pk);
        bool plain = lua_type(L, -1) == LUA_TNUMBER || lua_type(L, -1) == LUA_TBOOLEAN;
        if (plain && values) {
            pack_option_value(L, function, o, pk);
            lua_pop(L, 1);
            continue;
        }
        if (plain) {
            luaL_tolstring(L, -1, NULL);
            lua_remove(L, -2);
        }
        pack_option_text(L, function, o, -1, pk);
        lua_pop(L, 1);
    }
}

static void pack_option_status(lua_State *L, const host_function *function, const option *o,
                               msgpack_packer *pk) {
    const char *status = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    if (strcmp(status, "unset") != 0 && strcmp(status, "ok") != 0 && strcmp(status, "error") != 0) {
        refuse_type(L, function, o, "\"unset\", \"ok\" or \"error\"");
    }
    sw_pack_str(pk, status);
}

static void pack_option_number(lua_State *L, const host_function *function, const option *o,
                               msgpack_packer *pk) {
    double number = lua_type(L, -1) == LUA_TNUMBER ? (double)lua_tonumber(L, -1) : NAN;
    switch (o->type) {
    case OPTION_COUNT:
        if (!(number >= 1) || number != floor(number) || number > INT32_MAX) {
            refuse_type(L, function, o, "a whole number of at least 1");
        }
        msgpack_pack_int64(pk, (int64_t)number);
        return;
    case OPTION_SECONDS:
        if (!(fabs(number) < 1e15)) {
            refuse_type(L, function, o, "unix seconds");
        }
        msgpack_pack_int64(pk, (int64_t)floor(number));
        return;
    default:
        if (!(number >= 0) || !isfinite(number)) {
            refuse_type(L, function, o, "a number of at least 0");
        }
        msgpack_pack_double(pk, number);
    }
}

/* Raises when the value at index names none. */
static void check_source(lua_State *L, int index, const char *op) {
    const char *name = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : NULL;
    if (name == NULL || sw_source_named(name) < 0) {
        luaL_error(L, "ctx.%s: there is no source '%s'; known are tempo, otlp", op,
                   name != NULL ? name : luaL_typename(L, index));
    }
}

static void pack_option(lua_State *L, const host_function *function, const option *o, msgpack_packer *pk) {
    sw_pack_str(pk, o->name);
    switch (o->type) {
    case OPTION_TEXT:
        pack_option_text(L, function, o, -1, pk);
        return;
    case OPTION_TEXTS:
    case OPTION_VALUES:
        pack_option_texts(L, function, o, pk);
        return;
    case OPTION_SOURCE:
        check_source(L, -1, function->op);
        sw_pack_str(pk, lua_tostring(L, -1));
        return;
    case OPTION_STATUS:
        pack_option_status(L, function, o, pk);
        return;
    default:
        pack_option_number(L, function, o, pk);
    }
}

static bool has(lua_State *L, const char *name) {
    lua_pushstring(L, name);
    bool there = lua_rawget(L, 1) != LUA_TNIL;
    lua_pop(L, 1);
    return there;
}

static void check_keys(lua_State *L, const host_function *function) {
    lua_pushnil(L);
    while (lua_next(L, 1) != 0) {
        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TSTRING || find_option(function, lua_tostring(L, -1)) == NULL) {
            refuse_key(L, function, -1);
        }
    }
    if (function->required != NULL && !has(L, function->required)) {
        luaL_error(L, "ctx.%s: option '%s' is missing", function->op, function->required);
    }
    if (strcmp(function->op, "tempo.search") != 0 || !has(L, "q")) {
        return;
    }
    for (size_t i = 0; i < SW_ARRAY_LEN(portable_terms); i++) {
        if (has(L, portable_terms[i])) {
            luaL_error(L, "ctx.%s: either 'q' or '%s', not both", function->op, portable_terms[i]);
        }
    }
}

static void pack_table(lua_State *L, const host_function *function, msgpack_packer *pk) {
    luaL_checktype(L, 1, LUA_TTABLE);
    check_keys(L, function);
    uint32_t n = 0;
    bool windows = strcmp(function->op, "search") == 0 && !has(L, "source"); /* source, then */
    for (const option *o = function->options; o->name != NULL; o++) {
        n += has(L, o->name) ? 1 : 0;
    }
    msgpack_pack_map(pk, n + (windows ? 1 : 0));
    if (windows) {
        sw_pack_key_str(pk, "source", sw_worker_of(L)->source);
    }
    for (const option *o = function->options; o->name != NULL; o++) {
        lua_pushstring(L, o->name);
        if (lua_rawget(L, 1) != LUA_TNIL) {
            pack_option(L, function, o, pk);
        }
        lua_pop(L, 1);
    }
}

/* The id; for ctx.trace a source may follow. */
static void pack_trace_id(lua_State *L, const char *op, msgpack_packer *pk) {
    size_t len;
    luaL_checktype(L, 1, LUA_TSTRING);
    const char *id = lua_tolstring(L, 1, &len);
    luaL_argcheck(L, len >= 1 && len <= 32 && strspn(id, "0123456789abcdefABCDEF") == len, 1,
                  "a trace id is 32 hex digits");
    bool portable = strcmp(op, "trace") == 0;
    if (portable && !lua_isnoneornil(L, 2)) {
        check_source(L, 2, op);
    }
    msgpack_pack_map(pk, portable ? 2 : 1);
    sw_pack_key_str(pk, "id", id);
    if (portable) {
        sw_pack_key_str(pk, "source", lua_isnoneornil(L, 2) ? sw_worker_of(L)->source : lua_tostring(L, 2));
    }
}

void sw_options_pack(lua_State *L, const char *op, msgpack_packer *pk) {
    if (strcmp(op, "tempo.trace") == 0 || strcmp(op, "trace") == 0) {
        pack_trace_id(L, op, pk);
        return;
    }
    for (size_t i = 0; i < SW_ARRAY_LEN(host_functions); i++) {
        if (strcmp(host_functions[i].op, op) == 0) {
            pack_table(L, &host_functions[i], pk);
            return;
        }
    }
    luaL_error(L, "ctx.%s: no such function", op);
}
