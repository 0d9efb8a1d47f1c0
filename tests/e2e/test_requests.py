"""Requests as bytes on a connection. However a run comes, in pieces, one behind the other, with a length or without: it is answered alike."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from e2e.depot import PARTNER, PUT, SECRET, open_bay, open_depot
from e2e.killable import running_process
from e2e.served import answer

pytestmark = pytest.mark.anyio
PATH = f"/partners/trigger-actions/{PUT}/run/sync"
LINE = "PUT /things/1"


@pytest.fixture(scope="module")
async def shared(anyio_backend, tmp_path_factory):
    async with open_depot() as depot, open_bay(tmp_path_factory.mktemp("bay"), depot) as found:
        yield found


@pytest.fixture
async def bay(shared):
    return await shared.afresh()


class Wire:
    """A connection of a client that writes its own bytes."""

    def __init__(self, bay, reader, writer):
        self.bay, self.reader, self.writer = bay, reader, writer

    def request(self, *headers, path=PATH, body=None, version="1.1", method="POST", token=None, name="one"):
        """A request as it goes out; a ``Content-Length`` of its own goes before the right one."""
        asked = {"credentialData": {"0": {"value": self.bay.connection}}, "runnerData": {"id": "1", "name": name}}
        content = json.dumps(asked).encode() if body is None else body
        lines = [f"{method} {path} HTTP/{version}", "Host: x", "Content-Type: application/json", *headers]
        if token != "":
            lines.append(f"Authorization: Bearer {token or self.bay.served.token}")
        if not any(line.startswith(("Content-Length", "Transfer-Encoding")) for line in headers):
            lines.append(f"Content-Length: {len(content)}")
        return "\r\n".join([*lines, "", ""]).encode() + content

    async def read(self):
        """One answer: status, headers, JSON."""
        async with asyncio.timeout(60):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in head[1:-2])]
            content = await self.reader.readexactly(int(dict(headers).get("content-length", "0")))
        return int(head[0].split()[1]), headers, json.loads(content) if content else None

    async def ends(self):
        """Whether the server ends the connection without another byte."""
        async with asyncio.timeout(60):
            return await self.reader.read() == b""


@contextlib.asynccontextmanager
async def wired(bay):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(bay.served.origin.rpartition(":")[2]))
    try:
        yield Wire(bay, reader, writer)
    finally:
        writer.close()


def told(found):
    """What is alike in the answers to two runs that are alike."""
    status, headers, content = found
    return status, sorted(name for name, _value in headers if name != "connection"), content["data"]["result"]


async def test_the_way_of_a_request_makes_no_difference_to_its_answer(bay):
    large = {"credentialData": {"0": {"value": bay.connection}}, "runnerData": {"id": "1", "name": "one"}, "metadata": {}}
    async with wired(bay) as wire:
        body = wire.request().partition(b"\r\n\r\n")[2]
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        long = json.dumps(large).encode() + b" " * 70_000
        wire.writer.write(wire.request())
        short = told(await wire.read())
        assert short[0] == 200
        for other in (
            wire.request("Transfer-Encoding: chunked", body=chunks),
            wire.request(body=long),
            wire.request(path=f"{PATH}/"),
            wire.request(path=f"/{PATH}"),
            wire.request(path=f"{PATH}?x=1"),
            wire.request(path=PATH.replace("run", "%72un")),
            wire.request("Expect: nothing"),
            wire.request("Idempotency-Key: one", "Idempotency-Key: one", "Content-Encoding: identity"),
            wire.request("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
            wire.request("X-Long: " + "a" * 5_000),
        ):
            wire.writer.write(other)
            assert told(await wire.read()) == short, other[:80]
    assert bay.depot.count(LINE) == 11


async def test_a_request_may_come_byte_by_byte(bay):
    async with wired(bay) as wire:
        for byte in wire.request():
            wire.writer.write(bytes([byte]))
            await wire.writer.drain()
        assert (await wire.read())[0] == 200


async def test_requests_that_come_one_behind_the_other_are_answered_in_their_order(bay):
    async def slowly(asked):
        await asyncio.sleep(0.1 if b"first" in asked.body else 0)
        return answer(200, {"data": json.loads(asked.body)})

    bay.depot.answers[LINE] = slowly
    async with wired(bay) as wire:
        wire.writer.write(b"".join(wire.request(name=name) for name in ("first", "second", "third")))
        names = [(await wire.read())[2]["data"]["result"]["name"] for _each in range(3)]
        assert names == ["first", "second", "third"]
        wire.writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + wire.request(name="fourth"))
        assert [(await wire.read())[0] for _each in range(2)] == [200, 200]


async def test_a_client_that_waits_to_be_told_to_go_on_is_told(bay):
    async with wired(bay) as wire:
        head, _, body = wire.request("Expect: 100-continue").partition(b"\r\n\r\n")
        wire.writer.write(head + b"\r\n\r\n")
        async with asyncio.timeout(60):
            assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.writer.write(body)
        assert (await wire.read())[0] == 200


@pytest.mark.parametrize(("headers", "version"), [(("Connection: close",), "1.1"), ((), "1.0")])
async def test_a_connection_that_is_not_to_be_kept_is_closed(bay, headers, version):
    async with wired(bay) as wire:
        wire.writer.write(wire.request(*headers, version=version))
        status, found, _content = await wire.read()
        assert (status, dict(found)["connection"]) == (200, "close")
        assert await wire.ends()


async def test_what_is_wrong_with_a_request_is_told_as_everywhere(bay):
    async with wired(bay) as wire:
        for asked, status, code in (
            (wire.request(token=""), 401, "unauthenticated"),
            (wire.request(token="pp_nobodys"), 401, "unauthenticated"),
            (wire.request(body=b"{"), 400, "malformed_json"),
            (wire.request(body=b'{"a": 1, "a": 2}'), 422, "validation_failed"),
            (wire.request(path=PATH.replace(str(PUT), "nothing")), 404, "not_found"),
            (wire.request(path=PATH.replace(str(PUT), "1")), 404, "not_found"),
            (wire.request(method="PUT"), 405, "method_not_allowed"),
            (wire.request(path=f"{PATH}/more"), 404, "not_found"),
            (wire.request("Idempotency-Key: one", "Idempotency-Key: other"), 422, "validation_failed"),
            (wire.request("Content-Encoding: gzip"), 415, "unsupported_media_type"),
        ):
            wire.writer.write(asked)
            found = await wire.read()
            assert (found[0], found[2]["error"]["code"]) == (status, code)
            assert dict(found[1])["x-request-id"] == found[2]["error"]["requestId"]
        wire.writer.write(wire.request("Accept: application/problem+json", body=b"{"))
        status, headers, content = await wire.read()
        assert (status, dict(headers)["content-type"], content["instance"]) == (400, "application/problem+json", PATH)
        too_large = bay.served.runtime.settings.http.body_limit + 1
        wire.writer.write(wire.request(f"Content-Length: {too_large}", body=b""))
        assert (await wire.read())[0] == 413
    assert bay.depot.count(LINE) == 0


async def test_a_client_that_ends_its_half_of_the_connection_gets_its_answers(shared, tmp_path):
    async def late(asked):
        await asyncio.sleep(0.2)
        return answer(200, {"data": json.loads(asked.body)})

    shared.depot.answers[LINE] = late
    async with running_process(tmp_path, shared.depot) as process:  # with the event loop that a server has
        bay = process.bay(shared.depot, await process.served.connect(PARTNER, {"key": SECRET}))
        async with wired(bay) as wire:
            wire.writer.write(wire.request(name="first") + wire.request(name="second") + wire.request(name="never whole")[:-5])
            wire.writer.write_eof()
            assert [(await wire.read())[2]["data"]["result"]["name"] for _each in range(2)] == ["first", "second"]
            assert await wire.ends()
        async with wired(bay) as wire:
            queued = wire.request(path=PATH.replace("sync", "async"))
            wire.writer.write(queued)
            wire.writer.write_eof()
            status, headers, content = await wire.read()
            assert (status, dict(headers)["connection"]) == (202, "close")
            assert await wire.ends()
        run = content["data"]["runId"]
        async with wired(bay) as wire:
            wire.writer.write(wire.request(path=f"/runs/{run}/events", method="GET", body=b""))
            wire.writer.write_eof()
            async with asyncio.timeout(60):
                told = await wire.reader.read()
            assert told.endswith(b"\n\n\r\n0\r\n\r\n")
            assert b"event: succeeded" in told


async def test_a_run_whose_client_goes_away_is_carried_out_and_recorded(bay):
    gone = asyncio.Event()

    async def late(asked):
        await gone.wait()
        return answer(200, {"data": json.loads(asked.body)})

    bay.depot.answers[LINE] = late
    before = await bay.count_runs()
    async with wired(bay) as wire:
        wire.writer.write(wire.request())
        await bay.depot.arrived(LINE)
    gone.set()
    runs = (await bay.served.fetch("GET", "/runs")).json["data"]
    assert len(runs) == before + 1
    assert (await bay.until(runs[0]["runId"]))["status"] == "succeeded"


async def test_a_server_that_goes_waits_for_a_run_whose_client_is_gone(shared, tmp_path):
    gone = asyncio.Event()

    async def late(asked):
        await gone.wait()
        return answer(200, {"data": json.loads(asked.body)})

    async with open_bay(tmp_path, shared.depot) as bay:
        shared.depot.wire.asked.clear()
        shared.depot.answers[LINE] = late
        async with wired(bay) as wire:
            wire.writer.write(wire.request())
            await shared.depot.arrived(LINE)
        draining = asyncio.create_task(bay.served.services.engine.drain(30))
        await asyncio.sleep(0)
        gone.set()
        await draining
        assert [run["status"] for run in (await bay.served.fetch("GET", "/runs")).json["data"]] == ["succeeded"]
