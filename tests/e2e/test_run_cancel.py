"""Cancelling runs: at once where nothing is under way, honestly where something is; and running the input of one that ended anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from e2e.depot import ASK, CREATE, PARTNER, PUT, RESERVE, SECRET, STEPS, Bay, open_bay, open_depot
from e2e.killable import running_process
from e2e.served import Asked, Reply, answer

pytestmark = pytest.mark.anyio

LAMP = {"name": "Lamp"}


@pytest.fixture(scope="module")
async def shared(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bay]:
    async with open_depot() as depot, open_bay(tmp_path_factory.mktemp("bay"), depot) as found:
        yield found


@pytest.fixture
async def bay(shared: Bay) -> Bay:
    return await shared.afresh()


@pytest.fixture
def gate() -> Iterator[asyncio.Event]:
    """What a partner's answer waits for."""
    event = asyncio.Event()
    yield event
    event.set()


def _behind(gate: asyncio.Event, told: bytes):
    async def late(_asked: Asked) -> bytes:
        await gate.wait()
        return told

    return late


async def _cancel(bay: Bay, run_id: str) -> Reply:
    return await bay.served.fetch("POST", f"/runs/{run_id}/cancel")


async def _queued(bay: Bay, operation: int, data: object = None, **body: object) -> str:
    told = await bay.run(operation, data, mode="async", **body)
    assert told.status == 202, told.json
    return str(told.json["data"]["runId"])


async def test_a_run_that_has_not_begun_is_cancelled_at_once_and_never_sent(bay: Bay):
    run_id = await _queued(bay, CREATE, LAMP, notBefore=int(time.time()) + 3_600)
    told = await _cancel(bay, run_id)
    assert (told.status, told.json["data"]["status"], told.json["data"]["attempts"]) == (200, "cancelled", 0)
    run = await bay.read(run_id)
    assert (run["status"], run["error"]["code"], run["next"]["action"], run["startedAt"]) == ("cancelled", "cancelled", "nothing", None)
    assert run["cancelRequestedAt"] == run["finishedAt"]
    assert 0 <= run["timings"]["waitMs"] < 60_000
    assert bay.depot.count("POST /things") == 0


async def test_a_run_that_waits_is_cancelled_at_once(bay: Bay):
    bay.depot.answers["POST /things"] = answer(429, headers={"Retry-After": "600"})
    run_id = await _queued(bay, CREATE, LAMP)
    await bay.until(run_id, "waiting")
    told = await _cancel(bay, run_id)
    assert (told.status, told.json["data"]["status"]) == (200, "cancelled")
    run = await bay.read(run_id)
    assert (run["status"], run["attempts"], "stands" in run["error"]["message"]) == ("cancelled", 1, True)
    assert len(await bay.attempts(run_id)) == 1
    assert bay.depot.count("POST /things") == 1


async def test_a_request_under_way_is_not_pretended_undone(bay: Bay, gate: asyncio.Event):
    bay.depot.answers["POST /things"] = _behind(gate, answer(201, {"data": {"id": 9}}))
    run_id = await _queued(bay, CREATE, LAMP)
    await bay.depot.arrived("POST /things")
    told = await _cancel(bay, run_id)
    assert (told.status, told.json["data"]["status"], told.json["data"]["next"]["action"]) == (202, "running", "stop")
    assert (await bay.read(run_id))["cancelRequestedAt"] is not None
    gate.set()
    run = await bay.until(run_id)
    assert (run["status"], run["result"]) == ("succeeded", {"thing_id": 9})
    assert run["cancelRequestedAt"] is not None


