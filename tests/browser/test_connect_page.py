"""The connect page in a real browser: from the link to a run, by keyboard, on a phone, in the dark, for screen readers, and back where it came from."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, expect

from browser.watched import DESK, PHONE, TOKEN, Watched, opened, told_from, too_wide, violations
from e2e.served import PIPEDRIVE, Asked, Served, answer, upstream
from e2e.visitor import make, status_of
from polyport.server.connect.words import LANGUAGES

pytestmark = pytest.mark.anyio

LOGO = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHdpZHRoPSI4MCIgaGVpZ2h0PSIyMCIvPg=="
HTML = {"Content-Type": "text/html"}
LISTENER = (
    b"<!doctype html><title>Opener</title><script>window.got = []; addEventListener('message', e => got.push([e.origin, e.data]))</script>"
)


async def test_from_a_link_to_a_run(browser: Browser, house: Served):
    link = await make(house)
    async with opened(browser, link["url"]) as watched:
        await expect(watched.page).to_have_title("Connect Pipedrive")
        await watched.fill()
        await watched.page.get_by_role("button", name="Connect").click()
        await expect(watched.page.get_by_role("heading", name="Pipedrive is connected")).to_be_visible()
        await expect(watched.page.get_by_text("Connected as Sam Sample")).to_be_visible()

        assert watched.hosts == {urlsplit(house.origin).netloc}, "no outside host is asked"
        assert watched.complaints == []
        assert [request.url for request in watched.requests if request.headers.get("referer")] == []
    found = await status_of(house, link)
    assert found["status"] == 1
    body = {"credentialData": {"0": {"value": found["credentialId"]}}, "runnerData": {"name": "Ada"}}
    status, _headers, ran = await house.call("POST", "/partners/trigger-actions/2250101/run/sync", body)
    assert (status, ran["data"]["status"]) == (200, "succeeded")


async def test_a_person_who_looks_is_noticed(browser: Browser, house: Served):
    link = await make(house)
    async with opened(browser) as watched:
        async with watched.page.expect_response("**/connect/opened") as told:
            await watched.page.goto(link["url"])
        assert (await told.value).status == 204

    assert (await status_of(house, link))["status"] == 2


async def test_all_of_it_works_without_script(browser: Browser, house: Served):
    link = await make(house)
    async with opened(browser, link["url"], java_script_enabled=False) as watched:
        await expect(watched.page.locator(".reveal")).to_be_hidden()
        await watched.fill(token="bad-token")
        await watched.page.get_by_role("button", name="Connect").click()
        await expect(watched.page.get_by_role("alert")).to_contain_text("Pipedrive did not accept this")
        await watched.fill()
        await watched.page.get_by_role("button", name="Connect").click()
        await expect(watched.page.get_by_role("heading", name="Pipedrive is connected")).to_be_visible()
    assert (await status_of(house, link))["status"] == 1


async def test_the_keyboard_alone_leads_through(browser: Browser, house: Served):
    link = await make(house)
    async with opened(browser, link["url"]) as watched:
        page = watched.page

        async def focused() -> str:
            return str(await page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))

        visited = []
        for _ in range(4):
            await page.keyboard.press("Tab")
            visited.append(await focused())
            outline = await page.evaluate(
                "getComputedStyle(document.activeElement.closest('.line') || document.activeElement).outlineStyle"
            )
            assert outline == "solid", visited
        assert visited == ["field-company", "field-api_token", "Show API token", "Connect"]
        await page.keyboard.press("Shift+Tab")
        await page.keyboard.press("Shift+Tab")
        await page.keyboard.type("bad-token")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_be_visible()
        assert await focused() == "field-company", "the first fault has the focus"
        await page.keyboard.type("acme")
        await page.keyboard.press("Tab")
        await page.keyboard.type(TOKEN)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Pipedrive is connected")).to_be_visible()


async def test_a_secret_is_shown_to_who_asks_and_hidden_again(browser: Browser, house: Served):
    async with opened(browser, (await make(house))["url"]) as watched:
        field_, button = watched.page.locator("#field-api_token"), watched.page.locator(".reveal")
        await field_.fill("abc")
        await expect(field_).to_have_attribute("type", "password")
        await button.press("Space")
        await expect(field_).to_have_attribute("type", "text")
        await expect(button).to_have_text("Hide API token")
        await button.press("Enter")
        await expect(field_).to_have_attribute("type", "password")
        await expect(button).to_have_text("Show API token")


async def test_a_wrong_field_says_what_is_wrong_to_a_screen_reader_too(browser: Browser, house: Served):
    async with opened(browser, (await make(house))["url"]) as watched:
        await watched.fill(token="bad-token")
        await watched.page.get_by_role("button", name="Connect").click()
        field_ = watched.page.locator("#field-api_token")
        await expect(field_).to_have_attribute("aria-invalid", "true")
        await expect(field_).to_be_focused()
        described = str(await field_.get_attribute("aria-describedby")).split()
        texts = [await watched.page.locator(f"#{each}").inner_text() for each in described]
        assert texts[0].startswith("Pipedrive did not accept this:")
        await expect(field_).to_have_value("")
        await expect(watched.page.get_by_label("Company domain")).to_have_value("acme")
        await expect(watched.page).to_have_title("Error: Connect Pipedrive")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("color", [None, "#ffcc00"], ids=["plain", "branded"])
async def test_no_page_has_a_barrier_or_is_too_wide(browser: Browser, own_house: Served, scheme: str, viewport: Any, color: str | None):
    house = own_house
    if color is not None:
        await house.call("PATCH", "/account", {"branding": {"name": "Acme Incorporated", "color": color, "logo": LOGO}})
    link = await make(house)
    found: dict[str, list[str]] = {}
    async with opened(browser, link["url"], color_scheme=scheme, viewport=viewport) as watched:
        page = watched.page

        async def look(name: str) -> None:
            assert not await too_wide(page), name
            if faults := await violations(page):
                found[name] = faults

        await look("form")
        await page.get_by_role("button", name="Connect").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await look("form with faults")
        await watched.fill()
        await page.get_by_role("button", name="Connect").click()
        await expect(page.get_by_role("heading", name="Pipedrive is connected")).to_be_visible()
        await look("end")
        await page.goto(link["url"].replace("token=", "token=x"))
        await look("no link")
        background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(13, 17, 23)") is (scheme == "dark")

    assert found == {}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_language_fits_on_a_phone_and_has_no_barrier(browser: Browser, house: Served, language: str):
    async with opened(browser, (await make(house, language=language))["url"], viewport=PHONE) as watched:
        await watched.page.locator("button.main").click()
        await expect(watched.page.get_by_role("alert")).to_be_visible()
        await expect(watched.page.locator("html")).to_have_attribute("lang", language)
        assert not await too_wide(watched.page)
        assert await violations(watched.page) == []
        other = "de" if language != "de" else "fr"
        await watched.page.get_by_role("link", name=LANGUAGES[other]).click()
        await expect(watched.page.locator("html")).to_have_attribute("lang", other)


async def test_two_clicks_send_one_form(browser: Browser, house: Served):
    async with opened(browser, (await make(house))["url"]) as watched:
        await watched.fill()
        await watched.page.get_by_role("button", name="Connect").dblclick()
        await expect(watched.page.get_by_role("heading", name="Pipedrive is connected")).to_be_visible()
        assert [request.url for request in watched.requests if request.method == "POST"].count(f"{house.origin}/connect") == 1


async def test_back_reload_and_another_tab_come_to_the_same_end(browser: Browser, house: Served):
    link = await make(house)
    async with opened(browser, link["url"]) as watched:
        page, second = watched.page, await watched.page.context.new_page()
        await second.goto(link["url"])
        await watched.fill()
        await page.get_by_role("button", name="Connect").click()
        done = page.get_by_role("heading", name="Pipedrive is connected")
        await expect(done).to_be_visible()
        await page.reload()
        await expect(done).to_be_visible()
        await page.go_back()
        await expect(done).to_be_visible()
        await Watched(second).fill()
        await second.get_by_role("button", name="Connect").click()
        await expect(second.get_by_role("heading", name="Pipedrive is connected")).to_be_visible()
    async with opened(browser, link["url"]) as other:
        await expect(other.page.get_by_role("heading", name="This link has been used")).to_be_visible()


async def listening(_asked: Asked) -> bytes:
    return answer(200, LISTENER, HTML)


def localhost(origin: str) -> str:
    """Another origin for browsers, though the same machine."""
    return origin.replace("127.0.0.1", "localhost")


async def connect_in_popup(context: BrowserContext, opener: str, url: str, *, told: bool) -> list[Any]:
    """Connect in a window that a page opened; what the page was told, once it was over. ``told`` is whether it should be."""
    page = await context.new_page()
    await page.goto(opener)
    async with context.expect_page() as popup:
        await page.evaluate("url => { window.open(url, 'connect') }", url)
    window = await popup.value
    await window.wait_for_load_state()
    await Watched(window).fill()
    await window.get_by_role("button", name="Connect").click()
    await expect(window.get_by_role("heading", name="Pipedrive is connected")).to_be_visible()
    if told:
        await page.wait_for_function("window.got.length > 0")
    else:
        await page.wait_for_timeout(200)
    return list(await page.evaluate("window.got"))


async def test_the_window_that_opened_the_page_is_told_if_its_origin_is_allowed(browser: Browser, own_house: Served):
    async with upstream(listening) as allowed, upstream(listening) as foreign, opened(browser) as watched:
        host = urlsplit(localhost(allowed.origin)).netloc
        await own_house.call("PATCH", "/account", {"allowedRedirectHosts": [host]})
        first, second, third = [await make(own_house) for _ in range(3)]
        context = watched.page.context
        told = await connect_in_popup(context, localhost(allowed.origin), first["url"], told=True)
        untold = await connect_in_popup(context, localhost(foreign.origin), second["url"], told=False)
        unallowed = await connect_in_popup(context, allowed.origin, third["url"], told=False)

    done = await status_of(own_house, first)
    message = {
        "type": "polyport.connected",
        "status": "done",
        "linkId": first["id"],
        "credentialId": done["credentialId"],
        "partnerId": PIPEDRIVE,
    }
    assert told == [[own_house.origin, message]]
    assert (untold, unallowed) == ([], [])


async def test_a_customer_comes_back_to_where_the_link_says_and_no_token_goes_along(browser: Browser, own_house: Served):
    async with upstream(listening) as back, opened(browser) as watched:
        address = localhost(back.origin)
        await own_house.call("PATCH", "/account", {"allowedRedirectHosts": [urlsplit(address).netloc]})
        link = await make(own_house, redirectUrl=f"{address}/done?a=1")
        await watched.page.goto(link["url"])
        await watched.fill()
        await watched.page.get_by_role("button", name="Connect").click()
        await watched.page.wait_for_url(f"{address}/done**")
        done = await status_of(own_house, link)

        query = f"a=1&status=done&linkId={link['id']}&credentialId={done['credentialId']}&partnerId={PIPEDRIVE}"
        assert watched.page.url == f"{address}/done?{query}"
        assert told_from(back) == set()
        assert all(link["token"] not in f"{asked.target}{asked.headers}" for asked in back.asked)


async def test_the_way_to_a_sign_in_is_not_held_back_and_tells_the_partner_nothing(
    browser: Browser, own_house: Served, monkeypatch: pytest.MonkeyPatch
):
    async with upstream(listening) as partner:

        async def offered(*_given: object) -> bool:
            return True

        async def begin(*_given: object) -> str:
            return f"{localhost(partner.origin)}/authorize?state=abc"

        monkeypatch.setattr("polyport.server.connect.oauth.offered", offered)
        monkeypatch.setattr("polyport.server.connect.oauth.begin", begin)
        for script in (True, False):
            link = await make(own_house)
            async with opened(browser, link["url"], java_script_enabled=script) as watched:
                page = watched.page
                await page.get_by_role("link", name="Log in with Pipedrive").click()
                await expect(page.get_by_role("link", name="Log in with Pipedrive")).to_have_attribute("aria-current", "true")
                if script:
                    assert await violations(page) == []
                await page.get_by_label("Company domain").fill("acme")
                await page.get_by_role("button", name="Continue to Pipedrive").click()
                if not script:
                    await page.get_by_role("link", name="Continue to Pipedrive").click()
                await page.wait_for_url(f"{localhost(partner.origin)}/authorize?state=abc")

    assert told_from(partner) == set()
    assert "ppl_" not in json.dumps([[asked.target, dict(asked.headers)] for asked in partner.asked])
