"""The settings in a real browser: every page in both colours and on a phone, secrets that are copied once, dialogs that ask for a name, the preview of the connect page."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from browser.console import assert_quiet, look_at
from browser.watched import copied, opened
from e2e.served import PIPEDRIVE, Served

pytestmark = pytest.mark.anyio

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PETS = {
    "openapi": "3.1.0",
    "info": {"title": "Pets", "version": "1.0.0"},
    "servers": [{"url": "https://pets.example.com/v1"}],
    "paths": {"/pets": {"get": {"operationId": "listPets", "summary": "List pets", "responses": {"200": {"description": "Pets"}}}}},
}
LONG = "A long name that nobody has thought of, with many words and one that is verylongwithoutanyspaceinitatall" * 2


@pytest.fixture(scope="module")
async def full(anyio_backend: str, house: Served) -> dict[str, str]:
    """A server in which everything is set; the paths of its settings."""

    async def made(method: str, path: str, body: Any) -> Any:
        status, _headers, answer = await house.call(method, path, body)
        assert status < 300, answer
        return answer["data"]

    await made("POST", "/api-keys", {"title": "Nightly job", "scopes": ["catalog:read", "runs:write"]})
    await made("POST", "/api-keys", {"title": LONG[:200], "scopes": ["admin"], "expiresAt": house.runtime.now_ms() // 1000 + 86_400})
    await made("POST", "/console-users", {"email": "ada@team.example", "role": "developer"})
    endpoint = await made("POST", "/event-endpoints", {"url": house.origin + "/hooks", "title": "Our hooks"})
    await made("POST", f"/event-endpoints/{endpoint['endpointId']}/test", {})
    await made("PUT", f"/oauth-apps/{PIPEDRIVE}", {"clientId": "client-1", "clientSecret": "s3cr3t-7f6e5d4c"})
    await made("PATCH", "/account", {"branding": {"name": "Acme", "color": "#0b7285"}, "allowedRedirectHosts": ["app.example.com"]})
    first = await made("POST", "/partners/import", {"slug": "pets", "document": PETS})
    while (told := (await house.fetch("GET", f"/partners/imports/{first['importId']}")).json["data"])["finishedAt"] is None:  # noqa: ASYNC110  it is read as somebody at the page reads it
        await asyncio.sleep(0.05)
    asking = {**PETS, "servers": [*PETS["servers"], {"url": "https://eu.pets.example.com/v1", "description": "Europe"}]}
    second = await made("POST", "/partners/import", {"slug": "more-pets", "document": asking})
    while not (await house.fetch("GET", f"/partners/imports/{second['importId']}")).json["data"]["questions"]:  # noqa: ASYNC110  it is read as somebody at the page reads it
        await asyncio.sleep(0.05)
    partner = f"/console/settings/partners/{told['partnerId']}"
    return {
        "keys": "/console/settings/keys",
        "people": "/console/settings/people",
        "webhooks": "/console/settings/webhooks",
        "webhook": f"/console/settings/webhooks/{endpoint['endpointId']}",
        "connect-page": "/console/settings/connect-page",
        "oauth-apps": "/console/settings/oauth-apps",
        "oauth-app": f"/console/settings/oauth-apps/{PIPEDRIVE}",
        "partners": "/console/settings/partners",
        "partner": partner,
        "version": partner + "/versions/1",
        "import": f"/console/settings/partners/imports/{first['importId']}",
        "question": f"/console/settings/partners/imports/{second['importId']}",
        "audit": "/console/settings/audit",
        "audit-part": "/console/settings/audit?result=done",
        "role": "/console/settings/people/1/role?role=viewer",
    }


NAMES = (
    "keys", "people", "webhooks", "webhook", "connect-page", "oauth-apps", "oauth-app", "partners", "partner", "version", "import", "question",
    "audit", "audit-part", "role",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_a_page_of_the_settings_has_no_barrier_and_fits(
    browser: Browser, house: Served, full: dict[str, str], state: dict[str, Any], name: str
):
    assert set(full) == set(NAMES)
    await look_at(browser, house, state, full[name], f"settings-{name}")


async def test_a_key_is_made_copied_and_deleted_by_its_name(browser: Browser, house: Served, full: dict[str, str], state: dict[str, Any]):
    async with opened(browser, storage_state=state, permissions=["clipboard-read", "clipboard-write"]) as watched:
        page = watched.page
        await page.goto(house.origin + full["keys"])
        await page.get_by_label("What it is for").fill("From a browser")
        await page.get_by_label("Read the catalogue").check()
        await page.get_by_role("button", name="Make the key").click()
        await page.get_by_role("button", name="Copy the key").click()
        await expect(page.get_by_role("button", name="Copy the key")).to_have_text("Copied")
        assert (await copied(page)).startswith("ppk_")
        row = page.get_by_role("row").filter(has_text="From a browser")
        await row.get_by_role("button", name="Delete").click()
        dialog = page.get_by_role("dialog", name="Delete this key?")
        await expect(dialog.get_by_role("button", name="Delete")).to_be_disabled()
        await dialog.get_by_role("textbox").fill("From a browser")
        await dialog.get_by_role("button", name="Delete").click()
        await expect(page.get_by_role("row").filter(has_text="From a browser")).to_have_count(0)
        assert_quiet(watched, house)


async def test_a_form_is_sent_once_however_often_one_presses(browser: Browser, house: Served, full: dict[str, str], state: dict[str, Any]):
    async with opened(browser, storage_state=state) as watched:
        page = watched.page
        await page.goto(house.origin + full["keys"])
        await page.get_by_label("What it is for").fill("Pressed twice")
        await page.get_by_label("Read the catalogue").check()
        refused = await page.evaluate("""() => {
            const refused = [];
            addEventListener("submit", (event) => { refused.push(event.defaultPrevented); event.preventDefault(); });
            const button = [...document.querySelectorAll("button")].find((each) => each.textContent === "Make the key");
            button.click();
            button.click();
            return refused;
        }""")
        assert refused == [False, True]


async def test_the_preview_follows_and_a_logo_is_read_from_a_file(
    browser: Browser, house: Served, full: dict[str, str], state: dict[str, Any], tmp_path: Path
):
    (tmp_path / "logo.png").write_bytes(base64.b64decode(PIXEL))
    (tmp_path / "large.png").write_bytes(bytes(70_000))
    async with opened(browser, storage_state=state) as watched:
        page = watched.page
        await page.goto(house.origin + full["connect-page"])
        seen = page.frame_locator("iframe[name=preview]")
        button, company = seen.locator("button.main"), seen.locator(".company")
        await expect(company).to_have_text("Acme")
        await page.get_by_label("Your company's name").fill("Lovelace & Co")
        await expect(company).to_have_text("Lovelace & Co")
        await expect(seen.get_by_text("Lovelace & Co asks for access to your Pipedrive account")).to_be_visible()
        await page.locator("input[type=color]").fill("#ffd400")
        await expect(button).to_have_css("background-color", "rgb(255, 212, 0)")
        await expect(button).to_have_css("color", "rgb(0, 0, 0)")
        await page.get_by_label("A colour of our own").uncheck()
        await expect(button).to_have_css("background-color", "rgb(31, 79, 216)")
        await page.locator("input[type=color]").fill("#7b1fa2")
        await expect(button).to_have_css("background-color", "rgb(123, 31, 162)")
        logo = page.locator("#f-logo-file")
        await logo.set_input_files(tmp_path / "large.png")
        assert "64 KiB" in await logo.evaluate("field => field.validationMessage")
        await logo.set_input_files(tmp_path / "logo.png")
        await expect(seen.locator("img.logo")).to_have_attribute("src", f"data:image/png;base64,{PIXEL}")
        await expect(company).to_have_count(0)
        await page.get_by_role("button", name="Save").first.click()
        await expect(page.get_by_text("Saved.")).to_be_visible()
        await page.get_by_label("Take the logo away").check()
        await expect(company).to_have_text("Lovelace & Co")
        branding = (await house.fetch("GET", "/account")).json["data"]["branding"]
        assert branding == {"name": "Lovelace & Co", "color": "#7b1fa2", "logo": f"data:image/png;base64,{PIXEL}"}
        assert_quiet(watched, house)


async def test_a_description_of_several_files_is_read_and_one_that_is_too_large_is_not_sent(
    browser: Browser, house: Served, full: dict[str, str], state: dict[str, Any], tmp_path: Path
):
    answers = {"200": {"description": "Pets", "content": {"application/json": {"schema": {"$ref": "pet.json"}}}}}
    whole = {**PETS, "paths": {"/pets": {"get": {"operationId": "listPets", "summary": "List pets", "responses": answers}}}}
    (tmp_path / "a-pet.json").write_text('{"type": "object"}')
    (tmp_path / "pet.json").write_text('{"type": "object", "properties": {"name": {"type": "string"}}}')
    (tmp_path / "service.json").write_text(json.dumps(whole) + " " * 3_200_000)
    (tmp_path / "huge.json").write_bytes(b" " * (33 * 1024 * 1024))
    async with opened(browser, storage_state=state) as watched:
        page = watched.page
        await page.goto(house.origin + full["partners"])
        await page.get_by_label("What it is called").fill("several")
        picked = page.get_by_label("Or its files")
        await picked.set_input_files(tmp_path / "huge.json")
        assert "33.0 MiB" in await picked.evaluate("field => field.validationMessage")
        await picked.set_input_files([tmp_path / name for name in ("a-pet.json", "pet.json", "service.json")])
        await expect(page.get_by_text("service.json, and beside it a-pet.json, pet.json.")).to_be_visible()
        await page.get_by_role("button", name="Import", exact=True).click()
        await expect(page.get_by_text("Version 1 serves.")).to_be_visible(timeout=60_000)
        assert_quiet(watched, house)


async def test_without_script_a_question_is_closed_until_it_is_asked(
    browser: Browser, house: Served, full: dict[str, str], state: dict[str, Any]
):
    async with opened(browser, storage_state=state, java_script_enabled=False) as watched:
        page = watched.page
        await page.goto(house.origin + full["keys"])
        dialog = page.locator("dialog").filter(has_text="Nightly job")
        await expect(dialog).to_be_hidden()
        await page.get_by_role("row").filter(has_text="Nightly job").get_by_role("link", name="Delete").click()
        await expect(dialog).to_be_visible()
        await dialog.get_by_role("link", name="Keep it").click()
        await expect(dialog).to_be_hidden()
        await page.goto(house.origin + full["people"])
        row = page.get_by_role("row").filter(has_text="ada@team.example")
        await row.get_by_role("link", name="New link").click()
        await page.locator("dialog:target").get_by_role("button", name="New link").click()
        await expect(page.get_by_role("heading", name="A link for ada@team.example")).to_be_visible()
        await page.goto(house.origin + full["connect-page"])
        await page.get_by_label("Your company's name").fill("Shown by a button")
        await page.get_by_role("button", name="Show in the preview").click()
        await expect(page.frame_locator("iframe[name=preview]").get_by_text("Shown by a button asks for access")).to_be_visible()


async def test_what_came_of_a_test_is_said_as_soon_as_it_is_known(
    browser: Browser, house: Served, full: dict[str, str], state: dict[str, Any]
):
    async with opened(browser, storage_state=state) as watched:
        page = watched.page
        await page.goto(house.origin + full["webhook"])
        await page.get_by_role("button", name="Send a test").click()
        await expect(page.get_by_text("The test was not taken. The receiver answered with status 404.")).to_be_visible()
        assert_quiet(watched, house)


async def test_an_import_is_followed_as_it_goes(browser: Browser, house: Served, full: dict[str, str], state: dict[str, Any]):
    async with opened(browser, storage_state=state) as watched:
        page = watched.page
        await page.goto(house.origin + full["partners"])
        await page.get_by_label("What it is called").fill("followed")
        await page.get_by_label("Or the description itself").fill(json.dumps(PETS))
        await page.get_by_role("button", name="Import", exact=True).click()
        await expect(page.get_by_text("Version 1 serves.")).to_be_visible(timeout=30_000)
        await page.get_by_role("link", name="Read the report").click()
        await page.get_by_text("All of what the importer says").click()
        await expect(page.get_by_role("group", name="What the importer says")).to_contain_text("1 operation described")
        assert_quiet(watched, house)
