"""Saved detectors are used at the next tick; broken ones leave the old one running."""

import json
import os
import time

import pytest
from support.agent import eventually
from test_exact import assert_told_exactly

VERSION = "return {{ check = function(ctx) ctx.state.n = (ctx.state.n or 0) + 1 ctx.metric('version', {0}) ctx.metric('calls', ctx.state.n) return {{}} end }}\n"


def write(path, text):
    """As editors do: a new file that takes the name of the old one."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def in_place(path, text):
    path.write_text(text)


@pytest.mark.parametrize("save", [write, in_place], ids=["rename", "in-place"])
def test_a_saved_detector_is_used_at_the_next_tick(tempo, webhook, make_agent, scripts, save):
    save(scripts / "mine.lua", VERSION.format(1))
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    eventually(lambda: agent.metric("version") == 1, "the first version")
    ticks = agent.metric("spanwatch_ticks_total")
    save(scripts / "mine.lua", VERSION.format(2))
    eventually(lambda: agent.metric("version") == 2, "the second version")
    assert agent.metric("spanwatch_ticks_total") - ticks <= 3
    calls = agent.metric("calls")
    assert calls > 1, "it took over the state"
    assert agent.metric("spanwatch_config_last_reload_successful") == 1


@pytest.mark.parametrize(
    "broken, named",
    [
        ("return { check = function(ctx) ", "mine.lua:1:"),
        ("local x = nil\nreturn { check = function(ctx) return {} end, config = x.y }", "mine.lua:2:"),
        ("return 42", "mine.lua"),
        ("return { check = 'no function' }", "check"),
        ("return { check = function(ctx)\n local t = nil\n return t.x end }", "mine.lua:3:"),
        ("while true do end", "mine.lua:1:"),
        ("return { chekc = function() end, check = function() return {} end }", "chekc"),
        ("\27Lua bytecode", "mine.lua"),
    ],
    ids=["syntax", "top level", "not a table", "wrong type", "dry call", "endless", "unknown key", "bytecode"],
)
def test_a_broken_detector_leaves_the_old_one_running(tempo, webhook, make_agent, scripts, broken, named):
    write(scripts / "mine.lua", VERSION.format(1))
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_WORKER_CPU_MS=300, SPANWATCH_WORKER_TIMEOUT_MS=2000).wait_ready()
    eventually(lambda: agent.metric("calls") >= 1, "the first version")
    before = len(agent.log())
    write(scripts / "mine.lua", broken)
    eventually(lambda: agent.metric("spanwatch_config_last_reload_successful") == 0, "the failed reload")
    calls = agent.metric("calls")
    eventually(lambda: agent.metric("calls") >= calls + 2, "the old version goes on")
    said = [line for line in agent.log()[before:].splitlines() if "level=error" in line and "mine" in line]
    assert any(named in line for line in said), agent.log()[before:]
    assert len(said) == 1, "said once"
    # And it can be repaired.
    write(scripts / "mine.lua", VERSION.format(3))
    eventually(lambda: agent.metric("version") == 3, "the repaired version")
    eventually(lambda: agent.metric("spanwatch_config_last_reload_successful") == 1, "a good reload")
    assert agent.metric("calls") > calls, "state was kept"


def test_dropping_a_file_in_starts_it_and_removing_it_stops_it(tempo, webhook, make_agent, scripts):
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    assert [detector["name"] for detector in agent.status()["detectors"]] == ["detect"]
    write(scripts / "mine.lua", VERSION.format(1))
    eventually(lambda: agent.metric("version") == 1, "it runs")
    (scripts / "mine.lua").unlink()
    eventually(lambda: [detector["name"] for detector in agent.status()["detectors"]] == ["detect"], "it is gone")


def test_test_files_and_hidden_files_are_no_detectors(tempo, webhook, make_agent, scripts):
    (scripts / "detect_test.lua").write_text("test('x', function() end)")
    (scripts / ".#detect.lua").write_text("return 1")
    (scripts / "notes.txt").write_text("hello")
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    agent.wait_ticks(1)
    assert [detector["name"] for detector in agent.status()["detectors"]] == ["detect"]
    assert "level=error" not in agent.log()


def test_a_detector_in_a_subfolder_is_named_in_the_configuration(tempo, webhook, make_agent, scripts):
    (scripts / "detectors").mkdir()
    write(scripts / "detectors" / "mine.lua", VERSION.format(1))
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_DETECTORS="detectors/mine").wait_ready()
    eventually(lambda: agent.metric("version", detector="detectors/mine") == 1, "it runs")


def test_a_changed_library_is_loaded_again(tempo, webhook, make_agent, scripts):
    (scripts / "lib" / "answer.lua").write_text("return { value = 1 }")
    write(scripts / "mine.lua", "local a = require 'answer' return { check = function(ctx) ctx.metric('answer', a.value) return {} end }")
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    eventually(lambda: agent.metric("answer") == 1, "the first library")
    write(scripts / "lib" / "answer.lua", "return { value = 2 }")
    agent.get("/-/reload", method="POST")
    eventually(lambda: agent.metric("answer") == 2, "the second library")


def test_state_is_migrated_to_a_new_shape(tempo, webhook, make_agent, scripts):
    write(scripts / "mine.lua", "return { check = function(ctx) ctx.state.n = 7 ctx.metric('n', 7) return {} end }")
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    eventually(lambda: agent.metric("n") == 7, "the first version")
    write(
        scripts / "mine.lua",
        "return { state_version = 2, migrate = function(old, version) return { twice = old.n * 2 * version } end,"
        " check = function(ctx) ctx.metric('twice', ctx.state.twice or -1) return {} end }",
    )
    eventually(lambda: agent.metric("twice") == 14, "the migrated state")


FINDS = "return {{ check = function() return {{ {0} }} end }}\n"


def test_the_edit_of_a_detector_keeps_its_alerts(tempo, webhook, make_agent, scripts):
    (scripts / "detect.lua").unlink()
    write(scripts / "mine.lua", FINDS.format("{ type = 'one', service = 'shop', value = 1 }, { type = 'waits', service = 'shop', for_s = 8 }"))
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    (told,) = eventually(lambda: webhook.bodies("one"), "it fires")

    def known():
        alerts = json.loads(agent.get("/api/v1/alerts")[1])["data"]["alerts"]
        return {alert["labels"]["alertname"]: alert for alert in alerts}

    before = eventually(lambda: len(known()) == 2 and known(), "one fires, one waits")
    assert before["waits"]["state"] == "pending"
    # Other values, a comment, another order: the same alerts. And kill -9 between.
    edited = "{ type = 'waits', service = 'shop', for_s = 8, value = 7 }, { type = 'one', service = 'shop', value = 2 }"
    agent.kill()
    write(scripts / "mine.lua", "-- edited\n" + FINDS.format(edited))
    agent.start().wait_ready()
    after = eventually(lambda: known()["one"]["value"] == "2" and known(), "the edit is used")
    for name, alert in after.items():
        assert (alert["fingerprint"], alert["activeAt"]) == (before[name]["fingerprint"], before[name]["activeAt"])
    (late,) = eventually(lambda: webhook.bodies("waits"), "it has waited since before the kill")
    assert late["starts_at"] == before["waits"]["activeAt"]
    # Another type is another alert.
    write(scripts / "mine.lua", FINDS.format(edited.replace("'one'", "'other'")))
    eventually(lambda: webhook.bodies("one", "resolved") and webhook.bodies("other", "firing"), "one for the other")
    agent.wait_delivered()
    assert [(body["status"], body["fingerprint"]) for body in webhook.bodies("one")] == [(status, told["fingerprint"]) for status in ("firing", "resolved")]
    assert [body["status"] for body in webhook.bodies("waits")] == ["firing"]


@pytest.mark.parametrize("how", ["SIGHUP", "POST"])
def test_a_reload_by_hand_says_what_it_did(tempo, webhook, make_agent, scripts, how):
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    if how == "SIGHUP":
        agent.hang_up()
        agent.wait_log("SIGHUP")
    else:
        assert agent.get("/-/reload", method="POST")[0] == 200
        (scripts / "bad.lua").write_text("return 1")
        assert agent.get("/-/reload", method="POST")[0] == 500
    assert agent.running


def test_reloads_under_load_miss_no_tick_and_send_nothing_twice(tempo, webhook, make_agent, traffic, scripts):
    now = time.time()
    traffic.mixed(300, now - 20, now + 8, slow_ms=(1100, 2000), slow=0.1, failed=0.1)
    tempo.plant(traffic)
    original = (scripts / "detect.lua").read_text()
    write(scripts / "mine.lua", VERSION.format(0))
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_GROUP_BY="trace_id").wait_ready()
    n = 0
    while time.time() < now + 9:
        n += 1
        write(scripts / "detect.lua", f"{original}\n-- version {n}\n")
        write(scripts / "mine.lua", VERSION.format(n))
        agent.get("/-/reload", method="POST")
    truth = len(traffic.slow()) + len(traffic.failed())
    told = lambda: len(webhook.reported("high_latency")) + len(webhook.reported("error_status"))  # noqa: E731
    eventually(lambda: told() >= truth, lambda: f"{truth} alerts, there are {told()}")
    agent.wait_delivered()
    assert_told_exactly(webhook, traffic, agent)
    assert n > 5
    assert agent.metric("spanwatch_ticks_missed_total") == 0
