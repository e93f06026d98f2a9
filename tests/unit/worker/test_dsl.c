/* The call TEST and what test files see. */
#include "harness.h"

static const char *const detector =
    "runs = (runs or 0) + 1\n"
    "return { config = { threshold_ms = 800 }, state_version = 1,\n"
    "migrate = function(old, version) return { n = old.n * 100, from = version } end,\n"
    "wants = function(c) return { min_duration_ms = c.threshold_ms, errors = c.errors } end,\n"
    "check = function(ctx)\n"
    "  ctx.state.n = (ctx.state.n or 0) + 1\n"
    "  ctx.metric('seen', #ctx.window.traces) ctx.log.warn('checked', { n = ctx.state.n })\n"
    "  if ctx.config.fail then error('as told') end\n"
    "  if ctx.config.silent then return nil, 'too little' end\n"
    "  if ctx.config.ask then local r, e = ctx.tempo.search(ctx.config.ask) if not r then return nil, e end "
    "end\n"
    "  local f = {} for _, t in ipairs(ctx.window.traces) do\n"
    "    f[#f + 1] = { type = ctx.config.type or 'slow', service = t.service, trace = t, value = "
    "t.duration_ms } end\n"
    "  return f\n"
    "end }";

static void pack_detectors(msgpack_packer *pk) {
    sw_pack_str(pk, "detectors");
    msgpack_pack_map(pk, 4);
    sw_pack_key_str(pk, "d.lua", detector);
    sw_pack_key_str(pk, "ask.lua",
                    "return { check = function(ctx) local found = ctx.search{ service = 's' }\n"
                    "local trace = ctx.trace(found.traces[1].id, 'otlp')\n"
                    "return { { type = 'x', service = trace.service } } end }");
    sw_pack_key_str(pk, "next.lua",
                    "return { state_version = 2, migrate = function(old, v) return { n = -old.n, v = v } end,"
                    "check = function(ctx) return {} end }");
    sw_pack_key_str(pk, "broken.lua", "return { chek = 1 }");
}

static const msgpack_object *run_file(peer *p, const char *source) {
    peer_start(p);
    return peer_source(p, SW_FRAME_TEST, "d_test.lua", source, 1, pack_detectors);
}

