"""Holds values against the JSON Schemas that stand in service descriptions: JSON Schema as OpenAPI 3.x, Swagger 2 and Google discovery write it.

Stricter than JSON Schema in one point: a property that no part of the schema names is a fault, unless the schema says that others may come. A misspelt
name is the fault that a description can find and a lenient server hides. References are followed when a value gets there, so that a document of
megabytes costs what is used of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final

import msgspec
import re2

DEPTH_LIMIT: Final = 64
_QUIET: Final = re2.Options()
_QUIET.log_errors = False
_INTEGER: Final = re.compile(r"[+-]?\d{1,400}", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?\d{1,400}(?:\.\d{1,400})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SHAPED: Final = frozenset({"properties", "additionalProperties", "patternProperties", "unevaluatedProperties"})
_LOOKS_INSIDE: Final = _SHAPED | {"allOf", "anyOf", "oneOf", "$ref"}

Resolve = Callable[[str], Any]


class Upload:
    """The content of a file: it fits wherever a text may stand."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that does not fit: where, as a path from the request on, and a sentence."""

    at: str
    message: str


@dataclass(slots=True)
class _Seen:
    """What one schema says of one value: its faults, and which keys of an object it knows (``open``: any)."""

    faults: list[Fault] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    open: bool = False

    def add(self, other: _Seen) -> None:
        self.faults += other.faults
        self.keys |= other.keys
        self.open = self.open or other.open


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """Checks values against schemas of one document. ``text``: the value came as text (a query, a form), where ``"1"`` is a number too.

    ``null_is_absent``: the service takes ``null`` as a value that was not given (Google's APIs).
    """

    resolve: Resolve
    text: bool = False
    null_is_absent: bool = False

    def check(self, schema: Any, value: Any, at: str, depth: int = 0) -> list[Fault]:
        """Every fault of the value; a property that nothing knows is one."""
        behind = self.follow(schema)
        value = self._untext(behind, value) if isinstance(behind, dict) else value
        seen = self._visit(schema, value, at, depth)
        if isinstance(value, dict) and not seen.open:
            seen.faults += [Fault(f"{at}.{key}", "the description knows no such property") for key in value if key not in seen.keys]
        return seen.faults

    def follow(self, schema: Any) -> Any:
        """The schema behind references."""
        for _step in range(DEPTH_LIMIT):
            if not isinstance(schema, dict) or "$ref" not in schema:
                return schema
            schema = self.resolve(schema["$ref"])
        return {}

    def _visit(self, schema: Any, value: Any, at: str, depth: int) -> _Seen:
        if schema is True or depth > DEPTH_LIMIT:
            return _Seen(open=True)
        if not isinstance(schema, dict):
            return _Seen([Fault(at, "nothing may stand here")])
        seen = _Seen()
        if "$ref" in schema:
            seen.add(self._visit(self.resolve(schema["$ref"]), value, at, depth + 1))
        if value is None and (schema.get("nullable") or schema.get("x-nullable") or self.null_is_absent):
            return _Seen(open=True)
        value = self._untext(schema, value)
        if isinstance(value, Upload):
            return seen
        seen.faults += self._typed(schema, value, at)
        if isinstance(value, str):
            seen.faults += _text_faults(schema, value, at)
        elif isinstance(value, list):
            seen.faults += self._items(schema, value, at, depth)
        elif isinstance(value, dict):
            self._properties(schema, value, at, depth, seen)
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            seen.faults += _number_faults(schema, value, at)
        self._composed(schema, value, at, depth, seen)
        return seen

    def _composed(self, schema: Mapping[str, Any], value: Any, at: str, depth: int, seen: _Seen) -> None:
        for part in schema.get("allOf", ()):
            seen.add(self._visit(part, value, at, depth + 1))
        for word in ("anyOf", "oneOf"):
            if schema.get(word):
                seen.add(self._one_of(self._told(schema, schema[word], value), value, at, depth))
        if "not" in schema and not self._visit(schema["not"], value, at, depth + 1).faults:
            seen.faults.append(Fault(at, "the description rules this value out"))

    def _told(self, schema: Mapping[str, Any], parts: list[Any], value: Any) -> list[Any]:
        """The branch that a discriminator names, or all of them."""
        told = schema.get("discriminator")
        word = value.get(told.get("propertyName")) if isinstance(told, dict) and isinstance(value, dict) else None
        if not isinstance(told, dict) or not isinstance(word, str):
            return parts
        target = told.get("mapping", {}).get(word)
        return [part for part in parts if target is not None and isinstance(part, dict) and part.get("$ref") == target] or parts

    def _one_of(self, parts: list[Any], value: Any, at: str, depth: int) -> _Seen:
        """One of several: all that fit, or else the one that fits best. A branch that does not know every key still may fit with another's help."""
        tried = [self._visit(part, value, at, depth + 1) for part in parts]
        fitting = [seen for seen in tried if not seen.faults]
        if fitting:
            found = _Seen()
            for seen in fitting:
                found.add(seen)
            return found
        best = min(tried, key=lambda seen: (any(fault.at == at and "type" in fault.message for fault in seen.faults), len(seen.faults)))
        return _Seen(list(best.faults), best.keys, best.open)

    def _properties(self, schema: Mapping[str, Any], value: dict[str, Any], at: str, depth: int, seen: _Seen) -> None:
        known, patterns = schema.get("properties") or {}, schema.get("patternProperties") or {}
        needed = schema.get("required")
        for name in needed if isinstance(needed, list) else ():
            if name not in value and not _read_only(self.follow(known.get(name, {}))):
                seen.faults.append(Fault(f"{at}.{name}", "the description needs this"))
        rest = schema.get("additionalProperties", schema.get("unevaluatedProperties"))
        if rest is True or (rest is None and not _LOOKS_INSIDE & schema.keys()):
            seen.open = True
        for name, inner in value.items():
            told = [known[name]] if name in known else []
            told += [part for pattern, part in patterns.items() if _matches(pattern, name)]
            for part in told or ([rest] if isinstance(rest, dict) else []):
                seen.keys.add(name)
                seen.faults += self.check(part, inner, f"{at}.{name}", depth + 1)
        seen.faults += _size_faults(schema, len(value), at, ("minProperties", "maxProperties"))

    def _items(self, schema: Mapping[str, Any], value: list[Any], at: str, depth: int) -> list[Fault]:
        found: list[Fault] = []
        first = schema.get("prefixItems") or []
        for index, inner in enumerate(value):
            told = first[index] if index < len(first) else schema.get("items", True)
            found += self.check(told, inner, f"{at}[]", depth + 1)
        found += _size_faults(schema, len(value), at, ("minItems", "maxItems"))
        if schema.get("uniqueItems") and len({repr(inner) for inner in value}) < len(value):
            found.append(Fault(at, "an element stands twice"))
        return found

    def _typed(self, schema: Mapping[str, Any], value: Any, at: str) -> list[Fault]:
        told = schema.get("type")
        kinds = [told] if isinstance(told, str) else told if isinstance(told, list) else []
        faults = []
        if kinds and not any(self._is(kind, value, schema) for kind in kinds):
            faults.append(Fault(at, f"a value of the type {' or '.join(kinds)} is needed, this is {_kind(value)}"))
        if "enum" in schema and not any(self._same(value, wanted) for wanted in schema["enum"]):
            faults.append(Fault(at, "this is none of the values that the description lists"))
        if "const" in schema and not self._same(value, schema["const"]):
            faults.append(Fault(at, "this is not the one value that the description lists"))
        return faults

    def _same(self, value: Any, wanted: Any) -> bool:
        if self.text and isinstance(value, str) and not isinstance(wanted, str):
            return value == ("true" if wanted is True else "false" if wanted is False else str(wanted))
        return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)

    def _is(self, kind: str, value: Any, schema: Mapping[str, Any]) -> bool:
        if kind in {"any", "file"}:
            return True
        if self.text and isinstance(value, str):
            fits: dict[str, Callable[[], Any]] = {
                "integer": lambda: _INTEGER.fullmatch(value),
                "number": lambda: _NUMBER.fullmatch(value),
                "boolean": lambda: value in {"true", "false"},
                "null": lambda: value == "",
            }
            if kind in fits:
                return bool(fits[kind]())
        if kind == "string":
            return isinstance(value, str) or (schema.get("format") in {"int64", "uint64"} and _kind(value) == "integer")
        if kind == "number":
            return _kind(value) in {"integer", "number"}
        return _kind(value) == kind or (kind == "integer" and isinstance(value, float | Decimal) and value == int(value))

    def _untext(self, schema: Mapping[str, Any], value: Any) -> Any:
        """What came as text in the shape that the schema speaks of: one value for a list, rows by number, JSON for an object."""
        if not self.text:
            return value
        kinds = schema.get("type")
        wanted = {kinds} if isinstance(kinds, str) else set(kinds or ())
        if "array" in wanted and "string" not in wanted:
            if isinstance(value, dict) and value and all(key.isdecimal() for key in value):
                return list(value.values())
            if isinstance(value, str):
                decoded = _json(value) if value.startswith("[") else None
                return decoded if isinstance(decoded, list) else [value]
        if "object" in wanted and "string" not in wanted and isinstance(value, str) and value.startswith("{"):
            decoded = _json(value)
            return decoded if isinstance(decoded, dict) else value
        if wanted and not wanted & {"array", "object"} and isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
            return value[0]
        return value


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None


