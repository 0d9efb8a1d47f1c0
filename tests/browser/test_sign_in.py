"""Signing in at a partner in a real browser: from the command that makes a link to a run with the new connection, at a real OAuth server."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, expect

from browser.watched import DESK, PHONE, opened, told_from, too_wide, violations
from e2e.served import answer, upstream
from e2e.visitor import status_of
from oidc.house import ADD_NOTE, LOGIN, House, make, notes_partner, open_house
from oidc.provider import Provider, running_provider
from polyport.server.connect.words import LANGUAGES, words_of

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def provider(anyio_backend: str) -> AsyncIterator[Provider]:
    async with running_provider() as found:
        yield found


@pytest.fixture(scope="module")
async def notes(anyio_backend: str, provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("notes"), provider, notes_partner(issuer=LOGIN)) as found:
        yield found


async def log_in(page: Page, *, account: str = "ada") -> None:
    """What a customer does at the partner's own pages."""
    await page.get_by_placeholder("Enter any login").fill(account)
    await page.get_by_placeholder("and password").fill("any")
    await page.get_by_role("button", name="Sign-in").click()
    await page.get_by_role("button", name="Continue").click()


async def history(page: Page) -> list[str]:
    """Every address that the back button leads to."""
    session = await page.context.new_cdp_session(page)
    found = await session.send("Page.getNavigationHistory")
    return [str(entry["url"]) for entry in found["entries"]]


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
async def test_from_a_link_to_a_run(browser: Browser, notes: House, viewport: Any):
    link = await make(notes)
    async with opened(browser, link["url"], viewport=viewport) as watched:
        page = watched.page
        await expect(page).to_have_title("Connect Notes")
        await page.get_by_label("Write notes").check()
        await page.get_by_role("button", name="Continue to Notes").click()
        await log_in(page)
        await expect(page.get_by_role("heading", name="Notes is connected")).to_be_visible()
        await expect(page.get_by_text("Connected as ada")).to_be_visible()
        assert not await too_wide(page)
        assert await violations(page) == []
        assert [url for url in await history(page) if "code=" in url] == [], "no code stands in the browser's history"
        referrers = [(await request.all_headers()).get("referer", "") for request in watched.requests]

    ours = urlsplit(notes.served.origin).netloc
    assert [each for each in referrers if ours in each] == [], "no page is told of a page of ours"
    assert [each for each in referrers if "code=" in each or "state=" in each] == []
    told = await status_of(notes.served, link)
    assert told["status"] == 1
    body = {"credentialData": {"0": {"value": told["credentialId"]}}, "runnerData": {"text": "Hello"}}
    status, _headers, ran = await notes.served.call("POST", f"/partners/trigger-actions/{ADD_NOTE}/run/sync", body)
    assert (status, ran["data"]["status"]) == (200, "succeeded")


async def test_all_of_it_works_without_script(browser: Browser, notes: House):
    link = await make(notes)
    async with opened(browser, link["url"], java_script_enabled=False) as watched:
        page = watched.page
        await page.get_by_role("button", name="Continue to Notes").click()
        await page.get_by_role("link", name="Continue to Notes").click()
        await log_in(page)
        await expect(page.get_by_role("heading", name="Notes is connected")).to_be_visible()


async def test_who_gives_no_access_is_told_and_can_try_again(browser: Browser, notes: House):
    link = await make(notes)
    async with opened(browser, link["url"]) as watched:
        page = watched.page
        await page.get_by_role("button", name="Continue to Notes").click()
        await page.get_by_role("link", name="[ Cancel ]").click()
        await expect(page.get_by_role("alert")).to_contain_text("You did not give access at Notes")
        assert await violations(page) == []
        await page.get_by_role("button", name="Continue to Notes").click()
        await log_in(page)
        await expect(page.get_by_role("heading", name="Notes is connected")).to_be_visible()


async def test_the_back_button_after_the_end_shows_the_end(browser: Browser, notes: House):
    link = await make(notes)
    async with opened(browser, link["url"]) as watched:
        page = watched.page
        await page.get_by_role("button", name="Continue to Notes").click()
        await log_in(page)
        done = page.get_by_role("heading", name="Notes is connected")
        await expect(done).to_be_visible()
        await page.reload()
        await expect(done).to_be_visible()
        await page.goto(link["url"])
        await expect(done).to_be_visible()


async def test_a_lost_cookie_ends_on_a_page_that_says_what_to_do(browser: Browser, notes: House):
    link = await make(notes)
    async with opened(browser, link["url"]) as watched:
        page = watched.page
        await page.get_by_role("button", name="Continue to Notes").click()
        await expect(page.get_by_placeholder("Enter any login")).to_be_visible()
        await page.context.clear_cookies(name="polyport_connect")
        await log_in(page)
        await expect(page.get_by_role("heading", name="This sign-in cannot be finished here")).to_be_visible()
        assert await violations(page) == []
        assert [url for url in await history(page) if "code=" in url] == []
    assert (await status_of(notes.served, link))["credentialId"] is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_page_that_offers_the_sign_in_has_no_barrier(browser: Browser, notes: House, language: str, scheme: str):
    words = words_of(language)
    async with opened(browser, (await make(notes, language=language))["url"], viewport=PHONE, color_scheme=scheme) as watched:
        await expect(watched.page.get_by_text(words["scopes"])).to_be_visible()
        assert not await too_wide(watched.page)
        assert await violations(watched.page) == []
        for problem in ("sign_in_denied", "sign_in_mixed_up"):
            await watched.page.goto(f"{watched.page.url}&problem={problem}")
            await expect(watched.page.get_by_role("alert")).to_contain_text(re.compile(r"Notes"))
            assert await violations(watched.page) == []


async def test_the_window_that_opened_the_page_is_told_after_the_sign_in(browser: Browser, notes: House):
    listener = b"<!doctype html><title>Opener</title><script>window.got = []; addEventListener('message', e => got.push([e.origin, e.data]))</script>"

    async def listening(_asked: object) -> bytes:
        return answer(200, listener, {"Content-Type": "text/html"})

    async with upstream(listening) as there, opened(browser) as watched:
        origin = there.origin.replace("127.0.0.1", "localhost")
        await notes.served.call("PATCH", "/account", {"allowedRedirectHosts": [urlsplit(origin).netloc]})
        link = await make(notes)
        page = watched.page
        await page.goto(origin)
        async with page.context.expect_page() as popup:
            await page.evaluate("url => { window.open(url, 'connect') }", link["url"])
        window = await popup.value
        await window.get_by_role("button", name="Continue to Notes").click()
        await log_in(window)
        await expect(window.get_by_role("heading", name="Notes is connected")).to_be_visible()
        await page.wait_for_function("window.got.length > 0")
        told = await page.evaluate("window.got")
        assert told_from(there) == set()

    done = await status_of(notes.served, link)
    assert [origin for origin, _message in told] == [notes.served.origin]
    assert (told[0][1]["status"], told[0][1]["credentialId"]) == ("done", done["credentialId"])
    assert "ppl_" not in json.dumps(told)
