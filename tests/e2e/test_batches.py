"""Many runs of one operation in one request: each is checked by itself, what is accepted is accepted together, and repeats take effect once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from e2e.depot import ASK, CREATE, HOOK, PARTNER, PUT, SECRET, Bay, open_bay, open_depot
from e2e.killable import running_process
from e2e.served import Reply, answer

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def shared(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bay]:
    async with open_depot() as depot, open_bay(tmp_path_factory.mktemp("bay"), depot) as found:
        yield found


@pytest.fixture
async def bay(shared: Bay) -> AsyncIterator[Bay]:
    """A connection of the test's own. What a test left in the queue has ended before the next one counts what arrives."""
    yield await shared.afresh()
    shared.depot.answers.clear()
    for status in ("queued", "waiting", "running"):
        async with asyncio.timeout(120):
            while (await shared.served.fetch("GET", f"/runs?status={status}")).json["data"]:  # noqa: ASYNC110  runs are read as a caller reads them
                await asyncio.sleep(0.05)


async def _batch(bay: Bay, runs: Any, operation: Any = CREATE, *, key: str | None = None, **body: Any) -> Reply:
    asked = {"triggerActionId": operation, "credentialData": {"0": {"value": bay.connection}}, "runs": runs, **body}
    return await bay.served.fetch("POST", "/runs/batch", asked, headers={"Idempotency-Key": key} if key is not None else {})


def _things(count: int) -> list[dict[str, Any]]:
    return [{"runnerData": {"name": f"n{number}"}} for number in range(count)]


def _faults(told: Reply) -> set[tuple[str, str]]:
    assert (told.status, told.json["error"]["code"]) == (422, "validation_failed"), told.json
    return {(fault["path"], fault["code"]) for fault in told.json["error"]["fields"]}


async def test_a_thousand_runs_are_accepted_at_once_and_each_is_done_once(bay: Bay):
    told = await _batch(bay, _things(1_000))
    assert (told.status, told.json["data"]["accepted"], told.json["data"]["refused"]) == (202, 1_000, 0)
    runs = told.json["data"]["runs"]
    assert [run["index"] for run in runs] == list(range(1_000))
    assert len({run["runId"] for run in runs}) == 1_000
    assert runs[7]["statusUrl"] == f"{bay.served.origin}/runs/{runs[7]['runId']}"
    await bay.depot.arrived("POST /things", 1_000, 60)
    assert (await bay.until(runs[7]["runId"]))["result"]["name"] == "n7"
    assert {json.loads(asked.body)["name"] for asked in bay.depot.of("POST /things")} == {f"n{number}" for number in range(1_000)}


async def test_each_run_is_checked_by_itself_and_its_faults_have_their_place(bay: Bay):
    runs = [
        {"runnerData": {"name": "good"}, "metadata": {"order": 1}, "priority": "high"},
        {"runnerData": {"size": "many", "colour": "purple"}},
        "nonsense",
        {"runnerData": {"name": "x"}, "dryRun": True, "nmae": 1, "timeoutMs": 1},
        {"runnerData": {"name": "x"}, "credentialData": {"0": 999_999}},
        {"runnerData": {"name": "x"}, "idempotencyKey": ""},
        {"runnerData": {"name": "x"}, "credentialData": {"0": {"value": bay.connection, "more": 1}}},
    ]
    told = await _batch(bay, runs)
    assert (told.status, told.json["data"]["accepted"], told.json["data"]["refused"]) == (202, 1, 6)
    good, *bad = told.json["data"]["runs"]
    assert (good["status"], good["replayed"], (await bay.until(good["runId"]))["metadata"]) == ("accepted", False, {"order": 1})
    assert {run["status"] for run in bad} == {"refused"}
    found = [{(fault["path"], fault["code"]) for fault in run["error"].get("fields", ())} for run in bad]
    assert found[0] == {
        ("runs[1].runnerData.name", "required"),
        ("runs[1].runnerData.size", "wrong_type"),
        ("runs[1].runnerData.colour", "unknown_option"),
    }
    assert found[1] == {("runs[2]", "wrong_type")}
    assert found[2] == {("runs[3].dryRun", "unknown_field"), ("runs[3].nmae", "unknown_field"), ("runs[3].timeoutMs", "out_of_range")}
    assert bad[3]["error"]["code"] == "not_found"
    assert found[4] == {("runs[5].idempotencyKey", "wrong_format")}
    assert found[5] == {("runs[6].credentialData.0.more", "unknown_field")}
    assert bay.depot.count("POST /things") == 1


