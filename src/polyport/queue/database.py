"""The embedded queue: due runs of the same database, a wake-up inside the process, a short poll for what other processes accepted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Final

from polyport.errors import Details, InternalError, PartnerUnavailable, PolyportError
from polyport.queue.processes import ProcessLock
from polyport.store.base import Database, Stale, Statement
from polyport.store.records import Run, RunStatus
from polyport.store.runs import run_of_row

POLL: Final = 0.25
DEPTH_AGE: Final = 0.5

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


class DatabaseQueue:
    """A ``Queue`` over the runs of one database."""

    def __init__(self, database: Database, processes: ProcessLock) -> None:
        self._database = database
        self._processes = processes
        self._due = asyncio.Event()
        self._depth, self._depth_at = 0, 0.0

    def announce(self) -> None:
        """Wake those who wait in this process."""
        self._depth += 1
        self._due.set()

    async def claim(self, owner: str, limit: int, now: int) -> Sequence[Run]:
        """Take up to ``limit`` due runs for this owner."""
        self._due.clear()
        rows = await self._database.write(Statement(query="claim_runs", params={"owner": owner, "limit": limit, "now": now}))
        return sorted((run_of_row(row) for row in rows[0]), key=lambda run: (run.due_at, run.run_id))

    async def wait(self, seconds: float) -> None:
        """Return when a run was announced, at the latest after ``POLL`` seconds: other processes accept runs too."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._due.wait(), min(seconds, POLL))

    async def depth(self, most: int) -> int:
        """How many runs wait, as counted at most half a second ago plus what was announced since."""
        if time.monotonic() - self._depth_at > DEPTH_AGE:
            self._depth_at = time.monotonic()
            rows = await self._database.read("queue_depth", {"limit": most})
            self._depth = int(rows[0][0])
        return self._depth

    async def recover(self, now: int) -> int:
        """Give back or settle the runs of dead processes.

        What may be repeated, or was not sent, is queued again (asynchronous) or has failed safely (synchronous: its caller is gone); what may have been
        sent and may not be repeated is ``uncertain``.
        """
        settled = 0
        for (owner,) in await self._database.read("running_owners"):
            if self._processes.is_alive(owner):
                continue
            while runs := [run_of_row(row) for row in await self._database.read("runs_of_owner", {"owner": owner})]:
                for run in runs:
                    with contextlib.suppress(Stale):
                        await self._database.write(_verdict(run, now))
                        settled += 1
            self._processes.forget(owner)
        if settled:
            self._due.set()
        return settled


def _verdict(run: Run, now: int) -> Statement:
    base = {"run_id": run.run_id, "owner": run.owner, "now": now}
    if run.sending and not run.repeatable:
        return _settle(base, RunStatus.UNCERTAIN, _CUT)
    if run.mode == "async":
        return Statement(query="requeue_run", params=base, expect=1)
    return _settle(base, RunStatus.FAILED, _STOPPED)


def _settle(base: Mapping[str, object], status: RunStatus, error: PolyportError) -> Statement:
    return Statement(query="settle_run", params={**base, "status": status, "error": json.dumps(error.as_record())}, expect=1)
