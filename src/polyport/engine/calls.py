"""One call to a partner, and what is made of calls: lists, custom fields, verify calls. Knows no store and no queue.

``exchange`` is the only place where an operation's request meets the network; those that authorise the connection go out in ``grants``.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec.structs import replace

from polyport.budgets import Permit
from polyport.engine.caller import LEAST_SECONDS, Caller, HeldGrant, learn_values, with_grant
from polyport.engine.grants import authorise, pretend
from polyport.engine.outcome import error_of, failure_of_network, failure_of_redirect, failure_of_unreadable
from polyport.engine.parse import GRAPHQL, judge, read_answer, read_listed, read_refusal
from polyport.engine.render import CallProgram, compile_call, render_call, sound_headers
from polyport.engine.retry import Failure
from polyport.engine.schema import Choices, CustomField, Schema, custom_fields
from polyport.engine.trace import CallFailed, Sent, Trace, sentence, trace_of
from polyport.errors import BlockedAddress, Fault, RunCancelled, ValidationFailed
from polyport.kinds.decoders import DECODERS, UnreadableAnswer
from polyport.kinds.fields import BITS_LIMIT
from polyport.kinds.filters import FILTERS
from polyport.kinds.pages import Walk
from polyport.manifest.model import SAFE_METHODS, ListSpec, Partner
from polyport.manifest.refusals import ErrorRule
from polyport.net.message import NetworkFault, Reply, Request
from polyport.paths import MISSING, get
from polyport.template import RenderFault, Scope, Template, compile_value, to_text


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A success: the reply and its decoded value. ``earlier`` are the exchanges that came before it: those that authorised it, or were refused."""

    reply: Reply
    value: Any
    trace: Trace
    earlier: tuple[Trace, ...] = ()


def prepare(caller: Caller, program: CallProgram, scope: Scope) -> Request:
    """The exact request that ``exchange`` would send, unsigned parts and signature included. Raises ``ValidationFailed``."""
    return prepare_both(caller, program, scope)[1]


def prepare_both(caller: Caller, program: CallProgram, scope: Scope) -> tuple[Request, Request]:
    """A request before and after it is signed. Raises ``ValidationFailed``.

    It may take the call's own timeout, or the caller's, and never longer than the caller's deadline. Where a grant is needed and there is none yet, the
    request is signed with a mask, to be shown.
    """
    seconds = program.call.timeout or caller.timeout
    if caller.until is not None:
        seconds = max(LEAST_SECONDS, min(seconds, caller.until - time.monotonic()))
    if _needs_grant(caller, program) and caller.held is None:
        caller = pretend(caller)
    try:
        rendered = render_call(program, scope, caller.base, seconds)
        request = replace(rendered.request, secrets=caller.secrets if "" not in caller.secrets else caller.secrets - {""})
    except RenderFault as error:
        raise ValidationFailed.of(Fault(path="runnerData", code="cannot_be_sent", message=sentence(error))) from None
    if not rendered.signed or caller.scheme is None:
        return request, request
    try:
        return request, sound_headers(caller.scheme.sign(request, caller.material, caller.moment), request.headers)
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
    insists: bool = False,
) -> Answer:
    """Send one call and read its answer; ``step`` is what the exchange is called. Raises ``CallFailed``, or ``ValidationFailed`` before anything is sent.

    A connection that works with grants is authorised first. An answer that means that its token has expired is followed by a new grant and, once, by the same
    call: a request that is refused for its token was not carried out (RFC 9110, section 15.5.2). ``insists``: also one that is as good as new.
    """
    asked = _Asked(program=program, rules=rules, schema=schema, step=step or program.call.save or "call")
    if not _needs_grant(caller, program):
        return await _send(caller, asked, scope)
    earlier: tuple[Trace, ...] = ()
    for attempt in (1, 2):
        held, traces = await authorise(caller, earlier)
        earlier = (*earlier, *traces)
        granted = with_grant(caller, held)
        told = {**scope, "connection": granted.shown} if held.grant.learned else scope
        try:
            return replace(await _send(granted, asked, told), earlier=earlier)
        except CallFailed as failed:
            if attempt == 2 or not _has_expired(failed, fresh=bool(traces) or (held.is_young(caller.clock()) and not insists), held=held):
                raise CallFailed(failed.failure, failed.trace, kind=failed.kind, earlier=earlier) from None
            caller.grants.drop(held)
            earlier = (*earlier, replace(failed.trace, harmless=True))
    raise AssertionError("the second attempt returns or raises")  # pragma: no cover  for the type checker


