"""``polyport keys`` beside real servers: a rotation that nobody notices, one that is killed, keys that are not there."""

import base64
import json
import os
import re
import signal
import subprocess
import threading

import pytest

import stored
from e2e.processes import FIRST_ACCOUNT, PROGRAM, connect, environment, run, serving, simulating, towards, until
from polyport.connections import scope_of
from polyport.keyfile import KeyFile
from polyport.store.queries import load_queries
from polyport.store.rows import params
from polyport.vault import Keyring, Vault

CREATE_PERSON = "/partners/trigger-actions/2250101/run/sync"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    with simulating(tmp_path_factory.mktemp("simulator")) as simulator:
        yield simulator


def listed(data, **settings):
    done = run("keys", "list", "--json", "--data", data, **settings)
    assert done.returncode == 0, done.stderr
    return {key["keyId"]: key for key in json.loads(done.stdout)["keys"]}


def works(server, token, connection):
    body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Ada Example"}}
    status, answer = server.ask("POST", CREATE_PERSON, body, token=token)
    return status == 200, answer


class Callers:
    """Threads that use servers until they are told to stop; ``failed`` has every answer that was no success."""

    def __init__(self, *work):
        self.failed, self.count, self._stop = [], 0, threading.Event()
        self._threads = [threading.Thread(target=self._go, args=(one,)) for one in work]

    def _go(self, work):
        while not self._stop.is_set():
            ok, answer = work()
            self.count += 1
            if not ok:
                self.failed.append(answer)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_nobody_notices_a_rotation_and_afterwards_the_new_key_alone_opens_everything(tmp_path, simulator):
    data, settings = tmp_path / "data", {**FIRST_ACCOUNT, **towards(simulator)}
    with serving(tmp_path, **settings) as one, serving(tmp_path, log="other.log", **settings) as other:
        token = one.sign_in()
        first = connect(one, token)
        made = []

        def create():
            made.append(connect(one, token))
            return works(other, token, made[-1])

        with Callers(create, lambda: works(one, token, first), lambda: works(other, token, first)) as callers:
            until(lambda: callers.count > 10)
            done = run("keys", "rotate", "--data", data)
            assert done.returncode == 0, done.stderr
            old = re.search(r"polyport keys drop (\w+)", done.stdout)[1]
            dropped = run("keys", "drop", old, "--data", data)
            assert dropped.returncode == 0, dropped.stderr
            before = callers.count
            until(lambda: callers.count > before + 10)
        assert callers.failed == []
        assert set(listed(data)) == {old, *KeyFile(data).read().ids}
        seen = one.ask("GET", "/readyz")[1]["data"]["checks"]["masterKeys"]
        assert {key["keyId"] for key in seen} <= set(listed(data))
    assert old not in KeyFile(data).read().ids
    with serving(tmp_path, log="third.log", **settings) as third:
        assert all(works(third, token, connection)[0] for connection in [first, *made])


def many(data, count):
    """A great many connections, sealed with the key of the folder; what is in them does not matter."""
    vault = Vault(KeyFile(data).read())
    with stored.opened_file(data / "polyport.db") as database, database:
        [[account]] = database.execute("SELECT account_id FROM accounts")
        rows = (
            {"only_user": None, **params(stored.connection(account, number, data_key=vault.new_key(scope_of(account, number))))}
            for number in range(50_000, 50_000 + count)
        )
        database.executemany(load_queries()["insert_connection"].sql, rows)


def keys_of_connections(data):
    """The master keys that connections are under, read beside the servers."""
    with stored.opened_file(data / "polyport.db") as database:
        return database.execute("SELECT key_id FROM data_key_census WHERE holder = 'connections' AND count > 0").fetchall()


def test_a_rotation_that_is_killed_goes_on_when_it_is_run_again(tmp_path):
    data = tmp_path / "data"
    with serving(tmp_path, **FIRST_ACCOUNT):
        many(data, 20_000)
        command = [str(PROGRAM), "keys", "rotate", "--data", str(data)]
        cut = subprocess.Popen(command, env=environment({"PYTHONUNBUFFERED": "1"}), stdout=subprocess.PIPE, text=True)  # noqa: S603  the program under test
        until(lambda: len(keys_of_connections(data)) == 2)
        cut.send_signal(signal.SIGKILL)
        cut.communicate()
        assert cut.returncode == -signal.SIGKILL, "the rotation was over before it could be killed"
        half = listed(data)
        assert sorted(key["dataKeys"].get("connections", 0) > 0 for key in half.values()) == [True, True]
        done = run("keys", "rotate", "--data", data)
        assert done.returncode == 0, done.stderr
        assert "Going on with the rotation" in done.stdout
        assert len(KeyFile(data).read().ids) == 2
        whole = listed(data)
        assert whole.keys() == half.keys()
        assert sorted(key["dataKeys"].get("connections", 0) for key in whole.values()) == [0, 20_000]


