"""The API description, OpenAPI 3.1, made from the endpoint table: what is described is what is served."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

from pydantic import BaseModel

from polyport import __version__
from polyport.errors import BY_CODE, TABLE
from polyport.server.routing import Endpoint

_STANDS_FOR: Final = "https://polyport.example.com"
_PATH_PARAM: Final = re.compile(r"\{(\w+)\}")
_REF: Final = "#/components/schemas/{model}"
_KNOWN: Final = "The `ETag` of an earlier answer: 304 if it still holds."
_ALWAYS: Final = ("internal_error", "overloaded")
_WITH_TOKEN: Final = ("unauthenticated", "token_expired", "forbidden")
_WITH_BODY: Final = ("malformed_json", "payload_too_large", "unsupported_media_type", "validation_failed")
_IDS: Final = frozenset({"id", "partnerId", "credentialId", "linkId"})


@cache
def words() -> Mapping[str, Mapping[str, str]]:
    """What operations are for and what names mean, beside what endpoints and models say themselves."""
    return tomllib.loads(files("polyport.server").joinpath("described.toml").read_text("utf-8"))


@cache
def examples(origin: str) -> Mapping[str, Mapping[str, Any]]:
    """What operations are called with and answer, for instance: taken from a server's answers (``make docs``), with the address of this one."""
    told = files("polyport.server").joinpath("examples.json").read_text("utf-8")
    found: Mapping[str, Mapping[str, Any]] = json.loads(told.replace(_STANDS_FOR, origin))
    return found


def describe_api(endpoints: Sequence[Endpoint], origin: str) -> dict[str, Any]:
    """The whole description."""
    schemas: dict[str, Any] = {"Error": _error_schema(), "Meta": _meta_schema()}
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.shown_path, {})[endpoint.method.lower()] = _with_example(
            _operation(endpoint, schemas), examples(origin).get(_name(endpoint), {})
        )
    for name, schema in schemas.items():
        _explain(name, schema)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Polyport",
            "version": __version__,
            "summary": "Run any action or trigger of any SaaS app with your customers' own connections.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": origin}],
        "security": [{"bearer": []}, {"basic": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(endpoint.tag for endpoint in endpoints)],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token of POST /user/auth, or an API key."},
                "basic": {"type": "http", "scheme": "basic", "description": "The token as the user name, the password empty."},
            },
        },
    }


def _operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation_id(endpoint),
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "responses": _responses(endpoint, schemas),
    }
    if told := endpoint.description or words()["operations"].get(_name(endpoint), ""):
        described["description"] = told
    if endpoint.scope:
        described["x-scope"] = endpoint.scope
    if endpoint.scope is None:
        described["security"] = []
    parameters = [_path_param(endpoint, name) for name in _PATH_PARAM.findall(endpoint.shown_path)]
    parameters += [
        {"name": param.name, "in": param.where, "required": False, "description": param.description, "schema": dict(param.schema)}
        for param in endpoint.query
    ]
    if endpoint.tagged:
        parameters.append({"name": "If-None-Match", "in": "header", "required": False, "description": _KNOWN, "schema": {"type": "string"}})
    if parameters:
        described["parameters"] = parameters
    if endpoint.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _ref(endpoint.body, schemas, "validation")}},
        }
    return described


def operation_id(endpoint: Endpoint) -> str:
    """A name for generated clients: ``post_user_auth``."""
    words = re.findall(r"[A-Za-z0-9]+", endpoint.shown_path)
    return "_".join([endpoint.method.lower(), *words])


def _with_example(described: dict[str, Any], example: Mapping[str, Any]) -> dict[str, Any]:
    """An operation with what it is called with and answers, for instance."""
    if "body" in example and "requestBody" in described:
        described["requestBody"]["content"]["application/json"]["example"] = example["body"]
    if "query" in example:
        described["x-query"] = example["query"]
    succeeds: dict[str, Any] = next((answer for status, answer in described["responses"].items() if status.startswith("2")), {})
    if "answer" in example and "content" in succeeds:
        succeeds["content"]["application/json"]["example"] = example["answer"]
    return described


def _name(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.shown_path}"


def _path_param(endpoint: Endpoint, name: str) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 1} if name in _IDS else {"type": "string"}
    meanings = words()["parameters"]
    told = meanings.get(f"{_name(endpoint)} {name}") or meanings.get(name, "")
    return {"name": name, "in": "path", "required": True, "description": told, "schema": schema}


def _explain(model: str, schema: dict[str, Any]) -> None:
    """Say what the fields of a model mean that do not say it themselves."""
    if "description" in schema:
        schema["description"] = schema["description"].replace("``", "`")
    for name, told in schema.get("properties", {}).items():
        if "description" not in told and (meaning := words()["fields"].get(f"{model}.{name}") or words()["fields"].get(name)):
            told["description"] = meaning


