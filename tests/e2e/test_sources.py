"""Tempo and spans that are sent to the agent, both at once; and either alone where the other is not there."""

import contextlib
import socket
import time

import pytest
from opentelemetry.trace import SpanKind
from opentelemetry.trace import Status as SpanStatus
from opentelemetry.trace import StatusCode
from support.agent import eventually, free_port
from test_backend_trouble import any_question, steady
from test_otlp import Sdk

DETECTOR = """
return {
  %s
  wants = { min_duration_ms = 1000 },
  check = function(ctx)
    local findings = {}
    for _, trace in ipairs(ctx.window.traces) do
      findings[#findings + 1] = { type = "%s", trace = trace, labels = { seen_by = ctx.window.source } }
    end
    return findings
  end,
}
"""


@pytest.fixture
def both(make_agent, tempo, webhook, scripts):
    def make(**env):
        port = free_port()
        agent = make_agent(
            tempo, webhook, folder="both", SPANWATCH_OTLP_HTTP_ADDRESS=f"127.0.0.1:{port}", SPANWATCH_OTLP_SETTLE_SECS=1,
            SPANWATCH_SCRIPTS_DIR=scripts, **env,
        )  # fmt: skip
        agent.otlp_port = port
        return agent.wait_ready()

    return make


def send(agent, *durations_ms, service="checkout"):
    sdk = Sdk(agent, service)
    ids = [sdk.request("POST /orders", duration_ms) for duration_ms in durations_ms]
    sdk.close()
    return ids


def hold(tempo, traffic, seconds_ago):
    """Tempo has a slow trace of then; its id."""
    spans = traffic.trace(time.time() - seconds_ago, duration_ms=1500)
    tempo.plant([spans])
    return spans[0].trace_id


def send_failures(agent, n):
    sdk = Sdk(agent, "checkout")
    for _ in range(n):
        root = sdk.tracer.start_span("POST /orders", kind=SpanKind.SERVER)
        root.set_status(SpanStatus(StatusCode.ERROR, "no"))
        root.end()
    sdk.close()


def test_findings_carry_their_source_and_a_detector_may_ask_for_one(both, tempo, webhook, scripts, traffic):
    (scripts / "all.lua").write_text(DETECTOR % ("", "of_all"))
    (scripts / "sent.lua").write_text(DETECTOR % ("source = 'otlp',", "of_otlp"))
    (scripts / "asked.lua").write_text(DETECTOR % ("sources = { 'tempo' },", "of_tempo"))
    asked = hold(tempo, traffic, 3)
    agent = both()
    sent = send(agent, 1700)[0]
    for anomaly_type, ids in {"of_all": {asked, sent}, "of_otlp": {sent}, "of_tempo": {asked}, "high_latency": {asked, sent}}.items():
        eventually(lambda t=anomaly_type, i=ids: set(webhook.reported(t)) == i, f"{anomaly_type} is told")
    agent.wait_delivered()
    for anomaly_type in ("of_all", "of_otlp", "of_tempo"):
        for body in webhook.bodies(anomaly_type, "firing"):
            source = "tempo" if body["traces"][0]["trace_id"] == asked else "otlp"
            assert body["source"] == source and body["labels"]["seen_by"] == source
    assert [source["name"] for source in agent.status()["sources"]] == ["tempo", "otlp"]
    detectors = {detector["name"]: detector["sources"] for detector in agent.status()["detectors"]}
    assert detectors == {"all": ["tempo", "otlp"], "asked": ["tempo"], "detect": ["tempo", "otlp"], "sent": ["otlp"]}
    for source in ("tempo", "otlp"):
        assert agent.metric("trace_alert_checks_total", status="success", source=source) > 0
        assert agent.metrics().total("spanwatch_watermark_age_seconds", detector="all", source=source) > 0
    assert not agent.metrics().total("spanwatch_watermark_age_seconds", detector="sent", source="tempo")


