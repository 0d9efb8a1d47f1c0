"""The budgets of processes that share one ledger: together they keep to the limit, and what one of them leaves behind is found."""

import asyncio
import time

import pytest

from polyport.budgets import LATE_MS, Budgets, BudgetSpent
from polyport.manifest.budgets import Budget
from polyport.net.message import Reply
from polyport.store.base import StoreUnavailable
from polyport.store.budgets import BudgetUses
from polyport.store.sqlite import SqliteDatabase

pytestmark = pytest.mark.anyio


@pytest.fixture
async def uses(anyio_backend, tmp_path):
    database = await SqliteDatabase.open(tmp_path / "polyport.db")
    yield BudgetUses(database)
    await database.close()


class Clock:
    now = 10**12

    def __call__(self):
        return self.now


def wall():
    return time.time_ns() // 1_000_000


def process(uses, number=1, *, now_ms=wall, alive=True):
    return Budgets(uses, owner=f"{number}-{number:012x}", now_ms=now_ms, is_alive=lambda _owner: alive)


def toll(budgets, place=5, costs=None, **keys):
    told = Budget.model_validate({"name": "burst", "limit": 10, "seconds": 1} | keys, by_alias=True, by_name=False)
    return budgets.toll((told,), costs or {}, partner_id=9, place=place, operation_id=77)


async def test_processes_together_take_no_more_than_the_limit(uses):
    processes = [process(uses, number) for number in range(1, 5)]

    async def ask(budgets):
        try:
            await budgets.take(toll(budgets, seconds=3_600, limit=25), 0.0)
        except BudgetSpent:
            return 0
        return 1

    assert sum(await asyncio.gather(*(ask(budgets) for _call in range(30) for budgets in processes))) == 25
    for budgets in processes:
        await budgets.close()


async def test_who_waits_is_served_in_order_once_something_comes_back(uses):
    budgets, served = process(uses), []

    async def ask(number):
        await budgets.take(toll(budgets, limit=3), 30.0)
        served.append(number)

    await asyncio.gather(*(ask(number) for number in range(8)))
    assert served == list(range(8))
    await budgets.close()


async def test_connections_that_share_what_is_short_take_turns(uses):
    budgets, served = process(uses), []

    async def ask(place):
        await budgets.take(toll(budgets, place, limit=4, per="app"), 30.0)
        served.append(place)

    await asyncio.gather(*(ask(1) for _call in range(10)), *(ask(2) for _call in range(3)))
    assert served[:9].count(2) >= 2
    await budgets.close()


async def test_places_are_given_back_by_who_gives_up_and_by_who_dies(uses):
    alive, dead = process(uses, 1), process(uses, 2)
    few = {"limit": None, "seconds": None, "concurrency": 2}
    await dead.take(toll(dead, **few), 30.0)
    await dead.close()
    held = await alive.take(toll(alive, **few), 30.0)
    waiting = asyncio.create_task(alive.take(toll(alive, **few), 30.0))
    await asyncio.sleep(0.3)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    alive.give_back(held)
    await asyncio.sleep(0.05)
    alive._is_alive = lambda owner: owner.startswith("1-")
    await alive.tidy()
    for _place in range(2):
        await alive.take(toll(alive, **few), 30.0)
    with pytest.raises(BudgetSpent):
        await alive.take(toll(alive, **few), 0.05)
    await alive.close()


async def test_a_call_that_is_given_up_at_the_very_moment_it_is_let_through_leaves_its_place(uses):
    budgets = process(uses)
    few = toll(budgets, limit=None, seconds=None, concurrency=1)
    task = asyncio.create_task(budgets.take(few, 30.0))
    await asyncio.sleep(0)
    budgets._granted(few, 1, {few.keys[0]: 0}, wall())
    task.cancel()
    assert budgets._line(few.quotas[0]).held == 1
    await asyncio.gather(task, return_exceptions=True)
    assert budgets._line(few.quotas[0]).held == 0
    await budgets.close()


async def test_permits_that_nobody_waits_for_any_more_are_given_back(uses):
    budgets = process(uses)
    few = toll(budgets, limit=None, seconds=None, concurrency=1)
    task = asyncio.create_task(budgets.take(few, 30.0))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await budgets.take(few, 30.0)
    await budgets.close()


