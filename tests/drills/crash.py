"""Drill: processes are killed at random moments under mixed load, and nothing is lost, doubled or unexplained.

``make drill`` runs it with 102 kills; ``--quick`` is the short form that runs with the tests. What is killed (SIGKILL) in turn: the one process of a
server; one of two processes; the supervisor of two; the supervisor and both. The load is synchronous and queued runs, with and without an
``Idempotency-Key``, batches, delayed runs, and cancels; after a kill callers repeat what carried a key. The moment is that of a random arrival at the
partner or of a random answer. In the end the partner's count is held against the records:

* lost: a run that was accepted and has no record, or does not end.
* doubled: a request that may not be repeated and came twice; a key with two runs
  that sent anything.
* unexplained: an arrival that no record tells of; an end that does not go with what arrived; a failure that does not say why.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from drilling import FINAL, Report, read_records, run_drill
from e2e.depot import CREATE, PARTNER, PUT, SECRET, Asked, Bay, Depot, open_depot
from e2e.killable import Process, children, running_process
from e2e.served import Reply, answer

VICTIMS: Final = ("process", "one of two", "supervisor", "supervisor and both")
ROUNDS: Final = {
    False: {"process": 34, "one of two": 34, "supervisor": 17, "supervisor and both": 17},
    True: {"process": 1, "one of two": 1, "supervisor": 0, "supervisor and both": 1},
}
WAVE: Final = 8  # of each kind of call in a round
SEED: Final = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
FITS: Final = {  # how often a request that may not be repeated can have come, for each end
    "succeeded": {1},
    "uncertain": {0, 1},
    "failed": {0},
    "cancelled": {0},
}


@dataclass(slots=True)
class Books:
    """What callers were told. ``accepted`` maps runs to the name of their request, ``of_key`` a key to every run it was answered with."""

    accepted: dict[str, str] = field(default_factory=dict)
    of_key: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    repeats: list[Callable[[Bay], Awaitable[None]]] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    cut: int = 0
    repeated: int = 0

    def note(self, told: Reply, *expected: int) -> bool:
        """Count an answer; whether it is one of the expected ones."""
        self.answers[str(told.status)] += 1
        if told.status in expected:
            return True
        if told.status not in {409, 502, 503}:  # in progress, in doubt after a kill, not accepted: all honest
            self.strange.append(f"{told.status} {told.content[:200]!r}")
        return False

    def take(self, told: Reply, name: str, key: str | None) -> None:
        """Keep what a single run was answered with, also when its end was not a success: the record is named."""
        found = told.json
        run_id = found["data"]["runId"] if told.status in {200, 202} else (found.get("error") or {}).get("runId")
        if run_id is not None:
            self.accepted[run_id] = name
            if key is not None:
                self.of_key[key].add(run_id)


class Load:
    """One round's calls of every kind. Each request has a name of its own that the partner gets and the record keeps."""

    def __init__(self, books: Books, names: itertools.count[int]) -> None:
        self._books = books
        self._names = names

    async def _ask(self, bay: Bay, name: str, operation: int, mode: str, key: str | None = None, **more: Any) -> Reply | None:
        data = {"name": name} if operation == CREATE else {"id": name, "name": name}
        try:
            told = await bay.run(operation, data, mode=mode, key=key, metadata={"name": name}, **more)
        except aiohttp.ClientError:
            self._books.cut += 1
            return None
        self._books.note(told, 200, 202)
        self._books.take(told, name, key)
        return told

    async def plain(self, bay: Bay, operation: int, mode: str) -> None:
        """A call that is made once."""
        await self._ask(bay, f"n{next(self._names)}", operation, mode)

    async def keyed(self, bay: Bay, mode: str) -> None:
        """A call with a key, made twice at once, and again after the kill."""
        name = f"k{next(self._names)}"

        async def again(bay: Bay) -> None:
            self._books.repeated += 1
            async with asyncio.timeout(60):
                while (told := await self._ask(bay, name, CREATE, mode, name)) is None or told.status in {409, 503}:  # noqa: ASYNC110  a caller asks again as callers do
                    await asyncio.sleep(0.1)

        self._books.repeats.append(again)
        await asyncio.gather(self._ask(bay, name, CREATE, mode, name), self._ask(bay, name, CREATE, mode, name))

    async def batch(self, bay: Bay) -> None:
        """A batch with a key, made again after the kill."""
        names = [f"b{next(self._names)}" for _run in range(10)]
        body = {
            "triggerActionId": CREATE,
            "credentialData": {"0": bay.connection},
            "runs": [{"runnerData": {"name": name}, "metadata": {"name": name}} for name in names],
        }

        async def ask(bay: Bay) -> bool:
            try:
                told = await bay.served.fetch("POST", "/runs/batch", body, headers={"Idempotency-Key": names[0]})
            except aiohttp.ClientError:
                self._books.cut += 1
                return False
            if not self._books.note(told, 202):
                return False
            for name, run in zip(names, told.json["data"]["runs"], strict=True):
                self._books.accepted[run["runId"]] = name
                self._books.of_key[name].add(run["runId"])
            return True

        async def again(bay: Bay) -> None:
            self._books.repeated += 1
            async with asyncio.timeout(60):
                while not await ask(bay):  # noqa: ASYNC110  as above
                    await asyncio.sleep(0.1)

        self._books.repeats.append(again)
        await ask(bay)

    async def cancelled(self, bay: Bay, *, later: bool) -> None:
        """A queued run that is asked to stop: one that waits for its time, or one that may be under way."""
        more = {"notBefore": int(time.time()) + 2} if later else {}
        told = await self._ask(bay, f"c{next(self._names)}", CREATE, "async", **more)
        if told is None or told.status != 202:
            return
        run_id = told.json["data"]["runId"]
        with contextlib.suppress(aiohttp.ClientError):
            stopped = await bay.served.fetch("POST", f"/runs/{run_id}/cancel")
            if self._books.note(stopped, 200, 202) and stopped.json["data"]["status"] == "cancelled":
                self._books.cancelled.add(run_id)

    def begin(self, bay: Bay) -> list[asyncio.Task[None]]:
        """All of it at once."""
        work = [
            part
            for _each in range(WAVE)
            for part in (
                self.plain(bay, CREATE, "sync"),
                self.plain(bay, PUT, "sync"),
                self.plain(bay, CREATE, "async"),
                self.plain(bay, PUT, "async"),
                self.keyed(bay, "sync"),
                self.keyed(bay, "async"),
                self.cancelled(bay, later=True),
                self.cancelled(bay, later=False),
            )
        ]
        return [asyncio.create_task(part) for part in (*work, self.batch(bay))]


