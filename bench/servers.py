"""What is started for a measurement: upstream, forwarder, load generator, and Polyport with a connection to run on."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.load import Generator
from bench.nginx import SLOW, arrivals_told, find_echo, find_nginx, write_partner, write_proxy
from bench.partner import ARRIVALS, CONNECTION, DELAY, FORWARDED, OPERATION, TRIGGER, run_body
from bench.processes import Cores, Meter, NotMeasured, Process, free_port, start_module, start_process, wait_for_answer

EMAIL: Final = "bench@example.com"
PASSWORD: Final = "polyport-bench"  # noqa: S105  it guards made-up data on 127.0.0.1 for the length of a benchmark
RUN_PATH: Final = f"/partners/trigger-actions/{OPERATION}/run"
TRIGGER_PATH: Final = f"/partners/trigger-actions/{TRIGGER}/run"
_UNRECORDED: Final = (sys.executable, "-m", "bench.unrecorded")
SLOW_MS: Final = 50  # how long an answer of the upstream takes while it is slow


def ask(port: int, method: str, path: str, body: Any = None, *, token: str = "", expect: int = 200) -> Any:
    """One JSON request and its answer. Raises ``NotMeasured`` for any status but ``expect``."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        content = answer.read()
    except OSError as error:
        raise NotMeasured(f"{method} {path}: {error}") from error
    finally:
        connection.close()
    if answer.status != expect:
        raise NotMeasured(f"{method} {path} answered {answer.status} instead of {expect}: {content[:300].decode(errors='replace')}")
    return json.loads(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """From the start of a process to its first answer: the time and its CPU time in seconds, and the share of its core that other programs took."""

    seconds: float
    cpu: float
    others: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """A start on an empty data folder, and one on the folder that it left: until its first answer, and seconds until the answer of its first run."""

    empty: Start
    again: Start
    first_run: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A process that answers on a port of 127.0.0.1, and how it started."""

    process: Process
    port: int
    start: Start


class Upstream:
    """The partner; ``home`` is nginx's folder, ``None`` where our own stands in for it."""

    def __init__(self, served: Served, home: Path | None) -> None:
        self.served = served
        self.port = served.port
        self.nginx = home is not None
        self._home = home
        self._asked = 0

    def arrivals(self) -> int:
        """How many requests have arrived: with nginx all of them, with our own the persons that Polyport posted. Only differences mean anything."""
        if self._home is None:
            return int(ask(self.port, "GET", ARRIVALS))
        self._asked += 1
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{ARRIVALS}", timeout=60) as answer:
            return arrivals_told(answer.read().decode("ascii")) - self._asked

    def answers(self) -> Path:
        """The folder whose files it serves. Raises ``NotMeasured`` where it is not nginx."""
        if self._home is None:
            raise NotMeasured("nginx with its echo module is not installed")
        return self._home / "answers"

    def delay(self, milliseconds: int) -> None:
        """Let an answer take 0 ms or ``SLOW_MS`` from now on."""
        if self._home is None:
            ask(self.port, "GET", f"{DELAY}{milliseconds}")
        elif milliseconds:
            (self._home / SLOW).touch()
        else:
            (self._home / SLOW).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Polyport:
    """A Polyport server that was signed in to, and a connection to run on."""

    served: Served
    token: str
    connection: int

    def count(self, status: str) -> int:
        """How many runs have this status: 0, or 1 for one and more."""
        found = ask(self.served.port, "GET", f"/runs?status={status}&per-page=1", token=self.token)
        return len(found["data"])

    def settle(self, seconds: float = 300.0) -> None:
        """Return when no run is queued or under way. Raises ``NotMeasured`` when that takes too long."""
        end = time.monotonic() + seconds
        while self.count("queued") or self.count("running"):
            if time.monotonic() > end:
                raise NotMeasured("accepted runs did not end")
            time.sleep(0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that a measurement of throughput needs, running."""

    upstream: Upstream
    forwarder: Served
    nginx: Served | None
    polyport: Polyport
    generator: Generator
    unrecorded: Polyport | None = None  # the same server, which keeps nothing of its runs

    def processes(self) -> tuple[Process, ...]:
        """All of them."""
        found = (self.upstream.served.process, self.forwarder.process, self.polyport.served.process, self.generator.process)
        more = (self.nginx, self.unrecorded.served if self.unrecorded is not None else None)
        return (*found, *(served.process for served in more if served is not None))


def start_upstream(stack: contextlib.ExitStack, folder: Path, core: int) -> Upstream:
    """Start the instant partner: nginx where it and its echo module are installed, our own else."""
    port, program, echo = free_port(), find_nginx(), find_echo()
    if program is None or echo is None:
        return Upstream(_start(stack, folder, "upstream", (port,), port, core), None)
    home = folder / f"partner-{port}"
    home.mkdir()
    return Upstream(_start_nginx(stack, folder, "partner", write_partner(home, port, echo, SLOW_MS), port, core, ARRIVALS), home)


def _start(stack: contextlib.ExitStack, folder: Path, module: str, arguments: tuple[object, ...], port: int, core: int) -> Served:
    log = stack.enter_context((folder / f"{module}.log").open("ab"))
    process = start_module(module, *arguments, core=core, log=log)
    stack.callback(process.stop)
    return serve(process, port, ARRIVALS)


def serve(process: Process, port: int, path: str, *, seconds: float = 60.0) -> Served:
    """Wait for the first answer of a process that was started just now."""
    meter, began = Meter(process), time.perf_counter()
    wait_for_answer(process, port, path, seconds=seconds)
    start = Start(seconds=time.perf_counter() - began, cpu=process.cpu_seconds(), others=meter.others())
    return Served(process=process, port=port, start=start)


def start_nginx(stack: contextlib.ExitStack, folder: Path, core: int, upstream: int) -> Served | None:
    """Start nginx as a proxy with one worker and kept connections; ``None`` where it is not installed."""
    if find_nginx() is None:
        return None
    port, home = free_port(), folder / "nginx"
    home.mkdir()
    return _start_nginx(stack, folder, "nginx", write_proxy(home, port, upstream), port, core, FORWARDED)


def _start_nginx(stack: contextlib.ExitStack, folder: Path, name: str, config: Path, port: int, core: int, path: str) -> Served:
    program = find_nginx()
    if program is None:
        raise NotMeasured("nginx is not installed")
    log = stack.enter_context((folder / f"{name}.log").open("ab"))
    process = start_process(name, [program, "-p", str(config.parent), "-c", str(config), "-e", "stderr"], core, log=log)
    stack.callback(process.stop)
    return serve(process, port, path)


def start_generator(stack: contextlib.ExitStack, folder: Path, core: int) -> Generator:
    """Start the load generator."""
    log = stack.enter_context((folder / "load.log").open("ab"))
    process = start_module("load", core=core, log=log, piped=True)
    stack.callback(process.stop)
    return Generator(process)


def polyport_environment(upstream: int) -> dict[str, str]:
    """The environment of a measured server: every setting at its default but what leads it to the upstream."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POLYPORT_")}
    return kept | {
        "POLYPORT_BOOTSTRAP_EMAIL": EMAIL,
        "POLYPORT_BOOTSTRAP_PASSWORD": PASSWORD,
        "POLYPORT_ALLOW_NETWORKS": "127.0.0.0/8",
        "POLYPORT_PARTNER_PIPEDRIVE_BASE_URL": f"http://127.0.0.1:{upstream}",
    }


