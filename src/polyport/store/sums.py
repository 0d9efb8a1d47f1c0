"""Sums over runs that ended, which pictures are made of: what ``Repo`` says about them in terms of a ``Database``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from polyport.store.base import Database, Statement

ALL: Final = 0  # in the place of a partner's id: all partners together
STANDING: Final = ("queued", "scheduled", "waiting", "running")
GRAINS: Final = (60, 900, 21_600)
STRETCH_MOST: Final = 1_000_000
_COUNTS: Final = msgspec.json.Decoder(dict[str, int])


class Sum(NamedTuple):
    """How often something was so in one slot, by key. ``slot`` is its beginning, in unix seconds; for ``what`` and the keys see the table."""

    slot: int
    what: str
    counts: dict[str, int]


class Ends(NamedTuple):
    """One sum of runs that ended, by minute."""

    account_id: int
    partner_id: int
    slot: int
    what: str
    key: str
    n: int


class Row(NamedTuple):
    """What is added to a sum."""

    account_id: int
    grain: int
    what: str
    partner_id: int
    slot: int
    key: str
    n: int


class Latest(NamedTuple):
    """Which runs are meant when somebody asks for those of a connection or of an external user: accepted from a run id on, ended from a moment on, the latest of them."""

    account_id: int
    from_id: str
    after: int
    now: int
    limit: int


class BusyConnection(NamedTuple):
    """How many runs with a connection ended, and how many of those well and badly."""

    connection_id: int
    partner_id: int
    runs: int
    succeeded: int
    bad: int


class PartnerSum(NamedTuple):
    """How many runs of a partner ended, and how many of those well and badly."""

    partner_id: int
    runs: int
    succeeded: int
    bad: int


@dataclass(frozen=True, slots=True)
class RunSums:
    """The sums. Moments are unix milliseconds, slots unix seconds."""

    database: Database

    async def until(self) -> int:
        """Up to which moment runs that ended are in the sums."""
        return int((await self.database.read("summed_until"))[0][0])

    async def next_end(self, after: int) -> int | None:
        """When the first run ended from a moment on."""
        found = (await self.database.read("next_end", {"after": after}))[0][0]
        return None if found is None else int(found)

    async def of_ends(self, after: int, before: int, *, account_id: int | None = None, limit: int = STRETCH_MOST) -> list[Ends]:
        """What is to be summed of the runs that ended in a stretch of time, of all accounts or of one; of no more runs than ``limit``."""
        told = {"after": after, "before": before, "account_id": account_id, "limit": limit}
        rows = await self.database.read("sums_of_ends", told)
        return [Ends(account, partner, slot, what, str(key), n) for account, partner, slot, what, key, n in rows]

    async def of_latest(self, latest: Latest, *, connection_id: int | None = None, external_user_id: str | None = None) -> list[Ends]:
        """What is to be summed of the latest runs with a connection, or else of an external user. Besides the kinds of ``run_sums``: ``came`` and ``went``, how many were accepted and ended in a minute, whenever, and ``stands``, by status, how all of them stand."""
        given = {**latest._asdict(), "external_user_id": external_user_id, "connection_id": connection_id}
        rows = await self.database.read("sums_of_user" if connection_id is None else "sums_of_connection", given)
        return [Ends(account, partner, slot, what, str(key), n) for account, partner, slot, what, key, n in rows]

    async def busiest(
        self, latest: Latest, most: int, *, partner_id: int | None = None, external_user_id: str | None = None
    ) -> list[BusyConnection]:
        """The connections with the most of an account's latest runs, or of those of an external user, or of a partner."""
        given = {**latest._asdict(), "most": most, "partner_id": partner_id, "external_user_id": external_user_id}
        of = "_of_user" if external_user_id is not None else "_of_partner" if partner_id is not None else ""
        return [BusyConnection(*row) for row in await self.database.read(f"busiest_connections{of}", given)]

    async def waiting(self) -> list[tuple[int, int, int]]:
        """How many runs of each account wait for each partner; those for which none does are not there."""
        return [
            (int(account_id), int(partner_id), int(count))
            for account_id, partner_id, count in await self.database.read("waiting_by_partner")
        ]

    async def standing(self, account_id: int, limit: int, now: int, partner_id: int | None = None) -> dict[str, int]:
        """How an account's runs that have not ended stand, or those of one partner; scheduled are those that are to start later. Of each status so many are looked at; the rest of those that wait are told as queued."""
        told = {"account_id": account_id, "limit": limit, "now": now, "partner_id": partner_id}
        found = dict.fromkeys(STANDING, 0) | {str(name): int(count) for name, count in await self.database.read("standing_runs", told)}
        wait = found.pop("wait")
        found["queued"] += max(0, wait - found["queued"] - found["waiting"] - found["scheduled"])
        return found

    async def move(self, seen: int, until: int, rows: Iterable[Row]) -> None:
        """Add what was found between two moments. Raises ``Stale`` when another process did."""
        moved = Statement(query="move_summed", params={"seen": seen, "until": until}, expect=1)
        await self.database.write(moved, Statement(query="add_sums", params={"rows": _encode(rows)}))

    async def add(self, rows: Sequence[Row]) -> None:
        """Add to sums."""
        await self.database.write(Statement(query="add_sums", params={"rows": _encode(rows)}))

    async def begin_again(self, seen: int, first: int) -> None:
        """Drop what was summed from a slot on, and sum it anew. Raises ``Stale`` when another process did."""
        moved = Statement(query="move_summed", params={"seen": seen, "until": first * 1000}, expect=1)
        await self.database.write(moved, Statement(query="delete_sums_from", params={"first": first}))

    async def read(self, account_id: int, grain: int, first: int, partner_id: int = ALL) -> list[Sum]:
        """The sums of an account, or of one partner within it, from a slot on."""
        told = {"account_id": account_id, "grain": grain, "partner_id": partner_id, "first": first}
        return [Sum(slot, what, _COUNTS.decode(counts)) for slot, what, counts in await self.database.read("run_sums", told)]

    async def by_partner(self, account_id: int, grain: int, first: int, limit: int) -> list[PartnerSum]:
        """The partners with the most runs from a slot on."""
        told = {"account_id": account_id, "grain": grain, "first": first, "limit": limit}
        return [PartnerSum(*row) for row in await self.database.read("sums_by_partner", told)]

    async def forget(self, grain: int, before: int, limit: int) -> int:
        """Drop a few sums of a grain that are older than a slot; how many."""
        told = {"grain": grain, "before": before, "limit": limit}
        return len((await self.database.write(Statement(query="delete_old_sums", params=told)))[0])


def _encode(rows: Iterable[Row]) -> str:
    return msgspec.json.encode(list(rows)).decode()
