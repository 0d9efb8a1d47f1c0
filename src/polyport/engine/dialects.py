"""The field schema of an operation as a schema that tool-calling dialects accept. Pure.

``json-schema`` says all there is to say (draft 2020-12). The others take less: ``openai`` in strict mode wants every property required (what may be
left out is nullable instead) and knows few keywords; ``anthropic`` takes plain JSON Schema under ``input_schema``; ``gemini`` takes a subset of OpenAPI
without unions. In strict mode a model sends null for what it leaves out, while null clears a field here: drop nulls before running.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from polyport.engine.schema import Place, Schema
from polyport.manifest.variables import InputField, InputSection

DIALECTS: Final = ("json-schema", "openai", "anthropic", "gemini")
NAME_LIMIT: Final = 64
PROPERTIES_LIMIT: Final = 100
DEPTH_LIMIT: Final = 5

_NOT_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")
Json = dict[str, Any]

_FILE: Final[Json] = {
    "type": "object",
    "properties": {
        "url": {"type": "string", "description": "An address the file is read from."},
        "fileId": {"type": "string", "description": "The id of an uploaded file."},
        "base64": {"type": "string", "description": "The content in base64."},
        "name": {"type": "string"},
        "contentType": {"type": "string"},
    },
    "additionalProperties": False,
}
_TYPES: Final[Mapping[str, Json]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "decimal": {"type": "number"},
    "boolean": {"type": "boolean"},
    "datetime": {"type": "string", "description": "ISO 8601 with a zone, such as 2026-11-24T09:30:00Z."},
    "phone": {"type": "string", "description": "With the country code, such as +442079460000."},
    "file": _FILE,
    "date": {"type": "string", "format": "date"},
    "nullable_boolean": {"type": "boolean"},
    "object": {},
}


def tool_schema(schema: Schema, dialect: str, slug: str = "") -> Json:
    """The schema in a dialect: the bare object schema for ``json-schema``, a tool definition for the others.

    Raises ``ValueError`` with a sentence for a dialect that there is not, or when a name cannot be said in it.
    """
    if dialect not in DIALECTS:
        raise ValueError(f"the dialects are {', '.join(DIALECTS)}")
    if dialect == "json-schema":
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_object(schema, dialect)}
    operation = schema.operation
    parameters = _object(schema, dialect)
    _check_names(parameters, dialect)
    name = tool_name(slug, operation.name)
    description = f"{operation.title}. {operation.description}".strip()
    if dialect == "anthropic":
        return {"name": name, "description": description, "input_schema": parameters}
    if dialect == "gemini":
        return {"name": name, "description": description, "parameters": parameters}
    strict = _fits_strict(parameters)
    if strict:
        parameters = _strict(parameters)
    return {"type": "function", "function": {"name": name, "description": description, "strict": strict, "parameters": parameters}}


def tool_name(slug: str, name: str) -> str:
    """A tool's name: letters, digits, ``_`` and ``-``, at most 64."""
    whole = _NOT_NAME.sub("_", f"{slug}_{name}" if slug else name)
    return whole[:NAME_LIMIT]


def _object(schema: Schema, dialect: str) -> Json:
    operation = schema.operation
    properties: Json = {}
    required: list[str] = []
    for variable in operation.fields:
        _add(properties, required, variable, schema.public(variable.name), dialect)
    writes = operation.custom_fields is not None and operation.custom_fields.writable
    for entry in schema.custom:
        if writes and entry.writable:
            _add(properties, required, entry.field, entry.field.name, dialect)
    _add_sections(properties, required, schema, operation.sections, (), dialect)
    return _closed(properties, required, dialect)


def _add(properties: Json, required: list[str], variable: InputField, public: str, dialect: str) -> None:
    properties[public] = _property(variable, dialect)
    if variable.required and variable.default is None:
        required.append(public)


def _add_sections(
    properties: Json, required: list[str], schema: Schema, sections: Sequence[InputSection], place: Place, dialect: str
) -> None:
    for section in sections:
        inner = (*place, section.name)
        rows: Json = {}
        needed: list[str] = []
        for variable in section.fields:
            _add(rows, needed, variable, schema.public(variable.name, inner), dialect)
        _add_sections(rows, needed, schema, section.sections, inner, dialect)
        found: Json = {"type": "array", "items": _closed(rows, needed, dialect), "description": _words(section.label, section.hint)}
        if section.max_rows is not None:
            found["maxItems"] = section.max_rows
        least = max(section.min_rows, 1 if section.required else 0)
        if least:
            found["minItems"] = least
            required.append(section.name)
        properties[section.name] = found


