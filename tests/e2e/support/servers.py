"""Real Prometheus and Alertmanager, and their tools: from the path, or from build/tools (tools/real-servers puts them there)."""

import json
import pathlib
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest

from .agent import ROOT, clean_environment, eventually, free_port

UNPACKED = ROOT / "build" / "tools" / "usr" / "bin"


def find(*names):
    """The path of the first program that is there, or None."""
    for name in names:
        path = shutil.which(name) or (UNPACKED / name if (UNPACKED / name).exists() else None)
        if path is not None:
            return str(path)
    return None


PROMETHEUS = find("prometheus")
PROMTOOL = find("promtool")
ALERTMANAGER = find("prometheus-alertmanager", "alertmanager")
AMTOOL = find("amtool")

# Debian's Alertmanager reads its templates from /usr/share whatever its configuration says. Unpacked, it sees them there in a
# mount namespace of its own.
TEMPLATES = pathlib.Path("/usr/share/prometheus/alertmanager/default.tmpl")
SHARED = UNPACKED.parent / "share"
WITH_TEMPLATES = ["unshare", "--mount", "sh", "-c", 'mount -t overlay overlay -o "lowerdir=$0:/usr/share" /usr/share && exec "$@"', SHARED]
IS_UNPACKED = ALERTMANAGER is not None and pathlib.Path(ALERTMANAGER).is_relative_to(UNPACKED) and not TEMPLATES.exists()
if IS_UNPACKED and subprocess.run([*WITH_TEMPLATES, "test", "-e", TEMPLATES], stderr=subprocess.DEVNULL).returncode != 0:
    ALERTMANAGER = None

needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus is not installed")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
needs_alertmanager = pytest.mark.skipif(ALERTMANAGER is None, reason="Alertmanager is not installed, and unpacked it cannot be given its templates")
needs_amtool = pytest.mark.skipif(AMTOOL is None, reason="amtool is not installed")


class RealServer:
    """A program with its configuration and data in `folder`, on a port of 127.0.0.1 that stays the same over restarts."""

    def __init__(self, folder, config):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = self.folder / "config.yml"
        self.config.write_text(config)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = self.folder / "log"
        self.process = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [str(arg) for arg in self.command()], cwd=self.folder, env=clean_environment({}), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip
        eventually(self.is_ready, lambda: f"ready:\n{self.log_path.read_text(errors='replace')[-2000:]}")
        return self

    def is_ready(self):
        assert self.process.poll() is None, self.log_path.read_text(errors="replace")[-2000:]
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=10) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def get(self, path, **query):
        """The answer's JSON. Lists as values are sent as the same parameter several times."""
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(query, doseq=True)}", timeout=10) as answer:
            return json.load(answer)


class Alertmanager(RealServer):
    """Without gossip. `config` is its file; the default one groups by nothing, waits for nothing and tells nobody."""

    CONFIG = """
route: {receiver: nobody, group_by: ['...'], group_wait: 0s, group_interval: 1s}
receivers: [{name: nobody}]
"""

    def __init__(self, folder, config=CONFIG):
        super().__init__(folder, config)

    def command(self):
        return [
            *(WITH_TEMPLATES if IS_UNPACKED else ()), ALERTMANAGER, f"--config.file={self.config}", f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address=", "--log.level=warn",
        ]  # fmt: skip

    def alerts(self, **query):
        """As GET /api/v2/alerts gives them; filter=['name="value"']."""
        return self.get("/api/v2/alerts", **query)

    def groups(self, **query):
        return self.get("/api/v2/alerts/groups", **query)


class Prometheus(RealServer):
    """Scrapes `targets` (host:port) every second, and sends alerts to the Alertmanagers at `alertmanagers` (host:port)."""

    def __init__(self, folder, targets, alertmanagers=(), extra=""):
        quoted = lambda names: ", ".join(f"'{name}'" for name in names)  # noqa: E731
        config = f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
scrape_configs: [{{job_name: tested, static_configs: [{{targets: [{quoted(targets)}]}}]}}]
alerting: {{alertmanagers: [{{static_configs: [{{targets: [{quoted(alertmanagers)}]}}]}}]}}
{extra}
"""
        super().__init__(folder, config)

    def command(self):
        return [
            PROMETHEUS, f"--config.file={self.config}", f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn",
        ]  # fmt: skip

    def query(self, expression):
        """[({label: value}, number), …] now."""
        found = self.get("/api/v1/query", query=expression)["data"]["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def targets(self):
        return self.get("/api/v1/targets")["data"]["activeTargets"]


def amtool(url, *args):
    """What it prints."""
    done = subprocess.run([AMTOOL, f"--alertmanager.url={url}", *args], env=clean_environment({}), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
