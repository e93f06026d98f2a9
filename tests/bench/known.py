#!/usr/bin/env python3
"""Memory with 100 000 known alerts, and how long a start takes with them.

    tests/bench/known.py [--binary build/spanwatch] [--alerts 100000]

Ten detectors raise 10 000 alerts each, all of which are delivered; then the agent is stopped, killed and started again. The start is from
exec() until /-/healthy answers, which is when everything that was stored is known.
"""
import argparse
import os
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.request

from delivery import ROOT, Receiver, free_port, peak_mib, wait_for, wait_idle

DETECTOR = """
return {
  check = function(ctx)
    if ctx.state.raised then return {} end
    ctx.state.raised = true
    local findings = {}
    for i = 1, %(alerts)d do
      findings[i] = {
        type = "slow_endpoint", service = "shop-%(number)d", operation = "GET /items/" .. i, value = 812.5 + i, threshold = 500,
        keep_firing_s = 86400,
      }
    end
    return findings
  end,
}
"""


class Agent:
    def __init__(self, binary, home, hook):
        self.binary, self.home = binary, home
        self.port = free_port()
        self.env = {
            "PATH": os.environ["PATH"], "TEMPO_ENABLED": "false", "SPANWATCH_OTLP_HTTP_ADDRESS": f"127.0.0.1:{free_port()}",
            "SPANWATCH_OTLP_GRPC_ADDRESS": "", "TEMPO_ALERT_INTERVAL_SECS": "2", "SPANWATCH_OTLP_SETTLE_SECS": "0",
            "SPANWATCH_SCRIPTS_DIR": str(home / "scripts"), "SPANWATCH_STORAGE_PATH": str(home / "data"), "TEMPO_ALERT_WEBHOOK_URL": hook,
            "SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{self.port}", "SPANWATCH_MAX_ALERTS": "200000", "SPANWATCH_GROUP_WAIT_SECS": "0",
        }

    def start(self):
        begun = time.monotonic()
        self.process = subprocess.Popen([self.binary], env=self.env, cwd=self.home, stdout=subprocess.DEVNULL, stderr=open(self.home / "log", "a"))
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/healthy", timeout=10).read()
                return time.monotonic() - begun
            except OSError:
                time.sleep(0.002)

    def metric(self, name):
        text = wait_for(f"http://127.0.0.1:{self.port}/metrics")
        return sum(float(value) for value in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)", text, re.M))

    def say(self, what):
        text = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        rss, private = (int(re.search(rf"^{key}: +(\d+)", text, re.M).group(1)) / 1024 for key in ("Rss", "Private_Dirty"))
        print(f"{what}: {self.metric('spanwatch_alerts'):.0f} alerts known, resident {rss:.1f} MiB, of it private {private:.1f} MiB, peak {peak_mib(self.process.pid):.1f} MiB, "
              f"longest pass of the loop {1000 * self.metric('spanwatch_loop_longest_pass_seconds'):.1f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "build" / "spanwatch"))
    parser.add_argument("--alerts", type=int, default=100000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spanwatch-bench-") as folder:
        home = pathlib.Path(folder)
        receiver = Receiver(folder, args.alerts)
        (home / "scripts").mkdir()
        for number in range(10):
            (home / "scripts" / f"d{number}.lua").write_text(DETECTOR % {"alerts": args.alerts // 10, "number": number})
        agent = Agent(args.binary, home, f"{receiver.url}/hook")
        print(f"start with nothing: {agent.start():.3f} s", flush=True)
        receiver.result()
        wait_idle(agent.process.pid)
        agent.say("all raised and delivered")
        for how in ("terminate", "kill"):
            getattr(agent.process, how)()
            agent.process.wait()
            took = agent.start()
            print(f"start after {how}: {took:.3f} s", flush=True)
            time.sleep(6)
            agent.say("after that start")
        agent.process.kill()
        agent.process.wait()


if __name__ == "__main__":
    main()
