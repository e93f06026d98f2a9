"""What keeps the agent from seeing or telling is an alert of its own: once, and resolved when it is over."""

import sqlite3

from support.agent import eventually
from test_backend_trouble import any_question, metrics_question, steady


def firing(webhook, anomaly_type):
    return webhook.bodies(anomaly_type, "firing")


def resolved(webhook, anomaly_type):
    return webhook.bodies(anomaly_type, "resolved")


def assert_once(webhook, agent, anomaly_type):
    agent.wait_delivered()
    assert len(firing(webhook, anomaly_type)) == 1 and len(resolved(webhook, anomaly_type)) == 1


def test_a_source_that_does_not_answer_is_one_alert_that_a_restart_does_not_repeat(tempo, webhook, make_agent):
    agent = make_agent(tempo, webhook).wait_ready()
    agent.wait_ticks(4)
    assert not webhook.bodies("source_unreachable")
    tempo.fault("status", status=503, when=any_question)
    body = eventually(lambda: firing(webhook, "source_unreachable"), "an alert")[0]
    assert "503" in body["error_message"] and body["threshold"] == 3 and body["value"] >= 3
    agent.wait_ticks(1)
    agent.kill()
    agent.start().wait_listening()
    agent.wait_ticks(4)
    assert not resolved(webhook, "source_unreachable")
    tempo.heal()
    eventually(lambda: resolved(webhook, "source_unreachable"), "its end")
    assert_once(webhook, agent, "source_unreachable")


def test_answers_that_are_never_whole_are_an_alert(tempo, webhook, make_agent):
    tempo.fault("status", status=500, when=metrics_question)
    agent = make_agent(tempo, webhook)
    eventually(lambda: firing(webhook, "answers_incomplete"), "an alert")
    tempo.heal()
    eventually(lambda: resolved(webhook, "answers_incomplete"), "its end")
    assert_once(webhook, agent, "answers_incomplete")
    assert not webhook.bodies("source_unreachable")


def test_a_detector_that_cannot_keep_up_is_an_alert(tempo, webhook, make_agent):
    tempo.fault("status", status=500, when=metrics_question)
    agent = make_agent(tempo, webhook, SPANWATCH_WATERMARK_OLD_INTERVALS=5)
    eventually(lambda: firing(webhook, "watermark_old"), "an alert")
    assert firing(webhook, "watermark_old")[0]["value"] > 5
    tempo.heal()
    eventually(lambda: resolved(webhook, "watermark_old"), "its end")
    assert_once(webhook, agent, "watermark_old")


def test_a_detector_that_cannot_be_loaded_at_the_start_is_an_alert(tempo, webhook, make_agent, make_webhook, scripts):
    heart = make_webhook()
    (scripts / "detect.lua").unlink()  # none runs
    (scripts / "broken.lua").write_text("return {\n  check = function( syntax\n")
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_HEARTBEAT_URL=f"{heart.url}/beat").wait_listening()
    body = eventually(lambda: firing(webhook, "detector_failing"), "an alert")[0]
    assert body["labels"] == {"detector": "broken"} and "broken.lua:3" in body["error_message"]
    (scripts / "detect.lua").write_text("return { check = function() return {} end }")
    agent.wait_ready()
    agent.kill()
    agent.start().wait_ready()
    agent.wait_ticks(2)
    assert not heart.seen(), "another one runs, and yet not all is well"
    (scripts / "broken.lua").write_text("return { check = function() return {} end }")
    eventually(lambda: resolved(webhook, "detector_failing"), "its end")
    eventually(heart.seen, "all is well")
    assert_once(webhook, agent, "detector_failing")


def test_a_detector_that_is_given_nothing_for_the_configured_time_is_an_alert(tempo, webhook, make_agent, traffic):
    agent = make_agent(tempo, webhook, SPANWATCH_DETECTOR_SILENT_SECS=4).wait_ready()
    eventually(lambda: firing(webhook, "detector_silent"), "an alert")
    steady(traffic, 120)
    tempo.plant(traffic)
    eventually(lambda: resolved(webhook, "detector_silent"), "its end")
    assert_once(webhook, agent, "detector_silent")


def test_notifications_that_wait_too_long_are_an_alert(tempo, webhook, make_agent, scripts):
    (scripts / "always.lua").write_text("return { check = function() return { { type = 'always' } } end }")
    webhook.status = 503
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_OUTBOX_OLD_SECS=2)
    eventually(lambda: "outbox_growing" in str([request.body for request in webhook.seen()]), "an attempt to tell it")
    webhook.status = 200
    eventually(lambda: resolved(webhook, "outbox_growing"), "its end")
    assert_once(webhook, agent, "outbox_growing")


def test_a_storage_that_cannot_be_written_is_an_alert_and_later_alerts_are_sent_from_memory(tempo, webhook, make_agent, traffic, scripts):
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    agent.wait_ticks(1)
    lock = sqlite3.connect(agent.folder / "data" / "spanwatch.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        eventually(lambda: firing(webhook, "storage_failing"), "an alert", 60)
        (scripts / "always.lua").write_text("return { check = function() return { { type = 'always' } } end }")
        eventually(lambda: firing(webhook, "always"), "an alert of a detector", 60)
    finally:
        lock.execute("ROLLBACK")
        lock.close()
    eventually(lambda: resolved(webhook, "storage_failing"), "its end", 60)
    assert_once(webhook, agent, "storage_failing")
    assert len(firing(webhook, "always")) == 1


def test_the_heartbeat_beats_while_all_is_well_and_stops_when_it_is_not(tempo, webhook, make_agent, make_webhook):
    monitor = make_webhook()
    agent = make_agent(tempo, webhook, SPANWATCH_HEARTBEAT_URL=monitor.url + "/ping/1").wait_ready()
    eventually(lambda: len(monitor.seen()) >= 3, "three heartbeats")
    assert {(request.method, request.path) for request in monitor.seen()} == {("GET", "/ping/1")}
    assert agent.metric("spanwatch_heartbeats_total", result="ok") >= 2
    tempo.fault("status", status=503, when=any_question)
    agent.wait_ticks(2)
    beats = len(monitor.seen())
    agent.wait_ticks(3)
    assert len(monitor.seen()) == beats
    tempo.heal()
    eventually(lambda: len(monitor.seen()) > beats, "a heartbeat again")
    monitor.status = 500
    agent.wait_log("heartbeat's receiver does not take it")
    assert agent.metric("spanwatch_heartbeats_total", result="failed") >= 1
