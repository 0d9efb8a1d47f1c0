"""The docs in a real browser: read, searched, copied, in both colours, on a phone and without script."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, expect

from browser.console import assert_quiet, look_at, sign_in
from browser.watched import copied, opened
from e2e.served import Served

pytestmark = pytest.mark.anyio

PAGES = {
    "start": "/console/docs",
    "guide": "/console/docs/guide/how-to/api-keys",
    "table": "/console/docs/guide/guarantees",
    "search": "/console/docs?q=idempotency",
    "none": "/console/docs?q=zzzzqqqq",
    "api": "/console/docs/api",
    "group": "/console/docs/api/audit-log",
}


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_of_the_docs_has_no_barrier_and_fits(browser: Browser, house: Served, state: dict[str, Any], name: str):
    await look_at(browser, house, state, PAGES[name], f"docs-{name}")


async def test_an_operation_is_found_and_its_call_is_copied_with_this_servers_address(
    browser: Browser, house: Served, state: dict[str, Any]
):
    async with opened(browser, storage_state=state, permissions=["clipboard-read", "clipboard-write"]) as watched:
        page = watched.page
        await page.goto(house.origin + "/console/docs")
        await page.get_by_role("searchbox").fill("API key")
        await page.keyboard.press("Enter")
        await page.get_by_role("link", name="POST /api-keys", exact=True).click()
        operation = page.get_by_role("article", name="Make an API key; its text is shown once")
        await expect(operation).to_be_in_viewport()
        await operation.get_by_role("button", name="Copy the call").click()
        assert (await copied(page)).startswith(f"curl -X POST '{house.origin}/api-keys'")
        assert_quiet(watched, house)


async def test_it_works_without_script(browser: Browser, house: Served):
    async with opened(browser, java_script_enabled=False) as watched:
        await sign_in(watched.page, house, "/console/docs")
        await watched.page.get_by_role("link", name="Run it later").click()
        await expect(watched.page.get_by_role("navigation", name="On this page")).to_be_visible()
        await watched.page.get_by_role("searchbox").fill("webhooks")
        await watched.page.get_by_role("button", name="Search").click()
        await expect(watched.page.get_by_role("heading", name="In the guides")).to_be_visible()
