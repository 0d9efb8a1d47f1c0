"""The catalogue's pages: every partner that comes along opens, with its limits, its evidence and its notes for people; searches find operations and ids."""

from __future__ import annotations

import re

import pytest

from bundled import partners
from e2e.console import Browsing, member, text_of
from e2e.served import PIPEDRIVE, Served, import_finished
from petshop import pets
from polyport.manifest.model import Partner
from polyport.server.console.notes import notes
from polyport.server.console.partner_words import AUTH_NAMES, KINDS, MEANT, VERIFIED, category, limit
from samples import partner as made_up

pytestmark = pytest.mark.anyio

BUNDLED = partners()
LIMITS = {
    "amazon-s3": ["5,500 a second for each connection", "3,500 a second"],
    "github": ["5,000 an hour for each connection", "30 a minute"],
    "google-sheets": ["60 a minute for each connection", "300 a minute for all connections together"],
    "mailchimp": ["10 at a time for each connection"],
    "netsuite": ["5 at a time for each connection"],
    "pushover": ["10,000 in 31 days for each connection", "2 at a time for all connections together"],
    "telegram": ["30 a second for each connection"],
    "trello": ["100 in 10 seconds for each connection", "300 in 10 seconds for all connections together", "100 in 15 minutes"],
}


def words_of(text: str) -> str:
    return re.sub(r"\s+", " ", text)


async def page_of(owner: Browsing, path: str) -> str:
    found = await owner.get(path)
    assert found.status == 200, (path, text_of(found))
    return words_of(text_of(found))


@pytest.mark.parametrize("slug", BUNDLED)
async def test_every_partner_that_comes_along_opens_can_be_connected_and_tried(owner: Browsing, slug: str):
    partner: Partner = BUNDLED[slug]
    text = await page_of(owner, f"/console/catalogue/{partner.file.id}")
    assert partner.file.title in text
    assert VERIFIED[partner.file.verified.how] in text
    assert ("Limits" in text) is bool(partner.file.budgets) or "Limits" in text.partition("From who wrote this connector")[2]
    assert ("What the partner lets its callers do" in text) is bool(partner.file.budgets)
    for told in LIMITS.get(slug, ()):
        assert told in text, told
    await page_of(owner, f"/console/connections/new?partnerId={partner.file.id}")
    kinds = {operation.kind: operation for operation in partner.operations}
    for kind, operation in kinds.items():
        if kind != "webhookTrigger":
            assert operation.title in await page_of(owner, f"/console/try/{operation.id}")


def test_the_partners_with_limits_are_those_that_are_looked_at():
    assert {slug for slug, partner in BUNDLED.items() if partner.file.budgets} == set(LIMITS)


@pytest.mark.parametrize(
    ("budget", "amount"),
    [
        ({"limit": 5000, "seconds": 3600}, "5,000 an hour"),
        ({"limit": 10_000, "seconds": 31 * 86_400}, "10,000 in 31 days"),
        ({"limit": 1, "seconds": 86_400, "concurrency": 20}, "1 a day, 20 at a time"),
        ({"concurrency": 20}, "20 at a time"),
        ({"limit": 7, "seconds": 5400}, "7 in 90 minutes"),
        ({"limit": 7, "seconds": 7200}, "7 in 2 hours"),
        ({"limit": 7, "seconds": 61}, "7 in 61 seconds"),
    ],
)
def test_a_limit_is_told_as_people_tell_it(budget: dict[str, int], amount: str):
    told = limit({"name": "project_reads", "per": "app", "source": "javascript:alert(1)"} | budget)
    assert told == {"name": "Project reads", "amount": amount, "per": "for all connections together", "source": ""}


async def test_a_limit_names_the_page_that_says_so(owner: Browsing):
    content = (await owner.get("/console/catalogue/345")).content.decode()
    source = "https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api"
    assert f'<a href="{source}" rel="noopener noreferrer"' in content


