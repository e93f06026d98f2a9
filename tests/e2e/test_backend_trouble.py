"""A query that fails, times out or is cut short means unknown, never zero; nothing is lost over it."""

import time

import pytest
from support.agent import eventually
from test_exact import assert_told_exactly

# Alerts when there were no requests at all: what an agent that takes unknown for zero would say.
SILENCE = """
return {
  wants = { series = true },
  check = function(ctx)
    if not ctx.window.complete then
      ctx.metric("incomplete_windows", 1, { reason = ctx.window.reason:sub(1, 60) })
      return nil, ctx.window.reason
    end
    local count = 0
    for _, series in ipairs(ctx.window.series) do count = count + series.count end
    ctx.metric("window_requests", count)
    if count == 0 then return { { type = "silence" } } end
    return {}
  end,
}
"""


def metrics_question(request):
    return "/api/metrics" in request.path


def search_question(request):
    return "/api/search" in request.path


def any_question(request):
    return request.path.startswith("/api/")


def steady(traffic, seconds, per_second=10, **options):
    """Traffic from 40 s ago until `seconds` from now, without a second of silence."""
    now = time.time()
    for i in range(-40 * per_second, int(seconds * per_second)):
        traffic.trace(now + i / per_second, duration_ms=5, **options)
    return now


def told(webhook):
    return len(webhook.reported("high_latency")) + len(webhook.reported("error_status"))


@pytest.mark.parametrize(
    "kind, options",
    [
        ("half", {}),
        ("status", {"status": 500, "body": b"error querying: context deadline exceeded"}),
        ("status", {"status": 429, "body": b"job queue full"}),
        ("status", {"status": 503, "body": b"starting"}),
        ("wrong_type", {"body": b"<html>login</html>"}),
        ("status", {"status": 200, "body": b'{"series": 7, "traces": "none"}', "headers": {"Content-Type": "application/json"}}),
        ("status", {"status": 200, "body": b"", "headers": {"Content-Type": "application/json"}}),
        ("status", {"status": 200, "body": b"{" * 100000, "headers": {"Content-Type": "application/json"}}),
        ("huge", {"size": 80 << 20}),
        ("reset", {}),
        ("drip", {"seconds": 0.3}),
        ("late", {"seconds": 3}),
    ],
    ids=["half", "500", "429", "503", "html", "wrong-shape", "empty", "deep", "huge", "reset", "drip", "late"],
)
def test_an_answer_that_is_broken_is_unknown_and_not_zero(tempo, webhook, make_agent, traffic, scripts, kind, options):
    (scripts / "silence.lua").write_text(SILENCE)
    steady(traffic, 40)
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, TEMPO_LOOKBACK_WINDOW_SECS=3, TEMPO_QUERY_TIMEOUT_MAX_MS=900).wait_ready()
    eventually(lambda: agent.metric("window_requests") > 0, "a good window")
    fault = tempo.fault(kind, when=any_question, **options)
    eventually(lambda: fault.hits >= 4, "broken answers")
    agent.wait_ticks(2)
    # An offender in the middle of the trouble is told when it is over.
    slow = traffic.trace(time.time() - 1, duration_ms=1100, service="late", operation="x")
    tempo.plant([slow])
    checks = agent.metrics()
    assert checks.total("trace_alert_checks_total", status="error") + checks.total("trace_alert_checks_total", status="incomplete") > 0
    assert not webhook.bodies("silence")
    tempo.heal()
    eventually(lambda: slow[0].trace_id in webhook.reported("high_latency"), "the offender after the trouble")
    agent.wait_delivered()
    assert not webhook.bodies("silence"), "unknown was taken for zero"
    assert agent.metric("window_requests") > 0


def test_counts_that_fail_alone_do_not_hold_up_traces(tempo, webhook, make_agent, traffic, scripts):
    (scripts / "silence.lua").write_text(SILENCE)
    steady(traffic, 30)
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, TEMPO_LOOKBACK_WINDOW_SECS=3).wait_ready()
    eventually(lambda: agent.metric("window_requests") > 0, "a good window")
    tempo.fault("half", when=metrics_question)
    slow = traffic.trace(time.time() - 2, duration_ms=1100)
    tempo.plant([slow])
    eventually(lambda: slow[0].trace_id in webhook.reported("high_latency"), "the slow trace while counts fail")
    agent.wait_ticks(2)
    tempo.heal()
    agent.wait_delivered()
    assert not webhook.bodies("silence")


def test_tempo_that_is_away_for_a_while_loses_nothing(tempo, webhook, make_agent, traffic):
    now = time.time()
    traffic.mixed(250, now - 20, now + 8, slow_ms=(1100, 2000), slow=0.1, failed=0.1)
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, SPANWATCH_GROUP_BY="trace_id").wait_ready()
    agent.wait_ticks(1)
    tempo.stop()
    eventually(lambda: agent.metric("trace_alert_checks_total", status="error") >= 4, "ticks without Tempo")
    assert (agent.get("/-/ready"))[0] == 503
    assert agent.get("/-/healthy")[0] == 200
    tempo.start()
    truth = len(traffic.slow()) + len(traffic.failed())
    eventually(lambda: told(webhook) >= truth, lambda: f"{truth} alerts, there are {told(webhook)}")
    agent.wait_delivered()
    assert_told_exactly(webhook, traffic, agent)
    # Noticed once when it goes and once when it is back, not at every tick.
    about = [line for line in agent.log().splitlines() if ("level=warn" in line or "level=error" in line) and "tempo" in line.lower()]
    assert 1 <= len(about) <= 3, about


