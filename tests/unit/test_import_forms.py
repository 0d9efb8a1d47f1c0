"""Forms that descriptions give to what they take: many cases, mixed lists, maps and objects outside of bodies, XML, ways of authorisation that go together, addresses that vary."""

from typing import Any

import pytest

from acting import refused, run
from petshop import built, imported, pets, taking, with_path
from polyport.importers.report import lines_of
from polyport.manifest.model import Action, PartnerFile

pytestmark = pytest.mark.anyio


def action_of(document: dict[str, Any], name: str = "make") -> Action:
    return Action.model_validate(built(document).actions[name], by_alias=True, by_name=False)


async def sent(schema: Any, data: dict[str, Any], **more: Any) -> Any:
    return (await run(action_of(taking(schema, **more)), data, {})).body


async def url_of(path: str, parameters: list[dict[str, Any]], data: dict[str, Any]) -> str:
    item = {"get": {"operationId": "ask", "parameters": parameters, "responses": {}}}
    return (await run(action_of(with_path(path, item), "ask"), data, {})).requests[-1].url.partition("/v1")[2]


def block(number: int) -> dict[str, Any]:
    word = f"b{number}"
    return {
        "title": f"Block {number}",
        "type": "object",
        "required": ["type", word],
        "properties": {"type": {"const": word}, word: {"type": "string"}},
    }


async def test_of_many_cases_each_can_be_sent() -> None:
    for number in (12, 13, 45):
        schema = {"type": "object", "required": ["block"], "properties": {"block": {"oneOf": [block(one) for one in range(number)]}}}
        last = f"block_{number - 1}"
        data = {"kind": last, f"b{number - 1}": "x"}
        given = {"block_kind": last, f"block_{last}": [{f"b{number - 1}": "x"}]} if number == 12 else {"block": [data]}
        assert await sent(schema, given) == {"block": {"type": f"b{number - 1}", f"b{number - 1}": "x"}}
    made = built(taking({"oneOf": [block(one) for one in range(70)]}))
    assert made.json_only == {"make": ["body"]}


async def test_many_cases_that_are_no_objects_are_json() -> None:
    cases = [{"type": "array", "items": {"type": "array", "items": {"type": "object", "properties": {f"p{n}": {}}}}} for n in range(13)]
    assert built(taking({"oneOf": cases})).json_only == {"make": ["body"]}


async def test_a_list_of_texts_or_objects_takes_both() -> None:
    person = {"type": "object", "properties": {"email": {"type": "string"}}}
    schema = {"type": "object", "properties": {"to": {"type": "array", "items": {"oneOf": [{"type": "string"}, person]}}}}
    assert await sent(schema, {"to": ["a@b.example", {"email": "c@d.example"}]}) == {"to": ["a@b.example", {"email": "c@d.example"}]}
    assert built(taking(schema)).json_only == {"make": ["to"]}


async def test_a_text_or_a_list_of_objects_is_a_choice_in_rows_too() -> None:
    part = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
    message = {"type": "object", "properties": {"content": {"oneOf": [{"type": "string"}, {"type": "array", "items": part}]}}}
    schema = {"type": "object", "properties": {"messages": {"type": "array", "items": message}}}
    rows = [{"content_kind": "string_1", "content_string_1": "hi"}, {"content_kind": "array_2", "content_array_2": [{"text": "ho"}]}]
    assert await sent(schema, {"messages": rows}) == {"messages": [{"content": "hi"}, {"content": [{"text": "ho"}]}]}


