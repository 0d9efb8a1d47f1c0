"""Links by which customers connect, over the API: made, read, listed, regenerated, revoked; and the address at which a customer connects again."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from e2e.served import HUBSPOT, PIPEDRIVE, PIPEDRIVE_FIELDS, TOOLS, Asked, Clock, Reply, Served, answer, running_server, upstream
from polyport.passwords import digest
from polyport.testing.leaks import find_leaks

pytestmark = pytest.mark.anyio

PATH = "/credentials/grant-access-sharing"
DAY = 24 * 3600


def faults(found: Any) -> list[tuple[str, str]]:
    return sorted((fault["path"], fault["code"]) for fault in found["error"]["fields"])


async def make(served: Served, **more: Any) -> dict[str, Any]:
    status, _headers, found = await served.call("POST", PATH, {"partnerId": PIPEDRIVE, "title": "Acme", **more})
    assert status == 201, found
    return dict(found["data"])


@pytest.fixture
async def timed(anyio_backend: str, tmp_path: Path, pipedrive: str) -> AsyncIterator[tuple[Served, Clock]]:
    clock = Clock()
    async with running_server(tmp_path, clock=clock, partner_pipedrive_base_url=pipedrive, login_token_lifetime=90 * DAY) as served:
        yield served, clock


async def test_a_link_is_made_with_all_that_clients_expect(house: Served):
    made = await make(house, externalUserId="u1", metadata={"a": 1}, language="pt-BR")

    assert {"id", "partnerId", "token", "status", "credentialId", "title", "dateCreated", "url", "expiresAt"} <= made.keys()
    assert (made["partnerId"], made["status"], made["credentialId"], made["title"]) == (PIPEDRIVE, 0, None, "Acme")
    assert made["url"] == f"{house.origin}/connect?id={made['id']}&token={made['token']}"
    assert made["expiresAt"] - made["dateCreated"] == 48 * 3600
    assert (made["externalUserId"], made["metadata"], made["language"]) == ("u1", {"a": 1}, "pt")


async def test_the_token_is_told_once_and_only_its_hash_is_kept(house: Served):
    made = await make(house)
    token = made["token"]
    read = (await house.call("GET", f"{PATH}/{made['id']}"))[2]["data"]
    listed = await house.fetch("GET", PATH)
    held = await house.runtime.repo.links.find(made["id"], house.runtime.now_ms())

    assert len(base64.urlsafe_b64decode(token.removeprefix("ppl_") + "=")) == 32
    assert read == made | {"token": None, "url": None}
    assert find_leaks({"token": token}, listed.content, repr(held), house.runtime.settings.data) == []
    assert held is not None
    assert held.token_hash == digest(token)


async def test_a_link_lasts_as_long_as_it_is_asked_to(timed: tuple[Served, Clock]):
    served, clock = timed
    short, long = await make(served, expiresIn=60), await make(served)
    seen = []
    for seconds in (59, 2, 48 * 3600):
        clock.forward(seconds)
        seen.append([(await served.call("GET", f"{PATH}/{made['id']}"))[2]["data"]["status"] for made in (short, long)])

    assert seen == [[0, 0], [4, 0], [4, 4]]
    assert (await served.call("GET", f"{PATH}?filter[status]=4"))[2]["meta"]["totalItemsCount"] == 2


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({}, ["partnerId", "title"]),
        ({"partnerId": 424242, "title": "x"}, ["partnerId"]),
        ({"partnerId": TOOLS, "title": "x"}, ["partnerId"]),
        ({"partnerId": PIPEDRIVE, "title": "", "expiresIn": 59}, ["expiresIn", "title"]),
        ({"partnerId": PIPEDRIVE, "title": "x", "expiresIn": 2592001}, ["expiresIn"]),
        ({"partnerId": PIPEDRIVE, "title": "x", "language": "xx"}, ["language"]),
        ({"partnerId": PIPEDRIVE, "title": "x", "token": "mine"}, ["token"]),
        ({"partnerId": PIPEDRIVE, "title": "x", "metadata": {"a": "x" * 20_000}}, ["metadata"]),
        ({"partnerId": PIPEDRIVE, "title": "x", "redirectUrl": "https://elsewhere.example/"}, ["redirectUrl"]),
        ({"partnerId": PIPEDRIVE, "title": "x", "callbackUrl": "ftp://example.com", "language": ""}, ["callbackUrl", "language"]),
        ({"partnerId": PIPEDRIVE, "title": "x", "callbackUrl": "http://169.254.169.254/latest"}, ["callbackUrl"]),
        ({"partnerId": PIPEDRIVE, "title": "x", "externalUserId": ""}, ["externalUserId"]),
    ],
)
async def test_a_wrong_body_is_refused_by_its_fields(house: Served, body: dict[str, Any], paths: list[str]):
    status, _headers, found = await house.call("POST", PATH, body)

    assert status == 422, found
    assert [path for path, _code in faults(found)] == paths


async def test_a_customer_is_sent_back_to_hosts_of_the_account_alone(timed: tuple[Served, Clock]):
    served, _clock = timed
    hosts = ["app.example.com", "*.example.org", "localhost:3000"]
    status, _headers, account = await served.call("PATCH", "/account", {"allowedRedirectHosts": hosts})
    assert (status, account["data"]["allowedRedirectHosts"]) == (200, hosts)

    async def takes(url: str) -> bool:
        body = {"partnerId": PIPEDRIVE, "title": "x", "redirectUrl": url}
        return (await served.call("POST", PATH, body))[0] == 201

    for url in ("https://app.example.com/done?a=1#b", "https://APP.example.com", "https://a.b.example.org/", "http://localhost:3000/"):
        assert await takes(url), url
    for url in (
        "http://app.example.com/", "https://app.example.com:8443/", "https://app.example.com.evil.example/", "https://evil.example/app.example.com",
        "https://app.example.com@evil.example/", "https://example.org/", "https://evilexample.org/", "javascript:alert(1)", "//app.example.com/",
        "https:app.example.com", "https://app.example.com\\@evil.example/", "https://app.example.com/ x", "https://[::1", "http://localhost:3001/", "",
    ):  # fmt: skip
        assert not await takes(url), url


@pytest.mark.parametrize(
    "body",
    [
        {"allowedRedirectHosts": ["https://app.example.com"]},
        {"allowedRedirectHosts": ["*"]},
        {"allowedRedirectHosts": ["*.com"]},
        {"allowedRedirectHosts": ["a b"]},
        {"allowedRedirectHosts": "app.example.com"},
        {"branding": {"color": "red"}},
        {"branding": {"color": "#12345g"}},
        {"branding": {"logo": "https://elsewhere.example/logo.png"}},
        {"branding": {"logo": "data:image/png;base64,aGVsbG8="}},
        {"branding": {"logo": "data:text/html;base64,PGI+"}},
        {"branding": {"logo": "data:image/png;base64,!!!"}},
        {"branding": {"logo": "data:image/svg+xml;base64," + base64.b64encode(b"<svg>" + b" " * 70_000).decode()}},
        {"branding": {"name": ""}},
        {"branding": {"font": "x"}},
        {"title": "x"},
    ],
)
async def test_settings_of_an_account_that_cannot_be_are_refused(house: Served, body: dict[str, Any]):
    before = (await house.call("GET", "/account"))[2]["data"]
    status, _headers, found = await house.call("PATCH", "/account", body)

    assert (status, found["error"]["code"]) == (422, "validation_failed")
    assert (await house.call("GET", "/account"))[2]["data"] == before


async def test_what_a_change_of_the_account_leaves_out_stays(timed: tuple[Served, Clock]):
    served, _clock = timed
    await served.call("PATCH", "/account", {"branding": {"name": "Acme", "color": "#336699"}})
    status, _headers, found = await served.call("PATCH", "/account", {"allowedRedirectHosts": ["a.example"]})

    assert status == 200
    assert found["data"]["branding"] == {"name": "Acme", "color": "#336699", "logo": None}
    assert (await served.call("GET", "/account"))[2]["data"] == found["data"]


async def test_of_two_changes_of_an_account_at_once_none_is_lost_unsaid(timed: tuple[Served, Clock]):
    served, _clock = timed
    for _round in range(2):  # the first settings are made, later ones are changed
        changes = [{"allowedRedirectHosts": ["a.example"]}, {"branding": {"name": "Acme"}}, {"branding": {"color": "#000000"}}]
        answers = await asyncio.gather(*(served.call("PATCH", "/account", change) for change in changes))
        taken = [change for change, (status, _headers, _found) in zip(changes, answers, strict=True) if status == 200]
        account = (await served.call("GET", "/account"))[2]["data"]

        assert {status for status, _headers, _found in answers} <= {200, 409}
        assert taken
        assert ({"allowedRedirectHosts": ["a.example"]} not in taken) or account["allowedRedirectHosts"] == ["a.example"]


async def test_an_account_is_changed_with_the_scope_admin_alone(house: Served):
    key = (await house.call("POST", "/api-keys", {"title": "k", "scopes": ["connections:write"]}))[2]["data"]["key"]

    assert (await house.call("PATCH", "/account", {}, token=key))[0] == 403
    assert (await house.call("GET", "/account", token=key))[0] == 403
    assert (await house.call("POST", PATH, {"partnerId": PIPEDRIVE, "title": "x"}, token=key))[0] == 201
    assert (await house.call("GET", PATH, token=key))[0] == 403


async def test_a_new_token_ends_the_old_one_and_begins_anew(timed: tuple[Served, Clock]):
    served, clock = timed
    made = await make(served)
    clock.forward(50 * 3600)
    status, _headers, found = await served.call("PUT", f"{PATH}/{made['id']}")
    again = found["data"]

    assert (status, again["id"], again["status"]) == (200, made["id"], 0)
    assert again["token"] != made["token"]
    assert again["url"].endswith(again["token"])
    assert again["expiresAt"] - int(clock().timestamp()) in {48 * 3600, 48 * 3600 - 1}
    held = await served.runtime.repo.links.find(made["id"], served.runtime.now_ms())
    assert held is not None
    assert held.token_hash == digest(again["token"])


async def test_a_revoked_link_stays_revoked(house: Served):
    made = await make(house)
    first = await house.call("DELETE", f"{PATH}/{made['id']}")
    again = await house.call("DELETE", f"{PATH}/{made['id']}")
    status, _headers, found = await house.call("PUT", f"{PATH}/{made['id']}")

    assert (first[0], first[2], again[0]) == (200, {"success": True, "data": []}, 200)
    assert (status, found["error"]["code"]) == (409, "conflict")
    assert (await house.call("GET", f"{PATH}/{made['id']}"))[2]["data"]["status"] == 5


async def test_links_are_listed_filtered_and_sorted(timed: tuple[Served, Clock]):
    served, _clock = timed
    for title, user in (("Beta 100%", "u1"), ("alpha_x", "u2"), ("Gamma", "u1")):
        made = await make(served, title=title, externalUserId=user)
    await served.call("DELETE", f"{PATH}/{made['id']}")

    async def titles(query: str) -> list[str]:
        status, _headers, found = await served.call("GET", f"{PATH}?{query}")
        assert status == 200, found
        assert all(item["token"] is None and item["url"] is None for item in found["data"])
        return [item["title"] for item in found["data"]]

    assert await titles("") == ["Gamma", "alpha_x", "Beta 100%"]
    assert await titles("sort=id") == ["Beta 100%", "alpha_x", "Gamma"]
    assert await titles("sort=title&per-page=2") == ["alpha_x", "Beta 100%"]
    assert await titles("filter[externalUserId]=u1&sort=-title") == ["Gamma", "Beta 100%"]
    assert await titles("filter[status]=5") == await titles("status=5") == ["Gamma"]
    assert await titles("filter[status]=0&sort=id") == ["Beta 100%", "alpha_x"]
    assert await titles("filter[title][like]=_") == ["alpha_x"]
    assert await titles(f"filter[partnerId]={HUBSPOT}") == []


@pytest.mark.parametrize("query", ["filter[status]=9", "filter[status]=active", "filter[partnerId]=x", "sort=colour", "filter[token]=a"])
async def test_a_filter_that_cannot_be_is_refused(house: Served, query: str):
    assert (await house.call("GET", f"{PATH}?{query}"))[0] == 422


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
async def lost(anyio_backend: str, tmp_path: Path) -> AsyncIterator[tuple[Served, int, int]]:
    """A server with a connection that the partner no longer takes, and an operation."""
    partner = Revocable()
    async with upstream(partner) as up, running_server(tmp_path, partner_pipedrive_base_url=up.origin) as served:
        connection = await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
        _status, _headers, found = await served.call("GET", f"/partners/trigger-actions/info?filter[partnerId]={PIPEDRIVE}&per-page=100")
        operation = next(item["triggerActionId"] for item in found["data"] if item["name"] == "create_person")
        assert (await run(served, connection, operation)).status == 200
        partner.revoked = True
        yield served, connection, operation


async def run(served: Served, connection: int, operation: int, path: str = "run/sync", token: str = "") -> Reply:
    body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Ada"}}
    return await served.fetch("POST", f"/partners/trigger-actions/{operation}/{path}", body, token=token)


async def test_a_run_on_an_invalid_connection_tells_where_the_customer_connects_again(lost: tuple[Served, int, int]):
    served, connection, operation = lost
    answers = [await run(served, connection, operation, path) for path in ("run/sync", "run/sync", "run/async", "run/info")]
    urls = {found.json["error"].get("reconnectUrl") for found in answers}

    assert [(found.status, found.json["error"]["code"]) for found in answers] == [(409, "connection_invalid")] * 4
    assert len(urls) == 1, "one link serves until it is used"
    links = (await served.call("GET", PATH))[2]["data"]
    assert [(link["credentialId"], link["status"]) for link in links] == [(connection, 0)]
    url = urls.pop()
    assert url.startswith(f"{served.origin}/connect?id={links[0]['id']}&token=ppl_")
    held = await served.runtime.repo.links.find(links[0]["id"], served.runtime.now_ms())
    assert held is not None
    assert held.token_hash == digest(url.partition("&token=")[2])


async def test_the_address_of_the_link_is_not_kept_with_the_run(lost: tuple[Served, int, int]):
    served, connection, operation = lost
    found = await run(served, connection, operation)
    token = found.json["error"]["reconnectUrl"].partition("&token=")[2]
    read = await served.fetch("GET", f"/runs/{found.json['error']['runId']}")

    assert read.json["data"]["error"]["code"] == "connection_invalid"
    assert read.json["data"]["error"]["reconnectUrl"].partition("&token=")[2] == token  # told anew to who may know it, and kept nowhere
    assert find_leaks({"token": token}, served.runtime.settings.data) == []


async def test_who_may_not_change_connections_is_not_told_the_address(lost: tuple[Served, int, int]):
    served, connection, operation = lost
    key = (await served.call("POST", "/api-keys", {"title": "k", "scopes": ["runs:write"]}))[2]["data"]["key"]
    answers = [await run(served, connection, operation, token=key) for _ in range(2)]

    assert [found.status for found in answers] == [409, 409]
    assert all("reconnectUrl" not in found.json["error"] for found in answers)
    assert (await served.call("GET", PATH))[2]["data"] == []


async def test_another_link_is_told_once_the_first_is_revoked(lost: tuple[Served, int, int]):
    served, connection, operation = lost
    first = await run(served, connection, operation)
    await served.call("DELETE", f"{PATH}/{(await served.call('GET', PATH))[2]['data'][0]['id']}")
    second = await run(served, connection, operation)

    assert first.json["error"]["reconnectUrl"] != second.json["error"]["reconnectUrl"]


async def test_a_link_to_connect_again_keeps_the_connections_id_title_and_user(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, externalUserId="u9", metadata={"a": 1})
    status, _headers, found = await house.call("POST", f"/credentials/{connection}/reconnect", {"expiresIn": 600, "language": "de"})
    made = found["data"]

    assert (status, made["status"], made["credentialId"], made["partnerId"]) == (201, 0, connection, PIPEDRIVE)
    assert (made["title"], made["externalUserId"], made["metadata"]) == ("A connection", "u9", {"a": 1})
    assert made["url"].endswith(made["token"])
    assert (await house.call("POST", f"/credentials/{connection}/reconnect", {"title": "x"}))[0] == 422
    assert (await house.call("POST", "/credentials/999999/reconnect"))[0] == 404