def test_windows_missed_while_tempo_was_away_are_judged_afterwards(tempo, webhook, make_agent, traffic, scripts):
    # A burst of failures that began and ended while Tempo was away.
    now = time.time()
    traffic.mixed(100, now - 30, now + 2, slow=0, failed=0)
    for i in range(60):
        traffic.trace(now + 3 + i / 60, duration_ms=2, service="shop", operation="a", error="x")
    traffic.mixed(100, now + 4, now + 12, slow=0, failed=0)
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, TEMPO_LOOKBACK_WINDOW_SECS=2).wait_ready()
    tempo.stop()
    eventually(lambda: time.time() > now + 8, "the end of the burst")
    assert not webhook.bodies("high_error_rate")
    tempo.start()
    eventually(lambda: any(body.get("service") == "shop" for body in webhook.bodies("high_error_rate", "firing")), "the burst")
    body = next(body for body in webhook.bodies("high_error_rate", "firing") if body.get("service") == "shop")
    assert body["value"] == 1


def test_a_slow_tempo_is_late_and_not_invisible(tempo, webhook, make_agent, traffic):
    now = time.time()
    traffic.mixed(200, now - 30, now + 4, slow_ms=(1100, 2000), slow=0.1, failed=0.1)
    tempo.plant(traffic)
    tempo.fault("late", when=any_question, seconds=0.4)
    agent = make_agent(tempo, webhook, SPANWATCH_GROUP_BY="trace_id", TEMPO_QUERY_TIMEOUT_MS=100, TEMPO_ALERT_INTERVAL_SECS=2).wait_ready()
    truth = len(traffic.slow()) + len(traffic.failed())
    eventually(lambda: told(webhook) >= truth, lambda: f"{truth} alerts, there are {told(webhook)}", 60)
    agent.wait_delivered()
    assert_told_exactly(webhook, traffic, agent)
    assert agent.metric("trace_alert_checks_total", status="success") > 0


def test_a_search_that_was_cut_short_is_continued(tempo, webhook, make_agent, traffic):
    now = time.time()
    for i in range(150):
        traffic.trace(now - 40 + i / 4, duration_ms=1500, service="shop", operation=f"op {i % 3}", error="x" if i % 2 else "")
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, SPANWATCH_GROUP_BY="trace_id", TEMPO_SEARCH_LIMIT=20).wait_ready()
    truth = len(traffic.slow()) + len(traffic.failed())
    eventually(lambda: told(webhook) >= truth, lambda: f"{truth} alerts, there are {told(webhook)}")
    agent.wait_delivered()
    assert_told_exactly(webhook, traffic, agent)


def test_more_in_one_second_than_a_search_can_tell(tempo, webhook, make_agent, traffic):
    # Narrower windows end at one second: the by-id question has to help.
    now = int(time.time()) - 10
    for i in range(120):
        traffic.trace(now + 0.2 + i / 300, duration_ms=1100, service="shop", operation="burst")
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, SPANWATCH_GROUP_BY="trace_id", TEMPO_SEARCH_LIMIT=50).wait_ready()
    eventually(lambda: len(webhook.reported("high_latency")) >= 120, lambda: f"120 alerts, there are {len(webhook.reported('high_latency'))}")
    agent.wait_delivered()
    assert_told_exactly(webhook, traffic, agent)


def test_metrics_that_come_back_are_used_again(make_tempo, webhook, make_agent, traffic, scripts):
    (scripts / "estimated.lua").write_text(
        'return { wants = { series = true }, check = function(ctx) ctx.metric("window_estimated", ctx.window.estimated and 1 or 0) return {} end }'
    )
    tempo = make_tempo("2-no-metrics", cutoff_s=0)
    steady(traffic, 40)
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, TEMPO_LOOKBACK_WINDOW_SECS=2).wait_ready()
    eventually(lambda: agent.metric("window_estimated") == 1, "counts from search")
    # Another configuration needs a restart of Tempo; without one the agent looks again every ten minutes only.
    tempo.stop()
    eventually(lambda: agent.metric("trace_alert_checks_total", status="error") > 0, "Tempo is away")
    tempo.kind = "2"
    tempo.start()
    eventually(lambda: agent.metric("window_estimated") == 0, "exact counts")


def test_an_answer_larger_than_the_cap_is_a_clear_error(tempo, webhook, make_agent, traffic):
    traffic.mixed(400, time.time() - 40, time.time() - 2, slow=1.0, failed=0.5)
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, TEMPO_MAX_BODY_BYTES=65536).wait_listening()
    eventually(lambda: "TEMPO_MAX_BODY_BYTES" in agent.log() or "65536" in agent.log(), "the cap is named in the log")


def test_a_wall_clock_step_of_the_server_does_not_stop_the_agent(tempo, webhook, make_agent, traffic):
    traffic.mixed(50, time.time() - 20, time.time() - 6, slow=0.2, failed=0)
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, SPANWATCH_GROUP_BY="trace_id").wait_ready()
    eventually(lambda: set(webhook.reported("high_latency")) == traffic.slow(), "the traces before")
    tempo.advance(600)
    later = traffic.trace(tempo.now() - 2, duration_ms=1500)
    tempo.plant([later])
    eventually(lambda: later[0].trace_id in webhook.reported("high_latency"), "a trace after the step")
    agent.wait_delivered()
    assert_told_exactly(webhook, traffic, agent)
