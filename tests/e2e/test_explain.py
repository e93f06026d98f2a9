"""Why an alert was told or was not, and what a rule says of a trace: by verb and over HTTP."""

import concurrent.futures
import json
import time

import pytest
from support.agent import eventually, run
from test_otlp import Sdk, receiver  # noqa: F401
from test_silences import ask, find, matcher, silence


def explain(agent, folder, *args, code=0):
    done = run("explain", *args, env={"SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{agent.port}"}, cwd=folder)
    assert done.returncode == code, done.stderr + done.stdout
    return done.stderr if code else done.stdout


def explained(agent, folder, *args):
    return json.loads(explain(agent, folder, *args, "--json"))


def facts(text):
    lines = (line.split("  ", 1) for line in text.splitlines() if "  " in line)
    return {name.strip(): value.strip() for name, value in lines if name}


def test_an_alert_is_explained_while_it_fires(tempo, webhook, make_agent, traffic, tmp_path):
    trace = traffic.trace(time.time() - 10, duration_ms=1600, service="shop", operation="POST /pay")[0].trace_id
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook).wait_ready()
    eventually(lambda: webhook.bodies("high_latency"), "it is told")
    agent.wait_delivered()
    body = webhook.bodies("high_latency")[0]
    assert body["traces"][0]["marks"] == ["worst", "newest", "representative"]
    answer = explained(agent, tmp_path, body["fingerprint"][:10])
    assert answer["known"] and answer["type"] == "high_latency" and answer["detector"] == "detect"
    assert answer["labels"] == {"service": "shop", "operation": "POST /pay"}
    assert answer["now"].startswith("firing since ") and "; told at " in answer["now"]
    assert answer["alert"]["why"]["detector_sha256"] == body["why"]["detector_sha256"]
    first = next(row for row in answer["evaluations"] if row["finding"])
    assert first["verdict"] == "begins to fire: told"
    assert (first["finding"]["threshold"], first["finding"]["n_traces"], first["finding"]["traces"]) == (1000, 1, [trace])
    assert first["window"]["result"] == "ok" and first["window"]["complete"] and first["known"]
    assert first["window"]["to"] - first["window"]["from"] > 0
    later = [row["verdict"] for row in answer["evaluations"][answer["evaluations"].index(first) + 1 :]]
    assert later and set(later) == {"not found"}, "its trace was reported before, and is not shown again"
    text = explain(agent, tmp_path, body["fingerprint"])
    assert facts(text)["Alert"] == "high_latency" and "begins to fire: told" in text
    assert "1600 > 1000, traces: 1" in text and facts(text)["Decided by"].startswith("1600 > 1000, window of ")
    unknown = explained(agent, tmp_path, "--rule", "high_latency", "--trace", "f" * 32)
    assert "note" not in unknown and unknown["detectors"][0]["why_not"].startswith("never seen"), "who finds such alerts is known"


def test_an_alert_that_is_over_and_forgotten_is_found_among_evaluations(tempo, webhook, make_agent, scripts, tmp_path):
    (scripts / "detect.lua").unlink()
    find(scripts, "{ type = 'slow', service = 'shop', value = 7, threshold = 5, baseline = 2, baseline_samples = 9 }")
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    eventually(lambda: webhook.bodies("slow"), "it is told")
    body = webhook.bodies("slow")[0]
    assert (body["why"]["baseline"], body["why"]["baseline_samples"]) == (2, 9)
    find(scripts, "")
    eventually(lambda: any(b["status"] == "resolved" for b in webhook.bodies("slow")), "it is over")
    assert ask(agent, "GET", f"/api/v1/alerts/{body['fingerprint']}")[0] == 404
    answer = explained(agent, tmp_path, body["fingerprint"][:12])
    assert not answer["known"] and answer["alert"] is None and answer["type"] == "slow"
    verdicts = [row["verdict"] for row in answer["evaluations"]]
    over = next(verdict for verdict in verdicts if verdict.startswith("over, found last at ") and verdict.endswith("Z: told"))
    assert verdicts.index("begins to fire: told") < verdicts.index(over)
    assert {row["detector_sha256"] for row in answer["evaluations"] if row["finding"]} == {body["why"]["detector_sha256"]}
    text = explain(agent, tmp_path, body["fingerprint"])
    assert "not known any more" in text and "7 > 5, usually 2" in text
    # So after a crash.
    agent.kill()
    agent.start().wait_ready()
    after = explained(agent, tmp_path, body["fingerprint"][:12])
    verdicts = [row["verdict"] for row in after["evaluations"]]
    assert "begins to fire: told" in verdicts and over in verdicts and after["labels"] == answer["labels"]
    assert "no alert, and no evaluation" in explain(agent, tmp_path, "0000000000000000", code=1)