/* Bodies of tests that must pass. */
static const char *const passing[] = {
    "local d = t.detector('d.lua')\n"
    "local found = d:check(t.window{ traces = { t.trace{ service = 'a', duration_ms = 900 }, t.trace{ "
    "duration_ms = 800 } } })\n"
    "t.equal(#found, 1) t.equal(t.finding(found, { type = 'slow', service = 'a' }).value, 900)\n"
    "t.equal(d.metrics, { seen = 1 }) t.equal(d.logs, { { level = 'warn', message = 'checked', fields = { n "
    "= '1' } } })",

    /* The state is committed only when the call succeeds, and only as plain values. */
    "local d = t.detector('d.lua') d:check(t.window()) t.equal(d.state, { n = 1 })\n"
    "d = t.detector('d.lua', { fail = true }) local m = t.raises(function() d:check(t.window()) end, "
    "'d.lua:8: as told')\n"
    "t.contains(m, 'told') t.equal(d.state, {})",

    /* A detector has globals of its own, and a reload gives it new ones. */
    "local d = t.detector('d.lua') t.equal(runs, nil) d:check(t.window()) d:reload() t.equal(d.state, { n = "
    "1 })",

    "local d = t.detector('d.lua') d:check(t.window()) d:reload('next.lua') t.equal(d.state, { n = -1, v = 1 "
    "})\n"
    "d:reload() t.equal(d.state, { n = -1, v = 1 })",

    "local d = t.detector('d.lua', { silent = true }) local found, why = d:check(t.window())\n"
    "t.equal(found, nil) t.equal(why, 'too little') t.equal(d.state, { n = 1 })",

    "t.raises(function() t.detector('broken.lua') end, \"unknown key 'chek'\")\n"
    "t.raises(function() t.detector('none.lua') end, \"there is no 'none.lua'\")\n"
    "local d = t.detector('d.lua', { type = 'a b', threshold_ms = 1 })\n"
    "t.raises(function() d:check(t.window{ traces = { t.trace() } }) end, 'finding 1: type must be a name')",

    "local d = t.detector('d.lua', { errors = true })\n"
    "t.equal(#d:check(t.window{ traces = { t.trace{ status = 'error' }, t.trace{ status = 'ok' } } }), 1)",

    /* Time. */
    "t.equal(os.time(), t.now()) local before = t.now() t.advance(90) t.equal(t.now(), before + 90)\n"
    "t.equal(os.time(), t.now()) local w = t.window() t.equal({ w.from, w.to }, { before + 30, before + 90 "
    "})\n"
    "t.equal(t.trace().start, t.now()) t.equal(t.trace{ at = 5 }.start_ns, 5000000000)\n"
    "t.equal(t.trace{ start_ns = 1500000000 }.start, 1.5) t.raises(function() t.advance(-1) end, "
    "'d_test.lua:')",

    /* Shapes. */
    "local a, b = t.trace(), t.trace() t.truthy(a.id ~= b.id and #a.id == 32)\n"
    "local s = t.trace{ service = 'x', spans = { { name = 'q', attributes = { k = 'v' } } } }\n"
    "t.equal(s.spans[1].service, 'x') t.equal(#s.spans[1].id, 16) t.equal(s.matched, 1) "
    "t.equal(s.spans[1].kind, 'unspecified')\n"
    "t.raises(function() t.trace{ durationms = 5 } end, \"t.trace: unknown field 'durationms'; known are at, "
    "duration_ms\")\n"
    "t.raises(function() t.window{ form = 5 } end, \"unknown field 'form'\")\n"
    "t.raises(function() t.trace{ spans = { { nam = 'x' } } } end, \"unknown field 'nam'\")",

    "local s = t.series{ durations_ms = { 1, 2, 3, 100 }, errors = 1 } t.equal({ s.count, s.errors }, { 4, 1 "
    "})\n"
    "t.near(s:quantile(1), 134.217728) t.equal(#s.buckets, 4) t.equal(s.buckets[4][1] * 2, s.buckets[4][2])\n"
    "t.equal(t.series{ count = 7 }.count, 7) t.equal(t.series():quantile(0.5), nil)",

    /* Host functions. */
    "local d = t.detector('d.lua', { ask = { service = 'x' } })\n"
    "t.raises(function() d:check(t.window()) end, 'd.lua:10: ctx.tempo.search was asked, and the test has no "
    "answer')\n"
    "t.tempo{ search = function(o) t.equal(o, { service = 'x' }) return nil, 'down', 'timeout' end }\n"
    "local found, why = d:check(t.window()) t.equal(why, 'down')\n"
    "t.tempo.search = { traces = {}, complete = true } t.equal(d:check(t.window()), {})\n"
    "t.raises(function() t.tempo{ serch = 1 } end, \"unknown field 'serch'\")\n"
    "t.raises(function() t.http.put = 1 end, \"unknown field 'put'\")\n"
    "d = t.detector('d.lua', { ask = { limt = 1 } })\n"
    "t.raises(function() d:check(t.window()) end, \"d.lua:10: ctx.tempo.search: unknown option 'limt'\")",

    "local d = t.detector('ask.lua') t.source{ search = { traces = { t.trace{ id = 'ab' } }, complete = true "
    "} }\n"
    "t.raises(function() d:check(t.window()) end, 'ctx.trace was asked, and the test has no answer: "
    "t.source{trace = ...}')\n"
    "t.source.trace = function(id, source) t.equal({ id, source }, { 'ab', 'otlp' }) return t.trace{ service "
    "= 's' } end\n"
    "t.equal(d:check(t.window())[1].service, 's')\n"
    "t.raises(function() t.source{ metrics = 1 } end, \"unknown field 'metrics'\")",

    /* Assertions. */
    "t.equal({ 1, { a = 2 } }, { 1, { a = 2 } }) t.equal(0/0, 0/0) t.near(0.1 + 0.2, 0.3) t.near(5, 6, 1) "
    "t.near(-5, -5)\n"
    "t.contains('abc', 'b') t.contains({ 1, { 2 } }, { 2 }) t.truthy(1)\n"
    "t.equal(t.raises(function() error('x', 0) end), 'x') t.raises(error)",

    /* The sandbox is the detectors'. */
    "t.equal({ io, debug, package, string.dump }, {}) t.raises(function() require('../x') end, 'not a module "
    "name')",
};

static void a_harness_drives_detectors_without_the_agent(void **state) {
    (void)state;
    unsigned wrong = 0;
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
        peer p;
        char *source = xasprintf("test('it holds', function(t)\n%s\nend)", passing[i]);
        const msgpack_object *reply = run_file(&p, source);
        free(source);
        assert_ok(reply);
        const msgpack_object *test = &sw_map_get(reply, "tests")->via.array.ptr[0];
        assert_text(test, "name", "it holds");
        if (!sw_map_bool(test, "ok", false)) {
            char *message = sw_map_str(test, "message", 10000);
            print_error("%zu: %s\n", i, message);
            free(message);
            wrong++;
        }
        assert_int_equal(peer_end(&p), 0);
    }
    assert_int_equal(wrong, 0);
}

