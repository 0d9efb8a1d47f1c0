"""Our exchange of a request for an answer does what uvicorn's does: the same bytes at both, the same answers, however the bytes are cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from polyport.cli.exchange import Exchange
from polyport.cli.guard import Guard, Phase
from polyport.cli.serving import listen
from polyport.settings import load_settings

pytestmark = pytest.mark.anyio

LONG = b"a" * 200_000
SCRIPTS: dict[str, bytes] = {
    "get": b"GET /echo?a=1&b=%20 HTTP/1.1\r\nHost: x\r\n\r\n",
    "head": b"HEAD /echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "path": b"GET /echo/%C3%A4%2Fb HTTP/1.1\r\nHost: x\r\n\r\n",
    "absolute": b"GET http://x/echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "no path": b"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n",
    "body": b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "long body": b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + LONG,
    "chunked body": b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "expectation": b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    "pipelined": b"".join(b"POST /echo HTTP/1.1\r\nHost: x\r\nX-N: %d\r\nContent-Length: 1\r\n\r\n%d" % (n, n) for n in range(4)),
    "old": b"GET /echo HTTP/1.0\r\n\r\n",
    "closing": b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "upgrade": b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "parts": b"GET /parts HTTP/1.1\r\nHost: x\r\n\r\nGET /echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "head of parts": b"HEAD /parts HTTP/1.1\r\nHost: x\r\n\r\n",
    "sized parts": b"GET /sized HTTP/1.1\r\nHost: x\r\n\r\n",
    "own framing": b"GET /framed HTTP/1.1\r\nHost: x\r\n\r\n",
    "nothing": b"GET /204 HTTP/1.1\r\nHost: x\r\n\r\nGET /304 HTTP/1.1\r\nHost: x\r\n\r\n",
    "last": b"GET /last HTTP/1.1\r\nHost: x\r\n\r\nGET /echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "early": b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET /echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "twice read": b"POST /twice HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
    "raises": b"GET /raises HTTP/1.1\r\nHost: x\r\n\r\n",
    "raises late": b"GET /raises-late HTTP/1.1\r\nHost: x\r\n\r\n",
    "silent": b"GET /silent HTTP/1.1\r\nHost: x\r\n\r\n",
    "half": b"GET /half HTTP/1.1\r\nHost: x\r\n\r\n",
    "too long": b"GET /too-long HTTP/1.1\r\nHost: x\r\n\r\n",
    "too short": b"GET /too-short HTTP/1.1\r\nHost: x\r\n\r\n",
    "line break": b"GET /line-break HTTP/1.1\r\nHost: x\r\n\r\n",
    "body first": b"GET /body-first HTTP/1.1\r\nHost: x\r\n\r\n",
    "two heads": b"GET /two-heads HTTP/1.1\r\nHost: x\r\n\r\n",
    "through a proxy": b"GET /echo HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7, 127.0.0.1\r\nX-Forwarded-Proto: https\r\n\r\n",
    "not HTTP": b"hello there\r\n\r\n",
    "broken header": b"GET /echo HTTP/1.1\r\nHo st: x\r\n\r\n",
}


# Answers that the application breaks off. uvicorn has sent the head by then; ours has sent nothing or the head, and no end either.
BROKEN = {"too long", "too short", "two heads"}
# What is refused before it is a request: uvicorn says so in a text, we in the envelope of all our answers.
REFUSED = {"not HTTP", "broken header", "no path"}


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(content: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


def sized(length: int) -> tuple[bytes, bytes]:
    return b"content-length", str(length).encode()


ASKED = {"method": "POST", "http_version": "1.1"}
EVENTS = (b"content-type", b"text/event-stream")
ANSWERS: dict[str, list[dict[str, Any]]] = {
    "/parts": [start(), body(b"one", more=True), body(b"", more=True), body(b"two")],
    "/sized": [start(200, sized(6)), body(b"one", more=True), body(b"two")],
    "/framed": [start(200, (b"transfer-encoding", b"chunked")), body(b"one")],
    "/204": [start(204), body()],
    "/304": [start(304, (b"etag", b'"x"')), body()],
    "/last": [start(200, sized(2), (b"connection", b"close")), body(b"ok")],
    "/early": [start(401, sized(2)), body(b"no")],
    "/silent": [],
    "/half": [start(200, sized(5)), body(b"he", more=True)],
    "/too-long": [start(200, sized(1)), body(b"long")],
    "/too-short": [start(200, sized(9)), body(b"short")],
    "/line-break": [start(200, (b"x-a", b"1\r\nx-b: 2"), sized(0)), body()],
    "/body-first": [body(b"x")],
    "/two-heads": [start(200, sized(1)), start(200, sized(1))],
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    path = scope["path"]
    if path.startswith("/raises"):
        if path == "/raises-late":
            await send(start(200, sized(3)))
            await send(body(b"x", more=True))
        raise ValueError("the application failed")
    if path in ANSWERS:
        for message in ANSWERS[path]:
            await send(message)
        return
    content = b""
    while True:
        message = await receive()
        content += message["body"]
        if not message["more_body"]:
            break
    if path == "/twice":
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        content += b"waits" if not waiting.done() else b"told twice"
        waiting.cancel()
    told = [scope[name] for name in ("method", "path", "raw_path", "query_string", "http_version", "scheme", "root_path")]
    told.append(scope["client"][0])
    answer = repr([*told, scope["headers"], len(content), content[:20]]).encode()
    await send(start(200, sized(len(answer)), (b"x-read", b"1")))
    await send(body(answer))


@contextlib.asynccontextmanager
async def serving(protocol: Any) -> AsyncIterator[tuple[int, uvicorn.Server]]:
    config = uvicorn.Config(
        app, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False, interface="asgi3"
    )
    config.load()
    server = uvicorn.Server(config)
    state = server.server_state
    state.default_headers = [(b"date", b"now")]
    listener = await asyncio.get_running_loop().create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1], server
        for connection in list(state.connections):
            connection.transport.abort()


async def answers(protocol: Any, pieces: list[bytes]) -> bytes:
    """All that a server says to some bytes, until it has nothing more to say."""
    async with serving(protocol) as (port, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.001)
        told, quiet = b"", 0
        with contextlib.suppress(ConnectionError):
            while quiet < 2:  # twice: the first time may be over because the machine stood still
                try:
                    async with asyncio.timeout(0.06):
                        part = await reader.read(1_000_000)
                except TimeoutError:
                    quiet += 1
                    for _turn in range(50):  # a machine that is busy gives the server few turns in that time
                        await asyncio.sleep(0)
                    continue
                if not part:
                    told += b"<end>"
                    break
                told += part
        writer.close()
        for task in list(server.server_state.tasks):
            task.cancel()
            await asyncio.wait([task])
        return told


def as_sets(told: bytes) -> bytes:
    """Heads are compared without the order in which their lines stand, and without the word of how long a connection is kept."""
    told = re.sub(rb"keep-alive: timeout=\d+\r\n", b"", told)
    return re.sub(
        rb"(HTTP/1.1 \d+ [^\r]*\r\n)(.*?)\r\n\r\n",
        lambda m: m[1] + b"\n".join(sorted(m[2].split(b"\r\n"))) + b"\n\n",
        told,
        flags=re.DOTALL,
    )


@pytest.mark.parametrize("name", sorted(SCRIPTS.keys() - BROKEN - REFUSED))
async def test_the_answers_are_those_of_uvicorns_own_protocol(name: str):
    ours, theirs = await asyncio.gather(
        answers(Guard(load_settings({}).http).protocol(), [SCRIPTS[name]]), answers(HttpToolsProtocol, [SCRIPTS[name]])
    )
    assert as_sets(ours) == as_sets(theirs)
    assert theirs


@pytest.mark.parametrize("name", sorted(BROKEN))
async def test_an_answer_that_is_not_as_its_head_says_ends_the_connection(name: str):
    assert await answers(Guard(load_settings({}).http).protocol(), [SCRIPTS[name]]) == b"<end>"


@pytest.mark.parametrize("name", sorted(REFUSED))
async def test_what_is_no_request_is_refused_in_the_envelope_of_all_answers(name: str):
    head, _, content = (await answers(Guard(load_settings({}).http).protocol(), [SCRIPTS[name]])).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\ndate: now\r\n")
    assert b"\r\ncontent-type: application/json\r\n" in head
    assert head.endswith(b"\r\nconnection: close")
    error = json.loads(content.removesuffix(b"<end>"))["error"]
    assert (error["code"], error["retryable"]) == ("bad_request", False)
    assert b"\r\nx-request-id: " + error["requestId"].encode() + b"\r\n" in head


@pytest.mark.parametrize("name", ["parts", "raises late", "silent"])
async def test_a_client_of_http_1_0_gets_no_chunks_and_no_order_to_go_on(name: str):
    """PHP's streams, proxies and old programs ask so; of a transfer coding they would take the sizes for content."""
    old = SCRIPTS[name].partition(b"GET /echo")[0].replace(b" HTTP/1.1", b" HTTP/1.0")
    head, _, content = (await answers(Guard(load_settings({}).http).protocol(), [old])).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert content == {"parts": b"onetwo<end>", "raises late": b"x<end>", "silent": b"Internal Server Error<end>"}[name]
    waits = SCRIPTS["expectation"].replace(b" HTTP/1.1", b" HTTP/1.0")
    assert b"100 Continue" not in await answers(Guard(load_settings({}).http).protocol(), [waits[:-2], waits[-2:]])


