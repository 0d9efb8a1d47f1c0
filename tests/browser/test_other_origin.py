"""A page of a product that builds on Polyport, on an origin of its own, with the token of its user: in a real browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser

from e2e.served import Asked, answer, running_server, running_simulator, upstream

pytestmark = pytest.mark.anyio

CALL = """async ([origin, token, method, path, body]) => {
  try {
    const headers = {Authorization: `Bearer ${token}`, 'Content-Type': 'application/json'};
    const found = await fetch(origin + path, {method, headers, body: body && JSON.stringify(body)});
    return [found.status, await found.json(), found.headers.get('X-Request-Id')];
  } catch (error) { return [0, String(error), null]; }
}"""


async def _page(_asked: Asked) -> bytes:
    return answer(200, b"<!doctype html><title>Product</title>", {"Content-Type": "text/html"})


@pytest.fixture
async def pages(anyio_backend: str) -> AsyncIterator[list[str]]:
    async with upstream(_page) as product, upstream(_page) as stranger:
        yield [product.origin, stranger.origin]


async def test_a_page_of_a_named_origin_works_with_its_users_token_and_another_page_does_not(
    browser: Browser, tmp_path: Path, pages: list[str]
):
    async with (
        running_simulator("pipedrive") as url,
        running_server(tmp_path, partner_pipedrive_base_url=url, http_origins=pages[0]) as served,
    ):
        _user, token = await served.end_user("ada")

        async def call(at: str, method: str, path: str, body: Any = None) -> list[Any]:
            page = await browser.new_page()
            await page.goto(at)
            found = await asyncio.wait_for(page.evaluate(CALL, [served.origin, token, method, path, body]), 30)
            await page.close()
            return list(found)

        link = {"partnerId": 225, "title": "Mine"}
        status, made, request_id = await call(pages[0], "POST", "/credentials/grant-access-sharing", link)
        assert (status, made["data"]["externalUserId"], request_id.startswith("req_")) == (201, "ada", True)
        status, listed, _id = await call(pages[0], "GET", "/credentials/grant-access-sharing")
        assert (status, [item["id"] for item in listed["data"]]) == (200, [made["data"]["id"]])
        assert (await call(pages[0], "DELETE", f"/credentials/grant-access-sharing/{made['data']['id']}"))[0] == 200
        assert (await call(pages[0], "GET", "/users"))[0] == 403
        assert (await call(pages[1], "GET", "/credentials/grant-access-sharing"))[0] == 0
