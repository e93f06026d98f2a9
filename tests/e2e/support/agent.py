"""The real agent, as a process of its own, and ways to wait for what it does without guessing how long that takes."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("SPANWATCH_BUILD", ROOT / "build"))
PROGRAM = BUILD / "spanwatch"
SCRIPTS = ROOT / "scripts"
SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
KEPT = ("PATH", "HOME", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LD_LIBRARY_PATH")
# A sanitized build is several times slower; so is a busy machine.
PATIENCE_S = float(os.environ.get("SPANWATCH_TEST_PATIENCE_S", 30))


def eventually(condition, what, timeout_s=None):
    """Waits until condition() is true and returns its value; fails with `what` after the deadline."""
    timeout_s = timeout_s or PATIENCE_S
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what() if callable(what) else what}: not within {timeout_s:.0f} s")
        time.sleep(0.02)


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def clean_environment(extra):
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, **{name: str(value) for name, value in extra.items()}}


def run(*args, env=None, cwd, timeout=60, input=None):
    """One verb, to its end."""
    return subprocess.run(
        [str(PROGRAM), *map(str, args)], env=clean_environment(env or {}), cwd=cwd, timeout=timeout, input=input,
        capture_output=True, text=True,
    )  # fmt: skip


class Metrics(dict):
    """{(name, ((label, value), …)): number}"""

    def total(self, metric, **labels):
        return sum(
            value
            for (name, have), value in self.items()
            if name == metric and all(dict(have).get(label) == want for label, want in labels.items())
        )

    def has(self, metric):
        return any(name == metric for name, _ in self)


def parse_metrics(text):
    metrics = Metrics()
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, labels, value = SAMPLE.match(line).groups()
            metrics[(name, tuple(sorted(LABEL.findall(labels or ""))))] = float(value)
    return metrics


class Agent:
    def __init__(self, folder, env, args=()):
        self.folder = pathlib.Path(folder)
        self.args = args
        self.prefix = ()  # of the command: what starts the program
        self.port = free_port()
        self.process = None
        self.log_path = self.folder / "agent.log"
        self.out_path = self.folder / "agent.out"
        self.env = {
            "TEMPO_ALERT_INTERVAL_SECS": 1,
            "TEMPO_SETTLE_SECS": 0,
            "TEMPO_QUERY_TIMEOUT_MS": 500,
            "SPANWATCH_SCRIPTS_DIR": SCRIPTS,
            "SPANWATCH_STORAGE_PATH": self.folder / "data",
            "SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{self.port}",
            # Of the many agents that tests start, only those that are sent spans listen for them.
            "SPANWATCH_OTLP_HTTP_ADDRESS": "",
            "SPANWATCH_OTLP_GRPC_ADDRESS": "",
            "SPANWATCH_LOG_LEVEL": "debug",
            "SPANWATCH_WEBHOOK_BACKOFF_MIN_MS": 50,
            "SPANWATCH_WEBHOOK_BACKOFF_MAX_MS": 500,
            # The shared machine that tests run on can be slow; the tests for limits set their own.
            "SPANWATCH_WORKER_TIMEOUT_MS": 10000,
            "SPANWATCH_WORKER_CPU_MS": 5000,
            **env,
        }

    # Life.

    def start(self):
        with open(self.log_path, "ab") as log, open(self.out_path, "ab") as out:
            self.process = subprocess.Popen(
                [*self.prefix, str(PROGRAM), "run", *map(str, self.args)], env=clean_environment(self.env), cwd=self.folder,
                stdout=out, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s=20):
        """SIGTERM and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    # What it says.

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def output(self):
        return self.out_path.read_text(errors="replace") if self.out_path.exists() else ""

    def get(self, path, method="GET", timeout=10):
        """(status, body), or None when nobody listens."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if not self.running:
                raise AssertionError(f"the agent is gone ({self.process.poll()}):\n{self.log()[-3000:]}") from None
            return None

    def metrics(self):
        answer = self.get("/metrics")
        return parse_metrics(answer[1]) if answer and answer[0] == 200 else Metrics()

    def metric(self, name, **labels):
        return self.metrics().total(name, **labels)

    def alerts(self):
        return json.loads(self.get("/api/v2/alerts")[1])

    def status(self):
        return json.loads(self.get("/api/v1/status")[1])

    # Waiting.

    def wait_listening(self):
        eventually(lambda: self.get("/-/healthy"), lambda: f"listening\n{self.log()[-2000:]}")
        return self

    def wait_ready(self):
        eventually(lambda: (self.get("/-/ready") or (0,))[0] == 200, lambda: f"ready: {self.get('/-/ready')}\n{self.log()[-2000:]}")
        return self

    def wait_ticks(self, n):
        """n whole ticks from now: one that is under way does not count."""
        target = self.metric("spanwatch_ticks_total") + n + 1
        eventually(lambda: self.metric("spanwatch_ticks_total") >= target, f"{n} more ticks")

    def wait_log(self, text, after=0):
        eventually(lambda: text in self.log()[after:], lambda: f"{text!r} in the log\n{self.log()[-3000:]}")

    def wait_delivered(self):
        """Two more ticks, and nothing in the outbox."""
        self.wait_ticks(2)
        eventually(lambda: self.status()["outbox"]["depth"] == 0, "an empty outbox")
