"""The customer's own users: what ``Repo`` says about them in terms of a ``Database``."""

from __future__ import annotations

from dataclasses import dataclass

from polyport.store.base import Database, DbRow, Statement
from polyport.store.records import EndUser, Token
from polyport.store.rows import columns, params


@dataclass(frozen=True, slots=True, kw_only=True)
class EndUserFilter:
    """What a list of end users is filtered by; ``None`` means any."""

    external_id: str | None = None
    external_id_like: str | None = None
    title: str | None = None
    title_like: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndUserChange:
    """What changes of an end user. ``title`` and ``email`` count where ``has_`` says so; ``metadata`` is JSON, ``None`` leaves it."""

    title: str | None = None
    has_title: bool = False
    email: str | None = None
    has_email: bool = False
    metadata: str | None = None


def _end_user(row: DbRow) -> EndUser:
    return EndUser(**dict(zip(columns(EndUser), row, strict=True)))


@dataclass(frozen=True, slots=True)
class EndUsers:
    """End users of accounts, and their tokens."""

    database: Database

    async def put(self, account_id: int, external_id: str, change: EndUserChange, now: int) -> EndUser:
        """The user with the customer's own id, made (``generation`` 1) or changed. Raises ``Stale`` while it is being deleted."""
        given = {"account_id": account_id, "external_id": external_id, "now": now, **params(change)}
        rows = await self.database.write(Statement(query="put_end_user", params=given, expect=1))
        return _end_user(rows[0][0])

    async def patch(self, account_id: int, end_user_id: int, change: EndUserChange, now: int) -> EndUser:
        """Change what the customer says about a user. Raises ``Stale`` when there is none, or it is being deleted."""
        given = {"account_id": account_id, "end_user_id": end_user_id, "now": now, **params(change)}
        rows = await self.database.write(Statement(query="patch_end_user", params=given, expect=1))
        return _end_user(rows[0][0])

    async def get(self, account_id: int, end_user_id: int) -> EndUser | None:
        """One end user of an account."""
        rows = await self.database.read("end_user", {"account_id": account_id, "end_user_id": end_user_id})
        return _end_user(rows[0]) if rows else None

    async def page(self, account_id: int, wanted: EndUserFilter, *, sort: str | None, limit: int, offset: int) -> tuple[list[EndUser], int]:
        """A page of end users and how many there are. ``sort``: ``title``, ``externalId`` or ``id``, each also with a ``-``; by id."""
        given = {"account_id": account_id, **params(wanted)}
        rows = await self.database.read("end_users", {**given, "sort": sort, "limit": limit, "offset": offset})
        total = await self.database.read("count_end_users", given)
        return [_end_user(row) for row in rows], int(total[0][0])

    async def insert_token(self, user: EndUser, token: Token) -> None:
        """Keep a token of a user (its ``token_id`` is ignored). Raises ``Stale`` when the user is gone or is being deleted."""
        holding = {"account_id": user.account_id, "end_user_id": user.end_user_id}
        await self.database.write(
            Statement(query="hold_end_user", params=holding, expect=1),
            Statement(query="insert_token", params=params(token, "token_id"), expect=1),
        )
