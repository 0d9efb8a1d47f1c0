"""What every filter keeps to: no text, no list and no nesting beyond these limits, whatever comes in.

A filter reads its values through these functions and gives its result through them. They raise ``RenderFault`` (a ``ValueError``) with a sentence that
never repeats a value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from polyport.kinds.fields import ValueFault
from polyport.paths import MISSING
from polyport.template import RenderFault, to_text

TEXT_LIMIT: Final = 1_048_576
ITEM_LIMIT: Final = 10_000
DEPTH_LIMIT: Final = 64
ARGUMENT_LIMIT: Final = 1_000

Read = TypeVar("Read")


def read(coerce: Callable[[Any], Read], value: Any) -> Read:
    """A value as a field type reads it; its fault becomes one of the template."""
    try:
        return coerce(value)
    except ValueFault as fault:
        raise RenderFault(fault.message.rstrip(".")) from None


def text_of(value: Any) -> str:
    """A scalar as text of at most ``TEXT_LIMIT`` characters."""
    return bounded(to_text(value))


def argument_of(value: Any) -> str:
    """A scalar as a short text: separators, patterns, zones, names of options."""
    text = to_text(value)
    if len(text) > ARGUMENT_LIMIT:
        raise RenderFault(f"an argument of a filter has at most {ARGUMENT_LIMIT} characters")
    return text


def bytes_of(value: Any) -> bytes:
    """A scalar's text in UTF-8."""
    try:
        return text_of(value).encode()
    except UnicodeEncodeError:
        raise RenderFault("a text has half of a character pair") from None


def bounded(text: str) -> str:
    """The text, if it is not too long."""
    if len(text) > TEXT_LIMIT:
        raise RenderFault(f"a text has at most {TEXT_LIMIT} characters here")
    return text


def list_of(value: Any) -> list[Any]:
    """A list of at most ``ITEM_LIMIT`` elements."""
    if not isinstance(value, list):
        raise RenderFault("a list is needed here")
    if len(value) > ITEM_LIMIT:
        raise RenderFault(f"a list has at most {ITEM_LIMIT} elements here")
    return value


def rows_of(value: Any) -> list[dict[str, Any]]:
    """A list of objects, of at most ``ITEM_LIMIT``."""
    rows = list_of(value)
    if not all(isinstance(row, dict) for row in rows):
        raise RenderFault("a list of objects is needed here")
    return rows


def object_of(value: Any) -> dict[str, Any]:
    """An object of at most ``ITEM_LIMIT`` members."""
    if not isinstance(value, dict):
        raise RenderFault("an object is needed here")
    if len(value) > ITEM_LIMIT:
        raise RenderFault(f"an object has at most {ITEM_LIMIT} members here")
    return value


def whole_number_of(value: Any, *, least: int, most: int) -> int:
    """A whole number argument between two bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise RenderFault(f"an argument has to be a whole number from {least} to {most}")
    return value


def given(argument: Any) -> Any:
    """An argument of a filter that also takes none; nothing and null count as not given."""
    return None if argument is MISSING else argument


def flag_of(value: Any) -> bool:
    """A yes or a no."""
    if not isinstance(value, bool):
        raise RenderFault("an argument has to be true or false")
    return value


def choice_of(value: Any, choices: Mapping[str, Read], what: str) -> Read:
    """What one of a few words stands for."""
    if not isinstance(value, str) or value not in choices:
        raise RenderFault(f"the {what} is one of {', '.join(choices)}")
    return choices[value]


def shallow(value: Any) -> Any:
    """The value, if it nests at most ``DEPTH_LIMIT`` levels. Walks level by level, so that depth costs no stack."""
    level = [value]
    for _ in range(DEPTH_LIMIT + 1):
        level = [inner for outer in level for inner in _inner(outer)]
        if not level:
            return value
    raise RenderFault(f"a value nests at most {DEPTH_LIMIT} levels here")


def _inner(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return list(value.values()) if isinstance(value, dict) else []
