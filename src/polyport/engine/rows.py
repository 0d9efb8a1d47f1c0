"""The shapes that rows have on the wire: objects, lists, a map, bare values. Made of rows that were checked; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from polyport.engine.custom import gather, in_order
from polyport.engine.schema import CustomField
from polyport.manifest.variables import CustomFields, InputSection, is_scalar_map
from polyport.paths import MISSING, put
from polyport.template import to_text

Row = dict[str, Any]
WriteRow = Callable[[Row, Row], Any]
Report = Callable[[int, str, str], None]
Close = Callable[[list[Any], Report], Any]


def row_writer(section: InputSection, entries: Sequence[CustomField]) -> WriteRow | None:
    """From a row's values and its custom values, by the partner's keys, to the row on the wire; ``None`` where the values are just that."""
    names = [field.name for field in section.fields]
    if section.shape == "lists":
        return lambda row, own: [*(row.get(name) for name in names), *in_order(own, entries)]
    if section.shape == "values":
        return lambda row, _own: row.get(names[0], MISSING)
    spec = section.custom_fields
    joined = _joiner(spec, entries) if spec is not None else None
    if section.shape in {"objects", "object"}:
        return _without_unsent(section, joined)
    key, bare, unsent = names[0], names[1] if is_scalar_map(section) else None, _unsent(section)

    def pair(row: Row, own: Row) -> Any:
        for name in unsent:
            row.pop(name, None)
        if joined is not None:
            joined(row, own)
        name = row.pop(key, MISSING)
        return name, row if bare is None else row.get(bare, MISSING)

    return pair


def _unsent(section: InputSection) -> list[str]:
    """Where in a row fields stand that only choose what applies: they are taken out before it is sent."""
    return [str(field.at[0]) if field.at else field.name for field in section.fields if not field.sent]


def _without_unsent(section: InputSection, joined: WriteRow | None) -> WriteRow | None:
    unsent = _unsent(section)
    if not unsent:
        return joined

    def write(row: Row, own: Row) -> Any:
        for name in unsent:
            row.pop(name, None)
        return row if joined is None else joined(row, own)

    return write


def _joiner(spec: CustomFields, entries: Sequence[CustomField]) -> WriteRow:
    at = tuple(str(step) for step in spec.at) if spec.at is not None else None

    def join(row: Row, own: Row) -> Any:
        if own and at is not None:
            put(row, at, gather(spec, own, entries))
        else:
            row.update(own)
        return row

    return join


def rows_closer(section: InputSection) -> Close | None:
    """From the written rows to what stands on the wire; ``None`` where that is their list. It reports keys of a map that stand twice, by the row."""
    if section.shape == "values":
        return lambda rows, _report: [value for value in rows if value is not MISSING]
    if section.shape == "object":
        return lambda rows, _report: rows[0] if rows else MISSING
    return _as_map if section.shape == "map" else None


def _as_map(rows: list[Any], report: Report) -> Any:
    found: dict[str, Any] = {}
    taken: set[str] = set()
    for index, (name, value) in enumerate(rows):
        if name is MISSING:
            continue
        text = to_text(name)
        if text in taken:
            report(index, "duplicate_key", "Another row has the same key: each stands once.")
        taken.add(text)
        if value is not MISSING:
            found[text] = value
    return found
