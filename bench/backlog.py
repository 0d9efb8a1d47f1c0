"""What a long queue of one account costs everybody. ``python -m bench.backlog --runs 1000000``: each statement of the queue beside a short queue and beside a long one.

The account's runs wait in few lanes or in many (connections and operations); a second account has a few runs of its own. What is measured is the processor's time for
what accepting, claiming, listing and looking around do over the database as the server opens it. What does not grow with the queue is flat from left to right.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
from msgspec.structs import replace

from bench.__main__ import VAR
from polyport.queue.database import LANES, DatabaseQueue
from polyport.queue.processes import ProcessLock
from polyport.store.records import Lane, Run, RunStatus
from polyport.store.repo import Repo
from polyport.store.runs import RunFilter
from polyport.store.sqlite import SqliteDatabase

LOUD: Final = 1
QUIET: Final = 2
NOW: Final = 1_790_000_000_000
SHORT: Final = 1_000
BATCH: Final = 20_000
TIMES: Final = 30

ROWS: Final = f"""
    WITH RECURSIVE numbers (number) AS (SELECT :first UNION ALL SELECT number + 1 FROM numbers WHERE number + 1 < :last)
    INSERT INTO runs (run_id, account_id, partner_id, operation_id, connection_id, mode, status, sending, repeatable, attempts, priority, reconciles, due_at,
        created_at, queued_ms, waited_ms, metadata, sealed_input)
    SELECT printf('run_%012x%020x', {NOW} - 3600000 + number, number), :account, 10, 100 + number % :operations, 1000 + number % :connections, 'async', 'queued',
        0, 1, 0, 1, 0, {NOW} - 3600000 + number, {NOW} - 3600000 + number, 0, 0, '{{}}', zeroblob(200)
    FROM numbers
"""  # noqa: S608  nothing in it comes from outside


def main(arguments: Sequence[str]) -> int:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.backlog", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="runs that wait (default 100,000; in full 1,000,000)")
    runs = parser.parse_args(arguments).runs
    VAR.mkdir(exist_ok=True)
    found: list[dict[str, float]] = []
    shapes = [(SHORT, 1), (runs, 1), (SHORT, 1_000), (runs, 1_000), (runs, 5_000)]
    for count, connections in shapes:
        with tempfile.TemporaryDirectory(prefix="backlog-", dir=VAR) as folder:
            found.append(asyncio.run(_measure(Path(folder), count, connections)))
    print("processor time, microseconds, median\n")
    print(f"{'':34}" + "".join(f"{count:>11,}" for count, _connections in shapes) + "  runs that wait")
    print(f"{'':34}" + "".join(f"{connections:>11,}" for _count, connections in shapes) + "  connections they are of")
    for name in found[0]:
        print(f"{name:34}" + "".join(f"{told[name]:>11,.0f}" for told in found))
    return 0


async def _measure(folder: Path, runs: int, connections: int) -> dict[str, float]:
    path = folder / "runs.db"
    await (await SqliteDatabase.open(path)).close()
    _build(path, runs, connections)
    database = await SqliteDatabase.open(path)
    try:
        return await _times(database, folder)
    finally:
        await database.close()


async def _times(database: SqliteDatabase, folder: Path) -> dict[str, float]:
    repo, queue = Repo(database), DatabaseQueue(database, ProcessLock(folder))
    like = (await repo.runs.page(QUIET, RunFilter(), limit=1)).runs[0]
    numbers = iter(range(10_000))

    async def accept() -> None:
        await repo.runs.insert(
            replace(like, run_id=f"run_{NOW:012x}{next(numbers):020x}", status=RunStatus.QUEUED, sealed_input=b"x" * 200)
        )

    async def claim() -> None:
        queue.announce(like)
        await queue.claim("me", 1, NOW, lambda lane: lane.account_id == QUIET)

    async def claim_many() -> Sequence[Run]:
        queue.announce(like)
        return await queue.claim("me", 64, NOW)

    async def depth() -> None:
        queue._depths._known.clear()  # noqa: SLF001  as it is when it was not asked for a while
        await queue.depth()
        await queue.depth(LOUD)

    async def look() -> None:
        await database.read("lanes_after", {"account_id": 0, "place": 0, "operation_id": 0, "now": NOW, "limit": LANES})

    steps: dict[str, Callable[[], Awaitable[Any]]] = {
        "accept a run": accept,
        "claim a run of the other account": claim,
        "claim 64 runs in turns": claim_many,
        "when is the next run due": lambda: database.read("next_due"),
        "which lanes are due, the first 200": look,
        "how many wait": depth,
        "say why a lane waits": lambda: repo.runs.hold(Lane(LOUD, 1000, 100, 10), error="{}", limit=20, now=NOW),
        "a page of what waits": lambda: repo.runs.page(LOUD, RunFilter(status="queued"), limit=20),
        "a page of the other account": lambda: repo.runs.page(QUIET, RunFilter(), limit=20),
    }
    return {name: await _median(step) for name, step in steps.items()}


async def _median(step: Callable[[], Awaitable[Any]]) -> float:
    took: list[float] = []
    for _time in range(TIMES):
        began = time.process_time()
        await step()
        took.append((time.process_time() - began) * 1e6)
    return sorted(took)[len(took) // 2]


def _build(path: Path, runs: int, connections: int) -> None:
    connection = apsw.Connection(str(path))
    for pragma in ("journal_mode=WAL", "synchronous=OFF", "cache_size=-400000", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    for account in (LOUD, QUIET):
        connection.execute("INSERT INTO accounts VALUES (?, 'A company', x'00', 0)", (account,))
    began = time.monotonic()
    for first in range(0, runs, BATCH):
        last = min(runs, first + BATCH)
        connection.execute(ROWS, {"first": first, "last": last, "account": LOUD, "operations": 1, "connections": connections})
    connection.execute(ROWS, {"first": 0, "last": 5_000, "account": QUIET, "operations": 1, "connections": 1})
    connection.execute("INSERT INTO waiting_runs SELECT account_id, partner_id, COUNT(*) FROM runs GROUP BY account_id, partner_id")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    print(f"{runs:,} runs of {connections:,} connections built in {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
