"""Renewing the tokens of sign-ins: one exchange per expiry, whatever the number of coroutines, processes and machines.

The kept grant is the truth. Whoever finds it due, over or refused claims the connection's lease, looks again, notes that an exchange begins, makes it, and
puts the new grant in place of the very one it was made with (generation) unless somebody has begun after it (fence). Everybody else waits and looks again,
or goes on with a token that still lives. The note stays when a process dies within the exchange: the next holder knows that an answer may have been lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import structlog
from msgspec.structs import replace as with_changes

from polyport.connections import is_usable
from polyport.engine.caller import Caller, HeldGrant, with_grant
from polyport.engine.grants import drive
from polyport.engine.trace import CallFailed, Trace, sentence
from polyport.errors import (
    BlockedAddress,
    ConnectionInvalid,
    Details,
    Fault,
    NotFound,
    Overloaded,
    PartnerError,
    PartnerRateLimited,
    PartnerTimeout,
    PartnerUnavailable,
    PolyportError,
    ValidationFailed,
)
from polyport.kinds.auth.base import Grant
from polyport.manifest.model import Partner
from polyport.runtime import Runtime
from polyport.store.base import Stale, StoreFault, StoreUnavailable
from polyport.store.records import Connection, ConnectionStatus, Lease, StoredGrant
from polyport.template import RenderFault
from polyport.vault import VaultFault

LEASE_MS: Final = 5_000
POLL_SECONDS: Final = 0.1
WAIT_SECONDS: Final = 120.0
AGAIN_MS: Final = 1_000  # for that long a token that is being renewed elsewhere is used without asking how far that is
STUCK_MS: Final = 600_000  # so long after its time a process that lives may still come with the answer to its exchange
BACKOFF_MS: Final = 1_000
DOUBT_MS: Final = 5_000
BACKOFF_MOST_MS: Final = 300_000
STORE_SECONDS: Final = 0.2
_ERROR_LONGEST: Final = 500

# What partners say of a refresh token that serves no more; whatever else they say is no reason to give a connection up.
_DEAD: Final = frozenset(
    {"invalid_grant", "bad_refresh_token", "invalid_refresh_token", "refresh_token_expired", "token_revoked", "invalid_token"}
)
_log: Final = structlog.get_logger("polyport.renewal")


class Client(Protocol):
    """What the operator is at a partner. ``material`` (client id, secret or key) joins the fields of a connection where it is authorised."""

    @property
    def material(self) -> Mapping[str, str]:
        """The client's id and secrets by the names that auth kinds read."""


