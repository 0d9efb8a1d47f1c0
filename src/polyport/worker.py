"""The worker of a process: claims due runs and lets the engine run them; gives back what dead processes held; keeps memory in step with other processes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from polyport.bulkheads import Bulkheads
from polyport.engine.lanes import LaneHolder
from polyport.engine.run import Engine
from polyport.queue.courtesy import Courtesy
from polyport.store.base import Stale, StoreFault
from polyport.store.records import Lane, Run, RunStatus

RECOVER_SECONDS: Final = 2.0
BUDGETS_SECONDS: Final = 5.0
TIDY_SECONDS: Final = 60.0
LINKS_KEPT_MS: Final = 90 * 24 * 3_600_000  # for that long after its end a link can be read
LEASES_KEPT_MS: Final = 24 * 3_600_000
SIGN_INS_KEPT_MS: Final = 3_600_000  # for that long a customer who comes back too late is told so
EPOCH_SECONDS: Final = 0.25
FAULT_SECONDS: Final = 1.0

_log: Final = structlog.get_logger("polyport.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    """A piece of work that a process does again and again: ``work`` is called ``seconds`` after it ended the last time."""

    name: str
    seconds: float
    work: Callable[[], Awaitable[None]]


class Worker:
    """Works on queued runs and ``chores`` until it is stopped; ``stop`` lets the runs under way end and cuts the chores."""

    def __init__(self, engine: Engine, forget: Callable[[], None], chores: Sequence[Chore] = ()) -> None:
        self._engine = engine
        self._runtime = engine.runtime
        self._forget = forget
        self._chores = (
            Chore(name="recover", seconds=RECOVER_SECONDS, work=self._recover),
            Chore(name="tidy", seconds=TIDY_SECONDS, work=self._tidy),
            Chore(name="budgets", seconds=BUDGETS_SECONDS, work=self._runtime.budgets.tidy),
            *chores,
        )
        runs = self._runtime.settings.runs
        self._bulkheads = Bulkheads(runs.concurrency, partner=runs.partner_share, connection=runs.connection_share)
        self._lanes = LaneHolder(engine.desk)
        self._courtesy = Courtesy(lambda: engine.intake.begun)
        self._running: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._free = asyncio.Event()
        self._retired = False

    async def start(self) -> None:
        """Give back what dead processes held, then begin."""
        await self._runtime.queue.recover(self._runtime.now_ms())
        self._loops = [
            asyncio.create_task(self._claim_loop(), name="polyport-claim"),
            asyncio.create_task(self._watch_epoch(), name="polyport-epoch"),
            *(asyncio.create_task(self._every(chore), name=f"polyport-{chore.name}") for chore in self._chores),
        ]

    def retire(self) -> None:
        """Claim nothing more; what is under way goes on."""
        self._retired = True

    async def stop(self, grace: float) -> None:
        """Claim nothing more; wait up to ``grace`` seconds for the runs under way."""
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _claim_loop(self) -> None:
        while not self._retired:
            try:
                await self._claim()
            except StoreFault as fault:
                _log.warning("runs cannot be claimed", reason=str(fault))
                await asyncio.sleep(FAULT_SECONDS)
            except Exception:  # noqa: BLE001  a defect must not end the claiming: queued runs would wait until somebody starts the server again
                _log.exception("runs cannot be claimed")
                await asyncio.sleep(FAULT_SECONDS)

    async def _claim(self) -> None:
        """Take what is due and there is room for, or wait until there is."""
        limit = self._runtime.settings.runs.concurrency
        room = limit - len(self._running)
        if room <= limit // 4 and self._running:
            self._free.clear()
            await self._free.wait()
            return
        room = await self._courtesy.admit(room)
        admits = self._lanes.room(self._bulkheads.room())
        runs = await self._runtime.queue.claim(self._runtime.owner, room, self._runtime.now_ms(), admits, self._lanes.sends)
        for run in runs:
            lane = Lane.of(run)
            self._bulkheads.put(lane)
            self._lanes.claimed(run, lane)
            task = asyncio.create_task(self._work(run))
            self._running.add(task)
            task.add_done_callback(partial(self._ended, run, lane))
        await self._lanes.explain()
        if not runs:
            await self._runtime.queue.wait(1.0)

    def _ended(self, run: Run, lane: Lane, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._lanes.ended(run)
        if self._bulkheads.leave(lane):
            self._runtime.queue.wake()
        self._free.set()

    async def _work(self, run: Run) -> None:
        try:
            done = await self._engine.run_once(run)
            if done.run.status is RunStatus.SUCCEEDED:
                self._lanes.went(Lane.of(run))
        except Stale:
            _log.warning("a run was settled by another process", run=run.run_id)
        except Exception:  # noqa: BLE001  a defect must not end the worker; it is logged, and the run is settled when the process ends
            _log.exception("a run could not be worked on", run=run.run_id)

    async def _recover(self) -> None:
        count = await self._runtime.queue.recover(self._runtime.now_ms())
        if count:
            _log.info("runs of dead processes were given back or settled", count=count)

    async def _tidy(self) -> None:
        now = self._runtime.now_ms()
        await self._runtime.repo.tokens.tidy(now)
        await self._runtime.repo.links.tidy(now - LINKS_KEPT_MS)
        await self._runtime.repo.sign_ins.tidy(now - SIGN_INS_KEPT_MS)
        await self._runtime.repo.leases.tidy(now - LEASES_KEPT_MS)

    async def _every(self, chore: Chore) -> None:
        while True:
            await asyncio.sleep(chore.seconds)
            try:
                await chore.work()
            except StoreFault as fault:
                _log.warning("the store cannot be used now", chore=chore.name, reason=str(fault))
            except Exception:  # noqa: BLE001  what failed once (no more open files) may work the next time; the loop must not end
                _log.exception("a repeated piece of work failed", chore=chore.name)

    async def _watch_epoch(self) -> None:
        """Drop what is kept in memory soon after another process changed it."""
        seen: int | None = None
        while True:
            with contextlib.suppress(StoreFault):
                epoch = await self._runtime.repo.tokens.epoch()
                if seen is not None and epoch != seen:
                    self._forget()
                seen = epoch
            await asyncio.sleep(EPOCH_SECONDS)
