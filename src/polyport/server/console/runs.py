"""Runs: the list as it grows, and one run with what happened, what it means and what to do."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from polyport.errors import NotFound, PolyportError
from polyport.server.answers import Stream
from polyport.server.console.asked import once_key, typed
from polyport.server.console.meanings import meaning_of
from polyport.server.console.member import Member, find_member
from polyport.server.console.names import Names
from polyport.server.console.screen import screen
from polyport.server.console.show import Entry, chosen, moved, options, page, pager
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call
from polyport.server.streams import RETRY_MS
from polyport.store.records import FINAL, RunStatus

ENTRY: Final = Entry(title="Runs", path="/runs", icon="runs", place=50, scope="runs:read")
PER_PAGE: Final = 25
LOOK_SECONDS: Final = 1.0
HEARTBEAT_LOOKS: Final = 15
STREAM_SECONDS: Final = 900.0
SINCE: Final = {"1h": ("Last hour", 3600), "24h": ("Last day", 86_400), "7d": ("Last week", 604_800), "30d": ("Last month", 2_592_000)}
_FILTERS: Final = ("status", "partnerId", "triggerActionId", "credentialId", "externalUserId", "since")
_RUN: Final = "run_"


async def show(call: Call, member: Member) -> Answer:
    """GET /console/runs."""
    asked = call.http.query_params.get("q", "").strip()
    if asked.startswith(_RUN):
        return moved(call, f"/runs/{asked[:64]}") if asked.isascii() and asked.replace("_", "").isalnum() else await _list(call, member, {})
    return await _list(call, member, {"externalUserId": asked} if asked else {})


async def _list(call: Call, member: Member, more: dict[str, str]) -> Answer:
    given = chosen(call, *_FILTERS) | more
    answer = await ask(call, member, "GET /runs", query=_query(call, given))
    names = Names(call, member)
    runs = [
        run
        | {
            "operation": await names.operation(run["triggerActionId"]),
            "partner": await names.partner(run["partnerId"]),
            "connection": await names.titled(run["credentialId"]),
        }
        for run in answer.data
    ]
    first = "cursor" not in call.http.query_params
    return page(
        call,
        member,
        "runs.html",
        title="Runs",
        runs=runs,
        pager=pager(call, answer.meta or {}),
        filters=given,
        asked=call.http.query_params.get("q", ""),
        narrowed=await _narrowed(names, given),
        statuses=options([(status.value, status.value.capitalize()) for status in RunStatus], given.get("status"), "All statuses"),
        partners=options(await _partners(call, member, names), given.get("partnerId"), "All partners"),
        since=options([(key, label) for key, (label, _seconds) in SINCE.items()], given.get("since"), "Any time"),
        live=given if first else None,
    )


async def _narrowed(names: Names, given: Mapping[str, str]) -> list[dict[str, str]]:
    """The filters that have no field of their own, in words."""
    named = {"triggerActionId": ("Operation", names.operation), "credentialId": ("Connection", names.titled)}
    return [
        {"name": name, "value": given[name], "label": f"{kind}: {await name_of(int(given[name]))}"}
        for name, (kind, name_of) in named.items()
        if name in given
    ]


def _query(call: Call, given: Mapping[str, str]) -> dict[str, Any]:
    query: dict[str, Any] = {name: value for name, value in given.items() if name != "since"}
    if given.get("since") in SINCE:
        query["from"] = call.engine.runtime.now_ms() // 1000 - SINCE[given["since"]][1]
    return query | {"cursor": call.http.query_params.get("cursor"), "per-page": PER_PAGE}


async def _partners(call: Call, member: Member, names: Names) -> list[tuple[str, str]]:
    """The partners of which anything ran lately: those that one would filter by."""
    usage = (await ask(call, member, "GET /usage")).data
    found = {row["partnerId"] for row in usage["days"]}
    return sorted([(str(partner_id), await names.partner(partner_id)) for partner_id in found], key=lambda pair: pair[1].casefold())


async def stream(call: Call, member: Member) -> Answer:
    """GET /console/runs/stream: says when the list is another one."""
    given = chosen(call, *_FILTERS)
    account_id, streams = member.user.account_id, call.services.streams
    await ask(call, member, "GET /runs", query=_query(call, given))  # a query that makes no sense is told before the stream begins
    streams.enter(account_id)
    told = Stream(pieces=_changes(call, member, given), ended=lambda: streams.leave(account_id))
    return Answer(stream=told, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _changes(call: Call, member: Member, given: Mapping[str, str]) -> AsyncIterator[bytes]:
    end, looks = time.monotonic() + STREAM_SECONDS, 0
    yield f"retry: {RETRY_MS}\n\n".encode()
    mark = await _mark(call, member, given)
    while not call.services.streams.watch.closed and time.monotonic() < end:
        await asyncio.sleep(LOOK_SECONDS)
        looks += 1
        if looks % HEARTBEAT_LOOKS == 0:
            if await find_member(call) is None:  # signed out meanwhile
                return
            yield b": still here\n\n"
        now = await _mark(call, member, given)
        if now != mark:
            mark = now
            yield b"event: changed\ndata: 1\n\n"


async def _mark(call: Call, member: Member, given: Mapping[str, str]) -> str | None:
    """What tells one state of the list from the next."""
    try:
        runs = (await ask(call, member, "GET /runs", query=_query(call, given))).data
    except PolyportError:
        return None
    told = "\n".join(f"{run['runId']} {run['status']} {run['attempts']}" for run in runs)
    return hashlib.sha256(told.encode()).hexdigest()


async def show_run(call: Call, member: Member) -> Answer:
    """GET /console/runs/{runId}."""
    return await _run(call, member)


async def _run(call: Call, member: Member, *, fault: str | None = None, status: int = 200) -> Answer:
    run_id = call.text("runId")
    run = (await ask(call, member, "GET /runs/{runId}", runId=run_id)).data
    attempts = (await ask(call, member, "GET /runs/{runId}/attempts", runId=run_id)).data
    callbacks = (await ask(call, member, "GET /runs/{runId}/callbacks", runId=run_id)).data
    names = Names(call, member)
    connection = None
    if run["credentialId"] is not None and member.may("connections:read"):
        try:
            connection = (await ask(call, member, "GET /credentials/{credentialId}", credentialId=run["credentialId"])).data
        except NotFound:
            connection = None
    ended = run["status"] in FINAL and run["next"]["action"] != "probe"
    return page(
        call,
        member,
        "run.html",
        title=f"{await names.operation(run['triggerActionId'])}, {run['status']}",
        run=run,
        attempts=attempts,
        callbacks=callbacks,
        status=status,
        fault=fault,
        operation=await names.operation(run["triggerActionId"]),
        asked_for=await names.asked_for(run["triggerActionId"]),
        partner=await names.partner(run["partnerId"]),
        connection=connection,
        meaning=meaning_of(run),
        ended=ended,
        parts=_parts(run["timings"]),
        once=secrets.token_hex(8),
        remembered=call.engine.runtime.settings.runs.idempotency_hours,
    )


def _parts(timings: Mapping[str, int | None]) -> list[dict[str, Any]]:
    """Where the time of a run went, as parts of a bar of 1,000."""
    names = (
        ("waitMs", "Waiting for its time", "wait"),
        ("queueMs", "In the queue", "queue"),
        ("upstreamMs", "At the partner", "theirs"),
        ("oursMs", "In Polyport", "ours"),
    )
    known = [(label, kind, timings[name] or 0) for name, label, kind in names]
    whole = sum(milliseconds for _label, _kind, milliseconds in known)
    at, found = 0.0, []
    for label, kind, milliseconds in known:
        width = 1000 * milliseconds / whole if whole else 0.0
        found.append({"label": label, "kind": kind, "ms": milliseconds, "x": round(at, 1), "width": round(width, 1)})
        at += width
    return found


async def follow(call: Call, member: Member) -> Answer:
    """GET /console/runs/{runId}/stream."""
    return await ask(call, member, "GET /runs/{runId}/events", runId=call.text("runId"))


async def cancel(call: Call, member: Member) -> Answer:
    """POST /console/runs/{runId}/cancel."""
    await ask(call, member, "POST /runs/{runId}/cancel", runId=call.text("runId"))
    return moved(call, f"/runs/{call.text('runId')}")


async def replay(call: Call, member: Member) -> Answer:
    """POST /console/runs/{runId}/replay. The form carries a key, so that pressing twice replays once; what destroys something is replayed with its name typed."""
    run = (await ask(call, member, "GET /runs/{runId}", runId=call.text("runId"))).data
    name = await Names(call, member).asked_for(run["triggerActionId"])
    if name is not None and not typed(call, name):
        return await _run(call, member, fault="That was not the name of this operation: nothing was replayed.", status=422)
    made = (await ask(call, member, "POST /runs/{runId}/replay", runId=call.text("runId"), key=once_key(call))).data
    return moved(call, f"/runs/{made['runId']}")


async def tell_again(call: Call, member: Member) -> Answer:
    """POST /console/runs/{runId}/callbacks/{eventId}/replay."""
    await ask(call, member, "POST /events/{eventId}/replay", eventId=call.text("eventId"), body={})
    return moved(call, f"/runs/{call.text('runId')}")


SCREENS: Final = (
    screen("GET", "/runs", show, "Runs", scope="runs:read"),
    screen("GET", "/runs/stream", stream, "Says when the list of runs changes", scope="runs:read"),
    screen("GET", "/runs/{runId}", show_run, "A run", scope="runs:read"),
    screen("GET", "/runs/{runId}/stream", follow, "Says when a run changes", scope="runs:read"),
    screen("POST", "/runs/{runId}/cancel", cancel, "Cancel a run", scope="runs:write"),
    screen("POST", "/runs/{runId}/replay", replay, "Replay a run", scope="runs:write"),
    screen("POST", "/runs/{runId}/callbacks/{eventId}/replay", tell_again, "Tell of a run again", scope="admin"),
)
