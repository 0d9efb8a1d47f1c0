"""What every auth kind shares.

A kind does no I/O. It can do two things: ``sign`` puts what proves a connection into a request, and a kind that has to exchange something first
``obtain``s a ``Grant``: a generator that yields requests and is sent their answers. ``flow`` is both in one: the answer to the last request that it yields
is the answer of the call. The same code therefore serves real calls, renewal, tests and simulation.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import urlsplit

import re2
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

from polyport.kinds.filters import FILTERS
from polyport.net.message import Reply, Request
from polyport.paths import MISSING, Path, read_path
from polyport.template import RenderFault, Scope, Template, compile_path, compile_value, to_text

CONFIG: Final = ConfigDict(
    frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, arbitrary_types_allowed=True, defer_build=True
)

RENEW_SECONDS: Final = 60.0

Material = Mapping[str, Any]
At = Annotated[Path, BeforeValidator(read_path, json_schema_input_type=str | list[str | int])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What an exchange led to. ``values`` are secrets and join the connection's fields while the grant lasts; ``learned`` may be shown.

    ``expires_at`` is in unix seconds; ``None``: the partner does not say.
    """

    values: Material = field(repr=False)
    learned: Material = field(default_factory=dict)
    expires_at: float | None = None

    def renew_at(self, granted_at: float) -> float | None:
        """From when on a new one is asked for: a minute before the end, and never earlier than in the last tenth of its time."""
        if self.expires_at is None:
            return None
        return self.expires_at - min(RENEW_SECONDS, max(0.0, self.expires_at - granted_at) / 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a signature takes from the world: the time (with its zone), and an id that was never used before.

    ``replaced`` is the origin that the operator put in the place of the partner's, if there is one.
    """

    now: datetime
    fresh_id: Callable[[], str] = lambda: str(uuid.uuid4())
    replaced: str | None = None

    @property
    def seconds(self) -> int:
        """The time in whole unix seconds."""
        return int(self.now.timestamp())


Obtaining = Generator[Request, Reply, Grant]
Flow = Generator[Request, Reply, None]


class ExchangeRefused(Exception):
    """The partner gave no grant. ``message`` and ``code`` are its own words, unscrubbed; ``reply`` is the answer they stand in."""

    def __init__(self, reply: Reply, message: str | None = None, code: str | None = None) -> None:
        super().__init__("the partner gave no grant")
        self.reply = reply
        self.message = message
        self.code = code


class ExchangeUnreadable(Exception):
    """What was answered cannot be used, and says nothing about the connection. ``message`` tells what ``reply`` did, in words that follow the partner's name."""

    def __init__(self, message: str, reply: Reply) -> None:
        super().__init__(message)
        self.message = message
        self.reply = reply


def _linear(value: str) -> str:
    try:
        re2.compile(value)
    except re2.error as error:
        raise ValueError(f"the pattern is not a linear-time regular expression (RE2 syntax): {error}") from None
    return value


Pattern = Annotated[str, AfterValidator(_linear)]


class SchemeBase(BaseModel):
    """An auth kind as it stands in a partner's file.

    ``heads`` are the names that its templates may read, ``supplied`` the names under ``connection`` that come from elsewhere than the connection's fields.
    """

    model_config = CONFIG
    heads: ClassVar[frozenset[str]] = frozenset({"connection"})

    @property
    def exchanges(self) -> bool:
        """Whether a grant has to be obtained before a request can be signed."""
        return False

    @property
    def keeps(self) -> bool:
        """Whether its grants come from a sign-in: they are kept with the connection, and ``refresh``ed."""
        return False

    @property
    def reads_body(self) -> bool:
        """Whether signing needs the body whole: a body that is read while it is sent cannot be signed."""
        return any(path[-1:] == ("in",) and text == "body" for path, text in texts_of(self.model_dump(by_alias=True)))

    @property
    def by_link_only(self) -> bool:
        """Whether a connection is made in the customer's browser alone."""
        return False

    @property
    def supplied(self) -> frozenset[str]:
        """Names under ``connection`` that are no fields of it."""
        return frozenset()

    @property
    def needed(self) -> frozenset[str]:
        """The fields of the connection that templates read which the file does not spell out."""
        return frozenset()

    @property
    def learns(self) -> frozenset[str]:
        """The names of what a grant tells about the connection."""
        return frozenset()

    def learn_pattern(self, _name: str) -> str | None:
        """The pattern that a value of ``learns`` matches, if it has one."""
        return None

    def sign(self, request: Request, material: Material, moment: Moment) -> Request:
        """The request with what proves the connection. ``material`` holds all its fields and those of its grant, secrets included.

        Raises ``RenderFault`` when something is missing or does not fit its place.
        """
        raise NotImplementedError  # pragma: no cover  every kind has its own

    def obtain(self, material: Material, moment: Moment) -> Obtaining:
        """Yield what has to be asked, be sent the answers, return the grant. Raises ``ExchangeRefused`` or ``RenderFault``."""
        raise NotImplementedError  # pragma: no cover  only kinds that exchange something are asked

    def refresh(self, material: Material, moment: Moment) -> Obtaining:
        """Like ``obtain``, with what an earlier grant gave. The grant that comes out holds all that the next time needs."""
        raise NotImplementedError  # pragma: no cover  only kinds whose grants are kept are asked

    def pretended(self) -> Material:
        """The values of a grant for requests that are only shown."""
        return {}

    def flow(self, request: Request, material: Material, moment: Moment) -> Flow:
        """Everything a call needs, in order: the exchange where there is one, then the signed request."""
        if self.exchanges:
            grant = yield from self.obtain(material, moment)
            material = {**material, **grant.values, **grant.learned}
        yield self.sign(request, material, moment)


def compiled(source: Any) -> Template:
    """A template of an auth kind."""
    return compile_value(source, FILTERS)


def _compiles(source: Any) -> Any:
    compiled(source)
    return source


Source = Annotated[str, AfterValidator(_compiles)]
AnySource = Annotated[Any, AfterValidator(_compiles)]


def _is_secure_url(source: str) -> str:
    compiled_url(source)
    return source


def compiled_url(source: str) -> Template:
    """The template of an address: behind the host, values are percent-encoded and stay in their segment. Raises ``ValueError``."""
    head, slash, rest = source.removeprefix("https://").partition("/")
    if not source.startswith("https://") or not head:
        raise ValueError("an address of an exchange begins with https:// and a host")
    path, asked, query = (slash + rest).partition("?")
    if "{{" in query:
        raise ValueError("placeholders of an address stand in front of the query")
    host, tail = compiled(head), compile_path(path, FILTERS)

    def render(scope: Scope) -> Any:
        first, last = host.render(scope), tail.render(scope)
        if not isinstance(first, str) or last is MISSING:
            return MISSING
        url = f"https://{first}{last}{asked}{query}"
        if not first or urlsplit(url).netloc != first or "@" in first or not first.isprintable() or any(char in first for char in "\\ %"):
            raise RenderFault("the connection does not make the address of its exchange")
        return url

    return Template(host.names | tail.names, render, constant=host.constant and tail.constant)


SecureUrl = Annotated[str, AfterValidator(_is_secure_url)]


def moved(url: str, replaced: str | None) -> str:
    """An address of the partner where the operator put another origin in the place of the partner's."""
    if replaced is None:
        return url
    parts = urlsplit(url)
    return replaced.rstrip("/") + parts.path + (f"?{parts.query}" if parts.query else "")


def rendered(template: Template, material: Material, more: Scope | None = None) -> str:
    """The text of a template; raises ``RenderFault`` when the connection lacks what it needs."""
    scope: Scope = {"connection": material}
    value = template.render(scope if more is None else {**scope, **more})
    if value is MISSING or value is None:
        raise RenderFault("the connection lacks a field that its authorisation needs")
    return to_text(value)


def texts_of(value: Any, path: Path = ()) -> Generator[tuple[Path, str]]:
    """Every text in what a partner's file says of a kind, with its place: what checks look for placeholders in."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key), str(key)
            yield from texts_of(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from texts_of(item, (*path, index))


PRETENDED: Final = "[secret]"
