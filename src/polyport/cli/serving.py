"""Serving: the listening socket, one process or several, signals, and the way out."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import multiprocessing
import multiprocessing.process
import multiprocessing.synchronize
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
import uvicorn

from polyport.cli.logs import set_up_log
from polyport.cli.loop import run_loop
from polyport.cli.memory import settle_memory, share_heap
from polyport.errors import SetupError
from polyport.runtime import FirstAccount, Runtime, make_first_account, open_runtime
from polyport.server.app import build_services, serving
from polyport.settings import Settings
from polyport.testing.simulators import Simulators

if TYPE_CHECKING:
    from polyport.cli.guard import Guard

BACKLOG: Final = 2048
RESTARTS: Final = 5
START_SECONDS: Final = 120.0
LOOK_AFTER: Final = 1.0  # seconds that a start leaves to its first answers
_log: Final = structlog.get_logger("polyport.serve")


class QuietServer(uvicorn.Server):
    """A server that leaves signals to us: uvicorn would raise them again before our own way out has run.

    ``begin`` is called when it listens, ``release`` when it begins to stop: streams that are open end then, instead of using up the grace time.
    """

    def __init__(
        self, config: uvicorn.Config, release: Callable[[], None], guard: Guard | None = None, begin: Callable[[], object] | None = None
    ) -> None:
        super().__init__(config)
        self._release = release
        self._guard = guard
        self._begin = begin

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        await super().startup(sockets)
        if self._begin is not None:
            self._begin()

    async def on_tick(self, counter: int) -> bool:
        """Every tenth of a second: look at the connections once a second."""
        if self._guard is not None and counter % 10 == 0:
            for _turn in range(2):  # what came while this process stood still is read first: it was not its client that was late
                await asyncio.sleep(0)
            self._guard.sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def drain(self, seconds: float, *, shared: bool) -> None:
        """Tell clients to go, answer by answer, then stop; at once where nobody is connected. What listens on a ``shared`` socket leaves it to the others."""
        if self._guard is None or not seconds or self._guard.draining or not self._guard.connections:
            self.should_exit = True
            return
        self._guard.draining = True
        if shared:
            for server in self.servers:
                server.close()
        asyncio.get_running_loop().call_later(seconds, self._exit)

    def _exit(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let go what waits, wait for what is under way."""
        self._release()
        await super().shutdown(sockets)

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]  # the base makes the same from a generator
        """Capture nothing."""
        return contextlib.nullcontext()


def listen(host: str, port: int) -> socket.socket:
    """The listening socket. Raises ``SetupError`` with a sentence when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns off Nagle's algorithm on what it accepts: without, every answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise SetupError(f"Cannot listen on {host}:{port}: it is taken by another program. Choose another with --port.") from error
        raise SetupError(f"Cannot listen on {host}:{port}: {error.strerror}. Choose another with --host and --port.") from error
    listener.setblocking(False)
    return listener


def first_account(settings: Settings) -> FirstAccount | None:
    """Make the first account if there is none."""
    return asyncio.run(make_first_account(settings, lambda: secrets.token_urlsafe(18)))


async def serve_socket(settings: Settings, listener: socket.socket, ready: Callable[[], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then let what is under way end within the grace time."""
    async with open_runtime(settings, simulated=Simulators(settings.partner_roots), late=True, serves=True) as runtime:
        for problem in runtime.catalog.problems:
            _log.warning("a partner is left out", problem=str(problem))
        services = build_services(runtime)
        async with serving(runtime, services) as app:
            guard = make_guard(settings)
            loop = asyncio.get_running_loop()
            settling: list[asyncio.Task[None]] = []

            def begin() -> None:
                settling.append(loop.create_task(_settle(runtime)))
                if ready is not None:
                    ready()

            server = QuietServer(make_config(app, settings, guard), services.streams.watch.close, guard, begin)

            def stop() -> None:
                services.standing.stop(settings.http.drain + settings.http.grace)
                server.drain(settings.http.drain, shared=multiprocessing.parent_process() is not None)

            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop)
            _stop_with_parent(loop, stop)
            try:
                await server.serve(sockets=[listener])
            finally:
                for task in settling:
                    task.cancel()


async def _settle(runtime: Runtime) -> None:
    """What a start does once it serves: the first answers do not wait for it."""
    try:
        await runtime.prepare()
    except Exception:  # noqa: BLE001  whatever it is, the server serves all that calls nobody
        _log.exception("what calls partners could not be loaded: the next call tries it again")
    settle_memory()
    await asyncio.sleep(LOOK_AFTER)
    try:
        await runtime.look_again()
    except Exception:  # noqa: BLE001  as above: it serves what the index has
        _log.exception("the partners' folders could not be looked at: 'polyport catalog refresh' takes up what changed in them")


