"""What is started for a measurement: upstream, forwarder, load generator, and Polyport with a connection to run on."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.load import Generator
from bench.partner import ARRIVALS, CONNECTION, DELAY, FORWARDED, OPERATION, TRIGGER
from bench.processes import Cores, Meter, NotMeasured, Process, free_port, start_module, start_process, wait_for_answer

EMAIL: Final = "bench@example.com"
PASSWORD: Final = "polyport-bench"  # noqa: S105  it guards made-up data on 127.0.0.1 for the length of a benchmark
RUN_PATH: Final = f"/partners/trigger-actions/{OPERATION}/run"
TRIGGER_PATH: Final = f"/partners/trigger-actions/{TRIGGER}/run"
_NGINX: Final = """\
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream partner {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{ proxy_pass http://partner; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


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
class Served:
    """A process that answers on a port of 127.0.0.1, and how it started."""

    process: Process
    port: int
    start: Start


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

    upstream: Served
    forwarder: Served
    nginx: Served | None
    polyport: Polyport
    generator: Generator

    def processes(self) -> tuple[Process, ...]:
        """All of them."""
        found = (self.upstream.process, self.forwarder.process, self.polyport.served.process, self.generator.process)
        return found if self.nginx is None else (*found, self.nginx.process)

    def delay(self, milliseconds: int) -> None:
        """Let the upstream take so long for an answer from now on."""
        ask(self.upstream.port, "GET", f"{DELAY}{milliseconds}")

    def arrivals(self) -> int:
        """How many persons Polyport has posted to the upstream."""
        return int(ask(self.upstream.port, "GET", ARRIVALS))


def start_upstream(stack: contextlib.ExitStack, folder: Path, core: int) -> Served:
    """Start the instant partner."""
    port = free_port()
    return _start(stack, folder, "upstream", (port,), port, core)


def _start(stack: contextlib.ExitStack, folder: Path, module: str, arguments: tuple[object, ...], port: int, core: int) -> Served:
    log = stack.enter_context((folder / f"{module}.log").open("ab"))
    process = start_module(module, *arguments, core=core, log=log)
    stack.callback(process.stop)
    return _serve(process, port, ARRIVALS)


def _serve(process: Process, port: int, path: str) -> Served:
    """Wait for the first answer of a process that was started just now."""
    meter, began = Meter(process), time.perf_counter()
    wait_for_answer(process, port, path)
    start = Start(seconds=time.perf_counter() - began, cpu=process.cpu_seconds(), others=meter.others())
    return Served(process=process, port=port, start=start)


def start_nginx(stack: contextlib.ExitStack, folder: Path, core: int, upstream: int) -> Served | None:
    """Start nginx as a proxy with one worker and kept connections; ``None`` where it is not installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        return None
    port, home = free_port(), folder / "nginx"
    home.mkdir()
    config = home / "nginx.conf"
    config.write_text(_NGINX.format(folder=home, upstream=upstream, port=port), "utf-8")
    log = stack.enter_context((folder / "nginx.log").open("ab"))
    process = start_process("nginx", [program, "-p", str(home), "-c", str(config), "-e", "stderr"], core, log=log)
    stack.callback(process.stop)
    return _serve(process, port, FORWARDED)


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
    return _serve(process, port, "/healthz")


def sign_in(served: Served) -> Polyport:
    """Sign in and make the connection that is measured."""
    signed = ask(served.port, "POST", "/user/auth", {"email": EMAIL, "password": PASSWORD})
    token = signed["data"]["authToken"]
    made = ask(served.port, "POST", "/credentials", CONNECTION, token=token, expect=201)
    return Polyport(served=served, token=token, connection=int(made["data"]["credentialId"]))


@contextlib.contextmanager
def open_stage(folder: Path, cores: Cores) -> Iterator[Stage]:
    """Start everything, on its cores; stop it again."""
    with contextlib.ExitStack() as stack:
        upstream = start_upstream(stack, folder, cores.load)
        forwarder = _start(stack, folder, "forwarder", (port := free_port(), upstream.port), port, cores.server)
        nginx = start_nginx(stack, folder, cores.server, upstream.port)
        polyport = sign_in(start_polyport(stack, folder, cores.server, upstream.port))
        generator = start_generator(stack, folder, cores.load)
        yield Stage(upstream=upstream, forwarder=forwarder, nginx=nginx, polyport=polyport, generator=generator)
