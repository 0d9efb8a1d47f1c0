"""Reads service descriptions: OpenAPI 3.x, Swagger 2, Google discovery and Telegram's own, each into the same few words about one operation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlsplit

import yaml

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_HOLE: Final = re.compile(r"\{([^}]*)\}")
_GOOGLE_UPLOAD: Final = ("uploadType", "upload_protocol", "upload_id")


class _Yaml(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # whichever there is; the one in C is ten times as fast
    """YAML 1.2's words: ``NO`` is a country and a day is a text."""


_Yaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag not in {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"}]
    for first, found in _Yaml.yaml_implicit_resolvers.items()
}
_Yaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter: ``place`` is ``path``, ``query``, ``header`` or ``cookie``; ``style`` as OpenAPI 3 names them, ``json``: its value is JSON."""

    name: str
    place: str
    required: bool
    schema: Any
    style: str = "form"
    explode: bool = True
    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. ``bodies`` are the schemas of the body by media type, empty where it takes none."""

    path: str
    parameters: tuple[Parameter, ...]
    bodies: Mapping[str, Any] = field(default_factory=dict)
    body_required: bool = False
    text_in_json: bool = False


class Document:
    """One description. ``servers`` are the addresses beneath which its paths stand (``{x}`` for a part that varies); empty: any."""

    null_is_absent: bool = False

    def __init__(self, data: Mapping[str, Any], folder: Path) -> None:
        self.data = data
        self._folder = folder
        self._resolved: dict[str, Any] = {}

    @property
    def servers(self) -> tuple[str, ...]:
        """Where the paths stand."""
        raise NotImplementedError

    def paths(self) -> Iterator[tuple[str, str, Any]]:
        """Method, path template and what ``operation`` needs to describe it, for each operation."""
        raise NotImplementedError

    def operation(self, path: str, raw: Any) -> Operation:
        """What the document says of one operation."""
        raise NotImplementedError

    @cached_property
    def _index(self) -> dict[tuple[str, int], list[tuple[re.Pattern[str], str, Any]]]:
        found: dict[tuple[str, int], list[tuple[re.Pattern[str], str, Any]]] = {}
        for method, path, raw in self.paths():
            many = "{+" in path
            entry = (_path_pattern(path), path, raw)
            found.setdefault((method.upper(), -1 if many else path.count("/")), []).append(entry)
        for entries in found.values():
            entries.sort(key=lambda entry: (entry[1].count("{"), -len(entry[1])))
        return found

    def find(self, method: str, path: str) -> Iterator[tuple[Operation, dict[str, str]]]:
        """The operations of a method and a path (still encoded), the likeliest first, each with the values of the path's parameters."""
        for size in (path.count("/"), -1):
            for pattern, template, raw in self._index.get((method, size), ()):
                match = pattern.fullmatch(path)
                if match is not None:
                    names = [name.lstrip("+").rstrip("*") for name in _HOLE.findall(template)]
                    yield self.operation(template, raw), dict(zip(names, map(unquote, match.groups()), strict=True))

    def resolve(self, reference: str) -> Any:
        """What a reference points to, in this document or one beside it."""
        if reference not in self._resolved:
            name, _, pointer = reference.partition("#")
            node: Any = _sibling(self._folder, name).data if name else self.data
            for step in pointer.strip("/").split("/") if pointer.strip("/") else ():
                name_of = unquote(step).replace("~1", "/").replace("~0", "~")
                node = node[int(name_of)] if isinstance(node, list) else node[name_of]
            self._resolved[reference] = _moved(node, name) if name else node
        return self._resolved[reference]

    def follow(self, node: Any) -> Any:
        """What stands behind references to things that are no schemas."""
        for _step in range(10):
            if not isinstance(node, dict) or "$ref" not in node:
                break
            node = self.resolve(node["$ref"])
        return node


