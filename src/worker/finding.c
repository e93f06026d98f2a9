/* Checks what check() returned and packs it: the shape is in protocol/messages.md. */
#include "worker/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_LABELS 32
#define MAX_TYPE 128
#define MAX_TEXT 4096 /* the host cuts again, to what it keeps */

typedef enum field_type {
    FIELD_TYPE,
    FIELD_TEXT,
    FIELD_SEVERITY,
    FIELD_NUMBER,
    FIELD_NOT_NEGATIVE,
    FIELD_LABELS,
    FIELD_TRACES, /* all three are folded into one */
} field_type;

static const struct field {
    const char *name;
    field_type type;
} fields[] = {
    {"type", FIELD_TYPE},
    {"service", FIELD_TEXT},
    {"operation", FIELD_TEXT},
    {"key", FIELD_TEXT},
    {"labels", FIELD_LABELS},
    {"severity", FIELD_SEVERITY},
    {"summary", FIELD_TEXT},
    {"span_name", FIELD_TEXT},
    {"error_message", FIELD_TEXT},
    {"duration_ms", FIELD_NOT_NEGATIVE},
    {"value", FIELD_NUMBER},
    {"threshold", FIELD_NUMBER},
    {"baseline", FIELD_NUMBER},
    {"baseline_samples", FIELD_NOT_NEGATIVE},
    {"affected_traces", FIELD_NOT_NEGATIVE},
    {"total_traces", FIELD_NOT_NEGATIVE},
    {"for_s", FIELD_NOT_NEGATIVE},
    {"keep_firing_s", FIELD_NOT_NEGATIVE},
    {"trace", FIELD_TRACES},
    {"trace_id", FIELD_TRACES},
    {"traces", FIELD_TRACES},
};

/* What is being checked, for messages. */
typedef struct place {
    lua_State *L;
    msgpack_packer *pk;
    size_t values_left;
    lua_Integer number; /* of the finding */
} place;

static void refuse(place *p, const char *what, const char *why) {
    sw_shape_error(p->L, "finding %lld: %s %s", (long long)p->number, what, why);
}

static void refuse_type(place *p, const char *what, int index, const char *wanted) {
    char why[160];
    snprintf(why, sizeof(why), "must be %s (it is a %s)", wanted, luaL_typename(p->L, index));
    refuse(p, what, why);
}

static void count_values(place *p, size_t n) {
    if (n > p->values_left) {
        refuse(p, "and those before it", "are too much for one call");
    }
    p->values_left -= n;
}

static int push_field(place *p, int table, const char *name) {
    lua_pushstring(p->L, name);
    return lua_rawget(p->L, table);
}

static void pack_text(place *p, const char *what, int index) {
    if (lua_type(p->L, index) != LUA_TSTRING) {
        refuse_type(p, what, index, "text");
    }
    size_t len;
    const char *text = lua_tolstring(p->L, index, &len);
    sw_pack_text(p->pk, text, len, MAX_TEXT);
}

static bool is_type_name(const char *text, size_t len) {
    if (len == 0 || len > MAX_TYPE || strchr("0123456789.:-", text[0]) != NULL) {
        return false;
    }
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-") == len;
}

static void pack_type(place *p, int index) {
    size_t len = 0;
    const char *text = lua_type(p->L, index) == LUA_TSTRING ? lua_tolstring(p->L, index, &len) : NULL;
    if (text == NULL || !is_type_name(text, len)) {
        refuse(p, "type",
               "must be a name: letters, digits and _ . : -, beginning with a letter or _, at most 128");
    }
    sw_pack_str(p->pk, text);
}

static void pack_severity(place *p, int index) {
    const char *text = lua_type(p->L, index) == LUA_TSTRING ? lua_tostring(p->L, index) : "";
    if (strcmp(text, "info") != 0 && strcmp(text, "warning") != 0 && strcmp(text, "critical") != 0) {
        refuse(p, "severity", "must be \"info\", \"warning\" or \"critical\"");
    }
    sw_pack_str(p->pk, text);
}

static void pack_number(place *p, const char *what, int index, bool may_be_negative) {
    if (lua_type(p->L, index) != LUA_TNUMBER) {
        refuse_type(p, what, index, "a number");
    }
    double number = (double)lua_tonumber(p->L, index);
    if (!isfinite(number)) {
        refuse(p, what, "must be a finite number");
    }
    if (!may_be_negative && number < 0) {
        refuse(p, what, "must not be negative");
    }
    if (lua_isinteger(p->L, index)) {
        msgpack_pack_int64(p->pk, (int64_t)lua_tointeger(p->L, index));
    } else {
        msgpack_pack_double(p->pk, number);
    }
}

