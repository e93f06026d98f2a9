"""The API over TLS and with a password: for programs, for the agent's own verbs and for amtool."""

import base64
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request

import pytest

from support.agent import eventually, run
from support.servers import AMTOOL, needs_amtool


def ask(agent, path, ca, authorization=None, method="GET"):
    """(status, challenges); None when there is no TLS connection."""
    context = ssl.create_default_context(cafile=ca)
    headers = {"Authorization": authorization} if authorization else {}
    request = urllib.request.Request(f"https://127.0.0.1:{agent.port}{path}", method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.status, answer.headers.get_all("WWW-Authenticate")
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get_all("WWW-Authenticate")
    except OSError:
        return None


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.fixture
def secured(tempo, webhook, make_agent, certificates, tmp_path):
    """An agent that speaks TLS, with a password and a token."""
    (tmp_path / "password").write_text("admin:pässword\n")
    (tmp_path / "token").write_text("t0ken\n")
    for name in ("server.pem", "server.key"):
        shutil.copy(certificates / name, tmp_path / name)
    agent = make_agent(
        tempo, webhook, start=False, SPANWATCH_LISTEN_BASIC_AUTH_FILE=tmp_path / "password",
        SPANWATCH_LISTEN_BEARER_TOKEN_FILE=tmp_path / "token", SPANWATCH_LISTEN_TLS_CERT_FILE=tmp_path / "server.pem",
        SPANWATCH_LISTEN_TLS_KEY_FILE=tmp_path / "server.key",
    )  # fmt: skip
    agent.env["SPANWATCH_LISTEN_ADDRESS"] = f":{agent.port}"
    agent.start()
    eventually(lambda: (ask(agent, "/-/ready", certificates / "ca.pem") or (0,))[0] == 200, lambda: agent.log()[-2000:])
    return agent


def test_a_password_or_a_token_opens_what_is_closed(secured, certificates, tmp_path):
    ca = certificates / "ca.pem"
    assert ask(secured, "/metrics", ca)[0] == 200
    status, challenges = ask(secured, "/api/v1/status", ca)
    assert status == 401 and [text.split()[0] for text in challenges] == ["Bearer", "Basic"]
    wrong = ("", basic(""), basic("admin:"), basic("admin"), basic("admin:pässword2"), basic("Admin:pässword"), "Basic ====",
             "Basic " + "A" * 5000, "Bearer " + base64.b64encode("admin:pässword".encode()).decode(), basic("t0ken"))  # fmt: skip
    for shown in wrong:
        assert ask(secured, "/api/v1/status", ca, shown)[0] == 401, shown
    for shown in (basic("admin:pässword"), "bearer t0ken", basic("admin:pässword").replace("Basic", "basic")):
        assert ask(secured, "/api/v1/status", ca, shown)[0] == 200, shown
    (tmp_path / "password").write_text("admin:another")
    assert ask(secured, "/api/v1/status", ca, basic("admin:pässword"))[0] == 401
    assert ask(secured, "/api/v1/status", ca, basic("admin:another"))[0] == 200
    for secret in ("pässword", "t0ken", base64.b64encode("admin:pässword".encode()).decode()):
        assert secret not in secured.log()


def test_plain_http_is_not_answered_and_a_renewed_certificate_is_used(secured, certificates, tmp_path):
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{secured.port}/metrics", timeout=10)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.pem", "-days", "2",
         "-subj", "/CN=new", "-addext", "subjectAltName=IP:127.0.0.1"], cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    assert ask(secured, "/metrics", tmp_path / "server.pem")[0] == 200
    assert ask(secured, "/metrics", certificates / "ca.pem") is None


def test_the_verbs_ask_over_tls_whoever_has_the_key_of_the_certificate(secured, certificates, tmp_path):
    env = {name: value for name, value in secured.env.items() if name.startswith("SPANWATCH_LISTEN")}
    assert run("silence", "add", "high_latency", "--comment", "why", env=env, cwd=tmp_path).returncode == 0
    del env["SPANWATCH_LISTEN_BEARER_TOKEN_FILE"]
    listed = run("silence", "list", env=env, cwd=tmp_path)
    assert "high_latency" in listed.stdout, listed.stderr
    del env["SPANWATCH_LISTEN_BASIC_AUTH_FILE"]
    refused = run("silence", "list", env=env, cwd=tmp_path)
    assert refused.returncode == 1 and "401" in refused.stderr
    env["SPANWATCH_LISTEN_TLS_CERT_FILE"] = certificates / "client.pem"
    env["SPANWATCH_LISTEN_TLS_KEY_FILE"] = certificates / "client.key"
    other = run("silence", "list", env=env, cwd=tmp_path)
    assert other.returncode == 1 and "public key" in other.stderr.lower()


@needs_amtool
def test_amtool_works_over_tls_with_a_password(secured, certificates, tmp_path):
    config = tmp_path / "amtool.yaml"
    (tmp_path / "password").write_text("admin:plain")
    config.write_text(
        f"basic_auth:\n  username: admin\n  password: plain\ntls_config:\n  ca_file: {certificates / 'ca.pem'}\n"
    )

    def amtool(*args):
        return subprocess.run(
            [AMTOOL, f"--alertmanager.url=https://127.0.0.1:{secured.port}", f"--http.config.file={config}", *args],
            capture_output=True, text=True, timeout=60, cwd=tmp_path, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip

    added = amtool("silence", "add", "alertname=high_latency", "--comment=why", "--author=me")
    assert added.returncode == 0, added.stderr
    assert "high_latency" in amtool("silence", "query").stdout
    config.write_text(config.read_text().replace("password: plain", "password: wrong"))
    assert amtool("silence", "query").returncode != 0
