"""Runs in a real browser: a list that lives, a run that is followed to its end."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from browser.console import assert_quiet, look_at
from browser.watched import PHONE, opened
from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Served

pytestmark = pytest.mark.anyio

CREATE, GET = 2250101, 2250103
PAGES = ("runs", "runs-none", "run-failed", "run-succeeded")


@pytest.fixture(scope="module")
async def connection(anyio_backend: str, house: Served) -> int:
    return await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)


@pytest.fixture(scope="module")
async def paths(anyio_backend: str, house: Served, connection: int) -> dict[str, str]:
    """The address of each page."""
    failed = (await ran(house, connection, GET, {"id": 999}))[2]["error"]["runId"]
    succeeded = (await ran(house, connection, CREATE, {"name": "Ada <b>Lovelace</b>"}))[2]["data"]["runId"]
    return {
        "runs": "/console/runs",
        "runs-none": "/console/runs?q=nobody",
        "run-failed": f"/console/runs/{failed}",
        "run-succeeded": f"/console/runs/{succeeded}",
    }


async def ran(served: Served, connection: int, operation: int, fields: dict[str, Any], mode: str = "sync", **more: Any) -> Any:
    body = {"credentialData": {"0": {"value": connection}}, "runnerData": fields, **more}
    return await served.call("POST", f"/partners/trigger-actions/{operation}/run/{mode}", body)


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_has_no_barrier_fits_and_asks_nobody_else(
    browser: Browser, house: Served, state: dict[str, Any], paths: dict[str, str], name: str
):
    await look_at(browser, house, state, paths[name], name)


async def test_the_list_shows_what_is_accepted_without_being_asked(
    browser: Browser, house: Served, state: dict[str, Any], connection: int, paths: dict[str, str]
):
    async with opened(browser, house.origin + paths["runs"], storage_state=state) as watched:
        page = watched.page
        await expect(page.get_by_text("Live")).to_be_visible()
        rows = page.locator("tbody tr")
        before = await rows.count()
        await ran(house, connection, CREATE, {"name": "New"})
        await expect(rows).to_have_count(before + 1)
        await page.get_by_label("Status").select_option("failed")
        await expect(page).to_have_url(house.origin + "/console/runs?status=failed")
        await expect(page.locator("tbody .status.good")).to_have_count(0)
        await expect(page.locator("#said")).to_have_text(f"{await rows.count()} shown")
        assert_quiet(watched, house)


async def test_a_run_is_followed_to_its_end_and_replayed(browser: Browser, house: Served, state: dict[str, Any], connection: int):
    later = house.runtime.now_ms() // 1000 + 3600
    run_id = (await ran(house, connection, CREATE, {"name": "Later"}, "async", notBefore=later))[2]["data"]["runId"]
    async with opened(browser, f"{house.origin}/console/runs/{run_id}", storage_state=state) as watched:
        page = watched.page
        await expect(page.locator(".head .status")).to_have_text("Queued")
        assert (await house.call("POST", f"/runs/{run_id}/cancel"))[0] == 200
        await expect(page.locator(".head .status")).to_have_text("Cancelled")
        await page.get_by_role("button", name="Replay").click()
        await expect(page).not_to_have_url(f"{house.origin}/console/runs/{run_id}")
        await expect(page.locator(".head .status")).to_have_text("Succeeded")
        await expect(page.get_by_role("region", name="Result", exact=True)).to_contain_text('"name": "Later"')
        assert_quiet(watched, house)


async def test_times_are_in_the_viewers_zone_and_the_exact_one_is_told_on_hover(
    browser: Browser, house: Served, state: dict[str, Any], paths: dict[str, str]
):
    async with opened(browser, house.origin + paths["run-failed"], storage_state=state, timezone_id="Asia/Tokyo") as watched:
        first = watched.page.locator("time").first
        await expect(first).to_have_attribute("title", re.compile(r"GMT\+9"))


async def test_on_a_phone_each_row_is_a_card_that_is_still_a_row(
    browser: Browser, house: Served, state: dict[str, Any], paths: dict[str, str]
):
    async with opened(browser, house.origin + paths["runs"], storage_state=state, viewport=PHONE) as watched:
        page = watched.page
        card = page.get_by_role("row").filter(has_text="Failed").first
        await card.scroll_into_view_if_needed()
        await expect(card.get_by_role("rowheader")).to_contain_text("Get a person")
        await expect(card.get_by_role("cell").filter(has_text="Failed")).to_be_in_viewport(ratio=1)
        box = await card.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]  # nothing of it has to be scrolled to sideways
        label = "getComputedStyle(document.querySelector('.stacked td'), '::before').content"
        assert await page.evaluate(label) == '"Status"'
