"""Silences and acknowledgements: what is kept back, when it comes after all, and that amtool can do it."""

import json
import os
import time
import urllib.error
import urllib.request

import pytest
from support import servers
from support.agent import eventually, free_port, run
from support.servers import needs_amtool

DETECTOR = "return {{ check = function() return {{ {0} }} end }}\n"
FINDING = "{ type = 'broken', service = 'shop', summary = 'it is broken' }, { type = 'other', service = 'mail' }"
LONG_AGO, FAR_AWAY = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"


def find(scripts, findings):
    temporary = scripts / "mine.tmp"
    temporary.write_text(DETECTOR.format(findings))
    os.replace(temporary, scripts / "mine.lua")


def ask(agent, method, path, body=None):
    """(status, what the JSON says)"""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{agent.port}{path}", data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def matcher(name, value, regex=False, equal=True):
    return {"name": name, "value": value, "isRegex": regex, "isEqual": equal}


def silence(agent, *matchers, **more):
    body = {"matchers": list(matchers), "startsAt": LONG_AGO, "endsAt": FAR_AWAY, "createdBy": "test", "comment": "known", **more}
    status, answer = ask(agent, "POST", "/api/v2/silences", body)
    assert status == 200, answer
    return answer["silenceID"]


def suppressed(agent):
    return agent.metric("spanwatch_notifications_suppressed_total", reason="silenced")


@pytest.fixture
def quiet(tempo, webhook, make_agent, scripts):
    """An agent whose only detector finds what find() says: at first nothing."""
    (scripts / "detect.lua").unlink()
    find(scripts, "")
    return make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()


def test_a_silenced_alert_is_told_once_when_the_silence_ends(quiet, webhook, scripts):
    id = silence(quiet, matcher("alertname", "brok.*", regex=True), matcher("service", "shop"))
    find(scripts, FINDING)
    eventually(lambda: webhook.bodies("other", "firing"), "what is not silenced is told")
    eventually(lambda: suppressed(quiet) == 1, "the other one is counted")
    quiet.wait_ticks(2)
    assert not webhook.bodies("broken")
    assert suppressed(quiet) == 1, "counted once"
    # A restart, and kill -9 at that, changes nothing.
    quiet.kill()
    quiet.start().wait_ready()
    quiet.wait_ticks(2)
    assert not webhook.bodies("broken")
    assert ask(quiet, "GET", f"/api/v2/silence/{id}")[1]["status"] == {"state": "active"}
    assert ask(quiet, "DELETE", f"/api/v2/silence/{id}")[0] == 200
    eventually(lambda: webhook.bodies("broken", "firing"), "told now")
    quiet.wait_ticks(2)
    assert len(webhook.bodies("broken")) == len(webhook.bodies("other")) == 1
    assert ask(quiet, "GET", f"/api/v2/silence/{id}")[1]["status"] == {"state": "expired"}


def test_a_resolved_notice_is_kept_back_and_not_lost(quiet, webhook, scripts):
    find(scripts, FINDING)
    eventually(lambda: webhook.bodies("broken", "firing"), "told")
    id = silence(quiet, matcher("service", "shop"))
    find(scripts, "")
    eventually(lambda: webhook.bodies("other", "resolved"), "the other one is over")
    quiet.wait_ticks(2)
    quiet.kill()
    quiet.start().wait_ready()
    quiet.wait_ticks(1)
    assert not webhook.bodies("broken", "resolved")
    ask(quiet, "DELETE", f"/api/v2/silence/{id}")
    eventually(lambda: webhook.bodies("broken", "resolved"), "told that it is over")
    quiet.wait_delivered()
    assert len(webhook.bodies("broken")) == 2


