"""Budgets of partners: what a folder declares is not exceeded, and those who wait go on in order and in turns."""

from __future__ import annotations

import asyncio
import time

import pytest

from e2e.metered import (
    AT_ONCE,
    COSTLY,
    FREE,
    LIMIT,
    METERED,
    PARALLEL,
    PLAIN,
    SECONDS,
    SHARED,
    TOLD,
    body,
    ended,
    metered_catalog,
    most_of,
    open_meter,
    run,
)
from e2e.served import answer, running_server

pytestmark = pytest.mark.anyio
WAY = 0.3  # what a permit may be ahead of its request where commits of other tests keep the disk busy; the drill holds stretches against the senders' clock


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return metered_catalog(tmp_path_factory.mktemp("folder"))


@pytest.fixture
async def meter(anyio_backend):
    async with open_meter() as found:
        yield found


@pytest.fixture
async def served(meter, catalog, tmp_path):
    async with running_server(tmp_path, catalog=catalog, partner_metered_base_url=meter.origin) as found:
        yield found


async def test_queued_runs_beyond_a_budget_wait_with_the_reason_and_go_on_in_order(served, meter):
    connection = await served.connect(METERED, {"key": "one"})
    ids = [(await run(served, PLAIN, connection, number))[2]["data"]["runId"] for number in range(4 * LIMIT)]
    async with asyncio.timeout(60):
        while True:
            listed = (await served.call("GET", "/runs?status=waiting"))[2]["data"]
            if listed:
                break
            await asyncio.sleep(0.01)
    waiting = (await served.call("GET", f"/runs/{listed[-1]['runId']}"))[2]["data"]
    if waiting["status"] == "waiting":
        assert (waiting["error"]["code"], waiting["error"]["reason"], waiting["attempts"]) == ("partner_rate_limited", "budget", 0)
        assert waiting["nextAttemptAt"] >= waiting["createdAt"]
        assert "until" not in waiting["error"]
    for run_id in ids:
        found = await ended(served, run_id)
        assert (found["status"], found["attempts"]) == ("succeeded", 1)
    moments = [moment for moment, _key, _which in meter.came["plain"]]
    assert len(moments) == len(ids)
    assert most_of(meter, SECONDS - WAY, "plain") <= LIMIT
    order = [int(which) for _moment, _key, which in meter.came["plain"]]
    assert all(abs(place - number) <= LIMIT for place, number in enumerate(order)), order


async def test_a_sync_call_waits_a_little_and_is_told_when_it_would_take_longer(served, meter):
    connection = await served.connect(METERED, {"key": "one"})
    told = await asyncio.gather(*(run(served, PLAIN, connection, number, "sync") for number in range(6 * LIMIT)))
    good = [one for one in told if one[0] == 200]
    refused = [one for one in told if one[0] != 200]
    assert len(good) >= LIMIT
    for status, _headers, content in refused:
        assert (status, content["error"]["code"], content["error"]["reason"]) == (424, "partner_rate_limited", "budget")
        assert content["error"]["retryAfterMs"] > 0
        assert content["error"]["retryable"]
    assert refused
    assert len(meter.came["plain"]) == len(good)
    assert most_of(meter, SECONDS - WAY, "plain") <= LIMIT


async def test_a_caller_who_names_a_time_waits_that_long(served, meter):
    connection = await served.connect(METERED, {"key": "one"})
    told = await asyncio.gather(*(run(served, PLAIN, connection, number, "sync", timeoutMs=30_000) for number in range(5 * LIMIT)))
    assert {one[0] for one in told} == {200}
    assert most_of(meter, SECONDS - WAY, "plain") <= LIMIT


async def test_requests_at_a_time_are_kept_and_places_are_given_back(served, meter):
    meter.hold = 0.05
    connection = await served.connect(METERED, {"key": "one"})
    ids = [(await run(served, PARALLEL, connection, number))[2]["data"]["runId"] for number in range(20)]
    calls = await asyncio.gather(*(run(served, PARALLEL, connection, number, "sync", timeoutMs=30_000) for number in range(10)))
    assert {one[0] for one in calls} == {200}
    for run_id in ids:
        assert (await ended(served, run_id))["status"] == "succeeded"
    assert meter.most <= AT_ONCE
    assert len(meter.came["parallel"]) == 30


