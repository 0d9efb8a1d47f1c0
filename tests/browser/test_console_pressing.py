"""What happens while one presses: lists that are searched stay where they are under the pointer, and what they hold works as before."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from browser.console import assert_quiet
from browser.watched import opened
from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Served

pytestmark = pytest.mark.anyio


async def press_slowly(page: Page, what: Locator) -> None:
    """A press as people press: the button of the mouse stays down for a while."""
    box = await what.bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await page.mouse.down()
    await page.wait_for_timeout(150)
    await page.mouse.up()


async def test_the_first_press_on_what_was_searched_counts(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, storage_state=state) as watched:
        page = watched.page
        await page.goto(house.origin + "/console/catalogue")
        await page.keyboard.press("/")
        await page.keyboard.type("pipdrive", delay=20)
        tile = page.get_by_role("link", name="Pipedrive")
        await expect(page.locator(".tile")).to_have_count(1)
        await press_slowly(page, tile)
        await expect(page.get_by_role("heading", name="Pipedrive", exact=True)).to_be_visible()
        await page.go_back()
        await expect(page).to_have_url(re.compile(r"\?q=pipdrive$"))
        await page.go_back()
        await expect(page).not_to_have_url(re.compile("catalogue"))  # what one types is one step of the way, not one a letter
        assert_quiet(watched, house)


async def test_what_is_chosen_is_a_step_of_the_way(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, storage_state=state) as watched:
        page = watched.page
        await page.goto(house.origin + "/console/catalogue")
        await page.get_by_role("combobox", name="Way to connect").select_option("oauth2")
        await expect(page).to_have_url(re.compile("authType=oauth2"))
        await page.go_back()
        await expect(page).to_have_url(re.compile("/catalogue$"))


async def test_a_dialog_of_a_list_that_was_searched_asks_as_before(browser: Browser, house: Served, state: dict[str, Any]):
    await house.call("POST", "/credentials/grant-access-sharing", {"partnerId": PIPEDRIVE, "title": "Link for Bob"})
    async with opened(browser, storage_state=state) as watched:
        page = watched.page
        await page.goto(house.origin + "/console/connections/links")
        before = await page.locator("tbody tr").count()
        await page.get_by_role("searchbox").fill("nobody")
        await expect(page.locator("tbody tr")).to_have_count(0)
        await page.get_by_role("searchbox").fill("")
        await expect(page.locator("tbody tr")).to_have_count(before)
        await press_slowly(page, page.get_by_role("button", name="Revoke").first)
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_be_visible()
        await expect(dialog.get_by_role("button", name="Revoke")).to_be_disabled()
        await dialog.get_by_role("textbox").fill("Link for")
        await expect(dialog.get_by_role("button", name="Revoke")).to_be_disabled()
        await dialog.get_by_role("textbox").fill(" Link for  Bob ")
        await expect(dialog.get_by_role("button", name="Revoke")).to_be_enabled()


async def test_a_server_that_is_away_is_told_of_as_a_fault_and_as_long_as_it_is_away(
    browser: Browser, house: Served, state: dict[str, Any]
):
    async with opened(browser, storage_state=state) as watched:
        page = watched.page
        await page.goto(house.origin + "/console/catalogue")
        await page.context.set_offline(offline=True)
        await page.get_by_role("searchbox").fill("stripe")
        notice = page.locator("#notice .note.bad")
        await expect(notice).to_have_text("The server does not answer. What is shown may be out of date.")
        await page.context.set_offline(offline=False)
        await page.get_by_role("searchbox").fill("github")
        await expect(page.locator(".tile")).to_have_count(1)
        await expect(notice).to_have_count(0)


async def test_a_connection_whose_title_cannot_be_seen_as_it_is_can_be_deleted(browser: Browser, house: Served, state: dict[str, Any]):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, title="ACME  \u202eGmbH", verify=False)
    async with opened(browser, storage_state=state) as watched:
        page = watched.page
        await page.goto(f"{house.origin}/console/connections/{connection}")
        await page.get_by_role("button", name="Delete").click()
        await page.get_by_role("dialog").get_by_role("textbox").fill("ACME GmbH")
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(page).to_have_url(re.compile("/console/connections$"))
