"""How often and for how long an operation is tried again, where that is not as the server's settings say."""

from __future__ import annotations

from typing import Final, Self

from pydantic import Field as Key
from pydantic import model_validator

from polyport.manifest.base import Node

FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 300.0


class Retry(Node):
    """How an operation is tried again. It never says whether: a request that may have taken effect and may not be repeated is not, whatever stands here.

    ``attempts`` are those of a run in all; without it, the setting ``runs.attempts`` counts, and ``1`` means that nothing is tried again. Where the partner does not say how long to wait,
    the wait is a random part of ``first_wait`` seconds, doubled with each attempt, at most of ``longest_wait`` seconds. ``within`` is in seconds too: an attempt that could not begin
    in that time after the first one did is not made, whoever said how long to wait. A caller's own time limit counts besides.
    """

    attempts: int | None = Key(default=None, ge=1, le=20)
    first_wait: float = Key(default=FIRST_WAIT, ge=0.1, le=3_600)
    longest_wait: float = Key(default=LONGEST_WAIT, ge=1, le=86_400)
    within: float | None = Key(default=None, ge=1, le=7 * 86_400)

    @model_validator(mode="after")
    def _waits_agree(self) -> Self:
        if not self.model_fields_set:
            raise ValueError('say at least one of "attempts", "firstWait", "longestWait" and "within"')
        if self.longest_wait < self.first_wait:
            raise ValueError(
                f'"longestWait" is {self.longest_wait:g} seconds and "firstWait" {self.first_wait:g}: the first wait cannot be longer than the longest'
            )
        if self.within is not None and self.within < self.first_wait:
            raise ValueError(
                f'"within" is {self.within:g} seconds and "firstWait" {self.first_wait:g}: there would be no time for the first wait'
            )
        if self.attempts == 1 and self.model_fields_set != {"attempts"}:
            raise ValueError('with "attempts: 1" nothing is tried again, so nothing is waited for: the other keys say nothing')
        return self
