from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from e2e.served import HUBSPOT, PIPEDRIVE, TOOLS, Served, running_server

pytestmark = pytest.mark.anyio

PARTNERS, OPERATIONS = "/partners/info", "/partners/trigger-actions/info"
PARTNER_KEYS = {
    "partnerId", "title", "titleEn", "titles", "description", "descriptionEn", "logo", "deprecated", "region", "slug", "categories", "own",
    "authTypes", "actionsCount", "triggersCount", "verified", "deprecation",
}  # fmt: skip
OPERATION_KEYS = {
    "triggerActionId", "partnerId", "name", "title", "description", "descriptionEn", "isAction", "deprecated", "kind", "isRunnable",
    "readOnly", "idempotent", "destructive", "version",
}  # fmt: skip


async def items(served: Served, path: str) -> list[dict[str, object]]:
    status, _headers, found = await served.call("GET", path)
    assert status == 200, found
    return found["data"]


async def all_items(served: Served, path: str) -> list[dict[str, object]]:
    """The items of all pages."""
    found: list[dict[str, object]] = []
    while page := await items(served, f"{path}&per-page=100&page={len(found) // 100 + 1}"):
        found.extend(page)
        if len(page) < 100:
            break
    return found


async def test_the_partners_that_clients_know_by_number_are_there(house: Served):
    hubspot = (await items(house, f"{PARTNERS}?filter[partnerId]={HUBSPOT}"))[0]
    tools = (await items(house, f"{PARTNERS}?filter[partnerId]={TOOLS}"))[0]
    create = (await house.call("GET", "/partners/trigger-actions/10025156"))[2]["data"]

    assert (hubspot["title"], tools["authTypes"]) == ("HubSpot", [])
    assert (create["partnerId"], create["isAction"], create["isRunnable"], create["kind"]) == (HUBSPOT, True, True, "action")
    assert "contact" in create["title"].lower()


async def test_a_partner_has_all_that_the_guide_names(house: Served):
    for item in await items(house, PARTNERS):
        assert set(item) == PARTNER_KEYS
        assert isinstance(item["partnerId"], int)
        assert item["titles"]["en"]
        assert set(item["logo"]) == {"100x100", "original"}
        assert item["deprecated"] is False
        assert all(isinstance(region, int) for region in item["region"])
        assert set(item["verified"]) == {"how", "on"}
        read = (await house.call("GET", f"/partners/{item['partnerId']}"))[2]["data"]
        assert isinstance(read.pop("budgets"), list)
        assert (item["own"], read.pop("hasSimulator")) == (False, item["slug"] not in {"http", "polyport-tools", "vies"})
        assert read == item


async def test_an_operation_has_all_that_the_guide_names_and_counts_agree(house: Served):
    for partner in await items(house, PARTNERS):
        found = await items(house, f"{OPERATIONS}?filter[partnerId]={partner['partnerId']}&per-page=100")
        assert all(set(item) == OPERATION_KEYS for item in found)
        assert sum(item["isAction"] for item in found) == partner["actionsCount"]
        assert sum(not item["isAction"] for item in found) == partner["triggersCount"]
        assert {item["kind"] for item in found} <= {"action", "apiTrigger", "webhookTrigger", "tool"}
        assert all(item["isRunnable"] is (item["kind"] != "webhookTrigger") for item in found)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("filter[title]=HubSpot", ["HubSpot"]),
        ("filter[title]=Hub", []),
        ("filter[title][like]=ubsp", ["HubSpot"]),
        ("filter[title][like]=%25", []),
        ("filter[title][like]=_", []),
        ("filter[title][like]=.*", []),
        ("filter[partnerId]=225", ["Pipedrive"]),
        ("filter[partnerId]=9999999", []),
        ("filter[slug]=pipedrive", ["Pipedrive"]),
        ("filter[deprecated]=1", []),
        ("filter[category]=nonsense", []),
        ("filter[authType]=sigv4&filter[kind]=action", ["Amazon S3"]),
        ("filter[authType]=oauth2&filter[slug]=pipedrive", ["Pipedrive"]),
        ("filter[authType]=oauth", []),
        ("filter[kind]=tool", ["Polyport tools"]),
        ("filter[verified]=live", []),
        ("filter[verified]=cases&filter[title]=pipedrive", ["Pipedrive"]),
        ("filter%5Btitle%5D%5Blike%5D=PIPE", ["Pipedrive"]),
        ("filter[title][like]=p&filter[slug]=hubspot", ["HubSpot"]),
    ],
)
async def test_partners_are_filtered(house: Served, query: str, expected: list[str]):
    assert [item["title"] for item in await items(house, f"{PARTNERS}?{query}")] == expected


