"""What is kept back because another alert says it better: by what the traces blame, and by rules of the configuration."""

import json
import time

import pytest
from support.agent import eventually, run
from test_silences import find

PAYMENT_FAILS = "{ type = 'high_error_rate', service = 'payment', severity = 'critical', summary = 'payment fails' }"
INHIBITED = "spanwatch_notifications_suppressed_total"


def ask(agent, path):
    return json.loads(agent.get(path)[1])


def states(agent, query=""):
    """{alertname: (state, fingerprints of its inhibitors)} as Alertmanager's clients see it."""
    alerts = ask(agent, "/api/v2/alerts" + query)
    return {alert["labels"]["alertname"]: (alert["status"]["state"], alert["status"]["inhibitedBy"]) for alert in alerts}


def blame(traffic, service, duration_ms=20):
    """A trace of the shop that failed in the service; its culprit."""
    root, span = traffic.trace(time.time() - 10, duration_ms, error="declined", failing="child", service="shop", operation="POST /pay")
    span.service, span.name, span.kind = service, "Charge", "server"
    return span


@pytest.fixture
def blamed(tempo, traffic):
    span = blame(traffic, "payment")
    tempo.plant(traffic)
    return span


def test_the_service_that_the_trace_blames_speaks_for_its_caller(tempo, webhook, make_agent, scripts, tmp_path, blamed):
    find(scripts, PAYMENT_FAILS)
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    (cause,) = eventually(lambda: webhook.bodies("high_error_rate"), "the cause is told")
    eventually(lambda: agent.metric(INHIBITED, reason="inhibited") == 1, "the effect is kept back")
    agent.wait_ticks(2)
    assert states(agent) == {"high_error_rate": ("active", []), "error_status": ("suppressed", [cause["fingerprint"]])}
    assert list(states(agent, "?inhibited=false")) == ["high_error_rate"]
    (effect,) = [alert for alert in ask(agent, "/api/v1/alerts")["data"]["alerts"] if alert["labels"]["alertname"] == "error_status"]
    assert effect["inhibitedBy"] == [cause["fingerprint"]]
    detail = ask(agent, f"/api/v1/alerts/{effect['fingerprint']}")["data"]
    assert detail["inhibited_by"] == [cause["fingerprint"]]
    assert detail["likely_cause"] == {
        "fingerprint": cause["fingerprint"], "type": "high_error_rate", "service": "payment", "summary": "payment fails",
        "trace_id": blamed.trace_id, "span_id": blamed.id, "span_name": "Charge",
    }  # fmt: skip
    where = {"SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{agent.port}"}
    shown = run("alert", "show", effect["fingerprint"], cwd=tmp_path, env=where).stdout
    assert f"high_error_rate of payment ({cause['fingerprint']}): payment fails" in shown
    agent.kill()
    agent.start().wait_ready()
    agent.wait_ticks(2)
    assert not webhook.bodies("error_status"), "kill -9 changes nothing"
    find(scripts, "")
    (told,) = eventually(lambda: webhook.bodies("error_status"), "it still fires when the cause is over")
    assert (told["status"], told["culprit"]["service"], told["likely_cause"]) == ("firing", "payment", None)
    assert told["trace_id"] == blamed.trace_id
    agent.wait_ticks(2)
    agent.wait_delivered()
    assert [body["status"] for body in webhook.bodies("high_error_rate")] == ["firing", "resolved"]
    assert len(webhook.bodies("error_status")) == 1


def test_what_does_not_inhibit_is_named_all_the_same(tempo, webhook, make_agent, scripts, blamed):
    find(scripts, PAYMENT_FAILS.replace("critical", "info"))
    make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    (told,) = eventually(lambda: webhook.bodies("error_status"), "it is more severe than its cause")
    assert told["likely_cause"]["service"] == "payment"


