import base64
import hashlib
import hmac
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.kinds.filters import FILTERS
from polyport.paths import MISSING
from polyport.template import RenderFault

_ROWS = st.lists(st.fixed_dictionaries({"k": st.integers(0, 9)}, optional={"v": st.integers()}), max_size=12)


@pytest.mark.parametrize(
    ("name", "value", "arguments", "result"),
    [
        ("default", None, ("x",), None),
        ("default", MISSING, ("x",), "x"),
        ("otherwise", MISSING, ("x",), "x"),
        ("otherwise", None, ("x",), "x"),
        ("otherwise", "", ("x",), "x"),
        ("otherwise", 0, ("x",), 0),
        ("otherwise", False, ("x",), False),
        ("otherwise", None, (MISSING,), MISSING),
        ("then", "a", ("x",), "x"),
        ("then", None, ("x",), "x"),
        ("json", {"a": [None, True, Decimal("1.50")]}, (), '{"a":[null,true,1.50]}'),
        ("parse_json", '{"a": 1.50}', (), {"a": Decimal("1.50")}),
        ("join", [1, None, "b", True], ("-",), "1-b-true"),
        ("join", [], (), ""),
        ("first", [], (), MISSING),
        ("last", [1, 2], (), 2),
        ("last", [], (), MISSING),
        ("item", {"a": None}, ("a",), None),
        ("item", {"a": 1}, ("b",), MISSING),
        ("item", [1, 2], (-2,), 1),
        ("item", [1, 2], (-3,), MISSING),
        ("item", [1, 2], (2,), MISSING),
        ("at", {"a": [{"b": 1}, {"b": 2}]}, ("a[*].b",), [1, 2]),
        ("at", {"a": 1}, ("b",), MISSING),
        ("at", [1], ("",), [1]),
        ("unique", [1, True, "1", 1, {"a": 1, "b": 2}, {"b": 2, "a": 1}], (), [1, True, "1", {"a": 1, "b": 2}]),
        ("unique", [{"a": 1}, {"a": 1, "b": 2}, {"b": 3}, {"b": 3}], ("a",), [{"a": 1}, {"b": 3}, {"b": 3}]),
        ("rows", "one\r\ntwo\n", (), [{"value": "one"}, {"value": "two"}]),
        ("rows", [1, {"id": 2}], ("id",), [{"id": 1}, {"id": 2}]),
        ("to_object", [{"name": 1, "value": None}, {"name": None, "value": 2}, {"name": "x"}], (), {"1": None}),
        ("to_object", [{"k": "a", "v": 1}, {"k": "a", "v": 2}, {"k": "a", "v": [3]}], ("k", "v"), {"a": [1, 2, [3]]}),
        ("to_object", None, (), MISSING),
        ("keys", {}, (), []),
        ("unbase64", " QWRhLg ", (), "Ada."),
        ("unbase64", "w7_Dvw", (), "ÿÿ"),
        ("url_decode", "a%2Bb+c", (), "a+b+c"),
        ("encode", "a b", ("url_encode",), "a%20b"),
        ("hash", "a", ("sha256", "base64"), base64.b64encode(hashlib.sha256(b"a").digest()).decode()),
        ("hash", 5, ("sha1", "base64url"), base64.urlsafe_b64encode(hashlib.sha1(b"5").digest()).decode().rstrip("=")),  # noqa: S324  a digest that services ask for
    ],
)
def test_a_data_filter_gives(name, value, arguments, result):
    found = FILTERS[name](value, *arguments)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("name", "value", "arguments"),
    [
        ("parse_json", "{'a': 1}", ()),
        ("parse_json", "[NaN]", ()),
        ("parse_json", "[Infinity]", ()),
        ("parse_json", "[1] 2", ()),
        ("parse_json", '{"a": 1, "a": 1}', ()),
        ("parse_json", '"\\ud800"', ()),
        ("parse_json", "", ()),
        ("parse_json", None, ()),
        ("join", [[]], ()),
        ("join", "abc", ()),
        ("item", [1], ("0",)),
        ("item", "abc", (0,)),
        ("at", {}, ("a..b",)),
        ("unique", [1], ("a",)),
        ("merge", [{"k": 1}], ([], "k", "some")),
        ("merge", [{"k": []}], ([], "k")),
        ("from_object", {}, ("a", "a")),
        ("from_object", [], ()),
        ("unbase64", "A", ()),
        ("unbase64", "a b", ()),
        ("unbase64", "/w==", ()),
        ("url_decode", "%FF", ()),
        ("hash", "a", ("crc32",)),
        ("hash", "a", ("md5", "octal")),
        ("hash", "\ud800", ()),
        ("hmac", "a", ("key", "sha3")),
        ("encode", "a", ("rot13",)),
    ],
)
def test_a_data_filter_refuses(name, value, arguments):
    with pytest.raises(RenderFault):
        FILTERS[name](value, *arguments)


@pytest.mark.parametrize(
    ("keep", "result"),
    [
        ("all", [{"k": 1, "a": "x", "b": "p"}, {"a": "no key"}, {"k": None}, {"k": 3}, {"k": "2", "b": "q"}, {"b": "none"}]),
        ("first", [{"k": 1, "a": "x", "b": "p"}, {"a": "no key"}, {"k": None}, {"k": 3}]),
        ("both", [{"k": 1, "a": "x", "b": "p"}]),
    ],
)
def test_rows_are_merged_by_the_text_of_their_key(keep, result):
    left = [{"k": 1, "a": "x"}, {"a": "no key"}, {"k": None}, {"k": 3}]
    right = [{"k": "1", "a": "lost", "b": "o"}, {"k": "1", "a": "lost", "b": "p"}, {"k": "2", "b": "q"}, {"b": "none"}]
    assert FILTERS["merge"](left, right, "k", keep) == result
    assert left == [{"k": 1, "a": "x"}, {"a": "no key"}, {"k": None}, {"k": 3}]


@given(_ROWS, _ROWS)
def test_a_merge_keeps_the_first_rows_in_their_order(left, right):
    merged = FILTERS["merge"](left, right, "k", "first")
    assert [row["k"] for row in merged] == [row["k"] for row in left]
    assert {row["k"] for row in FILTERS["merge"](left, right, "k")} == {row["k"] for row in left + right}
    assert len(FILTERS["merge"](left, right, "k", "both")) == sum(row["k"] in {other["k"] for other in right} for row in left)


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)))
def test_an_object_goes_to_rows_and_back(value):
    assert FILTERS["to_object"](FILTERS["from_object"](value)) == value


@given(st.lists(st.integers(0, 5)))
def test_unique_keeps_the_first_of_each(values):
    assert FILTERS["unique"](values) == list(dict.fromkeys(values))


@given(st.text(max_size=60))
def test_encodings_go_there_and_back(text):
    assert FILTERS["unbase64"](FILTERS["base64"](text)) == text
    assert FILTERS["url_decode"](FILTERS["url_encode"](text)) == text


@given(st.text(max_size=30), st.text(min_size=1, max_size=30), st.sampled_from(["md5", "sha1", "sha256", "sha512"]))
def test_a_keyed_digest_is_that_of_the_standard(text, key, algorithm):
    assert FILTERS["hmac"](text, key, algorithm) == hmac.new(key.encode(), text.encode(), algorithm).hexdigest()
