"""Pages of other origins that may call the API from a browser: those that the operator names, with the tokens they were given."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from polyport.server.routing import new_request_id

_ASKED: Final = b"access-control-request-method"
_ALLOWED: Final = b"access-control-allow-origin"
# Nothing goes by cookies here, so none are allowed: a call is its token's, whichever page makes it.
_PREFLIGHT: Final = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
    (b"access-control-allow-headers", b"Authorization, Content-Type, Accept, Idempotency-Key, If-None-Match, Last-Event-ID"),
    (b"access-control-max-age", b"7200"),
    (b"cache-control", b"no-store"),
    (b"content-length", b"0"),
]
_EXPOSED: Final = (
    b"access-control-expose-headers",
    b"ETag, Idempotent-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id",
)
_VARY: Final = (b"vary", b"Origin")


class Origins:
    """Stands before the application and tells browsers that these origins may read its answers."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.rstrip("/").encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a browser that asks first; else hand the request on, and mark the answer."""
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        origin = headers.get(b"origin")
        if origin not in self._origins:
            return await self._app(scope, receive, send)
        marks = [(_ALLOWED, origin), _VARY, _EXPOSED]
        if scope["method"] == "OPTIONS" and _ASKED in headers:
            named = (b"x-request-id", new_request_id().encode())
            await send({"type": "http.response.start", "status": 204, "headers": [*marks[:2], *_PREFLIGHT, named]})
            return await send({"type": "http.response.body", "body": b""})

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start" and not any(name.lower() == _ALLOWED for name, _value in message["headers"]):
                message["headers"] = [*message["headers"], *marks]
            await send(message)

        return await self._app(scope, receive, marked)
