"""Runs of every kind in a real browser: what ended in each way, what waits, and who was told of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser

from browser.console import look_at, signed_in_state
from browser.watched import opened
from e2e.depot import ASK, CREATE, SECRET, Bay, open_bay, open_depot
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
    async with open_depot() as depot, open_bay(
        tmp_path_factory.mktemp("bay"), depot, runs_attempts=2, allow_networks="127.0.0.1/32"
    ) as found:
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
