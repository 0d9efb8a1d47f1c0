"""The people of an account and their browsers in the console, and the audit log: what ``Repo`` says about them in terms of a ``Database``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from polyport.store.accounts import sign_outs
from polyport.store.base import Database, DbRow, Statement
from polyport.store.records import User
from polyport.store.rows import After, build, columns, params

_ID_BYTES: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSession:
    """A browser that is signed in to the console; only the SHA-256 of its secret is kept."""

    session_hash: bytes
    account_id: int
    user_id: int
    address: str
    browser: str
    created_at: int
    seen_at: int
    expires_at: int

    @property
    def session_id(self) -> str:
        """What it is called by: the beginning of its hash, by which nobody is signed in."""
        return self.session_hash[:_ID_BYTES].hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One entry of an account's audit log: ``actor`` did ``action`` to ``target``, and it ended with an HTTP ``status``.

    ``target_name`` is what the target was called then, ``change`` what became of it, where that is told.
    ``via`` is ``api``, ``console`` or ``command``. ``prior`` is the hash of the entry before, ``hash`` that of this one.
    """

    account_id: int
    sequence: int
    at: int
    via: str
    actor: str
    actor_name: str
    action: str
    target: str
    target_name: str
    change: str
    status: int
    address: str
    request_id: str
    prior: bytes
    hash: bytes


STRETCH: Final = 20_000  # entries that one statement looks at
LOOKED_AT_MOST: Final = 200_000  # and all of those for one page


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries are looked for; ``None`` means any. ``action`` is one with all that could be changed by it; ``target`` is a path and what is below it, or with ``*`` at its end all that begin so. Times are unix milliseconds, ``until`` is the first that is not meant."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    since: int | None = None
    until: int | None = None
    refused: bool | None = None

    def fits(self, entry: AuditEntry) -> bool:
        """Whether an entry is one of them."""
        return (
            self.actor in {None, entry.actor}
            and (self.action is None or entry.action == self.action or entry.action.startswith(f"{self.action} ("))
            and (self.since is None or entry.at >= self.since)
            and (self.until is None or entry.at < self.until)
            and self.refused in {None, entry.status >= 400}
            and (self.target is None or entry.target == self.target or self.below[0] < entry.target < self.below[1])
        )

    @property
    def below(self) -> tuple[str, str]:
        """What targets below the one that is meant lie between."""
        told = self.target or ""
        return (told[:-1], told[:-1] + "\U0010ffff") if told.endswith("*") else (f"{told}/", f"{told}0")

    @property
    def params(self) -> dict[str, object]:
        """As statements take it."""
        low, high = self.below
        named = {"actor": self.actor, "action": self.action, "target": (self.target or "").removesuffix("*"), "low": low, "high": high}
        return {**named, "since": self.since, "until": self.until, "refused": None if self.refused is None else int(self.refused)}


