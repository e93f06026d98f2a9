"""The format alertmanager_push: a real Alertmanager hears of each alert, as long as it fires, and of its end."""

import json
import time

import pytest
from support.agent import SCRIPTS, eventually
from support.servers import needs_alertmanager
from test_receivers import configure, receivers
from test_silences import ask, find, matcher, silence

NOTIFYING = """
route: {{receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1s}}
receivers: [{{name: hook, webhook_configs: [{{url: '{url}', send_resolved: true}}]}}]
"""
SLOW = "{ type = 'slow', service = 'shop', severity = 'critical', value = 3, labels = { ['http.route'] = '/pay' } }"


@pytest.fixture
def config(tmp_path):
    return tmp_path / "spanwatch.lua"


@pytest.fixture
def start(tempo, make_agent, scripts, config):
    (scripts / "detect.lua").unlink()
    find(scripts, "")

    def start_with(url, more="resend_secs = 1", **env):
        configure(config, receivers(am=(f"{url}/api/v2/alerts", f"format = 'alertmanager_push', {more}")), 'route = { receiver = "am" }')
        return make_agent(tempo, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_CONFIG=config, **env).wait_ready()

    (scripts / "notify").symlink_to(SCRIPTS / "notify")
    return start_with


@needs_alertmanager
def test_an_alert_lives_in_alertmanager_as_long_as_it_fires(start, scripts, make_alertmanager, webhook):
    alertmanager = make_alertmanager(config=NOTIFYING.format(url=webhook.hook))
    agent = start(alertmanager.url)
    find(scripts, SLOW)
    (alert,) = eventually(alertmanager.alerts, "it is there")
    assert alert["labels"] == {"alertname": "slow", "service": "shop", "severity": "critical", "http_route": "/pay"}
    assert alert["annotations"]["value"] == "3" and alert["status"]["state"] == "active"
    # Longer than Alertmanager would wait for more of it.
    started, first_end = alert["startsAt"], alert["endsAt"]
    eventually(lambda: alertmanager.alerts()[0]["endsAt"] > first_end, "its end moves on")
    agent.wait_ticks(5)
    (alert,) = alertmanager.alerts()
    assert alert["startsAt"] == started
    assert agent.metric("spanwatch_resent_alerts_total", receiver="am", result="ok") >= 5
    # An Alertmanager that forgets everything hears of it again.
    alertmanager.stop()
    agent.wait_log("alerts that go on are not taken")
    for file in (alertmanager.folder / "data").glob("*"):
        file.unlink()
    alertmanager.start()
    (alert,) = eventually(alertmanager.alerts, "it is there again")
    assert alert["startsAt"] == started
    # Over restarts too, and with kill -9.
    agent.kill()
    agent.start().wait_ready()
    agent.wait_ticks(3)
    assert [alert["startsAt"] for alert in alertmanager.alerts()] == [started]
    find(scripts, "")
    eventually(lambda: not alertmanager.alerts(), "it is over")
    told = lambda: [json.loads(request.body)["status"] for request in webhook.seen()]  # noqa: E731
    eventually(lambda: "resolved" in told(), told)
    assert told() in (["firing", "resolved"], ["firing", "firing", "resolved"])  # twice: Alertmanager forgot
    agent.wait_ticks(3)
    assert not alertmanager.alerts(), "nothing brings it back"
    agent.wait_delivered()


@needs_alertmanager
def test_the_end_is_said_and_not_waited_for(start, scripts, make_alertmanager, webhook):
    alertmanager = make_alertmanager(config=NOTIFYING.format(url=webhook.hook))
    agent = start(alertmanager.url, more="")  # every 60 s: for four minutes nothing times out
    find(scripts, SLOW + ", { type = 'odd', service = 'mail' }")
    eventually(lambda: len(alertmanager.alerts()) == 2, "both are there")
    find(scripts, SLOW.replace("critical", "warning") + ", { type = 'odd', service = 'mail' }")
    agent.wait_ticks(2)
    assert len(alertmanager.alerts()) == 2, "a severity that falls is not told"
    left_s = max(time.mktime(time.strptime(alert["endsAt"][:19], "%Y-%m-%dT%H:%M:%S")) for alert in alertmanager.alerts()) - time.mktime(time.gmtime())
    assert 200 < left_s <= 241
    id = silence(agent, matcher("service", "mail"))
    find(scripts, "")
    eventually(lambda: [alert["labels"]["alertname"] for alert in alertmanager.alerts()] == ["odd"], "one is over, the other's end is silenced")
    ask(agent, "DELETE", f"/api/v2/silence/{id}")
    eventually(lambda: not alertmanager.alerts(), "and now it is over too")


def test_many_alerts_are_sent_again_in_batches_and_never_after_their_end(start, scripts, webhook):
    n = 250
    many = "(function() local all = {} for i = 1, %d do all[i] = { type = 'slow', service = 's' .. i } end return table.unpack(all) end)()" % n
    agent = start(webhook.url)
    find(scripts, many)
    eventually(lambda: agent.metric("spanwatch_resent_alerts_total", result="ok") >= 2 * n, "sent again")
    # Answers are slow while the alerts end: what is said again is in flight then.
    webhook.fault("late", seconds=0.3)
    eventually(lambda: len(json.loads(webhook.seen()[-1].body)) > 1, "a batch")
    find(scripts, "")
    eventually(lambda: not ask(agent, "GET", "/api/v2/alerts")[1], "over")
    webhook.heal()
    agent.wait_delivered()
    agent.wait_ticks(2)
    sizes, over = [], {}
    for request in sorted(webhook.seen(), key=lambda request: request.at):
        assert request.path == "/api/v2/alerts" and request.headers["content-type"] == "application/json"
        alerts = json.loads(request.body)
        sizes.append(len(alerts))
        for alert in alerts:
            ended = alert["endsAt"] < time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(request.at + 0.5))
            assert not over.get(alert["labels"]["service"]), "nothing comes after the end"
            over[alert["labels"]["service"]] = ended
    assert len(over) == n and all(over.values())
    assert max(sizes) == 100 and sizes.count(1) >= 2 * n, "first firings and ends alone, the rest in batches"
