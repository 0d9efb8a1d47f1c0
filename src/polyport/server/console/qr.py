"""A QR code as the path of an SVG: no picture to fetch, no style, sharp at any size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

QUIET: Final = 4  # modules of white around it, as the standard asks for


@dataclass(frozen=True, slots=True, kw_only=True)
class QrPath:
    """The path ``d`` in a square of ``size``."""

    d: str
    size: int


def qr_path(text: str) -> QrPath:
    """The code of a text."""
    import segno  # noqa: PLC0415  codes are seldom shown

    rows = [bytes(row) for row in segno.make(text, error="m", micro=False).matrix]
    parts = [f"M{x + QUIET} {y + QUIET}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark]
    return QrPath(d="".join(parts), size=len(rows) + 2 * QUIET)
