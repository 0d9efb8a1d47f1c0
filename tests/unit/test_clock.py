"""What a clock that is set back leaves behind is drawn near; what somebody asked to be late stays late."""

from datetime import UTC, datetime

import pytest
import structlog

import stored
from engines import open_bench
from polyport.budgets import BudgetSpent
from polyport.engine.clock import ClockWatch
from polyport.manifest.budgets import Budget
from polyport.store.outbox import PARKED
from polyport.store.records import IdempotencyKey, RunStatus

pytestmark = pytest.mark.anyio

DAY = 86_400_000


class Wall:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.ms / 1000, UTC)


async def test_what_a_clock_that_was_ahead_made_late_is_drawn_near_and_dates_stay(tmp_path):
    wall = Wall()
    async with open_bench(tmp_path, clock=wall) as bench:
        repo, watch = bench.engine.runtime.repo, ClockWatch(bench.engine.runtime)
        await watch.look()
        wall.ms += DAY
        await watch.look()
        ahead = wall.ms
        plain = stored.run(bench.account, at=ahead)
        dated = stored.run(bench.account, at=ahead, due_at=ahead + 5_000)
        begun = stored.run(bench.account, at=1_000, due_at=ahead, attempts=1)
        waits = stored.run(bench.account, at=1_000, due_at=ahead + 7_000, attempts=1, status=RunStatus.WAITING)
        patient = stored.run(bench.account, at=1_000, due_at=ahead - DAY + 9_000, attempts=1, status=RunStatus.WAITING)
        for run in (plain, dated, begun, waits, patient):
            await repo.runs.insert(run)
        fresh = stored.event(bench.account, created_at=ahead, due_at=ahead)
        tried = stored.event(bench.account, created_at=1_000, due_at=ahead + 7_000, attempts=2)
        parked = stored.event(bench.account, created_at=1_000, due_at=PARKED, attempts=0)
        await repo.outbox.insert(fresh, tried, parked)
        wall.ms -= DAY
        for _look in range(2):  # a second look moves nothing again
            await watch.look()
            now = wall.ms
            found = [await repo.runs.get(bench.account, run.run_id) for run in (plain, dated, begun, waits, patient)]
            assert [run.due_at - now for run in found if run is not None] == [0, DAY + 5_000, 0, pytest.approx(7_000, abs=1_500), 9_000]
            events = [await repo.outbox.get(bench.account, event.event_id) for event in (fresh, tried, parked)]
            assert [event.due_at - now for event in events if event is not None] == [0, pytest.approx(7_000, abs=1_500), PARKED - now]


async def test_what_was_accepted_in_the_future_before_a_restart_is_due_after_it(tmp_path):
    wall = Wall()
    async with open_bench(tmp_path, clock=wall) as bench:
        run = stored.run(bench.account, at=wall.ms + DAY)
        await bench.engine.runtime.repo.runs.insert(run)
        await ClockWatch(bench.engine.runtime).look()
        found = await bench.engine.runtime.repo.runs.get(bench.account, run.run_id)
        assert found is not None
        assert found.due_at == wall.ms


async def test_what_is_accepted_while_the_first_look_is_under_way_is_nothing_that_a_clock_did(tmp_path):
    """At thousands a second there is always something that came after the look had begun: it would be told as a fault at every start, and looked for again and again."""
    wall = Wall()
    async with open_bench(tmp_path, clock=wall) as bench:
        repo, now = bench.engine.runtime.repo, wall.ms
        run, event = stored.run(bench.account, at=now + 400), stored.event(bench.account, created_at=now + 400, due_at=now + 400)
        await repo.runs.insert(run)
        await repo.outbox.insert(event)
        with structlog.testing.capture_logs() as told:
            await ClockWatch(bench.engine.runtime).look()
        found, sent = await repo.runs.get(bench.account, run.run_id), await repo.outbox.get(bench.account, event.event_id)
        assert found is not None
        assert sent is not None
        assert (found.due_at - now, sent.due_at - now, told) == (400, 400, [])


async def test_a_key_of_a_time_that_has_not_come_is_remembered_no_longer_than_one_of_now(tmp_path):
    wall = Wall()
    async with open_bench(tmp_path, clock=wall) as bench:
        repo, now = bench.engine.runtime.repo, wall.ms
        for name, at in (("ahead", now + 3 * DAY), ("a little", now + 5_000), ("before", now - DAY)):
            key = IdempotencyKey(account_id=bench.account, key=name, digest=b"", run_id="", created_at=at)
            await repo.runs.insert(stored.run(bench.account), key)
        await ClockWatch(bench.engine.runtime).look()
        found = [await repo.runs.key(bench.account, name) for name in ("ahead", "a little", "before")]
        assert [key.created_at - now for key in found if key is not None] == [0, 5_000, -DAY]


async def test_a_budget_that_was_closed_by_a_clock_that_was_ahead_is_open_again(tmp_path):
    wall = Wall()
    async with open_bench(tmp_path, clock=wall) as bench:
        budgets, watch = bench.engine.runtime.budgets, ClockWatch(bench.engine.runtime)
        declared = (Budget.model_validate({"name": "burst", "limit": 1, "seconds": 60}, by_alias=True, by_name=False),)
        toll = budgets.toll(declared, {}, partner_id=9, place=1, operation_id=1)
        assert toll is not None
        wall.ms += DAY
        await watch.look()
        await budgets.take(toll, 1)
        budgets.refused(toll, 1, 5_000)
        budgets.refused(None, 2, 5_000)
        with pytest.raises(BudgetSpent):
            await budgets.take(toll, 0)
        wall.ms -= DAY
        with pytest.raises(BudgetSpent):
            await budgets.take(toll, 0)
        await watch.look()
        assert (await budgets.take(toll, 1)).at == wall.ms
        assert budgets.room()(None, 2) == 0
