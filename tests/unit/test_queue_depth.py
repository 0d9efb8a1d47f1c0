"""How many runs wait is asked for with every run that is accepted: it is counted seldom, and once for all who ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

import stored
from polyport.queue.database import DatabaseQueue
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
    queue._depths[account_id].at -= 0.6  # half a second later
    assert await asyncio.gather(*(queue.depth(account_id) for _caller in range(50))) == [1] * 50
    await asyncio.gather(*queue._counting.values())
    assert counts == ["queue_depth_of_account"] * 2
    assert await queue.depth(account_id) == 2


async def test_a_depth_that_cannot_be_counted_fails_those_alone_who_have_no_count(
    queue: DatabaseQueue, account_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await queue.depth(account_id) == 0

    async def broken(_query: str, _params: Params | None = None) -> Sequence[DbRow]:
        raise StoreUnavailable("told to fail")

    monkeypatch.setattr(queue._database, "read", broken)
    queue._depths[account_id].at -= 0.6
    assert await queue.depth(account_id) == 0
    await asyncio.gather(*queue._counting.values(), return_exceptions=True)
    queue._depths[account_id].at -= 3_600
    with pytest.raises(StoreUnavailable):
        await queue.depth(account_id)
