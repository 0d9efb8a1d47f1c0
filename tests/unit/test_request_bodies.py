"""The body of a request is read by a quick decoder where that is sure to see what a thorough one does."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.errors import MalformedJson, ValidationFailed
from polyport.server import wire
from polyport.server.wire import parse_json

LIMIT = 64
_TEXTS = st.text(st.sampled_from('ab:"\\{}[],\n\u00e9\u2028\U0001f600\x7f '), max_size=6)
_NUMBERS = st.sampled_from(["0", "-0", "1", "1.0", "10e-1", "1E400", "-12.50", "123456789012345678901234567890", "0.1e-5", "-0.0"])
_LEAVES = st.one_of(
    _NUMBERS, st.sampled_from(["true", "false", "null"]), _TEXTS.map(json.dumps), _TEXTS.map(lambda t: json.dumps(t, ensure_ascii=False))
)


def _objects(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(st.sampled_from(["a", "b", "a:b", "\u00e9", "\\u0061", "\\u003a", ":"]), inner), max_size=4)
    return pairs.map(lambda found: "{" + ", ".join(f'"{key}" : {value}' for key, value in found) + "}")


_BODIES = st.recursive(
    _LEAVES, lambda inner: st.one_of(_objects(inner), st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"))
)


def _told(read: Any, body: bytes) -> Any:
    try:
        value = read(body, LIMIT)
    except ValidationFailed as error:
        return ("refused", [(fault.path, fault.code) for fault in error.details.fields or ()])
    except MalformedJson as error:
        return ("malformed", error.message)
    return ("read", repr(value))


@given(_BODIES)
def test_a_body_is_read_as_the_thorough_reading_has_it(text):
    body = text.encode()
    assert _told(parse_json, body) == _told(wire._read_thoroughly, body)


@given(
    st.one_of(
        st.binary(max_size=12), _BODIES.map(lambda text: text.encode()[:-1]), _BODIES.map(lambda text: b"\xef\xbb\xbf" + text.encode())
    )
)
def test_what_is_no_json_is_told_as_the_thorough_reading_tells_it(body):
    assert _told(parse_json, body) == _told(wire._read_thoroughly, body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 2}',
        b'{"x": [{"a:b": "c:d", "a:b": 1}]}',
        b'{"a": "\\u003a", "a": 1}',  # a colon that is written as an escape makes up for the one that is lost with the first key
        b'{"\\u0061": 1, "a": 2}',
        b'{"a": ":", "a": "::"}',
    ],
)
def test_a_key_that_stands_twice_is_refused_whatever_colons_stand_around_it(body):
    with pytest.raises(ValidationFailed) as refused:
        parse_json(body, LIMIT)
    assert refused.value.details.fields[0].code == "duplicate_key"


def test_an_ordinary_body_takes_the_quick_way_and_a_doubtful_one_does_not(monkeypatch):
    def never(_body: bytes, _limit: int) -> Any:
        raise AssertionError("read twice")

    monkeypatch.setattr(wire, "_read_thoroughly", never)
    body = b'{"at": "12:30", "link": "https://example.com:8080/?a=b:c", "n": 1.50, "rows": [{"x": {"y:z": ["a:b", null]}}]}'
    assert parse_json(body, LIMIT) == {
        "at": "12:30",
        "link": "https://example.com:8080/?a=b:c",
        "n": Decimal("1.50"),
        "rows": [{"x": {"y:z": ["a:b", None]}}],
    }
    with pytest.raises(AssertionError, match="read twice"):
        parse_json(b'{"a": "\\u00e9"}', LIMIT)


@pytest.mark.parametrize("number", ["1e99999999999999999999", "-1E-99999999999999999999", "9" * 5000])
def test_a_number_of_absurd_size_is_malformed(number):
    with pytest.raises(MalformedJson):
        parse_json(f'{{"a": {number}}}'.encode(), LIMIT)


def test_what_nests_too_deep_is_refused_at_its_place():
    with pytest.raises(ValidationFailed) as refused:
        parse_json(b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}", LIMIT)
    assert refused.value.details.fields[0].code == "too_deep"
    with pytest.raises(ValidationFailed):
        parse_json(b"[" * 100_000 + b"]" * 100_000, LIMIT)
