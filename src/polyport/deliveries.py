"""Sending events to their receivers: signed, at least once, eight attempts over 27.6 hours, then a dead letter.

A claim is a lease in the database: while it lasts no other process sends the event; when its process dies, the event is due again afterwards. A receiver
that does not answer holds up nobody else: one account has at most so many events on their way to one receiver (a single one while that is slow), and at
most a quarter of all places.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from msgspec.structs import replace

from polyport.engine.links import Reconnects
from polyport.engine.parse import read_wait
from polyport.engine.record import decode, encode
from polyport.errors import BlockedAddress, Overloaded, PolyportError
from polyport.manifest.refusals import RetryAfter
from polyport.net.message import NetworkFault, Opener, Pairs, Reply, Request
from polyport.runtime import Runtime
from polyport.signing import Secret, headers_of
from polyport.store.base import Stale, StoreFault, StoreUnavailable
from polyport.store.outbox import PARKED
from polyport.store.records import EndpointStatus, EventStatus, OutgoingEvent

# Seconds before each attempt, counted from the end of the one before.
WAITS: Final = (0, 5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 10 * 3600)
ATTEMPTS: Final = len(WAITS)
JITTER: Final = 0.1  # of the wait, in either direction
RETRY_AFTER_MOST_MS: Final = 24 * 3_600_000
LEASE_SLACK_MS: Final = 15_000
POLL_SECONDS: Final = 1.0
FAULT_SECONDS: Final = 1.0
ANSWER_MOST: Final = 16 * 1024  # what is read of an answer, so that its connection can be used again; nothing of it is kept
ANSWER_SECONDS: Final = 1.0
ERROR_LONGEST: Final = 500
DELIVERIES_KEPT: Final = 10  # of each event
DAY_MS: Final = 24 * 3_600_000
TIDY_ROUNDS: Final = 20

_RETRY_AFTER: Final = RetryAfter(header="retry-after")
_log: Final = structlog.get_logger("polyport.events")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an attempt. ``error`` is ``None`` for a success; ``final``: another attempt would not help; ``parked``: nothing was sent, it waits.

    ``slow``: the receiver let its time pass.
    """

    error: str | None = None
    status: int | None = None
    retry_after_ms: int | None = None
    final: bool = False
    parked: bool = False
    slow: bool = False


def settled(event: OutgoingEvent, outcome: Outcome, *, now: int, jitter: float, ms: int = 0) -> OutgoingEvent:
    """The event after an attempt: delivered, due again, parked, or dead. ``jitter`` is a random number in [-1, 1]; ``ms`` is how long the attempt took."""
    if outcome.parked:
        return replace(event, owner=None, attempts=event.attempts - 1, due_at=PARKED)
    error = outcome.error and outcome.error[:ERROR_LONGEST]
    before = json.loads(event.deliveries)[1 - DELIVERIES_KEPT :]
    deliveries = json.dumps([*before, {"at": now - ms, "ms": ms, "status": outcome.status, "error": error}])
    told = replace(event, owner=None, last_status=outcome.status, last_error=error, deliveries=deliveries)
    if outcome.error is None:
        return replace(told, status=EventStatus.DELIVERED, ended_at=now)
    if outcome.final or event.attempts >= ATTEMPTS:
        return replace(told, status=EventStatus.DEAD, ended_at=now)
    wait = int(WAITS[event.attempts] * 1000 * (1 + JITTER * jitter))
    return replace(told, due_at=now + max(wait, min(outcome.retry_after_ms or 0, RETRY_AFTER_MOST_MS)))


