"""The console in a real browser, for the tests of its pages: signing in, the looks, what a page has to keep to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, expect

from browser.watched import DESK, PHONE, Watched, opened, too_wide, violations
from e2e.served import EMAIL, PASSWORD, Served

LOOKS: Final = [(DESK, "light"), (PHONE, "dark")]  # colours and widths do not depend on each other
ARTIFACTS: Final = os.environ.get("TEST_ARTIFACTS")  # where pictures are kept, for people who want to look at them


async def sign_in(page: Page, served: Served, path: str = "/console") -> None:
    """Sign the first account's owner in."""
    await page.goto(served.origin + path)
    await page.get_by_label("E-mail address").fill(EMAIL)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("navigation", name="Console")).to_be_visible()


async def signed_in_state(browser: Browser, served: Served) -> dict[str, Any]:
    """The cookies of a browser that is signed in: what ``opened(browser, storage_state=...)`` takes."""
    async with opened(browser) as watched:
        await sign_in(watched.page, served)
        return dict(await watched.page.context.storage_state())


async def shot(page: Page, name: str, viewport: Any, scheme: str) -> None:
    """Keep a picture of a page, where ``TEST_ARTIFACTS`` names a folder."""
    if ARTIFACTS is not None:
        await page.screenshot(path=Path(ARTIFACTS, "console", f"{name}-{viewport['width']}-{scheme}.png"), full_page=True)


async def look_at(browser: Browser, served: Served, state: dict[str, Any], path: str, name: str, viewport: Any, scheme: Any) -> None:
    """Open a page in one look, and hold it against what every page keeps to."""
    async with opened(browser, storage_state=state, viewport=viewport, color_scheme=scheme) as watched:
        await watched.page.goto(served.origin + path)
        await expect(watched.page.locator(".later:not(.whole)")).to_have_count(0)  # what is below the first screen is there a moment later
        await shot(watched.page, name, viewport, scheme)
        assert not await too_wide(watched.page)
        found = await violations(watched.page)
        assert found == [], found
        assert_quiet(watched, served, "404")


def assert_quiet(watched: Watched, served: Served, *allowed: str) -> None:
    """No request left for another host, and the browser complained of nothing."""
    assert watched.hosts == {urlsplit(served.origin).netloc}
    told = [told for told in watched.complaints if not any(each in told for each in allowed)]
    assert told == [], told
