/* Scripts that mean harm. Each either ends within a soft limit, is refused, or is named here as left to the
 * host's kill. */
#include "harness.h"

/* Each runs as the body of check(). */
static const struct {
    const char *name;
    const char *kind; /* of the error; NULL: the call succeeds */
    const char *part; /* in the message */
    const char *body;
} cases[] = {
    /* Time. */
    {"endless loop", "cpu", "h.lua:2: ", "while true do end"},
    {"goto", "cpu", "h.lua:2: ", "::again:: goto again"},
    {"for over a huge range", "cpu", "h.lua:2: ", "for i = 1, math.maxinteger do end"},
    {"loop in pcall, for ever", "cpu",
     "h.lua:2: ", "while true do pcall(function() while true do end end) end"},
    {"nested pcall", "cpu", "h.lua:2: ",
     "local function f() while true do pcall(pcall, pcall, function() while true do end end) end end f()"},
    {"pcall swallows and goes on", "cpu",
     "h.lua:2: ", "pcall(function() while true do end end) ctx.state.survived = true return {}"},
    {"pcall swallows as the last thing", "cpu",
     "h.lua:2: ", "return {}, pcall(function() while true do end end)"},
    {"endless error handler", "cpu",
     "h.lua:2: ", "xpcall(function() while true do end end, function() while true do end end)"},
    {"handler of an ordinary error", "cpu", "h.lua:2: ", "xpcall(error, function() while true do end end)"},
    {"handler that fails for ever", "cpu",
     "h.lua:2: ", "while true do xpcall(error, function() error('again') end) end"},
    {"handlers in handlers", "cpu",
     "h.lua:2: ", "local function h() xpcall(error, h) while true do end end xpcall(error, h)"},
    {"__close", "cpu", "h.lua:3: ",
     "local t = setmetatable({}, {__close = function() while true do end end})\n"
     "do local x <close> = t while true do end end"},
    {"__close after an error", "cpu", "h.lua:2: ",
     "local t = setmetatable({}, {__close = function() while true do end end})\n"
     "pcall(function() local x <close> = t error('x') end)"},
    {"many __close", "cpu", "",
     "local t = setmetatable({}, {__close = function() pcall(function() while true do end end) end})\n"
     "while true do local a <close>, b = t local c <close> = t end"},
    {"coroutine", "cpu", "h.lua:2: ",
     "local co = coroutine.create(function() while true do end end) coroutine.resume(co) return {}"},
    {"nested coroutines in pcall", "cpu", "",
     "local function dive(n) if n == 0 then while true do end end\n"
     "while true do pcall(coroutine.wrap(function() dive(n - 1) end)) end end dive(20)"},
    {"yielding for ever", "cpu", "",
     "local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end"},
    {"new coroutines for ever", "cpu", "",
     "while true do coroutine.resume(coroutine.create(function() local x <close> = setmetatable({}, "
     "{__close = function() while true do end end}) while true do end end)) end"},
    {"closing a coroutine that loops", "cpu", "",
     "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() "
     "while true do end end}) coroutine.yield() end) coroutine.resume(co) coroutine.close(co)"},
    {"closing a coroutine that the limit ended", "cpu", "",
     "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() "
     "while true do end end}) while true do end end)\n"
     "pcall(coroutine.resume, co) pcall(coroutine.close, co) return {}"},
    {"iterator of coroutine.wrap", "cpu", "h.lua:2: ",
     "for x in coroutine.wrap(function() while true do pcall(coroutine.yield, 1) end end) do end"},
    {"sort comparator", "cpu", "h.lua:2: ", "table.sort({1, 2, 3, 4}, function() while true do end end)"},
    {"sort comparator in pcall", "cpu", "",
     "while true do pcall(table.sort, {3, 2, 1}, function() while true do end end) end"},
    {"gsub callback", "cpu", "h.lua:2: ", "string.gsub('aaa', 'a', function() while true do end end)"},
    {"__index", "cpu",
     "h.lua:2: ", "local t = setmetatable({}, {__index = function() while true do end end}) return t.x"},
    {"__index that asks itself", "runtime", "overflow",
     "local t t = setmetatable({}, {__index = function(_, k) return t[k] end}) return t.x"},
    {"__eq, __lt, __concat", "cpu", "",
     "local m = {__eq = function() while true do pcall(error) end end} "
     "return setmetatable({}, m) == setmetatable({}, m)"},
    {"__tostring of the error", "cpu",
     "h.lua:2: ", "error(setmetatable({}, {__tostring = function() while true do end end}))"},
    {"__pairs", "cpu",
     "h.lua:2: ", "for k in pairs(setmetatable({}, {__pairs = function() while true do end end})) do end"},
    {"string method", "cpu", "", "while true do local s = ('x'):upper():rep(10):sub(2) end"},
    {"load with an endless reader", "cpu", "h.lua:2: ", "load(function() while true do end end) return {}"},
    {"load of empty pieces", "cpu", "", "load(function() return ' ' end) return {}"},
    {"tail calls", "cpu", "h.lua:2: ", "local function f() return f() end return f()"},
    {"collector as a loop", "cpu", "", "while true do collectgarbage() end"},
    /* Memory. */
    {"string doubling", "memory", "h.lua:2: out of memory", "local s = 'x' while true do s = s .. s end"},
    {"table", "memory", "h.lua:2: out of memory", "local t = {} for i = 1, math.huge do t[i] = i end"},
    {"tables in tables", "memory", "h.lua:2: ", "local t = {} while true do t = {t, {}} end"},
    {"recursion", "runtime|memory", "h.lua:2: ", "local function f(n) return 1 + f(n) end f(1)"},
    {"recursion with much on the stack", NULL, NULL,
     "local ok, e = pcall(function() local function f(...) return 1, f(1, ...) end f() end) return ok and "
     "{{}} or {}"},
    {"many coroutines", "memory",
     "h.lua:2: ", "local t = {} while true do t[#t + 1] = coroutine.create(print) end"},
    {"string.rep", "memory", "h.lua:2: ", "return string.rep('x', 1 << 30)"},
    {"string.rep of much", "runtime", "too large", "return string.rep('xxxxxxxx', math.maxinteger)"},
    {"string.format", "runtime", "", "return string.format('%9999999d', 1)"},
    {"table.concat", "memory",
     "h.lua:2: ", "local s = ('x'):rep(1 << 20) return table.concat({s, s, s, s, s, s, s, s, s})"},
    {"memory in pcall, for ever", "cpu", "", "while true do pcall(string.rep, 'x', 1 << 40) end"},
    {"memory error swallowed", NULL, NULL, "pcall(string.rep, 'x', 1 << 40) return {}"},
    {"table.unpack", "runtime", "too many results", "return table.unpack({}, 1, 1e8)"},
    {"utf8.char of much", NULL, NULL, "pcall(utf8.char, table.unpack({}, 1, 200)) return {}"},
    {"large log", NULL, NULL, "ctx.log.info(('x'):rep(1000000)) return {}"},
    {"log flood", "cpu", "", "while true do ctx.log.info('x') end"},
    {"json of much", "memory", "", "local s = '[' .. ('[],'):rep(400000) .. '[]]' return json.decode(s)"},
    /* The C stack. */
    {"nested coroutines", "runtime", "C stack overflow",
     "local function f() return coroutine.wrap(f)() end f()"},
    {"nested gsub", "runtime", "C stack overflow",
     "local function f() return (string.gsub('a', 'a', f)) end f()"},
    {"deep pattern", "runtime", "pattern too complex",
     "return string.find(('a'):rep(300000), ('(a'):rep(20) .. ('a?'):rep(100000))"},
    {"deep parentheses", NULL, NULL,
     "local f, e = load('return ' .. ('('):rep(100000)) assert(not f) return {}"},
    {"deep blocks", NULL, NULL, "local f, e = load(('do '):rep(100000)) assert(not f) return {}"},
    {"chain of coroutine.close", NULL, NULL,
     "local prev for i = 1, 5000 do local p = prev local co = coroutine.create(function() "
     "local x <close> = setmetatable({}, {__close = function() if p then coroutine.close(p) end end}) "
     "coroutine.yield() end) coroutine.resume(co) prev = co end coroutine.close(prev) return {}"},
    {"close, dive, close", NULL, NULL,
     "local function closer(n) local co = coroutine.create(function() local x <close> = setmetatable({}, "
     "{__close = "
     "function() local function dive(d) if d == 0 then if n > 0 then closer(n - 1) end else "
     "coroutine.wrap(dive)(d - 1) end end dive(150) end}) coroutine.yield() end) coroutine.resume(co) "
     "coroutine.close(co) end closer(100) return {}"},
    {"nested json", NULL, NULL, "assert(json.decode(('['):rep(100000)) == nil) return {}"},
    {"nested table to json", "runtime", "contains itself", "local t = {} t.t = t return json.encode(t)"},
    /* Getting out. */
    {"os", NULL, NULL,
     "for k in pairs(os) do assert(k == 'time' or k == 'date' or k == 'clock', k) end return {}"},
    {"what is not there", NULL, NULL,
     "assert(io == nil and debug == nil and package == nil and dofile == nil and loadfile == nil and "
     "loadstring == nil and string.dump == nil and env == nil and test == nil) return {}"},
    {"bytecode in load", NULL, NULL,
     "local f, e = load('\\27Lua', 'x', 'b') assert(f == nil and e:find('binary')) "
     "f, e = load('\\27Lua', 'x', 'bt') assert(f == nil) "
     "f, e = load(function() return '\\27Lua' end) assert(f == nil) return {}"},
    {"load keeps its environment", NULL, NULL,
     "assert(load('return x', 'n', nil, {x = 5})() == 5) assert(load('return x', 'n', 't', {})() == nil) "
     "assert(load('return print')() == print) return {}"},
    {"string metatable", NULL, NULL,
     "getmetatable('').__index = function() error('mine') end getmetatable('').__name = {} "
     "return {{type = 'a', summary = 'b'}}"},
    {"globals replaced", NULL, NULL,
     "for k in pairs(_G) do if k ~= '_G' then _G[k] = nil end end return {{type = 'a'}}"},
    {"metatable of _G", NULL, NULL,
     "setmetatable(_G, {__index = function() error('i') end, __newindex = function() error('n') end}) return "
     "{}"},
    {"collectgarbage stop", "runtime", "invalid option 'stop'", "collectgarbage('stop')"},
    {"collectgarbage generational", "runtime", "invalid option", "collectgarbage('generational')"},
    {"collectgarbage count", NULL, NULL,
     "assert(collectgarbage('count') > 1) collectgarbage() collectgarbage('collect') return {}"},
    {"require out of the folder", "runtime", "is not a module name", "require('../secret')"},
    {"require of an absolute path", "runtime", "is not a module name", "require('/etc/passwd')"},
    {"require with NUL", "runtime", "is not a module name", "require('a\\0b')"},
    {"require of dots", "runtime", "is not a module name", "require('a..b')"},
    {"require of much", "runtime", "is not a module name", "require(('a'):rep(1000))"},
    {"require of nothing", "runtime", "is not a module name", "require('')"},
    /* Lies. */
    {"state with a cycle", "shape", "state.a.b contains itself",
     "ctx.state.a = {} ctx.state.a.b = ctx.state.a return {}"},
    {"state with a function", "shape", "state.history[3] is a function",
     "ctx.state.history = {1, 2, print} return {}"},
    {"state with NaN", "shape", "state.mean is not a number (NaN)", "ctx.state.mean = 0/0 return {}"},
    {"state with a boolean key", "shape", "state.x has a key that is a boolean",
     "ctx.state.x = {[true] = 1} return {}"},
    {"state with a fraction as key", "shape", "state has a key that is a fraction",
     "ctx.state[1.5] = 1 return {}"},
    {"state with a coroutine", "shape", "state[\"a b\"] is a thread",
     "ctx.state['a b'] = coroutine.create(print) return {}"},
    {"state too deep", "shape", "nested too deeply",
     "local t = ctx.state for i = 1, 60 do t.x = {} t = t.x end return {}"},
    {"state too large", "shape", "larger than 4096 KiB",
     "for i = 1, 5 do ctx.state[i] = ('x'):rep(1 << 20) end return {}"},
    {"state of many values", "shape", "",
     "local t = {} for i = 1, 100000 do t[i] = true end for i = 1, 6 do ctx.state[i] = t end return {}"},
    {"state that grows by sharing", "shape", "",
     "local t = {} for i = 1, 50 do t = {t, t} end ctx.state.t = t return {}"},
    {"state replaced by nothing", "shape", "ctx.state is a nil", "ctx.state = nil return {}"},
    {"state replaced by text", "shape", "ctx.state is a string", "ctx.state = 'x' return {}"},
    {"state with a metatable", NULL, NULL,
     "ctx.state.t = setmetatable({}, {__index = error, __pairs = error, __len = error}) return {}"},
    {"ctx with a metatable", NULL, NULL, "setmetatable(ctx, {__index = error}) return {}"},
    {"nothing returned", "shape", "check() returned nothing", ""},
    {"text returned", "shape", "a string instead of a list", "return 'x'"},
    {"one finding returned", "shape", "put it into { }", "return {type = 'x'}"},
    {"map returned", "shape", "not a list", "return {a = {type = 'x'}}"},
    {"holes", "shape", "not a list", "return {[1] = {type = 'x'}, [3] = {type = 'x'}}"},
    {"finding is text", "shape", "finding 2: it must be a table", "return {{type = 'x'}, 'y'}"},
    {"no type", "shape", "finding 1: type is missing", "return {{value = 1}}"},
    {"bad type", "shape", "finding 1: type must be a name", "return {{type = 'a b'}}"},
    {"type with NUL", "shape", "finding 1: type must be a name", "return {{type = 'a\\0'}}"},
    {"long type", "shape", "finding 1: type must be a name", "return {{type = ('a'):rep(129)}}"},
    {"unknown key", "shape", "finding 1: key 'servce' is not known", "return {{type = 'x', servce = 'y'}}"},
    {"number as key", "shape", "finding 1: key 'number' is not known", "return {{type = 'x', 'y'}}"},
    {"infinite value", "shape", "finding 1: value must be a finite number",
     "return {{type = 'x', value = 1/0}}"},
    {"NaN", "shape", "finding 1: threshold must be a finite number",
     "return {{type = 'x', threshold = 0/0}}"},
    {"baseline of text", "shape", "finding 1: baseline must be a number",
     "return {{type = 'x', baseline = 'usual'}}"},
    {"negative count of a baseline", "shape", "finding 1: baseline_samples must not be negative",
     "return {{type = 'x', baseline_samples = -1}}"},
    {"text as number", "shape", "finding 1: value must be a number", "return {{type = 'x', value = '5'}}"},
    {"negative for", "shape", "finding 1: for_s must not be negative", "return {{type = 'x', for_s = -1}}"},
    {"bad severity", "shape", "finding 1: severity must be", "return {{type = 'x', severity = 'bad'}}"},
    {"bad trace id", "shape", "finding 1: trace_id must be a trace id",
     "return {{type = 'x', trace_id = 'xyz'}}"},
    {"bad trace", "shape", "finding 1: trace.id must be a trace id", "return {{type = 'x', trace = {}}}"},
    {"bad trace field", "shape", "finding 1: traces[2].duration_ms must be a number",
     "return {{type = 'x', traces = {{id = 'a'}, {id = 'b', duration_ms = {}}}}}"},
    {"labels with a table", "shape", "finding 1: a label must be text",
     "return {{type = 'x', labels = {a = {}}}}"},
    {"many labels", "shape", "more than 32",
     "local l = {} for i = 1, 33 do l['l' .. i] = 'x' end return {{type = 'x', labels = l}}"},
    {"many findings", "shape", "10001 findings",
     "local f, x = {}, {type = 'x'} for i = 1, 10001 do f[i] = x end return f"},
    {"finding with a metatable", "shape", "type is missing",
     "return {setmetatable({}, {__index = {type = 'x'}})}"},
    {"bad metric name", "runtime", "not a Prometheus metric name", "ctx.metric('a b', 1)"},
    {"metric of the agent", "runtime", "belongs to the agent", "ctx.metric('spanwatch_ticks', 1)"},
    {"many metrics", "runtime", "more than 200 metrics", "for i = 1, 201 do ctx.metric('m' .. i, i) end"},
    {"infinite metric", "runtime", "not a finite number", "ctx.metric('m', 1/0)"},
    {"metric with the label detector", "runtime", "'detector' is not a label name",
     "ctx.metric('m', 1, {detector = 'x'})"},
    {"option misspelt", "runtime", "h.lua:2: ctx.tempo.search: unknown option 'limt'; known are q, service",
     "ctx.tempo.search{limt = 5}"},
    {"option of another type", "runtime", "option 'limit' must be a whole number",
     "ctx.tempo.search{limit = 'x'}"},
    {"TraceQL and terms", "runtime", "either 'q' or 'service'", "ctx.tempo.search{q = '{}', service = 'x'}"},
    {"option missing", "runtime", "option 'url' is missing", "ctx.http.get{}"},
    {"options are text", "runtime", "table expected", "ctx.tempo.metrics('{}')"},
    {"trace id is no id", "runtime", "32 hex digits", "ctx.tempo.trace('xyz')"},
    {"error is a table", "runtime", "(error object is a table value)", "error({})"},
    {"error is nothing", "runtime", "(error object is a nil value)", "error(nil)"},
    {"error of a megabyte", "runtime", "xxxx", "error(('x'):rep(1 << 20))"},
    {"error with bytes", "runtime", "?", "error('\\255\\0')"},
};

