"""Pages of other origins: those that the operator names may call the API, no others, and none by cookies."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from e2e.served import Served, running_server

pytestmark = pytest.mark.anyio

APP = "https://app.example.com"
ASK = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,content-type"}


@pytest.fixture(scope="module")
async def house(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder = tmp_path_factory.mktemp("house")
    async with running_server(folder, http_origins=f"{APP},http://127.0.0.1:9000", catalog_public=True) as served:
        yield served


@pytest.mark.parametrize("path", ["/credentials", "/runs/run_1/cancel", "/users/1", "/nowhere"])
async def test_a_browser_that_asks_first_is_told_what_it_may_send(house: Served, path: str):
    told = await house.fetch("OPTIONS", path, token=None, headers={"Origin": APP, **ASK})
    assert (told.status, told.headers["access-control-allow-origin"]) == (204, APP)
    assert "PATCH" in told.headers["access-control-allow-methods"]
    allowed = told.headers["access-control-allow-headers"].split(", ")
    assert "Authorization" in allowed
    assert "Last-Event-ID" in allowed, "what follows events with a token is no EventSource: of its headers it has to ask for each"
    assert told.headers["x-request-id"].startswith("req_")
    assert "access-control-allow-credentials" not in told.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "https://app.example.com.evil.example", "null", "http://app.example.com", ""]
)
async def test_no_other_origin_is_told_anything(house: Served, origin: str):
    asked = await house.fetch("OPTIONS", "/credentials", token=None, headers={"Origin": origin, **ASK})
    read = await house.fetch("GET", "/credentials", headers={"Origin": origin})
    assert (asked.status, read.status) == (405, 200)
    assert not [name for found in (asked, read) for name in found.headers if name.startswith("access-control")]


async def test_answers_and_errors_can_be_read_by_the_page(house: Served):
    _user, token = await house.end_user("u")
    for method, path, held, status in (
        ("GET", "/credentials", token, 200),
        ("GET", "/credentials", "wrong", 401),
        ("GET", "/users", token, 403),
        ("GET", "/nowhere", token, 404),
        ("POST", "/files", token, 422),
        ("PUT", "/runs", token, 405),
    ):
        found = await house.fetch(method, path, token=held, headers={"Origin": APP})
        assert (found.status, found.headers["access-control-allow-origin"], found.headers["vary"]) == (status, APP, "Origin")
        assert "X-Request-Id" in found.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in found.headers


async def test_what_is_open_to_all_stays_so(house: Served):
    found = await house.fetch("GET", "/partners/info", token=None, headers={"Origin": APP})
    assert (found.status, found.headers["access-control-allow-origin"]) == (200, "*")
    other = await house.fetch("GET", "/partners/info", token=None, headers={"Origin": "https://anybody.example"})
    assert other.headers["access-control-allow-origin"] == "*"
