"""One exchange with a partner, and what is made of exchanges: lists, custom fields, verify calls. Knows no store and no queue.

``Caller`` is a connection that is open: it holds what requests are made and signed with. ``exchange`` is the only place where a request meets the network.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from polyport.engine.outcome import error_of, failure_of_network, failure_of_unreadable
from polyport.engine.parse import GRAPHQL, judge, read_answer, read_items, read_refusal
from polyport.engine.render import Base, CallProgram, compile_call, render_base, render_call, sound_headers
from polyport.engine.retry import Failure
from polyport.engine.schema import Choices, CustomField, Schema, custom_fields
from polyport.errors import BlockedAddress, Fault, ValidationFailed
from polyport.kinds.auth import Scheme
from polyport.kinds.decoders import DECODERS, UnreadableAnswer
from polyport.kinds.fields import BITS_LIMIT
from polyport.kinds.filters import FILTERS
from polyport.manifest.model import ErrorRule, ListSpec, Partner
from polyport.manifest.variables import InputField
from polyport.net.message import Network, NetworkFault, Reply, Request
from polyport.paths import MISSING, get
from polyport.redaction import Redactor, named_headers
from polyport.template import RenderFault, Scope, Template, compile_value, to_text

LEAST_SECONDS: Final = 0.05
SHOWN_LIMIT: Final = 64 * 1024
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An open connection of a partner (or the partner itself, where it needs none).

    ``material`` are all fields, secrets included, for the auth scheme only; ``shown`` those that templates may read. ``timeout`` is in seconds.
    ``until`` is when everything has to have ended (``time.monotonic``), if the run has a deadline.
    """

    partner: Partner
    scheme: Scheme | None
    material: Mapping[str, Any] = field(repr=False)
    shown: Mapping[str, Any] = field(repr=False)
    base: Base | None
    redactor: Redactor
    secrets: frozenset[str] = field(repr=False)
    network: Network
    timeout: float
    until: float | None = None
    clock: Clock = lambda: datetime.now(UTC)
    fresh_id: Callable[[], str] = lambda: str(uuid.uuid4())


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One exchange as it may be shown: redacted, and cut to a bounded size. Times are in milliseconds."""

    step: str
    method: str
    url: str
    headers: list[list[str]]
    body: str | None
    started_at: int
    duration_ms: int
    status: int | None = None
    reply_headers: list[list[str]] | None = None
    reply_body: str | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The exchange as it stands on the wire."""
        shown: dict[str, Any] = {
            "step": self.step,
            "startedAt": self.started_at / 1000,
            "durationMs": self.duration_ms,
            "request": {"method": self.method, "url": self.url, "headers": self.headers, "body": self.body},
        }
        if self.status is not None:
            shown["reply"] = {"status": self.status, "headers": self.reply_headers, "body": self.reply_body}
        if self.error is not None:
            shown["error"] = self.error
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A success: the reply and its decoded value."""

    reply: Reply
    value: Any
    trace: Trace


class CallFailed(Exception):
    """An exchange that was no success; ``failure`` says why and whether the request may have arrived."""

    def __init__(self, failure: Failure, trace: Trace) -> None:
        super().__init__(failure.error.message)
        self.failure = failure
        self.trace = trace


def secret_names(fields: Sequence[InputField]) -> frozenset[str]:
    """The names of the fields that hold secrets."""
    return frozenset(variable.name for variable in fields if variable.secret)


def connection_fields(partner: Partner, auth: str) -> tuple[InputField, ...]:
    """The fields of a connection with this auth choice; empty for a choice that there is not."""
    spec = partner.file.connection
    if spec is None:
        return ()
    return (*spec.fields, *(variable for choice in spec.auth if choice.name == auth for variable in choice.fields))


def open_caller(
    partner: Partner, auth: str | None, fields: Mapping[str, Any], network: Network, *, replaced: str | None, timeout: float, clock: Clock
) -> Caller:
    """Open a connection for calls. Raises ``ValidationFailed`` when its fields do not make an address."""
    spec = partner.file.connection
    choice = next((choice for choice in spec.auth if choice.name == auth), None) if spec is not None else None
    known = {variable.name: variable for variable in connection_fields(partner, auth or "")}
    secrets = frozenset(
        str(value) for name, value in fields.items() if isinstance(value, str) and value and (name not in known or known[name].secret)
    )
    shown = {name: value for name, value in fields.items() if name in known and not known[name].secret}
    try:
        base = render_base(partner.file.base, shown, replaced)
    except (RenderFault, ValueError) as error:
        raise ValidationFailed.of(Fault(path="fields", code="invalid_address", message=str(error))) from None
    return Caller(
        partner=partner,
        scheme=choice.scheme if choice is not None else None,
        material=dict(fields),
        shown=shown,
        base=base,
        redactor=Redactor(secrets),
        secrets=secrets,
        network=network,
        timeout=timeout,
        clock=clock,
    )


def prepare(caller: Caller, program: CallProgram, scope: Scope) -> Request:
    """The exact request that ``exchange`` would send, unsigned parts and signature included. Raises ``ValidationFailed``.

    It may take the call's own timeout, or the caller's, and never longer than the caller's deadline.
    """
    seconds = program.call.timeout or caller.timeout
    if caller.until is not None:
        seconds = max(LEAST_SECONDS, min(seconds, caller.until - time.monotonic()))
    try:
        rendered = render_call(program, scope, caller.base, seconds)
        request = rendered.request.with_secrets(*caller.secrets)
    except RenderFault as error:
        raise ValidationFailed.of(Fault(path="runnerData", code="cannot_be_sent", message=sentence(error))) from None
    if not rendered.signed or caller.scheme is None:
        return request
    try:
        return sound_headers(next(caller.scheme.flow(request, caller.material)))
    except RenderFault as error:
        raise ValidationFailed.of(Fault(path='credentialData["0"]', code="cannot_be_signed", message=sentence(error))) from None


async def exchange(
    caller: Caller,
    program: CallProgram,
    scope: Scope,
    rules: Sequence[ErrorRule] = (),
    *,
    schema: Schema | None = None,
    step: str | None = None,
) -> Answer:
    """Send one call and read its answer; ``step`` is what the exchange is called. Raises ``CallFailed``, or ``ValidationFailed`` before anything is sent."""
    request = prepare(caller, program, scope)
    step = step or program.call.save or "call"
    started, clock = int(time.time() * 1000), time.perf_counter()
    try:
        reply = await caller.network.send(request)
    except NetworkFault as fault:
        failure = failure_of_network(fault)
        trace = _trace(caller, step, request, started, clock, error=failure.error.message)
        raise CallFailed(failure, trace) from None
    except BlockedAddress as blocked:
        trace = _trace(caller, step, request, started, clock, error=blocked.message)
        raise CallFailed(Failure(error=blocked, reached=False, answered=False), trace) from None
    trace = _trace(caller, step, request, started, clock, reply=reply)
    return _understood(caller, program, reply, rules, schema, trace)


def _understood(
    caller: Caller, program: CallProgram, reply: Reply, rules: Sequence[ErrorRule], schema: Schema | None, trace: Trace
) -> Answer:
    refused = reply.status >= 400
    if reply.status == 304 and program.call.conditional:
        return Answer(reply=reply, value=None, trace=trace)
    try:
        value = read_refusal(reply, program.call.decode) if refused else read_answer(program.call, reply)
    except UnreadableAnswer as unreadable:
        raise CallFailed(failure_of_unreadable(reply.status, caller.redactor.text(str(unreadable))), trace) from None
    looked_at = value["body"] if program.call.envelope and not refused else value
    known = (*rules, *caller.partner.file.errors, *(GRAPHQL if program.call.graphql is not None else ()))
    verdict = judge(known, reply, looked_at, caller.clock())
    if verdict is None:
        return Answer(reply=reply, value=value, trace=trace)
    shown = value if value is not None or not refused else DECODERS["text"](reply)[:2_000] or None
    error = error_of(verdict, schema, caller.redactor, shown)
    raise CallFailed(Failure(error=error, reached=True, answered=True), trace)


def _trace(
    caller: Caller, step: str, request: Request, started: int, clock: float, *, reply: Reply | None = None, error: str | None = None
) -> Trace:
    """The exchange, redacted: all its texts are searched for secrets at once."""
    redactor = caller.redactor if request.secrets <= caller.secrets else Redactor(request.secrets)
    sent, received = named_headers(request.headers), named_headers(reply.headers) if reply is not None else ()
    url = redactor.url(request.url) if "?" in request.url or "@" in request.url else request.url
    texts = [url, _text(request.body), _text(reply.body) if reply is not None else "", error or ""]
    texts += [value for _name, value in sent]
    texts += [value for _name, value in received]
    clean = redactor.together(texts)
    values = iter(clean[4:])
    return Trace(
        step=step,
        method=request.method,
        url=clean[0],
        headers=[[name, next(values)] for name, _value in sent],
        body=_cut(clean[1], request.body) if request.body is not None else None,
        started_at=started,
        duration_ms=round((time.perf_counter() - clock) * 1000),
        status=reply.status if reply is not None else None,
        reply_headers=[[name, next(values)] for name, _value in received] if reply is not None else None,
        reply_body=_cut(clean[2], reply.body) if reply is not None else None,
        error=clean[3] if error is not None else None,
    )


def shown_request(step: str, request: Request) -> dict[str, Any]:
    """A request as a dry run shows it: secrets masked."""
    redactor = Redactor(request.secrets)
    return {
        "step": step,
        "method": request.method,
        "url": redactor.url(request.url),
        "headers": [list(pair) for pair in redactor.headers(request.headers)],
        "body": _shown(redactor, request.body),
    }


def _shown(redactor: Redactor, body: bytes | None) -> str | None:
    return None if body is None else _cut(redactor.text(_text(body)), body)


def _text(body: bytes | None) -> str:
    """The start of a body as text: twice what is shown, so that no secret is cut in half before it is masked."""
    return "" if body is None else body[: SHOWN_LIMIT * 2].decode("utf-8", errors="replace")


def _cut(text: str, body: bytes) -> str:
    return text if len(text) <= SHOWN_LIMIT else f"{text[:SHOWN_LIMIT]} … ({len(body)} bytes in all)"


def sentence(error: RenderFault) -> str:
    """The message of a fault as a sentence."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


