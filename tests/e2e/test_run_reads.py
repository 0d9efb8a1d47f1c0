"""Reading runs back: one in any state, its attempts, lists with filters and a cursor that stays right while runs are added."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from e2e.depot import ASK, CREATE, PARTNER, SECRET, Bay, open_bay, open_depot
from e2e.served import Asked, Clock, answer

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def shared(anyio_backend, tmp_path_factory):
    async with open_depot() as depot, open_bay(tmp_path_factory.mktemp("bay"), depot) as found:
        yield found


@pytest.fixture
async def bay(shared):
    """A connection of the test's own: its runs are those of ``credentialId``."""
    return await shared.afresh()


async def _list(bay: Bay, **query: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    text = "&".join(f"{name.replace('_', '-')}={value}" for name, value in {"credentialId": bay.connection, **query}.items())
    told = await bay.served.fetch("GET", f"/runs?{text}")
    assert told.status == 200, told.json
    return told.json["data"], told.json["meta"]


async def _made(bay: Bay, operation: int = ASK, **body: Any) -> str:
    told = (await bay.run(operation, **body)).json
    return str(told["data"]["runId"] if "data" in told else told["error"]["runId"])


async def test_a_run_tells_everything_about_itself(bay: Bay):
    run_id = await _made(bay, metadata={"order": "A-1"}, externalUserId="user 7")
    run = await bay.read(run_id)
    assert {name: run[name] for name in ("runId", "status", "mode", "partnerId", "triggerActionId", "credentialId", "externalUserId")} == {
        "runId": run_id,
        "status": "succeeded",
        "mode": "sync",
        "partnerId": PARTNER,
        "triggerActionId": ASK,
        "credentialId": bay.connection,
        "externalUserId": "user 7",
    }
    assert (run["metadata"], run["attempts"], run["result"]) == ({"order": "A-1"}, 1, {"answer": "yes"})
    assert run["createdAt"] <= run["startedAt"] <= run["finishedAt"]
    assert 0 <= run["upstreamMs"] <= run["durationMs"] + 1


async def test_a_run_can_be_read_in_every_state_on_its_way(bay: Bay):
    go_on = asyncio.Event()

    async def late(_asked: Asked) -> bytes:
        await go_on.wait()
        return answer(201, {"data": {"id": 9}})

    bay.depot.answers["POST /things"] = late
    run_id = (await bay.run(CREATE, {"name": "Lamp"}, mode="async")).json["data"]["runId"]
    await bay.depot.arrived("POST /things")
    run = await bay.read(run_id)
    assert (run["status"], run["finishedAt"], "result" in run) == ("running", None, False)
    (under_way,) = await bay.attempts(run_id)
    assert (under_way["number"], under_way["exchanges"]) == (1, [])
    assert [listed["status"] for listed in (await _list(bay))[0]] == ["running"]
    go_on.set()
    assert (await bay.until(run_id))["result"] == {"thing_id": 9}
    (attempt,) = await bay.attempts(run_id)
    assert attempt["exchanges"][0]["request"]["body"] == '{"name":"Lamp"}'
    assert SECRET not in str(attempt)


@pytest.mark.parametrize("run_id", ["run_0", "nothing", "run_" + "0" * 32, "%00", "a" * 3_000])
@pytest.mark.parametrize("tail", ["", "/attempts"])
async def test_a_run_that_there_is_not_is_not_found(bay: Bay, run_id: str, tail: str):
    told = await bay.served.fetch("GET", f"/runs/{run_id}{tail}")
    assert (told.status, told.json["error"]["code"]) == (404, "not_found")


async def test_lists_are_filtered_by_each_of_their_facts(bay: Bay):
    good = await _made(bay, externalUserId="u1")
    bay.depot.answers["GET /ask"] = answer(400)
    bad = await _made(bay, externalUserId="u2")
    created = await _made(bay, CREATE, runnerData={"name": "Lamp"})

    async def ids(**query: Any) -> list[str]:
        return [run["runId"] for run in (await _list(bay, **query))[0]]

    assert await ids() == [created, bad, good]
    assert await ids(status="failed") == [bad]
    assert await ids(triggerActionId=CREATE) == [created]
    assert await ids(externalUserId="u1") == [good]
    assert await ids(partnerId=PARTNER, status="succeeded") == [created, good]
    assert await ids(partnerId=225) == []
    assert await ids(**{"filter[status]": "failed"}) == [bad]
    (failed,) = (await _list(bay, status="failed"))[0]
    assert (failed["error"]["code"], "result" in failed) == ("partner_error", False)


async def test_a_cursor_goes_on_where_it_was_while_runs_are_added(bay: Bay):
    made = [await _made(bay) for _number in range(7)]
    seen, query = [], {"per_page": 3}
    for _page in range(3):
        found, meta = await _list(bay, **query)
        seen += [run["runId"] for run in found]
        assert meta["hasMore"] is (meta["nextCursor"] is not None)
        await _made(bay)
        query = {"per_page": 3, "cursor": meta["nextCursor"]}
    assert (seen, meta["hasMore"]) == (made[::-1], False)


async def test_lists_keep_to_moments(tmp_path):
    start = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    now = [start]
    async with open_depot() as depot, open_bay(tmp_path, depot, clock=lambda: now[0]) as bay:
        made = []
        for _hour in range(3):
            made.append(await _made(bay))
            now[0] += timedelta(hours=1)
        one, two = int((start + timedelta(hours=1)).timestamp()), "2026-11-24T15:00:00%2B01:00"
        assert [run["runId"] for run in (await _list(bay, **{"from": one}))[0]] == [made[2], made[1]]
        assert [run["runId"] for run in (await _list(bay, to=one))[0]] == [made[0]]
        found, meta = await _list(bay, **{"from": one, "to": two, "per_page": 1})
        assert ([run["runId"] for run in found], meta["hasMore"]) == ([made[1]], False)


@pytest.mark.parametrize(
    ("query", "path", "code"),
    [
        ("status=done", "status", "unknown_option"),
        ("cursor=xyz", "cursor", "invalid_cursor"),
        ("cursor=cnVuXzA=", "cursor", "invalid_cursor"),
        ("cursor=%C3%A9", "cursor", "invalid_cursor"),
        ("from=yesterday", "from", "wrong_type"),
        ("to=1e99", "to", "wrong_type"),
        ("partnerId=x", "partnerId", "wrong_type"),
        ("credentialId=-1", "credentialId", "wrong_type"),
        ("per-page=0", "per-page", "out_of_range"),
        ("per-page=10000", "per-page", "out_of_range"),
        ("filter[colour]=red", "filter[colour]", "unknown_filter"),
        ("filter[status][like]=fail", "filter[status]", "unknown_filter"),
        ("filter[status=x", "filter[status", "malformed_filter"),
        ("status=failed&status=queued", "status", "duplicate_key"),
        ("page=2", "page", "out_of_range"),
    ],
)
async def test_a_list_that_is_asked_wrongly_says_what_is_wrong(bay: Bay, query: str, path: str, code: str):
    told = await bay.served.fetch("GET", f"/runs?{query}")
    assert told.status == 422, told.json
    assert [(fault["path"], fault["code"]) for fault in told.json["error"]["fields"]] == [(path, code)]


async def test_moments_that_are_wrong_are_told_together(bay: Bay):
    told = await bay.served.fetch("GET", "/runs?status=done&from=x&to=y")
    assert [fault["path"] for fault in told.json["error"]["fields"]] == ["status", "from", "to"]


async def test_a_run_says_what_took_how_long_and_what_happens_next(tmp_path):
    async def slow(_asked: Asked) -> bytes:
        await asyncio.sleep(0.1)
        clock.forward(0.1)
        return answer(429, headers={"Retry-After": "60"}) if depot.count("POST /things") == 1 else answer(201, {"data": {"id": 9}})

    clock = Clock()
    async with open_depot() as depot, open_bay(tmp_path, depot, clock=clock) as bay:
        depot.answers["POST /things"] = slow
        run_id = (await bay.run(CREATE, {"name": "Lamp"}, mode="async")).json["data"]["runId"]
        waiting = await bay.until(run_id, "waiting")
        assert (waiting["next"]["action"], waiting["next"]["at"]) == ("attempt", waiting["nextAttemptAt"])
        assert "2" in waiting["next"]["note"]
        assert (waiting["error"]["code"], waiting["timings"]["oursMs"]) == ("partner_rate_limited", None)
        clock.forward(60)
        run = await bay.until(run_id)
    times = run["timings"]
    assert times["waitMs"] == 60_000
    assert times["upstreamMs"] >= 190
    assert min(times.values()) >= 0
    assert sum(times.values()) >= 60_190
    assert (run["next"]["action"], run["next"]["at"]) == ("nothing", None)


async def test_a_failed_run_says_whether_it_may_be_run_again(bay: Bay):
    bay.depot.answers["GET /ask"] = answer(400)
    refused = await bay.read(await _made(bay))
    bay.depot.answers["GET /ask"] = answer(503, headers={"Retry-After": "30"})
    busy = await bay.read(await _made(bay))
    assert (refused["error"]["retryable"], busy["error"]["retryable"]) == (False, True)
    assert ("replay" in refused["next"]["note"], "replay" in busy["next"]["note"]) == (False, True)
