"""What others wrote is text on every page that shows it, however it was written."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from html import unescape
from html.parser import HTMLParser
from urllib.parse import quote

import pytest

from e2e.console import Browsing
from e2e.hostile import EVIL, LONG, MAKE, MARK, Hostile, open_hostile
from polyport.server.console.show import pretty

pytestmark = pytest.mark.anyio

BRANCHES = ("/console/catalogue?q={}", "/console/runs?q={}", "/console/runs?externalUserId={}", "/console/connections?q={}", "/console/try?q={}",
            "/console/connections/links?q={}", "/console/settings/audit?target={}", "/console/docs?q={}", "/console/sign-in?next={}", "/console/catalogue/{}")  # fmt: skip


@pytest.fixture(scope="module")
async def hostile(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hostile]:
    async with open_hostile(tmp_path_factory.mktemp("hostile")) as found:
        yield found


@pytest.fixture(scope="module")
async def owner(anyio_backend: str, hostile: Hostile) -> Browsing:
    browsing = Browsing(served=hostile.served)
    await browsing.sign_in()
    return browsing


class Elements(HTMLParser):
    """The elements of a page that are none of ours."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.foreign: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _value in attrs}
        if "-" in tag or any(name.startswith("on") for name in names) or (tag == "script" and "src" not in names):
            self.foreign.append(self.get_starttag_text() or tag)


def assert_is_text(content: str, where: str) -> None:
    """No element and no attribute of a page came from what others wrote."""
    assert Elements(content).foreign == [], where


async def test_every_page_shows_what_others_wrote_as_text(hostile: Hostile, owner: Browsing):
    shown = 0
    for path in hostile.pages:
        found = await owner.get(path.replace(MARK, quote(MARK)))
        content = found.content.decode()
        assert found.status == 200, path
        assert_is_text(content, path)
        shown += MARK in unescape(content)
    assert shown >= len(hostile.pages) - 5  # but for those about something else, each page shows it


async def test_a_long_answer_is_shown_whole_where_it_is_looked_at_and_cut_in_lists(hostile: Hostile, owner: Browsing):
    run = next(path for path in hostile.pages if path.startswith("/console/runs/"))
    assert LONG in unescape((await owner.get(run)).content.decode())
    assert "W" * 400 not in (await owner.get("/console/runs")).content.decode()


def test_json_says_what_would_turn_text_round_and_stays_the_same_json():
    hostile = {f"a{chr(0x202E)}b": [f"{chr(0x2066)}c", "\u05d0"]}
    shown = pretty(hostile)
    assert not set(shown) & {chr(0x202E), chr(0x2066)}
    assert r"a\u202eb" in shown
    assert json.loads(shown) == hostile


@pytest.mark.parametrize("path", BRANCHES)
@pytest.mark.parametrize("text", [EVIL, "x" * 5_000], ids=["evil", "long"])
async def test_what_stands_in_the_address_is_text_as_well(owner: Browsing, path: str, text: str):
    found = await owner.get(path.format(quote(text, safe="")))

    assert found.status < 500
    assert_is_text(found.content.decode(), path)


async def test_what_was_typed_into_a_form_comes_back_as_text(hostile: Hostile, owner: Browsing):
    forms = {
        "/console/settings/keys": {"title": EVIL * 20},
        "/console/settings/people": {"email": EVIL, "role": EVIL},
        "/console/settings/webhooks": {"url": EVIL, "title": EVIL},
        "/console/settings/partners": {"slug": EVIL, "url": EVIL, "document": LONG, "hosts": EVIL, "overlay": EVIL},
        "/console/connections/new": {"partnerId": "990021", "auth": "key", "title": EVIL * 20, "field.key": "k"},
        f"/console/try/{MAKE}": {"s:d.name": LONG, "rows:d.rows": "1", "s:d.rows[0].cell": EVIL, "do": "json"},
        "/console/sign-in": {"email": EVIL, "password": "x", "next": EVIL},
    }
    for path, form in forms.items():
        found = await owner.post(path, form)
        assert found.status < 500, path
        assert_is_text(found.content.decode(), path)
