"""Deliveries of a simulated partner: what is to be posted to subscribers, and the courier that posts it, twice where that was asked for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from polyport.errors import BlockedAddress
from polyport.kinds.filters import FILTERS
from polyport.manifest.deliveries import Posting
from polyport.net.egress import EgressPolicy
from polyport.net.message import NetworkFault, Request
from polyport.net.send import Sender
from polyport.paths import MISSING
from polyport.redaction import Redactor
from polyport.template import RenderFault, Scope, compile_value, to_text
from polyport.testing.bodies import WRITERS
from polyport.testing.memory import Record, Table

KEPT: Final = 1_000
WAITING: Final = 1_000
ATTEMPTS: Final = 3
PAUSE: Final = 0.2
_LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
_HOSTS: Final = frozenset({"localhost", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One delivery: its id stays the same however often it is posted."""

    delivery: str
    url: str = field(repr=False)
    method: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


class Post:
    """The postings of one collection, compiled."""

    def __init__(self, postings: Sequence[Posting], tables: Mapping[str, Table]) -> None:
        self._postings = [(posting, tables[posting.to], _Writing(posting)) for posting in postings]

    def parcels(self, event: str, record: Record, scope: Scope) -> Iterator[Parcel]:
        """What an event makes: a parcel for each subscription that wants it. What a template cannot write is left out."""
        for posting, table, writing in self._postings:
            if event not in posting.on:
                continue
            for number, subscription in enumerate(table):
                known = {**scope, "record": record, "subscription": subscription, "event": event}
                known |= {"delivery": f"{scope['uuid']}-{number}", "timestamp": scope["unix"]}
                if all(match.holds(known) for match in posting.when):
                    parcel = writing.parcel(known)
                    if parcel is not None:
                        yield parcel


class _Writing:
    def __init__(self, posting: Posting) -> None:
        self._method = posting.method
        self._url, self._signed = (compile_value(text, FILTERS) for text in (posting.url, posting.signed))
        self._headers = [(name, compile_value(value, FILTERS)) for name, value in {**posting.send.headers, **posting.headers}.items()]
        kind, source = posting.send.body or ("", None)
        self._kind, self._body = kind, compile_value(source, FILTERS)

    def parcel(self, scope: dict[str, Any]) -> Parcel | None:
        try:
            url, body, headers = self._url.render(scope), b"", []
            if self._kind:
                content_type, write = WRITERS[self._kind]
                value = self._body.render(scope)
                body = write(None if value is MISSING else value)
                headers.append(("Content-Type", content_type.decode()))
            known = {**scope, "body": body.decode("utf-8", "replace"), "url": url}
            known["signed"] = self._signed.render(known)
            for name, template in self._headers:
                value = template.render(known)
                if value is not MISSING and value is not None:
                    headers.append((name, to_text(value)))
        except RenderFault:
            return None
        if not isinstance(url, str):
            return None
        return Parcel(delivery=scope["delivery"], url=url, method=self._method, headers=tuple(headers), body=body)


class Courier:
    """Posts parcels to addresses of this machine, each until it is taken, ``ATTEMPTS`` times at most; what became of the last ``KEPT`` attempts can be read."""

    def __init__(self, pause: float = PAUSE) -> None:
        self._pause = pause
        self._sender: Sender | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._made: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def shown(self) -> list[dict[str, Any]]:
        """The last attempts, oldest first."""
        return list(self._made)

    def reset(self) -> None:
        """Forget what was posted."""
        self._made.clear()

    def take(self, parcels: Sequence[Parcel], *, times: int) -> None:
        """Post each parcel ``times`` times, in the background. What exceeds ``WAITING`` is left."""
        for parcel in parcels:
            for _time in range(times):
                if len(self._tasks) < WAITING:
                    task = asyncio.get_running_loop().create_task(self._deliver(parcel))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Wait until every parcel was taken or given up."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self) -> None:
        """Give up what is under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._sender is not None:
            await self._sender.close()

    async def _deliver(self, parcel: Parcel) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            outcome = await self._attempt(parcel)
            self._made.append({"delivery": parcel.delivery, "url": Redactor(()).url(parcel.url), "attempt": attempt, **outcome})
            if outcome.get("status", 0) // 100 == 2 or outcome.get("refused"):
                return
            await asyncio.sleep(self._pause * attempt)

    async def _attempt(self, parcel: Parcel) -> dict[str, Any]:
        if not _is_here(parcel.url):
            return {"refused": True, "error": "the simulator delivers to this machine alone"}
        if self._sender is None:
            self._sender = Sender(
                EgressPolicy(_LOOPBACK), connections=20, connections_per_host=20, answer_limit=100_000, timeout_limit=10.0
            )
        try:
            reply = await self._sender.send(
                Request(
                    method=parcel.method, url=parcel.url, headers=parcel.headers, body=parcel.body, timeout=10.0, follow_redirects=False
                )
            )
        except (NetworkFault, BlockedAddress) as error:
            return {"error": error.message}
        return {"status": reply.status}


def _is_here(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host in _HOSTS or (host.startswith("127.") and host.replace(".", "").isdigit())
