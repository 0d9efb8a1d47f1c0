"""OAuth1 (RFC 5849): each request is signed with the secrets of the consumer and of the token. NetSuite calls it token-based authentication."""

from __future__ import annotations

from typing import Any, Final, Literal, cast
from urllib.parse import urlsplit, urlunsplit

from msgspec.structs import replace
from pydantic import PrivateAttr

from polyport.kinds.auth.base import Material, Moment, SchemeBase, Source, compiled, rendered
from polyport.net.message import Request
from polyport.template import RenderFault, Template

_FORM: Final = "application/x-www-form-urlencoded"
_NAMES: Final = ("consumer_key", "consumer_secret", "token", "token_secret")


class OAuth1(SchemeBase):
    """The four values are ``{{connection.consumer_key}}``, ``consumer_secret``, ``token`` and ``token_secret`` if not given. ``realm`` is what the header begins with."""

    kind: Literal["oauth1"]
    method: Literal["HMAC-SHA1", "HMAC-SHA256", "HMAC-SHA512", "PLAINTEXT"] = "HMAC-SHA1"
    consumer_key: Source | None = None
    consumer_secret: Source | None = None
    token: Source | None = None
    token_secret: Source | None = None
    realm: Source | None = None
    _own: dict[str, Template] = PrivateAttr()

    def model_post_init(self, _context: object) -> None:
        """Compile the templates once."""
        self._own = {name: compiled(getattr(self, name) or f"{{{{connection.{name}}}}}") for name in _NAMES}
        if self.realm is not None:
            self._own["realm"] = compiled(self.realm)

    @property
    def needed(self) -> frozenset[str]:
        """The fields that are read without being spelt out."""
        return frozenset(name for name in _NAMES if getattr(self, name) is None)

    def sign(self, request: Request, material: Material, moment: Moment) -> Request:
        """The request with its signature; the parameters of a form are signed, other bodies are not (section 3.4.1.3)."""
        from oauthlib.oauth1 import Client  # noqa: PLC0415  few partners sign so

        own = {name: rendered(template, material) for name, template in self._own.items()}
        parts = urlsplit(request.url)
        # Brackets in names of parameters are encoded: the base string is made of what is sent.
        url = urlunsplit(parts._replace(query=parts.query.replace("[", "%5B").replace("]", "%5D")))
        client = Client(
            own["consumer_key"],
            client_secret=own["consumer_secret"],
            resource_owner_key=own["token"],
            resource_owner_secret=own["token_secret"],
            signature_method=self.method,
            realm=own.get("realm"),
            nonce="".join(char for char in moment.fresh_id() if char.isalnum()),
            timestamp=str(moment.seconds),
        )
        kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
        form: dict[str, Any] = {}
        if kind == _FORM and request.body and request.method not in {"GET", "HEAD"}:
            form = {"body": request.body.decode("latin-1"), "headers": {"Content-Type": _FORM}}
        try:
            _url, headers, _body = client.sign(url, http_method=cast("Any", request.method), **form)
        except ValueError:
            raise RenderFault("the request cannot be signed: its parameters are not encoded as OAuth1 wants them") from None
        signed = request if url == request.url else replace(request, url=url)
        return signed.with_header("Authorization", headers["Authorization"]).with_secrets(
            own["consumer_secret"], own["token_secret"], own["token"]
        )
