"""A connection that is open: what requests are made and signed with. Knows no network of its own, no store and no queue."""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec
import re2
from msgspec.structs import replace

from polyport.engine.gate import Gate
from polyport.engine.render import Base, render_base
from polyport.errors import Fault, ValidationFailed
from polyport.kinds.auth import Scheme
from polyport.kinds.auth.base import Grant, Moment
from polyport.kinds.filters import FILTERS
from polyport.manifest.model import ConnectionField, Learned, Partner
from polyport.manifest.variables import InputField
from polyport.net.message import Network, Reply
from polyport.paths import MISSING
from polyport.redaction import Redactor
from polyport.template import RenderFault, compile_value, to_text

LEAST_SECONDS: Final = 0.05
LEARNED_LIMIT: Final = 2_000
YOUNG_SECONDS: Final = 30.0
DOCUMENTS_MOST: Final = 256
_DOCUMENT_SECONDS: Final = {200: 3600.0, 404: 300.0, 410: 300.0}
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldGrant:
    """A grant that is in use, and from when on (unix seconds) a new one is obtained in its place.

    Of one that is kept in the store: which ``generation`` of the connection's grants it is, since when, and whether it can be renewed.
    """

    grant: Grant = field(repr=False)
    renew_at: float | None
    generation: int = 0
    granted_at: float | None = None
    renewable: bool = True

    def is_due(self, now: datetime) -> bool:
        """Whether it is time for a new one."""
        return self.renew_at is not None and now.timestamp() >= self.renew_at

    def is_young(self, now: datetime) -> bool:
        """Whether it is kept in the store since a moment ago: what is refused then without a word of the token is hardly refused for it."""
        return self.granted_at is not None and now.timestamp() - self.granted_at < YOUNG_SECONDS


class GrantKeeper(Protocol):
    """Who keeps a connection's grant for all processes, and renews it."""

    async def obtain(self, caller: Caller, refused: HeldGrant | None) -> tuple[HeldGrant, tuple[Any, ...]]:
        """A grant that serves, and the traces of the exchanges that were made for it here; ``refused`` is one that the partner no longer takes."""


@dataclass(slots=True, eq=False)
class GrantHolder:
    """Where an open connection keeps its grant, and the one exchange that is under way for all who wait for it.

    With a ``keeper`` it is a copy of what is in the store. ``refused`` is the grant that the partner took no longer, until there is another.
    """

    held: HeldGrant | None = None
    task: asyncio.Task[Any] | None = field(default=None, repr=False)
    keeper: GrantKeeper | None = field(default=None, repr=False)
    refused: HeldGrant | None = None

    def drop(self, held: HeldGrant | None) -> None:
        """Forget a grant that the partner no longer takes, unless another has already come in its place."""
        if self.held is held:
            self.held, self.refused = None, held


