"""What the documents say is true: settings, metrics, and every piece of Lua in them runs."""

import re
import shutil
import subprocess
import time

import pytest
from support.agent import ROOT, SCRIPTS, run
from support.servers import PROMTOOL, needs_promtool

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
REFERENCE = (ROOT / "docs" / "TRACE_ALERTING.md").read_text()
SETTING = re.compile(r'^SW_SETTING_(\w+)\(\w+, "(\w+)", (.*)\)\s*$', re.M)


def lua_blocks(wanted):
    return [
        pytest.param(block, id=f"{document.stem}-{i}")
        for document in DOCUMENTS
        for i, block in enumerate(re.findall(r"^```lua\n(.*?)^```", document.read_text(), re.M | re.S))
        if wanted(block)
    ]


def test_every_setting_is_documented_as_it_is():
    settings = SETTING.findall((ROOT / "src/config/settings.def").read_text())
    assert len(settings) > 40
    for kind, name, rest in settings:
        row = next((line for line in REFERENCE.splitlines() if line.startswith(f"| `{name}` |")), None)
        assert row, f"{name} is not in the reference"
        texts = re.findall(r'"((?:[^"\\]|\\.)*)"', rest)
        assert texts[-1].replace("|", "\\|") in row, f"{name}: the reference says something else: {row}"
        default = rest.split(",")[0].strip().strip('"')
        shown = row.split("|")[2].replace("`", "").replace(" ", "")
        assert shown.startswith(default.replace(" ", "")), f"{name}: default {default}, the reference says {shown}"


def test_the_readme_has_the_seven_variables_of_the_original():
    readme = (ROOT / "README.md").read_text()
    for name in (
        "TEMPO_ENABLED", "TEMPO_URL", "TEMPO_ALERT_INTERVAL_SECS", "TEMPO_LATENCY_THRESHOLD_MS", "TEMPO_ERROR_RATE_THRESHOLD",
        "TEMPO_ALERT_WEBHOOK_URL", "TEMPO_LOOKBACK_WINDOW_SECS",
    ):  # fmt: skip
        assert f"| `{name}` |" in readme


@pytest.mark.parametrize("block", lua_blocks(lambda block: "check = function" in block))
def test_detectors_in_the_documents_load(scripts, tmp_path, block):
    (scripts / "from_document.lua").write_text(block)
    done = run("check", env={"SPANWATCH_SCRIPTS_DIR": scripts}, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", lua_blocks(lambda block: block.startswith("test(") or "\ntest(" in block))
def test_tests_in_the_documents_pass(scripts, tmp_path, block):
    (scripts / "moving_average.lua").write_text((ROOT / "examples" / "moving_average.lua").read_text())
    quick_start = (ROOT / "docs" / "TRACE_ALERTING_QUICKSTART.md").read_text()
    detector = next(block for block in re.findall(r"^```lua\n(.*?)^```", quick_start, re.M | re.S) if "slow_checkout" in block)
    (scripts / "slow_checkout.lua").write_text(detector)
    own_format = next(block for block in re.findall(r"^```lua\n(.*?)^```", REFERENCE, re.M | re.S) if "notify/plain.lua" in block)
    (scripts / "plain.lua").write_text(own_format)
    (scripts / "document_test.lua").write_text(block)
    done = run("test", scripts / "document_test.lua", env={"SPANWATCH_SCRIPTS_DIR": scripts}, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", lua_blocks(lambda block: "detector_config" in block))
def test_configuration_files_in_the_documents_are_valid(scripts, tmp_path, block):
    (scripts / "detectors").mkdir()
    (scripts / "detectors" / "canary.lua").write_text("return { check = function() return {} end }")
    shutil.copytree(SCRIPTS / "notify", scripts / "notify")
    (tmp_path / "config.lua").write_text(block)
    done = run("check", "--config", tmp_path / "config.lua", env={"SPANWATCH_SCRIPTS_DIR": scripts}, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_is_documented(tempo, webhook, make_agent, traffic):
    traffic.mixed(60, time.time() - 30, time.time() - 6, slow=0.2, failed=0.2)
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook).wait_ready()
    agent.wait_delivered()
    names = re.findall(r"^# TYPE (\S+)", agent.get("/metrics")[1], re.M)
    assert len(names) > 20
    for name in names:
        assert f"`{name}" in REFERENCE, f"{name} is not in the reference"


@needs_promtool
def test_the_rules_for_prometheus_fire_when_they_should(tmp_path):
    rules = re.search(r"```yaml\n(- alert: SpanwatchBlind.*?)```", (ROOT / "docs/TRACE_ALERTING.md").read_text(), re.S).group(1)
    (tmp_path / "rules.yml").write_text("groups:\n- name: spanwatch\n  rules:\n" + "".join(f"  {line}\n" for line in rules.splitlines()))
    (tmp_path / "test.yml").write_text(
        """
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- interval: 1m
  input_series:
  - {series: 'spanwatch_receiver_circuit_state{receiver="a",state="closed"}', values: '0x30'}
  - {series: 'spanwatch_receiver_circuit_state{receiver="b",state="closed"}', values: '1x30'}
  - {series: 'spanwatch_deliveries_total{receiver="c",result="dead"}', values: '0+1x30'}
  - {series: 'spanwatch_deliveries_total{receiver="b",result="dead"}', values: '3x30'}
  - {series: 'trace_alert_checks_total{status="success"}', values: '0+2x30'}
  - {series: 'spanwatch_config_last_reload_successful', values: '1x30'}
  alert_rule_test:
  - eval_time: 20m
    alertname: SpanwatchCannotDeliver
    exp_alerts: [{exp_labels: {receiver: a, state: closed}}, {exp_labels: {receiver: c, result: dead}}]
  - {eval_time: 20m, alertname: SpanwatchBlind}
  - {eval_time: 20m, alertname: SpanwatchScriptBroken}
"""
    )
    done = subprocess.run([PROMTOOL, "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_links_in_the_documents_lead_somewhere():
    for document in DOCUMENTS:
        text = document.read_text()
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if not re.match(r"https?:", target):
                assert (document.parent / target).exists(), f"{document.name}: {target}"
        for anchor in re.findall(r"\]\(#([^)]+)\)", text):
            heads = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.*)$", text, re.M)}
            assert anchor in heads, f"{document.name}: #{anchor}"
