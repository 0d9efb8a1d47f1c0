"""The record of runs: how each transition is written, and what is read of it. Each is one compare-and-swap on the status and the owner."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from msgspec.structs import replace

from polyport.engine.desk import Desk
from polyport.engine.operation import Outcome
from polyport.engine.outcome import too_late
from polyport.engine.record import Done, decode, encode, error_column, held_column, upstream_ms
from polyport.errors import Conflict, Details, NotFound, PolyportError, RunCancelled
from polyport.store.base import Stale, StoreUnavailable
from polyport.store.records import FINAL, FIRST_LOOK_MS, Run, RunProof, RunStatus

EXPIRE_STEP: Final = 64  # runs that are ended together: other writes wait for their commit
_log: Final = structlog.get_logger("polyport.runs")


class Ledger:
    """Writes and reads runs for one process. ``stopping`` are the ids of runs of this process that were asked to stop."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._runtime = desk.runtime
        self.stopping: set[str] = set()

    async def mark_sending(self, run: Run) -> Run:
        """Before a request leaves that may not be repeated; the run with its mark. Raises ``RunCancelled``, or ``Stale`` when the run is another's."""
        try:
            await self._durably(run, self._runtime.repo.runs.mark_sending)
        except Stale:
            await self._check_stop(run)
            raise
        return replace(run, sending=True)

    async def wait(self, run: Run, attempts: list[dict[str, Any]], error: PolyportError, wait_ms: int) -> Done:
        """Let a run wait for another attempt. Raises ``RunCancelled`` when it was asked to stop, or ``Stale``."""
        box = await self._desk.box(run.account_id)
        waiting = replace(
            run,
            status=RunStatus.WAITING,
            due_at=self._runtime.now_ms() + wait_ms,
            waited_ms=run.waited_ms + wait_ms,
            error=error_column(error),
            upstream_ms=upstream_ms(attempts),
            sealed_attempts=box.seal(encode(attempts), f"run/{run.run_id}/attempts"),
        )
        try:
            await self._durably(waiting, self._runtime.repo.runs.reschedule)
        except Stale:
            await self._check_stop(run)
            raise
        self._runtime.departures.forget(run.run_id)
        self._runtime.queue.came_back(waiting)
        return Done(run=waiting, error=error)

    async def hold(self, run: Run, error: PolyportError, wait_ms: int) -> Done:
        """Put a run back of which nothing could be sent: it keeps its place, and the attempt does not count. Raises what ``wait`` raises."""
        now = self._runtime.now_ms()
        held = replace(
            run,
            status=RunStatus.WAITING,
            attempts=run.attempts - 1,
            queued_ms=max(0, run.queued_ms - max(0, now - run.due_at)),
            error=held_column(error, now + wait_ms),
        )
        try:
            await self._durably(held, self._runtime.repo.runs.reschedule)
        except Stale:
            await self._check_stop(run)
            raise
        self._runtime.queue.came_back(held)
        return Done(run=held, error=error)

    async def finish(  # noqa: PLR0913  the facts of one end, nearly all by keyword
        self,
        run: Run,
        status: RunStatus,
        attempts: list[dict[str, Any]],
        *,
        outcome: Outcome | None = None,
        error: PolyportError | None = None,
        raw: bool = False,
        proof: RunProof | None = None,
        frees: bool = False,
    ) -> Done:
        """Write the end of a run; ``proof`` also notes that its connection works, ``frees`` lets its idempotency key go. Raises ``Stale`` when it is another process's."""
        box = self._runtime.boxes.opened(run.account_id) or await self._desk.box(run.account_id)
        held: dict[str, Any] = {}
        if outcome is not None:
            held["result"] = outcome.result
            if raw:
                held["raw"] = outcome.raw
        if error is not None:
            held["error"] = error.as_record()
        now = self._runtime.now_ms()
        finished = replace(
            run,
            status=status,
            sending=False,
            finished_at=now,
            probe_at=now + FIRST_LOOK_MS if status is RunStatus.UNCERTAIN and run.reconciles else None,
            error=error_column(error) if error is not None else None,
            upstream_ms=upstream_ms(attempts),
            sealed_result=box.seal(encode(held), f"run/{run.run_id}/result"),
            sealed_attempts=box.seal(encode(attempts), f"run/{run.run_id}/attempts"),
        )
        events, repo = self._runtime.events, self._runtime.repo.runs

        async def end(run: Run) -> None:
            told = await events.run(run, result=held.get("result"), error=error)
            await repo.finish(run, proof, told=told, frees=frees)
            if told:
                events.announce()

        try:  # as in ``_durably``, without the coroutines that most runs do not need: this is the end of every run
            if events.silent(finished):
                await repo.finish(finished, proof, frees=frees)
            else:
                await end(finished)
        except StoreUnavailable as fault:
            await self._again(finished, end, fault)
        self._runtime.departures.forget(run.run_id)
        self.stopping.discard(run.run_id)
        return Done(run=finished, result=held.get("result"), raw=held.get("raw"), error=error)

    async def look_later(self, run: Run, entry: dict[str, Any], at: int | None) -> None:
        """Note a look at the partner that found nothing yet. Raises ``Stale``."""
        box = await self._desk.box(run.account_id)
        attempts = [*await self.attempts(run), entry]
        later = replace(run, probe_at=at, sealed_attempts=box.seal(encode(attempts), f"run/{run.run_id}/attempts"))
        await self._runtime.repo.runs.settle_doubt(run, later)

    async def settle(
        self,
        run: Run,
        status: RunStatus,
        entry: dict[str, Any] | None,
        *,
        found: bool,
        result: Any = None,
        error: PolyportError | None = None,
    ) -> None:
        """Write what the last look at the partner says of a run in doubt; ``entry`` is that look. A status that changes is told like an end. Raises ``Stale``."""
        box = await self._desk.box(run.account_id)
        changed = status is not RunStatus.UNCERTAIN
        held = {"result": result} if error is None else {"error": error.as_record()}
        settled = replace(
            run,
            status=status,
            probe_at=None,
            settled=json.dumps({"how": "probe", "found": found, "at": self._runtime.now_ms() // 1000}),
            error=error_column(error) if changed else run.error,
            sealed_result=box.seal(encode(held), f"run/{run.run_id}/result") if changed else run.sealed_result,
        )
        if entry is not None:
            attempts = [*await self.attempts(run), entry]
            settled = replace(settled, sealed_attempts=box.seal(encode(attempts), f"run/{run.run_id}/attempts"))
        told = await self._runtime.events.run(settled, result=result, error=error) if changed else ()
        await self._runtime.repo.runs.settle_doubt(run, settled, told=told)
        if told:
            self._runtime.events.announce()

    async def cancel(self, account_id: int, run_id: str) -> Run:
        """End a run that is not under way, ask one that is to stop; the run as it stands then. Raises ``NotFound``, or ``Conflict`` for one that ended."""
        repo = self._runtime.repo.runs
        while True:
            run = await repo.get(account_id, run_id)
            if run is None:
                raise NotFound("There is no run with this id.")
            if run.status in FINAL:
                raise Conflict(f"The run has ended: its status is {run.status}. What it did cannot be taken back here.")
            now = self._runtime.now_ms()
            try:
                if run.status is RunStatus.RUNNING:
                    await repo.ask_to_stop(run, now)
                    if run.owner == self._runtime.owner:
                        self.stopping.add(run_id)
                    return replace(run, cancel_at=run.cancel_at or now)
                return await self._cancel(run, now)
            except Stale:  # it went on meanwhile: look again
                continue

    async def _cancel(self, run: Run, now: int) -> Run:
        error = cancelled(sent=run.attempts > 0)
        record = json.dumps(error.as_record())  # our own words alone: they may stand in the clear
        ended = replace(run, status=RunStatus.CANCELLED, cancel_at=now, finished_at=now, error=record)
        told = await self._runtime.events.run(ended, error=error)
        await self._runtime.repo.runs.cancel(run, error=record, now=now, told=told)
        if told:
            self._runtime.events.announce()
        return ended

    async def expire(self) -> None:
        """End the runs whose time was over while they waited: no worker need come to them, what they wait for may take longer."""
        while runs := await self._runtime.repo.runs.past_deadline(self._runtime.now_ms(), EXPIRE_STEP):
            ended = await asyncio.gather(*map(self._expire, runs), return_exceptions=True)
            if faults := [fault for fault in ended if fault is not None and not isinstance(fault, Stale)]:
                raise faults[0]
            _log.info("runs ended because their time was over while they waited", count=ended.count(None))

    async def _expire(self, run: Run) -> None:
        error = too_late(run.attempts + 1)
        record = json.dumps(error.as_record())  # our own words alone: they may stand in the clear
        now = self._runtime.now_ms()
        told = await self._runtime.events.run(replace(run, status=RunStatus.FAILED, finished_at=now, error=record), error=error)
        await self._runtime.repo.runs.expire(run, error=record, now=now, told=told)
        if told:
            self._runtime.events.announce()

    async def look_for_stops(self) -> None:
        """Learn which runs of this process were asked to stop through another one."""
        before = set(self.stopping)
        found = await self._runtime.repo.runs.to_stop(self._runtime.owner)
        self.stopping -= before - found  # those have ended
        self.stopping |= found

    async def _check_stop(self, run: Run) -> None:
        """Raise ``RunCancelled`` if a run is still this process's and was asked to stop."""
        found = await self._runtime.repo.runs.get(run.account_id, run.run_id)
        if found is not None and found.owner == run.owner and found.cancel_at is not None:
            raise RunCancelled

    async def _durably(self, run: Run, write: Callable[[Run], Awaitable[None]]) -> None:
        """Write a transition, however long the store cannot: what happened at the partner must not be forgotten while this process lives."""
        try:
            await write(run)
        except StoreUnavailable as fault:
            await self._again(run, write, fault)

    async def _again(self, run: Run, write: Callable[[Run], Awaitable[None]], fault: StoreUnavailable) -> None:
        """Go on trying to write a transition, after a fault."""
        wait = 0.05
        while True:
            _log.warning("the store cannot be written, trying again", run=run.run_id, reason=str(fault))
            await asyncio.sleep(wait)
            wait = min(2.0, wait * 2)
            try:
                return await write(run)
            except StoreUnavailable as again:
                fault = again

    async def read(self, account_id: int, run_id: str) -> Done | None:
        """A stored run with its payloads in the clear."""
        run = await self._runtime.repo.runs.get(account_id, run_id)
        return await self.reveal(run) if run is not None else None

    async def reveal(self, run: Run) -> Done:
        """Open the payloads of a stored run."""
        box = await self._desk.box(run.account_id)
        held = decode(box.open(run.sealed_result, f"run/{run.run_id}/result")) if run.sealed_result else {}
        record = held.get("error") or (json.loads(run.error) if run.error else None)
        error = PolyportError.from_record(record) if record is not None else None
        return Done(run=run, result=held.get("result"), raw=held.get("raw"), error=error)

    async def attempts(self, run: Run) -> list[dict[str, Any]]:
        """The attempts of a stored run: redacted requests and answers."""
        box = await self._desk.box(run.account_id)
        found: list[dict[str, Any]] = decode(box.open(run.sealed_attempts, f"run/{run.run_id}/attempts")) if run.sealed_attempts else []
        return found


def cancelled(*, sent: bool) -> RunCancelled:
    """The error of a cancelled run. ``sent``: it had sent something before."""
    if not sent:
        return RunCancelled("The run was cancelled before anything was sent.")
    return RunCancelled(
        "The run was cancelled before its next request; what it had sent before stands.",
        Details(suggested_fix="Look at GET /runs/{runId}/attempts for what was sent, and at the partner for what it did."),
    )
