"""Signing in at the partner: the way there, and what becomes of those who come back (RFC 6749, section 4.1; RFC 7636; RFC 9207; RFC 9700).

An attempt is bound to its link and to the browser that began it, serves once, and lasts ten minutes. Only the hash of its ``state`` is kept; what it needs to
go on is sealed.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec
import structlog

from polyport.apps import OpenedApp
from polyport.engine.caller import Caller, GrantHolder, HeldGrant, with_app, with_grant
from polyport.engine.calls import prove
from polyport.engine.connect import Proved, Ready, ready_connection, ready_renewal
from polyport.engine.desk import Desk
from polyport.engine.grants import drive
from polyport.engine.links import check_open, new_connection, note_failure, renewed_record, use_link
from polyport.engine.trace import CallFailed, sentence
from polyport.errors import (
    BlockedAddress,
    Conflict,
    ConnectionInvalid,
    Fault,
    LinkExpired,
    LinkUsed,
    NotFound,
    PartnerError,
    PartnerFault,
    PolyportError,
    ValidationFailed,
)
from polyport.kinds.auth.oauth2 import OAuth2
from polyport.manifest.model import AuthChoice, Partner
from polyport.passwords import digest
from polyport.runtime import Runtime
from polyport.store.base import Stale
from polyport.store.records import Link, SignIn
from polyport.template import RenderFault
from polyport.vault import VaultFault

ATTEMPT_SECONDS: Final = 600
GRANTED: Final = "grantedScopes"  # no field of a partner's file can have this name
CODE_LONGEST: Final = 8_192
_TOLD_MOST: Final = 300
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_log: Final = structlog.get_logger("polyport.sign_in")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who signs in: the token of the link, the secret of the browser, the language of its page."""

    token: str = field(repr=False)
    session: str = field(repr=False)
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    """What came back from the partner in the address, unchecked. ``doubled``: something in it stood twice."""

    state: str = field(repr=False)
    code: str | None = field(repr=False)
    error: str | None
    description: str | None
    issuer: str | None
    doubled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """Where the customer goes on: the page of the link, with a problem by its name if there was one."""

    link_id: int
    token: str = field(repr=False)
    language: str
    auth: str
    problem: str | None = None


class SignInLost(Exception):
    """No attempt of this browser is known by what came back: nothing is done, and nothing is told."""


class _Attempt(msgspec.Struct, kw_only=True):
    """What an attempt needs to go on; sealed."""

    token: str
    language: str
    auth: str
    fields: dict[str, Any]
    scopes: list[str]
    chosen: list[str] | None
    verifier: str
    issuer: str | None
    names_issuer: bool


async def serving_app(runtime: Runtime, account_id: int, partner: Partner, choice: AuthChoice) -> OpenedApp | None:
    """The OAuth app by which an account's customers sign in, if there is one that can be used."""
    try:
        return await runtime.apps.serving(account_id, partner, choice.name)
    except ConnectionInvalid as error:
        _log.error("an OAuth app cannot be opened", partner=partner.file.slug, reason=error.message)
        return None


