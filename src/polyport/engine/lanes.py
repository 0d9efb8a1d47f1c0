"""Which lanes of queued runs may go on: those whose partner takes calls now. Of the others the next runs are told why they wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from polyport.engine.desk import Desk
from polyport.engine.gate import left_alone, used_up
from polyport.engine.record import held_column
from polyport.errors import NotFound
from polyport.quotas import Toll
from polyport.store.base import StoreFault
from polyport.store.records import Lane

TOLD: Final = 20  # runs of a lane that are told why they wait; the others are behind them
TOLD_MS: Final = 1_000  # a shorter wait is over before anybody has read of it
KNOWN_MOST: Final = 10_000

_log: Final = structlog.get_logger("polyport.lanes")


class LaneHolder:
    """Holds lanes back for the worker of a process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._runtime = desk.runtime
        self._runtime.budgets.on_open = self._runtime.queue.wake
        self._waits: dict[Lane, tuple[int, str]] = {}
        self._told: dict[Lane, int] = {}

    def room(self, has_place: Callable[[Lane], bool]) -> Callable[[Lane], bool]:
        """What says, run by run, whether one more of a lane may be claimed now. ``has_place`` is asked first."""
        budgets, breakers = self._runtime.budgets, self._runtime.breakers
        is_open = budgets.room()

        def admits(lane: Lane) -> bool:
            wait = breakers.wait_of(lane.place)
            if wait:
                ms = max(1, round(wait * 1000))
                budgets.look_again(ms)
                self._waits[lane] = (ms, held_column(left_alone(wait), self._runtime.now_ms() + ms))
                return False
            if not has_place(lane):
                return False
            toll = self._toll(lane)
            if is_open(toll, lane.place):
                return True
            until = budgets.opens_at(toll, lane.place)
            ms = until - self._runtime.now_ms()
            self._waits[lane] = (ms, held_column(used_up(budgets.shortest(toll), ms), until))
            return False

        return admits

    async def explain(self) -> None:
        """Tell the next runs of lanes that were held back why they wait, where that takes a while."""
        waits, self._waits = self._waits, {}
        now = self._runtime.now_ms()
        for lane, (wait, error) in waits.items():
            if wait < TOLD_MS or self._told.get(lane, 0) >= now + wait - TOLD_MS:
                continue
            if len(self._told) >= KNOWN_MOST:
                self._told.clear()
            self._told[lane] = now + wait
            try:
                await self._runtime.repo.runs.hold(lane, error=error, limit=TOLD, now=now)
            except StoreFault as fault:
                _log.warning("runs could not be told why they wait", reason=str(fault))
                return

    def _toll(self, lane: Lane) -> Toll | None:
        try:
            return self._desk.toll(self._desk.program(lane.operation_id), lane.place)
        except NotFound:  # the run will say so
            return None
