"""Runs over HTTP: section 6 of the wire contract. Bytes to a wire request, and an outcome to an answer; what happens between is the engine's."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pydantic import Field

from polyport.accounts import URL_LONGEST
from polyport.connections import is_usable
from polyport.engine.record import Ask, Done, from_cursor, to_cursor
from polyport.engine.run import SYNC_LIMIT_MS
from polyport.errors import ConnectionInvalid, Fault, NotFound, PolyportError, ValidationFailed
from polyport.events import receiver_fault
from polyport.items import duration_ms, run_item, seconds
from polyport.kinds.fields import ValueFault, coerce_datetime, unix_number
from polyport.net.egress import EgressPolicy
from polyport.server.operations import CREDENTIAL_EXAMPLE
from polyport.server.routing import Answer, Body, Call, Endpoint, Param, reconnectable
from polyport.server.wire import (
    FAULTS_MOST,
    PER_PAGE,
    PER_PAGE_MOST,
    ExternalUserId,
    encode,
    id_filter,
    known_filters,
    read_list_query,
    user_id_fault,
)
from polyport.store.records import Run, RunStatus
from polyport.store.runs import FIRST, LAST, RunFilter

METADATA_LIMIT: Final = 16 * 1024
KEY_LONGEST: Final = 255
KEYS: Final = frozenset(
    {
        "credentialData",
        "runnerData",
        "dryRun",
        "callbackUrl",
        "metadata",
        "timeoutMs",
        "window",
        "cursor",
        "limit",
        "raw",
        "externalUserId",
    }
)
_OBJECTS: Final = ("credentialData", "runnerData", "metadata", "window")
_BOOLEANS: Final = ("dryRun", "raw")
_UNLIMITED: Final = KEYS - {"timeoutMs", "externalUserId", "metadata", "callbackUrl"}  # those that ``_limits`` does not look at


class RunBody(Body):
    """What to run, for which connection. ``window``, ``cursor`` and ``limit`` are for triggers."""

    credential_data: dict[str, Any] | None = Field(default=None, examples=[CREDENTIAL_EXAMPLE])
    runner_data: dict[str, Any] | None = None
    dry_run: bool = False
    callback_url: str | None = Field(default=None, max_length=URL_LONGEST, description="Where the event run.finished goes.")
    metadata: dict[str, Any] = Field(default_factory=dict)
    external_user_id: ExternalUserId | None = None
    timeout_ms: int | None = Field(default=None, ge=100, le=SYNC_LIMIT_MS)
    window: dict[str, Any] | None = None
    cursor: str | None = None
    limit: int | None = Field(default=None, ge=1, le=1000)
    raw: bool = False


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


class RunAnswer(Body):
    """A run. Times are unix seconds, durations milliseconds. A dry run has ``dryRun`` and ``requests`` instead."""

    run_id: str
    status: RunStatus
    result: Any = None
    dry_run: bool | None = None
    requests: list[PlannedRequest] | None = None


async def run_sync(call: Call) -> Answer:
    """POST /partners/trigger-actions/{id}/run/sync."""
    ask, dry_run = _ask(call, "sync")
    if dry_run:
        return Answer(data={"dryRun": True, "requests": await call.engine.dry_run(ask)})
    return _finished(call, await call.engine.run_sync(ask))


async def run_async(call: Call) -> Answer:
    """POST /partners/trigger-actions/{id}/run/async."""
    ask, dry_run = _ask(call, "async")
    if dry_run:
        return Answer(data={"dryRun": True, "requests": await call.engine.dry_run(ask)})
    earlier, run, _prepared = await call.engine.start(ask)
    headers = {"Idempotent-Replayed": "true"} if earlier is not None else {}
    origin = call.engine.runtime.settings.origin
    data = {"runId": run.run_id, "status": RunStatus.QUEUED, "statusUrl": f"{origin}/runs/{run.run_id}"}
    return Answer(data=data, status=202, headers=headers | {"Location": f"/runs/{run.run_id}"})


def _ask(call: Call, mode: str) -> tuple[Ask, bool]:
    """The body and headers as an ask. Raises ``ValidationFailed`` with every fault of the envelope."""
    body = call.json()
    if not isinstance(body, dict):
        raise ValidationFailed.of(Fault(path="", code="wrong_type", message="The body has to be a JSON object."))
    faults: list[Fault] = []
    if not body.keys() <= KEYS:
        unknown = itertools.islice((key for key in body if key not in KEYS), FAULTS_MOST)
        faults += [Fault(path=key, code="unknown_field", message="There is no such field here.") for key in unknown]
    for name in _OBJECTS:
        if body.get(name) is not None and not isinstance(body[name], dict):
            faults.append(Fault(path=name, code="wrong_type", message="An object is needed here."))
    for name in _BOOLEANS:
        if not isinstance(body.get(name, False), bool):
            faults.append(Fault(path=name, code="wrong_type", message="A boolean is needed here: true or false."))
    if not body.keys() <= _UNLIMITED:
        faults += _limits(body, call.engine.runtime.policy)
    key = call.http.headers.get("idempotency-key")
    if key is not None and (not 1 <= len(key) <= KEY_LONGEST or not key.isascii() or not key.isprintable()):
        faults.append(
            Fault(path="Idempotency-Key", code="wrong_format", message=f"A key is 1 to {KEY_LONGEST} printable ASCII characters.")
        )
    if faults:
        raise ValidationFailed.of(*faults)
    ask = Ask(
        account_id=call.principal.account_id,
        operation_id=call.id("id"),
        mode=mode,
        credential_data=body.get("credentialData"),
        runner_data=body.get("runnerData"),
        window=body.get("window"),
        cursor=body.get("cursor"),
        limit=body.get("limit"),
        raw=body.get("raw", False),
        timeout_ms=body.get("timeoutMs"),
        callback_url=body.get("callbackUrl"),
        external_user_id=call.owner(body.get("externalUserId")),
        metadata=body.get("metadata") or {},
        idempotency_key=key,
    )
    return ask, body.get("dryRun", False)


def _limits(body: Mapping[str, Any], policy: EgressPolicy) -> list[Fault]:
    faults: list[Fault] = []
    timeout = body.get("timeoutMs")
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int) or not 100 <= timeout <= SYNC_LIMIT_MS):
        faults.append(Fault(path="timeoutMs", code="out_of_range", message=f"Milliseconds from 100 to {SYNC_LIMIT_MS} are needed here."))
    user = body.get("externalUserId")
    if user is not None and (told := user_id_fault(user)) is not None:
        faults.append(Fault(path="externalUserId", code=told[0], message=told[1]))
    if isinstance(body.get("metadata"), dict) and len(encode(body["metadata"])) > METADATA_LIMIT:
        faults.append(Fault(path="metadata", code="too_long", message=f"Metadata takes at most {METADATA_LIMIT} bytes of JSON."))
    if body.get("callbackUrl") is not None:
        faults += _callback_faults(policy, body["callbackUrl"])
    return faults


def _callback_faults(policy: EgressPolicy, url: Any) -> list[Fault]:
    if not isinstance(url, str):
        return [Fault(path="callbackUrl", code="wrong_type", message="An address is needed here.")]
    fault = receiver_fault(policy, url, "callbackUrl")
    return [fault] if fault is not None else []


def _finished(call: Call, done: Done) -> Answer:
    """The answer of a run that ended: its result, or its error with the run's id."""
    call.http.state.run_id = done.run.run_id
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


