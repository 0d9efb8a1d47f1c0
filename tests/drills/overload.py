"""Drill: ten times more callers than a server has places for; the rest are refused early, what is accepted is done, and all is well again afterwards.

``make drill`` runs it; ``--quick`` is the short form that runs with the tests. The partner takes a twentieth of a second for each call. First as many callers as
there are places, then ten times as many, then few again. Slow clients and connections that send nothing are part of the load.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from drilling import Report, run_drill
from e2e.depot import PARTNER, PUT, SECRET, Asked, Depot, open_depot
from e2e.killable import Process, running_process
from e2e.served import answer

PLACES: Final = 16
QUEUE: Final = 200
_names: Final = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """For how long (seconds) each part is measured, and connections that send nothing."""

    seconds: float
    idle: int


FULL: Final = Size(seconds=60, idle=200)
QUICK: Final = Size(seconds=2, idle=20)


@dataclass(slots=True)
class Part:
    """One part: milliseconds of calls that were done, and of those that were refused, and what else came."""

    done: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    queued: int = 0
    odd: Counter[str] = field(default_factory=Counter)

    def spread(self, taken: list[float]) -> str:
        """Median, 99th percentile and longest."""
        found = sorted(taken) or [0.0]
        return f"{len(taken)}, p50 {found[len(found) // 2]:.0f} ms, p99 {found[int(len(found) * 0.99)]:.0f} ms, longest {found[-1]:.0f} ms"


async def _part(server: Process, connection: int, callers: int, seconds: float) -> Part:
    part, end = Part(), time.monotonic() + seconds

    async def call(mode: str) -> None:
        while time.monotonic() < end:
            body = {"credentialData": {"0": connection}, "runnerData": {"id": f"n{next(_names)}"}}
            began = time.perf_counter()
            try:
                found = await server.served.fetch("POST", f"/partners/trigger-actions/{PUT}/run/{mode}", body)
            except Exception as error:  # noqa: BLE001  whatever it is, it counts
                part.odd[type(error).__name__] += 1
                continue
            took = (time.perf_counter() - began) * 1000
            if found.status == 200:
                part.done.append(took)
            elif found.status == 202:
                part.queued += 1
            elif found.status == 503 and "retry-after" in found.headers:
                part.refused.append(took)
                await asyncio.sleep(0.1)
            else:
                part.odd[str(found.status)] += 1
            server.served.replies.clear()

    await asyncio.gather(*(call("async" if number % 4 == 0 else "sync") for number in range(callers)))
    return part


async def _idle(server: Process, count: int) -> list[asyncio.StreamWriter]:
    writers = []
    for number in range(count):
        _reader, writer = await asyncio.open_connection("127.0.0.1", int(server.served.origin.rpartition(":")[2]))
        if number % 2:
            writer.write(b"POST /user/auth HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        writers.append(writer)
    return writers


def _things(depot: Depot) -> Counter[str]:
    return Counter(asked.target for asked in depot.wire.asked if "/things/" in asked.target)


async def drill(folder: Path, quick: bool, report: Report) -> None:
    """The whole drill."""
    size = QUICK if quick else FULL
    limits = {"runs_sync_limit": PLACES, "runs_queue_limit": QUEUE, "runs_connection_share": 1, "runs_partner_share": 1}

    async def late(_asked: Asked) -> bytes:
        await asyncio.sleep(0.05)
        return answer(200, {"data": {}, "name": "Depot"})

    async with open_depot() as depot, running_process(folder, depot, **limits) as server:
        depot.answers["*"] = late
        connection = await server.served.connect(PARTNER, {"key": SECRET})
        normal = await _part(server, connection, PLACES, size.seconds / 4)
        idle = await _idle(server, size.idle)
        heavy = await _part(server, connection, 10 * PLACES, size.seconds)
        after = await _part(server, connection, PLACES // 2, size.seconds / 4)
        for writer in idle:
            with contextlib.suppress(ConnectionError):
                writer.close()
        parts = {"as many callers as places": normal, "ten times as many": heavy, "few again": after}
        report.say(
            f"1 process, {PLACES} places for synchronous runs, {QUEUE} for queued ones; the partner takes 50 ms; {size.idle} idle or slow connections"
        )
        for name, part in parts.items():
            report.say(f"  {name}: done {part.spread(part.done)}; queued {part.queued}; refused {part.spread(part.refused)}")
        report.check(
            "answers that were neither done nor refused with Retry-After", sum((part.odd for part in parts.values()), Counter()), Counter()
        )
        report.check("refused when there are ten times too many", bool(heavy.refused), True)
        report.check("refused when there are few", len(after.refused) > len(heavy.refused), False)
        accepted = sum(len(part.done) + part.queued for part in parts.values())
        async with asyncio.timeout(300):
            while _things(depot).total() < accepted:  # noqa: ASYNC110  the partner signals nothing
                await asyncio.sleep(0.1)
        report.check("accepted and not done, or done twice", (_things(depot).total() - accepted, max(_things(depot).values()) - 1), (0, 0))
        report.check("the process is ready", (await server.served.fetch("GET", "/readyz", token=None)).status, 200)


if __name__ == "__main__":
    sys.exit(run_drill(__doc__, drill))
