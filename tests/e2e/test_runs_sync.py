"""Synchronous runs against partners: the guide's five steps to the letter, and what arrives where."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import aiohttp
import pytest

from e2e.depot import NEW, SECRET, Bay, open_bay, open_depot
from e2e.served import HUBSPOT, PIPEDRIVE, Asked, Served, answer, running_server, running_simulator

pytestmark = pytest.mark.anyio

HTTP, SLACK = 2, 301


@pytest.fixture(scope="module")
async def partners(anyio_backend, tmp_path_factory):
    """A server whose Pipedrive, HubSpot and Slack are simulated; with it, the simulators' addresses."""
    async with running_simulator("pipedrive") as pipedrive, running_simulator("hubspot") as hubspot, running_simulator("slack") as slack:
        bases = {"partner_pipedrive_base_url": pipedrive, "partner_hubspot_base_url": hubspot, "partner_slack_base_url": slack}
        async with running_server(tmp_path_factory.mktemp("partners"), **bases) as served:
            yield served, {"pipedrive": pipedrive, "hubspot": hubspot, "slack": slack}


@pytest.fixture(scope="module")
async def shared(anyio_backend, tmp_path_factory):
    async with open_depot() as depot, open_bay(tmp_path_factory.mktemp("bay"), depot) as found:
        yield found


@pytest.fixture
async def bay(shared):
    return await shared.afresh()


async def _door(url: str, name: str) -> Any:
    async with aiohttp.ClientSession() as client, client.get(f"{url}/_simulator/{name}") as found:
        return await found.json()


async def _run(served: Served, operation: int, connection: int | None, data: dict[str, Any], **more: Any) -> Any:
    given = {"credentialData": {"0": {"value": connection}}} if connection is not None else {}
    return await served.fetch("POST", f"/partners/trigger-actions/{operation}/run/sync", {**given, "runnerData": data, **more})


def _custom(key: str) -> str:
    return f"cf__{hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()}"


async def test_a_client_that_follows_the_guide_to_the_letter_gets_through(partners):
    served, urls = partners
    token = (await served.sign_in())["authToken"]
    found = (await served.call("GET", "/partners/info?filter[title][like]=pipedrive", token=token))[2]["data"]
    partner_id = found[0]["partnerId"]
    connection = await served.connect(partner_id, {"company": "acme", "api_token": "token-of-ada-0123456789"}, token=token)
    listed = (await served.call("GET", f"/partners/trigger-actions/info?filter[partnerId]={partner_id}&per-page=100", token=token))[2][
        "data"
    ]
    operation = next(item["triggerActionId"] for item in listed if item["name"] == "create_person")

    status, _, schema = await served.call(
        "POST", f"/partners/trigger-actions/{operation}/run/info", {"credentialData": {"0": {"value": connection}}}, token=token
    )
    assert status == 200
    assert schema["triggerAction"] == schema["data"]["triggerAction"]
    fields = {variable["label"]: variable for variable in schema["triggerAction"]["variables"]}
    tier, number = fields["Tier"], fields["Account number"]
    assert (tier["name"], number["name"]) == ("cf__f1b2cd22dd8e67362263467115f592c8", "cf__76e76829d1d7dbfebdb7945635163cab")
    phones = next(section for section in schema["triggerAction"]["rowSections"] if section["name"] == "phone")
    assert [variable["name"] for variable in phones["variables"]] == ["value_", "label_", "primary_"]

    payload = {
        "credentialData": {"0": {"value": connection}},
        "runnerData": {
            "name": "Ada Lovelace",
            "visible_to": "3",
            tier["name"]: "Gold",
            number["name"]: "A-1815",
            "email": [{"value": "ada@example.com", "label": "work", "primary": True}],
            "phone": [{"value_": "+44 20 7946 0000", "label_": "work", "primary_": True}],
        },
    }
    status, _, done = await served.call("POST", f"/partners/trigger-actions/{operation}/run/sync", payload, token=token)
    assert (status, done["success"], done["data"]["status"], done["data"]["attempts"]) == (200, True, "succeeded", 1)
    result = done["data"]["result"]
    assert (result["name"], result[tier["name"]], result["phone"][0]["value_"]) == ("Ada Lovelace", 11, "+442079460000")

    (arrived,) = [asked for asked in await _door(urls["pipedrive"], "requests") if asked["method"] == "POST"]
    assert (arrived["path"], arrived["body"]) == (
        "/api/v2/persons",
        {
            "name": "Ada Lovelace",
            "visible_to": 3,
            "emails": [{"value": "ada@example.com", "label": "work", "primary": True}],
            "phones": [{"value": "+442079460000", "label": "work", "primary": True}],
            "custom_fields": {"0bb397cdbaedaf09d02c1b294f4442218e4b0259": 11, "dca458e00f3bf2cd4e6f8f194d405ff972994acc": "A-1815"},
        },
    )
    records = await _door(urls["pipedrive"], "records/persons")
    assert [record["id"] for record in records if record["name"] == "Ada Lovelace"] == [result["id"]]

    read = (await served.call("GET", f"/runs/{done['data']['runId']}", token=token))[2]["data"]
    assert (read["status"], read["result"]) == ("succeeded", result)


