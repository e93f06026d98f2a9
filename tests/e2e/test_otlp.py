"""Spans sent to the agent itself, by real OpenTelemetry SDKs and by senders that do not behave."""

import gzip
import http.client
import json
import time
import zlib

import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace import Status as SpanStatus

from support.agent import ROOT, eventually, free_port

RECORDED = ROOT / "tests/data/otlp"
PROTOBUF, JSON = "application/x-protobuf", "application/json"


@pytest.fixture
def receiver(make_agent, webhook):
    """An agent that receives spans."""
    port = free_port()
    agent = make_agent(
        None, webhook, TEMPO_ENABLED="false", SPANWATCH_OTLP_HTTP_ADDRESS=f"127.0.0.1:{port}", SPANWATCH_OTLP_SETTLE_SECS=1,
        SPANWATCH_OTLP_MAX_BODY_BYTES=1 << 20,
    )  # fmt: skip
    agent.otlp_port = port
    return agent.wait_ready()


def post(agent, body, content_type=PROTOBUF, path="/v1/traces", method="POST", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", agent.otlp_port, timeout=30)
    if content_type is not None:
        headers["Content-Type"] = content_type
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def taken(agent, result="accepted"):
    return agent.metrics().total("spanwatch_otlp_spans_total", result=result)


class Sdk:
    """A service that is instrumented with the real SDK."""

    def __init__(self, agent, service, compression=Compression.NoCompression):
        exporter = OTLPSpanExporter(f"http://127.0.0.1:{agent.otlp_port}/v1/traces", compression=compression)
        self.provider = TracerProvider(resource=Resource.create({"service.name": service}))
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer = self.provider.get_tracer("test")

    def request(self, operation, duration_ms, error=None):
        """One trace of an entry span and a call in it; ends now. Its id."""
        end = time.time_ns()
        start = end - round(duration_ms * 1e6)
        root = self.tracer.start_span(operation, kind=SpanKind.SERVER, start_time=start)
        child = self.tracer.start_span("SELECT", set_span_in_context(root), kind=SpanKind.CLIENT, start_time=start)
        if error:
            child.set_status(SpanStatus(StatusCode.ERROR, error))
        child.end(end)
        root.end(end)
        return f"{root.get_span_context().trace_id:032x}"

    def close(self):
        self.provider.shutdown()


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_a_real_sdk_sends_and_what_is_wrong_is_told_once(receiver, webhook, compression):
    sdk = Sdk(receiver, "checkout", compression)
    slow = sdk.request("POST /orders", 1500)
    failed = sdk.request("POST /orders", 20, "card refused")
    for _ in range(30):
        sdk.request("GET /", 5)
    sdk.close()
    assert taken(receiver) == 64
    eventually(lambda: slow in webhook.reported("high_latency"), "the slow trace is told")
    eventually(lambda: failed in webhook.reported("error_status"), "the failed trace is told")
    assert webhook.reported("high_latency") == [slow]
    assert webhook.reported("error_status") == [failed]
    body = webhook.bodies("error_status")[0]
    assert body["service"] == "checkout" and body["operation"] == "POST /orders"
    assert body["traces"][0]["error_message"] == "card refused"


def test_an_error_rate_is_counted_exactly(receiver, webhook):
    sdk = Sdk(receiver, "checkout")
    for i in range(40):
        root = sdk.tracer.start_span("POST /orders", kind=SpanKind.SERVER)
        if i % 4 == 0:
            root.set_status(SpanStatus(StatusCode.ERROR, "no"))
        root.end()
    sdk.close()
    body = eventually(lambda: webhook.bodies("high_error_rate"), "the error rate is told")[0]
    assert (body["affected_traces"], body["total_traces"], body["value"]) == (10, 40, 0.25)


def recorded_json():
    return sorted(RECORDED.glob("python-encoder-json-*.json"))


def entries(body):
    spans = [s for r in body.get("resourceSpans", []) for c in r.get("scopeSpans", []) for s in c.get("spans", [])]
    return len({(s["traceId"], s["spanId"]) for s in spans})


def test_the_same_spans_in_every_encoding_are_the_same_spans(receiver):
    expected = sum(entries(json.loads(path.read_bytes())) for path in recorded_json())
    assert expected > 100
    for path in recorded_json():
        status, headers, content = post(receiver, path.read_bytes(), "application/json; charset=utf-8")
        assert (status, headers["content-type"], content) == (200, JSON, b'{"partialSuccess":{}}')
    assert taken(receiver) + taken(receiver, "late") == expected
    for path in sorted(RECORDED.glob("python-sdk-protobuf-*.bin")) + sorted(RECORDED.glob("collector-otlphttp-plain-*.bin")):
        status, headers, content = post(receiver, path.read_bytes())
        assert (status, headers["content-type"], content) == (200, PROTOBUF, b"\x0a\x00")
    for path in sorted(RECORDED.glob("*.gz")):
        kind = JSON if ".json" in path.name else PROTOBUF
        assert post(receiver, path.read_bytes(), kind, Content_Encoding="gzip")[0] == 200
    # Those of another sender too; all the others were there before.
    assert taken(receiver) + taken(receiver, "late") == expected
    assert taken(receiver, "duplicate") > 2 * expected


def test_senders_that_do_not_behave_get_the_right_status_and_the_agent_goes_on(receiver):
    good = (RECORDED / "python-sdk-protobuf-00.bin").read_bytes()
    bomb = gzip.compress(b"\x0a" * (64 << 20))
    cases = [
        (dict(body=b""), 200),
        (dict(body=b"{}", content_type=JSON), 200),
        (dict(body=b"", content_type=JSON), 400),
        (dict(body=b"{", content_type=JSON), 400),
        (dict(body=b"[" * 100000, content_type=JSON), 400),
        (dict(body=good[:-3]), 400),
        (dict(body=b"\xff" * 1000), 400),
        (dict(body=good, content_type=JSON), 400),
        (dict(body=good, content_type="text/plain"), 415),
        (dict(body=good, content_type=None), 415),
        (dict(body=good, Content_Encoding="br"), 400),
        (dict(body=good, Content_Encoding="gzip"), 400),
        (dict(body=gzip.compress(good)[:-9], Content_Encoding="gzip"), 400),
        (dict(body=bomb, Content_Encoding="gzip"), 413),
        (dict(body=b"x" * (2 << 20)), 413),
        (dict(body=None, method="GET"), 405),
        (dict(body=good, path="/v1/traces/"), 404),
        (dict(body=good, path="/v1/metrics"), 404),
        (dict(body=zlib.compress(good), Content_Encoding="deflate"), 200),
        (dict(body=good, content_type="Application/X-Protobuf"), 200),
    ]
    for arguments, expected in cases:
        status, _, content = post(receiver, **arguments)
        assert status == expected, (expected, status, content, str(arguments)[:200])
    for status in {expected for _, expected in cases}:  # whoever gives the answer, it is counted
        times = sum(expected == status for _, expected in cases)
        assert receiver.metric("spanwatch_otlp_requests_total", code=str(status)) == times, status
    status, headers, content = post(receiver, good[:-3])
    error = Status.FromString(content)
    assert (headers["content-type"], error.code) == (PROTOBUF, 3) and error.message
    status, headers, content = post(receiver, b"{", JSON)
    assert json.loads(content)["code"] == 3
    assert receiver.running


def test_what_the_official_bindings_write_and_read_is_understood(receiver):
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    now = time.time_ns()
    for trace, span in ((0, 1), (1, 0), (1, 1)):
        spans.add(trace_id=trace.to_bytes(16, "big"), span_id=span.to_bytes(8, "big"), start_time_unix_nano=now, end_time_unix_nano=now - 5)
    status, _, content = post(receiver, request.SerializeToString())
    answer = ExportTraceServiceResponse.FromString(content)
    assert status == 200 and answer.partial_success.rejected_spans == 2 and answer.partial_success.error_message
    status, _, content = post(receiver, json.dumps(MessageToDict(request)), JSON)
    assert status in (200, 400)  # the bindings write ids in base64, which is not OTLP's JSON
    assert receiver.running


def test_chunked_bodies_and_expect_continue_are_taken(receiver):
    good = (RECORDED / "js-sdk-protobuf-00.bin").read_bytes()
    connection = http.client.HTTPConnection("127.0.0.1", receiver.otlp_port, timeout=30)
    for _ in range(3):  # one connection
        connection.request(
            "POST", "/v1/traces", iter([good[:100], good[100:]]), {"Content-Type": PROTOBUF}, encode_chunked=True
        )  # fmt: skip
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"\x0a\x00")
    connection.close()