async def _moment(chance: random.Random, depot: Depot, books: Books, tasks: list[asyncio.Task[None]]) -> None:
    """Return at a random arrival or answer, a little later at random; at the latest when all is answered."""
    arrivals, answers = len(depot.wire.asked), books.answers.total()
    by_arrival, count = chance.random() < 0.6, chance.randrange(8 * WAVE)
    while not all(task.done() for task in tasks):
        if (len(depot.wire.asked) - arrivals if by_arrival else books.answers.total() - answers) >= count:
            break
        await asyncio.sleep(0.002)
    await asyncio.sleep(chance.random() * 0.03)


async def _kill(chance: random.Random, server: Process, victim: str) -> None:
    below = children(server.pid)
    if victim == "one of two":
        os.kill(chance.choice(below), signal.SIGKILL)
        return
    await server.kill()
    if victim == "supervisor and both":
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(60):  # orphans let what is under way end, and go
        while any(map(_lives, below)):  # noqa: ASYNC110  processes signal nothing here
            await asyncio.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


async def _repeat(books: Books, bay: Bay) -> None:
    repeats, books.repeats[:] = list(books.repeats), []
    await asyncio.gather(*(again(bay) for again in repeats))


def _judge(report: Report, books: Books, depot: Depot, records: dict[str, dict[str, Any]], kills: int) -> None:
    arrivals = Counter(json.loads(asked.body)["name"] for asked in depot.of("POST /things"))
    put = Counter(json.loads(asked.body)["name"] for asked in depot.wire.asked if asked.method == "PUT")
    known = {run["metadata"]["name"] for run in records.values()}
    open_ = [run_id for run_id, run in records.items() if run["status"] not in FINAL]
    # A synchronous call that was cut before anything was sent gives its key back: its caller's repeat is a run of its own, and what arrived is that one's.
    per_name = Counter(run["metadata"]["name"] for run in records.values() if run["status"] != "failed")
    judged = [run for run in records.values() if run["status"] != "failed" or not per_name[run["metadata"]["name"]]]
    unlike = [f"{run['status']}, {arrivals[run['metadata']['name']]} arrivals" for run in judged if not _fits(run, arrivals, put)]
    silent = [
        run_id for run_id, run in records.items() if run["status"] in {"failed", "uncertain"} and not (run.get("error") or {}).get("code")
    ]
    idle = sum(run["status"] == "uncertain" and not arrivals[run["metadata"]["name"]] for run in records.values())
    ends = Counter(run["status"] for run in records.values())
    report.say(
        f"  records: {len(records)}, of them {dict(ends.most_common())}; arrivals: {arrivals.total()} that may not be repeated, {put.total()} that may"
    )
    report.say(f"  in doubt: {ends['uncertain']}, of them {idle} that never came to the partner")
    report.check("in doubt though nothing came: at most one for each kill", idle <= kills, True)
    report.check("lost: accepted runs without a record", len(books.accepted.keys() - records.keys()), 0)
    report.check("lost: runs that did not end", len(open_), 0)
    report.check("doubled: requests that may not be repeated and came again", sum(count - 1 for count in arrivals.values()), 0)
    report.check("doubled: names with two runs", sum(count - 1 for count in per_name.values()), 0)
    report.check("doubled: keys that were answered with two runs", sum(len(runs) > 1 for runs in books.of_key.values()), 0)
    report.check("unexplained: arrivals that no record tells of", len((arrivals.keys() | put.keys()) - known), 0)
    report.check("unexplained: ends that do not go with what arrived", unlike[:5], [])
    report.check("unexplained: failures that do not say why", len(silent), 0)
    report.check("cancelled runs that came to the partner", sum(arrivals[books.accepted[run_id]] for run_id in books.cancelled), 0)
    report.check("answers that nobody may get", books.strange[:3], [])


