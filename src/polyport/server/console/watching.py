"""Streams for pages that live: they say that something is another than it was, and the page reads it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from polyport.errors import PolyportError
from polyport.server.answers import Stream
from polyport.server.console.member import Member, find_member
from polyport.server.routing import Answer, Call
from polyport.server.streams import RETRY_MS

LOOK_SECONDS: Final = 1.0
HEARTBEAT_LOOKS: Final = 15
STREAM_SECONDS: Final = 900.0
Mark = Callable[[], Awaitable[str]]


def watched(call: Call, member: Member, mark: Mark) -> Answer:
    """A stream that says ``changed`` whenever the ``mark`` is another one. Raises what ``Streams.enter`` raises."""
    account_id, streams = member.user.account_id, call.services.streams
    streams.enter(account_id)
    told = Stream(pieces=_changes(call, mark), ended=lambda: streams.leave(account_id))
    return Answer(stream=told, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _changes(call: Call, mark: Mark) -> AsyncIterator[bytes]:
    end, looks = time.monotonic() + STREAM_SECONDS, 0
    yield f"retry: {RETRY_MS}\n\n".encode()
    before = await _look(mark)
    while not call.services.streams.watch.closed and time.monotonic() < end:
        await asyncio.sleep(LOOK_SECONDS)
        looks += 1
        if looks % HEARTBEAT_LOOKS == 0:
            if await find_member(call) is None:  # signed out meanwhile
                return
            yield b": still here\n\n"
        now = await _look(mark)
        if now != before:
            before = now
            yield b"event: changed\ndata: 1\n\n"


async def _look(mark: Mark) -> str | None:
    try:
        return await mark()
    except PolyportError:
        return None
