"""Who is calling: tokens and API keys, their scopes, and signing in."""

from __future__ import annotations

import base64
import binascii
import contextlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import anyio
import anyio.to_thread
from starlette.requests import Request as HttpRequest

from polyport.console_users import LINK_GONE, PLACEHOLDER, read_email, scopes_of, user_of_link
from polyport.errors import Details, Fault, Forbidden, NotFound, RateLimited, TokenExpired, Unauthenticated, ValidationFailed
from polyport.net.parties import party_of
from polyport.passwords import TokenPrefix, digest, hash_password, needs_rehash, new_token, verify_password
from polyport.runtime import Runtime
from polyport.server.wire import header as read_header
from polyport.store.base import Duplicate, Stale
from polyport.store.records import Token, User

SCOPES: Final = ("catalog:read", "connections:read", "connections:write", "runs:read", "runs:write", "admin")
END_USER_SCOPES: Final = SCOPES[:-1]
KEPT_MOST: Final = 10_000
KEPT_MS: Final = 60_000
TOUCH_MS: Final = 60_000
LONGEST_TOKEN: Final = 512
HASHES_AT_ONCE: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is calling: an account, for it maybe one of its users, or an end user of the customer; and what the token may do."""

    account_id: int
    user_id: int | None
    kind: str
    scopes: frozenset[str]
    token_hash: bytes
    token_id: int
    family: str
    expires_at: int | None
    external_user_id: str | None = None
    name: str = ""

    def may(self, scope: str) -> bool:
        """Whether the token has a scope; ``admin`` holds all."""
        return scope in self.scopes or "admin" in self.scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """The tokens of a sign-in; shown once."""

    token: str
    refresh_token: str
    expires_at: int


class Access:
    """Authenticates calls. What it has seen stays in memory for a minute at most, and goes when anything is revoked."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._kept: OrderedDict[str, tuple[int, Principal]] = OrderedDict()
        self._touched: dict[int, int] = {}

    @cached_property
    def _hashing(self) -> anyio.CapacityLimiter:
        """How many passwords are looked at at the same time. With the first one: it brings along what a start does without."""
        return anyio.CapacityLimiter(HASHES_AT_ONCE)

    def forget(self) -> None:
        """Drop what is kept: something was revoked."""
        self._kept.clear()

    def known(self, request: HttpRequest) -> Principal | None:
        """The caller of a request whose token was seen a moment ago, and of which nothing has to be noted: nearly every one."""
        held = self._kept.get(read_header(request, b"authorization") or "")
        if held is None:
            return None
        now, principal = self._runtime.now_ms(), held[1]
        if now - held[0] >= KEPT_MS or (principal.expires_at is not None and principal.expires_at <= now):
            return None
        return principal if principal.kind != "api_key" or now - self._touched.get(principal.token_id, 0) <= TOUCH_MS else None

    async def authenticate(self, request: HttpRequest) -> Principal:
        """The caller of a request. Raises ``Unauthenticated`` or ``TokenExpired``."""
        header = read_header(request, b"authorization")
        if header is None:
            raise Unauthenticated
        now = self._runtime.now_ms()
        held = self._kept.get(header)
        if held is not None and now - held[0] < KEPT_MS:
            principal = held[1]
        else:
            principal = await self._find(token_of(header))
            self._kept[header] = (now, principal)
            if len(self._kept) > KEPT_MOST:
                self._kept.popitem(last=False)
        if principal.expires_at is not None and principal.expires_at <= now:
            raise TokenExpired
        if principal.kind == "api_key" and now - self._touched.get(principal.token_id, 0) > TOUCH_MS:
            self._touched[principal.token_id] = now
            await self._runtime.repo.tokens.touch(principal.token_id, now)
        return principal

    async def _find(self, text: str) -> Principal:
        token = await self._runtime.repo.tokens.by_hash(digest(text))
        if token is None or token.kind == "refresh":
            raise Unauthenticated("This token is not valid: sign in again.")
        return Principal(
            account_id=token.account_id,
            user_id=token.user_id,
            kind=token.kind,
            scopes=frozenset(token.scopes.split()),
            token_hash=token.token_hash,
            token_id=token.token_id,
            family=token.family,
            expires_at=token.expires_at,
            external_user_id=token.external_user_id,
            name=token.title,
        )

    async def sign_in(self, email: str, password: str, address: str) -> SignedIn:
        """Tokens for an e-mail address and a password. A wrong one and an unknown one answer alike, in the same time.

        Raises ``Unauthenticated``, or ``RateLimited`` after too many tries for the e-mail address or from the client's address.
        """
        return await self._new_tokens(await self.check_password(email, password, address))

    async def check_password(self, email: str, password: str, address: str) -> User:
        """The user of an e-mail address and a password. Raises what ``sign_in`` raises."""
        await self._count_try(email, address)
        user = await self._runtime.repo.accounts.user_by_email(email)
        stored = user.password_hash if user is not None else None
        right = await anyio.to_thread.run_sync(verify_password, stored, password, limiter=self._hashing)
        if user is None or not right:
            raise Unauthenticated("The e-mail address or the password is wrong.")
        await self._runtime.repo.throttles.clear(_by_email(email))
        if needs_rehash(user.password_hash):
            await self._rehash(user, password)
        return user

    async def _rehash(self, user: User, password: str) -> None:
        stronger = await anyio.to_thread.run_sync(hash_password, password, limiter=self._hashing)
        with contextlib.suppress(Stale):  # the password was changed meanwhile: the new one stays
            await self._runtime.repo.accounts.rehash_password(user, stronger)

    async def _count_try(self, email: str, address: str) -> None:
        settings = self._runtime.settings.login
        now, window = self._runtime.now_ms(), settings.window * 1000
        for key, most in ((_by_email(email), settings.attempts), (f"sign-in/address/{party_of(address)}", settings.attempts_per_address)):
            hits, ends_at = await self._runtime.repo.throttles.hit(key, window_ms=window, now=now)
            if hits > most:
                wait = max(1_000, ends_at - now)
                seconds = -(-wait // 1000)
                headers = (("RateLimit", f'"sign-in";r=0;t={seconds}'), ("RateLimit-Policy", f'"sign-in";q={most};w={settings.window}'))
                raise RateLimited("Too many tries to sign in: wait, then try again.", Details(retry_after_ms=wait, headers=headers))

    async def refresh(self, refresh_token: str) -> SignedIn:
        """New tokens for a refresh token, which ends with this. Raises ``Unauthenticated`` or ``TokenExpired``."""
        repo = self._runtime.repo
        found = await repo.tokens.by_hash(digest(refresh_token[:LONGEST_TOKEN]))
        if found is None or found.kind != "refresh" or found.user_id is None:
            raise Unauthenticated("This refresh token is not valid: sign in again.")
        if found.expires_at is not None and found.expires_at <= self._runtime.now_ms():
            raise TokenExpired
        user = await repo.accounts.user(found.account_id, found.user_id)
        if user is None:
            raise Unauthenticated("This refresh token is not valid: sign in again.")
        signed, tokens = self._made(user)
        try:
            await repo.tokens.replace_family(found.family, found.token_hash, *tokens)
        except Stale:
            raise Unauthenticated("This refresh token was used already: sign in again.") from None
        self.forget()
        return signed

    async def sign_out(self, principal: Principal) -> None:
        """End the sign-in of a session token or of a browser, or the token of an end user. Raises ``Forbidden`` for an API key: keys are deleted, not signed out."""
        if principal.kind == "console":
            await self._runtime.repo.console_sessions.end(principal.token_hash)
            return
        if principal.kind not in {"session", "end_user"}:
            raise Forbidden("An API key is ended with DELETE /api-keys/{id}.")
        await self._runtime.repo.tokens.revoke_family(principal.family)
        self.forget()

    async def change_password(self, principal: Principal, old: str, new: str, address: str) -> None:
        """A new password; all sign-ins of the user end. Raises ``Unauthenticated``, ``Forbidden``, ``RateLimited`` or ``ValidationFailed``."""
        if principal.kind not in {"session", "console"} or principal.user_id is None:
            raise Forbidden("This token has no password: sign in to change yours.")
        user = await self._runtime.repo.accounts.user(principal.account_id, principal.user_id)
        if user is None:
            raise Unauthenticated
        await self._count_try(user.email, address)
        if not await anyio.to_thread.run_sync(verify_password, user.password_hash, old, limiter=self._hashing):
            raise Unauthenticated("The present password is wrong.")
        stronger = await anyio.to_thread.run_sync(lambda: hash_password(new, path="newPassword"), limiter=self._hashing)
        await self._runtime.repo.accounts.set_password(user.user_id, stronger)
        await self._runtime.repo.throttles.clear(_by_email(user.email))
        self.forget()

    async def welcome(self, token: str, password: str, email: str | None) -> tuple[User, User]:
        """Let the user of a link come in, once: with a password of its own and, where it has none yet, an e-mail address. Gives the user as it was and as it is.

        Raises ``NotFound``, or ``ValidationFailed``.
        """
        repo, now = self._runtime.repo, self._runtime.now_ms()
        user = await user_of_link(repo, token, now)
        chosen = user.email
        if email is not None and user.email == PLACEHOLDER:
            chosen = read_email(email)
        elif email is not None and email.strip().lower() != user.email:
            raise ValidationFailed.of(Fault(path="email", code="not_allowed", message=f"This link is for {user.email}: leave email out."))
        hashed = await anyio.to_thread.run_sync(hash_password, password, limiter=self._hashing)
        try:
            await repo.console_users.use_link(user, digest(token), email=chosen, password_hash=hashed, now=now)
        except Stale:
            raise NotFound(LINK_GONE) from None
        except Duplicate:
            raise ValidationFailed.of(Fault(path="email", code="taken", message="Somebody else has this e-mail address.")) from None
        self.forget()
        return user, replace(user, email=chosen, password_hash=hashed)

    async def _new_tokens(self, user: User) -> SignedIn:
        signed, tokens = self._made(user)
        await self._runtime.repo.tokens.insert(*tokens)
        return signed

    def _made(self, user: User) -> tuple[SignedIn, tuple[Token, Token]]:
        now, settings = self._runtime.now_ms(), self._runtime.settings.login
        family = secrets.token_hex(16)
        text, token_hash = new_token(TokenPrefix.SESSION)
        refresh_text, refresh_hash = new_token(TokenPrefix.REFRESH)
        session = Token(
            token_id=0,
            token_hash=token_hash,
            kind="session",
            account_id=user.account_id,
            user_id=user.user_id,
            family=family,
            title="",
            prefix=text[:8],
            scopes=" ".join(scopes_of(user.role)),
            created_at=now,
            expires_at=now + settings.token_lifetime * 1000,
            last_used_at=None,
        )
        refresh = Token(
            token_id=0,
            token_hash=refresh_hash,
            kind="refresh",
            account_id=user.account_id,
            user_id=user.user_id,
            family=family,
            title="",
            prefix=refresh_text[:8],
            scopes="",
            created_at=now,
            expires_at=now + settings.refresh_lifetime * 1000,
            last_used_at=None,
        )
        expires = session.expires_at or now
        return SignedIn(token=text, refresh_token=refresh_text, expires_at=expires), (session, refresh)


def token_of(header: str) -> str:
    """The token of an ``Authorization`` header: ``Bearer T``, ``Basic base64("T:")`` or ``Basic T``. Raises ``Unauthenticated``."""
    scheme, _, rest = header.partition(" ")
    text = rest.strip()
    if not text or len(text) > LONGEST_TOKEN:
        raise Unauthenticated
    if scheme.lower() == "bearer":
        return text
    if scheme.lower() != "basic":
        raise Unauthenticated
    if text.startswith(tuple(prefix.value for prefix in TokenPrefix)):
        return text
    try:
        decoded = base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return text
    return decoded.partition(":")[0]


def _by_email(email: str) -> str:
    """The throttle of an e-mail address; hashed, since what people type there may be anything, passwords included."""
    return f"sign-in/email/{digest(email.strip().lower()).hex()}"
