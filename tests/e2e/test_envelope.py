import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Served, running_server

pytestmark = pytest.mark.anyio

LISTS = ("/partners/info", "/partners/trigger-actions/info", "/credentials", "/api-keys", "/runs")
INFO = "/partners/trigger-actions/10025156/run/info"


def faults(answer) -> list[tuple[str, str]]:
    assert answer["success"] is False
    assert answer["error"]["code"] == "validation_failed"
    return [(fault["path"], fault["code"]) for fault in answer["error"]["fields"]]


async def test_a_success_has_the_envelope(house: Served):
    status, headers, answer = await house.call("GET", "/partners/10055")

    assert status == 200
    assert headers["content-type"] == "application/json"
    assert set(answer) == {"success", "data"}
    assert answer["success"] is True
    assert answer["data"]["partnerId"] == 10055


async def test_a_method_without_a_result_answers_an_empty_list(house: Served):
    key = (await house.call("POST", "/api-keys", {"title": "Short-lived", "scopes": ["runs:read"]}))[2]["data"]

    status, _headers, answer = await house.call("DELETE", f"/api-keys/{key['id']}")

    assert (status, answer) == (200, {"success": True, "data": []})


async def test_a_list_has_the_meta_of_the_guide(house: Served):
    _status, _headers, answer = await house.call("GET", "/partners/trigger-actions/info?per-page=7&page=2")

    total = answer["meta"]["totalItemsCount"]
    assert set(answer) == {"success", "data", "meta"}
    assert answer["meta"] == {"page": 2, "totalPages": -(-total // 7), "totalItemsCount": total}
    assert len(answer["data"]) == 7


async def test_a_list_has_twenty_items_a_page_unless_asked_otherwise(house: Served):
    _status, _headers, answer = await house.call("GET", "/partners/trigger-actions/info")

    assert len(answer["data"]) == 20
    assert answer["meta"]["page"] == 1


async def test_the_pages_of_a_list_hold_every_item_once(house: Served):
    found, page, pages = [], 1, 1
    while page <= pages:
        _status, _headers, answer = await house.call("GET", f"/partners/trigger-actions/info?page={page}&per-page=13")
        found += [item["triggerActionId"] for item in answer["data"]]
        pages, page = answer["meta"]["totalPages"], page + 1

    assert len(found) == len(set(found)) == answer["meta"]["totalItemsCount"]


async def test_a_page_after_the_last_is_empty(house: Served):
    status, _headers, answer = await house.call("GET", "/partners/info?page=1000")

    assert status == 200
    assert answer["data"] == []
    assert answer["meta"]["page"] == 1000
    assert answer["meta"]["totalItemsCount"] >= 5


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("query", "path_of_fault"),
    [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=abc", "page"),
        ("page=1.5", "page"),
        ("page=99999999999999999999", "page"),
        ("per-page=0", "per-page"),
        ("per-page=101", "per-page"),
        ("per-page=10000", "per-page"),
        ("per-page=%C2%B2", "per-page"),
    ],
)
async def test_a_page_out_of_range_is_refused_by_name(house: Served, path: str, query: str, path_of_fault: str):
    status, _headers, answer = await house.call("GET", f"{path}?{query}")

    assert status == 422
    assert faults(answer) == [(path_of_fault, "out_of_range")]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "query", ["filter=1", "filter[]=1", "filter[title]]=1", "filter[title][between]=1", "filter[title][like][x]=1", "filter[ti tle]=1"]
)
async def test_a_malformed_filter_is_refused(house: Served, path: str, query: str):
    status, _headers, answer = await house.call("GET", f"{path}?{query}")

    assert status == 422
    assert [code for _path, code in faults(answer)] == ["malformed_filter"]


@pytest.mark.parametrize("path", LISTS)
async def test_an_unknown_filter_is_refused_by_name_and_not_taken_as_empty(house: Served, path: str):
    status, _headers, answer = await house.call("GET", f"{path}?filter[nonsense]=1")

    assert status == 422
    assert [code for _path, code in faults(answer)] == ["unknown_filter"]


