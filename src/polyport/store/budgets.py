"""What was taken of partners' budgets, by all processes together: what ``Repo`` says about it in terms of a ``Database``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from polyport.store.base import Database, DbRow, Statement

FOR_EVER: Final = 1 << 60


class Count(NamedTuple):
    """How a budget is counted at one moment.

    ``cost`` units are taken of ``most`` in the span ``span``, which counts until ``until`` (all in unix milliseconds); spans after ``since`` up to ``ahead``
    count now. What is given back has an ``owner``: its span is then a number of that process.
    """

    key: str
    cost: int
    most: int
    span: int
    since: int
    ahead: int
    until: int
    owner: str | None = None


class Taken(NamedTuple):
    """What counts of a budget: ``taken`` units until ``until``. ``span`` is -1 for what the partner told."""

    key: str
    span: int
    taken: int
    until: int


@dataclass(frozen=True, slots=True)
class BudgetUses:
    """The ledger of budgets."""

    database: Database

    async def take(self, asked: Sequence[tuple[Sequence[Count], int]], now: int) -> Sequence[Sequence[DbRow]]:
        """Take permits, in one commit: of each group of budgets as many as asked, or as all of them have left.

        For each group a row ``(key, permits, remains)`` a budget, or none when no permit was left.
        """
        return await self.database.write(
            *(Statement(query="take_budgets", params={"quotas": _encode(counts), "wanted": wanted, "now": now}) for counts, wanted in asked)
        )

    async def counted(self, counts: Sequence[Count], now: int) -> list[Taken]:
        """What counts of these budgets now."""
        return [Taken(*row) for row in await self.database.read("budget_uses", {"quotas": _encode(counts), "now": now})]

    async def in_use(self, prefix: str, now: int, limit: int) -> list[tuple[str, int]]:
        """The budgets whose keys begin alike of which most counts now, and how much."""
        rows = await self.database.read("budgets_in_use", {"prefix": prefix, "now": now, "limit": limit})
        return [(str(key), int(used)) for key, used in rows]

    async def move(self, moves: Sequence[tuple[Count, Count]]) -> None:
        """Let units that were taken in one span count in a later one."""
        statements: list[Statement] = []
        for old, new in moves:
            statements.append(_less(old))
            told = {"key": new.key, "span": new.span, "count": new.cost, "until": new.until}
            statements.append(Statement(query="add_budget_uses", params=told))
        await self.database.write(*statements)

    async def give_back(self, counts: Sequence[Count]) -> None:
        """Give units back."""
        await self.database.write(*(_less(count) for count in counts))

    async def tell(self, count: Count, remaining: int, until: int) -> None:
        """Note that the partner has only so much left for us, until a moment."""
        told = {"key": count.key, "most": count.most, "since": count.since, "ahead": count.ahead, "remaining": remaining, "until": until}
        await self.database.write(Statement(query="tell_budget", params=told))

    async def close(self, counts: Sequence[Count], until: int) -> None:
        """Note that the partner takes nothing until a moment."""
        await self.database.write(
            *(Statement(query="close_budget", params={"key": count.key, "most": count.most, "until": until}) for count in counts)
        )

    async def owners(self) -> list[str]:
        """The processes that have something to give back."""
        return [row[0] for row in await self.database.read("budget_owners")]

    async def release(self, owner: str) -> None:
        """Give back all that a dead process held."""
        await self.database.write(Statement(query="release_budgets", params={"owner": owner}))

    async def tidy(self, now: int) -> None:
        """Drop what counts no more, a few at once."""
        await self.database.write(Statement(query="delete_old_budget_uses", params={"now": now}))

    async def forget_beyond(self, moment: int) -> None:
        """Drop what counts until after a moment."""
        await self.database.write(Statement(query="forget_budget_uses_beyond", params={"moment": moment}))


def _encode(counts: Sequence[Count]) -> str:
    return msgspec.json.encode(counts).decode()


def _less(count: Count) -> Statement:
    params: dict[str, Any] = {"key": count.key, "span": count.span, "count": count.cost}
    return Statement(query="give_budget_back", params=params)
