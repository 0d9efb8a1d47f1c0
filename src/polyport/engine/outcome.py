"""From what a partner did to the error a caller gets: the true reason, the field it concerns, what to do next. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from polyport.engine.parse import FieldFault, Verdict
from polyport.engine.retry import Failure
from polyport.engine.schema import Schema
from polyport.errors import (
    ConnectionInvalid,
    Details,
    Fault,
    PartnerError,
    PartnerRateLimited,
    PartnerTimeout,
    PartnerUnavailable,
    PolyportError,
    Upstream,
)
from polyport.net.message import NetworkFault
from polyport.redaction import Redactor

BODY_LIMIT: Final = 8 * 1024
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")

_CONCERN_FIELDS: Final = frozenset({"invalid_input", "conflict", "not_found", "failed"})
_FIXES: Final[Mapping[str, str]] = {
    "invalid_input": "Correct the input as the partner's message says, then run again.",
    "not_found": "Check the ids in the input: the partner has no such record, or this connection may not see it.",
    "conflict": "The partner's present state does not allow this, often because the record exists already: find it, then update it.",
    "forbidden": "The connection is valid but may not do this: give it the permission (scope) at the partner, then run again.",
    "expired_token": "Authorise the connection again.",
    "invalid_connection": "Authorise the connection again: PATCH /credentials/{id} with new fields, or test it with POST /credentials/{id}/test.",
    "rate_limited": "Wait as long as retryAfterMs says, then run again.",
    "unavailable": "Try again later; the partner's status page may say more.",
    "stopped": "Run it again: this server stopped, the partner has no part in it.",
    "failed": "Look at the partner's own message and at GET /runs/{runId}/attempts.",
}


def error_of(verdict: Verdict, schema: Schema | None, redactor: Redactor, body: Any) -> PolyportError:
    """The error of an answer that is no success."""
    message = redactor.text(verdict.message)
    upstream = Upstream(status=verdict.status, message=message, body=small_body(redactor, body))
    details = Details(
        upstream=upstream,
        fields=_fields(verdict, schema, redactor) if verdict.kind in _CONCERN_FIELDS else (),
        retry_after_ms=verdict.retry_after_ms,
        suggested_fix=verdict.suggested_fix or _FIXES[verdict.kind],
    )
    if verdict.kind == "rate_limited":
        return PartnerRateLimited(None, details)
    if verdict.kind in {"invalid_connection", "expired_token"}:
        return ConnectionInvalid(None, details)
    if verdict.kind == "unavailable":
        return PartnerUnavailable(f"The partner answered with status {verdict.status}.", details)
    return PartnerError(f"The partner refused the request: {message}", details)


def _fields(verdict: Verdict, schema: Schema | None, redactor: Redactor) -> tuple[Fault, ...]:
    """The faulty fields that the partner named, under the caller's own names."""
    named = verdict.faults
    if not named and verdict.field is not None:
        named = (FieldFault(field=verdict.field, message=verdict.message, code=verdict.code),)
    return tuple(
        Fault(
            path=_place(redactor.text(fault.field), schema),
            code=redactor.text(fault.code or "refused_by_partner"),
            message=redactor.text(fault.message),
        )
        for fault in named
    )


def failure_of_network(fault: NetworkFault) -> Failure:
    """The failure of a request without a whole answer."""
    upstream = None if fault.stopped else Upstream(status=None, message=fault.message)
    details = Details(upstream=upstream, suggested_fix=_FIXES["stopped" if fault.stopped else "unavailable"])
    error: PolyportError = PartnerTimeout(None, details) if fault.timed_out else PartnerUnavailable(fault.message, details)
    return Failure(error=error, reached=fault.reached, answered=False, stopped=fault.stopped)


def failure_of_unreadable(status: int, message: str) -> Failure:
    """The failure of an answer that came whole and cannot be read: it may be that of something between us and the partner."""
    details = Details(upstream=Upstream(status=status, message=message), suggested_fix=_FIXES["failed"])
    return Failure(error=PartnerUnavailable(message, details), reached=True, answered=False)


def failure_of_redirect(verdict: Verdict, redactor: Redactor) -> Failure:
    """The failure of a request that may change something and was answered with the address of another page: nobody can tell whether it was done, and a repeat leads there again."""
    text = f"The partner answered with status {verdict.status}, which does not say whether it did what was asked."
    upstream = Upstream(status=verdict.status, message=redactor.text(verdict.message))
    details = Details(upstream=upstream, suggested_fix=verdict.suggested_fix or _FIXES["failed"], retryable=False)
    return Failure(error=PartnerUnavailable(text, details), reached=True, answered=True)


def in_doubt(error: PolyportError) -> PolyportError:
    """The same error, said honestly: it may have taken effect, and a repeat may double it."""
    details = error.details
    return type(error)(
        error.message,
        Details(
            fields=details.fields,
            upstream=details.upstream,
            suggested_fix="The request may have taken effect. Look at the partner before you run it again.",
            outcome="uncertain",
            retryable=False,
        ),
    )


def too_late(attempt: int) -> PartnerTimeout:
    """The error of a run whose time was over before this attempt could be sent."""
    if attempt == 1:
        return PartnerTimeout("The time for this run was over before it could be sent; nothing was sent.")
    return PartnerTimeout("The time for this run was over before it could be sent again; its attempts say what came before.")


def settled(error: PolyportError, *, repeatable: bool) -> PolyportError:
    """A final failure: whether a repeat does no harm is part of what the caller learns."""
    if (
        error.retryable
        and not repeatable
        and error.details.retry_after_ms is None
        and isinstance(error, PartnerUnavailable | PartnerTimeout)
    ):
        return in_doubt(error)
    return error


def small_body(redactor: Redactor, body: Any) -> Any:
    """The partner's body for an error, scrubbed; nothing where it is large."""
    if body is None:
        return None
    clean = redactor.value(body)
    try:
        return clean if len(_ENCODER.encode(clean)) <= BODY_LIMIT else None
    except (ValueError, TypeError, RecursionError):
        return None


def _place(field: str, schema: Schema | None) -> str:
    """The path of a field that the partner named, in the caller's own words where it is one of the caller's fields."""
    if schema is None:
        return field
    for entry in schema.custom:
        if entry.key == field:
            return f"runnerData.{entry.field.name}"
    return f"runnerData.{field}"