async def test_every_fault_of_a_query_is_told_at_once(house: Served):
    status, _headers, answer = await house.call("GET", "/partners/info?page=0&per-page=10000&filter[]=1")

    assert status == 422
    assert sorted(path for path, _code in faults(answer)) == ["filter[]", "page", "per-page"]


@pytest.mark.parametrize("path", LISTS)
async def test_unknown_query_parameters_are_ignored(house: Served, path: str):
    status, _headers, answer = await house.call("GET", f"{path}?utm_source=x&callback=y&_=1795495551")

    assert status == 200
    assert answer["success"] is True


async def test_unknown_body_keys_are_refused_by_name_all_at_once(house: Served):
    body = {"partnerId": PIPEDRIVE, "title": "T", "fields": PIPEDRIVE_FIELDS, "colour": "red", "partner_id": 1}

    status, _headers, answer = await house.call("POST", "/credentials", body)

    assert status == 422
    assert sorted(faults(answer)) == [("colour", "unknown_field"), ("partner_id", "unknown_field")]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/user/auth", {"email": "a@example.com", "password": "x"}),
        ("/user/refresh", {"refreshToken": "x"}),
        ("/user/password", {"password": "x", "newPassword": "long enough"}),
        ("/api-keys", {"title": "x", "scopes": ["admin"]}),
        ("/credentials", {"partnerId": 1, "title": "x", "fields": {}}),
        ("/credentials/1/test", {}),
        ("/credentials/225/1/update-user-data", {}),
        (INFO, {}),
        ("/partners/trigger-actions/10025156/options", {"field": "x"}),
        ("/partners/trigger-actions/10025156/run/sync", {}),
        ("/partners/trigger-actions/10025156/run/async", {}),
        ("/files", {"name": "x", "base64": ""}),
        ("/user/logout", {}),
    ],
)
async def test_no_body_takes_an_unknown_key(house: Served, path: str, body: dict[str, object]):
    status, _headers, answer = await house.call("POST", path, {**body, "zzz": 1})

    assert status == 422
    assert ("zzz", "unknown_field") in faults(answer)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/partners/info/", 200),
        ("GET", "/partners/trigger-actions/info//", 200),
        ("GET", "/partners/10055/", 200),
        ("GET", "/credentials/", 200),
        ("GET", "/healthz/", 200),
        ("GET", "/openapi.json/", 200),
        ("GET", "/docs/", 200),
        ("POST", "/partners/trigger-actions/10025156/run/info/", 422),
        ("POST", "/user/logout/", 403),
        ("DELETE", "/api-keys/999999/", 404),
        ("PUT", "/credentials/", 405),
    ],
)
async def test_a_trailing_slash_is_accepted(house: Served, method: str, path: str, status: int):
    key = (await house.call("POST", "/api-keys", {"title": "x", "scopes": ["admin"]}))[2]["data"]["key"]

    found = await house.fetch(method, path, token=key)

    assert found.status == status


