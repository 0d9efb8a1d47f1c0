"""What generators of descriptions write, and what comes of it: choices that a word tells apart, samples, tuples, references by name, parts of several kinds."""

from typing import Any

import pytest

from acting import refused, run
from petshop import built, imported, taking, with_path
from polyport.importers.references import Dangling, References
from polyport.importers.samples import NONE, Samples
from polyport.importers.views import Views
from polyport.manifest.model import Action

pytestmark = pytest.mark.anyio

CAT = {"type": "object", "required": ["pet", "lives"], "properties": {"pet": {"type": "string"}, "lives": {"type": "integer"}}}
DOG = {"type": "object", "properties": {"pet": {"type": "string"}, "bark": {"type": "boolean"}}}
EITHER = {"oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}], "discriminator": {"propertyName": "pet"}}


def document_of(schema: Any, media: str = "application/json", body: dict[str, Any] | None = None, **schemas: Any) -> dict[str, Any]:
    made = taking(schema, media, **(body or {}))
    made["components"] = {"schemas": {"Cat": CAT, "Dog": DOG} | schemas}
    return made


def action_of(document: dict[str, Any]) -> Action:
    return Action.model_validate(built(document).actions["make"], by_alias=True, by_name=False)


async def sent(document: dict[str, Any], data: dict[str, Any]) -> Any:
    return (await run(action_of(document), data, {})).body


async def test_the_word_that_tells_a_case_is_sent_by_itself() -> None:
    mapped = EITHER | {"discriminator": {"propertyName": "pet", "mapping": {"miaow": "#/components/schemas/Cat", "woof": "Dog"}}}
    assert await sent(document_of(mapped), {"kind": "cat", "cat": [{"lives": 9}]}) == {"pet": "miaow", "lives": 9}
    assert await sent(document_of(EITHER), {"kind": "dog", "dog": [{"bark": True}]}) == {"pet": "Dog", "bark": True}
    rows = {"type": "object", "properties": {"pets": {"type": "array", "items": mapped}}}
    assert await sent(document_of(rows), {"pets": [{"kind": "dog", "bark": "no"}, {"kind": "cat", "lives": 1}]}) == {
        "pets": [{"pet": "woof", "bark": False}, {"pet": "miaow", "lives": 1}]
    }
    assert await refused(action_of(document_of(EITHER)), {"kind": "cat", "cat": [{"pet": "Dog", "lives": 1}]}) == [
        ("runnerData.cat[0].pet", "unknown_option")
    ]


async def test_a_word_that_the_member_may_not_be_is_not_sent() -> None:
    base = {
        "type": "object",
        "required": ["by"],
        "properties": {"by": {"type": "string", "enum": ["team", "user"]}},
        "discriminator": {"propertyName": "by"},
    }
    team = {"allOf": [{"$ref": "#/components/schemas/Who"}, {"properties": {"id": {"type": "string"}}}]}
    document = document_of(
        {"$ref": "#/components/schemas/Who"}, Who=base, TeamRecipient=team, Other={"allOf": [{"$ref": "#/components/schemas/Who"}]}
    )
    assert await sent(document, {"kind": "team_recipient", "team_recipient": [{"by": "team", "id": "7"}]}) == {"by": "team", "id": "7"}


async def test_what_all_cases_share_is_not_sent_without_a_case_that_needs_more() -> None:
    schema = {
        "type": "object",
        "properties": {"note": {"type": "string"}},
        "oneOf": [{"title": "One", "type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}],
    }
    schema["oneOf"].append({"title": "Two", "type": "object", "properties": {"b": {"type": "integer"}}})
    document = document_of(schema, body={"required": False, "content": {"application/json": {"schema": schema}}})
    assert await sent(document, {}) is None
    assert await sent(document, {"kind": "one", "one": [{"a": 1, "note": "n"}]}) == {"a": 1, "note": "n"}


async def test_the_heirs_of_a_schema_are_its_cases() -> None:
    base = {"type": "object", "required": ["by"], "properties": {"by": {"type": "string"}}, "discriminator": {"propertyName": "by"}}
    card = {"allOf": [{"$ref": "#/components/schemas/Pay"}, {"required": ["number"], "properties": {"number": {"type": "string"}}}]}
    azure = {
        "allOf": [{"$ref": "#/components/schemas/Pay"}],
        "x-ms-discriminator-value": "#Cash",
        "properties": {"coins": {"type": "integer"}},
    }
    document = document_of({"$ref": "#/components/schemas/Pay"}, Pay=base, Card=card, Cash=azure)
    assert await sent(document, {"kind": "card", "card": [{"number": "7"}]}) == {"by": "Card", "number": "7"}
    assert await sent(document, {"kind": "cash", "cash": [{"coins": 2}]}) == {"by": "#Cash", "coins": 2}


async def test_a_number_or_one_of_some_texts_is_a_choice_in_json_and_a_text_in_a_query() -> None:
    schema = {"anyOf": [{"type": "string", "enum": ["max"]}, {"type": "integer", "minimum": 1}]}
    document = document_of(
        {"type": "object", "properties": {"n": schema, "rows": {"type": "array", "items": {"type": "object", "properties": {"n": schema}}}}}
    )
    assert await sent(document, {"n_kind": "integer_2", "n_integer_2": 7, "rows": [{"n_kind_": "string_1", "n_string_1_": "max"}]}) == {
        "n": 7,
        "rows": [{"n": "max"}],
    }
    action = built(
        with_path("/q", {"get": {"operationId": "ask", "parameters": [{"name": "n", "in": "query", "schema": schema}], "responses": {}}})
    ).actions["ask"]
    assert [field["type"] for field in action["fields"]] == ["string"]


async def test_tuples_have_a_field_for_each_place() -> None:
    pair = {"type": "array", "prefixItems": [{"type": "number"}, {"type": "string"}], "minItems": 2}
    assert await sent(document_of(pair), {"items_n_1": 1.5, "items_n_2": "x"}) == [1.5, "x"]
    rows = {"type": "object", "properties": {"l": {"type": "array", "items": pair}}}
    assert await sent(document_of(rows), {"l": [{"value_1": 1, "value_2": "x"}]}) == {"l": [[1, "x"]]}


async def test_what_the_document_gives_as_an_example_is_shown_at_its_fields() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "in": {"type": "object", "properties": {"b": {"type": "integer"}}},
            "c": {"type": "string", "examples": ["see"]},
            "e": {"enum": ["x", "y"]},
        },
    }
    example = {"a": "ay", "in": {"b": 7}, "e": "no choice"}
    document = document_of(schema, body={"content": {"application/json": {"schema": schema, "example": example}}})
    fields = {field.name: field.sample for field in action_of(document).fields}
    assert fields == {"a": "ay", "in_b": 7, "c": "see", "e": None}


async def test_a_field_for_json_shows_a_value_that_fits() -> None:
    wide = {
        "type": "object",
        "required": ["p1", "when"],
        "properties": {f"p{n}": {"type": "string", "maxLength": 2} for n in range(900)} | {"when": {"type": "string", "format": "date"}},
    }
    action = action_of(document_of({"type": "object", "properties": {"wide": wide}}))
    assert action.fields[0].type == "object"
    assert action.fields[0].sample["p1"] == "te"
    assert action.fields[0].sample["when"] == "2026-11-24"


LEAST = [
    ({"type": "string", "pattern": "^[A-Z]{3}$"}, "USD"),
    ({"type": "string", "pattern": "^nothing else will do$"}, NONE),
    ({"type": "integer", "minimum": 5, "maximum": 5}, 5),
    ({"type": "number", "multipleOf": 10, "minimum": 11}, 20),
    ({"type": "array", "minItems": 2, "items": {"type": "boolean"}}, [True, True]),
    ({"type": "array", "prefixItems": [{"type": "integer"}, {"const": "x"}]}, [1, "x"]),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, {"key": 1}),
    (EITHER, {"pet": "Cat", "lives": 1}),
    ({"type": "object", "required": ["me"], "properties": {"me": {"$ref": "#/components/schemas/Loop"}}}, NONE),
    (
        {"required": ["by"], "properties": {"by": {"type": "string"}}, "oneOf": [{"$ref": "#/components/schemas/Dog"}]} | EITHER,
        {"by": "text", "pet": "Cat", "lives": 1},
    ),
    ({"type": "string", "example": "shown"}, "shown"),
    (
        {
            "type": "object",
            "required": ["id"],
            "properties": {"id": {"type": "string", "readOnly": True}, "a": {"type": "string", "default": "dd"}},
        },
        {"a": "dd"},
    ),
]


