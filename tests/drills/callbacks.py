"""Drill: receivers of callbacks answer late, with 500, never, or are not there, processes are killed in the middle, and every end of a run is told.

``make drill`` runs it with 30 kills; ``--quick`` is the short form that runs with the tests. Runs of every end (succeeded, failed, uncertain, cancelled) name a
callback address of one of several receivers: one answers at once, one late, one with 500 the first time, one not at all the first time, one hangs up without
an answer the first time, one is not there at first, and one says that it is gone, until its dead letters are replayed. The receivers note what came and when.
In the end they are held against the records: each run was told, under one event id, with its true end, signed, and in bounded time.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import socket
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from drilling import Report, read_records, run_drill
from e2e.depot import CREATE, PARTNER, SECRET, Asked, Bay, Depot, open_depot
from e2e.killable import Process, children, running_process
from e2e.served import answer, upstream

PATIENCE: Final = 3  # seconds that a receiver gets: the setting events.timeout
LEASE: Final = PATIENCE + 15  # how long nobody else sends what a dead process was sending
FIRST: Final = ("broken", "hangs", "leaves")  # fail the first time
KINDS: Final = ("prompt", "late", *FIRST, "absent", "gone")
SEED: Final = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
SETTLED: Final = 403  # for what was cut and then failed: the wait before a third attempt is five minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Rounds with a kill, runs of each kind and receiver in a round, receivers that get calls while processes are killed, seconds for all to arrive."""

    rounds: int
    wave: int
    under_fire: tuple[str, ...]
    seconds: float


FULL: Final = Size(rounds=30, wave=4, under_fire=KINDS, seconds=SETTLED)
QUICK: Final = Size(rounds=2, wave=2, under_fire=("prompt", "late"), seconds=60)


@dataclass(slots=True)
class Receivers:
    """What came, by run: the ids of its events, the ends that they told, when it was first taken; and how often a signature did not fit."""

    secret: str = ""
    mended: bool = False
    ids: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    ends: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    taken: dict[str, float] = field(default_factory=dict)
    came: Counter[str] = field(default_factory=Counter)
    unsigned: int = 0
    _met: set[str] = field(default_factory=set)

    def handler(self, kind: str) -> Callable[[Asked], Awaitable[bytes | None]]:
        """How a receiver of this kind answers."""

        async def handle(asked: Asked) -> bytes | None:
            event_id, told = asked.headers.get("webhook-id", ""), json.loads(asked.body)["data"]
            try:
                Webhook(self.secret).verify(asked.body, dict(asked.headers))
            except WebhookVerificationError:
                self.unsigned += 1
            run_id, again = told["runId"], event_id in self._met
            self._met.add(event_id)
            self.came[run_id] += 1
            self.ids[run_id].add(event_id)
            self.ends[run_id].add(told["status"])
            if kind == "late":
                await asyncio.sleep(0.3)
            if kind in FIRST and not again:
                if kind == "hangs":
                    await asyncio.sleep(3 * PATIENCE)
                return answer(500) if kind == "broken" else None
            if kind == "gone" and not self.mended:
                return answer(410)
            self.taken.setdefault(run_id, time.time())
            return answer(204)

        return handle


@dataclass(slots=True)
class Load:
    """Runs of every end, told to the receivers. ``urls`` maps kinds to addresses."""

    urls: dict[str, str]
    names: itertools.count[int] = field(default_factory=itertools.count)
    cut: int = 0

    async def _ask(self, bay: Bay, kind: str, mode: str, **more: Any) -> str | None:
        name = f"{kind} {next(self.names)}"
        try:
            told = await bay.run(CREATE, {"name": name}, mode=mode, callbackUrl=f"{self.urls[kind]}/hook", metadata={"kind": kind}, **more)
        except aiohttp.ClientError:
            self.cut += 1
            return None
        return str(told.json["data"]["runId"]) if told.status == 202 else None

    async def _cancelled(self, bay: Bay, kind: str) -> None:
        run_id = await self._ask(bay, kind, "async", notBefore=int(time.time()) + 3600)
        with contextlib.suppress(aiohttp.ClientError):
            while run_id is not None and (await bay.served.fetch("POST", f"/runs/{run_id}/cancel")).status == 503:  # noqa: ASYNC110  callers ask again
                await asyncio.sleep(0.1)

    def begin(self, bay: Bay, kinds: tuple[str, ...], wave: int) -> list[asyncio.Task[Any]]:
        """A wave of runs, all at once."""
        work = [self._ask(bay, kind, mode) for kind in kinds for mode in ("sync", "async") for _run in range(wave)]
        return [asyncio.create_task(part) for part in (*work, *(self._cancelled(bay, kind) for kind in kinds))]


