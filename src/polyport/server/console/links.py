"""Links by which customers connect: which wait, were opened, done or are over; another token for one, or its end."""

from __future__ import annotations

from typing import Any, Final

from polyport.errors import Conflict, LinkUsed
from polyport.server.console.asked import NOT_TYPED, typed
from polyport.server.console.member import Member
from polyport.server.console.names import Names
from polyport.server.console.qr import qr_path
from polyport.server.console.screen import screen
from polyport.server.console.show import chosen, cursor, moved, options, page, pager
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
_LINKS: Final = "/credentials/grant-access-sharing"
_ONE: Final = _LINKS + "/{linkId}"


async def show(call: Call, member: Member) -> Answer:
    """GET /console/connections/links."""
    return await _links(call, member)


async def _links(call: Call, member: Member, *, fault: str | None = None, status: int = 200) -> Answer:
    given = chosen(call, "q", "status", "externalUserId", "partnerId")
    query = {
        "filter[title][like]": given.get("q"),
        "filter[status]": given.get("status"),
        "filter[externalUserId]": given.get("externalUserId"),
        "filter[partnerId]": given.get("partnerId"),
        "cursor": cursor(call) if call.http.method == "GET" else "*",
        "per-page": PER_PAGE,
    }
    answer = await ask(call, member, f"GET {_LINKS}", query=query)
    names = Names(call, member)
    links = [
        item | {"partner": await names.partner(item["partnerId"]), "stands": STATUSES[item["status"]], "open": item["status"] in OPEN}
        for item in answer.data
    ]
    return page(
        call,
        member,
        "links.html",
        title="Links",
        status=status,
        links=links,
        pager=pager(call, answer.meta or {}),
        filters=given,
        statuses=options([(str(int(key)), label) for key, (_name, label) in STATUSES.items()], given.get("status"), "All links"),
        fault=fault,
    )


def show_made(call: Call, member: Member, link: dict[str, Any], partner: str) -> Answer:
    """A link that was made just now: it is shown this once."""
    return page(call, member, "link.html", title=f"Link to connect {partner}", link=link, partner=partner, qr=qr_path(link["url"]))


async def renew(call: Call, member: Member) -> Answer:
    """POST /console/connections/links/{linkId}/renew: another token; what was sent before ends."""
    try:
        link = (await ask(call, member, f"PUT {_ONE}", linkId=call.id("linkId"), body={})).data
    except (LinkUsed, Conflict) as error:
        return await _links(call, member, fault=error.message, status=error.status)
    return show_made(call, member, link, await Names(call, member).partner(link["partnerId"]))


async def revoke(call: Call, member: Member) -> Answer:
    """POST /console/connections/links/{linkId}/revoke: with the title typed."""
    link = (await ask(call, member, f"GET {_ONE}", linkId=call.id("linkId"))).data
    if not typed(call, link["title"]):
        return await _links(call, member, fault=NOT_TYPED, status=422)
    try:
        await ask(call, member, f"DELETE {_ONE}", linkId=call.id("linkId"))
    except (LinkUsed, Conflict) as error:
        return await _links(call, member, fault=error.message, status=error.status)
    return moved(call, "/connections/links")


SCREENS: Final = (
    screen("GET", "/connections/links", show, "Links by which customers connect", scope="connections:read"),
    screen("POST", "/connections/links/{linkId}/renew", renew, "Give a link another token", scope="connections:write"),
    screen("POST", "/connections/links/{linkId}/revoke", revoke, "Revoke a link", scope="connections:write"),
)
