"""Drill: one account has a long queue and one connection hangs; another account's calls are as quick as before.

``make drill`` runs it; ``--quick`` is the short form that runs with the tests. First the quiet account calls alone, then again while the loud one has a
backlog (in full a million runs, written into the database while the server is down) at a partner that takes a second for each call, and one connection answers nothing. Both kinds of runs are measured: synchronous ones, and queued ones from acceptance to their end.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw

from drilling import Callers, Report, run_drill
from e2e.depot import PARTNER, PUT, SECRET, Asked, Depot, open_depot
from e2e.killable import Process, running_process
from e2e.metered import make_accounts
from e2e.served import OTHER_EMAIL, PASSWORD, answer, make_settings
from polyport.engine.record import new_run_id
from polyport.runtime import open_runtime
from polyport.store.queries import load_queries
from polyport.store.rows import params


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Runs of the backlog, how many of them are written beforehand, runs of the connection that hangs, callers, and for how long (seconds) each part is measured."""

    backlog: int
    written: int
    hanging: int
    callers: int
    seconds: float


FULL: Final = Size(backlog=1_000, written=998_000, hanging=300, callers=4, seconds=20)
QUICK: Final = Size(backlog=300, written=6_000, hanging=80, callers=2, seconds=2)


async def _flood(server: Process, connection: int, count: int, name: str) -> None:
    path = f"/partners/trigger-actions/{PUT}/run/async"
    body = {"credentialData": {"0": connection}, "runnerData": {"id": name}}
    for _hundred in range(0, count, 20):
        told = await asyncio.gather(*(server.served.call("POST", path, body) for _run in range(min(20, count))))
        if {one[0] for one in told} != {202}:
            raise RuntimeError(f"the backlog was not accepted: {told[0]}")


async def _write(data: Path, run_id: str, count: int) -> None:
    """Write many due runs like one that was accepted, each sealed as its own; past the store, whose commits would take most of the time."""
    async with open_runtime(make_settings(data)) as runtime:
        box, like, now = await runtime.boxes.of(1), await runtime.repo.runs.get(1, run_id), runtime.now_ms()
    if like is None or like.sealed_input is None:
        raise RuntimeError("there is no run to write others like")
    content = box.open(like.sealed_input, f"run/{run_id}/input")
    given = {**params(like), "only_user": None, "due_at": now, "waited_ms": 0}

    def rows() -> Iterator[dict[str, Any]]:
        for _run in range(count):
            each = new_run_id(now)
            yield {**given, "run_id": each, "sealed_input": box.seal(content, f"run/{each}/input")}

    connection = apsw.Connection(str(data / "polyport.db"))
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -400000")
    with connection:
        connection.executemany(load_queries()["insert_run"].sql, rows())
        connection.execute(
            load_queries()["count_waiting"].sql, {"account_id": like.account_id, "partner_id": like.partner_id, "runs": count}
        )
    connection.close()


def _begin(callers: Callers, server: Process, connection: int, token: str, size: Size) -> None:
    names = itertools.count()

    async def post(mode: str) -> tuple[int, Any]:
        body = {"credentialData": {"0": connection}, "runnerData": {"id": f"quiet{next(names)}"}}
        status, _headers, told = await server.served.call("POST", f"/partners/trigger-actions/{PUT}/run/{mode}", body, token=token)
        return status, told

    async def sync() -> str:
        status, told = await post("sync")
        return "" if status == 200 else f"{status} {told}"

    async def queued() -> str:
        status, told = await post("async")
        if status != 202:
            return f"{status} {told}"
        run_id = told["data"]["runId"]
        while True:
            found = (await server.served.call("GET", f"/runs/{run_id}", token=token))[2]["data"]
            if found["status"] in {"succeeded", "failed", "uncertain"}:
                return "" if found["status"] == "succeeded" else f"{found}"
            await asyncio.sleep(0.01)

    callers.begin("synchronous", sync, size.callers)
    callers.begin("queued", queued, size.callers)


async def _measure(server: Process, connection: int, token: str, size: Size) -> tuple[Callers, str]:
    callers, began = Callers(), time.perf_counter()
    _begin(callers, server, connection, token, size)
    await asyncio.sleep(size.seconds)
    await callers.end()
    return callers, callers.spread(began, time.perf_counter())


def _come(depot: Depot, name: str) -> int:
    return sum(asked.target.endswith(f"/things/{name}") for asked in depot.wire.asked)


async def drill(folder: Path, quick: bool, report: Report) -> None:
    """The whole drill."""
    size = QUICK if quick else FULL
    await make_accounts(folder / "data", OTHER_EMAIL)

    held = [0, 0]  # now, and at most

    async def usual(asked: Asked) -> bytes | None:
        if asked.target.endswith("/things/hangs"):
            held[0] += 1
            held[1] = max(held)
            try:
                await asyncio.Event().wait()
            finally:
                held[0] -= 1
        if asked.target.endswith("/things/loud"):
            await asyncio.sleep(1)
        return answer(200, {"data": {}, "name": "Depot"})

    given = {"workers": 2, "partner_breaker_failures": 0, "partner_timeout": 120}
    async with open_depot() as depot:
        depot.answers["*"] = usual
        async with running_process(folder, depot, **given) as server:
            loud = await server.served.connect(PARTNER, {"key": SECRET})
            hangs = await server.served.connect(PARTNER, {"key": SECRET})
            token = str((await server.served.sign_in(OTHER_EMAIL, PASSWORD))["authToken"])
            quiet = await server.served.connect(PARTNER, {"key": SECRET}, token=token)
            alone, before = await _measure(server, quiet, token, size)
            accepted = await server.bay(depot, loud).run(PUT, {"id": "loud"}, mode="async", notBefore=int(time.time()) + 7 * 86_400)
            await server.stop()
        await _write(folder / "data", accepted.json["data"]["runId"], size.written)
        async with running_process(folder, depot, token=server.served.token, **given) as server:
            await _flood(server, hangs, size.hanging, "hangs")
            await _flood(server, loud, size.backlog, "loud")
            waiting = (await server.served.fetch("GET", "/readyz", token=None)).json["data"]["checks"]["queued"]
            beside, during = await _measure(server, quiet, token, size)
            left = (await server.served.fetch("GET", "/readyz", token=None)).json["data"]["checks"]["queued"]
        report.say(
            f"2 processes; {waiting} runs waited when the measurement began and {left} at its end, {size.hanging} of them of a connection that hangs"
        )
        report.say(f"  the quiet account alone:  {before}")
        report.say(f"  the quiet account beside: {during}")
        report.say(f"  meanwhile the loud one had {_come(depot, 'loud')} runs sent, the one that hangs {_come(depot, 'hangs')}")
        report.check("the backlog was there all the time", min(waiting, left) > size.hanging, True)
        report.check("calls of the quiet account that failed", (alone.failed + beside.failed)[:3], [])
        report.check(
            "kinds of calls of the quiet account that stood still", [name for name, taken in beside.taken.items() if not taken], []
        )
        report.say(f"  the connection that hangs held {held[1]} places at most")
        report.check("places that the connection that hangs held beyond a quarter of each process", held[1] > 2 * 64, False)


if __name__ == "__main__":
    sys.exit(run_drill(__doc__, drill))
