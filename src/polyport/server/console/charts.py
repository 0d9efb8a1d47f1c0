"""Pictures of series over time, as the parts that templates draw as SVG: heights are parts of a hundred, one unit of width is one slot. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

HIGH: Final = 100.0
LEAST: Final = 1.5  # what there is at all is seen, however much more there is of something else
GAP: Final = 0.14
BELOW_LEAST: Final = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A path of one kind: its name is its class and stands in the legend."""

    name: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is drawn: ``slots`` wide and a hundred high. ``zero`` is where nothing lies; ``most`` and ``least`` are what the upper and the lower edge mean."""

    slots: int
    shapes: tuple[Shape, ...]
    most: float
    zero: float = HIGH
    least: float = 0.0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to be seen."""
        return not any(shape.path for shape in self.shapes)


def rounded(value: float) -> float:
    """The next number above that people like to read at an axis, of one digit or ending in a half of one; at least 1."""
    if value <= 1:
        return 1
    size = 1.0
    while size * 10 < value:
        size *= 10
    return next(size * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if size * step >= value)


def bars(above: Sequence[tuple[str, Sequence[int]]], below: Sequence[tuple[str, Sequence[int]]], slots: int) -> Picture:
    """Bars that go up for what is well and down for what is not: where a bar lies says what it is, not its colour alone."""
    most = rounded(max(_totals(above, slots), default=0))
    depth = max(_totals(below, slots), default=0)
    if not depth:
        return Picture(slots=slots, shapes=_stacked(above, slots, HIGH, HIGH / most, up=True), most=most)
    under = max(BELOW_LEAST, HIGH * depth / (most + depth))
    zero = HIGH - under
    scale = min(zero / most, under / depth)
    shapes = (*_stacked(above, slots, zero, scale, up=True), *_stacked(below, slots, zero, scale, up=False))
    return Picture(slots=slots, shapes=shapes, most=zero / scale, zero=zero, least=under / scale)


def _totals(stacks: Sequence[tuple[str, Sequence[int]]], slots: int) -> list[int]:
    return [sum(values[index] for _name, values in stacks) for index in range(slots)]


def _stacked(stacks: Sequence[tuple[str, Sequence[int]]], slots: int, zero: float, scale: float, *, up: bool) -> tuple[Shape, ...]:
    ends = [zero] * slots
    shapes: list[Shape] = []
    for name, values in stacks:
        parts: list[str] = []
        for index, value in enumerate(values):
            if value:
                height = max(LEAST, value * scale)
                top = max(0.0, ends[index] - height) if up else ends[index]
                height = ends[index] - top if up else min(height, HIGH - top)
                parts.append(f"M{index + GAP / 2:g} {top:.4g}h{1 - GAP:g}v{height:.4g}h-{1 - GAP:g}z")
                ends[index] = top if up else top + height
        shapes.append(Shape(name=name, path="".join(parts)))
    return tuple(shapes)


def lines(series: Sequence[tuple[str, Sequence[float | None]]], slots: int) -> Picture:
    """Lines through the middles of slots, broken where nothing is known; a value between two unknown ones is a dot."""
    most = rounded(max((value for _name, values in series for value in values if value is not None), default=0))
    shapes: list[Shape] = []
    for name, values in reversed(series):  # the first lies on top
        line, dots = _line(values, most)
        shapes += [Shape(name=name, path=line), Shape(name=f"{name} dot", path=dots)]
    return Picture(slots=slots, shapes=tuple(shapes), most=most)


def _line(values: Sequence[float | None], most: float) -> tuple[str, str]:
    """The line, and the values that have none beside them: of no length, they are drawn as dots."""
    line: list[str] = []
    dots: list[str] = []
    edged = [None, *values, None]
    for index, (before, value, after) in enumerate(zip(edged, edged[1:], edged[2:], strict=False)):
        if value is None:
            continue
        place = f"{index + 0.5:g} {HIGH - HIGH * value / most:.4g}"
        if before is not None:
            line.append(f"L{place}")
        elif after is not None:
            line.append(f"M{place}")
        else:
            dots.append(f"M{place}h0.01")
    return "".join(line), "".join(dots)


def area(name: str, values: Sequence[int], slots: int) -> Picture:
    """How much there was of something: a filled step for each slot."""
    most = rounded(max(values, default=0))
    path = "".join(
        f"M{index} {HIGH - (height := max(LEAST, HIGH * value / most)):.4g}h1v{height:.4g}h-1z"
        for index, value in enumerate(values)
        if value
    )
    return Picture(slots=slots, shapes=(Shape(name=name, path=path),), most=most)


def parts(values: Sequence[float]) -> list[tuple[float, float]]:
    """Values as stretches of one bar of a hundred: where each begins, and how long it is."""
    whole, at, found = sum(values), 0.0, list[tuple[float, float]]()
    for value in values:
        width = HIGH * value / whole if whole else 0.0
        found.append((round(at, 2), round(width, 2)))
        at += width
    return found


def part(value: float, whole: float) -> float:
    """A value as parts of a hundred of a whole, within its bounds."""
    return round(min(HIGH, HIGH * value / whole), 2) if whole > 0 else 0.0