def test_an_alert_that_ends_within_its_silence_is_never_told(quiet, webhook, scripts):
    id = silence(quiet, matcher("service", "shop"))
    find(scripts, FINDING)
    eventually(lambda: suppressed(quiet) == 1, "kept back")
    find(scripts, "")
    eventually(lambda: webhook.bodies("other", "resolved"), "over")
    ask(quiet, "DELETE", f"/api/v2/silence/{id}")
    quiet.wait_delivered()
    assert not webhook.bodies("broken")


def test_an_acknowledged_alert_is_quiet_until_it_is_resolved(tempo, webhook, make_agent, scripts):
    (scripts / "detect.lua").unlink()
    find(scripts, FINDING)
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_REPEAT_INTERVAL_SECS=1).wait_ready()
    (told, *_) = eventually(lambda: webhook.bodies("broken", "firing"), "told")
    path = f"/api/v1/alerts/{told['fingerprint']}/ack"
    status, answer = ask(agent, "POST", path, {"author": "ann", "comment": "I look at it"})
    assert status == 200, answer
    assert ask(agent, "POST", path, {"author": "bob"})[1] == answer, "the same one, changed"
    agent.wait_delivered()
    n = len(webhook.bodies("broken"))
    others = len(webhook.bodies("other"))
    eventually(lambda: len(webhook.bodies("other")) >= others + 2, "what is not acknowledged is repeated")
    assert len(webhook.bodies("broken")) == n
    (one,) = ask(agent, "GET", "/api/v2/silences")[1]
    assert one["createdBy"] == "bob" and one["untilResolved"] is True
    assert one["matchers"] == [matcher("fingerprint", told["fingerprint"])]
    find(scripts, "")
    eventually(lambda: webhook.bodies("broken", "resolved"), "its end is told")
    assert ask(agent, "GET", f"/api/v2/silence/{answer['silenceID']}")[1]["status"] == {"state": "expired"}
    # When it comes back it is a new alert.
    before = len(webhook.bodies("broken", "firing"))
    find(scripts, FINDING)
    eventually(lambda: len(webhook.bodies("broken", "firing")) > before, "told again")


