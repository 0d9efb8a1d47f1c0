"""``simulator.yaml``: how a partner is simulated. Collections of records with seeds, routes that work on them, and the partner's own refusals.

All texts are templates of the one template language. What a template may read is said at each part: ``path``, ``query`` and ``body`` are the request's,
``now`` is the time (ISO 8601, UTC), ``uuid`` a fresh random id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field as Key
from pydantic import ValidationError, model_validator

from polyport.kinds.filters import FILTERS
from polyport.manifest.base import At, Match, Name, Node
from polyport.manifest.load import describe
from polyport.manifest.source import Problem, Source, Unreadable, read_source
from polyport.template import TemplateError, compile_value

FILE: Final = "simulator.yaml"

Verb = Literal["create", "get", "update", "delete", "list", "search", "static"]
Comparison = Literal["equals", "one_of", "contains", "at_least", "at_most", "above", "below"]
Kind = Literal["string", "integer", "number", "boolean", "array", "object"]
RoutePattern = Annotated[str, Key(pattern=r"^(GET|POST|PUT|PATCH|DELETE) /[^\s?#]*$", max_length=500)]
Places = tuple[str | int, ...]

_REQUEST: Final = frozenset({"path", "query", "body", "now", "uuid"})
_REPLY: Final = _REQUEST | {"record", "links", "id", "items", "total", "page", "field", "reason", "expected", "retry_after"}


class Answer(Node):
    """One answer: ``json`` (with the content type of JSON) or ``text``, or neither. Values of ``headers`` and the body are templates."""

    status: int = Key(default=200, ge=200, le=599)
    headers: dict[str, str] = Key(default_factory=dict)
    json_body: Any = Key(default=None, alias="json")
    text: str | None = None

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        if self.text is not None and "json_body" in self.model_fields_set:
            raise ValueError("an answer has json or text, not both")
        return self


class Credentials(Node):
    """How the partner knows its callers: the headers and query parameters that may carry the token. Any token that is not ``refused`` passes.

    In ``authorization`` the token is what follows ``Bearer`` or ``Basic``. With ``bearer`` (the default) that header is accepted beside the others.
    """

    headers: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    bearer: bool = True
    refused: tuple[str, ...] = ("bad-token",)
    refuse: Answer = Answer(status=401)


class Ids(Node):
    """How new records are numbered: ``counter`` from ``start``, ``uuid``, or ``pattern``, a template over ``{{n}}`` (the count, ``width`` digits) and ``{{now}}``."""

    kind: Literal["counter", "uuid", "pattern"] = "counter"
    start: int = Key(default=1, ge=0)
    pattern: str = "{{n}}"
    width: int = Key(default=0, ge=0, le=30)
    text: bool = False


class Link(Node):
    """Another record that a record names: ``{{links.<name>}}`` is the record of the collection ``in`` whose id stands ``at`` a path of ours."""

    collection: Name = Key(alias="in")
    at: At


class Rows(Node):
    """Rows inside a record: members that each row has (``defaults``), and the flag that its first row gets when no row has it (``first``)."""

    at: Name
    defaults: dict[str, Any] = Key(default_factory=dict)
    first: Name | None = None


class Collection(Node):
    """Records of one kind. ``key`` is the member that holds the id.

    ``defaults`` (over the request) fills what a new record does not bring; ``always`` (over the request and ``{{record}}``) is set at each creation and change.
    ``unique`` are paths whose values may stand only once. ``required`` members and ``types`` are checked at creation, ``types`` also at changes. ``limit``
    is the most records held: the oldest created ones give way. ``seeds`` are there from the start and never give way.
    """

    key: Name = "id"
    ids: Ids = Ids()
    defaults: dict[str, Any] = Key(default_factory=dict)
    always: dict[str, Any] = Key(default_factory=dict)
    required: tuple[At, ...] = ()
    types: dict[Name, Kind] = Key(default_factory=dict)
    unique: tuple[At, ...] = ()
    rows: tuple[Rows, ...] = ()
    links: dict[Name, Link] = Key(default_factory=dict)
    limit: int = Key(default=10_000, ge=1, le=100_000)
    seeds: tuple[dict[str, Any], ...] = ()

    @model_validator(mode="after")
    def _seeds_have_keys(self) -> Self:
        if any(self.key not in seed for seed in self.seeds):
            raise ValueError(f'each seed needs its "{self.key}"')
        return self


class Filter(Node):
    """A condition of a list: it counts when ``value`` gives something that is not empty.

    ``equals`` also holds for a list that has the value; ``one_of`` takes several values, in a list or with commas; ``at_least``, ``at_most``,
    ``above`` and ``below`` compare numbers and moments.
    """

    at: At
    value: str
    op: Comparison = "equals"


class Conditions(Node):
    """Conditions that callers write themselves: ``at`` is a list of groups in the request, of which one has to hold; a group holds when all its ``filters`` do.

    Each names a ``name``, an ``operator`` and a ``value`` (or ``values``, a list); ``operators`` says what the partner's words mean, ``under`` is where the named values stand in
    a record, ``not_operators`` are the words that turn a meaning round. Words that stand in neither are refused as ``invalid``.
    """

    at: At
    filters: At = ("filters",)
    name: At
    operator: At
    value: At
    values: At = ("values",)
    under: At = ()
    operators: dict[str, Comparison] = Key(min_length=1)
    not_operators: dict[str, Comparison] = Key(default_factory=dict)


class Sort(Node):
    """The order of a list. ``by`` and ``direction`` are templates; ``by`` may also be ``-name`` or ``name desc``. Without them ``default`` holds."""

    by: str | None = None
    direction: str | None = None
    allowed: dict[str, At] = Key(default_factory=dict)
    default: At = ()
    newest_first: bool = False


class Paging(Node):
    """How a list is cut into pages. ``at`` and ``limit`` are templates for the place asked for and the size asked for.

    ``{{page.next}}`` is what the next request has to bring (absent on the last page), ``{{page.more}}`` whether there is one; also ``{{page.size}}``,
    ``{{page.offset}}``, ``{{page.number}}`` and ``{{page.pages}}``.
    """

    kind: Literal["cursor", "offset", "number"] = "cursor"
    at: str | None = None
    limit: str | None = None
    size: int = Key(default=100, ge=1, le=10_000)
    most: int = Key(default=500, ge=1, le=10_000)
    first: int = Key(default=1, ge=0, le=1)


class Search(Node):
    """Free-text search: records in which ``term`` stands in one of the places of ``look`` (a name for each path; all texts below it count).

    ``only`` names some of the places (a list or with commas), ``exact`` asks for whole matches, both without regard to case. A term shorter than
    ``least`` characters is refused as ``invalid``.
    """

    term: str
    look: dict[Name, At] = Key(min_length=1)
    only: str | None = None
    exact: str | None = None
    least: int = Key(default=1, ge=0, le=100)


class Refusal(Node):
    """An answer that the partner gives instead, when all conditions on ``path``, ``query`` and ``body`` hold."""

    when: tuple[Match, ...] = Key(min_length=1)
    reply: Answer


class Need(Node):
    """A record of another collection that has to be there: its id is the template ``id``; else ``reply``."""

    collection: Name = Key(alias="in")
    id: str
    reply: Answer | None = None


class Route(Node):
    """One request that the simulated partner understands, ``METHOD /path/{parameter}``, and what it does with the records of ``in``.

    ``id`` is the id of the record that is meant, or with ``find`` the value at that path; ``also`` are
    further paths where it is looked for. ``take`` is what a new record or a change is made of.
    ``item`` is the shape in which a record is shown, over ``{{record}}`` and ``{{links}}``; it is ``{{record}}`` in ``reply`` and the elements of ``{{items}}``.
    """

    route: RoutePattern
    do: Verb = "static"
    collection: Name | None = Key(default=None, alias="in")
    id: str = "{{path.id}}"
    find: At | None = None
    also: tuple[At, ...] = ()
    take: Any = "{{body}}"
    item: Any = None
    required: tuple[At, ...] = ()
    needs: tuple[Need, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    filters: tuple[Filter, ...] = ()
    where: Conditions | None = None
    sort: Sort = Sort()
    page: Paging | None = None
    search: Search | None = None
    auth: bool = True
    reply: Answer = Answer()
    missing: Answer | None = None
    invalid: Answer | None = None
    conflict: Answer | None = None

    @property
    def method(self) -> str:
        """The method."""
        return self.route.partition(" ")[0]

    @property
    def path(self) -> str:
        """The path with its parameters."""
        return self.route.partition(" ")[2]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if (self.do == "static") != (self.collection is None):
            raise ValueError('all verbs but "static" work on a collection, named by "in"')
        if (self.do == "search") != (self.search is not None):
            raise ValueError('"search" says what to look for; it goes with the verb "search" alone')
        return self


class FaultAnswers(Node):
    """The partner's own words for faults that are asked for: too many requests, an expired token, a broken server."""

    rate_limited: Answer = Answer(status=429, headers={"Retry-After": "{{retry_after}}"})
    expired: Answer = Answer(status=401)
    error: Answer = Answer(status=500)
    html: Answer = Answer(
        status=200,
        headers={"Content-Type": "text/html; charset=utf-8"},
        text="<!doctype html><title>Maintenance</title><h1>Be back soon</h1>",
    )


