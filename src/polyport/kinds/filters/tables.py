"""Filters between rows and CSV (RFC 4180). A table has at most 10,000 rows and 1,000 columns, a cell at most 131,072 characters."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, Final

from polyport.kinds.filters.data import json_text
from polyport.kinds.filters.limits import ITEM_LIMIT, TEXT_LIMIT, argument_of, bounded, flag_of, given, list_of, rows_of, text_of
from polyport.paths import MISSING
from polyport.template import Filter, RenderFault, to_text

COLUMN_LIMIT: Final = 1_000


def parse_csv(value: Any, delimiter: Any = ",", header: Any = True) -> list[Any]:
    r"""The rows of a CSV text: objects by the names of the first line, or lists of texts where there is no such line. All cells are texts; empty lines are passed over.

    Arguments: the character between cells, and whether the first line has names (a column without one becomes ``column`` and its number).
    ``{{"id;name\n7;Ada" | parse_csv: ";"}}`` gives ``[{"id": "7", "name": "Ada"}]``.
    """
    lines = _lines(text_of(value).removeprefix("\ufeff"), _delimiter(delimiter))
    if not flag_of(header):
        return list(lines)
    names = [name.strip() or f"column{number}" for number, name in enumerate(next(lines, []), start=1)]
    if len(set(names)) != len(names):
        raise RenderFault("two columns of this CSV have one name")
    return [_row(names, cells) for cells in lines]


def _lines(text: str, delimiter: str) -> Iterator[list[str]]:
    count = 0
    try:
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            if not cells:
                continue
            count += 1
            if count > ITEM_LIMIT + 1 or len(cells) > COLUMN_LIMIT:
                raise RenderFault(f"a table has at most {ITEM_LIMIT} rows and {COLUMN_LIMIT} columns here")
            yield cells
    except csv.Error:
        raise RenderFault("this is not CSV: a quotation mark is not closed or stands inside a cell, or a cell is too long") from None


def _row(names: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) > len(names):
        raise RenderFault("a row of this CSV has more cells than there are columns")
    return dict(zip(names, cells, strict=False))


def to_csv(value: Any, delimiter: Any = ",", columns: Any = None, header: Any = True) -> Any:
    r"""Rows as CSV text; lines end with CR LF, cells are quoted where they have to be. No value and null are an empty cell, lists and objects are JSON.

    Arguments: the character between cells, the names of the columns in their order (none: all members of the rows, as they come), and whether a first line names them.
    ``{{rows | csv: ";"}}`` gives ``"name;value\r\ncolor;red\r\ncolor;blue\r\nsize;L\r\n"``.
    """
    if value is MISSING:
        return MISSING
    rows, columns = rows_of(value), given(columns)
    names = _names(rows) if columns is None else [argument_of(name) for name in list_of(columns)]
    if len(set(names)) != len(names) or len(names) > COLUMN_LIMIT:
        raise RenderFault(f"columns differ, and there are at most {COLUMN_LIMIT}")
    if len(names) * len(rows) > TEXT_LIMIT:
        raise RenderFault(f"a text has at most {TEXT_LIMIT} characters here")
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=_delimiter(delimiter))
    if flag_of(header):
        writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return bounded(written.getvalue())


to_csv.takes_missing = True  # type: ignore[attr-defined]  # read by the template compiler


def _names(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return json_text(value) if isinstance(value, list | dict) else to_text(value)


def _delimiter(value: Any) -> str:
    text = to_text(value)
    if len(text) != 1 or text in '"\r\n':
        raise RenderFault("the delimiter is one character, such as a comma, and no quotation mark or line break")
    return text


TABLES: Final[dict[str, Filter]] = {"parse_csv": parse_csv, "csv": to_csv}
