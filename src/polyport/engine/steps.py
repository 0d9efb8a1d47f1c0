"""The calls of an operation, in order: which are due, once for each row where a call says so, what later ones read of them.

A call that is sent for each row is checked for all rows before the first one leaves. A failure in the middle says how many came before it: those took
effect, and ``retry`` never repeats them on its own.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from polyport.engine.caller import Caller
from polyport.engine.calls import Answer, exchange
from polyport.engine.outcome import failure_of_unreadable
from polyport.engine.render import CallProgram, render_call
from polyport.engine.schema import Schema
from polyport.engine.trace import CallFailed, Trace, sentence
from polyport.errors import Fault, PartnerTimeout, PolyportError, ValidationFailed
from polyport.kinds.fields import FileValue
from polyport.manifest.model import SAFE_METHODS
from polyport.manifest.refusals import ErrorRule
from polyport.paths import MISSING, Path, format_path
from polyport.template import RenderFault

Watch = Callable[[Trace], None]

# Of a call for each row, these many exchanges are kept whole; of the others the start of their bodies.
WHOLE_TRACES: Final = 10
SLIM_TRACE: Final = 500
# What the files of one call for each row may have together: they are held until the result is made.
FILES_LIMIT: Final = 64 * 1024 * 1024
_TOO_LARGE: Final = f"The files of one run have more than {FILES_LIMIT} bytes together."
ROW_NAMES: Final = frozenset({"each", "index"})
LATER_NAMES: Final = frozenset({"steps", "captured"})


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What the last call that was sent gave (of one for each row: the list of values), and the last answer that stood alone, which pagers read."""

    value: Any
    alone: Answer | None