async def test_filters_of_operations_part_them(house: Served):
    everything = await items(house, f"{OPERATIONS}?filter[partnerId]={PIPEDRIVE}&per-page=100")
    actions = await items(house, f"{OPERATIONS}?filter[partnerId]={PIPEDRIVE}&filter[isAction]=1&per-page=100")
    triggers = await items(house, f"{OPERATIONS}?filter[partnerId]={PIPEDRIVE}&filter[isAction]=0&per-page=100")
    tools = await items(house, f"{OPERATIONS}?filter[kind]=tool&per-page=100")

    assert actions
    assert triggers
    assert len(actions) + len(triggers) == len(everything)
    assert all(item["isAction"] for item in actions)
    assert {item["partnerId"] for item in tools} == {TOOLS}
    assert len(tools) >= 15


@pytest.mark.parametrize("path", [PARTNERS, OPERATIONS])
async def test_deprecated_is_a_filter_of_two_values(house: Served, path: str):
    current = (await house.call("GET", f"{path}?filter[deprecated]=0"))[2]["meta"]["totalItemsCount"]
    old = (await house.call("GET", f"{path}?filter[deprecated]=1"))[2]["meta"]["totalItemsCount"]
    total = (await house.call("GET", path))[2]["meta"]["totalItemsCount"]
    status, _headers, refused = await house.call("GET", f"{path}?filter[deprecated]=maybe")

    assert current + old == total
    assert status == 422
    assert refused["error"]["fields"][0]["path"] == "filter[deprecated]"


@pytest.mark.parametrize("path", [PARTNERS, OPERATIONS])
async def test_lists_are_sorted_by_title_both_ways(house: Served, path: str):
    up = [item["title"].casefold() for item in await all_items(house, f"{path}?sort=title")]
    down = [item["title"].casefold() for item in await all_items(house, f"{path}?sort=-title")]

    assert up == sorted(up)
    assert down == sorted(up, reverse=True)


@pytest.mark.parametrize("sort", ["nonsense", "--title", "title,slug"])
async def test_a_sort_that_is_none_is_refused(house: Served, sort: str):
    status, _headers, found = await house.call("GET", f"{PARTNERS}?sort={sort}")

    assert status == 422
    assert [fault["path"] for fault in found["error"]["fields"]] == ["sort"]


@pytest.mark.parametrize("path", ["", "/trigger-actions"])
async def test_an_id_filter_that_is_no_id_is_refused(house: Served, path: str):
    status, _headers, found = await house.call("GET", f"/partners{path}/info?filter[partnerId]=abc")

    assert status == 422
    assert [fault["path"] for fault in found["error"]["fields"]] == ["filter[partnerId]"]


@pytest.mark.parametrize("q", ["hubspot", "HubSpto", "hubpsot", "hub", "HUBSPOT", "hubspot crm"])
async def test_a_search_finds_a_partner_in_spite_of_a_typo(house: Served, q: str):
    assert (await items(house, f"{PARTNERS}?q={q}"))[0]["partnerId"] == HUBSPOT


@pytest.mark.parametrize("q", ["create contact hubspot", "creat contcat hubspot"])
async def test_a_search_finds_an_operation_the_best_first(house: Served, q: str):
    assert (await items(house, f"{OPERATIONS}?q={q}"))[0]["triggerActionId"] == 10025156


@pytest.mark.parametrize("q", ["zzzzqqqq", "%25", "x" * 3000, "%F0%9F%98%80", "%00", "a " * 300])
async def test_a_search_for_what_is_not_there_or_odd_is_answered(house: Served, q: str):
    status, _headers, found = await house.call("GET", f"{PARTNERS}?q={q}")

    assert status == 200
    assert found["data"] == [] or q.startswith("a ")


