"""The short way of an exchange: one buffer goes out, one parser collects the answer. Nearly every call takes it.

A connection is still one of aiohttp's pool, made under its limits by its resolver, its socket factory and its TLS. What is left out is what aiohttp makes for
each call on top of it: a request, a writer, a response, a reader with flow control (docs/adr/0021). The parser is llhttp, as in aiohttp, with the same
leniencies. What it collects is bounded: the head by ``HEAD_LIMIT`` and its fields, the body, decompressed, by the call's own limit.
"""

from __future__ import annotations

import asyncio
import math
import zlib
from itertools import chain
from time import monotonic
from typing import Any, Final

from aiohttp.client_proto import ResponseHandler

from polyport.net.headers import as_text
from polyport.net.message import Pairs

try:
    import httptools
except ImportError:  # pragma: no cover  not to be had on every system: every call takes the long way there
    httptools: Any = None  # type: ignore[no-redef]  # None stands for the module

SHORT: Final = httptools is not None
HEAD_LIMIT: Final = 256 * 1024
FIELDS_MOST: Final = 128
FIELD_LIMIT: Final = 8_190
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

# What may be wrong with an answer; {host} is whose it is.
NO_HTTP: Final = "The answer of {host} is not valid HTTP."
CHANGED: Final = "{host} changed the protocol without being asked."
BROKEN_OFF: Final = "The answer of {host} broke off or could not be decoded."
UNANSWERED: Final = "{host} closed the connection before it had answered."
BROKEN: Final = "The connection to {host} broke."
LATE: Final = "{host} did not answer in time."
TOO_LARGE: Final = "The answer of {host} is larger than {limit} bytes."
ENDS: Final = frozenset({BROKEN_OFF, UNANSWERED, BROKEN})  # those by which a connection that is closed makes itself known

# The headers that say something to us, by their lengths, which are all different.
_MEANINGS: Final = {len(name): name for name in ("content-length", "content-encoding", "transfer-encoding", "location")}
_ZLIB: Final = frozenset({"gzip", "deflate"})
_UNKNOWN: Final = frozenset({"br", "zstd"})


class _Inflated:
    """A body of gzip (several members, one after the other, are one body) or of deflate, with its header or, as some write it, without."""

    __slots__ = ("_gzip", "_packer", "_waits", "begun")

    def __init__(self, encoding: str) -> None:
        self._gzip = encoding == "gzip"
        self._packer = zlib.decompressobj(zlib.MAX_WBITS | 16 if self._gzip else zlib.MAX_WBITS)
        self._waits = b""
        self.begun = False

    @property
    def whole(self) -> bool:
        """Whether it has come to its end."""
        return self._packer.eof or not self.begun

    def feed(self, piece: bytes, most: int) -> bytes:
        """What a piece holds, ``most`` bytes of it at most. Raises ``zlib.error``."""
        if not self.begun:
            self.begun = True
            if not self._gzip and piece[0] & 0xF != 8:
                self._packer = zlib.decompressobj(-zlib.MAX_WBITS)
        found = self._packer.decompress(piece, most)
        while self._gzip and self._packer.eof and self._packer.unused_data and len(found) < most:
            rest = self._packer.unused_data
            self._packer = zlib.decompressobj(zlib.MAX_WBITS | 16)
            found += self._packer.decompress(rest, most - len(found))
        return found


