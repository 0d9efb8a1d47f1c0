"""Exchanges as they may be shown: redacted, and cut to a bounded size. Every request that is shown or recorded goes through here."""

from __future__ import annotations

import time
from operator import itemgetter
from typing import Any, Final

import msgspec

from polyport.engine.caller import Caller
from polyport.engine.retry import Failure
from polyport.net.message import Reply, Request
from polyport.redaction import MASK, Redactor, named_headers
from polyport.template import RenderFault

SHOWN_LIMIT: Final = 64 * 1024
_NAME: Final = itemgetter(0)
_VALUE: Final = itemgetter(1)


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange as it may be shown: redacted, and cut to a bounded size. Times are in milliseconds.

    ``harmless``: it changed nothing at the partner, whatever its method: it authorised the connection, or was refused for a token that had expired.
    """

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
    harmless: bool = False

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


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A request that goes out now, for which step. ``started`` is in unix milliseconds, ``clock`` is ``time.perf_counter``."""

    step: str
    request: Request
    started: int = msgspec.field(default_factory=lambda: int(time.time() * 1000))
    clock: float = msgspec.field(default_factory=time.perf_counter)


class CallFailed(Exception):
    """An exchange that was no success; ``failure`` says why and whether the request may have arrived. ``kind`` is what the answer was judged to be.

    ``earlier`` are the exchanges that came before it in the same call.
    """

    def __init__(self, failure: Failure, trace: Trace, *, kind: str | None = None, earlier: tuple[Trace, ...] = ()) -> None:
        super().__init__(failure.error.message)
        self.failure = failure
        self.trace = trace
        self.kind = kind
        self.earlier = earlier

    @property
    def traces(self) -> tuple[Trace, ...]:
        """Every exchange, in order."""
        return (*self.earlier, self.trace)


def trace_of(caller: Caller, sent: Sent, *, reply: Reply | None = None, error: str | None = None, authorises: bool = False) -> Trace:
    """The exchange, redacted: all its texts are searched for secrets at once.

    ``authorises``: it belongs to the authorisation of the connection. What was granted is not shown, whatever its form.
    """
    request = sent.request
    redactor = caller.redactor if request.secrets <= caller.secrets else Redactor(request.secrets)
    told, received = named_headers(request.headers), named_headers(reply.headers) if reply is not None else ()
    url = redactor.url(request.url) if "?" in request.url or "@" in request.url else request.url
    granted = authorises and reply is not None and reply.status < 400
    body = request.stream.shown if request.stream is not None else request.body
    texts = [url, _text(body), _text(reply.body) if reply is not None and not granted else "", error or ""]
    texts.extend(map(_VALUE, told))
    texts.extend(map(_VALUE, received))
    clean = redactor.together(texts)
    sent_values, came_values = clean[4 : 4 + len(told)], clean[4 + len(told) :]
    return Trace(
        step=sent.step,
        method=request.method,
        url=clean[0],
        headers=list(map(list, zip(map(_NAME, told), sent_values, strict=True))),
        body=_cut(clean[1], body) if body is not None else None,
        started_at=sent.started,
        duration_ms=round((time.perf_counter() - sent.clock) * 1000),
        status=reply.status if reply is not None else None,
        reply_headers=list(map(list, zip(map(_NAME, received), came_values, strict=True))) if reply is not None else None,
        reply_body=(MASK if granted else _cut(clean[2], reply.body)) if reply is not None else None,
        error=clean[3] if error is not None else None,
        harmless=authorises,
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
    """The fault as a sentence."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
