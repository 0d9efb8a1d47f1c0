"""What is legal in descriptions and seldom written: each of these was read wrongly once."""

from __future__ import annotations

from typing import Any

import pytest

from acting import refused, run
from petshop import built, imported, taking, with_path
from polyport.importers.calls import CallMaker, Made
from polyport.importers.documents import read_document
from polyport.manifest.model import Action

pytestmark = pytest.mark.anyio
TEXT = {"type": "string"}
NUMBER = {"type": "integer"}


def action_of(document: dict[str, Any], name: str = "make") -> Action:
    return Action.model_validate(built(document).actions[name], by_alias=True, by_name=False)


def object_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(("explode", "good", "bad"), [(True, "r=1,g=2", "r,1"), (False, "r,1,g,2", "r=1"), (True, "r=1", "x=1")])
async def test_an_object_in_a_path_is_a_text_of_its_names_and_values(explode: bool, good: str, bad: str) -> None:
    place = {"name": "o", "in": "path", "required": True, "explode": explode, "schema": object_of(r=NUMBER, g=NUMBER)}
    action = action_of(with_path("/x/{o}", {"get": {"operationId": "make", "parameters": [place], "responses": {}}}))
    assert "Names and values" in str(action.fields[0].hint)
    assert await refused(action, {"o": good}) == []
    assert await refused(action, {"o": bad}) == [("runnerData.o", "wrong_format")]


@pytest.mark.parametrize(("explode", "end"), [(True, "/.1.2"), (False, "/.1%2C2")])
async def test_a_list_in_a_path_stands_as_its_label_has_it(explode: bool, end: str) -> None:
    place = {"name": "l", "in": "path", "style": "label", "explode": explode, "schema": {"type": "array", "items": NUMBER}}
    action = action_of(with_path("/x/{l}", {"get": {"operationId": "make", "parameters": [place], "responses": {}}}))
    assert (await run(action, {"l": [1, 2]}, {})).requests[-1].url.endswith(end)


async def test_members_of_a_form_are_written_as_their_encoding_says() -> None:
    many = {"type": "array", "items": TEXT}
    schema = object_of(
        comma=many, space=many, pipe=many, again=many, js=object_of(k=NUMBER), rows={"type": "array", "items": object_of(a=TEXT, b=TEXT)}
    )
    styles = {"comma": "form", "space": "spaceDelimited", "pipe": "pipeDelimited"}
    encoding: dict[str, Any] = {name: {"style": style, "explode": False} for name, style in styles.items()}
    encoding |= {name: {"contentType": "application/json; charset=utf-8"} for name in ("js", "rows")}
    media = "application/x-www-form-urlencoded"
    action = action_of(taking(schema, content={media: {"schema": schema, "encoding": encoding}}))
    data = {"comma": ["a", "b"], "space": ["a", "b"], "pipe": ["a", "b"], "again": ["a", "b"], "js": [{"k": 1}], "rows": [{"a": "x"}]}
    sent = (await run(action, data, {})).requests[-1].body
    assert sent == b"comma=a%2Cb&space=a+b&pipe=a%7Cb&again=a&again=b&js=%7B%22k%22%3A1%7D&rows=%5B%7B%22a%22%3A%22x%22%7D%5D"


