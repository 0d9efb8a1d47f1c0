"""A partner that is down, seen from outside: quick answers, waiting runs, metrics, and all well again by itself."""

from __future__ import annotations

import asyncio
import time

import pytest

from e2e.depot import PUT, open_bay, open_depot
from e2e.served import answer

pytestmark = pytest.mark.anyio


async def test_a_partner_that_is_down_costs_no_time_and_everything_goes_on_when_it_is_back(tmp_path, monkeypatch):
    async with (
        open_depot() as depot,
        open_bay(tmp_path, depot, partner_breaker_failures=3, partner_breaker_wait=2, runs_attempts=1, runs_sync_wait=0) as bay,
    ):
        depot.answers["PUT /things/7"] = answer(500, {})
        opened = time.monotonic()
        monkeypatch.setattr(bay.served.runtime.breakers, "_clock", lambda: opened)  # no time passes until the partner is back
        for _call in range(3):
            assert (await bay.run(PUT, {"id": "7"})).status == 502
        told = await bay.run(PUT, {"id": "7"})
        assert (told.status, told.json["error"]["reason"], depot.count("PUT /things/7")) == (502, "circuit_open", 3)
        assert 0 < told.json["error"]["retryAfterMs"] <= 2_000
        assert told.json["error"]["retryable"]
        assert (await bay.served.fetch("GET", "/readyz", token=None)).status == 200
        shown = (await bay.served.fetch("GET", "/metrics", token=None)).content.decode()
        assert 'polyport_circuits_open{of="connection"} 1.0' in shown
        assert "polyport_circuits_opened_total 1.0" in shown
        queued = [(await bay.run(PUT, {"id": "7"}, mode="async")).json["data"]["runId"] for _run in range(5)]
        await asyncio.sleep(0.1)
        del depot.answers["PUT /things/7"]
        monkeypatch.undo()
        for run_id in queued:
            run = await bay.until(run_id)
            assert (run["status"], run["attempts"]) == ("succeeded", 1)
        assert (await bay.run(PUT, {"id": "7"})).status == 200
