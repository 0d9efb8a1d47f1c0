"""A connection that is made of client credentials, over real HTTP: token, calls, renewal, refusal, and that no token is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from e2e.served import Asked, Served, answer, running_server, upstream
from polyport.catalog import Catalog
from polyport.testing.leaks import find_leaks

pytestmark = pytest.mark.anyio

PARTNER, CREATE = 900002, 90000201
SECRET = "granted-secret-8c1f2ab7"
FIELDS = {"client_id": "id-1", "client_secret": SECRET, "shop": "https://acme.granted.example.com/"}
FILES = {
    "partner.yaml": """
id: 900002
slug: granted
title: Granted
owners: [tests]
base: "https://{{connection.shop}}.granted.example.com/{{connection.site}}"
connection:
  fields: [{name: shop, type: string, label: Shop, required: true, pattern: "[a-z]+", prefix: "https://", suffix: .granted.example.com}]
  auth:
    - name: app
      label: App
      fields:
        - {name: client_id, type: string, label: Client ID, required: true}
        - {name: client_secret, type: string, label: Client secret, required: true, secret: true}
      scheme:
        kind: oauth2
        grant: client_credentials
        tokenUrl: https://login.granted.example.com/token
        learn: {site: {at: site, pattern: "[a-z0-9]+"}}
  learn: [{name: plan, label: Plan, value: "{{answer.plan}}"}]
  verify: {call: {path: /me}, account: "{{answer.name}}"}
errors:
  - {status: [401], body: {at: error, equals: token_expired}, kind: expired_token}
verified: {how: cases, on: "2026-11-25"}
""",
    "actions/create_thing.yaml": """
