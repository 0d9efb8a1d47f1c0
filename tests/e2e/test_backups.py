"""``polyport backup`` and ``polyport restore`` as an operator meets them."""

import re

from e2e.processes import FIRST_ACCOUNT, connect, run, serving, simulating, towards

CREATE_PERSON = "/partners/trigger-actions/2250101/run/sync"


def test_a_lost_day_comes_back_from_a_backup(tmp_path):
    data, backup = tmp_path / "data", tmp_path / "backup.db"
    with simulating(tmp_path) as simulator:
        settings = {**FIRST_ACCOUNT, **towards(simulator)}
        with serving(tmp_path, **settings) as server:
            token = server.sign_in()
            connection = connect(server, token)
            saved = run("backup", backup, "--data", data)
            assert (saved.returncode, saved.stderr) == (0, "")
            assert re.search(
                r"1 accounts, 1 connections, 0 runs\.\nIt opens with master key [0-9a-f]{16}, which is not in it", saved.stdout
            )
            again = run("backup", backup, "--data", data)
            assert (again.returncode, "--force" in again.stderr) == (1, True)
            refused = run("restore", backup, "--data", data)
            assert refused.returncode == 1
            assert f"process {server.process.pid}" in refused.stderr
            assert "stop it first" in refused.stderr
            assert server.ask("DELETE", f"/credentials/{connection}", token=token)[0] == 200
        done = run("restore", backup, "--data", data)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(
            r"Restored the backup of \d{4}-.* UTC: 1 accounts, 1 connections, 0 runs\.\nThe database from before is in ", done.stdout
        )
        with serving(tmp_path, log="again.log", **settings) as server:
            body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Ada Example"}}
            assert server.ask("POST", CREATE_PERSON, body, token=token)[0] == 200
