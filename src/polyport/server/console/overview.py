"""The overview: how the account does, in pictures that are drawn here and can be read as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from polyport.server.console.charts import Picture, area, bars, lines, part, parts
from polyport.server.console.member import Member, base_path
from polyport.server.console.names import Names
from polyport.server.console.plotted import Clock
from polyport.server.console.screen import screen
from polyport.server.console.show import Entry, chosen, options, page, thousands, took
from polyport.server.console.standing import counted
from polyport.server.console.within import ask
from polyport.server.overview import STATUSES
from polyport.server.piles import RANGES
from polyport.server.routing import Answer, Call

ENTRY: Final = Entry(title="Overview", path="/overview", icon="overview", place=10, scope="runs:read")
RANGE_NAMES: Final = {"hour": "Last hour", "day": "Last day", "month": "Last 30 days"}
SLOT_NAMES: Final = {"hour": "minute", "day": "quarter of an hour", "month": "six hours"}
PERCENTILES: Final = ("p50", "p95", "p99")
# What a run that did not end well is told as, and in which order it lies below the line.
BAD: Final = ("failed", "uncertain", "cancelled")
TICKS: Final = 5
SINCE: Final = {"hour": "1h", "day": "24h", "month": "30d"}  # what the list of runs calls the ranges
AGAIN: Final = {"hour": 20, "day": 60, "month": 300}  # seconds after which the page is read again


async def show(call: Call, member: Member) -> Answer:
    """GET /console/overview."""
    given = _given(call)
    data = (await ask(call, member, "GET /overview", query=given)).data
    slots = data["slots"]
    clock = Clock((slot["at"] for slot in slots), given["range"])
    narrowed = {name: value for name, value in given.items() if name != "range"}
    step = RANGES[given["range"]].grain

    def runs_of(at: int) -> str:
        query = urlencode({"from": at, "to": at + step, **narrowed})
        return f"{base_path(call.engine.runtime)}/console/runs?{query}"

    names = Names(call, member)
    ran = {each["partnerId"] for each in data["partners"]} | {
        row["partnerId"] for row in (await ask(call, member, "GET /usage")).data["days"]
    }
    partners = [(str(each), await names.partner(each)) for each in ran | ({int(given["partnerId"])} if "partnerId" in given else set())]
    return page(
        call,
        member,
        "overview.html",
        title="Overview",
        data=data,
        given=given,
        ranges=RANGE_NAMES,
        slot_name=SLOT_NAMES[given["range"]],
        whose=await _whose(names, given),
        narrowed=narrowed,
        since=SINCE[given["range"]],
        again=AGAIN[given["range"]],
        partners_in_all=len(ran),
        partners=options(sorted(partners, key=lambda pair: pair[1].casefold()), given.get("partnerId"), "All partners"),
        total=sum(data["totals"].values()),
        begins=slots[0]["at"],
        step=step,
        ticks=[clock.time(at) for at in _ticks(slots)],
        runs=_runs(slots),
        run_rows=clock.rows([(slot["at"], _run_cells(slot)) for slot in slots], link=runs_of),
        own=_times(slots, "own"),
        own_rows=clock.rows([(slot["at"], _time_cells(slot, "own")) for slot in slots]),
        partner_time=_times(slots, "partner"),
        partner_rows=clock.rows([(slot["at"], _time_cells(slot, "partner")) for slot in slots]),
        waiting=area("waiting", [slot["waiting"] for slot in slots], len(slots)),
        waiting_rows=clock.rows([(slot["at"], _waiting_cells(slot)) for slot in slots]),
        waiting_most=max(slot["waiting"] for slot in slots),
        part=part,
        health=_health(data["connections"]),
        connections=sum(count for _name, _label, count in counted(data["connections"])),
        told=_told(data["totals"]),
    )


def _given(call: Call) -> dict[str, str]:
    """What is asked for; what makes no sense is left out, and of a connection and an external user the connection counts."""
    given = chosen(call, "range", "partnerId", "credentialId", "externalUserId")
    if given.get("range") not in RANGES:
        given["range"] = "hour"
    for name in ("partnerId", "credentialId"):
        if not (given.get(name, "0").isascii() and given.get(name, "0").isdecimal() and len(given.get(name, "")) <= 16):
            given.pop(name)
    if "credentialId" in given:
        given.pop("externalUserId", None)
    return given


def _health(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """How many connections stand how, with their stretches of one bar."""
    known = [each for each in counted(counts) if each[2]]
    stretches = parts([count for _status, _name, count in known])
    return [
        {"status": status, "name": name, "count": count, "at": at, "width": width}
        for (status, name, count), (at, width) in zip(known, stretches, strict=True)
    ]


async def _whose(names: Names, given: Mapping[str, str]) -> Mapping[str, Any] | None:
    """The connection that is asked for, if it is one."""
    if "credentialId" not in given:
        return None
    return await names.connection(int(given["credentialId"])) or {
        "title": f"Connection {given['credentialId']}",
        "externalUserId": None,
    }


def _runs(slots: Sequence[Mapping[str, Any]]) -> Picture:
    def counts(status: str) -> list[int]:
        return [slot["runs"][status] for slot in slots]

    return bars([("succeeded", counts("succeeded"))], [(status, counts(status)) for status in BAD], len(slots))


def _times(slots: Sequence[Mapping[str, Any]], which: str) -> Picture:
    return lines([(name, [slot["latency"][which][name] for slot in slots]) for name in PERCENTILES], len(slots))


def _run_cells(slot: Mapping[str, Any]) -> list[str] | None:
    runs = slot["runs"]
    return [thousands(runs[name]) for name in STATUSES] if any(runs.values()) else None


def _time_cells(slot: Mapping[str, Any], which: str) -> list[str] | None:
    latency = slot["latency"][which]
    return [took(latency[name]) for name in PERCENTILES] if latency["p50"] is not None else None


def _waiting_cells(slot: Mapping[str, Any]) -> list[str] | None:
    return [thousands(slot["waiting"])] if slot["waiting"] else None


def _ticks(slots: Sequence[Mapping[str, Any]]) -> list[int]:
    """A few times below a picture, the first and the last included."""
    last = len(slots) - 1
    return [slots[round(last * index / (TICKS - 1))]["at"] for index in range(TICKS)]


def _told(totals: Mapping[str, int]) -> str:
    """The runs of a range in words, for who does not see the picture."""
    return ", ".join(f"{totals[status]:,} {status}" for status in STATUSES)


SCREENS: Final = (screen("GET", "/overview", show, "How the account does", scope="runs:read"),)