@pytest.mark.parametrize(("schema", "value"), LEAST)
def test_the_least_value_of_a_schema_fits_it(schema: Any, value: Any) -> None:
    loop = {"type": "object", "required": ["me"], "properties": {"me": {"$ref": "#/components/schemas/Loop"}}}
    views = Views(References({"components": {"schemas": {"Cat": CAT, "Dog": DOG, "Loop": loop}}}))
    samples = Samples(views)
    made = samples.fitting(views.look(schema), NONE)
    assert made == value
    assert made is NONE or samples.fits(views.look(schema), made)


@pytest.mark.parametrize(
    "wrong", [{"pet": 7, "lives": 1}, {"pet": "x"}, {"pet": "x", "lives": 1, "more": 1}, [], None, {"pet": "x", "lives": True}]
)
def test_an_example_that_does_not_fit_is_not_shown(wrong: Any) -> None:
    views = Views(References({}))
    assert not Samples(views).fits(views.look(CAT), wrong)


def test_bounds_that_are_not_allowed_themselves_are_refused() -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "number", "minimum": 0, "exclusiveMinimum": True}, "i": {"type": "integer", "exclusiveMaximum": 9}},
    }
    fields = {field.name: (field.min, field.max) for field in action_of(document_of(schema)).fields}
    assert fields == {"n": (1e-9, None), "i": (None, 8)}