async def test_an_existing_hubspot_client_sends_its_names_and_gets_a_contact(partners):
    served, urls = partners
    connection = await served.connect(HUBSPOT, {"token": "pat-ada-0123456789"})
    names = {key: _custom(key) for key in ("email", "firstname", "lastname")}
    assert names["email"] == "cf__0c83f57c786a0b4a39efab23731c7ebc"
    data = {names["email"]: "grace@navy.example", names["firstname"]: "Grace", names["lastname"]: "Hopper"}
    done = await _run(served, 10025156, connection, data)
    assert done.status == 200, done.json
    assert {name: done.json["data"]["result"][name] for name in data} == data
    (contact,) = [
        record for record in await _door(urls["hubspot"], "records/contacts") if record["id"] == done.json["data"]["result"]["id"]
    ]
    assert {key: contact["properties"][key] for key in names} == {"email": "grace@navy.example", "firstname": "Grace", "lastname": "Hopper"}
    twice = await _run(served, 10025156, connection, data)
    assert (twice.status, twice.json["error"]["upstream"]["status"]) == (424, 409)


async def test_the_choices_of_an_accounts_own_field_are_searched_like_any_others(partners):
    served, _urls = partners
    connection = await served.connect(PIPEDRIVE, {"company": "acme", "api_token": "token-of-ada-0123456789"})
    asked = {"credentialData": {"0": connection}, "field": "cf__f1b2cd22dd8e67362263467115f592c8", "query": "gol"}
    path = "/partners/trigger-actions/2250101/options"
    assert (await served.call("POST", path, asked))[2]["data"] == [{"key": 11, "label": "Gold"}]
    status, _, told = await served.call("POST", path, asked | {"field": "cf__" + "0" * 32})
    assert (status, told["error"]["fields"][0]["code"]) == (422, "unknown_field")


async def test_a_refusal_inside_a_200_is_an_error_with_the_partners_own_code(partners):
    served, _urls = partners
    connection = await served.connect(SLACK, {"token": "xoxb-ada-0123456789"})
    posted = await _run(served, 3010101, connection, {"channel": "#general", "text": "Paid"})
    assert (posted.status, posted.json["data"]["result"]["channel"]) == (200, "C012AB3CD")
    refused = await _run(served, 3010101, connection, {"channel": "C0NOSUCH99", "text": "Paid"})
    assert (refused.status, refused.json["error"]["code"]) == (424, "partner_error")
    assert refused.json["error"]["upstream"]["body"] == {"ok": False, "error": "channel_not_found"}
    assert refused.json["error"]["fields"][0] == {"path": "runnerData.channel", "code": "channel_not_found", "message": "channel_not_found"}


async def test_a_tool_is_described_and_run_without_a_connection(partners):
    served, _urls = partners
    shown = (await served.call("POST", "/partners/trigger-actions/10204/run/info", {}))[2]["data"]["triggerAction"]
    assert shown["credentialData"] == [{"position": "0", "label": "Connection", "isRequired": False}]
    done = await _run(served, 10204, None, {"first": "0.1", "operation": "add", "second": "0.20"})
    assert (done.status, done.content.count(b'"result":{"result":0.3')) == (200, 1)
    assert (await _run(served, 10204, None, {"first": "1", "operation": "divide", "second": "0"})).json["error"]["fields"][0] == {
        "path": "runnerData",
        "code": "not_computable",
        "message": "Nothing can be divided by zero.",
    }


