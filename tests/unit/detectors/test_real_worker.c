/* The host's end with the real worker: Lua that behaves, and Lua that does not. */
#include "detectors/harness.h"

#include <fcntl.h>
#include <signal.h>

#define WORKER SW_BUILD_DIR "/spanwatch-worker"

#define GOOD                                                                                                 \
    "return { wants = { min_duration_ms = 1000, errors = true }, check = function(ctx)\n"                    \
    "  ctx.state.n = (ctx.state.n or 0) + 1\n"                                                               \
    "  local traces = {}\n"                                                                                  \
    "  for _, t in ipairs(ctx.window.traces) do traces[#traces + 1] = t end\n"                               \
    "  return { { type = 'good', value = ctx.state.n, traces = traces, summary = ctx.config.word } }\n"      \
    "end, config = { word = 'default' } }\n"

static harness *with_real(void) {
    harness *h = harness_new(WORKER);
    h->real_clock = true;
    return h;
}

static void started(harness *h, unsigned errors) {
    harness_start(h);
    assert_int_equal(scan(h), errors);
}

static char *settings(const char *name, void *arg) {
    (void)arg;
    return xstrdup(strcmp(name, "good") == 0 ? "{\"word\": \"configured\"}" : "{}");
}

static void a_detector_finds_and_remembers(void **state) {
    (void)state;
    harness *h = with_real();
    write_file(h, "good.lua", GOOD);
    h->options.config_for = settings;
    started(h, 0);
    verdict v = check(h, "good");
    assert_int_equal(v.status, SW_CHECK_OK);
    assert_string_equal(v.type, "good");
    assert_string_equal(v.summary, "configured");
    assert_int_equal(v.n_traces, 2); /* one slow, one failed */
    assert_string_equal(v.trace_service, "service1");
    sw_detector *d = detector(h, "good");
    kill(pid_of(d), SIGKILL);
    RUN_UNTIL(h, d->n_kills == 1 && d->running->loaded);
    assert_true(check(h, "good").value == 2);
    assert_true(d->memory_peak_bytes > 0);
    harness_free(h);
}

struct explained {
    bool done;
    sw_check_status status;
    char message[256], line[256], second[256], config[256];
    size_t n_lines, n_findings, n_traces;
    double value;
};

static void on_explained(const sw_explanation *explanation, void *arg) {
    struct explained *e = arg;
    assert_false(e->done);
    *e = (struct explained){.done = true,
                            .status = explanation->status,
                            .n_lines = explanation->n_lines,
                            .n_findings = explanation->n_findings};
    snprintf(e->message, sizeof e->message, "%s", explanation->message != NULL ? explanation->message : "");
    snprintf(e->line, sizeof e->line, "%s", e->n_lines > 0 ? explanation->lines[0] : "");
    snprintf(e->second, sizeof e->second, "%s", e->n_lines > 1 ? explanation->lines[1] : "");
    snprintf(e->config, sizeof e->config, "%s",
             explanation->config_json != NULL ? explanation->config_json : "");
    if (e->n_findings > 0) {
        e->value = explanation->findings[0].value;
        e->n_traces = explanation->findings[0].n_traces;
    }
}

static struct explained explain(harness *h, const char *name, double duration_ms) {
    struct explained e = {0};
    sw_window window;
    sw_window_init(&window);
    sw_trace trace = {.id = "00000000000000000000000000000001",
                      .source = "tempo",
                      .service = "shop",
                      .operation = "GET /",
                      .error_message = "",
                      .duration_ms = duration_ms};
    window.to_s = 1700000000;
    window.traces = &trace;
    window.n_traces = 1;
    assert_int_equal(sw_detector_explain(detector(h, name), &window, 1, on_explained, &e), 0);
    assert_int_equal(sw_detector_explain(detector(h, name), &window, 1, on_explained, &e),
                     -1); /* one at a time */
    window.traces = NULL;
    window.n_traces = 0;
    sw_window_release(&window);
    RUN_UNTIL(h, e.done);
    return e;
}

