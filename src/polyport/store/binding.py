"""How the driver is given the parameters of statements: by place, and in types that it need not ask about.

The driver makes a text of each parameter's name to look it up, every time, and asks each value that is no plain number or text whether it would be something
else: its type, then itself, by exceptions. For the thirty parameters of a run that cost more than what SQLite did with them.
"""

from __future__ import annotations

import enum
import re
import sqlite3
from collections.abc import Callable
from operator import attrgetter, itemgetter
from typing import Any, Final

from polyport.store import records
from polyport.store.base import Params

_PLACE: Final = re.compile(r"'[^']*'|:([a-z_][a-z0-9_]*)")
Bound = tuple[str, Callable[[Params], tuple[Any, ...]]]


def bind(sql: str) -> Bound:
    """The statement with numbers in the place of names, and what takes its parameters, in their order, from those that are given by name."""
    names: dict[str, int] = {}

    def numbered(found: re.Match[str]) -> str:
        name = found[1]
        return found[0] if name is None else f"?{names.setdefault(name, len(names) + 1)}"

    text = _PLACE.sub(numbered, sql)
    if not names:
        return text, _nothing
    if len(names) == 1:
        (only,) = names
        return text, lambda given: (given[only],)
    return text, itemgetter(*names)


def _nothing(_given: Params) -> tuple[Any, ...]:
    return ()


def teach_driver() -> None:
    """Tell the driver at once what our values are for it; once a process."""
    nothing: dict[None, None] = {}
    sqlite3.register_adapter(type(None), nothing.get)  # of nothing, nothing: in C
    sqlite3.register_adapter(bool, int)
    sqlite3.register_adapter(bytes, bytes)
    for kind in vars(records).values():
        if isinstance(kind, type) and issubclass(kind, enum.StrEnum | enum.IntEnum) and len(kind):
            sqlite3.register_adapter(kind, attrgetter("_value_"))


def lower(value: Any) -> Any:
    """SQLite's own ``lower`` knows ASCII alone."""
    return value.lower() if isinstance(value, str) else value
