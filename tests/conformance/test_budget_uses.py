"""The ledger of budgets that every database keeps: never more than the limit, whoever asks."""

from __future__ import annotations

import asyncio

import pytest

from polyport.store.base import Database
from polyport.store.budgets import FOR_EVER, BudgetUses, Count

pytestmark = pytest.mark.anyio


@pytest.fixture
def uses(database: Database) -> BudgetUses:
    return BudgetUses(database)


def window(now: int, key: str = "a", *, cost: int = 1, most: int = 10, keep: int = 1_000) -> Count:
    span = now - now % 10
    return Count(key, cost, most, span, now - keep, now + keep, span + keep)


def place(owner: str, number: int, *, most: int = 3) -> Count:
    return Count("places", 1, most, number, 0, FOR_EVER, FOR_EVER, owner)


async def take(uses: BudgetUses, wanted: int, *counts: Count, now: int = 5_000) -> int:
    (rows,) = await uses.take([(counts, wanted)], now)
    return int(rows[0][1]) if rows else 0


async def test_permits_are_given_up_to_the_limit_and_come_back_when_their_time_is_over(uses: BudgetUses) -> None:
    assert await take(uses, 4, window(5_000)) == 4
    assert await take(uses, 9, window(5_500)) == 6
    assert await take(uses, 1, window(5_999)) == 0
    assert await take(uses, 9, window(6_000)) == 4
    assert await take(uses, 9, window(6_500)) == 6


async def test_a_call_takes_of_all_its_budgets_or_of_none(uses: BudgetUses) -> None:
    assert await take(uses, 9, window(5_000), window(5_000, "b", cost=5, most=12)) == 2
    assert await take(uses, 9, window(5_000), window(5_000, "b", cost=5, most=12)) == 0
    assert await take(uses, 9, window(5_000)) == 8


async def test_many_who_ask_at_once_never_get_more_than_there_is(uses: BudgetUses) -> None:
    got = await asyncio.gather(*(take(uses, 3, window(5_000 + number, most=50)) for number in range(40)))
    assert sum(got) == 50


async def test_what_counts_can_be_read_with_its_end(uses: BudgetUses) -> None:
    await take(uses, 4, window(5_000))
    await take(uses, 2, window(5_200))
    found = await uses.counted([window(5_300), window(5_300, "b")], 5_300)
    assert sorted((row.span, row.taken, row.until) for row in found) == [(5_000, 4, 6_000), (5_200, 2, 6_200)]
    assert len(await uses.counted([window(6_100)], 6_100)) == 1


async def test_units_that_are_used_later_count_from_then_on(uses: BudgetUses) -> None:
    await take(uses, 10, window(5_000))
    await uses.move([(window(5_000), window(5_400))])
    assert await take(uses, 10, window(6_000)) == 9
    assert await take(uses, 10, window(6_400)) == 1


async def test_places_are_given_back_and_those_of_the_dead_are_free(uses: BudgetUses) -> None:
    assert await take(uses, 2, place("1-a", 11)) == 2
    assert await take(uses, 2, place("2-b", 12)) == 1
    await uses.give_back([place("1-a", 11)])
    assert await take(uses, 2, place("2-b", 12)) == 1
    assert sorted(await uses.owners()) == ["1-a", "2-b"]
    await uses.release("2-b")
    assert await take(uses, 9, place("1-a", 11)) == 2
    await uses.tidy(9_999_999)
    assert await take(uses, 9, place("1-a", 11)) == 0


async def test_what_the_partner_tells_takes_away_and_never_adds(uses: BudgetUses) -> None:
    await take(uses, 3, window(5_000))
    await uses.tell(window(5_000), 2, 5_800)
    assert await take(uses, 9, window(5_100), now=5_100) == 2
    assert await take(uses, 9, window(5_200), now=5_200) == 0
    assert await take(uses, 9, window(5_800), now=5_800) == 5
    await uses.tell(window(5_800), 500, 9_000)
    assert await take(uses, 9, window(5_900), now=5_900) == 0


async def test_a_budget_that_is_closed_opens_at_its_moment_and_not_before_the_latest_that_was_told(uses: BudgetUses) -> None:
    await uses.close([window(5_000)], 7_000)
    await uses.close([window(5_000)], 6_000)
    assert await take(uses, 9, window(6_500), now=6_500) == 0
    assert await take(uses, 9, window(7_000), now=7_000) == 9


async def test_what_counts_no_more_is_dropped(uses: BudgetUses, database: Database) -> None:
    await take(uses, 1, window(5_000))
    await take(uses, 1, window(5_500))
    await uses.tidy(6_200)
    found = await database.read("budget_uses", {"quotas": '[["a", 1, 10, 0, 0, 9999999]]', "now": 0})
    assert [row[1] for row in found] == [5_500]