static void an_explanation_is_a_dry_call_with_the_state_of_now(void **state) {
    (void)state;
    harness *h = with_real();
    write_file(
        h, "good.lua",
        "local lib = require 'helper'\n"
        "return { wants = { min_duration_ms = 1000 }, config = { word = 'default', deep = { a = 1 } },\n"
        "check = function(ctx)\n"
        "  ctx.state.n = (ctx.state.n or 0) + 1\n"
        "  local findings = {}\n"
        "  for _, t in ipairs(ctx.window.traces) do\n"
        "    ctx.explain('%s took %g ms, %s', t.service, t.duration_ms, lib)\n"
        "    findings[#findings + 1] = { type = 'good', value = ctx.state.n, trace = t }\n"
        "  end\n"
        "  ctx.explain('asked: %s', select(3, ctx.http.get { url = 'http://127.0.0.1/' }))\n"
        "  return findings\n"
        "end }\n");
    make_folder(h, "lib");
    write_file(h, "lib/helper.lua", "return 'helped'");
    h->options.config_for = settings;
    started(h, 0);
    check(h, "good");
    check(h, "good");
    for (int i = 0; i < 2; i++) {
        struct explained e = explain(h, "good", 420);
        assert_int_equal(e.status, SW_CHECK_OK);
        assert_int_equal(e.n_lines, 2);
        assert_string_equal(e.line, "shop took 420 ms, helped"); /* although it does not want to see it */
        assert_string_equal(e.second, "asked: dry");
        assert_non_null(strstr(e.config, "\"word\":\"configured\""));
        assert_non_null(strstr(e.config, "\"deep\":{\"a\":1}"));
        assert_true(e.n_findings == 1 && e.n_traces == 1 && e.value == 3); /* nothing of it is kept */
    }
    assert_true(check(h, "good").value == 3);
    harness_free(h);
}

static void an_explanation_that_fails_harms_nobody(void **state) {
    (void)state;
    harness *h = with_real();
    write_file(h, "bad.lua",
               "return { check = function(ctx)\n"
               "  for _, t in ipairs(ctx.window.traces) do\n"
               "    if t.duration_ms == 1 then error('no idea') end\n"
               "    if t.duration_ms == 2 then while true do end end\n"
               "    if t.duration_ms == 3 then return nil, 'cannot tell' end\n"
               "  end\n"
               "  return {}\n"
               "end }");
    h->options.worker_cpu_ms = 50;
    started(h, 0);
    for (int i = 0; i < 4; i++) {
        struct explained e = explain(h, "bad", 1);
        assert_int_equal(e.status, SW_CHECK_FAILED);
        assert_non_null(strstr(e.message, "bad.lua:3: no idea"));
    }
    struct explained e = explain(h, "bad", 2);
    assert_int_equal(e.status, SW_CHECK_FAILED);
    assert_non_null(strstr(e.message, "bad.lua:4:"));
    e = explain(h, "bad", 3);
    assert_int_equal(e.status, SW_CHECK_UNKNOWN);
    assert_string_equal(e.message, "cannot tell");
    sw_detector *d = detector(h, "bad");
    assert_true(sw_detector_ready(d) && d->failures == 0 && d->n_kills == 0 && d->n_restarts == 0);
    assert_int_equal(check(h, "bad").status, SW_CHECK_OK);
    /* One that is under way ends with the detectors. */
    sw_window window;
    sw_window_init(&window);
    struct explained never = {0};
    assert_int_equal(sw_detector_explain(d, &window, 1, on_explained, &never), 0);
    sw_detectors_explain_cancel(h->detectors);
    assert_int_equal(sw_detector_explain(d, &window, 1, on_explained, &never), 0);
    sw_window_release(&window);
    harness_free(h);
    assert_false(never.done);
}

static void the_scripts_that_come_along_load(void **state) {
    (void)state;
    harness *h = with_real();
    h->options.scripts_dir = SW_SOURCE_DIR "/scripts";
    started(h, 0);
    assert_non_null(detector(h, "detect"));
    verdict v = check(h, "detect");
    assert_int_equal(v.status, SW_CHECK_OK);
    assert_true(v.n_findings > 0);
    harness_free(h);
}