async def test_an_answer_without_a_length_that_fails_midway_is_no_whole_one_for_a_client_of_http_1_0():
    async def fails(_scope: Any, _receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"half", more=True))
        await asyncio.sleep(0.05)
        raise ValueError("the application failed")

    async with serving(Guard(load_settings({}).http).protocol()) as (port, server):
        server.config.loaded_app = fails
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(SCRIPTS["old"])
        async with asyncio.timeout(60):
            with pytest.raises(ConnectionResetError):
                await reader.read()
        writer.close()


async def test_who_waits_to_be_told_to_go_on_and_is_answered_at_once_is_told_that_the_connection_ends():
    """Whether such a client sends its body now or its next request, nobody could tell: the request would be taken for the body."""
    head = b"POST /early HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 500\r\n\r\n"
    told = await answers(Guard(load_settings({}).http).protocol(), [head, SCRIPTS["get"]])
    assert told.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nconnection: close\r\n" in told
    assert told.endswith(b"\r\n\r\nno<end>")
    assert b"100 Continue" not in told
    whole = head.replace(b"500", b"2") + b"hi" + SCRIPTS["get"]
    assert (await answers(Guard(load_settings({}).http).protocol(), [whole])).count(b"HTTP/1.1 ") == 2, (
        "its body is there: nothing is in doubt"
    )


