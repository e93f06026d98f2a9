"""The disk fails in every way: alerts go out all the same, the fault is an alert, and afterwards nothing was lost or told twice."""

import contextlib
import os
import pathlib
import resource
import subprocess

import pytest
from support.agent import eventually
from test_blindness import firing, resolved

ALWAYS = "return {{ check = function() return {{ {{ type = '{0}' }} }} end }}"


def can_mount():
    return subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0


class Disk:
    """A small file system of its own at `folder`, that only the agents of this test see."""

    def __init__(self, folder, size):
        folder.mkdir()
        self.folder = folder
        script = f"mount -t tmpfs -o size={size} none {folder} && echo mounted && exec cat"
        self.holder = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"mounted\n"
        self.enter = ("nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt")
        self.seen = pathlib.Path(f"/proc/{self.holder.pid}/root{folder}")

    def fill(self):
        with contextlib.suppress(OSError), open(self.seen / "filler", "ab", buffering=0) as filler:
            for piece in (65536, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        filler.write(b"x" * piece)

    def free(self):
        (self.seen / "filler").unlink()

    def remount(self, how):
        """ro or rw, whoever has files open: for those who open them from now on."""
        subprocess.run([*self.enter, "mount", "-o", f"remount,bind,{how}", str(self.folder)], check=True)

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()


@pytest.fixture
def disk(tmp_path):
    if not can_mount():
        pytest.skip("needs the right to mount (root)")
    disk = Disk(tmp_path / "disk", "6m")
    yield disk
    disk.close()


def on_disk(make_agent, disk, tempo, webhook, **env):
    agent = make_agent(tempo, webhook, start=False, SPANWATCH_STORAGE_PATH=disk.folder / "data", **env)
    agent.prefix = (*disk.enter, f"--wd={agent.folder}")
    return agent


def told_once(webhook, *names):
    for name in names:
        assert len(firing(webhook, name)) == 1, name


def test_a_full_disk_holds_up_no_alert_and_nothing_is_told_twice_after_a_kill(tempo, webhook, make_agent, scripts, disk):
    (scripts / "before.lua").write_text(ALWAYS.format("before"))
    agent = on_disk(make_agent, disk, tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).start().wait_ready()
    eventually(lambda: firing(webhook, "before"), "an alert before")
    agent.wait_ticks(1)
    disk.fill()
    eventually(lambda: firing(webhook, "storage_failing"), "the fault is an alert")
    assert "full" in firing(webhook, "storage_failing")[0]["error_message"]
    (scripts / "during.lua").write_text(ALWAYS.format("during"))
    eventually(lambda: firing(webhook, "during"), "an alert from memory")
    (scripts / "before.lua").unlink()
    eventually(lambda: resolved(webhook, "before"), "an end from memory")
    disk.free()
    eventually(lambda: resolved(webhook, "storage_failing"), "the end of the fault")
    agent.wait_delivered()
    agent.kill()
    agent.start().wait_ready()
    agent.wait_ticks(2)
    (scripts / "during.lua").unlink()
    eventually(lambda: resolved(webhook, "during"), "what was stored when there was room again is known after a kill")
    told_once(webhook, "before", "during", "storage_failing")
    assert len(resolved(webhook, "before")) == 1


@pytest.mark.parametrize("how, end", [("full", "stop"), ("read-only", "stop"), ("full", "kill"), ("read-only", "kill")])
def test_a_start_with_a_disk_that_cannot_be_written_tells_alerts_from_memory(tempo, webhook, make_agent, scripts, disk, how, end):
    (scripts / "known.lua").write_text(ALWAYS.format("known"))
    agent = on_disk(make_agent, disk, tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).start().wait_ready()
    eventually(lambda: firing(webhook, "known"), "an alert before")
    agent.wait_delivered()
    getattr(agent, end)()  # after a kill there is a journal
    if how == "full":
        disk.fill()
    else:
        disk.remount("ro")
    agent.start().wait_listening()
    eventually(lambda: "the storage cannot be written" in (agent.get("/-/ready") or (0, ""))[1], "why it is not ready")
    (scripts / "new.lua").write_text(ALWAYS.format("new"))
    eventually(lambda: firing(webhook, "new"), "an alert from memory")
    eventually(lambda: firing(webhook, "storage_failing"), "the fault is an alert")
    told_once(webhook, "known", "new", "storage_failing")
    (scripts / "known.lua").unlink()
    eventually(lambda: resolved(webhook, "known"), "what was known before the fault is known")
    (disk.free if how == "full" else lambda: disk.remount("rw"))()
    eventually(lambda: resolved(webhook, "storage_failing"), "it can be written again")
    agent.wait_delivered()
    agent.kill()
    agent.start().wait_ready()
    agent.wait_ticks(2)
    told_once(webhook, "known", "new", "storage_failing")
    assert len(resolved(webhook, "known")) == 1
    (scripts / "new.lua").unlink()
    eventually(lambda: resolved(webhook, "new"), "what was kept in memory was written, and is known after a kill")


def test_a_folder_that_was_never_written_and_cannot_be_is_a_mistake(tempo, webhook, make_agent, disk):
    (disk.seen / "data").mkdir()
    disk.remount("ro")
    agent = on_disk(make_agent, disk, tempo, webhook).start()
    assert agent.process.wait(20) == 78
    assert "Read-only file system" in agent.log() and "SPANWATCH_STORAGE_PATH" in agent.log()


def test_a_file_that_must_not_grow_is_the_same(tempo, webhook, make_agent, scripts):
    """As with a limit on the size of files: writing fails while the agent runs, and no signal ends it."""
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts, SPANWATCH_LOG_LEVEL="error").wait_ready()
    agent.wait_ticks(1)
    limits = resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
    (scripts / "during.lua").write_text(ALWAYS.format("during"))
    eventually(lambda: firing(webhook, "during"), "an alert from memory")
    eventually(lambda: firing(webhook, "storage_failing"), "the fault is an alert")
    resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE, limits)
    eventually(lambda: resolved(webhook, "storage_failing"), "the end of the fault")
    agent.kill()
    agent.start().wait_ready()
    agent.wait_ticks(2)
    told_once(webhook, "during", "storage_failing")


def test_a_database_that_is_damaged_is_set_aside_and_that_is_an_alert(tempo, webhook, make_agent, scripts):
    (scripts / "known.lua").write_text(ALWAYS.format("known"))
    agent = make_agent(tempo, webhook, SPANWATCH_SCRIPTS_DIR=scripts).wait_ready()
    eventually(lambda: firing(webhook, "known"), "an alert before")
    agent.wait_delivered()
    assert agent.stop() == 0
    database = pathlib.Path(agent.env["SPANWATCH_STORAGE_PATH"]) / "spanwatch.db"
    with open(database, "r+b") as file:
        for page in range(1, os.path.getsize(database) // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 512)
    agent.start().wait_ready()
    eventually(lambda: firing(webhook, "storage_damaged"), "that is an alert")
    assert "corrupt-" in firing(webhook, "storage_damaged")[0]["error_message"]
    eventually(lambda: len(firing(webhook, "known")) == 2, "what is not remembered is told again, and not lost")
    assert list(database.parent.glob("spanwatch.db.corrupt-*"))
