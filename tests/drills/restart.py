"""Drill: the two processes of a server are restarted in turn under load, and no call fails.

``make drill`` runs it; ``--quick`` is the short form that runs with the tests. Callers keep their connections, as programs do. SIGHUP
puts new processes in the place of the old ones, in turn. Synchronous runs, queued runs and reads go on meanwhile; the partner counts what comes.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import aiohttp

from drilling import Callers, Report, run_drill
from e2e.depot import CREATE, PARTNER, SECRET, Asked, Depot, open_depot
from e2e.killable import Process, children, running_process
from e2e.served import Served, answer

ROUNDS: Final = {False: 10, True: 1}


def _begin(callers: Callers, served: Served, connection: int, accepted: list[str], count: int) -> None:
    names = itertools.count()

    async def run(mode: str) -> tuple[int, Any]:
        body = {"credentialData": {"0": connection}, "runnerData": {"name": f"n{next(names)}"}}
        status, _headers, told = await served.call("POST", f"/partners/trigger-actions/{CREATE}/run/{mode}", body)
        served.replies.clear()
        return status, told

    async def sync() -> str:
        status, told = await run("sync")
        return "" if status == 200 else f"{status} {told}"

    async def queued() -> str:
        status, told = await run("async")
        if status == 202:
            accepted.append(told["data"]["runId"])
            await asyncio.sleep(0.02)
        return "" if status == 202 else f"{status} {told}"

    async def read() -> str:
        status, _headers, told = await served.call("GET", "/runs?per-page=5")
        await asyncio.sleep(0.02)
        return "" if status == 200 else f"{status} {told}"

    callers.begin("synchronous", sync, count)
    callers.begin("queued", queued, count)
    callers.begin("read", read, count)


async def _restart(server: Process) -> float:
    """Ask for new processes; seconds until both are there and the old ones gone."""
    began, old = time.perf_counter(), set(children(server.pid))
    os.kill(server.pid, signal.SIGHUP)
    async with asyncio.timeout(300):
        while old & (now := set(children(server.pid))) or len(now) != 2:  # noqa: ASYNC110  processes signal nothing here
            await asyncio.sleep(0.05)
    return time.perf_counter() - began


async def _end(served: Served, run_id: str) -> str:
    async with asyncio.timeout(120):
        while True:
            found = (await served.call("GET", f"/runs/{run_id}"))[2]["data"]["status"]
            if found in {"succeeded", "failed", "uncertain", "cancelled"}:
                return str(found)
            await asyncio.sleep(0.05)


def _doubled(depot: Depot) -> int:
    return sum(count - 1 for count in Counter(asked.body for asked in depot.of("POST /things")).values())


async def drill(folder: Path, quick: bool, report: Report) -> None:
    """The whole drill."""

    async def late(_asked: Asked) -> bytes:
        await asyncio.sleep(0.02)
        return answer(201, {"data": {"id": 1}})

    async with open_depot() as depot, running_process(folder, depot, workers=2) as server:
        depot.answers["POST /things"] = late
        connection = await server.served.connect(PARTNER, {"key": SECRET})
        callers, accepted = Callers(), list[str]()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
            served = Served(origin=server.served.origin, token=server.served.token, runtime=None, services=None, client=client)
            _begin(callers, served, connection, accepted, 2 if quick else 8)
            await asyncio.sleep(1)
            began = time.perf_counter()
            times = [await _restart(server) for _round in range(ROUNDS[quick])]
            ended = time.perf_counter()
            await callers.end()
            ends = Counter([await _end(served, run_id) for run_id in accepted])
        report.say(
            f"{len(times)} restarts of both processes in {ended - began:.0f} s, {sum(times) / len(times):.1f} s each; {len(accepted)} queued runs"
        )
        report.say(f"  calls while processes came and went: {callers.spread(began, ended)}")
        report.check("calls that failed", callers.failed[:3], [])
        report.check("ends of queued runs other than succeeded", {name: count for name, count in ends.items() if name != "succeeded"}, {})
        report.check("requests that came twice", _doubled(depot), 0)


if __name__ == "__main__":
    sys.exit(run_drill(__doc__, drill))