@pytest.mark.parametrize(
    "path",
    [
        PARTNERS,
        OPERATIONS,
        f"{OPERATIONS}?q=create&per-page=3",
        "/partners/225",
        "/partners/trigger-actions/10025156",
        "/partners/225/credential-fields",
        "/openapi.json",
        "/docs",
        "/static/docs.css",
    ],
)
async def test_what_is_unchanged_is_not_sent_again(house: Served, path: str):
    first = await house.fetch("GET", path)
    tag = first.headers["etag"]
    same = [await house.fetch("GET", path, headers={"If-None-Match": told}) for told in (tag, f'"x", {tag}', f"W/{tag}", "*")]
    other = await house.fetch("GET", path, headers={"If-None-Match": '"x"'})

    assert tag.startswith('"')
    assert [(found.status, found.content, found.headers["etag"]) for found in same] == [(304, b"", tag)] * 4
    assert all(found.headers["x-request-id"] and "cache-control" in found.headers for found in same)
    assert (other.status, other.headers["etag"], other.content) == (200, tag, first.content)


async def test_different_answers_have_different_tags(house: Served):
    tags = {
        (await house.fetch("GET", path)).headers["etag"] for path in (PARTNERS, f"{PARTNERS}?per-page=1", f"{PARTNERS}?q=hub", OPERATIONS)
    }

    assert len(tags) == 4


async def test_a_logo_is_an_image_that_can_do_nothing(house: Served):
    for item in await items(house, PARTNERS):
        path = item["logo"]["original"].removeprefix(house.origin)
        found = await house.fetch("GET", path, token=None)

        assert found.status == 200
        assert found.headers["content-type"].startswith("image/svg+xml")
        assert found.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in found.headers["content-security-policy"]
        assert "sandbox" in found.headers["content-security-policy"]
        names = {element.tag.rpartition("}")[2].lower() for element in ET.fromstring(found.content).iter()}  # noqa: S314  it is our own file
        assert not names & {"script", "foreignobject", "iframe", "image", "use", "a"}


async def test_what_a_connection_asks_for_is_described(house: Served):
    found = await items(house, f"/partners/{PIPEDRIVE}/credential-fields")
    token = next(choice for choice in found if choice["auth"] == "api_token")
    fields = {field["name"]: field for field in token["fields"]}

    assert (token["byLinkOnly"], fields["api_token"]["isSecret"], fields["company"]["isSecret"]) == (False, True, False)
    assert all({"name", "type", "label", "isRequired", "isSecret"} <= set(field) for field in fields.values())
    assert next(choice for choice in found if choice["auth"] == "oauth2")["byLinkOnly"] is True
    assert await items(house, f"/partners/{TOOLS}/credential-fields") == []


async def test_ids_are_the_same_on_another_server(house: Served, tmp_path: Path):
    async with running_server(tmp_path) as other:
        for path, key in ((PARTNERS, "partnerId"), (OPERATIONS, "triggerActionId")):
            ours = {item[key]: item["title"] for item in await items(house, f"{path}?per-page=100")}
            theirs = {item[key]: item["title"] for item in await items(other, f"{path}?per-page=100")}
            assert ours == theirs


async def test_the_catalogue_is_open_to_every_page_only_when_the_operator_says_so(house: Served, tmp_path: Path):
    closed = await house.fetch("GET", PARTNERS, headers={"Origin": "https://shop.example"})
    async with running_server(tmp_path, catalog_public=True) as served:
        for path in (PARTNERS, OPERATIONS):
            opened = await served.fetch("GET", path, token=None, headers={"Origin": "https://shop.example"})
            asked = await served.fetch(
                "OPTIONS", path, token=None, headers={"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}
            )
            faulty = await served.fetch("GET", f"{path}?page=0", token=None)
            wrong = await served.fetch("GET", path, token="ppt_wrong")

            assert (opened.status, opened.headers["access-control-allow-origin"]) == (200, "*")
            assert (asked.status, asked.headers["access-control-allow-origin"]) == (204, "*")
            assert "GET" in asked.headers["access-control-allow-methods"]
            assert (faulty.status, faulty.headers["access-control-allow-origin"]) == (422, "*")
            assert wrong.status == 401
        others = [await served.fetch("GET", path, token=None) for path in ("/partners/225", "/credentials", "/runs")]
        with_token = await served.fetch("GET", "/credentials")

    assert "access-control-allow-origin" not in closed.headers
    assert [found.status for found in others] == [401, 401, 401]
    assert "access-control-allow-origin" not in with_token.headers
