"""The drills in their short form: programs that try a promise on real processes, print figures, and end with 1 when it is broken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name",
    ["budget", "callbacks", "crash", "disk_full", "noisy_neighbour", "overload", "refresh", "restart", "restore", "rotate_keys", "soak"],
)
def test_a_drill_finds_every_promise_kept(name):
    given = os.environ | {"PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in ("src", "tests", "."))}
    command = [sys.executable, str(ROOT / "tests" / "drills" / f"{name}.py"), "--quick"]
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603  our own program
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All promises kept." in done.stdout
