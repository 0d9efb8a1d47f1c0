"""Making connections, proving them, re-reading what belongs to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import structlog
from msgspec.structs import replace as replace_struct

from polyport.connections import shown_fields
from polyport.engine.caller import Caller, GrantHolder, HeldGrant, connection_fields, secret_names, with_grant
from polyport.engine.calls import prove, verify
from polyport.engine.checks import ERROR_LONGEST, can_be_asked, found_refused, found_working, is_verified, next_check, refusal_words
from polyport.engine.desk import Bench, Desk
from polyport.engine.grants import authorise
from polyport.engine.record import encode
from polyport.engine.trace import CallFailed
from polyport.engine.validate import compile_fields
from polyport.errors import (
    Conflict,
    ConnectionInvalid,
    Details,
    Fault,
    NotFound,
    PartnerError,
    PartnerFault,
    PolyportError,
    ValidationFailed,
)
from polyport.kinds.auth.base import Grant
from polyport.kinds.filters import FILTERS
from polyport.manifest.model import AuthChoice, ConnectionField, Partner
from polyport.store.base import Stale, StoreFault
from polyport.store.records import Connection, ConnectionStatus, Finding, StoredGrant
from polyport.template import compile_value

DATA_NEW: Final = 0
IN_USE_MS: Final = 3_600_000
RENEWED_AT_ONCE: Final = 4
RENEWED_MOST: Final = 100
_log: Final = structlog.get_logger("polyport.connections")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConnection:
    """What a caller gives to make a connection. ``auth`` names the choice; where there is none, the choice that fits the fields is taken.

    ``verify``: whether it is proved before it is kept; else it is kept as pending, and proved soon after. ``simulated``: it talks to the partner's
    simulator in this process; fields that are not given are made up.
    """

    account_id: int
    partner_id: int
    title: str
    fields: Mapping[str, Any] = field(repr=False)
    auth: str | None = None
    external_user_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    verify: bool = True
    simulated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A connection that was proved and is not kept yet: a new one, or one with new fields, whose ``generation`` is still that of the old ones.

    ``grant`` is what a sign-in led to (``ConnectionBook.seal_grant``) and is kept with it; ``grants`` holds what is only kept in memory.
    """

    record: Connection
    grants: GrantHolder
    grant: StoredGrant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """What proving a new connection told about it, and the grant that was obtained for it."""

    account: str | None
    learned: Mapping[str, Any]
    grants: GrantHolder


async def create_connection(desk: Desk, new: NewConnection) -> Connection:
    """Check the fields, prove them by the partner's verify call, keep them sealed.

    Raises ``NotFound`` (partner), ``ValidationFailed`` (every fault; also when the partner refuses the secrets) or ``PartnerFault``.
    """
    ready = await prepare_connection(desk, new)
    await desk.runtime.repo.connections.insert(ready.record, ready.grant)
    return made(desk, ready)


def made(desk: Desk, ready: Ready) -> Connection:
    """The connection that is kept now. A grant that is not kept with it stays in memory."""
    if ready.grant is None:
        desk.keep_grant(ready.record, ready.grants)
    return ready.record


async def prepare_connection(desk: Desk, new: NewConnection) -> Ready:
    """What ``create_connection`` does, but for keeping it. Raises what that raises."""
    runtime = desk.runtime
    partner = await runtime.catalog.seen_by(new.account_id).partner(new.partner_id)
    if new.simulated:
        given, new = new.fields, await _made_up(desk, partner, new)
        signing_in = next((choice for choice in _ways(partner) if choice.name == new.auth and choice.scheme.by_link_only), None)
        if signing_in is not None and not given:
            return await _signed_in(desk, partner, signing_in, new)
    choice = choose_auth(partner, new.auth, new.fields)
    fields = checked_fields(partner, choice, new.fields)
    pending = not new.verify and is_verified(partner)
    proved = (
        _unproved(desk, partner, choice, fields, simulated=new.simulated)
        if pending
        else await _proved(desk, partner, choice, fields, simulated=new.simulated)
    )
    return await ready_connection(desk, new, choice, {**fields, **proved.learned}, proved, pending=pending)


async def _made_up(desk: Desk, partner: Partner, new: NewConnection) -> NewConnection:
    """A simulated connection with fields that the simulator takes, where none were given. Raises ``ValidationFailed`` where there is no simulator."""
    nothing = Fault(path="simulated", code="not_simulated", message=f"There is no simulator of {partner.file.title} here.")
    if desk.runtime.simulated is None:
        raise ValidationFailed.of(nothing)
    try:
        auth, fields = await desk.runtime.simulated.sample(partner.file.slug)
    except NotFound:
        raise ValidationFailed.of(nothing) from None
    return new if new.fields else replace(new, auth=auth, fields=fields)


