"""Hostile requests over HTTP and gRPC: the right status over both, no crash, bounded memory."""

import gzip
import http.client
import time

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.agent import free_port

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LIMIT = 4 << 20


@pytest.fixture
def receiver(make_agent, webhook):
    http_port, grpc_port = free_port(), free_port()
    agent = make_agent(
        None, webhook, TEMPO_ENABLED="false", SPANWATCH_OTLP_HTTP_ADDRESS=f"127.0.0.1:{http_port}",
        SPANWATCH_OTLP_GRPC_ADDRESS=f"127.0.0.1:{grpc_port}", SPANWATCH_OTLP_MEMORY_MB=8,
    )  # fmt: skip
    agent.http, agent.grpc = http_port, grpc_port
    return agent.wait_ready()


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def request_of(span):
    """A request with one span, given as the bytes of its message."""
    return field(1, field(2, field(2, span)))


def span(**more):
    request = ExportTraceServiceRequest()
    fields = dict(trace_id=b"t" * 16, span_id=b"s" * 8, name="n", start_time_unix_nano=time.time_ns(), end_time_unix_nano=time.time_ns())
    request.resource_spans.add().scope_spans.add().spans.add(**{**fields, **more})
    return request


def nested(depth):
    value = field(1, b"deep")  # AnyValue.string_value
    for _ in range(depth):
        value = field(5, field(1, value))  # AnyValue.array_value of one
    return request_of(field(1, b"t" * 16) + field(2, b"s" * 8) + field(9, field(1, b"key") + field(2, value)))


def attributes(n):
    request = span()
    target = request.resource_spans[0].scope_spans[0].spans[0]
    for i in range(n):
        target.attributes.add(key=f"key{i}").value.int_value = i
    return request.SerializeToString()


def spans(n):
    return field(1, field(2, field(2, field(1, b"t" * 16) + field(2, b"s" * 8)) * n))


GOOD = 200, grpc.StatusCode.OK
BAD = 400, grpc.StatusCode.INVALID_ARGUMENT
LARGE = 413, grpc.StatusCode.RESOURCE_EXHAUSTED
CASES = {
    "cut": lambda: (span().SerializeToString()[:-3], BAD),
    "a length over the end": lambda: (b"\x0a\xff\xff\xff\xff\x0f" + b"x" * 100, BAD),
    "a length of 64 bits": lambda: (b"\x0a" + b"\xff" * 9 + b"\x01" + b"x" * 100, BAD),
    "a varint without end": lambda: (b"\x0a" + b"\xff" * 200, BAD),
    "field 0": lambda: (b"\x02\x01x", BAD),
    "a group without end": lambda: (b"\x0b\x08\x01", BAD),
    "a number for a message": lambda: (b"\x08\x01", BAD),
    "an id that is too long": lambda: (request_of(field(1, b"t" * 17) + field(2, b"s" * 8)), BAD),
    "a text for a time": lambda: (request_of(field(7, b"12345678")), BAD),
    "nesting of 16": lambda: (nested(16), GOOD),
    "nesting of 1000": lambda: (nested(1000), BAD),
    "100 000 attributes": lambda: (attributes(100_000), GOOD),
    "not UTF-8": lambda: (request_of(field(1, b"t" * 16) + field(2, b"s" * 8) + field(5, b"\xff\xfe\x00\x80" * 100)), GOOD),
    "ids of zeros": lambda: (span(trace_id=bytes(16), span_id=bytes(8)).SerializeToString(), GOOD),
    "ends before it starts": lambda: (span(end_time_unix_nano=1).SerializeToString(), GOOD),
    "the far future": lambda: (span(start_time_unix_nano=2**64 - 1, end_time_unix_nano=2**64 - 1).SerializeToString(), GOOD),
    "the beginning of time": lambda: (span(start_time_unix_nano=0, end_time_unix_nano=2**64 - 1).SerializeToString(), GOOD),
    "a name of a megabyte": lambda: (span(name="x" * (1 << 20)).SerializeToString(), GOOD),
    "2 000 000 empty resources": lambda: (b"\x0a\x00" * 2_000_000, GOOD),
    "more spans than there is memory for": lambda: (spans(120_000), LARGE),
    "unknown fields": lambda: (span().SerializeToString() + field(1000, b"?" * 1000), GOOD),
    "too large": lambda: (b"\x0a\x00" * LIMIT, LARGE),
}  # fmt: skip
BOMBS = {
    "zeros": b"\x00" * (256 << 20),
    "empty resources": b"\x0a\x00" * (64 << 20),
}


def over_http(agent, body, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", agent.http, timeout=60)
    connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf", **headers})
    status = connection.getresponse().status
    connection.close()
    return status


def over_grpc(agent, body, compression=None):
    with grpc.insecure_channel(f"127.0.0.1:{agent.grpc}", options=[("grpc.max_send_message_length", -1)]) as channel:
        method = channel.unary_unary(EXPORT, request_serializer=bytes, response_deserializer=bytes)
        try:
            return method.with_call(body, timeout=60, compression=compression)[1].code()
        except grpc.RpcError as error:
            return error.code()


def test_hostile_requests_have_the_right_status_and_cost_no_memory(receiver):
    for name, make in CASES.items():
        body, expected = make()
        assert (over_http(receiver, body), over_grpc(receiver, body)) == expected, name
    for name, content in BOMBS.items():
        assert over_http(receiver, gzip.compress(content, 1), **{"Content-Encoding": "gzip"}) == 413, name
        assert over_grpc(receiver, content, grpc.Compression.Gzip) == grpc.StatusCode.RESOURCE_EXHAUSTED, name
    assert receiver.running
    # SPANWATCH_OTLP_MEMORY_MB, a request and what it decompresses to, and the program itself.
    assert receiver.metric("process_resident_memory_bytes") < 64 << 20
    assert over_http(receiver, span().SerializeToString()) == 200
