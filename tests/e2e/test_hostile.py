"""No script can stop the agent, or another script, whatever it does."""

import time

import pytest
from support.agent import ROOT, eventually
from test_exact import assert_told_exactly

# What each does in `check`, but not in the first calls: it passes the trial call before it is taken in.
HOSTILE = {
    "loop": "while true do end",
    "loop_in_pcall": "while true do pcall(function() while true do end end) end",
    "loop_in_xpcall_handler": "xpcall(function() error('x') end, function() while true do end end)",
    "loop_in_handler_of_the_limit": "xpcall(function() while true do end end, function() while true do end end)",
    "loop_in_gc": "setmetatable({}, { __gc = function() while true do end end }) for i = 1, 1e6 do local t = { i } end",
    "loop_in_close": "do local x <close> = setmetatable({}, { __close = function() while true do end end }) end",
    "loop_in_nested_coroutines": (
        "local function nest(n) if n == 0 then while true do end end"
        " coroutine.wrap(function() while true do pcall(nest, n - 1) end end)() end nest(20)"
    ),
    "loop_in_sort": "table.sort({ 1, 2, 3, 4, 5 }, function() while true do end end)",
    "loop_in_metamethod": "local t = setmetatable({}, { __index = function() while true do end end }) return t.x",
    "memory": "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1e6) .. i end",
    "memory_in_pcall": "local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(1e7) end) end",
    "memory_in_state": "for i = 1, 1e7 do ctx.state[i] = ('x'):rep(100) .. i end",
    "big_string": "local s = ('x'):rep(1e9) return { { type = 'a', summary = s } }",
    "pattern": "string.find(('a'):rep(300000), '.-.-.-.-b$')",
    "empty_rep": "string.rep('', math.maxinteger)",
    "table_move": "table.move({}, 1, math.maxinteger, 2)",
    "recursion": "local function f() return 1 + f() end f()",
    "deep_table": "local t = {} for i = 1, 100000 do t = { t } end ctx.state.t = t",
    "cycle_in_state": "local t = {} t.t = t ctx.state.t = t",
    "function_in_state": "ctx.state.f = function() end",
    "many_findings": "local t = {} for i = 1, 1e5 do t[i] = { type = 'x', service = 's' .. i } end return t",
    "wrong_shape": "return 'nothing'",
    "wrong_finding": "return { { service = 'no type' } }",
    "error_object": "error(setmetatable({}, { __tostring = function() while true do end end }))",
    "error_nil": "error(nil)",
    "bytecode": "load(string.dump(function() end) or '\\27Lua', 'x', 'b')()",
    "open_file": "io.open('/etc/passwd')",
    "process": "os.execute('touch /tmp/spanwatch-was-here')",
    "exit": "os.exit(0)",
    "environment": "ctx.state.home = os.getenv('HOME')",
    "load_library": "package.loadlib('/usr/lib/x86_64-linux-gnu/libc.so.6', 'system')",
    "require_outside": "require '../../../etc/passwd'",
    "debug": "debug.sethook()",
    "log_flood": "for i = 1, 1e9 do ctx.log.error(('x'):rep(10000)) end",
    "metric_flood": "for i = 1, 1e9 do ctx.metric('m' .. i, i) end",
    "bad_metric": "ctx.metric('trace_anomalies_total', 5)",
}

GOOD = """
return {
  wants = { series = true },
  check = function(ctx)
    ctx.state.n = (ctx.state.n or 0) + 1
    ctx.metric("good_calls", ctx.state.n)
    return {}
  end,
}
"""


def checks(agent, name):
    """{result: n} of a detector."""
    return {
        dict(labels)["result"]: value
        for (metric, labels), value in agent.metrics().items()
        if metric == "spanwatch_detector_checks_total" and dict(labels)["detector"] == name
    }


def failures(agent, name):
    return sum(n for result, n in checks(agent, name).items() if result not in ("ok", "success", "unknown"))


def write_hostile(scripts, name):
    (scripts / f"{name}.lua").write_text(
        "return { wants = { series = true }, check = function(ctx)\n"
        "if not ctx.state.calls then ctx.state.calls = 1 return {} end -- it behaves at first\n"
        f"do {HOSTILE[name]} end\nreturn {{}} end }}\n"
    )


