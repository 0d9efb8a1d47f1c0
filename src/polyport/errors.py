"""Every error Polyport raises, in one tree and one table.

::

    PolyportError
     +- CallerError             the request is at fault; nothing was sent to a partner
     |   +- MalformedJson, BadRequest                                    400
     |   +- Unauthenticated, TokenExpired                                401
     |   +- Forbidden, BlockedAddress                                    403
     |   +- NotFound                                                     404
     |   +- MethodNotAllowed, PayloadTooLarge, UnsupportedMediaType      405, 413, 415
     |   +- IdempotencyInProgress, ConnectionInvalid, Conflict, RunCancelled  409
     |   +- LinkExpired, LinkUsed                                        410
     |   +- ValidationFailed, IdempotencyMismatch, UnsupportedTrigger    422
     |   +- RateLimited                                                  429
     +- PartnerFault            the partner was asked and the answer was not a success
     |   +- PartnerError, PartnerRateLimited                             424
     |   +- PartnerUnavailable                                           502
     |   +- PartnerTimeout                                               504
     +- Overloaded                                                       503
     +- InternalError                                                    500
    SetupError                  the operator's settings, keys or files are at fault; stops the start

The docstring of a class is its default message. ``TABLE`` maps each class to the HTTP status, the wire code and
whether a repeat can help; it is also what the error reference in the docs is made from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with an input.

    ``path`` points into the body (``runnerData.email[0].value``), ``code`` is stable and for programs,
    ``message`` is a sentence for people. The offending value is never part of it: it may be a secret.
    """

    path: str
    code: str
    message: str

    def as_dict(self) -> dict[str, str]:
        """The fault as it stands on the wire."""
        return {"path": self.path, "code": self.code, "message": self.message}


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """What the partner answered, scrubbed of secrets: HTTP status, its own message, its body if it is small."""

    status: int | None
    message: str
    body: Any = None

    def as_dict(self) -> dict[str, Any]:
        """The answer as it stands on the wire; the body is left out when there is none."""
        shown: dict[str, Any] = {"status": self.status, "message": self.message}
        if self.body is not None:
            shown["body"] = self.body
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """The optional facts of an error; the field names are those of the wire in snake case.

    ``retry_after_ms`` is in milliseconds. ``outcome`` is ``"uncertain"`` when the request may have taken effect.
    ``reason`` says why a call was held back here: ``"budget"`` or ``"circuit_open"``. ``retryable`` overrides the table's word for this class. ``connection_id`` is the connection that has to be authorised again; it is not told by
    itself, ``reconnect_url`` is made from it for who may have one.
    """

    fields: tuple[Fault, ...] = ()
    upstream: Upstream | None = None
    retry_after_ms: int | None = None
    suggested_fix: str | None = None
    reconnect_url: str | None = None
    connection_id: int | None = None
    outcome: str | None = None
    reason: str | None = None
    retryable: bool | None = None
    headers: tuple[tuple[str, str], ...] = field(default=())


class PolyportError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None, /, details: Details | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.details = details or Details()
        super().__init__(self.message)

    @property
    def status(self) -> int:
        """The HTTP status that this error is answered with."""
        return TABLE[type(self)].status

    @property
    def code(self) -> str:
        """The stable wire code."""
        return TABLE[type(self)].code

    @property
    def retryable(self) -> bool:
        """Whether sending the same request again, later, can help and does no harm."""
        told = self.details.retryable
        return TABLE[type(self)].retryable if told is None else told

    def as_record(self) -> dict[str, Any]:
        """The error as JSON: kept with a run, and put on the wire under ``error`` with a request id added."""
        details = self.details
        record: dict[str, Any] = {"code": self.code, "message": self.message, "retryable": self.retryable}
        if details.retry_after_ms is not None:
            record["retryAfterMs"] = details.retry_after_ms
        if details.fields:
            record["fields"] = [fault.as_dict() for fault in details.fields]
        if details.upstream is not None:
            record["upstream"] = details.upstream.as_dict()
        if details.suggested_fix is not None:
            record["suggestedFix"] = details.suggested_fix
        if details.reconnect_url is not None:
            record["reconnectUrl"] = details.reconnect_url
        if details.outcome is not None:
            record["outcome"] = details.outcome
        if details.reason is not None:
            record["reason"] = details.reason
        return record

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> PolyportError:
        """The error that ``as_record`` wrote, for a stored answer that is given again."""
        upstream = record.get("upstream")
        details = Details(
            fields=tuple(Fault(**fault) for fault in record.get("fields", ())),
            upstream=Upstream(**upstream) if upstream is not None else None,
            retry_after_ms=record.get("retryAfterMs"),
            suggested_fix=record.get("suggestedFix"),
            reconnect_url=record.get("reconnectUrl"),
            outcome=record.get("outcome"),
            reason=record.get("reason"),
            retryable=record.get("retryable"),
        )
        return BY_CODE.get(record["code"], InternalError)(record["message"], details)