class OpenApi(Document):
    """OpenAPI 3.0 and 3.1."""

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers; one that is relative to the document stands anywhere."""
        named = (server if isinstance(server, str) else server["url"] for server in self.data.get("servers", ()))
        return tuple(url.rstrip("/") for url in named if "//" in url)

    def paths(self) -> Iterator[tuple[str, str, Any]]:
        """Every operation; a path with a query or a fragment in it is none of its own."""
        for path, item in self.data.get("paths", {}).items():
            held = self.follow(item)
            if "?" not in path and "#" not in path:
                yield from ((method, path, (held, held[method])) for method in _METHODS if method in held)

    def operation(self, path: str, raw: Any) -> Operation:
        """One operation with the parameters of its path."""
        item, told = raw
        listed = [self.follow(one) for one in (*item.get("parameters", ()), *told.get("parameters", ()))]
        by_name = {(one["name"], one["in"]): self._parameter(one) for one in listed}
        body = self.follow(told.get("requestBody", {}))
        bodies = {kind.partition(";")[0].strip().lower(): media.get("schema", {}) for kind, media in body.get("content", {}).items()}
        parameters = (*by_name.values(), *self._of_security())
        return Operation(path=path, parameters=parameters, bodies=bodies, body_required=bool(body.get("required")))

    def _parameter(self, told: Mapping[str, Any]) -> Parameter:
        content: Mapping[str, Any] = told.get("content") or {}
        media: Mapping[str, Any] = next(iter(content.values()), {})
        style = told.get("style") or ("form" if told["in"] in {"query", "cookie"} else "simple")
        return Parameter(
            name=told["name"],
            place=told["in"],
            required=bool(told.get("required")),
            schema=(media if content else told).get("schema", {}),
            style=style,
            explode=bool(told.get("explode", style == "form")),
            json=bool(content),
        )

    def _of_security(self) -> Iterator[Parameter]:
        for scheme in (self.data.get("components") or {}).get("securitySchemes", {}).values():
            held = self.follow(scheme)
            if held.get("type") == "apiKey":
                yield Parameter(name=held["name"], place=held["in"], required=False, schema={})


class Swagger(Document):
    """Swagger 2."""

    @property
    def servers(self) -> tuple[str, ...]:
        """Host and base path; without a host, anywhere."""
        host, base = self.data.get("host"), self.data.get("basePath", "").rstrip("/")
        return tuple(f"{scheme}://{host}{base}" for scheme in self.data.get("schemes", ("https",))) if host else ()

    def paths(self) -> Iterator[tuple[str, str, Any]]:
        """Every operation."""
        for path, item in self.data.get("paths", {}).items():
            yield from ((method, path, (item, item[method])) for method in _METHODS if method in item)

    def operation(self, path: str, raw: Any) -> Operation:
        """One operation: fields of a form become one schema, which JSON with the same members is held against too."""
        item, told = raw
        listed = [self.follow(one) for one in (*item.get("parameters", ()), *told.get("parameters", ()))]
        by_name = {(one["name"], one["in"]): one for one in listed}.values()
        takes = [kind.partition(";")[0].strip().lower() for kind in told.get("consumes", self.data.get("consumes", ()))]
        form = [one for one in by_name if one["in"] == "formData"]
        whole = next((one for one in by_name if one["in"] == "body"), None)
        bodies: dict[str, Any] = {}
        if whole is not None:
            bodies = dict.fromkeys(takes or ["application/json"], whole.get("schema", {}))
        elif form:
            schema = {
                "type": "object",
                "properties": {one["name"]: one for one in form},
                "required": [one["name"] for one in form if one.get("required")],
            }
            bodies = dict.fromkeys(takes or ["application/x-www-form-urlencoded", "multipart/form-data"], schema)
        parameters = [self._parameter(one) for one in by_name if one["in"] in {"path", "query", "header"}]
        parameters += [
            Parameter(name=scheme["name"], place=scheme["in"], required=False, schema={})
            for scheme in self.data.get("securityDefinitions", {}).values()
            if scheme.get("type") == "apiKey"
        ]
        required = bool(whole and whole.get("required")) or any(one.get("required") for one in form)
        return Operation(path=path, parameters=tuple(parameters), bodies=bodies, body_required=required, text_in_json=bool(form))

    def _parameter(self, told: Mapping[str, Any]) -> Parameter:
        joined = told.get("collectionFormat", "csv")
        style = {"ssv": "spaceDelimited", "pipes": "pipeDelimited", "tsv": "tabDelimited"}.get(joined, "form")
        schema = {key: value for key, value in told.items() if key not in {"required", "name", "in"}}
        return Parameter(
            name=told["name"], place=told["in"], required=bool(told.get("required")), schema=schema, style=style, explode=joined == "multi"
        )


class Discovery(Document):
    """Google's discovery format."""

    null_is_absent = True

    @property
    def servers(self) -> tuple[str, ...]:
        """The root; methods for uploads stand beside the others."""
        return (self.data["rootUrl"].rstrip("/"),)

    def paths(self) -> Iterator[tuple[str, str, Any]]:
        """Every method of every resource, and its upload twin."""
        prefix = "/" + self.data.get("servicePath", "").strip("/")
        for method in self._methods(self.data):
            path = f"{prefix.rstrip('/')}/{method['path'].lstrip('/')}"
            yield method["httpMethod"], path, (method, False)
            upload = method.get("mediaUpload", {}).get("protocols", {}).get("simple", {}).get("path")
            if upload is not None:
                yield method["httpMethod"], upload, (method, True)

    def _methods(self, node: Mapping[str, Any]) -> Iterator[Any]:
        yield from node.get("methods", {}).values()
        for inner in node.get("resources", {}).values():
            yield from self._methods(inner)

    def operation(self, path: str, raw: Any) -> Operation:
        """One method, with the parameters that all have."""
        told, upload = raw
        given = {**self.data.get("parameters", {}), **told.get("parameters", {})}
        parameters = [
            Parameter(
                name=name,
                place=one.get("location", "query"),
                required=bool(one.get("required")),
                schema={"type": "array", "items": one} if one.get("repeated") else one,
            )
            for name, one in given.items()
        ]
        parameters += [Parameter(name=name, place="query", required=False, schema={}) for name in _GOOGLE_UPLOAD if upload]
        body = {"application/json": told["request"]} if "request" in told else {}
        bodies = {**body, "*/*": {}} if upload else body
        return Operation(path=path, parameters=tuple(parameters), bodies=bodies)

    def resolve(self, reference: str) -> Any:
        """A schema by its name."""
        return self.data["schemas"][reference]


