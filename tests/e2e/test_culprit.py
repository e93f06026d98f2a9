"""What an alert says about its cause: why it fired, the culprit span, where the time went."""

import hashlib
import json
import pathlib
import time

import pytest
from support.agent import eventually

DETECT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "detect.lua"


def first_body(webhook, type):
    eventually(lambda: webhook.bodies(type), f"{type} is told")
    return webhook.bodies(type)[0]


def test_a_slow_trace_is_fetched_and_its_culprit_named(tempo, webhook, make_agent, traffic):
    trace = traffic.trace(time.time() - 10, duration_ms=1600, service="shop", operation="POST /checkout")
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook).wait_ready()
    body = first_body(webhook, "high_latency")
    culprit = body["culprit"]
    assert (culprit["service"], culprit["name"], culprit["self_time_ms"]) == ("shop", "SELECT", 800)
    assert culprit["trace_id"] == body["trace_id"] and culprit["error_message"] is None, trace
    assert [(step["name"], step["self_time_ms"]) for step in body["critical_path"]] == [("POST /checkout", 800), ("SELECT", 800)]
    assert agent.metric("spanwatch_culprit_fetches_total", result="ok") == 1
    alerts = json.loads(agent.get("/api/v2/alerts")[1])
    assert [alert["annotations"]["culprit"] for alert in alerts if alert["labels"]["alertname"] == "high_latency"] == ["shop: SELECT"]


def test_a_failed_trace_names_the_span_that_failed(tempo, webhook, make_agent, traffic):
    traffic.trace(time.time() - 10, error="card declined", failing="child", service="shop", operation="POST /checkout")
    tempo.plant(traffic)
    make_agent(tempo, webhook).wait_ready()
    culprit = first_body(webhook, "error_status")["culprit"]
    assert (culprit["name"], culprit["error_message"]) == ("SELECT", "card declined")


def test_why_names_the_rule_and_the_file_that_decided(tempo, webhook, make_agent, traffic):
    traffic.trace(time.time() - 10, duration_ms=1600)
    tempo.plant(traffic)
    make_agent(tempo, webhook).wait_ready()
    why = first_body(webhook, "high_latency")["why"]
    assert (why["detector"], why["detector_sha256"]) == ("detect", hashlib.sha256(DETECT.read_bytes()).hexdigest())
    assert why["threshold"] == 1000


def by_id(request):
    return "/traces/" in request.path


def test_an_alert_whose_trace_cannot_be_fetched_is_told_all_the_same(tempo, webhook, make_agent, traffic):
    traffic.trace(time.time() - 10, duration_ms=1600)
    tempo.plant(traffic)
    tempo.fault("status", status=500, when=by_id)
    agent = make_agent(tempo, webhook).wait_ready()
    body = first_body(webhook, "high_latency")
    assert body["culprit"] is None and body["critical_path"] is None
    assert agent.metric("spanwatch_culprit_fetches_total", result="failed") == 1


def test_a_trace_that_never_comes_holds_an_alert_up_for_two_seconds_only(tempo, webhook, make_agent, traffic):
    traffic.trace(time.time() - 10, duration_ms=1600)
    tempo.plant(traffic)
    tempo.fault("hang", seconds=60, when=by_id)
    make_agent(tempo, webhook).wait_ready()
    assert first_body(webhook, "high_latency")["culprit"] is None


def test_no_more_traces_are_fetched_in_a_tick_than_allowed(tempo, webhook, make_agent, traffic):
    now = time.time()
    for i in range(8):
        traffic.trace(now - 10, duration_ms=1600 + i, service="shop", operation=f"op {i}")
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, SPANWATCH_CULPRIT_FETCHES=3).wait_ready()
    eventually(lambda: sorted(webhook.reported("high_latency")) == sorted(traffic.slow()), "all told")
    named = [body for body in webhook.bodies("high_latency") if body["culprit"] is not None]
    assert 1 <= len(named) < 8
    assert agent.metric("spanwatch_culprit_fetches_total", result="ok") == len(named)


def test_fetches_can_be_turned_off(tempo, webhook, make_agent, traffic):
    traffic.trace(time.time() - 10, duration_ms=1600)
    tempo.plant(traffic)
    make_agent(tempo, webhook, SPANWATCH_CULPRIT_FETCHES=0).wait_ready()
    assert first_body(webhook, "high_latency")["culprit"] is None
    assert not [request for request in tempo.seen() if by_id(request)]


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_an_agent_that_ends_while_it_fetches_tells_after_its_restart(tempo, webhook, make_agent, traffic, how):
    traffic.trace(time.time() - 10, duration_ms=1600)
    tempo.plant(traffic)
    tempo.fault("hang", seconds=60, when=by_id)
    agent = make_agent(tempo, webhook)
    eventually(lambda: [request for request in tempo.seen() if by_id(request)], "the trace is asked for")
    getattr(agent, how)()
    tempo.heal()
    agent.start().wait_ready()
    eventually(lambda: webhook.reported("high_latency"), "it is told")
    agent.wait_delivered()
    assert len(webhook.bodies("high_latency")) == 1
