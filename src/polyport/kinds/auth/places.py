"""Where a value goes in a request: header, query, cookie, body or path. Every value stays in its place and becomes a secret of the request."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, Literal, Self
from urllib.parse import quote, quote_plus, urlsplit, urlunsplit

import msgspec
from msgspec.structs import replace
from pydantic import BaseModel, Field, model_validator

from polyport.kinds.auth.base import CONFIG, Material, Source, compiled, rendered
from polyport.kinds.bodies import part_before
from polyport.net.message import Request, Stream
from polyport.paths import MISSING
from polyport.template import RenderFault, Scope, Template, to_text

Where = Literal["header", "query", "cookie", "body", "parameter", "path"]
Put = Callable[[Request, Material, Scope | None], Request]

_FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
_PATH_SAFE: Final = "-._~!$&'()*+,;=:@"
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)


class Placement(BaseModel):
    """A value and its place. ``param`` is the name of the header, parameter, cookie or member of the body (JSON, form or multipart).

    A ``parameter`` stands in the query of a GET or HEAD and in the body of every other call.

    In a path it is a marker such as ``:token``, which the calls' paths (or ``base``) hold where the value belongs: ``/bot:token/sendMessage``.
    ``optional``: where the value has nothing (no value, null or an empty text), nothing is put; otherwise that is an error of the connection.
    """

    model_config = CONFIG

    place: Where = Field(alias="in")
    param: Source
    value: Source
    optional: bool = False

    def model_post_init(self, _context: object) -> None:
        """Compile the templates once."""
        _ = self.placing

    @cached_property
    def placing(self) -> Put:
        """What puts the value in its place. A private attribute would be looked for in three places each time."""
        return _compiled(self.place, self.param, self.value, optional=self.optional)

    @model_validator(mode="after")
    def _has_a_marker(self) -> Self:
        if self.place == "path" and (not self.param.startswith(":") or not self.param[1:].isidentifier()):
            raise ValueError('a value in the path takes the place of a marker such as ":token"; name the marker under param')
        if self.place == "path" and self.optional:
            raise ValueError("a value in the path takes the place of a marker, so it cannot be optional")
        return self

    def put(self, request: Request, material: Material, more: Scope | None = None) -> Request:
        """The request with the value in its place. Raises ``RenderFault``."""
        return self.placing(request, material, more)


def _compiled(place: Where, param: str, value: str, *, optional: bool) -> Put:
    """What puts a value, as a closure: nothing of the model is looked up when a call is signed."""
    name, content, put = compiled(param), compiled(value), _PUT[place]
    constant = param if name.constant else None

    def put_value(request: Request, material: Material, more: Scope | None) -> Request:
        told = _optional(content, material, more) if optional else rendered(content, material, more)
        if not told and optional:
            return request
        signed = request if content.constant else request.with_secrets(told)
        return put(signed, rendered(name, material, more) if constant is None else constant, told)

    return put_value


def _optional(content: Template, material: Material, more: Scope | None) -> str:
    value = content.render({"connection": material, **(more or {})})
    return "" if value is MISSING or value is None else to_text(value)


def with_query(request: Request, name: str, value: str) -> Request:
    """The request with one more query parameter, encoded; a fragment never stands in a request's URL."""
    joint = "&" if "?" in request.url else "?"
    return replace(request, url=f"{request.url}{joint}{quote(name, safe='')}={quote(value, safe='')}")


def _with_header(request: Request, name: str, value: str) -> Request:
    return request.with_header(name, value)


def _with_cookie(request: Request, name: str, value: str) -> Request:
    if any(char in name + value for char in ';," \t') or "=" in name:
        raise RenderFault("the value of a cookie has no spaces, quotes, commas and semicolons")
    before = request.header("Cookie")
    return request.with_header("Cookie", f"{before}; {name}={value}" if before else f"{name}={value}")


def _in_path(request: Request, marker: str, value: str) -> Request:
    parts = urlsplit(request.url)
    if marker not in parts.path:
        raise RenderFault(f'the path of this call has no "{marker}", where the connection\'s key belongs')
    encoded = quote(value, safe=_PATH_SAFE)
    path = parts.path.replace(marker, encoded)
    if not encoded or any(segment in {".", ".."} for segment in path.split("/")):
        raise RenderFault("the connection's key cannot stand in a path")
    return replace(request, url=urlunsplit(parts._replace(path=path))).with_secrets(encoded)


def _in_body(request: Request, name: str, value: str) -> Request:
    if request.method in {"GET", "HEAD"}:
        raise RenderFault("the connection's key stands in the body, and this call has none")
    told_type = request.header("content-type") or "application/json"
    kind = told_type.partition(";")[0].strip().lower()
    if kind == _MULTIPART:
        part = part_before(told_type, name, value)
        if request.stream is not None:
            return replace(request, stream=Stream((part, *request.stream.parts)))
        return replace(request, body=part + (request.body or b""))
    if kind == _FORM:
        pair = f"{quote_plus(name)}={quote_plus(value)}".encode()
        return replace(request, body=request.body + b"&" + pair if request.body else pair)
    told: Any = _DECODER.decode(request.body or b"{}") if kind == "application/json" or kind.endswith("+json") else None
    if not isinstance(told, dict) or request.stream is not None:
        raise RenderFault("the connection's key stands in the body, which has to be a JSON object or a form")
    changed = replace(request, body=_ENCODER.encode({**told, name: value}))
    return changed if request.header("content-type") else changed.with_header("Content-Type", "application/json")


def _as_parameter(request: Request, name: str, value: str) -> Request:
    return (with_query if request.method in {"GET", "HEAD"} else _in_body)(request, name, value)


_PUT: Final = {
    "header": _with_header,
    "query": with_query,
    "cookie": _with_cookie,
    "body": _in_body,
    "parameter": _as_parameter,
    "path": _in_path,
}
