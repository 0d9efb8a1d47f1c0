"""Filters over texts."""

from __future__ import annotations

from typing import Any, Final

from polyport.template import Filter, to_text


def text(value: Any) -> str:
    """A scalar as text."""
    return to_text(value)


def trim(value: Any) -> str:
    """The text without white space around it."""
    return to_text(value).strip()


def upper(value: Any) -> str:
    """The text in capitals."""
    return to_text(value).upper()


def lower(value: Any) -> str:
    """The text in small letters."""
    return to_text(value).lower()


def split(value: Any, separator: str = ",") -> list[str]:
    """The parts of a text, trimmed, without empty ones."""
    if not separator:
        raise ValueError("split needs a separator")
    return [part.strip() for part in to_text(value).split(separator) if part.strip()]


TEXT: Final[dict[str, Filter]] = {"text": text, "trim": trim, "upper": upper, "lower": lower, "split": split}
