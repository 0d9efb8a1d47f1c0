"""How connections stand and what became of them, at the API: counts, filters, and one list of deeds and changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Asked, Served, answer, running_server, upstream

pytestmark = pytest.mark.anyio

HTTP = 2
HTTP_FIELDS = {"base_url": "https://api.example.com", "token": "t0ken-of-http"}


class Partner:
    """A Pipedrive that takes every token, or none, or is down, as a test says."""

    status = 200

    async def __call__(self, _asked: Asked) -> bytes:
        if self.status != 200:
            return answer(self.status, {"success": False, "error": "unauthorized access"})
        return answer(200, {"success": True, "data": {"name": "Ada", "company_name": "Example"}})


@pytest.fixture
async def partner(anyio_backend: str) -> Partner:
    return Partner()


@pytest.fixture
async def house(anyio_backend: str, partner: Partner, tmp_path: Path) -> AsyncIterator[Served]:
    async with upstream(partner) as up, running_server(tmp_path, partner_pipedrive_base_url=up.origin) as served:
        yield served


async def told(house: Served, path: str, *, token: str | None = "") -> Any:
    status, _headers, found = await house.call("GET", path, token=token)
    assert status == 200, found
    return found["data"]


async def history(house: Served, connection: int, query: str = "") -> list[tuple[Any, ...]]:
    found = await told(house, f"/credentials/{connection}/history?{query}")
    return [(each["action"], each["status"], each["becomes"]) for each in found]


async def test_what_nothing_has_proved_is_counted_and_found_apart(house: Served):
    by_http = await house.connect(HTTP, HTTP_FIELDS, auth="bearer", externalUserId="user-1")
    proved = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)

    assert await told(house, "/credentials/by-status") == {"active": 2, "invalid": 0, "expired": 0, "pending": 0, "unverified": 1}
    for query, counts in (
        (f"partnerId={PIPEDRIVE}", (1, 0)),
        ("externalUserId=user-1", (1, 1)),
        (f"externalUserId=user-1&partnerId={PIPEDRIVE}", (0, 0)),
    ):
        found = await told(house, f"/credentials/by-status?{query}")
        assert (found["active"], found["unverified"]) == counts, query
    assert (await told(house, "/overview"))["connections"] == {"active": 2, "unverified": 1}
    for query, found in (("false", [by_http]), ("true", [proved])):
        for more in ("", "&filter[status]=active", "&q=connection"):
            status, _headers, listed = await house.call("GET", f"/credentials?filter[verified]={query}{more}")
            assert status == 200
            assert [each["credentialId"] for each in listed["data"]] == found, (query, more)
            assert listed["meta"]["totalItemsCount"] == 1, (query, more)
    assert (await house.fetch("GET", "/credentials?filter[verified]=maybe")).status == 422


async def test_a_connection_with_nothing_to_ask_is_not_said_to_be_tested(house: Served):
    connection = await house.connect(HTTP, HTTP_FIELDS, auth="bearer")
    found = (await house.call("POST", f"/credentials/{connection}/test"))[2]["data"]

    assert (found["ok"], found["asked"], found["credential"]["lastVerifiedAt"]) == (True, False, None)
    of_pipedrive = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    assert (await house.call("POST", f"/credentials/{of_pipedrive}/test"))[2]["data"]["asked"] is True


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        ("north", {"Northwind"}),
        ("ADA", {"Northwind", "100%"}),  # the account at the partner
        ("user-77", {"Northwind"}),
        ("user-", {"Northwind", "By http"}),
        ("ser-77", set()),  # an external user is looked for from its beginning
        ("%25", {"100%"}),
        ("zzz", set()),
        ("x" * 1500, set()),
    ],
)
async def test_one_search_finds_titles_accounts_and_users(house: Served, sought: str, found: set[str]):
    await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, title="Northwind", externalUserId="user-77")
    await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, title="100%")
    await house.connect(HTTP, HTTP_FIELDS, auth="bearer", title="By http", externalUserId="user-8")

    for more in ("", "&sort=title", "&sort=-credentialId", f"&filter[partnerId]={PIPEDRIVE}", "&filter[externalUserId]=user-77"):
        status, _headers, listed = await house.call("GET", f"/credentials?q={sought}{more}")
        assert status == 200
        titles = {each["title"] for each in listed["data"]}
        assert titles <= found
        assert listed["meta"]["totalItemsCount"] == len(titles)
        assert more.startswith("&filter") or titles == found


async def test_one_search_finds_an_id(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, title="Northwind")
    await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, title="Other")

    assert [each["title"] for each in await told(house, f"/credentials?q={connection}")] == ["Northwind"]


async def test_the_history_tells_deeds_with_what_they_came_to_and_changes_with_why(house: Served, partner: Partner):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, title="Northwind")
    test, one = "POST /credentials/{credentialId}/test", "PATCH /credentials/{credentialId}"
    for status in (200, 503, 401, 200):
        partner.status = status
        await house.call("POST", f"/credentials/{connection}/test")
    await house.call("PATCH", f"/credentials/{connection}", {"title": "Southwind"})
    await house.call("PATCH", f"/credentials/{connection}", {"fields": PIPEDRIVE_FIELDS})

    whole = await history(house, connection)
    assert whole == [
        (f"{one} (fields)", 200, None),
        (f"{one} (title)", 200, None),
        (test, 200, None),
        (None, None, "active"),
        (test, 409, None),
        (None, None, "invalid"),
        (test, 502, None),
        (test, 200, None),
        ("POST /credentials", 201, None),
    ]
    found = await told(house, f"/credentials/{connection}/history")
    assert found[0]["actorName"] == "owner@example.com"
    assert [each["reason"] for each in found if each["becomes"]] == [None, "Pipedrive refused this API token: unauthorized access."]
    assert PIPEDRIVE_FIELDS["api_token"] not in str(found)

    paged: list[tuple[Any, ...]] = []
    query: str | None = "per-page=2"
    while query is not None:
        status, _headers, page = await house.call("GET", f"/credentials/{connection}/history?{query}")
        assert status == 200
        paged += [(each["action"], each["status"], each["becomes"]) for each in page["data"]]
        following = page["meta"]["nextCursor"]
        query = f"per-page=2&cursor={following}" if following is not None else None
    assert paged == whole


async def test_the_history_is_of_this_connection_and_for_who_may_see_it(house: Served):
    mine = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, externalUserId="ada")
    other = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    await house.call("POST", f"/credentials/{other}/test")
    await house.call("POST", f"/credentials/{mine}/{mine}/update-user-data", {})

    assert await history(house, mine) == [("POST /credentials", 201, None)]
    assert (await house.fetch("GET", f"/credentials/{mine}/history", token=await house.second_account())).status == 404
    _user, token = await house.end_user("ada")
    assert await told(house, f"/credentials/{mine}/history", token=token) == [], (
        "the names of the account's people are not for its customers"
    )
    assert (await house.fetch("GET", f"/credentials/{other}/history", token=token)).status == 404


@pytest.mark.parametrize("cursor", ["x", "1", "1.x", "1.2.3", "-1.2"])
async def test_what_is_no_cursor_of_it_is_told(house: Served, cursor: str):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    assert (await house.fetch("GET", f"/credentials/{connection}/history?cursor={cursor}")).status == 422


async def test_the_last_fifty_changes_are_kept_and_go_with_the_connection(house: Served, partner: Partner):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    for turn in range(52):
        partner.status = 200 if turn % 2 else 401
        await house.call("POST", f"/credentials/{connection}/test")
    changes = house.runtime.repo.connections.changes
    assert len(await changes(connection, 2**53, limit=100)) == 50
    await house.call("DELETE", f"/credentials/{connection}")
    assert await changes(connection, 2**53, limit=100) == []


async def test_ways_to_sign_in_say_whether_an_app_serves_them(house: Served):
    def ready(ways: list[Mapping[str, Any]]) -> list[Any]:
        return [each.get("isReady") for each in ways if each["byLinkOnly"]]

    path = f"/partners/{PIPEDRIVE}/credential-fields"
    assert ready(await told(house, path)) == [False]
    assert (await house.call("PUT", f"/oauth-apps/{PIPEDRIVE}", {"clientId": "c", "clientSecret": "s"}))[0] in {200, 201}
    assert ready(await told(house, path)) == [True]
    assert all("isReady" not in each for each in await told(house, path) if not each["byLinkOnly"])
