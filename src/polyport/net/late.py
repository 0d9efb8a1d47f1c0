"""The way out, loaded when it is first taken: a server answers a quarter of a second earlier than with it, and most starts send nothing at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from polyport.net.message import Incoming, Network, Opener, Reply, Request


class Way(Protocol):
    """What leads out, with all that a ``Sender`` can do."""

    async def send(self, request: Request) -> Reply:
        """As ``Network.send``."""

    async def open(self, request: Request) -> Incoming:
        """As ``Opener.open``."""

    async def close(self) -> None:
        """Close every connection."""


class LateSender:
    """A ``Network`` and ``Opener`` over what ``make`` gives; ``make`` is called once, in a thread, when anything is sent or by ``prepare``.

    From then on ``send`` is that of what was made: the way through here costs nothing.
    """

    def __init__(self, make: Callable[[], Way]) -> None:
        self._make = make
        self._made: asyncio.Future[Way] | None = None
        self.send: Callable[[Request], Coroutine[Any, Any, Reply]] = self._send_first

    async def prepare(self) -> Way:
        """Make it, if it is not made or being made. What could not be made is tried again the next time."""
        if self._made is None or (self._made.done() and (self._made.cancelled() or self._made.exception() is not None)):
            self._made = asyncio.ensure_future(asyncio.to_thread(self._make))
        made = await asyncio.shield(self._made)
        self.send = made.send
        return made

    async def _send_first(self, request: Request) -> Reply:
        return await (await self.prepare()).send(request)

    async def open(self, request: Request) -> Incoming:
        """Send one request and wait for the head of its answer."""
        return await (await self.prepare()).open(request)

    async def close(self) -> None:
        """Close every connection, if anything was made."""
        if self._made is not None:
            with contextlib.suppress(Exception):  # then there is nothing to close
                await self._made
            if not self._made.cancelled() and self._made.exception() is None:
                await self._made.result().close()


if TYPE_CHECKING:  # it is both
    _network: type[Network] = LateSender
    _opener: type[Opener] = LateSender
