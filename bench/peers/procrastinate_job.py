"""A job of procrastinate's that does nothing. It runs in a Python of its own: ``work`` works, ``JOBS`` as a number puts jobs and waits for them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

import psycopg
from procrastinate import App, PsycopgConnector

URL = os.environ["QUEUE_URL"]
AT_ONCE = 16
app = App(connector=PsycopgConnector(conninfo=URL))


async def nothing(number: int) -> int:
    """Do nothing."""
    return number


job = app.task(nothing, name="nothing")


async def main(asked: str) -> None:
    """Make the tables, work, or put jobs; then print when that began, when all were accepted, when all were done."""
    async with app.open_async():
        if asked == "tables":
            await app.schema_manager.apply_schema_async()
        elif asked == "work":
            await app.run_worker_async(concurrency=AT_ONCE, install_signal_handlers=True)
        else:
            await _put(int(asked))


async def _put(jobs: int) -> None:
    async with await psycopg.AsyncConnection.connect(URL, autocommit=True) as watching:
        await job.defer_async(number=0)
        await _wait(watching)
        numbers, began = iter(range(jobs)), time.monotonic()

        async def caller() -> None:
            for number in numbers:
                await job.defer_async(number=number)

        await asyncio.gather(*(caller() for _caller in range(AT_ONCE)))
        accepted = time.monotonic()
        await _wait(watching)
        print(json.dumps({"began": began, "accepted": accepted, "ended": time.monotonic()}))


async def _wait(watching: psycopg.AsyncConnection) -> None:
    """Return when no job waits and none is under way."""
    while True:
        left = await watching.execute("SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))")
        row = await left.fetchone()
        if row is not None and not row[0]:
            return
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
