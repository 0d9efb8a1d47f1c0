"""How the driver is given the parameters of statements: by place. By name it would look up each of a run's thirty parameters, every time."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter, itemgetter
from typing import Any, Final

from polyport.store.base import Params, Statement

ONLY_USER: Final = "only_user"
_PLACE: Final = re.compile(r"'[^']*'|:([a-z_][a-z0-9_]*)")
Values = tuple[Any, ...]
Bound = tuple[str, Callable[[Params], Values], Callable[[Statement], Values]]


def bind(sql: str) -> Bound:
    """The statement with numbers in the place of names, and what takes its parameters, in their order: from those that are given by name, and from a record.

    The reach of the caller, which is no field of any record, comes last.
    """
    names = sorted(dict.fromkeys(name for name in _PLACE.findall(sql) if name), key=ONLY_USER.__eq__)
    numbers = {name: number for number, name in enumerate(names, 1)}
    text = _PLACE.sub(lambda found: found[0] if found[1] is None else f"?{numbers[found[1]]}", sql)
    return text, _taker(names), _record_taker(names)


def _taker(names: list[str]) -> Callable[[Params], Values]:
    if not names:
        return _nothing
    if len(names) == 1:
        (only,) = names
        return lambda given: (given[only],)
    return itemgetter(*names)


def _record_taker(names: list[str]) -> Callable[[Statement], Values]:
    fields = [name for name in names if name != ONLY_USER]
    take: Callable[[Any], Values] = (
        attrgetter(*fields) if len(fields) > 1 else lambda record: tuple(getattr(record, name) for name in fields)
    )
    if len(fields) == len(names):
        return lambda statement: take(statement.record)
    return lambda statement: (*take(statement.record), statement.params[ONLY_USER])


def _nothing(_given: Params) -> Values:
    return ()


def lower(*given: Any) -> Any:
    """SQLite's own ``lower`` knows ASCII alone."""
    (value,) = given
    return value.lower() if isinstance(value, str) else value
