"""Links in the console: how they stand, making one anew, revoking one; and lists that go on by cursor."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape

import pytest

from e2e.console import Browsing, member, text_of
from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Clock, Served, running_server
from e2e.visitor import Browser

pytestmark = pytest.mark.anyio

LINKS = "/credentials/grant-access-sharing"
PAGE = "/console/connections/links"
HOSTILE = "<img src=x onerror=alert(1)>\u202eexe.\u05d0 {{ 7*7 }}"


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
async def house(anyio_backend: str, clock: Clock, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with running_server(tmp_path_factory.mktemp("house"), clock=clock) as served:
        yield served


@pytest.fixture
async def owner(house: Served) -> Browsing:
    browsing = Browsing(served=house)
    await browsing.sign_in()
    return browsing


async def made(house: Served, title: str, **more: object) -> dict[str, object]:
    status, _headers, found = await house.call("POST", LINKS, {"partnerId": PIPEDRIVE, "title": title} | more)
    assert status == 201, found
    return dict(found["data"])


async def shown(owner: Browsing, title: str, **query: str) -> str:
    """The row of a link as text."""
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    content = (await owner.get(f"{PAGE}?{asked}")).content.decode()
    row = next((each for each in content.split("<tr>") if f">{title}<" in each), "")
    return unescape(re.sub(r"<[^>]+>", " ", row.partition("</tr>")[0]))


async def test_each_link_says_how_it_stands(house: Served, owner: Browsing, clock: Clock):
    await made(house, "short", expiresIn=60)
    await made(house, "waits", externalUserId="user-9")
    opened, revoked = await made(house, "opened"), await made(house, "revoked")
    await Browser(served=house).send(opened, {}, path="/connect/opened")
    await house.call("DELETE", f"{LINKS}/{revoked['id']}")
    clock.forward(120)

    assert "Not opened yet" in await shown(owner, "waits")
    assert "user-9" in await shown(owner, "waits")
    assert "Opened" in await shown(owner, "opened")
    assert "Revoked" in await shown(owner, "revoked")
    assert "Expired" in await shown(owner, "short")
    assert "short" in await shown(owner, "short", status="4")
    assert await shown(owner, "waits", status="4") == ""
    assert await shown(owner, "waits", externalUserId="user-9") != ""
    assert await shown(owner, "opened", q="WAITS") == ""


async def test_a_link_made_anew_is_shown_once_and_the_one_before_ends(house: Served, owner: Browsing):
    link = await made(house, "lost")
    found = await owner.follow(await owner.post(f"{PAGE}/{link['id']}/renew"))

    url = re.search(r"<code>([^<]*/connect\?[^<]*)</code>", found.content.decode())
    assert found.status == 200
    assert url is not None
    assert (await house.client.get(unescape(url[1]))).status == 200
    assert (await house.client.get(str(link["url"]))).status != 200
    for path in (PAGE, f"{PAGE}/{link['id']}"):
        assert not re.search(r"/connect\?|ppl_", (await owner.get(path)).content.decode())
    assert (await owner.get(f"{PAGE}/999999")).status == 404


async def test_a_link_is_revoked_by_its_title_and_not_without(house: Served, owner: Browsing):
    link = await made(house, "to be revoked")
    wrong = await owner.post(f"{PAGE}/{link['id']}/revoke", {"confirm": "something"})
    assert (wrong.status, "That was not the name" in text_of(wrong)) == (422, True)
    assert (await house.client.get(str(link["url"]))).status == 200

    done = await owner.follow(await owner.post(f"{PAGE}/{link['id']}/revoke", {"confirm": "to be revoked"}))
    assert "The link “to be revoked” is revoked." in text_of(done)
    assert (await house.client.get(str(link["url"]))).status != 200
    again = await owner.follow(await owner.post(f"{PAGE}/{link['id']}/renew"))
    assert "This link was revoked: make a new one." in text_of(again)
    assert "Make anew" not in text_of(again)


async def test_links_of_one_title_are_told_apart_before_one_is_revoked(house: Served, owner: Browsing):
    for user in ("user-a", "user-b"):
        await made(house, "twice", externalUserId=user)
    content = unescape((await owner.get(f"{PAGE}?q=twice")).content.decode())

    for user in ("user-a", "user-b"):
        assert re.search(rf"<p>Made \d\d \w+ \d{{4}}, \d\d:\d\d UTC for {user}\. Whoever opens it", content)


async def test_who_only_looks_sees_links_and_changes_none(house: Served):
    link = await made(house, "for the viewer")
    viewer = await member(house, "viewer", "links@team.example")

    text = text_of(await viewer.get(PAGE))
    assert "for the viewer" in text
    assert "Make anew" not in text
    assert (await viewer.post(f"{PAGE}/{link['id']}/renew")).status == 403


async def test_hostile_titles_are_text(house: Served, owner: Browsing):
    await made(house, HOSTILE)
    await made(house, "x" * 300)
    content = (await owner.get(f"{PAGE}?q=%3Cimg")).content.decode()

    assert "<img src=x" not in content
    assert "{{ 7*7 }}" in unescape(content)
    assert (await owner.get(f"{PAGE}?status=9")).status == 422
    assert "No link fits" in text_of(await owner.get(f"{PAGE}?q=zzzz"))


LISTS = (
    "/console/catalogue",
    "/console/catalogue/225",
    "/console/connections",
    "/console/connections/links",
    "/console/try",
    "/console/settings/keys",
    "/console/settings/people",
    "/console/settings/oauth-apps",
)


async def test_lists_go_on_by_cursor_from_page_to_page_until_all_was_seen(house: Served, owner: Browsing):
    for number in range(27):
        await made(house, f"list {number}")
        await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, verify=False, title=f"list {number}")
        await house.call("POST", "/api-keys", {"title": f"list {number}", "scopes": ["runs:read"]})
    for path, mark in (
        ("/console/connections?sort=title&q=list", r">list \d+<"),
        (f"{PAGE}?q=list", r">list \d+<"),
        ("/console/settings/keys", r">list \d+<"),
        ("/console/try", r"/console/try/\d+"),
    ):
        found, at, pages = [], path, 0
        while at:
            content = (await owner.get(at)).content.decode()
            found += dict.fromkeys(re.findall(mark, content))
            following = re.search(r'rel="next" href="([^"]+)"', content)
            at, pages = (unescape(following[1]) if following else ""), pages + 1
            assert "page=" not in at.replace("per-page", "")
            if pages > 1:
                assert "First page" in content
        assert pages > 1, path
        assert len(found) == len(set(found)) >= 27, path


@pytest.mark.parametrize("path", LISTS)
async def test_what_is_no_cursor_of_a_list_is_told(owner: Browsing, path: str):
    found = await owner.get(f"{path}?cursor=x")

    assert found.status == 422
    assert "This page of the list is not there" in text_of(found)
