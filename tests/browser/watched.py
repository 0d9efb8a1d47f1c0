"""A page in a real browser, with every request it makes and everything it complains of."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page, Request

from e2e.served import PIPEDRIVE_FIELDS, Upstream

TOKEN = PIPEDRIVE_FIELDS["api_token"]
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 800}
SECONDS = 240  # for all that is done with a page: what a page is asked by script has no limit of its own


@dataclass
class Watched:
    """A page, every request it made and everything it complained of."""

    page: Page
    requests: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def hosts(self) -> set[str]:
        return {urlsplit(request.url).netloc for request in self.requests if not request.url.startswith("data:")}

    async def fill(self, company: str = "acme", token: str = TOKEN) -> None:
        await self.page.get_by_label("Company domain").fill(company)
        await self.page.get_by_label("API token", exact=True).fill(token)


@contextlib.asynccontextmanager
async def opened(browser: Browser, url: str | None = None, **options: Any) -> AsyncIterator[Watched]:
    """A page in a browser that nobody used before. ``options`` are those of a browser context."""
    context = await browser.new_context(**({"locale": "en-GB", "viewport": DESK} | options))
    try:
        page = await context.new_page()
        watched = Watched(page)
        page.on("request", lambda request: watched.requests.append(request))  # noqa: PLW0108  a built-in method takes no mark, and the driver marks it
        page.on("console", lambda message: watched.complaints.append(message.text) if message.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        async with asyncio.timeout(SECONDS):
            if url is not None:
                await page.goto(url)
            yield watched
    finally:
        await context.close()


async def violations(page: Page, *, of: str = "html", colours_alone: bool = False) -> list[str]:
    """What axe finds against WCAG 2.2 AA and good practice in what is ``of`` a selector; ``colours_alone`` asks only what colours can change."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE_SCRIPT)
    rules = ["color-contrast", "link-in-text-block"]
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    # What passes need not be described, and a frame is a page that is looked at by itself.
    asked = {"runOnly": rules if colours_alone else tags, "resultTypes": ["violations"], "iframes": False}
    found = await page.evaluate("([of, asked]) => axe.run(of, asked).then(found => found.violations)", [of, asked])
    return [f"{each['id']}: {node['html']} {node['failureSummary']}" for each in found for node in each["nodes"]]


async def copied(page: Page) -> str:
    """What a page has put into the clipboard; a browser gives it to the page in front alone."""
    await page.bring_to_front()
    return str(await page.evaluate("navigator.clipboard.readText()"))


async def too_wide(page: Page) -> bool:
    return bool(await page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


def told_from(there: Upstream) -> set[str]:
    """What a host was told of where a browser came from; it asks for an icon for a page of that host itself."""
    return {asked.headers.get("referer", "") for asked in there.asked if asked.target != "/favicon.ico"} - {""}
