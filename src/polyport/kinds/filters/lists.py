"""Filters that choose, order and sum up the rows of a list. A column is a path into a row, such as ``price`` or ``customer.name``.

Values are compared as what they are said to be: text (capitals count as small letters, the order is that of Unicode), number, or time. Nothing is guessed: a value
that is none of its kind is refused. A row without a value in a column, or with null there, is left out of comparisons and sums.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from polyport.kinds.filters.data import at, identity_of, steps_of
from polyport.kinds.filters.limits import ITEM_LIMIT, argument_of, choice_of, given, list_of, rows_of, whole_number_of
from polyport.kinds.filters.numbers import add, divide, to_number
from polyport.kinds.filters.times import local_time
from polyport.paths import MISSING
from polyport.template import Filter, RenderFault, to_text

NUMBER_LIMIT: Final = 2**53
_KINDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "text": lambda value: to_text(value).casefold(),
    "number": to_number,
    "time": lambda value: local_time(value, "UTC").to_instant(),
}
_TESTS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "equals": operator.eq,
    "not_equals": operator.ne,
    "greater": operator.gt,
    "at_least": operator.ge,
    "less": operator.lt,
    "at_most": operator.le,
}
_TEXT_TESTS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "contains": lambda text, part: part in text,
    "not_contains": lambda text, part: part not in text,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
}
_PRESENCE: Final[Mapping[str, bool]] = {"exists": True, "missing": False}
_ALL_TESTS: Final[Mapping[str, str]] = {name: name for name in (*_TESTS, *_TEXT_TESTS, *_PRESENCE)}


def where(value: Any, column: Any, test: Any = "exists", other: Any = None, kind: Any = "text") -> Any:
    """The rows whose value in a column meets a test.

    Arguments: the column; the test: equals, not_equals, contains, not_contains, starts_with, ends_with, greater, at_least, less, at_most, exists or missing; the
    other value; and what values are compared as: text, number or time (the tests of parts of a text always compare texts). No other value counts as an empty text.
    ``{{rows | where: "value", "equals", "red"}}`` gives ``[{"name": "color", "value": "red"}]``.
    """
    if value is MISSING:
        return MISSING
    name = choice_of(test, _ALL_TESTS, "test")
    pairs = [(row, _cell(row, column)) for row in rows_of(value)]
    if name in _PRESENCE:
        return [row for row, cell in pairs if (cell is not None) is _PRESENCE[name]]
    part_of_text = name in _TEXT_TESTS
    read = _KINDS["text"] if part_of_text else choice_of(kind, _KINDS, "kind of value")
    holds = _TEXT_TESTS[name] if part_of_text else _TESTS[name]
    wanted = read("" if given(other) is None else other)
    return [row for row, cell in pairs if cell is not None and holds(read(cell), wanted)]


where.takes_missing = True  # type: ignore[attr-defined]  # read by the template compiler


def sort(value: Any, column: Any = "", direction: Any = "ascending", kind: Any = "text") -> list[Any]:
    """The list in an order; equal elements stay as they were, those without a value go to the end.

    Arguments: the column (none: the elements themselves), ascending or descending, and what values are compared as: text, number or time.
    ``{{items | sort}}`` gives ``["a", "b", "b"]``.
    """
    read = choice_of(kind, _KINDS, "kind of value")
    falling = choice_of(direction, {"ascending": False, "descending": True}, "direction")
    pairs = [(element, _cell(element, column)) for element in list_of(value)]
    keyed = [(read(cell), element) for element, cell in pairs if cell is not None]
    keyed.sort(key=operator.itemgetter(0), reverse=falling)
    return [element for _, element in keyed] + [element for element, cell in pairs if cell is None]


def summary(value: Any, column: Any = None) -> Any:
    """What numbers of a list come to: count, sum, average (to 34 digits), minimum and maximum; of no numbers, only count and sum.

    Argument: the column of rows that holds the numbers (none: the elements themselves).
    ``{{numbers | summary}}`` gives ``{"count": 2, "sum": 3, "average": 1.5, "minimum": 1, "maximum": 2}``.
    """
    return MISSING if value is MISSING else _summary(list_of(value), "" if given(column) is None else column)


summary.takes_missing = True  # type: ignore[attr-defined]  # read by the template compiler


def group(value: Any, by: Any = None, column: Any = None) -> Any:
    """Rows with the same value in a column as one row: that value (key, null for rows without one), and their ``summary``.

    Arguments: the column to group by (none: one group), and the column that is summed up (none: rows are only counted).
    ``{{rows | group: "name"}}`` gives ``[{"key": "color", "count": 2}, {"key": "size", "count": 1}]``.
    """
    if value is MISSING:
        return MISSING
    by, column = given(by), given(column)
    groups: dict[bytes, tuple[Any, list[Any]]] = {}
    for row in rows_of(value):
        key = None if by is None else _cell(row, by)
        groups.setdefault(identity_of(key), (key, []))[1].append(row)
    return [{"key": key, **({"count": len(members)} if column is None else _summary(members, column))} for key, members in groups.values()]


group.takes_missing = True  # type: ignore[attr-defined]  # read by the template compiler


def positions(value: Any, wanted: Any, most: Any = ITEM_LIMIT) -> list[int]:
    """Where a value stands in a list: the places, from 0, of the elements with the same text.

    Arguments: the value, and how many places at most. ``{{items | positions: "b"}}`` gives ``[0, 2]``.
    """
    limit = whole_number_of(most, least=0, most=ITEM_LIMIT)
    text = to_text(wanted)
    elements = list_of(value)
    found = (place for place, element in enumerate(elements) if not isinstance(element, dict | list | None) and to_text(element) == text)
    return list(islice(found, limit))


def numbered(value: Any, start: Any = 0, name: Any = "number", content: Any = "value") -> list[dict[str, Any]]:
    """The elements of a list as rows, each with its number; for lists whose elements do not say where they stand.

    Arguments: the first number, and the members of a row that hold the number and the element; they differ.
    ``{{numbers | numbered: 5}}`` gives ``[{"number": 5, "value": 1}, {"number": 6, "value": 2}]``.
    """
    number, inner = argument_of(name), argument_of(content)
    if number == inner:
        raise RenderFault("the number and the element of a row need two members")
    first = whole_number_of(start, least=-NUMBER_LIMIT, most=NUMBER_LIMIT)
    return [{number: place, inner: element} for place, element in enumerate(list_of(value), first)]


def put(value: Any, place: Any, content: Any) -> Any:
    """The rows with a value at a place in each, where there is none; for partners that want the same, such as the currency, in every row.

    Arguments: the place, a path of keys, and the value, a text, a number or a boolean; if there is no value the rows stay as they are.
    ``{{rows | where: "value", "equals", "red" | put: "of.kind", 7}}`` gives ``[{"name": "color", "value": "red", "of": {"kind": 7}}]``.
    """
    if given(value) is None or given(content) is None:
        return value
    steps = steps_of(place)
    keys = [step for step in steps if isinstance(step, str)]
    if not keys or len(keys) != len(steps):
        raise RenderFault("a place in a row is a path of keys, such as price.currency")
    shown = content if isinstance(content, bool | int | Decimal) else argument_of(content)
    return [_with(row, keys, shown) for row in rows_of(value)]


put.takes_missing = True  # type: ignore[attr-defined]  # read by the template compiler


def _with(row: Any, keys: list[str], content: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise RenderFault("a value cannot hold other values")
    key, *deeper = keys
    if not deeper:
        return row if key in row else {**row, key: content}
    return {**row, key: _with(row.get(key, {}), deeper, content)}


def _summary(rows: list[Any], column: Any) -> dict[str, Any]:
    numbers = [to_number(cell) for cell in (_cell(row, column) for row in rows) if cell is not None]
    total: Decimal | int = 0
    for number in numbers:
        total = add(total, number)
    if not numbers:
        return {"count": 0, "sum": total}
    return {"count": len(numbers), "sum": total, "average": divide(total, len(numbers)), "minimum": min(numbers), "maximum": max(numbers)}


def _cell(row: Any, column: Any) -> Any:
    found = at(row, column)
    return None if found is MISSING else found


LISTS: Final[dict[str, Filter]] = {
    "where": where,
    "sort": sort,
    "summary": summary,
    "group": group,
    "positions": positions,
    "numbered": numbered,
    "put": put,
}
