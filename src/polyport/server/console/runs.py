"""Runs: the list as it grows, and what narrows it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from polyport.errors import NotFound
from polyport.server.console.asked import id_of
from polyport.server.console.member import Member
from polyport.server.console.names import Names
from polyport.server.console.screen import screen
from polyport.server.console.show import Entry, chosen, moved, options, page, pager
from polyport.server.console.watching import watched
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call
from polyport.store.records import RunStatus

ENTRY: Final = Entry(title="Runs", path="/runs", icon="runs", place=50, scope="runs:read")
PER_PAGE: Final = 25
SINCE: Final = {"1h": ("Last hour", 3600), "24h": ("Last day", 86_400), "7d": ("Last week", 604_800), "30d": ("Last 30 days", 2_592_000)}
_TIMES: Final = ("from", "to")
_FILTERS: Final = (
    "status",
    "partnerId",
    "triggerActionId",
    "credentialId",
    "externalUserId",
    "error",
    "idempotencyKey",
    "since",
    *_TIMES,
)
_RUN_ID: Final = re.compile(r"run_[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sought:
    """What the search found: the filters that it adds, or ``nothing``: why there is nothing to list."""

    more: Mapping[str, str]
    nothing: str | None = None


async def show(call: Call, member: Member) -> Answer:
    """GET /console/runs."""
    asked = call.http.query_params.get("q", "").strip()
    if _RUN_ID.fullmatch(asked.casefold()):
        try:
            found = await ask(call, member, "GET /runs/{runId}", runId=asked.casefold())
        except NotFound:
            return await _list(call, member, _Sought(more={}, nothing="No run has this id"))
        return moved(call, f"/runs/{found.data['runId']}")
    return await _list(call, member, await _sought(call, member, asked))


async def _sought(call: Call, member: Member, asked: str) -> _Sought:
    """A text is an external user's id; if nothing ran for such a one, the key that a run was started under."""
    if not asked:
        return _Sought(more={})
    of_user, by_key = ({"externalUserId": asked}, {"idempotencyKey": asked})
    if (await ask(call, member, "GET /runs", query={**of_user, "per-page": 1})).data:
        return _Sought(more=of_user)
    if (await ask(call, member, "GET /runs", query={**by_key, "per-page": 1})).data:
        return _Sought(more=by_key)
    return _Sought(more=of_user)


async def _list(call: Call, member: Member, sought: _Sought) -> Answer:
    own = _given(call)
    given = {**own, **sought.more}
    found, meta = await _runs(call, member, given) if sought.nothing is None else ([], {"nextCursor": None})
    names = Names(call, member)
    runs = [
        run
        | {
            "operation": await names.operation(run["triggerActionId"]),
            "partner": await names.partner(run["partnerId"]),
            "connection": await names.titled(run["credentialId"]),
        }
        for run in found
    ]
    return page(
        call,
        member,
        "runs.html",
        title="Runs",
        runs=runs,
        pager=pager(call, meta),
        filters=given or sought.nothing,
        nothing=sought.nothing,
        asked=call.http.query_params.get("q", ""),
        narrowed=await _narrowed(call, names, {name: value for name, value in own.items() if name not in sought.more}),
        statuses=options([(status.value, status.value.capitalize()) for status in RunStatus], given.get("status"), "All statuses"),
        partners=options(await _partners(call, member, names, given.get("partnerId")), given.get("partnerId"), "All partners"),
        since=options([(key, label) for key, (label, _seconds) in SINCE.items()], given.get("since"), "Any time"),
        between=[{"name": name, "label": label, "value": _local(given.get(name))} for name, label in (("from", "From"), ("to", "To"))],
        live=given if "cursor" not in call.http.query_params and sought.nothing is None else None,
    )


async def _runs(call: Call, member: Member, given: Mapping[str, str]) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    answer = await ask(call, member, "GET /runs", query=_query(call, given))
    return answer.data, answer.meta or {}


def _given(call: Call) -> dict[str, str]:
    """The filters of the address. Of a time that is none nothing is left; between two times counts more than since when."""
    given = chosen(call, *_FILTERS)
    for name in _TIMES:
        moment = _moment(given.pop(name, ""))
        if moment is not None:
            given[name] = str(moment)
    if any(name in given for name in _TIMES):
        given.pop("since", None)
    return given


def _moment(text: str) -> int | None:
    """A time of the address in unix seconds: a number, or a day and a time, of UTC unless it says otherwise."""
    if text.isdecimal() and text.isascii() and len(text) <= 11:
        return int(text)
    try:
        found = datetime.fromisoformat(text)
        return int(found.timestamp() if found.tzinfo is not None else found.replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        return None


def _local(seconds: str | None) -> str:
    """A time as a field for one has it, in UTC: a script turns it into the viewer's."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M") if seconds is not None else ""


async def _narrowed(call: Call, names: Names, given: Mapping[str, str]) -> list[dict[str, Any]]:
    """The filters that have no field of their own, in words, each with the address of the list without it."""
    titles = {"triggerActionId": ("Operation", names.operation), "credentialId": ("Connection", names.titled)}
    kinds = {"externalUserId": "External user", "error": "Error", "idempotencyKey": "Idempotency key"}
    query = {name: value for name, value in call.http.query_params.items() if name != "cursor"}
    found = []
    for name in (*titles, *kinds):
        if name not in given:
            continue
        kind, value = kinds.get(name, ""), given[name]
        if name in titles:
            kind, name_of = titles[name]
            value = await name_of(number) if (number := id_of(value)) is not None else value
        rest = {key: text for key, text in query.items() if key != name}
        found.append({"name": name, "value": given[name], "label": f"{kind}: {value}", "rest": rest})
    return found


def _query(call: Call, given: Mapping[str, str]) -> dict[str, Any]:
    query: dict[str, Any] = {name: value for name, value in given.items() if name != "since"}
    if given.get("since") in SINCE:
        query["from"] = call.engine.runtime.now_ms() // 1000 - SINCE[given["since"]][1]
    return query | {"cursor": call.http.query_params.get("cursor"), "per-page": PER_PAGE}


async def _partners(call: Call, member: Member, names: Names, chosen_id: str | None) -> list[tuple[str, str]]:
    """The partners of which anything ran lately, those that one would filter by, and the one that is filtered by."""
    usage = (await ask(call, member, "GET /usage")).data
    found = {row["partnerId"] for row in usage["days"]}
    if (number := id_of(chosen_id or "")) is not None:
        found.add(number)
    return sorted([(str(partner_id), await names.partner(partner_id)) for partner_id in found], key=lambda pair: pair[1].casefold())


async def stream(call: Call, member: Member) -> Answer:
    """GET /console/runs/stream: says when the list is another one."""
    given = _given(call)
    await _runs(call, member, given)  # a query that makes no sense is told before the stream begins

    async def mark() -> str:
        """What tells one state of the list from the next."""
        runs, _meta = await _runs(call, member, given)
        return "\n".join(f"{run['runId']} {run['status']} {run['attempts']}" for run in runs)

    return watched(call, member, mark)


SCREENS: Final = (
    screen("GET", "/runs", show, "Runs", scope="runs:read"),
    screen("GET", "/runs/stream", stream, "Says when the list of runs changes", scope="runs:read"),
)
