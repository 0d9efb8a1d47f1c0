"""What a page of ``GET /runs`` takes in a large table. ``python -m bench.paging --runs 10000000``: builds the table, reads pages with every filter, prints.

The table is written as fast as SQLite can, its indexes last; what is measured is the store's own ``page`` over the database as the server opens it. Payloads are
small, so that ten million runs fit on a disk: they take no part in a page. Beside the time that went by stands that of the processor: on a machine that others use
too, the first says more of them than of a page. ``--keep`` leaves the file for the next time.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import apsw

from bench.__main__ import VAR
from polyport.store.repo import Repo
from polyport.store.runs import RunFilter
from polyport.store.sqlite import SqliteDatabase

ACCOUNT: Final = 1
BATCH: Final = 20_000
START: Final = 1_760_000_000_000
STEP_MS: Final = 200
RARE: Final = 50_000  # one run in so many is uncertain
SHOWN: Final = 20

# What a run is of is spread over the table: 60 operations of 12 partners, 5,000 connections, 2,000 users of the account's own.
ROWS: Final = f"""
    WITH RECURSIVE
        numbers (number) AS (SELECT :first UNION ALL SELECT number + 1 FROM numbers WHERE number + 1 < :last),
        drawn AS (SELECT number, {START} + {STEP_MS} * number AS at, (number * 2654435761) % 4294967296 AS draw FROM numbers)
    INSERT INTO runs (run_id, account_id, partner_id, operation_id, connection_id, external_user_id, mode, status, sending, repeatable, attempts,
        priority, reconciles, due_at, created_at, started_at, finished_at, queued_ms, waited_ms, upstream_ms, metadata, sealed_input, sealed_result, sealed_attempts)
    SELECT printf('run_%012x%020x', at, draw), {ACCOUNT}, draw % 12, draw % 60, draw / 64 % 5000, 'user ' || (draw / 128 % 2000), 'async',
        CASE WHEN number % {RARE} = 7 THEN 'uncertain' WHEN draw % 33 = 0 THEN 'failed' ELSE 'succeeded' END, 0, 0, 1,
        1, 0, at, at, at, at, 0, 0, 90, '{{}}', zeroblob(200), zeroblob(200), zeroblob(200)
    FROM drawn
"""  # noqa: S608  nothing in it comes from outside


def main(arguments: Sequence[str]) -> int:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.paging", description=__doc__)
    parser.add_argument("--runs", type=int, default=200_000, help="runs in the table (default 200,000; in full 10,000,000)")
    parser.add_argument("--pages", type=int, default=200, help="pages read for each filter (default 200)")
    parser.add_argument("--keep", type=Path, help="a file to build the table in, or to find it in")
    given = parser.parse_args(arguments)
    VAR.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="paging-", dir=VAR) as folder:
        path = given.keep or Path(folder) / "runs.db"
        if not path.exists():
            asyncio.run(_migrate(path))
            build(path, given.runs)
        print(f"{given.runs:,} runs, {path.stat().st_size / 1e9:.1f} GB; pages of {SHOWN}, milliseconds\n")
        asyncio.run(_measure(path, given.runs, given.pages))
    return 0


async def _migrate(path: Path) -> None:
    await (await SqliteDatabase.open(path)).close()


async def _measure(path: Path, runs: int, pages: int) -> None:
    database = await SqliteDatabase.open(path)
    try:
        print(f"{'filter':44} {'first':>8} {'p50':>8} {'p99':>8} {'most':>8} {'CPU p50':>8} {'CPU p99':>8}  runs a page")
        for name, wanted in _filters(runs):
            await _read(Repo(database), name, wanted, runs, pages)
    finally:
        await database.close()


def _filters(runs: int) -> Iterator[tuple[str, RunFilter]]:
    middle = START + STEP_MS * runs // 2
    yield "none", RunFilter()
    yield "status=succeeded", RunFilter(status="succeeded")
    yield "status=failed (3 %)", RunFilter(status="failed")
    yield f"status=uncertain (1 in {RARE:,})", RunFilter(status="uncertain")
    yield "status=queued (none)", RunFilter(status="queued")
    yield "partnerId", RunFilter(partner_id=3)
    yield "triggerActionId", RunFilter(operation_id=33)
    yield "credentialId", RunFilter(connection_id=777)
    yield "externalUserId", RunFilter(external_user_id="user 77")
    yield "from, to", RunFilter(after=f"run_{middle - 3_600_000:012x}", before=f"run_{middle:012x}")
    yield "credentialId, status=failed", RunFilter(connection_id=777, status="failed")
    yield "partnerId, status=uncertain", RunFilter(partner_id=3, status="uncertain")
    yield "partnerId, status=succeeded", RunFilter(partner_id=3, status="succeeded")
    yield "triggerActionId, another partner (none fit)", RunFilter(operation_id=33, partner_id=4)
    yield "externalUserId, triggerActionId", RunFilter(external_user_id="user 77", operation_id=33)


async def _read(repo: Repo, name: str, wanted: RunFilter, runs: int, pages: int) -> None:
    """Pages from the newest on, and from places all over the table."""
    numbers, took, busy, shown = random.Random(name), [], [], []  # noqa: S311  it chooses places, it protects nothing
    for number in range(pages):
        place = f"run_{START + STEP_MS * numbers.randrange(runs):012x}"
        before = wanted.before if number == 0 or wanted.after != RunFilter().after else place
        asked = RunFilter(**{name: getattr(wanted, name) for name in RunFilter.__slots__} | {"before": before})
        began, worked = time.perf_counter(), time.process_time()
        found = await repo.runs.page(ACCOUNT, asked, limit=SHOWN)
        took.append((time.perf_counter() - began) * 1000)
        busy.append((time.process_time() - worked) * 1000)
        shown.append(len(found.runs))
    told = (took[0], _part(took, 50), _part(took, 99), max(took), _part(busy, 50), _part(busy, 99))
    print(f"{name:44} {' '.join(f'{value:8.2f}' for value in told)}  {sum(shown) / len(shown):.1f}", flush=True)


def _part(values: Sequence[float], percent: int) -> float:
    return sorted(values)[len(values) * percent // 100]


def build(path: Path, runs: int, *, fresh: bool = True) -> None:
    """Write the table. ``fresh``: the account of the runs is written too; else it is there, the first of a server."""
    connection = apsw.Connection(str(path))
    for pragma in ("journal_mode=WAL", "synchronous=OFF", "cache_size=-400000", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    if fresh:
        connection.execute("INSERT INTO accounts VALUES (?, 'A company', x'00', 0)", (ACCOUNT,))
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'runs' AND sql NOT NULL"
    ).fetchall()
    for name, _sql in indexes:
        connection.execute(f"DROP INDEX {name}")
    began = time.monotonic()
    for first in range(0, runs, BATCH):
        connection.execute(ROWS, {"first": first, "last": min(runs, first + BATCH)})
        print(f"{first:,} of {runs:,} runs after {time.monotonic() - began:.0f} s", end="\r", file=sys.stderr, flush=True)
    for _name, sql in indexes:
        connection.execute(str(sql))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    print(f"built in {time.monotonic() - began:.0f} s" + " " * 30, file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