async def test_a_run_stops_between_its_requests_and_says_that_the_first_stands(bay: Bay, gate: asyncio.Event):
    bay.depot.answers["POST /reserve"] = _behind(gate, answer(200, {"id": 5}))
    run_id = await _queued(bay, RESERVE)
    await bay.depot.arrived("POST /reserve")
    assert (await _cancel(bay, run_id)).status == 202
    gate.set()
    run = await bay.until(run_id)
    assert (run["status"], run["error"]["code"]) == ("cancelled", "cancelled")
    assert "stands" in run["error"]["message"]
    (attempt,) = await bay.attempts(run_id)
    assert len(attempt["exchanges"]) == 1
    assert bay.depot.count("POST /reserve/5/confirm") == 0


async def test_a_run_that_was_asked_to_stop_makes_no_further_attempt(bay: Bay, gate: asyncio.Event):
    bay.depot.answers["PUT /things/7"] = _behind(gate, answer(503, headers={"Retry-After": "0.05"}))
    run_id = await _queued(bay, PUT, {"id": "7"})
    await bay.depot.arrived("PUT /things/7")
    await _cancel(bay, run_id)
    gate.set()
    run = await bay.until(run_id)
    assert (run["status"], run["attempts"], bay.depot.count("PUT /things/7")) == ("cancelled", 1, 1)


async def test_a_doubt_stays_a_doubt_although_the_run_was_asked_to_stop(bay: Bay, gate: asyncio.Event):
    bay.depot.answers["POST /things"] = _behind(gate, answer(500))
    run_id = await _queued(bay, CREATE, LAMP)
    await bay.depot.arrived("POST /things")
    await _cancel(bay, run_id)
    gate.set()
    assert (await bay.until(run_id))["status"] == "uncertain"


async def test_a_synchronous_caller_is_told_that_the_run_was_cancelled(bay: Bay, gate: asyncio.Event):
    bay.depot.answers["GET /find"] = _behind(gate, answer(200, {"id": 5}))
    caller = asyncio.create_task(bay.run(STEPS, LAMP))
    await bay.depot.arrived("GET /find")
    (run,) = (await bay.served.fetch("GET", f"/runs?credentialId={bay.connection}")).json["data"]
    assert (await _cancel(bay, run["runId"])).status == 202
    gate.set()
    told = await caller
    assert (told.status, told.json["error"]["code"], told.json["error"]["runId"]) == (409, "cancelled", run["runId"])
    assert bay.depot.count("POST /things/5/touch") == 0
    assert (await bay.read(run["runId"]))["status"] == "cancelled"


@pytest.mark.parametrize(("told", "status"), [(answer(200, {"answer": "yes"}), "succeeded"), (answer(400), "failed")])
async def test_a_run_that_ended_is_not_cancelled_and_its_status_is_said(bay: Bay, told: bytes, status: str):
    bay.depot.answers["GET /ask"] = told
    run_id = await _queued(bay, ASK)
    assert (await bay.until(run_id))["status"] == status
    refused = await _cancel(bay, run_id)
    assert (refused.status, refused.json["error"]["code"]) == (409, "conflict")
    assert status in refused.json["error"]["message"]
    assert (await bay.read(run_id))["cancelRequestedAt"] is None


async def test_a_run_that_was_cancelled_is_not_cancelled_again(bay: Bay):
    run_id = await _queued(bay, CREATE, LAMP, notBefore=int(time.time()) + 3_600)
    told = await asyncio.gather(*(_cancel(bay, run_id) for _number in range(10)))
    assert sorted(reply.status for reply in told) == [200] + [409] * 9


async def test_a_run_is_cancelled_while_many_workers_reach_for_it(bay: Bay):
    ids = [await _queued(bay, PUT, {"id": "7"}) for _number in range(20)]
    told = await asyncio.gather(*(_cancel(bay, run_id) for run_id in ids))
    for run_id, reply in zip(ids, told, strict=True):
        run = await bay.until(run_id)
        assert run["status"] == "cancelled" if reply.status == 200 else run["status"] in {"succeeded", "cancelled"}
    attempts = [await bay.attempts(run_id) for run_id in ids]
    assert bay.depot.count("PUT /things/7") == sum(map(len, attempts))


