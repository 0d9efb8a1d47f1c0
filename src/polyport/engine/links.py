"""Links by which customers connect: made, shown once, opened by their token, used once."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from polyport.engine.connect import NewConnection, Ready, choose_auth, made, prepare_connection, prepare_renewal, renewed
from polyport.engine.desk import Desk
from polyport.engine.record import encode
from polyport.errors import BlockedAddress, Conflict, LinkExpired, LinkUsed, NotFound, PartnerFault, PolyportError, ValidationFailed
from polyport.passwords import TokenPrefix, digest, new_token
from polyport.runtime import Runtime
from polyport.store.base import Stale
from polyport.store.records import Connection, Link, LinkStatus

LIFETIME_SECONDS: Final = 48 * 3600
LIFETIME_LEAST: Final = 60
LIFETIME_MOST: Final = 30 * 24 * 3600
TRIES_MOST: Final = 30
TRIES_SECONDS: Final = 900
KEPT_MOST: Final = 1_024
LEFT_LEAST_MS: Final = 24 * 3600 * 1000
_ERROR_LONGEST: Final = 500
_OPEN: Final = frozenset({LinkStatus.WAITING, LinkStatus.OPENED, LinkStatus.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLink:
    """What a caller says about a link. ``renews`` is the connection that it gives new secrets to, if it makes no new one; ``lifetime`` is in seconds."""

    account_id: int
    partner_id: int
    title: str
    renews: int | None = None
    external_user_id: str | None = None
    redirect_url: str | None = None
    callback_url: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    language: str | None = None
    lifetime: int = LIFETIME_SECONDS


async def create_link(runtime: Runtime, new: NewLink) -> tuple[Link, str]:
    """A new link and its token, which nobody can read again. Raises ``NotFound`` for a partner that there is not or that needs no connection."""
    partner = await runtime.catalog.seen_by(new.account_id).partner(new.partner_id)
    if partner.file.connection is None:
        raise NotFound(f"{partner.file.title} needs no connection.")
    token, token_hash = new_token(TokenPrefix.LINK)
    now = runtime.now_ms()
    link = Link(
        link_id=0,
        account_id=new.account_id,
        partner_id=new.partner_id,
        token_hash=token_hash,
        status=LinkStatus.WAITING,
        connection_id=new.renews,
        renews=new.renews is not None,
        title=new.title,
        external_user_id=new.external_user_id,
        redirect_url=new.redirect_url,
        callback_url=new.callback_url,
        metadata=encode(dict(new.metadata)).decode(),
        language=new.language,
        last_error=None,
        session_hash=None,
        created_at=now,
        expires_at=now + new.lifetime * 1000,
        opened_at=None,
        used_at=None,
    )
    return await runtime.repo.links.insert(link), token


async def regenerate_link(runtime: Runtime, link: Link, lifetime: int) -> tuple[Link, str]:
    """The link with another token, for so many seconds from now on; the old token ends. Raises ``LinkUsed`` or ``Conflict`` (revoked)."""
    token, token_hash = new_token(TokenPrefix.LINK)
    now = runtime.now_ms()
    try:
        await runtime.repo.links.regenerate(link, token_hash=token_hash, expires_at=now + lifetime * 1000)
    except Stale:
        raise await _ended(runtime, link) from None
    return await runtime.repo.links.get(link.account_id, link.link_id, now) or link, token


async def revoke_link(runtime: Runtime, link: Link) -> None:
    """End a link; one that is revoked already stays so. Raises ``LinkUsed``: what it led to is deleted by itself."""
    try:
        await runtime.repo.links.revoke(link)
    except Stale:
        error = await _ended(runtime, link)
        if isinstance(error, LinkUsed):
            raise error from None


async def _ended(runtime: Runtime, link: Link) -> PolyportError:
    """Why a link takes no change any more."""
    now = await runtime.repo.links.get(link.account_id, link.link_id, runtime.now_ms())
    if now is not None and now.status is LinkStatus.DONE:
        return LinkUsed("This link has been used: make a new one, or one that renews the connection with POST /credentials/{id}/reconnect.")
    return Conflict("This link was revoked: make a new one.")


async def find_link(runtime: Runtime, link_id: str, token: str) -> Link:
    """The link that a token opens, in whatever state. Raises ``NotFound``, in the same time whether the id or the token is wrong."""
    number = int(link_id) if link_id.isascii() and link_id.isdecimal() and len(link_id) <= 15 else 0
    link = await runtime.repo.links.find(number, runtime.now_ms())
    expected = link.token_hash if link is not None else bytes(32)
    if not hmac.compare_digest(digest(token[:512]), expected) or link is None:
        raise NotFound("There is no such link.")
    return link


def check_open(link: Link) -> None:
    """Raise ``LinkUsed`` or ``LinkExpired`` for a link that leads to nothing any more."""
    if link.status is LinkStatus.DONE:
        raise LinkUsed
    if link.status not in _OPEN:
        raise LinkExpired("This link has expired." if link.status is LinkStatus.EXPIRED else "This link is no longer valid.")


def finished_by(link: Link, session: str) -> bool:
    """Whether it was this browser that used the link."""
    return link.status is LinkStatus.DONE and link.session_hash is not None and hmac.compare_digest(digest(session), link.session_hash)


async def finish_by_fields(desk: Desk, link: Link, auth: str | None, fields: Mapping[str, Any], session: str) -> Connection:
    """Make (or renew) the connection that a link asks for from fields that the customer gave.

    Raises ``ValidationFailed``, a ``PartnerFault``, ``BlockedAddress``, ``LinkUsed``, ``LinkExpired``, ``Conflict`` or ``NotFound``; what the partner said is noted.
    """
    runtime = desk.runtime
    check_open(link)
    try:
        if link.renews:
            record = await renewed_record(runtime, link)
            partner = await runtime.catalog.seen_by(link.account_id).partner(link.partner_id)
            choice = choose_auth(partner, auth, fields)
            ready = await prepare_renewal(desk, record, choice, fields)
        else:
            ready = await prepare_connection(desk, new_connection(link, auth, fields))
    except ValidationFailed as error:
        if error.details.upstream is not None:
            await note_failure(runtime, link, error)
        raise
    except (PartnerFault, BlockedAddress) as error:
        await note_failure(runtime, link, error)
        raise
    return await use_link(desk, link, ready, session)


def new_connection(link: Link, auth: str | None, fields: Mapping[str, Any]) -> NewConnection:
    """The connection that a link asks for."""
    return NewConnection(
        account_id=link.account_id,
        partner_id=link.partner_id,
        title=link.title,
        fields=fields,
        auth=auth,
        external_user_id=link.external_user_id,
        metadata=json.loads(link.metadata),
    )


async def renewed_record(runtime: Runtime, link: Link) -> Connection:
    """The connection that a link renews. Raises ``LinkExpired`` when it is gone."""
    record = await runtime.repo.connections.get(link.account_id, link.connection_id or 0)
    if record is None:
        raise LinkExpired("The connection that this link was to renew is gone.")
    return record


async def note_failure(runtime: Runtime, link: Link, error: PolyportError) -> None:
    """Note on the link that a try came to nothing."""
    fault = error.details.fields[0].message if error.details.fields else error.message
    await runtime.repo.links.failed(link, fault[:_ERROR_LONGEST], runtime.now_ms())


async def use_link(desk: Desk, link: Link, ready: Ready, session: str) -> Connection:
    """Keep what a link led to and use it up, in one. Raises ``LinkUsed``, ``LinkExpired``, ``NotFound`` or ``Conflict``; nothing is kept then."""
    runtime = desk.runtime
    try:
        await runtime.repo.links.use(link, ready.record, ready.grant, session_hash=digest(session), now=runtime.now_ms())
    except Stale:
        held = await runtime.repo.links.find(link.link_id, runtime.now_ms())
        if held is None or held.token_hash != link.token_hash:
            raise NotFound("There is no such link.") from None
        check_open(held)
        raise Conflict("Somebody else changed this connection at the same time; try again.") from None
    if link.renews:
        return renewed(desk, ready)
    return made(desk, ready)


async def count_try(runtime: Runtime, link: Link) -> int:
    """Count one try by a link; how many milliseconds to wait, 0 while there are tries left."""
    now = runtime.now_ms()
    hits, ends_at = await runtime.repo.throttles.hit(f"link/{link.link_id}", window_ms=TRIES_SECONDS * 1000, now=now)
    return max(1_000, ends_at - now) if hits > TRIES_MOST else 0


class Reconnects:
    """Links that renew connections, for answers that say a connection is invalid: one is told again and again while it can be used.

    Their tokens stay in this process's memory alone.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._kept: OrderedDict[int, tuple[Link, str]] = OrderedDict()
        self._making = asyncio.Lock()

    async def url(self, account_id: int, connection_id: int) -> str | None:
        """Where the customer connects again; ``None`` for a connection that is gone."""
        runtime = self._runtime
        async with self._making:
            held = self._kept.get(connection_id)
            if held is not None and await self._serves(held[0]):
                return link_url(runtime, *held)
            record = await runtime.repo.connections.get(account_id, connection_id)
            if record is None:
                return None
            new = NewLink(
                account_id=account_id,
                partner_id=record.partner_id,
                title=record.title,
                renews=connection_id,
                external_user_id=record.external_user_id,
            )
            made = self._kept[connection_id] = await create_link(runtime, new)
            if len(self._kept) > KEPT_MOST:
                self._kept.popitem(last=False)
        return link_url(runtime, *made)

    async def _serves(self, link: Link) -> bool:
        """Whether a link still leads somewhere, for long enough."""
        now = self._runtime.now_ms()
        found = await self._runtime.repo.links.get(link.account_id, link.link_id, now)
        return (
            found is not None and found.token_hash == link.token_hash and found.status in _OPEN and found.expires_at - now > LEFT_LEAST_MS
        )


def link_url(runtime: Runtime, link: Link, token: str) -> str:
    """The address that a customer opens."""
    return f"{runtime.settings.origin}/connect?id={link.link_id}&token={token}"
