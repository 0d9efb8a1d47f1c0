"""The field schema of an operation as a schema that tool-calling dialects accept. Pure.

``json-schema`` (draft 2020-12) says all that can be said: unions, titles of choices, defaults, examples. The tool dialects take less; what they have no
keyword for stands in descriptions. Whatever fits a schema is accepted by the validator, up to what no schema can say: whether a day or a telephone
number exists, bounds of a decimal sent as text, how deep free JSON nests, what a list holds by the time of the run. Where a dialect has no keyword for a
length, a format or a value that may not be empty, its descriptions say what they can and the validator says the rest.

Null: it clears a field here. In OpenAI's strict mode a model has to give every property and gives null for what it leaves out, so whoever runs such a
call drops every null first, also inside rows; that tool's description tells the model that null means "not set". Everywhere else null clears.

Names: properties have their public names, as ``runnerData`` wants them. A name that a dialect refuses is a ``ValueError``, never another name: nobody
would translate it back. Gemini has no free-form value: an optional one is left out and named in the description, a required one is a ``ValueError``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Final

from polyport.engine.json_schema import Json, given, input_schema, nullable, plain, words
from polyport.engine.schema import Schema

DIALECTS: Final = ("json-schema", "openai", "anthropic", "gemini")
NAME_LIMIT: Final = 64
DESCRIPTION_LIMIT: Final = 1_024  # of an OpenAI function
# What OpenAI's strict mode takes; a level is an object or an array, which is the careful way to count.
STRICT_PROPERTIES: Final = 5_000
STRICT_LEVELS: Final = 10
STRICT_ENUM_VALUES: Final = 1_000
STRICT_CHARACTERS: Final = 120_000
STRICT_LARGE_ENUM: Final = (250, 15_000)

_SHARED_KEYWORDS: Final = frozenset({"type", "description", "pattern", "minimum", "maximum", "minItems", "maxItems"})
_STRICT_KEYWORDS: Final = _SHARED_KEYWORDS | {"multipleOf", "enum", "anyOf", "items", "properties", "additionalProperties", "format"}
_GEMINI_KEYWORDS: Final = _SHARED_KEYWORDS | {"required", "minLength", "maxLength"}
_OPENAI_FORMATS: Final = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_PROPERTY_NAMES: Final = {"anthropic": re.compile(r"[A-Za-z0-9_.-]{1,64}"), "gemini": re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")}

_NOT_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")


def tool_schema(schema: Schema, dialect: str, slug: str = "") -> Json:
    """The schema in a dialect: of the bare ``runnerData`` for ``json-schema``, a whole tool definition for the others; ``slug`` is the partner's.

    Raises ``ValueError`` with a sentence for a dialect that there is not, and for an operation that the dialect cannot say.
    """
    operation = schema.operation
    if dialect == "json-schema":
        head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": operation.title}
        return head | given({"description": operation.description or None}) | input_schema(schema, wide=True)
    if dialect not in DIALECTS:
        raise ValueError(f"the dialects are {', '.join(DIALECTS)}")
    parameters = input_schema(schema, wide=False)
    _check_names(parameters, dialect)
    name, about = tool_name(slug, operation.name), words(operation.title, operation.description)
    rule = "Leave out what you do not set: null clears a field." if parameters["properties"] else None
    if dialect == "anthropic":
        return {"name": name, "description": words(about, rule), "input_schema": parameters}
    if dialect == "gemini":
        return _gemini_tool(name, words(about, rule), parameters)
    strict = _fits_strict(parameters)
    if strict and parameters["properties"]:
        rule = "Give null for what you do not set."
    shown = about if len(words(about, rule)) <= DESCRIPTION_LIMIT else about[: DESCRIPTION_LIMIT - len(rule or "") - 3].rstrip() + "…"
    function = {"name": name, "description": words(shown, rule), "strict": strict, "parameters": _openai(parameters, strict=strict)}
    return {"type": "function", "function": function}


def tool_name(slug: str, name: str) -> str:
    """``<slug>_<operation name>``, made of letters, digits, ``_`` and ``-``, at most 64; what had to be changed ends in a hash that keeps it apart."""
    whole = f"{slug}_{name}" if slug else name
    fitting = _NOT_NAME.sub("_", whole)
    if fitting == whole and len(whole) <= NAME_LIMIT:
        return whole
    return f"{fitting[: NAME_LIMIT - 9]}_{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def _inner(part: Json) -> Iterator[Json]:
    yield from part.get("properties", {}).values()
    yield from part.get("anyOf", ())
    if "items" in part:
        yield part["items"]


def _walk(part: Json) -> Iterator[Json]:
    yield part
    for inner in _inner(part):
        yield from _walk(inner)


def _check_names(parameters: Json, dialect: str) -> None:
    allowed = _PROPERTY_NAMES.get(dialect)
    for part in _walk(parameters):
        for name in part.get("properties", ()):
            if allowed is not None and not allowed.fullmatch(name):
                raise ValueError(f'the field "{name[:100]}" cannot be named in the dialect {dialect}, which takes {allowed.pattern}')


def _fits_strict(parameters: Json) -> bool:
    """Whether OpenAI's strict mode can say it: no free-form value, and within its limits."""
    properties = values = characters = 0
    for part in _walk(parameters):
        if "type" not in part and "anyOf" not in part:
            return False
        names, enum = part.get("properties", {}), part.get("enum", ())
        texts = sum(len(key) for key in enum if isinstance(key, str))
        properties, values, characters = properties + len(names), values + len(enum), characters + texts + sum(map(len, names))
        if len(enum) > STRICT_LARGE_ENUM[0] and texts > STRICT_LARGE_ENUM[1]:
            return False
    sizes_fit = properties <= STRICT_PROPERTIES and values <= STRICT_ENUM_VALUES and characters <= STRICT_CHARACTERS
    return sizes_fit and _levels(parameters) <= STRICT_LEVELS


