"""One run: what happened, what it means, what to do about it; what it was asked with, and who was told of its end."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from polyport.errors import Forbidden, NotFound, PolyportError
from polyport.server.console.asked import once_key, typed
from polyport.server.console.meanings import meaning_of, next_of
from polyport.server.console.member import Member
from polyport.server.console.names import Names
from polyport.server.console.said import Said
from polyport.server.console.screen import screen
from polyport.server.console.show import PAGE_HEADERS, moved, page
from polyport.server.console.watching import watched
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call
from polyport.store.records import FINAL

SHOWN_MOST: Final = 20_000  # characters of a body that stand in the page
_NOT_TYPED: Final = "That was not the name of this operation: nothing was replayed."


async def show_run(call: Call, member: Member) -> Answer:
    """GET /console/runs/{runId}."""
    return await _run(call, member)


async def _run(call: Call, member: Member, *, fault: str | None = None, status: int = 200) -> Answer:
    run_id = call.text("runId")
    run = (await ask(call, member, "GET /runs/{runId}", runId=run_id)).data
    attempts = (await ask(call, member, "GET /runs/{runId}/attempts", runId=run_id)).data
    callbacks = (await ask(call, member, "GET /runs/{runId}/callbacks", runId=run_id)).data
    names = Names(call, member)
    connection = await names.connection(run["credentialId"])
    given, no_input = await _input(call, member)
    ended = _has_ended(run)
    return page(
        call,
        member,
        "run.html",
        title=f"{await names.operation(run['triggerActionId'])}, {run['status']}",
        run=run,
        attempts=_attempts(attempts),
        callbacks=callbacks,
        receivers=await _receivers(call, member, callbacks),
        status=status,
        fault=fault,
        operation=await names.operation(run["triggerActionId"]),
        asked_for=await _asked_for(names, run),
        partner=await names.partner(run["partnerId"]),
        connection=connection,
        given=given,
        no_input=no_input,
        no_replay=no_input or (_no_connection(run, connection) if member.may("connections:read") else None),
        meaning=meaning_of(run),
        next=next_of(run),
        ended=ended,
        followed=None if ended and not any(each["status"] == "pending" for each in callbacks) else "callbacks" if ended else "stream",
        parts=_parts(run["timings"]),
        once=secrets.token_hex(8),
        remembered=call.engine.runtime.settings.runs.idempotency_hours,
    )


def _has_ended(run: Mapping[str, Any]) -> bool:
    return run["status"] in FINAL and run["next"]["action"] != "probe"


async def _input(call: Call, member: Member) -> tuple[dict[str, Any] | None, str | None]:
    """What the run was asked with, or why that cannot be shown."""
    try:
        found = (await ask(call, member, "GET /runs/{runId}/input", runId=call.text("runId"))).data
    except NotFound as error:
        return None, error.message
    return {name: value for name, value in found.items() if name != "credentialData"}, None


def _no_connection(run: Mapping[str, Any], connection: Mapping[str, Any] | None) -> str | None:
    return "The connection of this run is gone." if run["credentialId"] is not None and connection is None else None


async def _asked_for(names: Names, run: Mapping[str, Any]) -> str | None:
    """The name that is typed before this run is replayed: where that destroys something, or could do something twice."""
    name = await names.asked_for(run["triggerActionId"])
    return name or (await names.operation(run["triggerActionId"]) if run["status"] == "uncertain" else None)


async def _receivers(call: Call, member: Member, callbacks: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The names of the endpoints that were told, for those who may see them."""
    if not member.may("admin") or not any(each["endpointId"] for each in callbacks):
        return {}
    endpoints = (await ask(call, member, "GET /event-endpoints")).data
    return {each["endpointId"]: each["title"] or "A webhook" for each in endpoints}