def start_polyport(
    stack: contextlib.ExitStack, folder: Path, core: int, upstream: int, command: tuple[str, ...] | None = None, data: str = "data"
) -> Served:
    """Start ``polyport serve`` on a data folder inside ``folder``; ``command`` replaces the program in front of ``serve``."""
    port = free_port()
    program = command or (str(Path(sys.executable).with_name("polyport")),)
    log = stack.enter_context((folder / "polyport.log").open("ab"))
    arguments = [*program, "serve", "--port", str(port), "--data", str(folder / data)]
    process = start_process("polyport", arguments, core, log=log, environment=polyport_environment(upstream))
    stack.callback(process.stop)
    return serve(process, port, "/healthz")


def sign_in(served: Served) -> Polyport:
    """Sign in and make the connection that is measured."""
    signed = ask(served.port, "POST", "/user/auth", {"email": EMAIL, "password": PASSWORD})
    token = signed["data"]["authToken"]
    made = ask(served.port, "POST", "/credentials", CONNECTION, token=token, expect=201)
    return Polyport(served=served, token=token, connection=int(made["data"]["credentialId"]))


def measure_restart(folder: Path, core: int, upstream: int, data: str) -> Restart:
    """Start a server on an empty folder, connect, stop; start another on the same folder and run at once."""
    with contextlib.ExitStack() as stack:
        first = sign_in(start_polyport(stack, folder, core, upstream, data=data))
    with contextlib.ExitStack() as stack:
        began = time.perf_counter()
        served = start_polyport(stack, folder, core, upstream, data=data)
        ask(served.port, "POST", f"{RUN_PATH}/sync", json.loads(run_body(first.connection)), token=first.token)
        return Restart(empty=first.served.start, again=served.start, first_run=time.perf_counter() - began)


@contextlib.contextmanager
def open_stage(folder: Path, cores: Cores, *, unrecorded: bool = False) -> Iterator[Stage]:
    """Start everything, on its cores; stop it again. ``unrecorded``: with a second Polyport that keeps nothing of its runs."""
    with contextlib.ExitStack() as stack:
        upstream = start_upstream(stack, folder, cores.upstream)
        forwarder = _start(stack, folder, "forwarder", (port := free_port(), upstream.port), port, cores.server)
        nginx = start_nginx(stack, folder, cores.server, upstream.port)
        polyport = sign_in(start_polyport(stack, folder, cores.server, upstream.port))
        second = sign_in(start_polyport(stack, folder, cores.server, upstream.port, _UNRECORDED, "unrecorded")) if unrecorded else None
        generator = start_generator(stack, folder, cores.load)
        yield Stage(upstream=upstream, forwarder=forwarder, nginx=nginx, polyport=polyport, generator=generator, unrecorded=second)
