"""How many runs wait: counted seldom, and followed in between by what this process accepts and claims, so that a bound on them holds at every moment.

What is not known for sure (whether a count saw a run that was accepted or claimed while it was made) is taken for a run that waits: a bound may refuse a
little early for half a second, it is not passed.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from polyport.store.base import Database

AGE: Final = 0.5
MOST: Final = 10_000  # accounts whose count is kept
ALL: Final = None
Key = int | None


@dataclass(slots=True)
class _Depth:
    """How many runs wait, and when (a reading of the clock) that was known."""

    count: int
    at: float


class Depths:
    """The counts of one process: of all accounts and of each one that was asked for. The database holds the truth."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[Key, _Depth] = {}
        self._counting: dict[Key, asyncio.Task[_Depth]] = {}
        self._meanwhile: Counter[Key] = Counter()  # accepted while a count is under way
        self._taken: dict[Key, int] = {}  # room of runs that are being accepted

    async def of(self, account_id: Key = ALL) -> int:
        """How many runs wait, as counted at most a second ago, plus what came and less what went here since.

        It is counted every half a second, once for all who ask: they go by the last count meanwhile.
        """
        return (await self._look(account_id)).count

    async def take_room(self, account_id: int, runs: int, most: int, most_of_account: int) -> tuple[bool, bool]:
        """Keep room for runs that are about to be accepted, if both bounds leave it; whether there is room among all, and in the account."""
        whole, own = self._fresh(ALL), self._fresh(account_id)
        while whole is None or own is None:
            whole, own = await self._look(ALL), await self._look(account_id)
            if whole is not self._known.get(ALL):  # counted anew while the account was: both have to be of now
                whole = None
        taken = self._taken
        of_all, of_own = taken.get(ALL, 0) + runs, taken.get(account_id, 0) + runs
        among_all, in_account = whole.count + of_all <= most, own.count + of_own <= most_of_account
        if among_all and in_account:
            taken[ALL], taken[account_id] = of_all, of_own
        return among_all, in_account

    def leave_room(self, account_id: int, runs: int) -> None:
        """Give back room that was taken: the runs have come, or will not."""
        taken = self._taken
        for key in (ALL, account_id):
            left = taken[key] - runs
            if left:
                taken[key] = left
            else:
                del taken[key]

    def came(self, account_id: Key) -> None:
        """One more run waits; of which account, if that is known."""
        for key in {ALL, account_id}:
            if key in self._counting:
                self._meanwhile[key] += 1
            if (held := self._known.get(key)) is not None:
                held.count += 1

    def went(self, account_ids: Iterable[int], since: float) -> None:
        """Runs were claimed, in a unit that was handed over at ``since`` (a reading of the clock): a count that was made later may have seen that."""
        for account_id in account_ids:
            for key in (ALL, account_id):
                held = self._known.get(key)
                if held is not None and held.at <= since:
                    held.count = max(0, held.count - 1)

    def _fresh(self, key: Key) -> _Depth | None:
        held = self._known.get(key)
        return held if held is not None and time.monotonic() - held.at <= AGE else None

    async def _look(self, key: Key) -> _Depth:
        held = self._known.get(key)
        age = time.monotonic() - held.at if held is not None else math.inf
        if held is not None and age <= AGE:
            return held
        counting = self._counting.get(key)
        if counting is None:
            counting = self._counting[key] = asyncio.create_task(self._count(key))
            counting.add_done_callback(partial(self._counted, key))
        if age > 2 * AGE or held is None:
            held = await asyncio.shield(counting)
        return held

    async def _count(self, key: Key) -> _Depth:
        query = "queue_depth" if key is ALL else "queue_depth_of_account"
        ((count,),) = await self._database.read(query, {"account_id": key} if key is not ALL else None)
        if len(self._known) > MOST:
            self._known.clear()
        found = self._known[key] = _Depth(int(count) + self._meanwhile[key], time.monotonic())
        return found

    def _counted(self, key: Key, task: asyncio.Task[_Depth]) -> None:
        self._counting.pop(key, None)
        self._meanwhile.pop(key, None)
        if not task.cancelled():
            task.exception()  # who waited has it; the others go by the last count until it is too old
