"""kill -9 at any moment loses no alert and sends none twice."""

import random
import time

import pytest
from support.agent import eventually
from test_exact import assert_told_exactly


def told(webhook):
    return len(webhook.reported("high_latency")) + len(webhook.reported("error_status"))


@pytest.mark.slow
@pytest.mark.parametrize("group_by", ["trace_id", ""], ids=["by-trace", "grouped"])
def test_killed_at_random_moments_it_loses_nothing_and_tells_nothing_twice(tempo, webhook, make_agent, traffic, tmp_path, group_by):
    now = time.time()
    traffic.mixed(400, now - 20, now + 14, slow_ms=(1100, 2000), slow=0.1, failed=0.1)
    tempo.plant(traffic)
    # Traces that join a group that was told already are told when it ends.
    config = tmp_path / "config.lua"
    config.write_text("return { detector_config = { detect = { keep_firing_s = 1 } } }")
    agent = make_agent(tempo, webhook, start=False, args=("--config", config), SPANWATCH_GROUP_BY=group_by)
    chance = random.Random(now)
    kills = 0
    while time.time() < now + 14:
        agent.start()
        agent.process.poll()
        end = time.time() + chance.choice([chance.uniform(0.02, 0.6), chance.uniform(0.5, 2.5)])
        eventually(lambda: time.time() > end, "the moment")  # the moment is random on purpose
        agent.kill()
        kills += 1
    agent.start().wait_ready()
    truth = len(traffic.slow()) + len(traffic.failed())
    eventually(lambda: told(webhook) >= truth, lambda: f"{truth} alerts after {kills} kills, there are {told(webhook)}")
    agent.wait_delivered()
    assert_told_exactly(webhook, traffic, agent)


def test_killed_between_answer_and_record_it_sends_the_same_key_again(tempo, webhook, make_agent, traffic):
    traffic.trace(time.time() - 5, duration_ms=1500)
    tempo.plant(traffic)
    # The receiver takes the alert, and the agent dies before it can know.
    webhook.fault("hang", seconds=30, times=1)
    agent = make_agent(tempo, webhook)
    eventually(lambda: webhook.seen(), "the first attempt")
    agent.kill()
    agent.start()
    eventually(lambda: webhook.accepted(), "the second attempt")
    agent.wait_ready().wait_delivered()
    keys = {request.headers["idempotency-key"] for request in webhook.seen()}
    assert len(keys) == 1
    assert len({request.body for request in webhook.seen()}) == 1


def test_an_alert_that_could_not_be_delivered_outlives_the_agent(tempo, webhook, make_agent, traffic):
    traffic.mixed(40, time.time() - 20, time.time() - 6, slow=0.5, failed=0.5)
    tempo.plant(traffic)
    webhook.stop()
    agent = make_agent(tempo, webhook, SPANWATCH_GROUP_BY="trace_id").wait_ready()
    truth = len(traffic.slow()) + len(traffic.failed())

    def decided():
        metrics = agent.metrics()
        return metrics.total("trace_anomalies_total", type="high_latency") + metrics.total("trace_anomalies_total", type="error_status")

    eventually(lambda: decided() == truth, "all decided")
    agent.wait_ticks(1)  # and committed
    assert agent.status()["outbox"]["depth"] >= truth
    agent.kill()
    tempo.stop()  # what comes now comes from the outbox
    webhook.start()
    agent.start()
    eventually(lambda: told(webhook) >= truth, "all delivered after the restart")
    assert sorted(webhook.reported("high_latency")) == sorted(traffic.slow())
    assert sorted(webhook.reported("error_status")) == sorted(traffic.failed())


def test_an_alert_resolves_although_the_agent_was_killed_meanwhile(tempo, webhook, make_agent, traffic):
    now = time.time()
    for i in range(60):
        traffic.trace(now - 4 + i / 20, duration_ms=5, service="shop", operation="a", error="x")
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, TEMPO_LOOKBACK_WINDOW_SECS=5).wait_ready()
    eventually(lambda: webhook.bodies("high_error_rate", "firing"), "firing")
    agent.kill()
    agent.start().wait_ready()
    eventually(lambda: webhook.bodies("high_error_rate", "resolved"), "resolved")
    agent.wait_delivered()
    fingerprints = [body["fingerprint"] for body in webhook.bodies("high_error_rate", "firing")]
    assert len(fingerprints) == len(set(fingerprints)), "no alert began twice"


def test_a_second_agent_on_the_same_storage_is_refused(tempo, webhook, make_agent):
    first = make_agent(tempo, webhook).wait_ready()
    second = make_agent(tempo, webhook, folder="second", SPANWATCH_STORAGE_PATH=first.env["SPANWATCH_STORAGE_PATH"])
    assert second.process.wait(20) == 78
    assert str(first.env["SPANWATCH_STORAGE_PATH"]) in second.log()
    assert first.running


def test_state_of_a_detector_outlives_a_kill(tempo, webhook, make_agent, scripts):
    (scripts / "counter.lua").write_text(
        "return { check = function(ctx) ctx.state.n = (ctx.state.n or 0) + 1 ctx.metric('calls', ctx.state.n) return {} end }"
    )
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    eventually(lambda: agent.metric("calls") >= 4, "four calls")
    before = agent.metric("calls")
    agent.kill()
    agent.start().wait_ready()
    eventually(lambda: agent.metrics().has("calls"), "a call after the restart")
    assert agent.metric("calls") >= before, "the last committed state may be one tick old, but not older"


def test_a_worker_that_is_killed_from_outside_is_replaced(tempo, webhook, make_agent, scripts):
    import os
    import signal
    import subprocess

    (scripts / "counter.lua").write_text(
        "return { check = function(ctx) ctx.state.n = (ctx.state.n or 0) + 1 ctx.metric('calls', ctx.state.n) return {} end }"
    )
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    eventually(lambda: agent.metric("calls") >= 2, "two calls")
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(agent.process.pid)], capture_output=True, text=True)
    for pid in children.stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    before = agent.metric("calls")
    eventually(lambda: agent.metric("calls") >= before + 3, "calls after the workers were killed")
