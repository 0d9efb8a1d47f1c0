"""End users of the customer: made once, found again, given tokens that see their own things alone. Who sees what is in test_foreign_accounts.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, TOOLS, Clock, Reply, Served, running_server, running_simulator

pytestmark = pytest.mark.anyio

CREATE_PERSON = 2250101


@pytest.fixture(scope="module")
async def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
async def house(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> AsyncIterator[Served]:
    async with (
        running_simulator("pipedrive") as url,
        running_server(tmp_path_factory.mktemp("house"), clock=clock, partner_pipedrive_base_url=url) as served,
    ):
        yield served


async def put(served: Served, external_id: str, **more: Any) -> Reply:
    return await served.fetch("POST", "/users", {"externalId": external_id, **more})


def faults(reply: Reply) -> list[tuple[str, str]]:
    return [(fault["path"], fault["code"]) for fault in reply.json["error"]["fields"]]


async def test_a_user_is_made_once_and_a_repeat_changes_what_it_gives(house: Served):
    made = await put(house, "repeat", title="Ada", email="ada@example.com", metadata={"plan": "pro"})
    again = await put(house, "repeat")
    changed = await put(house, "repeat", title=None, metadata={"plan": "free"})

    assert (made.status, again.status, changed.status) == (201, 200, 200)
    told = {name: made.json["data"][name] for name in ("externalId", "title", "email", "metadata", "status")}
    assert told == {"externalId": "repeat", "title": "Ada", "email": "ada@example.com", "metadata": {"plan": "pro"}, "status": "active"}
    assert again.json["data"] == made.json["data"] | {"updatedAt": again.json["data"]["updatedAt"]}
    kept = {"id": made.json["data"]["id"], "title": None, "email": "ada@example.com", "metadata": {"plan": "free"}}
    assert {name: changed.json["data"][name] for name in kept} == kept


async def test_a_user_is_read_and_changed_by_its_id(house: Served):
    user = (await put(house, "patched", title="One", email="one@example.com", metadata={"a": 1})).json["data"]["id"]
    for body, wanted in (
        ({}, ("One", "one@example.com", {"a": 1})),
        ({"title": "Two"}, ("Two", "one@example.com", {"a": 1})),
        ({"email": None, "metadata": None}, ("Two", None, {})),
    ):
        changed = await house.fetch("PATCH", f"/users/{user}", body)
        assert changed.status == 200
        found = (await house.fetch("GET", f"/users/{user}")).json["data"]
        assert found == changed.json["data"]
        assert (found["title"], found["email"], found["metadata"]) == wanted
    assert faults(await house.fetch("PATCH", f"/users/{user}", {"externalId": "other"})) == [("externalId", "unknown_field")]


async def test_of_many_who_make_the_same_user_at_once_one_makes_it(house: Served):
    replies = await asyncio.gather(*(put(house, "at once", metadata={"n": number}) for number in range(30)))

    assert sorted(reply.status for reply in replies) == [200] * 29 + [201]
    assert len({reply.json["data"]["id"] for reply in replies}) == 1
    listed = (await house.fetch("GET", "/users?filter[externalId]=at once")).json
    assert listed["meta"]["totalItemsCount"] == 1


@pytest.mark.parametrize(
    "external_id", ["x" * 300, "Ünï-码-🙂", "a/b?c=d&e#f%00", "' OR 1=1 --", "{{ user }}", " spaces ", "0", "null", "<b>", "é"]
)
async def test_an_id_may_be_any_text_in_one_line_and_is_found_as_it_is(house: Served, external_id: str):
    made = await put(house, external_id)
    found = await house.fetch("GET", "/users", headers={}, body=None)
    assert made.status == 201
    assert found.status == 200
    async with house.client.get(
        f"{house.origin}/users", params={"filter[externalId]": external_id}, headers={"Authorization": f"Bearer {house.token}"}
    ) as answer:
        listed = (await answer.json())["data"]
    assert [user["externalId"] for user in listed] == [external_id]
    _id, token = await house.end_user(external_id)
    link = await house.fetch("POST", "/credentials/grant-access-sharing", {"partnerId": PIPEDRIVE, "title": "L"}, token=token)
    assert link.json["data"]["externalUserId"] == external_id


@pytest.mark.parametrize("external_id", ["", "x" * 301, "two\nlines", "nul\0", "tab\t", "\x85", "\u2028", "\u2029", "esc\x1b[0m"])
@pytest.mark.parametrize("path", ["/users", "/credentials", "/credentials/grant-access-sharing", "/files", "run"])
async def test_an_id_that_is_no_text_in_one_line_is_refused_wherever_it_stands(house: Served, path: str, external_id: str):
    name = "externalId" if path == "/users" else "externalUserId"
    body: dict[str, Any] = {
        "/users": {},
        "/credentials": {"partnerId": PIPEDRIVE, "title": "x", "fields": PIPEDRIVE_FIELDS},
        "/credentials/grant-access-sharing": {"partnerId": PIPEDRIVE, "title": "x"},
        "/files": {"name": "a", "base64": ""},
        "run": {},
    }[path]
    asked = f"/partners/trigger-actions/{CREATE_PERSON}/run/sync" if path == "run" else path
    refused = await house.fetch("POST", asked, body | {name: external_id})
    assert refused.status == 422
    assert [fault[0] for fault in faults(refused)] == [name]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, [("externalId", "required")]),
        ({"externalId": 7}, [("externalId", "wrong_type")]),
        ({"externalId": None}, [("externalId", "wrong_type")]),
        ({"externalId": "u", "title": ""}, [("title", "string_too_short")]),
        ({"externalId": "u", "title": "x" * 301, "email": "x" * 321}, [("title", "string_too_long"), ("email", "string_too_long")]),
        ({"externalId": "u", "metadata": []}, [("metadata", "wrong_type")]),
        ({"externalId": "u", "metadata": {"a": "x" * 17_000}}, [("metadata", "too_long")]),
        ({"externalId": "u", "name": "x"}, [("name", "unknown_field")]),
    ],
)
async def test_bad_bodies_are_named_fault_by_fault(house: Served, body: dict[str, Any], wanted: list[tuple[str, str]]):
    refused = await house.fetch("POST", "/users", body)
    assert (refused.status, faults(refused)) == (422, wanted)


async def test_users_are_listed_by_the_conventions_of_lists(anyio_backend: str, tmp_path: Any):
    async with running_server(tmp_path) as served:
        for external_id, title in (("u-1", "Beta"), ("u-2", "alpha 100%"), ("x-3", "Gamma"), ("u-4", None)):
            await put(served, external_id, title=title)

        async def ids(query: str) -> list[str]:
            return [user["externalId"] for user in (await served.fetch("GET", f"/users?{query}")).json["data"]]

        assert await ids("") == ["u-1", "u-2", "x-3", "u-4"]
        assert await ids("sort=-title&per-page=2") == ["x-3", "u-1"]
        assert await ids("sort=externalId") == ["u-1", "u-2", "u-4", "x-3"]
        assert await ids("sort=-externalId&per-page=1") == ["x-3"]
        assert await ids("sort=-id&per-page=1&page=2") == ["x-3"]
        assert await ids("filter[externalId]=u-2") == ["u-2"]
        assert await ids("filter[externalId][like]=U-") == ["u-1", "u-2", "u-4"]
        assert await ids("filter[title][like]=100%25") == ["u-2"]
        assert await ids("filter[title]=Gamma&filter[status]=active") == ["x-3"]
        assert await ids("title=Gamma&status=active") == ["x-3"]
        page = (await served.fetch("GET", "/users?per-page=3&page=2")).json
        assert (len(page["data"]), page["meta"]) == (1, {"page": 2, "totalPages": 2, "totalItemsCount": 4})
        for query in ("filter[email]=x", "filter[status]=gone", "sort=email", "page=0"):
            assert (await served.fetch("GET", f"/users?{query}")).status == 422


async def test_a_token_lasts_an_hour_if_nothing_else_is_said_and_a_day_at_most(house: Served, clock: Clock):
    user = (await put(house, "hours")).json["data"]["id"]
    now = int(clock().timestamp())
    made = (await house.fetch("POST", f"/users/{user}/token")).json["data"]
    assert (made["externalUserId"], made["scopes"]) == (
        "hours", ["catalog:read", "connections:read", "connections:write", "runs:read", "runs:write"],
    )  # fmt: skip
    assert made["token"].startswith("ppu_")
    assert abs(made["expiresAt"] - now - 3600) <= 2
    longest = (await house.fetch("POST", f"/users/{user}/token", {"expiresIn": 86_400})).json["data"]
    assert abs(longest["expiresAt"] - now - 86_400) <= 2
    for seconds in (59, 86_401, 0, -1, "soon", None, 1.5):
        refused = await house.fetch("POST", f"/users/{user}/token", {"expiresIn": seconds})
        assert (refused.status, faults(refused)[0][0]) == (422, "expiresIn")


async def test_a_token_ends_when_its_time_is_over(anyio_backend: str, tmp_path: Any):
    clock = Clock()
    async with running_server(tmp_path, clock=clock) as served:
        _user, token = await served.end_user("short", expiresIn=60)
        assert (await served.fetch("GET", "/credentials", token=token)).status == 200
        clock.forward(61)
        over = await served.fetch("GET", "/credentials", token=token)
        assert (over.status, over.json["error"]["code"]) == (401, "token_expired")


async def test_a_token_can_be_given_up_by_who_holds_it(house: Served):
    _user, token = await house.end_user("leaver")
    _user, other = await house.end_user("leaver")
    assert (await house.fetch("POST", "/user/logout", token=token)).status == 200
    assert (await house.fetch("GET", "/runs", token=token)).status == 401
    assert (await house.fetch("GET", "/runs", token=other)).status == 200


async def test_a_token_may_do_less_than_its_user_could(house: Served):
    _user, token = await house.end_user("narrow", scopes=["connections:read", "connections:read"])
    assert (await house.fetch("GET", "/credentials", token=token)).status == 200
    for method, path in (("GET", "/runs"), ("POST", "/credentials"), ("GET", "/partners/info")):
        assert (await house.fetch(method, path, token=token)).status == 403
    user = (await put(house, "narrow")).json["data"]["id"]
    refused = await house.fetch("POST", f"/users/{user}/token", {"scopes": ["runs:read", "admin", "all"]})
    assert faults(refused) == [("scopes[1]", "unknown_option"), ("scopes[2]", "unknown_option")]
    assert (await house.fetch("POST", f"/users/{user}/token", {"scopes": []})).status == 422


async def test_users_and_their_tokens_are_made_by_administrators_alone(house: Served):
    user, token = await house.end_user("modest")
    key = (await house.fetch("POST", "/api-keys", {"title": "k", "scopes": ["connections:write", "runs:write"]})).json["data"]["key"]
    for held in (token, key):
        for method, path in (("GET", "/users"), ("POST", "/users"), ("GET", f"/users/{user}"), ("POST", f"/users/{user}/token"),
                             ("GET", "/api-keys"), ("POST", "/api-keys"), ("GET", "/account"), ("PATCH", "/account")):  # fmt: skip
            assert (await house.fetch(method, path, token=held)).status == 403
    assert (await house.fetch("POST", "/user/password", {"password": "x", "newPassword": "xxxxxxxx"}, token=token)).status == 403
    assert (await house.fetch("POST", "/user/refresh", {"refreshToken": token}, token=None)).status == 401


async def test_what_an_end_user_makes_is_that_users(house: Served):
    _user, token = await house.end_user("maker")
    for told in ({}, {"externalUserId": "maker"}):
        connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, token=token, **told)
        assert (await house.fetch("GET", f"/credentials/{connection}")).json["data"]["externalUserId"] == "maker"
        body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Ada"}, **told}
        for mode in ("sync", "async"):
            made = await house.fetch("POST", f"/partners/trigger-actions/{CREATE_PERSON}/run/{mode}", body, token=token)
            run = (await house.fetch("GET", f"/runs/{made.json['data']['runId']}")).json["data"]
            assert run["externalUserId"] == "maker"
        link = await house.fetch("POST", "/credentials/grant-access-sharing", {"partnerId": PIPEDRIVE, "title": "L", **told}, token=token)
        assert link.json["data"]["externalUserId"] == "maker"
        assert (await house.fetch("GET", f"/credentials/grant-access-sharing/{link.json['data']['id']}")).json["data"][
            "externalUserId"
        ] == "maker"
        again = await house.fetch("POST", f"/credentials/{connection}/reconnect", token=token)
        assert again.json["data"]["externalUserId"] == "maker"
        file = await house.fetch("POST", "/files", {"name": "a", "base64": "", **told}, token=token)
        assert file.json["data"]["externalUserId"] == "maker"


async def test_a_run_without_a_connection_is_its_users_too(house: Served):
    _user, token = await house.end_user("tools")
    listed = (await house.fetch("GET", f"/partners/trigger-actions/info?filter[partnerId]={TOOLS}&per-page=1")).json["data"][0]
    made = await house.fetch("POST", f"/partners/trigger-actions/{listed['triggerActionId']}/run/async", {}, token=token)
    if made.status == 202:
        assert (await house.fetch("GET", f"/runs/{made.json['data']['runId']}")).json["data"]["externalUserId"] == "tools"


@pytest.mark.parametrize("named", ["somebody else", None, 7, ""])
async def test_an_end_user_names_nobody_else(house: Served, named: Any):
    _user, token = await house.end_user("honest")
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, token=token)
    for method, path, body in (
        ("POST", "/credentials", {"partnerId": PIPEDRIVE, "title": "x", "fields": PIPEDRIVE_FIELDS}),
        ("PATCH", f"/credentials/{connection}", {}),
        ("POST", "/credentials/grant-access-sharing", {"partnerId": PIPEDRIVE, "title": "x"}),
        ("POST", "/files", {"name": "a", "base64": ""}),
        ("POST", f"/partners/trigger-actions/{CREATE_PERSON}/run/sync", {"credentialData": {"0": connection}, "runnerData": {"name": "A"}}),
        (
            "POST",
            f"/partners/trigger-actions/{CREATE_PERSON}/run/async",
            {"credentialData": {"0": connection}, "runnerData": {"name": "A"}},
        ),
    ):
        refused = await house.fetch(method, path, body | {"externalUserId": named}, token=token)
        assert (refused.status, faults(refused)) == (422, [("externalUserId", "not_allowed")]), path
    assert (await house.fetch("GET", f"/credentials/{connection}", token=token)).json["data"]["externalUserId"] == "honest"


async def test_an_end_user_sends_no_word_to_addresses(house: Served):
    _user, token = await house.end_user("quiet")
    asked = {"partnerId": PIPEDRIVE, "title": "x", "callbackUrl": "https://example.com/hook"}
    refused = await house.fetch("POST", "/credentials/grant-access-sharing", asked, token=token)
    assert (refused.status, faults(refused)) == (422, [("callbackUrl", "not_allowed")])


async def test_runs_of_a_batch_are_their_users_each_and_name_nobody_else(house: Served):
    _user, token = await house.end_user("batch")
    mine, theirs = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, token=token), await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    one = {"credentialData": {"0": mine}, "runnerData": {"name": "Ada"}}
    runs = [
        one,
        one | {"externalUserId": "batch"},
        one | {"externalUserId": "right"},
        one | {"callbackUrl": "https://example.com/hook"},
        one | {"credentialData": {"0": theirs}},
    ]
    told = await house.fetch("POST", "/runs/batch", {"triggerActionId": CREATE_PERSON, "runs": runs}, token=token)
    assert told.status == 202, told.json
    results = told.json["data"]["runs"]
    assert [each["status"] for each in results] == ["accepted", "accepted", "refused", "refused", "refused"]
    refused = [[(fault["path"], fault["code"]) for fault in each["error"].get("fields", ())] for each in results[2:4]]
    assert refused == [[("runs[2].externalUserId", "not_allowed")], [("runs[3].callbackUrl", "not_allowed")]]
    assert results[4]["error"]["code"] == "not_found"
    for each in results[:2]:
        assert (await house.fetch("GET", f"/runs/{each['runId']}")).json["data"]["externalUserId"] == "batch"


async def test_a_request_of_ones_own_goes_through_ones_own_connection(house: Served):
    _user, token = await house.end_user("proxy")
    mine, theirs = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, token=token), await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    sent = await house.fetch("POST", f"/proxy/{mine}/api/v1/users/me", {}, token=token)
    assert sent.status == 200, sent.json
    assert (await house.fetch("GET", f"/runs/{sent.json['data']['runId']}")).json["data"]["externalUserId"] == "proxy"
    assert (await house.fetch("POST", f"/proxy/{theirs}/api/v1/users/me", {}, token=token)).status == 404


async def test_usage_of_a_user_is_counted_by_itself(house: Served):
    _user, token = await house.end_user("counted")
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, token=token)
    body = {"credentialData": {"0": connection}, "runnerData": {"name": "Ada"}}
    for _each in range(3):
        assert (await house.fetch("POST", f"/partners/trigger-actions/{CREATE_PERSON}/run/sync", body, token=token)).status == 200
    for query, held in (
        ("", token),
        ("?externalUserId=counted", ""),
        ("?filter[externalUserId]=counted&partnerId=225", ""),
        ("?externalUserId=counted", token),
    ):
        found = (await house.fetch("GET", f"/usage{query}", token=held)).json["data"]
        assert found["totals"] == {"succeeded": 3}
        assert [(day["partnerId"], day["runs"], day["attempts"]) for day in found["days"]] == [(PIPEDRIVE, 3, 3)]
    _user, other = await house.end_user("uncounted")
    for query, held in (("", other), ("?externalUserId=counted", other), ("?externalUserId=counted&partnerId=10055", "")):
        assert (await house.fetch("GET", f"/usage{query}", token=held)).json["data"]["days"] == []
    assert (await house.fetch("GET", "/usage?filter[title]=x")).status == 422


async def test_a_run_of_one_user_with_the_connection_of_another_is_refused(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, externalUserId="left")
    shared = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    path = f"/partners/trigger-actions/{CREATE_PERSON}/run/sync"
    body = {"credentialData": {"0": connection}, "runnerData": {"name": "A"}, "externalUserId": "right"}
    refused = await house.fetch("POST", path, body)
    assert (refused.status, faults(refused)) == (422, [("externalUserId", "wrong_user")])
    assert (await house.fetch("POST", path, body | {"dryRun": True})).status == 422
    assert (await house.fetch("POST", path, body | {"externalUserId": "left"})).status == 200
    made = await house.fetch("POST", path, body | {"credentialData": {"0": shared}})
    assert (await house.fetch("GET", f"/runs/{made.json['data']['runId']}")).json["data"]["externalUserId"] == "right"


async def test_calls_on_one_wire_reach_each_what_their_own_token_does(house: Served):
    """The next call of a kept connection may begin in the context of the one before."""
    user, token = await house.end_user("wire")
    mine = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, token=token)
    shared = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    port = int(house.origin.rpartition(":")[2])

    def asked(connection: int, held: str) -> bytes:
        return f"GET /credentials/{connection} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {held}\r\n\r\n".encode()

    calls = [(shared, token), (shared, house.token), (mine, token), (shared, token), (shared, house.token), (mine, house.token)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(asked(*call) for call in calls))
    statuses = []
    for _call in calls:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r")[0]))
        statuses.append(int(head.split()[1]))
    writer.close()
    assert statuses == [404, 200, 200, 404, 200, 200]
    assert user
