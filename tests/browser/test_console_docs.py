"""The docs in a real browser: read, searched, copied, in both colours, on a phone and without script."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, expect

from browser.console import assert_quiet, look_at, sign_in
from browser.watched import PHONE, copied, opened, too_wide
from e2e.served import Served
from polyport.server.console.guides import INDEX, sources

pytestmark = pytest.mark.anyio

PAGES = {
    "start": "/console/docs",
    "guide": "/console/docs/guide/how-to/api-keys",
    "table": "/console/docs/guide/reference/errors",
    "search": "/console/docs?q=idempotency",
    "none": "/console/docs?q=zzzzqqqq",
    "api": "/console/docs/api",
    "group": "/console/docs/api/files",
    "found": "/console/docs?q=webhook",
    "quickstart": "/console/docs/guide/quickstart",
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
        await page.get_by_role("link", name="POST /api-keys", exact=True).click()
        operation = page.get_by_role("article", name="Make an API key; its text is shown once")
        await expect(operation).to_be_in_viewport()
        await operation.get_by_role("button", name="Copy the call").click()
        assert (await copied(page)).startswith(f"curl -X POST '{house.origin}/api-keys'")
        assert_quiet(watched, house)


async def test_what_is_found_is_shown_as_one_types_and_leads_to_its_place(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, storage_state=state) as watched:
        page = watched.page
        await page.goto(house.origin + "/console/docs/guide/concepts")
        await page.get_by_role("searchbox").press_sequentially("redirectUrl", delay=20)
        await expect(page.get_by_role("heading", name="What has “redirectUrl”")).to_be_visible()
        await expect(page).to_have_url(f"{house.origin}/console/docs?q=redirectUrl")
        await expect(page.get_by_role("searchbox")).to_be_focused()
        await expect(page.locator("mark").first).to_be_visible()
        await page.get_by_role("link", name="Bring the customer back").click()
        await expect(page.get_by_role("heading", name="Bring the customer back")).to_be_in_viewport()
        await page.get_by_role("searchbox").fill("x")
        await expect(page.get_by_role("heading", name="What has “x”")).to_be_visible()
        await page.get_by_role("searchbox").fill("")
        await expect(page.get_by_role("heading", name="Connect customers")).to_be_visible()
        assert_quiet(watched, house)


async def test_no_page_of_the_docs_is_wider_than_a_phone(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, storage_state=state, viewport=PHONE) as watched:
        await watched.page.goto(house.origin + "/console/docs/api")
        api = await watched.page.eval_on_selector_all(
            "#list a[href*='/docs/api/']", "all => [...new Set(all.map(each => each.href.split('#')[0]))]"
        )
        guides = [f"{house.origin}/console/docs/guide/{path}" for path in sources() if path != INDEX]
        assert len(api) > 10
        wide = []
        for url in [*api, *guides]:
            await watched.page.goto(url, wait_until="commit")
            await watched.page.wait_for_load_state("domcontentloaded")
            wide += [url] * await too_wide(watched.page)
        assert wide == []


async def test_it_works_without_script(browser: Browser, house: Served):
    async with opened(browser, java_script_enabled=False) as watched:
        await sign_in(watched.page, house, "/console/docs")
        await watched.page.get_by_role("main").get_by_role("link", name="Run it later").click()
        await expect(watched.page.get_by_role("navigation", name="On this page")).to_be_visible()
        await watched.page.get_by_role("searchbox").fill("webhooks")
        await watched.page.get_by_role("button", name="Search").click()
        await expect(watched.page.get_by_role("heading", name="In the guides")).to_be_visible()
