import time
from pathlib import Path

import pytest

from e2e.served import PASSWORD, Clock, Served, running_server
from polyport.server.access import SCOPES
from polyport.server.app import ENDPOINTS
from polyport.server.routing import Endpoint

pytestmark = pytest.mark.anyio


async def make_key(served: Served, *scopes: str, **more: object) -> dict[str, object]:
    status, _headers, answer = await served.call("POST", "/api-keys", {"title": "A key", "scopes": list(scopes), **more})
    assert status == 201, answer
    return answer["data"]


def concrete(endpoint: Endpoint) -> str:
    path = endpoint.path
    for name, value in (
        ("{id}", "999999"),
        ("{partnerId}", "999999"),
        ("{credentialId}", "999999"),
        ("{linkId}", "999999"),
        ("{runId}", "run_0"),
        ("{fileId}", "file_0"),
        ("{userId}", "999999"),
        ("{consoleUserId}", "999999"),
        ("{name}", "x"),
        ("{endpointId}", "999999"),
        ("{eventId}", "evt_0"),
        ("{importId}", "imp_0"),
        ("{number}", "1"),
        ("{path:path}", "things"),
    ):
        path = path.replace(name, value)
    assert "{" not in path
    return path


async def test_a_key_is_shown_once(house: Served):
    made = await make_key(house, "catalog:read", "runs:read")
    _status, _headers, answer = await house.call("GET", "/api-keys?per-page=100")

    listed = next(item for item in answer["data"] if item["id"] == made["id"])
    assert made["key"].startswith(made["prefix"])
    assert made["key"].startswith("ppk_")
    assert set(listed) == {"id", "title", "prefix", "scopes", "createdAt", "createdBy", "expiresAt", "lastUsedAt"}
    assert made["key"] not in str(answer)
    assert listed["scopes"] == ["catalog:read", "runs:read"]
    assert (listed["expiresAt"], listed["lastUsedAt"]) == (None, None)


async def test_a_key_is_not_in_the_data_folder(house: Served):
    made = await make_key(house, "catalog:read")
    data = b"".join(path.read_bytes() for path in house.runtime.settings.data.rglob("*") if path.is_file())

    assert made["key"].encode() not in data
    assert made["prefix"].encode() in data


async def test_a_key_shows_when_it_was_used_last(house: Served):
    made = await make_key(house, "catalog:read")
    await house.call("GET", "/partners/info", token=made["key"])
    _status, _headers, answer = await house.call("GET", "/api-keys?per-page=100")

    used = next(item["lastUsedAt"] for item in answer["data"] if item["id"] == made["id"])
    assert abs(used - time.time()) < 30


async def test_deleting_a_key_works_at_once(house: Served):
    made = await make_key(house, "catalog:read")
    before = await house.fetch("GET", "/partners/info", token=made["key"])
    deleted = await house.fetch("DELETE", f"/api-keys/{made['id']}")
    after = await house.fetch("GET", "/partners/info", token=made["key"])
    again = await house.fetch("DELETE", f"/api-keys/{made['id']}")

    assert [found.status for found in (before, deleted, after, again)] == [200, 200, 401, 404]


@pytest.mark.parametrize("key_id", ["0", "-1", "abc", "9223372036854775808", "9" * 400, "1.0", "%31%00", "\uff11"])
async def test_a_key_id_that_is_none_is_not_found(house: Served, key_id: str):
    found = await house.fetch("DELETE", f"/api-keys/{key_id}")

    assert (found.status, found.json["error"]["code"]) == (404, "not_found")


async def test_a_key_ends_when_it_was_told_to(tmp_path: Path):
    clock = Clock()
    async with running_server(tmp_path, clock=clock) as served:
        end = int(clock().timestamp()) + 100
        made = await make_key(served, "catalog:read", expiresAt=end)
        before = await served.fetch("GET", "/partners/info", token=made["key"])
        clock.forward(101)
        after = await served.fetch("GET", "/partners/info", token=made["key"])

    assert made["expiresAt"] == end
    assert before.status == 200
    assert (after.status, after.json["error"]["code"]) == (401, "token_expired")


@pytest.mark.parametrize("moment", ["2099-01-01T00:00:00Z", "2099-01-01T02:00:00+02:00", 4070908800, "4070908800"])
async def test_the_end_of_a_key_may_be_unix_seconds_or_iso_8601(house: Served, moment: object):
    assert (await make_key(house, "catalog:read", expiresAt=moment))["expiresAt"] == 4070908800


