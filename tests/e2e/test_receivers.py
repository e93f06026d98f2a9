"""Several receivers: routes, each with an outbox, a format and secrets of its own; what was told is told to its end."""

import json
import re
import shutil
import sqlite3
import time
from datetime import datetime, timedelta

import pytest
from support.agent import SCRIPTS, eventually, run
from support.servers import amtool, needs_amtool
from test_silences import ask, find

FINDINGS = "{ type = 'slow', service = 'shop', severity = 'critical' }, { type = 'slow', service = 'mail' }, { type = 'odd', service = 'mail' }"
ROUTES = """route = { receiver = "chat", routes = {
  { receiver = "pager", matchers = { 'severity="critical"' }, continue = true },
  { receiver = "shop", matchers = { 'service=~"shop|cart"' } },
} }"""


def receivers(**urls):
    """Lua of the list; a value is a URL, or a pair of it and further keys."""
    entries = [(name, *(value if isinstance(value, tuple) else (value, ""))) for name, value in urls.items()]
    return "receivers = { " + ", ".join(f'{{ name = "{name}", url = "{url}", {more} }}' for name, url, more in entries) + " }"


def configure(path, *parts):
    path.write_text("return { " + ", ".join(parts) + " }")
    return path


def seen(webhook, status=None):
    return sorted(f"{body['anomaly_type']} {body['service']}" for body in webhook.bodies(status=status))


def notify(agent, *args):
    return run("notify", *args, env={"SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{agent.port}"}, cwd=agent.folder)


@pytest.fixture
def hooks(make_webhook):
    return {name: make_webhook() for name in ("pager", "shop", "chat")}


@pytest.fixture
def config(tmp_path):
    return tmp_path / "spanwatch.lua"


@pytest.fixture
def start(tempo, make_agent, scripts, config):
    """An agent whose only detector finds what find() says: at first nothing."""
    (scripts / "detect.lua").unlink()
    shutil.copytree(SCRIPTS / "notify", scripts / "notify")
    find(scripts, "")
    return lambda **env: make_agent(tempo, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_CONFIG=config, **env).wait_ready()


def test_each_alert_goes_where_the_routes_lead_and_its_end_goes_there_too(hooks, start, config, scripts, webhook):
    configure(config, receivers(**{name: hook.hook for name, hook in hooks.items()}), ROUTES)
    agent = start(TEMPO_ALERT_WEBHOOK_URL=webhook.hook)
    find(scripts, FINDINGS)
    want = {"pager": ["slow shop"], "shop": ["slow shop"], "chat": ["odd mail", "slow mail"]}
    for status in ("firing", "resolved"):
        eventually(lambda: {name: seen(hook, status) for name, hook in hooks.items()} == want, lambda: f"{status}: {hooks}")  # noqa: B023
        alerts = ask(agent, "GET", "/api/v2/alerts")[1]
        if status == "firing":
            listed = {alert["labels"]["service"]: [one["name"] for one in alert["receivers"]] for alert in alerts}
            assert listed == {"shop": ["pager", "shop"], "mail": ["chat"]}
            assert [alert["labels"]["service"] for alert in ask(agent, "GET", "/api/v2/alerts?receiver=pag.*")[1]] == ["shop"]
            groups = ask(agent, "GET", "/api/v2/alerts/groups?receiver=pager")[1]
            assert [(group["receiver"], len(group["alerts"])) for group in groups] == [({"name": "pager"}, 1)]
            detail = ask(agent, "GET", f"/api/v1/alerts/{hooks['pager'].bodies()[0]['fingerprint']}")[1]
            assert set(detail["data"]["told"]) == {"pager", "shop"}
        find(scripts, "")
    agent.wait_delivered()
    assert [one["name"] for one in ask(agent, "GET", "/api/v2/receivers")[1]] == ["webhook", "pager", "shop", "chat"]
    assert {one["name"]: one["configured"] for one in agent.status()["receivers"]} == dict.fromkeys(["webhook", "pager", "shop", "chat"], True)
    assert agent.metric("spanwatch_deliveries_total", receiver="chat", result="delivered") == 4
    assert not webhook.seen(), "no route leads to the webhook of the settings"


