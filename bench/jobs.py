"""What a load generator is asked to do, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to send, how long (seconds, after ``warmup`` seconds that do not count), by how many callers; any status but ``expect`` is an error.

    With ``whole`` every request that was sent is waited for: what was answered is then what was asked.
    """

    port: int
    path: str
    body: str
    expect: int
    callers: int
    seconds: float
    warmup: float = 0.0
    token: str = ""
    method: str = "POST"
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What came of a job. ``rate`` is answers a second without the warm-up, latencies are in milliseconds.

    ``total`` counts all expected answers, those of the warm-up and those under way at the end too; up to ``more`` requests were under way at the end and answered
    to nobody. ``began`` and ``ended`` are readings of the monotonic clock. ``busy`` is the share of one core that the generator itself used.
    """

    rate: float
    p50: float
    p99: float
    total: int
    errors: int
    first_error: str
    began: float
    ended: float
    busy: float
    more: int = 0
    generator: str = "own"
