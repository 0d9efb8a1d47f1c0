"""Following a run: one event for each change until the end, across breaks of the stream, processes and stops."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from e2e.depot import ASK, CREATE, PARTNER, PUT, SECRET, Bay, open_bay, open_depot
from e2e.killable import running_process
from e2e.served import Asked, Clock, Served, answer
from polyport.server import run_events

pytestmark = pytest.mark.anyio


@dataclass(slots=True)
class Event:
    """One event of a stream."""

    id: str = ""
    name: str = ""
    data: Any = None


@dataclass(slots=True)
class Follower:
    """A stream that is read; ``comments`` counts what is no event."""

    answer: aiohttp.ClientResponse
    comments: list[str] = field(default_factory=list)

    async def next(self) -> Event | None:
        """The next event, or ``None`` at the end of the stream."""
        event = Event()
        while line := (await self.answer.content.readline()).decode():
            name, _, text = line.rstrip("\n").partition(": ")
            if line.startswith(":"):
                self.comments.append(line)
            elif name == "id":
                event.id = text
            elif name == "event":
                event.name = text
            elif name == "data":
                event.data = json.loads(text)
            elif line == "\n" and event.id:
                return event
        return None

    async def rest(self) -> list[Event]:
        """All events to the end of the stream."""
        found = []
        while (event := await self.next()) is not None:
            found.append(event)
        return found


@contextlib.asynccontextmanager
async def following(served: Served, run_id: str, last: str | None = None, token: str = "") -> AsyncIterator[Follower]:
    headers = {"Authorization": f"Bearer {token or served.token}"} | ({"Last-Event-ID": last} if last is not None else {})
    async with asyncio.timeout(60), served.client.get(f"{served.origin}/runs/{run_id}/events", headers=headers) as told:
        yield Follower(told)


@pytest.fixture(scope="module")
async def shared(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bay]:
    async with open_depot() as depot, open_bay(tmp_path_factory.mktemp("bay"), depot) as found:
        yield found


@pytest.fixture
async def bay(shared: Bay) -> Bay:
    return await shared.afresh()


async def _later(bay: Bay, seconds: float = 3_600.0, operation: int = PUT, data: Any = None) -> str:
    told = await bay.run(operation, data or {"id": "7"}, mode="async", notBefore=time.time() + seconds)
    assert told.status == 202, told.json
    return str(told.json["data"]["runId"])


async def test_a_run_is_followed_from_where_it_stands_to_its_end(tmp_path):
    gate = asyncio.Event()

    async def late(_asked: Asked) -> bytes:
        await gate.wait()
        return answer(200, {"data": {"name": "done"}})

    clock = Clock()
    async with open_depot() as depot, open_bay(tmp_path, depot, clock=clock) as bay:
        depot.answers["PUT /things/7"] = late
        run_id = await _later(bay)
        async with following(bay.served, run_id) as stream:
            assert (stream.answer.status, stream.answer.content_type) == (200, "text/event-stream")
            assert stream.answer.headers["Cache-Control"] == "no-store"
            first = await stream.next()
            clock.forward(3_700)
            second = await stream.next()
            assert first is not None
            assert second is not None
            assert (first.name, first.data["runId"], second.name) == ("queued", run_id, "running")
            gate.set()
            (last,) = await stream.rest()
    assert (last.name, last.data["result"], last.data["next"]["action"]) == ("succeeded", {"name": "done"}, "nothing")
    assert len({first.id, second.id, last.id}) == 3


async def test_a_wait_and_the_attempt_after_it_are_told(tmp_path):
    clock = Clock()
    async with open_depot() as depot, open_bay(tmp_path, depot, clock=clock) as bay:
        depot.answers["PUT /things/7"] = lambda _asked: (
            answer(503, headers={"Retry-After": "60"}) if depot.count("PUT /things/7") == 1 else answer(200, {"data": {}})
        )
        run_id = (await bay.run(PUT, {"id": "7"}, mode="async")).json["data"]["runId"]
        async with following(bay.served, run_id) as stream:
            while (waiting := await stream.next()).name != "waiting":
                pass
            clock.forward(60)
            names = [event.name for event in await stream.rest()]
    assert set(names) <= {"running", "succeeded"}
    assert names[-1] == "succeeded"
    assert waiting.data["nextAttemptAt"] is not None
    assert waiting.data["error"]["code"] == "partner_unavailable"


async def test_a_stream_goes_on_after_the_event_that_was_received_last(bay: Bay):
    run_id = await _later(bay)
    async with following(bay.served, run_id) as stream:
        first = await stream.next()
        assert first is not None
    async with following(bay.served, run_id, first.id) as stream:
        reading = asyncio.create_task(stream.next())
        await asyncio.sleep(0.4)
        assert not reading.done()
        await bay.served.fetch("POST", f"/runs/{run_id}/cancel")
        event = await reading
        assert event is not None
        assert (event.name, await stream.rest()) == ("cancelled", [])
    async with following(bay.served, run_id, event.id) as stream:
        assert (stream.answer.status, await stream.answer.read()) == (204, b"")
    async with following(bay.served, run_id, first.id) as stream:
        assert [told.name for told in await stream.rest()] == ["cancelled"]


async def test_a_run_that_ended_is_told_once_and_the_stream_ends(bay: Bay):
    run_id = (await bay.run(ASK)).json["data"]["runId"]
    for last in (None, "no id of ours", "x" * 5_000):
        async with following(bay.served, run_id, last) as stream:
            (event,) = await stream.rest()
            assert (event.name, event.data["result"]) == ("succeeded", {"answer": "yes"})


async def test_silence_is_filled_with_comments(bay: Bay, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_events, "HEARTBEAT", 0.05)
    run_id = await _later(bay)
    async with following(bay.served, run_id) as stream:
        await stream.next()
        reading = asyncio.create_task(stream.next())
        async with asyncio.timeout(60):
            while len(stream.comments) < 2:  # noqa: ASYNC110  the stream itself is read elsewhere
                await asyncio.sleep(0.02)
        await bay.served.fetch("POST", f"/runs/{run_id}/cancel")
        assert (await reading) is not None


async def test_a_stream_ends_after_its_time_and_can_be_taken_up_again(bay: Bay, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_events, "HEARTBEAT", 0.05)
    monkeypatch.setattr(run_events, "STREAM_SECONDS", 0.2)
    run_id = await _later(bay)
    async with following(bay.served, run_id) as stream:
        (event,) = await stream.rest()
        assert event.name == "queued"


async def test_a_run_of_another_process_is_followed_too(tmp_path):
    gate = asyncio.Event()

    async def late(_asked: Asked) -> bytes:
        await gate.wait()
        return answer(201, {"data": {"id": 9}})

    async with open_depot() as depot, running_process(tmp_path, depot) as first:
        depot.answers["POST /things"] = late
        bay = first.bay(depot, await first.served.connect(PARTNER, {"key": SECRET}))
        run_id = (await bay.run(CREATE, {"name": "Lamp"}, mode="async")).json["data"]["runId"]
        await depot.arrived("POST /things")
        async with running_process(tmp_path, depot, token=first.served.token) as second, following(second.served, run_id) as stream:
            event = await stream.next()
            assert event is not None
            assert event.name == "running"
            gate.set()
            (last,) = await stream.rest()
            assert (last.name, last.data["result"]) == ("succeeded", {"thing_id": 9})


async def test_a_stop_ends_open_streams_at_once(tmp_path):
    async with open_depot() as depot, running_process(tmp_path, depot, http_grace=25) as process:
        bay = process.bay(depot, await process.served.connect(PARTNER, {"key": SECRET}))
        run_id = await _later(bay)
        async with following(process.served, run_id) as stream:
            await stream.next()
            began = time.monotonic()
            stopping = asyncio.create_task(process.stop())
            assert await stream.rest() == []
            assert await stopping == 0
            assert time.monotonic() - began < 20


async def test_open_streams_are_bounded_for_an_account_and_in_all(tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot, http_streams=3, http_streams_per_account=2) as bay:
        run_id = await _later(bay)
        token = await bay.served.second_account()
        connection = await bay.served.connect(PARTNER, {"key": SECRET}, token=token)
        body = {"credentialData": {"0": connection}, "runnerData": {"id": "7"}, "notBefore": int(time.time()) + 3_600}
        theirs = (await bay.served.fetch("POST", f"/partners/trigger-actions/{PUT}/run/async", body, token=token)).json["data"]["runId"]
        async with contextlib.AsyncExitStack() as stack:
            for _number in range(2):
                stream = await stack.enter_async_context(following(bay.served, run_id))
                assert await stream.next() is not None
            third = await bay.served.fetch("GET", f"/runs/{run_id}/events")
            assert (third.status, third.json["error"]["code"], "retry-after" in third.headers) == (429, "rate_limited", True)
            other = await stack.enter_async_context(following(bay.served, theirs, token=token))
            assert await other.next() is not None
            full = await bay.served.fetch("GET", f"/runs/{theirs}/events", token=token)
            assert (full.status, full.json["error"]["code"]) == (503, "overloaded")
        async with asyncio.timeout(60):
            while bay.served.services.streams._open:  # noqa: ASYNC110  the end of a stream signals nothing to a test
                await asyncio.sleep(0.02)
        async with following(bay.served, run_id) as stream:
            assert await stream.next() is not None


async def test_a_run_that_there_is_not_is_not_followed(bay: Bay):
    told = await bay.served.fetch("GET", f"/runs/run_{'0' * 32}/events")
    assert (told.status, told.json["error"]["code"]) == (404, "not_found")
