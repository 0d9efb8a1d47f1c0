"""Where one comes in: the first steps of a newcomer, which lead to a run that succeeded against a simulated partner; from then on, the overview."""

from __future__ import annotations

import secrets
from typing import Any, Final

from polyport.errors import NotFound
from polyport.server.console.asked import once_key
from polyport.server.console.member import Member
from polyport.server.console.screen import form, screen
from polyport.server.console.show import moved, page
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call

# What the first steps are taken with.
PARTNER: Final = 225
OPERATION: Final = 2250101
TITLE: Final = "Simulated Pipedrive"
NAME_LONGEST: Final = 80


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
    connection = await _connection(call, member)
    run: dict[str, Any] | None = None
    if connection is not None:
        runs = await ask(
            call, member, "GET /runs", query={"credentialId": connection["credentialId"], "status": "succeeded", "per-page": 1}
        )
        run = runs.data[0] if runs.data else None
    return page(
        call,
        member,
        "start.html",
        title="First steps",
        partner=partner,
        connection=connection,
        run=run,
        operation=OPERATION,
        once=secrets.token_hex(8),
        name_longest=NAME_LONGEST,
        origin=call.engine.runtime.settings.origin,
    )


async def _connection(call: Call, member: Member) -> dict[str, Any] | None:
    """The simulated connection of the first steps, if there is one."""
    query = {"filter[partnerId]": PARTNER, "sort": "-credentialId", "per-page": 100}
    found = (await ask(call, member, "GET /credentials", query=query)).data
    return next((item for item in found if item["simulated"]), None)


async def begin(call: Call, member: Member) -> Answer:
    """POST /console/start: a simulated partner, and a connection to it."""
    if await _connection(call, member) is None:
        await ask(call, member, "POST /credentials", body={"partnerId": PARTNER, "title": TITLE, "simulated": True})
    return moved(call, "/start")


async def run(call: Call, member: Member) -> Answer:
    """POST /console/start/run: a person is created at the simulated partner."""
    connection = await _connection(call, member)
    if connection is None:
        return moved(call, "/start")
    name = form(call).get("name", "").strip()[:NAME_LONGEST] or "Ada Lovelace"
    body = {"credentialData": {"0": {"value": connection["credentialId"]}}, "runnerData": {"name": name}}
    done = (await ask(call, member, "POST /partners/trigger-actions/{id}/run/sync", id=OPERATION, body=body, key=once_key(call))).data
    return moved(call, f"/runs/{done['runId']}")


SCREENS: Final = (
    screen("GET", "", show, "The first page", scope="runs:read"),
    screen("GET", "/start", start, "First steps", scope="connections:read"),
    screen("POST", "/start", begin, "Start a simulated partner", scope="connections:write"),
    screen("POST", "/start/run", run, "The first run", scope="runs:write"),
)
