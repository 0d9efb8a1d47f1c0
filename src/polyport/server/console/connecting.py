"""Connecting: a new connection, and new credentials for one that is there; by the fields, proved before they are kept, or by a link that is sent to the customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from polyport.engine.caller import connection_fields
from polyport.engine.checks import can_be_asked
from polyport.errors import BlockedAddress, Conflict, ConnectionInvalid, PartnerFault, PolyportError, ValidationFailed
from polyport.manifest.model import AuthChoice, Partner
from polyport.server.connect.forms import MARK, Control, control, given_fields, with_errors
from polyport.server.connect.words import LANGUAGES, words_of
from polyport.server.console.asked import WORDS, id_of
from polyport.server.console.connections import ways_of
from polyport.server.console.links import to_link
from polyport.server.console.member import Member
from polyport.server.console.notes import notes
from polyport.server.console.said import Said
from polyport.server.console.screen import form, screen
from polyport.server.console.show import moved, page, plain_name
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call

_ONE: Final = "/credentials/{credentialId}"
_TOLD: Final = (ValidationFailed, PartnerFault, BlockedAddress, Conflict, ConnectionInvalid)
_AGAIN: Final = "Fill it in again: what is secret is not sent back to the page."
_KEPT: Final = "Leave it empty to keep the one there is."
_ABOUT: Final = {"title": "title", "externalUserId": "user"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What was filled in, in which form, and why it was not taken."""

    error: PolyportError
    given: Mapping[str, Any]
    by_link: bool = False


async def new(call: Call, member: Member) -> Answer:
    """GET /console/connections/new."""
    partner = await _partner(call, member)
    if partner is None:
        return moved(call, "/catalogue")
    return await _form(call, member, partner, call.http.query_params.get("auth"))


async def create(call: Call, member: Member) -> Answer:
    """POST /console/connections/new. With ``to`` it is another way to connect that was asked for: what was typed beside the fields goes with it."""
    told, partner = form(call), await _partner(call, member)
    if partner is None:
        return moved(call, "/catalogue")
    if told.get("to"):
        title, user = (told.get(name, "")[:300] for name in _ABOUT)
        return moved(call, "/connections/new", partnerId=partner.file.id, auth=told["to"], title=title, externalUserId=user)
    auth = told.get("auth", "")
    if auth not in {choice.name for choice in ways_of(partner)}:
        return await _form(call, member, partner, None)
    given = given_fields(told, connection_fields(partner, auth))
    body = _about(told, partner) | {"partnerId": partner.file.id, "fields": given, "auth": auth}
    try:
        made = (await ask(call, member, "POST /credentials", body=body)).data
    except _TOLD as error:
        return await _form(call, member, partner, auth, refused=Refused(error=error, given=given))
    taken = f"{plain_name(partner.file.title)} takes it" if can_be_asked(partner, auth) else "It is kept"
    return moved(call, f"/connections/{made['credentialId']}", said=Said(words=f"Connected. {taken}: try it with an operation next."))


async def create_link(call: Call, member: Member) -> Answer:
    """POST /console/connections/link."""
    told, partner = form(call), await _partner(call, member)
    if partner is None:
        return moved(call, "/catalogue")
    language = told.get("language", "")
    body = _about(told, partner) | {"partnerId": partner.file.id} | ({"language": language} if language else {})
    try:
        made = (await ask(call, member, "POST /credentials/grant-access-sharing", body=body)).data
    except _TOLD as error:
        return await _form(call, member, partner, None, refused=Refused(error=error, given={}, by_link=True))
    return to_link(call, made)


async def again(call: Call, member: Member) -> Answer:
    """GET /console/connections/{credentialId}/reconnect."""
    item, partner = await _connected(call, member)
    return await _form(call, member, partner, call.http.query_params.get("auth") or item["auth"], renews=item)


async def replace_fields(call: Call, member: Member) -> Answer:
    """POST /console/connections/{credentialId}/fields: the id stays; the old credentials stay too, unless the partner takes the new ones."""
    told, (item, partner) = form(call), await _connected(call, member)
    if told.get("to"):
        return moved(call, f"/connections/{item['credentialId']}/reconnect", auth=told["to"])
    auth = told.get("auth", "")
    if auth not in {choice.name for choice in ways_of(partner)}:
        return await _form(call, member, partner, item["auth"], renews=item)
    variables = connection_fields(partner, auth)
    given = given_fields(told, variables)
    # What was there and is empty now is taken away; a secret that is empty stays.
    emptied = {
        each.name: None for each in variables if not each.secret and each.name not in given and item["fields"].get(each.name) is not None
    }
    body = {"fields": {**(emptied if auth == item["auth"] else {}), **given}, "auth": auth}
    try:
        await ask(call, member, f"PATCH {_ONE}", credentialId=item["credentialId"], body=body)
    except _TOLD as error:
        return await _form(call, member, partner, auth, renews=item, refused=Refused(error=error, given=given))
    words = "It has the new credentials" + (f", and {plain_name(partner.file.title)} takes them." if can_be_asked(partner, auth) else ".")
    return moved(call, f"/connections/{item['credentialId']}", said=Said(words=words))


