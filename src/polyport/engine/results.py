"""From an item of a partner's answer to a result: outputs and custom fields under their public names. Pure, and safe on anything a partner may answer.

What is not there, or not of its type, leaves no trace. The readers of an operation are compiled once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from polyport.engine.schema import CustomField, CustomPlace, Place, Schema, custom_places
from polyport.kinds.fields import BITS_LIMIT
from polyport.kinds.wires import Form, compile_form
from polyport.manifest.variables import CustomFields, OutputField, OutputSection, Variable
from polyport.paths import MISSING, get, getter
from polyport.template import RenderFault

Read = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Reader:
    """The outputs of one level, compiled: what to get, how to read it, under which public name."""

    variables: tuple[tuple[str, Read, Read], ...]
    sections: tuple[tuple[str, Read, _Reader], ...]
    custom: _CustomReader | None = None

    def read(self, item: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for public, find, read in self.variables:
            value = read(find(item))
            if value is not MISSING:
                found[public] = value
        for name, find, inner in self.sections:
            listed = find(item)
            if isinstance(listed, dict):
                listed = [listed]
            if isinstance(listed, list):
                found[name] = [inner.read(row) for row in listed]
        if self.custom is not None:
            self.custom.read(item, found)
        return found


@dataclass(frozen=True, slots=True)
class _CustomReader:
    """The custom fields of one level: where the item holds them, and how each is read, by the partner's keys."""

    spec: CustomFields
    find: Read
    readers: Mapping[Any, tuple[str, Read]]

    def read(self, item: Any, found: dict[str, Any]) -> None:
        for key, value in self._pairs(self.find(item)):
            name = str(key) if isinstance(key, int) and key.bit_length() <= BITS_LIMIT else key
            known = self.readers.get(name) if isinstance(name, str) else None
            if known is not None:
                public, read = known
                shown = read(value)
                if shown is not MISSING:
                    found[public] = shown

    def _pairs(self, held: Any) -> Iterator[tuple[Any, Any]]:
        spec = self.spec
        if isinstance(held, dict):
            yield from held.items()
        elif isinstance(held, list) and spec.shape == "list":
            yield from enumerate(held)
        elif isinstance(held, list):
            yield from ((get(row, (spec.pair_key,)), get(row, (spec.pair_value,))) for row in held)


def read_item(schema: Schema, item: Any) -> dict[str, Any]:
    """The output variables and sections of one item, under their public names."""
    reader = schema.compiled.get("reader")
    if reader is None:
        result = schema.operation.result
        customs = {custom.place: custom for custom in custom_places(schema.operation)}
        reader = schema.compiled["reader"] = _compile_reader(schema, customs, result.fields, result.sections, ())
    found: dict[str, Any] = reader.read(item)
    return found


def _compile_reader(
    schema: Schema,
    customs: Mapping[Place, CustomPlace],
    fields: Sequence[OutputField],
    sections: Sequence[OutputSection],
    place: Place,
) -> _Reader:
    variables = []
    for variable in fields:
        find = getter(variable.at if variable.at is not None else (variable.name,))
        variables.append((schema.public(variable.name, place), find, _is_there if variable.exists else _reader_of(variable)))
    inner = [
        (
            section.name,
            getter(section.at if section.at is not None else (section.name,)),
            _compile_reader(schema, customs, section.fields, section.sections, (*place, section.name)),
        )
        for section in sections
    ]
    return _Reader(tuple(variables), tuple(inner), _compile_custom(schema, customs.get(place)))


def _compile_custom(schema: Schema, custom: CustomPlace | None) -> _CustomReader | None:
    """The reader of a level's custom fields; the rows of a section hold them themselves where it does not say where."""
    spec = custom.outputs if custom is not None else None
    if custom is None or spec is None or (spec.result_at is None and not custom.place):
        return None
    entries = schema.custom if not custom.place else schema.row_custom.get(custom.place, ())
    readers = {str(entry.position) if spec.shape == "list" else entry.key: (entry.field.name, _custom_reader(entry)) for entry in entries}
    return _CustomReader(spec, getter(spec.result_at or ()), readers)


def _custom_reader(entry: CustomField) -> Read:
    read, unwrap = _reader_of(entry.field), entry.read
    if unwrap is None:
        return read

    def bare(value: Any) -> Any:
        try:
            return read(unwrap.render({"value": value}))
        except RenderFault:
            return MISSING

    return bare


def _reader_of(variable: Variable) -> Read:
    """The reader of a variable's values, as the partner writes them."""
    read, separator = _form_reader(variable.form, variable.is_array), variable.separator
    return read if separator is None else lambda value: read(_parts(value, separator))


def _is_there(value: Any) -> bool:
    return value is not MISSING and value is not None and value not in ([], "", {})


def read_value(type_name: str, value: Any) -> Any:
    """A partner's value as the public side shows it; ``MISSING`` where there is none or it is not of the type."""
    return _form_reader(Form(type=type_name.removesuffix("[]")), type_name.endswith("[]"))(value)


@lru_cache(maxsize=4096)
def _form_reader(form: Form, several: bool) -> Read:
    read, takes_empty = compile_form(form).read, form.type in {"string", "phone"}

    def one(value: Any) -> Any:
        if value is MISSING or value is None or (value == "" and not takes_empty):
            return MISSING
        try:
            return read(value)
        except (ValueError, TypeError, ArithmeticError, RecursionError):
            return MISSING

    def many(value: Any) -> Any:
        if value is MISSING or value is None:
            return MISSING
        listed = value if isinstance(value, list) else [value]
        return [found for found in (one(item) for item in listed) if found is not MISSING]

    return many if several else one


def _parts(value: Any, separator: str | None) -> Any:
    """The elements of a list that the partner writes as one text; any other value as it is."""
    return [part for part in value.split(separator) if part] if separator is not None and isinstance(value, str) else value