async def test_an_answer_to_head_is_whole_with_its_head_however_long_its_body_would_be():
    """Of a stream of events a client would wait for minutes: behind the head nothing comes, and the next request on the connection waited for the end."""
    ended = asyncio.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] != "HEAD":
            await app(scope, receive, send)
            return
        await send(start(200, EVENTS))
        await receive()
        await send(body(b"one", more=True))
        assert (await receive())["type"] == "http.disconnect"
        await send(body(b"two", more=True))
        ended.set()

    async with serving(Guard(load_settings({}).http).protocol()) as (port, server):
        server.config.loaded_app = endless
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(SCRIPTS["head"] + SCRIPTS["get"])
        async with asyncio.timeout(60):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert (await reader.readuntil(b"b'']")).startswith(b"HTTP/1.1 200 ")
            await ended.wait()
        writer.close()


@pytest.mark.parametrize(("written", "read"), [("é".encode(), b"%C3%A9"), (b"\xe9", b"%E9"), ("%20é%2f[1]+".encode(), b"%20%C3%A9%2f[1]+")])
async def test_an_address_that_was_put_together_from_texts_is_read_as_if_it_had_been_encoded(written: bytes, read: bytes):
    for before in (b"/echo?q=", b"/echo/", b"http://x/echo?q=", b"/echo?"):
        asked, encoded = [SCRIPTS["get"].replace(b"/echo?a=1&b=%20", before + each) for each in (written, read)]
        told = await answers(Guard(load_settings({}).http).protocol(), [asked])
        assert told.startswith(b"HTTP/1.1 200 ")
        assert told == await answers(Guard(load_settings({}).http).protocol(), [encoded])