async def test_two_slashes_before_a_path_of_the_api_are_one_and_before_the_operators_own_they_lead_nowhere(house: Served):
    assert (await house.fetch("GET", "//partners/info")).status == 200
    for path in ("/metrics", "/readyz", "/healthz", "/console", "/console/runs"):
        assert (await house.fetch("GET", path)).status != 404
        assert [(await house.fetch("GET", slashes + path + end)).status for slashes in ("/", "//") for end in ("", "/")] == [404] * 4, path


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing/here", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("GET", "//", 404, "not_found"),
        ("GET", "/%2e%2e/etc/passwd", 404, "not_found"),
        ("GET", "/static/../app.py", 404, "not_found"),
        ("GET", "/static/%2e%2e%2fapp.py", 404, "not_found"),
        ("GET", "/partners/%00", 404, "not_found"),
        ("DELETE", "/partners/info", 405, "method_not_allowed"),
        ("OPTIONS", "/partners/info", 405, "method_not_allowed"),
        ("TRACE", "/partners/info", 405, "method_not_allowed"),
        ("PATCH", "/user/auth", 405, "method_not_allowed"),
        ("GET", "/partners/trigger-actions/1/run/sync", 405, "method_not_allowed"),
    ],
)
async def test_a_path_or_method_that_is_none_has_the_envelope_too(house: Served, method: str, path: str, status: int, code: str):
    found = await house.fetch(method, path)

    assert found.status == status
    assert found.json["success"] is False
    assert found.json["error"]["code"] == code
    assert found.json["error"]["retryable"] is False
    assert found.json["error"]["requestId"] == found.headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/partners/info", {"GET", "HEAD"}),
        ("/credentials", {"GET", "HEAD", "POST"}),
        ("/credentials/1", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("/api-keys", {"GET", "HEAD", "POST"}),
        ("/user/auth", {"POST"}),
    ],
)
async def test_a_method_that_is_not_allowed_is_told_all_that_are(house: Served, path: str, allowed: set[str]):
    found = await house.fetch("PUT", path)

    assert found.status == 405
    assert {name.strip() for name in found.headers["allow"].split(",")} == allowed


@pytest.mark.parametrize(
    ("method", "path", "token"),
    [
        ("GET", "/partners/info", ""),
        ("GET", "/partners/info", None),
        ("HEAD", "/partners/info", ""),
        ("OPTIONS", "/partners/info", ""),
        ("GET", "/nothing", ""),
        ("PUT", "/credentials", ""),
        ("GET", "/healthz", None),
        ("GET", "/readyz", None),
        ("GET", "/metrics", None),
        ("GET", "/openapi.json", None),
        ("GET", "/docs", None),
        ("GET", "/static/docs.css", None),
        ("GET", "/partners/10055/logo.svg", None),
        ("POST", "/credentials", ""),
    ],
)
async def test_every_answer_has_a_request_id_of_its_own(house: Served, method: str, path: str, token: str | None):
    first = await house.fetch(method, path, token=token)
    second = await house.fetch(method, path, token=token)

    assert first.headers["x-request-id"].startswith("req_")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_head_answers_like_get_without_a_body(house: Served):
    got = await house.fetch("GET", "/partners/10055")
    head = await house.fetch("HEAD", "/partners/10055")

    assert (head.status, head.content) == (200, b"")
    assert head.headers["etag"] == got.headers["etag"]
    assert head.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize("accept", ["application/problem+json", "text/html;q=0.1, application/problem+json", "APPLICATION/PROBLEM+JSON"])
async def test_who_asks_for_problem_details_gets_the_same_facts_that_way(house: Served, accept: str):
    found = await house.fetch("GET", "/partners/info?page=0", headers={"Accept": accept})

    problem = found.json
    assert found.status == 422
    assert found.headers["content-type"] == "application/problem+json"
    assert problem["status"] == 422
    assert problem["code"] == "validation_failed"
    assert problem["instance"] == "/partners/info"
    assert problem["retryable"] is False
    assert problem["requestId"] == found.headers["x-request-id"]
    assert [fault["path"] for fault in problem["fields"]] == ["page"]
    assert all(isinstance(problem[name], str) and problem[name] for name in ("type", "title", "detail"))


async def test_a_path_that_is_none_is_a_problem_too(house: Served):
    found = await house.fetch("GET", "/nothing", headers={"Accept": "application/problem+json"})

    assert found.headers["content-type"] == "application/problem+json"
    assert (found.json["status"], found.json["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b'{"email": }',
        b"not json",
        b'{"email": NaN}',
        b'{"email": Infinity}',
        b'{"email": -Infinity}',
        b"{'email': 'a'}",
        b'{"email": "a",}',
        b'{"email": "\xff\xfe"}',
        b'{"email": "\xed\xa0\x80"}',
        b"\xff\xfe{\x00}\x00",
        b'{"email": "line\nbreak"}',
        b"{} {}",
        b'{"email": ' + b"9" * 5000 + b"}",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
    ],
)
async def test_what_is_no_json_is_told_so(house: Served, content: bytes):
    found = await house.fetch("POST", "/user/auth", content=content, token=None)

    assert found.status == 400
    assert found.json["error"]["code"] == "malformed_json"


