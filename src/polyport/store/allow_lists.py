"""Which partners accounts are limited to: what ``Repo`` says about it in terms of a ``Database``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from polyport.store.base import Database, Statement

Setter = Literal["operator", "account"]
_BUMP: Final = Statement(query="bump_epoch")


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowList:
    """The partners that are allowed, and since when, in unix milliseconds."""

    partners: frozenset[int]
    updated_at: int


@dataclass(frozen=True, slots=True)
class AllowLists:
    """The lists of accounts, one by the operator of the installation and one by the account itself. Every change bumps the cache epoch."""

    database: Database

    async def of(self, account_id: int) -> Mapping[str, AllowList]:
        """The lists of an account, by who set them."""
        rows = await self.database.read("allow_lists", {"account_id": account_id})
        return {setter: AllowList(partners=frozenset(json.loads(partners)), updated_at=at) for setter, partners, at in rows}

    async def limit(self, account_id: int) -> frozenset[int] | None:
        """What is in every list of an account; ``None`` where it has none."""
        lists = [each.partners for each in (await self.of(account_id)).values()]
        return frozenset.intersection(*lists) if lists else None

    async def put(self, account_id: int, setter: Setter, partners: Iterable[int], now: int) -> None:
        """Set a list in place of the one before."""
        given = {"account_id": account_id, "setter": setter, "partners": json.dumps(sorted(partners)), "updated_at": now}
        await self.database.write(Statement(query="put_allow_list", params=given, expect=1), _BUMP)

    async def delete(self, account_id: int, setter: Setter) -> None:
        """Take a list away. Raises ``Stale`` where there is none."""
        await self.database.write(
            Statement(query="delete_allow_list", params={"account_id": account_id, "setter": setter}, expect=1), _BUMP
        )
