"""Clients that take their time, or too many connections: they are cut, and the others are served."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator

import pytest

from e2e.depot import PARTNER, PUT, SECRET, open_depot
from e2e.killable import running_process
from e2e.served import Served, make_settings, running_server
from polyport.cli.guard import TURNED_AWAY
from polyport.cli.serving import QuietServer, listen, make_config, make_guard

pytestmark = pytest.mark.anyio
HEAD = "POST /user/auth HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
async def served(anyio_backend, tmp_path_factory):
    limits = {"http_header_timeout": 0.3, "http_body_timeout": 0.3, "http_write_timeout": 0.5, "http_connections_per_address": 20}
    async with running_server(tmp_path_factory.mktemp("slow"), **limits) as found:
        yield found


@contextlib.asynccontextmanager
async def connected(served: Served) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.origin.rpartition(":")[2]))
    try:
        yield reader, writer
    finally:
        writer.close()


async def told(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server ends the connection."""
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionError):
            return await reader.read()
    return b""


async def test_a_connection_that_sends_nothing_is_ended(served):
    async with connected(served) as (reader, _writer):
        assert await told(reader) == b""


async def test_a_head_that_comes_byte_by_byte_is_cut(served):
    async with connected(served) as (reader, writer):
        drip = asyncio.create_task(_drip(writer, b"GET /healthz HTTP/1.1\r\nX-Slow: " + b"a" * 10_000))
        assert (await told(reader)).startswith(b"HTTP/1.1 408 ")
        drip.cancel()


async def test_a_head_that_came_in_time_while_the_server_stood_still_is_answered(tmp_path):
    settings = make_settings(tmp_path / "data", http_header_timeout=0.3)
    guard = make_guard(settings)

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    server, listener = QuietServer(make_config(app, settings, guard), lambda: None, guard), listen("127.0.0.1", 0)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    while not guard.connections:  # noqa: ASYNC110  a server signals nothing to a test
        await asyncio.sleep(0.01)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    time.sleep(0.5)  # noqa: ASYNC251  a machine that gives this process no time
    await server.on_tick(10)
    assert (await told(reader)).startswith(b"HTTP/1.1 200 ")
    writer.close()
    server.should_exit = True
    await serving


async def test_a_body_that_comes_byte_by_byte_is_cut(served):
    async with connected(served) as (reader, writer):
        writer.write(f"{HEAD}Content-Length: 5000\r\n\r\n".encode())
        drip = asyncio.create_task(_drip(writer, b" " * 5_000))
        assert (await told(reader)).startswith(b"HTTP/1.1 408 ")
        await asyncio.sleep(0.5)
        assert not drip.done(), "a reset, which may come before the answer is read"
        drip.cancel()


async def test_who_goes_on_sending_reads_the_refusal_all_the_same_and_is_ended_soon(served):
    """Bytes that nobody reads are answered with a reset, and the answer before it would be lost."""
    async with connected(served) as (reader, writer):
        writer.write(f"{HEAD}Authorization: Bearer {served.token}\r\nContent-Length: 90000000\r\n\r\n".encode())
        for _part in range(5):
            await _send_a_megabyte(writer)
        assert (await told(reader)).startswith(b"HTTP/1.1 413 ")
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(_send_without_end(writer), 10)


async def _send_a_megabyte(writer: asyncio.StreamWriter) -> None:
    writer.write(b" " * 1_000_000)
    await writer.drain()
    await asyncio.sleep(0.1)


async def _send_without_end(writer: asyncio.StreamWriter) -> None:
    while True:
        await _send_a_megabyte(writer)


async def test_what_is_no_request_is_never_answered_in_the_place_of_an_earlier_one(served):
    for rest in (b"no request\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000):
        async with connected(served) as (reader, writer):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + rest)
            answer = await told(reader)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.count(b"HTTP/1.1 ") == 1


async def test_what_a_library_says_of_a_client_is_a_line_of_the_log_like_any_other(tmp_path):
    async with open_depot() as depot, running_process(tmp_path, depot) as process:
        async with connected(process.served) as (reader, writer):
            writer.write(b"no request\r\n\r\n")
            assert (await told(reader)).startswith(b"HTTP/1.1 400 ")
        assert await process.stop() == 0
    (line,) = [line for line in (tmp_path / "server.log").read_text("utf-8").splitlines() if "uvicorn" in line]
    assert json.loads(line)["event"] == "Invalid HTTP request received."


