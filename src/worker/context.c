/* What ctx holds besides window, state, config and now: log, metric, explain, search, trace, tempo, http. */
#include "worker/internal.h"

#include <math.h>
#include <string.h>

/* Keys in the registry, by address. */
static char functions_key; /* what every ctx gets */
static char metrics_key;
static char sink_key;
static char explained_key;
static char series_key; /* metatable of series */

/* Pushes a table of text made of the fields at index 2; its index, or 0 when there are none. */
static int take_fields(lua_State *L) {
    if (lua_isnoneornil(L, 2)) {
        return 0;
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_newtable(L);
    int copy = lua_gettop(L);
    int n = 0;
    lua_pushnil(L);
    while (lua_next(L, 2) != 0) {
        int type = lua_type(L, -1);
        if (lua_type(L, -2) != LUA_TSTRING) {
            return luaL_error(L, "the name of a log field is a %s; it must be text", luaL_typename(L, -2));
        }
        if (type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TBOOLEAN) {
            return luaL_error(L, "log field '%s' is a %s; it must be text, a number or a boolean",
                              lua_tostring(L, -2), luaL_typename(L, -1));
        }
        if (++n > SW_WORKER_MAX_LOG_FIELDS) {
            return luaL_error(L, "more than %d log fields", SW_WORKER_MAX_LOG_FIELDS);
        }
        luaL_tolstring(L, -1, NULL);
        lua_setfield(L, copy, lua_tostring(L, -3));
        lua_pop(L, 1);
    }
    return copy;
}

static void log_to_sink(lua_State *L, const char *level, int message, int fields) {
    lua_createtable(L, 0, 3);
    lua_pushstring(L, level);
    lua_setfield(L, -2, "level");
    lua_pushvalue(L, message);
    lua_setfield(L, -2, "message");
    if (fields != 0) {
        lua_pushvalue(L, fields);
    } else {
        lua_newtable(L);
    }
    lua_setfield(L, -2, "fields");
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static int write_log(lua_State *L, const char *level) {
    size_t len;
    const char *message = luaL_checklstring(L, 1, &len);
    lua_settop(L, 2);
    int fields = take_fields(L);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &sink_key) == LUA_TTABLE) {
        log_to_sink(L, level, 1, fields);
    } else {
        sw_channel_log(sw_worker_of(L), L, level, message, len, fields);
    }
    return 0;
}

static int log_debug(lua_State *L) {
    return write_log(L, "debug");
}

static int log_info(lua_State *L) {
    return write_log(L, "info");
}

static int log_warn(lua_State *L) {
    return write_log(L, "warn");
}

static int log_error(lua_State *L) {
    return write_log(L, "error");
}

/* ctx.log(message, fields) itself: level info. */
static int log_call(lua_State *L) {
    lua_remove(L, 1);
    return write_log(L, "info");
}

static bool is_metric_name(const char *name, size_t len, bool colon) {
    if (len == 0 || len > 128 || (name[0] >= '0' && name[0] <= '9')) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '_' &&
            !(colon && c == ':')) {
            return false;
        }
    }
    return true;
}

static bool is_agents_metric(const char *name) {
    static const char *const prefixes[] = {"spanwatch_", "trace_anomalies_", "trace_alert_"};
    for (size_t i = 0; i < SW_ARRAY_LEN(prefixes); i++) {
        if (sw_starts_with(name, prefixes[i])) {
            return true;
        }
    }
    return false;
}

/* Pushes a table of text made of the labels at index 3. */
static void take_labels(lua_State *L) {
    lua_newtable(L);
    int copy = lua_gettop(L);
    if (lua_isnoneornil(L, 3)) {
        return;
    }
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_pushnil(L);
    for (int n = 0; lua_next(L, 3) != 0; n++) {
        size_t len = 0;
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &len) : NULL;
        if (name == NULL || !is_metric_name(name, len, false) || sw_starts_with(name, "__") ||
            strcmp(name, "detector") == 0) {
            luaL_error(L, "'%s' is not a label name of a metric's own",
                       name != NULL ? name : luaL_typename(L, -2));
        }
        int type = lua_type(L, -1);
        if (type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TBOOLEAN) {
            luaL_error(L, "label '%s' is a %s; it must be text", name, luaL_typename(L, -1));
        }
        if (n == 16) {
            luaL_error(L, "a metric has at most 16 labels");
        }
        luaL_tolstring(L, -1, NULL);
        lua_setfield(L, copy, name);
        lua_pop(L, 1);
    }
}

