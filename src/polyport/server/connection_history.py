"""What became of a connection: who did what with it, and how it came to stand, in one list. It is for whoever may see the connection."""

from __future__ import annotations

from typing import Any, Final

from polyport.errors import Fault, ValidationFailed
from polyport.items import seconds
from polyport.server.routing import Answer, Body, Call, Endpoint, Param
from polyport.server.wire import PER_PAGE, PER_PAGE_MOST, known_filters, read_list_query
from polyport.store.connections import Change
from polyport.store.console import AuditEntry, AuditFilter
from polyport.store.records import ConnectionStatus

NEWEST: Final = 2**53
# Its path names the partner first, whose id may be that of a connection.
_OF_OTHERS: Final = "POST /credentials/{partnerId}/{credentialId}/update-user-data"


class HistoryAnswer(Body):
    """A deed (``action``, ``actorName``, and ``status``, how it ended: of a test, what it found), or a change of how the connection stands (``becomes``, ``reason``).

    ``at`` is in unix seconds; ``via`` is ``api``, ``console`` or ``command``, and ``server`` for a change.
    """

    at: int
    via: str
    actor_name: str | None
    action: str | None
    status: int | None
    becomes: ConnectionStatus | None
    reason: str | None


async def read_many(call: Call) -> Answer:
    """GET /credentials/{credentialId}/history."""
    repo, account_id = call.engine.runtime.repo, call.principal.account_id
    record = await call.engine.runtime.connections.record(account_id, call.id("credentialId"))
    query = read_list_query(call.http.query_params, numbered=False)
    known_filters(query.filters, ())
    sequence, change_id = _places(call.http.query_params.get("cursor"))
    limit = query.per_page
    deeds: list[AuditEntry] = []
    if call.principal.kind != "end_user":  # the names of the account's people are not for its customers
        wanted = AuditFilter(target=f"/credentials/{record.connection_id}")
        deeds = (await repo.audit.before(account_id, sequence, limit=limit + 1, wanted=wanted)).entries
    changes = await repo.connections.changes(record.connection_id, change_id, limit=limit + 1)
    both: list[AuditEntry | Change] = sorted([*deeds, *changes], key=lambda each: each.at, reverse=True)
    shown, more = both[:limit], len(both) > limit
    for each in shown:
        if isinstance(each, Change):
            change_id = min(change_id, each.change_id)
        else:
            sequence = min(sequence, each.sequence)
    meta = {"perPage": limit, "nextCursor": f"{sequence}.{change_id}" if more else None, "hasMore": more}
    return Answer(data=[_item(each) for each in shown if isinstance(each, Change) or each.action != _OF_OTHERS], meta=meta)


def _places(cursor: str | None) -> tuple[int, int]:
    """Before which deed and which change a page begins."""
    if cursor is None or cursor in {"", "*"}:
        return NEWEST, NEWEST
    parts = cursor.split(".")
    if len(parts) != 2 or not all(part.isascii() and part.isdecimal() and len(part) <= 16 for part in parts):
        raise ValidationFailed.of(Fault(path="cursor", code="invalid_cursor", message="This is no cursor of this list."))
    return int(parts[0]), int(parts[1])


def _item(each: AuditEntry | Change) -> dict[str, Any]:
    if isinstance(each, Change):
        told: dict[str, Any] = {"via": "server", "becomes": each.status, "reason": each.reason}
    else:
        told = {"via": each.via, "actorName": each.actor_name or each.actor, "action": each.action, "status": each.status}
    return {"at": seconds(each.at), "actorName": None, "action": None, "status": None, "becomes": None, "reason": None} | told


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/credentials/{credentialId}/history",
        handler=read_many,
        tag="Connections",
        summary="Read what became of a connection, the latest first",
        scope="connections:read",
        answer=HistoryAnswer,
        many=True,
        query=(
            Param(
                name="per-page",
                description="Entries a page.",
                schema={"type": "integer", "minimum": 1, "maximum": PER_PAGE_MOST, "default": PER_PAGE},
            ),
            Param(name="cursor", description="meta.nextCursor of the page before."),
        ),
        description="Who did what with it, from the audit log, and each time that it came to stand otherwise. The token of an end user is told the latter alone.",
    ),
)
