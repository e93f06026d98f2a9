#!/usr/bin/env python3
"""What the agent costs: memory and CPU when idle, CPU per tick, time from the last byte to the committed alert, reloads.

    tests/bench/agent.py [--binary build/spanwatch] [--idle-seconds 120] [--ticks 20]

A Tempo that answers from prepared bodies runs in a process of its own, so that only the agent is measured. Everything is on loopback.
Figures are those of this machine in this run; docs/BENCHMARKS.md says where the published ones come from.
"""
import argparse
import http.server
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]


def labels(**pairs):
    return [{"key": k, "value": {"stringValue": v} if isinstance(v, str) else {"doubleValue": v}} for k, v in pairs.items()]


def counts_answer(start, end, step):
    series = []
    times = range(start // step * step, end + step, step)
    for service in ("frontend", "checkout", "payment", "inventory"):
        for operation in range(5):
            for bucket in (0.016777216, 0.033554432, 0.067108864):
                series.append({
                    "labels": labels(**{"resource.service.name": service, "name": f"op-{operation}", "status": "unset", "__bucket": bucket}),
                    "samples": [{"timestampMs": str(t * 1000), "value": 7} for t in times[1:]],
                })
    return {"series": series, "metrics": {"inspectedBytes": "1"}}


def search_answer(traces, start, end, serial):
    found = []
    for i in range(traces):
        begin = (start + (i * (end - start)) // max(traces, 1)) * 10**9
        span = {
            "spanID": f"{i:016x}", "name": "POST /checkout", "startTimeUnixNano": str(begin), "durationNanos": "1500000000",
            "attributes": labels(**{"service.name": "frontend", "status": "error", "kind": "server", "statusMessage": "deadline exceeded"}),
        }
        spans = {"spans": [span], "matched": 1}
        found.append({
            "traceID": f"{serial:08x}{i:024x}", "rootServiceName": "frontend", "rootTraceName": "POST /checkout", "startTimeUnixNano": str(begin),
            "durationMs": 1500, "spanSet": spans, "spanSets": [spans], "serviceStats": {"frontend": {"spanCount": 4, "errorCount": 1}},
        })
    return {"traces": found, "metrics": {"inspectedTraces": traces}}


def tempo(ready, traces):
    """Answers like Tempo 3; every search brings `traces` new offending traces."""
    serial = [int(time.time())]

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            url = urllib.parse.urlsplit(self.path)
            query = {k: v[0] for k, v in urllib.parse.parse_qs(url.query).items()}
            start, end = int(query.get("start", 0)), int(query.get("end", 0))
            if url.path.endswith("/query_range"):
                step = int(float(query.get("step", "30s").rstrip("s")))
                answer = counts_answer(start, end, step)
            elif url.path.endswith("/metrics/query"):
                answer = {"series": [] if "max_over_time" in query["q"] else [{"labels": [], "samples": [{"timestampMs": str(end * 1000), "value": 1}]}]}
            else:
                serial[0] += 1
                answer = search_answer(traces, start, end, serial[0])
            body = json.dumps(answer, separators=(",", ":")).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def handle(self):
            try:
                super().handle()
            except ConnectionError:
                pass  # the agent gave up on an answer, or is gone

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ready.put(server.server_address[1])
    server.serve_forever()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Agent:
    def __init__(self, binary, traces, **env):
        queue = multiprocessing.Queue()
        self.tempo = multiprocessing.Process(target=tempo, args=(queue, traces), daemon=True)
        self.tempo.start()
        self.folder = tempfile.mkdtemp(prefix="spanwatch-bench-")
        self.scripts = shutil.copytree(ROOT / "scripts", f"{self.folder}/scripts")
        self.port = free_port()
        env = {
            "PATH": os.environ["PATH"], "TEMPO_URL": f"http://127.0.0.1:{queue.get()}", "SPANWATCH_STORAGE_PATH": f"{self.folder}/data",
            "SPANWATCH_SCRIPTS_DIR": f"{self.folder}/scripts", "SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{self.port}", "TEMPO_SEARCH_LIMIT": "5000",
            "TEMPO_QUERY_TIMEOUT_MS": "10000", **env,
        }
        self.process = subprocess.Popen([binary], env=env, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=open(f"{self.folder}/log", "w"))
        self.wait(lambda: self.metric("trace_alert_checks_total") >= 1)

    def text(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            return answer.read().decode()

    def metric(self, name, text=None):
        try:
            text = text or self.text()
        except OSError:
            return 0
        return sum(float(v) for v in re.findall(rf"^{name}(?:\{{[^}}]*\}})? ([0-9.e+-]+)$", text, re.M))

    def wait(self, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.exit(f"the agent did not get there:\n{pathlib.Path(self.folder, 'log').read_text()[-3000:]}")
            time.sleep(0.05)

    def pids(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid] + [int(p) for p in children]

    def cpu(self):
        """User and system seconds of host and workers, in nanosecond steps where the kernel gives them."""
        total = 0.0
        for pid in self.pids():
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0]) / 1e9
        return total

    def memory(self):
        rows = []
        for pid in self.pids():
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            kib = {k: int(v) for k, v in re.findall(r"^(\w+): +(\d+) kB", text, re.M)}
            rows.append((pathlib.Path(f"/proc/{pid}/comm").read_text().strip(), kib["Rss"], kib["Pss"], kib["Private_Dirty"]))
        return rows

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.tempo.terminate()
        shutil.rmtree(self.folder)


def idle(binary, seconds):
    agent = Agent(binary, 0)
    time.sleep(5)
    rows = agent.memory()
    print("idle memory, KiB        RSS     PSS   private dirty")
    for name, rss, pss, dirty in rows:
        print(f"  {name:<18} {rss:>8} {pss:>7} {dirty:>10}")
    print(f"  all                         {sum(r[2] for r in rows):>7} {sum(r[3] for r in rows):>10}")
    before, t0 = agent.cpu(), time.monotonic()
    time.sleep(seconds)
    used, wall = agent.cpu() - before, time.monotonic() - t0
    print(f"idle CPU at the default interval: {used * 1000:.1f} ms in {wall:.0f} s = {100 * used / wall:.3f} % of a core")
    agent.close()


def per_tick(binary, traces, ticks):
    agent = Agent(binary, traces, TEMPO_ALERT_INTERVAL_SECS="2")
    base, t = agent.cpu(), agent.metric("trace_alert_checks_total")
    agent.wait(lambda: agent.metric("trace_alert_checks_total") >= t + ticks, seconds=ticks * 2 + 60)
    text = agent.text()
    n = agent.metric("trace_alert_checks_total", text) - t
    used = agent.cpu() - base
    commits, total = (agent.metric(f"spanwatch_decision_duration_seconds_{k}", text) for k in ("count", "sum"))
    peak = re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{agent.process.pid}/status").read_text()).group(1)
    print(f"{traces} new offending traces per tick: {1000 * used / n:.1f} ms CPU per tick (host and worker), last byte to committed alert "
          f"{1000 * total / max(commits, 1):.2f} ms on average over {commits:.0f} commits, peak RSS of the host {int(peak)} KiB, "
          f"longest pass of the loop {1000 * agent.metric('spanwatch_loop_longest_pass_seconds', text):.1f} ms, "
          f"anomalies {agent.metric('trace_anomalies_total', text):.0f}")
    agent.close()


def reloads(binary, times):
    agent = Agent(binary, 100, TEMPO_ALERT_INTERVAL_SECS="1")
    script = pathlib.Path(agent.scripts, "detect.lua")
    source = script.read_text()
    took = []
    for i in range(times):
        n = agent.metric("spanwatch_reloads_total")
        script.write_text(f"{source}\n-- edit {i}\n")
        t0 = time.monotonic()
        request = urllib.request.Request(f"http://127.0.0.1:{agent.port}/-/reload", method="POST")
        urllib.request.urlopen(request, timeout=10).read()
        took.append(1000 * (time.monotonic() - t0))
        agent.wait(lambda n=n: agent.metric("spanwatch_reloads_total") > n)
        time.sleep(1.2)
    took.sort()
    text = agent.text()
    print(f"reload (POST /-/reload until the new version runs): median {took[len(took) // 2]:.1f} ms, worst {took[-1]:.1f} ms of {times}; "
          f"late ticks {agent.metric('spanwatch_ticks_late_total', text):.0f}, missed {agent.metric('spanwatch_ticks_missed_total', text):.0f}")
    agent.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "build" / "spanwatch"))
    parser.add_argument("--idle-seconds", type=int, default=120)
    parser.add_argument("--ticks", type=int, default=20)
    args = parser.parse_args()
    idle(args.binary, args.idle_seconds)
    for traces in (100, 4900):  # one fewer than 5000 would be an answer that was cut short
        per_tick(args.binary, traces, args.ticks)
    reloads(args.binary, 10)


if __name__ == "__main__":
    main()