def _ways(partner: Partner) -> tuple[AuthChoice, ...]:
    return partner.file.connection.auth if partner.file.connection is not None else ()


async def _signed_in(desk: Desk, partner: Partner, choice: AuthChoice, new: NewConnection) -> Ready:
    """A simulated connection whose way is a sign-in: it has what such a sign-in would have led to, and nobody had to be led there."""
    runtime = desk.runtime
    asked = {variable.name for variable in connection_fields(partner, choice.name)}
    fields = {name: value for name, value in new.fields.items() if name in asked}
    grant = Grant(values={name: value for name, value in new.fields.items() if name not in asked})
    held = HeldGrant(grant=grant, renew_at=None, renewable=False)
    holder = GrantHolder(held=held)
    caller = replace_struct(desk.caller(partner, choice.name, fields, simulated=True), grants=holder)
    proof = await prove(with_grant(caller, held))
    proved = Proved(account=proof.account, learned=proof.learned, grants=holder)
    ready = await ready_connection(desk, new, choice, {**fields, **proved.learned}, proved)
    return replace(ready, grant=runtime.connections.seal_grant(ready.record, grant, now=runtime.now_ms()))


async def ready_connection(
    desk: Desk, new: NewConnection, choice: AuthChoice, fields: Mapping[str, Any], proved: Proved, *, pending: bool = False
) -> Ready:
    """A new connection of these fields, with what proving them taught; ``pending``: that is still to be done."""
    runtime = desk.runtime
    partner = await runtime.catalog.seen_by(new.account_id).partner(new.partner_id)
    connection_id = await runtime.repo.connections.reserve_id()
    data_key = runtime.connections.new_key(new.account_id, connection_id)
    now = runtime.now_ms()
    record = Connection(
        connection_id=connection_id,
        account_id=new.account_id,
        partner_id=partner.file.id,
        title=new.title,
        status=ConnectionStatus.PENDING if pending else ConnectionStatus.ACTIVE,
        auth=choice.name,
        account_label=proved.account,
        external_user_id=new.external_user_id,
        metadata=encode(dict(new.metadata)).decode(),
        shown=_shown(partner, choice, fields),
        data_key=data_key,
        sealed=runtime.connections.seal(new.account_id, connection_id, data_key, fields),
        generation=1,
        data_status=DATA_NEW,
        last_error=None,
        last_used_at=None,
        last_verified_at=now if is_verified(partner) and not pending else None,
        check_at=now if pending else _check_at(desk, partner, now),
        refusals=0,
        created_at=now,
        updated_at=now,
        simulated=new.simulated,
    )
    return Ready(record=record, grants=proved.grants)


async def replace_fields(desk: Desk, record: Connection, given: Mapping[str, Any], auth: str | None) -> Connection:
    """Give a connection new fields; those not given stay. Raises what ``create_connection`` raises, or ``Conflict``."""
    runtime = desk.runtime
    partner = await runtime.catalog.seen_by(record.account_id).partner(record.partner_id)
    same = auth is None or auth == record.auth
    try:
        before = runtime.connections.unseal(record) if same else {}
    except ConnectionInvalid:
        before = {}
    choice = choose_auth(partner, auth or record.auth, given)
    known = {variable.name for variable in connection_fields(partner, choice.name)}
    told = {name: value for name, value in before.items() if name in known} | dict(given)
    ready = await prepare_renewal(desk, record, choice, told)
    try:
        await runtime.repo.connections.replace_secrets(ready.record, ready.grant, now=ready.record.updated_at)
    except Stale:
        raise Conflict("Somebody else changed this connection at the same time; read it and try again.") from None
    return renewed(desk, ready)


async def prepare_renewal(desk: Desk, record: Connection, choice: AuthChoice, given: Mapping[str, Any]) -> Ready:
    """A connection with these fields and no others, proved, not kept. Raises what ``create_connection`` raises."""
    runtime = desk.runtime
    partner = await runtime.catalog.seen_by(record.account_id).partner(record.partner_id)
    fields = checked_fields(partner, choice, given)
    proved = await _proved(desk, partner, choice, fields, simulated=record.simulated)
    return ready_renewal(desk, partner, record, choice, {**fields, **proved.learned}, proved)


