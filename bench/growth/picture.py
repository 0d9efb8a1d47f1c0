"""A curve as SVG: both axes by powers of ten, light and dark by the reader's choice, no script. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

WIDTH: Final = 640
HEIGHT: Final = 320
_LEFT: Final = 70
_RIGHT: Final = 20
_TOP: Final = 34
_BOTTOM: Final = 48
_STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:#333}.grid{stroke:#ddd}.line{fill:none;stroke:#06c;stroke-width:2}.dot{fill:#06c}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}.grid{stroke:#444}.line{stroke:#6bf}.dot{fill:#6bf}}"
)


def draw(title: str, across: str, up: str, points: Sequence[tuple[float, float]]) -> str:
    """The picture. A point at 0 stands where the axis begins."""
    xs = _axis([x for x, _y in points])
    ys = _axis([y for _x, y in points])
    placed = [(_place(x, xs, _LEFT, WIDTH - _RIGHT), _place(y, ys, HEIGHT - _BOTTOM, _TOP), y) for x, y in points]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}"><style>{_STYLE}</style>',
        f'<text x="{_LEFT}" y="18">{escape(title)}</text>',
        f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 10}" text-anchor="end">{escape(across)}</text>',
        f'<text x="8" y="{_TOP - 2}" font-size="11">{escape(up)}</text>' if up != title else "",
    ]
    for power in range(xs[0], xs[1] + 1):
        x = _place(10.0**power, xs, _LEFT, WIDTH - _RIGHT)
        parts.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{HEIGHT - _BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{_short(10.0**power)}</text>')
    for power in range(ys[0], ys[1] + 1):
        y = _place(10.0**power, ys, HEIGHT - _BOTTOM, _TOP)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(10.0**power)}</text>')
    parts.append('<path class="line" d="M' + "L".join(f"{x:.1f} {y:.1f}" for x, y, _value in placed) + '"/>')
    parts += [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{value:,.0f}</title></circle>' for x, y, value in placed]
    return "\n".join([*filter(None, parts), "</svg>", ""])


def _axis(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten between which they lie: at least one apart."""
    over = [value for value in values if value > 0] or [1.0]
    low = math.floor(math.log10(min(over)))
    return low, max(low + 1, math.ceil(math.log10(max(over))))


def _place(value: float, axis: tuple[int, int], start: float, end: float) -> float:
    at = math.log10(value) if value > 0 else axis[0]
    return start + (end - start) * (at - axis[0]) / (axis[1] - axis[0])


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
