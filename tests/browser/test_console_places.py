"""Who works in a page of the console keeps the place, while the page is read again by itself, on a phone, and by keyboard alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from browser.console import assert_looks, assert_quiet, sign_in
from browser.watched import PHONE, opened
from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Asked, Served, answer, running_server, upstream

pytestmark = pytest.mark.anyio

CREATE, GET = 2250101, 2250103
TELEGRAM, DELETE_MESSAGE = 330, 3300106
FOCUSED = "document.activeElement.getAttribute('href') || document.activeElement.getAttribute('aria-label') || document.activeElement.innerText.trim()"
SELECT = "getSelection().selectAllChildren(document.querySelector('#list tbody th'))"


@pytest.fixture(scope="module")
async def connection(anyio_backend: str, house: Served) -> int:
    return await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)


async def ran(house: Served, connection: int, mode: str = "sync", **more: Any) -> str:
    body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Ada"}, **more}
    return str((await house.call("POST", f"/partners/trigger-actions/{CREATE}/run/{mode}", body))[2]["data"]["runId"])


async def test_the_list_of_runs_lives_on_under_who_works_in_it(browser: Browser, house: Served, state: dict[str, Any], connection: int):
    first = await ran(house, connection)
    async with opened(browser, house.origin + "/console/runs", storage_state=state) as watched:
        page = watched.page
        await expect(page.get_by_text("Live")).to_be_visible()
        rows = page.locator("tbody tr")
        before = await rows.count()
        link = page.locator(f"#list a[href$='{first}']")
        await link.focus()
        await ran(house, connection)
        offered = page.get_by_role("button", name="1 new run: show")
        await expect(offered).to_be_visible()
        await expect(link).to_be_focused()
        assert await rows.count() == before, "what is new comes when it is asked for"
        await offered.click()
        await expect(rows).to_have_count(before + 1)
        assert_quiet(watched, house)


async def test_the_list_of_runs_waits_for_who_selects_text_in_it(browser: Browser, house: Served, state: dict[str, Any], connection: int):
    await ran(house, connection)
    async with opened(browser, house.origin + "/console/runs", storage_state=state) as watched:
        page = watched.page
        await expect(page.get_by_text("Live")).to_be_visible()
        rows = page.locator("tbody tr")
        before = await rows.count()
        await page.evaluate(SELECT)
        told = await page.evaluate_handle("new EventSource(document.querySelector('[data-live]').dataset.live)")
        heard = await told.evaluate_handle(
            "source => { const heard = []; source.addEventListener('changed', () => heard.push(1)); return heard; }"
        )
        await page.wait_for_function("source => source.readyState === 1", arg=told)
        await ran(house, connection)
        await page.wait_for_function("heard => heard.length > 0", arg=heard)
        await page.evaluate("new Promise((done) => setTimeout(done, 300))")
        assert "person" in await page.evaluate("getSelection().toString()")
        assert await rows.count() == before
        await page.evaluate("getSelection().removeAllRanges()")
        await expect(rows).to_have_count(before + 1)


async def test_a_run_that_ends_under_the_focus_leaves_it_in_the_page(
    browser: Browser, house: Served, state: dict[str, Any], connection: int
):
    later = house.runtime.now_ms() // 1000 + 3600
    run_id = await ran(house, connection, "async", notBefore=later)
    async with opened(browser, f"{house.origin}/console/runs/{run_id}", storage_state=state) as watched:
        page = watched.page
        await page.get_by_role("button", name="Cancel").focus()
        assert (await house.call("POST", f"/runs/{run_id}/cancel"))[0] == 200
        await expect(page.locator(".head .status")).to_have_text("Cancelled")
        await expect(page.get_by_role("main")).to_be_focused()
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.querySelector('main').contains(document.activeElement)")


async def test_what_was_opened_of_a_run_stays_open_when_its_next_attempt_is_there(browser: Browser, tmp_path: Path):
    asked: list[Asked] = []

    async def reply(found: Asked) -> bytes:
        if "/persons/7" not in found.target:
            return answer(200, {"success": True, "data": []})
        asked.append(found)
        if len(asked) == 1:
            return answer(503, {}, {"Retry-After": "4"})
        return answer(200, {"success": True, "data": {"id": 7, "name": "Ada"}})

    async with (
        upstream(reply) as there,
        running_server(tmp_path, partner_pipedrive_base_url=there.origin) as served,
        opened(browser) as watched,
    ):
        one = await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, verify=False)
        body = {"credentialData": {"0": {"value": one}}, "runnerData": {"id": 7}}
        run_id = (await served.call("POST", f"/partners/trigger-actions/{GET}/run/async", body))[2]["data"]["runId"]
        page = watched.page
        await sign_in(page, served, f"/console/runs/{run_id}")
        first = page.get_by_role("article", name="Attempt 1").locator("details")
        await expect(first).to_have_attribute("open", "")
        await first.locator("summary").focus()
        await expect(page.get_by_role("article", name="Attempt 2")).to_be_visible()
        await expect(page.locator(".head .status")).to_have_text("Succeeded")
        await expect(first).to_have_attribute("open", "")
        await expect(first.locator("summary")).to_be_focused()


async def test_the_part_of_the_settings_that_is_shown_is_in_sight_on_a_phone(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, storage_state=state, viewport=PHONE) as watched:
        for path in ("keys", "webhooks", "oauth-apps", "partners", "audit"):
            await watched.page.goto(f"{house.origin}/console/settings/{path}")
            here = watched.page.get_by_role("navigation", name="Settings").locator("[aria-current]")
            await expect(here).to_be_in_viewport(ratio=0.99)


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
async def test_on_a_phone_the_menu_shows_every_place_and_the_choice_of_colours(
    browser: Browser, house: Served, state: dict[str, Any], script: bool
):
    async with opened(browser, storage_state=state, viewport=PHONE, java_script_enabled=script) as watched:
        page = watched.page
        await page.goto(f"{house.origin}/console/connections")
        places, colours = page.get_by_role("navigation", name="Console"), page.get_by_role("form", name="Colours")
        await expect(places).to_be_hidden()
        await expect(colours).to_be_hidden()
        for _turn in range(3):  # past the way to the content and the name of the house
            await page.keyboard.press("Tab")
        await expect(page.locator(".menu summary")).to_be_focused()
        await page.keyboard.press("Enter")
        for name in ("Overview", "Catalogue", "Connections", "Try it", "Runs", "Settings", "Docs"):
            await expect(places.get_by_role("link", name=name, exact=True)).to_be_in_viewport(ratio=0.99)
        await expect(page.get_by_role("button", name="Sign out")).to_be_in_viewport(ratio=0.99)
        await colours.get_by_role("button", name="Dark").click()
        await expect(page.locator("html")).to_have_attribute("data-look", "dark")


@pytest.mark.parametrize("width", [640, 820, 840, 900, 1080, 1100])
async def test_no_column_of_connections_is_cut_at_any_width(browser: Browser, house: Served, state: dict[str, Any], width: int):
    await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, title="Northwind Traders of the North", externalUserId="user-1234567")
    async with opened(browser, storage_state=state, viewport={"width": width, "height": 800}) as watched:
        for path in ("connections", "connections/links"):
            await watched.page.goto(f"{house.origin}/console/{path}")
            assert await watched.page.evaluate(
                "[...document.querySelectorAll('.scroll')].every(each => each.scrollWidth <= each.clientWidth)"
            )


async def test_no_word_on_a_button_is_broken_on_a_phone(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, storage_state=state, viewport=PHONE) as watched:
        await watched.page.goto(f"{house.origin}/console/you")
        buttons = watched.page.get_by_role("form", name="Choice of colours").get_by_role("button")
        boxes = [await buttons.nth(index).bounding_box() for index in range(3)]
        assert [box is not None and box["height"] < 36 for box in boxes] == [True] * 3, boxes


async def stops(page: Page) -> list[str]:
    """What the Tab key comes to, from the top of a page to its end."""
    found: list[str] = []
    await page.keyboard.press("Tab")
    while await page.evaluate("document.activeElement !== document.body") and len(found) < 200:
        found.append(str(await page.evaluate(FOCUSED)))
        await page.keyboard.press("Tab")
    return found


@pytest.mark.parametrize("path", ["runs", "catalogue/225", "settings/keys"])
async def test_the_keyboard_comes_to_everything_that_can_be_pressed(
    browser: Browser, house: Served, state: dict[str, Any], connection: int, path: str
):
    async with opened(browser, f"{house.origin}/console/{path}", storage_state=state) as watched:
        page = watched.page
        await expect(page.locator(".later:not(.whole)")).to_have_count(0)
        wanted = await page.locator("a[href], button:not([disabled]), input:not([type=hidden]), select, textarea, summary").evaluate_all(
            "all => all.filter(each => each.checkVisibility()).map(each => each.getAttribute('href') || each.getAttribute('aria-label') || each.innerText.trim())"
        )
        found = await stops(page)
        assert found[0] == "#main"
        assert len(found) >= len(wanted)
        assert set(wanted) - set(found) == set()


async def test_a_dialog_holds_the_focus_and_gives_it_back(browser: Browser, house: Served, state: dict[str, Any], connection: int):
    async with opened(browser, f"{house.origin}/console/connections/{connection}", storage_state=state) as watched:
        page = watched.page
        button = page.get_by_role("button", name="Delete").first
        for end in ("Escape", "Keep it"):
            await button.focus()
            await page.keyboard.press("Enter")
            dialog = page.get_by_role("dialog")
            await expect(dialog.get_by_role("textbox")).to_be_focused()
            await page.keyboard.press("Tab")
            await expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
            await page.keyboard.press("Escape" if end == "Escape" else "Space")
            await expect(dialog).to_be_hidden()
            await expect(button).to_be_focused()


async def test_what_destroys_something_is_run_by_its_name_with_the_keyboard_alone(browser: Browser, house: Served, state: dict[str, Any]):
    await house.call("POST", "/credentials", {"partnerId": TELEGRAM, "title": "Practice", "simulated": True})
    async with opened(browser, f"{house.origin}/console/try/{DELETE_MESSAGE}", storage_state=state) as watched:
        page = watched.page
        await page.locator("[name='s:d.chat_id']").fill("123456789")
        await page.locator("[name='n:d.message_id']").fill("42")
        button = page.get_by_role("button", name="Run", exact=True)
        await button.focus()
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Run this?")
        await expect(dialog.get_by_role("textbox")).to_be_focused()
        await assert_looks(page, "try-sure", of="dialog[open]")
        await page.keyboard.type("Delete a mess")
        await page.keyboard.press("Enter")
        await expect(dialog.get_by_role("button", name="Run")).to_be_disabled()
        await page.keyboard.press("Escape")
        await expect(button).to_be_focused()
        await page.keyboard.press("Enter")
        await page.keyboard.press("ControlOrMeta+a")
        await page.keyboard.type("Delete a message")
        await page.keyboard.press("Enter")
        await expect(page.locator("#outcome")).to_be_focused()
        await expect(page.locator("#outcome")).to_contain_text("deleteMessage")
        await expect(dialog).to_have_count(0)
        assert_quiet(watched, house, "htmx:sendAbort", "htmx:afterRequest")


async def test_the_overview_is_read_again_under_who_works_in_it(browser: Browser, house: Served, state: dict[str, Any], connection: int):
    await ran(house, connection)
    async with opened(browser, storage_state=state) as watched:
        page = watched.page
        await page.clock.install()
        await page.goto(house.origin + "/console/overview")
        await expect(page.locator(".later:not(.whole)")).to_have_count(0)
        link = page.locator("#list a[href]").last
        href = await link.get_attribute("href")
        await link.focus()
        await page.evaluate("document.querySelector('#list').dataset.old = 'yes'")
        await page.clock.fast_forward("00:25")
        await expect(page.locator("#list[data-old]")).to_have_count(0)
        await expect(page.locator(f"#list a[href='{href}']").last).to_be_focused()
        assert_quiet(watched, house)
