/* The calls LOAD, CHECK and CONFIG. */
#include "worker/internal.h"

#include <stdio.h>
#include <string.h>

/* Where the detector's table lies in the registry. */
static char detector_key;

/* Pushes the payload's table; pops nothing. The argument is gone from the stack. */
void sw_push_payload(lua_State *L) {
    sw_cursor payload = *(sw_cursor *)lua_touserdata(L, 1);
    lua_settop(L, 0);
    sw_values_push(L, &payload);
}

/* Pushes the payload's text; raises when it is none. */
static const char *push_text(lua_State *L, const char *key, size_t *len) {
    lua_getfield(L, 1, key);
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, len) : NULL;
    if (text == NULL) {
        luaL_error(L, "the host sent no %s", key);
    }
    return text;
}

/* Runs the source of the payload at 1 and leaves what it returned on the stack; gives its path (also there).
 */
const char *sw_run_source(lua_State *L) {
    size_t source_len = 0, path_len = 0;
    const char *path = push_text(L, "path", &path_len);
    const char *source = push_text(L, "source", &source_len);
    sw_load_text(L, source, source_len, path);
    lua_call(L, 0, 1);
    return path;
}

static void pack_wants(msgpack_packer *pk, const sw_description *description) {
    sw_pack_str(pk, "wants");
    msgpack_pack_map(pk, 3);
    sw_pack_key_num(pk, "min_duration_ms", description->wants_min_duration_ms);
    sw_pack_key_bool(pk, "errors", description->wants_errors);
    sw_pack_key_bool(pk, "series", description->wants_series);
}

static void pack_sources(msgpack_packer *pk, unsigned sources) {
    size_t n = 0;
    for (unsigned i = 0; i < SW_SOURCES; i++) {
        n += sources >> i & 1U;
    }
    sw_pack_str(pk, "sources");
    msgpack_pack_array(pk, n);
    for (unsigned i = 0; i < SW_SOURCES; i++) {
        if ((sources >> i & 1U) != 0) {
            sw_pack_str(pk, sw_source_names[i]);
        }
    }
}

int sw_call_load(lua_State *L) {
    sw_worker *worker = sw_worker_of(L);
    sw_push_payload(L);
    const char *path = sw_run_source(L);
    int detector = lua_gettop(L);
    lua_getfield(L, 1, "config");
    lua_getfield(L, 1, "state");
    lua_getfield(L, 1, "state_version");
    int64_t version = (int64_t)lua_tointeger(L, -1);
    sw_description description;
    sw_detector_describe(L, detector, detector + 1, path, &description);
    sw_values_store(L, -1, "config", &worker->config);
    bool migrated = sw_detector_take_state(L, detector, detector + 2, version, &description);
    sw_values_store(L, -1, "state", &worker->state);
    lua_pushvalue(L, detector);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &detector_key);
    worker->loaded = true;

    msgpack_packer *pk = &worker->reply.packer;
    msgpack_pack_map(pk, 8);
    sw_pack_key_bool(pk, "ok", true);
    sw_pack_key_str(pk, "name", description.name);
    sw_pack_key_num(pk, "every_s", description.every_s);
    sw_pack_key_bool(pk, "revisions", description.revisions);
    pack_wants(pk, &description);
    pack_sources(pk, description.sources);
    sw_pack_key_int(pk, "state_version", description.state_version);
    sw_pack_key_bool(pk, "migrated", migrated);
    return 0;
}

static void push_stored(lua_State *L, const msgpack_sbuffer *stored) {
    sw_cursor cursor;
    sw_cursor_init(&cursor, stored->data, stored->size);
    sw_values_push(L, &cursor);
}

/* Of the window at the top: what ctx.search and ctx.trace ask unless told otherwise. */
static void note_source(lua_State *L, sw_worker *worker) {
    lua_getfield(L, -1, "source");
    const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    snprintf(worker->source, sizeof worker->source, "%s", sw_source_named(name) >= 0 ? name : "");
    lua_pop(L, 1);
}

/* Pushes ctx, made of the payload at 1. */
static void push_context(lua_State *L, sw_worker *worker) {
    sw_context_push(L);
    lua_getfield(L, 1, "window");
    if (!lua_istable(L, -1)) {
        luaL_error(L, "the host sent no window");
    }
    sw_window_dress(L, -1);
    note_source(L, worker);
    lua_setfield(L, -2, "window");
    push_stored(L, &worker->config);
    lua_setfield(L, -2, "config");
    push_stored(L, &worker->state);
    lua_setfield(L, -2, "state");
    lua_pushnumber(L, (lua_Number)worker->now);
    lua_setfield(L, -2, "now");
}

