"""A partner simulated from its folder, without a network: a request goes in, an answer comes out, records change in memory.

A request is answered by the routes of ``simulator.yaml``; what no route knows is answered from the folder's cases.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import msgspec

from polyport.kinds.fields import iso_text
from polyport.kinds.filters import FILTERS
from polyport.manifest.cases import CaseFile
from polyport.manifest.simulation import Answer, Credentials, Route, Simulation
from polyport.paths import MISSING
from polyport.template import Scope, Template, compile_value, to_text
from polyport.testing.listing import Listing
from polyport.testing.memory import Record, Refused, Table
from polyport.testing.playback import Playback

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)
_JSON: Final = (b"content-type", b"application/json; charset=utf-8")
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One request as it arrived: ``path`` is still percent-encoded, header names are lower case."""

    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str:
        """The first value of a header (its name in lower case), or an empty text."""
        return next((value for key, value in self.headers if key == name), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One answer, ready to be written."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = field(default=b"", repr=False)


class SimulatedPartner:
    """The routes and records of one partner. ``clock`` gives the time in UTC, ``fresh_id`` a random id."""

    def __init__(
        self, simulation: Simulation, cases: Sequence[CaseFile], *, clock: Callable[[], datetime], fresh_id: Callable[[], str]
    ) -> None:
        self._simulation = simulation
        self._clock = clock
        self._fresh_id = fresh_id
        self.tables: Mapping[str, Table] = {name: Table(name, spec) for name, spec in simulation.collections.items()}
        self._routes = _Routes([_Handler(route, simulation, self.tables) for route in simulation.routes])
        self._playback = Playback(cases)
        self._unknown = Printer(simulation.unknown)
        self._refuse = Printer(simulation.auth.refuse) if simulation.auth is not None else None

    def reset(self) -> None:
        """All collections back to their seeds."""
        for table in self.tables.values():
            table.reset()

    def answer(self, request: Incoming) -> Outgoing:
        """Check the credentials and answer. Never raises for what a caller sent."""
        found, parameters = self._routes.find(request.method, request.path)
        scope = self.scope()
        auth = self._simulation.auth
        if self._refuse is not None and auth is not None and (found is None or found.route.auth):
            token = token_of(request, auth)
            if not token or token in auth.refused:
                return self._refuse.print(scope)
        if found is not None:
            return found.answer(request, {**scope, "path": parameters})
        recorded = self._playback.find(request.method, unquote(request.path), _pairs(request.query), _body(request))
        return Printer(recorded).print({}) if recorded is not None else self._unknown.print(scope)

    def scope(self) -> dict[str, Any]:
        """What every template may read: the time and a fresh id."""
        now = self._clock()
        whole = now.replace(microsecond=0 if self._simulation.precision == "seconds" else now.microsecond // 1000 * 1000)
        return {"now": iso_text(whole), "uuid": self._fresh_id(), "path": {}, "query": {}}


class Printer:
    """An ``Answer``, compiled. Recorded answers are printed as they stand: ``raw``."""

    def __init__(self, answer: Answer) -> None:
        self._status = answer.status
        self._headers = [(name.lower().encode(), compile_value(value, FILTERS)) for name, value in answer.headers.items()]
        self._has_json = "json_body" in answer.model_fields_set
        self._body: Template | None = None
        if self._has_json or answer.text is not None:
            self._body = compile_value(answer.json_body if self._has_json else answer.text, FILTERS)

    def print(self, scope: Scope) -> Outgoing:
        """The answer for this scope."""
        headers = [(name, to_text(value).encode()) for name, value in ((name, item.render(scope)) for name, item in self._headers) if value is not MISSING]
        if self._body is None:
            return Outgoing(status=self._status, headers=tuple(headers))
        value = self._body.render(scope)
        body = _ENCODER.encode(None if value is MISSING else value) if self._has_json else to_text("" if value is MISSING else value).encode()
        if all(name != b"content-type" for name, _ in headers):
            headers.append(_JSON if self._has_json else _TEXT)
        return Outgoing(status=self._status, headers=tuple(headers), body=body)


class _Handler:
    """One route, compiled."""

    def __init__(self, route: Route, simulation: Simulation, tables: Mapping[str, Table]) -> None:
        self.route = route
        self._tables = tables
        self._table = tables[route.collection] if route.collection is not None else None
        self._listing = Listing(route, self._table.spec.key) if self._table is not None else None
        self._id = compile_value(route.id, FILTERS)
        self._take = compile_value(route.take, FILTERS)
        self._item = compile_value(route.item, FILTERS) if route.item is not None else None
        self._needs = [(need.collection, compile_value(need.id, FILTERS), Printer(need.reply or route.missing or simulation.missing)) for need in route.needs]
        self._refusals = [(refusal.when, Printer(refusal.reply)) for refusal in route.refusals]
        self._reply = Printer(route.reply)
        self._refused = {
            "missing": Printer(route.missing or simulation.missing),
            "invalid": Printer(route.invalid or simulation.invalid),
            "conflict": Printer(route.conflict or simulation.conflict),
        }

    def answer(self, request: Incoming, scope: dict[str, Any]) -> Outgoing:
        scope["query"] = _grouped(_pairs(request.query))
        try:
            body = _body(request)
            if body is not MISSING:
                scope["body"] = body
            for condition, printer in self._refusals:
                if condition.holds(scope):
                    return printer.print(scope)
            for path in self.route.required:
                if get_or_none(scope, path) in (None, ""):
                    raise Refused("invalid", field=to_text(path[-1]), reason="required")  # type: ignore[arg-type]
            for collection, template, printer in self._needs:
                if self._tables[collection].get(template.render(scope)) is None:
                    return printer.print(scope)
            return self._reply.print(self._done(scope, len(request.body)))
        except Refused as refused:
            return self._refused[refused.kind].print({**scope, "field": refused.field, "reason": refused.reason, "expected": refused.expected})
