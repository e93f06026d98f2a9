"""How Tempo is reached: tenants, prefixes, credentials, TLS, proxies, compression."""

import time

import pytest
from support.agent import eventually
from test_exact import assert_told_exactly


def plant(tempo, traffic, tenant=""):
    now = time.time()
    traffic.mixed(60, now - 30, now - 6, slow=0.3, failed=0.3)
    tempo.plant(traffic, tenant)


def all_told(webhook, traffic, agent):
    truth = len(traffic.slow()) + len(traffic.failed())
    eventually(lambda: len(webhook.reported("high_latency") + webhook.reported("error_status")) >= truth, f"{truth} alerts")
    agent.wait_delivered()
    assert_told_exactly(webhook, traffic, agent)


def test_a_tenant_sees_its_own_traces_only(make_tempo, webhook, make_agent, traffic):
    from support.traffic import Traffic

    tempo = make_tempo("3", cutoff_s=0, tenants=("team-a", "team-b"))
    plant(tempo, traffic, "team-a")
    plant(tempo, Traffic(99), "team-b")
    agent = make_agent(tempo, webhook, TEMPO_TENANT="team-a").wait_ready()
    all_told(webhook, traffic, agent)


def test_a_missing_tenant_is_said_by_readiness(make_tempo, webhook, make_agent):
    tempo = make_tempo("3", cutoff_s=0, tenants=("team-a",))
    agent = make_agent(tempo, webhook).wait_listening()
    eventually(lambda: "no org id" in (agent.get("/-/ready") or (0, ""))[1] or "401" in (agent.get("/-/ready") or (0, ""))[1], "why it is not ready")
    assert agent.get("/-/ready")[0] == 503
    assert agent.metric("trace_alert_checks_total", status="success") == 0


def test_several_tenants_at_once(make_tempo, webhook, make_agent, traffic):
    tempo = make_tempo("3", cutoff_s=0, tenants=("a", "b", "c"))
    now = time.time()
    for tenant in "abc":
        tempo.plant([traffic.trace(now - 9, duration_ms=1500, service=tenant, operation="x")], tenant)
    make_agent(tempo, webhook, TEMPO_TENANT="a|b").wait_ready().wait_delivered()
    eventually(lambda: len(webhook.bodies("high_latency")) >= 2, "two alerts")
    assert {body["service"] for body in webhook.bodies("high_latency")} == {"a", "b"}


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_url_prefix_is_kept(make_tempo, webhook, make_agent, traffic, slash):
    tempo = make_tempo("3", cutoff_s=0, prefix="/observability/tempo")
    plant(tempo, traffic)
    agent = make_agent(None, webhook, TEMPO_URL=tempo.url + tempo.prefix + slash).wait_ready()
    all_told(webhook, traffic, agent)


def test_basic_credentials_come_from_a_file(make_tempo, webhook, make_agent, traffic, tmp_path):
    (tmp_path / "basic").write_text("alice:secret\n")
    tempo = make_tempo("3", cutoff_s=0, require_header=("authorization", "Basic YWxpY2U6c2VjcmV0"))
    plant(tempo, traffic)
    all_told(webhook, traffic, make_agent(tempo, webhook, TEMPO_BASIC_AUTH_FILE=tmp_path / "basic").wait_ready())


def test_a_bearer_token_is_read_again_when_its_file_changes(make_tempo, webhook, make_agent, traffic, tmp_path):
    token = tmp_path / "token"
    token.write_text("one\n")
    tempo = make_tempo("3", cutoff_s=0, require_header=("authorization", "Bearer one"))
    plant(tempo, traffic)
    agent = make_agent(tempo, webhook, TEMPO_BEARER_TOKEN_FILE=token).wait_ready()
    tempo.require_header = ("authorization", "Bearer two-two")
    eventually(lambda: agent.get("/-/ready")[0] == 503 or agent.metric("trace_alert_checks_total", status="error") > 0, "refusals")
    token.write_text("two-two\n")
    agent.wait_ready()
    all_told(webhook, traffic, agent)


def test_further_headers_are_sent(make_tempo, webhook, make_agent, traffic):
    tempo = make_tempo("3", cutoff_s=0, require_header=("x-api-key", "abc"))
    plant(tempo, traffic)
    all_told(webhook, traffic, make_agent(tempo, webhook, TEMPO_HEADERS="X-Other: 1; X-Api-Key: abc").wait_ready())


def test_tls_is_checked_against_the_ca_file(make_tempo, webhook, make_agent, traffic, server_tls, certificates):
    tempo = make_tempo("3", cutoff_s=0, tls=server_tls)
    plant(tempo, traffic)
    distrusting = make_agent(tempo, webhook, folder="distrusting").wait_listening()
    eventually(lambda: distrusting.metric("trace_alert_checks_total", status="error") >= 1, "a refusal")
    assert not tempo.questions()
    distrusting.kill()
    agent = make_agent(tempo, webhook, folder="trusting", TEMPO_CA_FILE=certificates / "ca.pem").wait_ready()
    all_told(webhook, traffic, agent)


def test_insecure_tls_is_a_choice(make_tempo, webhook, make_agent, traffic, server_tls):
    tempo = make_tempo("3", cutoff_s=0, tls=server_tls)
    plant(tempo, traffic)
    all_told(webhook, traffic, make_agent(tempo, webhook, TEMPO_ALERT_INSECURE_TLS="true").wait_ready())


def test_a_client_certificate_is_shown(make_tempo, webhook, make_agent, traffic, mutual_tls, certificates):
    tempo = make_tempo("3", cutoff_s=0, tls=mutual_tls)
    plant(tempo, traffic)
    agent = make_agent(
        tempo, webhook, TEMPO_CA_FILE=certificates / "ca.pem", TEMPO_CLIENT_CERT_FILE=certificates / "client.pem",
        TEMPO_CLIENT_KEY_FILE=certificates / "client.key",
    ).wait_ready()  # fmt: skip
    all_told(webhook, traffic, agent)


def test_a_proxy_is_used_and_no_proxy_is_kept(make_tempo, webhook, make_agent, traffic):
    tempo = make_tempo("3", cutoff_s=0)
    plant(tempo, traffic)
    agent = make_agent(None, webhook, TEMPO_URL="http://tempo.example:3200", http_proxy=tempo.url, HTTP_PROXY=tempo.url, NO_PROXY="127.0.0.1").wait_ready()
    all_told(webhook, traffic, agent)
    assert tempo.proxied > 0


def test_compressed_answers_are_read(make_tempo, webhook, make_agent, traffic):
    tempo = make_tempo("3", cutoff_s=0)
    tempo.compress = True
    plant(tempo, traffic)
    all_told(webhook, traffic, make_agent(tempo, webhook).wait_ready())
    assert any("gzip" in request.headers.get("accept-encoding", "") for request in tempo.questions())


def test_the_source_can_be_turned_off(webhook, make_agent):
    agent = make_agent(None, webhook, TEMPO_ENABLED="false", SPANWATCH_OTLP_HTTP_ADDRESS="", TEMPO_URL="http://127.0.0.1:1").wait_ready()
    agent.wait_ticks(1)
    assert agent.metric("trace_alert_checks_total") == 0
