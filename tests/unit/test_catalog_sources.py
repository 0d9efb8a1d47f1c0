"""Partners that are added, replaced and removed while a process runs, and who sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from polyport.catalog import Catalog, Wanted
from polyport.errors import NotFound
from polyport.store import sqlite_catalogue
from shelf import Shelf, folder

pytestmark = pytest.mark.anyio
SHARED, OWN, OTHER = 1, 7, 8


@dataclass
class House:
    catalog: Catalog
    shelf: Shelf

    async def put(self, number: int, owner: int | None = None, **told: Any) -> None:
        self.shelf.held[str(number)] = (owner, folder(number, **told))
        await self.catalog.refresh()

    async def titles(self, account: int | None) -> list[str]:
        page = await self.catalog.seen_by(account).list_operations(Wanted())
        return [item["title"] for item in page.items]


@pytest.fixture
def house(anyio_backend: str) -> House:
    catalog = Catalog((), (), "http://127.0.0.1")
    shelf = Shelf()
    catalog.add_source(shelf)
    return House(catalog, shelf)


async def test_what_a_source_adds_is_there_after_a_refresh_for_the_account_it_belongs_to(house: House):
    await house.put(3)
    await house.put(4, OWN)
    for account, seen in ((OWN, [3, 4]), (OTHER, [3]), (None, [3])):
        view = house.catalog.seen_by(account)
        assert [item["partnerId"] for item in (await view.list_partners(Wanted())).items] == seen
        assert len((await view.list_operations(Wanted())).items) == len(seen)
    mine, theirs = house.catalog.seen_by(OWN), house.catalog.seen_by(OTHER)
    assert (await mine.partner(4)).file.slug == "depot-4"
    assert (await mine.operation(4001))[1].title == "Create a thing"
    assert (await mine.find("depot-4")).file.id == 4
    for asked in (theirs.partner(4), theirs.operation(4001), theirs.partner_item(4), theirs.operation_item(4001), theirs.find("depot-4")):
        with pytest.raises(NotFound):
            await asked
    for asked in (theirs.partner(5), theirs.operation(5001), theirs.operation_item(5001), theirs.find("5")):
        with pytest.raises(NotFound):
            await asked


async def test_a_new_version_takes_the_place_of_the_one_before_which_whoever_holds_it_keeps(house: House):
    await house.put(3, operation="Old words")
    before = await house.catalog.seen_by(OWN).operation(3001)
    await house.put(3, operation="New words")
    assert await house.titles(OWN) == ["New words"]
    assert before[1].title == "Old words"
    assert (await house.catalog.seen_by(OWN).operation(3001))[1].title == "New words"


async def test_what_is_offered_no_more_is_not_there_any_more(house: House):
    await house.put(3)
    house.shelf.held.clear()
    await house.catalog.refresh()
    with pytest.raises(NotFound):
        await house.catalog.seen_by(OWN).operation(3001)
    assert (await house.titles(OWN), house.catalog.count) == ([], 0)


async def test_what_did_not_change_is_not_read_again(house: House):
    await house.put(3)
    await house.put(4)
    kept = await house.catalog.seen_by(None).partner(3)
    house.shelf.read.clear()
    await house.catalog.refresh()
    assert house.shelf.read == []
    await house.put(4, operation="Other words")
    assert await house.catalog.seen_by(None).partner(3) is kept


async def test_an_offer_with_a_fault_is_left_out_and_named_and_the_others_are_there(house: House):
    house.shelf.held["3"] = (None, {"partner.yaml": b"id: three\n"})
    await house.put(4)
    assert house.catalog.count == 1
    assert "3/partner.yaml:1:1" in {str(problem).split(": ")[0] for problem in house.catalog.problems}


async def test_slugs_may_repeat_between_accounts_ids_may_not(house: House):
    await house.put(3, OWN, slug="depot")
    await house.put(4, OTHER, slug="depot")
    assert (house.catalog.count, house.catalog.problems) == (2, [])
    await house.put(5, slug="depot")
    await house.put(6, OWN, slug="depot")
    assert (house.catalog.count, house.catalog.problems) == (3, [])
    assert [each.message for each in house.catalog.problems_of("shelf", "6")] == [
        'The partner "3" has the same slug; choose another one. This partner is left out.'
    ]
    house.shelf.held["again"] = (OTHER, folder(3, slug="another"))
    await house.catalog.refresh()
    assert [each.message for each in house.catalog.problems_of("shelf", "again")] == [
        "A partner of somebody else has the same id; choose another one. This partner is left out.",
        "A partner of somebody else has the same id for an operation; choose another one. This partner is left out.",
    ]


async def test_what_everybody_sees_comes_first_and_what_stood_back_comes_when_the_other_is_gone(house: House):
    await house.put(3, OWN)
    await house.catalog.seen_by(OWN).partner(3)
    house.shelf.held["shared"] = (None, folder(3, slug="shared", operation="For all"))
    await house.catalog.refresh()
    assert await house.titles(OWN) == await house.titles(None) == ["For all"]
    assert "comes first" in house.catalog.problems_of("shelf", "3")[0].message
    del house.shelf.held["shared"]
    await house.catalog.refresh()
    assert (await house.titles(OWN), await house.titles(None)) == (["Create a thing"], [])
    assert house.catalog.problems_of("shelf", "3") == []


async def test_what_is_wrong_with_a_partner_of_an_account_is_told_to_who_asks_for_it_alone(house: House):
    house.shelf.held["mine"] = (OWN, {"partner.yaml": b"id: three\n"})
    await house.put(4)
    assert house.catalog.problems == []
    assert [problem.line for problem in house.catalog.problems_of("shelf", "mine")][:1] == [1]
    assert house.catalog.problems_of("shelf", "4") == []


async def test_far_pages_hold_what_leafing_from_the_beginning_shows_whoever_looks(house: House, monkeypatch: pytest.MonkeyPatch):
    for number in range(10, 40):
        await house.put(number, OTHER if number == 25 else None, operation=f"Thing {100 - number}")
    near = {}
    asked = [{}, {"sort": "title"}, {"sort": "-title"}, {"filters": {("isAction", "eq"): "1"}}]

    async def leafed(account: int | None, told: dict[str, Any]) -> list[list[int]]:
        view, pages = house.catalog.seen_by(account), []
        for page in range(1, 13):
            found = await view.list_operations(Wanted(page=page, per_page=3, **told))
            pages.append([found.total, *(item["triggerActionId"] for item in found.items)])
        return pages

    for place, told in enumerate(asked):
        for account in (None, OWN, OTHER):
            near[place, account] = await leafed(account, told)
    assert near[0, None] != near[0, OTHER]
    monkeypatch.setattr(sqlite_catalogue, "DEEP", 2)
    monkeypatch.setattr(sqlite_catalogue, "ORDERS_MOST", 2)
    for _time in range(2):
        for place, told in enumerate(asked):
            for account in (None, OWN, OTHER):
                assert await leafed(account, told) == near[place, account]
    await house.put(5, operation="Thing 5")
    assert await leafed(OWN, {}) == await leafed(None, {}) != near[0, None]
    assert (await leafed(None, {}))[0][1] == 5001