class Simulation(Node):
    """The whole file. ``missing``, ``invalid`` and ``conflict`` hold for routes that say nothing of their own; ``unknown`` answers requests that no route and no case knows.

    ``invalid`` may read ``{{field}}``, ``{{reason}}`` (``required``, ``type``, ``value``, ``size``, ``malformed``) and ``{{expected}}``. ``precision`` is that of ``{{now}}``.
    """

    auth: Credentials | None = None
    precision: Literal["seconds", "milliseconds"] = "seconds"
    collections: dict[Name, Collection] = Key(default_factory=dict)
    routes: tuple[Route, ...] = ()
    missing: Answer = Answer(status=404, json_body={"error": "not found"})
    invalid: Answer = Answer(status=400, json_body={"error": "invalid", "field": "{{field}}", "reason": "{{reason}}"})
    conflict: Answer = Answer(status=409, json_body={"error": "conflict", "field": "{{field}}"})
    unknown: Answer = Answer(status=404, json_body={"error": "no such route"})
    faults: FaultAnswers = FaultAnswers()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSimulation:
    """What came of a folder's ``simulator.yaml``: the simulation if it is whole (an empty one where there is no file), and every problem found."""

    simulation: Simulation | None
    problems: tuple[Problem, ...] = ()


def load_simulation(folder: Traversable | Path) -> LoadedSimulation:
    """Load how a partner is simulated. Never raises for what stands in the file: all faults come back at once."""
    file = folder / FILE
    if not file.is_file():
        return LoadedSimulation(simulation=Simulation())
    try:
        source = read_source(FILE, file.read_bytes())
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
    seen: set[str] = set()
    for index, route in enumerate(simulation.routes):
        if route.route in seen:
            yield source.problem("This route stands here twice.", "routes", index, "route")
        seen.add(route.route)
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
    for index, route in enumerate(simulation.routes):
        if route.collection is not None:
            yield ("routes", index, "in"), route.collection
        for position, need in enumerate(route.needs):
            yield ("routes", index, "needs", position, "in"), need.collection


