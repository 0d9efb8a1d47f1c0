"""The program ``polyport`` as people start it: real processes, their output, their ports."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from e2e.starter import PROGRAM, READS_FIRST, Running, begin
from first_day import EMAIL, PASSWORD, bring_account, bring_catalogue

PATIENCE: Final = 90.0  # a start takes two seconds of CPU: on a machine that is busy with other things, many more by the clock
FIRST_ACCOUNT: Final = {"POLYPORT_BOOTSTRAP_EMAIL": EMAIL, "POLYPORT_BOOTSTRAP_PASSWORD": PASSWORD}


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program: that of the tests without settings of Polyport, and those given. Compiled modules are kept: starts are quicker."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POLYPORT_") and name != "PYTHONDONTWRITEBYTECODE"}
    if "PYTHONPATH" in kept:  # the program is run in folders of its own, and has to be the one under test there too
        kept["PYTHONPATH"] = os.pathsep.join(str(Path(part).absolute()) for part in kept["PYTHONPATH"].split(os.pathsep))
    return kept | {"COLUMNS": "120", **settings}


def run(
    *arguments: object, cwd: Path | None = None, given: str | None = None, anew: bool = False, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end. ``given`` is what it reads from standard input; ``anew`` begins it as a shell does, with nothing read before."""
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as errors, tempfile.TemporaryFile("w+") as read:
        read.write(given or "")
        read.seek(0)
        process = _begin(arguments, environment(settings), (told, errors), cwd=cwd, given=read, anew=anew)
        try:
            code = process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
        for file in (told, errors):
            file.seek(0)
        return subprocess.CompletedProcess([str(PROGRAM), *map(str, arguments)], code, told.read(), errors.read())


def _begin(
    arguments: Sequence[object],
    env: Mapping[str, str],
    outputs: tuple[IO[Any], IO[Any]],
    *,
    cwd: Path | None = None,
    given: IO[Any] | None = None,
    anew: bool = False,
) -> Running:
    if READS_FIRST and not anew:
        numbers = outputs[0].fileno(), outputs[1].fileno()
        return begin(arguments, env=env, outputs=numbers, given=None if given is None else given.fileno(), cwd=cwd)
    command = [str(PROGRAM), *map(str, arguments)]
    return subprocess.Popen(command, env=env, cwd=cwd, stdin=given, stdout=outputs[0], stderr=outputs[1])  # noqa: S603  the program under test


def until(what: Callable[[], Any]) -> Any:
    """Ask again and again until the answer is true; that answer."""
    end = time.monotonic() + PATIENCE
    while not (found := what()):
        assert time.monotonic() < end, "this took too long"
        time.sleep(0.02)
    return found


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def free_port() -> int:
    """A port that nobody has now, and none of those that systems give to whoever asks for any: the next test's could be that one before it is taken here."""
    for _try in range(1_000):
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            return port
    raise AssertionError("no port is free")


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A program that runs. ``port`` is where it said it listens."""

    process: Running
    log: Path
    port: int = 0

    def told(self) -> str:
        """What it wrote so far, on both outputs."""
        return self.log.read_text("utf-8")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def ask(self, method: str, path: str, body: Any = None, *, token: str = "") -> tuple[int, Any]:
        """One request on a connection of its own; status and JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(content) if content else None

    def sign_in(self, email: str = EMAIL, password: str = PASSWORD) -> str:
        """A session token."""
        status, answer = self.ask("POST", "/user/auth", {"email": email, "password": password})
        assert status == 200, answer
        return str(answer["data"]["authToken"])


@contextlib.contextmanager
def started(log: Path, *arguments: object, pattern: str, anew: bool = False, **settings: str) -> Iterator[Started]:
    """The program, once it has written the pattern, whose group ``port`` is where it listens. It is gone afterwards."""
    with log.open("ab") as output:
        process = _begin(arguments, environment(settings), (output, output), anew=anew)
    try:

        def found() -> re.Match[str] | None:
            assert process.poll() is None, log.read_text("utf-8")
            return re.search(pattern, log.read_text("utf-8"))

        yield Started(process=process, log=log, port=int(until(found)["port"]))
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
        process.kill()
        process.wait()


@contextlib.contextmanager
def serving(
    folder: Path, *arguments: object, log: str = "serve.log", empty: bool = False, anew: bool = False, **settings: str
) -> Iterator[Started]:
    """``polyport serve`` over the data folder ``folder/data``, on a free port. ``empty``: over a folder that there is not yet, as at a first start."""
    if not empty:
        bring_catalogue(folder / "data", [part for part in settings.get("POLYPORT_CONNECTORS", "").split(",") if part])
        if settings.items() >= FIRST_ACCOUNT.items() and "POLYPORT_MASTER_KEY" not in settings:
            bring_account(folder / "data")
    pattern = r"Polyport \S+ on http://127\.0\.0\.1:(?P<port>\d+)"
    given = ("serve", "--port", 0, "--data", folder / "data", *arguments)
    with started(folder / log, *given, pattern=pattern, anew=anew, **settings) as server:
        yield server


@contextlib.contextmanager
def simulating(folder: Path, slug: str = "pipedrive") -> Iterator[Started]:
    """``polyport connector simulate`` on a free port."""
    pattern = r"Listening on http://127\.0\.0\.1:(?P<port>\d+)"
    with started(folder / "simulator.log", "connector", "simulate", slug, "--port", 0, pattern=pattern) as simulator:
        yield simulator


def towards(simulator: Started) -> dict[str, str]:
    """The settings that lead Pipedrive's calls to a simulator."""
    return {
        "POLYPORT_PARTNER_PIPEDRIVE_BASE_URL": f"http://127.0.0.1:{simulator.port}",
        "POLYPORT_ALLOW_NETWORKS": "127.0.0.0/8",
    }


def connect(server: Started, token: str) -> int:
    """A connection to the simulated Pipedrive; its id."""
    body = {"partnerId": 225, "title": "Acme", "fields": {"company": "acme", "api_token": "any-token-0123456789"}}
    status, answer = server.ask("POST", "/credentials", body, token=token)
    assert status == 201, answer
    return int(answer["data"]["credentialId"])
