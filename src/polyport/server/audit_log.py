"""The audit log over HTTP: read, verified, exported."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from polyport.audit import shown
from polyport.errors import Fault, ValidationFailed
from polyport.items import seconds
from polyport.server.answers import Stream
from polyport.server.routing import Answer, Body, Call, Endpoint, Param
from polyport.server.wire import PER_PAGE, PER_PAGE_MOST, encode, known_filters, read_list_query

NEWEST: Final = 2**53
EXPORT: Final = "application/x-ndjson"


class EntryAnswer(Body):
    """Who did what. ``via`` is ``api``, ``console`` or ``command``; ``hash`` is made of the entry and of ``prior``, the hash of the entry before it. ``at`` is in unix seconds."""

    sequence: int
    at: int
    via: str
    actor: str
    actor_name: str
    action: str
    target: str
    status: int
    address: str
    request_id: str
    prior: str
    hash: str


class VerdictAnswer(Body):
    """Whether the log is as it was written. ``head`` is the hash of its end: keep it elsewhere, and a log that was written anew shows too."""

    ok: bool
    entries: int
    head: str | None
    broken_at: int | None
    why: str | None


async def read_many(call: Call) -> Answer:
    """GET /audit."""
    params = call.http.query_params
    query = read_list_query(params, numbered=False)
    known_filters(query.filters, ())
    cursor = params.get("cursor") or str(NEWEST)
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > 16:
        raise ValidationFailed.of(Fault(path="cursor", code="invalid_cursor", message="This is no cursor of the audit log."))
    limit, target = query.per_page, params.get("target") or None
    found = await call.engine.runtime.repo.audit.before(call.principal.account_id, int(cursor), limit=limit + 1, target=target)
    following = str(found[limit - 1].sequence) if len(found) > limit else None
    meta = {"perPage": limit, "nextCursor": following, "hasMore": following is not None}
    return Answer(data=[shown(entry) | {"at": seconds(entry.at)} for entry in found[:limit]], meta=meta)


async def verify(call: Call) -> Answer:
    """GET /audit/verify."""
    found = await call.services.audit.verify(call.principal.account_id)
    data = {"ok": found.broken_at is None, "entries": found.entries, "head": found.head, "brokenAt": found.broken_at, "why": found.why}
    return Answer(data=data)


async def export(call: Call) -> Answer:
    """GET /audit/export."""
    stream = Stream(pieces=_lines(call), ended=lambda: None)
    return Answer(stream=stream, media_type=EXPORT, headers={"Content-Disposition": 'attachment; filename="audit.ndjson"'})


async def _lines(call: Call) -> AsyncIterator[bytes]:
    lines: list[bytes] = []
    async for entry in call.services.audit.entries(call.principal.account_id):
        lines.append(encode(shown(entry)) + b"\n")
        if len(lines) == PER_PAGE_MOST:
            yield b"".join(lines)
            lines = []
    yield b"".join(lines)


_TAG: Final = "Audit log"

ENDPOINTS: Final = (
    Endpoint(
        method="GET", path="/audit", handler=read_many, tag=_TAG, summary="List who did what, newest first", scope="admin",
        answer=EntryAnswer, many=True,
        query=(
            Param(
                name="per-page", description="Entries a page.",
                schema={"type": "integer", "minimum": 1, "maximum": PER_PAGE_MOST, "default": PER_PAGE},
            ),
            Param(name="cursor", description="meta.nextCursor of the page before."),
            Param(name="target", description="What it was done to, by its path: /credentials/1001."),
        ),
    ),
    Endpoint(
        method="GET", path="/audit/verify", handler=verify, tag=_TAG, summary="Verify the chain of the audit log", scope="admin", answer=VerdictAnswer
    ),
    Endpoint(
        method="GET", path="/audit/export", handler=export, tag=_TAG, summary="Export the audit log, one JSON object a line", scope="admin", media=EXPORT,
        description="In order, with times in unix milliseconds. `polyport audit verify FILE` verifies such a file anywhere.",
    ),
)  # fmt: skip
