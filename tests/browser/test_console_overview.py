"""The overview in a real browser: its pictures, in both colours and on a phone, as tables, by range and by partner, and without script."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from browser.console import assert_quiet, look_at, sign_in
from browser.watched import PHONE, opened, too_wide
from e2e.busy import fill_sums
from e2e.served import HUBSPOT, PIPEDRIVE, PIPEDRIVE_FIELDS, Served

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def busy(anyio_backend: str, house: Served) -> Served:
    """A server on which much has run."""
    await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    await fill_sums(house)
    return house


async def test_the_overview_before_anything_ran(browser: Browser, house: Served, state: dict[str, Any]):
    await look_at(browser, house, state, f"/console/overview?partnerId={HUBSPOT}0", "overview-none")


@pytest.mark.parametrize("span", ["hour", "month"])
async def test_the_overview_has_no_barrier_and_fits(browser: Browser, busy: Served, state: dict[str, Any], span: str):
    await look_at(
        browser, busy, state, f"/console/overview?range={span}", f"overview-{span}", opens=span == "hour"
    )  # the tables of both are alike


async def test_pictures_can_be_read_as_tables_by_range_and_by_partner(browser: Browser, busy: Served, state: dict[str, Any]):
    async with opened(browser, storage_state=state, timezone_id="Asia/Tokyo") as watched:
        page = watched.page
        await page.goto(busy.origin + "/console/overview")
        await expect(page.get_by_role("img", name="Runs that ended, by status")).to_be_visible()
        assert await page.locator("main table td").count() < 40  # rows that nobody asked for yet are no elements
        picture = page.locator(".chart.bars svg")
        box = await picture.bounding_box()
        assert box is not None
        await picture.hover(position={"x": box["width"] * 20.5 / 60, "y": 20})
        told = page.locator(".chart .told")
        await expect(told).to_have_text(re.compile(r"^\d+ \w+ \d{4}, \d\d:\d\d: Succeeded: \d+(, \w+: \d+)*$"))
        begins = "new Date((Number(document.querySelector('.chart.bars svg').dataset.begins) + 20 * 60) * 1000)"
        clock = f"{begins}.toLocaleString('en-GB', {{dateStyle: 'medium', timeStyle: 'short'}})"
        assert (await told.inner_text()).startswith(str(await page.evaluate(clock)))
        await page.get_by_role("heading", name="Overview").hover()
        await expect(told).to_have_count(0)
        await page.get_by_text("Runs per minute as a table").click()
        table = page.get_by_role("region", name="Runs per minute, as a table").get_by_role("table")
        assert 50 <= await table.get_by_role("row").count() <= 58
        assert await table.get_by_role("rowheader").first.inner_text() == await page.evaluate(
            "new Date(document.querySelector('.as-table tbody time').dateTime).toLocaleTimeString('en-GB', {hour: '2-digit', minute: '2-digit'})"
        )
        time = table.get_by_role("rowheader").first.locator("time")
        await time.hover()
        await expect(time).to_have_attribute("title", re.compile(r"^\d+ \w+ \d{4}, \d\d:\d\d$"))  # in the viewer's zone
        await page.get_by_role("link", name="Last day").click()
        await expect(page.get_by_role("heading", name="Runs per quarter of an hour")).to_be_visible()
        await page.get_by_role("combobox", name="Partner").select_option(str(HUBSPOT))
        await expect(page).to_have_url(f"{busy.origin}/console/overview?range=day&partnerId={HUBSPOT}")
        await expect(page.get_by_role("heading", name="Partners with the most runs")).to_have_count(0)
        assert_quiet(watched, busy)


async def test_a_slot_tells_on_a_phone_what_was_in_it_when_it_is_touched(browser: Browser, busy: Served, state: dict[str, Any]):
    async with opened(browser, storage_state=state, viewport=PHONE, has_touch=True) as watched:
        page = watched.page
        await page.goto(busy.origin + "/console/overview")
        picture = page.locator(".chart.lines svg").first
        await picture.tap(position={"x": 5, "y": 20})
        await expect(page.locator(".chart .told")).to_contain_text("p95:")
        assert not await too_wide(page)
        await page.get_by_role("heading", name="Overview").tap()
        await expect(page.locator(".chart .told")).to_have_count(0)
        await page.get_by_text("Runs per minute as a table").tap()
        time = await page.locator(".as-table[open] tbody time").first.bounding_box()
        assert time is not None
        assert time["height"] < 24, "no time is broken into two lines"


async def test_it_works_without_script(browser: Browser, busy: Served):
    async with opened(browser, java_script_enabled=False) as watched:
        await sign_in(watched.page, busy, "/console/overview?range=day")
        await expect(watched.page.get_by_role("img", name="Runs that ended, by status")).to_be_visible()
        await watched.page.get_by_role("combobox", name="Partner").select_option(str(PIPEDRIVE))
        await watched.page.get_by_role("button", name="Filter").click()
        await expect(watched.page.get_by_role("heading", name="What the partner took")).to_be_visible()
        await watched.page.get_by_text("Runs per quarter of an hour as a table").click()
        table = watched.page.get_by_role("region", name="Runs per quarter of an hour, as a table").get_by_role("table")
        await expect(table.get_by_role("rowheader").first).to_have_text(re.compile(r"^\w{3} \d\d:\d\d$"))


async def test_what_runs_for_one_customer_is_told_apart_and_leads_to_the_runs(browser: Browser, own_house: Served):
    ada = await own_house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, title="Ada's <b>CRM</b>", externalUserId="ada-1")
    other = await own_house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, title="Grace's CRM", externalUserId="grace-1")
    for connection, data in ((ada, {"id": 999}), (other, {"id": 1}), (other, {"id": 1})):
        body = {"credentialData": {"0": {"value": connection}}, "runnerData": data}
        await own_house.call("POST", "/partners/trigger-actions/2250103/run/sync", body)
    async with opened(browser) as watched:
        page = watched.page
        await sign_in(page, own_house, "/console/overview")
        busiest = page.get_by_role("region", name="Connections, as a table")
        await expect(busiest.get_by_role("row")).to_have_count(3)
        await expect(busiest).to_contain_text("Ada's <b>CRM</b>")
        await busiest.get_by_role("link", name="ada-1").click()
        await expect(page).to_have_url(re.compile("externalUserId=ada-1"))
        await expect(page.get_by_role("searchbox", name="External user")).to_have_value("ada-1")
        await expect(page.locator(".figures")).to_contain_text("Success rate")
        await expect(page.locator(".figures div").first).to_contain_text("1")
        await page.get_by_role("region", name="Connections, as a table").get_by_role("link", name="Ada's").click()
        await expect(page.locator(".narrowed")).to_contain_text("Of one connection: Ada's <b>CRM</b> of ada-1")
        await page.get_by_role("link", name="Last day").click()
        await expect(page).to_have_url(re.compile(f"range=day&credentialId={ada}"))
        await page.get_by_text("Runs per quarter of an hour as a table").click()
        slot = page.get_by_role("region", name="Runs per quarter of an hour, as a table").get_by_role("rowheader").get_by_role("link")
        await slot.click()
        await expect(page).to_have_url(re.compile(rf"/console/runs\?from=\d+&to=\d+&credentialId={ada}"))
        await page.go_back()
        await page.get_by_role("link", name="partner_error", exact=True).click()
        await expect(page).to_have_url(re.compile(r"/console/runs\?error=partner_error&since=24h"))


async def test_the_overview_of_one_connection_has_no_barrier_and_fits(browser: Browser, busy: Served, state: dict[str, Any]):
    connection = (await busy.call("GET", "/credentials"))[2]["data"][0]["credentialId"]
    await busy.call(
        "POST", "/partners/trigger-actions/2250103/run/sync", {"credentialData": {"0": {"value": connection}}, "runnerData": {"id": 999}}
    )
    await look_at(browser, busy, state, f"/console/overview?credentialId={connection}", "overview-connection")
