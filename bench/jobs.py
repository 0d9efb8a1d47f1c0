"""What a load generator is asked to do, and what it tells."""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field
from typing import Final

PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to send, how long (seconds, after ``warmup`` seconds that do not count), by how many callers; any status but ``expect`` is an error.

    ``bodies`` are sent in turn after ``body``. With ``whole`` every request that was sent is waited for: what was answered is then what was asked. With a
    ``pace`` (requests a second of all callers together) each caller sends at its own times instead of as fast as it can; latencies then count from the time
    at which a request was to be sent, so that an answer that comes late makes those behind it late as well.
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
    pace: float = 0.0
    bodies: list[str] = field(default_factory=list)


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


def try_once(job: Job) -> str:
    """One request of the job: what was wrong with its answer, or nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", job.port, timeout=PATIENCE)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {job.token}"} if job.token else {})
    try:
        connection.request(job.method, job.path, job.body.encode() or None, headers)
        answer = connection.getresponse()
        content = answer.read()
    except OSError as error:
        return f"no answer: {error}"
    finally:
        connection.close()
    return "" if answer.status == job.expect else f"{answer.status} {content[:300].decode(errors='replace')}"
