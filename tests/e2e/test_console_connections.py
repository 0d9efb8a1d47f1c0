"""Connections in the console: making them, whether they work, what was done with them, and their end."""

from __future__ import annotations

import re
from html import unescape

import pytest

from e2e.console import Browsing, member, text_of
from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, TOOLS, Served
from polyport.server.console.qr import qr_path

pytestmark = pytest.mark.anyio

HOSTILE = "<script>alert(1)</script>\u202eexe.\u05d0 {{ 7*7 }}"
TOKEN = PIPEDRIVE_FIELDS["api_token"]
FORM = {"partnerId": str(PIPEDRIVE), "auth": "api_token", "field.company": "acme", "field.api_token": TOKEN}


def id_in(location: str) -> str:
    return location.rpartition("/")[2]


async def test_a_connection_is_made_by_its_fields_and_shows_them_masked(owner: Browsing):
    assert "Company domain" in text_of(await owner.get("/console/connections/new?partnerId=225"))
    made = await owner.post("/console/connections/new", FORM | {"title": "Acme", "externalUserId": "user-7"})
    assert made.status == 303
    page = await owner.follow(made)

    text = text_of(page)
    for told in (
        "Acme",
        "Works",
        "Sam Sample (Example Company)",
        "••••4b5c",
        "user-7",
        "connected it by its fields",
        "Connected. Pipedrive takes it",
    ):
        assert told in text, told
    assert TOKEN not in page.content.decode()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"field.api_token": "bad-token"}, "Pipedrive did not accept this"),
        ({"field.company": ""}, "This has to be filled in."),
        ({"title": "x" * 301}, "at most 300 characters"),
    ],
)
async def test_what_is_wrong_is_told_at_the_form_and_the_secret_is_not_repeated(owner: Browsing, change: dict[str, str], told: str):
    found = await owner.post("/console/connections/new", FORM | change)

    assert found.status in {422, 424}
    assert told in text_of(found)
    assert TOKEN not in found.content.decode()
    assert "bad-token" not in found.content.decode()


@pytest.mark.parametrize("partner", ["", "x", "999999999999999999999", "-1"])
async def test_without_a_partner_one_is_to_be_chosen(owner: Browsing, partner: str):
    for found in (
        await owner.get(f"/console/connections/new?partnerId={partner}"),
        await owner.post("/console/connections/new", {"partnerId": partner}),
        await owner.post("/console/connections/link", {"partnerId": partner}),
    ):
        assert (found.status, found.headers["location"]) == (303, "/console/catalogue")


async def test_a_partner_that_needs_no_connection_says_so_and_one_that_is_not_there_too(owner: Browsing):
    assert "needs no connection" in text_of(await owner.get(f"/console/connections/new?partnerId={TOOLS}"))
    assert (await owner.get("/console/connections/new?partnerId=999999")).status == 404
    assert "Company domain" in text_of(await owner.post("/console/connections/new", FORM | {"auth": "none"}))


async def test_a_link_is_shown_once_with_its_code_and_leads_to_the_customers_page(house: Served, owner: Browsing):
    sent = await owner.post("/console/connections/link", {"partnerId": "225", "title": "By link", "language": "de"})
    content = (await owner.follow(sent)).content.decode()
    again = await owner.get(sent.headers["location"])
    assert (again.status, "/connect?" in again.content.decode(), "By link" in text_of(again)) == (200, False, True)
    url = re.search(r'data-copies="([^"]+/connect\?[^"]+)"', content)
    assert url is not None
    assert content.count('class="qr"') == 1
    assert f'd="{qr_path(unescape(url[1])).d}"' in content

    page = await house.fetch("GET", unescape(url[1]).removeprefix(house.origin), token=None)
    assert (page.status, "Pipedrive verbinden" in page.content.decode() or 'lang="de"' in page.content.decode()) == (200, True)
    links = (await house.call("GET", "/credentials/grant-access-sharing"))[2]["data"]
    assert (links[0]["title"], links[0]["status"]) == ("By link", 0)


async def test_a_test_says_what_it_found_and_a_reconnection_keeps_the_id(house: Served, owner: Browsing):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    tested = await owner.post(f"/console/connections/{connection}/test")
    assert "Pipedrive takes it: Sam Sample" in text_of(await owner.follow(tested))
    page = await owner.follow(await owner.post(f"/console/connections/{connection}/reconnect"))
    assert "/connect?id=" in page.content.decode()
    assert "Link to reconnect Pipedrive" in text_of(page)
    listed = (await house.call("GET", "/credentials/grant-access-sharing"))[2]["data"]
    assert listed[0]["credentialId"] == connection
    row = (await owner.get("/console/connections/links")).content.decode()
    assert f'<a href="/console/connections/{connection}">reconnects {connection}</a>' in row
    await owner.get(f"/console/connections/links/{listed[0]['id']}")
    assert len((await house.call("GET", "/credentials/grant-access-sharing"))[2]["data"]) == len(listed), "to load a page makes no link"


