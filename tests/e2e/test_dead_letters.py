"""Notifications that were refused: listed, sent again, dropped, by verb and over HTTP."""

import json

import pytest
from support.agent import eventually, run
from test_delivery import plant
from test_silences import ask


@pytest.fixture
def refused(tempo, webhook, make_agent, traffic):
    """An agent with three dead letters, and a receiver that takes them now."""
    plant(tempo, traffic, 3)
    webhook.status = 400
    agent = make_agent(tempo, webhook).wait_ready()
    eventually(lambda: agent.status()["outbox"]["dead"] == 3, "dead letters")
    webhook.status = 200
    return agent


def notify(agent, *args, env=None):
    return run("notify", *args, env={"SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{agent.port}"}, cwd=agent.env["SPANWATCH_STORAGE_PATH"])


def letters(agent):
    return json.loads(notify(agent, "list", "--json").stdout)


def test_they_are_listed_with_the_reason(refused, webhook):
    table = notify(refused, "list")
    assert table.returncode == 0, table.stderr
    head, *rows = table.stdout.splitlines()
    assert head.split() == ["ID", "RECEIVER", "CREATED", "ATTEMPTS", "FINGERPRINT", "ALERT", "STATUS", "ERROR"]
    assert len(rows) == 3 and all("HTTP 400" in row and "high_latency" in row for row in rows)
    keys = {request.headers["idempotency-key"] for request in webhook.seen()}
    assert {letter["idempotency_key"] for letter in letters(refused)} == keys
    ids = [letter["id"] for letter in letters(refused)]
    status, page = ask(refused, "GET", f"/api/v1/notifications/dead?after={ids[0]}&limit=1")
    assert status == 200 and [letter["id"] for letter in page["data"]] == ids[1:2]


def test_one_that_is_sent_again_has_its_key_and_is_gone(refused, webhook):
    letter = letters(refused)[1]
    assert notify(refused, "retry", str(letter["id"])).returncode == 0
    eventually(lambda: len(webhook.seen()) == 4, "it is sent")
    again = webhook.seen()[3]
    assert again.headers["idempotency-key"] == letter["idempotency_key"]
    assert json.loads(again.body) == letter["body"]
    refused.wait_delivered()
    assert len(letters(refused)) == 2 and refused.status()["outbox"]["dead"] == 2
    refused.kill()
    refused.start().wait_ready()
    refused.wait_ticks(2)
    assert len(webhook.seen()) == 4 and len(letters(refused)) == 2, "it stays so after kill -9"


def test_all_are_sent_again_or_die_again(refused, webhook):
    webhook.status = 410
    assert notify(refused, "retry", "--all").returncode == 0
    eventually(lambda: {letter["last_error"][:8] for letter in letters(refused)} == {"HTTP 410"}, "all refused again")
    webhook.status = 200
    assert notify(refused, "retry", "--all").returncode == 0
    eventually(lambda: refused.status()["outbox"] | {"oldest_age_ms": 0} == {"depth": 0, "dead": 0, "oldest_age_ms": 0}, "all delivered")
    assert letters(refused) == []


def test_they_are_dropped(refused, webhook):
    first, *others = [str(letter["id"]) for letter in letters(refused)]
    assert notify(refused, "drop", *others).returncode == 0
    assert [str(letter["id"]) for letter in letters(refused)] == [first]
    assert notify(refused, "drop", "--all").returncode == 0
    assert letters(refused) == [] and refused.status()["outbox"]["dead"] == 0
    assert len(webhook.seen()) == 3


def test_what_is_not_there_and_wrong_usage(refused):
    unknown = notify(refused, "retry", "999999")
    assert unknown.returncode == 1 and "no dead letter has this id" in unknown.stderr
    assert notify(refused, "drop", "0").returncode == 1
    for wrong in (("retry",), ("drop",), ("retry", "x"), ("retry", "1", "--all"), ("drop", "-1"), ("list", "x"), ("test", "x", "y"), ("what",)):
        assert notify(refused, *wrong).returncode == 2, wrong
    for path in ("dead?limit=0", "dead?limit=1001", "dead?after=x", "dead?limit="):
        assert ask(refused, "GET", f"/api/v1/notifications/{path}")[0] == 400, path
    for method, path in (("POST", "x/retry"), ("POST", "99999999999999999999/retry"), ("POST", "1"), ("DELETE", "1x"), ("DELETE", "")):
        assert ask(refused, method, f"/api/v1/notifications/{path}")[0] == 404, path
    assert len(letters(refused)) == 3


def test_a_test_fires_and_resolves(tempo, webhook, make_agent):
    agent = make_agent(tempo, webhook).wait_ready()
    assert notify(agent, "test").returncode == 0
    eventually(lambda: len(webhook.bodies("test_notification")) == 2, "both are told")
    assert [body["status"] for body in webhook.bodies("test_notification")] == ["firing", "resolved"]
    assert ask(agent, "GET", "/api/v1/alerts")[1]["data"]["alerts"] == [], "no alert is left"
