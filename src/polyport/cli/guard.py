"""What clients may take of the server before a request is one: connections, and time to send and to read.

uvicorn gives an idle connection its time and nothing else. A client that sends its head or body byte by byte, or never reads its answer, would hold a
connection for ever; many of them hold all. One look at all connections every second finds them; requests themselves start no timers.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote, unquote

import httptools
import structlog
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from polyport.cli.exchange import Exchange
from polyport.errors import BadRequest, Details, InternalError, Overloaded, PolyportError
from polyport.net.parties import party_of
from polyport.server.problems import problem_response
from polyport.server.routing import UNCUT, UNCUT_PATHS, new_request_id
from polyport.settings import HttpSettings

if TYPE_CHECKING:
    import uvicorn
    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

HEAD_LIMIT: Final = 64 * 1024
DRAINED_LEAST: Final = 4_096  # bytes a second that a client has to read
LINGER: Final = 2.0  # seconds for which a connection that was ended early still takes what its client goes on sending
TURNED_AWAY: Final = 256  # connections that are too many and are held until their client has read so

_log: Final = structlog.get_logger("polyport.guard")
_MAPPED: Final = "::ffff:"
_ASCII: Final = "".join(map(chr, range(128)))
_LATE: Final = b"408 Request Timeout", BadRequest("The request did not come whole in time.", Details(retryable=True))
_BAD: Final = b"400 Bad Request", BadRequest("This is not a request of HTTP/1.1.")
_LARGE: Final = b"431 Request Header Fields Too Large", BadRequest(f"The head of the request is larger than {HEAD_LIMIT} bytes.")
_BUSY: Final = (
    b"503 Service Unavailable",
    Overloaded("This server has no room for another connection: nothing was accepted.", Details(retry_after_ms=1_000)),
)
_CUT: Final = (
    b"503 Service Unavailable",
    Overloaded("This server stopped before it could answer: ask again.", Details(retry_after_ms=1_000)),
)
_IN_DOUBT: Final = (
    b"500 Internal Server Error",
    InternalError(
        "This server stopped while it worked on this: look whether it was carried out.", Details(outcome="uncertain", retryable=False)
    ),
)
Refusal = tuple[bytes, PolyportError]


def _encoded(data: bytes) -> bytes:
    """The beginning of a request, its first line encoded: characters beyond ASCII are not allowed there, and sent by many who put an address together from texts."""
    line, end, rest = data.partition(b"\n")
    return data if line.isascii() else quote(line, safe=_ASCII).encode() + end + rest


def _parts_of(target: bytes) -> tuple[bytes, bytes]:
    """Path and query of what a request asks for. Nearly all begin with a slash, and are told apart by one look."""
    if target[:1] != b"/" or target[:2] == b"//" or b"#" in target:
        found = httptools.parse_url(target)
        return found.path, found.query or b""
    path, _mark, query = target.partition(b"?")
    return path, query


class Phase(Enum):
    """What of a request a connection is at."""

    HEAD = auto()
    BODY = auto()
    WHOLE = auto()
    IDLE = auto()
    ENDED = auto()


class Guard:
    """Watches over the connections of a process. ``draining``: answers say that they are the last of their connection."""

    def __init__(self, limits: HttpSettings) -> None:
        self._limits = limits
        self.connections: set[GuardedProtocol] = set()
        self._parties: Counter[str] = Counter()
        self.draining = False
        self.uncut: set[asyncio.Task[None]] = set()
        self.refused = 0
        self.cut = 0
        # Sooner than we close: a request that meets the end of its connection is lost.
        self.kept = b"keep-alive: timeout=%d\r\n" % max(1, limits.idle_timeout * 0.9)
        self._turned_away: set[GuardedProtocol] = set()
        self._behind_proxy: ASGI3Application | None = None
        self._dated: tuple[object, bytes] = (None, b"")

    def protocol(self) -> type[GuardedProtocol]:
        """The protocol whose connections this guard watches over."""
        return type("BoundProtocol", (GuardedProtocol,), {"guard": self})

    def dated(self, state: ServerState) -> bytes:
        """What stands in every answer, as lines; the server renews it once a second."""
        if self._dated[0] is not state.default_headers:
            self._dated = state.default_headers, b"".join(b"%b: %b\r\n" % pair for pair in state.default_headers)
        return self._dated[1]

    def behind_proxy(self, config: uvicorn.Config) -> ASGI3Application:
        """The application for a request that names whom a proxy had it from: believed of the proxies that uvicorn believes."""
        if self._behind_proxy is None:
            trusted = config.forwarded_allow_ips or []
            self._behind_proxy = ProxyHeadersMiddleware(config.loaded_app, trusted_hosts=trusted)
        return self._behind_proxy

    def enter(self, connection: GuardedProtocol) -> bool:
        """Take a connection in, unless there are too many, in all or of its address. A few of those are held for a moment, to be told so."""
        party = connection.party = party_of(connection.address)
        limits = self._limits
        if len(self.connections) >= limits.connections or self._parties[party] >= limits.connections_per_address:
            self.refused += 1
            if len(self._turned_away) >= TURNED_AWAY:
                connection.turn_away()
            self._turned_away.add(connection)
            return False
        self.connections.add(connection)
        self._parties[party] += 1
        return True

    def leave(self, connection: GuardedProtocol) -> None:
        """A connection has ended."""
        self._turned_away.discard(connection)
        if connection in self.connections:
            self.connections.discard(connection)
            self._parties[connection.party] -= 1
            if not self._parties[connection.party]:
                del self._parties[connection.party]

    def sweep(self, now: float) -> None:
        """Cut connections whose clients take too long; to be called about once a second."""
        limits = self._limits
        for connection in [each for each in self._turned_away if now - each.since > LINGER]:
            connection.turn_away()
        for connection in list(self.connections):
            if connection.unread_for(now) > limits.write_timeout:
                self.cut += 1
                connection.transport.abort()  # at once, whatever was still to be read
            elif connection.transport.is_closing() or connection.pipeline:
                continue
            elif connection.phase is Phase.IDLE:
                if now - connection.since > limits.idle_timeout:
                    connection.transport.close()
            elif connection.phase is Phase.ENDED:
                if now - connection.since > LINGER:
                    connection.transport.close()
            elif connection.phase is Phase.HEAD and now - connection.since > limits.header_timeout:
                self._cut(connection, _LATE if connection.head_size else None)
            elif connection.phase is Phase.BODY and now - connection.since > limits.body_timeout:
                self._cut(connection, None if connection.cycle.response_started else _LATE)

    def _cut(self, connection: GuardedProtocol, refusal: Refusal | None) -> None:
        """End a connection, with an answer or without."""
        self.cut += 1
        connection.refuse(refusal)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which notes what its connection is at and since when."""

    guard: ClassVar[Guard]
    current: Exchange | None = None
    phase = Phase.HEAD
    since = 0.0
    head_size = 0
    crowded = False
    forwarded = False
    party = ""  # whom its address belongs to
    ended = False
    _last = False
    _offered: list[tuple[bytes, bytes]] | None = None
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
        if self.client is not None and self.client[0].startswith(
            _MAPPED
        ):  # so an address of IPv4 looks to who listens on both: it is one client all the same
            self.client = self.client[0].removeprefix(_MAPPED), self.client[1]
        self.crowded = not self.guard.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.guard.leave(self)
        self.connections.discard(self)
        if self.current is not None:
            self.current.disconnected = self.current.disconnected or not self.current.response_complete
            self.current.wake()
        if self.flow is not None:
            self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        self.parser = None  # type: ignore[assignment]  # as the base does: what holds this holds no parser

    def data_received(self, data: bytes) -> None:
        """Something came."""
        if self.phase is Phase.ENDED or self.transport.is_closing():
            return  # it was answered for good already
        if not self.head_size and self.phase is not Phase.BODY and not data.isascii():
            data = _encoded(data)
        self.head_size += len(data)
        if self.crowded:  # told now and not before: an answer that nobody has asked for yet is thrown away by many clients
            self.refuse(_BUSY)
            return
        try:
            self._read(data)
        except httptools.HttpParserError:
            message = "Invalid HTTP request received."
            self.logger.warning(message)
            self.send_400_response(message)
            return
        if self.phase is Phase.HEAD and self.head_size > HEAD_LIMIT and not self.transport.is_closing():
            self.refuse(_LARGE)

    def _read(self, data: bytes | memoryview) -> None:
        """Hand on what came. A request that offers another protocol is one without the offer: the parser would take all behind its head, its body too, for that protocol."""
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if self.parser.get_method() == b"CONNECT":
                    raise httptools.HttpParserError("no tunnels here") from None
                headers = self._offered = self.headers
                told = b"".join(b"%b: %b\r\n" % pair for pair in headers if pair[0] != b"upgrade")
                head = b"%b %b HTTP/%b\r\n%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode(), told)
                data = memoryview(data)[offer.args[0] :]
                self.parser = httptools.HttpRequestParser(self)  # the other one may be at its end with this request
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as the base has it
                self.parser.feed_data(head)
            else:
                return

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it: whether the connection stays open for our side
        """The client sends no more. Whoever has asked something whole is answered all the same, then the connection ends.

        Over TLS, which this program does not speak itself, nothing could be half open: there it ends at once. So does a stream of events that has begun: it
        may say nothing for long, and a client that has gone looks like one that goes on reading.
        """
        current = self.current
        if current is None or current.response_complete or current.disconnected or current.endless or not self.transport.can_write_eof():
            return False
        if self.phase is Phase.BODY and not self.pipeline:
            return False
        self.ended = True
        self._take_no_more(current)
        return True

    def _take_no_more(self, current: Exchange) -> None:
        """The answers that are still due are the last: of the requests before one that will never be whole, where its body had begun."""
        if self.phase is Phase.BODY:
            self.pipeline.popleft()
        else:
            current.keep_alive = False
        self._last = True
        self.phase, self.since = Phase.ENDED, math.inf

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  the base's own words for it
        """What came is not HTTP."""
        self.refuse(_BAD)

    def turn_away(self) -> None:
        """It is one too many, and has had its time to ask for something and to read the answer."""
        if self.phase is not Phase.ENDED:
            self.transport.write(self._told(_BUSY))
        self.transport.close()

    def _told(self, refusal: Refusal) -> bytes:
        """A refusal as the last answer of its connection: in the envelope, as all are."""
        status, error = refusal
        request_id = new_request_id()
        response = problem_response(error, request_id, "", "")
        headers = b"".join(b"%b: %b\r\n" % pair for pair in [*response.raw_headers, (b"x-request-id", request_id.encode())])
        return b"HTTP/1.1 %b\r\n%b%bconnection: close\r\n\r\n%b" % (
            status,
            self.guard.dated(self.server_state),
            headers,
            bytes(response.body),
        )

    def told_of_a_stop(self, method: str) -> bytes:
        """The answer to a request that is cut when the grace time is over."""
        return self._told(_CUT if method in {"GET", "HEAD"} else _IN_DOUBT)

    def refuse(self, refusal: Refusal | None) -> None:
        """End the connection for what is no whole request, with this answer unless it would be taken for that to an earlier one."""
        current = self.current
        if current is not None and not current.response_complete:
            if self.phase is not Phase.BODY or self.pipeline:  # an earlier request is being answered
                self._take_no_more(current)
                return
            if current.response_started:
                refusal = None
            current.disconnected = True
            current.wake()
        if refusal is not None:
            self.transport.write(self._told(refusal))
        self.finish()

    def finish(self) -> None:
        """End the connection when all is written. What its client is still sending is read for a moment, and dropped.

        The kernel would answer bytes that nobody reads with a reset, at which many clients drop the answer too.
        """
        self.pipeline.clear()
        quiet = self.ended or self.phase is Phase.WHOLE or (self.phase is Phase.HEAD and not self.head_size)
        if quiet or not self.transport.can_write_eof():
            self.transport.close()
        elif not self.transport.is_closing():
            self.phase, self.since = Phase.ENDED, self.loop.time()
            self.transport.write_eof()
            self.flow.resume_reading()

    def on_message_begin(self) -> None:
        """A head begins."""
        self.phase, self.since = Phase.HEAD, self.loop.time()
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self.forwarded = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        name = name.lower()
        self.headers.append((name, value))
        if name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif name.startswith(b"x-forwarded-"):
            self.forwarded = True

    def on_headers_complete(self) -> None:
        """The head is whole: the application begins, unless an earlier request of this connection has to be answered first."""
        parser, offered = self.parser, self._offered
        if offered is not None:
            self.headers, self._offered = offered, None
        elif parser.should_upgrade() and parser.get_method() != b"CONNECT":
            return  # it comes once more
        self.phase, self.since, self.head_size = Phase.BODY, self.loop.time(), 0
        version, (raw_path, query) = parser.get_http_version(), _parts_of(self.url)
        path = raw_path.decode("ascii")
        self.scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "method": parser.get_method().decode("ascii"),
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self.headers,
            "state": {},
        }
        if self.scope["path"].endswith(UNCUT_PATHS):
            self.scope[UNCUT] = True  # type: ignore[typeddict-unknown-key]  # our own, for our own application
        keep_alive = version != "1.0" and parser.should_keep_alive() and not self.guard.draining
        earlier, exchange = self.current, Exchange(self, self.scope, keep_alive=keep_alive)
        self.cycle = self.current = exchange
        app = self.guard.behind_proxy(self.config) if self.forwarded else self.app
        if earlier is None or earlier.response_complete:
            self._start_asgi_task(exchange, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, app))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Begin to answer. What is uncut is not among the tasks that uvicorn cancels when the grace time is over: the engine waits for its end."""
        task = self.loop.create_task(cycle.run_asgi(app))
        held = self.guard.uncut if UNCUT in cycle.scope else self.tasks
        held.add(task)
        task.add_done_callback(held.discard)

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        if self.current is not None and not self.current.response_complete:
            self.current.take(body)

    def on_message_complete(self) -> None:
        """The body is whole."""
        if self.phase is Phase.HEAD:  # that of an offer, see ``_read``
            return
        self.phase, self.head_size = Phase.WHOLE, 0
        if self.current is None or self.current.response_complete:
            self.phase, self.since = Phase.IDLE, self.loop.time()
        else:
            self.current.more_body = False
            self.current.wake()

    def on_response_complete(self) -> None:
        """An answer is whole: the next request of those that came early is taken up, or the connection may rest."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._last:  # what was asked behind this never became whole
            self.finish()
        elif self.phase is Phase.WHOLE:
            self.phase, self.since = Phase.IDLE, self.loop.time()

    def shutdown(self) -> None:
        """The server ends: what is answered ends at once, whatever its client still sends."""
        if self.phase is Phase.ENDED and (self.current is None or self.current.disconnected or self.current.response_complete):
            self.transport.close()
        else:
            super().shutdown()

    def unread_for(self, now: float) -> float:
        """For how long (seconds) the client has read too little of what was written."""
        size: Any = self.transport.get_write_buffer_size()
        if not size:
            self._unread = 0
            return 0.0
        if not self._unread or size <= self._unread - DRAINED_LEAST:
            self._unread, self._unread_since = size, now
        return now - self._unread_since