static int context_metric(lua_State *L) {
    size_t len;
    const char *name = luaL_checklstring(L, 1, &len);
    lua_Number value = luaL_checknumber(L, 2);
    lua_settop(L, 3);
    luaL_argcheck(L, is_metric_name(name, len, true), 1, "not a Prometheus metric name");
    luaL_argcheck(L, !is_agents_metric(name), 1, "the name belongs to the agent");
    luaL_argcheck(L, isfinite((double)value), 2, "not a finite number");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &metrics_key);
    int metrics = lua_gettop(L);
    lua_Integer n = (lua_Integer)lua_rawlen(L, metrics);
    if (n == SW_WORKER_MAX_METRICS) {
        return luaL_error(L, "more than %d metrics in one call", SW_WORKER_MAX_METRICS);
    }
    lua_createtable(L, 0, 3);
    take_labels(L);
    lua_setfield(L, -2, "labels");
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "name");
    lua_pushnumber(L, value);
    lua_setfield(L, -2, "value");
    lua_rawseti(L, metrics, n + 1);
    return 0;
}

/* ctx.explain(format, ...): what string.format() makes of it, where somebody asked for an explanation. */
static int context_explain(lua_State *L) {
    luaL_checktype(L, 1, LUA_TSTRING);
    int n_arguments = lua_gettop(L);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &explained_key) != LUA_TTABLE) {
        return 0;
    }
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1) + 1;
    lua_insert(L, 1);
    if (n > SW_WORKER_MAX_EXPLAINED) {
        lua_pushliteral(L, "(further explanations are left out)");
        lua_rawseti(L, 1, SW_WORKER_MAX_EXPLAINED + 1);
        return 0;
    }
    luaL_getmetafield(L, 2, "__index");
    lua_getfield(L, -1, "format");
    lua_replace(L, -2);
    lua_insert(L, 2);
    lua_call(L, n_arguments, 1);
    luaL_tolstring(L, -1, NULL);
    lua_rawseti(L, 1, n);
    return 0;
}

/* One host function; upvalue: what it is called in the protocol. */
static int ask(lua_State *L) {
    sw_worker *worker = sw_worker_of(L);
    const char *op = lua_tostring(L, lua_upvalueindex(1));
    sw_channel_ask_begin(worker, op);
    sw_options_pack(L, op, &worker->side.packer);
    if (worker->dry) {
        lua_pushnil(L);
        lua_pushliteral(L, "a trial call before a reload asks nothing");
        lua_pushliteral(L, "dry");
        return 3;
    }
    return sw_channel_ask_end(worker, L);
}

static void push_ask(lua_State *L, const char *op) {
    lua_pushstring(L, op);
    lua_pushcclosure(L, ask, 1);
}

static void push_group(lua_State *L, const char *const names[][2], size_t n) {
    lua_createtable(L, 0, (int)n);
    for (size_t i = 0; i < n; i++) {
        push_ask(L, names[i][1]);
        lua_setfield(L, -2, names[i][0]);
    }
}

static void push_log(lua_State *L) {
    static const luaL_Reg levels[] = {
        {"debug", log_debug}, {"info", log_info}, {"warn", log_warn}, {"error", log_error}, {NULL, NULL},
    };
    luaL_newlib(L, levels);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, log_call);
    lua_setfield(L, -2, "__call");
    lua_setmetatable(L, -2);
}

