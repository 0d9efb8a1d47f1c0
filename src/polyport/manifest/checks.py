"""What a single file cannot say about itself: names that have to exist elsewhere, placeholders that have to be known, ids that may not repeat.

Each check is a function ``check(partner, sources) -> problems``; ``CHECKS`` lists them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from polyport.kinds.filters import FILTERS
from polyport.manifest.model import Action, Call, InputField, InputSection, ListSpec, Operation, Partner, Trigger
from polyport.manifest.source import Problem, Source
from polyport.paths import Path
from polyport.template import TemplateError, compile_path, compile_value

Sources = Mapping[str, Source]

_COMMON: Final = frozenset({"connection", "custom", "steps", "now", "random"})
_TRIGGER: Final = frozenset({"page", "window", "limit"})


def check_partner(partner: Partner, sources: Sources) -> list[Problem]:
    """Every problem that the checks find."""
    return [problem for check in CHECKS for problem in check(partner, sources)]


def _file_of(operation: Operation) -> str:
    return f"{'triggers' if isinstance(operation, Trigger) else 'actions'}/{operation.name}.yaml"


def ids_are_unique(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """Two operations of a partner never share an id or a name."""
    for attribute in ("id", "name"):
        counted = Counter(getattr(operation, attribute) for operation in partner.operations)
        for operation in partner.operations:
            if counted[getattr(operation, attribute)] > 1:
                message = f"Another operation of this partner has the same {attribute}; choose a new one."
                yield sources[_file_of(operation)].problem(message, attribute)


def lists_exist(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """Every list that a field, a selector or the custom fields name is a file under ``lists/``."""
    for operation in partner.operations:
        source = sources[_file_of(operation)]
        for path, field in _input_fields(operation):
            if field.list is not None and field.list not in partner.lists:
                yield source.problem(f'There is no list "{field.list}"; add lists/{field.list}.yaml or correct the name.', *path, "list")
        custom = operation.custom_fields
        if custom is not None:
            spec = partner.lists.get(custom.list)
            if spec is None or spec.custom_fields is None:
                message = f'lists/{custom.list}.yaml has to exist and say "customFields".'
                yield source.problem(message, "customFields", "list")


def names_are_unique(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """Within one level, two fields or sections never share a name; no name is one that templates reserve."""
    for operation in partner.operations:
        source = sources[_file_of(operation)]
        for path, fields, sections in _levels(operation):
            counted = Counter([field.name for field in fields] + [section.name for section in sections])
            for name, count in counted.items():
                if count > 1:
                    yield source.problem(f'The name "{name}" stands twice on this level.', *path)
        reserved = {"connection", "custom", "steps", "page", "window", "limit", "now", "random", "answer", "item"}
        for kind, named in (("fields", operation.fields), ("sections", operation.sections)):
            for index, part in enumerate(named):
                if part.name in reserved:
                    yield source.problem(
                        f'"{part.name}" is a word of the templates; give the name "{part.name}_" and say "at".', kind, index
                    )


def placeholders_are_known(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """Every placeholder reads something that exists, and no call reads a secret: secrets are for the auth kinds."""
    for operation in partner.operations:
        source = sources[_file_of(operation)]
        allowed = _COMMON | {field.name for field in (*operation.fields, *operation.selectors)} | {s.name for s in operation.sections}
        if isinstance(operation, Trigger):
            allowed |= _TRIGGER
        where = "call" if operation.call is not None else "calls"
        for index, call in enumerate(operation.steps):
            path = (where,) if where == "call" else (where, index)
            yield from _call_problems(partner, source, call, allowed, path)
        if isinstance(operation, Action) and operation.compute is not None:
            yield from _template_problems(partner, source, operation.compute, allowed, ("compute",))
    for spec in partner.lists.values():
        source = sources[f"lists/{spec.name}.yaml"]
        yield from _call_problems(partner, source, spec.call, _list_names(spec), ("call",))
        yield from _template_problems(partner, source, spec.label, frozenset({"item"}), ("label",))
    connection = partner.file.connection
    if connection is not None and connection.verify is not None:
        source = sources["partner.yaml"]
        yield from _call_problems(partner, source, connection.verify.call, _COMMON, ("connection", "verify", "call"))
        if connection.verify.account is not None:
            yield from _template_problems(
                partner, source, connection.verify.account, frozenset({"answer", "connection"}), ("connection", "verify", "account")
            )


def operations_can_run(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """An action has calls or a template to compute; calls with a path need the partner's base; a connection is there where one is read."""
    for operation in partner.operations:
        source = sources[_file_of(operation)]
        if isinstance(operation, Action) and bool(operation.steps) == (operation.compute is not None):
            yield source.problem('An action has either "call" (or "calls") or "compute".', "name")
        for call in operation.steps:
            if call.path is not None and partner.file.base is None:
                yield source.problem('A call with a path needs "base" in partner.yaml.', "call", "path")


