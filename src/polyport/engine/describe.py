"""The field schema of an operation for one connection, and single lists, searched: what forms and agents are made from."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from polyport.engine.calls import ListItems, list_choices, read_list
from polyport.engine.connect import confirm_refusal
from polyport.engine.desk import Bench, Desk, Positions, read_positions
from polyport.engine.operation import ListSource, Program, select, understand, with_definitions
from polyport.engine.schema import CUSTOM_PREFIX, Schema, describe_schema, describe_selectors
from polyport.engine.validate import compile_validator
from polyport.errors import ConnectionInvalid, Fault, PolyportError, ValidationFailed
from polyport.manifest.model import ListSpec
from polyport.manifest.variables import InputField, InputSection

OPTIONS_PAGE: Final = 100


Version = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Described:
    """What the schema of an operation for one connection is made of, and those lists that could not be read: list name to error.

    ``definitions`` are the lists of custom fields, ``lists`` those of choices. ``known`` are the values that the caller has chosen so far, by field;
    ``runner_data`` is what they were told in.
    """

    program: Program
    positions: Positions
    bench: Bench
    definitions: Mapping[str, ListItems]
    lists: Mapping[str, ListItems]
    missing: Mapping[str, PolyportError]
    known: Mapping[str, Any]
    runner_data: Any

    @cached_property
    def schema(self) -> Schema:
        """The schema. Made when it is asked for: who has it already is told so without."""
        schema = with_definitions(self.program, self.definitions) if self.program.customs else self.program.schema
        return replace(schema, choices={name: list_choices(self.program.partner.lists[name], found) for name, found in self.lists.items()})

    @property
    def read_at(self) -> int | None:
        """When the oldest of what was read for the connection was read, in unix milliseconds."""
        times = [found.read_at for found in (*self.definitions.values(), *self.lists.values()) if found.read_at is not None]
        return min(times, default=None)

    def version(self, form: str) -> Version | None:
        """What is the same as long as the schema in this ``form`` is: for this process alone. ``None`` where nobody knows."""
        if self.missing or self.runner_data is not None:
            return None
        serials = tuple(found.serial for found in (*self.definitions.values(), *self.lists.values()))
        chosen = json.dumps(self.positions.selectors, sort_keys=True, default=str)
        return (self.program.operation.id, form, self.positions.connection_id, chosen, serials)


async def resolve(desk: Desk, account_id: int, operation_id: int, credential_data: Any, runner_data: Any) -> Described:
    """The schema for a connection. ``runner_data`` may be partial: lists that depend on what it holds are read.

    Raises ``NotFound``, ``ValidationFailed``, ``ConnectionInvalid`` or, where custom fields cannot be read, the partner's fault.
    """
    program = await desk.program(account_id, operation_id)
    positions = read_positions(program, credential_data)
    bench = await desk.bench(account_id, program.partner, positions.connection_id)
    try:
        return await _resolve(desk, program, positions, bench, runner_data)
    except ConnectionInvalid as refused:
        raise await confirm_refusal(desk, bench, refused) from None


async def _resolve(desk: Desk, program: Program, positions: Positions, bench: Bench, runner_data: Any) -> Described:
    lists = desk.lists(bench, form=True)
    known: dict[str, Any] = (await select(program, positions.selectors, lists)).values
    definitions = await _definitions(program, lists, known)
    if isinstance(runner_data, dict):
        schema = with_definitions(program, definitions) if program.customs else program.schema
        known = known | await _given(program, schema, runner_data, lists, known)
    read, missing = await _read_lists(desk, bench, program, lists, known)
    return Described(
        program=program,
        positions=positions,
        bench=bench,
        definitions=definitions,
        lists=read,
        missing=missing,
        known=known,
        runner_data=runner_data,
    )


def describe(found: Described) -> dict[str, Any]:
    """``triggerAction`` as it stands on the wire."""
    shown: dict[str, Any] = {
        "triggerActionId": found.program.operation.id,
        "title": found.program.operation.title,
        **describe_schema(found.schema, found.runner_data, found.known),
    }
    connection: dict[str, Any] = {"position": "0", "label": "Connection", "isRequired": found.program.partner.file.connection is not None}
    if found.positions.connection_id is not None:
        connection["value"] = found.positions.connection_id
    shown["credentialData"] = [connection, *describe_selectors(found.schema, found.positions.selectors)]
    if found.missing:
        shown["warnings"] = [
            {"list": name, "code": error.code, "message": f"This list could not be read: {error.message}"}
            for name, error in sorted(found.missing.items())
        ]
    return shown


async def _read_lists(
    desk: Desk, bench: Bench, program: Program, lists: ListSource, known: Mapping[str, Any]
) -> tuple[dict[str, ListItems], dict[str, PolyportError]]:
    names = {field.list for field in input_fields(program) if field.list is not None}
    specs = [program.partner.lists[name] for name in sorted(names)]
    due = [spec for spec in specs if spec.search == "local" and all(known.get(name) is not None for name in spec.depends_on)]
    results = await asyncio.gather(*(lists.get(spec, known) for spec in due), return_exceptions=True)
    read: dict[str, ListItems] = {}
    missing: dict[str, PolyportError] = {}
    for spec, told in zip(due, results, strict=True):
        result = await confirm_refusal(desk, bench, told) if isinstance(told, ConnectionInvalid) else told
        if isinstance(result, ConnectionInvalid) or (isinstance(result, BaseException) and not isinstance(result, PolyportError)):
            raise result
        if isinstance(result, PolyportError):
            missing[spec.name] = result
        else:
            read[spec.name] = result
    return read, missing


async def options(
    desk: Desk,
    account_id: int,
    operation_id: int,
    *,
    field: str,
    query: str | None,
    credential_data: Any,
    runner_data: Any,
) -> list[dict[str, Any]]:
    """The choices of one field, by public name (``section.name`` inside a section), those that fit ``query``, the best first.

    Raises ``ValidationFailed`` when the field is none, has no list, or depends on fields that were not given.
    """
    program = await desk.program(account_id, operation_id)
    positions = read_positions(program, credential_data)
    bench = await desk.bench(account_id, program.partner, positions.connection_id)
    try:
        return _shown(await _found(desk, program, positions, bench, field, query, runner_data))
    except ConnectionInvalid as refused:
        raise await confirm_refusal(desk, bench, refused) from None


async def _found(
    desk: Desk, program: Program, positions: Positions, bench: Bench, field: str, query: str | None, runner_data: Any
) -> list[tuple[Any, str]]:
    lists = desk.lists(bench)
    known: dict[str, Any] = (await select(program, positions.selectors, lists)).values
    variable = await _custom(program, lists, known, field) or _find(program, field)
    if variable.options is not None:
        items: list[tuple[Any, str]] = [(option.key, option.label) for option in variable.options]
        return _searched(items, query)
    if variable.list is None:
        raise ValidationFailed.of(Fault(path="field", code="no_list", message="This field takes any value: it has no list."))
    spec = program.partner.lists[variable.list]
    if isinstance(runner_data, dict):
        known = known | await _given(program, program.schema, runner_data, lists, known)
    absent = [name for name in spec.depends_on if known.get(name) is None]
    if absent:
        raise ValidationFailed.of(
            *(Fault(path=f"runnerData.{name}", code="required", message="This list depends on this field.") for name in absent)
        )
    return await _choices(desk, bench, spec, known, query)


async def _definitions(program: Program, lists: ListSource, known: Mapping[str, Any]) -> dict[str, ListItems]:
    """The definitions of custom fields that can be read by now: those of a sheet appear once the sheet is chosen."""
    found: dict[str, ListItems] = {}
    for spec in program.definitions:
        if all(known.get(needed) is not None for needed in spec.depends_on):
            found[spec.name] = await lists.get(spec, known)
    return found


async def _custom(program: Program, lists: ListSource, known: Mapping[str, Any], name: str) -> InputField | None:
    """The custom field of a public name, if the account has it; one of a section also as ``section.name``."""
    wanted = name.rpartition(".")[2]
    if not program.customs or not wanted.startswith(CUSTOM_PREFIX):
        return None
    schema = with_definitions(program, await _definitions(program, lists, known))
    entries = (*schema.custom, *(entry for fields in schema.row_custom.values() for entry in fields))
    return next((entry.field for entry in entries if entry.field.name == wanted), None)


async def _choices(desk: Desk, bench: Bench, spec: ListSpec, known: Mapping[str, Any], query: str | None) -> list[tuple[Any, str]]:
    if spec.search == "remote":
        if len(query or "") < spec.min_query:
            message = f"This list is searched at the partner: give at least {spec.min_query} characters."
            raise ValidationFailed.of(Fault(path="query", code="too_short", message=message))
        found = await read_list(bench.caller, replace_limits(spec), known, query)
        return list(list_choices(spec, found).items)
    kept = await desk.lists(bench).get(spec, known)
    return _searched(list(list_choices(spec, kept).items), query)


def replace_limits(spec: ListSpec) -> ListSpec:
    """A searched list needs only its first page or two."""
    return spec.model_copy(update={"page_limit": min(spec.page_limit, 2), "item_limit": min(spec.item_limit, 500)})


def _searched(items: list[tuple[Any, str]], query: str | None) -> list[tuple[Any, str]]:
    """What holds the query comes first; what is close to it (a typo) after; nothing else."""
    if not query or not query.strip():
        return items
    wanted = query.strip().casefold()
    inside = [item for item in items if wanted in item[1].casefold() or wanted == str(item[0]).casefold()]
    inside.sort(key=lambda item: not item[1].casefold().startswith(wanted))
    if inside or len(wanted) < 4:
        return inside
    from rapidfuzz import fuzz  # noqa: PLC0415  see polyport.catalog.search

    scored = [(fuzz.partial_ratio(wanted, item[1].casefold()), item) for item in items]
    return [item for score, item in sorted(scored, key=lambda row: -row[0]) if score >= 80]


def _shown(items: list[tuple[Any, str]]) -> list[dict[str, Any]]:
    return [{"key": key, "label": label} for key, label in items]


async def _given(
    program: Program, schema: Schema, runner_data: Mapping[str, Any], lists: ListSource, selected: Mapping[str, Any]
) -> dict[str, Any]:
    """What is filled in so far, labels as keys. Where lists cannot be read: what is clear without them."""
    try:
        return (await understand(program, runner_data, lists, selected)).checked.values
    except ConnectionInvalid:
        raise
    except PolyportError:
        return compile_validator(schema).check(runner_data).values


def input_fields(program: Program) -> list[InputField]:
    """All input fields of an operation, those of its sections included, and its selectors."""
    found: list[InputField] = [*program.operation.fields, *program.operation.selectors]
    pending: list[InputSection] = list(program.operation.sections)
    while pending:
        section = pending.pop()
        found.extend(section.fields)
        pending.extend(section.sections)
    return found


def _find(program: Program, name: str) -> InputField:
    """The field of a public name: ``owner_id``, or ``email.label`` inside a section; a selector by its position or name."""
    schema = program.schema
    for position, selector in enumerate(program.operation.selectors, start=1):
        if name in {str(position), selector.name}:
            return selector
    for variable in program.operation.fields:
        if schema.public(variable.name) == name:
            return variable
    pending: list[tuple[tuple[str, ...], InputSection]] = [((section.name,), section) for section in program.operation.sections]
    while pending:
        place, section = pending.pop()
        for variable in section.fields:
            public = schema.public(variable.name, place)
            if name in {public, ".".join((*place, public))}:
                return variable
        pending.extend(((*place, deeper.name), deeper) for deeper in section.sections)
    raise ValidationFailed.of(Fault(path="field", code="unknown_field", message="The operation has no such field."))
