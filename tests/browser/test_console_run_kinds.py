"""Runs of every kind in a real browser: what ended in each way, what waits, and who was told of it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from browser.console import assert_quiet, look_at, signed_in_state
from browser.watched import copied, opened
from e2e.console import Browsing, member, text_of
from e2e.depot import ASK, CREATE, SECRET, Bay, open_bay, open_depot
from e2e.receiver import make_endpoint, open_receiver
from e2e.served import Asked, answer

pytestmark = pytest.mark.anyio

LONG = "x" * 30_000
# The page of each kind of run, and what it says.
SAYS = {
    "timed-out": ("The partner did not answer in time.", "No answer"),
    "dropped": ("The partner could not be reached", "No answer"),
    "uncertain": ("no answer came back. It is not sent again by itself", "Look at the partner whether it took effect."),
    "unreadable": ("The partner answered, but its answer does not say", "The partner answered 200"),
    "refused": ("The partner read the request and refused it.", "no such colour"),
    "waiting": ("Attempt 2 begins", "Nothing: it goes on by itself."),
    "held": ("Nothing of it was sent yet.", "when the partner takes calls again."),
    "behind": ("It waits behind other runs of its connection", "when the partner takes calls again."),
    "scheduled": ("It starts", ", as it was asked to."),
    "cancelled": ("Somebody cancelled it.", "Replay it if that was a mistake."),
    "keyed": ("order-1027", "is answered with this run"),
    "long": ("The first 20,000 of 30,", "Download all that was kept"),
}


async def silent(_asked: Asked) -> None:
    await asyncio.sleep(120)


async def dropped(asked: Asked) -> None:
    asked.writer.transport.abort()


@pytest.fixture(scope="module")
async def bay(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bay]:
    """A server whose partner does what a test says; one attempt ends a run, but for those that may wait."""
    async with (
        open_depot() as depot,
        open_bay(tmp_path_factory.mktemp("bay"), depot, runs_attempts=2, allow_networks="127.0.0.1/32") as found,
    ):
        yield found


@pytest.fixture(scope="module")
async def state(anyio_backend: str, browser: Browser, bay: Bay) -> dict[str, Any]:
    return await signed_in_state(browser, bay.served)


async def run_id_of(there: Bay, operation: int, *, mode: str = "sync", **more: Any) -> str:
    fields = {"q": "Lamp"} if operation == ASK else {"name": "Lamp"}
    found = (await there.run(operation, more.pop("fields", fields), mode=mode, **more)).json
    return str(found["data"]["runId"] if found["success"] else found["error"]["runId"])


@pytest.fixture(scope="module")
async def kinds(anyio_backend: str, bay: Bay) -> dict[str, str]:
    """A run of each kind, by its name."""
    found: dict[str, str] = {}
    for name, operation, told, more in (
        ("timed-out", ASK, silent, {"timeoutMs": 300}),
        ("dropped", ASK, dropped, {}),
        ("uncertain", CREATE, dropped, {}),
        ("unreadable", CREATE, answer(200, b"<html>Welcome</html>", {"Content-Type": "text/html"}), {}),
        ("refused", CREATE, answer(422, {"message": "no such colour", "field": "name", "code": "odd"}), {}),
        ("long", ASK, answer(200, {"answer": LONG}), {}),
        ("keyed", CREATE, None, {"key": "order-1027", "metadata": {"order": 1027}, "externalUserId": "customer-17"}),
    ):
        there = await bay.afresh()
        if told is not None:
            there.depot.answers["*"] = told
        found[name] = await run_id_of(there, operation, **more)
    later = bay.served.runtime.now_ms() // 1000 + 7200
    there = await bay.afresh()
    found["scheduled"] = await run_id_of(there, CREATE, mode="async", notBefore=later)
    found["cancelled"] = await run_id_of(there, CREATE, mode="async", notBefore=later)
    assert (await bay.served.call("POST", f"/runs/{found['cancelled']}/cancel"))[0] == 200
    there.depot.answers["*"] = answer(429, {"message": "slow down"}, {"Retry-After": "1800"})
    for name, statuses in (("waiting", ("waiting",)), ("held", ("waiting",)), ("behind", ("queued",))):
        found[name] = await run_id_of(there, ASK, mode="async")
        await there.until(found[name], *statuses)
    there.depot.answers.clear()
    return found


@pytest.mark.parametrize("name", sorted(SAYS))
async def test_each_kind_of_run_says_what_it_is_in_every_look(
    browser: Browser, bay: Bay, state: dict[str, Any], kinds: dict[str, str], name: str
):
    path = f"/console/runs/{kinds[name]}"
    async with opened(browser, bay.served.origin + path, storage_state=state) as watched:
        text = await watched.page.locator("main").inner_text()
        for told in SAYS[name]:
            assert told in text, told
        assert not re.search(r"None|null|\.\.(?!\.)|retryAfterMs|/runs/\{|POST /|GET /[a-z]*\{", text.split("Attempts\n")[0])
        assert SECRET not in await watched.page.content()
    await look_at(browser, bay.served, state, path, f"run-{name}")


async def test_a_run_in_doubt_is_replayed_only_with_its_name_typed(
    browser: Browser, bay: Bay, state: dict[str, Any], kinds: dict[str, str]
):
    owner = Browsing(served=bay.served)
    await owner.sign_in()
    refused = await owner.post(f"/console/runs/{kinds['uncertain']}/replay", {"confirm": "something else"})
    assert (refused.status, "nothing was replayed" in text_of(refused)) == (422, True)
    path = f"{bay.served.origin}/console/runs/{kinds['uncertain']}"
    async with opened(browser, path, storage_state=state) as watched:
        page = watched.page
        assert await page.locator(".head .main").count() == 0
        await page.get_by_role("button", name="Replay").click()
        dialog = page.get_by_role("dialog", name="Did it really not take effect?")
        does = dialog.get_by_role("button", name="I have looked: replay it")
        await expect(does).to_be_disabled()
        await dialog.get_by_role("textbox").fill("Create a thing")
        await does.click()
        await expect(page).not_to_have_url(path)
        await expect(page.locator("#done")).to_have_text("This is the replay: the same input runs once more.")
        await expect(page.locator(".head .status")).to_have_text("Succeeded")
        assert_quiet(watched, bay.served)


async def test_a_run_that_is_under_way_is_asked_to_stop(browser: Browser, bay: Bay, state: dict[str, Any]):
    there, let_go = await bay.afresh(), asyncio.Event()

    async def wait(_asked: Asked) -> bytes:
        await let_go.wait()
        return answer(503, headers={"Retry-After": "0"})

    there.depot.answers["GET /ask"] = wait
    run_id = await run_id_of(there, ASK, mode="async")
    await there.depot.arrived("GET /ask")
    async with opened(browser, f"{bay.served.origin}/console/runs/{run_id}", storage_state=state) as watched:
        page = watched.page
        await expect(page.get_by_role("region", name="What happens next")).to_contain_text(
            "Attempt 1 is under way: there is no answer yet."
        )
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.locator("#done")).to_have_text("The run is asked to stop before its next request.")
        await expect(page.get_by_role("region", name="What happens next")).to_contain_text("One that is under way is not undone.")
        let_go.set()
        await expect(page.locator(".head .status")).to_have_text("Cancelled")
        assert_quiet(watched, bay.served)
    there.depot.answers.clear()


async def test_who_was_told_is_told_with_every_attempt_and_told_again(browser: Browser, bay: Bay, state: dict[str, Any]):
    there = await bay.afresh()
    async with open_receiver() as taken, open_receiver(lambda _asked: refuse()) as refused, open_receiver(lambda _asked: gone()) as away:
        endpoint = await make_endpoint(bay.served, taken.url, "run.finished", title="Production")
        failing = await make_endpoint(bay.served, refused.url, "run.finished")
        run_id = await run_id_of(there, CREATE, callbackUrl=away.url)
        async with opened(browser, f"{bay.served.origin}/console/runs/{run_id}", storage_state=state) as watched:
            page = watched.page
            rows = page.get_by_role("region", name="Callbacks").locator(".rows > li")
            mine = rows.filter(has=page.get_by_role("link", name="Production"))
            later = rows.filter(has_text=refused.url)
            dead = rows.filter(has_text=away.url)
            await expect(mine.locator(".status")).to_have_text("Delivered")
            await expect(mine.get_by_role("link", name="Production")).to_have_attribute(
                "href", f"/console/settings/webhooks/{endpoint['endpointId']}"
            )
            await expect(dead.locator(".status")).to_have_text("Given up")
            await expect(later.locator(".status")).to_have_text("On its way")
            await expect(later.locator("tbody tr")).to_have_count(2)  # the third comes in five minutes
            await expect(later.locator("tbody tr").first).to_contain_text("The receiver answered with status 500.")
            refused.wire.handler = taken.wire.handler
            await later.get_by_role("button", name="Tell it now").click()
            await expect(page.locator("#done")).to_have_text("The receiver is told now. What comes of it shows under Callbacks.")
            await expect(later.locator(".status")).to_have_text("Delivered")
            await mine.get_by_role("button", name="Tell it again").click()
            await expect(mine.locator("tbody tr")).to_have_count(2)
            assert_quiet(watched, bay.served)
        await look_at(browser, bay.served, state, f"/console/runs/{run_id}", "run-told")
        for made in (endpoint, failing):
            await bay.served.call("DELETE", f"/event-endpoints/{made['endpointId']}")
    developer = await member(bay.served, "developer", "developer@kinds.example")
    text = (await developer.get(f"/console/runs/{run_id}")).content.decode()
    assert "To have a receiver told again is for owners." in text
    assert "Tell it" not in text


async def refuse() -> bytes:
    return answer(500)


async def gone() -> bytes:
    return answer(410)


async def test_what_a_run_was_asked_with_is_tried_again_and_copied(
    browser: Browser, bay: Bay, state: dict[str, Any], kinds: dict[str, str]
):
    path = f"{bay.served.origin}/console/runs/{kinds['keyed']}"
    async with opened(browser, path, storage_state=state, permissions=["clipboard-read", "clipboard-write"]) as watched:
        page = watched.page
        await page.get_by_role("button", name="Copy as curl: Request of attempt 1, 1").click()
        told = await copied(page)
        assert told.startswith("curl -X POST http://127.0.0.1:")
        assert "-H 'x-key: [secret]'" in told
        assert """--data-raw '{"name":"Lamp"}'""" in told
        await page.get_by_role("button", name="Copy: Input").click()
        await expect(page.locator("#said")).to_have_text("Copied.")
        assert json.loads(await copied(page)) == {"name": "Lamp"}
        await page.get_by_role("link", name="Open in Try it").click()
        await expect(page.get_by_role("textbox", name="Name", exact=False).first).to_have_value("Lamp")