def _fits(run: dict[str, Any], arrivals: Counter[str], put: Counter[str]) -> bool:
    name = run["metadata"]["name"]
    if run["triggerActionId"] == CREATE:
        return arrivals[name] in FITS.get(run["status"], set())
    return run["status"] == "failed" or (run["status"] == "succeeded" and put[name] >= 1)  # sync: its caller is gone, a repeat does no harm


async def _rounds(folder: Path, depot: Depot, report: Report, *, quick: bool) -> None:
    chance, books, load = random.Random(SEED), Books(), itertools.count()  # noqa: S311  chance, not a secret
    token, connection, began, kills = "", 0, time.perf_counter(), Counter[str]()
    for victim in VICTIMS:
        left = ROUNDS[quick][victim]
        while left:
            async with running_process(folder, depot, token=token, workers=1 if victim == "process" else 2) as server:
                token, connection = server.served.token, connection or await server.served.connect(PARTNER, {"key": SECRET})
                bay = server.bay(depot, connection)
                await _repeat(books, bay)
                while left:
                    tasks = Load(books, load).begin(bay)
                    await _moment(chance, depot, books, tasks)
                    await _kill(chance, server, victim)
                    kills[victim] += 1
                    left -= 1
                    await asyncio.gather(*tasks)
                    server.served.replies.clear()
                    # A supervisor whose processes die more than six times in ten seconds ends, as it should: it is not asked to bear more.
                    if victim != "one of two" or kills[victim] % 5 == 0:
                        break
                    await _repeat(books, bay)
                    await _both_serve(server)
    async with running_process(folder, depot, token=token) as server:
        bay = server.bay(depot, connection)
        await _repeat(books, bay)
        records = await read_records(bay)
    report.say(f"{kills.total()} kills in {time.perf_counter() - began:.0f} s (seed {SEED}): {dict(kills)}")
    report.say(
        f"  answers {dict(books.answers.most_common())}, {books.cut} calls cut, {books.repeated} calls or batches repeated under their key, "
        f"{len(books.accepted)} runs accepted, {len(books.cancelled)} cancelled before they began"
    )
    _judge(report, books, depot, records, kills.total())


async def _both_serve(server: Process) -> None:
    async with asyncio.timeout(60):
        while len(children(server.pid)) < 2:  # noqa: ASYNC110  processes signal nothing here
            await asyncio.sleep(0.02)


async def drill(folder: Path, quick: bool, report: Report) -> None:
    """The whole drill."""

    async def late(asked: Asked) -> bytes:
        await asyncio.sleep(0.02)
        return answer(201, {"data": {"id": 1, **json.loads(asked.body)}})

    async with open_depot() as depot:
        depot.answers["*"] = late
        depot.answers["GET /me"] = answer(200, {"name": "Depot of Ada"})
        await _rounds(folder, depot, report, quick=quick)


if __name__ == "__main__":
    sys.exit(run_drill(__doc__, drill))
