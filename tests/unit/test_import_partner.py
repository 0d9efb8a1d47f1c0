"""What comes of a description: inputs, outputs, calls, ways of authorisation, lists and triggers, held against what requests then look like."""

from typing import Any

import pytest

from acting import refused, run
from petshop import built, pets, taking, with_path
from polyport.importers.names import operation_name, operation_title, singular, title, unique
from polyport.importers.scalars import usable_pattern
from polyport.manifest.model import Action, ListSpec, PartnerFile, Trigger


def action_of(document: dict[str, Any], name: str = "make") -> Action:
    return Action.model_validate(built(document).actions[name], by_alias=True, by_name=False)


async def sent(schema: Any, data: dict[str, Any], media: str = "application/json", **more: Any) -> Any:
    return (await run(action_of(taking(schema, media, **more)), data, {})).body


pytestmark = pytest.mark.anyio


async def test_a_pet_is_sent_as_described_with_its_owner_children_and_food() -> None:
    action = action_of(pets(), "create_pet")
    lists = {name: ListSpec.model_validate(told, by_alias=True, by_name=False) for name, told in built(pets()).lists.items()}
    data = {
        "name": "Ada",
        "kind": "cat",
        "born": "2020-01-02",
        "owner": [{"email": "a@b.example", "address_city": "Bonn"}],
        "children": [
            {"name_": "Bo", "kind_": "dog", "children": [{"name_": "Cy", "kind_": "cat", "food": [{"kind__": "wet", "tins": 2}]}]}
        ],
        "labels": [{"key_": "a", "value_": "b"}],
        "food_kind": "dry",
        "food_dry": [{"grams_": 5}],
    }
    found = await run(action, data, {"id": 7, "owner": {"email": "x"}}, lists=lists)
    assert found.body == {
        "name": "Ada",
        "kind": "cat",
        "born": "2020-01-02",
        "owner": {"email": "a@b.example", "address": {"city": "Bonn"}},
        "children": [{"name": "Bo", "kind": "dog", "children": [{"name": "Cy", "kind": "cat", "food": {"tins": 2}}]}],
        "labels": {"a": "b"},
        "food": {"grams": 5},
    }
    assert found.result["id"] == 7
    assert found.result["owner_email"] == "x"
    assert await refused(action, {"name": "A", "kind": "cow", "owner": [{}], "tags": [], "food_wet": []}, lists=lists) == [
        ("runnerData.name", "too_short"),
        ("runnerData.kind", "unknown_option"),
        ("runnerData.tags", "too_few"),
        ("runnerData.owner[0].email", "required"),
        ("runnerData.food_wet", "not_applicable"),
    ]


OBJECT = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "data", "wire"),
    [
        ({"type": "object", "required": ["o"], "properties": {"o": OBJECT}}, {}, {"o": {}}),
        ({"type": "object", "properties": {"o": OBJECT}}, {}, {}),
        ({"type": "object", "properties": {"o": OBJECT}}, {"o_a": "x"}, {"o": {"a": "x"}}),
        (
            {"type": "object", "required": ["v"], "properties": {"v": {"const": 2}, "w": {"type": "boolean"}}},
            {"w": True},
            {"v": 2, "w": True},
        ),
        ({"type": "array", "items": OBJECT}, {"items": [{"a": "1"}, {}]}, [{"a": "1"}, {}]),
        ({"type": "array", "items": {"type": "integer"}}, {"items": [1, "2"]}, [1, 2]),
        ({"type": "string"}, {"body": "x"}, "x"),
        ({}, {"body": [1]}, [1]),
        (
            {"oneOf": [OBJECT | {"title": "First"}, {"type": "array", "items": {"type": "string"}}]},
            {"kind": "first", "first": {"a": "1"}},
            {"a": "1"},
        ),
        ({"type": ["string", "null"]}, {"body": "x"}, "x"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, {"body": "7"}, "7"),
        (
            {
                "type": "object",
                "properties": {
                    "m": {
                        "type": "object",
                        "additionalProperties": OBJECT | {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
                    }
                },
            },
            {"m": [{"key": "k", "a": "1"}]},
            {"m": {"k": {"a": "1"}}},
        ),
        (
            {"type": "object", "properties": {"l": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}}},
            {"l": [{"values": [1, 2]}, {"values": [3]}]},
            {"l": [[1, 2], [3]]},
        ),
        (
            {"type": "object", "properties": {"a.b": {"type": "string"}, "c[d]": {"type": "string"}}},
            {"a_b": "1", "c_d": "2"},
            {"a.b": "1", "c[d]": "2"},
        ),
        (
            {"type": "object", "properties": {"page": {"type": "string"}, "Page": {"type": "string"}}},
            {"page_": "1", "Page": "2"},
            {"page": "1", "Page": "2"},
        ),
        (
            {"allOf": [OBJECT, {"type": "object", "required": ["b"], "properties": {"b": {"type": "integer"}}}]},
            {"b": 1, "a": "x"},
            {"a": "x", "b": 1},
        ),
        (
            {"type": "object", "properties": {"when": {"type": "string", "format": "date-time"}}},
            {"when": 0},
            {"when": "1970-01-01T00:00:00Z"},
        ),
        ({"type": "object", "properties": {"any": {"type": "object"}}}, {"any": {"x": [1]}}, {"any": {"x": [1]}}),
    ],
)
async def test_every_shape_is_sent_as_described(schema: Any, data: dict[str, Any], wire: Any) -> None:
    assert await sent(schema, data) == wire


