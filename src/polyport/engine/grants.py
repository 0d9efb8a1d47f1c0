"""Authorising a connection while calls are made: an exchange with the partner that ends with a grant, once for all who wait for it.

A grant is kept with the open connection, in this process; one of a sign-in is kept in the store (``renewal``). What an exchange sends goes through the same network, and is shown without what was granted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Sequence
from typing import Final, TypeVar, cast

from msgspec.structs import replace

from polyport.engine.caller import LEAST_SECONDS, Caller, HeldGrant
from polyport.engine.outcome import error_of, failure_of_network, failure_of_unreadable
from polyport.engine.parse import judge, read_refusal
from polyport.engine.render import origin_of, sound_headers
from polyport.engine.retry import Failure
from polyport.engine.trace import CallFailed, Sent, Trace, sentence, trace_of
from polyport.errors import BlockedAddress, ConnectionInvalid, Details, Fault, PartnerTimeout, PolyportError, Upstream, ValidationFailed
from polyport.kinds.auth.base import ExchangeRefused, ExchangeUnreadable, moved
from polyport.kinds.auth.discovery import is_document
from polyport.net.message import NetworkFault, Reply, Request
from polyport.redaction import Redactor
from polyport.template import RenderFault

STEPS_MOST: Final = 16
STEP: Final = "auth"
_FIX: Final = (
    "Check at the partner what this connection authorises itself with, then give it new fields with PATCH /credentials/{id}, "
    "or test it with POST /credentials/{id}/test."
)

T = TypeVar("T")
Obtained = tuple[HeldGrant, tuple[Trace, ...]]


async def authorise(caller: Caller, earlier: tuple[Trace, ...] = ()) -> Obtained:
    """The grant of a connection, and the exchanges that were made for it here: none where it was there already, or another caller made them.

    Raises ``CallFailed`` (with the ``earlier`` exchanges of the same call), ``PartnerTimeout``, ``ValidationFailed`` when the connection lacks something,
    or what a ``GrantKeeper`` raises.
    """
    holder = caller.grants
    held = holder.held
    if held is not None and not held.is_due(caller.clock()):
        return held, ()
    mine = holder.task is None
    task = holder.task
    if task is None:
        task = holder.task = asyncio.create_task(_obtain(replace(caller, until=None)))
        task.add_done_callback(lambda done: _ended(caller, done))
    seconds = None if caller.until is None else max(LEAST_SECONDS, caller.until - time.monotonic())
    try:
        async with asyncio.timeout(seconds):
            held, traces = await asyncio.shield(task)
    except TimeoutError:
        raise PartnerTimeout("The partner did not authorise the connection in time; the call was not sent.") from None
    except CallFailed as failed:
        raise CallFailed(failed.failure, failed.trace, kind=failed.kind, earlier=(*earlier, *failed.earlier)) from None
    return held, traces if mine else ()


def pretend(caller: Caller) -> Caller:
    """The connection as if it had a grant, for requests that are shown and not sent: the one it has, else a mask."""
    held = caller.grants.held
    values = held.grant.values if held is not None else caller.scheme.pretended() if caller.scheme is not None else {}
    return replace(caller, material={**caller.material, **values}, secrets=caller.secrets | {str(value) for value in values.values()})


def _ended(caller: Caller, task: asyncio.Task[Obtained]) -> None:
    caller.grants.task = None
    if not task.cancelled() and task.exception() is None:  # looked at here: those who waited for it may all be gone
        caller.grants.held, caller.grants.refused = task.result()[0], None


async def _obtain(caller: Caller) -> Obtained:
    if caller.grants.keeper is not None:
        return await caller.grants.keeper.obtain(caller, caller.grants.refused)
    if caller.scheme is None:
        raise TypeError("only a scheme obtains a grant")
    traces: list[Trace] = []
    started = caller.clock().timestamp()
    try:
        grant = await drive(caller, caller.scheme.obtain(caller.material, caller.moment), traces)
    except RenderFault as error:
        raise ValidationFailed.of(Fault(path='credentialData["0"]', code="cannot_be_signed", message=sentence(error))) from None
    return HeldGrant(grant=grant, renew_at=grant.renew_at(started)), tuple(traces)


async def drive(caller: Caller, asking: Generator[Request, Reply, T], traces: list[Trace]) -> T:
    """Send what an exchange asks, give it the answers, until it has its grant, or what else it is for; every exchange is added to ``traces``.

    Raises ``CallFailed``, its ``kind`` being the partner's own word for why it refused where it has one, or ``RenderFault``.
    """
    reply: Reply | None = None
    request: Request | None = None
    for _step in range(STEPS_MOST):
        try:
            request = next(asking) if reply is None else asking.send(reply)
        except StopIteration as done:
            found: T = done.value
            return found
        except ExchangeRefused as refused:
            *before, last = traces
            raise CallFailed(_refusal(caller, request, refused), last, kind=refused.code, earlier=tuple(before)) from None
        except ExchangeUnreadable as unreadable:
            raise _unusable(caller, cast("Request", request), unreadable, traces) from None
        request = _aimed(caller, request)
        reply = caller.documents.get(request.url, caller.clock()) if is_document(request) else None
        if reply is None:
            reply = await _send(caller, request, traces)
            if is_document(request):
                caller.documents.keep(request.url, reply, caller.clock())
    asking.close()
    raise RenderFault("the authorisation of this connection takes more steps than any partner's does")


def _unusable(caller: Caller, request: Request, unreadable: ExchangeUnreadable, traces: Sequence[Trace]) -> CallFailed:
    """The failure of a document that says nothing about the connection; it is not kept. Reading it changed nothing."""
    message = f"{caller.partner.file.title} cannot be used to sign in now: {unreadable.message}."
    caller.documents.drop(request.url)
    failure = replace(failure_of_unreadable(unreadable.reply.status, message), reached=False)
    *before, last = traces or [trace_of(caller, Sent(step=STEP, request=request), reply=unreadable.reply, authorises=True)]
    return CallFailed(failure, last, earlier=tuple(before))


async def _send(caller: Caller, request: Request, traces: list[Trace]) -> Reply:
    sent = Sent(step=STEP, request=request)
    try:
        reply = await caller.network.send(request)
    except NetworkFault as fault:
        failure = failure_of_network(fault)
        error = failure.error.message
    except BlockedAddress as blocked:
        failure, error = Failure(error=blocked, reached=False, answered=False), blocked.message
    else:
        traces.append(trace_of(caller, sent, reply=reply, authorises=True))
        return reply
    if is_document(request):
        failure = replace(failure, reached=False)
    raise CallFailed(failure, trace_of(caller, sent, error=error, authorises=True), earlier=tuple(traces))


def _aimed(caller: Caller, request: Request) -> Request:
    """The request with the caller's time and secrets, on a connection of its own: a doubt about a token costs more than making one.

    Where the operator replaced the partner's address, it goes to that one.
    """
    url = request.url
    if caller.replaced is not None:
        url = moved(url, caller.replaced)
    else:
        origin_of(url)
    return sound_headers(replace(request, url=url, timeout=caller.timeout, fresh=True)).with_secrets(*caller.secrets)


def _refusal(caller: Caller, request: Request | None, refused: ExchangeRefused) -> Failure:
    """A refused exchange is an error of the connection, unless the partner is down or asks to wait; its own words are kept."""
    secrets = caller.secrets | (request.secrets if request is not None else frozenset())
    redactor = Redactor(secrets)
    verdict = judge((), refused.reply, read_refusal(refused.reply), caller.clock())
    error: PolyportError
    if verdict is not None and verdict.kind in {"rate_limited", "unavailable"}:
        error = error_of(verdict, None, redactor, None)
    else:
        told = refused.message or refused.code or f"it answered with status {refused.reply.status} and without a token."
        upstream = Upstream(status=refused.reply.status, message=redactor.text(told))
        message = f"The partner did not authorise this connection: {upstream.message}"
        error = ConnectionInvalid(message, Details(upstream=upstream, suggested_fix=_FIX))
    return Failure(error=error, reached=True, answered=True)
