"""What partners granted to connections: what ``Repo`` says about it in terms of a ``Database``.

A new grant changes neither the connection's generation nor the cache epoch: lists that were read stay valid, and other processes look for the new grant
when theirs is due or refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from polyport.store.base import Database, Statement
from polyport.store.herald import Herald
from polyport.store.records import Connection, ConnectionStatus, StoredGrant
from polyport.store.rows import build, params


def authorised_by(connection_id: int, grant: StoredGrant | None) -> Statement:
    """What belongs into the unit that makes or renews a connection: its grant, or that it has none."""
    if grant is None:
        return Statement(query="delete_grant", params={"connection_id": connection_id})
    given = params(grant, "generation", "exchange_until", "exchange_by", "failures", "fence") | {"connection_id": connection_id}
    return Statement(query="put_grant", params=given)


def _end_exchange(grant: StoredGrant) -> Statement:
    given = {name: getattr(grant, name) for name in ("connection_id", "generation", "fence")}
    return Statement(query="end_exchange", params=given)


@dataclass(frozen=True, slots=True)
class Grants:
    """Grants of connections. Every change is a compare-and-swap on the grant's generation and the fence."""

    database: Database
    herald: Herald

    async def get(self, connection_id: int) -> StoredGrant | None:
        """The grant of a connection."""
        return build(StoredGrant, await self.database.read("grant", {"connection_id": connection_id}))

    async def begin_exchange(self, grant: StoredGrant, *, fence: int, until: int, owner: str) -> None:
        """Note that a new grant is asked for in place of this one, by which process, and until when that can take effect.

        Raises ``Stale`` when there is another grant, when somebody has begun since the record was read, or for a fence that is not higher than the record's.
        """
        given = {
            "connection_id": grant.connection_id,
            "generation": grant.generation,
            "seen": grant.fence,
            "fence": fence,
            "exchange_until": until,
            "exchange_by": owner,
        }
        await self.database.write(Statement(query="begin_exchange", params=given, expect=1))

    async def replace(self, grant: StoredGrant) -> None:
        """Put a grant in place of the one of its ``generation``. Raises ``Stale`` when that is gone, or a higher fence has begun."""
        given = params(grant, "exchange_until", "exchange_by", "failures")
        await self.database.write(Statement(query="replace_grant", params=given, expect=1))

    async def delay(self, grant: StoredGrant) -> None:
        """Note that no new grant came, with the record's ``refresh_at`` and ``exchange_until``. Raises what ``replace`` raises."""
        names = ("connection_id", "generation", "fence", "refresh_at", "exchange_until")
        given = {name: getattr(grant, name) for name in names}
        await self.database.write(Statement(query="delay_grant", params=given, expect=1))

    async def end_connection(
        self, connection: Connection, grant: StoredGrant, status: ConnectionStatus, *, last_error: str, now: int
    ) -> None:
        """Say that a connection serves no more, and that the exchange which showed it is over.

        Raises ``Stale`` unless the connection can be used and still rests on this very grant.
        """
        given = {
            "connection_id": connection.connection_id,
            "connection_generation": connection.generation,
            "generation": grant.generation,
            "status": status,
            "last_error": last_error,
            "now": now,
        }
        ended = replace(connection, status=status, last_error=last_error, updated_at=now)
        told = await self.herald.connection("connection.invalid", ended)
        await self.database.write(
            Statement(query="end_connection", params=given, expect=1), _end_exchange(grant), *told, Statement(query="bump_epoch")
        )
        if told:
            self.herald.announce()

    async def end_exchange(self, grant: StoredGrant) -> None:
        """Note that the exchange which was begun under the record's fence is over; nothing happens where there is another grant or fence."""
        await self.database.write(_end_exchange(grant))

    async def due(self, now: int, *, used_after: int, limit: int) -> list[tuple[int, int, int]]:
        """(account, partner, connection) of connections that can be used and were used since and whose grant is due, those that end first at first."""
        rows = await self.database.read("due_grants", {"now": now, "used_after": used_after, "limit": limit})
        return [(row[0], row[1], row[2]) for row in rows]
