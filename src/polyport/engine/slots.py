"""Where each value of a dry run went: from the caller's field, the connection or a constant to the slot of the request that it fills. Pure.

It is told by the templates, not by looking for values in the request: two fields with the same value are told apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from polyport.engine.caller import Caller, connection_fields
from polyport.engine.render import CallProgram
from polyport.engine.schema import Place, Schema
from polyport.kinds.auth import Scheme
from polyport.kinds.auth.base import texts_of
from polyport.kinds.filters import FILTERS
from polyport.manifest.model import Partner
from polyport.manifest.variables import InputSection
from polyport.net.message import Request
from polyport.paths import MISSING, Path, format_path, get
from polyport.template import compile_value

VALUES_LIMIT: Final = 1_000
CONSTANT: Final = "constant"
_SEGMENT: Final = re.compile(r"(?:\{\{.*?\}\}|[^/])+")
GRANT: Final = "connection (its grant)"


def values_of(
    caller: Caller, step: CallProgram, scope: Mapping[str, Any], schema: Schema, requests: tuple[Request, Request]
) -> list[dict[str, Any]]:
    """The values of one request: ``[{"from", "to"}]`` in the order of the request's parts; ``masked`` where the value is a secret.

    ``requests`` are the request before and after it was signed: what the signature changed comes from the connection's fields.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for source, to in _told(caller, step, scope, schema):
        found.setdefault((source, to), {"from": source, "to": to})
    for source, to, masked in _signed(caller, step, *requests):
        found[source, to] = {"from": source, "to": to} | ({"masked": True} if masked else {})
    return list(found.values())[:VALUES_LIMIT]


def _told(caller: Caller, step: CallProgram, scope: Mapping[str, Any], schema: Schema) -> Iterator[tuple[str, str]]:
    told: _Told | None = step.kept.get("told")
    if told is None or told.partner is not caller.partner:
        told = step.kept["told"] = _compiled(caller.partner, step, schema)
    yield from ((source, "host") for source in told.host)
    for leaf in told.leaves:
        yield from _sources(leaf, step, scope, schema)


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One text of a call's templates: where it goes, the paths it reads, each as the caller knows it, and with the section it begins in."""

    to: str
    source: Any
    reads: tuple[tuple[Path, str, InputSection | None], ...]


@dataclass(frozen=True, slots=True)
class _Told:
    """What a call says of where its values go, read once: the names in its host, and its leaves. It is the same for every connection of the partner."""

    partner: Partner
    host: tuple[str, ...]
    leaves: tuple[_Leaf, ...]


def _compiled(partner: Partner, step: CallProgram, schema: Schema) -> _Told:
    call, file, host = step.call, partner.file, tuple[str, ...]()
    if call.path is not None and file.base is not None:
        host = tuple(format_path(name) for name in sorted(compile_value(file.base, FILTERS).names, key=str))
    parts: list[tuple[str, Any]] = [("method", call.method if "{{" in call.method else None), ("url", call.url)]
    if call.path is not None:
        parts.extend((f"path[{index}]", part) for index, part in enumerate(_SEGMENT.findall(call.path)) if "{{" in part)
    own = call.headers if isinstance(call.headers, dict) else {}
    told = {name.lower() for name in own}
    shared = {name: value for name, value in file.headers.items() if name.lower() not in told}
    headers = {**shared, **own} if isinstance(call.headers, dict) else call.headers
    parts += [("query", call.query or None), ("headers", headers or None), ("headers.Content-Type", call.content_type)]
    if call.idempotency_header is not None:
        parts.append((f"headers.{call.idempotency_header}", "{{run.key}}"))
    parts.append(("body.variables" if call.graphql is not None else "body", call.body))
    sections = {section.name: section for section in schema.operation.sections}
    leaves = [
        _Leaf(to, leaf, tuple((name, _input_name(name, schema), sections.get(str(name[0]))) for name in _names(leaf)))
        for root, template in parts
        for to, leaf in _leaves(template, root)
    ]
    return _Told(partner, host, tuple(leaves))


def _names(leaf: Any) -> list[Path]:
    return sorted(compile_value(leaf, FILTERS).names, key=str)


def _leaves(template: Any, to: str) -> Iterator[tuple[str, Any]]:
    if isinstance(template, dict):
        for key, inner in template.items():
            yield from _leaves(inner, _below(to, (key,)))
    elif isinstance(template, list):
        for index, inner in enumerate(template):
            yield from _leaves(inner, f"{to}[{index}]")
    elif template is not None:
        yield to, template


def _below(to: str, path: Path) -> str:
    shown = format_path(path)
    return f"{to}{shown}" if shown.startswith("[") else f"{to}.{shown}"