static void mistakes_are_named_with_file_and_line(void **state) {
    (void)state;
    harness *h = with_real();
    write_file(h, "syntax.lua", "return {\n check = = 1 }");
    write_file(h, "shape.lua", "return 7");
    write_file(h, "raises.lua", "return { check = function(ctx)\n  error('dry run sees this')\nend }");
    write_file(h, "bytecode.lua", "\x1bLua");
    write_file(h, "empty.lua", "");
    started(h, 5);
    assert_true(logged(h, "syntax.lua:2:"));
    assert_true(logged(h, "raises.lua:2: dry run sees this"));
    assert_true(logged(h, "kind=bytecode"));
    assert_int_equal(times_logged(h, "kind=shape"), 2);
    assert_int_equal(sw_detectors_count(h->detectors), 0);
    harness_free(h);
}

/* Only with traces: the trial call on an empty window does not see it. */
#define EVIL(body)                                                                                           \
    "return { wants = { errors = true }, check = function(ctx)\n"                                            \
    "  if #ctx.window.traces > 0 then " body " end\n"                                                        \
    "  return {}\nend }"

/* What an evil script does, and how that must end. */
typedef struct evil {
    const char *name, *script, *kind, *message;
} evil;

/* Runs them one after another; a good detector goes on all the time. */
static void expect_ends(const evil *evils, size_t n, int64_t timeout_ms) {
    harness *h = with_real();
    h->options.worker_timeout_ms = timeout_ms;
    h->options.worker_cpu_ms = 200;
    write_file(h, "good.lua", GOOD);
    for (size_t i = 0; i < n; i++) {
        char file[64];
        snprintf(file, sizeof file, "%s.lua", evils[i].name);
        write_file(h, file, evils[i].script);
    }
    started(h, 0);
    double n_good = 0;
    for (size_t i = 0; i < n; i++) {
        verdict bad, good;
        start_check(detector(h, evils[i].name), &bad);
        do {
            start_check(detector(h, "good"), &good);
            RUN_UNTIL(h, good.done);
            assert_int_equal(good.status, SW_CHECK_OK);
            assert_true(good.value == ++n_good);
        } while (!bad.done);
        if (bad.status != SW_CHECK_FAILED || strcmp(bad.kind, evils[i].kind) != 0 ||
            strstr(bad.message, evils[i].message) == NULL) {
            fail_msg("%s: %s: %s", evils[i].name, bad.kind, bad.message);
        }
        assert_true(n_good > 1);
    }
    harness_free(h);
}

static void hostile_scripts_end_in_their_own_worker(void **state) {
    (void)state;
    static const evil evils[] = {
        {"loop", EVIL("while true do end"), "cpu", "loop.lua:2"},
        {"in_pcall", EVIL("while true do pcall(function() while true do end end) end"), "cpu",
         "in_pcall.lua:2"},
        {"in_handler", EVIL("while true do xpcall(error, function() while true do end end) end"), "cpu", ""},
        {"memory", EVIL("local s = 'x' while true do s = s .. s end"), "memory", ""},
        {"raise", EVIL("error('no')"), "runtime", "raise.lua:2: no"},
        {"nonsense", EVIL("return { { type = 7 } }"), "shape", ""},
        {"files", EVIL("io.open('/etc/passwd')"), "runtime", "io"},
        {"process", EVIL("os.execute('id')"), "runtime", "execute"},
    };
    expect_ends(evils, SW_ARRAY_LEN(evils), 30000);
}

static void loops_that_lua_cannot_end_are_killed(void **state) {
    (void)state;
    static const evil evils[] = {
        {"pattern", EVIL("string.find(('a'):rep(3000), ('.-'):rep(30) .. 'b$')"), "timeout", "700 ms"},
        {"rep", EVIL("string.rep('', math.maxinteger)"), "timeout", "700 ms"},
    };
    expect_ends(evils, SW_ARRAY_LEN(evils), 700);
}

