"""Drill: a backup is taken under load, the server is killed and its folder lost; what the backup held is there again, and nothing is sent a second time.

``make drill`` runs it. It prints what was done, on which machine, and its figures; it ends with 1 when a promise is broken. ``--quick`` is the short form that
runs with the tests. Callers make connections and queue runs that must not be repeated, and some that may; in the midst of it ``polyport backup`` is run, more
is done, and the server gets SIGKILL. The backup and the key file go into a new folder; ``polyport restore``; a server starts. The partner counts arrivals.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from drilling import Callers, Report, polyport, run_drill
from e2e.depot import CREATE, PARTNER, PUT, SECRET, Depot, open_depot
from e2e.killable import Process, running_process
from e2e.served import Asked, answer
from stored import opened_file

ENDED: Final = "('succeeded', 'failed', 'uncertain', 'cancelled')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Rounds, callers of each kind, seconds of load before the backup and after it."""

    rounds: int
    callers: int
    seconds: float


FULL: Final = Size(rounds=10, callers=8, seconds=8)
QUICK: Final = Size(rounds=1, callers=3, seconds=1)


async def _slowly(_asked: Asked) -> bytes:
    await asyncio.sleep(0.05)
    return answer(201, {"data": {"id": 1, "name": "Lamp"}})


def _begin(callers: Callers, server: Process, depot: Depot, connections: list[int], size: Size, round_: int) -> None:
    numbers = itertools.count()

    async def queue() -> str:
        number = next(numbers)
        bay, name = server.bay(depot, connections[number % len(connections)]), f"{round_}-{number}"
        operation, data = (CREATE, {"name": name}) if number % 4 else (PUT, {"id": name, "name": name})
        told = await bay.run(operation, data, mode="sync" if number % 10 == 0 else "async")
        return "" if told.status in {200, 202} else f"{told.status} {told.content[:200]!r}"

    async def connect() -> str:
        body = {"partnerId": PARTNER, "title": "Depot", "fields": {"key": SECRET}}
        told = await server.served.fetch("POST", "/credentials", body)
        if told.status == 201:
            connections.append(int(told.json["data"]["credentialId"]))
        return "" if told.status == 201 else f"{told.status} {told.content[:200]!r}"

    callers.begin("run", queue, size.callers)
    callers.begin("connect", connect, 1)


def _runs(path: Path, where: str) -> dict[str, tuple[Any, ...]]:
    with opened_file(path) as database:
        return {row[0]: row for row in database.execute(f"SELECT * FROM runs WHERE {where}")}  # noqa: S608  no input of anybody


def _connections(path: Path) -> list[int]:
    with opened_file(path) as database:
        return [row[0] for row in database.execute("SELECT connection_id FROM connections ORDER BY connection_id")]


async def _lose(folder: Path, depot: Depot, size: Size, round_: int, report: Report) -> str:
    """Load, a backup in its midst, more load, the end of the server; a token that the backup knows."""
    async with running_process(folder, depot, runs_concurrency=4) as server:
        connections = [await server.served.connect(PARTNER, {"key": SECRET}) for _number in range(3)]
        callers, began = Callers(), time.perf_counter()
        _begin(callers, server, depot, connections, size, round_)
        await asyncio.sleep(size.seconds)
        taken = time.perf_counter()
        code, told, seconds = await polyport("backup", folder / "backup.db", "--data", folder / "data")
        ended = time.perf_counter()
        report.check("exit code of the backup", (code, told if code else ""), (0, ""))
        report.check("calls that failed until then", callers.failed[:3], [])
        await asyncio.sleep(size.seconds / 2)
        await server.kill()
        await callers.end()
        size_mb = (folder / "backup.db").stat().st_size / 1e6
        report.say(
            f"  backup of {size_mb:.1f} MB in {seconds:.1f} s (the program's start included), {callers.count()} calls before the kill"
        )
        report.say(f"  before the backup: {callers.spread(began, taken)}")
        report.say(f"  during the backup: {callers.spread(taken, ended)}")
        return server.served.token


def _arrivals(depot: Depot) -> Counter[tuple[str, bytes]]:
    return Counter((asked.target, asked.body) for asked in depot.wire.asked if asked.method != "GET")


async def _round(folder: Path, depot: Depot, size: Size, round_: int, report: Report) -> None:
    token = await _lose(folder, depot, size, round_, report)
    backup, fresh = folder / "backup.db", folder / "fresh"
    (fresh / "data").mkdir(parents=True, mode=0o700)
    shutil.copy(folder / "data" / "master.key", fresh / "data" / "master.key")
    final, open_ = _runs(backup, f"status IN {ENDED}"), _runs(backup, f"status NOT IN {ENDED}")
    code, told, _seconds = await polyport("restore", backup, "--data", fresh / "data")
    report.check("exit code of the restore", (code, told if code else ""), (0, ""))
    await asyncio.sleep(0.2)
    before = _arrivals(depot)
    async with running_process(fresh, depot, token=token) as server:
        await asyncio.sleep(2)
        report.check("requests that were sent by themselves after the restore", sum((_arrivals(depot) - before).values()), 0)
        bay, unfinished = server.bay(depot, 0), list(open_)
        read = [
            one for first in range(0, len(unfinished), 100) for one in await asyncio.gather(*map(bay.read, unfinished[first : first + 100]))
        ]
        report.say(f"  {len(final)} runs had ended at the time of the backup, {len(open_)} had not")
        ended = Counter((CREATE if one["triggerActionId"] == CREATE else PUT, one["status"]) for one in read)
        report.check("unfinished runs that do not say what became of them", set(ended) - {(CREATE, "uncertain"), (PUT, "failed")}, set())
        opened = [await _opens(server, depot, connection) for connection in _connections(backup)]
        report.check(f"connections that do not open, of {len(opened)}", opened.count(False), 0)
        now = _runs(fresh / "data" / "polyport.db", "true")
        report.check(
            "runs that had ended and are not the same to the byte", sum(now.get(run_id) != row for run_id, row in final.items()), 0
        )
    names = Counter(body for (target, body), count in _arrivals(depot).items() if target.endswith("/things") for _arrival in range(count))
    report.check("runs that must not be repeated and arrived more than once", sum(count > 1 for count in names.values()), 0)


async def _opens(server: Process, depot: Depot, connection: int) -> bool:
    """Whether a connection can be opened: its verify call needs the secret, and only reads."""
    try:
        found = await server.served.fetch("POST", f"/credentials/{connection}/test")
    except aiohttp.ClientError:
        return False
    return found.status == 200 and bool(found.json["data"]["ok"]) and depot.of("GET /me")[-1].headers.get("x-key") == SECRET


async def drill(folder: Path, quick: bool, report: Report) -> None:
    """The whole drill."""
    size = QUICK if quick else FULL
    for round_ in range(size.rounds):
        report.say(f"round {round_ + 1}")
        async with open_depot() as depot:
            depot.answers |= {"POST /things": _slowly}
            await _round(folder / str(round_), depot, size, round_, report)


if __name__ == "__main__":
    sys.exit(run_drill(__doc__, drill))
