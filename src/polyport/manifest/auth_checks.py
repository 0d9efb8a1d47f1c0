"""What is checked of a partner's connections: what auth kinds read, what is learned, where a value may stand in an address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from polyport.kinds.auth.base import SchemeBase, texts_of
from polyport.kinds.auth.places import Placement
from polyport.kinds.filters import FILTERS
from polyport.manifest.levels import file_of
from polyport.manifest.model import Call, Partner
from polyport.manifest.source import Problem, Source
from polyport.manifest.variables import InputField
from polyport.paths import Path, format_path
from polyport.template import TemplateError, compile_value

Sources = Mapping[str, Source]


def connection_fields(partner: Partner) -> dict[str, InputField]:
    """Every field that a connection of the partner can have, with what it learns, by name."""
    connection = partner.file.connection
    if connection is None:
        return {}
    found: dict[str, InputField] = {field.name: field for field in connection.fields}
    for choice in connection.auth:
        found.update({field.name: field for field in choice.fields})
        found.update({name: _public(name, choice.scheme.learn_pattern(name)) for name in choice.scheme.learns})
    return found | {learned.name: _public(learned.name, learned.pattern) for learned in connection.learn}


def _public(name: str, pattern: str | None) -> InputField:
    """What is learned of a connection, as the field that it then is: nobody is asked for it, and it may be shown."""
    return InputField(name=name, type="string", label=name, pattern=pattern)


def auth_reads_the_connection(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """The templates of an auth choice read fields of the connection with this choice, and what its kind knows; addresses stay on their host."""
    connection = partner.file.connection
    shared = {field.name: field for field in connection.fields} if connection is not None else {}
    learned = {told.name: _public(told.name, told.pattern) for told in (connection.learn if connection is not None else ())}
    for index, choice in enumerate(connection.auth if connection is not None else ()):
        fields = shared | {field.name: field for field in choice.fields} | learned
        scheme, place = choice.scheme, ("connection", "auth", index, "scheme")
        known = fields.keys() | scheme.supplied | scheme.learns
        for path, told in texts_of(scheme.model_dump(by_alias=True)):
            for name in sorted(_names_in(told), key=str):
                if name[0] not in scheme.heads or (name[0] == "connection" and (len(name) < 2 or name[1] not in known)):
                    message = f"{{{{{format_path(name)}}}}} is not a field of the connection with this choice."
                    yield sources["partner.yaml"].problem(message, *place, *_steps(path))
        for lacking in sorted(scheme.needed - known):
            message = f'This kind reads the field "{lacking}", which a connection with this choice does not have; add it, or say "{lacking}" here.'
            yield sources["partner.yaml"].problem(message, *place, "kind")
        for path, told in texts_of(scheme.model_dump(by_alias=True)):
            host = told.removeprefix("https://").partition("/")[0] if told.startswith("https://") else ""
            for read in sorted(_names_in(host), key=str):
                field = fields.get(str(read[1])) if len(read) > 1 else None
                if field is not None and not keeps_to_its_host(field):
                    message = f'The connection field "{field.name}" stands in the host of an address: it needs a pattern or options.'
                    yield sources["partner.yaml"].problem(message, *place, *_steps(path))


def markers_have_a_place(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """Where a choice puts its key into the path, every signed call (or the base) holds the marker that the key replaces."""
    connection = partner.file.connection
    placed = [told for choice in (connection.auth if connection is not None else ()) for told in _placements(choice.scheme)]
    for marker in sorted({told.param for told in placed if told.place == "path"}):
        if marker in (partner.file.base or ""):
            continue
        for file, place, call in _calls(partner):
            if call.auth and marker not in (call.path or call.url or ""):
                message = (
                    f'The key of a connection belongs where the path says "{marker}", and this path does not; add it, or say "auth: false".'
                )
                yield sources[file].problem(message, *place, "path" if call.path is not None else "url")


def _placements(scheme: SchemeBase) -> list[Placement]:
    parts = (scheme, *(part for name in ("also", "add", "place") for part in getattr(scheme, name, ())))
    return [part for part in parts if isinstance(part, Placement)]


def _calls(partner: Partner) -> Iterator[tuple[str, tuple[str | int, ...], Call]]:
    """Every call of a partner that a connection may sign, with its file and place."""
    for operation in partner.operations:
        for index, call in enumerate(operation.steps):
            yield file_of(operation), ("call",) if operation.call is not None else ("calls", index), call
    for spec in partner.lists.values():
        yield f"lists/{spec.name}.yaml", ("call",), spec.call
    connection = partner.file.connection
    if connection is not None and connection.verify is not None:
        yield "partner.yaml", ("connection", "verify", "call"), connection.verify.call


def learning_is_sound(partner: Partner, sources: Sources) -> Iterator[Problem]:
    """What a connection learns has a name of its own, and is read from the connection and the answer of a verify call that there is."""
    connection, source = partner.file.connection, sources["partner.yaml"]
    if connection is None:
        return
    fields = {field.name for field in (*connection.fields, *(field for choice in connection.auth for field in choice.fields))}
    granted = {name for choice in connection.auth for name in choice.scheme.learns}
    for index, learned in enumerate(connection.learn):
        place = ("connection", "learn", index)
        if learned.name in fields | granted or sum(other.name == learned.name for other in connection.learn) > 1:
            yield source.problem(f'The name "{learned.name}" is taken by another value of the connection.', *place, "name")
        try:
            names = compile_value(learned.value, FILTERS).names
        except TemplateError as error:
            yield source.problem(f"{error}.", *place, "value")
            continue
        for name in sorted(names, key=str):
            if name[0] == "connection" and len(name) > 1 and name[1] in fields | granted:
                continue
            if name[0] != "answer" or connection.verify is None:
                message = f"{{{{{format_path(name)}}}}} is no field of the connection, nor in the answer of a verify call."
                yield source.problem(message, *place, "value")
    for index, choice in enumerate(connection.auth):
        for taken in sorted(choice.scheme.learns & fields):
            yield source.problem(
                f'The name "{taken}" is taken by a field of the connection.', "connection", "auth", index, "scheme", "learn"
            )


def _names_in(text: str) -> frozenset[Path]:
    try:
        return compile_value(text, FILTERS).names if "{{" in text else frozenset()
    except TemplateError:  # texts that are no templates: patterns, scopes
        return frozenset()


def _steps(path: Path) -> tuple[str | int, ...]:
    return tuple(step for step in path if isinstance(step, str | int))


def keeps_to_its_host(field: InputField) -> bool:
    """Whether the values of a field are bound to a form, so that they can stand in a host."""
    return field.pattern is not None or field.options is not None
