"""The simulator on a port: uvicorn, with a way to end a connection in the middle, which ASGI itself has not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, MutableMapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from polyport.testing.line import CLOSE, Receive, Send
from polyport.testing.simulator import SimulatorApp, load_simulator

Transports = dict[Any, asyncio.Transport]


@contextlib.asynccontextmanager
async def open_simulator(app: SimulatorApp, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve an app while the block runs; gives its base URL, ``http://127.0.0.1:49152``. Port 0 takes a free one. Raises ``OSError`` when the port is taken."""
    listening = _listen(host, port)
    transports: Transports = {}
    config = uvicorn.Config(
        _with_close(app, transports),
        http=_protocol(transports),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await server.listening.wait()
        address, taken = listening.getsockname()[:2]
        yield f"http://[{address}]:{taken}" if ":" in address else f"http://{address}:{taken}"
    finally:
        server.should_exit = True
        for transport in list(transports.values()):
            transport.abort()
        await serving
        await app.close()


async def serve_simulator(folder: Traversable | Path, host: str, port: int, *, ready: Callable[[str], None] | None = None) -> None:
    """Serve a partner from its folder until cancelled. ``ready`` is called with the base URL once requests are taken.

    Raises ``SetupError`` when the folder's ``simulator.yaml`` or cases have faults, ``OSError`` when the port is taken.
    """
    async with open_simulator(load_simulator(folder), host=host, port=port) as url:
        if ready is not None:
            ready(url)
        await asyncio.Event().wait()


class _Server(uvicorn.Server):
    """A server that says when it listens, and leaves signals to the program it runs in."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.listening.set()

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]  # the base makes the same from a generator
        return contextlib.nullcontext()


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1024)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def _protocol(transports: Transports) -> type[asyncio.Protocol]:
    """Uvicorn's protocol, noting the transport of each connection under its peer's address."""

    class Noting(AutoHTTPProtocol):  # type: ignore[valid-type,misc]  # uvicorn picks the class when it is imported
        _peer: Any = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._peer = transport.get_extra_info("peername")
            transports[self._peer[:2]] = transport

        def connection_lost(self, error: Exception | None) -> None:
            transports.pop(self._peer[:2], None)
            super().connection_lost(error)

    return Noting


def _with_close(app: SimulatorApp, transports: Transports) -> Any:
    async def serve(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        def close(abort: bool) -> None:
            transport = transports.get(tuple(scope["client"]))
            if transport is None:  # the caller went first
                return
            if not abort:
                transport.close()
                return
            # Without lingering the end of the connection is a reset, not an orderly one.
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()

        scope["extensions"] = {**scope.get("extensions", {}), CLOSE: close}
        await app(scope, receive, send)

    return serve