def test_one_source_that_is_away_does_not_keep_the_other_from_being_watched(both, tempo, webhook, traffic):
    agent = both()
    tempo.fault("status", status=503, when=any_question)
    body = eventually(lambda: webhook.bodies("source_unreachable", "firing"), "an alert about Tempo")[0]
    assert body["labels"]["source"] == "tempo"
    status, text = agent.get("/-/ready")
    assert status == 503 and "tempo does not answer" in text
    sent = send(agent, 1500)
    eventually(lambda: webhook.reported("high_latency") == sent, "the slow trace is told")
    agent.kill()
    agent.start().wait_listening()
    agent.wait_ticks(4)
    assert not webhook.bodies("source_unreachable", "resolved")
    tempo.heal()
    eventually(lambda: webhook.bodies("source_unreachable", "resolved"), "its end")
    agent.wait_delivered()
    assert len(webhook.bodies("source_unreachable", "firing")) == 1
    assert webhook.reported("high_latency") == sent


def test_a_source_that_does_not_show_it_resolves_nothing_of_another_also_after_a_kill(both, tempo, webhook, traffic):
    steady(traffic, 120)
    tempo.plant(traffic)  # complete, and without failures
    agent = both(TEMPO_LOOKBACK_WINDOW_SECS=600)
    send_failures(agent, 40)
    body = eventually(lambda: webhook.bodies("high_error_rate"), "the error rate is told")[0]
    assert body["source"] == "otlp" and body["total_traces"] == 40
    agent.wait_ticks(3)
    agent.kill()
    agent.start().wait_ready()
    # What was received before is lost: its windows are not complete, so that nothing is judged as over.
    agent.wait_ticks(4)
    assert {body["status"] for body in webhook.bodies("high_error_rate")} == {"firing"}


def test_progress_goes_on_after_a_kill_for_each_source(both, tempo, webhook, traffic):
    asked = [hold(tempo, traffic, 3)]
    agent = both(SPANWATCH_GROUP_BY="trace_id")
    sent = send(agent, 1600)
    eventually(lambda: set(webhook.reported("high_latency")) == {*asked, *sent}, "both are told")
    agent.kill()
    asked.append(hold(tempo, traffic, 1))  # while it is down
    agent.start().wait_ready()
    sent += send(agent, 1900)
    eventually(lambda: set(webhook.reported("high_latency")) == {*asked, *sent}, "what came meanwhile is told")
    agent.wait_delivered()
    assert sorted(webhook.reported("high_latency")) == sorted(asked + sent)


