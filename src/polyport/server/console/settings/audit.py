"""The audit log: who did what, whether it is as it was written, and all of it as a file."""

from __future__ import annotations

from typing import Any, Final

from msgspec import structs

from polyport.server.console.member import Member
from polyport.server.console.names import deed
from polyport.server.console.screen import screen
from polyport.server.console.show import PAGE_HEADERS, chosen, page, pager
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call

PER_PAGE: Final = 50


async def show(call: Call, member: Member) -> Answer:
    """GET /console/settings/audit."""
    return await _log(call, member)


async def _log(call: Call, member: Member, verdict: dict[str, Any] | None = None) -> Answer:
    given = chosen(call, "target")
    query = {"per-page": PER_PAGE, "cursor": call.http.query_params.get("cursor"), "target": given.get("target")}
    answer = await ask(call, member, "GET /audit", query=query)
    return page(
        call,
        member,
        "settings_audit.html",
        title="Audit log",
        found=[entry | {"what": deed(call, entry["action"])} for entry in answer.data],
        pager=pager(call, answer.meta or {}),
        filters=given,
        verdict=verdict,
    )


async def verify(call: Call, member: Member) -> Answer:
    """GET /console/settings/audit/verify."""
    return await _log(call, member, dict((await ask(call, member, "GET /audit/verify")).data))


async def export(call: Call, member: Member) -> Answer:
    """GET /console/settings/audit/export."""
    found = await ask(call, member, "GET /audit/export")
    return structs.replace(found, headers={**PAGE_HEADERS, **found.headers})


SCREENS: Final = (
    screen("GET", "/settings/audit", show, "Who did what", scope="admin"),
    screen("GET", "/settings/audit/verify", verify, "Whether the audit log is as it was written", scope="admin"),
    screen("GET", "/settings/audit/export", export, "The audit log as a file", scope="admin"),
)
