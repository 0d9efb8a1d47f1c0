"""The streams of events that are open in this process: how many there may be, and their end."""

from __future__ import annotations

from collections import Counter
from typing import Final

from polyport.engine.watch import RunWatch
from polyport.errors import Details, Overloaded, RateLimited
from polyport.runtime import Runtime

RETRY_MS: Final = 2_000


class Streams:
    """The open streams of a process, counted for the whole and for each account."""

    def __init__(self, runtime: Runtime) -> None:
        self.watch = RunWatch(runtime)
        self._settings = runtime.settings.http
        self._open: Counter[int] = Counter()

    def enter(self, account_id: int) -> None:
        """Count a stream in. Raises ``Overloaded`` or ``RateLimited``."""
        if self.watch.closed or self._open.total() >= self._settings.streams:
            raise Overloaded("This server has no room for another stream: read the run at its statusUrl.")
        if self._open[account_id] >= self._settings.streams_per_account:
            raise RateLimited(
                f"An account has at most {self._settings.streams_per_account} streams open in a server process.",
                Details(retry_after_ms=RETRY_MS),
            )
        self._open[account_id] += 1

    def leave(self, account_id: int) -> None:
        """Count a stream out."""
        self._open[account_id] -= 1
        if self._open[account_id] <= 0:
            del self._open[account_id]
