"""From a partner's answer to a verdict or to its items. Pure, and safe on anything a partner may answer."""

from __future__ import annotations

import email.utils
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from polyport.engine.results import read_value
from polyport.kinds.decoders import DECODERS, Decoding, decode_auto, decode_text
from polyport.kinds.fields import read_decimal
from polyport.manifest.base import Match
from polyport.manifest.model import Call, ListSpec, Trigger
from polyport.manifest.refusals import ErrorKind, ErrorRule, FaultList, RetryAfter
from polyport.net.message import Reply
from polyport.paths import EVERY, MISSING, Path, get
from polyport.template import RenderFault, to_text

MESSAGE_LIMIT: Final = 1_000
FAULTS_LIMIT: Final = 100
REFUSAL_LIMIT: Final = 2_000
_XML: Final = frozenset({"application/xml", "text/xml"})
WAIT_LIMIT_MS: Final = 7 * 24 * 3_600_000
_UNIX_START: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldFault:
    """A field that the partner finds faulty: its name (ours where the rule maps it), and what the partner says of it."""

    field: str
    message: str
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an answer that is no success means. ``field`` is the name of the faulty field, ours where the rule maps it.

    ``elsewhere``: it only points to another place, and neither a rule nor HTTP says whether what was asked is done.
    """

    kind: ErrorKind
    status: int
    message: str
    code: str | None = None
    field: str | None = None
    retry_after_ms: int | None = None
    suggested_fix: str | None = None
    faults: tuple[FieldFault, ...] = ()
    elsewhere: bool = False


_AUTO: Final = RetryAfter(header="retry-after")
# What some services say it with instead, or besides.
_ELSE_TOLD: Final = tuple(RetryAfter(header=name, unit="milliseconds") for name in ("retry-after-ms", "x-ms-retry-after-ms"))
BUILT_IN: Final[tuple[ErrorRule, ...]] = (
    ErrorRule(status=(429,), kind="rate_limited", retry_after=_AUTO),
    ErrorRule(status=(400, 422), kind="invalid_input"),
    ErrorRule(status=(401,), kind="invalid_connection"),
    ErrorRule(status=(403,), kind="forbidden"),
    ErrorRule(status=(404, 410), kind="not_found"),
    ErrorRule(status=(409, 412), kind="conflict"),
    ErrorRule(status=(408, "5xx"), kind="unavailable", retry_after=_AUTO),
)
_OTHER: Final = ErrorRule(status=("4xx",), kind="failed")
# After these a client goes on with GET, whatever it had sent: many answer so once the work is done. 301, 307 and 308 say that the request belongs elsewhere: it was not done.
_ELSEWHERE: Final = frozenset({302, 303})
_MESSAGES: Final[tuple[Path, ...]] = (
    ("error", "message"),
    ("message",),
    ("error_description",),
    ("error",),
    ("errors", 0, "message"),
    ("errors", 0, "detail"),
    ("detail",),
    ("title",),
    ("errors", 0),
    ("description",),
    ("Envelope", "Body", "Fault", "faultstring"),
    ("Envelope", "Body", "Fault", "Reason", "Text"),
    ("Envelope", "Body", "Fault", "Reason", "Text", "#text"),
)
# GraphQL answers a refused operation with 200; what a partner's own rules say of it comes first.
GRAPHQL: Final[tuple[ErrorRule, ...]] = (
    ErrorRule(
        status=("2xx",),
        body=Match(at=("errors", 0)),
        kind="failed",
        message=("errors", 0, "message"),
        code=("errors", 0, "extensions", "code"),
    ),
)


def read_answer(call: Call, reply: Reply) -> Any:
    """The decoded answer of a call. Raises ``UnreadableAnswer``."""
    if call.envelope:
        body = call.decoder(reply) if "decode" in call.model_fields_set else decode_auto(reply)
        return {"status": reply.status, "headers": {name.lower(): value for name, value in reply.headers}, "body": body}
    return call.decoder(reply)


def read_refusal(reply: Reply, decoding: Decoding = "json") -> Any:
    """What can be read of an answer that is no success: JSON where it is JSON, XML where the call's answers are XML or this one says so. Never raises."""
    kind = (reply.header("content-type") or "").partition(";")[0].strip().lower()
    is_xml = decoding == "xml" or kind in _XML or kind.endswith("+xml")
    for name in ("json", "xml") if is_xml else ("json",):
        with suppress(ValueError):
            return DECODERS[name](reply)
    is_plain = (reply.header("content-type") or "").split(";")[0].strip().lower() == "text/plain"
    return decode_text(reply)[:REFUSAL_LIMIT].strip() or None if is_plain else None


