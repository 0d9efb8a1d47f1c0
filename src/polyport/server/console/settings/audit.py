"""The audit log: who did what, looked through by who, what, when and how it ended; whether it is as it was written, and all of it as a file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from msgspec import structs

from polyport.errors import Forbidden, Unauthenticated
from polyport.server.console.member import Member
from polyport.server.console.names import DEEDS, deed
from polyport.server.console.said import Said
from polyport.server.console.screen import screen
from polyport.server.console.show import PAGE_HEADERS, chosen, moved, options, page, pager
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call

PER_PAGE: Final = 50
OFFERED_MOST: Final = 100
RESULTS: Final = (("done", "What was done"), ("refused", "What was refused"))
FILTERS: Final = ("actor", "action", "target", "from", "to", "result")
_AT: Final = "/settings/audit"
_SIGN_INS: Final = frozenset({"console sign-in", "POST /user/auth"})


async def show(call: Call, member: Member) -> Answer:
    """GET /console/settings/audit."""
    given = chosen(call, *FILTERS)
    query = {"per-page": PER_PAGE, "cursor": call.http.query_params.get("cursor"), **_asked(given)}
    answer = await ask(call, member, "GET /audit", query=query)
    return page(
        call,
        member,
        "settings_audit.html",
        title="Audit log",
        found=[entry | {"what": _what(entry)} for entry in answer.data],
        pager=pager(call, answer.meta or {}),
        filters=given,
        actors=options(await _actors(call, member, answer.data, given.get("actor")), given.get("actor"), "Everybody"),
        actions=options(_actions(given.get("action")), given.get("action"), "Everything"),
        results=options(RESULTS, given.get("result"), "Done and refused"),
    )


def _what(entry: Mapping[str, Any]) -> str:
    if entry["status"] == Unauthenticated().status and entry["action"] in _SIGN_INS:
        return "did not get in"
    return deed(entry["action"], refused=entry["status"] == Forbidden().status)


def _asked(given: Mapping[str, str]) -> dict[str, str]:
    """The filters as the API takes them: days, from their beginning to their end in UTC, are times there."""
    found = {name: value for name, value in given.items() if name not in {"from", "to"}}
    for name, more in (("from", 0), ("to", 1)):
        try:
            day = date.fromisoformat(given.get(name, "")) + timedelta(days=more)
        except (ValueError, OverflowError):
            continue
        found[name] = str(max(0, int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())))
    return found


async def _actors(call: Call, member: Member, entries: Any, now: str | None) -> list[tuple[str, str]]:
    """Who may have done something: people, keys, those on this page, and the one who is asked for."""
    people = (await ask(call, member, "GET /console-users", query={"cursor": "*", "per-page": OFFERED_MOST})).data
    keys = (await ask(call, member, "GET /api-keys", query={"cursor": "*", "per-page": OFFERED_MOST})).data
    found = {f"user/{each['id']}": each["email"] for each in people}
    found |= {f"key/{each['id']}": f"Key {each['title'][:60]} ({each['prefix']}…)" for each in keys}
    found["command"] = "The command line"
    for entry in entries:
        found.setdefault(entry["actor"], (entry["actorName"] or entry["actor"])[:80])
    if now:
        found.setdefault(now, now[:80])
    return list(found.items())


def _actions(now: str | None) -> list[tuple[str, str]]:
    """What can have been done, by its words; what the command line did has the words of the API's, and says so."""
    found = {action: words + (" (command line)" if _by_command(action) else "") for action, (words, _bare) in DEEDS.items()}
    if now:
        found.setdefault(now, now[:80])
    return sorted(found.items(), key=lambda pair: pair[1].casefold())


def _by_command(action: str) -> bool:
    return "/" not in action and not action.startswith("console ")


async def verify(call: Call, member: Member) -> Answer:
    """POST /console/settings/audit/verify: the page that follows says what came of it, once."""
    found = (await ask(call, member, "GET /audit/verify")).data
    once = {"ok": "1" if found["ok"] else "", "entries": str(found["entries"]), "head": found["head"] or ""}
    once |= {"brokenAt": str(found["brokenAt"] or ""), "why": found["why"] or ""}
    return moved(call, _AT, said=Said(once=once))


async def export(call: Call, member: Member) -> Answer:
    """GET /console/settings/audit/export: what the filters leave."""
    found = await ask(call, member, "GET /audit/export", query=_asked(chosen(call, *FILTERS)))
    return structs.replace(found, headers={**PAGE_HEADERS, **found.headers})


SCREENS: Final = (
    screen("GET", _AT, show, "Who did what", scope="admin"),
    screen("POST", _AT + "/verify", verify, "Whether the audit log is as it was written", scope="admin"),
    screen("GET", _AT + "/export", export, "The audit log as a file", scope="admin"),
)