static void pack_labels(place *p, int table) {
    lua_State *L = p->L;
    if (!lua_istable(L, table)) {
        refuse_type(p, "labels", table, "a table of text");
    }
    uint32_t n = 0;
    lua_pushnil(L);
    while (lua_next(L, table) != 0) {
        n++;
        lua_pop(L, 1);
    }
    if (n > MAX_LABELS) {
        refuse(p, "labels", "are more than 32");
    }
    count_values(p, 2 * (size_t)n);
    msgpack_pack_map(p->pk, n);
    lua_pushnil(L);
    while (lua_next(L, table) != 0) {
        int value = lua_gettop(L);
        pack_text(p, "the name of a label", value - 1);
        if (lua_type(L, value) == LUA_TNUMBER || lua_type(L, value) == LUA_TBOOLEAN) {
            luaL_tolstring(L, value, NULL);
            lua_replace(L, value);
        }
        pack_text(p, "a label", value);
        lua_settop(L, value - 1);
    }
}

/* As all ids are written: 32 lower-case digits, leading zeros restored. */
static void pack_trace_id(place *p, const char *what, int index) {
    size_t len = 0;
    const char *id = lua_type(p->L, index) == LUA_TSTRING ? lua_tolstring(p->L, index, &len) : NULL;
    if (id == NULL || len < 1 || len > 32 || strspn(id, "0123456789abcdefABCDEF") != len) {
        refuse(p, what, "must be a trace id, 32 hex digits");
    }
    char full[33];
    memset(full, '0', 32);
    for (size_t i = 0; i < len; i++) {
        char c = id[i];
        full[32 - len + i] = (char)(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
    }
    full[32] = '\0';
    sw_pack_str(p->pk, full);
}

static void pack_trace_field(place *p, const char *what, const char *name, int index) {
    char path[64];
    snprintf(path, sizeof(path), "%s.%s", what, name);
    sw_pack_str(p->pk, name);
    if (strcmp(name, "id") == 0) {
        pack_trace_id(p, path, index);
    } else if (strcmp(name, "start_ns") == 0) {
        if (!lua_isinteger(p->L, index)) {
            refuse_type(p, path, index, "a whole number");
        }
        pack_number(p, path, index, false);
    } else if (strcmp(name, "duration_ms") == 0) {
        pack_number(p, path, index, false);
    } else {
        pack_text(p, path, index);
    }
}

/* A reference: the id, and what the script's trace says of it. */
static void pack_trace(place *p, const char *what, int trace) {
    static const char *const names[] = {"id",          "service",       "operation", "start_ns",
                                        "duration_ms", "error_message", "span_name"};
    lua_State *L = p->L;
    if (!lua_istable(L, trace)) {
        refuse_type(p, what, trace, "a trace");
    }
    uint32_t n = 1;
    for (size_t i = 1; i < SW_ARRAY_LEN(names); i++) {
        n += push_field(p, trace, names[i]) != LUA_TNIL ? 1 : 0;
        lua_pop(L, 1);
    }
    count_values(p, 1 + 2 * (size_t)n);
    msgpack_pack_map(p->pk, n);
    for (size_t i = 0; i < SW_ARRAY_LEN(names); i++) {
        if (push_field(p, trace, names[i]) != LUA_TNIL || i == 0) {
            pack_trace_field(p, what, names[i], lua_gettop(L));
        }
        lua_pop(L, 1);
    }
}

static void pack_traces(place *p, int finding) {
    lua_State *L = p->L;
    bool one = push_field(p, finding, "trace") != LUA_TNIL;
    bool id = push_field(p, finding, "trace_id") != LUA_TNIL;
    bool many = push_field(p, finding, "traces") != LUA_TNIL;
    int top = lua_gettop(L);
    size_t n = 0;
    if (many && !(lua_istable(L, top) && (sw_values_is_list(L, top, &n) || n == 0))) {
        refuse_type(p, "traces", top, "a list of traces");
    }
    luaL_checkstack(L, 8, "finding");
    msgpack_pack_array(p->pk, n + one + id);
    if (one) {
        pack_trace(p, "trace", top - 2);
    }
    if (id) {
        msgpack_pack_map(p->pk, 1);
        sw_pack_str(p->pk, "id");
        pack_trace_id(p, "trace_id", top - 1);
    }
    for (size_t i = 1; i <= n; i++) {
        char what[40];
        snprintf(what, sizeof(what), "traces[%zu]", i);
        lua_rawgeti(L, top, (lua_Integer)i);
        pack_trace(p, what, top + 1);
        lua_settop(L, top);
    }
    lua_settop(L, top - 3);
}

static const struct field *find_field(const char *name) {
    for (size_t i = 0; i < SW_ARRAY_LEN(fields); i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return &fields[i];
        }
    }
    return NULL;
}