static void a_reload_under_load_loses_nothing(void **state) {
    (void)state;
    harness *h = with_real();
    write_file(h, "good.lua", GOOD);
    started(h, 0);
    enum { CALLS = 200 };
    static verdict v[CALLS];
    unsigned version = 0;
    h->scanned = true;
    for (unsigned i = 0; i < CALLS; i++) {
        start_check(detector(h, "good"), &v[i]);
        if (h->scanned) {
            version++;
            char *text =
                xasprintf("-- version %u\n%s%s", version, version % 3 == 0 ? "syntax error" : "", GOOD);
            write_file(h, "good.lua", text);
            free(text);
            h->scanned = false;
            sw_detectors_scan(h->detectors, on_scanned, h);
        }
        if (i % 50 == 49) {
            int pid = pid_of(detector(h, "good"));
            if (pid > 0) {
                kill(pid, SIGKILL);
            }
        }
        RUN_UNTIL(h, i < 3 || v[i - 3].done);
    }
    RUN_UNTIL(h, v[CALLS - 1].done);
    double last = 0;
    unsigned failed = 0;
    for (unsigned i = 0; i < CALLS; i++) {
        assert_true(i == 0 || v[i].order == v[i - 1].order + 1);
        if (v[i].status == SW_CHECK_OK) {
            assert_true(v[i].value == last + 1); /* what failed took nothing, what succeeded is kept */
            last = v[i].value;
        } else {
            assert_string_equal(v[i].kind, "crash");
            failed++;
        }
    }
    assert_true(failed <= 4);
    assert_true(version > 3);
    harness_free(h);
}

static void a_new_state_version_is_migrated(void **state) {
    (void)state;
    harness *h = with_real();
    write_file(h, "good.lua", GOOD);
    started(h, 0);
    assert_true(check(h, "good").value == 1);
    write_file(h, "good.lua",
               "return { state_version = 2, migrate = function(old, version)\n"
               "  return { count = old.n * 100 + version } end,\n"
               "check = function(ctx)\n"
               "  ctx.state.count = ctx.state.count + 1\n"
               "  return { { type = 'x', value = ctx.state.count } } end }");
    /* The trial call works on a copy, so the script must manage with what migrate() gave it. */
    assert_int_equal(scan(h), 0);
    verdict v = check(h, "good");
    assert_int_equal(v.status, SW_CHECK_OK);
    assert_true(v.value == 102);
    assert_int_equal(v.state_version, 2);
    harness_free(h);
}

static void modules_are_found_in_lib(void **state) {
    (void)state;
    harness *h = with_real();
    make_folder(h, "lib");
    write_file(h, "lib/answer.lua", "return { value = 42 }");
    write_file(h, "one.lua",
               "local answer = require 'answer'\n"
               "return { check = function() return { { type = 'x', value = answer.value } } end }");
    write_file(h, "two.lua", "require '../../etc/passwd'");
    started(h, 1);
    assert_true(check(h, "one").value == 42);
    write_file(h, "lib/answer.lua", "return { value = 43 }");
    assert_int_equal(scan(h), 1);
    assert_true(check(h, "one").value == 43);
    harness_free(h);
}

static void the_unknown_and_metrics_come_back(void **state) {
    (void)state;
    harness *h = with_real();
    write_file(h, "one.lua",
               "return { check = function(ctx)\n"
               "  ctx.metric('my_gauge', 1.5, { zone = 'a' })\n"
               "  ctx.log.info('said', { n = '1' })\n"
               "  return nil, 'not enough' end }");
    started(h, 0);
    assert_false(logged(h, "msg=said")); /* not in the trial call */
    verdict v = check(h, "one");
    assert_int_equal(v.status, SW_CHECK_UNKNOWN);
    assert_string_equal(v.message, "not enough");
    assert_true(logged(h, "msg=said detector=one"));
    sw_buf out;
    sw_buf_init(&out, 1 << 20);
    sw_metrics_render(h->metrics, &out);
    assert_non_null(strstr(out.data, "my_gauge{detector=\"one\",zone=\"a\"} 1.5"));
    sw_buf_release(&out);
    harness_free(h);
}

/* ---- one call, waited for ---- */

static int once(int kind, const char *payload, const char *dir, int64_t timeout_ms, char **reply,
                char **error) {
    *reply = *error = NULL;
    return sw_worker_call_once(WORKER, kind, payload, SW_SOURCE_DIR "/scripts", dir, timeout_ms, reply,
                               error);
}

#define LIMITS "\"limits\":{\"memory_bytes\":67108864,\"cpu_ms\":500}"

