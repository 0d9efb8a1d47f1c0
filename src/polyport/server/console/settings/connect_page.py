"""The connect page: how it looks, and where customers may be led back to."""

from __future__ import annotations

from typing import Any, Final

from polyport.server.console.asked import BLANK, TOLD, Filled, lines, refused
from polyport.server.console.member import Member
from polyport.server.console.screen import form, screen
from polyport.server.console.show import moved, page
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call

USUAL_COLOR: Final = "#1f4fd8"


async def show(call: Call, member: Member) -> Answer:
    """GET /console/settings/connect-page."""
    return await _connect_page(call, member)


async def _connect_page(call: Call, member: Member, filled: Filled = BLANK) -> Answer:
    account = (await ask(call, member, "GET /account")).data
    return page(
        call,
        member,
        "settings_connect_page.html",
        title="Connect page",
        status=filled.status,
        account=account,
        branding=account["branding"],
        usual_color=USUAL_COLOR,
        filled=filled,
        saved=call.http.query_params.get("saved") == "1",
    )


async def change_branding(call: Call, member: Member) -> Answer:
    """POST /console/settings/connect-page."""
    told = form(call)
    kept = (await ask(call, member, "GET /account")).data["branding"]
    logo = told.get("logo", "").strip()
    branding: dict[str, Any] = {
        "name": told.get("name", "").strip() or None,
        "color": (told.get("color", "").strip() or None) if told.get("colored") else None,
        "logo": None if told.get("unset-logo") else logo or kept["logo"],
    }
    return await _change(call, member, {"branding": branding})


async def change_hosts(call: Call, member: Member) -> Answer:
    """POST /console/settings/redirect-hosts."""
    return await _change(call, member, {"allowedRedirectHosts": lines(form(call).get("hosts", ""))})


async def _change(call: Call, member: Member, body: dict[str, Any]) -> Answer:
    fields = {"branding.name": "name", "branding.color": "color", "branding.logo": "logo", "allowedRedirectHosts": "hosts"}
    try:
        await ask(call, member, "PATCH /account", body=body)
    except TOLD as error:
        return await _connect_page(call, member, refused(call, error, fields))
    return moved(call, "/settings/connect-page", saved="1")


SCREENS: Final = (
    screen("GET", "/settings/connect-page", show, "How the connect page looks", scope="admin"),
    screen("POST", "/settings/connect-page", change_branding, "Change how the connect page looks", scope="admin"),
    screen("POST", "/settings/redirect-hosts", change_hosts, "Change where customers may be led back to", scope="admin"),
)
