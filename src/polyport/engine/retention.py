"""What is kept of runs, and for how long: payloads go first, then records, in small deletes that let other writes through."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from polyport.runtime import Runtime

SWEEP_SECONDS: Final = 30.0
STEP: Final = 200  # rows of one statement: others wait for its commit
SWEEP_MOST: Final = 50_000  # rows of one sweep and kind: the rest has the next one
DAY_MS: Final = 24 * 3_600_000
_log: Final = structlog.get_logger("polyport.retention")

Step = Callable[[int], Awaitable[int]]


class Retention:
    """Deletes what is old, or too much, for one process. Several processes that do so get in nobody's way: a row goes once."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def sweep(self) -> None:
        """Let go what has had its time. A run is never deleted while its idempotency key is remembered: its answer may be asked for again."""
        settings, runs, now = self._runtime.settings.runs, self._runtime.repo.runs, self._runtime.now_ms()
        keys_before = now - settings.idempotency_hours * 3_600_000
        await self._steps(lambda limit: runs.forget_old_keys(keys_before, limit))
        records_before = min(keys_before, now - settings.keep_days * DAY_MS)  # first: what goes whole need not lose its payload before
        _tell("old runs were deleted", await self._steps(lambda limit: runs.delete_ended(records_before, limit)))
        payloads_before = now - settings.keep_payload_days * DAY_MS
        _tell("payloads of runs were dropped", await self._steps(lambda limit: runs.strip_ended(payloads_before, limit)))
        if settings.keep_bytes:
            _tell("runs were deleted because of their size", await self._steps(lambda limit: self._shrink(keys_before, limit)))

    async def _shrink(self, before: int, limit: int) -> int:
        """Delete a few of the oldest runs that ended, if the database holds too much."""
        if await self._runtime.repo.runs.bytes_used() <= self._runtime.settings.runs.keep_bytes:
            return 0
        return await self._runtime.repo.runs.delete_ended(before, limit)

    async def _steps(self, step: Step) -> int:
        """Step after step until nothing is left, each followed by a rest as long as itself; how many rows."""
        total = 0
        while total < SWEEP_MOST:
            began = time.monotonic()
            count = await step(STEP)
            total += count
            if count < STEP:
                break
            await asyncio.sleep(time.monotonic() - began)
        return total


def _tell(what: str, count: int) -> None:
    if count:
        _log.info(what, count=count)