async def _cancel_what_nobody_knows(bay: Bay) -> None:
    """Cancel delayed runs whose acceptance was cut off: their caller never heard their ids."""
    while found := (await bay.served.fetch("GET", "/runs?status=queued&per-page=100")).json["data"]:
        for run in found:
            await bay.served.fetch("POST", f"/runs/{run['runId']}/cancel")


async def _partner(asked: Asked) -> bytes:
    """Of five runs three succeed, one is refused, one is left in doubt."""
    await asyncio.sleep(0.01)
    if asked.method == "GET":
        return answer(200, {"name": "Depot"})
    number = int(json.loads(asked.body)["name"].split()[1])
    return answer({3: 422, 4: 500}.get(number % 5, 201), {"data": {"id": number}, "message": "No."})


async def _kill(chance: random.Random, server: Process, receivers: Receivers, *, whole: bool) -> None:
    """Kill one process, or the supervisor and both, when a random number of callbacks came."""
    came, wanted = receivers.came.total(), chance.randrange(40)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(3):
            while receivers.came.total() - came < wanted:  # noqa: ASYNC110  the receivers signal nothing
                await asyncio.sleep(0.002)
    await asyncio.sleep(chance.random() * 0.2)
    below = children(server.pid)
    if not whole:
        os.kill(chance.choice(below), signal.SIGKILL)
        return
    await server.kill()
    for pid in below:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def _under_fire(folder: Path, depot: Depot, load: Load, receivers: Receivers, size: Size) -> tuple[str, int]:
    """Rounds with a kill each; the token and the connection to go on with."""
    chance, token, connection, left = random.Random(SEED), "", 0, size.rounds  # noqa: S311  chance, not a secret
    while left:
        async with running_process(folder, depot, token=token, workers=2, events_timeout=PATIENCE) as server:
            served = server.served
            token, connection = served.token, connection or await served.connect(PARTNER, {"key": SECRET})
            if not receivers.secret:
                receivers.secret = (await served.call("POST", "/account/callback-secret/rotate", {}))[2]["data"]["secret"]
            whole = False
            while left and not whole:
                async with asyncio.timeout(120):
                    while len(children(server.pid)) < 2:  # noqa: ASYNC110  processes signal nothing here
                        await asyncio.sleep(0.02)
                tasks = load.begin(server.bay(depot, connection), size.under_fire, size.wave)
                whole = left % 3 == 1
                await _kill(chance, server, receivers, whole=whole)
                await asyncio.gather(*tasks)
                served.replies.clear()
                left -= 1
    return token, connection


async def _events(bay: Bay) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = (await bay.served.fetch("GET", f"/events?per-page=100&type=run.finished&cursor={cursor}")).json
        found += page["data"]
        if not page["meta"]["hasMore"]:
            return found
        cursor = page["meta"]["nextCursor"]


async def _settled(bay: Bay, seconds: float) -> tuple[list[dict[str, Any]], float]:
    """The events once none waits for an attempt any more, at the latest after a while; and how long that took."""
    began = time.monotonic()
    while True:
        events = await _events(bay)
        if all(event["status"] != "pending" for event in events) or time.monotonic() - began > seconds:
            return events, time.monotonic() - began
        await asyncio.sleep(0.5)


