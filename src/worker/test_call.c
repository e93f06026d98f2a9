/* The call TEST: what worker/test_dsl.lua needs of C, and the run of each test under limits of its own. */
#include "worker/test_call.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "worker/format.h"

#define MAX_TESTS 10000

/* Where the list of tests and the function that runs one lie in the registry. */
static char tests_key;
static char runner_key;

static const char dsl_source[] = {
#include "test_dsl.inc"
};

/* Runs a script's file in globals of its own, as a worker of its own would have, and leaves what it
 * returned. */
static void run_script(lua_State *L, const char *file, int source) {
    size_t len;
    const char *text = lua_tolstring(L, source, &len);
    sw_load_text(L, text, len, file);
    lua_newtable(L); /* the globals: those of the test file behind them */
    lua_createtable(L, 0, 1);
    lua_pushglobaltable(L);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "_G");
    lua_pushvalue(L, -1);
    sw_environment_push_require(L);
    lua_setfield(L, -2, "require");
    lua_setupvalue(L, -2, 1);
    lua_call(L, 0, 1);
}

static void set_wants(lua_State *L, const sw_description *description) {
    lua_createtable(L, 0, 3);
    lua_pushnumber(L, (lua_Number)description->wants_min_duration_ms);
    lua_setfield(L, -2, "min_duration_ms");
    lua_pushboolean(L, description->wants_errors);
    lua_setfield(L, -2, "errors");
    lua_pushboolean(L, description->wants_series);
    lua_setfield(L, -2, "series");
    lua_setfield(L, -2, "wants");
}

/* detector(file, source, config, state, state_version) → what LOAD would find out. */
static int host_detector(lua_State *L) {
    const char *file = luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    lua_settop(L, 5);
    run_script(L, file, 2);
    int table = lua_gettop(L);
    sw_description description;
    sw_values_copy(L, 3, "config");
    sw_detector_describe(L, table, table + 1, file, &description);
    int config = lua_gettop(L);
    sw_detector_take_state(L, table, 4, (int64_t)lua_tointeger(L, 5), &description);
    sw_values_copy(L, -1, "state");
    int state = lua_gettop(L);
    lua_createtable(L, 0, 6);
    lua_pushstring(L, description.name);
    lua_setfield(L, -2, "name");
    lua_pushvalue(L, config);
    lua_setfield(L, -2, "config");
    lua_pushvalue(L, state);
    lua_setfield(L, -2, "state");
    lua_pushinteger(L, (lua_Integer)description.state_version);
    lua_setfield(L, -2, "state_version");
    set_wants(L, &description);
    lua_pushliteral(L, "check");
    lua_rawget(L, table);
    lua_setfield(L, -2, "check");
    return 1;
}

/* formatter(file, source) → its function, content type */
static int host_formatter(lua_State *L) {
    const char *file = luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    run_script(L, file, 2);
    char content_type[SW_CONTENT_TYPE_SIZE];
    sw_formatter_describe(L, lua_gettop(L), file, content_type);
    lua_pushstring(L, content_type);
    return 2;
}

/* body(what format returned) → the text that would be sent, and the path that comes behind the URL */
static int host_body(lua_State *L) {
    lua_settop(L, 2);
    sw_formatter_url_suffix(L);
    lua_insert(L, 1);
    sw_formatter_body(L);
    lua_insert(L, 1);
    return 2;
}

static int host_copy(lua_State *L) {
    sw_values_copy(L, 1, luaL_checkstring(L, 2));
    return 1;
}

/* judge(findings, reason) → true, or false when the detector cannot tell; raises when these are neither. */
static int host_judge(lua_State *L) {
    lua_settop(L, 2);
    const char *reason;
    bool judged = sw_detector_judged(L, 1, &reason);
    if (judged) {
        msgpack_sbuffer *scratch = sw_scratch_push(L);
        msgpack_packer packer;
        msgpack_packer_init(&packer, scratch, sw_pack_write);
        sw_findings_pack(L, 1, &packer);
        sw_scratch_free(scratch);
    }
    lua_pushboolean(L, judged);
    return 1;
}

/* A host function of a test's; upvalues: op, the function that answers. Misuse raises as in the agent. */
static int ask_test(lua_State *L) {
    msgpack_packer packer;
    lua_settop(L, 2);
    msgpack_sbuffer *scratch = sw_scratch_push(L);
    msgpack_packer_init(&packer, scratch, sw_pack_write);
    sw_options_pack(L, lua_tostring(L, lua_upvalueindex(1)), &packer);
    sw_scratch_free(scratch);
    lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    lua_call(L, 2, LUA_MULTRET);
    return lua_gettop(L);
}

