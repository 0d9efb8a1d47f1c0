"""A partner simulated from its folder, without a network: a request goes in, an answer comes out, records change in memory.

A request is answered by the routes of ``simulator.yaml``; what no route knows is answered from the folder's cases.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

from polyport.kinds.filters import FILTERS
from polyport.manifest.cases import CaseFile
from polyport.manifest.proofs import Answer, TokenIssue
from polyport.manifest.simulation import Route, Simulation
from polyport.paths import MISSING, format_path, get
from polyport.template import RenderFault, Scope, Template, compile_value, to_text
from polyport.testing.bodies import WRITERS, Malformed
from polyport.testing.consent import consent_page
from polyport.testing.deliveries import Parcel, Post
from polyport.testing.graphql import asked_for
from polyport.testing.listing import Listing
from polyport.testing.memory import Record, Refused, Table
from polyport.testing.playback import Playback
from polyport.testing.proofs import Gate
from polyport.testing.tokens import TokenDesk, Tokens, Untaken
from polyport.testing.traffic import Incoming, Outgoing, json_answer

OUTBOX: Final = 1_000


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
        self._tokens = Tokens(fresh_id)
        self._gate = Gate(simulation.auth, self._tokens) if simulation.auth is not None else None
        posts = {name: Post(spec.hooks, self.tables) for name, spec in simulation.collections.items() if spec.hooks}
        self.outbox: list[Parcel] = []
        self._routes = _Routes([_Handler(route, simulation, self.tables, self._tokens, posts, self.outbox) for route in simulation.routes])
        self._playback = Playback(cases, self._gate.plain_path if self._gate is not None else lambda path: path)
        self._unknown = Printer(simulation.unknown)
        self._refuse = Printer(simulation.auth.refuse if simulation.auth is not None else Answer(status=401))

    def reset(self) -> None:
        """All collections back to their seeds, no token handed out."""
        self._tokens.reset()
        self.outbox.clear()
        for table in self.tables.values():
            table.reset()

    def answer(self, request: Incoming) -> Outgoing:
        """Check the credentials and answer. Never raises for what a caller sent."""
        now = self._clock()
        scope = self.scope(request, now)
        handler, scope["path"] = self._routes.find(request, scope)
        if self._gate is not None and (handler is None or handler.route.auth) and not self._gate.knows(request, now):
            return self._printed(self._refuse, scope, "auth")
        if handler is None:
            return self._playback.answer(request) or self._printed(self._unknown, scope, "unknown")
        try:
            return handler.answer(request, scope)
        except RenderFault as error:
            return json_answer(500, {"simulator": f"{handler.route.route}: {error}"})

    def token(self, request: Incoming) -> str:
        """The token that a request carries, or an empty text."""
        return self._gate.token(request) if self._gate is not None else ""

    def parcels(self) -> list[Parcel]:
        """What the requests so far made to be delivered; each is given once."""
        found, self.outbox[:] = list(self.outbox), []
        return found

    def scope(self, request: Incoming, now: datetime | None = None) -> dict[str, Any]:
        """What every template may read: the request, the time and a fresh id. The body is read when a route needs it."""
        now = now or self._clock()
        return {
            "now": now.replace(tzinfo=None).isoformat(timespec=self._precision) + "Z",
            "unix": int(now.timestamp()),
            "uuid": self._fresh_id(),
            "query": request.parameters(),
            "header": request.named_headers(),
            "base": request.base(),
        }

    def _printed(self, printer: Printer, scope: Scope, name: str) -> Outgoing:
        try:
            return printer.print(scope)
        except RenderFault as error:
            return json_answer(500, {"simulator": f"{name}: {error}"})


class Printer:
    """An ``Answer``, compiled."""

    def __init__(self, answer: Answer) -> None:
        self._status = answer.status
        self._headers = [(name.lower().encode(), compile_value(value, FILTERS)) for name, value in answer.headers.items()]
        self._kind, source = answer.body or ("", None)
        self._body: Template = compile_value(source, FILTERS)

    def print(self, scope: Scope) -> Outgoing:
        """The answer for this scope. Raises ``RenderFault``."""
        headers: list[tuple[bytes, bytes]] = []
        for name, template in self._headers:
            value = template.render(scope)
            if value is not MISSING and value is not None:
                headers.append((name, re.sub(r"[^\x20-\x7e]", " ", to_text(value)).encode()))
        if not self._kind:
            return Outgoing(status=self._status, headers=tuple(headers))
        value = self._body.render(scope)
        content_type, write = WRITERS[self._kind]
        if all(name != b"content-type" for name, _ in headers):
            headers.append((b"content-type", content_type))
        return Outgoing(status=self._status, headers=tuple(headers), body=write(None if value is MISSING else value))


class _Routes:
    """Routes by method and number of segments; a route with a literal where another has a parameter comes first, then one with conditions.

    Routes whose last parameter takes the rest of the path (``{key...}``) come behind all others.
    """

    def __init__(self, handlers: Iterable[_Handler]) -> None:
        self._known: dict[tuple[str, int], list[tuple[tuple[str | re.Pattern[str], ...], _Handler]]] = {}
        for handler in handlers:
            path = handler.route.path.strip("/")
            shape = tuple(_segment(segment) for segment in path.replace("...}", "}").split("/"))
            size = 0 if path.endswith("...}") else len(shape)
            self._known.setdefault((handler.route.method, size), []).append((shape, handler))
        for entries in self._known.values():
            entries.sort(key=lambda entry: ([_looseness(part) for part in entry[0]], not entry[1].is_conditional))

    def find(self, request: Incoming, scope: dict[str, Any]) -> tuple[_Handler | None, dict[str, str]]:
        """The route and the values of its parameters."""
        segments = [unquote(segment) for segment in request.path.strip("/").split("/")]
        for shape, handler in (*self._known.get((request.method, len(segments)), ()), *self._known.get((request.method, 0), ())):
            values = _matched(shape, segments)
            if values is not None and handler.takes(request, {**scope, "path": values}):
                return handler, values
        return None, {}


def _segment(text: str) -> str | re.Pattern[str]:
    """A literal segment, or a pattern with its one parameter."""
    found = re.fullmatch(r"([^{}]*)\{(\w+)\}([^{}]*)", text)
    return text if found is None else re.compile(f"{re.escape(found[1])}(?P<{found[2]}>.+){re.escape(found[3])}", re.DOTALL)


def _looseness(part: str | re.Pattern[str]) -> int:
    return 0 if isinstance(part, str) else -len(part.pattern) + 10_000


def _matched(shape: tuple[str | re.Pattern[str], ...], segments: list[str]) -> dict[str, str] | None:
    if len(segments) < len(shape):
        return None
    values: dict[str, str] = {}
    last = len(shape) - 1
    for part, segment in zip(shape, [*segments[:last], "/".join(segments[last:])], strict=True):
        if isinstance(part, str):
            if part != segment:
                return None
            continue
        found = part.fullmatch(segment)
        if found is None:
            return None
        values |= found.groupdict()
    return values


class _Handler:
    """One route, compiled."""

    def __init__(
        self,
        route: Route,
        simulation: Simulation,
        tables: Mapping[str, Table],
        tokens: Tokens,
        posts: Mapping[str, Post],
        outbox: list[Parcel],
    ) -> None:
        self.route = route
        self.is_conditional = bool(route.when) or route.graphql is not None
        self._tables = tables
        self._post, self._outbox = posts.get(route.collection or ""), outbox
        self._table = tables[route.collection] if route.collection is not None else None
        self._listing = Listing(route, self._table.spec.key if self._table is not None else "id")
        self._id, self._take, self._item = (compile_value(source, FILTERS) for source in (route.id, route.take, route.item))
        missing = route.missing or simulation.missing
        self._needs = [(tables[need.collection], compile_value(need.id, FILTERS), Printer(need.reply or missing)) for need in route.needs]
        self._refusals = [(refusal.when, Printer(refusal.reply)) for refusal in route.refusals]
        self._reply = Printer(route.reply)
        issue = route.token or TokenIssue()
        refused = simulation.auth.refused if simulation.auth is not None else ()
        self._desk = TokenDesk(issue, tokens, refused) if route.do == "token" else None
        self._tokens = tokens
        self._untaken = Printer(issue.refused)
        self._refused = {
            "missing": Printer(missing),
            "invalid": Printer(route.invalid or simulation.invalid),
            "conflict": Printer(route.conflict or simulation.conflict),
        }

    def takes(self, request: Incoming, scope: dict[str, Any]) -> bool:
        """Whether the request is one of those that this route answers."""
        if not self.is_conditional:
            return True
        try:
            body = request.content()
        except Malformed:
            return False
        known = scope if body is MISSING else {**scope, "body": body}
        named = self.route.graphql is None or self.route.graphql in asked_for(body)
        return named and all(condition.holds(known) for condition in self.route.when)

    def answer(self, request: Incoming, scope: dict[str, Any]) -> Outgoing:
        """Check the request, do what the route does, and answer."""
        try:
            body = request.content()
            if body is not MISSING:
                scope["body"] = body
            early = self._checked(scope)
            if early is not None:
                return early
            if self.route.do == "authorize":
                return consent_page(scope["query"], self._tokens)
            if self._desk is not None:
                scope["token"] = self._desk.serve(scope, scope["unix"])
            self._do(scope)
            return self._reply.print(scope)
        except Untaken as error:
            return self._untaken.print({**scope, "reason": error.reason})
        except Malformed as error:
            refused = Refused("invalid", field="body", reason="malformed", expected=str(error))
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
        record = self._changed(table, scope) if verb in {"create", "update", "upsert"} else self._meant(table, scope)
        scope["id"] = record[table.spec.key]
        scope["links"] = self._linked(table, record)
        scope["record"] = self._shown(table, record, scope)
        if verb == "delete":
            table.delete(record)
        if self._post is not None and verb in {"create", "update", "delete"}:
            self._outbox.extend(itertools.islice(self._post.parcels(verb, record, scope), OUTBOX - len(self._outbox)))

    def _changed(self, table: Table, scope: Scope) -> Record:
        taken, verb = self._take.render(scope), self.route.do
        record = self._found(table, scope) if verb == "upsert" else None
        if verb == "create" or (verb == "upsert" and record is None):
            return table.create(taken, scope)
        return table.update(record or self._meant(table, scope), taken, scope)

    def _meant(self, table: Table, scope: Scope) -> Record:
        found = self._found(table, scope)
        if found is None:
            raise Refused("missing", field=table.name, reason="missing")
        return found

    def _found(self, table: Table, scope: Scope) -> Record | None:
        value = self._id.render(scope)
        found = table.get(value) if self.route.find is None else table.find(self.route.find, value)
        for path in self.route.also if found is None else ():
            found = found or table.find(path, value)
        return found

    def _linked(self, table: Table, record: Record) -> dict[str, Any]:
        linked = ((name, self._tables[link.collection].get(get(record, link.at))) for name, link in table.spec.links.items())
        return {name: other for name, other in linked if other is not None}

    def _shown(self, table: Table, record: Record, scope: Scope) -> Any:
        if self.route.item is None:
            return record
        return self._item.render({**scope, "record": record, "links": self._linked(table, record)})