def _levels(part: Json) -> int:
    return int("properties" in part or "items" in part) + max(map(_levels, _inner(part)), default=0)


def _openai(part: Json, *, strict: bool) -> Json:
    """Without the formats for which OpenAI refuses a whole request. For strict mode: everything required, what may be left out nullable."""
    changed = {key: value for key, value in part.items() if not strict or key in _STRICT_KEYWORDS}
    notes = []
    if "format" in part and part["format"] not in _OPENAI_FORMATS:
        notes.append(f"Format: {changed.pop('format')}")
    if strict:
        bounds = (("At least", part.get("minLength", 0)), ("At most", part.get("maxLength", 0)))
        notes += [f"{word} {length} characters" for word, length in bounds if length > 1]
    if notes:
        changed["description"] = words(part.get("description"), *notes)
    if "items" in part:
        changed["items"] = _openai(part["items"], strict=strict)
    if "anyOf" in part:
        changed["anyOf"] = [_openai(shape, strict=strict) for shape in part["anyOf"]]
    if "properties" in part:
        inner = {name: _openai(value, strict=strict) for name, value in part["properties"].items()}
        if strict:
            needed = part.get("required", ())
            inner = {name: value if name in needed or _takes_null(value) else nullable(value) for name, value in inner.items()}
            changed["required"] = list(inner)
        changed["properties"] = inner
    return changed


def _takes_null(part: Json) -> bool:
    return "null" in part.get("type", ()) or {"type": "null"} in part.get("anyOf", ())


def _gemini_tool(name: str, description: str, parameters: Json) -> Json:
    left_out: list[str] = []
    said = _gemini(parameters, "", left_out)
    if left_out:
        description = words(description, "Not offered here: " + ", ".join(left_out))
    return {"name": name, "description": description} | ({} if said is None else {"parameters": said})


def _gemini(part: Json, at: str, left_out: list[str]) -> Json | None:
    """In the OpenAPI subset of Gemini, or ``None`` for what it cannot say: free-form values, and objects and lists with nothing else in them."""
    if "anyOf" in part:
        part = _one_object(part)
    kinds = part.get("type", ())
    changed = {key: value for key, value in part.items() if key in _GEMINI_KEYWORDS}
    if isinstance(kinds, list):
        changed |= {"type": next(word for word in kinds if word != "null"), "nullable": True}
    if "enum" in part:
        changed |= {"type": "string", "format": "enum", "enum": [plain(key) for key in part["enum"] if key is not None]}
    elif part.get("format") == "date-time":
        changed["format"] = "date-time"
    elif "format" in part:
        changed["description"] = words(part.get("description"), f"Format: {part['format']}")
    if "multipleOf" in part:
        changed["description"] = words(part.get("description"), f"A multiple of {part['multipleOf']}")
    if "items" in part:
        items = _gemini(part["items"], at, left_out)
        return None if items is None else changed | {"items": items}
    if "properties" not in part:
        return changed if "type" in changed else None
    properties = {}
    for name, inner in part["properties"].items():
        found = _gemini(inner, f"{at}{name}.", left_out)
        if found is not None:
            properties[name] = found
        elif name in part.get("required", ()):
            why = (
                "has rows whose fields are known once its selectors are chosen"
                if inner.get("items", {}).get("type") == "object"
                else "takes any JSON"
            )
            raise ValueError(f'the field "{at}{name}" is required and {why}, for which the dialect gemini has no word')
        else:
            left_out.append(f"{at}{name}")
    return changed | {"properties": properties} if properties else None


def _one_object(part: Json) -> Json:
    """The shapes of a file as one object, for there are no unions: its description says that exactly one source is given."""
    shapes = [shape for shape in part["anyOf"] if "properties" in shape]
    properties = {name: value for shape in shapes for name, value in shape["properties"].items()}
    kind = ["object", "null"] if len(shapes) < len(part["anyOf"]) else "object"
    return {"type": kind, "description": part["description"], "properties": properties}
