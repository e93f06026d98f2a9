"""Delivery is at least once, with the same key for each attempt; what can't be delivered is kept."""

import hashlib
import hmac
import json
import time

import pytest
from support.agent import eventually


def plant(tempo, traffic, n=20):
    now = time.time()
    for i in range(n):
        traffic.trace(now - 30 + i, duration_ms=1500, service="shop", operation=f"op {i}")
    tempo.plant(traffic)


def attempts_by_key(webhook):
    attempts = {}
    for request in webhook.seen():
        attempts.setdefault(request.headers["idempotency-key"], []).append(request)
    return attempts


@pytest.mark.parametrize(
    "kind, options",
    [
        ("status", {"status": 500}),
        ("status", {"status": 503}),
        ("status", {"status": 408}),
        ("status", {"status": 425}),
        ("status", {"status": 429}),
        ("reset", {}),
        ("half", {}),
        ("hang", {"seconds": 60}),
    ],
    ids=["500", "503", "408", "425", "429", "reset", "half", "hang"],
)
def test_what_may_pass_is_tried_again_with_the_same_key(tempo, webhook, make_agent, traffic, kind, options):
    plant(tempo, traffic, 6)
    fault = webhook.fault(kind, times=6, **options)
    agent = make_agent(tempo, webhook, SPANWATCH_WEBHOOK_TIMEOUT_MS=500).wait_ready()
    eventually(lambda: sorted(webhook.reported("high_latency")) == sorted(traffic.slow()), "all told")
    agent.wait_delivered()
    assert fault.hits == 6
    for attempts in attempts_by_key(webhook).values():
        assert len({request.body for request in attempts}) == 1
        # A 2xx of which only half the body came is an answer all the same, or may be tried again.
        assert sum(200 <= request.status < 300 for request in attempts) == 1 or kind == "half"
    assert len(webhook.reported("high_latency")) == len(traffic.slow())


def test_a_flapping_receiver_gets_everything_once(tempo, webhook, make_agent, traffic):
    plant(tempo, traffic, 40)
    order = {"n": 0}

    def every(nth):
        def when(_):
            return order["n"] % 5 == nth

        return when

    def count(_):
        order["n"] += 1
        return False

    webhook.fault("status", when=count)
    webhook.fault("status", when=every(1), status=500)
    webhook.fault("status", when=every(2), status=429, headers={"Retry-After": "1"})
    webhook.fault("reset", when=every(3))
    webhook.fault("hang", when=every(4), seconds=60)
    agent = make_agent(tempo, webhook, SPANWATCH_WEBHOOK_TIMEOUT_MS=500).wait_ready()
    eventually(lambda: len(webhook.reported("high_latency")) >= 40, lambda: f"{len(webhook.reported('high_latency'))} of 40 told", 90)
    agent.wait_delivered()
    assert sorted(webhook.reported("high_latency")) == sorted(traffic.slow())
    assert agent.metric("trace_anomalies_total", type="high_latency") == 40


def test_retry_after_is_kept(tempo, webhook, make_agent, traffic):
    plant(tempo, traffic, 1)
    webhook.fault("status", times=1, status=429, headers={"Retry-After": "3"})
    make_agent(tempo, webhook)
    eventually(lambda: webhook.accepted(), "delivered")
    first, second = webhook.seen()[:2]
    assert 2.8 <= second.at - first.at <= 10


def test_what_the_receiver_refuses_becomes_a_dead_letter(tempo, webhook, make_agent, traffic):
    plant(tempo, traffic, 1)
    webhook.status = 400
    agent = make_agent(tempo, webhook).wait_ready()
    eventually(lambda: agent.status()["outbox"]["dead"] == 2, "a dead letter, and the alert about it")
    agent.wait_ticks(2)
    told = [json.loads(request.body)["anomaly_type"] for request in webhook.seen()]
    assert told == ["high_latency", "notification_refused"], "a refusal is not tried again"
    assert agent.status()["outbox"]["depth"] == 0


def test_a_receiver_that_hangs_holds_up_neither_ticks_nor_other_alerts(tempo, webhook, make_agent, traffic):
    plant(tempo, traffic, 8)
    stuck = {}

    def is_first(request):
        key = request.headers["idempotency-key"]
        return stuck.setdefault("key", key) == key

    webhook.fault("hang", when=is_first, seconds=60)
    agent = make_agent(tempo, webhook, SPANWATCH_WEBHOOK_TIMEOUT_MS=60000).wait_ready()
    eventually(lambda: len(webhook.reported("high_latency")) >= 7, "the other seven")
    missed = agent.metric("spanwatch_ticks_missed_total")
    agent.wait_ticks(4)
    assert agent.metric("spanwatch_ticks_missed_total") == missed


