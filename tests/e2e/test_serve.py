"""``polyport serve`` as an operator meets it: start, keys, signals, several processes, what is wrong said in a sentence."""

import base64
import concurrent.futures
import os
import re
import signal
import stat
import sys
from pathlib import Path

import pytest

from e2e.processes import EMAIL, FIRST_ACCOUNT, PASSWORD, connect, run, serving, simulating, taken_port, towards, until
from polyport.cli.folders import bundled
from polyport.settings import environment_names
from polyport.stamps import MANY
from shelf import folder

CREATE_PERSON = "/partners/trigger-actions/2250101/run/sync"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server whose first account was named, and whose own partners are one with faults and a folder that is not there."""
    folder = tmp_path_factory.mktemp("serve")
    broken = folder / "mine" / "broken"
    broken.mkdir(parents=True)
    (broken / "partner.yaml").write_text("id: 900\ntitel: Broken\n")
    with serving(folder, empty=True, anew=True, **FIRST_ACCOUNT, POLYPORT_CONNECTORS=f"{folder / 'mine'},{folder / 'nowhere'}") as server:
        yield server


def test_after_the_start_the_server_says_that_it_is_ready(server):
    assert server.ask("GET", "/healthz")[0] == 200
    status, answer = server.ask("GET", "/readyz")
    assert (status, answer["data"]["status"]) == (200, "ok")
    found = {name: answer["data"]["checks"][name] for name in ("store", "queued", "partners")}
    assert found == {"store": "ok", "queued": 0, "partners": len(bundled())}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux brings files to the disk for a process that goes on")
def test_a_server_of_one_process_lets_the_kernel_bring_its_commits_to_the_disk(server):
    server.sign_in()  # which is written
    assert "linux_aio" in Path(f"/proc/{server.process.pid}/maps").read_text()


def test_the_first_account_is_the_one_that_was_named_and_its_password_is_told_nowhere(server):
    server.sign_in()
    assert server.ask("POST", "/user/auth", {"email": EMAIL, "password": "another one"})[0] == 401
    assert PASSWORD not in server.told()
    assert "First account" not in server.told()


def test_everything_is_written_into_the_data_folder_and_the_key_for_its_owner_alone(server):
    folder = server.log.parent
    assert {path.name for path in folder.iterdir()} == {"data", "mine", "serve.log"}
    assert {"master.key", "polyport.db"} <= {path.name for path in (folder / "data").iterdir()}
    assert stat.S_IMODE((folder / "data" / "master.key").stat().st_mode) == 0o600


def test_a_partner_with_faults_is_left_out_and_named_and_the_rest_is_served(server):
    left_out = server.ask("GET", "/readyz")[1]["data"]["checks"]["leftOut"]
    partners = server.ask("GET", "/partners/info", token=server.sign_in())[1]["data"]
    assert any("broken/partner.yaml:2:1" in text and "titel" in text for text in left_out)
    assert "a partner is left out" in server.told()
    assert "broken/partner.yaml:2:1" in server.told()
    assert 225 in [partner["partnerId"] for partner in partners]
    assert 900 not in [partner["partnerId"] for partner in partners]


def test_a_folder_of_partners_that_is_not_there_is_named(server):
    left_out = server.ask("GET", "/readyz")[1]["data"]["checks"]["leftOut"]
    assert "nowhere:1:1: POLYPORT_CONNECTORS names this, and there is no folder of this name: correct it." in left_out


def test_a_taken_port_is_said_before_anything_is_written(tmp_path):
    with taken_port() as port:
        done = run("serve", "--port", port, "--data", tmp_path / "data")
    assert done.returncode == 1
    assert done.stderr == f"polyport: Cannot listen on 127.0.0.1:{port}: it is taken by another program. Choose another with --port.\n"
    assert not (tmp_path / "data").exists()


def test_an_address_that_is_not_this_machines_is_said(tmp_path):
    done = run("serve", "--host", "203.0.113.9", "--port", 0, "--data", tmp_path / "data")
    assert done.returncode == 1
    assert done.stderr.startswith("polyport: Cannot listen on 203.0.113.9:0: ")
    assert done.stderr.count("\n") == 1


def test_every_wrong_setting_is_named_at_once(tmp_path):
    wrong = {
        "POLYPORT_PORT": "http",
        "POLYPORT_WORKERS": "0",
        "POLYPORT_ALLOW_NETWORKS": "everything",
        "POLYPORT_HTTP_GRACE": "-1",
        "POLYPORT_LOG_LEVEL": "loud",
    }
    done = run("serve", "--data", tmp_path / "data", **wrong)
    assert done.returncode == 1
    assert [name for name in wrong if f"{name}: " not in done.stderr] == []
    assert not [name for name in environment_names() if f"{name}: " in done.stderr and name not in wrong]
    assert done.stderr.count("\n") == 1


def test_the_first_account_is_made_up_and_told_once(tmp_path):
    with serving(tmp_path, empty=True) as server:
        told = server.told()
        email = re.search(r"e-mail +(\S+)", told)[1]
        password = re.search(r"password +(\S+)", told)[1]
        assert len(password) >= 20
        server.sign_in(email, password)
        assert server.stop() == 0
    with serving(tmp_path, log="again.log") as server:
        assert password not in server.told()
        assert "First account" not in server.told()
        server.sign_in(email, password)
        assert server.stop(signal.SIGINT) == 0


def test_a_password_that_is_too_short_stops_the_start(tmp_path):
    done = run("serve", "--port", 0, "--data", tmp_path / "data", POLYPORT_BOOTSTRAP_PASSWORD="short")
    assert done.returncode == 1
    assert done.stderr == "polyport: A password has at least 8 characters: set POLYPORT_BOOTSTRAP_PASSWORD to a longer one.\n"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_key_that_does_not_open_the_data_stops_the_start_with_a_sentence(server, workers):
    other = base64.b64encode(os.urandom(32)).decode()
    done = run("serve", "--port", 0, "--data", server.log.parent / "data", "--workers", workers, POLYPORT_MASTER_KEY=other)
    assert done.returncode == 1
    assert "The master key is not the one this data was sealed with" in done.stderr
    assert "Traceback" not in done.stderr
    assert other not in done.stderr


def test_a_key_that_is_none_stops_the_start_with_the_way_to_make_one(tmp_path):
    done = run("serve", "--port", 0, "--data", tmp_path / "data", POLYPORT_MASTER_KEY="hello")
    assert done.returncode == 1
    assert done.stderr == "polyport: POLYPORT_MASTER_KEY: key 1 is not 32 bytes in base64. Make one with: openssl rand -base64 32\n"


def test_sigterm_ends_the_server_in_order_and_lets_what_is_under_way_end(tmp_path):
    with simulating(tmp_path) as simulator, serving(tmp_path, **FIRST_ACCOUNT, **towards(simulator)) as server:
        token = server.sign_in()
        connection = connect(server, token)
        simulator.ask("POST", "/_simulator/faults", {"kind": "slow", "seconds": 1, "match": "POST /api/v2/persons"})
        body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Ada Example"}}
        with concurrent.futures.ThreadPoolExecutor() as pool:
            under_way = pool.submit(server.ask, "POST", CREATE_PERSON, body, token=token)
            until(lambda: any("/persons" in request["path"] for request in arrived(simulator)))
            assert server.stop() == 0
            status, answer = under_way.result()
        assert (status, answer["data"]["status"]) == (200, "succeeded")
        assert "Traceback" not in server.told()


def arrived(simulator):
    found = simulator.ask("GET", "/_simulator/requests")[1]
    return found if isinstance(found, list) else found["requests"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the children of a process are read from /proc")
def test_of_several_processes_one_that_dies_is_started_again_and_nobody_notices(tmp_path):
    with serving(tmp_path, "--workers", 2, **FIRST_ACCOUNT) as server:
        token = server.sign_in()
        both = until(lambda: two_workers(server))
        os.kill(min(both), signal.SIGKILL)
        until(lambda: "a server process died and is started again" in server.told())
        now = until(lambda: two_workers(server))
        assert min(both) not in now
        assert max(both) in now
        assert {server.ask("GET", "/partners/info", token=token)[0] for _call in range(20)} == {200}
        assert server.stop() == 0
    assert not [pid for pid in now if Path(f"/proc/{pid}").exists()]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the children of a process are read from /proc")
def test_servers_whose_supervisor_is_killed_stop_by_themselves(tmp_path):
    with serving(tmp_path, "--workers", 2, **FIRST_ACCOUNT) as server:
        both = until(lambda: two_workers(server))
        server.process.kill()
        server.process.wait()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in both))


def two_workers(server):
    """The ids of both server processes, once they hold their locks: from then on they serve."""
    alive = {int(path.name.partition("-")[0]) for path in (server.log.parent / "data" / "processes").glob("*.lock")}
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    serving_now = alive & set(map(int, children))
    return serving_now if len(serving_now) == 2 else None


def test_a_folder_among_many_that_changed_while_no_server_ran_is_taken_up_once_the_next_one_serves(tmp_path):
    for number in range(MANY):
        for name, content in folder(5_000 + number).items():
            path = tmp_path / "many" / f"depot-{5_000 + number}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    given = {"POLYPORT_CONNECTORS": str(tmp_path / "many"), **FIRST_ACCOUNT}
    changed = tmp_path / "many" / "depot-5007" / "partner.yaml"
    with serving(tmp_path, empty=True, **given) as server:
        assert server.stop() == 0
    changed.write_bytes(folder(5_007, title="Quay")["partner.yaml"])
    with serving(tmp_path, "--workers", 2, log="again.log", empty=True, **given) as server:
        token = server.sign_in()
        for _process in range(8):  # whichever of the two answers
            until(lambda: server.ask("GET", "/partners/5007", token=token)[1]["data"]["title"] == "Quay")