def ready_renewal(desk: Desk, partner: Partner, record: Connection, choice: AuthChoice, fields: Mapping[str, Any], proved: Proved) -> Ready:
    """A connection with these fields in place of its own; they were proved, and hold what they taught."""
    runtime = desk.runtime
    now = runtime.now_ms()
    changed = replace(
        record,
        auth=choice.name,
        shown=_shown(partner, choice, fields),
        sealed=runtime.connections.seal(record.account_id, record.connection_id, record.data_key, fields),
        status=ConnectionStatus.ACTIVE,
        account_label=proved.account,
        last_error=None,
        last_verified_at=now if is_verified(partner) else None,
        check_at=_check_at(desk, partner, now),
        refusals=0,
        updated_at=now,
    )
    return Ready(record=changed, grants=proved.grants)


def renewed(desk: Desk, ready: Ready) -> Connection:
    """The connection whose new fields are kept now, and its grant with them."""
    desk.forget()
    found = replace(ready.record, generation=ready.record.generation + 1)
    return made(desk, replace(ready, record=found))


async def test_connection(desk: Desk, account_id: int, connection_id: int) -> tuple[Connection, PolyportError | None]:
    """Run the partner's verify call and note what it found. Gives the connection as it stands then, and the error if there was one.

    Where there is nothing to ask, nothing is asked and nothing is noted.
    Raises ``NotFound`` for a connection, or a partner, that the account does not see.
    """
    runtime = desk.runtime
    record = await runtime.connections.record(account_id, connection_id)
    partner = await runtime.catalog.seen_by(account_id).partner(record.partner_id)
    if not can_be_asked(partner, record.auth):
        return record, None
    error: PolyportError | None = None
    try:
        caller = await desk.tester(record)
    except PolyportError as unopened:  # the partner was not asked, so it has refused nothing
        error = unopened
        await _note(desk, record, _unchanged(record, error))
    else:
        error = await _ask(desk, record, caller)
    return await runtime.connections.record(account_id, connection_id), error


async def _ask(desk: Desk, record: Connection, caller: Caller) -> PolyportError | None:
    """Make the verify call and note what it found; its error if there was one."""
    try:
        await note_working(desk, caller.partner, record, await verify(caller))
    except ConnectionInvalid as refused:
        if refused.details.connection_id is None:
            await note_refused(desk, caller.partner, record, refused)
        else:  # its status says so already
            desk.forget()
        return refused
    except PolyportError as fault:
        await _note(desk, record, _unchanged(record, fault))
        return fault
    return None


async def confirm_refusal(desk: Desk, bench: Bench, error: PolyportError) -> PolyportError:
    """Look twice before a connection is called invalid: the verify call decides whether the secrets or the operation were refused."""
    record = bench.record
    if not isinstance(error, ConnectionInvalid) or record is None:
        return error
    if error.details.connection_id is not None:  # the connection's status says so already
        return error
    error.details = details = replace(error.details, connection_id=record.connection_id)
    try:
        if not is_verified(bench.caller.partner):
            return error
        await verify(bench.caller)
    except ConnectionInvalid as again:
        await note_refused(desk, bench.caller.partner, record, again)
        return error
    except PolyportError:
        return error
    fix = "The connection itself is valid: give it the permission (scope) for this operation at the partner."
    message = details.upstream.message if details.upstream is not None else error.message
    return PartnerError(f"The partner refused the request: {message}", Details(upstream=details.upstream, suggested_fix=fix))


async def note_working(desk: Desk, partner: Partner, record: Connection, account: str | None) -> None:
    """Note that the partner took a connection."""
    now = desk.runtime.now_ms()
    check_at = _check_at(desk, partner, now)
    await _note(desk, record, found_working(check_at, account=account))


async def note_refused(desk: Desk, partner: Partner, record: Connection, error: PolyportError) -> None:
    """Note that the partner refused a connection, and at a second look too."""
    words = refusal_words(partner, record.auth, error)
    await _note(desk, record, found_refused(desk.runtime.now_ms(), record.refusals, random.random(), words=words))  # noqa: S311  as above


async def _note(desk: Desk, record: Connection, finding: Finding) -> None:
    with contextlib.suppress(Stale):  # the secrets were replaced meanwhile: what was found says nothing about the new ones
        await desk.runtime.repo.connections.verified(record, finding, now=desk.runtime.now_ms())
    if finding.status is not record.status:
        desk.forget()


def _unchanged(record: Connection, error: PolyportError) -> Finding:
    return Finding(
        status=record.status,
        proved=False,
        account_label=None,
        last_error=error.message[:ERROR_LONGEST],
        check_at=record.check_at,
        refusals=record.refusals,
    )


