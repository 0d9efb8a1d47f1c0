"""A real browser: the Chromium of the system, driven over its own protocol."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright, expect

from browser.console import signed_in_state
from e2e.served import Served, running_server, running_simulator

expect.set_options(timeout=30_000)  # ms: a page that does not come is a fault, one that comes late on a machine that is busy is none
# The first is the same browser without its windows: what it does not draw takes two thirds of the processors' time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
async def browser(anyio_backend: str) -> AsyncIterator[Browser]:
    """The browser. A machine without one skips these tests, unless they are said to be required there."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        assert os.environ.get("BROWSER_TESTS") != "required", f"none of {', '.join(NAMES)} is installed"
        pytest.skip("no Chromium is installed")
    async with async_playwright() as driver:
        # Chromium's sandbox needs user namespaces, which containers withhold; the pages are our own.
        found = await driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield found
        await found.close()


@pytest.fixture(scope="module")
async def house(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """One server with Pipedrive's simulator for all tests of a file."""
    async with (
        running_simulator("pipedrive") as url,
        running_server(tmp_path_factory.mktemp("house"), partner_pipedrive_base_url=url) as served,
    ):
        yield served


@pytest.fixture(scope="module")
async def state(anyio_backend: str, browser: Browser, house: Served) -> dict[str, Any]:
    """What a browser keeps in which the owner is signed in to the console of the ``house``."""
    return await signed_in_state(browser, house)


@pytest.fixture
async def own_house(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Served]:
    """A server of a test's own."""
    async with running_simulator("pipedrive") as url, running_server(tmp_path, partner_pipedrive_base_url=url) as served:
        yield served