async def test_steps_of_numbers_and_patterns_in_texts_are_kept_unless_the_examples_do_not() -> None:
    schema = {
        "type": "object",
        "properties": {
            "price": {"type": "number", "multipleOf": 0.01, "example": 4.35},
            "rate": {"type": "number", "multipleOf": 0.5, "examples": [0.3]},
            "dozens": {"type": "integer", "multipleOf": 12, "minimum": 1},
            "one": {"type": "integer", "multipleOf": 1},
            "odd": {"type": "number", "multipleOf": -2},
            "mask": {"type": "string", "format": "regex"},
            "glob": {"type": "string", "format": "regex", "example": "*.txt"},
        },
    }
    action = action_of(document_of(schema))
    told = {field.name: field.multiple_of or field.format for field in action.fields}
    assert told == {"price": 0.01, "rate": None, "dozens": 12, "one": None, "odd": None, "mask": "regex", "glob": None}
    found = await refused(action, {"price": 4.355, "dozens": 6, "mask": "(", "rate": 0.3, "glob": "*"})
    assert sorted(found) == [("runnerData.dozens", "wrong_step"), ("runnerData.mask", "wrong_format"), ("runnerData.price", "wrong_step")]


async def test_references_by_name_are_found() -> None:
    schemas = {
        "A": {
            "$anchor": "here",
            "type": "object",
            "required": ["a"],
            "properties": {"a": {"type": "integer"}, "more": {"$dynamicRef": "#here"}},
        },
        "B": {"$id": "https://x.example/b", "type": "object", "properties": {"b": {"type": "boolean"}}},
        "C": {"type": "object", "properties": {"c": {"$ref": "#/$defs/D"}}, "$defs": {"D": {"type": "string", "enum": ["d"]}}},
    }
    whole = {
        "type": "object",
        "required": ["a"],
        "properties": {"a": {"$ref": "#here"}, "b": {"$ref": "https://x.example/b"}, "c": {"$ref": "#/components/schemas/C"}},
    }
    made = built(document_of(whole, **schemas))
    assert made.left == []
    assert await sent(document_of(whole, **schemas), {"a_a": 1, "a_more": [{"a": 2}], "b_b": True, "c_c": "d"}) == {
        "a": {"a": 1, "more": {"a": 2}},
        "b": {"b": True},
        "c": {"c": "d"},
    }
    for reference in ("#nowhere", "#/$defs/None", "https://x.example/none"):
        with pytest.raises(Dangling):
            References({"components": schemas}).resolve(reference)