async def test_a_bare_number_is_a_connection_too(bay: Bay):
    for given in (bay.connection, str(bay.connection), {"value": bay.connection}, {"value": str(bay.connection)}):
        body = {"credentialData": {"0": given}, "runnerData": {"q": "why"}}
        assert (await bay.served.fetch("POST", "/partners/trigger-actions/90000105/run/sync", body)).status == 200


async def test_a_dry_run_shows_the_exact_request_without_secrets_and_sends_nothing(bay: Bay):
    before = await bay.count_runs()
    told = await bay.run(90000101, {"name": "Lamp", "price": 19.90, "tags": "a, b"}, dryRun=True)
    (request,) = told.json["data"]["requests"]
    assert (told.status, told.json["data"]["dryRun"]) == (200, True)
    assert (request["method"], request["url"]) == ("POST", f"{bay.depot.origin}/v1/things")
    assert request["body"] == '{"name":"Lamp","price":19.9,"tags":["a","b"]}'
    assert ["x-key", "[secret]"] in request["headers"]
    assert {"from": "name", "to": "body.name"} in request["values"]
    assert request["values"][-1] == {"from": "connection.key", "to": "headers.x-key", "masked": True}
    assert SECRET not in told.content.decode()
    assert (bay.depot.wire.asked, await bay.count_runs()) == ([], before)
    tool = await _run(bay.served, 10204, None, {"first": 1, "operation": "add", "second": 2}, dryRun=True)
    assert tool.json["data"] == {"dryRun": True, "requests": []}
    later = await bay.run(90000108, {"name": "Lamp"}, dryRun=True)
    assert [request["method"] for request in later.json["data"]["requests"]] == ["GET", "POST"]


async def test_the_partners_raw_answer_comes_when_it_is_asked_for(bay: Bay):
    told = await bay.run(90000101, {"name": "Lamp"}, raw=True)
    assert told.json["data"]["raw"]["data"]["name"] == "Lamp"
    assert (await bay.read(told.json["data"]["runId"]))["raw"] == told.json["data"]["raw"]
    assert "raw" not in (await bay.run(90000101, {"name": "Lamp"})).json["data"]


async def test_a_decimal_arrives_with_all_its_digits_and_null_clears(bay: Bay):
    content = (
        b'{"credentialData":{"0":%d},"runnerData":{"name":"Lamp","price":1234567890.12345678901234567890,"size":null}}' % bay.connection
    )
    assert (await bay.served.fetch("POST", "/partners/trigger-actions/90000101/run/sync", content=content)).status == 200
    (asked,) = bay.depot.of("POST /things")
    assert asked.body == b'{"name":"Lamp","size":null,"price":1234567890.12345678901234567890}'


def _paged(asked: Asked) -> bytes:
    """Seven things, newest first, three a page."""
    query = dict(part.split("=") for part in asked.target.partition("?")[2].split("&"))
    start, size = int(query.get("cursor", "0")), int(query["limit"])
    items = [{"id": number, "at": 1_700_000_000 + number} for number in range(7, 0, -1)]
    return answer(200, {"data": items[start : start + size], "next": str(start + size) if start + size < 7 else None})


async def test_a_trigger_is_paged_by_cursor_and_limit_without_a_gap_or_a_double(bay: Bay):
    bay.depot.answers["GET /things"] = _paged
    seen: list[int] = []
    body: dict[str, Any] = {"limit": 2}
    for _page in range(4):
        result = (await bay.run(NEW, **body)).json["data"]["result"]
        seen += [item["id"] for item in result["items"]]
        assert result["hasMore"] is (result["nextCursor"] is not None)
        body["cursor"] = result["nextCursor"]
    assert (seen, body["cursor"]) == ([7, 6, 5, 4, 3, 2, 1], None)
    whole = (await bay.run(NEW)).json["data"]["result"]
    assert ([item["id"] for item in whole["items"]], whole["hasMore"]) == (seen, False)


async def test_a_trigger_keeps_to_its_window_and_stops_reading_at_its_edge(bay: Bay):
    bay.depot.answers["GET /things"] = _paged
    told = await bay.run(NEW, window={"from": 1_700_000_006, "to": "2023-11-14T22:13:27Z"})
    assert [item["id"] for item in told.json["data"]["result"]["items"]] == [6]
    assert bay.depot.count("GET /things") == 1


