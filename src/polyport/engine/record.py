"""What a run is asked with and what is kept of it: pure values between the wire, the engine and the store."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from polyport.chance import piece
from polyport.engine.trace import Trace
from polyport.errors import Fault, PolyportError, ValidationFailed
from polyport.store.records import Priority, Run

WHOLE_MOST: Final = 4_300  # zeros at the end of a number that is written in full: Python reads no longer ones
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
encode: Final = _ENCODER.encode  # JSON to be sealed
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)
_CANONICAL: Final = msgspec.json.Encoder(decimal_format="number", order="sorted")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks to be run: the body of ``run/sync`` and ``run/async``, and who asks. ``not_before`` is in unix milliseconds.

    ``pinned`` is the account's own partner and the version of it with which the run was accepted; ``None`` is whatever serves.
    """

    account_id: int
    operation_id: int
    mode: str
    credential_data: Any = None
    runner_data: Any = None
    window: Any = None
    cursor: Any = None
    limit: Any = None
    raw: bool = False
    timeout_ms: int | None = None
    callback_url: str | None = None
    external_user_id: str | None = None
    metadata: Mapping[str, Any] = msgspec.field(default_factory=dict)
    idempotency_key: str | None = None
    priority: Priority = Priority.NORMAL
    not_before: int | None = None
    replay_of: str | None = None
    pinned: tuple[int, int] | None = None

    def content(self) -> dict[str, Any]:
        """What is kept, sealed, to run it later, and what tells one body from another."""
        return {
            "credentialData": self.credential_data,
            "runnerData": self.runner_data,
            "window": self.window,
            "cursor": self.cursor,
            "limit": self.limit,
            "raw": self.raw,
            "timeoutMs": self.timeout_ms,
        }

    def __repr__(self) -> str:
        return f"<Ask {self.mode} {self.operation_id}>"


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stands after a call of the engine, with its payloads in the clear. ``replayed``: a stored answer was given again."""

    run: Run
    result: Any = None
    raw: Any = None
    error: PolyportError | None = None
    replayed: bool = False


def new_run_id(now_ms: int) -> str:
    """A run id: its order is that of time."""
    return f"run_{now_ms:012x}{piece()[:10].hex()}"


def digest_of(ask: Ask) -> bytes:
    """What tells one ask from another under the same key: operation, mode and canonical body."""
    content = [ask.operation_id, ask.mode, ask.content(), ask.callback_url, ask.external_user_id, dict(ask.metadata)]
    content += [ask.priority, ask.not_before, ask.replay_of]
    return hashlib.sha256(_CANONICAL.encode(_plain(content))).digest()


def digest_of_body(body: Mapping[str, Any]) -> bytes:
    """What tells one body from another, however it is written."""
    return hashlib.sha256(_CANONICAL.encode(_plain(body))).digest()


def _plain(value: Any) -> Any:
    """The same JSON with each number in one form: ``1``, ``1.0`` and ``10e-1`` are one number."""
    if isinstance(value, Decimal):
        return _plain_number(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _plain_number(value: Decimal) -> int | Decimal:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):  # what is no number: JSON has none of these
        return value
    text = "".join(map(str, digits)).rstrip("0")
    if not text:
        return 0
    exponent += len(digits) - len(text)
    if 0 <= exponent <= WHOLE_MOST:
        return int(value)
    return Decimal((sign, tuple(map(int, text)), exponent))


def pinned_of(run: Run) -> tuple[int, int] | None:
    """The account's own partner, and the version of it, that a run was accepted with."""
    return (run.partner_id, run.partner_version) if run.partner_version is not None else None


def ask_of(run: Run, content: Mapping[str, Any]) -> Ask:
    """The ask that a stored run came from."""
    return Ask(
        account_id=run.account_id,
        operation_id=run.operation_id,
        mode=run.mode,
        credential_data=content["credentialData"],
        runner_data=content["runnerData"],
        window=content["window"],
        cursor=content["cursor"],
        limit=content["limit"],
        raw=content["raw"],
        timeout_ms=content["timeoutMs"],
        external_user_id=run.external_user_id,
        pinned=pinned_of(run),
    )


def ask_again(run: Run, content: Mapping[str, Any], idempotency_key: str | None) -> Ask:
    """The ask of a fresh run with the input of one that ended. It starts at once, in the background."""
    return replace(
        ask_of(run, content),
        mode="async",
        callback_url=run.callback_url,
        external_user_id=run.external_user_id,
        metadata=json.loads(run.metadata),
        idempotency_key=idempotency_key,
        priority=run.priority,
        replay_of=run.run_id,
        pinned=None,
    )


def attempt_record(number: int, started: int, clock: float, traces: list[Trace], error: PolyportError | None) -> dict[str, Any]:
    """One attempt as it is kept: when, how long, every exchange redacted, the error if there was one."""
    record: dict[str, Any] = {
        "number": number,
        "startedAt": started / 1000,
        "durationMs": round((time.perf_counter() - clock) * 1000),
        "exchanges": [trace.as_dict() for trace in traces],
    }
    if error is not None:
        record["error"] = error.as_record()
    return record


def upstream_ms(attempts: list[dict[str, Any]]) -> int:
    """The time that was the partner's, in milliseconds."""
    found = 0
    for attempt in attempts:
        for exchange in attempt["exchanges"]:
            found += exchange["durationMs"]
    return found


def error_column(error: PolyportError | None) -> str | None:
    """What may stand in the clear: the kind of error, none of the partner's words."""
    if error is None:
        return None
    return json.dumps({"code": error.code, "message": (type(error).__doc__ or "").strip(), "retryable": error.retryable})


def held_column(error: PolyportError, until: int) -> str:
    """What may stand in the clear of a run that was held back: why, and until when at least (unix milliseconds)."""
    record = {"code": error.code, "message": error.message, "retryable": error.retryable, "reason": error.details.reason, "until": until}
    return json.dumps(record)


def decode(content: bytes) -> Any:
    """The JSON that ``encode`` wrote; numbers keep their digits."""
    return _DECODER.decode(content)


def to_cursor(run_id: str) -> str:
    """An opaque cursor that continues after a run."""
    return base64.urlsafe_b64encode(run_id.encode()).decode()


def from_cursor(text: str) -> str:
    """The run of a cursor. Raises ``ValidationFailed``."""
    with contextlib.suppress(ValueError):
        run_id = base64.urlsafe_b64decode(text.encode("ascii")).decode("ascii")
        if run_id.startswith("run_") and len(run_id) == 36 and run_id[4:].isalnum():
            return run_id
    raise ValidationFailed.of(Fault(path="cursor", code="invalid_cursor", message="This is no cursor of a list of runs."))
