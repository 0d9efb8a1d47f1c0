"""What a partner that calls us declares: how its deliveries are signed, how it makes sure that we listen, and where the items stand in them.

``Hook`` in ``model`` adds the calls that subscribe and unsubscribe. The functions that read deliveries are in ``engine.hooks``; they do no I/O.
"""

from __future__ import annotations

from typing import Any, Final, Literal, Self

from pydantic import Field as Key
from pydantic import model_validator

from polyport.manifest.base import At, Match, Node, Text

SIGNED_NAMES: Final = frozenset({"body", "timestamp", "method", "url", "path", "header", "query", "json", "form_text"})


class Where(Node):
    """A place in a delivery: a ``header``, a parameter of the ``query``, or ``at`` a path of its body."""

    header: str | None = None
    query: str | None = None
    at: At | None = None

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if sum(place is not None for place in (self.header, self.query, self.at)) != 1:
            raise ValueError("say exactly one of header, query and at")
        return self


class SignedTime(Where):
    """Where a delivery says when it was signed. With ``part`` it is a part of what stands there, as in ``t=1492774577,v1=...``."""

    part: str | None = None
    unit: Literal["seconds", "milliseconds", "iso8601"] = "seconds"


class Signature(Where):
    """How a delivery shows that it comes from the partner.

    ``kind``: ``hmac``; ``token`` (the secret itself stands there); ``ed25519``, ``rsa`` (PKCS #1 v1.5), ``ecdsa`` (P-256, P-384, P-521; ASN.1), whose public key is ``publicKey`` or else the hook's secret.

    ``signed`` is what is signed: a template over ``{{body}}`` (as it came), ``{{timestamp}}``, ``{{method}}``, ``{{url}}`` (ours, as the partner knows it),
    ``{{path}}``, ``{{header.<name>}}`` (small letters), ``{{query.<name>}}``, ``{{json}}`` (the body read) and ``{{form_text}}`` (names and values of a form, in the order of the names, one after the
    other). ``prefix`` stands before the signature, such as ``sha256=``. Where several values share the place, ``separator`` parts them and ``part`` names ours:
    ``t=1,v1=a,v1=b`` has the separator ``,`` and the part ``v1``, and any of its values will do; ``joint`` stands between name and value.

    ``key`` is a template over ``{{secret}}`` and ``{{connection}}``; ``keyPrefix`` is left out of it and ``keyEncoding`` read. ``timestamp`` and ``tolerance`` (seconds, either way) keep old
    deliveries from counting again.
    """

    kind: Literal["hmac", "token", "ed25519", "rsa", "ecdsa"] = "hmac"
    algorithm: Literal["sha1", "sha256", "sha384", "sha512"] = "sha256"
    signed: str = "{{body}}"
    encoding: Literal["hex", "base64", "base64url"] = "hex"
    prefix: str = ""
    separator: str | None = Key(default=None, min_length=1, max_length=4)
    joint: str = Key(default="=", min_length=1, max_length=4)
    part: str | None = None
    key: str = "{{secret}}"
    key_prefix: str = ""
    key_encoding: Literal["text", "hex", "base64"] = "text"
    public_key: str | None = None
    timestamp: SignedTime | None = None
    tolerance: int = Key(default=300, ge=1, le=86_400)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if (self.separator is None) != (self.part is None):
            raise ValueError("separator and part go together: the one parts the values, the other names ours")
        if self.timestamp is not None and self.timestamp.part is not None and self.separator is None:
            raise ValueError("a timestamp that is a part needs the separator of the signature")
        if self.kind == "token" and self.signed != "{{body}}":
            raise ValueError("a token signs nothing: leave signed out")
        return self


class HookReply(Node):
    """What the partner is answered: ``json``, ``text`` or nothing; values of ``headers`` and the body are templates."""

    status: int = Key(default=200, ge=200, le=299)
    headers: dict[str, str] = Key(default_factory=dict)
    json_body: Any = Key(default=None, alias="json")
    text: str | None = None
    content_type: str | None = None

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        if self.text is not None and "json_body" in self.model_fields_set:
            raise ValueError("a reply has json or text, not both")
        return self


class Handshake(Node):
    """A request by which the partner makes sure that somebody listens, and the answer it wants; it is no delivery.

    ``when`` are conditions on ``method``, ``body``, ``query`` and ``header``; all have to hold. ``token`` is where the hook's secret has to stand. ``signed``: it carries the usual signature, which has to be right.
    ``learn`` is where the partner hands over the secret of all later signatures. Templates of ``reply`` read the same as conditions, and ``{{secret}}``.
    """

    when: tuple[Match, ...] = Key(min_length=1)
    token: Where | None = None
    signed: bool = False
    learn: Where | None = None
    reply: HookReply = HookReply()


class HookSecret(Node):
    """Where the secret of the signatures comes from.

    ``generated``: we make one of ``length`` characters and tell it in the subscribe call as ``{{hook.secret}}``. ``answer``: the answer of the subscribe call has it ``at`` a path. ``connection``: it is the
    connection's field ``field``. ``handshake``: a handshake brings it. ``manual``: people copy it from the partner's pages.
    """

    source: Literal["generated", "answer", "connection", "handshake", "manual"] = Key(alias="from")
    at: At | None = None
    field: str | None = None
    length: int = Key(default=40, ge=16, le=128)

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        if (self.source == "answer") != (self.at is not None) or (self.source == "connection") != (self.field is not None):
            raise ValueError('"answer" goes with at, "connection" with field, the others with neither')
        return self


class Expiry(Node):
    """When a subscription ends: the moment ``at`` a path of the answer of subscribe (and renew), or ``seconds`` after it. It is renewed ``before`` seconds earlier."""

    at: At | None = None
    unit: Literal["auto", "seconds", "milliseconds", "iso8601"] = "auto"
    seconds: int | None = Key(default=None, ge=60)
    before: int = Key(default=3_600, ge=0)

    @model_validator(mode="after")
    def _has_one_end(self) -> Self:
        if (self.at is None) == (self.seconds is None):
            raise ValueError("say either at or seconds")
        return self


class HookParts(Node):
    """How deliveries are read.

    ``decode`` is how a body is read; ``inner`` is the path of a text in it that is JSON itself and counts in its place (Slack's ``payload``). ``event`` is where the name of the event stands, and ``events`` those that
    count: others are answered and passed over. ``items`` is the list in the body (a single object counts as one; the root if not given). ``filter`` are conditions on ``item``, ``body``, ``header`` and ``query``.
    ``delivery`` is where the partner numbers its deliveries, so that one that comes twice counts once. Any of ``signature`` is enough. ``manual`` tells people what to paste where, when there is no subscribe call.
    """

    decode: Literal["json", "form", "xml", "text", "auto"] = "json"
    inner: At | None = None
    event: Where | None = None
    events: tuple[Text, ...] = ()
    items: At = ()
    filter: tuple[Match, ...] = ()
    delivery: Where | None = None
    secret: HookSecret | None = None
    signature: tuple[Signature, ...] = ()
    handshake: tuple[Handshake, ...] = ()
    reply: HookReply = HookReply()
    expiry: Expiry | None = None
    manual: Text | None = None

    @model_validator(mode="after")
    def _has_what_signatures_need(self) -> Self:
        if self.events and self.event is None:
            raise ValueError("events are told apart by event: say where the name stands")
        needs = any("secret" in signature.key for signature in self.signature if signature.public_key is None)
        if self.secret is None and (needs or any(handshake.token or handshake.learn for handshake in self.handshake)):
            raise ValueError("say where the secret comes from: secret {from: ...}")
        return self