async def renew_due(desk: Desk) -> None:
    """Renew the tokens that are close to their end, of connections in use, so that no call has to wait for that."""
    now = desk.runtime.now_ms()
    slots = asyncio.Semaphore(RENEWED_AT_ONCE)

    async def renew(account_id: int, partner_id: int, connection_id: int) -> None:
        async with slots:
            with contextlib.suppress(PolyportError, CallFailed, StoreFault):  # whoever calls next is told
                bench = await desk.bench(account_id, await desk.runtime.catalog.seen_by(account_id).partner(partner_id), connection_id)
                await authorise(bench.caller)

    due = await desk.runtime.repo.grants.due(now, used_after=now - IN_USE_MS, limit=RENEWED_MOST)
    await asyncio.gather(*(renew(*which) for which in due))


def choose_auth(partner: Partner, name: str | None, given: Mapping[str, Any]) -> AuthChoice:
    """The auth choice of a connection: the one named, or the first whose needed fields are given. Raises ``ValidationFailed`` or ``NotFound``."""
    spec = partner.file.connection
    if spec is None:
        raise NotFound(f"{partner.file.title} needs no connection.")
    direct = [choice for choice in spec.auth if not choice.scheme.by_link_only]
    names = ", ".join(choice.name for choice in direct)
    if name is not None:
        found = next((choice for choice in direct if choice.name == name), None)
        if found is None:
            message = f"This partner is not authorised that way by fields; the ways are: {names}."
            raise ValidationFailed.of(Fault(path="auth", code="unknown_option", message=message))
        return found
    if not direct:
        raise ValidationFailed.of(Fault(path="auth", code="unknown_option", message="This partner is authorised by a link only."))
    fitting = [choice for choice in direct if all(variable.name in given for variable in choice.fields if variable.required)]
    return max(fitting, key=lambda choice: sum(variable.name in given for variable in choice.fields)) if fitting else direct[0]


def checked_fields(partner: Partner, choice: AuthChoice, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a connection, coerced. Raises ``ValidationFailed`` with every fault."""
    described = connection_fields(partner, choice.name)
    told = {**given, **{variable.name: _bare(variable, given[variable.name]) for variable in described if variable.name in given}}
    checked = compile_fields(described).check(told, "fields")
    if checked.faults:
        raise ValidationFailed.of(*checked.faults)
    return checked.values


def _bare(variable: ConnectionField, value: Any) -> Any:
    """What stands between a field's prefix and suffix, for those who give the whole of it."""
    if not isinstance(value, str) or (variable.prefix is None and variable.suffix is None):
        return value
    bare = value.strip()
    if variable.suffix is not None:
        bare = bare.removesuffix("/").removesuffix(variable.suffix)
    return bare.removeprefix(variable.prefix or "")


async def _proved(desk: Desk, partner: Partner, choice: AuthChoice, fields: Mapping[str, Any], *, simulated: bool) -> Proved:
    """What the partner says of a connection. A refusal is a fault of the secret that was given, not of an existing connection."""
    caller = desk.caller(partner, choice.name, fields, simulated=simulated)
    try:
        proof = await prove(caller)
        return Proved(account=proof.account, learned=proof.learned, grants=caller.grants)
    except ConnectionInvalid as error:
        secret = next((variable.name for variable in choice.fields if variable.secret), None)
        path = f"fields.{secret}" if secret is not None else "fields"
        message = f"{partner.file.title} refused this: {error.details.upstream.message if error.details.upstream else error.message}"
        raise ValidationFailed(
            f"{partner.file.title} refused these credentials.",
            Details(fields=(Fault(path=path, code="refused_by_partner", message=message),), upstream=error.details.upstream),
        ) from None
    except PartnerFault:
        raise


def _unproved(desk: Desk, partner: Partner, choice: AuthChoice, fields: Mapping[str, Any], *, simulated: bool) -> Proved:
    """A connection that the partner is not asked about. Raises ``ValidationFailed`` where only the partner's answer tells what calls need."""
    spec = partner.file.connection
    if spec is not None and any(path[0] == "answer" for learned in spec.learn for path in compile_value(learned.value, FILTERS).names):
        message = f"{partner.file.title} tells by its verify call where its calls go: its connections are proved before they are kept."
        raise ValidationFailed.of(Fault(path="verify", code="needed_here", message=message))
    caller = desk.caller(partner, choice.name, fields, simulated=simulated)
    return Proved(account=None, learned={}, grants=caller.grants)


def _check_at(desk: Desk, partner: Partner, now: int) -> int | None:
    """When a connection that was proved just now is proved again."""
    every = desk.runtime.settings.health.check_every
    return next_check(now, every, random.random()) if is_verified(partner) else None  # noqa: S311  it spreads checks, it protects nothing


def _shown(partner: Partner, choice: AuthChoice, fields: Mapping[str, Any]) -> str:
    described = connection_fields(partner, choice.name)
    return json.dumps(shown_fields(fields, secret_names(described)), default=str)
