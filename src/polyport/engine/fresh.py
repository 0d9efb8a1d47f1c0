"""What was understood of runs that were accepted a moment ago: who claims one in this process need not open and check its input once more.

Only what is small, due at once and without files is kept, for seconds, and not much of it: the oldest, since those are claimed next. It is worth something only
as long as operation and connection are the very ones it was understood with; whoever takes it has to look.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Generic, TypeVar

from polyport.store.records import Run

KEPT_MOST: Final = 16_384  # a burst of them waits for seconds, and to understand a run anew is a good part of what it costs
BYTES_MOST: Final = 4 * 1024 * 1024  # of their inputs together; what was understood of them takes some three times as much
KEPT_SECONDS: Final = 10.0
INPUT_MOST: Final = 4_096

T = TypeVar("T")


class Fresh(Generic[T]):
    """What was understood, by run."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, int, T]] = {}
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def keep(self, run: Run, understood: T) -> None:
        """Keep it for whoever claims the run, if there is room."""
        size = len(run.sealed_input or b"")
        if len(self._kept) >= KEPT_MOST or self._bytes + size > BYTES_MOST or run.due_at > run.created_at or size > INPUT_MOST:
            return
        self._kept[run.run_id] = (time.monotonic(), size, understood)
        self._bytes += size
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._sweep)

    def take(self, run: Run) -> T | None:
        """What was kept of a run; it is kept no longer."""
        return self._drop(run.run_id)

    def _drop(self, run_id: str) -> T | None:
        found = self._kept.pop(run_id, None)
        if found is None:
            return None
        self._bytes -= found[1]
        return found[2]

    def forget(self) -> None:
        """Keep nothing more of what was accepted until now."""
        self._kept.clear()
        self._bytes = 0

    def _sweep(self) -> None:
        """Drop what nobody claimed in time."""
        self._timer, now = None, time.monotonic()
        for run_id, (since, _size, _understood) in list(self._kept.items()):
            if since <= now - KEPT_SECONDS:
                self._drop(run_id)
        if self._kept:
            self._timer = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._sweep)
