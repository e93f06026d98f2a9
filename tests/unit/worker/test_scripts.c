/* What scripts see: ctx, require, json, time, the log. */
#include "harness.h"

static void answer_search(msgpack_packer *pk, const char *op, const msgpack_object *args) {
    assert_string_equal(op, "tempo.search");
    assert_text(args, "service", "cart");
    assert_number(args, "limit", 5);
    assert_number(args, "from", 1000);
    assert_number(sw_map_get(args, "attributes"), "http.status_code", 500); /* text would fit other spans */
    assert_int_equal(args->via.map.size, 4);
    msgpack_pack_map(pk, 1);
    sw_pack_str(pk, "value");
    msgpack_pack_map(pk, 2);
    sw_pack_key_bool(pk, "complete", true);
    sw_pack_str(pk, "traces");
    msgpack_pack_array(pk, 0);
}

static void a_host_function_returns_the_answer(void **state) {
    (void)state;
    peer p;
    peer_start(&p);
    p.answer = answer_search;
    assert_ok(peer_load(
        &p, "return { check = function(ctx)\n"
            "local function ask() return ctx.tempo.search{ service = 'cart', limit = 5, from = 1000.7,\n"
            "attributes = { ['http.status_code'] = 500 } } end\n"
            "local a = ask() assert(a.complete and #a.traces == 0)\n"
            "local ok, b = pcall(ask) assert(ok and b.complete)\n"
            "assert(coroutine.wrap(function() return ask() end)().complete)\n"
            "table.sort({ 2, 1 }, function(x, y) assert(ask().complete) return x < y end) return {} end }"));
    assert_ok(peer_check(&p));
    assert_int_equal(peer_end(&p), 0);
}

static void answer_portable(msgpack_packer *pk, const char *op, const msgpack_object *args) {
    char *of = sw_map_str(args, "source", 20);
    char *text = xasprintf("%s of %s, %u arguments", op, of, args->via.map.size);
    const msgpack_object *attributes = sw_map_get(args, "attributes");
    if (attributes != NULL) {
        assert_text(attributes, "text", "500");
        assert_number(attributes, "number", 0.5);
        assert_true(sw_map_bool(attributes, "truth", false));
    }
    msgpack_pack_map(pk, 1);
    sw_pack_key_str(pk, "value", text);
    free(text);
    free(of);
}

static void a_question_is_for_the_windows_source_unless_it_names_another(void **state) {
    (void)state;
    peer p;
    peer_start(&p);
    p.answer = answer_portable;
    assert_ok(peer_load(
        &p, "local function is(a, b) assert(a == b, a) end\n"
            "return { check = function(ctx)\n"
            "is(ctx.search{}, 'search of tempo, 1 arguments')\n"
            "is(ctx.search{ source = 'otlp', service = 'x' }, 'search of otlp, 2 arguments')\n"
            "is(ctx.search{ attributes = { text = '500', number = 0.5, truth = true }, limit = 3 },\n"
            "  'search of tempo, 3 arguments')\n"
            "is(ctx.trace('ab'), 'trace of tempo, 2 arguments')\n"
            "is(ctx.trace('ab', 'otlp'), 'trace of otlp, 2 arguments')\n"
            "for wrong, f in pairs{\n"
            "  [\"unknown option 'q'\"] = function() ctx.search{ q = '{}' } end,\n"
            "  [\"there is no source 'zipkin'; known are tempo, otlp\"] = function() ctx.search{ source = "
            "'zipkin' } end,\n"
            "  [\"ctx.trace: there is no source 'number'\"] = function() ctx.trace('ab', 5) end,\n"
            "  ['32 hex digits'] = function() ctx.trace('xyz') end,\n"
            "  ['a number in option .attributes. is not finite'] = function() ctx.search{ attributes = { a = "
            "1/0 } } end,\n"
            "  [\"must be text %(it is a table%)\"] = function() ctx.search{ attributes = { a = {} } } end,\n"
            "} do local ok, e = pcall(f) assert(not ok and e:find(wrong), e) end\n"
            "return {} end }"));
    assert_ok(peer_check(&p));
    assert_int_equal(peer_end(&p), 0);
}

static void a_host_function_that_fails_returns_nil_message_and_code(void **state) {
    (void)state;
    peer p;
    assert_ok(check_body(
        &p,
        "for _, f in ipairs{ function() return ctx.tempo.search{} end,\n"
        "function() return ctx.tempo.metrics{ q = '{}', step_s = 30 } end,\n"
        "function() return ctx.tempo.trace('abc') end,\n"
        "function() return ctx.search{} end,\n"
        "function() return ctx.trace('abc') end,\n"
        "function() return ctx.trace('abc', 'otlp') end,\n"
        "function() return ctx.http.get{ url = 'http://x/' } end,\n"
        "function() return ctx.http.post{ url = 'http://x/', body = 'b', headers = { a = 'b' } } end } do\n"
        "local v, message, code = f() assert(v == nil and message == 'no' and code == 'none') end return "
        "{}"));
    assert_int_equal(peer_end(&p), 0);
}