async def read(call: Call) -> Answer:
    """GET /runs/{runId}."""
    done = await _done(call)
    if isinstance(done.error, ConnectionInvalid) and await _is_out_of_use(call, done.run):
        done.error.details = replace(done.error.details, connection_id=done.run.connection_id)
        await reconnectable(done.error, call)
    return Answer(data=_item(done))


async def _is_out_of_use(call: Call, run: Run) -> bool:
    """Whether the connection of a run is one that runs may not use now: an old run still tells what it met."""
    record = await call.engine.runtime.repo.connections.get(run.account_id, run.connection_id or 0)
    return record is not None and not is_usable(record)


async def read_attempts(call: Call) -> Answer:
    """GET /runs/{runId}/attempts."""
    done = await _done(call)
    found = await call.engine.attempts(done.run)
    if done.run.sending:
        found = [*found, {"number": done.run.attempts, "exchanges": [], "note": "under way: no answer is known yet"}]
    return Answer(data=found, meta={"page": 1, "totalPages": 1, "totalItemsCount": len(found)})


async def _done(call: Call) -> Done:
    done = await call.engine.read(call.principal.account_id, call.text("runId"))
    if done is None:
        raise NotFound("There is no run with this id.")
    return done


async def read_many(call: Call) -> Answer:
    """GET /runs."""
    params = call.http.query_params
    query = read_list_query(params, ("status", "partnerId", "triggerActionId", "credentialId", "externalUserId", "from", "to"))
    names = ("status", "partnerId", "triggerActionId", "credentialId", "externalUserId", "from", "to")
    known_filters(query.filters, [(name, "eq") for name in names])
    given = {name: query.filters.get((name, "eq")) for name in names}
    faults: list[Fault] = []
    if given["status"] is not None and given["status"] not in list(RunStatus):
        faults.append(Fault(path="status", code="unknown_option", message=f"A status is one of: {', '.join(RunStatus)}."))
    start, end = (_boundary(given[name], name, faults) for name in ("from", "to"))
    if faults:
        raise ValidationFailed.of(*faults)
    cursor = params.get("cursor")
    before = min(from_cursor(cursor) if cursor else LAST, end or LAST)
    wanted = RunFilter(
        status=given["status"],
        partner_id=id_filter(given["partnerId"], "partnerId"),
        operation_id=id_filter(given["triggerActionId"], "triggerActionId"),
        connection_id=id_filter(given["credentialId"], "credentialId"),
        external_user_id=given["externalUserId"],
        before=before,
        after=start or FIRST,
    )
    limit = query.per_page if "per-page" in params else PER_PAGE
    found = await call.engine.runtime.repo.runs.page(call.principal.account_id, wanted, limit=limit + 1)
    following = to_cursor(found[limit - 1].run_id) if len(found) > limit else None
    meta = {"perPage": limit, "nextCursor": following, "hasMore": following is not None}
    return Answer(data=[run_item(run) for run in found[:limit]], meta=meta)


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


def _item(done: Done) -> dict[str, Any]:
    return run_item(done.run, result=done.result, raw=done.raw, error=done.error)


_TAG: Final = "Runs"
_PARTNER: Final = ("connection_invalid", "partner_error", "partner_rate_limited", "partner_unavailable", "partner_timeout", "overloaded")
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
        answer=RunAnswer,
        errors=("idempotency_in_progress", "idempotency_mismatch", "unsupported_trigger", *_PARTNER),
    ),
    Endpoint(
        method="POST",
        path="/partners/trigger-actions/{id}/run/async",
        handler=run_async,
        tag=_TAG,
        summary="Queue a run; it is durable when this answers",
        scope="runs:write",
        body=RunBody,
        query=(_KEY,),
        answer=RunAnswer,
        status=202,
        errors=("idempotency_mismatch", "unsupported_trigger", "connection_invalid", "overloaded"),
    ),
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
)
