"""The way out: one exchange with a partner, under the egress policy. Only this folder imports aiohttp.

What holds for every call:

- **Nothing is sent twice.** The short way knows no repeating. aiohttp repeats GET, HEAD, PUT, DELETE and the like by itself when a connection breaks before an answer
  (``_request`` in its client.py, on fresh connections too). It does so for its own ``ClientOSError`` and ``ServerDisconnectedError``
  only; ``_Exchange`` is a middleware that turns them into ``NetworkFault`` before aiohttp sees them. So one hop is at most one
  arrival, for safe methods too: a repeat is the engine's decision, counted, recorded and within the partner's budget.
- **Idle connections are kept for 4 s.** When a server closes an idle connection just as a request goes out, that request fails and
  nobody knows whether it had an effect. Common servers close after 5 s and more, so we are first to let go.
- **The address that was judged is the one that is called.** Names are judged address by address as they are resolved; the socket
  factory judges the final address once more, literals included. Of a name with addresses of both kinds the forbidden ones are left
  out; when none remains the call is refused.
- ``NetworkFault.reached`` is false only while the request had not been handed to a connection.

Most calls go the short way of ``wire``; streams, and large bodies, go aiohttp's own.

Where it stops: aiohttp's own way does not notice a gzip stream that ends early inside a whole HTTP message; the body is then shorter.
"""

from __future__ import annotations

import asyncio
import io
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from time import perf_counter
from typing import Any, Final, NamedTuple, Self, cast

from aiohttp import (
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
)
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import AddrInfoType, Connection
from msgspec.structs import replace
from yarl import URL

from polyport.net.egress import EgressPolicy
from polyport.net.failures import FAILURES, sentence_of
from polyport.net.headers import TOKEN, checked, message_of
from polyport.net.message import Incoming, NetworkFault, Pairs, Reply, Request, Stream
from polyport.net.pool import GuardedResolver, Pool, Resolve, ask_system
from polyport.net.received import gather, received
from polyport.net.redirects import may_travel, same_origin, target_of
from polyport.net.tls import ShownCertificates
from polyport.net.wire import ENDS, LATE, REDIRECTS, SHORT, Answer, Wire

_HOPS: Final = 5
_KEEP_ALIVE: Final = 4.0
_NAMES_LIVE: Final = 5
_SILENCE: Final = 30.0
_LARGE: Final = 2**20
_SAFE: Final = frozenset({"GET", "HEAD"})
_NO_TYPE: Final = ("Content-Type",)
_ORIGINS_MOST: Final = 1_024
_PARTS: Final = re.compile(r"([^:]+://[^/?#]*)([^#]*)")