async def test_a_permit_counts_from_the_moment_at_which_its_request_goes(uses):
    clock = Clock()
    budgets = process(uses, now_ms=clock)
    hour = toll(budgets, limit=1, seconds=3_600)
    taken = await budgets.take(hour, 0.0)
    clock.now += LATE_MS
    assert await budgets.renewed(taken) is taken
    clock.now += 1_000_000
    permit = await budgets.renewed(taken)
    assert permit.at == clock.now
    clock.now += 3_000_000
    with pytest.raises(BudgetSpent) as spent:
        await process(uses, 2, now_ms=clock).take(hour, 0.0)
    assert 600_000 < spent.value.wait_ms < 800_000
    await budgets.close()


async def test_a_permit_that_may_count_no_more_is_taken_anew_and_gives_its_places_back(uses):
    clock = Clock()
    budgets = process(uses, now_ms=clock)
    second = toll(budgets, limit=1, seconds=1, concurrency=1)
    permit = await budgets.take(second, 0.0)
    clock.now += 1_100
    assert await budgets.renewed(permit) is None
    await asyncio.gather(*budgets._tasks)
    clock.now += 1_000
    assert (await budgets.take(second, 0.0)).at == clock.now
    await budgets.close()


async def test_a_permit_whose_new_moment_cannot_be_written_down_is_taken_anew(uses, monkeypatch):
    clock = Clock()
    budgets = process(uses, now_ms=clock)
    hour = toll(budgets, limit=2, seconds=3_600)
    permit = await budgets.take(hour, 0.0)
    clock.now += 1_000

    async def broken(_uses, _moves):  # a store that fails in between: it heals before anybody asks again
        raise StoreUnavailable("told to fail")

    monkeypatch.setattr(BudgetUses, "move", broken)
    assert await budgets.renewed(permit) is None
    await budgets.close()


async def test_a_request_that_leaves_late_counts_from_then_on(uses):
    clock = Clock()
    budgets = process(uses, now_ms=clock)
    hour = toll(budgets, limit=1, seconds=3_600)
    permit = await budgets.take(hour, 0.0)
    clock.now += 1_000_000
    budgets.leaves(permit)
    await asyncio.gather(*budgets._tasks)
    clock.now += 3_000_000
    with pytest.raises(BudgetSpent) as spent:
        await budgets.take(hour, 0.0)
    assert 600_000 < spent.value.wait_ms < 800_000
    assert clock.now - permit.at > LATE_MS
    await budgets.close()


async def test_what_one_process_is_told_holds_for_the_others(uses):
    clock = Clock()
    one, two = process(uses, 1, now_ms=clock), process(uses, 2, now_ms=clock)
    told = {"limit": 100, "seconds": 3_600, "headers": {"remaining": "X-Left", "reset": "X-Reset"}}
    mine, theirs = toll(one, **told), toll(two, **told)
    await one.take(mine, 0.0)
    one.answered(mine, Reply(status=200))
    one.answered(mine, Reply(status=200, headers=(("X-Left", "500"),)))
    one.answered(mine, Reply(status=200, headers=(("X-Left", "2"), ("X-Reset", "60"))))
    one.answered(mine, Reply(status=200, headers=(("X-Left", "1"), ("X-Reset", "60"))))
    await asyncio.gather(*one._tasks)
    for _call in range(2):
        await two.take(theirs, 0.0)
    with pytest.raises(BudgetSpent):
        await two.take(theirs, 0.0)
    clock.now += 61_000
    await two.take(theirs, 0.0)
    two.refused(theirs, 9, 30_000)
    await asyncio.gather(*two._tasks)
    with pytest.raises(BudgetSpent) as spent:
        await one.take(mine, 0.0)
    assert spent.value.wait_ms > 20_000
    await one.close()
    await two.close()


async def test_where_nothing_is_declared_a_process_remembers_who_asked_to_wait(uses):
    clock = Clock()
    budgets = process(uses, now_ms=clock)
    budgets.refused(None, 5, 60_000)
    assert budgets.room()(None, 5) == 60_000
    assert budgets.room()(None, 6) == 0
    clock.now += 60_000
    assert budgets.room()(None, 5) == 0
    await budgets.tidy()
    assert not budgets._paused
    await budgets.close()