def test_with_keys_from_the_setting_the_command_says_the_steps(tmp_path):
    first, second = (run("keys", "new").stdout.strip() for _key in range(2))
    data, old = tmp_path / "data", Keyring.parse(first).ids[0]
    with serving(tmp_path, **FIRST_ACCOUNT, POLYPORT_MASTER_KEY=first):
        refused = run("keys", "rotate", "--data", data, POLYPORT_MASTER_KEY=first)
        assert refused.returncode == 1
        assert f"polyport keys drop {old}" in refused.stderr
        early = run("keys", "rotate", "--data", data, POLYPORT_MASTER_KEY=f"{second},{first}")
        assert early.returncode == 1
        assert "restart it with the new POLYPORT_MASTER_KEY" in early.stderr
    with serving(tmp_path, log="again.log", **FIRST_ACCOUNT, POLYPORT_MASTER_KEY=f"{second},{first}"):
        assert run("keys", "rotate", "--data", data, POLYPORT_MASTER_KEY=f"{second},{first}").returncode == 0
        dropped = run("keys", "drop", old, "--data", data, POLYPORT_MASTER_KEY=f"{second},{first}")
        assert "take it out of POLYPORT_MASTER_KEY" in dropped.stdout
    with serving(tmp_path, log="last.log", **FIRST_ACCOUNT, POLYPORT_MASTER_KEY=second) as server:
        server.sign_in()
        for told in (refused, early, dropped):
            assert first not in told.stdout + told.stderr
            assert second not in told.stdout + told.stderr


def test_a_connection_whose_key_is_not_there_says_so_and_the_others_go_on(tmp_path, simulator):
    data, lost = tmp_path / "data", base64.b64encode(os.urandom(32)).decode()
    with serving(tmp_path, **FIRST_ACCOUNT, **towards(simulator)) as server:
        token = server.sign_in()
        good, bad = connect(server, token), connect(server, token)
        account = 1
        wrapped = Keyring.parse(lost).wrap(scope_of(account, bad).encode(), bytes(32))
        with stored.opened_file(data / "polyport.db") as database:
            database.execute("UPDATE connections SET data_key = ? WHERE connection_id = ?", (wrapped, bad))
    with serving(tmp_path, log="again.log", **FIRST_ACCOUNT, **towards(simulator)) as server:
        ok, answer = works(server, token, bad)
        lost_id = Keyring.parse(lost).ids[0]
        assert (ok, answer["error"]["code"]) == (False, "connection_invalid")
        assert lost_id in answer["error"]["message"]
        assert "master key" in answer["error"]["suggestedFix"]
        assert works(server, token, good)[0]
        assert server.ask("GET", f"/credentials/{bad}", token=token)[0] == 200
        seen = {key["keyId"]: key for key in server.ask("GET", "/readyz")[1]["data"]["checks"]["masterKeys"]}
        assert (seen[lost_id]["held"], seen[lost_id]["dataKeys"]) == (False, {"connections": 1})
        assert "NOT HERE" in run("keys", "list", "--data", data).stdout
        rotated = run("keys", "rotate", "--data", data)
        assert rotated.returncode == 1
        assert f"1 of connections are under key {lost_id}, which is not here" in rotated.stderr
        assert works(server, token, good)[0]
        # The key comes back into the file: no restart.
        file = KeyFile(data).path
        file.write_text(f"{file.read_text().strip()},{lost}\n")
        until(lambda: lost_id in {key["keyId"] for key in seen_keys(data) if key["held"]})


def seen_keys(data):
    return list(listed(data).values())


def test_a_key_file_that_is_spoilt_while_the_server_runs_stops_nothing_and_is_said(tmp_path, simulator):
    data = tmp_path / "data"
    with serving(tmp_path, **FIRST_ACCOUNT, **towards(simulator)) as server:
        token = server.sign_in()
        text = KeyFile(data).path.read_text()
        KeyFile(data).path.write_text("spoilt")
        connection = connect(server, token)
        assert works(server, token, connection)[0]
        said = until(lambda: server.ask("GET", "/readyz")[1]["data"]["checks"].get("keyFile"))
        assert "master.key" in said
        until(lambda: "the key file cannot be read again" in server.told())
        KeyFile(data).path.write_text(text)
        until(lambda: "keyFile" not in server.ask("GET", "/readyz")[1]["data"]["checks"])


def test_a_folder_without_data_is_told(tmp_path):
    done = run("keys", "rotate", "--data", tmp_path)
    assert (done.returncode, done.stderr) == (1, f"polyport: There is no server's data in {tmp_path}: name its folder with --data.\n")
    assert list(tmp_path.iterdir()) == []
