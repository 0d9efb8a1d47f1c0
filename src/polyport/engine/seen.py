"""What a poller remembers of a trigger's items, so that each counts once, and again when it has changed. Pure and bounded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from polyport.paths import MISSING, Path, get

REMEMBERED: Final = 10_000
_ENCODER: Final = msgspec.json.Encoder(decimal_format="string", order="sorted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The items that count now, in their order, and what to remember from now on: the marks, the latest last."""

    fresh: list[Any]
    remembered: tuple[str, ...]


def seen(remembered: Iterable[str], items: Sequence[Any], key: Path, changed: Path | None = None, *, limit: int = REMEMBERED) -> Seen:
    """Tell the items apart that were seen before.

    A mark is a digest of the ``key`` and of what stands at ``changed``, so an item that changed counts again, and nothing of it is kept in the clear. An item without a key has no mark: it always counts.
    At most ``limit`` marks are remembered, those met longest ago give way: it has to be more than the items of one reading, or what gave way counts again.
    """
    marks = dict.fromkeys(remembered)
    fresh: list[Any] = []
    for item in items:
        mark = mark_of(item, key, changed)
        if mark is None:
            fresh.append(item)
            continue
        if mark in marks:
            del marks[mark]  # met again: it moves to the end and outlives those that are gone
        else:
            fresh.append(item)
        marks[mark] = None
    return Seen(fresh=fresh, remembered=tuple(marks)[-limit:] if limit else ())


def mark_of(item: Any, key: Path, changed: Path | None = None) -> str | None:
    """The mark of an item: 22 characters; ``None`` for one without a key. ``1`` and ``"1"`` are two keys."""
    found = get(item, key)
    if found is MISSING or found is None:
        return None
    state = get(item, changed) if changed is not None else None
    try:
        text = _ENCODER.encode([found, None if state is MISSING else state])
    except (TypeError, ValueError, RecursionError, OverflowError):
        return None
    return hashlib.sha256(text).hexdigest()[:22]
