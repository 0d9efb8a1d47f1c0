"""Which interpreter ``make setup`` takes: an optimised one before any other, of those the first by name; none that is too old. With make itself and programs that stand in for interpreters."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"
MAKE = shutil.which("make") or ""
# What an outer make hands down would decide here too.
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL", "PYTHON"}
}
NAMES = "snake1 snake2 snake3"
pytestmark = pytest.mark.skipif(not MAKE, reason="NO MAKE: which interpreter `make setup` takes is not tested")

Chosen = Callable[..., str]


@pytest.fixture
def chosen(tmp_path: Path) -> Chosen:
    """Which of some interpreters is asked to make an environment; what each says of itself is "optimised", "plain" or, too old, "old"."""
    shutil.copy(MAKEFILE, tmp_path)
    (tmp_path / "requirements.lock").touch()

    def choose(*given: str, **kinds: str) -> str:
        programs = tmp_path / "programs"
        programs.mkdir()
        for name, kind in kinds.items():
            program = programs / name
            answer = "exit 1" if kind == "old" else f"echo {kind}"
            program.write_text(f'#!/bin/sh\n[ "$1" = -c ] && {{ {answer}; exit; }}\necho {name} > {tmp_path}/taken\nexit 1\n', "utf-8")
            program.chmod(0o755)
        path = f"{programs}:{os.environ['PATH']}"
        made = subprocess.run(  # noqa: S603  make, and what this file wrote
            [MAKE, "-C", str(tmp_path), ".venv/.packages", f"INTERPRETERS={NAMES}", *given],
            env={**ENVIRONMENT, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode != 0  # none of them makes an environment
        taken = tmp_path / "taken"
        return taken.read_text("utf-8").strip() if taken.exists() else made.stderr

    return choose


def test_an_optimised_interpreter_comes_before_others(chosen: Chosen):
    assert chosen(snake1="plain", snake2="old", snake3="optimised") == "snake3"


def test_of_optimised_ones_the_first_is_taken(chosen: Chosen):
    assert chosen(snake1="plain", snake2="optimised", snake3="optimised") == "snake2"


def test_where_none_is_optimised_the_first_that_is_new_enough_is_taken(chosen: Chosen):
    assert chosen(snake1="old", snake2="plain", snake3="plain") == "snake2"


def test_the_one_that_was_named_is_taken_however_it_was_built(chosen: Chosen):
    assert chosen("PYTHON=snake2", snake1="optimised", snake2="plain") == "snake2"


def test_where_there_is_none_that_is_said_with_what_to_do(chosen: Chosen):
    said = chosen(snake1="old")
    assert "Python 3.11 or newer" in said
    assert "apt-get install python3-venv" in said


def test_what_is_asked_of_an_interpreter_is_answered_by_this_one():
    made = subprocess.run(  # noqa: S603  make, and what this file wrote
        [MAKE, "-s", "-C", str(MAKEFILE.parent), "-f", "-", "told"],
        input=f"include Makefile\ntold:\n\t@'{sys.executable}' -c '$(SUITABLE)'\n",
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    optimised = sys.base_prefix == "/usr" or "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS"))
    assert made.stdout.strip() == ("optimised" if optimised else "plain")
