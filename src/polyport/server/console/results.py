"""A mapped result for people: lists of objects as tables, all else row by row, and what of it are times and files. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from polyport.server.console.controls import DATETIME

ROWS_MOST: Final = 200
TABLE_ROWS: Final = 100
COLUMNS_MOST: Final = 24
LATEST: Final = 253_402_300_799  # the end of the year 9999, in unix seconds
_FILE: Final = re.compile(r"file_[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A value of a result: ``moment`` is a time in unix seconds, ``file`` the id of a kept file."""

    value: Any
    moment: float | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A list of objects: its path, its columns, its rows, and how many more rows and columns there are."""

    path: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | None]]
    more_rows: int
    more_columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A result: ``rows`` of path and value, then ``tables``; ``more`` says that not all rows are here."""

    rows: Sequence[tuple[str, Cell]] = ()
    tables: Sequence[Table] = ()
    more: bool = False


def shown_result(result: Any, shown: Mapping[str, Any]) -> Shown:
    """A result, by what the operation says of its fields."""
    times = _times(shown)
    rows: list[tuple[str, Cell]] = []
    tables: list[Table] = []
    pending: list[tuple[str, Any]] = [("", result)]
    while pending and len(rows) < ROWS_MOST:
        place, each = pending.pop(0)
        if isinstance(each, dict) and each:
            pending[:0] = [(f"{place}.{name}" if place else str(name), inner) for name, inner in each.items()]
        elif isinstance(each, list) and len(each) > 1 and all(isinstance(inner, dict) for inner in each):
            tables.append(_table(place, each, times))
        elif isinstance(each, list) and any(isinstance(inner, dict | list) for inner in each):
            pending[:0] = [(f"{place}[{index}]", inner) for index, inner in enumerate(each)]
        elif place:
            rows.append((place, _cell(place, each, times)))
    return Shown(rows=rows, tables=tables, more=bool(pending))


def _times(shown: Mapping[str, Any]) -> frozenset[str]:
    """The fields that are times, as names without places in lists."""
    found: set[str] = set()
    pending: list[tuple[str, Mapping[str, Any], int]] = [("", shown, 0)]
    while pending:
        around, level, depth = pending.pop()
        found.update(around + told["name"] for told in level.get("variables", ()) if told["type"] == DATETIME)
        if depth < 16:
            pending.extend((f"{around}{each['name']}.", each, depth + 1) for each in level.get("rowSections", ()))
    return frozenset(found)


def _cell(path: str, value: Any, times: frozenset[str]) -> Cell:
    name = re.sub(r"\[\d+\]", "", path)
    is_time = name in times or name.removeprefix("items.") in times
    number = isinstance(value, int | float) and not isinstance(value, bool)
    moment = float(value) if is_time and number and 0 <= value <= LATEST else None
    return Cell(value=value, moment=moment, file=value if isinstance(value, str) and _FILE.fullmatch(value) else None)


def _table(path: str, items: Sequence[Mapping[str, Any]], times: frozenset[str]) -> Table:
    columns = list(dict.fromkeys(str(name) for item in items[:TABLE_ROWS] for name in item))
    kept = columns[:COLUMNS_MOST]
    rows = [[_cell(f"{path}.{name}", item[name], times) if name in item else None for name in kept] for item in items[:TABLE_ROWS]]
    return Table(path=path, columns=kept, rows=rows, more_rows=max(0, len(items) - TABLE_ROWS), more_columns=len(columns) - len(kept))
