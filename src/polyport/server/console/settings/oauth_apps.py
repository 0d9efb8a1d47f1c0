"""OAuth apps: with which client id and secret customers sign in at partners."""

from __future__ import annotations

from typing import Any, Final

from polyport.server.console.asked import BLANK, TOLD, Filled, not_typed, refused, taken, typed
from polyport.server.console.member import Member
from polyport.server.console.said import Said
from polyport.server.console.screen import form, screen
from polyport.server.console.show import cursor, moved, page, pager, plain_name
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call

PER_PAGE: Final = 50
_ONE: Final = "/oauth-apps/{partnerId}"
_FIELDS: Final = {
    "clientId": "clientId",
    "clientSecret": "clientSecret",
    "privateKey": "privateKey",
    "keyId": "keyId",
    "auth": "auth",
    "scopes": "scopes",
    "scopeChoices": "scopeChoices",
}


async def show(call: Call, member: Member) -> Answer:
    """GET /console/settings/oauth-apps."""
    answer = await ask(call, member, "GET /oauth-apps", query={"cursor": cursor(call), "per-page": PER_PAGE})
    return page(
        call, member, "settings_oauth_apps.html", title="OAuth apps", apps=answer.data, pager=pager(call, answer.meta or {})
    )  # fmt: skip


async def show_app(call: Call, member: Member) -> Answer:
    """GET /console/settings/oauth-apps/{partnerId}."""
    return await _app(call, member)


async def _app(call: Call, member: Member, filled: Filled = BLANK) -> Answer:
    found = (await ask(call, member, f"GET {_ONE}", partnerId=call.id("partnerId"))).data
    return page(
        call,
        member,
        "settings_oauth_app.html",
        title=f"OAuth app for {found['partnerTitle']}",
        status=filled.status,
        app=found,
        ways=[("", "All of them"), *((name, name) for name in found["authChoices"])],
        filled=filled,
        register=found["docs"] if (found["docs"] or "").startswith("https://") else None,
    )


async def change(call: Call, member: Member) -> Answer:
    """POST /console/settings/oauth-apps/{partnerId}."""
    told, partner_id = form(call), call.id("partnerId")
    body: dict[str, Any] = {"clientId": ""} | taken(told, ("clientId", "clientSecret", "privateKey", "keyId", "auth"), ("scopes",))
    offered = [each["scope"] for each in (await ask(call, member, f"GET {_ONE}", partnerId=partner_id)).data["scopesOffered"]]
    added = [scope for scope in offered if told.get(f"choice.{scope}")]
    if added != offered:  # all of them are what the partner's folder says, whatever it comes to say
        body["scopeChoices"] = added
    try:
        await ask(call, member, f"PUT {_ONE}", partnerId=partner_id, body=body)
    except TOLD as error:
        return await _app(call, member, refused(call, error, _FIELDS))
    return moved(call, f"/settings/oauth-apps/{partner_id}", said=Said(words="Saved."))


async def delete(call: Call, member: Member) -> Answer:
    """POST /console/settings/oauth-apps/{partnerId}/delete: with the partner's title typed."""
    partner_id = call.id("partnerId")
    found = (await ask(call, member, f"GET {_ONE}", partnerId=partner_id)).data
    if not typed(call, found["partnerTitle"]):
        return await _app(call, member, not_typed())
    await ask(call, member, f"DELETE {_ONE}", partnerId=partner_id)
    return moved(call, "/settings/oauth-apps", said=Said(words=f"Your app for {plain_name(found['partnerTitle'])} is deleted."))


SCREENS: Final = (
    screen("GET", "/settings/oauth-apps", show, "OAuth apps", scope="admin"),
    screen("GET", "/settings/oauth-apps/{partnerId}", show_app, "The OAuth app for a partner", scope="admin"),
    screen("POST", "/settings/oauth-apps/{partnerId}", change, "Set the OAuth app for a partner", scope="admin"),
    screen("POST", "/settings/oauth-apps/{partnerId}/delete", delete, "Delete the OAuth app for a partner", scope="admin"),
)
