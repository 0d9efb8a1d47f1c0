"""Links by which customers connect: which wait, were opened, done or are over; one by itself, another token for it, or its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from polyport.errors import Conflict, LinkUsed
from polyport.server.console.asked import typed
from polyport.server.console.member import Member
from polyport.server.console.names import Names
from polyport.server.console.qr import qr_path
from polyport.server.console.said import Said
from polyport.server.console.screen import screen
from polyport.server.console.show import chosen, cursor, cut, moved, options, page, pager, plain_name
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call
from polyport.store.records import LinkStatus

PER_PAGE: Final = 25
STATUSES: Final = {
    LinkStatus.WAITING: ("waiting", "Not opened yet"),
    LinkStatus.OPENED: ("opened", "Opened"),
    LinkStatus.FAILED: ("failed", "The last try failed"),
    LinkStatus.DONE: ("done", "Connected"),
    LinkStatus.EXPIRED: ("expired", "Expired"),
    LinkStatus.REVOKED: ("revoked", "Revoked"),
}
OPEN: Final = frozenset({LinkStatus.WAITING, LinkStatus.OPENED, LinkStatus.FAILED})
ENDED: Final = frozenset({LinkStatus.DONE, LinkStatus.REVOKED})
_LINKS: Final = "/credentials/grant-access-sharing"
_ONE: Final = _LINKS + "/{linkId}"
_PAGE: Final = "/connections/links"


async def show(call: Call, member: Member) -> Answer:
    """GET /console/connections/links."""
    given = chosen(call, "q", "status", "externalUserId", "partnerId")
    query = {
        "filter[title][like]": given.get("q"),
        "filter[status]": given.get("status"),
        "filter[externalUserId]": given.get("externalUserId"),
        "filter[partnerId]": given.get("partnerId"),
        "cursor": cursor(call),
        "per-page": PER_PAGE,
    }
    answer = await ask(call, member, f"GET {_LINKS}", query=query)
    names = Names(call, member)
    return page(
        call,
        member,
        "links.html",
        title="Links",
        links=[_told(item) | {"partner": await names.partner(item["partnerId"])} for item in answer.data],
        pager=pager(call, answer.meta or {}),
        filters=given,
        narrowed=await names.partner(int(given["partnerId"])) if "partnerId" in given else None,
        statuses=options([(str(int(key)), label) for key, (_name, label) in STATUSES.items()], given.get("status"), "All links"),
    )


def _told(item: Mapping[str, Any]) -> dict[str, Any]:
    """A link and how it stands. One that has its connection before it was used is to reconnect that."""
    status = LinkStatus(item["status"])
    return {
        **item,
        "stands": STATUSES[status],
        "open": status in OPEN,
        "ended": status in ENDED,
        "reconnects": item["credentialId"] if status is not LinkStatus.DONE else None,
    }


async def show_link(call: Call, member: Member) -> Answer:
    """GET /console/connections/links/{linkId}."""
    return await _link(call, member)


async def _link(call: Call, member: Member, *, fault: str | None = None) -> Answer:
    link = _told((await ask(call, member, f"GET {_ONE}", linkId=call.id("linkId"))).data)
    names = Names(call, member)
    partner = await names.partner(link["partnerId"])
    return page(
        call,
        member,
        "link.html",
        title=f"Link to {'reconnect' if link['reconnects'] else 'connect'} {cut(partner, 60)}",
        status=200 if fault is None else 422,
        link=link,
        partner=partner,
        connection=await names.titled(link["credentialId"]),
        qr=qr_path,
        fault=fault,
    )


def to_link(call: Call, made: Mapping[str, Any]) -> Answer:
    """On to the page of a link that was made just now. That shows its address, this once: nobody can read it again."""
    return moved(call, f"{_PAGE}/{made['id']}", said=Said(once={"url": made["url"]}))


async def renew(call: Call, member: Member) -> Answer:
    """POST /console/connections/links/{linkId}/renew: another token; what was sent before ends."""
    try:
        return to_link(call, (await ask(call, member, f"PUT {_ONE}", linkId=call.id("linkId"), body={})).data)
    except (LinkUsed, Conflict) as error:
        return moved(call, f"{_PAGE}/{call.id('linkId')}", said=Said(words=error.message, bad=True))


async def revoke(call: Call, member: Member) -> Answer:
    """POST /console/connections/links/{linkId}/revoke: with the title typed."""
    link = (await ask(call, member, f"GET {_ONE}", linkId=call.id("linkId"))).data
    if not typed(call, link["title"]):
        return await _link(call, member, fault="That was not the name: the link is not revoked.")
    try:
        await ask(call, member, f"DELETE {_ONE}", linkId=call.id("linkId"))
    except (LinkUsed, Conflict) as error:
        return moved(call, f"{_PAGE}/{call.id('linkId')}", said=Said(words=error.message, bad=True))
    return moved(call, _PAGE, said=Said(words=f"The link “{plain_name(link['title'])}” is revoked."))


SCREENS: Final = (
    screen("GET", _PAGE, show, "Links by which customers connect", scope="connections:read"),
    screen("GET", _PAGE + "/{linkId}", show_link, "A link", scope="connections:read"),
    screen("POST", _PAGE + "/{linkId}/renew", renew, "Give a link another token", scope="connections:write"),
    screen("POST", _PAGE + "/{linkId}/revoke", revoke, "Revoke a link", scope="connections:write"),
)
