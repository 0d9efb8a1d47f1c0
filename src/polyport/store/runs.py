"""Runs and idempotency keys: what ``Repo`` says about them in terms of a ``Database``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from polyport.store.base import Database, DbRow, Statement
from polyport.store.records import IdempotencyKey, Run, RunProof, RunStatus
from polyport.store.rows import build, columns, params

_COLUMNS: Final = columns(Run)
FIRST: Final = "run_"
LAST: Final = "run_~"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """What a list of runs is filtered by; ``None`` means any. ``before`` and ``after`` are run ids: ids are in the order of time."""

    status: str | None = None
    partner_id: int | None = None
    operation_id: int | None = None
    connection_id: int | None = None
    external_user_id: str | None = None
    before: str = LAST
    after: str = FIRST


def run_of_row(row: DbRow) -> Run:
    """The run of a row."""
    values = dict(zip(_COLUMNS, row, strict=True))
    values["status"] = RunStatus(values["status"])
    values["sending"], values["repeatable"] = bool(values["sending"]), bool(values["repeatable"])
    return Run(**values)


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of accounts. Every transition is a compare-and-swap on the status and the owner."""

    database: Database

    async def insert(self, run: Run, key: IdempotencyKey | None = None, *, touch: bool = False) -> None:
        """Keep a new run, and with it the key it was started under. Raises ``Duplicate`` when the key is remembered already.

        ``touch`` also notes that the run's connection was used.
        """
        statements = [Statement(query="insert_run", params=params(run))]
        if touch:
            statements.append(Statement(query="touch_connection", params={"connection_id": run.connection_id, "now": run.created_at}))
        if key is not None:
            statements.insert(0, Statement(query="insert_idempotency_key", params=params(key)))
        await self.database.write(*statements)

    async def mark_sending(self, run: Run) -> None:
        """The durable mark before a request that may not be repeated. Raises ``Stale`` when the run is no longer this process's."""
        await self.database.write(Statement(query="mark_sending", params={"run_id": run.run_id, "owner": run.owner}, expect=1))

    async def finish(self, run: Run, proof: RunProof | None = None, *, told: Sequence[Statement] = ()) -> None:
        """Write the end of a run as the record has it, and the events that tell it; ``run.owner`` is the process that worked on it. Raises ``Stale``.

        ``proof`` also notes that the run's connection works.
        """
        ended = Statement(query="finish_run", params=params(run), expect=1)
        if proof is None:
            await self.database.write(ended, *told)
        else:
            proved = Statement(query="proved_connection", params={**params(proof), "now": run.finished_at})
            await self.database.write(ended, proved, *told)

    async def reschedule(self, run: Run) -> None:
        """Let a run wait until ``due_at``. Raises ``Stale``."""
        await self.database.write(Statement(query="reschedule_run", params=params(run), expect=1))

    async def get(self, account_id: int, run_id: str) -> Run | None:
        """One run of an account."""
        rows = await self.database.read("run", {"account_id": account_id, "run_id": run_id})
        return run_of_row(rows[0]) if rows else None

    async def page(self, account_id: int, wanted: RunFilter, *, limit: int) -> list[Run]:
        """Runs without their payloads, newest first."""
        rows = await self.database.read("runs", {"account_id": account_id, "limit": limit, **params(wanted)})
        return [run_of_row(row) for row in rows]

    async def key(self, account_id: int, key: str) -> IdempotencyKey | None:
        """A remembered idempotency key."""
        return build(IdempotencyKey, await self.database.read("idempotency_key", {"account_id": account_id, "key": key}))

    async def forget_key(self, account_id: int, key: str, *, before: int) -> None:
        """Forget a key that is older than a time."""
        await self.database.write(Statement(query="delete_expired_key", params={"account_id": account_id, "key": key, "before": before}))

    async def forget_old_keys(self, before: int) -> None:
        """Forget keys older than a time, a few at once."""
        await self.database.write(Statement(query="delete_old_keys", params={"before": before}))
