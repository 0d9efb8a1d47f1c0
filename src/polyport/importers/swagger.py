"""Swagger 2: rewritten as OpenAPI 3, then read as such."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from polyport.importers.described import Service
from polyport.importers.openapi import METHODS, OpenApi, mapping, sequence, text
from polyport.importers.references import Dangling, References

_STYLES: Final = {"ssv": "spaceDelimited", "pipes": "pipeDelimited", "tsv": "spaceDelimited"}
_FLOWS: Final = {"accessCode": "authorizationCode", "application": "clientCredentials", "implicit": "implicit", "password": "password"}


def read_swagger(references: References, origin: str | None = None) -> tuple[Service, References]:
    """The service of a Swagger 2 document, and what finds its schemas."""
    data = references.data
    written = {
        **data,
        "openapi": "3.0.3",
        "servers": _servers(data, references),
        "components": {"securitySchemes": {str(name): _scheme(told) for name, told in mapping(data.get("securityDefinitions")).items()}},
        "paths": {},
    }
    rewriter = _Rewriter(references)
    for path, raw in (*mapping(data.get("paths")).items(), *mapping(data.get("x-ms-paths")).items()):
        written["paths"].setdefault(path, rewriter.item(raw))
    rewritten = References(written, references.read, behind=data)
    return OpenApi(rewritten, origin).read(), rewritten


def _servers(data: Mapping[str, Any], references: References) -> list[dict[str, Any]]:
    """The address from its parts; Azure's hosts vary and stand in an extension."""
    varied = mapping(data.get("x-ms-parameterized-host"))
    if template := text(varied.get("hostTemplate")):
        variables: dict[str, Any] = {}
        for raw in sequence(varied.get("parameters")):
            try:
                one = mapping(references.follow(raw))
            except Dangling:
                continue
            variables[text(one.get("name"))] = {key: one[key] for key in ("default", "enum", "description") if key in one}
        scheme = "https://" if varied.get("useSchemePrefix", True) is not False else ""
        return [{"url": f"{scheme}{template}/{text(data.get('basePath')).strip('/')}".rstrip("/"), "variables": variables}]
    host, base = text(data.get("host")), text(data.get("basePath"))
    schemes = [scheme for scheme in sequence(data.get("schemes")) if scheme in ("http", "https")] or ["https"]
    scheme = "https" if "https" in schemes else schemes[0]
    return [{"url": f"{scheme}://{host}/{base.strip('/')}".rstrip("/")}] if host else ([{"url": base}] if base else [])


def _scheme(raw: Any) -> dict[str, Any]:
    told = mapping(raw)
    if told.get("type") == "basic":
        return {"type": "http", "scheme": "basic"}
    if told.get("type") != "oauth2":
        return dict(told)
    flow = {key: told[key] for key in ("authorizationUrl", "tokenUrl", "scopes") if key in told}
    return {"type": "oauth2", "flows": {_FLOWS.get(text(told.get("flow")), "authorizationCode"): flow}}


class _Rewriter:
    def __init__(self, references: References) -> None:
        self._references = references
        self._data = references.data

    def _follow(self, node: Any) -> Any:
        try:
            return self._references.follow(node)
        except Dangling:
            return node

    def item(self, raw: Any) -> Any:
        item = self._follow(raw)
        if not isinstance(item, dict):
            return item
        shared = [self._follow(one) for one in sequence(item.get("parameters"))]
        return {method: self._operation(self._follow(item[method]), shared) for method in METHODS if method in item}

    def _operation(self, told: Any, shared: list[Any]) -> Any:
        if not isinstance(told, dict):
            return told
        own = [self._follow(one) for one in sequence(told.get("parameters"))]
        listed = {(text(mapping(one).get("name")), text(mapping(one).get("in"))): one for one in (*shared, *own)}.values()
        takes = [text(kind) for kind in sequence(told.get("consumes") or self._data.get("consumes")) if text(kind)]
        gives = [text(kind) for kind in sequence(told.get("produces") or self._data.get("produces")) if text(kind)]
        written = {key: value for key, value in told.items() if key not in {"parameters", "responses", "consumes", "produces"}}
        written["parameters"] = [_parameter(one) for one in listed if text(mapping(one).get("in")) not in {"body", "formData"}]
        body = self._body([mapping(one) for one in listed], takes)
        if body is not None:
            written["requestBody"] = body
        answers = {}
        for status, answer in mapping(told.get("responses")).items():
            held = mapping(self._follow(answer))
            content = {kind: {"schema": held["schema"]} for kind in (gives or ["application/json"])} if "schema" in held else {}
            answers[str(status)] = {"content": content, "headers": held.get("headers", {})}
        return {**written, "responses": answers}

    def _body(self, listed: list[Mapping[str, Any]], takes: list[str]) -> dict[str, Any] | None:
        whole = next((one for one in listed if one.get("in") == "body"), None)
        form = [one for one in listed if one.get("in") == "formData" and text(one.get("name"))]
        if whole is not None:
            return {
                "required": whole.get("required") is True,
                "content": {key: {"schema": whole.get("schema", {})} for key in takes or ["application/json"]},
            }
        if not form:
            return None
        schema = {
            "type": "object",
            "properties": {one["name"]: _schema(one) for one in form},
            "required": [one["name"] for one in form if one.get("required") is True],
        }
        forms = [kind for kind in takes if "form" in kind] or ["application/x-www-form-urlencoded"]
        if any(one.get("type") == "file" for one in form):  # nothing else carries files, whatever is said to be taken
            forms = ["multipart/form-data"]
        encoding = {
            one["name"]: {
                "style": _STYLES.get(text(one.get("collectionFormat")), "form"),
                "explode": one.get("collectionFormat") == "multi",
            }
            for one in form
            if one.get("type") == "array"
        }
        return {"required": True, "content": {key: {"schema": schema, "encoding": encoding} for key in forms}}


def _schema(one: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in one.items() if key not in {"name", "in", "required", "collectionFormat"}}
    if found.get("type") == "file":
        return {**found, "type": "string", "format": "binary"}
    return found


def _parameter(raw: Any) -> Any:
    one = mapping(raw)
    joined = text(one.get("collectionFormat")) or "csv"
    told = {key: one[key] for key in ("name", "in", "required", "description") if key in one}
    style = _STYLES.get(joined, "form" if one.get("in") == "query" else "simple")
    return {**told, "schema": _schema(one), "style": style, "explode": joined == "multi"}
