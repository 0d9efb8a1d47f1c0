"""Answers from cases: what a partner's folder has on record for a request that no route of its simulation knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from polyport.manifest.cases import CaseFile, Exchange, ExpectedRequest, RecordedReply
from polyport.paths import MISSING
from polyport.testing.bodies import Malformed, grouped, json_bytes
from polyport.testing.cases import is_like
from polyport.testing.differences import same_json
from polyport.testing.traffic import Incoming, Outgoing


class Playback:
    """The recorded exchanges by method and path; ``plain`` gives a path without what is of one caller, such as a token in it."""

    def __init__(self, cases: Sequence[CaseFile], plain: Callable[[str], str]) -> None:
        self._plain = plain
        self._known: dict[tuple[str, str], list[Exchange]] = {}
        for found in cases:
            for exchange in found.case.exchanges:
                path = unquote(plain(urlsplit(exchange.request.url).path)) or "/"
                self._known.setdefault((exchange.request.method, path), []).append(exchange)

    def answer(self, request: Incoming) -> Outgoing | None:
        """The recorded answer to the most similar request of this method and path: same query and body first, successes before failures."""
        candidates = self._known.get((request.method, unquote(self._plain(request.path))))
        if not candidates:
            return None
        query = request.parameters()
        try:
            body = request.content()
        except Malformed:
            body = MISSING
        text = request.body.decode("utf-8", "replace")
        best = max(candidates, key=lambda exchange: _likeness(exchange, query, body, text))
        return _recorded(best.reply)


def _likeness(exchange: Exchange, query: dict[str, Any], body: Any, text: str) -> tuple[bool, bool, bool]:
    same_query = exchange.request.query == query
    same_body = _same_body(exchange.request, body, text)
    return (same_query and same_body, same_query or same_body, exchange.reply.status < 400)


def _same_body(expected: ExpectedRequest, body: Any, text: str) -> bool:
    if "json_body" in expected.model_fields_set:
        return same_json(expected.json_body, body)
    if expected.form is not None:
        return expected.form == grouped(text)
    told = expected.multipart if expected.multipart is not None else expected.xml
    if told is not None:
        return is_like(told, body)
    return (expected.text or "").strip() == text.strip()


def _recorded(reply: RecordedReply) -> Outgoing:
    headers = {"content-type": "application/json" if reply.text is None else "text/plain"} | {
        name.lower(): value for name, value in reply.headers.items()
    }
    body = b""
    if reply.base64 is not None:
        body = reply.base64
    elif reply.text is not None:
        body = reply.text.encode()
    elif "json_body" in reply.model_fields_set:
        body = json_bytes(reply.json_body)
    return Outgoing(status=reply.status, headers=tuple((name.encode(), value.encode()) for name, value in headers.items()), body=body)
