"""The schema of an operation for one connection: which variables there are, what they are called in public, how they are described.

Public names: a field's own name, made unique within the whole operation (inputs first, then outputs; on a clash ``_`` is appended). An output with the
name of an input at the same place is the same variable. Custom fields are ``cf__`` and the MD5 of the partner's own key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from polyport.engine.variants import condition_field, holds, show
from polyport.kinds.fields import TYPES
from polyport.manifest.base import Match, Option
from polyport.manifest.model import Action, ListSpec, Operation, Trigger
from polyport.manifest.variables import CustomFields, CustomFieldShape, InputField, InputSection, OutputField, OutputSection
from polyport.paths import MISSING, get
from polyport.template import Template

CUSTOM_PREFIX: Final = "cf__"
CUSTOM_LIMIT: Final = 5_000
OPTIONS_SHOWN: Final = 100
ROWS_DEPTH: Final = 16

Place = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomField:
    """A field that the partner's account defines: the partner's ``key``, and the variable it becomes, under its public name.

    ``position`` is its place among the partner's definitions. ``write`` and ``read`` are how the partner wraps its values, ``cleared`` what a null is
    written as, ``MISSING`` where its type says nothing of the kind.
    """

    key: str
    field: InputField
    writable: bool
    position: int = 0
    write: Template | None = None
    read: Template | None = None
    cleared: Any = MISSING


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomPlace:
    """A level that has custom fields: the operation itself, or a section's rows. ``suffix`` keeps its names apart from those of other levels."""

    place: Place
    suffix: str
    inputs: CustomFields | None
    outputs: CustomFields | None

    @property
    def spec(self) -> CustomFields:
        """Where the definitions are read."""
        return self.inputs or self.outputs  # type: ignore[return-value]  # there is one of them

    @property
    def writes(self) -> bool:
        """Whether the fields may be sent."""
        return self.inputs is not None and self.inputs.writable


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The choices of a field: ``(key, label)`` in order. ``complete`` is false when there are more than were read."""

    items: tuple[tuple[Any, str], ...]
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """Everything that is known of an operation for one connection.

    ``names`` maps (sections on the way, own name) to the public name. ``custom`` are the custom fields of the operation, ``row_custom`` those of its
    sections, by the names of the sections on the way. ``choices`` holds the dynamic lists that were read, by list name and
    the values it depends on being part of the caller's cache key. ``compiled`` keeps what others compile from the operation and the names.
    """

    operation: Action | Trigger
    names: Mapping[tuple[Place, str], str]
    custom: tuple[CustomField, ...] = ()
    row_custom: Mapping[Place, tuple[CustomField, ...]] = field(default_factory=dict)
    choices: Mapping[str, Choices] = field(default_factory=dict)
    key_patterns: Mapping[str, str] = field(default_factory=dict)
    compiled: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def public(self, name: str, place: Place = ()) -> str:
        """The public name of a field."""
        return self.names[(place, name)]


def build_schema(
    operation: Action | Trigger,
    custom: Sequence[CustomField] = (),
    choices: Mapping[str, Choices] | None = None,
    lists: Mapping[str, ListSpec] | None = None,
) -> Schema:
    """The schema of an operation with the custom fields and the lists that were read for a connection."""
    patterns = {name: spec.key_pattern for name, spec in (lists or {}).items() if spec.key_pattern is not None}
    return Schema(
        operation=operation,
        names=public_names(operation),
        custom=tuple(custom),
        choices=dict(choices or {}),
        key_patterns=patterns,
    )


def public_names(operation: Action | Trigger) -> dict[tuple[Place, str], str]:
    """The public name of every variable of an operation, inputs and outputs."""
    names: dict[tuple[Place, str], str] = {}
    used: set[str] = set()

    def claim(place: Place, name: str) -> None:
        if (place, name) in names:
            return
        public = name
        while public in used:
            public += "_"
        used.add(public)
        names[(place, name)] = public

    def walk(place: Place, fields: Iterable[InputField | OutputField], sections: Sequence[InputSection] | Sequence[OutputSection]) -> None:
        for variable in fields:
            claim(place, variable.name)
        for section in sections:
            walk((*place, section.name), section.fields, section.sections)

    walk((), operation.fields, operation.sections)
    walk((), operation.result.fields, operation.result.sections)
    return names


def custom_places(operation: Action | Trigger) -> tuple[CustomPlace, ...]:
    """The levels of an operation that have custom fields: the operation, its sections, those of its result."""
    found: dict[Place, tuple[CustomFields | None, CustomFields | None]] = {}
    if operation.custom_fields is not None:
        found[()] = (operation.custom_fields, operation.custom_fields)

    def walk(place: Place, sections: Sequence[InputSection] | Sequence[OutputSection]) -> None:
        for section in sections:
            inner, custom = (*place, section.name), section.custom_fields
            if custom is not None:
                inputs, _ = found.get(inner, (None, None))
                found[inner] = (custom, None) if isinstance(section, InputSection) else (inputs, custom)
            walk(inner, section.sections)

    walk((), operation.sections)
    walk((), operation.result.sections)
    return tuple(
        CustomPlace(place=place, suffix="_" * count, inputs=inputs, outputs=outputs)
        for count, (place, (inputs, outputs)) in enumerate(found.items())
    )


def custom_name(key: str) -> str:
    """The public name of the partner's own field ``key``."""
    return CUSTOM_PREFIX + hashlib.md5(key.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def custom_fields(shape: CustomFieldShape, items: Sequence[Any], required: Sequence[str] = (), suffix: str = "") -> tuple[CustomField, ...]:
    """The field definitions among the items of a list; what is no definition is passed over."""
    found: dict[str, CustomField] = {}
    for position, item in enumerate(items):
        key, label = get(item, shape.key), get(item, shape.label)
        if isinstance(key, int) and not isinstance(key, bool):
            key = str(key)
        if not isinstance(key, str) or not key or key in found or not all(match.holds(item) for match in shape.where):
            continue
        shown = label if isinstance(label, str) and label else key
        found[key] = _custom_field(shape, item, key, shown, required=key in required, position=position, suffix=suffix)
        if len(found) >= CUSTOM_LIMIT:
            break
    return tuple(found.values())


def _custom_field(shape: CustomFieldShape, item: Any, key: str, label: str, *, required: bool, position: int, suffix: str) -> CustomField:
    words = _type_words(shape, item)
    kind = _first_of(shape.types, words) or shape.default_type
    wire = _first_of(shape.wires, words)
    hint = get(item, shape.hint) if shape.hint is not None else None
    variable = InputField.model_construct(
        name=custom_name(key) + suffix,
        type=kind,
        label=label[:500],
        required=required or (shape.required is not None and shape.required.holds(item)),
        hint=hint[:1000] if isinstance(hint, str) and hint else None,
        options=_custom_options(shape, item, kind),
        wire=wire if wire is not None and _is_wire_of(kind.removesuffix("[]"), wire) else None,
        separator=_first_of(shape.separators, words) if kind.endswith("[]") else None,
    )
    return CustomField(
        key=key,
        field=variable,
        writable=shape.read_only is None or not shape.read_only.holds(item),
        position=position,
        write=_first_of(shape.writers, words),
        read=_first_of(shape.readers, words),
        cleared=_first_of(shape.clears, words, MISSING),
    )


def _is_wire_of(kind: str, wire: str) -> bool:
    return wire in TYPES[kind].wires or ("%" in wire and kind in {"datetime", "date"})


def _type_words(shape: CustomFieldShape, item: Any) -> list[str]:
    """What the partner calls the type of a definition, the most exact word first."""
    told = get(item, shape.type) if shape.type is not None else MISSING
    variant = get(item, shape.variant) if shape.variant is not None else MISSING
    if not isinstance(told, str):
        return []
    return [f"{told}.{variant}", told] if isinstance(variant, str) else [told]


def _first_of(table: Mapping[str, Any], words: Sequence[str], otherwise: Any = None) -> Any:
    return next((table[word] for word in words if word in table), otherwise)


def _custom_options(shape: CustomFieldShape, item: Any, kind: str) -> tuple[Option, ...] | None:
    listed = get(item, shape.options) if shape.options is not None else MISSING
    if not isinstance(listed, list) or not listed or kind.removesuffix("[]") not in {"string", "integer", "decimal"}:
        return None
    options: dict[str, Option] = {}
    for choice in listed:
        key, label = get(choice, shape.option_key), get(choice, shape.option_label)
        if isinstance(key, str | int) and not isinstance(key, bool) and str(key) not in options:
            options[str(key)] = Option.model_construct(key=key, label=label if isinstance(label, str) and label else str(key))
    return tuple(options.values()) or None


def describe_schema(schema: Schema, data: Any = None, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """``variables`` and ``rowSections`` as they stand on the wire.

    ``data`` is what a caller has filled in: rows in rows are shown one level beyond it. ``known`` are the values understood of it, by field: what they
    rule out is not shown.
    """
    operation = schema.operation
    custom = operation.custom_fields
    around = _Around({}, [data], known=known or {})
    variables = [_input(schema, variable, ()) for variable in operation.fields if around.may_apply(variable, ())]
    writes = custom is not None and custom.writable
    variables += [_custom(schema, entry, editable=writes and entry.writable) for entry in schema.custom]
    taken = {variable.name for variable in operation.fields}
    variables += [_output(schema, variable, ()) for variable in operation.result.fields if variable.name not in taken]
    return {
        "variables": variables,
        "rowSections": _sections(schema, operation.sections, operation.result.sections, (), around),
    } | _demands(schema, operation, ())


def describe_selectors(schema: Schema, values: Mapping[int, Any]) -> list[dict[str, Any]]:
    """The selectors of ``credentialData`` from position 1 on, with the values chosen so far."""
    shown = []
    for position, selector in enumerate(schema.operation.selectors, start=1):
        entry = {"position": str(position), **_describe(schema, selector, selector.name), "isEditable": True}
        if position in values:
            entry["value"] = values[position]
        shown.append(entry)
    return shown


@dataclass(frozen=True, slots=True)
class _Around:
    """What is shown of the level around: the sections that others may be like, and the rows that the caller gave of it, as they came.

    ``open``: a section that is like another is shown in full here: the first time, and then one level beyond what was given.
    """

    sections: Mapping[str, tuple[InputSection | None, OutputSection | None, Place]]
    rows: Sequence[Any]
    open: bool = True
    depth: int = 0
    known: Mapping[str, Any] = field(default_factory=dict)

    def may_apply(self, part: InputField | InputSection, fields: Sequence[InputField]) -> bool:
        """Whether no value of the operation rules it out; ``fields`` are those of its level, whose rows may say one thing or another."""
        if part.when is None:
            return True
        name = condition_field(part.when)
        own = any(variable.name == name for variable in fields)
        return own or name not in self.known or holds(part.when, self.known[name])

    def inside(self, name: str, known: tuple[InputSection | None, OutputSection | None, Place] | None) -> _Around:
        given = [row.get(name) for row in self.rows if isinstance(row, dict)]
        rows = [row for listed in given for row in (listed if isinstance(listed, list) else [listed]) if isinstance(row, dict)]
        sections = self.sections if known is None else {**self.sections, name: known}
        return replace(self, sections=sections, rows=rows, open=known is not None or bool(rows), depth=self.depth + 1)


def _sections(
    schema: Schema,
    inputs: Sequence[InputSection],
    outputs: Sequence[OutputSection],
    place: Place,
    around: _Around,
    fields: Sequence[InputField] = (),
) -> list[dict[str, Any]]:
    by_name = {section.name: section for section in outputs}
    pairs: list[tuple[InputSection | None, OutputSection | None]] = [(section, by_name.pop(section.name, None)) for section in inputs]
    pairs += [(None, section) for section in by_name.values()]
    pairs = [(section, twin) for section, twin in pairs if section is None or around.may_apply(section, fields)]
    return [_section(schema, section, twin, place, around) for section, twin in pairs]


def _section(schema: Schema, section: InputSection | None, twin: OutputSection | None, place: Place, around: _Around) -> dict[str, Any]:
    told: InputSection | OutputSection = section or twin  # type: ignore[assignment]  # there is one of them
    shown: dict[str, Any] = {"name": told.name, "label": told.label, "isRequired": section is not None and section.required}
    if told.hint is not None:
        shown["hint"] = told.hint
    if section is not None and section.when is not None:
        shown["showWhen"] = _show_when(schema, section.when, place)
    if told.like is None:
        inner = (*place, told.name)
        return shown | _level(schema, section, twin, inner, around.inside(told.name, (section, twin, inner)))
    shown["like"] = told.like
    if not around.open or around.depth >= ROWS_DEPTH:
        return shown | {"variables": []}
    origin, origin_twin, inner = around.sections[told.like]
    return shown | _level(
        schema, origin, origin_twin if section is None or twin is not None else None, inner, around.inside(told.name, None)
    )


def _level(schema: Schema, section: InputSection | None, twin: OutputSection | None, inner: Place, around: _Around) -> dict[str, Any]:
    fields = section.fields if section is not None else ()
    custom = section.custom_fields if section is not None else None
    writes, taken = custom is not None and custom.writable, {variable.name for variable in fields}
    variables = [_input(schema, variable, inner) for variable in fields if around.may_apply(variable, fields)]
    variables += [_custom(schema, entry, editable=writes and entry.writable) for entry in schema.row_custom.get(inner, ())]
    variables += [_output(schema, variable, inner) for variable in (twin.fields if twin else ()) if variable.name not in taken]
    deeper = _sections(schema, section.sections if section else (), twin.sections if twin else (), inner, around, fields)
    demands = _demands(schema, section, inner) if section else {}
    return {"variables": variables} | ({"rowSections": deeper} if deeper else {}) | demands


def _demands(schema: Schema, level: Operation | InputSection, place: Place) -> dict[str, Any]:
    """``needsOneOf`` in public names, where there is any."""
    shown = [[[schema.names.get((place, name), name) for name in names] for names in sets] for sets in level.needs_one_of]
    return {"needsOneOf": shown} if shown else {}


def _input(schema: Schema, variable: InputField, place: Place) -> dict[str, Any]:
    shown = {**_describe(schema, variable, schema.public(variable.name, place)), "isEditable": True}
    return shown if variable.when is None else shown | {"showWhen": _show_when(schema, variable.when, place)}


def _show_when(schema: Schema, match: Match, place: Place) -> dict[str, Any]:
    name = condition_field(match)
    return show(match, schema.names.get((place, name)) or schema.public(name))


def _custom(schema: Schema, entry: CustomField, *, editable: bool) -> dict[str, Any]:
    return {**_describe(schema, entry.field, entry.field.name), "isEditable": editable, "isRequired": editable and entry.field.required}


def _output(schema: Schema, variable: OutputField, place: Place) -> dict[str, Any]:
    shown = {
        "type": variable.code,
        "name": schema.public(variable.name, place),
        "label": variable.label,
        "isRequired": False,
        "isEditable": False,
    }
    extra = {"hint": variable.hint, "sample": variable.sample}
    return shown | {key: value for key, value in extra.items() if value is not None}


def _describe(schema: Schema, variable: InputField, public: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "type": variable.code,
        "name": public,
        "label": variable.label,
        "isRequired": variable.required,
    }
    if variable.options is not None:
        shown["data"] = [{"key": option.key, "label": option.label} for option in variable.options]
    elif variable.list is not None:
        choices = schema.choices.get(variable.list)
        if choices is not None:
            shown["data"] = [{"key": key, "label": label} for key, label in choices.items[:OPTIONS_SHOWN]]
        if choices is None or not choices.complete or len(choices.items) > OPTIONS_SHOWN:
            shown["search"] = True
    optional = {
        "hint": variable.hint,
        "default": variable.default,
        "sample": variable.sample,
        "dependsOn": list(variable.depends_on) or None,
        "format": variable.format,
        "min": variable.min,
        "max": variable.max,
        "multipleOf": variable.multiple_of,
        "minLength": variable.min_length,
        "maxLength": variable.max_length,
        "minItems": variable.min_items,
        "maxItems": variable.max_items,
        "uniqueItems": variable.unique_items or None,
        "pattern": variable.pattern,
        "isSecret": variable.secret or None,
    }
    shown.update({key: value for key, value in optional.items() if value is not None})
    return shown


def type_words() -> dict[int, str]:
    """Wire code to type word, arrays included; the reference page is made from it."""
    words = {row.code: row.title for row in TYPES.values()}
    return words | {code + 100: f"array of {title}" for code, title in words.items()}
