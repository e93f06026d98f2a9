"""Metrics and health are open; all else needs the token, or a listener that only this machine reaches."""

import json
import urllib.error
import urllib.request

from support.agent import run

OPEN = ("/metrics", "/-/healthy", "/-/ready")
CLOSED = (("GET", "/api/v1/status"), ("GET", "/api/v2/silences"), ("POST", "/-/reload"), ("DELETE", "/api/v2/silence/0"))


def ask(agent, method, path, **headers):
    """(status, headers, body)"""
    request = urllib.request.Request(f"http://127.0.0.1:{agent.port}{path}", method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def test_beyond_loopback_without_a_token_only_metrics_and_health_are_answered(tempo, webhook, make_agent):
    agent = make_agent(tempo, webhook, start=False)
    agent.env["SPANWATCH_LISTEN_ADDRESS"] = f":{agent.port}"
    agent.start().wait_ready()
    for path in OPEN:
        assert ask(agent, "GET", path)[0] == 200
    for method, path in CLOSED:
        status, _, body = ask(agent, method, path)
        assert status == 403 and "SPANWATCH_LISTEN_BEARER_TOKEN_FILE" in json.loads(body)["error"]


def test_with_a_token_all_but_metrics_and_health_need_it_and_it_may_change(tempo, webhook, make_agent, tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    agent = make_agent(tempo, webhook, start=False, SPANWATCH_LISTEN_BEARER_TOKEN_FILE=token)
    agent.env["SPANWATCH_LISTEN_ADDRESS"] = f":{agent.port}"
    agent.start().wait_ready()
    for path in OPEN:
        assert ask(agent, "GET", path)[0] == 200
    for method, path in CLOSED:
        for shown in (None, "Bearer ", "Bearer s3cre", "Bearer s3cret ", "Bearer S3CRET", "Basic s3cret", "s3cret"):
            status, headers, _ = ask(agent, method, path, **({"Authorization": shown} if shown else {}))
            if shown != "Bearer s3cret ":  # servers may take the space from the end of a header
                assert status == 401 and headers["WWW-Authenticate"].startswith("Bearer")
    assert ask(agent, "GET", "/api/v1/status", Authorization="Bearer s3cret")[0] == 200
    assert "s3cret" not in agent.log()

    without = run("silence", "list", env={"SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{agent.port}"}, cwd=tmp_path)
    assert without.returncode == 1 and "401" in without.stderr
    environment = {"SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{agent.port}", "SPANWATCH_LISTEN_BEARER_TOKEN_FILE": token}
    assert run("silence", "add", "high_latency", "--comment", "why", env=environment, cwd=tmp_path).returncode == 0
    assert "high_latency" in run("silence", "list", env=environment, cwd=tmp_path).stdout

    token.write_text("another one\n")
    assert ask(agent, "GET", "/api/v1/status", Authorization="Bearer s3cret")[0] == 401
    assert ask(agent, "GET", "/api/v1/status", Authorization="Bearer another one")[0] == 200

    token.unlink()
    for _ in range(3):
        assert ask(agent, "GET", "/api/v1/status", Authorization="Bearer another one")[0] == 401
    assert agent.log().count("nobody is admitted") == 1, "said once, whoever asks how often"
    token.write_text("a third")
    assert ask(agent, "GET", "/api/v1/status", Authorization="Bearer a third")[0] == 200


def test_a_page_of_another_origin_changes_nothing(tempo, webhook, make_agent):
    agent = make_agent(tempo, webhook).wait_ready()
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        assert ask(agent, "POST", "/-/reload", Origin=origin)[0] == 403
        assert ask(agent, "GET", "/api/v1/status", Origin=origin)[0] == 200
    assert ask(agent, "POST", "/-/reload", Origin=f"http://127.0.0.1:{agent.port}")[0] == 200
    assert ask(agent, "POST", "/-/reload")[0] == 200
