"""Spans sent to the agent over gRPC, by the real SDK, by the real gRPC library and by clients that do not behave."""

import gzip
import http.client
import socket
import struct
import threading
import time

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace import Status as SpanStatus

from support.agent import ROOT, eventually, free_port

RECORDED = ROOT / "tests/data/otlp"
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
GOOD = (RECORDED / "python-sdk-protobuf-00.bin").read_bytes()


def receiver_of(make_agent, webhook, **env):
    """An agent that receives spans over gRPC."""
    port = free_port()
    agent = make_agent(
        None, webhook, **{
            "TEMPO_ENABLED": "false", "SPANWATCH_OTLP_HTTP_ADDRESS": "", "SPANWATCH_OTLP_GRPC_ADDRESS": f"127.0.0.1:{port}",
            "SPANWATCH_OTLP_SETTLE_SECS": 1, "SPANWATCH_OTLP_MAX_BODY_BYTES": 1 << 20, **env,
        },
    )  # fmt: skip
    agent.otlp_port = port
    return agent.wait_ready()


@pytest.fixture
def receiver(make_agent, webhook):
    return receiver_of(make_agent, webhook)


def taken(agent, result="accepted"):
    return agent.metrics().total("spanwatch_otlp_spans_total", result=result)


def call(channel, body, path=EXPORT, timeout=30, **options):
    """(code, details, trailers, response)"""
    method = channel.unary_unary(path, request_serializer=bytes, response_deserializer=ExportTraceServiceResponse.FromString)
    try:
        response, made = method.with_call(body, timeout=timeout, **options)
        return made.code(), made.details(), dict(made.trailing_metadata()), response
    except grpc.RpcError as error:
        return error.code(), error.details(), dict(error.trailing_metadata() or ()), None