@pytest.mark.parametrize(
    ("path", "is_uncut"), [(b"/x/run/sync", True), (b"/x/run/sync/", True), (b"/x/run/sync?a=1", True), (b"/x/run/async", False)]
)
async def test_a_run_that_a_stop_waits_for_is_known_by_its_path_also_with_a_slash_behind_it(path: bytes, is_uncut: bool):
    guard, told = Guard(load_settings({}).http), asyncio.Event()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        assert bool(guard.uncut) == is_uncut
        told.set()
        await app(scope, receive, send)

    async with serving(guard.protocol()) as (port, server):
        server.config.loaded_app = waits
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(SCRIPTS["get"].replace(b"/echo?a=1&b=%20", path))
        async with asyncio.timeout(60):
            assert (await reader.readuntil(b"b'']")).startswith(b"HTTP/1.1 200 ")
        writer.close()
    assert told.is_set()


@pytest.mark.parametrize(("address", "shown"), [("127.0.0.1", b"127.0.0.1"), ("::1", b"::1")])
async def test_a_client_has_one_address_however_the_server_listens(address: str, shown: bytes):
    """On ``::`` one of IPv4 comes as ``::ffff:127.0.0.1``: a proxy there was believed by nobody, and the limits of one address were two."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, interface="asgi3", forwarded_allow_ips=["127.0.0.1", "::1"])
    config.load()
    state, protocol = uvicorn.Server(config).server_state, Guard(load_settings({}).http).protocol()
    listener = listen("::", 0)
    serving = await asyncio.get_running_loop().create_server(lambda: protocol(config, state, {}), sock=listener)
    async with serving:
        reader, writer = await asyncio.open_connection(address, listener.getsockname()[1])
        async with asyncio.timeout(60):
            writer.write(SCRIPTS["get"])
            assert b"'" + shown + b"'" in await reader.readuntil(b"b'']")
            writer.write(SCRIPTS["through a proxy"])
            assert b"'192.0.2.7'" in await reader.readuntil(b"b'']")
            writer.close()
            while state.connections:  # noqa: ASYNC110  what is waited for signals nothing
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("name", "status", "error"), [("get", 503, ("overloaded", True, None)), ("body", 500, ("internal_error", False, "uncertain"))]
)
async def test_who_is_cut_when_the_grace_time_is_over_is_told_so(name: str, status: int, error: tuple[str, bool, str | None]):
    """curl and Java's HttpURLConnection send a POST again when a connection that was used before ends without an answer."""
    begun = asyncio.Event()

    async def hangs(_scope: Any, _receive: Any, _send: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with serving(Guard(load_settings({}).http).protocol()) as (port, server):
        server.config.loaded_app = hangs
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(60):
            writer.write(SCRIPTS[name])
            await begun.wait()
            for task in server.server_state.tasks:
                task.cancel()
            head, _, content = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nconnection: close" in head
    told = json.loads(content)["error"]
    assert (told["code"], told["retryable"], told.get("outcome")) == error


async def test_clients_are_told_to_give_a_connection_up_before_it_is_closed():
    """A request that meets the end of its connection is lost, and nobody may repeat one that changes something."""
    guard = Guard(load_settings({"POLYPORT_HTTP_IDLE_TIMEOUT": "50"}).http)
    async with serving(guard.protocol()) as (port, _server):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(60):
            for later in (46, 51):
                writer.write(SCRIPTS["get"])
                assert b"\r\nkeep-alive: timeout=45\r\n" in await reader.readuntil(b"\r\n\r\n")
                await reader.readuntil(b"b'']")
                guard.sweep(asyncio.get_running_loop().time() + later)
            assert await reader.read() == b""
        writer.close()
    for name in ("closing", "through a proxy"):  # one that hands our word on keeps its own connections for another time
        assert b"keep-alive" not in (await answers(guard.protocol(), [SCRIPTS[name]])).partition(b"\r\n\r\n")[0]


@settings(max_examples=10, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 300), max_size=6),
    name=st.sampled_from(["pipelined", "chunked body", "early", "parts", "expectation", "twice read"]),
)
async def test_the_answers_are_the_same_however_the_bytes_are_cut(cuts: list[int], name: str):
    script, pieces = SCRIPTS[name], []
    for cut in cuts:
        pieces.append(script[:cut])
        script = script[cut:]
    pieces = [piece for piece in [*pieces, script] if piece]
    told = await answers(Guard(load_settings({}).http).protocol(), pieces)
    assert as_sets(told).replace(b"HTTP/1.1 100 Continue\n\n", b"") == as_sets(
        await answers(Guard(load_settings({}).http).protocol(), [SCRIPTS[name]])
    ).replace(b"HTTP/1.1 100 Continue\n\n", b"")


