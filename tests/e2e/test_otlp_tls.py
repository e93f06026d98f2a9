"""Spans received over TLS, HTTP and gRPC: certificates of the agent that may change, and those that senders must show."""

import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from support.agent import ROOT, free_port, run

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
GOOD = (ROOT / "tests/data/otlp/python-sdk-protobuf-00.bin").read_bytes()


@pytest.fixture
def receiver(make_agent, webhook, certificates, tmp_path):
    """Starts an agent that receives over TLS; its certificate is a copy that may be changed."""

    def make(**env):
        for name in ("server.pem", "server.key"):
            shutil.copy(certificates / name, tmp_path / name)
        http, rpc = free_port(), free_port()
        agent = make_agent(
            None, webhook, TEMPO_ENABLED="false", SPANWATCH_OTLP_HTTP_ADDRESS=f"127.0.0.1:{http}",
            SPANWATCH_OTLP_GRPC_ADDRESS=f"127.0.0.1:{rpc}", SPANWATCH_OTLP_TLS_CERT_FILE=tmp_path / "server.pem",
            SPANWATCH_OTLP_TLS_KEY_FILE=tmp_path / "server.key", **env,
        )  # fmt: skip
        agent.http, agent.grpc = http, rpc
        return agent.wait_ready()

    return make


def over_http(agent, ca, client=None):
    """The status, or None when there is no TLS connection."""
    context = ssl.create_default_context(cafile=ca)
    if client:
        context.load_cert_chain(client / "client.pem", client / "client.key")
    request = urllib.request.Request(f"https://127.0.0.1:{agent.http}/v1/traces", GOOD, {"Content-Type": "application/x-protobuf"})
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def over_grpc(agent, ca, client=None):
    pair = [(client / name).read_bytes() for name in ("client.key", "client.pem")] if client else [None, None]
    credentials = grpc.ssl_channel_credentials(ca.read_bytes(), *pair)
    with grpc.secure_channel(f"127.0.0.1:{agent.grpc}", credentials) as channel:
        method = channel.unary_unary(EXPORT, request_serializer=bytes, response_deserializer=ExportTraceServiceResponse.FromString)
        try:
            return method.with_call(GOOD, timeout=10)[1].code()
        except grpc.RpcError as error:
            return error.code()


def test_spans_come_over_tls_and_over_nothing_else(receiver, certificates):
    agent = receiver()
    assert over_http(agent, certificates / "ca.pem") == 200
    assert over_grpc(agent, certificates / "ca.pem") == grpc.StatusCode.OK
    with grpc.insecure_channel(f"127.0.0.1:{agent.grpc}") as channel:
        method = channel.unary_unary(EXPORT, request_serializer=bytes, response_deserializer=bytes)
        with pytest.raises(grpc.RpcError):
            method(GOOD, timeout=10)
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{agent.http}/v1/traces", timeout=10)
    # A client that speaks TLS but not HTTP/2 is sent away.
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    context.set_alpn_protocols(["http/1.1"])
    with socket.create_connection(("127.0.0.1", agent.grpc), timeout=10) as plain, pytest.raises(OSError):
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped:
            wrapped.recv(1)
    assert agent.metric("spanwatch_otlp_grpc_requests_total", code="OK") == 1


def test_a_changed_certificate_is_used_and_one_without_its_key_is_not(receiver, certificates, tmp_path):
    agent = receiver()
    new = tmp_path / "new"
    new.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key", "-out",
         "cert", "-days", "2", "-subj", "/CN=new", "-addext", "subjectAltName=IP:127.0.0.1"], cwd=new, check=True, capture_output=True,
    )  # fmt: skip
    shutil.copy(new / "cert", tmp_path / "server.pem")  # the key is still the old one
    assert over_http(agent, certificates / "ca.pem") == 200
    assert over_grpc(agent, certificates / "ca.pem") == grpc.StatusCode.OK
    assert "the TLS certificate that was read last is used on" in agent.log()
    shutil.copy(new / "key", tmp_path / "server.key")
    assert over_http(agent, new / "cert") == 200
    assert over_grpc(agent, new / "cert") == grpc.StatusCode.OK
    assert over_http(agent, certificates / "ca.pem") is None
    assert over_grpc(agent, certificates / "ca.pem") == grpc.StatusCode.UNAVAILABLE