async def test_a_text_or_a_list_of_the_same_again_is_a_choice() -> None:
    document = taking({"type": "object", "properties": {"filters": {"$ref": "#/components/schemas/Filters"}}})
    words = {"type": "array", "items": {"oneOf": [{"type": "string"}, {"type": "integer"}]}}
    document["paths"]["/things"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["words"] = {
        "oneOf": [{"type": "string"}, words]
    }
    again = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/components/schemas/Filters"}}]}
    document["components"] = {"schemas": {"Filters": again}}
    data = {"filters_kind": "array_2", "filters_array_2": ["a", ["b", "c"]], "words": ["x"]}
    assert (await run(action_of(document), data, {})).body == {"filters": ["a", ["b", "c"]], "words": ["x"]}


async def test_a_schema_that_is_a_case_of_itself_is_taken_as_anything() -> None:
    document = taking({"$ref": "#/components/schemas/D"})
    again = {"$ref": "#/components/schemas/D"}
    document["components"] = {"schemas": {"D": {"oneOf": [again, {"type": "array", "items": again}]}}}
    assert (await run(action_of(document), {"body": [1, [2]]}, {})).body == [1, [2]]


async def test_of_two_unions_in_one_a_case_of_each_is_sent() -> None:
    def member(name: str) -> dict[str, Any]:
        return {"title": name, "type": "object", "required": [name], "properties": {name: {"type": "string"}}}

    by, to = {"oneOf": [member("card"), member("iban")]}, {"oneOf": [member("email"), member("phone")]}
    for schema in ({"allOf": [by, to]}, by | {"anyOf": to["oneOf"]}):
        assert await sent(schema, {"kind": "iban_phone", "iban_phone": [{"iban_": "DE", "phone_": "1"}]}) == {"iban": "DE", "phone": "1"}
    same = {"allOf": [by, by, {"oneOf": [*by["oneOf"], {"type": "null"}]}]}
    assert await sent(same, {"kind": "card", "card": [{"card": "1"}]}) == {"card": "1"}
    wide = {"allOf": [{"oneOf": [block(one) for one in range(7)]}, {"oneOf": [member(f"m{one}") for one in range(7)]}]}
    assert await sent(wide, {"kind": "block_3", "block_3": [{"b3": "x"}]}) == {"type": "b3", "b3": "x"}


async def test_an_object_that_may_be_left_out_is_not_sent_for_a_constant_in_it() -> None:
    inner = {"type": "object", "required": ["v"], "properties": {"v": {"const": 1}}}
    note = {"type": "object", "required": ["in"], "properties": {"in": inner, "text": {"type": "string"}}}
    schema = {"type": "object", "properties": {"note": note}}
    assert await sent(schema, {}) == {}
    assert await sent(schema, {"note": [{"text": "x"}]}) == {"note": {"in": {"v": 1}, "text": "x"}}


async def test_a_tuple_that_may_be_left_out_is_one_row_and_what_can_only_be_null_is_no_field() -> None:
    pair = {
        "type": "array",
        "prefixItems": [{"type": "string"}, {"type": "integer", "title": "Count"}],
        "minItems": 2,
        "description": "Two",
    }
    nothing = {"const": None}
    schema = {"type": "object", "required": ["n"], "properties": {"pair": pair, "n": nothing, "m": nothing}}
    assert await sent(schema, {}) == {"n": None}
    assert await sent(schema, {"pair": [{"value_1": "a", "Count": "2"}]}) == {"pair": ["a", 2], "n": None}
    assert await refused(action_of(taking(schema)), {"pair": [{"value_1": "a"}]}) == [("runnerData.pair[0].Count", "required")]
    assert built(taking(schema)).json_only == {}


async def test_values_that_stand_once_are_refused_where_they_stand_twice() -> None:
    texts = {"type": "array", "uniqueItems": True, "items": {"type": "string"}}
    schema = {"type": "object", "properties": {"a": texts, "b": texts | {"items": {}}}}
    assert await refused(action_of(taking(schema)), {"a": ["x", "y", "x"], "b": [{}, {}]}) == [("runnerData.a[2]", "duplicate_value")]


def test_rules_that_only_the_service_keeps_to_are_named() -> None:
    rows = {
        "type": "array",
        "uniqueItems": True,
        "items": {"type": "object", "properties": {"a": {"type": "string", "not": {"const": "x"}}}},
    }
    schema = {"type": "object", "properties": {"rows": rows}, "if": {}, "then": {}, "dependentRequired": {"rows": ["b"]}}
    found = imported(taking(schema)).report
    assert found["rules"] == {"make": ["a (not)", "body (if, dependentRequired)", "rows (uniqueItems)"]}
    shown = lines_of(found)
    assert shown[shown.index("Rules that the service alone keeps to (in 1 operation):") + 1].startswith("  make: a (not)")


async def test_two_demands_in_one_schema_are_both_kept_to() -> None:
    texts = {name: {"type": "string"} for name in "abcd"}
    demands = [{"anyOf": [{"required": [one]}, {"required": [other]}]} for one, other in ("ab", "cd")]
    action = action_of(taking({"type": "object", "properties": texts, "allOf": demands}))
    assert [code for _path, code in await refused(action, {"a": "x"})] == ["required"]
    assert await refused(action, {"a": "x", "d": "y"}) == []


async def test_a_schema_with_one_heir_is_typed_and_may_be_meant_itself() -> None:
    document = taking({"$ref": "#/components/schemas/Member"})
    member = {
        "type": "object",
        "required": ["email"],
        "properties": {"email": {"type": "string"}, "kind": {"type": "string"}},
        "discriminator": {"propertyName": "kind"},
    }
    vip = {"allOf": [{"$ref": "#/components/schemas/Member"}, {"required": ["level"], "properties": {"level": {"type": "integer"}}}]}
    document["components"] = {"schemas": {"Member": member, "Vip": vip}}
    assert (await run(action_of(document), {"email": "a"}, {})).body == {"email": "a"}
    assert (await run(action_of(document), {"email": "a", "kind": "Vip", "level": 3}, {})).body == {"email": "a", "kind": "Vip", "level": 3}
    twice = taking({"oneOf": [{"$ref": "#/components/schemas/One"}, {"$ref": "#/components/schemas/One"}]})
    twice["components"] = {"schemas": {"One": {"type": "object", "properties": {"a": {"type": "integer"}}}}}
    assert (await run(action_of(twice), {"a": 1}, {})).body == {"a": 1}


MAP = {"type": "object", "additionalProperties": {"type": "string"}}
COLOUR = {"type": "object", "required": ["r", "g"], "properties": {"r": {"type": "integer"}, "g": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("parameter", "data", "query"),
    [
        ({"style": "deepObject", "schema": MAP}, {"f": [{"key": "a b", "value": "1"}]}, "?f[a%20b]=1"),
        ({"style": "deepObject", "schema": {"type": "object"}}, {"f": {"a": {"b": [1, 2]}}}, "?f[a][b][]=1&f[a][b][]=2"),
        ({"schema": MAP}, {"f": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]}, "?a=1&b=2"),
        ({"schema": MAP, "explode": False}, {"f": {"a": 1}}, "?f=%7B%22a%22%3A1%7D"),
        (
            {"schema": {"type": "object", "additionalProperties": MAP}},
            {"f": {"a": {"b": "c"}}},
            "?f=%7B%22a%22%3A%7B%22b%22%3A%22c%22%7D%7D",
        ),
    ],
)
async def test_maps_in_a_query_are_written_as_their_style_has_it(parameter: Any, data: Any, query: str) -> None:
    assert await url_of("/q", [{"name": "f", "in": "query", **parameter}], data) == f"/q{query}"


async def test_of_two_free_maps_one_stands_side_by_side_and_one_that_is_read_only_nowhere() -> None:
    free = [{"name": name, "in": "query", "schema": MAP | more} for name, more in (("f", {}), ("g", {}), ("h", {"readOnly": True}))]
    assert (
        await url_of("/q", free, {"f": [{"key": "a", "value": "1"}], "g": [{"key_": "b", "value_": "2"}]})
        == "/q?a=1&g=%7B%22b%22%3A%222%22%7D"
    )


@pytest.mark.parametrize(
    ("style", "explode", "path"),
    [
        ("simple", False, "r,1,g,2"),
        ("simple", True, "r=1,g=2"),
        ("label", False, ".r,1,g,2"),
        ("label", True, ".r=1.g=2"),
        ("matrix", False, ";c=r,1,g,2"),
        ("matrix", True, ";r=1;g=2"),
    ],
)
async def test_objects_in_a_path_are_written_as_their_style_has_it(style: str, explode: bool, path: str) -> None:
    parameter = {"name": "c", "in": "path", "required": True, "style": style, "explode": explode, "schema": COLOUR}
    assert await url_of("/p/{c}", [parameter], {"c_r": 1, "c_g": 2}) == f"/p/{path}"


async def test_an_object_in_a_header_is_a_text_of_pairs_and_a_list_in_the_matrix_style_has_one_element() -> None:
    header = {"name": "X-At", "in": "header", "explode": True, "schema": COLOUR}
    colours = {"type": "array", "minItems": 1, "items": {"type": "string"}}
    several = {"name": "c", "in": "path", "required": True, "style": "matrix", "explode": True, "schema": colours}
    made = built(with_path("/p/{c}", {"get": {"operationId": "ask", "parameters": [header, several], "responses": {}}}))
    action = Action.model_validate(made.actions["ask"], by_alias=True, by_name=False)
    found = await run(action, {"X-At": "r=1,g=2", "c": ["red"]}, {})
    assert found.requests[-1].header("X-At") == "r=1,g=2"
    assert found.requests[-1].url.endswith("/p/;c=red")
    assert await refused(action, {"c": [""]}) == [("runnerData.c[0]", "too_short")]
    assert await refused(action, {"X-At": "red", "c": ["red", "blue"]}) == [
        ("runnerData.c", "too_many"),
        ("runnerData.X-At", "wrong_format"),
    ]
    assert [left.why for left in made.left] == ["Of a list in this style (matrix, explode) one element alone can be sent."]


async def test_lists_of_swaggers_forms_are_joined_as_they_say() -> None:
    parameters = [
        {"name": name, "in": "formData", "type": "array", "items": {"type": "string"}, "collectionFormat": name}
        for name in ("csv", "ssv", "pipes", "multi")
    ]
    operation = {"operationId": "make", "consumes": ["application/x-www-form-urlencoded"], "parameters": parameters, "responses": {}}
    document = {"swagger": "2.0", "info": {}, "host": "api.example.com", "paths": {"/q": {"post": operation}}}
    found = await run(action_of(document), {name: ["a", "b"] for name in ("csv", "ssv", "pipes", "multi")}, {})
    assert found.requests[-1].body == b"csv=a%2Cb&ssv=a+b&pipes=a%7Cb&multi=a&multi=b"


ORDER = {
    "type": "object",
    "xml": {"name": "order", "prefix": "o", "namespace": "urn:orders"},
    "required": ["total"],
    "properties": {
        "number": {"type": "integer", "xml": {"attribute": True}},
        "lines": {
            "type": "array",
            "xml": {"wrapped": True},
            "items": {"type": "object", "xml": {"name": "line"}, "properties": {"sku": {"type": "string"}}},
        },
        "tags": {"type": "array", "xml": {"name": "not this"}, "items": {"type": "string", "xml": {"name": "tag"}}},
        "buyer": {"type": "object", "xml": {"namespace": "urn:buyers"}, "properties": {"name": {"type": "string", "xml": {"name": "n"}}}},
        "total": {"type": "number"},
    },
}


async def test_xml_is_made_of_fields_and_read_into_them() -> None:
    answers = {"responses": {"200": {"content": {"text/xml": {"schema": ORDER}}}}}
    document = taking(ORDER, "application/xml")
    document["paths"]["/things"]["post"] |= answers
    action = action_of(document)
    given = {"number": 7, "lines_line": [{"sku": "a"}, {"sku": "b"}], "tag": ["x"], "buyer": [{"n": "Ada"}], "total": 1.5}
    reply = b'<ns:order xmlns:ns="urn:orders" number="8"><lines><line><sku>c</sku></line></lines><tag>y</tag><buyer><n>Bo</n></buyer><total>2</total></ns:order>'
    found = await run(action, given, reply)
    request = found.requests[-1]
    assert request.header("content-type") == "application/xml"
    assert (request.body or b"").partition(b"\n")[2] == (
        b'<o:order xmlns:o="urn:orders" number="7"><lines><line><sku>a</sku></line><line><sku>b</sku></line></lines><tag>x</tag>'
        b'<buyer xmlns="urn:buyers"><n>Ada</n></buyer><total>1.5</total></o:order>'
    )
    result = {name: value for name, value in found.result.items() if name in {"buyer_n", "total", "tag"}}
    assert result == {"buyer_n": "Bo", "total": 2, "tag": ["y"]}
    assert found.result["number"] == 8
    assert [list(row.values()) for row in next(value for name, value in found.result.items() if name.startswith("lines"))] == [["c"]]
    assert "number" not in (await run(action, given, b"")).result


async def test_xml_whose_outermost_element_is_a_list_or_varies_is_read_too() -> None:
    things = {
        "type": "array",
        "xml": {"name": "things"},
        "items": {"type": "object", "xml": {"name": "thing"}, "properties": {"id": {"type": "integer"}}},
    }
    item = {"get": {"operationId": "ask", "responses": {"200": {"content": {"application/xml": {"schema": things}}}}}}
    found = await run(action_of(with_path("/x", item), "ask"), {}, b"<whatever><thing><id>1</id></thing></whatever>")
    assert found.result == {"thing": [{"id": 1}]}
    item["get"]["responses"]["200"]["content"]["application/xml"]["schema"] = {"type": "object"}
    found = await run(action_of(with_path("/x", item), "ask"), {}, b"<a><b>1</b></a>")
    assert found.result == {"value": {"a": {"b": "1"}}}


async def test_xml_of_which_all_may_be_left_out_is_one_section_or_nothing() -> None:
    node: dict[str, Any] = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}
    action = action_of(taking(node, required=False, content={"application/xml": {"schema": node}}))
    assert (await run(action, {"body": [{"a": "x"}]}, {})).requests[
        -1
    ].body == b'<?xml version="1.0" encoding="utf-8"?>\n<root><a>x</a></root>'
    only = {"type": "object", "properties": {"id": {"type": "string", "readOnly": True}}}
    assert action_of(taking(only, "application/xml")).steps[0].body in (None, {"root": {}})


