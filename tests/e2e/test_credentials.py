import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from e2e.served import HUBSPOT, PIPEDRIVE, PIPEDRIVE_FIELDS, TOOLS, Asked, Served, answer, running_server, upstream
from polyport.testing.leaks import find_leaks

pytestmark = pytest.mark.anyio

BAD = {**PIPEDRIVE_FIELDS, "api_token": "bad-token"}
IMPOSSIBLE = ["0", "-1", "abc", "1.5", "9223372036854775808", "9" * 5000, "%00", "1%20", "+1"]


def faults(found) -> list[tuple[str, str]]:
    return sorted((fault["path"], fault["code"]) for fault in found["error"]["fields"])


async def operation(served: Served, name: str) -> int:
    _status, _headers, found = await served.call("GET", f"/partners/trigger-actions/info?filter[partnerId]={PIPEDRIVE}&per-page=100")
    return next(item["triggerActionId"] for item in found["data"] if item["name"] == name)


async def test_a_connection_is_made_and_proved(house: Served):
    body = {
        "partnerId": PIPEDRIVE,
        "title": "Sales of Example",
        "fields": PIPEDRIVE_FIELDS,
        "externalUserId": "user-7",
        "metadata": {"plan": "pro", "n": [1, None]},
    }
    status, headers, found = await house.call("POST", "/credentials", body)

    item = found["data"]
    assert (status, headers["cache-control"]) == (201, "no-store")
    assert (item["partnerId"], item["title"], item["status"]) == (PIPEDRIVE, "Sales of Example", "active")
    assert (item["externalUserId"], item["metadata"], item["lastError"]) == ("user-7", {"plan": "pro", "n": [1, None]}, None)
    assert "Sam Sample" in item["account"]
    assert isinstance(item["lastVerifiedAt"], int)
    assert item["lastUsedAt"] is None
    assert (await house.call("GET", f"/credentials/{item['credentialId']}"))[2]["data"] == item


async def test_secrets_come_back_by_their_last_characters_only(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    start = len(house.replies)
    await house.fetch("GET", f"/credentials/{connection}")
    await house.fetch("GET", "/credentials?per-page=100")
    await house.fetch("PATCH", f"/credentials/{connection}", {"title": "Other"})
    await house.fetch("PATCH", f"/credentials/{connection}", {"fields": {"company": "acme"}})
    await house.fetch("POST", f"/credentials/{connection}/test")
    shown = house.replies[start:]

    secret = {"token": PIPEDRIVE_FIELDS["api_token"]}
    assert all(found.status == 200 for found in shown)
    assert find_leaks(secret, *(found.content for found in shown)) == []
    assert shown[0].json["data"]["fields"] == {"company": "acme", "api_token": "••••4b5c"}


async def test_secrets_are_sealed_at_rest(house: Served):
    await house.connect(PIPEDRIVE, {**PIPEDRIVE_FIELDS, "api_token": "sealed-canary-Zq8w7Xv5Tn3Lk1Hd"})

    assert find_leaks({"token": "sealed-canary-Zq8w7Xv5Tn3Lk1Hd"}, house.runtime.settings.data) == []


async def test_every_fault_of_a_new_connection_is_told_at_once(house: Served):
    status, _headers, found = await house.call(
        "POST", "/credentials", {"partnerId": PIPEDRIVE, "title": "x", "fields": {"company": "Not A Domain!", "nonsense": 1}}
    )

    assert status == 422
    assert [path for path, _code in faults(found)] == ["fields.api_token", "fields.company", "fields.nonsense"]


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({}, ["fields", "partnerId", "title"]),
        ({"partnerId": "x", "title": "", "fields": []}, ["fields", "partnerId", "title"]),
        ({"partnerId": 0, "title": "x" * 301, "fields": {}}, ["partnerId", "title"]),
        ({"partnerId": 424242, "title": "x", "fields": {}}, ["partnerId"]),
        ({"partnerId": 2**70, "title": "x", "fields": {}}, ["partnerId"]),
        ({"partnerId": TOOLS, "title": "x", "fields": {}}, ["partnerId"]),
        ({"partnerId": PIPEDRIVE, "title": "x", "fields": PIPEDRIVE_FIELDS, "auth": "oauth2"}, ["auth"]),
        ({"partnerId": PIPEDRIVE, "title": "x", "fields": PIPEDRIVE_FIELDS, "auth": "nonsense"}, ["auth"]),
        ({"partnerId": PIPEDRIVE, "title": "x", "fields": PIPEDRIVE_FIELDS, "metadata": []}, ["metadata"]),
        ({"partnerId": PIPEDRIVE, "title": "x", "fields": PIPEDRIVE_FIELDS, "metadata": {"a": "x" * 20_000}}, ["metadata"]),
        ({"partnerId": PIPEDRIVE, "title": "x", "fields": PIPEDRIVE_FIELDS, "externalUserId": ""}, ["externalUserId"]),
        ({"partnerId": PIPEDRIVE, "title": None, "fields": None}, ["fields", "title"]),
    ],
)
async def test_a_wrong_body_is_refused_by_its_fields(house: Served, body: dict[str, object], paths: list[str]):
    status, _headers, found = await house.call("POST", "/credentials", body)

    assert status == 422, found
    assert [path for path, _code in faults(found)] == paths