@pytest.mark.parametrize("content", [b"[]", b"null", b'"text"', b"1", b"true"])
async def test_a_body_that_is_no_object_is_refused(house: Served, content: bytes):
    for path in ("/user/auth", "/credentials", INFO, "/partners/trigger-actions/10025156/run/sync"):
        found = await house.fetch("POST", path, content=content)

        assert found.status == 422
        assert faults(found.json) == [("", "wrong_type")]


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/user/logout"), ("DELETE", "/credentials/1"), ("DELETE", "/api-keys/1"), ("DELETE", "/files/x")]
)
async def test_a_method_without_a_body_ignores_none(house: Served, method: str, path: str):
    unknown = await house.fetch(method, path, {"zzz": 1})
    broken = await house.fetch(method, path, content=b"{")

    assert (unknown.status, faults(unknown.json)) == (422, [("zzz", "unknown_field")])
    assert (broken.status, broken.json["error"]["code"]) == (400, "malformed_json")


async def test_an_empty_body_is_an_empty_object(house: Served):
    found = await house.fetch("POST", "/user/auth", token=None)

    assert found.status == 422
    assert sorted(faults(found.json)) == [("email", "required"), ("password", "required")]


async def test_a_byte_order_mark_before_the_json_is_no_fault(house: Served):
    found = await house.fetch("POST", INFO, content=b"\xef\xbb\xbf" + b'{"credentialData": 7}')

    assert found.status == 422
    assert [path for path, _code in faults(found.json)] == ["credentialData"]


async def test_a_key_that_stands_twice_is_refused_by_its_path(house: Served):
    content = b'{"runnerData": {"email": [{"value": "a", "value": "b"}], "name": 1, "name": 2}}'

    found = await house.fetch("POST", "/partners/trigger-actions/10025156/run/sync", content=content)

    assert found.status == 422
    assert sorted(faults(found.json)) == [("runnerData.email[0].value", "duplicate_key"), ("runnerData.name", "duplicate_key")]


async def test_half_a_character_pair_is_refused_by_its_path(house: Served):
    found = await house.fetch("POST", "/partners/trigger-actions/10025156/run/sync", content=b'{"runnerData": {"name": "a\\ud800b"}}')

    assert found.status == 422
    assert faults(found.json) == [("runnerData.name", "invalid_text")]


async def test_half_a_character_pair_in_a_key_is_refused(house: Served):
    found = await house.fetch("POST", "/partners/trigger-actions/10025156/run/sync", content=b'{"runnerData": {"a\\ud800b": 1}}')

    assert found.status == 422
    assert [code for _path, code in faults(found.json)] == ["invalid_text"]


@pytest.mark.parametrize("depth", [65, 1_000, 200_000])
async def test_json_that_is_nested_too_deep_is_refused(house: Served, depth: int):
    content = b'{"runnerData":' + b"[" * depth + b"]" * depth + b"}"

    found = await house.fetch("POST", "/partners/trigger-actions/10025156/run/sync", content=content)

    assert found.status == 422
    assert [code for _path, code in faults(found.json)] == ["too_deep"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", ""]
)
async def test_a_body_of_another_media_type_is_refused(house: Served, kind: str):
    found = await house.fetch("POST", INFO, content=b"{}", headers={"Content-Type": kind})

    assert found.status == 415
    assert found.json["error"]["code"] == "unsupported_media_type"


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"]
)
async def test_json_is_taken_under_each_of_its_names(house: Served, kind: str):
    found = await house.fetch("POST", INFO, content=b'{"zzz": 1}', headers={"Content-Type": kind})

    assert faults(found.json) == [("zzz", "unknown_field")]