RECURSIVE = {
    "components": {
        "schemas": {
            "Node": {
                "type": "object",
                "required": ["v"],
                "properties": {
                    "v": {"type": "integer"},
                    "next": {"$ref": "#/components/schemas/Node"},
                    "all": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
                },
            }
        }
    }
}


async def test_what_holds_itself_goes_down_as_far_as_it_is_given() -> None:
    action = action_of(taking({"$ref": "#/components/schemas/Node"}) | RECURSIVE)
    found = await run(action, {"v": 1, "next": [{"v_": 2, "next": {"v_": 3}, "all": [{"v_": 4}]}]}, {})
    assert found.body == {"v": 1, "next": {"v": 2, "next": {"v": 3}, "all": [{"v": 4}]}}


def test_a_body_with_too_many_members_becomes_json_where_it_has_to() -> None:
    wide = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(900)}}
    made = built(taking({"type": "object", "properties": {"wide": wide, "one": {"type": "string"}}}))
    fields = {field["name"]: field for field in made.actions["make"]["fields"]}
    assert fields["wide"]["type"] == "object"
    assert fields["wide"]["holds"] == "object"
    assert made.json_only == {"make": ["wide"]}


def query_of(parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return with_path("/q", {"get": {"operationId": "ask", "parameters": parameters, "responses": {}}})


@pytest.mark.parametrize(
    ("told", "data", "query"),
    [
        ({"schema": {"type": "array", "items": {"type": "string"}}}, {"x": ["a", "b"]}, "x=a&x=b"),
        ({"explode": False, "schema": {"type": "array", "items": {"type": "string"}}}, {"x": ["a", "b"]}, "x=a,b"),
        (
            {"style": "pipeDelimited", "explode": False, "schema": {"type": "array", "items": {"type": "string"}}},
            {"x": ["a", "b"]},
            "x=a%7Cb",
        ),
        ({"style": "deepObject", "schema": OBJECT}, {"x_a": "1"}, "x[a]=1"),
        ({"schema": OBJECT}, {"x_a": "1"}, "a=1"),
        ({"content": {"application/json": {"schema": {"type": "object"}}}}, {"x": {"b": 1}}, "x=%7B%22b%22%3A1%7D"),
        ({"required": True, "schema": {"enum": ["only"]}}, {}, "x=only"),
        ({"schema": {"type": "boolean"}}, {"x": "yes"}, "x=true"),
    ],
)
async def test_query_parameters_are_written_in_their_style(told: dict[str, Any], data: dict[str, Any], query: str) -> None:
    found = await run(action_of(query_of([{"name": "x", "in": "query"} | told]), "ask"), data, {})
    assert found.requests[-1].url.partition("?")[2] == query


async def test_paths_hold_their_values_and_constant_queries() -> None:
    item = {
        "post": {
            "operationId": "put_in",
            "parameters": [
                {"name": "a-b", "in": "path", "schema": {"type": "string"}},
                {"name": "X-One", "in": "header", "required": True, "schema": {"enum": ["1"]}},
            ],
            "responses": {},
        }
    }
    found = await run(action_of(with_path("/x/{a-b}/y{z}?upload", item), "put_in"), {"a-b": "q/r", "z": "1"}, {})
    assert found.requests[-1].url.endswith("/x/q%2Fr/y1?upload=")
    assert found.requests[-1].header("X-One") == "1"


async def test_forms_and_files_are_sent_as_such() -> None:
    schema = {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {"type": "string", "format": "binary"},
            "meta": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        },
    }
    action = action_of(taking(schema, "multipart/form-data"))
    found = await run(action, {"file": {"name": "a.txt", "base64": "eA=="}, "meta": [{"a": "1"}]}, {})
    assert b'{"a":"1"}' in (found.requests[-1].body or b"")
    assert b'filename="a.txt"' in (found.requests[-1].body or b"")
    form = action_of(
        taking({"type": "object", "properties": {"l": {"type": "array", "items": {"type": "string"}}}}, "application/x-www-form-urlencoded")
    )
    assert (await run(form, {"l": ["a", "b"]}, {})).requests[-1].body == b"l=a&l=b"
    raw = action_of(taking({"type": "string", "format": "binary"}, "application/octet-stream"))
    assert raw.fields[0].type == "file"
    assert action_of(taking({}, "application/xml")).steps[0].encoding == "text"


