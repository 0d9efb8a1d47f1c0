"""What carries queued runs to workers. The store holds the truth: a queue only says which run is to be worked on, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from polyport.store.records import Lane, Run

Admits = Callable[[Lane], bool]
Sends = Callable[[Lane], bool]


def anyone(_lane: Lane) -> bool:
    """Every lane may go on."""
    return True


def nobody(_lane: Lane) -> bool:
    """No lane's runs are sent as soon as they are claimed."""
    return False


class Queue(Protocol):
    """The queue of runs: one machine's database, or a message system over many."""

    def announce(self, run: Run | None = None) -> None:
        """Say that a run became due: whoever waits in this process looks at once."""

    def wake(self) -> None:
        """Say that a lane that was not admitted may be now."""

    async def claim(self, owner: str, limit: int, now: int, admits: Admits = anyone, sends: Sends = nobody) -> Sequence[Run]:
        """Take up to ``limit`` due runs for this owner; no other owner gets them. Their status is ``running``, their attempt counted.

        Accounts take turns, and the lanes of an account take turns within it; the runs of a lane come oldest first. ``admits`` is asked before each run
        whether its lane may go on now: runs of a lane that may not stay where they are. Those of a lane that ``sends`` are sent as soon as they are claimed:
        where they may not be repeated, they come marked as ``sending``.
        """

    async def wait(self, seconds: float) -> None:
        """Return when a run may be due, at the latest after ``seconds``."""

    async def depth(self, account_id: int | None = None) -> int:
        """How many runs wait, of all accounts or of one."""

    async def take_room(self, account_id: int, runs: int, most: int, most_of_account: int) -> tuple[bool, bool]:
        """Keep room for runs that are about to be accepted, if both bounds leave it; whether there is room among all, and in the account.

        Room that was taken is given back by ``leave_room``, after the runs were announced. Those who accept in this process never pass a bound together.
        """

    def leave_room(self, account_id: int, runs: int) -> None:
        """Give back room that was taken: the runs have come, or will not."""

    def came_back(self, run: Run) -> None:
        """Say that a run which was claimed waits again."""

    async def recover(self, now: int) -> int:
        """Give back or settle the runs of owners that are dead; how many there were."""
