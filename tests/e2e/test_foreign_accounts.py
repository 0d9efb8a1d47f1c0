"""R12: what belongs to another account answers, everywhere, as if it had never been."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Reply, Served, running_server, running_simulator
from polyport.server.app import ENDPOINTS
from polyport.server.routing import Endpoint

pytestmark = pytest.mark.anyio


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Two accounts; ``mine`` are ids of things of the first, ``token`` is of the second."""

    served: Served
    token: str
    mine: dict[str, str]
    operation: int


# For every parameter: ids that never were. Those of connections, runs, files and keys are looked up in an account.
NEVER = {
    "credentialId": "999999",
    "linkId": "999999",
    "runId": "run_000000000000ffffffffffffffff",
    "fileId": "file_" + "0" * 32,
    "id": "999999",
}


@pytest.fixture(scope="module")
async def neighbours(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Neighbours]:
    async with (
        running_simulator("pipedrive") as url,
        running_server(tmp_path_factory.mktemp("neighbours"), partner_pipedrive_base_url=url) as served,
    ):
        token = await served.second_account()
        connection = await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
        file = (await served.call("POST", "/files", {"name": "a.txt", "base64": "aGk="}))[2]["data"]["fileId"]
        key = (await served.call("POST", "/api-keys", {"title": "k", "scopes": ["runs:read"]}))[2]["data"]["id"]
        _status, _headers, listed = await served.call(
            "GET", f"/partners/trigger-actions/info?filter[partnerId]={PIPEDRIVE}&q=create person"
        )
        operation = next(item["triggerActionId"] for item in listed["data"] if item["name"] == "create_person")
        body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Ada"}}
        status, _headers, run = await served.call("POST", f"/partners/trigger-actions/{operation}/run/sync", body)
        assert status == 200, run
        link = (await served.call("POST", "/credentials/grant-access-sharing", {"partnerId": PIPEDRIVE, "title": "L"}))[2]["data"]["id"]
        mine = {"credentialId": str(connection), "linkId": str(link), "runId": run["data"]["runId"], "fileId": file, "id": str(key)}
        yield Neighbours(served=served, token=token, mine=mine, operation=operation)


def owned(endpoint: Endpoint) -> str | None:
    """Which parameter of a path names a thing of an account."""
    if endpoint.path.startswith("/api-keys/"):
        return "id"
    return next((name for name in ("credentialId", "linkId", "runId", "fileId") if f"{{{name}}}" in endpoint.path), None)


WALKED = [endpoint for endpoint in ENDPOINTS if owned(endpoint) is not None]


def bodies(endpoint: Endpoint) -> Iterator[object]:
    yield None
    if endpoint.method == "PATCH":
        yield {"title": "Mine now"}
        yield {"fields": {"api_token": "another token"}}
        yield {"metadata": {"a": 1}}


def told(found: Reply) -> tuple[int, object, list[str]]:
    """An answer without what differs between any two calls."""
    error = {name: value for name, value in found.json["error"].items() if name != "requestId"}
    return found.status, error, sorted(set(found.headers) - {"date"})


def test_every_route_with_an_id_of_an_account_is_walked():
    with_ids = {endpoint.path for endpoint in ENDPOINTS if "{" in endpoint.path}
    catalogue = {
        path for path in with_ids if path.startswith(("/partners/", "/static/", "/oauth-apps/"))
    }  # the last are looked at in test_oauth_apps.py

    assert {endpoint.path for endpoint in WALKED} == with_ids - catalogue
    assert len(WALKED) >= 10