static bool run_case(size_t i) {
    peer p;
    bool endless = cases[i].kind != NULL && strcmp(cases[i].kind, "cpu") == 0;
    harness_cpu_ms = endless ? CPU_MS : 10000;
    const msgpack_object *reply = check_body(&p, cases[i].body);
    bool right = reply_is(reply, cases[i].kind, cases[i].part);
    int status = peer_end(&p);
    if (!right || status != 0) {
        print_error("^ %s (exit status %d)\n", cases[i].name, status);
    }
    return right && status == 0;
}

static void hostile_scripts_end_within_the_limits(void **state) {
    (void)state;
    unsigned wrong = 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        wrong += run_case(i) ? 0 : 1;
    }
    assert_int_equal(wrong, 0);
}

/* The hook does not reach into C functions that do not return, nor into finalizers: these are ended by the
 * host. */
static void what_the_hook_cannot_reach_is_left_to_the_hosts_kill(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "return string.find(('a'):rep(3000), '.-.-.-.-b$')",
        "return string.rep('', math.maxinteger)",
        "table.move({}, 1, math.maxinteger - 1, 2)",
        "setmetatable({}, {__gc = function() while true do end end}) collectgarbage() return {}",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        peer p;
        char *source = xasprintf("return { check = function(ctx) %s end }", bodies[i]);
        peer_start(&p);
        assert_ok(peer_load(&p, source));
        free(source);
        peer_send_check(&p, false);
        assert_null(peer_reply(&p, 4 * CPU_MS));
        assert_int_equal(kill(p.pid, SIGKILL), 0);
        assert_int_equal(peer_end(&p), -SIGKILL);
    }
}

