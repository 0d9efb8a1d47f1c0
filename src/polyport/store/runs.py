"""Runs and idempotency keys: what ``Repo`` says about them in terms of a ``Database``."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from polyport.store.base import Database, DbRow, Statement
from polyport.store.reach import only_user
from polyport.store.records import IdempotencyKey, Lane, Priority, Run, RunProof, RunStatus, UsageRow
from polyport.store.rows import build, columns, params

_COLUMNS: Final = columns(Run)
_USAGE: Final = columns(UsageRow)
_WAIT: Final = frozenset({RunStatus.QUEUED, RunStatus.WAITING})
DAY_MS: Final = 86_400_000
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
    error: str | None = None
    before: str = LAST
    after: str = FIRST


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """Runs without their payloads, newest first, and before which id to go on; ``None``: there are no more.

    There may be fewer runs than were asked for and more to come, where few of many fit several filters together.
    """

    runs: list[Run]
    following: str | None


# Which index leads to runs, the one that leaves the fewest first. Those of a partner and those that succeeded are the many.
_LEADS: Final[tuple[tuple[str, str], ...]] = (
    ("connection_id", "places_by_connection"),
    ("external_user_id", "places_by_user"),
    ("error", "places_by_error"),
    ("status", "places_by_status"),
    ("operation_id", "places_by_operation"),
    ("partner_id", "places_by_partner"),
)
_FIRST_LOOK: Final = 200
_LOOKS: Final = 5
_WIDEST_LOOK: Final = 1_000  # four milliseconds where the table is large
_LOOK_SECONDS: Final = 0.008


# What a row has as plain values, by their places in it.
_STATUSES: Final = {status.value: status for status in RunStatus}
_PRIORITIES: Final = {priority.value: priority for priority in Priority}
_STATUS, _PRIORITY = _COLUMNS.index("status"), _COLUMNS.index("priority")
_SENDING, _REPEATABLE, _RECONCILES = (_COLUMNS.index(name) for name in ("sending", "repeatable", "reconciles"))


def run_of_row(row: DbRow) -> Run:
    """The run of a row."""
    values = list(row)
    values[_STATUS], values[_PRIORITY] = _STATUSES[values[_STATUS]], _PRIORITIES[values[_PRIORITY]]
    values[_SENDING], values[_REPEATABLE], values[_RECONCILES] = values[_SENDING] == 1, values[_REPEATABLE] == 1, values[_RECONCILES] == 1
    return Run(**dict(zip(_COLUMNS, values, strict=True)))


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of accounts. Every transition is a compare-and-swap on the status and the owner."""

    database: Database

    def insert(self, run: Run, key: IdempotencyKey | None = None, *, touch: bool = False) -> Awaitable[object]:
        """Keep a new run, and with it the key it was started under. Raises ``Duplicate`` when the key is remembered already.

        ``touch`` also notes that the run's connection was used.
        """
        statements = [Statement(query="insert_run", record=run)]
        if run.status in _WAIT:
            statements.append(_waits(run.account_id, run.partner_id, 1))
        if touch:
            statements.append(Statement(query="touch_connection", params={"connection_id": run.connection_id, "now": run.created_at}))
        if key is not None:
            statements.insert(0, Statement(query="insert_idempotency_key", params=params(key)))
        return self.database.write(*statements)

    async def insert_many(self, runs: Sequence[tuple[Run, IdempotencyKey | None]], mark: IdempotencyKey | None = None) -> None:
        """Keep many new runs with their keys in one unit, and notice that their connections were used. Raises ``Duplicate`` when a key is remembered already."""
        statements = [] if mark is None else [Statement(query="insert_idempotency_key", params=params(mark))]
        connections: dict[int, int] = {}
        for run, key in runs:
            if key is not None:
                statements.append(Statement(query="insert_idempotency_key", params=params(key)))
            statements.append(Statement(query="insert_run", record=run))
            if run.status in _WAIT:
                statements.append(_waits(run.account_id, run.partner_id, 1))
            if run.connection_id is not None:
                connections[run.connection_id] = run.created_at
        statements += [
            Statement(query="touch_connection", params={"connection_id": connection_id, "now": now})
            for connection_id, now in connections.items()
        ]
        await self.database.write(*statements)

    async def mark_sending(self, run: Run) -> None:
        """The durable mark before a request that may not be repeated. Raises ``Stale`` when the run is no longer this process's, or was asked to stop."""
        await self.database.write(
            Statement(query="mark_sending", params={"account_id": run.account_id, "run_id": run.run_id, "owner": run.owner}, expect=1)
        )

    def finish(self, run: Run, proof: RunProof | None = None, *, told: Sequence[Statement] = (), frees: bool = False) -> Awaitable[object]:
        """Write the end of a run as the record has it, and the events that tell it; ``run.owner`` is the process that worked on it. Raises ``Stale``.

        ``proof`` also notes that the run's connection works. ``frees``: the key that it was started under may be used again.
        """
        ended = Statement(query="finish_run", record=run, expect=1)
        if frees and run.idempotency_key is not None:
            return self.database.write(ended, freed_key(run), *told, _ended(run))
        if proof is None:
            return self.database.write(ended, *told, _ended(run))
        proved = Statement(query="proved_connection", params={**params(proof), "now": run.finished_at})
        return self.database.write(ended, proved, *told, _ended(run))

    async def reschedule(self, run: Run) -> None:
        """Let a run wait until ``due_at``. Raises ``Stale``, also when it was asked to stop."""
        await self.database.write(Statement(query="reschedule_run", record=run, expect=1))

    async def hold(self, lane: Lane, *, error: str, limit: int, now: int) -> None:
        """Say of the next runs of a lane why they wait. They keep their places."""
        told = {"account_id": lane.account_id, "place": lane.place, "operation_id": lane.operation_id}
        await self.database.write(
            *(
                Statement(query="hold_lane", params={**told, "priority": priority, "error": error, "limit": limit, "now": now})
                for priority in Priority
            )
        )

    async def cancel(self, run: Run, *, error: str, now: int, told: Sequence[Statement] = ()) -> None:
        """End a run that has not begun or waits, and write the events that tell it. Raises ``Stale`` when it does neither any more."""
        given = {"account_id": run.account_id, "run_id": run.run_id, "error": error, "now": now}
        await self.database.write(Statement(query="cancel_run", params=given, expect=1), *told)

    async def past_deadline(self, now: int, limit: int) -> list[Run]:
        """Runs, of all accounts, that wait although their time is over; without their payloads."""
        return [run_of_row(row) for row in await self.database.read("runs_past_deadline", {"now": now, "limit": limit})]

    async def expire(self, run: Run, *, error: str, now: int, told: Sequence[Statement] = ()) -> None:
        """End a run whose time is over while it waits, and write the events that tell it. Raises ``Stale`` when it does not wait any more."""
        given = {"account_id": run.account_id, "run_id": run.run_id, "error": error, "now": now}
        await self.database.write(Statement(query="expire_run", params=given, expect=1), *told)

    async def ask_to_stop(self, run: Run, now: int) -> None:
        """Ask the process that works on a run to stop. Raises ``Stale`` when none does."""
        told = {"account_id": run.account_id, "run_id": run.run_id, "now": now}
        await self.database.write(Statement(query="ask_run_to_stop", params=told, expect=1))

    async def to_probe(self, now: int, limit: int) -> list[Run]:
        """Runs in doubt, of all accounts, that are to be looked for now."""
        return [run_of_row(row) for row in await self.database.read("runs_to_probe", {"now": now, "limit": limit})]

    async def take_probe(self, run: Run, until: int) -> Run:
        """Take the look that a run waits for. Raises ``Stale`` when another process has."""
        told = {"account_id": run.account_id, "run_id": run.run_id, "seen": run.probe_at, "until": until}
        await self.database.write(Statement(query="take_probe", params=told, expect=1))
        return replace(run, probe_at=until)

    async def settle_doubt(self, taken: Run, run: Run, *, told: Sequence[Statement] = ()) -> None:
        """Write what a look that was ``taken`` found, and the events that tell it. Raises ``Stale``."""
        await self.database.write(Statement(query="settle_doubt", params={**params(run), "seen": taken.probe_at}, expect=1), *told)

    async def to_stop(self, owner: str) -> set[str]:
        """The ids of a process's runs that were asked to stop."""
        return {str(row[0]) for row in await self.database.read("runs_to_stop", {"owner": owner})}

    async def get(self, account_id: int, run_id: str) -> Run | None:
        """One run of an account."""
        rows = await self.database.read("run", {"account_id": account_id, "run_id": run_id})
        return run_of_row(rows[0]) if rows else None

    async def page(self, account_id: int, wanted: RunFilter, *, limit: int) -> RunPage:
        """Runs without their payloads, newest first.

        The index of one filter gives the places, those of the others say which of them fit; only rows that are shown are read. That is bounded in places
        and in time, however few fit.
        """
        told = {"account_id": account_id, **params(wanted)}
        told["external_user_id"] = told["external_user_id"] or only_user()
        leads = [(name, query) for name, query in _leads(wanted) if told[name] is not None]
        lead = leads[0][1] if leads else "places_of_runs"
        others = {**told, **{name: None for name, _query in leads[:1]}}
        found: list[Run] = []
        before, width, began = wanted.before, limit + 1 if len(leads) <= 1 else max(_FIRST_LOOK, limit + 1), time.monotonic()
        for _look in range(_LOOKS):
            places = await self.database.read(lead, {**told, "before": before, "limit": width})
            fitting = places if len(leads) <= 1 else await self.database.read("places_that_fit", {**others, "places": _pairs(places)})
            left = limit + 1 - len(found)
            if shown := fitting[:left]:
                asked = {**told, "places": f"[{','.join(str(place) for place, _id in shown)}]", "limit": left}
                found += [run_of_row(row) for row in await self.database.read("runs_at", asked)]
            if len(found) > limit:
                return RunPage(runs=found[:limit], following=found[limit - 1].run_id)
            if len(fitting) > left:  # one of those shown changed meanwhile: what came behind them is looked at with the next page
                return RunPage(runs=found, following=shown[-1][1])
            if len(places) < width:
                return RunPage(runs=found, following=None)
            before, width = places[-1][1], _WIDEST_LOOK
            if time.monotonic() - began > _LOOK_SECONDS:
                break
        return RunPage(runs=found, following=before)

    async def lane_held(self, run: Run, now: int) -> list[str]:
        """What the first runs of a run's lane were told of why they wait: the JSON of each error."""
        place = run.connection_id if run.connection_id is not None else -run.partner_id
        told = {"account_id": run.account_id, "place": place, "operation_id": run.operation_id, "now": now}
        return [row[0] for row in await self.database.read("why_a_lane_waits", told) if row[0] is not None]

    async def key(self, account_id: int, key: str) -> IdempotencyKey | None:
        """A remembered idempotency key."""
        return build(IdempotencyKey, await self.database.read("idempotency_key", {"account_id": account_id, "key": key}))

    async def forget_key(self, account_id: int, key: str, *, before: int) -> None:
        """Forget a key that is older than a time."""
        await self.database.write(Statement(query="delete_expired_key", params={"account_id": account_id, "key": key, "before": before}))

    async def forget_old_keys(self, before: int, limit: int) -> int:
        """Forget a few keys older than a time; how many."""
        return await self._few("delete_old_keys", before, limit)

    async def strip_ended(self, before: int, limit: int) -> int:
        """Drop the inputs and attempts of a few runs that ended before a time; how many."""
        return await self._few("strip_ended_runs", before, limit)

    async def delete_ended(self, before: int, limit: int) -> int:
        """Delete a few runs that ended before a time; how many."""
        return await self._few("delete_ended_runs", before, limit)

    async def _few(self, query: str, before: int, limit: int) -> int:
        return len((await self.database.write(Statement(query=query, params={"before": before, "limit": limit})))[0])

    async def bytes_used(self) -> int:
        """What the database holds, in bytes."""
        return int((await self.database.read("bytes_used"))[0][0])

    async def usage(
        self, account_id: int, first: int, last: int, partner_id: int | None, external_user_id: str | None = None
    ) -> list[UsageRow]:
        """What an account, or one end user, ran from one day to another, both included; days are counted from 1970."""
        user = external_user_id or only_user()
        told = {"account_id": account_id, "first": first, "last": last, "partner_id": partner_id, "external_user_id": user}
        rows = await self.database.read("usage" if user is None else "usage_of_user", told)
        return [UsageRow(**dict(zip(_USAGE, row, strict=True))) for row in rows]