@pytest.mark.parametrize(("seconds", "hours"), [(None, 1), (1, 1), (86_400, 24)])
async def test_what_one_call_is_told_closes_others_out_for_an_hour_or_a_window_at_most(uses, seconds, hours):
    clock = Clock()
    budgets = process(uses, now_ms=clock)
    one = toll(budgets, limit=5, seconds=seconds) if seconds else None
    budgets.refused(one, 5, 7 * 24 * 3_600_000)
    assert hours * 3_600_000 <= budgets.room()(one, 5) <= hours * 3_700_000
    await budgets.close()


async def test_a_lane_may_go_on_as_far_as_something_is_left(uses):
    clock = Clock()
    budgets = process(uses, now_ms=clock)
    hour = toll(budgets, limit=5, seconds=3_600)
    assert budgets.shortest(None) is None
    await budgets.take(hour, 0.0)
    wait_of = budgets.room()
    assert [bool(wait_of(hour, 5)) for _run in range(5)] == [False] * 4 + [True]
    assert budgets.shortest(hour) == "burst"
    opened = asyncio.Event()
    budgets.on_open = opened.set
    budgets.look_again(10)
    budgets.look_again(5)
    budgets.look_again(50)
    await asyncio.wait_for(opened.wait(), 60)
    await budgets.close()


async def test_what_claimed_runs_will_ask_for_is_not_for_their_next_ones_and_leaves_a_turn_to_others(uses):
    clock = Clock()
    budgets = process(uses, now_ms=clock)
    mine, theirs = (toll(budgets, place, limit=3, seconds=60, per="app") for place in (1, 2))
    for number in range(2):
        budgets.claimed(f"run-{number}", mine)
    wait_of = budgets.room()
    assert wait_of(mine, 1) == 0
    assert 0 < wait_of(mine, 1) <= 5  # all three are spoken for: looked at again when they have asked
    assert wait_of(theirs, 2) == 0
    assert wait_of(theirs, 2) > 0
    await budgets.take(mine, 0.0)
    budgets.unclaim("run-0")
    assert [budgets.room()(mine, 1), budgets.room()(theirs, 2)] == [0, 0]
    await budgets.take(theirs, 0.0)
    assert budgets.room()(mine, 1) >= 60_000  # one is left, and another run was claimed for it
    assert budgets.room()(theirs, 2) == 0
    clock.now += 1_001
    assert budgets.room()(mine, 1) == 0  # it asked for nothing for a second: it holds nobody up
    budgets.unclaim("run-1")
    assert not budgets._claimed
    await budgets.close()


async def test_tolls_that_are_kept_are_bounded(uses, monkeypatch):
    monkeypatch.setattr("polyport.budgets.TOLLS_MOST", 3)
    budgets = process(uses)
    for place in range(10):
        assert toll(budgets, place) is toll(budgets, place)
        budgets.refused(None, place, 1_000)
    assert len(budgets._tolls) == 3
    assert budgets.toll((), {}, partner_id=9, place=1, operation_id=1) is None
    assert toll(budgets, 1, onlyCosts=True, name="other") is toll(budgets, 1, onlyCosts=True, name="other")
    await budgets.close()


async def test_a_ledger_that_fails_for_a_while_is_waited_for(uses):
    class Failing:
        times = 3

        def __getattr__(self, name):
            async def work(*given, **named):
                if name in {"take", "counted", "give_back", "tell"} and self.times:
                    self.times -= 1
                    raise StoreUnavailable("told to fail")
                return await getattr(uses, name)(*given, **named)

            return work

    budgets = process(Failing())
    few = toll(budgets, limit=None, seconds=None, concurrency=1)
    permit = await budgets.take(few, 30.0)
    assert budgets._uses.times == 0
    budgets._uses.times = 1
    budgets.give_back(permit)
    await budgets.take(few, 30.0)
    assert budgets._uses.times == 0
    budgets._uses.times = 1
    told = toll(budgets, 8, limit=100, headers={"remaining": "X-Left"})
    budgets.answered(told, Reply(status=200, headers=(("X-Left", "0"),)))
    await asyncio.sleep(0.05)
    await budgets.close()