class Sender:
    """The ``Network`` of a running server. Use it as an async context, or ``close`` it.

    ``connections`` and ``connections_per_host`` bound the open connections; waiting for a free one, resolving the name,
    connecting and the TLS handshake together take at most ``connect_limit`` seconds. ``answer_limit`` is in bytes, decompressed;
    ``timeout_limit`` in seconds caps what requests ask for.
    ``resolve`` gives the addresses of a name (``OSError`` when there are none); by default the system is asked. Answers live
    for 5 s. ``tls`` makes TLS contexts, in place of those with the system's trust store.
    """

    def __init__(  # noqa: PLR0913 - the limits of one thing, all by keyword
        self,
        policy: EgressPolicy,
        *,
        connections: int,
        connections_per_host: int,
        answer_limit: int,
        timeout_limit: float,
        connect_limit: float = 10.0,
        resolve: Resolve | None = None,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        self._policy = policy
        self._connections = connections
        self._connections_per_host = connections_per_host
        self._answer_limit = answer_limit
        self._timeout_limit = timeout_limit
        self._connect_limit = connect_limit
        self._resolve = resolve or ask_system
        self._tls = tls
        self._session: ClientSession | None = None
        self._pool: Pool | None = None
        self._shown = ShownCertificates(tls)
        self.closed = False
        self._origins: dict[tuple[str, ssl.SSLContext | bool], _Origin] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection; what is under way fails by our doing, and says so. Nothing is sent any more."""
        self.closed = True
        if self._pool is not None:
            self._pool.deadlines.close()
        if self._session is not None:
            await self._session.close()

    @property
    def opened(self) -> ClientSession:
        """The session, made at its first use because it belongs to the running event loop."""
        if self._session is None:
            connector = Pool(
                limit=self._connections,
                limit_per_host=self._connections_per_host,
                keepalive_timeout=_KEEP_ALIVE,
                resolver=GuardedResolver(self._policy, self._resolve),
                use_dns_cache=True,
                ttl_dns_cache=_NAMES_LIVE,
                socket_factory=self._make_socket,
                ssl=self._tls(),
            )
            self._pool = connector
            self._session = ClientSession(
                connector=connector,
                request_class=_Outgoing,
                cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=None, connect=self._connect_limit),
                trust_env=False,
            )
        return self._session

    async def send(self, request: Request) -> Reply:
        """Send one request and read the whole answer, whatever its status.

        Redirects of GET and HEAD are followed when the request says so, at most five, each judged like a first request; another
        origin gets neither credentials nor a body. Raises ``BlockedAddress`` when the policy forbids the first address or that of
        a redirect, and ``NetworkFault`` for everything that leaves no whole answer within the limits, headers that HTTP
        does not allow included.
        """
        exchange = _Exchange(self, request.leaves)
        seconds = min(request.timeout, self._timeout_limit)
        started = perf_counter()
        limit = self._answer_limit if request.answer_limit is None else request.answer_limit
        exchange.host = self._policy.check_url(request.url)
        try:
            first = await self._ask_kept(request, exchange, limit, seconds)
            if first is not None and (first.place is None or first.status not in REDIRECTS):
                elapsed = perf_counter() - started
                return Reply(status=first.status, headers=first.pairs, body=first.body, url=request.url, elapsed=elapsed)
            async with asyncio.timeout(seconds - (perf_counter() - started)):
                found, url = await self._follow(request, exchange, limit, first)
                if isinstance(found, Answer):
                    return _reply(url, found.status, found.pairs, found.body, started)
                headers = received(found)
                return _reply(url, found.status, headers, await _read(found, limit, exchange), started)
        except TimeoutError:
            message = f"{exchange.host} did not answer within {seconds:g} seconds."
            raise NetworkFault(message, reached=exchange.reached, timed_out=True) from None
        except asyncio.CancelledError:
            exchange.check_stop()
            raise

    async def open(self, request: Request) -> Incoming:
        """Send one request and wait for the head of its answer, under the same rules; the body is read from what comes back, which has to be closed."""
        exchange = _Exchange(self, request.leaves)
        seconds = min(request.timeout, self._timeout_limit)
        try:
            async with asyncio.timeout(seconds):
                response, _url = await self._follow(request, exchange, None)
        except TimeoutError:
            message = f"{exchange.host} did not answer within {seconds:g} seconds."
            raise NetworkFault(message, reached=exchange.reached, timed_out=True) from None
        except asyncio.CancelledError:
            exchange.check_stop()
            raise
        if isinstance(response, Answer):
            raise AssertionError("without a limit nothing is collected")
        return _Incoming(response, exchange)

    async def _follow(
        self, request: Request, exchange: _Exchange, limit: int | None, first: Answer | None = None
    ) -> tuple[ClientResponse | Answer, str]:
        """The answer at the end of the redirects, and its URL. With a ``limit`` it is collected, where the short way serves; else its body is unread.

        ``first`` is the answer to the request itself, where there is one.
        """
        hop = request
        follows = _follows(request)
        for _ in range(_HOPS + 1):
            exchange.host = self._policy.check_url(hop.url)
            found: ClientResponse | Answer
            if first is not None:
                found, first = first, None
                told = found.place
            elif limit is not None and _is_short(hop):
                found = await self._ask(hop, exchange, limit, follows=follows)
                told = found.place
            else:
                found = await self._begin(hop, exchange)
                told = found.headers.get("Location")
            place = told if follows and found.status in REDIRECTS else None
            if place is None:
                return found, hop.url
            if isinstance(found, ClientResponse):
                found.release()
            exchange.answered = True
            target = target_of(hop.url, place, exchange.host)
            if not same_origin(hop.url, target):
                headers = tuple(pair for pair in hop.headers if may_travel(pair, request.secrets))
                hop = replace(hop, headers=headers, body=None, stream=None, certificate=None)
            hop = replace(hop, url=target)
        message = f"{exchange.host} redirects more than {_HOPS} times."
        raise NetworkFault(message, reached=True)

    def _check(self, hop: Request, exchange: _Exchange) -> ssl.SSLContext | bool:
        """Raise ``NetworkFault`` for a hop that cannot be sent; else what it is secured with."""
        if self.closed:
            raise NetworkFault("This server is stopping: nothing is sent any more.", reached=exchange.reached, stopped=True)
        if not TOKEN.fullmatch(hop.method) or hop.method.upper() == "CONNECT":
            raise NetworkFault("The method of the request is not one that can be sent.", reached=exchange.reached)
        return self._shown.context(hop.certificate) if hop.certificate is not None else True

    async def _ask_kept(self, request: Request, exchange: _Exchange, limit: int, seconds: float) -> Answer | None:
        """The answer to a request that leaves at once, over a connection that was kept; ``None`` where there is none. Nearly every call goes this way.

        One timer covers all exchanges that are under way. Raises ``NetworkFault``, or ``TimeoutError`` when its time is over.
        """
        if request.fresh or self._session is None or not _is_short(request):
            return None
        message, origin = self._written(request, exchange)
        pool: Any = self._pool
        wire: Wire | None = pool.kept(origin.key)
        if wire is None:
            return None
        method = request.method.upper()
        answer = Answer(limit=limit, bare=method == "HEAD", follows=request.follow_redirects and method in _SAFE)
        try:
            exchange.left = True
            if request.leaves is not None:
                request.leaves()
            waiter = wire.ask(message, answer)
            pool.deadlines.enter(wire, seconds)
            await waiter
        finally:
            pool.deadlines.leave(wire)
            pool.give_back(origin.key, wire, reusable=answer.reusable)
        if answer.problem is LATE:
            raise TimeoutError
        if answer.problem is not None:
            _raise_problem(answer, exchange, limit)
        return answer

    async def _ask(self, hop: Request, exchange: _Exchange, limit: int, *, follows: bool) -> Answer:
        """Send one hop the short way, and collect its answer."""
        message, origin = self._written(hop, exchange)
        connection = await self._connect(origin.asked, exchange, fresh=hop.fresh)
        answer = Answer(limit=limit, bare=hop.method.upper() == "HEAD", follows=follows)
        try:
            exchange.left = True
            if hop.leaves is not None:
                hop.leaves()
            await cast("Wire", connection.protocol).ask(message, answer)
        except BaseException:
            connection.close()
            raise
        if not answer.reusable:
            connection.close()
        else:
            connection.release()
        _raise_problem(answer, exchange, limit)
        return answer

    def _written(self, hop: Request, exchange: _Exchange) -> tuple[bytes, _Origin]:
        """A hop as it goes out the short way, and where to. Raises ``NetworkFault``."""
        context = self._check(hop, exchange)
        body = hop.body
        pairs, _has_type = checked(hop.headers, 0 if body is None else len(body))
        parts = _PARTS.match(hop.url)
        if parts is None:  # the policy has let no such URL pass
            raise NetworkFault(f"The request to {exchange.host} is not valid HTTP.", reached=exchange.reached)
        origin = self._origin(parts[1], context)
        return message_of(hop.method.upper(), parts[2], origin.host, pairs, body), origin

    def _origin(self, text: str, context: ssl.SSLContext | bool) -> _Origin:
        """What aiohttp tells the connections of an origin by."""
        found = self._origins.get((text, context))
        if found is None:
            if len(self._origins) >= _ORIGINS_MOST:
                self._origins.clear()
            asked = ClientRequest("GET", URL(text, encoded=True), loop=asyncio.get_running_loop(), ssl=context)
            found = self._origins[text, context] = _Origin(asked, asked.connection_key, asked.headers["Host"])
        return found

    async def _connect(self, origin: ClientRequest, exchange: _Exchange, *, fresh: bool) -> Connection:
        """A connection, kept or new. Raises ``NetworkFault`` or ``BlockedAddress``."""
        session = self.opened
        try:
            return await cast("Pool", session.connector).connect(origin, [], session.timeout, fresh=fresh)
        except TimeoutError:
            raise exchange.fault(ConnectionTimeoutError()) from None
        except FAILURES as error:
            raise exchange.fault(error) from None

    async def _begin(self, hop: Request, exchange: _Exchange) -> ClientResponse:
        """Send one hop and wait for the head of its answer."""
        method, body = hop.method, hop.body
        context = self._check(hop, exchange)
        size = hop.stream.size if hop.stream is not None else 0 if body is None else len(body)
        pairs, has_type = checked(hop.headers, size)
        if hop.stream is not None and size is not None:
            pairs.append(("Content-Length", str(size)))
        try:
            response = await self.opened.request(
                method,
                URL(hop.url, encoded=True),
                headers=pairs,
                ssl=context,
                data=_data(hop, exchange),
                skip_auto_headers=None if has_type else _NO_TYPE,
                allow_redirects=False,
                middlewares=(exchange,),
            )
        except FAILURES as error:
            raise exchange.fault(error) from None
        if response.status < 200:
            response.close()
            raise NetworkFault(f"{exchange.host} changed the protocol without being asked.", reached=True)
        return response

    def _make_socket(self, info: AddrInfoType) -> socket.socket:
        """The last gate: the socket of a forbidden address is never made."""
        family, kind, protocol, _, address = info
        self._policy.check_address(str(address[0]))
        return socket.socket(family, kind, protocol)


class _Origin(NamedTuple):
    """Where requests go: as aiohttp asks for a connection, the key of those it keeps, and the header Host."""

    asked: ClientRequest
    key: ConnectionKey
    host: str


class _Outgoing(ClientRequest):
    """A request that adds no headers of its own and remembers whether it was handed to a connection."""

    DEFAULT_HEADERS = {}  # noqa: RUF012 - the base class declares it as an instance-free dictionary
    exchange: _Exchange | None = None

    async def send(self, conn: Connection) -> ClientResponse:
        if self.exchange is not None:
            self.exchange.left = True
            if self.exchange.leaves is not None:
                self.exchange.leaves()
        return await super().send(conn)


class _Exchange:
    """What is known of one ``Sender.send``; also the middleware that keeps aiohttp from repeating a request."""

    __slots__ = ("_sender", "answered", "broken", "host", "leaves", "left")

    def __init__(self, sender: Sender, leaves: Callable[[], None] | None) -> None:
        self._sender = sender
        self.leaves = leaves
        self.host = "The partner"
        self.answered = False
        self.broken: NetworkFault | None = None
        self.left = False

    @property
    def reached(self) -> bool:
        """Whether any byte may have arrived anywhere."""
        return self.answered or self.left

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        cast("_Outgoing", request).exchange = self
        try:
            return await handler(request)
        except FAILURES as error:
            raise self.fault(error) from None

    def check_stop(self) -> None:
        """Raise the fault of a stop where nobody cancelled the call: a pool that closes cancels those who wait for a name."""
        task = asyncio.current_task()
        if self._sender.closed and task is not None and not task.cancelling():
            raise self.stopped() from None

    def problem(self, text: str, limit: int) -> NetworkFault:
        """The fault that the short way tells as a sentence."""
        if self._sender.closed and text in ENDS:
            return self.stopped()
        return NetworkFault(text.format(host=self.host, limit=limit), reached=True)

    def stopped(self) -> NetworkFault:
        """The fault of a connection that we have closed: how it ended says nothing of the other side."""
        return NetworkFault(f"This server was stopped while it waited for {self.host}.", reached=self.reached, stopped=True)

    def fault(self, error: BaseException) -> NetworkFault:
        """The fault that a lower failure means. aiohttp's own text is left out: it may hold the URL."""
        if self.broken is not None:
            return NetworkFault(self.broken.message, reached=self.reached, timed_out=self.broken.timed_out, unsent=True)
        if self._sender.closed:
            return self.stopped()
        if isinstance(error, ConnectionTimeoutError):
            return NetworkFault(f"No connection to {self.host} could be made in time.", reached=self.reached, timed_out=True)
        return NetworkFault(sentence_of(error).format(host=self.host), reached=self.reached)


class _Incoming:
    """An answer that is read piece by piece; silence of ``_SILENCE`` seconds ends it."""

    def __init__(self, response: ClientResponse, exchange: _Exchange) -> None:
        self.status = response.status
        self.headers = received(response)
        self._response = response
        self._exchange = exchange

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, decompressed. Raises ``NetworkFault``."""
        stream = self._response.content
        try:
            while not stream.at_eof():
                async with asyncio.timeout(_SILENCE):
                    piece = await stream.readany()
                yield piece
        except TimeoutError:
            raise NetworkFault(f"{self._exchange.host} fell silent in the middle of its answer.", reached=True, timed_out=True) from None
        except FAILURES as error:
            raise self._exchange.fault(error) from None

    def close(self) -> None:
        """Give the connection up."""
        self._response.close()


def _is_short(hop: Request) -> bool:
    """Whether a hop can go the short way."""
    return SHORT and hop.stream is None and (hop.body is None or len(hop.body) <= _LARGE)


def _follows(request: Request) -> bool:
    """Whether redirects are followed."""
    return request.follow_redirects and request.method.upper() in _SAFE


def _raise_problem(answer: Answer, exchange: _Exchange, limit: int) -> None:
    if answer.problem is not None:
        raise exchange.problem(answer.problem, limit)


def _reply(url: str, status: int, headers: Pairs, body: bytes, started: float) -> Reply:
    return Reply(status=status, headers=headers, body=body, url=url, elapsed=perf_counter() - started)


def _data(hop: Request, exchange: _Exchange) -> bytes | io.BytesIO | AsyncIterator[bytes] | None:
    """The body in the form that aiohttp sends it. Large bodies go out piece by piece: the event loop stays free."""
    if hop.stream is not None:
        return _watched(hop.stream, exchange)
    return io.BytesIO(hop.body) if hop.body is not None and len(hop.body) > _LARGE else hop.body


async def _watched(stream: Stream, exchange: _Exchange) -> AsyncIterator[bytes]:
    """The pieces; aiohttp hides why one did not come, so that is noted."""
    try:
        async for piece in stream.pieces():
            yield piece
    except NetworkFault as fault:
        exchange.broken = fault
        raise


async def _read(response: ClientResponse, limit: int, exchange: _Exchange) -> bytes:
    """The whole body. What is left of a connection after any failure is closed, never reused."""
    try:
        body = await gather(response, limit)
    except FAILURES as error:
        response.close()
        raise exchange.fault(error) from None
    except BaseException:
        response.close()
        raise
    if body is None:
        response.close()
        raise NetworkFault(f"The answer of {exchange.host} is larger than {limit} bytes.", reached=True)
    return body
