"""The lists of connections, kept with the time at which they were read: in the store for all processes, in memory for this one.

A list that is fresh is given as it is. One that is stale, but not too old, is given at once as well, and read again in the background. Whoever needs one
that is missing or too old, or asks for a fresh one, waits for the partner; callers that want the same list at the same time share one reading.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections import OrderedDict
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import structlog

from polyport.engine.caller import Caller
from polyport.engine.calls import ListItems, read_list
from polyport.errors import ConnectionInvalid, PolyportError
from polyport.manifest.model import ListSpec
from polyport.runtime import Runtime
from polyport.store.base import StoreFault
from polyport.store.records import CachedList, Connection
from polyport.vault import VaultFault

LISTS_MOST: Final = 256
FRESH_MS: Final = 15_000
REFUSED_MS: Final = 5_000  # for that long a form is told again why a list could not be read
FIRST_PAUSE_MS: Final = 30_000
LONGEST_PAUSE_MS: Final = 600_000
FAILURES_MOST: Final = 10_000
_log: Final = structlog.get_logger("polyport.lists")
_Key = tuple[int, int, str]


class Wanted(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One list of one connection: what it is kept under, and what it is read with."""

    record: Connection
    caller: Caller
    spec: ListSpec
    values: Mapping[str, Any]
    name: str

    @property
    def key(self) -> _Key:
        """What it is kept under: other secrets may see other items."""
        return (self.record.connection_id, self.record.generation, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    found: ListItems
    read_at: int
    stale_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    error: PolyportError
    at: int
    times: int

    @property
    def again_at(self) -> int:
        return self.at + min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS << min(self.times - 1, 16))


class ListMemory:
    """The lists that this process knows, and the readings that are under way."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._failed: OrderedDict[_Key, _Failed] = OrderedDict()
        self._reading: dict[_Key, asyncio.Task[ListItems]] = {}

    def forget(self) -> None:
        """Drop what is in memory: something changed. What the store has is looked at again."""
        self._kept.clear()

    def close(self) -> None:
        """Give up the readings that are under way: nobody waits for them any more."""
        for task in self._reading.values():
            task.cancel()

    def at_hand(self, record: Connection, name: str) -> ListItems | None:
        """The items of a list that is in memory and not stale; nearly every run finds what it needs so."""
        held = self._kept.get((record.connection_id, record.generation, name))
        return held.found if held is not None and self._runtime.now_ms() < held.stale_at else None

    def remembered(self, wanted: Wanted, *, fresh: bool) -> ListItems | None:
        """The items if they are in memory and may be given; a stale list is read again meanwhile."""
        held = self._kept.get(wanted.key)
        return None if held is None else self._given(wanted, held, fresh=fresh)

    async def kept(self, wanted: Wanted, *, fresh: bool, refused_ms: int = 0) -> ListItems:
        """The items of a list that is not ``remembered``: from the store if they may be given, else from the partner. Raises the partner's error.

        An error that is no older than ``refused_ms`` is raised again instead; for a ``fresh`` list one of the last ``FRESH_MS``.
        """
        stored = await self._stored(wanted)
        held = self._kept.get(wanted.key)  # somebody else may have read it while the store was asked
        if stored is not None and (held is None or stored.read_at > held.read_at):
            self._keep(wanted.key, stored)
            held = stored
        given = None if held is None else self._given(wanted, held, fresh=fresh)
        if given is not None:
            return given
        failed = self._failed.get(wanted.key)
        if not fresh and failed is not None and isinstance(failed.error, ConnectionInvalid):
            refused_ms = 0  # whether the connection is refused is looked at each time
        if failed is not None and self._runtime.now_ms() - failed.at < (FRESH_MS if fresh else refused_ms):
            raise type(failed.error)(failed.error.message, failed.error.details)  # asked a moment ago
        return await self._read_once(wanted)

    async def reread(self, wanted: Wanted) -> ListItems:
        """The items as the partner has them now: a reading that has begun already does not count. Raises the partner's error."""
        while (earlier := self._reading.get(wanted.key)) is not None:
            await asyncio.wait([earlier])
        return await self._read_once(wanted)

    async def suspect(self, wanted: Wanted) -> None:
        """Something spoke against a list: it is read again in the background, unless that was done a moment ago."""
        held = self._kept.get(wanted.key) or await self._stored(wanted)
        if held is not None and self._runtime.now_ms() - held.read_at > FRESH_MS:
            self._refresh(wanted, held)

    def _given(self, wanted: Wanted, held: _Kept, *, fresh: bool) -> ListItems | None:
        now = self._runtime.now_ms()
        if fresh:
            return held.found if now - held.read_at <= FRESH_MS else None
        if now < held.stale_at:
            return held.found
        if now < held.stale_at + self._runtime.settings.lists.stale * 1000:
            self._refresh(wanted, held)
            return held.found
        return None

    def _refresh(self, wanted: Wanted, held: _Kept) -> None:
        """Read a list again in the background; after a failure not before a while."""
        failed = self._failed.get(wanted.key)
        if wanted.key not in self._reading and (failed is None or self._runtime.now_ms() >= failed.again_at):
            self._begin(wanted, self._renew(wanted, held.read_at))

    async def _renew(self, wanted: Wanted, read_at: int) -> ListItems:
        """Read a list again, unless another process has done so since."""
        stored = await self._stored(wanted)
        if stored is not None and stored.read_at > read_at:
            self._keep(wanted.key, stored)
            return stored.found
        return await self._read(wanted)

    async def _read_once(self, wanted: Wanted) -> ListItems:
        task = self._reading.get(wanted.key) or self._begin(wanted, self._read(wanted))
        return await asyncio.shield(task)

    def _begin(self, wanted: Wanted, reading: Coroutine[Any, Any, ListItems]) -> asyncio.Task[ListItems]:
        task = self._reading[wanted.key] = asyncio.create_task(reading)
        task.add_done_callback(lambda done: self._read_ended(wanted.key, done))
        return task

    def _read_ended(self, key: _Key, task: asyncio.Task[ListItems]) -> None:
        self._reading.pop(key, None)
        if not task.cancelled():
            task.exception()  # looked at here: those who waited for it may all be gone

    async def _read(self, wanted: Wanted) -> ListItems:
        try:
            found = await read_list(wanted.caller, wanted.spec, wanted.values)
        except PolyportError as error:
            await self._note_failure(wanted, error)
            raise
        self._failed.pop(wanted.key, None)
        record, now = wanted.record, self._runtime.now_ms()
        found = replace(found, read_at=now)
        stale = now + 1000 * (wanted.spec.lifetime or self._runtime.settings.lists.lifetime)
        sealed = self._runtime.connections.seal_list(record, wanted.name, {"items": found.items, "complete": found.complete})
        cached = CachedList(connection_id=record.connection_id, name=wanted.name, sealed=sealed, read_at=now, stale_at=stale)
        try:
            await self._runtime.repo.connections.put_cached_list(cached, generation=record.generation)
        except StoreFault:
            return found  # the connection is gone or has other secrets, or the store is gone: what was read still serves this call
        self._keep(wanted.key, _Kept(found=found, read_at=now, stale_at=stale))
        return found

    async def _note_failure(self, wanted: Wanted, error: PolyportError) -> None:
        before = self._failed.pop(wanted.key, None)
        times = 1 if before is None else before.times + 1
        self._failed[wanted.key] = _Failed(error=error, at=self._runtime.now_ms(), times=times)
        while len(self._failed) > FAILURES_MOST:
            self._failed.popitem(last=False)
        _log.info("a list was not read", connection=wanted.record.connection_id, list=wanted.spec.name, reason=error.code)
        if isinstance(error, ConnectionInvalid):
            with contextlib.suppress(StoreFault):  # it is checked in its time
                await self._runtime.repo.connections.check_soon(wanted.record.connection_id, self._runtime.now_ms())

    async def _stored(self, wanted: Wanted) -> _Kept | None:
        stored = await self._runtime.repo.connections.cached_list(wanted.record.connection_id, wanted.name)
        if stored is None:
            return None
        try:
            content = self._runtime.connections.open_list(wanted.record, wanted.name, stored.sealed)
        except VaultFault:
            return None
        found = ListItems(items=content["items"], complete=content["complete"], read_at=stored.read_at)
        return _Kept(found=found, read_at=stored.read_at, stale_at=stored.stale_at)

    def _keep(self, key: _Key, kept: _Kept) -> None:
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while len(self._kept) > LISTS_MOST:
            self._kept.popitem(last=False)


