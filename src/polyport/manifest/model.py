"""The connector language as types. The typed model **is** the runtime object: there is no second model behind it.

Keys in the files are camelCase; the attributes here are their snake_case. Every model is frozen and refuses unknown keys, so that a misspelt key
is a fault and not a silent loss. What a single file cannot say about itself (dangling lists, unknown placeholders) is checked in ``checks``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field as Key
from pydantic import model_validator

from polyport.kinds.auth import Scheme
from polyport.kinds.bodies import Encoding, FormStyle
from polyport.kinds.decoders import DECODERS, Decoding, decode_csv, decode_xml
from polyport.kinds.graphql import Document, read_document
from polyport.kinds.pages import Pager
from polyport.manifest.base import At, Match, Name, Node, Pattern, Slug, Text
from polyport.manifest.budgets import Budget
from polyport.manifest.evidence import Deprecation, Spec, Verified
from polyport.manifest.hooks import HookParts
from polyport.manifest.refusals import ErrorRule
from polyport.manifest.retries import Retry
from polyport.manifest.variables import CustomFields, CustomFieldShape, InputField, InputSection, OutputField, OutputSection, Sets
from polyport.net.message import Reply

CALLS_MOST: Final = 20

QueryStyle = Literal["repeat", "comma", "brackets", "indexed", "pipe", "space"]

HeaderName = Annotated[str, Key(pattern=r"^[A-Za-z0-9-]{1,100}$")]


class CsvShape(Node):
    """How a CSV answer is read. ``header``: the first row has the names (``true``), there are none and rows are lists (``false``), or the names themselves."""

    delimiter: str = Key(default=",", pattern=r"^[^\r\n\"]$")
    header: bool | tuple[Text, ...] = True


class XmlShape(Node):
    """How an XML answer is read. ``lists`` are the elements (without prefix) that are lists even where they stand once."""

    lists: tuple[Text, ...] = ()


Whole = Annotated[str, Key(pattern=r"^\{\{.+\}\}$")]


class Call(Node):
    """One HTTP request to the partner.

    ``path`` is appended to the partner's base URL; its placeholders are percent-encoded, each within its segment; a list is as many segments as it has elements. ``url`` replaces base and path: only the generic HTTP
    partner may build it from a value, and egress checks it like any other. ``query``, ``headers``, ``body`` and ``content_type`` are templates; a
    query or headers may also be one placeholder that gives an object. ``form_style`` writes a list in a form or in the parts of a multipart body as ``a[]=1&a[]=2`` or ``a=1&a=2``. ``decode`` is how the answer is read, ``csv`` and ``xml`` say more about it; ``file`` keeps its bytes: a result variable of the type file tells the kept file, a later call can send it. ``timeout`` is in seconds. ``save`` names a step whose answer later steps read as ``{{steps.<name>}}``; ``when``
    sends it only if the condition on the scope holds; the result is read from the last call that was sent. ``follow_redirects`` applies to GET and HEAD.
    ``envelope``: the answer is ``{status, headers, body}`` instead of the body alone (header names in lower case).
    ``query_style`` says how a list stands in the query: ``a=1&a=2``, ``a=1,2``, ``a[]=1&a[]=2``, ``a[0]=1&a[1]=2``, ``a=1|2`` or ``a=1 2``; ``query_styles``
    says it for single names. Objects nest with brackets: ``a[b][c]=1``.
    ``for_each`` is a list: the call is sent once for each element, which it reads as ``{{each}}``, its position from 0 as ``{{index}}``; ``save`` then
    collects the list of answers, ``when`` may read the element, and more than ``most`` are refused before anything is sent. ``capture`` maps names to
    headers of the answer, which later calls read as ``{{captured.<name>}}``. ``idempotency_header`` carries a value that is the same in every attempt of a run and another for
    each call and row (also ``{{run.key}}``), by which the partner knows a repeat. ``conditional``: the status 304 means that there is nothing new, the answer is then null.
    ``graphql`` is the text of a GraphQL document (no template) with one operation, sent by POST; ``body`` then holds its variables, and an answer with
    ``errors`` is a failure unless a rule says otherwise.
    """

    method: str = Key(default="GET", pattern=r"^([A-Z]{1,20}|\{\{[^}]+\}\})$")
    path: str | None = None
    url: str | None = None
    query: dict[str, Any] | Whole = Key(default_factory=dict)
    query_style: QueryStyle = "repeat"
    query_styles: dict[str, QueryStyle] = Key(default_factory=dict)
    headers: dict[str, str] | Whole = Key(default_factory=dict)
    body: Any = None
    encoding: Encoding = "json"
    form_style: FormStyle = "brackets"
    content_type: str | None = None
    graphql: str | None = None
    decode: Decoding = "json"
    csv: CsvShape | None = None
    xml: XmlShape | None = None
    auth: bool = True
    timeout: float | None = Key(default=None, gt=0, le=120)
    save: Name | None = None
    when: Match | None = None
    for_each: Whole | None = None
    most: int = Key(default=100, ge=1, le=1000)
    capture: dict[Name, HeaderName] = Key(default_factory=dict)
    idempotency_header: HeaderName | None = None
    conditional: bool = False
    follow_redirects: bool = True
    envelope: bool = False

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("a call has either a path or a url")
        if self.path is not None and not self.path.startswith("/"):
            raise ValueError("a path starts with /")
        return self

    @model_validator(mode="before")
    @classmethod
    def _graphql_is_posted(cls, given: Any) -> Any:
        return {"method": "POST", **given} if isinstance(given, dict) and given.get("graphql") is not None else given

    @model_validator(mode="after")
    def _is_sound_graphql(self) -> Self:
        if self.graphql is None:
            return self
        if self.method != "POST" or self.encoding != "json":
            raise ValueError("a GraphQL call is a POST with a JSON body")
        document = read_document(self.graphql)
        if self.body is not None and not isinstance(self.body, dict):
            raise ValueError('the body of a GraphQL call is an object: "variable: value"')
        given = (self.body or {}).keys()
        if unknown := sorted(given - document.variables.keys()):
            raise ValueError(f'the GraphQL document declares no variable "${unknown[0]}"')
        if lacking := [name for name, needed in document.variables.items() if needed and name not in given]:
            raise ValueError(f'the GraphQL document needs the variable "{lacking[0]}": it has to stand under "body"')
        return self

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.for_each is None and "most" in self.model_fields_set:
            raise ValueError('"most" bounds the rows of "forEach"')
        if self.for_each is not None and self.capture:
            raise ValueError('"capture" reads the headers of one answer; with "forEach" there are many')
        if isinstance(self.query, dict) and (unknown := sorted(self.query_styles.keys() - self.query.keys())):
            raise ValueError(f'"{unknown[0]}" under queryStyles is not a name of the query')
        told = {name.lower() for name in self.headers} if isinstance(self.headers, dict) else ()
        if self.idempotency_header is not None and self.idempotency_header.lower() in told:
            raise ValueError(f'the header "{self.idempotency_header}" stands twice: under headers and as idempotencyHeader')
        return self

    @model_validator(mode="after")
    def _shape_fits_decode(self) -> Self:
        for name, shape in (("csv", self.csv), ("xml", self.xml)):
            if shape is not None and self.decode != name:
                raise ValueError(f'"{name}" says how the answer is read with "decode: {name}"')
        if self.decode == "file" and self.envelope:
            raise ValueError('"decode: file" gives the file alone; read headers with "capture"')
        return self

    @cached_property
    def document(self) -> Document | None:
        """What is known of the GraphQL document."""
        return read_document(self.graphql) if self.graphql is not None else None

    @cached_property
    def decoder(self) -> Callable[[Reply], Any]:
        """The decoder of the answer. It raises ``UnreadableAnswer``."""
        if self.xml is not None:
            return partial(decode_xml, lists=self.xml.lists)
        if self.csv is not None:
            return partial(decode_csv, delimiter=self.csv.delimiter, header=self.csv.header)
        return DECODERS[self.decode]


class Result(Node):
    """How an answer becomes the result: the item stands ``at`` a path; ``fields`` and ``sections`` are read from it.

    ``value`` is a template that takes the place of the last answer (``{{answer}}``): it may read the fields, earlier ``{{steps.<name>}}`` and ``{{captured.<name>}}``. A trigger's
    ``items`` stand in it, page by page.
    """

    value: Any = None
    at: At = ()
    fields: tuple[OutputField, ...] = ()
    sections: tuple[OutputSection, ...] = ()


class Operation(Node):
    """What actions and triggers share. ``needs_one_of`` are demands beside what is ``required``: of each, all fields and sections of one set have to be given. ``costs`` are what one call takes of the partner's budgets, by their names, where that is not one.

    ``retry`` says how it is tried again, where that is not as for all.
    """

    id: int = Key(gt=0, le=2**53 - 1)
    name: Name
    title: Text
    description: str = ""
    group: str | None = None
    deprecated: bool = False
    fields: tuple[InputField, ...] = ()
    sections: tuple[InputSection, ...] = ()
    needs_one_of: tuple[Sets, ...] = ()
    selectors: tuple[InputField, ...] = ()
    custom_fields: CustomFields | None = None
    call: Call | None = None
    calls: tuple[Call, ...] = Key(default=(), max_length=CALLS_MOST)
    errors: tuple[ErrorRule, ...] = ()
    costs: dict[Name, Annotated[int, Key(ge=0, le=1_000_000)]] = Key(default_factory=dict)
    retry: Retry | None = None

    @property
    def steps(self) -> tuple[Call, ...]:
        """The calls in order; empty for tools and webhook triggers."""
        return (self.call,) if self.call is not None else self.calls


class Marker(Node):
    """By what a record is known to be the one: the value ``at`` a path of it is the one that this template gives."""

    at: At
    value: Text


class Reconcile(Node):
    """How a doubt is settled: a call that only reads finds the record that the action would have made.

    The call reads what the action's calls read, and ``{{run.id}}`` and ``{{run.key}}`` as the last of them did; where its ``when`` does not hold, there is nothing to look for. ``items`` is a
    list in its answer, or the record itself. The first one that meets ``where`` and has the ``marker`` is the record: the run has succeeded, and its result is read ``at`` a path of it.
    ``absent`` is what it means that there is none at the last look: ``failed`` only where the partner shows a record as soon as it is made, so that a repeat does no harm.
    """

    call: Call
    items: At = ()
    where: tuple[Match, ...] = ()
    marker: Marker | None = None
    at: At = ()
    absent: Literal["uncertain", "failed"] = "uncertain"

    @model_validator(mode="after")
    def _looks_once(self) -> Self:
        if self.call.for_each is not None or self.call.save is not None or self.call.decode == "file":
            raise ValueError('"reconcile" has one plain call: without "forEach", "save" and "decode: file"')
        return self


class Action(Operation):
    """One action (or tool), one file under ``actions/``.

    ``compute`` makes it a tool: the result is this template, nothing is sent. ``idempotent``: sending the same request twice does no more than once;
    ``read_only``: it changes nothing; ``destructive``: it removes or overwrites what cannot be brought back. ``reconcile`` finds out what became of a run in doubt.
    """

    idempotent: bool
    read_only: bool = False
    destructive: bool = False
    compute: Any = None
    reconcile: Reconcile | None = None
    result: Result = Result()

    @property
    def kind(self) -> str:
        """The wire word."""
        return "action" if self.compute is None else "tool"

    @property
    def repeatable(self) -> bool:
        """Whether a second send does no harm."""
        return self.idempotent or self.read_only or all(call.method in SAFE_METHODS for call in self.steps)


class Moment(Node):
    """The time of a trigger's item, for windows: where it stands in the raw item."""

    at: At