class Clients(Protocol):
    """Who knows the operator's clients."""

    async def serving(self, account_id: int, partner: Partner, auth: str) -> Client | None:
        """The client by which an account's customers sign in with this auth choice. Raises ``PolyportError`` for one that cannot be opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """A connection and its grant as they are in the store now. ``refused``: the partner has refused this very grant."""

    record: Connection
    stored: StoredGrant
    grant: Grant
    refused: bool
    now: int

    @property
    def renewable(self) -> bool:
        return "refresh_token" in self.grant.values

    @property
    def over(self) -> bool:
        return self.stored.expires_at is not None and self.now >= self.stored.expires_at

    @property
    def serves(self) -> bool:
        """Whether calls can go on with it."""
        return not self.refused and not self.over

    @property
    def due(self) -> bool:
        return not self.serves or (self.stored.refresh_at is not None and self.now >= self.stored.refresh_at)

    @property
    def wait_ms(self) -> int:
        """How long partners are left alone after an exchange that brought nothing."""
        return self.stored.refresh_at - self.now if self.stored.failures and self.stored.refresh_at is not None else 0

    def held(self, again_at: int | None = None) -> HeldGrant:
        """The grant in use, looked at again when it is due, or at ``again_at``."""
        times = [at for at in (again_at or self.stored.refresh_at, self.stored.expires_at) if at is not None]
        return HeldGrant(
            grant=self.grant,
            renew_at=min(times) / 1000 if times else None,
            generation=self.stored.generation,
            granted_at=self.stored.updated_at / 1000,
            renewable=self.renewable,
        )


class Renewals:
    """Keeps the grants of one process in step with the store."""

    def __init__(self, runtime: Runtime, clients: Clients) -> None:
        self.runtime = runtime
        self.clients = clients
        self._under_way: dict[int, asyncio.Task[Any] | None] = {}

    def keeper(self, record: Connection, *, insists: bool = False) -> Keeper:
        """Who keeps the grant of a connection. ``insists``: the partner is asked also for a connection that is known not to serve."""
        return Keeper(self, record, insists=insists)

    async def drain(self, seconds: float) -> None:
        """Let the exchanges that are under way end: an answer that nobody keeps may be the end of a connection."""
        tasks = [task for task in self._under_way.values() if task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    def works(self, owner: str, fence: int) -> bool:
        """Whether the process still lives, and if it is this one, still works under this fence."""
        return fence in self._under_way if owner == self.runtime.owner else self.runtime.is_alive(owner)

    @contextlib.asynccontextmanager
    async def holding(self, lease: Lease) -> AsyncIterator[None]:
        """Hold a lease for as long as this takes, then give it back."""
        extending = asyncio.create_task(self._extend(lease))
        self._under_way[lease.fence] = asyncio.current_task()
        try:
            yield
        finally:
            del self._under_way[lease.fence]
            extending.cancel()
            await asyncio.gather(extending, return_exceptions=True)
            with contextlib.suppress(StoreFault):  # it ends by itself
                await self.runtime.repo.leases.release(lease)

    async def _extend(self, lease: Lease) -> None:
        while True:
            await asyncio.sleep(LEASE_MS / 3000)
            try:
                await self.runtime.repo.leases.extend(lease, self.runtime.now_ms() + LEASE_MS)
            except Stale:
                _log.warning("a lease was lost to another process", lease=lease.name)
                return
            except StoreFault as fault:
                _log.warning("a lease could not be extended", lease=lease.name, reason=str(fault))


class Keeper:
    """Keeps the grant of one connection: the ``keeper`` of a ``GrantHolder``."""

    def __init__(self, renewals: Renewals, record: Connection, *, insists: bool) -> None:
        self._renewals = renewals
        self._runtime = renewals.runtime
        self._account_id, self._connection_id = record.account_id, record.connection_id
        self._lease_name = f"grant/{record.connection_id}"
        self._insists = insists

    async def obtain(self, caller: Caller, refused: HeldGrant | None) -> tuple[HeldGrant, tuple[Trace, ...]]:
        """A grant that serves, and the exchanges that were made for it here. ``refused`` is one that the partner no longer takes.

        Raises ``ConnectionInvalid`` (the connection's status says so too then), ``CallFailed``, ``PartnerUnavailable`` (after a failure the partner is left
        alone for a while), ``PartnerTimeout``, ``ValidationFailed`` (no client), ``NotFound`` or ``Overloaded`` (the store).
        """
        traces: list[Trace] = []
        end = time.monotonic() + WAIT_SECONDS
        try:
            while True:
                state = await self._state(refused)
                if not state.due:
                    return state.held(), tuple(traces)
                if not state.renewable:
                    await self._end(state, ConnectionStatus.EXPIRED, _EXPIRED)
                    continue
                if state.wait_ms > 0 and not self._insists:
                    raise _leave_alone(state)
                lease = await self._claim(state)
                if lease is None:
                    if state.serves:
                        return state.held(state.now + AGAIN_MS), tuple(traces)
                    if time.monotonic() > end:
                        raise PartnerTimeout(
                            "Another process has been renewing this connection's token for too long; the call was not sent."
                        )
                    await asyncio.sleep(POLL_SECONDS)
                    continue
                async with self._renewals.holding(lease):
                    held = await self._renew(caller, refused, lease, traces)
                if held is not None:
                    return held, tuple(traces)
        except StoreUnavailable:
            raise Overloaded("This server cannot use its records now: the call was not sent.") from None

    async def _state(self, refused: HeldGrant | None) -> _State:
        record = await self._runtime.repo.connections.get(self._account_id, self._connection_id)
        if record is None:
            raise NotFound("There is no connection with this id.")
        if not is_usable(record) and not self._insists:
            raise ConnectionInvalid(record.last_error, self._details())
        stored = await self._runtime.repo.grants.get(self._connection_id)
        if stored is None:
            raise ConnectionInvalid("Nothing is kept of a sign-in for this connection.", self._details())
        try:
            grant = self._runtime.connections.open_grant(record, stored)
        except VaultFault as fault:
            raise ConnectionInvalid(f"The connection's tokens cannot be opened: {fault}", self._details()) from None
        was_refused = refused is not None and refused.generation == stored.generation
        return _State(record=record, stored=stored, grant=grant, refused=was_refused, now=self._runtime.now_ms())

    async def _claim(self, state: _State) -> Lease | None:
        """The connection's lease, unless somebody else has it, or what somebody else has begun may still take effect."""
        leases = self._runtime.repo.leases
        lease = await leases.get(self._lease_name)
        if self._is_begun(state) or (lease is not None and state.now < lease.until and self._renewals.works(lease.owner, lease.fence)):
            return None
        try:
            return await leases.claim(self._lease_name, self._runtime.owner, over=lease, until=state.now + LEASE_MS)
        except Stale:
            return None

    def _is_begun(self, state: _State) -> bool:
        """Whether an exchange that somebody else began may still take effect, or somebody may still have its answer in hand."""
        stored = state.stored
        if stored.exchange_until is None:
            return False
        lives = stored.exchange_by is not None and self._renewals.works(stored.exchange_by, stored.fence)
        return state.now < stored.exchange_until + (STUCK_MS if lives else 0)

    async def _renew(self, caller: Caller, refused: HeldGrant | None, lease: Lease, traces: list[Trace]) -> HeldGrant | None:
        """One exchange under the lease; ``None``: look again.

        A lease can be over before its holder begins. What decides is the note: of two who believe that it is theirs to ask, one writes it and the other sees it.
        """
        state = await self._state(refused)
        if not state.due:
            return state.held()
        if self._is_begun(state):
            return None
        seconds = self._runtime.settings.partner.timeout
        begun = replace(state, stored=replace(state.stored, fence=lease.fence))
        try:
            await self._runtime.repo.grants.begin_exchange(
                state.stored, fence=lease.fence, until=state.now + int(seconds * 1000) + 1_000, owner=self._runtime.owner
            )
        except Stale:
            return None
        try:
            grant = await self._ask(with_changes(caller, timeout=seconds, until=None), begun, traces)
        except CallFailed as failed:
            return await self._failed(begun, failed)
        except PolyportError as error:
            return await self._put_off(begun, error, error, doubt=False)
        return await self._keep(begun, grant)

    async def _ask(self, caller: Caller, state: _State, traces: list[Trace]) -> Grant:
        """Ask the partner for a new grant. What the answer does not tell stays as it was."""
        if caller.scheme is None:
            raise TypeError("only a scheme renews a grant")
        try:
            client = await self._renewals.clients.serving(self._account_id, caller.partner, state.record.auth)
        except ConnectionInvalid as error:  # it is not the connection that cannot be opened
            raise _no_client(error.message) from None
        if client is None:
            raise _no_client("There is no OAuth app for this partner any more: the token of this connection cannot be renewed.")
        granted = with_grant(caller, state.held())
        material = {**granted.material, **client.material}
        try:
            new = await drive(granted, caller.scheme.refresh(material, caller.moment), traces)
        except RenderFault as error:
            raise _no_client(sentence(error)) from None
        return Grant(values=new.values, learned={**state.grant.learned, **new.learned}, expires_at=new.expires_at)

    async def _keep(self, state: _State, grant: Grant) -> HeldGrant | None:
        """Keep a new grant, however long the store cannot: the partner may take the old one no longer."""
        sealed = self._runtime.connections.seal_grant(state.record, grant, now=self._runtime.now_ms())
        stored = replace(sealed, generation=state.stored.generation, fence=state.stored.fence)
        while True:
            try:
                await self._runtime.repo.grants.replace(stored)
                break
            except StoreUnavailable as fault:
                _log.warning("a new grant cannot be kept, trying again", connection=self._connection_id, reason=str(fault))
            except Stale:
                _log.warning("a grant came too late: there is another one", connection=self._connection_id)
                return None
            await asyncio.sleep(STORE_SECONDS)
        kept = replace(stored, generation=stored.generation + 1)
        return replace(state, stored=kept, grant=grant, refused=False).held()

    async def _failed(self, state: _State, failed: CallFailed) -> HeldGrant | None:
        """What follows from an exchange that brought no grant; ``None``: somebody else has brought one."""
        failure = failed.failure
        if (failed.kind or "").lower() not in _DEAD:
            error = failure.error if isinstance(failure.error, _NOT_NOW) else _refused(failure.error)
            told = CallFailed(with_changes(failure, error=error), failed.trace, kind=failed.kind, earlier=failed.earlier)
            doubt = failure.reached and (not failure.answered or isinstance(error, PartnerUnavailable))
            return await self._put_off(state, error, told, doubt=doubt)
        if (await self._state(None)).stored.generation != state.stored.generation:
            return None
        upstream = failure.error.details.upstream
        said = upstream.message if upstream is not None else failed.kind
        interrupted = state.stored.exchange_until is not None
        message = (_INTERRUPTED if interrupted else _REVOKED).format(said=said)
        try:
            await self._end(state, ConnectionStatus.INVALID, message)
        except ConnectionInvalid as error:
            error.details = replace(error.details, upstream=upstream)
            raise CallFailed(with_changes(failure, error=error), failed.trace, kind=failed.kind, earlier=failed.earlier) from None
        return None

    async def _put_off(self, state: _State, error: PolyportError, told: Exception, *, doubt: bool) -> HeldGrant | None:
        """Ask again later, and go on with the grant that is there if it serves. Raises ``told`` otherwise."""
        now = self._runtime.now_ms()
        wait = min(BACKOFF_MOST_MS, (DOUBT_MS if doubt else BACKOFF_MS) << min(state.stored.failures, 16))
        at = now + max(wait, error.details.retry_after_ms or 0)
        serves = state.serves and not replace(state, now=now).over
        if serves and state.stored.expires_at is not None:
            at = min(at, state.stored.expires_at)
        # A doubt stays noted; one from before stays too, until a grant comes: its answer is still lost.
        doubted = now if doubt else state.stored.exchange_until
        _log.warning("a token was not renewed", connection=self._connection_id, reason=type(error).__name__, doubt=doubt)
        try:
            await self._runtime.repo.grants.delay(replace(state.stored, refresh_at=at, exchange_until=doubted))
        except Stale:
            return None
        if not serves:
            raise told
        return state.held(at)

    async def _end(self, state: _State, status: ConnectionStatus, message: str) -> None:
        """Note that a connection serves no more and raise ``ConnectionInvalid``, unless it rests on another grant by now."""
        try:
            await self._runtime.repo.grants.end_connection(
                state.record, state.stored, status, last_error=message[:_ERROR_LONGEST], now=self._runtime.now_ms()
            )
            _log.warning("a connection has to be authorised again", connection=self._connection_id, status=status)
        except Stale:
            await self._runtime.repo.grants.end_exchange(state.stored)
            if (await self._state(None)).stored.generation != state.stored.generation:
                return
        raise ConnectionInvalid(message, self._details())

    def _details(self) -> Details:
        return Details(suggested_fix=reconnect_advice(self._connection_id), connection_id=self._connection_id)


