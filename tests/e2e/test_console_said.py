"""What the next page says of what was done, and what it shows this once: on the page it is meant for, to the sign-in that did it."""

from __future__ import annotations

import pytest

from e2e.console import Browsing, member, text_of
from e2e.served import Served
from polyport.server.console.pages import SCREENS

pytestmark = pytest.mark.anyio


@pytest.fixture
def owner(house: Served, owner: Browsing) -> Browsing:
    """The owner in a browser that has nothing to say yet."""
    return Browsing(served=house, cookie=owner.cookie)


async def made_key(owner: Browsing, title: str) -> None:
    found = await owner.post("/console/settings/keys", {"title": title, "scope.runs:read": "1"})
    assert (found.status, found.headers["location"]) == (303, "/console/settings/keys")


async def test_a_key_is_shown_by_the_page_that_follows_and_loading_that_anew_makes_no_other(house: Served, owner: Browsing):
    await made_key(owner, "Nightly")
    assert "ppk_" not in owner.said
    shown = text_of(await owner.get("/console/settings/keys"))
    again = text_of(await owner.get("/console/settings/keys"))

    assert "This is the key “Nightly”" in shown
    assert "This is the key" not in again
    assert len((await house.fetch("GET", "/api-keys")).json["data"]) == 1


async def test_another_page_meanwhile_takes_nothing_away(owner: Browsing):
    await made_key(owner, "Daily")
    assert "Daily" not in text_of(await owner.get("/console/settings/people"))
    await owner.get("/console/settings/keys", **{"HX-Request": "true"})  # a part of a page that is read again
    assert "This is the key “Daily”" in text_of(await owner.get("/console/settings/keys"))


async def test_only_the_sign_in_that_did_it_reads_it(house: Served, owner: Browsing):
    await made_key(owner, "Weekly")
    other = await member(house, "owner", "second@team.example")
    other.said = owner.said
    found = await other.get("/console/settings/keys")
    assert "This is the key" not in text_of(found)
    assert other.said == "", "what nobody can read is taken away"


@pytest.mark.parametrize("told", ["x", "AAAA", "=" * 40, "%00", "A" * 3_000])
async def test_a_cookie_that_says_nothing_is_taken_away(owner: Browsing, told: str):
    owner.said = f"polyport_said={told}"
    assert (await owner.get("/console/settings/keys")).status == 200
    assert owner.said == ""


async def test_what_was_done_is_said_once_in_the_words_of_people(house: Served, owner: Browsing):
    await owner.post("/console/settings/keys", {"title": "Old <b>one</b>", "scope.runs:read": "1"})
    await owner.get("/console/settings/keys")
    key = next(each for each in (await house.fetch("GET", "/api-keys")).json["data"] if each["title"].startswith("Old"))
    gone = await owner.post(f"/console/settings/keys/{key['id']}/delete", {"confirm": "Old <b>one</b>"})
    said = await owner.follow(gone)
    assert "The key “Old <b>one</b>” is deleted." in text_of(said)
    assert b"<b>one" not in said.content
    assert "is deleted" not in text_of(await owner.get("/console/settings/keys"))


async def test_an_address_that_only_a_form_is_sent_to_leads_back_to_its_page(owner: Browsing):
    paths = {
        "/console/you/password": "/console/you",
        "/console/connections/link": "/console/connections",
        "/console/connections/999/test": "/console/connections/999",
        "/console/settings/redirect-hosts": "/console/settings",
        "/console/settings/webhooks/ep_1/test": "/console/settings/webhooks/ep_1",
        "/console/start/run": "/console/start",
        "/console/runs/run_1/replay": "/console/runs/run_1",
        "/console/sign-out": "/console",
    }
    for path, page in paths.items():
        found = await owner.get(path)
        assert (found.status, found.headers.get("location")) == (303, page), path
    shown = {screen.endpoint.path for screen in SCREENS if screen.endpoint.method == "GET"}
    assert {screen.endpoint.path for screen in SCREENS} == shown


async def test_a_form_that_is_too_large_is_refused_on_a_page_of_who_is_signed_in(owner: Browsing):
    found = await owner.post("/console/settings/keys", {"title": "x" * 1_100_000}, Referer=f"{owner.served.origin}/console/settings/keys")
    assert found.status == 413
    assert 'href="/console/settings/keys">Back to where you were' in found.content.decode()
    assert "Sign in" not in text_of(found)


async def test_a_form_after_the_end_of_a_sign_in_leads_back_to_its_page(house: Served):
    stranger = Browsing(served=house)
    found = await stranger.post(
        "/console/settings/keys", {"title": "x"}, proof=None, Referer=f"{house.origin}/console/settings/keys?cursor=x"
    )
    assert (found.status, "next=%2Fconsole%2Fsettings%2Fkeys%3Fcursor%3Dx" in found.content.decode()) == (401, True)
    elsewhere = await stranger.post("/console/settings/keys", {"title": "x"}, proof=None, Referer="https://evil.example/console/x")
    assert "evil" not in elsewhere.content.decode()