static void one_call_gives_a_reply(void **state) {
    (void)state;
    char *reply = NULL, *error = NULL;
    assert_int_equal(once(SW_FRAME_CONFIG,
                          "{\"path\":\"c.lua\",\"source\":\"return { a = 1, b = { 'x' } }\"," LIMITS
                          ",\"env\":{}}",
                          NULL, 20000, &reply, &error),
                     0);
    assert_null(error);
    json_t *json = json_loads(reply, 0, NULL);
    assert_true(json_is_true(json_object_get(json, "ok")));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "config"), "a")), 1);
    json_decref(json);
    free(reply);
}

static void one_call_tells_the_scripts_mistakes(void **state) {
    (void)state;
    char *reply = NULL, *error = NULL;
    assert_int_equal(once(SW_FRAME_LOAD,
                          "{\"path\":\"d.lua\",\"source\":\"return\\n(\",\"config\":{},\"state\":null,"
                          "\"state_version\":0," LIMITS ",\"agent\":{\"version\":\"x\",\"interval_s\":30}}",
                          NULL, 20000, &reply, &error),
                     0);
    json_t *json = json_loads(reply, 0, NULL);
    assert_true(json_is_false(json_object_get(json, "ok")));
    const json_t *failure = json_object_get(json, "error");
    assert_string_equal(json_string_value(json_object_get(failure, "kind")), "syntax");
    assert_memory_equal(json_string_value(json_object_get(failure, "message")), "d.lua:2:", 8);
    json_decref(json);
    free(reply);
}

static void one_call_finds_modules(void **state) {
    (void)state;
    char *reply = NULL, *error = NULL;
    int result =
        once(SW_FRAME_LOAD,
             "{\"path\":\"d.lua\",\"source\":\"require 'statistics' return { check = function() end }\","
             "\"config\":{},\"state\":null,\"state_version\":0," LIMITS
             ",\"agent\":{\"version\":\"x\",\"interval_s\":30}}",
             NULL, 20000, &reply, &error);
    assert_int_equal(result, 0);
    assert_non_null(strstr(reply, "\"ok\":true"));
    free(reply);
}

static void one_call_that_does_not_end_is_ended(void **state) {
    (void)state;
    char *reply = NULL, *error = NULL;
    int result = once(SW_FRAME_CONFIG,
                      "{\"path\":\"c.lua\",\"source\":\"return string.rep('', math.maxinteger)\"," LIMITS
                      ",\"env\":{}}",
                      NULL, 300, &reply, &error);
    assert_int_equal(result, -1);
    assert_null(reply);
    assert_non_null(strstr(error, "no answer within 300 ms"));
    free(error);
    assert_int_equal(once(SW_FRAME_CONFIG, "[]", NULL, 300, &reply, &error), -1);
    assert_non_null(strstr(error, "not a JSON object"));
    free(error);
    error = NULL;
    assert_int_equal(
        sw_worker_call_once("/nonexistent", SW_FRAME_CONFIG, "{}", NULL, NULL, 300, &reply, &error), -1);
    assert_non_null(strstr(error, "cannot start the worker program"));
    free(error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_detector_finds_and_remembers),
        cmocka_unit_test(an_explanation_is_a_dry_call_with_the_state_of_now),
        cmocka_unit_test(an_explanation_that_fails_harms_nobody),
        cmocka_unit_test(the_scripts_that_come_along_load),
        cmocka_unit_test(mistakes_are_named_with_file_and_line),
        cmocka_unit_test(hostile_scripts_end_in_their_own_worker),
        cmocka_unit_test(loops_that_lua_cannot_end_are_killed),
        cmocka_unit_test(a_reload_under_load_loses_nothing),
        cmocka_unit_test(a_new_state_version_is_migrated),
        cmocka_unit_test(modules_are_found_in_lib),
        cmocka_unit_test(the_unknown_and_metrics_come_back),
        cmocka_unit_test(one_call_gives_a_reply),
        cmocka_unit_test(one_call_tells_the_scripts_mistakes),
        cmocka_unit_test(one_call_finds_modules),
        cmocka_unit_test(one_call_that_does_not_end_is_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
