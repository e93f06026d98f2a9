"""The agent's alerts over HTTP, in Alertmanager's and Prometheus' shapes, and by verb."""

import json

import pytest
from support.agent import eventually, run
from test_silences import AMTOOL, FINDING, amtool, ask, find, matcher, needs_amtool, silence  # noqa: F401


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


def test_the_verb_lists_them(firing, tmp_path):
    env = {"SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{firing.port}"}
    table = run("alert", "list", env=env, cwd=tmp_path)
    assert table.returncode == 0, table.stderr
    head, *rows = table.stdout.splitlines()
    assert head.split() == ["FINGERPRINT", "STATE", "SEVERITY", "ALERTNAME", "SINCE", "SILENCED", "SUMMARY"]
    assert sorted(row.split()[1] for row in rows) == ["firing", "firing", "pending"]
    listed = json.loads(run("alert", "list", "--json", env=env, cwd=tmp_path).stdout)
    assert sorted(alert["labels"]["alertname"] for alert in listed) == ["broken", "other", "slow"]


@needs_amtool
def test_amtool_reads_alerts(firing):
    assert "it is broken" in amtool(firing, "alert", "query", "alertname=broken")
    assert "broken" not in amtool(firing, "alert", "query", "service=mail")