async def test_a_secret_that_the_partner_refuses_is_a_fault_of_its_field(house: Served):
    before = (await house.call("GET", "/credentials"))[2]["meta"]["totalItemsCount"]
    status, _headers, found = await house.call("POST", "/credentials", {"partnerId": PIPEDRIVE, "title": "x", "fields": BAD})

    assert status == 422
    assert faults(found) == [("fields.api_token", "refused_by_partner")]
    assert found["error"]["upstream"]["status"] == 401
    assert (await house.call("GET", "/credentials"))[2]["meta"]["totalItemsCount"] == before


async def test_a_partner_that_is_down_is_told_apart_from_a_wrong_secret(tmp_path: Path):
    async with running_server(tmp_path, partner_pipedrive_base_url="http://127.0.0.1:9") as served:
        body = {"partnerId": PIPEDRIVE, "title": "x", "fields": PIPEDRIVE_FIELDS}
        status, _headers, found = await served.call("POST", "/credentials", body)

    assert (status, found["error"]["code"], found["error"]["retryable"]) == (502, "partner_unavailable", True)


async def test_the_same_secret_may_be_connected_twice(house: Served):
    first, second = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS), await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)

    assert first != second
    assert (await house.call("DELETE", f"/credentials/{first}"))[0] == 200
    assert (await house.call("GET", f"/credentials/{second}"))[0] == 200


async def test_connections_are_listed_filtered_and_sorted(tmp_path: Path, pipedrive: str):
    async with running_server(tmp_path, partner_pipedrive_base_url=pipedrive) as served:
        for title, user in (("Beta 100%", "u1"), ("alpha_x", "u2"), ("Gamma", "u1"), ("alphaYx", None)):
            more = {"externalUserId": user} if user else {}
            await served.call("POST", "/credentials", {"partnerId": PIPEDRIVE, "title": title, "fields": PIPEDRIVE_FIELDS, **more})

        async def titles(query: str) -> list[str]:
            status, _headers, found = await served.call("GET", f"/credentials?{query}")
            assert status == 200, found
            assert found["meta"]["totalItemsCount"] >= len(found["data"])
            return [item["title"] for item in found["data"]]

        assert await titles("sort=title&per-page=2") == ["alpha_x", "alphaYx"]
        assert await titles("sort=-title&per-page=2") == ["Gamma", "Beta 100%"]
        assert sorted(await titles("filter[externalUserId]=u1")) == ["Beta 100%", "Gamma"]
        assert await titles("filter[title][like]=%25") == ["Beta 100%"]
        assert await titles("filter[title][like]=_") == ["alpha_x"]
        assert sorted(await titles("filter[title][like]=ALPHA")) == ["alphaYx", "alpha_x"]
        assert await titles("filter[title]=Gamma") == ["Gamma"]
        assert await titles(f"filter[partnerId]={HUBSPOT}") == []
        assert len(await titles(f"filter[partnerId]={PIPEDRIVE}&filter[status]=active")) == 4
        assert await titles("filter[status]=invalid") == await titles("status=invalid") == []
        assert sorted(await titles("externalUserId=u1")) == ["Beta 100%", "Gamma"]
        assert await titles("page=3&per-page=2") == []


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("filter[status]=nice", "filter[status]"),
        ("filter[partnerId]=abc", "filter[partnerId]"),
        ("sort=colour", "sort"),
        ("filter[status][like]=a", "filter[status]"),
    ],
)
async def test_a_filter_that_cannot_be_is_refused(house: Served, query: str, path: str):
    status, _headers, found = await house.call("GET", f"/credentials?{query}")

    assert status == 422
    assert [place for place, _code in faults(found)] == [path]


