"""The connector language as types. The typed model **is** the runtime object: there is no second model behind it.

Keys in the files are camelCase; the attributes here are their snake_case. Every model is frozen and refuses unknown keys, so that a misspelt key
is a fault and not a silent loss. What a single file cannot say about itself (dangling lists, unknown placeholders) is checked in ``checks``.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

import re2
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic import Field as Key
from pydantic.alias_generators import to_camel

from polyport.kinds.auth import Scheme
from polyport.kinds.bodies import Encoding
from polyport.kinds.decoders import Decoding
from polyport.kinds.fields import ARRAY, TYPES
from polyport.kinds.pages import Pager
from polyport.paths import MISSING, Path, get, read_path


class Node(BaseModel):
    """What every part of the language shares."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, arbitrary_types_allowed=True)


def _keys(value: Path) -> Path:
    if not value or not all(isinstance(step, str) for step in value):
        raise ValueError('a place on the wire is made of keys alone: "name", "outer.name", or a list such as ["a.b", "c"]')
    return value


def _linear(value: str) -> str:
    try:
        re2.compile(value)
    except re2.error as error:
        raise ValueError(f"the pattern is not a linear-time regular expression (RE2 syntax): {error}") from None
    return value


def _type(value: str) -> str:
    if value.removesuffix("[]") not in TYPES:
        raise ValueError(f'"{value}" is not a field type; there are: {", ".join(TYPES)}, each also as a list with [] behind it')
    return value


