"""The sums beside the runs: written late and once, drawn into every grain, dropped in time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engines import CREATE, PUT, Bench, open_bench
from polyport.engine import sums
from polyport.engine.sums import KEPT, LATE_MS, RunSummer, spread
from polyport.store.base import Stale
from polyport.store.sums import ALL, GRAINS, Ends, Row

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bench(anyio_backend, tmp_path):
    async with open_bench(tmp_path) as found:
        yield found


class Later:
    """A clock that is ahead of the real one by what a test adds."""

    def __init__(self, bench: Bench) -> None:
        self._clock, self.ahead = bench.engine.runtime.clock, timedelta()
        object.__setattr__(bench.engine.runtime, "clock", self)
        bench.engine.runtime.__post_init__()  # its milliseconds are this clock's from now on

    def __call__(self):
        return self._clock() + self.ahead


LATE = timedelta(milliseconds=LATE_MS + 5)


def test_a_sum_is_drawn_into_each_grain_for_the_partner_and_for_all():
    ends = [Ends(1, 7, 60, "status", "failed", 2), Ends(1, 7, 120, "status", "failed", 3), Ends(1, 8, 960, "own", "5", 1)]
    found = spread(ends, 1_000)
    assert Row(1, 60, "status", 7, 60, "failed", 2) in found
    assert Row(1, 900, "status", 7, 0, "failed", 5) in found
    assert Row(1, 21_600, "status", ALL, 0, "failed", 5) in found
    assert Row(1, 900, "own", ALL, 900, "5", 1) in found
    assert {row.grain for row in spread(ends, 3 * 3_600)} == {900, 21_600}, "minutes of three hours ago are drawn nowhere"


async def test_what_ended_is_summed_late_and_once(bench: Bench):
    clock, summer, kept = Later(bench), RunSummer(bench.engine.runtime), bench.engine.runtime.repo.run_sums
    await bench.engine.run_sync(bench.ask(PUT))
    await summer.work()
    assert await kept.read(bench.account, 60, 0) == []
    clock.ahead = LATE
    await summer.work()
    await summer.work()
    assert [each.counts for each in await kept.read(bench.account, 60, 0) if each.what == "status"] == [{"succeeded": 1}]


async def test_a_process_that_comes_second_leaves_it_to_the_first(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    clock, repo = Later(bench), bench.engine.runtime.repo
    await bench.engine.run_sync(bench.ask(PUT))
    clock.ahead = LATE
    first, second = RunSummer(bench.engine.runtime), RunSummer(bench.engine.runtime)
    seen = await repo.run_sums.until()
    await first.work()
    with pytest.raises(Stale):
        await repo.run_sums.move(seen, seen + 1, [Row(bench.account, 60, "status", ALL, 0, "failed", 1)])
    done = await repo.run_sums.until()

    async def as_it_was() -> int:
        monkeypatch.undo()
        return seen

    monkeypatch.setattr(type(repo.run_sums), "until", lambda _self: as_it_was())  # what it read before the first one wrote
    await second.work()
    assert await repo.run_sums.until() == done
    assert not [each for each in await repo.run_sums.read(bench.account, 60, 0) if "failed" in each.counts]


async def test_the_most_that_waited_at_a_time_is_kept(bench: Bench):
    summer, kept = RunSummer(bench.engine.runtime), bench.engine.runtime.repo.run_sums
    await bench.engine.start(bench.ask(CREATE, mode="async"))
    await bench.engine.start(bench.ask(CREATE, mode="async"))
    await summer.work()
    for run in await bench.engine.runtime.queue.claim(bench.engine.runtime.owner, 1, bench.engine.runtime.now_ms()):
        await bench.engine.run_once(run)
    await summer.work()
    assert [each.counts for each in await kept.read(bench.account, 21_600, 0) if each.what == "waiting"] == [{"": 2}]
    assert (await kept.standing(bench.account, 10, bench.engine.runtime.now_ms()))["queued"] == 1


async def test_sums_go_in_time_a_few_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sums, "STEP", 3)
    clock, summer, kept = Later(bench), RunSummer(bench.engine.runtime), bench.engine.runtime.repo.run_sums
    now = bench.engine.runtime.now_ms() // 1000
    rows = [
        Row(bench.account, grain, "status", ALL, now // grain * grain - grain * back, "failed", 1) for grain in GRAINS for back in range(7)
    ]
    await kept.add(rows)
    clock.ahead = timedelta(hours=3)
    await summer.work()
    assert [len(await kept.read(bench.account, grain, 0)) for grain in GRAINS] == [0, 7, 7]
    clock.ahead = timedelta(days=40)
    await summer.work()
    assert [len(await kept.read(bench.account, grain, 0)) for grain in GRAINS] == [0, 0, 0]
    assert KEPT.keys() == set(GRAINS)


async def test_after_a_long_time_off_only_what_can_still_be_drawn_is_summed(bench: Bench):
    clock, summer, kept = Later(bench), RunSummer(bench.engine.runtime), bench.engine.runtime.repo.run_sums
    await bench.engine.run_sync(bench.ask(PUT))
    clock.ahead = timedelta(days=40)
    await bench.engine.run_sync(bench.ask(PUT))
    clock.ahead += LATE
    await summer.work()
    assert sum(sum(each.counts.values()) for each in await kept.read(bench.account, 21_600, 0) if each.what == "status") == 1


async def test_a_clock_that_was_ahead_lets_everything_since_be_summed_anew(bench: Bench):
    clock, summer, kept = Later(bench), RunSummer(bench.engine.runtime), bench.engine.runtime.repo.run_sums
    clock.ahead = LATE
    await bench.engine.run_sync(bench.ask(PUT))
    clock.ahead = 2 * LATE
    await summer.work()
    clock.ahead = timedelta(days=3)
    await bench.engine.run_sync(bench.ask(PUT))
    clock.ahead += LATE
    await summer.work()
    clock.ahead = 2 * LATE
    await summer.work()
    await summer.work()
    assert sum(sum(each.counts.values()) for each in await kept.read(bench.account, 21_600, 0) if each.what == "status") == 1
