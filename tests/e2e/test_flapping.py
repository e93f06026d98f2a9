"""An alert that begins and ends all the time: said once, quiet over kill -9 and an edit, and its end told when it is calm."""

import json
import os

from support.agent import eventually, run

# Comes and goes with every evaluation, and then stays: seven evaluations with seven changes, 39.8 %.
RESTLESS = """return { check = function(ctx)
  ctx.state.n = (ctx.state.n or 0) + 1
  if ctx.state.n < 7 and ctx.state.n % 2 == 0 then return {} end
  return { { type = "restless", service = "shop", summary = "it comes and goes" } }
end }
"""
GONE = "return { check = function() return {} end } -- edited\n"


def put(scripts, text):
    (scripts / "mine.tmp").write_text(text)
    os.replace(scripts / "mine.tmp", scripts / "mine.lua")


def test_flapping_is_said_once_and_the_present_state_when_it_is_over(tempo, webhook, make_agent, scripts, tmp_path):
    (scripts / "detect.lua").unlink()
    put(scripts, RESTLESS)
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_FLAPPING_HIGH_PERCENT=39, SPANWATCH_FLAPPING_LOW_PERCENT=33)
    agent.wait_ready()

    def told():
        return [(body["status"], body["flapping"]) for body in webhook.bodies("restless")]

    begun = [("firing", False), ("resolved", False)] * 3 + [("firing", True)]
    eventually(lambda: told() == begun, lambda: f"it is said to flap: {told()}")
    assert webhook.bodies("restless")[-1]["summary"] == "it comes and goes (flapping: not sent again until it is calm)"
    alerts = json.loads(agent.get("/api/v1/alerts")[1])["data"]["alerts"]
    assert [(alert["state"], alert["flapping"]) for alert in alerts] == [("firing", True)]
    listed = run("alert", "list", cwd=tmp_path, env={"SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{agent.port}"})
    assert "firing, flapping" in listed.stdout, listed
    agent.kill()
    put(scripts, GONE)
    agent.start().wait_ready()
    eventually(lambda: agent.metric("spanwatch_notifications_suppressed_total", reason="flapping") == 1, "its end is kept back")
    eventually(lambda: told() == begun + [("resolved", False)], lambda: f"told when it is calm: {told()}", 60)
    agent.wait_ticks(2)
    agent.wait_delivered()
    assert told() == begun + [("resolved", False)]
    assert json.loads(agent.get("/api/v1/alerts")[1])["data"]["alerts"] == []
