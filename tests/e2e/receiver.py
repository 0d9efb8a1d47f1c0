"""A receiver of events: what came, and answers as a test says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from e2e.served import Asked, Served, Upstream, answer, upstream


@dataclass(slots=True, kw_only=True)
class Receiver:
    """A running receiver. ``wire.handler`` may be replaced at any time."""

    wire: Upstream

    @property
    def url(self) -> str:
        return f"{self.wire.origin}/hook"

    @property
    def asked(self) -> list[Asked]:
        return self.wire.asked

    @property
    def told(self) -> list[dict[str, Any]]:
        """The bodies, in the order in which they came."""
        return [json.loads(asked.body) for asked in self.wire.asked]

    @property
    def ids(self) -> list[str]:
        """The ids of the events, in the order in which they came."""
        return [asked.headers["webhook-id"] for asked in self.wire.asked]

    async def arrived(self, times: int = 1, seconds: float = 60.0) -> None:
        """Wait until that many events came."""
        async with asyncio.timeout(seconds):
            while len(self.wire.asked) < times:  # noqa: ASYNC110  the wire signals nothing
                await asyncio.sleep(0.005)


async def fine(_asked: Asked) -> bytes:
    """The answer of a receiver that took the event."""
    return answer(204)


@contextlib.asynccontextmanager
async def open_receiver(handler: Any = fine) -> AsyncIterator[Receiver]:
    """Serve a receiver on a free port while the block runs."""
    async with upstream(handler) as wire:
        yield Receiver(wire=wire)


def signed(asked: Asked, secret: str) -> bool:
    """Whether the library's own verifier takes the event with a secret."""
    try:
        Webhook(secret).verify(asked.body, dict(asked.headers))
    except WebhookVerificationError:
        return False
    return True


async def make_endpoint(served: Served, url: str, *event_types: str, **more: Any) -> dict[str, Any]:
    """An endpoint; with its secret."""
    body = {"url": url, "eventTypes": list(event_types) or ["*"], **more}
    status, _headers, found = await served.call("POST", "/event-endpoints", body)
    assert status == 201, found
    return dict(found["data"])


async def events_of(served: Served, query: str = "") -> list[dict[str, Any]]:
    """The events of the first account, newest first."""
    status, _headers, found = await served.call("GET", f"/events?per-page=100{query}")
    assert status == 200, found
    return list(found["data"])


async def read_event(served: Served, event_id: str) -> Mapping[str, Any]:
    """One event."""
    status, _headers, found = await served.call("GET", f"/events/{event_id}")
    assert status == 200, found
    return dict(found["data"])


async def until(served: Served, event_id: str, what: Any, seconds: float = 60.0) -> Mapping[str, Any]:
    """The event once ``what`` holds of it; a text is a status."""
    async with asyncio.timeout(seconds):
        while True:
            event = await read_event(served, event_id)
            if event["status"] == what if isinstance(what, str) else what(event):
                return event
            await asyncio.sleep(0.01)
