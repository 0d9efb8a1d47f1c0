"""Filters over lists, rows (lists of objects), objects and JSON. A list has at most 10,000 elements, a value nests at most 64 levels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from polyport.kinds.fields import DIGITS_LIMIT, EXPONENT_LIMIT
from polyport.kinds.filters.limits import (
    ITEM_LIMIT,
    TEXT_LIMIT,
    argument_of,
    bounded,
    choice_of,
    given,
    list_of,
    object_of,
    rows_of,
    shallow,
    text_of,
    whole_number_of,
)
from polyport.kinds.filters.text import split
from polyport.paths import MISSING, get, parse_path
from polyport.template import Filter, RenderFault, to_text

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_IDENTITY: Final = msgspec.json.Encoder(decimal_format="number", order="deterministic")
_STRICT: Final = msgspec.json.Decoder(float_hook=str)


def default(value: Any, other: Any) -> Any:
    """The value, or another where there is none (null is a value).

    ``{{nickname | default: "friend"}}`` gives ``"friend"``.
    """
    return other if value is MISSING else value


default.takes_missing = True  # type: ignore[attr-defined]  # read by the template compiler


def otherwise(value: Any, other: Any) -> Any:
    """The value, or another where there is none, or only null or an empty text.

    ``{{"" | otherwise: "friend"}}`` gives ``"friend"``.
    """
    return other if value is MISSING or value is None or value == "" else value


otherwise.takes_missing = True  # type: ignore[attr-defined]  # read by the template compiler


def then(_value: Any, other: Any) -> Any:
    """Another value where there is one: a constant that goes along with it.

    ``{{person.name | then: "text/plain"}}`` gives ``"text/plain"``.
    """
    return other


def json_text(value: Any) -> str:
    """The value as JSON text; numbers keep their digits.

    ``{{"1.50" | number | json}}`` gives ``"1.50"``.
    """
    return bounded(_ENCODER.encode(shallow(value)).decode())


def parse_json(value: Any) -> Any:
    """The value that a JSON text stands for; numbers keep their digits. Names that stand twice in an object are refused, and so is NaN.

    ``{{"[1, 2.50]" | parse_json}}`` gives ``[1, 2.50]``.
    """
    document = text_of(value)
    try:
        # Two readers: the strict one refuses what is not JSON or half a character, the second sees repeated names and keeps the digits.
        _STRICT.decode(document)
        return shallow(json.loads(document, object_pairs_hook=_members, parse_float=_fraction, parse_int=_whole))
    except RenderFault:
        raise
    except (ValueError, RecursionError):
        raise RenderFault("this is not JSON") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise RenderFault("a name stands twice in an object of this JSON")
    return members


def _fraction(digits: str) -> Decimal:
    if len(digits) <= 2 * DIGITS_LIMIT:
        with suppress(InvalidOperation):
            number = Decimal(digits)
            if abs(number.adjusted()) <= EXPONENT_LIMIT:
                return number
    raise RenderFault("a number of absurd size stands in this JSON")


def _whole(digits: str) -> int:
    if len(digits) > DIGITS_LIMIT:
        raise RenderFault("a number of absurd size stands in this JSON")
    return int(digits)


def join(value: Any, separator: Any = ",") -> str:
    """A list of texts, numbers and booleans as one text; elements that are null are left out.

    Argument: the text between them. ``{{items | join: " + "}}`` gives ``"b + a + b"``.
    """
    between = text_of(separator)
    parts = [to_text(item) for item in list_of(value) if item is not None]
    if sum(map(len, parts)) + len(between) * max(len(parts) - 1, 0) > TEXT_LIMIT:
        raise RenderFault(f"a text has at most {TEXT_LIMIT} characters here")
    return between.join(parts)


def first(value: Any) -> Any:
    """The first element of a list; nothing where the list is empty.

    ``{{items | first}}`` gives ``"b"``.
    """
    return item(list_of(value), 0)


def last(value: Any) -> Any:
    """The last element of a list; nothing where the list is empty.

    ``{{items | last}}`` gives ``"b"``.
    """
    return item(list_of(value), -1)


def item(value: Any, which: Any) -> Any:
    """An element of a list, or a member of an object; nothing where there is none.

    Argument: the number of the element (0 is the first, -1 the last), or the member's name. ``{{items | item: 1}}`` gives ``"a"``.
    """
    if isinstance(value, dict):
        return value.get(argument_of(which), MISSING)
    number = whole_number_of(which, least=-ITEM_LIMIT, most=ITEM_LIMIT)
    elements = list_of(value)
    return elements[number] if -len(elements) <= number < len(elements) else MISSING


def at(value: Any, path: Any) -> Any:
    """What stands at a path such as ``data.items[0].name`` in a value; nothing where there is nothing.

    ``{{rows | at: "[0].name"}}`` gives ``"color"``.
    """
    return get(value, steps_of(path))


def steps_of(path: Any) -> tuple[Any, ...]:
    """The steps of a path that is an argument of a filter."""
    try:
        return parse_path(argument_of(path))
    except ValueError:
        raise RenderFault("a path looks like data.items[0].name and has at most 32 steps") from None


def keys(value: Any) -> list[str]:
    """The names of an object's members, in their order.

    ``{{person | keys}}`` gives ``["name", "age"]``.
    """
    return list(object_of(value))


def unique(value: Any, key: Any = None) -> Any:
    """A list without repeats: the first of equal elements stays.

    Argument: the member by which rows are compared; rows without it stay. ``{{items | unique}}`` gives ``["b", "a"]``.
    """
    if value is MISSING:
        return MISSING
    seen: set[bytes] = set()
    if given(key) is None:
        return [element for element in list_of(value) if _is_new(element, seen)]
    return [row for row in rows_of(value) if key not in row or _is_new(row[key], seen)]


unique.takes_missing = True  # type: ignore[attr-defined]  # read by the template compiler


def _is_new(value: Any, seen: set[bytes]) -> bool:
    identity = identity_of(value)
    if identity in seen:
        return False
    seen.add(identity)
    return True


def identity_of(value: Any) -> bytes:
    """The same for equal values and for nothing else; the order of an object's members does not count."""
    return _IDENTITY.encode(shallow(value))


