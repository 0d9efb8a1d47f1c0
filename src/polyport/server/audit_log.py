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
from polyport.store.console import ALL, LOOKED_AT_MOST, AuditFilter

NEWEST: Final = 2**53
RESULTS: Final = ("done", "refused")
EXPORT: Final = "application/x-ndjson"


class EntryAnswer(Body):
    """Who did what. ``via`` is ``api``, ``console`` or ``command``; ``hash`` is made of the entry and of ``prior``, the hash of the entry before it. ``at`` is in unix seconds.

    ``targetName`` is what the target was called then, if it is the account's own; ``change`` what became of it, where that is told: "developer to owner".
    """

    sequence: int
    at: int
    via: str
    actor: str
    actor_name: str
    action: str
    target: str
    target_name: str
    change: str
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
    limit, wanted = query.per_page, _wanted(call)
    looked = await call.engine.runtime.repo.audit.before(call.principal.account_id, int(cursor), limit=limit + 1, wanted=wanted)
    found = looked.entries
    following = str(found[limit - 1].sequence) if len(found) > limit else str(looked.floor) if looked.floor is not None else None
    meta = {"perPage": limit, "nextCursor": following, "hasMore": following is not None}
    return Answer(data=[shown(entry) | {"at": seconds(entry.at)} for entry in found[:limit]], meta=meta)


def _wanted(call: Call) -> AuditFilter:
    """Which entries are asked for. Raises ``ValidationFailed``."""
    params = call.http.query_params
    faults: list[Fault] = []
    times: dict[str, int | None] = {}
    for name in ("from", "to"):
        text = params.get(name) or ""
        if text and not (text.isascii() and text.isdecimal() and len(text) <= 11):
            faults.append(Fault(path=name, code="wrong_type", message="A time in unix seconds is needed here."))
            continue
        times[name] = int(text) * 1000 if text else None
    result = params.get("result") or None
    if result not in {None, *RESULTS}:
        faults.append(Fault(path="result", code="unknown_option", message=f"A result is one of: {', '.join(RESULTS)}."))
    if faults:
        raise ValidationFailed.of(*faults)
    return AuditFilter(
        actor=params.get("actor") or None,
        action=params.get("action") or None,
        target=params.get("target") or None,
        since=times["from"],
        until=times["to"],
        refused=None if result is None else result == "refused",
    )


async def verify(call: Call) -> Answer:
    """GET /audit/verify."""
    found = await call.services.audit.verify(call.principal.account_id)
    data = {"ok": found.broken_at is None, "entries": found.entries, "head": found.head, "brokenAt": found.broken_at, "why": found.why}
    return Answer(data=data)


async def export(call: Call) -> Answer:
    """GET /audit/export."""
    wanted = _wanted(call)
    stream = Stream(pieces=_lines(call, wanted), ended=lambda: None)
    name = "audit.ndjson" if wanted == ALL else "audit-part.ndjson"
    return Answer(stream=stream, media_type=EXPORT, headers={"Content-Disposition": f'attachment; filename="{name}"'})


async def _lines(call: Call, wanted: AuditFilter) -> AsyncIterator[bytes]:
    lines: list[bytes] = []
    async for entry in call.services.audit.entries(call.principal.account_id):
        if not wanted.fits(entry):
            continue
        lines.append(encode(shown(entry)) + b"\n")
        if len(lines) == PER_PAGE_MOST:
            yield b"".join(lines)
            lines = []
    yield b"".join(lines)


_TAG: Final = "Audit log"
_FILTERS: Final = (
    Param(name="actor", description="Who did it: user/1, key/1 or command."),
    Param(name="action", description="What was done, as entries say it: POST /api-keys."),
    Param(
        name="target",
        description="What it was done to, by its path, with what is below it: /credentials/1001. With * at its end, all that begin so: /credentials/10*.",
    ),
    Param(name="from", description="Not before this time, in unix seconds.", schema={"type": "integer"}),
    Param(name="to", description="Before this time, in unix seconds.", schema={"type": "integer"}),
    Param(name="result", description="done, or refused: with a status of 400 or more.", schema={"type": "string", "enum": list(RESULTS)}),
)

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
            *_FILTERS,
        ),
        description="Every change of the account: through the API, in the console and from the command line, never what was in a body. "
        f"One answer looks at {LOOKED_AT_MOST:,} entries at most: with filters a page may have fewer entries than it could, or none, and a nextCursor all the same.",
    ),
    Endpoint(
        method="GET", path="/audit/verify", handler=verify, tag=_TAG, summary="Verify the chain of the audit log", scope="admin", answer=VerdictAnswer
    ),
    Endpoint(
        method="GET", path="/audit/export", handler=export, tag=_TAG, summary="Export the audit log, one JSON object a line", scope="admin", media=EXPORT,
        query=_FILTERS,
        description="In order, with times in unix milliseconds. `polyport audit verify FILE` verifies such a file anywhere. With filters it is a part of the log and no chain: "
        "only the whole can be verified.",
    ),
)  # fmt: skip
