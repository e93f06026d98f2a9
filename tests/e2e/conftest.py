import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from support.agent import PROGRAM, SCRIPTS, Agent  # noqa: E402
from support.servers import Alertmanager, Prometheus  # noqa: E402
from support.tempo import Tempo  # noqa: E402
from support.traffic import Traffic  # noqa: E402
from support.webhook import Webhook  # noqa: E402


def pytest_sessionstart(session):
    if not PROGRAM.exists():
        pytest.exit(f"{PROGRAM} is not there: run make first", returncode=2)


@pytest.fixture
def make_tempo():
    """Starts stand-ins for Tempo; a question that one of them did not understand fails the test."""
    made = []

    def make(*args, **options):
        made.append(Tempo(*args, **options))
        return made[-1]

    yield make
    for tempo in made:
        tempo.stop()
    for tempo in made:
        assert not tempo.not_understood, tempo.not_understood


@pytest.fixture
def tempo(make_tempo):
    return make_tempo("3", cutoff_s=0)


@pytest.fixture
def make_webhook():
    made = []

    def make(**options):
        made.append(Webhook(**options))
        return made[-1]

    yield make
    for webhook in made:
        webhook.stop()


@pytest.fixture
def webhook(make_webhook):
    return make_webhook()


def servers_of(kind, folder):
    made = []

    def make(*args, **options):
        made.append(kind(folder / f"{kind.__name__.lower()}{len(made)}", *args, **options))
        return made[-1].start()

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def make_alertmanager(tmp_path):
    """Starts real Alertmanagers; the test needs the mark needs_alertmanager."""
    yield from servers_of(Alertmanager, tmp_path)


@pytest.fixture
def make_prometheus(tmp_path):
    """Starts real servers of Prometheus; the test needs the mark needs_prometheus."""
    yield from servers_of(Prometheus, tmp_path)


@pytest.fixture
def make_agent(tmp_path, request):
    """Starts agents; each is killed at the end of the test. A crash or a sanitizer's report fails the test."""
    made = []

    def make(tempo=None, webhook=None, start=True, args=(), folder=None, **env):
        if tempo is not None:
            env.setdefault("TEMPO_URL", tempo.url + tempo.prefix)
        if webhook is not None:
            env.setdefault("TEMPO_ALERT_WEBHOOK_URL", webhook.hook)
        folder = tmp_path / (folder or f"agent{len(made)}")
        folder.mkdir(exist_ok=True)
        made.append(Agent(folder, env, args))
        return made[-1].start() if start else made[-1]

    yield make
    crashed = []
    for agent in made:
        if agent.running:
            agent.kill()
        elif agent.process is not None and agent.process.returncode not in (0, -9, 1, 78, 130, 143):
            crashed.append(agent.process.returncode)
    logs = "\n".join(agent.log() for agent in made)
    assert not crashed, f"the agent ended with {crashed}\n{logs[-4000:]}"
    for word in ("ERROR: AddressSanitizer", "runtime error:", "ERROR: LeakSanitizer", "terminated by signal"):
        assert word not in logs, logs[max(0, logs.find(word) - 500) :][:6000]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    folder = item.funcargs.get("tmp_path")
    if report.when == "call" and report.failed and folder is not None:
        for log in sorted(folder.glob("*/agent.log")):
            report.sections.append((f"log of {log.parent.name}, its end", log.read_text(errors="replace")[-8000:]))


@pytest.fixture
def traffic():
    seed = int(os.environ.get("SPANWATCH_TEST_SEED", time.time()))
    print(f"SPANWATCH_TEST_SEED={seed}")
    return Traffic(seed)


@pytest.fixture
def scripts(tmp_path):
    """A scripts folder of one's own, with the library and the default rules."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    shutil.copytree(SCRIPTS / "lib", folder / "lib")
    shutil.copy(SCRIPTS / "detect.lua", folder)
    return folder


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A certificate authority, and certificates for 127.0.0.1 and for a client that it signed."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
            "-days", "2", "-subj", "/CN=test authority", "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    for name, extension in (("server", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")):
        (folder / f"{name}.ext").write_text(extension)
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key",
                "-out", f"{name}.csr", "-subj", f"/CN={name}")  # fmt: skip
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", f"{name}.pem", "-days", "2", "-extfile", f"{name}.ext")  # fmt: skip
    return folder


@pytest.fixture
def server_tls(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    return context


@pytest.fixture
def mutual_tls(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context
