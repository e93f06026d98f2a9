"""The demo and the generator, as a newcomer starts them."""

import os
import re
import signal
import subprocess

import pytest
from support.agent import PROGRAM, SCRIPTS, clean_environment, eventually, free_port, run
from support.misbehave import Server

ENV = {"SPANWATCH_SCRIPTS_DIR": SCRIPTS, "SPANWATCH_WORKER_TIMEOUT_MS": 10000}


def test_the_demo_alerts_what_was_planted_and_nothing_else(tmp_path):
    demo = run("demo", "--for", "50s", env=ENV, cwd=tmp_path, timeout=180)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "Every planted anomaly was alerted, and nothing else." in demo.stdout
    for told in (r"FIRING +\d+ traces? of frontend POST /checkout failed", r"FIRING +payment: ", r"FIRING +slow_products: ", r"RESOLVED +payment: ",
                 r"trace [0-9a-f]{32} .* ms +frontend POST /checkout: checkout failed"):  # fmt: skip
        assert re.search(told, demo.stdout), (told, demo.stdout)
    assert "\033" not in demo.stdout
    folder = re.search(r"(/tmp/spanwatch-demo-\w+)/scripts", demo.stdout).group(1)
    assert not os.path.exists(folder)


def test_a_demo_that_ends_too_early_says_what_is_missing(tmp_path):
    demo = run("demo", "--for", "2s", env=ENV, cwd=tmp_path, timeout=120)
    assert demo.returncode == 1
    assert "Missing: high_latency of frontend was planted, and not told." in demo.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_the_demo_ends_cleanly_when_it_is_interrupted(tmp_path, number):
    out = tmp_path / "out"
    with open(out, "wb") as file:
        process = subprocess.Popen(
            [str(PROGRAM), "demo"], env=clean_environment(ENV), cwd=tmp_path, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        eventually(lambda: "healthy traffic" in out.read_text(), "the demo runs")
        os.killpg(process.pid, number)  # as a terminal does: every process of the group gets it
        assert process.wait(30) == 0, out.read_text()
    finally:
        process.kill()
    assert "agent ended" not in out.read_text() and "Next: " in out.read_text()
    folder = re.search(r"(/tmp/spanwatch-demo-\w+)/scripts", out.read_text()).group(1)
    assert not os.path.exists(folder)


class Collector(Server):
    """Takes what it is sent."""

    status = 200

    def answer(self, request):
        return self.status, {"Content-Type": "application/x-protobuf"}, b"\x0a\x00"


def test_the_generator_sends_what_it_says(tmp_path):
    collector = Collector()
    try:
        made = run("generate", "--endpoint", collector.url + "/", "--rate", "200", "--for", "3s", "--seed", "1", cwd=tmp_path)
        assert made.returncode == 0, made.stderr
        traces, spans = map(int, re.match(r"(\d+) traces with (\d+) spans were taken", made.stdout).groups())
        assert 100 <= traces <= 700 and 3 * traces <= spans <= 7 * traces
        assert {request.path for request in collector.seen()} == {"/v1/traces"}
        collector.status = 503
        made = run("generate", "--endpoint", collector.url, "--for", "1s", cwd=tmp_path)
        assert made.returncode == 1 and "HTTP 503" in made.stderr
    finally:
        collector.stop()


def test_the_generator_feeds_an_agent_and_everything_is_counted(make_agent, webhook, tmp_path):
    port = free_port()
    agent = make_agent(None, webhook, TEMPO_ENABLED="false", SPANWATCH_OTLP_HTTP_ADDRESS=f"127.0.0.1:{port}").wait_ready()
    made = run("generate", "--endpoint", f"http://127.0.0.1:{port}", "--for", "2s", "--rate", "300", cwd=tmp_path)
    spans = int(re.search(r"with (\d+) spans", made.stdout).group(1))
    # What was under way when it ended may have been taken too.
    assert agent.metrics().total("spanwatch_otlp_spans_total", result="accepted") >= spans > 0


def test_wrong_usage_is_said(tmp_path):
    for arguments in (["--rate", "0"], ["--rate", "x"], ["--endpoint", "here"], ["--for", "soon"], ["--seed", "-"], ["more"]):
        made = run("generate", *arguments, cwd=tmp_path)
        assert made.returncode == 2 and made.stderr, arguments
    made = run("demo", "--for", "ever", cwd=tmp_path)
    assert made.returncode == 2 and "--for" in made.stderr
    made = run("generate", "--endpoint", f"http://127.0.0.1:{free_port()}", "--for", "1s", cwd=tmp_path)
    assert made.returncode == 1 and "not everything was taken" in made.stderr