class Courier:
    """Sends the due events of the database for one process; ``count`` is told the type of each event that was tried and what came of it."""

    def __init__(self, runtime: Runtime, reconnects: Reconnects, count: Callable[[str, str], None] = lambda _type, _outcome: None) -> None:
        self._runtime = runtime
        self._events = runtime.events
        self._outbox = runtime.repo.outbox
        self._reconnects = reconnects
        self._count = count
        self._limits = runtime.settings.events
        self._sending: dict[asyncio.Task[None], str] = {}
        self._slow: set[str] = set()
        self._next = 0.0
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._loop = asyncio.create_task(self._send_all(), name="polyport-events")

    async def stop(self, grace: float) -> None:
        """Begin nothing more; what is under way gets ``grace`` seconds. What is cut is sent again when its lease is over."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        if self._sending:
            await asyncio.wait(self._sending, timeout=grace)
        tasks = list(self._sending)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def tidy(self) -> None:
        """Forget what ended long ago, and give up what waits for a paused endpoint for as long as dead letters are kept; in small steps."""
        now = self._runtime.now_ms()
        dead_before = now - self._limits.dead_days * DAY_MS
        for _round in range(TIDY_ROUNDS):
            gone = await self._outbox.forget(EventStatus.DELIVERED, now - self._limits.delivered_days * DAY_MS)
            gone += await self._outbox.forget(EventStatus.DEAD, dead_before)
            gone += await self._outbox.bury_parked(before=dead_before, now=now, reason="Its endpoint was paused for too long.")
            if not gone:
                break

    async def _send_all(self) -> None:
        while True:
            self._events.woken.clear()  # before the store is asked: what is announced from here on is looked at again
            try:
                claimed = await self._claim()
            except StoreFault as fault:
                _log.warning("events cannot be claimed", reason=str(fault))
                await asyncio.sleep(FAULT_SECONDS)
                continue
            except Exception:  # noqa: BLE001  a defect must not end the loop: events are kept and sent once it is gone
                _log.exception("events cannot be claimed")
                await asyncio.sleep(FAULT_SECONDS)
                continue
            for event in claimed:
                task = asyncio.create_task(self._deliver(event))
                self._sending[task] = event.lane
                task.add_done_callback(self._ended)
            if not claimed:
                left = min(POLL_SECONDS, max(0.01, self._next))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._events.woken.wait(), left)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._sending[task]
        self._events.woken.set()

    async def _claim(self) -> list[OutgoingEvent]:
        """Take what is due and has room."""
        now = self._runtime.now_ms()
        due = await self._outbox.next_due()
        self._next = POLL_SECONDS if due is None or due <= now else (due - now) / 1000
        if due is None or due > now:
            return []
        rooms = self._rooms(await self._outbox.lanes_due(now))
        if not rooms:
            return []
        leased_until = now + int(self._limits.timeout * 1000) + LEASE_SLACK_MS
        return await self._outbox.claim(rooms, self._runtime.owner, now=now, leased_until=leased_until)

    def _rooms(self, lanes: list[str]) -> dict[str, int]:
        """How many events of each lane may be begun now."""
        in_lane = Counter(self._sending.values())
        of_account = Counter(_account(lane) for lane in self._sending.values())
        share = max(1, self._limits.concurrency // 4)
        left = self._limits.concurrency - len(self._sending)
        rooms: dict[str, int] = {}
        for lane in lanes:
            most = 1 if lane in self._slow else self._limits.per_receiver
            room = min(most - in_lane[lane], share - of_account[_account(lane)], left)
            if room > 0:
                rooms[lane] = room
                of_account[_account(lane)] += room
                left -= room
        return rooms

    async def _deliver(self, event: OutgoingEvent) -> None:
        """One attempt, recorded."""
        began = time.monotonic()
        ends_at = began + self._limits.timeout + LEASE_SLACK_MS / 1000
        try:
            outcome = await self._attempt(event)
        except (StoreFault, Overloaded) as fault:
            _log.warning("an event was not sent", event_id=event.event_id, reason=str(fault))
            outcome = Outcome(error="This server could not read its records.")
        except Exception:  # noqa: BLE001  a defect of ours: the event stays, the log says why
            _log.exception("an event was not sent", event_id=event.event_id)
            outcome = Outcome(error="Something went wrong on this server.")
        (self._slow.add if outcome.slow else self._slow.discard)(event.lane)
        if len(self._slow) > 10_000:
            self._slow.clear()
        ms, jitter = round((time.monotonic() - began) * 1000), random.uniform(-1, 1)  # noqa: S311  it spreads retries
        after = settled(event, outcome, now=self._runtime.now_ms(), jitter=jitter, ms=ms)
        if after.status is EventStatus.DEAD:
            _log.warning(
                "an event was given up", event_id=event.event_id, type=event.type, attempts=event.attempts, reason=after.last_error
            )
        if not outcome.parked:
            self._count(event.type, "failed" if after.status is EventStatus.PENDING else after.status.value)
        await self._record(event, after, ends_at)
        if outcome.parked and event.endpoint_id is not None:
            await self._unpark(event.account_id, event.endpoint_id)

    async def _record(self, event: OutgoingEvent, after: OutgoingEvent, ends_at: float) -> None:
        """Write what came of it, as long as the lease lasts; beyond it the event is sent again."""
        while True:
            try:
                await self._outbox.settle(after, owner=self._runtime.owner, attempt=event.attempts)
            except Stale:
                _log.warning("an event was taken over by another process", event_id=event.event_id)
                return
            except StoreUnavailable as error:
                _log.warning("the store cannot be written, trying again", event_id=event.event_id, reason=str(error))
            else:
                return
            if time.monotonic() > ends_at:
                return
            await asyncio.sleep(0.5)

    async def _attempt(self, event: OutgoingEvent) -> Outcome:
        receiver = await self._receiver(event)
        if isinstance(receiver, Outcome):
            return receiver
        url, secrets = receiver
        body = await self._body(event)
        headers = (("Content-Type", "application/json"), *headers_of(event.event_id, body, secrets, self._runtime.now_ms()))
        request = Request(method="POST", url=url, headers=headers, body=body, timeout=self._limits.timeout, follow_redirects=False)
        try:
            status, told = await self._send(request)
        except BlockedAddress as blocked:
            return Outcome(error=f"{blocked.code}: {blocked.message}", final=True)
        except NetworkFault as fault:
            return Outcome(error=fault.message, slow=fault.timed_out)
        if 200 <= status < 300:
            return Outcome(status=status)
        if status == 410:
            return await self._gone(event)
        why = " Redirects are not followed." if 300 <= status < 400 else ""
        wait = read_wait(_RETRY_AFTER, Reply(status=status, headers=told), None, self._runtime.clock())
        return Outcome(error=f"The receiver answered with status {status}.{why}", status=status, retry_after_ms=wait)

    async def _receiver(self, event: OutgoingEvent) -> tuple[str, list[Secret]] | Outcome:
        """Where the event goes and what signs it, or why it is not sent."""
        if event.endpoint_id is None:
            return event.url, await self._events.callback_secrets(event.account_id)
        held = next((one for one in await self._events.endpoints(event.account_id) if one.endpoint_id == event.endpoint_id), None)
        if held is None or held.status is not EndpointStatus.ACTIVE:  # memory may be behind: what is given up for good is looked up
            held = await self._runtime.repo.endpoints.get(event.account_id, event.endpoint_id)
        if held is None:
            return Outcome(error="Its endpoint was deleted.", final=True)
        if held.status is EndpointStatus.DISABLED:
            return Outcome(error="Its endpoint is disabled.", final=True)
        if held.status is EndpointStatus.PAUSED:
            return Outcome(parked=True)
        return held.url, await self._events.endpoint_secrets(held)

    async def _unpark(self, account_id: int, endpoint_id: str) -> None:
        """An endpoint that was resumed while an event of it was being parked: nobody else would look at that event again."""
        with contextlib.suppress(StoreFault):
            held = await self._runtime.repo.endpoints.get(account_id, endpoint_id)
            if held is None or held.status is not EndpointStatus.PAUSED:
                await self._outbox.resume(endpoint_id, self._runtime.now_ms())
                self._events.announce()

    async def _body(self, event: OutgoingEvent) -> bytes:
        """What the event tells. That a connection is invalid is told with the address where the customer connects again; it is kept nowhere."""
        body = await self._events.body(event)
        if event.type != "connection.invalid":
            return body
        told = decode(body)
        with contextlib.suppress(PolyportError, StoreFault):  # without the address it is still true
            url = await self._reconnects.url(event.account_id, told["data"]["credentialId"])
            if url is not None:
                told["data"]["reconnectUrl"] = url
        return encode(told)

    async def _send(self, request: Request) -> tuple[int, Pairs]:
        """The status and the headers of the answer. Of its body a little is read, so that the connection can be used again."""
        network = self._runtime.receivers
        if not isinstance(network, Opener):
            reply = await network.send(request)
            return reply.status, reply.headers
        incoming = await network.open(request)
        try:
            with contextlib.suppress(NetworkFault, TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    size = 0
                    async for piece in incoming.pieces():
                        size += len(piece)
                        if size > ANSWER_MOST:
                            break
        finally:
            incoming.close()
        return incoming.status, incoming.headers

    async def _gone(self, event: OutgoingEvent) -> Outcome:
        """A receiver that says it is gone for good is believed."""
        if event.endpoint_id is not None:
            with contextlib.suppress(Stale):
                await self._runtime.repo.endpoints.disable(
                    event.endpoint_id, "It answered with status 410: it is gone.", self._runtime.now_ms()
                )
            self._events.forget()
        return Outcome(error="The receiver answered with status 410: it is gone.", status=410, final=True)


def _account(lane: str) -> str:
    return lane.partition(" ")[0]