def test_what_keeps_an_alert_back_is_said(tempo, webhook, make_agent, scripts, tmp_path):
    (scripts / "detect.lua").unlink()
    find(scripts, "")
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    silence(agent, matcher("alertname", "slow"))
    find(scripts, "{ type = 'slow', service = 'shop' }, { type = 'later', for_s = 3600 }")
    alerts = eventually(lambda: ask(agent, "GET", "/api/v1/alerts")[1]["data"]["alerts"], "they are there")
    prints = {alert["labels"]["alertname"]: alert["fingerprint"] for alert in alerts}
    kept = explained(agent, tmp_path, prints["slow"])
    assert kept["now"].startswith("firing since ") and kept["now"].endswith("; not told yet; kept back now: silenced")
    assert "begins to fire: kept back (silenced)" in [row["verdict"] for row in kept["evaluations"]]
    pending = explained(agent, tmp_path, prints["later"])
    assert pending["now"].startswith("pending since ")
    assert any(row["verdict"].startswith("begins to be pending, fires at ") for row in pending["evaluations"])


def test_an_answer_that_is_not_whole_says_nothing_about_what_is_gone(tempo, webhook, make_agent, scripts, tmp_path):
    (scripts / "detect.lua").unlink()
    find(scripts, "{ type = 'slow' }")
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    eventually(lambda: webhook.bodies("slow"), "it is told")
    (scripts / "mine.lua").write_text("return { check = function() return nil, 'no idea' end }")
    fingerprint = webhook.bodies("slow")[0]["fingerprint"]
    unknown = "not found, which says nothing: the detector could not tell: no idea"
    eventually(lambda: unknown in [row["verdict"] for row in explained(agent, tmp_path, fingerprint)["evaluations"]], "said")


def test_a_trace_is_explained_under_a_rule(tempo, webhook, make_agent, traffic, tmp_path):
    now = time.time()
    slow = traffic.trace(now - 10, duration_ms=1600, service="shop", operation="POST /pay")[0].trace_id
    fast = traffic.trace(now - 10, duration_ms=420, service="shop", operation="GET /")[0].trace_id
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, TEMPO_LATENCY_THRESHOLD_MS=1000, SPANWATCH_TRACE_URL="http://ui/trace/{trace_id}").wait_ready()
    eventually(lambda: webhook.reported("high_latency"), "it is told")
    agent.wait_delivered()
    answer = explained(agent, tmp_path, "--rule", "high_latency", "--trace", slow.lstrip("0"))
    assert answer["trace_id"] == slow and answer["trace"]["url"] == f"http://ui/trace/{slow}"
    [report] = answer["reported"]
    assert (report["type"], report["state"], report["told"]) == ("high_latency", "firing", True)
    assert report["fingerprint"] == webhook.bodies("high_latency")[0]["fingerprint"]
    [detector] = answer["detectors"]
    assert detector["detector"] == "detect" and detector["judged_at"] and "why_not" not in detector
    assert detector["config"]["latency_threshold_ms"] == 1000
    [then] = detector["evaluations"]
    assert then["duration_ms"] == 1600 and [f["verdict"] for f in then["findings"]] == ["begins to fire: told"]
    assert [f["type"] for f in detector["now"]["findings"]] == ["high_latency"]
    assert detector["now"]["explained"] == ["high_latency: duration 1600 ms > latency_threshold_ms 1000", "no error_status: status is unset"]
    text = explain(agent, tmp_path, "--rule", "detect", "--trace", slow)
    assert facts(text)["Reported"].startswith("high_latency at ") and "listed in a notification" in text

    answer = explained(agent, tmp_path, "--rule", "detect", "--trace", fast)
    [detector] = answer["detectors"]
    assert answer["reported"] == [] and detector["now"]["findings"] == [] and detector["judged_at"] is None
    assert detector["now"]["explained"][0] == "no high_latency: duration 420 ms <= latency_threshold_ms 1000"
    assert detector["why_not"].startswith("the detector does not ask to see it: it wants traces longer than 1000 ms, or failed")
    text = explain(agent, tmp_path, "--rule", "high_latency", "--trace", fast)
    assert "no high_latency: duration 420 ms <= latency_threshold_ms 1000" in text and facts(text)["Reported"] == "no"
    # Nothing of it is kept: no failure, no second report, no state.
    assert agent.metric("spanwatch_detector_kills_total") == 0 and len(webhook.bodies("high_latency")) == 1


def test_a_trace_that_nobody_knows_and_one_that_is_too_new(tempo, webhook, make_agent, traffic, tmp_path):
    new = traffic.trace(time.time() - 5, duration_ms=1600, service="shop", operation="POST /pay")[0].trace_id
    old = traffic.trace(time.time() - 7200, duration_ms=1600, service="shop", operation="POST /pay")[0].trace_id
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook, TEMPO_SETTLE_SECS=600).wait_ready()
    agent.wait_ticks(1)
    answer = explained(agent, tmp_path, "--trace", "abc")
    assert answer["trace"] is None and answer["trace_problem"]
    assert answer["detectors"][0]["why_not"] == "never seen, and no source knows it (now)"
    assert answer["detectors"][0]["now"] is None
    assert "Not known" in explain(agent, tmp_path, "--trace", "abc")
    assert explained(agent, tmp_path, "--trace", old)["detectors"][0]["why_not"].startswith("too old: it ended before the time that this agent watches")
    why = explained(agent, tmp_path, "--trace", new)["detectors"][0]["why_not"]
    assert why.startswith("not judged yet: "), why