def test_a_full_memory_asks_senders_to_wait(make_agent, webhook):
    port = free_port()
    agent = make_agent(
        None, webhook, TEMPO_ENABLED="false", SPANWATCH_OTLP_HTTP_ADDRESS=f"127.0.0.1:{port}", SPANWATCH_OTLP_MEMORY_MB=1,
    ).wait_ready()  # fmt: skip
    agent.otlp_port = port
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for i in range(500):
        span = spans.add(trace_id=(i + 1).to_bytes(16, "big"), span_id=b"12345678", name="x" * 900, start_time_unix_nano=time.time_ns())
        span.status.code = 2  # what offends nobody would make room
    statuses = []
    for round_ in range(6):
        for i, span in enumerate(spans):
            span.trace_id = (round_ * 1000 + i + 1).to_bytes(16, "big")
        status, headers, content = post(agent, request.SerializeToString())
        statuses.append(status)
    assert statuses[-1] == 429
    assert int(headers["retry-after"]) >= 1 and Status.FromString(content).code == 8

    def still_full():
        post(agent, request.SerializeToString())
        return webhook.bodies("answers_incomplete", "firing")

    # It asks them to wait, and is neither away nor out of order.
    eventually(still_full, "that it is full is told")
    assert not webhook.bodies("source_unreachable")
    assert agent.metrics().total("trace_alert_checks_total", status="error", source="otlp") == 0


