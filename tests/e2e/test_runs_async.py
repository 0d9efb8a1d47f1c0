"""Asynchronous runs: accepted once durable, worked on in order, in bounds, and ended by what they find."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from e2e.depot import ASK, CREATE, NEW, PARTNER, PUT, SECRET, Bay, depot_catalog, open_bay, open_depot
from e2e.served import Asked, answer, running_server

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def shared(anyio_backend, tmp_path_factory):
    async with open_depot() as depot, open_bay(tmp_path_factory.mktemp("bay"), depot) as found:
        yield found


@pytest.fixture
async def bay(shared):
    return await shared.afresh()


async def test_an_accepted_run_is_queued_and_its_address_tells_its_end(bay: Bay):
    told = await bay.run(CREATE, {"name": "Lamp"}, mode="async", metadata={"order": 7})
    assert (told.status, told.json["success"], told.json["data"]["status"]) == (202, True, "queued")
    url = told.json["data"]["statusUrl"]
    assert url == f"{bay.served.origin}/runs/{told.json['data']['runId']}"
    assert told.headers["location"] == f"/runs/{told.json['data']['runId']}"
    run = await bay.until(told.json["data"]["runId"])
    assert (run["status"], run["mode"], run["result"], run["metadata"]) == (
        "succeeded",
        "async",
        {"thing_id": 1, "name": "Lamp"},
        {"order": 7},
    )
    assert bay.depot.count("POST /things") == 1


async def test_a_trigger_runs_asynchronously_too(bay: Bay):
    bay.depot.answers["GET /things"] = answer(200, {"data": [{"id": 2, "at": 1_700_000_000}, {"id": 1, "at": 1_600_000_000}]})
    told = await bay.run(NEW, mode="async", window={"from": 1_650_000_000}, limit=5, raw=True)
    run = await bay.until(told.json["data"]["runId"])
    assert run["result"] == {"items": [{"id": 2, "at": 1_700_000_000}], "nextCursor": None, "hasMore": False}
    assert run["raw"] == [{"id": 2, "at": 1_700_000_000}]


async def test_a_refusal_ends_an_asynchronous_run_with_the_same_error_as_a_synchronous_one(bay: Bay):
    bay.depot.answers["POST /things"] = answer(422, {"field": "title", "code": "taken", "message": "There is a Lamp"})
    sync = (await bay.run(CREATE, {"name": "Lamp"})).json["error"]
    run = await bay.until((await bay.run(CREATE, {"name": "Lamp"}, mode="async")).json["data"]["runId"])
    assert run["error"] == {name: value for name, value in sync.items() if name not in {"requestId", "runId"}}


async def test_a_connection_that_is_deleted_meanwhile_ends_the_run_before_anything_is_sent(tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot, runs_concurrency=1) as bay:
        gate = asyncio.Event()

        async def late(_asked: Asked) -> bytes:
            await gate.wait()
            return answer(200, {"answer": "yes"})

        depot.answers["GET /ask"] = late
        await bay.run(ASK, mode="async")
        await depot.arrived("GET /ask")
        waiting = (await bay.run(CREATE, {"name": "Lamp"}, mode="async")).json["data"]["runId"]
        assert (await bay.served.fetch("DELETE", f"/credentials/{bay.connection}")).status == 200
        gate.set()
        run = await bay.until(waiting)
        assert (run["status"], run["error"]["code"], depot.count("POST /things")) == ("failed", "not_found", 0)


async def test_lists_that_the_partner_cannot_give_make_an_accepted_run_wait(bay: Bay):
    works = answer(200, {"data": [{"id": 7, "name": "Acme works"}]})
    told = iter([works, answer(503, headers={"Retry-After": "1"})])
    bay.depot.answers["GET /makers"] = lambda _asked: next(told, works)
    later = int(time.time()) + 3  # what is worked on at once is not looked at again
    asked = {"name": "Lamp", "maker": "Acme works"}
    accepted = (await bay.run(CREATE, asked, mode="async", notBefore=later)).json["data"]["runId"]
    waiting = await bay.until(accepted, "waiting")
    assert (waiting["error"]["code"], waiting["attempts"]) == ("partner_unavailable", 1)
    run = await bay.until(accepted)
    assert (run["status"], run["attempts"], bay.depot.count("POST /things")) == ("succeeded", 2, 1)


async def test_no_more_than_the_set_number_of_runs_is_worked_on_at_once(tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot, runs_concurrency=3, runs_connection_share=1, runs_partner_share=1) as bay:
        under_way, most = 0, 0

        async def busy(asked: Asked) -> bytes:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.02)
            under_way -= 1
            return answer(200, {"data": {"name": json.loads(asked.body)["name"]}})

        depot.answers["*"] = busy
        told = await asyncio.gather(*(bay.run(PUT, {"id": "7", "name": f"n{number}"}, mode="async") for number in range(30)))
        for reply in told:
            assert (await bay.until(reply.json["data"]["runId"]))["status"] == "succeeded"
        assert most == 3


async def test_a_full_queue_refuses_early_and_takes_runs_again_later(tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot, runs_concurrency=1, runs_queue_limit=3) as bay:
        gate = asyncio.Event()

        async def late(_asked: Asked) -> bytes:
            await gate.wait()
            return answer(200, {"data": {}})

        depot.answers["*"] = late
        told = [await bay.run(PUT, {"id": "7"}, mode="async", key=f"key {number}") for number in range(8)]
        refused = [reply for reply in told if reply.status != 202]
        assert refused
        for reply in refused:
            assert (reply.status, reply.json["error"]["code"], int(reply.headers["retry-after"]) >= 1) == (503, "overloaded", True)
        gate.set()
        for reply in told:
            if reply.status == 202:
                assert (await bay.until(reply.json["data"]["runId"]))["status"] == "succeeded"
        assert await bay.count_runs() == len(told) - len(refused)
        async with asyncio.timeout(60):  # how many wait is counted about once a second
            while (again := await bay.run(PUT, {"id": "7"}, mode="async", key="key 7")).status == 503:  # noqa: ASYNC110  nothing else tells of it
                await asyncio.sleep(0.05)
        assert again.status == 202


@pytest.mark.parametrize("setting", ["runs_queue_limit", "runs_queue_limit_per_account"])
async def test_callers_who_come_at_once_do_not_pass_the_bound_of_the_queue(tmp_path, setting):
    async with open_depot() as depot, open_bay(tmp_path, depot, **{setting: 20}) as bay:
        later = int(time.time()) + 3600
        lot = {
            "triggerActionId": PUT,
            "credentialData": {"0": bay.connection},
            "runs": [{"runnerData": {"id": "7"}, "notBefore": later}] * 7,
        }
        told = await asyncio.gather(
            *(bay.run(PUT, {"id": "7"}, mode="async", notBefore=later) for _run in range(60)),
            *(bay.served.fetch("POST", "/runs/batch", lot) for _batch in range(10)),
        )
        assert {reply.status for reply in told} == {202, 503}
        accepted = sum(reply.json["data"].get("accepted", 1) for reply in told if reply.status == 202)
        assert accepted == await bay.count_runs() <= 20
        async with asyncio.timeout(60):  # how many wait is counted about once a second
            while accepted < 20:
                told = [(await bay.run(PUT, {"id": "7"}, mode="async", notBefore=later)).status for _run in range(21 - accepted)]
                accepted += told.count(202)
                await asyncio.sleep(0.05)
        assert accepted == await bay.count_runs() == 20


async def test_an_account_whose_runs_fill_its_part_of_the_queue_leaves_room_for_others(tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot, runs_queue_limit_per_account=3) as bay:
        later = int(time.time()) + 3600
        told = [await bay.run(PUT, {"id": "7"}, mode="async", notBefore=later) for _run in range(5)]
        assert [reply.status for reply in told] == [202, 202, 202, 503, 503]
        assert "this account" in told[-1].json["error"]["message"]
        batch = {"triggerActionId": PUT, "credentialData": {"0": bay.connection}, "runs": [{"runnerData": {"id": "7"}}]}
        assert (await bay.served.fetch("POST", "/runs/batch", batch)).status == 503
        assert (await bay.run(PUT, {"id": "7"})).status == 200
        token = await bay.served.second_account()
        theirs = await bay.served.connect(PARTNER, {"key": SECRET}, token=token)
        asked = {"credentialData": {"0": {"value": theirs}}, "runnerData": {"id": "7"}}
        path = f"/partners/trigger-actions/{PUT}/run/async"
        assert (await bay.served.fetch("POST", path, asked, token=token)).status == 202
        assert (await bay.served.fetch("POST", f"/runs/{told[0].json['data']['runId']}/cancel")).status == 200
        async with asyncio.timeout(60):  # how many wait is counted about once a second
            while (await bay.run(PUT, {"id": "7"}, mode="async")).status != 202:  # noqa: ASYNC110  nothing else tells of it
                await asyncio.sleep(0.1)


async def test_synchronous_runs_beyond_the_limit_are_refused_before_anything_is_kept(tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot, runs_sync_limit=2, runs_connection_share=1, runs_partner_share=1) as bay:
        gate = asyncio.Event()

        async def late(_asked: Asked) -> bytes:
            await gate.wait()
            return answer(201, {"data": {}})

        depot.answers["POST /things"] = late
        callers = [asyncio.create_task(bay.run(CREATE, {"name": f"n{number}"})) for number in range(2)]
        await depot.arrived("POST /things", 2)
        told = await bay.run(CREATE, {"name": "third"})
        assert (told.status, told.json["error"]["code"]) == (503, "overloaded")
        assert await bay.count_runs() == 2
        gate.set()
        assert [reply.status for reply in await asyncio.gather(*callers)] == [200, 200]
        assert (await bay.run(CREATE, {"name": "fourth"})).status == 200


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_caller_who_names_a_time_gives_it_to_the_call_as_well(tmp_path, mode):
    async def late(_asked):
        await asyncio.sleep(1.2)
        return answer(200, {"data": {"name": "Lamp"}})

    settings = {"partner_timeout": 0.6, "runs_attempts": 1}
    async with (
        open_depot() as depot,
        running_server(tmp_path, catalog=depot_catalog(), partner_depot_base_url=depot.origin, **settings) as served,
    ):
        bay = Bay(served=served, depot=depot, connection=await served.connect(PARTNER, {"key": SECRET}, verify=False))
        depot.answers["PUT /things/7"] = late
        ends = []
        for named in ({}, {"timeoutMs": 60_000 if mode == "sync" else 7 * 86_400_000}):
            told = (await bay.run(PUT, {"id": "7"}, mode=mode, **named)).json
            ends.append((await bay.until((told.get("data") or told["error"])["runId"]))["status"])
        assert ends == ["failed", "succeeded"]


async def test_a_run_does_not_start_before_its_time_and_says_when_it_will(tmp_path):
    now = [datetime.now(UTC)]
    async with open_depot() as depot, open_bay(tmp_path, depot, clock=lambda: now[0]) as bay:
        start = now[0] + timedelta(hours=2)
        ids = [
            (await bay.run(PUT, {"id": "7"}, mode="async", notBefore=told, timeoutMs=60_000)).json["data"]["runId"]
            for told in (int(start.timestamp()), start.astimezone(timezone(timedelta(hours=3))).isoformat())
        ]
        for run_id in ids:
            run = await bay.read(run_id)
            assert (run["status"], run["nextAttemptAt"], run["next"]["action"]) == ("queued", int(start.timestamp()), "attempt")
        now[0] += timedelta(hours=1, minutes=59)
        await asyncio.sleep(0.4)
        assert depot.count("PUT /things/7") == 0
        now[0] += timedelta(minutes=1, seconds=1)
        for run_id in ids:
            run = await bay.until(run_id)
            assert run["status"] == "succeeded"
            assert 7_100_000 < run["timings"]["waitMs"] <= 7_200_000


async def test_a_start_in_the_past_is_now(bay: Bay):
    told = await bay.run(PUT, {"id": "7"}, mode="async", notBefore=1_000)
    assert (await bay.until(told.json["data"]["runId"]))["timings"]["waitMs"] == 0


async def test_runs_of_high_priority_go_first(tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot, runs_concurrency=1) as bay:
        gate = asyncio.Event()

        async def late(_asked: Asked) -> bytes:
            await gate.wait()
            return answer(200, {"answer": "yes"})

        depot.answers["GET /ask"] = late
        await bay.run(ASK, mode="async")
        await depot.arrived("GET /ask")
        told = [await bay.run(PUT, {"id": name}, mode="async", priority=name) for name in ("low", "normal", "high")]
        gate.set()
        runs = [await bay.until(reply.json["data"]["runId"]) for reply in told]
        assert [asked.target.rpartition("/")[2] for asked in depot.wire.asked if asked.method == "PUT"] == ["high", "normal", "low"]
        assert [run["priority"] for run in runs] == ["low", "normal", "high"]


@pytest.mark.parametrize(
    ("body", "path", "code"),
    [
        ({"priority": "urgent"}, "priority", "unknown_option"),
        ({"priority": 1}, "priority", "unknown_option"),
        ({"priority": ["high"]}, "priority", "unknown_option"),
        ({"notBefore": "tomorrow"}, "notBefore", "wrong_type"),
        ({"notBefore": True}, "notBefore", "wrong_type"),
        ({"notBefore": "2027-01-01T00:00:00"}, "notBefore", "missing_zone"),
        ({"notBefore": "9999-12-31T23:59:59Z"}, "notBefore", "out_of_range"),
        ({"notBefore": 10**30}, "notBefore", "wrong_type"),
    ],
)
async def test_a_start_or_a_priority_that_is_none_is_refused(bay: Bay, body: dict[str, object], path: str, code: str):
    told = await bay.run(PUT, {"id": "7"}, mode="async", **body)
    assert (told.status, [(fault["path"], fault["code"]) for fault in told.json["error"]["fields"]]) == (422, [(path, code)])


async def test_a_synchronous_run_takes_neither_a_start_nor_a_priority(bay: Bay):
    told = await bay.run(PUT, {"id": "7"}, priority="high", notBefore=0)
    assert told.status == 422
    assert {(fault["path"], fault["code"]) for fault in told.json["error"]["fields"]} == {
        ("priority", "unknown_field"),
        ("notBefore", "unknown_field"),
    }
