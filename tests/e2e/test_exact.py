"""Every planted trace is alerted exactly once per rule, no other, and rates are the true ones."""

import collections
import json
import random
import time

import pytest
from support.agent import eventually

# Logs what the counts of each window were: the last line of a window is what was finally believed.
COUNTS = """
return {
  wants = { series = true },
  revisions = true,
  check = function(ctx)
    local window = ctx.window
    if not window.complete then return nil, window.reason end
    local errors, count = {}, {}
    for _, s in ipairs(window.series) do
      errors[s.service] = (errors[s.service] or 0) + s.errors
      count[s.service] = (count[s.service] or 0) + s.count
    end
    ctx.state.windows = ctx.state.windows or {}
    ctx.state.windows[#ctx.state.windows + 1] = window.to
    ctx.log.info("counts", { window = json.encode { from = window.from, to = window.to, errors = errors, count = count,
      estimated = window.estimated, revision = window.revision } })
    return {}
  end,
}
"""


def believed(agent):
    """{(from, to): last counts} as the detector `counts` logged them."""
    windows = {}
    for line in agent.log().splitlines():
        if "msg=counts" in line or '"counts"' in line:
            at = line.find("window=")
            if at >= 0:
                window = json.loads(json.JSONDecoder().raw_decode(line[at + len("window=") :])[0])
                windows[(int(window["from"]), int(window["to"]))] = window
    return windows


def assert_told_exactly(webhook, traffic, agent):
    """Notifications and counters against the truth."""
    for rule, truth in (("high_latency", traffic.slow()), ("error_status", traffic.failed())):
        told = webhook.reported(rule)
        assert set(told) == truth, f"{rule}: missing {truth - set(told)}, too many {set(told) - truth}"
        twice = [trace for trace, n in collections.Counter(told).items() if n > 1]
        assert not twice, f"{rule}: told twice: {twice}"
        assert agent.metric("trace_anomalies_total", type=rule) == len(truth)


@pytest.mark.parametrize("kind", ["3", "2", "2-no-metrics"])
def test_every_planted_trace_is_alerted_exactly_once_per_rule(make_tempo, webhook, make_agent, traffic, kind):
    # Some are there when the agent starts; others come while it runs, visible up to 1.5 s late.
    tempo = make_tempo(kind, cutoff_s=0)
    now = time.time()
    traffic.mixed(200, now - 45, now - 5)
    tempo.plant(traffic)
    for spans in traffic.mixed(150, now, now + 6, slow_ms=(1100, 2000)):
        tempo.plant([spans], visible_from=spans[0].end_ns / 1e9 + random.uniform(0, 1.5))
    agent = make_agent(tempo, webhook, SPANWATCH_GROUP_BY="trace_id").wait_ready()
    truth = len(traffic.slow()) + len(traffic.failed())
    eventually(
        lambda: len(webhook.bodies("high_latency", "firing")) + len(webhook.bodies("error_status", "firing")) >= truth,
        lambda: f"{truth} alerts; there are {len(webhook.accepted())}",
    )
    agent.wait_delivered()
    assert_told_exactly(webhook, traffic, agent)
    firing = webhook.bodies(status="firing")
    grouped = [body for body in firing if body["anomaly_type"] != "high_error_rate"]
    assert len(grouped) == truth, "one notification per trace and rule"
    assert all(len(body["traces"]) == 1 and body["traces"][0]["trace_id"] == body["trace_id"] for body in grouped)


def test_a_group_names_each_of_its_traces_once(tempo, webhook, make_agent, traffic):
    now = time.time()
    for i in range(60):
        traffic.trace(now - 40 + i / 2, duration_ms=1500, service="shop", operation="GET /cart")
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook).wait_ready()
    eventually(lambda: len(webhook.reported("high_latency")) >= 60, "60 traces told")
    agent.wait_delivered()
    assert_told_exactly(webhook, traffic, agent)
    bodies = webhook.bodies("high_latency", "firing")
    assert len({body["fingerprint"] for body in bodies}) == 1
    assert {(body["service"], body["operation"]) for body in bodies} == {("shop", "GET /cart")}


