"""R12: what belongs to another account, or to another end user of the same account, answers, everywhere, as if it had never been."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Reply, Served, import_finished, running_server, running_simulator
from petshop import pets
from polyport.server import imports, private_partners
from polyport.server.app import ENDPOINTS
from polyport.server.routing import Endpoint

pytestmark = pytest.mark.anyio


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Two accounts, the first with two end users; ``mine`` are ids of things of the first end user.

    ``strangers`` are tokens that must not see them: the second account's and the second end user's. ``own`` is the first end user's.
    """

    served: Served
    own: str
    strangers: dict[str, str]
    mine: dict[str, str]
    operation: int


# For every parameter: ids that never were. Those of connections, runs, files and keys are looked up in an account.
NEVER = {
    "credentialId": "999999",
    "linkId": "999999",
    "runId": "run_000000000000ffffffffffffffff",
    "fileId": "file_" + "0" * 32,
    "userId": "999999",
    "consoleUserId": "999999",
    "endpointId": "ep_" + "0" * 24,
    "eventId": "evt_" + "0" * 32,
    "importId": "imp_" + "0" * 28,
    "partnerId": "2000000009",
    "id": "999999",
}
CHANGES: dict[str, object] = {
    "title": "Mine now",
    "fields": {"api_token": "another token"},
    "metadata": {"a": 1},
    "externalUserId": "bob",
}
STRANGERS = ["another account", "another end user"]


@pytest.fixture(scope="module")
async def neighbours(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Neighbours]:
    async with (
        running_simulator("pipedrive") as url,
        running_server(tmp_path_factory.mktemp("neighbours"), partner_pipedrive_base_url=url) as served,
    ):
        user, own = await served.end_user("user-ada")
        _user, other = await served.end_user("bob")
        connection = await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, token=own)
        file = (await served.call("POST", "/files", {"name": "a.txt", "base64": "aGk="}, token=own))[2]["data"]["fileId"]
        key = (await served.call("POST", "/api-keys", {"title": "k", "scopes": ["runs:read"]}))[2]["data"]["id"]
        _status, _headers, listed = await served.call(
            "GET", f"/partners/trigger-actions/info?filter[partnerId]={PIPEDRIVE}&q=create person"
        )
        operation = next(item["triggerActionId"] for item in listed["data"] if item["name"] == "create_person")
        body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Ada"}}
        status, _headers, run = await served.call("POST", f"/partners/trigger-actions/{operation}/run/sync", body, token=own)
        assert status == 200, run
        asked = {"partnerId": PIPEDRIVE, "title": "L"}
        link = (await served.call("POST", "/credentials/grant-access-sharing", asked, token=own))[2]["data"]["id"]
        endpoint = (await served.call("POST", "/event-endpoints", {"url": "https://hooks.invalid/"}))[2]["data"]["endpointId"]
        event = (await served.call("POST", f"/event-endpoints/{endpoint}/test"))[2]["data"]["eventId"]
        imported = await import_finished(served, "pets", document=pets())
        mine = {
            "credentialId": str(connection),
            "linkId": str(link),
            "runId": run["data"]["runId"],
            "fileId": file,
            "userId": str(user),
            "consoleUserId": str((await served.call("GET", "/console-users"))[2]["data"][0]["id"]),
            "id": str(key),
            "endpointId": endpoint,
            "eventId": event,
            "importId": imported["importId"],
            "partnerId": str(imported["partnerId"]),
        }
        strangers = dict(zip(STRANGERS, (await served.second_account(), other), strict=True))
        yield Neighbours(served=served, own=own, strangers=strangers, mine=mine, operation=operation)


def owned(endpoint: Endpoint) -> str | None:
    """Which parameter of a path names a thing of an account."""
    if endpoint.path.startswith("/api-keys/"):
        return "id"
    if endpoint in private_partners.ENDPOINTS and "{partnerId}" in endpoint.path:
        return "partnerId"
    names = ("importId", "credentialId", "linkId", "runId", "fileId", "userId", "consoleUserId", "endpointId", "eventId")
    return next((name for name in names if f"{{{name}}}" in endpoint.path), None)


WALKED = [endpoint for endpoint in ENDPOINTS if owned(endpoint) is not None]


def bodies(endpoint: Endpoint) -> Iterator[object]:
    yield None
    if endpoint.method == "PATCH" and endpoint.body is not None:
        known = {field.alias for field in endpoint.body.model_fields.values()}
        yield from ({name: value} for name, value in CHANGES.items() if name in known)


