"""Whether a request that reached us is signed as its sender declares. Pure; nothing here trusts what it reads, and all comparisons take the same time."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlsplit

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from polyport.kinds.decoders import DECODERS, UnreadableAnswer
from polyport.kinds.filters import FILTERS
from polyport.manifest.hooks import Signature, SignedTime, Where
from polyport.net.message import Pairs, Reply
from polyport.paths import MISSING, get
from polyport.template import RenderFault, compile_value, to_text

CANDIDATES: Final = 20
FIELD_LIMIT: Final = 1_000
_HASHES: Final[Mapping[str, Callable[[], hashes.HashAlgorithm]]] = {
    "sha1": hashes.SHA1,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
PublicKey = ed25519.Ed25519PublicKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey

_KEYS: Final[Mapping[str, type]] = {"ed25519": ed25519.Ed25519PublicKey, "rsa": rsa.RSAPublicKey, "ecdsa": ec.EllipticCurvePublicKey}


class Unsigned(ValueError):
    """The request is not signed as it has to be; the message says what is wrong, never a value."""


@dataclass(frozen=True, slots=False, kw_only=True)
class Incoming:
    """A request that reached us: ``url`` is absolute, as the sender wrote it, with its query; header names may have any case."""

    method: str
    url: str
    headers: Pairs = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)

    @cached_property
    def header(self) -> dict[str, str]:
        """The first value of each header, by its name in small letters."""
        return {name.lower(): value for name, value in reversed(self.headers)}

    @cached_property
    def query(self) -> dict[str, str]:
        """The first value of each parameter."""
        return dict(reversed(_pairs(urlsplit(self.url).query)))

    @cached_property
    def json(self) -> Any:
        """The body as JSON, ``MISSING`` where it is none."""
        try:
            return DECODERS["json"](Reply(status=200, body=self.body))
        except UnreadableAnswer:
            return MISSING

    @cached_property
    def text(self) -> str:
        """The body as text; bytes that are no UTF-8 come out again as they went in."""
        return self.body.decode("utf-8", "surrogateescape")

    @property
    def form_text(self) -> str:
        """Names and values of a form without anything between them, ordered by name."""
        return "".join(name + value for name, value in sorted(_pairs(self.text)))


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs = "&".join(text.split("&", FIELD_LIMIT)[:FIELD_LIMIT])
    return parse_qsl(pairs, keep_blank_values=True)


class SignatureCheck:
    """A ``Signature``, compiled."""

    def __init__(self, spec: Signature) -> None:
        self._spec = spec
        self._signed = compile_value(spec.signed, FILTERS)
        self._key = compile_value(spec.key if spec.public_key is None else spec.public_key, FILTERS)
        self._names = {str(name[0]) for name in self._signed.names}

    def check(self, request: Incoming, secret: str | None, now: datetime, connection: Mapping[str, Any] | None = None) -> None:
        """Pass in silence. Raises ``Unsigned``."""
        spec = self._spec
        given = list(_candidates(spec, request))[:CANDIDATES]
        if not given:
            raise Unsigned("There is no signature.")
        key = self._key_text(secret, connection)
        told = self._time(request, now)
        if spec.kind == "token":
            wanted = key.encode()
            if not any(hmac.compare_digest(text.encode("utf-8", "surrogateescape"), wanted) for text in given):
                raise Unsigned("The token is not the one that was agreed on.")
            return
        payload = self._payload(request, told)
        found = [decoded for decoded in (_decoded(text, spec.encoding) for text in given) if decoded]
        if not self._fits(key, payload, found):
            raise Unsigned("The signature does not fit the request.")

    def _fits(self, key: str, payload: bytes, found: list[bytes]) -> bool:
        spec = self._spec
        if spec.kind != "hmac":
            public = _public_key(key, spec.kind)
            return any(_verified(public, signature, payload, spec.algorithm) for signature in found)
        secret = key.encode() if spec.key_encoding == "text" else _decoded(key, spec.key_encoding)
        if not secret:
            raise Unsigned("The secret of the signatures is not written as it has to be.")
        wanted = hmac.digest(secret, payload, spec.algorithm)
        return any(hmac.compare_digest(signature, wanted) for signature in found)

    def _key_text(self, secret: str | None, connection: Mapping[str, Any] | None) -> str:
        scope = {"connection": connection or {}} | ({"secret": secret} if secret else {})
        try:
            key = self._key.render(scope)
            text = "" if key is MISSING or key is None else to_text(key)
        except RenderFault:
            text = ""
        if not text:
            raise Unsigned("The secret of the signatures is not known.")
        return text.removeprefix(self._spec.key_prefix)

    def _time(self, request: Incoming, now: datetime) -> str | None:
        place = self._spec.timestamp
        if place is None:
            return None
        if place.part is not None and self._spec.separator is not None:
            texts = list(_parts(read_place(place, request), self._spec.separator, self._spec.joint, place.part))
        else:
            texts = read_place(place, request)
        moment = _moment(texts[0], place) if texts else None
        if moment is None:
            raise Unsigned("There is no time of signing.")
        if abs(moment - now.timestamp()) > self._spec.tolerance:
            raise Unsigned("The signature is too old, or of another time.")
        return texts[0]

    def _payload(self, request: Incoming, told: str | None) -> bytes:
        scope: dict[str, Any] = {
            "body": request.text,
            "method": request.method,
            "url": request.url,
            "path": urlsplit(request.url).path,
            "header": request.header,
            "query": request.query,
        }
        if told is not None:
            scope["timestamp"] = told
        if "json" in self._names:
            scope["json"] = request.json
        if "form_text" in self._names:
            scope["form_text"] = request.form_text
        try:
            payload = self._signed.render(scope)
            text = None if payload is MISSING or payload is None else to_text(payload)
        except RenderFault:
            text = None
        if text is None:
            raise Unsigned("The request lacks a part of what has to be signed.")
        return text.encode("utf-8", "surrogateescape")


def read_place(place: Where, request: Incoming) -> list[str]:
    """The texts that stand at a place; none where there is nothing."""
    if place.header is not None:
        folded = place.header.lower()
        return [value.strip() for name, value in request.headers if name.lower() == folded and value.strip()]
    found = request.query.get(place.query) if place.query is not None else get(request.json, place.at or ())
    if found in (MISSING, None, "") or isinstance(found, bool | dict | list):
        return []
    try:
        return [to_text(found)]
    except RenderFault:
        return []


def _candidates(spec: Signature, request: Incoming) -> Iterator[str]:
    texts = read_place(spec, request)
    if spec.separator is not None and spec.part is not None:
        texts = list(_parts(texts, spec.separator, spec.joint, spec.part))
    yield from (text[len(spec.prefix) :] for text in texts if text.startswith(spec.prefix))


def _parts(texts: list[str], separator: str, joint: str, wanted: str) -> Iterator[str]:
    for text in texts:
        for piece in text.split(separator, 100)[:100]:
            name, found, value = piece.strip().partition(joint)
            if found and name == wanted and value:
                yield value


def _decoded(text: str, encoding: str) -> bytes | None:
    try:
        if encoding == "hex":
            return binascii.unhexlify(text)
        if encoding == "base64url":
            text = text.translate(str.maketrans("-_", "+/"))
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return None


def _moment(text: str, place: SignedTime) -> float | None:
    if place.unit == "iso8601":
        try:
            found = datetime.fromisoformat(text)
            return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        return None
    return int(text) / (1_000 if place.unit == "milliseconds" else 1)


def _public_key(text: str, kind: str) -> PublicKey:
    key: Any = None
    try:
        if text.lstrip().startswith("-----BEGIN"):
            key = load_pem_public_key(text.encode())
        else:
            data = _decoded(text.strip(), "hex") or _decoded(text.strip(), "base64") or b""
            key = ed25519.Ed25519PublicKey.from_public_bytes(data) if len(data) == 32 else load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, _KEYS[kind]):
        raise Unsigned("The public key of the signatures cannot be read.")
    return cast("PublicKey", key)


def _verified(key: PublicKey, signature: bytes, payload: bytes, algorithm: str) -> bool:
    digest = _HASHES[algorithm]()
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, payload)
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, payload, padding.PKCS1v15(), digest)
        else:
            key.verify(signature, payload, ec.ECDSA(digest))
    except InvalidSignature:
        return False
    return True
