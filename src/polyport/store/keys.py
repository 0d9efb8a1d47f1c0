"""Master keys by id and the data keys under them: what ``Repo`` says about them in terms of a ``Database``. No key is in here, only ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polyport.store.base import Database, Stale, Statement
from polyport.store.rows import build


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterKey:
    """A master key that seals or sealed here: since when, and when it was retired."""

    key_id: bytes
    since: int
    retired_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataKeyCount:
    """How many data keys of one table (``holder``) are under one master key."""

    holder: str
    key_id: bytes
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataKey:
    """A wrapped data key, the row that holds it, and what tells whose it is."""

    id: int
    account_id: int | None
    partner_id: int | None
    data_key: bytes


@dataclass(frozen=True, slots=True)
class Keys:
    """Which master key seals, and what is under which."""

    database: Database

    async def sealing(self) -> bytes | None:
        """The id of the master key that seals; ``None`` in a database where none has sealed."""
        rows = await self.database.read("sealing_key")
        return rows[0][0] if rows else None

    async def all(self) -> list[MasterKey]:
        """Every master key that ever sealed here, the latest first."""
        return [found for row in await self.database.read("master_keys") if (found := build(MasterKey, [row])) is not None]

    async def begin(self, key_id: bytes, now: int) -> None:
        """Let a master key seal, if none ever did."""
        await self.database.write(Statement(query="first_master_key", params={"key_id": key_id, "now": now}))

    async def lead(self, key_id: bytes, now: int) -> None:
        """Let a master key seal from now on. Raises ``Stale`` for one that is retired."""
        given = {"key_id": key_id, "now": now}
        await self.database.write(Statement(query="lead_master_key", params=given, expect=1), Statement(query="bump_epoch"))

    async def retire(self, key_id: bytes, now: int) -> None:
        """Let a master key seal nothing any more. Raises ``Stale`` when it seals, when a data key needs it, or when it never sealed here."""
        await self.database.write(Statement(query="retire_master_key", params={"key_id": key_id, "now": now}, expect=1))

    async def counts(self) -> list[DataKeyCount]:
        """How many data keys of each table are under which master key."""
        return [found for row in await self.database.read("data_key_counts") if (found := build(DataKeyCount, [row])) is not None]

    async def under(self, holder: str, key_id: bytes, *, after: int, limit: int) -> Sequence[DataKey]:
        """The next data keys of a table under a master key, in the order of their rows."""
        rows = await self.database.read("data_keys_under", {"holder": holder, "key_id": key_id, "after": after, "limit": limit})
        return [found for row in rows if (found := build(DataKey, [row])) is not None]

    async def rewrap(self, holder: str, held: DataKey, data_key: bytes) -> bool:
        """Put a data key that was wrapped anew in place of the one that was read; whether that one was still there."""
        given = {"id": held.id, "was": held.data_key, "data_key": data_key}
        try:
            await self.database.write(Statement(query=f"rewrap_{holder}", params=given, expect=1))
        except Stale:
            return False
        return True

    async def forget(self) -> None:
        """Let every process drop the data keys that it keeps in memory as they were."""
        await self.database.write(Statement(query="bump_epoch"))