class Hook(HookParts):
    """How a webhook trigger is subscribed to, and how its deliveries are read.

    ``subscribe`` reads the trigger's fields and ``{{hook.url}}``, ``{{hook.secret}}``, ``{{hook.events}}``; ``unsubscribe`` and ``renew`` also ``{{subscription.id}}`` (where ``subscription_id``
    stands in the answer of ``subscribe``) and ``{{subscription.answer}}`` (that answer). ``follow_up`` is sent for each item, which it reads as ``{{item}}``: its answer is the item in its place.
    """

    subscribe: Call | None = None
    unsubscribe: Call | None = None
    renew: Call | None = None
    subscription_id: At | None = None
    follow_up: Call | None = None


class Trigger(Operation):
    """One trigger, one file under ``triggers/``.

    An ``api`` trigger calls the partner and gives new items: ``items`` is the list in the answer, ``key`` what tells items apart, ``changed`` (optional)
    what changes when an item changes, ``time`` the moment used by windows. ``where`` are conditions that an item has to meet, for partners that
    cannot be asked for just these. ``order`` is that of the partner's answer. ``webhook`` triggers are subscribed to, not run: ``hook`` says how.
    """

    type: Literal["api", "webhook"] = "api"
    items: At = ()
    key: At | None = None
    changed: At | None = None
    time: Moment | None = None
    where: tuple[Match, ...] = ()
    order: Literal["newest_first", "oldest_first", "none"] = "none"
    pager: Pager | None = None
    page_limit: int = Key(default=20, ge=1, le=1000)
    hook: Hook | None = None
    result: Result = Result()

    idempotent: Literal[True] = True
    read_only: Literal[True] = True
    destructive: Literal[False] = False

    @property
    def kind(self) -> str:
        """The wire word."""
        return "apiTrigger" if self.type == "api" else "webhookTrigger"

    @property
    def repeatable(self) -> bool:
        """Reading is always repeatable."""
        return True

    @model_validator(mode="after")
    def _api_has_call_and_key(self) -> Self:
        if self.type == "api" and (not self.steps or self.key is None):
            raise ValueError("an api trigger has a call and a key that tells items apart")
        if (self.type == "webhook") != (self.hook is not None):
            raise ValueError('a webhook trigger says under "hook" how deliveries are read; no other trigger has one')
        if self.type == "webhook" and self.steps:
            raise ValueError('a webhook trigger has its calls under "hook"')
        return self


SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Inside(Node):
    """Which part of an answer holds a list's items: that of the elements ``at`` a path whose ``key`` is the value of a ``field``.

    For partners that give everything at once: the tables of a base with the columns of each.
    """

    at: At
    key: At = ("id",)
    field: Name


class ListSpec(Node):
    """One dynamic list, one file under ``lists/``.

    The call may use ``{{query}}`` (``search: remote``), the fields in ``depends_on`` and the connection. ``label`` is a template over the item
    (``"{{item.name}}"``). ``lifetime`` is in seconds; the setting ``lists.lifetime`` if not given. ``item_limit`` bounds what is read.
    ``min_query`` is how many characters a list that is searched at the partner needs.
    A text that matches ``key_pattern`` whole is taken for a key without reading the list; any other text is looked up among the labels too.
    ``inside``: the items stand in one part of the answer, and ``items`` is their path there. ``value`` is a template over ``{{answer}}`` that takes the
    answer's place: rows of an object, such as ``"{{answer.sounds | from_object}}"``.
    """

    name: Name
    title: Text
    call: Call
    pager: Pager | None = None
    inside: Inside | None = None
    value: Any = None
    items: At = ()
    key: At = ("id",)
    label: str = "{{item.name}}"
    where: tuple[Match, ...] = ()
    search: Literal["local", "remote"] = "local"
    depends_on: tuple[Name, ...] = ()
    lifetime: int | None = Key(default=None, ge=1)
    key_pattern: Pattern | None = None
    min_query: int = Key(default=0, ge=0, le=20)
    item_limit: int = Key(default=10_000, ge=1, le=100_000)
    page_limit: int = Key(default=50, ge=1, le=1000)
    custom_fields: CustomFieldShape | None = None