def _attempts(attempts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The attempts, each with how long it was waited for (milliseconds) since the end of the one before, and its exchanges as they are shown."""
    found: list[dict[str, Any]] = []
    ended: float | None = None
    for attempt in attempts:
        began = float(attempt["startedAt"]) if "startedAt" in attempt else None
        waited = max(0.0, (began - ended) * 1000) if began is not None and ended is not None else None
        ended = began + attempt["durationMs"] / 1000 if began is not None else None
        found.append({**attempt, "waited": waited, "exchanges": [_exchange(each) for each in attempt["exchanges"]]})
    return found


def _exchange(exchange: Mapping[str, Any]) -> dict[str, Any]:
    request, reply = exchange["request"], exchange.get("reply")
    bodies = {"asked": request.get("body") or "", "answered": (reply or {}).get("body") or ""}
    return {
        **exchange,
        "curl": _curl(request) if len(bodies["asked"]) <= SHOWN_MOST else None,
        **{name: {"text": body[:SHOWN_MOST], "size": len(body), "whole": len(body) <= SHOWN_MOST} for name, body in bodies.items()},
    }


def _curl(request: Mapping[str, Any]) -> str:
    """A request for a shell, its secrets masked as they are shown. What curl says of itself is left out."""
    parts = [f"curl -X {shlex.quote(request['method'])} {shlex.quote(request['url'])}"]
    parts += [
        f"-H {shlex.quote(f'{name}: {value}')}" for name, value in request["headers"] if name.lower() not in {"content-length", "host"}
    ]
    if request.get("body"):
        parts.append(f"--data-raw {shlex.quote(request['body'])}")
    return " \\\n  ".join(parts)


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


async def follow_callbacks(call: Call, member: Member) -> Answer:
    """GET /console/runs/{runId}/callbacks/stream: says when somebody was told, or was not."""
    await ask(call, member, "GET /runs/{runId}", runId=call.text("runId"))  # a run that there is not is told before the stream begins

    async def mark() -> str:
        told = (await ask(call, member, "GET /runs/{runId}/callbacks", runId=call.text("runId"))).data
        return "\n".join(f"{each['eventId']} {each['status']} {each['attempts']} {each['nextAttemptAt']}" for each in told)

    return watched(call, member, mark)


async def download(call: Call, member: Member) -> Answer:
    """GET /console/runs/{runId}/attempts/{number}/{index}/{part}: the body of a request or of an answer, whole, as it was redacted."""
    attempts = (await ask(call, member, "GET /runs/{runId}/attempts", runId=call.text("runId"))).data
    number, index, part = call.id("number"), call.id("index"), call.text("part")
    exchanges: Sequence[Mapping[str, Any]] = next((each["exchanges"] for each in attempts if each["number"] == number), ())
    if not 0 < index <= len(exchanges) or part not in {"request", "reply"}:
        raise NotFound
    body = (exchanges[index - 1].get(part) or {}).get("body")
    if body is None:
        raise NotFound
    name = f"{call.text('runId')}-{number}-{index}-{'request' if part == 'request' else 'answer'}.txt"
    headers = PAGE_HEADERS | {"Content-Disposition": f'attachment; filename="{name}"'}
    return Answer(content=body.encode("utf-8", "replace"), media_type="text/plain; charset=utf-8", headers=headers)


async def cancel(call: Call, member: Member) -> Answer:
    """POST /console/runs/{runId}/cancel."""
    try:
        done = await ask(call, member, "POST /runs/{runId}/cancel", runId=call.text("runId"))
    except PolyportError as error:
        return await _refused(call, member, error)
    words = "The run is cancelled." if done.status == 200 else "The run is asked to stop before its next request."
    return moved(call, f"/runs/{call.text('runId')}", said=Said(words=words))


async def replay(call: Call, member: Member) -> Answer:
    """POST /console/runs/{runId}/replay. The form carries a key, so that pressing twice replays once; what destroys something, or could do it twice, asks for a name."""
    run = (await ask(call, member, "GET /runs/{runId}", runId=call.text("runId"))).data
    name = await _asked_for(Names(call, member), run)
    if name is not None and not typed(call, name):
        return await _run(call, member, fault=_NOT_TYPED, status=422)
    try:
        made = (await ask(call, member, "POST /runs/{runId}/replay", runId=call.text("runId"), key=once_key(call))).data
    except PolyportError as error:
        return await _refused(call, member, error)
    return moved(call, f"/runs/{made['runId']}", said=Said(words="This is the replay: the same input runs once more."))


async def tell_again(call: Call, member: Member) -> Answer:
    """POST /console/runs/{runId}/callbacks/{eventId}/replay."""
    try:
        await ask(call, member, "POST /events/{eventId}/replay", eventId=call.text("eventId"), body={})
    except PolyportError as error:
        return await _refused(call, member, error)
    return moved(call, f"/runs/{call.text('runId')}", said=Said(words="The receiver is told now. What comes of it shows under Callbacks."))


async def _refused(call: Call, member: Member, error: PolyportError) -> Answer:
    """The page of the run as it stands now, with what was said to what was asked of it."""
    if isinstance(error, Forbidden):
        raise error
    return await _run(call, member, fault=error.message, status=error.status)


_PATH: Final = "/runs/{runId}"

SCREENS: Final = (
    screen("GET", _PATH, show_run, "A run", scope="runs:read"),
    screen("GET", _PATH + "/stream", follow, "Says when a run changes", scope="runs:read"),
    screen("GET", _PATH + "/callbacks/stream", follow_callbacks, "Says when somebody is told of a run", scope="runs:read"),
    screen("GET", _PATH + "/attempts/{number}/{index}/{part}", download, "What was sent or answered, whole", scope="runs:read"),
    screen("POST", _PATH + "/cancel", cancel, "Cancel a run", scope="runs:write"),
    screen("POST", _PATH + "/replay", replay, "Replay a run", scope="runs:write"),
    screen("POST", _PATH + "/callbacks/{eventId}/replay", tell_again, "Tell of a run again", scope="admin"),
)
