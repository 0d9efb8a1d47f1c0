"""Bad input of every kind: the contract's status and code, the exact path of every fault, all at once, and nothing kept of it."""

from __future__ import annotations

import io
from typing import Any

import pytest

from e2e.depot import CREATE, FILES, HOOK, NEW, PARTNER, PUT, SECRET, SHELVE, Bay, open_bay, open_depot
from e2e.served import answer

pytestmark = pytest.mark.anyio

MODES = ("sync", "async")


@pytest.fixture(scope="module")
async def shared(anyio_backend, tmp_path_factory):
    async with open_depot() as depot, open_bay(tmp_path_factory.mktemp("bay"), depot) as found:
        yield found


@pytest.fixture
async def bay(shared):
    """Whatever a test sends: it leaves no run behind, and nothing of it arrives where things are made."""
    found = await shared.afresh()
    before = await found.count_runs()
    yield found
    assert await found.count_runs() == before
    assert [asked for asked in found.depot.wire.asked if asked.method != "GET"] == []


async def _faults(bay: Bay, operation: int, data: Any = None, **body: Any) -> set[tuple[str, str]]:
    """Path and code of every fault; the same for both modes and for a dry run."""
    told = [await bay.run(operation, data, mode=mode, **body) for mode in MODES]
    told.append(await bay.run(operation, data, **{"dryRun": True, **body}))
    for reply in told:
        assert (reply.status, reply.json["error"]["code"]) == (422, "validation_failed"), reply.json
        assert "runId" not in reply.json["error"]
    found = [{(fault["path"], fault["code"]) for fault in reply.json["error"]["fields"]} for reply in told]
    assert found[0] == found[1] == found[2]
    return found[0]


async def test_every_wrong_type_is_named_at_once(bay: Bay):
    data = {
        "name": {"not": "a text"},
        "size": "many",
        "price": "1.2.3",
        "ready": "perhaps",
        "since": "yesterday",
        "due": "31/12/2026",
        "phone": "no digits",
        "tags": [1, {"a": 1}],
        "email": "not an address",
        "colour": ["r"],
        "rows": {"quantity": 1},
    }
    found = await _faults(bay, CREATE, data)
    paths = {path for path, _code in found}
    wanted = {f"runnerData.{name}" for name in data} - {"runnerData.tags", "runnerData.rows"}
    assert wanted <= paths
    assert any(path.startswith("runnerData.tags[1]") for path in paths)
    assert ("runnerData.size", "wrong_type") in found
    assert ("runnerData.since", "wrong_type") in found


async def test_missing_unknown_and_closed_fields_are_named_at_once_at_every_depth(bay: Bay):
    data = {
        "thing_id": 7,
        "colour": "purple",
        "nmae": "Lamp",
        "size": 101,
        "rows": [{"kind": "huge", "parts": [{"cod": "x"}, {"code": "y"}]}, {"quantity": "x", "extra": 1}],
    }
    assert await _faults(bay, CREATE, data) == {
        ("runnerData.name", "required"),
        ("runnerData.nmae", "unknown_field"),
        ("runnerData.thing_id", "not_editable"),
        ("runnerData.colour", "unknown_option"),
        ("runnerData.size", "too_large"),
        ("runnerData.rows[0].quantity", "required"),
        ("runnerData.rows[0].kind", "unknown_option"),
        ("runnerData.rows[0].parts[0].code", "required"),
        ("runnerData.rows[0].parts[0].cod", "unknown_field"),
        ("runnerData.rows[1].quantity", "wrong_type"),
        ("runnerData.rows[1].extra", "unknown_field"),
    }


async def test_limits_of_texts_and_rows_are_kept(bay: Bay):
    data = {"name": "x" * 41, "rows": [{"quantity": 1}] * 4}
    assert await _faults(bay, CREATE, data) == {("runnerData.name", "too_long"), ("runnerData.rows", "too_many")}