async def test_title_metadata_and_user_are_changed_alone(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, metadata={"a": 1}, externalUserId="u1")
    changed = []
    for body in ({"title": "Renamed"}, {"metadata": {"b": 2}}, {"externalUserId": None}, {"metadata": None}, {}):
        status, _headers, found = await house.call("PATCH", f"/credentials/{connection}", body)
        assert status == 200, found
        changed.append((found["data"]["title"], found["data"]["metadata"], found["data"]["externalUserId"], found["data"]["status"]))

    assert changed == [
        ("Renamed", {"a": 1}, "u1", "active"),
        ("Renamed", {"b": 2}, "u1", "active"),
        ("Renamed", {"b": 2}, None, "active"),
        ("Renamed", {}, None, "active"),
        ("Renamed", {}, None, "active"),
    ]


async def test_new_fields_are_proved_before_they_replace_the_old(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    refused = await house.call("PATCH", f"/credentials/{connection}", {"fields": {"api_token": "bad-token"}, "title": "Not kept"})
    kept = await house.call("GET", f"/credentials/{connection}")
    taken = await house.call("PATCH", f"/credentials/{connection}", {"fields": {"api_token": "another-good-token"}})

    assert refused[0] == 422
    assert faults(refused[2]) == [("fields.api_token", "refused_by_partner")]
    assert (kept[2]["data"]["title"], kept[2]["data"]["fields"]["api_token"]) == ("A connection", "••••4b5c")
    assert (taken[0], taken[2]["data"]["fields"]) == (200, {"company": "acme", "api_token": "••••oken"})


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"title": None}, "title"),
        ({"title": ""}, "title"),
        ({"auth": "api_token"}, "fields"),
        ({"fields": {"zzz": 1}}, "fields.zzz"),
        ({"status": "active"}, "status"),
    ],
)
async def test_a_change_that_cannot_be_is_refused(house: Served, body: dict[str, object], path: str):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    status, _headers, found = await house.call("PATCH", f"/credentials/{connection}", body)

    assert status == 422
    assert [place for place, _code in faults(found)] == [path]


@pytest.mark.parametrize("connection", IMPOSSIBLE)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/credentials/{}"),
        ("PATCH", "/credentials/{}"),
        ("DELETE", "/credentials/{}"),
        ("POST", "/credentials/{}/test"),
        ("POST", "/credentials/225/{}/update-user-data"),
        ("POST", "/credentials/{}/1001/update-user-data"),
        ("GET", "/partners/{}"),
        ("GET", "/partners/trigger-actions/{}"),
        ("GET", "/partners/{}/credential-fields"),
        ("POST", "/partners/trigger-actions/{}/run/info"),
        ("POST", "/partners/trigger-actions/{}/run/sync"),
    ],
)
async def test_an_id_that_cannot_be_is_not_found(house: Served, method: str, path: str, connection: str):
    found = await house.fetch(method, path.format(connection), {} if method == "PATCH" else None)

    assert (found.status, found.json["error"]["code"]) == (404, "not_found")