class KeptLists:
    """The lists of one open connection (``record`` is ``None`` where the partner needs none), as the engine asks for them.

    ``form``: they are for a form, which is asked for again with every key that is pressed: a list that could not be read is not asked for again at once.
    """

    def __init__(self, memory: ListMemory, record: Connection | None, caller: Caller, until: float | None, *, form: bool = False) -> None:
        self._refused_ms = REFUSED_MS if form else 0
        self._memory = memory
        self._record = record
        self._caller = caller
        self._until = until

    async def get(self, spec: ListSpec, values: Mapping[str, Any], *, query: str | None = None, fresh: bool = False) -> ListItems:
        """The items of a list; ``fresh`` asks for a copy of the last seconds. What is searched at the partner is not kept."""
        if query is None and not fresh and self._record is not None and not spec.depends_on:
            at_hand = self._memory.at_hand(self._record, spec.name)
            if at_hand is not None:
                return at_hand
        wanted = None if query is not None else self._wanted(spec, values)
        if wanted is not None and (held := self._memory.remembered(wanted, fresh=fresh)) is not None:
            return held  # nothing was waited for: nearly every run ends here, and a timer costs more than all of this
        async with asyncio.timeout_at(self._until):
            if wanted is None:
                return await read_list(self._caller, spec, values, query)
            return await self._memory.kept(wanted, fresh=fresh, refused_ms=self._refused_ms)

    async def reread(self, spec: ListSpec, values: Mapping[str, Any]) -> ListItems:
        """The items as the partner has them now."""
        wanted = self._wanted(spec, values)
        return await read_list(self._caller, spec, values) if wanted is None else await self._memory.reread(wanted)

    async def suspect(self, spec: ListSpec, values: Mapping[str, Any]) -> None:
        """Have a list read again in the background: something spoke against it."""
        wanted = self._wanted(spec, values)
        if wanted is not None:
            await self._memory.suspect(wanted)

    def _wanted(self, spec: ListSpec, values: Mapping[str, Any]) -> Wanted | None:
        if self._record is None:
            return None
        return Wanted(record=self._record, caller=self._caller, spec=spec, values=values, name=_list_name(spec, values))


def _list_name(spec: ListSpec, values: Mapping[str, Any]) -> str:
    if not spec.depends_on:
        return spec.name
    text = json.dumps({name: values.get(name) for name in spec.depends_on}, sort_keys=True, default=str)
    return f"{spec.name}:{hashlib.sha256(text.encode()).hexdigest()[:24]}"