/* One bucket of those at stack index 3. */
static void read_bucket(lua_State *L, lua_Integer i, double bucket[3]) {
    luaL_argcheck(L, lua_rawgeti(L, 3, i) == LUA_TTABLE, 1, "a bucket is {lower_ms, upper_ms, count}");
    for (int part = 0; part < 3; part++) {
        lua_rawgeti(L, 4, part + 1);
        bucket[part] = (double)lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    lua_settop(L, 3);
}

/* Latency that a share p stayed under: linear within the bucket. */
static int series_quantile(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Number p = luaL_checknumber(L, 2);
    luaL_argcheck(L, p >= 0 && p <= 1, 2, "must be within 0 and 1");
    lua_settop(L, 2);
    luaL_argcheck(L, lua_getfield(L, 1, "buckets") == LUA_TTABLE, 1, "a series has buckets");
    lua_Integer n = (lua_Integer)lua_rawlen(L, 3);
    double bucket[3], total = 0, below = 0, result = 0;
    for (lua_Integer i = 1; i <= n; i++) {
        read_bucket(L, i, bucket);
        total += bucket[2] > 0 ? bucket[2] : 0;
    }
    double target = (double)p * total;
    for (lua_Integer i = 1; i <= n && total > 0; i++) {
        read_bucket(L, i, bucket);
        if (!(bucket[2] > 0)) {
            continue;
        }
        bool inside = below + bucket[2] >= target;
        double share = inside ? (target - below) / bucket[2] : 1;
        result = isfinite(bucket[1]) ? bucket[0] + (bucket[1] - bucket[0]) * share : bucket[0];
        if (inside) {
            break;
        }
        below += bucket[2];
    }
    if (total > 0) {
        lua_pushnumber(L, result);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

void sw_window_dress(lua_State *L, int index) {
    index = lua_absindex(L, index);
    lua_pushliteral(L, "series");
    if (lua_rawget(L, index) == LUA_TTABLE) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, &series_key);
        lua_Integer n = (lua_Integer)lua_rawlen(L, -2);
        for (lua_Integer i = 1; i <= n; i++) {
            if (lua_rawgeti(L, -2, i) == LUA_TTABLE) {
                lua_pushvalue(L, -2);
                lua_setmetatable(L, -2);
            }
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

void sw_context_open(lua_State *L) {
    static const char *const tempo[][2] = {
        {"search", "tempo.search"}, {"metrics", "tempo.metrics"}, {"trace", "tempo.trace"}};
    static const char *const http[][2] = {{"get", "http.get"}, {"post", "http.post"}};
    lua_createtable(L, 0, 7);
    push_log(L);
    lua_setfield(L, -2, "log");
    lua_pushcfunction(L, context_metric);
    lua_setfield(L, -2, "metric");
    lua_pushcfunction(L, context_explain);
    lua_setfield(L, -2, "explain");
    push_ask(L, "search");
    lua_setfield(L, -2, "search");
    push_ask(L, "trace");
    lua_setfield(L, -2, "trace");
    push_group(L, tempo, SW_ARRAY_LEN(tempo));
    lua_setfield(L, -2, "tempo");
    push_group(L, http, SW_ARRAY_LEN(http));
    lua_setfield(L, -2, "http");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &functions_key);

    lua_createtable(L, 0, 1);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, series_quantile);
    lua_setfield(L, -2, "quantile");
    lua_setfield(L, -2, "__index");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &series_key);
    sw_context_reset(L);
}

void sw_context_push(lua_State *L) {
    static const char *const names[] = {"log", "metric", "explain", "search", "trace", "tempo", "http"};
    lua_createtable(L, 0, 11);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &functions_key);
    for (size_t i = 0; i < SW_ARRAY_LEN(names); i++) {
        lua_getfield(L, -1, names[i]);
        lua_setfield(L, -3, names[i]);
    }
    lua_pop(L, 1);
}

void sw_context_push_metrics(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &metrics_key);
}

void sw_context_reset(lua_State *L) {
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &metrics_key);
}

void sw_context_set_log_sink(lua_State *L) {
    lua_rawsetp(L, LUA_REGISTRYINDEX, &sink_key);
}

void sw_context_explain(lua_State *L) {
    lua_rawsetp(L, LUA_REGISTRYINDEX, &explained_key);
}

void sw_context_pack_explained(lua_State *L, msgpack_packer *pk) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &explained_key);
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    msgpack_pack_array(pk, (size_t)n);
    for (lua_Integer i = 1; i <= n; i++) {
        size_t len = 0;
        lua_rawgeti(L, -1, i);
        const char *text = lua_tolstring(L, -1, &len);
        sw_pack_text(pk, text, len, SW_WORKER_MAX_EXPLAINED_TEXT);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}