@pytest.mark.parametrize("moment", ["2099-01-01", "2099-01-01T00:00:00", "tomorrow", 1, -5, True, [], {}, 1e300, 10**400, "9" * 40, ""])
async def test_an_end_that_is_none_or_past_is_refused_by_name(house: Served, moment: object):
    status, _headers, answer = await house.call("POST", "/api-keys", {"title": "x", "scopes": ["admin"], "expiresAt": moment})

    assert status == 422
    assert [fault["path"] for fault in answer["error"]["fields"]] == ["expiresAt"]


async def test_every_fault_of_a_new_key_is_told(house: Served):
    status, _headers, answer = await house.call(
        "POST", "/api-keys", {"title": "x", "scopes": ["catalog:read", "all", "runs"], "expiresAt": 1}
    )

    assert status == 422
    assert sorted(fault["path"] for fault in answer["error"]["fields"]) == ["expiresAt", "scopes[1]", "scopes[2]"]


@pytest.mark.parametrize("scopes", [[], "admin", [1], None, [None], ["admin "]])
async def test_scopes_that_are_none_are_refused(house: Served, scopes: object):
    status, _headers, answer = await house.call("POST", "/api-keys", {"title": "x", "scopes": scopes})

    assert status == 422
    assert answer["error"]["fields"][0]["path"].startswith("scopes")


async def test_a_key_neither_signs_out_nor_changes_the_password(house: Served):
    made = await make_key(house, "admin")
    signed_out = await house.fetch("POST", "/user/logout", token=made["key"])
    changed = await house.fetch("POST", "/user/password", {"password": PASSWORD, "newPassword": "changed by a key"}, token=made["key"])

    assert (signed_out.status, changed.status) == (403, 403)
    assert (await house.fetch("GET", "/partners/info", token=made["key"])).status == 200
    assert (await house.sign_in())["authToken"]


@pytest.mark.parametrize("scope", [scope for scope in SCOPES if scope != "admin"])
async def test_every_route_wants_its_scope_and_no_other_will_do(house: Served, scope: str):
    without = (await make_key(house, *(other for other in SCOPES if other not in {scope, "admin"})))["key"]
    only = (await make_key(house, scope))["key"]
    walked = [endpoint for endpoint in ENDPOINTS if endpoint.scope == scope]
    assert walked

    for endpoint in walked:
        refused = await house.fetch(endpoint.method, concrete(endpoint), token=without)
        taken = await house.fetch(endpoint.method, concrete(endpoint), token=only)

        assert (refused.status, refused.json["error"]["code"]) == (403, "forbidden"), endpoint.path
        assert scope in refused.json["error"]["message"]
        assert taken.status not in {401, 403, 500}, endpoint.path


async def test_what_is_for_administrators_takes_no_other_scope(house: Served):
    without = (await make_key(house, *(scope for scope in SCOPES if scope != "admin")))["key"]
    walked = [endpoint for endpoint in ENDPOINTS if endpoint.scope == "admin"]
    assert len(walked) >= 3

    for endpoint in walked:
        assert (await house.fetch(endpoint.method, concrete(endpoint), token=without)).status == 403, endpoint.path


async def test_an_administrator_may_do_everything(house: Served):
    admin = (await make_key(house, "admin"))["key"]

    for endpoint in ENDPOINTS:
        if endpoint.path != "/user/auth":
            found = await house.fetch(endpoint.method, concrete(endpoint), token=admin)
            assert found.status != 403 or endpoint.path.startswith("/user/"), endpoint.path
            assert found.status < 500, endpoint.path


async def test_only_signing_in_the_pages_and_the_health_of_the_server_are_open(house: Served):
    opened = {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS if endpoint.scope is None}
    assert opened == {
        ("POST", "/user/auth"),
        ("POST", "/user/refresh"),
        ("POST", "/user/welcome"),
        ("GET", "/partners/{partnerId}/logo.svg"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/static/{name}"),
    }

    for endpoint in ENDPOINTS:
        if (endpoint.method, endpoint.path) not in opened:
            found = await house.fetch(endpoint.method, concrete(endpoint), token=None)
            assert (found.status, found.json["error"]["code"]) == (401, "unauthenticated"), endpoint.path


async def test_no_scope_is_without_a_route():
    assert {endpoint.scope for endpoint in ENDPOINTS if endpoint.scope} == set(SCOPES)