static void a_loop_at_load_ends_too(void **state) {
    (void)state;
    static const char *const sources[] = {
        "while true do end",
        "return { check = print, wants = function() while true do end end }",
        "local t = setmetatable({}, {__index = function() while true do end end}) return t.x",
    };
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        peer p;
        peer_start(&p);
        assert_error(peer_load(&p, sources[i]), "cpu", "h.lua:1: ");
        assert_int_equal(peer_end(&p), 0);
    }
}

static void bytecode_is_not_loaded(void **state) {
    (void)state;
    peer p;
    peer_start(&p);
    assert_error(peer_load(&p, "\x1bLua rest"), "bytecode", "h.lua: is bytecode");
    assert_int_equal(peer_end(&p), 0);
}

static void a_worker_that_ran_into_a_limit_runs_nothing_more(void **state) {
    (void)state;
    peer p;
    assert_error(check_body(&p, "if ctx.state.n then return {} end while true do end"), "cpu", "");
    assert_error(peer_check(&p), "runtime", "start another");
    assert_int_equal(peer_end(&p), 0);
}

static void a_mistake_does_not_cost_the_worker(void **state) {
    (void)state;
    peer p;
    const msgpack_object *reply =
        check_body(&p, "calls = (calls or 0) + 1\nctx.state.n = (ctx.state.n or 0) + 1\n"
                       "if calls % 2 == 0 then error('every other') end\nreturn {}");
    assert_ok(reply);
    assert_number(sw_map_get(reply, "state"), "n", 1);
    assert_error(peer_check(&p), "runtime", "h.lua:4: every other");
    reply = peer_check(&p);
    assert_ok(reply);
    /* What the failed call changed is gone. */
    assert_number(sw_map_get(reply, "state"), "n", 2);
    assert_int_equal(peer_end(&p), 0);
}

static int short_time(void **state) {
    (void)state;
    harness_cpu_ms = CPU_MS;
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_scripts_end_within_the_limits),
        cmocka_unit_test_setup(what_the_hook_cannot_reach_is_left_to_the_hosts_kill, short_time),
        cmocka_unit_test_setup(a_loop_at_load_ends_too, short_time),
        cmocka_unit_test_setup(bytecode_is_not_loaded, short_time),
        cmocka_unit_test_setup(a_worker_that_ran_into_a_limit_runs_nothing_more, short_time),
        cmocka_unit_test_setup(a_mistake_does_not_cost_the_worker, short_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