/* Bodies of tests that must fail, and what the message has. */
static const char *const failing[][2] = {
    {"t.equal({ a = 1, b = { 2 } }, { a = 2 }, 'sums')",
     "d_test.lua:2: sums: \n   got: {a = 1, b = {2}}\n  want: {a = 2}"},
    {"t.equal({ [1] = 1 }, { [1] = 1, [2] = 2 })", "want: {1, 2}"},
    {"t.equal('a\"b', 'a')", "got: \"a\\\"b\""},
    {"t.near(1, 2, 0.5)", "want: 2, within 0.5"},
    {"t.near(0/0, 1)", "d_test.lua:2: "},
    {"t.near('1', 1)", "d_test.lua:2: "},
    {"t.truthy(false, 'it is so')", "d_test.lua:2: it is so: got false"},
    {"t.contains('abc', 'd')", "want something in it: \"d\""},
    {"t.raises(function() end)", "d_test.lua:2: nothing was raised"},
    {"t.raises(function() error('x') end, 'y')", "raised: \"d_test.lua:2: x\"\n  want in it: \"y\""},
    {"t.finding({ { type = 'a' } }, { type = 'b' })", "d_test.lua:2: 0 findings match"},
    {"t.finding({ { type = 'a' }, { type = 'a' } }, { type = 'a' })", "2 findings match"},
    {"t.finding(nil, { type = 'a' })", "d_test.lua:2: "},
    {"t.detector('d.lua'):check()", "d_test.lua:2: check takes a window"},
    {"local x = nil\nreturn x.y", "d_test.lua:3: attempt to index"},
    {"t.raises(function() while true do end end)", "d_test.lua:2: the call took more than"},
    {"local s = 'x' while true do s = s .. s end", "d_test.lua:2: out of memory"},
    {"t.nothing()", "d_test.lua:2: attempt to call a nil value (field 'nothing')"},
};

static void failures_say_where_and_show_both_sides(void **state) {
    (void)state;
    harness_cpu_ms = CPU_MS;
    sw_buf source;
    sw_buf_init(&source, 1 << 20);
    /* All in one file: a test that ran into a limit does not touch the next one. */
    for (size_t i = 0; i < sizeof(failing) / sizeof(failing[0]); i++) {
        peer p;
        sw_buf_reset(&source);
        sw_buf_printf(&source,
                      "test('fails', function(t)\n%s\nend) test('goes on', function(t) t.equal(1, 1) end)",
                      failing[i][0]);
        const msgpack_object *reply = run_file(&p, source.data);
        assert_ok(reply);
        const msgpack_object *tests = sw_map_get(reply, "tests");
        assert_int_equal(tests->via.array.size, 2);
        char *message = sw_map_str(&tests->via.array.ptr[0], "message", 10000);
        assert_non_null(message);
        if (sw_map_bool(&tests->via.array.ptr[0], "ok", true) || strstr(message, failing[i][1]) == NULL) {
            fail_msg("got '%s', want '%s'", message, failing[i][1]);
        }
        free(message);
        assert_true(sw_map_bool(&tests->via.array.ptr[1], "ok", false));
        assert_int_equal(peer_end(&p), 0);
    }
    sw_buf_release(&source);
}

static void a_test_file_that_does_not_run_is_an_error(void **state) {
    (void)state;
    harness_cpu_ms = CPU_MS;
    static const char *const cases[][3] = {
        {"test('x', function(t)", "syntax", "d_test.lua:1: "},
        {"test('x')", "runtime", "d_test.lua:1: test takes a sentence and a function"},
        {"error('no')", "runtime", "d_test.lua:1: no"},
        {"while true do end", "cpu", "d_test.lua:1: "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        peer p;
        assert_error(run_file(&p, cases[i][0]), cases[i][1], cases[i][2]);
        assert_int_equal(peer_end(&p), 0);
    }
}

static void a_file_without_tests_has_none(void **state) {
    (void)state;
    peer p;
    const msgpack_object *reply = run_file(&p, "-- none yet");
    assert_ok(reply);
    assert_int_equal(sw_map_get(reply, "tests")->via.array.size, 0);
    assert_int_equal(peer_end(&p), 0);
}

static int ample_time(void **state) {
    (void)state;
    harness_cpu_ms = 10000;
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_harness_drives_detectors_without_the_agent),
        cmocka_unit_test_teardown(failures_say_where_and_show_both_sides, ample_time),
        cmocka_unit_test_teardown(a_test_file_that_does_not_run_is_an_error, ample_time),
        cmocka_unit_test(a_file_without_tests_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
