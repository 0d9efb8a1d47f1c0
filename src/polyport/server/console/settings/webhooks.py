"""Webhooks: who is told of events, what came of that, the secrets that sign what is told, and their rotation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from polyport.errors import Conflict, NotFound
from polyport.events import EVENT_TYPES, PATTERNS, TEST
from polyport.server.console.asked import BLANK, TOLD, Filled, not_typed, of_another_form, refused, typed
from polyport.server.console.member import Member
from polyport.server.console.said import Said
from polyport.server.console.screen import form, screen
from polyport.server.console.show import chosen, cursor, moved, options, page, pager, plain_name
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call

PER_PAGE: Final = 25
AT_ONCE: Final = "0"
KEEPS: Final = (("86400", "For a day"), ("3600", "For an hour"), ("604800", "For a week"), (AT_ONCE, "Not at all: it ends now"))
TYPES: Final = {"*": "Everything", "connection.*": "All of connections", **EVENT_TYPES}
CALLBACKS: Final = "callbacks"  # what is typed before their secret ends
STATUSES: Final = (("pending", "On their way"), ("delivered", "Delivered"), ("dead", "Given up"))
_AT: Final = "/settings/webhooks"
_ONE: Final = "/event-endpoints/{endpointId}"
_FIELDS: Final = {"url": "url", "title": "title", "eventTypes": "types"}


async def show(call: Call, member: Member) -> Answer:
    """GET /console/settings/webhooks."""
    return await _webhooks(call, member)


async def _webhooks(call: Call, member: Member, *, filled: Filled = BLANK) -> Answer:
    found = await ask(call, member, "GET /event-endpoints", query={"cursor": cursor(call), "per-page": PER_PAGE})
    return page(
        call,
        member,
        "settings_webhooks.html",
        title="Webhooks",
        status=filled.status,
        endpoints=found.data,
        pager=pager(call, found.meta or {}, _AT),
        callback=(await ask(call, member, "GET /account/callback-secret")).data,
        types=TYPES,
        keeps=KEEPS,
        filled=filled,
    )


async def create(call: Call, member: Member) -> Answer:
    """POST /console/settings/webhooks."""
    try:
        made = (await ask(call, member, "POST /event-endpoints", body=_body(call))).data
    except TOLD as error:
        return await _webhooks(call, member, filled=refused(call, error, _FIELDS))
    return moved(call, f"{_AT}/{made['endpointId']}", said=Said(once={"secret": made["secret"], "made": "1"}))


def _body(call: Call) -> dict[str, Any]:
    told = form(call)
    types = [name for name in (*PATTERNS, *EVENT_TYPES) if told.get(f"type.{name}")]
    return {"url": told.get("url", "").strip(), "title": told.get("title", "").strip(), "eventTypes": types}


async def ask_for_callback_secret(call: Call, member: Member) -> Answer:
    """GET /console/settings/webhooks/callback-secret: before the secret of callbacks ends at once."""
    text = "The old one ends now: your receiver refuses every callback until it knows the new one."
    return _asked(call, member, "End the secret of callbacks?", text, CALLBACKS, f"{_AT}/callback-secret", _AT)


def _asked(call: Call, member: Member, heading: str, text: str, name: str, path: str, back: str) -> Answer:
    return page(
        call,
        member,
        "settings_asked.html",
        title=heading,
        heading=heading,
        text=text,
        name=name,
        path=path,
        back=back,
        said_no="Leave it",
        button="Give it another secret",
        hidden={"keepFor": AT_ONCE},
    )


async def rotate_callback_secret(call: Call, member: Member) -> Answer:
    """POST /console/settings/webhooks/callback-secret: with a word typed where the old one ends at once."""
    if _ends_at_once(call):
        if "confirm" not in form(call):
            return moved(call, f"{_AT}/callback-secret")
        if not typed(call, CALLBACKS):
            return await _webhooks(call, member, filled=not_typed())
    try:
        found = (await ask(call, member, "POST /account/callback-secret/rotate", body=_keep(call))).data
    except Conflict as error:
        return await _webhooks(call, member, filled=of_another_form(call, error))
    return moved(call, _AT, said=Said(once={"secret": found["secret"]}))


def _ends_at_once(call: Call) -> bool:
    return form(call).get("keepFor") == AT_ONCE


def _keep(call: Call) -> dict[str, Any]:
    keep = form(call).get("keepFor", "")
    return {"keepFor": int(keep)} if keep in dict(KEEPS) else {}


async def show_endpoint(call: Call, member: Member) -> Answer:
    """GET /console/settings/webhooks/{endpointId}."""
    return await _endpoint(call, member)


async def _endpoint(call: Call, member: Member, *, filled: Filled = BLANK) -> Answer:
    found = await _read(call, member)
    at, given = f"{_AT}/{found['endpointId']}", chosen(call, "status", "sent")
    told = {"endpointId": found["endpointId"], "status": given.get("status"), "cursor": call.http.query_params.get("cursor")}
    events = await ask(call, member, "GET /events", query=told | {"per-page": PER_PAGE})
    sent = await _sent(call, member, found, given.get("sent", ""))
    return page(
        call,
        member,
        "settings_webhook.html",
        title="Webhook",
        status=filled.status,
        endpoint=found,
        types=TYPES,
        names={**EVENT_TYPES, TEST: "A test"},
        keeps=KEEPS,
        filled=filled,
        events=events.data,
        pager=pager(call, events.meta or {}, at),
        statuses=options(STATUSES, given.get("status"), "All events"),
        filtered="status" in given,
        sent=sent,
        follows=sent is not None and found["status"] == "active" and _is_open(sent),
    )


async def _sent(call: Call, member: Member, endpoint: Mapping[str, Any], event_id: str) -> Mapping[str, Any] | None:
    """The event that this page was asked to follow, if it is one of this webhook."""
    if not event_id:
        return None
    try:
        found: Mapping[str, Any] = (await ask(call, member, "GET /events/{eventId}", eventId=event_id)).data
    except NotFound:
        return None
    return found if found["endpointId"] == endpoint["endpointId"] else None


def _is_open(event: Mapping[str, Any]) -> bool:
    """Whether nothing is known yet of what came of an event."""
    return bool(event["status"] == "pending" and (not event["attempts"] or (event["lastStatus"] is None and event["lastError"] is None)))


async def _read(call: Call, member: Member) -> dict[str, Any]:
    return dict((await ask(call, member, f"GET {_ONE}", endpointId=call.text("endpointId"))).data)


def _moved(call: Call, said: Said, **query: Any) -> Answer:
    return moved(call, f"{_AT}/{call.text('endpointId')}", said=said, **query)


async def change(call: Call, member: Member) -> Answer:
    """POST /console/settings/webhooks/{endpointId}."""
    try:
        await ask(call, member, f"PATCH {_ONE}", endpointId=call.text("endpointId"), body=_body(call))
    except TOLD as error:
        return await _endpoint(call, member, filled=refused(call, error, _FIELDS))
    return _moved(call, Said(words="Saved."))


async def change_status(call: Call, member: Member) -> Answer:
    """POST /console/settings/webhooks/{endpointId}/status: pause it, or let it go on."""
    status = "paused" if form(call).get("status") == "paused" else "active"
    try:
        await ask(call, member, f"PATCH {_ONE}", endpointId=call.text("endpointId"), body={"status": status})
    except TOLD as error:
        return await _endpoint(call, member, filled=of_another_form(call, error))
    words = "It is paused: what happens now waits for it." if status == "paused" else "It goes on: what waited for it is sent now."
    return _moved(call, Said(words=words))


async def ask_for_secret(call: Call, member: Member) -> Answer:
    """GET /console/settings/webhooks/{endpointId}/secret: before its secret ends at once."""
    found = await _read(call, member)
    at = f"{_AT}/{found['endpointId']}"
    text = "The old one ends now: your receiver refuses every event until it knows the new one."
    return _asked(call, member, "End the secret of this webhook?", text, found["title"] or found["url"], f"{at}/secret", at)


async def rotate(call: Call, member: Member) -> Answer:
    """POST /console/settings/webhooks/{endpointId}/secret: with its name typed where the old one ends at once."""
    if _ends_at_once(call):
        found = await _read(call, member)
        if "confirm" not in form(call):
            return moved(call, f"{_AT}/{found['endpointId']}/secret")
        if not typed(call, found["title"] or found["url"]):
            return await _endpoint(call, member, filled=not_typed())
    try:
        made = (await ask(call, member, f"POST {_ONE}/rotate-secret", endpointId=call.text("endpointId"), body=_keep(call))).data
    except Conflict as error:
        return await _endpoint(call, member, filled=of_another_form(call, error))
    return _moved(call, Said(once={"secret": made["secret"]}))


async def test(call: Call, member: Member) -> Answer:
    """POST /console/settings/webhooks/{endpointId}/test. The page then says what came of it."""
    try:
        found = (await ask(call, member, f"POST {_ONE}/test", endpointId=call.text("endpointId"), body={})).data
    except Conflict:
        return _moved(call, Said(words="A test can be sent once this webhook goes on.", bad=True))
    return moved(call, f"{_AT}/{call.text('endpointId')}", sent=found["eventId"])


async def send_anew(call: Call, member: Member) -> Answer:
    """POST /console/settings/webhooks/{endpointId}/events/{eventId}/replay."""
    event_id = call.text("eventId")
    try:
        await ask(call, member, "POST /events/{eventId}/replay", eventId=event_id, body={})
    except Conflict:
        return _moved(call, Said(words="This event is on its way already.", bad=True))
    return moved(call, f"{_AT}/{call.text('endpointId')}", sent=event_id)


async def delete(call: Call, member: Member) -> Answer:
    """POST /console/settings/webhooks/{endpointId}/delete: with its name typed."""
    found = await _read(call, member)
    name = found["title"] or found["url"]
    if not typed(call, name):
        return await _endpoint(call, member, filled=not_typed())
    await ask(call, member, f"DELETE {_ONE}", endpointId=call.text("endpointId"))
    return moved(call, _AT, said=Said(words=f"The webhook “{plain_name(name)}” is deleted."))


_PATH: Final = _AT + "/{endpointId}"

SCREENS: Final = (
    screen("GET", _AT, show, "Webhooks and their secrets", scope="admin"),
    screen("POST", _AT, create, "Make a webhook", scope="admin"),
    screen("GET", _AT + "/callback-secret", ask_for_callback_secret, "Before the secret of callbacks ends", scope="admin"),
    screen("POST", _AT + "/callback-secret", rotate_callback_secret, "Give callbacks another secret", scope="admin"),
    screen("GET", _PATH, show_endpoint, "A webhook and what it was told", scope="admin"),
    screen("POST", _PATH, change, "Change a webhook", scope="admin"),
    screen("POST", _PATH + "/status", change_status, "Pause a webhook or let it go on", scope="admin"),
    screen("GET", _PATH + "/secret", ask_for_secret, "Before the secret of a webhook ends", scope="admin"),
    screen("POST", _PATH + "/secret", rotate, "Give a webhook another secret", scope="admin"),
    screen("POST", _PATH + "/test", test, "Send a webhook an event that tells nothing", scope="admin"),
    screen("POST", _PATH + "/events/{eventId}/replay", send_anew, "Send an event to a webhook anew", scope="admin"),
    screen("POST", _PATH + "/delete", delete, "Delete a webhook", scope="admin"),
)
