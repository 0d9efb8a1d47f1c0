"""What the console says of how connections stand: nothing that it does not know; tiles, filters and words that agree; new credentials, and forms that keep what was typed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest

from e2e.console import Browsing, member, text_of
from e2e.served import HUBSPOT, PIPEDRIVE, PIPEDRIVE_FIELDS, Asked, Served, answer, running_server, upstream

pytestmark = pytest.mark.anyio

HTTP = 2
HTTP_FIELDS = {"base_url": "https://api.example.com", "token": "t0ken-of-http"}
LIST = "/console/connections"
OTHER_TOKEN = "0123456789abcdef0123456789abcdef01234567"
HOSTILE = "<script>alert(1)</script>\u202eexe"


class Partner:
    """A Pipedrive that takes every token, or answers otherwise, as a test says. ``status`` 0: it hangs up."""

    status = 200

    async def __call__(self, _asked: Asked) -> bytes:
        if self.status == 0:
            return b""
        if self.status != 200:
            return answer(self.status, {"success": False, "error": "unauthorized access"})
        return answer(200, {"success": True, "data": {"name": "Ada", "company_name": "Example"}})


@pytest.fixture
async def partner(anyio_backend: str) -> Partner:
    return Partner()


@pytest.fixture
async def house(anyio_backend: str, partner: Partner, tmp_path: Path) -> AsyncIterator[Served]:
    async with upstream(partner) as up, running_server(tmp_path, partner_pipedrive_base_url=up.origin) as served:
        yield served


@pytest.fixture
async def owner(house: Served) -> Browsing:
    browsing = Browsing(served=house)
    await browsing.sign_in()
    return browsing


def status_of(content: str) -> list[str]:
    """The words of the marks in a part of a page."""
    marks = re.findall(r'<span class="(?:status|tag) [a-z]*">(?:<svg.*?</svg>)?\s*([^<]+)</span>', content, re.DOTALL)
    return [unescape(each).strip() for each in marks]


async def head(owner: Browsing, connection: int) -> list[str]:
    """The marks at the head of a connection's page."""
    content = (await owner.get(f"{LIST}/{connection}")).content.decode()
    return status_of(content.partition('<div class="head">')[2].partition('<div class="columns">')[0])


async def rows(owner: Browsing, query: str = "") -> dict[str, list[str]]:
    """The marks of each row of the list, by its title."""
    body = (await owner.get(f"{LIST}?{query}")).content.decode().partition("<tbody>")[2]
    found = (re.search(r'/connections/\d+">([^<]*)</a>(.*)', row, re.DOTALL) and row for row in body.split("<tr>")[1:])
    return {re.search(r'/connections/\d+">([^<]*)</a>', row)[1]: status_of(row) for row in found if row}  # type: ignore[index]  # it was looked for


def tiles(content: str) -> dict[str, tuple[int, bool, str]]:
    """The tiles of a page: words to their number, whether pressed, and where they lead."""
    part = content.partition('id="counts"')[2].partition("</ul>")[0]
    each = re.findall(r'<a href="([^"]*)"( aria-current="true")?[^>]*><span class="count">([\d,]+)</span>(.*?)</a>', part, re.DOTALL)
    return {status_of(mark)[0]: (int(number), bool(now), unescape(leads)) for leads, now, number, mark in each}


async def test_who_was_not_reached_has_refused_nothing(house: Served, owner: Browsing, partner: Partner):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, title="Northwind")
    partner.status = 503
    said = text_of(await owner.follow(await owner.post(f"{LIST}/{connection}/test")))

    assert "It could not be tested: " in said
    assert "does not take it" not in said
    page = await owner.get(f"{LIST}/{connection}")
    assert "The last check could not be made." in text_of(page)
    assert "Works." not in text_of(page)
    assert await head(owner, connection) == ["Works", "Last check failed"]
    assert (await rows(owner))["Northwind"] == ["Works", "Last check failed"]
    assert re.search(r"owner@example.com\s+tested it\s+Could not be tested", text_of(page))

    partner.status = 401
    said = text_of(await owner.follow(await owner.post(f"{LIST}/{connection}/test")))
    assert "Pipedrive does not take it: " in said
    assert re.search(r"The partner refuses it\s+Refused.*unauthorized access", said, re.DOTALL)
    assert await head(owner, connection) == ["Refused"]
    partner.status = 200
    assert "Pipedrive takes it: Ada" in text_of(await owner.follow(await owner.post(f"{LIST}/{connection}/test")))
    assert await head(owner, connection) == ["Works"]


