"""Drill: the master key is changed again and again while several processes make connections, run and read; no call fails, and the last key opens everything.

``make drill`` runs it. It prints what was done, on which machine, and its figures; it ends with 1 when a promise is broken. ``--quick`` is the short form that
runs with the tests. Two servers (one of them of two processes) share one data folder. Each rotation is followed at once by the end of the old key, and one
of them is killed in the middle. Afterwards a server that has the last key alone runs every connection that was ever made.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from drilling import Callers, Report, polyport, run_drill
from e2e.depot import CREATE, PARTNER, SECRET, Bay, Depot, open_depot
from e2e.killable import Process, running_process
from e2e.starter import begin, ended
from polyport.keyfile import KeyFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Connections at the beginning, callers of each kind, rotations under load."""

    connections: int
    callers: int
    rotations: int


FULL: Final = Size(connections=2_000, callers=6, rotations=10)
QUICK: Final = Size(connections=20, callers=2, rotations=1)


async def _connect(server: Process) -> int:
    found = await server.served.fetch("POST", "/credentials", {"partnerId": PARTNER, "title": "Depot", "fields": {"key": SECRET}})
    if found.status != 201:
        raise RuntimeError(f"{found.status} {found.content[:300]!r}")
    return int(found.json["data"]["credentialId"])


async def _run(server: Process, depot: Depot, connection: int, name: str) -> str:
    found = await Bay(served=server.served, depot=depot, connection=connection).run(CREATE, {"name": name})
    return "" if found.status == 200 else f"{found.status} {found.content[:300]!r}"


def _begin(callers: Callers, servers: list[Process], depot: Depot, known: list[int], size: Size) -> None:
    names = itertools.count()

    async def make() -> str:
        here, there = random.sample(servers, 2)
        connection = await _connect(here)
        known.append(connection)
        return await _run(there, depot, connection, f"new {next(names)}")

    async def run() -> str:
        return await _run(random.choice(servers), depot, random.choice(known), f"run {next(names)}")  # noqa: S311  any will do

    async def read() -> str:
        found = await random.choice(servers).served.fetch("GET", f"/credentials/{random.choice(known)}")  # noqa: S311  any will do
        runs = await random.choice(servers).served.fetch("GET", "/runs?per-page=5")  # noqa: S311  any will do
        tried = [await servers[0].served.fetch("GET", f"/runs/{told['runId']}/attempts") for told in runs.json["data"][:1]]
        return "" if {found.status, runs.status, *(one.status for one in tried)} == {200} else f"{found.status} {runs.status}"

    callers.begin("make a connection, and run it in another process", make, size.callers)
    callers.begin("run", run, size.callers)
    callers.begin("read", read, size.callers)


async def _cut(data: Path) -> None:
    """A rotation that is killed in the middle."""
    with tempfile.TemporaryFile() as told:
        child = begin(["keys", "rotate", "--data", data], env=os.environ, outputs=(told.fileno(), sys.stderr.fileno()))
    async with asyncio.timeout(120):
        before = KeyFile(data).read().ids
        while KeyFile(data).read().ids == before and child.poll() is None:  # noqa: ASYNC110  the file signals nothing
            await asyncio.sleep(0.02)
    await asyncio.sleep(random.uniform(0, 2))  # noqa: S311  any moment will do
    child.kill()
    await ended(child)


async def _rotations(data: Path, size: Size, report: Report) -> None:
    for number in range(size.rotations):
        if number == size.rotations // 2:
            await _cut(data)
        code, told, seconds = await polyport("keys", "rotate", "--data", data)
        moved = re.search(r"(\d+) data keys were wrapped anew", told)
        old = re.findall(r"polyport keys drop (\w+)", told)
        report.say(
            f"  rotation {number + 1}: exit code {code}, {moved[1] if moved else '?'} data keys in {seconds:.1f} s (the program's start included)"
        )
        if code or not old:
            report.say(told)
            report.broken.append("a rotation ends well")
        for key_id in old:
            code, told, _seconds = await polyport("keys", "drop", key_id, "--data", data)
            if code:
                report.say(told)
                report.broken.append("the old key can be dropped at once")


async def drill(folder: Path, quick: bool, report: Report) -> None:
    """The whole drill."""
    size, data = QUICK if quick else FULL, folder / "data"
    async with open_depot() as depot:
        async with running_process(folder, depot, workers=2) as one, running_process(folder, depot) as two:
            servers, known = [one, two], list[int]()
            while len(known) < size.connections:
                known += await asyncio.gather(*(_connect(one) for _number in range(10)))
            callers, began = Callers(), time.perf_counter()
            _begin(callers, servers, depot, known, size)
            await asyncio.sleep(2 if quick else 20)
            turned = time.perf_counter()
            await _rotations(data, size, report)
            ended = time.perf_counter()
            await callers.end()
            report.say(
                f"{size.rotations} rotations (one more was killed) in {ended - turned:.0f} s, 3 server processes, {3 * size.callers} callers"
            )
            report.say(f"  before the rotations: {callers.spread(began, turned)}")
            report.say(f"  during the rotations: {callers.spread(turned, ended)}")
            report.check("calls that failed", callers.failed[:3], [])
        ids = KeyFile(data).read().ids
        report.check("keys that are left", len(ids), 1)
        async with running_process(folder, depot, token=one.served.token) as last:
            unreadable = 0
            for start in range(0, len(known), 20):
                told = await asyncio.gather(*(_run(last, depot, connection, "last") for connection in known[start : start + 20]))
                unreadable += sum(map(bool, told))
            report.check(f"connections that the last key does not open, of {len(known)}", unreadable, 0)


if __name__ == "__main__":
    sys.exit(run_drill(__doc__, drill))
