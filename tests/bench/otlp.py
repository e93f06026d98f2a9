#!/usr/bin/env python3
"""What it costs to receive spans, beside the OpenTelemetry Collector: CPU, rate, memory, time to answer.

    tests/bench/otlp.py [--seconds 1] [--rounds 9] [--only recorded,small,…] [--collector PATH] [--memory-mb 64]

A small sender (tests/bench/otlp_send.c) posts the recorded bodies of tests/data/otlp/bench over keep-alive connections, with new ids
and times in each round. Both programs run at the same time and are loaded in turns, so that neighbours disturb both alike; the
collector does otlp -> spanmetrics -> prometheus with GOMAXPROCS=1. CPU is that of the whole process (and of its workers), in user and
kernel. Without a collector (build/collector/otelcol, which tools/interop-collector builds, or --collector) only the agent is measured.
"""
import argparse
import contextlib
import gzip
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests/data/otlp/bench"

# ---- bodies ----


def fields(message):
    """(number, wire type, value, raw) of each field of a protobuf message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        begin = at
        tag = varint()
        if tag & 7 == 0:
            value = varint()
        else:
            length = {1: 8, 5: 4}.get(tag & 7) or varint()
            value = message[at : at + length]
            at += length
        yield tag >> 3, tag & 7, value, message[begin:at]


def put(number, content):
    length, out = len(content), bytearray([number << 3 | 2])
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    return bytes(out) + bytes([length]) + content


def recorded():
    return [gzip.decompress(path.read_bytes()) for path in sorted(DATA.glob("*.gz"))]


def small():
    """The same spans, in requests of one and two."""
    bodies = []
    for body in recorded():
        for _, _, resource_spans, _ in fields(body):
            resource = b"".join(raw for number, _, _, raw in fields(resource_spans) if number == 1)
            spans = [
                raw for number, _, scope, _ in fields(resource_spans) if number == 2 for number, _, _, raw in fields(scope) if number == 2
            ]
            at = 0
            while at < len(spans):
                n = 1 + len(bodies) % 2
                bodies.append(put(1, resource + put(2, b"".join(spans[at : at + n]))))
                at += n
    return bodies


def of_series(n):
    """Entry spans of n services and operations."""

    def attribute(key, value):
        return put(1, key) + put(2, put(1, value))

    bodies = []
    for first in range(0, n, 400):
        resource = put(1, put(1, attribute(b"service.name", b"service-%d" % (first // 400))))
        spans = []
        for i in range(first, min(first + 400, n)):
            took = 1_000_000 + i * 7919 % 200 * 1_000_000
            spans.append(put(2, put(1, struct.pack(">QQ", 1, i + 1)) + put(2, struct.pack(">Q", i + 1)) + put(5, b"GET /things/%d" % i) + b"\x30\x02" +
                                b"\x39" + struct.pack("<Q", 10**18) + b"\x41" + struct.pack("<Q", 10**18 + took) +
                                put(9, attribute(b"http.request.method", b"GET")) + put(9, attribute(b"http.route", b"/things/{id}"))))  # fmt: skip
        bodies.append(put(1, resource + put(2, b"".join(spans))))
    return bodies


CASES = {
    "recorded": (recorded, {}),
    "small": (small, {}),
    **{f"series-{n}": (lambda n=n: of_series(n), {"SPANWATCH_OTLP_MAX_SERIES": str(n)}) for n in (1000, 10_000, 100_000)},
}

# ---- receivers ----


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def children(pid):
    return [int(child) for task in os.listdir(f"/proc/{pid}/task") for child in open(f"/proc/{pid}/task/{task}/children").read().split()]


class Receiver:
    def __init__(self, name, command, port, folder, env):
        self.name, self.port, self.folder = name, port, folder
        self.log = open(f"{folder}/log", "w")
        self.process = subprocess.Popen(command, env={"PATH": os.environ["PATH"], **env}, stdout=self.log, stderr=self.log)
        deadline = time.time() + 30
        while time.time() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise SystemExit(f"{name} does not start: see {folder}/log")
        self.cpu_per_span, self.rates, self.p99, self.refused = [], [], [], 0

    def pids(self):
        return [self.process.pid, *children(self.process.pid)]

    def cpu_s(self):
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self.pids())  # the CPU clock of another process

    def memory_mb(self, what):
        total = 0
        for pid in self.pids():
            for line in open(f"/proc/{pid}/smaps_rollup"):
                if line.startswith(what):
                    total += int(line.split()[1])
        return total / 1024

    def load(self, sender, bodies, seconds, connections):
        before = self.cpu_s()
        output = subprocess.run([sender, str(self.port), bodies, str(seconds), str(connections)], stdout=subprocess.PIPE, check=True).stdout
        result = json.loads(output)
        cpu = self.cpu_s() - before
        if result["other"]:
            raise SystemExit(f"{self.name} refuses what it is sent: {result}")
        self.refused += result["refused"]
        if result["spans"]:
            self.cpu_per_span.append(cpu / result["spans"])
            self.rates.append(result["spans"] / result["seconds"])
            self.p99.append(result["p99_us"])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        shutil.rmtree(self.folder)


def agent(binary, memory_mb, env):
    folder, port = tempfile.mkdtemp(prefix="spanwatch-bench-"), free_port()
    return Receiver(
        "spanwatch", [binary, "run"], port, folder,
        {
            "TEMPO_ENABLED": "false", "SPANWATCH_OTLP_HTTP_ADDRESS": f"127.0.0.1:{port}", "SPANWATCH_STORAGE_PATH": f"{folder}/data",
            "SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{free_port()}", "SPANWATCH_SCRIPTS_DIR": str(ROOT / "scripts"),
            "SPANWATCH_OTLP_MEMORY_MB": str(memory_mb), **env,
        },
    )  # fmt: skip


COLLECTOR = """
receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:%d"}}}}
connectors: {spanmetrics: {metrics_flush_interval: 15s}}
exporters: {prometheus: {endpoint: "127.0.0.1:%d"}}
service:
  telemetry: {metrics: {level: none}, logs: {level: warn}}
  pipelines:
    traces: {receivers: [otlp], exporters: [spanmetrics]}
    metrics: {receivers: [spanmetrics], exporters: [prometheus]}
