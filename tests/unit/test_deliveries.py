"""What follows from an attempt to send an event, and what the courier does when something of ours fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as with_changes

import stored
from engines import Bench, open_bench
from polyport.deliveries import ATTEMPTS, LEASE_SLACK_MS, RETRY_AFTER_MOST_MS, WAITS, Courier, Outcome, settled
from polyport.engine.links import Reconnects
from polyport.net.message import Reply
from polyport.runtime import Runtime
from polyport.store.outbox import PARKED, EventFilter, insert_event
from polyport.store.records import EventStatus, OutgoingEvent

pytestmark = pytest.mark.anyio

URL = "https://hooks.example.com/a"


@pytest.fixture
async def bench(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path) as found:
        yield found


def runtime_of(bench: Bench) -> Runtime:
    return bench.engine.runtime


async def told(bench: Bench) -> OutgoingEvent:
    """An event for a callback address, kept and claimed."""
    runtime = runtime_of(bench)
    run = with_changes(stored.run(bench.account), callback_url=URL)
    await runtime.repo.database.write(*await runtime.events.run(run, result={"a": 1}))
    lanes = await runtime.repo.outbox.lanes_due(runtime.now_ms())
    (event,) = await runtime.repo.outbox.claim(dict.fromkeys(lanes, 1), runtime.owner, now=runtime.now_ms(), leased_until=PARKED)
    return event


async def held(bench: Bench, event: OutgoingEvent) -> OutgoingEvent:
    found = await runtime_of(bench).repo.outbox.get(event.account_id, event.event_id)
    assert found is not None
    return found


def courier(bench: Bench, runtime: Runtime | None = None) -> Courier:
    return Courier(runtime or runtime_of(bench), Reconnects(runtime_of(bench)))


EVENT = stored.event(1, attempts=3, owner="me", last_status=500, last_error="before")


@pytest.mark.parametrize(
    ("event", "outcome", "expected"),
    [
        (EVENT, Outcome(status=204), {"status": "delivered", "ended_at": 10_000, "last_status": 204, "last_error": None}),
        (EVENT, Outcome(error="x", status=500), {"status": "pending", "due_at": 10_000 + WAITS[3] * 1000, "last_error": "x"}),
        (EVENT, Outcome(error="x", retry_after_ms=5), {"due_at": 10_000 + WAITS[3] * 1000}),
        (EVENT, Outcome(error="x", retry_after_ms=9_000_000), {"due_at": 10_000 + 9_000_000}),
        (EVENT, Outcome(error="x", retry_after_ms=2**40), {"due_at": 10_000 + RETRY_AFTER_MOST_MS}),
        (EVENT, Outcome(error="x", final=True), {"status": "dead", "ended_at": 10_000, "last_error": "x"}),
        (EVENT, Outcome(error="y" * 9_000), {"last_error": "y" * 500}),
        (EVENT, Outcome(parked=True), {"status": "pending", "due_at": PARKED, "attempts": 2, "last_status": 500, "last_error": "before"}),
        (with_changes(EVENT, attempts=ATTEMPTS), Outcome(error="x"), {"status": "dead", "ended_at": 10_000}),
        (with_changes(EVENT, attempts=ATTEMPTS + 3), Outcome(error="x"), {"status": "dead"}),
        (with_changes(EVENT, attempts=ATTEMPTS + 3), Outcome(status=200), {"status": "delivered"}),
    ],
)
def test_what_follows_from_an_attempt(event: OutgoingEvent, outcome: Outcome, expected: dict[str, Any]) -> None:
    after = settled(event, outcome, now=10_000, jitter=0)

    assert {name: getattr(after, name) for name in expected} == expected
    assert after.owner is None


def test_the_last_ten_attempts_are_kept_with_what_came_of_them() -> None:
    event = EVENT
    for number in range(12):
        event = settled(
            with_changes(event, attempts=1), Outcome(error=f"no {number}", status=500), now=number * 1_000 + 50, jitter=0, ms=50
        )
    parked = settled(event, Outcome(parked=True), now=20_000, jitter=0)

    assert json.loads(event.deliveries) == [
        {"at": number * 1_000, "ms": 50, "status": 500, "error": f"no {number}"} for number in range(2, 12)
    ]
    assert parked.deliveries == event.deliveries  # nothing was sent


def test_the_waits_vary_by_a_tenth_in_either_direction() -> None:
    early, late = (settled(EVENT, Outcome(error="x"), now=0, jitter=jitter).due_at for jitter in (-1, 1))

    assert (early, late) == (WAITS[3] * 900, WAITS[3] * 1100)


class Once(set[str]):
    """What fails the first time that it is asked for."""

    def __contains__(self, query: object) -> bool:
        found = super().__contains__(query)
        self.discard(str(query))
        return found


async def test_what_came_of_it_is_noted_once_the_store_can_be_written(bench: Bench) -> None:
    event = await told(bench)
    bench.line.answer = lambda _request: Reply(status=200)
    bench.store.failing = Once({"settle_event"})
    await courier(bench)._deliver(event)

    assert bench.store.failing == set()
    assert (await held(bench, event)).status is EventStatus.DELIVERED
    assert len(bench.line.sent) == 1


async def test_beyond_its_lease_nothing_is_noted_and_the_event_is_sent_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    event = await told(bench)
    bench.line.answer = lambda _request: Reply(status=200)
    bench.store.failing.add("settle_event")
    monkeypatch.setattr("polyport.deliveries.LEASE_SLACK_MS", -LEASE_SLACK_MS * 10)
    await courier(bench)._deliver(event)

    assert (await held(bench, event)).owner == runtime_of(bench).owner


async def test_an_event_that_somebody_else_took_over_is_left_to_them(bench: Bench) -> None:
    event = await told(bench)
    bench.line.answer = lambda _request: Reply(status=200)
    await courier(bench)._deliver(with_changes(event, attempts=event.attempts + 1))

    assert (await held(bench, event)).status is EventStatus.PENDING


async def test_a_defect_of_ours_leaves_the_event_for_later(bench: Bench) -> None:
    event = await told(bench)

    def break_down(_request: object) -> Reply:
        raise KeyError("nobody foresaw this")

    bench.line.answer = break_down
    await courier(bench)._deliver(event)
    after = await held(bench, event)

    assert (after.status, after.owner, after.last_error) == (EventStatus.PENDING, None, "Something went wrong on this server.")


async def test_records_that_cannot_be_read_leave_the_event_for_later(bench: Bench) -> None:
    event = with_changes(await told(bench), endpoint_id="ep_never")
    bench.store.failing.add("endpoint")
    await courier(bench)._deliver(event)

    assert (await held(bench, event)).last_error == "This server could not read its records."


async def test_an_event_that_was_changed_where_it_lay_is_not_sent(bench: Bench) -> None:
    event = await told(bench)
    await courier(bench)._deliver(with_changes(event, sealed=event.sealed[:-1] + bytes([event.sealed[-1] ^ 1])))

    assert bench.line.sent == []
    assert (await held(bench, event)).status is EventStatus.PENDING


async def test_the_loop_goes_on_when_the_store_cannot_be_read_and_when_it_breaks_down(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polyport.deliveries.FAULT_SECONDS", 0)
    bench.line.answer = lambda _request: Reply(status=200)
    runtime = runtime_of(bench)
    bench.store.failing.add("next_event_due")
    run = with_changes(stored.run(bench.account), callback_url=URL)
    await runtime.repo.database.write(*await runtime.events.run(run))
    sending = courier(bench)
    sending.start()
    await asyncio.sleep(0.01)
    bench.store.failing.clear()
    bench.store.blind.add("next_event_due")  # an answer without a row: a defect
    await asyncio.sleep(0.01)
    bench.store.blind.clear()
    async with asyncio.timeout(60):
        while not bench.line.sent:  # noqa: ASYNC110  the network of the bench signals nothing
            await asyncio.sleep(0.005)
    await sending.stop(5)

    (event,) = await runtime.repo.outbox.page(bench.account, EventFilter(), limit=9)
    assert event.status is EventStatus.DELIVERED


async def test_a_run_that_nobody_listens_for_costs_no_look_into_the_store(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    events, reads = runtime_of(bench).events, []
    read = events._store.all

    async def counted(account_id: int) -> Any:
        reads.append(account_id)
        return await read(account_id)

    class Counting:
        all = staticmethod(counted)

    monkeypatch.setattr(events, "_store", Counting())
    events.forget()
    for _run in range(20):
        done = await bench.engine.run_sync(bench.ask())
        assert done.run.status == "succeeded"
    assert reads == [bench.account]
    events.forget()
    await bench.engine.run_sync(bench.ask())
    assert reads == [bench.account] * 2


async def test_who_listens_is_not_kept_when_it_changed_while_it_was_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    events = runtime_of(bench).events
    read = events._store.all

    async def overtaken(account_id: int) -> Any:
        found = await read(account_id)
        events.forget()
        return found

    class Overtaken:
        all = staticmethod(overtaken)

    monkeypatch.setattr(events, "_store", Overtaken())
    events.forget()
    assert await events.endpoints(bench.account) == ()
    assert events._listening == {}


def test_an_event_that_tells_of_no_connection_is_kept_whatever_connections_do() -> None:
    given = insert_event(stored.event(1)).params

    assert (given["connection_id"], given["becomes"]) == (None, None)


async def test_places_are_of_this_process_and_what_is_cut_at_the_end_is_due_later(bench: Bench) -> None:
    runtime = runtime_of(bench)
    patient = replace(runtime, settings=runtime.settings)
    event = await told(bench)
    waiting = asyncio.Event()

    class Hanging:
        async def send(self, _request: object) -> Reply:
            waiting.set()
            await asyncio.sleep(60)
            return Reply(status=200)

    sending = courier(bench, replace(patient, receivers=Hanging()))
    task = asyncio.create_task(sending._deliver(event))
    sending._sending[task] = event.lane
    await waiting.wait()
    await sending.stop(0)

    assert task.cancelled()
    assert (await held(bench, event)).owner == runtime.owner
