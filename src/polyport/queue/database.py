"""The embedded queue: due runs of the same database, a wake-up inside the process, a short poll for what other processes accepted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from polyport.errors import Details, InternalError, PartnerUnavailable, PolyportError, RunCancelled
from polyport.queue.base import Admits, Sends, anyone, nobody
from polyport.queue.depths import Depths
from polyport.queue.processes import ProcessLock
from polyport.queue.turns import Turns
from polyport.store.base import Database, Stale, Statement
from polyport.store.herald import Herald, Silence
from polyport.store.records import FIRST_LOOK_MS, PRIORITY_LEAD_MS, RESTORED, Lane, Priority, Run, RunStatus
from polyport.store.runs import freed_key, run_of_row

POLL: Final = 0.25
LONG_LOOK: Final = 0.02
LANES: Final = 200  # looked at without a pause: two milliseconds
CLAIM_MOST: Final = 64  # runs of one claim: other writes wait for it

_CUT: Final = PartnerUnavailable(
    "The server stopped while the request was under way.",
    Details(
        outcome="uncertain",
        retryable=False,
        suggested_fix="The request may have taken effect. Look at the partner before you run it again.",
    ),
)
_STOPPED: Final = InternalError(
    "The server stopped before the run ended; nothing that may not be repeated was sent.",
    Details(retryable=True, suggested_fix="Run it again."),
)
_CANCELLED: Final = RunCancelled("The run was asked to stop, and the server stopped before it went on; what it had sent before stands.")


_IN_DOUBT: Final = PartnerUnavailable(
    "The server's data was restored from a backup in which this run had not ended; it may have been sent since.",
    Details(
        outcome="uncertain",
        retryable=False,
        suggested_fix="The request may have taken effect. Look at the partner before you run it again.",
    ),
)
_HARMLESS: Final = InternalError(
    "The server's data was restored from a backup in which this run had not ended; it is not sent by itself.",
    Details(
        retryable=True, suggested_fix="A repeat does no harm by itself, but may be out of date by now: run it again if it is still wanted."
    ),
)


class DatabaseQueue:
    """A ``Queue`` over the runs of one database. The ``herald`` gives the events of runs that it settles."""

    def __init__(self, database: Database, processes: ProcessLock, herald: Herald | None = None) -> None:
        self._database = database
        self._herald = herald or Silence()
        self._processes = processes
        self._due = asyncio.Event()
        self._next = math.inf
        self._turns = Turns()
        self._looked, self._rest = -math.inf, 0.0
        self._depths = Depths(database)

    def announce(self, run: Run | None = None) -> None:
        """Wake those who wait in this process."""
        self._depths.came(run.account_id if run is not None else None)
        if run is None or self._turns.add(Lane.of(run)):  # a lane that is known is claimed already, or waits until it may be
            self._due.set()

    def wake(self) -> None:
        """Let who waits in this process look again: a lane that had to wait may go on."""
        self._due.set()

    async def claim(self, owner: str, limit: int, now: int, admits: Admits = anyone, sends: Sends = nobody) -> Sequence[Run]:
        """Take up to ``limit`` due runs for this owner, lanes in turn, each in the order of priority and due time.

        What nobody announced (another process's runs, retries) is looked for with a read first: an idle process takes no write lock.
        """
        announced = self._due.is_set()
        self._due.clear()  # before the store is asked: what is announced from here on is looked at again
        if (not announced and not await self._anything_due(now)) or limit < 1:
            return ()
        await self._look(now)
        chosen, mark = self._turns.choose(min(limit, CLAIM_MOST), admits), self._turns.mark()
        if not chosen:
            self._next = math.inf  # what is due may not go on yet: whoever lets it wakes us
            return ()
        since = time.monotonic()
        try:
            claims = [statement for lane, count in chosen.items() for statement in _claim(lane, count, owner, now, sends=sends(lane))]
            found = (await self._database.write(*claims))[::2]  # each is followed by its count
        except BaseException:
            self._due.set()
            raise
        for (lane, count), rows in zip(chosen.items(), found, strict=True):
            if len(rows) < count:
                self._turns.drop(lane, mark)
        if self._turns:
            self._due.set()
        runs = [run_of_row(row) for rows in found for row in rows]
        self._depths.went((run.account_id for run in runs), since)
        return sorted(runs, key=_turn)

    async def _anything_due(self, now: int) -> bool:
        due = (await self._database.read("next_due"))[0][0]
        self._next = math.inf if due is None else time.monotonic() + (due - now) / 1000
        return due is not None and due <= now

    async def _look(self, now: int) -> None:
        """Learn of the lanes that other processes, or time, gave runs. Where there are very many, looking takes a tenth of the time at most."""
        if time.monotonic() < self._looked + (max(POLL, self._rest) if self._turns else self._rest):
            return
        took, after = 0.0, (0, 0, 0)
        while True:
            began = time.thread_time()  # the work, not what else the machine did meanwhile
            given = dict(zip(("account_id", "place", "operation_id"), after, strict=True))
            rows = await self._database.read("lanes_after", {**given, "now": now, "limit": LANES})
            self._turns.add_all(Lane(*lane) for *lane, due in rows if due)
            took += time.thread_time() - began
            if len(rows) < LANES:
                break
            after = rows[-1][:3]
            await asyncio.sleep(0)  # others in between: there may be a hundred thousand lanes
        self._looked = time.monotonic()
        self._rest = 9 * took if took > LONG_LOOK else 0.0

    async def wait(self, seconds: float) -> None:
        """Return when a run was announced or is due, at the latest after ``POLL`` seconds: other processes accept runs too."""
        left = min(seconds, POLL, max(0.0, self._next - time.monotonic()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left):
                await self._due.wait()

    async def depth(self, account_id: int | None = None) -> int:
        """How many runs wait, as counted at most a second ago, plus what came and less what was claimed here since."""
        return await self._depths.of(account_id)

    async def take_room(self, account_id: int, runs: int, most: int, most_of_account: int) -> tuple[bool, bool]:
        """Keep room for runs of an account, if all and its own leave it; which of both do."""
        return await self._depths.take_room(account_id, runs, most, most_of_account)

    def leave_room(self, account_id: int, runs: int) -> None:
        """Give back room that was taken."""
        self._depths.leave_room(account_id, runs)

    def came_back(self, run: Run) -> None:
        """Count a run that was claimed and waits again."""
        self._depths.came(run.account_id)

    async def recover(self, now: int) -> int:
        """Give back or settle the runs of dead processes.

        What may be repeated, or was not sent, is queued again (asynchronous) or has failed safely (synchronous: its caller is gone, and may come again under
        the same idempotency key); what may have been sent and may not be repeated is ``uncertain``; what was asked to stop has stopped. What a backup was restored with is not sent by itself in any case.
        """
        settled = 0
        dead = self._processes.dead()  # who dies from here on keeps its files until the next time: its runs may not be seen below
        for (owner,) in await self._database.read("running_owners"):
            if self._processes.is_alive(owner):
                continue
            departed = self._processes.departed(owner)
            while rows := await self._database.read("runs_of_owner", {"owner": owner}):
                told = await asyncio.gather(*(self._settle(run_of_row(row), now, departed) for row in rows))
                settled += sum(told)
        self._processes.sweep(dead)
        if settled:
            self._looked = -math.inf
            self._due.set()
        return settled

    async def _settle(self, run: Run, now: int, departed: frozenset[str] | None) -> bool:
        given = {"account_id": run.account_id, "run_id": run.run_id, "owner": run.owner, "now": now}
        verdict = _verdict(run, departed)
        told: Sequence[Statement] = ()
        if verdict is None:
            unit = [Statement(query="requeue_run", params=given, expect=1)]
        else:
            status, error = verdict
            record = json.dumps(error.as_record())
            settled = replace(run, status=status, sending=False, owner=None, finished_at=now, error=record)
            told = await self._herald.run(settled, error=error)
            unit = [
                Statement(query="settle_run", params={**given, "status": status, "error": record, "look": FIRST_LOOK_MS}, expect=1),
                *told,
            ]
            if error is _STOPPED and run.idempotency_key is not None:
                unit.append(freed_key(run))
        try:
            await self._database.write(*unit)
        except Stale:  # another process was first
            return False
        if told:
            self._herald.announce()
        if verdict is None:
            self._depths.came(run.account_id)
        return True


def _turn(run: Run) -> tuple[int, str]:
    """What runs are taken in the order of; the statement has it too."""
    return run.due_at - PRIORITY_LEAD_MS * (run.priority - Priority.NORMAL), run.run_id


def _claim(lane: Lane, count: int, owner: str, now: int, *, sends: bool) -> tuple[Statement, Statement]:
    told = {
        "account_id": lane.account_id,
        "place": lane.place,
        "operation_id": lane.operation_id,
        "owner": owner,
        "now": now,
        "lead": PRIORITY_LEAD_MS,
        "sends": sends,
    }
    claim = Statement(query="claim_one", params=told) if count == 1 else Statement(query="claim_lane", params={**told, "limit": count})
    return claim, Statement(query="count_claimed", params={"account_id": lane.account_id, "partner_id": lane.partner_id})


def _verdict(run: Run, departed: frozenset[str] | None) -> tuple[RunStatus, PolyportError] | None:
    """How a run of a dead process ends; ``None``: it is queued again. ``departed`` are the process's runs that have sent something, if that is known."""
    if run.owner == RESTORED:
        return (RunStatus.FAILED, _HARMLESS) if run.repeatable else (RunStatus.UNCERTAIN, _IN_DOUBT)
    if run.sending and not run.repeatable and (departed is None or run.run_id in departed):
        return RunStatus.UNCERTAIN, _CUT
    if run.cancel_at is not None:
        return RunStatus.CANCELLED, _CANCELLED
    return None if run.mode == "async" else (RunStatus.FAILED, _STOPPED)
