"""Whoever tries a bundled partner without an account of theirs can click through its sign-in too, at the simulator."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

import bundled
from e2e.served import Served, running_server, running_simulator
from e2e.visitor import Browser, make, status_of, text
from oidc.house import come_back, way_out
from polyport.apps import needed_secrets, sign_in_schemes
from polyport.engine.caller import connection_fields

pytestmark = pytest.mark.anyio

PARTNERS = {slug: found for slug, found in bundled.partners().items() if sign_in_schemes(found)}


@pytest.fixture
async def house(anyio_backend: str, tmp_path: Path, slug: str) -> AsyncIterator[Served]:
    async with (
        running_simulator(slug) as url,
        running_server(tmp_path, **{f"partner_{slug.replace('-', '_')}_base_url": url}) as served,
    ):
        yield served


def test_there_are_partners_whose_customers_sign_in():
    assert {"hubspot", "pipedrive", "slack", "zendesk"} <= set(PARTNERS)


@pytest.mark.parametrize("slug", PARTNERS)
async def test_a_person_clicks_through_the_sign_in_of_a_simulated_partner(house: Served, slug: str):
    made = PARTNERS[slug]
    (auth,) = sign_in_schemes(made)
    told = {"clientId": "simulated-client"} | ({"clientSecret": "simulated-secret-1"} if needed_secrets(made, None) else {})
    assert (await house.call("PUT", f"/oauth-apps/{made.file.id}", told))[0] == 200
    link, browser = await make(house, partnerId=made.file.id), Browser(house)
    fields = {f"field.{variable.name}": str(variable.sample or "acme") for variable in connection_fields(made, auth) if variable.required}
    way = way_out(await browser.send(link, fields, path="/connect/authorize", auth=auth))
    allow, cancel = await consent(way)
    denied = await come_back(browser, cancel)
    assert (denied.status, "You did not give access" in text(denied)) == (403, True)
    allow, _cancel = await consent(way_out(await browser.send(link, fields, path="/connect/authorize", auth=auth)))
    end = await come_back(browser, allow)

    assert (end.status, "is connected" in text(end)) == (200, True), (text(end), await status_of(house, link))
    connection = (await status_of(house, link))["credentialId"]
    assert (await house.call("POST", f"/credentials/{connection}/test", {}))[0] == 200


async def consent(way: str) -> tuple[str, str]:
    """Where the simulator's page leads who allows, and who cancels."""
    async with aiohttp.ClientSession() as client, client.get(way) as answer:
        content = await answer.text()
        assert answer.status == 200, content
    allow, cancel = (html.unescape(found) for found in re.findall(r'<a href="([^"]+)"', content))
    assert urlsplit(allow).path == urlsplit(cancel).path == "/connect/callback"
    return allow, cancel