def test_a_rule_alone_is_about_the_newest_window(tempo, webhook, make_agent, traffic, tmp_path):
    now = time.time()
    for i in range(30):
        traffic.trace(now - 10 - i % 3, service="shop", operation="GET /", error="boom" if i == 0 else "")
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook).wait_ready()
    said = lambda: explained(agent, tmp_path, "--rule", "high_error_rate")["detectors"][0]["now"]["explained"]  # noqa: E731
    line = "no high_error_rate of shop: 1 of 30 requests failed, 0.03333 <= error_rate_threshold 0.05"
    eventually(lambda: line in said(), lambda: str(said()))
    note = explained(agent, tmp_path, "--rule", "no_such_rule")
    assert "none is known to find alerts of this type" in note["note"] and note["detectors"]


@pytest.mark.parametrize("query", ["", "?fingerprint=a&rule=b", "?trace=xyz", "?trace=" + "a" * 33])
def test_wrong_questions_are_refused(tempo, webhook, make_agent, query):
    agent = make_agent(tempo, webhook).wait_listening()
    assert ask(agent, "GET", f"/api/v1/explain{query}")[0] == 400
    assert ask(agent, "GET", "/api/v1/explain?fingerprint=")[0] == 404


def test_wrong_usage_and_a_stranger(tempo, webhook, make_agent, tmp_path):
    for args in ((), ("a", "b"), ("",), ("a", "--rule", "b"), ("--rule",)):
        assert run("explain", *args, cwd=tmp_path).returncode == 2, args
    token = tmp_path / "token"
    token.write_text("secret")
    agent = make_agent(tempo, webhook, SPANWATCH_LISTEN_BEARER_TOKEN_FILE=token).wait_listening()
    assert agent.get("/api/v1/explain?rule=detect")[0] == 401


def test_an_explanation_of_a_detector_that_hangs_ends_and_others_wait_for_nothing(tempo, webhook, make_agent, traffic, scripts, tmp_path):
    trace = traffic.trace(time.time() - 10, duration_ms=1600, service="shop", operation="POST /pay")[0].trace_id
    tempo.plant(traffic)
    (scripts / "hangs.lua").write_text(
        "return { check = function(ctx) for _ in ipairs(ctx.window.traces) do while true do end end return {} end }"
    )
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_WORKER_CPU_MS=200).wait_ready()
    eventually(lambda: webhook.reported("high_latency"), "it is told")
    answer = explained(agent, tmp_path, "--trace", trace)
    by_name = {one["detector"]: one for one in answer["detectors"]}
    assert by_name["hangs"]["now"]["result"] == "failed" and "hangs.lua" in by_name["hangs"]["now"]["message"]
    assert by_name["detect"]["now"]["result"] == "ok"
    assert agent.metric("spanwatch_detector_paused", detector="hangs") == 0
    assert agent.stop() == 0


def test_traces_that_were_sent_are_explained_too(receiver, webhook, tmp_path):  # noqa: F811
    shop = Sdk(receiver, "shop")
    slow, fast = shop.request("POST /pay", 1600), shop.request("GET /", 420)
    shop.close()
    eventually(lambda: webhook.reported("high_latency") == [slow], "it is told")
    answer = explained(receiver, tmp_path, "--rule", "high_latency", "--trace", slow)
    assert answer["trace"]["service"] == "shop" and answer["trace"]["operation"] == "POST /pay"
    [detector] = answer["detectors"]
    assert detector["source"] == "otlp" and detector["judged_at"] and [f["type"] for f in detector["now"]["findings"]] == ["high_latency"]
    [detector] = explained(receiver, tmp_path, "--rule", "detect", "--trace", fast)["detectors"]
    assert "it wants traces longer than 1000 ms" in detector["why_not"]
    assert detector["now"]["explained"][0] == "no high_latency: duration 420 ms <= latency_threshold_ms 1000"


def test_one_question_about_a_rule_at_a_time_and_stopping_gives_it_up(tempo, webhook, make_agent, traffic):
    trace = traffic.trace(time.time() - 10, duration_ms=20, service="shop", operation="GET /")[0].trace_id
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook).wait_ready()
    tempo.fault("hang", seconds=60, when=lambda request: "/traces/" in request.path)
    path = f"/api/v1/explain?rule=detect&trace={trace}"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(ask, agent, "GET", path)
        eventually(lambda: [request for request in tempo.seen() if "/traces/" in request.path], "the trace is asked for")
        assert ask(agent, "GET", path) == (429, {"error": "another question about a rule is being answered: ask again"})
        assert agent.stop() == 0
        with pytest.raises(OSError):  # the connection ends with the agent
            first.result(timeout=20)
