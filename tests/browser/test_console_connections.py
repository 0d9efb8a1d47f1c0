"""Connections in a real browser: from a partner to a connection, and its end behind a name that is typed."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, expect

from browser.console import assert_looks, assert_quiet, look_at
from browser.watched import opened
from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Served

pytestmark = pytest.mark.anyio

PAGES = ("connections", "connection", "connection-new", "links")


@pytest.fixture(scope="module")
async def paths(anyio_backend: str, house: Served) -> dict[str, str]:
    """The address of each page."""
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, externalUserId="user-7", metadata={"plan": "gold"})
    for title in ("Acme", "x" * 200):
        await house.call("POST", "/credentials/grant-access-sharing", {"partnerId": PIPEDRIVE, "title": title, "externalUserId": "user-8"})
    body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Ada"}}
    await house.call("POST", "/partners/trigger-actions/2250101/run/sync", body)
    return {
        "connections": "/console/connections",
        "connection": f"/console/connections/{connection}",
        "connection-new": "/console/connections/new?partnerId=225",
        "links": "/console/connections/links",
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
        await page.get_by_role("button", name="Test now").click()
        await expect(page.get_by_text("Pipedrive takes it")).to_be_visible()

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
        await expect(page.get_by_text("Acme's Pipedrive")).to_have_count(0)
        assert_quiet(watched, house)


async def test_a_link_shows_its_code_and_has_no_barrier(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, f"{house.origin}/console/connections/new?partnerId=225", storage_state=state) as watched:
        page = watched.page
        await page.get_by_role("button", name="Make a link").click()
        await expect(page.get_by_role("img", name="QR code of the link")).to_be_visible()
        await expect(page.locator(".copied code")).to_contain_text("/connect?id=")
        await assert_looks(page, "link-made")
        assert_quiet(watched, house)
