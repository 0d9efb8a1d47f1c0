"""What the bench of the console reads of a browser."""

from __future__ import annotations

import pytest
from bench.console import PAINTED
from playwright.async_api import Browser

from browser.watched import opened
from e2e.served import Asked, answer, upstream

pytestmark = pytest.mark.anyio

# Nothing is there to paint until 300 ms after the load event.
LATE = b"<!doctype html><title>Late</title><script>addEventListener('load', () => setTimeout(() => document.body.append('Here'), 300))</script>"


async def test_the_first_paint_is_waited_for_where_the_load_event_comes_before_it(browser: Browser):
    async def late(_asked: Asked) -> bytes:
        return answer(200, LATE, {"Content-Type": "text/html"})

    async with upstream(late) as there, opened(browser, there.origin) as watched:
        loaded = await watched.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        assert await watched.page.evaluate(PAINTED) > loaded
        assert await watched.page.evaluate(PAINTED) > loaded, "one that was there before is told as well"
