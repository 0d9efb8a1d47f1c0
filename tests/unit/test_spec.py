"""The check of requests against service descriptions: schemas as JSON Schema has them, styles as OpenAPI has them, and what is stricter here."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from polyport.net.message import Request
from polyport.testing.spec import check_request, open_documents
from polyport.testing.spec.graphql import Sdl, Unreadable
from polyport.testing.spec.requests import nested
from polyport.testing.spec.schema import Checker, Upload

PLAIN = Checker(resolve=lambda name: {"type": "object", "properties": {"deep": {"$ref": name}}})
TEXT = Checker(resolve=PLAIN.resolve, text=True)

leaves = st.sampled_from([
    {"type": "string", "minLength": 2}, {"type": "string", "pattern": "^a+$"}, {"type": "integer", "minimum": 0}, {"type": "number", "exclusiveMaximum": 3},
    {"type": "boolean"}, {"type": ["string", "null"]}, {"enum": ["a", 1, None]}, {"const": 1}, {"type": "integer", "multipleOf": 2}, True,
])  # fmt: skip
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner, "maxItems": st.integers(0, 3)}),
        st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
                "required": st.lists(st.sampled_from("abc"), max_size=1),
                "additionalProperties": st.one_of(st.just(True), inner),
            }
        ),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=6,
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 6) | st.sampled_from(["", "a", "aa", "b", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@given(schemas, values)
def test_a_schema_without_closed_objects_means_what_json_schema_says(schema, value):
    assert bool(PLAIN.check(schema, value, "body")) is not Draft202012Validator(schema).is_valid(value)


def places(checker, schema, value):
    return [fault.at for fault in checker.check(schema, value, "body")]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object"}, {"any": 1}),
        ({"properties": {"a": {}}}, {"a": 1}),
        ({"properties": {"a": {}}, "additionalProperties": True}, {"b": 1}),
        ({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, {"a": 1, "b": 2}),
        ({"properties": {"a": {}}, "anyOf": [{"properties": {"b": {}}}, {"properties": {"c": {}}}]}, {"a": 1, "c": 2}),
        ({"patternProperties": {"^x-": {"type": "integer"}}, "additionalProperties": False}, {"x-a": 1}),
        ({"type": "string", "nullable": True}, None),
        ({"type": "object", "properties": {"id": {"readOnly": True}}, "required": ["id"]}, {}),
        ({"type": "string", "format": "int64"}, 5),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": False}, 0),
        ({"type": "string", "format": "date-time"}, "2026-11-24T09:30:00Z"),
        ({"$ref": "#/tree"}, {"deep": {"deep": {}}}),
        ({"oneOf": [{"$ref": "a"}], "discriminator": {"propertyName": "kind"}, "properties": {"kind": {}}}, {"kind": "a", "deep": {}}),
    ],
)
def test_what_a_description_allows_has_no_faults(schema, value):
    assert PLAIN.check(schema, value, "body") == []


@pytest.mark.parametrize(
    ("schema", "value", "at"),
    [
        ({"properties": {"a": {}}}, {"b": 1}, ["body.b"]),
        ({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, {"c": 1}, ["body.c"]),
        ({"items": {"properties": {"a": {}}}}, [{"a": 1}, {"b": 1}], ["body[].b"]),
        ({"additionalProperties": {"type": "integer"}}, {"b": "x"}, ["body.b"]),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, 0, ["body"]),
        ({"type": "string", "format": "date"}, "2026-02-30", ["body"]),
        ({"type": "string", "format": "date-time"}, "2026-11-24 09:30", ["body"]),
        ({"enum": [1]}, True, ["body"]),
        ({"$ref": "#/tree"}, {"deep": {"deeper": {}}}, ["body.deep.deeper"]),
        ({"uniqueItems": True}, [1, 1], ["body"]),
        (False, 1, ["body"]),
        ({"anyOf": [{"type": "integer"}, {"type": "object", "properties": {"a": {"type": "integer"}}}]}, {"a": "x"}, ["body.a"]),
    ],
)
def test_what_a_description_does_not_allow_is_told_at_its_place(schema, value, at):
    assert places(PLAIN, schema, value) == at


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, "5"),
        ({"type": "boolean"}, "true"),
        ({"type": "number"}, "-1.5e3"),
        ({"enum": [1, True]}, "true"),
        ({"type": "array", "items": {"type": "integer"}}, "5"),
        ({"type": "array", "items": {"type": "integer"}}, {"1": "5", "4": "6"}),
        ({"type": "array", "items": {"type": "string"}}, '["a"]'),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, '{"a": 1}'),
        ({"type": "string", "maxLength": 1}, Upload()),
    ],
)
def test_what_came_as_text_is_read_as_its_schema_says(schema, value):
    assert TEXT.check(schema, value, "body") == []


@pytest.mark.parametrize(("schema", "value"), [({"type": "integer"}, "5.5"), ({"type": "boolean"}, "yes"), ({"type": "object"}, "x")])
def test_a_text_that_is_no_such_value_is_told(schema, value):
    assert TEXT.check(schema, value, "body")
    assert PLAIN.check({"type": "integer"}, "5", "body")


def test_a_schema_that_refers_to_itself_without_end_is_given_up():
    loop = Checker(resolve=lambda _name: {"$ref": "again"})
    assert loop.check({"$ref": "again"}, {"a": 1}, "body") == []


@pytest.mark.parametrize(
    ("pairs", "value"),
    [
        ([("a", "1"), ("a", "2")], {"a": ["1", "2"]}),
        ([("a[]", "1")], {"a": ["1"]}),
        ([("a[b][c]", "1")], {"a": {"b": {"c": "1"}}}),
        ([("a[0][b]", "1"), ("a[1][b]", "2")], {"a": [{"b": "1"}, {"b": "2"}]}),
        ([("a", "1"), ("a[b]", "2")], {"a": {"": "1", "b": "2"}}),
    ],
)
def test_the_names_of_a_form_nest_by_their_brackets(pairs, value):
    assert nested(pairs) == value


DEPOT = {
    "openapi": "3.0.3",
    "servers": [{"url": "https://{tenant}.depot.example/v1"}],
    "paths": {
        "/boxes/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
            "get": {
                "parameters": [
                    {"name": "tags", "in": "query", "explode": False, "schema": {"type": "array", "items": {"type": "integer"}}},
                    {"name": "sizes", "in": "query", "style": "pipeDelimited", "schema": {"type": "array", "items": {"type": "integer"}}},
                    {"name": "where", "in": "query", "style": "deepObject", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}},
                    {"name": "page", "in": "query", "schema": {"type": "object", "properties": {"size": {"type": "integer"}}}},
                    {"name": "raw", "in": "query", "content": {"application/json": {"schema": {"type": "object", "properties": {"a": {}}}}}},
                    {"name": "X-Version", "in": "header", "required": True, "schema": {"enum": ["1"]}},
                ]
            },
            "put": {
                "requestBody": {
                    "required": True,
                    "content": {
                        "multipart/form-data": {"schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary", "maxLength": 1}, "n": {"type": "integer"}}}},
                        "application/json; charset=utf-8": {"schema": {"type": "object", "properties": {"n": {"type": "integer"}}}},
                        "image/*": {},
                    },
                }
            },
        },
        "/boxes/mine": {"get": {}},
    },
    "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "query", "name": "api_key"}}},
}  # fmt: skip
V1 = (("X-Version", "1"),)
BOX = "https://acme.depot.example/v1/boxes/7"
MULTIPART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nlong content\r\n--b\r\nContent-Disposition: form-data; name="n"\r\n\r\n%b\r\n--b--\r\n'


@pytest.fixture(scope="module")
def depot(tmp_path_factory):
    file = tmp_path_factory.mktemp("specs") / "depot.json"
    file.write_text(json.dumps(DEPOT))
    return open_documents(file.parent, ["depot.json"])


def put(body, kind):
    return Request(method="PUT", url=BOX, headers=(("Content-Type", kind),), body=body)


@pytest.mark.parametrize(
    "sent",
    [
        Request(method="GET", url=f"{BOX}?tags=1,2&sizes=1%7C2&where[a]=1&size=5&raw=%7B%22a%22:1%7D&api_key=x", headers=V1),
        Request(method="GET", url="https://acme.depot.example/v1/boxes/mine"),
        put(b'{"n": 1}', "application/json"),
        put(MULTIPART % b"1", 'multipart/form-data; boundary="b"'),
        put(b"\x89PNG", "image/png"),
    ],
)
def test_a_request_in_the_styles_of_the_description_fits(depot, sent):
    assert check_request(depot, sent) == []


@pytest.mark.parametrize(
    ("sent", "at"),
    [
        (Request(method="GET", url=f"{BOX}?tags=1,x", headers=V1), ["query.tags[]"]),
        (Request(method="GET", url=f"{BOX}?where[b]=1", headers=V1), ["query.where.b"]),
        (Request(method="GET", url=f"{BOX}?raw=%7B%22b%22:1%7D", headers=V1), ["query.raw.b"]),
        (Request(method="GET", url=f"{BOX}?stray=1", headers=V1), ["query.stray"]),
        (Request(method="GET", url=BOX), ["header.X-Version"]),
        (Request(method="GET", url=BOX, headers=(("x-version", "2"),)), ["header.X-Version"]),
        (Request(method="GET", url="https://acme.depot.example/v1/boxes/x", headers=V1), ["path.id"]),
        (Request(method="GET", url="https://elsewhere.example/v1/boxes/7", headers=V1), [""]),
        (Request(method="DELETE", url=BOX), [""]),
        (Request(method="PUT", url=BOX), ["body"]),
        (put(b"n=1", "application/x-www-form-urlencoded"), ["body"]),
        (put(b'{"n": "1"}', "application/json"), ["body.n"]),
        (put(b"no json", "application/json"), ["body"]),
        (put(MULTIPART % b"x", "multipart/form-data; boundary=b"), ["body.n"]),
        (Request(method="GET", url="https://acme.depot.example/v1/boxes/mine", body=b"x"), ["body"]),
    ],
)
def test_a_request_that_leaves_the_description_is_told_at_its_place(depot, sent, at):
    assert [difference.at for difference in check_request(depot, sent)] == at


def test_a_file_beside_the_description_is_followed(tmp_path):
    (tmp_path / "common.yaml").write_text("schemas: {Box: {properties: {size: {$ref: '#/schemas/Size'}}}, Size: {enum: [NO]}}")
    (tmp_path / "api.yaml").write_text(
        "openapi: 3.1.0\npaths: {/boxes: {post: {requestBody: {content: {application/json: {schema: {$ref: 'common.yaml#/schemas/Box'}}}}}}}"
    )
    documents = open_documents(tmp_path, ["api.yaml"])

    def sent(size):
        body = json.dumps({"size": size}).encode()
        return Request(method="POST", url="https://any.example/boxes", headers=(("Content-Type", "application/json"),), body=body)

    assert check_request(documents, sent("NO")) == []
    assert [difference.at for difference in check_request(documents, sent("YES"))] == ["body.size"]


SDL = Sdl('''
"""All there is."""
schema { query: Root }
directive @old(why: String = "x") repeatable on FIELD_DEFINITION | ENUM_VALUE
scalar Time
interface Node { id: ID! }
type Root { box(id: ID!, "how" wide: [Width!] = [NARROW]): Box  any: [Any] }
type Box implements Node & Other @old { id: ID! @old(why: "y") size: Int at(zone: String = "UTC"): Time }
interface Other { size: Int }
union Any = | Box | Root
enum Width { "thin" NARROW WIDE @old }
input Put { n: Int! of: [Put!] w: Width }
extend type Root { put(box: Put!): Box }
''')  # fmt: skip


def asked(query, **variables):
    return [fault.at for fault in SDL.check(json.dumps({"query": query, "variables": variables}).encode())]


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ('{ box(id: "1", wide: WIDE) { id, size, at(zone: "x") __typename } }', {}),
        ("query Q($id: ID!) { b: box(id: $id) @include(if: true) { ...part } } fragment part on Box { id }", {"id": 5}),
        ("query ($put: Put!, $w: [Width!]) { put(box: $put) { id } }", {"put": {"n": 1, "of": [{"n": 2, "w": "WIDE"}]}, "w": None}),
        ("{ any { ... on Box { id } ... { __typename } } }", {}),
        ("{ put(box: {n: 1, of: [{n: 2}], w: WIDE}) { id } }", {}),
    ],
)
def test_a_graphql_request_along_the_schema_fits(query, variables):
    assert asked(query, **variables) == []


@pytest.mark.parametrize(
    ("query", "variables", "at"),
    [
        ("{ box { id } }", {}, ["query.box(id)"]),
        ('{ box(id: "1") }', {}, ["query.box"]),
        ('{ box(id: "1", x: 1) { id { x } } }', {}, ["query.box(x)", "query.box.id", "query.box.id.x"]),
        ('{ box(id: "1", wide: HIGH) { weight } }', {}, ["query.box(wide)[]", "query.box.weight"]),
        ("{ put(box: {m: 1}) { id } }", {}, ["query.put(box).m", "query.put(box).n"]),
        ("query ($p: Put!) { put(box: $p) { id } }", {}, ["variables.p"]),
        ("query ($p: Put!) { put(box: $p) { id } }", {"p": {"n": 1.5}}, ["variables.p.n"]),
        ("query ($p: Put!) { put(box: $p) { id } }", {"p": None}, ["variables.p"]),
        ("query ($p: Int) { put(box: $p) { id } }", {"p": 1, "q": 1}, ["query.put(box)", "variables.q"]),
        ("{ put(box: $p) { id } }", {}, ["query.put(box)"]),
        ("{ any { ... on Nothing { id } } }", {}, ["query.any", "query.any.id"]),
        ("{ box(", {}, ["body"]),
        ("{ box(id: ^) { id } }", {}, ["body"]),
        ("{ a " * 80 + "}" * 80, {}, None),
    ],
)
def test_a_graphql_request_that_strays_is_told_at_its_place(query, variables, at):
    assert (asked(query, **variables) == at) if at is not None else "body" in asked(query, **variables)


@pytest.mark.parametrize("text", ["type Box { id ID }", "shape Box {}", "type Box { id: ID! ^ }", "enum Width"])
def test_a_schema_that_is_none_is_refused(text):
    with pytest.raises(Unreadable):
        Sdl(text)


def test_a_format_that_the_schemas_own_example_is_not_in_is_no_rule():
    told = {"type": "string", "format": "email"}
    assert [fault.at for fault in Checker(resolve=dict).check(told, "Ada", "body")] == ["body"]
    for more in ({"example": "YWRh"}, {"examples": ["YWRh"]}, {"default": "YWRh"}):
        assert Checker(resolve=dict).check(told | more, "Ada", "body") == []
    assert Checker(resolve=dict).check(told | {"example": "a@b.example"}, "Ada", "body")
