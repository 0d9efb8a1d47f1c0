"""What a synchronous run costs inside the process: ``python -m bench.inside``. No sockets, no partner, no load generator; all else is the server's own.

Requests come in through uvicorn's protocol and answers leave by it, the partner's answer comes through aiohttp's protocol; both stand on transports that are
lists in memory. The store is real. What is printed is the CPU time of a run and how many functions of Python it calls, which is the same on a busy machine
as on an idle one. ``--list`` prints the calls of a single run in order, ``--functions`` those that are called most, ``--time`` the time alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from statistics import median
from types import CodeType, FrameType
from typing import Any, Final

from aiohttp import TCPConnector
from uvicorn.server import ServerState

from bench.partner import CONNECTION, OPERATION, answers, run_body
from bench.servers import EMAIL, PASSWORD, polyport_environment
from polyport.cli.guard import GuardedProtocol
from polyport.cli.loop import run_loop
from polyport.cli.memory import settle_memory, share_heap
from polyport.cli.serving import make_config, make_guard
from polyport.runtime import make_first_account, open_runtime
from polyport.server.app import build_app, build_services
from polyport.settings import load_settings

CALLERS: Final = 64
RUNS: Final = 2_000
SERIES: Final = 5
_PORT: Final = 9
_SOURCES: Final = ("polyport/", "site-packages/", "python3.11/", "python3.12/", "python3.13/")


class _Transport(asyncio.Transport):
    """One end of a connection that is not there: what is written is handed to ``written``, and ``protocol`` is told when it is closed."""

    def __init__(self, protocol: asyncio.Protocol, written: Callable[[bytes], None]) -> None:
        super().__init__({"peername": ("127.0.0.1", 40_000), "sockname": ("127.0.0.1", _PORT)})
        self._protocol = protocol
        self._written = written
        self._closing = False

    def write(self, data: Any) -> None:
        """Take what is sent."""
        self._written(data)

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._closing

    def close(self) -> None:
        """Close it."""
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """Close it."""
        self.close()

    def get_write_buffer_size(self) -> int:
        """Nothing waits here."""
        return 0

    def pause_reading(self) -> None:
        """Nothing comes unasked."""

    def resume_reading(self) -> None:
        """Nothing comes unasked."""


class _Partner(TCPConnector):
    """Connections to a partner that answers each request, whole as it comes, in the next turn of the loop."""

    async def _wrap_create_connection(self, *_arguments: Any, **_options: Any) -> Any:
        loop = asyncio.get_running_loop()
        protocol = self._factory()

        def answer(data: bytes) -> None:
            method, target = bytes(data).split(b" ", 2)[:2]
            loop.call_soon(protocol.data_received, _ANSWERS[method.decode(), target.partition(b"?")[0].decode()])

        transport = _Transport(protocol, answer)
        protocol.connection_made(transport)
        return transport, protocol


def _whole(status: int, value: Any) -> bytes:
    body = json.dumps(value).encode()
    told = f"HTTP/1.1 {status} OK\r\nServer: nginx\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: keep-alive\r\n\r\n"
    return told.encode() + body


_ANSWERS: Final = {key: _whole(status, value) for key, (status, value) in answers().items()}


class _Client:
    """A caller with one connection that sends its next request as soon as it has an answer."""

    def __init__(self, protocol: GuardedProtocol, request: bytes) -> None:
        self._protocol = protocol
        self.request = request
        self._left = 0
        self._done: asyncio.Future[None] | None = None
        self.last = b""
        protocol.connection_made(_Transport(protocol, self._answered))

    def run(self, count: int) -> asyncio.Future[None]:
        """Send so many requests, one after the other."""
        loop = asyncio.get_running_loop()
        self._left = count
        self._done = loop.create_future()
        loop.call_soon(self._protocol.data_received, self.request)
        return self._done

    def _answered(self, data: bytes) -> None:
        self.last = data
        if not data.startswith(b"HTTP/1.1 2"):
            raise SystemExit(bytes(data).decode())
        self._left -= 1
        if self._left > 0:
            asyncio.get_running_loop().call_soon(self._protocol.data_received, self.request)
        elif self._done is not None:
            self._done.set_result(None)


class Inside:
    """The server, and callers on it."""

    def __init__(self, connect: Callable[[], GuardedProtocol]) -> None:
        self._connect = connect
        self._clients: list[_Client] = []

    async def ask(self, method: str, path: str, body: str, token: str = "") -> Any:
        """One request and the JSON of its answer."""
        client = _Client(self._connect(), _request(method, path, body, token))
        await client.run(1)
        return json.loads(client.last.partition(b"\r\n\r\n")[2])

    async def prepare(self, mode: str) -> None:
        """Sign in, make the connection, take places for the callers."""
        signed = await self.ask("POST", "/user/auth", json.dumps({"email": EMAIL, "password": PASSWORD}))
        token = signed["data"]["authToken"]
        made = await self.ask("POST", "/credentials", json.dumps(CONNECTION), token)
        body = run_body(made["data"]["credentialId"], dry_run=mode == "dry")
        path = f"/partners/trigger-actions/{OPERATION}/run/{'async' if mode == 'async' else 'sync'}"
        self._clients = [_Client(self._connect(), _request("POST", path, body, token)) for _ in range(CALLERS)]

    async def run(self, callers: int, count: int) -> None:
        """Let so many callers make ``count`` runs together."""
        await asyncio.gather(*(client.run(count // callers) for client in self._clients[:callers]))


def _request(method: str, path: str, body: str, token: str) -> bytes:
    told = f"Authorization: Bearer {token}\r\n" if token else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{_PORT}\r\n{told}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


@contextlib.asynccontextmanager
async def open_inside(folder: Path) -> AsyncIterator[Inside]:
    """The server on a data folder of its own."""
    environment = {name: value for name, value in polyport_environment(_PORT).items() if name.startswith("POLYPORT_")}
    settings = load_settings(environment, data=folder)
    await make_first_account(settings, lambda: PASSWORD)
    async with open_runtime(settings, serves=True) as runtime:
        services = build_services(runtime)
        guard = make_guard(settings)
        if guard is None:
            raise SystemExit("httptools is not installed")
        config = make_config(build_app(services), settings, guard)
        config.load()
        network: Any = runtime.network
        pool: Any = (await network.prepare()).opened.connector
        pool._wrap_create_connection = _Partner._wrap_create_connection.__get__(pool)  # noqa: SLF001  where aiohttp makes a socket: there is none here
        state = ServerState()
        state.default_headers = [(b"date", b"Thu, 26 Nov 2026 17:00:00 GMT")]
        kind: Any = guard.protocol()
        settle_memory()
        yield Inside(lambda: kind(config=config, server_state=state, app_state={}))
        await services.engine.drain(1.0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.inside", description=__doc__)
    parser.add_argument("--mode", choices=("sync", "async", "dry"), default="sync")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--functions", type=int, default=0)
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--series", type=int, default=SERIES)
    parser.add_argument("--callers", type=int, default=CALLERS)
    given = parser.parse_args()
    share_heap()
    with tempfile.TemporaryDirectory(prefix="inside-") as folder:
        run_loop(_measure(Path(folder), given))


async def _measure(folder: Path, given: argparse.Namespace) -> None:
    async with open_inside(folder) as inside:
        await inside.prepare(given.mode)
        await inside.run(given.callers, given.runs)
        if given.list:
            await _list(inside)
            return
        if not given.time:
            await _count(inside, given)
        whole, loop = [], []
        for _series in range(given.series):
            began, began_here = time.process_time(), time.thread_time()
            await inside.run(given.callers, given.runs)
            whole.append((time.process_time() - began) / given.runs * 1e6)
            loop.append((time.thread_time() - began_here) / given.runs * 1e6)
        print(f"CPU us a run: lowest {min(whole):.0f} (the loop's thread {min(loop):.0f}), median {median(whole):.0f} ({median(loop):.0f})")


async def _count(inside: Inside, given: argparse.Namespace) -> None:
    python, native = Counter[CodeType](), Counter[str]()

    def note(frame: FrameType, event: str, told: Any) -> None:
        if event == "call":
            python[frame.f_code] += 1
        elif event == "c_call":
            native[f"{getattr(told, '__module__', '') or ''}.{getattr(told, '__qualname__', told)}"] += 1

    sys.setprofile(note)
    try:
        await inside.run(given.callers, given.runs)
    finally:
        sys.setprofile(None)
    own = {_code_name(code): count for code, count in python.items() if "bench/" not in code.co_filename}
    print(f"calls a run: {sum(own.values()) / given.runs:.1f} of Python, {sum(native.values()) / given.runs:.1f} of C")
    for name, count in Counter(own).most_common(given.functions):
        print(f"{count / given.runs:8.2f} {name}")
    for name, count in native.most_common(given.functions // 2):
        print(f"{count / given.runs:8.2f} {name}")


def _code_name(code: CodeType) -> str:
    place = code.co_filename
    for mark in _SOURCES:
        place = place.rpartition(mark)[2] if mark != "polyport/" else place.rpartition("src/polyport/")[2]
    return f"{code.co_qualname} ({place}:{code.co_firstlineno})"


async def _list(inside: Inside) -> None:
    lines: list[str] = []
    depth = 0

    def note(frame: FrameType, event: str, told: Any) -> None:
        nonlocal depth
        if event == "call":
            lines.append(f"{'  ' * depth}{_code_name(frame.f_code)}")
            depth += 1
        elif event == "return":
            depth = max(0, depth - 1)
        elif event == "c_call":
            lines.append(f"{'  ' * depth}- {getattr(told, '__qualname__', told)}")

    sys.setprofile(note)
    try:
        await inside.run(1, 1)
    finally:
        sys.setprofile(None)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
