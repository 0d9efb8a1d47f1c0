"""Waiting for a run to change, whichever process works on it: one look at the store for all who wait in this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Final

from polyport.runtime import Runtime
from polyport.store.base import StoreFault
from polyport.store.records import FINAL, Run, RunStatus

LOOK_SECONDS: Final = 0.25

Key = tuple[int, str]


def mark_of(run: Run) -> str:
    """What tells one standing of a run from the next; an attempt has a mark of its own for each status that it comes through."""
    return _mark(run.attempts, run.status, run.cancel_at, run.probe_at)


def _mark(attempts: int, status: str, cancel_at: int | None, probe_at: int | None) -> str:
    more = "-probed" if probe_at is not None else "-stopping" if cancel_at is not None and status not in FINAL else ""
    return f"{attempts}-{status}{more}"


class RunWatch:
    """Tells those who wait when a run stands otherwise than they know."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._waiting: dict[Key, list[tuple[str, asyncio.Future[bool]]]] = {}
        self._looking: asyncio.Task[None] | None = None
        self.closed = False

    async def wait(self, account_id: int, run_id: str, mark: str, seconds: float) -> bool:
        """Return ``True`` soon after a run's mark is no longer this one (or it is gone), ``False`` after ``seconds`` or when the watch ends."""
        if self.closed:
            return False
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault((account_id, run_id), [])
        waiting.append(entry := (mark, future))
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="polyport-watch")
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return False
        finally:
            waiting.remove(entry)
            if not waiting:
                self._waiting.pop((account_id, run_id), None)

    def close(self) -> None:
        """Let all who wait go: the process is about to end."""
        self.closed = True
        for waiting in self._waiting.values():
            for _told, future in waiting:
                _tell(future, changed=False)

    async def _look(self) -> None:
        try:
            while self._waiting and not self.closed:
                await asyncio.sleep(LOOK_SECONDS)
                with contextlib.suppress(StoreFault):  # what could not be seen now is seen the next time
                    await self._compare(list(self._waiting))
        finally:
            self._looking = None

    async def _compare(self, keys: list[Key]) -> None:
        rows = await self._runtime.repo.database.read("standings_of_runs", {"watched": json.dumps(keys)})
        stands = {
            (int(account_id), str(run_id)): _mark(attempts, RunStatus(status), stop, probe)
            for account_id, run_id, attempts, status, stop, probe in rows
        }
        for key in keys:
            for mark, future in self._waiting.get(key, ()):
                if stands.get(key) != mark:
                    _tell(future, changed=True)


def _tell(future: asyncio.Future[bool], *, changed: bool) -> None:
    if not future.done():
        future.set_result(changed)