@dataclass(frozen=True, slots=True, kw_only=True)
class ListItems:
    """The items of a list that were read; ``complete`` is false when a limit cut it."""

    items: list[Any]
    complete: bool


async def read_list(caller: Caller, spec: ListSpec, values: Mapping[str, Any], query: str | None = None) -> ListItems:
    """Read a whole list, page by page, up to its limits. Raises the error of the page that failed."""
    program = compile_call(spec.call, caller.partner.file.headers)
    scope: dict[str, Any] = {**values, "connection": caller.shown, "now": caller.clock().isoformat()}
    if query is not None and spec.search == "remote":
        scope["query"] = query
    items: list[Any] = []
    page = spec.pager.first() if spec.pager is not None else None
    for _page in range(spec.page_limit):
        if page is not None:
            scope["page"] = page
        try:
            answer = await exchange(caller, program, scope)
        except CallFailed as failed:
            raise failed.failure.error from None
        raw = read_items(answer.value, spec.items)
        items.extend(item for item in raw if all(match.holds(item) for match in spec.where))
        if len(items) > spec.item_limit:
            return ListItems(items=items[: spec.item_limit], complete=False)
        page = spec.pager.following(page, answer.value, answer.reply, raw) if spec.pager is not None and page is not None else None
        if page is None:
            return ListItems(items=items, complete=True)
    return ListItems(items=items, complete=False)


