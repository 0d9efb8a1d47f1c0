"""What a simulated partner hears and says: one request as it arrived, one answer ready to be written, and how their parts are read."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from polyport.manifest.simulation import Credentials
from polyport.paths import MISSING

FIELD_LIMIT: Final = 1_000
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


class Malformed(ValueError):
    """A body that is not what its content type says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One request as it arrived: ``path`` and ``query`` are still percent-encoded, header names are lower case."""

    method: str
    path: str
    query: str = field(default="", repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str:
        """The first value of a header (its name in lower case), or an empty text."""
        return next((value for key, value in self.headers if key == name), "")

    def parameters(self) -> dict[str, Any]:
        """The query: a text for each name, a list of texts where a name stands several times."""
        return grouped(self.query)

    def content(self) -> Any:
        """The body as JSON or as the fields of a form; ``MISSING`` where there is none of these. Raises ``Malformed``."""
        if not self.body:
            return MISSING
        kind = self.header("content-type").partition(";")[0].strip().lower()
        if kind == "application/x-www-form-urlencoded":
            return grouped(self.body.decode("utf-8", "replace"))
        if kind not in {"", "application/json"} and not kind.endswith("+json"):
            return MISSING
        try:
            return _DECODER.decode(self.body)
        except (ValueError, ArithmeticError, RecursionError):
            raise Malformed("the body is not JSON") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One answer, ready to be written."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = field(default=b"", repr=False)


def json_bytes(value: Any) -> bytes:
    """A value as JSON, numbers with all their digits."""
    return _ENCODER.encode(value)


def json_answer(status: int, value: Any) -> Outgoing:
    """An answer in JSON."""
    return Outgoing(status=status, headers=((b"content-type", b"application/json"),), body=json_bytes(value))


def grouped(text: str) -> dict[str, Any]:
    """The pairs of a query or a form by name; a name that stands several times has a list. At most ``FIELD_LIMIT`` pairs are read."""
    found: dict[str, Any] = {}
    if not text:
        return found
    pairs = "&".join(text.split("&", FIELD_LIMIT)[:FIELD_LIMIT])
    for name, value in parse_qsl(pairs, keep_blank_values=True):
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def token_of(request: Incoming, auth: Credentials) -> str:
    """The token that a request carries, or an empty text. Of Basic credentials it is the user, or the password where there is no user."""
    for name in auth.headers:
        value = request.header(name.lower()).strip()
        if value and name.lower() != "authorization":
            return value
    if auth.bearer or any(name.lower() == "authorization" for name in auth.headers):
        scheme, _, token = request.header("authorization").strip().partition(" ")
        if token:
            return _basic(token) if scheme.lower() == "basic" else token.strip()
    query = request.parameters() if auth.query else {}
    return next((value for value in map(query.get, auth.query) if isinstance(value, str) and value), "")


def _basic(token: str) -> str:
    try:
        user, _, password = base64.b64decode(token.strip(), validate=True).decode("utf-8", "replace").partition(":")
    except (binascii.Error, ValueError):
        return ""
    return user or password