class Telegram(Document):
    """The description of Telegram's bot API that its community keeps: methods with fields, types by name."""

    @property
    def servers(self) -> tuple[str, ...]:
        """The one host, which the document does not name."""
        return ("https://api.telegram.org",)

    def paths(self) -> Iterator[tuple[str, str, Any]]:
        """Every method, by GET and by POST."""
        for name, method in self.data["methods"].items():
            yield from ((word, f"/bot{{token}}/{name}", (word, method)) for word in ("GET", "POST"))

    def operation(self, path: str, raw: Any) -> Operation:
        """One method: its fields in the query, a form or JSON."""
        word, method = raw
        schema = self._fields(method.get("fields", ()))
        token = Parameter(name="token", place="path", required=True, schema={"type": "string"})
        if word == "GET":
            known = schema["properties"]
            query = [Parameter(name=name, place="query", required=name in schema["required"], schema=known[name]) for name in known]
            return Operation(path=path, parameters=(token, *query))
        kinds = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
        bodies = dict.fromkeys(kinds, schema)
        return Operation(path=path, parameters=(token,), bodies=bodies, body_required=bool(schema["required"]))

    def resolve(self, reference: str) -> Any:
        """A type by its name."""
        told = self.data["types"][reference]
        if "subtypes" in told:
            return {"anyOf": [{"$ref": name} for name in told["subtypes"]]}
        return self._fields(told.get("fields", ()))

    def _fields(self, fields: Any) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {one["name"]: {"anyOf": [self._typed(name) for name in one["types"]]} for one in fields},
            "required": [one["name"] for one in fields if one.get("required")],
            "additionalProperties": False,
        }

    def _typed(self, name: str) -> Any:
        if name.startswith("Array of "):
            return {"type": "array", "items": self._typed(name.removeprefix("Array of "))}
        plain = {"Integer": "integer", "String": "string", "Float": "number", "Boolean": "boolean", "True": "boolean", "InputFile": "file"}
        if name == "InputFile":
            return {"type": "string", "format": "binary"}
        return {"type": plain[name]} if name in plain else {"$ref": name}


@cache
def read_document(file: Path) -> Document:
    """Read one description, once for the process. Raises ``ValueError`` for a format that is not known."""
    content = file.read_bytes()
    data = json.loads(content) if file.suffix == ".json" else yaml.load(content, Loader=_Yaml)  # noqa: S506  it is a safe one
    if not isinstance(data, dict):
        raise ValueError(f"{file.name} is no description of a service")
    for mark, kind in (("openapi", OpenApi), ("swagger", Swagger), ("discoveryVersion", Discovery), ("methods", Telegram)):
        if mark in data:
            return kind(data, file.parent)
    return OpenApi(data, file.parent)  # a file that others refer to


def _sibling(folder: Path, name: str) -> Document:
    return read_document((folder / urlsplit(name).path).resolve())


def _moved(node: Any, name: str) -> Any:
    """A part of another document, its references seen from this one."""
    if isinstance(node, list):
        return [_moved(inner, name) for inner in node]
    if not isinstance(node, dict):
        return node
    return {
        key: (urljoin(name, value) if not value.startswith("#") else name + value)
        if key == "$ref" and isinstance(value, str)
        else _moved(value, name)
        for key, value in node.items()
    }


def _path_pattern(path: str) -> re.Pattern[str]:
    pieces = _HOLE.split(path)
    literal, holes = pieces[::2], pieces[1::2]
    source = re.escape(unquote(literal[0]))
    for hole, after in zip(holes, literal[1:], strict=True):
        source += ("(.+)" if hole.startswith("+") else "([^/]+?)") + re.escape(unquote(after))
    return re.compile(source)