def judge(rules: Sequence[ErrorRule], reply: Reply, answer: Any, now: datetime) -> Verdict | None:
    """The verdict of the first rule that fits, or ``None`` for a success."""
    success = 200 <= reply.status < 300
    for rule in rules if success else (*rules, *BUILT_IN):
        if (rule.concerns_success or not success) and _fits(rule, reply, answer):
            return _verdict(rule, reply, answer, now)
    return None if success else replace(_verdict(_OTHER, reply, answer, now), elsewhere=reply.status in _ELSEWHERE)


def _fits(rule: ErrorRule, reply: Reply, answer: Any) -> bool:
    if rule.status and not any(_is_status(wanted, reply.status) for wanted in rule.status):
        return False
    if rule.header is not None and reply.header(rule.header) is None:
        return False
    if rule.body is not None and not rule.body.holds(answer):
        return False
    return bool(rule.status or rule.body or rule.header)


def _is_status(wanted: int | str, status: int) -> bool:
    return status == wanted if isinstance(wanted, int) else wanted == f"{status // 100}xx" or wanted == str(status)


def _verdict(rule: ErrorRule, reply: Reply, answer: Any, now: datetime) -> Verdict:
    told = _text(get(answer, rule.message)) if rule.message is not None else None
    field = _text(get(answer, rule.field)) if rule.field is not None else None
    faults = _faults(rule, rule.faults, answer) if rule.faults is not None else ()
    return Verdict(
        kind=rule.kind,
        status=reply.status,
        message=told or _first_message(faults) or _usual_message(answer) or f"The partner answered with status {reply.status}.",
        code=_text(get(answer, rule.code)) if rule.code is not None else None,
        field=rule.name_of(field) if field is not None else None,
        retry_after_ms=_wait_of(rule, reply, answer, now),
        suggested_fix=rule.suggested_fix,
        faults=faults,
    )


def _faults(rule: ErrorRule, spec: FaultList, answer: Any) -> tuple[FieldFault, ...]:
    """The faulty fields that the answer lists, the first so many; elements that name no field are passed over."""
    listed = get(answer, spec.at)
    pairs: list[tuple[Any, Any]] = []
    if isinstance(listed, dict) and spec.field is None:
        pairs = list(listed.items())
    elif isinstance(listed, list) and spec.field is not None:
        pairs = [(get(item, spec.field), item) for item in listed[:FAULTS_LIMIT]]
    found: list[FieldFault] = []
    for named, item in pairs[:FAULTS_LIMIT]:
        text, told = _text(named), get(item, spec.message)
        field = rule.name_of(text) if text is not None else None
        if field is not None:
            message = _text(told[0] if isinstance(told, list) and told else told) or "The partner refuses this."
            code = _text(get(item, spec.code)) if spec.code is not None else None
            found.append(FieldFault(field=field, message=message, code=code))
    return tuple(found)


def _first_message(faults: Sequence[FieldFault]) -> str | None:
    return f"{faults[0].field}: {faults[0].message}" if faults else None


def _usual_message(answer: Any) -> str | None:
    if isinstance(answer, str):
        return _text(answer)
    return next((text for text in (_text(get(answer, path)) for path in _MESSAGES) if text), None)