def rows(value: Any, name: Any = "value", separator: Any = "\n") -> list[dict[str, Any]]:
    """A text or a list as rows: every part, trimmed and not empty, or every element becomes an object with one member; objects stay.

    Arguments: the member's name, and the text between the parts (a new line). ``{{"a;b" | rows: "tag", ";"}}`` gives ``[{"tag": "a"}, {"tag": "b"}]``.
    """
    member = argument_of(name)
    elements = list_of(value) if isinstance(value, list) else split(value, separator)
    return [element if isinstance(element, dict) else {member: element} for element in elements]


def merge(value: Any, other: Any, key: Any, keep: Any = "all") -> list[dict[str, Any]]:
    """Two lists of rows as one: rows with the same text under a key become one row; where both have a member, the first list's stays.

    Arguments: the other rows, the key, and which rows stay: all, first (those of the first list), both (those found in both lists). Of the other
    rows with the same key, the last counts. ``{{rows | merge: more, "name", "both"}}`` gives ``[{"name": "size", "value": "L", "unit": "EU"}]``.
    """
    left, right, name = rows_of(value), rows_of(other), argument_of(key)
    take = choice_of(keep, {"all": (True, True), "first": (True, False), "both": (False, False)}, "choice of rows")
    partners = {to_text(row[name]): row for row in right if row.get(name) is not None}
    merged: list[dict[str, Any]] = []
    used: set[str] = set()
    for row in left:
        text = to_text(row[name]) if row.get(name) is not None else None
        partner = partners.get(text) if text is not None else None
        if partner is not None and text is not None:
            used.add(text)
            merged.append({**row, **{member: content for member, content in partner.items() if member not in row}})
        elif take[0]:
            merged.append(row)
    if take[1]:
        merged.extend(row for row in right if row.get(name) is None or to_text(row[name]) not in used)
    return list_of(merged)


def to_object(value: Any, name: Any = "name", content: Any = "value") -> Any:
    """Rows of names and values as one object; a name that stands in several rows gets the list of its values.

    Arguments: the member of a row that holds the name, and the one that holds the value. Rows without a name or a value are left out; null in place of
    rows gives nothing.
    ``{{rows | to_object}}`` gives ``{"color": ["red", "blue"], "size": "L"}``.
    """
    if value is None:
        return MISSING
    found: dict[str, Any] = {}
    repeated: set[str] = set()
    for text, inner in _named(value, argument_of(name), argument_of(content)):
        if text in repeated:
            found[text].append(inner)
        elif text in found:
            repeated.add(text)
            found[text] = [found[text], inner]
        else:
            found[text] = inner
    return found


def _named(value: Any, name: str, content: str) -> Iterator[tuple[str, Any]]:
    for row in rows_of(value):
        if row.get(name) is not None and content in row:
            yield to_text(row[name]), row[content]


def from_object(value: Any, name: Any = "name", content: Any = "value") -> list[dict[str, Any]]:
    """An object as rows of names and values.

    Arguments: the members of a row that hold the name and the value; they differ.
    ``{{person | from_object: "key"}}`` gives ``[{"key": "name", "value": "Ada"}, {"key": "age", "value": 36}]``.
    """
    key, inner = argument_of(name), argument_of(content)
    if key == inner:
        raise RenderFault("the name and the value of a row need two members")
    return [{key: member, inner: held} for member, held in object_of(value).items()]


DATA: Final[dict[str, Filter]] = {
    "default": default,
    "otherwise": otherwise,
    "then": then,
    "json": json_text,
    "parse_json": parse_json,
    "join": join,
    "first": first,
    "last": last,
    "item": item,
    "at": at,
    "keys": keys,
    "unique": unique,
    "rows": rows,
    "merge": merge,
    "to_object": to_object,
    "from_object": from_object,
}
