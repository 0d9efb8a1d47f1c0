"""Whose turn it is when a process has more to do than its core can: callers wait for an answer, queued runs do not.

Both are worked on by one event loop, and a claim of many runs makes every caller wait until they have all been sent, answered and recorded. So while callers come,
runs are claimed in smaller groups some milliseconds apart, and a few at a time, further apart, where the loop is behind: how late it wakes who slept tells that.
They go on in any case, however many callers there are. Where nobody calls, as many as there is room for are claimed (docs/adr/0033).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

CALLS_LEAST: Final = 8  # fewer since the last claim are not what keeps the loop busy
PAUSE_SECONDS: Final = 0.005
SOME_RUNS: Final = 16
# Where the loop is behind: fewer, since whoever calls waits for all of them, and seldom. Still fewer at a time share too few commits, and each is dearer.
LONG_PAUSE_SECONDS: Final = 0.02
FEW_RUNS: Final = 10
LATE_SECONDS: Final = 0.0015  # a loop that has time to rest wakes a sleeper within less, one that never rests after several milliseconds
_WEIGHT: Final = 0.25  # of the pause just made: one that was late is no rush


class Courtesy:
    """How many runs a process may claim now. ``calls`` tells how many runs callers have asked this process for since it started."""

    def __init__(self, calls: Callable[[], int]) -> None:
        self._calls = calls
        self._seen = 0
        self._late = 0.0

    async def admit(self, runs: int) -> int:
        """How many of ``runs`` may be claimed, at least one of them; while callers come, after a pause."""
        came = self._calls() - self._seen
        if came < CALLS_LEAST:
            self._seen += came
            return runs
        began, pause = time.monotonic(), LONG_PAUSE_SECONDS if self._late > LATE_SECONDS else PAUSE_SECONDS
        await asyncio.sleep(pause)
        self._late += (time.monotonic() - began - pause - self._late) * _WEIGHT
        self._seen = self._calls()
        return min(runs, FEW_RUNS if self._late > LATE_SECONDS else SOME_RUNS)
