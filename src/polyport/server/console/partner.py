"""One partner: how one connects, what it can do, how good it is known to be, its limits and notes; and a simulated one to practise with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from polyport.server.console.asked import id_of
from polyport.server.console.member import Member
from polyport.server.console.notes import notes
from polyport.server.console.partner_words import AUTH_NAMES, GROUPS, KINDS, MEANT, VERIFIED, category, limit
from polyport.server.console.said import Said
from polyport.server.console.screen import form, screen
from polyport.server.console.show import chosen, cursor, moved, options, page, pager, plain_name
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call

OPERATIONS_MOST: Final = 100
_PARTNER: Final = "GET /partners/{partnerId}"


async def show(call: Call, member: Member) -> Answer:
    """GET /console/catalogue/{partnerId}."""
    partner_id = call.id("partnerId")
    partner = (await ask(call, member, _PARTNER, partnerId=partner_id)).data
    fields = (await ask(call, member, "GET /partners/{partnerId}/credential-fields", partnerId=partner_id)).data
    evidence = (await ask(call, member, "GET /partners/{partnerId}/evidence", partnerId=partner_id)).data
    given = chosen(call, "q", "kind")
    given = {name: value for name, value in given.items() if name != "kind" or value in KINDS}
    query: dict[str, Any] = {
        "filter[partnerId]": partner_id,
        "filter[kind]": given.get("kind"),
        "q": given.get("q"),
        "per-page": OPERATIONS_MOST,
        "cursor": cursor(call),
    }
    if "q" not in given:
        query["sort"] = "title"
    found = await ask(call, member, "GET /partners/trigger-actions/info", query=query)
    told = notes(evidence["notes"])
    return page(
        call,
        member,
        "partner.html",
        title=partner["title"],
        partner=partner,
        choices=fields,
        evidence=evidence,
        rules=_rules(evidence["rules"]),
        how=told.how,
        rest=told.rest,
        verified=VERIFIED.get(partner["verified"]["how"], partner["verified"]["how"]),
        meant=MEANT.get(partner["verified"]["how"], ""),
        categories=[(slug, category(slug)) for slug in partner["categories"]],
        limits=[limit(budget) for budget in partner["budgets"]],
        groups=_groups(found.data),
        shown=len(found.data),
        pager=pager(call, found.meta or {}),
        filters=given,
        kind_names=KINDS,
        auth_names=AUTH_NAMES,
        kinds=options(list(KINDS.items()), given.get("kind"), "All kinds"),
    )


def _rules(rules: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The rules of the quality scale by how each was answered."""
    return {status: [rule for rule in rules if rule["status"] == status] for status in ("done", "exempt", "todo")}


def _groups(operations: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Operations by what they are, in the order in which they came."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for operation in operations:
        found.setdefault(GROUPS.get(operation["kind"], "Others"), []).append(operation)
    return dict(sorted(found.items()))


async def practice(call: Call, member: Member) -> Answer:
    """POST /console/catalogue/{partnerId}/practice: a connection to a simulator of the partner; on to the ``operation`` that it is to be tried with."""
    partner_id = call.id("partnerId")
    title = plain_name((await ask(call, member, _PARTNER, partnerId=partner_id)).data["title"])
    body = {"partnerId": partner_id, "title": f"Simulated {title}", "simulated": True}
    made = (await ask(call, member, "POST /credentials", body=body)).data
    words = f"A simulated {title} is connected: run whatever you like with it, nothing leaves this server."
    operation = id_of(form(call).get("operation", ""))
    if operation is not None:
        return moved(call, f"/try/{operation}", said=Said(words=words), connection=made["credentialId"])
    return moved(call, f"/connections/{made['credentialId']}", said=Said(words=words))


SCREENS: Final = (
    screen("GET", "/catalogue/{partnerId}", show, "A partner", scope="catalog:read"),
    screen("POST", "/catalogue/{partnerId}/practice", practice, "Practise with a simulated partner", scope="connections:write"),
)
