"""How many runs wait is asked for with every run that is accepted: it is counted seldom, and once for all who ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

import stored
from polyport.queue.database import DatabaseQueue
from polyport.queue.depths import Depths
from polyport.queue.processes import ProcessLock
from polyport.store.base import DbRow, Params, StoreUnavailable
from polyport.store.repo import Repo
from polyport.store.sqlite import SqliteDatabase

pytestmark = pytest.mark.anyio


@pytest.fixture
async def repo(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Repo]:
    database = await SqliteDatabase.open(tmp_path / "polyport.db")
    yield Repo(database)
    await database.close()


@pytest.fixture
async def account_id(repo: Repo) -> int:
    return await stored.account(repo)


@pytest.fixture
def queue(repo: Repo, tmp_path: Path) -> DatabaseQueue:
    return DatabaseQueue(repo.database, ProcessLock(tmp_path / "processes"))


async def test_the_depth_is_counted_once_for_all_who_ask(
    repo: Repo, queue: DatabaseQueue, account_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[str] = []
    read = queue._database.read

    async def counted(query: str, params: Params | None = None) -> Sequence[DbRow]:
        counts.append(query)
        return await read(query, params)

    monkeypatch.setattr(queue._database, "read", counted)
    await repo.runs.insert(stored.run(account_id))
    assert await asyncio.gather(*(queue.depth(account_id) for _caller in range(50))) == [1] * 50
    assert counts == ["queue_depth_of_account"]
    await repo.runs.insert(stored.run(account_id))
    queue._depths._known[account_id].at -= 0.6  # half a second later
    assert await asyncio.gather(*(queue.depth(account_id) for _caller in range(50))) == [1] * 50
    await asyncio.gather(*queue._depths._counting.values())
    assert counts == ["queue_depth_of_account"] * 2
    assert await queue.depth(account_id) == 2


async def test_a_depth_that_cannot_be_counted_fails_those_alone_who_have_no_count(
    queue: DatabaseQueue, account_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await queue.depth(account_id) == 0

    async def broken(_query: str, _params: Params | None = None) -> Sequence[DbRow]:
        raise StoreUnavailable("told to fail")

    monkeypatch.setattr(queue._database, "read", broken)
    queue._depths._known[account_id].at -= 0.6
    assert await queue.depth(account_id) == 0
    await asyncio.gather(*queue._depths._counting.values(), return_exceptions=True)
    queue._depths._known[account_id].at -= 3_600
    with pytest.raises(StoreUnavailable):
        await queue.depth(account_id)


class Counted:
    """A database that counts when it is told to."""

    def __init__(self) -> None:
        self.asked, self.told = asyncio.Event(), asyncio.Event()
        self.count = 0

    async def read(self, _query: str, _params: Params | None = None) -> Sequence[DbRow]:
        count = self.count
        self.asked.set()
        await self.told.wait()
        return [(count,)]


async def test_what_came_while_it_was_counted_is_not_forgotten(anyio_backend: str) -> None:
    database = Counted()
    depths = Depths(database)  # type: ignore[arg-type]  # it reads, no more
    asking = asyncio.create_task(depths.of(7))
    await database.asked.wait()
    depths.came(7)
    depths.came(8)
    database.told.set()
    assert await asking == 1
    assert await depths.of() == 0


async def test_what_was_claimed_is_taken_off_a_count_alone_that_cannot_have_seen_it(anyio_backend: str) -> None:
    database = Counted()
    database.count = 5
    database.told.set()
    depths = Depths(database)  # type: ignore[arg-type]  # as above
    before = time.monotonic()
    assert (await depths.of(), await depths.of(7)) == (5, 5)
    depths.went([7, 7], since=before)
    assert (await depths.of(), await depths.of(7)) == (5, 5)
    depths.went([7, 7], since=time.monotonic())
    assert (await depths.of(), await depths.of(7)) == (3, 3)


async def test_room_that_was_taken_is_not_there_for_others_until_it_is_given_back(queue: DatabaseQueue, account_id: int) -> None:
    other = account_id + 1
    assert await queue.take_room(account_id, 3, 5, 4) == (True, True)
    assert await queue.take_room(account_id, 2, 5, 4) == (True, False)
    assert await queue.take_room(other, 3, 5, 4) == (False, True)
    assert await queue.take_room(other, 2, 5, 4) == (True, True)
    queue.leave_room(account_id, 3)
    assert await queue.take_room(account_id, 3, 5, 4) == (True, True)
    queue.leave_room(account_id, 3)
    queue.leave_room(other, 2)
    assert not queue._depths._taken


async def test_room_is_taken_of_counts_of_one_moment(anyio_backend: str) -> None:
    database = Counted()
    database.told.set()
    depths = Depths(database)  # type: ignore[arg-type]  # as above
    assert await depths.of() == 0
    database.told.clear()
    database.asked.clear()
    asking = asyncio.create_task(depths.take_room(7, 1, 5, 9))
    await database.asked.wait()  # its account is being counted
    database.count = 5
    depths._known[None].at -= 3_600
    anew = asyncio.create_task(depths.of())
    await asyncio.sleep(0)
    database.told.set()
    assert (await anew, await asking) == (5, (False, True))