def test_the_body_is_signed(tempo, webhook, make_agent, traffic, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("correct horse\n")
    plant(tempo, traffic, 1)
    make_agent(tempo, webhook, SPANWATCH_WEBHOOK_HMAC_SECRET_FILE=secret)
    eventually(lambda: webhook.accepted(), "delivered")
    request = webhook.seen()[0]
    parts = dict(part.split("=", 1) for part in request.headers["x-spanwatch-signature"].split(","))
    assert abs(int(parts["t"]) - time.time()) < 60
    want = hmac.new(b"correct horse", parts["t"].encode() + b"." + request.body, hashlib.sha256).hexdigest()
    assert parts["v1"] == want


def test_headers_and_credentials_are_sent_and_never_logged(tempo, webhook, make_agent, traffic, tmp_path):
    (tmp_path / "token").write_text("s3cr3t-token\n")
    plant(tempo, traffic, 1)
    agent = make_agent(
        tempo, webhook, SPANWATCH_WEBHOOK_BEARER_TOKEN_FILE=tmp_path / "token", SPANWATCH_WEBHOOK_HEADERS="X-Team: blue; X-Key: hush-hush"
    )
    eventually(lambda: webhook.accepted(), "delivered")
    headers = webhook.seen()[0].headers
    assert (headers["authorization"], headers["x-team"], headers["x-key"]) == ("Bearer s3cr3t-token", "blue", "hush-hush")
    agent.wait_ready()
    assert "s3cr3t-token" not in agent.log() and "hush-hush" not in agent.log()


def test_basic_authentication_comes_from_a_file(tempo, webhook, make_agent, traffic, tmp_path):
    (tmp_path / "basic").write_text("alice:wonder land\n")
    plant(tempo, traffic, 1)
    make_agent(tempo, webhook, SPANWATCH_WEBHOOK_BASIC_AUTH_FILE=tmp_path / "basic")
    eventually(lambda: webhook.accepted(), "delivered")
    assert webhook.seen()[0].headers["authorization"] == "Basic YWxpY2U6d29uZGVyIGxhbmQ="


def test_a_webhook_over_tls_is_checked(tempo, make_webhook, make_agent, traffic, server_tls, certificates):
    plant(tempo, traffic, 1)
    webhook = make_webhook(tls=server_tls)
    distrusting = make_agent(tempo, webhook, folder="distrusting").wait_ready()
    eventually(lambda: distrusting.status()["outbox"]["depth"] == 1, "an undelivered alert")
    distrusting.wait_ticks(2)
    assert not webhook.seen()
    make_agent(tempo, webhook, folder="trusting", SPANWATCH_WEBHOOK_CA_FILE=certificates / "ca.pem")
    eventually(lambda: webhook.accepted(), "delivered to a receiver that is trusted")


def test_without_a_webhook_alerts_are_lines_of_json(tempo, make_agent, traffic):
    plant(tempo, traffic, 3)
    agent = make_agent(tempo).wait_ready()

    def alerts():
        found = []
        for line in (agent.log() + agent.output()).splitlines():
            if line.startswith("{") and "anomaly_type" in line:
                found.append(json.loads(line))
        return found

    eventually(lambda: len(alerts()) >= 3, "three alerts")
    agent.wait_delivered()
    assert sorted(alert["trace_id"] for alert in alerts()) == sorted(traffic.slow())


def test_a_redirect_is_not_followed(tempo, webhook, make_webhook, make_agent, traffic):
    other = make_webhook()
    plant(tempo, traffic, 1)
    webhook.fault("status", status=302, headers={"Location": other.hook})
    agent = make_agent(tempo, webhook).wait_ready()
    eventually(lambda: webhook.seen(), "an attempt")
    agent.wait_ticks(2)
    assert not other.seen()


def test_the_password_in_a_url_is_never_printed(tempo, webhook, make_agent, traffic):
    plant(tempo, traffic, 1)
    url = webhook.hook.replace("http://", "http://bob:pa55word@") + "?token=t0ken"
    agent = make_agent(tempo, TEMPO_ALERT_WEBHOOK_URL=url).wait_ready()
    eventually(lambda: webhook.accepted(), "delivered")
    webhook.stop()
    tempo.plant([traffic.trace(time.time() - 1, duration_ms=1500, operation="another", service="shop")])
    eventually(lambda: agent.status()["outbox"]["depth"] == 1, "an attempt that failed")
    agent.wait_ticks(1)
    assert "pa55word" not in agent.log() and "t0ken" not in agent.log()
    assert "pa55word" not in json.dumps(agent.status()) and "t0ken" not in json.dumps(agent.status())


def test_a_receiver_that_only_fails_is_left_alone_until_it_answers(tempo, webhook, make_agent, traffic):
    plant(tempo, traffic, 40)
    webhook.status = 503
    agent = make_agent(tempo, webhook).wait_ready()

    def circuit():
        (receiver,) = agent.status()["receivers"]
        return receiver["circuit"]

    eventually(lambda: circuit() != "closed", "an open circuit")
    agent.wait_ticks(2)
    assert len(webhook.seen()) < 30, "not one attempt for each of 40 alerts"
    webhook.status = 200
    eventually(lambda: len(webhook.reported("high_latency")) == 40, "all told")
    assert circuit() == "closed"
    assert agent.metric("spanwatch_receiver_circuit_state", receiver="webhook", state="closed") == 1
