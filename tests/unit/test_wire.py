"""The short way of an exchange beside aiohttp's own: the same bytes go out, the same answer or the same fault comes back."""

import asyncio
import contextlib
import gc
import gzip
import ssl
import zlib
from functools import partial

import pytest

from polyport.net import send
from polyport.net.egress import EgressPolicy
from polyport.net.message import NetworkFault, Request
from polyport.net.send import Sender
from polyport.net.wire import Answer, Deadlines

pytestmark = pytest.mark.anyio

LIMIT = 100_000


def make_sender(limit=LIMIT):
    """Without a trust store: to read one takes longer than all else here."""
    tls = partial(ssl.SSLContext, ssl.PROTOCOL_TLS_CLIENT)
    policy = EgressPolicy(("127.0.0.1/32",))
    return Sender(policy, connections=5, connections_per_host=5, answer_limit=limit, timeout_limit=5, tls=tls)


class Server:
    """Answers every request with ``raw``, in pieces of ``size`` bytes, then closes the connection if ``closes``; keeps what came."""

    def __init__(self):
        self.raw, self.size, self.closes = b"", 0, False
        self.arrived = []
        self.connections = 0
        self.url = ""
        self.came = asyncio.Event()

    async def has(self, count):
        """Return when so many requests have arrived."""
        while len(self.arrived) < count:
            self.came.clear()
            await self.came.wait()

    async def serve(self, reader, writer):
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
                self.arrived.append(head + await reader.readexactly(length))
                self.came.set()
                for start in range(0, len(self.raw), self.size or len(self.raw) or 1):
                    writer.write(self.raw[start : start + (self.size or len(self.raw))])
                    await writer.drain()
                    if self.size:
                        await asyncio.sleep(0)
                if self.closes:
                    break
        writer.close()


@contextlib.asynccontextmanager
async def serving():
    made = Server()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


async def warm_up(server, sender):
    """Leave the sender with a connection that it keeps."""
    raw, size, closes = server.raw, server.size, server.closes
    server.raw, server.size, server.closes = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, False
    await sender.send(Request(method="GET", url=f"{server.url}/"))
    server.raw, server.size, server.closes = raw, size, closes


@contextlib.asynccontextmanager
async def both():
    """A server, and a function that sends a request the short way and aiohttp's way: what arrived, and what came of it, of each.

    The short way is gone twice, over a new connection and over one that was kept.
    """
    async with serving() as server:

        async def ways(request):
            found = []
            for short, kept in ((True, True), (True, False), (False, False)):
                send.SHORT = short
                async with make_sender(LIMIT) as sender:
                    if kept:
                        await warm_up(server, sender)
                    server.arrived.clear()
                    try:
                        reply = await sender.send(request)
                        # aiohttp spells names that it knows its own way
                        told = (reply.status, [(name.lower(), value) for name, value in reply.headers], reply.body, reply.url)
                    except NetworkFault as fault:
                        told = (fault.reached, fault.timed_out)  # in other words, now and then
                found.append((list(server.arrived), told))
            assert found[0] == found[1]
            return found[1:]

        before = send.SHORT
        try:
            yield server, ways
        finally:
            send.SHORT = before


REQUESTS = [
    {"method": method, "body": body} for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "post", "PURGE") for body in (None, b"", b"{}")
] + [
    {"method": "GET", "url": "?a=1"},
    {"method": "GET", "url": ""},
    {"method": "GET", "url": "/a%2Fb/../c/./%7e;x=(1)?q=a+b%20c&e=%C3%A9&r=[1]|#fragment"},
    {"method": "GET", "url": "/a//b?x=/?&y=#"},
    {"method": "POST", "headers": (("Host", "one.example"), ("X-A", "1"), ("x-a", "2"), ("Content-Type", "a/b"), ("X-Latin", "\xe9"), ("X-Empty", ""))},
    {"method": "POST", "headers": (("content-length", "2"), ("Connection", "close")), "body": b"xy"},
    {"method": "GET", "headers": (("user-agent", "mine"), ("Accept-Encoding", "identity"), ("Accept", "*/*"), ("Cookie", "a=b"))},
]  # fmt: skip


async def test_the_same_bytes_go_out():
    async with both() as (server, ways):
        server.raw = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        for asked in REQUESTS:
            short, long = await ways(Request(**{**asked, "url": server.url + asked.get("url", "/")}))
            assert short == long, asked


def plain(body, *headers, status="200 OK"):
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]).encode() + body


def packed(body, encoding="gzip"):
    return plain(body, f"Content-Encoding: {encoding}")