async def link_again(call: Call, member: Member) -> Answer:
    """POST /console/connections/{credentialId}/reconnect."""
    language = form(call).get("language", "")
    body = {"language": language} if language else {}
    try:
        made = (await ask(call, member, f"POST {_ONE}/reconnect", credentialId=call.id("credentialId"), body=body)).data
    except _TOLD as error:
        item, partner = await _connected(call, member)
        return await _form(call, member, partner, item["auth"], renews=item, refused=Refused(error=error, given={}, by_link=True))
    return to_link(call, made)


async def _connected(call: Call, member: Member) -> tuple[dict[str, Any], Partner]:
    """The connection of the address and its partner. Raises ``NotFound``."""
    item: dict[str, Any] = (await ask(call, member, f"GET {_ONE}", credentialId=call.id("credentialId"))).data
    return item, await call.engine.runtime.catalog.seen_by(member.user.account_id).partner(item["partnerId"])


async def _form(
    call: Call,
    member: Member,
    partner: Partner,
    auth: str | None,
    *,
    renews: Mapping[str, Any] | None = None,
    refused: Refused | None = None,
) -> Answer:
    ways = [choice for choice in ways_of(partner) if not choice.scheme.by_link_only]
    way = next((choice for choice in ways if choice.name == auth), ways[0] if ways else None)
    by_fields, by_link = (refused, None) if refused is None or not refused.by_link else (None, refused)
    controls, rest = _controls(partner, way, renews, by_fields)
    about = {fault.path: WORDS.get(fault.code, fault.message) for fault in refused.error.details.fields} if refused is not None else {}
    title = plain_name(renews["title"] if renews is not None else partner.file.title)
    return page(
        call,
        member,
        "connecting.html",
        title=f"Reconnect {title}" if renews is not None else f"Connect {title}",
        status=refused.error.status if refused is not None else 200,
        partner=(await ask(call, member, "GET /partners/{partnerId}", partnerId=partner.file.id)).data,
        how=notes((await ask(call, member, "GET /partners/{partnerId}/evidence", partnerId=partner.file.id)).data["notes"]).how,
        renews=renews,
        needs=bool(ways_of(partner)),
        ways=ways,
        way=way,
        asks=way is not None and can_be_asked(partner, way.name),
        unready=await _unready(call, member, partner),
        controls=controls,
        mark=MARK,
        rest=[sentence for sentence in rest if sentence not in about.values()],
        wrong={shown: about[path] for path, shown in _ABOUT.items() if path in about},
        link_wrong=by_link,
        typed={name: (form(call) or call.http.query_params).get(name, "") for name in _ABOUT},
        languages=LANGUAGES,
    )


def _controls(
    partner: Partner, way: AuthChoice | None, renews: Mapping[str, Any] | None, refused: Refused | None
) -> tuple[Sequence[Control], Sequence[str]]:
    """What the form asks for, and what is wrong with it. Secrets are in no page: what was typed of them has to be typed again, and that is said."""
    variables = connection_fields(partner, way.name) if way is not None else ()
    same = renews is not None and way is not None and way.name == renews["auth"]
    held = renews["fields"] if renews is not None and same else {}
    given = refused.given if refused is not None else held
    controls: Sequence[Control] = [control(variable, given.get(variable.name)) for variable in variables]
    rest: Sequence[str] = ()
    if refused is not None:
        controls, rest = with_errors(controls, refused.error, words_of("en"), partner.file.title)
    hinted: list[Control] = []
    for each in controls:
        kept = each.secret and each.name in held
        lost = refused is not None and each.secret and each.name in refused.given and each.error is None
        hint = _AGAIN if lost else _KEPT if kept else None
        shown = replace(each, hint=" ".join(part for part in (hint, each.hint) if part)) if hint is not None else each
        hinted.append(replace(shown, required=False) if kept else shown)
    return hinted, rest


async def _unready(call: Call, member: Member, partner: Partner) -> bool:
    """Whether customers would sign in at this partner, and cannot: the OAuth app is not set up, and there is no other way."""
    told = (await ask(call, member, "GET /partners/{partnerId}/credential-fields", partnerId=partner.file.id)).data
    ready = [each["isReady"] for each in told if "isReady" in each]
    return bool(ready) and not any(ready)


async def _partner(call: Call, member: Member) -> Partner | None:
    """The partner that the form or the address names. Raises ``NotFound``."""
    partner_id = id_of(form(call).get("partnerId") or call.http.query_params.get("partnerId", ""))
    return await call.engine.runtime.catalog.seen_by(member.user.account_id).partner(partner_id) if partner_id is not None else None


def _about(told: Mapping[str, str], partner: Partner) -> dict[str, Any]:
    """What people say of a connection: a title, and whose it is."""
    user = told.get("externalUserId", "").strip()
    return {"title": told.get("title", "").strip() or partner.file.title} | ({"externalUserId": user} if user else {})


SCREENS: Final = (
    screen("GET", "/connections/new", new, "Make a connection", scope="connections:write"),
    screen("POST", "/connections/new", create, "Make a connection by its fields", scope="connections:write"),
    screen("POST", "/connections/link", create_link, "Make a link by which a customer connects", scope="connections:write"),
    screen("GET", "/connections/{credentialId}/reconnect", again, "Give a connection new credentials", scope="connections:write"),
    screen("POST", "/connections/{credentialId}/fields", replace_fields, "Give a connection new fields", scope="connections:write"),
    screen("POST", "/connections/{credentialId}/reconnect", link_again, "Make a link to connect again", scope="connections:write"),
)