async def test_a_batch_of_which_nothing_can_be_accepted_is_refused_with_all_its_faults(bay: Bay):
    before = await bay.count_runs()
    told = await _batch(bay, [{"runnerData": {}}, {"runnerData": {"name": "x"}, "credentialData": {"0": 999_999}}], key="none")
    assert _faults(told) == {("runs[0].runnerData.name", "required"), ("runs[1]", "not_found")}
    assert await bay.count_runs() == before
    assert (await _batch(bay, _things(1), key="none")).status == 202


async def test_a_batch_that_is_refused_for_one_reason_that_is_not_its_input_says_that_reason(bay: Bay):
    lot = [{"runnerData": {"id": "1"}, "credentialData": {"0": 999_999}}] * 3
    told = await _batch(bay, lot, PUT)
    assert (told.status, told.json["error"]["code"]) == (404, "not_found")
    bay.depot.answers["GET /countries"] = answer(503)
    bay.depot.answers["GET /towns"] = answer(503)
    lot = [{"runnerData": {"name": "x", "town": "par", "country": "fr"}}] * 3
    before = await bay.count_runs()
    told = await _batch(bay, lot, key="later")
    assert (told.status, told.json["error"]["code"], told.json["error"]["retryable"]) == (502, "partner_unavailable", True)
    assert await bay.count_runs() == before
    bay.depot.answers.clear()
    assert (await _batch(bay, lot, key="later")).status == 202


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({"runs": []}, {("runs", "too_few")}),
        ({"runs": [{}] * 1_001}, {("runs", "too_many")}),
        ({"runs": {"0": {}}}, {("runs", "wrong_type")}),
        ({"runs": None}, {("runs", "required")}),
        (
            {"runs": [{}], "triggerActionId": "x", "credentialData": 7},
            {("triggerActionId", "wrong_type"), ("credentialData", "wrong_type")},
        ),
        ({"runs": [{}], "triggerActionId": None}, {("triggerActionId", "required")}),
        ({"runs": [{}], "triggerActionId": True}, {("triggerActionId", "wrong_type")}),
        ({"runs": [{}], "callbackUrls": 1}, {("callbackUrls", "unknown_field")}),
    ],
)
async def test_a_batch_that_is_none_says_what_is_wrong(bay: Bay, body: dict[str, Any], faults: set[tuple[str, str]]):
    asked = {"triggerActionId": CREATE, "credentialData": {"0": bay.connection}, **body}
    assert _faults(await bay.served.fetch("POST", "/runs/batch", asked)) == faults


async def test_a_batch_of_what_cannot_be_run_is_refused_as_a_whole(bay: Bay):
    for operation, status, code in ((HOOK, 422, "unsupported_trigger"), (1 << 50, 404, "not_found")):
        told = await _batch(bay, [{}], operation)
        assert (told.status, told.json["error"]["code"]) == (status, code)
    for content in (b"[]", b'"x"'):
        assert (await bay.served.fetch("POST", "/runs/batch", content=content)).status == 422


async def test_a_batch_larger_than_a_body_may_be_is_refused(tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot, http_body_limit=10_000) as bay:
        assert (await _batch(bay, _things(1_000))).status == 413
        assert await bay.count_runs() == 0


async def test_a_batch_that_the_queue_has_no_room_for_is_refused_whole(tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot, runs_queue_limit=50) as bay:
        told = await _batch(bay, _things(51))
        assert (told.status, told.json["error"]["code"], "retry-after" in told.headers) == (503, "overloaded", True)
        assert "send at most 50 together" in told.json["error"]["message"]
        assert await bay.count_runs() == 0
        assert (await _batch(bay, _things(50))).status == 202


async def test_a_batch_that_was_accepted_is_repeated_also_when_the_queue_is_full(tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot, runs_queue_limit=5) as bay:
        later = int(time.time()) + 3600
        things = [{**thing, "notBefore": later} for thing in _things(5)]
        first = await _batch(bay, things, key="lot")
        assert first.status == 202
        assert (await _batch(bay, _things(1), key="other lot")).status == 503
        again = await _batch(bay, things, key="lot")
        assert (again.status, again.headers["idempotent-replayed"]) == (202, "true")
        assert [run["runId"] for run in again.json["data"]["runs"]] == [run["runId"] for run in first.json["data"]["runs"]]
        more = await _batch(bay, [{**thing, "idempotencyKey": f"thing {index}"} for index, thing in enumerate(things)])
        assert more.status == 503
        await bay.served.fetch("POST", f"/runs/{first.json['data']['runs'][0]['runId']}/cancel")
        single = {**things[0], "idempotencyKey": "thing 0"}
        async with asyncio.timeout(60):  # how many wait is counted about once a second
            while (told := await _batch(bay, [single])).status == 503:  # noqa: ASYNC110  nothing else tells of it
                await asyncio.sleep(0.05)
        mixed = await _batch(bay, [single, {**things[1], "idempotencyKey": "thing 1"}])
        assert (told.status, mixed.status) == (202, 503)
        assert (await _batch(bay, [single])).json["data"]["runs"][0]["replayed"] is True