async def test_the_head_of_what_comes_in_parts_does_not_wait_for_the_first_part_and_a_stream_of_events_ends_with_its_client():
    gone = asyncio.Event()

    async def slow(_scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, EVENTS))
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    guard = Guard(load_settings({}).http)
    async with serving(guard.protocol()) as (port, server):
        server.config.loaded_app = slow
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(SCRIPTS["get"])
        async with asyncio.timeout(60):
            head = b"HTTP/1.1 200 OK\r\ndate: now\r\n%bcontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" % guard.kept
            assert await reader.readuntil(b"\r\n\r\n") == head
            writer.close()
            await gone.wait()  # an application that waits for its client to go learns that it went


async def test_a_connection_that_rests_too_long_is_ended_and_one_that_works_is_not():
    guard = Guard(load_settings({}).http)
    async with serving(guard.protocol()) as (port, _server):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(SCRIPTS["get"])
        async with asyncio.timeout(60):
            await reader.readuntil(b"b'']")
            now = asyncio.get_running_loop().time()
            guard.sweep(now + 100)
            writer.write(SCRIPTS["get"])
            await reader.readuntil(b"b'']")
            guard.sweep(now + 200)
            assert await reader.read() == b""
        writer.close()


async def test_a_stop_does_not_wait_for_a_client_that_was_answered_for_good_and_goes_on_sending():
    guard = Guard(load_settings({}).http)
    async with serving(guard.protocol()) as (port, _server):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n")
        async with asyncio.timeout(60):
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
            writer.write(b"more")
            (connection,) = guard.connections
            connection.shutdown()
            while guard.connections:  # noqa: ASYNC110  what is waited for signals nothing
                await asyncio.sleep(0.01)
        writer.close()


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"


@pytest.mark.parametrize("name", ["get", "head", "body", "chunked body", "pipelined", "expectation", "closing", "old", "early"])
@pytest.mark.parametrize("cuts", ["at once", "byte by byte"])
async def test_a_request_that_offers_another_protocol_is_answered_with_its_body_as_without_the_offer(name: str, cuts: str):
    """Java's HttpClient offers HTTP/2 with its first request. uvicorn loses the body of such a request, and what comes behind it."""
    plain = SCRIPTS[name]
    offering = re.sub(rb"( HTTP/1\.[01]\r\n)", rb"\1" + OFFER, plain)
    pieces = [offering] if cuts == "at once" else [offering[place : place + 1] for place in range(len(offering))]
    told, expected = [
        re.sub(
            rb"\(b'(connection|upgrade|http2-settings)', b'[^']*'\)(, )?",
            b"",
            await answers(Guard(load_settings({}).http).protocol(), sent),
        )
        for sent in (pieces, [plain])
    ]
    without_lengths = [re.sub(rb"content-length: \d+", b"", as_sets(each)).replace(b"), ]", b")]") for each in (told, expected)]
    assert without_lengths[0].replace(b"HTTP/1.1 100 Continue\n\n", b"") == without_lengths[1].replace(b"HTTP/1.1 100 Continue\n\n", b"")
    assert b"HTTP/1.1 " in told


