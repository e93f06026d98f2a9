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
processors: {{batch: {{timeout: 100ms, send_batch_size: 200}}}}
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


def plant(collector):
    """TRACES traces of three spans that all started at the same time, of which FAILED failed and SLOW were slow."""
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
        if i >= TRACES - FAILED:
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
