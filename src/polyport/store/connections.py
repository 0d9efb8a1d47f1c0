"""Connections and what was read for them: what ``Repo`` says about them in terms of a ``Database``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from polyport.store.base import Database, DbRow, Statement
from polyport.store.grants import authorised_by
from polyport.store.herald import Herald
from polyport.store.records import CachedList, Connection, ConnectionStatus, Finding, StoredGrant
from polyport.store.rows import After, columns, params, params_after

_BUMP = Statement(query="bump_epoch")
_ERASED = Statement(query="note_erasure")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFilter:
    """What a list of connections is filtered by; ``None`` means any."""

    partner_id: int | None = None
    status: str | None = None
    external_user_id: str | None = None
    title: str | None = None
    title_like: str | None = None
    sought: str | None = None
    verified: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A connection came to stand otherwise than before, at a time in unix milliseconds, for a reason if one was told."""

    change_id: int
    at: int
    status: ConnectionStatus
    reason: str | None


class Named(NamedTuple):
    """What a connection is called, and whose it is; ``None``: the account's own."""

    title: str
    external_user_id: str | None


def _connection(row: DbRow) -> Connection:
    values = dict(zip(columns(Connection), row, strict=True))
    return Connection(**(values | {"status": ConnectionStatus(values["status"]), "simulated": bool(values["simulated"])}))


def _check(connection: Connection) -> dict[str, object]:
    return {"connection_id": connection.connection_id, "check_at": connection.check_at, "refusals": connection.refusals}


