"""The benchmark beside peers, with the smallest of them: what a team writes in a week."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PERSON = {"name": "Ada Lovelace", "email": [{"value": "ada@example.com"}]}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads /proc and pins processes to cores")


def compare(*arguments):
    command = [sys.executable, "-m", "bench.peers", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603  our own program


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What a short comparison says: its figures, its page."""
    folder = tmp_path_factory.mktemp("results")
    done = compare("--only", "week", "--seconds", "0.5", "--rounds", "1", "--into", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    (figures,) = folder.glob("*.json")
    return json.loads(figures.read_text("utf-8")), figures.with_suffix(".md").read_text("utf-8")


def test_the_service_made_in_a_week_is_measured_beside_polyport_and_the_forwarder(told):
    figures, page = told
    rows = {(row["name"], row["callers"]): row["samples"] for row in figures["found"]["rows"]}
    assert set(rows) == {(name, callers) for name in ("forwarder", "polyport sync", "week") for callers in (1, 64)}
    assert all(sample["rate"] > 0 and sample["cpu_us"] > 0 for samples in rows.values() for sample in samples)
    assert figures["found"]["missing"] == []
    assert [line for line in page.splitlines() if line.startswith("| 64      | week")]


def test_the_figures_say_what_they_were_made_on(told):
    figures, page = told
    assert {"cpu", "cores", "python", "tools", "load_average", "commit"} <= set(figures["machine"])
    assert {"n8n", "Node-RED", "celery", "procrastinate"} <= set(figures["versions"])
    assert "## Method" in page


def test_a_peer_that_is_not_known_is_refused():
    done = compare("--only", "zapier")
    assert (done.returncode, "there is no peer zapier" in done.stderr) == (2, True)


@pytest.fixture(scope="module")
def week(tmp_path_factory):
    """The service, with a partner that nobody is: a function that asks it."""
    with socket.socket() as probe, socket.socket() as nobody:
        probe.bind(("127.0.0.1", 0))
        nobody.bind(("127.0.0.1", 0))
        port, closed = probe.getsockname()[1], nobody.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "bench.week.app",
        str(port),
        str(tmp_path_factory.mktemp("week") / "week.db"),
        f"http://127.0.0.1:{closed}",
    ]

    def ask(method, path, token="", body=None):
        wire = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            wire.request(
                method, path, json.dumps(body) if body else None, {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
            )
            return wire.getresponse().status
        finally:
            wire.close()

    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"WEEK_TOKEN": "right"})  # noqa: S603  our own program
    try:
        for _try in range(600):
            try:
                assert ask("GET", "/health") == 200
                break
            except OSError:
                time.sleep(0.1)
        yield ask
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize(
    ("token", "body", "status"),
    [
        ("wrong", {"connection": 1, "person": PERSON}, 401),
        ("right", {"connection": 2, "person": PERSON}, 404),
        ("right", {"connection": 1, "person": PERSON | {"nam": "x"}}, 422),
        ("right", {"connection": 1, "person": PERSON}, 502),
    ],
)
def test_the_service_made_in_a_week_refuses_what_it_should(week, token, body, status):
    assert week("POST", "/runs", token, body) == status
