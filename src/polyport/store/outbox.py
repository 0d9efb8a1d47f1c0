"""Outgoing events and who gets them: what ``Repo`` says about them in terms of a ``Database``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from polyport.store.base import Database, DbRow, Statement
from polyport.store.records import CallbackSecrets, Endpoint, EndpointStatus, EventStatus, OutgoingEvent
from polyport.store.rows import build, columns, params

_BUMP = Statement(query="bump_epoch")
PARKED: Final = 2**53  # due never: it waits until its endpoint is no longer paused
ENDPOINTS_MOST: Final = 100  # of one account
STEP: Final = 1_000  # events that one statement touches at most
LAST: Final = "evt_~"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """What a list of events is filtered by; ``None`` means any. ``before`` is an event id: ids are in the order of time."""

    status: str | None = None
    type: str | None = None
    endpoint_id: str | None = None
    before: str = LAST


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """How many events wait, wait for a paused endpoint and are dead letters, each counted up to a limit, and when the oldest that waits was made."""

    waiting: int
    paused: int
    dead: int
    oldest: int | None


def insert_event(event: OutgoingEvent, *, connection: tuple[int, int, str] | None = None) -> Statement:
    """The statement that keeps an event, for the unit of the change that it tells.

    ``connection`` is (id, generation, status): the event is kept only if the connection stands at another status.
    """
    connection_id, generation, becomes = connection or (None, None, None)
    given = {**params(event), "connection_id": connection_id, "generation": generation, "becomes": becomes}
    return Statement(query="insert_event", params=given)


def _event(row: DbRow) -> OutgoingEvent:
    values = dict(zip(columns(OutgoingEvent), row, strict=True))
    values["status"] = EventStatus(values["status"])
    return OutgoingEvent(**values)


def _endpoint(row: DbRow) -> Endpoint:
    values = dict(zip(columns(Endpoint), row, strict=True))
    return Endpoint(**(values | {"status": EndpointStatus(values["status"])}))


@dataclass(frozen=True, slots=True)
class Outbox:
    """Events on their way. A claim is a lease: what its process does not settle in time is due again."""

    database: Database

    async def insert(self, *events: OutgoingEvent) -> None:
        """Keep events that tell of no change in the store."""
        await self.database.write(*map(insert_event, events))

    async def get(self, account_id: int, event_id: str) -> OutgoingEvent | None:
        """One event of an account."""
        rows = await self.database.read("event", {"account_id": account_id, "event_id": event_id})
        return _event(rows[0]) if rows else None

    async def of_subject(self, account_id: int, subject: str) -> list[OutgoingEvent]:
        """The events that tell of one run, in order, without what they tell."""
        return [_event(row) for row in await self.database.read("events_of_subject", {"account_id": account_id, "subject": subject})]

    async def page(self, account_id: int, wanted: EventFilter, *, limit: int) -> list[OutgoingEvent]:
        """Events without what they tell, newest first."""
        given = {"account_id": account_id, "limit": limit, **params(wanted)}
        query = "events_of_status" if wanted.status is not None else "events" if wanted.endpoint_id is None else "events_of_endpoint"
        rows = await self.database.read(query, given)
        return [_event(row) for row in rows]

    async def next_due(self) -> int | None:
        """When the next event is due."""
        due = (await self.database.read("next_event_due"))[0][0]
        return int(due) if due is not None else None

    async def census(self, limit: int) -> Census:
        """How events stand, those of all accounts."""
        waiting, paused, dead, oldest = (await self.database.read("census_of_events", {"limit": limit, "parked": PARKED}))[0]
        return Census(waiting=int(waiting), paused=int(paused), dead=int(dead), oldest=None if oldest is None else int(oldest))

    async def lanes_due(self, now: int) -> list[str]:
        """The lanes that hold a due event, the one that waits longest first."""
        return [str(row[0]) for row in await self.database.read("lanes_due", {"now": now})]

    async def claim(self, rooms: Mapping[str, int], owner: str, *, now: int, leased_until: int) -> list[OutgoingEvent]:
        """Take due events for this owner: of each lane as many as there is room for."""
        given = {"owner": owner, "now": now, "leased_until": leased_until}
        told = await self.database.write(
            *(Statement(query="claim_events", params={**given, "lane": lane, "limit": room}) for lane, room in rooms.items())
        )
        return [_event(row) for rows in told for row in rows]

    async def settle(self, event: OutgoingEvent, *, owner: str, attempt: int) -> None:
        """Write what came of an attempt. Raises ``Stale`` when the lease was over and somebody else took the event."""
        given = {**params(event), "owner": owner, "attempt": attempt}
        await self.database.write(Statement(query="settle_event", params=given, expect=1))

    async def replay(self, account_id: int, event_id: str, now: int) -> None:
        """Send an ended event anew, and one that waits for another attempt now. Raises ``Stale`` for one that is being sent, waits for its endpoint or is not there."""
        given = {"account_id": account_id, "event_id": event_id, "now": now, "parked": PARKED}
        await self.database.write(Statement(query="replay_event", params=given, expect=1))

    async def replay_dead(self, account_id: int, wanted: EventFilter, *, before: int, now: int) -> int:
        """Send up to a thousand dead letters anew that ended before a time; how many there were."""
        given = {"account_id": account_id, "type": wanted.type, "endpoint_id": wanted.endpoint_id, "before": before, "now": now}
        return await self._count("replay_dead_events", given)

    async def resume(self, endpoint_id: str, now: int) -> int:
        """Let up to a thousand events go on that waited for an endpoint; how many there were."""
        return await self._count("resume_events", {"endpoint_id": endpoint_id, "now": now, "parked": PARKED})

    async def bury_parked(self, *, before: int, now: int, reason: str) -> int:
        """Give up to a thousand events up that wait for a paused endpoint since before a time; how many there were."""
        return await self._count("bury_parked_events", {"before": before, "now": now, "reason": reason, "parked": PARKED})

    async def forget(self, status: EventStatus, before: int) -> int:
        """Drop up to a thousand events that ended so before a time; how many there were."""
        return await self._count("delete_old_events", {"status": status, "before": before})

    async def _count(self, query: str, given: Mapping[str, object]) -> int:
        return len((await self.database.write(Statement(query=query, params=given)))[0])


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Who is told what, and what signs it. Every change bumps the cache epoch."""

    database: Database

    async def insert(self, endpoint: Endpoint) -> None:
        """Keep a new endpoint. Raises ``Stale`` when the account has as many as it may have."""
        await self.database.write(Statement(query="insert_endpoint", params={**params(endpoint), "most": ENDPOINTS_MOST}, expect=1), _BUMP)

    async def get(self, account_id: int, endpoint_id: str) -> Endpoint | None:
        """One endpoint of an account."""
        rows = await self.database.read("endpoint", {"account_id": account_id, "endpoint_id": endpoint_id})
        return _endpoint(rows[0]) if rows else None

    async def all(self, account_id: int) -> Sequence[Endpoint]:
        """All endpoints of an account."""
        return [_endpoint(row) for row in await self.database.read("endpoints", {"account_id": account_id})]

    async def update(self, endpoint: Endpoint) -> None:
        """Put the record in place of that of its ``generation``. Raises ``Stale`` when somebody else changed it first."""
        await self.database.write(Statement(query="update_endpoint", params=params(endpoint), expect=1), _BUMP)

    async def disable(self, endpoint_id: str, reason: str, now: int) -> None:
        """Send an endpoint nothing any more. Raises ``Stale`` when it is disabled or gone."""
        given = {"endpoint_id": endpoint_id, "reason": reason, "now": now}
        await self.database.write(Statement(query="disable_endpoint", params=given, expect=1), _BUMP)

    async def delete(self, account_id: int, endpoint_id: str) -> None:
        """Drop an endpoint. Raises ``Stale`` when there is none."""
        given = {"account_id": account_id, "endpoint_id": endpoint_id}
        await self.database.write(Statement(query="delete_endpoint", params=given, expect=1), _BUMP)

    async def callback_secrets(self, account_id: int) -> CallbackSecrets | None:
        """What signs an account's callbacks, if there is something yet."""
        return build(CallbackSecrets, await self.database.read("callback_secrets", {"account_id": account_id}))

    async def put_callback_secrets(self, held: CallbackSecrets) -> None:
        """Put these in place of those of their ``generation`` (0: the first ones). Raises ``Stale`` when somebody else did so first."""
        query = "update_callback_secrets" if held.generation else "insert_callback_secrets"
        await self.database.write(Statement(query=query, params=params(held), expect=1), _BUMP)
