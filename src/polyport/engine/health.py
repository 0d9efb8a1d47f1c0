"""The gentle watch over connections: those that nothing has proved for long are proved by the partner's verify call.

Several processes share the work: a connection is taken by moving its ``check_at`` (compare-and-swap), and the checks of a partner keep a distance that
the store counts. A partner that is down or asks to wait is left alone, for longer each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import OrderedDict
from typing import Final

import structlog

from polyport.engine.calls import verify
from polyport.engine.checks import look_again, next_check, second_look
from polyport.engine.connect import note_refused, note_working
from polyport.engine.desk import Desk
from polyport.errors import ConnectionInvalid, PartnerRateLimited, PartnerTimeout, PartnerUnavailable, PolyportError
from polyport.manifest.model import Partner
from polyport.store.base import Stale
from polyport.store.records import Connection, ConnectionStatus

HEALTH_SECONDS: Final = 5.0
AT_ONCE: Final = 8
TAKEN_MS: Final = 600_000  # a process that dies with a connection in hand leaves it for that long
FIRST_PAUSE_MS: Final = 60_000
LONGEST_PAUSE_MS: Final = 3_600_000
PAUSES_MOST: Final = 10_000
_WATCHED: Final = frozenset({ConnectionStatus.ACTIVE, ConnectionStatus.PENDING, ConnectionStatus.INVALID})
_log: Final = structlog.get_logger("polyport.health")


class Health:
    """The checks of one process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._runtime = desk.runtime
        self._room = asyncio.Semaphore(AT_ONCE)
        self._pauses: OrderedDict[str, tuple[int, int]] = OrderedDict()

    async def check_due(self) -> None:
        """Check one connection of each partner that has one due, where the partner's rate allows for it."""
        partners = await self._runtime.repo.connections.due_partners(self._runtime.now_ms())
        await asyncio.gather(*(self._check_one(partner_id) for partner_id in partners))

    async def _check_one(self, partner_id: int) -> None:
        async with self._room:
            repo, now = self._runtime.repo, self._runtime.now_ms()
            record = await repo.connections.due_check(partner_id, now)
            if record is None:
                return
            distance = 60_000 // self._runtime.settings.health.checks_per_minute
            if (await repo.throttles.hit(f"check/{partner_id}", window_ms=distance, now=now))[0] > 1:
                return
            with contextlib.suppress(Stale):
                taken = await repo.connections.move_check(record, now + TAKEN_MS, refusals=record.refusals)
                await self._check(taken)

    async def _check(self, record: Connection) -> None:
        """Prove a connection that was taken. Raises ``Stale`` when something else was noted of it meanwhile."""
        if record.status not in _WATCHED:
            return await self._later(record)
        try:
            caller = await self._desk.tester(record)
        except PolyportError as error:  # its secrets cannot be opened, or make no address: the partner has refused nothing
            _log.warning("a connection could not be checked", connection=record.connection_id, reason=error.code)
            return await self._later(record)
        host = caller.base.origin if caller.base is not None else caller.partner.file.slug
        until, failures = self._pauses.get(host, (0, 0))
        if until > self._runtime.now_ms():
            return await self._postpone(record, until)
        try:
            account = await verify(caller)
        except ConnectionInvalid as refused:
            await self._refused(caller.partner, record, refused)
        except (PartnerUnavailable, PartnerTimeout, PartnerRateLimited) as error:
            await self._postpone(record, self._pause(host, failures, error))
        except PolyportError as error:
            _log.info("a check was not answered as it should be", connection=record.connection_id, reason=error.code)
            await self._later(record)
        else:
            self._pauses.pop(host, None)
            await note_working(self._desk, caller.partner, record, account)
            if record.status is not ConnectionStatus.ACTIVE:
                _log.info("a connection is active", connection=record.connection_id, was=record.status.value)

    async def _refused(self, partner: Partner, record: Connection, error: PolyportError) -> None:
        """A first refusal is only remembered: what was a slip of the partner is not at the second look."""
        if error.details.connection_id is not None:  # the status of a sign-in says so already
            await self._runtime.repo.connections.move_check(
                record, look_again(self._runtime.now_ms(), record.refusals + 1, _jitter()), refusals=record.refusals + 1
            )
            return
        if record.refusals == 0:
            await self._runtime.repo.connections.move_check(record, second_look(self._runtime.now_ms(), _jitter()), refusals=1)
            return
        await note_refused(self._desk, partner, record, error)
        if record.status is not ConnectionStatus.INVALID:
            _log.info("a connection is invalid", connection=record.connection_id)

    async def _later(self, record: Connection) -> None:
        every = self._runtime.settings.health.check_every
        await self._runtime.repo.connections.move_check(
            record, next_check(self._runtime.now_ms(), every, _jitter()), refusals=record.refusals
        )

    async def _postpone(self, record: Connection, until: int) -> None:
        await self._runtime.repo.connections.move_check(record, until + int(FIRST_PAUSE_MS * _jitter()), refusals=record.refusals)

    def _pause(self, host: str, failures: int, error: PolyportError) -> int:
        """Leave a host alone; until when."""
        told = error.details.retry_after_ms or 0
        length = max(min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS << min(failures, 16)), min(told, LONGEST_PAUSE_MS))
        until = self._runtime.now_ms() + length
        self._pauses[host] = (until, failures + 1)
        self._pauses.move_to_end(host)
        while len(self._pauses) > PAUSES_MOST:
            self._pauses.popitem(last=False)
        return until


def _jitter() -> float:
    return random.random()  # noqa: S311  it spreads checks, it protects nothing
