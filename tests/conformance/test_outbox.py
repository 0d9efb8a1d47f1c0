"""Outgoing events in the store: written with the change that they tell, claimed by one process, settled by who holds the lease."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as with_changes

import stored
from polyport.store.base import Database, Stale, Statement
from polyport.store.outbox import ENDPOINTS_MOST, PARKED, Census, EventFilter, insert_event
from polyport.store.records import CallbackSecrets, ConnectionStatus, EndpointStatus, EventStatus, Link, LinkStatus
from polyport.store.repo import Repo

pytestmark = pytest.mark.anyio


class Teller:
    """A herald that tells everything to one callback address, and the type of each event in its body."""

    def __init__(self, account_id: int) -> None:
        self.account_id = account_id
        self.announced = 0

    async def listens(self, _account_id: int, _event_type: str) -> bool:
        return True

    async def connection(self, event_type: str, record: Any, *, becomes: str | None = None) -> Sequence[Statement]:
        swap = (record.connection_id, record.generation, becomes) if becomes is not None else None
        return [self._told(event_type, f"{event_type} {record.title} {record.status}", swap)]

    async def link(self, link: Link) -> Sequence[Statement]:
        return [self._told("link.completed", f"link.completed {int(link.status)} {link.connection_id}")]

    async def run(self, run: Any, *, result: Any = None, error: Any = None) -> Sequence[Statement]:
        return [self._told("run.finished", f"run.finished {run.status}")]

    def announce(self) -> None:
        self.announced += 1

    def _told(self, event_type: str, body: str, swap: Any = None) -> Statement:
        return insert_event(stored.event(self.account_id, type=event_type, sealed=body.encode()), connection=swap)


@pytest.fixture
def teller(account_id: int) -> Teller:
    return Teller(account_id)


@pytest.fixture
def telling(database: Database, teller: Teller) -> Repo:
    return Repo(database, teller)


async def told(repo: Repo, account_id: int) -> list[str]:
    """What the events of an account tell, in order."""
    found = await repo.outbox.page(account_id, EventFilter(), limit=100)
    events = [await repo.outbox.get(account_id, event.event_id) for event in reversed(found)]
    return [event.sealed.decode() for event in events if event is not None]


async def test_every_change_of_a_connection_is_written_with_its_event(telling: Repo, teller: Teller, account_id: int) -> None:
    record = stored.connection(account_id, 1)
    await telling.connections.insert(record)
    await telling.connections.patch(account_id, 1, title="Renamed", metadata="{}", external_user_id=None, now=2)
    await telling.connections.replace_secrets(replace(record, title="Renamed"), now=3)
    held = await telling.connections.get(account_id, 1)
    assert held is not None
    await telling.connections.verified(held, stored.refused(last_error="refused"), now=4)
    await telling.connections.verified(held, stored.finding(), now=5)
    await telling.connections.delete(account_id, 1)

    assert await told(telling, account_id) == [
        "connection.created Sales active",
        "connection.updated Renamed active",
        "connection.updated Renamed active",
        "connection.invalid Renamed invalid",
        "connection.updated Renamed active",
        "connection.deleted Renamed active",
    ]
    assert teller.announced == 6


async def test_of_many_that_find_a_connection_invalid_one_tells_it(telling: Repo, account_id: int) -> None:
    record = stored.connection(account_id, 1)
    await telling.connections.insert(record)
    finding = [telling.connections.verified(record, stored.refused(last_error=f"refused {number}"), now=2) for number in range(20)]
    await asyncio.gather(*finding)
    await telling.connections.verified(record, stored.refused(last_error="still"), now=3)

    assert await told(telling, account_id) == ["connection.created Sales active", "connection.invalid Sales invalid"]


async def test_a_connection_whose_grant_is_gone_is_told_with_its_end(telling: Repo, account_id: int) -> None:
    record, grant = stored.connection(account_id, 1), stored.grant(1)
    await telling.connections.insert(record, grant)
    ends = [telling.grants.end_connection(record, grant, ConnectionStatus.INVALID, last_error="revoked", now=2) for _process in range(4)]
    failed = [error for error in await asyncio.gather(*ends, return_exceptions=True) if error is not None]

    assert len(failed) == 3
    assert await told(telling, account_id) == ["connection.created Sales active", "connection.invalid Sales invalid"]


async def test_a_change_that_was_not_made_tells_nothing(telling: Repo, account_id: int) -> None:
    record = stored.connection(account_id, 1)
    await telling.connections.insert(record)
    await telling.connections.replace_secrets(record, now=2)
    changes = [
        telling.connections.replace_secrets(record, now=3),
        telling.connections.verified(record, stored.refused(last_error="old"), now=3),
        telling.connections.delete(account_id + 1, 1),
        telling.connections.patch(account_id, 2, title="x", metadata="{}", external_user_id=None, now=3),
        telling.runs.finish(stored.running(account_id, "me"), told=await telling.herald.run(stored.run(account_id))),
    ]
    for change in changes:
        with pytest.raises(Stale):
            await change

    assert await told(telling, account_id) == ["connection.created Sales active", "connection.updated Sales active"]


async def test_a_link_that_is_used_tells_of_itself_and_of_its_connection_once(telling: Repo, account_id: int) -> None:
    link = await telling.links.insert(stored.link(account_id, callback_url="https://a.example.com"))
    uses = [telling.links.use(link, stored.connection(account_id, number), session_hash=None, now=2_000) for number in range(1, 6)]
    failed = [error for error in await asyncio.gather(*uses, return_exceptions=True) if error is not None]

    assert len(failed) == 4
    done, connection = int(LinkStatus.DONE), (await told(telling, account_id))[1].rpartition(" ")[2]
    assert await told(telling, account_id) == ["connection.created Sales active", f"link.completed {done} {connection}"]


async def test_an_event_is_claimed_by_one_process_and_again_when_its_lease_is_over(repo: Repo, account_id: int) -> None:
    events = [stored.event(account_id) for _number in range(40)]
    await repo.outbox.insert(*events)
    lane = events[0].lane
    claims = await asyncio.gather(*(repo.outbox.claim({lane: 10}, f"p{number}", now=2_000, leased_until=9_000) for number in range(6)))
    taken = [event.event_id for claim in claims for event in claim]

    assert sorted(taken) == sorted(event.event_id for event in events)
    assert await repo.outbox.lanes_due(8_999) == []
    again = await repo.outbox.claim({lane: 100}, "later", now=9_000, leased_until=20_000)
    assert len(again) == 40
    assert {(event.attempts, event.owner, event.sealed) for event in again} == {(2, "later", b"body")}


async def test_only_who_holds_the_lease_of_an_attempt_settles_it(repo: Repo, account_id: int) -> None:
    event = stored.event(account_id)
    await repo.outbox.insert(event)
    (first,) = await repo.outbox.claim({event.lane: 1}, "slow", now=2_000, leased_until=3_000)
    (second,) = await repo.outbox.claim({event.lane: 1}, "slow", now=3_000, leased_until=4_000)
    delivered = with_changes(first, status=EventStatus.DELIVERED, ended_at=3_500)
    with pytest.raises(Stale):
        await repo.outbox.settle(delivered, owner="slow", attempt=first.attempts)
    with pytest.raises(Stale):
        await repo.outbox.settle(delivered, owner="other", attempt=second.attempts)
    await repo.outbox.settle(delivered, owner="slow", attempt=second.attempts)

    held = await repo.outbox.get(account_id, event.event_id)
    assert held is not None
    assert (held.status, held.owner, held.ended_at) == (EventStatus.DELIVERED, None, 3_500)


async def test_lanes_are_named_once_each_those_that_wait_longest_first(repo: Repo, account_id: int) -> None:
    for lane, at in (("b", 3_000), ("a", 2_000), ("b", 1_000), ("c", 9_000), ("b", 1_500)):
        await repo.outbox.insert(stored.event(account_id, lane=lane, at=at))
    await repo.outbox.insert(stored.event(account_id, lane="d", status=EventStatus.DEAD, ended_at=1))

    assert await repo.outbox.lanes_due(4_000) == ["b", "a"]
    assert await repo.outbox.next_due() == 1_000
    claimed = await repo.outbox.claim({"b": 2, "a": 0, "c": 5}, "me", now=4_000, leased_until=5_000)
    assert [(event.lane, event.created_at) for event in claimed] == [("b", 1_000), ("b", 1_500)]


async def test_an_event_for_an_endpoint_that_is_gone_or_disabled_is_not_kept(repo: Repo, account_id: int) -> None:
    await repo.endpoints.insert(stored.endpoint(account_id, "ep_gone"))
    await repo.endpoints.insert(stored.endpoint(account_id, "ep_off"))
    await repo.endpoints.insert(stored.endpoint(account_id, "ep_on", status=EndpointStatus.PAUSED))
    await repo.endpoints.delete(account_id, "ep_gone")
    await repo.endpoints.disable("ep_off", "410", now=2)
    for name in ("ep_gone", "ep_off", "ep_on"):
        await repo.outbox.insert(stored.event(account_id, endpoint_id=name))

    assert [event.endpoint_id for event in await repo.outbox.page(account_id, EventFilter(), limit=10)] == ["ep_on"]


async def test_events_are_listed_newest_first_by_type_status_and_endpoint(repo: Repo, account_id: int) -> None:
    await repo.endpoints.insert(stored.endpoint(account_id))
    other = await stored.account(repo, "other@example.com")
    made = [
        stored.event(account_id, at=1),
        stored.event(account_id, at=2, type="link.completed", endpoint_id="ep_1"),
        stored.event(account_id, at=3, status=EventStatus.DEAD, ended_at=5),
        stored.event(other, at=4),
    ]
    for event in made:
        await repo.outbox.insert(event)

    async def ids(**wanted: Any) -> list[int]:
        found = await repo.outbox.page(account_id, EventFilter(**wanted), limit=2)
        assert all(event.sealed == b"" for event in found)
        return [event.created_at for event in found]

    assert await ids() == [3, 2]
    assert await ids(before=made[1].event_id) == [1]
    assert await ids(type="link.completed") == [2]
    assert await ids(endpoint_id="ep_1") == [2]
    assert await ids(status="dead") == [3]
    assert await ids(status="pending", before=made[2].event_id) == [2, 1]
    assert await repo.outbox.get(account_id, made[3].event_id) is None


async def test_ended_events_are_replayed_from_their_first_attempt(repo: Repo, account_id: int) -> None:
    dead, parked = stored.event(account_id, status=EventStatus.DEAD, attempts=8, ended_at=5_000), stored.event(account_id, due_at=PARKED)
    await repo.outbox.insert(dead, parked)
    for wrong in ((account_id, parked.event_id), (account_id + 1, dead.event_id)):
        with pytest.raises(Stale):
            await repo.outbox.replay(*wrong, now=6_000)
    await repo.outbox.replay(account_id, dead.event_id, now=6_000)

    held = await repo.outbox.get(account_id, dead.event_id)
    assert held is not None
    assert (held.status, held.attempts, held.due_at, held.ended_at) == (EventStatus.PENDING, 0, 6_000, None)


async def test_an_event_that_waits_is_due_now_and_keeps_its_attempts_and_one_that_is_being_sent_is_left(
    repo: Repo, account_id: int
) -> None:
    waiting = stored.event(account_id, attempts=3, due_at=90_000)
    await repo.outbox.insert(waiting)
    await repo.outbox.replay(account_id, waiting.event_id, now=6_000)
    held = await repo.outbox.get(account_id, waiting.event_id)
    assert held is not None
    assert (held.status, held.attempts, held.due_at) == (EventStatus.PENDING, 3, 6_000)

    (taken,) = await repo.outbox.claim({waiting.lane: 1}, "me", now=6_000, leased_until=60_000)
    assert taken.event_id == waiting.event_id
    with pytest.raises(Stale):
        await repo.outbox.replay(account_id, waiting.event_id, now=7_000)


async def test_dead_letters_are_replayed_together_those_of_one_account_alone(repo: Repo, account_id: int) -> None:
    other = await stored.account(repo, "other@example.com")
    for owner, kind, ended in ((account_id, "run.finished", 1), (account_id, "run.finished", 9), (account_id, "a", 1), (other, "a", 1)):
        await repo.outbox.insert(stored.event(owner, type=kind, status=EventStatus.DEAD, ended_at=ended))

    assert await repo.outbox.replay_dead(account_id, EventFilter(type="run.finished"), before=5, now=6) == 1
    assert await repo.outbox.replay_dead(account_id, EventFilter(), before=9, now=10) == 2
    assert await repo.outbox.replay_dead(account_id, EventFilter(), before=9, now=10) == 0
    assert [event.status for event in await repo.outbox.page(other, EventFilter(), limit=9)] == [EventStatus.DEAD]


async def test_what_is_parked_goes_on_or_is_given_up(repo: Repo, account_id: int) -> None:
    for name in ("ep_1", "ep_2"):
        await repo.endpoints.insert(stored.endpoint(account_id, name))
        await repo.outbox.insert(stored.event(account_id, endpoint_id=name, due_at=PARKED, at=1_000))

    assert await repo.outbox.lanes_due(10_000) == []
    assert await repo.outbox.resume("ep_1", 10_000) == 1
    assert len(await repo.outbox.lanes_due(10_000)) == 1
    assert await repo.outbox.bury_parked(before=1_000, now=10_000, reason="too long") == 0
    assert await repo.outbox.bury_parked(before=1_001, now=10_000, reason="too long") == 1
    (buried,) = await repo.outbox.page(account_id, EventFilter(status="dead"), limit=9)
    assert (buried.endpoint_id, buried.last_error, buried.ended_at) == ("ep_2", "too long", 10_000)


async def test_old_events_are_forgotten_by_what_became_of_them(repo: Repo, account_id: int) -> None:
    for status, ended in ((EventStatus.DELIVERED, 1), (EventStatus.DELIVERED, 9), (EventStatus.DEAD, 1)):
        await repo.outbox.insert(stored.event(account_id, status=status, ended_at=ended))
    await repo.outbox.insert(stored.event(account_id))

    assert await repo.outbox.forget(EventStatus.DELIVERED, before=5) == 1
    assert await repo.outbox.forget(EventStatus.DEAD, before=1) == 0
    left = {(event.status, event.ended_at) for event in await repo.outbox.page(account_id, EventFilter(), limit=9)}
    assert left == {(EventStatus.DELIVERED, 9), (EventStatus.DEAD, 1), (EventStatus.PENDING, None)}


async def test_endpoints_belong_to_their_account_and_change_by_compare_and_swap(repo: Repo, account_id: int) -> None:
    made = stored.endpoint(account_id)
    await repo.endpoints.insert(made)
    before = await repo.tokens.epoch()
    swaps = [repo.endpoints.update(replace(made, title=f"t{number}")) for number in range(5)]
    failed = [error for error in await asyncio.gather(*swaps, return_exceptions=True) if error is not None]

    assert len(failed) == 4
    assert await repo.tokens.epoch() == before + 1
    assert await repo.endpoints.get(account_id + 1, "ep_1") is None
    assert list(await repo.endpoints.all(account_id + 1)) == []
    with pytest.raises(Stale):
        await repo.endpoints.delete(account_id + 1, "ep_1")
    await repo.endpoints.delete(account_id, "ep_1")
    assert await repo.endpoints.get(account_id, "ep_1") is None


async def test_an_account_has_so_many_endpoints_and_no_more(repo: Repo, account_id: int) -> None:
    for number in range(ENDPOINTS_MOST):
        await repo.endpoints.insert(stored.endpoint(account_id, f"ep_{number}"))
    with pytest.raises(Stale):
        await repo.endpoints.insert(stored.endpoint(account_id, "ep_more"))
    assert len(await repo.endpoints.all(account_id)) == ENDPOINTS_MOST


async def test_the_secrets_of_callbacks_are_made_once_and_changed_by_compare_and_swap(repo: Repo, account_id: int) -> None:
    made = [CallbackSecrets(account_id=account_id, secrets=bytes([number]), generation=0, updated_at=1) for number in range(5)]
    told = await asyncio.gather(*(repo.endpoints.put_callback_secrets(one) for one in made), return_exceptions=True)
    held = await repo.endpoints.callback_secrets(account_id)

    assert told.count(None) == 1
    assert held is not None
    assert held.secrets == made[told.index(None)].secrets
    await repo.endpoints.put_callback_secrets(replace(held, secrets=b"next"))
    with pytest.raises(Stale):
        await repo.endpoints.put_callback_secrets(replace(held, secrets=b"late"))


async def test_a_census_counts_what_waits_what_is_paused_and_what_is_dead_up_to_a_limit(repo: Repo, account_id: int) -> None:
    assert await repo.outbox.census(10) == Census(waiting=0, paused=0, dead=0, oldest=None)
    await repo.outbox.insert(
        stored.event(account_id, at=4_000),
        stored.event(account_id, at=3_000, due_at=9_000, attempts=2),
        stored.event(account_id, at=1_000, due_at=PARKED),
        stored.event(account_id, at=1_000, status=EventStatus.DEAD, ended_at=2_000),
        stored.event(account_id, at=1_000, status=EventStatus.DEAD, ended_at=2_500),
        stored.event(account_id, at=1_000, status=EventStatus.DEAD, ended_at=2_700),
        stored.event(account_id, at=1_000, status=EventStatus.DELIVERED, ended_at=2_000),
    )
    assert await repo.outbox.census(10) == Census(waiting=2, paused=1, dead=3, oldest=3_000)
    assert await repo.outbox.census(2) == Census(waiting=2, paused=1, dead=2, oldest=3_000)