def _needs_grant(caller: Caller, program: CallProgram) -> bool:
    return not caller.plain and caller.granted and (program.call.auth or caller.base is None)


def _has_expired(failed: CallFailed, *, fresh: bool, held: HeldGrant) -> bool:
    """Whether a new grant can help: the partner says that the token has expired, or refuses one that was kept from before without saying why."""
    upstream = failed.failure.error.details.upstream
    status = upstream.status if upstream is not None else None
    return failed.kind == "expired_token" or (not fresh and held.renewable and failed.kind == "invalid_connection" and status == 401)


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One call, and what its answer is read with."""

    program: CallProgram
    rules: Sequence[ErrorRule]
    schema: Schema | None
    step: str


async def _send(caller: Caller, asked: _Asked, scope: Scope) -> Answer:
    gate = caller.gate
    if gate is None:
        return await _exchange(caller, asked, scope, None)
    permit = await gate.enter(caller.until)
    try:
        return await _exchange(caller, asked, scope, permit)
    except CallFailed as failed:
        gate.refused(failed.failure.error)
        raise
    finally:
        gate.leave(permit)


async def _exchange(caller: Caller, asked: _Asked, scope: Scope, permit: Permit | None) -> Answer:
    gate = caller.gate
    sent = Sent(step=asked.step, request=prepare(caller, asked.program, scope))
    if caller.stopped is not None and caller.stopped():
        raise RunCancelled
    try:
        reply = await (caller.network.send(sent.request) if gate is None else gate.send(caller.network, sent.request, permit))
    except NetworkFault as fault:
        failure = failure_of_network(fault)
        raise CallFailed(failure, trace_of(caller, sent, error=failure.error.message)) from None
    except BlockedAddress as blocked:
        failure = Failure(error=blocked, reached=False, answered=False)
        raise CallFailed(failure, trace_of(caller, sent, error=blocked.message)) from None
    is_file = asked.program.call.decode == "file" and reply.status < 300
    shown = replace(reply, body=f"({len(reply.body)} bytes)".encode()) if is_file else reply
    return _understood(caller, asked, reply, trace_of(caller, sent, reply=shown))


def _understood(caller: Caller, asked: _Asked, reply: Reply, trace: Trace) -> Answer:
    program, schema = asked.program, asked.schema
    refused = reply.status >= 400
    if reply.status == 304 and program.call.conditional:
        return Answer(reply=reply, value=None, trace=trace)
    try:
        value = read_refusal(reply, program.call.decode) if refused else read_answer(program.call, reply)
    except UnreadableAnswer as unreadable:
        raise CallFailed(failure_of_unreadable(reply.status, caller.redactor.text(str(unreadable))), trace) from None
    looked_at = value["body"] if program.call.envelope and not refused else value
    file = caller.partner.file
    usual = file.errors_of_success if 200 <= reply.status < 300 else file.errors
    known = (*asked.rules, *usual, *(GRAPHQL if program.call.graphql is not None else ()))
    verdict = judge(known, reply, looked_at, caller.clock())
    if verdict is None:
        return Answer(reply=reply, value=value, trace=trace)
    if verdict.elsewhere and trace.method not in SAFE_METHODS:
        raise CallFailed(failure_of_redirect(verdict, caller.redactor), trace)
    shown = value if value is not None or not refused else DECODERS["text"](reply)[:2_000] or None
    error = error_of(verdict, schema, caller.redactor, shown)
    raise CallFailed(Failure(error=error, reached=True, answered=True), trace, kind=verdict.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListItems:
    """The items of a list that were read; ``complete`` is false when a limit cut it.

    ``read_at`` is when, in unix milliseconds, for those that are kept. ``serial`` is another one for each reading of this process.
    """

    items: list[Any]
    complete: bool
    read_at: int | None = None
    serial: int = field(default_factory=itertools.count().__next__, compare=False)


async def read_list(caller: Caller, spec: ListSpec, values: Mapping[str, Any], query: str | None = None) -> ListItems:
    """Read a whole list, page by page, up to its limits. Raises the error of the page that failed."""
    program = compile_call(spec.call, caller.partner.file.headers)
    scope: dict[str, Any] = {**values, "connection": caller.shown, "now": caller.clock().isoformat()}
    if query is not None and spec.search == "remote":
        scope["query"] = query
    shape = compile_value(spec.value, FILTERS) if spec.value is not None else None
    items: list[Any] = []
    page, walk = (spec.pager.first() if spec.pager is not None else None), Walk(spec.pager)
    for _page in range(spec.page_limit):
        if page is not None:
            scope["page"] = page
        try:
            answer = await exchange(caller, program, scope)
        except CallFailed as failed:
            raise failed.failure.error from None
        raw = read_listed(spec, answer.value if shape is None else _shaped(shape, answer), values)
        items.extend(item for item in raw if all(match.holds(item) for match in spec.where))
        if len(items) > spec.item_limit:
            return ListItems(items=items[: spec.item_limit], complete=False)
        page = walk.following(page, answer.value, answer.reply, raw)
        if page is None:
            return ListItems(items=items, complete=True)
    return ListItems(items=items, complete=False)


def _shaped(shape: Template, answer: Answer) -> Any:
    """What a list's template makes of an answer. An answer that does not fit it is one that cannot be read."""
    try:
        return shape.render({"answer": answer.value})
    except RenderFault as error:
        raise failure_of_unreadable(answer.reply.status, sentence(error)).error from None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the verify call found: whose connection it is at the partner, where it says so, and what was learned about it."""

    account: str | None = None
    learned: Mapping[str, Any] = field(default_factory=dict)


async def verify(caller: Caller) -> str | None:
    """Run the partner's verify call; who the connection belongs to at the partner, where it says so. Raises the call's error."""
    return (await prove(caller)).account


async def prove(caller: Caller) -> Proof:
    """Authorise the connection, run the partner's verify call, learn what both tell. Raises the error of what failed."""
    spec = caller.partner.file.connection
    try:
        if caller.granted:
            caller = with_grant(caller, (await authorise(caller))[0])
        if spec is None or spec.verify is None:
            return Proof(learned=_learned(caller))
        program = compile_call(spec.verify.call, caller.partner.file.headers)
        scope = {"connection": caller.shown, "now": caller.clock().isoformat()}
        answer = await exchange(caller, program, scope, spec.verify.errors, insists=True)
    except CallFailed as failed:
        raise failed.failure.error from None
    return Proof(account=_account(caller, spec.verify.account, answer.value), learned=_learned(caller, answer.value))


def _learned(caller: Caller, answer: Any = MISSING) -> dict[str, Any]:
    spec, scheme = caller.partner.file.connection, caller.scheme
    told = {name: caller.material[name] for name in (scheme.learns if scheme is not None else ()) if name in caller.material}
    return told | (learn_values(spec.learn, caller.material, caller.redactor, answer) if spec is not None else {})


def _account(caller: Caller, template: str | None, answer: Any) -> str | None:
    if template is None:
        return None
    try:
        label = compile_value(template, FILTERS).render({"answer": answer, "connection": caller.shown})
        return caller.redactor.text(to_text(label))[:200] if label is not MISSING and label is not None else None
    except RenderFault:
        return None