async def test_parts_of_a_body_are_json_files_and_repeated_names() -> None:
    schema = {
        "type": "object",
        "required": ["meta"],
        "properties": {
            "meta": {"type": "object", "required": ["t"], "properties": {"t": {"type": "string"}}},
            "tags": {"type": "array", "items": {"type": "string"}},
            "deep": {"type": "object", "properties": {"x": {"type": "string"}}},
        },
    }
    body = {"content": {"multipart/form-data": {"schema": schema, "encoding": {"deep": {"style": "deepObject"}}}}}
    action = action_of(document_of(schema, "multipart/form-data", body=body))
    found = await run(action, {"meta": [{"t": "1"}], "tags": ["a", "b"], "deep_x": "y"}, {})
    content = (found.requests[-1].body or b"").decode()
    assert 'name="meta"\r\n\r\n{"t":"1"}\r\n' in content
    assert content.count('name="tags"\r\n') == 2
    assert 'name="deep[x]"\r\n\r\ny' in content


def with_parameters(*parameters: dict[str, Any], path: str = "/q", **more: Any) -> dict[str, Any]:
    return with_path(path, {"get": {"operationId": "ask", "parameters": list(parameters), "responses": {}} | more})


async def asked(document: dict[str, Any], data: dict[str, Any]) -> Any:
    action = Action.model_validate(built(document).actions["ask"], by_alias=True, by_name=False)
    return (await run(action, data, {})).requests[-1]


async def test_parameters_stand_where_their_style_says() -> None:
    text = {"type": "string"}
    path = with_parameters(
        {"name": "m", "in": "path", "style": "matrix", "schema": text},
        {"name": "l", "in": "path", "style": "label", "schema": text},
        path="/x/{m}/{l}/{rest+}",
    )
    assert (await asked(path, {"m": "1", "l": "2", "rest": "a/b"})).url.endswith("/x/;m=1/.2/a/b")
    cookies = with_parameters(*({"name": name, "in": "cookie", "required": name != "c", "schema": text} for name in "abc"))
    assert (await asked(cookies, {"a": "1", "b": "2"})).header("Cookie") == "a=1; b=2"
    assert [left.what for left in built(cookies).left] == ["the cookie c of GET /q"]
    assert [left.what for left in built(with_parameters({"name": "X Y", "in": "header", "schema": text})).left] == [
        "the header X Y of GET /q"
    ]
    joined = {"name": "o", "in": "query", "explode": False, "schema": {"type": "object", "properties": {"a": text}}}
    assert (await asked(with_parameters(joined), {"o": "a,1"})).url.endswith("?o=a%2C1")
    page = {"type": "object", "properties": {"page": {"type": "integer", "default": 0}, "sort": text}}
    assert (await asked(with_parameters({"name": "p", "in": "query", "required": True, "schema": page}), {})).url.endswith("?page=0")


@pytest.mark.parametrize(
    ("servers", "url"),
    [
        ([{"url": "https://{zone}.up.example", "variables": {"zone": {"default": "eu"}}}], "https://eu.up.example/q"),
        ([{"url": "/v2"}], "https://one.example/v2/q"),
        ([{"url": "http://plain.example/"}], "http://plain.example/q"),
    ],
)
async def test_an_operation_may_stand_at_a_server_of_its_own(servers: Any, url: str) -> None:
    document = with_parameters(servers=servers) | {"servers": [{"url": "https://one.example/v1"}]}
    assert (await asked(document, {})).url == url


def test_what_is_not_sent_is_named() -> None:
    content = {"application/json": {"schema": {"type": "object", "properties": {"q": {"type": "string"}}}}}
    assert [left.what for left in built(with_parameters(requestBody={"content": content})).left] == ["the body of GET /q"]
    varying = with_parameters(servers=[{"url": "https://{nobody}.example"}])
    assert [(left.what, "address varies" in left.why) for left in built(varying).left] == [("GET /q", True)]


async def test_the_content_of_a_body_may_stand_elsewhere() -> None:
    document = document_of({})
    document["components"]["mediaTypes"] = {"all": {"application/json": {"schema": CAT}}}
    document["paths"]["/things"]["post"]["requestBody"]["content"] = {"$ref": "#/components/mediaTypes/all"}
    assert await sent(document, {"pet": "x", "lives": 1}) == {"pet": "x", "lives": 1}