@needs_amtool
def test_amtool_reads_the_routes(hooks, start, config):
    configure(config, receivers(**{name: hook.hook for name, hook in hooks.items()}),
              ROUTES.replace('receiver = "chat",', 'receiver = "chat", group_by = { "type" }, group_interval = 0, repeat_interval = "90s",'))  # fmt: skip
    url = f"http://127.0.0.1:{start().port}"
    assert 'severity="critical"' in amtool(url, "config", "routes", "show")
    for labels, want in ((("service=cart", "severity=critical"), "pager,shop"), (("service=cart",), "shop"), (("alertname=slow",), "chat")):
        assert amtool(url, "config", "routes", "test", *labels) == want
    assert '"repeat_interval": "90s"' in amtool(url, "config", "show")


def test_a_receiver_that_never_answers_holds_up_no_other(hooks, start, config, scripts, make_webhook):
    configure(config, receivers(pager=(hooks["pager"].hook, "timeout_ms = 60000, max_in_flight = 1"), chat=hooks["chat"].hook),
              'route = { receiver = "chat", routes = { { receiver = "pager", continue = true }, { receiver = "chat" } } }')  # fmt: skip
    hooks["pager"].fault("hang", seconds=60)
    agent = start(SPANWATCH_OUTBOX_OLD_SECS=1)
    find(scripts, FINDINGS)
    eventually(lambda: len(seen(hooks["chat"])) >= 3, "told to the one that answers")
    growing = eventually(lambda: hooks["chat"].bodies("outbox_growing"), "an alert about the other")[0]
    assert growing["labels"] == {"receiver": "pager"} and "pager" in growing["summary"]
    state = {one["name"]: one["depth"] for one in agent.status()["receivers"]}
    assert state["pager"] >= 3 and state["chat"] == 0
    assert agent.metric("spanwatch_outbox_depth", receiver="pager") >= 3


def test_a_receiver_that_refuses_is_an_alert_to_the_others_and_ends_the_heartbeat(hooks, start, config, scripts, make_webhook):
    heart = make_webhook()
    configure(config, receivers(**{name: hook.hook for name, hook in hooks.items()}),
              'route = { receiver = "chat", routes = { { receiver = "pager", matchers = { \'alertname="slow"\' } }, { receiver = "chat" } } }')  # fmt: skip
    hooks["pager"].status = 401
    agent = start(SPANWATCH_HEARTBEAT_URL=f"{heart.url}/beat")
    eventually(heart.seen, "all is well")
    find(scripts, "{ type = 'slow', service = 'shop' }")
    refused = eventually(lambda: hooks["chat"].bodies("notification_refused"), "an alert about it")[0]
    assert refused["labels"] == {"receiver": "pager"} and refused["error_message"].startswith("HTTP 401")
    beats = len(heart.seen())
    agent.wait_ticks(2)
    assert len(heart.seen()) <= beats + 1, "not all is well"  # one may have been on its way
    hooks["pager"].status = 200
    find(scripts, "")
    eventually(lambda: seen(hooks["pager"], "resolved"), "it takes the next one")
    eventually(lambda: hooks["chat"].bodies("notification_refused", "resolved"), "its end")
    eventually(lambda: len(heart.seen()) > beats + 1, "all is well again")


def test_the_end_goes_to_who_was_told_also_when_routes_were_edited_meanwhile(hooks, start, config, scripts):
    urls = {name: hook.hook for name, hook in hooks.items()}
    configure(config, receivers(**urls), 'route = { receiver = "pager" }')
    agent = start()
    find(scripts, "{ type = 'slow', service = 'shop' }")
    eventually(lambda: seen(hooks["pager"], "firing"), "told")
    agent.stop()
    configure(config, receivers(**urls), 'route = { receiver = "chat" }')
    agent.start().wait_ready()
    agent.wait_ticks(2)
    assert not hooks["chat"].seen(), "nothing is told again because routes changed"
    find(scripts, "")
    eventually(lambda: seen(hooks["pager"], "resolved"), "its end")
    agent.wait_delivered()
    assert not hooks["chat"].seen()


