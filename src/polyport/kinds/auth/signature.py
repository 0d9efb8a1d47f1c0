"""Requests signed with HMAC (RFC 2104): what is signed, with what, and where the signature goes is said by templates."""

from __future__ import annotations

import base64
import hashlib
import hmac
from email.utils import format_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr

from polyport.kinds.auth.assertions import KeyEncoding, decoded_key
from polyport.kinds.auth.base import Material, Moment, SchemeBase, Source, compiled, rendered
from polyport.kinds.auth.places import Placement
from polyport.net.message import Request
from polyport.template import Template

Digest = Literal["md5", "sha1", "sha256", "sha384", "sha512"]
Written = Literal["hex", "hex_upper", "base64", "base64url"]


class RequestSignature(SchemeBase):
    """HMAC over what the template ``signs`` makes of the request. ``key`` is the shared secret, ``key_encoding`` how it is written.

    Templates read ``{{connection}}``, ``{{timestamp}}`` (in the form of ``timestamp``), ``{{nonce}}`` and the request as it will be sent: ``{{request.method}}``,
    ``{{request.url}}``, ``{{request.host}}``, ``{{request.path}}``, ``{{request.query}}`` (as it stands), ``{{request.sorted_query}}``, ``{{request.body}}``, ``{{request.digest}}`` (of the body, with
    ``digest``, written as ``digest_encoding``) and ``{{request.headers.<name>}}`` (in lower case). ``add`` is put into the request before it is signed, ``place`` afterwards; it
    reads ``{{signature}}``, which is written as ``encoding`` says.
    """

    kind: Literal["signature"]
    algorithm: Digest = "sha256"
    key: Source
    key_encoding: KeyEncoding = "text"
    signs: Source
    encoding: Written = "hex"
    digest: Digest = "sha256"
    digest_encoding: Written = "hex"
    timestamp: Literal["seconds", "milliseconds", "iso8601", "http_date"] = "seconds"
    add: tuple[Placement, ...] = ()
    place: tuple[Placement, ...] = Field(min_length=1)
    _key: Template = PrivateAttr()
    _signs: Template = PrivateAttr()

    heads = frozenset({"connection", "timestamp", "nonce", "request", "signature"})

    def model_post_init(self, _context: object) -> None:
        """Compile the templates once."""
        self._key, self._signs = compiled(self.key), compiled(self.signs)

    @property
    def reads_body(self) -> bool:
        """Whether signing needs the body whole: it may always be signed."""
        return True

    def sign(self, request: Request, material: Material, moment: Moment) -> Request:
        """The request with its signature."""
        scope: dict[str, Any] = {"timestamp": self._time(moment), "nonce": moment.fresh_id(), "request": self._facts(request)}
        for placement in self.add:
            request = placement.put(request, material, scope)
            scope["request"] = self._facts(request)
        # Bytes that are no text pass through the template as they are.
        content = rendered(self._signs, material, scope).encode("utf-8", "surrogateescape")
        key = decoded_key(rendered(self._key, material, scope), self.key_encoding)
        found = hmac.new(key.encode() if isinstance(key, str) else key, content, self.algorithm).digest()
        scope["signature"] = written(found, self.encoding)
        for placement in self.place:
            request = placement.put(request, material, scope)
        return request

    def _facts(self, request: Request) -> dict[str, Any]:
        parts, body = urlsplit(request.url), request.body or b""
        return {
            "method": request.method,
            "url": request.url,
            "host": parts.netloc,
            "path": parts.path or "/",
            "query": parts.query,
            "sorted_query": "&".join(sorted(parts.query.split("&"))),
            "body": body.decode("utf-8", "surrogateescape"),
            "digest": written(hashlib.new(self.digest, body, usedforsecurity=False).digest(), self.digest_encoding),
            "headers": {name.lower(): value for name, value in request.headers},
        }

    def _time(self, moment: Moment) -> str:
        if self.timestamp == "seconds":
            return str(moment.seconds)
        if self.timestamp == "milliseconds":
            return str(int(moment.now.timestamp() * 1000))
        if self.timestamp == "iso8601":
            return moment.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        return format_datetime(moment.now, usegmt=True)


def written(digest: bytes, encoding: Written) -> str:
    """Bytes as text."""
    if encoding == "base64":
        return base64.b64encode(digest).decode()
    if encoding == "base64url":
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return digest.hex().upper() if encoding == "hex_upper" else digest.hex()
