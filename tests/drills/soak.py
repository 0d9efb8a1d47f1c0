"""Drill: a server under steady mixed load takes no more memory, no more open files and no more threads as time goes by.

``make drill`` runs it for ten minutes (``SECONDS=...`` for longer); ``--quick`` is the short form that runs with the tests. The first third is for what
fills once: caches, pools, the allocator. The two thirds that follow are held against each other.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import aiohttp

from drilling import Callers, Report, run_drill
from e2e.depot import CREATE, PARTNER, PUT, SECRET, Asked, Bay, open_depot
from e2e.killable import running_process
from e2e.served import Served, answer

DURATION: Final = {False: float(os.environ.get("SECONDS", "600")), True: 24.0}
GROWTH_MB: Final = {False: 4.0, True: 8.0}  # of the last third over the middle one; seconds after the start caches still fill


class Sample(NamedTuple):
    """A process at a moment."""

    at: float
    megabytes: float
    files: int
    threads: int


def _look(pid: int) -> Sample:
    told = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines())
    return Sample(
        time.perf_counter(),
        int(told["VmRSS"].split()[0]) / 1024,
        sum(1 for _file in Path(f"/proc/{pid}/fd").iterdir()),
        int(told["Threads"]),
    )


def _begin(callers: Callers, bay: Bay) -> None:
    names = itertools.count()

    async def call(expected: int, method: str, path: str, body: object = None) -> str:
        found = await bay.served.fetch(method, path, body)
        bay.served.replies.clear()
        return "" if found.status == expected else f"{found.status} {found.content[:200]!r}"

    async def run(expected: int, operation: int, mode: str, data: object, **more: object) -> str:
        body = {"credentialData": {"0": bay.connection}, "runnerData": data, **more}
        return await call(expected, "POST", f"/partners/trigger-actions/{operation}/run/{mode}", body)

    async def sync() -> str:
        return await run(200, CREATE, "sync", {"name": f"n{next(names)}", "extra": {"text": "x" * 2_000}})

    async def queued() -> str:
        return await run(202, PUT, "async", {"id": f"{next(names)}", "name": "Lamp"})

    async def wrong() -> str:
        return await run(422, CREATE, "sync", {f"no{next(names)}": 1})

    async def dry() -> str:
        return await run(200, CREATE, "sync", {"name": f"n{next(names)}"}, dryRun=True)

    async def read() -> str:
        return await call(200, "GET", "/runs?per-page=20")

    async def strange() -> str:
        return await call(404, "GET", f"/runs/run_{next(names):032x}")

    for name, work in (("sync", sync), ("queued", queued), ("wrong", wrong), ("dry", dry), ("read", read), ("strange", strange)):
        callers.begin(name, work, 1)


async def drill(folder: Path, quick: bool, report: Report) -> None:
    """The whole drill."""

    async def echo(asked: Asked) -> bytes:
        return answer(201, {"data": {"id": 1, **json.loads(asked.body)}})

    async with open_depot() as depot, running_process(folder, depot) as server:
        depot.answers["*"] = echo
        depot.answers["GET /me"] = answer(200, {"name": "Depot of Ada"})
        connection = await server.served.connect(PARTNER, {"key": SECRET})
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
            served = Served(origin=server.served.origin, token=server.served.token, runtime=None, services=None, client=client)
            callers, samples, began = Callers(), list[Sample](), time.perf_counter()
            _begin(callers, Bay(served=served, depot=depot, connection=connection))
            while time.perf_counter() < began + DURATION[quick]:
                await asyncio.sleep(0.5)
                samples.append(_look(server.pid))
                depot.wire.asked.clear()
            await callers.end()
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[2 * third :]
    before, after = (median(sample.megabytes for sample in part) for part in (middle, last))
    # Many runs at once open connections to the partner, which are kept for a while: what is not given back shows in how few files there are at least.
    fewest = [min(sample.files for sample in part) for part in (middle, last)]
    report.say(f"{callers.count()} calls in {DURATION[quick]:.0f} s")
    report.say(
        f"  memory: {samples[0].megabytes:.1f} MB at first, {before:.1f} MB in the middle third, {after:.1f} MB in the last, {max(sample.megabytes for sample in samples):.1f} MB at most"
    )
    report.say(
        f"  open files: {fewest[0]} and {fewest[1]} at least, {max(sample.files for sample in samples)} at most; threads: {max(sample.threads for sample in middle)} and {max(sample.threads for sample in last)}"
    )
    report.check(f"memory grew by less than {GROWTH_MB[quick]:.0f} MB", after - before < GROWTH_MB[quick], True)
    report.check("no more open files", fewest[1] <= fewest[0] + 4, True)
    report.check("no more threads", max(sample.threads for sample in last) <= max(sample.threads for sample in middle) + 1, True)
    report.check("calls that were answered otherwise than they should", callers.failed[:3], [])


if __name__ == "__main__":
    sys.exit(run_drill(__doc__, drill))
