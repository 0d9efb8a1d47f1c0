"""A run that can be worked on at once is taken at its acceptance: it is never queued, nobody claims it, and it is given back whatever goes wrong."""

import asyncio

import pytest

from engines import CREATE, PUT, Bench, open_bench
from polyport.errors import Overloaded
from polyport.store.base import StoreUnavailable
from polyport.store.records import Lane, RunStatus
from polyport.worker import Worker

pytestmark = pytest.mark.anyio


class Slow:
    """A database whose writes wait until they may go on, and fail then if told to."""

    def __init__(self, inner):
        self._inner, self.may_go, self.fails = inner, asyncio.Event(), False

    def __getattr__(self, name):
        return getattr(self._inner, name)

    async def write(self, *statements):
        await self.may_go.wait()
        if self.fails:
            raise StoreUnavailable("told to fail")
        return await self._inner.write(*statements)


@pytest.fixture
async def bench(anyio_backend, tmp_path):
    async with open_bench(tmp_path, runs_concurrency=8) as found:
        yield found


@pytest.fixture
async def worker(bench: Bench):
    """At work; runs of both operations have succeeded."""
    found = Worker(bench.engine, lambda: None)
    await found.start()
    for operation in (CREATE, PUT):
        await ended(bench, await accepted(bench, operation))
    yield found
    await found.stop(5)
    assert (found._taken, found._running, found._bulkheads._used) == (0, set(), {})


async def accepted(bench: Bench, operation=CREATE, **more):
    return (await bench.engine.start(bench.ask(operation, mode="async", **more)))[1]


async def ended(bench: Bench, run) -> str:
    async with asyncio.timeout(20):
        while (status := await bench.status(run)) in {"queued", "running", "waiting"}:  # noqa: ASYNC110  what is waited for signals nothing
            await asyncio.sleep(0.01)
    return status


@pytest.mark.parametrize("operation", [CREATE, PUT])
async def test_a_run_whose_lane_is_under_way_is_running_from_its_first_record(bench: Bench, worker: Worker, operation: int):
    run = await accepted(bench, operation)
    assert (run.status, run.owner, run.attempts) == (RunStatus.RUNNING, bench.engine.runtime.owner, 1)
    assert run.sending is (operation == CREATE)
    assert await ended(bench, run) == "succeeded"
    assert sum(row.runs for row in await bench.engine.runtime.repo.runs.usage(bench.account, 0, 1 << 40, None)) == 3
    assert list(await bench.store.read("queue_depth")) == [(0,)]


async def test_what_is_for_later_is_queued(bench: Bench, worker: Worker):
    assert (await accepted(bench, not_before=bench.engine.runtime.now_ms() + 60_000)).status is RunStatus.QUEUED


async def test_nobody_is_overtaken(bench: Bench, worker: Worker, monkeypatch):
    monkeypatch.setattr(bench.engine.runtime.queue, "idle", lambda: False)
    run = await accepted(bench)
    assert run.status is RunStatus.QUEUED
    assert await ended(bench, run) == "succeeded"


async def test_more_are_queued_than_fit_into_the_shares(bench: Bench, worker: Worker):
    lane = Lane(bench.account, bench.connection, CREATE, 9)
    while worker._bulkheads.enter(lane):
        pass
    run = await accepted(bench)
    assert run.status is RunStatus.QUEUED
    while worker._bulkheads._used:
        worker._bulkheads.leave(lane)
    bench.engine.runtime.queue.wake()
    assert await ended(bench, run) == "succeeded"


async def test_what_cannot_be_written_is_refused_and_takes_no_place(bench: Bench, worker: Worker):
    bench.store.failing.add("insert_run")
    with pytest.raises(Overloaded):
        await accepted(bench)
    bench.store.failing.clear()
    assert (await accepted(bench)).status is RunStatus.RUNNING


async def test_a_key_that_was_used_meanwhile_gives_the_other_run(bench: Bench, worker: Worker):
    first = await accepted(bench, idempotency_key="k")
    await ended(bench, first)
    bench.store.blind.add("idempotency_key")
    asked = asyncio.create_task(bench.engine.start(bench.ask(mode="async", idempotency_key="k")))
    await asyncio.sleep(0)
    bench.store.blind.clear()
    earlier, run, _prepared = await asked
    assert (earlier is not None, run.run_id) == (True, first.run_id)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_caller_that_goes_away_while_a_run_is_written_leaves_no_run_behind(bench: Bench, worker: Worker, fails: bool):
    slow = bench.store.inner = Slow(bench.store.inner)
    sent = len(bench.line.sent)
    asked = asyncio.create_task(accepted(bench))
    while not worker._taken:  # noqa: ASYNC110  as above
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    slow.fails = fails
    slow.may_go.set()
    while worker._taken or worker._running:  # noqa: ASYNC110  as above
        await asyncio.sleep(0.01)
    assert len(bench.line.sent) == sent + (not fails)


async def test_a_stop_waits_for_what_was_taken_and_takes_no_more(bench: Bench, worker: Worker):
    slow = bench.store.inner = Slow(bench.store.inner)
    asked = asyncio.create_task(accepted(bench))
    while not worker._taken:  # noqa: ASYNC110  as above
        await asyncio.sleep(0)
    stopping = asyncio.create_task(worker.stop(5))
    await asyncio.sleep(0.05)
    slow.may_go.set()
    run = await asked
    await stopping
    assert await bench.status(run) == "succeeded"
    assert (await accepted(bench)).status is RunStatus.QUEUED
