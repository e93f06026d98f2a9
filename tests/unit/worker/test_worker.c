/* Every message of protocol/messages.md, as the host sees it. */
#include "harness.h"

static void ready_comes_first_and_the_end_of_the_socket_ends_the_worker(void **state) {
    (void)state;
    peer p;
    peer_start(&p);
    assert_true(peer_read(&p, PATIENCE_MS));
    assert_int_equal(p.frame.kind, SW_FRAME_READY);
    assert_text(&p.frame.payload, "version", SW_VERSION);
    assert_int_equal(sw_map_get(&p.frame.payload, "warnings")->via.array.size, 0);
    assert_int_equal(peer_end(&p), 0);
}

static void nonsense_from_the_host_ends_the_worker(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {{"\xff\xff\xff\xff", 4}, {"\0\0\0\1\xc0", 5}, {"\0\0\0\4\x93\x02\x01\xc0", 8}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        peer p;
        peer_start(&p);
        assert_true(peer_read(&p, PATIENCE_MS));
        assert_int_equal(send(p.fd, cases[i].bytes, cases[i].len, MSG_NOSIGNAL), cases[i].len);
        assert_false(peer_read(&p, PATIENCE_MS));
        assert_int_equal(peer_end(&p), 1);
    }
}

static void load_says_what_the_detector_is(void **state) {
    (void)state;
    peer p;
    peer_start(&p);
    const msgpack_object *reply =
        peer_load(&p, "return { name = 'Slow checkout', every_s = 60, revisions = true, state_version = 3,\n"
                      "wants = { min_duration_ms = 800, errors = true, series = false }, check = print }");
    assert_ok(reply);
    assert_text(reply, "name", "Slow checkout");
    assert_number(reply, "every_s", 60);
    assert_number(reply, "state_version", 3);
    assert_true(sw_map_bool(reply, "revisions", false));
    assert_false(sw_map_bool(reply, "migrated", true));
    assert_number(sw_map_get(reply, "wants"), "min_duration_ms", 800);
    assert_true(sw_map_bool(sw_map_get(reply, "wants"), "errors", false));
    assert_false(sw_map_bool(sw_map_get(reply, "wants"), "series", true));
    assert_int_equal(peer_end(&p), 0);
}

static void what_a_detector_leaves_out_has_a_default(void **state) {
    (void)state;
    peer p;
    peer_start(&p);
    const msgpack_object *reply = peer_load(&p, "return { check = print }");
    assert_ok(reply);
    assert_text(reply, "name", "h");
    assert_number(reply, "every_s", 0);
    assert_number(reply, "state_version", 1);
    assert_false(sw_map_bool(reply, "revisions", true));
    assert_number(sw_map_get(reply, "wants"), "min_duration_ms", -1);
    assert_false(sw_map_bool(sw_map_get(reply, "wants"), "errors", true));
    assert_true(sw_map_bool(sw_map_get(reply, "wants"), "series", false));
    assert_int_equal(peer_end(&p), 0);
}

