"""What a single file cannot say about itself: names that have to exist elsewhere, placeholders that have to be known, ids that may not repeat.

Each check is a function ``check(partner, sources) -> problems``; ``CHECKS`` lists them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from polyport.kinds.filters import FILTERS
from polyport.manifest.auth_checks import (
    auth_reads_the_connection,
    connection_fields,
    keeps_to_its_host,
    learning_is_sound,
    markers_have_a_place,
)
from polyport.manifest.hook_checks import hook_calls, hook_problems
from polyport.manifest.levels import file_of, input_levels, output_levels, place_of
from polyport.manifest.model import Action, Call, ListSpec, Operation, Partner, Trigger
from polyport.manifest.shapes import SHAPE_CHECKS
from polyport.manifest.source import Problem, Source
from polyport.manifest.variables import InputField, InputSection, OutputField, OutputSection
from polyport.paths import Path, format_path
from polyport.template import TemplateError, compile_path, compile_value

Sources = Mapping[str, Source]
Named = InputField | InputSection | OutputField | OutputSection

_COMMON: Final = frozenset({"connection", "custom", "steps", "now", "random"})
_TRIGGER: Final = frozenset({"page", "window", "limit"})
_LATER: Final = {"steps": "saves its answer as", "captured": "captures a header as"}
_OPERATION: Final = frozenset({"run", "captured"})
_ROW: Final = frozenset({"each", "index"})
_RESERVED: Final = _COMMON | _TRIGGER | _OPERATION | _ROW | {"answer", "item"}


def check_partner(partner: Partner, sources: Sources) -> list[Problem]:
    """Every problem that the checks find."""
    return [problem for check in CHECKS for problem in check(partner, sources)]


def ids_are_unique(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """Two operations of a partner never share an id or a name."""
    for attribute in ("id", "name"):
        counted = Counter(getattr(operation, attribute) for operation in partner.operations)
        for operation in partner.operations:
            if counted[getattr(operation, attribute)] > 1:
                message = f"Another operation of this partner has the same {attribute}; choose a new one."
                yield sources[file_of(operation)].problem(message, attribute)


def lists_exist(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """Every list that a field or a selector names is a file under ``lists/``."""
    for operation in partner.operations:
        source = sources[file_of(operation)]
        for path, field in _input_fields(operation):
            if field.list is not None and field.list not in partner.lists:
                yield source.problem(f'There is no list "{field.list}"; add lists/{field.list}.yaml or correct the name.', *path, "list")


def names_are_unique(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """Within one level, two fields or sections never share a name; no name is one that templates reserve."""
    for operation in partner.operations:
        source = sources[file_of(operation)]
        levels = [(path, _names(fields) + _names(sections)) for path, fields, sections in output_levels(operation)]
        for path, fields, sections in input_levels(operation):
            levels.append((path, _names(fields) + _names(sections) + (_names(operation.selectors) if not path else [])))
        for path, names in levels:
            for name, count in Counter(names).items():
                if count > 1:
                    yield source.problem(f'The name "{name}" stands twice on this level.', *path)
        top: tuple[tuple[str, Sequence[Named]], ...] = (
            ("fields", operation.fields),
            ("sections", operation.sections),
            ("selectors", operation.selectors),
        )
        for kind, parts in top:
            for index, part in enumerate(parts):
                if part.name in _RESERVED:
                    message = f'"{part.name}" is a word of the templates; call it "{part.name}_" here, and {{{{{part.name}_}}}} in them.'
                    yield source.problem(message, kind, index)


def places_are_apart(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """In a row, no value stands where another needs an object; ``at`` stands in rows only, templates place the rest."""
    for operation in partner.operations:
        source = sources[file_of(operation)]
        for path, fields, sections in input_levels(operation):
            if not path:
                given = [("fields", index) for index, field in enumerate(fields) if field.at is not None]
                given += [("sections", index) for index, section in enumerate(sections) if section.at is not None]
                for kind, index in given:
                    yield source.problem('Outside of sections the templates place a value: "at" says nothing here.', kind, index, "at")
                continue
            parts: list[InputField | InputSection] = [*fields, *sections]
            places: list[Path] = [part.at or (part.name,) for part in parts]
            for place in places:
                if any(len(other) > len(place) and other[: len(place)] == place for other in places):
                    yield source.problem(f'"{format_path(place)}" is a value here and cannot hold other values too.', *path)


def outputs_agree(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """An output with the name and the place of an input is the same variable: it has the same type."""
    for operation in partner.operations:
        inputs = {(place_of(path, operation), field.name): field.type for path, fields, _ in input_levels(operation) for field in fields}
        for path, fields, _sections in output_levels(operation):
            for index, field in enumerate(fields):
                kind = inputs.get((place_of(path, operation), field.name), field.type)
                if kind != field.type:
                    message = f'"{field.name}" is also an input, of type {kind}: give both the same type, or one another name.'
                    yield sources[file_of(operation)].problem(message, *path, "fields", index, "type")


def dependencies_exist(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """What a field or its list depends on is a field or a selector of the operation."""
    for operation in partner.operations:
        source = sources[file_of(operation)]
        top = {field.name for field in (*operation.fields, *operation.selectors)}
        for path, field in _input_fields(operation):
            spec = partner.lists.get(field.list) if field.list is not None else None
            for name in dict.fromkeys((*field.depends_on, *(spec.depends_on if spec is not None else ()))):
                if name not in top:
                    yield source.problem(f'"{field.name}" depends on "{name}", which is no field or selector here.', *path)
    for spec in partner.lists.values():
        if spec.inside is not None and spec.inside.field not in spec.depends_on:
            message = f'The list is chosen by "{spec.inside.field}": name it under "dependsOn" too.'
            yield sources[f"lists/{spec.name}.yaml"].problem(message, "inside", "field")


def placeholders_are_known(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """Every placeholder reads something that exists, and no call reads a secret: secrets are for the auth kinds."""
    for operation in partner.operations:
        source = sources[file_of(operation)]
        allowed = (
            _COMMON
            | _OPERATION
            | {field.name for field in (*operation.fields, *operation.selectors)}
            | {s.name for s in operation.sections}
        )
        if isinstance(operation, Trigger):
            allowed |= _TRIGGER
        where = "call" if operation.call is not None else "calls"
        earlier: Earlier = {"steps": frozenset(), "captured": frozenset()}
        for index, call in enumerate(operation.steps):
            path = (where,) if where == "call" else (where, index)
            yield from _call_problems(partner, source, call, allowed, path, earlier)
            yield from _row_problems(operation, source, call, path)
            earlier = {
                "steps": earlier["steps"] | ({call.save} if call.save is not None else set()),
                "captured": earlier["captured"] | call.capture.keys(),
            }
        if operation.result.value is not None:
            value = operation.result.value
            yield from _template_problems(partner, source, value, allowed | {"answer"}, ("result", "value"), earlier=earlier)
        if isinstance(operation, Action):
            yield from _action_problems(partner, source, operation, allowed)
    for spec in partner.lists.values():
        source = sources[f"lists/{spec.name}.yaml"]
        yield from _call_problems(partner, source, spec.call, _list_names(spec), ("call",))
        if spec.value is not None:
            yield from _template_problems(partner, source, spec.value, frozenset({"answer"}), ("value",))
        yield from _template_problems(partner, source, spec.label, frozenset({"item"}), ("label",))
    connection = partner.file.connection
    if connection is not None and connection.verify is not None:
        source = sources["partner.yaml"]
        yield from _call_problems(partner, source, connection.verify.call, _COMMON, ("connection", "verify", "call"))
        if connection.verify.account is not None:
            yield from _template_problems(
                partner, source, connection.verify.account, frozenset({"answer", "connection"}), ("connection", "verify", "account")
            )
    for name, header in partner.file.headers.items():
        yield from _template_problems(partner, sources["partner.yaml"], header, frozenset({"connection"}), ("headers", name))


def _action_problems(partner: Partner, source: Source, action: Action, allowed: frozenset[str]) -> Iterator[Problem]:
    """What only actions have: a template to compute, and how a doubt is settled."""
    if action.compute is not None:
        yield from _template_problems(partner, source, action.compute, allowed, ("compute",))
    if action.reconcile is not None:
        known = allowed | {"run"}
        yield from _call_problems(partner, source, action.reconcile.call, known, ("reconcile", "call"))
        if action.reconcile.marker is not None:
            yield from _template_problems(partner, source, action.reconcile.marker.value, known, ("reconcile", "marker", "value"))


def hooks_are_sound(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """A webhook trigger reads what is there when it is used, and its parts fit together."""
    for trigger in partner.triggers:
        if trigger.hook is None:
            continue
        source, fields = sources[file_of(trigger)], connection_fields(partner)
        allowed = (
            _COMMON | _OPERATION | {field.name for field in (*trigger.fields, *trigger.selectors)} | {s.name for s in trigger.sections}
        )
        for name, call, names in hook_calls(trigger.hook):
            yield from _call_problems(partner, source, call, allowed | names, ("hook", name))
            if call.path is not None and partner.file.base is None:
                yield source.problem('A call with a path needs "base" in partner.yaml.', "hook", name, "path")
        for place, message in hook_problems(trigger, trigger.hook, fields):
            yield source.problem(message, "hook", *place)


def budgets_are_named(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """Each budget has its own name, and costs are those of a budget that there is."""
    names = [budget.name for budget in partner.file.budgets]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield sources["partner.yaml"].problem(f'There is another budget "{name}"; give each its own name.', "budgets", index, "name")
    for operation in partner.operations:
        for name in sorted(operation.costs.keys() - set(names)):
            there = f"there are: {', '.join(names)}" if names else "it has none"
            yield sources[file_of(operation)].problem(f'partner.yaml has no budget "{name}"; {there}.', "costs", name)


def operations_can_run(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """An action has calls or a template to compute; calls with a path need the partner's base; a connection is there where one is read."""
    for operation in partner.operations:
        source = sources[file_of(operation)]
        if isinstance(operation, Action) and bool(operation.steps) == (operation.compute is not None):
            yield source.problem('An action has either "call" (or "calls") or "compute".', "name")
        if isinstance(operation, Action) and operation.reconcile is not None and (operation.repeatable or not operation.steps):
            yield source.problem('Only an action that may not be repeated leaves a doubt: it needs no "reconcile".', "reconcile")
        if operation.retry is not None and not operation.steps:
            yield source.problem('Only what is sent to the partner is tried again: without a call there is no "retry".', "retry")
        for call in operation.steps:
            if call.path is not None and partner.file.base is None:
                yield source.problem('A call with a path needs "base" in partner.yaml.', "call", "path")
    if partner.file.base is None:
        for spec in partner.lists.values():
            if spec.call.path is not None:
                yield sources[f"lists/{spec.name}.yaml"].problem('A call with a path needs "base" in partner.yaml.', "call", "path")
        connection = partner.file.connection
        if connection is not None and connection.verify is not None and connection.verify.call.path is not None:
            message = 'A call with a path needs "base" in this file.'
            yield sources["partner.yaml"].problem(message, "connection", "verify", "call", "path")


