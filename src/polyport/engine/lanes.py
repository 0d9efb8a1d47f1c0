"""Which lanes of queued runs may go on: those whose partner takes calls now. Of the others the next runs are told why they wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from polyport.engine.desk import Desk
from polyport.engine.gate import left_alone, used_up
from polyport.engine.operation import Program
from polyport.engine.record import held_column
from polyport.errors import PolyportError
from polyport.quotas import Toll
from polyport.store.base import StoreFault
from polyport.store.records import Lane, Run

TOLD: Final = 20  # runs of a lane that are told why they wait; the others are behind them
TOLD_MS: Final = 1_000  # a shorter wait is over before anybody has read of it
KNOWN_MOST: Final = 10_000
WENT_SECONDS: Final = 10.0

_log: Final = structlog.get_logger("polyport.lanes")


class LaneHolder:
    """Holds lanes back for the worker of a process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._runtime = desk.runtime
        self._runtime.budgets.on_open = self._runtime.queue.wake
        self._waits: dict[Lane, tuple[int, str]] = {}
        self._told: dict[Lane, int] = {}
        self._fetching: dict[int, asyncio.Task[None]] = {}
        self._absent: set[int] = set()
        self._went: dict[Lane, float] = {}
        self._tolled: dict[Lane, Toll] = {}

    def room(self, has_place: Callable[[Lane], bool]) -> Callable[[Lane], bool]:
        """What says, run by run, whether one more of a lane may be claimed now. ``has_place`` is asked first."""
        budgets, breakers = self._runtime.budgets, self._runtime.breakers
        wait_of = budgets.room()
        self._tolled = {}

        def held(lane: Lane, ms: int, error: PolyportError) -> bool:
            budgets.look_again(ms)
            self._waits[lane] = (ms, held_column(error, self._runtime.now_ms() + ms))
            return False

        def admits(lane: Lane) -> bool:
            wait = breakers.wait_of(lane.place)
            if wait:
                return held(lane, max(1, round(wait * 1000)), left_alone(wait))
            if not has_place(lane):
                return False
            program = self._desk.held_program(lane.operation_id)
            if program is None and self._fetches(lane):
                return False
            toll = self._toll(lane, program)
            ms = wait_of(toll, lane.place)
            if ms:
                return held(lane, ms, used_up(budgets.shortest(toll), ms))
            if toll is not None:
                self._tolled[lane] = toll
            return True

        return admits

    def claimed(self, run: Run, lane: Lane) -> None:
        """A run that was let through is worked on: what it will take of budgets is kept for it until it has it."""
        if (toll := self._tolled.get(lane)) is not None:
            self._runtime.budgets.claimed(run.run_id, toll)

    def ended(self, run: Run) -> None:
        """A run that was claimed is worked on no more."""
        self._runtime.budgets.unclaim(run.run_id)

    def went(self, lane: Lane) -> None:
        """A run of a lane has just succeeded: what its next ones need is here."""
        if len(self._went) >= KNOWN_MOST:
            self._went.clear()
        self._went[lane] = time.monotonic()

    def sends(self, lane: Lane) -> bool:
        """Whether the runs of a lane are sent as soon as they are claimed: they call the partner, ask no budget, and one of them has just succeeded here.

        A lane whose first run is still to come may have to read lists and renew a token first: to mark its runs before that would leave doubts for nothing.
        """
        program = self._desk.held_program(lane.operation_id)
        if program is None or not program.calls or self._toll(lane, program) is not None:
            return False
        return time.monotonic() - self._went.get(lane, -WENT_SECONDS) < WENT_SECONDS

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

    def _toll(self, lane: Lane, program: Program | None) -> Toll | None:
        """What a run of a lane takes of its partner's budgets; nothing where there is no such operation any more: the run will say so."""
        return self._desk.toll(program, lane.place) if program is not None else None

    def _fetches(self, lane: Lane) -> bool:
        """Whether the operation of a lane is still to be fetched; if so, that is begun, and the lane is looked at again when it is there."""
        if lane.operation_id in self._absent:
            self._absent.discard(lane.operation_id)
            return False
        if lane.operation_id not in self._fetching:
            self._fetching[lane.operation_id] = asyncio.create_task(self._fetch(lane))
        return True

    async def fetched(self) -> None:
        """Wait for the operations that are being fetched."""
        await asyncio.gather(*self._fetching.values())

    async def _fetch(self, lane: Lane) -> None:
        try:
            await self._desk.program(lane.account_id, lane.operation_id)
        except (PolyportError, StoreFault):
            self._absent.add(lane.operation_id)
        finally:
            self._fetching.pop(lane.operation_id, None)
            self._runtime.queue.wake()