ALL: Final = AuditFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Entries that were found. ``floor`` is where looking stopped although there are older ones that were not looked at."""

    entries: list[AuditEntry]
    floor: int | None = None


def _entry(row: DbRow) -> AuditEntry:
    return AuditEntry(**dict(zip(columns(AuditEntry), row, strict=True)))


def _id_of(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


@dataclass(frozen=True, slots=True)
class ConsoleUsers:
    """The people who sign in for accounts, and the links by which they set a password."""

    database: Database

    async def of(self, account_id: int) -> list[User]:
        """All of an account."""
        rows = await self.database.read("users_of_account", {"account_id": account_id})
        return [User(**dict(zip(columns(User), row, strict=True))) for row in rows]

    async def add(self, user: User) -> User:
        """Make a user (the ``user_id`` is ignored). Raises ``Duplicate`` when the e-mail address is taken."""
        rows = await self.database.write(Statement(query="insert_user", params=params(user, "user_id"), expect=1))
        return replace(user, user_id=int(rows[0][0][0]))

    async def set_role(self, account_id: int, user_id: int, role: str) -> None:
        """Give a user another role; all sign-ins end. Raises ``Stale`` when there is no such user, or no other owner."""
        given = {"account_id": account_id, "user_id": user_id, "role": role}
        await self.database.write(Statement(query="set_role", params=given, expect=1), *sign_outs(user_id))

    async def delete(self, account_id: int, user_id: int) -> None:
        """Drop a user; all sign-ins end, API keys stay. Raises ``Stale`` when there is no such user, or no other owner."""
        given = {"account_id": account_id, "user_id": user_id}
        await self.database.write(
            *sign_outs(user_id), Statement(query="keep_keys_of_user", params=given), Statement(query="delete_user", params=given, expect=1)
        )

    async def put_link(self, user_id: int, link_hash: bytes, *, now: int, expires_at: int) -> None:
        """Keep a link by which a user sets a password; an older one ends."""
        given = {"user_id": user_id, "link_hash": link_hash, "created_at": now, "expires_at": expires_at}
        await self.database.write(Statement(query="put_console_link", params=given))

    async def by_link(self, link_hash: bytes, now: int) -> User | None:
        """The user whom a link is for."""
        return build(User, await self.database.read("console_link", {"link_hash": link_hash, "now": now}))

    async def use_link(self, user: User, link_hash: bytes, *, email: str, password_hash: str, now: int) -> None:
        """Use a link: the user has this e-mail address and this password from now on, and all sign-ins end.

        Raises ``Stale`` when the link was used already, ``Duplicate`` when the e-mail address is somebody else's.
        """
        await self.database.write(
            Statement(query="use_console_link", params={"link_hash": link_hash, "now": now}, expect=1),
            Statement(query="set_email", params={"user_id": user.user_id, "email": email.strip().lower()}, expect=1),
            Statement(query="set_password", params={"user_id": user.user_id, "password_hash": password_hash}, expect=1),
            *sign_outs(user.user_id),
        )


@dataclass(frozen=True, slots=True)
class ConsoleSessions:
    """Browsers that are signed in to the console."""

    database: Database

    async def insert(self, session: ConsoleSession, instead_of: bytes | None = None) -> None:
        """Keep a new session; the one that the same browser had before ends."""
        ended = () if instead_of is None else (Statement(query="delete_console_session", params={"session_hash": instead_of}),)
        await self.database.write(*ended, Statement(query="insert_console_session", params=params(session)))

    async def get(self, session_hash: bytes, *, now: int, idle_before: int) -> ConsoleSession | None:
        """A session that still stands."""
        given = {"session_hash": session_hash, "now": now, "idle_before": idle_before}
        return build(ConsoleSession, await self.database.read("console_session", given))

    async def of(
        self, user_id: int, *, now: int, idle_before: int, limit: int, offset: int, after: After | None = None
    ) -> tuple[list[ConsoleSession], int]:
        """A page of a user's sessions, the latest first, and how many there are. ``after``: when one began, and its id, to go on from."""
        given = {"user_id": user_id, "now": now, "idle_before": idle_before}
        before, session_id = after if after is not None else (None, "")
        place = {"limit": limit, "offset": offset, "before": before, "before_id": _id_of(str(session_id))}
        rows = await self.database.read("console_sessions_of_user", given | place)
        total = await self.database.read("count_console_sessions_of_user", given)
        return [ConsoleSession(**dict(zip(columns(ConsoleSession), row, strict=True))) for row in rows], int(total[0][0])

    async def end_one(self, user_id: int, session_id: str) -> None:
        """Sign a browser of a user out, by its id. Raises ``Stale`` where there is none."""
        given = {"user_id": user_id, "session_id": _id_of(session_id)}
        await self.database.write(Statement(query="delete_console_session_of_user", params=given, expect=1))

    async def see(self, session_hash: bytes, now: int) -> None:
        """Note that a browser was seen."""
        await self.database.write(Statement(query="see_console_session", params={"session_hash": session_hash, "now": now}))

    async def end(self, session_hash: bytes) -> None:
        """Sign a browser out."""
        await self.database.write(Statement(query="delete_console_session", params={"session_hash": session_hash}))


@dataclass(frozen=True, slots=True)
class AuditEntries:
    """The audit logs of accounts: entries are added at the end, and never changed."""

    database: Database

    async def last(self, account_id: int) -> AuditEntry | None:
        """The end of an account's chain."""
        return build(AuditEntry, await self.database.read("last_audit_entry", {"account_id": account_id}))

    async def add(self, entry: AuditEntry) -> None:
        """Add the next entry. Raises ``Duplicate`` when another process has added one of its number."""
        await self.database.write(Statement(query="insert_audit_entry", params=params(entry)))

    async def before(self, account_id: int, sequence: int, *, limit: int, wanted: AuditFilter = ALL) -> Looked:
        """Entries that fit before one of them, the latest first; those of a target by its index, others by looking through the chain, so far and no further."""
        given = {"account_id": account_id, "limit": limit, **wanted.params}
        if wanted.target is not None:
            return Looked(entries=self._made(await self.database.read("audit_entries_of_target", {**given, "before": sequence})))
        last = await self.last(account_id)
        top = lowest = min(sequence, last.sequence + 1 if last is not None else 1)
        found: list[AuditEntry] = []
        while lowest > 1 and len(found) < limit and top - lowest < LOOKED_AT_MOST:
            stretch = {"before": lowest, "floor": max(1, lowest - STRETCH), "limit": limit - len(found)}
            found += self._made(await self.database.read("audit_entries", {**given, **stretch}))
            lowest = stretch["floor"]
        return Looked(entries=found, floor=lowest if lowest > 1 and len(found) < limit else None)

    async def after(self, account_id: int, sequence: int, *, limit: int) -> list[AuditEntry]:
        """Entries after one of them, in order."""
        return self._made(await self.database.read("audit_entries_from", {"account_id": account_id, "after": sequence, "limit": limit}))

    def _made(self, rows: Sequence[DbRow]) -> list[AuditEntry]:
        return [_entry(row) for row in rows]
