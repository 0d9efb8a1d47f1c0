"""Bodies that are read while they are sent, and answers that are read piece by piece, over real sockets."""

import asyncio
import contextlib
import tracemalloc

import pytest

from polyport.engine.streams import FileAtAddress
from polyport.errors import BlockedAddress
from polyport.net.egress import EgressPolicy
from polyport.net.message import NetworkFault, Request, Stream
from polyport.net.send import Sender

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024
PIECES = 64
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


def sender(allow=("127.0.0.1/32",)):
    return Sender(EgressPolicy(allow), connections=8, connections_per_host=8, answer_limit=MIB, timeout_limit=30.0)


@contextlib.asynccontextmanager
async def serving(script):
    """A raw server: ``script(reader, writer)`` reads and answers one connection."""
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await script(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def large_file(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % (PIECES * MIB))
    for _ in range(PIECES):
        writer.write(bytes(MIB))
        await writer.drain()


class Count:
    """A server's script that counts the bytes of one upload and keeps the head."""

    def __init__(self):
        self.head, self.size = b"", 0

    async def __call__(self, reader, writer):
        self.head = await reader.readuntil(b"\r\n\r\n")
        length = int(self.head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while self.size < length:
            piece = await reader.read(65536)
            if not piece:
                return
            self.size += len(piece)
        writer.write(HEAD + b"Content-Length: 2\r\n\r\nok")
        await writer.drain()


async def test_a_large_file_goes_through_in_little_memory_with_its_length_told():
    taken = Count()
    async with serving(large_file) as shop, serving(taken) as partner, sender() as network:
        source = FileAtAddress(network, shop, limit=PIECES * MIB, until=None)
        assert await source.begin() == 200
        tracemalloc.start()
        try:
            reply = await network.send(Request(method="POST", url=partner, stream=Stream((b"<", source, b">"))))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert (reply.status, taken.size) == (200, PIECES * MIB + 2)
        assert b"Transfer-Encoding" not in taken.head
        # The test's own server holds a piece of 1 MiB and its copies.
        assert peak < 16 * MIB


async def test_a_source_that_fails_says_why_and_the_request_may_have_arrived():
    class Failing:
        size = 10

        async def pieces(self):
            yield b"abc"
            raise NetworkFault("The file broke off while it was sent.", reached=True)

    async with serving(Count()) as partner, sender() as network:
        with pytest.raises(NetworkFault, match="The file broke off") as caught:
            await network.send(Request(method="POST", url=partner, stream=Stream((Failing(),))))
    assert caught.value.reached


async def test_a_stream_that_could_not_begin_has_not_arrived():
    async with sender() as network:
        with pytest.raises(NetworkFault) as caught:
            await network.send(Request(method="POST", url="http://127.0.0.1:9/", stream=Stream((b"a",))))
    assert not caught.value.reached


async def test_an_answer_that_falls_silent_is_given_up(monkeypatch):
    monkeypatch.setattr("polyport.net.send._SILENCE", 0.1)

    async def script(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"Content-Length: 10\r\n\r\nabc")
        await asyncio.sleep(5)

    async with serving(script) as shop, sender() as network:
        opened = await network.open(Request(method="GET", url=shop))
        with pytest.raises(NetworkFault, match="fell silent") as caught:
            assert [piece async for piece in opened.pieces()] == [b"abc"]
        opened.close()
        opened.close()
    assert caught.value.timed_out


async def test_opening_takes_no_longer_than_it_may():
    async def script(_reader, _writer):
        await asyncio.sleep(5)

    async with serving(script) as shop, sender() as network:
        with pytest.raises(NetworkFault, match="did not answer") as caught:
            await network.open(Request(method="GET", url=shop, timeout=0.1))
    assert caught.value.timed_out


@pytest.mark.parametrize("url", ["http://10.0.0.1/f", "http://[::1]/f", "file:///etc/passwd", "http://169.254.169.254/latest"])
async def test_what_is_never_called_is_never_opened(url):
    async with sender() as network:
        with pytest.raises(BlockedAddress):
            await network.open(Request(method="GET", url=url))


async def test_a_redirect_of_a_file_to_a_forbidden_address_is_refused():
    async def script(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.9/secret\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with serving(script) as shop, sender() as network:
        with pytest.raises(BlockedAddress):
            await network.open(Request(method="GET", url=shop))
