"""Connections: whether they work at a glance, making one by its fields or by a link, testing, reconnecting, deleting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from polyport.engine.caller import connection_fields
from polyport.errors import BlockedAddress, Conflict, ConnectionInvalid, NotFound, PartnerFault, PolyportError, ValidationFailed
from polyport.manifest.model import AuthChoice, Partner
from polyport.server.connect.forms import MARK, Control, control, given_fields, with_errors
from polyport.server.connect.words import LANGUAGES, words_of
from polyport.server.console.asked import id_of, typed
from polyport.server.console.links import show_made
from polyport.server.console.member import Member
from polyport.server.console.names import Names, deed
from polyport.server.console.notes import notes
from polyport.server.console.screen import form, screen
from polyport.server.console.show import Entry, chosen, cursor, cut, moved, options, page, pager
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call
from polyport.store.records import ConnectionStatus

ENTRY: Final = Entry(title="Connections", path="/connections", icon="connections", place=30, scope="connections:read")
PER_PAGE: Final = 25
LOOKED_AT: Final = 100
SHOWN_RUNS: Final = 8
STATUSES: Final = {
    "active": "Works",
    "pending": "Not checked yet",
    "invalid": "Refused",
    "expired": "Sign-in expired",
}
SORTS: Final = (("-credentialId", "Newest first"), ("title", "By title"))
_TOLD_IN_THE_FORM: Final = (ValidationFailed, PartnerFault, BlockedAddress, Conflict, ConnectionInvalid)


async def show(call: Call, member: Member) -> Answer:
    """GET /console/connections."""
    given = chosen(call, "q", "status", "externalUserId", "partnerId", "sort")
    query = {
        "filter[title][like]": given.get("q"),
        "filter[status]": given.get("status"),
        "filter[externalUserId]": given.get("externalUserId"),
        "filter[partnerId]": given.get("partnerId"),
        "sort": given.get("sort", "-credentialId"),
        "cursor": cursor(call),
        "per-page": PER_PAGE,
    }
    answer = await ask(call, member, "GET /credentials", query=query)
    names = Names(call, member)
    connections = [item | {"partner": await names.partner(item["partnerId"])} for item in answer.data]
    return page(
        call,
        member,
        "connections.html",
        title="Connections",
        connections=connections,
        pager=pager(call, answer.meta or {}),
        filters=given,
        narrowed=given.get("partnerId") and await names.partner(int(given["partnerId"])),
        health=await _health(call, member),
        status_names=STATUSES,
        statuses=options(list(STATUSES.items()), given.get("status"), "All statuses"),
        sorts=[{"key": key, "label": label, "chosen": key == query["sort"]} for key, label in SORTS],
    )


async def _health(call: Call, member: Member) -> list[dict[str, Any]]:
    """How many connections there are of each status."""
    counts = (await ask(call, member, "GET /credentials/by-status")).data
    return [{"status": status.value, "label": STATUSES[status.value], "count": counts[status.value]} for status in ConnectionStatus]


async def show_connection(call: Call, member: Member) -> Answer:
    """GET /console/connections/{credentialId}."""
    return await _connection(call, member)


async def _connection(
    call: Call, member: Member, *, tested: Mapping[str, Any] | None = None, fault: str | None = None, status: int = 200
) -> Answer:
    credential_id = call.id("credentialId")
    item = (await ask(call, member, "GET /credentials/{credentialId}", credentialId=credential_id)).data
    names = Names(call, member)
    way, labels = await _labels(call, member, item)
    runs: list[dict[str, Any]] = []
    if member.may("runs:read"):
        runs = list((await ask(call, member, "GET /runs", query={"credentialId": credential_id, "per-page": LOOKED_AT})).data)
    used: dict[int | None, int] = {}
    for run in runs:
        used[run["triggerActionId"]] = used.get(run["triggerActionId"], 0) + 1
    history: Sequence[Mapping[str, Any]] = ()
    if member.may("admin"):
        entries = (await ask(call, member, "GET /audit", query={"target": f"/credentials/{credential_id}", "per-page": 20})).data
        history = [entry | {"what": deed(call, entry["action"])} for entry in entries]
    return page(
        call,
        member,
        "connection.html",
        title=cut(item["title"], 60),
        status=status,
        item=item,
        way=way,
        labels=labels,
        partner=await names.partner(item["partnerId"]),
        status_names=STATUSES,
        used=[{"id": key, "title": await names.operation(key), "count": count} for key, count in used.items()],
        looked_at=len(runs),
        runs=[run | {"operation": await names.operation(run["triggerActionId"])} for run in runs[:SHOWN_RUNS]],
        history=history,
        tested=tested,
        fault=fault,
    )


async def _labels(call: Call, member: Member, item: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """What the way to connect and its fields are called at the partner; their names where the partner has no such way any more."""
    try:
        partner = await call.engine.runtime.catalog.seen_by(member.user.account_id).partner(item["partnerId"])
    except NotFound:
        return str(item["auth"]), {}
    way = next((choice for choice in _ways(partner) if choice.name == item["auth"]), None)
    return way.label if way is not None else str(item["auth"]), {
        field.name: field.label for field in connection_fields(partner, item["auth"])
    }


async def test(call: Call, member: Member) -> Answer:
    """POST /console/connections/{credentialId}/test."""
    found = (await ask(call, member, "POST /credentials/{credentialId}/test", credentialId=call.id("credentialId"))).data
    return await _connection(call, member, tested=found)


async def rename(call: Call, member: Member) -> Answer:
    """POST /console/connections/{credentialId}/title."""
    body = {"title": form(call).get("title", "").strip()}
    await ask(call, member, "PATCH /credentials/{credentialId}", credentialId=call.id("credentialId"), body=body)
    return moved(call, f"/connections/{call.id('credentialId')}")


async def delete(call: Call, member: Member) -> Answer:
    """POST /console/connections/{credentialId}/delete: with the title typed."""
    credential_id = call.id("credentialId")
    item = (await ask(call, member, "GET /credentials/{credentialId}", credentialId=credential_id)).data
    if not typed(call, item["title"]):
        return await _connection(call, member, fault="That was not the title of this connection: nothing was deleted.", status=422)
    await ask(call, member, "DELETE /credentials/{credentialId}", credentialId=credential_id)
    return moved(call, "/connections")


async def reconnect(call: Call, member: Member) -> Answer:
    """POST /console/connections/{credentialId}/reconnect."""
    link = (await ask(call, member, "POST /credentials/{credentialId}/reconnect", credentialId=call.id("credentialId"), body={})).data
    return await _link(call, member, link)


async def _link(call: Call, member: Member, link: dict[str, Any]) -> Answer:
    return show_made(call, member, link, await Names(call, member).partner(link["partnerId"]))


async def new(call: Call, member: Member) -> Answer:
    """GET /console/connections/new."""
    return await _new(call, member, call.http.query_params.get("auth"))


async def _new(
    call: Call, member: Member, auth: str | None, *, given: Mapping[str, Any] | None = None, error: PolyportError | None = None
) -> Answer:
    partner = await _partner(call, member)
    if partner is None:
        return moved(call, "/catalogue")
    ways = [choice for choice in _ways(partner) if not choice.scheme.by_link_only]
    way = next((choice for choice in ways if choice.name == auth), ways[0] if ways else None)
    variables = connection_fields(partner, way.name) if way is not None else ()
    controls: Sequence[Control] = [control(variable, (given or {}).get(variable.name)) for variable in variables]
    rest: tuple[str, ...] = ()
    if error is not None:
        controls, rest = with_errors(controls, error, words_of("en"), partner.file.title)
    return page(
        call,
        member,
        "new_connection.html",
        title=f"Connect {partner.file.title}",
        status=error.status if error is not None else 200,
        partner=(await ask(call, member, "GET /partners/{partnerId}", partnerId=partner.file.id)).data,
        how=notes((await ask(call, member, "GET /partners/{partnerId}/evidence", partnerId=partner.file.id)).data["notes"]).how,
        needs=bool(_ways(partner)),
        ways=ways,
        way=way,
        controls=controls,
        mark=MARK,
        rest=rest,
        filled=form(call),
        languages=LANGUAGES,
    )


async def _partner(call: Call, member: Member) -> Partner | None:
    """The partner that the form or the address names. Raises ``NotFound``."""
    partner_id = id_of(form(call).get("partnerId") or call.http.query_params.get("partnerId", ""))
    return await call.engine.runtime.catalog.seen_by(member.user.account_id).partner(partner_id) if partner_id is not None else None


def _ways(partner: Partner) -> Sequence[AuthChoice]:
    return partner.file.connection.auth if partner.file.connection is not None else ()


async def create(call: Call, member: Member) -> Answer:
    """POST /console/connections/new."""
    told = form(call)
    auth, partner = told.get("auth", ""), await _partner(call, member)
    if partner is None:
        return moved(call, "/catalogue")
    if auth not in {choice.name for choice in _ways(partner)}:
        return await _new(call, member, None)
    given = given_fields(told, connection_fields(partner, auth))
    body = _about(told, partner) | {"partnerId": partner.file.id, "fields": given, "auth": auth}
    try:
        made = (await ask(call, member, "POST /credentials", body=body)).data
    except _TOLD_IN_THE_FORM as error:
        return await _new(call, member, auth, given=given, error=error)
    return moved(call, f"/connections/{made['credentialId']}")


async def create_link(call: Call, member: Member) -> Answer:
    """POST /console/connections/link."""
    told = form(call)
    partner = await _partner(call, member)
    if partner is None:
        return moved(call, "/catalogue")
    language = told.get("language", "")
    body = _about(told, partner) | {"partnerId": partner.file.id} | ({"language": language} if language else {})
    try:
        made = (await ask(call, member, "POST /credentials/grant-access-sharing", body=body)).data
    except _TOLD_IN_THE_FORM as error:
        return await _new(call, member, None, error=error)
    return await _link(call, member, made)


def _about(told: Mapping[str, str], partner: Partner) -> dict[str, Any]:
    """What people say of a connection: a title, and whose it is."""
    user = told.get("externalUserId", "").strip()
    return {"title": told.get("title", "").strip() or partner.file.title} | ({"externalUserId": user} if user else {})


SCREENS: Final = (
    screen("GET", "/connections", show, "Connections", scope="connections:read"),
    screen("GET", "/connections/new", new, "Make a connection", scope="connections:write"),
    screen("POST", "/connections/new", create, "Make a connection by its fields", scope="connections:write"),
    screen("POST", "/connections/link", create_link, "Make a link by which a customer connects", scope="connections:write"),
    screen("GET", "/connections/{credentialId}", show_connection, "A connection", scope="connections:read"),
    screen("POST", "/connections/{credentialId}/test", test, "Test a connection", scope="connections:write"),
    screen("POST", "/connections/{credentialId}/title", rename, "Give a connection another title", scope="connections:write"),
    screen("POST", "/connections/{credentialId}/reconnect", reconnect, "Make a link to connect again", scope="connections:write"),
    screen("POST", "/connections/{credentialId}/delete", delete, "Delete a connection", scope="connections:write"),
)
