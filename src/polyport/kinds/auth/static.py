"""Auth kinds that need no exchange: none, API key, bearer, basic."""

from __future__ import annotations

import base64
from functools import cached_property
from typing import Literal

from polyport.kinds.auth.base import Material, Moment, SchemeBase, Source, compiled, rendered
from polyport.kinds.auth.places import Placement
from polyport.net.message import Request
from polyport.template import RenderFault, Template


class NoAuth(SchemeBase):
    """The partner asks for nothing."""

    kind: Literal["none"]

    def sign(self, request: Request, _material: Material, _moment: Moment) -> Request:
        """The request as it is."""
        return request


class ApiKey(SchemeBase, Placement):
    """A key in a header, the query, a cookie, the body, a parameter (query or body) or the path; ``param`` and ``value`` are templates, for prefixes such as ``Token``.

    ``also`` are further values that go with each request, each with a place of its own.
    """

    kind: Literal["api_key"]
    also: tuple[Placement, ...] = ()

    def sign(self, request: Request, material: Material, _moment: Moment) -> Request:
        """The request with the key in its place."""
        signed = self.put(request, material)
        for placement in self.also:
            signed = placement.put(signed, material)
        return signed


class Bearer(SchemeBase):
    """``Authorization: Bearer <token>``; another word than ``Bearer`` stands under ``prefix``, none if that is empty. ``also`` as with an API key."""

    kind: Literal["bearer"]
    token: Source
    prefix: str = "Bearer"
    also: tuple[Placement, ...] = ()

    def model_post_init(self, _context: object) -> None:
        """Compile the template once."""
        _ = self.template

    @cached_property
    def template(self) -> Template:
        """What gives the token. A private attribute would be looked for in three places each time."""
        return compiled(self.token)

    def sign(self, request: Request, material: Material, _moment: Moment) -> Request:
        """The request with the token."""
        token = rendered(self.template, material)
        signed = request.with_secrets(token).with_header("Authorization", f"{self.prefix} {token}" if self.prefix else token)
        for placement in self.also:
            signed = placement.put(signed, material)
        return signed


class Basic(SchemeBase):
    """``Authorization: Basic``; partners often want a key as the user and a constant or empty password. ``also`` as with an API key."""

    kind: Literal["basic"]
    username: Source
    password: Source = ""
    also: tuple[Placement, ...] = ()

    def model_post_init(self, _context: object) -> None:
        """Compile the templates once."""
        _ = self.templates

    @cached_property
    def templates(self) -> tuple[Template, Template]:
        """What gives user and password."""
        return compiled(self.username), compiled(self.password)

    def sign(self, request: Request, material: Material, _moment: Moment) -> Request:
        """The request with user and password."""
        user, key = self.templates
        username, password = rendered(user, material), rendered(key, material)
        if ":" in username:
            raise RenderFault("the user of a basic authorisation has no colon")
        pair = base64.b64encode(f"{username}:{password}".encode()).decode()
        signed = request.with_secrets(password, pair).with_header("Authorization", f"Basic {pair}")
        for placement in self.also:
            signed = placement.put(signed, material)
        return signed
