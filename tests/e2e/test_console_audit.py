"""The audit log answers who did what: filtered by person, deed, time, result and thing; in words, with the names of things as they were."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from e2e.console import Browsing, member, text_of
from e2e.served import EMAIL, PASSWORD, Clock, Served, running_server
from polyport.server.app import ENDPOINTS
from polyport.server.console.names import DEEDS, deed

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def house(anyio_backend, tmp_path_factory):
    async with running_server(tmp_path_factory.mktemp("audit")) as served:
        yield served


@pytest.fixture(scope="module")
async def owner(anyio_backend, house: Served) -> Browsing:
    found = Browsing(served=house)
    await found.sign_in()
    return found


async def entries(house: Served, query: str) -> list[dict[str, Any]]:
    status, _headers, found = await house.call("GET", f"/audit?{query}")
    assert status == 200, found
    return list(found["data"])


def test_every_deed_that_is_noted_has_words():
    noted = {f"{each.method} {each.path}" for each in ENDPOINTS if each.audited}
    assert noted - DEEDS.keys() == set()
    assert deed("POST /api-keys") == "made an API key"
    assert deed("POST /api-keys", refused=True) == "was not let make an API key"
    assert deed("GET /nothing") == "GET /nothing"


async def test_an_entry_has_the_name_of_the_thing_and_what_became_of_it(house: Served):
    key = (await house.call("POST", "/api-keys", {"title": "Nightly", "scopes": ["runs:read"]}))[2]["data"]
    await house.fetch("DELETE", f"/api-keys/{key['id']}")
    person = (await house.call("POST", "/console-users", {"email": "role@team.example", "role": "viewer"}))[2]["data"]
    await house.fetch("PATCH", f"/console-users/{person['id']}", {"role": "developer"})
    hook = (await house.call("POST", "/event-endpoints", {"url": house.origin + "/hooks?token=s3cr3t", "title": ""}))[2]["data"]
    await house.fetch("PATCH", f"/event-endpoints/{hook['endpointId']}", {"status": "paused"})
    found = await entries(house, "per-page=6")

    assert [(each["targetName"], each["change"]) for each in found] == [
        ("", "active to paused"),
        ("", ""),
        ("role@team.example", "viewer to developer"),
        ("role@team.example", ""),
        ("Nightly", ""),
        ("Nightly", ""),
    ]
    assert (await house.call("GET", "/audit/verify"))[2]["data"]["ok"] is True


async def test_what_belongs_to_an_end_user_and_what_a_customer_opens_is_not_named(house: Served):
    for body in ({"title": "Ours"}, {"title": "Ada Lovelace", "externalUserId": "ada"}):
        link = (await house.call("POST", "/credentials/grant-access-sharing", {"partnerId": 225, **body}))[2]["data"]
        await house.fetch("DELETE", f"/credentials/grant-access-sharing/{link['id']}")
        made = (await house.call("POST", "/credentials", {"partnerId": 225, "simulated": True, **body}))[2]["data"]
        assert (await house.fetch("DELETE", f"/credentials/{made['credentialId']}")).status == 200
    assert [each["targetName"] for each in await entries(house, "per-page=8")] == [*[""] * 4, "Ours", "Ours", "", ""]


async def test_entries_are_found_by_who_what_when_how_and_on_what(house: Served):
    key = (await house.call("POST", "/api-keys", {"title": "Looks", "scopes": ["catalog:read"]}))[2]["data"]
    assert (await house.fetch("POST", "/api-keys", {"title": "x", "scopes": ["admin"]}, token=key["key"])).status == 403
    newest = (await entries(house, "per-page=1"))[0]
    found = await entries(house, f"actor=key/{key['id']}")
    assert [(each["action"], each["status"]) for each in found] == [("POST /api-keys", 403)]
    assert {each["status"] for each in await entries(house, "result=refused&action=POST%20/api-keys")} == {403}
    assert all(each["status"] < 400 for each in await entries(house, "result=done"))
    assert [each["target"] for each in await entries(house, f"target=/api-keys/{key['id']}")] == [f"/api-keys/{key['id']}"]
    begun = await entries(house, "target=/api-key*&per-page=100")
    assert begun
    assert all(each["target"].startswith("/api-key") for each in begun)
    assert await entries(house, f"to={newest['at'] - 86_400}") == []
    assert (await entries(house, f"from={newest['at']}&to={newest['at'] + 60}&per-page=1"))[0]["sequence"] >= newest["sequence"]
    for wrong in ("from=x", "to=-1", "result=maybe"):
        assert (await house.fetch("GET", f"/audit?{wrong}")).status == 422


async def test_filters_page_by_cursor(house: Served):
    for number in range(3):
        await house.call("POST", "/api-keys", {"title": f"Paged {number}", "scopes": ["runs:read"]})
    found: list[str] = []
    cursor = ""
    for _page in range(3):
        _status, _headers, answer = await house.call("GET", f"/audit?action=POST%20/api-keys&result=done&per-page=1&cursor={cursor}")
        found += [each["targetName"] for each in answer["data"]]
        cursor = answer["meta"]["nextCursor"]
    assert found == ["Paged 2", "Paged 1", "Paged 0"]


async def test_a_part_of_the_log_is_exported_by_the_same_filters(house: Served, owner: Browsing):
    await house.call("POST", "/console-users", {"email": "exported@team.example", "role": "viewer"})
    found = await owner.get("/console/settings/audit/export?action=POST%20/console-users&result=done")
    actions = {json.loads(line)["action"] for line in found.content.splitlines()}
    assert actions == {"POST /console-users"}
    assert "audit-part.ndjson" in found.headers["content-disposition"]


async def test_the_page_filters_by_what_people_choose(house: Served, owner: Browsing):
    developer = await member(house, "developer", "dev@team.example")
    await developer.post("/console/settings/keys", {"title": "Mine", "scope.admin": "1"})
    people = (await house.call("GET", "/console-users"))[2]["data"]
    dev = next(each["id"] for each in people if each["email"] == "dev@team.example")
    await house.call("PATCH", f"/console-users/{dev}", {"role": "viewer"})
    page = await owner.get("/console/settings/audit?action=PATCH%20/console-users/%7BconsoleUserId%7D")
    told = text_of(page)
    assert re.search(r"Changed the role of a person\s+developer to viewer\s+dev@team.example", told)
    assert "a part of the log, which cannot be verified" in told
    theirs = text_of(await owner.get(f"/console/settings/audit?actor=user/{dev}"))
    assert "Came in by a link and set a password" in theirs
    assert "Made an API key" not in theirs.partition("<tbody>")[2]
    assert "Nobody has changed anything that fits." in text_of(await owner.get("/console/settings/audit?from=2090-01-01"))
    assert (await owner.get("/console/settings/audit?from=nonsense&to=0000-00-00")).status == 200


async def test_who_did_not_get_in_is_noted_once_a_minute_and_nobody_else_is(tmp_path):
    clock = Clock()
    async with running_server(tmp_path, clock=clock) as served:
        stranger = Browsing(served=served)
        for email in (EMAIL, EMAIL, "nobody@team.example"):
            assert (await stranger.sign_in(email, "wrong password")).status == 401
        assert (await served.fetch("POST", "/user/auth", {"email": EMAIL, "password": "wrong"}, token=None)).status == 401
        failed = await settled(served, 1)
        assert [(each["actorName"], each["via"], each["action"]) for each in failed] == [(EMAIL, "console", "console sign-in")]
        clock.forward(61)
        assert (await served.fetch("POST", "/user/auth", {"email": EMAIL, "password": "wrong"}, token=None)).status == 401
        assert [each["action"] for each in await settled(served, 2)] == ["POST /user/auth", "console sign-in"]
        await stranger.sign_in(EMAIL, PASSWORD)
        assert "Did not get in" in text_of(await stranger.get("/console/settings/audit?result=refused"))


async def settled(served: Served, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(30):
        while len(found := await entries(served, "result=refused")) < count:  # noqa: ASYNC110  it is written beside the answer, which signals nothing
            await asyncio.sleep(0.01)
    return found