KEY = {"type": "apiKey", "in": "header", "name": "X-Key"}
FLOW = {"authorizationUrl": "https://x.example/a", "tokenUrl": "https://x.example/t", "refreshUrl": "https://x.example/r", "scopes": {}}
SCHEMES = {
    "key": KEY,
    "basic": {"type": "http", "scheme": "basic"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "login": {"type": "oauth2", "flows": {"authorizationCode": FLOW}},
    "aws": {"type": "apiKey", "in": "header", "name": "Authorization", "x-amazon-apigateway-authtype": "awsSigv4"},
}


@pytest.mark.parametrize(("names", "kind"), [(["basic", "key"], "basic"), (["bearer", "key"], "bearer"), (["key", "login"], "oauth2")])
def test_a_key_goes_along_with_another_way_of_authorisation(names: list[str], kind: str) -> None:
    document = pets(components=pets()["components"] | {"securitySchemes": SCHEMES})
    del document["security"]
    document["paths"] = dict(document["paths"])
    path, item = next(iter(document["paths"].items()))
    document["paths"][path] = {
        method: told | {"security": [{name: [] for name in names}]} if isinstance(told, dict) else told for method, told in item.items()
    }
    made = built(document)
    choice = made.access.choices[0]
    assert choice["scheme"]["kind"] == kind
    placed = choice["scheme"].get("also") or choice["scheme"]["place"][1:]
    assert placed == [{"in": "header", "param": "X-Key", "value": "{{connection.key}}"}]
    assert "key" in [field["name"] for field in choice["fields"]]
    PartnerFile.model_validate(made.partner, by_alias=True, by_name=False)


@pytest.mark.parametrize(
    ("around", "own", "signed"),
    [
        ([{"key": []}], [{}, {"key": []}], True),
        ([{"key": []}], [], False),
        ([{"key": []}], [{}], False),
        ([], None, True),
        (None, None, True),
    ],
)
def test_a_connection_signs_what_may_be_signed(around: Any, own: Any, signed: bool) -> None:
    item = {"get": {"operationId": "ask", "responses": {}} | ({} if own is None else {"security": own})}
    document = with_path("/q", item) | {"components": {"securitySchemes": {"key": KEY}}}
    document = {name: told for name, told in document.items() if name != "security"} | ({} if around is None else {"security": around})
    assert built(document).actions["ask"]["call"].get("auth", True) is signed


def test_requests_of_aws_are_signed_and_a_refresh_has_its_own_address() -> None:
    made = built(pets(components=pets()["components"] | {"securitySchemes": SCHEMES}, security=[{"aws": []}, {"aws": [], "key": []}]))
    schemes = {choice["name"]: choice["scheme"] for choice in made.access.choices}
    assert schemes["aws"]["kind"] == "sigv4"
    assert schemes["login"]["refreshUrl"] == "https://x.example/r"
    assert ("header", "X-Amz-Date") in made.access.hidden
    assert [left.what for left in made.left] == ["aws"]
    PartnerFile.model_validate(made.partner, by_alias=True, by_name=False)


@pytest.mark.parametrize(
    ("server", "base", "asked"),
    [
        ({"url": "/api/{v}"}, '{{connection.base_url | replace_pattern: "/+$"}}/api/{{connection.v}}', ["base_url", "v"]),
        ({"url": "{host}/v1"}, '{{connection.host | replace_pattern: "/+$"}}/v1', ["host"]),
        ({"url": "{host}/v1", "variables": {"host": {"default": "a.example"}}}, "https://{{connection.host}}/v1", ["host"]),
        ({"url": "{host}", "variables": {"host": {"default": "https://a.example"}}}, "{{connection.host}}", ["host"]),
        ({"url": "{scheme}://{host}:{port}/v1"}, "https://{{connection.host}}:{{connection.port}}/v1", ["host", "port"]),
        ({"url": "https://<dc>.a.example/3.0"}, "https://{{connection.dc}}.a.example/3.0", ["dc"]),
        ({"url": "https://my host/v1"}, "{{connection.base_url}}", ["base_url"]),
        ({"url": "https://[::1]/v1"}, "https://[::1]/v1", []),
    ],
)
def test_what_varies_in_an_address_is_asked_for_and_the_rest_stays(server: Any, base: str, asked: list[str]) -> None:
    made = built(pets(servers=[server]))
    assert made.access.base == base
    assert [field["name"] for field in made.access.fields] == asked
    PartnerFile.model_validate(made.partner, by_alias=True, by_name=False)


def test_an_operation_at_a_relative_server_is_called_there_or_left_out() -> None:
    document = pets(servers=[{"url": "/v1"}])
    document["paths"] = document["paths"] | {
        "/up": {"servers": [{"url": "/up"}], "post": {"operationId": "up", "responses": {}}},
        "/top": {"get": {"operationId": "top", "servers": [{"url": "/"}], "responses": {}}},
        "/same": {"get": {"operationId": "same", "servers": [{"url": "/v1"}], "responses": {}}},
    }
    made = built(document)
    assert {"same"} == {"up", "top", "same"} & made.actions.keys()
    assert [left.what for left in made.left] == ["GET /top", "POST /up"]
    made = built(document, base="https://api.example/v1")
    assert (made.actions["up"]["call"]["url"], made.actions["top"]["call"]["url"]) == (
        "https://api.example/up/up",
        "https://api.example/top",
    )


def test_pages_that_an_object_in_the_query_asks_for_are_turned() -> None:
    page = {"type": "object", "properties": {"size": {"type": "integer"}, "after": {"type": "string"}, "before": {"type": "string"}}}
    item = {"type": "object", "properties": {"id": {"type": "string"}, "name": {"type": "string"}, "created_at": {"type": "string"}}}
    answer = {"type": "object", "properties": {"things": {"type": "array", "items": item}}}
    version = {"name": "X-Version", "in": "header", "required": True, "schema": {"const": "2"}}
    listing = {
        "operationId": "list_things",
        "parameters": [{"name": "page", "in": "query", "style": "deepObject", "schema": page}, version],
        "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
    }
    single = {
        "operationId": "get_thing",
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
        "responses": {},
    }
    document = with_path("/things", {"get": listing})
    document["paths"]["/things/{id}"] = {"get": single}

    answer["properties"] |= {"meta": {"type": "object", "properties": {"after_cursor": {"type": "string"}}}}
    made = built(document)
    wanted = {"page": {"before": "{{page_before}}"}, "page[size]": "{{page.size}}", "page[after]": "{{page.cursor}}"}
    assert made.triggers["new_things"]["call"]["query"] == wanted
    assert [field["name"] for field in made.triggers["new_things"]["fields"]] == ["page_before"]
    assert made.triggers["new_things"]["pager"] == {"kind": "cursor", "next": ["meta", "after_cursor"], "size": 100}
    assert made.lists["things"]["call"]["headers"] == {"X-Version": "2"}

    answer["properties"]["links"] = {"type": "object", "properties": {"next": {"type": "string"}}}
    del answer["properties"]["meta"], page["properties"]["before"]
    made = built(document)
    assert made.triggers["new_things"]["pager"] == {"kind": "next_url", "next": ["links", "next"], "size": 100}


@pytest.mark.parametrize(
    ("schema", "hint"),
    [
        ({"type": "integer", "default": 20}, "Default: 20"),
        ({"type": "number", "default": 0.5, "description": "How much."}, "How much. Default: 0.5"),
        ({"type": "boolean", "default": False}, "Default: false"),
        ({"type": "string", "enum": ["US", "POST", "go_on"], "default": "go_on"}, "Default: Go on"),
        ({"type": "string", "default": "a"}, "Default: a"),
        ({"type": "integer", "default": "x"}, None),
        ({"type": "string", "default": True}, None),
        ({"type": "integer", "default": True}, None),
    ],
)
def test_what_the_service_takes_where_nothing_is_given_is_said(schema: Any, hint: str | None) -> None:
    field = action_of(taking({"type": "object", "properties": {"a": schema}})).fields[0]
    assert field.hint == hint
    assert [option.label for option in field.options or ()] == (["US", "POST", "Go on"] if "enum" in schema else [])
