"""What the store keeps about grants and leases: one new grant per exchange, whoever was held up."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

import stored
from polyport.store.base import Stale
from polyport.store.records import ConnectionStatus
from polyport.store.repo import Repo

pytestmark = pytest.mark.anyio


@pytest.fixture
async def connected(repo: Repo, account_id: int) -> int:
    """A connection with a grant; the account's id."""
    await repo.connections.insert(stored.connection(account_id, 1), stored.grant(1))
    return account_id


async def test_a_grant_comes_with_its_connection_and_goes_with_it(repo: Repo, connected: int) -> None:
    assert await repo.grants.get(1) == stored.grant(1)
    assert await repo.grants.get(2) is None
    await repo.connections.delete(connected, 1)
    assert await repo.grants.get(1) is None


async def test_a_connection_that_is_not_made_keeps_no_grant(repo: Repo, connected: int) -> None:
    link = await repo.links.insert(stored.link(connected, expires_at=2_000))
    with pytest.raises(Stale):
        await repo.links.use(link, stored.connection(connected, 2), stored.grant(2), session_hash=None, now=2_000)
    assert await repo.grants.get(2) is None
    await repo.links.use(link, stored.connection(connected, 2), stored.grant(2), session_hash=None, now=1_000)
    assert await repo.grants.get(2) == stored.grant(2)


async def test_authorising_anew_ends_what_is_under_way_for_the_earlier_grant(repo: Repo, connected: int) -> None:
    first = stored.grant(1, fence=7)
    await repo.grants.begin_exchange(stored.grant(1), fence=7, until=5_000, owner="p7")
    await repo.connections.replace_secrets(stored.connection(connected, 1), stored.grant(1, sealed=b"anew"), now=2_000)
    with pytest.raises(Stale):
        await repo.grants.replace(replace(first, sealed=b"late"))
    found = await repo.grants.get(1)
    assert found == stored.grant(1, sealed=b"anew", generation=2, fence=7)


async def test_a_connection_that_is_authorised_in_another_way_has_no_grant_any_more(repo: Repo, connected: int) -> None:
    await repo.connections.replace_secrets(stored.connection(connected, 1), now=2_000)
    assert await repo.grants.get(1) is None
    link = await repo.links.insert(stored.link(connected, renews=True, connection_id=1))
    again = stored.connection(connected, 1, generation=2)
    await repo.links.use(link, again, stored.grant(1), session_hash=None, now=2_000)
    assert await repo.grants.get(1) == stored.grant(1)


async def test_a_new_grant_leaves_the_connection_and_what_is_in_memory_as_they_are(repo: Repo, connected: int) -> None:
    epoch, connection = await repo.tokens.epoch(), await repo.connections.get(connected, 1)
    grant = stored.grant(1, fence=1)
    await repo.grants.begin_exchange(stored.grant(1), fence=1, until=5_000, owner="p1")
    await repo.grants.replace(replace(grant, sealed=b"second", expires_at=20_000, refresh_at=19_000, updated_at=9_000))
    assert (await repo.tokens.epoch(), await repo.connections.get(connected, 1)) == (epoch, connection)
    assert await repo.grants.get(1) == stored.grant(
        1, sealed=b"second", generation=2, expires_at=20_000, refresh_at=19_000, updated_at=9_000, fence=1
    )


async def test_of_many_new_grants_for_the_same_old_one_a_single_one_is_kept(repo: Repo, connected: int) -> None:
    grant = stored.grant(1, fence=1)
    await repo.grants.begin_exchange(stored.grant(1), fence=1, until=5_000, owner="p1")
    told = await asyncio.gather(
        *(repo.grants.replace(replace(grant, sealed=bytes([number]))) for number in range(5)), return_exceptions=True
    )
    assert told.count(None) == 1
    found = await repo.grants.get(1)
    assert found is not None
    assert (found.generation, found.sealed) == (2, bytes([told.index(None)]))


async def test_of_two_that_begin_at_the_same_moment_one_asks_whatever_their_fences_are(repo: Repo, connected: int) -> None:
    grant = stored.grant(1)
    begins = [repo.grants.begin_exchange(grant, fence=fence, until=5_000, owner=f"p{fence}") for fence in (4, 5, 6)]
    told = await asyncio.gather(*begins, return_exceptions=True)
    assert sorted(map(type, told), key=str) == sorted([type(None), Stale, Stale], key=str)
    first = 4 + told.index(None)
    assert await repo.grants.get(1) == stored.grant(1, fence=first, exchange_until=5_000, exchange_by=f"p{first}")


async def test_who_was_overtaken_by_a_higher_fence_writes_nothing(repo: Repo, connected: int) -> None:
    grant = stored.grant(1)
    await repo.grants.begin_exchange(grant, fence=4, until=5_000, owner="p4")
    await repo.grants.begin_exchange(replace(grant, fence=4), fence=5, until=6_000, owner="p5")
    for late in (
        repo.grants.replace(replace(grant, fence=4, sealed=b"late")),
        repo.grants.delay(replace(grant, fence=4, refresh_at=20_000)),
        repo.grants.begin_exchange(replace(grant, fence=5), fence=4, until=9_000, owner="p4"),
    ):
        with pytest.raises(Stale):
            await late
    await repo.grants.end_exchange(replace(grant, fence=4))
    assert await repo.grants.get(1) == stored.grant(1, fence=5, exchange_until=6_000, exchange_by="p5")