async def begin_sign_in(
    desk: Desk, link: Link, choice: AuthChoice, fields: Mapping[str, Any], chosen: Sequence[str], visitor: Visitor
) -> str:
    """The address at the partner where the customer signs in. ``fields`` are checked, ``chosen`` are scopes of ``OpenedApp.choices``; others are passed over.

    Raises ``Conflict`` where nothing is set up, ``ValidationFailed`` for fields that make no address, ``PartnerFault`` when the partner does not say where to go.
    """
    runtime = desk.runtime
    partner = await runtime.catalog.seen_by(link.account_id).partner(link.partner_id)
    app = await serving_app(runtime, link.account_id, partner, choice)
    scheme = choice.scheme
    if app is None or not isinstance(scheme, OAuth2):
        raise Conflict("Signing in at the partner is not set up.")
    offered = app.choices(scheme)
    added = [scope for scope in offered if scope in chosen]
    scopes = list(dict.fromkeys([*app.scopes(scheme), *added]))
    caller = with_app(desk.caller(partner, choice.name, fields), app.material, app.secrets)
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    try:
        endpoints = await drive(caller, scheme.endpoints(caller.material, caller.moment), [])
        url = scheme.authorization_url(
            caller.material, endpoints, redirect_uri=runtime.settings.redirect_uri, state=state, verifier=verifier, scopes=scopes
        )
    except CallFailed as failed:
        await note_failure(runtime, link, failed.failure.error)
        raise failed.failure.error from None
    except RenderFault as error:
        raise ValidationFailed.of(Fault(path="fields", code="invalid_address", message=sentence(error))) from None
    attempt = _Attempt(
        token=visitor.token,
        language=visitor.language,
        auth=choice.name,
        fields=dict(fields),
        scopes=scopes,
        chosen=added if offered else None,
        verifier=verifier,
        issuer=endpoints.issuer,
        names_issuer=endpoints.names_issuer,
    )
    state_hash, now = digest(state), runtime.now_ms()
    box = await desk.box(link.account_id)
    await runtime.repo.sign_ins.insert(
        SignIn(
            state_hash=state_hash,
            link_id=link.link_id,
            account_id=link.account_id,
            token_hash=link.token_hash,
            session_hash=digest(visitor.session),
            sealed=box.seal(_ENCODER.encode(attempt), _context(state_hash)),
            used_at=None,
            created_at=now,
            expires_at=now + ATTEMPT_SECONDS * 1000,
        )
    )
    return url


def _context(state_hash: bytes) -> str:
    return f"sign-in/{state_hash.hex()}"


async def finish_sign_in(desk: Desk, back: Back, session: str) -> Landing:
    """Make (or renew) the connection that a sign-in was for. Raises ``SignInLost``; everything else is told on the page that the customer lands on."""
    runtime = desk.runtime
    held, attempt = await _found(desk, back.state, session)
    landing = Landing(link_id=held.link_id, token=attempt.token, language=attempt.language, auth=attempt.auth)
    now = runtime.now_ms()
    link = await runtime.repo.links.find(held.link_id, now)
    if link is None or link.token_hash != held.token_hash or not _is_open(link):
        return landing  # the page of the link says why, or shows the end to the browser that came to it
    if held.expires_at <= now:
        return replace(landing, problem="sign_in_expired")
    try:
        await runtime.repo.sign_ins.use(held.state_hash, now)
    except Stale:
        return replace(landing, problem="sign_in_repeated")
    partner = await runtime.catalog.seen_by(link.account_id).partner(link.partner_id)
    try:
        ready = await _exchanged(desk, link, partner, attempt, _granted_code(back, attempt, partner))
    except _Problem as problem:
        await note_failure(runtime, link, problem.error)
        return replace(landing, problem=problem.name)
    except (PartnerFault, BlockedAddress, ConnectionInvalid, ValidationFailed) as error:
        await note_failure(runtime, link, error)
        return replace(
            landing, problem=error.code if isinstance(error, PartnerFault) and not isinstance(error, PartnerError) else "sign_in_refused"
        )
    except LinkExpired:
        return landing
    try:
        await use_link(desk, link, ready, session)
    except (LinkUsed, LinkExpired, NotFound):
        return landing
    except Conflict:
        return replace(landing, problem="conflict")
    return landing


async def _found(desk: Desk, state: str, session: str) -> tuple[SignIn, _Attempt]:
    held = await desk.runtime.repo.sign_ins.find(digest(state))
    if held is None or not hmac.compare_digest(digest(session), held.session_hash):
        raise SignInLost
    try:
        box = await desk.box(held.account_id)
        return held, msgspec.json.decode(box.open(held.sealed, _context(held.state_hash)), type=_Attempt)
    except VaultFault:
        raise SignInLost from None