def test_what_a_version_with_one_receiver_told_is_told_its_end_there(webhook, hooks, start, config, scripts):
    configure(config, receivers(chat=hooks["chat"].hook))
    agent = start(TEMPO_ALERT_WEBHOOK_URL=webhook.hook)
    find(scripts, "{ type = 'slow', service = 'shop' }")
    eventually(lambda: seen(webhook, "firing"), "told")
    agent.stop()
    store = sqlite3.connect(agent.folder / "data" / "spanwatch.db")
    ((fingerprint, state),) = store.execute("SELECT fingerprint, state FROM alert").fetchall()
    alert = json.loads(state)
    assert alert.pop("told").startswith("webhook@")
    store.execute("UPDATE alert SET state = ? WHERE fingerprint = ?", (json.dumps(alert), fingerprint))
    store.commit()
    store.close()
    configure(config, receivers(chat=hooks["chat"].hook), 'route = { receiver = "chat" }')
    find(scripts, "")
    agent.start().wait_ready()
    eventually(lambda: seen(webhook, "resolved"), "its end")
    agent.wait_delivered()
    assert not hooks["chat"].seen()


def test_what_waits_for_a_receiver_that_is_gone_is_not_forgotten(hooks, start, config, scripts):
    pager, chat = hooks["pager"], hooks["chat"]
    pager.status = 503
    both = receivers(pager=pager.hook, chat=chat.hook)
    to_pager = 'route = { receiver = "chat", routes = { { receiver = "pager", matchers = { "service=shop" } } } }'
    configure(config, both, to_pager)
    agent = start(SPANWATCH_WEBHOOK_BACKOFF_MIN_MS=50)
    find(scripts, "{ type = 'slow', service = 'shop' }, { type = 'odd', service = 'shop' }")
    eventually(lambda: len({request.headers["idempotency-key"] for request in pager.seen()}) == 2, "attempts")
    agent.kill()
    pager.status = 200
    before = len(pager.seen())
    configure(config, receivers(chat=chat.hook), 'route = { receiver = "chat" }')
    agent.start().wait_ready()
    missing = eventually(lambda: chat.bodies("receiver_missing"), "an alert about it")[0]
    assert missing["labels"] == {"receiver": "pager"} and missing["value"] == 2
    assert "not configured any more" in agent.log()
    assert agent.metric("spanwatch_outbox_depth", receiver="pager") == 2
    find(scripts, "{ type = 'odd', service = 'shop' }")
    rows = eventually(lambda: len(ask(agent, "GET", "/api/v1/notifications/dead")[1]["data"]) == 3 and
                      ask(agent, "GET", "/api/v1/notifications/dead")[1]["data"], "the end of one waits as well")  # fmt: skip
    assert [(row["receiver"], row["configured"], row["state"]) for row in rows] == [("pager", False, "waiting")] * 3
    assert rows == sorted(rows, key=lambda row: row["id"])
    assert notify(agent, "list").stdout.count("waits: the receiver is not configured") == 3
    odd = next(row for row in rows if row["body"]["anomaly_type"] == "odd")
    refused = notify(agent, "retry", str(odd["id"]))
    assert refused.returncode == 1 and "not configured" in refused.stderr
    assert notify(agent, "drop", str(odd["id"])).returncode == 0
    assert len(ask(agent, "GET", "/api/v1/notifications/dead")[1]["data"]) == 2
    assert len(pager.seen()) == before
    agent.kill()
    configure(config, both, to_pager)
    agent.start().wait_ready()
    eventually(lambda: [body["status"] for body in pager.bodies("slow")] == ["firing", "resolved"], "it finds what waited for it, in order")
    assert not pager.bodies("odd")
    eventually(lambda: chat.bodies("receiver_missing", "resolved"), "the alert is over")