static void a_host_that_goes_while_it_is_asked_ends_the_worker(void **state) {
    (void)state;
    peer p;
    peer_start(&p);
    assert_ok(
        peer_load(&p, "return { check = function(ctx) while true do pcall(ctx.tempo.search, {}) end end }"));
    peer_send_check(&p, false);
    assert_true(peer_read(&p, PATIENCE_MS));
    assert_int_equal(p.frame.kind, SW_FRAME_ASK);
    assert_int_equal(peer_end(&p), 0);
}

static void answer_require(msgpack_packer *pk, const char *op, const msgpack_object *args) {
    static const char *const modules[][2] = {
        {"statistics",
         "loads = (loads or 0) + 1 return { mean = function(a, b) return (a + b) / 2 end, args = {...} }"},
        {"a", "return require 'b'"},
        {"b", "return require 'a'"},
        {"broken", "return ="},
        {"failing", "error('at load')"},
        {"quiet", "x = 1"},
        {"deep.er", "return 'deep'"},
    };
    assert_string_equal(op, "require");
    char *name = sw_map_str(args, "name", 100);
    assert_non_null(name);
    for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
        if (strcmp(name, modules[i][0]) == 0) {
            msgpack_pack_map(pk, 1);
            sw_pack_str(pk, "value");
            msgpack_pack_map(pk, 2);
            sw_pack_str(pk, "path");
            char *path = xasprintf("lib/%s.lua", name);
            sw_pack_str(pk, path);
            free(path);
            sw_pack_key_str(pk, "source", modules[i][1]);
            free(name);
            return;
        }
    }
    free(name);
    msgpack_pack_map(pk, 2);
    sw_pack_key_str(pk, "message", "no such file");
    sw_pack_key_str(pk, "code", "not_found");
}

static void require_asks_the_host_once(void **state) {
    (void)state;
    peer p;
    peer_start(&p);
    p.answer = answer_require;
    assert_ok(peer_load(
        &p, "local s = require 'statistics'\n"
            "assert(s.mean(1, 3) == 2 and s.args[1] == 'statistics' and s.args[2] == 'lib/statistics.lua')\n"
            "assert(require 'quiet' == true and require 'deep.er' == 'deep')\n"
            "local ok, e = pcall(require, 'a') assert(not ok and e:find(\"'a' requires itself\"), e)\n"
            "ok, e = pcall(require, 'none') assert(not ok and e:find('no such file'), e)\n"
            "ok, e = pcall(require, 'failing') assert(not ok and e:find('lib/failing.lua:1: at load'), e)\n"
            "return { check = function() assert(require 'statistics' == s and loads == 1) return {} end }"));
    assert_ok(peer_check(&p));
    assert_int_equal(peer_end(&p), 0);
}

static void a_module_that_does_not_compile_is_named(void **state) {
    (void)state;
    peer p;
    peer_start(&p);
    p.answer = answer_require;
    assert_error(peer_load(&p, "require 'broken'"), "syntax", "lib/broken.lua:1: ");
    assert_int_equal(peer_end(&p), 0);
    /* One that was caught is not what failed. */
    peer_start(&p);
    p.answer = answer_require;
    assert_error(peer_load(&p, "pcall(require, 'broken') error('other')"), "runtime", "h.lua:1: other");
    assert_int_equal(peer_end(&p), 0);
}

static void json_keeps_what_json_can_say(void **state) {
    (void)state;
    peer p;
    assert_ok(check_body(
        &p, "assert(json.encode(1700000000123456789) == '1700000000123456789')\n"
            "assert(json.encode(0.1) == '0.1' and json.encode(1/3) == '0.33333333333333331' and "
            "json.encode(2.0) == '2')\n"
            "assert(json.encode({ 1, 'a', true, {} }) == '[1,\"a\",true,{}]')\n"
            "assert(json.encode({ a = { b = 1 } }) == '{\"a\":{\"b\":1}}' and json.encode(nil) == 'null')\n"
            "assert(json.encode('\"\\\\\\n\\1/\\u{e9}') == '\"\\\\\"\\\\\\\\\\\\n\\\\u0001/\\u{e9}\"')\n"
            "assert(json.encode({ [3] = 'x' }) == '{\"3\":\"x\"}')\n"
            "local d = "
            "json.decode('{\"n\":5,\"f\":0.5,\"big\":1e300,\"s\":\"\\\\u00e9\",\"nil\":null,\"l\":[1,[2,{"
            "\"x\":3}]]}')\n"
            "assert(math.type(d.n) == 'integer' and d.f == 0.5 and d.big == 1e300 and d.s == '\\u{e9}')\n"
            "assert(d['nil'] == nil and math.type(d.l[2][2].x) == 'integer' and d.l[2][1] == 2)\n"
            "assert(json.decode('[1e400]') == nil or json.decode('[1e400]')[1] == 1/0)\n"
            "for _, bad in ipairs{ '{', '', 'nul', '[1,]', 'NaN', '[Infinity]', '{\"a\":1}x' } do\n"
            "local v, e = json.decode(bad) assert(v == nil and type(e) == 'string', bad) end\n"
            "for _, bad in ipairs{ 0/0, 1/0, print, { f = print }, { [1.5] = 1 }, '\\255' } do\n"
            "assert(not pcall(json.encode, bad)) end\n"
            "assert(not pcall(json.encode) and not pcall(json.decode, {}))\n"
            "for k in pairs(json) do assert(k == 'encode' or k == 'decode', k) end return {}"));
    assert_int_equal(peer_end(&p), 0);
}