@pytest.mark.parametrize(
    "path, body, status, said",
    [
        ("/api/v1/alerts/0123456789abcdef/ack", {"author": "ann"}, 404, "no alert"),
        ("/api/v1/alerts/0123456789abcdef/ack", {"comment": "x"}, 422, "author"),
        ("/api/v1/alerts/x/ack", {"author": "ann"}, 404, "FINGERPRINT"),
        ("/api/v2/silences", {}, 422, "is required"),
        ("/api/v2/silences", {"matchers": [], "startsAt": LONG_AGO, "endsAt": FAR_AWAY, "createdBy": "", "comment": ""}, 400, "at least one matcher"),
        ("/api/v2/silences", {"matchers": [matcher("a", ".*", True)], "startsAt": LONG_AGO, "endsAt": FAR_AWAY, "createdBy": "", "comment": ""}, 400, "empty string"),
        ("/api/v2/silences", {"matchers": [matcher("a", "(", True)], "startsAt": LONG_AGO, "endsAt": FAR_AWAY, "createdBy": "", "comment": ""}, 400, "open group"),
        ("/api/v2/silences", {"matchers": [matcher("a", "b")], "startsAt": FAR_AWAY, "endsAt": LONG_AGO, "createdBy": "", "comment": ""}, 400, "before end time"),
        ("/api/v2/silences", {"matchers": [matcher("a", "b")], "startsAt": LONG_AGO, "endsAt": "2021-01-01T00:00:00Z", "createdBy": "", "comment": ""}, 400, "in the past"),
        ("/api/v2/silences", {"matchers": [matcher("a", "b")], "startsAt": "yesterday", "endsAt": FAR_AWAY, "createdBy": "", "comment": ""}, 400, "RFC 3339"),
        ("/api/v2/silences", {"id": "00000000-0000-4000-8000-000000000000", "matchers": [matcher("a", "b")], "startsAt": LONG_AGO, "endsAt": FAR_AWAY, "createdBy": "", "comment": ""}, 404, "not found"),
        ("/api/v2/silences", [], 400, "JSON object"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(quiet, path, body, status, said):
    got, answer = ask(quiet, "POST", path, body)
    assert got == status and said in json.dumps(answer), answer
    assert ask(quiet, "GET", "/api/v2/silences") == (200, [])


def test_silences_that_are_not_there(quiet):
    assert ask(quiet, "GET", "/api/v2/silence/00000000-0000-4000-8000-000000000000")[0] == 404
    assert ask(quiet, "DELETE", "/api/v2/silence/00000000-0000-4000-8000-000000000000")[0] == 404
    assert ask(quiet, "DELETE", "/api/v2/silence/nonsense")[0] == 422
    assert ask(quiet, "GET", "/api/v2/silences?filter=%22")[0] == 400


def amtool(agent, *args):
    return servers.amtool(f"http://127.0.0.1:{agent.port}", *args)


@needs_amtool
def test_amtool_adds_lists_changes_and_expires(quiet, webhook, scripts):
    id = amtool(quiet, "silence", "add", "broken", "service=~sh.p", "team!=x", "--comment=known", "--author=ann", "--duration=1h")
    other = amtool(quiet, "silence", "add", "alertname=never", "--comment=other")
    find(scripts, FINDING)
    eventually(lambda: webhook.bodies("other", "firing"), "what is not silenced is told")
    eventually(lambda: suppressed(quiet) == 1, "the other is kept back")
    assert not webhook.bodies("broken")

    assert sorted(amtool(quiet, "silence", "query", "-q").split()) == sorted([id, other])
    assert amtool(quiet, "silence", "query", "-q", "service=~sh.p") == id
    (told,) = [one for one in json.loads(amtool(quiet, "silence", "query", "-o", "json")) if one["id"] == id]
    assert told["createdBy"] == "ann" and told["comment"] == "known" and told["status"] == {"state": "active"}
    # amtool itself drops isEqual from what it prints as JSON for some operators: the table has them all.
    assert 'team!="x"' in amtool(quiet, "silence", "query", "-o", "extended")

    assert amtool(quiet, "silence", "update", "--duration=2h", "--comment=longer", id) != ""
    assert amtool(quiet, "silence", "query", "-q", "--created-by=ann") == id
    amtool(quiet, "silence", "expire", id)
    eventually(lambda: webhook.bodies("broken", "firing"), "told when the silence is over")
    assert amtool(quiet, "silence", "query", "-q") == other
    assert amtool(quiet, "silence", "query", "-q", "--expired") == id


def verb(agent, *args):
    env = {"SPANWATCH_LISTEN_ADDRESS": f"127.0.0.1:{agent.port}", "SPANWATCH_SCRIPTS_DIR": "/nowhere", "USER": "ann"}
    return run(*args, env=env, cwd=agent.folder)


def test_the_verb_adds_lists_and_expires(quiet, webhook, scripts):
    added = verb(quiet, "silence", "add", "broken", "service=~sh.p", "--duration", "2h", "--comment", "it's\tknown")
    assert (added.returncode, added.stderr) == (0, "")
    id = added.stdout.strip()
    find(scripts, FINDING)
    eventually(lambda: webhook.bodies("other", "firing"), "what is not silenced is told")
    eventually(lambda: suppressed(quiet) == 1, "the other is kept back")
    open_end = json.loads(verb(quiet, "silence", "add", "alertname=never", "--until-resolved", "--json").stdout)["silenceID"]

    listed = verb(quiet, "silence", "list")
    head, *lines = listed.stdout.splitlines()
    assert head.split() == ["ID", "STATE", "ENDS", "BY", "MATCHERS", "COMMENT"]
    rows = {line.split()[0]: line for line in lines}
    assert set(rows) == {id, open_end}
    assert ' ann ' in rows[id] and 'alertname="broken",service=~"sh.p"' in rows[id] and "it's known" in rows[id]
    assert "when resolved" in rows[open_end]
    assert [one["id"] for one in json.loads(verb(quiet, "silence", "list", "--json", "alertname=broken").stdout)] == [id]

    assert verb(quiet, "silence", "expire", id).returncode == 0
    eventually(lambda: webhook.bodies("broken", "firing"), "told when the silence is over")
    again = verb(quiet, "silence", "expire", id)
    assert again.returncode == 1 and "already expired" in again.stderr
    assert id not in verb(quiet, "silence", "list").stdout
    assert id in verb(quiet, "silence", "list", "--expired").stdout


def test_the_verb_acknowledges(quiet, webhook, scripts):
    find(scripts, FINDING)
    (told, *_) = eventually(lambda: webhook.bodies("broken", "firing"), "told")
    done = verb(quiet, "alert", "ack", told["fingerprint"][:6], "--comment", "mine")
    assert (done.returncode, done.stderr) == (0, "")
    (one,) = ask(quiet, "GET", "/api/v2/silences")[1]
    assert one["id"] == done.stdout.strip() and one["createdBy"] == "ann" and one["comment"] == "mine"
    unknown = verb(quiet, "alert", "ack", "0123456789abcdef")
    assert unknown.returncode == 1 and "no alert has a fingerprint that begins so" in unknown.stderr


@pytest.mark.parametrize(
    "args, said",
    [
        (["silence", "add"], "needs a matcher"),
        (["silence", "add", "a=~("], "open group"),
        (["silence", "add", "a=b", "--duration", "soon"], "--duration"),
        (["silence", "add", "a=b", "--end", "tomorrow"], "--end"),
        (["silence", "add", "a=b", "--end", FAR_AWAY, "--duration", "1h"], "together"),
        (["silence", "expire"], "needs an id"),
        (["silence", "remove"], "remove"),
        (["alert", "ack"], "fingerprint"),
        (["alert", "forget"], "forget"),
    ],
)  # fmt: skip
def test_wrong_usage_of_the_verbs(tmp_path, args, said):
    done = run(*args, cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and "--help" in done.stderr, done.stderr


def test_without_an_agent_the_verbs_say_so(tmp_path):
    address = f"127.0.0.1:{free_port()}"
    done = run("silence", "list", "--listen-address", address, cwd=tmp_path)
    assert done.returncode == 1 and address in done.stderr and done.stdout == ""
    done = run("silence", "list", "--listen-address", "", cwd=tmp_path)
    assert done.returncode == 78 and "listens nowhere" in done.stderr


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() + seconds))


def test_nothing_is_told_in_mute_times_and_everything_after_them(tempo, webhook, make_agent, scripts):
    (scripts / "detect.lua").unlink()
    find(scripts, FINDING)
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_MUTE_TIME_INTERVALS=f"{stamp(-3600)}/{stamp(36000)}").wait_ready()
    eventually(lambda: agent.metric("spanwatch_notifications_suppressed_total", reason="muted") == 2, "kept back")
    agent.wait_ticks(2)
    assert not webhook.bodies()
    agent.kill()
    agent.env["SPANWATCH_MUTE_TIME_INTERVALS"] = f"{stamp(36000)}/{stamp(72000)}; 2020-01-01T00:00/2020-01-02T00:00 Europe/Berlin"
    agent.start().wait_ready()
    eventually(lambda: webhook.bodies("broken", "firing") and webhook.bodies("other", "firing"), "told afterwards")
    agent.wait_delivered()
    assert len(webhook.bodies()) == 2


def test_every_mistake_in_mute_times_is_told_at_the_start(tmp_path):
    done = run("--mute-time-intervals", "Sat Europe/Nowhere; Mon-Fri; 25:00-26:00", cwd=tmp_path)
    assert done.returncode == 78
    assert "interval 1" in done.stderr and "Europe/Nowhere" in done.stderr and "interval 3" in done.stderr and "interval 2" not in done.stderr
