"""Runs in the console: what the list and a run show, whatever other people's text is, and what one does from there."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from e2e.console import Browsing, member, text_of
from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Asked, Reply, Served, answer, upstream

pytestmark = pytest.mark.anyio

CREATE, GET = 2250101, 2250103
HOSTILE = "<script>alert(1)</script>\u202egnp.exe <img src=x onerror=alert(2)> {{ 7*7 }} \"'`"


@pytest.fixture(scope="module")
async def connection(anyio_backend: str, house: Served) -> int:
    return await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)


async def run(served: Served, connection: int, operation: int, fields: dict[str, Any], mode: str = "sync", **more: Any) -> str:
    body = {"credentialData": {"0": {"value": connection}}, "runnerData": fields, **more}
    _status, _headers, answer = await served.call("POST", f"/partners/trigger-actions/{operation}/run/{mode}", body)
    return str(answer["data"]["runId"] if answer["success"] else answer["error"]["runId"])


async def ended(served: Served, run_id: str) -> dict[str, Any]:
    for _look in range(400):
        found = (await served.call("GET", f"/runs/{run_id}"))[2]["data"]
        if found["finishedAt"] is not None:
            return dict(found)
        await asyncio.sleep(0.02)
    raise AssertionError("the run does not end")


@pytest.fixture
async def failed(house: Served, connection: int) -> str:
    return await run(house, connection, GET, {"id": 999})


async def test_a_failed_run_says_what_it_means_and_what_to_do(owner: Browsing, failed: str):
    text = text_of(await owner.get(f"/console/runs/{failed}"))

    for told in (
        "The partner read the request and refused it.",
        "The partner refused the request: Person not found",
        "Check the ids in the input",
        "No further attempt is made",
        "/api/v2/persons/999",
        "x-api-token: [secret]",
    ):
        assert told in text, told
    assert re.search(r'"error"\s*:\s*"Person not found"', text)
    assert PIPEDRIVE_FIELDS["api_token"] not in text


async def test_other_peoples_text_is_text_and_nothing_else(house: Served, owner: Browsing):
    user = HOSTILE[:60]
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, externalUserId=user)
    run_id = await run(house, connection, CREATE, {"name": HOSTILE}, externalUserId=user, metadata={HOSTILE: HOSTILE + "x" * 10_000})
    for path in (f"/console/runs/{run_id}", "/console/runs", f"/console/runs?q={user}"):
        page = await owner.get(path)
        content = page.content.decode()
        assert page.status == 200
        assert "<script>alert" not in content
        assert "<img src=x" not in content
        assert "{{ 7*7 }}" in content or path != f"/console/runs/{run_id}"
        assert "alert(1)" in content, path


@pytest.mark.parametrize(
    ("query", "there"),
    [
        ("status=failed", True),
        ("status=succeeded", False),
        ("partnerId=225", True),
        ("since=1h", True),
        ("triggerActionId=2250103", True),
        ("q=nobody", False),
    ],
)
async def test_filters_of_the_query_string_narrow_the_list(owner: Browsing, failed: str, query: str, there: bool):
    content = (await owner.get(f"/console/runs?{query}")).content.decode()

    assert (f"/console/runs/{failed}" in content) is there


async def test_a_run_id_in_the_search_leads_to_the_run(owner: Browsing, failed: str):
    found = await owner.get(f"/console/runs?q={failed}")

    assert (found.status, found.headers["location"]) == (303, f"/console/runs/{failed}")
    assert (await owner.get(f"/console/runs?q=%20{failed.upper()}%20")).headers["location"] == f"/console/runs/{failed}"
    for part in ("run_", failed[:-1], "run_%0d%0aSet-Cookie:x"):
        stays = await owner.get(f"/console/runs?q={part}")
        assert (stays.status, "No run fits" in text_of(stays)) == (200, True)
    none = await owner.get(f"/console/runs?q=run_{'0' * 32}&triggerActionId=x")
    assert (none.status, "No run has this id" in text_of(none)) == (200, True)


async def test_a_key_in_the_search_finds_its_run(house: Served, owner: Browsing, connection: int):
    body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Keyed"}}
    made = await house.call("POST", "/partners/trigger-actions/2250101/run/sync", body, headers={"Idempotency-Key": "order-1027"})
    content = (await owner.get("/console/runs?q=order-1027")).content.decode()

    assert re.findall(r'data-row="(run_\w+)"', content) == [made[2]["data"]["runId"]]


async def test_times_of_the_address_narrow_the_list_however_they_are_written(house: Served, owner: Browsing, failed: str):
    now = house.runtime.now_ms() // 1000
    for query, there in (
        (f"from={now - 60}&to={now + 60}", True),
        (f"to={now - 3600}", False),
        ("from=2020-01-01T00:00&to=2020-01-02T00:00", False),
        ("from=2020-01-01T00:00:00%2B09:00", True),
        ("from=nonsense", True),
        (f"from={now - 60}&since=30d&error=partner_error", True),
        ("error=partner_timeout", False),
    ):
        page = await owner.get(f"/console/runs?{query}")
        assert (page.status, f"/console/runs/{failed}" in page.content.decode()) == (200, there), query


async def test_what_cannot_be_replayed_says_why_and_what_cannot_be_done_is_said_on_the_page(house: Served, owner: Browsing):
    gone = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    run_id = await run(house, gone, GET, {"id": 999})
    assert (await house.call("DELETE", f"/credentials/{gone}"))[0] == 200
    assert "It cannot be replayed. The connection of this run is gone." in text_of(await owner.get(f"/console/runs/{run_id}"))
    refused = await owner.post(f"/console/runs/{run_id}/replay")
    assert 400 <= refused.status < 500
    assert "The partner read the request and refused it." in text_of(refused)


async def test_the_whole_of_a_body_is_downloaded(house: Served, owner: Browsing, failed: str):
    found = await owner.get(f"/console/runs/{failed}/attempts/1/1/reply")
    assert found.headers["content-type"] == "text/plain; charset=utf-8"
    assert found.headers["content-disposition"] == f'attachment; filename="{failed}-1-1-answer.txt"'
    assert b"Person not found" in found.content
    for part in ("1/2/reply", "2/1/reply", "1/1/other", "1/0/reply", "1/1/request"):
        assert (await owner.get(f"/console/runs/{failed}/attempts/{part}")).status == 404, part


async def test_the_form_of_an_operation_is_filled_in_with_what_a_run_was_asked_with(house: Served, owner: Browsing, connection: int):
    run_id = await run(house, connection, CREATE, {"name": "Ada of the run"})
    content = (await owner.get(f"/console/try/{CREATE}?run={run_id}")).content.decode()
    assert 'value="Ada of the run"' in content
    assert f'<option value="{connection}" selected' in content
    other = text_of(await owner.get(f"/console/try/{GET}?run={run_id}"))
    assert "The run in this link is one of another operation: the form is empty." in other
    assert "There is no run with this id." in text_of(await owner.get(f"/console/try/{CREATE}?run=run_0"))


async def test_the_list_is_paged_by_cursor_and_keeps_its_filters(house: Served, owner: Browsing, connection: int):
    runs = [{"runnerData": {"id": 999}} for _run in range(30)]
    body = {"triggerActionId": GET, "credentialData": {"0": {"value": connection}}, "runs": runs}
    status, _headers, answer = await house.call("POST", "/runs/batch", body)
    assert status < 300, answer
    first = (await owner.get("/console/runs?triggerActionId=2250103")).content.decode()
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following is not None
    path = following[1].replace("&amp;", "&")
    second = (await owner.get(path)).content.decode()

    listed = [set(re.findall(r"/console/runs/(run_[0-9a-f]+)\"", content)) for content in (first, second)]
    assert "triggerActionId=2250103" in path
    assert len(listed[0]) == 25
    assert listed[1]
    assert not listed[0] & listed[1]
    assert 'data-live="' in first
    assert 'data-live="' not in second, "what is older does not move under the reader's eyes"


async def test_a_run_is_replayed_once_however_often_one_presses(house: Served, owner: Browsing, failed: str):
    content = (await owner.get(f"/console/runs/{failed}")).content.decode()
    once = re.search(r'name="once" value="([0-9a-f]+)"', content)
    assert once is not None
    found = [await owner.post(f"/console/runs/{failed}/replay", {"once": once[1]}) for _press in range(2)]
    places = {reply.headers["location"] for reply in found}

    assert ([reply.status for reply in found], len(places)) == ([303, 303], 1)
    made = await ended(house, places.pop().rpartition("/")[2])
    assert made["replayOf"] == failed
    assert made["idempotencyKey"] == f"console-{once[1]}"
    again = text_of(await owner.get(f"/console/runs/{made['runId']}"))
    assert f"console-{once[1]}" in again
    assert "For 24 hours, the same call with this key is answered with this run" in again
    assert "No key: the same call again is another run." in text_of(await owner.get(f"/console/runs/{failed}"))


async def test_a_run_that_waits_is_cancelled_and_one_that_ended_says_that_it_has(house: Served, owner: Browsing, connection: int):
    later = int(house.runtime.now_ms() // 1000) + 3600
    waits = await run(house, connection, CREATE, {"name": "Later"}, "async", notBefore=later)
    page = text_of(await owner.get(f"/console/runs/{waits}"))
    assert re.search(r"It starts\s+\d\d \w+ \d{4}, \d\d:\d\d UTC\s*, as it was asked to\.", page)
    cancelled = text_of(await owner.follow(await owner.post(f"/console/runs/{waits}/cancel")))
    assert "The run is cancelled." in cancelled
    assert "Somebody cancelled it." in cancelled
    again = await owner.post(f"/console/runs/{waits}/cancel")
    assert again.status == 409
    for told in ("The run has ended: its status is cancelled.", "Somebody cancelled it.", "Replay"):
        assert told in text_of(again), told


async def test_a_viewer_sees_no_button_that_would_be_refused(house: Served, failed: str):
    viewer = await member(house, "viewer", "viewer@runs.example")
    content = (await viewer.get(f"/console/runs/{failed}")).content.decode()

    assert "/replay" not in content
    assert (await viewer.post(f"/console/runs/{failed}/replay")).status == 403


async def test_what_was_done_in_the_console_is_in_the_audit_log(house: Served, owner: Browsing, failed: str):
    await owner.post(f"/console/runs/{failed}/replay")
    entry = (await house.call("GET", "/audit?per-page=1"))[2]["data"][0]

    assert (entry["via"], entry["action"], entry["target"]) == ("console", "POST /runs/{runId}/replay", f"/runs/{failed}/replay")


async def test_the_stream_says_when_the_list_changes(house: Served, owner: Browsing, connection: int):
    headers = {"Cookie": owner.cookie}
    async with house.client.get(f"{house.origin}/console/runs/stream?status=succeeded", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert (await answer.content.readuntil(b"\n\n")).startswith(b"retry:")
        await run(house, connection, CREATE, {"name": "New"})
        assert b"event: changed" in await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 30)
    assert (await owner.get("/console/runs/stream?status=none")).status == 422


async def test_a_run_of_another_account_is_not_there(house: Served, failed: str):
    await house.second_account()
    stranger = Browsing(served=house)
    await stranger.sign_in("other@example.com")

    for path in (f"/console/runs/{failed}", f"/console/runs/{failed}/stream"):
        assert (await stranger.get(path)).status == 404
    assert (await stranger.post(f"/console/runs/{failed}/replay")).status == 404
    assert "Nothing has run yet" in text_of(await stranger.get("/console/runs"))


async def test_who_was_told_of_a_run_is_told_with_it_and_told_again_on_request(house: Served, owner: Browsing, connection: int):
    body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Told"}, "callbackUrl": "http://127.0.0.1:9/hook"}
    run_id = (await house.call("POST", "/partners/trigger-actions/2250101/run/sync", body))[2]["data"]["runId"]
    told: list[dict[str, Any]] = []
    for _look in range(400):
        told = (await house.call("GET", f"/runs/{run_id}/callbacks"))[2]["data"]
        if told and told[0]["lastError"]:
            break
        await asyncio.sleep(0.02)
    assert [(each["type"], each["url"], each["endpointId"]) for each in told] == [("run.finished", "http://127.0.0.1:9/hook", None)]
    page = text_of(await owner.get(f"/console/runs/{run_id}"))
    assert "Callbacks" in page
    assert "http://127.0.0.1:9/hook" in page
    assert "On its way" in page
    again = await owner.follow(await owner.post(f"/console/runs/{run_id}/callbacks/{told[0]['eventId']}/replay"))
    assert "The receiver is told now." in text_of(again)
    _user, own = await house.end_user("told-nothing")
    assert (await house.fetch("GET", f"/runs/{run_id}/callbacks", token=own)).status == 404
    other = await run(house, connection, CREATE, {"name": "Untold"})
    assert (await house.call("GET", f"/runs/{other}/callbacks"))[2]["data"] == []


async def test_a_callback_that_was_delivered_says_so_and_is_sent_again_by_who_presses(house: Served, owner: Browsing, connection: int):
    told: list[str] = []

    async def receive(asked: Asked) -> bytes:
        told.append(asked.headers["webhook-id"])
        return answer(200, {})

    async with upstream(receive) as receiver:
        body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Told"}, "callbackUrl": receiver.origin + "/hook"}
        run_id = (await house.call("POST", "/partners/trigger-actions/2250101/run/sync", body))[2]["data"]["runId"]
        page = await shown_with(owner, run_id, "Delivered")
        said = r"Delivered\s+Callback of the run\s+http://127\.0\.0\.1:\d+/hook\s+1 attempt\s+delivered .+?Taken\s+Answered 200\s+\d+ ms"
        assert re.search(said, text_of(page), re.DOTALL)
        pressed = re.search(r'action="(/console/runs/[^"]+/callbacks/[^"]+/replay)"', page.content.decode())
        assert pressed is not None
        assert (await owner.post(pressed[1])).status == 303
        async with asyncio.timeout(60):
            while len(told) < 2:  # noqa: ASYNC110  the receiver is asked by the server in its own time
                await asyncio.sleep(0.02)
        assert len(set(told)) == 1, "it is the same event, which a receiver may know by its id"


async def shown_with(owner: Browsing, run_id: str, words: str) -> Reply:
    """The page of a run once it says something."""
    async with asyncio.timeout(60):
        while words not in text_of(page := await owner.get(f"/console/runs/{run_id}")):  # noqa: ASYNC110  it is read as somebody at the page reads it
            await asyncio.sleep(0.05)
    return page
