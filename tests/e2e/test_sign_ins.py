"""A user's sign-ins through the API: where they are, ending one and all, and coming in by a link; and the same in the console, which asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.console import Browsing, member, text_of
from e2e.served import EMAIL, PASSWORD, Served

pytestmark = pytest.mark.anyio


async def sessions(house: Served, token: str, query: str = "") -> tuple[list[dict[str, Any]], dict[str, Any]]:
    status, _headers, answer = await house.call("GET", f"/user/sessions{query}", token=token)
    assert status == 200, answer
    return answer["data"], answer["meta"]


async def signed_in(house: Served, email: str) -> str:
    return str((await house.sign_in(email))["authToken"])


async def test_browsers_are_listed_the_latest_first_and_paged(house: Served):
    first = await member(house, "viewer", "paged@sign-ins.example")
    others = [Browsing(served=house) for _number in range(3)]
    for other in others:
        await other.sign_in("paged@sign-ins.example")
    token = await signed_in(house, "paged@sign-ins.example")
    whole, meta = await sessions(house, token)
    assert meta["totalItemsCount"] == len(whole) == 4
    assert {each["current"] for each in whole} == {False}, "a program is no browser"
    assert [each["createdAt"] for each in whole] == sorted((each["createdAt"] for each in whole), reverse=True)
    paged: list[dict[str, Any]] = []
    cursor = "*"
    while cursor:
        found, meta = await sessions(house, token, f"?per-page=1&cursor={cursor}")
        paged += found
        cursor = meta["nextCursor"]
    assert [each["id"] for each in paged] == [each["id"] for each in whole]
    assert text_of(await first.get("/console/you")).count("Sign out there") == 3
    assert "This one" in text_of(await first.get("/console/you"))
    assert (await house.fetch("GET", "/user/sessions?cursor=x", token=token)).status == 422
    assert (await house.fetch("GET", "/user/sessions?filter[x]=1", token=token)).status == 422


async def test_one_browser_is_signed_out_and_the_others_stay(house: Served):
    one = await member(house, "developer", "one@sign-ins.example")
    token = await signed_in(house, "one@sign-ins.example")
    (ended,), _meta = await sessions(house, token)
    two = Browsing(served=house)
    await two.sign_in("one@sign-ins.example")

    stranger = await signed_in(house, EMAIL)
    for wrong in (ended["id"], "x", "0" * 24, ended["id"].upper() + "0"):
        found = await house.fetch("DELETE", f"/user/sessions/{wrong}", token=stranger)
        assert (found.status, found.json["error"]["code"]) == (404, "not_found"), wrong
    assert (await one.get("/console/you")).status == 200

    done = await two.follow(await two.post(f"/console/you/sessions/{ended['id']}/sign-out"))
    assert "You are signed out in that browser." in text_of(done)
    assert (await one.get("/console/you")).status == 303
    again = await two.follow(await two.post(f"/console/you/sessions/{ended['id']}/sign-out"))
    assert "You were signed out there already." in text_of(again)
    (left,), _meta = await sessions(house, token)
    assert (await house.fetch("DELETE", f"/user/sessions/{left['id']}", token=token)).status == 200
    assert (await two.get("/console/you")).status == 303
    assert (await house.fetch("GET", "/partners/info", token=token)).status == 200, "programs are none of these"


async def test_who_ends_this_very_sign_in_is_signed_out(house: Served):
    one = await member(house, "viewer", "self@sign-ins.example")
    (own,), _meta = await sessions(house, await signed_in(house, "self@sign-ins.example"))
    done = await one.post(f"/console/you/sessions/{own['id']}/sign-out")
    assert done.headers["location"] == "/console/sign-in?out=1"
    assert "Max-Age=0" in done.headers["set-cookie"]


async def test_everywhere_is_everywhere_but_keys_go_on(house: Served):
    one = await member(house, "owner", "all@sign-ins.example")
    first, second = await signed_in(house, "all@sign-ins.example"), await signed_in(house, "all@sign-ins.example")
    _status, _headers, made = await house.call("POST", "/api-keys", {"title": "k", "scopes": ["catalog:read"]}, token=first)
    key = made["data"]["key"]
    assert (await house.fetch("POST", "/user/logout-everywhere", token=first)).status == 200
    for token in (first, second):
        assert (await house.fetch("GET", "/partners/info", token=token)).status == 401
    assert (await one.get("/console/you")).status == 303
    assert (await house.fetch("GET", "/partners/info", token=key)).status == 200
    assert (await Browsing(served=house).get("/console/you")).headers["location"] == "/console/sign-in?next=%2Fconsole%2Fyou"

    await one.sign_in("all@sign-ins.example")
    assert "Sign out everywhere?" in text_of(await one.get("/console/you")), "it asks first"
    done = await one.post("/console/sign-out-everywhere")
    assert "in all browsers and programs" in text_of(await one.follow(done))


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/user/sessions"), ("DELETE", f"/user/sessions/{'0' * 24}"), ("POST", "/user/logout-everywhere")]
)
async def test_tokens_that_are_none_of_a_users_sign_in_are_refused(house: Served, method: str, path: str):
    _status, _headers, made = await house.call("POST", "/api-keys", {"title": "k", "scopes": ["admin"]})
    _user, end_user = await house.end_user(f"sign-ins{abs(hash(path))}")
    for token in (made["data"]["key"], end_user):
        found = await house.fetch(method, path, token=token)
        assert (found.status, found.json["error"]["code"]) == (403, "forbidden")


async def test_a_link_is_used_through_the_api_once(house: Served):
    made = (await house.call("POST", "/console-users", {"email": "linked@sign-ins.example", "role": "viewer"}))[2]["data"]
    body = {"token": made["url"].partition("token=")[2], "password": PASSWORD}
    short = await house.fetch("POST", "/user/welcome", body | {"password": "short"}, token=None)
    other = await house.fetch("POST", "/user/welcome", body | {"email": "other@sign-ins.example"}, token=None)
    assert [(found.status, found.json["error"]["fields"][0]["path"]) for found in (short, other)] == [(422, "password"), (422, "email")]
    done = await house.fetch("POST", "/user/welcome", body | {"email": "Linked@sign-ins.example"}, token=None)
    assert (done.status, done.json["data"]["email"], done.json["data"]["hasPassword"]) == (200, "linked@sign-ins.example", True)
    assert "password" not in done.json["data"]
    again = await house.fetch("POST", "/user/welcome", body, token=None)
    assert (again.status, again.json["error"]["code"]) == (404, "not_found")
    assert await signed_in(house, "linked@sign-ins.example")
    noted = (await house.call("GET", f"/audit?target=/console-users/{made['id']}"))[2]["data"][0]
    assert (noted["action"], noted["via"], noted["actorName"]) == ("POST /user/welcome", "api", "linked@sign-ins.example")


async def test_what_the_console_does_with_sign_ins_stands_in_the_log_as_what_the_api_does(house: Served):
    one = await member(house, "viewer", "noted@sign-ins.example")
    await one.post("/console/sign-out")
    await one.sign_in("noted@sign-ins.example")
    await one.post("/console/sign-out-everywhere")
    entries = (await house.call("GET", "/audit?per-page=10"))[2]["data"]
    told = [(each["via"], each["action"]) for each in reversed(entries) if each["actorName"] == "noted@sign-ins.example"]
    assert told == [
        ("console", "POST /user/welcome"),
        ("console", "POST /user/logout"),
        ("console", "console sign-in"),
        ("console", "POST /user/logout-everywhere"),
    ]


async def test_the_focus_goes_to_what_has_to_be_typed_again(house: Served):
    stranger = Browsing(served=house)
    refused = (await stranger.sign_in("somebody@sign-ins.example", "wrong")).content.decode()
    password = refused.partition('id="f-password"')[2].partition(">")[0]
    assert "autofocus" in password
    assert refused.count(" autofocus") == 1
    assert " autofocus" not in (await stranger.get("/console/sign-in")).content.decode()
