"""Accounts that are limited to some partners: the others are not there for them, wherever they look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from e2e.served import HUBSPOT, OTHER_EMAIL, PIPEDRIVE, PIPEDRIVE_FIELDS, TOOLS, Served, running_server, running_simulator
from polyport.cli.app import app
from polyport.manifest.passing import passing_id

pytestmark = pytest.mark.anyio


@dataclass(kw_only=True)
class House:
    """A server with Pipedrive, a connection to it, one of its operations, and a link for it."""

    served: Served
    connection: int
    operation: int
    link: str
    other: str

    async def status(self, method: str, path: str, body: object = None, token: str = "") -> int:
        return (await self.served.call(method, path, body, token=token))[0]

    async def limit(self, *partners: int) -> None:
        assert await self.status("PUT", "/account/partners", {"partnerIds": list(partners)}) == 200

    async def lift(self) -> None:
        await self.status("DELETE", "/account/partners")

    async def seen(self, token: str = "") -> set[int]:
        page = (await self.served.call("GET", "/partners/info?per-page=100", token=token))[2]
        return {item["partnerId"] for item in page["data"]}


@pytest.fixture(scope="module")
async def house(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("allowed")
    async with running_simulator("pipedrive") as simulator, running_server(folder, partner_pipedrive_base_url=simulator) as served:
        connection = await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
        found = await served.call("GET", f"/partners/trigger-actions/info?filter[partnerId]={PIPEDRIVE}&q=create person")
        operation = next(item["triggerActionId"] for item in found[2]["data"] if item["name"] == "create_person")
        made = await served.call("POST", "/credentials/grant-access-sharing", {"partnerId": PIPEDRIVE, "title": "L"})
        url = made[2]["data"]["url"]
        yield House(
            served=served,
            connection=connection,
            operation=operation,
            link=url[len(served.origin) :],
            other=await served.second_account(),
        )


@pytest.fixture
async def limited(house: House) -> AsyncIterator[House]:
    """The first account sees HubSpot and the tools alone."""
    await house.limit(HUBSPOT)
    yield house
    await house.lift()


def run_body(house: House) -> dict[str, object]:
    return {"credentialData": {"0": {"value": house.connection}}, "runnerData": {"name": "Ada"}}


async def test_lists_and_searches_show_what_is_allowed_and_the_tools(limited: House):
    assert await limited.seen() == {HUBSPOT, TOOLS}
    for question in ("pipedrive", "person", "create contact"):
        found = (await limited.served.call("GET", f"/partners/trigger-actions/info?q={question}&per-page=100"))[2]
        assert {item["partnerId"] for item in found["data"]} <= {HUBSPOT, TOOLS}
        assert found["meta"]["totalItemsCount"] == len(found["data"])
    assert (await limited.served.call("GET", "/partners/info?q=pipedrive"))[2]["data"] == []
    assert {item["partnerId"] for item in (await limited.served.call("GET", "/oauth-apps?per-page=100"))[2]["data"]} <= {HUBSPOT}
    assert PIPEDRIVE in await limited.seen(limited.other), "the other account is not limited"


async def test_what_is_hidden_answers_like_what_never_was(limited: House):
    served, operation = limited.served, limited.operation
    asked = [
        ("GET", "/partners/{p}", None),
        ("GET", "/partners/{p}/credential-fields", None),
        ("GET", "/partners/trigger-actions/{o}", None),
        ("GET", "/partners/trigger-actions/{o}/schema?credentialId={c}", None),
        ("POST", "/partners/trigger-actions/{o}/run/info", {"credentialData": {"0": {"value": limited.connection}}}),
        ("POST", "/partners/trigger-actions/{o}/options", {"field": "owner_id"}),
        ("POST", "/partners/trigger-actions/{o}/run/sync", run_body(limited)),
        ("POST", "/partners/trigger-actions/{o}/run/async", run_body(limited)),
        ("POST", "/runs/batch", {"triggerActionId": "{o}", "runs": [{"runnerData": {"name": "Ada"}}]}),
        ("POST", "/credentials", {"partnerId": "{p}", "title": "T", "fields": PIPEDRIVE_FIELDS}),
        ("POST", "/credentials/grant-access-sharing", {"partnerId": "{p}", "title": "T"}),
    ]

    async def told(method: str, path: str, body: object, partner: int, number: int) -> tuple[int, object]:
        filled = path.format(p=partner, o=number, c=limited.connection)
        given = (
            {key: {"{p}": partner, "{o}": number}.get(str(value), value) for key, value in body.items()} if isinstance(body, dict) else None
        )
        status, _headers, answer = await served.call(method, filled, given)
        return status, {key: value for key, value in answer["error"].items() if key != "requestId"}

    for method, path, body in asked:
        hidden = await told(method, path, body, PIPEDRIVE, operation)
        assert hidden == await told(method, path, body, 424242, 424242), path
        assert hidden[0] == (422 if path.startswith("/credentials") else 404), path
    assert await limited.status("POST", f"/proxy/{limited.connection}/v1/persons", {"method": "GET"}) == 404
    assert await limited.status("POST", f"/partners/trigger-actions/{passing_id(PIPEDRIVE, 'GET')}/run/sync", run_body(limited)) == 404
    async with served.client.get(served.origin + limited.link) as page:
        assert page.status == 404


async def test_connections_of_a_hidden_partner_stay_as_they_are_and_do_nothing(limited: House):
    path = f"/credentials/{limited.connection}"
    status, _headers, answer = await limited.served.call("GET", path)
    assert (status, answer["data"]["status"]) == (200, "active")
    assert await limited.status("PATCH", path, {"title": "Another title"}) == 200
    for method, asked in (
        ("POST", f"{path}/test"),
        ("POST", f"{path}/reconnect"),
        ("POST", f"/credentials/{PIPEDRIVE}/{limited.connection}/update-user-data"),
    ):
        assert await limited.status(method, asked) == 404, asked
    await limited.lift()
    assert await limited.status("POST", f"{path}/test") == 200
    assert await limited.status("POST", f"/partners/trigger-actions/{limited.operation}/run/sync", run_body(limited)) == 200


async def test_a_run_that_waits_when_its_partner_is_hidden_ends_without_anything_being_sent(house: House):
    served = house.served
    runs = served.runtime.settings.runs
    assert runs.concurrency
    status, _headers, made = await served.call("POST", f"/partners/trigger-actions/{house.operation}/run/async", run_body(house))
    assert status == 202
    # The worker may have taken it already: what is asserted is that none of both ends is a loss.
    await house.limit(HUBSPOT)
    while (found := (await served.call("GET", f"/runs/{made['data']['runId']}"))[2]["data"])["status"] in {"queued", "running", "waiting"}:  # noqa: ASYNC110  its end is told by the API alone
        await asyncio.sleep(0.05)
    assert found["status"] in {"succeeded", "failed"}
    assert found["status"] == "succeeded" or found["error"]["code"] == "not_found"
    await house.lift()


async def test_a_list_names_partners_that_there_are(house: House):
    status, _headers, answer = await house.served.call("PUT", "/account/partners", {"partnerIds": [HUBSPOT, 424242, 5]})
    assert (status, [fault["path"] for fault in answer["error"]["fields"]]) == (422, ["partnerIds[1]", "partnerIds[2]"])
    for body in ({"partnerIds": "all"}, {}, {"partnerIds": [1], "more": 1}, {"partnerIds": [1] * 5_001}):
        assert await house.status("PUT", "/account/partners", body) == 422
    assert await house.status("DELETE", "/account/partners") == 404
    assert (await house.served.call("GET", "/account/partners"))[2]["data"] == {
        "partnerIds": None,
        "operatorPartnerIds": None,
        "updatedAt": None,
    }


async def test_an_empty_list_leaves_the_tools(house: House):
    await house.limit()
    assert await house.seen() == {TOOLS}
    await house.lift()
    assert len(await house.seen()) > 2


async def test_the_operator_limits_an_account_by_the_shell_and_the_account_can_only_narrow_that(house: House):
    data, shell = str(house.served.runtime.settings.data), CliRunner()

    def run(*words: str) -> str:
        found = shell.invoke(app, ["catalog", *words, "--data", data])
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            return str(found.exception)
        return found.output

    async def polyport(*words: str) -> str:
        return await asyncio.to_thread(run, *words)

    told = await polyport("allow", OTHER_EMAIL, "pipedrive", str(HUBSPOT))
    assert told.splitlines()[-2:] == [f"By the operator: {PIPEDRIVE}, {HUBSPOT}", "By the account itself: not limited"]
    await eventually(house, house.other, {PIPEDRIVE, HUBSPOT, TOOLS})
    served = house.served
    status, _headers, answer = await served.call("PUT", "/account/partners", {"partnerIds": [TOOLS + 1000]}, token=house.other)
    assert (status, answer["error"]["fields"][0]["path"]) == (422, "partnerIds[0]")
    status, _headers, answer = await served.call("PUT", "/account/partners", {"partnerIds": [HUBSPOT]}, token=house.other)
    assert (status, answer["data"]["operatorPartnerIds"]) == (200, [PIPEDRIVE, HUBSPOT])
    assert await house.seen(house.other) == {HUBSPOT, TOOLS}
    assert "By the account itself: 10055" in await polyport("allowed", "2")
    await polyport("allow", OTHER_EMAIL, "pipedrive")
    await eventually(house, house.other, {TOOLS})
    assert await house.status("DELETE", "/account/partners", token=house.other) == 200
    await polyport("allow", OTHER_EMAIL, "--all")
    assert len(await house.seen(house.other)) > 3
    assert "not limited" in await polyport("allow", OTHER_EMAIL, "--all")
    assert "There is no partner nobody" in await polyport("allow", "1", "nobody")
    assert "There is no account" in await polyport("allowed", "nobody@example.com")
    assert "There is no account 77" in await polyport("allowed", "77")
    assert "Name the partners" in await polyport("allow", "1")
    assert PIPEDRIVE in await house.seen()
    assert "leftOut" in await polyport("show", "--json")
    for words in ("refresh", "rebuild", "show"):
        assert "partners" in await polyport(words)


async def eventually(house: House, token: str, expected: set[int]) -> None:
    """Another process changed something: the server learns of it within a second."""
    async with asyncio.timeout(60):
        while await house.seen(token) != expected:  # noqa: ASYNC110  as above
            await asyncio.sleep(0.05)


async def test_end_users_see_what_their_account_does(limited: House):
    _number, token = await limited.served.end_user("somebody")
    assert await limited.seen(token) == {HUBSPOT, TOOLS}
