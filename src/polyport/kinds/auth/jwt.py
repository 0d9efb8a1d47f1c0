"""JWT: a token that the connection signs for itself goes with each request, or is exchanged for an access token (RFC 7523)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PrivateAttr

from polyport.kinds.auth.assertions import Assertion
from polyport.kinds.auth.base import PRETENDED, Material, Moment, Obtaining, SchemeBase, SecureUrl, Source, compiled, compiled_url, rendered
from polyport.kinds.auth.places import Placement
from polyport.kinds.auth.tokens import TokenAnswer, ask_token
from polyport.net.message import Request
from polyport.template import RenderFault, Template

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Jwt(SchemeBase, Assertion):
    """A token that is signed anew for each request. It goes as ``Authorization: <prefix> <token>``, or where ``place`` says, which reads it as ``{{jwt}}``."""

    kind: Literal["jwt"]
    prefix: str = "Bearer"
    place: tuple[Placement, ...] = ()

    heads = frozenset({"connection", "key", "now", "expires", "nonce", "jwt"})

    @property
    def needed(self) -> frozenset[str]:
        """The fields that are read without being spelt out."""
        return self.reads

    def sign(self, request: Request, material: Material, moment: Moment) -> Request:
        """The request with a fresh token."""
        token = self.token(material, moment)
        signed = request.with_secrets(token)
        if not self.place:
            return signed.with_header("Authorization", f"{self.prefix} {token}" if self.prefix else token)
        for placement in self.place:
            signed = placement.put(signed, material, {"jwt": token})
        return signed


class JwtBearer(SchemeBase, TokenAnswer):
    """A signed token is exchanged for an access token: service accounts. ``assertion`` is that token; its ``aud`` is the token endpoint unless it says otherwise.

    ``scopes`` stand in the claim ``scope``. ``token_params`` go along to the endpoint. The access token goes as ``Authorization: <prefix> <token>``.
    """

    kind: Literal["jwt_bearer"]
    token_url: SecureUrl
    assertion: Assertion
    scopes: tuple[str, ...] = ()
    separator: str = " "
    body: Literal["form", "json"] = "form"
    token_params: dict[str, Source] = Field(default_factory=dict)
    prefix: str = "Bearer"
    _url: Template = PrivateAttr()
    _params: dict[str, Template] = PrivateAttr()

    heads = frozenset({"connection", "key", "now", "expires", "nonce"})

    def model_post_init(self, _context: object) -> None:
        """Compile the templates once."""
        self._url = compiled_url(self.token_url)
        self._params = {name: compiled(told) for name, told in self.token_params.items()}

    @property
    def exchanges(self) -> bool:
        """Always."""
        return True

    @property
    def needed(self) -> frozenset[str]:
        """The fields that are read without being spelt out."""
        return self.assertion.reads

    @property
    def supplied(self) -> frozenset[str]:
        """What joins the connection's fields."""
        return frozenset({"access_token"})

    @property
    def learns(self) -> frozenset[str]:
        """The names of what a token's answer tells."""
        return frozenset(self.learn)

    def learn_pattern(self, name: str) -> str | None:
        """The pattern that such a value matches."""
        return self.learn[name].pattern

    def pretended(self) -> Material:
        """A token for requests that are only shown."""
        return {"access_token": PRETENDED}

    def obtain(self, material: Material, moment: Moment) -> Obtaining:
        """Exchange a signed token. Raises ``ExchangeRefused`` or ``RenderFault``."""
        url = rendered(self._url, material)
        claims: dict[str, Any] = {"aud": url}
        if self.scopes:
            claims["scope"] = self.separator.join(self.scopes)
        token = self.assertion.token(material, moment, **claims)
        params = {name: rendered(template, material) for name, template in self._params.items()}
        asked = {"grant_type": _GRANT, "assertion": token, **params}
        reply = yield ask_token(url, asked, encoding=self.body, secrets=(token,))
        return self.read_grant(reply, moment)

    def sign(self, request: Request, material: Material, _moment: Moment) -> Request:
        """The request with the access token."""
        token = material.get("access_token")
        if not isinstance(token, str) or not token:
            raise RenderFault("the connection has no access token")
        return request.with_secrets(token).with_header("Authorization", f"{self.prefix} {token}" if self.prefix else token)
