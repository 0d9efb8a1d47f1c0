"""Customers who are at a partner's sign-in: what ``Repo`` says about them in terms of a ``Database``."""

from __future__ import annotations

from dataclasses import dataclass

from polyport.store.base import Database, Statement
from polyport.store.records import SignIn
from polyport.store.rows import build, params


@dataclass(frozen=True, slots=True)
class SignIns:
    """Sign-ins that are under way, by the hash of their state."""

    database: Database

    async def insert(self, sign_in: SignIn) -> None:
        """Keep a new one."""
        await self.database.write(Statement(query="insert_sign_in", params=params(sign_in)))

    async def find(self, state_hash: bytes) -> SignIn | None:
        """The one that a state belongs to, used or over as it may be."""
        return build(SignIn, await self.database.read("sign_in", {"state_hash": state_hash}))

    async def use(self, state_hash: bytes, now: int) -> None:
        """Use one up. Raises ``Stale`` when somebody else did so first, or its time is over."""
        await self.database.write(Statement(query="use_sign_in", params={"state_hash": state_hash, "now": now}, expect=1))

    async def tidy(self, before: int) -> None:
        """Drop those that ended before a time, a few at once."""
        await self.database.write(Statement(query="delete_old_sign_ins", params={"before": before}))