def test_each_has_its_own_format_headers_signature_and_secrets_that_are_read_again(hooks, start, config, scripts, tmp_path):
    token, key = tmp_path / "token", tmp_path / "hmac"
    token.write_text("first\n")
    key.write_text("k\n")
    configure(config, receivers(
        pager=(hooks["pager"].hook, f"bearer_token_file = '{token}', headers = {{ 'X-Team: pagers' }}, send_resolved = false"),
        shop=(hooks["shop"].hook, f"format = 'template', format_config = {{ template = {{ text = '{{service}}' }} }}, hmac_secret_file = '{key}'"),
        chat=(hooks["chat"].hook, "format = 'slack'")),
        'route = { routes = { { receiver = "pager", continue = true }, { receiver = "shop", continue = true }, { receiver = "chat" } } }',
        'detector_config = { ["notify/template"] = { template = { text = "shared" } } }')  # fmt: skip
    agent = start(SPANWATCH_WEBHOOK_HEADERS="Authorization: never-for-others")
    find(scripts, "{ type = 'slow', service = 'shop' }")
    for hook in hooks.values():
        eventually(hook.seen, "told")
    pager, shop, chat = (hooks[name].seen()[0] for name in ("pager", "shop", "chat"))
    assert pager.headers["authorization"] == "Bearer first" and pager.headers["x-team"] == "pagers"
    assert json.loads(pager.body)["anomaly_type"] == "slow" and "x-spanwatch-signature" not in pager.headers
    assert json.loads(shop.body) == {"text": "shop"} and "x-spanwatch-signature" in shop.headers
    assert set(json.loads(chat.body)) == {"text", "attachments"}
    assert "authorization" not in shop.headers and "authorization" not in chat.headers and "x-team" not in chat.headers
    time.sleep(0.02)  # another modification time
    token.write_text("second\n")
    find(scripts, "{ type = 'new', service = 'shop' }")
    eventually(lambda: len(hooks["pager"].seen()) == 2, "told")
    assert hooks["pager"].seen()[1].headers["authorization"] == "Bearer second"
    eventually(lambda: len(hooks["chat"].seen()) == 3, "the end of the first")
    agent.wait_delivered()
    assert len(hooks["pager"].seen()) == 2, "send_resolved = false"


def test_opsgenie_is_told_the_end_at_another_address_with_its_kind_of_key(hooks, start, config, scripts, tmp_path):
    (tmp_path / "key").write_text("k3y\n")
    url = f"{hooks['pager'].url}/v2/alerts?region=eu"
    configure(config, receivers(pager=(url, f"format = 'opsgenie', bearer_token_file = '{tmp_path / 'key'}', authorization_type = 'GenieKey'")),
              'route = { receiver = "pager" }')  # fmt: skip
    start()
    find(scripts, "{ type = 'slow', service = 'shop', severity = 'critical' }")
    (created,) = eventually(hooks["pager"].seen, "created")
    find(scripts, "")
    closed = eventually(lambda: hooks["pager"].seen()[1:], "closed")[0]
    body = json.loads(created.body)
    assert (created.path, created.query) == ("/v2/alerts", "region=eu") and body["priority"] == "P1"
    assert (closed.path, closed.query) == (f"/v2/alerts/{body['alias']}/close", "region=eu&identifierType=alias")
    assert {request.headers["authorization"] for request in (created, closed)} == {"GenieKey k3y"}


def test_a_format_that_leads_elsewhere_fails(hooks, start, config, scripts):
    (scripts / "notify" / "own.lua").write_text("return { format = function() return 'x', '/../admin' end }")
    configure(config, receivers(pager=(hooks["pager"].hook, "format = 'own'")), 'route = { receiver = "pager" }')
    start()
    find(scripts, "{ type = 'slow', service = 'shop' }")
    failing = eventually(lambda: hooks["pager"].bodies("formatter_failing"), "an alert")[0]
    assert "empty, . or .." in failing["error_message"]
    assert {request.path for request in hooks["pager"].seen()} == {"/hook"}, "the default form goes to the URL"


def test_a_proxy_and_tls_of_its_own(hooks, start, config, scripts, certificates, make_webhook, mutual_tls):
    safe = make_webhook(tls=mutual_tls)
    tls = "ca_file = '{0}/ca.pem', client_cert_file = '{0}/client.pem', client_key_file = '{0}/client.key'".format(certificates)
    configure(config, receivers(pager=(safe.hook, tls), chat=("http://behind.invalid/hook", f"proxy = '{hooks['chat'].url}'")),
              'route = { routes = { { receiver = "pager", continue = true }, { receiver = "chat" } } }')  # fmt: skip
    start()
    find(scripts, "{ type = 'slow', service = 'shop' }")
    eventually(lambda: seen(safe) == ["slow shop"], "told over TLS with a client's certificate")
    (request, *_) = eventually(hooks["chat"].seen, "told through the proxy")
    assert request.headers["host"] == "behind.invalid"


