"""When a run is tried again by itself, how it stands meanwhile, and when it is not."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from itertools import count

import pytest

from e2e.depot import CREATE, KEEP, PUT, RESERVE, STAY, STEPS, Bay, open_bay, open_depot
from e2e.served import Asked, Clock, answer

pytestmark = pytest.mark.anyio

LAMP = {"id": "7", "name": "Lamp"}


@pytest.fixture(scope="module")
async def shared(anyio_backend, tmp_path_factory):
    async with open_depot() as depot, open_bay(tmp_path_factory.mktemp("bay"), depot, runs_attempts=3) as found:
        yield found


@pytest.fixture
async def bay(shared):
    return await shared.afresh()


@asynccontextmanager
async def _timed(folder):
    """A server whose clock the test moves: what waits, waits until the test has seen it."""
    clock = Clock()
    async with open_depot() as depot, open_bay(folder, depot, clock=clock) as found:
        yield found, clock


def _first(times: int, told: bytes):
    """A partner that answers so the first times, and as usual afterwards."""
    numbers = count(1)
    return lambda _asked: told if next(numbers) <= times else answer(201, {"data": {"id": 3, "name": "Lamp"}, "id": 5, "ok": True})


SOON = {"Retry-After": "0.05"}


async def test_a_wait_that_the_partner_names_is_kept_within_a_sync_call(bay: Bay):
    bay.depot.answers["POST /things"] = _first(1, answer(429, headers=SOON))
    started = time.monotonic()
    told = await bay.run(CREATE, {"name": "Lamp"})
    assert time.monotonic() - started >= 0.05
    assert (told.status, told.json["data"]["attempts"], bay.depot.count("POST /things")) == (200, 2, 2)
    first, second = await bay.attempts(told.json["data"]["runId"])
    assert (first["number"], first["error"]["code"], first["exchanges"][0]["reply"]["status"]) == (1, "partner_rate_limited", 429)
    assert (second["number"], "error" in second, second["exchanges"][0]["reply"]["status"]) == (2, False, 201)


async def test_a_repeatable_sync_call_is_tried_until_it_works(bay: Bay):
    bay.depot.answers["PUT /things/7"] = _first(2, answer(503, headers=SOON))
    told = await bay.run(PUT, LAMP)
    assert (told.status, told.json["data"]["attempts"], bay.depot.count("PUT /things/7")) == (200, 3, 3)


async def test_attempts_are_counted_and_end(bay: Bay):
    bay.depot.answers["PUT /things/7"] = answer(503, headers=SOON)
    told = await bay.run(PUT, LAMP)
    assert (told.status, told.json["error"]["code"], told.json["error"]["retryable"]) == (502, "partner_unavailable", True)
    assert bay.depot.count("PUT /things/7") == 3
    run = await bay.read(told.json["error"]["runId"])
    assert (run["status"], run["attempts"]) == ("failed", 3)
    assert [attempt["number"] for attempt in await bay.attempts(run["runId"])] == [1, 2, 3]


async def test_a_sync_caller_is_told_of_a_long_wait_instead_of_sitting_through_it(bay: Bay):
    bay.depot.answers["POST /things"] = answer(429, headers={"Retry-After": "30"})
    started = time.monotonic()
    told = await bay.run(CREATE, {"name": "Lamp"})
    assert time.monotonic() - started < 15
    assert (told.status, told.json["error"]["retryAfterMs"], told.json["error"]["retryable"]) == (424, 30_000, True)
    assert bay.depot.count("POST /things") == 1


async def test_a_wait_beyond_the_callers_deadline_ends_the_run_at_once(tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot, runs_sync_wait=60) as bay:
        depot.answers["PUT /things/7"] = answer(503, headers={"Retry-After": "56"})
        started = time.monotonic()
        told = await bay.run(PUT, LAMP, timeoutMs=55_000)
        assert time.monotonic() - started < 55
        assert (told.status, told.json["error"]["retryAfterMs"]) == (502, 56_000)
        assert depot.count("PUT /things/7") == 1


async def test_an_async_run_waits_for_its_next_attempt_and_says_when(tmp_path):
    async with _timed(tmp_path) as (bay, clock):
        bay.depot.answers["POST /things"] = _first(1, answer(429, headers={"Retry-After": "60"}))
        queued = (await bay.run(CREATE, {"name": "Lamp"}, mode="async")).json["data"]
        waiting = await bay.until(queued["runId"], "waiting")
        assert waiting["error"]["code"] == "partner_rate_limited"
        assert waiting["attempts"] == 1
        assert 59 <= waiting["nextAttemptAt"] - clock().timestamp() <= 60
        (attempt,) = await bay.attempts(queued["runId"])
        assert attempt["exchanges"][0]["reply"]["status"] == 429
        clock.forward(60)
        run = await bay.until(queued["runId"])
        assert (run["status"], run["attempts"], run["result"]) == ("succeeded", 2, {"thing_id": 3, "name": "Lamp"})
        assert "error" not in run
        assert "nextAttemptAt" not in run
        assert bay.depot.count("POST /things") == 2


async def test_a_repeatable_async_run_survives_errors_of_the_partner(bay: Bay):
    bay.depot.answers["PUT /things/7"] = _first(1, answer(500))
    queued = (await bay.run(PUT, LAMP, mode="async")).json["data"]
    run = await bay.until(queued["runId"])
    assert (run["status"], run["attempts"], bay.depot.count("PUT /things/7")) == ("succeeded", 2, 2)


async def test_an_async_run_that_may_not_be_repeated_ends_in_doubt_after_one_arrival(bay: Bay):
    bay.depot.answers["POST /things"] = _first(1, answer(500))
    queued = (await bay.run(CREATE, {"name": "Lamp"}, mode="async")).json["data"]
    run = await bay.until(queued["runId"])
    assert (run["status"], run["attempts"], run["error"]["outcome"], run["error"]["retryable"]) == ("uncertain", 1, "uncertain", False)
    assert bay.depot.count("POST /things") == 1


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_an_operation_says_itself_how_often_it_is_tried(bay: Bay, mode: str):
    bay.depot.answers["PUT /stayed"] = answer(500)
    told = await bay.run(STAY, mode=mode)
    run_id = told.json["data"]["runId"] if mode == "async" else told.json["error"]["runId"]
    run = await bay.until(run_id)
    assert (run["status"], run["attempts"], run["error"]["retryable"]) == ("failed", 2, True)
    assert bay.depot.count("PUT /stayed") == 2


async def test_an_operations_own_time_bounds_the_wait_that_the_partner_asks_for(bay: Bay):
    bay.depot.answers["PUT /stayed"] = answer(503, headers={"Retry-After": "9"})
    queued = (await bay.run(STAY, mode="async")).json["data"]
    run = await bay.until(queued["runId"])
    assert (run["status"], run["attempts"], run["error"]["retryAfterMs"]) == ("failed", 1, 9_000)


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_an_operations_word_on_retries_repeats_nothing_that_may_not_be(bay: Bay, mode: str):
    bay.depot.answers["POST /kept"] = answer(500)
    told = await bay.run(KEEP, mode=mode)
    run_id = told.json["data"]["runId"] if mode == "async" else told.json["error"]["runId"]
    assert (await bay.until(run_id))["status"] == "uncertain"
    assert bay.depot.count("POST /kept") == 1
    bay.depot.answers["POST /kept"] = _first(4, answer(429, headers=SOON))
    told = await bay.run(KEEP, mode=mode)
    run = await bay.until(told.json["data"]["runId"])
    assert (run["status"], run["attempts"]) == ("succeeded", 5)


@pytest.mark.parametrize("told", [answer(429), answer(500), answer(503)], ids=["429", "500", "503"])
async def test_what_may_not_be_repeated_is_not_without_an_honest_wait(bay: Bay, told: bytes):
    bay.depot.answers["POST /things"] = told
    assert (await bay.run(CREATE, {"name": "Lamp"})).status in {424, 502}
    assert bay.depot.count("POST /things") == 1


async def test_a_partner_that_refused_the_connection_is_called_again_and_gets_the_request_once(bay: Bay):
    arrived = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer(201, {"id": 1}))
        await writer.drain()
        writer.close()

    first = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = first.sockets[0].getsockname()[1]
    first.close()
    await first.wait_closed()
    bay.connection = await bay.served.connect(2, {}, auth="none")
    asked = {"method": "POST", "url": f"http://127.0.0.1:{port}/orders", "body_type": "none"}
    queued = (await bay.run(20101, asked, mode="async")).json["data"]
    waiting = await bay.until(queued["runId"], "waiting")
    assert (waiting["error"]["code"], waiting["error"]["retryable"]) == ("partner_unavailable", True)
    async with await asyncio.start_server(serve, "127.0.0.1", port):
        assert (await bay.until(queued["runId"]))["status"] == "succeeded"
    assert len(arrived) == 1


async def test_a_step_that_never_left_is_not_repeated_after_a_step_that_changed_something(bay: Bay):
    bay.depot.answers["POST /reserve/5/confirm"] = answer(429, headers=SOON)
    told = await bay.run(RESERVE)
    assert (told.status, told.json["error"]["outcome"], told.json["error"]["retryable"]) == (424, "uncertain", False)
    assert (bay.depot.count("POST /reserve"), bay.depot.count("POST /reserve/5/confirm")) == (1, 1)
    assert (await bay.read(told.json["error"]["runId"]))["status"] == "uncertain"


async def test_a_step_that_only_reads_leaves_no_doubt_when_it_fails(bay: Bay):
    bay.depot.answers["GET /find"] = answer(503, headers={"Retry-After": "9"})
    told = await bay.run(STEPS, {"name": "Lamp"})
    assert (told.status, told.json["error"].get("outcome"), told.json["error"]["retryable"]) == (502, None, True)
    bay.depot.answers["GET /find"] = answer(500)
    told = await bay.run(STEPS, {"name": "Lamp"})
    assert (told.status, told.json["error"].get("outcome"), told.json["error"]["retryable"]) == (502, None, True)
    assert (await bay.read(told.json["error"]["runId"]))["status"] == "failed"


async def test_a_step_that_only_reads_is_tried_again(bay: Bay):
    bay.depot.answers["GET /find"] = _first(1, answer(503, headers=SOON))
    told = await bay.run(STEPS, {"name": "Lamp"})
    assert (told.status, bay.depot.count("GET /find"), bay.depot.count("POST /things/5/touch")) == (200, 2, 1)


async def test_an_answer_of_an_earlier_step_that_does_not_fit_ends_the_run_before_the_change(bay: Bay):
    bay.depot.answers["GET /find"] = answer(200, {"nothing": True})
    told = await bay.run(STEPS, {"name": "Lamp"})
    assert (told.status, told.json["error"].get("outcome")) == (422, None)
    assert (await bay.read(told.json["error"]["runId"]))["status"] == "failed"
    assert len(bay.depot.wire.asked) == 1


async def test_a_run_whose_time_is_over_before_it_starts_sends_nothing(tmp_path):
    go_on = asyncio.Event()

    async def late(_asked: Asked) -> bytes:
        await go_on.wait()
        return answer(201, {"data": {"id": 1}})

    async with open_depot() as depot, open_bay(tmp_path, depot, runs_concurrency=1) as bay:
        depot.answers["POST /things"] = late
        slow = (await bay.run(CREATE, {"name": "first"}, mode="async")).json["data"]
        await depot.arrived("POST /things")
        hasty = (await bay.run(CREATE, {"name": "second"}, mode="async", timeoutMs=100)).json["data"]
        await asyncio.sleep(0.15)
        go_on.set()
        run = await bay.until(hasty["runId"])
        assert (run["status"], run["error"]["code"], run["error"]["retryable"]) == ("failed", "partner_timeout", True)
        assert (await bay.until(slow["runId"]))["status"] == "succeeded"
        assert depot.count("POST /things") == 1


async def test_a_run_whose_time_ends_while_it_waits_for_its_partner_ends_then(tmp_path):
    async with _timed(tmp_path) as (bay, clock):
        bay.depot.answers["PUT /things/7"] = answer(429, {}, {"Retry-After": "3600"})
        first = (await bay.run(PUT, LAMP, mode="async")).json["data"]["runId"]
        await bay.until(first, "waiting")
        behind = (await bay.run(CREATE, {"name": "Lamp"}, mode="async", timeoutMs=100_000)).json["data"]["runId"]
        run = await bay.until(behind, "waiting")
        assert (run["next"]["action"], 99 <= run["next"]["at"] - run["createdAt"] <= 101) == ("stop", True)
        clock.forward(101)
        run = await bay.until(behind, "failed")
        assert (run["error"]["code"], run["error"]["retryable"], run["attempts"], run["next"]["at"]) == ("partner_timeout", True, 0, None)
        assert "nothing was sent" in run["error"]["message"]
        assert bay.depot.count("POST /things") == 0
        assert (await bay.read(first))["status"] == "waiting"


async def test_the_callers_time_bounds_the_reading_of_lists_too(bay: Bay):
    async def silence(_asked: Asked) -> None:
        await asyncio.sleep(20)

    bay.depot.answers["GET /owners"] = silence
    started = time.monotonic()
    told = await bay.run(CREATE, {"name": "Lamp", "owner": "Ada"}, timeoutMs=300)
    assert time.monotonic() - started < 15
    assert (told.status, told.json["error"]["code"], told.json["error"]["retryable"]) == (504, "partner_timeout", True)
    assert bay.depot.count("POST /things") == 0
