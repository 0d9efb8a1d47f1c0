"""Try it begins with a choice: an operation, of partners that one works with or looks for, maybe for a connection that is chosen already."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final

from polyport.errors import NotFound
from polyport.server.console.asked import id_of
from polyport.server.console.member import Member
from polyport.server.console.screen import screen
from polyport.server.console.show import chosen, cursor, options, page, pager
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call

PARTNERS_MOST: Final = 100
MINE_MOST: Final = 12
PER_PAGE: Final = 30
KINDS: Final = {"action": "Actions", "apiTrigger": "Triggers", "tool": "Tools"}


async def choose(call: Call, member: Member) -> Answer:
    """GET /console/try."""
    given = chosen(call, "q", "partner", "kind", "by", "connection")
    connection = await _connection(call, member, given.get("connection"))
    if connection is not None:
        given.setdefault("partner", str(connection["partnerId"]))
    else:
        given.pop("connection", None)
    found_partners = await _looked_for(call, member, given.get("by", ""))
    if len(found_partners) == 1:
        given["partner"] = next(iter(found_partners))
    query = {
        "q": given.get("q"),
        "filter[partnerId]": given.get("partner"),
        "filter[kind]": given.get("kind"),
        "cursor": cursor(call),
        "per-page": PER_PAGE,
    }
    if "q" not in given:
        query["sort"] = "title"
    found = await ask(call, member, "GET /partners/trigger-actions/info", query=query)
    mine = await _mine(call, member)
    titles = await _titles(call, member, {*(item["partnerId"] for item in found.data), *mine, *_number(given.get("partner"))})
    known = await ask(call, member, "GET /partners/info", query={"sort": "title", "per-page": PARTNERS_MOST})
    many = (known.meta or {}).get("totalItemsCount", 0) > PARTNERS_MOST  # too many to choose from: they are searched
    return page(
        call,
        member,
        "try_choose.html",
        title="Try it",
        operations=found.data,
        titles=titles | found_partners,
        pager=pager(call, found.meta or {}),
        filters=given,
        connection=connection,
        near=_near(given, mine, titles, found_partners),
        many=many,
        partners=options(_offered(known.data, mine, titles, given.get("partner"), many=many), given.get("partner"), "All partners"),
        kinds=options(list(KINDS.items()), given.get("kind"), "All kinds"),
    )


def _offered(known: Any, mine: list[int], titles: Mapping[str, str], chosen_one: str | None, *, many: bool) -> list[tuple[str, str]]:
    """The partners to choose from, those that one works with first."""
    first = [(str(number), titles[str(number)]) for number in mine if str(number) in titles]
    others = [] if many else [(str(item["partnerId"]), str(item["title"])) for item in known if item["partnerId"] not in mine]
    if many and chosen_one is not None and chosen_one in titles and int(chosen_one) not in mine:
        others = [(chosen_one, titles[chosen_one])]
    return [*first, *others]


def _near(given: Mapping[str, str], mine: list[int], titles: Mapping[str, str], found: Mapping[str, str]) -> list[tuple[str, str]]:
    """The partners that are offered above the operations: those that were looked for, else those that one works with."""
    if "by" in given:
        return list(found.items())
    begun = given.keys() - {"kind"}
    return [] if begun else [(str(number), titles[str(number)]) for number in mine if str(number) in titles]


async def _connection(call: Call, member: Member, told: str | None) -> Mapping[str, Any] | None:
    """The connection that one comes with, if it is there."""
    connection_id = id_of(told or "")
    if connection_id is None or not member.may("connections:read"):
        return None
    try:
        found: Mapping[str, Any] = (await ask(call, member, "GET /credentials/{credentialId}", credentialId=connection_id)).data
    except NotFound:
        return None
    return found


async def _mine(call: Call, member: Member) -> list[int]:
    """The partners that one works with: those of which something ran lately, most first, then those that are connected."""
    ran: dict[int, int] = {}
    for row in (await ask(call, member, "GET /usage")).data["days"]:
        ran[row["partnerId"]] = ran.get(row["partnerId"], 0) + row["runs"]
    found = sorted(ran, key=lambda number: -ran[number])
    if member.may("connections:read"):
        connected = (await ask(call, member, "GET /credentials", query={"sort": "-credentialId", "per-page": 100})).data
        found += dict.fromkeys(each["partnerId"] for each in connected if each["partnerId"] not in ran)
    return found[:MINE_MOST]


async def _looked_for(call: Call, member: Member, words: str) -> dict[str, str]:
    """The partners that fit some words."""
    if not words:
        return {}
    found = await ask(call, member, "GET /partners/info", query={"q": words, "per-page": MINE_MOST})
    return {str(item["partnerId"]): str(item["title"]) for item in found.data}


def _number(text: str | None) -> list[int]:
    return [number] if (number := id_of(text or "")) is not None else []


async def _titles(call: Call, member: Member, partner_ids: set[int]) -> dict[str, str]:
    """What partners are called, by their ids."""
    titles: dict[str, str] = {}
    for partner_id in sorted(partner_ids):
        with contextlib.suppress(NotFound):
            titles[str(partner_id)] = str((await ask(call, member, "GET /partners/{partnerId}", partnerId=partner_id)).data["title"])
    return titles


SCREENS: Final = (screen("GET", "/try", choose, "Choose an operation to try", scope="runs:read"),)