async def test_an_exchange_that_brought_nothing_is_counted_until_one_brings_something(repo: Repo, connected: int) -> None:
    grant = stored.grant(1, fence=1)
    await repo.grants.begin_exchange(stored.grant(1), fence=1, until=5_000, owner="p1")
    for _time in range(2):
        await repo.grants.delay(replace(grant, refresh_at=12_000, exchange_until=6_000))
    assert await repo.grants.get(1) == stored.grant(1, fence=1, refresh_at=12_000, exchange_until=6_000, failures=2)
    await repo.grants.replace(grant)
    found = await repo.grants.get(1)
    assert found is not None
    assert (found.failures, found.exchange_until) == (0, None)


async def test_a_connection_is_ended_only_while_it_rests_on_the_grant_that_was_refused(repo: Repo, connected: int) -> None:
    connection, grant = stored.connection(connected, 1), stored.grant(1)
    await repo.grants.begin_exchange(grant, fence=1, until=5_000, owner="p1")
    await repo.grants.replace(replace(grant, fence=1, sealed=b"of the winner"))
    with pytest.raises(Stale):
        await repo.grants.end_connection(connection, grant, ConnectionStatus.INVALID, last_error="refused", now=2_000)
    with pytest.raises(Stale):
        await repo.grants.end_connection(
            replace(connection, generation=2), replace(grant, generation=2), ConnectionStatus.INVALID, last_error="refused", now=2_000
        )
    epoch = await repo.tokens.epoch()
    await repo.grants.begin_exchange(replace(grant, generation=2, fence=1), fence=2, until=5_000, owner="p2")
    await repo.grants.end_connection(
        connection, replace(grant, generation=2, fence=2), ConnectionStatus.EXPIRED, last_error="over", now=3_000
    )
    found = await repo.connections.get(connected, 1)
    assert found is not None
    assert (found.status, found.last_error, found.updated_at) == (ConnectionStatus.EXPIRED, "over", 3_000)
    kept = await repo.grants.get(1)
    assert kept is not None
    assert (kept.exchange_until, kept.failures) == (None, 0)
    assert await repo.tokens.epoch() == epoch + 1


async def test_due_grants_are_those_of_usable_connections_in_use_that_end_first(repo: Repo, account_id: int) -> None:
    told = {
        1: ({"last_used_at": 8_000}, {"refresh_at": 9_000}),
        2: ({"last_used_at": 8_000}, {"refresh_at": 8_500}),
        8: ({"last_used_at": 8_000, "status": ConnectionStatus.PENDING}, {"refresh_at": 8_600}),
        3: ({"last_used_at": 8_000}, {"refresh_at": 9_001}),
        4: ({"last_used_at": 8_000}, {"refresh_at": None}),
        5: ({"last_used_at": 7_999}, {}),
        6: ({}, {}),
        7: ({"last_used_at": 8_000, "status": ConnectionStatus.INVALID}, {}),
    }
    for number, (connection, grant) in told.items():
        await repo.connections.insert(stored.connection(account_id, number, **connection), stored.grant(number, **grant))
    assert await repo.grants.due(9_000, used_after=8_000, limit=9) == [
        (account_id, 10055, 2),
        (account_id, 10055, 8),
        (account_id, 10055, 1),
    ]
    assert await repo.grants.due(9_000, used_after=8_000, limit=1) == [(account_id, 10055, 2)]


async def test_a_lease_is_taken_by_one_of_many_and_again_only_in_place_of_the_one_that_is_over(repo: Repo) -> None:
    told = await asyncio.gather(
        *(repo.leases.claim("grant/1", f"p{number}", over=None, until=2_000) for number in range(5)), return_exceptions=True
    )
    (first,) = (lease for lease in told if not isinstance(lease, BaseException))
    assert sum(isinstance(lease, Stale) for lease in told) == 4
    assert await repo.leases.get("grant/1") == first
    second = await repo.leases.claim("grant/1", "other", over=first, until=3_000)
    with pytest.raises(Stale):
        await repo.leases.claim("grant/1", "third", over=first, until=4_000)
    assert second.fence > first.fence


async def test_a_lease_that_somebody_else_has_taken_can_neither_be_extended_nor_given_back(repo: Repo) -> None:
    first = await repo.leases.claim("a", "p1", over=None, until=2_000)
    extended = await repo.leases.extend(first, 5_000)
    assert await repo.leases.get("a") == extended == replace(first, until=5_000)
    second = await repo.leases.claim("a", "p2", over=first, until=9_000)
    with pytest.raises(Stale):
        await repo.leases.extend(first, 6_000)
    await repo.leases.release(first)
    assert await repo.leases.get("a") == second


async def test_fences_grow_over_all_leases_also_when_one_was_given_back_or_tidied_up(repo: Repo) -> None:
    first = await repo.leases.claim("a", "p1", over=None, until=2_000)
    await repo.leases.release(first)
    assert await repo.leases.get("a") is None
    second = await repo.leases.claim("a", "p1", over=None, until=3_000)
    await repo.leases.claim("b", "p1", over=None, until=9_000)
    await repo.leases.tidy(4_000)
    assert [await repo.leases.get(name) is not None for name in ("a", "b")] == [False, True]
    third = await repo.leases.claim("a", "p1", over=None, until=3_000)
    assert first.fence < second.fence < third.fence
