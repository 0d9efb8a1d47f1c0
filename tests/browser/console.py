"""The console in a real browser, for the tests of its pages: signing in, the looks, what a page has to keep to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, expect

from browser.watched import DESK, PHONE, Watched, opened, too_wide, violations
from e2e.served import EMAIL, PASSWORD, Served

LOOKS: Final = [(viewport, scheme) for viewport in (DESK, PHONE) for scheme in ("light", "dark")]
CROSSED: Final = LOOKS[1:3]  # both widths and both schemes, once each: for further states of pages that are looked at in all four
# What one comes to by the keyboard and does not see there. Cards and boxes of JSON show it around them.
UNSEEN: Final = """() => {
    const at = document.activeElement;
    const seen = (each) => {
        const style = getComputedStyle(each);
        return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    };
    const stops = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")].filter((each) =>
        each.tabIndex >= 0 && !each.disabled && each.checkVisibility({ visibilityProperty: true }) && each.type !== "hidden");
    const unseen = stops.filter((each) => {
        each.focus({ preventScroll: true });
        return document.activeElement !== each || !(seen(each) || [...document.querySelectorAll(":focus-within")].some(seen));
    });
    at.focus({ preventScroll: true });
    return [...unseen, ...document.querySelectorAll("[tabindex]:not([tabindex='0'], [tabindex='-1'])")].map((each) => each.outerHTML.slice(0, 200));
}"""
# Short words that stand on two lines: what holds them is too narrow. Addresses and ids, which are long, may be broken.
BROKEN: Final = """() => {
    const broken = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const range = document.createRange();
    while (texts.nextNode()) {
        const { parentElement: around, data } = texts.currentNode;
        if (!data.trim() || around.closest("pre, code, script, style, noscript, option, .hidden, .skip, svg") || !around.checkVisibility()) continue;
        for (const { index, 0: word } of data.matchAll(/[\\p{L}\\p{N}:]{2,14}(?=[.,;)]?(?:\\s|$))/gu)) {
            if (index && !/[\\s(]/.test(data[index - 1])) continue;
            range.setStart(texts.currentNode, index);
            range.setEnd(texts.currentNode, index + word.length);
            const lines = new Set([...range.getClientRects()].filter((each) => each.width > 0).map((each) => Math.round(each.top)));
            if (lines.size > 1) broken.push(`${word} in ${around.outerHTML.slice(0, 150)}`);
        }
    }
    return broken;
}"""
OPEN: Final = """() => {
    const shut = [...document.querySelectorAll("main details:not([open])")];
    for (const each of shut) each.open = true;
    return shut.length > 0;
}"""
# Rows of a list have a dialog each, which differ in a name alone: one of each kind is enough.
KINDS: Final = """() => {
    const heads = [...document.querySelectorAll("dialog")].map((each) => each.querySelector("h2")?.textContent);
    return heads.flatMap((head, at) => (heads.indexOf(head) === at ? [at] : []));
}"""
ARTIFACTS: Final = os.environ.get("TEST_ARTIFACTS")  # where pictures are kept, for people who want to look at them


async def sign_in(page: Page, served: Served, path: str = "/console") -> None:
    """Sign the first account's owner in."""
    await page.goto(served.origin + path)
    await page.get_by_label("E-mail address").fill(EMAIL)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("navigation", name="Console", include_hidden=True)).to_be_attached()  # on a phone it is in a menu


async def signed_in_state(browser: Browser, served: Served) -> dict[str, Any]:
    """The cookies of a browser that is signed in: what ``opened(browser, storage_state=...)`` takes."""
    async with opened(browser) as watched:
        await sign_in(watched.page, served)
        return dict(await watched.page.context.storage_state())


async def shot(page: Page, name: str, viewport: Any, scheme: str) -> None:
    """Keep a picture of a page, where ``TEST_ARTIFACTS`` names a folder."""
    if ARTIFACTS is not None:
        await page.screenshot(
            path=Path(ARTIFACTS, "console", f"{name}-{viewport['width']}-{scheme}.png"), full_page=True, caret="initial"
        )  # to hide it would take a style that the page forbids


async def look_at(browser: Browser, served: Served, state: dict[str, Any], path: str, name: str, *, opens: bool = True) -> None:
    """Open a page, and hold it against what every page keeps to: in every look, with what it hides opened, with each kind of its dialogs."""
    async with opened(browser, storage_state=state, color_scheme="light") as watched:
        page = watched.page
        await page.goto(served.origin + path)
        await expect(page.locator(".later:not(.whole)")).to_have_count(0)  # what is below the first screen is there a moment later
        await assert_looks(page, name)
        unseen = await page.evaluate(UNSEEN)
        assert unseen == [], unseen
        await page.set_viewport_size(PHONE)
        broken = await page.evaluate(BROKEN)
        assert broken == [], broken
        await page.set_viewport_size(DESK)
        if opens and await page.evaluate(OPEN):
            await assert_looks(page, f"{name}-opened", looks=CROSSED)
        for number in await page.evaluate(KINDS):
            await page.locator("dialog").nth(number).evaluate("dialog => dialog.showModal()")
            await assert_looks(page, f"{name}-dialog-{number}", of="dialog[open]")
            await page.keyboard.press("Escape")
        assert_quiet(watched, served, "404")


async def assert_looks(page: Page, name: str, *, of: str = "html", looks: Sequence[tuple[Any, Any]] = LOOKS) -> None:
    """The page as it stands, or what is ``of`` a selector in it, has no barrier and is not too wide, whatever its looks. The look of a desk in daylight is left."""
    found: dict[str, Any] = {}
    for viewport, scheme in reversed(looks):
        await page.set_viewport_size(viewport)
        await page.emulate_media(color_scheme=scheme)
        # What sticks to the edge of the screen lies over something everywhere but at the end of the page.
        await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        await shot(page, name, viewport, scheme)
        faults = await violations(page, of=of, colours_alone=scheme == "dark")
        found[f"{viewport['width']} {scheme}"] = [*faults, *(["too wide"] if await too_wide(page) else [])]
    await page.set_viewport_size(DESK)
    if looks is LOOKS:  # what opens on a page that was looked at so has no colours of its own
        await page.emulate_media(forced_colors="active")
        await shot(page, name, DESK, "forced")
        found["forced colours"] = await violations(page, of=of, colours_alone=True)
    await page.emulate_media(forced_colors="none", color_scheme="light")
    assert not any(found.values()), found


def assert_quiet(watched: Watched, served: Served, *allowed: str) -> None:
    """No request left for another host, and the browser complained of nothing."""
    assert watched.hosts == {urlsplit(served.origin).netloc}
    told = [told for told in watched.complaints if not any(each in told for each in allowed)]
    assert told == [], told
