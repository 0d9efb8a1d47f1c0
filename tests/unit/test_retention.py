"""How long runs are kept: payloads go first, records later, keys in between, and nothing that is still needed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from engines import CREATE, PUT, Bench, open_bench
from polyport.engine import retention
from polyport.engine.retention import Retention
from polyport.errors import Conflict
from polyport.runtime import DATABASE
from polyport.store.records import RunStatus
from polyport.store.runs import RunFilter, Runs
from stored import opened_file

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bench(anyio_backend, tmp_path):
    async with open_bench(tmp_path, runs_keep_days=10, runs_keep_payload_days=3) as found:
        yield found


class Later:
    """A clock that is ahead of the real one, by days that a test adds."""

    def __init__(self, bench: Bench) -> None:
        self._clock, self.days = bench.engine.runtime.clock, 0.0
        object.__setattr__(bench.engine.runtime, "clock", self)
        bench.engine.runtime.__post_init__()  # its milliseconds are this clock's from now on

    def __call__(self):
        return self._clock() + timedelta(days=self.days)


async def test_payloads_go_before_the_record_and_the_result_stays_with_it(bench: Bench):
    clock, sweep = Later(bench), Retention(bench.engine.runtime).sweep
    run = (await bench.engine.run_sync(bench.ask(PUT))).run
    await sweep()
    assert len(await bench.engine.ledger.attempts(run)) == 1
    clock.days = 3.1
    await sweep()
    done = await bench.engine.ledger.read(bench.account, run.run_id)
    assert (done.run.status, done.result, await bench.engine.ledger.attempts(done.run)) == (RunStatus.SUCCEEDED, {}, [])
    with pytest.raises(Conflict, match="no longer kept"):
        await bench.engine.replay(bench.account, run.run_id)
    clock.days = 10.1
    await sweep()
    assert await bench.engine.ledger.read(bench.account, run.run_id) is None


async def test_what_has_not_ended_stays_however_old_it_is(bench: Bench):
    clock = Later(bench)
    _earlier, run, _prepared = await bench.engine.start(bench.ask(CREATE, mode="async"))
    clock.days = 400
    await Retention(bench.engine.runtime).sweep()
    (claimed,) = await bench.engine.runtime.queue.claim(bench.engine.runtime.owner, 1, bench.engine.runtime.now_ms())
    assert (await bench.engine.run_once(claimed)).run.status is RunStatus.SUCCEEDED
    assert claimed.run_id == run.run_id


async def test_a_run_stays_while_its_key_is_remembered_and_both_go_in_time(tmp_path):
    async with open_bench(tmp_path, runs_keep_days=1, runs_keep_payload_days=1, runs_idempotency_hours=72) as bench:
        clock, sweep = Later(bench), Retention(bench.engine.runtime).sweep
        first = await bench.engine.run_sync(bench.ask(PUT, idempotency_key="old"))
        clock.days = 2.9
        await sweep()
        again = await bench.engine.run_sync(bench.ask(PUT, idempotency_key="old"))
        assert (again.replayed, again.run.run_id, len(bench.line.sent)) == (True, first.run.run_id, 1)
        clock.days = 3.1
        await sweep()
        assert await bench.engine.runtime.repo.runs.key(bench.account, "old") is None
        assert await bench.engine.ledger.read(bench.account, first.run.run_id) is None
        fresh = await bench.engine.run_sync(bench.ask(PUT, idempotency_key="old"))
        assert (fresh.replayed, len(bench.line.sent)) == (False, 2)


async def test_a_run_whose_key_a_clock_that_was_ahead_has_made_younger_stays_as_long_as_the_key(tmp_path):
    async with open_bench(tmp_path, runs_keep_bytes=1, runs_keep_days=1) as bench:
        clock, runtime = Later(bench), bench.engine.runtime
        ask = bench.ask(CREATE, mode="async", idempotency_key="ahead")
        clock.days = 3
        _earlier, run, _prepared = await bench.engine.start(ask)
        (claimed,) = await runtime.queue.claim(runtime.owner, 1, runtime.now_ms())
        clock.days = 0  # corrected
        assert (await bench.engine.run_once(claimed)).run.status is RunStatus.SUCCEEDED
        other = await bench.engine.run_sync(bench.ask(PUT, idempotency_key="in time"))
        clock.days = 1.1
        await Retention(runtime).sweep()
        assert await runtime.repo.runs.get(bench.account, other.run.run_id) is None
        again, _run, _prepared = await bench.engine.start(ask)
        assert again is not None
        assert (again.run.run_id, again.run.status, again.replayed) == (run.run_id, RunStatus.SUCCEEDED, True)
        clock.days = 4.1
        await Retention(runtime).sweep()
        assert await runtime.repo.runs.get(bench.account, run.run_id) is None
        assert await runtime.repo.runs.key(bench.account, "ahead") is None


async def test_a_key_whose_run_is_gone_says_so_and_what_to_do(tmp_path):
    async with open_bench(tmp_path) as bench:
        ask = bench.ask(CREATE, idempotency_key="lost")
        done = await bench.engine.run_sync(ask)
        with opened_file(tmp_path / DATABASE) as database:  # as it may have come out of an earlier version
            database.execute("DELETE FROM runs WHERE run_id = ?", (done.run.run_id,))
        with pytest.raises(Conflict, match="nobody can say here what came of it") as caught:
            await bench.engine.run_sync(ask)
        assert (caught.value.retryable, "another key" in str(caught.value.details.suggested_fix)) == (False, True)
        assert len(bench.line.sent) == 1


async def test_a_key_that_is_let_go_with_its_run_between_two_looks_is_free(tmp_path, monkeypatch):
    async with open_bench(tmp_path) as bench:
        ask = bench.ask(CREATE, idempotency_key="going")
        await bench.engine.run_sync(ask)
        clock, get = Later(bench), Runs.get

        async def swept(self, account_id, run_id):
            clock.days = 400
            await Retention(bench.engine.runtime).sweep()
            clock.days = 0
            return await get(self, account_id, run_id)

        monkeypatch.setattr(Runs, "get", swept)
        assert await bench.engine.intake.earlier(ask) is None


async def test_many_keys_and_runs_go_in_one_sweep(bench: Bench):
    clock = Later(bench)
    for number in range(450):
        await bench.engine.start(bench.ask(PUT, mode="async", idempotency_key=f"key {number}"))
    while runs := await bench.engine.runtime.queue.claim(bench.engine.runtime.owner, 100, bench.engine.runtime.now_ms()):
        for run in runs:
            await bench.engine.run_once(run)
    clock.days = 11
    with capture_logs() as told:
        await Retention(bench.engine.runtime).sweep()
    assert [(line["event"], line["count"]) for line in told] == [("old runs were deleted", 450)]  # whole: none lost its payload before
    assert [
        len(
            await bench.store.read(
                "places_of_runs", {"account_id": bench.account, "before": "s", "after": "", "limit": 9, "only_user": None}
            )
        )
    ] == [0]
    assert await bench.engine.runtime.repo.runs.key(bench.account, "key 7") is None


async def test_a_database_that_is_too_large_loses_its_oldest_ended_runs(tmp_path, monkeypatch):
    async with open_bench(tmp_path, runs_keep_bytes=1_500_000) as bench:
        clock, sweep = Later(bench), Retention(bench.engine.runtime).sweep
        for number in range(40):
            await bench.engine.run_sync(bench.ask(PUT, runner_data={"name": f"{number}" + "x" * 50_000}))
        repo = bench.engine.runtime.repo.runs
        assert await repo.bytes_used() > 1_500_000
        await sweep()
        assert await repo.bytes_used() > 1_500_000, "runs of the last day stay: their keys may be asked for"
        clock.days = 2
        monkeypatch.setattr(retention, "STEP", 5)
        await sweep()
        assert await repo.bytes_used() <= 1_500_000


async def test_a_sweep_ends_and_leaves_the_rest_to_the_next(bench: Bench, monkeypatch):
    clock = Later(bench)
    for _number in range(6):
        await bench.engine.run_sync(bench.ask(PUT))
    monkeypatch.setattr(retention, "STEP", 2)
    monkeypatch.setattr(retention, "SWEEP_MOST", 4)
    clock.days = 11
    left = []
    for _sweep in range(2):
        await Retention(bench.engine.runtime).sweep()
        left.append(len((await bench.engine.runtime.repo.runs.page(bench.account, RunFilter(), limit=9)).runs))
    assert left == [2, 0]
