"""A run is saved as a case in a real browser: tried, run, named, saved, and told what was wrong with a name."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from browser.console import assert_looks, assert_quiet, sign_in
from browser.watched import DESK, opened, too_wide
from e2e.served import PIPEDRIVE_FIELDS
from e2e.workplace import WORKED_ON, WORKED_ON_CREATE, make_workplace, open_workplace

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("scripted", [True, False], ids=["with script", "without script"])
async def test_a_run_is_saved_as_a_case_of_its_partner(browser: Browser, tmp_path: Path, *, scripted: bool):
    workplace = make_workplace(tmp_path / "work")
    async with open_workplace(tmp_path, workplace) as served, opened(browser, java_script_enabled=scripted, viewport=DESK) as watched:
        await served.connect(WORKED_ON, PIPEDRIVE_FIELDS)
        page = watched.page
        await sign_in(page, served)
        await page.goto(f"{served.origin}/console/try/{WORKED_ON_CREATE}")
        await page.locator('[name="s:d.name"]').fill("Ada Lovelace")
        await page.get_by_role("button", name="Run", exact=True).click()
        panel = page.locator("#case")
        await expect(panel).to_contain_text("made-up connection")

        await panel.get_by_label("Name of the file").fill("../Evil")
        await panel.get_by_label("What it shows").fill("A person <b>from</b> the browser")
        await panel.get_by_role("button", name="Save the case").click()
        await expect(panel.get_by_role("alert")).to_contain_text("name")
        await expect(panel.get_by_label("What it shows")).to_have_value("A person <b>from</b> the browser")
        await panel.get_by_label("Name of the file").fill("from_the_browser")
        await panel.get_by_role("button", name="Save the case").click()
        await expect(panel.get_by_role("status")).to_contain_text("crm/cases/create_person/from_the_browser.yaml")

        assert (workplace / "cases" / "create_person" / "from_the_browser.yaml").is_file()
        assert not await too_wide(page)
        if scripted:
            await assert_looks(page, "case-saved")
        assert_quiet(watched, served, "422")
