"""Whose turn it is: accounts take turns, and within an account its lanes do, however many runs each of them has. In memory, of one process."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Final

from polyport.queue.base import Admits
from polyport.store.records import Lane

LOOKS: Final = 2_048  # lanes of one account that are looked at in a round: those that may not go on now are many only when a lot is wrong


class Turns:
    """The lanes that have runs to claim, as far as this process knows."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[int, OrderedDict[Lane, int]] = OrderedDict()
        self._count = 0

    def add(self, lane: Lane) -> bool:
        """A lane has a run; one that is known keeps its turn. Whether it was not known."""
        self._count += 1
        lanes = self._accounts.setdefault(lane.account_id, OrderedDict())
        new = lane not in lanes
        lanes[lane] = self._count
        return new

    def add_all(self, lanes: Iterable[Lane]) -> None:
        """Several lanes have runs."""
        for lane in lanes:
            self.add(lane)

    def mark(self) -> int:
        """A moment, for ``drop``."""
        return self._count

    def drop(self, lane: Lane, mark: int) -> None:
        """A lane has no more runs, unless one was added to it after ``mark``."""
        lanes = self._accounts.get(lane.account_id)
        if lanes is not None and lanes.get(lane, mark + 1) <= mark:
            del lanes[lane]
            if not lanes:
                del self._accounts[lane.account_id]

    def __bool__(self) -> bool:
        return bool(self._accounts)

    def choose(self, limit: int, admits: Admits) -> dict[Lane, int]:
        """Up to ``limit`` runs, one a turn: how many of each lane. ``admits`` is asked before each of them, and counts those that it lets through."""
        chosen: dict[Lane, int] = {}
        accounts = deque(self._accounts)
        while accounts and limit:
            account = accounts.popleft()
            lane = self._next(self._accounts[account], admits)
            if lane is None:
                continue
            chosen[lane] = chosen.get(lane, 0) + 1
            limit -= 1
            self._accounts.move_to_end(account)
            accounts.append(account)
        return chosen

    def _next(self, lanes: OrderedDict[Lane, int], admits: Admits) -> Lane | None:
        for _look in range(min(len(lanes), LOOKS)):
            lane = next(iter(lanes))
            lanes.move_to_end(lane)
            if admits(lane):
                return lane
        return None