async def test_what_nothing_has_checked_is_not_said_to_work(house: Served, owner: Browsing):
    form = await owner.get(f"{LIST}/new?partnerId={HTTP}&auth=bearer")
    assert "nothing by which to check it" in text_of(form)
    assert "It is checked at the partner" not in text_of(form)
    connection = await house.connect(HTTP, HTTP_FIELDS, auth="bearer", title="By http")
    text = text_of(await owner.get(f"{LIST}/{connection}"))

    assert await head(owner, connection) == ["Not checked"]
    assert "this way of connecting has nothing to ask the partner" in text
    assert "Test now" not in text
    assert (await rows(owner))["By http"] == ["Not checked"]
    said = await owner.follow(await owner.post(f"{LIST}/{connection}/test"))
    assert "It cannot be tested" in text_of(said)
    assert await head(owner, connection) == ["Not checked"]


async def test_tiles_rows_and_filters_agree(house: Served, owner: Browsing):
    await house.connect(HTTP, HTTP_FIELDS, auth="bearer", title="unproved", externalUserId="ada")
    await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, title="proved", externalUserId="ada")
    await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, title="proved too")

    content = (await owner.get(LIST)).content.decode()
    assert {name: number for name, (number, _now, _leads) in tiles(content).items()} == {
        "Works": 2,
        "Not checked": 1,
        "Refused": 0,
        "Sign-in expired": 0,
    }
    for name, (number, _now, leads) in tiles(content).items():
        found = (await owner.get(leads)).content.decode()
        pressed = tiles(found)[name]
        assert (pressed[:2], len(await rows(owner, leads.partition("?")[2]))) == ((number, True), number)
        assert pressed[2] == LIST, "pressed again, it takes the filter away"
        assert f">{name}</option>" in re.findall(r"<option [^>]*selected>[^<]*</option>", found)[0]


async def test_a_tile_keeps_the_other_filters_and_counts_what_they_leave(house: Served, owner: Browsing):
    await house.connect(HTTP, HTTP_FIELDS, auth="bearer", title="other", externalUserId="ada")
    await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, title="proved", externalUserId="ada")

    found = tiles((await owner.get(f"{LIST}?q=pro&partnerId={PIPEDRIVE}&externalUserId=ada&sort=title")).content.decode())
    assert found["Works"][0] == 1
    assert "Not checked" not in found
    assert set(found["Works"][2].partition("?")[2].split("&")) == {
        "q=pro",
        "status=active",
        f"partnerId={PIPEDRIVE}",
        "externalUserId=ada",
        "sort=title",
    }
    nothing = tiles((await owner.get(f"{LIST}?partnerId={HUBSPOT}")).content.decode())
    assert [number for number, _now, _leads in nothing.values()] == [0, 0, 0]


async def test_a_partner_without_connections_offers_to_connect_it(house: Served, owner: Browsing):
    await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    found = await owner.get(f"{LIST}?partnerId={HUBSPOT}")

    assert "There is no connection to HubSpot yet" in text_of(found)
    assert found.content.decode().count(f"/console/connections/new?partnerId={HUBSPOT}") == 2
    assert "No connection fits" in text_of(await owner.get(f"{LIST}?partnerId={HUBSPOT}&q=x"))
    gone = text_of(await owner.get(f"{LIST}?partnerId=999"))
    assert "999, which is not in the catalogue" in gone


async def test_the_list_has_the_order_it_has_without_saying_so(owner: Browsing):
    content = (await owner.get(LIST)).content.decode()
    assert '<option value="" selected>Newest first</option>' in content


async def test_a_connection_leads_to_trying_it(house: Served, owner: Browsing):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    content = unescape((await owner.get(f"{LIST}/{connection}")).content.decode())
    assert f'href="/console/try?partner={PIPEDRIVE}&connection={connection}"' in content


