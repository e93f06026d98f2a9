"""A real OpenTelemetry Collector sends to the agent with each of its exporters: what was planted is what is counted and told."""

import subprocess
import time

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace import Status as SpanStatus
from support.agent import ROOT, eventually, free_port

COLLECTOR = ROOT / "build/collector/otelcol"
TRACES, FAILED, SLOW = 400, 40, 3

pytestmark = pytest.mark.skipif(not COLLECTOR.exists(), reason="the Collector was not built: tools/interop-collector says why")


class Collector:
    def __init__(self, folder, exporter):
        self.port, self.log_path = free_port(), folder / "collector.log"
        config = folder / "collector-run.yaml"
        config.write_text(f"""
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{self.port}"}}}}}}}}
processors: {{batch: {{timeout: 100ms, send_batch_size: 100, send_batch_max_size: 100}}}}
exporters:
  {exporter}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [batch], exporters: [{exporter.split(":")[0]}]}}
""")
        self.log_file = open(self.log_path, "wb")
        self.process = subprocess.Popen([COLLECTOR, "--config", config], stdout=self.log_file, stderr=self.log_file, cwd=folder)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log_file.close()


@pytest.fixture
def start_collector(tmp_path):
    made = []

    def start(exporter):
        made.append(Collector(tmp_path, exporter))
        eventually(lambda: "Everything is ready" in made[-1].log(), made[-1].log)
        return made[-1]

    yield start
    for collector in made:
        collector.stop()


def plant(collector, failed=FAILED, padding=""):
    """TRACES traces of three spans that all started at the same time, of which some failed and SLOW were slow."""
    provider = TracerProvider(resource=Resource.create({"service.name": "checkout"}))
    exporter = OTLPSpanExporter(f"127.0.0.1:{collector.port}", insecure=True)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=10000))
    tracer = provider.get_tracer("test")
    start = time.time_ns()
    for i in range(TRACES):
        end = start + (1_500_000_000 if i < SLOW else 5_000_000)
        root = tracer.start_span("POST /orders", kind=SpanKind.SERVER, start_time=start)
        for name in ("SELECT", "INSERT"):
            child = tracer.start_span(name, set_span_in_context(root), kind=SpanKind.CLIENT, start_time=start)
            child.end(start + 1_000_000)
        root.set_attribute("padding", padding)
        if i >= TRACES - failed:
            root.set_status(SpanStatus(StatusCode.ERROR, "card refused"))
        root.end(end)
    provider.shutdown()


EXPORTERS = {
    "otlp, gzip": 'otlp_grpc: {{endpoint: "127.0.0.1:{grpc}", compression: gzip, tls: {{insecure: true}}}}',
    "otlp, plain": 'otlp_grpc: {{endpoint: "127.0.0.1:{grpc}", compression: none, tls: {{insecure: true}}}}',
    "otlphttp, gzip": 'otlp_http: {{endpoint: "http://127.0.0.1:{http}", compression: gzip}}',
    "otlphttp, plain": 'otlp_http: {{endpoint: "http://127.0.0.1:{http}", compression: none}}',
    "otlphttp, json": 'otlp_http: {{endpoint: "http://127.0.0.1:{http}", encoding: json}}',
}
SECURED = {
    "otlp, secured": 'otlp_grpc: {{endpoint: "127.0.0.1:{grpc}", tls: {{ca_file: {ca}}}, headers: {{authorization: Bearer s3cret}}}}',
    "otlphttp, secured": 'otlp_http: {{endpoint: "https://127.0.0.1:{http}", tls: {{ca_file: {ca}}}, headers: {{authorization: Bearer s3cret}}}}',
}


@pytest.mark.parametrize("name", [*EXPORTERS, *SECURED])
def test_what_the_collector_sends_is_counted_and_told_as_it_was_planted(
    make_receiver, start_collector, accepted, webhook, certificates, tmp_path, name
):
    env = {}
    if name in SECURED:
        (tmp_path / "token").write_text("s3cret\n")
        env = dict(
            SPANWATCH_OTLP_BEARER_TOKEN_FILE=tmp_path / "token", SPANWATCH_OTLP_TLS_CERT_FILE=certificates / "server.pem",
            SPANWATCH_OTLP_TLS_KEY_FILE=certificates / "server.key",
        )  # fmt: skip
    agent = make_receiver(**env)
    template = EXPORTERS.get(name) or SECURED[name]
    collector = start_collector(template.format(http=agent.http, grpc=agent.grpc, ca=certificates / "ca.pem"))
    plant(collector)
    eventually(lambda: accepted(agent) == 3 * TRACES, lambda: f"all spans: {accepted(agent)}\n{collector.log()[-2000:]}")
    body = eventually(lambda: webhook.bodies("high_error_rate"), "the error rate is told")[0]
    assert (body["affected_traces"], body["total_traces"]) == (FAILED, TRACES)
    eventually(lambda: len(webhook.reported("high_latency")) == SLOW, "the slow ones are told")
    eventually(lambda: len(webhook.reported("error_status")) == FAILED, "the failed ones are told")
    assert len(set(webhook.reported("high_latency"))) == SLOW and len(set(webhook.reported("error_status"))) == FAILED
    for word in ("error", "warn"):
        assert f"\t{word}\t" not in collector.log(), collector.log()


def test_nothing_is_lost_while_the_agent_is_away(make_receiver, start_collector, accepted):
    agent = make_receiver()
    retry = "retry_on_failure: {initial_interval: 100ms, max_interval: 300ms}"
    collector = start_collector(f'otlp_grpc: {{endpoint: "127.0.0.1:{agent.grpc}", tls: {{insecure: true}}, {retry}}}')
    agent.stop()
    plant(collector)
    eventually(lambda: "retry" in collector.log(), lambda: collector.log()[-2000:])
    agent.start().wait_ready()
    eventually(lambda: accepted(agent) == 3 * TRACES, lambda: f"all spans: {accepted(agent)}\n{collector.log()[-2000:]}")


@pytest.mark.parametrize("name", ["otlp, gzip", "otlphttp, gzip"])
def test_the_collector_waits_while_the_agent_has_no_room_and_everything_is_taken_in_the_end(make_receiver, start_collector, accepted, name):
    agent = make_receiver(SPANWATCH_OTLP_MEMORY_MB=1)
    exporter = EXPORTERS[name].format(http=agent.http, grpc=agent.grpc)
    collector = start_collector(exporter[:-1] + ", retry_on_failure: {initial_interval: 100ms, max_interval: 500ms}}")
    plant(collector, failed=TRACES, padding="x" * 3000)  # more than there is room for, and all of it is still to be judged
    eventually(lambda: accepted(agent) == 3 * TRACES, lambda: f"all spans: {accepted(agent)}\n{collector.log()[-2000:]}")
    refused = agent.metric("spanwatch_otlp_requests_total", code="429")
    refused += agent.metric("spanwatch_otlp_grpc_requests_total", code="RESOURCE_EXHAUSTED")
    assert refused > 0, "there was always room: the test shows nothing"
    assert "dropped" not in collector.log()
