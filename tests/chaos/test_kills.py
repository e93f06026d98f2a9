"""
Kills the agent with -9 at random moments under load, KILLS times (CHAOS_KILLS, 12), while the webhook flaps between 200, 500, 429, resets and
hangs. Afterwards every trace that offended and every alert that was ever firing has been told, every end too, in order, and nothing twice but
with the same Idempotency-Key. CHAOS_SEED repeats the moments. The same with alerts told in groups: then an alert that changed several times
before it was told is told once, as it is.
"""

import collections
import os
import random
import sqlite3
import time

import pytest
from support.agent import eventually
from test_exact import assert_told_exactly

KILLS = int(os.environ.get("CHAOS_KILLS", 12))
MEAN_LIFE_S = 0.8  # of an agent, from one kill to the next

# One of five alerts fires in each window, until the time given in the configuration.
PHASES = """
return {
  wants = { series = true },
  config = { until_s = 0 },
  check = function(ctx)
    if ctx.window.to > ctx.config.until_s then return {} end
    return { { type = "phase", labels = { n = tostring(ctx.window.to // 3 % 5) } } }
  end,
}
"""


def make_it_flap(webhook, chance):
    def sometimes(probability):
        return lambda request: chance.random() < probability

    webhook.fault("status", status=500, when=sometimes(0.1))
    webhook.fault("status", status=429, headers={"Retry-After": "1"}, when=sometimes(0.05))
    webhook.fault("reset", when=sometimes(0.05))
    webhook.fault("hang", seconds=2, when=sometimes(0.03))


def firing_phases(agent):
    """What the database of an agent that does not run says."""
    with sqlite3.connect(f"file:{agent.env['SPANWATCH_STORAGE_PATH']}/spanwatch.db?mode=ro", uri=True) as db:
        return [state for (state,) in db.execute("SELECT state FROM alert") if "phase" in str(state)]


def assert_each_life_is_told(lives, agent):
    began = 0
    for fingerprint, life in lives.items():
        statuses = [status for status, _ in life]
        assert statuses == ["firing", "resolved"] * (len(life) // 2), f"{fingerprint} was told as {life}"
        for (_, firing_since), (_, resolved_since) in zip(life[::2], life[1::2]):
            assert firing_since == resolved_since
        began += len(life) // 2
    assert agent.metric("trace_anomalies_total", type="phase") == began, "every alert that ever fired was told"
    return began


def assert_what_is_told_is_new_and_in_order(lives):
    for fingerprint, life in lives.items():
        assert len(set(life)) == len(life), f"{fingerprint} was told twice: {life}"
        assert life == sorted(life, key=lambda told: (told[1], told[0])), f"{fingerprint} was told as {life}"
    return sum(len({since for _, since in life}) for life in lives.values())


@pytest.mark.timeout(KILLS * 6 + 300)
@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "in groups"])
def test_no_kill_loses_an_alert_or_tells_one_twice(tempo, webhook, make_agent, traffic, scripts, tmp_path, grouped):
    kills = KILLS // 2 if grouped else KILLS
    seed = int(os.environ.get("CHAOS_SEED", time.time()))
    print(f"CHAOS_SEED={seed}")
    chance = random.Random(seed)
    start = time.time()
    lasts_s = kills * (MEAN_LIFE_S + 0.1) + 3
    traffic.mixed(int(lasts_s * 15), start - 20, start + lasts_s, slow_ms=(1100, 2000), slow=0.1, failed=0.1)
    tempo.plant(traffic)
    (scripts / "phases.lua").write_text(PHASES)
    config = tmp_path / "config.lua"
    config.write_text(f"return {{ detector_config = {{ phases = {{ until_s = {int(start + lasts_s)} }} }} }}")
    make_it_flap(webhook, chance)
    webhook.one_by_one = grouped
    groups = {
        "SPANWATCH_GROUP_NOTIFICATIONS_BY": "type", "SPANWATCH_GROUP_WAIT_SECS": 1, "SPANWATCH_GROUP_INTERVAL_SECS": 1,
        "SPANWATCH_WEBHOOK_MAX_ALERTS": 0,
    }  # fmt: skip
    agent = make_agent(
        tempo, webhook, start=False, args=("--config", config), SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_GROUP_BY="trace_id,n",
        SPANWATCH_WEBHOOK_TIMEOUT_MS=800, SPANWATCH_SOURCE_BLIND_TICKS=0,
        SPANWATCH_FLAPPING_HIGH_PERCENT=0,  # they come and go all the time, and each is to be told
        TEMPO_QUERY_TIMEOUT_MS=5000,  # the stand-in is slow with the traces of a long run, and what is not known does not resolve
        **(groups if grouped else {}),
    )  # fmt: skip
    for _ in range(kills):
        agent.start()
        end = time.time() + chance.choice([chance.uniform(0.02, 0.4), chance.uniform(0.4, 2 * MEAN_LIFE_S)])
        eventually(lambda end=end: time.time() > end, "the moment")  # random on purpose
        agent.kill()
    webhook.heal()
    agent.start().wait_ready()
    eventually(lambda: time.time() > start + lasts_s + 2, "the end of the traffic", lasts_s + 60)
    truth = len(traffic.slow()) + len(traffic.failed())
    told = lambda: len(webhook.reported("high_latency")) + len(webhook.reported("error_status"))  # noqa: E731
    eventually(lambda: told() >= truth, lambda: f"{truth} alerts, there are {told()}", 60)

    def phases():
        lives = collections.defaultdict(list)
        for body in webhook.bodies("phase"):
            lives[body["fingerprint"]].append((body["status"], body["starts_at"]))
        return lives

    eventually(lambda: all(life[-1][0] == "resolved" for life in phases().values()), lambda: f"all resolved: {phases()}", 60)
    agent.wait_delivered()
    assert_told_exactly(webhook, traffic, agent)

    assert phases(), "alerts that begin and end"
    began = assert_what_is_told_is_new_and_in_order(phases()) if grouped else assert_each_life_is_told(phases(), agent)

    bodies = collections.defaultdict(set)
    for request in webhook.seen():
        bodies[request.headers["idempotency-key"]].add(bytes(request.body))
    assert all(len(body) == 1 for body in bodies.values()), "a key is one notification"
    attempts = len(webhook.seen())
    assert agent.stop() == 0
    assert not firing_phases(agent), "nothing is left firing"
    print(f"{kills} kills, {truth} traces and {began} other alerts told exactly once, {len(bodies)} notifications in {attempts} attempts")