def connection_is_sound(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """The base URL reads only fields of the connection that are no secrets and that keep a value inside the host they stand in."""
    source = sources["partner.yaml"]
    if partner.file.base is None:
        return
    fields = _connection_fields(partner)
    yield from _template_problems(partner, source, partner.file.base, frozenset({"connection"}), ("base",))
    try:
        names = compile_value(partner.file.base, FILTERS).names
    except TemplateError:
        return
    for name in names:
        field = fields.get(str(name[1])) if len(name) == 2 else None
        if field is not None and field.pattern is None and field.options is None and field.format != "uri":
            message = f'The connection field "{field.name}" stands in the base URL: it needs a pattern, options or the format uri.'
            yield source.problem(message, "base")


def _list_names(spec: ListSpec) -> frozenset[str]:
    return _COMMON | {"query", "page", *spec.depends_on}


def _call_problems(partner: Partner, source: Source, call: Call, allowed: frozenset[str], path: tuple[str | int, ...]) -> Iterator[Problem]:
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
            yield from _template_problems(partner, source, template, allowed, (*path, key))
    if call.path is not None:
        yield from _template_problems(partner, source, call.path, allowed, (*path, "path"), compiler=compile_path)
    if call.when is not None and (not call.when.at or call.when.at[0] not in allowed):
        yield source.problem(f'"when" reads "{call.when.at[0] if call.when.at else ""}", which is not there.', *path, "when")


def _template_problems(
    partner: Partner,
    source: Source,
    template: Any,
    allowed: frozenset[str],
    path: tuple[str | int, ...],
    *,
    compiler: Callable[..., Any] = compile_value,
) -> Iterator[Problem]:
    try:
        names: frozenset[Path] = compiler(template, FILTERS).names
    except (TemplateError, ValueError) as error:
        yield source.problem(f"{error}.", *path)
        return
    fields = _connection_fields(partner)
    for name in sorted(names, key=str):
        head = str(name[0])
        if head not in allowed:
            yield source.problem(f"{{{{{head}}}}} is not a field here; there are: {', '.join(sorted(allowed))}.", *path)
        elif head == "connection":
            field = fields.get(str(name[1])) if len(name) > 1 else None
            if field is None:
                yield source.problem(f"{{{{connection.{name[1] if len(name) > 1 else ''}}}}} is not a field of the connection.", *path)
            elif field.secret:
                yield source.problem(f"{{{{connection.{field.name}}}}} is a secret: only an auth kind may read it.", *path)


def _connection_fields(partner: Partner) -> dict[str, InputField]:
    connection = partner.file.connection
    if connection is None:
        return {}
    found = {field.name: field for field in connection.fields}
    for choice in connection.auth:
        found.update({field.name: field for field in choice.fields})
    return found


def _input_fields(operation: Operation) -> Iterator[tuple[tuple[str | int, ...], InputField]]:
    for index, field in enumerate(operation.selectors):
        yield ("selectors", index), field
    for path, fields, _sections in _levels(operation):
        for index, field in enumerate(fields):
            yield (*path, "fields", index), field


Level = tuple[tuple[str | int, ...], Sequence[InputField], Sequence[InputSection]]


def _levels(operation: Operation) -> Iterator[Level]:
    pending: list[Level] = [((), operation.fields, operation.sections)]
    while pending:
        path, fields, sections = pending.pop()
        yield path, fields, sections
        pending.extend(((*path, "sections", index), section.fields, section.sections) for index, section in enumerate(sections))


Check = Callable[[Partner, Sources], Iterator[Problem]]

CHECKS: Final[tuple[Check, ...]] = (
    ids_are_unique,
    names_are_unique,
    lists_exist,
    placeholders_are_known,
    operations_can_run,
    connection_is_sound,
)