"""


def collector(binary):
    folder, port = tempfile.mkdtemp(prefix="spanwatch-bench-"), free_port()
    pathlib.Path(folder, "config.yaml").write_text(COLLECTOR % (port, free_port()))
    return Receiver("collector", [binary, "--config", f"{folder}/config.yaml"], port, folder, {"GOMAXPROCS": "1", "HOME": folder})


# ---- measuring ----


def measure(case, arguments):
    make, env = CASES[case]
    with tempfile.NamedTemporaryFile() as file, contextlib.ExitStack() as started:
        for body in make():
            file.write(struct.pack("<I", len(body)) + body)
        file.flush()
        receivers = [agent(arguments.binary, arguments.memory_mb, env)]
        started.callback(receivers[0].stop)
        if os.access(arguments.collector, os.X_OK):
            receivers.append(collector(arguments.collector))
            started.callback(receivers[1].stop)
        for receiver in receivers:  # caches, heaps and tables get their size
            receiver.load(arguments.sender, file.name, 1, arguments.connections)
            receiver.cpu_per_span, receiver.rates, receiver.p99 = [], [], []
        for _ in range(arguments.rounds):
            for receiver in receivers:
                receiver.load(arguments.sender, file.name, arguments.seconds, arguments.connections)
        print(f"{case}:")
        for r in receivers:
            cpu = statistics.median(r.cpu_per_span)
            print(f"  {r.name:10}  CPU-s per million spans {cpu * 1e6:6.3f} ({min(r.cpu_per_span) * 1e6:.3f} to {max(r.cpu_per_span) * 1e6:.3f})   "
                  f"spans/s per core {1 / cpu:10,.0f}   spans/s {statistics.median(r.rates):10,.0f}   p99 {statistics.median(r.p99) / 1000:7.2f} ms   "
                  f"resident {r.memory_mb('Rss'):6.1f} MiB, private {r.memory_mb('Private_Dirty'):6.1f}   refused {r.refused}")  # fmt: skip
        if len(receivers) == 2:
            ratio = statistics.median(receivers[1].cpu_per_span) / statistics.median(receivers[0].cpu_per_span)
            print(f"  the collector takes {ratio:.1f} times the CPU")
        sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=str(ROOT / "build/spanwatch"))
    parser.add_argument("--sender", default=str(ROOT / "build/otlp_send"))
    parser.add_argument("--collector", default=str(ROOT / "build/collector/otelcol"))
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--connections", type=int, default=2)
    parser.add_argument("--memory-mb", type=int, default=64)
    parser.add_argument("--only", default=",".join(CASES))
    arguments = parser.parse_args()
    for case in arguments.only.split(","):
        measure(case, arguments)


if __name__ == "__main__":
    main()
