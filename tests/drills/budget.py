"""Drill: three processes share a partner's budgets; the partner counts what comes in every stretch of a window, and who waits takes turns.

``make drill`` runs it; ``--quick`` is the short form that runs with the tests. Two servers (one of them of two processes) share one data folder. The partner
allows so many calls a second for a connection, and so many for all together. One connection has a long queue, three have short ones, and synchronous
callers want their share. The partner notes when each request came, and the records of the runs tell when each was sent: what came too close together but was
sent in time was held up on the way, by a machine that is busy.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from drilling import Callers, Report, run_drill
from e2e.killable import Process, running_process
from e2e.metered import METERED, PLAIN, Meter, ended, most_in, most_of, open_meter, run, write_metered

OWN, ALL, SECONDS = 20, 40, 1
_BUDGETS: Final = f"""
  - {{name: burst, limit: {OWN}, seconds: {SECONDS}}}
  - {{name: all, per: app, limit: {ALL}, seconds: {SECONDS}}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Runs of the long queue and of each short one, synchronous callers and for how many seconds they call."""

    many: int
    few: int
    callers: int
    seconds: float


FULL: Final = Size(many=1_500, few=100, callers=4, seconds=40)
QUICK: Final = Size(many=60, few=10, callers=2, seconds=3)


async def _queue(server: Process, connection: int, count: int) -> list[str]:
    ids: list[str] = []
    for start in range(0, count, 10):
        told = await asyncio.gather(
            *(run(server.served, PLAIN, connection, f"q{number}") for number in range(start, min(count, start + 10)))
        )
        ids += [one[2]["data"]["runId"] for one in told]
    return ids


def _count(report: Report, meter: Meter, began: float) -> None:
    came = meter.came["plain"]
    moments = [moment for moment, _key, _which in came]
    spent = max(moments) - began
    report.say(f"{len(came)} requests in {spent:.1f} s: {len(came) / spent:.1f} a second of {ALL} that are allowed")
    most = most_of(meter, SECONDS, "plain")
    report.say(f"  the partner's own program stood still for {meter.lag * 1000:.0f} ms at most: stretches are {SECONDS} s less that")
    report.say(f"  the most in any stretch: {most} in all")
    report.check(f"stretches with more than {ALL} in all", most > ALL, False)
    for key in sorted({key for _moment, key, _which in came}):
        own = most_of(meter, SECONDS, "plain", key)
        last = max(moment for moment, other, _which in came if other == key) - began
        report.say(f"  connection {key}: {own} at most, {sum(other == key for _m, other, _w in came)} in all, the last after {last:.1f} s")
        report.check(f"stretches with more than {OWN} of connection {key}", own > OWN, False)


async def _count_sent(report: Report, server: Process, run_ids: list[str], places: dict[str, str]) -> None:
    """What was sent in any stretch of a window, by the clock of who sent it."""
    turns, sent = asyncio.Semaphore(16), list[tuple[float, str]]()

    async def read(run_id: str) -> None:
        async with turns:
            told = (await server.served.call("GET", f"/runs/{run_id}/attempts"))[2]["data"]
            server.served.replies.clear()
        sent.extend((exchange["startedAt"], places[run_id]) for attempt in told for exchange in attempt["exchanges"])

    await asyncio.gather(*map(read, run_ids))
    report.say(f"by the senders' clock, in any stretch of {SECONDS} s:")
    most = most_in((moment for moment, _key in sent), SECONDS)
    report.check(f"  more than {ALL} in all ({most} at most)", most > ALL, False)
    for key in sorted(set(places.values())):
        own = most_in((moment for moment, other in sent if other == key), SECONDS)
        report.check(f"  more than {OWN} of connection {key} ({own} at most)", own > OWN, False)


async def drill(folder: Path, quick: bool, report: Report) -> None:
    """The whole drill."""
    size = QUICK if quick else FULL
    async with open_meter() as meter:
        partner = write_metered(folder, budgets=_BUDGETS, plain="{}")
        given = {"connectors": partner, "partner_metered_base_url": meter.origin}
        async with running_process(folder, meter, workers=2, **given) as one, running_process(folder, meter, **given) as two:
            long, *short = [await one.served.connect(METERED, {"key": key}) for key in ("long", "a", "b", "c")]
            began = time.monotonic()
            queued = await _queue(one, long, size.many)
            places = dict.fromkeys(queued, "long")
            for key, place in zip("abc", short, strict=True):
                for run_id in await _queue(random.choice([one, two]), place, size.few):  # noqa: S311  any will do
                    places[run_id] = key
            queued = list(places)
            waiting = (await one.served.call("GET", "/runs?status=waiting"))[2]["data"]
            callers, names, refused = Callers(), itertools.count(), [0]

            async def call() -> str:
                server = random.choice([one, two])  # noqa: S311  any will do
                place = random.randrange(len(short))  # noqa: S311  any will do
                status, _headers, told = await run(server.served, PLAIN, short[place], f"s{next(names)}", "sync")
                if status == 200:
                    places[told["data"]["runId"]] = "abc"[place]
                if status == 424 and told["error"].get("reason") == "budget":
                    refused[0] += 1
                    await asyncio.sleep(min(2.0, told["error"]["retryAfterMs"] / 1000))
                    return ""
                return "" if status == 200 else f"{status} {told}"

            callers.begin("synchronous", call, size.callers)
            await asyncio.sleep(size.seconds)
            await callers.end()
            found = [await ended(one.served, run_id, seconds=600) for run_id in queued]
            report.say(
                f"3 processes, 4 connections: {size.many} + 3 x {size.few} queued runs, {callers.count()} synchronous calls, {refused[0]} of them were told to wait"
            )
            report.say(f"  {len(waiting)} runs of the first page said that they wait for a budget")
            _count(report, meter, began)
            await _count_sent(report, one, list(places), places)
            report.check("calls that failed", callers.failed[:3], [])
            report.check(
                "queued runs that did not succeed at their first attempt",
                sum((one["status"], one["attempts"]) != ("succeeded", 1) for one in found),
                0,
            )
            sent = [which for _moment, _key, which in meter.came["plain"]]
            report.check("requests that came twice", sum(key == "long" for _m, key, _w in meter.came["plain"]) - size.many, 0)
            report.check("requests in all", len(sent), size.many + 3 * size.few + callers.count() - refused[0])
            ends = {
                key: max(moment for moment, other, which in meter.came["plain"] if other == key and which[0] == "q")
                for key in ("long", "a")
            }
            report.check("a short queue waited for the long one", ends["a"] > ends["long"], False)


if __name__ == "__main__":
    sys.exit(run_drill(__doc__, drill))