async def test_a_connection_is_deleted_by_who_types_its_title_alone(house: Served, owner: Browsing):
    made = await owner.post("/console/connections/new", FORM | {"title": "To go"})
    connection = id_in(made.headers["location"])
    wrong = await owner.post(f"/console/connections/{connection}/delete", {"confirm": "to go"})
    assert (wrong.status, "nothing was deleted" in text_of(wrong)) == (422, True)
    assert (await house.fetch("GET", f"/credentials/{connection}")).status == 200

    done = await owner.post(f"/console/connections/{connection}/delete", {"confirm": "To go"})
    assert (done.status, done.headers["location"]) == (303, "/console/connections")
    assert "The connection “To go” is deleted" in text_of(await owner.follow(done))
    assert (await owner.get(f"/console/connections/{connection}")).status == 404
    entry = (await house.call("GET", f"/audit?target=/credentials/{connection}"))[2]["data"]
    assert [each["action"] for each in entry] == ["DELETE /credentials/{credentialId}", "POST /credentials"]


async def test_a_title_is_changed_and_may_not_be_empty(house: Served, owner: Browsing):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    renamed = await owner.follow(await owner.post(f"/console/connections/{connection}/title", {"title": "Renamed"}))
    assert "It is called “Renamed” now." in text_of(renamed)
    for wrong, told in (("  ", "This has to be filled in."), ("x" * 301, "at most 300 characters")):
        found = await owner.post(f"/console/connections/{connection}/title", {"title": wrong})
        content = found.content.decode()
        assert (found.status, told in text_of(found), "That did not work" in content) == (422, True, False)
        assert re.search(r'id="f-title"[^>]* aria-invalid="true" aria-describedby="f-title-error"', content)
        assert f'value="{wrong}"' in content, "what was typed is still there"
    assert "Renamed" in text_of(await owner.get("/console/connections?q=rename"))


async def test_where_it_is_used_is_told_from_its_runs(house: Served, owner: Browsing):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    assert "Nothing has run with it yet" in text_of(await owner.get(f"/console/connections/{connection}"))
    body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Ada"}}
    await house.call("POST", "/partners/trigger-actions/2250101/run/sync", body)
    text = text_of(await owner.get(f"/console/connections/{connection}"))
    assert re.search(r"Create a person\s+1\u00d7", text)


async def test_other_peoples_text_is_text_and_nothing_else(house: Served, owner: Browsing):
    connection = await house.connect(
        PIPEDRIVE, PIPEDRIVE_FIELDS, title=HOSTILE, externalUserId=HOSTILE, metadata={HOSTILE: HOSTILE + "x" * 10_000}
    )
    for path in (f"/console/connections/{connection}", "/console/connections", f"/console/connections/new?partnerId=225&auth={HOSTILE}"):
        content = (await owner.get(path)).content.decode()
        assert "<script>alert" not in content
        assert "49" not in re.findall(r"\{\{ 7\*7 \}\}|>\s*49\s*<", content)
    found = await owner.post(f"/console/connections/{connection}/delete", {"confirm": HOSTILE})
    assert found.status == 303


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("q=zzzz", "No connection fits"),
        ("status=invalid", "No connection fits"),
        ("externalUserId=nobody", "No connection fits"),
        ("partnerId=225", "Show all partners"),
        ("sort=title", "connections"),
    ],
)
async def test_filters_narrow_the_list(house: Served, owner: Browsing, query: str, told: str):
    await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)

    assert told in text_of(await owner.get(f"/console/connections?{query}"))


@pytest.mark.parametrize("query", ["status=none", "sort=x", "partnerId=x", "cursor=x"])
async def test_a_query_that_makes_no_sense_is_a_page_that_says_so(owner: Browsing, query: str):
    assert (await owner.get(f"/console/connections?{query}")).status == 422


async def test_who_may_see_a_connection_sees_what_became_of_it_and_a_viewer_no_button(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    developer, viewer = await member(house, "developer", "dev@c.example"), await member(house, "viewer", "view@c.example")
    path = f"/console/connections/{connection}"
    by_developer, by_viewer = text_of(await developer.get(path)), text_of(await viewer.get(path))

    for text in (by_developer, by_viewer):
        assert re.search(r"owner@example.com\s+connected it by its fields", text)
    assert ("Test now" in by_developer, "Test now" in by_viewer, "Delete" in by_viewer) == (True, False, False)
    assert (await viewer.get(f"{path}/reconnect")).status == 403
    assert (await viewer.post(f"{path}/fields", {"auth": "api_token"})).status == 403
    assert (await viewer.post(f"{path}/delete", {"confirm": "A connection"})).status == 403
    assert (await house.fetch("GET", f"/credentials/{connection}")).status == 200
