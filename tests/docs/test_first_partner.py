"""The tutorial is followed as it stands: every file is written, every command run, every output compared."""

import contextlib
import os
import re
import subprocess
from pathlib import Path

import polyport
from e2e.processes import PATIENCE, environment, until
from e2e.starter import standing_in

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "first-partner.md"
PLACE = re.compile(r"(?:# |<!-- )(depot/\S+)(?: -->)?\n")


def blocks():
    return re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@contextlib.contextmanager
def in_a_second_terminal(command, folder, settings):
    log = folder / "simulator.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  the page's own command
            ["bash", "-c", "exec " + command.replace("8082", "0")],  # noqa: S607  any bash will do
            cwd=folder,
            env=settings,
            stdout=output,
            stderr=output,
        )
    try:
        yield until(lambda: re.search(r"127\.0\.0\.1:(\d+)", log.read_text("utf-8")))[1]
    finally:
        process.terminate()
        process.wait(PATIENCE)


def test_the_tutorial_is_true(tmp_path):
    (tmp_path / "bin").mkdir()
    search = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    settings = environment({"PATH": search, "PYTHONPATH": str(Path(polyport.__file__).parents[1])})
    port, outputs, compared = "8082", [], 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(standing_in(tmp_path / "bin"))
        for kind, body in blocks():
            if kind in {"yaml", "markdown"}:
                place = PLACE.match(body)
                assert place, body
                path = tmp_path / place[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(body, "utf-8")
            elif kind == "text":
                assert outputs[-1] == body
                compared += 1
            elif "simulate" in body:
                port = stack.enter_context(in_a_second_terminal(body, tmp_path, settings))
            else:
                done = subprocess.run(  # noqa: S603  the page's own commands
                    ["bash", "-c", body.replace("8082", port)],  # noqa: S607  any bash will do
                    cwd=tmp_path,
                    env=settings,
                    capture_output=True,
                    text=True,
                    timeout=PATIENCE,
                    check=False,
                )
                outputs.append(done.stdout)
    assert compared == 12
