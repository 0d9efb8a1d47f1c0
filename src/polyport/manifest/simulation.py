"""``simulator.yaml``: how a partner is simulated. Collections of records with seeds, routes that work on them, and the partner's own refusals.

All texts are templates of the one template language. What a template may read is said at each part: ``path``, ``query``, ``header`` and ``body`` are the request's,
``base`` is our address (``http://127.0.0.1:8099``), ``now`` the time (ISO 8601, UTC), ``unix`` the same in seconds, ``uuid`` a fresh random id.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field as Key
from pydantic import model_validator

from polyport.manifest.base import At, Match, Name, Node
from polyport.manifest.deliveries import Posting
from polyport.manifest.proofs import Answer, Credentials, TokenIssue

Verb = Literal["create", "get", "update", "upsert", "delete", "list", "search", "token", "authorize", "static"]
Comparison = Literal["equals", "one_of", "contains", "at_least", "at_most", "above", "below"]
Kind = Literal["string", "integer", "number", "boolean", "array", "object"]
RoutePattern = Annotated[str, Key(pattern=r"^(GET|HEAD|POST|PUT|PATCH|DELETE) /[^\s?#]*$", max_length=500)]


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
    is the most records held: the oldest created ones give way. ``seeds`` are there from the start and never give way. ``hooks`` are posted to subscribers.
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
    hooks: tuple[Posting, ...] = ()

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

    ``after`` is the id of the last record that was seen (``cursor`` hides it). ``{{page.next}}`` is what the next request has to bring (absent on the last page), ``{{page.more}}`` whether there is one; also ``{{page.size}}``,
    ``{{page.offset}}``, ``{{page.number}}`` and ``{{page.pages}}``.
    """

    kind: Literal["cursor", "offset", "number", "after"] = "cursor"
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
    """An answer that the partner gives instead, when all conditions on ``path``, ``query``, ``header`` and ``body`` hold."""

    when: tuple[Match, ...] = Key(min_length=1)
    reply: Answer


class Need(Node):
    """A record of another collection that has to be there: its id is the template ``id``; else ``reply``."""

    collection: Name = Key(alias="in")
    id: str
    reply: Answer | None = None


class Route(Node):
    """One request that the simulated partner understands, ``METHOD /path/{parameter}``, and what it does with the records of ``in``.

    A parameter may have text around it in its segment: ``/bot{token}/sendMessage``; as the last one ``{key...}`` takes the rest of the path. Several routes may share method and path: each takes the requests for which its
    ``when`` holds (conditions on ``path``, ``query``, ``header`` and ``body``), or those of a GraphQL operation or top-level field of that name (``graphql``); the first that fits
    answers, those without conditions last. With ``authorize`` the answer is a page where a person allows access and is sent back with a code (RFC 6749, 4.1.1).

    ``id`` is the id of the record that is meant, or with ``find`` the value at that path; ``also`` are
    further paths where it is looked for. ``take`` is what a new record or a change is made of.
    ``item`` is the shape in which a record is shown, over ``{{record}}`` and ``{{links}}``; it is ``{{record}}`` in ``reply`` and the elements of ``{{items}}``.
    """

    route: RoutePattern
    when: tuple[Match, ...] = ()
    graphql: Name | None = None
    do: Verb = "static"
    token: TokenIssue | None = None
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
        if (self.do in {"static", "token", "authorize"}) != (self.collection is None):
            raise ValueError('all verbs but "static", "token" and "authorize" work on a collection, named by "in"')
        if self.do != "token" and self.token is not None:
            raise ValueError('"token" says how tokens are handed out; it goes with the verb "token" alone')
        if (self.do == "search") != (self.search is not None):
            raise ValueError('"search" says what to look for; it goes with the verb "search" alone')
        return self


class FaultAnswers(Node):
    """The partner's own words for faults that are asked for: too many requests, an expired token, a used refresh token, a broken server."""

    rate_limited: Answer = Answer(status=429, headers={"Retry-After": "{{retry_after}}"})
    expired: Answer = Answer(status=401)
    rotated: Answer = Answer(status=400, json_body={"error": "invalid_grant"})
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