def test_an_alert_has_the_original_fields_and_the_evidence(tempo, webhook, make_agent, traffic):
    now = time.time()
    spans = traffic.trace(now - 10, duration_ms=1234.5, error="card declined", service="payment", operation="Charge")
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, SPANWATCH_TRACE_URL="http://grafana/trace/{trace_id}").wait_ready()
    eventually(lambda: len(webhook.bodies()) >= 2, "two alerts")
    agent.wait_delivered()
    trace_id = spans[0].trace_id
    latency, error = webhook.bodies("high_latency")[0], webhook.bodies("error_status")[0]
    assert (latency["trace_id"], latency["span_name"], latency["threshold"]) == (trace_id, "Charge", 1000)
    assert latency["duration_ms"] == pytest.approx(1234.5, abs=1)
    assert error["error_message"] == "card declined"
    assert abs(latency["timestamp"] - now) < 60 and isinstance(latency["timestamp"], int)
    assert latency["affected_traces"] == 1
    assert latency["traces"][0]["trace_id"] == trace_id
    assert f"http://grafana/trace/{trace_id}" in json.dumps(latency["traces"][0])
    assert (latency["service"], latency["operation"]) == ("payment", "Charge")
    assert len(latency["fingerprint"]) == 16 and latency["fingerprint"] != error["fingerprint"]
    request = webhook.seen()[0]
    assert request.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("kind, estimated", [("3", False), ("2", False), ("2-no-metrics", True)])
def test_the_error_rate_is_the_true_one(make_tempo, webhook, make_agent, traffic, scripts, kind, estimated):
    (scripts / "counts.lua").write_text(COUNTS)
    tempo = make_tempo(kind, cutoff_s=0)
    now = time.time()
    traffic.mixed(400, now - 50, now - 2, failed=0.3, slow=0.0)
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    eventually(lambda: webhook.bodies("high_error_rate"), "an alert about the error rate")
    agent.wait_delivered()
    for body in webhook.bodies("high_error_rate", "firing"):
        window = body["window"]
        errors, count = traffic.rate(window["from"], window["to"], body.get("service"))
        assert (body["affected_traces"], body["total_traces"]) == (errors, count)
        assert body["value"] == pytest.approx(errors / count)
    services = {body.get("service") for body in webhook.bodies("high_error_rate", "firing")}
    assert services >= {"frontend", None}, "per service, and over all"
    windows = believed(agent)
    assert windows
    for window in windows.values():
        assert window["estimated"] is estimated


def test_late_spans_repair_the_counts_of_windows_that_were_judged(tempo, webhook, make_agent, traffic, scripts):
    (scripts / "counts.lua").write_text(COUNTS)
    now = time.time()
    traffic.mixed(100, now - 40, now, failed=0.2, slow=0)
    tempo.plant(traffic)
    for spans in traffic.mixed(200, now - 10, now + 5, failed=0.3, slow=0):
        tempo.plant([spans], visible_from=spans[0].end_ns / 1e9 + random.uniform(0, 4))
    last_seen = now + 10
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, TEMPO_LOOKBACK_WINDOW_SECS=5).wait_ready()
    eventually(lambda: any(window["to"] > last_seen for window in believed(agent).values()), "windows after the last span")
    agent.wait_ticks(4)
    windows = believed(agent)
    whole = {key: window for key, window in windows.items() if key[1] - key[0] == 5}
    assert len(whole) >= 5
    for (start, end), window in whole.items():
        for service in {"frontend", "catalog", "payment", "mail"}:
            have = (int(dict(window["errors"] or {}).get(service, 0)), int(dict(window["count"] or {}).get(service, 0)))
            assert have == traffic.rate(start, end, service), (start, end, service, window["revision"])
    assert any(window["revision"] > 0 for window in whole.values()), "some window was repaired"