async def test_a_list_of_fixed_places_takes_no_more_of_them() -> None:
    pair = {"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}], "items": False, "minItems": 2}
    action = action_of(taking(object_of(rows={"type": "array", "items": object_of(at=pair)}, name=TEXT)))
    field = action.sections[0].fields[0]
    assert (field.min_items, field.max_items) == (2, 2)


@pytest.mark.parametrize(
    ("told", "good", "bad"),
    [
        ({"additionalProperties": NUMBER, "propertyNames": {"pattern": "^[A-Z]+$", "maxLength": 3}}, ["ABC"], ["abc", "ABCD"]),
        ({"additionalProperties": False, "patternProperties": {"^x-": NUMBER}}, ["x-1"], ["y"]),
        ({"additionalProperties": NUMBER, "propertyNames": {"minLength": 2}}, ["ab"], ["a"]),
        ({"additionalProperties": NUMBER, "propertyNames": {"pattern": "(?=a)"}}, ["b"], []),
    ],
)
async def test_the_names_of_a_map_are_kept_to(told: dict[str, Any], good: list[str], bad: list[str]) -> None:
    action = action_of(taking(object_of(codes={"type": "object", **told}, name=TEXT)))
    for name in good:
        assert (await run(action, {"codes": [{"key": name, "value": 1}]}, {})).requests[-1].body == b'{"codes":{"%b":1}}' % name.encode()
    for name in bad:
        assert [path for path, _code in await refused(action, {"codes": [{"key": name, "value": 1}]})] == ["runnerData.codes[0].key"]


async def test_a_map_has_as_many_members_as_it_may() -> None:
    action = action_of(
        taking(object_of(codes={"type": "object", "additionalProperties": NUMBER, "minProperties": 1, "maxProperties": 2}, name=TEXT))
    )
    rows = [{"key": name, "value": 1} for name in "abc"]
    assert await refused(action, {"codes": []}) == [("runnerData.codes", "too_few")]
    assert await refused(action, {"codes": rows}) == [("runnerData.codes", "too_many")]
    assert await refused(action, {"codes": rows[:2], "name": "x"}) == []


def test_a_method_that_no_client_may_send_is_named_as_left_out() -> None:
    report = imported(with_path("/echo", {"trace": {"responses": {}}, "get": {"responses": {}}})).report
    assert [one["what"] for one in report["leftOut"]] == ["TRACE /echo"]
    assert "GET /echo" in report["operations"]


def test_keys_in_yaml_are_the_texts_that_stand_there() -> None:
    found = read_document(b"openapi: 3.0.0\npaths: {}\nx: {null: 1, true: 2, 200: 3, 2.50: 4, ~: 5, on: 6}\n")
    assert list(found["x"]) == ["null", "true", "200", "2.50", "~", "on"]
    merged = read_document(b"openapi: 3.0.0\npaths: {}\nx: &x {1: a, 2: b}\ny: {<<: *x, 1: c}\n")
    assert merged["y"] == {"1": "c", "2": "b"}


def test_an_action_that_cannot_be_loaded_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    real = CallMaker.make

    def broken(maker: CallMaker) -> Made:
        made = real(maker)
        if maker._endpoint.method == "DELETE":
            made.fields[0]["holds"] = "object"
        return made

    monkeypatch.setattr(CallMaker, "make", broken)
    found = built(with_path("/x", {"get": {"responses": {}}}))
    assert [(one.what, "ValidationError" in one.why) for one in found.left] == [("DELETE /pets/{pet_id}", True)]
    assert {"list_pets", "create_pet"} <= found.actions.keys()


async def test_files_of_google_are_sent_and_fetched() -> None:
    path = {"songId": {"type": "string", "location": "path", "required": True}}
    simple = {"protocols": {"simple": {"path": "/upload/disco/v1/songs"}, "resumable": {"path": "/resumable/upload/disco/v1/songs"}}}
    made = built(
        {
            "kind": "discovery#restDescription",
            "discoveryVersion": "v1",
            "title": "Disco",
            "rootUrl": "https://disco.example/",
            "servicePath": "disco/v1/",
            "methods": {
                "insert": {
                    "id": "disco.songs.insert",
                    "path": "songs",
                    "httpMethod": "POST",
                    "request": {"$ref": "Song"},
                    "mediaUpload": simple,
                },
                "get": {
                    "id": "disco.songs.get",
                    "path": "songs/{songId}",
                    "httpMethod": "GET",
                    "parameters": path,
                    "supportsMediaDownload": True,
                },
            },
            "schemas": {"Song": object_of(title=TEXT)},
        }
    )
    assert made.left == []
    upload = next(each for each in made.actions.values() if "url" in each["call"])
    action = Action.model_validate(upload, by_alias=True, by_name=False)
    sent = (await run(action, {"content": {"name": "a.ogg", "contentType": "audio/ogg", "base64": "YWJj"}}, {})).requests[-1]
    assert (sent.url, sent.header("Content-Type"), sent.body) == (
        "https://disco.example/upload/disco/v1/songs?uploadType=media",
        "audio/ogg",
        b"abc",
    )
    fetched = [each["call"] for each in made.actions.values() if each["call"].get("query") == {"alt": "media"}]
    assert [(call["path"], call["decode"]) for call in fetched] == [("/songs/{{songId}}", "file")]
    assert len(made.actions) == 4


async def test_one_of_several_kinds_in_a_query_is_written_as_one_of_them() -> None:
    place = {"name": "hits", "in": "query", "schema": {"oneOf": [{"type": "boolean"}, {"type": "integer"}]}}
    action = action_of(with_path("/x", {"get": {"operationId": "make", "parameters": [place], "responses": {}}}))
    assert [await refused(action, {"hits": value}) for value in ("true", "12", 3)] == [[], [], []]
    assert await refused(action, {"hits": "many"}) == [("runnerData.hits", "wrong_format")]


async def test_what_is_read_alone_and_demanded_by_another_part_is_sent() -> None:
    base = object_of(id={"type": "string", "readOnly": True}, self={"type": "string", "readOnly": True}, type=TEXT)
    reference = {"allOf": [base, {"type": "object", "required": ["type", "id"]}]}
    action = action_of(taking({"type": "object", "required": ["service"], "properties": {"service": reference}}))
    assert {field.name: field.required for field in action.fields} == {"service_type": True, "service_id": True}
    own = {**object_of(id={"type": "string", "readOnly": True}, name=TEXT), "required": ["id", "name"]}
    assert [field.name for field in action_of(taking(own)).fields] == ["name"]


async def test_parts_of_which_some_are_needed_are_needed_and_stand_by_themselves() -> None:
    parts = object_of(attributes={**object_of(name=TEXT), "required": ["name"]}, file={"type": "string", "format": "binary"})
    parts["required"] = ["attributes", "file"]
    document = taking(parts, content={"multipart/form-data": {"schema": parts}}, required=False)
    assert built(document).left == []
    data = {"attributes": [{"name": "x"}], "file": {"name": "a", "base64": "YQ=="}}
    sent = (await run(action_of(document), data, {})).requests[-1].body or b""
    assert b'name="attributes"\r\n\r\n{"name":"x"}\r\n' in sent
