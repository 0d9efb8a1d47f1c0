"""Lists that go on by cursor: every item comes once, in the order that was asked for, whatever is made or deleted between two pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Served, running_server
from polyport.server.cursors import from_cursor, to_cursor

pytestmark = pytest.mark.anyio

TITLES = ["beta", "Alpha", "alpha", "Ωmega", "gamma", "beta", "", "Zeta"]


@pytest.fixture(scope="module")
async def house(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with running_server(tmp_path_factory.mktemp("house")) as served:
        for number, title in enumerate(TITLES):
            titled = title or f"no title {number}"
            await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, verify=False, title=titled, externalUserId=f"user {number % 2}")
            await served.call("POST", "/credentials/grant-access-sharing", {"partnerId": PIPEDRIVE, "title": titled})
            await served.call("POST", "/api-keys", {"title": titled, "scopes": ["runs:read"]})
            await served.call("POST", "/users", {"externalId": f"user {number % 4}{number}"} | ({"title": title} if title else {}))
        yield served


async def leafed(house: Served, path: str, *, per_page: int = 3) -> tuple[list[Any], list[dict[str, Any]]]:
    """All items of a list by cursor, and the ``meta`` of each page."""
    items: list[Any] = []
    metas: list[dict[str, Any]] = []
    cursor = "*"
    while cursor is not None:
        mark = "&" if "?" in path else "?"
        status, _headers, found = await house.call("GET", f"{path}{mark}per-page={per_page}&cursor={quote(cursor)}")
        assert status == 200, found
        items += found["data"]
        metas.append(found["meta"])
        cursor = found["meta"]["nextCursor"]
    return items, metas


LISTS = [
    *(f"/credentials{sort}" for sort in ("", "?sort=title", "?sort=-title", "?sort=credentialId", "?sort=-credentialId")),
    *(
        f"/credentials?filter[{narrowed}{sort}"
        for narrowed in (f"partnerId]={PIPEDRIVE}", "externalUserId]=user+1", "title][like]=a")
        for sort in ("", "&sort=title", "&sort=-credentialId")
    ),
    *(f"/credentials/grant-access-sharing{sort}" for sort in ("", "?sort=title", "?sort=-title", "?sort=id", "?sort=-id")),
    *(f"/users{sort}" for sort in ("", "?sort=title", "?sort=-title", "?sort=externalId", "?sort=-externalId", "?sort=id", "?sort=-id")),
    "/api-keys",
    "/oauth-apps",
    "/oauth-apps?sort=-title",
    *(f"/partners/info{sort}" for sort in ("", "?sort=title", "?sort=-title", "?q=payments")),
    *(
        f"/partners/trigger-actions/info?filter[partnerId]=225{sort}"
        for sort in ("", "&sort=title", "&sort=-title", "&sort=triggerActionId", "&q=person", "&q=deal&sort=title")
    ),
]


def lasting(item: dict[str, Any]) -> dict[str, Any]:
    """An item without what the server finds out about it by itself meanwhile."""
    return {name: value for name, value in item.items() if name not in {"status", "account", "lastError", "lastVerifiedAt", "nextCheckAt"}}


@pytest.mark.parametrize("path", LISTS)
async def test_a_list_by_cursor_holds_what_the_list_by_pages_holds_in_the_same_order(house: Served, path: str):
    mark = "&" if "?" in path else "?"
    whole = (await house.call("GET", f"{path}{mark}per-page=100"))[2]
    items, metas = await leafed(house, path)

    assert [lasting(item) for item in items] == [lasting(item) for item in whole["data"]]
    assert len(items) == whole["meta"]["totalItemsCount"] == metas[0]["totalItemsCount"]
    assert len(items) > 1
    assert [meta["hasMore"] for meta in metas] == [True] * (len(metas) - 1) + [False]
    assert set(whole["meta"]) == {"page", "totalPages", "totalItemsCount"}


async def test_what_is_made_or_deleted_between_two_pages_makes_nothing_come_twice_or_be_left_out(house: Served):
    path = "/credentials?sort=title&per-page=3"
    first = (await house.call("GET", f"{path}&cursor=*"))[2]
    made = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, verify=False, title="Aaa, before all")
    last = first["data"][-1]
    await house.call("DELETE", f"/credentials/{last['credentialId']}")
    second = (await house.call("GET", f"{path}&cursor={first['meta']['nextCursor']}"))[2]

    seen = [each["title"].lower() for each in (*first["data"], *second["data"])]
    assert seen == sorted(seen)
    ids = [each["credentialId"] for each in (*first["data"], *second["data"])]
    assert len(set(ids)) == len(ids) == 6
    assert made not in ids
    await house.call("DELETE", f"/credentials/{made}")


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "é",
        "%00",
        "A" * 9_000,
        to_cursor("slug", ("a", 1)),
        to_cursor(None, (1, "a")),
        to_cursor(None, ("a", "b")),
        to_cursor(None, ("a", -1)),
        to_cursor(None, ("a", 1 << 70)),
        to_cursor(None, ()),
    ],
)
@pytest.mark.parametrize(
    "path", ["/credentials", "/api-keys", "/oauth-apps", "/partners/info", "/partners/info?sort=title", "/partners/imports"]
)
async def test_what_is_no_cursor_of_a_list_in_its_order_is_refused_by_name(house: Served, path: str, cursor: str):
    mark = "&" if "?" in path else "?"
    status, _headers, found = await house.call("GET", f"{path}{mark}cursor={quote(cursor)}")

    assert status == 422
    assert [fault["path"] for fault in found["error"]["fields"]] == ["cursor"]


async def test_a_list_is_read_by_page_or_by_cursor(house: Served):
    status, _headers, found = await house.call("GET", "/credentials?page=2&cursor=*")

    assert (status, found["error"]["fields"][0]["path"]) == (422, "page")


async def test_a_cursor_leads_into_no_other_account(house: Served):
    cursor = (await house.call("GET", "/credentials?per-page=2&cursor=*"))[2]["meta"]["nextCursor"]
    other = await house.second_account()
    found = (await house.call("GET", f"/credentials?cursor={cursor}", token=other))[2]

    assert (found["data"], found["meta"]["totalItemsCount"]) == ([], 0)


def test_a_cursor_is_read_as_it_was_written():
    assert from_cursor(to_cursor("title", ("Ωmega\n", 7)), "title", (str, int)) == ("Ωmega\n", 7)
    assert from_cursor("*", "title", (str, int)) is None