def told(found: Reply) -> tuple[int, object, list[str]]:
    """An answer without what differs between any two calls."""
    error = {name: value for name, value in found.json["error"].items() if name != "requestId"}
    return found.status, error, sorted(set(found.headers) - {"date"})


def test_every_route_with_an_id_of_an_account_is_walked():
    with_ids = {endpoint.path for endpoint in ENDPOINTS if "{" in endpoint.path}
    catalogue = {
        path
        for path in with_ids - {endpoint.path for endpoint in (*imports.ENDPOINTS, *private_partners.ENDPOINTS)}
        if path.startswith(("/partners/", "/static/", "/oauth-apps/", "/user/sessions/"))
    }  # the last two are looked at in test_oauth_apps.py and test_sign_ins.py

    assert {endpoint.path for endpoint in WALKED} - {"/partners/{partnerId}"} == with_ids - catalogue - {"/partners/{partnerId}"}
    assert len(WALKED) >= 10


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("endpoint", WALKED, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
async def test_a_foreign_id_answers_like_one_that_never_was(neighbours: Neighbours, endpoint: Endpoint, stranger: str):
    token = neighbours.strangers[stranger]
    name = owned(endpoint)
    assert name is not None
    path = endpoint.path.replace("{number}", "1")
    if name != "partnerId":
        path = path.replace("{partnerId}", str(PIPEDRIVE))
    for body in bodies(endpoint):
        foreign = await neighbours.served.fetch(endpoint.method, path.replace(f"{{{name}}}", neighbours.mine[name]), body, token=token)
        never = await neighbours.served.fetch(endpoint.method, path.replace(f"{{{name}}}", NEVER[name]), body, token=token)

        assert foreign.status == (403 if stranger == "another end user" and endpoint.scope == "admin" else 404)
        assert told(foreign) == told(never)


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("path", ["run/sync", "run/async", "run/info", "options"])
async def test_a_foreign_connection_in_a_body_answers_like_one_that_never_was(neighbours: Neighbours, path: str, stranger: str):
    token = neighbours.strangers[stranger]
    answers = []
    for connection in (neighbours.mine["credentialId"], NEVER["credentialId"]):
        body: dict[str, object] = {"credentialData": {"0": {"value": int(connection)}}}
        body |= {"field": "owner_id"} if path == "options" else {"runnerData": {"name": "Ada"}}
        answers.append(await neighbours.served.fetch("POST", f"/partners/trigger-actions/{neighbours.operation}/{path}", body, token=token))

    assert told(answers[0]) == told(answers[1])
    assert answers[0].status in {404, 422}


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_a_foreign_connection_in_a_query_answers_like_one_that_never_was(neighbours: Neighbours, stranger: str):
    answers = [
        await neighbours.served.fetch(
            "GET",
            f"/partners/trigger-actions/{neighbours.operation}/schema?credentialId={connection}",
            token=neighbours.strangers[stranger],
        )
        for connection in (neighbours.mine["credentialId"], NEVER["credentialId"])
    ]

    assert told(answers[0]) == told(answers[1])


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_a_foreign_file_in_a_body_answers_like_one_that_never_was(neighbours: Neighbours, stranger: str):
    token = neighbours.strangers[stranger]
    connection = await neighbours.served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, token=token)
    answers = []
    for file in (neighbours.mine["fileId"], NEVER["fileId"]):
        body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": {"fileId": file}}}
        answers.append(
            await neighbours.served.fetch("POST", f"/partners/trigger-actions/{neighbours.operation}/run/sync", body, token=token)
        )

    assert told(answers[0]) == told(answers[1])


LISTS = {"/credentials", "/credentials/grant-access-sharing", "/runs"}
OF_THE_ACCOUNT = {"/api-keys", "/users", "/console-users", "/audit", "/events", "/event-endpoints", "/partners/imports", "/partners/own"}
# Lists that hold nothing of anybody: they are the same for everyone.
CATALOGUE = {"/partners/info", "/partners/trigger-actions/info"}


