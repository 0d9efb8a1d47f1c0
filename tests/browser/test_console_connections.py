"""Connections in a real browser: from a partner to a connection, and its end behind a name that is typed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from browser.console import assert_looks, assert_quiet, look_at
from browser.watched import PHONE, opened, too_wide
from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Served

pytestmark = pytest.mark.anyio

PAGES = ("connections", "connection", "connection-new", "connection-again", "links", "link")


@pytest.fixture(scope="module")
async def paths(anyio_backend: str, house: Served) -> dict[str, str]:
    """The address of each page."""
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, externalUserId="user-7", metadata={"plan": "gold"})
    for title in ("Acme", "x" * 200):
        link = await house.call(
            "POST", "/credentials/grant-access-sharing", {"partnerId": PIPEDRIVE, "title": title, "externalUserId": "user-8"}
        )
    body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Ada"}}
    await house.call("POST", "/partners/trigger-actions/2250101/run/sync", body)
    return {
        "connections": "/console/connections",
        "connection": f"/console/connections/{connection}",
        "connection-new": "/console/connections/new?partnerId=225",
        "connection-again": f"/console/connections/{connection}/reconnect",
        "links": "/console/connections/links",
        "link": f"/console/connections/links/{link[2]['data']['id']}",
    }


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_has_no_barrier_fits_and_asks_nobody_else(
    browser: Browser, house: Served, state: dict[str, Any], paths: dict[str, str], name: str
):
    await look_at(browser, house, state, paths[name], name)


async def test_from_a_partner_to_a_connection_to_its_end(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, f"{house.origin}/console/catalogue/225", storage_state=state) as watched:
        page = watched.page
        await page.get_by_role("link", name="Connect", exact=True).click()
        await page.get_by_label("Company domain").fill("acme")
        await page.get_by_label("API token", exact=True).fill(PIPEDRIVE_FIELDS["api_token"])
        await page.get_by_label("Title").first.fill("Acme's Pipedrive")
        await page.get_by_role("button", name="Connect", exact=True).click()
        await expect(page.get_by_role("heading", name="Acme's Pipedrive", level=1)).to_be_visible()
        await expect(page.get_by_text("Connected. Pipedrive takes it")).to_be_visible()
        await page.get_by_role("button", name="Test now").click()
        await expect(page.get_by_text("Pipedrive takes it: Sam Sample")).to_be_visible()
        await page.reload()
        await expect(page.get_by_text("Pipedrive takes it: Sam Sample")).to_have_count(0)

        await page.get_by_role("button", name="Delete").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("textbox")).to_be_focused()
        await expect(dialog.get_by_role("button", name="Delete")).to_be_disabled()
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await page.get_by_role("button", name="Delete").click()
        await dialog.get_by_role("textbox").fill("Acme's Pipedrive")
        await dialog.get_by_role("button", name="Delete").click()
        await expect(page.get_by_role("heading", name="Connections", level=1)).to_be_visible()
        await expect(page.get_by_text("The connection “Acme's Pipedrive” is deleted")).to_be_visible()
        await expect(page.locator("#list").get_by_text("Acme's Pipedrive")).to_have_count(0)
        assert_quiet(watched, house)


async def test_a_link_shows_its_code_and_has_no_barrier(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, f"{house.origin}/console/connections/new?partnerId=225", storage_state=state) as watched:
        page = watched.page
        await page.get_by_role("button", name="Make a link").click()
        await expect(page.get_by_role("img", name="QR code of the link")).to_be_visible()
        await expect(page.locator(".copied code")).to_contain_text("/connect?id=")
        await assert_looks(page, "link-made")
        assert_quiet(watched, house)


async def test_a_link_is_copied_and_to_load_its_page_makes_no_other(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(
        browser,
        f"{house.origin}/console/connections/new?partnerId=225",
        storage_state=state,
        viewport=PHONE,
        permissions=["clipboard-read", "clipboard-write"],
    ) as watched:
        page = watched.page
        await page.get_by_role("button", name="Make a link").click()
        url = await page.locator(".copied code").inner_text()
        assert url.startswith(f"{house.origin}/connect?id=")
        await page.get_by_role("button", name="Copy the link").click()
        await expect(page.get_by_role("button", name="Copy the link")).to_have_text("Copied")
        assert await page.evaluate("navigator.clipboard.readText()") == url

        made = (await house.call("GET", "/credentials/grant-access-sharing"))[2]["meta"]["totalItemsCount"]
        await page.reload()
        await expect(page.get_by_role("heading", name="Link to connect Pipedrive")).to_be_visible()
        await expect(page.locator(".copied code")).to_have_count(0)
        await page.go_back()
        await page.go_forward()
        await expect(page.get_by_role("heading", name="Link to connect Pipedrive")).to_be_visible()
        assert (await house.call("GET", "/credentials/grant-access-sharing"))[2]["meta"]["totalItemsCount"] == made

        await page.goto(url)
        await expect(page.get_by_label("Company domain")).to_be_visible()
        assert not await too_wide(page)


async def test_what_is_chosen_in_the_filters_is_marked_in_the_tiles_and_kept_by_them(
    browser: Browser, house: Served, state: dict[str, Any]
):
    await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, title="Northwind")
    async with opened(browser, f"{house.origin}/console/connections", storage_state=state) as watched:
        page, tiles = watched.page, watched.page.get_by_role("list", name="Health")
        await page.get_by_role("combobox", name="Status").select_option("Refused")
        await expect(tiles.locator("[aria-current]")).to_contain_text("Refused")
        await page.get_by_role("searchbox").fill("northw")
        await expect(tiles.get_by_role("link", name="Works")).to_have_attribute("href", re.compile("q=northw"))
        await tiles.get_by_role("link", name="Works").click()
        await expect(page.get_by_role("searchbox")).to_have_value("northw")
        await expect(page.get_by_role("combobox", name="Status")).to_have_value("active")
        await expect(page.get_by_role("link", name="Northwind")).to_be_visible()
        await tiles.get_by_role("link", name="Works").click()
        await expect(tiles.locator("[aria-current]")).to_have_count(0)
        await expect(page.get_by_role("searchbox")).to_have_value("northw")


async def test_a_form_that_was_not_taken_leads_to_the_first_field_that_is_why(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, f"{house.origin}/console/connections/new?partnerId=2&auth=bearer", storage_state=state) as watched:
        page = watched.page
        await page.get_by_label("Title").first.fill("Typed")
        await page.get_by_role("button", name="Basic").or_(page.get_by_role("button", name="User and password")).click()
        await expect(page.get_by_role("button", name="User and password")).to_have_attribute("aria-pressed", "true")
        await expect(page.get_by_label("Title").first).to_have_value("Typed")
        await page.get_by_label("Password").fill("pass-w0rd")
        await page.get_by_label("Title").first.press("Enter")  # the form, and not another way to connect
        await expect(page.get_by_text("This has to be filled in.").first).to_be_visible()
        await expect(page.get_by_label("Address")).to_be_focused()
        await expect(page.get_by_role("button", name="User and password")).to_have_attribute("aria-pressed", "true")
        await expect(page.get_by_text("Fill it in again")).to_be_visible()
        assert_quiet(watched, house, "422")


async def test_times_of_a_connection_are_told_in_full(browser: Browser, house: Served, state: dict[str, Any], paths: dict[str, str]):
    async with opened(browser, house.origin + paths["connection"], storage_state=state, timezone_id="UTC") as watched:
        made = watched.page.get_by_text("Made", exact=True).locator("xpath=following-sibling::dd[1]")
        await expect(made).to_have_text(re.compile(r"^\d{1,2} \w{3,4} \d{4}, \d{2}:\d{2} \((just\snow|\d+\smin\.\sago)\)$"))