class Documents:
    """Metadata of partners that were read, by address: for an hour, and for five minutes that there are none. It is the same for everybody."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, tuple[float, Reply]] = OrderedDict()

    def get(self, url: str, now: datetime) -> Reply | None:
        """What was read, if that is not too long ago."""
        read_at, reply = self._held.get(url, (0.0, None))
        return reply if reply is not None and 0 <= now.timestamp() - read_at < _DOCUMENT_SECONDS[reply.status] else None

    def keep(self, url: str, reply: Reply, now: datetime) -> None:
        """Keep what was read."""
        if reply.status in _DOCUMENT_SECONDS:
            self._held[url] = (now.timestamp(), reply)
            self._held.move_to_end(url)
            if len(self._held) > DOCUMENTS_MOST:
                self._held.popitem(last=False)

    def drop(self, url: str) -> None:
        """Forget what cannot be used."""
        self._held.pop(url, None)


class Caller(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """An open connection of a partner (or the partner itself, where it needs none).

    ``material`` are all fields, secrets included, for the auth scheme only; ``shown`` those that templates may read. ``timeout`` is in seconds.
    ``until`` is when everything has to have ended (``time.monotonic``), if the run has a deadline. ``replaced`` is the origin that the operator put in the
    place of the partner's. ``held`` is the grant that its material has taken in, if the scheme works with one. ``stopped`` tells before each request whether its run was asked to stop.
    ``plain``: it is known that it has nothing to do with grants.
    """

    partner: Partner
    scheme: Scheme | None
    material: Mapping[str, Any]
    shown: Mapping[str, Any]
    base: Base | None
    redactor: Redactor
    secrets: frozenset[str]
    network: Network
    timeout: float
    until: float | None = None
    replaced: str | None = None
    grants: GrantHolder = msgspec.field(default_factory=GrantHolder)
    held: HeldGrant | None = None
    stopped: Callable[[], bool] | None = None
    documents: Documents = msgspec.field(default_factory=Documents)
    gate: Gate | None = None
    plain: bool = False
    clock: Clock = lambda: datetime.now(UTC)
    fresh_id: Callable[[], str] = lambda: str(uuid.uuid4())

    @property
    def moment(self) -> Moment:
        """What a signature that is made now takes from the world."""
        return Moment(now=self.clock(), fresh_id=self.fresh_id, replaced=self.replaced)

    @property
    def granted(self) -> bool:
        """Whether its requests are signed with a grant: one that is obtained while calls are made, or one of a sign-in."""
        if self.scheme is None:
            return False
        return self.scheme.exchanges or (self.scheme.keeps and (self.grants.keeper is not None or self.grants.held is not None))

    def __repr__(self) -> str:
        return f"<Caller of {self.partner.file.slug}>"


def secret_names(fields: Sequence[InputField]) -> frozenset[str]:
    """The names of the fields that hold secrets."""
    return frozenset(variable.name for variable in fields if variable.secret)


def connection_fields(partner: Partner, auth: str) -> tuple[ConnectionField, ...]:
    """The fields of a connection with this auth choice; empty for a choice that there is not."""
    spec = partner.file.connection
    if spec is None:
        return ()
    return (*spec.fields, *(variable for choice in spec.auth if choice.name == auth for variable in choice.fields))


def open_caller(
    partner: Partner,
    auth: str | None,
    fields: Mapping[str, Any],
    network: Network,
    *,
    replaced: str | None,
    timeout: float,
    clock: Clock,
) -> Caller:
    """Open a connection for calls. Raises ``ValidationFailed`` when its fields do not make an address, or not what is learned from them."""
    spec = partner.file.connection
    choice = next((choice for choice in spec.auth if choice.name == auth), None) if spec is not None else None
    scheme = choice.scheme if choice is not None else None
    known = {variable.name: variable for variable in connection_fields(partner, auth or "")}
    public = {name for name, variable in known.items() if not variable.secret} | (scheme.learns if scheme is not None else frozenset())
    learn = spec.learn if spec is not None else ()
    public |= {learned.name for learned in learn}
    secrets = frozenset(str(value) for name, value in fields.items() if isinstance(value, str) and value and name not in public)
    redactor = Redactor(secrets)
    material = {**learn_values(learn, fields, redactor), **fields} if learn else dict(fields)
    shown = {name: value for name, value in material.items() if name in public}
    return Caller(
        partner=partner,
        scheme=scheme,
        plain=scheme is None or not (scheme.exchanges or scheme.keeps),
        material=material,
        shown=shown,
        base=_base(partner, shown, replaced),
        redactor=redactor,
        secrets=secrets,
        network=network,
        timeout=timeout,
        replaced=replaced,
        clock=clock,
    )


def hiding(caller: Caller, values: frozenset[str]) -> Caller:
    """The same connection for a run whose input has secrets of its own: they are masked as those of the connection are."""
    if values <= caller.secrets:
        return caller
    secrets = caller.secrets | values
    return replace(caller, redactor=Redactor(secrets), secrets=secrets)


def with_grant(caller: Caller, held: HeldGrant) -> Caller:
    """The same connection with what a grant gives it. Its values are secrets from here on, what it tells may be read by templates."""
    grant = held.grant
    secrets = caller.secrets | {str(value) for value in grant.values.values()}
    shown = {**caller.shown, **grant.learned} if grant.learned else caller.shown
    return replace(
        caller,
        material={**caller.material, **grant.values, **grant.learned},
        shown=shown,
        base=_base(caller.partner, shown, caller.replaced) if grant.learned else caller.base,
        redactor=Redactor(secrets),
        secrets=secrets,
        held=held,
    )


def with_app(caller: Caller, material: Mapping[str, str], secrets: frozenset[str]) -> Caller:
    """The same connection with what its OAuth app is known by at the partner."""
    known = caller.secrets | secrets
    return replace(caller, material={**caller.material, **material}, redactor=Redactor(known), secrets=known)


def learn_values(learn: Sequence[Learned], fields: Mapping[str, Any], redactor: Redactor, answer: Any = MISSING) -> dict[str, Any]:
    """What the connection's fields (and the answer of the verify call, if there is one) tell about it.

    Raises ``ValidationFailed`` when a value does not match its pattern, or is a secret as a whole: what is learned may be shown.
    """
    scope = {"connection": dict(fields)} if answer is MISSING else {"connection": dict(fields), "answer": answer}
    found: dict[str, Any] = {}
    for learned in learn:
        try:
            value = compile_value(learned.value, FILTERS).render(scope)
            text = None if value is MISSING or value is None else to_text(value)
        except RenderFault:
            text = None
        if not text:
            continue
        if (
            len(text) > LEARNED_LIMIT
            or redactor.text(text) != text
            or (learned.pattern is not None and not re2.fullmatch(learned.pattern, text))
        ):
            message = f"{learned.label} cannot be told from these fields: they do not have the form that the partner gives them."
            raise ValidationFailed.of(Fault(path="fields", code="not_learned", message=message))
        found[learned.name] = text
    return found


def _base(partner: Partner, shown: Mapping[str, Any], replaced: str | None) -> Base | None:
    try:
        return render_base(partner.file.base, shown, replaced)
    except (RenderFault, ValueError) as error:
        raise ValidationFailed.of(Fault(path="fields", code="invalid_address", message=str(error))) from None
