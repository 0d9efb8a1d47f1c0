"""Between records and rows: a record's fields, in order, are a query's columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final, TypeVar

import msgspec

from polyport.store.base import DbRow

R = TypeVar("R")
After = tuple[str | int, ...]  # what places an item in the order of its list


_COLUMNS: Final[dict[type[Any], tuple[str, ...]]] = {}
_VALUES: Final[dict[type[Any], Callable[[Any], tuple[Any, ...]]]] = {}


def columns(kind: type[Any]) -> tuple[str, ...]:
    """The names of a record's fields."""
    found = _COLUMNS.get(kind)
    if found is None:
        found = _COLUMNS[kind] = kind.__struct_fields__ if issubclass(kind, msgspec.Struct) else tuple(field.name for field in fields(kind))
    return found


def params_after(place: After | None) -> dict[str, Any]:
    """The parameters of a list that goes on after an item: what sorts it, and its id."""
    key, after_id = place if place is not None else (None, None)
    return {"after_key": key, "after_id": after_id}


def build(kind: type[R], rows: Sequence[DbRow]) -> R | None:
    """The record of the first row, if there is one."""
    return kind(**dict(zip(columns(kind), rows[0], strict=True))) if rows else None


def params(record: Any, *without: str) -> dict[str, Any]:
    """A record's fields as parameters of a statement."""
    kind = type(record)
    if isinstance(record, msgspec.Struct):
        found = msgspec.structs.asdict(record)
        for name in without:
            del found[name]
        return found
    values = _VALUES.get(kind)
    if values is None:
        values = _VALUES[kind] = attrgetter(*columns(kind))
    found = dict(zip(columns(kind), values(record), strict=True))
    for name in without:
        del found[name]
    return found
