"""Whose turn it is when a process has more to do than its core can: callers wait for an answer, queued runs do not.

Both are worked on by one event loop, and a claim of many runs makes every caller wait until they have all been sent, answered and recorded. So while callers come,
runs are claimed in small groups some milliseconds apart, and seldom where the loop is behind: how late it wakes who slept tells that. They go on in any case,
however many callers there are. Where nobody calls, as many as there is room for are claimed (docs/adr/0033).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

CALLS_LEAST: Final = 16  # fewer in a window or two are not what keeps the loop busy
WINDOW_SECONDS: Final = 0.02
PAUSE_SECONDS: Final = 0.003
SOME_RUNS: Final = 8
# Where the loop is behind: seldom, and then some more, which share commits; whoever calls waits for all of them.
LONG_PAUSE_SECONDS: Final = 0.04
LATE_RUNS: Final = 12
LATE_SECONDS: Final = 0.0015  # a loop that has time to rest wakes a sleeper within less, one that never rests after several milliseconds
_WEIGHT: Final = 0.25  # of the pause just made: one that was late is no rush


class Courtesy:
    """How many runs a process may claim now. ``calls`` tells how many runs callers have asked this process for since it started."""

    def __init__(self, calls: Callable[[], int]) -> None:
        self._calls = calls
        self._before = self._mark = 0
        self._marked = 0.0
        self._late = 0.0

    async def admit(self, runs: int) -> int:
        """How many of ``runs`` may be claimed, at least one of them; while callers come, after a pause."""
        began = time.monotonic()
        if self._came(began) < CALLS_LEAST:
            return runs
        pause = LONG_PAUSE_SECONDS if self._late > LATE_SECONDS else PAUSE_SECONDS
        await asyncio.sleep(pause)
        self._late += (time.monotonic() - began - pause - self._late) * _WEIGHT
        return min(runs, LATE_RUNS if self._late > LATE_SECONDS else SOME_RUNS)

    def _came(self, now: float) -> int:
        """How many were asked for in this window and the one before: since the last claim alone would be few, where claims follow each other at once."""
        calls = self._calls()
        if now >= self._marked + WINDOW_SECONDS:
            self._before, self._mark, self._marked = self._mark, calls, now
        return calls - self._before
