"""Accounts, users, tokens, tries at signing in, and files: what ``Repo`` says about them in terms of a ``Database``."""

from __future__ import annotations

from dataclasses import dataclass, replace

from polyport.store.base import Database, Statement
from polyport.store.records import Account, File, Token, User
from polyport.store.rows import build, params

_BUMP = Statement(query="bump_epoch")


def sign_outs(user_id: int) -> tuple[Statement, ...]:
    """What ends all sign-ins of a user, at the API and in the console."""
    return (
        Statement(query="delete_sessions_of_user", params={"user_id": user_id}),
        Statement(query="delete_console_sessions_of_user", params={"user_id": user_id}),
        _BUMP,
    )


@dataclass(frozen=True, slots=True)
class Accounts:
    """Accounts and the people who sign in for them."""

    database: Database

    async def reserve_id(self) -> int:
        """The id of an account that is about to be made."""
        rows = await self.database.write(Statement(query="reserve_account", expect=1))
        return int(rows[0][0][0])

    async def create(self, account: Account, *, email: str, password_hash: str) -> User:
        """Make an account with its first user, who owns it. Raises ``Duplicate`` when the e-mail address is taken."""
        user = User(
            user_id=0,
            account_id=account.account_id,
            email=email.strip().lower(),
            password_hash=password_hash,
            role="owner",
            created_at=account.created_at,
        )
        rows = await self.database.write(
            Statement(query="insert_account", params=params(account)),
            Statement(query="insert_user", params=params(user, "user_id"), expect=1),
        )
        return replace(user, user_id=int(rows[1][0][0]))

    async def count(self) -> int:
        """How many accounts there are."""
        return int((await self.database.read("count_accounts"))[0][0])

    async def get(self, account_id: int) -> Account | None:
        """One account."""
        return build(Account, await self.database.read("account", {"account_id": account_id}))

    async def all(self) -> list[Account]:
        """All accounts."""
        return [Account(**dict(zip(_ACCOUNT, row, strict=True))) for row in await self.database.read("all_accounts")]

    async def user_by_email(self, email: str) -> User | None:
        """The user who signs in with this e-mail address."""
        return build(User, await self.database.read("user_by_email", {"email": email.strip().lower()}))

    async def user(self, account_id: int, user_id: int) -> User | None:
        """One user of an account."""
        return build(User, await self.database.read("user", {"user_id": user_id, "account_id": account_id}))

    async def set_password(self, user_id: int, password_hash: str) -> None:
        """Give a user a new password and end all sign-ins."""
        await self.database.write(
            Statement(query="set_password", params={"user_id": user_id, "password_hash": password_hash}, expect=1), *sign_outs(user_id)
        )

    async def rehash_password(self, user: User, password_hash: str) -> None:
        """Keep another hash of the same password: no sign-in ends. Raises ``Stale`` when the password was changed meanwhile."""
        told = {"user_id": user.user_id, "password_hash": password_hash, "before": user.password_hash}
        await self.database.write(Statement(query="rehash_password", params=told, expect=1))