async def test_a_label_that_stands_for_two_keys_is_not_guessed(bay: Bay):
    found = await _faults(bay, CREATE, {"name": "Lamp", "colour": "Blue", "owner": "Twin"})
    assert found == {("runnerData.colour", "ambiguous_option"), ("runnerData.owner", "ambiguous_option")}


async def test_a_key_that_a_list_does_not_hold_is_refused_after_a_fresh_look(bay: Bay):
    assert await _faults(bay, CREATE, {"name": "Lamp", "owner": "Nobody"}) == {("runnerData.owner", "unknown_option")}


@pytest.mark.parametrize("data", [[], "text", 5, True])
async def test_runner_data_has_to_be_an_object(bay: Bay, data: Any):
    body = {"credentialData": {"0": {"value": bay.connection}}, "runnerData": data}
    told = await bay.served.fetch("POST", f"/partners/trigger-actions/{CREATE}/run/sync", body)
    assert (told.status, told.json["error"]["fields"][0]["path"]) == (422, "runnerData")


async def test_every_fault_around_the_input_is_named_at_once(bay: Bay):
    body = {
        "credentialData": [],
        "dryRun": "yes",
        "raw": 1,
        "metadata": [],
        "window": 5,
        "timeoutMs": 99,
        "externalUserId": "",
        "callbackUrl": "http://example.com/hook",
        "runerData": {},
    }
    told = await bay.served.fetch("POST", f"/partners/trigger-actions/{CREATE}/run/sync", body)
    assert told.status == 422
    assert {(fault["path"], fault["code"]) for fault in told.json["error"]["fields"]} == {
        ("credentialData", "wrong_type"),
        ("dryRun", "wrong_type"),
        ("raw", "wrong_type"),
        ("metadata", "wrong_type"),
        ("window", "wrong_type"),
        ("timeoutMs", "out_of_range"),
        ("externalUserId", "wrong_type"),
        ("callbackUrl", "not_https"),
        ("runerData", "unknown_field"),
    }


@pytest.mark.parametrize("value", [0, 99, 604_800_001, -1, "500", 1.5, True])
async def test_a_time_out_of_range_is_refused(bay: Bay, value: Any):
    assert await _faults(bay, CREATE, {"name": "Lamp"}, timeoutMs=value) == {("timeoutMs", "out_of_range")}


async def test_a_call_that_is_waited_for_takes_less_time_than_one_that_is_queued(bay: Bay):
    told = await bay.run(CREATE, {"name": "Lamp"}, timeoutMs=120_001)
    fault = {"path": "timeoutMs", "code": "out_of_range", "message": "Milliseconds from 100 to 120000 are needed here."}
    assert (told.status, told.json["error"]["fields"]) == (422, [fault])


async def test_metadata_has_a_limit(bay: Bay):
    assert await _faults(bay, CREATE, {"name": "Lamp"}, metadata={"a": "x" * 17_000}) == {("metadata", "too_long")}


async def test_what_only_triggers_take_is_refused_by_an_action(bay: Bay):
    found = await _faults(bay, CREATE, {"name": "Lamp"}, window={"from": 1}, cursor="x", limit=5)
    assert found == {("window", "unknown_field"), ("cursor", "unknown_field"), ("limit", "unknown_field")}


async def test_a_triggers_own_keys_are_checked_at_once(bay: Bay):
    found = await _faults(bay, NEW, window={"from": "noon", "to": 5, "until": 1}, cursor=5, limit=1001)
    assert found == {
        ("window.from", "wrong_type"),
        ("window.until", "unknown_field"),
        ("cursor", "wrong_type"),
        ("limit", "out_of_range"),
    }
    assert await _faults(bay, NEW, window={"from": 10, "to": 5}) == {("window.to", "too_small")}


@pytest.mark.parametrize("cursor", ["x", "eyJwYWdlIjp7fX0=", "\u00e9", "bnVsbA==", "W" * 5_000])
async def test_a_cursor_that_is_none_of_ours_is_refused(shared: Bay, cursor: str):
    bay = await shared.afresh()
    told = await bay.run(NEW, cursor=cursor)
    assert (told.status, told.json["error"]["fields"][0]) == (
        422,
        {"path": "cursor", "code": "invalid_cursor", "message": "This is no cursor that this trigger gave."},
    )
    assert bay.depot.wire.asked == []


