"""Dry runs tell where each value went."""

import pytest

from polyport.engine.caller import open_caller
from polyport.engine.operation import DirectLists, build_scope, compile_operation, read_reading, understand
from polyport.engine.plan import plan
from ready import NOW, Line
from samples import action, field, json_reply, list_spec, partner, trigger

pytestmark = pytest.mark.anyio
EMAIL = {
    "name": "email",
    "label": "Emails",
    "fields": [field("value", at="address"), field("kind")],
    "sections": [{"name": "tags", "label": "Tags", "fields": [field("value")], "at": ["x.y", "tags"]}],
}
PHONE = {"name": "phone", "label": "Phones", "fields": [field("value")]}


def connection(scheme, *fields):
    secret = field("token", secret=True)
    return {"connection": {"fields": list(fields), "auth": [{"name": "a", "label": "A", "fields": [secret], "scheme": scheme}]}}


async def values(operation, data=None, selected=None, lists=None, *, reading=None, **keys):
    """The pairs of every request that is planned; a second plan, which has nothing to read of the call, tells the same."""
    made = partner(operation, lists=lists, **keys)
    line = Line(b"")
    told = {"token": "s3cret-token", "domain": "acme"} if "connection" in keys else {}
    caller = open_caller(made, "a" if told else None, told, line, replaced=None, timeout=5, clock=lambda: NOW)
    program = compile_operation(made, operation)
    understood = await understand(program, data or {}, DirectLists(caller), selected)
    assert understood.checked.faults == []
    scope = build_scope(program, caller, understood, selected)
    shown = plan(caller, program, scope, reading, understood.schema)
    assert plan(caller, program, scope, reading, understood.schema) == shown
    return [
        [(value["from"], value["to"], *(["masked"] if value.get("masked") else [])) for value in request["values"]] for request in shown
    ]


async def test_fields_go_to_path_query_headers_and_body():
    call = {
        "method": "PUT",
        "path": '/lists/{{list}}/{{at | date: "%Y/%m"}}/x',
        "query": {"q": "{{q}}", "n": 5, "gone": "{{gone}}"},
        "headers": {"X-Q": "q={{q}}"},
        "body": {"a": {"b.c": "{{q}}", "list": ["{{list}}", 1]}},
        "contentType": "application/x; v={{q}}",
    }
    fields = [field("list"), field("at", "datetime"), field("q"), field("gone")]
    [found] = await values(action(fields=fields, call=call), {"list": "l", "at": 1, "q": "x"}, headers={"X-Shared": "1", "x-q": "2"})
    assert found == [
        ("list", "path[1]"), ("at", "path[2]"), ("q", "query.q"), ("constant", "query.n"), ("constant", "headers.X-Shared"), ("q", "headers.X-Q"),
        ("q", "headers.Content-Type"), ("q", 'body.a["b.c"]'), ("list", "body.a.list[0]"), ("constant", "body.a.list[1]"),
    ]  # fmt: skip


async def test_the_fields_of_rows_go_to_their_places_in_the_row():
    call = {"method": "POST", "path": "/x", "body": {"emails": "{{email}}", "phones": "{{phone}}", "first": "{{email[0].address}}"}}
    data = {"email": [{"value": "a", "tags": [{"value_": "t"}]}, {"value": "b", "kind": "k"}], "phone": [{"value__": "1"}]}
    [found] = await values(action(sections=[EMAIL, PHONE], call=call), data)
    assert found == [
        ("email[].value", "body.emails[].address"),
        ("email[].kind", "body.emails[].kind"),
        ("email[].tags[].value_", 'body.emails[]["x.y"].tags[].value'),
        ("phone[].value__", "body.phones[].value"),
        ("email[0].address", "body.first"),
    ]


async def test_what_stands_in_no_row_is_not_named():
    call = {"method": "POST", "path": "/x", "body": "{{email}}"}
    assert await values(action(sections=[EMAIL], call=call), {"email": [{"kind": "k"}]}) == [[("email[].kind", "body[].kind")]]


async def test_rows_without_anything_in_them_are_named_alone():
    call = {"method": "POST", "path": "/x", "body": {"emails": "{{email}}"}}
    assert await values(action(sections=[EMAIL], call=call), {"email": []}) == [[("email[]", "body.emails")]]


async def test_the_first_row_of_a_call_for_each_row_is_shown():
    call = {
        "method": "POST",
        "path": "/x",
        "forEach": "{{email}}",
        "body": {"a": "{{each.address}}", "n": "{{index}}", "all": "{{each}}", "k": "{{each.nope}}", "g": "{{each.kind}}"},
        "idempotencyHeader": "X-Key",
    }
    [found] = await values(action(sections=[EMAIL], call=call), {"email": [{"value": "a", "kind": "k"}, {"value": "b"}]})
    assert found == [
        ("run.key", "headers.X-Key"),
        ("email[0].value", "body.a"),
        ("index", "body.n"),
        ("email[0]", "body.all"),
        ("email[0].kind", "body.g"),
    ]
    call = {"path": "/x/{{each}}", "forEach": "{{ids}}"}
    assert await values(action(fields=[field("ids", "string[]")], call=call), {"ids": ["a"]}) == [[("each", "path[1]")]]


