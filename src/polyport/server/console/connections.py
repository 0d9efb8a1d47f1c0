"""Connections: whether they work at a glance, what became of one, testing, renaming, deleting. How they are made and made anew is in ``connecting``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from polyport.engine.caller import connection_fields
from polyport.engine.checks import can_be_asked
from polyport.errors import NotFound
from polyport.manifest.model import AuthChoice, Partner
from polyport.server.console.asked import BLANK, TOLD, Filled, id_of, refused, typed
from polyport.server.console.history import history
from polyport.server.console.member import Member
from polyport.server.console.names import Names
from polyport.server.console.said import Said
from polyport.server.console.screen import form, screen
from polyport.server.console.show import Entry, chosen, cursor, cut, moved, options, page, pager, plain_name
from polyport.server.console.standing import STANDS, counted, filtered, stands
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call

ENTRY: Final = Entry(title="Connections", path="/connections", icon="connections", place=30, scope="connections:read")
PER_PAGE: Final = 25
LOOKED_AT: Final = 100
SHOWN_RUNS: Final = 8
SORTS: Final = (("", "Newest first"), ("title", "By title"))
NOTHING_TO_ASK: Final = (
    "cannot be tested: this way of connecting has nothing to ask the partner. Whether it works is told by what runs with it."
)
_ONE: Final = "/credentials/{credentialId}"


async def show(call: Call, member: Member) -> Answer:
    """GET /console/connections."""
    given = chosen(call, "q", "status", "externalUserId", "partnerId", "sort")
    query = {
        "q": given.get("q"),
        "filter[externalUserId]": given.get("externalUserId"),
        "filter[partnerId]": given.get("partnerId"),
        "sort": given.get("sort", "-credentialId"),
        "cursor": cursor(call),
        "per-page": PER_PAGE,
        **filtered(given.get("status")),
    }
    answer = await ask(call, member, "GET /credentials", query=query)
    names = Names(call, member)
    return page(
        call,
        member,
        "connections.html",
        title="Connections",
        connections=[item | {"partner": await names.partner(item["partnerId"]), "stands": stands(item)} for item in answer.data],
        pager=pager(call, answer.meta or {}),
        filters=given,
        narrowed=await _partner(call, member, given.get("partnerId")),
        alone=given.keys() == {"partnerId"},
        health=await _health(call, member, given),
        statuses=options(list(STANDS.items()), given.get("status"), "All statuses"),
        sorts=[{"key": key, "label": label, "chosen": key == given.get("sort", "")} for key, label in SORTS],
    )


async def _partner(call: Call, member: Member, told: str | None) -> Mapping[str, Any] | None:
    """The partner that a list is narrowed to; one that is not in the catalogue has its id alone."""
    partner_id = id_of(told or "")
    if partner_id is None:
        return None
    try:
        found: Mapping[str, Any] = (await ask(call, member, "GET /partners/{partnerId}", partnerId=partner_id)).data
    except NotFound:
        return {"partnerId": partner_id, "title": None}
    return found


async def _health(call: Call, member: Member, given: Mapping[str, str]) -> list[dict[str, Any]]:
    """How many there are of each standing, of the partner and the user that the list is narrowed to. Each leads to them, and, pressed again, back to all."""
    narrowed = {name: given.get(name) for name in ("partnerId", "externalUserId")}
    counts = (await ask(call, member, "GET /credentials/by-status", query=narrowed)).data
    now = given.get("status")
    return [
        {"name": name, "label": label, "count": count, "now": name == now, "leads": {**given, "status": None if name == now else name}}
        for name, label, count in counted(counts)
        if count or name in {"active", "invalid", "expired", now}
    ]


async def show_connection(call: Call, member: Member) -> Answer:
    """GET /console/connections/{credentialId}."""
    return await _connection(call, member)


async def _connection(call: Call, member: Member, *, fault: str | None = None, filled: Filled = BLANK) -> Answer:
    credential_id = call.id("credentialId")
    item = (await ask(call, member, f"GET {_ONE}", credentialId=credential_id)).data
    names = Names(call, member)
    way, labels, testable = await _way(call, member, item)
    runs: list[dict[str, Any]] = []
    if member.may("runs:read"):
        runs = list((await ask(call, member, "GET /runs", query={"credentialId": credential_id, "per-page": LOOKED_AT})).data)
    used: dict[int | None, int] = {}
    for run in runs:
        used[run["triggerActionId"]] = used.get(run["triggerActionId"], 0) + 1
    told, more = await history(call, member, item)
    return page(
        call,
        member,
        "connection.html",
        title=cut(item["title"], 60),
        status=422 if fault is not None else filled.status,
        item=item,
        way=way,
        labels=labels,
        testable=testable,
        partner=await names.partner(item["partnerId"]),
        stands=stands(item),
        used=[{"id": key, "title": await names.operation(key), "count": count} for key, count in used.items()],
        looked_at=len(runs),
        runs=[run | {"operation": await names.operation(run["triggerActionId"])} for run in runs[:SHOWN_RUNS]],
        history=told,
        more=more,
        earlier=bool(call.http.query_params.get("cursor")),
        fault=fault,
        filled=filled,
    )


async def _way(call: Call, member: Member, item: Mapping[str, Any]) -> tuple[str, dict[str, str], bool]:
    """What the way to connect and its fields are called at the partner, and whether it has anything to ask; names where the partner has no such way any more."""
    try:
        partner = await call.engine.runtime.catalog.seen_by(member.user.account_id).partner(item["partnerId"])
    except NotFound:
        return str(item["auth"]), {}, False
    way = next((choice for choice in ways_of(partner) if choice.name == item["auth"]), None)
    labels = {field.name: field.label for field in connection_fields(partner, item["auth"])}
    return way.label if way is not None else str(item["auth"]), labels, can_be_asked(partner, item["auth"])


def ways_of(partner: Partner) -> Sequence[AuthChoice]:
    """The ways to connect to a partner."""
    return partner.file.connection.auth if partner.file.connection is not None else ()


async def test(call: Call, member: Member) -> Answer:
    """POST /console/connections/{credentialId}/test."""
    credential_id = call.id("credentialId")
    found = (await ask(call, member, f"POST {_ONE}/test", credentialId=credential_id)).data
    partner = await Names(call, member).partner(found["credential"]["partnerId"])
    return moved(call, f"/connections/{credential_id}", said=_found(found, cut(partner, 80)))


def _found(found: Mapping[str, Any], partner: str) -> Said:
    """What a test found, in words. Who was not reached has refused nothing."""
    if not found["asked"]:
        return Said(words=f"It {NOTHING_TO_ASK}", bad=True)
    if found["ok"]:
        account = found["credential"]["account"]
        return Said(words=f"{partner} takes it: {cut(account, 120)}." if account else f"{partner} takes it.")
    told = cut(found["error"]["message"], 600)
    if found["error"]["code"] == "connection_invalid":
        return Said(words=f"{partner} does not take it: {told}", bad=True)
    return Said(words=f"It could not be tested: {told}", bad=True)


async def rename(call: Call, member: Member) -> Answer:
    """POST /console/connections/{credentialId}/title."""
    title = form(call).get("title", "").strip()
    try:
        await ask(call, member, f"PATCH {_ONE}", credentialId=call.id("credentialId"), body={"title": title})
    except TOLD as error:
        return await _connection(call, member, filled=refused(call, error, {"title": "title"}))
    return moved(call, f"/connections/{call.id('credentialId')}", said=Said(words=f"It is called “{plain_name(title)}” now."))


async def delete(call: Call, member: Member) -> Answer:
    """POST /console/connections/{credentialId}/delete: with the title typed."""
    credential_id = call.id("credentialId")
    item = (await ask(call, member, f"GET {_ONE}", credentialId=credential_id)).data
    if not typed(call, item["title"]):
        return await _connection(call, member, fault="That was not the title of this connection: nothing was deleted.")
    await ask(call, member, f"DELETE {_ONE}", credentialId=credential_id)
    return moved(
        call, "/connections", said=Said(words=f"The connection “{plain_name(item['title'])}” is deleted, and its secrets are destroyed.")
    )


SCREENS: Final = (
    screen("GET", "/connections", show, "Connections", scope="connections:read"),
    screen("GET", "/connections/{credentialId}", show_connection, "A connection", scope="connections:read"),
    screen("POST", "/connections/{credentialId}/test", test, "Test a connection", scope="connections:write"),
    screen("POST", "/connections/{credentialId}/title", rename, "Give a connection another title", scope="connections:write"),
    screen("POST", "/connections/{credentialId}/delete", delete, "Delete a connection", scope="connections:write"),
)