At = Annotated[Path, BeforeValidator(read_path)]
Place = Annotated[Path, BeforeValidator(read_path), AfterValidator(_keys)]
Pattern = Annotated[str, AfterValidator(_linear)]
TypeName = Annotated[str, AfterValidator(_type)]
Name = Annotated[str, Key(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", max_length=100)]
Slug = Annotated[str, Key(pattern=r"^[a-z][a-z0-9-]*$", max_length=60)]
Scalar = str | int | bool | None
Text = Annotated[str, Key(min_length=1)]


class Option(Node):
    """One choice of a field: ``key`` is what the partner gets, ``label`` what people see."""

    key: str | int | bool
    label: Text


class Match(Node):
    """A condition on JSON: the value at ``at`` equals one of the given values, or is there at all, or contains a text.

    With none of ``equals``, ``in``, ``contains`` given, the value has to be there and not be null. ``negate`` turns the answer round.
    """

    at: At
    equals: Scalar = None
    one_of: tuple[Scalar, ...] | None = Key(default=None, alias="in")
    contains: str | None = None
    negate: bool = False

    def holds(self, value: Any) -> bool:
        """Whether the condition is true of this JSON."""
        found = get(value, self.at)
        if self.one_of is not None:
            true = any(_same(found, wanted) for wanted in self.one_of)
        elif self.contains is not None:
            true = isinstance(found, str) and self.contains in found
        elif "equals" in self.model_fields_set:
            true = _same(found, self.equals)
        else:
            true = found is not MISSING and found is not None
        return true is not self.negate


def _same(found: Any, wanted: Scalar) -> bool:
    """Equality that keeps ``true`` apart from ``1``."""
    return found == wanted and isinstance(found, bool) == isinstance(wanted, bool)


_CHECKED_FORMATS: Final = frozenset({"email", "uri", "uuid", "hostname"})


class InputField(Node):
    """A variable of an operation or of a connection.

    ``name`` is the public name and what ``{{name}}`` reads. ``at`` is where the value stands inside a section's row on the wire (a list of keys;
    default: its name). ``wire`` is the format it is written in (the type's default if not given). ``list`` names a dynamic list. ``default`` is used
    when the caller sends nothing. ``min`` and ``max`` bound a number, the lengths bound a text (in characters). ``separator``: a list is written as
    one text with this between its elements.
    """

    name: Name
    type: TypeName
    label: Text
    required: bool = False
    hint: str | None = None
    default: Any = None
    sample: Any = None
    options: tuple[Option, ...] | None = None
    list: Name | None = None
    depends_on: tuple[Name, ...] = ()
    format: Literal["email", "uri", "uuid", "hostname", "multiline", "html", "json", "code"] | None = None
    min: int | float | None = None
    max: int | float | None = None
    min_length: int | None = Key(default=None, ge=0)
    max_length: int | None = Key(default=None, ge=1)
    max_items: int | None = Key(default=None, ge=1)
    pattern: Pattern | None = None
    secret: bool = False
    at: Place | None = None
    wire: str | None = None
    separator: Text | None = None

    @property
    def base_type(self) -> str:
        """The type without ``[]``."""
        return self.type.removesuffix("[]")

    @property
    def is_array(self) -> bool:
        """Whether the field takes several values."""
        return self.type.endswith("[]")

    @property
    def code(self) -> int:
        """The wire code of the type: 1 to 10, plus 100 for arrays."""
        return TYPES[self.base_type].code + (ARRAY if self.is_array else 0)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.wire is not None and self.wire not in TYPES[self.base_type].wires:
            raise ValueError(f'"{self.wire}" is not a wire format of {self.base_type}; there are: {", ".join(TYPES[self.base_type].wires)}')
        if self.options is not None and self.list is not None:
            raise ValueError("a field has options or a list, not both")
        if self.options is not None and len({str(option.key) for option in self.options}) != len(self.options):
            raise ValueError("two options of a field have the same key")
        if self.base_type not in {"integer", "decimal"} and (self.min is not None or self.max is not None):
            raise ValueError(f"min and max bound a number; a {self.base_type} has none")
        measured = (self.min_length, self.max_length, self.pattern, self.format if self.format in _CHECKED_FORMATS else None)
        if self.base_type != "string" and any(limit is not None for limit in measured):
            raise ValueError(f"lengths, pattern and format are for texts; a {self.base_type} has none")
        if self.max_items is not None and not self.is_array:
            raise ValueError("maxItems is for lists, such as string[]")
        if self.separator is not None and (not self.is_array or self.base_type in {"object", "file"}):
            raise ValueError("a separator is for lists of texts, numbers and the like, such as string[]")
        return self


class OutputField(Node):
    """A variable of a result: what stands ``at`` a path of the item (default: the name). ``exists`` gives whether there is anything there."""

    name: Name
    type: TypeName
    label: Text
    hint: str | None = None
    at: At | None = None
    exists: bool = False
    sample: Any = None

    @property
    def code(self) -> int:
        """The wire code of the type: 1 to 10, plus 100 for arrays."""
        return TYPES[self.type.removesuffix("[]")].code + (ARRAY if self.type.endswith("[]") else 0)


class InputSection(Node):
    """Rows that a caller sends: a list of objects, each made of ``fields`` and deeper ``sections``.

    ``at`` is where the rows stand inside the row around them (a list of keys; default: the name).
    """

    name: Name
    label: Text
    hint: str | None = None
    required: bool = False
    fields: tuple[InputField, ...] = ()
    sections: tuple[InputSection, ...] = ()
    at: Place | None = None
    min_rows: int = Key(default=0, ge=0)
    max_rows: int | None = Key(default=None, ge=1)


class OutputSection(Node):
    """Rows of a result: the list ``at`` a path of the item (default: the name). A single object there counts as one row."""

    name: Name
    label: Text
    hint: str | None = None
    fields: tuple[OutputField, ...] = ()
    sections: tuple[OutputSection, ...] = ()
    at: At | None = None


class CustomFields(Node):
    """Fields that the partner's account defines. They appear as ``cf__`` + MD5 of the partner's key and are collected under ``{{custom}}``.

    ``shape`` of ``{{custom}}``: ``object`` (``{key: value}``) or ``pairs`` (a list of objects with the key under ``pair_key`` and the value
    under ``pair_value``). ``result_at`` is where the result's item holds them, in the same shape; they come back under the same names.
    ``include`` maps fields of the operation to the partner's keys under which they join the custom ones. ``cleared`` is what a value that the
    caller clears (null) is written as.
    """

    list: Name
    shape: Literal["object", "pairs"] = "object"
    pair_key: str = "id"
    pair_value: str = "value"
    result_at: At | None = None
    writable: bool = True
    required: tuple[str, ...] = ()
    include: dict[str, str] = Key(default_factory=dict)
    cleared: Scalar = None


QueryStyle = Literal["repeat", "comma", "brackets", "pipe", "space"]
Whole = Annotated[str, Key(pattern=r"^\{\{.+\}\}$")]


class Call(Node):
    """One HTTP request to the partner.

    ``path`` is appended to the partner's base URL; its placeholders are percent-encoded. ``url`` replaces base and path: only the generic HTTP
    partner may build it from a value, and egress checks it like any other. ``query``, ``headers``, ``body`` and ``content_type`` are templates; a
    query or headers may also be one placeholder that gives an object. ``decode`` is how the answer is read. ``timeout`` is in seconds. ``save`` names a step whose answer later steps read as ``{{steps.<name>}}``; ``when``
    sends it only if the condition on the scope holds; the result is read from the last call that was sent. ``follow_redirects`` applies to GET and HEAD.
    ``envelope``: the answer is ``{status, headers, body}`` instead of the body alone (header names in lower case).
    """

    method: str = Key(default="GET", pattern=r"^([A-Z]{1,20}|\{\{[^}]+\}\})$")
    path: str | None = None
    url: str | None = None
    query: dict[str, Any] | Whole = Key(default_factory=dict)
    query_style: QueryStyle = "repeat"
    headers: dict[str, str] | Whole = Key(default_factory=dict)
    body: Any = None
    encoding: Encoding = "json"
    content_type: str | None = None
    decode: Decoding = "json"
    auth: bool = True
    timeout: float | None = Key(default=None, gt=0, le=120)
    save: Name | None = None
    when: Match | None = None
    follow_redirects: bool = True
    envelope: bool = False

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("a call has either a path or a url")
        if self.path is not None and not self.path.startswith("/"):
            raise ValueError("a path starts with /")
        return self


class RetryAfter(Node):
    """Where a partner says how long to wait. ``unit``: ``seconds``, ``milliseconds``, ``date`` (HTTP date), ``unix`` or ``unix_ms`` (a moment)."""

    header: str | None = None
    at: At | None = None
    unit: Literal["seconds", "milliseconds", "date", "unix", "unix_ms", "auto"] = "auto"

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if (self.header is None) == (self.at is None):
            raise ValueError("say either header or at")
        return self


ErrorKind = Literal[
    "invalid_input", "not_found", "conflict", "expired_token", "invalid_connection", "forbidden", "rate_limited", "unavailable", "failed"
]


Status = Annotated[int, Key(ge=100, le=999)] | Annotated[str, Key(pattern=r"^[1-9](xx|\d\d)$")]


class ErrorRule(Node):
    """What an answer means. Rules are tried in order: the operation's, the partner's, then the built-in ones by status.

    ``status`` lists codes (``429``) and classes (``"4xx"``); none given means any. ``body`` and ``header`` are further conditions. ``message``
    and ``code`` are paths in the answer; ``field`` is the path of the name of the faulty field, ``fields`` maps the partner's names to ours.
    """

    status: tuple[Status, ...] = ()
    body: Match | None = None
    header: str | None = None
    kind: ErrorKind
    message: At | None = None
    code: At | None = None
    field: At | None = None
    fields: dict[str, str] = Key(default_factory=dict)
    retry_after: RetryAfter | None = None
    suggested_fix: str | None = None

    @cached_property
    def concerns_success(self) -> bool:
        """Whether the rule can fit a status of 200 to 299; most cannot, and are not looked at then."""
        return not self.status or any(str(status).startswith("2") for status in self.status)

    @model_validator(mode="after")
    def _has_a_condition(self) -> Self:
        if not self.status and self.body is None and self.header is None:
            raise ValueError("a rule says at least one of status, body and header; else it would refuse every answer")
        return self


class Result(Node):
    """How an answer becomes the result: the item stands ``at`` a path; ``fields`` and ``sections`` are read from it."""

    at: At = ()
    fields: tuple[OutputField, ...] = ()
    sections: tuple[OutputSection, ...] = ()


class Operation(Node):
    """What actions and triggers share."""

    id: int = Key(gt=0, le=2**53 - 1)
    name: Name
    title: Text
    description: str = ""
    group: str | None = None
    deprecated: bool = False
    fields: tuple[InputField, ...] = ()
    sections: tuple[InputSection, ...] = ()
    selectors: tuple[InputField, ...] = ()
    custom_fields: CustomFields | None = None
    call: Call | None = None
    calls: tuple[Call, ...] = ()
    errors: tuple[ErrorRule, ...] = ()

    @property
    def steps(self) -> tuple[Call, ...]:
        """The calls in order; empty for tools and webhook triggers."""
        return (self.call,) if self.call is not None else self.calls


class Action(Operation):
    """One action (or tool), one file under ``actions/``.

    ``compute`` makes it a tool: the result is this template, nothing is sent. ``idempotent``: sending the same request twice does no more than once;
    ``read_only``: it changes nothing; ``destructive``: it removes or overwrites what cannot be brought back.
    """

    idempotent: bool
    read_only: bool = False
    destructive: bool = False
    compute: Any = None
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


class Trigger(Operation):
    """One trigger, one file under ``triggers/``.

    An ``api`` trigger calls the partner and gives new items: ``items`` is the list in the answer, ``key`` what tells items apart, ``changed`` (optional)
    what changes when an item changes, ``time`` the moment used by windows. ``order`` is that of the partner's answer. ``webhook`` triggers
    are subscribed to, not run.
    """

    type: Literal["api", "webhook"] = "api"
    items: At = ()
    key: At | None = None
    changed: At | None = None
    time: Moment | None = None
    order: Literal["newest_first", "oldest_first", "none"] = "none"
    pager: Pager | None = None
    page_limit: int = Key(default=20, ge=1, le=1000)
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
        return self


SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class CustomFieldShape(Node):
    """How the items of a list become field definitions.

    ``type`` is the path of the partner's type word, ``types`` maps it to ours (``default_type`` otherwise). ``options`` is the path of the choices, with
    ``option_key`` and ``option_label`` inside each. ``where`` are conditions an item has to meet; ``read_only`` marks those that cannot be written.
    ``variant`` is the path of a second word that tells types apart: ``types``, ``wires`` and ``separators`` are then asked for ``type.variant`` before
    ``type``. ``separators`` holds what stands between the elements of lists that the partner writes as one text.
    """

    key: At
    label: At
    type: At
    types: dict[str, TypeName] = Key(default_factory=dict)
    default_type: TypeName = "string"
    hint: At | None = None
    required: Match | None = None
    read_only: Match | None = None
    options: At | None = None
    option_key: At = ("id",)
    option_label: At = ("label",)
    where: tuple[Match, ...] = ()
    wires: dict[str, str] = Key(default_factory=dict)
    variant: At | None = None
    separators: dict[str, Text] = Key(default_factory=dict)

    @model_validator(mode="after")
    def _wires_fit_types(self) -> Self:
        known = {wire for kind in (*self.types.values(), self.default_type) for wire in TYPES[kind.removesuffix("[]")].wires}
        for word, wire in self.wires.items():
            if wire not in known:
                raise ValueError(f'"{wire}" (for "{word}") is not a wire format of any of the types; there are: {", ".join(sorted(known))}')
        return self


class ListSpec(Node):
    """One dynamic list, one file under ``lists/``.

    The call may use ``{{query}}`` (``search: remote``), the fields in ``depends_on`` and the connection. ``label`` is a template over the item
    (``"{{item.name}}"``). ``lifetime`` is in seconds; the setting ``lists.lifetime`` if not given. ``item_limit`` bounds what is read.
    ``min_query`` is how many characters a list that is searched at the partner needs.
    A text that matches ``key_pattern`` whole is taken for a key without reading the list; any other text is looked up among the labels too.
    """

    name: Name
    title: Text
    call: Call
    pager: Pager | None = None
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


class AuthChoice(Node):
    """One way to authorise a connection: what it asks for and how a request is signed with it."""

    name: Name
    label: Text
    hint: str | None = None
    fields: tuple[InputField, ...] = ()
    scheme: Scheme


class Verify(Node):
    """A cheap call that proves a connection; ``account`` is a template over ``{{answer}}`` that names whose it is."""

    call: Call
    account: str | None = None
    errors: tuple[ErrorRule, ...] = ()


class ConnectionSpec(Node):
    """What a connection of this partner is made of. ``fields`` belong to every auth choice."""

    fields: tuple[InputField, ...] = ()
    auth: tuple[AuthChoice, ...] = Key(min_length=1)
    verify: Verify | None = None


class Verified(Node):
    """How the partner was checked, and when. Never more than what was done."""

    how: Literal["cases", "spec", "sandbox", "live"]
    on: Annotated[date, BeforeValidator(lambda value: date.fromisoformat(value) if isinstance(value, str) else value)]


class PartnerFile(Node):
    """``partner.yaml``: identity, where calls go, what a connection is, what all operations share.

    ``base`` is a template over ``{{connection}}`` for scheme, host and maybe a path prefix. ``connection`` is absent for partners that need none.
    """

    id: int = Key(gt=0, le=2**31)
    slug: Slug
    title: Text
    titles: dict[str, str] = Key(default_factory=dict)
    description: str = ""
    categories: tuple[str, ...] = ()
    region: tuple[int, ...] = (3,)
    status: Literal["active", "deprecated"] = "active"
    owners: tuple[str, ...] = Key(min_length=1)
    docs: str | None = None
    base: str | None = None
    headers: dict[str, str] = Key(default_factory=dict)
    errors: tuple[ErrorRule, ...] = ()
    connection: ConnectionSpec | None = None
    verified: Verified


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