async def test_selectors_have_their_position_and_windows_their_name():
    call = {"path": "/{{sheet}}", "query": {"since": "{{window.from}}", "page": "{{page.number}}"}}
    operation = trigger(selectors=[field("book"), field("sheet")], call=call, pager={"kind": "page"})
    [found] = await values(operation, selected={"book": "b", "sheet": "s"}, reading=read_reading({"from": 5}, None, None))
    assert found == [("credentialData.2", "path[0]"), ("window.from", "query.since"), ("page.number", "query.page")]


async def test_variables_of_graphql_stand_under_variables():
    call = {"path": "/g", "graphql": "query Q($id: ID) { q(id: $id) { id } }", "body": {"id": "{{id}}"}}
    assert await values(action(fields=[field("id")], call=call), {"id": "1"}) == [[("id", "body.variables.id")]]


async def test_a_whole_url_a_method_and_whole_headers_are_slots_too():
    call = {"method": "{{method}}", "url": "{{url}}", "headers": "{{headers}}", "query": "{{headers}}"}
    fields = [field("method"), field("url"), field("headers", "object")]
    [found] = await values(action(fields=fields, call=call), {"method": "GET", "url": "https://api.example.com/", "headers": {"X": "1"}})
    assert found == [("method", "method"), ("url", "url"), ("headers", "query"), ("headers", "headers")]


@pytest.mark.parametrize(
    ("scheme", "to"),
    [
        ({"kind": "bearer", "token": "{{connection.token}}"}, "headers.Authorization"),
        ({"kind": "api_key", "in": "query", "param": "key", "value": "{{connection.token}}"}, "query.key"),
        ({"kind": "api_key", "in": "body", "param": "key", "value": "{{connection.token}}"}, "body"),
    ],
)
async def test_what_signs_comes_from_the_connection_and_is_masked(scheme, to):
    domain = field("domain", pattern="[a-z]+", required=True)
    call = {"method": "POST", "path": "/x", "query": {"d": "{{connection.domain}}"}, "body": {"a": 1}}
    found = await values(action(call=call), base="https://{{connection.domain}}.example.com", **connection(scheme, domain))
    assert found == [
        [("connection.domain", "host"), ("connection.domain", "query.d"), ("constant", "body.a"), ("connection.token", to, "masked")]
    ]


async def test_a_public_part_of_a_signature_is_not_masked_and_a_call_without_signature_has_none():
    scheme = {"kind": "basic", "username": "{{connection.domain}}", "password": "{{connection.token}}"}
    calls = [{"path": "/a"}, {"path": "/b", "auth": False}]
    signed, bare = await values(action(calls=calls), **connection(scheme, field("domain")))
    assert signed == [("connection.domain", "headers.Authorization"), ("connection.token", "headers.Authorization", "masked")]
    assert bare == []


async def test_a_token_in_the_path_is_named_and_not_shown():
    scheme = {"kind": "api_key", "in": "path", "param": ":token", "value": "{{connection.token}}"}
    assert await values(action(call={"path": "/bot:token/me"}), **connection(scheme)) == [[("connection.token", "path", "masked")]]


async def test_a_grant_is_named_as_one():
    scheme = {
        "kind": "oauth2", "grant": "client_credentials", "tokenUrl": "https://api.example.com/token",
        "clientId": "{{connection.domain}}", "clientSecret": "{{connection.token}}",
    }  # fmt: skip
    [found] = await values(action(call={"path": "/a"}), **connection(scheme, field("domain")))
    assert found == [("connection (its grant)", "headers.Authorization", "masked")]


@pytest.mark.parametrize(("kind", "to"), [("object", 'body.custom["a.b"]'), ("pairs", "body.custom")])
async def test_custom_fields_go_under_the_partners_keys(kind, to):
    shape = {"key": "key", "label": "name", "type": "type"}
    lists = {"defs": list_spec("defs", customFields=shape)}
    call = {"method": "POST", "path": "/x", "body": {"custom": "{{custom}}", "text": "{{custom | json}}"}}
    operation = action(call=call, customFields={"list": "defs", "shape": kind})
    made = partner(operation, lists=lists)
    line = Line()
    line.answers = [json_reply('[{"key": "a.b", "name": "A", "type": "x"}, {"key": "c", "name": "C", "type": "x"}]')]
    caller = open_caller(made, None, {}, line, replaced=None, timeout=5, clock=lambda: NOW)
    program = compile_operation(made, operation)
    source = DirectLists(caller)
    schema = (await understand(program, {}, source, {})).schema
    names = {entry.key: entry.field.name for entry in schema.custom}
    understood = await understand(program, {names["a.b"]: "1"}, source, {})
    [shown] = plan(caller, program, build_scope(program, caller, understood, {}), None, understood.schema)
    pairs = [(value["from"], value["to"]) for value in shown["values"]]
    assert pairs == [(names["a.b"], to), (names["a.b"], "body.text")]
