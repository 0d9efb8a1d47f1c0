"""How many requests an account may make in a while, by all processes together. Nothing of it costs anything while it is off.

A process takes a twentieth of an account's requests from the store at a time and hands them out from memory. Windows begin with the clock, alike for
all processes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from polyport.errors import Details, RateLimited
from polyport.runtime import Runtime
from polyport.store.base import StoreFault

BLOCKS: Final = 20
KNOWN_MOST: Final = 50_000

Headers = tuple[tuple[bytes, bytes], ...]


class _Account:
    """What a process knows of an account in the present window."""

    __slots__ = ("lock", "mine", "rest", "start")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.start = -1
        self.mine = 0
        self.rest = 0


class RateLimits:
    """Counts the requests of accounts."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._most = runtime.settings.http.rate_limit
        self.limited = self._most > 0
        self._window = runtime.settings.http.rate_window
        self._accounts: OrderedDict[int, _Account] = OrderedDict()

    async def count(self, account_id: int) -> Headers:
        """Count one request; the headers of its answer. Raises ``RateLimited``."""
        if not self._most:
            return ()
        account = self._accounts.get(account_id)
        if account is None:
            account = self._accounts[account_id] = _Account()
            while len(self._accounts) > KNOWN_MOST:
                self._accounts.popitem(last=False)
        now, span = self._runtime.now_ms(), self._window * 1000
        start = now - now % span
        if account.start != start or (not account.mine and account.rest):
            async with account.lock:
                await self._refill(account, account_id, start)
        seconds = -(-(start + span - now) // 1000)
        if not account.mine:
            told = tuple((name.decode(), value.decode()) for name, value in self._headers(0, seconds))
            raise RateLimited(None, Details(retry_after_ms=max(1_000, start + span - now), headers=told))
        account.mine -= 1
        return self._headers(account.mine + account.rest, seconds)

    async def _refill(self, account: _Account, account_id: int, start: int) -> None:
        if account.start != start:
            account.start, account.mine, account.rest = start, 0, self._most
        if account.mine or not account.rest:
            return  # another request did it meanwhile
        block = max(1, self._most // BLOCKS)
        try:
            hits = await self._runtime.repo.throttles.add(f"requests/{account_id}", block, start=start)
        except StoreFault:  # what cannot be counted is let through: the store refuses what it cannot keep
            account.mine = block
            return
        account.rest = max(0, self._most - hits)
        account.mine = max(0, min(block, self._most - (hits - block)))

    def _headers(self, rest: int, seconds: int) -> Headers:
        return (
            (b"RateLimit", f'"requests";r={rest};t={seconds}'.encode()),
            (b"RateLimit-Policy", f'"requests";q={self._most};w={self._window}'.encode()),
        )