async def test_a_deleted_connection_is_gone_with_its_secrets(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    create = await operation(house, "create_person")
    body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Ada"}}
    ran = await house.call("POST", f"/partners/trigger-actions/{create}/run/sync", body)
    deleted = await house.call("DELETE", f"/credentials/{connection}")

    assert ran[0] == 200
    assert (deleted[0], deleted[2]) == (200, {"success": True, "data": []})
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test")):
        assert (await house.call(method, f"/credentials/{connection}{path}", {} if method != "GET" else None))[0] == 404
    again = await house.call("POST", f"/partners/trigger-actions/{create}/run/sync", body)
    assert again[0] in {404, 422}


async def test_a_connection_shows_when_it_was_used_last(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    create = await operation(house, "create_person")
    await house.call(
        "POST", f"/partners/trigger-actions/{create}/run/sync", {"credentialData": {"0": connection}, "runnerData": {"name": "Ada"}}
    )

    assert abs((await house.call("GET", f"/credentials/{connection}"))[2]["data"]["lastUsedAt"] - time.time()) < 30


async def test_a_test_says_what_the_verify_call_found(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    status, _headers, found = await house.call("POST", f"/credentials/{connection}/test")

    assert status == 200
    assert found["data"]["ok"] is True
    assert found["data"]["credential"]["status"] == "active"
    assert "error" not in found["data"]


class Revocable:
    """A partner whose token can be taken back."""

    revoked = False

    async def __call__(self, asked: Asked) -> bytes:
        if self.revoked:
            return answer(401, {"success": False, "error": "unauthorized access"})
        if asked.target.startswith("/api/v1/users/me"):
            return answer(200, {"success": True, "data": {"name": "Ada", "company_name": "Example"}})
        return answer(200, {"success": True, "data": {"id": 1, "name": "Ada"}})


@pytest.fixture
async def revocable(anyio_backend: str, tmp_path: Path) -> AsyncIterator[tuple[Served, Revocable]]:
    partner = Revocable()
    async with upstream(partner) as up, running_server(tmp_path, partner_pipedrive_base_url=up.origin) as served:
        yield served, partner


async def test_a_connection_whose_token_was_taken_back_becomes_invalid_and_runs_say_so(revocable: tuple[Served, Revocable]):
    served, partner = revocable
    connection = await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    create = await operation(served, "create_person")
    body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Ada"}}
    partner.revoked = True
    status, _headers, found = await served.call("POST", f"/credentials/{connection}/test")

    assert status == 200
    assert found["data"]["ok"] is False
    assert found["data"]["error"]["code"] == "connection_invalid"
    assert found["data"]["credential"]["status"] == "invalid"
    assert found["data"]["credential"]["lastError"]
    for path in ("run/sync", "run/async", "run/info"):
        refused = await served.call("POST", f"/partners/trigger-actions/{create}/{path}", body)
        assert (refused[0], refused[2]["error"]["code"]) == (409, "connection_invalid")

    partner.revoked = False
    again = (await served.call("POST", f"/credentials/{connection}/test"))[2]["data"]
    assert (again["ok"], again["credential"]["status"], again["credential"]["lastError"]) == (True, "active", None)
    assert (await served.call("POST", f"/partners/trigger-actions/{create}/run/sync", body))[0] == 200


async def test_a_run_that_the_partner_refuses_for_its_token_makes_the_connection_invalid(revocable: tuple[Served, Revocable]):
    served, partner = revocable
    connection = await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    create = await operation(served, "create_person")
    partner.revoked = True
    body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Ada"}}
    status, _headers, found = await served.call("POST", f"/partners/trigger-actions/{create}/run/sync", body)

    assert (status, found["error"]["code"]) == (409, "connection_invalid")
    assert (await served.call("GET", f"/credentials/{connection}"))[2]["data"]["status"] == "invalid"


async def test_updating_user_data_comes_to_three_and_reads_the_custom_fields_again(tmp_path: Path):
    fields = [{"field_name": "Old field", "field_code": "a" * 40, "field_type": "varchar", "is_custom_field": True}]

    async def partner(asked: Asked) -> bytes:
        if "fields" in asked.target.lower():
            return answer(200, {"success": True, "data": fields, "additional_data": {"next_cursor": None}})
        return answer(200, {"success": True, "data": [] if "users/me" not in asked.target else {"name": "Ada", "company_name": "E"}})

    async with upstream(partner) as up, running_server(tmp_path, partner_pipedrive_base_url=up.origin) as served:
        connection = await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
        create = await operation(served, "create_person")

        async def schema() -> str:
            info = {"credentialData": {"0": {"value": connection}}}
            found = await served.fetch("POST", f"/partners/trigger-actions/{create}/run/info", info)
            assert found.status == 200, found
            return found.content.decode()

        assert "Old field" in await schema()
        fields[0]["field_name"] = "New field"
        assert "New field" not in await schema()
        seen = []
        async with asyncio.timeout(60):
            while not seen or seen[-1] != 3:
                status, _headers, found = await served.call("POST", f"/credentials/{PIPEDRIVE}/{connection}/update-user-data", {})
                assert (status, set(found["data"])) == (200, {"updateStatus"})
                seen.append(found["data"]["updateStatus"])
                await asyncio.sleep(0.02)

        assert set(seen) <= {0, 1, 2, 3, 4}
        assert "New field" in await schema()


async def test_updating_under_another_partner_is_not_found(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)

    assert (await house.call("POST", f"/credentials/{HUBSPOT}/{connection}/update-user-data"))[0] == 404


async def test_where_there_is_nothing_to_ask_a_test_asks_nothing_and_notes_nothing(house: Served):
    connection = await house.connect(2, {"base_url": "https://api.example.com", "token": "t0ken-of-http"}, auth="bearer")
    status, _headers, found = await house.call("POST", f"/credentials/{connection}/test")

    assert (status, found["data"]["ok"], found["data"]["asked"]) == (200, True, False)
    assert found["data"]["credential"]["lastVerifiedAt"] is None