@dataclass(frozen=True, slots=True)
class Connections:
    """Connections of accounts; every change bumps the cache epoch, and its events are written with it."""

    database: Database
    herald: Herald

    async def reserve_id(self) -> int:
        """The id of a connection that is about to be made."""
        rows = await self.database.write(Statement(query="reserve_connection", expect=1))
        return int(rows[0][0][0])

    async def insert(self, connection: Connection, grant: StoredGrant | None = None) -> None:
        """Keep a new connection, with what the partner granted to it."""
        told = await self.herald.connection("connection.created", connection)
        await self.database.write(
            Statement(query="insert_connection", params=params(connection)), authorised_by(connection.connection_id, grant), *told
        )
        self._announce(told)

    async def get(self, account_id: int, connection_id: int) -> Connection | None:
        """One connection of an account."""
        rows = await self.database.read("connection", {"account_id": account_id, "connection_id": connection_id})
        return _connection(rows[0]) if rows else None

    async def page(
        self, account_id: int, wanted: ConnectionFilter, *, sort: str | None, limit: int, offset: int, after: After | None = None
    ) -> tuple[list[Connection], int]:
        """A page of connections and how many there are. ``sort``: ``title``, ``-title``, ``-credentialId``, or by id. ``after``: the title and the id to go on from."""
        given = {"account_id": account_id, "sought_id": _id_in(wanted.sought), **params(wanted)}
        narrowed = "_of_external_user" if wanted.external_user_id is not None else "_of_partner" if wanted.partner_id is not None else ""
        query = {
            "title": "connections_by_title",
            "-title": "connections_by_title_down",
            "-credentialId": f"connections{narrowed}_newest",
        }.get(sort or "", f"connections{narrowed}_oldest")
        rows = await self.database.read(query, {**given, "limit": limit, "offset": offset, **params_after(after)})
        return [_connection(row) for row in rows], await self._count(wanted, given)

    async def _count(self, wanted: ConnectionFilter, given: Mapping[str, object]) -> int:
        query = _counting(wanted)
        found = int((await self.database.read(query, given))[0][0])
        if query == "count_connections" and wanted.verified:  # all the others: no index holds them, and to look at each takes long
            return found - int((await self.database.read("count_connections_unverified", given))[0][0])
        return found

    async def by_status(self, account_id: int, partner_id: int | None = None, external_user_id: str | None = None) -> dict[str, int]:
        """How many of an account's connections, or of those to one partner or of one external user, stand how."""
        told = {"account_id": account_id, "partner_id": partner_id, "external_user_id": external_user_id}
        rows = await self.database.read("connections_by_status", told)
        return {str(status): int(count) for status, count in rows}

    async def unverified(self, account_id: int, partner_id: int | None = None, external_user_id: str | None = None) -> int:
        """How many of those that are active nothing has ever proved."""
        told = {"account_id": account_id, "partner_id": partner_id, "external_user_id": external_user_id, "status": ConnectionStatus.ACTIVE}
        return int((await self.database.read("count_connections_unverified", told))[0][0])

    async def changes(self, connection_id: int, before: int, *, limit: int) -> list[Change]:
        """How a connection came to stand, before one of the changes, the latest first."""
        rows = await self.database.read("connection_changes", {"connection_id": connection_id, "before": before, "limit": limit})
        return [Change(change_id=int(row[0]), at=int(row[1]), status=ConnectionStatus(row[2]), reason=row[3]) for row in rows]

    async def titles(self, account_id: int, ids: Iterable[int]) -> dict[int, Named]:
        """The titles of those of some connections that are an account's."""
        told = {"account_id": account_id, "ids": f"[{','.join(map(str, ids))}]"}
        return {
            int(connection_id): Named(title, user) for connection_id, title, user in await self.database.read("titles_of_connections", told)
        }

    async def patch(
        self, account_id: int, connection_id: int, *, title: str, metadata: str, external_user_id: str | None, now: int
    ) -> None:
        """Change what people say about a connection; links of others to it end. Raises ``Stale`` when there is none."""
        given = {
            "account_id": account_id,
            "connection_id": connection_id,
            "title": title,
            "metadata": metadata,
            "external_user_id": external_user_id,
            "now": now,
        }
        told: Sequence[Statement] = ()
        if await self.herald.listens(account_id, "connection.updated") and (held := await self.get(account_id, connection_id)) is not None:
            patched = replace(held, title=title, metadata=metadata, external_user_id=external_user_id, updated_at=now)
            told = await self.herald.connection("connection.updated", patched)
        await self.database.write(
            Statement(query="patch_connection", params=given, expect=1), Statement(query="revoke_renewals", params=given), *told, _BUMP
        )
        self._announce(told)

    async def replace_secrets(self, connection: Connection, grant: StoredGrant | None = None, *, now: int) -> None:
        """Put the record's sealed fields, and the grant, in place of those of its ``generation``. Raises ``Stale`` when somebody else did so first."""
        told = await self.herald.connection("connection.updated", replace(connection, updated_at=now))
        await self.database.write(
            Statement(query="replace_secrets", params={**params(connection), "now": now}, expect=1),
            authorised_by(connection.connection_id, grant),
            Statement(query="delete_cached_lists", params={"connection_id": connection.connection_id}),
            *told,
            _BUMP,
        )
        self._announce(told)

    async def verified(self, connection: Connection, finding: Finding, *, now: int) -> None:
        """Note what proving a connection found. Raises ``Stale`` when the secrets that were used have been replaced since.

        Other processes are told to look again only where the status is another than that of the record. Only a status that changes is an event: of many
        that find the same at once, one tells it.
        """
        given = {
            "account_id": connection.account_id,
            "connection_id": connection.connection_id,
            "generation": connection.generation,
            "now": now,
            **params(finding),
        }
        noted = Statement(query="verified_connection", params=given, expect=1)
        told = await self._told_of_status(connection, finding, now)
        await self.database.write(*told, *((noted,) if finding.status is connection.status else (noted, _BUMP)))
        self._announce(told)

    async def _told_of_status(self, connection: Connection, finding: Finding, now: int) -> Sequence[Statement]:
        event_type = "connection.updated" if finding.status is ConnectionStatus.ACTIVE else "connection.invalid"
        if not await self.herald.listens(connection.account_id, event_type):
            return ()
        held = await self.get(connection.account_id, connection.connection_id) or connection
        becoming = replace(
            held,
            status=finding.status,
            account_label=finding.account_label or held.account_label,
            last_error=finding.last_error,
            last_verified_at=now if finding.proved else held.last_verified_at,
            check_at=finding.check_at,
            updated_at=now,
        )
        return await self.herald.connection(event_type, becoming, becomes=finding.status)

    async def due_partners(self, now: int) -> list[int]:
        """The partners that have connections to be proved."""
        return [int(row[0]) for row in await self.database.read("due_partners", {"now": now})]

    async def due_check(self, partner_id: int, now: int) -> Connection | None:
        """The connection of a partner that has waited longest to be proved."""
        rows = await self.database.read("due_check", {"partner_id": partner_id, "now": now})
        return _connection(rows[0]) if rows else None

    async def move_check(self, connection: Connection, check_at: int, *, refusals: int) -> Connection:
        """Move the time at which a connection is to be proved; the record as it stands then. Raises ``Stale`` when it was moved since."""
        moved = replace(connection, check_at=check_at, refusals=refusals)
        await self.database.write(Statement(query="move_check", params={**_check(moved), "was": connection.check_at}, expect=1))
        return moved

    async def check_soon(self, connection_id: int, now: int) -> None:
        """Have a connection proved as soon as may be, where its partner has a verify call."""
        await self.database.write(Statement(query="check_soon", params={"connection_id": connection_id, "now": now}))

    async def touch(self, connection_id: int, now: int) -> None:
        """Note that a connection was used."""
        await self.database.write(Statement(query="touch_connection", params={"connection_id": connection_id, "now": now}))

    async def move_data(self, connection_id: int, *, was: int, becomes: int, due_at: int | None) -> None:
        """Move the status of re-reading lists, which is due at a time. Raises ``Stale`` when it stood elsewhere."""
        given = {"connection_id": connection_id, "was": was, "data_status": becomes, "data_at": due_at}
        await self.database.write(Statement(query="move_data", params=given, expect=1))

    async def hasten_data(self, connection_id: int, now: int) -> None:
        """Have lists read again now that were to be read again later."""
        await self.database.write(Statement(query="hasten_data", params={"connection_id": connection_id, "now": now}))

    async def due_data(self, now: int, *, limit: int) -> list[tuple[int, int]]:
        """(account, connection) whose lists are to be read again."""
        return [(int(row[0]), int(row[1])) for row in await self.database.read("due_data", {"now": now, "limit": limit})]

    async def claim_data(self, connection_id: int, owner: str, now: int) -> int:
        """Take a connection to read its lists again; how often that failed. Raises ``Stale`` when somebody else did."""
        given = {"connection_id": connection_id, "owner": owner, "now": now}
        return int((await self.database.write(Statement(query="claim_data", params=given, expect=1)))[0][0][0])

    async def end_data(self, connection_id: int, owner: str, *, becomes: int, due_at: int | None, tries: int) -> None:
        """Write what came of re-reading. Raises ``Stale`` when it is no longer this owner's."""
        given = {"connection_id": connection_id, "owner": owner, "data_status": becomes, "data_at": due_at, "data_tries": tries}
        await self.database.write(Statement(query="end_data", params=given, expect=1))

    async def data_owners(self) -> list[str]:
        """The processes that read lists again."""
        return [str(row[0]) for row in await self.database.read("data_owners")]

    async def requeue_data(self, owner: str, now: int) -> None:
        """Give back what a dead process was about to read again."""
        await self.database.write(Statement(query="requeue_data", params={"owner": owner, "now": now}))

    async def delete(self, account_id: int, connection_id: int) -> None:
        """Drop a connection, its key, its grant and what was read for it. Raises ``Stale`` when there is none."""
        given = {"account_id": account_id, "connection_id": connection_id}
        told: Sequence[Statement] = ()
        if await self.herald.listens(account_id, "connection.deleted") and (held := await self.get(account_id, connection_id)) is not None:
            told = await self.herald.connection("connection.deleted", held)
        await self.database.write(Statement(query="delete_connection", params=given, expect=1), *told, _ERASED, _BUMP)
        self._announce(told)

    def _announce(self, told: Sequence[Statement]) -> None:
        if told:
            self.herald.announce()

    async def cached_list(self, connection_id: int, name: str) -> CachedList | None:
        """What was read for a connection, if anything was."""
        rows = await self.database.read("cached_list", {"connection_id": connection_id, "name": name})
        return CachedList(**dict(zip(columns(CachedList), rows[0], strict=True))) if rows else None

    async def put_cached_list(self, cached: CachedList, *, generation: int) -> None:
        """Keep what was read for a connection with its secrets of that generation. Raises ``Stale`` when it is gone or has others."""
        await self.database.write(Statement(query="put_cached_list", params={**params(cached), "generation": generation}, expect=1))

    async def forget_older_lists(self, connection_id: int, before: int) -> None:
        """Forget what was read for a connection before a time, in every process."""
        given = {"connection_id": connection_id, "before": before}
        await self.database.write(Statement(query="delete_older_lists", params=given), _BUMP)


def _counting(wanted: ConnectionFilter) -> str:
    """The statement that counts the connections of a filter by reading as little as may be."""
    if wanted.title is None and wanted.title_like is None and wanted.sought is None:
        return "count_connections_unverified" if wanted.verified is False else "count_connections"
    others = (wanted.partner_id, wanted.status, wanted.external_user_id, wanted.verified)
    return "count_connections_titled" if others == (None, None, None, None) else "count_connections_narrowed"


def _id_in(sought: str | None) -> int | None:
    return int(sought) if sought is not None and sought.isascii() and sought.isdecimal() and len(sought) <= 16 else None
