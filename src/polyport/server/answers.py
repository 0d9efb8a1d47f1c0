"""Answers as the framework sends them: whole or piece by piece, and the tags by which callers learn that nothing has changed."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

NO_STORE: Final = {"Cache-Control": "no-store"}
_NO_STORE_RAW: Final = tuple((name.lower().encode(), value.encode()) for name, value in NO_STORE.items())


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that comes piece by piece. ``ended`` is called once it has ended, however that came."""

    pieces: AsyncIterator[bytes]
    ended: Callable[[], None]


class Streamed(StreamingResponse):
    """The response of a ``Stream``."""

    def __init__(self, stream: Stream, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(stream.pieces, media_type=media_type, headers=headers)
        self._ended = stream.ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, then say that it has ended."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


class Whole(Response):
    """The response that most are: JSON, not to be kept by anybody. The framework's own way to the same costs three times as much."""

    def __init__(self, content: bytes, status: int, headers: Mapping[str, str]) -> None:
        self.status_code = status
        self.background = None
        self.body = content
        self.raw_headers = [(b"content-length", str(len(content)).encode()), (b"content-type", b"application/json"), *_NO_STORE_RAW]
        if headers:
            self.raw_headers += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def entity_tag(content: bytes) -> str:
    """The strong entity tag of some content: the same in every process, as long as the content is."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def is_current(http: HttpRequest, tag: str) -> bool:
    """Whether the caller has already what a tag stands for (``If-None-Match``, compared weakly: RFC 9110, section 13.1.2)."""
    told = http.headers.get("if-none-match", "")
    return any(part.strip().removeprefix("W/") in {tag.removeprefix("W/"), "*"} for part in told.split(",")) if told else False