def _is_open(link: Link) -> bool:
    try:
        check_open(link)
    except PolyportError:
        return False
    return True


class _Problem(Exception):
    """A sign-in that came to nothing: what the customer's page calls it, and what is noted for who made the link."""

    def __init__(self, name: str, error: PolyportError) -> None:
        super().__init__(name)
        self.name = name
        self.error = error


def _granted_code(back: Back, attempt: _Attempt, partner: Partner) -> str:
    """The code that came back, once it is clear whose answer it is. Raises ``_Problem``."""
    title = partner.file.title
    if back.doubled:
        raise _Problem("sign_in_mixed_up", PartnerError("What came back from the sign-in has a parameter twice."))
    expected = attempt.issuer
    if expected is not None and (back.issuer != expected if back.issuer is not None else attempt.names_issuer):
        raise _Problem(
            "sign_in_mixed_up", PartnerError(f"The answer of the sign-in is not one of {title}: it names another issuer, or none.")
        )
    if back.error is not None:
        told = " ".join(part for part in (_clean(back.error), _clean(back.description or "")) if part)
        if back.error == "access_denied":
            raise _Problem("sign_in_denied", PartnerError(f"The customer gave no access at {title}: {told}"))
        down = back.error in {"temporarily_unavailable", "server_error"}
        raise _Problem("partner_unavailable" if down else "sign_in_refused", PartnerError(f"{title} ended the sign-in: {told}"))
    if not back.code or len(back.code) > CODE_LONGEST:
        raise _Problem("sign_in_refused", PartnerError(f"{title} sent the customer back without a code."))
    return back.code


def _clean(text: str) -> str:
    """Words from an address as they may be noted: one line, not long."""
    return " ".join("".join(char if char.isprintable() else " " for char in text[:_TOLD_MOST]).split())


async def _exchanged(desk: Desk, link: Link, partner: Partner, attempt: _Attempt, code: str) -> Ready:
    """The connection that a code leads to, proved and not kept yet. Raises ``_Problem`` or the error of the call that failed."""
    spec = partner.file.connection
    choice = next((each for each in (spec.auth if spec is not None else ()) if each.name == attempt.auth), None)
    app = await serving_app(desk.runtime, link.account_id, partner, choice) if choice is not None else None
    if choice is None or app is None or not isinstance(choice.scheme, OAuth2):
        raise _Problem("sign_in_refused", Conflict(f"There is no OAuth app for {partner.file.title} any more."))
    caller = with_app(desk.caller(partner, choice.name, attempt.fields), app.material, app.secrets)
    uri = desk.runtime.settings.redirect_uri
    asking = choice.scheme.exchange_code(caller.material, caller.moment, code=code, redirect_uri=uri, verifier=attempt.verifier)
    started = caller.clock().timestamp()
    try:
        grant = await drive(caller, asking, [])
    except CallFailed as failed:
        raise failed.failure.error from None
    except RenderFault as error:
        raise _Problem("sign_in_refused", Conflict(sentence(error))) from None
    held = HeldGrant(grant=grant, renew_at=grant.renew_at(started))
    proved = await _proved(caller, held)
    fields = {**attempt.fields, **proved.learned}
    if attempt.chosen is not None:
        fields[GRANTED] = attempt.scopes
    if link.renews:
        ready = ready_renewal(desk, partner, await renewed_record(desk.runtime, link), choice, fields, proved)
    else:
        ready = await ready_connection(desk, new_connection(link, choice.name, fields), choice, fields, proved)
    return replace(ready, grant=desk.runtime.connections.seal_grant(ready.record, grant, now=desk.runtime.now_ms()))


async def _proved(caller: Caller, held: HeldGrant) -> Proved:
    holder = GrantHolder(held=held)
    proof = await prove(with_grant(msgspec.structs.replace(caller, grants=holder), held))
    return Proved(account=proof.account, learned=proof.learned, grants=holder)
