"""The API reference, from our own description: operations by group, bodies and answers as tables of their fields, calls to copy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from polyport.server.console.guides import TOKEN, slug

DEEPEST: Final = 3
ROWS_MOST: Final = 120
LINE: Final = 76
UNBOUNDED: Final = 2**53 - 1
_KINDS: Final = {"integer": "whole number", "string": "text", "boolean": "true or false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a body or of an answer, its path in dots."""

    path: str
    kind: str
    needed: bool
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path, as it is shown."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    scope: str
    open: bool
    parameters: Sequence[Mapping[str, Any]]
    body: Sequence[Field]
    body_about: str
    data: Sequence[Field]
    data_about: str
    many: bool
    answers: Sequence[tuple[str, str]]
    call: str
    example: str

    @property
    def names(self) -> list[str]:
        """What it takes and gives, and what that means: parameters and fields."""
        told = [(str(each["name"]), str(each.get("description", ""))) for each in self.parameters]
        told += [(field.path, field.about) for field in (*self.body, *self.data)]
        return [word for pair in told for word in pair if word]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The operations of one tag."""

    slug: str
    title: str
    operations: Sequence[Operation]


def groups_of(api: Mapping[str, Any], origin: str) -> dict[str, Group]:
    """The groups of a description, in its order, by their slugs."""
    found: dict[str, list[Operation]] = {tag["name"]: [] for tag in api["tags"]}
    for path, methods in api["paths"].items():
        for method, told in methods.items():
            found[told["tags"][0]].append(_operation(api, origin, path, method.upper(), told))
    return {slug(title): Group(slug=slug(title), title=title, operations=operations) for title, operations in found.items()}


def _operation(api: Mapping[str, Any], origin: str, path: str, method: str, told: Mapping[str, Any]) -> Operation:
    body = _json(told.get("requestBody", {}))
    success: Mapping[str, Any] = next((each for status, each in told["responses"].items() if status.startswith("2")), {})
    example = _content(success).get("example")
    data = _json(success).get("properties", {}).get("data", {})
    many = data.get("type") == "array"
    data = data.get("items", {}) if many else data
    return Operation(
        id=told["operationId"],
        method=method,
        path=path,
        summary=told["summary"],
        description=told.get("description", ""),
        scope=told.get("x-scope", ""),
        open=told.get("security") == [],
        parameters=told.get("parameters", ()),
        body=list(fields_of(api, body))[:ROWS_MOST],
        body_about=_named(api, body).get("description", ""),
        data=list(fields_of(api, data))[:ROWS_MOST],
        data_about=_named(api, data).get("description", ""),
        many=many,
        answers=[(status, each["description"]) for status, each in told["responses"].items()],
        call=_call(api, origin, path, method, told),
        example=json.dumps(example, indent=2, ensure_ascii=False) if example is not None else "",
    )


def _content(told: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = told.get("content", {}).get("application/json", {})
    return found


def _json(told: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _content(told).get("schema", {})
    return found


def _named(api: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a reference leads to; of several, the first that is not null."""
    if "$ref" in schema:
        found: Mapping[str, Any] = api["components"]["schemas"].get(str(schema["$ref"]).rsplit("/", 1)[-1], {})
        return found
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if choice.get("type") != "null":
            return _named(api, choice)
    return schema


def fields_of(api: Mapping[str, Any], schema: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[Field]:
    """The fields of a schema, those of objects within it below them."""
    whole = _named(api, schema)
    for name, told in whole.get("properties", {}).items():
        shown = {**_named(api, told), **{key: value for key, value in told.items() if key == "description"}}
        yield Field(
            path=prefix + name, kind=_kind(api, told), needed=name in whole.get("required", ()), about=str(shown.get("description", ""))
        )
        inner, mark = (_named(api, shown["items"]), "[]") if shown.get("type") == "array" and "items" in shown else (shown, "")
        if depth < DEEPEST and "properties" in inner:
            yield from fields_of(api, inner, f"{prefix}{name}{mark}.", depth + 1)


def _kind(api: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The type of a field, in words."""
    choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if choices:
        return " or ".join(dict.fromkeys(_kind(api, choice) for choice in choices))
    whole = _named(api, schema)
    if "enum" in whole:
        return "one of " + ", ".join(map(str, whole["enum"]))
    if "const" in whole:
        return json.dumps(whole["const"])
    kind = whole.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(api, whole['items'])}" if whole.get("items") else "list"
    words = " or ".join(_KINDS.get(each, each) for each in (kind if isinstance(kind, list) else [str(kind)]))
    return words + _bounds(whole)


def _bounds(schema: Mapping[str, Any]) -> str:
    """Between what a value lies; bounds that only say that it is a number of a computer are left out."""
    least, most, longest = schema.get("minimum"), schema.get("maximum"), schema.get("maxLength")
    if most is not None and most < UNBOUNDED:
        return f", {least:,} to {most:,}" if least is not None else f", at most {most:,}"
    if least is not None and least > 1:
        return f", at least {least:,}"
    return f", at most {longest:,} characters" if longest is not None else ""


def _call(api: Mapping[str, Any], origin: str, path: str, method: str, told: Mapping[str, Any]) -> str:
    """The call as it is made at a command line."""
    query = told.get("x-query", "")
    asked = f"{origin}{path}" + (f"?{query}" if query else "")
    parts = [f"curl {'-g ' if '[' in asked else ''}{'' if method == 'GET' else f'-X {method} '}'{asked}'"]
    if told.get("security") != []:
        parts.append(f'-H "Authorization: Bearer {TOKEN}"')
    content, schema = _content(told.get("requestBody", {})), _named(api, _json(told.get("requestBody", {})))
    if "example" in content or schema.get("properties"):
        body = content["example"] if "example" in content else _example(api, schema)
        parts += ["-H 'Content-Type: application/json'", f"-d '{_written(body)}'"]
    return " \\\n  ".join(parts)


def _written(body: Any) -> str:
    """A body as it stands in single quotes in a shell: in one line while that is short."""
    short = json.dumps(body, ensure_ascii=False)
    told = short if len(short) <= LINE else json.dumps(body, indent=2, ensure_ascii=False).replace("\n", "\n  ")
    return told.replace("'", "'\\''")


def _example(api: Mapping[str, Any], schema: Mapping[str, Any], depth: int = 0) -> Any:
    """A body with what has to be in it, and what the description gives an example of."""
    if schema.get("examples"):
        return schema["examples"][0]
    whole = _named(api, schema)
    if whole.get("examples"):
        return whole["examples"][0]
    if "properties" in whole and depth < DEEPEST:
        needed = whole.get("required", ())
        return {
            name: _example(api, told, depth + 1) for name, told in whole["properties"].items() if name in needed or told.get("examples")
        }
    if "enum" in whole:
        return whole["enum"][0]
    kind = whole.get("type")
    plain: dict[str, Any] = {"integer": whole.get("minimum", 1), "number": 1, "boolean": True, "array": [], "object": {}}
    return plain.get(kind, "...") if isinstance(kind, str) else "..."
