"""Waiting for a run to change: told soon, to all who wait, through a store that fails, and let go when the process ends."""

from __future__ import annotations

import asyncio

import pytest

from engines import PUT, Bench, open_bench
from polyport.engine.watch import RunWatch, mark_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bench(anyio_backend, tmp_path):
    async with open_bench(tmp_path) as found:
        yield found


async def _queued(bench: Bench):
    return (await bench.engine.start(bench.ask(PUT, mode="async")))[1]


async def test_all_who_wait_for_a_run_are_told_that_it_changed(bench: Bench):
    watch, run = RunWatch(bench.engine.runtime), await _queued(bench)
    waiting = [asyncio.create_task(watch.wait(bench.account, run.run_id, mark_of(run), 60)) for _number in range(3)]
    other = await _queued(bench)
    idle = asyncio.create_task(watch.wait(bench.account, other.run_id, mark_of(other), 0.6))
    await asyncio.sleep(0.3)
    assert not any(task.done() for task in waiting)
    await bench.engine.ledger.cancel(bench.account, run.run_id)
    assert await asyncio.gather(*waiting) == [True] * 3
    assert await idle is False
    assert await watch.wait(bench.account, "run_that_is_gone", "0-queued", 60)


async def test_a_store_that_fails_is_looked_at_again(bench: Bench):
    watch, run = RunWatch(bench.engine.runtime), await _queued(bench)
    bench.store.failing.add("standings_of_runs")
    waiting = asyncio.create_task(watch.wait(bench.account, run.run_id, "another mark", 60))
    await asyncio.sleep(0.4)
    assert not waiting.done()
    bench.store.failing.clear()
    assert await waiting


async def test_the_end_of_the_process_lets_all_go(bench: Bench):
    watch, run = RunWatch(bench.engine.runtime), await _queued(bench)
    waiting = [asyncio.create_task(watch.wait(bench.account, run.run_id, mark_of(run), 60)) for _number in range(2)]
    await asyncio.sleep(0)
    watch.close()
    watch.close()
    assert await asyncio.gather(*waiting) == [False] * 2
    assert await watch.wait(bench.account, run.run_id, mark_of(run), 60) is False
