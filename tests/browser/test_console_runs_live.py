"""The list of runs while it lives: it keeps still under who is at work in it, is paused, catches up, and leaves the browser its connections."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from browser.console import assert_looks, assert_quiet, sign_in, signed_in_state
from browser.test_console_runs import CREATE, GET, ran
from browser.watched import opened
from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Served, running_server, running_simulator

pytestmark = pytest.mark.anyio

HIDE = """hidden => {
    Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture(scope="module")
async def house(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with (
        running_simulator("pipedrive") as url,
        running_server(tmp_path_factory.mktemp("live"), partner_pipedrive_base_url=url) as served,
    ):
        yield served


@pytest.fixture(scope="module")
async def connection(anyio_backend: str, house: Served) -> int:
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    for number in range(30):
        await ran(house, connection, CREATE, {"name": f"Person {number}"})
    return connection


def open_streams(house: Served) -> int:
    """How many streams the server has open."""
    return sum(house.services.streams._open.values())


async def first_row(page: Page) -> str:
    return str(await page.locator("[data-row]").first.get_attribute("data-row"))


async def test_as_many_tabs_as_one_likes_are_open_and_each_of_them_works(
    browser: Browser, house: Served, state: dict[str, Any], connection: int
):
    async with opened(browser, storage_state=state) as watched:
        pages = [watched.page, *[await watched.page.context.new_page() for _tab in range(7)]]
        for page in pages:
            await page.goto(house.origin + "/console/runs")
            await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        assert open_streams(house) <= 3
        await pages[0].get_by_label("Status").select_option("failed")
        await expect(pages[0].get_by_role("heading", name="No run fits")).to_be_visible()
        run_id = (await ran(house, connection, CREATE, {"name": "For all of them"}))[2]["data"]["runId"]
        for page in pages[1:]:
            await expect(page.locator(f"[data-row={run_id}]")).to_be_visible()


async def test_a_page_that_nobody_sees_holds_no_stream_and_catches_up(
    browser: Browser, house: Served, state: dict[str, Any], connection: int
):
    async with opened(browser, house.origin + "/console/runs", storage_state=state) as watched:
        page = watched.page
        await expect(page.locator("body[data-following]")).to_be_visible()
        await page.evaluate(HIDE, True)
        await expect(page.locator("body[data-following]")).to_have_count(0)
        run_id = (await ran(house, connection, CREATE, {"name": "Meanwhile"}))[2]["data"]["runId"]
        asked = len(watched.requests)
        await page.wait_for_timeout(2_500)
        assert len(watched.requests) == asked
        await page.evaluate(HIDE, False)
        await expect(page.locator(f"[data-row={run_id}]")).to_be_visible()
        assert_quiet(watched, house)


async def test_rows_stay_under_the_pointer_and_what_is_new_is_offered(
    browser: Browser, house: Served, state: dict[str, Any], connection: int
):
    async with opened(browser, house.origin + "/console/runs", storage_state=state) as watched:
        page = watched.page
        await expect(page.locator("body[data-following]")).to_be_visible()
        third = page.locator("tbody tr").nth(2)
        wanted = await third.get_attribute("data-row")
        link = third.get_by_role("rowheader").get_by_role("link").first
        await link.hover()
        before = await page.locator("tbody tr").count()
        for name in ("One", "Two"):
            await ran(house, connection, CREATE, {"name": name})
        offer = page.get_by_role("button", name="2 new runs: show")
        await expect(offer).to_be_visible()
        await expect(page.locator("#said")).to_have_text(re.compile("new runs?: show them with the button"))
        assert await page.locator("tbody tr").nth(2).get_attribute("data-row") == wanted
        box = await link.bounding_box()
        assert box is not None
        await page.mouse.click(box["x"] + 5, box["y"] + 5)
        await expect(page).to_have_url(f"{house.origin}/console/runs/{wanted}")
        await page.go_back()
        await expect(page.locator("tbody tr")).to_have_count(before)
        assert_quiet(watched, house)


async def test_the_offer_has_no_barrier(browser: Browser, house: Served, state: dict[str, Any], connection: int):
    async with opened(browser, house.origin + "/console/runs", storage_state=state) as watched:
        page = watched.page
        await expect(page.locator("body[data-following]")).to_be_visible()
        await page.evaluate("scrollTo(0, 300)")
        await ran(house, connection, CREATE, {"name": "Above"})
        await expect(page.get_by_role("button", name="1 new run: show")).to_be_visible()
        await page.get_by_role("button", name="Pause").click()
        await page.evaluate("scrollTo(0, 0)")  # it is paused: nothing comes in at the top either
        await assert_looks(page, "runs-offer", of=".fresh")


async def test_what_is_new_comes_in_once_it_is_asked_for(browser: Browser, house: Served, state: dict[str, Any], connection: int):
    async with opened(browser, house.origin + "/console/runs", storage_state=state) as watched:
        page = watched.page
        await expect(page.locator("body[data-following]")).to_be_visible()
        await page.evaluate("scrollTo(0, 300)")
        top = await first_row(page)
        run_id = (await ran(house, connection, CREATE, {"name": "Above"}))[2]["data"]["runId"]
        await page.get_by_role("button", name="1 new run: show").click()
        await expect(page.locator("tbody tr").first).to_have_attribute("data-row", run_id)
        assert top != run_id
        assert await page.evaluate("scrollY") == 0
        await expect(page.locator(".fresh")).to_be_hidden()


async def test_what_waits_comes_in_when_the_list_is_left(browser: Browser, house: Served, state: dict[str, Any], connection: int):
    async with opened(browser, house.origin + "/console/runs", storage_state=state) as watched:
        page = watched.page
        await expect(page.locator("body[data-following]")).to_be_visible()
        await page.locator("tbody tr").nth(1).get_by_role("link").first.focus()
        await page.keyboard.press("Tab")
        run_id = (await ran(house, connection, CREATE, {"name": "Later"}))[2]["data"]["runId"]
        await expect(page.get_by_role("button", name="1 new run: show")).to_be_visible()
        await page.evaluate("document.activeElement.blur()")
        await expect(page.locator("tbody tr").first).to_have_attribute("data-row", run_id)


async def test_the_status_of_a_row_changes_where_it_stands(browser: Browser, house: Served, state: dict[str, Any], connection: int):
    later = house.runtime.now_ms() // 1000 + 3600
    run_id = (await ran(house, connection, CREATE, {"name": "Later"}, "async", notBefore=later))[2]["data"]["runId"]
    async with opened(browser, house.origin + "/console/runs", storage_state=state) as watched:
        page = watched.page
        await expect(page.locator("body[data-following]")).to_be_visible()
        row = page.locator(f"[data-row={run_id}]")
        await row.hover()
        link = await row.get_by_role("link").first.element_handle()
        assert (await house.call("POST", f"/runs/{run_id}/cancel"))[0] == 200
        await expect(row.locator(".status")).to_have_text("Cancelled")
        assert link is not None
        assert await link.evaluate("each => each.isConnected")


async def test_the_list_is_paused_and_goes_on(browser: Browser, house: Served, state: dict[str, Any], connection: int):
    async with opened(browser, house.origin + "/console/runs", storage_state=state) as watched:
        page = watched.page
        await page.get_by_role("button", name="Pause").click()
        await expect(page.locator("[data-live-says]")).to_have_text("Paused")
        await expect(page.locator("body[data-following]")).to_have_count(0)
        run_id = (await ran(house, connection, CREATE, {"name": "Not yet"}))[2]["data"]["runId"]
        await page.wait_for_timeout(2_500)
        await expect(page.locator(f"[data-row={run_id}]")).to_have_count(0)
        await assert_looks(page, "runs-paused")
        await page.get_by_role("button", name="Go on").click()
        await expect(page.locator(f"[data-row={run_id}]")).to_be_visible()
        await expect(page.locator("[data-live-says]")).to_have_text("Live")


async def test_who_is_signed_out_elsewhere_is_told_so(browser: Browser, house: Served, connection: int):
    state = await signed_in_state(browser, house)
    async with opened(browser, house.origin + "/console/runs", storage_state=state) as watched:
        page = watched.page
        await expect(page.locator("body[data-following]")).to_be_visible()
        other = await page.context.new_page()
        await other.goto(house.origin + "/console/you")
        await other.locator(".who").get_by_role("button", name="Sign out").click()
        await expect(other.get_by_role("button", name="Sign in")).to_be_visible()
        await page.evaluate(HIDE, True)
        await page.evaluate(HIDE, False)
        await expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
        await expect(page.locator("[data-live-says]")).to_have_text("Not live")
        await sign_in(other, house)
        await page.get_by_role("button", name="Try again").click()
        await expect(page.locator("[data-live-says]")).to_have_text("Live")
        await expect(page.locator("#notice")).to_be_empty()


async def test_what_was_chosen_while_the_server_was_away_holds_once_it_is_back(browser: Browser, own_house: Served):
    connection = await own_house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    await ran(own_house, connection, CREATE, {"name": "Ada"})
    failed = (await ran(own_house, connection, GET, {"id": 999}))[2]["error"]["runId"]
    state = await signed_in_state(browser, own_house)
    async with opened(browser, own_house.origin + "/console/runs", storage_state=state) as watched:
        page = watched.page
        await expect(page.locator("body[data-following]")).to_be_visible()
        await page.context.set_offline(offline=True)
        own_house.services.streams.watch.closed = True  # the stream ends, as when the server does
        await expect(page.locator("[data-live-says]")).to_have_text(re.compile("Not live"))
        await page.get_by_label("Status").select_option("failed")
        await expect(page.locator("#notice .note.bad")).to_be_visible()
        own_house.services.streams.watch.closed = False
        await page.context.set_offline(offline=False)
        await expect(page).to_have_url(own_house.origin + "/console/runs?status=failed")
        await expect(page.locator("[data-row]")).to_have_count(1)
        await expect(page.locator(f"[data-row={failed}]")).to_be_visible()
        await expect(page.locator("#notice")).to_be_empty()


async def test_a_list_that_is_filtered_from_an_older_page_says_that_it_lives(
    browser: Browser, house: Served, state: dict[str, Any], connection: int
):
    async with opened(browser, house.origin + "/console/runs", storage_state=state) as watched:
        page = watched.page
        await page.get_by_role("link", name="Older").click()
        await expect(page.get_by_role("button", name="Pause")).to_be_hidden()
        await page.get_by_label("Status").select_option("succeeded")
        await expect(page.get_by_role("button", name="Pause")).to_be_visible()
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()


async def test_times_of_a_filter_are_those_of_the_viewer(browser: Browser, house: Served, state: dict[str, Any], connection: int):
    now = house.runtime.now_ms() // 1000
    path = f"/console/runs?from={now - 3600}&to={now + 3600}"
    async with opened(browser, house.origin + path, storage_state=state, timezone_id="Asia/Tokyo") as watched:
        page = watched.page
        field = page.get_by_label("From")
        expected = await page.evaluate("at => new Date(at * 1000 + 9 * 3600000).toISOString().slice(0, 16)", now - 3600)
        await expect(field).to_have_value(expected)
        await field.fill("2020-01-01T09:00")
        await expect(page).to_have_url(re.compile(r"from=1577836800&"))
        await page.get_by_role("combobox", name="Time").select_option("1h")
        await expect(page).to_have_url(house.origin + "/console/runs?since=1h")
        await expect(field).to_have_value("")


async def test_chips_say_what_narrows_the_list_and_each_is_taken_away(
    browser: Browser, house: Served, state: dict[str, Any], connection: int
):
    path = f"/console/runs?triggerActionId={CREATE}&credentialId={connection}&error=partner_error&externalUserId=customer-17"
    async with opened(browser, house.origin + path, storage_state=state) as watched:
        page = watched.page
        chips = page.get_by_role("list", name="Narrowed to").get_by_role("listitem")
        await expect(chips).to_have_text(
            [re.compile(each) for each in ("Operation: Create a person", "Connection: ", "customer-17", "partner_error")]
        )
        await assert_looks(page, "runs-chips")
        await page.get_by_label("Status").select_option("failed")
        await expect(page).to_have_url(re.compile("status=failed.*externalUserId=customer-17"))
        for _chip in range(4):
            count = await chips.count()
            await chips.first.get_by_role("link").click()
            await expect(chips).to_have_count(count - 1)
        await expect(page).to_have_url(house.origin + "/console/runs?status=failed")


async def test_an_id_that_is_pasted_leads_on_and_one_that_is_typed_stays(
    browser: Browser, house: Served, state: dict[str, Any], connection: int
):
    run_id = (await ran(house, connection, CREATE, {"name": "Found"}))[2]["data"]["runId"]
    async with opened(browser, house.origin + "/console/runs", storage_state=state) as watched:
        page = watched.page
        box = page.get_by_role("searchbox")
        await box.press_sequentially("run_01", delay=10)
        await expect(page.get_by_role("heading", name="No run fits")).to_be_visible()
        await expect(box).to_have_value("run_01")
        await box.fill("run_" + "0" * 32)
        await expect(page.get_by_role("heading", name="No run has this id")).to_be_visible()
        await assert_looks(page, "runs-no-id")
        await box.fill(f" {run_id.upper()} ")
        await expect(page).to_have_url(f"{house.origin}/console/runs/{run_id}")
