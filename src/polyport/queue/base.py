"""What carries queued runs to workers. The store holds the truth: a queue only says which run is to be worked on, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from polyport.store.records import Run


class Queue(Protocol):
    """The queue of runs: one machine's database, or a message system over many."""

    def announce(self) -> None:
        """Say that a run became due: whoever waits in this process looks at once."""

    async def claim(self, owner: str, limit: int, now: int) -> Sequence[Run]:
        """Take up to ``limit`` due runs for this owner; no other owner gets them. Their status is ``running``, their attempt counted."""

    async def wait(self, seconds: float) -> None:
        """Return when a run may be due, at the latest after ``seconds``."""

    async def depth(self, most: int) -> int:
        """How many runs wait, counted up to ``most``."""

    async def recover(self, now: int) -> int:
        """Give back or settle the runs of owners that are dead; how many there were."""
