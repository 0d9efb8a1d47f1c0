"""Deleting for good where two do it at once, and where the files of the store cannot be cleaned yet."""

import asyncio

import pytest

import stored
from engines import Bench, open_bench
from polyport.engine.erasure import begin_erasure, erase_users, scrub
from polyport.store.end_users import EndUserChange

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bench(anyio_backend, tmp_path):
    async with open_bench(tmp_path) as found:
        yield found


async def _erasures(bench: Bench) -> tuple[int, int]:
    erased, scrubbed = (await bench.store.read("erasures"))[0]
    return erased, scrubbed


async def test_two_processes_can_delete_the_same_user_at_once(bench: Bench):
    repo = bench.desk.runtime.repo
    user = await repo.end_users.put(bench.account, "u", EndUserChange(), 1)
    for number in range(20):
        await repo.connections.insert(stored.connection(bench.account, 7_000 + number, external_user_id="u"))
        await repo.runs.insert(stored.run(bench.account, external_user_id="u"))
    await asyncio.gather(begin_erasure(bench.desk, user), begin_erasure(bench.desk, user))
    await asyncio.gather(*(erase_users(bench.desk) for _process in range(3)))
    assert await repo.end_users.get(bench.account, user.end_user_id) is None
    assert await bench.store.read("connections_of_user", {"account_id": bench.account, "external_id": "u", "limit": 9}) == []


async def test_what_cannot_be_cleaned_now_is_cleaned_the_next_time(bench: Bench):
    await bench.desk.runtime.repo.connections.delete(bench.account, bench.connection)
    before = await _erasures(bench)
    assert before[0] > before[1]
    bench.store.failing.add("scrub")
    await scrub(bench.desk)
    assert await _erasures(bench) == before
    bench.store.failing.clear()
    await scrub(bench.desk)
    assert await _erasures(bench) == (before[0], before[0])
    await scrub(bench.desk)
