"""Checks of what inputs and outputs are made of, beyond single fields: custom fields, the shapes of rows, variants, recursion.

Each check is a function ``check(partner, sources) -> problems``; ``SHAPE_CHECKS`` lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from polyport.kinds.wires import Form
from polyport.manifest.base import Match
from polyport.manifest.levels import FilePath, all_sections, file_of, input_levels, place_of
from polyport.manifest.model import Action, Partner, Trigger
from polyport.manifest.source import Problem, Source
from polyport.manifest.variables import CustomFields, InputField, InputSection, OutputSection

Sources = Mapping[str, Source]
_CHOICES: Final[Mapping[str, type]] = {"string": str, "integer": int, "boolean": bool, "nullable_boolean": bool}


def _custom_places(operation: Action | Trigger) -> Iterator[tuple[FilePath, CustomFields]]:
    if operation.custom_fields is not None:
        yield ("customFields",), operation.custom_fields
    for path, section in all_sections(operation):
        if section.custom_fields is not None:
            yield (*path, "customFields"), section.custom_fields


def custom_lists_are_sound(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """The list of custom fields exists, says how its items become fields, and depends on selectors alone: they are chosen before the fields are known."""
    for operation in partner.operations:
        source, selectors = sources[file_of(operation)], {field.name for field in operation.selectors}
        for path, custom in _custom_places(operation):
            spec = partner.lists.get(custom.list)
            if spec is None or spec.custom_fields is None:
                message = f'lists/{custom.list}.yaml has to exist and say "customFields".'
                yield source.problem(message, *path, "list")
                continue
            for name in spec.depends_on:
                if name not in selectors:
                    message = f'The list "{custom.list}" depends on "{name}": make that a selector, for it is chosen before custom fields are known.'
                    yield source.problem(message, *path, "list")


def custom_fields_have_a_place(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """An operation's custom fields are placed by its templates, those of a section by ``at``; fields join the custom ones where that can be."""
    for operation in partner.operations:
        source, known = sources[file_of(operation)], {field.name for field in operation.fields}
        for path, custom in _custom_places(operation):
            if path == ("customFields",):
                if custom.at is not None:
                    yield source.problem('Outside of sections the templates place {{custom}}: "at" says nothing here.', *path, "at")
                for name in sorted(custom.include.keys() - known):
                    message = f'"{name}" is not a field of this operation: it cannot join the custom ones.'
                    yield source.problem(message, *path, "include")
                if custom.include and custom.shape == "list":
                    yield source.problem("A list of values has no keys under which other fields could join them.", *path, "include")
                continue
            in_lists = _section_at(operation, path).shape == "lists"
            if in_lists and (custom.shape != "list" or custom.at is not None or custom.result_at is not None):
                message = (
                    'In rows that are lists the custom fields stand behind the others: say "shape: list", and neither "at" nor "resultAt".'
                )
                yield source.problem(message, *path)
                continue
            if custom.include:
                message = 'In a section nothing joins the custom fields: give the field an "at" beside them instead.'
                yield source.problem(message, *path, "include")
            if path[0] != "result" and custom.shape != "object" and custom.at is None and not in_lists:
                message = f'Custom fields in the shape "{custom.shape}" are no members of the row: say with "at" where they stand.'
                yield source.problem(message, *path, "shape")


def _section_at(operation: Action | Trigger, path: FilePath) -> InputSection | OutputSection:
    return next(section for place, section in all_sections(operation) if place == path[:-1])


def likes_are_around(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """A section is like one that is around it."""
    for operation in partner.operations:
        source = sources[file_of(operation)]
        for path, section in all_sections(operation):
            if section.like is not None and section.like not in place_of(path[:-2], operation):
                message = f'"{section.like}" is no section around this one: rows can only be like the rows that they stand in.'
                yield source.problem(message, *path, "like")


def variants_can_be_told(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """What decides whether a field or a section applies is another field of its level or of the operation, with values that it can have."""
    for operation in partner.operations:
        source, top = sources[file_of(operation)], {field.name: field for field in operation.fields}
        for path, fields, sections in input_levels(operation):
            known = {**top, **{field.name: field for field in fields}}
            parts: list[tuple[FilePath, InputField | InputSection]] = [
                ((*path, "fields", index), part) for index, part in enumerate(fields)
            ]
            parts += [((*path, "sections", index), part) for index, part in enumerate(sections)]
            for place, part in parts:
                if part.when is not None:
                    fault = _fault_of_choice(part, part.when, known)
                    if fault is not None:
                        yield source.problem(fault, *place, "when")


def demands_name_variables(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """What a demand names are fields and sections of its own level."""
    for operation in partner.operations:
        source = sources[file_of(operation)]
        for path, fields, sections in input_levels(operation):
            level: Any = _section_at(operation, (*path, "")) if path else operation
            names = {field.name for field in fields} | {section.name for section in sections}
            for index, sets in enumerate(level.needs_one_of):
                for unknown in sorted({name for listed in sets for name in listed} - names):
                    yield source.problem(f'"{unknown}" is no field or section of this level.', *path, "needsOneOf", index)


def _fault_of_choice(part: InputField | InputSection, match: Match, known: Mapping[str, InputField]) -> str | None:
    name = str(match.at[0])
    field = known.get(name)
    if field is None:
        return f'"{part.name}" applies by "{name}", which is no field of its level or of the operation.'
    if _waits_for_itself(part.name, known):
        return f'Whether "{part.name}" applies depends on itself: let it go by a field that always applies.'
    if field.is_array or field.base_type not in _CHOICES or field.form != Form(type=field.base_type):
        return f'"{name}" cannot decide what applies: that takes a single text, whole number or boolean in its default way of writing.'
    values = (*(match.one_of or ()), *((match.equals,) if "equals" in match.model_fields_set else ()))
    keys = None if field.options is None else {str(option.key) for option in field.options}
    for value in values:
        if type(value) is not _CHOICES[field.base_type] or (keys is not None and str(value) not in keys):
            return f'"{name}" never has the value {value!r}: "{part.name}" would never apply by it.'
    return None


def _waits_for_itself(name: str, known: Mapping[str, InputField]) -> bool:
    seen: set[str] = set()
    field = known.get(name)
    while field is not None and field.when is not None and field.name not in seen:
        seen.add(field.name)
        field = known.get(str(field.when.at[0]))
    return field is not None and field.name in seen


SHAPE_CHECKS: Final[tuple[Callable[[Partner, Sources], Iterator[Problem]], ...]] = (
    custom_lists_are_sound,
    custom_fields_have_a_place,
    likes_are_around,
    variants_can_be_told,
    demands_name_variables,
)
