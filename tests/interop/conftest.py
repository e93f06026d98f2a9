"""The stand-ins and fixtures of the end-to-end tests."""

import importlib.util
import pathlib
import sys

E2E = pathlib.Path(__file__).resolve().parents[1] / "e2e"
sys.path.insert(0, str(E2E))
spec = importlib.util.spec_from_file_location("e2e_conftest", E2E / "conftest.py")
e2e = importlib.util.module_from_spec(spec)
spec.loader.exec_module(e2e)
globals().update({name: value for name, value in vars(e2e).items() if not name.startswith("__")})

import pytest  # noqa: E402
from support.agent import free_port  # noqa: E402


@pytest.fixture
def make_receiver(make_agent, webhook):
    """Starts agents that receive spans over HTTP (agent.http) and gRPC (agent.grpc)."""

    def make(**env):
        http, grpc = free_port(), free_port()
        agent = make_agent(
            None, webhook, TEMPO_ENABLED="false", SPANWATCH_OTLP_HTTP_ADDRESS=f"127.0.0.1:{http}",
            SPANWATCH_OTLP_GRPC_ADDRESS=f"127.0.0.1:{grpc}", SPANWATCH_OTLP_SETTLE_SECS=3, **env,
        )  # fmt: skip
        agent.http, agent.grpc = http, grpc
        return agent.wait_ready()

    return make


@pytest.fixture
def accepted():
    """How many spans an agent has taken; fails when some were refused, twice there, late or ahead."""

    def count(agent):
        metrics = agent.metrics()
        for result in ("invalid", "duplicate", "late", "future"):
            assert metrics.total("spanwatch_otlp_spans_total", result=result) == 0, result
        return metrics.total("spanwatch_otlp_spans_total", result="accepted")

    return count
