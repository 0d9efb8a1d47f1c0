"""What clients may take of the server before a request is one: connections, and time to send and to read.

uvicorn gives an idle connection its time and nothing else. A client that sends its head or body byte by byte, or never reads its answer, would hold a
connection for ever; many of them hold all. One look at all connections every second finds them; requests themselves start no timers.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from enum import Enum, auto
from typing import Any, ClassVar, Final

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from polyport.settings import HttpSettings

HEAD_LIMIT: Final = 64 * 1024
DRAINED_LEAST: Final = 4_096  # bytes a second that a client has to read

_log: Final = structlog.get_logger("polyport.guard")
_BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_LATE: Final = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Phase(Enum):
    """What of a request a connection is at."""

    HEAD = auto()
    BODY = auto()
    WHOLE = auto()


class Guard:
    """Watches over the connections of a process. ``draining``: answers say that they are the last of their connection."""

    def __init__(self, limits: HttpSettings) -> None:
        self._limits = limits
        self.connections: set[GuardedProtocol] = set()
        self._addresses: Counter[str] = Counter()
        self.draining = False
        self.refused = 0
        self.cut = 0

    def protocol(self) -> type[GuardedProtocol]:
        """The protocol whose connections this guard watches over."""
        return type("BoundProtocol", (GuardedProtocol,), {"guard": self})

    def enter(self, connection: GuardedProtocol) -> bool:
        """Take a connection in, unless there are too many, in all or of its address."""
        address = connection.address
        limits = self._limits
        if len(self.connections) >= limits.connections or self._addresses[address] >= limits.connections_per_address:
            self.refused += 1
            return False
        self.connections.add(connection)
        self._addresses[address] += 1
        return True

    def leave(self, connection: GuardedProtocol) -> None:
        """A connection has ended."""
        if connection in self.connections:
            self.connections.discard(connection)
            self._addresses[connection.address] -= 1
            if not self._addresses[connection.address]:
                del self._addresses[connection.address]

    def sweep(self, now: float) -> None:
        """Cut connections whose clients take too long; to be called about once a second."""
        limits = self._limits
        for connection in list(self.connections):
            if connection.unread_for(now) > limits.write_timeout:
                self._cut(connection, None)
            elif connection.transport.is_closing() or connection.pipeline:
                continue
            elif connection.phase is Phase.HEAD and now - connection.since > limits.header_timeout:
                self._cut(connection, _LATE if connection.head_size else b"")
            elif connection.phase is Phase.BODY and now - connection.since > limits.body_timeout:
                self._cut(connection, b"" if connection.cycle.response_started else _LATE)

    def _cut(self, connection: GuardedProtocol, answer: bytes | None) -> None:
        """End a connection; without an answer at once, whatever was still to be read."""
        self.cut += 1
        if answer is None:
            connection.transport.abort()
            return
        if answer:
            connection.transport.write(answer)
        connection.transport.close()


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which notes what its connection is at and since when."""

    guard: ClassVar[Guard]
    phase = Phase.HEAD
    since = 0.0
    head_size = 0
    _unread = 0
    _unread_since = 0.0

    @property
    def address(self) -> str:
        """The address of the client."""
        return self.client[0] if self.client is not None else ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base has it
        """A client connected."""
        super().connection_made(transport)
        self.since = self.loop.time()
        if not self.guard.enter(self):
            transport.write(_BUSY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.guard.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Something came."""
        if self.transport.is_closing():
            return  # it was answered for good already
        self.head_size += len(data)
        super().data_received(data)
        if self.phase is Phase.HEAD and self.head_size > HEAD_LIMIT and not self.transport.is_closing():
            self.transport.write(_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """A head begins."""
        self.phase, self.since = Phase.HEAD, self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self.phase, self.since, self.head_size = Phase.BODY, self.loop.time(), 0
        super().on_headers_complete()
        if self.guard.draining and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The body is whole."""
        self.phase, self.head_size = Phase.WHOLE, 0
        super().on_message_complete()

    def unread_for(self, now: float) -> float:
        """For how long (seconds) the client has read too little of what was written."""
        size: Any = self.transport.get_write_buffer_size()
        if not size:
            self._unread = 0
            return 0.0
        if not self._unread or size <= self._unread - DRAINED_LEAST:
            self._unread, self._unread_since = size, now
        return now - self._unread_since
