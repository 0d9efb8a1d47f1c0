"""AWS Signature Version 4: each request is signed with a key that is derived for its day, region and service."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final, Literal, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from pydantic import PrivateAttr, model_validator

from polyport.kinds.auth.base import Material, Moment, SchemeBase, Source, compiled, rendered
from polyport.net.message import Request
from polyport.paths import MISSING
from polyport.template import Template

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_UNSIGNED: Final = "UNSIGNED-PAYLOAD"
_SAFE: Final = "-_.~"
# What proxies and clients change on the way, or what is no part of the request yet.
_LEFT_OUT: Final = frozenset(
    {"authorization", "connection", "content-length", "expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"}
)
_PORTS: Final = {"http": 80, "https": 443}


class SigV4(SchemeBase):
    """``service`` and ``region`` are those of the endpoint. The keys are ``{{connection.access_key_id}}`` and ``{{connection.secret_access_key}}`` if not given.

    ``session_token`` belongs to temporary keys and may be missing from a connection. ``unsigned_payload`` leaves the body out of the signature, which S3 alone takes.
    The path rules of S3 hold for the service ``s3``.
    """

    kind: Literal["sigv4"]
    service: Source
    region: Source
    access_key_id: Source | None = None
    secret_access_key: Source | None = None
    session_token: Source | None = None
    unsigned_payload: bool = False
    _service: Template = PrivateAttr()
    _region: Template = PrivateAttr()
    _id: Template = PrivateAttr()
    _secret: Template = PrivateAttr()
    _session: Template | None = PrivateAttr()

    def model_post_init(self, _context: object) -> None:
        """Compile the templates once."""
        self._service, self._region = compiled(self.service), compiled(self.region)
        self._id = compiled(self.access_key_id or "{{connection.access_key_id}}")
        self._secret = compiled(self.secret_access_key or "{{connection.secret_access_key}}")
        self._session = compiled(self.session_token) if self.session_token is not None else None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.unsigned_payload and self.service != "s3":
            raise ValueError("unsignedPayload is for the service s3 alone")
        return self

    @property
    def needed(self) -> frozenset[str]:
        """The fields that are read without being spelt out."""
        names = {"access_key_id": self.access_key_id, "secret_access_key": self.secret_access_key}
        return frozenset(name for name, told in names.items() if told is None)

    @property
    def reads_body(self) -> bool:
        """Whether signing needs the body whole."""
        return not self.unsigned_payload

    def sign(self, request: Request, material: Material, moment: Moment) -> Request:
        """The request with the date, the digest of its body where S3 wants it, and its signature."""
        region, service = rendered(self._region, material), rendered(self._service, material)
        stamp = moment.now.strftime("%Y%m%dT%H%M%SZ")
        payload = _UNSIGNED if self.unsigned_payload else hashlib.sha256(request.body or b"").hexdigest()
        signed = request.with_header("X-Amz-Date", stamp)
        if service == "s3":
            signed = signed.with_header("x-amz-content-sha256", payload)
        session = self._session.render({"connection": material}) if self._session is not None else MISSING
        if isinstance(session, str) and session:
            signed = signed.with_header("X-Amz-Security-Token", session).with_secrets(session)
        names, canonical = _canonical_request(signed, payload, twice=service != "s3")
        scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
        content = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
        key = f"AWS4{rendered(self._secret, material)}".encode()
        for part in (stamp[:8], region, service, "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, content.encode(), hashlib.sha256).hexdigest()
        credential = f"{rendered(self._id, material)}/{scope}"
        return signed.with_header("Authorization", f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}")


def _canonical_request(request: Request, payload: str, *, twice: bool) -> tuple[str, str]:
    """The names of the signed headers, and the text that stands for the request."""
    parts = urlsplit(request.url)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    found = {"host": [shown if parts.port in {None, _PORTS.get(parts.scheme)} else f"{shown}:{parts.port}"]}
    for name, value in request.headers:
        if name.lower() not in _LEFT_OUT and name.lower() != "host":
            found.setdefault(name.lower(), []).append(re.sub(r"[ \t]+", " ", value.strip()))
    headers = sorted(found.items())
    names = ";".join(name for name, _values in headers)
    lines = "".join(f"{name}:{','.join(values)}\n" for name, values in headers)
    path = parts.path or "/"
    # The path of S3 is encoded once, whatever was encoded of it; that of other services once more than it is sent.
    encoded = quote(path, safe=f"/{_SAFE}") if twice else quote(unquote(path), safe=f"/{_SAFE}")
    pairs = sorted((quote(name, safe=_SAFE), quote(value, safe=_SAFE)) for name, value in parse_qsl(parts.query, keep_blank_values=True))
    query = "&".join(f"{name}={value}" for name, value in pairs)
    return names, f"{request.method}\n{encoded}\n{query}\n{lines}\n{names}\n{payload}"