def test_requests_that_their_senders_give_up_are_an_alert_until_there_are_none(make_agent, webhook):
    port = free_port()
    agent = make_agent(
        None, webhook, TEMPO_ENABLED="false", SPANWATCH_OTLP_HTTP_ADDRESS=f"127.0.0.1:{port}", SPANWATCH_OTLP_MEMORY_MB=1,
        SPANWATCH_OTLP_MAX_BODY_BYTES=2 << 20,
    ).wait_ready()  # fmt: skip
    agent.otlp_port = port
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"12345678", name="x" * (1 << 20))
    large = request.SerializeToString()
    assert len(large) < 2 << 20

    def told(status, body):
        answer, headers, content = post(agent, body)
        assert answer == (200 if body == b"" else 413)
        assert body == b"" or (Status.FromString(content).code == 8 and "retry-after" not in headers)
        return webhook.bodies("requests_refused", status)

    alert = eventually(lambda: told("firing", large), "what senders give up is told")[0]
    assert alert["value"] >= 1 and "give them up" in alert["summary"]
    eventually(lambda: told("resolved", b""), "its end is told")
    assert len(webhook.bodies("requests_refused")) == 2


def test_clocks_of_senders_that_are_wrong_are_an_alert_until_they_are_right(receiver, webhook):
    off_s = [86400, -86400, 0, 0]

    def send():
        request = ExportTraceServiceRequest()
        spans = request.resource_spans.add().scope_spans.add().spans
        for i in range(40):
            start = time.time_ns() + off_s[i % len(off_s)] * 10**9
            spans.add(trace_id=time.time_ns().to_bytes(16, "big"), span_id=(i + 1).to_bytes(8, "big"), kind=2, name="GET /",
                      start_time_unix_nano=start, end_time_unix_nano=start + 10**6)  # fmt: skip
        assert post(receiver, request.SerializeToString())[0] == 200

    def told(kind, status):
        send()
        return webhook.bodies(kind, status)

    for kind in ("spans_future", "spans_late"):
        body = eventually(lambda kind=kind: told(kind, "firing"), f"{kind} is told")[0]
        assert body["value"] == 0.25 and "clock" in body["summary"]
    off_s[:] = [0]
    for kind in ("spans_future", "spans_late"):
        eventually(lambda kind=kind: told(kind, "resolved"), f"the end of {kind} is told")
        assert len(webhook.bodies(kind)) == 2


def test_after_a_restart_nothing_is_resolved_because_spans_were_lost(make_agent, webhook):
    port = free_port()
    env = dict(
        TEMPO_ENABLED="false", SPANWATCH_OTLP_HTTP_ADDRESS=f"127.0.0.1:{port}", SPANWATCH_OTLP_SETTLE_SECS=0,
        TEMPO_LOOKBACK_WINDOW_SECS=600,
    )  # fmt: skip
    agent = make_agent(None, webhook, folder="same", **env).wait_ready()
    agent.otlp_port = port
    sdk = Sdk(agent, "checkout")
    for _ in range(40):
        root = sdk.tracer.start_span("POST /orders", kind=SpanKind.SERVER)
        root.set_status(SpanStatus(StatusCode.ERROR, "no"))
        root.end()
    sdk.close()
    eventually(lambda: webhook.bodies("high_error_rate"), "the error rate is told")
    agent.kill()
    agent = make_agent(None, webhook, folder="same", **env).wait_ready()
    agent.wait_ticks(4)
    assert {body["status"] for body in webhook.bodies("high_error_rate")} == {"firing"}


def test_an_address_that_is_taken_is_said(make_agent, webhook, receiver):
    agent = make_agent(None, webhook, TEMPO_ENABLED="false", SPANWATCH_OTLP_HTTP_ADDRESS=f"127.0.0.1:{receiver.otlp_port}")
    assert agent.process.wait(30) == 78
    assert "cannot receive spans on 127.0.0.1" in agent.log() and "SPANWATCH_OTLP_HTTP_ADDRESS" in agent.log()
