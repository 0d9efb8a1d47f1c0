"""The gate between calls and their partner: a permit of its budgets before a request is made, its circuit breakers before one leaves."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from msgspec.structs import replace

from polyport.breakers import Breakers
from polyport.budgets import Budgets, BudgetSpent, Permit
from polyport.errors import Details, PartnerRateLimited, PartnerUnavailable, PolyportError
from polyport.manifest.model import SAFE_METHODS
from polyport.net.message import Network, NetworkFault, Reply, Request
from polyport.quotas import Toll

MIDDLE_SECONDS: Final = 600.0  # a call that follows others of its run waits rather than leave them half done
HONEST_SECONDS: Final = 5.0  # a partner that was given less time than this is not at fault for not answering
BUDGET: Final = "budget"
CIRCUIT: Final = "circuit_open"
HELD: Final = frozenset({BUDGET, CIRCUIT})


class Gate:
    """What the calls of one attempt go through, or all calls of an open connection that belong to no attempt (``several``).

    ``place`` is the connection, or the partner itself (negated) where there is none. ``patience`` is how long (seconds) the first call waits for a permit.
    ``leaves`` is called just before a request that may change something is handed to its connection.
    """

    __slots__ = ("_ahead", "_begun", "_breakers", "_budgets", "_leaves", "_patience", "_place", "_several", "_toll")

    def __init__(
        self,
        budgets: Budgets,
        breakers: Breakers,
        toll: Toll | None,
        place: int,
        *,
        patience: float,
        several: bool = False,
        leaves: Callable[[], None] | None = None,
    ) -> None:
        self._budgets = budgets
        self._breakers = breakers
        self._toll = toll
        self._place = place
        self._patience = patience
        self._several = several
        self._leaves = leaves
        self._begun = False
        self._ahead: Permit | None = None

    async def ready(self, origin: str | None, until: float | None) -> None:
        """See to it that the first call can go, before anything is written down for it. Raises what ``enter`` and ``send`` raise."""
        wait = self._breakers.wait(self._place, _host(origin) if origin is not None else None)
        if wait:
            raise left_alone(wait)
        if self._toll is not None:
            self._ahead = await self._take(self._toll, until)

    async def enter(self, until: float | None) -> Permit | None:
        """A permit for one call; give it to ``leave``. Raises ``PartnerRateLimited`` when a budget is used up for too long."""
        if self._toll is None:
            return None
        if self._ahead is not None:
            permit, self._ahead = self._ahead, None
            if (now := await self._budgets.renewed(permit)) is not None:  # what was written down in between may have taken long
                return now
            self._begun = self._several
        return await self._take(self._toll, until)

    async def _take(self, toll: Toll, until: float | None) -> Permit:
        patience = MIDDLE_SECONDS if self._begun else self._patience
        if until is not None:
            patience = min(patience, until - time.monotonic())
        try:
            permit = await self._budgets.take(toll, patience)
        except BudgetSpent as spent:
            raise used_up(spent.name, spent.wait_ms) from None
        self._begun = not self._several
        return permit

    def leave(self, permit: Permit | None) -> None:
        """The call has ended."""
        if permit is not None:
            self._budgets.give_back(permit)

    def close(self) -> None:
        """The attempt has ended."""
        permit, self._ahead = self._ahead, None
        self.leave(permit)

    async def send(self, network: Network, request: Request, permit: Permit | None) -> Reply:
        """Send a request, unless its host or its connection is left alone: then ``PartnerUnavailable`` is raised. Raises what ``Network.send`` raises."""
        host = _host(request.url)
        wait = self._breakers.enter(self._place, host)
        if wait:
            raise left_alone(wait)
        leaves = self._leaves if request.method not in SAFE_METHODS else None
        if permit is not None:
            leaves = partial(_both, partial(self._budgets.leaves, permit), leaves)
        if leaves is not None:
            request = replace(request, leaves=leaves)
        try:
            reply = await network.send(request)
        except NetworkFault as fault:
            if fault.stopped or fault.unsent or (fault.timed_out and request.timeout < HONEST_SECONDS):
                self._breakers.abandoned(self._place, host)
            else:
                self._breakers.failed(self._place, host)
            raise
        except BaseException:
            self._breakers.abandoned(self._place, host)
            raise
        if reply.status >= 500:
            self._breakers.failed(self._place, host)
        else:
            self._breakers.succeeded(self._place, host)
        if self._toll is not None:
            self._budgets.answered(self._toll, reply)
        return reply

    def refused(self, error: PolyportError) -> None:
        """The partner refused a call; where it asked to wait, others wait too."""
        if isinstance(error, PartnerRateLimited) and error.details.retry_after_ms is not None:
            self._budgets.refused(self._toll, self._place, error.details.retry_after_ms)


def is_held(error: PolyportError) -> bool:
    """Whether a call was held back here: nothing was sent, and it can go later."""
    return error.details.reason in HELD


def used_up(name: str | None, wait_ms: int) -> PartnerRateLimited:
    """The error of a call for which a budget has nothing left; without a name the partner itself asked to wait."""
    said = f'What the partner allows ("{name}") is used up for now' if name is not None else "The partner asked to wait"
    return PartnerRateLimited(
        f"{said}: nothing was sent.",
        Details(retry_after_ms=wait_ms, reason=BUDGET, suggested_fix="Wait as long as retryAfterMs says, or run it asynchronously."),
    )


def left_alone(wait: float) -> PartnerUnavailable:
    """The error of a call that an open circuit breaker held back; ``wait`` in seconds."""
    return PartnerUnavailable(
        "The partner has failed again and again and is left alone for a while: nothing was sent.",
        Details(retry_after_ms=max(1, round(wait * 1000)), reason=CIRCUIT, suggested_fix="Try again as late as retryAfterMs says."),
    )


def _both(first: Callable[[], None], second: Callable[[], None] | None) -> None:
    first()
    if second is not None:
        second()


def _host(url: str) -> str:
    """What stands between the scheme and the path."""
    return url.partition("://")[2].partition("/")[0]