@pytest.mark.parametrize("endpoint", WALKED, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
async def test_a_foreign_id_answers_like_one_that_never_was(neighbours: Neighbours, endpoint: Endpoint):
    name = owned(endpoint)
    assert name is not None
    path = endpoint.path.replace("{partnerId}", str(PIPEDRIVE))
    for body in bodies(endpoint):
        foreign = await neighbours.served.fetch(
            endpoint.method, path.replace(f"{{{name}}}", neighbours.mine[name]), body, token=neighbours.token
        )
        never = await neighbours.served.fetch(endpoint.method, path.replace(f"{{{name}}}", NEVER[name]), body, token=neighbours.token)

        assert foreign.status == 404
        assert told(foreign) == told(never)


@pytest.mark.parametrize("path", ["run/sync", "run/async", "run/info", "options"])
async def test_a_foreign_connection_in_a_body_answers_like_one_that_never_was(neighbours: Neighbours, path: str):
    answers = []
    for connection in (neighbours.mine["credentialId"], NEVER["credentialId"]):
        body: dict[str, object] = {"credentialData": {"0": {"value": int(connection)}}}
        body |= {"field": "owner_id"} if path == "options" else {"runnerData": {"name": "Ada"}}
        answers.append(
            await neighbours.served.fetch("POST", f"/partners/trigger-actions/{neighbours.operation}/{path}", body, token=neighbours.token)
        )

    assert told(answers[0]) == told(answers[1])
    assert answers[0].status in {404, 422}


async def test_a_foreign_connection_in_a_query_answers_like_one_that_never_was(neighbours: Neighbours):
    answers = [
        await neighbours.served.fetch(
            "GET", f"/partners/trigger-actions/{neighbours.operation}/schema?credentialId={connection}", token=neighbours.token
        )
        for connection in (neighbours.mine["credentialId"], NEVER["credentialId"])
    ]

    assert told(answers[0]) == told(answers[1])


async def test_a_foreign_file_in_a_body_answers_like_one_that_never_was(neighbours: Neighbours):
    connection = await neighbours.served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, token=neighbours.token)
    answers = []
    for file in (neighbours.mine["fileId"], NEVER["fileId"]):
        body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": {"fileId": file}}}
        answers.append(
            await neighbours.served.fetch(
                "POST", f"/partners/trigger-actions/{neighbours.operation}/run/sync", body, token=neighbours.token
            )
        )

    assert told(answers[0]) == told(answers[1])


@pytest.mark.parametrize("path", ["/credentials", "/credentials/grant-access-sharing", "/runs", "/api-keys"])
async def test_a_list_holds_nothing_of_another_account(neighbours: Neighbours, path: str):
    mine = (await neighbours.served.call("GET", path))[2]
    theirs = (await neighbours.served.fetch("GET", path, token=neighbours.token)).content.decode()

    assert mine["data"]
    assert all(str(item.get("runId") or item.get("title")) not in theirs for item in mine["data"] if item.get("runId"))
    for name in ("credentialId", "runId", "id"):
        owned_ids = [item[name] for item in mine["data"] if name in item]
        assert all(f'"{name}":{found}' not in theirs and f'"{found}"' not in theirs for found in owned_ids)


@pytest.mark.parametrize("query", ["credentialId={credentialId}", "triggerActionId={operation}", "status=succeeded", "cursor={runId}"])
async def test_no_filter_reaches_the_runs_of_another_account(neighbours: Neighbours, query: str):
    asked = query.format(operation=neighbours.operation, **neighbours.mine)
    found = await neighbours.served.fetch("GET", f"/runs?{asked}", token=neighbours.token)

    assert neighbours.mine["runId"] not in found.content.decode()


async def test_an_idempotency_key_is_of_its_account_alone(neighbours: Neighbours):
    connection = await neighbours.served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, token=neighbours.token)
    path, headers = f"/partners/trigger-actions/{neighbours.operation}/run/sync", {"Idempotency-Key": "the same"}
    runner = {"runnerData": {"name": "Ada"}}
    mine = {"credentialData": {"0": {"value": int(neighbours.mine["credentialId"])}}, **runner}
    theirs = {"credentialData": {"0": {"value": connection}}, **runner}
    first = await neighbours.served.fetch("POST", path, mine, headers=headers)
    second = await neighbours.served.fetch("POST", path, theirs, token=neighbours.token, headers=headers)

    assert (first.status, second.status) == (200, 200)
    assert first.json["data"]["runId"] != second.json["data"]["runId"]
    assert "idempotent-replayed" not in second.headers


async def test_what_is_ones_own_is_all_still_there(neighbours: Neighbours):
    for path in ("/credentials/{credentialId}", "/runs/{runId}", "/runs/{runId}/attempts", "/files/{fileId}", "/files/{fileId}/content"):
        assert (await neighbours.served.fetch("GET", path.format(**neighbours.mine))).status == 200

    found = (await neighbours.served.call("GET", f"/credentials/{neighbours.mine['credentialId']}"))[2]["data"]
    assert (found["title"], found["metadata"], found["status"]) == ("A connection", {}, "active")
