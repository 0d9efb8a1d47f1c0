"""``Idempotency-Key``: one effect and one answer, whoever repeats it and whenever."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from e2e.depot import CREATE, PARTNER, PUT, SECRET, Bay, open_bay, open_depot
from e2e.served import Asked, Reply, answer

pytestmark = pytest.mark.anyio

LAMP = {"name": "Lamp"}


@pytest.fixture(scope="module")
async def shared(anyio_backend, tmp_path_factory):
    shares = {"runs_partner_share": 1, "runs_connection_share": 1}  # a crowd of repeats is let in whole: it is the key that makes them one
    async with open_depot() as depot, open_bay(tmp_path_factory.mktemp("bay"), depot, **shares) as found:
        yield found


@pytest.fixture
async def bay(shared):
    return await shared.afresh()


def _without_request(told: Reply) -> Any:
    content = told.json
    content.get("error", {}).pop("requestId", None)
    return content


async def test_a_repeated_success_is_the_same_answer_and_no_second_arrival(bay: Bay):
    first = await bay.run(CREATE, LAMP, key="one", raw=True)
    again = await bay.run(CREATE, LAMP, key="one", raw=True)
    assert (first.status, first.json["data"]["raw"]["data"]["name"]) == (200, "Lamp")
    assert (again.status, again.json) == (200, first.json)
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert bay.depot.count("POST /things") == 1


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_a_repeated_failure_is_the_same_error_and_no_second_arrival(bay: Bay, status: int):
    bay.depot.answers["POST /things"] = answer(status, {"message": "no"})
    first = await bay.run(CREATE, LAMP, key=f"failure {status}")
    again = await bay.run(CREATE, LAMP, key=f"failure {status}")
    assert (again.status, _without_request(again)) == (first.status, _without_request(first))
    assert again.headers["idempotent-replayed"] == "true"
    assert bay.depot.count("POST /things") == 1


async def test_a_repeated_async_call_is_the_same_run(bay: Bay):
    first = await bay.run(CREATE, LAMP, mode="async", key="queued")
    again = await bay.run(CREATE, LAMP, mode="async", key="queued")
    assert (first.status, again.status, again.headers["idempotent-replayed"]) == (202, 202, "true")
    assert again.json["data"]["runId"] == first.json["data"]["runId"]
    assert (await bay.until(first.json["data"]["runId"]))["status"] == "succeeded"
    late = await bay.run(CREATE, LAMP, mode="async", key="queued")
    assert (late.status, late.json["data"]["runId"]) == (202, first.json["data"]["runId"])
    assert bay.depot.count("POST /things") == 1


async def test_the_order_of_keys_does_not_make_another_body(bay: Bay):
    first = await bay.run(CREATE, {"name": "Lamp", "size": 3}, key="order")
    again = await bay.run(CREATE, {"size": 3, "name": "Lamp"}, key="order")
    assert again.json == first.json


async def test_a_repeat_while_the_first_runs_is_told_so(bay: Bay):
    go_on = asyncio.Event()

    async def late(_asked: Asked) -> bytes:
        await go_on.wait()
        return answer(201, {"data": {"id": 1}})

    bay.depot.answers["POST /things"] = late
    first = asyncio.create_task(bay.run(CREATE, LAMP, key="slow"))
    await bay.depot.arrived("POST /things")
    again = await bay.run(CREATE, LAMP, key="slow")
    assert (again.status, again.json["error"]["code"], again.json["error"]["retryable"]) == (409, "idempotency_in_progress", True)
    go_on.set()
    assert (await first).status == 200
    assert (await bay.run(CREATE, LAMP, key="slow")).json == (await first).json
    assert bay.depot.count("POST /things") == 1


async def test_another_body_operation_or_mode_under_the_same_key_is_refused(bay: Bay):
    await bay.run(CREATE, LAMP, key="mine")
    for told in (
        await bay.run(CREATE, {"name": "Chair"}, key="mine"),
        await bay.run(PUT, {"id": "1", "name": "Lamp"}, key="mine"),
        await bay.run(CREATE, LAMP, key="mine", mode="async"),
        await bay.run(CREATE, LAMP, key="mine", raw=True),
        await bay.run(CREATE, LAMP, key="mine", metadata={"order": 1}),
    ):
        assert (told.status, told.json["error"]["code"]) == (422, "idempotency_mismatch")
    assert len(bay.depot.wire.asked) == 1


async def test_many_repeats_at_once_arrive_once(bay: Bay):
    told = await asyncio.gather(*(bay.run(CREATE, LAMP, key="crowd") for _number in range(1_000)))
    assert {reply.status for reply in told} <= {200, 409}
    assert len({reply.json["data"]["runId"] for reply in told if reply.status == 200}) == 1
    assert {reply.json["error"]["code"] for reply in told if reply.status == 409} <= {"idempotency_in_progress"}
    assert bay.depot.count("POST /things") == 1


async def test_many_async_repeats_at_once_are_one_run(bay: Bay):
    told = await asyncio.gather(*(bay.run(CREATE, LAMP, mode="async", key="async crowd") for _number in range(1_000)))
    assert {reply.status for reply in told} == {202}
    (run_id,) = {reply.json["data"]["runId"] for reply in told}
    assert sum("idempotent-replayed" not in reply.headers for reply in told) == 1
    assert (await bay.until(run_id))["status"] == "succeeded"
    assert bay.depot.count("POST /things") == 1


async def test_accounts_do_not_share_keys(bay: Bay):
    mine = await bay.run(CREATE, LAMP, key="shared")
    token = await bay.served.second_account()
    connection = await bay.served.connect(PARTNER, {"key": SECRET}, token=token)
    body = {"credentialData": {"0": {"value": connection}}, "runnerData": LAMP}
    path = f"/partners/trigger-actions/{CREATE}/run/sync"
    theirs = await bay.served.fetch("POST", path, body, token=token, headers={"Idempotency-Key": "shared"})
    assert (theirs.status, "idempotent-replayed" in theirs.headers) == (200, False)
    assert theirs.json["data"]["runId"] != mine.json["data"]["runId"]
    assert bay.depot.count("POST /things") == 2


async def test_a_dry_run_does_not_use_up_a_key(bay: Bay):
    assert (await bay.run(CREATE, {"name": "Other"}, key="dry", dryRun=True)).status == 200
    assert (await bay.run(CREATE, LAMP, key="dry")).status == 200
    assert bay.depot.count("POST /things") == 1


async def test_an_input_with_faults_does_not_use_up_a_key(bay: Bay):
    before = await bay.count_runs()
    assert (await bay.run(CREATE, {"size": "many"}, key="later")).status == 422
    assert await bay.count_runs() == before
    assert (await bay.run(CREATE, LAMP, key="later")).status == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9"])
async def test_a_key_that_is_none_is_refused(bay: Bay, key: str):
    told = await bay.run(CREATE, LAMP, key=key)
    assert (told.status, told.json["error"]["fields"][0]["path"]) == (422, "Idempotency-Key")
    assert bay.depot.wire.asked == []


async def test_a_key_outlives_a_restart(tmp_path):
    async with open_depot() as depot:
        async with open_bay(tmp_path, depot) as bay:
            connection = bay.connection
            first = await bay.run(CREATE, LAMP, key="kept")
            queued = await bay.run(CREATE, LAMP, mode="async", key="kept too")
            await bay.until(queued.json["data"]["runId"])
        async with open_bay(tmp_path, depot) as bay:
            bay.connection = connection
            again = await bay.run(CREATE, LAMP, key="kept")
            assert (again.json, again.headers["idempotent-replayed"]) == (first.json, "true")
            late = await bay.run(CREATE, LAMP, mode="async", key="kept too")
            assert late.json["data"]["runId"] == queued.json["data"]["runId"]
        assert depot.count("POST /things") == 2


async def test_a_key_is_forgotten_after_its_time(tmp_path):
    now = [datetime.now(UTC)]
    async with open_depot() as depot, open_bay(tmp_path, depot, clock=lambda: now[0], runs_idempotency_hours=2) as bay:
        first = await bay.run(CREATE, LAMP, key="old")
        now[0] += timedelta(hours=1, minutes=59)
        assert (await bay.run(CREATE, LAMP, key="old")).json == first.json
        now[0] += timedelta(minutes=2)
        late = await bay.run(CREATE, {"name": "Chair"}, key="old")
        assert (late.status, "idempotent-replayed" in late.headers) == (200, False)
        assert depot.count("POST /things") == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('{"name": "Lamp", "price": 1.50}', '{"price":15e-1,"name":"Lamp"}'),
        ('{"name": "Lamp", "size": 10}', '{"name": "Lamp", "size": 1.0e1}'),
        ('{"name": "Lamp", "price": -0.0}', '{"name": "Lamp", "price": 0}'),
        ('{"name": "L\\u0061mp", "extra": {"a": [1, {"b": 2.0}]}}', '{"extra": {"a": [1.0, {"b": 2}]},  "name": "Lamp"}'),
        ('{"name": "Lamp", "price": 1e30}', '{"name": "Lamp", "price": 1000000000000000000000000000000}'),
    ],
)
async def test_the_same_body_written_in_another_way_is_the_same_body(bay: Bay, first: str, second: str):
    told = []
    for text in (first, second):
        content = f'{{"credentialData": {{"0": {bay.connection}}}, "runnerData": {text}}}'.encode()
        path = f"/partners/trigger-actions/{CREATE}/run/sync"
        told.append(await bay.served.fetch("POST", path, content=content, headers={"Idempotency-Key": f"{bay.connection}"}))
    assert [reply.status for reply in told] == [200, 200]
    assert (told[1].json, told[1].headers["idempotent-replayed"]) == (told[0].json, "true")


@pytest.mark.parametrize(
    "second", ['{"name": "Lamp", "size": true}', '{"name": "Lamp", "size": "10"}', '{"name": "Lamp", "size": 11}', '{"name": "Lamp"}']
)
async def test_another_value_is_another_body(bay: Bay, second: str):
    told = []
    for text in ('{"name": "Lamp", "size": 10}', second):
        content = f'{{"credentialData": {{"0": {bay.connection}}}, "runnerData": {text}}}'.encode()
        path = f"/partners/trigger-actions/{CREATE}/run/sync"
        told.append(await bay.served.fetch("POST", path, content=content, headers={"Idempotency-Key": f"{bay.connection}"}))
    assert (told[1].status, told[1].json["error"]["code"]) == (422, "idempotency_mismatch")