def test_alerts_of_a_group_are_told_together_and_others_alone(hooks, start, config, scripts):
    configure(config, receivers(pager=hooks["pager"].hook, chat=hooks["chat"].hook),
              '''route = { receiver = "chat", group_by = { "type" }, group_wait = "1s", group_interval = 0, routes = {
              { receiver = "pager", group_by = { "..." }, continue = true }, { receiver = "chat" } } }''')  # fmt: skip
    agent = start()
    find(scripts, FINDINGS)
    eventually(lambda: len(hooks["pager"].bodies()) == 3, "told alone")
    assert all("alerts" not in body for body in hooks["pager"].bodies())
    eventually(lambda: len(hooks["chat"].bodies()) == 2, "told in groups")
    groups = {body["group_labels"]["type"]: sorted(alert["service"] for alert in body["alerts"]) for body in hooks["chat"].bodies()}
    assert groups == {"slow": ["mail", "shop"], "odd": ["mail"]}
    listed = ask(agent, "GET", "/api/v2/alerts/groups?receiver=chat")[1]
    assert sorted((group["labels"].get("type"), len(group["alerts"])) for group in listed) == [("odd", 1), ("slow", 2)]
    assert len(ask(agent, "GET", "/api/v2/alerts/groups?receiver=pager")[1]) == 3
    find(scripts, "")
    eventually(lambda: len(hooks["chat"].bodies(status="resolved")) == 2, "their ends too")
    eventually(lambda: len(hooks["pager"].bodies(status="resolved")) == 3, "alone")


def test_settings_alone_make_groups_and_a_limit_per_hour(tempo, webhook, make_agent, scripts):
    (scripts / "detect.lua").unlink()
    find(scripts, FINDINGS)
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_GROUP_NOTIFICATIONS_BY="service", SPANWATCH_GROUP_WAIT_SECS=1,
                       SPANWATCH_GROUP_INTERVAL_SECS=0, SPANWATCH_WEBHOOK_MAX_ALERTS=1, SPANWATCH_WEBHOOK_MAX_NOTIFICATIONS_PER_HOUR=2)  # fmt: skip
    eventually(lambda: len(webhook.bodies()) == 2, "two groups")
    mail = next(body for body in webhook.bodies() if body["group_labels"] == {"service": "mail"})
    assert len(mail["alerts"]) == 1 and mail["truncated_alerts"] == 1 and mail["firing_alerts"] == 2
    find(scripts, "")
    eventually(lambda: agent.metric("spanwatch_receiver_held_back", receiver="webhook") == 1, "the limit holds")
    agent.wait_ticks(1)
    assert len(webhook.bodies()) == 2 and agent.status()["outbox"]["depth"] > 0


def test_a_repeat_interval_of_its_own(hooks, start, config, scripts):
    configure(config, receivers(pager=hooks["pager"].hook, chat=hooks["chat"].hook),
              'route = { routes = { { receiver = "pager", repeat_interval = "1s", continue = true }, { receiver = "chat" } } }')  # fmt: skip
    agent = start()
    find(scripts, "{ type = 'slow', service = 'shop' }")
    eventually(lambda: len(hooks["pager"].bodies("slow")) >= 4, "told again and again")
    agent.wait_ticks(1)
    assert [body["repeat"] for body in hooks["pager"].bodies("slow")][:3] == [False, True, True]
    assert len(hooks["chat"].bodies("slow")) == 1
    env = {"SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{agent.port}"}
    explained = run("explain", hooks["pager"].bodies("slow")[0]["fingerprint"], env=env, cwd=agent.folder)
    told, again = re.search(r"told at (\S+)Z, and again not before (\S+)Z", explained.stdout).groups()
    assert datetime.fromisoformat(again) - datetime.fromisoformat(told) == timedelta(seconds=1)


