"""The catalogue: which partners there are, found as one types; one partner with everything that is known of it."""

from __future__ import annotations

import time
from html import escape
from typing import Any, Final
from weakref import WeakKeyDictionary

from msgspec import structs

from polyport.catalog import Catalog, Wanted
from polyport.errors import NotFound
from polyport.server.console.member import Member
from polyport.server.console.screen import screen
from polyport.server.console.show import Entry, chosen, cursor, options, page, pager
from polyport.server.console.within import ask
from polyport.server.partners import LOGO_HEADERS
from polyport.server.routing import Answer, Call

PER_PAGE: Final = 48
OPERATIONS_MOST: Final = 100
EVERYTHING: Final = 1_000_000
KEPT_SECONDS: Final = 60.0
Facets = tuple[list[str], list[str]]  # the categories and the kinds of authorisation that there are
VERIFIED: Final = {
    "live": "Verified at the partner",
    "sandbox": "Verified in its sandbox",
    "cases": "Verified by cases",
    "spec": "Verified against its description",
    "imported": "Imported",
}
_KEPT: Final[WeakKeyDictionary[Catalog, dict[int, tuple[float, Facets]]]] = WeakKeyDictionary()
ENTRY: Final = Entry(title="Catalogue", path="/catalogue", icon="catalogue", place=20, scope="catalog:read")
KINDS: Final = {
    "action": "Action",
    "apiTrigger": "Trigger, read on demand",
    "webhookTrigger": "Trigger, sent by the partner",
    "tool": "Tool",
}
AUTH_NAMES: Final = {
    "api_key": "API key",
    "basic": "Name and password",
    "bearer": "Token",
    "certificate": "Certificate",
    "jwt": "Signed token",
    "jwt_bearer": "Signed token for a sign-in",
    "none": "No authorisation",
    "oauth1": "OAuth 1",
    "oauth2": "OAuth 2",
    "session": "Session",
    "signature": "Signature",
    "sigv4": "AWS signature",
}


async def show(call: Call, member: Member) -> Answer:
    """GET /console/catalogue."""
    given = chosen(call, "q", "category", "authType", "kind", "verified", "deprecated")
    query: dict[str, Any] = {
        "q": given.get("q"),
        "filter[category]": given.get("category"),
        "filter[authType]": given.get("authType"),
        "filter[kind]": given.get("kind"),
        "filter[verified]": given.get("verified"),
        "filter[deprecated]": given.get("deprecated"),
        "cursor": cursor(call),
        "per-page": PER_PAGE,
    }
    if "q" not in given:
        query["sort"] = "title"
    answer = await ask(call, member, "GET /partners/info", query=query)
    categories, auth_types = await _facets(call, member)
    return page(
        call,
        member,
        "catalogue.html",
        title="Catalogue",
        partners=answer.data,
        pager=pager(call, answer.meta or {}),
        filters=given,
        categories=options([(name, name.replace("-", " ").capitalize()) for name in categories], given.get("category"), "All categories"),
        auth_types=options([(name, AUTH_NAMES.get(name, name)) for name in auth_types], given.get("authType"), "Any way to connect"),
        kinds=options([(key, f"Has: {label}") for key, label in KINDS.items()], given.get("kind"), "Any kind of operation"),
        verified=options(list(VERIFIED.items()), given.get("verified"), "However verified"),
        deprecated=options(
            [("0", "Only what is not deprecated"), ("1", "Only what is deprecated")], given.get("deprecated"), "Deprecated or not"
        ),
    )


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


async def show_partner(call: Call, member: Member) -> Answer:
    """GET /console/catalogue/{partnerId}."""
    partner_id = call.id("partnerId")
    partner = (await ask(call, member, "GET /partners/{partnerId}", partnerId=partner_id)).data
    fields = (await ask(call, member, "GET /partners/{partnerId}/credential-fields", partnerId=partner_id)).data
    evidence = (await ask(call, member, "GET /partners/{partnerId}/evidence", partnerId=partner_id)).data
    given = chosen(call, "q", "kind")
    query = {
        "filter[partnerId]": partner_id,
        "filter[kind]": given.get("kind"),
        "q": given.get("q"),
        "per-page": OPERATIONS_MOST,
        "cursor": cursor(call),
    }
    found = await ask(call, member, "GET /partners/trigger-actions/info", query=query)
    return page(
        call,
        member,
        "partner.html",
        title=partner["title"],
        partner=partner,
        choices=fields,
        evidence=evidence,
        missing=[rule for rule in evidence["rules"] if rule["status"] == "todo"],
        operations=found.data,
        pager=pager(call, found.meta or {}),
        filters=given,
        kind_names=KINDS,
        auth_names=AUTH_NAMES,
        kinds=options(list(KINDS.items()), given.get("kind"), "All kinds"),
    )


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
    screen("GET", "/catalogue/{partnerId}", show_partner, "A partner", scope="catalog:read"),
    screen("GET", "/logos/{partnerId}", logo, "A partner's icon", scope="catalog:read"),
)
