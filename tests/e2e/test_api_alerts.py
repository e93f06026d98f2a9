"""The agent's alerts over HTTP, in Alertmanager's and Prometheus' shapes, and by verb."""

import json
import re
import time

import pytest
from support.agent import eventually, run
from support.servers import needs_amtool
from test_silences import FINDING, amtool, ask, find, matcher, silence


@pytest.fixture
def firing(tempo, webhook, make_agent, scripts):
    """An agent with two firing alerts and a pending one."""
    (scripts / "detect.lua").unlink()
    find(scripts, FINDING + ", { type = 'slow', for_s = 3600, value = 0.5 }")
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    eventually(lambda: len(webhook.bodies()) == 2, "both are told")
    return agent


def names(answer):
    status, alerts = answer
    assert status == 200, alerts
    return sorted(alert["labels"]["alertname"] for alert in alerts)


def test_alertmanagers_shape_has_what_fires(firing, webhook):
    status, alerts = ask(firing, "GET", "/api/v2/alerts")
    assert status == 200
    broken = next(alert for alert in alerts if alert["labels"]["alertname"] == "broken")
    body = webhook.bodies("broken")[0]
    assert broken["fingerprint"] == body["fingerprint"]
    assert broken["labels"] == {"alertname": "broken", "service": "shop", "severity": body["severity"]}
    assert broken["annotations"] == {"summary": "it is broken"}
    assert broken["status"] == {"state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": []}
    assert broken["receivers"] == [{"name": "webhook"}]
    assert broken["startsAt"] <= broken["updatedAt"] < broken["endsAt"]
    assert names((status, alerts)) == ["broken", "other"]


def test_filters_and_silences(firing):
    assert names(ask(firing, "GET", "/api/v2/alerts?filter=service%3D%22shop%22")) == ["broken"]
    assert names(ask(firing, "GET", "/api/v2/alerts?filter=service%3D~%22s.*%22&filter=alertname%21%3Dbroken")) == []
    assert names(ask(firing, "GET", "/api/v2/alerts?receiver=web.*")) == ["broken", "other"]
    assert names(ask(firing, "GET", "/api/v2/alerts?receiver=pager")) == []
    for bad in ("filter=%7B", "filter=a%3D~%28", "receiver=%28"):
        status, message = ask(firing, "GET", f"/api/v2/alerts?{bad}")
        assert status == 400 and isinstance(message, str)
        assert ask(firing, "GET", f"/api/v2/alerts/groups?{bad}")[0] == 400
    id = silence(firing, matcher("service", "shop"))
    (broken,) = ask(firing, "GET", "/api/v2/alerts?active=false")[1]
    assert broken["status"] == {"state": "suppressed", "silencedBy": [id], "inhibitedBy": [], "mutedBy": []}
    assert names(ask(firing, "GET", "/api/v2/alerts?silenced=false")) == ["other"]


def test_groups_status_and_receivers(firing):
    status, groups = ask(firing, "GET", "/api/v2/alerts/groups")
    assert status == 200 and len(groups) == 2
    for group in groups:
        (alert,) = group["alerts"]
        assert group["receiver"] == {"name": "webhook"}
        assert group["labels"].items() <= alert["labels"].items() and "alertname" in group["labels"]
    status, answer = ask(firing, "GET", "/api/v2/status")
    assert status == 200 and answer["cluster"]["status"] == "disabled" and answer["versionInfo"]["version"]
    assert ask(firing, "GET", "/api/v2/receivers") == (200, [{"name": "webhook"}])


def test_prometheus_shape_has_pending_ones_too(firing):
    status, answer = ask(firing, "GET", "/api/v1/alerts")
    assert (status, answer["status"]) == (200, "success")
    states = {alert["labels"]["alertname"]: (alert["state"], alert["value"]) for alert in answer["data"]["alerts"]}
    assert states == {"broken": ("firing", ""), "other": ("firing", ""), "slow": ("pending", "0.5")}


def groups(agent, query=""):
    status, answer = ask(agent, "GET", f"/api/v1/rules{query}")
    assert (status, answer["status"]) == (200, "success")
    return {group["name"]: group for group in answer["data"]["groups"]}


def test_rules_are_detectors_with_what_they_found(firing, scripts):
    (group,) = groups(firing).values()
    assert group["file"] == group["name"] and group["interval"] > 0 and group["lastEvaluation"] > "2020"
    rules = {rule["name"]: rule for rule in group["rules"]}
    assert {name: rule["state"] for name, rule in rules.items()} == {"broken": "firing", "other": "firing", "slow": "pending"}
    assert rules["slow"]["duration"] == 3600 and rules["broken"]["duration"] == 0
    listed = {alert["labels"]["alertname"]: alert for alert in ask(firing, "GET", "/api/v1/alerts")[1]["data"]["alerts"]}
    for name, rule in rules.items():
        assert (rule["type"], rule["health"], rule["lastError"], rule["query"]) == ("alerting", "ok", "", "")
        assert rule["alerts"] == [listed[name]]
    assert groups(firing, "?type=alert").keys() == {group["name"]} and groups(firing, "?type=record") == {}
    assert ask(firing, "GET", "/api/v1/rules?type=x")[0] == 400


