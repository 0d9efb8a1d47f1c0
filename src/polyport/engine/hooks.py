"""Deliveries of partners that call us: handshakes, signatures, and the items in them. Pure: requests in, replies and items out.

The order for whoever receives: ``handshake_reply`` (a reply ends it), ``check_signature``, ``read_delivery``, then ``acknowledge``.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec

from polyport.engine.parse import read_items
from polyport.engine.render import CallProgram, compile_call
from polyport.engine.results import read_value
from polyport.engine.signatures import Incoming, SignatureCheck, Unsigned, read_place
from polyport.kinds.decoders import DECODERS, UnreadableAnswer
from polyport.kinds.filters import FILTERS
from polyport.manifest.hooks import Expiry, HookReply
from polyport.manifest.model import Hook
from polyport.net.message import Reply
from polyport.paths import MISSING, get
from polyport.template import RenderFault, Scope, Template, compile_value, to_text

ITEMS_LIMIT: Final = 10_000
TEXT_LIMIT: Final = 2_000
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True, kw_only=True)
class HookProgram:
    """A compiled hook."""

    hook: Hook
    subscribe: CallProgram | None
    unsubscribe: CallProgram | None
    renew: CallProgram | None
    follow_up: CallProgram | None
    signatures: tuple[SignatureCheck, ...]
    shakes: tuple[_Printer, ...]
    reply: _Printer


def compile_hook(hook: Hook, shared_headers: Mapping[str, str] | None = None) -> HookProgram:
    """Compile a hook; done once, kept as long as the partner's folder is the same."""
    calls = {
        name: compile_call(call, shared_headers) if call is not None else None
        for name, call in (
            ("subscribe", hook.subscribe),
            ("unsubscribe", hook.unsubscribe),
            ("renew", hook.renew),
            ("follow_up", hook.follow_up),
        )
    }
    return HookProgram(
        hook=hook,
        signatures=tuple(SignatureCheck(signature) for signature in hook.signature),
        shakes=tuple(_Printer(handshake.reply) for handshake in hook.handshake),
        reply=_Printer(hook.reply),
        **calls,
    )


