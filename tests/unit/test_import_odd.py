"""Descriptions with anything anywhere: whatever stands in a place, the rest is imported and the folder that comes of it loads."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from petshop import PETS, TODAY, built
from polyport.importers.calls import CallMaker, Made
from polyport.importers.documents import Refused, read_document
from polyport.importers.questions import Asking
from polyport.importers.run import Import, import_document
from polyport.manifest.disk import Files
from polyport.manifest.load import load_partner

ODD: Final = (
    None,
    [],
    {},
    "",
    "x",
    0,
    -1,
    1.5,
    True,
    [None],
    [[]],
    {"$ref": "#/nowhere"},
    {"$ref": 5},
    {"": {}},
    "a{b}c",
    10**30,
    "https://[",
    "\0",
)
SHOP: Final[dict[str, Any]] = yaml.safe_load(
    """
openapi: 3.1.0
info: {title: Shop, version: "1"}
servers:
  - {url: "https://{region}.shop.example/{basePath}", variables: {region: {enum: [eu, us], default: eu}, basePath: {default: v2}}}
tags: [{name: Orders, description: All orders}]
security: [{}, {login: [read], key: []}]
components:
  securitySchemes:
    key: {type: apiKey, in: cookie, name: session}
    login:
      type: oauth2
      flows:
        authorizationCode: {authorizationUrl: "https://shop.example/a", tokenUrl: "https://shop.example/t", scopes: {read: Read}}
        clientCredentials: {tokenUrl: "https://shop.example/t", scopes: {}}
  parameters:
    Filter: {name: $filter, in: query, style: deepObject, explode: true, schema: {type: object, properties: {from: {type: string, format: date}}}}
  schemas:
    Base: {type: object, required: [kind], properties: {kind: {type: string}}, discriminator: {propertyName: kind, mapping: {c: "#/components/schemas/Card"}}}
    Card: {allOf: [{$ref: "#/components/schemas/Base"}, {type: object, required: [number], properties: {number: {type: [string, "null"], examples: ["4242"]}}}]}
    Point: {type: array, prefixItems: [{type: number}, {const: x}], minItems: 2}
paths:
  /orders/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string, format: uuid}}, {$ref: "#/components/parameters/Filter"}]
    get:
      tags: [Orders]
      parameters: [{name: X-Trace, in: header, schema: {type: array, items: {type: integer}}}, {name: q, in: query, content: {application/json: {schema: {type: object}}}}]
      responses: {2XX: {description: ok, content: {application/json: {schema: {type: object, properties: {at: {$ref: "#/components/schemas/Point"}}}}}}}
    put:
      servers: [{url: /other}]
      requestBody:
        content:
          multipart/form-data:
            schema: {type: object, properties: {file: {type: string, format: binary}, meta: {$ref: "#/components/schemas/Card"}}}
            encoding: {meta: {contentType: application/json}}
      responses: {default: {description: whatever}}
    post:
      security: [{}]
      requestBody:
        content:
          application/x-www-form-urlencoded: {schema: {oneOf: [{$ref: "#/components/schemas/Base"}, {type: integer}]}, examples: {one: {value: {kind: c}}}}
      responses: {201: {$ref: "#/components/responses/Gone"}}
"""
)
SWAGGER: Final[dict[str, Any]] = yaml.safe_load(
    """
swagger: "2.0"
info: {title: Old, version: "1"}
host: old.example
basePath: /v1
schemes: [https]
consumes: [application/x-www-form-urlencoded]
securityDefinitions: {basic: {type: basic}, login: {type: oauth2, flow: accessCode, authorizationUrl: "https://old.example/a", tokenUrl: "https://old.example/t", scopes: {all: All}}}
security: [{basic: []}]
definitions: {Thing: {type: object, properties: {name: {type: string}, inner: {$ref: "#/definitions/Thing"}}}}
paths:
  /things:
    get:
      parameters: [{name: ids, in: query, type: array, items: {type: string}, collectionFormat: pipes}]
      responses: {200: {description: ok, schema: {type: array, items: {$ref: "#/definitions/Thing"}}}}
    post:
      parameters: [{name: name, in: formData, type: string, required: true}, {name: file, in: formData, type: file}]
      responses: {200: {description: ok}}
    put:
      parameters: [{name: body, in: body, schema: {$ref: "#/definitions/Thing"}}]
      responses: {200: {description: ok}}
"""
)
DISCOVERY: Final[dict[str, Any]] = {
    "discoveryVersion": "v1",
    "name": "things",
    "version": "v1",
    "rootUrl": "https://things.example/",
    "servicePath": "v1/",
    "auth": {"oauth2": {"scopes": {"https://things.example/auth": {"description": "All"}}}},
    "schemas": {
        "Thing": {"id": "Thing", "type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "string", "format": "int64"}}}
    },
    "parameters": {"fields": {"type": "string", "location": "query"}},
    "resources": {
        "things": {
            "methods": {
                "patch": {
                    "id": "things.patch",
                    "path": "things/{+name}",
                    "httpMethod": "PATCH",
                    "parameters": {"name": {"type": "string", "location": "path", "required": True}},
                    "parameterOrder": ["name"],
                    "request": {"$ref": "Thing"},
                    "response": {"$ref": "Thing"},
                    "scopes": ["https://things.example/auth"],
                }
            }
        }
    },
}
DOCUMENTS: Final = (PETS, SHOP, SWAGGER, DISCOVERY)


def places(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where anything stands in a document."""
    if at:
        yield at
    for key, inner in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(inner, (*at, key))


