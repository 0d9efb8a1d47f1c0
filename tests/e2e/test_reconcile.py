"""A doubt is settled by asking the partner: after a lost answer, after a kill, and at a bundled partner."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from e2e.depot import ORDER, PARTNER, SECRET, Depot, open_bay, open_depot
from e2e.killable import running_process
from e2e.served import Asked, answer, running_server, running_simulator

pytestmark = pytest.mark.anyio
NETSUITE = 339


def _keeps_orders(depot: Depot, told: bytes | None, asked_for: asyncio.Event | None = None) -> list[dict[str, Any]]:
    """A partner that makes orders, answers with what a test says, and shows them, once the test wants it to."""
    orders: list[dict[str, Any]] = []

    def make(asked: Asked) -> bytes | None:
        orders.append({"id": 70 + len(orders), **json.loads(asked.body)})
        return told

    depot.answers["POST /orders"] = make

    async def show(_asked: Asked) -> bytes:
        if asked_for is not None:
            await asked_for.wait()
        return answer(200, {"orders": orders})

    depot.answers["GET /orders"] = show
    return orders


async def test_a_lost_answer_is_looked_for_and_the_run_has_its_result(tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot) as bay:
        read = asyncio.Event()
        (order,) = [_keeps_orders(depot, None, read)]
        told = await bay.run(ORDER, {"name": "Lamp"}, key="once")
        assert (told.status, told.json["error"]["outcome"]) == (502, "uncertain")
        run_id = told.json["error"]["runId"]
        doubtful = await bay.read(run_id)
        assert (doubtful["status"], doubtful["next"]["action"], doubtful["settled"]) == ("uncertain", "probe", None)
        assert (await bay.served.fetch("POST", f"/runs/{run_id}/replay")).status == 409
        read.set()
        run = await bay.until(run_id, "succeeded", seconds=60)
        assert (run["result"], "error" in run, run["settled"]["found"]) == ({"id": 70}, False, True)
        again = await bay.run(ORDER, {"name": "Lamp"}, key="once")
        assert (again.status, again.json["data"]["result"], again.headers["idempotent-replayed"]) == (200, {"id": 70}, "true")
        assert [entry.get("probe", False) for entry in await bay.attempts(run_id)] == [False, True]
        assert SECRET not in json.dumps(await bay.attempts(run_id))
        assert len(order) == 1


async def test_a_stream_goes_on_until_the_doubt_is_settled(tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot) as bay:
        followed = asyncio.Event()
        _keeps_orders(depot, answer(500), followed)
        run_id = (await bay.run(ORDER, {"name": "Lamp"})).json["error"]["runId"]
        headers = {"Authorization": f"Bearer {bay.served.token}"}
        async with asyncio.timeout(60), bay.served.client.get(f"{bay.served.origin}/runs/{run_id}/events", headers=headers) as told:
            names = []
            async for line in told.content:
                if line.startswith(b"event"):
                    names.append(line.decode().split(": ")[1].strip())
                    followed.set()
        assert names == ["uncertain", "succeeded"]


async def test_a_run_that_was_cut_off_by_a_kill_is_settled_after_the_restart(tmp_path):
    async def hang(asked: Asked) -> None:
        orders.append({"id": 70, **json.loads(asked.body)})
        await asyncio.sleep(30)

    async with open_depot() as depot:
        orders = _keeps_orders(depot, None)
        depot.answers["POST /orders"] = hang
        async with running_process(tmp_path, depot) as first:
            token, connection = first.served.token, await first.served.connect(PARTNER, {"key": SECRET})
            run_id = (await first.bay(depot, connection).run(ORDER, {"name": "Lamp"}, mode="async")).json["data"]["runId"]
            await depot.arrived("POST /orders")
            await first.kill()
        async with running_process(tmp_path, depot, token=token) as second:
            run = await second.bay(depot, connection).until(run_id, "succeeded", seconds=60)
        assert (run["result"], depot.count("POST /orders")) == ({"id": 70}, 1)


async def test_a_customer_of_netsuite_that_was_made_although_no_answer_came_is_found(tmp_path):
    fields = {
        "account": "1234567_SB1",
        "consumer_key": "c1d2e3f4",
        "consumer_secret": "test5ecret1",
        "token": "t1o2k3e4n5",
        "token_secret": "test5ecret2",
    }
    async with running_simulator("netsuite") as url, running_server(tmp_path, partner_netsuite_base_url=url) as served:
        connection = await served.connect(NETSUITE, fields)
        fault = {"kind": "error_after", "match": "POST /services/rest/record/v1/customer"}
        async with served.client.post(f"{url}/_simulator/faults", json=fault) as armed:
            assert armed.status < 300
        body = {"credentialData": {"0": connection}, "runnerData": {"company_name": "New Ltd", "external_id": "crm-77"}}
        told = await served.fetch("POST", "/partners/trigger-actions/3390101/run/sync", body)
        assert (told.status, told.json["error"]["outcome"]) == (502, "uncertain")
        async with asyncio.timeout(60):
            while True:
                run = (await served.fetch("GET", f"/runs/{told.json['error']['runId']}")).json["data"]
                if run["status"] != "uncertain":
                    break
                await asyncio.sleep(0.1)
        assert (run["status"], run["result"], run["settled"]["found"]) == ("succeeded", {"id": "108"}, True)
