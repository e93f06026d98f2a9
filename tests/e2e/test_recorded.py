"""What real servers answered, replayed to the agent."""

import json

import pytest
from support.agent import eventually
from support.tempo import DATA


def offenders(recording):
    """(slow, failed) trace ids in the recorded search for both."""
    slow, failed = set(), set()
    answer = json.loads((DATA / recording / "search_slow_or_error_select.json").read_text())
    for trace in answer["traces"]:
        trace_id = trace["traceID"].rjust(32, "0")
        spans = trace["spanSets"][0]["spans"]
        longest = max([trace.get("durationMs", 0)] + [int(span.get("durationNanos", 0)) / 1e6 for span in spans])
        if longest > 1000:
            slow.add(trace_id)
        for span in spans:
            if {"key": "status", "value": {"stringValue": "error"}} in span["attributes"]:
                failed.add(trace_id)
    return slow, failed


@pytest.mark.parametrize(
    "recording, tenants",
    [("tempo-3.0.3", ()), ("tempo-2.9.0-no-metrics", ("team-a",))],
)
def test_recorded_offenders_are_told_once_each(make_tempo, webhook, make_agent, recording, tenants):
    slow, failed = offenders(recording)
    assert slow and failed
    window = json.loads((DATA / recording / "index.json").read_text())["window"]
    tempo = make_tempo("3" if recording.startswith("tempo-3") else "2-no-metrics", tenants=tenants)
    tempo.replay = recording
    tempo.clock_offset_s = window["end"] + 2 - tempo.now()
    agent = make_agent(tempo, webhook, SPANWATCH_GROUP_BY="trace_id", TEMPO_TENANT="|".join(tenants)).wait_listening()
    eventually(lambda: len(set(webhook.reported("high_latency") + webhook.reported("error_status"))) >= len(slow | failed), "all offenders")
    agent.wait_delivered()
    assert sorted(webhook.reported("high_latency")) == sorted(slow)
    assert sorted(webhook.reported("error_status")) == sorted(failed)
    assert all(request.headers.get("x-scope-orgid", "") == "|".join(tenants) for request in tempo.questions())
