"""Try it in a real browser where much is to be said: one connection of very many, what is lacking, and what the browser keeps of what was typed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Route, expect

from browser.console import assert_looks, assert_quiet, signed_in_state
from browser.watched import opened
from e2e.pillar_box import SEND, connect_many, open_pillar_box
from e2e.served import PASSWORD, Served
from polyport.server.console.picking import LISTED_MOST

pytestmark = pytest.mark.anyio

PAGE = f"/console/try/{SEND}"
PIN = "canary-pin-51-Gh7Vb2"


@pytest.fixture(scope="module")
async def house(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with open_pillar_box(tmp_path_factory.mktemp("letters")) as served:
        await connect_many(served, LISTED_MOST + 2)
        yield served


@pytest.fixture(scope="module")
async def path(anyio_backend: str, house: Served) -> str:
    """The form with the newest of the connections: by itself none of them is chosen."""
    newest = (await house.call("GET", "/credentials?per-page=1&sort=-credentialId"))[2]["data"][0]
    return f"{PAGE}?connection={newest['credentialId']}"


@pytest.mark.parametrize("scripted", [True, False])
async def test_a_connection_is_searched_and_chosen_by_keyboard(
    browser: Browser, house: Served, state: dict[str, Any], path: str, *, scripted: bool
):
    async with opened(browser, house.origin + path, storage_state=state, java_script_enabled=scripted) as watched:
        page = watched.page
        await page.locator("[name='s:d.email']").fill("a@example.com")
        await page.get_by_role("searchbox", name="Search connections").focus()
        await page.keyboard.type("customer 1")
        if not scripted:
            await page.keyboard.press("Tab")
            await expect(page.get_by_role("button", name="Search")).to_be_focused()
            await page.keyboard.press("Enter")
        await expect(page.get_by_text("11 found")).to_be_visible()
        if scripted:
            await expect(page.get_by_role("searchbox", name="Search connections")).to_be_focused()
        await page.get_by_label("Connection", exact=True).focus()
        await page.keyboard.type("Customer 1 ")
        await expect(page.locator("#connection option:checked")).to_have_text("Customer 1 · user-1")
        await page.keyboard.press("Tab")
        await expect(page.locator("[name='s:d.email']")).to_have_value("a@example.com")
        await page.get_by_role("button", name="Run", exact=True).click()
        await expect(page.get_by_role("heading", name="It ran")).to_be_visible()
        assert_quiet(watched, house, "htmx:sendAbort", "htmx:afterRequest")  # a question that the next one replaced is called off


async def test_what_a_choice_asks_for_does_not_take_the_place_of_a_run_that_was_pressed_meanwhile(
    browser: Browser, house: Served, state: dict[str, Any], path: str
):
    async with opened(browser, house.origin + path, storage_state=state) as watched:
        page = watched.page
        await page.locator("[name='s:d.email']").fill("a@example.com")
        await page.locator("#connection").select_option(index=3)  # the form is asked for anew 400 ms later
        chosen = await page.locator("#connection").input_value()
        await page.route("**/console/try/*", _later)
        await page.get_by_role("button", name="Run", exact=True).click()
        await expect(page.get_by_role("heading", name="It ran")).to_be_visible()
        assert await page.locator("#connection").input_value() == chosen
        await page.unroute("**/console/try/*")
        async with page.expect_response(lambda answer: "do=refresh" in (answer.request.post_data or "")):
            await page.locator("#connection").select_option(index=5)  # once it has run, a choice asks for the form as ever


async def _later(route: Route) -> None:
    await asyncio.sleep(1.0)
    await route.continue_()


async def test_what_is_lacking_is_led_to_and_has_no_barrier(browser: Browser, house: Served, state: dict[str, Any], path: str):
    async with opened(browser, house.origin + path, storage_state=state) as watched:
        page = watched.page
        await page.get_by_role("button", name="Add a row to Copies").click()
        await expect(page.locator(".row")).to_have_count(1)
        await page.get_by_role("button", name="Dry run").click()
        lacking = page.locator("[data-fault]")
        await expect(lacking).to_have_count(2)
        await expect(lacking.first).to_be_focused()
        await assert_looks(page, "try-lacking")


async def test_the_browser_keeps_no_secret_in_its_history_its_addresses_or_what_it_tells_of_where_it_came_from(
    browser: Browser, house: Served, path: str
):
    """The password at the sign-in, a secret of a form, one in JSON that is none: each only in the body of the form that carried it."""
    async with opened(browser, house.origin + PAGE) as watched:
        page = watched.page
        await page.get_by_label("E-mail address").fill("owner@example.com")
        await page.get_by_label("Password").fill("wrong-" + PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await page.context.add_cookies((await signed_in_state(browser, house))["cookies"])
        await page.goto(house.origin + path)
        await page.locator("[name='s:d.email']").fill("a@example.com")
        await page.locator("[name='s:d.pin']").fill(PIN)
        await page.get_by_role("button", name="Dry run").click()
        await expect(page.get_by_role("heading", name="Dry run")).to_be_visible()
        await page.get_by_role("button", name="Link to this").click()
        # Not check(): the box sends its form, and another takes its place.
        await page.get_by_label("Put what was typed in it as well").click()
        await expect(page.get_by_text("It holds all but secrets.")).to_be_visible()
        await page.get_by_role("button", name="JSON", exact=True).click()
        await page.locator("#text").fill(f'{{"pin": "{PIN}",}}')
        await page.get_by_role("button", name="Run", exact=True).click()
        await expect(page.locator("#text-error")).to_be_visible()
        await page.goto(house.origin + "/console/runs")

        session = await page.context.new_cdp_session(page)
        history = str(await session.send("Page.getNavigationHistory"))
        told = [f"{request.url} {(await request.all_headers()).get('referer', '')}" for request in watched.requests]
        kept = await page.evaluate(
            "JSON.stringify([history.state, {...localStorage}, {...sessionStorage}, document.title, document.referrer])"
        )
        assert len(told) > 10
        for secret in (PIN, PASSWORD):
            assert secret not in history + kept + "".join(told)
        await page.go_back()  # what a browser shows again is asked for anew, without what was typed
        await expect(page.get_by_role("heading", name="Send a letter")).to_be_visible()
        assert PIN not in await page.content()
        assert await page.locator("input[name='s:d.pin']").input_value() == ""