/* asking(op, answer) → function(options) */
static int host_asking(lua_State *L) {
    luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    lua_pushcclosure(L, ask_test, 2);
    return 1;
}

static int host_context(lua_State *L) {
    sw_context_push(L);
    return 1;
}

static int host_dress(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    sw_window_dress(L, 1);
    return 1;
}

/* begin(logs, explained): from here on ctx.log and ctx.explain append to these lists. */
static int host_begin(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    sw_context_explain(L);
    sw_context_set_log_sink(L);
    sw_context_reset(L);
    return 0;
}

/* finish() → what ctx.metric took. */
static int host_finish(lua_State *L) {
    lua_pushnil(L);
    sw_context_set_log_sink(L);
    lua_pushnil(L);
    sw_context_explain(L);
    sw_context_push_metrics(L);
    return 1;
}

static int host_set_now(lua_State *L) {
    sw_worker_of(L)->now = (double)luaL_checknumber(L, 1);
    return 0;
}

static const luaL_Reg host_functions[] = {
    {"detector", host_detector},   {"copy", host_copy},       {"judge", host_judge},
    {"asking", host_asking},       {"context", host_context}, {"dress", host_dress},
    {"begin", host_begin},         {"finish", host_finish},   {"set_now", host_set_now},
    {"formatter", host_formatter}, {"body", host_body},       {NULL, NULL},
};

/* Runs the file, which names its tests. */
int sw_call_test(lua_State *L) {
    sw_push_payload(L);
    if (luaL_loadbufferx(L, dsl_source, sizeof(dsl_source), "=test", "t") != LUA_OK) {
        return lua_error(L);
    }
    luaL_newlib(L, host_functions);
    if (lua_getfield(L, 1, "detectors") != LUA_TTABLE) {
        lua_newtable(L);
        lua_replace(L, -2);
    }
    lua_call(L, 2, 2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &runner_key);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &tests_key);
    sw_run_source(L);
    return 0;
}

/* One test under way. */
typedef struct test_run {
    lua_Integer number;
    lua_Integer count;
    char name[512];
} test_run;

static int count_tests(lua_State *L) {
    test_run *run = lua_touserdata(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &tests_key);
    run->count = (lua_Integer)lua_rawlen(L, -1);
    return 0;
}

static int name_test(lua_State *L) {
    test_run *run = lua_touserdata(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &tests_key);
    lua_rawgeti(L, -1, run->number);
    lua_getfield(L, -1, "name");
    size_t len;
    const char *name = luaL_checklstring(L, -1, &len);
    len = len < sizeof(run->name) ? len : sizeof(run->name) - 1;
    memcpy(run->name, name, len);
    run->name[len] = '\0';
    return 0;
}

static int run_test(lua_State *L) {
    test_run *run = lua_touserdata(L, 1);
    lua_pushnil(L);
    sw_context_set_log_sink(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &runner_key);
    lua_pushinteger(L, run->number);
    lua_call(L, 1, 0);
    return 0;
}

static double mono_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void pack_result(sw_worker *worker, const test_run *run, int failed, double duration_ms) {
    msgpack_packer *pk = &worker->reply.packer;
    msgpack_pack_map(pk, 4);
    sw_pack_str(pk, "name");
    sw_pack_text(pk, run->name, strlen(run->name), sizeof(run->name));
    sw_pack_key_bool(pk, "ok", !failed);
    sw_pack_str(pk, "message");
    sw_pack_text(pk, worker->message, failed ? strlen(worker->message) : 0, SW_WORKER_MAX_ERROR);
    sw_pack_key_num(pk, "duration_ms", duration_ms);
}

int sw_run_tests(sw_worker *worker) {
    test_run run = {.number = 0};
    if (sw_protected(worker, count_tests, &run) != 0) {
        return -1;
    }
    run.count = run.count > MAX_TESTS ? MAX_TESTS : run.count;
    msgpack_packer *pk = &worker->reply.packer;
    msgpack_pack_map(pk, 2);
    sw_pack_key_bool(pk, "ok", true);
    sw_pack_str(pk, "tests");
    msgpack_pack_array(pk, (size_t)run.count);
    for (run.number = 1; run.number <= run.count && !worker->closed; run.number++) {
        if (sw_protected(worker, name_test, &run) != 0) {
            return -1;
        }
        worker->logged = 0;
        double started = mono_ms();
        int failed = sw_protected(worker, run_test, &run);
        pack_result(worker, &run, failed, mono_ms() - started);
    }
    return 0;
}