async def test_connections_that_share_a_budget_take_turns(served, meter):
    first = await served.connect(METERED, {"key": "one"})
    second = await served.connect(METERED, {"key": "two"})
    other = await served.second_account()
    third = await served.connect(METERED, {"key": "three"}, token=other)
    runs = [body(first, number) for number in range(20)]
    lot = {"triggerActionId": COSTLY, "runs": runs}  # in one call: how long twenty take must not matter
    assert (await served.call("POST", "/runs/batch", lot))[0] == 202
    late = await asyncio.gather(run(served, COSTLY, second, 0), run(served, COSTLY, second, 1), run(served, COSTLY, third, 0, token=other))
    assert [one[0] for one in late] == [202, 202, 202]
    accepted = time.monotonic()
    async with asyncio.timeout(40):
        while len(meter.came["costly"]) < 23:  # noqa: ASYNC110  the partner signals nothing
            await asyncio.sleep(0.05)
    came = [(key, moment) for moment, key, _which in meter.came["costly"]]
    since = came[sum(moment < accepted for _key, moment in came) :]
    before = [sum(key == "one" for key, _moment in since[:place]) for place, (key, _moment) in enumerate(since) if key != "one"]
    a_window = SHARED // 2
    # Who was let through already, then one a turn.
    assert all(passed <= a_window + turn for turn, passed in enumerate(before, start=1)), came
    assert 2 * most_of(meter, SECONDS - WAY, "costly") <= SHARED


async def test_a_queued_run_has_its_turn_however_many_callers_of_another_connection_wait(served, meter):
    first = await served.connect(METERED, {"key": "one"})
    second = await served.connect(METERED, {"key": "two"})

    async def call_again(number: int) -> None:
        while True:
            assert (await run(served, COSTLY, first, number, "sync", timeoutMs=60_000))[0] == 200

    callers = [asyncio.create_task(call_again(number)) for number in range(3 * SHARED)]
    try:
        async with asyncio.timeout(60):
            while len(meter.came["costly"]) < SHARED:  # noqa: ASYNC110  the partner signals nothing
                await asyncio.sleep(0.05)
        queued = [(await run(served, COSTLY, second, number))[2]["data"]["runId"] for number in range(2)]
        for run_id in queued:
            assert (await ended(served, run_id, seconds=5 * SECONDS))["status"] == "succeeded"
    finally:
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    assert 2 * most_of(meter, SECONDS - WAY, "costly") <= SHARED


async def test_an_operation_that_takes_nothing_of_a_budget_is_not_held_up_by_it(served, meter):
    connection = await served.connect(METERED, {"key": "one"})
    for number in range(4 * LIMIT):
        await run(served, PLAIN, connection, number)
    ids = [(await run(served, FREE, connection, number))[2]["data"]["runId"] for number in range(4 * LIMIT)]
    for run_id in ids:
        await ended(served, run_id)
    assert len(meter.came["plain"]) <= 3 * LIMIT


async def test_what_the_partner_tells_of_the_rest_is_believed(served, meter):
    connection = await served.connect(METERED, {"key": "one"})
    meter.told = answer(200, {"ok": True}, {"x-left": "2", "x-reset": "3"})
    assert (await run(served, TOLD, connection, 0, "sync"))[0] == 200
    meter.told = b""
    told = await asyncio.gather(*(run(served, TOLD, connection, number, "sync") for number in range(1, 6)))
    assert sorted(one[0] for one in told) == [200, 200, 424, 424, 424]
    assert len(meter.came["told"]) == 3


async def test_a_refusal_that_asks_to_wait_closes_the_budget_for_all_who_share_it(served, meter):
    connection = await served.connect(METERED, {"key": "one"})
    meter.told = answer(429, {}, {"Retry-After": "4"})
    assert (await run(served, TOLD, connection, 0, "sync"))[0] == 424
    meter.told = b""
    status, _headers, told = await run(served, TOLD, connection, 1, "sync")
    assert (status, told["error"]["reason"], len(meter.came["told"])) == (424, "budget", 1)
    assert 1_000 < told["error"]["retryAfterMs"] <= 4_000
    queued = (await run(served, TOLD, connection, 2))[2]["data"]["runId"]
    assert (await ended(served, queued))["status"] == "succeeded"
