"""How a simulated partner knows its callers, and how it hands out tokens: parts of ``simulator.yaml``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field as Key
from pydantic import model_validator

from polyport.manifest.base import At, Match, Node
from polyport.manifest.hooks import Signature

PathPattern = Annotated[str, Key(pattern=r"^/[^\s?#{}]*\{token\}(/[^\s?#{}]*)?$", max_length=200)]
_BODIES = ("json_body", "text", "xml", "form", "csv", "base64")


class Answer(Node):
    """One answer with one body, or none.

    ``json``, ``text``, ``xml`` (an object; ``@name`` are attributes, ``#text`` the text), ``form`` (an object), ``csv`` (a list of objects of one kind), ``base64``
    (bytes). Values of ``headers`` and the body are templates.
    """

    status: int = Key(default=200, ge=200, le=599)
    headers: dict[str, str] = Key(default_factory=dict)
    json_body: Any = Key(default=None, alias="json")
    text: str | None = None
    xml: dict[str, Any] | None = Key(default=None, min_length=1, max_length=1)
    form: dict[str, Any] | None = None
    csv: Any = None
    base64: str | None = None

    @property
    def body(self) -> tuple[str, Any] | None:
        """The kind of the body and its template."""
        return next(((kind, getattr(self, kind)) for kind in _BODIES if kind in self.model_fields_set), None)

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        if len(self.model_fields_set & set(_BODIES)) > 1:
            raise ValueError("an answer has one body: json, text, xml, form, csv or base64")
        return self


class SignedCalls(Node):
    """Requests are signed, and the signature is checked as the partner does. The secret of a key id stands in ``accounts``.

    ``sigv4``: AWS Signature Version 4. ``oauth1``: OAuth 1.0a with HMAC-SHA1 or HMAC-SHA256, the access token's secret in ``tokens``; a nonce counts once. ``hmac``: as ``signature`` says; ``keyId`` is a template over ``{{header}}``, ``{{query}}`` and
    ``{{body}}`` that gives the key id, without it the first account's secret counts. ``tolerance`` is in seconds.
    """

    kind: Literal["sigv4", "oauth1", "hmac"]
    signature: Signature | None = None
    key_id: str | None = None
    tokens: dict[str, str] = Key(default_factory=dict)
    tolerance: int = Key(default=900, ge=1)

    @model_validator(mode="after")
    def _says_how(self) -> Self:
        if (self.kind == "hmac") != (self.signature is not None):
            raise ValueError('"signature" says how an hmac is made; it goes with the kind "hmac" alone')
        return self


class Credentials(Node):
    """How the partner knows its callers.

    The ``headers``, ``query`` parameters, ``cookies``, ``body`` paths and the ``path``
    (``/bot{token}``) may carry the token. Any token that is not ``refused`` passes.

    In ``authorization`` the token is what follows the first word, such as ``Bearer``. With ``bearer`` (the default) that header is accepted beside the others.
    ``accounts`` are known users or key ids with their passwords or secrets: where they are given, Basic credentials have to be one of them. With ``signed`` each request
    needs its signature. ``issued``: only tokens that a token route gave out pass, as long as they last. ``all_of`` are further headers and query
    parameters that have to be there, each with its value.
    """

    headers: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    cookies: tuple[str, ...] = ()
    body: tuple[At, ...] = ()
    path: tuple[PathPattern, ...] = ()
    bearer: bool = True
    basic: Literal["optional", "required", "refused"] = "optional"
    accounts: dict[str, str] = Key(default_factory=dict)
    signed: SignedCalls | None = None
    issued: bool = False
    all_of: tuple[Match, ...] = ()
    refused: tuple[str, ...] = ("bad-token",)
    refuse: Answer = Answer(status=401)


class TokenIssue(Node):
    """A route that hands out tokens: ``{{token.access}}``, ``{{token.refresh}}`` and ``{{token.seconds}}`` in its reply.

    ``grant``, ``refresh`` and ``code`` are templates over the request. ``grants`` are those that are served. ``clients`` are known clients with their secrets, shown by Basic or in
    ``client_id`` and ``client_secret``; without any, every client passes. ``users`` are those of the password grant and of log-ins (``user`` and ``password`` are templates).
    ``rotates``: a refresh token serves once, and one that comes again takes all tokens of its family with it. A code serves once. ``refused`` answers what is not taken.
    """

    grants: tuple[str, ...] = ("authorization_code", "refresh_token", "client_credentials", "password")
    grant: str = "{{body.grant_type}}"
    refresh: str = "{{body.refresh_token}}"
    code: str = "{{body.code}}"
    user: str = "{{body.username}}"
    password: str = "{{body.password}}"  # noqa: S105  a template, not a password
    clients: dict[str, str] = Key(default_factory=dict)
    users: dict[str, str] = Key(default_factory=dict)
    seconds: int = Key(default=3_600, ge=1, le=10_000_000)
    rotates: bool = False
    refused: Answer = Answer(status=400, json_body={"error": "{{reason}}"})
