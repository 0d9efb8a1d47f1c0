"""Try it in a real browser: the form, rows, lists, uploads, JSON in step, a run; by keyboard, on a phone, in the dark, without script."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from browser.console import CROSSED, assert_looks, assert_quiet, look_at, sign_in, signed_in_state
from browser.watched import Watched, opened
from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Served

pytestmark = pytest.mark.anyio

CREATE_PERSON = "/console/try/2250101"
HTTP = 2
CALLED_OFF = ("htmx:sendAbort", "htmx:afterRequest")  # a preview that the next one replaced
EVIL = '"><img src=x onerror=alert(1)>\u202e'


@pytest.fixture(scope="module")
async def state(anyio_backend: str, browser: Browser, house: Served) -> dict[str, Any]:
    await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    return await signed_in_state(browser, house)


@pytest.fixture
async def watched(browser: Browser, house: Served, state: dict[str, Any]) -> AsyncIterator[Watched]:
    async with opened(browser, house.origin + CREATE_PERSON, storage_state=state) as found:
        yield found


def named(page: Page, name: str) -> Any:
    return page.locator(f"[name='{name}']")


async def press(page: Page, action: str) -> None:
    await page.locator(f"button[name=do][value='{action}']:not(.hidden)").click()


async def preview(page: Page) -> str:
    return re.sub(r"\s", "", await page.locator("#preview .json").inner_text())


async def test_choosing_has_no_barrier(browser: Browser, house: Served, state: dict[str, Any]):
    await look_at(browser, house, state, "/console/try", "try-choose")


async def test_form_faults_and_run_have_no_barrier(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, house.origin + CREATE_PERSON, storage_state=state) as watched:
        page = watched.page
        await press(page, "add:d.email")
        await named(page, "s:d.email[0].value").fill("no mail")
        await named(page, "how:d.notes").select_option("json")
        await expect(page.locator("textarea[name='j:d.notes']")).to_be_visible()
        await press(page, "dry")
        await expect(page.get_by_role("alert")).to_contain_text("2 things are wrong or missing")
        await assert_looks(page, "try-faults")

        await named(page, "s:d.name").fill(f"Ada {EVIL}")
        await named(page, "s:d.email[0].value").fill("ada@example.com")
        await press(page, "run")
        await expect(page.get_by_role("heading", name="It ran")).to_be_visible()
        await page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        await assert_looks(page, "try-run", looks=CROSSED)

        await press(page, "json")
        await expect(page.locator("#text")).to_be_visible()
        await assert_looks(page, "try-json", looks=CROSSED)


async def test_rows_are_added_copied_moved_and_removed_by_keyboard(watched: Watched, house: Served):
    page = watched.page
    await page.locator("button[value='add:d.email']").focus()
    await page.keyboard.press("Enter")
    await expect(named(page, "s:d.email[0].value")).to_be_focused()
    await page.keyboard.type("one@example.com")
    await page.locator("button[value='copy:d.email[0]']").focus()
    await page.keyboard.press("Enter")
    await expect(named(page, "s:d.email[1].value")).to_be_focused()
    await page.keyboard.press("ControlOrMeta+a")
    await page.keyboard.type("two@example.com")
    await page.locator("button[value='up:d.email[1]']").focus()
    await page.keyboard.press("Enter")
    await expect(named(page, "s:d.email[0].value")).to_have_value("two@example.com")
    await press(page, "remove:d.email[1]")
    await expect(named(page, "s:d.email[1].value")).to_have_count(0)
    await expect(named(page, "s:d.email[0].value")).to_have_value("two@example.com")
    assert_quiet(watched, house, *CALLED_OFF)


async def test_the_focus_stays_where_one_pressed_whatever_comes_back(watched: Watched):
    page = watched.page
    steps = [
        ("add:d.email", "s:d.email[0].value", ".row", 1),
        ("add:d.email", "s:d.email[1].value", ".row", 2),
        ("copy:d.email[1]", "s:d.email[2].value", ".row", 3),
        ("remove:d.email[1]", "s:d.email[1].value", ".row", 2),
        ("remove:d.email[1]", "remove:d.email[0]", ".row", 1),
        ("remove:d.email[0]", "add:d.email", ".row", 0),
        ("json", "json", "#text", 1),
        ("form", "form", "#text", 0),
        ("link", "link", "#link-head", 1),
    ]
    for action, stays, there, count in steps:
        await page.locator(f"button[name=do][value='{action}']:not(.hidden)").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator(there)).to_have_count(count)
        await page.wait_for_function("stays => [document.activeElement.value, document.activeElement.name].includes(stays)", arg=stays)
    for name, way in (("how:d.notes", "json"), ("how:d.email", "none")):
        await named(page, name).focus()
        await named(page, name).select_option(way)
        await expect(page.locator(".off" if way == "none" else "textarea[name='j:d.notes']")).to_be_visible()
        await expect(named(page, name)).to_be_focused()


async def test_the_call_says_when_it_stands_without_what_is_typed(watched: Watched):
    page = watched.page
    await press(page, "json")
    await page.locator("#text").press_sequentially('{"name": "Ada",')
    await expect(page.locator("#preview")).to_contain_text("What is typed is no JSON yet")
    await page.locator("#text").fill('{"name": "Ada"}')
    await expect(page.locator("#preview .json")).to_contain_text('"Ada"')
    await expect(page.locator("#preview .note")).to_have_count(0)


async def test_form_json_and_the_call_beside_them_keep_in_step(watched: Watched, house: Served):
    page = watched.page
    await named(page, "s:d.name").fill("Bo")
    await expect(page.locator("#preview .json")).to_contain_text('"Bo"')
    await named(page, "k:d.visible_to").select_option(label="Entire company")
    await expect(page.locator("#preview .json")).to_contain_text('"visible_to"')
    assert '"runnerData":{"name":"Bo","visible_to":"3"}' in await preview(page)
    assert "Bo" in str(await page.get_by_label("The call for curl").text_content())

    await press(page, "json")
    text = page.locator("#text")
    assert json.loads(await text.input_value()) == {"name": "Bo", "visible_to": "3"}
    await expect(page.locator(".editor pre .nt").first).to_have_text('"name"')
    await text.fill('{"name": "Bea", "email": [{"value": "bea@example.com"}], "odd": 1}')
    await expect(page.locator("#preview .json")).to_contain_text('"Bea"')
    await press(page, "form")
    await expect(named(page, "s:d.name")).to_have_value("Bea")
    await expect(named(page, "s:d.email[0].value")).to_have_value("bea@example.com")
    await expect(named(page, "more:d")).to_have_value('{\n  "odd": 1\n}')
    assert_quiet(watched, house, *CALLED_OFF)


async def test_a_run_by_script_shows_what_came_of_it_once(watched: Watched, house: Served):
    page = watched.page
    await named(page, "s:d.name").fill("Ada Lovelace")
    await press(page, "dry")
    await expect(page.get_by_role("heading", name="Dry run: 1 request would be sent")).to_be_visible()
    await expect(page.locator("#outcome")).to_be_focused()
    await expect(named(page, "s:d.name")).to_have_value("Ada Lovelace")
    await press(page, "run")
    await expect(page.get_by_role("heading", name="It ran")).to_be_visible()
    await expect(page.get_by_role("region", name="Result, field by field")).to_contain_text("Lovelace")
    await expect(page.locator("svg.bar")).to_have_count(3)
    assert_quiet(watched, house, *CALLED_OFF)


async def test_what_is_typed_while_the_form_is_on_its_way_is_not_lost(watched: Watched, house: Served):
    page = watched.page
    held: list[Any] = []

    async def hold(route: Any) -> None:
        if not held:
            held.append(route)
            return
        await route.continue_()

    await page.route("**/console/try/*", hold)
    async with page.expect_request("**/console/try/*"):
        await named(page, "how:d.notes").select_option("null")
    while not held:
        await page.wait_for_timeout(10)
    await named(page, "s:d.job_title").fill("Engineer")
    await held[0].continue_()
    await expect(page.get_by_text("Sent as null: it clears the field.")).to_be_visible()
    await expect(named(page, "s:d.job_title")).to_have_value("Engineer")
    assert_quiet(watched, house, *CALLED_OFF)


@contextlib.asynccontextmanager
async def slow(page: Page) -> AsyncIterator[list[Any]]:
    """The first request for the form is held until the block ends; the list holds it from when it came."""
    held: list[Any] = []

    async def hold(route: Any) -> None:
        if not held and "do=preview" not in (route.request.post_data or ""):
            held.append(route)
        else:
            await route.continue_()

    await page.route("**/console/try/*", hold)
    yield held
    await held[0].continue_()


async def until_held(page: Page, held: list[Any]) -> None:
    while not held:
        await page.wait_for_timeout(10)


async def test_what_is_pressed_while_another_press_is_on_its_way_is_done_after_it(watched: Watched, house: Served):
    page = watched.page
    await named(page, "s:d.name").fill("Ada")
    async with slow(page) as held:
        await press(page, "add:d.email")
        await until_held(page, held)
        await press(page, "dry")
        await press(page, "dry")
    await expect(named(page, "s:d.email[0].value")).to_have_attribute(
        "aria-invalid", "true"
    )  # the dry run was of the form with the new row
    await named(page, "s:d.email[0].value").fill("ada@example.com")
    await press(page, "dry")
    await expect(page.get_by_role("heading", name="Dry run")).to_be_visible()
    assert_quiet(watched, house, "422", *CALLED_OFF)


async def test_rows_that_are_removed_quickly_are_those_that_were_pressed(watched: Watched, house: Served):
    page = watched.page
    for row in range(4):
        await press(page, "add:d.email")
        await named(page, f"s:d.email[{row}].value").fill(f"{row}@example.com")
    async with slow(page) as held:
        await press(page, "remove:d.email[0]")
        await until_held(page, held)
        await press(page, "remove:d.email[0]")
        await press(page, "up:d.email[3]")
        await press(page, "remove:d.email[1]")
    await expect(named(page, "rows:d.email")).to_have_value("2")
    assert [await named(page, f"s:d.email[{row}].value").input_value() for row in range(2)] == ["3@example.com", "2@example.com"]
    assert_quiet(watched, house, *CALLED_OFF)


async def test_what_is_typed_while_a_press_is_on_its_way_is_not_lost_and_a_run_runs_once(watched: Watched, house: Served):
    page = watched.page
    async with slow(page) as held:
        await press(page, "add:d.email")
        await until_held(page, held)
        await named(page, "s:d.name").fill("Ada typed late")
    await expect(named(page, "s:d.email[0].value")).to_have_count(1)
    await expect(named(page, "s:d.name")).to_have_value("Ada typed late")
    await named(page, "s:d.email[0].value").fill("ada@example.com")
    await page.unroute_all()
    before = len((await house.call("GET", "/runs?per-page=100"))[2]["data"])
    async with slow(page) as held:
        await press(page, "run")
        await until_held(page, held)
        await press(page, "run")
        await named(page, "s:d.job_title").fill("Engineer")
        await named(page, "k:d.visible_to").select_option(label="Entire company")
    await expect(page.get_by_role("heading", name="It ran")).to_be_visible()
    await expect(named(page, "s:d.job_title")).to_have_value("Engineer")
    await expect(page.locator("[name='k:d.visible_to'] option:checked")).to_have_text("Entire company")
    await expect(page.locator("#preview .json")).to_contain_text("Engineer")
    assert len((await house.call("GET", "/runs?per-page=100"))[2]["data"]) == before + 1
    assert_quiet(watched, house, *CALLED_OFF)


async def test_nothing_more_is_done_where_a_press_did_not_arrive(watched: Watched):
    page = watched.page
    held: list[Any] = []
    asked: list[str] = []

    async def fail(route: Any) -> None:
        asked.append(route.request.post_data or "")
        held.append(route)
        if len(held) > 1:
            await route.continue_()

    await page.route("**/console/try/*", fail)
    await press(page, "add:d.email")
    await until_held(page, held)
    await press(page, "run")
    await held[0].abort()
    await expect(page.get_by_text("The server does not answer.")).to_be_visible()
    await press(page, "add:d.email")
    await expect(named(page, "s:d.email[0].value")).to_have_count(1)
    assert not any("do=run" in each for each in asked)


async def test_a_list_is_searched_as_one_types(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, house.origin + CREATE_PERSON, storage_state=state) as watched:
        page = watched.page
        search = named(page, "find:d.org_id")
        await search.fill("exam")
        await expect(page.locator("[name='k:d.org_id'] option")).not_to_have_count(1)
        await expect(search).to_be_focused()
        await expect(search).to_have_value("exam")
        await named(page, "k:d.org_id").select_option(index=1)
        await expect(page.locator("#preview .json")).to_contain_text('"org_id"')
        assert_quiet(watched, house, *CALLED_OFF)


async def test_every_stop_of_the_keyboard_is_seen(watched: Watched):
    page = watched.page
    where = "(() => { const at = document.activeElement; return at === document.body ? null : [at.name || at.innerText || at.tagName, getComputedStyle(at).outlineStyle]; })()"
    found: list[list[str]] = []
    await page.keyboard.press("Tab")
    while (stop := await page.evaluate(where)) is not None and len(found) < 150:
        found.append(stop)
        await page.keyboard.press("Tab")
    assert {"s:d.birthday", "do"} <= {name for name, _outline in found}
    assert [name for name, outline in found if outline != "solid"] == []


async def test_a_time_is_picked_in_the_viewers_zone(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, house.origin + CREATE_PERSON, storage_state=state, timezone_id="Asia/Tokyo") as watched:
        page = watched.page
        await page.get_by_label("Pick a time of your zone").fill("2026-11-24T09:30:00")
        await expect(named(page, "n:d.add_time")).to_have_value("2026-11-24T00:30:00Z")
        await expect(page.locator("#preview .json")).to_contain_text("2026-11-24T00:30:00Z")


async def test_a_file_is_uploaded_and_given_by_its_id(browser: Browser, house: Served, state: dict[str, Any], tmp_path: Path):
    await house.connect(HTTP, {}, auth="none")
    _status, _headers, found = await house.call("GET", f"/partners/trigger-actions/info?filter[partnerId]={HTTP}")
    (tmp_path / "note.txt").write_text("hello")
    async with opened(browser, f"{house.origin}/console/try/{found['data'][0]['triggerActionId']}", storage_state=state) as watched:
        page = watched.page
        await page.locator("input[type=file][data-uploads='d.file']").set_input_files(tmp_path / "note.txt")
        await expect(page.get_by_text("note.txt is kept as file_")).to_be_visible()
        await expect(page.locator("#preview .json")).to_contain_text('"fileId"')
        kept = (await page.locator("[name='f:d.file']").input_value()).strip()
        assert (await house.call("GET", f"/files/{kept}"))[2]["data"]["size"] == 5
        assert_quiet(watched, house, *CALLED_OFF)


async def test_a_secret_is_typed_once_and_stays_in_its_field_alone(browser: Browser, house: Served, state: dict[str, Any]):
    _status, _headers, found = await house.call("GET", "/partners/trigger-actions/info?filter[partnerId]=1&per-page=100")
    signing = next(item for item in found["data"] if item["name"] == "sign_text")
    async with opened(browser, f"{house.origin}/console/try/{signing['triggerActionId']}", storage_state=state) as watched:
        page = watched.page
        await named(page, "s:d.key").fill("nobody-sees-this")
        await named(page, "s:d.text").fill("hello")
        await press(page, "run")
        await expect(page.get_by_role("heading", name="It ran")).to_be_visible()
        await expect(named(page, "s:d.key")).to_have_value("nobody-sees-this")
        assert "nobody-sees-this" not in await page.locator("main").inner_text()
        async with page.expect_response(lambda told: "do=run" in (told.request.post_data or "")) as again:
            await press(page, "run")
        assert (await again.value).status == 200
        await expect(page.get_by_role("heading", name="It ran")).to_be_visible()
        await expect(named(page, "s:d.key")).to_have_value("nobody-sees-this")
        assert_quiet(watched, house, *CALLED_OFF)


async def test_it_works_without_script(browser: Browser, house: Served, state: dict[str, Any]):
    async with opened(browser, java_script_enabled=False) as watched:
        page = watched.page
        await sign_in(page, house, "/console/try")
        await page.get_by_role("searchbox").fill("create person")
        await page.get_by_role("button", name="Filter").click()
        await page.get_by_role("link", name="Create a person").click()
        await named(page, "s:d.name").fill("No Script")
        await press(page, "add:d.email")
        await named(page, "s:d.email[0].value").fill("ns@example.com")
        await named(page, "how:d.notes").select_option("null")
        await page.get_by_role("button", name="Update the form").click()
        await expect(page.get_by_text("Sent as null: it clears the field.")).to_be_visible()
        await press(page, "json")
        assert json.loads(await page.locator("#text").input_value())["email"] == [{"value": "ns@example.com"}]
        await press(page, "form")
        await press(page, "run")
        await expect(page.get_by_role("heading", name="It ran")).to_be_visible()
        await expect(page.get_by_role("region", name="Result, field by field")).to_contain_text("ns@example.com")
        await press(page, "link")
        await expect(page.get_by_role("heading", name="Link to this")).to_be_visible()
