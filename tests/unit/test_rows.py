"""Rows of name and value: as an object for queries and headers, as they are for forms."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from polyport.engine.render import compile_call, render_call
from polyport.kinds.bodies import encode_form, encode_multipart
from polyport.kinds.fields import FileValue
from polyport.kinds.filters import FILTERS
from polyport.manifest.model import Call
from polyport.paths import MISSING
from polyport.template import RenderFault, compile_value


def as_object(rows: Any) -> Any:
    return compile_value('{{rows | to_object: "name", "value"}}', FILTERS).render({"rows": rows})


def test_rows_become_an_object_and_a_repeated_name_a_list() -> None:
    rows = [{"name": "a", "value": 1}, {"name": "b", "value": ""}, {"name": "a", "value": 2}, {"name": "a", "value": 3}]
    assert as_object(rows) == {"a": [1, 2, 3], "b": ""}


def test_a_list_of_a_single_row_is_not_taken_for_a_repeated_name() -> None:
    assert as_object([{"name": "a", "value": [1]}, {"name": "a", "value": 2}]) == {"a": [[1], 2]}


@pytest.mark.parametrize("row", [{"name": "a"}, {"value": 1}, {"name": None, "value": 1}])
def test_a_row_without_its_name_or_value_leaves_no_trace(row: dict[str, Any]) -> None:
    assert as_object([row]) == {}


def test_no_rows_leave_no_trace() -> None:
    assert as_object(None) is MISSING


@pytest.mark.parametrize("rows", ["a=1", {"name": "a", "value": 1}, ["a"]])
def test_what_is_no_list_of_rows_is_refused(rows: Any) -> None:
    with pytest.raises(RenderFault):
        as_object(rows)


def test_a_form_of_rows_keeps_order_and_repeated_names() -> None:
    rows = [{"name": "a", "value": "1"}, {"name": "b"}, {"name": "a", "value": "2 & 3"}]
    assert encode_form(rows) == ("application/x-www-form-urlencoded", b"a=1&b=&a=2+%26+3")


def test_the_file_of_a_row_takes_the_place_of_its_value() -> None:
    file = FileValue(content=b"x", name="x.txt", content_type="text/plain")
    _kind, body = encode_multipart([{"name": "f", "value": "no", "file": file}, {"name": "t", "value": "yes", "file": None}])
    assert body is not None
    assert b'name="f"; filename="x.txt"\r\nContent-Type: text/plain\r\n\r\nx\r\n' in body
    assert b'name="t"\r\n\r\nyes\r\n' in body
    assert b"no" not in body


@pytest.mark.parametrize("value", ["a=1", [{"value": "1"}], ["a"]])
def test_a_form_is_made_from_an_object_or_from_rows_with_names(value: Any) -> None:
    with pytest.raises(RenderFault):
        encode_form(value)


def test_query_headers_and_content_type_may_each_be_one_placeholder() -> None:
    call = Call(method="POST", url="{{url}}", query="{{q}}", headers="{{h}}", body="{{b}}", encoding="text", content_type="{{kind}}")
    scope = {
        "url": "https://api.example.com/a?b=1",
        "q": {"c": ["2", "3"]},
        "h": {"X-One": ["1", "2"]},
        "b": "<x/>",
        "kind": "application/xml",
    }
    request = render_call(compile_call(call), scope, None, 5).request
    assert request.url == "https://api.example.com/a?b=1&c=2&c=3"
    assert [pair for pair in request.headers if pair[0] == "X-One"] == [("X-One", "1"), ("X-One", "2")]
    assert request.header("content-type") == "application/xml"


def test_without_a_content_type_the_body_has_its_usual_one() -> None:
    call = Call(method="POST", url="{{url}}", body="{{b}}", content_type="{{kind}}")
    request = render_call(compile_call(call), {"url": "https://api.example.com/", "b": {}}, None, 5).request
    assert request.header("content-type") == "application/json"


@pytest.mark.parametrize("key", ["query", "headers"])
def test_a_query_or_headers_cannot_be_a_plain_text(key: str) -> None:
    with pytest.raises(ValidationError):
        Call.model_validate({"url": "https://api.example.com/", key: "a=1"})
