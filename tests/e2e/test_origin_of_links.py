"""Links that commands print lead to where the server is, also when that is told by --port alone."""

from __future__ import annotations

import re
from pathlib import Path

from e2e.processes import FIRST_ACCOUNT, run, serving


def link_of(told: str) -> str:
    found = re.search(r"(\S+)/console/welcome\?token=", told)
    assert found is not None, told
    return found[1]


def test_a_new_user_is_led_to_the_server_that_runs(tmp_path: Path):
    with serving(tmp_path, **FIRST_ACCOUNT) as server:
        added = run("console-user", "add", "ada@example.com", "--data", tmp_path / "data")
        again = run("console-user", "link", "ada@example.com", "--data", tmp_path / "data")
        named = run("console-user", "link", "ada@example.com", "--data", tmp_path / "data", POLYPORT_PUBLIC_URL="https://polyport.example")
        assert {link_of(each.stdout) for each in (added, again)} == {f"http://127.0.0.1:{server.port}"}
        assert link_of(named.stdout) == "https://polyport.example"
    assert "put its address" not in added.stdout
    (tmp_path / "data" / "origin").unlink()
    unknown = run("console-user", "link", "ada@example.com", "--data", tmp_path / "data")
    assert "Should yours be elsewhere than at http://127.0.0.1:8080, put its address in place of that." in unknown.stdout