def _read_only(schema: Any) -> bool:
    return isinstance(schema, dict) and bool(schema.get("readOnly"))


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float | Decimal):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _matches(pattern: str, text: str) -> bool:
    """Whether a pattern is found in a text; one that RE2 cannot read (it looks around) says nothing."""
    compiled = _compiled(pattern)
    return compiled is None or compiled.search(text) is not None


@cache
def _compiled(pattern: str) -> Any:
    try:
        return re2.compile(pattern, _QUIET)
    except re2.error:
        return None


def _size_faults(schema: Mapping[str, Any], size: int, at: str, words: tuple[str, str]) -> list[Fault]:
    least, most = (_bound(schema.get(word)) for word in words)
    found = [Fault(at, f"{words[0]} is {least}, there are {size}")] if least is not None and size < least else []
    return found + ([Fault(at, f"{words[1]} is {most}, there are {size}")] if most is not None and size > most else [])


def _text_faults(schema: Mapping[str, Any], value: str, at: str) -> list[Fault]:
    found = _size_faults(schema, len(value), at, ("minLength", "maxLength"))
    if isinstance(schema.get("pattern"), str) and not _matches(schema["pattern"], value):
        found.append(Fault(at, f"this does not match the pattern {schema['pattern'][:200]}"))
    shape = _SHAPES.get(str(schema.get("format")))
    if shape is not None and schema.get("type") == "string" and not shape(value) and not _belied(schema, shape):
        found.append(Fault(at, f"this is not of the format {schema['format']}"))
    return found


