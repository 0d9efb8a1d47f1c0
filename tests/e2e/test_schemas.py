from pathlib import Path

import pytest

from e2e.served import HUBSPOT, PIPEDRIVE, PIPEDRIVE_FIELDS, TOOLS, Served, running_server, running_simulator
from polyport.engine.schema import custom_name

pytestmark = pytest.mark.anyio

CREATE_CONTACT = 10025156
EMAIL_FIELD = "cf__0c83f57c786a0b4a39efab23731c7ebc"


async def operation(served: Served, partner: int, name: str) -> int:
    _status, _headers, found = await served.call("GET", f"/partners/trigger-actions/info?filter[partnerId]={partner}&per-page=100")
    return next(item["triggerActionId"] for item in found["data"] if item["name"] == name)


async def info(served: Served, number: int, body: dict[str, object]):
    return await served.call("POST", f"/partners/trigger-actions/{number}/run/info", body)


async def test_the_schema_stands_in_data_and_at_the_top(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    create = await operation(house, PIPEDRIVE, "create_person")
    status, _headers, found = await info(house, create, {"credentialData": {"0": {"value": connection}}})

    schema = found["data"]["triggerAction"]
    assert (status, found["success"]) == (200, True)
    assert found["triggerAction"] == schema
    assert set(found) == {"success", "data", "triggerAction"}
    assert {"triggerActionId", "title", "variables", "rowSections", "credentialData"} <= set(schema)
    assert schema["triggerActionId"] == create
    assert schema["credentialData"][0]["value"] == connection


async def test_variables_and_sections_have_the_shape_of_the_guide(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    create = await operation(house, PIPEDRIVE, "create_person")
    _status, _headers, found = await info(house, create, {"credentialData": {"0": {"value": connection}}})

    schema = found["triggerAction"]
    variables = schema["variables"] + [variable for section in schema["rowSections"] for variable in section["variables"]]
    for variable in variables:
        assert {"type", "name", "label", "isRequired", "isEditable"} <= set(variable)
        assert variable["type"] in {*range(1, 11), *range(101, 111)}
        assert isinstance(variable["isRequired"], bool)
        assert isinstance(variable["isEditable"], bool)
        assert all(set(option) == {"key", "label"} for option in variable.get("data", ()))
    assert {section["name"] for section in schema["rowSections"]} >= {"email", "phone"}
    names = [variable["name"] for variable in variables]
    assert len(names) == len(set(names))
    assert next(variable for variable in variables if variable["name"] == "name")["isRequired"] is True
    assert any(name.startswith("cf__") and len(name) == 36 for name in names)


async def test_a_bare_number_stands_for_a_connection(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    create = await operation(house, PIPEDRIVE, "create_person")
    bare = await info(house, create, {"credentialData": {"0": connection}})
    whole = await info(house, create, {"credentialData": {"0": {"value": connection}}})

    assert bare[0] == 200
    assert bare[2] == whole[2]


@pytest.mark.parametrize(
    "data",
    [None, {}, {"0": None}, {"0": {}}, {"0": {"value": None}}, {"0": {"value": "abc"}}, {"0": {"value": -1}}, {"0": {"value": 0}},
     {"0": {"value": True}}, {"0": {"value": 2**63}}, {"0": {"value": 999999}}, {"0": {"value": 1.5}}, {"0": {"value": [1]}},
     {"0": {"value": 1, "zzz": 2}}, {"zzz": 1}, {"-1": 1}, {"7": {"value": 1}}, [], "1", 1],
)  # fmt: skip
@pytest.mark.parametrize("path", ["run/info", "run/sync", "run/async"])
async def test_credential_data_that_cannot_be_is_refused_by_its_path(house: Served, path: str, data: object):
    create = await operation(house, PIPEDRIVE, "create_person")
    status, _headers, found = await house.call(
        "POST", f"/partners/trigger-actions/{create}/{path}", {"credentialData": data, "runnerData": {"name": "Ada"}}
    )

    assert status in {404, 422}, found
    if status == 422:
        assert all(fault["path"].startswith("credentialData") for fault in found["error"]["fields"])


async def test_a_connection_of_another_partner_is_refused(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    status, _headers, found = await info(house, CREATE_CONTACT, {"credentialData": {"0": {"value": connection}}})

    assert status == 422
    assert found["error"]["fields"][0]["path"].startswith("credentialData")


async def test_a_tool_needs_no_connection(house: Served):
    number = (await house.call("GET", f"/partners/trigger-actions/info?filter[partnerId]={TOOLS}&per-page=1"))[2]["data"][0][
        "triggerActionId"
    ]

    for body in ({}, {"credentialData": {}}, {"credentialData": None}):
        status, _headers, found = await info(house, number, body)
        assert status == 200
        assert found["triggerAction"]["variables"] or found["triggerAction"]["rowSections"]


async def test_the_contact_of_hubspot_takes_the_names_that_clients_hard_code(tmp_path: Path):
    async with running_simulator("hubspot") as url, running_server(tmp_path, partner_hubspot_base_url=url) as served:
        fields = (await served.call("GET", f"/partners/{HUBSPOT}/credential-fields"))[2]["data"]
        direct = next(choice for choice in fields if not choice["byLinkOnly"])
        given = {field["name"]: "pat-na1-0123456789abcdef" for field in direct["fields"] if field["isRequired"]}
        connection = await served.connect(HUBSPOT, given, auth=direct["auth"])
        status, _headers, found = await info(served, CREATE_CONTACT, {"credentialData": {"0": {"value": connection}}})

        names = {variable["name"]: variable for variable in found["triggerAction"]["variables"]}
        assert status == 200
        assert names[EMAIL_FIELD]["isEditable"] is True
        editable = [name for name, variable in names.items() if variable["isEditable"]]
        assert editable
        assert all(name.startswith("cf__") for name in editable)
        body = {"credentialData": {"0": {"value": connection}}, "runnerData": {EMAIL_FIELD: "ada@example.com"}}
        ran = await served.call("POST", f"/partners/trigger-actions/{CREATE_CONTACT}/run/sync", body)
        assert (ran[0], ran[2]["data"]["status"]) == (200, "succeeded"), ran


@pytest.mark.parametrize("dialect", ["json-schema", "openai", "anthropic", "gemini"])
async def test_a_schema_is_read_in_each_dialect(house: Served, dialect: str):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    create = await operation(house, PIPEDRIVE, "create_person")
    found = await house.fetch("GET", f"/partners/trigger-actions/{create}/schema?dialect={dialect}&credentialId={connection}")
    again = await house.fetch(
        "GET",
        f"/partners/trigger-actions/{create}/schema?dialect={dialect}&credentialId={connection}",
        headers={"If-None-Match": found.headers["etag"]},
    )

    assert found.status == 200
    assert b"properties" in found.content
    assert again.status == 304


async def test_a_schema_holds_the_fields_of_what_the_selectors_chose(tmp_path: Path):
    async with running_simulator("airtable") as url, running_server(tmp_path, partner_airtable_base_url=url) as served:
        connection = await served.connect(333, {"token": "patTest1234567890.secret"})
        create = await operation(served, 333, "create_record")
        path = f"/partners/trigger-actions/{create}/schema?credentialId={connection}"
        bare = await served.fetch("GET", path)
        chosen = await served.fetch("GET", f"{path}&credentialData[1]=appA1b2C3d4E5f6G7&credentialData[2]=Things")
        wrong = await served.fetch("GET", f"{path}&credentialData[9]=x")
    name = custom_name("fldA1b2C3d4E5f6G7").encode()
    assert (bare.status, chosen.status, wrong.status) == (200, 200, 422)
    assert name not in bare.content
    assert name in chosen.content
    assert b"credentialData.9" in wrong.content


@pytest.mark.parametrize(("query", "path"), [("dialect=klingon", "dialect"), ("credentialId=abc", "credentialId")])
async def test_a_schema_that_cannot_be_is_refused(house: Served, query: str, path: str):
    create = await operation(house, PIPEDRIVE, "create_person")
    status, _headers, found = await house.call("GET", f"/partners/trigger-actions/{create}/schema?{query}")

    assert status == 422
    assert [fault["path"] for fault in found["error"]["fields"]] == [path]


async def test_one_list_is_searched_and_paged(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    create = await operation(house, PIPEDRIVE, "create_person")
    body = {"field": "owner_id", "credentialData": {"0": connection}}
    path = f"/partners/trigger-actions/{create}/options"
    everything = (await house.call("POST", path, body))[2]
    first = everything["data"][0]
    searched = (await house.call("POST", path, {**body, "query": first["label"][:4].upper()}))[2]
    beyond = (await house.call("POST", path, {**body, "page": 99}))[2]

    assert set(first) == {"key", "label"}
    assert everything["meta"] == {"page": 1, "totalPages": 1, "totalItemsCount": len(everything["data"])}
    assert first in searched["data"]
    assert beyond["data"] == []


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"field": "nonsense"}, "field"),
        ({"field": "name"}, "field"),
        ({}, "field"),
        ({"field": "owner_id", "page": 0}, "page"),
        ({"field": 7}, "field"),
    ],
)
async def test_a_list_that_is_none_is_refused(house: Served, body: dict[str, object], path: str):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    create = await operation(house, PIPEDRIVE, "create_person")
    status, _headers, found = await house.call(
        "POST", f"/partners/trigger-actions/{create}/options", {**body, "credentialData": {"0": connection}}
    )

    assert status == 422
    assert [fault["path"] for fault in found["error"]["fields"]] == [path]
