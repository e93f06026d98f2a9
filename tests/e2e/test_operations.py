"""Running it: metrics, health, signals, logs."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest
from support.agent import eventually, free_port
from support.servers import PROMTOOL, needs_promtool


def planted(tempo, traffic):
    traffic.mixed(60, time.time() - 30, time.time() - 6, slow=0.2, failed=0.2)
    tempo.plant(traffic)


def test_metrics_have_the_original_names_and_ours(tempo, webhook, make_agent, traffic):
    planted(tempo, traffic)
    agent = make_agent(tempo, webhook).wait_ready()
    eventually(lambda: agent.metric("trace_anomalies_total", type="high_latency") == len(traffic.slow()), "the count")
    agent.wait_delivered()
    metrics = agent.metrics()
    assert metrics.total("trace_alert_checks_total", status="success") > 0
    assert metrics.total("trace_alert_query_duration_ms_count") > 0
    assert metrics.total("spanwatch_detector_checks_total", detector="detect") > 0
    for name in (
        "spanwatch_ticks_total", "spanwatch_ticks_late_total", "spanwatch_ticks_missed_total", "spanwatch_watermark_age_seconds",
        "spanwatch_config_last_reload_successful", "spanwatch_build_info",
    ):  # fmt: skip
        assert metrics.has(name), name


@needs_promtool
def test_promtool_finds_no_fault_in_the_metrics(tempo, webhook, make_agent, traffic):
    planted(tempo, traffic)
    agent = make_agent(tempo, webhook).wait_ready()
    agent.wait_delivered()
    status, text = agent.get("/metrics")
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True)
    # That name of the original breaks a convention; it stays as it is.
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if line and "trace_alert_query_duration_ms" not in line]
    assert status == 200 and not complaints, complaints


def test_readiness_says_why_not(webhook, make_agent, make_tempo, scripts):
    port = free_port()
    agent = make_agent(None, webhook, TEMPO_URL=f"http://127.0.0.1:{port}").wait_listening()
    eventually(lambda: agent.metric("trace_alert_checks_total", status="error") >= 1, "a tick")
    status, text = agent.get("/-/ready")
    assert status == 503 and "not ready" in text and "connect" in text.lower()
    for script in scripts.glob("*.lua"):
        script.unlink()
    empty = make_agent(make_tempo("3", cutoff_s=0), webhook, folder="empty", SPANWATCH_SCRIPTS_DIR=scripts).wait_listening()
    eventually(lambda: "no detector" in (empty.get("/-/ready") or (0, ""))[1], "why it is not ready")


def test_status_shows_the_parts(tempo, webhook, make_agent):
    agent = make_agent(tempo, webhook).wait_ready()
    status = agent.status()
    assert status["ready"] is True
    assert [detector["name"] for detector in status["detectors"]] == ["detect"]
    assert len(status["sources"]) == 1
    assert status["outbox"] == {"depth": 0, "dead": 0, "oldest_age_ms": status["outbox"]["oldest_age_ms"]}


@pytest.mark.parametrize("path, method, status", [("/nope", "GET", 404), ("/metrics", "POST", 405), ("/-/reload", "GET", 405)])
def test_wrong_requests_are_refused(tempo, webhook, make_agent, path, method, status):
    agent = make_agent(tempo, webhook).wait_ready()
    got, text = agent.get(path, method)
    assert got == status and "error" in json.loads(text)


def test_garbage_on_the_port_does_not_stop_it(tempo, webhook, make_agent):
    agent = make_agent(tempo, webhook).wait_ready()
    for garbage in (b"\0" * 4096, b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", b"GET " + b"a" * 100000 + b"\r\n\r\n", b"\x16\x03\x01"):
        with socket.create_connection(("127.0.0.1", agent.port), timeout=5) as connection:
            with contextlib.suppress(OSError):  # it may have answered and closed before the last byte
                connection.sendall(garbage)
                connection.shutdown(socket.SHUT_WR)
            connection.settimeout(5)
            try:
                connection.recv(4096)
            except (TimeoutError, ConnectionError):
                pass
    assert agent.get("/-/healthy")[0] == 200
    agent.wait_ticks(1)


def test_sigterm_delivers_what_is_under_way_and_exits_0(tempo, webhook, make_agent, traffic):
    planted(tempo, traffic)
    webhook.fault("late", seconds=1.0, times=3)
    agent = make_agent(tempo, webhook, SPANWATCH_GROUP_BY="trace_id")
    eventually(lambda: webhook.seen(), "a delivery under way")
    assert agent.stop() == 0
    assert "stopped" in agent.log()
    agent.start().wait_ready().wait_delivered()
    assert sorted(webhook.reported("high_latency")) == sorted(traffic.slow())
    assert agent.stop() == 0


def test_a_second_signal_stops_at_once(tempo, webhook, make_agent, traffic):
    planted(tempo, traffic)
    webhook.fault("hang", seconds=60)
    agent = make_agent(tempo, webhook, SPANWATCH_WEBHOOK_TIMEOUT_MS=60000)
    eventually(lambda: webhook.seen(), "a delivery under way")
    agent.process.send_signal(signal.SIGTERM)
    agent.wait_log("stopping")
    agent.process.send_signal(signal.SIGINT)
    assert agent.process.wait(5) in (130, 143)


def test_a_signal_to_the_whole_group_leaves_the_workers_to_the_agent(tempo, webhook, make_agent):
    agent = make_agent(tempo, webhook).wait_ready()
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(agent.process.pid)], capture_output=True, text=True)
    workers = [int(pid) for pid in found.stdout.split()]
    assert workers
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        for pid in workers:
            os.kill(pid, number)
    agent.wait_ticks(2)
    assert "crash" not in agent.log()
    assert agent.stop() == 0
    assert "crash" not in agent.log()


def test_the_workers_end_with_the_agent(tempo, webhook, make_agent):
    agent = make_agent(tempo, webhook).wait_ready()
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(agent.process.pid)], capture_output=True, text=True)
    workers = [int(pid) for pid in found.stdout.split()]
    assert workers
    agent.kill()

    def gone(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "Z"
        except FileNotFoundError:
            return True

    eventually(lambda: all(gone(pid) for pid in workers), "the end of the workers")


def test_ticks_neither_drift_nor_pile_up(tempo, webhook, make_agent):
    agent = make_agent(tempo, webhook).wait_ready()
    agent.wait_ticks(1)
    begun, ticks = time.monotonic(), agent.metric("spanwatch_ticks_total")
    eventually(lambda: agent.metric("spanwatch_ticks_total") >= ticks + 6, "six ticks")
    assert 4.9 <= time.monotonic() - begun <= 7.5
    # Stopped for a while and continued: the ticks that were missed are merged, not made up for.
    ticks = agent.metric("spanwatch_ticks_total")
    agent.process.send_signal(signal.SIGSTOP)
    asleep = time.monotonic()
    eventually(lambda: time.monotonic() - asleep > 4, "four seconds of sleep")
    agent.process.send_signal(signal.SIGCONT)
    eventually(lambda: agent.metric("spanwatch_ticks_total") > ticks, "it goes on")
    assert agent.metric("spanwatch_ticks_missed_total") >= 2
    assert agent.metric("spanwatch_ticks_total") - ticks <= 3


@pytest.mark.parametrize("form", ["json", "logfmt"])
def test_each_line_of_the_log_is_of_the_chosen_form(tempo, webhook, make_agent, traffic, form):
    planted(tempo, traffic)
    agent = make_agent(tempo, webhook, SPANWATCH_LOG_FORMAT=form).wait_ready()
    agent.wait_delivered()
    assert agent.stop() == 0
    lines = agent.log().splitlines()
    assert len(lines) >= 3
    for line in lines:
        if form == "json":
            assert {"level"} <= set(json.loads(line))
        else:
            assert "level=" in line and "=" in line.split(" ")[0]


def test_systemd_is_told_when_it_is_ready_and_when_it_stops(tempo, webhook, make_agent, tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(30)
        agent = make_agent(tempo, webhook, NOTIFY_SOCKET=path)
        assert b"READY=1" in notify.recv(4096)
        assert agent.stop() == 0
        assert b"STOPPING=1" in notify.recv(4096)


def test_storage_that_is_no_database_is_set_aside(tempo, webhook, make_agent, traffic):
    planted(tempo, traffic)
    agent = make_agent(tempo, webhook, start=False)
    folder = pathlib.Path(agent.env["SPANWATCH_STORAGE_PATH"])
    folder.mkdir()
    (folder / "spanwatch.db").write_text("this is no database, but it is long enough to be looked at" * 100)
    agent.start().wait_ready()
    eventually(lambda: webhook.bodies("high_latency"), "alerts all the same")
    assert list(folder.glob("spanwatch.db.corrupt-*"))
    assert "corrupt" in agent.log()


def test_an_address_in_use_is_a_clear_error(tempo, webhook, make_agent):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        agent = make_agent(tempo, webhook, SPANWATCH_LISTEN_ADDRESS=address)
        assert agent.process.wait(20) == 78
    assert address in agent.log() and "SPANWATCH_LISTEN_ADDRESS" in agent.log()
