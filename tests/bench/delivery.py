#!/usr/bin/env python3
"""10 000 separate alerts raised at once, delivered one request each to a local receiver: this agent (durable) and Alertmanager (in memory).

    tests/bench/delivery.py [--binary build/spanwatch] [--alerts 10000] [--runs 3] [--only agent|alertmanager]

The receiver (receiver.c) answers at once and costs next to nothing. The clock starts when a detector is about to return its findings, and for
Alertmanager when the request with all alerts is about to be sent; it ends with the last notification received. CPU is that of all processes of
the one that is measured, from before the beginning until it is idle again: until what became of the notifications is on the disk as well.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
IDLE_S = 1.5

DETECTOR = """
return {
  check = function(ctx)
    if ctx.state.raised or ctx.now < %(at)d then return {} end
    ctx.state.raised = true
    ctx.http.get { url = "%(url)s/begin" }
    local findings = {}
    for i = 1, %(alerts)d do
      findings[i] = { type = "raised", service = "shop", labels = { n = tostring(i) }, value = i, threshold = 1, keep_firing_s = 3600 }
    end
    return findings
  end,
}
"""

ROUTE = """
route: {receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1h, repeat_interval: 24h}
receivers: [{name: hook, webhook_configs: [{url: '%s/hook', send_resolved: true}]}]
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def find(*names):
    for name in names:
        unpacked = ROOT / "build" / "tools" / "usr" / "bin" / name
        path = shutil.which(name) or (str(unpacked) if unpacked.exists() else None)
        if path is not None:
            return path
    return None


class Receiver:
    """The program, compiled once into `folder`."""

    def __init__(self, folder, expected):
        program = pathlib.Path(folder, "receiver")
        if not program.exists():
            subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", program, ROOT / "tests/bench/receiver.c"], check=True)
        self.process = subprocess.Popen([program, str(expected)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def result(self):
        """(seconds, connections), when all are there."""
        seconds, connections = self.process.stdout.readline().split()
        self.process.stdin.close()
        self.process.wait()
        return float(seconds), int(connections)


def pids(pid):
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid] + [int(child) for child in children]


def cpu(pid):
    """User and system seconds of the process and its children."""
    total = 0.0
    for one in pids(pid):
        for task in pathlib.Path(f"/proc/{one}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0]) / 1e9
    return total


def peak_mib(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def wait_idle(pid):
    """Until it has used next to nothing for a while; returns what it had used until then."""
    used = cpu(pid)
    since = time.monotonic()
    while time.monotonic() - since < IDLE_S:
        time.sleep(0.1)
        more = cpu(pid)
        if more - used > 0.02:
            used, since = more, time.monotonic()
    return used


def wait_for(url):
    for _ in range(600):
        try:
            return urllib.request.urlopen(url, timeout=10).read().decode()
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nobody answers at {url}")


def say(who, alerts, result, used, pid, more=""):
    seconds, connections = result
    print(f"{who}: {alerts} alerts in {seconds:.2f} s = {alerts / seconds:.0f} per second, {used:.2f} CPU-seconds, "
          f"peak RSS {peak_mib(pid):.0f} MiB, {connections} connections{more}", flush=True)


def agent(binary, alerts, folder):
    receiver = Receiver(folder, alerts)
    home = pathlib.Path(tempfile.mkdtemp(dir=folder))
    scripts = home / "scripts"
    scripts.mkdir()
    at = int(time.time()) + 4
    (scripts / "raise.lua").write_text(DETECTOR % {"at": at, "url": receiver.url, "alerts": alerts})
    port = free_port()
    env = {
        "PATH": os.environ["PATH"], "TEMPO_ENABLED": "false", "SPANWATCH_OTLP_HTTP_ADDRESS": f"127.0.0.1:{free_port()}",
        "TEMPO_ALERT_INTERVAL_SECS": "1", "SPANWATCH_OTLP_SETTLE_SECS": "0", "SPANWATCH_SCRIPTS_DIR": str(scripts),
        "SPANWATCH_STORAGE_PATH": str(home / "data"), "SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{port}",
        "TEMPO_ALERT_WEBHOOK_URL": f"{receiver.url}/hook", "SPANWATCH_HTTP_ALLOWED_HOSTS": receiver.url.removeprefix("http://"),
    }
    process = subprocess.Popen([binary], env=env, cwd=home, stdout=subprocess.DEVNULL, stderr=open(home / "log", "w"))
    wait_for(f"http://127.0.0.1:{port}/-/healthy")
    before = cpu(process.pid)
    result = receiver.result()
    used = wait_idle(process.pid) - before
    text = wait_for(f"http://127.0.0.1:{port}/metrics")
    longest = float(re.search(r"^spanwatch_loop_longest_pass_seconds (\S+)", text, re.M).group(1))
    left = sum(float(depth) for depth in re.findall(r"^spanwatch_outbox_depth\S* (\S+)", text, re.M))
    say("spanwatch   ", alerts, result, used, process.pid, f", longest pass of the loop {1000 * longest:.1f} ms, {left:.0f} left")
    process.terminate()
    process.wait()


def alertmanager(program, alerts, folder):
    receiver = Receiver(folder, alerts)
    home = pathlib.Path(tempfile.mkdtemp(dir=folder))
    (home / "config.yml").write_text(ROUTE % receiver.url)
    url = f"http://127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [program, f"--config.file={home}/config.yml", f"--storage.path={home}/data", f"--web.listen-address={url[7:]}",
         "--cluster.listen-address=", "--log.level=error"], cwd=home, stdout=subprocess.DEVNULL, stderr=open(home / "log", "w"),
    )
    wait_for(f"{url}/-/ready")
    body = json.dumps([
        {"labels": {"alertname": "raised", "service": "shop", "n": str(i)}, "annotations": {"summary": f"value {i}, threshold 1"}} for i in range(alerts)
    ]).encode()
    before = cpu(process.pid)
    urllib.request.urlopen(f"{receiver.url}/begin").read()
    urllib.request.urlopen(urllib.request.Request(f"{url}/api/v2/alerts", data=body, headers={"Content-Type": "application/json"})).read()
    result = receiver.result()
    used = wait_idle(process.pid) - before
    say("alertmanager", alerts, result, used, process.pid)
    process.terminate()
    process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "build" / "spanwatch"))
    parser.add_argument("--alerts", type=int, default=10000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=("agent", "alertmanager"))
    args = parser.parse_args()
    other = find("prometheus-alertmanager", "alertmanager")
    if other is None:
        print("Alertmanager is not here (tools/real-servers fetches it): only the agent is measured")
    with tempfile.TemporaryDirectory(prefix="spanwatch-bench-") as folder:
        for _ in range(args.runs):
            if args.only != "alertmanager":
                agent(args.binary, args.alerts, folder)
            if args.only != "agent" and other is not None:
                alertmanager(other, args.alerts, folder)


if __name__ == "__main__":
    main()
