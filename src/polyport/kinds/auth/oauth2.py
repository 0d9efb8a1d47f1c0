"""OAuth2 (RFC 6749): sign-in in the browser, client credentials, password, and a refresh token that was given by hand."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Self
from urllib.parse import quote

from pydantic import Field, PrivateAttr, model_validator

from polyport.kinds.auth.base import (
    PRETENDED,
    Grant,
    Material,
    Moment,
    Obtaining,
    SchemeBase,
    SecureUrl,
    Source,
    compiled,
    compiled_url,
    moved,
    rendered,
)
from polyport.kinds.auth.discovery import Endpoints, Finding, find_endpoints
from polyport.kinds.auth.jose import Algorithm, signed_token
from polyport.kinds.auth.places import Placement
from polyport.kinds.auth.tokens import TokenAnswer, ask_token
from polyport.net.message import Pairs, Request
from polyport.template import RenderFault, Template

ASSERTION_SECONDS: Final = 300
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_DEFAULTS: Final = ("client_id", "client_secret", "username", "password", "refresh_token", "private_key")


class OAuth2(TokenAnswer, SchemeBase):
    """The partner's endpoints and habits.

    ``grant``: how a token is come by. Of ``authorization_code`` (sign-in in the browser) the client id and secret are the operator's and never stand in a
    folder; the other grants are made from fields of the connection: ``client_id``, ``client_secret``, and ``username`` with ``password`` or
    ``refresh_token``, each a template, ``{{connection.<that name>}}`` if not given. ``refresh_only`` takes a refresh token that the customer pastes.
    ``client_auth`` is how the client shows itself at the token endpoint; ``private_key_jwt`` signs with ``private_key`` (PEM; ``algorithm``, ``key_id``),
    ``none`` names the client alone. ``body`` is how the token endpoint wants its parameters. ``authorize_params``, ``token_params`` and ``refresh_params`` are
    what goes along besides the standard's own; ``separator`` joins scopes, ``scope_choices`` are scopes that may be added, with what each allows.
    ``issuer`` stands in place of addresses for a partner that tells them itself (RFC 8414, OpenID Connect Discovery); beside them it is whom the answer of a
    sign-in has to name where it names one (RFC 9207), and whom a signed proof of the client is for.
    ``pkce``: whether the partner takes S256. ``refresh_url`` if it is not ``token_url``. ``rotates``: every refresh gives a new refresh token and ends the old one.
    The token goes as ``Authorization: <prefix> <token>``, unless ``place`` says otherwise: its templates read ``{{connection.access_token}}``.
    """

    kind: Literal["oauth2"]
    grant: Literal["authorization_code", "client_credentials", "password", "refresh_only"] = "authorization_code"
    authorize_url: SecureUrl | None = None
    token_url: SecureUrl | None = None
    issuer: SecureUrl | None = None
    refresh_url: SecureUrl | None = None
    scopes: tuple[str, ...] = ()
    scope_choices: dict[str, str] = Field(default_factory=dict)
    separator: str = " "
    client_auth: Literal["basic", "body", "private_key_jwt", "none"] = "body"
    body: Literal["form", "json"] = "form"
    pkce: bool = True
    rotates: bool = False
    authorize_params: dict[str, Source] = Field(default_factory=dict)
    token_params: dict[str, Source] = Field(default_factory=dict)
    refresh_params: dict[str, Source] = Field(default_factory=dict)
    client_id: Source | None = None
    client_secret: Source | None = None
    username: Source | None = None
    password: Source | None = None
    refresh_token_value: Source | None = None
    private_key: Source | None = None
    key_id: Source | None = None
    algorithm: Algorithm = "RS256"
    prefix: str = "Bearer"
    place: tuple[Placement, ...] = ()
    _own: dict[str, Template] = PrivateAttr()
    _urls: dict[str, Template] = PrivateAttr()
    _params: dict[str, dict[str, Template]] = PrivateAttr()

    def model_post_init(self, _context: object) -> None:
        """Compile the templates once."""
        given = {name: getattr(self, "refresh_token_value" if name == "refresh_token" else name) for name in _DEFAULTS}
        self._own = {name: compiled(source or f"{{{{connection.{name}}}}}") for name, source in given.items()}
        if self.key_id is not None:
            self._own["key_id"] = compiled(self.key_id)
        urls = {"authorize": self.authorize_url, "token": self.token_url, "refresh": self.refresh_url, "issuer": self.issuer}
        self._urls = {name: compiled_url(url) for name, url in urls.items() if url is not None}
        params = {"authorize": self.authorize_params, "token": self.token_params, "refresh": self.refresh_params}
        self._params = {name: {key: compiled(text) for key, text in told.items()} for name, told in params.items()}

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.authorize_url is not None and not self.by_link_only:
            raise ValueError("authorizeUrl belongs to the grant authorization_code, and to no other")
        if self.issuer is None and (self.token_url is None or (self.by_link_only and self.authorize_url is None)):
            raise ValueError("tokenUrl is needed (and authorizeUrl for the grant authorization_code), or issuer in their place")
        if self.issuer is not None and "?" in self.issuer:
            raise ValueError("an issuer has no query")
        if self.rotates and self.grant == "refresh_only":
            raise ValueError("a refresh token that rotates cannot be pasted: the grant is authorization_code then")
        return self

    @property
    def exchanges(self) -> bool:
        """Whether tokens are obtained while calls are made; those of a sign-in are kept with the connection."""
        return self.grant != "authorization_code"

    @property
    def keeps(self) -> bool:
        """Whether tokens come from a sign-in."""
        return self.grant == "authorization_code"

    @property
    def by_link_only(self) -> bool:
        """Whether the customer has to sign in."""
        return self.grant == "authorization_code"

    @property
    def supplied(self) -> frozenset[str]:
        """What joins the connection's fields."""
        operators = {"client_id", "client_secret", "private_key", "key_id"} if self.by_link_only else set()
        return frozenset({"access_token", "refresh_token", *operators})

    @property
    def needed(self) -> frozenset[str]:
        """The fields that the templates which were not given read."""
        if self.by_link_only:
            return frozenset()
        names = {"client_id"} | ({"client_secret"} if self.client_auth in {"basic", "body"} else set())
        names |= {"private_key"} if self.client_auth == "private_key_jwt" else set()
        names |= {"password": {"username", "password"}, "refresh_only": {"refresh_token"}}.get(self.grant, set())
        return frozenset(name for name in names if getattr(self, "refresh_token_value" if name == "refresh_token" else name) is None)

    @property
    def learns(self) -> frozenset[str]:
        """The names of what a token's answer tells."""
        return frozenset(self.learn)

    def learn_pattern(self, name: str) -> str | None:
        """The pattern that such a value matches."""
        return self.learn[name].pattern

    def sign(self, request: Request, material: Material, _moment: Moment) -> Request:
        """The request with the access token."""
        token = material.get("access_token")
        if not isinstance(token, str) or not token:
            raise RenderFault("the connection has no access token")
        if self.place:
            for placement in self.place:
                request = placement.put(request, material)
            return request.with_secrets(token)
        return request.with_secrets(token).with_header("Authorization", f"{self.prefix} {token}" if self.prefix else token)

    def pretended(self) -> Material:
        """A token for requests that are only shown."""
        return {"access_token": PRETENDED}

    def obtain(self, material: Material, moment: Moment) -> Obtaining:
        """Ask for a token with what the connection holds. Raises ``ExchangeRefused`` or ``RenderFault``."""
        if self.grant in {"refresh_only", "authorization_code"}:
            return (yield from self.refresh(material, moment))
        asked: dict[str, Any] = {"grant_type": self.grant}
        if self.grant == "password":
            asked |= {name: rendered(self._own[name], material) for name in ("username", "password")}
        if self.scopes:
            asked["scope"] = self.separator.join(self.scopes)
        return (yield from self._ask("token", asked, material, moment))

    def refresh(self, material: Material, moment: Moment) -> Obtaining:
        """Ask for a new token with the refresh token. A grant always names the refresh token to use next."""
        before = rendered(self._own["refresh_token"], material)
        grant = yield from self._ask("refresh", {"grant_type": "refresh_token", "refresh_token": before}, material, moment)
        return Grant(values={"refresh_token": before, **grant.values}, learned=grant.learned, expires_at=grant.expires_at)

    def endpoints(self, material: Material, moment: Moment) -> Finding:
        """Where the partner is asked: as the file says, and for the rest as the partner itself says. Raises ``ExchangeUnreadable`` or ``RenderFault``."""
        told = {name: moved(rendered(url, material), moment.replaced) for name, url in self._urls.items()}
        authorize, token, issuer = told.get("authorize"), told.get("token"), told.get("issuer")
        names_issuer = False
        if token is None or (self.by_link_only and authorize is None):
            found = yield from find_endpoints(rendered(self._urls["issuer"], material), moment.replaced)
            authorize, token, names_issuer = authorize or found.authorize, token or found.token, found.names_issuer
        return Endpoints(authorize=authorize, token=token, refresh=told.get("refresh", token), issuer=issuer, names_issuer=names_issuer)

    def authorization_url(
        self,
        material: Material,
        endpoints: Endpoints,
        *,
        redirect_uri: str,
        state: str,
        verifier: str | None = None,
        scopes: Sequence[str] | None = None,
    ) -> str:
        """Where the customer signs in. ``verifier`` is the secret of PKCE; only its digest goes along (RFC 7636, S256)."""
        asked = {
            "response_type": "code",
            "client_id": rendered(self._own["client_id"], material),
            "redirect_uri": redirect_uri,
            "state": state,
        }
        wanted = self.scopes if scopes is None else scopes
        if wanted:
            asked["scope"] = self.separator.join(wanted)
        if self.pkce and verifier is not None:
            asked |= {"code_challenge": challenge_of(verifier), "code_challenge_method": "S256"}
        asked |= {name: rendered(template, material) for name, template in self._params["authorize"].items()}
        url = endpoints.authorize
        if url is None:
            raise RenderFault("the partner does not say where customers sign in")
        pairs = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in asked.items())
        return f"{url}{'&' if '?' in url else '?'}{pairs}"

    def exchange_code(self, material: Material, moment: Moment, *, code: str, redirect_uri: str, verifier: str | None = None) -> Obtaining:
        """Change the code that came back from the sign-in into tokens."""
        asked = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        if self.pkce and verifier is not None:
            asked["code_verifier"] = verifier
        return (yield from self._ask("token", asked, material, moment, code))

    def _ask(
        self, which: Literal["token", "refresh"], asked: Mapping[str, Any], material: Material, moment: Moment, *secrets: str
    ) -> Obtaining:
        endpoints = yield from self.endpoints(material, moment)
        url = endpoints.token if which == "token" else endpoints.refresh
        shown, headers, hidden = self._client(endpoints.issuer or url, material, moment)
        more = {name: rendered(template, material) for name, template in self._params[which].items()}
        held = tuple(str(asked[name]) for name in ("password", "refresh_token", "code_verifier") if name in asked)
        reply = yield ask_token(url, {**asked, **shown, **more}, encoding=self.body, headers=headers, secrets=(*secrets, *held, *hidden))
        return self.read_grant(reply, moment)

    def _client(self, audience: str, material: Material, moment: Moment) -> tuple[dict[str, str], Pairs, tuple[str, ...]]:
        """How the client shows itself: parameters, headers, and what of them is secret."""
        client_id = rendered(self._own["client_id"], material)
        if self.client_auth == "none":
            return {"client_id": client_id}, (), ()
        if self.client_auth == "private_key_jwt":
            assertion = self._assertion(client_id, audience, material, moment)
            return {"client_id": client_id, "client_assertion_type": _ASSERTION_TYPE, "client_assertion": assertion}, (), (assertion,)
        secret = rendered(self._own["client_secret"], material)
        if self.client_auth == "body":
            return {"client_id": client_id, "client_secret": secret}, (), (secret,)
        # The standard wants both percent-encoded first; the endpoints that decode them are few, and these take usual secrets either way.
        pair = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
        return {}, (("Authorization", f"Basic {pair}"),), (secret, pair)

    def _assertion(self, client_id: str, audience: str, material: Material, moment: Moment) -> str:
        """RFC 7523, section 3: the client vouches for itself."""
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "jti": moment.fresh_id(),
            "iat": moment.seconds,
            "exp": moment.seconds + ASSERTION_SECONDS,
        }
        key_id = rendered(self._own["key_id"], material) if "key_id" in self._own else material.get("key_id") if self.by_link_only else None
        header = {"typ": "JWT"} | ({"kid": key_id} if key_id is not None else {})
        return signed_token(self.algorithm, rendered(self._own["private_key"], material), claims, header)


def challenge_of(verifier: str) -> str:
    """The challenge of a PKCE verifier (RFC 7636, section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode()
