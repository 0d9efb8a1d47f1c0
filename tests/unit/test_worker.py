"""The worker of a process: what it does when the store fails, when another process was first, when something breaks."""

import asyncio

import pytest

from engines import CREATE, PUT, Bench, open_bench
from polyport.store.records import RunStatus
from polyport.worker import Chore, Worker
from stored import bump, link, running, sign_in, token

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bench(anyio_backend, tmp_path):
    async with open_bench(tmp_path) as found:
        yield found


async def _ended(bench: Bench, run) -> str:
    async with asyncio.timeout(60):
        while (status := await bench.status(run)) in {"queued", "running", "waiting"}:  # noqa: ASYNC110  what is waited for signals nothing
            await asyncio.sleep(0.01)
    return status


async def test_the_runs_of_a_dead_process_are_settled_before_anything_else(bench: Bench):
    repo = bench.engine.runtime.repo
    doubtful, again = running(bench.account, "1-dead", sending=True), running(bench.account, "1-dead", mode="sync", repeatable=True)
    for run in (doubtful, again):
        await repo.runs.insert(run)
    worker = Worker(bench.engine, lambda: None)
    await worker.start()
    assert (await bench.status(doubtful), await bench.status(again)) == ("uncertain", "failed")
    await worker.stop(1)


async def test_runs_are_claimed_once_the_store_can_be_written_again(bench: Bench):
    _earlier, run, _prepared = await bench.engine.start(bench.ask(PUT, mode="async"))
    bench.store.failing.add("epoch")
    failing = bench.engine.runtime.queue._database
    bench.engine.runtime.queue._database = bench.store
    bench.store.failing |= {"claim_one", "claim_lane", "next_due"}
    worker = Worker(bench.engine, lambda: None)
    await worker.start()
    await asyncio.sleep(0.2)
    assert await bench.status(run) == "queued"
    bench.store.failing.clear()
    assert await _ended(bench, run) == "succeeded"
    await worker.stop(1)
    bench.engine.runtime.queue._database = failing


async def test_once_a_run_has_succeeded_those_behind_it_are_marked_by_their_claim(bench: Bench):
    worker = Worker(bench.engine, lambda: None)
    await worker.start()
    _earlier, run, _prepared = await bench.engine.start(bench.ask(CREATE, mode="async"))
    assert await _ended(bench, run) == "succeeded"
    bench.store.failing.add("mark_sending")
    _earlier, run, _prepared = await bench.engine.start(bench.ask(CREATE, mode="async"))
    assert await _ended(bench, run) == "succeeded"
    await worker.stop(1)


async def test_a_defect_while_claiming_ends_neither_the_claiming_nor_the_runs(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    _earlier, run, _prepared = await bench.engine.start(bench.ask(PUT, mode="async"))
    queue = bench.engine.runtime.queue
    claim, tries = queue.claim, []

    async def broken(*given):
        tries.append(given)
        if len(tries) == 1:
            raise KeyError("a defect")
        return await claim(*given)

    monkeypatch.setattr(queue, "claim", broken)
    worker = Worker(bench.engine, lambda: None)
    await worker.start()
    assert await _ended(bench, run) == "succeeded"
    await worker.stop(1)


async def test_a_run_that_breaks_or_was_taken_leaves_the_worker_at_work(bench: Bench):
    worker = Worker(bench.engine, lambda: None)
    stranger = running(bench.account, "other")
    nobodys = running(bench.account + 1, "other")
    await worker._work(stranger)
    await worker._work(nobodys)
    _earlier, run, _prepared = await bench.engine.start(bench.ask(PUT, mode="async"))
    await worker.start()
    assert await _ended(bench, run) == "succeeded"
    await worker.stop(1)


async def test_what_is_kept_is_dropped_when_another_process_changed_something(bench: Bench):
    dropped = asyncio.Event()
    worker = Worker(bench.engine, dropped.set)
    await worker.start()
    await asyncio.sleep(0.1)
    assert not dropped.is_set()
    await bench.store.write(bump())
    async with asyncio.timeout(60):
        await dropped.wait()
    await worker.stop(1)


async def test_a_stop_waits_for_runs_under_way_and_no_longer_than_its_grace(bench: Bench):
    _earlier, run, _prepared = await bench.engine.start(bench.ask(PUT, mode="async"))
    bench.store.failing.add("finish_run")
    worker = Worker(bench.engine, lambda: None)
    await worker.start()
    async with asyncio.timeout(60):
        while not bench.line.sent:  # noqa: ASYNC110  what is waited for signals nothing
            await asyncio.sleep(0.01)
    await worker.stop(0.05)
    assert await bench.status(run) == "running"


async def test_a_repeated_piece_of_work_survives_its_own_failures(bench: Bench):
    worker = Worker(bench.engine, lambda: None)
    tries = []

    async def work() -> None:
        tries.append(len(tries))
        if len(tries) == 1:
            await bench.store.write(bump())
        if len(tries) == 2:
            raise OSError(24, "too many open files")

    bench.store.failing.add("bump_epoch")
    task = asyncio.create_task(worker._every(Chore(name="work", seconds=0.01, work=work)))
    async with asyncio.timeout(60):
        while len(tries) < 4:  # noqa: ASYNC110  what is waited for signals nothing
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_ended_long_ago_is_dropped_by_and_by_and_the_rest_stays(bench: Bench, monkeypatch):
    monkeypatch.setattr("polyport.worker.TIDY_SECONDS", 0.01)
    repo, now, account = bench.engine.runtime.repo, bench.engine.runtime.now_ms(), bench.account
    hour = 3_600_000
    ends = {"old": 1, "young": -hour}  # so long before what is still kept
    await repo.tokens.insert(*(token(account, name.encode(), expires_at=now - before) for name, before in ends.items()))
    links = {
        name: await repo.links.insert(link(account, token_hash=name.encode(), expires_at=now - 90 * 24 * hour - before))
        for name, before in ends.items()
    }
    for name, before in ends.items():
        await repo.sign_ins.insert(sign_in(links["young"], name.encode(), expires_at=now - hour - before))
        await repo.leases.claim(name, "p1", over=None, until=now - 24 * hour - before)
    worker = Worker(bench.engine, lambda: None)
    await worker.start()
    async with asyncio.timeout(60):
        while await repo.leases.get("old") is not None:  # noqa: ASYNC110  what is waited for signals nothing
            await asyncio.sleep(0.01)
    await worker.stop(1)
    for name in ends:
        kept = (
            await repo.tokens.by_hash(name.encode()),
            await repo.links.find(links[name].link_id, now),
            await repo.sign_ins.find(name.encode()),
            await repo.leases.get(name),
        )
        assert [each is not None for each in kept] == [name == "young"] * 4


async def test_runs_found_dead_later_are_settled_too(bench: Bench):
    worker = Worker(bench.engine, lambda: None)
    run = running(bench.account, "1-dead", mode="sync", repeatable=True)
    await bench.engine.runtime.repo.runs.insert(run)
    await worker._recover()
    assert await bench.status(run) == RunStatus.FAILED