def _belied(schema: Mapping[str, Any], shape: Callable[[str], bool]) -> bool:
    """Whether the schema's own example is not in its format: then the format is not meant."""
    listed = schema.get("examples")
    examples = [schema.get("example"), schema.get("default"), *(listed[:5] if isinstance(listed, list) else ())]
    return any(isinstance(example, str) and example and not shape(example) for example in examples)


def _number_faults(schema: Mapping[str, Any], value: float | Decimal, at: str) -> list[Fault]:
    exact = Decimal(str(value))
    least, most = _bound(schema.get("minimum")), _bound(schema.get("maximum"))
    below, above = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    found = []
    if least is not None and (exact < least or (below is True and exact == least)):
        found.append(Fault(at, f"the least is {least}"))
    if most is not None and (exact > most or (above is True and exact == most)):
        found.append(Fault(at, f"the most is {most}"))
    for bound, beyond in ((_bound(below), exact.__le__), (_bound(above), exact.__ge__)):
        if bound is not None and beyond(bound):
            found.append(Fault(at, f"this has to be on the other side of {bound}"))
    step = _bound(schema.get("multipleOf"))
    if step and abs(exact) < Decimal(10) ** 20 and exact % step != 0:
        found.append(Fault(at, f"this has to be a multiple of {step}"))
    return found


def _bound(value: Any) -> Decimal | None:
    """A bound as a number: Google discovery writes it as text, OpenAPI 3.0 has true where newer schemas have a number."""
    if isinstance(value, bool) or value is None:
        return None
    text = str(value)
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _is_moment(text: str) -> bool:
    try:
        return "T" in text.upper() and datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_day(text: str) -> bool:
    try:
        return len(text) == 10 and bool(date.fromisoformat(text))
    except ValueError:
        return False


_SHAPES: Final[Mapping[str, Callable[[str], bool]]] = {
    "date-time": _is_moment,
    "google-datetime": _is_moment,
    "date": _is_day,
    "uuid": lambda text: _UUID.fullmatch(text) is not None,
    "email": lambda text: "@" in text[1:-1],
    "uri": lambda text: ":" in text and " " not in text,
    "int64": lambda text: _INTEGER.fullmatch(text) is not None,
    "uint64": lambda text: text.isdecimal(),
}