/* How many pairs the packed finding has. */
static uint32_t check_keys(place *p, int finding) {
    lua_State *L = p->L;
    uint32_t n = 0;
    bool traces = false;
    lua_pushnil(L);
    while (lua_next(L, finding) != 0) {
        lua_pop(L, 1);
        const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
        const struct field *field = name != NULL ? find_field(name) : NULL;
        if (field == NULL) {
            char why[600] = "is not known; known are type";
            for (size_t i = 1; i < SW_ARRAY_LEN(fields); i++) {
                size_t len = strlen(why);
                snprintf(why + len, sizeof(why) - len, ", %s", fields[i].name);
            }
            char what[100];
            snprintf(what, sizeof(what), "key '%.64s'", name != NULL ? name : luaL_typename(L, -1));
            refuse(p, what, why);
        } else if (field->type == FIELD_TRACES) {
            traces = true;
        } else {
            n++;
        }
    }
    return n + traces;
}

static void pack_field(place *p, const struct field *field, int index) {
    sw_pack_str(p->pk, field->name);
    switch (field->type) {
    case FIELD_TYPE:
        pack_type(p, index);
        return;
    case FIELD_SEVERITY:
        pack_severity(p, index);
        return;
    case FIELD_NUMBER:
    case FIELD_NOT_NEGATIVE:
        pack_number(p, field->name, index, field->type == FIELD_NUMBER);
        return;
    case FIELD_LABELS:
        pack_labels(p, index);
        return;
    default:
        pack_text(p, field->name, index);
    }
}

static void pack_finding(place *p, int finding) {
    lua_State *L = p->L;
    if (!lua_istable(L, finding)) {
        refuse_type(p, "it", finding, "a table");
    }
    uint32_t n = check_keys(p, finding);
    if (push_field(p, finding, "type") == LUA_TNIL) {
        refuse(p, "type", "is missing");
    }
    lua_pop(L, 1);
    count_values(p, 1 + 2 * (size_t)n);
    msgpack_pack_map(p->pk, n);
    bool traces = false;
    for (size_t i = 0; i < SW_ARRAY_LEN(fields); i++) {
        bool there = push_field(p, finding, fields[i].name) != LUA_TNIL;
        if (there && fields[i].type == FIELD_TRACES) {
            traces = true;
        } else if (there) {
            pack_field(p, &fields[i], lua_gettop(L));
        }
        lua_pop(L, 1);
    }
    if (traces) {
        sw_pack_str(p->pk, "traces");
        pack_traces(p, finding);
    }
}

void sw_findings_pack(lua_State *L, int index, msgpack_packer *pk) {
    place p = {.L = L, .pk = pk, .values_left = SW_WORKER_MAX_VALUES};
    size_t n = 0;
    index = lua_absindex(L, index);
    luaL_checkstack(L, 16, "findings");
    if (!sw_values_is_list(L, index, &n)) {
        if (push_field(&p, index, "type") != LUA_TNIL) {
            sw_shape_error(L, "check() returned a finding instead of a list of findings: put it into { }");
        }
        lua_pop(L, 1);
        lua_pushnil(L);
        if (lua_next(L, index) != 0) {
            sw_shape_error(L,
                           "check() returned a table that is not a list: findings are at 1, 2, 3 and so on");
        }
        n = 0;
    }
    if (n > SW_WORKER_MAX_FINDINGS) {
        sw_shape_error(L, "check() returned %zu findings; the most is %d", n, SW_WORKER_MAX_FINDINGS);
    }
    msgpack_pack_array(pk, n);
    for (size_t i = 1; i <= n; i++) {
        p.number = (lua_Integer)i;
        lua_rawgeti(L, index, p.number);
        pack_finding(&p, lua_gettop(L));
        lua_pop(L, 1);
    }
}
