"""Try it with selectors: a base, then its table, then the fields of that table; each step makes the form of the next."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator

import pytest

from e2e.console import Browsing, text_of
from e2e.served import Served, running_server, running_simulator
from html_forms import sent_of

pytestmark = pytest.mark.anyio

AIRTABLE = 333
CREATE_RECORD = "/console/try/3330101"
BASE, TABLE = "appA1b2C3d4E5f6G7", "tblA1b2C3d4E5f6G7"


@pytest.fixture(scope="module")
async def served(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with (
        running_simulator("airtable") as url,
        running_server(tmp_path_factory.mktemp("selectors"), partner_airtable_base_url=url) as house,
    ):
        await house.connect(AIRTABLE, {"token": "patTest1234567890.secret"})
        yield house


@pytest.fixture(scope="module")
async def owner(anyio_backend: str, served: Served) -> Browsing:
    browsing = Browsing(served=served)
    assert (await browsing.sign_in()).status == 303
    return browsing


def labels(page: str) -> set[str]:
    return {html.unescape(found).strip() for found in re.findall(r'<label for="f-d-d[^"]+"><bdi>([^<]+)', page)}


async def test_what_a_selector_offers_follows_the_one_before_it(owner: Browsing):
    first = (await owner.get(CREATE_RECORD)).content.decode()
    assert "Example shop" in first
    assert "Things" not in first
    assert labels(first) == {"Convert values"}

    second = (await owner.post(CREATE_RECORD, {"k:c.1": f'"{BASE}"', "do": "refresh"})).content.decode()
    assert dict(sent_of(second))["k:c.1"] == f'"{BASE}"'
    assert "Things" in second

    third = (await owner.post(CREATE_RECORD, {"k:c.1": f'"{BASE}"', "k:c.2": f'"{TABLE}"', "do": "refresh"})).content.decode()
    assert labels(third) == {"Convert values", "Name", "Price", "Kind", "Done"}


async def test_a_record_with_the_tables_own_fields_is_made(owner: Browsing):
    given = {"k:c.1": f'"{BASE}"', "k:c.2": f'"{TABLE}"'}
    page = (await owner.post(CREATE_RECORD, given | {"do": "refresh"})).content.decode()
    [name] = re.findall(r'<label for="f-d-d(cf__[0-9a-f]{32})"><bdi>Name', page)
    found = await owner.post(CREATE_RECORD, given | {f"s:d.{name}": "Lamp \u202e<b>", "do": "run"})

    assert found.status == 200, text_of(found)
    assert "Succeeded" in text_of(found)
    assert "Lamp \u202e<b>" in html.unescape(found.content.decode())
    assert "<b>" not in found.content.decode()


async def test_a_selector_that_does_not_stand_any_more_gives_way(owner: Browsing):
    found = await owner.post(CREATE_RECORD, {"k:c.1": f'"{BASE}"', "k:c.2": '"tblGone0000000000"', "do": "refresh"})
    sent = dict(sent_of(found.content.decode()))

    assert found.status == 200
    assert sent["k:c.1"] == f'"{BASE}"'


async def test_what_a_selector_lacks_stands_at_it(owner: Browsing):
    found = await owner.post(CREATE_RECORD, {"do": "dry"})

    assert found.status == 422
    assert re.search(r'id="f-c-d1\.error">[^<]+', found.content.decode())


async def test_a_link_keeps_what_was_selected(owner: Browsing):
    found = await owner.post(CREATE_RECORD, {"k:c.1": f'"{BASE}"', "k:c.2": f'"{TABLE}"', "do": "link"})
    link = re.search(r'data-copies="([^"]+/console/try/[^"]+)"', found.content.decode())
    assert link is not None
    again = (await owner.get(html.unescape(link[1]).removeprefix(owner.served.origin))).content.decode()

    assert dict(sent_of(again))["k:c.2"] == f'"{TABLE}"'
    assert "Price" in labels(again)