@pytest.fixture(scope="module")
async def narrow(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with running_server(tmp_path_factory.mktemp("narrow"), http_body_limit=1000) as served:
        yield served


async def test_a_body_of_the_limit_is_taken_and_one_byte_more_is_not(narrow: Served):
    body = json.dumps({"email": "a@example.com", "password": "x"}).encode()

    fits = await narrow.fetch("POST", "/user/auth", content=body + b" " * (1000 - len(body)), token=None)
    over = await narrow.fetch("POST", "/user/auth", content=body + b" " * (1001 - len(body)), token=None)

    assert fits.status == 401
    assert over.status == 413
    assert over.json["error"]["code"] == "payload_too_large"


async def test_a_body_without_a_length_is_counted_as_it_comes(narrow: Served):
    async def pieces():
        for _ in range(50):
            yield b" " * 100

    async with narrow.client.post(narrow.origin + "/user/auth", data=pieces(), headers={"Content-Type": "application/json"}) as found:
        status, answer = found.status, await found.json()

    assert status == 413
    assert answer["error"]["code"] == "payload_too_large"


async def test_a_wrong_token_is_told_before_the_body_is_read(narrow: Served):
    found = await narrow.fetch("POST", "/credentials", content=b"x" * 5000, token="ppt_wrong")

    assert found.status == 401


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
        b"POST /user/auth HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /partners/info HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
async def test_what_is_no_http_does_not_harm_the_server(narrow: Served, raw: bytes):
    host, port = narrow.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(raw)
    if writer.can_write_eof():
        writer.write_eof()
    async with asyncio.timeout(60):
        answer = await reader.read(65536)
    writer.close()

    assert b"Traceback" not in answer
    assert (await narrow.call("GET", "/healthz", token=None))[0] == 200


@pytest.mark.parametrize("path", ["/user/auth", "/user/refresh"])
async def test_who_has_shown_no_token_may_send_only_a_little(house: Served, path: str):
    found = await house.fetch("POST", path, content=b'{"email": "' + b"a" * 70_000 + b'"}', token=None)

    assert (found.status, found.json["error"]["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize(
    "content",
    [
        b"{" + b",".join(b'"k%d":0' % number for number in range(200_000)) + b"}",
        b"{" + b'"a":0,' * 200_000 + b'"a":0}',
        b'{"fields":{' + b'"a":0,' * 200_000 + b'"a":0}}',
        b'{"fields":[' + b'{"a":0,"a":0},' * 100_000 + b"{}]}",
        b'{"fields":[' + b'"\\ud800",' * 150_000 + b"0]}",
        b'{"title":"x","partnerId":225,"fields":{' + b",".join(b'"k%d":0' % number for number in range(200_000)) + b"}}",
        b'{"' + b"k" * 1_000_000 + b'":0}',
        b'{"fields":{"' + b"k" * 1_000_000 + b'":0,"' + b"k" * 1_000_000 + b'":0}}',
    ],
    ids=["unknown keys", "one key", "one key inside", "keys inside", "surrogates", "unknown fields", "long key", "long key twice"],
)
async def test_a_body_full_of_faults_is_answered_soon_and_shortly(house: Served, content: bytes):
    started = time.perf_counter()
    found = await house.fetch("POST", "/credentials", content=content)

    assert found.status == 422
    assert len(found.content) < 200_000
    assert time.perf_counter() - started < 15


async def test_an_answer_does_not_wait_for_the_network(house: Served):
    await house.fetch("GET", "/healthz")
    took = []
    for _ in range(200):
        started = time.perf_counter()
        await house.fetch("GET", "/healthz")
        took.append(time.perf_counter() - started)
        if len(took) > 5 and sorted(took)[5] < 0.03:  # a network that waits for more to send does so for 0.04 seconds each time
            return
    raise AssertionError(took)
