"""Starting, cancelling and replaying runs over HTTP: section 6 of the wire contract. What happens between request and answer is the engine's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from pydantic import Field

from polyport.engine.record import Done
from polyport.errors import PolyportError
from polyport.items import duration_ms, seconds
from polyport.server.asks import LaterBody, RunBody, read_ask, read_key
from polyport.server.routing import Answer, Body, Call, Endpoint, Param
from polyport.server.run_items import RunAnswer, shown_run
from polyport.store.records import Run, RunStatus


class PlannedValue(Body):
    """Where a value of a dry run went.

    ``from`` is the caller's field (``email[].value``, ``credentialData.1``), ``connection.FIELD``, ``constant`` or what the run itself gives;
    ``to`` is the slot: ``host``, ``path[0]``, ``query.NAME``, ``headers.NAME``, ``body.a.b[].c``. ``masked``: a secret.
    """

    source: str = Field(alias="from")
    to: str
    masked: bool = False


class PlannedRequest(Body):
    """One request of a dry run, redacted. ``dependsOn`` names the earlier steps whose answers it needs: it has no URL yet. ``count``: it is sent this often, once for each row."""

    step: str
    method: str
    url: str | None = None
    headers: list[tuple[str, str]] | None = None
    body: str | None = None
    values: list[PlannedValue] | None = None
    count: int | None = None
    depends_on: list[str] | None = None


class RunDone(Body):
    """A run that ended well. Times are unix seconds, durations milliseconds. A dry run has ``dryRun`` and ``requests`` instead of all else."""

    run_id: str | None = None
    status: RunStatus | None = None
    result: Any = None
    raw: Any = None
    attempts: int | None = None
    started_at: int | None = None
    duration_ms: int | None = None
    upstream_ms: int | None = None
    dry_run: bool | None = None
    requests: list[PlannedRequest] | None = None


class RunAccepted(Body):
    """A run that was accepted: it is durable, and ``statusUrl`` tells its end."""

    run_id: str
    status: RunStatus
    status_url: str


class DryRun(Body):
    """What a run would send (``"dryRun": true``): the exact requests, redacted. Nothing was sent, nothing is kept."""

    dry_run: Literal[True]
    requests: list[dict[str, Any]]


async def run_sync(call: Call) -> Answer:
    """POST /partners/trigger-actions/{id}/run/sync."""
    ask, dry_run = read_ask(call, "sync")
    if dry_run:
        return Answer(data={"dryRun": True, "requests": await call.engine.dry_run(ask)})
    return finished(call, await call.engine.run_sync(ask, uncut=call.uncut))


async def run_async(call: Call) -> Answer:
    """POST /partners/trigger-actions/{id}/run/async."""
    ask, dry_run = read_ask(call, "async")
    if dry_run:
        return Answer(data={"dryRun": True, "requests": await call.engine.dry_run(ask)})
    earlier, run, _prepared = await call.engine.start(ask)
    return _accepted(call, run, again=earlier is not None)


def _accepted(call: Call, run: Run, *, again: bool) -> Answer:
    headers = {"Idempotent-Replayed": "true"} if again else {}
    origin = call.engine.runtime.settings.origin
    data = {"runId": run.run_id, "status": RunStatus.QUEUED, "statusUrl": f"{origin}/runs/{run.run_id}"}
    return Answer(data=data, status=202, headers=headers | {"Location": f"/runs/{run.run_id}"})


def finished(call: Call, done: Done) -> Answer:
    """The answer of a run that ended: its result, or its error with the run's id."""
    call.run_id = done.run.run_id
    headers = {"Idempotent-Replayed": "true"} if done.replayed else {}
    if done.error is not None:
        error = _with_headers(done.error, headers)
        error.details = replace(error.details, connection_id=done.run.connection_id)
        raise error
    run = done.run
    data: dict[str, Any] = {
        "runId": run.run_id,
        "status": run.status,
        "result": done.result,
        "attempts": run.attempts,
        "startedAt": seconds(run.started_at),
        "durationMs": duration_ms(run),
        "upstreamMs": run.upstream_ms,
    }
    if done.raw is not None:
        data["raw"] = done.raw
    return Answer(data=data, headers=headers)


def _with_headers(error: PolyportError, headers: Mapping[str, str]) -> PolyportError:
    if headers:
        error.details = replace(error.details, headers=(*error.details.headers, *headers.items()))
    return error


async def cancel(call: Call) -> Answer:
    """POST /runs/{runId}/cancel."""
    run = await call.engine.ledger.cancel(call.principal.account_id, call.text("runId"))
    shown = shown_run(Done(run=run), call.engine.runtime)
    return Answer(data=shown, status=200 if run.status is RunStatus.CANCELLED else 202)


async def replay(call: Call) -> Answer:
    """POST /runs/{runId}/replay."""
    earlier, run, _prepared = await call.engine.replay(call.principal.account_id, call.text("runId"), read_key(call))
    return _accepted(call, run, again=earlier is not None)


_TAG: Final = "Runs"
PARTNER_ERRORS: Final = (
    "connection_invalid",
    "partner_error",
    "partner_rate_limited",
    "partner_unavailable",
    "partner_timeout",
    "overloaded",
)
_KEY: Final = Param(
    name="Idempotency-Key", where="header", description="Same key, same operation and body within 24 hours: one effect, one answer."
)

ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/partners/trigger-actions/{id}/run/sync",
        handler=run_sync,
        tag=_TAG,
        summary="Run a trigger or an action and wait for the result",
        scope="runs:write",
        body=RunBody,
        query=(_KEY,),
        answer=RunDone,
        also=((200, DryRun),),
        errors=("cancelled", "conflict", "idempotency_in_progress", "idempotency_mismatch", "unsupported_trigger", *PARTNER_ERRORS),
    ),
    Endpoint(
        method="POST",
        path="/partners/trigger-actions/{id}/run/async",
        handler=run_async,
        tag=_TAG,
        summary="Queue a run; it is durable when this answers",
        scope="runs:write",
        body=LaterBody,
        query=(_KEY,),
        answer=RunAccepted,
        status=202,
        also=((200, DryRun),),
        errors=("conflict", "idempotency_in_progress", "idempotency_mismatch", "unsupported_trigger", "connection_invalid", "overloaded"),
    ),
    Endpoint(
        method="POST",
        path="/runs/{runId}/cancel",
        handler=cancel,
        tag=_TAG,
        summary="Cancel a run",
        description=(
            "A run that is queued or waits is cancelled at once (200). One that is under way is asked to stop before its next request (202): a request that "
            "was sent is not undone, and the run may end otherwise. One that has ended is refused (409) with its status."
        ),
        scope="runs:write",
        answer=RunAnswer,
        also=((202, RunAnswer),),
        errors=("conflict",),
    ),
    Endpoint(
        method="POST",
        path="/runs/{runId}/replay",
        handler=replay,
        tag=_TAG,
        summary="Run the input of a run that ended once more",
        description=(
            "A fresh run in the background, with an id of its own; its `replayOf` names the old one. Refused (409) while the old one has not ended, and where its input "
            "is no longer kept. The input is checked anew: fields and connections may have changed since."
        ),
        scope="runs:write",
        query=(_KEY,),
        answer=RunAccepted,
        status=202,
        errors=("conflict", "idempotency_mismatch", "connection_invalid", "overloaded"),
    ),
)