id: 90000201
name: create_thing
title: Create a thing
idempotent: false
fields: [{name: name, type: string, label: Name}]
call: {method: POST, path: /things, body: {name: "{{name}}", plan: "{{connection.plan}}"}}
result: {fields: [{name: id, type: integer, label: ID}]}
""",
}


@dataclass
class Partner:
    """The partner: its tokens serve as long as ``valid`` says."""

    issued: int = 0
    valid: set[str] = field(default_factory=set)
    refuses: bool = False
    arrivals: list[Asked] = field(default_factory=list)

    async def __call__(self, asked: Asked) -> bytes:
        self.arrivals.append(asked)
        path = asked.target.partition("?")[0]
        if path == "/token":
            return self._token(asked)
        if asked.headers.get("authorization", "").removeprefix("Bearer ") not in self.valid:
            return answer(401, {"error": "token_expired"})
        return answer(200, {"name": "Ada", "plan": "pro"} if path.endswith("/me") else {"id": 7})

    def _token(self, asked: Asked) -> bytes:
        given = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        if self.refuses or given.get("client_secret") != SECRET:
            return answer(401, {"error": "invalid_client", "error_description": f"{given.get('client_secret')} is not known"})
        self.issued += 1
        token = f"granted-token-{self.issued}-5d90aa"
        self.valid = {token}
        return answer(200, {"access_token": token, "expires_in": 3600, "site": "eu1"})

    def paths(self) -> list[str]:
        return [asked.target for asked in self.arrivals]


@dataclass
class Setting:
    served: Served
    partner: Partner

    async def run(self, connection: int, **more: Any) -> tuple[int, Any]:
        body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Lamp"}, **more}
        status, _headers, found = await self.served.call("POST", f"/partners/trigger-actions/{CREATE}/run/sync", body)
        return status, found


@pytest.fixture
async def setting(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Setting]:
    for name, text in FILES.items():
        (tmp_path / "connectors" / "granted" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "connectors" / "granted" / name).write_text(text)
    partner = Partner()
    catalog = Catalog.load([str(tmp_path / "connectors")], "http://127.0.0.1")
    async with (
        upstream(partner) as server,
        running_server(tmp_path / "data", catalog=catalog, partner_granted_base_url=server.origin) as served,
    ):
        yield Setting(served, partner)


async def test_a_token_is_got_once_and_what_it_tells_makes_the_address(setting: Setting):
    connection = await setting.served.connect(PARTNER, FIELDS)
    found = (await setting.served.call("GET", f"/credentials/{connection}"))[2]["data"]
    assert (found["account"], found["fields"]["shop"], found["fields"]["site"], found["fields"]["plan"]) == ("Ada", "acme", "eu1", "pro")

    for _time in range(2):
        status, ran = await setting.run(connection)
        assert (status, ran["data"]["result"]) == (200, {"id": 7})

    assert setting.partner.paths() == ["/token", "/eu1/me", "/eu1/things", "/eu1/things"]
    assert b'"plan":"pro"' in setting.partner.arrivals[-1].body


async def test_an_expired_token_is_renewed_once_for_all_and_each_call_is_made_once_more(setting: Setting):
    connection = await setting.served.connect(PARTNER, FIELDS)
    setting.partner.valid = set()
    setting.partner.arrivals.clear()

    outcomes = await asyncio.gather(*(setting.run(connection) for _ in range(5)))

    assert [status for status, _found in outcomes] == [200] * 5
    accepted = [
        asked for asked in setting.partner.arrivals if asked.headers.get("authorization") == f"Bearer {next(iter(setting.partner.valid))}"
    ]
    assert (len(accepted), setting.partner.issued) == (5, 2)


async def test_no_token_and_no_secret_is_shown_anywhere(setting: Setting, capfd: pytest.CaptureFixture[str]):
    start = len(setting.served.replies)
    connection = await setting.served.connect(PARTNER, FIELDS)
    setting.partner.valid = set()
    _status, ran = await setting.run(connection)
    attempts = await setting.served.call("GET", f"/runs/{ran['data']['runId']}/attempts")
    await setting.run(connection, dryRun=True)

    exchanges = attempts[2]["data"][0]["exchanges"]
    assert [exchange["step"] for exchange in exchanges] == ["call", "auth", "call"]
    assert exchanges[1]["reply"]["body"] == "[secret]"
    secrets = {"secret": SECRET, "first": "granted-token-1-5d90aa", "second": "granted-token-2-5d90aa"}
    assert find_leaks(secrets, *(reply.content for reply in setting.served.replies[start:])) == []
    assert find_leaks(secrets, setting.served.runtime.settings.data) == []
    out, err = capfd.readouterr()
    assert find_leaks(secrets, out.encode(), err.encode()) == []


async def test_a_refused_client_is_a_fault_of_its_secret_and_nothing_is_kept(setting: Setting):
    body = {"partnerId": PARTNER, "title": "x", "fields": {**FIELDS, "client_secret": "wrong-secret-123"}}
    status, _headers, found = await setting.served.call("POST", "/credentials", body)

    assert (status, [fault["path"] for fault in found["error"]["fields"]]) == (422, ["fields.client_secret"])
    assert "[secret] is not known" in found["error"]["fields"][0]["message"]
    assert (await setting.served.call("GET", "/credentials"))[2]["meta"]["totalItemsCount"] == 0


async def test_a_client_that_is_refused_later_makes_the_connection_invalid(setting: Setting):
    connection = await setting.served.connect(PARTNER, FIELDS)
    setting.partner.valid, setting.partner.refuses = set(), True

    status, found = await setting.run(connection)

    assert (status, found["error"]["code"]) == (409, "connection_invalid")
    assert "did not authorise this connection" in found["error"]["message"]
    assert (await setting.served.call("GET", f"/credentials/{connection}"))[2]["data"]["status"] == "invalid"
    assert (await setting.served.call("DELETE", f"/credentials/{connection}"))[0] == 200


async def test_what_is_asked_for_shows_what_stands_around_a_field(setting: Setting):
    _status, _headers, found = await setting.served.call("GET", f"/partners/{PARTNER}/credential-fields")
    (choice,) = found["data"]
    shop = next(item for item in choice["fields"] if item["name"] == "shop")
    assert (choice["kind"], choice["byLinkOnly"]) == ("oauth2", False)
    assert (shop["prefix"], shop["suffix"]) == ("https://", ".granted.example.com")