async def test_a_repeated_batch_gives_the_same_runs_and_another_one_under_its_key_is_refused(bay: Bay):
    first = await _batch(bay, _things(5), key="lot")
    again = await _batch(bay, _things(5), key="lot")
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert [run["runId"] for run in again.json["data"]["runs"]] == [run["runId"] for run in first.json["data"]["runs"]]
    assert all(run["replayed"] for run in again.json["data"]["runs"])
    for told in (
        await _batch(bay, _things(6), key="lot"),
        await _batch(bay, _things(5), PUT, key="lot"),
        await bay.run(CREATE, {"name": "n0"}, mode="async", key="lot"),
    ):
        assert (told.status, told.json["error"]["code"]) == (422, "idempotency_mismatch")
    await bay.depot.arrived("POST /things", 5)
    assert bay.depot.count("POST /things") == 5


async def test_the_key_of_a_single_run_of_a_batch_is_that_of_a_single_run(bay: Bay):
    alone = await bay.run(CREATE, {"name": "n0"}, mode="async", key="own")
    runs = [{"runnerData": {"name": "n0"}, "idempotencyKey": "own"}, {"runnerData": {"name": "n1"}, "idempotencyKey": "other"}]
    told = await _batch(bay, runs)
    first, second = told.json["data"]["runs"]
    assert (first["runId"], first["replayed"], second["replayed"]) == (alone.json["data"]["runId"], True, False)
    twice = await _batch(
        bay, [{"runnerData": {"name": "n2"}, "idempotencyKey": "k"}, {"runnerData": {"name": "n3"}, "idempotencyKey": "k"}]
    )
    assert [run["status"] for run in twice.json["data"]["runs"]] == ["accepted", "refused"]
    assert twice.json["data"]["runs"][1]["error"]["fields"][0]["path"] == "runs[1].idempotencyKey"
    other = await _batch(bay, [{"runnerData": {"name": "n9"}, "idempotencyKey": "own"}, {"runnerData": {"name": "n4"}}])
    assert [run.get("error", {}).get("code") for run in other.json["data"]["runs"]] == ["idempotency_mismatch", None]


async def test_batches_repeated_at_once_are_one(bay: Bay):
    told = await asyncio.gather(*(_batch(bay, _things(20), key="crowd") for _number in range(20)))
    assert {reply.status for reply in told} == {202}
    assert len({tuple(run["runId"] for run in reply.json["data"]["runs"]) for reply in told}) == 1
    assert sum("idempotent-replayed" not in reply.headers for reply in told) == 1
    await bay.depot.arrived("POST /things", 20)
    assert bay.depot.count("POST /things") == 20


async def test_overlapping_batches_share_the_runs_whose_keys_they_share(bay: Bay):
    def runs(first: int) -> list[dict[str, Any]]:
        return [{"runnerData": {"name": f"n{n}"}, "idempotencyKey": f"shared {n}"} for n in range(first, first + 10)]

    told = await asyncio.gather(*(_batch(bay, runs(first)) for first in (0, 5, 10, 0, 5)))
    by_name: dict[int, set[str]] = {}
    for first, reply in zip((0, 5, 10, 0, 5), told, strict=True):
        assert reply.status == 202
        for run in reply.json["data"]["runs"]:
            by_name.setdefault(first + run["index"], set()).add(run["runId"])
    assert len(by_name) == 20
    assert all(len(ids) == 1 for ids in by_name.values())


async def test_an_accepted_batch_outlives_a_kill(tmp_path):
    async with open_depot() as depot:
        depot.answers["GET /ask"] = lambda _asked: None
        async with running_process(tmp_path, depot) as first:
            token, connection = first.served.token, await first.served.connect(PARTNER, {"key": SECRET})
            told = await _batch(first.bay(depot, connection), [{}] * 300, ASK, key="kept")
            await first.kill()
        assert told.json["data"]["accepted"] == 300
        depot.answers["GET /ask"] = answer(200, {"answer": "yes"})
        async with running_process(tmp_path, depot, token=token) as second:
            bay = second.bay(depot, connection)
            again = await _batch(bay, [{}] * 300, ASK, key="kept")
            assert [run["runId"] for run in again.json["data"]["runs"]] == [run["runId"] for run in told.json["data"]["runs"]]
            for run in told.json["data"]["runs"][::50]:
                assert (await bay.until(run["runId"], seconds=60))["status"] == "succeeded"