def with_odd(node: Any, at: tuple[Any, ...], value: Any) -> Any:
    """The document with another value in one place."""
    if not at:
        return value
    copied = dict(node) if isinstance(node, dict) else list(node)
    copied[at[0]] = with_odd(copied[at[0]], at[1:], value)
    return copied


PLACES: Final = tuple((number, at) for number, document in enumerate(DOCUMENTS) for at in places(document))


def test_the_documents_are_whole_as_they_stand():
    for document in DOCUMENTS:
        _import(document)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.sampled_from(PLACES), odd=st.sampled_from(ODD))
@example(place=(0, ("paths", "/pets", "post", "summary")), odd="\ud800 half a character")
@example(place=(0, ("components", "schemas", "Pet", "properties", "name", "minLength")), odd=float("nan"))
@example(place=(0, ("components", "schemas", "Pet", "properties", "food", "oneOf")), odd=[{"required": [[]]}, {"required": ["name"]}])
@example(place=(3, ("schemas", "Thing", "properties", "n", "format")), odd=[])
@example(place=(2, ("paths", "/things", "get", "parameters", 0, "in")), odd=[])
def test_whatever_stands_in_a_place_the_rest_is_imported_and_loads(place: tuple[int, tuple[Any, ...]], odd: Any):
    number, at = place
    document = with_odd(DOCUMENTS[number], at, odd)
    with suppress(Refused):  # with a reason
        _import(document)
    with suppress(Refused, Asking):
        _import(document, origin="https://docs.example/api.json", asks=True)


def test_a_defect_of_the_importer_costs_one_operation_and_is_told(monkeypatch: pytest.MonkeyPatch):
    real = CallMaker.make

    def broken(maker: CallMaker) -> Made:
        if maker._endpoint.method == "POST":
            raise TypeError("unhashable type")
        return real(maker)

    monkeypatch.setattr(CallMaker, "make", broken)
    found = import_document(Import(content=json.dumps(PETS).encode(), slug="pets", today=TODAY))
    [left] = found.report["leftOut"]
    assert (left["what"], left["why"]) == ("POST /pets", "The importer failed on it (TypeError): please report it with the document.")
    assert sorted(name for name in found.files if name.startswith("actions/")) == ["actions/delete_pet.yaml", "actions/list_pets.yaml"]


def test_files_of_swagger_2_go_in_parts_whatever_is_said_to_be_taken():
    action = built(SWAGGER).actions["create_things"]
    assert (action["call"]["encoding"], {one["name"]: one["type"] for one in action["fields"]}) == (
        "multipart",
        {"name": "string", "file": "file"},
    )


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param(codecs.BOM_UTF8 + b'{"a": 1}', 1, id="a mark before UTF-8"),
        pytest.param('{"a": "\N{HIRAGANA LETTER A}"}'.encode("utf-16"), "\N{HIRAGANA LETTER A}", id="UTF-16"),
        pytest.param('a: "\N{HIRAGANA LETTER A}"'.encode("utf-32"), "\N{HIRAGANA LETTER A}", id="UTF-32"),
        pytest.param("a: caf\N{LATIN SMALL LETTER E WITH ACUTE}".encode("cp1252"), "caf\N{LATIN SMALL LETTER E WITH ACUTE}", id="Windows"),
        pytest.param(b'{"a": "\\ud83d\\ude00 \\ud83d"}', "\N{GRINNING FACE} ?", id="half a character"),
        pytest.param(b'{"a": 1, "a": 2}', 2, id="a key twice in JSON"),
        pytest.param(b"a: 1\na: 2", 2, id="a key twice in YAML"),
        pytest.param(b"a: [=, <, '>']", ["=", "<", ">"], id="signs"),
        pytest.param(b"a: 12:30:45", "12:30:45", id="a time"),
        pytest.param(b"a: 012", "012", id="a zero before"),
        pytest.param(b"a: 1_000", "1_000", id="digits with a line between"),
        pytest.param(
            b"a: [0o14, 0x1F, +5, .5, 1e3, -.inf, 1.2.3, 2026-11-24]",
            [12, 31, 5, 0.5, 1000.0, float("-inf"), "1.2.3", "2026-11-24"],
            id="numbers",
        ),
        pytest.param(b"a: !Ref {b: [!Sub c, !!binary aGk=, !!timestamp 2026-11-24]}", {"b": ["c", "aGk=", "2026-11-24"]}, id="tags"),
        pytest.param(b"a: !!set {x, y}", {"x": None, "y": None}, id="a set"),
        pytest.param(b"b: &b {x: 1}\na: {<<: *b, y: 2}", {"x": 1, "y": 2}, id="what is merged"),
    ],
)
def test_odd_writing_is_read(content: bytes, found: Any):
    assert read_document(content)["a"] == found


@pytest.mark.parametrize(
    "content", [b"a: !!bool perhaps", b"a: !!int x", b'{"a": 1}\0', '{"a": 1}'.encode("utf-16-le"), b"\xff\0", b"a: 1\n---\nb: 2\n"]
)
def test_what_cannot_be_read_is_refused_with_a_sentence(content: bytes):
    with pytest.raises(Refused, match=r"^the document .*\.$"):
        read_document(content)


def _import(document: Any, **asked: Any) -> None:
    """Import, and load what came of it."""
    found = import_document(Import(content=json.dumps(document).encode(), slug="pets", today=TODAY, **asked))
    assert not [left for left in found.report["leftOut"] if "importer failed" in left["why"]]
    assert load_partner(Files("pets", {name: text.encode() for name, text in found.files.items()})).problems == ()
