"""The yardstick: the least that can stand between a caller and a partner with the same libraries.

Run as ``python -m bench.forwarder PORT UPSTREAM_PORT``. Raw ASGI on uvicorn, aiohttp behind it: reads the body, posts the same bytes to the upstream, gives
the answer back. It parses no JSON, authenticates nobody, checks nothing and keeps nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import uvicorn

from bench.partner import FORWARDED

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Forwarder:
    """An ASGI application that posts every body to one URL."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        status, content = await self._forward(body)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _forward(self, body: bytes) -> tuple[int, bytes]:
        if self._session is None:
            return 503, b"{}"
        async with self._session.post(self._url, data=body, headers={"Content-Type": "application/json"}) as reply:
            return reply.status, await reply.read()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())
                await send({"type": "lifespan.startup.complete"})
            else:
                if self._session is not None:
                    await self._session.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def main() -> None:
    """Serve until SIGTERM."""
    port, upstream = int(sys.argv[1]), int(sys.argv[2])
    app: Any = Forwarder(f"http://127.0.0.1:{upstream}{FORWARDED}")
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=75)


if __name__ == "__main__":
    main()
