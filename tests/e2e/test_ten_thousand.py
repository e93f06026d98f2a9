"""10 000 alerts in one tick: all are told, each once, and nothing else stands still meanwhile."""

import collections

import pytest
from support.agent import eventually

MANY = """
return {
  check = function()
    local findings = {}
    for i = 1, 10000 do
      findings[i] = { type = "many", labels = { n = tostring(i) }, value = i, threshold = 1 }
    end
    return findings
  end,
}
"""


def told(webhook):
    """{fingerprint: {idempotency key, …}} of what was answered with 2xx."""
    keys = collections.defaultdict(set)
    for request in webhook.seen():
        if request.status == 200 and b'"many"' in request.body:
            at = request.body.index(b'"fingerprint":"') + 15
            keys[request.body[at : at + 16]].add(request.headers["idempotency-key"])
    return keys


@pytest.mark.timeout(300)
def test_all_are_told_once_although_it_is_killed_in_the_middle(tempo, webhook, make_agent, scripts):
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_LOG_LEVEL="info").wait_ready()
    agent.wait_ticks(1)
    (scripts / "many.lua").write_text(MANY)
    eventually(lambda: len(webhook.seen()) > 1000, "the first of them")
    agent.kill()
    before = len(webhook.seen())
    agent.start().wait_ready()
    ticks = agent.metric("spanwatch_ticks_total")
    eventually(lambda: len(webhook.seen()) > before, "it goes on")
    eventually(lambda: agent.metric("spanwatch_alerts") >= 10000, "all are known")
    eventually(lambda: agent.metric("spanwatch_outbox_depth") == 0, "all are delivered", 120)
    keys = told(webhook)
    assert len(keys) == 10000
    assert all(len(key) == 1 for key in keys.values()), "what came twice had the same key"
    assert agent.metric("spanwatch_ticks_total") > ticks
    assert agent.metric("spanwatch_detector_checks_total", detector="many", result="failed") == 0
    # Far from the 20 ms of a quiet machine, and far below the half second that it takes in one go.
    assert agent.metric("spanwatch_loop_longest_pass_seconds") < 0.3
