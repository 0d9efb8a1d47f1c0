"""What pydantic finds wrong with a part of a file, as problems with a line and a sentence that says what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from polyport.manifest.source import Problem, Source

_SHAPES: Final = {
    "string_type": "a text; quote what looks like a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "an object (keys with values)",
    "model_type": "an object (keys with values)",
    "model_attributes_type": "an object (keys with values)",
    "mapping_type": "an object (keys with values)",
    "date_type": "a date such as 2026-11-24",
    "date_from_datetime_parsing": "a date such as 2026-11-24",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
}
_BOUNDS: Final = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
_BOUND_WORDS: Final = {
    "gt": "a number above {}",
    "ge": "a number of at least {}",
    "lt": "a number below {}",
    "le": "a number of at most {}",
}
_LENGTHS: Final = {
    "string_too_short": ("min_length", "a text of at least {} characters"),
    "string_too_long": ("max_length", "a text of at most {} characters"),
    "too_short": ("min_length", "a list of at least {} elements"),
    "too_long": ("max_length", "a list of at most {} elements"),
}
_PATTERNS: Final = {
    r"^[A-Za-z_][A-Za-z0-9_-]*$": "a name: letters, digits, _ and -, not beginning with a digit",
    r"^[a-z][a-z0-9-]*$": "a slug: small letters, digits and -, beginning with a letter",
    r"^[1-9](xx|\d\d)$": 'a status such as 404, or a class such as "4xx"',
    r"^([A-Z]{1,20}|\{\{[^}]+\}\})$": "a method in capitals, such as POST",
    r"^\{\{.+\}\}$": "one placeholder such as {{values}}",
    r"^(GET|POST|PUT|PATCH|DELETE) /[^\s?#]*$": "a method and a path, such as GET /people/{id}",
    r"^https://": "an address that begins with https://",
}
_INSIDE: Final = frozenset({"missing", "extra_forbidden"})
_TOLD: Final = _INSIDE | {"value_error", "union_tag_not_found"}
_QUOTED: Final = re.compile(r"'([^']*)'")


def describe(model: type[BaseModel], source: Source, errors: Sequence[ErrorDetails]) -> list[Problem]:
    """Every fault once, in the order of the file. Where a part may have several forms and has none of them, they are named in one sentence."""
    known = _keys_of(model)
    # A list whose only part is faulty counts as empty for pydantic; the fault of the part says it all.
    outer = {error["loc"][:length] for error in errors for length in range(len(error["loc"]))}
    told = [error for error in errors if error["type"] != "too_short" or error["loc"] not in outer]
    places: dict[tuple[str | int, ...], list[ErrorDetails]] = {}
    for error in told:
        places.setdefault(_location(error["loc"], source), []).append(error)
    # Where one of several forms was meant, what is wrong inside it says more than that the others were not.
    inside = {place[:length] for place in places for length in range(len(place))}
    inside |= {place for place, found in places.items() if any(error["type"] in _INSIDE for error in found)}
    return [
        source.problem(sentence, *place)
        for place, found in places.items()
        for sentence in _sentences(place, [each for each in found if place not in inside or each["type"] in _TOLD], known)
    ]


def _location(loc: Sequence[str | int], source: Source) -> tuple[str | int, ...]:
    """The part of a location that stands in the file: tags of unions are left out."""
    kept: tuple[str | int, ...] = ()
    for part in loc:
        if (*kept, part) in source.marks:
            kept = (*kept, part)
    return kept


def _sentences(place: tuple[str | int, ...], errors: Sequence[ErrorDetails], known: Sequence[str]) -> Iterator[str]:
    forms: list[str] = []
    for error in errors:
        key = str(error["loc"][-1]) if error["loc"] else ""
        if error["type"] == "missing":
            yield f'The key "{key}" is needed here.'
        elif error["type"] == "extra_forbidden":
            close = difflib.get_close_matches(key, known, n=1)
            yield f'"{key}" is not a key of the language here.' + (f' Did you mean "{close[0]}"?' if close else "")
        elif error["type"] == "union_tag_not_found":
            yield f'The key "{_unquoted(error["ctx"]["discriminator"])}" is needed here: it says of which kind this is.'
        elif error["type"] == "value_error":
            message = error["msg"].removeprefix("Value error, ")
            named = _named(place)
            yield f"{named}: {message}." if named else f"{_begun(message)}."
        else:
            form = _form(error)
            forms += [] if form in forms else [form]
    if forms:
        named = _named(place)
        yield f"{named + (',' if isinstance(place[-1], int) else '') if named else 'This file'} has to be {' or '.join(forms)}."


def _begun(message: str) -> str:
    """A message that begins a sentence; a key that it begins with keeps its writing."""
    first, _, rest = message.partition(" ")
    return f'"{first}" {rest}' if first != first.lower() and first[:1].islower() else f"{message[:1].upper()}{message[1:]}"


def _named(place: tuple[str | int, ...]) -> str:
    """What a part is called: its key, and its number in a list, from 1."""
    words = [part for part in place if isinstance(part, str)]
    if not words:
        return ""
    number = f", element {place[-1] + 1}" if isinstance(place[-1], int) else ""
    return f'"{words[-1]}"{number}'


def _form(error: ErrorDetails) -> str:
    """What would have been right."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _SHAPES:
        return _SHAPES[kind]
    if kind in _BOUNDS:
        bound = context[_BOUNDS[kind]]
        return _BOUND_WORDS[_BOUNDS[kind]].format(int(bound) if bound == int(bound) else bound)
    if kind in _LENGTHS:
        name, words = _LENGTHS[kind]
        return "a text that is not empty" if kind == "string_too_short" and context[name] == 1 else _one(words.format(context[name]))
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"a text that matches {context['pattern']}")
    if kind in {"literal_error", "union_tag_invalid"}:
        return _choice(error, str(context["expected"] if kind == "literal_error" else context["expected_tags"]))
    return f"something else: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _choice(error: ErrorDetails, expected: str) -> str:
    choices = _QUOTED.findall(expected) or [expected.lower()]
    given: Any = error["input"]
    if error["type"] == "union_tag_invalid":
        given = error["ctx"]["tag"]
    close = difflib.get_close_matches(given, choices, n=1) if isinstance(given, str) else []
    listed = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if error["type"] == "union_tag_invalid":
        listed = f'of another kind; "{_unquoted(error["ctx"]["discriminator"])}" is {listed}'
    return listed + (f" (did you mean {close[0]}?)" if close else "")


def _one(words: str) -> str:
    return words.removesuffix("s") if words.endswith((" 1 characters", " 1 elements")) else words


def _unquoted(text: str) -> str:
    return text.strip("'")


@cache
def _keys_of(model: type[BaseModel]) -> list[str]:
    """All keys of a model and of those inside it; worked out once, since that takes a tenth of a second and folders may have many faults."""
    definitions = model.model_json_schema(by_alias=True, mode="validation")
    names = set(definitions.get("properties", {}))
    for part in definitions.get("$defs", {}).values():
        names.update(part.get("properties", {}))
    return sorted(names)