def _closed(properties: Json, required: list[str], dialect: str) -> Json:
    found: Json = {"type": "object", "properties": properties}
    if required:
        found["required"] = required
    if dialect != "gemini":
        found["additionalProperties"] = False
    return found


def _property(variable: InputField, dialect: str) -> Json:
    one = dict(_TYPES[variable.base_type])
    if variable.base_type == "file" and dialect == "gemini":
        one = {key: value for key, value in one.items() if key != "additionalProperties"}
    if variable.base_type == "object" and dialect == "gemini":
        one = {"type": "object", "description": "Free-form JSON."}
    described = _words(variable.label, variable.hint, one.pop("description", None))
    choices = _choices(variable)
    if choices:
        described = _words(described, "One of: " + "; ".join(f"{key} = {label}" for key, label in choices[:50]))
        keys = [key for key, _label in choices]
        if dialect != "gemini" or all(isinstance(key, str) for key in keys):
            one["enum"] = keys
    if variable.base_type in {"integer", "decimal"}:
        one |= _given({"minimum": variable.min, "maximum": variable.max})
    elif variable.base_type == "string" and not choices:
        one |= _given({"minLength": variable.min_length, "maxLength": variable.max_length})
        if dialect != "gemini":
            one |= _given({"pattern": f"^(?:{variable.pattern})$" if variable.pattern is not None else None})
    if variable.is_array:
        one = {"type": "array", "items": one} | _given({"maxItems": variable.max_items})
    one["description"] = described
    if dialect == "json-schema":
        one |= _given({"default": variable.default})
    return one


def _choices(variable: InputField) -> list[tuple[Any, str]]:
    """The choices that are the only ones: options, never a list that may have grown since it was read."""
    if variable.options is None:
        return []
    return [(option.key, option.label) for option in variable.options]


def _given(values: Json) -> Json:
    return {key: value for key, value in values.items() if value is not None}


def _words(*texts: str | None) -> str:
    return " ".join(text if text.endswith((".", ":", "?")) else f"{text}." for text in texts if text)


def _check_names(parameters: Json, dialect: str) -> None:
    def check(part: Json) -> None:
        for name in part.get("properties", {}):
            if len(name) > NAME_LIMIT or _NOT_NAME.search(name):
                raise ValueError(f'the field "{name[:80]}" cannot be named in the dialect {dialect}')

    _walk(parameters, check)


def _walk(part: Json, visit: Callable[[Json], None]) -> None:
    visit(part)
    for inner in part.get("properties", {}).values():
        _walk(inner, visit)
    if isinstance(part.get("items"), dict):
        _walk(part["items"], visit)


def _fits_strict(parameters: Json) -> bool:
    """Whether strict mode can say it: no free-form value, not too many properties, not too deep."""
    count, free = 0, False

    def visit(part: Json) -> None:
        nonlocal count, free
        count += len(part.get("properties", {}))
        free = free or "type" not in part

    _walk(parameters, visit)
    return not free and count <= PROPERTIES_LIMIT and _depth(parameters) <= DEPTH_LIMIT


def _depth(part: Json) -> int:
    inner = [_depth(value) for value in part.get("properties", {}).values()]
    if isinstance(part.get("items"), dict):
        inner.append(_depth(part["items"]))
    return (1 if part.get("type") == "object" else 0) + max(inner, default=0)


def _strict(part: Json) -> Json:
    """The same for strict mode: everything required, what may be left out nullable, only keywords that it knows."""
    kept = {
        key: value for key, value in part.items() if key in {"type", "description", "enum", "items", "properties", "additionalProperties"}
    }
    if "items" in kept:
        kept["items"] = _strict(kept["items"])
    if "properties" in kept:
        needed = set(part.get("required", ()))
        kept["properties"] = {
            name: _strict(inner) if name in needed else _nullable(_strict(inner)) for name, inner in part["properties"].items()
        }
        kept["required"] = list(part["properties"])
    return kept


def _nullable(part: Json) -> Json:
    changed = {**part, "type": [part["type"], "null"]}
    if "enum" in changed:
        changed["enum"] = [*changed["enum"], None]
    return changed
