"""What a clock that is set back leaves behind: runs, events and keys whose time lies further ahead than anybody meant, budgets that are closed until then.

They are found, drawn near and opened.

A clock that was ahead for a while and is corrected would otherwise make a queued run wait for as long as the clock was wrong.
"""

from __future__ import annotations

import time
from typing import Final

import structlog

from polyport.runtime import Runtime

LOOK_SECONDS: Final = 2.0
SLACK_MS: Final = 60_000  # a smaller step back is over by itself before long

_log: Final = structlog.get_logger("polyport.clock")


class ClockWatch:
    """Holds the wall clock against one that only goes forward."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._ahead: int | None = None

    async def look(self) -> None:
        """Mend what is due too late, if the clock went back since the last look; the first time in any case, as far as the rows tell it by themselves."""
        now = self._runtime.now_ms()
        ahead = now - time.monotonic_ns() // 1_000_000
        if self._ahead is not None and ahead > self._ahead - SLACK_MS:
            self._ahead = max(ahead, self._ahead)
            return
        back = self._ahead - ahead if self._ahead is not None else 0
        if back:
            await self._runtime.budgets.clock_went_back(now + back - SLACK_MS)
        mended = await self._runtime.repo.mend_due(now, back, SLACK_MS)
        self._ahead = ahead  # only now: what the store could not do is tried again
        if back or mended:
            _log.warning("the clock went back; what would have waited for it goes on", seconds=back // 1000, rows=mended)
            self._runtime.queue.wake()
            self._runtime.events.announce()
