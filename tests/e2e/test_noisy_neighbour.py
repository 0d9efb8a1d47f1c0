"""One partner that hangs, one connection that floods, one account with a backlog: the others go on."""

from __future__ import annotations

import asyncio

import pytest

from e2e.depot import CREATE, PARTNER, PUT, SECRET, Asked, Bay, open_bay, open_depot
from e2e.served import TOOLS, answer

pytestmark = pytest.mark.anyio


async def _hang(_asked: Asked) -> bytes:
    await asyncio.Event().wait()
    return b""


async def test_an_account_with_a_long_backlog_does_not_hold_up_another(tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot, runs_concurrency=4) as bay:
        gate = asyncio.Event()

        async def late(asked: Asked) -> bytes:
            await gate.wait()
            return answer(200, {"data": {"name": asked.target[-1]}})

        depot.answers["*"] = late
        flood = [await bay.run(PUT, {"id": "1"}, mode="async") for _number in range(60)]
        depot.answers["GET /me"] = answer(200, {"name": "Depot of Ada"})
        token = await bay.served.second_account()
        other = await bay.served.connect(PARTNER, {"key": SECRET}, token=token)
        body = {"credentialData": {"0": other}, "runnerData": {"id": "2"}}
        told = await bay.served.call("POST", f"/partners/trigger-actions/{PUT}/run/async", body, token=token)
        assert told[0] == 202
        gate.set()
        async with asyncio.timeout(60):
            while not any(asked.target.endswith("/things/2") for asked in depot.wire.asked):  # noqa: ASYNC110  the partner signals nothing
                await asyncio.sleep(0.005)
        assert depot.count("PUT /things/1") < 30
        for reply in flood:
            assert (await bay.until(reply.json["data"]["runId"]))["status"] == "succeeded"


async def test_queued_runs_of_a_connection_that_hangs_leave_places_to_the_others(tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot, runs_concurrency=4) as bay:
        depot.answers["PUT /things/1"] = _hang
        for _number in range(10):
            await bay.run(PUT, {"id": "1"}, mode="async")
        await depot.arrived("PUT /things/1")
        other = Bay(served=bay.served, depot=depot, connection=await bay.served.connect(PARTNER, {"key": SECRET}))
        told = await other.run(PUT, {"id": "2"}, mode="async")
        assert (await bay.until(told.json["data"]["runId"]))["status"] == "succeeded"
        assert depot.count("PUT /things/1") == 1


async def test_synchronous_runs_of_a_connection_or_a_partner_that_hangs_leave_places_to_the_others(tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot, runs_sync_limit=8) as bay:
        depot.answers["POST /things"] = _hang
        other = Bay(served=bay.served, depot=depot, connection=await bay.served.connect(PARTNER, {"key": SECRET}))
        callers = [asyncio.create_task(place.run(CREATE, {"name": "n"}, timeoutMs=60_000)) for place in (bay, other) for _call in range(2)]
        await depot.arrived("POST /things", 4)
        third = await bay.served.fetch("POST", f"/partners/trigger-actions/{CREATE}/run/sync", {"credentialData": {"0": bay.connection}})
        assert (third.status, third.json["error"]["code"], third.headers["retry-after"]) == (503, "overloaded", "1")
        fresh = {"credentialData": {"0": 1}, "runnerData": {"name": "n"}}
        assert (await bay.served.call("POST", f"/partners/trigger-actions/{CREATE}/run/sync", fresh))[0] == 503
        tools = (await bay.served.call("GET", f"/partners/trigger-actions/info?filter[partnerId]={TOOLS}"))[2]["data"][0]["triggerActionId"]
        told = await bay.served.call("POST", f"/partners/trigger-actions/{tools}/run/sync", {"dryRun": False})
        assert told[0] in {200, 422}
        assert await bay.count_runs() <= 5
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
