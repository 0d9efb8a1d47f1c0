"""Reading a connection's lists and custom fields again because somebody asked for it: ``update-user-data``.

What is asked for stands in the store: it survives the process, and whichever process has room takes it (compare-and-swap). What a dead process had taken
is given back.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import random
from typing import Final

import structlog

from polyport.engine.desk import Desk, check_usable
from polyport.errors import ConnectionInvalid, PartnerRateLimited, PartnerTimeout, PartnerUnavailable, PolyportError
from polyport.store.base import Stale, StoreFault

DATA_NEW, DATA_QUEUED, DATA_RUNNING, DATA_DONE, DATA_AGAIN = range(5)
DATA_SECONDS: Final = 2.0
AT_ONCE: Final = 8
TRIES_MOST: Final = 10
FIRST_WAIT_MS: Final = 30_000
LONGEST_WAIT_MS: Final = 3_600_000
STORE_SECONDS: Final = 0.5
_log: Final = structlog.get_logger("polyport.lists")


class Rereader:
    """Reads lists again for one process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._runtime = desk.runtime
        self._repo = desk.runtime.repo.connections
        self._filling = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy = 0

    async def ask(self, account_id: int, connection_id: int) -> int:
        """Ask that the lists and custom fields of a connection are read again; the wire's ``updateStatus``. Raises ``NotFound`` or ``ConnectionInvalid``.

        0 new, 1 queued, 2 running, 3 done (told once), 4 queued again after a reading that failed. Asked again and again, it comes to 3.
        """
        record = await self._runtime.connections.record(account_id, connection_id)
        check_usable(record)
        status, now = record.data_status, self._runtime.now_ms()
        told = status
        with contextlib.suppress(Stale):  # another process moves it at this moment
            if status == DATA_DONE:
                await self._repo.move_data(connection_id, was=DATA_DONE, becomes=DATA_NEW, due_at=None)
                return DATA_DONE
            if status == DATA_NEW:
                told = DATA_QUEUED
                await self._repo.move_data(connection_id, was=DATA_NEW, becomes=DATA_QUEUED, due_at=now)
            elif status == DATA_AGAIN:
                await self._repo.hasten_data(connection_id, now)
        self._spawn()
        return told

    async def work(self) -> None:
        """Give back what dead processes had taken; take what is due."""
        for owner in await self._repo.data_owners():
            if not self._runtime.is_alive(owner):
                await self._repo.requeue_data(owner, self._runtime.now_ms())
        await self._fill()

    def close(self) -> None:
        """Give up what is under way; another process, or the next one, takes it up."""
        for task in self._tasks:
            task.cancel()

    def _spawn(self) -> None:
        """Take what is due at once. In a context of its own: it is not the work of the caller that asks."""
        task = asyncio.create_task(self._quietly(), context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _quietly(self) -> None:
        with contextlib.suppress(StoreFault):  # the next round finds it
            await self._fill()

    async def _fill(self) -> None:
        """Take as many connections as there is room for."""
        async with self._filling:
            room = AT_ONCE - self._busy
            if room <= 0:
                return
            for account_id, connection_id in await self._repo.due_data(self._runtime.now_ms(), limit=room):
                with contextlib.suppress(Stale):  # another process was first
                    tries = await self._repo.claim_data(connection_id, self._runtime.owner, self._runtime.now_ms())
                    self._busy += 1
                    task = asyncio.create_task(self._work_on(account_id, connection_id, tries), context=contextvars.Context())
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def _work_on(self, account_id: int, connection_id: int, tries: int) -> None:
        try:
            becomes, due_at, tries = await self._outcome(account_id, connection_id, tries)
            await self._end(connection_id, becomes, due_at, tries)
        finally:
            self._busy -= 1
        await self._quietly()

    async def _outcome(self, account_id: int, connection_id: int, tries: int) -> tuple[int, int | None, int]:
        """Read everything again; the status that follows, when it is due again, and the failures so far."""
        told_ms = 0
        try:
            await self._reread(account_id, connection_id)
        except (PolyportError, StoreFault) as error:
            _log.info("lists were not read again", connection=connection_id, reason=type(error).__name__)
            told_ms = error.details.retry_after_ms or 0 if isinstance(error, PolyportError) else 0
        except Exception:  # noqa: BLE001  a defect must not leave the connection taken
            _log.exception("lists could not be read again", connection=connection_id)
        else:
            return DATA_DONE, None, 0
        if tries + 1 >= TRIES_MOST:
            return DATA_NEW, None, 0
        wait = min(LONGEST_WAIT_MS, max(told_ms, FIRST_WAIT_MS << min(tries, 16)))
        return DATA_AGAIN, self._runtime.now_ms() + int(wait * (0.9 + 0.2 * random.random())), tries + 1  # noqa: S311  it spreads, it protects nothing

    async def _reread(self, account_id: int, connection_id: int) -> None:
        """Read every list of the partner again that depends on nothing, then forget what is older. Raises what speaks against trying the rest."""
        started = self._runtime.now_ms()
        record = await self._runtime.connections.record(account_id, connection_id)
        partner = await self._runtime.catalog.seen_by(account_id).partner(record.partner_id)
        lists = self._desk.lists(await self._desk.bench(account_id, partner, connection_id))
        for spec in partner.lists.values():
            if spec.depends_on or spec.search != "local":
                continue
            try:
                await lists.reread(spec, {})
            except (ConnectionInvalid, PartnerRateLimited, PartnerTimeout, PartnerUnavailable):
                raise
            except PolyportError as error:  # this list is not for this connection: the others may be
                _log.info("a list was refused", connection=connection_id, list=spec.name, reason=error.code)
        await self._repo.forget_older_lists(connection_id, started)
        self._desk.forget()

    async def _end(self, connection_id: int, becomes: int, due_at: int | None, tries: int) -> None:
        """Write what came of it, as soon as the store can."""
        while True:
            try:
                await self._repo.end_data(connection_id, self._runtime.owner, becomes=becomes, due_at=due_at, tries=tries)
            except Stale:  # the connection is gone
                return
            except StoreFault:
                await asyncio.sleep(STORE_SECONDS)
            else:
                return
