"""Errors as answers: the envelope of a failure, or RFC 9457 problem details for who asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from polyport.errors import (
    BadRequest,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PolyportError,
    RateLimited,
    TokenExpired,
    Unauthenticated,
)
from polyport.server.wire import FAULTS_MOST, encode

LONGEST_PATH: Final = 500


def problem_response(error: PolyportError, request_id: str, accept: str, path: str, extra: Mapping[str, Any] | None = None) -> Response:
    """The answer of an error. ``extra`` are further facts (``runId``) beside the error's own."""
    record = _bounded(error.as_record()) | (dict(extra) if extra else {}) | {"requestId": request_id}
    if "application/problem+json" in accept.lower():
        body: dict[str, Any] = {
            "type": f"about:blank#{error.code}",
            "title": (type(error).__doc__ or "").strip(),
            "status": error.status,
            "detail": error.message,
            "instance": path,
            **{name: value for name, value in record.items() if name != "message"},
        }
        media = "application/problem+json"
    else:
        body, media = {"success": False, "error": record}, "application/json"
    return Response(encode(body), status_code=error.status, media_type=media, headers=_headers(error))


def _bounded(record: dict[str, Any]) -> dict[str, Any]:
    """The error with a limited number of faults and no endless paths: what is wrong may be all of a body, and it is not sent back whole."""
    faults = record.get("fields", ())
    if len(faults) <= FAULTS_MOST and all(len(fault["path"]) <= LONGEST_PATH for fault in faults):
        return record
    return record | {"fields": [fault | {"path": fault["path"][:LONGEST_PATH]} for fault in faults[:FAULTS_MOST]]}


def _headers(error: PolyportError) -> dict[str, str]:
    headers = dict(error.details.headers)
    if isinstance(error, Unauthenticated | TokenExpired):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RateLimited | Overloaded):
        wait = error.details.retry_after_ms if error.details.retry_after_ms is not None else 1_000
        headers["Retry-After"] = str(max(1, -(-wait // 1000)))
    return headers


def error_of_status(status: int) -> PolyportError:
    """The error of a status that the router gave."""
    if status == 404:
        return NotFound("There is no such path.")
    if status == 405:
        return MethodNotAllowed()
    return BadRequest() if status < 500 else InternalError()