async def test_new_persons_of_the_simulated_partner_come_newest_first(partners):
    served, _urls = partners
    connection = await served.connect(PIPEDRIVE, {"company": "acme", "api_token": "token-of-ada-0123456789"})
    made = [(await _run(served, 2250101, connection, {"name": f"Person {number}"})).json["data"]["result"]["id"] for number in range(3)]
    first = (await _run(served, 2250501, connection, {}, limit=2)).json["data"]["result"]
    second = (await _run(served, 2250501, connection, {}, limit=1, cursor=first["nextCursor"])).json["data"]["result"]
    assert {item["id"] for item in first["items"] + second["items"]} == set(made)


@pytest.mark.parametrize(
    ("body", "kind", "content"),
    [
        ({"body_type": "json", "json": {"a": [1, None, "x"]}}, "application/json", b'{"a":[1,null,"x"]}'),
        ({"body_type": "json", "json": [1], "content_type": "application/merge-patch+json"}, "application/merge-patch+json", b"[1]"),
        (
            {"body_type": "form", "form": [{"field": "a b", "field_value": "1&2"}, {"field": "a b", "field_value": "\u00e9"}]},
            "application/x-www-form-urlencoded",
            b"a+b=1%262&a+b=%C3%A9",
        ),
        ({"body_type": "text", "text": "<a/>", "content_type": "application/xml"}, "application/xml", b"<a/>"),
        (
            {
                "body_type": "file",
                "file": {"name": "a.bin", "contentType": "image/png", "base64": base64.b64encode(bytes(range(256))).decode()},
            },
            "image/png",
            bytes(range(256)),
        ),
        ({"body_type": "none"}, None, b""),
    ],
    ids=["json", "json of a kind", "form", "text", "file", "none"],
)
async def test_the_generic_partner_sends_every_kind_of_body_as_it_is_given(
    bay: Bay, body: dict[str, Any], kind: str | None, content: bytes
):
    bay.connection = await bay.served.connect(HTTP, {}, auth="none")
    more = {"query": [{"name": "page", "value": "2"}], "headers": [{"header": "X-Source", "header_value": "desk"}]}
    told = await bay.run(20101, {"method": "PUT", "url": f"{bay.depot.origin}/any?x=1", **more, **body})
    assert (told.status, told.json["data"]["result"]["body"]) == (200, {"ok": True, "answer": "yes", "id": 5})
    (asked,) = bay.depot.wire.asked
    assert (asked.method, asked.target, asked.headers["x-source"]) == ("PUT", "/any?x=1&page=2", "desk")
    assert (asked.headers.get("content-type"), asked.body) == (kind, content)


@pytest.mark.parametrize(
    ("auth", "fields", "header"),
    [
        ("basic", {"username": "ada", "password": "pass-word-1"}, ("authorization", "Basic YWRhOnBhc3Mtd29yZC0x")),
        ("bearer", {"token": "bearer-token-1"}, ("authorization", "Bearer bearer-token-1")),
        ("header", {"header_name": "X-API-Key", "header_value": "header-value-1"}, ("x-api-key", "header-value-1")),
    ],
)
async def test_a_signed_request_goes_to_its_own_address_and_nowhere_else(
    bay: Bay, auth: str, fields: dict[str, str], header: tuple[str, str]
):
    bay.connection = await bay.served.connect(HTTP, {"base_url": bay.depot.origin, **fields}, auth=auth)
    assert (await bay.run(20102, {"url": f"{bay.depot.origin}/mine"})).status == 200
    (asked,) = bay.depot.wire.asked
    assert asked.headers[header[0]] == header[1]
    async with open_depot() as elsewhere:
        refused = await bay.run(20102, {"url": f"{elsewhere.origin}/theirs"})
        assert (refused.status, refused.json["error"]["fields"][0]["code"]) == (422, "cannot_be_sent")
        assert elsewhere.wire.asked == []
        bay.depot.answers["GET /mine"] = answer(302, headers={"Location": f"{elsewhere.origin}/theirs"})
        assert (await bay.run(20102, {"url": f"{bay.depot.origin}/mine"})).status == 200
        (followed,) = elsewhere.wire.asked
        assert header[0] not in followed.headers
        assert header[1] not in str(followed.headers)