def test_hosts_and_paths_of_azure_are_read() -> None:
    made = built(
        {
            "swagger": "2.0",
            "info": {"title": "A", "version": "1"},
            "x-ms-parameterized-host": {
                "hostTemplate": "{account}.{suffix}",
                "parameters": [{"name": "account", "in": "path", "type": "string"}, {"$ref": "#/parameters/Suffix"}, {"$ref": "#/none"}],
            },
            "parameters": {"Suffix": {"name": "suffix", "in": "path", "type": "string", "default": "core.example"}},
            "paths": {},
            "x-ms-paths": {"/stores?comp=list": {"get": {"operationId": "list", "responses": {}}}},
        }
    )
    assert made.access.base == "https://{{connection.account}}.{{connection.suffix}}"
    assert made.actions["list"]["call"]["query"] == {"comp": "list"}


def test_webhooks_and_methods_that_stand_for_all_are_named_as_left_out() -> None:
    document = with_path("/all", {"x-amazon-apigateway-any-method": {"responses": {}}})
    document["webhooks"] = {"petCame": {"post": {"responses": {}}}}
    report = imported(document).report
    assert [(one["pointer"], one["what"]) for one in report["leftOut"]] == [
        ("#/paths/~1all/x-amazon-apigateway-any-method", "ANY /all"),
        ("#/webhooks/petCame", "the webhook petCame"),
    ]
    assert report["counts"]["leftOut"] == 1


def test_methods_that_are_not_known_are_named_as_left_out() -> None:
    told = {"responses": {}}
    document = with_path("/found", {"get": told, "query": told, "additionalOperations": {"COPY": told, "Link": told}}) | {
        "openapi": "3.2.0"
    }
    assert [left["what"] for left in imported(document).report["leftOut"]] == ["QUERY /found", "COPY /found", "LINK /found"]


async def test_a_choice_that_is_called_like_what_stands_in_its_rows_is_called_otherwise() -> None:
    case = {"type": "object", "required": ["kind", "sku"], "properties": {"kind": {"type": "string"}, "sku": {"type": "string"}}}
    other = {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string"}, "text": {"type": "string"}}}
    lines = {
        "oneOf": [{"$ref": "#/components/schemas/Item"}, {"$ref": "#/components/schemas/Text"}],
        "discriminator": {"propertyName": "kind", "mapping": {"item": "Item", "text": "Text"}},
    }
    schema = {"type": "object", "properties": {"lines": {"type": "array", "items": lines}}}
    action = action_of(document_of(schema, Item=case, Text=other))
    rows = [{"which_kind": "item", "sku": "X"}, {"which_kind": "text", "text": "hello"}]
    assert (await run(action, {"lines": rows}, {})).body == {"lines": [{"kind": "item", "sku": "X"}, {"kind": "text", "text": "hello"}]}
    assert await refused(action, {"lines": [{"which_kind": "item"}]}) == [("runnerData.lines[0].sku", "required")]


async def test_a_map_of_one_of_several_objects_is_rows_with_a_choice() -> None:
    schema = {"type": "object", "properties": {"pets": {"type": "object", "additionalProperties": EITHER}}}
    action = action_of(document_of(schema))
    rows = [{"key": "tom", "kind": "cat", "lives": 9}, {"key": "rex", "kind": "dog", "bark": True}]
    assert (await run(action, {"pets": rows}, {})).body == {
        "pets": {"tom": {"pet": "Cat", "lives": 9}, "rex": {"pet": "Dog", "bark": True}}
    }
    assert await refused(action, {"pets": [{"key": "tom", "kind": "cat", "bark": True}]}) == [
        ("runnerData.pets[0].lives", "required"),
        ("runnerData.pets[0].bark", "not_applicable"),
    ]


async def test_a_path_in_another_script_is_sent_as_an_address_has_it() -> None:
    told = {"parameters": [{"name": "größe", "in": "path", "required": True, "schema": {"type": "string"}}], "responses": {}}
    action = built(with_path("/größe x/{größe}/100%25:go", {"delete": told})).actions["delete_gr_e_x_100_25_go"]
    made = Action.model_validate(action, by_alias=True, by_name=False)
    assert (await run(made, {"gr_e": "süß"}, {})).requests[-1].url.endswith("/gr%C3%B6%C3%9Fe%20x/s%C3%BC%C3%9F/100%25:go")
