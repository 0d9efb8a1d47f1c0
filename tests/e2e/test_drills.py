"""The drills in their short form: programs that try a promise on real processes, print figures, and end with 1 when it is broken."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from drilling import Report, run_drill

DRILLS = Path(__file__).parents[1] / "drills"


ROOT = DRILLS.parents[1]
WHOLE = ["disk_full"]  # it puts its process into a namespace of its own, which a test could not leave again


# They begin where this process is: the modules are read, and what begins servers has read theirs.
@pytest.mark.parametrize(
    "name", ["budget", "callbacks", "crash", "noisy_neighbour", "overload", "refresh", "restart", "restore", "rotate_keys", "soak"]
)
def test_a_drill_finds_every_promise_kept(name, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", [name, "--quick"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(DRILLS / f"{name}.py"), run_name="__main__")
    told = capfd.readouterr()
    assert end.value.code == 0, told.out + told.err
    assert "All promises kept." in told.out


@pytest.mark.parametrize("name", WHOLE)
def test_a_drill_that_is_a_process_of_its_own_does_too(name):
    given = os.environ | {"PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in ("src", "tests", "."))}
    command = [sys.executable, str(DRILLS / f"{name}.py"), "--quick"]
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603  our own program
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All promises kept." in done.stdout


def test_every_drill_is_among_them():
    (tried,) = (mark.args[1] for mark in test_a_drill_finds_every_promise_kept.pytestmark)
    assert sorted([*tried, *WHOLE]) == sorted(path.stem for path in DRILLS.glob("*.py"))


@pytest.mark.parametrize(("found", "code", "verdict"), [(2, 0, "All promises kept."), (3, 1, "BROKEN: 1 promises")])
def test_a_drill_that_finds_a_promise_broken_ends_with_1_and_says_which(found, code, verdict, monkeypatch, capsys):
    async def drill(folder: Path, quick: bool, report: Report) -> None:
        assert quick
        report.check("requests that arrived", found, 2)

    monkeypatch.setattr(sys, "argv", ["drill", "--quick"])
    assert run_drill("Drill: counts.", drill) == code
    told = capsys.readouterr().out
    assert verdict in told
    assert ("BROKEN  requests that arrived: 3 (has to be 2)" in told) == (code == 1)
