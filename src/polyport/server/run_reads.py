"""Reading runs over HTTP: one in any state, its attempts, lists with filters and a cursor."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from polyport.connections import is_usable
from polyport.engine.record import Done, from_cursor, to_cursor
from polyport.errors import BY_CODE, ConnectionInvalid, Fault, NotFound, ValidationFailed
from polyport.items import held_until_by, told_item
from polyport.kinds.fields import ValueFault, coerce_datetime, unix_number
from polyport.server.events import EventAnswer
from polyport.server.routing import Answer, Call, Endpoint, Param, reconnectable
from polyport.server.run_items import RunAnswer, shown_run
from polyport.server.wire import PER_PAGE, PER_PAGE_MOST, id_filter, known_filters, read_list_query
from polyport.store.records import Run, RunStatus
from polyport.store.runs import FIRST, LAST, RunFilter


async def read(call: Call) -> Answer:
    """GET /runs/{runId}."""
    done = await _done(call)
    if isinstance(done.error, ConnectionInvalid) and await _is_out_of_use(call, done.run):
        done.error.details = replace(done.error.details, connection_id=done.run.connection_id)
        await reconnectable(done.error, call)
    return Answer(data=shown_run(done, call.engine.runtime, behind=await _behind(call, done.run)))


async def _behind(call: Call, run: Run) -> int | None:
    """Until when a run waits that is due, because those that are before it in its lane are held back: their partner takes no calls."""
    now = call.engine.runtime.now_ms()
    if run.status is not RunStatus.QUEUED or run.due_at > now:
        return None
    untils = [held_until_by(error) or 0 for error in await call.engine.runtime.repo.runs.lane_held(run, now)]
    return max(untils) if untils and max(untils) > now else None


async def _is_out_of_use(call: Call, run: Run) -> bool:
    """Whether the connection of a run is one that runs may not use now: an old run still tells what it met."""
    record = await call.engine.runtime.repo.connections.get(run.account_id, run.connection_id or 0)
    return record is not None and not is_usable(record)


async def read_attempts(call: Call) -> Answer:
    """GET /runs/{runId}/attempts."""
    done = await _done(call)
    found = await call.engine.ledger.attempts(done.run)
    if done.run.sending:
        found = [*found, {"number": done.run.attempts, "exchanges": [], "note": "It is under way: there is no answer yet."}]
    return Answer(data=found, meta={"page": 1, "totalPages": 1, "totalItemsCount": len(found)})


async def read_callbacks(call: Call) -> Answer:
    """GET /runs/{runId}/callbacks."""
    done = await _done(call)
    found = await call.engine.runtime.repo.outbox.of_subject(done.run.account_id, done.run.run_id)
    return Answer(data=[told_item(event) for event in found], meta={"page": 1, "totalPages": 1, "totalItemsCount": len(found)})


async def _done(call: Call) -> Done:
    done = await call.engine.ledger.read(call.principal.account_id, call.text("runId"))
    if done is None:
        raise NotFound("There is no run with this id.")
    return done


async def read_many(call: Call) -> Answer:
    """GET /runs."""
    params = call.http.query_params
    names = ("status", "partnerId", "triggerActionId", "credentialId", "externalUserId", "error", "idempotencyKey", "from", "to")
    query = read_list_query(params, names, numbered=False)
    known_filters(query.filters, [(name, "eq") for name in names])
    given = {name: query.filters.get((name, "eq")) for name in names}
    faults: list[Fault] = []
    if given["status"] is not None and given["status"] not in list(RunStatus):
        faults.append(Fault(path="status", code="unknown_option", message=f"A status is one of: {', '.join(RunStatus)}."))
    if given["error"] is not None and given["error"] not in BY_CODE:
        faults.append(Fault(path="error", code="unknown_option", message=f"A code of an error is one of: {', '.join(sorted(BY_CODE))}."))
    start, end = (_boundary(given[name], name, faults) for name in ("from", "to"))
    if faults:
        raise ValidationFailed.of(*faults)
    cursor = params.get("cursor")
    before = min(from_cursor(cursor) if cursor else LAST, end or LAST)
    if given["idempotencyKey"] is not None:
        key = await call.engine.runtime.repo.runs.key(call.principal.account_id, given["idempotencyKey"])
        run_id = key.run_id if key is not None else ""  # the key of a batch has none
        start, before = max(start or FIRST, run_id), min(before, f"{run_id}~" if run_id else FIRST)  # from one run to itself
    wanted = RunFilter(
        status=given["status"],
        partner_id=id_filter(given["partnerId"], "partnerId"),
        operation_id=id_filter(given["triggerActionId"], "triggerActionId"),
        connection_id=id_filter(given["credentialId"], "credentialId"),
        external_user_id=given["externalUserId"],
        error=given["error"],
        before=before,
        after=start or FIRST,
    )
    limit = query.per_page if "per-page" in params else PER_PAGE
    found = await call.engine.runtime.repo.runs.page(call.principal.account_id, wanted, limit=limit)
    following = to_cursor(found.following) if found.following is not None else None
    meta = {"perPage": limit, "nextCursor": following, "hasMore": following is not None}
    return Answer(data=[shown_run(Done(run=run), call.engine.runtime) for run in found.runs], meta=meta)


def _boundary(value: str | None, name: str, faults: list[Fault]) -> str | None:
    """The smallest run id of a moment: ids are in the order of time."""
    if value is None:
        return None
    try:
        moment = int(unix_number(coerce_datetime(value), 1000) // 1)
    except ValueFault as error:
        faults.append(Fault(path=name, code=error.code, message=error.message))
        return None
    return f"run_{max(0, moment):012x}"


_TAG: Final = "Runs"

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/runs",
        handler=read_many,
        tag=_TAG,
        summary="List runs, newest first",
        scope="runs:read",
        answer=RunAnswer,
        many=True,
        query=(
            Param(
                name="per-page",
                description="Runs a page.",
                schema={"type": "integer", "minimum": 1, "maximum": PER_PAGE_MOST, "default": PER_PAGE},
            ),
            Param(name="cursor", description="meta.nextCursor of the page before."),
            Param(name="status", description="One status.", schema={"type": "string", "enum": [status.value for status in RunStatus]}),
            Param(name="partnerId", description="The partner's id.", schema={"type": "integer"}),
            Param(name="triggerActionId", description="The operation's id.", schema={"type": "integer"}),
            Param(name="credentialId", description="The connection's id.", schema={"type": "integer"}),
            Param(name="externalUserId", description="Your user's id."),
            Param(
                name="error",
                description="The code of the error that it ended with, or waits for.",
                schema={"type": "string", "enum": sorted(BY_CODE)},
            ),
            Param(name="idempotencyKey", description="The key that it was started under, as long as keys are remembered: one run at most."),
            Param(name="from", description="Accepted at or after: unix seconds or ISO 8601 with a zone."),
            Param(name="to", description="Accepted before: unix seconds or ISO 8601 with a zone."),
        ),
    ),
    Endpoint(
        method="GET",
        path="/runs/{runId}",
        handler=read,
        tag=_TAG,
        summary="Read a run, in any state",
        scope="runs:read",
        answer=RunAnswer,
    ),
    Endpoint(
        method="GET",
        path="/runs/{runId}/attempts",
        handler=read_attempts,
        tag=_TAG,
        summary="Read a run's attempts: redacted requests and answers",
        scope="runs:read",
        many=True,
    ),
    Endpoint(
        method="GET",
        path="/runs/{runId}/callbacks",
        handler=read_callbacks,
        tag=_TAG,
        summary="Read who was told of a run's end, and who was not",
        description="The events of the run, one for each receiver, as long as they are kept: its `callbackUrl` and the endpoints that want `run.finished`.",
        scope="runs:read",
        answer=EventAnswer,
        many=True,
    ),
)