def test_senders_must_show_a_certificate_when_an_authority_is_set(receiver, certificates):
    agent = receiver(SPANWATCH_OTLP_TLS_CLIENT_CA_FILE=certificates / "ca.pem")
    assert over_http(agent, certificates / "ca.pem", client=certificates) == 200
    assert over_grpc(agent, certificates / "ca.pem", client=certificates) == grpc.StatusCode.OK
    assert over_http(agent, certificates / "ca.pem") is None
    assert over_grpc(agent, certificates / "ca.pem") == grpc.StatusCode.UNAVAILABLE


def test_generate_sends_over_tls_with_a_token(receiver, certificates, tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    agent = receiver(SPANWATCH_OTLP_BEARER_TOKEN_FILE=token)
    command = ("generate", "--endpoint", f"https://127.0.0.1:{agent.http}", "--for", "1s")
    done = run(*command, "--ca-file", certificates / "ca.pem", "--bearer-token-file", token, cwd=tmp_path)
    assert done.returncode == 0 and " 0 requests failed" in done.stdout, done.stdout + done.stderr
    for missing in (("--ca-file", certificates / "ca.pem"), ("--bearer-token-file", token)):
        done = run(*command, *missing, cwd=tmp_path)
        assert done.returncode == 1 and ("401" in done.stderr or "TLS" in done.stderr), done.stderr


def test_a_certificate_that_cannot_be_used_is_said_at_the_start(make_agent, webhook, certificates):
    agent = make_agent(
        None, webhook, TEMPO_ENABLED="false", SPANWATCH_OTLP_HTTP_ADDRESS=f"127.0.0.1:{free_port()}",
        SPANWATCH_OTLP_TLS_CERT_FILE=certificates / "server.pem", SPANWATCH_OTLP_TLS_KEY_FILE=certificates / "client.key",
    )  # fmt: skip
    assert agent.process.wait(30) == 78
    assert "server.pem" in agent.log() and "client.key" in agent.log()


def test_a_certificate_that_cannot_be_used_is_no_reason_to_go_on_without_spans(tempo, make_agent, webhook, certificates):
    agent = make_agent(
        tempo, webhook, start=False, SPANWATCH_OTLP_TLS_CERT_FILE=certificates / "server.pem",
        SPANWATCH_OTLP_TLS_KEY_FILE=certificates / "client.key",
    )  # fmt: skip
    for name in ("SPANWATCH_OTLP_HTTP_ADDRESS", "SPANWATCH_OTLP_GRPC_ADDRESS"):
        agent.env.pop(name, None)  # the default ones, which may be taken
    assert agent.start().process.wait(30) == 78
    assert "client.key" in agent.log()


def test_an_open_address_is_warned_of(make_agent, webhook, tmp_path):
    agent = make_agent(None, webhook, TEMPO_ENABLED="false", SPANWATCH_OTLP_HTTP_ADDRESS=f"0.0.0.0:{free_port()}").wait_ready()
    assert "anybody who reaches this machine can send spans" in agent.log()
    token = tmp_path / "token"
    token.write_text("t")
    agent = make_agent(
        None, webhook, TEMPO_ENABLED="false", SPANWATCH_OTLP_HTTP_ADDRESS=f"0.0.0.0:{free_port()}", SPANWATCH_OTLP_BEARER_TOKEN_FILE=token,
    )  # fmt: skip
    agent.wait_ready()
    assert "anybody who reaches" not in agent.log()
