"""Budgets of partners, kept by all processes together: a call takes a permit of every budget it costs before it is sent.

The truth is a ledger in the store (``store/budgets.py``). A budget of ``limit`` units in ``seconds`` is kept for every stretch of that length, wherever a
partner begins to count: each unit is written down in a short span of time and comes back ``seconds`` later, plus what a request may need on its way. A
budget of requests at a time is a number of places that are given back.

Permits are asked for by one loop of each process. It asks for all that wait in one commit; what was taken by whom is known in memory as well, so that
a budget that is used up is not asked for again before something of it comes back. While a budget is short, those that wait for it take turns, one
permit each; inside each of them the first to come is the first to go.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import structlog

from polyport.manifest.budgets import Budget, Rest, read_rest
from polyport.net.message import Reply
from polyport.quotas import PLACES_MS, Line, Quota, Toll, quotas_of
from polyport.store.base import StoreFault, StoreUnavailable
from polyport.store.budgets import FOR_EVER, BudgetUses, Count, Taken

LATE_MS: Final = 50
AGAIN_MS: Final = 5
CLAIMED_MS: Final = 1_000  # a run that asks for no permit within this (its token is being renewed, say) holds nobody up
TOLLS_MOST: Final = 10_000
CHUNK_MOST: Final = 64
TURN_MOST: Final = 64
TELL_MS: Final = 100
OTHERS_MS: Final = 1_000
TIDY_MS: Final = 60_000
LEARN_MS: Final = 5_000  # how old may be what is known of a budget before somebody is told to wait for it
STORE_SECONDS: Final = 0.2
HELD_MOST_MS: Final = 3_600_000  # what one call is told holds others for so long: a slip of it must not close a connection for days

_log: Final = structlog.get_logger("polyport.budgets")
_WIDTHS: Final[Mapping[str, int]] = {"endpoint": 0, "connection": 1, "app": 2}


class BudgetSpent(Exception):
    """A budget has nothing left for so long that the caller would not wait. ``wait_ms``: until something comes back."""

    def __init__(self, name: str, wait_ms: int) -> None:
        super().__init__(name)
        self.name = name
        self.wait_ms = max(1, wait_ms)


class _Waiter(NamedTuple):
    future: asyncio.Future[int]
    until: float


class Permit(NamedTuple):
    """What a call took, and when (unix milliseconds). Give it back when the call has ended."""

    toll: Toll
    at: int


class Budgets:
    """The budgets of a process. ``now_ms`` gives the time in unix milliseconds; ``on_open`` is called when a lane that had to wait may go on."""

    def __init__(self, uses: BudgetUses, *, owner: str, now_ms: Callable[[], int], is_alive: Callable[[str], bool]) -> None:
        self._uses = uses
        self._owner = owner
        self._number = int(owner.rpartition("-")[2], 16)
        self._now = now_ms
        self._is_alive = is_alive
        self._tolls: OrderedDict[tuple[int, int, int], Toll | None] = OrderedDict()
        self._lines: dict[str, Line] = {}
        self._waiting: OrderedDict[Toll, deque[_Waiter]] = OrderedDict()
        self._claimed: dict[str, tuple[Toll, int]] = {}
        self._chunks: dict[Toll, int] = {}
        self._draining: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._paused: dict[int, int] = {}
        self._tidied = 0
        self.on_open: Callable[[], None] = lambda: None
        self._opening: asyncio.TimerHandle | None = None

    def toll(self, budgets: tuple[Budget, ...], costs: Mapping[str, int], *, partner_id: int, place: int, operation_id: int) -> Toll | None:
        """What a call costs; ``None`` where the partner has declared nothing that it takes of."""
        if not budgets:
            return None
        known = (partner_id, place, operation_id)
        if known in self._tolls:
            return self._tolls[known]
        quotas = quotas_of(budgets, costs, partner_id=partner_id, place=place, operation_id=operation_id)
        found = self._tolls[known] = Toll(quotas) if quotas else None
        while len(self._tolls) > TOLLS_MOST:
            self._tolls.popitem(last=False)
        return found

    def claimed(self, run_id: str, toll: Toll) -> None:
        """A queued run was claimed and will soon ask for a permit: who is claimed after it is not let through for the same one."""
        self._claimed[run_id] = toll, self._now()

    def unclaim(self, run_id: str) -> None:
        """A run that was claimed asks for its permit now, or never will."""
        self._claimed.pop(run_id, None)

    async def take(self, toll: Toll, patience: float) -> Permit:
        """A permit for one call, within ``patience`` seconds. Raises ``BudgetSpent``."""
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop.create_future(), time.monotonic() + patience)
        self._waiting.setdefault(toll, deque()).append(waiter)
        self._news.set()
        if self._draining is None:
            self._draining = loop.create_task(self._drain())
        try:
            return Permit(toll, await waiter.future)
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
                self.give_back(Permit(toll, waiter.future.result()))
            raise

    def leaves(self, permit: Permit) -> None:
        """The request leaves now: where that is later than the permit says, it counts from now on."""
        if self._now() - permit.at > LATE_MS:
            self._spawn(self._leave_late(permit))

    async def renewed(self, permit: Permit) -> Permit | None:
        """The permit of a request that goes now, however long ago it was taken: what it took counts from now on.

        ``None``: it was taken so long ago that what it took may count no more before this is written down; its places are given back.
        """
        age = self._now() - permit.at
        if age <= LATE_MS:
            return permit
        if any(quota.keep_ms and age > quota.keep_ms * 3 // 4 for quota in permit.toll.quotas):
            self.give_back(permit)
            return None
        try:
            return Permit(permit.toll, await self._moved(permit.toll, permit.at))
        except StoreUnavailable:
            self.give_back(permit)
            return None

    def give_back(self, permit: Permit) -> None:
        """The call has ended: give back the places that it held."""
        places = permit.toll.places
        if not places:
            return
        for quota in places:
            line = self._line(quota)
            line.held = max(0, line.held - 1)
        self._spawn(self._give_back(places))

    async def _give_back(self, places: tuple[Quota, ...]) -> None:
        while True:  # a place that is not given back is lost to all until this process ends
            try:
                await self._uses.give_back([self._count(quota, 0, cost=1) for quota in places])
                break
            except StoreUnavailable:
                await asyncio.sleep(STORE_SECONDS)
        self._news.set()
        self.on_open()

    def room(self) -> Callable[[Toll | None, int], int]:
        """What says, run by run, how long (ms) one more has to wait before it may be claimed; 0: it may now, and is counted, for this one claim.

        Who has none ahead of its own has a turn as soon as something is free, however many of others wait; its next ones only if all who are ahead leave something.
        """
        now = self._now()
        ahead = Counter[Toll]({toll: len(waiters) for toll, waiters in self._waiting.items()})
        ahead.update(toll for toll, at in self._claimed.values() if at > now - CLAIMED_MS)
        units = Counter[str]()
        for toll, count in ahead.items():
            units.update({quota.key: quota.cost * count for quota in toll.quotas})

        def wait_of(toll: Toll | None, place: int) -> int:
            if self._paused and (wait := self._paused.get(place, 0) - now) > 0:
                return wait
            if toll is None:
                return 0
            for quota in toll.quotas:
                line, before = self._line(quota), units[quota.key] if ahead[toll] else 0
                at = line.opens_at(now, min(quota.cost + before, quota.most))
                if before and quota.cost + before > quota.most:
                    at = max(at, now + AGAIN_MS)
                if at > now and (before or now - line.learned_at <= LEARN_MS or units[quota.key]):  # else one run goes and looks
                    return at - now
            ahead[toll] += 1
            units.update({quota.key: quota.cost for quota in toll.quotas})
            return 0

        return wait_of

    def look_again(self, wait_ms: int) -> None:
        """See to it that who claims looks again once a lane may go on."""
        loop = asyncio.get_running_loop()
        at = loop.time() + max(1, wait_ms) / 1000
        if self._opening is None or self._opening.when() > at or self._opening.when() < loop.time():
            if self._opening is not None:
                self._opening.cancel()
            self._opening = loop.call_at(at, self._open)

    def _open(self) -> None:
        self._opening = None
        self.on_open()

    def answered(self, toll: Toll, reply: Reply) -> None:
        """Read what an answer tells of budgets. It can only take away: what the partner's folder declares is never exceeded."""
        now = self._now()
        for quota in toll.quotas:
            if quota.budget.headers is None or not quota.keep_ms:
                continue
            rest = read_rest(quota.budget, reply, datetime.fromtimestamp(now / 1000, UTC))
            if rest is not None and rest.remaining is not None:
                self._told(quota, rest, rest.remaining, now)

    def _told(self, quota: Quota, rest: Rest, remaining: int, now: int) -> None:
        line = self._line(quota)
        free = line.free(now)
        if remaining >= free or (remaining and line.told_at + TELL_MS > now):
            return
        line.told_at = line.learned_at = now
        end = int(rest.resets.timestamp() * 1000) if rest.resets is not None else now + quota.keep_ms
        until = max(now + 1, min(end, now + quota.keep_ms))
        line.add(until, free - remaining)
        self._spawn(self._uses.tell(self._count(quota, now), remaining, until))

    def refused(self, toll: Toll | None, place: int, wait_ms: int) -> None:
        """The partner asked to wait: its narrowest budget is closed for all processes; of one that declared none, this process claims nothing for that connection.

        For an hour at most, or as long as a window of that budget is: then another call goes and hears for itself.
        """
        now = self._now()
        until = now + min(wait_ms, HELD_MOST_MS)
        if toll is None:
            if len(self._paused) > TOLLS_MOST:
                self._paused.clear()
            self._paused[place] = max(until, self._paused.get(place, 0))
            return
        narrowest = min(_WIDTHS[quota.budget.per] for quota in toll.quotas)
        closed = [quota for quota in toll.quotas if _WIDTHS[quota.budget.per] == narrowest]
        until = now + min(wait_ms, max(HELD_MOST_MS, *(quota.keep_ms for quota in closed)))
        for quota in closed:
            line = self._line(quota)
            line.learned_at = now
            line.add(until, max(0, line.free(now)))
        self._spawn(self._uses.close([self._count(quota, now) for quota in closed], until))

    async def tidy(self) -> None:
        """Drop what counts no more, and give back what dead processes held."""
        for owner in await self._uses.owners():
            if not self._is_alive(owner):
                await self._uses.release(owner)
        now = self._now()
        if self._lines and now - self._tidied > TIDY_MS:  # a process that takes nothing writes nothing
            self._tidied = now
            await self._uses.tidy(now)
        self._lines = {key: line for key, line in self._lines.items() if line.held or line.entries or line.others_until > now}
        self._paused = {place: until for place, until in self._paused.items() if until > now}
        self._chunks = {toll: chunk for toll, chunk in self._chunks.items() if toll in self._waiting}

    async def clock_went_back(self, beyond: int) -> None:
        """Forget what a clock that was ahead told of times to come, in the store what lies ``beyond`` a moment: else a budget would be closed until then."""
        for line in self._lines.values():
            line.forget_times()
        self._paused.clear()
        self._tidied = 0
        await self._uses.forget_beyond(beyond)
        self.on_open()

    async def close(self) -> None:
        """End what is under way; a place that could not be given back is free once this process is gone."""
        if self._opening is not None:
            self._opening.cancel()
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.gather(self._draining, return_exceptions=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _drain(self) -> None:
        """Ask for permits as long as somebody waits for one."""
        try:
            while self._waiting:
                self._news.clear()
                now = self._now()
                old = [toll for toll in self._waiting if self._is_old(toll, now)]
                if old:
                    await self._learn(old[:TURN_MOST])
                    now = self._now()
                turn, pause = self._turn(now)
                if turn:
                    await self._ask(turn, now)
                elif self._waiting:
                    try:
                        async with asyncio.timeout(pause):
                            await self._news.wait()
                    except TimeoutError:
                        pass
        finally:
            self._draining = None

    def _turn(self, now: int) -> tuple[list[tuple[Toll, int]], float]:
        """Who can be served now and with how many permits; for how long (seconds) nobody can."""
        turn: list[tuple[Toll, int]] = []
        pause = 1.0
        for toll in list(self._waiting):
            waiters = self._refuse(toll, self._waiting[toll], now)
            if not waiters:
                del self._waiting[toll]
                continue
            at = self._known_to_open(toll, now, 1)
            if at <= now and len(turn) < TURN_MOST:
                turn.append((toll, min(len(waiters), self._chunks.get(toll, 1))))
            elif at > now:
                left = min(waiter.until for waiter in waiters) - time.monotonic()
                pause = min(pause, (at - now) / 1000, max(0.001, left))
        return turn, pause

    def _is_old(self, toll: Toll, now: int) -> bool:
        """Whether somebody waits for a budget of which was heard long ago."""
        lines = (self._lines.get(quota.key) for quota in toll.quotas)
        return self._known_to_open(toll, now, 1) > now and any(line is not None and now - line.learned_at > LEARN_MS for line in lines)

    def _known_to_open(self, toll: Toll, now: int, permits: int) -> int:
        at = now
        for quota in toll.quotas:
            line = self._lines.get(quota.key)
            if line is not None:
                at = max(at, line.opens_at(now, min(quota.most, quota.cost * permits)))
        return at

    def _refuse(self, toll: Toll, waiters: deque[_Waiter], now: int) -> deque[_Waiter]:
        """Those who still wait; who would have to wait for too long is told so now."""
        clock = time.monotonic()
        kept: deque[_Waiter] = deque()
        for waiter in waiters:
            if waiter.future.done():
                continue
            at = self._known_to_open(toll, now, len(kept) + 1)
            if at > now and clock + (at - now) / 1000 > waiter.until:
                waiter.future.set_exception(BudgetSpent(self._shortest(toll, now), at - now))
                continue
            kept.append(waiter)
        self._waiting[toll] = kept
        return kept

    def shortest(self, toll: Toll | None) -> str | None:
        """The name of the budget that has to be waited for longest, if there is one."""
        return None if toll is None else self._shortest(toll, self._now())

    def _shortest(self, toll: Toll, now: int) -> str:
        known = [(line.opens_at(now, quota.cost), quota.budget.name) for quota in toll.quotas if (line := self._lines.get(quota.key))]
        return max(known, default=(0, toll.quotas[0].budget.name))[1]

    async def _ask(self, turn: list[tuple[Toll, int]], now: int) -> None:
        asked = [([self._count(quota, now) for quota in toll.quotas], permits) for toll, permits in turn]
        try:
            found = await self._uses.take(asked, now)
        except StoreFault as fault:
            _log.warning("budgets cannot be counted, trying again", reason=str(fault))
            await asyncio.sleep(STORE_SECONDS)
            self._give_up()
            return
        short: list[Toll] = []
        for (toll, permits), rows in zip(turn, found, strict=True):
            granted = int(rows[0][1]) if rows else 0
            if granted:
                self._granted(toll, granted, {str(row[0]): int(row[2]) for row in rows}, now)
            if granted < permits:
                short.append(toll)
            self._chunks[toll] = min(CHUNK_MOST, self._chunks.get(toll, 1) * 2) if granted == permits else 1
            if granted and toll in self._waiting:
                self._waiting.move_to_end(toll)
        if short:
            await self._learn(short)

    def _give_up(self) -> None:
        clock = time.monotonic()
        for toll, waiters in self._waiting.items():
            for waiter in waiters:
                if clock >= waiter.until and not waiter.future.done():
                    waiter.future.set_exception(BudgetSpent(toll.quotas[0].budget.name, 1_000))

    def _granted(self, toll: Toll, permits: int, remains: Mapping[str, int], now: int) -> None:
        """Hand permits to those who came first, and note what that leaves."""
        for quota in toll.quotas:
            line = self._line(quota)
            if quota.keep_ms:
                line.add(self._span(quota, now) + quota.keep_ms, permits * quota.cost)
            else:
                line.held += permits
            more = line.free(now) - remains[quota.key]
            line.learned_at = now
            if more > 0 and quota.keep_ms:  # others took it, we do not know when: it is looked at again when it matters
                line.add(now + min(quota.keep_ms, OTHERS_MS), more)
            elif more > 0:
                line.others, line.others_until = line.others + more, now + PLACES_MS
        waiters = self._waiting.get(toll, deque())
        while permits and waiters:
            waiter = waiters.popleft()
            if not waiter.future.done():
                waiter.future.set_result(now)
                permits -= 1
        for _unused in range(permits):  # those who asked have gone away meanwhile
            self.give_back(Permit(toll, now))

    async def _learn(self, tolls: list[Toll]) -> None:
        """Read what counts of budgets that are short."""
        quotas = {quota.key: quota for toll in tolls for quota in toll.quotas}
        now = self._now()
        try:
            taken = await self._uses.counted([self._count(quota, now) for quota in quotas.values()], now)
        except StoreFault:
            await asyncio.sleep(STORE_SECONDS)
            return
        by_key: dict[str, list[Taken]] = {}
        for row in taken:
            by_key.setdefault(row.key, []).append(row)
        for key, quota in quotas.items():
            line, rows = self._line(quota), by_key.get(key, [])
            line.learned_at = now
            line.entries = sorted((row.until, row.taken) for row in rows if quota.keep_ms or row.span == -1)
            if not quota.keep_ms:
                line.others = sum(row.taken for row in rows if row.span not in {-1, self._number})
                line.others_until = now + PLACES_MS
        for toll in tolls:
            if self._known_to_open(toll, now, 1) <= now:  # another process gave back or took in between: do not ask in a circle
                line = self._line(toll.quotas[0])
                line.add(now + AGAIN_MS, max(0, line.free(now)))

    async def _leave_late(self, permit: Permit) -> None:
        await self._moved(permit.toll, permit.at)

    async def _moved(self, toll: Toll, then: int) -> int:
        now = self._now()
        moves = [(self._count(quota, then), self._count(quota, now)) for quota in toll.quotas if quota.keep_ms]
        for old, new in moves:
            line = self._lines.get(old.key)
            if line is not None:
                line.take_out(old.until, old.cost)
                line.add(new.until, new.cost)
        if moves:
            await self._uses.move(moves)
        return now

    def _span(self, quota: Quota, now: int) -> int:
        return now - now % quota.width_ms

    def _count(self, quota: Quota, now: int, *, cost: int | None = None) -> Count:
        units = quota.cost if cost is None else cost
        if not quota.keep_ms:
            return Count(quota.key, units, quota.most, self._number, 0, FOR_EVER, FOR_EVER, self._owner)
        span = self._span(quota, now)
        return Count(quota.key, units, quota.most, span, now - quota.keep_ms, now + quota.keep_ms, span + quota.keep_ms)

    def _line(self, quota: Quota) -> Line:
        line = self._lines.get(quota.key)
        if line is None:
            line = self._lines[quota.key] = Line(quota.most)
        return line

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Work that nobody waits for; what the store does not take is lost: the partner will tell it again."""

        async def guarded() -> None:
            try:
                await work
            except StoreFault as fault:
                _log.warning("a note on a budget was not kept", reason=str(fault))

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
