"""Requests of a caller's own, passed on to the partner's own address and signed by a connection: they are runs like any other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from yarl import URL

from e2e.depot import PARTNER, SECRET, Bay, open_bay, open_depot
from e2e.served import Asked, Reply, answer

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def shared(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bay]:
    async with open_depot() as depot, open_bay(tmp_path_factory.mktemp("bay"), depot) as found:
        yield found


@pytest.fixture
async def bay(shared: Bay) -> Bay:
    return await shared.afresh()


async def _pass(bay: Bay, path: str, body: dict[str, Any] | None = None, *, key: str | None = None, **more: Any) -> Reply:
    headers = {"Idempotency-Key": key} if key is not None else {}
    return await bay.served.fetch("POST", f"/proxy/{bay.connection}/{path}", body, headers=headers, **more)


def _faults(told: Reply) -> set[tuple[str, str]]:
    assert (told.status, told.json["error"]["code"]) == (422, "validation_failed"), told.json
    return {(fault["path"], fault["code"]) for fault in told.json["error"]["fields"]}


async def test_a_request_goes_to_the_partners_own_address_with_the_connections_secret(bay: Bay):
    bay.depot.answers["GET /things/7"] = answer(200, {"id": 7}, {"X-Pages": "3"})
    told = await _pass(bay, "things/7?expand=a&expand=b&q=x%20y")
    assert told.status == 200, told.json
    result = told.json["data"]["result"]
    assert (result["status"], result["headers"]["x-pages"], result["body"]) == (200, "3", {"id": 7})
    (asked,) = bay.depot.wire.asked
    assert (asked.method, asked.target) == ("GET", "/v1/things/7?expand=a&expand=b&q=x%20y")
    assert asked.headers["x-key"] == SECRET
    run = await bay.read(told.json["data"]["runId"])
    assert (run["status"], run["partnerId"], run["triggerActionId"], run["credentialId"]) == ("succeeded", PARTNER, None, bay.connection)
    assert SECRET not in json.dumps(await bay.attempts(run["runId"]))


@pytest.mark.parametrize(
    ("body", "sent", "kind"),
    [
        ({"json": {"name": "Lamp", "tags": [1, 2.5]}}, '{"name":"Lamp","tags":[1,2.5]}', "application/json"),
        ({"json": [1, "two"]}, '[1,"two"]', "application/json"),
        ({"form": {"name": "a b", "n": 1}}, "name=a+b&n=1", "application/x-www-form-urlencoded"),
        ({"text": "<a/>", "contentType": "application/xml"}, "<a/>", "application/xml"),
        ({}, "", None),
    ],
)
async def test_a_body_is_sent_as_it_is_meant(bay: Bay, body: dict[str, Any], sent: str, kind: str | None):
    bay.depot.answers["*"] = answer(201, {"ok": True})
    told = await _pass(bay, "things", {"method": "POST", "headers": {"X-Mine": "yes"}, **body})
    assert told.status == 200, told.json
    (asked,) = bay.depot.wire.asked
    assert (asked.method, asked.headers["x-mine"]) == ("POST", "yes")
    assert asked.body.decode().replace("%20", "+") == sent
    assert (asked.headers.get("content-type") or "").partition(";")[0] == (kind or "")


@pytest.mark.parametrize("method", ["get", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_goes_through(bay: Bay, method: str):
    bay.depot.answers["*"] = answer(200, {"ok": True})
    assert (await _pass(bay, "x/y/", {"method": method, "query": {"a": 1}})).status == 200
    (asked,) = bay.depot.wire.asked
    assert (asked.method, asked.target) == (method.upper(), "/v1/x/y/?a=1")


async def test_an_encoded_slash_stays_in_its_segment(bay: Bay):
    bay.depot.answers["*"] = answer(200, b"plain words", {"Content-Type": "text/plain"})
    told = await bay.served.fetch("POST", f"/proxy/{bay.connection}/files/a%252Fb/c%20d")
    assert told.json["data"]["result"]["text"] == "plain words"
    assert bay.depot.wire.asked[0].target == "/v1/files/a%252Fb/c%20d"


async def test_a_slash_too_many_before_the_path_changes_nothing(bay: Bay):
    assert (await bay.served.fetch("POST", f"//proxy/{bay.connection}/things/7")).status == 200
    assert [asked.target for asked in bay.depot.wire.asked] == ["/v1/things/7"]


async def test_a_refusal_of_the_partner_is_told_as_of_any_run(bay: Bay):
    bay.depot.answers["*"] = answer(404, {"message": "no such thing"})
    told = await _pass(bay, "things/9")
    assert (told.status, told.json["error"]["code"], told.json["error"]["upstream"]["status"]) == (424, "partner_error", 404)
    assert (await bay.read(told.json["error"]["runId"]))["status"] == "failed"


async def test_what_may_change_something_is_not_repeated_and_what_reads_is(bay: Bay):
    bay.depot.answers["*"] = answer(500)
    told = await _pass(bay, "things", {"method": "POST", "json": {}})
    assert (told.status, told.json["error"]["outcome"], len(bay.depot.wire.asked)) == (502, "uncertain", 1)
    bay.depot.wire.asked.clear()
    bay.depot.answers["*"] = lambda _asked: (
        answer(503, headers={"Retry-After": "0.05"}) if len(bay.depot.wire.asked) == 1 else answer(200, {})
    )
    assert (await _pass(bay, "things")).json["data"]["attempts"] == 2


async def test_a_key_makes_it_once(bay: Bay):
    async def slow(_asked: Asked) -> bytes:
        await asyncio.sleep(0.05)
        return answer(201, {"id": 5})

    bay.depot.answers["*"] = slow
    sent = {"method": "POST", "json": {"a": 1.0}}
    told = await asyncio.gather(*(_pass(bay, "things", sent, key="once") for _number in range(20)))
    assert {reply.status for reply in told} <= {200, 409}
    again = await _pass(bay, "things", {"json": {"a": 1}, "method": "POST"}, key="once")
    assert (again.status, again.headers["idempotent-replayed"], len(bay.depot.wire.asked)) == (200, "true", 1)
    for path, body in (("things", {"method": "PUT", "json": {"a": 1}}), ("other", sent), ("things?x=1", sent)):
        assert (await _pass(bay, path, body, key="once")).json["error"]["code"] == "idempotency_mismatch"


async def test_a_passed_request_can_be_tried_dry_and_replayed(bay: Bay):
    told = await _pass(bay, "things/7", {"dryRun": True, "query": {"a": [1, 2]}})
    (planned,) = told.json["data"]["requests"]
    assert (planned["method"], planned["url"].endswith("/v1/things/7?a=1&a=2"), SECRET in json.dumps(planned)) == ("GET", True, False)
    assert bay.depot.wire.asked == []
    first = (await _pass(bay, "ask")).json["data"]["runId"]
    again = await bay.served.fetch("POST", f"/runs/{first}/replay")
    assert (await bay.until(again.json["data"]["runId"]))["result"]["body"]["answer"] == "yes"


@pytest.mark.parametrize(
    ("path", "body", "faults"),
    [
        ("things", {"method": "TRACE"}, {("method", "unknown_option")}),
        (
            "things",
            {"method": 7, "query": [], "headers": "x", "text": 1},
            {("method", "unknown_option"), ("query", "wrong_type"), ("headers", "wrong_type"), ("text", "wrong_type")},
        ),
        ("things", {"json": {}}, {("json", "not_allowed")}),
        ("things", {"method": "POST", "json": {}, "text": "x", "form": {}}, {("form", "not_allowed"), ("text", "not_allowed")}),
        (
            "things",
            {"nmae": 1, "timeoutMs": 1, "notBefore": 1},
            {("nmae", "unknown_field"), ("timeoutMs", "out_of_range"), ("notBefore", "unknown_field")},
        ),
        ("a//b", {}, {("path", "wrong_format")}),
        ("a/%ff", {}, {("path", "wrong_format")}),
        ("things", {"headers": {"Host": "evil.example"}}, {("", "cannot_be_sent")}),
        ("things", {"headers": {"X-A": "one\r\nX-B: two"}}, {("", "cannot_be_sent")}),
    ],
)
async def test_what_cannot_be_passed_on_is_refused_and_nothing_is_sent(
    bay: Bay, path: str, body: dict[str, Any], faults: set[tuple[str, str]]
):
    if "cannot_be_sent" in str(faults):
        told = await _pass(bay, path, body)
        assert (told.status, told.json["error"]["fields"][0]["code"]) == (422, "cannot_be_sent")
    else:
        assert _faults(await _pass(bay, path, body)) == faults
    assert bay.depot.wire.asked == []


async def test_a_connection_that_there_is_not_and_a_partner_without_an_address_pass_nothing_on(bay: Bay):
    told = await bay.served.fetch("POST", "/proxy/999999/things")
    assert (told.status, told.json["error"]["code"]) == (404, "not_found")
    assert (await bay.served.fetch("POST", f"/proxy/{bay.connection}/things", content=b"[]")).status == 422
    generic = await bay.served.connect(2, {}, auth="none")
    told = await bay.served.fetch("POST", f"/proxy/{generic}/things")
    assert told.status in {404, 422}, told.json


async def test_a_path_does_not_climb_above_the_partners_own_address(bay: Bay):
    headers = {"Authorization": f"Bearer {bay.served.token}"}
    for path in ("..", "../admin", "%2e%2e/admin", "things/%2E./x", "."):
        url = URL(f"{bay.served.origin}/proxy/{bay.connection}/{path}", encoded=True)
        async with bay.served.client.post(url, headers=headers, json={}) as told:
            assert told.status == 422, await told.text()
            assert [fault["path"] for fault in (await told.json())["error"]["fields"]] == ["path"]
    assert bay.depot.wire.asked == []
