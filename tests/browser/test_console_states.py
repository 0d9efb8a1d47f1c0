"""What pages of the console look like before anything is there, for who may only look, and where something was refused or is told once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from browser.console import CROSSED, assert_looks, sign_in, signed_in_state
from browser.watched import opened
from e2e.served import PASSWORD, PIPEDRIVE, Served, running_server

pytestmark = pytest.mark.anyio

NOTHING = {
    "connections": "There is no connection yet",
    "connections/links": "There is no link yet",
    "runs": "Nothing has run yet",
    "try/2250101": "No connection yet",
    "settings/keys": "This is not yours to do",
}
EMPTY = ("overview", "settings/keys", "settings/webhooks", "settings/oauth-apps", "settings/partners", "settings/partners/imports")
# A page, what is filled in there, the button that is pressed, and the words that show that it was refused.
REFUSED = {
    "settings/keys": ({"#f-title": "No scopes"}, "Make the key", "Choose at least one."),
    "settings/people": ({"#f-email": "nobody"}, "Make a link", "e-mail"),
    "settings/webhooks": ({"#f-url": "ftp://x"}, "Make the webhook", "http"),
    "settings/connect-page": ({"#f-hosts": "http://x/y"}, "Save", "host"),
    f"settings/oauth-apps/{PIPEDRIVE}": ({"#f-clientId": ""}, "Save", "This has to be filled in."),
    "settings/partners": ({"#f-slug": "Not A Slug"}, "Import", "It is not written as it has to be."),
    f"connections/new?partnerId={PIPEDRIVE}": ({"[name$=company]": "", "#f-title": "Acme"}, "Connect", "This has to be filled in."),
    "you": ({"#f-new": "short"}, "Change the password", "at least 8 characters"),
}


@pytest.fixture(scope="module")
async def house(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A server on which nothing was done yet."""
    async with running_server(tmp_path_factory.mktemp("bare")) as served:
        yield served


@pytest.fixture(scope="module")
async def state(anyio_backend: str, browser: Browser, house: Served) -> dict[str, Any]:
    return await signed_in_state(browser, house)


async def looked_at(page: Page, name: str) -> None:
    """Two of the looks: both widths and both colours are in them."""
    await assert_looks(page, f"state-{name.replace('/', '-').partition('?')[0]}", looks=CROSSED)


async def test_who_may_only_look_is_told_what_is_not_there_yet_and_what_is_not_theirs(browser: Browser, house: Served):
    made = (await house.call("POST", "/console-users", {"email": "viewer@team.example", "role": "viewer"}))[2]["data"]
    async with opened(browser, made["url"]) as watched:
        page = watched.page
        await page.get_by_label("New password", exact=True).fill(PASSWORD)
        await page.get_by_label("New password again").fill(PASSWORD)
        await page.get_by_role("button", name="Come in").click()
        await expect(page.get_by_role("navigation", name="Console")).to_be_visible()
        for path, told in NOTHING.items():
            await page.goto(f"{house.origin}/console/{path}")
            await expect(page.get_by_role("heading", name=told)).to_be_visible()
            await looked_at(page, f"viewer-{path}")


async def test_a_page_on_which_nothing_is_has_no_barrier(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, storage_state=state) as watched:
        for path in EMPTY:
            await watched.page.goto(f"{house.origin}/console/{path}")
            await expect(watched.page.locator(".later:not(.whole)")).to_have_count(0)
            await looked_at(watched.page, f"empty-{path}")


async def test_a_form_that_is_refused_has_no_barrier_and_keeps_what_was_typed(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, storage_state=state) as watched:
        page = watched.page
        for path, (given, press, told) in REFUSED.items():
            await page.goto(f"{house.origin}/console/{path}")
            await page.evaluate("for (const each of document.forms) each.noValidate = true")
            for field, text in given.items():
                await page.locator(field).fill(text)
            form = page.locator("form").filter(has=page.locator(next(iter(given))))
            await form.get_by_role("button", name=press, exact=True).click()
            await expect(page.locator(".error").first).to_contain_text(told)
            for field, text in given.items():
                if await page.locator(field).get_attribute("type") != "password":
                    await expect(page.locator(field)).to_have_value(text)
            await looked_at(page, f"refused-{path}")


async def test_what_is_told_once_and_the_first_steps_have_no_barrier(browser: Browser, house: Served):
    async with opened(browser) as watched:
        page = watched.page
        await sign_in(page, house, "/console/settings/keys")
        await page.get_by_label("What it is for").fill("Nightly job")
        await page.get_by_label("Read the catalogue").check()
        await page.get_by_role("button", name="Make the key").click()
        await expect(page.locator(".once")).to_contain_text("ppk_")
        await looked_at(page, "once-key")
        await page.goto(house.origin + "/console/start")
        await page.get_by_role("button", name="Start it").click()
        await expect(page.get_by_role("button", name="Run it")).to_be_visible()
        await looked_at(page, "start-connected")
        await page.get_by_role("button", name="Run it").click()
        await expect(page.get_by_role("heading", name="It works")).to_be_visible()
        await looked_at(page, "start-done")