def raw_deflate(body):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TEXT = b"hello " * 500
ANSWERS = {
    "plain": plain(b"ok"),
    "empty": plain(b""),
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
    "old": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 5\r\n\r\n',
    "hints first": b"HTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 100 Continue\n\n" + plain(b"ok", "X-A: 1"),
    "chunks": CHUNKS + b"2\r\nok\r\n3;a=b\r\n123\r\n0\r\n\r\n",
    "trailers": CHUNKS + b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
    "spaces around": b"HTTP/1.1 200 OK\r\nX-A:   b c  \r\nContent-Length: 2\r\n\r\nok",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "broken bytes": b"HTTP/1.1 200 OK\r\nX-Raw: \xff\xe9\r\nX-Text: \xc3\xa9\r\nContent-Length: 0\r\n\r\n",
    "gzip": packed(gzip.compress(TEXT, mtime=0)),
    "gzip of nothing": packed(b""),
    "two members": packed(gzip.compress(TEXT, mtime=0) + gzip.compress(TEXT, mtime=0)),
    "gzip in chunks": CHUNKS.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(gzip.compress(TEXT, mtime=0)), gzip.compress(TEXT, mtime=0)),
    "deflate": packed(zlib.compress(TEXT), "deflate"),
    "deflate without its header": packed(raw_deflate(TEXT), "Deflate"),
    "deflate cut": packed(zlib.compress(TEXT)[:-8], "deflate"),
    "no gzip": packed(b"hello"),
    "brotli": packed(b"hello", "br"),
    "identity": packed(b"hello", "identity"),
    "at the limit": plain(b"x" * LIMIT),
    "over the limit": plain(b"x" * (LIMIT + 1)),
    "bomb": packed(gzip.compress(bytes(LIMIT + 1), mtime=0)),
    "chunks over the limit": CHUNKS + b"%x\r\n%s\r\n0\r\n\r\n" % (LIMIT + 1, b"x" * (LIMIT + 1)),
    "redirect": plain(b"moved", "Location: /next", status="302 Found"),
    "redirect that is not followed": plain(b"moved", status="302 Found"),
    "no http": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "a version there is not": b"HTTP/9.9 200 OK\r\n\r\n",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length and chunks": CHUNKS.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n") + b"5\r\nhello\r\n0\r\n\r\n",
    "a huge field": b"HTTP/1.1 200 OK\r\nX-Huge: " + b"x" * 100_000 + b"\r\n\r\n",
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"X-Many: 1\r\n" * 500 + b"\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
}  # fmt: skip
CUT = {
    "until the end": b"HTTP/1.1 200 OK\r\n\r\nwhatever comes",
    "gzip until the end": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(TEXT, mtime=0),
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    "half of the chunks": CHUNKS + b"5\r\nhello\r\n",
}


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD"])
async def test_the_same_answer_or_the_same_fault_comes_back(method):
    async with both() as (server, ways):
        for closes, answers in ((False, ANSWERS), (True, CUT)):
            server.closes = closes
            for name, raw in answers.items():
                head, end, _body = raw.partition(b"\r\n\r\n")
                server.raw = head + end if method == "HEAD" and end else raw
                short, long = await ways(Request(method=method, url=f"{server.url}/"))
                assert short[1] == long[1], name


async def test_an_answer_that_comes_byte_by_byte_is_the_same():
    for name, raw in (ANSWERS | CUT).items():
        whole, slow = (Answer(limit=LIMIT, bare=False, follows=False) for _way in range(2))
        whole.feed(raw)
        for place in range(min(len(raw), 4_000)):
            slow.feed(raw[place : place + 1])
        slow.feed(raw[4_000:])
        for answer in (whole, slow):
            answer.end(None)
        assert (whole.status, whole.pairs, whole.body, whole.problem) == (slow.status, slow.pairs, slow.body, slow.problem), name


async def test_a_compressed_answer_that_was_cut_within_a_whole_message_is_a_fault():
    answer = Answer(limit=LIMIT, bare=False, follows=False)
    assert answer.feed(packed(gzip.compress(TEXT, mtime=0)[:-9]))
    assert answer.problem == "The answer of {host} broke off or could not be decoded."


@pytest.mark.parametrize(
    ("raw", "method", "kept"),
    [
        (ANSWERS["plain"], "POST", True),
        (ANSWERS["chunks"], "GET", True),
        (ANSWERS["no content"], "DELETE", True),
        (ANSWERS["over the limit"][: -LIMIT - 1], "HEAD", True),
        (ANSWERS["old"], "GET", False),
        (plain(b"ok", "Connection: close"), "GET", False),
        (ANSWERS["plain"] * 2, "GET", False),
        (ANSWERS["plain"] + b"HTTP/1.1 2", "GET", False),
        (ANSWERS["plain"] + b"\0", "GET", False),
        (ANSWERS["plain"], "HEAD", False),
        (ANSWERS["gzip"], "GET", True),
    ],
)
async def test_a_connection_is_kept_only_where_nothing_is_left_on_it(raw, method, kept):
    async with serving() as server:
        server.raw = raw
        async with make_sender(LIMIT) as sender:
            for _turn in range(3):
                assert (await sender.send(Request(method=method, url=f"{server.url}/"))).status in {200, 204}
        assert server.connections == (1 if kept else 3)


