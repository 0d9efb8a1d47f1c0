"""A run that is claimed where it was accepted a moment ago is not understood a second time, unless something has changed."""

import asyncio

import pytest
from msgspec.structs import replace

from engines import PUT, SEND, Bench, open_bench
from polyport.engine import fresh
from polyport.engine.fresh import Fresh
from polyport.store.records import RunStatus

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bench(anyio_backend, tmp_path):
    async with open_bench(tmp_path) as found:
        yield found


async def unreadable(bench: Bench, **ask):
    """A claimed run whose input cannot be opened any more: who looks at it fails."""
    return replace(await bench.claimed(operation=PUT, **ask), sealed_input=b"broken")


async def test_the_input_is_not_opened_again(bench: Bench):
    done = await bench.engine.run_once(await unreadable(bench))
    assert done.run.status is RunStatus.SUCCEEDED
    assert bench.line.sent[-1].method == "PUT"


async def test_the_time_that_a_caller_named_is_that_of_its_call_whether_it_is_opened_again_or_not(bench: Bench):
    for again in (False, True):
        run = await bench.claimed(operation=PUT, timeout_ms=90_000)
        if again:
            bench.desk.forget()
        assert (await bench.engine.run_once(run)).run.status is RunStatus.SUCCEEDED
        assert 60 < bench.line.sent[-1].timeout <= 90


async def test_it_is_opened_again_once_what_is_kept_of_connections_was_dropped(bench: Bench):
    run = await unreadable(bench)
    bench.desk.forget()
    assert (await bench.engine.run_once(run)).run.status is RunStatus.FAILED


async def test_it_is_opened_again_when_the_operation_is_another(bench: Bench):
    run = await unreadable(bench)
    bench.desk._programs.clear()
    assert (await bench.engine.run_once(run)).run.status is RunStatus.FAILED


async def test_it_is_opened_again_when_the_connection_cannot_be_read(bench: Bench):
    run = await unreadable(bench)
    bench.desk.forget()
    bench.store.failing.add("connection")
    assert (await bench.engine.run_once(run)).run.status is RunStatus.FAILED


async def test_a_second_attempt_opens_it(bench: Bench):
    run = await unreadable(bench)
    await bench.engine.run_once(run)
    assert bench.engine._fresh.take(run) is None


async def test_a_connection_that_was_deleted_meanwhile_is_refused(bench: Bench):
    run = await bench.claimed(operation=PUT)
    await bench.engine.runtime.repo.connections.delete(bench.account, bench.connection)
    bench.desk.forget()
    sent = len(bench.line.sent)
    assert (await bench.engine.run_once(run)).run.status is RunStatus.FAILED
    assert len(bench.line.sent) == sent


async def test_runs_with_files_are_looked_at_again(bench: Bench):
    photo = {"name": "a.txt", "contentType": "text/plain", "base64": "YQ=="}
    with_url = await bench.claimed(operation=SEND, runner_data={"photo": {"url": "https://files.example/a.txt"}})
    assert bench.engine._fresh.take(with_url) is None
    assert bench.engine._fresh.take(await bench.claimed(operation=SEND, runner_data={"photo": photo})) is not None


async def test_a_server_that_stops_keeps_nothing(bench: Bench):
    run = await bench.claimed(operation=PUT)
    await bench.engine.drain(0)
    assert bench.engine._fresh.take(run) is None


async def test_only_what_is_small_and_due_is_kept_and_not_much_of_it(bench: Bench, monkeypatch):
    kept = Fresh[int]()
    run = await bench.claimed(operation=PUT)
    late = replace(run, run_id="late", due_at=run.created_at + 1)
    large = replace(run, run_id="large", sealed_input=bytes(fresh.INPUT_MOST + 1))
    empty = replace(run, run_id="empty", sealed_input=None)
    monkeypatch.setattr(fresh, "KEPT_MOST", 2)
    for number, told in enumerate((late, large, run, empty, replace(run, run_id="more"))):
        kept.keep(told, number)
    assert [kept.take(told) for told in (late, large, run, empty)] == [None, None, 2, 3]
    assert kept.take(replace(run, run_id="more")) is None


async def test_what_is_kept_of_large_inputs_is_fewer(bench: Bench, monkeypatch):
    kept = Fresh[int]()
    runs = [replace(await bench.claimed(operation=PUT), run_id=str(number), sealed_input=bytes(40)) for number in range(3)]
    monkeypatch.setattr(fresh, "BYTES_MOST", 100)
    for number, run in enumerate(runs):
        kept.keep(run, number)
    assert [kept.take(run) for run in runs] == [0, 1, None]
    kept.keep(runs[2], 2)
    assert kept.take(runs[2]) == 2


async def test_what_nobody_claims_is_dropped_in_seconds(bench: Bench, monkeypatch):
    monkeypatch.setattr(fresh, "KEPT_SECONDS", 0.05)
    kept = Fresh[int]()
    run = await bench.claimed(operation=PUT)
    kept.keep(run, 1)
    await asyncio.sleep(0.03)
    kept.keep(replace(run, run_id="later"), 2)
    while "later" in kept._kept:  # noqa: ASYNC110  what is waited for signals nothing
        await asyncio.sleep(0.01)
    assert kept.take(run) is None
    assert kept._timer is None
