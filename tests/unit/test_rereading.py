"""Reading lists again because somebody asked: five statuses that outlive the process, one reading whatever the number of processes."""

import asyncio
from dataclasses import replace

import pytest

from e2e.served import Clock
from engines import Bench, listed, open_bench
from polyport.engine.connect import note_refused
from polyport.engine.rereading import (
    AT_ONCE,
    DATA_AGAIN,
    DATA_DONE,
    DATA_NEW,
    DATA_QUEUED,
    DATA_RUNNING,
    FIRST_WAIT_MS,
    TRIES_MOST,
    Rereader,
)
from polyport.errors import ConnectionInvalid
from samples import json_reply, list_spec

pytestmark = pytest.mark.anyio


class House:
    """A bench, its clock, and a process that reads again."""

    def __init__(self, bench: Bench, clock: Clock):
        self.bench, self.clock = bench, clock
        self.repo = bench.engine.runtime.repo.connections
        self.rereader = Rereader(bench.desk)

    async def ask(self, rereader: Rereader | None = None) -> int:
        return await (rereader or self.rereader).ask(self.bench.account, self.bench.connection)

    async def settle(self, rereader: Rereader | None = None) -> None:
        while (rereader or self.rereader)._tasks:
            await asyncio.wait(list((rereader or self.rereader)._tasks))

    async def status(self) -> int:
        return (await self.bench.engine.runtime.connections.record(self.bench.account, self.bench.connection)).data_status

    async def owners(self) -> list[str]:
        partner = await self.bench.engine.runtime.catalog.seen_by(self.bench.account).partner(9)
        bench = await self.bench.desk.bench(self.bench.account, partner, self.bench.connection)
        found = await self.bench.desk.lists(bench).get(bench.caller.partner.lists["owners"], {})
        return [item["name"] for item in found.items]


@pytest.fixture
async def house(anyio_backend, tmp_path):
    clock = Clock()
    async with open_bench(tmp_path, clock=clock) as bench:
        found = House(bench, clock)
        bench.line.answer = _owners("Ada")
        yield found
        found.rereader.close()
        await found.settle()


def _owners(*names):
    return lambda _request: listed(*({"id": number, "name": name} for number, name in enumerate(names, start=1)))


async def test_reading_everything_again_comes_to_its_end_is_told_once_and_starts_afresh(house: House):
    assert await house.owners() == ["Ada"]
    house.bench.line.answer = _owners("Linus")
    assert await house.ask() == DATA_QUEUED
    await house.settle()
    assert await house.owners() == ["Linus"]
    assert [await house.ask(), await house.status()] == [DATA_DONE, DATA_NEW]
    assert await house.ask() == DATA_QUEUED
    await house.settle()
    assert await house.ask() == DATA_DONE
    assert len(house.bench.line.sent) == 3


async def test_many_who_ask_and_many_processes_lead_to_one_reading(house: House):
    rereaders = [Rereader(house.bench.desk) for _process in range(4)]
    told = await asyncio.gather(*(house.ask(rereader) for rereader in rereaders for _time in range(5)))
    for rereader in rereaders:
        await rereader.work()
        await house.settle(rereader)
    assert set(told) <= {DATA_QUEUED, DATA_RUNNING}
    assert len(house.bench.line.sent) == 1
    assert await house.ask() == DATA_DONE


async def test_a_reading_that_failed_is_made_again_by_itself_after_a_while(house: House):
    house.bench.line.answer = lambda _request: json_reply(b"{}", 503)
    await house.ask()
    await house.settle()
    assert await house.status() == DATA_AGAIN
    await house.rereader.work()
    await house.settle()
    assert len(house.bench.line.sent) == 1
    house.bench.line.answer = _owners("Ada")
    house.clock.forward(FIRST_WAIT_MS / 1000 * 1.2)
    await house.rereader.work()
    await house.settle()
    assert await house.ask() == DATA_DONE


async def test_who_asks_again_need_not_wait(house: House):
    house.bench.line.answer = lambda _request: json_reply(b"{}", 503)
    await house.ask()
    await house.settle()
    house.bench.line.answer = _owners("Ada")
    assert await house.ask() == DATA_AGAIN
    await house.settle()
    assert await house.ask() == DATA_DONE


async def test_a_reading_that_fails_again_and_again_is_given_up(house: House):
    house.bench.line.answer = lambda _request: json_reply(b"{}", 503)
    await house.ask()
    await house.settle()
    for _try in range(TRIES_MOST - 1):
        assert await house.status() == DATA_AGAIN
        house.clock.forward(4_000)
        await house.rereader.work()
        await house.settle()
    assert (await house.status(), len(house.bench.line.sent)) == (DATA_NEW, TRIES_MOST)


async def test_a_partner_that_says_how_long_to_wait_is_given_that_time(house: House):
    house.bench.line.answer = lambda _request: json_reply(b"{}", 429, retry_after="600")
    await house.ask()
    await house.settle()
    house.clock.forward(500)
    await house.rereader.work()
    await house.settle()
    assert len(house.bench.line.sent) == 1


