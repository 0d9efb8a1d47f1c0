"""From a folder's ``simulator.yaml`` to a ``Simulation``, or to every fault it has, with its line and a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from polyport.kinds.filters import FILTERS
from polyport.manifest.base import Node
from polyport.manifest.deliveries import Posting
from polyport.manifest.disk import Place, is_file, source_of
from polyport.manifest.hooks import SIGNED_NAMES
from polyport.manifest.proofs import Answer
from polyport.manifest.sentences import describe
from polyport.manifest.simulation import Route, Simulation
from polyport.manifest.source import Problem, Source, Unreadable
from polyport.template import TemplateError, compile_value

FILE: Final = "simulator.yaml"
Places = tuple[str | int, ...]

_REQUEST: Final = frozenset({"path", "query", "body", "header", "base", "now", "unix", "uuid"})
_POSTED: Final = frozenset({"record", "subscription", "event", "delivery", "timestamp", "now", "base"})
_REPLY: Final = _REQUEST | {"record", "links", "id", "items", "total", "page", "field", "reason", "expected", "retry_after", "token"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSimulation:
    """What came of a folder's ``simulator.yaml``: the simulation if it is whole (an empty one where there is no file), and every problem found."""

    simulation: Simulation | None
    problems: tuple[Problem, ...] = ()


def load_simulation(folder: Place) -> LoadedSimulation:
    """Load how a partner is simulated. Never raises for what stands in the file: all faults come back at once."""
    file = folder / FILE
    if not is_file(file):
        return LoadedSimulation(simulation=Simulation())
    try:
        source = source_of(FILE, file)
    except Unreadable as error:
        return LoadedSimulation(simulation=None, problems=error.problems)
    try:
        simulation = Simulation.model_validate(source.data, by_alias=True, by_name=False)
    except ValidationError as error:
        return LoadedSimulation(simulation=None, problems=tuple(describe(Simulation, source, error.errors(include_url=False))))
    problems = tuple(_check(simulation, source))
    return LoadedSimulation(simulation=None if problems else simulation, problems=problems)


def _check(simulation: Simulation, source: Source) -> Iterator[Problem]:
    for place, name in _references(simulation):
        if name not in simulation.collections:
            yield source.problem(f'There is no collection "{name}".', *place)
    seen: set[tuple[Any, ...]] = set()
    for index, route in enumerate(simulation.routes):
        meant = (route.route, route.when, route.graphql)
        if meant in seen:
            yield source.problem("This route stands here twice.", "routes", index, "route")
        seen.add(meant)
    for place, template, known in _templates(simulation):
        yield from (source.problem(message, *place) for message in _template_faults(template, known))


def _template_faults(template: Any, known: frozenset[str]) -> Iterator[str]:
    try:
        names = compile_value(template, FILTERS).names
    except TemplateError as error:
        yield f"{error}."
        return
    for unknown in sorted({str(path[0]) for path in names} - known):
        yield f'"{unknown}" is nothing that can be read here; there are: {", ".join(sorted(known))}.'


def _references(simulation: Simulation) -> Iterator[tuple[Places, str]]:
    for name, collection in simulation.collections.items():
        for link, target in collection.links.items():
            yield ("collections", name, "links", link, "in"), target.collection
        for index, posting in enumerate(collection.hooks):
            yield ("collections", name, "hooks", index, "to"), posting.to
    for index, route in enumerate(simulation.routes):
        if route.collection is not None:
            yield ("routes", index, "in"), route.collection
        for position, need in enumerate(route.needs):
            yield ("routes", index, "needs", position, "in"), need.collection


def _templates(simulation: Simulation) -> Iterator[tuple[Places, Any, frozenset[str]]]:
    for name, collection in simulation.collections.items():
        yield ("collections", name, "defaults"), collection.defaults, _REQUEST | {"id"}
        yield ("collections", name, "always"), collection.always, _REQUEST | {"record", "id"}
        for index, posting in enumerate(collection.hooks):
            yield from _posting(posting, ("collections", name, "hooks", index))
        yield ("collections", name, "ids", "pattern"), collection.ids.pattern, frozenset({"n", "now", "uuid"})
    for index, route in enumerate(simulation.routes):
        yield from _route_templates(("routes", index), route)
    yield from _answers((), {key: getattr(simulation, key) for key in ("missing", "invalid", "conflict", "unknown")})
    yield from _answers(
        ("faults",), {"rateLimited": simulation.faults.rate_limited, **_named(simulation.faults, "expired", "rotated", "error", "html")}
    )
    auth = simulation.auth
    if auth is not None:
        yield from _answers(("auth",), {"refuse": auth.refuse})
        if auth.signed is not None:
            yield ("auth", "signed", "keyId"), auth.signed.key_id, frozenset({"header", "query", "body"})
            if auth.signed.signature is not None:
                yield ("auth", "signed", "signature", "signed"), auth.signed.signature.signed, SIGNED_NAMES
                yield ("auth", "signed", "signature", "key"), auth.signed.signature.key, frozenset({"secret"})


def _posting(posting: Posting, place: Places) -> Iterator[tuple[Places, Any, frozenset[str]]]:
    yield (*place, "url"), posting.url, _POSTED
    yield (*place, "signed"), posting.signed, _POSTED | {"body", "url"}
    yield (*place, "headers"), posting.headers, _POSTED | {"body", "url", "signed"}
    body = posting.send.body
    if body is not None:
        yield (*place, "send", body[0].removesuffix("_body")), body[1], _POSTED


def _route_templates(place: Places, route: Route) -> Iterator[tuple[Places, Any, frozenset[str]]]:
    yield (*place, "id"), route.id, _REQUEST
    yield (*place, "take"), route.take, _REQUEST
    yield (*place, "item"), route.item, _REQUEST | {"record", "links"}
    if route.token is not None:
        issue = route.token
        yield from (((*place, "token", key), getattr(issue, key), _REQUEST) for key in ("grant", "refresh", "code", "user", "password"))
        yield from _answers((*place, "token"), {"refused": issue.refused})
    for index, need in enumerate(route.needs):
        yield (*place, "needs", index, "id"), need.id, _REQUEST
        yield from _answers((*place, "needs", index), {"reply": need.reply})
    for index, refusal in enumerate(route.refusals):
        yield from _answers((*place, "refusals", index), {"reply": refusal.reply})
    for index, condition in enumerate(route.filters):
        yield (*place, "filters", index, "value"), condition.value, _REQUEST
    yield from ((where, template, _REQUEST) for where, template in _texts(place, route))
    yield from _answers(place, _named(route, "reply", "missing", "invalid", "conflict"))


def _texts(place: Places, route: Route) -> Iterator[tuple[Places, str | None]]:
    yield from (((*place, "sort", key), getattr(route.sort, key)) for key in ("by", "direction"))
    if route.page is not None:
        yield from (((*place, "page", key), getattr(route.page, key)) for key in ("at", "limit"))
    if route.search is not None:
        yield from (((*place, "search", key), getattr(route.search, key)) for key in ("term", "only", "exact"))


def _named(part: Node, *keys: str) -> dict[str, Answer | None]:
    return {key: getattr(part, key) for key in keys}


def _answers(place: Places, answers: Mapping[str, Answer | None]) -> Iterator[tuple[Places, Any, frozenset[str]]]:
    for key, answer in answers.items():
        if answer is not None:
            yield (*place, key, "headers"), answer.headers, _REPLY
            body = answer.body
            if body is not None:
                yield (*place, key, body[0].removesuffix("_body")), body[1], _REPLY
