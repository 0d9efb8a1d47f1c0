"""Batches over HTTP: up to a thousand runs of one operation in one request, with a result for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from pydantic import Field

from polyport.engine.batch import BATCH_MOST, BatchKey, Placed, start_batch
from polyport.engine.record import Ask
from polyport.errors import Fault, PolyportError, ValidationFailed
from polyport.server.asks import LaterBody, ask_of_body, faults_of, key_faults, read_key
from polyport.server.operations import CREDENTIAL_EXAMPLE
from polyport.server.routing import Answer, Body, Call, Endpoint, Param, own_faults
from polyport.server.runs import PARTNER_ERRORS
from polyport.server.wire import FAULTS_MOST

_KEYS: Final = frozenset({"triggerActionId", "credentialData", "runs"})


class BatchItem(LaterBody):
    """One run of a batch. Without ``credentialData`` it takes that of the batch. ``idempotencyKey`` is as the header of a single run."""

    idempotency_key: str | None = None


class BatchBody(Body):
    """Runs of one operation."""

    trigger_action_id: int
    credential_data: dict[str, Any] | None = Field(default=None, examples=[CREDENTIAL_EXAMPLE])
    runs: list[BatchItem] = Field(min_length=1, max_length=BATCH_MOST)


class BatchResult(Body):
    """What became of one run: ``accepted`` with its id, or ``refused`` with the error. ``index`` is its place in the batch, from 0."""

    index: int
    status: Literal["accepted", "refused"]
    run_id: str | None = None
    status_url: str | None = None
    replayed: bool | None = None
    error: dict[str, Any] | None = None


class BatchAnswer(Body):
    """What became of a batch."""

    accepted: int
    refused: int
    runs: list[BatchResult]


async def start(call: Call) -> Answer:
    """POST /runs/batch."""
    key = read_key(call)
    body = call.json()
    operation_id, items = _read(body)
    await call.engine.desk.runnable(call.principal.account_id, operation_id)
    shared = body.get("credentialData")
    asks = [_ask(call, operation_id, item, shared) for item in items]
    whole = BatchKey(key=key, body=body) if key is not None else None
    placed = await start_batch(call.engine, call.principal.account_id, asks, whole)
    if not any(each.run is not None for each in placed):
        raise _refusal(placed)
    origin = call.engine.runtime.settings.origin
    shown = [_shown(index, each, origin) for index, each in enumerate(placed)]
    accepted = sum(each.run is not None for each in placed)
    again = all(each.replayed for each in placed if each.run is not None)
    data = {"accepted": accepted, "refused": len(placed) - accepted, "runs": shown}
    return Answer(data=data, status=202, headers={"Idempotent-Replayed": "true"} if again else {})


def _read(body: Any) -> tuple[int, list[Any]]:
    """The operation and the items. Raises ``ValidationFailed`` with every fault of what stands around the items."""
    if not isinstance(body, dict):
        raise ValidationFailed.of(Fault(path="", code="wrong_type", message="The body has to be a JSON object."))
    faults = [
        Fault(path=key, code="unknown_field", message="There is no such field here.")
        for key in list(body)[:FAULTS_MOST]
        if key not in _KEYS
    ]
    operation_id, items = body.get("triggerActionId"), body.get("runs")
    if operation_id is None:
        faults.append(Fault(path="triggerActionId", code="required", message="This field is needed."))
    elif isinstance(operation_id, bool) or not isinstance(operation_id, int) or not 0 < operation_id < 2**53:
        faults.append(Fault(path="triggerActionId", code="wrong_type", message="The id of an operation (a whole number) is needed here."))
    if body.get("credentialData") is not None and not isinstance(body["credentialData"], dict):
        faults.append(Fault(path="credentialData", code="wrong_type", message="An object is needed here."))
    if items is None:
        faults.append(Fault(path="runs", code="required", message="This field is needed."))
    elif not isinstance(items, list):
        faults.append(Fault(path="runs", code="wrong_type", message="A list of runs is needed here."))
    elif not 1 <= len(items) <= BATCH_MOST:
        code = "too_many" if items else "too_few"
        faults.append(Fault(path="runs", code=code, message=f"A batch has 1 to {BATCH_MOST:,} runs."))
    if faults:
        raise ValidationFailed.of(*faults)
    return operation_id, items  # type: ignore[return-value]  # anything else is a fault by now


def _ask(call: Call, operation_id: int, item: Any, shared: Mapping[str, Any] | None) -> Ask | PolyportError:
    if not isinstance(item, dict):
        return ValidationFailed.of(Fault(path="", code="wrong_type", message="An object is needed here."))
    body = {name: value for name, value in item.items() if name != "idempotencyKey"}
    faults = [*faults_of(body, "async", call.engine.runtime), *key_faults(item.get("idempotencyKey"), "idempotencyKey")]
    if "dryRun" in body:
        faults.append(Fault(path="dryRun", code="unknown_field", message="Runs of a batch are not run dry."))
    faults += own_faults(body, call.caller)
    if faults:
        return ValidationFailed.of(*faults)
    if body.get("credentialData") is None and shared is not None:
        body["credentialData"] = shared
    return ask_of_body(call, body, operation_id, "async", item.get("idempotencyKey"))


def _shown(index: int, placed: Placed, origin: str) -> dict[str, Any]:
    if placed.run is not None:
        url = f"{origin}/runs/{placed.run.run_id}"
        return {"index": index, "status": "accepted", "runId": placed.run.run_id, "statusUrl": url, "replayed": placed.replayed}
    error = placed.error or PolyportError()
    error.details = replace(error.details, fields=_placed_faults(index, error.details.fields))
    return {"index": index, "status": "refused", "error": error.as_record()}


def _placed_faults(index: int, faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """Faults of one run, with their paths in the batch."""
    return tuple(replace(fault, path=f"runs[{index}].{fault.path}" if fault.path else f"runs[{index}]") for fault in faults)


def _refusal(placed: Sequence[Placed]) -> PolyportError:
    """The error of a batch of which none was accepted: the one reason where all have the same and it is none of their inputs, else all faults."""
    errors = [each.error for each in placed if each.error is not None]
    if len({type(error) for error in errors}) == 1 and not isinstance(errors[0], ValidationFailed):
        return errors[0]
    return ValidationFailed.of(*_all_faults(placed))


def _all_faults(placed: Sequence[Placed]) -> list[Fault]:
    """The faults of runs of which none was accepted."""
    faults: list[Fault] = []
    for index, each in enumerate(placed):
        if len(faults) >= FAULTS_MOST or each.error is None:
            break
        faults += _placed_faults(index, each.error.details.fields) or [
            Fault(path=f"runs[{index}]", code=each.error.code, message=each.error.message)
        ]
    return faults[:FAULTS_MOST]


ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/runs/batch",
        handler=start,
        tag="Runs",
        summary="Queue up to 1,000 runs of one operation",
        description=(
            "Each run is checked by itself: those that can be are accepted together, durably, before this answers 202; the others are refused with their faults (`runs[3].runnerData.name`). "
            "When none can be accepted the answer is 422. An `Idempotency-Key` covers the batch as a whole, `idempotencyKey` a single run of it."
        ),
        scope="runs:write",
        body=BatchBody,
        query=(Param(name="Idempotency-Key", where="header", description="Same key and body within 24 hours: one effect, one answer."),),
        answer=BatchAnswer,
        status=202,
        errors=("conflict", "idempotency_in_progress", "idempotency_mismatch", "unsupported_trigger", "not_found", *PARTNER_ERRORS),
    ),
)
