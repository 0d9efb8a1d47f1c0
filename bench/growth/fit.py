"""How a curve grows: flat, slower than linear, linear, or steeper. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

FLAT: Final = 1.25  # times the least that the most may be
LINEAR: Final = 1.15  # the exponent up to which growth counts as linear: caches and allocators bend a straight line a little
SLOWER: Final = 0.85
END: Final = 1.4  # the exponent between the two last points from where on the end counts as steeper, however straight all before it is: two points are rougher than many
NEARLY: Final = 1.5  # times the first that the last may be and still be called nearly flat
_TOLD: Final = 0.5  # a point tells something of growth when it lies so far above the first, as a share of it


def exponent(points: Sequence[tuple[float, float]]) -> float | None:
    """The power of x by which y grows over its first value, by least squares of the logarithms; ``None`` where fewer than two points lie well above it."""
    told = _above(points)
    if len(told) < 2:
        return None
    middle_x, middle_y = (sum(values) / len(told) for values in zip(*told, strict=True))
    spread = sum((x - middle_x) ** 2 for x, _y in told)
    return sum((x - middle_x) * (y - middle_y) for x, y in told) / spread if spread else None


def last_exponent(points: Sequence[tuple[float, float]]) -> float | None:
    """``exponent`` of the two last points alone: what begins to bend late is lost among many."""
    told = _above(points)
    if len(told) < 2 or told[-1][0] != math.log(points[-1][0]):
        return None
    (x, y), (last_x, last_y) = told[-2:]
    return (last_y - y) / (last_x - x)


def _above(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The logarithms of x, and of how much y lies above its first value, where that is much."""
    (_first, base), *rest = points
    return [(math.log(x), math.log(y - base)) for x, y in rest if y - base > _TOLD * base]


def verdict(points: Sequence[tuple[float, float]]) -> str:
    """In words; ``points`` are x and y by growing x."""
    values = [y for _x, y in points]
    if len(values) < 2:
        return "not enough points"
    if max(values) <= FLAT * min(values):
        return "flat"
    if values[-1] <= FLAT * values[0]:
        return "flat at its ends, uneven between"
    power = exponent(points)
    if power is None:
        grown = values[-1] / values[0]
        return f"{grown:.1f} times over the whole range" + (": nearly flat" if grown <= NEARLY else "")
    if power > LINEAR:
        return f"steeper than linear (x to the {power:.2f})"
    end = last_exponent(points)
    if end is not None and end > END:
        return f"steeper at its end (x to the {end:.2f} between the last two)"
    return f"linear (x to the {power:.2f})" if power >= SLOWER else f"slower than linear (x to the {power:.2f})"