def connection_is_sound(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """The base URL reads only fields of the connection that are no secrets and that keep a value inside the host they stand in."""
    source = sources["partner.yaml"]
    if partner.file.base is None:
        return
    fields = connection_fields(partner)
    yield from _template_problems(partner, source, partner.file.base, frozenset({"connection"}), ("base",))
    try:
        names = compile_value(partner.file.base, FILTERS).names
    except TemplateError:
        return
    for name in names:
        field = fields.get(str(name[1])) if len(name) == 2 else None
        if field is not None and not keeps_to_its_host(field) and field.format != "uri":
            message = f'The connection field "{field.name}" stands in the base URL: it needs a pattern, options or the format uri.'
            yield source.problem(message, "base")


def _list_names(spec: ListSpec) -> frozenset[str]:
    return _COMMON | {"query", "page", *spec.depends_on}


def _call_problems(
    partner: Partner,
    source: Source,
    call: Call,
    allowed: frozenset[str],
    path: tuple[str | int, ...],
    earlier: Earlier | None = None,
) -> Iterator[Problem]:
    if call.for_each is not None:
        yield from _template_problems(partner, source, call.for_each, allowed, (*path, "forEach"), earlier=earlier)
        allowed |= _ROW
    parts: tuple[tuple[str, Any], ...] = (
        ("method", call.method),
        ("url", call.url),
        ("query", call.query),
        ("headers", call.headers),
        ("body", call.body),
        ("contentType", call.content_type),
    )
    for key, template in parts:
        if template is not None:
            yield from _template_problems(partner, source, template, allowed, (*path, key), earlier=earlier)
    if call.path is not None:
        yield from _template_problems(partner, source, call.path, allowed, (*path, "path"), compiler=compile_path, earlier=earlier)
        if "?" in call.path or "#" in call.path:
            yield source.problem('A path has neither "?" nor "#": parameters stand under "query".', *path, "path")
    if call.when is not None:
        head = call.when.at[0] if call.when.at else ""
        if head not in allowed or not _is_earlier(call.when.at, earlier):
            yield source.problem(f'"when" reads "{format_path(call.when.at)}", which is not there.', *path, "when")


def files_come_from_operations(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """Only the calls of operations have files for answers: nothing keeps those of lists and of the verify call."""
    message = '"decode: file" is for the calls of operations.'
    for spec in partner.lists.values():
        if spec.call.decode == "file":
            yield sources[f"lists/{spec.name}.yaml"].problem(message, "call", "decode")
    connection = partner.file.connection
    if connection is not None and connection.verify is not None and connection.verify.call.decode == "file":
        yield sources["partner.yaml"].problem(message, "connection", "verify", "call", "decode")


def _row_problems(operation: Operation, source: Source, call: Call, path: tuple[str | int, ...]) -> Iterator[Problem]:
    """What a call for each row of a section reads of the row stands in that section."""
    section = next((section for section in operation.sections if call.for_each == f"{{{{{section.name}}}}}"), None)
    if section is None:
        return
    parts: list[InputField | InputSection] = [*section.fields, *section.sections]
    known = {(part.at or (part.name,))[0] for part in parts}
    templates = (call.method, call.path, call.url, call.query, call.headers, call.body, call.content_type)
    names: set[Path] = set()
    with suppress(TemplateError):  # told by others
        names = {name for template in templates if template is not None for name in compile_value(template, FILTERS).names}
    if call.when is not None:
        names.add(call.when.at)
    for name in sorted(names, key=str):
        if name[:1] == ("each",) and len(name) > 1 and name[1] not in known:
            there = ", ".join(sorted(map(str, known)))
            yield source.problem(f'A row of "{section.name}" has no "{name[1]}"; it has: {there}.', *path)


Earlier = Mapping[str, frozenset[str]]


def _is_earlier(name: Path, earlier: Earlier | None) -> bool:
    """Whether a name reads no answer, or that of an earlier call."""
    return str(name[0]) not in _LATER or (len(name) > 1 and str(name[1]) in (earlier or {}).get(str(name[0]), ()))


def _template_problems(
    partner: Partner,
    source: Source,
    template: Any,
    allowed: frozenset[str],
    path: tuple[str | int, ...],
    *,
    compiler: Callable[..., Any] = compile_value,
    earlier: Earlier | None = None,
) -> Iterator[Problem]:
    try:
        names: frozenset[Path] = compiler(template, FILTERS).names
    except (TemplateError, ValueError) as error:
        yield source.problem(f"{error}.", *path)
        return
    fields = connection_fields(partner)
    for name in sorted(names, key=str):
        head = str(name[0])
        if head not in allowed:
            yield source.problem(f"{{{{{head}}}}} is not a field here; there are: {', '.join(sorted(allowed))}.", *path)
        elif not _is_earlier(name, earlier):
            yield source.problem(f'No earlier call {_LATER[head]} "{name[1] if len(name) > 1 else ""}".', *path)
        elif head == "connection":
            field = fields.get(str(name[1])) if len(name) > 1 else None
            if field is None:
                yield source.problem(f"{{{{connection.{name[1] if len(name) > 1 else ''}}}}} is not a field of the connection.", *path)
            elif field.secret:
                yield source.problem(f"{{{{connection.{field.name}}}}} is a secret: only an auth kind may read it.", *path)


def _input_fields(operation: Operation) -> Iterator[tuple[tuple[str | int, ...], InputField]]:
    for index, field in enumerate(operation.selectors):
        yield ("selectors", index), field
    for path, fields, _sections in input_levels(operation):
        for index, field in enumerate(fields):
            yield (*path, "fields", index), field


def _names(parts: Sequence[Named]) -> list[str]:
    return [part.name for part in parts]


Check = Callable[[Partner, Sources], Iterator[Problem]]

CHECKS: Final[tuple[Check, ...]] = (
    ids_are_unique,
    names_are_unique,
    places_are_apart,
    outputs_agree,
    lists_exist,
    dependencies_exist,
    placeholders_are_known,
    files_come_from_operations,
    auth_reads_the_connection,
    learning_is_sound,
    markers_have_a_place,
    operations_can_run,
    hooks_are_sound,
    budgets_are_named,
    connection_is_sound,
    *SHAPE_CHECKS,
)
