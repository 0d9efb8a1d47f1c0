"""What goes to a partner and what comes back: two frozen values and the one network method.

Nothing here does I/O. The reprs show neither header values, nor query values, nor bodies: any of them may be a secret.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a client shows of itself in the TLS handshake: its chain and its private key, unencrypted, both in PEM. The repr shows neither."""

    chain: str = field(repr=False)
    key: str = field(repr=False)


class Source(Protocol):
    """Bytes that are elsewhere until they are sent. ``size`` is in bytes, ``None`` where nobody has said it."""

    @property
    def size(self) -> int | None:
        """How many bytes it has."""

    def pieces(self) -> AsyncIterator[bytes]:
        """The bytes from the beginning, also a second time. Raises ``NetworkFault`` when they do not come whole."""


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """A body that is never in memory as a whole: bytes and sources in turn."""

    parts: tuple[bytes | Source, ...] = field(repr=False)

    @property
    def size(self) -> int | None:
        """How many bytes it has, if that is known of every source."""
        sizes = [len(part) if isinstance(part, bytes) else part.size for part in self.parts]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def shown(self) -> bytes:
        """What can be shown of it: the bytes around the sources, and how large those are."""
        return b"".join(part if isinstance(part, bytes) else _stand_in(part) for part in self.parts)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The whole body, piece by piece."""
        for part in self.parts:
            if isinstance(part, bytes):
                yield part
            else:
                async for piece in part.pieces():
                    yield piece


def _stand_in(source: Source) -> bytes:
    return b"(a file)" if source.size is None else f"(a file of {source.size} bytes)".encode()


class Incoming(Protocol):
    """An answer whose body is still to be read, once. ``close`` it whatever happens."""

    status: int
    headers: Pairs

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises ``NetworkFault``."""

    def close(self) -> None:
        """Give the connection up; a second time does nothing."""


@runtime_checkable
class Opener(Protocol):
    """A network that can also give an answer piece by piece."""

    async def open(self, request: Request) -> Incoming:
        """Send one request and wait for the head of its answer. Raises what ``Network.send`` raises."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request, complete: ``url`` is absolute and already carries the encoded query.

    ``headers`` keep their order and spelling. ``timeout`` is in seconds and covers the whole exchange.
    ``secrets`` are values that occur in the request and must be masked wherever the request is shown.
    ``follow_redirects`` applies to GET and HEAD only; every hop is checked like a first request.
    ``answer_limit`` is the most bytes of (decompressed) body that are read; ``None`` is the server's own limit.
    ``stream`` is the body where that is not kept in memory; ``body`` is then ``None``.
    ``certificate`` is shown to servers that ask for one, on the first address alone.
    ``leaves`` is called before the request is handed to a connection: what came before, such as making one, took its time.
    ``fresh``: it goes out on a connection of its own making. A kept one may be closed by the other side at that very moment, and then nobody knows what became of the request.
    """

    method: str
    url: str
    headers: Pairs = ()
    body: bytes | None = None
    stream: Stream | None = None
    timeout: float = 30.0
    secrets: frozenset[str] = frozenset()
    follow_redirects: bool = True
    answer_limit: int | None = None
    certificate: Certificate | None = None
    leaves: Callable[[], None] | None = None
    fresh: bool = False

    def header(self, name: str) -> str | None:
        """The first value of a header, found without regard to case."""
        return _first(self.headers, name)

    def with_header(self, name: str, value: str) -> Request:
        """A copy in which ``name`` has this one value."""
        folded = name.lower()
        for told, _value in self.headers:
            if told.lower() == folded:
                kept = tuple(pair for pair in self.headers if pair[0].lower() != folded)
                break
        else:
            kept = self.headers
        return replace(self, headers=(*kept, (name, value)))

    def with_secrets(self, *values: str) -> Request:
        """A copy that also masks these values; empty ones are ignored."""
        if self.secrets.issuperset(values):
            return self
        return replace(self, secrets=self.secrets | {value for value in values if value})

    def __repr__(self) -> str:
        parts = urlsplit(self.url)
        size = 0 if self.body is None else len(self.body)
        return f"<Request {self.method} {parts.scheme}://{parts.hostname} ({len(self.headers)} headers, {size} bytes)>"


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP answer, read to its end and decompressed. ``elapsed`` is in seconds, ``url`` is the final one."""

    status: int
    headers: Pairs = ()
    body: bytes = b""
    url: str = ""
    elapsed: float = 0.0

    def header(self, name: str) -> str | None:
        """The first value of a header, found without regard to case."""
        return _first(self.headers, name)

    def __repr__(self) -> str:
        return f"<Reply {self.status} ({len(self.headers)} headers, {len(self.body)} bytes)>"


class Network(Protocol):
    """The one object that reaches partners. Tests swap the object; nothing is patched."""

    async def send(self, request: Request) -> Reply:
        """Send one request and read the whole answer, whatever its status.

        ``request.leaves`` is called before its first byte can leave: what was not told so is taken for unsent when the process dies. Raises ``NetworkFault`` when there is no answer, and ``BlockedAddress`` when the egress policy forbids the address.
        """


class NetworkFault(Exception):
    """There is no (whole) answer. ``reached`` is false only when the request provably never left.

    The other side has no part in it where this server stops (``stopped``), or where what was to be sent did not come (``unsent``).
    """

    def __init__(self, message: str, /, *, reached: bool, timed_out: bool = False, stopped: bool = False, unsent: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.reached = reached
        self.timed_out = timed_out
        self.stopped = stopped
        self.unsent = unsent


def _first(headers: Pairs, name: str) -> str | None:
    folded = name.lower()
    return next((value for key, value in headers if key.lower() == folded), None)
