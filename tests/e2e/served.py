"""The real server, partners' simulators and partners that answer what a test says, all on free loopback ports in this process."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import multiprocessing
import socket
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import aiohttp

import bundled
from first_day import EMAIL, PASSWORD, bring_account, bring_catalogue
from polyport.catalog import Catalog
from polyport.cli.serving import QuietServer, listen, make_config, make_guard
from polyport.importers import run as importing
from polyport.net.message import Network
from polyport.runtime import Runtime, create_account, make_first_account, open_runtime
from polyport.server.app import build_services, serving
from polyport.server.routing import Services
from polyport.settings import Settings, environment_names, load_settings
from polyport.testing.server import open_simulator
from polyport.testing.simulators import Simulators

# An import has a process of its own. Here these are begun by one that has read the modules; a server that is a process begins them from nothing, as the pages of
# tests/docs/test_how_to.py show.
multiprocessing.set_forkserver_preload(["pytest", "polyport.importers.run"])
setattr(importing, "multiprocessing", SimpleNamespace(get_context=lambda _how: multiprocessing.get_context("forkserver")))  # noqa: B010  it is a module

OTHER_EMAIL: Final = "other@example.com"

PIPEDRIVE: Final = 225
PIPEDRIVE_FIELDS: Final = {"company": "acme", "api_token": "3f8c2ab419d07e65a1b2c3d4e5f60718293a4b5c"}
HUBSPOT: Final = 10055
TOOLS: Final = 1
_MAKES_ANOTHER: Final = frozenset(
    {"master_key", "bootstrap_email", "bootstrap_password"}
)  # settings that make another first account than the usual one
_KNOWN: Final = frozenset(environment_names())
LARGE: Final = 1 << 20  # bytes from which the client wants a body as a file


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self._now

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer of the server, whole. Header names are in lower case; of headers that stand twice the last counts."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; ``None`` where there is none."""
        return json.loads(self.content) if self.content else None


@dataclass(slots=True, kw_only=True)
class Served:
    """A running server. ``token`` is a session token of the first account."""

    origin: str
    token: str = field(repr=False)
    runtime: Runtime = field(repr=False)
    services: Services = field(repr=False)
    client: aiohttp.ClientSession = field(repr=False)
    replies: list[Reply] = field(default_factory=list, repr=False)

    async def fetch(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content: bytes | None = None,
        token: str | None = "",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask the server. ``body`` is sent as JSON, ``content`` as it is; ``token`` "" is the first account's, ``None`` is none."""
        sent = dict(headers or {})
        if token is not None and "Authorization" not in sent:
            sent["Authorization"] = f"Bearer {token or self.token}"
        data = content
        if body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        sending = io.BytesIO(data) if data is not None and len(data) >= LARGE else data
        async with self.client.request(method, self.origin + path, data=sending, headers=sent, allow_redirects=False) as answer:
            found = Reply(
                status=answer.status, headers={name.lower(): text for name, text in answer.headers.items()}, content=await answer.read()
            )
        self.replies.append(found)
        return found

    async def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = "", headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], Any]:
        """Ask the server; gives status, headers and JSON."""
        found = await self.fetch(method, path, body, token=token, headers=headers)
        return found.status, found.headers, found.json

    async def sign_in(self, email: str = EMAIL, password: str = PASSWORD) -> dict[str, Any]:
        """The tokens of a sign-in."""
        status, _headers, answer = await self.call("POST", "/user/auth", {"email": email, "password": password}, token=None)
        assert status == 200, answer
        return dict(answer["data"])

    async def session(self, email: str = EMAIL) -> str:
        """A session token like that of a sign-in, without the slow hash of the password."""
        user = await self.runtime.repo.accounts.user_by_email(email)
        assert user is not None
        return (await self.services.access._new_tokens(user)).token

    async def connect(self, partner_id: int, fields: Mapping[str, Any], *, token: str | None = "", **more: Any) -> int:
        """Make a connection; its id."""
        body = {"partnerId": partner_id, "title": "A connection", "fields": fields, **more}
        status, _headers, answer = await self.call("POST", "/credentials", body, token=token)
        assert status == 201, answer
        return int(answer["data"]["credentialId"])

    async def end_user(self, external_id: str, **asked: Any) -> tuple[int, str]:
        """An end user of the first account: its id and a token of it."""
        status, _headers, user = await self.call("POST", "/users", {"externalId": external_id})
        assert status in {200, 201}, user
        status, _headers, made = await self.call("POST", f"/users/{user['data']['id']}/token", asked)
        assert status == 201, made
        return int(user["data"]["id"]), str(made["data"]["token"])

    async def second_account(self) -> str:
        """Another account, made when it is first asked for; a session token of it."""
        if await self.runtime.repo.accounts.user_by_email(OTHER_EMAIL) is None:
            await create_account(
                self.runtime.repo, self.runtime.vault, title="Other", email=OTHER_EMAIL, password=PASSWORD, now=self.runtime.now_ms()
            )
        return await self.session(OTHER_EMAIL)


async def import_finished(served: Served, slug: str, *, token: str | None = "", **body: Any) -> dict[str, Any]:
    """Import a description; the import once it has ended, or waits for an answer."""
    status, _headers, made = await served.call("POST", "/partners/import", {"slug": slug, **body}, token=token)
    assert status == 202, made
    return await import_settled(served, made["data"]["importId"], token=token)