def _sources(leaf: _Leaf, step: CallProgram, scope: Mapping[str, Any], schema: Schema) -> Iterator[tuple[str, str]]:
    """What a leaf of a template reads, as the caller knows it, and where it goes."""
    to = leaf.to
    if not leaf.reads:
        yield CONSTANT, to
    for name, source, section in leaf.reads:
        value = get(scope, name)
        if value is MISSING:
            continue
        if name[0] == "custom":
            yield from _custom(to, value, schema, whole=leaf.source == "{{custom}}")
        elif name[0] == "each":
            yield _row_name(name, step, schema), to
        elif section is not None and len(name) == 1 and leaf.source == f"{{{{{section.name}}}}}":
            yield from _rows(section, section.name, to, value, schema, (section.name,))
        else:
            yield source, to


def _input_name(name: Path, schema: Schema) -> str:
    selectors = [selector.name for selector in schema.operation.selectors]
    if name[0] in selectors:
        return f"credentialData.{selectors.index(str(name[0])) + 1}"
    return format_path(name)


def _row_name(name: Path, step: CallProgram, schema: Schema) -> str:
    """The name of what a call for each row reads: that of the first row of its section."""
    section = next((part for part in schema.operation.sections if step.call.for_each == f"{{{{{part.name}}}}}"), None)
    if section is None:
        return format_path(name)
    rest = name[1:]
    for field in section.fields:
        at = field.at or (field.name,)
        if rest[: len(at)] == at:
            rest = (schema.public(field.name, (section.name,)), *rest[len(at) :])
            break
    return format_path((section.name, 0, *rest))


def _rows(section: InputSection, source: str, to: str, rows: Any, schema: Schema, place: Place) -> Iterator[tuple[str, str]]:
    """The fields of rows that were given in any of them, each with its place in the row."""
    listed = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if not listed:
        yield f"{source}[]", to
        return
    for field in section.fields:
        at = field.at or (field.name,)
        if any(get(row, at) is not MISSING for row in listed):
            yield f"{source}[].{schema.public(field.name, place)}", _below(f"{to}[]", at)
    for inner in section.sections:
        at = inner.at or (inner.name,)
        deeper = [row for outer in listed if isinstance(found := get(outer, at), list) for row in found]
        if deeper:
            yield from _rows(inner, f"{source}[].{inner.name}", _below(f"{to}[]", at), deeper, schema, (*place, inner.name))


def _custom(to: str, value: Any, schema: Schema, *, whole: bool) -> Iterator[tuple[str, str]]:
    """The custom fields that were given; those in an object stand under the partner's keys."""
    rows = [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
    given = {str(key) for key in value} if isinstance(value, dict) else {str(told) for row in rows for told in row.values()}
    for entry in schema.custom:
        if entry.key not in given:
            continue
        if not whole or not isinstance(value, dict):
            yield entry.field.name, to
        else:
            yield entry.field.name, _below(to, (entry.key,))


def _signed(caller: Caller, step: CallProgram, before: Request, after: Request) -> Iterator[tuple[str, str, bool]]:
    """What signing changed, and the fields of the connection that the auth kind reads."""
    scheme = caller.scheme
    places = _changed(before, after)
    if scheme is None or not places:
        return
    held: tuple[Scheme, list[tuple[str, bool]]] | None = step.kept.get("signed")
    if held is None or held[0] is not scheme:
        held = step.kept["signed"] = scheme, _signs_with(caller, scheme)
    yield from ((source, to, masked) for to in places for source, masked in held[1])


def _signs_with(caller: Caller, scheme: Scheme) -> list[tuple[str, bool]]:
    """The fields that a kind reads, and whether each is a secret."""
    if scheme.exchanges or scheme.keeps:
        return [(GRANT, True)]
    read = {
        str(name[1])
        for _path, text in texts_of(scheme.model_dump(by_alias=True))
        if "{{" in text
        for name in compile_value(text, FILTERS).names
        if name[0] == "connection" and len(name) > 1
    }
    fields = {field.name: field.secret for choice in _choices(caller) for field in connection_fields(caller.partner, choice)}
    return [(f"connection.{name}", fields.get(name, True)) for name in sorted(read | scheme.needed)]


def _choices(caller: Caller) -> list[str]:
    spec = caller.partner.file.connection
    return [choice.name for choice in spec.auth if choice.scheme is caller.scheme] if spec is not None else []


def _changed(before: Request, after: Request) -> list[str]:
    known = set(before.headers)
    places = [f"headers.{name}" for name, value in after.headers if (name, value) not in known]
    (path, _, query), (signed_path, _, signed_query) = before.url.partition("?"), after.url.partition("?")
    if path != signed_path:
        places.insert(0, "path")
    if query != signed_query:
        pairs = set(query.split("&"))
        places += [f"query.{pair.partition('=')[0]}" for pair in signed_query.split("&") if pair not in pairs]
    if before.body != after.body:
        places.append("body")
    return places