# The good detectors have the same limits: the wall-clock one leaves room for a machine that stands still for a while.
LIMITS = {"SPANWATCH_WORKER_CPU_MS": 200, "SPANWATCH_WORKER_TIMEOUT_MS": 3000, "SPANWATCH_WORKER_MEMORY_MB": 16}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_script_hurts_only_itself(tempo, webhook, make_agent, scripts, name):
    (scripts / "good.lua").write_text(GOOD)
    write_hostile(scripts, name)
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, **LIMITS).wait_ready()
    eventually(lambda: agent.metric("good_calls") >= 1, "the good detector")
    eventually(lambda: failures(agent, name) >= 1, lambda: f"a failure of {name}: {checks(agent, name)}")
    calls, ticks = agent.metric("good_calls"), agent.metric("spanwatch_ticks_total")
    agent.wait_ticks(2)
    calls, ticks = agent.metric("good_calls") - calls, agent.metric("spanwatch_ticks_total") - ticks
    assert calls >= ticks - 1, "the good detector kept its ticks"
    assert failures(agent, "good") == 0 and failures(agent, "detect") == 0
    assert any(name in line for line in agent.log().splitlines() if "level=warn" in line or "level=error" in line), "it is named"
    assert agent.metric("trace_anomalies_total", type="high_latency") == 0


@pytest.mark.slow
def test_all_of_them_together_lose_no_alert(tempo, webhook, make_agent, traffic, scripts):
    now = time.time()
    traffic.mixed(200, now - 20, now + 8, slow_ms=(1100, 2000), slow=0.1, failed=0.1)
    tempo.plant(traffic)
    (scripts / "good.lua").write_text(GOOD)
    for name in HOSTILE:
        write_hostile(scripts, name)
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_GROUP_BY="trace_id", **LIMITS).wait_ready()
    truth = len(traffic.slow()) + len(traffic.failed())
    told = lambda: len(webhook.reported("high_latency")) + len(webhook.reported("error_status"))  # noqa: E731
    eventually(lambda: told() >= truth, lambda: f"{truth} alerts, there are {told()}", 60)
    for name in HOSTILE:
        eventually(lambda: failures(agent, name) >= 1, lambda: f"a failure of {name}", 60)
    agent.wait_delivered()
    assert_told_exactly(webhook, traffic, agent)
    assert failures(agent, "good") == 0 and failures(agent, "detect") == 0


def test_a_detector_that_fails_again_and_again_is_called_less_often_and_alerted_about(tempo, webhook, make_agent, scripts):
    (scripts / "failing.lua").write_text("return { check = function(ctx) if ctx.state.n then error('broken for good') end ctx.state.n = 1 return {} end }")
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    eventually(lambda: any("failing" in str(body) for body in webhook.bodies(status="firing")), "an alert about the detector")
    ticks, failed = agent.metric("spanwatch_ticks_total"), failures(agent, "failing")
    agent.wait_ticks(4)
    assert failures(agent, "failing") - failed < agent.metric("spanwatch_ticks_total") - ticks


def test_a_script_cannot_reach_hosts_that_are_not_allowed(tempo, webhook, make_agent, scripts, make_webhook):
    inside, outside = make_webhook(), make_webhook()
    (scripts / "caller.lua").write_text(
        f"""
        return {{ check = function(ctx)
          local answer = ctx.http.get {{ url = "{inside.url}/allowed" }}
          ctx.metric("allowed", answer and answer.status or -1)
          local other, message, code = ctx.http.get {{ url = "{outside.url}/forbidden" }}
          ctx.metric("forbidden", other == nil and 1 or 0, {{ code = code }})
          return {{}}
        end }}"""
    )
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_HTTP_ALLOWED_HOSTS=f"127.0.0.1:{inside.port}").wait_ready()
    eventually(lambda: agent.metric("allowed") == 200, "an answer of the allowed host")
    assert agent.metric("forbidden") == 1
    assert not outside.seen()


def test_a_script_asks_tempo_questions_of_its_own(tempo, webhook, make_agent, traffic, scripts):
    example = ROOT / "examples" / "traceql.lua"
    now = time.time()
    for i in range(5):
        traffic.trace(now - 20 + i, duration_ms=5, service="shop", operation="GET /cart", children=40)
    traffic.trace(now - 10, duration_ms=5, service="shop", operation="GET /", children=2)
    tempo.plant(traffic)
    (scripts / "traceql.lua").write_text(example.read_text().replace("every_s = 60", "every_s = 1"))
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    eventually(lambda: len(webhook.reported("n_plus_one_queries")) >= 5, "five traces")
    agent.wait_delivered()
    assert sorted(webhook.reported("n_plus_one_queries")) == sorted(id for id, spans in traffic.traces.items() if len(spans) > 31)
