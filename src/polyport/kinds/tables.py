"""CSV answers as rows: objects by header, or lists where there is none. Linear in the size of the answer, and bounded in rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

ROWS_LIMIT: Final = 100_000
COLUMNS_LIMIT: Final = 1_000


class TableFault(ValueError):
    """A text that is no table we read; the message is a clause that never repeats it."""


def read_csv(text: str, delimiter: str = ",", header: bool | Sequence[str] = True) -> list[Any]:
    """The rows of a table. ``header``: the first row has the names (of a repeated name the first counts), there are none (rows are lists), or they are these.

    A row that is too short lacks its last values; what is beyond the names, and empty lines, are passed over. Raises ``TableFault``.
    """
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None if header is True or header is False else list(header)
    found: list[Any] = []
    try:
        for row in rows:
            if not row:
                continue
            if len(row) > COLUMNS_LIMIT:
                raise TableFault(f"has more than {COLUMNS_LIMIT} columns")
            if header is True and names is None:
                names = [name.strip() for name in row]
                continue
            if len(found) == ROWS_LIMIT:
                raise TableFault(f"has more than {ROWS_LIMIT} rows")
            found.append(row if names is None else _named(names, row))
    except csv.Error:
        raise TableFault("is not CSV") from None
    return found


def _named(names: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for name, value in zip(names, row, strict=False):
        named.setdefault(name, value)
    return named