async def test_what_a_killed_process_had_begun_is_taken_up_by_another(house: House):
    await house.repo.move_data(house.bench.connection, was=DATA_NEW, becomes=DATA_QUEUED, due_at=1)
    await house.repo.claim_data(house.bench.connection, "1-dead", 2)
    assert await house.ask() == DATA_RUNNING
    await house.settle()
    assert await house.status() == DATA_RUNNING
    await house.rereader.work()
    await house.settle()
    assert await house.ask() == DATA_DONE


async def test_what_a_living_process_works_on_is_left_to_it(house: House):
    await house.repo.move_data(house.bench.connection, was=DATA_NEW, becomes=DATA_QUEUED, due_at=1)
    await house.repo.claim_data(house.bench.connection, house.bench.engine.runtime.owner, 2)
    await house.rereader.work()
    await house.settle()
    assert (await house.status(), house.bench.line.sent) == (DATA_RUNNING, [])


async def test_a_list_that_is_not_for_this_connection_holds_nothing_up(house: House):
    lists = (await house.bench.engine.runtime.catalog.seen_by(None).partner(9)).lists
    lists |= {
        "hidden": list_spec("hidden"),
        "later": list_spec("later"),
        "found": list_spec("found", search="remote", call={"path": "/found", "query": {"q": "{{query}}"}}),
        "rooms": list_spec("rooms", dependsOn=["owner"], call={"path": "/rooms/{{owner}}"}),
    }
    house.bench.line.answer = lambda request: json_reply(b"{}", 403) if "hidden" in request.url else _owners("Ada")(request)
    await house.ask()
    await house.settle()
    assert [request.url.rpartition("/")[2] for request in house.bench.line.sent] == ["owners", "hidden", "later"]
    assert await house.ask() == DATA_DONE


async def test_a_connection_that_is_refused_is_checked_and_asked_for_nothing_more_once_it_is_invalid(house: House):
    house.bench.line.answer = lambda _request: json_reply(b"{}", 401)
    await house.ask()
    await house.settle()
    record = await house.bench.engine.runtime.connections.record(house.bench.account, house.bench.connection)
    assert (record.status, record.data_status, record.check_at) == ("active", DATA_AGAIN, house.bench.engine.runtime.now_ms())
    partner = await house.bench.engine.runtime.catalog.seen_by(None).partner(9)
    await note_refused(house.bench.desk, partner, record, ConnectionInvalid())
    with pytest.raises(ConnectionInvalid):
        await house.ask()


async def test_a_defect_leaves_no_connection_taken(house: House, monkeypatch):
    async def broken(*_arguments):
        raise RuntimeError("told to")

    monkeypatch.setattr(house.rereader, "_reread", broken)
    await house.ask()
    await house.settle()
    assert await house.status() == DATA_AGAIN


class Failing(set):
    """Queries that fail; ``met`` is set once one of them was asked for."""

    def __init__(self, *queries: str):
        super().__init__(queries)
        self.met = asyncio.Event()

    def __contains__(self, query: object) -> bool:
        found = super().__contains__(query)
        if found:
            self.met.set()
        return found


async def test_a_store_that_fails_is_waited_for(house: House, monkeypatch):
    monkeypatch.setattr("polyport.engine.rereading.STORE_SECONDS", 0.01)
    house.bench.store.failing = failing = Failing("end_data")
    await house.ask()
    async with asyncio.timeout(60):
        await failing.met.wait()
    assert await house.status() == DATA_RUNNING
    house.bench.store.failing = {"due_data"}
    await house.settle()
    assert await house.status() == DATA_DONE


async def test_a_connection_that_goes_while_it_is_read_is_no_fault(house: House, monkeypatch):
    async def gone(account, connection):
        await house.repo.delete(account, connection)

    monkeypatch.setattr(house.rereader, "_reread", gone)
    await house.ask()
    await house.settle()
    assert house.rereader._busy == 0


async def test_a_process_that_stops_leaves_what_it_had_begun_to_the_next(house: House, monkeypatch):
    begun = asyncio.Event()

    async def hold(_account, _connection):
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(house.rereader, "_reread", hold)
    await house.ask()
    async with asyncio.timeout(60):
        await begun.wait()
    house.rereader.close()
    await house.settle()
    assert (await house.status(), house.rereader._busy) == (DATA_RUNNING, 0)


async def test_only_so_many_are_read_at_once_and_the_next_one_when_one_has_ended(house: House):
    record = await house.bench.engine.runtime.connections.record(house.bench.account, house.bench.connection)
    numbers = range(5_001, 5_001 + AT_ONCE + 3)
    for number in numbers:
        made = replace(record, connection_id=number)
        await house.repo.insert(made)
        await house.repo.move_data(number, was=DATA_NEW, becomes=DATA_QUEUED, due_at=1)
    most, holding = 0, asyncio.Event()

    async def hold(_account, _connection):
        nonlocal most
        most = max(most, house.rereader._busy)
        await holding.wait()

    house.rereader._reread = hold
    await house.rereader.work()
    await house.rereader.work()
    assert house.rereader._busy == AT_ONCE
    holding.set()
    await house.settle()
    assert most <= AT_ONCE
    statuses = [(await house.bench.engine.runtime.connections.record(house.bench.account, number)).data_status for number in numbers]
    assert set(statuses) == {DATA_DONE}