class ConnectionField(InputField):
    """A field of a connection. ``prefix`` and ``suffix`` stand around its value where it is asked for: ``https://`` acme ``.example.com``.

    They are shown, not kept: whoever gives the whole text gives the part between them.
    """

    prefix: Text | None = None
    suffix: Text | None = None


class AuthChoice(Node):
    """One way to authorise a connection: what it asks for and how a request is signed with it."""

    name: Name
    label: Text
    hint: str | None = None
    fields: tuple[ConnectionField, ...] = ()
    scheme: Scheme


class Verify(Node):
    """A cheap call that proves a connection; ``account`` is a template over ``{{answer}}`` that names whose it is."""

    call: Call
    account: str | None = None
    errors: tuple[ErrorRule, ...] = ()


class Learned(Node):
    """A value that a connection learns about itself when it is made; it is kept with it, shown, and read as ``{{connection.<name>}}``.

    The template reads ``connection``, secrets included (here and in auth kinds alone), and ``answer``, that of the verify call. A value from ``connection``
    alone is there for the verify call already. ``pattern`` has to match the whole value; one that stands in ``base`` needs a pattern.
    """

    name: Name
    label: Text
    value: Text
    pattern: Pattern | None = None


class ConnectionSpec(Node):
    """What a connection of this partner is made of. ``fields`` belong to every auth choice."""

    fields: tuple[ConnectionField, ...] = ()
    auth: tuple[AuthChoice, ...] = Key(min_length=1)
    learn: tuple[Learned, ...] = ()
    verify: Verify | None = None