def _responses(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {str(endpoint.status): {"description": "Success.", **_content(endpoint, schemas)}}
    for status in dict.fromkeys(status for status, _model in endpoint.also if status != endpoint.status):
        models = [model for other, model in endpoint.also if other == status and model is not None]
        found[str(status)] = {"description": "Success.", **(_envelope(models, schemas) if models else {})}
    if endpoint.tagged:
        found["304"] = {"description": "Nothing has changed since the answer whose `ETag` came as `If-None-Match`."}
    codes = {*_ALWAYS, *endpoint.errors}
    if endpoint.scope is not None:
        codes.update(_WITH_TOKEN)
    if endpoint.method in {"POST", "PUT", "PATCH", "DELETE"}:
        codes.update(_WITH_BODY)
    if endpoint.query:
        codes.add("validation_failed")
    if "{" in endpoint.shown_path:
        codes.add("not_found")
    by_status: dict[int, list[str]] = {}
    for code in sorted(codes):
        by_status.setdefault(TABLE[BY_CODE[code]].status, []).append(code)
    for status, listed in sorted(by_status.items()):
        lines = [f"`{code}`: {(BY_CODE[code].__doc__ or '').strip()}" for code in listed]
        found[str(status)] = {
            "description": "\n".join(lines),
            "content": {
                media: {"schema": {"$ref": "#/components/schemas/Error"}} for media in ("application/json", "application/problem+json")
            },
        }
    return found


def _content(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    if endpoint.media is not None:
        return {"content": {endpoint.media: {"schema": {}}}}
    if endpoint.raw:
        return {}
    models = [
        model for model in (endpoint.answer, *(model for status, model in endpoint.also if status == endpoint.status)) if model is not None
    ]
    return _envelope(models, schemas, many=endpoint.many)


def _envelope(models: Sequence[type[BaseModel]], schemas: dict[str, Any], *, many: bool = False) -> dict[str, Any]:
    """The content of a success whose ``data`` is one of these models; of none: anything."""
    told = [_ref(model, schemas, "serialization") for model in models]
    data: dict[str, Any] = {"anyOf": told} if len(told) > 1 else told[0] if told else {}
    if many:
        data = {"type": "array", "items": data}
    properties: dict[str, Any] = {"success": {"const": True}, "data": data}
    if many:
        properties["meta"] = {"$ref": "#/components/schemas/Meta"}
    return {"content": {"application/json": {"schema": {"type": "object", "properties": properties, "required": ["success", "data"]}}}}


def _ref(model: type[BaseModel], schemas: dict[str, Any], mode: Any) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True, ref_template=_REF, mode=mode)
    schemas.update(schema.pop("$defs", {}))
    if mode == "serialization":
        _opened(schema)
    schemas[model.__name__] = schema
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _opened(schema: dict[str, Any]) -> None:
    """Answers may gain keys: clients must not refuse them."""
    schema.pop("additionalProperties", None)


def _error_schema() -> dict[str, Any]:
    fault = {
        "type": "object",
        "required": ["path", "code", "message"],
        "properties": {
            "path": {"type": "string", "description": "Where in the input: `runnerData.email[0].value`; empty for the whole."},
            "code": {"type": "string", "description": "What is wrong, as a stable code: `required`, `unknown_option`."},
            "message": {"type": "string", "description": "The same as a sentence; it may change."},
        },
    }
    error = {
        "type": "object",
        "description": "What went wrong.",
        "required": ["code", "message", "retryable", "requestId"],
        "properties": {
            "code": {"type": "string", "enum": sorted(BY_CODE), "description": "The stable code: look at this one."},
            "message": {"type": "string", "description": "A sentence for people; it may change."},
            "retryable": {"type": "boolean", "description": "Whether the same call may work later."},
            "retryAfterMs": {"type": "integer", "minimum": 0, "description": "How long to wait before it, in milliseconds."},
            "fields": {"type": "array", "items": fault, "description": "Every fault of the input."},
            "upstream": {"type": "object", "description": "What the partner answered, redacted."},
            "suggestedFix": {"type": "string", "description": "What to do about it."},
            "reconnectUrl": {"type": "string", "description": "Where the customer connects again."},
            "outcome": {"const": "uncertain", "description": "It may have happened: nobody can tell from here."},
            "reason": {"enum": ["budget", "circuit_open"], "description": "What holds the call back."},
            "runId": {"type": "string", "description": "The run that failed."},
            "requestId": {"type": "string", "description": "The id of the request, as in `X-Request-Id` and the server's log."},
        },
    }
    return {"type": "object", "required": ["success", "error"], "properties": {"success": {"const": False}, "error": error}}


def _meta_schema() -> dict[str, Any]:
    numbers = {name: {"type": "integer", "minimum": 0} for name in ("page", "totalPages", "totalItemsCount", "perPage")}
    return {"type": "object", "properties": numbers | {"nextCursor": {"type": ["string", "null"]}, "hasMore": {"type": "boolean"}}}