async def test_new_credentials_are_entered_and_kept_once_they_are_taken(house: Served, owner: Browsing, partner: Partner):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, title="Northwind")
    path, form = f"{LIST}/{connection}", {"auth": "api_token", "field.company": "acme", "field.api_token": OTHER_TOKEN}
    page = await owner.get(f"{path}/reconnect")
    assert "Reconnect Northwind" in text_of(page)
    assert "Leave it empty to keep the one there is." in text_of(page)
    assert 'value="acme"' in page.content.decode()
    assert PIPEDRIVE_FIELDS["api_token"] not in page.content.decode()

    partner.status = 401
    refused = await owner.post(f"{path}/fields", form)
    assert (refused.status, "Pipedrive did not accept this" in text_of(refused)) == (422, True)
    assert OTHER_TOKEN not in refused.content.decode()
    held = await house.runtime.connections.open(1, connection)
    assert held.fields["api_token"] == PIPEDRIVE_FIELDS["api_token"], "the old ones stay"
    partner.status = 200
    done = await owner.follow(await owner.post(f"{path}/fields", form | {"field.company": "other"}))
    assert "It has the new credentials, and Pipedrive takes them." in text_of(done)
    assert re.search(r"owner@example.com\s+gave it new credentials", text_of(done))
    held = await house.runtime.connections.open(1, connection)
    assert (held.fields["api_token"], held.fields["company"], held.record.connection_id) == (OTHER_TOKEN, "other", connection)

    kept = await owner.post(f"{path}/fields", {"auth": "api_token", "field.company": "third"})
    assert kept.status == 303
    held = await house.runtime.connections.open(1, connection)
    assert (held.fields["api_token"], held.fields["company"]) == (OTHER_TOKEN, "third"), "a secret that is left empty stays"
    assert (await owner.post(f"{path}/fields", {"auth": "no such way"})).status == 200
    assert (await owner.get(f"{LIST}/999999/reconnect")).status == 404


async def test_what_is_needed_is_not_kept_by_emptying_its_field(house: Served, owner: Browsing):
    fields = {"base_url": "https://api.example.com", "username": "ada", "password": "pass-w0rd"}
    connection = await house.connect(HTTP, fields, auth="basic")
    form = {"auth": "basic", "field.base_url": "https://api.example.com", "field.username": ""}
    found = await owner.post(f"{LIST}/{connection}/fields", form)
    assert (found.status, "This has to be filled in." in text_of(found)) == (422, True)


async def test_another_way_to_connect_takes_along_what_was_typed_and_no_secret(owner: Browsing):
    page = (await owner.get(f"{LIST}/new?partnerId={HTTP}")).content.decode()
    assert re.findall(r'name="to" value="(\w+)"', page)[:3] == ["none", "basic", "bearer"]
    form = {
        "partnerId": HTTP,
        "auth": "basic",
        "to": "bearer",
        "title": "Mine & theirs",
        "externalUserId": "user-1",
        "field.password": "pass-w0rd",
    }
    found = await owner.post(f"{LIST}/new", form)

    assert found.status == 303
    assert "pass-w0rd" not in found.headers["location"]
    content = (await owner.follow(found)).content.decode()
    assert 'value="Mine &amp; theirs"' in content
    assert 'value="user-1"' in content
    assert re.search(r'value="bearer" data-idle aria-pressed="true"', content)


async def test_a_fault_in_one_field_says_that_the_secret_is_to_be_filled_in_again(owner: Browsing):
    form = {"partnerId": PIPEDRIVE, "auth": "api_token", "field.company": "", "field.api_token": OTHER_TOKEN, "title": "Typed"}
    found = await owner.post(f"{LIST}/new", form)
    content = found.content.decode()

    assert found.status == 422
    assert re.search(r'id="field-api_token-hint">Fill it in again: what is secret is not sent back', content)
    assert OTHER_TOKEN not in content
    assert 'value="Typed"' in content
    wrong = await owner.post(f"{LIST}/new", form | {"field.company": "acme", "title": "x" * 301, "externalUserId": "u" * 301})
    for name in ("title", "user"):
        assert re.search(rf'id="f-{name}"[^>]*aria-invalid="true"', wrong.content.decode()), name


async def test_where_customers_sign_in_the_form_says_what_is_missing(house: Served, owner: Browsing):
    path = f"{LIST}/new?partnerId={PIPEDRIVE}"
    assert f'<a href="/console/settings/oauth-apps/{PIPEDRIVE}">Set up the OAuth app</a>' in (await owner.get(path)).content.decode()
    developer = await member(house, "developer", "dev@c.example")
    assert "An owner sets it up under Settings, OAuth apps." in text_of(await developer.get(path))
    await house.call("PUT", f"/oauth-apps/{PIPEDRIVE}", {"clientId": "c", "clientSecret": "s"})
    assert "OAuth app" not in text_of(await owner.get(path)).partition("Send a link")[2]


async def test_the_history_goes_on_and_begins_with_the_customer_where_a_link_led_to_it(house: Served, owner: Browsing):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    for _turn in range(21):
        await house.call("PATCH", f"/credentials/{connection}", {"title": HOSTILE})
    first = await owner.get(f"{LIST}/{connection}")
    older = re.search(r'href="([^"]*cursor=[^"]*)#history">Older', first.content.decode())
    assert older is not None
    assert text_of(first).count("renamed it") == 20
    assert "<script>alert" not in first.content.decode()
    last = text_of(await owner.get(unescape(older[1])))
    assert ("connected it by its fields" in last, "Older" in last, "Latest" in last) == (True, False, True)
