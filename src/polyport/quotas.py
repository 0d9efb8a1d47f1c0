"""Quotas: what one call takes of its partner's budgets, and what a process knows of what is left of them. Pure: nothing here waits or writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Final, NamedTuple

from polyport.manifest.budgets import Budget, costs_of

SPANS: Final = 100  # a window is counted in so many spans
SPAN_LEAST_MS: Final = 10
WAY_LEAST_MS: Final = 200  # what requests of one window may need on their way, more or less than others
WAY_MOST_MS: Final = 2_000
PLACES_MS: Final = 100  # how often places that other processes hold are asked for again


class Quota(NamedTuple):
    """What one call takes of one budget: ``cost`` of ``most``. ``keep_ms`` is how long it counts; 0 for requests at a time."""

    key: str
    cost: int
    most: int
    width_ms: int
    keep_ms: int
    budget: Budget


class Toll:
    """What one call of an operation takes of its partner's budgets, for one connection. Two tolls are never equal."""

    __slots__ = ("keys", "places", "quotas")

    def __init__(self, quotas: tuple[Quota, ...]) -> None:
        self.quotas = quotas
        self.keys = tuple(quota.key for quota in quotas)
        self.places = tuple(quota for quota in quotas if not quota.keep_ms)


def quotas_of(budgets: Iterable[Budget], costs: Mapping[str, int], *, partner_id: int, place: int, operation_id: int) -> tuple[Quota, ...]:
    """The quotas of a call. ``place`` is the connection, or the partner itself (negated) where there is none; ``operation_id`` 0 is none."""
    declared = tuple(budgets)
    taken = costs_of(declared, costs)
    found: list[Quota] = []
    for budget in declared:
        cost = taken.get(budget.name, 0)
        if not cost:
            continue
        scope = {"app": "app", "connection": f"{place}", "endpoint": f"{place}/{operation_id}"}[budget.per]
        key = f"{partner_id}/{budget.name}/{scope}"
        if budget.limit is not None and budget.seconds is not None:
            window = budget.seconds * 1000
            width = max(SPAN_LEAST_MS, window // SPANS)
            way = min(WAY_MOST_MS, max(WAY_LEAST_MS, window // 20))
            found.append(
                Quota(key=key, cost=min(cost, budget.limit), most=budget.limit, width_ms=width, keep_ms=window + way + width, budget=budget)
            )
        if budget.concurrency is not None:
            found.append(Quota(key=f"{key}/places", cost=1, most=budget.concurrency, width_ms=0, keep_ms=0, budget=budget))
    return tuple(found)


class Line:
    """What this process knows of one budget: what was taken, and when it comes back."""

    __slots__ = ("entries", "held", "learned_at", "most", "others", "others_until", "told_at")

    def __init__(self, most: int) -> None:
        self.most = most
        self.entries: list[tuple[int, int]] = []
        self.held = 0
        self.others, self.others_until = 0, 0
        self.told_at = 0
        self.learned_at = 0

    def free(self, now: int) -> int:
        """What is left now."""
        if self.entries and self.entries[0][0] <= now:
            self.entries = [entry for entry in self.entries if entry[0] > now]
        others = self.others if self.others_until > now else 0
        return self.most - sum(taken for _until, taken in self.entries) - self.held - others

    def opens_at(self, now: int, units: int) -> int:
        """When so many units are left; ``now`` if they are."""
        free = self.free(now)
        if free >= units:
            return now
        back = [(until, taken) for until, taken in self.entries]
        if self.held or self.others_until > now:
            back.append((max(now + PLACES_MS, self.others_until), self.held + self.others))
        back.sort()
        for (until, _taken), total in zip(back, accumulate(taken for _until, taken in back), strict=True):
            if free + total >= units:
                return until
        return back[-1][0] if back else now + PLACES_MS

    def add(self, until: int, units: int) -> None:
        """Note units that come back at a moment."""
        if self.entries and self.entries[-1][0] == until:
            self.entries[-1] = (until, self.entries[-1][1] + units)
        else:
            self.entries.append((until, units))
            self.entries.sort()

    def forget_times(self) -> None:
        """Drop all that counts until a moment; places that are held stay held."""
        self.entries = []
        self.others, self.others_until = 0, 0
        self.told_at = self.learned_at = 0

    def take_out(self, until: int, units: int) -> None:
        """Units that come back at a moment count no more."""
        self.entries = [(end, taken - units if end == until else taken) for end, taken in self.entries]
