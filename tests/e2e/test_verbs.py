"""Verbs, flags, and what is said about mistakes."""

import json
import os
import re
import subprocess
import time
import xml.etree.ElementTree

import pytest
from support.agent import PROGRAM, ROOT, SCRIPTS, free_port, run

CHECKED = {"SPANWATCH_SCRIPTS_DIR": SCRIPTS}


def plant(tempo, traffic):
    now = time.time()
    traffic.mixed(80, now - 30, now - 6, slow=0.2, failed=0.2)
    tempo.plant(traffic)


# Usage.


@pytest.mark.parametrize("args", [["--no-such-flag"], ["nonsense"], ["run", "--tempo-url"], ["once", "--tempo_url=http://x"], ["check", "extra"]])
def test_wrong_usage_exits_2_and_says_what_is_wrong(tmp_path, args):
    done = run(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert args[-1].split("=")[0].lstrip("-") in done.stderr
    assert "--help" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("verb", ["", "run", "check", "once", "test", "alert", "silence", "version"])
def test_each_verb_explains_itself(tmp_path, verb):
    done = run(*[word for word in (verb, "--help") if word], cwd=tmp_path)
    assert done.returncode == 0
    assert "spanwatch" in done.stdout
    assert done.stderr == ""
    if verb == "":
        assert all(other in done.stdout for other in ("run", "check", "once", "test", "version"))
    if verb == "run":
        assert "--tempo-url" in done.stdout and "TEMPO_URL" in done.stdout


def test_version_is_one_line(tmp_path):
    done = run("version", cwd=tmp_path)
    assert done.returncode == 0
    assert re.fullmatch(r"spanwatch \d+\.\d+\.\d+.*\n", done.stdout)


# Configuration.


def test_all_mistakes_are_told_at_once(tmp_path):
    env = {
        "TEMPO_URL": "not a url",
        "TEMPO_ALERT_INTERVAL_SECS": "soon",
        "TEMPO_ERROR_RATE_THRESHOLD": "7",
        "SPANWATCH_LOG_LEVEL": "loud",
        "TEMPO_CA_FILE": tmp_path / "missing.pem",
        "SPANWATCH_STORAGE_PTAH": "/x",
        **CHECKED,
    }
    for verb in ("check", "run", "once"):
        done = run(verb, "--tempo-search-limit=0", env=env, cwd=tmp_path)
        assert done.returncode == 78, done.stderr
        for name in ("TEMPO_URL", "TEMPO_ALERT_INTERVAL_SECS", "TEMPO_ERROR_RATE_THRESHOLD", "SPANWATCH_LOG_LEVEL", "search", "TEMPO_CA_FILE"):
            assert name in done.stderr, (name, done.stderr)
        assert "soon" in done.stderr and "SPANWATCH_STORAGE_PTAH" in done.stderr


def test_a_flag_comes_before_the_environment_before_dotenv_before_the_file(tmp_path):
    (tmp_path / ".env").write_text("TEMPO_URL=http://dotenv:1\nTEMPO_TENANT=dotenv\nTEMPO_LATENCY_THRESHOLD_MS=700\n")
    (tmp_path / "config.lua").write_text(
        'return { tempo_url = "http://file:1", tempo_tenant = "file", tempo_latency_threshold_ms = 1, tempo_settle_secs = 9, tempo_search_limit = 77 }'
    )
    env = {"TEMPO_URL": "http://environment:1", "TEMPO_TENANT": "environment", "TEMPO_SETTLE_SECS": "8", **CHECKED}
    done = run("check", "--print-config", "--config", tmp_path / "config.lua", "--tempo-url=http://flag:1", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = {line.split("=")[0]: line for line in done.stdout.splitlines() if "=" in line}
    for name, value, source in (
        ("TEMPO_URL", "http://flag:1", "flag"),
        ("TEMPO_TENANT", "environment", "environment"),
        ("TEMPO_LATENCY_THRESHOLD_MS", "700", ".env"),
        ("TEMPO_SEARCH_LIMIT", "77", "config.lua"),
        ("TEMPO_SETTLE_SECS", "8", "environment"),
    ):
        assert value in lines[name] and source in lines[name], lines[name]
    assert "default" in lines["TEMPO_LOOKBACK_WINDOW_SECS"]


def test_secrets_are_not_printed(tmp_path):
    env = {"TEMPO_URL": "http://bob:pa55word@tempo:3200?key=t0ken", "TEMPO_HEADERS": "X-Key: hush-hush",
           "TEMPO_ALERT_WEBHOOK_URL": "https://hooks.example/services/T0/B0/pathsecret", **CHECKED}
    done = run("check", "--print-config", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tempo:3200" in done.stdout and "X-Key" in done.stdout and "https://hooks.example/(hidden)" in done.stdout
    for secret in ("pa55word", "t0ken", "hush-hush", "pathsecret"):
        assert secret not in done.stdout + done.stderr


def test_the_configuration_file_reaches_detectors_and_is_checked(tmp_path, tempo, traffic):
    spans = traffic.trace(time.time() - 5, duration_ms=600)
    tempo.plant([spans])
    config = tmp_path / "config.lua"
    config.write_text('return { tempo_url = env("MY_TEMPO"), tempo_settle_secs = 0, tempo_alert_interval_secs = 1, tempo_latency_threshold_ms = 500 }')
    done = run("once", "--json", "--config", config, env={"MY_TEMPO": tempo.url, **CHECKED}, cwd=tmp_path)
    assert [finding["type"] for finding in json.loads(done.stdout)["findings"]] == ["high_latency"], done.stderr
    for text, said in (("return {", "config.lua:1:"), ("return 7", "table"), ("return { tempo_urll = 'x' }", "tempo_urll"), ("while true do end", "config.lua")):
        config.write_text(text)
        done = run("check", "--config", config, env=CHECKED, cwd=tmp_path)
        assert done.returncode == 78, text
        assert said in done.stderr


def test_check_names_every_broken_script(tmp_path, scripts):
    (scripts / "one.lua").write_text("return {")
    (scripts / "two.lua").write_text("return { check = 1 }")
    done = run("check", env={"SPANWATCH_SCRIPTS_DIR": scripts}, cwd=tmp_path)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "one.lua:1:" in said and "two.lua" in said
    (scripts / "one.lua").unlink()
    (scripts / "two.lua").unlink()
    assert run("check", env={"SPANWATCH_SCRIPTS_DIR": scripts}, cwd=tmp_path).returncode == 0


def test_the_example_environment_file_is_complete_and_valid(tmp_path):
    example = (ROOT / ".env.example").read_text()
    settings = re.findall(r'"((?:TEMPO|SPANWATCH)_[A-Z_]+)"', (ROOT / "src/config/settings.def").read_text())
    assert settings
    for name in settings:
        assert re.search(rf"^#? ?{name}=", example, re.M), f"{name} is missing in .env.example"
    (tmp_path / ".env").write_text(example)
    done = run("check", env=CHECKED, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


# once.


def test_once_prints_what_it_finds_and_sends_nothing(tmp_path, tempo, webhook, traffic):
    plant(tempo, traffic)
    env = {"TEMPO_URL": tempo.url, "TEMPO_SETTLE_SECS": 0, "TEMPO_ALERT_INTERVAL_SECS": 1, "TEMPO_ALERT_WEBHOOK_URL": webhook.hook, **CHECKED}
    done = run("once", "--json", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["complete"] is True
    found = {rule: sorted(f["traces"][0]["trace_id"] for f in answer["findings"] if f["type"] == rule) for rule in ("high_latency", "error_status")}
    assert found == {"high_latency": sorted(traffic.slow()), "error_status": sorted(traffic.failed())}
    table = run("once", env=env, cwd=tmp_path)
    assert table.returncode == 0
    for trace in traffic.slow():
        assert trace in table.stdout
    assert not webhook.seen()
    assert not (tmp_path / "data").exists(), "it leaves nothing behind"


def test_once_sends_when_told_to(tmp_path, tempo, webhook, traffic):
    plant(tempo, traffic)
    env = {"TEMPO_URL": tempo.url, "TEMPO_SETTLE_SECS": 0, "TEMPO_ALERT_INTERVAL_SECS": 1, "TEMPO_ALERT_WEBHOOK_URL": webhook.hook, **CHECKED}
    env["SPANWATCH_GROUP_NOTIFICATIONS_BY"] = "service"  # there is nothing to wait for
    done = run("once", "--send", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(webhook.reported("high_latency")) == sorted(traffic.slow())


def test_once_says_when_tempo_cannot_be_asked(tmp_path):
    env = {"TEMPO_URL": f"http://127.0.0.1:{free_port()}", "TEMPO_SETTLE_SECS": 0, "TEMPO_ALERT_INTERVAL_SECS": 1, **CHECKED}
    done = run("once", "--json", env=env, cwd=tmp_path)
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert answer["complete"] is False and answer["reason"] and answer["findings"] == []


# test.


def test_the_shipped_tests_pass_as_tap(tmp_path):
    for folder in (SCRIPTS, ROOT / "examples"):
        done = run("test", folder, env=CHECKED, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = done.stdout.splitlines()
        plan = next(int(line[3:]) for line in lines if line.startswith("1.."))
        assert plan == len([line for line in lines if line.startswith("ok ")]) > 5


def test_a_failing_test_is_told_and_exits_1(tmp_path, scripts):
    (scripts / "mine.lua").write_text("return { check = function(ctx) return {} end }")
    (scripts / "mine_test.lua").write_text(
        'test("it finds something", function(t)\n  t.equal(#t.detector("mine.lua"):check(t.window()), 1)\nend)\n'
        'test("it finds nothing", function(t)\n  t.equal(t.detector("mine.lua"):check(t.window()), {})\nend)\n'
    )
    report = tmp_path / "report.xml"
    done = run("test", "--junit", report, scripts, env={"SPANWATCH_SCRIPTS_DIR": scripts}, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert re.search(r"^not ok \d+.*it finds something", done.stdout, re.M)
    assert re.search(r"^ok \d+.*it finds nothing", done.stdout, re.M)
    assert "mine_test.lua:2" in done.stdout
    root = xml.etree.ElementTree.parse(report).getroot()
    cases = [case for case in root.iter("testcase") if case.get("name").startswith("it finds")]
    assert len(cases) == 2
    assert len([case for case in cases if case.find("failure") is not None]) == 1


def test_a_test_file_that_never_ends_is_a_failure(tmp_path, scripts):
    (scripts / "mine_test.lua").write_text('test("forever", function(t) while true do end end)\n')
    done = run("test", scripts, env={"SPANWATCH_SCRIPTS_DIR": scripts}, cwd=tmp_path)
    assert done.returncode == 1
    assert "not ok" in done.stdout


# Streams.


def test_a_full_output_or_a_closed_one_is_no_crash(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run([str(PROGRAM), "run", "--help"], stdout=full, stderr=subprocess.PIPE, cwd=tmp_path, env={"PATH": os.environ["PATH"]})
    assert done.returncode in (0, 1)


def test_output_for_machines_is_the_only_thing_on_standard_output(tmp_path, tempo, traffic):
    plant(tempo, traffic)
    env = {"TEMPO_URL": tempo.url, "TEMPO_SETTLE_SECS": 0, "TEMPO_ALERT_INTERVAL_SECS": 1, "SPANWATCH_LOG_LEVEL": "debug", **CHECKED}
    done = run("once", "--json", env=env, cwd=tmp_path)
    assert set(json.loads(done.stdout)) == {"findings", "complete", "reason"}
    assert "level=" in done.stderr