def list_choices(spec: ListSpec, found: ListItems) -> Choices:
    """The keys and labels of a list's items; an item without a key is passed over, one without a label shows its key."""
    label = compile_value(spec.label, FILTERS)
    choices: list[tuple[Any, str]] = []
    for item in found.items:
        key = get(item, spec.key)
        if key is MISSING or key is None or isinstance(key, dict | list | bool) or (isinstance(key, int) and key.bit_length() > BITS_LIMIT):
            continue
        choices.append((key, _label(label, item, key)[:500]))
    return Choices(items=tuple(choices), complete=found.complete and spec.search == "local")


def _label(template: Template, item: Any, key: Any) -> str:
    try:
        shown = template.render({"item": item})
        if shown is not MISSING and shown is not None:
            return to_text(shown)
    except RenderFault:
        pass
    return to_text(key)


def list_custom_fields(
    partner: Partner, name: str, items: Sequence[Any], required: Sequence[str] = (), suffix: str = ""
) -> tuple[CustomField, ...]:
    """The custom fields that a list of definitions yields."""
    shape = partner.lists[name].custom_fields
    return custom_fields(shape, items, required, suffix) if shape is not None else ()


async def verify(caller: Caller) -> str | None:
    """Run the partner's verify call; who the connection belongs to at the partner, where it says so. Raises the call's error."""
    spec = caller.partner.file.connection
    if spec is None or spec.verify is None:
        return None
    program = compile_call(spec.verify.call, caller.partner.file.headers)
    scope = {"connection": caller.shown, "now": caller.clock().isoformat()}
    try:
        answer = await exchange(caller, program, scope, spec.verify.errors)
    except CallFailed as failed:
        raise failed.failure.error from None
    if spec.verify.account is None:
        return None
    try:
        label = compile_value(spec.verify.account, FILTERS).render({"answer": answer.value, "connection": caller.shown})
        return caller.redactor.text(to_text(label))[:200] if label is not MISSING and label is not None else None
    except RenderFault:
        return None