def test_every_list_that_an_end_user_may_read_is_looked_at():
    found = {
        endpoint.path
        for endpoint in ENDPOINTS
        if endpoint.method == "GET" and endpoint.many and "{" not in endpoint.path and endpoint.scope != "admin"
    }

    assert found == LISTS | CATALOGUE | {"/user/sessions"}  # the last is refused to end users: test_sign_ins.py


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("path", sorted(LISTS | OF_THE_ACCOUNT))
async def test_a_list_holds_nothing_of_anybody_else(neighbours: Neighbours, path: str, stranger: str):
    mine = (await neighbours.served.call("GET", path))[2]
    theirs = await neighbours.served.fetch("GET", path, token=neighbours.strangers[stranger])
    listed = theirs.content.decode()

    assert mine["data"]
    assert theirs.status == (403 if stranger == "another end user" and path in OF_THE_ACCOUNT else 200)
    for name, found in neighbours.mine.items():
        assert not any(item.get(name) and str(item[name]) == found for item in (theirs.json.get("data") or []) if name != "id")
    assert neighbours.mine["runId"] not in listed
    if path in LISTS and stranger == "another end user":
        everything = json.dumps(mine["data"])
        assert '"externalUserId": "user-ada"' in everything
        assert "user-ada" not in listed


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize(
    "query",
    [
        "credentialId={credentialId}",
        "triggerActionId={operation}",
        "status=succeeded",
        "cursor={runId}",
        "externalUserId=user-ada",
        "filter[externalUserId]=user-ada",
    ],
)
async def test_no_filter_reaches_the_runs_of_anybody_else(neighbours: Neighbours, query: str, stranger: str):
    asked = query.format(operation=neighbours.operation, **neighbours.mine)
    found = await neighbours.served.fetch("GET", f"/runs?{asked}", token=neighbours.strangers[stranger])

    assert neighbours.mine["runId"] not in found.content.decode()
    theirs = await neighbours.served.fetch("GET", f"/runs?{asked}&per-page=100")
    assert (neighbours.mine["runId"] in theirs.content.decode()) is not query.startswith("cursor")


@pytest.mark.parametrize("stranger", [*STRANGERS, "the account itself"])
async def test_an_idempotency_key_is_of_whoever_sent_it_alone(neighbours: Neighbours, stranger: str):
    token = neighbours.strangers.get(stranger, "")
    connection = await neighbours.served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, token=token)
    path, headers = f"/partners/trigger-actions/{neighbours.operation}/run/sync", {"Idempotency-Key": f"the same for {stranger}"}
    runner = {"runnerData": {"name": "Ada"}}
    mine = {"credentialData": {"0": {"value": int(neighbours.mine["credentialId"])}}, **runner}
    theirs = {"credentialData": {"0": {"value": connection}}, **runner}
    first = await neighbours.served.fetch("POST", path, mine, token=neighbours.own, headers=headers)
    second = await neighbours.served.fetch("POST", path, theirs, token=token, headers=headers)
    again = await neighbours.served.fetch("POST", path, mine, token=neighbours.own, headers=headers)

    assert (first.status, second.status) == (200, 200)
    assert first.json["data"]["runId"] != second.json["data"]["runId"]
    assert "idempotent-replayed" not in second.headers
    assert (again.json["data"]["runId"], again.headers["idempotent-replayed"]) == (first.json["data"]["runId"], "true")


async def test_what_is_of_the_account_itself_is_not_found_by_its_end_users(neighbours: Neighbours):
    served = neighbours.served
    connection = await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Ada"}}
    path = f"/partners/trigger-actions/{neighbours.operation}/run/sync"
    assert (await served.fetch("POST", path, body)).status == 200  # from here on the connection is open in memory

    assert (await served.fetch("GET", f"/credentials/{connection}", token=neighbours.own)).status == 404
    for operation in ("run/sync", "run/async", "run/info"):
        path = f"/partners/trigger-actions/{neighbours.operation}/{operation}"
        assert (await served.fetch("POST", path, body, token=neighbours.own)).status == 404
    dry = await served.fetch(
        "POST", f"/partners/trigger-actions/{neighbours.operation}/run/sync", body | {"dryRun": True}, token=neighbours.own
    )
    assert dry.status == 404


async def test_what_is_ones_own_is_all_still_there(neighbours: Neighbours):
    for path in ("/credentials/{credentialId}", "/runs/{runId}", "/runs/{runId}/attempts", "/files/{fileId}", "/files/{fileId}/content"):
        for token in ("", neighbours.own):
            assert (await neighbours.served.fetch("GET", path.format(**neighbours.mine), token=token)).status == 200

    found = (await neighbours.served.call("GET", f"/credentials/{neighbours.mine['credentialId']}"))[2]["data"]
    assert (found["title"], found["metadata"], found["status"]) == ("A connection", {}, "active")
