"""Templates: JSON with typed placeholders, compiled once to closures.

``{{name}}`` alone keeps the value's type; inside a text it becomes text; nothing is guessed. A value that was not given leaves no
trace: the key, the list element or the whole text that needs it is left out. After ``|`` come filters of a fixed set, pure and bounded:
``{{when | date: "%Y-%m-%d"}}``. The members of an object join those around them under the key ``...``: ``{"...": "{{custom}}", "id": 1}``; what is written
out goes before what joins. An object with ``"...": {}`` is there even if none of its members is. There are no loops, no conditions, no attribute access and no calls: the work is bounded by the
size of the template and of the values.

A placeholder reads from a scope, a mapping of names. Names are plain (``email``), dotted into values (``row.id``, ``items[0].id``), or quoted
literals (``"text"``), numbers, ``true``, ``false`` and ``null``.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from polyport.paths import MISSING, Path, get, parse_path

Scope = Mapping[str, Any]
Filter = Callable[..., Any]
Filters = Mapping[str, Filter]
Render = Callable[[Scope], Any]

TEXT_LIMIT: Final = 16 * 1024 * 1024
TOTAL_LIMIT: Final = 4 * TEXT_LIMIT
LARGE: Final = 64 * 1024
HOLES_FEW: Final = 32
DEPTH_LIMIT: Final = 32
FILTER_LIMIT: Final = 12
BITS_LIMIT: Final = 14_000
SPREAD: Final = "..."
# Unrolled, so that no text can be read in two ways: possessive quantifiers are at fault in CPython before 3.11.5.
_INNER: Final = re.compile(r"([^{}\"]*(?:\"[^\"\\]*(?:\\.[^\"\\]*)*\"[^{}\"]*)*)\}\}", re.DOTALL)
_TOKEN: Final = re.compile(
    r"""\s*(?:("(?:[^"\\]|\\.)*")|(-?\d{1,400}(?:\.\d{1,400})?)(?![\w.])|([|:,])|([A-Za-z_][\w-]*(?:\.[A-Za-z_0-9][\w-]*|\[-?\d+\]|\["(?:[^"\\]|\\.)*"\]|\[\*\])*))"""
)
_WORDS: Final = {"true": True, "false": False, "null": None}


class TemplateError(ValueError):
    """A template that cannot be compiled; the message says what to do."""


class RenderFault(ValueError):
    """A value that does not fit where the template puts it. The message names the placeholder, never the value."""


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template. ``names`` are the paths it reads, for checks; ``render`` gives the value or ``MISSING``."""

    names: frozenset[Path]
    render: Render
    constant: bool


@dataclass(slots=True)
class _Build:
    """What is gathered while a template is compiled; ``spent`` is what the large texts of one rendering come to."""

    names: set[Path] = field(default_factory=set)
    holes: int = 0
    copies: bool = False
    counts: bool = False
    spent: int = 0

    def spend(self, size: int) -> None:
        if not self.counts:
            return
        self.spent += size
        if self.spent > TOTAL_LIMIT:
            raise RenderFault("the texts together grew beyond their limit")


def compile_value(source: Any, filters: Filters) -> Template:
    """Compile a JSON-like value in which texts may hold placeholders. Raises ``TemplateError``."""
    build = _Build()
    try:
        render = _structure(source, filters, build, depth=0, root=True)
    except RecursionError:
        raise TemplateError(f"a template nests at most {DEPTH_LIMIT} levels") from None
    return Template(frozenset(build.names), _bounded(render, build), constant=_is_constant(source))


def _bounded(render: Render, build: _Build) -> Render:
    """One large value that stands in many places must not become many large ones: neither here nor where the result is written out."""
    if not build.copies and build.holes <= HOLES_FEW:
        return render
    build.counts = True

    def bounded(scope: Scope) -> Any:
        build.spent = 0
        value = render(scope)
        if build.holes > HOLES_FEW and _is_heavy(value):
            raise RenderFault("the values together grew beyond their limit")
        return value

    return bounded


def _is_heavy(value: Any) -> bool:
    """Whether a value, written out, would be longer than ``TOTAL_LIMIT``; what stands in several places counts as often."""
    left, waiting = TOTAL_LIMIT, deque([value])
    while waiting:  # by levels: what is wide is told by its length, before its members are looked at
        one = waiting.popleft()
        if isinstance(one, str):
            left -= len(one)
        elif isinstance(one, dict):
            left -= 16 * len(one) + sum(map(len, one))
        elif isinstance(one, list):
            left -= 16 * len(one)
        if left < 0:
            return True
        if isinstance(one, dict | list):
            waiting.extend(one.values() if isinstance(one, dict) else one)
    return False