@pytest.mark.parametrize("agree", [True, False])
def test_other_traces_have_to_blame_the_same_service(tempo, webhook, make_agent, scripts, traffic, agree):
    blame(traffic, "payment", duration_ms=30)
    blame(traffic, "payment" if agree else "mail")
    blame(traffic, "payment")
    tempo.plant(traffic)
    find(scripts, PAYMENT_FAILS)
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    eventually(lambda: webhook.bodies("high_error_rate"), "the cause is told")
    if agree:
        eventually(lambda: agent.metric(INHIBITED, reason="inhibited") == 1, "kept back")
    else:
        (told,) = eventually(lambda: webhook.bodies("error_status"), "the cause explains only some of it")
        assert told["likely_cause"]["service"] == "payment"
    agent.wait_ticks(1)
    assert len(webhook.bodies("error_status")) == (0 if agree else 1)
    assert agent.metric("spanwatch_culprit_fetches_total", result="ok") == 3


def test_it_can_be_turned_off(tempo, webhook, make_agent, scripts, blamed):
    find(scripts, PAYMENT_FAILS)
    make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_INHIBIT_BY_TRACES="false").wait_ready()
    (told,) = eventually(lambda: webhook.bodies("error_status"), "told as ever")
    assert told["likely_cause"] is None


RULES = """return { inhibit_rules = {
  { source_matchers = { 'alertname="down"' }, target_matchers = { 'severity=~"warning|info"' }, equal = { "region" } },
} }
"""
DOWN = "{ type = 'down', labels = { region = 'eu' }, severity = 'critical' }"
SLOW = "{ type = 'late', labels = { region = 'eu' } }, { type = 'far', labels = { region = 'us' } }"


def test_rules_keep_targets_back_while_their_source_fires(tempo, webhook, make_agent, scripts, tmp_path):
    (scripts / "detect.lua").unlink()
    (tmp_path / "config.lua").write_text(RULES)
    find(scripts, f"{SLOW}, {DOWN}")
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, args=("--config", str(tmp_path / "config.lua"))).wait_ready()
    (down,) = eventually(lambda: webhook.bodies("down"), "the source is told")
    eventually(lambda: webhook.bodies("far"), "another region is told")
    agent.wait_ticks(2)
    assert not webhook.bodies("late")
    assert states(agent)["late"] == ("suppressed", [down["fingerprint"]])
    assert agent.metric(INHIBITED, reason="inhibited") == 1
    find(scripts, "{ type = 'far', labels = { region = 'us' } }")
    eventually(lambda: webhook.bodies("down", "resolved"), "both are over")
    agent.wait_ticks(1)
    find(scripts, f"{SLOW}, {DOWN}")
    eventually(lambda: len(webhook.bodies("down", "firing")) == 2, "again")
    agent.wait_ticks(1)
    assert not webhook.bodies("late"), "it began and ended while it was inhibited"
    find(scripts, SLOW)
    eventually(lambda: webhook.bodies("late", "firing"), "the source is over")
    find(scripts, f"{SLOW}, {DOWN}")
    eventually(lambda: len(webhook.bodies("down", "firing")) == 3, "inhibited after it was told")
    find(scripts, f"{DOWN}")
    eventually(lambda: webhook.bodies("late", "resolved"), "its end is told all the same")
    agent.wait_delivered()
    assert [body["status"] for body in webhook.bodies("late")] == ["firing", "resolved"]


def test_every_mistake_in_a_rule_is_said_at_start(tmp_path):
    (tmp_path / "config.lua").write_text(
        """return { inhibit_rules = {
  { source_matchers = 'a="b"', target_matchers = { 'a=~"("' }, equal = { "x" }, target_match = {} },
  { source_matchers = { 'a="b"' }, target_matchers = {} },
}, tempo_settle_secs = "soon" }
"""
    )
    answer = run("run", "--config", str(tmp_path / "config.lua"), cwd=tmp_path)
    assert answer.returncode == 78
    for text in ("config.lua: inhibit_rules[1].source_matchers must be a list", "inhibit_rules[1].target_matchers entry 1 (a=~\"(\")",
                 "inhibit_rules[1].target_match is not known", "inhibit_rules[2].target_matchers needs", "tempo_settle_secs"):  # fmt: skip
        assert text in answer.stderr
