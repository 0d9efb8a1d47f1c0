"""Hostile data in a real browser: nothing runs, nothing leaves, nothing is wider than a phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser

from browser.console import assert_quiet, shot, sign_in
from browser.watched import PHONE, opened, too_wide
from e2e.hostile import open_hostile

pytestmark = pytest.mark.anyio

# Where a text that turns the direction round does so for what stands behind it in the same line as well.
TURNED = """() => {
    const turned = [];
    const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        if (!texts.currentNode.data.includes("\\u202e")) continue;
        for (let at = texts.currentNode; at.parentElement; at = at.parentElement) {
            let next = at.nextSibling;
            while (next && next.nodeName !== "BR" && !next.textContent.trim()) next = next.nextSibling;
            if (next && !/^(BR|P|UL|DIV|H[1-6])$/.test(next.nodeName)) { turned.push(at.parentElement.outerHTML.slice(0, 300)); break; }
            const { display, unicodeBidi } = getComputedStyle(at.parentElement);
            if (display !== "inline" || /isolate|plaintext/.test(unicodeBidi) || /^(OPTION|SCRIPT)$/.test(at.parentElement.nodeName)) break;
        }
    }
    return turned;
}"""
# What is told of something, beside a name that leaves it no room.
SQUEEZED = "() => [...document.querySelectorAll('main dd')].filter((each) => each.checkVisibility() && each.getBoundingClientRect().width < 100).map((each) => each.outerHTML)"


async def test_no_page_is_broken_by_what_others_wrote(browser: Browser, tmp_path: Path):
    async with open_hostile(tmp_path) as hostile, opened(browser, viewport=PHONE) as watched:
        page = watched.page
        page.on("dialog", lambda dialog: watched.complaints.append(f"a dialog: {dialog.message}"))
        await sign_in(page, hostile.served)
        wide, turned, squeezed = [], [], []
        for number, path in enumerate(hostile.pages):
            await page.goto(hostile.served.origin + path)
            assert await page.locator("x-hostile").count() == 0, path
            assert await page.locator("main h1").count() == 1, path
            if await too_wide(page):
                wide.append(path)
            turned += await page.evaluate(TURNED)
            squeezed += await page.evaluate(SQUEEZED)
            await shot(page, f"hostile-{number}", PHONE, "light")
        assert wide == []
        assert turned == []
        assert squeezed == []
        assert_quiet(watched, hostile.served)
