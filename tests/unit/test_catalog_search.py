"""What is found by words, and in which order, in the bundled partners and in a catalogue made for it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from polyport.catalog import Catalog, Wanted, search
from polyport.catalog.words import line_of, synonyms, words_of
from polyport.errors import ValidationFailed
from polyport.store.catalogue import Ordered, Reach
from samples import action, partner, trigger

pytestmark = pytest.mark.anyio
HUBSPOT_CREATE = 10025156


@pytest.fixture(scope="module")
def bundled() -> Catalog:
    return Catalog.load((), "http://127.0.0.1")


@pytest.fixture(scope="module")
def made() -> Catalog:
    """Partners whose operations have much in common."""
    first = partner(
        action(id=1001, name="create_contact", title="Create a contact", description="A person in the CRM."),
        action(id=1002, name="delete_contact", title="Delete a contact"),
        action(id=1003, name="create_company", title="Create a company", description="Its contact comes along."),
        action(id=1004, name="create_contact_list", title="Create a contact list", deprecated=True),
        trigger(id=1005, name="new_contact", title="New contact"),
        id=10,
        slug="hubspot",
        title="HubSpot",
        categories=["crm"],
        description="Marketing and sales in every Größe.",
    )
    second = partner(
        action(id=2001, name="create_contact", title="Create a contact"),
        action(id=2002, name="append_rows", title="Append rows to a spreadsheet"),
        id=20,
        slug="pipe-works",
        title="Pipeworks",
        description="Contacts and deals of HubSpot's rival.",
    )
    many = [action(id=3000 + number, name=f"sync_{number}", title=f"Synchronise record {number}") for number in range(450)]
    best = action(id=3900, name="synchronise", title="Synchronise")
    return Catalog([first, second, partner(*many, best, id=30, slug="third", title="Third")], [], "http://127.0.0.1")


async def found(catalog: Catalog, question: str, **filters: str) -> list[int]:
    told: dict[tuple[str, str], str] = {("q", "eq"): question}
    told |= {(name.removesuffix("_like"), "like" if name.endswith("_like") else "eq"): value for name, value in filters.items()}
    page = await catalog.seen_by(None).list_operations(Wanted(filters=told, per_page=100))
    assert page.total >= len(page.items)
    return [item["triggerActionId"] for item in page.items]


async def test_three_words_with_typos_find_the_one_action(bundled: Catalog):
    assert (await found(bundled, "creat contct hubspt"))[0] == HUBSPOT_CREATE
    assert (await found(bundled, "Create contact HubSpot"))[0] == HUBSPOT_CREATE
    assert HUBSPOT_CREATE in (await found(bundled, "hub spot add person"))[:3]


async def test_every_word_has_to_be_found_and_what_has_them_in_its_names_comes_first(made: Catalog):
    assert await found(made, "create contact hubspot") == [1001, 1004, 1005, 1003], "what is new is created"
    assert (await found(made, "create contact"))[:2] == [1001, 2001]
    assert await found(made, "create contact zebra") == []
    assert await found(made, "") == await found(made, "!!!") == []


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("del cont", 1002),
        ("remove contact", 1002),
        ("worksheet", 2002),
        ("sheet", 2002),
        ("preadsheet", 2002),
        ("sprdsheet", 2002),
        ("pipeworks create", 2001),
        ("pipe works create", 2001),
        ("hub create company", 1003),
        ("NEW CONTACT", 1005),
        ("  créate   compány ", 1003),
    ],
)
async def test_words_are_found_by_beginnings_parts_synonyms_and_with_typos_and_accents(made: Catalog, question: str, expected: int):
    assert (await found(made, question))[0] == expected


async def test_a_word_that_stands_there_as_it_is_asked_for_beats_what_is_like_it(made: Catalog):
    assert (await found(made, "create company"))[0] == 1003
    assert (await found(made, "contact list"))[0] == 1004


async def test_a_word_that_begins_another_and_finds_nothing_with_the_rest_is_taken_for_a_typo(made: Catalog):
    assert await found(made, "contac companu") == [1003]


async def test_filters_hold_for_what_is_found(made: Catalog):
    assert await found(made, "contact", partnerId="10", isAction="1", deprecated="0") == [1001, 1002, 1003]
    assert await found(made, "contact", kind="apiTrigger") == [1005]
    assert await found(made, "contact", kind="api trigger") == []
    assert await found(made, "contact", title_like="LIST") == [1004]
    assert await found(made, "contact", title="create A contact") == [1001, 2001]
    assert await found(made, "contact", partnerId="010") == []


async def test_a_sorted_list_keeps_its_order(made: Catalog):
    page = await made.seen_by(None).list_operations(Wanted(filters={("q", "eq"): "contact hubspot"}, sort="-title"))
    titles = [item["title"] for item in page.items]
    assert titles == sorted(titles, reverse=True)
    assert page.total == len(titles) == 5


async def test_pages_of_a_broad_search_hold_everything_once_and_the_best_first(made: Catalog):
    numbers: list[int] = []
    for page in range(1, 7):
        wanted = Wanted(filters={("q", "eq"): "synchronise"}, page=page, per_page=100)
        told = await made.seen_by(None).list_operations(wanted)
        assert told.total == 451
        numbers += [item["triggerActionId"] for item in told.items]
    assert (len(numbers), len(set(numbers))) == (451, 451)
    assert numbers[0] in {3900, *range(3000, 3000 + search.RANKED)}
    assert (await found(made, "s", partnerId="30"))[0]


async def test_partners_are_found_by_title_slug_category_and_description(made: Catalog):
    async def partners(question: str, **filters: str) -> list[str]:
        told = {("q", "eq"): question} | {(name, "eq"): value for name, value in filters.items()}
        return [item["slug"] for item in (await made.seen_by(None).list_partners(Wanted(filters=told))).items]

    assert await partners("hubspot") == ["hubspot", "pipe-works"]
    assert await partners("crm") == ["hubspot"]
    assert await partners("grosse") == ["hubspot"]
    assert await partners("deals rival") == ["pipe-works"]
    assert await partners("hubspot", category="crm") == ["hubspot"]
    assert await partners("hubspot", slug="pipe-works") == ["pipe-works"]
    assert await partners("pipework") == ["pipe-works"]


@pytest.mark.parametrize(
    "question", ['"', "AND OR NOT NEAR", "* ^ : { } ( )", "a" * 5_000, "contact " * 500, "日本語 контакт", "\0", "x' --"]
)
async def test_whatever_is_asked_is_words_and_nothing_else(made: Catalog, question: str):
    for ask in (made.seen_by(None).list_operations, made.seen_by(7).list_partners):
        assert (await ask(Wanted(filters={("q", "eq"): question}))).total >= 0


async def test_lists_are_filtered_sorted_and_paged_from_both_ends(made: Catalog):
    async def page(**asked: Any) -> Any:
        return await made.seen_by(None).list_operations(Wanted(**asked))

    whole = [item["triggerActionId"] for number in range(1, 6) for item in (await page(per_page=100, page=number)).items]
    assert whole == sorted(whole)
    assert len(whole) == 458
    last = await page(per_page=100, page=5)
    assert (last.total, len(last.items), (await page(per_page=100, page=6)).items) == (458, 58, [])
    for sort, key in (("title", lambda item: item["title"].casefold()), ("triggerActionId", lambda item: item["triggerActionId"])):
        up = [item for number in range(1, 6) for item in (await page(per_page=100, page=number, sort=sort)).items]
        assert [key(item) for item in up] == sorted(key(item) for item in up)
        down = [item for number in range(1, 6) for item in (await page(per_page=100, page=number, sort=f"-{sort}")).items]
        assert [key(item) for item in down] == [key(item) for item in reversed(up)]
        assert len({item["triggerActionId"] for item in down}) == 458
    equal = [item["triggerActionId"] for item in (await page(filters={("title", "like"): "create a contact"}, sort="-title")).items]
    assert equal == [1004, 1001, 2001], "of equal titles the first stays the first"


async def test_what_cannot_be_asked_is_refused_with_every_fault(made: Catalog):
    with pytest.raises(ValidationFailed) as refused:
        await made.seen_by(None).list_partners(Wanted(filters={("name", "eq"): "x", ("deprecated", "eq"): "maybe"}, sort="triggerActionId"))
    assert [fault.path for fault in refused.value.details.fields] == ["filter[name]", "filter[deprecated]", "sort"]


def test_texts_are_taken_apart_into_words():
    assert words_of("Créer_un Contact, (E-Mail) №5") == ["creer", "un", "contact", "e", "mail", "no5"]
    assert line_of("HubSpot CRM") == "hubspot crm hub spot"
    assert line_of("a b c a", most=2) == "a b"
    assert "create" in synonyms()["add"]
    assert "add" not in synonyms()["add"]


@pytest.mark.parametrize("question", ["create contact", "synchronise", "hubspt", "sync record 17"])
async def test_an_account_that_is_limited_to_many_partners_finds_what_one_limited_to_few_does(
    made: Catalog, monkeypatch: pytest.MonkeyPatch, question: str
):
    reach = Reach(owner=None, allowed=frozenset({10, 30}))
    finder = made._search

    def answers() -> list[tuple[list[bytes], int]]:
        return [finder.page("operation", question, reach, Ordered(), start, 20) for start in (0, 20, 440)]

    by_marks = answers()
    assert by_marks[0][1] > 0
    monkeypatch.setattr(search, "MARKED_MOST", 1)
    monkeypatch.setattr(search, "LIMITS_KEPT", 1)
    assert answers() == by_marks
    assert len(finder._limits) == 1
    finder.page("partner", question, reach, Ordered(), 0, 20)
    assert len(finder._limits) == 1


@pytest.mark.parametrize("question", ["create contact", "synchronise", "hubspt", "sync record 17", "contact hubspot", "c"])
async def test_what_is_counted_as_it_is_read_and_what_is_asked_for_its_number_is_the_same(
    made: Catalog, monkeypatch: pytest.MonkeyPatch, question: str
):
    finder, places = made._search, (0, 20, 190, 210, 440)
    counted = [finder.page("operation", question, Reach(), Ordered(), start, 20) for start in places]
    assert counted[0][1] > 0
    monkeypatch.setattr(search, "COUNTED_MOST", 0)
    assert [finder.page("operation", question, Reach(), Ordered(), start, 20) for start in places] == counted


@pytest.mark.parametrize("ranked", [1, 3, 200])
@pytest.mark.parametrize("question", ["contact", "create contact", "record 1", "rec"])
async def test_however_few_are_ranked_a_search_holds_everything_once(
    made: Catalog, monkeypatch: pytest.MonkeyPatch, ranked: int, question: str
):
    every = await found(made, question)
    monkeypatch.setattr(search, "RANKED", ranked)
    again = await found(made, question)
    assert len(set(again)) == len(again) == len(every)


def test_words_that_hold_a_part_are_those_that_a_look_at_each_word_finds(monkeypatch: pytest.MonkeyPatch):
    words = sorted(("contact", "contacts", "account", "tactacta", "act", "on", "nta"))
    vocabulary = search.Vocabulary([(word, number) for number, word in enumerate(words)])
    for part in ("act", "tac", "cta", "ont", "contact", "xyz", "sco"):
        assert sorted(word for word, _close in vocabulary._parts(part)) == [word for word in words if part in word]


def test_what_a_word_may_stand_for_is_found_in_no_more_places_than_are_told():
    vocabulary = search.Vocabulary([("add", 2), ("create", 5), ("created", 3), ("creator", 4), ("list", 9)])
    told = {word: group.most for word in ("create", "add", "creat", "lst") if (group := vocabulary.group(word, lenient=False)) is not None}
    assert told == {"create": 5 + 2 + 5 + 3, "add": 2 + 5 + 2, "creat": 5 + 3 + 4}
    assert vocabulary.group("zzz", lenient=True) is None


def test_typos_that_were_looked_for_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "ALIKE_KEPT", 2)
    vocabulary = search.Vocabulary([("contact", 1), ("account", 1), ("company", 1)])
    first = [vocabulary._typos(word) for word in ("contct", "acount", "compny")]
    assert [[word for word, _close in each][:1] for each in first] == [["contact"], ["account"], ["company"]]
    assert list(vocabulary._alike) == ["compny"]
    assert vocabulary._typos("compny") is first[2]
    assert vocabulary._typos("contct") == first[0]


async def test_items_that_are_wanted_ready_to_be_sent_are_the_same(made: Catalog, bundled: Catalog):
    view = made.seen_by(None)
    shown = await view.list_operations(Wanted(per_page=30))
    ready = await view.list_operations(Wanted(per_page=30, ready=True))
    assert [bytes(item) for item in ready.items] == [msgspec.json.encode(item) for item in shown.items]
    odd = partner(
        action(id=9001, name="a", title="A"),
        id=90,
        slug="odd",
        title='","budgets":[{"logo":null}] \\","logo":null,"budgets":[',
        description='"logo":null',
        budgets=[{"name": "budgets", "per": "app", "limit": 5, "seconds": 1}],
    )
    for catalog in (made, bundled, Catalog([odd], [], 'https://example.com/a"b')):
        view = catalog.seen_by(None)
        shown, ready = await view.list_partners(Wanted(per_page=100)), await view.list_partners(Wanted(per_page=100, ready=True))
        assert [bytes(item) for item in ready.items] == [msgspec.json.encode(item) for item in shown.items]
