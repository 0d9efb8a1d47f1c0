"""A partner: an HTTP server that does nothing but read a request to its end and write a fixed answer, at once or after a delay.

Run as ``python -m bench.upstream PORT``. It has to be much faster than what is measured through it; the row "direct" shows by how much.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import Any, Final

import httptools
import uvloop

from bench.partner import ARRIVALS, DELAY, PERSONS, answers

_REASONS: Final = {200: "OK", 201: "Created", 404: "Not Found"}


def _message(status: int, value: Any) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


_ANSWERS: Final = {(method.encode(), path.encode()): _message(*told) for (method, path), told in answers().items()}
_NOT_FOUND: Final = _message(404, {"success": False, "error": "There is no such page."})
_PERSONS: Final = PERSONS.encode()
_ARRIVALS: Final = ARRIVALS.encode()
_DELAY: Final = DELAY.encode()


class _Count:
    """How many persons were posted by Polyport, and how many seconds pass before an answer."""

    persons = 0
    delay = 0.0


class _Connection(asyncio.Protocol):
    """One kept-alive connection."""

    __slots__ = ("_count", "_parser", "_path", "_transport")

    def __init__(self, count: _Count) -> None:
        self._count = count
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._path = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_url(self, url: bytes) -> None:
        """Called by the parser."""
        self._path += url

    def on_message_complete(self) -> None:
        """Called by the parser when the body has been read to its end."""
        path, self._path = self._path.partition(b"?")[0], b""
        method = self._parser.get_method()
        if path == _ARRIVALS:
            self._transport.write(_message(200, self._count.persons))
            return
        if path.startswith(_DELAY):
            self._count.delay = int(path[len(_DELAY) :]) / 1000
            self._transport.write(_message(200, self._count.delay))
            return
        if path == _PERSONS and method == b"POST":
            self._count.persons += 1
        answer = _ANSWERS.get((method, path), _NOT_FOUND)
        if self._count.delay:
            asyncio.get_running_loop().call_later(self._count.delay, self._transport.write, answer)
        else:
            self._transport.write(answer)


async def _serve(port: int) -> None:
    loop, count, stopped = asyncio.get_running_loop(), _Count(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(lambda: _Connection(count), "127.0.0.1", port, backlog=1024)
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
