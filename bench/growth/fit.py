"""How a curve grows: flat, slower than linear, linear, or steeper. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

FLAT: Final = 1.25  # times the least that the most may be
LINEAR: Final = 1.15  # the exponent up to which growth counts as linear: caches and allocators bend a straight line a little
SLOWER: Final = 0.85
_TOLD: Final = 0.5  # a point tells something of growth when it lies so far above the first, as a share of it


def exponent(points: Sequence[tuple[float, float]]) -> float | None:
    """The power of x by which y grows over its first value, by least squares of the logarithms; ``None`` where fewer than two points lie well above it."""
    (_first, base), *rest = points
    told = [(math.log(x), math.log(y - base)) for x, y in rest if y - base > _TOLD * base]
    if len(told) < 2:
        return None
    middle_x, middle_y = (sum(values) / len(told) for values in zip(*told, strict=True))
    spread = sum((x - middle_x) ** 2 for x, _y in told)
    return sum((x - middle_x) * (y - middle_y) for x, y in told) / spread if spread else None


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
        return f"{values[-1] / values[0]:.1f} times over the whole range: nearly flat"
    if power > LINEAR:
        return f"steeper than linear (x to the {power:.2f})"
    return f"linear (x to the {power:.2f})" if power >= SLOWER else f"slower than linear (x to the {power:.2f})"