def compile_path(source: str, filters: Filters) -> Template:
    """Compile a URL path: every placeholder is percent-encoded and can neither be empty nor climb out of its segment. A list is as many segments as it has elements."""
    build = _Build()
    parts = [_segment_part(part, filters, build) for part in _split(source)]

    def render(scope: Scope) -> Any:
        texts = [part if isinstance(part, str) else part(scope) for part in parts]
        if any(text is MISSING for text in texts):
            return MISSING
        path = "".join(texts)
        if any(segment in {".", ".."} for segment in path.split("/")):
            raise RenderFault("a value may not be a dot segment of the path")
        return path

    constant = not build.names and "{{" not in source
    if constant and not any(segment in {".", ".."} for segment in source.split("/")):
        return Template(frozenset(), lambda _scope: source, constant=True)
    return Template(frozenset(build.names), render, constant=constant)


def to_text(value: Any) -> str:
    """A scalar as it stands inside a text. Raises ``RenderFault`` for lists and objects: join or encode them with a filter."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if value.bit_length() > BITS_LIMIT:
            raise RenderFault("a number of absurd size cannot stand inside a text")
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f") if abs(value.adjusted()) < 400 else str(value)
    if isinstance(value, float):
        return repr(value)
    raise RenderFault("only a text, a number or a boolean can stand inside a text; use join or json")


def _is_constant(source: Any) -> bool:
    if isinstance(source, str):
        return "{{" not in source
    if isinstance(source, dict):
        return all(key != SPREAD and _is_constant(key) and _is_constant(value) for key, value in source.items())
    if isinstance(source, list):
        return all(_is_constant(value) for value in source)
    return True


def _structure(source: Any, filters: Filters, build: _Build, *, depth: int, root: bool = False) -> Render:
    if depth > DEPTH_LIMIT:
        raise TemplateError(f"a template nests at most {DEPTH_LIMIT} levels")
    if _is_constant(source):
        return lambda _scope: source
    if isinstance(source, str):
        return _text(source, filters, build)
    if isinstance(source, dict):
        return _mapping(source, filters, build, depth=depth, root=root)
    items = [_structure(value, filters, build, depth=depth + 1) for value in source]

    def render_list(scope: Scope) -> Any:
        found = [value for value in (item(scope) for item in items) if value is not MISSING]
        return found if found or root else MISSING

    return render_list


def _mapping(source: dict[str, Any], filters: Filters, build: _Build, *, depth: int, root: bool) -> Render:
    stays = root or source.get(SPREAD) == {}
    spread = _structure(source[SPREAD], filters, build, depth=depth + 1) if source.get(SPREAD, {}) != {} else None
    plain = [
        (key, _bare_name(value), _structure(value, filters, build, depth=depth + 1))
        for key, value in source.items()
        if "{{" not in key and key != SPREAD
    ]
    keyed = [
        (_text(key, filters, build), _structure(value, filters, build, depth=depth + 1)) for key, value in source.items() if "{{" in key
    ]

    def render_mapping(scope: Scope) -> Any:
        found = _members(spread(scope)) if spread is not None else {}
        for key, bare, item in plain:
            value = item(scope) if bare is None else scope.get(bare, MISSING)  # most members are one name: no call for each
            if value is not MISSING:
                found[key] = value
        for name, item in keyed:
            key_value, value = name(scope), item(scope)
            if key_value is not MISSING and value is not MISSING:
                found[to_text(key_value)] = value
        return found if found or stays else MISSING

    return render_mapping


_BARE: Final = re.compile(r"\{\{\s*([A-Za-z_][\w-]*)\s*\}\}", re.ASCII)


def _bare_name(source: Any) -> str | None:
    """The name, where a template is nothing but a name."""
    found = _BARE.fullmatch(source) if isinstance(source, str) else None
    return found[1] if found is not None and found[1] not in _WORDS else None


def _members(value: Any) -> dict[str, Any]:
    """The members that join an object: a new one, since more are put into it."""
    if value is MISSING or value is None:
        return {}
    if not isinstance(value, dict):
        raise RenderFault('what stands under "..." has to be an object: its members join those around it')
    return dict(value)


def _text(source: str, filters: Filters, build: _Build) -> Render:
    parts = _split(source)
    build.holes += sum(isinstance(part, _Hole) for part in parts)
    build.copies = build.copies or len(parts) > 1
    if len(parts) == 1 and isinstance(parts[0], _Hole):
        return _expression(parts[0].text, filters, build)
    compiled = [part if isinstance(part, str) else _expression(part.text, filters, build) for part in parts]

    def render(scope: Scope) -> Any:
        texts: list[str] = []
        size = 0
        for part in compiled:
            if isinstance(part, str):
                texts.append(part)
                continue
            value = part(scope)
            if value is MISSING or value is None:
                return MISSING
            text = to_text(value)
            size += len(text)
            if size > TEXT_LIMIT:
                raise RenderFault("a text grew beyond its limit")
            texts.append(text)
        if size > LARGE:
            build.spend(size)
        return "".join(texts)

    return render


def _segment_part(part: str | _Hole, filters: Filters, build: _Build) -> str | Render:
    if isinstance(part, str):
        return part
    inner, text = _expression(part.text, filters, build), part.text.strip()

    def render(scope: Scope) -> Any:
        value = inner(scope)
        if value is MISSING or value is None:
            return MISSING
        encoded = "/".join(quote(to_text(one), safe="") for one in value) if isinstance(value, list) else quote(to_text(value), safe="")
        if not encoded:
            raise RenderFault(f"{{{{{text}}}}} stands in the path and may not be empty")
        return encoded

    return render


@dataclass(frozen=True, slots=True)
class _Hole:
    text: str


Tokens = deque[tuple[str, Any]]


def _split(source: str) -> list[str | _Hole]:
    """Literal texts and placeholders in turn. One pass: the first brace pair that opens nothing ends it."""
    parts: list[str | _Hole] = []
    position = 0
    while (start := source.find("{{", position)) >= 0:
        while source.startswith("{", start + 2):
            start += 1
        found = _INNER.match(source, start + 2)
        literal = source[position:start]
        if found is None or "{{" in literal or "}}" in literal:
            raise _unclosed(source)
        parts.extend((literal, _Hole(found[1])) if literal else (_Hole(found[1]),))
        position = found.end()
    if "}}" in source[position:]:
        raise _unclosed(source)
    if position < len(source):
        parts.append(source[position:])
    return parts


def _unclosed(source: str) -> TemplateError:
    return TemplateError(f'"{source[:200]}" has a placeholder that is not closed; a literal brace pair is written {{{{"{{{{"}}}}')


def _expression(text: str, filters: Filters, build: _Build) -> Render:
    tokens = _tokens(text)
    value = _operand(tokens, text, build)
    steps = 0
    while tokens:
        if tokens.popleft() != ("op", "|") or not tokens or tokens[0][0] != "name":
            raise TemplateError(f'in "{{{{{text}}}}}" a filter has to follow: "| name"')
        name = str(tokens.popleft()[1])
        if name not in filters:
            raise TemplateError(f'"{name}" is not a filter; there are: {", ".join(sorted(filters))}')
        arguments = _arguments(tokens, text, build)
        value = _apply(value, name, filters[name], arguments, build)
        steps += 1
        if steps > FILTER_LIMIT:
            raise TemplateError(f"a placeholder has at most {FILTER_LIMIT} filters")
    return value


def _arguments(tokens: Tokens, text: str, build: _Build) -> list[Render]:
    arguments: list[Render] = []
    if tokens and tokens[0] == ("op", ":"):
        tokens.popleft()
        arguments.append(_operand(tokens, text, build))
        while tokens and tokens[0] == ("op", ","):
            tokens.popleft()
            arguments.append(_operand(tokens, text, build))
    return arguments


def _apply(inner: Render, name: str, function: Filter, arguments: list[Render], build: _Build) -> Render:
    takes_missing = getattr(function, "takes_missing", False)

    def render(scope: Scope) -> Any:
        value = inner(scope)
        if value is MISSING and not takes_missing:
            return MISSING
        given = [argument(scope) for argument in arguments]
        if not takes_missing and any(argument is MISSING for argument in given):
            return MISSING
        try:
            found = function(value, *given)
        except RenderFault:
            raise
        except (ValueError, TypeError, ArithmeticError, LookupError, RecursionError) as error:
            raise RenderFault(f'the filter "{name}" does not take this value') from error
        if isinstance(found, str) and len(found) > LARGE:
            build.spend(len(found))
        return found

    return render


def _operand(tokens: Tokens, text: str, build: _Build) -> Render:
    if not tokens or tokens[0][0] == "op":
        raise TemplateError(f'"{{{{{text}}}}}" lacks a name or a value')
    kind, value = tokens.popleft()
    if kind == "literal":
        return lambda _scope: value
    if value in _WORDS:
        word = _WORDS[value]
        return lambda _scope: word
    try:
        path = parse_path(value)
    except ValueError as error:
        raise TemplateError(str(error)) from None
    build.names.add(path)
    head, rest = path[0], path[1:]

    def simple(scope: Scope) -> Any:
        return scope.get(head, MISSING)  # type: ignore[arg-type]  # the first step of a name is always a text

    def deep(scope: Scope) -> Any:
        return get(scope.get(head, MISSING), rest)  # type: ignore[arg-type]  # as above

    return deep if rest else simple


def _tokens(text: str) -> Tokens:
    tokens: Tokens = deque()
    position, end = 0, len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None:
            raise TemplateError(f'"{{{{{text}}}}}" cannot be read at "{text[position:end].strip()}"')
        if found[1] is not None:
            tokens.append(("literal", _quoted(found[1])))
        elif found[2] is not None:
            tokens.append(("literal", Decimal(found[2]) if "." in found[2] else int(found[2])))
        elif found[3] is not None:
            tokens.append(("op", found[3]))
        else:
            tokens.append(("name", found[4]))
        position = found.end()
    return tokens


def _quoted(literal: str) -> Any:
    try:
        return json.loads(literal)
    except ValueError:
        raise TemplateError(f"{literal[:200]} is no text in JSON's writing: a backslash stands before one of \"\\/bfnrtu only") from None
