"""SPANWATCH_WEBHOOK_FORMAT: bodies in the form that the receiver takes; what can't be formatted goes out all the same."""

import hashlib
import hmac
import json

import pytest
from support.agent import SCRIPTS, eventually, run
from test_delivery import plant

BROKEN = "return { format = function(alert) error('no words for ' .. alert.anomaly_type) end }"
HANGS = "return { format = function() while true do end end }"
NOT_LUA = "return {"
TEXT = "return { content_type = 'text/plain', format = function(alert) return alert.status .. ' ' .. alert.anomaly_type end }"


def sent(webhook):
    return [request.body for request in webhook.seen() if request.status == 200]


def of_type(webhook, anomaly_type):
    """Bodies in the default form."""
    bodies = [json.loads(body) for body in sent(webhook) if body.startswith(b"{")]
    return [body for body in bodies if body.get("anomaly_type") == anomaly_type]


@pytest.fixture
def formats(scripts):
    (scripts / "notify").mkdir()
    return scripts / "notify"


def test_slack_gets_messages_that_are_signed_as_they_are_sent(tempo, webhook, make_agent, traffic, tmp_path):
    secret = tmp_path / "hmac"
    secret.write_text("s3cret\n")
    plant(tempo, traffic, 6)
    agent = make_agent(tempo, webhook, SPANWATCH_WEBHOOK_FORMAT="slack", SPANWATCH_WEBHOOK_HMAC_SECRET_FILE=secret,
                       SPANWATCH_TRACE_URL="https://grafana/trace/{trace_id}")  # fmt: skip
    agent.wait_ready()
    eventually(lambda: all(trace.encode() in b"".join(sent(webhook)) for trace in traffic.slow()), "all told")
    agent.wait_delivered()
    for request in webhook.seen():
        message = json.loads(request.body)
        assert set(message) == {"text", "attachments"} and message["text"].startswith("high_latency: shop op ")
        header, _, facts, traces = message["attachments"][0]["blocks"]
        assert header["text"]["text"].startswith("high_latency: shop op ")
        assert {"type": "mrkdwn", "text": "*Service*\nshop"} in facts["fields"]
        assert "<https://grafana/trace/" in traces["text"]["text"]
        assert request.headers["content-type"] == "application/json; charset=utf-8"
        parts = dict(part.split("=") for part in request.headers["x-spanwatch-signature"].split(","))
        want = hmac.new(b"s3cret", parts["t"].encode() + b"." + request.body, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(want, parts["v1"])
    assert agent.metrics().total("spanwatch_formatter_failures_total") == 0


def test_the_secret_of_a_format_is_read_from_its_file(tempo, webhook, make_agent, traffic, tmp_path):
    key = tmp_path / "key"
    key.write_text("R0UTINGKEY\n")
    plant(tempo, traffic, 1)
    make_agent(tempo, webhook, SPANWATCH_WEBHOOK_FORMAT="pagerduty", SPANWATCH_WEBHOOK_FORMAT_SECRET_FILE=key)
    event = json.loads(eventually(lambda: sent(webhook), "an event")[0])
    assert event["routing_key"] == "R0UTINGKEY" and event["event_action"] == "trigger"
    assert event["payload"]["class"] == "high_latency" and len(event["dedup_key"]) >= 16


@pytest.mark.parametrize("source, why", [(BROKEN, "no words for"), (HANGS, ""), (NOT_LUA, "own.lua:1:")], ids=["raises", "hangs", "syntax"])
def test_a_broken_format_sends_the_default_body_and_is_an_alert_until_it_is_mended(
    tempo, webhook, make_agent, traffic, scripts, formats, source, why
):
    (formats / "own.lua").write_text(source)
    plant(tempo, traffic, 3)
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_WEBHOOK_FORMAT="own", SPANWATCH_WORKER_CPU_MS=50)
    eventually(lambda: len(of_type(webhook, "high_latency")) == 3, "the default bodies")
    alert = eventually(lambda: of_type(webhook, "formatter_failing"), "the alert")[0]
    assert alert["status"] == "firing" and why in alert["error_message"]
    assert agent.metrics().total("spanwatch_formatter_failures_total") >= 4
    (formats / "own.lua").write_text(TEXT)
    eventually(lambda: b"resolved formatter_failing" in sent(webhook), "its end, in the mended format")
    agent.wait_delivered()
    assert len(of_type(webhook, "high_latency")) == 3


def test_a_format_that_is_not_there_is_a_mistake(tmp_path):
    ended = run("run", env={"SPANWATCH_WEBHOOK_FORMAT": "slakc"}, cwd=tmp_path)
    assert ended.returncode == 78 and "SPANWATCH_WEBHOOK_FORMAT" in ended.stderr and "slakc" in ended.stderr
    ended = run("run", env={"SPANWATCH_WEBHOOK_FORMAT": "../detect"}, cwd=tmp_path)
    assert ended.returncode == 78 and "must be the name of a script" in ended.stderr


def test_check_says_what_is_wrong_with_a_format(scripts, formats, tmp_path):
    (formats / "own.lua").write_text(BROKEN)
    env = {"SPANWATCH_SCRIPTS_DIR": scripts, "SPANWATCH_WEBHOOK_FORMAT": "own"}
    ended = run("check", env=env, cwd=tmp_path)
    assert ended.returncode == 1 and "own.lua:1: no words for high_latency" in ended.stderr and "ok" not in ended.stdout
    (formats / "own.lua").write_text(TEXT)
    ended = run("check", env=env, cwd=tmp_path)
    assert ended.returncode == 0 and "ok: 1 detector" in ended.stdout, ended.stderr
    ended = run("check", env={"SPANWATCH_WEBHOOK_FORMAT": "pagerduty"}, cwd=tmp_path)
    assert ended.returncode == 1 and "SPANWATCH_WEBHOOK_FORMAT_SECRET_FILE" in ended.stderr


def test_every_format_that_comes_along_makes_a_body(tempo, webhook, make_agent, traffic, tmp_path):
    key = tmp_path / "key"
    key.write_text("key")
    config = tmp_path / "config.lua"
    config.write_text("""return { detector_config = { ["notify/template"] = { template = { text = "{service}: {summary}" } } } }""")
    plant(tempo, traffic, 1)
    for file in sorted((SCRIPTS / "notify").glob("*.lua")):
        if file.stem.endswith("_test"):
            continue
        before = len(sent(webhook))
        agent = make_agent(tempo, webhook, SPANWATCH_WEBHOOK_FORMAT=file.stem, SPANWATCH_WEBHOOK_FORMAT_SECRET_FILE=key,
                           SPANWATCH_CONFIG=config)  # fmt: skip
        eventually(lambda: len(sent(webhook)) > before, f"a body of {file.stem}")  # noqa: B023
        assert not of_type(webhook, "high_latency"), file.stem
        agent.kill()
