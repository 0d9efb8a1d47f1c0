"""Try it in a real browser where things go wrong or take their time: what is said, what stays, what can be copied, what comes back; and the kinds of fields that are rare."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, expect

from browser.console import BROKEN, CROSSED, assert_looks, assert_quiet, signed_in_state
from browser.test_console_pressing import press_slowly
from browser.watched import PHONE, Watched, opened
from e2e.odd_shop import LATEST, ORDER, PATIENT, open_shop, usual
from e2e.served import Asked, Handler, Served, Upstream, answer

pytestmark = pytest.mark.anyio

PAGE = f"/console/try/{ORDER}"
CALLED_OFF = ("htmx:sendAbort", "htmx:afterRequest")


@pytest.fixture(scope="module")
async def shop(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Served, Upstream]]:
    async with open_shop(tmp_path_factory.mktemp("shop")) as opened:
        yield opened


@pytest.fixture(scope="module")
async def house(shop: tuple[Served, Upstream]) -> Served:
    return shop[0]


@pytest.fixture(scope="module")
async def state(anyio_backend: str, browser: Browser, house: Served) -> dict[str, Any]:
    return await signed_in_state(browser, house)


@pytest.fixture
async def watched(browser: Browser, shop: tuple[Served, Upstream], state: dict[str, Any]) -> AsyncIterator[Watched]:
    shop[1].handler = usual
    async with opened(browser, shop[0].origin + PAGE, storage_state=state) as found:
        yield found
    shop[1].handler = usual


def named(page: Page, name: str) -> Any:
    return page.locator(f"[name='{name}']")


async def press(page: Page, action: str) -> None:
    await page.locator(f"button[name=do][value='{action}']:not(.hidden)").click()


def orders(handler: Handler) -> Handler:
    """The shop, of which only what takes orders is as ``handler`` says."""

    async def reply(asked: Asked) -> bytes | None:
        return await (handler if asked.method == "POST" else usual)(asked)

    return reply


async def hangs_up(asked: Asked) -> bytes | None:
    asked.writer.transport.abort()
    return None


async def never(_asked: Asked) -> bytes | None:
    await asyncio.sleep(20)
    return None


async def no_json(_asked: Asked) -> bytes:
    return answer(200, b"<html>Down</html>", {"Content-Type": "text/html"})


@pytest.mark.parametrize("handler", [hangs_up, never, no_json])
async def test_what_went_wrong_at_the_partner_is_shown_whole_on_every_screen(
    watched: Watched, shop: tuple[Served, Upstream], house: Served, handler: Handler
):
    page = watched.page
    shop[1].handler = orders(handler)
    await named(page, "s:d.title").fill("A chair")
    await press(page, "run")
    await expect(page.get_by_role("heading", name="Time line")).to_be_visible()
    await expect(page.locator("#outcome")).to_be_focused()
    await expect(page.locator(".timeline tr.failed, .timeline tr.partner")).not_to_have_count(0)
    await page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    await page.set_viewport_size(PHONE)
    assert await page.evaluate(BROKEN) == []
    await assert_looks(page, f"try-{handler.__name__}", looks=CROSSED)
    assert_quiet(watched, house, *CALLED_OFF)


@pytest.mark.parametrize("name", ["rows", "json", "trigger"])
async def test_nested_rows_json_and_pages_of_a_trigger_are_whole_on_a_narrow_screen(watched: Watched, house: Served, name: str):
    page = watched.page
    if name == "trigger":
        await page.goto(f"{house.origin}/console/try/{LATEST}")
        await press(page, "run")
        await expect(page.locator("table.items tbody tr")).to_have_count(6)
    else:
        await press(page, "add:d.boxes")
        await press(page, "add:d.boxes[0].things")
        await named(page, "s:d.boxes[0].things[0].what").fill("Screws")
        await named(page, "k:d.speed").select_option(label="At once")
        if name == "json":
            await press(page, "json")
            await page.locator("details.known summary").click()
    await page.set_viewport_size(PHONE)
    assert await page.evaluate(BROKEN) == []
    await assert_looks(page, f"try-odd-{name}", looks=CROSSED)


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (429, {"Retry-After": "7"}, "Wait 7 seconds"),
        (403, {}, "You may not do this"),
        (404, {}, "not there any more"),
        (500, {"X-Request-Id": "req_abc"}, "req_abc"),
        (503, {}, "The server could not do this (503)"),
    ],
)
async def test_an_answer_that_is_no_page_is_said_and_leaves_the_form(watched: Watched, status: int, headers: dict[str, str], said: str):
    page = watched.page
    await named(page, "s:d.title").fill("A chair")

    async def fail(route: Route) -> None:
        if "do=run" in (route.request.post_data or ""):
            await route.fulfill(status=status, headers=headers, content_type="application/json", body='{"success": false}')
        else:
            await route.continue_()

    await page.route("**/console/try/*", fail)
    await press(page, "run")
    note = page.locator("#notice .note.bad")
    await expect(note).to_contain_text(said)
    await expect(note).to_be_in_viewport()
    await expect(named(page, "s:d.title")).to_have_value("A chair")
    await expect(page.get_by_role("link", name="see Runs")).to_have_count(1 if status >= 500 else 0)
    await page.unroute_all()
    await press(page, "run")
    await expect(page.get_by_role("heading", name="It ran")).to_be_visible()
    await expect(note).to_have_count(0)


async def test_what_the_server_says_of_an_error_is_shown_and_the_form_stays(watched: Watched, house: Served):
    page = watched.page
    await named(page, "s:d.title").fill("A chair")
    await page.route("**/console/try/*", lambda route: route.continue_(url=f"{house.origin}/console/try/999999"))
    await press(page, "dry")
    await expect(page.locator("#notice [data-notice]")).to_contain_text("That did not work")
    await expect(named(page, "s:d.title")).to_have_value("A chair")


async def test_a_connection_that_is_lost_says_that_it_may_have_run(watched: Watched):
    page = watched.page

    async def lose(route: Route) -> None:
        await (route.abort() if "do=run" in (route.request.post_data or "") else route.continue_())

    await page.route("**/console/try/*", lose)
    await press(page, "run")
    await expect(page.locator("#notice")).to_contain_text("The server does not answer")
    await expect(page.get_by_role("link", name="see Runs")).to_be_in_viewport()


async def test_what_one_searches_while_a_run_is_under_way_does_not_take_its_answer(watched: Watched, shop: tuple[Served, Upstream]):
    page, began, go = watched.page, asyncio.Event(), asyncio.Event()

    async def slow(asked: Asked) -> bytes:
        began.set()
        await go.wait()
        return await usual(asked)

    shop[1].handler = orders(slow)
    await press(page, "run")
    await asyncio.wait_for(began.wait(), 10)
    async with page.expect_response(lambda told: "do=find" in (told.request.post_data or "")):
        await named(page, "find:d.person").press_sequentially("Ada")
    await expect(page.locator("[name='k:d.person'] option")).to_have_count(4)
    go.set()
    await expect(page.get_by_role("heading", name="It ran")).to_be_visible()
    await named(page, "k:d.person").select_option('"p1"')
    await press(page, "add:d.boxes")
    await expect(page.locator("[name='k:d.person'] option:checked")).to_have_text("Ada number 1")


async def test_a_run_that_takes_its_time_says_so_and_is_cancelled(watched: Watched, shop: tuple[Served, Upstream], house: Served):
    page, began, go = watched.page, asyncio.Event(), asyncio.Event()

    async def slow(asked: Asked) -> bytes:
        began.set()
        await go.wait()
        return await usual(asked)

    shop[1].handler = orders(slow)
    await page.goto(f"{house.origin}/console/try/{PATIENT}")
    await press(page, "run")
    await asyncio.wait_for(began.wait(), 10)
    await expect(page.locator("#running [role=status]")).to_have_text("Running…")
    await expect(page.locator("#running .seconds")).to_have_text(re.compile(r"\d+ s"))
    await expect(page.locator("form[data-trial]")).to_have_attribute("aria-busy", "true")
    async with page.expect_response("**/cancel") as told:
        await page.locator("#cancel").click()
    assert await (await told.value).json() == {"cancelled": 1}
    go.set()
    await expect(page.locator("#came")).to_be_visible()
    await expect(page.locator("#running")).to_be_hidden()
    await expect(page.locator("form[data-trial]")).not_to_have_attribute("aria-busy", "true")


async def test_what_is_typed_can_be_copied_at_once_in_every_language(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, house.origin + PAGE, storage_state=state, permissions=["clipboard-read", "clipboard-write"]) as watched:
        page = watched.page
        for language, there in (
            ("Body", '"title": "Typed '),
            ("curl", "--data-binary"),
            ("Python", "urlopen"),
            ("JavaScript", "await fetch"),
        ):
            await page.get_by_role("radio", name=language).check()
            await named(page, "s:d.title").fill("")
            await named(page, "s:d.title").press_sequentially(f"Typed {language}")
            await press_slowly(page, page.locator("#copy-call"))
            await expect(page.locator("#copy-call")).to_have_text("Copied")
            copied = await page.evaluate("navigator.clipboard.readText()")
            assert there in copied
            assert f"Typed {language}" in copied
            await expect(page.locator(".pane:visible")).to_have_count(1)
        await press(page, "add:d.boxes")
        await expect(page.get_by_role("radio", name="JavaScript")).to_be_checked()


async def test_what_came_of_a_run_stays_while_one_edits(watched: Watched, house: Served):
    page = watched.page
    await named(page, "s:d.title").fill("A chair")
    await press(page, "run")
    await expect(page.get_by_role("heading", name="It ran")).to_be_visible()
    await expect(page.locator("#before")).to_be_hidden()
    await named(page, "s:d.title").fill("A table")
    await expect(page.locator("#before")).to_be_visible()
    await press(page, "add:d.boxes")
    await expect(named(page, "s:d.boxes[0].colour")).to_be_focused()
    await press(page, "json")
    await expect(page.locator("#text")).to_be_visible()
    await expect(page.get_by_role("heading", name="It ran")).to_be_visible()
    await page.locator("#text").fill('{"title": "A chair"}')
    await expect(page.locator("#before")).to_be_hidden()
    await press(page, "dry")
    await expect(page.get_by_role("heading", name="Dry run")).to_be_visible()
    await expect(page.get_by_role("heading", name="It ran")).to_have_count(0)
    assert_quiet(watched, house, *CALLED_OFF)


async def test_a_reload_and_the_way_back_bring_the_form_and_what_came_of_it(watched: Watched, house: Served):
    page = watched.page
    await named(page, "s:d.title").fill("A chair")
    await press(page, "add:d.boxes")
    await named(page, "s:d.boxes[0].colour").fill("Blue")
    await press(page, "run")
    await expect(page.get_by_role("heading", name="It ran")).to_be_visible()
    await named(page, "s:d.title").fill("Typed after")
    for how in ("reload", "back"):
        if how == "reload":
            await page.reload()
        else:
            await page.locator("#outcome .panel-head a").click()
            await expect(page.get_by_role("heading", name="Attempts")).to_be_visible()
            await page.go_back()
        await expect(named(page, "s:d.title")).to_have_value("Typed after")
        await expect(named(page, "s:d.boxes[0].colour")).to_have_value("Blue")
        await expect(page.get_by_role("heading", name="It ran")).to_be_visible()
        await expect(page.locator("#before")).to_be_visible()
        assert page.url == house.origin + PAGE
    # Whoever comes by a link begins anew; after a sign-out nothing is kept.
    await page.goto(house.origin + PAGE)
    await expect(named(page, "s:d.title")).to_have_value("")
    assert await page.evaluate("Object.keys(sessionStorage).length") == 1
    await page.context.clear_cookies()
    await page.goto(house.origin + "/console/sign-in")
    assert await page.evaluate("Object.keys(sessionStorage).length") == 0


async def test_yes_no_or_not_set_and_lists_of_numbers_are_filled_in_and_cleared(watched: Watched):
    page = watched.page
    body = page.get_by_label("Body of the call")
    await named(page, "b:d.agreed").select_option("true")
    await named(page, "ln:d.scores").fill("1\n2.50\nthree")
    await expect(body).to_contain_text('"agreed": true')
    await expect(body).to_contain_text("2.50")
    await press(page, "dry")
    await expect(named(page, "ln:d.scores")).to_have_attribute("aria-invalid", "true")
    await named(page, "ln:d.scores").fill("1\n2.50")
    await named(page, "how:d.agreed").select_option("null")
    await expect(page.get_by_text("Sent as null: it clears the field.")).to_be_visible()
    await press(page, "run")
    await expect(page.get_by_role("heading", name="It ran")).to_be_visible()
    await expect(body).to_contain_text('"agreed": null')
    await named(page, "how:d.agreed").select_option("")
    await expect(named(page, "b:d.agreed")).to_have_value("")
    await expect(body).not_to_contain_text("agreed")


async def test_rows_in_rows_are_added_copied_and_moved(watched: Watched):
    page = watched.page
    await press(page, "add:d.boxes")
    await press(page, "add:d.boxes[0].things")
    await named(page, "s:d.boxes[0].things[0].what").fill("Screws")
    await press(page, "copy:d.boxes[0].things[0]")
    await expect(named(page, "s:d.boxes[0].things[1].what")).to_be_focused()
    await named(page, "s:d.boxes[0].things[1].what").fill("Nails")
    await press(page, "up:d.boxes[0].things[1]")
    await expect(named(page, "s:d.boxes[0].things[0].what")).to_have_value("Nails")
    await press(page, "copy:d.boxes[0]")
    await expect(named(page, "s:d.boxes[1].things[1].what")).to_have_value("Screws")
    await press(page, "remove:d.boxes[0].things[0]")
    await expect(named(page, "s:d.boxes[0].things[1].what")).to_have_count(0)
    await expect(named(page, "s:d.boxes[0].things[0].what")).to_have_value("Screws")
    await expect(named(page, "s:d.boxes[1].things[0].what")).to_have_value("Nails")


async def test_a_run_waits_for_a_file_that_is_on_its_way(watched: Watched, house: Served, tmp_path: Path):
    page, held = watched.page, asyncio.Event()
    (tmp_path / "note.txt").write_text("hello")

    async def later(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await page.route("**/files", later)
    await page.locator("input[type=file]").set_input_files(tmp_path / "note.txt")
    await expect(page.get_by_text("Uploading note.txt…")).to_be_visible()
    await press(page, "add:d.boxes")  # the form is another one by the time the file has arrived
    await expect(page.locator(".row")).to_have_count(1)
    await press(page, "run")
    await expect(page.get_by_text("Waiting for the file…")).to_be_visible()
    held.set()
    await expect(page.get_by_role("heading", name="It ran")).to_be_visible()
    kept = await named(page, "f:d.picture").input_value()
    await expect(page.locator(".field", has=named(page, "f:d.picture")).get_by_role("link", name="note.txt")).to_be_visible()
    run = (await house.call("GET", "/runs?per-page=1"))[2]["data"][0]["runId"]
    assert run in await page.locator("#outcome").inner_text()
    async with page.expect_download() as download:
        await page.get_by_role("link", name="note.txt").click()
    assert (await download.value).suggested_filename == "note.txt"
    assert (await house.call("GET", f"/files/{kept}"))[2]["data"]["name"] == "note.txt"


async def test_a_file_that_is_too_large_is_not_sent_and_the_limit_is_said(watched: Watched, tmp_path: Path):
    page = watched.page
    (tmp_path / "large.bin").write_bytes(b"x" * 5_000_000)
    await page.locator("input[type=file]").set_input_files(tmp_path / "large.bin")
    await expect(page.get_by_text("The file has 5.0 MB: up to 4.7 MB are taken.")).to_be_visible()
    assert not any(request.url.endswith("/files") for request in watched.requests)


async def test_the_next_page_of_a_trigger_is_one_press_away_and_can_be_reached_by_keyboard(watched: Watched, house: Served):
    page = watched.page
    await page.goto(f"{house.origin}/console/try/{LATEST}")
    await named(page, "limit").fill("2")
    await press(page, "run")
    cell = page.locator("table.items tbody tr td").first
    await expect(cell).to_have_text("10")
    await expect(page.locator("#outcome")).to_be_focused()  # one is led to what came of it first
    await page.locator("#next-page").focus()
    await page.keyboard.press("Enter")
    await expect(cell).to_have_text("20")
    await expect(named(page, "cursor")).not_to_have_value("")


async def test_run_is_reached_without_scrolling_on_a_narrow_screen(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, house.origin + PAGE, storage_state=state, viewport=PHONE) as watched:
        await expect(watched.page.locator("#run")).to_be_in_viewport()
