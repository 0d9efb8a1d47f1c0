"""Bulkheads: of what one process does at once, one partner and one connection get a share, so that one that hangs cannot hold all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from polyport.store.records import Lane

REOPENS: Final = 0.75  # a share that was used up is given out again once a quarter of it is free: runs are claimed many at a time

Key = tuple[int, int]


class Bulkheads:
    """The shares of one pool of ``total`` places. A share is at least one place."""

    def __init__(self, total: int, *, partner: float, connection: float) -> None:
        self._of_partner = max(1, round(total * partner))
        self._of_connection = max(1, round(total * connection))
        self._used: dict[Key, int] = {}
        self._full: set[Key] = set()

    def enter(self, lane: Lane) -> bool:
        """Take a place, if the lane's shares have one."""
        if not all(self._used.get(key, 0) < most for key, most in self._shares(lane)):
            return False
        self.put(lane)
        return True

    def put(self, lane: Lane) -> None:
        """Take a place that ``room`` gave."""
        for key, most in self._shares(lane):
            used = self._used[key] = self._used.get(key, 0) + 1
            if used >= most:
                self._full.add(key)

    def leave(self, lane: Lane) -> bool:
        """Give a place back; whether a share that was used up is given out again by it."""
        opened = False
        for key, most in self._shares(lane):
            used = self._used[key] - 1
            if used:
                self._used[key] = used
            else:
                del self._used[key]
            if key in self._full and used <= most * REOPENS:
                self._full.discard(key)
                opened = True
        return opened

    def room(self) -> Callable[[Lane], bool]:
        """What says, run by run, whether one more of a lane can be claimed now; it counts those it lets through, for this one claim."""
        taken: dict[Key, int] = {}

        def admits(lane: Lane) -> bool:
            shares = self._shares(lane)
            for key, most in shares:
                if key in self._full or self._used.get(key, 0) + taken.get(key, 0) >= most:
                    return False
            for key, _most in shares:
                taken[key] = taken.get(key, 0) + 1
            return True

        return admits

    def _shares(self, lane: Lane) -> tuple[tuple[Key, int], tuple[Key, int]]:
        return ((0, lane.partner_id), self._of_partner), ((lane.account_id, lane.place), self._of_connection)