static void read_trial(lua_State *L, sw_worker *worker) {
    lua_getfield(L, 1, "now");
    lua_getfield(L, 1, "dry");
    lua_getfield(L, 1, "explain");
    worker->now = (double)lua_tonumber(L, -3);
    worker->explaining = lua_toboolean(L, -1) != 0;
    worker->dry = worker->explaining || lua_toboolean(L, -2) != 0;
    lua_pop(L, 3);
}

static void pack_found(lua_State *L, msgpack_packer *pk, int first, bool judged, const char *reason) {
    if (judged) {
        sw_pack_str(pk, "findings");
        sw_findings_pack(L, first, pk);
    } else {
        sw_pack_str(pk, "unknown");
        sw_pack_text(pk, reason, strlen(reason), 1024);
    }
}

/* What an explanation consists of, but for the usage. */
static void pack_explanation(lua_State *L, sw_worker *worker, int first, bool judged, const char *reason) {
    msgpack_packer *pk = &worker->reply.packer;
    msgpack_pack_map(pk, 5);
    sw_pack_key_bool(pk, "ok", true);
    pack_found(L, pk, first, judged, reason);
    sw_pack_str(pk, "explained");
    sw_context_pack_explained(L, pk);
    sw_pack_str(pk, "config");
    sw_pack_write(&worker->reply.bytes, worker->config.data, worker->config.size);
}

/* The pairs of the reply but for the usage; results of check() at `first`, its state at the top. */
static void pack_judgement(lua_State *L, sw_worker *worker, int first, bool judged, const char *reason) {
    msgpack_packer *pk = &worker->reply.packer;
    msgpack_pack_map(pk, 5);
    sw_pack_key_bool(pk, "ok", true);
    pack_found(L, pk, first, judged, reason);
    sw_values_writer writer;
    sw_pack_str(pk, "metrics");
    sw_context_push_metrics(L);
    if (lua_rawlen(L, -1) == 0) {
        msgpack_pack_array(pk, 0);
    } else {
        sw_values_begin(&writer, pk, &worker->reply.bytes, "metrics");
        sw_values_pack(L, -1, &writer);
    }
    lua_pop(L, 1);
    sw_values_store(L, -1, "state", &worker->next_state);
    sw_pack_str(pk, "state");
    sw_pack_write(&worker->reply.bytes, worker->next_state.data, worker->next_state.size);
}

int sw_call_check(lua_State *L) {
    sw_worker *worker = sw_worker_of(L);
    sw_push_payload(L);
    read_trial(L, worker);
    sw_context_reset(L);
    if (worker->explaining) {
        lua_newtable(L);
    } else {
        lua_pushnil(L);
    }
    sw_context_explain(L);
    push_context(L, worker);
    int context = lua_gettop(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &detector_key);
    lua_pushliteral(L, "check");
    lua_rawget(L, -2);
    lua_pushvalue(L, context);
    lua_call(L, 1, 2);
    int first = lua_gettop(L) - 1;
    const char *reason = NULL;
    bool judged = sw_detector_judged(L, first, &reason);
    lua_pushliteral(L, "state");
    if (lua_rawget(L, context) != LUA_TTABLE) {
        return sw_shape_error(L, "ctx.state is a %s; it must be a table", luaL_typename(L, -1));
    }
    if (worker->explaining) {
        pack_explanation(L, worker, first, judged, reason);
    } else {
        pack_judgement(L, worker, first, judged, reason);
    }
    return 0;
}

/* env(name, default); upvalue: what the host gave. */
static int config_env(lua_State *L) {
    luaL_checkstring(L, 1);
    lua_settop(L, 2);
    lua_pushvalue(L, 1);
    if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNIL) {
        lua_settop(L, 2);
    }
    return 1;
}

int sw_call_config(lua_State *L) {
    sw_worker *worker = sw_worker_of(L);
    sw_push_payload(L);
    if (lua_getfield(L, 1, "env") != LUA_TTABLE) {
        lua_newtable(L);
        lua_replace(L, -2);
    }
    lua_pushcclosure(L, config_env, 1);
    lua_setglobal(L, "env");
    const char *path = sw_run_source(L);
    if (!lua_istable(L, -1)) {
        return sw_shape_error(L, "%s: must return a table (it returns %s)", path,
                              lua_isnil(L, -1) ? "nothing" : luaL_typename(L, -1));
    }
    lua_pushfstring(L, "%s: config", path);
    lua_insert(L, -2);
    msgpack_packer *pk = &worker->reply.packer;
    msgpack_pack_map(pk, 2);
    sw_pack_key_bool(pk, "ok", true);
    sw_pack_str(pk, "config");
    sw_values_writer writer;
    sw_values_begin(&writer, pk, &worker->reply.bytes, lua_tostring(L, -2));
    sw_values_pack(L, -1, &writer);
    return 0;
}
