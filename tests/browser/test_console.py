"""The console in a real browser: signing in, the catalogue, by keyboard, on a phone, in the dark, without script."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from browser.console import CROSSED, assert_looks, assert_quiet, look_at, sign_in
from browser.watched import Watched, opened, violations
from e2e.served import EMAIL, PASSWORD, PIPEDRIVE, PIPEDRIVE_FIELDS, Served, running_server

pytestmark = pytest.mark.anyio

# What a person sees who signs in; a new page is added here and is looked at in every look.
PAGES = {
    "start": "/console/start",
    "catalogue": "/console/catalogue",
    "catalogue-none": "/console/catalogue?q=zzzzqqqq",
    "catalogue-operations": "/console/catalogue?q=create+contact",
    "partner": "/console/catalogue/225",
    "partner-limits": "/console/catalogue/345",
    "partner-no-connection": "/console/catalogue/1",
    "you": "/console/you",
    "not-found": "/console/catalogue/999999",
}


@pytest.fixture
async def watched(browser: Browser, state: dict[str, Any]) -> AsyncIterator[Watched]:
    async with opened(browser, storage_state=state) as found:
        yield found


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_has_no_barrier_fits_and_asks_nobody_else(browser: Browser, house: Served, state: dict[str, Any], name: str):
    await look_at(browser, house, state, PAGES[name], name)


async def test_the_sign_in_has_no_barrier(browser: Browser, house: Served):
    async with opened(browser, house.origin + "/console") as watched:
        await assert_looks(watched.page, "sign-in")
        await watched.page.get_by_label("E-mail address").fill(EMAIL)
        await watched.page.get_by_label("Password").fill("wrong")
        await watched.page.keyboard.press("Enter")
        await expect(watched.page.get_by_role("alert")).to_contain_text("wrong")
        await expect(watched.page.get_by_label("E-mail address")).to_have_value(EMAIL)
        await expect(watched.page.get_by_label("Password")).to_be_focused()
        await assert_looks(watched.page, "sign-in-refused", looks=CROSSED)


async def test_a_search_shows_what_fits_as_one_types_and_stays_in_the_address(watched: Watched, house: Served):
    page = watched.page
    await page.goto(house.origin + "/console/catalogue")
    await page.keyboard.press("/")
    await page.keyboard.type("pipedriv")
    await expect(page.get_by_role("link", name="Airtable")).to_have_count(0)
    await expect(page.get_by_role("link", name="Pipedrive")).to_be_visible()
    await expect(page).to_have_url(house.origin + "/console/catalogue?q=pipedriv")
    await expect(page.locator("#said")).to_have_text("1 partner")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await page.reload()
    await expect(page.get_by_role("searchbox")).to_have_value("pipedriv")
    await page.get_by_role("link", name="Pipedrive").click()
    await expect(page.get_by_role("heading", name="Pipedrive", level=1)).to_be_visible()
    await page.go_back()
    await expect(page.get_by_role("searchbox")).to_have_value("pipedriv")
    assert_quiet(watched, house)


async def test_the_keyboard_reaches_the_content_first_and_then_the_navigation(watched: Watched, house: Served):
    page = watched.page
    await page.goto(house.origin + "/console/catalogue")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"


async def test_it_works_without_script(browser: Browser, house: Served):
    async with opened(browser, java_script_enabled=False) as watched:
        page = watched.page
        await sign_in(page, house)
        await page.goto(house.origin + "/console/catalogue")
        await page.get_by_role("searchbox").fill("pipedrive")
        await page.get_by_role("button", name="Filter").click()
        await expect(page.get_by_role("link", name="Pipedrive")).to_be_visible()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_text("You are signed out.")).to_be_visible()


async def test_the_first_page_is_small(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, storage_state=state) as watched:
        await watched.page.goto(house.origin + "/console")
        await watched.page.wait_for_load_state("networkidle")
        sizes = [await request.sizes() for request in watched.requests if not request.url.startswith("data:")]
        assert len(sizes) >= 4
        assert sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes) < 100_000


async def test_nothing_of_a_page_stays_in_the_browsers_storage(watched: Watched, house: Served):
    page = watched.page
    await page.goto(house.origin + "/console/catalogue")
    await page.get_by_role("searchbox").fill("pipedrive")
    await expect(page.get_by_role("link", name="Airtable")).to_have_count(0)
    assert await page.evaluate("localStorage.length + sessionStorage.length") == 0


async def test_a_newcomer_comes_in_by_the_link_and_has_a_run_that_succeeded_three_clicks_later(browser: Browser, tmp_path: Path):
    async with running_server(tmp_path, allow_networks="") as served:
        made = (await served.call("POST", "/console-users", {"email": "new@team.example", "role": "owner"}))[2]["data"]
        async with opened(browser, made["url"]) as watched:
            page = watched.page
            await assert_looks(page, "welcome-link")
            await expect(page.get_by_label("E-mail address")).to_have_attribute("readonly", "")
            clicks = await counted(page)
            await page.get_by_label("New password", exact=True).fill(PASSWORD)
            await page.get_by_label("New password again").fill(PASSWORD)
            await page.get_by_role("button", name="Come in").click()
            await expect(page.get_by_role("heading", name="Welcome to Polyport")).to_be_visible()
            await page.get_by_role("button", name="Start it").click()
            await page.get_by_role("button", name="Run it").click()
            await expect(page.get_by_role("heading", name="It works")).to_be_visible()
            await expect(page.locator("#done")).to_contain_text("Ada Lovelace is at the simulated Pipedrive now.")
            assert clicks == ["Come in", "Start it", "Run it"]
            await page.reload()
            await expect(page.get_by_role("heading", name="It works")).to_be_visible()
            await expect(page.locator("#done")).to_have_count(0)
            await page.get_by_role("link", name="Look at the run").click()
            await expect(page.locator(".head .status")).to_have_text("Succeeded")
            await expect(page.get_by_role("region", name="Result", exact=True)).to_contain_text("Ada Lovelace")
            await page.get_by_role("link", name="Polyport").click()
            await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
            await page.get_by_role("link", name="Docs").click()
            await page.get_by_role("main").get_by_role("link", name="First steps").click()
            await expect(page.get_by_role("heading", name="It works")).to_be_visible()
            assert_quiet(watched, served)


async def counted(page: Page) -> list[str]:
    """What a person clicks from now on, page after page."""
    clicks: list[str] = []
    await page.expose_function("clicked", lambda what: clicks.append(what))  # noqa: PLW0108  a built-in method takes no mark, and the driver marks it
    script = "document.addEventListener('click', event => event.isTrusted && window.clicked(event.target.closest('a, button, input, summary')?.innerText.trim() ?? '?'), true)"
    await page.context.add_init_script(script)
    await page.evaluate(script)
    return clicks


async def test_a_link_that_was_used_or_is_none_says_what_to_do(browser: Browser, house: Served):
    for token in ("", "ppl_" + "x" * 43):
        async with opened(browser, f"{house.origin}/console/welcome?token={token}") as watched:
            await expect(watched.page.get_by_role("heading", name="This link does not work")).to_be_visible()
            await expect(watched.page.get_by_text("polyport console-user link")).to_be_visible()
            await assert_looks(watched.page, "welcome-gone")
            await watched.page.get_by_role("link", name="Sign in").click()
            await expect(watched.page.get_by_label("E-mail address")).to_be_visible()


FORMS = {"/console/settings/keys": "#f-title", "/console/try/2250101": "[name='s:d.name']"}


@pytest.mark.parametrize("path", FORMS)
async def test_what_was_typed_stays_when_the_sign_in_ends_meanwhile_and_is_sent_after_the_next_one(
    browser: Browser, house: Served, path: str
):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, verify=False)
    async with opened(browser) as watched:
        page = watched.page
        await page.clock.install()
        await sign_in(page, house, path if "keys" in path else f"{path}?connection={connection}")
        await page.locator(FORMS[path]).fill("Typed for an hour")
        if "keys" in path:
            await page.get_by_label("Read the catalogue").check()
        press = page.get_by_role("button", name="Make the key" if "keys" in path else "Dry run")
        await page.context.clear_cookies()
        await page.clock.fast_forward("02:00:00")
        await press.click()
        await expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
        await expect(page.locator(FORMS[path])).to_have_value("Typed for an hour")
        await assert_looks(page, "signed-out", looks=CROSSED)
        async with page.context.expect_page() as opening:
            await page.get_by_role("link", name="sign in in another tab").click()
        other = await opening.value
        await sign_in(other, house, "/console/sign-in")
        await press.click()
        if "keys" in path:
            await expect(page.get_by_role("row").filter(has_text="Typed for an hour")).to_have_count(1)
        else:
            await expect(page.get_by_role("heading", name="Dry run")).to_be_visible()
            await expect(page.locator("#outcome")).to_contain_text("Typed for an hour")


async def test_another_tab_that_signs_out_and_in_leaves_a_form_usable_and_one_of_somebody_else_does_not(browser: Browser, house: Served):
    await house.call("POST", "/console-users", {"email": "late@team.example", "role": "owner"})
    async with opened(browser) as watched:
        page = watched.page
        await page.clock.install()
        await sign_in(page, house, "/console/settings/keys")
        await page.locator("#f-title").fill("From two tabs")
        await page.get_by_label("Read the catalogue").check()
        other = await page.context.new_page()
        await other.goto(house.origin + "/console/you")
        await other.get_by_role("banner").get_by_role("button", name="Sign out").click()
        await sign_in(other, house)
        await page.clock.fast_forward("00:02:00")
        await page.evaluate("document.body.dataset.member = 'somebody@else.example'")
        await page.get_by_role("button", name="Make the key").click()
        await expect(page.get_by_role("heading", name="Somebody else is signed in now")).to_be_visible()
        await page.evaluate(f"document.body.dataset.member = '{EMAIL}'")
        await page.get_by_role("button", name="Make the key").click()
        await expect(page.get_by_role("row").filter(has_text="From two tabs")).to_have_count(1)


async def test_where_the_browser_lets_no_page_copy_the_text_is_selected_and_that_is_said(
    browser: Browser, house: Served, state: dict[str, Any]
):
    async with opened(browser, storage_state=state) as watched:
        page = watched.page
        await page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        await page.goto(house.origin + "/console/catalogue/225")
        button = page.get_by_role("button", name="Copy the partner's id")
        await button.click()
        await button.click()
        await expect(button).to_have_text("Selected: press Ctrl+C")
        assert await page.evaluate("getSelection().toString().trim()") == "225"
        await expect(page.locator("#said")).to_contain_text("Ctrl+C")


async def test_colours_follow_the_system_until_somebody_chooses_and_stay_chosen(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, storage_state=state, color_scheme="light") as watched:
        page = watched.page
        back = "getComputedStyle(document.body).backgroundColor"
        await page.goto(house.origin + "/console/catalogue?q=crm")
        light = await page.evaluate(back)
        await page.get_by_role("button", name="Dark").click()
        await expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
        await expect(page).to_have_url(house.origin + "/console/catalogue?q=crm")
        dark = await page.evaluate(back)
        assert dark != light
        assert await violations(page) == []
        await page.goto(house.origin + "/console/you")
        assert await page.evaluate(back) == dark
        await page.get_by_role("main").get_by_role("button", name="As the system").click()
        await expect(page.get_by_role("main").get_by_role("button", name="As the system")).to_have_attribute("aria-pressed", "true")
        assert await page.evaluate(back) == light
        await page.emulate_media(color_scheme="dark")
        assert await page.evaluate(back) == dark
        await page.get_by_role("main").get_by_role("button", name="Light").click()
        await expect(page.get_by_role("main").get_by_role("button", name="Light")).to_have_attribute("aria-pressed", "true")
        assert await page.evaluate(back) == light
        assert_quiet(watched, house)


async def test_one_browser_and_all_are_signed_out_from_the_page_of_ones_own(browser: Browser, house: Served):
    async with opened(browser) as first, opened(browser) as second:
        await sign_in(first.page, house, "/console/you")
        await sign_in(second.page, house, "/console/you")
        rows = second.page.get_by_role("row").filter(has=second.page.get_by_role("button", name="Sign out there"))
        before = await rows.count()
        await rows.first.get_by_role("button", name="Sign out there").click()
        await expect(second.page.locator("#done")).to_have_text("You are signed out in that browser.")
        await expect(rows).to_have_count(before - 1)
        await first.page.reload()
        await expect(first.page.get_by_text("Your sign-in has ended")).to_be_visible()
        await assert_looks(first.page, "sign-in-ended", looks=CROSSED)

        page = second.page
        await page.get_by_role("button", name="Sign out everywhere").click()
        dialog = page.get_by_role("dialog", name="Sign out everywhere?")
        await dialog.get_by_role("button", name="Stay").click()
        await expect(dialog).to_be_hidden()
        await expect(page.get_by_role("heading", name="You", exact=True)).to_be_visible()


async def test_nothing_moves_for_who_asks_for_that(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, storage_state=state, reduced_motion="reduce") as watched:
        await watched.page.goto(house.origin + "/console/runs")
        moving = "[...document.querySelectorAll('*')].filter(each => getComputedStyle(each).animationName !== 'none').length"
        assert await watched.page.evaluate(moving) == 0


async def test_times_are_in_the_viewers_zone_and_exact_on_hover(browser: Browser, house: Served, state: dict[str, Any]):
    for zone, mark in (("Asia/Kolkata", r"GMT\+5:30"), ("America/Anchorage", "GMT-9|AKST")):
        async with opened(browser, storage_state=state, timezone_id=zone) as watched:
            await watched.page.goto(house.origin + "/console/you")
            shown = watched.page.locator("main time").first
            await expect(shown).to_have_text(re.compile("now|ago"))
            await expect(shown).to_have_attribute("title", re.compile(mark))