static void a_series_has_quantiles(void **state) {
    (void)state;
    peer p;
    assert_ok(check_body(&p, "local s = ctx.window.series[1]\n"
                             "assert(s:quantile(0) == 0 and s:quantile(0.5) == 100 and s:quantile(0.75) == "
                             "150 and s:quantile(1) == 200)\n"
                             "assert(not pcall(s.quantile, s, 1.1) and not pcall(s.quantile, s, 0/0) and not "
                             "pcall(s.quantile, s))\n"
                             "s.buckets = {} assert(s:quantile(0.5) == nil)\n"
                             "s.buckets = { { 0, 1, 0 }, { 8, 1/0, 3 } } assert(s:quantile(0.5) == 8)\n"
                             "s.buckets = { 5 } assert(not pcall(s.quantile, s, 0.5)) return {}"));
    assert_int_equal(peer_end(&p), 0);
}

static void time_is_that_of_the_call(void **state) {
    (void)state;
    peer p;
    assert_ok(check_body(&p, "assert(os.time() == 1060 and os.date('!%H:%M:%S') == '00:17:40')\n"
                             "assert(os.date('%Y', 86400 * 366) == '1971' and os.date('*t').min == 17)\n"
                             "assert(os.time{ year = 2026, month = 3, day = 1, hour = 12 } > 1.7e9)\n"
                             "assert(os.clock() >= 0 and os.date() ~= '') return {}"));
    assert_int_equal(peer_end(&p), 0);
}

static void log_lines_carry_level_and_fields(void **state) {
    (void)state;
    peer p;
    assert_ok(check_body(&p, "ctx.log.warn('careful', { n = 5, ok = true, s = 'x' }) return {}"));
    assert_int_equal(p.logs, 1);
    assert_string_equal(p.level, "warn");
    assert_string_equal(p.log, "careful");
    assert_int_equal(peer_end(&p), 0);
    assert_ok(check_body(&p, "ctx.log('said') return {}"));
    assert_string_equal(p.level, "info");
    assert_string_equal(p.log, "said");
    assert_int_equal(peer_end(&p), 0);
    assert_ok(check_body(&p, "print('a', 1, nil, true) return {}"));
    assert_string_equal(p.log, "a\t1\tnil\ttrue");
    assert_int_equal(peer_end(&p), 0);
    assert_ok(check_body(&p, "warn('@on') warn('mind ', 'the gap') return {}"));
    assert_string_equal(p.log, "mind the gap");
    assert_int_equal(peer_end(&p), 0);
    assert_error(check_body(&p, "ctx.log.info('x', { f = print })"), "runtime",
                 "log field 'f' is a function");
    assert_int_equal(peer_end(&p), 0);
}

static void log_lines_of_a_call_are_bounded_and_the_rest_is_counted(void **state) {
    (void)state;
    peer p;
    assert_ok(check_body(&p, "for i = 1, 1000 do ctx.log.info('line') end return {}"));
    assert_int_equal(p.logs, 201);
    assert_string_equal(p.log, "800 more log lines of this call were dropped");
    assert_ok(peer_check(&p));
    assert_int_equal(p.logs, 402);
    assert_int_equal(peer_end(&p), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_function_returns_the_answer),
        cmocka_unit_test(a_question_is_for_the_windows_source_unless_it_names_another),
        cmocka_unit_test(a_host_function_that_fails_returns_nil_message_and_code),
        cmocka_unit_test(a_host_that_goes_while_it_is_asked_ends_the_worker),
        cmocka_unit_test(require_asks_the_host_once),
        cmocka_unit_test(a_module_that_does_not_compile_is_named),
        cmocka_unit_test(json_keeps_what_json_can_say),
        cmocka_unit_test(a_series_has_quantiles),
        cmocka_unit_test(time_is_that_of_the_call),
        cmocka_unit_test(log_lines_carry_level_and_fields),
        cmocka_unit_test(log_lines_of_a_call_are_bounded_and_the_rest_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
