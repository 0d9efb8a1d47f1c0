"""Events as their receivers see them: what is told, how it is signed, who is told, and what becomes of it in the API."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from e2e.depot import CREATE, PARTNER, PUT, SECRET, Bay, open_bay, open_depot
from e2e.receiver import Receiver, events_of, make_endpoint, open_receiver, read_event, signed, until
from e2e.served import answer
from polyport.engine.links import finish_by_fields
from polyport.testing.leaks import find_leaks

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def bay(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bay]:
    async with open_depot() as depot, open_bay(tmp_path_factory.mktemp("bay"), depot, events_result_limit=200) as found:
        yield found


@pytest.fixture
async def receiver(anyio_backend: str) -> AsyncIterator[Receiver]:
    async with open_receiver() as found:
        yield found


@pytest.fixture
async def clean(bay: Bay) -> AsyncIterator[Bay]:
    """The server without endpoints of other tests."""
    bay.depot.answers.clear()
    yield bay
    for endpoint in (await bay.served.call("GET", "/event-endpoints"))[2]["data"]:
        await bay.served.call("DELETE", f"/event-endpoints/{endpoint['endpointId']}")


async def callback_secret(bay: Bay, **body: Any) -> str:
    return str((await bay.served.call("POST", "/account/callback-secret/rotate", body))[2]["data"]["secret"])


def is_parked(event: Any) -> bool:
    """Whether an event that was never sent waits for its endpoint."""
    return event["attempts"] == 0 and event["nextAttemptAt"] is None


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_the_end_of_a_run_is_told_to_its_callback_address_signed_by_the_accounts_secret(clean: Bay, receiver: Receiver, mode: str):
    secret = await callback_secret(clean)
    run = (await clean.run(CREATE, {"name": "Lamp"}, mode=mode, callbackUrl=receiver.url, metadata={"order": 7})).json["data"]
    await receiver.arrived()
    (asked,), (told,) = receiver.asked, receiver.told
    read = await clean.read(run["runId"])

    assert (asked.method, asked.headers["content-type"]) == ("POST", "application/json")
    assert signed(asked, secret)
    assert not signed(asked, "whsec_" + "A" * 43 + "=")
    assert told["type"] == "run.finished"
    assert told["timestamp"].endswith("+00:00")
    assert told["data"] == read
    assert (read["status"], read["metadata"], read["result"]["name"]) == ("succeeded", {"order": 7}, "Lamp")
    event = await until(clean.served, receiver.ids[0], "delivered")
    assert (event["attempts"], event["lastStatus"], event["lastError"], event["payload"]) == (1, 204, None, told)


async def test_a_run_that_failed_tells_its_error(clean: Bay, receiver: Receiver):
    clean.depot.answers["PUT /things/1"] = answer(422, {"error": {"message": "no such shelf"}})
    failed = await clean.run(PUT, {"id": "1"}, callbackUrl=receiver.url)
    await receiver.arrived()

    assert failed.status == 424
    assert receiver.told[0]["data"]["status"] == "failed"
    assert receiver.told[0]["data"]["error"]["code"] == "partner_error"


async def test_a_run_that_is_cancelled_before_it_began_is_told(clean: Bay, receiver: Receiver):
    accepted = await clean.run(CREATE, {"name": "Lamp"}, mode="async", callbackUrl=receiver.url, notBefore=int(time.time()) + 3600)
    run_id = accepted.json["data"]["runId"]
    assert (await clean.served.call("POST", f"/runs/{run_id}/cancel"))[0] in {200, 202}
    await receiver.arrived()

    (told,) = receiver.told
    assert (told["type"], told["data"]["runId"], told["data"]["status"]) == ("run.finished", run_id, "cancelled")


async def test_each_run_of_a_batch_is_told_to_the_address_of_its_own(clean: Bay, receiver: Receiver):
    runs = [{"credentialData": {"0": {"value": clean.connection}}, "runnerData": {"name": f"Lamp {number}"}} for number in range(3)]
    runs[0]["callbackUrl"] = runs[1]["callbackUrl"] = receiver.url
    status, _headers, found = await clean.served.call("POST", "/runs/batch", {"triggerActionId": CREATE, "runs": runs})
    assert status == 202, found
    await receiver.arrived(2)
    ids = {item["runId"] for item in found["data"]["runs"][:2]}

    assert {told["data"]["runId"] for told in receiver.told} == ids


async def test_a_large_result_is_left_out_and_read_with_the_run(clean: Bay, receiver: Receiver):
    run = (await clean.run(PUT, {"id": "1", "name": "x" * 300}, callbackUrl=receiver.url)).json["data"]
    await receiver.arrived()

    assert receiver.told[0]["data"]["resultOmitted"] is True
    assert "result" not in receiver.told[0]["data"]
    assert (await clean.read(run["runId"]))["result"] == {"name": "x" * 300}


async def test_endpoints_are_told_what_they_asked_for(clean: Bay, receiver: Receiver):
    async with open_receiver() as runs, open_receiver() as all_things:
        await make_endpoint(clean.served, receiver.url, "connection.*")
        await make_endpoint(clean.served, runs.url, "run.finished")
        await make_endpoint(clean.served, all_things.url)
        await clean.run(CREATE, {"name": "Lamp"})
        connection = await clean.served.connect(PARTNER, {"key": SECRET})
        await clean.served.call("PATCH", f"/credentials/{connection}", {"title": "Renamed"})
        await clean.served.call("PATCH", f"/credentials/{connection}", {"fields": {"key": "another-key-0001"}})
        await clean.served.call("DELETE", f"/credentials/{connection}")
        await all_things.arrived(5)
        await receiver.arrived(4)

        of_connections = ["connection.created", "connection.deleted", "connection.updated", "connection.updated"]
        assert sorted(told["type"] for told in receiver.told) == of_connections
        assert [told["type"] for told in runs.told] == ["run.finished"]
        assert sorted(told["type"] for told in all_things.told) == [*of_connections, "run.finished"]
        assert {told["data"]["credentialId"] for told in receiver.told} == {connection}
        assert find_leaks({"key": SECRET, "other": "another-key-0001"}, *(asked.body for asked in receiver.asked)) == []


async def test_a_connection_that_turns_invalid_is_told_once_with_the_address_to_connect_again(clean: Bay, receiver: Receiver):
    endpoint = await make_endpoint(clean.served, receiver.url, "connection.invalid", "connection.updated")
    connection = await clean.served.connect(PARTNER, {"key": SECRET})
    clean.depot.answers["GET /me"] = answer(401, {"error": "revoked"})
    for _again in range(3):
        tested = await clean.served.call("POST", f"/credentials/{connection}/test")
        assert tested[2]["data"]["ok"] is False
    clean.depot.answers.clear()
    await clean.served.call("POST", f"/credentials/{connection}/test")
    await receiver.arrived(2)
    invalid = next(told for told in receiver.told if told["type"] == "connection.invalid")
    again = next(told for told in receiver.told if told["type"] == "connection.updated")

    assert (invalid["data"]["credentialId"], invalid["data"]["status"]) == (connection, "invalid")
    assert invalid["data"]["reconnectUrl"].startswith(f"{clean.served.origin}/connect?id=")
    assert again["data"]["status"] == "active"
    assert all(signed(asked, endpoint["secret"]) for asked in receiver.asked)
    held = await events_of(clean.served, f"&endpointId={endpoint['endpointId']}")
    assert len(held) == 2
    assert "reconnectUrl" not in json.dumps(await read_event(clean.served, held[-1]["eventId"]))


async def test_a_link_that_was_used_is_told_to_its_callback_address_and_to_endpoints(clean: Bay, receiver: Receiver):
    async with open_receiver() as subscribed:
        await make_endpoint(clean.served, subscribed.url, "link.completed", "connection.created")
        body = {"partnerId": PARTNER, "title": "Shop", "callbackUrl": receiver.url, "externalUserId": "u-1", "metadata": {"plan": "a"}}
        made = (await clean.served.call("POST", "/credentials/grant-access-sharing", body))[2]["data"]
        runtime = clean.served.runtime
        link = await runtime.repo.links.find(made["id"], runtime.now_ms())
        assert link is not None
        await finish_by_fields(clean.served.services.engine.desk, link, None, {"key": SECRET}, "browser")
        await receiver.arrived()
        await subscribed.arrived(2)
        read = (await clean.served.call("GET", f"/credentials/grant-access-sharing/{made['id']}"))[2]["data"]

    assert [told["type"] for told in receiver.told] == ["link.completed"]
    assert receiver.told[0]["data"] == read
    assert (read["status"], read["externalUserId"], read["token"]) == (1, "u-1", None)
    assert sorted(told["type"] for told in subscribed.told) == ["connection.created", "link.completed"]
    assert find_leaks({"token": made["token"], "key": SECRET}, *(asked.body for asked in (*receiver.asked, *subscribed.asked))) == []


async def test_a_run_that_proves_an_unproved_connection_is_told(clean: Bay, receiver: Receiver):
    clean.depot.answers["GET /me"] = answer(503)
    body = {"partnerId": PARTNER, "title": "Unproved", "fields": {"key": SECRET}, "verify": False}
    made = (await clean.served.call("POST", "/credentials", body))[2]["data"]
    assert made["status"] == "pending"
    await make_endpoint(clean.served, receiver.url, "connection.updated")
    await Bay(served=clean.served, depot=clean.depot, connection=made["credentialId"]).run(CREATE, {"name": "Lamp"})
    await receiver.arrived()
    assert [(told["type"], told["data"]["credentialId"], told["data"]["status"]) for told in receiver.told] == [
        ("connection.updated", made["credentialId"], "active")
    ]


async def test_what_was_told_of_an_end_user_is_erased_with_the_user(clean: Bay, receiver: Receiver):
    made = await make_endpoint(clean.served, receiver.url)
    user = (await clean.served.call("POST", "/users", {"externalId": "user-of-events"}))[2]["data"]["id"]
    connection = await clean.served.connect(PARTNER, {"key": SECRET}, externalUserId="user-of-events")
    theirs = Bay(served=clean.served, depot=clean.depot, connection=connection)
    assert (await theirs.run(CREATE, {"name": "Lamp"})).status == 200
    assert (await clean.run(CREATE, {"name": "Of nobody"})).status == 200
    await receiver.arrived(3)
    assert (await clean.served.call("DELETE", f"/users/{user}"))[0] in {200, 202}
    await receiver.arrived(4)
    async with asyncio.timeout(60):
        while (await clean.served.fetch("GET", f"/users/{user}")).status != 404:  # noqa: ASYNC110  read as a caller reads it
            await asyncio.sleep(0.05)

    left = await events_of(clean.served, f"&endpointId={made['endpointId']}")
    assert [event["type"] for event in left] == ["connection.deleted", "run.finished"]
    gone, other = [(await read_event(clean.served, event["eventId"]))["payload"]["data"] for event in left]
    assert (gone["credentialId"], gone["externalUserId"], gone["fields"], gone["account"]) == (connection, "user-of-events", {}, None)
    assert other["result"]["name"] == "Of nobody"


async def test_a_run_that_nobody_listens_for_leaves_no_event(clean: Bay, receiver: Receiver):
    await make_endpoint(clean.served, receiver.url, "link.completed")
    before = len(await events_of(clean.served))
    await clean.run(CREATE, {"name": "Lamp"})

    assert len(await events_of(clean.served)) == before
    assert receiver.asked == []


async def test_an_endpoint_shows_its_secret_once_and_is_tested(clean: Bay, receiver: Receiver):
    made = await make_endpoint(clean.served, receiver.url, "run.finished", title="Ours")
    read = (await clean.served.call("GET", f"/event-endpoints/{made['endpointId']}"))[2]["data"]
    listed = await clean.served.fetch("GET", "/event-endpoints")
    status, headers, test = await clean.served.call("POST", f"/event-endpoints/{made['endpointId']}/test")
    await receiver.arrived()

    assert made == read | {"secret": made["secret"]}
    assert made["secret"].startswith("whsec_")
    assert read["secrets"] == [{"hint": f"...{made['secret'][-4:]}", "createdAt": read["createdAt"], "until": None}]
    assert (status, headers["location"]) == (202, f"/events/{test['data']['eventId']}")
    assert receiver.told[0] == {
        "type": "endpoint.test",
        "timestamp": receiver.told[0]["timestamp"],
        "data": {"endpointId": made["endpointId"]},
    }
    assert signed(receiver.asked[0], made["secret"])
    assert find_leaks({"secret": made["secret"]}, listed.content, clean.served.runtime.settings.data) == []


async def test_what_happens_while_an_endpoint_is_paused_waits_for_it(clean: Bay, receiver: Receiver):
    made = await make_endpoint(clean.served, receiver.url, "run.finished")
    path = f"/event-endpoints/{made['endpointId']}"
    assert (await clean.served.call("PATCH", path, {"status": "paused"}))[2]["data"]["status"] == "paused"
    await clean.run(CREATE, {"name": "Lamp"})
    (event,) = await events_of(clean.served, f"&endpointId={made['endpointId']}")
    parked = await until(clean.served, event["eventId"], is_parked)
    refused = await clean.served.call("POST", f"{path}/test")
    not_now = await clean.served.call("POST", f"/events/{event['eventId']}/replay")
    assert receiver.asked == []
    await clean.served.call("PATCH", path, {"status": "active", "title": "Back"})
    await receiver.arrived()

    assert (parked["status"], parked["attempts"]) == ("pending", 0)
    assert (refused[0], refused[2]["error"]["code"]) == (409, "conflict")
    assert (not_now[0], not_now[2]["error"]["code"]) == (409, "conflict")
    assert (await until(clean.served, event["eventId"], "delivered"))["attempts"] == 1


async def test_what_waits_for_an_endpoint_that_is_deleted_becomes_a_dead_letter(clean: Bay, receiver: Receiver):
    made = await make_endpoint(clean.served, receiver.url, "run.finished")
    path = f"/event-endpoints/{made['endpointId']}"
    await clean.served.call("PATCH", path, {"status": "paused"})
    await clean.run(CREATE, {"name": "Lamp"})
    (event,) = await events_of(clean.served, f"&endpointId={made['endpointId']}")
    await until(clean.served, event["eventId"], is_parked)
    assert (await clean.served.call("DELETE", path))[0] == 200

    dead = await until(clean.served, event["eventId"], "dead")
    assert dead["lastError"] == "Its endpoint was deleted."
    assert receiver.asked == []
    assert (await clean.served.call("GET", path))[0] == 404


async def test_another_address_holds_for_what_waits_already(clean: Bay, receiver: Receiver):
    async with open_receiver() as moved:
        made = await make_endpoint(clean.served, receiver.url, "run.finished")
        path = f"/event-endpoints/{made['endpointId']}"
        await clean.served.call("PATCH", path, {"status": "paused"})
        await clean.run(CREATE, {"name": "Lamp"})
        await clean.served.call("PATCH", path, {"status": "active", "url": moved.url, "eventTypes": ["connection.*"]})
        await moved.arrived()

    assert receiver.asked == []
    assert moved.told[0]["type"] == "run.finished"


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, [("url", "required")]),
        ({"url": "https://example.com", "eventTypes": []}, [("eventTypes", "too_short")]),
        ({"url": "https://example.com", "eventTypes": ["run.*", "run.finished"]}, [("eventTypes[0]", "value_error")]),
        ({"url": "http://example.com/hook"}, [("url", "not_https")]),
        ({"url": "http://93.184.216.34/hook"}, [("url", "not_https")]),
        ({"url": "https://10.0.0.1/hook"}, [("url", "blocked_address")]),
        ({"url": "https://169.254.169.254/latest"}, [("url", "blocked_address")]),
        ({"url": "https://user:pass@example.com/"}, [("url", "blocked_address")]),
        ({"url": "ftp://example.com/"}, [("url", "blocked_address")]),
        ({"url": "hook"}, [("url", "blocked_address")]),
        ({"url": "https://example.com/" + "x" * 2000}, [("url", "string_too_long")]),
        ({"url": "https://example.com", "secret": "mine"}, [("secret", "unknown_field")]),
    ],
)
async def test_an_endpoint_that_cannot_be_is_refused_with_every_fault(bay: Bay, body: Any, faults: list[tuple[str, str]]):
    status, _headers, found = await bay.served.call("POST", "/event-endpoints", body)

    assert status == 422
    assert [(fault["path"], fault["code"]) for fault in found["error"]["fields"]] == faults


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://example.com/hook", "not_https"),
        ("https://192.168.1.1/", "blocked_address"),
        (7, "wrong_type"),
        ("", "blocked_address"),
        ("https://example.com/" + "x" * 2000, "too_long"),
    ],
)
@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_callback_address_is_judged_before_a_run_is_accepted(bay: Bay, url: Any, code: str, mode: str):
    before = await bay.count_runs()
    refused = await bay.run(CREATE, {"name": "Lamp"}, mode=mode, callbackUrl=url)

    assert refused.status == 422
    assert [(fault["path"], fault["code"]) for fault in refused.json["error"]["fields"]] == [("callbackUrl", code)]
    assert await bay.count_runs() == before


@pytest.mark.parametrize("query", ["type=run", "status=lost", "cursor=evt_1", "filter[url]=x"])
async def test_a_list_of_events_refuses_what_it_does_not_know(bay: Bay, query: str):
    status, _headers, found = await bay.served.call("GET", f"/events?{query}")

    assert (status, found["error"]["code"]) == (422, "validation_failed")
    assert found["error"]["fields"][0]["path"].split("=")[0] == query.split("=", maxsplit=1)[0]


async def test_events_are_read_page_by_page(clean: Bay, receiver: Receiver):
    made = await make_endpoint(clean.served, receiver.url, "run.finished")
    for number in range(5):
        await clean.run(CREATE, {"name": f"Lamp {number}"})
    seen, cursor = [], ""
    while cursor is not None:
        page = (await clean.served.call("GET", f"/events?endpointId={made['endpointId']}&per-page=2&cursor={cursor}"))[2]
        assert all(event["payload" if "payload" in event else "type"] == "run.finished" for event in page["data"])
        seen += [event["eventId"] for event in page["data"]]
        cursor = page["meta"]["nextCursor"]

    assert len(seen) == 5
    assert seen == sorted(seen, reverse=True)


async def test_keys_without_the_scope_see_and_change_nothing(bay: Bay):
    keys = {}
    for scope in ("runs:read", "connections:write"):
        keys[scope] = (await bay.served.call("POST", "/api-keys", {"title": scope, "scopes": [scope]}))[2]["data"]["key"]

    async def status(method: str, path: str, scope: str) -> int:
        return (await bay.served.fetch(method, path, token=keys[scope])).status

    assert await status("GET", "/events", "runs:read") == 403
    assert await status("GET", "/events", "connections:write") == 403
    assert await status("GET", "/event-endpoints", "runs:read") == 403
    assert await status("POST", "/events/replay", "runs:read") == 403
    assert await status("POST", "/account/callback-secret/rotate", "runs:read") == 403


async def test_the_secret_of_callbacks_is_masked_but_for_the_answer_that_makes_it(clean: Bay, tmp_path: Path):
    first, second = await callback_secret(clean), await callback_secret(clean, keepFor=60)
    read = await clean.served.fetch("GET", "/account/callback-secret")

    assert first != second
    assert find_leaks({"first": first, "second": second}, read.content) == []
    hints = [secret["hint"] for secret in read.json["data"]["secrets"]]
    assert hints[:2] == [f"...{second[-4:]}", f"...{first[-4:]}"]
    untils = [secret["until"] is None for secret in read.json["data"]["secrets"]]
    assert untils == [True] + [False] * (len(untils) - 1)
