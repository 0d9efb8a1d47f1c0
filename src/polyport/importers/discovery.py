"""Google's discovery format: rewritten as OpenAPI 3, then read as such."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from polyport.importers.described import Service
from polyport.importers.openapi import OpenApi, mapping, text
from polyport.importers.references import References

_MANY: Final = re.compile(r"\{\+([^}]+)\}")
_PLAIN: Final = frozenset(
    {
        "prettyPrint",
        "alt",
        "callback",
        "$.xgafv",
        "access_token",
        "oauth_token",
        "key",
        "quotaUser",
        "userIp",
        "uploadType",
        "upload_protocol",
    }
)
_AUTHORIZE: Final = "https://accounts.google.com/o/oauth2/v2/auth"
_TOKEN: Final = "https://oauth2.googleapis.com/token"  # noqa: S105  an address


def read_discovery(data: Mapping[str, Any], origin: str | None = None) -> tuple[Service, References]:
    """The service of a discovery document."""
    scopes = {
        text(name): text(mapping(told).get("description"))
        for name, told in mapping(mapping(mapping(data.get("auth")).get("oauth2")).get("scopes")).items()
    }
    flow = {"authorizationUrl": _AUTHORIZE, "tokenUrl": _TOKEN, "scopes": scopes}
    base = text(data.get("baseUrl")) or f"{text(data.get('rootUrl'))}{text(data.get('servicePath'))}"
    written: dict[str, Any] = {
        "openapi": "3.0.3",
        "info": {"title": data.get("title"), "description": data.get("description"), "version": data.get("version")},
        "externalDocs": {"url": data.get("documentationLink")},
        "servers": [{"url": base.rstrip("/")}] if base else [],
        "components": {
            "schemas": {name: _schema(told) for name, told in mapping(data.get("schemas")).items()},
            "securitySchemes": {"google": {"type": "oauth2", "flows": {"authorizationCode": flow}}} if scopes else {},
        },
        "security": [{"google": []}] if scopes else [],
        "paths": {},
    }
    common = {name: told for name, told in mapping(data.get("parameters")).items() if name not in _PLAIN}
    for method in _methods(data):
        path = "/" + _MANY.sub(r"{\1}", text(method.get("path"))).lstrip("/")
        verb = text(method.get("httpMethod")).lower()
        if verb:
            written["paths"].setdefault(path, {}).setdefault(verb, _operation(method, common))
        if verb == "get" and method.get("supportsMediaDownload") is True:
            written["paths"].setdefault(f"{path}?alt=media", {}).setdefault(verb, _download(_operation(method, common)))
        upload = text(mapping(mapping(mapping(method.get("mediaUpload")).get("protocols")).get("simple")).get("path"))
        if verb and upload.startswith("/") and text(data.get("rootUrl")):
            made = _upload(_operation(method, common), text(data["rootUrl"]))
            written["paths"].setdefault(_MANY.sub(r"{\1}", upload), {}).setdefault(verb, made)
    references = References(written)
    return OpenApi(references, origin).read(), references


def _methods(node: Mapping[str, Any], depth: int = 0) -> Iterator[Mapping[str, Any]]:
    yield from (mapping(method) for method in mapping(node.get("methods")).values())
    if depth < 10:
        for inner in mapping(node.get("resources")).values():
            yield from _methods(mapping(inner), depth + 1)


def _operation(method: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    given = {**common, **mapping(method.get("parameters"))}
    whole = set(re.findall(r"\{\+([^}]+)\}", text(method.get("path"))))
    parts = text(method.get("id")).split(".")
    written: dict[str, Any] = {
        "operationId": text(method.get("id")),
        "description": method.get("description"),
        "tags": parts[1:-1][:1],
        "deprecated": method.get("deprecated") is True,
        "parameters": [_parameter(name, mapping(one), whole=name in whole) for name, one in given.items()],
        "responses": {"200": {"content": {"application/json": {"schema": _schema(method["response"])}} if "response" in method else {}}},
    }
    if "request" in method:
        written["requestBody"] = {"required": True, "content": {"application/json": {"schema": _schema(method["request"])}}}
    return written


def _download(operation: dict[str, Any]) -> dict[str, Any]:
    """The same operation, whose answer is the content of the file."""
    return {
        **operation,
        "operationId": f"{operation['operationId']}Media",
        "description": f"Get the content of the file. {text(operation['description'])}".strip(),
        "responses": {"200": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
    }


def _upload(operation: dict[str, Any], root: str) -> dict[str, Any]:
    """The same operation at the address that takes the content of a file; what is said of the file goes with the other one."""
    constant = {"name": "uploadType", "in": "query", "required": True, "schema": {"type": "string", "enum": ["media"]}}
    return {
        **operation,
        "operationId": f"{operation['operationId']}Media",
        "description": f"Send the content of the file. {text(operation['description'])}".strip(),
        "parameters": [*operation["parameters"], constant],
        "servers": [{"url": root.rstrip("/")}],
        "requestBody": {"required": True, "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}},
    }


def _parameter(name: str, one: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    schema = _schema({key: value for key, value in one.items() if key not in {"required", "location", "repeated"}})
    if whole:
        schema["x-segments"] = True
    return {
        "name": name,
        "in": "path" if one.get("location") == "path" else "query",
        "required": one.get("required") is True,
        "description": one.get("description"),
        "schema": {"type": "array", "items": schema} if one.get("repeated") is True else schema,
    }


def _schema(told: Any, depth: int = 0) -> Any:
    if not isinstance(told, dict) or depth > 60:
        return {}
    if isinstance(told.get("$ref"), str):
        return {"$ref": f"#/components/schemas/{told['$ref']}"}
    found = {
        key: value
        for key, value in told.items()
        if key not in {"id", "required", "annotations", "enumDescriptions", "properties", "items", "additionalProperties"}
    }
    if told.get("type") == "any":
        found.pop("type")
    if text(found.get("format")) in {"int64", "uint64", "int32", "uint32"} and found.get("type") == "string":
        found["x-digits"] = True
    for bound in ("minimum", "maximum"):
        if isinstance(found.get(bound), str):
            found[bound] = int(found[bound]) if re.fullmatch(r"-?\d{1,18}", found[bound]) else None
    if isinstance(told.get("properties"), dict):
        found["properties"] = {name: _schema(inner, depth + 1) for name, inner in told["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in told:
            found[key] = _schema(told[key], depth + 1)
    return found