@pytest.mark.parametrize("target", [b"x.example:80", b"http://x/", b"//x", b"/echo"])
async def test_no_tunnel_is_made(target: bytes):
    told = await answers(
        Guard(load_settings({}).http).protocol(),
        [b"CONNECT " + target + b" HTTP/1.1\r\nHost: x\r\n" + OFFER + b"\r\nGET /echo HTTP/1.1\r\n\r\n"],
    )
    assert told.count(b"HTTP/1.1 ") == 1
    assert told.endswith(b"<end>")
    assert b"GET" not in told


# Half a connection: the client says that it sends no more. uvicorn closes the connection at once, and says nothing.
WHOLE_BEFORE_ITS_END = {
    "get": 1,
    "body": 1,
    "long body": 1,
    "chunked body": 1,
    "pipelined": 4,
    "parts": 2,
    "old": 1,
    "early": 2,
    "nothing": 2,
    "raises": 1,
    "head": 1,
}


async def told_to_half(guard: Guard, script: bytes, answering: Any = app) -> bytes:
    """All that comes back to a client that ends its half behind a script, until the server ends its own."""
    async with serving(guard.protocol()) as (port, server):
        server.config.loaded_app = answering
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(script)
        writer.write_eof()
        async with asyncio.timeout(60):
            told = await reader.read()
        writer.close()
        async with asyncio.timeout(60):
            while guard.connections:  # noqa: ASYNC110  what is waited for signals nothing
                await asyncio.sleep(0.01)
        return told