@pytest.mark.parametrize(
    ("schemes", "security", "kinds"),
    [
        ({"a": {"type": "apiKey", "in": "query", "name": "k"}}, [{"a": []}], ["api_key"]),
        (
            {"a": {"type": "http", "scheme": "basic"}, "b": {"type": "http", "scheme": "bearer"}},
            [{"b": []}, {"a": []}],
            ["bearer", "basic"],
        ),
        (
            {"a": {"type": "apiKey", "in": "header", "name": "A"}, "b": {"type": "apiKey", "in": "header", "name": "B"}},
            [{"a": [], "b": []}],
            ["api_key"] * 3,
        ),
        (
            {
                "a": {
                    "type": "oauth2",
                    "flows": {
                        "authorizationCode": {
                            "authorizationUrl": "https://x.example/a",
                            "tokenUrl": "https://x.example/t",
                            "scopes": {"r": "read"},
                        }
                    },
                }
            },
            [],
            ["oauth2"],
        ),
        ({"a": {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://x.example/t", "scopes": {}}}}}, [], ["oauth2"]),
        ({"a": {"type": "oauth2", "flows": {"implicit": {"authorizationUrl": "https://x.example/a", "scopes": {}}}}}, [], ["bearer"]),
        ({"a": {"type": "apiKey", "in": "header", "name": "Authorization", "description": "GenieKey <key>"}}, [], ["bearer"]),
        ({"a": {"type": "openIdConnect"}}, [], ["bearer"]),
        ({"a": {"type": "mutualTLS"}}, [{"none": []}], ["none"]),
        ({}, [], ["bearer", "none"]),
    ],
)
def test_ways_of_authorisation_come_from_the_security_schemes(schemes: Any, security: Any, kinds: list[str]) -> None:
    made = built(pets(components=pets()["components"] | {"securitySchemes": schemes}, security=security))
    assert [choice["scheme"]["kind"] for choice in made.access.choices] == kinds
    PartnerFile.model_validate(made.partner, by_alias=True, by_name=False)


@pytest.mark.parametrize(
    ("servers", "base", "asked"),
    [
        ([{"url": "https://a.example/v1/"}], "https://a.example/v1", []),
        ([{"url": "http://a.example"}, {"url": "https://b.example"}], "https://b.example", []),
        (["https://a.example"], "https://a.example", []),
        ([], "{{connection.base_url}}", ["base_url"]),
        ([{"url": "/v1"}], '{{connection.base_url | replace_pattern: "/+$"}}/v1', ["base_url"]),
        (
            [{"url": "https://{x}.a.example", "variables": {"x": {"enum": ["eu", "us"], "default": "eu"}}}],
            "https://{{connection.x}}.a.example",
            ["x"],
        ),
        ([{"url": "https://{host}/v1", "variables": {}}], "https://{{connection.host}}/v1", ["host"]),
        ([{"url": "https://a.example/{v}", "variables": {"v": {"enum": ["v3"]}}}], "https://a.example/v3", []),
    ],
)
def test_the_address_comes_from_the_servers_or_is_asked_for(servers: Any, base: str, asked: list[str]) -> None:
    made = built(pets(servers=servers))
    assert made.access.base == base
    assert [field["name"] for field in made.access.fields] == asked
    assert built(pets(servers=servers), base="https://told.example/").access.base == "https://told.example"


def test_a_relative_server_stands_at_the_address_of_the_document() -> None:
    assert built(pets(servers=[{"url": "/v2"}]), origin="https://docs.example/api/openapi.yaml").access.base == "https://docs.example/v2"


def test_lists_and_triggers_come_of_what_the_document_makes_plain() -> None:
    made = built(pets())
    assert made.lists["pets"]["pager"] == {"kind": "page", "size": 50}
    assert made.actions["delete_pet"]["fields"][0]["list"] == "pets"
    trigger = Trigger.model_validate(made.triggers["new_pets"], by_alias=True, by_name=False)
    assert (trigger.key, trigger.items) == (("id",), ("data",))
    assert made.actions["delete_pet"]["destructive"] is True
    assert made.actions["list_pets"]["readOnly"] is True


@pytest.mark.parametrize(
    ("parameters", "answer", "pager"),
    [
        (["cursor", "limit"], {"next_cursor": "string"}, {"kind": "cursor", "next": ["next_cursor"], "size": 100}),
        (["pageToken"], {"nextPageToken": "string"}, {"kind": "cursor", "next": ["nextPageToken"], "size": 100}),
        (["starting_after", "limit"], {"has_more": "boolean"}, {"kind": "last_id", "key": ["id"], "size": 100, "more": ["has_more"]}),
        (["offset", "limit"], {}, {"kind": "offset", "size": 100}),
        ([], {"next": "string"}, {"kind": "next_url", "next": ["next"], "size": 100}),
        (["q"], {}, None),
    ],
)
def test_pagers_are_recognised(parameters: list[str], answer: dict[str, str], pager: Any) -> None:
    things = {
        "type": "array",
        "items": {"type": "object", "properties": {"id": {"type": "string"}, "name": {"type": "string"}, "created_at": {"type": "string"}}},
    }
    schema = {"type": "object", "properties": {"things": things} | {name: {"type": kind} for name, kind in answer.items()}}
    item = {
        "get": {
            "operationId": "list_things",
            "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in parameters],
            "responses": {"200": {"content": {"application/json": {"schema": schema}}}},
        }
    }
    trigger = built(with_path("/things", item)).triggers["new_things"]
    assert trigger.get("pager") == pager


def test_swagger_2_is_read_like_its_successor() -> None:
    made = built(
        {
            "swagger": "2.0",
            "info": {"title": "Old", "version": "1"},
            "host": "old.example",
            "basePath": "/v1",
            "schemes": ["http", "https"],
            "securityDefinitions": {
                "k": {"type": "basic"},
                "o": {"type": "oauth2", "flow": "accessCode", "authorizationUrl": "https://x.example/a", "tokenUrl": "https://x.example/t"},
            },
            "definitions": {"T": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}},
            "paths": {
                "/t": {
                    "parameters": [{"name": "ids", "in": "query", "type": "array", "items": {"type": "integer"}}],
                    "post": {
                        "parameters": [{"name": "t", "in": "body", "schema": {"$ref": "#/definitions/T"}}],
                        "responses": {"200": {"schema": {"$ref": "#/definitions/T"}}},
                    },
                    "put": {
                        "consumes": ["multipart/form-data"],
                        "parameters": [{"name": "f", "in": "formData", "type": "file", "required": True}],
                        "responses": {},
                    },
                }
            },
        }
    )
    assert made.access.base == "https://old.example/v1"
    assert [choice["scheme"]["kind"] for choice in made.access.choices] == ["basic", "oauth2"]
    assert made.actions["create_t"]["call"]["queryStyles"] == {"ids": "comma"}
    assert made.actions["replace_t"]["fields"][1]["type"] == "file"


def test_google_discovery_is_read_too() -> None:
    made = built(
        {
            "discoveryVersion": "v1",
            "title": "G",
            "version": "v1",
            "rootUrl": "https://g.example/",
            "servicePath": "x/",
            "auth": {"oauth2": {"scopes": {"https://s": {"description": "All"}}}},
            "schemas": {"T": {"id": "T", "type": "object", "properties": {"n": {"type": "string", "format": "int64"}}}},
            "resources": {
                "ts": {
                    "methods": {
                        "insert": {
                            "id": "g.ts.insert",
                            "path": "{+parent}/ts",
                            "httpMethod": "POST",
                            "parameters": {"parent": {"location": "path", "required": True, "type": "string"}},
                            "request": {"$ref": "T"},
                            "response": {"$ref": "T"},
                        }
                    }
                }
            },
        }
    )
    assert made.access.base == "https://g.example/x"
    action = made.actions["g_ts_insert"]
    assert action["call"]["path"] == '/{{parent | split: "/"}}/ts'
    assert {field["name"]: field.get("pattern") for field in action["fields"]}["n"] == "-?[0-9]+"


def test_ids_are_the_same_at_every_import_and_names_are_those_a_person_would_choose() -> None:
    first, second = built(pets()), built(pets())
    assert {name: action["id"] for name, action in first.actions.items()} == {name: action["id"] for name, action in second.actions.items()}
    assert operation_name("GET", "/v1/users/{id}/posts", "") == "get_user_posts"
    assert operation_name("POST", "/x", "createUserAccount") == "create_user_account"
    assert operation_title("DELETE", "/pets/{id}", "", "") == "Delete pet"
    assert title("user_id") == "User ID"
    assert [singular(word) for word in ("companies", "boxes", "pets", "status", "address")] == [
        "company",
        "box",
        "pet",
        "status",
        "address",
    ]
    taken = {"a"}
    assert [unique("a", taken), unique("A", taken), unique("b", taken)] == ["a_2", "A_3", "b"]


@pytest.mark.parametrize(
    ("pattern", "usable"),
    [("^[a-z]+$", True), ("[a-z]", True), ("(?=x)y", False), ("(a+)+$", True), ("", False), ("x" * 30_000, False), ("/^[a-z]+$/i", True)],
)
def test_patterns_are_taken_only_where_they_are_linear(pattern: str, usable: bool) -> None:
    assert (usable_pattern(pattern) is not None) is usable


def test_a_pattern_that_is_written_as_in_a_program_is_read() -> None:
    assert usable_pattern("/^[a-z]+$/i") == "^(?i:[a-z]+)$"
    assert usable_pattern("/^a|b$/i") == "(?s:.*)(?:(?i:^a|b$))(?s:.*)"
    assert usable_pattern("(?i)^(all|none)$") == "(?s:.*)(?:(?i:^(all|none)$))(?s:.*)"
    assert usable_pattern("/a/b") == "(?s:.*)(?:/a/b)(?s:.*)"


@pytest.mark.parametrize(
    ("told", "good", "bad"),
    [
        ("ipv4", "10.0.0.255", "10.0.0.256"),
        ("ipv6", "2001:db8::1", "2001"),
        ("ip", "::1", "localhost"),
        ("time", "09:00", "9 o'clock"),
        ("duration", "P1DT2H", "two days"),
        ("google-duration", "3.5s", "3.5"),
        ("json-pointer", "/a/b", "a/b"),
        ("int64", "-12", "1.5"),
        ("hostname", "a.example", "https://a.example"),
    ],
)
async def test_formats_of_texts_are_kept_to(told: str, good: str, bad: str) -> None:
    action = action_of(taking({"type": "object", "properties": {"it": {"type": "string", "format": told}}}))
    assert (await run(action, {"it": good}, {})).body == {"it": good}
    assert await refused(action, {"it": bad}) == [("runnerData.it", "wrong_format")]


async def test_a_format_that_the_documents_own_example_is_not_in_is_not_asked_for() -> None:
    for example in ({"example": "CON-17"}, {"examples": ["CON-17"]}, {"default": "CON-17"}):
        told = {"type": "object", "properties": {"it": {"type": "string", "format": "uuid", **example}}}
        assert await sent(told, {"it": "CON-18"}) == {"it": "CON-18"}


async def test_a_word_or_a_number_in_a_form_is_one_of_the_words_or_a_number() -> None:
    told = {"type": "object", "properties": {"end": {"anyOf": [{"type": "string", "enum": ["now", "a.b"]}, {"type": "integer"}]}}}
    action = action_of(taking(told, "application/x-www-form-urlencoded"))
    assert [(await run(action, {"end": end}, {})).requests[-1].body for end in ("now", "17")] == [b"end=now", b"end=17"]
    assert [await refused(action, {"end": end}) for end in ("later", "axb")] == [[("runnerData.end", "wrong_format")]] * 2


async def test_words_that_yaml_read_as_something_else_are_texts_again() -> None:
    told = {"type": "object", "properties": {"on": {"type": "string", "enum": [True, 1.5]}}}
    action = action_of(taking(told))
    assert [option["key"] for option in built(taking(told)).actions["make"]["fields"][0]["options"]] == ["true", "1.5"]
    assert (await run(action, {"on": "true"}, {})).body == {"on": "true"}


def test_a_body_of_which_nothing_is_said_is_no_field() -> None:
    empty = {"type": "object", "properties": {}}
    document = taking(empty, "application/x-www-form-urlencoded")
    operation = next(iter(next(iter(document["paths"].values())).values()))
    operation["requestBody"]["required"] = False
    for rest in ({}, {"additionalProperties": False}):
        empty |= rest
        action = built(document).actions["make"]
        assert (action.get("fields"), action.get("sections"), action["call"].get("body")) == (None, None, None)


async def test_lists_in_parts_of_a_body_are_written_as_their_encoding_says() -> None:
    told = {
        "type": "object",
        "properties": {"file": {"type": "string", "format": "binary"}, "expand": {"type": "array", "items": {"type": "string"}}},
    }
    nested = {
        "type": "object",
        "properties": {"on": {"type": "object", "properties": {"ids": {"type": "array", "items": {"type": "integer"}}}}},
    }
    form = "application/x-www-form-urlencoded"
    deep = taking(nested, content={form: {"schema": nested, "encoding": {"on": {"style": "deepObject", "explode": True}}}})
    assert (await run(action_of(deep), {"on_ids": [1, 2]}, {})).requests[-1].body == b"on%5Bids%5D%5B%5D=1&on%5Bids%5D%5B%5D=2"
    for encoding, name in (({"expand": {"style": "deepObject", "explode": True}}, b"expand[]"), ({}, b"expand")):
        content = {"multipart/form-data": {"schema": told, "encoding": encoding}}
        done = await run(action_of(taking(told, content=content)), {"expand": ["a", "b"]}, {})
        assert bytes(done.requests[-1].body or b"").count(b'name="%b"' % name) == 2


async def test_what_every_variant_of_mere_demands_needs_is_needed() -> None:
    members = {name: {"type": "string"} for name in ("a", "b", "c")}
    told = {"type": "object", "properties": members, "anyOf": [{"required": ["a", "b"]}, {"required": ["a", "c"]}]}
    assert await refused(action_of(taking(told)), {"b": "1"}) == [("runnerData.a", "required")]


DEMANDS = [{"required": ["a"]}, {"required": ["b", "c"]}]
ABC = {name: {"type": "string"} for name in ("a", "b", "c")}


@pytest.mark.parametrize("word", ["anyOf", "oneOf"])
async def test_one_of_several_sets_of_members_has_to_be_given(word: str) -> None:
    action = action_of(taking({"type": "object", "properties": ABC, word: DEMANDS}))
    assert (await run(action, {"a": "1"}, {})).body == {"a": "1"}
    assert (await run(action, {"b": "1", "c": "2"}, {})).body == {"b": "1", "c": "2"}
    assert await refused(action, {"b": "1"}) == [("runnerData", "required")]


async def test_an_object_that_may_be_left_out_has_its_demands_once_it_is_there() -> None:
    inner = {"type": "object", "properties": ABC, "anyOf": DEMANDS}
    action = action_of(taking({"type": "object", "properties": {"who": inner, "all": {"type": "array", "items": inner}}}))
    assert (await run(action, {}, {})).body == {}
    assert await refused(action, {"who": [{"c": "1"}], "all": [{"a_": "1"}, {"b_": "1"}]}) == [
        ("runnerData.who[0]", "required"),
        ("runnerData.all[1]", "required"),
    ]


async def test_an_object_that_may_not_be_empty_needs_some_member() -> None:
    told = {
        "type": "object",
        "minProperties": 1,
        "properties": {**ABC, "deep": {"type": "object", "properties": {"d": {"type": "string"}}}},
    }
    action = action_of(taking(told))
    assert (await run(action, {"deep_d": "1"}, {})).body == {"deep": {"d": "1"}}
    assert await refused(action, {}) == [("runnerData", "required")]


async def test_an_object_that_a_form_needs_is_not_empty() -> None:
    told = {"type": "object", "required": ["who"], "properties": {"who": {"type": "object", "properties": ABC}}}
    action = action_of(taking(told, "application/x-www-form-urlencoded"))
    assert (await run(action, {"who_a": "1"}, {})).requests[-1].body == b"who%5Ba%5D=1"
    assert await refused(action, {}) == [("runnerData", "required")]


async def test_a_member_that_is_needed_and_not_described_may_be_anything() -> None:
    told = {"type": "object", "required": ["level", "a"], "properties": ABC}
    action = action_of(taking(told))
    assert (await run(action, {"a": "1", "level": {"b": [1]}}, {})).body == {"a": "1", "level": {"b": [1]}}
    assert await refused(action, {"a": "1"}) == [("runnerData.level", "required")]


async def test_a_schema_may_say_itself_what_the_discriminator_is_in_it() -> None:
    base = {"type": "object", "discriminator": {"propertyName": "type"}, "required": ["type"], "properties": {"type": {"type": "string"}}}
    schemas = {
        "Who": base,
        **{
            name: {
                "x-discriminator-value": word,
                "allOf": [{"$ref": "#/components/schemas/Who"}, {"properties": {word: {"type": "integer"}}}],
            }
            for name, word in (("TeamWho", "team"), ("UserWho", "user"))
        },
    }
    document = taking({"type": "object", "properties": {"who": {"$ref": "#/components/schemas/Who"}}})
    document["components"] = {"schemas": schemas}
    action = action_of(document)
    data = {"who_kind": "team_who", "who_team_who": [{"team": 5}]}
    assert (await run(action, data, {})).body == {"who": {"type": "team", "team": 5}}


def with_query(schema: Any, **more: Any) -> dict[str, Any]:
    """A description with one operation that takes this in its query."""
    document = taking({})
    parameter = {"name": "f", "in": "query", "schema": schema, **more}
    document["paths"] = {"/things": {"get": {"operationId": "make", "parameters": [parameter], "responses": {}}}}
    return document


async def test_lists_of_objects_in_a_query_are_rows_in_brackets() -> None:
    told = {"type": "array", "items": {"type": "object", "properties": {"by": {"type": "string"}, "many": {"type": "integer"}}}}
    for more in ({}, {"style": "deepObject", "explode": True}):
        done = await run(action_of(with_query(told, **more)), {"f": [{"by": "a", "many": 3}, {"by": "b"}]}, {})
        assert done.requests[-1].url.partition("?")[2] == "f[0][by]=a&f[0][many]=3&f[1][by]=b"


async def test_a_row_has_a_text_or_an_object_in_one_place() -> None:
    address = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
    either = {"oneOf": [{"type": "string", "pattern": "^adr_", "title": "ID"}, {**address, "title": "Inline"}]}
    item = {"type": "object", "properties": {"to": either}, "required": ["to"]}
    action = action_of(taking({"type": "object", "properties": {"letters": {"type": "array", "items": item}}}))
    data = {"letters": [{"to_kind": "id", "to_id": "adr_1"}, {"to_kind": "inline", "to_inline": [{"city": "Bonn"}]}]}
    assert (await run(action, data, {})).body == {"letters": [{"to": "adr_1"}, {"to": {"city": "Bonn"}}]}
    assert ("runnerData.letters[0].to_id", "required") in await refused(action, {"letters": [{"to_kind": "id"}]})


async def test_one_of_several_objects_in_a_query_is_its_members_side_by_side() -> None:
    cases = [{"type": "object", "properties": {name: {"type": "string"}}, "required": [name]} for name in ("id", "email")]
    action = action_of(with_query({"oneOf": cases}, required=True))
    assert (await run(action, {"f_email": "a"}, {})).requests[-1].url.partition("?")[2] == "email=a"
    assert await refused(action, {}) == [("runnerData", "required")]


async def test_an_object_that_a_query_needs_is_not_empty() -> None:
    told = {"type": "object", "properties": {"limit": {"type": "integer"}, "after": {"type": "string"}}}
    action = action_of(with_query(told, required=True))
    assert await refused(action, {}) == [("runnerData", "required")]
    assert (await run(action, {"f_after": "x"}, {})).requests[-1].url.partition("?")[2] == "after=x"


async def test_a_choice_of_single_values_with_titles_is_a_field_with_these_options() -> None:
    kind = {"type": "integer", "oneOf": [{"title": "CHAT", "const": 1}, {"title": "MESSAGE", "const": 3}]}
    words = {"type": "string", "oneOf": [{"const": "open"}, {"const": "closed"}, {"const": "gone"}]}
    told = {
        "type": "object",
        "properties": {
            "kind": {"oneOf": [{"type": "null"}, kind]},
            "state": {"type": "string", "enum": ["open", "gone"], "allOf": [words]},
            "any": {"type": "string", "enum": [], "allOf": [words]},
            "odd": {"type": "string", "enum": ["x"], "x-labels": ["y"]},
        },
    }
    action = action_of(taking(told))
    shown = {field.name: {option.key: option.label for option in field.options or ()} for field in action.fields}
    assert shown == {
        "kind": {1: "Chat", 3: "Message"},
        "state": {"open": "Open", "gone": "Gone"},
        "any": {"open": "Open", "closed": "Closed", "gone": "Gone"},
        "odd": {"x": "X"},
    }
    assert (await run(action, {"kind": 3, "state": "gone"}, {})).body == {"kind": 3, "state": "gone"}
    assert await refused(action, {"kind": 2, "state": "closed"}) == [
        ("runnerData.kind", "unknown_option"),
        ("runnerData.state", "unknown_option"),
    ]


async def test_a_part_that_one_case_has_is_demanded_by_the_choice_of_the_case() -> None:
    source = {
        "oneOf": [
            {"type": "string", "enum": ["gh-pages"]},
            {"type": "object", "title": "Case", "properties": {"branch": {"type": "string"}}},
        ]
    }
    told = {
        "type": "object",
        "properties": {"source": source, "cname": {"type": "string"}},
        "anyOf": [{"required": ["source"]}, {"required": ["cname"]}],
    }
    made = built(taking(told)).actions["make"]
    assert made["needsOneOf"] == [[["source_kind"], ["cname"]]]


async def test_members_of_an_object_in_a_query_that_other_parameters_have_the_names_of_are_kept_apart() -> None:
    document = with_query({"type": "object", "properties": {"made": {"type": "string"}, "sent": {"type": "string"}}})
    document["paths"]["/things"]["get"]["parameters"].append({"name": "made", "in": "query", "schema": {"type": "string"}})
    done = await run(action_of(document), {"f_made": "asc", "made": "2026"}, {})
    assert done.requests[-1].url.partition("?")[2] == "f[made]=asc&made=2026"


async def test_a_field_for_json_that_is_one_of_several_objects_takes_no_text() -> None:
    many = {f"m{number}": {"type": "string"} for number in range(400)}
    cases = [
        {"type": "object", "properties": {**many, "a": {"type": "string"}}},
        {"oneOf": [{"type": "object", "properties": {**many, name: {"type": "string"}}} for name in ("b", "c")]},
    ]
    action = action_of(taking({"type": "object", "properties": {"it": {"oneOf": cases}}}))
    assert (await run(action, {"it": {"m1": "x"}}, {})).body == {"it": {"m1": "x"}}
    assert await refused(action, {"it": "x"}) == [("runnerData.it", "wrong_type")]


async def test_a_choice_in_a_choice_of_rows_has_its_own_word() -> None:
    schemas: dict[str, Any] = {
        name: {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}, name.lower(): {"type": "integer"}}}
        for name in ("Hotel", "Retail")
    }
    schemas["Vertical"] = {
        "oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in schemas],
        "discriminator": {"propertyName": "type", "mapping": {name.upper(): f"#/components/schemas/{name}" for name in schemas}},
    }
    schemas["Plain"] = {"type": "object", "required": ["feed"], "properties": {"feed": {"type": "string"}}}
    item = {"oneOf": [{"$ref": "#/components/schemas/Plain"}, {"$ref": "#/components/schemas/Vertical"}]}
    document = taking({"type": "object", "properties": {"all": {"type": "array", "items": item}}})
    document["components"] = {"schemas": schemas}
    action = action_of(document)
    choosers = [field.name for field in action.sections[0].fields if not field.sent]
    data = {"all": [{choosers[0]: "plain", "feed": "f"}, {choosers[0]: "vertical", choosers[1]: "hotel", "hotel": 3}]}
    assert (await run(action, data, {})).body == {"all": [{"feed": "f"}, {"type": "HOTEL", "hotel": 3}]}