static void what_is_no_detector_is_refused_with_the_reason(void **state) {
    (void)state;
    static const struct {
        const char *source, *kind, *part;
    } cases[] = {
        {"return {", "syntax", "h.lua:1: "},
        {"x = = 1", "syntax", "h.lua:1: unexpected symbol"},
        {"\n\nerror('no')", "runtime", "h.lua:3: no"},
        {"local x = nil\nreturn x.y", "runtime", "h.lua:2: attempt to index a nil value"},
        {"", "shape", "h.lua: must return a table (it returns nothing)"},
        {"return 5", "shape", "h.lua: must return a table (it returns number)"},
        {"return {}", "shape", "h.lua: check must be a function (it is a nil)"},
        {"return { check = 5 }", "shape", "check must be a function"},
        {"return { check = print, chek = 1 }", "shape",
         "unknown key 'chek' of the detector; known are name, every_s"},
        {"return { check = print, 5 }", "shape", "a key of the detector is a number"},
        {"return { check = print, name = 5 }", "shape", "name must be text"},
        {"return { check = print, name = '' }", "shape", "name must be text"},
        {"return { check = print, every_s = 0 }", "shape", "every_s must be a number of seconds"},
        {"return { check = print, every_s = 0/0 }", "shape", "every_s must be a number of seconds"},
        {"return { check = print, source = 'jaeger' }", "shape",
         "h.lua: source: there is no source 'jaeger'; known are \"tempo\", \"otlp\""},
        {"return { check = print, source = {} }", "shape", "source must name a source (it is a table)"},
        {"return { check = print, sources = 'otlp' }", "shape", "sources must be a list of names"},
        {"return { check = print, sources = {} }", "shape", "sources must be a list of names"},
        {"return { check = print, sources = { 'otlp', 'zipkin' } }", "shape",
         "sources: there is no source 'zipkin'"},
        {"return { check = print, sources = { 5 } }", "shape", "sources must name a source (it is a number)"},
        {"return { check = print, source = 'otlp', sources = { 'otlp' } }", "shape",
         "either source or sources, not both"},
        {"return { check = print, revisions = 1 }", "shape", "revisions must be a boolean"},
        {"return { check = print, state_version = 1.5 }", "shape", "state_version must be a whole number"},
        {"return { check = print, migrate = {} }", "shape", "migrate must be a function"},
        {"return { check = print, config = 5 }", "shape", "config must be a table"},
        {"return { check = print, config = { a = { b = print } } }", "shape", "config.a.b is a function"},
        {"return { check = print, wants = 5 }", "shape", "wants must be a table or a function"},
        {"return { check = print, wants = { error = true } }", "shape", "unknown key 'error' of wants"},
        {"return { check = print, wants = { errors = 1 } }", "shape", "errors must be a boolean"},
        {"return { check = print, wants = { min_duration_ms = -1 } }", "shape",
         "wants.min_duration_ms must be"},
        {"return { check = print, wants = { min_duration_ms = 1/0 } }", "shape",
         "wants.min_duration_ms must be"},
        {"return { check = print, wants = function() end }", "shape",
         "the result of wants() must be a table"},
        {"return { check = print, wants = function(c) return c.x.y end }", "runtime", "h.lua:1: "},
        {"return setmetatable({}, { __index = { check = print } })", "shape", "check must be a function"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        peer p;
        peer_start(&p);
        assert_error(peer_load(&p, cases[i].source), cases[i].kind, cases[i].part);
        assert_int_equal(peer_end(&p), 0);
    }
}

static void an_error_comes_with_a_traceback(void **state) {
    (void)state;
    peer p;
    const msgpack_object *reply = check_body(&p, "local function deep() error('here') end\ndeep()");
    assert_error(reply, "runtime", "h.lua:2: here");
    char *traceback = sw_map_str(sw_map_get(reply, "error"), "traceback", 10000);
    assert_non_null(traceback);
    assert_non_null(strstr(traceback, "h.lua:3: in function"));
    free(traceback);
    assert_int_equal(peer_end(&p), 0);
}

static void pack_config(msgpack_packer *pk) {
    sw_pack_str(pk, "config");
    msgpack_pack_map(pk, 3);
    sw_pack_key_int(pk, "threshold_ms", 900);
    sw_pack_str(pk, "deep");
    msgpack_pack_map(pk, 1);
    sw_pack_key_int(pk, "b", 20);
    sw_pack_str(pk, "list");
    msgpack_pack_array(pk, 1);
    msgpack_pack_int(pk, 9);
}

static void the_agents_configuration_goes_over_the_defaults(void **state) {
    (void)state;
    peer p;
    peer_start(&p);
    const msgpack_object *reply = peer_source(
        &p, SW_FRAME_LOAD, "h.lua",
        "return { config = { threshold_ms = 1, other = 'x', deep = { a = 1, b = 2 }, list = { 1, 2, 3 } },\n"
        "wants = function(c) return { min_duration_ms = c.threshold_ms } end,\n"
        "check = function(ctx) local c = ctx.config\n"
        "assert(c.threshold_ms == 900 and c.other == 'x' and c.deep.a == 1 and c.deep.b == 20)\n"
        "assert(#c.list == 1 and c.list[1] == 9) c.threshold_ms = 0 c.list[1] = 0 return {} end }",
        1, pack_config);
    assert_ok(reply);
    assert_number(sw_map_get(reply, "wants"), "min_duration_ms", 900);
    assert_ok(peer_check(&p));
    assert_ok(peer_check(&p)); /* what a call changes in it is gone */
    assert_int_equal(peer_end(&p), 0);
}

static void pack_state(msgpack_packer *pk) {
    sw_pack_key_int(pk, "state_version", 2);
    sw_pack_str(pk, "state");
    msgpack_pack_map(pk, 2);
    sw_pack_key_int(pk, "n", 41);
    sw_pack_str(pk, "list");
    msgpack_pack_array(pk, 1);
    sw_pack_str(pk, "a");
}

static void state_is_taken_over_migrated_or_dropped(void **state) {
    (void)state;
    static const char *const check =
        "check = function(ctx) ctx.state.n = (ctx.state.n or 0) + 1 return {} end }";
    static const struct {
        const char *head;
        bool migrated;
        double n;
    } cases[] = {
        {"return { state_version = 2, ", false, 42},
        {"return { state_version = 2, migrate = error, ", false, 42},
        {"return { state_version = 3, migrate = function(old, v) return { n = old.n * 10 + v } end, ", true,
         413},
        {"return { state_version = 3, ", false, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        peer p;
        peer_start(&p);
        char *source = xasprintf("%s%s", cases[i].head, check);
        const msgpack_object *reply = peer_source(&p, SW_FRAME_LOAD, "h.lua", source, 2, pack_state);
        free(source);
        assert_ok(reply);
        assert_int_equal(sw_map_bool(reply, "migrated", !cases[i].migrated), cases[i].migrated);
        reply = peer_check(&p);
        assert_ok(reply);
        assert_number(sw_map_get(reply, "state"), "n", cases[i].n);
        assert_int_equal(p.logs, i == 3 ? 1 : 0);
        assert_int_equal(peer_end(&p), 0);
    }
}

static void a_migration_that_fails_refuses_the_version(void **state) {
    (void)state;
    static const struct {
        const char *migrate, *kind, *part;
    } cases[] = {
        {"function(old) error('cannot') end", "runtime", "h.lua:1: cannot"},
        {"function(old) end", "shape", "migrate() must return a table (it returns nothing)"},
        {"function(old) return { f = print } end", "shape", "state.f is a function"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        peer p;
        peer_start(&p);
        char *source =
            xasprintf("return { state_version = 9, check = print, migrate = %s }", cases[i].migrate);
        assert_error(peer_source(&p, SW_FRAME_LOAD, "h.lua", source, 2, pack_state), cases[i].kind,
                     cases[i].part);
        free(source);
        assert_int_equal(peer_end(&p), 0);
    }
}

static void a_window_becomes_findings(void **state) {
    (void)state;
    peer p;
    const msgpack_object *reply = check_body(
        &p,
        "local w = ctx.window local t = w.traces[1]\n"
        "assert(ctx.now == 1060.5 and w.from == 1000 and w.to == 1060 and w.complete and not w.estimated)\n"
        "assert(math.type(t.start_ns) == 'integer' and t.start_ns == 1700000000123456789)\n"
        "return { { type = 'slow', service = t.service, trace = t, value = t.duration_ms, threshold = 800,\n"
        "baseline = -2.5, baseline_samples = 7,\n"
        "labels = { code = 500, ok = true }, severity = 'critical', summary = 'it is slow', for_s = 60 } }");
    assert_ok(reply);
    const msgpack_object *findings = sw_map_get(reply, "findings");
    assert_int_equal(findings->via.array.size, 1);
    const msgpack_object *finding = &findings->via.array.ptr[0];
    assert_text(finding, "type", "slow");
    assert_text(finding, "service", "cart");
    assert_text(finding, "severity", "critical");
    assert_text(finding, "summary", "it is slow");
    assert_number(finding, "value", 1500);
    assert_number(finding, "threshold", 800);
    assert_number(finding, "baseline", -2.5);
    assert_number(finding, "baseline_samples", 7);
    assert_number(finding, "for_s", 60);
    assert_text(sw_map_get(finding, "labels"), "code", "500");
    assert_text(sw_map_get(finding, "labels"), "ok", "true");
    assert_null(sw_map_get(finding, "trace"));
    const msgpack_object *trace = &sw_map_get(finding, "traces")->via.array.ptr[0];
    assert_text(trace, "id", "0123456789abcdef0123456789abcdef");
    assert_text(trace, "operation", "GET /");
    assert_true(sw_map_get(trace, "start_ns")->via.u64 == UINT64_C(1700000000123456789));
    double used = 0;
    assert_true(sw_map_num(sw_map_get(reply, "usage"), "memory_bytes", &used));
    assert_true(used > 10000 && used < MEMORY_BYTES);
    assert_int_equal(peer_end(&p), 0);
}

static void trace_trace_id_and_traces_are_folded_into_one_list(void **state) {
    (void)state;
    peer p;
    const msgpack_object *reply = check_body(
        &p, "return { { type = 'x', trace = { id = 'A' }, trace_id = 'b', traces = { { id = 'c' } } },\n"
            "{ type = 'y', traces = {} } }");
    assert_ok(reply);
    const msgpack_object *findings = sw_map_get(reply, "findings");
    const msgpack_object *traces = sw_map_get(&findings->via.array.ptr[0], "traces");
    assert_int_equal(traces->via.array.size, 3);
    assert_text(&traces->via.array.ptr[0], "id", "0000000000000000000000000000000a");
    assert_text(&traces->via.array.ptr[1], "id", "0000000000000000000000000000000b");
    assert_text(&traces->via.array.ptr[2], "id", "0000000000000000000000000000000c");
    assert_int_equal(sw_map_get(&findings->via.array.ptr[1], "traces")->via.array.size, 0);
    assert_int_equal(peer_end(&p), 0);
}

static void a_detector_may_say_that_it_cannot_tell(void **state) {
    (void)state;
    peer p;
    const msgpack_object *reply = check_body(&p, "ctx.state.seen = true return nil, 'too little'");
    assert_ok(reply);
    assert_text(reply, "unknown", "too little");
    assert_null(sw_map_get(reply, "findings"));
    assert_true(sw_map_bool(sw_map_get(reply, "state"), "seen", false));
    assert_int_equal(peer_end(&p), 0);
}

static void state_keeps_every_plain_value(void **state) {
    (void)state;
    peer p;
    const msgpack_object *reply = check_body(
        &p,
        "local s = ctx.state\n"
        "if s.big then\n"
        "assert(s.big == math.maxinteger and s.small == math.mininteger and math.type(s.big) == 'integer')\n"
        "assert(s.half == 0.5 and math.type(s.one) == 'float' and s.inf == 1/0 and s.bytes == '\\255\\0a')\n"
        "assert(#s.list == 3 and s.list[3] == 'c' and s.sparse[7] == 'g' and s.sparse[-1] == 'm')\n"
        "assert(next(s.empty) == nil and s.no == false and s.deep.er.still == 1)\n"
        "s.again = true return {} end\n"
        "s.big, s.small, s.half, s.one, s.inf = math.maxinteger, math.mininteger, 0.5, 1.0, 1/0\n"
        "s.bytes, s.list, s.sparse = '\\255\\0a', { 'a', 'b', 'c' }, { [7] = 'g', [-1] = 'm' }\n"
        "s.empty, s.no, s.deep = {}, false, { er = { still = 1 } } return {}");
    assert_ok(reply);
    reply = peer_check(&p);
    assert_ok(reply);
    assert_true(sw_map_bool(sw_map_get(reply, "state"), "again", false));
    assert_int_equal(peer_end(&p), 0);
}

static void metrics_come_with_the_reply(void **state) {
    (void)state;
    peer p;
    const msgpack_object *reply = check_body(
        &p, "if ctx.state.n then return {} end ctx.state.n = 1\n"
            "ctx.metric('zscore', 2.5, { service = 'cart', n = 5 }) ctx.metric('plain', 7) return {}");
    assert_ok(reply);
    const msgpack_object *metrics = sw_map_get(reply, "metrics");
    assert_int_equal(metrics->via.array.size, 2);
    assert_text(&metrics->via.array.ptr[0], "name", "zscore");
    assert_number(&metrics->via.array.ptr[0], "value", 2.5);
    assert_text(sw_map_get(&metrics->via.array.ptr[0], "labels"), "n", "5");
    assert_number(&metrics->via.array.ptr[1], "value", 7);
    reply = peer_check(&p);
    assert_ok(reply);
    assert_int_equal(sw_map_get(reply, "metrics")->type, MSGPACK_OBJECT_ARRAY);
    assert_int_equal(sw_map_get(reply, "metrics")->via.array.size, 0);
    assert_int_equal(peer_end(&p), 0);
}

static void a_dry_call_leaves_no_trace(void **state) {
    (void)state;
    peer p;
    peer_start(&p);
    assert_ok(peer_load(&p, "return { check = function(ctx) ctx.state.n = (ctx.state.n or 0) + 1\n"
                            "ctx.log.error('x') print('y') ctx.metric('m', 1)\n"
                            "if ctx.state.n == 1 then local v, message, code = ctx.tempo.search{ q = '{}' }\n"
                            "if code == 'dry' then return { { type = 'x' } } end end return {} end }"));
    peer_send_check(&p, true);
    const msgpack_object *reply = peer_reply(&p, PATIENCE_MS);
    assert_ok(reply);
    assert_int_equal(p.logs, 0);
    assert_int_equal(reply->via.map.size, 2);
    assert_non_null(sw_map_get(reply, "usage"));
    reply = peer_check(&p);
    assert_ok(reply);
    assert_number(sw_map_get(reply, "state"), "n", 1);
    assert_int_equal(p.logs, 2);
    assert_int_equal(peer_end(&p), 0);
}

static void an_explanation_says_what_was_found_and_why_and_keeps_nothing(void **state) {
    (void)state;
    peer p;
    peer_start(&p);
    assert_ok(peer_load(
        &p, "return { config = { limit = 7 }, check = function(ctx) ctx.state.n = (ctx.state.n or 0) + 1\n"
            "ctx.log.error('x') ctx.explain('n is %d of %s', ctx.state.n, ctx.config.limit)\n"
            "return { { type = 'x', value = ctx.state.n } } end }"));
    for (int i = 0; i < 2; i++) {
        peer_send_explain(&p);
        const msgpack_object *reply = peer_reply(&p, PATIENCE_MS);
        assert_ok(reply);
        assert_int_equal(p.logs, 0);
        assert_int_equal(reply->via.map.size, 5);
        assert_number(&sw_map_get(reply, "findings")->via.array.ptr[0], "value", 1);
        assert_number(sw_map_get(reply, "config"), "limit", 7);
        const msgpack_object *lines = sw_map_get(reply, "explained");
        assert_int_equal(lines->via.array.size, 1);
        const msgpack_object *text = &lines->via.array.ptr[0];
        assert_int_equal(text->via.str.size, strlen("n is 1 of 7"));
        assert_memory_equal(text->via.str.ptr, "n is 1 of 7", text->via.str.size);
    }
    const msgpack_object *reply = peer_check(&p);
    assert_ok(reply);
    assert_null(sw_map_get(reply, "explained"));
    assert_number(sw_map_get(reply, "state"), "n", 1);
    assert_int_equal(peer_end(&p), 0);
}

static void explanations_have_a_cap_and_mistakes_in_them_raise(void **state) {
    (void)state;
    peer p;
    peer_start(&p);
    assert_ok(peer_load(
        &p,
        "return { check = function(ctx) for i = 1, 1000 do ctx.explain('line %d', i) end return {} end }"));
    peer_send_explain(&p);
    const msgpack_object *reply = peer_reply(&p, PATIENCE_MS);
    assert_ok(reply);
    assert_int_equal(sw_map_get(reply, "explained")->via.array.size, 201);
    assert_int_equal(peer_end(&p), 0);
    peer_start(&p);
    assert_ok(peer_load(&p, "return { check = function(ctx) ctx.explain('%d', 'x') return {} end }"));
    assert_ok(peer_check(&p)); /* nobody has asked: it is not even made */
    peer_send_explain(&p);
    reply = peer_reply(&p, PATIENCE_MS);
    assert_false(sw_map_bool(reply, "ok", true));
    reply = peer_check(&p);
    assert_ok(reply);
    assert_int_equal(peer_end(&p), 0);
    assert_false(
        sw_map_bool(check_body(&p, "ctx.explain(7) return {}"), "ok", true)); /* a mistake at all times */
    assert_int_equal(peer_end(&p), 0);
}

static void a_dry_call_finds_mistakes(void **state) {
    (void)state;
    peer p;
    peer_start(&p);
    assert_ok(peer_load(&p, "return { check = function(ctx) return { { typ = 'x' } } end }"));
    peer_send_check(&p, true);
    assert_error(peer_reply(&p, PATIENCE_MS), "shape", "key 'typ' is not known");
    assert_int_equal(peer_end(&p), 0);
}

static void pack_env(msgpack_packer *pk) {
    sw_pack_str(pk, "env");
    msgpack_pack_map(pk, 1);
    sw_pack_key_str(pk, "TEMPO_URL", "http://tempo:3200");
}

static void a_configuration_file_becomes_a_table(void **state) {
    (void)state;
    peer p;
    peer_start(&p);
    const msgpack_object *reply =
        peer_source(&p, SW_FRAME_CONFIG, "config.lua",
                    "return { tempo_url = env('TEMPO_URL'), level = env('LEVEL', 'debug'), none = env('X'),\n"
                    "detectors = { detect = { threshold = 2 * 50 } }, list = { 'a', 'b' } }",
                    1, pack_env);
    assert_ok(reply);
    const msgpack_object *config = sw_map_get(reply, "config");
    assert_text(config, "tempo_url", "http://tempo:3200");
    assert_text(config, "level", "debug");
    assert_null(sw_map_get(config, "none"));
    assert_number(map_at(config, "detectors", "detect"), "threshold", 100);
    assert_int_equal(sw_map_get(config, "list")->via.array.size, 2);
    assert_int_equal(peer_end(&p), 0);
}

static void a_mistake_in_a_configuration_file_is_named(void **state) {
    (void)state;
    harness_cpu_ms = CPU_MS;
    static const struct {
        const char *source, *kind, *part;
    } cases[] = {
        {"return {\n a = 1\n b = 2 }", "syntax", "config.lua:3: "},
        {"\nreturn { a = x.y }", "runtime", "config.lua:2: "},
        {"a = 1", "shape", "config.lua: must return a table"},
        {"return { a = { print } }", "shape", "config.lua: config.a[1] is a function"},
        {"while true do end", "cpu", "config.lua:1: "},
        {"env()", "runtime", "bad argument #1 to 'env'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        peer p;
        peer_start(&p);
        assert_error(peer_source(&p, SW_FRAME_CONFIG, "config.lua", cases[i].source, 1, pack_env),
                     cases[i].kind, cases[i].part);
        assert_int_equal(peer_end(&p), 0);
    }
}

static void calls_out_of_order_are_refused(void **state) {
    (void)state;
    peer p;
    peer_start(&p);
    assert_error(peer_check(&p), "runtime", "no detector is loaded");
    assert_ok(peer_load(&p, "return { check = function() return {} end }"));
    assert_error(peer_load(&p, "return { check = print }"), "runtime", "has a script already");
    assert_error(peer_source(&p, SW_FRAME_FORMAT, "x.lua", "", 0, NULL), "runtime", "no format is loaded");
    assert_error(peer_source(&p, SW_FRAME_LOG, "x.lua", "", 0, NULL), "runtime", "does not know this call");
    assert_ok(peer_check(&p));
    assert_int_equal(peer_end(&p), 0);
}

static void memory_of_a_large_window_is_given_back(void **state) {
    (void)state;
    peer p;
    const msgpack_object *reply =
        check_body(&p, "local t = {} for i = 1, 20000 do t[i] = { i } end return {}");
    assert_ok(reply);
    double peak = 0, used = 0;
    assert_true(sw_map_num(sw_map_get(reply, "usage"), "memory_peak_bytes", &peak));
    assert_true(peak > 1e6);
    for (int i = 0; i < 20; i++) {
        reply = peer_check(&p);
        assert_ok(reply);
        assert_true(sw_map_num(sw_map_get(reply, "usage"), "memory_peak_bytes", &used));
        assert_true(used < 3 * peak);
    }
    assert_int_equal(peer_end(&p), 0);
}

static int ample_time(void **state) {
    (void)state;
    harness_cpu_ms = 10000;
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ready_comes_first_and_the_end_of_the_socket_ends_the_worker),
        cmocka_unit_test(nonsense_from_the_host_ends_the_worker),
        cmocka_unit_test(load_says_what_the_detector_is),
        cmocka_unit_test(what_a_detector_leaves_out_has_a_default),
        cmocka_unit_test(what_is_no_detector_is_refused_with_the_reason),
        cmocka_unit_test(an_error_comes_with_a_traceback),
        cmocka_unit_test(the_agents_configuration_goes_over_the_defaults),
        cmocka_unit_test(state_is_taken_over_migrated_or_dropped),
        cmocka_unit_test(a_migration_that_fails_refuses_the_version),
        cmocka_unit_test(a_window_becomes_findings),
        cmocka_unit_test(trace_trace_id_and_traces_are_folded_into_one_list),
        cmocka_unit_test(a_detector_may_say_that_it_cannot_tell),
        cmocka_unit_test(state_keeps_every_plain_value),
        cmocka_unit_test(metrics_come_with_the_reply),
        cmocka_unit_test(a_dry_call_leaves_no_trace),
        cmocka_unit_test(an_explanation_says_what_was_found_and_why_and_keeps_nothing),
        cmocka_unit_test(explanations_have_a_cap_and_mistakes_in_them_raise),
        cmocka_unit_test(a_dry_call_finds_mistakes),
        cmocka_unit_test(a_configuration_file_becomes_a_table),
        cmocka_unit_test_teardown(a_mistake_in_a_configuration_file_is_named, ample_time),
        cmocka_unit_test(calls_out_of_order_are_refused),
        cmocka_unit_test(memory_of_a_large_window_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
