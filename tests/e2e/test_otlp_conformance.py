"""OTLP over HTTP, line by line: what the OpenTelemetry Collector answers, the agent answers.

Where the agent differs, the case says why. Bodies in tests/data/otlp/edges were answered by the Collector with the status
that their folder names."""

import gzip
import json
import socket
import zlib

import pytest
from google.rpc.status_pb2 import Status

from support.agent import ROOT, free_port

DATA = ROOT / "tests/data/otlp"
GOOD = (DATA / "python-sdk-protobuf-00.bin").read_bytes()
GOOD_JSON = (DATA / "python-encoder-json-00.json").read_bytes()
PROTOBUF, JSON = "application/x-protobuf", "application/json"
LIMIT = 65536


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    from support.agent import Agent

    port = free_port()
    agent = Agent(
        tmp_path_factory.mktemp("agent"),
        dict(TEMPO_ENABLED="false", SPANWATCH_OTLP_HTTP_ADDRESS=f"127.0.0.1:{port}", SPANWATCH_OTLP_MAX_BODY_BYTES=LIMIT),
    )  # fmt: skip
    agent.start().wait_ready()
    yield port
    assert agent.running, agent.log()[-3000:]
    assert agent.stop() == 0, agent.log()[-3000:]


class Answer:
    def __init__(self, head, body):
        lines = head.decode("latin-1").split("\r\n")
        self.version, status = lines[0].split(" ")[:2]
        self.status = int(status)
        self.headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
        self.body = body

    @property
    def type(self):
        return self.headers.get("content-type", "")


def parse(got, method):
    """The whole answers in what came."""
    answers = []
    while b"\r\n\r\n" in got:
        head, _, rest = got.partition(b"\r\n\r\n")
        answer = Answer(head, b"")
        size = 0 if method == "HEAD" or answer.status == 100 else int(answer.headers.get("content-length", 0))
        if len(rest) < size:
            break
        answer.body, got = rest[:size], rest[size:]
        answers.append(answer)
    return answers