class Answer:
    """What a wire collects of one answer. ``problem``: why it is none, as a sentence with ``{host}``.

    ``bare``: it was asked with HEAD. ``follows``: of a redirect the head is enough. ``reusable``: nothing is left on the wire, and it stays open.
    """

    __slots__ = (
        "_bare",
        "_chunked",
        "_follows",
        "_headed",
        "_inflated",
        "_length",
        "_limit",
        "_only_head",
        "_parser",
        "_pieces",
        "_raw",
        "_read",
        "_size",
        "done",
        "headers",
        "place",
        "problem",
        "reusable",
        "status",
    )

    def __init__(self, *, limit: int, bare: bool, follows: bool) -> None:
        self._limit = limit
        self._bare = bare
        self._follows = follows
        self._parser: Any = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._headed = self._chunked = self._only_head = False
        self._length: str | None = None
        self._inflated: _Inflated | None = None
        self._pieces: list[bytes] = []
        self._raw: list[tuple[bytes, bytes]] = []
        self._read = self._size = 0
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.place: str | None = None
        self.done = False
        self.reusable = False
        self.problem: str | None = None

    @property
    def pairs(self) -> Pairs:
        """The headers."""
        return tuple(self.headers)

    @property
    def body(self) -> bytes:
        """The whole body, decompressed."""
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    def feed(self, data: bytes) -> bool:
        """Take what has come; whether that was the last of it."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.fail(CHANGED)
        except httptools.HttpParserError:
            self._spoil()
        if not self._headed and not self.done:
            self._read += len(data)
            if self._read > HEAD_LIMIT:
                self.fail(NO_HTTP)
        return self.done

    def _spoil(self) -> None:
        """What came is no HTTP: of a whole answer that went before it the connection alone is spoilt."""
        if self.done:
            self.reusable = False
        else:
            self.fail(BROKEN_OFF if self._headed else NO_HTTP)

    def end(self, error: BaseException | None) -> None:
        """The connection has ended."""
        if self.done:
            return
        if not self._headed:
            self.fail(UNANSWERED if error is None else BROKEN)
        elif error is None and self._length is None and not self._chunked:
            self._complete()
        else:
            self.fail(BROKEN_OFF)

    def fail(self, problem: str) -> None:
        """There is no answer."""
        if not self.done:
            self.problem = problem
        self.done, self.reusable = True, False

    def release(self) -> None:
        """Let go of the parser, which holds this: with it, the body would stay in memory until the garbage collector comes by."""
        self._parser = None

    def on_message_begin(self) -> None:
        """Called by the parser."""
        if self.done:  # a second answer that nobody asked for
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if not self._headed:  # what comes behind the body (trailers) is no header
            self._raw.append((name, value))

    def _read_head(self) -> bool:
        """The headers as text, and what those say that an answer is framed and read by; ``False`` for a head that is none."""
        raw = self._raw
        if len(raw) > FIELDS_MOST or max(map(len, chain.from_iterable(raw)), default=0) > FIELD_LIMIT:
            self.fail(NO_HTTP)
            return False
        self.headers = [(name.decode("latin-1"), as_text(value.strip(b" \t"))) for name, value in raw]
        for name, text in self.headers:
            meaning = _MEANINGS.get(len(name))
            if meaning is None or name.lower() != meaning:
                continue
            if meaning == "content-length":
                self._length = text
            elif meaning == "content-encoding":
                self._decode_with(text.lower())
            elif meaning == "transfer-encoding":
                self._chunked = True
            elif self.place is None:
                self.place = text
        return not self.done

    def _decode_with(self, encoding: str) -> None:
        if encoding in _ZLIB:
            self._inflated = _Inflated(encoding)
        elif encoding in _UNKNOWN:
            self.fail(BROKEN_OFF)

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        if self.done:
            return
        if not self._read_head():
            return
        self.status = self._parser.get_status_code()
        if self.status == 101:
            self.fail(CHANGED)
        elif self.status >= 200:
            self._headed = True
            if self._bare or (self._follows and self.place is not None and self.status in REDIRECTS):
                self._only_head = True
                self.done = True
                self.reusable = self._bare and self._parser.should_keep_alive()
            elif self._length is not None and (len(self._length) > 18 or int(self._length) > self._limit):
                self.fail(TOO_LARGE)

    def on_body(self, piece: bytes) -> None:
        """Called by the parser."""
        if self.done:
            self.reusable = False
            return
        if self._inflated is not None:
            try:
                piece = self._inflated.feed(piece, self._limit - self._size + 1)
            except zlib.error:
                self.fail(BROKEN_OFF)
                return
        self._size += len(piece)
        if self._size > self._limit:
            self._pieces.clear()
            self.fail(TOO_LARGE)
        else:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if not self._headed and not self.done:  # a hint (1xx): the answer is still to come
            self._raw.clear()
            self.headers = []
            self.place = self._length = self._inflated = None
            self._chunked = False
        elif not self.done:
            self._complete()
        elif self._only_head and not self._bare and self.problem is None and not self.reusable:
            self.reusable = self._parser.should_keep_alive()

    def _complete(self) -> None:
        if self._inflated is not None and not self._inflated.whole:
            self.fail(BROKEN_OFF)
            return
        self.done = True
        self.reusable = self._parser.should_keep_alive()


class Deadlines:
    """When the answers that are waited for have to be there: one timer for all, set to the first. A timer for each call costs as much as writing its request."""

    __slots__ = ("_due", "_loop", "_set_to", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: dict[Wire, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._set_to = math.inf

    def enter(self, wire: Wire, seconds: float) -> None:
        """Give a wire so many seconds; then it gives up."""
        at = self._due[wire] = monotonic() + seconds
        if at < self._set_to:
            self._set(at)

    def leave(self, wire: Wire) -> None:
        """Its answer is there, or nobody waits for it any more."""
        self._due.pop(wire, None)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._set_to = None, math.inf
        self._due.clear()

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._set_to = at
        self._timer = self._loop.call_later(max(0.0, at - monotonic()), self._look)

    def _look(self) -> None:
        self._timer, self._set_to = None, math.inf
        now = monotonic()
        for wire in [wire for wire, at in self._due.items() if at <= now]:
            del self._due[wire]
            wire.give_up()
        if self._due:
            self._set(min(self._due.values()))


class Wire(ResponseHandler):
    """A connection of aiohttp's that can also take the short way. ``served``: something came back on it already."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.loop = loop
        self.served = False
        self._answer: Answer | None = None
        self._answered: asyncio.Future[None] | None = None

    def ask(self, message: bytes, answer: Answer) -> asyncio.Future[None]:
        """Send a whole request; done once its answer is. A connection that has gone meanwhile fails it."""
        self._answer = answer
        self._answered = waiter = self.loop.create_future()
        if self.transport is None:
            answer.end(None)
            self._settle()
        else:
            self.transport.write(message)
        return waiter

    def give_up(self) -> None:
        """The time for the answer is over."""
        if self._answer is not None:
            self._answer.fail(LATE)
            self._settle()

    def _settle(self) -> None:
        if self._answer is not None:
            self._answer.release()
        waiter, self._answer, self._answered = self._answered, None, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        self.served = True
        if self._answer is None:
            super().data_received(data)
        elif self._answer.feed(data):
            self._settle()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by the transport."""
        if self._answer is not None:
            self._answer.end(exc)
            self._settle()
        super().connection_lost(exc)