def _text(value: Any) -> str | None:
    if value is MISSING or value is None or isinstance(value, dict | list | bool):
        return None
    try:
        return to_text(value).strip()[:MESSAGE_LIMIT] or None
    except RenderFault:
        return None


def _wait_of(rule: ErrorRule, reply: Reply, answer: Any, now: datetime) -> int | None:
    if rule.retry_after is None:
        return None
    places = (rule.retry_after, *_ELSE_TOLD) if rule.retry_after == _AUTO else (rule.retry_after,)
    return next((wait for spec in places if (wait := read_wait(spec, reply, answer, now)) is not None), None)


def read_wait(spec: RetryAfter, reply: Reply, answer: Any, now: datetime) -> int | None:
    """How long the partner asks to wait, in milliseconds, between 0 and seven days; ``None`` where it does not say (honestly)."""
    if spec.fixed is not None:
        return math.ceil(spec.fixed * 1000)
    told = reply.header(spec.header) if spec.header is not None else get(answer, spec.at or ())
    number = read_decimal(told.strip() if isinstance(told, str) else told) if told is not MISSING and told is not None else None
    unit = spec.unit
    wait: Decimal | None = None
    if number is None:
        wait = _wait_until(told, now) if unit in {"auto", "date"} else None
    elif unit == "unix_ms" or (unit == "auto" and number > _UNIX_START * 1000):
        wait = number - _milliseconds(now)
    elif unit == "unix" or (unit == "auto" and number > _UNIX_START):
        wait = number * 1000 - _milliseconds(now)
    elif unit == "milliseconds":
        wait = number
    elif unit in {"seconds", "auto"}:
        wait = number * 1000
    if wait is None or abs(wait) > WAIT_LIMIT_MS or (number is not None and number < 0):
        return None
    passed = wait < 0  # a moment that was a short while ago: now
    return 0 if passed else math.ceil(wait)


def _wait_until(told: Any, now: datetime) -> Decimal | None:
    if not isinstance(told, str) or len(told) > 64:
        return None
    try:
        moment = email.utils.parsedate_to_datetime(told)
    except (ValueError, TypeError, IndexError, OverflowError):
        try:
            moment = datetime.fromisoformat(told)
        except ValueError:
            return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return Decimal(int((moment - now).total_seconds() * 1000))


def _milliseconds(now: datetime) -> Decimal:
    return Decimal(int(now.timestamp() * 1000))


def read_items(answer: Any, at: Path, where: Sequence[Match] = ()) -> list[Any]:
    """The items of a list answer; a single object counts as one, nothing as none. Lists that ``[*]`` finds in several places are one."""
    listed = get(answer, at)
    for step in at[:-1]:
        if step is EVERY and isinstance(listed, list):
            listed = [item for part in listed for item in (part if isinstance(part, list) else [part])]
    if isinstance(listed, dict):
        listed = [listed]
    if not isinstance(listed, list):
        return []
    return [item for item in listed if all(match.holds(item) for match in where)]


def read_listed(spec: ListSpec, answer: Any, values: Mapping[str, Any]) -> list[Any]:
    """The items of a page of a list; of one whose items stand inside a part of the answer, those of the part that was chosen."""
    if spec.inside is None:
        return read_items(answer, spec.items)
    wanted = values.get(spec.inside.field)
    parts = [part for part in read_items(answer, spec.inside.at) if wanted is not None and get(part, spec.inside.key) == wanted]
    return [item for part in parts for item in read_items(part, spec.items)]


def in_window(trigger: Trigger, item: Any, start: Decimal | None, end: Decimal | None) -> bool:
    """Whether an item falls into ``[start, end)`` (unix seconds); an item that has no time is always in."""
    if trigger.time is None or (start is None and end is None):
        return True
    moment = read_value("datetime", get(item, trigger.time.at))
    if moment is MISSING:
        return True
    return (start is None or moment >= start) and (end is None or moment < end)