@pytest.fixture
def nobody_on_3200():
    """The default address of Tempo refuses connections while this is held."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind(("127.0.0.1", 3200))
        except OSError:
            pytest.skip("something listens on 127.0.0.1:3200")
        yield


def test_with_no_tempo_anywhere_spans_that_are_sent_are_watched(nobody_on_3200, make_agent, webhook):
    port = free_port()
    agent = make_agent(None, webhook, SPANWATCH_OTLP_HTTP_ADDRESS=f"127.0.0.1:{port}", SPANWATCH_OTLP_SETTLE_SECS=1)
    agent.otlp_port = port
    agent.wait_ready().wait_ticks(5)
    log = agent.log()
    assert log.count("no Tempo is there and none was configured") == 1 and "level=warn" not in log and "level=error" not in log
    assert not webhook.seen()
    assert agent.metric("trace_alert_checks_total", source="tempo") == 0
    sent = send(agent, 1500)
    eventually(lambda: webhook.reported("high_latency") == sent, "the slow trace is told")


def test_tempo_that_has_answered_once_counts_as_configured(nobody_on_3200, tempo, make_agent, webhook):
    make_agent(tempo, webhook, folder="same").wait_ready().kill()
    port = free_port()
    agent = make_agent(None, webhook, folder="same", SPANWATCH_OTLP_HTTP_ADDRESS=f"127.0.0.1:{port}")
    eventually(lambda: webhook.bodies("source_unreachable", "firing"), "an alert")
    assert agent.get("/-/ready")[0] == 503


def test_the_default_address_that_is_taken_is_a_warning_and_a_chosen_one_an_error(tempo, make_agent, webhook):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # then somebody else has it, which serves as well
            taken.bind(("127.0.0.1", 4318))
            taken.listen()
        agent = make_agent(tempo, webhook, start=False)
        del agent.env["SPANWATCH_OTLP_HTTP_ADDRESS"]
        agent.start().wait_ready().wait_ticks(2)
        assert agent.log().count("level=warn") == 1
        agent.wait_log("no spans are received on a default address")
        agent.wait_log("setting=SPANWATCH_OTLP_HTTP_ADDRESS")
        assert [source["name"] for source in agent.status()["sources"]] == ["tempo"]
        assert agent.stop() == 0
        for env in ({"SPANWATCH_OTLP_HTTP_ADDRESS": "127.0.0.1:4318"}, {"TEMPO_ENABLED": "false"}):
            agent.env.update(env)
            assert agent.start().process.wait(30) == 78
            del agent.env[next(iter(env))]


QUESTIONS = """
return {
  wants = { min_duration_ms = 1000, series = false },
  check = function(ctx)
    local findings = {}
    for _, seen in ipairs(ctx.window.traces) do
      local found, message, code = ctx.search { operation = "SELECT", min_duration_ms = 1000, from = ctx.now - 60, limit = 10 }
      local whole = ctx.trace(seen.id)
      local other = ctx.window.source == "tempo" and "otlp" or "tempo"
      local elsewhere, _, elsewhere_code = ctx.trace(seen.id, other)
      findings[#findings + 1] = {
        type = "asked",
        trace = seen,
        labels = {
          asked = ctx.window.source,
          found = found and found.traces[1] and found.traces[1].id or tostring(code),
          spans = tostring(whole and #whole.spans),
          elsewhere = elsewhere and "there" or elsewhere_code,
          tempo = select(3, ctx.tempo.search { service = "nobody" }) or "asked",
        },
      }
    end
    return findings
  end,
}
"""


def test_detectors_ask_the_source_that_they_judge(both, tempo, webhook, scripts, traffic):
    (scripts / "asks.lua").write_text(QUESTIONS)
    asked = traffic.trace(time.time() - 3, duration_ms=2500, service="cart", operation="POST /cart")
    tempo.plant([asked])
    agent = both()
    sent = send(agent, 2000)[0]

    def labels_told():
        return {body["labels"]["asked"]: body["labels"] for body in webhook.bodies("asked", "firing")}

    eventually(lambda: set(labels_told()) == {"tempo", "otlp"}, "both are told")
    labels = labels_told()
    assert labels["otlp"] == {
        "asked": "otlp", "found": sent, "spans": "2", "elsewhere": "not_found", "tempo": "asked",
    }  # fmt: skip
    assert labels["tempo"] == {
        "asked": "tempo", "found": asked[0].trace_id, "spans": "2", "elsewhere": "not_found", "tempo": "asked",
    }  # fmt: skip


def test_without_tempo_questions_are_answered_from_memory(make_agent, webhook, scripts):
    (scripts / "asks.lua").write_text(QUESTIONS)
    (scripts / "of_tempo.lua").write_text(DETECTOR % ("source = 'tempo',", "never"))
    port = free_port()
    agent = make_agent(
        None, webhook, TEMPO_ENABLED="false", SPANWATCH_OTLP_HTTP_ADDRESS=f"127.0.0.1:{port}", SPANWATCH_OTLP_SETTLE_SECS=1,
        SPANWATCH_SCRIPTS_DIR=scripts,
    )  # fmt: skip
    agent.otlp_port = port
    sent = send(agent.wait_ready(), 2000)[0]
    labels = eventually(lambda: webhook.bodies("asked"), "it is told")[0]["labels"]
    assert (labels["found"], labels["spans"], labels["elsewhere"], labels["tempo"]) == (sent, "2", "no_source", "no_source")
    agent.hang_up()
    agent.wait_ticks(2)
    assert agent.log().count("a detector is never called") == 1 and "detector=of_tempo" in agent.log()