def test_a_detector_without_alerts_is_an_inactive_rule(tempo, webhook, make_agent, scripts):
    (scripts / "detect.lua").unlink()
    (scripts / "quiet.lua").write_text("return { check = function() return {} end }")
    (scripts / "bad.lua").write_text("return { check = function(ctx) if ctx.state.n then error('no luck') end ctx.state.n = 1 return {} end }")
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    (rule,) = groups(agent)["quiet"]["rules"]
    assert (rule["name"], rule["state"], rule["alerts"], rule["health"]) == ("quiet", "inactive", [], "ok")
    bad = eventually(lambda: [rule for rule in groups(agent)["bad"]["rules"] if rule["health"] == "err"], "it pauses")
    assert "no luck" in bad[0]["lastError"]
    eventually(lambda: "spanwatch" in groups(agent), "the agent's own alert about it")
    assert groups(agent)["spanwatch"]["rules"][0]["name"] == "detector_failing"


def test_the_verb_lists_them(firing, tmp_path):
    env = {"SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{firing.port}"}
    table = run("alert", "list", env=env, cwd=tmp_path)
    assert table.returncode == 0, table.stderr
    head, *rows = table.stdout.splitlines()
    assert head.split() == ["FINGERPRINT", "STATE", "SEVERITY", "ALERTNAME", "SINCE", "SILENCED", "INHIBITED", "SUMMARY"]
    assert sorted(row.split()[1] for row in rows) == ["firing", "firing", "pending"]
    listed = json.loads(run("alert", "list", "--json", env=env, cwd=tmp_path).stdout)
    assert sorted(alert["labels"]["alertname"] for alert in listed) == ["broken", "other", "slow"]


def test_one_alert_is_shown_with_its_traces_and_links(tempo, webhook, make_agent, traffic, tmp_path):
    ids = {traffic.trace(time.time() - 10, duration_ms=1600 + i, service="shop", operation="POST /pay")[0].trace_id for i in range(2)}
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, SPANWATCH_TRACE_URL="http://grafana/trace/{trace_id}").wait_ready()
    eventually(lambda: set(webhook.reported("high_latency")) == ids, "both are told")
    agent.wait_delivered()
    body = webhook.bodies("high_latency")[0]
    env = {"SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{agent.port}"}
    shown = run("alert", "show", body["fingerprint"][:9], env=env, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    facts = dict(re.split(" {2,}", line, maxsplit=1) for line in shown.stdout.partition("\n\n")[0].splitlines())
    assert (facts["Alert"], facts["State"], facts["Fingerprint"]) == ("high_latency", "firing", body["fingerprint"])
    assert facts["Culprit"].startswith("shop SELECT, 800") and "Silenced by" not in facts
    for id in ids:
        assert f"http://grafana/trace/{id}" in shown.stdout
    detail = json.loads(run("alert", "show", body["fingerprint"], "--json", env=env, cwd=tmp_path).stdout)
    assert {trace["trace_id"] for trace in detail["traces"]} == ids
    assert detail["state"] == "firing" and detail["silenced_by"] == [] and detail["last_notified_at"] >= detail["fired_at"]
    assert detail["culprit"] == body["culprit"] and "repeat" not in detail
    assert agent.alerts()[0]["annotations"]["summary"] == "2 traces of shop POST /pay took longer than 1000 ms"
    assert "2 traces of shop POST /pay" in run("alert", "list", env=env, cwd=tmp_path).stdout
    id = silence(agent, matcher("alertname", "high_latency"))
    assert id in run("alert", "show", body["fingerprint"], env=env, cwd=tmp_path).stdout


def test_what_cannot_be_shown_is_said(firing, webhook, tmp_path):
    env = {"SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{firing.port}"}
    prints = sorted(alert["fingerprint"] for alert in ask(firing, "GET", "/api/v1/alerts")[1]["data"]["alerts"])
    unknown = next(f"{n:016x}" for n in range(9) if f"{n:016x}" not in prints)
    none = run("alert", "show", unknown, env=env, cwd=tmp_path)
    assert none.returncode == 1 and "no alert has a fingerprint that begins so" in none.stderr
    assert ask(firing, "GET", "/api/v1/alerts/")[0] == 404
    for wrong in ((), ("a", "b"), ("",)):
        assert run("alert", "show", *wrong, env=env, cwd=tmp_path).returncode == 2
    pending = next(a for a in ask(firing, "GET", "/api/v1/alerts")[1]["data"]["alerts"] if a["state"] == "pending")
    status, answer = ask(firing, "GET", f"/api/v1/alerts/{pending['fingerprint']}")
    assert status == 200 and answer["data"]["state"] == "pending" and answer["data"]["fired_at"] is None


def test_an_ambiguous_beginning_is_refused(tempo, webhook, make_agent, scripts):
    (scripts / "detect.lua").unlink()
    find(scripts, ", ".join(f"{{ type = 't{i}' }}" for i in range(17)))
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    eventually(lambda: len(webhook.bodies()) == 17, "all are told")
    digits = [body["fingerprint"][0] for body in webhook.bodies()]
    twice = next(digit for digit in digits if digits.count(digit) > 1)  # 17 of 16 digits
    assert ask(agent, "GET", f"/api/v1/alerts/{twice}")[0] == 409


@needs_amtool
def test_amtool_reads_alerts(firing):
    assert "it is broken" in amtool(firing, "alert", "query", "alertname=broken")
    assert "broken" not in amtool(firing, "alert", "query", "service=mail")
