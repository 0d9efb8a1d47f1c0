"""What a run is asked with on the wire, and how it becomes an ``Ask``: shared by single runs and batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from pydantic import Field

from polyport.accounts import URL_LONGEST
from polyport.engine.intake import ASYNC_LIMIT_MS, SYNC_LIMIT_MS
from polyport.engine.record import Ask
from polyport.errors import Fault, ValidationFailed
from polyport.events import receiver_fault
from polyport.kinds.fields import ValueFault, coerce_datetime, unix_number
from polyport.net.egress import EgressPolicy
from polyport.runtime import Runtime
from polyport.server.operations import CREDENTIAL_EXAMPLE
from polyport.server.routing import Body, Call
from polyport.server.wire import FAULTS_MOST, ExternalUserId, encode, header, user_id_fault
from polyport.store.records import Priority

METADATA_LIMIT: Final = 16 * 1024
KEY_LONGEST: Final = 255
DELAY_MOST_MS: Final = 366 * 24 * 3_600_000
_OBJECTS: Final = ("credentialData", "runnerData", "metadata", "window")
_BOOLEANS: Final = ("dryRun", "raw")
_PLAIN: Final = frozenset(
    {"credentialData", "runnerData", "dryRun", "window", "cursor", "limit", "raw"}
)  # those that ``_limits`` does not look at
_ASYNC_ONLY: Final = ("priority", "notBefore")
KEYS: Final = _PLAIN | {"callbackUrl", "metadata", "timeoutMs", "externalUserId", *_ASYNC_ONLY}
PRIORITIES: Final[Mapping[str, Priority]] = {priority.name.lower(): priority for priority in Priority}


class RunBody(Body):
    """What to run, for which connection. ``window``, ``cursor`` and ``limit`` are for triggers; ``priority`` and ``notBefore`` for asynchronous runs."""

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


class LaterBody(RunBody):
    """What to run later. ``priority``: a step up goes before what became due up to five minutes earlier. ``notBefore``: unix seconds or ISO 8601 with a zone, at most 366 days ahead."""

    timeout_ms: int | None = Field(default=None, ge=100, le=ASYNC_LIMIT_MS)
    priority: Literal["low", "normal", "high"] = "normal"
    not_before: int | str | None = None


def read_ask(call: Call, mode: str) -> tuple[Ask, bool]:
    """The body and headers as an ask, and whether it is a dry run. Raises ``ValidationFailed`` with every fault of the envelope."""
    body = call.json()
    if not isinstance(body, dict):
        raise ValidationFailed.of(Fault(path="", code="wrong_type", message="The body has to be a JSON object."))
    faults = faults_of(body, mode, call.engine.runtime)
    key, key_wrong = _told_key(call)
    if faults := faults + key_wrong:
        raise ValidationFailed.of(*faults)
    return ask_of_body(call, body, call.id("id"), mode, key), body.get("dryRun", False)


def read_key(call: Call) -> str | None:
    """The idempotency key of a request. Raises ``ValidationFailed``."""
    key, faults = _told_key(call)
    if faults:
        raise ValidationFailed.of(*faults)
    return key


def _told_key(call: Call) -> tuple[str | None, list[Fault]]:
    """The idempotency key among the headers, and what is wrong with it. Of two different ones nobody knows which is meant."""
    key = header(call.http, b"idempotency-key")
    if key is not None and len({value for name, value in call.http.scope["headers"] if name == b"idempotency-key"}) > 1:
        return key, [Fault(path="Idempotency-Key", code="duplicate_key", message="This header stands twice, with different keys.")]
    return key, key_faults(key, "Idempotency-Key")


def key_faults(key: Any, path: str) -> list[Fault]:
    """What is wrong with an idempotency key."""
    if key is None or (isinstance(key, str) and 1 <= len(key) <= KEY_LONGEST and key.isascii() and key.isprintable()):
        return []
    return [Fault(path=path, code="wrong_format", message=f"A key is 1 to {KEY_LONGEST} printable ASCII characters.")]


def ask_of_body(call: Call, body: Mapping[str, Any], operation_id: int, mode: str, key: str | None) -> Ask:
    """The ask of a body without faults."""
    not_before = body.get("notBefore")
    return Ask(
        account_id=call.principal.account_id,
        operation_id=operation_id,
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
        priority=PRIORITIES[body.get("priority", "normal")],
        not_before=_milliseconds(not_before) if not_before is not None else None,
    )


def faults_of(body: Mapping[str, Any], mode: str, runtime: Runtime) -> list[Fault]:
    """Every fault of the envelope of a run; what the operation takes is not looked at."""
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
    if not body.keys() <= _PLAIN:
        faults += _limits(body, SYNC_LIMIT_MS if mode == "sync" else ASYNC_LIMIT_MS, runtime.policy)
        faults += _later(body, mode, runtime.now_ms)
    return faults


def _limits(body: Mapping[str, Any], longest: int, policy: EgressPolicy) -> list[Fault]:
    faults: list[Fault] = []
    timeout = body.get("timeoutMs")
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int) or not 100 <= timeout <= longest):
        faults.append(Fault(path="timeoutMs", code="out_of_range", message=f"Milliseconds from 100 to {longest} are needed here."))
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


def _later(body: Mapping[str, Any], mode: str, now_ms: Callable[[], int]) -> list[Fault]:
    """The faults of what only asynchronous runs take."""
    if mode == "sync":
        message = "Only run/async takes this: a synchronous run starts at once."
        return [Fault(path=name, code="unknown_field", message=message) for name in _ASYNC_ONLY if name in body]
    faults: list[Fault] = []
    priority = body.get("priority", "normal")
    if not isinstance(priority, str) or priority not in PRIORITIES:
        faults.append(Fault(path="priority", code="unknown_option", message=f"A priority is one of: {', '.join(PRIORITIES)}."))
    if body.get("notBefore") is not None:
        try:
            late = _milliseconds(body["notBefore"]) > now_ms() + DELAY_MOST_MS
        except ValueFault as error:
            faults.append(Fault(path="notBefore", code=error.code, message=error.message))
        else:
            if late:
                faults.append(Fault(path="notBefore", code="out_of_range", message="A run starts at most 366 days ahead."))
    return faults


def _milliseconds(value: Any) -> int:
    return int(unix_number(coerce_datetime(value), 1000) // 1)