async def import_settled(served: Served, import_id: str, *, token: str | None = "") -> dict[str, Any]:
    """An import once it has ended, or waits for an answer."""
    for _look in range(4):
        _status, _headers, told = await served.call("GET", f"/partners/imports/{import_id}?wait=30", token=token)
        if told["data"]["status"] not in {"queued", "running"}:
            return dict(told["data"])
    raise AssertionError(told)


def make_settings(data: Path, **settings: Any) -> Settings:
    """Settings for a test: each keyword is a setting's environment name without its prefix, in lower case (``login_attempts=3``)."""
    given = {
        "data": data,
        "allow_networks": "127.0.0.0/8",
        "bootstrap_email": EMAIL,
        "bootstrap_password": PASSWORD,
        "http_grace": 1,
        **settings,
    }
    environ = {f"POLYPORT_{name.upper()}": _as_text(value) for name, value in given.items()}
    unknown = [name for name in environ if name not in _KNOWN and not name.endswith("_BASE_URL")]
    assert not unknown, unknown
    return load_settings(environ)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


@contextlib.asynccontextmanager
async def running_server(
    folder: Path,
    *,
    clock: Callable[[], datetime] | None = None,
    network: Network | None = None,
    catalog: Catalog | None = None,
    **settings: Any,
) -> AsyncIterator[Served]:
    """The server over a data folder ``folder/data``, its first account made and signed in. For ``settings`` see ``make_settings``."""
    listener = listen("127.0.0.1", 0)
    given = make_settings(folder / "data", port=listener.getsockname()[1], **settings)
    if catalog is None:
        bring_catalogue(given.data, given.partner_roots)
    if not _MAKES_ANOTHER.isdisjoint(settings) or not bring_account(given.data):
        await make_first_account(given, lambda: PASSWORD)
    async with contextlib.AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(
            open_runtime(given, clock=clock, network=network, catalog=catalog, simulated=Simulators(), serves=True)
        )
        services = build_services(runtime)
        app = await stack.enter_async_context(serving(runtime, services))
        await stack.enter_async_context(_uvicorn(app, services, given, listener))
        client = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        served = Served(origin=f"http://127.0.0.1:{given.port}", token="", runtime=runtime, services=services, client=client)
        served.token = await served.session(given.bootstrap.email)
        yield served


@contextlib.asynccontextmanager
async def _uvicorn(app: Any, services: Services, settings: Settings, listener: socket.socket) -> AsyncIterator[None]:
    guard = make_guard(settings)
    server = QuietServer(make_config(app, settings, guard), services.streams.watch.close, guard)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            await asyncio.sleep(0.002)
            assert not serving.done()
        yield
    finally:
        server.should_exit = True
        await serving


@contextlib.asynccontextmanager
async def running_simulator(slug: str) -> AsyncIterator[str]:
    """A bundled partner's simulator; its base URL."""
    async with open_simulator(bundled.simulator(slug)) as url:
        yield url


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as an ``upstream`` got it. Header names are in lower case. With ``writer`` a test answers piece by piece."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    writer: asyncio.StreamWriter = field(repr=False)


Handler = Callable[[Asked], Awaitable[bytes | None]]


@dataclass(slots=True, kw_only=True)
class Upstream:
    """A running partner of a test's own: its base URL, and what it was asked, in order. ``handler`` may be replaced at any time."""

    origin: str
    handler: Handler
    asked: list[Asked] = field(default_factory=list)


def answer(status: int, body: Any = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes of an HTTP answer that ends its connection. A body that is no bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", "Content-Length": str(len(content)), "Connection": "close", **(headers or {})}
    head = "".join(f"{name}: {text}\r\n" for name, text in sent.items())
    return f"HTTP/1.1 {status} Told\r\n{head}\r\n".encode("latin-1") + content


@contextlib.asynccontextmanager
async def upstream(handler: Handler, listener: socket.socket | None = None) -> AsyncIterator[Upstream]:
    """A partner whose answers the test chooses: ``handler`` gives the bytes of an answer, or ``None`` when it wrote them itself or wants none.

    The connection ends after each answer. ``listener`` is a bound socket to serve on; without one it is a free port.
    """
    found = Upstream(origin="", handler=handler)
    tasks: set[asyncio.Task[None]] = set()
    opened: weakref.WeakSet[asyncio.WriteTransport] = weakref.WeakSet()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Noted as the connection is made: of a task that is cancelled before its first step nothing runs, and its connection would stay open.
        opened.add(writer.transport)
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(ended)

    def ended(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:  # the test is told, as by a server of coroutines
            asyncio.get_running_loop().call_exception_handler({"message": "A partner of a test failed.", "exception": error, "task": task})

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await _read_request(reader, writer)
            found.asked.append(asked)
            content = await found.handler(asked)
            if content is not None:
                writer.write(content)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    if listener is None:
        server = await asyncio.start_server(begin, "127.0.0.1", 0, limit=1 << 20)
    else:
        server = await asyncio.start_server(begin, sock=listener, limit=1 << 20)
    found.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        for each in server.sockets:
            asyncio.get_running_loop().remove_reader(each.fileno())
        await asyncio.sleep(0)  # asyncio leaves a connection unclosed whose server closes between its acceptance and the next step
        server.close()
        for _step in range(4):  # what was accepted just now is told to us a step later; what is given up has ended two steps later
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for transport in list(opened):
                transport.abort()
            await asyncio.sleep(0)


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _version = head[0].split(" ", 2)
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.strip().lower(): text.strip() for name, _, text in pairs}
    body = b""
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    elif headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
    return Asked(method=method, target=target, headers=headers, body=body, writer=writer)
