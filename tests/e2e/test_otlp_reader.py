"""The reader of OTLP's protobuf against the official bindings: random messages, field by field."""

import json
import random
import struct
import subprocess

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from support.agent import BUILD

ALPHABET = ["", "a", "service.name", "exception", "exception.type", "é", "名前", "\U0001f600", "\n\"\\", "x" * 127, "x" * 128, "y" * 300, "\x00"]


def varint(value, padding=0):
    """`padding` bytes longer than it has to be, where that leaves it at most five: readers take no longer tags and lengths."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    padding = min(padding, 5 - len(out))
    if padding > 0:
        out[-1] |= 128
        out += bytes([128] * (padding - 1) + [0])
    return bytes(out)


class Writer:
    """Writes a message as no serializer does: fields in any order, values that are overwritten later, lengths that are
    longer than they have to be, unknown fields and groups in between. What it means stays the same."""

    def __init__(self, rng, wild):
        self.rng, self.wild = rng, wild

    def tag(self, number, wire_type):
        return varint(number << 3 | wire_type, self.rng.choice([0, 0, 1]) if self.wild else 0)

    def bytes(self, number, content):
        return self.tag(number, 2) + varint(len(content), self.rng.choice([0, 0, 1, 2]) if self.wild else 0) + content

    def unknown(self, depth=0):
        number = self.rng.choice([100, 536870911, 77])
        kind = self.rng.randrange(5 if depth < 4 else 4)
        if kind == 0:
            return self.tag(number, 0) + varint(self.rng.getrandbits(64))
        if kind == 1:
            return self.tag(number, 1) + self.rng.randbytes(8)
        if kind == 2:
            return self.bytes(number, self.rng.randbytes(self.rng.choice([0, 3, 200])))
        if kind == 3:
            return self.tag(number, 5) + self.rng.randbytes(4)
        inside = b"".join(self.unknown(depth + 1) for _ in range(self.rng.randrange(3)))
        return self.tag(number, 3) + inside + self.tag(number, 4)

    def message(self, message):
        """Fields keep their order among those of the same number."""
        parts = []
        for field, value in message.ListFields():
            values = value if field.is_repeated else [value]
            chunks = [self.field(field, v) for v in values]
            if self.wild and not field.is_repeated and field.message_type is None and field.containing_oneof is None and self.rng.random() < 0.2:
                chunks.insert(0, self.field(field, field.default_value))  # overwritten
            parts.append(chunks)
        if not self.wild:
            return b"".join(b"".join(chunks) for chunks in parts)
        out = []
        while parts:
            chunks = self.rng.choice(parts)
            out.append(chunks.pop(0))
            if not chunks:
                parts.remove(chunks)
            if self.rng.random() < 0.1:
                out.append(self.unknown())
        return b"".join(out)

    def field(self, field, value):
        if field.message_type is not None:
            return self.bytes(field.number, self.message(value))
        if field.type == field.TYPE_STRING:
            return self.bytes(field.number, value.encode())
        if field.type == field.TYPE_BYTES:
            return self.bytes(field.number, value)
        if field.type == field.TYPE_DOUBLE:
            return self.tag(field.number, 1) + struct.pack("<d", value)
        if field.type == field.TYPE_FIXED64:
            return self.tag(field.number, 1) + struct.pack("<Q", value)
        if field.type == field.TYPE_FIXED32:
            return self.tag(field.number, 5) + struct.pack("<I", value)
        return self.tag(field.number, 0) + varint(int(value) & (1 << 64) - 1)


def random_value(rng, value, depth=0):
    kind = rng.randrange(8 if depth < 3 else 6)
    if kind == 0:
        value.string_value = rng.choice(ALPHABET)
    elif kind == 1:
        value.bool_value = rng.random() < 0.5
    elif kind == 2:
        value.int_value = rng.choice([0, 1, -1, 127, 128, 200, 16383, 16384, 2**63 - 1, -(2**63), rng.getrandbits(40)])
    elif kind == 3:
        value.double_value = rng.choice([0.0, -1.5, 1e300, float("inf"), 0.1])
    elif kind == 4:
        value.bytes_value = rng.randbytes(rng.choice([0, 1, 130]))
    elif kind == 6:
        value.array_value.SetInParent()
        for _ in range(rng.randrange(4)):
            random_value(rng, value.array_value.values.add(), depth + 1)
    elif kind == 7:
        value.kvlist_value.SetInParent()
        random_pairs(rng, value.kvlist_value.values, depth + 1)


def random_pairs(rng, pairs, depth=0):
    for _ in range(rng.randrange(5)):
        pair = pairs.add(key=rng.choice(ALPHABET))
        if rng.random() < 0.9:
            random_value(rng, pair.value, depth)


def random_span(rng, span):
    span.trace_id = rng.randbytes(rng.choice([0, 16, 16, 16]))
    span.span_id = rng.randbytes(rng.choice([0, 8, 8, 8]))
    span.parent_span_id = rng.randbytes(rng.choice([0, 8, 8]))
    span.name = rng.choice(ALPHABET)
    span.trace_state = rng.choice(ALPHABET)
    span.kind = rng.choice([0, 1, 2, 3, 4, 5, 9, 1000])
    span.flags = rng.choice([0, 1, 256, 2**32 - 1])
    span.start_time_unix_nano = rng.choice([0, 1, 2**63, 2**64 - 1, 1800000000 * 10**9])
    span.end_time_unix_nano = rng.choice([0, 1, 2**64 - 1, 1800000001 * 10**9])
    span.dropped_attributes_count = rng.choice([0, 5])
    random_pairs(rng, span.attributes)
    for _ in range(rng.choice([0, 0, 1, 3])):
        event = span.events.add(name=rng.choice(ALPHABET), time_unix_nano=rng.getrandbits(60))
        random_pairs(rng, event.attributes)
    for _ in range(rng.choice([0, 0, 1])):
        link = span.links.add(trace_id=rng.randbytes(16), span_id=rng.randbytes(8), flags=1)
        random_pairs(rng, link.attributes)
    if rng.random() < 0.7:
        span.status.code = rng.choice([0, 1, 2, 50, 300])
        span.status.message = rng.choice(ALPHABET)


def random_request(rng):
    request = ExportTraceServiceRequest()
    for _ in range(rng.randrange(4)):
        resource_spans = request.resource_spans.add(schema_url=rng.choice(ALPHABET))
        if rng.random() < 0.8:
            random_pairs(rng, resource_spans.resource.attributes)
            if rng.random() < 0.5:
                resource_spans.resource.attributes.add(key="service.name", value=AnyValue(string_value=rng.choice(ALPHABET)))
        for _ in range(rng.randrange(3)):
            scope = resource_spans.scope_spans.add(schema_url=rng.choice(ALPHABET))
            scope.scope.name = rng.choice(ALPHABET)
            random_pairs(rng, scope.scope.attributes)
            for _ in range(rng.randrange(5)):
                random_span(rng, scope.spans.add())
    return request


# ---- what the bindings read, in the form of tests/tools/otlp_print.c ----


def quoted(text):
    out = '"'
    for c in text:
        out += "\\" + c if c in '"\\' else f"\\u{ord(c):04x}" if c < " " else c
    return out + '"'


def value_text(value, nested=False):
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return quoted(value.string_value) if nested else value.string_value
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "int_value":
        return str(value.int_value)
    if kind == "double_value":
        return "%.17g" % value.double_value
    if kind == "bytes_value":
        return value.bytes_value.hex()
    if kind == "array_value":
        return "[" + ",".join(value_text(v, True) for v in value.array_value.values) + "]"
    if kind == "kvlist_value":
        return "{" + ",".join(quoted(p.key) + ":" + value_text(p.value, True) for p in value.kvlist_value.values) + "}"
    return "null" if nested else ""


def hexed(text):
    return text.encode().hex()


def pairs_of(pairs):
    return [{"key": hexed(pair.key), "value": hexed(value_text(pair.value)), "n": 0} for pair in pairs]


def expected(request):
    spans = []
    for resource_spans in request.resource_spans:
        service = ""
        for pair in resource_spans.resource.attributes:
            if pair.key == "service.name":
                service = pair.value.string_value
        for scope in resource_spans.scope_spans:
            for span in scope.spans:
                exceptions = [event for event in span.events if event.name == "exception"]
                spans.append({
                    "trace_id": span.trace_id.hex() or "0" * 32, "span_id": span.span_id.hex() or "0" * 16,
                    "parent_span_id": span.parent_span_id.hex() or "0" * 16, "service": hexed(service), "name": hexed(span.name),
                    "trace_state": hexed(span.trace_state), "status_message": hexed(span.status.message),
                    "attributes": pairs_of(span.attributes), "exception": pairs_of(exceptions[-1].attributes if exceptions else []),
                    "kind": span.kind, "status": span.status.code, "start": span.start_time_unix_nano, "end": span.end_time_unix_nano,
                })  # fmt: skip
    return spans


def read_all(bodies):
    data = b"".join(struct.pack("<I", len(body)) + body for body in bodies)
    output = subprocess.run([BUILD / "otlp_print"], input=data, stdout=subprocess.PIPE, check=True, timeout=60).stdout
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize("wild", [False, True], ids=["as serializers write", "as nobody writes"])
def test_random_messages_are_read_as_the_official_bindings_read_them(wild):
    rng = random.Random(f"spans, {wild}")
    writer = Writer(rng, wild)
    requests = [random_request(rng) for _ in range(200)]
    bodies = [writer.message(request) for request in requests]
    for request, body, found in zip(requests, bodies, read_all(bodies), strict=True):
        parsed = ExportTraceServiceRequest.FromString(body)
        assert expected(parsed) == expected(request)  # the writer writes what it says
        assert found.get("spans") == expected(parsed), found.get("why")


def test_what_is_cut_off_is_refused_where_the_official_bindings_refuse_it():
    rng = random.Random("cut")
    writer = Writer(rng, True)
    bodies = []
    while len(bodies) < 1000:
        body = writer.message(random_request(rng))
        if body:
            bodies.append(body[: rng.randrange(len(body))])
    refused = 0
    for body, found in zip(bodies, read_all(bodies), strict=True):
        try:
            spans = expected(ExportTraceServiceRequest.FromString(body))
        except DecodeError:
            spans = None
        assert found.get("spans") == spans, body.hex()
        refused += spans is None
    assert refused > 500


def test_groups_must_end_where_they_began():
    start, end, other = b"\xa3\x06", b"\xa4\x06", b"\xac\x06"
    cases = [start + end, start * 20 + end * 20, start, end, start + other, start + b"\x08", start + start + end, start * 200 + end * 200]
    accepted = []
    for body, found in zip(cases, read_all(cases), strict=True):
        try:
            ExportTraceServiceRequest.FromString(body)
            accepted.append(True)
        except DecodeError:
            accepted.append(False)
        assert ("spans" in found) == accepted[-1], body.hex()
    assert accepted == [True, True, False, False, False, False, False, False]