def subscribing(url: str, secret: str | None, events: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the subscribe call reads as ``{{hook}}``: where deliveries go, the secret they are signed with, the events that count."""
    return {"hook": {"url": url, "events": list(events)} | ({"secret": secret} if secret is not None else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What came of a subscribe or renew call: the partner's id of it, the secret it told, when it ends, and when it is to be renewed."""

    id: str | None = None
    secret: str | None = field(default=None, repr=False)
    ends: datetime | None = None
    renews: datetime | None = None


def read_subscription(hook: Hook, answer: Any, now: datetime) -> Subscription:
    """What the answer of a subscribe or renew call tells. Never raises: what is not there is ``None``."""
    ends = _end(hook.expiry, answer, now) if hook.expiry is not None else None
    told = get(answer, hook.secret.at) if hook.secret is not None and hook.secret.at is not None else MISSING
    return Subscription(
        id=_text(get(answer, hook.subscription_id)) if hook.subscription_id is not None else None,
        secret=_text(told),
        ends=ends,
        renews=max(now, ends - timedelta(seconds=hook.expiry.before)) if ends is not None and hook.expiry is not None else None,
    )


def _end(expiry: Expiry, answer: Any, now: datetime) -> datetime | None:
    if expiry.seconds is not None:
        return now + timedelta(seconds=expiry.seconds)
    found = get(answer, expiry.at or ())
    if expiry.unit == "milliseconds":
        found = Decimal(found) / 1_000 if isinstance(found, int) or (isinstance(found, str) and found.isdigit()) else MISSING
    moment = read_value("datetime", found) if found is not MISSING else None
    if isinstance(moment, bool) or not isinstance(moment, int | Decimal):
        return None
    try:
        return datetime.fromtimestamp(float(moment), now.tzinfo)
    except (ValueError, OverflowError, OSError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaken:
    """The answer to a handshake, and the secret that it brought, if any."""

    reply: Reply
    secret: str | None = field(default=None, repr=False)


def handshake_reply(
    program: HookProgram, request: Incoming, secret: str | None, now: datetime, connection: Mapping[str, Any] | None = None
) -> Shaken | None:
    """The answer to a handshake; ``None`` for what is none. Raises ``Unsigned`` for one that does not prove whose it is."""
    if not program.hook.handshake:
        return None
    scope = _scope(program.hook, request)
    for handshake, printer in zip(program.hook.handshake, program.shakes, strict=True):
        if not all(match.holds(scope) for match in handshake.when):
            continue
        if handshake.token is not None:
            given = read_place(handshake.token, request)
            if not secret or not any(hmac.compare_digest(text.encode("utf-8", "surrogateescape"), secret.encode()) for text in given):
                raise Unsigned("The handshake does not carry the token that was agreed on.")
        if handshake.signed:
            check_signature(program, request, secret, now, connection)
        told = read_place(handshake.learn, request) if handshake.learn is not None else []
        learned = told[0] if told else None
        known = learned or secret
        return Shaken(reply=printer.print(scope | ({"secret": known} if known else {})), secret=learned)
    return None


def check_signature(
    program: HookProgram, request: Incoming, secret: str | None, now: datetime, connection: Mapping[str, Any] | None = None
) -> None:
    """Pass in silence when any of the hook's signatures fits, or when it has none. Raises ``Unsigned`` with the reason of the last one."""
    reason: Unsigned | None = None
    for check in program.signatures:
        try:
            check.check(request, secret, now, connection)
        except Unsigned as error:
            reason = error
        else:
            return
    if reason is not None:
        raise reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a delivery holds: the items that count (as the partner sent them), the name of the event, and the partner's number of the delivery, by which one that comes twice is known."""

    items: list[Any]
    event: str | None = None
    number: str | None = None


def read_delivery(program: HookProgram, request: Incoming) -> Delivery:
    """The items of a delivery; none where its event or its items do not count. Raises ``UnreadableAnswer`` when the body is not what the hook says."""
    hook = program.hook
    scope = _scope(hook, request, strict=True)
    event = _first(hook.event, request, scope) if hook.event is not None else None
    number = _first(hook.delivery, request, scope) if hook.delivery is not None else None
    if hook.events and event not in hook.events:
        return Delivery(items=[], event=event, number=number)
    found = read_items(scope.get("body"), hook.items) if "body" in scope else []
    if len(found) > ITEMS_LIMIT:
        raise UnreadableAnswer(f"The delivery holds more than {ITEMS_LIMIT} items.")
    items = [item for item in found if all(match.holds({**scope, "item": item}) for match in hook.filter)]
    return Delivery(items=items, event=event, number=number)


def acknowledge(program: HookProgram, request: Incoming) -> Reply:
    """What the partner is answered once a delivery is kept."""
    return program.reply.print(_scope(program.hook, request))


def _first(place: Any, request: Incoming, scope: Mapping[str, Any]) -> str | None:
    """The text at a place; one in the body is looked for in the body as the hook reads it."""
    if place.at is not None:
        return _text(get(scope.get("body", MISSING), place.at))
    return next(iter(read_place(place, request)), None)


def _scope(hook: Hook, request: Incoming, *, strict: bool = False) -> dict[str, Any]:
    scope: dict[str, Any] = {"method": request.method, "query": request.query, "header": request.header}
    try:
        body = _body(hook, request)
    except UnreadableAnswer:
        if strict:
            raise
        return scope
    return scope if body is None else {**scope, "body": body}


def _body(hook: Hook, request: Incoming) -> Any:
    body = DECODERS[hook.decode](Reply(status=200, headers=request.headers, body=request.body)) if request.body else None
    if hook.inner is None:
        return body
    text = get(body, hook.inner)
    if not isinstance(text, str):
        return body
    return DECODERS["json"](Reply(status=200, body=text.encode("utf-8", "replace")))


def _text(value: Any) -> str | None:
    if value is MISSING or value is None or isinstance(value, bool | dict | list):
        return None
    try:
        return to_text(value)[:TEXT_LIMIT] or None
    except RenderFault:
        return None


class _Printer:
    """A ``HookReply``, compiled. What cannot be written, because a partner sent something else than it documents, is left out."""

    def __init__(self, reply: HookReply) -> None:
        self._reply = reply
        self._headers = [(name, compile_value(value, FILTERS)) for name, value in reply.headers.items()]
        self._is_json = "json_body" in reply.model_fields_set
        self._body: Template = compile_value(reply.json_body if self._is_json else reply.text, FILTERS)

    def print(self, scope: Scope) -> Reply:
        pairs = [
            (name, re.sub(r"[^\x20-\x7e]", " ", text)) for name, text in ((name, _rendered(t, scope)) for name, t in self._headers) if text
        ]
        if self._is_json:
            try:
                value = self._body.render(scope)
                body = _ENCODER.encode(None if value is MISSING else value)
            except (RenderFault, ValueError, RecursionError):
                body = b"null"
            pairs.append(("Content-Type", self._reply.content_type or "application/json"))
        elif self._reply.text is not None:
            body = _rendered(self._body, scope).encode("utf-8", "replace")
            pairs.append(("Content-Type", self._reply.content_type or "text/plain; charset=utf-8"))
        else:
            body = b""
        return Reply(status=self._reply.status, headers=tuple(pairs), body=body)


def _rendered(template: Template, scope: Scope) -> str:
    try:
        value = template.render(scope)
        return "" if value is MISSING or value is None else to_text(value)
    except RenderFault:
        return ""
