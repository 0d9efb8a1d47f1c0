"""The people of an account: their roles, and the links by which they set a password and come in."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Final

from polyport.errors import Conflict, Fault, NotFound, ValidationFailed
from polyport.passwords import TokenPrefix, digest, new_token
from polyport.settings import Settings
from polyport.store.base import Duplicate, Stale
from polyport.store.records import User
from polyport.store.repo import Repo

OWNER: Final = "owner"
PLACEHOLDER: Final = (
    "admin@localhost"  # the address of a first owner whom nobody named: a first start gives it, and that owner's link another one
)
_READS: Final = ("catalog:read", "connections:read", "runs:read")
# What each role may do, in the scopes of the API: the console asks for the same ones.
ROLE_SCOPES: Final[Mapping[str, tuple[str, ...]]] = {
    OWNER: ("admin",),
    "developer": (*_READS, "connections:write", "runs:write"),
    "viewer": _READS,
}
LINK_SECONDS: Final = 72 * 3600
LINK_GONE: Final = "This link was used already or has ended: ask an owner for another one."
EMAIL_LONGEST: Final = 320
_ORIGIN: Final = "origin"  # a file of the data folder
_EMAIL: Final = re.compile(r"[^\s@<>\"]{1,64}@[^\s@<>\"]{1,255}")


def scopes_of(role: str) -> tuple[str, ...]:
    """The scopes of a role."""
    return ROLE_SCOPES[role]


def read_email(text: str, path: str = "email") -> str:
    """An e-mail address as it is kept. Raises ``ValidationFailed``."""
    email = text.strip().lower()
    if len(email) > EMAIL_LONGEST or not _EMAIL.fullmatch(email) or not email.isprintable():
        raise ValidationFailed.of(
            Fault(path=path, code="wrong_format", message="An e-mail address is needed here, such as ada@example.com.")
        )
    return email


def check_role(role: str, path: str = "role") -> str:
    """A role that there is. Raises ``ValidationFailed``."""
    if role not in ROLE_SCOPES:
        raise ValidationFailed.of(Fault(path=path, code="unknown_option", message=f"A role is one of: {', '.join(ROLE_SCOPES)}."))
    return role


_LAST: Final = "This is the last owner who can sign in: make somebody else an owner first, and let them come in by their link."


async def add_user(repo: Repo, account_id: int, email: str, role: str, now: int) -> User:
    """Make a user who has no password yet. Raises ``ValidationFailed``, or ``Conflict`` when the e-mail address is taken."""
    made = User(user_id=0, account_id=account_id, email=read_email(email), password_hash="", role=check_role(role), created_at=now)
    try:
        return await repo.console_users.add(made)
    except Duplicate:
        raise Conflict("There is a user with this e-mail address already.") from None


def note_origin(settings: Settings) -> None:
    """Note in the data folder where this server is, for commands beside it: they know the settings, and not the --port that it was started with."""
    with contextlib.suppress(OSError):  # a disk that is full stops no server here
        (settings.data / _ORIGIN).write_text(settings.origin, "utf-8")


def at_server(settings: Settings) -> tuple[Settings, bool]:
    """The settings with the address at which the server was last; whether that is known."""
    if settings.public_url:
        return settings, True
    try:
        noted = (settings.data / _ORIGIN).read_text("utf-8").strip()
    except (OSError, UnicodeError):
        return settings, False
    return settings.model_copy(update={"public_url": noted}) if noted else settings, bool(noted)


async def new_link(repo: Repo, settings: Settings, user: User, now: int) -> tuple[str, int]:
    """A link by which a user sets a password and comes in, once, and when it ends (unix milliseconds); an older link of the user ends now."""
    text, link_hash = new_token(TokenPrefix.WELCOME)
    expires_at = now + LINK_SECONDS * 1000
    await repo.console_users.put_link(user.user_id, link_hash, now=now, expires_at=expires_at)
    return f"{settings.origin}/console/welcome?token={text}", expires_at


async def user_of_link(repo: Repo, token: str, now: int) -> User:
    """The user whom a link is for. Raises ``NotFound`` for one that was used, has ended or never was."""
    user = await repo.console_users.by_link(digest(token[:200]), now)
    if user is None:
        raise NotFound(LINK_GONE)
    return user


async def change_role(repo: Repo, account_id: int, user_id: int, role: str) -> User:
    """Give a user another role; all sign-ins of the user end. Raises ``NotFound``, or ``Conflict`` for the last owner."""
    user = await _user(repo, account_id, user_id)
    try:
        await repo.console_users.set_role(account_id, user.user_id, check_role(role))
    except Stale:
        raise Conflict(_LAST) from None
    return await _user(repo, account_id, user_id)


async def remove_user(repo: Repo, account_id: int, user_id: int) -> None:
    """Drop a user. Raises ``NotFound``, or ``Conflict`` for the last owner."""
    await _user(repo, account_id, user_id)
    try:
        await repo.console_users.delete(account_id, user_id)
    except Stale:
        raise Conflict(_LAST) from None


async def _user(repo: Repo, account_id: int, user_id: int) -> User:
    user = await repo.accounts.user(account_id, user_id)
    if user is None:
        raise NotFound("There is no user with this id.")
    return user