_ACCOUNT = ("account_id", "title", "data_key", "created_at")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Session tokens, refresh tokens and API keys; every revocation bumps the cache epoch."""

    database: Database

    async def insert(self, *tokens: Token) -> list[int]:
        """Keep new tokens (their ``token_id`` is ignored); all or none. Gives their ids."""
        rows = await self.database.write(*(Statement(query="insert_token", params=params(token, "token_id"), expect=1) for token in tokens))
        return [int(found[0][0]) for found in rows]

    async def replace_family(self, family: str, used: bytes, *tokens: Token) -> None:
        """Exchange a refresh token, once: end it with its sign-in and keep the new tokens. Raises ``Stale`` when it was used already."""
        await self.database.write(
            Statement(query="delete_token", params={"token_hash": used}, expect=1),
            Statement(query="delete_family", params={"family": family}),
            *(Statement(query="insert_token", params=params(token, "token_id"), expect=1) for token in tokens),
            _BUMP,
        )

    async def by_hash(self, token_hash: bytes) -> Token | None:
        """The token whose text has this hash."""
        return build(Token, await self.database.read("token_by_hash", {"token_hash": token_hash}))

    async def api_keys(self, account_id: int, *, limit: int, offset: int, before: int | None = None) -> tuple[list[Token], int]:
        """A page of an account's API keys, newest first, and how many there are. ``before``: the id to go on from."""
        rows = await self.database.read("api_keys", {"account_id": account_id, "limit": limit, "offset": offset, "before": before})
        total = await self.database.read("count_api_keys", {"account_id": account_id})
        return [token for row in rows if (token := build(Token, [row])) is not None], int(total[0][0])

    async def api_key(self, account_id: int, token_id: int) -> Token | None:
        """One API key of an account."""
        return build(Token, await self.database.read("api_key", {"account_id": account_id, "token_id": token_id}))

    async def revoke_api_key(self, account_id: int, token_id: int) -> None:
        """End an API key. Raises ``Stale`` when there is none."""
        await self.database.write(
            Statement(query="delete_api_key", params={"account_id": account_id, "token_id": token_id}, expect=1), _BUMP
        )

    async def revoke_family(self, family: str) -> None:
        """End a sign-in with all its tokens."""
        await self.database.write(Statement(query="delete_family", params={"family": family}), _BUMP)

    async def revoke_sessions(self, user_id: int) -> None:
        """End all sign-ins of a user, those of browsers as well; API keys live on."""
        await self.database.write(*sign_outs(user_id))

    async def touch(self, token_id: int, now: int) -> None:
        """Note that a token was used."""
        await self.database.write(Statement(query="touch_token", params={"token_id": token_id, "now": now}))

    async def tidy(self, before: int) -> None:
        """Drop tokens, sessions and windows of tries that ended before a time, a few at once."""
        await self.database.write(
            Statement(query="delete_expired_tokens", params={"before": before}),
            Statement(query="delete_old_throttles", params={"before": before}),
            Statement(query="delete_old_console_sessions", params={"before": before}),
        )

    async def epoch(self) -> int:
        """The present cache epoch; it moves whenever what a process keeps in memory may be out of date."""
        return int((await self.database.read("epoch"))[0][0])


@dataclass(frozen=True, slots=True)
class Throttles:
    """Durable counters of tries, in fixed windows."""

    database: Database

    async def hit(self, key: str, *, window_ms: int, now: int) -> tuple[int, int]:
        """Count one try: how many there are in the window now, and when the window ends (unix milliseconds)."""
        rows = await self.database.write(Statement(query="hit_throttle", params={"key": key, "window": window_ms, "now": now}, expect=1))
        hits, start = rows[0][0]
        return int(hits), int(start) + window_ms

    async def add(self, key: str, hits: int, *, start: int) -> int:
        """Count several tries in the window that began at ``start``: how many there are in it now."""
        rows = await self.database.write(Statement(query="add_throttle", params={"key": key, "hits": hits, "start": start}, expect=1))
        return int(rows[0][0][0])

    async def clear(self, key: str) -> None:
        """Forget the tries of a key."""
        await self.database.write(Statement(query="clear_throttle", params={"key": key}))


@dataclass(frozen=True, slots=True)
class Files:
    """Uploaded files, sealed."""

    database: Database

    async def insert(self, file: File) -> None:
        """Keep a file."""
        await self.database.write(Statement(query="insert_file", params=params(file)))

    async def get(self, account_id: int, file_id: str) -> File | None:
        """One file of an account."""
        return build(File, await self.database.read("file", {"account_id": account_id, "file_id": file_id}))

    async def delete(self, account_id: int, file_id: str) -> None:
        """Drop a file. Raises ``Stale`` when there is none."""
        given = {"account_id": account_id, "file_id": file_id}
        await self.database.write(Statement(query="delete_file", params=given, expect=1), Statement(query="note_erasure"))
