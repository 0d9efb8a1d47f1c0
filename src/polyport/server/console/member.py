"""Who looks at the console: the session in the browser's cookie, the role, and the proof that a form is one of ours."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from polyport.console_users import scopes_of
from polyport.errors import Forbidden
from polyport.passwords import TokenPrefix, digest, new_token
from polyport.runtime import Runtime
from polyport.server.access import Principal
from polyport.server.console.packing import unmasked
from polyport.server.routing import Call
from polyport.store.console import ConsoleSession
from polyport.store.records import User

COOKIE: Final = "polyport_console"
SEEN_MS: Final = 60_000
FIELD: Final = "csrf"
HEADER: Final = "x-csrf-token"
OLD: Final = "This page is older than your sign-in, so nothing was done. Load it anew, then try again."
BROWSER_MOST: Final = 200
_SECRET: Final = re.compile(r"ppc_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A person who is signed in, in one browser. ``proof`` is what every form of the browser carries, masked; ``seal`` encrypts what the browser keeps for a page."""

    user: User
    session: ConsoleSession
    principal: Principal
    proof: str = field(repr=False)
    seal: bytes = field(repr=False)

    def may(self, scope: str) -> bool:
        """Whether the role has a scope; ``""`` is for everybody who is signed in."""
        return not scope or self.principal.may(scope)


def base_path(runtime: Runtime) -> str:
    """The path under which this server is reached, if it has none of its own to itself."""
    return urlsplit(runtime.settings.origin).path.rstrip("/")


async def find_member(call: Call) -> Member | None:
    """Who the browser's cookie says it is, if that still stands. The role is read anew each time: what an owner changes counts at once."""
    secret = call.http.cookies.get(COOKIE, "")
    if not _SECRET.fullmatch(secret):
        return None
    runtime = call.engine.runtime
    now, repo = runtime.now_ms(), runtime.repo
    session = await repo.console_sessions.get(digest(secret), now=now, idle_before=now - runtime.settings.console.idle * 1000)
    if session is None:
        return None
    user = await repo.accounts.user(session.account_id, session.user_id)
    if user is None:
        return None
    if now - session.seen_at > SEEN_MS:
        await repo.console_sessions.see(session.session_hash, now)
    return Member(
        user=user,
        session=session,
        principal=_principal(user, session),
        proof=proof_of(secret),
        seal=_made_of(secret, b"polyport console said"),
    )


def _principal(user: User, session: ConsoleSession) -> Principal:
    return Principal(
        account_id=user.account_id,
        user_id=user.user_id,
        kind="console",
        scopes=frozenset(scopes_of(user.role)),
        token_hash=session.session_hash,
        token_id=0,
        family="",
        expires_at=session.expires_at,
        name=user.email,
    )


async def begin_session(call: Call, user: User) -> str:
    """Sign a browser in: a secret that it never had before, whatever it came with; the ``Set-Cookie`` header."""
    runtime = call.engine.runtime
    before = call.http.cookies.get(COOKIE, "")
    secret, session_hash = new_token(TokenPrefix.CONSOLE)
    now, settings = runtime.now_ms(), runtime.settings.console
    session = ConsoleSession(
        session_hash=session_hash,
        account_id=user.account_id,
        user_id=user.user_id,
        address=call.address,
        browser=call.http.headers.get("user-agent", "")[:BROWSER_MOST],
        created_at=now,
        seen_at=now,
        expires_at=now + settings.lifetime * 1000,
    )
    await runtime.repo.console_sessions.insert(session, digest(before) if _SECRET.fullmatch(before) else None)
    return _cookie(runtime, secret, settings.lifetime)


def ended_cookie(runtime: Runtime) -> str:
    """The header that takes the cookie away."""
    return _cookie(runtime, "", 0)


def _cookie(runtime: Runtime, value: str, seconds: int) -> str:
    secure = "; Secure" if runtime.settings.origin.startswith("https:") else ""
    return f"{COOKIE}={value}; Path={base_path(runtime)}/console; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"


def proof_of(secret: str) -> str:
    """What a form of a browser carries to show that it is one of ours: made from the session's secret, so it ends with the session."""
    return base64.urlsafe_b64encode(_made_of(secret, b"polyport console form")).decode().rstrip("=")


def _made_of(secret: str, what: bytes) -> bytes:
    return hmac.new(secret.encode(), what, hashlib.sha256).digest()


def check_origin(call: Call) -> None:
    """Raise ``Forbidden`` for a form that another site's page sent, or that says not where it comes from: browsers always do."""
    headers = call.http.headers
    origin, host = headers.get("origin"), headers.get("host", "")
    site = headers.get("sec-fetch-site")
    own = {host, urlsplit(call.engine.runtime.settings.origin).netloc}
    if site is not None and site not in {"same-origin", "none"}:
        raise Forbidden("This form came from another site.")
    if origin is not None and urlsplit(origin).netloc not in own:
        raise Forbidden("This form came from another site.")
    if site is None and origin is None:
        raise Forbidden("This form does not say where it came from.")


def check_proof(member: Member, told: str) -> None:
    """Raise ``Forbidden`` for a form that is none of this session's."""
    if not hmac.compare_digest(unmasked(told).encode(), member.proof.encode()):
        raise Forbidden(OLD)