def _templates(simulation: Simulation) -> Iterator[tuple[Places, Any, frozenset[str]]]:
    for name, collection in simulation.collections.items():
        yield ("collections", name, "defaults"), collection.defaults, _REQUEST | {"id"}
        yield ("collections", name, "always"), collection.always, _REQUEST | {"record", "id"}
        yield ("collections", name, "ids", "pattern"), collection.ids.pattern, frozenset({"n", "now", "uuid"})
    for index, route in enumerate(simulation.routes):
        yield from _route_templates(("routes", index), route)
    yield from _answers((), {key: getattr(simulation, key) for key in ("missing", "invalid", "conflict", "unknown")})
    yield from _answers(
        ("faults",), {"rateLimited": simulation.faults.rate_limited, **_named(simulation.faults, "expired", "error", "html")}
    )
    if simulation.auth is not None:
        yield from _answers(("auth",), {"refuse": simulation.auth.refuse})


def _route_templates(place: Places, route: Route) -> Iterator[tuple[Places, Any, frozenset[str]]]:
    yield (*place, "id"), route.id, _REQUEST
    yield (*place, "take"), route.take, _REQUEST
    yield (*place, "item"), route.item, _REQUEST | {"record", "links"}
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
            yield (*place, key, "json"), answer.json_body, _REPLY
            yield (*place, key, "text"), answer.text, _REPLY
            yield (*place, key, "headers"), answer.headers, _REPLY