async def test_of_a_redirect_the_head_is_enough():
    async with serving() as server:
        server.raw = b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 99\r\n\r\nhalf"
        async with make_sender(9) as sender:
            with pytest.raises(NetworkFault, match="more than 5"):
                await sender.send(Request(method="GET", url=f"{server.url}/"))
            server.raw = plain(b"moved", "Location: /next", status="302 Found")
            before = server.connections
            with pytest.raises(NetworkFault, match="more than 5"):
                await sender.send(Request(method="GET", url=f"{server.url}/"))
    assert before == 6
    assert server.connections == 7


async def test_the_time_for_an_answer_holds_on_a_kept_connection_too():
    async with serving() as server, make_sender() as sender:
        await warm_up(server, sender)
        server.raw = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
        with pytest.raises(NetworkFault, match=r"127\.0\.0\.1 did not answer within 0\.2 seconds\.") as caught:
            await sender.send(Request(method="POST", url=f"{server.url}/", timeout=0.2))
        assert (caught.value.reached, caught.value.timed_out) == (True, True)
        assert server.connections == 1
        server.raw = plain(b"ok")
        assert (await sender.send(Request(method="GET", url=f"{server.url}/"))).body == b"ok"
        assert server.connections == 2


async def test_who_gives_up_on_a_kept_connection_leaves_it_to_nobody():
    async with serving() as server, make_sender() as sender:
        await warm_up(server, sender)
        server.raw = b""
        asking = asyncio.create_task(sender.send(Request(method="POST", url=f"{server.url}/")))
        await server.has(2)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        server.raw = plain(b"ok")
        assert (await sender.send(Request(method="GET", url=f"{server.url}/"))).body == b"ok"
        assert server.connections == 2


async def test_kept_connections_count_as_used_while_they_are():
    async with serving() as server, make_sender() as sender:
        for _turn in range(2):
            server.raw = b""
            asking = [asyncio.create_task(sender.send(Request(method="GET", url=f"{server.url}/"))) for _each in range(7)]
            server.arrived.clear()
            await server.has(5)
            assert server.connections <= 10
            await asyncio.sleep(0.05)
            assert len(server.arrived) == 5
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            for _each in range(3):
                await warm_up(server, sender)


async def test_a_redirect_that_came_over_a_kept_connection_is_followed():
    async with serving() as server, serving() as other, make_sender() as sender:
        await warm_up(server, sender)
        other.raw = plain(b"there")
        server.raw = plain(b"", f"Location: {other.url}/next", status="302 Found")
        reply = await sender.send(Request(method="GET", url=f"{server.url}/", headers=(("X-Key", "k"),)))
        assert (reply.status, reply.body, reply.url) == (200, b"there", f"{other.url}/next")
        assert server.connections == 1
        assert b"X-Key" not in other.arrived[0]
        assert (await sender.send(Request(method="POST", url=f"{server.url}/"))).status == 302


async def test_an_exchange_that_has_ended_leaves_nothing_to_the_garbage_collector():
    async with serving() as server, make_sender() as sender:
        server.raw = plain(b"x" * 50_000)
        await sender.send(Request(method="GET", url=f"{server.url}/"))
        before = sum(isinstance(found, Answer) for found in gc.get_objects())
        gc.disable()
        try:
            for _turn in range(10):
                await sender.send(Request(method="GET", url=f"{server.url}/"))
            server.raw = b"nonsense\r\n\r\n"
            with pytest.raises(NetworkFault):
                await sender.send(Request(method="GET", url=f"{server.url}/"))
            assert sum(isinstance(found, Answer) for found in gc.get_objects()) <= before
        finally:
            gc.enable()


class Waits:
    """What waits for an answer, as far as its time is concerned."""

    def __init__(self):
        self.gave_up = asyncio.Event()

    def give_up(self):
        self.gave_up.set()


async def test_each_call_gives_up_at_its_own_time_whichever_began_first():
    deadlines = Deadlines(asyncio.get_running_loop())
    long, short, answered, closed = (Waits() for _call in range(4))
    deadlines.enter(long, 60)
    deadlines.enter(answered, 0.01)
    deadlines.enter(short, 0.02)
    deadlines.leave(answered)
    await asyncio.wait_for(short.gave_up.wait(), 60)
    assert (long.gave_up.is_set(), answered.gave_up.is_set()) == (False, False)
    deadlines.enter(long, 0.01)
    await asyncio.wait_for(long.gave_up.wait(), 60)
    deadlines.enter(closed, 0)
    deadlines.close()
    deadlines.leave(closed)
    deadlines.enter(short, 0)
    short.gave_up.clear()
    await asyncio.wait_for(short.gave_up.wait(), 60)
    assert not closed.gave_up.is_set()
