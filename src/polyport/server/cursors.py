"""Cursors of lists: where a list goes on, as an opaque text. Pure.

A cursor holds the order of its list and what the last item that was shown has of it. So a page is the one after that item, whatever was made or deleted meanwhile.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final

import msgspec

from polyport.errors import Fault, ValidationFailed
from polyport.store.rows import After

BEGIN: Final = "*"
LONGEST: Final = 4_000
INT_MOST: Final = 1 << 62
_DECODER: Final = msgspec.json.Decoder(list[str | int])


def to_cursor(sort: str | None, place: Sequence[str | int]) -> str:
    """A cursor that goes on after an item: the order of the list, and what places the item in it."""
    return base64.urlsafe_b64encode(msgspec.json.encode([sort or "", *place])).decode().rstrip("=")


def from_cursor(text: str, sort: str | None, kinds: Sequence[type]) -> After | None:
    """The place in a cursor, ``None`` where the list begins (``*``). Raises ``ValidationFailed`` for what is no cursor of a list in this order."""
    if text == BEGIN:
        return None
    if len(text) > LONGEST:
        raise _none()
    try:
        found = _DECODER.decode(base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
    except (ValueError, msgspec.DecodeError):
        raise _none() from None
    place = tuple(found[1:])
    fits = len(place) == len(kinds) and all(
        isinstance(each, kind) and (not isinstance(each, int) or 0 <= each < INT_MOST) for each, kind in zip(place, kinds, strict=True)
    )
    if found[:1] != [sort or ""] or not fits:
        raise _none()
    return place


def _none() -> ValidationFailed:
    message = "This is no cursor of this list in this order. A list begins with cursor=*; meta.nextCursor of a page leads to the next."
    return ValidationFailed.of(Fault(path="cursor", code="invalid_cursor", message=message))
