"""Runs that ended as a series of slots: how many of which status, with which errors, and within what time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from polyport.store.sums import Ends, Sum

Range = Literal["hour", "day", "month"]
TIMES: Final = ("own", "queue", "partner")
PERCENTILES: Final = (50, 95, 99)


class Width(NamedTuple):
    """A range: its slots, in seconds, and how many there are."""

    grain: int
    slots: int


RANGES: Final[Mapping[str, Width]] = {"hour": Width(60, 60), "day": Width(900, 96), "month": Width(21_600, 120)}


class Pile:
    """Counts of one slot, or of all."""

    __slots__ = ("errors", "runs", "times", "waiting")

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.times: dict[str, defaultdict[int, int]] = {name: defaultdict(int) for name in TIMES}
        self.waiting = 0

    def put(self, what: str, counts: Mapping[str, int]) -> None:
        """Add sums of one kind, by key."""
        if what == "status":
            self.runs.update(counts)
        elif what == "error":
            self.errors.update(counts)
        elif what == "waiting":
            self.waiting = max((self.waiting, *counts.values()))
        else:
            times = self.times[what]
            for edge, n in counts.items():
                times[int(edge)] += n

    def latency(self) -> dict[str, dict[str, int | None]]:
        """The percentiles of all times."""
        return {name: percentiles(self.times[name]) for name in TIMES}


def percentiles(bins: Mapping[int, int]) -> dict[str, int | None]:
    """The percentiles of times that are counted by the lower edges of their bins: the middle of the bin in which each lies."""
    total = sum(bins.values())
    found: dict[str, int | None] = dict.fromkeys((f"p{each}" for each in PERCENTILES), None)
    if not total:
        return found
    ordered, passed, pending = sorted(bins.items()), 0, list(PERCENTILES)
    for edge, n in ordered:
        passed += n
        while pending and passed * 100 >= pending[0] * total:
            found[f"p{pending.pop(0)}"] = edge + _width(edge) // 2
    return found


def _width(edge: int) -> int:
    """How wide the bin of a lower edge is; the same widths as in ``sums_of_ends``."""
    if edge >= 1_000_000:
        return 0
    scale = 1
    while edge >= 100 * scale:
        scale *= 10
    tens = edge // scale
    return scale if tens < 20 else 2 * scale if tens < 50 else 5 * scale


def piled(kept: Iterable[Sum], ends: Iterable[Ends], first: int, width: Width) -> tuple[dict[int, Pile], Pile]:
    """Sums by slot, none left out, and all together; with ends that are in no sums."""
    slots = {first + number * width.grain: Pile() for number in range(width.slots)}
    whole = Pile()
    found: list[tuple[int, str, Mapping[str, int]]] = [*kept]
    found += [(end.slot // width.grain * width.grain, end.what, {end.key: end.n}) for end in ends]
    for at, what, counts in found:
        if at in slots:
            slots[at].put(what, counts)
            whole.put(what, counts)
    return slots, whole


def under_way(ends: Iterable[Ends], slots: Mapping[int, Pile], width: Width) -> None:
    """Note with each slot how many runs were accepted and had not ended at its end: ``came`` and ``went`` of some runs, told by minute."""
    change: Counter[int] = Counter()
    first = min(slots)
    for end in ends:
        change[max(end.slot // width.grain * width.grain, first)] += end.n if end.what == "came" else -end.n
    standing = 0
    for at, pile in slots.items():
        standing += change[at]
        pile.waiting = max(0, standing)