def test_windows_are_judged_once_each_without_a_gap(tempo, webhook, make_agent, traffic, scripts):
    (scripts / "counts.lua").write_text(COUNTS.replace("revisions = true", "revisions = false"))
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, TEMPO_LOOKBACK_WINDOW_SECS=1).wait_ready()
    eventually(lambda: len(believed(agent)) >= 6, "six windows")
    edges = sorted(believed(agent))
    for (_, end), (start, _) in zip(edges, edges[1:]):
        assert end == start
    lines = [line for line in agent.log().splitlines() if "window=" in line and "counts" in line]
    assert len(lines) >= len(edges)


def test_a_trace_whose_root_comes_late_is_still_one_alert(tempo, webhook, make_agent, traffic):
    now = time.time()
    spans = traffic.trace(now - 8, duration_ms=1500, error="boom", failing="child", service="shop", operation="GET /")
    tempo.plant([spans[1:]])
    tempo.plant([spans[:1]], visible_from=now + 4)
    agent = make_agent(tempo, webhook, SPANWATCH_GROUP_BY="trace_id").wait_ready()
    eventually(lambda: webhook.bodies("error_status"), "the failing child")
    eventually(lambda: webhook.bodies("high_latency"), "the slow root")
    agent.wait_delivered()
    assert_told_exactly(webhook, traffic, agent)


def test_spans_that_search_lost_are_found_all_the_same(tempo, webhook, make_agent, traffic):
    now = time.time()
    traffic.mixed(60, now - 30, now - 2, slow=0, failed=0)
    for i in range(10):
        whole = traffic.trace(now - 20 + i, duration_ms=5, error="lost", service="shop", operation=f"op {i}", failing="root" if i % 2 else "child")
        tempo.lost_in_search |= {span.id for span in whole if span.status == "error"}
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, SPANWATCH_GROUP_BY="trace_id").wait_ready()
    eventually(lambda: len(webhook.reported("error_status")) >= 10, lambda: f"10 alerts, there are {len(webhook.reported('error_status'))}")
    agent.wait_delivered()
    assert_told_exactly(webhook, traffic, agent)
    names = {body["operation"] for body in webhook.bodies("error_status")}
    assert names == {f"op {i}" for i in range(10)}, "under the names of their roots"


def test_spans_that_flicker_before_they_settle_are_told_and_counted_once(tempo, webhook, make_agent, traffic, scripts):
    (scripts / "counts.lua").write_text(COUNTS)
    tempo.flicker_s = 3
    now = time.time()
    traffic.mixed(200, now - 1, now + 8, failed=0.2, slow=0.1, slow_ms=(1100, 2000))
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_GROUP_BY="trace_id", TEMPO_LOOKBACK_WINDOW_SECS=5).wait_ready()
    last_seen = now + 14
    eventually(lambda: any(window["to"] > last_seen for window in believed(agent).values()), "windows after the last span")
    truth = len(traffic.slow()) + len(traffic.failed())
    eventually(lambda: len(webhook.reported("high_latency") + webhook.reported("error_status")) >= truth, lambda: f"{truth} alerts")
    agent.wait_delivered()
    assert_told_exactly(webhook, traffic, agent)
    for (start, end), window in believed(agent).items():
        if end - start == 5 and end < last_seen - 4:
            errors, count = traffic.rate(start, end)
            have = (sum(dict(window["errors"] or {}).values()), sum(dict(window["count"] or {}).values()))
            assert have == (errors, count), (start, end, window["revision"])


def test_a_trace_that_began_long_ago_and_ended_now_is_told(tempo, webhook, make_agent, traffic):
    now = time.time()
    traffic.trace(now - 400, duration_ms=398_000, service="batch", operation="nightly")
    traffic.trace(now - 400, duration_ms=100_000, service="batch", operation="over before it was watched")
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, SPANWATCH_GROUP_BY="trace_id").wait_ready()
    eventually(lambda: webhook.bodies("high_latency"), "the long trace")
    agent.wait_delivered()
    assert [body["operation"] for body in webhook.bodies("high_latency")] == ["nightly"]
    assert webhook.bodies("high_latency")[0]["duration_ms"] == pytest.approx(398_000, abs=1)


