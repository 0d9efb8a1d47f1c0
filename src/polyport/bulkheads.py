"""Bulkheads: of what one process does at once, one partner and one connection get a share, so that one that hangs cannot hold all of it.

The last quarter of a partner's share is for those of its connections that hold little, and the last quarter of all for the partners that do: two that
hang do not fill what the others need. Where a share is all there is, nothing is kept back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from polyport.store.records import Lane

# A connection's share that was used up is given out again once a quarter of it is free: runs are claimed many at a time. Where others wait for no fault of
# theirs, once a sixteenth is.
CONNECTION_REOPENS: Final = 0.75
SHARED_REOPENS: Final = 15 / 16
LITTLE: Final = 8  # an eighth of a share is little

LANES_MOST: Final = 4_096
_ALL: Final = (-1, 0)
Key = tuple[int, int]


class _Level(NamedTuple):
    """A share: how much it is, from where on it is kept for those that hold little, and when it is given out again after it was used up."""

    key: Key
    most: int
    kept_from: int
    reopens: float


class Bulkheads:
    """The shares of one pool of ``total`` places. A share is at least one place."""

    def __init__(self, total: int, *, partner: float, connection: float) -> None:
        self._total = total
        self._of_partner = max(1, round(total * partner))
        self._of_connection = max(1, round(total * connection))
        self._all = _Level(_ALL, total, _kept_from(total, self._of_partner), SHARED_REOPENS)
        self._partner_kept_from = _kept_from(self._of_partner, self._of_connection)
        self._levels = lru_cache(maxsize=LANES_MOST)(self._levels_of)  # what they are never changes
        self._used: dict[Key, int] = {}
        self._full: set[Key] = set()
        self._tight: set[Key] = set()

    def enter(self, lane: Lane) -> bool:
        """Take a place, if the lane's shares have one."""
        if not self._admits(self._levels(lane), {}, frozenset()):
            return False
        self.put(lane)
        return True

    def put(self, lane: Lane) -> None:
        """Take a place that ``room`` gave."""
        for level in self._levels(lane):
            used = self._used[level.key] = self._used.get(level.key, 0) + 1
            if used >= level.most:
                self._full.add(level.key)
            if used >= level.kept_from:
                self._tight.add(level.key)

    def leave(self, lane: Lane) -> bool:
        """Give a place back; whether a share that was used up is given out again by it."""
        opened = False
        for level in self._levels(lane):
            used = self._used[level.key] - 1
            if used:
                self._used[level.key] = used
            else:
                del self._used[level.key]
            for closed, bound in ((self._full, level.most), (self._tight, level.kept_from)):
                if level.key in closed and used <= bound * level.reopens:
                    closed.discard(level.key)
                    opened = True
        return opened

    def room(self) -> Callable[[Lane], bool]:
        """What says, run by run, whether one more of a lane can be claimed now; it counts those it lets through, for this one claim."""
        taken: dict[Key, int] = {}

        def admits(lane: Lane) -> bool:
            levels = self._levels(lane)
            if not self._admits(levels, taken, self._full):
                return False
            for level in levels:
                taken[level.key] = taken.get(level.key, 0) + 1
            return True

        return admits

    def _admits(self, levels: tuple[_Level, _Level, _Level], taken: dict[Key, int], closed: set[Key] | frozenset[Key]) -> bool:
        inner = 0  # what the lane's own part of the level holds, and what would be much of it
        much = 1
        for level in levels:  # from the connection outwards
            used = self._used.get(level.key, 0) + taken.get(level.key, 0)
            if used >= level.most or level.key in closed:
                return False
            if inner >= much and (used >= level.kept_from or level.key in self._tight):
                return False
            inner, much = used, max(1, level.most // LITTLE)
        return True

    def _levels_of(self, lane: Lane) -> tuple[_Level, _Level, _Level]:
        connection = _Level((lane.account_id, lane.place), self._of_connection, self._of_connection + 1, CONNECTION_REOPENS)
        partner = _Level((0, lane.partner_id), self._of_partner, self._partner_kept_from, SHARED_REOPENS)
        return connection, partner, self._all


def _kept_from(most: int, inner: int) -> int:
    """From which place on a share is kept for those that hold little; never, where one of them may have all of it."""
    return most - most // 4 if inner < most and most >= LITTLE else most + 1
