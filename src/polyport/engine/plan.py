"""Plan mode: the requests that an operation would send, redacted, and where each given value went. Nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polyport.engine.caller import Caller
from polyport.engine.calls import prepare_both
from polyport.engine.operation import Program, Reading, apply_window, position_of
from polyport.engine.render import CallProgram
from polyport.engine.schema import Schema
from polyport.engine.slots import values_of
from polyport.engine.steps import LATER_NAMES, check_rows, is_due, rows_of
from polyport.engine.trace import shown_request
from polyport.manifest.model import Trigger
from polyport.paths import Path


def plan(
    caller: Caller, program: Program, scope: dict[str, Any], reading: Reading | None = None, schema: Schema | None = None
) -> list[dict[str, Any]]:
    """The requests in order; one that needs an earlier answer is named without one, of a call for each row the first is shown and all are counted.

    Each tells under ``values`` where what the caller gave, the connection and the constants went (``slots``). ``schema`` is the one of the connection.
    Raises ``ValidationFailed`` for what could not be sent.
    """
    if reading is not None and isinstance(program.operation, Trigger):
        apply_window(scope, reading)
        scope["page"] = position_of(program.operation, reading)[0]
    shown: list[dict[str, Any]] = []
    given_by: dict[tuple[str, str], str] = {}
    for position, step in enumerate(program.calls):
        name = step.call.save or "call"
        needs = sorted({given_by[key] for key in _later(step) if key in given_by})
        if not needs and not is_due(step, scope):
            continue
        if needs:
            shown.append({"step": name, "method": step.call.method, "dependsOn": needs})
        else:
            rows = rows_of(step, position, scope)
            if step.each is not None:
                check_rows(caller, step, rows)
            if rows:
                shown.append(_shown(caller, step, name, rows, schema or program.schema))
        if step.call.save is not None:
            given_by["steps", step.call.save] = name
        given_by |= {("captured", captured): name for captured in step.call.capture}
    return shown


def _shown(caller: Caller, step: CallProgram, name: str, rows: Sequence[Mapping[str, Any]], schema: Schema) -> dict[str, Any]:
    scope = rows[0]
    unsigned, request = prepare_both(caller, step, scope)
    found = shown_request(name, request)
    found["values"] = values_of(caller, step, scope, schema, (unsigned, request))
    if step.each is not None:
        found["count"] = len(rows)
    return found


def _later(step: CallProgram) -> set[tuple[str, str]]:
    """The answers and headers of earlier calls that a call reads."""
    names: set[Path] = set(step.names)
    if step.call.when is not None:
        names.add(step.call.when.at)
    return {(str(name[0]), str(name[1])) for name in names if len(name) > 1 and name[0] in LATER_NAMES}