async def test_how_well_a_partner_is_known_is_told_as_it_is(house: Served, owner: Browsing):
    assert set(VERIFIED) == set(MEANT) == {"imported", "cases", "spec", "sandbox", "live"}
    for slug in ("github", "pipedrive", "stripe"):
        partner = BUNDLED[slug]
        rules = (await house.call("GET", f"/partners/{partner.file.id}/evidence"))[2]["data"]["rules"]
        counts = {status: sum(rule["status"] == status for rule in rules) for status in ("done", "exempt", "todo")}
        text = await page_of(owner, f"/console/catalogue/{partner.file.id}")
        told = re.search(r"(\d+) met(?:, (\d+) does? not apply|, (\d+) do not apply)?, (\d+|none) missing", text)
        assert told is not None
        assert [int(each) for each in told.groups() if each] == [each for each in counts.values() if each]
        for rule in rules:
            assert rule["name"].replace("-", " ").capitalize() in text
            assert words_of(rule["comment"][:60]) in text
    assert "By recorded cases" not in text


async def test_notes_are_read_as_text_and_how_to_get_credentials_stands_where_one_connects(owner: Browsing):
    content = (await owner.get("/console/catalogue/225")).content.decode()
    assert "<h3>Known gaps</h3>" in content
    assert "## " not in content
    ways = content.partition('id="ways"')[2].partition("</section>")[0]
    assert "Log in to Pipedrive" in ways
    assert "<strong>company domain</strong>" in ways
    form = (await owner.get(f"/console/connections/new?partnerId={PIPEDRIVE}")).content.decode()
    assert "Log in to Pipedrive" in form


HOSTILE = """# Title

<script>alert(1)</script> ![a picture](https://evil.example/x.png) [bad](javascript:alert(1)) [file](./x.md) [page](https://good.example/a)

## Get credentials

<img src=x onerror=alert(1)> <https://good.example/b>

## Connections

| a | b |
|--:|---|
| 1 | 2 |
"""


def test_notes_hold_no_markup_of_their_own_no_picture_and_no_link_but_to_web_pages():
    found = notes(HOSTILE)
    whole = found.how + found.rest
    assert not re.search(r"<(script|img)|style=|javascript:\S*\"", whole)
    assert re.findall(r'href="([^"]*)"', whole) == ["https://good.example/b", "https://good.example/a"]
    assert whole.count('rel="noopener noreferrer"') == 2
    assert "good.example/b" in found.how
    assert "<h3>Connections</h3>" in found.rest
    assert "a picture" in found.rest


async def test_operations_are_sorted_by_title_and_grouped_by_what_they_are(owner: Browsing):
    content = (await owner.get("/console/catalogue/225")).content.decode()
    assert re.findall(r'<h3 class="group">([^<]+)</h3>', content) == ["Actions", "Triggers"]
    actions = content.partition(">Actions<")[2].partition(">Triggers<")[0]
    titles = re.findall(r"<h4><a [^>]*>([^<]+)</a>", actions)
    assert titles == sorted(titles, key=str.casefold)
    assert len(titles) > 10


async def test_a_simulated_partner_is_there_to_practise_with_for_every_one_that_has_a_simulator(house: Served, owner: Browsing):
    with_simulator = {slug for slug in BUNDLED if slug not in {"http", "polyport-tools", "vies"}}
    for slug, partner in BUNDLED.items():
        for path in (f"/console/catalogue/{partner.file.id}", f"/console/connections/new?partnerId={partner.file.id}"):
            assert (f"Practice with a simulated {partner.file.title}" in await page_of(owner, path)) is (slug in with_simulator), path
        answer = await owner.post(f"/console/catalogue/{partner.file.id}/practice")
        if slug not in with_simulator:
            assert answer.status == 422
            continue
        text = words_of(text_of(await owner.follow(answer)))
        assert f"A simulated {partner.file.title} is connected" in text
        assert "Simulated" in text
    made = (await house.call("GET", "/credentials?per-page=100"))[2]["data"]
    assert {each["status"] for each in made if each["title"].startswith("Simulated ")} == {"active"}


async def test_a_viewer_is_offered_nothing_that_makes_a_connection(house: Served):
    viewer = await member(house, "viewer", "viewer@catalogue.example")
    text = await page_of(viewer, "/console/catalogue/225")
    assert "Its connections" in text
    assert "Practice with" not in text
    assert (await viewer.post("/console/catalogue/225/practice")).status == 403


