"""Webhooks: who is told of events, the secrets that sign what is told, and their rotation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from polyport.events import EVENT_TYPES, PATTERNS
from polyport.server.console.asked import BLANK, TOLD, Filled, not_typed, refused, typed
from polyport.server.console.member import Member
from polyport.server.console.screen import form, screen
from polyport.server.console.show import moved, page
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call

KEEPS: Final = (("86400", "For a day"), ("3600", "For an hour"), ("604800", "For a week"), ("0", "Not at all: it ends now"))
TYPES: Final = {"*": "Everything", "connection.*": "All of connections", **EVENT_TYPES}
_ONE: Final = "/event-endpoints/{endpointId}"
_FIELDS: Final = {"url": "url", "title": "title", "eventTypes": "types"}


async def show(call: Call, member: Member) -> Answer:
    """GET /console/settings/webhooks."""
    return await _webhooks(call, member)


async def _webhooks(
    call: Call, member: Member, *, filled: Filled = BLANK, made: Mapping[str, Any] | None = None, secret: str | None = None
) -> Answer:
    return page(
        call,
        member,
        "settings_webhooks.html",
        title="Webhooks",
        status=filled.status,
        endpoints=(await ask(call, member, "GET /event-endpoints")).data,
        callback=(await ask(call, member, "GET /account/callback-secret")).data,
        types=TYPES,
        keeps=KEEPS,
        filled=filled,
        made=made,
        secret=secret,
    )


async def create(call: Call, member: Member) -> Answer:
    """POST /console/settings/webhooks."""
    try:
        made = (await ask(call, member, "POST /event-endpoints", body=_body(call))).data
    except TOLD as error:
        return await _webhooks(call, member, filled=refused(call, error, _FIELDS))
    return await _webhooks(call, member, made=made)


def _body(call: Call) -> dict[str, Any]:
    told = form(call)
    types = [name for name in (*PATTERNS, *EVENT_TYPES) if told.get(f"type.{name}")]
    return {"url": told.get("url", "").strip(), "title": told.get("title", "").strip(), "eventTypes": types}


async def rotate_callback_secret(call: Call, member: Member) -> Answer:
    """POST /console/settings/webhooks/callback-secret."""
    found = (await ask(call, member, "POST /account/callback-secret/rotate", body=_keep(call))).data
    return await _webhooks(call, member, secret=found["secret"])


def _keep(call: Call) -> dict[str, Any]:
    keep = form(call).get("keepFor", "")
    return {"keepFor": int(keep)} if keep in dict(KEEPS) else {}


async def show_endpoint(call: Call, member: Member) -> Answer:
    """GET /console/settings/webhooks/{endpointId}."""
    return await _endpoint(call, member)


async def _endpoint(call: Call, member: Member, *, filled: Filled = BLANK, secret: str | None = None, sent: str | None = None) -> Answer:
    found = await _read(call, member)
    return page(
        call,
        member,
        "settings_webhook.html",
        title="Webhook",
        status=filled.status,
        endpoint=found,
        types=TYPES,
        keeps=KEEPS,
        filled=filled,
        secret=secret,
        sent=sent,
    )


async def _read(call: Call, member: Member) -> dict[str, Any]:
    return dict((await ask(call, member, f"GET {_ONE}", endpointId=call.text("endpointId"))).data)


async def change(call: Call, member: Member) -> Answer:
    """POST /console/settings/webhooks/{endpointId}."""
    try:
        await ask(call, member, f"PATCH {_ONE}", endpointId=call.text("endpointId"), body=_body(call))
    except TOLD as error:
        return await _endpoint(call, member, filled=refused(call, error, _FIELDS))
    return moved(call, f"/settings/webhooks/{call.text('endpointId')}")


async def change_status(call: Call, member: Member) -> Answer:
    """POST /console/settings/webhooks/{endpointId}/status: pause it, or let it go on."""
    status = "paused" if form(call).get("status") == "paused" else "active"
    await ask(call, member, f"PATCH {_ONE}", endpointId=call.text("endpointId"), body={"status": status})
    return moved(call, f"/settings/webhooks/{call.text('endpointId')}")


async def rotate(call: Call, member: Member) -> Answer:
    """POST /console/settings/webhooks/{endpointId}/secret."""
    found = (await ask(call, member, f"POST {_ONE}/rotate-secret", endpointId=call.text("endpointId"), body=_keep(call))).data
    return await _endpoint(call, member, secret=found["secret"])


async def test(call: Call, member: Member) -> Answer:
    """POST /console/settings/webhooks/{endpointId}/test."""
    try:
        found = (await ask(call, member, f"POST {_ONE}/test", endpointId=call.text("endpointId"), body={})).data
    except TOLD as error:
        return await _endpoint(call, member, filled=refused(call, error, {}))
    return await _endpoint(call, member, sent=found["eventId"])


async def delete(call: Call, member: Member) -> Answer:
    """POST /console/settings/webhooks/{endpointId}/delete: with its address typed."""
    found = await _read(call, member)
    if not typed(call, found["title"] or found["url"]):
        return await _endpoint(call, member, filled=not_typed())
    await ask(call, member, f"DELETE {_ONE}", endpointId=call.text("endpointId"))
    return moved(call, "/settings/webhooks")


_PATH: Final = "/settings/webhooks/{endpointId}"

SCREENS: Final = (
    screen("GET", "/settings/webhooks", show, "Webhooks and their secrets", scope="admin"),
    screen("POST", "/settings/webhooks", create, "Make a webhook", scope="admin"),
    screen("POST", "/settings/webhooks/callback-secret", rotate_callback_secret, "Give callbacks another secret", scope="admin"),
    screen("GET", _PATH, show_endpoint, "A webhook", scope="admin"),
    screen("POST", _PATH, change, "Change a webhook", scope="admin"),
    screen("POST", _PATH + "/status", change_status, "Pause a webhook or let it go on", scope="admin"),
    screen("POST", _PATH + "/secret", rotate, "Give a webhook another secret", scope="admin"),
    screen("POST", _PATH + "/test", test, "Send a webhook an event that tells nothing", scope="admin"),
    screen("POST", _PATH + "/delete", delete, "Delete a webhook", scope="admin"),
)
