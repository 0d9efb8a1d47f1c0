"""From an item of a partner's answer to a result: outputs and custom fields under their public names. Pure, and safe on anything a partner may answer.

What is not there, or not of its type, leaves no trace. The readers of an operation are compiled once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from polyport.engine.schema import ROWS_DEPTH, CustomField, CustomPlace, Place, Schema, custom_places
from polyport.kinds.fields import BITS_LIMIT, coerce_boolean, coerce_integer, coerce_nullable_boolean, coerce_string
from polyport.kinds.wires import Form, compile_form
from polyport.manifest.variables import CustomFields, OutputField, OutputSection, Variable, is_scalar_map
from polyport.paths import MISSING, get, getter
from polyport.template import RenderFault

Read = Callable[[Any], Any]


_NOTHING: Final[dict[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class _Reader:
    """The outputs of one level, compiled: under which public name, the key of what stands at no longer path, what to get, how to read it.

    The last of each is the Python type whose values are what they are read as: nearly all that partners answer.
    """

    variables: tuple[tuple[str, str | None, Read, Read, Any], ...]
    sections: list[tuple[str, Read, _RowReader]]
    custom: _CustomReader | None = None

    def read(self, item: Any, depth: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = {}
        keyed = item if isinstance(item, dict) else _NOTHING
        for public, key, find, read, plain in self.variables:
            raw = find(item) if key is None else keyed.get(key, MISSING)
            if raw.__class__ is plain and (raw.isprintable() if plain is str else plain is bool or raw.bit_length() < 64):
                found[public] = raw
                continue
            if (raw is MISSING or raw is None) and read is not _is_there:
                continue
            value = read(raw)
            if value is not MISSING:
                found[public] = value
        for name, find, rows in self.sections:
            listed = rows.listed(find(item))
            if isinstance(listed, list) and depth < ROWS_DEPTH:
                found[name] = [rows.read(row, depth + 1) for row in listed]
        if self.custom is not None:
            self.custom.read(item, found)
        return found


@dataclass(frozen=True, slots=True)
class _RowReader:
    """The rows of one section: ``listed`` gives their list, ``key`` reads the key of a map, whose rows are pairs."""

    listed: Read
    level: _Reader
    key: tuple[str, Read] | None

    def read(self, row: Any, depth: int) -> dict[str, Any]:
        if self.key is None:
            return self.level.read(row, depth)
        name, value = row
        public, read = self.key
        key = read(name)
        return ({} if key is MISSING else {public: key}) | self.level.read(value, depth)


@dataclass(frozen=True, slots=True)
class _CustomReader:
    """The custom fields of one level: where the item holds them, and how each is read, by the partner's keys."""

    spec: CustomFields
    find: Read
    readers: Mapping[Any, tuple[str, Read]]

    def read(self, item: Any, found: dict[str, Any]) -> None:
        held = self.find(item)
        for key, value in held.items() if isinstance(held, dict) else self._pairs(held):
            name = str(key) if isinstance(key, int) and key.bit_length() <= BITS_LIMIT else key
            known = self.readers.get(name) if isinstance(name, str) else None
            if known is not None:
                public, read = known
                shown = read(value)
                if shown is not MISSING:
                    found[public] = shown

    def _pairs(self, held: Any) -> Iterator[tuple[Any, Any]]:
        spec = self.spec
        if isinstance(held, list) and spec.shape == "list":
            yield from enumerate(held)
        elif isinstance(held, list):
            place = (spec.pair_value,) if spec.pair_value else ()
            yield from ((get(row, (spec.pair_key,)), get(row, place)) for row in held)


def read_item(schema: Schema, item: Any) -> dict[str, Any]:
    """The output variables and sections of one item, under their public names."""
    reader = schema.compiled.get("reader")
    if reader is None:
        result = schema.operation.result
        customs = {custom.place: custom for custom in custom_places(schema.operation)}
        reader = schema.compiled["reader"] = _compile_reader(schema, customs, result.fields, ())
        _add_sections(schema, customs, reader, result.sections, (), {})
    found: dict[str, Any] = reader.read(item)
    return found


def _compile_reader(
    schema: Schema,
    customs: Mapping[Place, CustomPlace],
    fields: Sequence[OutputField],
    place: Place,
    shape: str = "objects",
) -> _Reader:
    variables = []
    for position, variable in enumerate(fields):
        default = (position,) if shape == "lists" else () if shape == "values" else (variable.name,)
        path = variable.at if variable.at is not None else default
        key = path[0] if len(path) == 1 and isinstance(path[0], str) else None
        read = _is_there if variable.exists else _reader_of(variable)
        plain = None if variable.exists else _plain_type(variable)
        variables.append((schema.public(variable.name, place), key, getter(path), read, plain))
    first = len(fields) if shape == "lists" else None
    return _Reader(tuple(variables), [], _compile_custom(schema, customs.get(place), first))


def _add_sections(
    schema: Schema,
    customs: Mapping[Place, CustomPlace],
    level: _Reader,
    sections: Sequence[OutputSection],
    place: Place,
    around: Mapping[str, _RowReader],
) -> None:
    for section in sections:
        find = getter(section.at if section.at is not None else (section.name,))
        if section.like is not None:
            level.sections.append((section.name, find, around[section.like]))
            continue
        inner = (*place, section.name)
        fields, key, shape = section.fields, None, section.shape
        if shape == "map":
            key, fields = (schema.public(fields[0].name, inner), _reader_of(fields[0])), fields[1:]
            shape = "values" if is_scalar_map(section) else "objects"
        reader = _compile_reader(schema, customs, fields, inner, shape)
        rows = _RowReader(_LISTED[section.shape], reader, key)
        level.sections.append((section.name, find, rows))
        _add_sections(schema, customs, reader, section.sections, inner, {**around, section.name: rows})


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


_LISTED: Final[Mapping[str, Read]] = {
    "objects": _one_or_many,
    "object": _one_or_many,
    "lists": lambda value: value,
    "values": lambda value: value if isinstance(value, list) or value is MISSING or value is None else [value],
    "map": lambda value: list(value.items()) if isinstance(value, dict) else value if value == [] else None,
}


def _compile_custom(schema: Schema, custom: CustomPlace | None, first: int | None) -> _CustomReader | None:
    """The reader of a level's custom fields; the rows of a section hold them themselves where it does not say where, lists from ``first`` on."""
    spec = custom.outputs if custom is not None else None
    if custom is None or spec is None or (spec.result_at is None and not custom.place):
        return None
    entries = schema.custom if not custom.place else schema.row_custom.get(custom.place, ())
    readers = {str(entry.position) if spec.shape == "list" else entry.key: (entry.field.name, _custom_reader(entry)) for entry in entries}
    find = getter(spec.result_at or ())
    if first is not None:
        return _CustomReader(spec, lambda row: row[first:] if isinstance(row, list) else MISSING, readers)
    return _CustomReader(spec, find, readers)


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


def _plain_type(variable: Variable) -> type | None:
    """The type of values that a reader leaves as they are: printable texts, numbers of a usual size, booleans."""
    if variable.is_array or variable.separator is not None:
        return None
    return _AS_THEY_ARE.get(compile_form(variable.form).read)


_AS_THEY_ARE: Final[Mapping[Any, type]] = {coerce_string: str, coerce_integer: int, coerce_boolean: bool, coerce_nullable_boolean: bool}


def _parts(value: Any, separator: str | None) -> Any:
    """The elements of a list that the partner writes as one text; any other value as it is."""
    return [part for part in value.split(separator) if part] if separator is not None and isinstance(value, str) else value