def talk(port, *pieces, n=1, method="POST"):
    """Sends bytes on a connection of their own: the answers, n of them and what comes on top."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except OSError:
                break  # refused before all was sent
        got = b""
        while True:
            connection.settimeout(20 if len(parse(got, method)) < n else 0.02)
            try:
                piece = connection.recv(65536)
            except OSError:
                return parse(got, method)
            if not piece:
                return parse(got, method)
            got += piece


def request(body=b"", kind=PROTOBUF, path="/v1/traces", method="POST", version="HTTP/1.1", host="Host: x", length=True, **headers):
    lines = [f"{method} {path} {version}"] + ([host] if host else [])
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*pieces, end=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


CASES = {
    # What is taken.
    "protobuf": (dict(body=GOOD), 200),
    "protobuf, empty": (dict(body=b""), 200),
    "protobuf, gzip": (dict(body=gzip.compress(GOOD), Content_Encoding="gzip"), 200),
    "protobuf, deflate": (dict(body=zlib.compress(GOOD), Content_Encoding="deflate"), 200),
    "json": (dict(body=GOOD_JSON, kind=JSON), 200),
    "json, charset": (dict(body=GOOD_JSON, kind=JSON + "; charset=utf-8"), 200),
    "json, upper case": (dict(body=GOOD_JSON, kind="Application/JSON"), 200),
    "json, gzip": (dict(body=gzip.compress(GOOD_JSON), kind=JSON, Content_Encoding="gzip"), 200),
    "json, {}": (dict(body=b"{}", kind=JSON), 200),
    "json, null": (dict(body=b"null", kind=JSON), 200),
    "json, no resources": (dict(body=b'{"resourceSpans":[]}', kind=JSON), 200),
    "json, the same key twice": (dict(body=b'{"resourceSpans":[],"resourceSpans":[]}', kind=JSON), 200),
    "HTTP/1.0": (dict(body=b"{}", kind=JSON, version="HTTP/1.0"), 200),
    # What cannot be read.
    "json, empty": (dict(body=b"", kind=JSON), 400),
    "json, no length": (dict(body=b"", kind=JSON, length=False), 400),
    "json, an array": (dict(body=b"[]", kind=JSON), 400),
    "json, cut": (dict(body=GOOD_JSON[:-5], kind=JSON), 400),
    "json as protobuf": (dict(body=GOOD_JSON), 400),
    "protobuf, cut": (dict(body=GOOD[:-3]), 400),
    "protobuf, rubbish": (dict(body=b"\xff" * 100), 400),
    "gzip without saying so": (dict(body=gzip.compress(GOOD)), 400),
    "plain but said to be gzip": (dict(body=GOOD, Content_Encoding="gzip"), 400),
    "gzip, cut": (dict(body=gzip.compress(GOOD)[:-9], Content_Encoding="gzip"), 400),
    "br": (dict(body=GOOD, Content_Encoding="br"), 400),
    # Where the Collector stumbles and answers 500.
    "protobuf as json": (dict(body=GOOD, kind=JSON), 400),
    "json, byte order mark": (dict(body=b"\xef\xbb\xbf{}", kind=JSON), 400),
    # The Collector takes what follows a whole JSON value without reading it: here it is a mistake of the sender.
    "json, rubbish behind": (dict(body=b"{} x", kind=JSON), 400),
    # The Collector takes it; RFC 8259 says that JSON is UTF-8.
    "json, not UTF-8": (dict(body=b'{"resourceSpans":[],"x":"\xff\xfe"}', kind=JSON), 400),
    # The Collector refuses it; RFC 9110 says that it means nothing.
    "identity": (dict(body=GOOD, Content_Encoding="identity"), 200),
    # The Collector answers 400; RFC 9110 has a status for it.
    "too large": (dict(body=b"x" * (LIMIT + 1)), 413),
    "too large by far": (dict(body=b"x" * (8 << 20)), 413),
    "too large when decompressed": (dict(body=gzip.compress(b"\n" * (64 << 20)), Content_Encoding="gzip"), 413),
    "too large, json": (dict(body=b" " * LIMIT + b"{}", kind=JSON), 413),
    # Not OTLP.
    "no content type": (dict(body=GOOD, kind=None), 415),
    "another content type": (dict(body=GOOD, kind="application/protobuf"), 415),
    "no content type at all": (dict(body=GOOD, kind="a;b;;"), 415),
    "text": (dict(body=GOOD, kind="text/plain"), 415),
    "GET": (dict(kind=None, method="GET"), 405),
    "HEAD": (dict(kind=None, method="HEAD"), 405),
    "OPTIONS": (dict(kind=None, method="OPTIONS"), 405),
    "PUT": (dict(body=GOOD, method="PUT"), 405),
    "another path": (dict(body=GOOD, path="/v1/nosuch"), 404),
    "a slash behind": (dict(body=GOOD, path="/v1/traces/"), 404),
    "no path": (dict(body=GOOD, path="/"), 404),
    "logs": (dict(body=b"", path="/v1/logs"), 404),
}


@pytest.mark.parametrize("name", CASES)
def test_a_request_has_the_answer_of_a_conforming_receiver(port, name):
    arguments, status = CASES[name]
    (answer,) = talk(port, request(**arguments), method=arguments.get("method", "POST"))
    assert answer.status == status, answer.body
    json_asked = (arguments.get("kind", PROTOBUF) or "").lower().startswith(JSON)
    if status == 200:
        assert (answer.type, answer.body) == ((JSON, b'{"partialSuccess":{}}') if json_asked else (PROTOBUF, b"\x0a\x00"))
    elif status == 400 or "decompressed" in name:
        assert answer.type == (JSON if json_asked else PROTOBUF)
        code = json.loads(answer.body)["code"] if json_asked else Status.FromString(answer.body).code
        assert code == 3
    else:
        assert answer.type.startswith("text/plain")
    if status == 405:
        assert answer.headers["allow"] == "POST"
    if name == "HTTP/1.0":
        assert answer.version in ("HTTP/1.0", "HTTP/1.1")


@pytest.mark.parametrize("path", sorted(DATA.glob("edges/*/*.json")), ids=lambda path: path.stem)
def test_json_is_read_as_the_collector_reads_it(port, path):
    (answer,) = talk(port, request(path.read_bytes(), JSON))
    assert (answer.status, answer.type) == (int(path.parent.name), JSON), answer.body
    if answer.status == 400:
        assert json.loads(answer.body)["code"] == 3 and json.loads(answer.body)["message"]


GOOD_REQUEST = request(b"{}", JSON)
RAW = {
    "chunked": ([request(chunked(b"{", b"}"), JSON, length=False, Transfer_Encoding="chunked")], [200]),
    "a chunk that is none": ([request(b"zz\r\n{}\r\n0\r\n\r\n", JSON, length=False, Transfer_Encoding="chunked")], [400]),
    "chunked wins over the length": ([request(chunked(b"{}"), JSON, length=False, Content_Length=2, Transfer_Encoding="chunked")], [200]),
    "Expect: 100-continue": ([request(b"{}", JSON, Expect="100-continue")], [100, 200]),
    "two lengths": ([request(b"{}", JSON, content_length=3)], [400]),
    "no Host": ([request(b"{}", JSON, host=None)], [400]),
    "pipelined": ([GOOD_REQUEST * 3], [200, 200, 200]),
    "Connection: close": ([request(b"{}", JSON, Connection="close") + GOOD_REQUEST], [200]),
    "headers without end": ([request(b"{}", JSON, X="a" * (2 << 20))], [431]),
    "rubbish": ([b"rubbish / x\r\n\r\n"], [400]),
    "HTTP/2": ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], [505]),
    "a body that does not come": ([request(b"{}", JSON, length=False, Content_Length=50)], []),
    "a negative length": ([request(b"{}", JSON, length=False, Content_Length=-1)], [400]),
    "byte by byte": ([bytes([byte]) for byte in GOOD_REQUEST], [200]),
}


@pytest.mark.parametrize("name", RAW)
def test_http_itself_is_spoken_as_it_should_be(port, name):
    pieces, statuses = RAW[name]
    got = [answer.status for answer in talk(port, *pieces, n=len(statuses))]
    assert got == statuses
    assert [answer.status for answer in talk(port, GOOD_REQUEST)] == [200]