class CallerError(PolyportError):
    """The request is at fault."""


class MalformedJson(CallerError):
    """The body is not valid JSON."""


class BadRequest(CallerError):
    """The request cannot be understood."""


class Unauthenticated(CallerError):
    """A valid token is needed: send it as "Authorization: Bearer <token>"."""


class TokenExpired(CallerError):
    """The token has expired: sign in again or refresh it."""


class Forbidden(CallerError):
    """This token may not do that."""


class BlockedAddress(CallerError):
    """The address is not a public one, and this server's operator has not allowed it."""


class NotFound(CallerError):
    """There is nothing here by that name."""


class MethodNotAllowed(CallerError):
    """This path does not take that method."""


class PayloadTooLarge(CallerError):
    """The body is larger than this server takes."""


class UnsupportedMediaType(CallerError):
    """The body has to be JSON: send "Content-Type: application/json"."""


class IdempotencyInProgress(CallerError):
    """The first call with this Idempotency-Key is still running."""


class ConnectionInvalid(CallerError):
    """The partner no longer accepts this connection: it has to be authorised again."""


class Conflict(CallerError):
    """The present state does not allow this."""


class RunCancelled(CallerError):
    """The run was cancelled."""


class LinkExpired(CallerError):
    """This link has expired."""


class LinkUsed(CallerError):
    """This link has been used."""


class ValidationFailed(CallerError):
    """The input has faults: "fields" lists every one."""

    @classmethod
    def of(cls, *faults: Fault) -> Self:
        """The error that carries these faults."""
        return cls(None, Details(fields=faults))


class IdempotencyMismatch(CallerError):
    """This Idempotency-Key was used with another operation or another body."""


class UnsupportedTrigger(CallerError):
    """Webhook triggers are not run on demand: they are subscribed to, which this version does not do yet."""


class RateLimited(CallerError):
    """Too many requests: wait, then try again."""


class PartnerFault(PolyportError):
    """The partner did not do what was asked."""


class PartnerError(PartnerFault):
    """The partner refused the request."""


class PartnerRateLimited(PartnerFault):
    """The partner asks to wait before the next request."""


class PartnerUnavailable(PartnerFault):
    """The partner could not be reached or its answer could not be read."""


class PartnerTimeout(PartnerFault):
    """The partner did not answer in time."""


class Overloaded(PolyportError):
    """This server is busy: nothing was accepted, try again shortly."""


class InternalError(PolyportError):
    """Something went wrong on this server. The request id leads to the log entry."""


class SetupError(Exception):
    """Settings, keys or files do not allow this server to start; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of ``TABLE``: HTTP status, wire code, whether a repeat can help."""

    status: int
    code: str
    retryable: bool = False


TABLE: Final[dict[type[PolyportError], Row]] = {
    MalformedJson: Row(400, "malformed_json"),
    BadRequest: Row(400, "bad_request"),
    Unauthenticated: Row(401, "unauthenticated"),
    TokenExpired: Row(401, "token_expired"),
    Forbidden: Row(403, "forbidden"),
    BlockedAddress: Row(403, "blocked_address"),
    NotFound: Row(404, "not_found"),
    MethodNotAllowed: Row(405, "method_not_allowed"),
    IdempotencyInProgress: Row(409, "idempotency_in_progress", retryable=True),
    ConnectionInvalid: Row(409, "connection_invalid"),
    Conflict: Row(409, "conflict"),
    RunCancelled: Row(409, "cancelled"),
    LinkExpired: Row(410, "link_expired"),
    LinkUsed: Row(410, "link_used"),
    PayloadTooLarge: Row(413, "payload_too_large"),
    UnsupportedMediaType: Row(415, "unsupported_media_type"),
    ValidationFailed: Row(422, "validation_failed"),
    IdempotencyMismatch: Row(422, "idempotency_mismatch"),
    UnsupportedTrigger: Row(422, "unsupported_trigger"),
    PartnerError: Row(424, "partner_error"),
    PartnerRateLimited: Row(424, "partner_rate_limited", retryable=True),
    RateLimited: Row(429, "rate_limited", retryable=True),
    InternalError: Row(500, "internal_error"),
    PartnerUnavailable: Row(502, "partner_unavailable", retryable=True),
    Overloaded: Row(503, "overloaded", retryable=True),
    PartnerTimeout: Row(504, "partner_timeout", retryable=True),
}

BY_CODE: Final[dict[str, type[PolyportError]]] = {row.code: kind for kind, row in TABLE.items()}