def test_nothing_is_alerted_when_nothing_is_wrong(tempo, webhook, make_agent, traffic):
    now = time.time()
    traffic.mixed(300, now - 40, now + 3, slow=0, failed=0)
    # One failure of few requests pages nobody about a rate; exactly at the threshold is not over it.
    traffic.trace(now - 9, duration_ms=1000.0)
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook).wait_ready()
    eventually(lambda: time.time() > now + 4, "the end of the traffic")
    agent.wait_delivered()
    assert webhook.seen() == []
    assert agent.metric("trace_anomalies_total") == 0


def test_an_error_rate_alert_ends_when_the_rate_is_down(tempo, webhook, make_agent, traffic):
    now = time.time()
    for i in range(60):
        traffic.trace(now - 6 + i / 10, duration_ms=5, service="shop", operation="a", error="x" if i % 3 == 0 else "")
    for i in range(100):
        traffic.trace(now + 1 + i / 10, duration_ms=5, service="shop", operation="a")
    tempo.plant(traffic)
    make_agent(tempo, webhook, TEMPO_LOOKBACK_WINDOW_SECS=5).wait_ready()

    def of_shop(status):
        return [body for body in webhook.bodies("high_error_rate", status) if body.get("service") == "shop"]

    eventually(lambda: of_shop("firing"), "firing")
    eventually(lambda: of_shop("resolved"), "resolved")
    firing, resolved = of_shop("firing")[0], of_shop("resolved")[0]
    assert firing["fingerprint"] == resolved["fingerprint"]
    assert firing["starts_at"] == resolved["starts_at"] and resolved["ends_at"]
    assert len(of_shop("firing")) == 1


def test_a_busy_tick_asks_at_most_two_questions(tempo, webhook, make_agent, traffic):
    now = time.time()
    traffic.mixed(300, now - 40, now + 10)
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook).wait_ready()
    agent.wait_ticks(2)  # the first tick may ask what the server can
    ticks, asked = agent.metric("spanwatch_ticks_total"), len(tempo.questions())
    agent.wait_ticks(6)
    asked = len(tempo.questions()) - asked
    ticks = agent.metric("spanwatch_ticks_total") - ticks
    assert asked <= 2 * (ticks + 1)
    assert asked >= ticks, "it did ask"


def test_the_servers_clock_decides_what_time_it_is(make_tempo, webhook, make_agent, traffic):
    # Its clock is two hours ahead of ours; without its Date headers the agent would look at the wrong hours.
    tempo = make_tempo("3", cutoff_s=0)
    tempo.clock_offset_s = 7200
    traffic.mixed(100, tempo.now() - 40, tempo.now() - 2, slow=0.2, failed=0.2)
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, SPANWATCH_GROUP_BY="trace_id").wait_ready()
    truth = len(traffic.slow()) + len(traffic.failed())
    eventually(lambda: len(webhook.reported("high_latency") + webhook.reported("error_status")) >= truth, f"{truth} alerts")
    agent.wait_delivered()
    assert_told_exactly(webhook, traffic, agent)


@pytest.mark.slow
def test_tempo_3_that_hides_the_newest_30_seconds_is_not_asked_for_them(make_tempo, webhook, make_agent, traffic):
    tempo = make_tempo("3", cutoff_s=30, latency_s=20)
    now = time.time()
    traffic.mixed(150, now - 80, now - 40, slow=0.1, failed=0.1)
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, TEMPO_SETTLE_SECS=35, SPANWATCH_GROUP_BY="trace_id").wait_ready()
    truth = len(traffic.slow()) + len(traffic.failed())
    eventually(lambda: len(webhook.reported("high_latency") + webhook.reported("error_status")) >= truth, f"{truth} alerts")
    agent.wait_delivered()
    assert_told_exactly(webhook, traffic, agent)
    refused = [request for request in tempo.questions() if request.status == 400]
    assert len(refused) <= 1, "only the very first question may not know the server's time"
