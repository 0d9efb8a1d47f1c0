"""The people of an account: who comes in, as what, and by which link."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from polyport.server.console.asked import BLANK, TOLD, Filled, not_typed, refused, typed
from polyport.server.console.member import Member
from polyport.server.console.screen import form, screen
from polyport.server.console.show import cursor, moved, page, pager
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call

PER_PAGE: Final = 50
ROLES: Final = {
    "owner": "Owner: everything, settings and users too",
    "developer": "Developer: connections and runs",
    "viewer": "Viewer: looks only",
}
_ONE: Final = "/console-users/{consoleUserId}"


async def show(call: Call, member: Member) -> Answer:
    """GET /console/settings/people."""
    return await _people(call, member)


async def _people(call: Call, member: Member, *, filled: Filled = BLANK, linked: Mapping[str, Any] | None = None) -> Answer:
    answer = await ask(call, member, "GET /console-users", query={"cursor": cursor(call), "per-page": PER_PAGE})
    return page(
        call,
        member,
        "settings_people.html",
        title="People",
        status=filled.status,
        people=answer.data,
        pager=pager(call, answer.meta or {}),
        roles=ROLES,
        filled=filled,
        linked=linked,
    )


async def add(call: Call, member: Member) -> Answer:
    """POST /console/settings/people."""
    told = form(call)
    body = {"email": told.get("email", "").strip(), "role": told.get("role", "")}
    try:
        made = (await ask(call, member, "POST /console-users", body=body)).data
    except TOLD as error:
        return await _people(call, member, filled=refused(call, error, {"email": "email", "role": "role"}))
    return await _people(call, member, linked=made)


async def change_role(call: Call, member: Member) -> Answer:
    """POST /console/settings/people/{consoleUserId}/role."""
    return await _do(call, member, f"PATCH {_ONE}", {"role": form(call).get("role", "")})


async def sign_out(call: Call, member: Member) -> Answer:
    """POST /console/settings/people/{consoleUserId}/sign-out."""
    return await _do(call, member, f"POST {_ONE}/sign-out", {})


async def _do(call: Call, member: Member, route: str, body: Mapping[str, Any] | None) -> Answer:
    try:
        await ask(call, member, route, consoleUserId=call.id("consoleUserId"), body=body)
    except TOLD as error:
        return await _people(call, member, filled=refused(call, error, {}))
    return moved(call, "/settings/people")


async def link(call: Call, member: Member) -> Answer:
    """POST /console/settings/people/{consoleUserId}/link."""
    made = (await ask(call, member, f"POST {_ONE}/link", consoleUserId=call.id("consoleUserId"), body={})).data
    return await _people(call, member, linked=made)


async def remove(call: Call, member: Member) -> Answer:
    """POST /console/settings/people/{consoleUserId}/remove: with the e-mail address typed."""
    people = (await ask(call, member, "GET /console-users")).data
    found = next((each for each in people if each["id"] == call.id("consoleUserId")), None)
    if found is not None and not typed(call, found["email"]):
        return await _people(call, member, filled=not_typed())
    return await _do(call, member, f"DELETE {_ONE}", None)


_PATH: Final = "/settings/people/{consoleUserId}"

SCREENS: Final = (
    screen("GET", "/settings/people", show, "The people of the account", scope="admin"),
    screen("POST", "/settings/people", add, "Add somebody", scope="admin"),
    screen("POST", _PATH + "/role", change_role, "Give somebody another role", scope="admin"),
    screen("POST", _PATH + "/sign-out", sign_out, "Sign somebody out everywhere", scope="admin"),
    screen("POST", _PATH + "/link", link, "Make somebody a link to come in by", scope="admin"),
    screen("POST", _PATH + "/remove", remove, "Remove somebody", scope="admin"),
)