_NOT_NOW: Final = (PartnerUnavailable, PartnerTimeout, PartnerRateLimited, BlockedAddress)
_EXPIRED: Final = "The partner's permission has run out and cannot be renewed: the customer has to connect again."
_REVOKED: Final = "The partner no longer renews this connection's token ({said}): the customer has to connect again."
_INTERRUPTED: Final = (
    "The renewal of this connection's token was interrupted before the partner's answer could be kept, and the partner no longer takes the token from "
    "before ({said}): the customer has to connect again."
)


def reconnect_advice(connection_id: int) -> str:
    """What to do about a connection that the partner no longer takes."""
    return (
        f"Let the customer connect again by a link of POST /credentials/{connection_id}/reconnect, give it new fields with "
        f"PATCH /credentials/{connection_id}, or test it with POST /credentials/{connection_id}/test."
    )


def _no_client(message: str) -> ValidationFailed:
    return ValidationFailed.of(Fault(path='credentialData["0"]', code="cannot_be_renewed", message=message))


def _refused(error: PolyportError) -> PartnerError:
    """A refusal that says nothing about the connection: the server's own OAuth app, or how it asks."""
    upstream = error.details.upstream
    said = upstream.message if upstream is not None else error.message
    fix = "Check the OAuth app of this partner: its client id, its secret and what the partner allows it."
    return PartnerError(f"The partner did not renew this connection's token: {said}", Details(upstream=upstream, suggested_fix=fix))


def _leave_alone(state: _State) -> PartnerUnavailable:
    details = Details(retry_after_ms=state.wait_ms, suggested_fix="Wait as long as retryAfterMs says, then run again.")
    return PartnerUnavailable("The partner did not renew this connection's token a moment ago; it is asked again after a while.", details)
