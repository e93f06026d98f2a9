"""The real JavaScript SDK sends to the agent: JSON and protobuf in chunked bodies, and gRPC."""

import os
import subprocess

import pytest
from support.agent import ROOT, eventually

FOLDER = ROOT / "build/interop-javascript"
TRACES = 300

pytestmark = pytest.mark.skipif(not (FOLDER / "node_modules").exists(), reason="the SDK was not installed: tools/interop-javascript says why")


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("kind", ["http/json", "http/protobuf", "grpc"])
def test_what_the_javascript_sdk_sends_is_taken_and_told(make_receiver, accepted, webhook, kind, compression):
    agent = make_receiver()
    url = f"http://127.0.0.1:{agent.grpc}" if kind == "grpc" else f"http://127.0.0.1:{agent.http}/v1/traces"
    done = subprocess.run(
        ["node", "send.mjs", kind, compression, url, str(TRACES)], cwd=FOLDER, capture_output=True, text=True, timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert accepted(agent) == 2 * TRACES
    eventually(lambda: len(webhook.reported("high_latency")) == 1, "the slow one is told")
    eventually(lambda: len(webhook.reported("error_status")) == 1, "the failed one is told")
    body = webhook.bodies("error_status")[0]
    assert (body["service"], body["operation"], body["traces"][0]["error_message"]) == ("javascript", "GET /", "it failed")
