"""The customer's own users: what ``Repo`` says about them in terms of a ``Database``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from polyport.store.base import Database, DbRow, Statement
from polyport.store.records import EndUser, Token
from polyport.store.rows import After, columns, params, params_after

_BUMP: Final = Statement(query="bump_epoch")
_ERASED: Final = Statement(query="note_erasure")
ROWS_AT_ONCE: Final = 100
FILES_AT_ONCE: Final = 10


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
    """End users of accounts, their tokens, and how they are deleted: unit by unit, each of which can be the last before a crash."""

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

    async def page(
        self, account_id: int, wanted: EndUserFilter, *, sort: str | None, limit: int, offset: int, after: After | None = None
    ) -> tuple[list[EndUser], int]:
        """A page of end users and how many there are. ``sort``: ``title``, ``externalId`` or ``id``, each also with a ``-``; by id. ``after``: what sorts, and the id."""
        given = {"account_id": account_id, **params(wanted)}
        rows = await self.database.read("end_users", {**given, "sort": sort, "limit": limit, "offset": offset, **params_after(after)})
        total = await self.database.read("count_end_users", given)
        return [_end_user(row) for row in rows], int(total[0][0])

    async def insert_token(self, user: EndUser, token: Token) -> None:
        """Keep a token of a user (its ``token_id`` is ignored). Raises ``Stale`` when the user is gone or is being deleted."""
        holding = {"account_id": user.account_id, "end_user_id": user.end_user_id}
        await self.database.write(
            Statement(query="hold_end_user", params=holding, expect=1),
            Statement(query="insert_token", params=params(token, "token_id"), expect=1),
        )

    async def begin_deletion(self, user: EndUser, *, mark: str, now: int) -> None:
        """Note that a user is to be deleted and end its tokens. ``mark`` will stand in its runs. Raises ``Stale`` when that is so already."""
        given = {"account_id": user.account_id, "end_user_id": user.end_user_id, "mark": mark, "now": now}
        await self.database.write(
            Statement(query="begin_deletion", params=given, expect=1), Statement(query="delete_tokens_of_user", params=_of(user)), _BUMP
        )

    async def being_deleted(self) -> list[EndUser]:
        """Users whose deletion was begun, a hundred at most."""
        return [_end_user(row) for row in await self.database.read("users_being_deleted")]

    async def connections(self, user: EndUser) -> list[int]:
        """Ids of some connections of a user."""
        rows = await self.database.read("connections_of_user", {**_of(user), "limit": ROWS_AT_ONCE})
        return [int(row[0]) for row in rows]

    async def delete_links(self, user: EndUser) -> None:
        """Drop the links of a user, a few in each unit."""
        while await self._some(user, "delete_links_of_user", ROWS_AT_ONCE):
            pass

    async def delete_events(self, user: EndUser) -> None:
        """Drop what was told, or is still to be told, of a user, a few in each unit; that a connection was deleted is still told."""
        while await self._some(user, "delete_events_of_user", ROWS_AT_ONCE):
            pass

    async def delete_files(self, user: EndUser) -> None:
        """Drop the files of a user, a few in each unit."""
        while await self._some(user, "delete_files_of_user", FILES_AT_ONCE):
            pass

    async def cancel_runs(self, user: EndUser, *, error: str, now: int) -> None:
        """End the runs of a user that nobody works on, a few in each unit, and ask for the others to be stopped; ``error`` is the JSON of why."""
        while await self._some(user, "stop_runs_of_user", ROWS_AT_ONCE, now=now):
            pass
        while await self._some(user, "cancel_runs_of_user", ROWS_AT_ONCE, error=error, now=now):
            pass

    async def redact_runs(self, user: EndUser) -> None:
        """Leave of the ended runs of a user that they were, under the user's mark, a few in each unit; their keys are forgotten with them."""
        given = {**_of(user), "mark": user.mark, "limit": ROWS_AT_ONCE}
        forgetting = Statement(query="forget_keys_of_user", params=given)
        redacting = Statement(query="redact_runs_of_user", params=given)
        while (await self.database.write(forgetting, redacting, _ERASED))[1]:
            pass

    async def forget(self, user: EndUser) -> None:
        """End a deletion. Raises ``Stale`` while anything of the user is left (a run that is under way), or when it ended already."""
        given = {**_of(user), "end_user_id": user.end_user_id}
        await self.database.write(Statement(query="forget_end_user", params=given, expect=1), _ERASED, _BUMP)

    async def _some(self, user: EndUser, query: str, limit: int, **more: Any) -> bool:
        rows = await self.database.write(Statement(query=query, params={**_of(user), "limit": limit, **more}), _ERASED)
        return bool(rows[0])


def _of(user: EndUser) -> dict[str, Any]:
    return {"account_id": user.account_id, "external_id": user.external_id}
