"""The overview with what really happens: budgets as they are used, what waits, what is left alone."""

from __future__ import annotations

import pytest

from e2e.console import Browsing, member, text_of
from e2e.depot import PUT, open_bay, open_depot
from e2e.metered import METERED, TOLD, write_metered
from e2e.served import Served, answer, running_server, upstream

pytestmark = pytest.mark.anyio


async def seen(served: Served, query: str = "") -> str:
    owner = Browsing(served=served)
    await owner.sign_in()
    return " ".join(text_of(await owner.get(f"/console/overview{query}")).split())


async def test_budgets_are_shown_as_they_are_used_with_the_connection_that_uses_them(tmp_path):
    async def reply(_asked):
        return answer(200, {"ok": True})

    async with (
        upstream(reply) as there,
        running_server(tmp_path, connectors=write_metered(tmp_path), partner_metered_base_url=there.origin) as served,
    ):
        assert "No budget is in use now." in await seen(served)
        connection = await served.connect(METERED, {"key": "k"}, verify=False, title="Acme <b>&</b>")
        body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"n": "1"}}
        for _run in range(7):
            status, _headers, done = await served.call("POST", f"/partners/trigger-actions/{TOLD}/run/sync", body)
            assert status == 200, done

        text = await seen(served)
        assert "Metered: told of Acme <b>&</b> 7 of 1,000 in a minute" in text
        assert "Metered: told" in await seen(served, f"?partnerId={METERED}")
        assert "Metered: told" not in await seen(served, "?partnerId=225")


async def test_what_waits_and_what_is_left_alone_are_shown_until_all_is_well(tmp_path):
    async with (
        open_depot() as depot,
        open_bay(tmp_path, depot, partner_breaker_failures=3, partner_breaker_wait=60, runs_attempts=1, runs_sync_wait=0) as bay,
    ):
        assert "Left alone for now" not in await seen(bay.served)
        depot.answers["PUT /things/7"] = answer(500, {})
        for _call in range(3):
            assert (await bay.run(PUT, {"id": "7"})).status == 502
        run_id = (await bay.run(PUT, {"id": "7"}, mode="async")).json["data"]["runId"]
        await bay.until(run_id, "waiting", "queued")

        text = await seen(bay.served)
        assert "Left alone for now" in text
        assert "3 failures in a row" in text
        assert "Waiting now 1" in text
        told = (await bay.served.call("GET", "/overview"))[2]["data"]["leftAlone"]
        assert (len(told), told[0]["failures"], told[0]["credentialId"]) == (1, 3, bay.connection)
        other = await bay.served.second_account()
        assert (await bay.served.call("GET", "/overview", token=other))[2]["data"]["leftAlone"] == []
        viewer = await member(bay.served, "viewer", "looks@team.example")
        assert "Left alone for now" in text_of(await viewer.get("/console/overview"))
