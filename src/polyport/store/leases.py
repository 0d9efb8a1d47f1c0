"""Leases: what ``Repo`` says about them in terms of a ``Database``.

A lease is for a time; whoever holds one has to renew it in time, and to let what it writes depend on its fence: a process that was held up longer than its
lease learns in that way that it is no longer the one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from polyport.store.base import Database, Statement
from polyport.store.records import Lease
from polyport.store.rows import build


@dataclass(frozen=True, slots=True)
class Leases:
    """Leases by name. Times are unix milliseconds of the caller's clock."""

    database: Database

    async def get(self, name: str) -> Lease | None:
        """The lease of that name, which may be over; ``None`` where it was given back."""
        return build(Lease, await self.database.read("lease", {"name": name}))

    async def claim(self, name: str, owner: str, *, over: Lease | None, until: int) -> Lease:
        """Take a lease in place of the one that is ``over``, or of none. Raises ``Stale`` when somebody else was first."""
        given = {"name": name, "owner": owner, "seen": over.fence if over is not None else 0, "until": until}
        _counted, rows = await self.database.write(
            Statement(query="next_fence", expect=1), Statement(query="claim_lease", params=given, expect=1)
        )
        return Lease(name=name, owner=owner, fence=int(rows[0][0]), until=until)

    async def extend(self, lease: Lease, until: int) -> Lease:
        """The same lease for longer. Raises ``Stale`` when somebody else has taken it."""
        given = {"name": lease.name, "fence": lease.fence, "until": until}
        await self.database.write(Statement(query="extend_lease", params=given, expect=1))
        return replace(lease, until=until)

    async def release(self, lease: Lease) -> None:
        """Give a lease back; nothing happens where somebody else has taken it."""
        await self.database.write(Statement(query="release_lease", params={"name": lease.name, "fence": lease.fence}))

    async def tidy(self, before: int) -> None:
        """Drop leases that ended before a time, a few at once."""
        await self.database.write(Statement(query="delete_old_leases", params={"before": before}))