def _judge(report: Report, receivers: Receivers, records: dict[str, dict[str, Any]], events: list[dict[str, Any]], load: Load) -> None:
    ends = Counter(run["status"] for run in records.values())
    report.say(
        f"  {len(records)} runs with a callback, of them {dict(ends.most_common())}; {load.cut} calls cut; {receivers.came.total()} callbacks came"
    )
    for kind in KINDS:
        of_kind = {run_id: run for run_id, run in records.items() if run["metadata"]["kind"] == kind}
        waits = sorted(receivers.taken[run_id] - run["finishedAt"] for run_id, run in of_kind.items() if run_id in receivers.taken)
        more = sum(receivers.came[run_id] - 1 for run_id in of_kind if run_id in receivers.came)
        if waits:
            report.say(
                f"  {kind:7} {len(waits):5} told, taken after {waits[len(waits) // 2]:.1f} s in the middle, {waits[-1]:.1f} s at most; {more} came again"
            )
    silent = [run_id for run_id in records if run_id not in receivers.taken]
    waiting = [event for event in events if event["status"] == "pending"]
    wrong = [(run["status"], receivers.ends[run_id]) for run_id, run in records.items() if receivers.ends[run_id] - {run["status"]}]
    report.check("runs that did not end", [run["status"] for run in records.values() if run.get("finishedAt") is None], [])
    report.check("ends that were told to nobody and wait for no attempt", len(silent) - len(waiting), 0)
    report.say(f"  {len(waiting)} ends wait for a later attempt: they were cut twice and failed once")
    report.check("ends that wait although they were not tried three times", sum(event["attempts"] < 3 for event in waiting), 0)
    report.check("runs with more than one event id", sum(len(ids) > 1 for ids in receivers.ids.values()), 0)
    report.check("events of runs that there are not", len(receivers.ids.keys() - records.keys()), 0)
    report.check("events without their run, or runs without their event", len(events) - len(records), 0)
    report.check("callbacks that told another end than the record", wrong[:3], [])
    report.check("callbacks whose signature did not fit", receivers.unsigned, 0)
    report.check("events that no answer of 2xx stands behind", [event["status"] for event in events if event["status"] == "dead"], [])


async def drill(folder: Path, quick: bool, report: Report) -> None:
    """The whole drill."""
    size, receivers = QUICK if quick else FULL, Receivers()
    async with contextlib.AsyncExitStack() as stack:
        listener = stack.enter_context(socket.socket())  # bound, but not listening: whoever calls is refused
        listener.bind(("127.0.0.1", 0))
        depot = await stack.enter_async_context(open_depot())
        depot.answers["*"] = _partner
        urls = {"absent": f"http://127.0.0.1:{listener.getsockname()[1]}"}
        for kind in KINDS:
            if kind != "absent":
                urls[kind] = (await stack.enter_async_context(upstream(receivers.handler(kind)))).origin
        load, began = Load(urls), time.perf_counter()
        token, connection = await _under_fire(folder, depot, load, receivers, size)
        fired = time.perf_counter() - began
        async with running_process(folder, depot, token=token, workers=2, events_timeout=PATIENCE) as server:
            bay = server.bay(depot, connection)
            await asyncio.gather(*load.begin(bay, KINDS, size.wave))
            await _cancel_what_nobody_knows(bay)
            await asyncio.sleep(1)  # the first attempts at the absent one are over
            await stack.enter_async_context(upstream(receivers.handler("absent"), listener))
            events, _took = await _settled(bay, size.seconds)
            dead = Counter(event["url"] for event in events if event["status"] == "dead")
            receivers.mended = True
            replayed = (await bay.served.call("POST", "/events/replay", {}))[2]["data"]
            events, took = await _settled(bay, size.seconds)
            records = await read_records(bay)
    report.say(
        f"{size.rounds} kills in {fired:.0f} s (seed {SEED}); a receiver gets {PATIENCE} s, what a dead process was sending is due after {LEASE} s"
    )
    report.check(
        "dead letters of other receivers than the one that was gone",
        {url: count for url, count in dead.items() if url != f"{urls['gone']}/hook"},
        {},
    )
    report.say(f"  {dead.total()} dead letters, {replayed['replayed']} replayed, all settled {took:.1f} s later")
    _judge(report, receivers, records, events, load)


if __name__ == "__main__":
    sys.exit(run_drill(__doc__, drill))