async def test_a_run_of_another_process_stops_too(tmp_path):
    gate = asyncio.Event()
    async with open_depot() as depot, running_process(tmp_path, depot) as first:
        depot.answers["POST /reserve"] = _behind(gate, answer(200, {"id": 5}))
        bay = first.bay(depot, await first.served.connect(PARTNER, {"key": SECRET}))
        run_id = await _queued(bay, RESERVE)
        await depot.arrived("POST /reserve")
        async with running_process(tmp_path, depot, token=first.served.token) as second:
            told = await second.served.fetch("POST", f"/runs/{run_id}/cancel")
            assert (told.status, told.json["data"]["status"]) == (202, "running")
            await asyncio.sleep(0.6)
            gate.set()
            run = await second.bay(depot, bay.connection).until(run_id)
            assert (run["status"], depot.count("POST /reserve/5/confirm")) == ("cancelled", 0)


async def test_a_replay_is_a_fresh_run_of_the_same_input(bay: Bay):
    bay.depot.answers["POST /things"] = answer(422, {"field": "title", "code": "taken", "message": "There is a Lamp"})
    old = await _queued(bay, CREATE, LAMP, metadata={"order": 7}, externalUserId="u7", priority="low", raw=True)
    assert (await bay.until(old))["status"] == "failed"
    bay.depot.answers.clear()
    told = await bay.served.fetch("POST", f"/runs/{old}/replay", headers={"Idempotency-Key": "again"})
    assert (told.status, told.json["data"]["status"]) == (202, "queued")
    run = await bay.until(told.json["data"]["runId"])
    assert run["runId"] != old
    facts = ("status", "replayOf", "metadata", "externalUserId", "priority", "mode")
    assert tuple(run[name] for name in facts) == ("succeeded", old, {"order": 7}, "u7", "low", "async")
    assert (run["result"]["name"], run["raw"]["data"]["name"]) == ("Lamp", "Lamp")
    again = await bay.served.fetch("POST", f"/runs/{old}/replay", headers={"Idempotency-Key": "again"})
    assert (again.status, again.json["data"]["runId"], again.headers["idempotent-replayed"]) == (202, run["runId"], "true")
    assert (await bay.read(old))["status"] == "failed"


async def test_a_synchronous_run_is_replayed_in_the_background(bay: Bay):
    first = (await bay.run(CREATE, LAMP)).json["data"]["runId"]
    told = await bay.served.fetch("POST", f"/runs/{first}/replay")
    assert (await bay.until(told.json["data"]["runId"]))["mode"] == "async"
    assert bay.depot.count("POST /things") == 2


async def test_a_run_that_has_not_ended_is_not_replayed(bay: Bay):
    run_id = await _queued(bay, CREATE, LAMP, notBefore=int(time.time()) + 3_600)
    told = await bay.served.fetch("POST", f"/runs/{run_id}/replay")
    assert (told.status, told.json["error"]["code"], "queued" in told.json["error"]["message"]) == (409, "conflict", True)


async def test_a_replay_is_checked_anew(bay: Bay):
    run_id = (await bay.run(CREATE, LAMP)).json["data"]["runId"]
    await bay.served.fetch("DELETE", f"/credentials/{bay.connection}")
    told = await bay.served.fetch("POST", f"/runs/{run_id}/replay")
    assert (told.status, told.json["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("tail", ["cancel", "replay"])
async def test_a_run_that_there_is_not_is_neither_cancelled_nor_replayed(bay: Bay, tail: str):
    told = await bay.served.fetch("POST", f"/runs/run_{'0' * 32}/{tail}")
    assert (told.status, told.json["error"]["code"]) == (404, "not_found")
    refused = await bay.served.fetch("POST", f"/runs/run_{'0' * 32}/{tail}", {"force": True})
    assert (refused.status, refused.json["error"]["fields"][0]["path"]) == (422, "force")