def repeat_key(run_id: str, position: int, index: int) -> str:
    """What marks one call of a run at the partner, in the form of a UUID: the same in every attempt of the run, another for each call and row."""
    digest = hashlib.sha256(f"{run_id}/{position}/{index}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def reads_later(step: CallProgram) -> bool:
    """Whether the rows of a call come from an earlier answer."""
    return step.each is not None and any(name[0] in LATER_NAMES for name in step.each.names)


def is_due(step: CallProgram, scope: Mapping[str, Any]) -> bool:
    """Whether the condition of a call holds; one that reads a row is asked for each row."""
    when = step.call.when
    return when is None or _reads_row(when.at) or when.holds(scope)


def _reads_row(at: Path) -> bool:
    return at[:1] != () and at[0] in ROW_NAMES


def rows_of(step: CallProgram, position: int, scope: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The scopes of a call for each row. Raises ``ValidationFailed`` when there are more than it takes, or none of them can be a row."""
    if step.each is None:
        return [scope_of(step, position, 0, scope)]
    path = f"runnerData.{format_path(min(step.each.names, key=str))}" if not reads_later(step) and step.each.names else "runnerData"
    try:
        rows = step.each.render(scope)
    except RenderFault as error:
        raise ValidationFailed.of(Fault(path=path, code="cannot_be_sent", message=sentence(error))) from None
    if rows is MISSING or rows is None:
        return []
    if not isinstance(rows, list):
        raise ValidationFailed.of(
            Fault(path=path, code="wrong_type", message="A list is needed here: this is sent once for each of its elements.")
        )
    if len(rows) > step.call.most:
        message = f"At most {step.call.most} are sent in one run; there are {len(rows)}."
        raise ValidationFailed.of(Fault(path=path, code="too_many", message=message))
    scopes = [scope_of(step, position, index, scope, row) for index, row in enumerate(rows)]
    when = step.call.when
    return [found for found in scopes if when is None or not _reads_row(when.at) or when.holds(found)]


def scope_of(step: CallProgram, position: int, index: int, scope: Mapping[str, Any], row: Any = MISSING) -> dict[str, Any]:
    """The names that the templates of one call read."""
    found = dict(scope) if row is MISSING else {**scope, "each": row, "index": index}
    if step.wants_key and isinstance(run := scope.get("run"), dict):
        found["run"] = {**run, "key": repeat_key(str(run["id"]), position, index)}
    return found


async def send_steps(
    caller: Caller, steps: Sequence[CallProgram], rules: Sequence[ErrorRule], schema: Schema, scope: dict[str, Any], watch: Watch
) -> Sent | None:
    """Send the calls that are due; ``None`` when none is. Later calls read earlier answers in ``scope``. Raises ``CallFailed`` or ``ValidationFailed``."""
    if len(steps) == 1 and steps[0].stands_alone:  # most operations are one call
        answer = await _send(caller, steps[0], "call", rules, schema, scope_of(steps[0], 0, 0, scope), watch)
        return Sent(value=answer.value, alone=answer)
    for position, step in enumerate(steps):
        if step.each is not None and not reads_later(step) and is_due(step, scope):
            check_rows(caller, step, rows_of(step, position, scope))
    sent: Sent | None = None
    for position, step in enumerate(steps):
        if not is_due(step, scope):
            continue
        answers = await _send_rows(caller, step, position, rules, schema, scope, watch)
        if step.each is None:
            sent = Sent(value=answers[0].value, alone=answers[0])
        else:
            sent = Sent(value=[answer.value for answer in answers], alone=sent.alone if sent is not None else None)
        if step.call.save is not None:
            scope["steps"] = {**scope["steps"], step.call.save: sent.value}
        if step.call.capture:
            told = {name: answers[0].reply.header(header) for name, header in step.call.capture.items()}
            scope["captured"] = {**scope.get("captured", {}), **{name: text for name, text in told.items() if text is not None}}
    return sent


def check_rows(caller: Caller, step: CallProgram, scopes: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a row that cannot be sent before the first one is; rows that need an earlier answer are not known yet."""
    if any(name[0] in LATER_NAMES for name in step.names):
        return
    for found in scopes:
        try:
            render_call(step, found, caller.base, caller.timeout)
        except RenderFault as error:
            message = f"Row {found['index'] + 1}: {sentence(error)}"
            raise ValidationFailed.of(Fault(path="runnerData", code="cannot_be_sent", message=message)) from None


async def _send_rows(
    caller: Caller, step: CallProgram, position: int, rules: Sequence[ErrorRule], schema: Schema, scope: Mapping[str, Any], watch: Watch
) -> list[Answer]:
    """One exchange, or one for each row."""
    name = step.call.save or "call"
    if step.each is None:
        found = scope_of(step, position, 0, scope) if step.wants_key else scope
        return [await _send(caller, step, name, rules, schema, found, watch)]
    scopes = rows_of(step, position, scope)
    answers: list[Answer] = []
    size = 0
    for found in scopes:
        if caller.until is not None and time.monotonic() >= caller.until:
            raise PartnerTimeout(f"The time for this run was over after {len(answers)} of {len(scopes)} rows.")
        slim = len(answers) >= WHOLE_TRACES
        try:
            answer = await _send(
                caller, step, f"{name}[{found['index']}]", rules, schema, found, (lambda trace: watch(_slim(trace))) if slim else watch
            )
        except CallFailed as failed:
            raise _in_the_middle(failed, len(answers), len(scopes)) from None
        size += len(answer.value.content or b"") if isinstance(answer.value, FileValue) else 0
        if size > FILES_LIMIT:
            raise CallFailed(failure_of_unreadable(answer.reply.status, _TOO_LARGE), answer.trace)
        answers.append(replace(answer, trace=_slim(answer.trace)) if slim else answer)
    return answers


async def _send(
    caller: Caller, step: CallProgram, name: str, rules: Sequence[ErrorRule], schema: Schema, scope: Mapping[str, Any], watch: Watch
) -> Answer:
    try:
        answer = await exchange(caller, step, scope, rules, schema=schema, step=name)
    except CallFailed as failed:
        for trace in failed.traces:
            watch(trace)
        raise
    for trace in (*answer.earlier, answer.trace):
        watch(trace)
    return answer


def _in_the_middle(failed: CallFailed, before: int, rows: int) -> CallFailed:
    """The failure of one row, told with how many were sent before it."""
    if before == 0 or failed.trace.method in SAFE_METHODS:
        return failed
    error: PolyportError = failed.failure.error
    told = type(error)(f"{error.message.rstrip('.')} ({before} of {rows} rows were sent before this one.)", error.details)
    return CallFailed(replace(failed.failure, error=told), failed.trace, kind=failed.kind, earlier=failed.earlier)


def _slim(trace: Trace) -> Trace:
    return replace(trace, body=_start(trace.body), reply_body=_start(trace.reply_body))


def _start(text: str | None) -> str | None:
    return text if text is None or len(text) <= SLIM_TRACE else f"{text[:SLIM_TRACE]} …"
