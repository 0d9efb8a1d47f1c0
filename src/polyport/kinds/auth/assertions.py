"""A token that a connection signs for itself: its claims are templates. What ``jwt``, ``jwt_bearer`` and sessions prove themselves with."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, Field, PrivateAttr

from polyport.kinds.auth.base import CONFIG, AnySource, Material, Moment, Source, compiled, rendered
from polyport.kinds.auth.jose import Algorithm, signed_token
from polyport.template import RenderFault, Template

KeyEncoding = Literal["text", "hex", "base64"]


class Assertion(BaseModel):
    """A signed token (JWT). ``key`` is the shared secret or the private key in PEM; ``key_encoding`` says how a shared secret is written.

    ``key_file`` is a JSON text that holds the key and more (service accounts); its members are read as ``{{key.<member>}}``, and ``key`` is its
    ``private_key`` if not given. ``claims`` and ``header`` are templates over ``{{connection}}``, ``{{key}}``, ``{{now}}`` and ``{{expires}}`` (unix seconds) and ``{{nonce}}``;
    ``iat`` and ``exp`` are added. ``lifetime`` is in seconds; ``backdate`` seconds are taken off the time, for clocks that differ.
    """

    model_config = CONFIG

    algorithm: Algorithm = "RS256"
    key: Source | None = None
    key_encoding: KeyEncoding = "text"
    key_file: Source | None = None
    claims: dict[str, AnySource] = Field(default_factory=dict)
    header: dict[str, Source] = Field(default_factory=dict)
    lifetime: int = Field(default=300, ge=1, le=86_400)
    backdate: int = Field(default=0, ge=0, le=600)
    _key: Template = PrivateAttr()
    _key_file: Template | None = PrivateAttr()
    _claims: Template = PrivateAttr()
    _header: Template = PrivateAttr()

    def model_post_init(self, _context: object) -> None:
        """Compile the templates once."""
        usual = "{{connection.private_key}}" if self.key_file is None else "{{key.private_key}}"
        self._key = compiled(self.key or usual)
        self._key_file = compiled(self.key_file) if self.key_file is not None else None
        self._claims, self._header = compiled(self.claims), compiled(self.header)

    @property
    def reads(self) -> frozenset[str]:
        """The fields that it reads without saying so."""
        return frozenset({"private_key"} if self.key is None and self.key_file is None else ())

    def token(self, material: Material, moment: Moment, **claims: Any) -> str:
        """The token, with further ``claims`` where the file does not say them itself. Raises ``RenderFault``."""
        now = moment.seconds - self.backdate
        scope: dict[str, Any] = {"connection": material, "now": now, "expires": now + self.lifetime, "nonce": moment.fresh_id()}
        if self._key_file is not None:
            scope["key"] = _opened(rendered(self._key_file, material))
        told = {**claims, "iat": now, "exp": now + self.lifetime, **self._claims.render(scope)}
        key = decoded_key(rendered(self._key, material, scope), self.key_encoding)
        return signed_token(self.algorithm, key, told, {"typ": "JWT", **self._header.render(scope)})


def decoded_key(key: str, encoding: KeyEncoding) -> str | bytes:
    """A shared secret as the bytes that it stands for. Raises ``RenderFault``."""
    try:
        if encoding == "hex":
            return bytes.fromhex(key)
        if encoding == "base64":
            text = key.strip().rstrip("=")
            return base64.b64decode(text.translate(_URL_SAFE) + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise RenderFault(f"the key of the connection has to be {encoding}") from None
    return key


_URL_SAFE = str.maketrans("-_", "+/")


def _opened(text: str) -> Any:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RenderFault("the key file of the connection has to be the partner's JSON file, whole")
    return found