def _stop_with_parent(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """Stop when the supervisor dies: killed, it must not leave servers behind that nobody can stop."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def orphaned() -> None:
        loop.remove_reader(parent.sentinel)
        stop()

    loop.add_reader(parent.sentinel, orphaned)


def make_guard(settings: Settings) -> Guard | None:
    """What watches over the connections; on a system without httptools, nothing does."""
    try:
        from polyport.cli.guard import Guard  # noqa: PLC0415  httptools is not to be had on every system
    except ImportError:
        return None
    return Guard(settings.http)


def make_config(app: object, settings: Settings, guard: Guard | None = None) -> uvicorn.Config:
    """How uvicorn serves the application."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # any ASGI callable
        http=guard.protocol() if guard is not None else "auto",
        ws="none",
        proxy_headers=guard is None,  # the guard sees to them, where there are any
        forwarded_allow_ips=list(settings.http.proxies),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=int(settings.http.idle_timeout) or 1,
        timeout_graceful_shutdown=int(settings.http.grace),
        h11_max_incomplete_event_size=64 * 1024,
    )


def serve(settings: Settings, listener: socket.socket, ready: Callable[[], None] | None = None) -> None:
    """Serve with as many processes as the settings say."""
    if settings.workers == 1:
        run_loop(serve_socket(settings, listener, ready))
    else:
        _Supervisor(settings, listener).run(ready)


def _child(settings: Settings, listener: socket.socket, ready: multiprocessing.synchronize.Event) -> None:
    share_heap()
    set_up_log(settings.log)
    with contextlib.suppress(AttributeError):  # the supervisor's alone, on systems that have it
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run_loop(serve_socket(settings, listener, ready.set))
    except SetupError as error:
        sys.stderr.write(f"{error}\n")
        os._exit(78)


def _serves_or_died(child: multiprocessing.process.BaseProcess, ready: multiprocessing.synchronize.Event) -> bool:
    return ready.is_set() or not child.is_alive()


def _has_ended(child: multiprocessing.process.BaseProcess) -> bool:
    return not child.is_alive()


class _Supervisor:
    """Keeps as many server processes as asked for: starts again what dies, hands on the signal to stop; SIGHUP puts new ones in their place, in turn."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._context = multiprocessing.get_context("spawn")
        self._children: list[multiprocessing.process.BaseProcess] = []
        self._stopping = False
        self._renewing = False
        self._ready: dict[multiprocessing.process.BaseProcess, multiprocessing.synchronize.Event] = {}
        self._deaths: list[float] = []

    def run(self, ready: Callable[[], None] | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        with contextlib.suppress(AttributeError):
            signal.signal(signal.SIGHUP, self._ask_to_renew)
        self._children = [self._start() for _index in range(self._settings.workers)]
        if ready is not None:
            ready()
        while not self._stopping:
            time.sleep(0.2)
            self._check()
            if self._renewing:
                self._renewing = False
                self._renew()
        for child in self._children:
            child.join(self._settings.http.drain + self._settings.http.grace + 5)
            if child.is_alive():
                child.kill()

    def _start(self) -> multiprocessing.process.BaseProcess:
        ready = self._context.Event()
        child = self._context.Process(target=_child, args=(self._settings, self._listener, ready), daemon=False)
        child.start()
        self._ready = {known: event for known, event in self._ready.items() if known.is_alive()} | {child: ready}
        return child

    def _renew(self) -> None:
        """Put a new process in the place of each, in turn: an old one is asked to stop once its successor serves, so nothing waits."""
        http = self._settings.http
        for index, old in enumerate(list(self._children)):
            new = self._start()
            ready = self._ready[new]
            self._wait(partial(_serves_or_died, new, ready), START_SECONDS)
            if self._stopping or not new.is_alive() or not ready.is_set():
                if not self._stopping:
                    _log.error("a new server process does not begin to serve; the old ones go on", pid=new.pid)
                new.kill()
                return
            self._children[index] = new
            old.terminate()
            self._wait(partial(_has_ended, old), http.drain + http.grace + 5)
            if old.is_alive():
                old.kill()
            _log.info("a server process was replaced", pid=old.pid, by=new.pid)

    def _wait(self, until: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not until() and not self._stopping and time.monotonic() < end:
            time.sleep(0.05)

    def _ask_to_renew(self, *_signal: object) -> None:
        self._renewing = True

    def _check(self) -> None:
        for index, child in enumerate(self._children):
            if child.is_alive() or self._stopping:
                continue
            if child.exitcode == 0:
                _log.info("a server process was stopped, another takes its place", pid=child.pid)
                self._children[index] = self._start()
                continue
            now = time.monotonic()
            self._deaths = [*(at for at in self._deaths if now - at < 10), now]
            if child.exitcode == 78 or len(self._deaths) > RESTARTS * self._settings.workers:
                self._stop()
                raise SetupError("The server processes do not stay up; the lines above say why.")
            _log.error("a server process died and is started again", pid=child.pid, exit_code=child.exitcode)
            self._children[index] = self._start()

    def _stop(self, *_signal: object) -> None:
        self._stopping = True
        for child in self._children:
            if child.is_alive():
                child.terminate()
