"""Inputs that are secrets: a field that the partner's folder marks as one is masked in all that is shown of a run, as the connection's own secrets are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from polyport.engine.schema import Place, Schema
from polyport.manifest.variables import InputSection


def hidden_names(schema: Schema) -> frozenset[str]:
    """The public names of all fields of an operation, at any depth, that hold secrets."""
    operation = schema.operation
    top = {schema.public(field.name) for field in operation.fields if field.secret}
    return frozenset(top | set(_in_sections(schema, operation.sections, ())))


def _in_sections(schema: Schema, sections: Sequence[InputSection], place: Place) -> Iterator[str]:
    for section in sections:
        within = (*place, section.name)
        yield from (schema.public(field.name, within) for field in section.fields if field.secret)
        yield from _in_sections(schema, section.sections, within)


def without_hidden(names: frozenset[str], data: Any, stand_in: str) -> Any:
    """An input with a stand-in for what is given under these names, at any depth."""
    if isinstance(data, dict):
        return {
            name: stand_in if name in names and value not in (None, "") else without_hidden(names, value, stand_in)
            for name, value in data.items()
        }
    return [without_hidden(names, each, stand_in) for each in data] if isinstance(data, list) else data


def hidden_values(names: frozenset[str], data: Any, *, inside: bool = False) -> frozenset[str]:
    """What stands under these names in an input, in whatever shape it was given."""
    if not names:
        return frozenset()
    if isinstance(data, dict):
        found = (hidden_values(names, value, inside=inside or name in names) for name, value in data.items())
        return frozenset().union(*found)
    if isinstance(data, list):
        return frozenset().union(*(hidden_values(names, value, inside=inside) for value in data))
    shown = str(data) if inside and data is not None and not isinstance(data, bool) else ""
    return frozenset({shown}) if shown else frozenset()
