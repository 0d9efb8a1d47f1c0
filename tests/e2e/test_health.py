"""Connections that are watched, over HTTP and in the server's own chore: statuses, errors that lead to a new link, what is kept unproved."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Asked, Clock, Served, answer, running_server, upstream

pytestmark = pytest.mark.anyio
DAY = 86_400
FIELD = {"field_name": "Colour", "field_code": "a" * 40, "field_type": "varchar", "is_custom_field": True}


class Partner:
    """A partner whose answers a test chooses: by ``status`` it takes the token, refuses it, or is down."""

    status = 200

    def __init__(self) -> None:
        self.checks = 0

    async def __call__(self, asked: Asked) -> bytes:
        proving = asked.target.startswith("/api/v1/users/me")
        self.checks += proving
        if self.status != 200:
            return answer(self.status, {"success": False, "error": "unauthorized access"})
        if proving:
            return answer(200, {"success": True, "data": {"name": "Ada", "company_name": "Example"}})
        if "fields" in asked.target.lower():
            return answer(200, {"success": True, "data": [FIELD], "additional_data": {"next_cursor": None}})
        return answer(200, {"success": True, "data": {"id": 1, "name": "Ada"} if asked.method == "POST" else []})


async def until(true) -> None:
    """Wait until what a test looks at is true: nothing signals it."""
    async with asyncio.timeout(60):
        while not await true():  # noqa: ASYNC110  what is waited for signals nothing
            await asyncio.sleep(0.02)


class Watched:
    """A server that looks after its connections often, its partner, and the clock both go by."""

    def __init__(self, served: Served, partner: Partner, clock: Clock):
        self.served, self.partner, self.clock = served, partner, clock

    async def item(self, connection: int) -> dict:
        return (await self.served.call("GET", f"/credentials/{connection}"))[2]["data"]

    async def until(self, connection: int, **wanted) -> dict:
        """The connection once it is as wanted."""
        found: dict = {}

        async def is_so() -> bool:
            found.update(await self.item(connection))
            return wanted.items() <= found.items()

        await until(is_so)
        return found

    async def asked(self, checks: int) -> None:
        """Wait until the partner was asked so often for proof."""

        async def often() -> bool:
            return self.partner.checks >= checks

        await until(often)

    async def refused(self, connection: int) -> dict:
        """The connection once the watch has found it invalid, by two looks."""
        self.partner.status, checks = 401, self.partner.checks
        self.clock.forward(2 * DAY)
        self.served.token = (await self.served.sign_in())["authToken"]
        await self.asked(checks + 1)
        assert (await self.item(connection))["status"] == "active"
        found: dict = {}

        async def is_invalid() -> bool:
            self.clock.forward(61)  # again and again: the first look may not have been noted yet, and the second comes a minute after that
            await asyncio.sleep(0.05)
            found.update(await self.item(connection))
            return found["status"] == "invalid"

        await until(is_invalid)
        return found


@pytest.fixture
async def watched(anyio_backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    monkeypatch.setattr("polyport.server.app.HEALTH_SECONDS", 0.02)
    partner, clock = Partner(), Clock()
    async with upstream(partner) as up, running_server(tmp_path, clock=clock, partner_pipedrive_base_url=up.origin) as served:
        yield Watched(served, partner, clock)


async def _operation(served: Served, name: str) -> int:
    _status, _headers, found = await served.call("GET", f"/partners/trigger-actions/info?filter[partnerId]={PIPEDRIVE}&per-page=100")
    return next(item["triggerActionId"] for item in found["data"] if item["name"] == name)


async def test_a_connection_that_nobody_uses_is_looked_after(watched: Watched):
    connection = await watched.served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    made = await watched.item(connection)
    assert abs(made["nextCheckAt"] - made["lastVerifiedAt"] - DAY) <= DAY / 10 + 1

    found = await watched.refused(connection)
    assert found["lastError"] == "Pipedrive refused this API token: unauthorized access."
    assert found["lastVerifiedAt"] == made["lastVerifiedAt"]
    assert 0 < found["nextCheckAt"] - watched.clock().timestamp() <= 4_000

    watched.partner.status = 200
    watched.clock.forward(4_000)
    found = await watched.until(connection, status="active")
    assert (found["lastError"], found["lastVerifiedAt"] > made["lastVerifiedAt"]) == (None, True)


async def test_every_door_of_an_invalid_connection_leads_to_a_new_link(watched: Watched):
    served = watched.served
    connection = await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    create = await _operation(served, "create_person")
    await watched.refused(connection)
    at, given = {"credentialData": {"0": connection}}, {"runnerData": {"name": "Ada"}}
    asked = watched.partner.checks
    doors = [
        ("POST", f"/partners/trigger-actions/{create}/run/sync", at | given),
        ("POST", f"/partners/trigger-actions/{create}/run/async", at | given),
        ("POST", f"/partners/trigger-actions/{create}/run/sync", at | given | {"dryRun": True}),
        ("POST", f"/partners/trigger-actions/{create}/run/async", at | given | {"dryRun": True}),
        ("POST", f"/partners/trigger-actions/{create}/run/info", at),
        ("POST", f"/partners/trigger-actions/{create}/options", at | {"field": "owner_id"}),
        ("GET", f"/partners/trigger-actions/{create}/schema?credentialId={connection}", None),
    ]
    links = set()
    for method, path, body in doors:
        status, _headers, found = await served.call(method, path, body)
        assert (status, found["error"]["code"]) == (409, "connection_invalid"), path
        links.add(found["error"]["reconnectUrl"])
    assert len(links) == 1
    assert "/connect?id=" in links.pop()
    assert watched.partner.checks == asked


async def test_a_queued_run_whose_connection_turns_invalid_says_so_and_where_to_connect_again(watched: Watched):
    served = watched.served
    connection = await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    create = await _operation(served, "create_person")
    later = int(watched.clock().timestamp()) + 3 * DAY
    body = {"credentialData": {"0": connection}, "runnerData": {"name": "Ada"}, "notBefore": later}
    status, _headers, queued = await served.call("POST", f"/partners/trigger-actions/{create}/run/async", body)
    assert status == 202, queued
    await watched.refused(connection)
    path = f"/runs/{queued['data']['runId']}"
    assert (await served.call("GET", path))[2]["data"]["status"] == "queued"
    watched.clock.forward(DAY)
    served.token = (await served.sign_in())["authToken"]

    async def failed() -> bool:
        return (await served.call("GET", path))[2]["data"]["status"] == "failed"

    await until(failed)
    run = (await served.call("GET", path))[2]["data"]
    assert run["error"]["code"] == "connection_invalid"
    assert "/connect?id=" in run["error"]["reconnectUrl"]
    reader = (await served.call("POST", "/api-keys", {"title": "reader", "scopes": ["runs:read"]}))[2]["data"]["key"]
    seen = (await served.call("GET", path, token=reader))[2]["data"]
    assert "reconnectUrl" not in seen["error"]

    watched.partner.status = 200
    await served.call("POST", f"/credentials/{connection}/test")
    again = (await served.call("GET", path))[2]["data"]
    assert (again["status"], "reconnectUrl" in again["error"]) == ("failed", False)


async def test_a_connection_can_be_kept_while_its_partner_is_down(watched: Watched):
    served = watched.served
    watched.partner.status = 503
    body = {"partnerId": PIPEDRIVE, "title": "Moved", "fields": PIPEDRIVE_FIELDS}
    refused = await served.call("POST", "/credentials", body)
    kept = await served.call("POST", "/credentials", body | {"verify": False})
    assert (refused[0], kept[0]) == (502, 201)
    item = kept[2]["data"]
    assert (item["status"], item["account"], item["lastVerifiedAt"]) == ("pending", None, None)
    listed = await served.call("GET", "/credentials?filter[status]=pending")
    assert [found["credentialId"] for found in listed[2]["data"]] == [item["credentialId"]]
    await watched.asked(2)
    assert (await watched.item(item["credentialId"]))["status"] == "pending"

    watched.partner.status = 200
    watched.clock.forward(180)
    found = await watched.until(item["credentialId"], status="active")
    assert "Ada" in found["account"]


async def test_whether_to_verify_is_a_boolean(watched: Watched):
    for value in ("false", 0, None, []):
        body = {"partnerId": PIPEDRIVE, "title": "x", "fields": PIPEDRIVE_FIELDS, "verify": value}
        status, _headers, found = await watched.served.call("POST", "/credentials", body)
        assert (status, [fault["path"] for fault in found["error"]["fields"]]) == (422, ["verify"])


async def test_a_server_that_watches_nothing_says_no_time(tmp_path: Path):
    partner = Partner()
    async with upstream(partner) as up, running_server(tmp_path, health_check_every=0, partner_pipedrive_base_url=up.origin) as served:
        connection = await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
        assert (await served.call("GET", f"/credentials/{connection}"))[2]["data"]["nextCheckAt"] is None