def test_the_test_notification_goes_to_one_or_to_all_that_routes_lead_to(hooks, start, config, webhook):
    configure(config, receivers(**{name: hook.hook for name, hook in hooks.items()}),
              'route = { receiver = "chat", routes = { { receiver = "pager", matchers = { "service=x" } } } }')  # fmt: skip
    agent = start(TEMPO_ALERT_WEBHOOK_URL=webhook.hook)
    assert "receivers.shop" in agent.log() and "no route leads to it" in agent.log()
    assert notify(agent, "test", "shop").returncode == 0
    eventually(lambda: [body["status"] for body in hooks["shop"].bodies()] == ["firing", "resolved"], "told to one")
    assert not hooks["chat"].seen() and not hooks["pager"].seen()
    assert notify(agent, "test").returncode == 0
    for name in ("chat", "pager"):
        eventually(lambda: len(hooks[name].bodies()) == 2, "told to all")  # noqa: B023
    assert len(hooks["shop"].bodies()) == 2 and not webhook.seen()
    unknown = notify(agent, "test", "shpo")
    assert unknown.returncode == 1 and "no receiver has this name" in unknown.stderr


def test_mistakes_are_said_all_at_once(tmp_path, config):
    configure(config, receivers(pager=("http://127.0.0.1:9/x", "timeout_ms = 'soon', format = 'slakc'"), chat=("nowhere", "hedaers = {}")),
              """route = { receiver = "pagr", routes = { { matchers = { 'service=~"(("' } } } }""")  # fmt: skip
    ended = run("check", "--config", config, cwd=tmp_path)
    assert ended.returncode == 78
    for mistake in ("receivers.pager.timeout_ms", "receivers.pager.format", "slakc", "receivers.chat.url", "did you mean headers?",
                    "did you mean pager?", "route.routes[1].matchers[1]"):  # fmt: skip
        assert mistake in ended.stderr, ended.stderr
    assert "nowhere" not in ended.stderr, "a URL may be a secret"


def test_the_example_is_good(tmp_path):
    example = SCRIPTS.parent / "examples" / "config.lua"
    for name in ("pager", "tickets"):
        (tmp_path / name).write_text("secret")
    env = {"PAGERDUTY_KEY_FILE": tmp_path / "pager", "TICKETS_TOKEN_FILE": tmp_path / "tickets", "SPANWATCH_SCRIPTS_DIR": SCRIPTS}
    ended = run("check", "--config", example, env=env, cwd=tmp_path)
    assert ended.returncode == 0 and ended.stdout == "ok: 1 detector, 4 receivers\n" and ended.stderr == "", ended
    routed = run("routes", "test", "--config", example, "type=high_error_rate", "service=cart", "severity=critical", env=env, cwd=tmp_path)
    assert routed.stdout == "pager,tickets\n"


def test_routes_are_shown_and_tried_without_an_agent(tmp_path, config):
    configure(config, receivers(pager="http://a/", shop="http://b/", chat="http://c/"), ROUTES)
    shown = run("routes", "--config", config, cwd=tmp_path)
    assert shown.returncode == 0 and shown.stdout.splitlines() == [
        "receiver: chat", '  {severity="critical"}  receiver: pager  continue: true', '  {service=~"shop|cart"}  receiver: shop',
    ], shown.stderr  # fmt: skip

    def test(*labels):
        return run("routes", "test", "--config", config, *labels, cwd=tmp_path)

    assert test("service=cart", "severity=critical").stdout == "pager,shop\n"
    assert test("service=cart").stdout == "shop\n"
    assert test("alertname=slow").stdout == "chat\n"
    assert test().stdout == "chat\n"
    assert test("severity=critical", "--verify-receivers", "pager").returncode == 0
    wrong = test("service=shop", "--verify-receivers", "pager")
    assert wrong.returncode == 1 and "the receivers are shop, not pager" in wrong.stderr
    for usage in (("test", "service"), ("test", "=x"), ("show", "x"), ("what",)):
        assert run("routes", *usage, cwd=tmp_path).returncode == 2, usage
