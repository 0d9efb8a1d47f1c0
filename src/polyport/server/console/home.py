"""Where one comes in: the first steps of a newcomer, which lead to a run that succeeded against a simulated partner; from then on, the overview."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from polyport.errors import NotFound
from polyport.server.console.asked import once_key
from polyport.server.console.member import Member
from polyport.server.console.said import Said
from polyport.server.console.screen import form, screen
from polyport.server.console.show import moved, page, plain_name
from polyport.server.console.snippets import curl
from polyport.server.console.within import ask
from polyport.server.cursors import BEGIN
from polyport.server.routing import Answer, Call

# What the first steps are taken with.
PARTNER: Final = 225
OPERATION: Final = 2250101
TITLE: Final = "Simulated Pipedrive"
NAME: Final = "Ada Lovelace"
NAME_LONGEST: Final = 80
LOOKED_AT: Final = 10


async def show(call: Call, member: Member) -> Answer:
    """GET /console."""
    return moved(call, "/start" if await _is_new(call, member) else "/overview")


async def _is_new(call: Call, member: Member) -> bool:
    """Whether nothing has succeeded here yet."""
    return not (await ask(call, member, "GET /runs", query={"status": "succeeded", "per-page": 1})).data


async def start(call: Call, member: Member) -> Answer:
    """GET /console/start."""
    try:
        partner = (await ask(call, member, "GET /partners/{partnerId}", partnerId=PARTNER)).data
    except NotFound:
        partner = None
    connections = await _connections(call, member)
    run = await _run(call, member, connections)
    used = next((each for each in connections if run is not None and each["credentialId"] == run["credentialId"]), None)
    connection = used or next(iter(connections), None)
    name = _made(run)
    return page(
        call,
        member,
        "start.html",
        title="First steps",
        partner=partner,
        connection=connection,
        run=run,
        name=name or NAME,
        operation=OPERATION,
        curl=_curl(call, connection["credentialId"], name or NAME) if connection is not None else "",
        once=secrets.token_hex(8),
        name_longest=NAME_LONGEST,
    )


async def _connections(call: Call, member: Member) -> list[dict[str, Any]]:
    """The simulated connections of the first steps, those that were made first: however many come later, these stay."""
    for sort in (None, "-credentialId"):  # who had many real ones before has it among the newest
        query = {"filter[partnerId]": PARTNER, "cursor": BEGIN, "per-page": 100, "sort": sort}
        found = (await ask(call, member, "GET /credentials", query=query)).data
        if simulated := [item for item in found if item["simulated"]]:
            return simulated[:LOOKED_AT]
    return []


async def _run(call: Call, member: Member, connections: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The latest run that succeeded with one of them."""
    for connection in connections:
        query = {"credentialId": connection["credentialId"], "status": "succeeded", "per-page": 1}
        found = (await ask(call, member, "GET /runs", query=query)).data
        if found:
            run: dict[str, Any] = (await ask(call, member, "GET /runs/{runId}", runId=found[0]["runId"])).data
            return run
    return None


def _made(run: Mapping[str, Any] | None) -> str:
    """The name of who was created at the simulated partner."""
    result = run.get("result") if run is not None else None
    name = result.get("name") if isinstance(result, dict) else None
    return name if isinstance(name, str) else ""


def _curl(call: Call, credential_id: int, name: str) -> str:
    url = f"{call.engine.runtime.settings.origin}/partners/trigger-actions/{OPERATION}/run/sync"
    return curl(url, _body(credential_id, name))


def _body(credential_id: int, name: str) -> dict[str, Any]:
    return {"credentialData": {"0": {"value": credential_id}}, "runnerData": {"name": name}}


async def begin(call: Call, member: Member) -> Answer:
    """POST /console/start: a simulated partner, and a connection to it."""
    if await _connections(call, member):
        return moved(call, "/start")
    await ask(call, member, "POST /credentials", body={"partnerId": PARTNER, "title": TITLE, "simulated": True})
    return moved(call, "/start", said=Said(words="A simulated Pipedrive runs, and you are connected to it."))


async def run(call: Call, member: Member) -> Answer:
    """POST /console/start/run: a person is created at the simulated partner."""
    connection = next(iter(await _connections(call, member)), None)
    if connection is None:
        return moved(call, "/start")
    name = form(call).get("name", "").strip()[:NAME_LONGEST] or NAME
    body = _body(connection["credentialId"], name)
    done = (await ask(call, member, "POST /partners/trigger-actions/{id}/run/sync", id=OPERATION, body=body, key=once_key(call))).data
    if done["status"] != "succeeded":
        return moved(call, f"/runs/{done['runId']}")
    return moved(call, "/start", said=Said(words=f"The run succeeded: {plain_name(name)} is at the simulated Pipedrive now."))


SCREENS: Final = (
    screen("GET", "", show, "The first page", scope="runs:read"),
    screen("GET", "/start", start, "First steps", scope="connections:read"),
    screen("POST", "/start", begin, "Start a simulated partner", scope="connections:write"),
    screen("POST", "/start/run", run, "The first run", scope="runs:write"),
)