async def slowly(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(0.05)
    await app(scope, receive, send)


@pytest.mark.parametrize("name", sorted(WHOLE_BEFORE_ITS_END))
@pytest.mark.parametrize("answering", [app, slowly])
async def test_who_ends_its_half_is_answered_what_it_asked_and_the_connection_ends(name: str, answering: Any):
    guard = Guard(load_settings({}).http)
    told = await told_to_half(guard, SCRIPTS[name], answering)
    assert told.count(b"HTTP/1.1 ") == WHOLE_BEFORE_ITS_END[name]
    kept = b"".join(part for part in as_sets(await answers(guard.protocol(), [SCRIPTS[name]])).split(b"<end>"))
    assert as_sets(told).replace(b"connection: close\n", b"") == kept.replace(b"connection: close\n", b"")


async def test_of_what_a_half_that_ends_leaves_unfinished_nothing_is_answered_and_what_came_before_it_is():
    head, cut = SCRIPTS["get"], SCRIPTS["body"][:-2]
    for script, count in (
        (head[:-4], 0),
        (cut, 0),
        (head + head[:-4], 1),
        (head + cut, 1),
        (head + head + cut, 2),
        (head + b"no request\r\n\r\n", 1),
    ):
        told = await told_to_half(Guard(load_settings({}).http), script, slowly)
        assert told.count(b"HTTP/1.1 200 ") == told.count(b"HTTP/1.1 ") == count, script


async def test_what_goes_wrong_behind_whole_requests_takes_their_answers_from_nobody():
    wrong = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nno length\r\n"
    for script, count in ((SCRIPTS["get"] + wrong, 1), (SCRIPTS["pipelined"] + wrong, 4), (SCRIPTS["get"] + b"no request\r\n\r\n", 1)):
        guard = Guard(load_settings({}).http)
        async with serving(guard.protocol()) as (port, server):
            server.config.loaded_app = slowly
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(script)
            async with asyncio.timeout(60):
                told = await reader.read()
            assert told.count(b"HTTP/1.1 200 ") == told.count(b"HTTP/1.1 ") == count
            writer.close()


async def test_a_client_that_ended_its_half_and_does_not_read_is_cut():
    guard = Guard(load_settings({}).http)

    async def much(_scope: Any, _receive: Any, send: Any) -> None:
        await send(start(200, sized(50_000_000)))
        await send(body(b"a" * 50_000_000))

    async with serving(guard.protocol()) as (port, server):
        server.config.loaded_app = much
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        cast("Any", writer.transport).pause_reading()
        writer.write(SCRIPTS["get"])
        writer.write_eof()
        async with asyncio.timeout(60):
            while not any(each.transport.get_write_buffer_size() for each in guard.connections):  # noqa: ASYNC110  as above
                await asyncio.sleep(0.01)
            now = asyncio.get_running_loop().time()
            guard.sweep(now)
            guard.sweep(now + load_settings({}).http.write_timeout + 1)
            while guard.connections:  # noqa: ASYNC110  as above
                await asyncio.sleep(0.01)
        assert guard.cut == 1
        writer.close()
        del reader


async def test_a_stream_of_events_that_was_asked_for_with_half_a_connection_is_sent_to_its_end():
    async def events(_scope: Any, receive: Any, send: Any) -> None:
        asked = asyncio.ensure_future(receive())
        await asyncio.sleep(0.05)
        await send(start(200, EVENTS))
        for content in (b"one", b"two"):
            await send(body(content, more=True))
            await asyncio.sleep(0.05)
        assert (await asked)["more_body"] is False
        await send(body())

    told = await told_to_half(Guard(load_settings({}).http), SCRIPTS["get"], events)
    assert told.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


@pytest.mark.parametrize("half", [False, True])
async def test_who_speaks_an_older_http_gets_parts_until_the_end_of_the_connection(half: bool):
    guard = Guard(load_settings({}).http)
    async with serving(guard.protocol()) as (port, server):
        server.config.loaded_app = slowly
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /parts HTTP/1.0\r\n\r\n")
        if half:
            writer.write_eof()
        async with asyncio.timeout(60):
            assert await reader.read() == b"HTTP/1.1 200 OK\r\ndate: now\r\nconnection: close\r\n\r\nonetwo"
        writer.close()


def test_over_tls_where_no_connection_is_half_open_the_end_of_what_a_client_sends_ends_it():
    config = uvicorn.Config(app, log_config=None)
    connection = Guard(load_settings({}).http).protocol()(config, uvicorn.Server(config).server_state, {}, cast("Any", object()))
    connection.transport = cast("Any", SimpleNamespace(can_write_eof=lambda: False))
    connection.current = Exchange(cast("Any", Connection()), cast("Any", ASKED), keep_alive=True)
    assert not connection.eof_received()
    connection.transport = cast("Any", SimpleNamespace(can_write_eof=lambda: True))
    connection.phase = Phase.WHOLE
    assert connection.eof_received()


class Connection:
    """What an exchange sees of a connection. A real client that reads slowly fills buffers of a size nobody knows."""

    def __init__(self, *, paused: bool = False, closed: bool = False) -> None:
        self.transport = self.flow = self.guard = self
        self.closed = closed
        self.write_paused, self.expect_100_continue = paused, False
        self.forwarded, self.server_state, self.kept = False, None, b"keep-alive: timeout=9\r\n"
        self.wrote, self.completed = b"", 0

    def on_response_complete(self) -> None:
        self.completed += 1

    def dated(self, _state: object) -> bytes:
        return b"date: now\r\n"

    def write(self, content: bytes) -> None:
        self.wrote += content

    def is_closing(self) -> bool:
        return self.closed


def test_a_whole_answer_is_written_at_once():
    connection = Connection()
    exchange = Exchange(cast("Any", connection), cast("Any", ASKED), keep_alive=True)
    assert exchange.answer(200, [sized(2)], b"{}")
    assert connection.wrote == b"HTTP/1.1 200 OK\r\ndate: now\r\nkeep-alive: timeout=9\r\ncontent-length: 2\r\n\r\n{}"
    assert (exchange.response_complete, connection.completed) == (True, 1)
    assert not exchange.answer(200, [sized(2)], b"{}")


def test_nothing_is_written_at_once_to_a_client_that_is_gone_or_reads_slowly():
    slow, gone = Connection(paused=True), Connection()
    for connection in (slow, gone, Connection(closed=True)):
        exchange = Exchange(cast("Any", connection), cast("Any", ASKED), keep_alive=True)
        exchange.disconnected = connection is gone
        assert not exchange.answer(200, [sized(2)], b"{}")
        assert (connection.wrote, exchange.response_started) == (b"", False)
