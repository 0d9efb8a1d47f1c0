"""Sums over runs that ended, kept for pictures: written some seconds after the runs' ends, so that the runs themselves pay nothing for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from polyport.runtime import Runtime
from polyport.store.base import Stale
from polyport.store.sums import ALL, GRAINS, Ends, Row

SUM_SECONDS: Final = 5.0
LATE_MS: Final = 15_000  # an end is written after its moment: the store waits for ten seconds at most
STRETCH_MS: Final = 60_000
STEP: Final = 1_000
TIDY_MS: Final = 60_000
# For how long the slots of each grain are kept, in seconds: a little longer than the pictures that they make.
KEPT: Final = dict(zip(GRAINS, (2 * 3_600, 26 * 3_600, 32 * 86_400), strict=True))
REACH_MS: Final = 32 * 86_400_000


class RunSummer:
    """Adds what ended to the sums, for all processes: the one that comes first does it, the others see that it was done. ``stretch`` is how much time is summed at once, in milliseconds."""

    def __init__(self, runtime: Runtime, stretch: int = STRETCH_MS) -> None:
        self._runtime = runtime
        self._stretch = stretch
        self._sums = runtime.repo.run_sums
        self._tidied = 0

    async def work(self) -> None:
        """Sum what ended since the last time, note what waits, drop what is too old."""
        now = self._runtime.now_ms()
        try:
            await self._sum(now)
        except Stale:
            return  # another process is at it
        await self._note_waiting(now)
        if now - self._tidied >= TIDY_MS or now < self._tidied:
            self._tidied = now
            for grain, seconds in KEPT.items():
                while await self._sums.forget(grain, now // 1000 - seconds, STEP) == STEP:
                    pass

    async def _sum(self, now: int) -> None:
        seen = await self._sums.until()
        if seen > now:  # the clock was ahead: what it told of times to come is summed anew when they are there
            await self._sums.begin_again(seen, _slot(now, GRAINS[-1]))
            return
        end = now - LATE_MS
        while True:
            first = await self._sums.next_end(max(seen, now - REACH_MS))
            if first is None or first >= end:
                return
            until = min(first + self._stretch, end)
            found = await self._sums.of_ends(first, until)
            await self._sums.move(seen, until, spread(found, now // 1000))
            seen = until

    async def _note_waiting(self, now: int) -> None:
        waiting: Counter[tuple[int, int]] = Counter()
        for account_id, partner_id, count in await self._sums.waiting():
            waiting[account_id, partner_id] += count
            waiting[account_id, ALL] += count
        rows = [
            Row(account_id, grain, "waiting", partner_id, _slot(now, grain), "", count)
            for (account_id, partner_id), count in waiting.items()
            for grain in GRAINS
        ]
        if rows:
            await self._sums.add(rows)


def spread(found: Iterable[Ends], now: int) -> list[Row]:
    """Sums by minute as what they add to the slots of all grains that are still kept, for the partner and for all partners."""
    added: Counter[tuple[int, int, str, int, int, str]] = Counter()
    for each in found:
        for grain in GRAINS:
            slot = each.slot // grain * grain
            if slot < now - KEPT[grain]:  # after a time off: it would be dropped at once
                continue
            for partner_id in (ALL, each.partner_id):
                added[each.account_id, grain, each.what, partner_id, slot, each.key] += each.n
    return [Row(*where, n) for where, n in added.items()]


def _slot(moment: int, grain: int) -> int:
    return moment // 1000 // grain * grain
