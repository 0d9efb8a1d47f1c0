"""What a run was asked with, for people who look at it: its secrets are masked, and what cannot be known to hold none is not shown."""

from __future__ import annotations

from typing import Any, Final

from polyport.engine.caller import connection_fields
from polyport.engine.hidden import hidden_values, without_hidden
from polyport.engine.operation import Program
from polyport.engine.record import decode, pinned_of
from polyport.errors import ConnectionInvalid, NotFound
from polyport.manifest.passing import partner_of
from polyport.redaction import MASK, Redactor, named_headers
from polyport.server.routing import Answer, Body, Call, Endpoint
from polyport.store.records import Run

_NAMED: Final = ("query", "headers")  # of a request of the caller's own: what is named like a credential is one


class RunInput(Body):
    """What a run was asked with, as the body of the run had it. Secrets are `[secret]`."""

    credential_data: dict[str, Any]
    runner_data: dict[str, Any]
    window: Any = None
    cursor: Any = None
    limit: Any = None


async def read(call: Call) -> Answer:
    """GET /runs/{runId}/input."""
    run = await call.engine.runtime.repo.runs.get(call.principal.account_id, call.text("runId"))
    if run is None:
        raise NotFound("There is no run with this id.")
    if run.sealed_input is None:
        raise NotFound("The input of this run is no longer kept.")
    try:
        program = await call.engine.desk.program(run.account_id, run.operation_id, pinned_of(run))
    except NotFound:
        raise NotFound("The operation of this run is gone: nobody knows any more which of its fields hold secrets.") from None
    box = await call.engine.desk.box(run.account_id)
    content = decode(box.open(run.sealed_input, f"run/{run.run_id}/input"))
    given = content["runnerData"] or {}
    redactor = Redactor(hidden_values(program.hidden, given) | await _secrets_of_connection(call, run, program))
    shown = redactor.value(without_hidden(program.hidden, given, MASK))
    if partner_of(run.operation_id) is not None:
        shown = shown | {name: _without_named(shown[name]) for name in _NAMED if isinstance(shown.get(name), dict)}
    told = {"credentialData": content["credentialData"] or {}, "runnerData": shown}
    return Answer(data=told | {name: content[name] for name in ("window", "cursor", "limit") if content[name] is not None})


def _without_named(given: dict[str, Any]) -> dict[str, Any]:
    return {name: MASK if named_headers(((name, "x"),)) != ((name, "x"),) else value for name, value in given.items()}


async def _secrets_of_connection(call: Call, run: Run, program: Program) -> frozenset[str]:
    """The secrets of the connection, which an input may hold as well."""
    if run.connection_id is None:
        return frozenset()
    try:
        opened = await call.engine.runtime.connections.open(run.account_id, run.connection_id)
    except (NotFound, ConnectionInvalid):
        return frozenset()
    shown = {field.name for field in connection_fields(program.partner, opened.record.auth) if not field.secret}
    return frozenset(value for name, value in opened.fields.items() if name not in shown and isinstance(value, str) and value)


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/runs/{runId}/input",
        handler=read,
        tag="Runs",
        summary="Read what a run was asked with, without its secrets",
        description=(
            "As long as the input is kept (see `POLYPORT_RUNS_KEEP_PAYLOAD_DAYS`) and its operation is there. The fields that hold secrets are masked, and so is what is named like a credential, and the "
            "secrets of the connection wherever they occur: to run the same input once more is `POST /runs/{runId}/replay`."
        ),
        scope="runs:read",
        answer=RunInput,
    ),
)