def channel_to(agent):
    return grpc.insecure_channel(f"127.0.0.1:{agent.otlp_port}", options=[("grpc.max_send_message_length", -1)])


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_the_real_sdk_sends_over_grpc_and_what_is_wrong_is_told_once(receiver, webhook, compression):
    exporter = OTLPSpanExporter(f"127.0.0.1:{receiver.otlp_port}", insecure=True, compression=compression)
    provider = TracerProvider(resource=Resource.create({"service.name": "checkout"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    now = time.time_ns()
    for i in range(40):
        span = tracer.start_span("POST /orders", kind=SpanKind.SERVER, start_time=now - (1_500_000_000 if i == 7 else 5_000_000))
        if i == 8:
            span.set_status(SpanStatus(StatusCode.ERROR, "card refused"))
        span.end(now)
    provider.shutdown()
    assert taken(receiver) == 40
    eventually(lambda: webhook.reported("high_latency") and webhook.reported("error_status"), "both are told")
    assert len(webhook.reported("high_latency")) == len(webhook.reported("error_status")) == 1
    assert receiver.metric("spanwatch_otlp_grpc_requests_total", code="OK") >= 1


def test_each_mistake_has_its_status_and_the_connection_goes_on(receiver):
    bomb = b"\x0a" * (64 << 20)
    code = grpc.StatusCode
    cases = [
        (dict(body=GOOD), code.OK),
        (dict(body=GOOD, compression=grpc.Compression.Gzip), code.OK),
        (dict(body=b""), code.OK),
        (dict(body=GOOD[:-3]), code.INVALID_ARGUMENT),
        (dict(body=b"\xff" * 1000), code.INVALID_ARGUMENT),
        (dict(body=b"x" * (2 << 20)), code.RESOURCE_EXHAUSTED),
        (dict(body=bomb, compression=grpc.Compression.Gzip), code.RESOURCE_EXHAUSTED),
        (dict(body=GOOD, path="/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"), code.UNIMPLEMENTED),
        (dict(body=GOOD, path=EXPORT + "/"), code.UNIMPLEMENTED),
        (dict(body=GOOD, path="/"), code.UNIMPLEMENTED),
    ]
    with channel_to(receiver) as channel:
        for arguments, expected in cases:
            got, details, trailers, _ = call(channel, **arguments)
            assert got == expected, (expected, got, details, str(arguments)[:200])
            assert (got == code.OK) == (not details)
            assert "grpc-status-details-bin" not in trailers  # nothing of this is to be sent again
    assert receiver.running


def test_spans_without_ids_are_a_partial_success(receiver):
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for trace, span in ((0, 1), (1, 0), (1, 1)):
        spans.add(trace_id=trace.to_bytes(16, "big"), span_id=span.to_bytes(8, "big"), start_time_unix_nano=time.time_ns())
    with channel_to(receiver) as channel:
        got, _, _, response = call(channel, request.SerializeToString())
    assert got == grpc.StatusCode.OK
    assert response.partial_success.rejected_spans == 2 and response.partial_success.error_message


def retry_after_s(trailers):
    status = Status.FromString(trailers["grpc-status-details-bin"])
    info = RetryInfo()
    assert status.details[0].Unpack(info)
    return status.code, info.retry_delay.seconds


def test_a_full_memory_asks_senders_to_wait(make_agent, webhook):
    agent = receiver_of(make_agent, webhook, SPANWATCH_OTLP_MEMORY_MB=1)
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for _ in range(500):
        span = spans.add(span_id=b"12345678", name="x" * 900, start_time_unix_nano=time.time_ns())
        span.status.code = 2  # what offends nobody would make room
    with channel_to(agent) as channel:
        for round_ in range(6):
            for i, span in enumerate(spans):
                span.trace_id = (round_ * 1000 + i + 1).to_bytes(16, "big")
            got, details, trailers, _ = call(channel, request.SerializeToString())
    assert got == grpc.StatusCode.RESOURCE_EXHAUSTED, details
    assert retry_after_s(trailers) == (8, 1)


def test_many_at_once_on_one_connection_are_all_taken(receiver):
    n, answers = 200, []

    def send(channel, i):
        request = ExportTraceServiceRequest()
        spans = request.resource_spans.add().scope_spans.add().spans
        for j in range(20):
            spans.add(trace_id=(i + 1).to_bytes(16, "big"), span_id=(j + 1).to_bytes(8, "big"), name="n", start_time_unix_nano=time.time_ns())
        answers.append(call(channel, request.SerializeToString(), compression=grpc.Compression.Gzip if i % 2 else None)[0])

    with channel_to(receiver) as channel:
        threads = [threading.Thread(target=send, args=(channel, i)) for i in range(n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [grpc.StatusCode.OK] * n
    assert taken(receiver) == 20 * n


# What the library would not send: frames by hand.

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header without compression (RFC 7541, 6.2.2)."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def headers(path=EXPORT, kind="application/grpc", method="POST", **more):
    fields = {":method": method, ":scheme": "http", ":path": path, ":authority": "test", "te": "trailers"}
    if kind:
        fields["content-type"] = kind
    fields.update({name.replace("_", "-"): value for name, value in more.items()})
    return b"".join(literal(name, value) for name, value in fields.items())


def message(body, flag=0, length=None):
    return struct.pack(">BI", flag, len(body) if length is None else length) + body


def talk(agent, *frames):
    """Everything that the agent answers until it ends the stream or the connection."""
    with socket.create_connection(("127.0.0.1", agent.otlp_port), timeout=30) as connection:
        connection.sendall(PREFACE + frame(4, 0, 0) + b"".join(frames))
        got = b""
        while True:
            at, ended = 0, False
            while len(got) >= at + 9:
                size = int.from_bytes(got[at : at + 3], "big")
                kind, flags = got[at + 3], got[at + 4]
                ended |= len(got) >= at + 9 + size and (kind in (3, 7) or (kind in (0, 1) and flags & 1))
                at += 9 + size
            piece = b"" if ended else connection.recv(65536)
            if not piece:
                return got
            got += piece


def test_what_is_not_framed_as_grpc_is_an_error_of_its_own(receiver):
    unfinished = gzip.compress(GOOD)[:-9]
    cases = [
        (headers(), b"", b"13"),
        (headers(), b"\x00\x00", b"13"),
        (headers(), message(GOOD, length=len(GOOD) + 1), b"13"),
        (headers(), message(GOOD) + message(GOOD), b"13"),
        (headers(), message(GOOD, flag=2), b"13"),
        (headers(), message(GOOD, flag=1), b"13"),
        (headers(grpc_encoding="gzip"), message(GOOD, flag=1), b"13"),
        (headers(grpc_encoding="gzip"), message(unfinished, flag=1), b"13"),
        (headers(grpc_encoding="br"), message(GOOD, flag=1), b"12"),
        (headers(kind="application/grpc+json"), message(b"{}"), b"415"),
        (headers(kind="application/json"), b"{}", b"415"),
        (headers(kind=None), message(GOOD), b"415"),
        (headers(method="PUT"), message(GOOD), b"405"),
        (headers(grpc_timeout="1S"), message(GOOD), b"0"),
        (headers(grpc_timeout="1x"), message(GOOD), b"0"),
        (headers(kind="application/grpc+proto", grpc_encoding="identity"), message(GOOD), b"0"),
        (headers(grpc_encoding="gzip"), message(GOOD), b"0"),
        (headers(grpc_encoding="gzip"), message(gzip.compress(GOOD), flag=1), b"0"),
    ]
    before = receiver.metric("spanwatch_otlp_grpc_requests_total")
    for block, body, expected in cases:
        pieces = [body[i : i + 16384] for i in range(0, len(body), 16384)] or [b""]
        data = [frame(0, 1 if i == len(pieces) - 1 else 0, 1, piece) for i, piece in enumerate(pieces)]
        answer = talk(receiver, frame(1, 4, 1, block), *data)
        codes = receiver.metrics()
        assert answer and (expected in answer or huffman(expected) in answer), (expected, block, body[:50], answer)
        assert codes is not None
    names = {"INTERNAL": 8, "UNIMPLEMENTED": 1, "OK": 5, "NOT_GRPC": 4}
    for name, times in names.items():
        assert receiver.metric("spanwatch_otlp_grpc_requests_total", code=name) == times, name
    assert receiver.metric("spanwatch_otlp_grpc_requests_total") - before == sum(names.values())


def huffman(digits):
    """Digits as HPACK compresses them (RFC 7541, appendix B)."""
    codes = {ord("0"): "00000", ord("1"): "00001", ord("2"): "00010", **{ord("3") + i: f"{0b011001 + i:06b}" for i in range(7)}}
    bits = "".join(codes[digit] for digit in digits)
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def test_a_request_that_comes_after_its_deadline_is_not_taken(receiver):
    with socket.create_connection(("127.0.0.1", receiver.otlp_port), timeout=30) as connection:
        connection.sendall(PREFACE + frame(4, 0, 0) + frame(1, 4, 1, headers(grpc_timeout="1n")))
        eventually(lambda: connection.recv(65536), "settings")
        clock = time.monotonic()
        eventually(lambda: time.monotonic() - clock > 0.05, "the deadline passes")
        connection.sendall(frame(0, 1, 1, message(GOOD)))
        eventually(lambda: receiver.metric("spanwatch_otlp_grpc_requests_total", code="DEADLINE_EXCEEDED") == 1, "it is too late")
    assert taken(receiver) == 0


def resident_mb(agent):
    return agent.metric("process_resident_memory_bytes") / (1 << 20)


def test_hostile_connections_cost_nothing_and_others_go_on(receiver):
    before = resident_mb(receiver)
    hostile = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
        b"\xff" * 100000,
        PREFACE + b"\xff" * 100000,
        PREFACE + frame(4, 0, 0) + b"".join(frame(4, 0, 0, b"\x00\x04\x00\x00\x00\x01") for _ in range(20000)),
        PREFACE + frame(4, 0, 0) + b"".join(frame(6, 0, 0, b"\x00" * 8) for _ in range(100000)),
        PREFACE + frame(4, 0, 0) + b"".join(frame(1, 4, 1 + 2 * i, headers()) + frame(3, 0, 1 + 2 * i, b"\x00\x00\x00\x08") for i in range(20000)),
        PREFACE + frame(4, 0, 0) + frame(1, 0, 1, headers()) + b"".join(frame(9, 0, 1, b"\x00" * 16000) for _ in range(500)),
        PREFACE + frame(4, 0, 0) + frame(1, 4, 1, headers()) + b"".join(frame(0, 0, 1, b"") for _ in range(100000)),
        PREFACE + frame(4, 0, 0) + b"".join(frame(2, 0, 1 + 2 * i, b"\x00\x00\x00\x00\x10") for i in range(100000)),
    ]
    held = []
    for bytes_ in hostile:
        connection = socket.create_connection(("127.0.0.1", receiver.otlp_port), timeout=30)
        connection.settimeout(5)
        try:
            connection.sendall(bytes_)  # and reads nothing
        except (OSError, TimeoutError):
            pass
        held.append(connection)
    with channel_to(receiver) as channel:
        assert call(channel, GOOD)[0] == grpc.StatusCode.OK
    assert resident_mb(receiver) - before < 24
    for connection in held:
        connection.close()
    assert receiver.running


def test_a_token_is_needed_when_one_is_set_and_it_may_change(make_agent, webhook, tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    http_port = free_port()
    agent = receiver_of(
        make_agent, webhook, SPANWATCH_OTLP_BEARER_TOKEN_FILE=token, SPANWATCH_OTLP_HTTP_ADDRESS=f"127.0.0.1:{http_port}",
    )  # fmt: skip
    with channel_to(agent) as channel:
        for shown in ((), (("authorization", "Bearer s3cre"),), (("authorization", "Basic s3cret"),)):
            assert call(channel, GOOD, metadata=shown)[0] == grpc.StatusCode.UNAUTHENTICATED
        assert call(channel, GOOD, metadata=(("authorization", "Bearer s3cret"),))[0] == grpc.StatusCode.OK
        token.write_text("another\n")
        assert call(channel, GOOD, metadata=(("authorization", "Bearer s3cret"),))[0] == grpc.StatusCode.UNAUTHENTICATED
        assert call(channel, GOOD, metadata=(("authorization", "bearer another"),))[0] == grpc.StatusCode.OK
    for shown, status in ((None, 401), ("Bearer s3cret", 401), ("Bearer another", 200)):
        connection = http.client.HTTPConnection("127.0.0.1", http_port, timeout=10)
        headers = {"Content-Type": "application/x-protobuf", **({"Authorization": shown} if shown else {})}
        connection.request("POST", "/v1/traces", GOOD, headers)
        answer = connection.getresponse()
        assert answer.status == status
        if status == 401:
            assert Status.FromString(answer.read()).code == 16 and answer.headers["WWW-Authenticate"].startswith("Bearer")
        connection.close()
    assert "s3cret" not in agent.log()


def test_a_grpc_address_that_is_taken_is_said(make_agent, webhook, receiver):
    agent = make_agent(
        None, webhook, TEMPO_ENABLED="false", SPANWATCH_OTLP_HTTP_ADDRESS="",
        SPANWATCH_OTLP_GRPC_ADDRESS=f"127.0.0.1:{receiver.otlp_port}",
    )  # fmt: skip
    assert agent.process.wait(30) == 78
    assert "cannot receive spans on 127.0.0.1" in agent.log() and "SPANWATCH_OTLP_GRPC_ADDRESS" in agent.log()


def test_while_the_agent_stops_senders_are_asked_to_come_again(make_agent, webhook):
    http_port = free_port()
    agent = receiver_of(
        make_agent, webhook, SPANWATCH_OTLP_HTTP_ADDRESS=f"127.0.0.1:{http_port}", SPANWATCH_WEBHOOK_TIMEOUT_MS=60000,
    )  # fmt: skip
    webhook.fault("hang")
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"1" * 16, span_id=b"1" * 8, start_time_unix_nano=time.time_ns())
    span.status.code = 2
    with channel_to(agent) as channel:
        assert call(channel, request.SerializeToString())[0] == grpc.StatusCode.OK
        eventually(webhook.seen, "a delivery is under way")
        agent.process.terminate()
        agent.wait_log("stopping")
        got, _, trailers, _ = call(channel, GOOD)
        assert got == grpc.StatusCode.UNAVAILABLE and retry_after_s(trailers) == (14, 1)
    connection = http.client.HTTPConnection("127.0.0.1", http_port, timeout=10)
    connection.request("POST", "/v1/traces", GOOD, {"Content-Type": "application/x-protobuf"})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert Status.FromString(answer.read()).code == 14
    connection.close()
    webhook.heal()
