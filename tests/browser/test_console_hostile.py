"""Hostile data in a real browser: nothing runs, nothing leaves, nothing is wider than a phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser

from browser.console import assert_quiet, shot, sign_in
from browser.watched import PHONE, opened, too_wide
from e2e.hostile import open_hostile

pytestmark = pytest.mark.anyio


async def test_no_page_is_broken_by_what_others_wrote(browser: Browser, tmp_path: Path):
    async with open_hostile(tmp_path) as hostile, opened(browser, viewport=PHONE) as watched:
        page = watched.page
        page.on("dialog", lambda dialog: watched.complaints.append(f"a dialog: {dialog.message}"))
        await sign_in(page, hostile.served)
        wide = []
        for number, path in enumerate(hostile.pages):
            await page.goto(hostile.served.origin + path)
            assert await page.locator("x-hostile").count() == 0, path
            assert await page.locator("main h1").count() == 1, path
            if await too_wide(page):
                wide.append(path)
            await shot(page, f"hostile-{number}", PHONE, "light")
        assert wide == []
        assert_quiet(watched, hostile.served)