@pytest.mark.parametrize("mode", MODES)
async def test_a_webhook_trigger_is_not_run(bay: Bay, mode: str):
    told = await bay.run(HOOK, mode=mode)
    assert (told.status, told.json["error"]["code"]) == (422, "unsupported_trigger")
    assert "subscri" in told.json["error"]["message"]


@pytest.mark.parametrize("operation", ["0", "90009999", "abc", "1e3", "-5", "9" * 40, "%2e%2e"])
async def test_an_operation_that_there_is_not_is_not_found(bay: Bay, operation: str):
    told = await bay.served.fetch("POST", f"/partners/trigger-actions/{operation}/run/sync", {})
    assert (told.status, told.json["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("data", [None, {}, {"0": None}, {"0": {}}, {"0": {"value": None}}])
async def test_a_missing_connection_is_named(bay: Bay, data: Any):
    told = await bay.served.fetch("POST", f"/partners/trigger-actions/{CREATE}/run/sync", {"credentialData": data, "runnerData": {}})
    assert told.status == 422
    assert [(fault["path"], fault["code"]) for fault in told.json["error"]["fields"]] == [("credentialData.0", "required")]


@pytest.mark.parametrize("value", ["abc", -1, 0, 1.5, True, [], {"value": 1}, 2**70, "1 "])
async def test_a_connection_that_is_no_id_is_named(bay: Bay, value: Any):
    body = {"credentialData": {"0": {"value": value}, "x": 1, "3": 1}, "runnerData": {}}
    told = await bay.served.fetch("POST", f"/partners/trigger-actions/{CREATE}/run/sync", body)
    assert told.status == 422
    assert {(fault["path"], fault["code"]) for fault in told.json["error"]["fields"]} == {
        ("credentialData.0.value", "wrong_type"),
        ("credentialData.x", "unknown_field"),
        ("credentialData.3", "unknown_field"),
    }


async def test_a_connection_that_there_is_not_or_of_another_account_is_not_found(bay: Bay):
    token = await bay.served.second_account()
    theirs = await bay.served.connect(PARTNER, {"key": SECRET}, token=token)
    for connection in (theirs, 999_999_999):
        bay.connection = connection
        told = await bay.run(CREATE, {"name": "Lamp"})
        assert (told.status, told.json["error"]["code"], told.json["error"]["message"]) == (
            404,
            "not_found",
            "There is no connection with this id.",
        )


async def test_a_connection_of_another_partner_is_refused(bay: Bay):
    bay.connection = await bay.served.connect(2, {}, auth="none")
    told = await bay.run(CREATE, {"name": "Lamp"})
    assert told.status == 422
    assert [(fault["path"], fault["code"]) for fault in told.json["error"]["fields"]] == [("credentialData.0", "wrong_partner")]


async def test_selectors_are_checked_by_position(bay: Bay):
    for given, faults in (
        ({}, [("credentialData.1.value", "required")]),
        ({"1": {"value": "East"}}, [("credentialData.1.value", "unknown_option")]),
        ({"1": {"value": 1}, "2": {"value": "z"}}, [("credentialData.2.value", "unknown_option")]),
        ({"1": {"value": {}}, "2": {"value": []}}, [("credentialData.1.value", "wrong_type"), ("credentialData.2.value", "wrong_type")]),
    ):
        body = {"credentialData": {"0": bay.connection, **given}, "runnerData": {"note": "x"}}
        told = await bay.served.fetch("POST", f"/partners/trigger-actions/{SHELVE}/run/sync", body)
        assert (told.status, [(fault["path"], fault["code"]) for fault in told.json["error"]["fields"]]) == (422, faults)


async def test_deep_and_huge_bodies_are_refused_before_they_are_understood(bay: Bay):
    path = f"/partners/trigger-actions/{CREATE}/run/sync"
    deep = b'{"runnerData":{"extra":' + b'{"a":' * 100 + b"1" + b"}" * 100 + b"}}"
    told = await bay.served.fetch("POST", path, content=deep)
    assert (told.status, told.json["error"]["fields"][0]["code"]) == (422, "too_deep")
    huge = b'{"runnerData":{"name":"' + b"x" * (6 * 1024 * 1024) + b'"}}'
    headers = {"Authorization": f"Bearer {bay.served.token}", "Content-Type": "application/json"}
    async with bay.served.client.post(bay.served.origin + path, data=io.BytesIO(huge), headers=headers) as told:
        assert (told.status, (await told.json())["error"]["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b'{"runnerData":{"name":"\xff"}}', 400, "malformed_json"),
        (b'{"runnerData":', 400, "malformed_json"),
        (b'{"runnerData":{"price":NaN}}', 400, "malformed_json"),
        (b'{"runnerData":{"price":-Infinity}}', 400, "malformed_json"),
        (b'{"runnerData":{"name":"a","name":"b"}}', 422, "validation_failed"),
        (b'{"runnerData":{"name":"\\ud800"}}', 422, "validation_failed"),
        (b"[]", 422, "validation_failed"),
        (b'"text"', 422, "validation_failed"),
        (b"null", 422, "validation_failed"),
    ],
)
async def test_what_is_no_json_of_ours_is_refused(bay: Bay, content: bytes, status: int, code: str):
    told = await bay.served.fetch("POST", f"/partners/trigger-actions/{CREATE}/run/sync", content=content)
    assert (told.status, told.json["error"]["code"]) == (status, code)


@pytest.mark.parametrize("price", [b"1e999999999", b"1" * 5_000, b"1e-400"])
async def test_a_number_beyond_measure_is_a_fault_and_no_hang(bay: Bay, price: bytes):
    content = b'{"credentialData":{"0":%d},"runnerData":{"name":"Lamp","size":%b,"price":%b}}' % (bay.connection, price, price)
    told = await bay.served.fetch("POST", f"/partners/trigger-actions/{CREATE}/run/sync", content=content)
    assert told.status in {400, 422}
    if told.status == 422:
        assert "runnerData.size" in {fault["path"] for fault in told.json["error"]["fields"]}


async def test_a_value_cannot_leave_its_place_in_the_address(shared: Bay):
    bay = await shared.afresh()
    assert (await bay.run(PUT, {"id": "../../admin?x=1#y", "name": "Lamp"})).status == 200
    assert bay.depot.wire.asked[0].target == "/v1/things/..%2F..%2Fadmin%3Fx%3D1%23y"


@pytest.mark.parametrize("value", [".", ".."])
async def test_a_value_that_is_a_step_upwards_is_not_sent(shared: Bay, value: str):
    bay = await shared.afresh()
    told = await bay.run(PUT, {"id": value, "name": "Lamp"})
    assert (told.status, told.json["error"]["fields"][0]["code"]) == (422, "cannot_be_sent")
    assert bay.depot.wire.asked == []


@pytest.mark.parametrize(
    ("file", "path"),
    [
        ({"base64": "!!!", "name": "a"}, "runnerData.photo"),
        ({"url": "ftp://example.com/a"}, "runnerData.photo"),
        ({"url": 5}, "runnerData.photo"),
        ({}, "runnerData.photo"),
        ({"url": "https://example.com/a", "fileId": "b"}, "runnerData.photo"),
        ("just text", "runnerData.photo"),
    ],
)
async def test_a_file_that_is_none_is_named(bay: Bay, file: Any, path: str):
    found = await _faults(bay, FILES, {"photo": file})
    assert found
    assert all(place.startswith(path) for place, _code in found)


async def test_faults_of_a_partner_while_lists_are_read_are_the_partners(bay: Bay):
    bay.depot.answers["GET /owners"] = answer(503)
    told = await bay.run(CREATE, {"name": "Lamp", "owner": "Ada"})
    assert (told.status, told.json["error"]["code"], told.json["error"]["retryable"]) == (502, "partner_unavailable", True)
    assert "outcome" not in told.json["error"]
