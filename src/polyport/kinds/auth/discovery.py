"""Where a partner's endpoints are, by what it says itself (RFC 8414, OpenID Connect Discovery 1.0).

A document is believed only as far as it goes: it has to name the issuer that it was asked of, letter by letter, and its endpoints have to be https on hosts
of the public kind. Where the operator replaced the partner's address, all of them have to be there.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from polyport.kinds.auth.base import ExchangeUnreadable, moved
from polyport.kinds.decoders import DECODERS
from polyport.net.message import Reply, Request

DOCUMENT_LIMIT: Final = 256 * 1024
URL_LONGEST: Final = 2_000
WELL_KNOWN: Final = "/.well-known/"
_VISIBLE: Final = re.compile(r"[!-~]+")
_HOST: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")
_INSIDE: Final = (".localhost", ".local", ".internal", ".home.arpa", ".lan", ".intranet", ".corp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where a partner is asked for authorisation. ``names_issuer``: answers of the sign-in say whose they are (RFC 9207), so one that does not is refused."""

    authorize: str | None
    token: str
    refresh: str
    issuer: str | None = None
    names_issuer: bool = False


Finding = Generator[Request, Reply, Endpoints]


def is_document(request: Request) -> bool:
    """Whether a request asks for metadata: what anybody may read, and what may be kept for a while."""
    return request.method == "GET" and WELL_KNOWN in urlsplit(request.url).path


def find_endpoints(issuer: str, replaced: str | None) -> Finding:
    """Read the metadata of an issuer, by the one standard or the other. Raises ``ExchangeUnreadable``.

    ``issuer`` is as the partner's file says it; ``replaced`` is the origin that the operator put in the place of the partner's.
    """
    issuer = moved(issuer, replaced)
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    origin = f"{parts.scheme}://{parts.netloc}"
    reply = yield _document(f"{origin}{path}{WELL_KNOWN}openid-configuration")
    if reply.status in {404, 410}:
        reply = yield _document(f"{origin}{WELL_KNOWN}oauth-authorization-server{path}")
    return _read(reply, issuer, replaced)


def _document(url: str) -> Request:
    return Request(method="GET", url=url, headers=(("Accept", "application/json"),), follow_redirects=False, answer_limit=DOCUMENT_LIMIT)


def _read(reply: Reply, issuer: str, replaced: str | None) -> Endpoints:
    if reply.status != 200:
        raise ExchangeUnreadable(f"it answered with status {reply.status} where it should say how to sign in", reply)
    try:
        document = DECODERS["json"](reply)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ExchangeUnreadable("what it says about how to sign in is no JSON object", reply)
    if document.get("issuer") != issuer:
        raise ExchangeUnreadable("what it says about how to sign in speaks of another issuer than the one that was asked", reply)
    authorize = _endpoint(document, "authorization_endpoint", reply, replaced)
    token = _endpoint(document, "token_endpoint", reply, replaced)
    if token is None:
        raise ExchangeUnreadable("what it says about how to sign in lacks token_endpoint", reply)
    names_issuer = document.get("authorization_response_iss_parameter_supported") is True
    return Endpoints(authorize=authorize, token=token, refresh=token, issuer=issuer, names_issuer=names_issuer)


def _endpoint(document: dict[str, Any], name: str, reply: Reply, replaced: str | None) -> str | None:
    url = document.get(name)
    if url is None:
        return None
    if not isinstance(url, str) or not _is_sound(url, replaced):
        raise ExchangeUnreadable(f"what it says about how to sign in has a {name} that cannot be used", reply)
    return url


def _is_sound(url: str, replaced: str | None) -> bool:
    if len(url) > URL_LONGEST or not _VISIBLE.fullmatch(url) or any(char in url for char in '\\#"<>'):
        return False
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  reading it is the check
    except ValueError:
        return False
    if "@" in parts.netloc:
        return False
    if replaced is not None:
        return f"{parts.scheme}://{parts.netloc}" == replaced.rstrip("/")
    host = (parts.hostname or "").rstrip(".")
    return parts.scheme == "https" and bool(_HOST.fullmatch(host)) and not host.endswith(_INSIDE)
