"""GraphQL calls: what has to be known of a document, what is sent, and what an answer with errors means."""

import json

import pytest
from pydantic import ValidationError

from polyport.engine.trace import CallFailed
from polyport.errors import PartnerError
from polyport.kinds.graphql import LIMIT, Document, read_document
from polyport.manifest.model import Call
from ready import Ready
from samples import action, field

pytestmark = pytest.mark.anyio

ADD = "mutation Add($name: String!, $tags: [String!]) { add(name: $name, tags: $tags) { id } }"
NAME = field("name", required=True)
TAGS = field("tags", "string[]")


def said(**keys):
    return {"path": "/graphql", **keys}


def call(**keys):
    return Call.model_validate(said(**keys))


@pytest.mark.parametrize(
    ("text", "operation", "variables"),
    [
        ("{ me { id } }", None, {}),
        ("query { me { id } }", None, {}),
        ("query Me { me { id } }", "Me", {}),
        (ADD, "Add", {"name": True, "tags": False}),
        ("query Q($a: Int! = 1, $in: In = {x: 1}) { q(a: $a, in: $in) { id } }", "Q", {"a": False, "in": False}),
        ("query Find($query: String!, $fragment: ID) @live { q }", "Find", {"query": True, "fragment": False}),
        ("query Q { ...F } fragment F on T { id }", "Q", {}),
        ('# query Old { x }\nquery New { x(t: "} query Other {") }', "New", {}),
        ('query Q { x(t: """ } "quoted" query R { """) }', "Q", {}),
    ],
)
def test_a_document_tells_its_operation_and_variables(text, operation, variables):
    assert read_document(text) == Document(operation, variables)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has one operation"),
        ("query A { a } query B { b }", "has one operation"),
        ("{ a } { b }", "has one operation"),
        ("fragment F on T { id }", "has one operation"),
        ("query A", "has one operation"),
        ("subscription S { a }", "does not end"),
        ("query A { a", "do not pair"),
        ("query A { a } }", "do not pair"),
        ("query A($a: Int { a }", "do not pair"),
        ("query A) { a }", "do not pair"),
        ("{" + " " * LIMIT + "}", f"at most {LIMIT}"),
    ],
)
def test_a_document_that_cannot_be_sent_is_refused(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_document(text)


@pytest.mark.parametrize("text", ['"""' * 16_000, '"' * LIMIT, "#" * LIMIT, "{" * LIMIT, "query " * 8_000, "$a:" * 16_000])
def test_reading_a_hostile_document_ends_soon(text):
    with pytest.raises(ValueError, match="GraphQL document"):
        read_document(text)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"method": "GET"}, "POST with a JSON body"),
        ({"encoding": "form"}, "POST with a JSON body"),
        ({"body": "{{name}}"}, "is an object"),
        ({"body": {"name": "x", "nme": "y"}}, r'no variable "\$nme"'),
        ({"body": {"tags": []}}, 'needs the variable "name"'),
        ({"graphql": "query {"}, "do not pair"),
    ],
)
def test_variables_that_do_not_fit_the_document_are_a_fault(keys, sentence):
    with pytest.raises(ValidationError, match=sentence):
        call(**{"graphql": ADD, "body": {"name": "{{name}}"}, **keys})


async def test_the_document_goes_with_the_variables_that_were_given():
    graphql = said(graphql=ADD, body={"name": "{{name}}", "tags": "{{tags}}"})
    ready = Ready(action(call=graphql, fields=[NAME, TAGS]), ({"data": {"add": {"id": 1}}}))
    await ready.act({"name": '{{x}} " }'})
    [request] = ready.line.requests
    assert request.method == "POST"
    assert json.loads(request.body) == {"query": ADD, "variables": {"name": '{{x}} " }'}, "operationName": "Add"}


async def test_a_document_without_variables_goes_alone():
    ready = Ready(action(call=said(graphql="{ me { id } }")), ({"data": {"me": {"id": 1}}}))
    await ready.act({})
    assert json.loads(ready.line.requests[0].body) == {"query": "{ me { id } }"}


async def test_an_answer_with_errors_is_a_failure_in_the_partners_words():
    ready = Ready(
        action(call=said(graphql="{ me { id } }")),
        ({"data": None, "errors": [{"message": "You are too old.", "extensions": {"code": "TOO_OLD"}}]}),
    )
    with pytest.raises(CallFailed) as caught:
        await ready.act({})
    error = caught.value.failure.error
    assert isinstance(error, PartnerError)
    assert error.message == "The partner refused the request: You are too old."


async def test_a_rule_of_the_operation_comes_before_the_built_in_one():
    rule = {
        "kind": "not_found",
        "status": [200],
        "body": {"at": "errors[0].extensions.code", "equals": "GONE"},
        "suggestedFix": "Look again.",
    }
    ready = Ready(
        action(call=said(graphql="{ me { id } }"), errors=[rule]),
        ({"errors": [{"message": "no", "extensions": {"code": "GONE"}}]}),
    )
    with pytest.raises(CallFailed) as caught:
        await ready.act({})
    assert caught.value.failure.error.details.suggested_fix == "Look again."


async def test_an_empty_list_of_errors_is_a_success():
    ready = Ready(action(call=said(graphql="{ me { id } }")), ({"data": {"me": 1}, "errors": []}))
    assert (await ready.act({})).raw["data"] == {"me": 1}
