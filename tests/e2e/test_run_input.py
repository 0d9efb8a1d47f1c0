"""What a run was asked with, read back without its secrets; and the filters of lists that find a run by what went wrong or by its key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from e2e.depot import ASK, CREATE, PARTNER, SECRET, Bay, open_bay, open_depot
from e2e.served import answer

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def bay(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bay]:
    async with open_depot() as depot, open_bay(tmp_path_factory.mktemp("bay"), depot, runs_attempts=2) as found:
        yield found


async def made(bay: Bay, operation: int = CREATE, data: Any = None, **body: Any) -> str:
    told = (await bay.run(operation, data or {"name": "Lamp"}, **body)).json
    return str(told["data"]["runId"] if told["success"] else told["error"]["runId"])


async def listed(bay: Bay, query: str) -> list[str]:
    told = await bay.served.fetch("GET", f"/runs?{query}")
    assert told.status == 200, told.json
    return [run["runId"] for run in told.json["data"]]


async def test_the_input_is_what_was_asked(bay: Bay):
    there = await bay.afresh()
    run_id = await made(there, data={"name": "Lamp", "price": 12.5, "rows": [{"quantity": 2}]})
    status, _headers, found = await bay.served.call("GET", f"/runs/{run_id}/input")

    assert status == 200
    assert found["data"] == {
        "credentialData": {"0": {"value": there.connection}},
        "runnerData": {"name": "Lamp", "price": 12.5, "rows": [{"quantity": 2}]},
    }


async def test_a_run_that_waits_says_what_it_was_asked_with(bay: Bay):
    later = bay.served.runtime.now_ms() // 1000 + 3600
    run_id = await made(bay, mode="async", notBefore=later)

    assert (await bay.served.call("GET", f"/runs/{run_id}/input"))[2]["data"]["runnerData"] == {"name": "Lamp"}


async def test_no_secret_is_in_it(bay: Bay, monkeypatch: pytest.MonkeyPatch):
    run_id = await made(bay, data={"name": f"Lamp of {SECRET}", "extra": {"password": "typed by hand", "size": 1}, "tags": ["a"]})
    found = (await bay.served.fetch("GET", f"/runs/{run_id}/input")).json["data"]["runnerData"]
    assert found == {"name": "Lamp of [secret]", "extra": {"password": "[secret]", "size": 1}, "tags": ["a"]}

    desk = bay.served.services.engine.desk
    program = await desk.program(1, CREATE)
    monkeypatch.setitem(
        desk._programs, CREATE, replace(program, hidden=frozenset({"code"}))
    )  # as if the partner's folder marked this field
    parts = {"rows": [{"quantity": 2, "parts": [{"code": "hidden-code-7"}]}]}
    run_id = await made(bay, data={"name": "Lamp for hidden-code-7", **parts})
    found = (await bay.served.fetch("GET", f"/runs/{run_id}/input")).json["data"]["runnerData"]
    assert found == {"name": "Lamp for [secret]", "rows": [{"quantity": 2, "parts": [{"code": "[secret]"}]}]}


async def test_a_request_of_ones_own_shows_no_header_that_is_a_secret(bay: Bay):
    there = await bay.afresh()
    body = {
        "method": "POST",
        "headers": {"X-Auth-Token": "abc-123-def", "X-Trace": "7"},
        "query": {"api_key": "k-9-8-7", "page": "2"},
        "json": {"a": 1},
    }
    told = await bay.served.fetch("POST", f"/proxy/{there.connection}/things", body)
    run_id = told.json["data"]["runId"]
    found = await bay.served.fetch("GET", f"/runs/{run_id}/input")

    assert found.json["data"]["runnerData"]["headers"] == {"X-Auth-Token": "[secret]", "X-Trace": "7"}
    assert found.json["data"]["runnerData"]["query"] == {"api_key": "[secret]", "page": "2"}


async def test_what_is_not_kept_and_what_is_not_ones_own_is_not_there(bay: Bay):
    run_id = await made(bay)
    await bay.served.second_account()
    other = await bay.served.session("other@example.com")
    assert (await bay.served.call("GET", f"/runs/{run_id}/input", token=other))[0] == 404
    await bay.served.runtime.repo.runs.strip_ended(2**52, 100_000)
    status, _headers, found = await bay.served.call("GET", f"/runs/{run_id}/input")
    assert (status, found["error"]["message"]) == (404, "The input of this run is no longer kept.")


async def test_runs_are_listed_by_their_error(bay: Bay):
    there = await bay.afresh()
    there.depot.answers["POST /things"] = answer(422, {"message": "no"})
    refused = await made(there)
    there.depot.answers.clear()
    fine = await made(there)
    found = await listed(there, f"credentialId={there.connection}&error=partner_error")
    assert found == [refused]
    assert fine not in await listed(there, "error=partner_error")
    assert refused in await listed(there, f"error=partner_error&status=failed&partnerId={PARTNER}")
    status, _headers, told = await bay.served.call("GET", "/runs?error=none")
    assert (status, told["error"]["fields"][0]["code"]) == (422, "unknown_option")


async def test_the_run_of_a_key_is_found_and_no_other(bay: Bay):
    there = await bay.afresh()
    run_id = await made(there, key="order-1")
    await made(there, key="order-2")
    assert await listed(there, "idempotencyKey=order-1") == [run_id]
    assert await listed(there, "idempotencyKey=order-1&status=failed") == []
    assert await listed(there, "idempotencyKey=order-3") == []
    batch = {"triggerActionId": ASK, "credentialData": {"0": {"value": there.connection}}, "runs": [{"runnerData": {}}]}
    assert (await bay.served.call("POST", "/runs/batch", batch, headers={"Idempotency-Key": "batch-1"}))[0] < 300
    assert await listed(there, "idempotencyKey=batch-1") == []


async def test_a_run_behind_one_that_is_held_back_says_until_when(bay: Bay):
    there = await bay.afresh()
    there.depot.answers["GET /ask"] = answer(429, headers={"Retry-After": "1800"})
    refused = await made(there, ASK, {"q": "?"}, mode="async")
    told = await there.until(refused, "waiting")
    assert (told["next"]["waitsFor"], told["next"]["at"]) == ("time", told["nextAttemptAt"])
    held = await made(there, ASK, {"q": "?"}, mode="async")
    told = await there.until(held, "waiting")
    assert told["next"]["waitsFor"] == "partner"
    behind = await made(there, ASK, {"q": "?"}, mode="async")
    last = await there.read(behind)
    assert (last["status"], last["next"]["waitsFor"]) == ("queued", "partner")
    assert last["next"]["at"] == told["next"]["at"]
    assert last["next"]["note"].startswith("It waits behind other runs")
