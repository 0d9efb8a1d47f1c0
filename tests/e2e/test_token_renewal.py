"""Tokens of sign-ins over real HTTP against a real OAuth server that rotates refresh tokens and ends a sign-in when one comes twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.served import Clock, Served, running_server
from oidc.provider import Provider, running_provider
from polyport.catalog import Catalog
from polyport.kinds.auth.base import Grant
from polyport.testing.leaks import find_leaks
from renewing import CLIENT, CLIENT_SECRET, CREATE, PARTNER, put_app, write_connectors
from signed_in import keep_sign_in

pytestmark = pytest.mark.anyio


@dataclass(slots=True, kw_only=True)
class Setting:
    served: Served
    provider: Provider
    clock: Clock
    connection: int = 0
    tokens: dict[str, Any]

    async def run(self, served: Served | None = None) -> tuple[int, dict[str, Any]]:
        body = {"credentialData": {"0": self.connection}, "runnerData": {"text": "x"}}
        status, _headers, told = await (served or self.served).call("POST", f"/partners/trigger-actions/{CREATE}/run/sync", body)
        return status, told

    async def read(self) -> dict[str, Any]:
        return dict((await self.served.call("GET", f"/credentials/{self.connection}"))[2]["data"])

    async def refreshes(self) -> list[int]:
        """The statuses of all refreshes so far."""
        return [entry["status"] for entry in await self.provider.asked() if entry["grant"] == "refresh_token"]


@contextlib.asynccontextmanager
async def server(folder: Path, provider: Provider, clock: Clock) -> AsyncIterator[Served]:
    catalog = Catalog.load([str(write_connectors(folder))], "http://127.0.0.1")
    async with running_server(folder, clock=clock, catalog=catalog, partner_renewing_base_url=provider.origin) as served:
        yield served


@pytest.fixture
async def setting(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Setting]:
    clock = Clock()
    async with running_provider() as provider, server(tmp_path, provider, clock) as served:
        await provider.add_client(CLIENT, client_secret=CLIENT_SECRET)
        await put_app(served.runtime)
        tokens = await provider.tokens(CLIENT)
        found = Setting(served=served, provider=provider, clock=clock, tokens=tokens)
        values = {name: tokens[name] for name in ("access_token", "refresh_token")}
        grant = Grant(values=values, expires_at=clock().timestamp() + tokens["expires_in"])
        found.connection = await keep_sign_in(served.runtime, 1, PARTNER, grant)
        yield found


async def test_expiry_after_expiry_every_refresh_token_is_used_once_and_nothing_is_shown(
    setting: Setting, capfd: pytest.CaptureFixture[str]
):
    for _expiry in range(3):
        setting.clock.forward(3_600)
        outcomes = await asyncio.gather(*(setting.run() for _call in range(4)))
        assert [status for status, _told in outcomes] == [200] * 4
    assert await setting.refreshes() == [200] * 3
    runs = [told["data"]["runId"] for _status, told in outcomes]
    for run in runs:
        await setting.served.call("GET", f"/runs/{run}/attempts")
    grant = setting.served.runtime.connections.open_grant(
        await setting.served.runtime.repo.connections.get(1, setting.connection),
        await setting.served.runtime.repo.grants.get(setting.connection),
    )
    secrets = {**{f"now {name}": text for name, text in grant.values.items()}, "client": CLIENT_SECRET}
    secrets |= {name: setting.tokens[name] for name in ("access_token", "refresh_token")}
    assert find_leaks(secrets, *(reply.content for reply in setting.served.replies)) == []
    assert find_leaks(secrets, setting.served.runtime.settings.data) == []
    assert find_leaks(secrets, *(text.encode() for text in capfd.readouterr())) == []


async def test_two_servers_on_one_folder_refresh_once(setting: Setting, tmp_path: Path):
    async with server(tmp_path, setting.provider, setting.clock) as second:
        await setting.provider.set(tokenDelayBeforeMs=300)
        setting.clock.forward(3_600)
        outcomes = await asyncio.gather(*(setting.run(served) for served in (setting.served, second) * 3))
    assert [status for status, _told in outcomes] == [200] * 6
    assert await setting.refreshes() == [200]


async def test_a_permission_that_was_taken_back_is_said_with_a_link_to_reconnect(setting: Setting):
    assert (await setting.run())[0] == 200
    await setting.provider.revoke(setting.tokens["grant_id"])
    for _time in range(2):
        status, told = await setting.run()
        assert (status, told["error"]["code"]) == (409, "connection_invalid")
        assert "/connect?id=" in told["error"]["reconnectUrl"]
    found = await setting.read()
    assert (found["status"], "the customer has to connect again" in found["lastError"]) == ("invalid", True)
    assert await setting.refreshes() == [400]


async def test_a_server_that_is_down_for_a_while_costs_no_call_while_the_token_lives(setting: Setting):
    await setting.provider.set(faults=["unavailable"])
    setting.clock.forward(3_550)
    assert (await setting.run())[0] == 200
    setting.clock.forward(20)
    assert (await setting.run())[0] == 200
    assert ((await setting.read())["status"], await setting.refreshes()) == ("active", [200])


async def test_a_refresh_that_never_got_there_is_made_again(setting: Setting):
    await setting.provider.set(faults=["drop_before"])
    setting.clock.forward(3_600)
    status, told = await setting.run()
    assert (status, told["error"]["code"]) == (502, "partner_unavailable")
    setting.clock.forward(20)
    assert (await setting.run())[0] == 200
    assert (await setting.read())["status"] == "active"


async def test_an_answer_that_was_lost_is_called_that_when_the_partner_refuses_what_is_left(setting: Setting):
    await setting.provider.set(faults=["drop_after"])
    setting.clock.forward(3_600)
    assert (await setting.run())[0] == 502
    assert (await setting.read())["status"] == "active"
    setting.clock.forward(20)
    status, told = await setting.run()
    assert (status, told["error"]["code"]) == (409, "connection_invalid")
    assert "was interrupted before the partner's answer could be kept" in (await setting.read())["lastError"]
    assert await setting.refreshes() == [200, 400]


async def test_a_test_of_the_connection_renews_too(setting: Setting):
    setting.clock.forward(3_600)
    status, _headers, told = await setting.served.call("POST", f"/credentials/{setting.connection}/test", {})
    assert (status, told["data"]["ok"], told["data"]["credential"]["account"]) == (200, True, "ada")
    assert await setting.refreshes() == [200]
