"""Auth kinds that need no exchange: none, API key, bearer, basic."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import AfterValidator, Field, PrivateAttr

from polyport.kinds.auth.base import Flow, Material, SchemeBase, compiled, rendered
from polyport.net.message import Request
from polyport.template import RenderFault, Template


def _compiles(source: str) -> str:
    compiled(source)
    return source


Source = Annotated[str, AfterValidator(_compiles)]


class NoAuth(SchemeBase):
    """The partner asks for nothing."""

    kind: Literal["none"]

    def flow(self, request: Request, _connection: Material) -> Flow:
        """Yield the request as it is."""
        yield request


class ApiKey(SchemeBase):
    """A key in a header, in the query or in a cookie, under the name ``param``; both are templates, for prefixes such as ``Token``."""

    kind: Literal["api_key"]
    place: Literal["header", "query", "cookie"] = Field(alias="in")
    param: Source
    value: Source
    _param: Template = PrivateAttr()
    _value: Template = PrivateAttr()

    def model_post_init(self, _context: object) -> None:
        """Compile the templates once."""
        self._param, self._value = compiled(self.param), compiled(self.value)

    def flow(self, request: Request, connection: Material) -> Flow:
        """Yield the request with the key in its place."""
        name, value = rendered(self._param, connection), rendered(self._value, connection)
        signed = request.with_secrets(value)
        if self.place == "header":
            yield signed.with_header(name, value)
        elif self.place == "cookie":
            if any(char in name + value for char in ';," \t') or "=" in name:
                raise RenderFault("the value of a cookie has no spaces, quotes, commas and semicolons")
            yield signed.with_header("Cookie", f"{name}={value}")
        else:
            yield with_query(signed, name, value)


class Bearer(SchemeBase):
    """``Authorization: Bearer <token>``."""

    kind: Literal["bearer"]
    token: Source
    _token: Template = PrivateAttr()

    def model_post_init(self, _context: object) -> None:
        """Compile the template once."""
        self._token = compiled(self.token)

    def flow(self, request: Request, connection: Material) -> Flow:
        """Yield the request with the token."""
        token = rendered(self._token, connection)
        yield request.with_secrets(token).with_header("Authorization", f"Bearer {token}")


class Basic(SchemeBase):
    """``Authorization: Basic``; partners often want a key as the user and a constant or empty password."""

    kind: Literal["basic"]
    username: Source
    password: Source = ""
    _username: Template = PrivateAttr()
    _password: Template = PrivateAttr()

    def model_post_init(self, _context: object) -> None:
        """Compile the templates once."""
        self._username, self._password = compiled(self.username), compiled(self.password)

    def flow(self, request: Request, connection: Material) -> Flow:
        """Yield the request with user and password."""
        username, password = rendered(self._username, connection), rendered(self._password, connection)
        if ":" in username:
            raise RenderFault("the user of a basic authorisation has no colon")
        pair = base64.b64encode(f"{username}:{password}".encode()).decode()
        yield request.with_secrets(password, pair).with_header("Authorization", f"Basic {pair}")


def with_query(request: Request, name: str, value: str) -> Request:
    """The request with one more query parameter, encoded; a fragment never stands in a request's URL."""
    joint = "&" if "?" in request.url else "?"
    return replace(request, url=f"{request.url}{joint}{quote(name, safe='')}={quote(value, safe='')}")
