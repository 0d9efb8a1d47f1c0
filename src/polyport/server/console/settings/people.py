"""The people of an account: who comes in, as what, and by which link."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from polyport.console_users import OWNER
from polyport.server.console.asked import BLANK, TOLD, Filled, not_typed, of_another_form, refused, typed
from polyport.server.console.member import Member
from polyport.server.console.said import Said
from polyport.server.console.screen import form, screen
from polyport.server.console.show import cursor, moved, page, pager, plain_name
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call

PER_PAGE: Final = 50
ROLES: Final = {
    "owner": "Owner: everything, settings and users too",
    "developer": "Developer: connections and runs",
    "viewer": "Viewer: looks only",
}
_AT: Final = "/settings/people"
_ONE: Final = "/console-users/{consoleUserId}"


async def show(call: Call, member: Member) -> Answer:
    """GET /console/settings/people."""
    return await _people(call, member)


async def _people(call: Call, member: Member, *, filled: Filled = BLANK) -> Answer:
    answer = await ask(call, member, "GET /console-users", query={"cursor": cursor(call), "per-page": PER_PAGE})
    return page(
        call,
        member,
        "settings_people.html",
        title="People",
        status=filled.status,
        people=answer.data,
        pager=pager(call, answer.meta or {}, _AT),
        roles=ROLES,
        filled=filled,
    )


async def add(call: Call, member: Member) -> Answer:
    """POST /console/settings/people."""
    told = form(call)
    body = {"email": told.get("email", "").strip(), "role": told.get("role", "")}
    if body["role"] == OWNER and "@" in body["email"]:  # what is no address is refused first
        if "confirm" not in told:
            return moved(call, f"{_AT}/owner", email=body["email"])
        if not typed(call, body["email"]):
            return await _people(call, member, filled=not_typed())
    try:
        made = (await ask(call, member, "POST /console-users", body=body)).data
    except TOLD as error:
        return await _people(call, member, filled=refused(call, error, {"email": "email", "role": "role"}))
    return _linked(call, made)


def _linked(call: Call, made: Mapping[str, Any]) -> Answer:
    said = Said(once={"email": made["email"], "url": made["url"]})
    return moved(call, _AT, said=said, cursor=call.http.query_params.get("cursor"))


async def ask_for_owner(call: Call, member: Member) -> Answer:
    """GET /console/settings/people/owner: before somebody is added who may do everything."""
    email = call.http.query_params.get("email", "").strip()
    return _asked(
        call,
        member,
        heading="Add an owner?",
        text=f"{email} may then do everything here: people, keys, settings, connections, also take your own role away.",
        name=email,
        path=_AT,
        button="Add as an owner",
        hidden={"email": email, "role": OWNER},
    )


def _asked(call: Call, member: Member, **more: Any) -> Answer:
    return page(call, member, "settings_asked.html", title=str(more["heading"]), back=_AT, said_no="Leave it", **more)


async def ask_for_role(call: Call, member: Member) -> Answer:
    """GET /console/settings/people/{consoleUserId}/role: before a role changes that may do everything, or one's own."""
    person, role = await _person(call, member), call.http.query_params.get("role", "")
    if role not in ROLES or role == person["role"]:
        return moved(call, _AT)
    own = person["id"] == member.user.user_id
    text = (
        f"{person['email']} may then do everything here: people, keys, settings, connections, also take your own role away."
        if role == OWNER
        else f"{'You are' if own else 'This person is'} then a {role}: people, keys and settings are for owners alone. All {'your' if own else 'of its'} sign-ins end now."
    )
    return _asked(
        call,
        member,
        heading="Change your own role?" if own else f"Make this person {'an owner' if role == OWNER else f'a {role}'}?",
        text=text,
        name=person["email"],
        path=f"{_AT}/{person['id']}/role",
        button=f"Change to {role}",
        hidden={"role": role},
    )


async def change_role(call: Call, member: Member) -> Answer:
    """POST /console/settings/people/{consoleUserId}/role: with the e-mail address typed where it is about owners, or about oneself."""
    person, told = await _person(call, member), form(call)
    role = told.get("role", "")
    if role == person["role"]:
        return _done(call, f"{plain_name(person['email'])} is {_a(role)} already.")
    if role in ROLES and (OWNER in {role, person["role"]} or person["id"] == member.user.user_id):
        if "confirm" not in told:
            return moved(call, f"{_AT}/{person['id']}/role", role=role, cursor=call.http.query_params.get("cursor"))
        if not typed(call, person["email"]):
            return await _people(call, member, filled=not_typed())
    words = f"{plain_name(person['email'])} is {_a(role)} now, and has to sign in again."
    return await _do(call, member, f"PATCH {_ONE}", {"role": role}, words)


def _a(role: str) -> str:
    return f"{'an' if role == OWNER else 'a'} {role}"


async def sign_out(call: Call, member: Member) -> Answer:
    """POST /console/settings/people/{consoleUserId}/sign-out."""
    person = await _person(call, member)
    return await _do(call, member, f"POST {_ONE}/sign-out", {}, f"{plain_name(person['email'])} is signed out everywhere.")


async def _person(call: Call, member: Member) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (await ask(call, member, f"GET {_ONE}", consoleUserId=call.id("consoleUserId"))).data
    return found


async def _do(call: Call, member: Member, route: str, body: Mapping[str, Any] | None, words: str) -> Answer:
    try:
        await ask(call, member, route, consoleUserId=call.id("consoleUserId"), body=body)
    except TOLD as error:
        return await _people(call, member, filled=of_another_form(call, error))
    return _done(call, words)


def _done(call: Call, words: str) -> Answer:
    return moved(call, _AT, said=Said(words=words), cursor=call.http.query_params.get("cursor"))


async def link(call: Call, member: Member) -> Answer:
    """POST /console/settings/people/{consoleUserId}/link."""
    return _linked(call, (await ask(call, member, f"POST {_ONE}/link", consoleUserId=call.id("consoleUserId"), body={})).data)


async def remove(call: Call, member: Member) -> Answer:
    """POST /console/settings/people/{consoleUserId}/remove: with the e-mail address typed."""
    person = await _person(call, member)
    if not typed(call, person["email"]):
        return await _people(call, member, filled=not_typed())
    return await _do(call, member, f"DELETE {_ONE}", None, f"{plain_name(person['email'])} is removed.")


_PATH: Final = _AT + "/{consoleUserId}"

SCREENS: Final = (
    screen("GET", _AT, show, "The people of the account", scope="admin"),
    screen("POST", _AT, add, "Add somebody", scope="admin"),
    screen("GET", _AT + "/owner", ask_for_owner, "Before somebody is added as an owner", scope="admin"),
    screen("GET", _PATH + "/role", ask_for_role, "Before a role of owners changes, or one's own", scope="admin"),
    screen("POST", _PATH + "/role", change_role, "Give somebody another role", scope="admin"),
    screen("POST", _PATH + "/sign-out", sign_out, "Sign somebody out everywhere", scope="admin"),
    screen("POST", _PATH + "/link", link, "Make somebody a link to come in by", scope="admin"),
    screen("POST", _PATH + "/remove", remove, "Remove somebody", scope="admin"),
)