class PartnerFile(Node):
    """``partner.yaml``: identity, where calls go, what a connection is, what all operations share.

    ``base`` is a template over ``{{connection}}`` for scheme, host and maybe a path prefix. ``connection`` is absent for partners that need none.
    ``spec`` names the service's own description. ``version`` is that of a partner that was imported into a running server, which writes it.
    """

    id: int = Key(gt=0, le=2**31)
    slug: Slug
    title: Text
    titles: dict[str, str] = Key(default_factory=dict)
    description: str = ""
    categories: tuple[Slug, ...] = ()
    region: tuple[int, ...] = (3,)
    status: Literal["active", "deprecated"] = "active"
    deprecation: Deprecation | None = None
    version: int | None = Key(default=None, ge=1)
    owners: tuple[str, ...] = Key(min_length=1)
    docs: str | None = None
    base: str | None = None
    headers: dict[str, str] = Key(default_factory=dict)
    errors: tuple[ErrorRule, ...] = ()
    budgets: tuple[Budget, ...] = ()
    connection: ConnectionSpec | None = None
    spec: Spec | None = None
    verified: Verified

    @cached_property
    def errors_of_success(self) -> tuple[ErrorRule, ...]:
        """The rules that can fit a status of 200 to 299, which few of them can."""
        return tuple(rule for rule in self.errors if rule.concerns_success)

    @model_validator(mode="after")
    def _spec_is_named(self) -> Self:
        if self.verified.how == "spec" and self.spec is None:
            raise ValueError("verified by spec needs a spec that names the service's description")
        return self

    @model_validator(mode="after")
    def _what_is_told_is_so(self) -> Self:
        if self.deprecation is not None and self.status != "deprecated":
            raise ValueError("a deprecation needs the status deprecated")
        return self


class Partner(Node):
    """A whole partner: its file and everything in its folder. ``digest`` is the SHA-256 of the folder's content (hex)."""

    file: PartnerFile
    actions: tuple[Action, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    lists: dict[str, ListSpec] = Key(default_factory=dict)
    icon: str | None = None
    digest: str = ""

    @property
    def operations(self) -> tuple[Action | Trigger, ...]:
        """Actions, then triggers, in file order."""
        return (*self.actions, *self.triggers)
