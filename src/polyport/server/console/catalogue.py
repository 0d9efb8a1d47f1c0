"""The catalogue: which partners there are, found as one types, and which of their operations fit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Any, Final
from weakref import WeakKeyDictionary

from msgspec import structs

from polyport.catalog import Catalog, Wanted
from polyport.errors import NotFound
from polyport.server.console.asked import id_of
from polyport.server.console.member import Member
from polyport.server.console.names import Names
from polyport.server.console.partner_words import AUTH_NAMES, KINDS, VERIFIED, category
from polyport.server.console.screen import screen
from polyport.server.console.show import Entry, chosen, cursor, options, page, pager
from polyport.server.console.within import ask
from polyport.server.cursors import BEGIN
from polyport.server.partners import LOGO_HEADERS
from polyport.server.routing import Answer, Call

PER_PAGE: Final = 48
EVERYTHING: Final = 1_000_000
KEPT_SECONDS: Final = 60.0
Facets = tuple[list[str], list[str]]  # the categories and the kinds of authorisation that there are
_KEPT: Final[WeakKeyDictionary[Catalog, dict[int, tuple[float, Facets]]]] = WeakKeyDictionary()
TAGS_MOST: Final = 2
OPERATIONS_MOST: Final = 6
_SELECTS: Final = (
    ("category", "Category", "All categories"),
    ("authType", "Way to connect", "Any way to connect"),
    ("kind", "Kind of operation", "Any kind of operation"),
    ("verified", "How it was verified", "However verified"),
    ("deprecated", "Deprecated or not", "Deprecated or not"),
)
_BY_LABEL: Final = frozenset({"category", "authType"})
ENTRY: Final = Entry(title="Catalogue", path="/catalogue", icon="catalogue", place=20, scope="catalog:read")


async def show(call: Call, member: Member) -> Answer:
    """GET /console/catalogue."""
    categories, auth_types = await _facets(call, member)
    choices: dict[str, Mapping[str, str]] = {
        "category": {name: category(name) for name in categories},
        "authType": {name: AUTH_NAMES.get(name, name) for name in auth_types},
        "kind": {key: f"Has: {label}" for key, label in KINDS.items()},
        "verified": VERIFIED,
        "deprecated": {"0": "Only what is not deprecated", "1": "Only what is deprecated"},
    }
    # What no select can show narrows nothing either.
    given = {name: value for name, value in chosen(call, "q", *choices).items() if name not in choices or value in choices[name]}
    query: dict[str, Any] = {f"filter[{name}]": given.get(name) for name in choices}
    query |= {"q": given.get("q"), "cursor": cursor(call), "per-page": PER_PAGE} | ({} if "q" in given else {"sort": "title"})
    answer = await ask(call, member, "GET /partners/info", query=query)
    partners, more = list(answer.data), 0
    operations: list[dict[str, Any]] = []
    way = pager(call, answer.meta or {})
    if "q" in given and query["cursor"] == BEGIN:
        named = await _by_id(call, member, "GET /partners/{partnerId}", given["q"])
        partners = [*named, *(each for each in partners if each not in named)]
        if given.keys() <= {"q", "kind"}:
            operations, more = await _operations(call, member, given)
    return page(
        call,
        member,
        "catalogue.html",
        title="Catalogue",
        partners=[each | {"tags": _tags(each)} for each in partners],
        operations=operations,
        more=more,
        pager=replace(way, total=max(way.total or 0, len(partners))),
        filters=given,
        selects=[(name, label, options(_pairs(name, choices[name]), given.get(name), empty)) for name, label, empty in _SELECTS],
    )


def _pairs(name: str, labels: Mapping[str, str]) -> list[tuple[str, str]]:
    """The options of a select: those that partners have by their labels, the others as they are."""
    return sorted(labels.items(), key=lambda pair: pair[1].casefold()) if name in _BY_LABEL else list(labels.items())


def _tags(partner: Mapping[str, Any]) -> list[str]:
    """What a partner is for and how one connects, in a few words."""
    ways = [AUTH_NAMES.get(name, name) for name in partner["authTypes"]] or ["No connection needed"]
    told = " or ".join(ways) if len(ways) <= TAGS_MOST else f"{len(ways)} ways to connect"
    return [*(["Yours"] if partner["own"] else []), *(category(slug) for slug in partner["categories"][:TAGS_MOST]), told]


async def _by_id(call: Call, member: Member, route: str, words: str) -> list[dict[str, Any]]:
    """What has an id that was searched for."""
    number = id_of(words)
    if number is None:
        return []
    try:
        return [(await ask(call, member, route, partnerId=number, id=number)).data]
    except NotFound:
        return []


async def _operations(call: Call, member: Member, given: Mapping[str, str]) -> tuple[list[dict[str, Any]], int]:
    """The operations that fit what was searched, with the names of their partners, and how many more there are."""
    query = {"q": given["q"], "filter[kind]": given.get("kind"), "cursor": BEGIN, "per-page": OPERATIONS_MOST}
    answer = await ask(call, member, "GET /partners/trigger-actions/info", query=query)
    named = await _by_id(call, member, "GET /partners/trigger-actions/{id}", given["q"])
    found = [*named, *(each for each in answer.data if each not in named)]
    names = Names(call, member)
    total = (answer.meta or {}).get("totalItemsCount") or 0
    return [each | {"partner": await names.partner(each["partnerId"])} for each in found], max(0, total - len(answer.data))


async def _facets(call: Call, member: Member) -> Facets:
    """The categories and ways to connect of all partners that are seen: looked for anew after a minute, since that reads every one of them."""
    catalog, account_id, now = call.engine.runtime.catalog, member.user.account_id, time.monotonic()
    kept = _KEPT.setdefault(catalog, {})
    told_at, found = kept.get(account_id, (-KEPT_SECONDS, ([], [])))
    if now - told_at >= KEPT_SECONDS:
        seen = await catalog.seen_by(account_id).list_partners(Wanted(per_page=EVERYTHING))
        found = (
            sorted({name for item in seen.items for name in item["categories"]}),
            sorted({name for item in seen.items for name in item["authTypes"]}),
        )
        kept[account_id] = (now, found)
    return found


async def logo(call: Call, member: Member) -> Answer:
    """GET /console/logos/{partnerId}: also of partners that this account alone sees."""
    partner_id, headers = call.id("partnerId"), {"Cache-Control": "private, max-age=3600"}
    try:
        found = await ask(call, member, "GET /partners/{partnerId}/logo.svg", partnerId=partner_id)
    except NotFound:
        partner = (await ask(call, member, "GET /partners/{partnerId}", partnerId=partner_id)).data
        return Answer(content=_letter(partner["title"]), media_type="image/svg+xml", headers=LOGO_HEADERS | headers, etag=True)
    return structs.replace(found, headers={**found.headers, **headers})


def _letter(title: str) -> bytes:
    """A partner that has no icon has the first letter of its name."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="24" height="24"><text x="12" y="17.5" text-anchor="middle" '
        f'font-family="system-ui, sans-serif" font-size="16" font-weight="600" fill="#33415c">{escape((title.strip() or "?")[0].upper())}</text></svg>'
    ).encode()


SCREENS: Final = (
    screen("GET", "/catalogue", show, "The catalogue", scope="catalog:read"),
    screen("GET", "/logos/{partnerId}", logo, "A partner's icon", scope="catalog:read"),
)