def freed_key(run: Run) -> Statement:
    """That the key of a run may be used again: nothing came of it."""
    key = {"account_id": run.account_id, "user": run.external_user_id, "key": run.idempotency_key, "run_id": run.run_id}
    return Statement(query="free_key", params=key)


@lru_cache(maxsize=1024)
def _waits(account_id: int, partner_id: int, runs: int) -> Statement:
    """That so many more runs of an account wait for a partner. The same one for all who say the same: sums are made of them."""
    return Statement(query="count_waiting", params={"account_id": account_id, "partner_id": partner_id}, adds={"runs": runs})


def _ended(run: Run) -> Statement:
    """That a run ended, for the account's usage."""
    told = {
        "account_id": run.account_id,
        "day": (run.finished_at or 0) // DAY_MS,
        "partner_id": run.partner_id,
        "status": run.status,
    }
    return Statement(query="count_ended", params=told, adds={"runs": 1, "attempts": run.attempts, "upstream_ms": run.upstream_ms or 0})


def _pairs(places: Sequence[DbRow]) -> str:
    """Places as JSON."""
    return json.dumps([tuple(place) for place in places])


def _leads(wanted: RunFilter) -> Sequence[tuple[str, str]]:
    """The indexes in the order of how few runs they leave."""
    status = next(lead for lead in _LEADS if lead[0] == "status")
    return (*(lead for lead in _LEADS if lead is not status), status) if wanted.status == RunStatus.SUCCEEDED else _LEADS