async def test_a_body_that_is_not_framed_well_is_refused(served):
    async with connected(served) as (reader, writer):
        writer.write(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\n".encode())
        await asyncio.sleep(0.1)
        writer.write(b"12345\r\nno length\r\n")
        answer = await told(reader)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.count(b"HTTP/1.1 ") == 1


async def _drip(writer: asyncio.StreamWriter, content: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        for byte in content:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)


async def test_a_head_that_is_too_large_is_refused(served):
    async with connected(served) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 900) for n in range(100)))
        assert (await told(reader)).startswith(b"HTTP/1.1 431 ")


async def test_a_client_that_does_not_read_its_answers_is_cut(served):
    async with connected(served) as (reader, writer):
        request = f"GET /openapi.json HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.token}\r\n\r\n".encode()
        reader._transport.pause_reading()
        writer.write(request * 400)
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionError):
                while not writer.transport.is_closing():
                    await asyncio.sleep(0.2)
                    writer.write(b"G")
        assert writer.transport.is_closing()


async def test_a_client_that_reads_slowly_what_it_asked_for_many_times_is_cut_and_no_failure_of_ours(tmp_path):
    loop = asyncio.get_running_loop()
    async with open_depot() as depot, running_process(tmp_path, depot, http_write_timeout=0.5) as process:
        bay = process.bay(depot, await process.served.connect(PARTNER, {"key": SECRET}))
        run = {"runnerData": {"id": "7"}, "metadata": {"note": "n" * 3_000}, "notBefore": int(time.time()) + 3_600}
        lot = {"triggerActionId": PUT, "credentialData": {"0": bay.connection}, "runs": [run] * 100}
        assert (await bay.served.fetch("POST", "/runs/batch", lot)).status == 202
        request = f"GET /runs?per-page=100 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bay.served.token}\r\n\r\n".encode()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", int(bay.served.origin.rpartition(":")[2])))
            await loop.sock_sendall(client, request * 40)
            for _read in range(40):  # longer than such a client is borne with
                with contextlib.suppress(BlockingIOError):
                    client.recv(500)
                await asyncio.sleep(0.1)
        assert await process.stop() == 0
    assert "Traceback" not in (tmp_path / "server.log").read_text("utf-8")


async def test_more_connections_than_an_address_may_have_are_refused_and_taken_again_later(served):
    async with contextlib.AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(connected(served)) for _connection in range(25)]
        answers = await asyncio.gather(*(told(reader) for reader, _writer in opened))
        refused = [answer for answer in answers if answer]
        assert refused
        assert all(answer.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in answer for answer in refused)
    async with connected(served) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await told(reader)).startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_is_one_too_many_reads_so_in_the_envelope_also_when_it_sends_first(served):
    """A connection that is closed while its client sends is reset, and the answer before it is lost."""
    async with contextlib.AsyncExitStack() as stack:
        for _connection in range(20):
            await stack.enter_async_context(connected(served))
        reader, writer = await stack.enter_async_context(connected(served))
        writer.write(f"{HEAD}Content-Length: 2000000\r\n\r\n".encode())
        for _part in range(2):
            await asyncio.sleep(0.05)
            await _send_a_megabyte(writer)
        head, _, content = (await told(reader)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        error = json.loads(content)["error"]
        assert (error["code"], error["retryable"], error["retryAfterMs"]) == ("overloaded", True, 1_000)
        assert f"x-request-id: {error['requestId']}".encode() in head


async def test_of_very_many_that_are_too_many_none_is_held_longer_than_the_first_ones(tmp_path):
    async with running_server(tmp_path, http_connections=1) as served, contextlib.AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(connected(served)) for _connection in range(TURNED_AWAY + 20)]
        assert [(await told(reader))[:13] for reader, _writer in reversed(opened)].count(b"HTTP/1.1 503 ") >= TURNED_AWAY + 18


async def test_a_connection_in_good_order_is_never_cut_however_long_it_rests_between_requests(served):
    async with connected(served) as (reader, writer), asyncio.timeout(60):
        for rest in (
            1.5,
            0,
        ):  # longer than the time for a head, a body or a client that reads, and than the second from one look to the next
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            await asyncio.sleep(rest)
