"""One exchange of the simulator's ASGI side: reading the request whole, and answering well or badly on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from polyport.testing.traffic import Incoming, Outgoing

BODY_LIMIT: Final = 8 * 1024 * 1024
CLOSE: Final = "polyport.close"
_CHUNK: Final = b"a" * 65_536

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class TooLarge(ValueError):
    """A body beyond ``BODY_LIMIT`` bytes."""


class Line:
    """The connection of one request. To cut and to reset it the server gives the scope extension ``polyport.close``: ``close(abort)``."""

    def __init__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send

    async def read(self) -> Incoming | None:
        """The request, or ``None`` when the caller went before its end. Raises ``TooLarge``."""
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                return None
            part = message.get("body", b"")
            size += len(part)
            if size > BODY_LIMIT:
                raise TooLarge(f"a body has at most {BODY_LIMIT} bytes")
            parts.append(part)
            more = message.get("more_body", False)
        scope = self._scope
        return Incoming(
            method=scope["method"],
            path=(scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]),
            body=b"".join(parts),
            scheme=scope.get("scheme", "http"),
        )

    async def write(self, answer: Outgoing) -> None:
        """The answer, whole."""
        await self._start(answer, len(answer.body))
        await self._send({"type": "http.response.body", "body": answer.body})

    async def cut(self, answer: Outgoing) -> None:
        """Half of the body (promised whole), then the end of the connection."""
        await self._start(answer, max(len(answer.body), 2))
        await self._send({"type": "http.response.body", "body": answer.body[: len(answer.body) // 2], "more_body": True})
        await self.close(abort=False)

    async def flood(self, size: int) -> None:
        """A JSON text of about ``size`` bytes, as fast as it is read, until it is read or the caller goes."""
        await self._send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await self._send({"type": "http.response.body", "body": b'{"data":"', "more_body": True})
        gone = asyncio.ensure_future(self.wait())
        try:
            while size > 0 and not gone.done():
                await self._send({"type": "http.response.body", "body": _CHUNK[:size], "more_body": True})
                size -= len(_CHUNK)
                await asyncio.sleep(0)
            await self._send({"type": "http.response.body", "body": b'"}'})
        finally:
            gone.cancel()

    async def wait(self) -> None:
        """Wait, without an answer, until the caller goes."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def stays(self, seconds: float) -> bool:
        """Wait ``seconds``; whether the caller is still there."""
        try:
            await asyncio.wait_for(self.wait(), seconds)
        except TimeoutError:
            return True
        return False

    async def close(self, *, abort: bool) -> None:
        """End the connection, in order or (``abort``) with what is unsent thrown away."""
        self._scope["extensions"][CLOSE](abort)
        await self.wait()

    async def _start(self, answer: Outgoing, length: int) -> None:
        headers = list(answer.headers)
        if answer.status not in {204, 304}:
            headers.append((b"content-length", str(length).encode()))
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
