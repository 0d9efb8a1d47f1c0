"""A partner simulated from its folder, without a network: a request goes in, an answer comes out, records change in memory.

A request is answered by the routes of ``simulator.yaml``; what no route knows is answered from the folder's cases.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

from polyport.kinds.filters import FILTERS
from polyport.manifest.cases import CaseFile
from polyport.manifest.simulation import Answer, Route, Simulation
from polyport.paths import MISSING, format_path, get
from polyport.template import RenderFault, Scope, Template, compile_value, to_text
from polyport.testing.listing import Listing
from polyport.testing.memory import Record, Refused, Table
from polyport.testing.playback import Playback
from polyport.testing.traffic import Incoming, Malformed, Outgoing, json_answer, json_bytes, token_of

_JSON: Final = (b"content-type", b"application/json; charset=utf-8")
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")


class SimulatedPartner:
    """The routes and records of one partner. ``clock`` gives the time in UTC, ``fresh_id`` a random id."""

    def __init__(
        self, simulation: Simulation, cases: Sequence[CaseFile], *, clock: Callable[[], datetime], fresh_id: Callable[[], str]
    ) -> None:
        self.auth = simulation.auth
        self.tables: Mapping[str, Table] = {name: Table(name, spec) for name, spec in simulation.collections.items()}
        self._clock = clock
        self._fresh_id = fresh_id
        self._precision = simulation.precision
        self._routes = _Routes([_Handler(route, simulation, self.tables) for route in simulation.routes])
        self._playback = Playback(cases)
        self._unknown = Printer(simulation.unknown)
        self._refuse = Printer(simulation.auth.refuse if simulation.auth is not None else Answer(status=401))

    def reset(self) -> None:
        """All collections back to their seeds."""
        for table in self.tables.values():
            table.reset()

    def answer(self, request: Incoming) -> Outgoing:
        """Check the credentials and answer. Never raises for what a caller sent."""
        handler, parameters = self._routes.find(request.method, request.path)
        scope = self.scope()
        if self.auth is not None and (handler is None or handler.route.auth):
            token = token_of(request, self.auth)
            if not token or token in self.auth.refused:
                return self._refuse.print(scope)
        if handler is None:
            return self._playback.answer(request) or self._unknown.print(scope)
        scope["path"] = parameters
        try:
            return handler.answer(request, scope)
        except RenderFault as error:
            return json_answer(500, {"simulator": f"{handler.route.route}: {error}"})

    def scope(self) -> dict[str, Any]:
        """What every template may read: the time and a fresh id."""
        return {"now": self._clock().replace(tzinfo=None).isoformat(timespec=self._precision) + "Z", "uuid": self._fresh_id()}


class Printer:
    """An ``Answer``, compiled."""

    def __init__(self, answer: Answer) -> None:
        self._status = answer.status
        self._headers = [(name.lower().encode(), compile_value(value, FILTERS)) for name, value in answer.headers.items()]
        self._is_json = "json_body" in answer.model_fields_set
        self._body: Template | None = None
        if self._is_json or answer.text is not None:
            self._body = compile_value(answer.json_body if self._is_json else answer.text, FILTERS)

    def print(self, scope: Scope) -> Outgoing:
        """The answer for this scope."""
        headers: list[tuple[bytes, bytes]] = []
        for name, template in self._headers:
            value = template.render(scope)
            if value is not MISSING and value is not None:
                headers.append((name, re.sub(r"[^\x20-\x7e]", " ", to_text(value)).encode()))
        if self._body is None:
            return Outgoing(status=self._status, headers=tuple(headers))
        value = self._body.render(scope)
        if all(name != b"content-type" for name, _ in headers):
            headers.append(_JSON if self._is_json else _TEXT)
        body = json_bytes(None if value is MISSING else value) if self._is_json else to_text(value or "").encode()
        return Outgoing(status=self._status, headers=tuple(headers), body=body)


class _Routes:
    """Routes by method and number of segments; a route with a literal where another has a parameter comes first."""

    def __init__(self, handlers: Iterable[_Handler]) -> None:
        self._known: dict[tuple[str, int], list[tuple[tuple[str | None, ...], tuple[str, ...], _Handler]]] = {}
        for handler in handlers:
            segments = handler.route.path.strip("/").split("/")
            names = tuple(segment[1:-1] for segment in segments if _is_parameter(segment))
            shape = tuple(None if _is_parameter(segment) else segment for segment in segments)
            self._known.setdefault((handler.route.method, len(segments)), []).append((shape, names, handler))
        for entries in self._known.values():
            entries.sort(key=lambda entry: tuple(part is None for part in entry[0]))

    def find(self, method: str, path: str) -> tuple[_Handler | None, dict[str, str]]:
        """The route and the values of its parameters."""
        segments = [unquote(segment) for segment in path.strip("/").split("/")]
        for shape, names, handler in self._known.get((method, len(segments)), ()):
            if all(part is None or part == segment for part, segment in zip(shape, segments, strict=True)):
                values = [segment for part, segment in zip(shape, segments, strict=True) if part is None]
                return handler, dict(zip(names, values, strict=True))
        return None, {}


class _Handler:
    """One route, compiled."""

    def __init__(self, route: Route, simulation: Simulation, tables: Mapping[str, Table]) -> None:
        self.route = route
        self._tables = tables
        self._table = tables[route.collection] if route.collection is not None else None
        self._listing = Listing(route, self._table.spec.key if self._table is not None else "id")
        self._id, self._take, self._item = (compile_value(source, FILTERS) for source in (route.id, route.take, route.item))
        missing = route.missing or simulation.missing
        self._needs = [(tables[need.collection], compile_value(need.id, FILTERS), Printer(need.reply or missing)) for need in route.needs]
        self._refusals = [(refusal.when, Printer(refusal.reply)) for refusal in route.refusals]
        self._reply = Printer(route.reply)
        self._refused = {
            "missing": Printer(missing),
            "invalid": Printer(route.invalid or simulation.invalid),
            "conflict": Printer(route.conflict or simulation.conflict),
        }

    def answer(self, request: Incoming, scope: dict[str, Any]) -> Outgoing:
        """Check the request, do what the route does, and answer."""
        scope["query"] = request.parameters()
        try:
            body = request.content()
            if body is not MISSING:
                scope["body"] = body
            early = self._checked(scope)
            if early is not None:
                return early
            self._do(scope)
            return self._reply.print(scope)
        except Malformed:
            refused = Refused("invalid", field="body", reason="malformed", expected="JSON")
        except Refused as error:
            refused = error
        scope |= {"field": refused.field, "reason": refused.reason, "expected": refused.expected}
        return self._refused[refused.kind].print(scope)

    def _checked(self, scope: Scope) -> Outgoing | None:
        for conditions, printer in self._refusals:
            if all(condition.holds(scope) for condition in conditions):
                return printer.print(scope)
        for path in self.route.required:
            if get(scope, path) in (MISSING, None, ""):
                raise Refused("invalid", field=format_path(path[1:]), reason="required")
        for table, template, printer in self._needs:
            if table.get(template.render(scope)) is None:
                return printer.print(scope)
        return None

    def _do(self, scope: dict[str, Any]) -> None:
        table, verb = self._table, self.route.do
        if table is None:
            return
        if verb in {"list", "search"}:
            page = self._listing.read(table, scope)
            scope |= {"items": [self._shown(table, record, scope) for record in page.records], "total": page.total, "page": page.facts}
            return
        record = table.create(self._take.render(scope), scope) if verb == "create" else self._meant(table, scope)
        if verb == "update":
            record = table.update(record, self._take.render(scope), scope)
        scope["id"] = record[table.spec.key]
        scope["links"] = self._linked(table, record)
        scope["record"] = self._shown(table, record, scope)
        if verb == "delete":
            table.delete(record)

    def _meant(self, table: Table, scope: Scope) -> Record:
        value = self._id.render(scope)
        found = table.get(value) if self.route.find is None else table.find(self.route.find, value)
        for path in self.route.also if found is None else ():
            found = found or table.find(path, value)
        if found is None:
            raise Refused("missing", field=table.name, reason="missing")
        return found

    def _linked(self, table: Table, record: Record) -> dict[str, Any]:
        linked = ((name, self._tables[link.collection].get(get(record, link.at))) for name, link in table.spec.links.items())
        return {name: other for name, other in linked if other is not None}

    def _shown(self, table: Table, record: Record, scope: Scope) -> Any:
        if self.route.item is None:
            return record
        return self._item.render({**scope, "record": record, "links": self._linked(table, record)})


def _is_parameter(segment: str) -> bool:
    return segment.startswith("{") and segment.endswith("}")
