"""The connect page: how it looks, with a preview, and where customers may be led back to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from polyport.accounts import Branding
from polyport.errors import NotFound, PolyportError
from polyport.manifest.model import Partner
from polyport.server.connect.preview import preview
from polyport.server.console.asked import BLANK, TOLD, Filled, lines, refused, said_of
from polyport.server.console.home import PARTNER
from polyport.server.console.member import Member
from polyport.server.console.said import Said
from polyport.server.console.screen import form, screen
from polyport.server.console.show import PAGE_HEADERS, cut, moved, page
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call

USUAL_COLOR: Final = "#1f4fd8"
# The preview is a page in a frame of this one, which has no others.
HEADERS: Final = {"Content-Security-Policy": PAGE_HEADERS["Content-Security-Policy"] + "; frame-src 'self'"}
TOLD_MOST: Final = 5
_AT: Final = "/settings/connect-page"
_LINE: Final = re.compile(r"allowedRedirectHosts\[([0-9]+)\]")


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
        headers=HEADERS,
        account=account,
        branding=account["branding"],
        usual_color=USUAL_COLOR,
        filled=filled,
    )


async def change_branding(call: Call, member: Member) -> Answer:
    """POST /console/settings/connect-page."""
    fields = {"branding.name": "name", "branding.color": "color", "branding.logo": "logo"}
    try:
        await ask(call, member, "PATCH /account", body={"branding": await _told(call, member)})
    except TOLD as error:
        return await _connect_page(call, member, refused(call, error, fields))
    return moved(call, _AT, said=Said(words="Saved."))


async def _told(call: Call, member: Member) -> dict[str, Any]:
    """How the page is to look, by what the form says; a logo stays unless there is another one."""
    told = form(call)
    kept = (await ask(call, member, "GET /account")).data["branding"]
    return {
        "name": told.get("name", "").strip() or None,
        "color": (told.get("color", "").strip() or None) if told.get("colored") else None,
        "logo": None if told.get("unset-logo") else told.get("logo", "").strip() or kept["logo"],
    }


async def show_preview(call: Call, member: Member) -> Answer:
    """GET /console/settings/connect-page/preview: as it is."""
    return await _preview(call, member, (await ask(call, member, "GET /account")).data["branding"])


async def try_preview(call: Call, member: Member) -> Answer:
    """POST /console/settings/connect-page/preview: as the form says, which changes nothing."""
    return await _preview(call, member, await _told(call, member))


async def _preview(call: Call, member: Member, told: Mapping[str, Any]) -> Answer:
    return preview(call, _taken(told), await _partner(call, member))


def _taken(told: Mapping[str, Any]) -> Branding:
    """A look without what in it could not be saved."""
    found: dict[str, Any] = {}
    for name, value in told.items():
        try:
            Branding.model_validate({name: value})
        except ValidationError:
            continue
        found[name] = value
    return Branding.model_validate(found)


async def _partner(call: Call, member: Member) -> Partner | None:
    """For whom the preview asks: the partner of the first steps, or the first that there is."""
    seen = call.engine.runtime.catalog.seen_by(member.user.account_id)
    try:
        return await seen.partner(PARTNER)
    except NotFound:
        listed = (await ask(call, member, "GET /partners/info", query={"per-page": 1})).data
        return await seen.partner(listed[0]["partnerId"]) if listed else None


async def change_hosts(call: Call, member: Member) -> Answer:
    """POST /console/settings/redirect-hosts."""
    hosts = lines(form(call).get("hosts", ""))
    try:
        await ask(call, member, "PATCH /account", body={"allowedRedirectHosts": hosts})
    except TOLD as error:
        return await _connect_page(call, member, _refused_hosts(call, error, hosts))
    return moved(call, _AT, said=Said(words="The hosts are saved."))


def _refused_hosts(call: Call, error: PolyportError, hosts: list[str]) -> Filled:
    """What is wrong with which line."""
    told: list[str] = []
    for fault in error.details.fields:
        at = _LINE.match(fault.path)
        told.append(f"“{cut(hosts[int(at[1])], 80)}”: {said_of(fault)}" if at is not None and int(at[1]) < len(hosts) else said_of(fault))
    if not told:
        return refused(call, error, {})
    more = f" And {len(told) - TOLD_MOST} more." if len(told) > TOLD_MOST else ""
    return Filled(given=form(call), faults={"hosts": " ".join(told[:TOLD_MOST]) + more}, status=error.status)


SCREENS: Final = (
    screen("GET", _AT, show, "How the connect page looks", scope="admin"),
    screen("POST", _AT, change_branding, "Change how the connect page looks", scope="admin"),
    screen("GET", _AT + "/preview", show_preview, "The connect page as it looks", scope="admin"),
    screen("POST", _AT + "/preview", try_preview, "The connect page as it would look", scope="admin"),
    screen("POST", "/settings/redirect-hosts", change_hosts, "Change where customers may be led back to", scope="admin"),
)
