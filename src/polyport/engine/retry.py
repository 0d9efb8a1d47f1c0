"""When a run is tried again. Pure: facts in, a decision out.

A repeat is automatic only where it is harmless: the operation is repeatable (it only reads, or is declared idempotent), or the fault provably
precedes the send, or the partner said 429 or 503 **and** how long to wait (it answered without doing the work). Everything else that may have reached
the partner is ``uncertain`` and never sent again on its own. What an operation says of its retries (how often, how long) changes nothing of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from polyport.errors import (
    BlockedAddress,
    ConnectionInvalid,
    PartnerFault,
    PartnerRateLimited,
    PartnerTimeout,
    PartnerUnavailable,
    PolyportError,
)
from polyport.manifest.retries import LONGEST_WAIT, Retry

_NO_WORD: Final = Retry(longest_wait=LONGEST_WAIT)


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A failed attempt. ``reached``: the request may have arrived. ``answered``: the partner's whole answer was read. ``stopped``: this server stops."""

    error: PolyportError
    reached: bool
    answered: bool
    stopped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do after a failed attempt: end with ``status``, or wait ``wait_ms`` and try again."""

    status: Literal["waiting", "failed", "uncertain"]
    wait_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How often a run is tried in all, and how long it waits in between. ``within_ms`` is how late after the first attempt another one may begin."""

    attempts: int
    first_wait_ms: int
    longest_wait_ms: int
    within_ms: int | None

    def left_ms(self, since_first_ms: int) -> int | None:
        """How much of its time is left to a run whose first attempt began so long ago (``None``: it has no bound)."""
        return None if self.within_ms is None else self.within_ms - since_first_ms


def policy_of(retry: Retry | None, attempts: int) -> Policy:
    """What an operation says of its retries; ``attempts`` counts where it does not say how many."""
    told = retry if retry is not None else _NO_WORD
    return Policy(
        attempts=told.attempts if told.attempts is not None else attempts,
        first_wait_ms=round(told.first_wait * 1000),
        longest_wait_ms=round(told.longest_wait * 1000),
        within_ms=None if told.within is None else round(told.within * 1000),
    )


def decide(failure: Failure, *, repeatable: bool, attempt: int, policy: Policy, left_ms: int | None, jitter: float) -> Decision:
    """The decision after attempt number ``attempt`` (from 1).

    ``left_ms`` is the time until the run's deadline (``None``: none). ``jitter`` is a random number in [0, 1).
    """
    error = failure.error
    harmless = repeatable or not failure.reached or _refused_unstarted(failure)
    end: Literal["failed", "uncertain"] = "uncertain" if not harmless and _in_doubt(failure) else "failed"
    if not harmless or not _may_pass(error) or attempt >= policy.attempts:
        return Decision(status=end)
    told = error.details.retry_after_ms
    # A partner that refuses and says "at once" is not asked five times within a few milliseconds.
    wait = told or int(min(policy.longest_wait_ms, policy.first_wait_ms * 2 ** (attempt - 1)) * jitter)
    if left_ms is not None and wait >= left_ms:
        return Decision(status=end)
    return Decision(status="waiting", wait_ms=wait)


def _may_pass(error: PolyportError) -> bool:
    return isinstance(error, PartnerRateLimited | PartnerUnavailable | PartnerTimeout) and error.retryable


def _refused_unstarted(failure: Failure) -> bool:
    """A whole 429 or 503 that says how long to wait: the partner did not begin."""
    upstream = failure.error.details.upstream
    status = upstream.status if upstream is not None else None
    return failure.answered and status in {429, 503} and failure.error.details.retry_after_ms is not None


def _in_doubt(failure: Failure) -> bool:
    """No whole answer, or one that does not say whether the work was done (5xx, unreadable); or it is refused after an earlier step was done."""
    if isinstance(failure.error, BlockedAddress | ConnectionInvalid):
        return False
    if isinstance(failure.error, PartnerRateLimited):
        return not failure.answered
    return isinstance(failure.error, PartnerUnavailable | PartnerTimeout) or not isinstance(failure.error, PartnerFault)