async def test_a_partner_of_ones_own_says_so_and_one_that_goes_says_until_when(house: Served, owner: Browsing):
    done = await import_finished(house, "shelter", document=pets(), publish=True)
    at = f"/console/catalogue/{done['partnerId']}"
    page = (await owner.get(at)).content.decode()
    titles = re.findall(r"<h4><a [^>]*>([^<]+)</a>", page)
    assert titles == sorted(titles, key=str.casefold), "the ids of an import are in no order"
    assert len(titles) > 1
    assert f'href="/console/settings/partners/{done["partnerId"]}"' in page
    assert "Not verified: imported from a description" in page
    assert "Practice with" not in page
    viewer = await member(house, "viewer", "own@catalogue.example")
    assert "Imported by your account" in await page_of(viewer, at)
    assert b"/console/settings/partners" not in (await viewer.get(at)).content

    assert "button main" in page
    deprecated = {"message": "Use the cats' API.", "on": "2027-01-01"}
    assert (await house.fetch("PUT", f"/partners/{done['partnerId']}/deprecation", deprecated)).status == 200
    for path in (at, f"/console/connections/new?partnerId={done['partnerId']}"):
        text = await page_of(owner, path)
        assert "This partner is deprecated and may be gone from 2027-01-01 on" in text
        assert "Use the cats' API." in text
    head = (await owner.get(at)).content.decode().partition('class="head"')[2].partition("</div>\n<p")[0]
    assert "Connect</a>" in head
    assert "button main" not in head


@pytest.mark.parametrize(
    ("words", "partner", "operation"),
    [
        ("create+person", None, "Create a person"),
        ("225", "Pipedrive", None),
        ("2250101", None, "Create a person"),
        ("pipedrive", "Pipedrive", None),
    ],
)
async def test_a_search_finds_operations_and_ids(owner: Browsing, words: str, partner: str | None, operation: str | None):
    content = (await owner.get(f"/console/catalogue?q={words}")).content.decode()
    assert "No partner fits" not in content
    if partner is not None:
        assert re.search(rf'<h2><a href="/console/catalogue/225">{partner}</a></h2>', content)
    if operation is not None:
        fits = content.partition("Operations that fit")[2]
        assert re.search(rf'<a href="/console/try/2250101">{operation}</a> <span class="soft">Pipedrive</span>', fits)


async def test_what_is_found_nowhere_can_be_imported_by_an_owner(house: Served, owner: Browsing):
    viewer = await member(house, "viewer", "other@catalogue.example")
    for browsing, there in ((owner, True), (viewer, False)):
        content = (await browsing.get("/console/catalogue?q=zzzzqqqq")).content.decode()
        assert "No partner fits" in content
        assert ('href="/console/settings/partners">Import a description' in content) is there


@pytest.mark.parametrize("query", ["category=nope", "kind=nope", "verified=x", "authType=x", "deprecated=7"])
async def test_a_filter_that_no_select_can_show_narrows_nothing(owner: Browsing, query: str):
    assert "Pipedrive" in await page_of(owner, f"/console/catalogue?{query}")
    if query.startswith("kind"):
        assert "Create a person" in await page_of(owner, f"/console/catalogue/225?{query}")


async def test_categories_are_there_once_by_what_people_call_them(owner: Browsing):
    content = (await owner.get("/console/catalogue")).content.decode()
    labels = re.findall(r"<option[^>]*>([^<]+)</option>", content.partition('<select name="category">')[2].partition("</select>")[0])
    assert len(labels) == len({re.sub(r"[\W_]", "", label.casefold()) for label in labels})
    assert {"CRM", "ERP", "E-commerce", "Developer tools", "Project management", "Help desk"} <= set(labels)
    assert labels[1:] == sorted(labels[1:], key=str.casefold)
    assert category("project-management") == "Project management"
    assert set(KINDS) == {"action", "apiTrigger", "webhookTrigger", "tool"}
    assert "oauth2" in AUTH_NAMES


@pytest.mark.parametrize("wrong", ["project management", "Project", "project_management", ""])
def test_a_category_is_a_slug(wrong: str):
    with pytest.raises(ValueError, match="categories"):
        made_up(categories=[wrong])
